"""Windows of the calendar in a time zone."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Final, Protocol

from ..registry import Arg, Copy, Example, Filter, Inner, Point, transform
from ..values import Failure, show, text
from .dates import ZONE, zone

DAY_S: Final = 86_400
FIRST_S: Final = -62_135_596_800 + 3 * DAY_S
"""From 0001-01-04 ..."""
LAST_S: Final = 253_402_300_800 - 4 * DAY_S
"""... to 9999-12-28 there are windows: what `datetime` can tell of in any zone."""
PAGE_S: Final = 2**25
"""The changes of a zone's offset are looked up for so many seconds at once: about a year."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = _EPOCH.toordinal()
_MONDAY: Final = 4
"""The first Monday of 1970."""

Stretch = tuple[int, int]
"""A time, and the offset from UTC that holds from then on, both in seconds."""


def _offset(in_zone: tzinfo, at: int) -> int:
    moment = _EPOCH + timedelta(seconds=max(FIRST_S, min(LAST_S, at)))
    offset = moment.astimezone(in_zone).utcoffset()
    assert offset is not None  # noqa: S101
    return int(offset.total_seconds())


@lru_cache(maxsize=8192)
def stretches(in_zone: tzinfo, page: int) -> tuple[Stretch, ...]:
    """Return with which offsets a page of time begins and goes on.

    No two changes have ever been, or are planned, within a day: the shortest stretch was of four days.
    """
    start = page * PAGE_S
    stop = start + PAGE_S - 1
    at, offset = start, _offset(in_zone, start)
    found = [(at, offset)]
    while at < stop and in_zone is not UTC:
        following = min(at + DAY_S, stop)
        then = _offset(in_zone, following)
        if then != offset:
            low, high = at, following
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset(in_zone, middle) == offset else (low, middle)
            found.append((high, then))
        at, offset = following, then
    return tuple(found)


