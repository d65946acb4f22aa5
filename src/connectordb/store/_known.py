"""Which of the datapoints that come are stored already."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterator
from typing import Any

import apsw

from ..block import Block
from ..columns import numpy
from ._canonical import comparable
from ._data import View
from ._text import times as times_of
from .records import Head

__all__ = ["unknown"]


def unknown(connection: apsw.Connection, key: int, head: Head, block: Block) -> Block | None:
    """Return the datapoints of *block* of which none is stored with the same time stamp and an equal value.

    Those that are twice in *block* stay so. Only runs are read that reach over one of the time stamps.
    """
    view = View(connection, key, head)
    begin = view.index_from(block.t1)
    if begin == head.n:
        return block
    points = block.points
    stamps = [point.t for point in points]
    by_time: dict[float, set[Hashable]] = {}
    for run in view.runs(view.run_at(begin).i, block.t2):
        wanted = stamps[bisect_left(stamps, run.t1) : bisect_right(stamps, run.t2)]
        if wanted:
            for t, d in _stored(view.block(run), wanted):
                by_time.setdefault(t, set()).add(comparable(d))
    if not by_time:
        return block
    kept = [point for point in points if (known := by_time.get(point.t)) is None or comparable(point.d) not in known]
    if len(kept) == block.n:
        return block
    return Block.of(kept) if kept else None


def _stored(block: Block, stamps: list[float]) -> Iterator[tuple[float, Any]]:
    """Yield time stamp and value of those datapoints of *block* whose time stamp is among *stamps*."""
    if block.times is not None:
        at = numpy().flatnonzero(numpy().isin(block.times, stamps))
        if len(at) and block.columns is not None:
            times, values = block.columns
            yield from zip(times[at].tolist(), values[at].tolist(), strict=True)
        elif len(at):
            points = block.points
            yield from ((points[i].t, points[i].d) for i in at.tolist())
        return
    wanted = set(stamps)
    if not wanted.isdisjoint(times_of(block.json)):
        for point in block.points:
            if point.t in wanted:
                yield point.t, point.d
