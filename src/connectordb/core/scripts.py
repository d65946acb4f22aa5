"""PipeScript at work on blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, overload

from ..block import Block
from ..datapoint import Datapoint
from ..errors import ScriptError

if TYPE_CHECKING:
    from ..pipescript import Batch, Script, Settings
    from ..store.records import Summary
    from .settings import LimitSettings

__all__ = [
    "Failures",
    "batches_of",
    "blocks_of",
    "script_of",
    "script_settings",
    "transformed",
    "transformed_around",
    "transformed_whole",
]


KEPT_LENGTH_MAX = 2_000
"""Longer scripts are read anew each time."""


def script_of(text: str, limits: LimitSettings) -> Script:
    """Return the script *text*, ready to run; most of the time the same one again. Raises `ScriptError`."""
    return _kept(text, limits) if len(text) <= KEPT_LENGTH_MAX else _compiled(text, limits)


def _compiled(text: str, limits: LimitSettings) -> Script:
    from ..pipescript import compile_script  # not needed by most

    return compile_script(text, script_settings(limits))


def script_settings(limits: LimitSettings) -> Settings:
    """Return what holds for all scripts."""
    from ..pipescript import Settings
    from ..pipescript.limits import Limits

    return Settings(limits=Limits(**{name: getattr(limits, name) for name in Limits.__slots__}))


_kept = lru_cache(maxsize=256)(_compiled)


def transformed(
    blocks: Iterable[Block | Sequence[Summary]], script: Script, limit: int | None, check: Callable[[], None]
) -> Iterator[Batch]:
    """Yield what *script* makes of *blocks*, which are one input; empty batches where it gives nothing.

    Args:
        blocks: Among them what is known of runs of numbers, if `Script.folds`.
        limit: At most so many datapoints; ``None``: all.
        check: Called now and then; raises if that is to end.

    Raises:
        ScriptError: the script fails on a datapoint.
    """
    from ..pipescript import Batch

    running = script.start(check=check)
    left = limit
    for batch in batches_of(blocks):
        for out in running.pieces(batch) if isinstance(batch, Batch) else [running.feed_runs(batch)]:
            made, left, ended = _cut(out, left)
            yield made
            if ended:
                return
    for out in running.rest():
        made, left, ended = _cut(out, left)
        yield made
        if ended:
            return


@overload
def batches_of(blocks: Iterable[Block]) -> Iterator[Batch]: ...
@overload
def batches_of(blocks: Iterable[Block | Sequence[Summary]]) -> Iterator[Batch | Sequence[Summary]]: ...
def batches_of(blocks: Iterable[Block | Sequence[Summary]]) -> Iterator[Batch | Sequence[Summary]]:
    """Yield *blocks* as batches, without who sent the datapoints; what is known of runs as it is."""
    from ..pipescript.blocks import batch_of

    for block in blocks:
        yield batch_of(block) if isinstance(block, Block) else block


def blocks_of(batches: Iterable[Batch | None]) -> Iterator[Block | None]:
    """Yield *batches* as blocks; ``None`` for those that are empty."""
    from ..pipescript.blocks import blocks_of

    for batch in batches:
        if batch is None or not batch.n:
            yield None
        else:
            yield from blocks_of(batch)


def transformed_whole(block: Block, script: Script) -> Block | None:
    """Return what *script* makes of *block* as its whole input; ``None``: nothing. Raises `ScriptError`."""
    from ..pipescript.blocks import batch_of

    points = [
        Datapoint(t, d) for out in script.run_batches([batch_of(block)]) for t, d in zip(out.t, out.d, strict=True)
    ]
    return Block.of(points) if points else None


class Failures(NamedTuple):
    """Datapoints on which a script has failed.

    Attributes:
        first: What was wrong with the first of them.
        n: How many there are.
    """

    first: ScriptError
    n: int


def transformed_around(block: Block, script: Script, check: Callable[[], None]) -> tuple[Block | None, Failures | None]:
    """Return what *script* makes of *block*, and on which datapoints it fails.

    These are left out, and cut *block* into several inputs: so none of them takes others with it, which may have come
    with other inserts.

    Args:
        check: Called now and then; raises if that is to end.
    """
    from ..pipescript.blocks import batch_of

    whole = batch_of(block)
    made, error = _points_of(script, whole, check)
    if error is None:
        return (Block.of(made) if made else None), None
    made, failed, start = [], 0, 0
    while start < whole.n:
        at = _first_failure(script, whole.slice(start, whole.n), check)
        stop = whole.n if at is None else start + at
        if stop > start:
            made += _points_of(script, whole.slice(start, stop), check)[0]
        failed += stop < whole.n
        start = stop + 1
    return (Block.of(made) if made else None), Failures(error, max(1, failed))


def _points_of(script: Script, batch: Batch, check: Callable[[], None]) -> tuple[list[Datapoint], ScriptError | None]:
    """Return what *script* gives for *batch* as its whole input, up to the error if there is one."""
    points: list[Datapoint] = []
    try:
        for out in script.run_batches([batch], check=check):
            points += map(Datapoint, out.t, out.d)
    except ScriptError as e:
        return points, e
    return points, None


def _first_failure(script: Script, batch: Batch, check: Callable[[], None]) -> int | None:
    """Return on which datapoint of *batch* a fresh *script* fails; ``None``: on none before its end."""
    running = script.start(columnwise=False, check=check)  # one after the other: columns may fail later
    for at in range(batch.n):
        check()
        stop = running.feed(batch.slice(at, at + 1)).stop
        if stop is not None:
            return at if isinstance(stop, ScriptError) else None
    return None


def _cut(out: Batch, left: int | None) -> tuple[Batch, int | None, bool]:
    """Return the first *left* datapoints of *out*, how many may follow, and whether that is the end of it all."""
    from ..pipescript.engine import Ended

    if left is not None:
        if out.n >= left:
            return out.slice(0, left), 0, True
        left -= out.n
    if out.stop is not None and not isinstance(out.stop, Ended):
        raise out.stop
    return out, left, out.stop is not None
