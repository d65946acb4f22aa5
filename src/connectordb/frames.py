"""Datapoints to and from tables of pandas and polars, which are imported only when asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from .errors import InvalidValue

if TYPE_CHECKING:
    import pandas
    import polars

__all__ = ["check_kind", "frame_of", "from_columns", "from_frame", "to_frame", "to_wide_frame"]

FRAME_ROWS = 10_000
"""So many rows of a table are made to datapoints at a time."""
_NANOSECONDS_END_S = 9_214_646_400.0  # the year 2262: later does not fit in 64 bits of nanoseconds
_KINDS = ("pandas", "polars")
_UNKNOWN_KIND = "kind is {!r}; it has to be 'pandas' or 'polars'"
_PER_S = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def to_frame(
    points: Sequence[Mapping[str, Any]], kind: Literal["pandas", "polars"]
) -> pandas.DataFrame | polars.DataFrame:
    """Return *points* as a table with the columns ``t``, ``d``, and ``o`` if one of them has it.

    Raises:
        ValueError: *kind* is neither "pandas" nor "polars".
        ImportError: the library is not installed.
    """
    check_kind(kind)
    return _frame(points, {"d": [p["d"] for p in points]}, kind)


def to_wide_frame(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str], kind: Literal["pandas", "polars"]
) -> pandas.DataFrame | polars.DataFrame:
    """Return datapoints whose values are dicts as a table with the column ``t`` and those that are named.

    Raises:
        InvalidValue: one of *names* is ``t``.
        ValueError, ImportError: as `to_frame`.
    """
    check_kind(kind)
    if "t" in names:
        raise InvalidValue("the table would have two columns 't': give the column of the dataset another name")
    return _frame(rows, {name: [row["d"].get(name) for row in rows] for name in names}, kind)


def _frame(
    points: Sequence[Mapping[str, Any]], columns: dict[str, list[Any]], kind: Literal["pandas", "polars"]
) -> pandas.DataFrame | polars.DataFrame:
    seconds = [float(p["t"]) for p in points]
    unit: Literal["ns", "us"] = "ns" if all(t < _NANOSECONDS_END_S for t in seconds) else "us"
    ticks = [_ticks(t, _PER_S[unit]) for t in seconds]
    return frame_of(ticks, unit, columns, [p.get("o") for p in points], kind)


def frame_of(
    ticks: Sequence[int],
    unit: Literal["ns", "us"],
    columns: Mapping[str, Sequence[Any]],
    writers: Sequence[str | None],
    kind: Literal["pandas", "polars"],
) -> pandas.DataFrame | polars.DataFrame:
    """Return a table with the columns ``t``, *columns*, and ``o`` if somebody is among *writers*.

    Args:
        ticks: The times, in *unit* since 1970; a list or an array of numpy.
        columns: Each a list of what JSON has, or an array of numpy of bools, int64 or float64.
    """
    if kind == "pandas":
        return _pandas(ticks, unit, columns, writers)
    return _polars(ticks, unit, columns, writers)


def check_kind(kind: str) -> None:
    """Raise an error that says what may be asked for, or what to install.

    It comes first of all, as numpy, which comes with pandas, may be missing too.

    Raises:
        ValueError: *kind* is neither "pandas" nor "polars".
        ImportError: the library is not installed.
    """
    if kind not in _KINDS:
        raise ValueError(_UNKNOWN_KIND.format(kind))
    try:
        import_module(kind)
    except ImportError as e:
        raise ImportError(f'to_df needs {kind} ({e}): pip install "connectordb[{kind}]"') from e


def _pandas(
    ticks: Sequence[int], unit: Literal["ns", "us"], values: Mapping[str, Sequence[Any]], writers: Sequence[str | None]
) -> pandas.DataFrame:
    import numpy as np
    import pandas as pd

    time = pd.Series(np.array(ticks, dtype="int64").astype(f"datetime64[{unit}]")).dt.tz_localize("UTC")
    columns: dict[str, Any] = {"t": time, **{name: pd.Series(column) for name, column in values.items()}}
    if any(o is not None for o in writers):
        columns["o"] = pd.Series(writers, dtype=object)
    return pd.DataFrame(columns)


def _polars(
    ticks: Sequence[int], unit: Literal["ns", "us"], values: Mapping[str, Sequence[Any]], writers: Sequence[str | None]
) -> polars.DataFrame:
    import polars as pl

    time = pl.Series("t", ticks, dtype=pl.Int64).cast(pl.Datetime(unit, "UTC"))
    columns = [time, *(_polars_values(name, column) for name, column in values.items())]
    if any(o is not None for o in writers):
        columns.append(pl.Series("o", writers, dtype=pl.String))
    return pl.DataFrame(columns)


def _polars_values(name: str, values: Sequence[Any]) -> polars.Series:
    import polars as pl

    if not isinstance(values, list):  # an array has one type
        return pl.Series(name, values)
    kinds = {type(v) for v in values if v is not None}
    if kinds == {int, float}:  # else the first value would decide
        return pl.Series(name, values, dtype=pl.Float64)
    try:
        return pl.Series(name, values)
    except (TypeError, pl.exceptions.PolarsError, OverflowError):
        return pl.Series(name, values, dtype=pl.Object)


def from_columns(table: Any) -> list[dict[str, Any]] | None:
    """Return the rows of *table* as datapoints, or ``None`` if it is no table.

    Args:
        table: A table of pandas or polars, or a dict of columns (lists or arrays), with columns ``t`` and ``d``. ``t``
            holds seconds, or times; times without a time zone are local time.

    Raises:
        InvalidValue: a column is missing or none, or they differ in length.
    """
    if isinstance(table, Mapping):
        names = list(table)
    elif hasattr(table, "columns") and hasattr(table, "shape"):
        names = [str(name) for name in table.columns]
    else:
        return None
    if "t" not in names or "d" not in names:
        raise InvalidValue(f"a table of datapoints has the columns 't' and 'd'; this one has {names}")
    if isinstance(table, Mapping):
        _check_columns(table)
    times, values = _times(table["t"]), _items(table["d"])
    if len(times) != len(values):
        raise InvalidValue(f"the columns differ in length: {len(times)} times, {len(values)} values")
    return [{"t": t, "d": d} for t, d in zip(times, values, strict=True)]


def from_frame(frame: Any, missing: Literal["skip", "null"]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table of pandas or polars as datapoints, made of some thousands of rows at a time.

    Args:
        frame: A DataFrame. The times are its column ``t``, or else its index of times (pandas); the values its column
            ``d``, or else its only other column. Or a Series of pandas with an index of times.
        missing: What becomes of a value that is missing (``None``, NaN, NaT, NA): no datapoint, or null.

    Raises:
        InvalidValue: it is something else; or, when it comes to it, a time is missing.
    """
    if missing not in ("skip", "null"):
        raise ValueError(f"missing is {missing!r}; it has to be 'skip' or 'null'")
    times, values = _frame_columns(frame)
    return _frame_rows(times, values, missing == "skip")


