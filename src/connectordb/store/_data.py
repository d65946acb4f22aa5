"""Datapoints in SQLite, for reading: the head, places in time, pages."""

from __future__ import annotations

import math
from bisect import bisect_right
from contextlib import closing
from typing import Any, NamedTuple

import apsw
import msgspec

from ..block import Block
from ..errors import NotFound
from ._connection import query
from ._errors import damaged
from ._key import place_of
from ._text import join, split, time_of
from .base import Head

__all__ = ["PAGE_BYTES_MAX", "PAGE_POINTS", "Run", "View", "read_head"]

PAGE_POINTS = 1_000
"""A page ends with the first run that brings it to so many datapoints."""
PAGE_BYTES_MAX = 1 << 20
"""A page of more than one run is not longer than this."""

_HEAD = "SELECT n, t, arrivals, merges FROM heads WHERE substream = ?"
_RUN = "SELECT place, n, t1, t2, length(points) FROM tail WHERE place <= ? ORDER BY place DESC LIMIT 1"
_POINTS = "SELECT points FROM tail WHERE place = ?"
_BETWEEN = "FROM tail WHERE place >= ? AND place < ?"
_SIZE = f"SELECT coalesce(sum(length(points)), 0) {_BETWEEN}"
# One statement for many rows, and not one step for each: with each step the binding gives the interpreter lock away,
# and while another thread is busy it takes up to 5 ms to get it back. The inner ORDER BY is the order of the key.
_JOINED = (
    "SELECT sum(n), max(t2), CAST(group_concat(points, ',') AS BLOB) "
    f"FROM (SELECT n, t2, CAST(points AS TEXT) AS points {_BETWEEN} ORDER BY place)"
)
_ONE_BY_ONE = f"SELECT n, t2, points {_BETWEEN} ORDER BY place"


def read_head(connection: apsw.Connection, key: int) -> Head:
    """Return the head. Raises `NotFound`."""
    rows = query(connection, _HEAD, (key,))
    if not rows:
        raise NotFound("the stream does not exist")
    return Head(*rows[0])


class Run(NamedTuple):
    """A row of the tail without its datapoints.

    Attributes:
        i: Index of the first datapoint.
        n: Number of datapoints.
        t1, t2: Time stamps of the first and the last, in seconds.
        size: Length of the text, in bytes.
    """

    i: int
    n: int
    t1: float
    t2: float
    size: int

    @property
    def end(self) -> int:
        """Index behind the last datapoint."""
        return self.i + self.n


class View:
    """A substream as one transaction sees it; not to be used when that has ended.

    Attributes:
        key: Which substream.
        head: Its state.
    """

    def __init__(self, connection: apsw.Connection, key: int, head: Head | None = None) -> None:
        self._connection = connection
        self._texts: dict[int, list[msgspec.Raw]] = {}  # a range by time looks twice into the same runs
        self._base = place_of(key)
        self.key = key
        self.head = read_head(connection, key) if head is None else head

    def run_at(self, i: int) -> Run:
        """Return the run which holds index *i*, ``0 <= i < n``."""
        rows = query(self._connection, _RUN, (self._base + i,))
        if rows:
            place, n, t1, t2, size = rows[0]
            first = place - self._base
            if 0 <= first <= i < first + n:
                return Run(first, n, t1, t2, size)
        raise damaged(self.key, i)

    def block(self, run: Run) -> Block:
        """Return the datapoints of *run*."""
        return Block(run.n, run.t1, run.t2, json=query(self._connection, _POINTS, (self._base + run.i,))[0][0])

    def cut(self, run: Run, start: int, stop: int) -> Block:
        """Return the datapoints of *run* with an index in ``[start, stop)``, at least one."""
        start, stop = max(start - run.i, 0), min(stop - run.i, run.n)
        if (start, stop) == (0, run.n):
            return self.block(run)
        texts = self._split(run)[start:stop]
        return Block(len(texts), time_of(texts[0]), time_of(texts[-1]), json=join(texts))

    def index_after(self, t: float) -> int:
        """Return the index of the first datapoint after *t*; the length if there is none."""
        head = self.head
        if head.n == 0 or t >= head.t:
            return head.n
        run = self.run_at(0)
        if t < run.t1:
            return 0
        # All before `low` are not after t, all from `high` on are. A guess by proportion finds the place in few steps
        # where points come regularly; halving in turn bounds the steps where they do not.
        low, t_low, high, t_high = 0, run.t1, head.n, head.t
        proportional = True
        while low < high:
            middle = (low + high) // 2
            if proportional and t_high > t_low:
                share = (t - t_low) / (t_high - t_low)
                middle = min(low + int(share * (high - low)), high - 1)
            proportional = not proportional
            run = self.run_at(middle)
            if run.t1 > t:
                high, t_high = run.i, run.t1
            elif run.t2 <= t:
                low, t_low = run.end, run.t2
            else:
                return run.i + bisect_right(self._split(run), t, key=time_of)
        return low

    def index_from(self, t: float) -> int:
        """Return the index of the first datapoint that is not before *t*; the length if there is none."""
        return self.index_after(math.nextafter(t, -math.inf))

    def count_equal_before(self, i: int, t: float) -> int:
        """Return how many datapoints right before index *i* have time stamp *t*, where the one at *i* has it too."""
        if i == 0 or self.run_at(i - 1).t2 < t:
            return 0
        return i - self.index_from(t)

    def page(self, start: int, stop: int) -> Block:
        """Return the datapoints from index *start* on, to *stop* or the end of a page; ``start < stop <= n``."""
        run = self.run_at(start)
        block = self.cut(run, start, stop)
        upto = min(stop, start + PAGE_POINTS)
        room = PAGE_BYTES_MAX - len(block.json) - 1
        if run.end >= upto or room <= 0:
            return block
        last = self.run_at(upto - 1)
        whole_upto = last.i if last.end > stop else upto
        parts, t2, n = [block.json], block.t2, block.n
        if run.end < whole_upto:
            more, t2, text = self._joined(run.end, whole_upto, room)
            if more == 0:
                return block
            parts.append(text)
            n += more
            room -= len(text) + 1
        if start + n == last.i and last.size <= room:
            part = self.cut(last, last.i, stop)
            parts.append(part.json)
            n, t2 = n + part.n, part.t2
        return Block(n, block.t1, t2, json=b",".join(parts))

    def _split(self, run: Run) -> list[msgspec.Raw]:
        texts = self._texts.get(run.i)
        if texts is None:
            self._texts[run.i] = texts = split(self.block(run).json)
        return texts

    def _joined(self, start: int, stop: int, room: int) -> tuple[int, float, bytes]:
        """Return number, last time stamp and text of the runs beginning in ``[start, stop)`` which have *room*."""
        between = (self._base + start, self._base + stop)
        if query(self._connection, _SIZE, between)[0][0] + stop - start <= room:
            n, t2, text = query(self._connection, _JOINED, between)[0]
            if n is None:
                raise damaged(self.key, start)
            return n, t2, text
        n, t2, texts = 0, 0.0, []
        with closing(self._connection.execute(_ONE_BY_ONE, between)) as cursor:
            row: tuple[Any, ...]
            for row in cursor:
                more, t, text = row
                room -= len(text) + 1
                if room < 0:
                    break
                n, t2 = n + more, t
                texts.append(text)
        return n, t2, b",".join(texts)
