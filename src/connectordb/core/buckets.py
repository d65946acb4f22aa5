"""Statistics of calendar windows, in one pass and in little memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..columns import Mixed, to_column
from ..errors import Invalid
from ..pipescript import Batch
from ..pipescript.builtins.dates import zone as zone_of
from ..pipescript.builtins.windows import FIRST_S, LAST_S, windows
from ..pipescript.kernels.windows import starts
from ..pipescript.values import Failure
from ..store.records import Summary

__all__ = ["Buckets"]

_ANYTHING: Final = frozenset({"count", "first", "last"})
"""Statistics for which values need not be numbers."""
_NUMBERS: Final = frozenset({int, float})
_SUM_MAX: Final = 2.0**62


class _Bucket:
    """What is known of a window.

    Attributes:
        start: When it begins.
        n: How many values there are.
        total: Their sum; *lost* is what rounding has taken from it.
        squares: Sum of the squares of their distances from their mean.
    """

    __slots__ = ("first", "last", "lost", "max", "min", "n", "squares", "start", "total")

    def __init__(self, start: float, part: _Part) -> None:
        self.start = start
        self.n, self.first, self.last, self.min, self.max, self.total, self.squares = part
        self.lost = 0.0

    def add(self, part: _Part) -> None:
        """Take more values, which come after those that are there."""
        n = self.n + part.n
        if self.squares is not None:
            away = part.total / part.n - self.mean
            self.squares += part.squares + away * away * (self.n / n) * part.n
        if self.total is not None:
            self.min, self.max = min(self.min, part.min), max(self.max, part.max)
            total = self.total + part.total
            if type(total) is float and math.isfinite(total):
                a, b = (self.total, part.total) if abs(self.total) >= abs(part.total) else (part.total, self.total)
                self.lost += float(a - total) + b
            self.total = total
        self.n, self.last = n, part.last

    @property
    def sum(self) -> Any:
        return self.total + self.lost if self.lost else self.total

    @property
    def mean(self) -> float:
        return float(self.sum / self.n)

    @property
    def count(self) -> int:
        return self.n

    @property
    def stddev(self) -> float:
        return math.sqrt(self.squares / (self.n - 1)) if self.n > 1 else 0.0


class _Part(NamedTuple):
    """Some values of one window; what no statistic asks for is ``None``."""

    n: int
    first: Any
    last: Any
    min: Any
    max: Any
    total: Any
    squares: Any


class Buckets:
    """Statistics of the values of each window of one input, as an object, with the start of the window as its time.

    Nulls are no values, and windows without values are left out. The windows are those of the transform ``resample``.

    Attributes:
        takes_runs: Of a run of numbers which `fits` it is enough to know what is known without looking at them.
    """

    def __init__(self, every: str, stats: tuple[str, ...], zone: str) -> None:
        """Prepare the statistics.

        Args:
            every: Length of a window, as ``15m``.
            stats: What is wanted: names of `connectordb.core.reductions.STATS`.
            zone: IANA name of the time zone whose calendar it is.

        Raises:
            Invalid: there are no such windows, or there is no such zone.
        """
        try:
            self._windows = windows(every, zone_of(zone))
        except Failure as e:
            raise Invalid(f"every={every[:20]}: {e}") from None
        self._stats = stats
        self._numeric = not _ANYTHING.issuperset(stats)
        self._squares = "stddev" in stats
        self.takes_runs = not self._squares
        self._open: _Bucket | None = None

    def feed(self, batch: Batch) -> Batch | None:
        """Take the next datapoints, and return the windows that are complete by now.

        Raises:
            Invalid: a value is no number, and a statistic needs numbers; or there is no window for a time stamp.
        """
        t, values, numbers = self._values(batch)
        if not len(t):
            return None
        outside = (t < FIRST_S) | (t > LAST_S)
        if outside.any():
            raise Invalid(f"there is no window for t = {t[outside][0].item()!r}: it is too near to the year 10000")
        begins, begin_times = self._begins(t)
        return self._add(begin_times, self._parts(begins, values, numbers))

    def fits(self, t1: float, t2: float) -> bool:
        """Return whether a run from *t1* to *t2* lies in one window."""
        return t1 >= FIRST_S and t2 <= LAST_S and self._windows.start(t1) == self._windows.start(t2)

    def feed_runs(self, runs: Sequence[Summary]) -> Batch:
        """As `feed`, for runs that fit and of which only this is known."""
        begins, begin_times = self._begins(np.array([run.t1 for run in runs], np.float64))
        bounds = pairwise([*begins.tolist(), len(runs)])
        return self._add(begin_times, (self._part_of(runs[start:stop]) for start, stop in bounds))

    def _part_of(self, runs: Sequence[Summary]) -> _Part:
        low = high = total = None
        if self._numeric:
            low, high = min(run.low for run in runs), max(run.high for run in runs)
            total = _sum([run.total for run in runs])
        return _Part(sum(run.n for run in runs), runs[0].first, runs[-1].last, low, high, total, None)

    def _begins(self, t: NDArray[np.float64]) -> tuple[NDArray[np.intp], list[float]]:
        """Return the rows with which the windows of *t* begin, and when these windows do."""
        start = starts(self._windows, t)
        begins = np.flatnonzero(np.concatenate([[True], start[1:] != start[:-1]]))
        return begins, start[begins].tolist()

    def _add(self, begin_times: list[float], parts: Iterable[_Part]) -> Batch:
        """Take *parts* of windows that begin at these times, and return the windows that are complete by now."""
        done: list[_Bucket] = []
        for at, part in zip(begin_times, parts, strict=True):
            if self._open is not None and self._open.start == at:
                self._open.add(part)
            else:
                if self._open is not None:
                    done.append(self._open)
                self._open = _Bucket(at, part)
        return self._told(done)

    def end(self) -> Iterator[Batch]:
        """Yield the last window."""
        if self._open is not None:
            yield self._told([self._open])

    def _values(self, batch: Batch) -> tuple[NDArray[np.float64], Any, Any]:
        """Return time stamps, values, and the latter as an array of numbers if they have to be numbers."""
        t, column, kind = batch.times, None, batch.kind
        values: Any = None
        if kind in ("float", "int", "mixed", "bool", "text"):
            values = column = batch.column
        else:
            rows = [i for i, value in enumerate(batch.d) if value is not None]
            values = [batch.d[i] for i in rows]
            t = t[rows]
            if self._numeric and all(type(value) in _NUMBERS for value in values):
                column = to_column(values)
                kind = "int"
        if not self._numeric or not len(t):
            return t, values, None
        if kind not in ("float", "int", "mixed"):
            at = next((i for i, value in enumerate(_listed(values)) if type(value) not in _NUMBERS), 0)
            others = ", ".join(sorted(_ANYTHING))
            raise Invalid(f"the value for t = {t[at].item()!r} is no number: of others there are only {others}")
        if column is None:  # integers of any length
            return t, values, np.array(values, object)
        numbers: Any = column.values if isinstance(column, Mixed) else column
        if numbers.dtype.kind == "i" and float(abs(numbers).max()) * len(numbers) >= _SUM_MAX:
            numbers = numbers.astype(object)
        return t, values, numbers

    def _parts(self, begins: NDArray[np.intp], values: Any, numbers: Any) -> Iterator[_Part]:
        ends = np.append(begins[1:], len(values))
        counts = ends - begins
        firsts, lasts = _at(values, begins), _at(values, ends - 1)
        lows = highs = totals = squares = [None] * len(begins)
        if numbers is not None:
            with np.errstate(all="ignore"):
                lows = np.minimum.reduceat(numbers, begins).tolist()
                highs = np.maximum.reduceat(numbers, begins).tolist()
                total = np.add.reduceat(numbers, begins)
                totals = total.tolist()
                if self._squares:
                    try:
                        away = numbers.astype(np.float64) - np.repeat((total / counts).astype(np.float64), counts)
                    except OverflowError:
                        raise _too_large() from None
                    squares = np.add.reduceat(away * away, begins).tolist()
        return map(_Part, counts.tolist(), firsts, lasts, lows, highs, totals, squares)

    def _told(self, buckets: list[_Bucket]) -> Batch:
        stats = self._stats
        try:
            rows = [{name: getattr(bucket, name) for name in stats} for bucket in buckets]
            finite = all(math.isfinite(row[name]) for row in rows for name in stats if name not in _ANYTHING)
        except OverflowError:
            finite = False
        if not finite:
            raise _too_large()
        return Batch([bucket.start for bucket in buckets], rows)


def _sum(numbers: list[int | float]) -> int | float:
    if all(type(number) is int for number in numbers):
        return sum(numbers)
    try:
        return math.fsum(numbers)
    except OverflowError:
        return math.inf


def _at(values: Any, rows: NDArray[np.intp]) -> list[Any]:
    if isinstance(values, list):
        return [values[row] for row in rows.tolist()]
    return list(values[rows].tolist())


def _listed(values: Any) -> list[Any]:
    return values if isinstance(values, list) else list(values.tolist())


def _too_large() -> Invalid:
    return Invalid("the numbers are too large: a statistic of them is infinite")
