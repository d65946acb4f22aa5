"""Looking for damage in the datapoints of one substream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

import apsw

from ..errors import NotFound
from ._check_changes import Fault, check_changes
from ._check_runs import Row, problem_of
from ._connection import query
from ._data import read_head, read_sealed
from ._key import place_of
from ._reading import snapshot
from ._versions import has_blocks, has_changes, runs_of
from .records import Head

__all__ = ["Fault", "check_points"]

_STEP_BYTES = 4 << 20
"""So much text is looked at in one read transaction, so that none is long."""


class _Place(NamedTuple):
    """Where a run is: index of the first datapoint, number, last time stamp."""

    i: int
    n: int
    t2: float

    @property
    def end(self) -> int:
        return self.i + self.n


def check_points(
    connection: apsw.Connection, key: int, version: int, *, progress: Callable[[int], None] | None = None
) -> Iterator[Fault]:
    """Yield all that is wrong with the substream *key*; nothing if it has been deleted.

    Others may write meanwhile: it is looked at in short transactions. What has got another index between two of them
    is found again by its time stamp.

    Args:
        version: Of the database. One that is to be brought up to date yet is looked at in one transaction.
        progress: Told how many datapoints more have been looked at.
    """
    walk = _Walk(connection, key, version)
    while not walk.ended:
        with snapshot(connection):
            yield from walk.step()
            if walk.ended and walk.head is not None and has_changes(version):
                yield from check_changes(connection, key, walk.head, version)
        if progress is not None:
            progress(walk.seen)


class _Walk:
    """Goes through the runs of a substream, in steps.

    Attributes:
        head: As the last step saw it; ``None``: the substream is no more.
        ended: There is nothing left.
        seen: How many datapoints the last step has looked at.
    """

    def __init__(self, connection: apsw.Connection, key: int, version: int) -> None:
        self._connection = connection
        self._key = key
        self._version = version
        self._base = place_of(key)
        self._behind = place_of(key + 1)
        self._place = self._base - 1  # of the last row
        self._expected = 0  # index of the next one
        self._t: float | None = None  # last time stamp of the last row, if that can be compared
        self._data_version = 0
        self._sealed = 0
        runs = runs_of(version)
        more = "block, size, stats" if has_blocks(version) else "NULL, NULL, NULL"
        between = f"FROM {runs} WHERE place > ? AND place < ? ORDER BY place"
        self._rows_sql = f"SELECT place, n, t1, t2, points, {more} {between}"
        self._next_sql = f"SELECT place {between} LIMIT 1"
        self._n_sql = f"SELECT n FROM {runs} WHERE place = ?"
        self._at_sql = f"SELECT place, n, t2 FROM {runs} WHERE place >= ? AND place <= ? ORDER BY place DESC LIMIT 1"
        self.head: Head | None = None
        self.ended = False
        self.seen = 0

    def step(self) -> Iterator[Fault]:
        before = self.head
        try:
            self.head = read_head(self._connection, self._key)
        except NotFound:
            self.head, self.ended = None, True
            return
        if has_blocks(self._version):
            yield from self._check_sealed(self.head, told=before is not None)
        data_version = self._connection.data_version()
        until = None
        if before is not None and data_version != self._data_version:
            until = self._t
            self._resume(before, self.head)
        self._data_version = data_version
        began = self._expected
        try:
            yield from self._rows(until)
        except apsw.CorruptError as error:
            yield from self._skip(error)
        if self.ended:
            yield from self._compare(self.head)
        self.seen = max(0, self._expected - began)

    def _rows(self, until: float | None) -> Iterator[Fault]:
        """Look at some rows, at least to behind the time *until*, so that it goes on however much others write."""
        left = _STEP_BYTES
        with closing(self._connection.execute(self._rows_sql, (self._place, self._behind))) as cursor:
            for place, *columns in cursor:
                row = Row(*columns)
                yield from self._row(place, row)
                left -= row.weight
                if left < 0 and has_blocks(self._version) and (until is None or row.t2 > until):
                    return
        self.ended = True

    def _row(self, place: int, row: Row) -> Iterator[Fault]:
        first = place - self._base
        end = first + max(row.n, 0)
        yield from self._gap(first)
        if row.n > 0 and self._t is not None and row.t1 < self._t:
            yield Fault(f"begins with t = {row.t1!r}, and the one before has t = {self._t!r}", first, end)
        problem = problem_of(self._connection, row)
        if problem is not None:
            yield Fault(problem, first, end)
        if first < self._sealed and (row.block is None or end > self._sealed):
            yield Fault(f"the first {self._sealed} datapoints should be in blocks, and these are not", first, end)
        self._place, self._expected, self._t = place, end, row.t2

    def _gap(self, first: int) -> Iterator[Fault]:
        if first > self._expected:
            yield Fault("missing", self._expected, first)
        elif first < self._expected:
            yield Fault("stored twice", first, self._expected)

    def _skip(self, error: apsw.Error) -> Iterator[Fault]:
        """Go on behind a row that cannot be read, if what is behind it can be found."""
        found = size = None
        try:
            rows = query(self._connection, self._next_sql, (self._place, self._behind))
            found = rows[0][0] if rows else None
            if found is not None:
                [(size,)] = query(self._connection, self._n_sql, (found,)) or [(None,)]
        except apsw.CorruptError:
            pass
        if found is None or size is None or size < 1:
            end = self.head.n if self.head is not None else self._expected
            yield Fault(f"cannot be read, nor what may be behind it: {error}", self._expected, end)
            self._expected, self._t, self.ended = end, None, True
            return
        first = found - self._base
        yield from self._gap(first)
        yield Fault(f"cannot be read: {error}", first, first + size)
        self._place, self._expected, self._t = found, first + size, None

    def _check_sealed(self, head: Head, *, told: bool) -> Iterator[Fault]:
        self._sealed = read_sealed(self._connection, self._key)
        if not told and not 0 <= self._sealed <= head.n:
            yield Fault(f"{self._sealed} datapoints should be in blocks, and there are {head.n}")

    def _compare(self, head: Head) -> Iterator[Fault]:
        """Compare what was found with the head, when all has been seen."""
        if self._expected < head.n:
            yield Fault("missing", self._expected, head.n)
        elif self._expected > head.n:
            yield Fault(f"more than the {head.n} that there should be", head.n, self._expected)
        elif head.n and self._t is not None and self._t != head.t:
            yield Fault(f"the newest has t = {self._t!r}, and should have t = {head.t!r}", head.n - 1, head.n)
        if not has_blocks(self._version) and head.arrivals != head.n:
            yield Fault(f"{head.arrivals} datapoints have arrived, and {head.n} are stored")

    def _resume(self, before: Head, now: Head) -> None:
        """Find where to go on: runs may have been joined and divided, and datapoints may have other indices."""
        i = self._expected
        if now.merges != before.merges:
            i = min(i, now.n) if self._t is None else self._index_from(self._t, now.n)
        run = self._run_at(i)
        if run is None or run.end <= i:
            self._place, self._expected = self._base + i - 1, i
        else:
            self._place, self._expected = self._base + run.i - 1, run.i
        if now.merges != before.merges or self._expected != i:
            self._t = None

    def _index_from(self, t: float, n: int) -> int:
        """Return the index at which the first run begins that ends at time *t* or later; *n* if there is none."""
        low, high = 0, n
        while low < high:
            middle = (low + high) // 2
            run = self._run_at(middle)
            if run is not None and run.t2 >= t:
                high = run.i
            else:
                low = middle + 1 if run is None else max(middle + 1, run.end)
        return low

    def _run_at(self, i: int) -> _Place | None:
        """Return the last run that begins at index *i* or before."""
        for place, n, t2 in query(self._connection, self._at_sql, (self._base, self._base + i)):
            return _Place(place - self._base, n, t2)
        return None
