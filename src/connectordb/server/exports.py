"""Datapoints as an answer in another format than JSON: encoded in other threads, some thousands at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import aclosing
from functools import partial
from typing import ParamSpec, TypeVar

from .. import formats
from ..block import Block
from ..errors import Unavailable
from ..formats import Encoder, Format
from .ranges import WHOLE_BYTES_MAX
from .reply import Header, Reply
from .request import Request
from .state import State

__all__ = ["export_reply"]

T = TypeVar("T")
P = ParamSpec("P")

STEP_POINTS = 10_000
STEP_BYTES = 1024 * 1024
"""So much, of which comes first, is encoded at a time."""

_TEXT = frozenset({"ndjson", "csv"})


async def export_reply(
    state: State,
    request: Request,
    form: Format,
    blocks: AsyncGenerator[Block, None],
    *,
    name: str,
    columns: Sequence[str] | None = None,
    writers: bool = False,
) -> Reply:
    """Return the answer that *blocks* make in the format *form*.

    The beginning is made at once, so that what can be wrong is known before the status is sent; in formats that are
    written at the end (Arrow, Parquet) that is all but the writing.

    Args:
        name: Of the file, without what tells the format; for those who ask for one.
        columns, writers: As `connectordb.formats.encoder` takes them.

    Raises:
        ClientGone: the client has closed the connection before the answer begins.
        TooLarge: the temporary file would be larger than the setting ``export_bytes_max``.
    """
    if not request.body_ended:
        await request.body()
    return await request.unless_gone(_reply(state, request, form, _pieces(state, form, blocks, columns, writers), name))


async def _reply(state: State, request: Request, form: Format, pieces: AsyncGenerator[bytes, None], name: str) -> Reply:
    content_type = form.media_type.encode() + (b"; charset=utf-8" if form.name in _TEXT else b"")
    headers: tuple[Header, ...] = ()
    if "format" in request.params and form.name != "ndjson":
        headers = ((b"content-disposition", f'attachment; filename="{name}{form.extensions[0]}"'.encode()),)
    begun: list[bytes] = []
    size = 0
    try:
        async for piece in pieces:
            begun.append(piece)
            size += len(piece)
            if size >= WHOLE_BYTES_MAX:
                return Reply(200, b"", content_type, headers, chunks=_chunks(b"".join(begun), pieces))
    except BaseException:
        await pieces.aclose()
        raise
    return Reply(200, b"".join(begun), content_type, headers)


async def _chunks(begun: bytes, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(pieces):
        yield begun
        async for piece in pieces:
            yield piece


async def _pieces(
    state: State, form: Format, blocks: AsyncGenerator[Block, None], columns: Sequence[str] | None, writers: bool
) -> AsyncGenerator[bytes, None]:
    export = _Export(form.name, columns, writers, state.core.settings.limits.export_bytes_max)
    worker = _Worker(state.core.reading)
    try:
        async with aclosing(blocks):
            async for step in _steps(blocks):
                state.metrics.points_read += sum(block.n for block in step)
                piece = await worker.run(export.feed, step)
                if piece:
                    yield piece
        while (last := await worker.run(export.end)) is not None:
            if last:
                yield last
    except OSError as e:
        raise Unavailable(f"the temporary file of the answer cannot be written: {e.strerror}") from e
    finally:
        worker.finish(export.close)


async def _steps(blocks: AsyncGenerator[Block, None]) -> AsyncGenerator[list[Block], None]:
    """Yield what is encoded at a time: streams that were written a datapoint at a time have small blocks."""
    step: list[Block] = []
    n = size = 0
    async for block in blocks:
        step.append(block)
        n += block.n
        size += block.size
        if n >= STEP_POINTS or size >= STEP_BYTES:
            yield step
            step, n, size = [], 0, 0
    if step:
        yield step


class _Export:
    """Encodes. All but `close` may take its time, and is for one thread at a time."""

    def __init__(self, name: str, columns: Sequence[str] | None, writers: bool, bytes_max: int) -> None:
        self._make = partial(formats.encoder, name, columns, writers=writers, spool_bytes_max=bytes_max)
        self._encoder: Encoder | None = None
        self._rest: Iterator[bytes] | None = None

    def feed(self, blocks: list[Block]) -> bytes:
        """Take *blocks*, and return what can be written already."""
        if self._encoder is None:
            self._encoder = self._make()
        return b"".join([self._encoder.feed(block) for block in blocks])

    def end(self) -> bytes | None:
        """Return the next part of what is left to be written; ``None``: that was all."""
        if self._rest is None:
            if self._encoder is None:
                self._encoder = self._make()
            self._rest = self._encoder.end()
        return next(self._rest, None)

    def close(self) -> None:
        """Let go of what is held."""
        if self._encoder is not None:
            self._encoder.close()


class _Worker:
    """Runs one thing after the other in threads of a pool."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._busy: Future[object] | None = None

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what *work* returns. If this is cancelled, *work* still goes on to its end."""
        running = self._pool.submit(work, *args, **kwargs)
        self._busy = running  # type: ignore[assignment]  # whatever it gives
        return await asyncio.wrap_future(running)

    def finish(self, close: Callable[[], None]) -> None:
        """Call *close* in one of the threads, as soon as what runs has come to its end."""
        if self._busy is not None and not self._busy.done():
            self._busy.add_done_callback(lambda _: close())
            return
        try:
            self._pool.submit(close)  # a large file takes its time to be deleted
        except RuntimeError:  # the pool has been shut down
            close()
