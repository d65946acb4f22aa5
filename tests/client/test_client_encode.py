"""Datapoints to JSON, and nothing that is not JSON."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectordb.client import _encode
from connectordb.client._encode import bodies, encode_points
from connectordb.errors import InvalidValue

finite = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers() | finite | st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text("abc"), v, max_size=3))
times = st.floats(0, 253_402_300_799, allow_nan=False)


def same(a: Any, b: Any) -> bool:
    """Equal, and of the same types."""
    return repr(a) == repr(b)


@given(st.lists(st.fixed_dictionaries({"t": times, "d": values}), max_size=8))
def test_encoding_keeps_every_value_exactly(points: list[dict[str, Any]]) -> None:
    assert same(json.loads(encode_points(points)), points)


@given(st.lists(st.floats(), min_size=1, max_size=8))
def test_nan_and_infinity_are_refused_wherever_they_are(numbers: list[float]) -> None:
    points = [{"t": 1.0, "d": x} for x in numbers]
    first = next((i for i, x in enumerate(numbers) if not math.isfinite(x)), None)
    if first is None:
        assert [p["d"] for p in json.loads(encode_points(points))] == numbers
        return
    with pytest.raises(InvalidValue, match=f"datapoint {first} cannot be sent: NaN and Infinity"):
        encode_points(points)


def circle() -> list[Any]:
    a: list[Any] = []
    a.append(a)
    return a


@pytest.mark.parametrize(
    ("point", "why"),
    [
        (5, "datapoint 7 is 5; a datapoint is a dict"),
        ([1, 2], "a datapoint is a dict"),
        ({"t": float("nan"), "d": 1}, "NaN"),
        ({"t": math.inf, "d": 1}, "NaN and Infinity"),
        ({"t": 1, "d": {"a": [math.inf]}}, "NaN and Infinity"),
        ({"t": 1, "d": object()}, "a object is no JSON value"),
        ({"t": 1, "d": {1, 2}}, "a set is no JSON value"),
        ({"t": 1, "d": b"x"}, "a bytes is no JSON value"),
        ({"t": 1, "d": datetime(2020, 1, 1)}, "a datetime is no JSON value"),
        ({"t": 1, "d": circle()}, "Circular|circle"),
        ({"t": 1, "d": "\ud800"}, "surrogate"),
        ({"t": "yesterday", "d": 1}, "'yesterday' is no time"),
        ({"t": [], "d": 1}, "is no time"),
        ({"t": True, "d": 1}, "is no time"),
    ],
)
def test_what_cannot_be_sent_is_named(point: Any, why: str) -> None:
    with pytest.raises(InvalidValue, match=why):
        encode_points([point], position=7)


@pytest.mark.parametrize(
    ("t", "sent"),
    [
        (5, [{"t": 5, "d": 1}]),
        (datetime(2020, 1, 1, tzinfo=UTC), [{"t": 1577836800.0, "d": 1}]),
        ("2020-01-01T00:00:00Z", [{"t": 1577836800.0, "d": 1}]),
        (None, [{"d": 1}]),
    ],
)
def test_times_of_any_kind_become_seconds(t: Any, sent: Any) -> None:
    assert json.loads(encode_points([{"t": t, "d": 1}])) == sent


def test_the_word_null_is_not_taken_for_nan() -> None:
    points = [{"t": 1.0, "d": "null"}, {"t": 2.0, "d": 1.5}]
    assert json.loads(encode_points(points)) == points


def test_numbers_of_numpy_are_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    points = [{"t": numpy.float64(1.5), "d": numpy.int64(3)}, {"t": 2, "d": [numpy.float32(0.5), numpy.array([1, 2])]}]
    assert json.loads(encode_points(points)) == [{"t": 1.5, "d": 3}, {"t": 2, "d": [0.5, [1, 2]]}]
    with pytest.raises(InvalidValue, match="NaN"):
        encode_points([{"t": 1, "d": numpy.float64("nan")}])


@given(st.integers(0, 40), st.integers(1, 7))
def test_bodies_hold_all_points_in_order(n: int, points_max: int) -> None:
    made = list(bodies(({"t": float(i), "d": i} for i in range(n)), points_max))
    assert [count for count, _ in made] == [len(json.loads(body)) for _, body in made]
    assert all(0 < count <= points_max for count, _ in made)
    assert [p["d"] for _, body in made for p in json.loads(body)] == list(range(n))


def test_large_points_go_in_smaller_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_encode, "BODY_BYTES_MAX", 1000)
    points = [{"t": float(i), "d": "x" * 300} for i in range(9)] + [{"t": 9.0, "d": "y" * 5000}]
    made = list(bodies(points))
    assert all(len(body) <= 1000 or count == 1 for count, body in made)
    assert [p for _, body in made for p in json.loads(body)] == points


def test_position_of_a_bad_point_counts_all_chunks() -> None:
    points = [{"t": float(i), "d": i} for i in range(10)] + [{"t": 10.0, "d": math.nan}]
    made = bodies(points, 4)
    assert [next(made)[0], next(made)[0]] == [4, 4]
    with pytest.raises(InvalidValue, match="datapoint 10 "):
        next(made)


@pytest.mark.parametrize("t", [5, "1970-01-01T00:00:05Z"])
def test_datapoints_of_one_time_stay_together_if_they_have_to(t: Any) -> None:
    points = [{"t": 1, "d": 0}, {"t": 2, "d": 0}, *({"t": t, "d": i} for i in range(4)), {"t": 6, "d": 0}]
    assert [n for n, _ in bodies(points, 5)] == [5, 2]
    assert [n for n, _ in bodies(points, 5, whole_times=True)] == [2, 5]
    assert [n for n, _ in bodies(iter(points), 7, whole_times=True)] == [7]
    assert [n for n, _ in bodies([{"d": 0}] * 4, 2, whole_times=True)] == [2, 2]
    with pytest.raises(InvalidValue, match="more than 3 datapoints, from datapoint 2 on, have the same time"):
        list(bodies(points, 3, whole_times=True))
