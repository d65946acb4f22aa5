"""Datapoints in SQLite, for reading: the head, places in time, pages."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Any, NamedTuple, TypeVar

import apsw
import msgspec

from ..block import Block
from ..errors import NotFound, StoreError
from ._cache import BlockCache
from ._connection import query
from ._errors import damaged, unreadable
from ._key import place_of
from ._objects import path_of
from ._runs import summaries_of
from ._text import join, split, time_of
from .records import Head, Substream, Summary

__all__ = ["PAGE_BYTES_MAX", "PAGE_POINTS", "Run", "View", "read_head", "read_heads", "read_sealed"]

PAGE_POINTS = 1_000
"""A page ends with the first run that brings it to so many datapoints. One that begins in a block is what is wanted of
that block."""
PAGE_BYTES_MAX = 1 << 20
"""A page of more than one run is not longer than this."""

T = TypeVar("T")

SUMMARIES = 2_000
"""Of so many runs at most it is told in one step what is known of them."""

_HEAD = "SELECT n, t, arrivals, merges FROM heads WHERE substream = ?"
_HEADS = "SELECT id, n, t, arrivals, merges FROM streams JOIN heads ON substream = 2 * id + ? WHERE device_id = ?"
_SEALED = "SELECT sealed FROM heads WHERE substream = ?"
_ROW = "SELECT place, n, t1, t2, coalesce(size, length(points)), block FROM runs"
_RUN = f"{_ROW} WHERE place <= ? ORDER BY place DESC LIMIT 1"
_RUNS = f"{_ROW} WHERE place >= ? AND place < ? ORDER BY place"
_POINTS = "SELECT points FROM runs WHERE place = ?"
_DATA = "SELECT data FROM blocks WHERE id = ?"
_STATS = f"SELECT place, n, t1, t2, stats FROM runs WHERE place >= ? AND place < ? ORDER BY place LIMIT {SUMMARIES}"
_BETWEEN = "FROM runs WHERE place >= ? AND place < ?"
_SIZE = f"SELECT coalesce(sum(length(points)), 0), min(CASE WHEN block IS NOT NULL THEN place END) {_BETWEEN}"
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


def read_heads(connection: apsw.Connection, device_id: int) -> dict[int, Head]:
    """Return the state of the main substream of each stream of a device, by the stream's id."""
    rows = query(connection, _HEADS, (Substream.MAIN, device_id))
    return {stream_id: Head(*rest) for stream_id, *rest in rows}


def read_sealed(connection: apsw.Connection, key: int) -> int:
    """Return how many datapoints, from the first on, are noted as being in blocks."""
    sealed: int = query(connection, _SEALED, (key,))[0][0]
    return sealed


class Run(NamedTuple):
    """A run without its datapoints.

    Attributes:
        i: Index of the first datapoint.
        n: Number of datapoints.
        t1, t2: Time stamps of the first and the last, in seconds.
        size: Length of the text, in bytes; of a block, roughly.
        block: Id of the block that it is sealed in; ``None``: it is text.
    """

    i: int
    n: int
    t1: float
    t2: float
    size: int
    block: int | None

    @property
    def end(self) -> int:
        """Index behind the last datapoint."""
        return self.i + self.n


