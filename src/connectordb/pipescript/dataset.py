"""Several streams as the columns of a table. All of it streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from ..errors import Invalid, ScriptError
from .batch import Batch
from .interpolate import BoundInterpolator, find_interpolator
from .merging import batched, points_of
from .registry import Point
from .script import Script
from .values import Failure, is_writable, show

__all__ = ["DT_MIN_S", "ROWS_MAX", "Column", "check_times", "dataset", "times"]

DT_MIN_S: Final = 0.001
"""Shortest step of a dataset by time, in seconds."""
ROWS_MAX: Final = 10_000_000
"""Rows of a dataset by time."""


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
