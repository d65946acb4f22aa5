"""Putting late datapoints where they belong."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from operator import attrgetter
from typing import NamedTuple

import apsw

from ..block import Block
from ..columns import joined, numpy
from ..datapoint import Datapoint
from ._changes import Runs
from ._data import Run, View, read_sealed
from ._key import place_of
from ._runs import BLOCK_BYTES, BLOCK_POINTS, drop_blocks, is_large, pieces_of, put_away, put_back, put_run
from .records import Head

__all__ = ["merge"]

_TEXT_POINTS = 1_000
"""Text that is rewritten becomes runs of up to so many datapoints, however small they were before."""

_OWN_POINTS = 1_000
"""So many datapoints that belong behind a block become a block of their own; fewer are put into it."""


class _Part(NamedTuple):
    """Late datapoints ``[start, stop)``, which go into *run*, or right behind it."""

    run: Run
    start: int
    stop: int


def merge(connection: apsw.Connection, key: int, head: Head, block: Block) -> Runs:
    """Insert *block*, which begins before the newest datapoint, and return the indices of its datapoints.

    Only the runs are written anew into which some of it goes; those behind are moved as they are. The caller has a
    transaction open, and writes the new head.
    """
    view = View(connection, key, head)
    first = view.run_at(max(0, view.index_after(block.t1) - 1))
    parts = _parts([first, *view.runs(first.end, block.t2)], _times(block))
    sealed = read_sealed(connection, key)
    came: Runs = []
    by = more = 0  # how far what comes next is moved, and how many more are in blocks
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        run, late = part.run, block.slice(part.start, part.stop)
        if run.i < sealed:
            more += late.n
        i = run.i + by
        if late.t1 >= run.t2 and (run.block is None or late.n >= _OWN_POINTS):
            came.append((run.end + by, late.n))
            if by:
                put_away(connection, key, run.i, run.i + 1, by)
            made, i = late, run.end + by
        else:
            made, order = _merged(view.block(run), late)
            came += [(i + at, n) for at, n in order]
            connection.execute("DELETE FROM runs WHERE place = ?", (place_of(key, run.i),))
            if run.block is not None:
                drop_blocks(connection, [run.block])
        is_sealed = run.block is not None or is_large(made)
        for piece in pieces_of(made, BLOCK_POINTS if is_sealed else _TEXT_POINTS, BLOCK_BYTES):
            put_run(connection, -1 - place_of(key, i), piece, sealed=is_sealed)
            i += piece.n
        by += late.n
        stop = head.n if following is None else following.run.i
        if run.end < stop:
            put_away(connection, key, run.end, stop, by)
    put_back(connection)
    if more:
        connection.execute("UPDATE heads SET sealed = sealed + ? WHERE substream = ?", (more, key))
    return list(_joined(came))


def _parts(runs: list[Run], times: list[float]) -> list[_Part]:
    """Return where late datapoints go: each into the last run that does not begin after it."""
    begins = [run.t1 for run in runs]
    parts = []
    start = 0
    while start < len(times):
        k = max(0, bisect_right(begins, times[start]) - 1)
        stop = len(times) if k + 1 == len(runs) else bisect_left(times, begins[k + 1], start)
        parts.append(_Part(runs[k], start, stop))
        start = stop
    return parts


def _merged(stored: Block, late: Block) -> tuple[Block, Runs]:
    """Return both together, what is stored first of equal time stamps, and where the late ones are."""
    times = _times(late)
    if stored.times is not None:
        before = stored.times.searchsorted(times, "right").tolist()
    else:
        before = [bisect_right(stored.points, t, key=attrgetter("t")) for t in times]
    at = [i + k for k, i in enumerate(before)]
    runs: Runs = [(i, 1) for i in at]
    made = None if stored.times is None else _merged_columns(stored, late, at)
    if made is not None:
        return made, runs
    points: list[Datapoint] = list(stored.points)
    for i, point in zip(at, late.points, strict=True):
        points.insert(i, point)
    return Block.of(points), runs


def _merged_columns(stored: Block, late: Block, at: list[int]) -> Block | None:
    """Return both together as columns; ``None`` if they are not of the same kind."""
    from ._codec import columns_of  # which needs numpy, as stored columns do

    np = numpy()
    a, b = stored.columns, columns_of(late)
    if a is None or b is None:
        return None
    both = joined(a[1], b[1])
    if both is None:
        return None
    order = np.empty(stored.n + late.n, np.intp)
    is_late = np.zeros(len(order), np.bool_)
    is_late[at] = True
    order[is_late] = np.arange(stored.n, len(order))
    order[~is_late] = np.arange(stored.n)
    return Block.of_columns(np.concatenate([a[0], b[0]])[order], both[order])


def _times(block: Block) -> list[float]:
    if block.columns is not None:
        times: list[float] = block.columns[0].tolist()
        return times
    return [point.t for point in block.points]


def _joined(runs: Runs) -> Iterator[tuple[int, int]]:
    """Yield *runs*, those that follow each other as one."""
    first = n = 0
    for i, more in runs:
        if n and first + n == i:
            n += more
            continue
        if n:
            yield first, n
        first, n = i, more
    if n:
        yield first, n
