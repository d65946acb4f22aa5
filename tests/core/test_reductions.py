"""Thinning and statistics of windows, against plain Python."""

from __future__ import annotations

import math
import random
import statistics
import tracemalloc
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectordb.block import Block
from connectordb.core import thinning
from connectordb.core.reductions import STATS, Thin, Windowed, reduced
from connectordb.core.thinning import RUN_POINTS
from connectordb.errors import Invalid
from connectordb.pipescript import Batch
from connectordb.pipescript.blocks import batch_of
from summaries import cut, summary_of

Points = list[tuple[float, Any]]


def batches(points: Points, size: int) -> Iterator[Batch]:
    for at in range(0, len(points), size):
        part = points[at : at + size]
        yield Batch([t for t, _ in part], [d for _, d in part])


def run(reduction: Thin | Windowed, given_batches: Iterable[Batch | None]) -> Points:
    found: Points = []
    for batch in reduced(iter(given_batches), reduction.start()):
        if batch is not None:
            found += zip(batch.t, batch.d, strict=True)
    return found


# ---- thinning


def test_few_points_stay_as_they_are() -> None:
    points: Points = [(float(i), i if i % 3 else i + 0.5) for i in range(10)]
    for size in (1, 3, 10):
        found = run(Thin(10), batches(points, size))
        assert found == points
        assert [type(d) for _, d in found] == [type(d) for _, d in points]
    assert run(Thin(5), []) == []


