"""`resample`: windows of the calendar, right wherever the clock is changed."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectordb.errors import ScriptError
from connectordb.pipescript import Batch, Settings, compile_script, engine, transform

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = 3600
DAY = 24 * HOUR


@pytest.fixture(autouse=True)
def columns_of_any_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "COLUMNS_MIN", 1)


def at(text: str, zone: str = "UTC") -> float:
    """Return a local time as a time stamp."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def run(window: str, zone: str, times: list[float], cuts: list[int], *, columnwise: bool) -> list[tuple[float, int]]:
    """Return the windows, and how many of the times lie in each."""
    edges = sorted({0, len(times), *(cut for cut in cuts if cut < len(times))})
    batches = [Batch(times[a:b], [1.5] * (b - a)) for a, b in itertools.pairwise(edges)]
    script = compile_script(f"resample('{window}', count, '{zone}')")
    return [
        point for out in script.run_batches(batches, columnwise=columnwise) for point in zip(out.t, out.d, strict=True)
    ]


def windows(window: str, zone: str, times: list[float]) -> list[tuple[float, int]]:
    """Return the windows, found row by row and over columns."""
    found = run(window, zone, times, [], columnwise=False)
    assert run(window, zone, times, [], columnwise=True) == found
    return found


def shown(u: int, zone: ZoneInfo) -> datetime:
    """Return what the clock shows."""
    return (EPOCH + timedelta(seconds=u)).astimezone(zone).replace(tzinfo=None)


# --- an oracle that watches the clock, from minute to minute


def watched(window: str, name: str, first: int, last: int, step: int) -> list[int]:
    """Return when windows begin from *first* to *last*, which lies in the second of them at the earliest."""
    zone = ZoneInfo(name)
    n, unit = int(window.rstrip("smhdwoy")), window.lstrip("0123456789")
    begins = []
    if unit in "smh":
        length = n * {"s": 1, "m": 60, "h": HOUR}[unit]
        for u in range(first, last, step):
            local = (shown(u, zone) - datetime(1, 1, 1)) // timedelta(seconds=1)
            before = (shown(u - 1, zone) - datetime(1, 1, 1)) // timedelta(seconds=1)
            if local % length == 0 or local // length != before // length:
                begins.append(u)
        return begins
    latest = shown(first, zone).date()
    for u in range(first, last, step):
        today = max(latest, shown(u, zone).date())
        if label(today, n, unit) != label(latest, n, unit):
            begins.append(u)
        latest = today
    return begins


