"""DatapointArray: datapoints in the hands of a user. And what counts as a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal, Self, SupportsIndex, overload

from .compat import OldDatapointArray
from .errors import InvalidValue

if TYPE_CHECKING:
    from os import PathLike

    import pandas
    import polars

__all__ = ["DatapointArray", "Time", "to_timestamp"]

Time = float | datetime | date | str
"""Seconds since the Unix epoch; or a date with or without time, as an object or in ISO 8601. Without a time zone it is
local time."""


def to_timestamp(time: Time) -> float:
    """Return *time* in seconds since the Unix epoch.

    Args:
        time: Seconds (an int or a float), a ``datetime``, a ``date`` (its first moment), or either as text in ISO 8601.
            What has no time zone is local time.

    Raises:
        InvalidValue: it is none of these.

    >>> to_timestamp("2024-02-29T12:00:00Z")
    1709208000.0
    """
    if isinstance(time, str):
        try:
            return datetime.fromisoformat(time).timestamp()
        except (ValueError, OverflowError, OSError):
            raise InvalidValue(
                f"{time[:60]!r} is no time: give seconds since 1970, a datetime, or text like '2024-02-29T12:00:00Z'"
            ) from None
    if isinstance(time, datetime):
        return time.timestamp()
    if isinstance(time, date):
        return datetime(time.year, time.month, time.day).timestamp()
    try:
        if isinstance(time, bool):
            raise TypeError
        return float(time)
    except (TypeError, ValueError, OverflowError):
        raise InvalidValue(f"{time!r} is no time: give seconds since 1970, a datetime, or text in ISO 8601") from None


class DatapointArray(OldDatapointArray, list[dict[str, Any]]):
    """A list of datapoints ``{"t": seconds since the Unix epoch, "d": value}``, with ``"o"`` (``user/device``) if the
    writer was not the stream's own device.

    >>> a = DatapointArray([{"t": 2.0, "d": 5}, {"t": 1.0, "d": 3}])
    >>> a.sort().d()
    [3, 5]
    >>> a.mean()
    4.0
    """

    def t(self) -> list[datetime]:
        """Return the time stamps, as ``datetime`` in local time without a time zone."""
        return [datetime.fromtimestamp(p["t"]) for p in self]

    def d(self) -> list[Any]:
        """Return the values."""
        return [p["d"] for p in self]

    def raw(self) -> list[dict[str, Any]]:
        """Return the same datapoints as a plain list."""
        return list(self)

    @overload
    def __getitem__(self, key: SupportsIndex, /) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, key: slice, /) -> DatapointArray: ...
    @overload
    def __getitem__(self, key: Literal["t"], /) -> list[datetime]: ...
    @overload
    def __getitem__(self, key: str, /) -> list[Any]: ...

    def __getitem__(self, key: SupportsIndex | slice | str, /) -> Any:
        """Return one datapoint, a part of the array, or with ``"t"`` or ``"d"`` what `t` or `d` return."""
        if key == "t":
            return self.t()
        if key == "d":
            return self.d()
        if isinstance(key, slice):
            return DatapointArray(list.__getitem__(self, key))
        return list.__getitem__(self, key)  # type: ignore[index]  # the list says what is wrong with another text

    def copy(self) -> DatapointArray:
        """Return an array of the same datapoints."""
        return DatapointArray(self)

    def __add__(self, other: Iterable[dict[str, Any]], /) -> DatapointArray:  # type: ignore[override]
        """Return an array of the datapoints of both, ordered by time."""
        return self.copy().merge(other)

    def __radd__(self, other: Iterable[dict[str, Any]], /) -> DatapointArray:
        return self.copy().merge(other)

    def sort(  # type: ignore[override]
        self,
        f: Callable[[dict[str, Any]], Any] | None = None,
        *,
        key: Callable[[dict[str, Any]], Any] | None = None,
        reverse: bool = False,
    ) -> Self:
        """Sort by time, or by what *f* (or *key*) gives for a datapoint. Works in place; returns the array itself.

        Datapoints that are equal in this stay in their order.
        """
        super().sort(key=f or key or _time_of, reverse=reverse)
        return self

    def merge(self, array: Iterable[dict[str, Any]]) -> Self:
        """Add the datapoints of *array* and sort by time. Works in place; returns the array itself."""
        self.extend(array)
        return self.sort()

    def sum(self) -> Any:
        """Return the sum of the values, which have to be numbers; 0 for an empty array."""
        return sum(self.d())

    def mean(self) -> float:
        """Return the mean of the values, which have to be numbers.

        Raises:
            ZeroDivisionError: the array is empty.
        """
        return float(self.sum()) / len(self)

    def tshift(self, t: float) -> Self:
        """Add *t* seconds to each time stamp. Works in place, on the datapoints too; returns the array itself."""
        for point in self:
            point["t"] += t
        return self

    def load_json(self, filename: str | PathLike[str]) -> Self:
        """Add the datapoints of a file which holds a JSON array of them, and sort by time. Returns the array itself.

        Raises:
            InvalidValue: the file holds something else.
            OSError: it cannot be read.
        """
        try:
            with open(filename, encoding="utf-8") as file:  # noqa: PTH123 - any path-like will do
                points = json.load(file)
        except (ValueError, RecursionError) as e:
            raise InvalidValue(f"{filename} is not JSON: {e}") from None
        if not isinstance(points, list) or not all(isinstance(p, dict) and "t" in p for p in points):
            raise InvalidValue(f'{filename} holds no array of datapoints {{"t": seconds, "d": value}}')
        for point in points:
            point.setdefault("d", None)  # left out where it is null
        return self.merge(points)

    def write_json(self, filename: str | PathLike[str]) -> None:
        """Write the datapoints to a file, as a JSON array.

        Raises:
            OSError: it cannot be written.
        """
        with open(filename, "w", encoding="utf-8") as file:  # noqa: PTH123 - any path-like will do
            json.dump(self, file)

    def load_export(self, folder: str | PathLike[str]) -> Self:
        """Add the datapoints of a stream that was exported to *folder*, and sort by time. Returns the array itself."""
        from pathlib import Path

        return self.load_json(Path(folder) / "data.json")

    @overload
    def to_df(self, kind: Literal["pandas"] = "pandas") -> pandas.DataFrame: ...
    @overload
    def to_df(self, kind: Literal["polars"]) -> polars.DataFrame: ...

    def to_df(self, kind: Literal["pandas", "polars"] = "pandas") -> pandas.DataFrame | polars.DataFrame:
        """Return the datapoints as a table with the columns ``t`` and ``d``, and ``o`` if one of them has it.

        Args:
            kind: ``"pandas"`` or ``"polars"``; it has to be installed (``pip install connectordb[pandas]``).

        Returns:
            One row for each datapoint. ``t`` is a time in UTC, in nanoseconds (in microseconds, if one of them lies
            beyond the year 2261); ``d`` has the type that the library gives to these values.

        Raises:
            ImportError: the library is not installed.
        """
        from .frames import to_frame

        return to_frame(self, kind)


def _time_of(point: dict[str, Any]) -> Any:
    return point["t"]