def stretch_of(in_zone: tzinfo, t: float) -> Stretch:
    """Return the stretch that *t* lies in, as far as it lies in the same page."""
    page = stretches(in_zone, math.floor(t) // PAGE_S)
    return page[bisect_right(page, (t, math.inf)) - 1]


class Windows(Protocol):
    """Windows, one after the other, without gaps."""

    def start(self, t: float) -> int:
        """Return the start of the window in which *t* lies, which is from `FIRST_S` to `LAST_S`."""


class ClockWindows:
    """Parts of a day.

    A window begins when the clock on the wall shows a multiple of its length since midnight, or jumps over one. So an
    hour that the clock shows twice makes two windows; a longer one is longer, or shorter, than others.
    """

    def __init__(self, in_zone: tzinfo, length_s: int) -> None:
        self.zone = in_zone
        self.length_s = length_s

    def start(self, t: float) -> int:
        changed, offset = stretch_of(self.zone, t)
        length = self.length_s
        start = math.floor((t + offset) / length) * length - offset
        if start > t:  # the sum was rounded
            start -= length
        elif start + length <= t:
            start += length
        return start if start >= changed else self.at_change(changed)

    def at_change(self, changed: int) -> int:
        """Return the start of the window in which a stretch begins."""
        shown = changed + stretch_of(self.zone, changed)[1]
        before, offset = stretch_of(self.zone, changed - 1)
        n = (changed + offset - 1) // self.length_s
        if shown % self.length_s == 0 or shown // self.length_s != n:
            return changed
        start = n * self.length_s - offset
        return start if start >= before else self.at_change(before)


class DateWindows:
    """Days, or several.

    A day begins when the clock first shows its date, or jumps over its midnight.
    """

    def __init__(self, in_zone: tzinfo, unit: str, n: int) -> None:
        self.zone = in_zone
        self.unit = unit
        self.n = n
        self.bounds = lru_cache(maxsize=4096)(self._bounds)

    def start(self, t: float) -> int:
        day = math.floor((t + stretch_of(self.zone, t)[1]) / DAY_S)
        start, end = self.bounds(day)
        if t >= end:  # the clock was put back to the day before
            start, end = self.bounds(day + 1)
        elif t < start:  # the sum was rounded
            start, end = self.bounds(day - 1)
        return int(start)

    def number(self, day: int) -> int:
        """Return the number of the window with that day, which is counted from 1970-01-01."""
        if self.unit == "d":
            return day // self.n
        if self.unit == "w":
            return (day - _MONDAY) // (7 * self.n)
        found = date.fromordinal(day + _EPOCH_DAY)
        return (found.year if self.unit == "y" else 12 * found.year + found.month - 1) // self.n

    def first_day(self, number: int) -> int:
        """Return the first day of a window."""
        first = number * self.n
        if self.unit == "d":
            return first
        if self.unit == "w":
            return 7 * first + _MONDAY
        year, month = (first, 0) if self.unit == "y" else divmod(first, 12)
        return date(year, month + 1, 1).toordinal() - _EPOCH_DAY

    def _bounds(self, day: int) -> tuple[float, float]:
        number = self.number(day)
        try:
            start = self._begins(self.first_day(number))
        except (ValueError, OverflowError):
            raise Failure("the window begins before the year 1") from None
        try:
            return start, self._begins(self.first_day(number + 1))
        except (ValueError, OverflowError):
            return start, math.inf

    def _begins(self, day: int) -> int:
        """Return when a day begins."""
        midnight = day * DAY_S
        if not FIRST_S <= midnight <= LAST_S:
            raise OverflowError
        at = midnight - DAY_S
        while True:  # through the stretches, of which the last begins within a day after midnight in UTC
            changed, offset = stretch_of(self.zone, at)
            start = max(changed, midnight - offset)
            if stretch_of(self.zone, start)[0] == changed:
                return start
            at = self._next(at)

    def _next(self, at: int) -> int:
        page = at // PAGE_S
        return next((start for start, _ in stretches(self.zone, page) if start > at), (page + 1) * PAGE_S)


_WINDOW: Final = re.compile(r"([1-9][0-9]{0,4})(s|m|h|d|w|mo|y)", re.ASCII)
_LENGTHS_S: Final = {"s": 1, "m": 60, "h": 3600}


def windows(length: str, in_zone: tzinfo) -> Windows:
    """Return the windows of a length like ``15m``.

    Raises:
        Failure: there are none such.
    """
    found = _WINDOW.fullmatch(length)
    if found is None:
        if re.fullmatch("[1-9][0-9]*(s|m|h|d|w|mo|y)", length, re.ASCII):
            raise Failure(f"{show(length)} is too long for a window: its number has at most five digits")
        raise Failure(f"{show(length)} is no window: it is a number with s, m, h, d, w, mo or y behind it, like 15m")
    n, unit = int(found[1]), found[2]
    if unit not in _LENGTHS_S:
        return DateWindows(in_zone, unit, n)
    length_s = n * _LENGTHS_S[unit]
    if DAY_S % length_s:
        raise Failure(f"a day cannot be cut into windows of {length}: take a length that goes into 24 hours")
    return ClockWindows(in_zone, length_s)


class Resampling:
    """The window that goes on, if there is one.

    Attributes:
        start: When it began.
        group: Its copy of the script.
        held: What that gave last, with the start of the window.
    """

    def __init__(self, script: Inner, windows: Windows) -> None:
        self.script = script
        self.windows = windows
        self.start: int | None = None
        self.group: Copy | None = None
        self.held: Point | None = None

    def feed(self, t: float, d: Any) -> Point | None:
        if not FIRST_S <= t <= LAST_S:
            raise Failure(f"there is no window for t = {t}: it is not within the years 1 to 9999")
        start = self.windows.start(t)
        done = None
        if start != self.start or self.group is None:
            done, self.start, self.group = self.held, start, self.script.renew()
        self.held = float(start), self.group.feed(t, d)[1]
        return done


_DAY: Final = [1743289199, 1743289200, 1743371999, 1743372000]
"""Around 2025-03-30 in Amsterdam, a day of 23 hours."""


@transform(
    "resample",
    Arg("window", "text", "its length: a number with s, m, h, d, w, mo or y behind it", constant=True),
    Arg("script", "any", "a script that gives one datapoint for each", script=True),
    ZONE,
    kind="filter",
    since="0.4",
    doc="Cuts time into windows of the calendar, runs the script over the datapoints of each, from a fresh start, and "
    "gives its last result, with the start of the window as its time stamp. Windows without datapoints are left out. "
    "Windows of seconds, minutes and hours go into 24 hours; one begins when the clock on the wall shows a multiple of "
    "its length since midnight, or jumps over one. A day begins when the clock first shows its date, a week on Monday; "
    "days have 23 or 25 hours where the clock is changed. Several days or weeks are counted from 1970, several months "
    "or years from the year 0.",
    examples=[
        Example("resample('1h', mean, 'UTC')", [1, 3, 8], [2, 8], at=[3600, 5400, 10800], times=[3600, 10800]),
        Example(
            "resample('1d', count, 'Europe/Amsterdam')",
            [5, 6, 7, 8],
            [1, 2, 1],
            at=_DAY,
            times=[1743202800, 1743289200, 1743372000],
        ),
        Example(
            "resample('1mo', {'low': min, 'high': max}, 'UTC')",
            [5, 6, 1],
            [{"low": 5, "high": 6}, {"low": 1, "high": 1}],
            at=[1735689600, 1738368000 - 1, 1738368000],
            times=[1735689600, 1738368000],
        ),
    ],
)
def resample(window: Any, script: Inner, name: Any) -> Filter:
    resampling = Resampling(script, windows(text(window), zone(text(name))))
    return Filter(resampling.feed, lambda: resampling.held, resampling)
