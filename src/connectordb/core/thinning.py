"""Fewer datapoints that look like all of them, in one pass and in little memory: for a plot, or a timeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..columns import Categories, Column, Mixed
from ..errors import Invalid
from ..pipescript import Batch
from ..store.records import Summary

__all__ = ["POINTS_MAX", "POINTS_MIN", "Thinning"]

POINTS_MIN: Final = 5
POINTS_MAX: Final = 100_000
BUCKETS_PER_POINT: Final = 4
"""Most buckets, for each datapoint that is wanted; of each, two datapoints are kept."""
RUN_POINTS: Final = 10_000
"""About so many datapoints are in a run of which a store knows something without looking at them."""
KEPT_BYTES_MAX: Final = 32 * 1024 * 1024
"""Of values that are no numbers, so much is kept, as JSON."""

_NUMBERS: Final = frozenset({int, float})
_FIRST: Final = np.array([0])
_encode = msgspec.json.Encoder().encode

Floats: TypeAlias = NDArray[np.float64]


class Thinning:
    """At most so many of the datapoints of one input.

    Numbers: those between which a line looks most like the one between all, the first, the last, the smallest and the
    largest among them. That is MinMaxLTTB: of equal parts of the input the smallest and the largest number, and of
    these what LTTB chooses. Nulls are left out.

    Anything else: those where the value changes, and the last; if these are too many, every second (fourth, ...) of
    them.

    Up to so many datapoints of numbers are left as they are.

    Attributes:
        takes_runs: Of numbers in a run it is enough to know the smallest, the largest, the first and the last:
            `feed_runs`. From other datapoints no more than that is taken then.
        fits: Every run will do.
    """

    fits: None = None

    def __init__(self, points: int, n: int = 0) -> None:
        """Prepare to thin to *points*, which are from `POINTS_MIN` to `POINTS_MAX`.

        Args:
            n: So many datapoints are to come, or about as many; 0: nobody knows.
        """
        self.takes_runs = 2 * (n // RUN_POINTS) >= points
        self._points = points
        self._kept: _Numbers | _Changes | None = None
        self._null: float | None = None
        self._end: tuple[float, Any] | None = None  # the last number, which may not have been kept

    def feed(self, batch: Batch) -> None:
        """Take the next datapoints.

        Raises:
            Invalid: there are numbers and other values.
        """
        kind = batch.kind
        if kind in ("float", "int", "mixed"):
            column = batch.column
            assert column is not None  # noqa: S101
            numbers = column.values if isinstance(column, Mixed) else column
            self._feed_numbers(batch.times, np.asarray(numbers, np.float64), column)
        elif kind == "other":
            self._feed_values(batch)
        else:
            self._changes(batch.t[0]).feed(batch)

    def feed_runs(self, runs: Sequence[Summary]) -> None:
        """The same for numbers of which only this is known, if it `takes_runs`."""
        t = np.array([(run.t_low, run.t_high) for run in runs], np.float64)
        values = np.array([(run.low, run.high) for run in runs], object)
        swapped = t[:, 0] > t[:, 1]
        for array in (t, values):
            array[swapped] = array[swapped][:, ::-1]
        first, last = runs[0], runs[-1]
        self._choose_from(
            t.ravel(), values.astype(np.float64).ravel(), values.ravel().tolist(), (first.t1, first.first)
        )
        self._end = last.t2, last.last

    def end(self) -> Iterator[Batch]:
        """Yield what is left of all."""
        if self._end is not None:
            t, value = self._end
            self._choose_from(np.array([t]), _floats([value]), [value])
        if self._kept is not None:
            yield self._kept.end()
        elif self._null is not None:
            yield Batch([self._null], [None])

    def _feed_values(self, batch: Batch) -> None:
        t, d = batch.t, batch.d
        rows = [i for i, value in enumerate(d) if value is not None]
        if not rows:
            if isinstance(self._kept, _Changes):
                self._kept.feed(batch)
            elif self._kept is None and self._null is None:
                self._null = t[0]
            return
        kinds = {type(d[i]) in _NUMBERS for i in rows}
        if len(kinds) > 1:
            raise _both(next(t[i] for i in rows if (type(d[i]) in _NUMBERS) is not (type(d[rows[0]]) in _NUMBERS)))
        if kinds == {False}:
            self._changes(t[0]).feed(batch)
            return
        values = [d[i] for i in rows]
        self._feed_numbers(np.array([t[i] for i in rows], np.float64), _floats(values), values)

    def _feed_numbers(self, t: Floats, x: Floats, values: Column | list[Any]) -> None:
        if not self.takes_runs:
            self._numbers(float(t[0])).feed(t, x, values)
            return
        for start in range(0, len(t), RUN_POINTS):
            part = x[start : start + RUN_POINTS]
            rows = start + np.sort([part.argmin(), part.argmax()])
            self._choose_from(t[rows], x[rows], _taken(values, rows), (float(t[0]), _taken(values, _FIRST)[0]))
        self._end = float(t[-1]), _taken(values, np.array([len(t) - 1]))[0]

    def _choose_from(self, t: Floats, x: Floats, values: list[Any], first: tuple[float, Any] | None = None) -> None:
        """Take numbers of which some may be the same datapoint, one after the other.

        Args:
            first: The first of those that they stand for.
        """
        kept = self._numbers(float(t[0]))
        if first is not None and not kept.n:
            t, x, values = np.append(first[0], t), np.append(_floats(first[1:]), x), [first[1], *values]
        t_before, x_before = kept.latest
        new = (t != np.append(t_before, t[:-1])) | (x != np.append(x_before, x[:-1]))
        rows = np.flatnonzero(new)
        if len(rows):
            kept.feed(t[rows], x[rows], _taken(values, rows))

    def _numbers(self, t: float) -> _Numbers:
        if self._kept is None:
            self._kept = _Numbers(self._points)
        if isinstance(self._kept, _Changes):
            raise _both(t)
        return self._kept

    def _changes(self, t: float) -> _Changes:
        if self._kept is None:
            self._kept = _Changes(self._points)
            if self._null is not None:
                self._kept.feed(Batch([self._null], [None]))
        if isinstance(self._kept, _Numbers):
            raise _both(t)
        return self._kept


class _Numbers:
    """The smallest and the largest number of each of equal parts of what has come.

    There are always room for so many parts; when there are more, each two become one.
    """

    def __init__(self, points: int) -> None:
        self._points = points
        room = self._room = BUCKETS_PER_POINT * points
        self._k = 0
        self._width = 1
        self._n = 0
        # Of each part the smallest and the largest: their position, time stamp, number, and value as it was.
        self._at = np.empty((room, 2), np.int64)
        self._t = np.empty((room, 2), np.float64)
        self._x = np.empty((room, 2), np.float64)
        self._d = np.empty((room, 2), object)
        self._first: tuple[float, float, Any] | None = None
        self._last: tuple[float, float, Any] = (np.nan, np.nan, None)

    @property
    def n(self) -> int:
        """How many have come."""
        return self._n

    @property
    def latest(self) -> tuple[float, float]:
        """Time stamp and number of the one that came last; not a number if there is none."""
        return self._last[:2]

    def feed(self, t: Floats, x: Floats, values: Column | list[Any]) -> None:
        if self._first is None:
            self._first = float(t[0]), float(x[0]), _taken(values, _FIRST)[0]
        self._last = float(t[-1]), float(x[-1]), _taken(values, np.array([len(x) - 1]))[0]
        start = 0
        while start < len(x):
            space = (self._room - self._k) * self._width + -self._n % self._width
            if not space:
                self._halve()
                continue
            stop = min(len(x), start + space)
            self._take(t, x, values, start, stop)
            start = stop

    def _take(self, t: Floats, x: Floats, values: Column | list[Any], start: int, stop: int) -> None:
        n, width, k = self._n, self._width, self._k
        x_part = x[start:stop]
        begun = min(-n % width, stop - start)  # so many go to the part that has begun
        begins = np.arange(begun, stop - start, width)
        if begun:
            begins = np.concatenate([[0], begins])
        for which, ufunc in ((0, np.minimum), (1, np.maximum)):
            rows = begins if width == 1 else _first_best(ufunc, x_part, begins)
            to = k
            if begun:
                best, new = self._x[k - 1, which], x_part[rows[0]]
                better = new < best if which == 0 else new > best
                if better:
                    self._put(k - 1, which, t, x, values, start, rows[:1])
                rows = rows[1:]
            if len(rows):
                self._put(to, which, t, x, values, start, rows)
        self._k = k + len(begins) - (1 if begun else 0)
        self._n = n + stop - start

    def _put(
        self, to: int, which: int, t: Floats, x: Floats, values: Column | list[Any], start: int, rows: NDArray[Any]
    ) -> None:
        end = to + len(rows)
        self._at[to:end, which] = rows + self._n
        self._t[to:end, which] = t[start + rows]
        self._x[to:end, which] = x[start + rows]
        self._d[to:end, which] = _taken(values, start + rows)

    def _halve(self) -> None:
        half = self._k // 2
        second = self._x[1 : self._k : 2, 0] < self._x[0 : self._k : 2, 0]
        larger = self._x[1 : self._k : 2, 1] > self._x[0 : self._k : 2, 1]
        which = np.stack([second, larger], axis=1)
        for array in (self._at, self._t, self._x, self._d):
            array[:half] = np.where(which, array[1 : self._k : 2], array[0 : self._k : 2])
        self._k = half
        self._width *= 2

    def end(self) -> Batch:
        assert self._first is not None  # noqa: S101
        k = self._k
        ends = (self._first, self._last)
        at, rows = np.unique(np.concatenate([self._at[:k].ravel(), [0, self._n - 1]]), return_index=True)
        t = np.concatenate([self._t[:k].ravel(), [end[0] for end in ends]])[rows]
        x = np.concatenate([self._x[:k].ravel(), [end[1] for end in ends]])[rows]
        d = [*self._d[:k].ravel().tolist(), *(end[2] for end in ends)]
        if len(at) > self._points:
            chosen = _lttb().downsample(t, x, n_out=self._points - 2)
            kept = np.unique(np.concatenate([chosen, [x.argmin(), x.argmax()]]).astype(np.intp))
            t, rows = t[kept], rows[kept]
        return Batch(t.tolist(), [d[row] for row in rows.tolist()])


class _Changes:
    """The datapoints where the value changes; if they are too many, or too large, each so many-th of them."""

    def __init__(self, points: int) -> None:
        self._points = points
        self._kept: list[tuple[float, Any, int]] = []
        self._bytes = 0
        self._n = 0
        self._step = 1
        self._last: tuple[float, Any] | None = None

    def feed(self, batch: Batch) -> None:
        rows = _changing(batch)
        if self._last is not None and _same(self._last[1], batch.point(0)[1]):
            rows = rows[1:]
        for row in rows:
            if self._n % self._step == 0:
                t, d = batch.point(row)
                size = 0 if isinstance(d, bool) else len(_encode(d))
                self._kept.append((t, d, size))
                self._bytes += size
                while len(self._kept) > 2 * self._points or (self._bytes > KEPT_BYTES_MAX and len(self._kept) > 1):
                    self._halve()
            self._n += 1
        self._last = batch.point(batch.n - 1)

    def _halve(self) -> None:
        del self._kept[1::2]
        self._bytes = sum(size for _, _, size in self._kept)
        self._step *= 2

    def end(self) -> Batch:
        assert self._last is not None  # noqa: S101
        while len(self._kept) > self._points:
            self._halve()
        kept: list[tuple[float, Any]] = [(t, d) for t, d, _ in self._kept]
        if kept[-1] != self._last:
            if len(kept) == self._points:
                del kept[1::2]
            kept.append(self._last)
        return Batch([t for t, _ in kept], [d for _, d in kept])


def _lttb() -> Any:
    from tsdownsample import LTTBDownsampler

    make: Any = LTTBDownsampler  # which has no types
    return make()


def _first_best(ufunc: np.ufunc, x: Floats, begins: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return of each part of *x* the first row with its smallest, or largest, number."""
    best = ufunc.reduceat(x, begins)
    hits = np.flatnonzero(x == np.repeat(best, np.diff(begins, append=len(x))))
    return hits[np.searchsorted(hits, begins)]


def _changing(batch: Batch) -> list[int]:
    """The rows of *batch* whose value is not that of the row before; the first is one of them."""
    column = batch.column if batch.kind in ("bool", "text") else None
    if column is not None:
        codes: Any = column.codes if isinstance(column, Categories) else column
        return [0, *(np.flatnonzero(codes[1:] != codes[:-1]) + 1).tolist()]
    d = batch.d
    return [i for i, value in enumerate(d) if i == 0 or not _same(d[i - 1], value)]


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and bool(a == b)


def _taken(values: Column | list[Any], rows: NDArray[np.intp]) -> list[Any]:
    if isinstance(values, list):
        return [values[row] for row in rows.tolist()]
    return list(values[rows].tolist())


def _floats(values: Sequence[Any]) -> Floats:
    try:
        return np.array([float(value) for value in values], np.float64)
    except OverflowError:
        raise Invalid("an integer is too large to be drawn: it has more than 308 digits") from None


def _both(t: float) -> Invalid:
    return Invalid(
        f"points= thins numbers, or else values that are no numbers; here are both (t = {t!r}): let a transform choose"
    )