def label(day: date, n: int, unit: str) -> int:
    days = (day - date(1970, 1, 1)).days
    months = 12 * day.year + day.month - 1
    return (
        {"d": days, "w": (days + 3) // 7, "mo": months, "y": day.year}[unit] // n
        if unit != "w"
        else ((day - date(1970, 1, 5)).days // (7 * n))
    )


ODD = [  # the clock is changed about then
    ("Europe/Amsterdam", "2025-03-30"),
    ("Europe/Amsterdam", "2025-10-26"),
    ("America/New_York", "2024-11-03"),
    ("Australia/Lord_Howe", "2024-04-07"),
    ("Australia/Lord_Howe", "2024-10-06"),
    ("America/Sao_Paulo", "2018-11-04"),
    ("America/Sao_Paulo", "2018-02-18"),
    ("Asia/Beirut", "2022-03-27"),
    ("Asia/Beirut", "2022-10-30"),
    ("America/Havana", "2023-03-12"),
    ("America/Havana", "2023-11-05"),
    ("America/St_Johns", "2010-11-07"),
    ("America/St_Johns", "2010-03-14"),
    ("Africa/Casablanca", "2024-03-10"),
    ("Antarctica/Troll", "2024-03-31"),
    ("Pacific/Apia", "2011-12-30"),
    ("Pacific/Kwajalein", "1993-08-21"),
    ("Asia/Kathmandu", "1986-01-01"),
    ("Europe/London", "1968-10-27"),
    ("Europe/Lisbon", "1992-09-27"),
    ("Asia/Pyongyang", "2018-05-05"),
    ("America/Caracas", "2016-05-01"),
    ("UTC", "2024-02-29"),
]
LENGTHS = ["15m", "30m", "45m", "1h", "2h", "3h", "6h", "12h", "24h", "1d", "2d", "1w"]


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(ODD),
    st.sampled_from(LENGTHS),
    st.lists(st.integers(-2 * DAY, 2 * DAY), min_size=1, max_size=60),
    st.lists(st.integers(1, 60), max_size=5),
)
def test_windows_begin_when_the_clock_says_so(odd, length, offsets, cuts):
    name, day = odd
    middle = int(at(day))
    times = sorted(float(middle + offset) for offset in offsets)
    begins = watched(length, name, middle - 20 * DAY, middle - 2 * DAY, 15 * 60)
    begins += watched(length, name, middle - 2 * DAY - HOUR, middle + 3 * DAY, 60)  # some clocks change at 00:01
    expected = [
        (float(b), len(list(ts))) for b, ts in itertools.groupby(times, lambda t: max(b for b in begins if b <= t))
    ]
    for columnwise in (True, False):
        assert run(length, name, times, cuts, columnwise=columnwise) == expected


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(["Europe/Amsterdam", "Australia/Lord_Howe", "Pacific/Apia", "America/St_Johns"]),
    st.sampled_from(["1mo", "3mo", "5mo", "1y", "2w", "10d"]),
    st.integers(2008, 2012),
    st.lists(st.integers(0, 700 * DAY), min_size=1, max_size=60),
)
def test_months_begin_when_the_clock_says_so(name, length, year, offsets):
    first = int(at(f"{year}-01-01"))
    times = sorted(float(first + 200 * DAY + offset) for offset in offsets)
    begins = watched(length, name, first - 200 * DAY, first + 901 * DAY, HOUR // 2)
    expected = [
        (float(b), len(list(ts))) for b, ts in itertools.groupby(times, lambda t: max(b for b in begins if b <= t))
    ]
    assert windows(length, name, times) == expected


@pytest.mark.parametrize(
    ("length", "rule", "zone"),
    [
        ("1h", "h", "Europe/Amsterdam"),
        ("15m", "15min", "America/New_York"),
        ("10s", "10s", "Asia/Kolkata"),
        ("1d", "D", "Europe/Amsterdam"),
        ("1d", "D", "Australia/Lord_Howe"),
        ("1w", "W-MON", "America/New_York"),
        ("1mo", "MS", "Europe/Amsterdam"),
        ("3mo", "QS", "America/New_York"),
        ("1y", "YS", "Australia/Lord_Howe"),
    ],
)
def test_windows_are_those_of_pandas(length, rule, zone):
    step = 7 if length == "10s" else 1801
    times = [at("2023-10-01") + step * i for i in range(10_000)]
    series = pd.Series(1, index=pd.to_datetime(times, unit="s", utc=True).tz_convert(zone))
    counts = series.resample(rule, closed="left", label="left").count()
    expected = [(stamp.timestamp(), n) for stamp, n in counts.items() if n]
    assert windows(length, zone, times) == expected


# --- known cases


def test_days_have_23_or_25_hours():
    times = [at("2025-03-28T00:30") + HOUR * i for i in range(24 * 5)]
    counts = [n for _, n in windows("1d", "Europe/Amsterdam", times)]
    assert counts == [23, 24, 23, 24, 24, 2]
    times = [at("2025-10-25T22:30") + HOUR * i for i in range(50)]
    assert windows("1d", "Europe/Amsterdam", times)[0] == (at("2025-10-25T22:00"), 25)


def test_an_hour_that_comes_twice_makes_two_windows():
    times = [at("2025-10-26T00:00") + 600 * i for i in range(18)]
    assert [n for _, n in windows("1h", "Europe/Amsterdam", times)] == [6, 6, 6]
    assert [n for _, n in windows("6h", "Europe/Amsterdam", times)] == [18]


def test_a_shift_by_half_an_hour():
    """At 2:00 it is 1:30 again: the hour from 1:00 has 90 minutes."""
    times = [at("2024-04-06T14:00") + 600 * i for i in range(18)]
    found = windows("1h", "Australia/Lord_Howe", times)
    assert found == [(at("2024-04-06T14:00"), 9), (at("2024-04-06T15:30"), 6), (at("2024-04-06T16:30"), 3)]


def test_a_midnight_that_does_not_exist():
    """On 2018-11-04 the clock went from 0:00 to 1:00."""
    times = [at("2018-11-04T00:00") + HOUR * i for i in range(30)]
    found = windows("1d", "America/Sao_Paulo", times)
    assert found == [(at("2018-11-03T03:00"), 3), (at("2018-11-04T03:00"), 23), (at("2018-11-05T02:00"), 4)]


def test_a_date_that_does_not_exist():
    """On Samoa the day after 2011-12-29 was 2011-12-31."""
    times = [at("2011-12-30T00:00") + HOUR * i for i in range(24)]
    found = windows("1d", "Pacific/Apia", times)
    assert found == [(at("2011-12-29T10:00"), 10), (at("2011-12-30T10:00"), 14)]


def test_offsets_with_seconds():
    """Liberia was 0:44:30 behind UTC until 1972."""
    t = at("1971-06-01T00:00")
    assert windows("1h", "Africa/Monrovia", [t, t + 44 * 60 + 29, t + 44 * 60 + 30]) == [
        (t - 900 - 30, 2),
        (t + 44 * 60 + 30, 1),
    ]


def test_times_before_1970():
    assert windows("1d", "UTC", [-0.001, -DAY, -DAY - 0.5, 0.0]) == [(-DAY, 2), (-2 * DAY, 1), (0.0, 1)]
    assert windows("1w", "UTC", [0.0, -3 * DAY - 1]) == [(-3 * DAY, 1), (-10 * DAY, 1)]
    assert windows("100y", "UTC", [at("1899-12-31"), at("1999-12-31"), at("2000-01-01")]) == [
        (at("1800-01-01"), 1),
        (at("1900-01-01"), 1),
        (at("2000-01-01"), 1),
    ]


def test_a_time_just_before_a_window_is_not_in_it():
    before = -5e-324
    assert windows("1h", "UTC", [before, 0.0]) == [(-HOUR, 1), (0.0, 1)]
    assert windows("1d", "Europe/Amsterdam", [-HOUR - 2**-40, -HOUR]) == [(-HOUR - DAY, 1), (-HOUR, 1)]


@pytest.mark.parametrize("t", [1e300, -1e300, 253_402_300_800.0, -62_135_596_801.0, 1e12])
@pytest.mark.parametrize("window", ["1h", "1d", "1y"])
def test_times_beyond_the_calendar_are_an_error(t, window):
    for columnwise in (True, False):
        with pytest.raises(ScriptError, match="years 1 to 9999"):
            run(window, "Europe/Amsterdam", [1.5, t], [], columnwise=columnwise)


@pytest.mark.parametrize("window", ["1s", "1h", "24h", "1d", "1w", "1mo", "1y", "1000y"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Amsterdam", "Pacific/Apia"])
def test_the_first_and_the_last_times_have_windows(window, zone):
    late = [at("9998-12-31"), at("9999-12-20")]
    assert windows(window, zone, late)[0][0] <= late[0]
    early = [at("1001-01-04T12:00")]
    assert windows(window, zone, early)[0][0] <= early[0]
    if window == "1000y":
        with pytest.raises(ScriptError, match="before the year 1"):
            windows(window, zone, [at("0005-01-01")])


@pytest.mark.parametrize("zone", ["Europe/Amsterdam", "UTC"])
def test_times_far_apart(zone):
    times = [at(f"{year:04}-06-15") for year in range(2, 9999, 7)]
    assert len(windows("1y", zone, times)) == len(times)
    assert len(windows("1h", zone, times)) == len(times)


@pytest.mark.parametrize(
    ("window", "reason"),
    [
        ("1x", "is no window"),
        ("99999999999s", "is too long"),
        ("", "is no window"),
        ("0d", "is no window"),
        ("1.5h", "is no window"),
        ("1 h", "is no window"),
        ("-1h", "is no window"),
        ("123456s", "is too long"),
        ("7h", "cut"),
        ("48h", "cut"),
        ("7m", "cut"),
    ],
)
def test_what_is_no_window_is_an_error(window, reason):
    with pytest.raises(ScriptError, match=reason):
        compile_script(f"resample('{window}', mean)")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("resample('1h', mean, 'Mars/Olympus')", "time zone"),
        ("resample('1h')", "needs the argument"),
        ("resample('1h', (if $ > 5))", "filters"),
        ("resample('1h', next)", "look ahead"),
        ("resample('1h', resample('1m', mean))", "filters"),
        ("resample($, mean)", "constant"),
        ("resample('1h', mean) + 1", "filters"),
    ],
)
def test_arguments_that_do_not_fit(script, reason):
    with pytest.raises(ScriptError, match=reason):
        compile_script(script)


def test_the_zone_is_that_of_the_server_if_none_is_given():
    script = compile_script("resample('1d', count)", Settings(zone="Asia/Tokyo"))
    assert [p.t for p in script.run([{"t": 0.0, "d": 1}])] == [-9.0 * HOUR]


def test_an_error_inside_names_the_datapoint():
    with pytest.raises(ScriptError, match="at datapoint 2, t = 7200"):
        transform("resample('1h', sum)", [{"t": 3600.0 * i, "d": d} for i, d in enumerate([1, 2, "x"])])


# --- whole columns, and any cutting

INNER = [
    "count",
    "mean",
    "sum",
    "max",
    "min",
    "$",
    "stddev",
    "quantile(0.3)",
    "max - min",
    "$ * 2 | mean",
    "i",
    "first",
]
INNER += ["{'a': mean, 'b': quantile(0.9), 'c': 5}", "ifelse($ > 2, count, sum)", "t", "{'n': {'m': max}}", "append"]
VALUES: list[st.SearchStrategy[Any]] = [
    st.floats(-9, 9),
    st.integers(-9, 9),
    st.booleans(),
    st.sampled_from(["1", "a"]),
]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(INNER),
    st.sampled_from(["10m", "1h", "6h", "1d", "1mo"]),
    st.sampled_from(["UTC", "Australia/Lord_Howe", "America/Havana"]),
    st.sampled_from([0.0, 300.0, 5000.0, 90_000.0]),
    st.lists(st.one_of(*(st.lists(v, min_size=1, max_size=30) for v in VALUES)), max_size=4),
    st.lists(st.integers(1, 60), max_size=4),
)
@example("max", "1h", "UTC", 300.0, [[1.0, float("inf"), 2.0]], [])
@example("{'n': {'m': max}}", "1d", "UTC", 300.0, [[1, 2.5], ["1"], [3.5] * 3], [2])
def test_any_cutting_over_columns_or_rows_gives_the_same(inner, length, zone, step, runs, cuts):
    script = compile_script(f"resample('{length}', {inner.replace(' | ', ':')}, '{zone}')")
    data = [d for run in runs for d in run]
    times = [1.712e9 + step * i for i in range(len(data))]
    results = []
    for columnwise in (True, False):
        for edges in (list(range(len(data) + 1)), sorted({0, len(data), *(c for c in cuts if c < len(data))})):
            out: list[str] = []
            batches = [Batch(times[a:b], data[a:b]) for a, b in itertools.pairwise(edges)]
            try:
                for batch in script.run_batches(batches, columnwise=columnwise):
                    out.extend(map(repr, zip(batch.t, batch.d, strict=True)))
            except ScriptError as e:
                out.append(str(e))
            results.append(out)
    assert results == [results[0]] * 4


@pytest.mark.parametrize("inner", ["mean", "{'a': min, 'b': max}", "quantile(0.5)", "stddev", "$ * 2:mean"])
def test_it_runs_over_columns(inner, monkeypatch):
    monkeypatch.setattr(engine.Stage, "rows", None)
    times = [600.0 * i for i in range(500)]
    batches = [Batch(times[a : a + 100], [1.5] * 100) for a in range(0, 500, 100)]
    script = compile_script(f"resample('1h', {inner}, 'UTC')")
    assert sum(len(out) for out in script.run_batches(batches)) == 84