@given(
    n=st.integers(1, 3000),
    wanted=st.integers(5, 40),
    size=st.integers(1, 700),
    seed=st.integers(0, 99),
    big=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_numbers_keep_their_ends_and_their_peaks(n: int, wanted: int, size: int, seed: int, big: bool) -> None:
    numbers = random.Random(seed)
    factor = 2**60 if big else 1
    points: Points = [(i / 2, numbers.randrange(-1000, 1000) * factor) for i in range(n)]
    found = run(Thin(wanted), batches(points, size))
    assert len(found) <= wanted
    assert len(found) >= min(n, wanted - 2)
    assert found[0] == points[0]
    assert found[-1] == points[-1]
    assert set(found) <= set(points)
    assert all(type(d) is int for _, d in found)
    assert all(a < b for (a, _), (b, _) in pairwise(found))
    assert {min(d for _, d in points), max(d for _, d in points)} <= {d for _, d in found}


def test_how_the_input_is_cut_makes_no_difference() -> None:
    points: Points = [(float(i), math.sin(i / 50) + math.sin(i * 7)) for i in range(5000)]
    whole = run(Thin(100), batches(points, 5000))
    assert whole == run(Thin(100), batches(points, 1))
    assert whole == run(Thin(100), batches(points, 777))


def test_every_narrow_peak_is_found() -> None:
    points: Points = [(float(i), 100.0 if i % 10_000 == 5_000 else i % 3 / 10) for i in range(100_000)]
    found = run(Thin(200), batches(points, 4096))
    assert sum(d == 100.0 for _, d in found) == 10


def test_numbers_with_gaps() -> None:
    points: Points = [(float(i), None if i % 5 == 0 else i % 7) for i in range(1000)]
    found = run(Thin(50), batches(points, 64))
    assert 40 <= len(found) <= 50
    assert all(d is not None for _, d in found)
    assert run(Thin(5), batches([(1.0, None), (2.0, None)], 1)) == [(1.0, None)]


@pytest.mark.parametrize("make", [lambda i: i % 200 < 50, lambda i: f"room {i // 50}", lambda i: {"a": [i // 70]}])
def test_of_other_values_the_changes_are_kept(make: Any) -> None:
    points: Points = [(float(i), make(i)) for i in range(2000)]
    changes = [next(run) for _, run in groupby(points, key=lambda point: point[1])]
    expected = changes if changes[-1] == points[-1] else [*changes, points[-1]]
    for size in (1, 60, 2000):
        assert run(Thin(100), batches(points, size)) == expected
    few = run(Thin(8), batches(points, 60))
    assert 4 <= len(few) <= 8
    assert few[0] == points[0]
    assert few[-1] == points[-1]
    assert set(map(repr, few)) <= set(map(repr, expected))


def test_large_values_are_kept_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thinning, "KEPT_BYTES_MAX", 10_000)
    points: Points = [(float(i), f"{i:01000d}") for i in range(500)]
    found = run(Thin(400), batches(points, 7))
    assert 3 < len(found) <= 11
    assert found[0] == points[0]
    assert found[-1] == points[-1]


@pytest.mark.parametrize("size", [1, 4])
def test_numbers_and_others_together_are_refused(size: int) -> None:
    for values in ([1, 2, "off", 3], ["off", "on", 3], [None, True, 1.5]):
        with pytest.raises(Invalid, match="here are both"):
            run(Thin(5), batches(list(enumerate(values)), size))  # type: ignore[arg-type]


# ---- from what is known of runs


def run_over(reduction: Thin | Windowed, points: Points, size: int, seed: int, n: int = 0) -> Points:
    """As `run`, with *points* cut into batches and what is known of runs."""
    reducer = reduction.start(n)
    assert reducer.takes_runs
    items = [batch_of(item) if isinstance(item, Block) else item for item in cut(points, size, seed, reducer.fits)]
    return [
        point for batch in reduced(items, reducer) if batch is not None for point in zip(batch.t, batch.d, strict=True)
    ]


MANY = 10**9
"""So many datapoints that what is known of runs is enough."""


@given(
    n=st.integers(1, 3000),
    wanted=st.integers(5, 40),
    size=st.integers(1, 300),
    seed=st.integers(0, 99),
    kind=st.sampled_from(["int", "float", "mixed", "gaps"]),
)
@settings(max_examples=150, deadline=None)
def test_runs_of_numbers_keep_their_ends_and_their_peaks(n: int, wanted: int, size: int, seed: int, kind: str) -> None:
    numbers = random.Random(seed)
    points: Points = []
    for i in range(n):
        d: Any = numbers.randrange(-1000, 1000)
        if kind == "float" or (kind == "mixed" and numbers.random() < 0.5):
            d += 0.5
        points.append((i / 2, None if kind == "gaps" and numbers.random() < 0.1 else d))
    points[numbers.randrange(n)] = points[numbers.randrange(n)][0], 7
    points.sort(key=lambda point: point[0])
    found = run_over(Thin(wanted), points, size, seed, MANY)
    given_points = [point for point in points if point[1] is not None]
    assert len(found) <= wanted
    assert found[0] == given_points[0]
    assert found[-1] == given_points[-1]
    assert {(t, d, type(d)) for t, d in found} <= {(t, d, type(d)) for t, d in given_points}
    assert all(a <= b for (a, _), (b, _) in pairwise(found))
    assert all(a != b for a, b in pairwise(found))
    values = [d for _, d in given_points]
    assert {min(values), max(values)} <= {d for _, d in found}


def test_runs_are_thinned_to_as_many_as_are_wanted() -> None:
    points: Points = [(float(i), math.sin(i / 50)) for i in range(5000)]
    found = run_over(Thin(100), points, 20, 0, MANY)
    assert 98 <= len(found) <= 100


def test_every_narrow_peak_of_runs_is_found() -> None:
    points: Points = [(float(i), 100.0 if i % 10_000 == 5_000 else i % 3 / 10) for i in range(100_000)]
    assert sum(d == 100.0 for _, d in run_over(Thin(200), points, 128, 1, MANY)) == 10


def test_a_run_behind_other_values_is_refused() -> None:
    numbers: Points = [(2.0, 1), (3.0, 2)]
    for items in ([[summary_of(numbers)], Batch([4.0], ["on"])], [Batch([1.0], [True]), [summary_of(numbers)]]):
        with pytest.raises(Invalid, match="here are both"):
            list(reduced(items, Thin(5).start(MANY)))  # type: ignore[arg-type]


def test_runs_are_enough_where_there_are_half_as_many_as_datapoints_wanted() -> None:
    assert not Thin(2000).start(1000 * RUN_POINTS - 1).takes_runs
    assert Thin(2000).start(1000 * RUN_POINTS).takes_runs
    assert not Thin(2000).start().takes_runs
    assert Windowed("1h", ("mean", "sum", "last")).start().takes_runs
    assert not Windowed("1h", ("mean", "stddev")).start().takes_runs


@given(
    n=st.integers(0, 1000),
    size=st.integers(1, 300),
    seed=st.integers(0, 99),
    kind=st.sampled_from(["int", "float", "mixed", "gaps"]),
    every=st.sampled_from([("10m", "UTC"), ("1d", "Europe/Amsterdam")]),
)
@settings(max_examples=100, deadline=None)
def test_windows_of_runs(n: int, size: int, seed: int, kind: str, every: tuple[str, str]) -> None:
    numbers = random.Random(seed)
    make = {
        "int": lambda: numbers.randrange(-50, 50),
        "float": numbers.random,
        "mixed": lambda: numbers.choice([numbers.random(), numbers.randrange(9)]),
        "gaps": lambda: numbers.choice([None, 1, 2, 3]),
    }[kind]
    points: Points = [(1_743_200_000.0 + 97.0 * i, make()) for i in range(n)]
    reduction = Windowed(every[0], tuple(name for name in STATS if name != "stddev"), every[1])
    found, expected = run_over(reduction, points, size, seed), run(reduction, batches(points, 1000))
    assert [t for t, _ in found] == [t for t, _ in expected]
    for (_, a), (_, b) in zip(found, expected, strict=True):
        exact = ("count", "first", "last", "min", "max", *(["sum"] if kind in ("int", "gaps") else []))
        assert {name: a[name] for name in exact} == {name: b[name] for name in exact}
        assert a == pytest.approx(b, rel=1e-12, abs=1e-12)
        if kind != "mixed":
            assert list(map(type, a.values())) == list(map(type, b.values()))


def test_a_run_over_the_end_of_a_window_does_not_fit() -> None:
    fits = Windowed("1h", ("mean",)).start().fits
    assert fits is not None
    assert fits(3600.0, 7199.5)
    assert not fits(3599.0, 3600.0)
    assert not fits(0.0, 1e12)


def test_of_a_run_of_numbers_without_a_number_asked_for() -> None:
    items = [[summary_of([(0.0, 3), (1.0, 4)])], Batch([2.0, 70.0], ["on", None])]
    found = list(reduced(items, Windowed("1m", ("count", "first", "last")).start()))  # type: ignore[arg-type]
    assert [batch.d for batch in found if batch is not None and batch.n] == [[{"count": 3, "first": 3, "last": "on"}]]


def test_a_sum_of_runs_that_json_cannot_hold_is_an_error() -> None:
    huge = summary_of([(0.0, 1e308)])
    for items in ([[huge, huge]], [[huge], [huge]]):
        with pytest.raises(Invalid, match="too large"):
            list(reduced(items, Windowed("1m", ("sum",)).start()))  # type: ignore[arg-type]


def test_thinning_takes_the_same_memory_for_any_length() -> None:
    def peak(n: int) -> int:
        def made() -> Iterator[Batch]:
            for start in range(0, n, 10_000):
                t = np.arange(start, start + 10_000, dtype=np.float64)
                yield Batch.of(t, np.sin(t))

        run(Thin(500), made())
        tracemalloc.start()
        run(Thin(500), made())
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(1_000_000) < 1.3 * peak(100_000)


# ---- windows


def reference(points: Points, start_of: Any) -> Points:
    found: Points = []
    for start, group in groupby((p for p in points if p[1] is not None), key=lambda p: start_of(p[0])):
        d = [value for _, value in group]
        found.append(
            (
                start,
                {
                    "mean": math.fsum(d) / len(d),
                    "min": min(d),
                    "max": max(d),
                    "sum": sum(d) if all(type(v) is int for v in d) else math.fsum(d),
                    "count": len(d),
                    "first": d[0],
                    "last": d[-1],
                    "stddev": statistics.stdev(d) if len(d) > 1 else 0.0,
                },
            )
        )
    return found


@pytest.mark.parametrize("size", [1, 13, 1000])
@pytest.mark.parametrize("kind", ["float", "int", "mixed", "big", "gaps"])
def test_every_statistic(kind: str, size: int) -> None:
    numbers = random.Random(5)
    make = {
        "float": lambda i: 1e6 + numbers.random(),
        "int": lambda i: numbers.randrange(-50, 50),
        "mixed": lambda i: i if i % 3 else i + 0.5,
        "big": lambda i: 2**70 + numbers.randrange(2**69),
        "gaps": lambda i: None if i % 4 == 0 or i > 900 else i,
    }[kind]
    points: Points = [(1e9 + 7.25 * i, make(i)) for i in range(1000)]
    found = run(Windowed("10m", STATS), batches(points, size))
    expected = reference(points, lambda t: t // 600 * 600)
    assert [t for t, _ in found] == [t for t, _ in expected]
    for (_, a), (_, b) in zip(found, expected, strict=True):
        assert list(a) == list(STATS)
        exact = ("count", "first", "last", "min", "max", *(["sum"] if kind in ("int", "big", "gaps") else []))
        assert {name: a[name] for name in exact} == {name: b[name] for name in exact}
        assert a == pytest.approx(b, rel=1e-9, abs=1e-9)


def test_windows_follow_the_clocks_of_a_zone() -> None:
    zone = ZoneInfo("Europe/Amsterdam")
    begin = datetime(2025, 3, 29, tzinfo=zone).timestamp()
    points: Points = [(begin + 1800 * i, i) for i in range(48 * 3 - 2)]
    found = run(Windowed("1d", ("count",), "Europe/Amsterdam"), batches(points, 50))
    assert [(datetime.fromtimestamp(t, zone).isoformat(), d["count"]) for t, d in found] == [
        ("2025-03-29T00:00:00+01:00", 48),
        ("2025-03-30T00:00:00+01:00", 46),
        ("2025-03-31T00:00:00+02:00", 48),
    ]
    months = run(Windowed("1mo", ("first", "last")), batches(points, 50))
    assert [datetime.fromtimestamp(t, ZoneInfo("UTC")).date().isoformat() for t, _ in months] == [
        "2025-03-01",
    ]


def test_values_that_are_no_numbers() -> None:
    points: Points = [(0.0, "a"), (30.0, None), (61.0, True), (62.0, {"x": 1}), (63.0, "b"), (190.0, None)]
    for size in (1, 6):
        assert run(Windowed("1m", ("count", "first", "last")), batches(points, size)) == [
            (0.0, {"count": 1, "first": "a", "last": "a"}),
            (60.0, {"count": 3, "first": True, "last": "b"}),
        ]
        with pytest.raises(Invalid, match=r"t = 0.0 is no number"):
            run(Windowed("1m", ("count", "mean")), batches(points, size))
    with pytest.raises(Invalid, match="no number"):
        run(Windowed("1m", ("sum",)), batches([(0.0, True), (1.0, False)], 2))


def test_a_long_sum_loses_nothing() -> None:
    points: Points = [(float(i), 0.1) for i in range(100_000)]
    ((_, found),) = run(Windowed("1y", ("sum", "mean", "stddev")), batches(points, 100))
    assert found["sum"] == pytest.approx(math.fsum(d for _, d in points), rel=1e-15)
    assert found["mean"] == pytest.approx(0.1, rel=1e-15)
    assert found["stddev"] == pytest.approx(0, abs=1e-12)
    points = [(float(i), 2**53 - 1) for i in range(5000)]
    assert run(Windowed("1y", ("sum",)), batches(points, 2500)) == [(0.0, {"sum": 5000 * (2**53 - 1)})]


def test_what_json_cannot_hold_is_an_error() -> None:
    for values in ([1e308, 1e308], [10**400, 1]):
        for size in (1, 2):
            with pytest.raises(Invalid, match="too large"):
                run(Windowed("1d", ("mean",)), batches(list(enumerate(values)), size))  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="too large"):
        run(Thin(5), batches([(0.0, 10**400)], 1))


@pytest.mark.parametrize(
    ("reduction", "told"),
    [
        (Windowed("7h", ("mean",)), "24 hours"),
        (Windowed("", ("mean",)), "no window"),
        (Windowed("1h", ("mean",), "Mars/Olympus"), "no time zone"),
        (Windowed("1h", ("mean", "median")), "no statistic 'median'"),
        (Windowed("1h", ("mean", "mean")), "once"),
        (Thin(4), "from 5 to 100000"),
        (Thin(100_001), "from 5 to 100000"),
    ],
)
def test_what_there_is_not(reduction: Thin | Windowed, told: str) -> None:
    with pytest.raises(Invalid, match=told):
        reduction.start()


def test_everything_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "ranges.md").read_text()
    for word in (*STATS, "points", "every", "zone", "5 to 100,000", "32 MiB"):
        assert word in page
    assert (thinning.POINTS_MIN, thinning.POINTS_MAX) == (5, 100_000)
    assert thinning.KEPT_BYTES_MAX == 32 * 1024 * 1024
