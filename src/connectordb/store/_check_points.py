"""Looking for damage in the datapoints of one substream."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from typing import NamedTuple

import apsw
import msgspec

from ..datapoint import Datapoint
from ..errors import NotFound, StoreError
from ._changes import late_runs, shifted
from ._connection import query
from ._data import View, read_head
from ._key import place_of
from ._reading import snapshot
from .base import Head

__all__ = ["Fault", "check_changes", "check_points"]

_STEP_BYTES = 4 << 20
"""So much text is looked at in one read transaction, so that none is long."""

_ROWS = "SELECT place, n, t1, t2, points FROM tail WHERE place > ? AND place < ? ORDER BY place"
_NEXT = "SELECT place FROM tail WHERE place > ? AND place < ? ORDER BY place LIMIT 1"
_CHANGES = "SELECT place, runs FROM changes WHERE place >= ? AND place < ? ORDER BY place"

_decode = msgspec.json.Decoder(list[Datapoint]).decode
_decode_runs = msgspec.json.Decoder(list[int]).decode


class Fault(NamedTuple):
    """What is wrong with the datapoints ``[i1, i2)``; both ``None``: with the substream as a whole."""

    problem: str
    i1: int | None = None
    i2: int | None = None


def check_points(
    connection: apsw.Connection, key: int, *, changes: bool = True, progress: Callable[[int], None] | None = None
) -> Iterator[Fault]:
    """Yield all that is wrong with the substream *key*; nothing if it has been deleted.

    Others may write meanwhile: it is looked at in short transactions, and late datapoints that come in between shift
    the place at which the next one goes on.

    Args:
        changes: Whether this version of the database notes where late datapoints went.
        progress: Told how many datapoints more have been looked at.
    """
    walk = _Walk(connection, key)
    while not walk.ended:
        with snapshot(connection):
            yield from walk.step()
            if walk.ended and walk.head is not None and changes:
                yield from check_changes(connection, key, walk.head)
        if progress is not None:
            progress(walk.seen)


class _Walk:
    """Goes through the rows of a substream, in steps.

    Attributes:
        head: As the last step saw it; ``None``: the substream is no more.
        ended: There is nothing left.
        seen: How many datapoints the last step has looked at.
    """

    def __init__(self, connection: apsw.Connection, key: int) -> None:
        self._connection = connection
        self._key = key
        self._base = place_of(key)
        self._behind = place_of(key + 1)
        self._place = self._base - 1  # of the last row
        self._expected = 0  # index of the next one
        self._t: float | None = None  # last time stamp of the last row, if that can be compared
        self.head: Head | None = None
        self.ended = False
        self.seen = 0

    def step(self) -> Iterator[Fault]:
        before = self.head
        began = self._expected
        try:
            self.head = read_head(self._connection, self._key)
        except NotFound:
            self.head, self.ended = None, True
            return
        if before is not None and self.head.merges != before.merges:
            yield from self._shift(before, self.head)
            began = self._expected
            if self.ended:
                return
        try:
            yield from self._rows()
        except apsw.CorruptError as error:
            yield from self._skip(error)
        if self.ended:
            yield from self._compare(self.head)
        self.seen = max(0, self._expected - began)

    def _rows(self) -> Iterator[Fault]:
        left = _STEP_BYTES
        with closing(self._connection.execute(_ROWS, (self._place, self._behind))) as cursor:
            for place, n, t1, t2, text in cursor:
                yield from self._row(place, n, t1, t2, text)
                left -= len(text)
                if left < 0:
                    return
        self.ended = True

    def _row(self, place: int, n: int, t1: float, t2: float, text: bytes) -> Iterator[Fault]:
        first = place - self._base
        yield from self._gap(first)
        if n < 1:
            yield Fault(f"a run of {n} datapoints", first, first)
        elif self._t is not None and t1 < self._t:
            yield Fault(f"begins with t = {t1!r}, and the one before has t = {self._t!r}", first, first + n)
        problem = _problem(n, t1, t2, text)
        if problem is not None:
            yield Fault(problem, first, first + n)
        self._place, self._expected, self._t = place, first + max(n, 0), t2

    def _gap(self, first: int) -> Iterator[Fault]:
        if first > self._expected:
            yield Fault("missing", self._expected, first)
        elif first < self._expected:
            yield Fault("stored twice", first, self._expected)

    def _skip(self, error: apsw.Error) -> Iterator[Fault]:
        """Go on behind a row that cannot be read, if what is behind it can be found."""
        found = size = None
        try:
            rows = query(self._connection, _NEXT, (self._place, self._behind))
            found = rows[0][0] if rows else None
            if found is not None:
                size = query(self._connection, "SELECT n FROM tail WHERE place = ?", (found,))[0][0]
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

    def _compare(self, head: Head) -> Iterator[Fault]:
        """Compare what was found with the head, when all has been seen."""
        if self._expected < head.n:
            yield Fault("missing", self._expected, head.n)
        elif self._expected > head.n:
            yield Fault(f"more than the {head.n} that there should be", head.n, self._expected)
        elif head.n and self._t is not None and self._t != head.t:
            yield Fault(f"the newest has t = {self._t!r}, and should have t = {head.t!r}", head.n - 1, head.n)
        if head.arrivals != head.n:
            yield Fault(f"{head.arrivals} datapoints have arrived, and {head.n} are stored")

    def _shift(self, before: Head, now: Head) -> Iterator[Fault]:
        """Go on at the row that holds what would have come next, after others were merged in front of it."""
        if self._expected >= before.n:
            # All was seen: what has come since is behind it, or is among what was seen.
            self._expected = before.n - 1
        try:
            late = late_runs(self._connection, self._key, before.arrivals, now.arrivals)
            [(i, _)] = shifted([(max(self._expected, 0), 1)], late)
            run = View(self._connection, self._key, now).run_at(i)
        except (StoreError, msgspec.MsgspecError, ValueError) as error:
            yield Fault(f"what came late meanwhile cannot be found: {error}")
            self.ended = True
            return
        self._place, self._expected, self._t = self._base + run.i - 1, run.i, None


def check_changes(connection: apsw.Connection, key: int, head: Head) -> Iterator[Fault]:
    """Yield what is wrong with the notes on where late datapoints went, inside a transaction."""
    count = arrived = 0
    with closing(connection.execute(_CHANGES, (place_of(key), place_of(key + 1)))) as cursor:
        for place, text in cursor:
            count += 1
            before = place - place_of(key)
            try:
                numbers = _decode_runs(text)
                runs = list(zip(numbers[::2], numbers[1::2], strict=True))
            except (msgspec.MsgspecError, ValueError) as error:
                yield Fault(f"the note on late datapoints at {before} cannot be read: {error}")
                continue
            new = sum(number for _, number in runs)
            fits = (
                bool(runs)
                and runs[0][0] >= 0
                and all(number > 0 for _, number in runs)
                and all(first + number < following for (first, number), (following, _) in pairwise(runs))
                and sum(runs[-1]) <= before + new
            )
            if not fits or before < arrived or before + new > head.arrivals:
                yield Fault(
                    f"the note on late datapoints at {before} tells of datapoints that are not there: {numbers}"
                )
            arrived = before + new
    if count > head.merges:
        yield Fault(f"late datapoints came {head.merges} times, and {count} notes tell of that")


def _problem(n: int, t1: float, t2: float, text: bytes) -> str | None:
    """Return what is wrong with a run, by itself."""
    try:
        points = _decode(b"[" + text + b"]")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return f"the text is damaged: {error}"
    if len(points) != n:
        return f"{len(points)} datapoints instead of {n}"
    if not points:
        return None
    if points[0].t != t1 or points[-1].t != t2:
        return f"t goes from {points[0].t!r} to {points[-1].t!r}, and should go from {t1!r} to {t2!r}"
    t = -math.inf
    for point in points:
        if not t <= point.t < math.inf:
            return f"t = {point.t!r} comes after t = {t!r}"
        t = point.t
    return None