class View:
    """A substream as one transaction sees it; not to be used when that has ended.

    Args:
        cache: Of blocks, for who sees only what is committed.

    Attributes:
        key: Which substream.
        head: Its state.
    """

    def __init__(
        self, connection: apsw.Connection, key: int, head: Head | None = None, cache: BlockCache | None = None
    ) -> None:
        self._connection = connection
        self._cache = cache
        # A range by time looks twice into the same runs; no more are kept, as a work may go through all there are.
        self._sealed: dict[int, Block] = {}
        self._texts: dict[int, list[msgspec.Raw]] = {}
        self._base = place_of(key)
        self.key = key
        self.head = read_head(connection, key) if head is None else head

    def run_at(self, i: int) -> Run:
        """Return the run which holds index *i*, ``0 <= i < n``."""
        rows = query(self._connection, _RUN, (self._base + i,))
        if rows:
            place, n, t1, t2, size, block = rows[0]
            first = place - self._base
            if 0 <= first <= i < first + n:
                return Run(first, n, t1, t2, size, block)
        raise damaged(self.key, i)

    def runs(self, i: int, t2: float = math.inf) -> Generator[Run, None, None]:
        """Yield the run that begins at index *i* and those behind it, up to the last that does not begin after *t2*."""
        with closing(self._connection.execute(_RUNS, (self._base + i, place_of(self.key + 1)))) as cursor:
            row: tuple[Any, ...]
            for row in cursor:
                run = Run(row[0] - self._base, *row[1:])
                if run.t1 > t2:
                    return
                yield run

    def block(self, run: Run) -> Block:
        """Return the datapoints of *run*."""
        if run.block is not None:
            return self._unsealed(run, run.block)
        return Block(run.n, run.t1, run.t2, json=query(self._connection, _POINTS, (self._base + run.i,))[0][0])

    def joined(self, runs: Sequence[Run]) -> Block:
        """Return the datapoints of *runs*, which follow each other."""
        return Block.joined([self.block(run) for run in runs])

    def cut(self, run: Run, start: int, stop: int) -> Block:
        """Return the datapoints of *run* with an index in ``[start, stop)``, at least one."""
        start, stop = max(start - run.i, 0), min(stop - run.i, run.n)
        if (start, stop) == (0, run.n):
            return self.block(run)
        if run.block is not None:
            block = self.block(run)
            if block.columns is not None:
                return block.slice(start, stop)
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
                return run.i + self._count_until(run, t)
        return low

    def index_from(self, t: float) -> int:
        """Return the index of the first datapoint that is not before *t*; the length if there is none."""
        return self.index_after(math.nextafter(t, -math.inf))

    def page(self, start: int, stop: int) -> Block:
        """Return the datapoints from index *start* on, to *stop* or the end of a page; ``start < stop <= n``."""
        run = self.run_at(start)
        block = self.cut(run, start, stop)
        if run.block is not None:
            return block
        upto = min(stop, start + PAGE_POINTS)
        room = PAGE_BYTES_MAX - len(block.json) - 1
        if run.end >= upto or room <= 0:
            return block
        last = self.run_at(upto - 1)
        whole_upto = last.i if last.end > stop or last.block is not None else upto
        parts, t2, n = [block.json], block.t2, block.n
        if run.end < whole_upto:
            more, t2, text = self._joined(run.end, whole_upto, room)
            if more == 0:
                return block
            parts.append(text)
            n += more
            room -= len(text) + 1
        if start + n == last.i and last.size <= room and last.block is None:
            part = self.cut(last, last.i, stop)
            parts.append(part.json)
            n, t2 = n + part.n, part.t2
        return Block(n, block.t1, t2, json=b",".join(parts))

    def _unsealed(self, run: Run, block_id: int) -> Block:
        block = self._sealed.get(block_id)
        if block is None and self._cache is not None:
            block = self._cache.get(block_id)
        if block is None:
            from ._codec import decode  # which needs numpy

            rows = query(self._connection, _DATA, (block_id,))
            if not rows:
                raise damaged(self.key, run.i)
            try:
                block = decode(rows[0][0])
                if (block.n, block.t1, block.t2) != run[1:4]:
                    raise StoreError("the block is that of other ones")
            except StoreError as error:
                path = path_of(self._connection, self.key)
                raise unreadable(path, run.i, run.end, error) from error
            if self._cache is not None:
                self._cache.put(block_id, block)
        _keep(self._sealed, block_id, block)
        return block

    def _count_until(self, run: Run, t: float) -> int:
        """Return how many datapoints of *run* are not after *t*."""
        if run.block is not None:
            columns = self.block(run).columns
            if columns is not None:
                return int(columns[0].searchsorted(t, "right"))
        return bisect_right(self._split(run), t, key=time_of)

    def summaries(
        self, start: int, stop: int, fits: Callable[[float, float], bool] | None = None
    ) -> tuple[list[Summary], int]:
        """Return what is known of the runs that begin at index *start*, and the index behind them.

        They end with the first of which not enough is known, that does not end before *stop*, or for whose time
        stamps *fits* says no.
        """
        known: list[tuple[int, float, float, bytes]] = []
        i = start
        with closing(self._connection.execute(_STATS, (self._base + start, self._base + stop))) as cursor:
            for place, n, t1, t2, stats in cursor:
                if place != self._base + i or stats is None or i + n > stop or (fits is not None and not fits(t1, t2)):
                    break
                known.append((n, t1, t2, stats))
                i += n
        return summaries_of(known), i

    def _split(self, run: Run) -> list[msgspec.Raw]:
        texts = self._texts.get(run.i)
        if texts is None:
            texts = split(self.block(run).json)
            _keep(self._texts, run.i, texts)
        return texts

    def _joined(self, start: int, stop: int, room: int) -> tuple[int, float, bytes]:
        """Return number, last time stamp and text of the runs beginning in ``[start, stop)`` which have *room*."""
        between = (self._base + start, self._base + stop)
        size, sealed = query(self._connection, _SIZE, between)[0]
        if sealed is not None:
            stop = sealed - self._base
            if start == stop:
                return 0, 0.0, b""
            return self._joined(start, stop, room)
        if size + stop - start <= room:
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


def _keep(kept: dict[int, T], key: int, value: T) -> None:
    """Keep *value*, and not more than one other."""
    while len(kept) > 1:
        del kept[next(iter(kept))]
    kept[key] = value