def _frame_columns(frame: Any) -> tuple[Any, Any]:
    """The columns of the times and of the values."""
    if not hasattr(frame, "shape") or isinstance(frame, Mapping):
        raise InvalidValue(f"this is no DataFrame of pandas or polars but {type(frame).__name__}: see insert_array")
    index: Any = getattr(frame, "index", None)
    indexed = hasattr(index, "tz_localize")
    if not hasattr(frame, "columns"):  # a series
        if not indexed:
            raise InvalidValue("a series needs an index of times (a DatetimeIndex)")
        return index.to_series(), frame
    names = [str(name) for name in frame.columns]
    if "t" not in names and not indexed:
        raise InvalidValue(f"the times have to be a column 't', or the index; there are the columns {names}")
    others = [name for name in names if name not in ("t", "o")]
    if names.count("t") > 1 or names.count("d") > 1 or ("d" not in names and len(others) != 1):
        raise InvalidValue(f"the values have to be a column 'd', or the only one beside 't'; there are {names}")
    column = list(frame.columns)[names.index("d" if "d" in names else others[0])]
    return frame["t"] if "t" in names else index.to_series(), frame[column]


def _frame_rows(times: Any, values: Any, skip: bool) -> Iterator[dict[str, Any]]:
    for start in range(0, len(times), FRAME_ROWS):
        part = slice(start, start + FRAME_ROWS)
        stamps = _times(times.iloc[part] if hasattr(times, "iloc") else times[part])
        if any(map(_is_missing, stamps)):
            raise InvalidValue("a time is missing in the column 't'")
        some = _items(values.iloc[part] if hasattr(values, "iloc") else values[part])
        for t, d in zip(stamps, some, strict=True):
            if not _is_missing(d):
                yield {"t": t, "d": d}
            elif not skip:
                yield {"t": t, "d": None}


def _is_missing(value: Any) -> bool:
    kind = type(value)
    return value is None or (kind is float and value != value) or kind.__name__ in ("NAType", "NaTType")


def _check_columns(table: Mapping[str, Any]) -> None:
    """One datapoint looks like a dict of columns, but is none."""
    for name in ("t", "d"):
        column = table[name]
        if isinstance(column, str | bytes | Mapping) or not isinstance(column, Iterable):
            raise InvalidValue(
                f"'{name}' holds no column (a list or an array) but {type(column).__name__}: "
                "one datapoint has to be put in a list, as in [{'t': 1, 'd': 2}]"
            )


def _times(column: Any) -> list[Any]:
    """Plain seconds of a column of times, exact to the nanosecond; any other column as it is."""
    dtype = str(getattr(column, "dtype", ""))
    if dtype.startswith("Datetime("):  # of polars: a count of units since 1970, in UTC or without a time zone
        unit, zone = column.dtype.time_unit, column.dtype.time_zone
        return _seconds(column.to_physical().to_list(), unit, local=zone is None)
    if dtype.startswith("datetime64["):  # of numpy, or of pandas, there perhaps with a time zone
        unit, _, zone = dtype[len("datetime64[") : -1].partition(",")
        if zone:
            column = column.dt.tz_convert("UTC").dt.tz_localize(None)
        return _seconds(column.astype("int64").tolist(), unit, local=not zone)
    return _items(column)


def _seconds(ticks: list[Any], unit: str, *, local: bool) -> list[float]:
    if unit not in _PER_S:
        raise InvalidValue(f"times in units of {unit!r} are not understood: convert them to datetime64[ns]")
    per_s = _PER_S[unit]
    if any(n is None or n == -(2**63) for n in ticks):
        raise InvalidValue("a time is missing in the column 't'")
    if not local:
        return [n / per_s for n in ticks]
    from datetime import UTC, datetime

    seconds = []
    for n in ticks:
        whole, rest = divmod(n, per_s)
        wall = datetime.fromtimestamp(whole, UTC).replace(tzinfo=None)
        seconds.append((int(wall.timestamp()) * per_s + rest) / per_s)
    return seconds


def _items(column: Any) -> list[Any]:
    for method in ("tolist", "to_list"):  # numpy and pandas; polars: plain Python values in either case
        if hasattr(column, method):
            found = getattr(column, method)()
            return found if isinstance(found, list) else [found]
    return list(column)


def _ticks(t: float, per_s: int) -> int:
    """*t* in whole ticks: the nearest, as exact as the float is."""
    whole = int(t)
    return whole * per_s + round((t - whole) * per_s)
