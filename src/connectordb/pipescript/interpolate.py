"""Interpolators: the value of a stream at a series of times.

Each reads its stream once, as far as the times go, and keeps a datapoint or two.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import chain
from typing import Final

from ..columns import Categories, Mixed, Records, numpy
from ..errors import ScriptError
from .batch import Batch
from .plan import Settings
from .reader import Reader
from .registry import INTERPOLATORS, Point, RunningInterpolator, interpolator, load_plugins, nearest
from .script import Script, compile_script
from .values import number

__all__ = ["DEFAULT", "BoundInterpolator", "find_interpolator"]

DEFAULT: Final = "closest"
"""Stands for an interpolator that is not given."""

_COLUMNS_MIN: Final = 16
"""Fewer values than this are faster added up one by one."""
_STREAM: Final = [(1.0, 10), (2.0, 20), (4.0, 40)]


@interpolator(
    "closest",
    doc="The datapoint nearest in time; of two equally near the earlier one.",
    example=(_STREAM, [0, 1.5, 3.5, 9], [10, 10, 40, 40]),
)
def closest(batches: Iterable[Batch]) -> RunningInterpolator:
    reader = Reader(batches)
    before: Point | None = None

    def value(at: float) -> Point | None:
        nonlocal before
        before = reader.take_last(at) or before
        after = reader.following
        if before is None or (after is not None and after[0] - at < at - before[0]):
            return after
        return before

    return value


@interpolator(
    "before",
    doc="The last datapoint at or before the time; null if there is none.",
    example=(_STREAM, [0, 1, 3.5, 9], [None, 10, 20, 40]),
)
def before(batches: Iterable[Batch]) -> RunningInterpolator:
    reader = Reader(batches)
    latest: Point | None = None

    def value(at: float) -> Point | None:
        nonlocal latest
        latest = reader.take_last(at) or latest
        return latest if latest is not None and latest[0] <= at else None  # a time may go back

    return value


@interpolator(
    "after",
    doc="The first datapoint after the time; null if there is none.",
    example=(_STREAM, [0, 1, 3.5, 9], [10, 20, 40, None]),
)
def after(batches: Iterable[Batch]) -> RunningInterpolator:
    reader = Reader(batches)

    def value(at: float) -> Point | None:
        reader.take_last(at)
        return reader.following

    return value


@interpolator(
    "count",
    doc="How many datapoints there are after the time before, and up to this one.",
    example=(_STREAM, [0, 2, 3, 9], [0, 2, 0, 1]),
)
def count(batches: Iterable[Batch]) -> RunningInterpolator:
    reader = Reader(batches)
    return lambda at: (at, sum(stop - start for _, start, stop in reader.take(at)))


def _totals(reader: Reader, until: float) -> tuple[float, int]:
    """Take the datapoints up to a time, and return their sum, added up one by one, and their number."""
    total, n = 0.0, 0
    for batch, start, stop in reader.take(until):
        n += stop - start
        if stop - start >= _COLUMNS_MIN and numpy() is not None:
            column = batch.column
            if column is not None and not isinstance(column, Categories | Records):
                values = column.values if isinstance(column, Mixed) else column
                sums = values[start:stop].astype("float64")
                sums[0] += total
                total = float(sums.cumsum()[-1])
                continue
        for d in batch.d[start:stop]:
            total += number(d)
    return total, n


@interpolator(
    "sum",
    doc="The sum of the datapoints after the time before, and up to this one.",
    example=(_STREAM, [0, 2, 3, 9], [0, 30, 0, 40]),
)
def sum_(batches: Iterable[Batch]) -> RunningInterpolator:
    reader = Reader(batches)
    return lambda at: (at, _totals(reader, at)[0])


@interpolator(
    "mean",
    doc="The mean of the datapoints after the time before, and up to this one; 0 if there are none.",
    example=(_STREAM, [0, 2, 3, 9], [0, 15, 0, 40]),
)
def mean(batches: Iterable[Batch]) -> RunningInterpolator:
    reader = Reader(batches)

    def value(at: float) -> Point:
        total, n = _totals(reader, at)
        return at, total / n if n else 0.0

    return value


def _by_script(script: Script, batches: Iterable[Batch]) -> RunningInterpolator:
    """Return what runs *script*, from a fresh start each time, over the datapoints since the time before."""
    reader = Reader(batches)

    def value(at: float) -> Point | None:
        latest: Point | None = None
        taken = (batch.slice(start, stop) for batch, start, stop in reader.take(at))
        first = next(taken, None)
        if first is not None:
            for batch in script.run_batches(chain([first], taken)):
                latest = batch.point(batch.n - 1)
            deque(taken, 0)  # the script may have ended before
        return latest

    return value


class BoundInterpolator:
    """An interpolator that has been looked up, or a script in place of one."""

    __slots__ = ("_script", "name")

    def __init__(self, name: str, script: Script | None) -> None:
        self.name = name
        self._script = script

    def over(self, batches: Iterable[Batch]) -> RunningInterpolator:
        """Return it at work on a stream. The first batch is read at once."""
        if self._script is not None:
            return _by_script(self._script, batches)
        return INTERPOLATORS[self.name].make(batches)


def find_interpolator(name: str | None, settings: Settings | None = None) -> BoundInterpolator:
    """Return the interpolator of that name; what is no name of one is a script.

    Args:
        name: ``None`` and ``""`` mean `DEFAULT`.

    Raises:
        ScriptError: it is neither.
    """
    if not name:
        name = DEFAULT
    if name not in INTERPOLATORS:
        load_plugins()
    if name in INTERPOLATORS:
        return BoundInterpolator(name, None)
    try:
        return BoundInterpolator(name, compile_script(name, settings))
    except ScriptError as e:
        meant = nearest(name, INTERPOLATORS)
        if meant and name.isalpha():
            e.msg += f"; or did you mean the interpolator '{meant}'?"
        raise
