"""Putting late datapoints where they belong."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from operator import itemgetter

import apsw
import msgspec

from ..block import Block
from ._data import View
from ._key import place_of
from ._text import join, split, times
from .base import Head

__all__ = ["merge"]

_RUN_POINTS_MAX = 1_000
"""What is rewritten becomes runs of so many datapoints, however small they were before."""

_Timed = tuple[float, msgspec.Raw]


def merge(connection: apsw.Connection, key: int, head: Head, block: Block) -> int:
    """Insert *block*, which begins before the newest datapoint, and return the index of its first datapoint.

    Runs between the first and the last time stamp of *block* are rewritten, later ones get new indices. The caller
    has a transaction open, and writes the new head.
    """
    view = View(connection, key, head)
    index = view.index_after(block.t1)
    begin = view.run_at(index).i
    # The new runs stand at -1 - place until the old ones are out of their way. Of equal time stamps those stored come
    # first.
    i = begin
    batch: list[_Timed] = []
    stored = _stored(view, begin, block.t2)
    for point in heapq.merge(stored, _timed(block), key=itemgetter(0)):
        batch.append(point)
        if len(batch) == _RUN_POINTS_MAX:
            _put(connection, key, i, batch)
            i += len(batch)
            batch = []
    if batch:
        _put(connection, key, i, batch)
        i += len(batch)
    end = i - block.n
    while end < head.n:
        behind = view.page(end, head.n)
        if behind.n > ROW_POINTS_MAX:
            behind = view.block(view.run_at(end))
        _put(connection, place_of(key, end + block.n), behind)
        end += behind.n
    connection.execute(
        "DELETE FROM tail WHERE place >= ? AND place < ?", (place_of(key, begin), place_of(key + 1))
    )
    connection.execute("UPDATE tail SET place = -1 - place WHERE place < 0")
    return index


def _stored(view: View, i: int, t2: float) -> Iterator[_Timed]:
    """The datapoints stored from the run at *i* on, to the end of the last run that does not begin after *t2*."""
    while i < view.head.n:
        run = view.run_at(i)
        if run.t1 > t2:
            return
        yield from _timed(view.block(run))
        i = run.end


def _timed(block: Block) -> Iterator[_Timed]:
    return zip(times(block.json), split(block.json), strict=True)


def _put(connection: apsw.Connection, key: int, i: int, points: list[_Timed]) -> None:
    connection.execute(
        "INSERT INTO tail (place, n, t1, t2, points) VALUES (?, ?, ?, ?, ?)",
        (-1 - place_of(key, i), len(points), points[0][0], points[-1][0], join([text for _, text in points])),
    )
