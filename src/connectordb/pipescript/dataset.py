"""Several streams as one: merged by time, or as the columns of a table. All of it streams."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from operator import itemgetter
from typing import Any, Final

from ..errors import Invalid, ScriptError
from .columns import Batch
from .interpolate import BoundInterpolator, find_interpolator
from .registry import Point
from .script import Script
from .values import Failure, is_writable, show

__all__ = ["DT_MIN_S", "ROWS_MAX", "Column", "batched", "check_times", "dataset", "merge", "points_of", "times"]

DT_MIN_S: Final = 0.001
"""Shortest step of a dataset by time, in seconds."""
ROWS_MAX: Final = 10_000_000
"""Rows of a dataset by time."""
BATCH_MAX: Final = 1024


def points_of(batches: Iterable[Batch]) -> Iterator[Point]:
    """Yield the datapoints of *batches* one by one."""
    for batch in batches:
        yield from zip(batch.t, batch.d, strict=True)


def batched(points: Iterable[Point], n: int = BATCH_MAX) -> Iterator[Batch]:
    """Yield *points* in batches: the first of one datapoint, the next ones larger, up to *n*.

    If *points* fails, what came before is yielded first.
    """
    size = 1
    t: list[float] = []
    d: list[Any] = []
    try:
        for point in points:
            t.append(point[0])
            d.append(point[1])
            if len(t) >= size:
                yield Batch(t, d)
                t, d = [], []
                size = min(2 * size, n)
    except Exception:
        if t:
            yield Batch(t, d)
        raise
    if t:
        yield Batch(t, d)


def merge(streams: Iterable[Iterable[Point]]) -> Iterator[Point]:
    """Yield the datapoints of all *streams* in order of time; of equal times the earlier stream first.

    Only the next datapoint of each stream is looked at: one that is out of order stays so.
    """
    return heapq.merge(*streams, key=itemgetter(0))


def check_times(t1: float, t2: float, dt: float) -> None:
    """Check the times of a dataset by time.

    Raises:
        Invalid: they do not go upwards from 0 or more, or are too many or too close.
    """
    if not (t1 >= 0 and t2 >= t1 + dt):
        raise Invalid(f"a dataset by time needs 0 <= t1 and t1 + dt <= t2, not t1={t1}, t2={t2}, dt={dt}", status=403)
    if not dt >= DT_MIN_S or (t2 - t1) / dt > ROWS_MAX:
        raise Invalid(
            f"a dataset by time has at most {ROWS_MAX} rows, with dt at least {DT_MIN_S} seconds; "
            f"not t1={t1}, t2={t2}, dt={dt}",
            status=403,
        )


def times(t1: float, t2: float, dt: float) -> Iterator[float]:
    """Yield t1, t1 + dt, ... while below *t2*. The step is added each time, as 0.3 did."""
    t = t1
    while t < t2:
        yield t
        following = t + dt
        if following == t:  # beyond the precision of the time stamps
            raise Invalid(f"dt={dt} is too small a step at t={t}")
        t = following


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a dataset.

    Attributes:
        batches: The stream, in order of time.
        interpolator: From `find_interpolator`.
        allow_null: Whether a row may have null here; if not, such a row is left out.
    """

    batches: Iterable[Batch]
    interpolator: BoundInterpolator = find_interpolator(None)  # noqa: RUF009 - it has no state
    allow_null: bool = False


def dataset(
    rows: Iterable[float] | Iterable[Point],
    columns: Mapping[str, Column],
    posttransform: Script | None = None,
) -> Iterator[Point]:
    """Yield the rows of a table: the time, and an object with the value of each column at that time.

    Args:
        rows: The times; or the datapoints of a reference stream, whose value each row then holds under ``x``.
        posttransform: Run over the finished rows.

    Raises:
        ScriptError: a column, or *posttransform*, fails on a datapoint.
    """
    made = _rows(rows, columns)
    if posttransform is None:
        return made
    return points_of(posttransform.run_batches(batched(made)))


def _rows(rows: Iterable[float] | Iterable[Point], columns: Mapping[str, Column]) -> Iterator[Point]:
    running = [(name, column.interpolator.over(column.batches), column.allow_null) for name, column in columns.items()]
    for row in rows:
        values: dict[str, Any] = {}
        if isinstance(row, tuple):
            t, values["x"] = row
        else:
            t = row
        complete = True
        for name, value_at, allow_null in running:
            try:
                point = value_at(t)
            except Failure as e:
                raise ScriptError(f"{e} (in the column {name!r}, at t = {t})", t=t, column_name=name) from None
            value = None if point is None else point[1]
            values[name] = value
            if value is None:
                complete = complete and allow_null
            elif not (isfinite(value) if type(value) is float else is_writable(value)):
                raise ScriptError(f"the column {name!r} is {show(value)} at t = {t}, which JSON cannot hold")
        if complete:
            yield t, values
