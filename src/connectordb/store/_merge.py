"""Putting late datapoints where they belong."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import islice, repeat
from operator import itemgetter

import apsw
import msgspec

from ..block import Block
from ._changes import Runs
from ._data import View
from ._key import place_of
from ._text import join, split, times
from .base import Head

__all__ = ["merge"]

_RUN_POINTS_MAX = 1_000
"""What is rewritten becomes runs of up to so many datapoints, however small they were before."""

_Timed = tuple[float, msgspec.Raw, bool]
"""Time stamp, text, and whether it is new."""


def merge(connection: apsw.Connection, key: int, head: Head, block: Block) -> Runs:
    """Insert *block*, which begins before the newest datapoint, and return the indices of its datapoints.

    All from the run on in which it begins is rewritten, as all that has a new index. The caller has a transaction open,
    and writes the new head.
    """
    view = View(connection, key, head)
    runs: Runs = []
    begin = i = view.run_at(view.index_after(block.t1)).i
    # Those stored go first, so that they come first of equal time stamps.
    mixed = heapq.merge(_stored(view, begin, block.t2), _timed(block, new=True), key=itemgetter(0))
    while points := list(islice(mixed, _RUN_POINTS_MAX)):
        texts = [text for _, text, _ in points]
        _note(runs, i, points)
        _put(connection, key, i, Block(len(points), points[0][0], points[-1][0], json=join(texts)))
        i += len(points)
    while i < head.n + block.n:
        behind = view.page(i - block.n, head.n)
        if behind.n > _RUN_POINTS_MAX:
            behind = view.block(view.run_at(i - block.n))
        _put(connection, key, i, behind)
        i += behind.n
    between = (place_of(key, begin), place_of(key + 1))
    connection.execute("DELETE FROM tail WHERE place >= ? AND place < ?", between)
    connection.execute("UPDATE tail SET place = -1 - place WHERE place < 0")
    return runs


def _stored(view: View, i: int, t2: float) -> Iterator[_Timed]:
    """The datapoints stored from the run at *i* on, to the end of the last run that does not begin after *t2*."""
    while i < view.head.n:
        run = view.run_at(i)
        if run.t1 > t2:
            return
        yield from _timed(view.block(run))
        i = run.end


def _timed(block: Block, *, new: bool = False) -> Iterator[_Timed]:
    return zip(times(block.json), split(block.json), repeat(new, block.n), strict=True)


def _note(runs: Runs, first: int, points: list[_Timed]) -> None:
    """Add the new ones among *points*, which begin at index *first*, to *runs*."""
    for i, (_, _, new) in enumerate(points, first):
        if not new:
            continue
        if runs and sum(runs[-1]) == i:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((i, 1))


def _put(connection: apsw.Connection, key: int, i: int, run: Block) -> None:
    """Store *run* at index *i*, out of the way for now of what still stands there: at -1 - place."""
    connection.execute(
        "INSERT INTO tail (place, n, t1, t2, points) VALUES (?, ?, ?, ?, ?)",
        (-1 - place_of(key, i), run.n, run.t1, run.t2, run.json),
    )
