"""PipeScript at work on blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..block import Block
from ..datapoint import Datapoint
from ..errors import LimitReached, PermissionDenied

if TYPE_CHECKING:
    from ..pipescript import Batch, Script

__all__ = ["block_of", "deadline_passed", "script_of", "transformed", "transformed_whole"]


KEPT_LENGTH_MAX = 2_000
"""Longer scripts are read anew each time."""


def script_of(text: str) -> Script:
    """Return the script *text*, ready to run; most of the time the same one again. Raises `ScriptError`."""
    return _kept(text) if len(text) <= KEPT_LENGTH_MAX else _compiled(text)


def _compiled(text: str) -> Script:
    from ..pipescript import compile_script  # not needed by most

    return compile_script(text)


_kept = lru_cache(maxsize=256)(_compiled)


def transformed(blocks: Iterable[Block], script: Script, limit: int | None, query_s: float) -> Iterator[Block | None]:
    """Yield what *script* makes of *blocks*, which are one input; ``None`` where it has taken time and gives nothing.

    Args:
        limit: At most so many datapoints; ``None``: all.
        query_s: After so many seconds it ends with an error.

    Raises:
        ScriptError: the script fails on a datapoint.
        LimitReached: it takes too long.
    """
    until = monotonic() + query_s
    running = script.start()
    left = limit
    for block in blocks:
        for out in running.pieces(_batch_of(block)):
            made, left, ended = _cut(out, left)
            yield made
            if ended:
                return
            if monotonic() > until:
                raise deadline_passed(query_s)
    yield _cut(running.end(), left)[0]


def transformed_whole(block: Block, script: Script) -> Block | None:
    """Return what *script* makes of *block* as its whole input; ``None``: nothing. Raises `ScriptError`."""
    points = [
        Datapoint(t, d) for out in script.run_batches([_batch_of(block)]) for t, d in zip(out.t, out.d, strict=True)
    ]
    return Block.of(points) if points else None


def block_of(batch: Batch) -> Block | None:
    """Return the datapoints of *batch*, ``None`` if there are none."""
    points = [_point(t, d) for t, d in zip(batch.t, batch.d, strict=True)]
    if not points:
        return None
    block = Block.of(points)
    _ = block.json  # made here, and not on the event loop
    return block


def deadline_passed(query_s: float) -> PermissionDenied:
    """Return the error of what takes too long."""
    return LimitReached(f"this took longer than {query_s:g} s, which is the limit of a query: ask for less at once")


def _point(t: float, d: Any) -> Datapoint:
    return Datapoint(t, d) if t else Datapoint(d=d)  # so that it is left out, as in all that is stored


def _batch_of(block: Block) -> Batch:
    from ..pipescript import Batch

    points = block.points
    return Batch([point.t for point in points], [point.d for point in points])


def _cut(out: Batch, left: int | None) -> tuple[Block | None, int | None, bool]:
    """Return the first *left* datapoints of *out*, how many may follow, and whether that is the end of it all."""
    from ..pipescript.engine import Ended

    made = block_of(out)
    if left is not None and made is not None:
        if made.n >= left:
            return made.slice(0, left), 0, True
        left -= made.n
    if out.stop is not None and not isinstance(out.stop, Ended):
        raise out.stop
    return made, left, out.stop is not None
