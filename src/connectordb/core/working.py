"""Queries at work: a step at a time, in other threads, for a limited time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import Any, Final, TypeVar

from ..block import Block
from ..errors import LimitReached, PermissionDenied

__all__ = ["STEP_BYTES", "STEP_POINTS", "STEP_S", "Work", "Workshop", "time_limit"]

T = TypeVar("T")

WORKING_MAX: Final = 2
"""So many queries and transforms are worked on at the same time, a step of each. All of them need the interpreter lock:
with more they are no faster, and inserts wait longer for it."""
STEP_POINTS: Final = 10_000
STEP_BYTES: Final = 1 << 20
STEP_S: Final = 0.2
"""A step ends with whichever of these comes first."""


class _Stopped(Exception):
    """Nobody wants the rest."""


class Work:
    """A query at work. It is stepped in one thread at a time, and may be stopped from any.

    Args:
        begin: Gives what comes out; ``None`` where it has taken time and gives nothing. It is called with `check`, to
            be called where a single step may take long.
        query_s: After so many seconds of work it ends with an error. What a slow reader takes between steps is no time.
        text: Whether it makes the text of the blocks, too.

    Attributes:
        stopped: Nobody wants the rest: it ends at the next look.
    """

    def __init__(
        self, begin: Callable[[Callable[[], None]], Iterable[Block | None]], query_s: float, *, text: bool = True
    ) -> None:
        self._begin = begin
        self._text = text
        self._query_s = query_s
        self._left_s = query_s
        self._until = 0.0
        self._found: Iterator[Block | None] | None = None
        self.stopped = False

    def step(self) -> tuple[list[Block], bool]:
        """Return the next blocks, and whether there may be more.

        Raises:
            LimitReached: it has taken too long; besides what the query itself raises.
        """
        began = monotonic()
        self._until = began + self._left_s
        if self._found is None:
            self._found = iter(self._begin(self.check))
        blocks: list[Block] = []
        n = size = 0
        for block in self._found:
            if block is not None:
                blocks.append(block)
                n += block.n
                size += len(block.json) if self._text else block.size
            self.check()
            now = monotonic()
            if n >= STEP_POINTS or size >= STEP_BYTES or now > began + STEP_S:
                self._left_s = self._until - now
                return blocks, True
        return blocks, False

    def check(self) -> None:
        """Raise if the work is to end."""
        if self.stopped:
            raise _Stopped
        if monotonic() > self._until:
            raise _too_long(self._query_s)


def time_limit(query_s: float) -> Callable[[], None]:
    """Return what raises `LimitReached` when it is called after *query_s* seconds from now."""
    until = monotonic() + query_s

    def check() -> None:
        if monotonic() > until:
            raise _too_long(query_s)

    return check


class Workshop:
    """Where queries are worked on, a few at the same time, so that the others who read do not wait until one is done.

    Args:
        pool: The threads that read; at least one is left to the others, if there is more than one.
    """

    def __init__(self, pool: ThreadPoolExecutor, threads: int) -> None:
        self._pool = pool
        self._places = asyncio.Semaphore(min(WORKING_MAX, max(1, threads - 1)))

    async def blocks(self, work: Work) -> AsyncGenerator[Block, None]:
        """Yield what *work* gives. Closed before the end, the work is stopped."""
        try:
            more = True
            while more:
                blocks, more = await self.run(work.step)
                for block in blocks:
                    yield block
        finally:
            work.stopped = True

    async def run(self, step: Callable[[], T]) -> T:
        """Return what *step* returns, which takes a moment."""
        await self._places.acquire()
        loop = asyncio.get_running_loop()

        def done(_: Future[Any]) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._places.release)

        running = self._pool.submit(step)
        # If the caller is cancelled meanwhile, the place is taken until the thread has come to its end.
        running.add_done_callback(done)
        return await asyncio.wrap_future(running)


def _too_long(query_s: float) -> PermissionDenied:
    return LimitReached(f"this took longer than {query_s:g} s, which is the limit of a query: ask for less at once")
