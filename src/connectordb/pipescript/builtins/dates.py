"""Parts of the date, in a time zone."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..registry import Arg, Example, Step, transform
from ..values import Failure, text

ZONE = Arg("zone", "zone", "IANA name of the time zone", optional=True, default="Local", constant=True)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INT64: Final = 2**63
_HOUR_NS: Final = 3_600_000_000_000
_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


@lru_cache(maxsize=64)
def zone(name: str) -> tzinfo:
    """Return the time zone of that IANA name; ``''`` is UTC, ``'Local'`` the system's.

    Raises:
        Failure: there is none.
    """
    if name in ("", "UTC"):
        return UTC
    if name == "Local":
        return _local()
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # of a folder's name, and of one too long
        raise Failure(f"there is no time zone {name[:60]!r}") from None


def _local() -> tzinfo:
    name = os.environ.get("TZ", "").removeprefix(":")
    try:
        if name:
            return ZoneInfo(name)
        with Path("/etc/localtime").open("rb") as file:
            return ZoneInfo.from_file(file, "Local")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def _ns(t: float) -> int:
    """Return *t* in nanoseconds. Beyond 1677 to 2262 it is the first moment of that time, as in 0.3."""
    try:
        ns = int(t * 1e9)
    except (OverflowError, ValueError):
        return -_INT64
    return ns if -_INT64 <= ns < _INT64 else -_INT64


def _calendar(t: float, in_zone: tzinfo) -> datetime:
    return (_EPOCH + timedelta(microseconds=_ns(t) // 1000)).astimezone(in_zone)


class Whole:
    """Counts whole units of time since a moment.

    Attributes:
        first_ns: The moment, in nanoseconds since the Unix epoch.
        unit_ns: The unit.
    """

    def __init__(self, first: datetime, unit_ns: int) -> None:
        self.first_ns = int(first.timestamp()) * 1_000_000_000
        self.unit_ns = unit_ns

    def __call__(self, t: float, d: Any) -> int:
        ns = max(-_INT64, min(_INT64 - 1, _ns(t) - self.first_ns))
        return ns // self.unit_ns if ns >= 0 else -(-ns // self.unit_ns)  # toward zero


class Calendar:
    """Gives a part of the calendar date in a time zone."""

    def __init__(self, of: Callable[[datetime], Any], in_zone: tzinfo) -> None:
        self.of = of
        self.in_zone = in_zone

    def __call__(self, t: float, d: Any) -> Any:
        return self.of(_calendar(t, self.in_zone))


def _whole(unit_ns: int, day: int) -> Callable[[Any], Step]:
    """Return the maker of a transform which counts whole units since local midnight of a day of January 1970."""
    return lambda name: Whole(datetime(1970, 1, day, tzinfo=zone(text(name))), unit_ns)


def _part(of: Callable[[datetime], Any]) -> Callable[[Any], Step]:
    """Return the maker of a transform which gives a part of the calendar date."""
    return lambda name: Calendar(of, zone(text(name)))


def _register(name: str, make: Callable[[Any], Step], doc: str, result: Any) -> None:
    example = Example(f"{name}('UTC')", ["anything"], [result], at=[1448610379.0])  # Friday 2015-11-27 07:46:19
    make.__module__ = __name__
    transform(name, ZONE, doc=doc, examples=[example], stateless=True)(make)


_register(
    "hour",
    _whole(_HOUR_NS, 1),
    "Whole hours since local midnight of 1970-01-01: one number for each hour, to group by.",
    402391,
)
_register(
    "day",
    _whole(24 * _HOUR_NS, 1),
    "Whole days of 24 hours since local midnight of 1970-01-01: one number for each day, to group by.",
    16766,
)
_register(
    "week",
    _whole(168 * _HOUR_NS, 5),
    "Whole weeks since local midnight of Monday 1970-01-05: one number for each week, to group by.",
    2394,
)
_register("month", _part(lambda d: 12 * (d.year - 1970) + d.month), "Months since 1970; January 1970 is 1.", 551)
_register("year", _part(lambda d: d.year), "The year.", 2015)
_register("dayhour", _part(lambda d: d.hour), "The hour of the day, 0 to 23.", 7)
_register("weekday", _part(lambda d: _WEEKDAYS[d.weekday()]), "The name of the day of the week.", "Friday")
_register("monthday", _part(lambda d: d.day), "The day of the month, 1 to 31.", 27)
_register("yearday", _part(lambda d: d.timetuple().tm_yday), "The day of the year, 1 to 366.", 331)
_register("yearmonth", _part(lambda d: _MONTHS[d.month - 1]), "The name of the month.", "November")
