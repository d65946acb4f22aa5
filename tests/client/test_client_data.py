"""Datapoints in and out of a real server. A stream behaves as the list of its datapoints."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectordb import (
    DATAPOINT_INSERT_LIMIT,
    ConnectorDB,
    DatapointArray,
    InvalidRange,
    InvalidValue,
    NotFound,
    PermissionDenied,
    SchemaMismatch,
    ScriptError,
    Stream,
    TimestampOrder,
)

N = 25
POINTS = [{"t": 100.0 + i // 2, "d": i} for i in range(N)]

real = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)


@pytest.fixture(scope="module")
def filled(server: Any) -> Iterator[Stream]:
    """A stream that holds `POINTS`: two for each second. Nobody writes to it."""
    with ConnectorDB("test", "test", url=server.url) as db:
        device = db("test/filled")
        device.create()
        with ConnectorDB(device.apikey, url=server.url) as own:
            stream = own["filled"]
            stream.create()
            stream.insert_array(POINTS)
            yield stream
        device.delete()


indices = st.none() | st.integers(-N - 3, N + 3) | st.sampled_from([10**9, -(10**9), 10**30, -(10**30)])


@given(indices, indices, st.none() | st.integers(-5, 5).filter(bool))
@settings(real, max_examples=120)
def test_slice_gives_what_a_list_gives(filled: Stream, start: Any, stop: Any, step: Any) -> None:
    found = filled[start:stop:step]
    assert type(found) is DatapointArray
    assert found == POINTS[start:stop:step]


@given(indices.filter(lambda i: i is not None))
@settings(real, max_examples=60)
def test_index_gives_what_a_list_gives(filled: Stream, i: Any) -> None:
    try:
        expected = POINTS[i]
    except IndexError:
        with pytest.raises(IndexError):
            filled[i]
    else:
        assert filled[i] == expected


@given(indices, indices)
@settings(real, max_examples=60)
def test_index_range_gives_what_a_list_gives(filled: Stream, i1: Any, i2: Any) -> None:
    assert filled(i1=i1, i2=i2) == POINTS[i1:i2] == list(filled.iter(i1=i1, i2=i2, page=4))


bounds = st.none() | st.sampled_from([0, 99.5, 100, 100.5, 103, 106.25, 112, 113, 1e9])


@given(bounds, bounds, st.none() | st.integers(0, N + 2), st.integers(1, 7))
@settings(real, max_examples=120)
def test_time_range_is_open_below_and_closed_above(filled: Stream, t1: Any, t2: Any, limit: Any, page: int) -> None:
    expected = [p for p in POINTS if (t1 is None or p["t"] > t1) and (t2 is None or p["t"] <= t2)][:limit]
    assert filled(t1, t2, limit) == expected
    assert list(filled.iter(t1, t2, limit, page=page)) == expected


def test_times_of_any_kind_are_bounds(filled: Stream) -> None:
    expected = filled(t1=103, t2=105)
    assert len(expected) == 4
    aware = [datetime.fromtimestamp(t, UTC) for t in (103, 105)]
    local = [datetime.fromtimestamp(t) for t in (103, 105)]
    for t1, t2 in (aware, local, [t.isoformat() for t in aware], [t.isoformat() for t in local]):
        assert filled(t1=t1, t2=t2) == expected


def test_whole_stream(filled: Stream) -> None:
    assert len(filled) == filled.length() == N
    assert filled() == filled[:] == list(filled) == POINTS
    assert filled.length(downlink=True) == 0
    assert filled(downlink=True) == []


@pytest.mark.parametrize("key", ["x", 1.5, None, slice("a", "b"), slice(0, 1, 1.5)])
def test_index_of_another_type_is_refused(filled: Stream, key: Any) -> None:
    with pytest.raises(TypeError):
        filled[key]


def test_ranges_without_sense_are_refused(filled: Stream) -> None:
    with pytest.raises(ValueError, match="zero"):
        filled[::0]
    with pytest.raises(InvalidRange, match="not by both"):
        filled(t1=1, i1=1)
    with pytest.raises(InvalidRange, match="not by both"):
        filled.iter(limit=1, i1=1)
    with pytest.raises(InvalidRange, match="negative"):
        filled(limit=-1)
    with pytest.raises(InvalidRange, match="finite"):
        filled(t1=math.nan)
    with pytest.raises(InvalidValue, match="is no time"):
        filled(t1="yesterday")
    with pytest.raises(ValueError, match="at least 1"):
        filled.iter(page=0)


def test_transform_is_passed_on(filled: Stream, fake: Any) -> None:
    assert [dp["d"] for dp in filled(transform="count | if last")] == [len(filled)]
    with pytest.raises(ScriptError):
        filled(transform="nosuch")
    transport = fake((200, b"[]"))
    assert Stream(transport.session(), "u/d/s")(t1=1, transform="$ * 2") == []
    assert "transform=%24%20%2A%202" in transport.sent[0][1]


def test_stream_that_is_not_there(db: ConnectorDB, device: ConnectorDB, filled: Stream) -> None:
    missing = db["missing"]
    for use in (lambda: len(missing), lambda: missing[0], lambda: missing[:], lambda: next(missing.iter())):
        with pytest.raises(NotFound):
            use()
    with pytest.raises(NotFound):
        missing.insert(1)
    with pytest.raises((NotFound, PermissionDenied)):
        device(filled.path)[:]


def test_insert_is_stamped_now(any_values: Any) -> None:
    before = time.time()
    any_values.insert("x")
    any_values.append({"a": [1, None]})
    after = time.time()
    first, second = any_values[:]
    assert before <= first["t"] <= second["t"] <= after
    assert [first["d"], second["d"]] == ["x", {"a": [1, None]}]


def test_insert_never_goes_back_in_time(any_values: Any) -> None:
    future = time.time() + 1000
    any_values.insert_array([{"t": future, "d": 1}])
    any_values.insert(2)
    assert any_values[-1] == {"t": future, "d": 2}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text("abé"), v, max_size=3),
)
point_lists = st.lists(
    st.fixed_dictionaries({"t": st.floats(1e-3, 253_402_300_799), "d": json_values}), min_size=1, max_size=6
)


@given(point_lists)
@settings(real, max_examples=40)
def test_every_value_and_time_comes_back_exactly(device: ConnectorDB, points: list[dict[str, Any]]) -> None:
    stream = device["exact"]
    stream.create()
    try:
        points = DatapointArray(points).sort()
        stream.insert_array(points)
        expected = repr([(p["t"], p["d"]) for p in points])
        assert repr([(p["t"], p["d"]) for p in stream[:]]) == expected
        assert repr([(p["t"], p["d"]) for p in stream.iter(page=2)]) == expected
    finally:
        stream.delete()


def test_arrays_go_in_chunks(any_values: Any, proxy: Any) -> None:
    n = 2 * DATAPOINT_INSERT_LIMIT + 1
    any_values.insert_array({"t": float(i + 1), "d": i} for i in range(n))
    assert len(any_values) == n
    assert [p["d"] for p in any_values.iter(page=3000)] == list(range(n))


def test_failing_chunk_tells_how_many_are_in(any_values: Any) -> None:
    points: list[dict[str, Any]] = [{"t": float(i + 1), "d": i} for i in range(3 * DATAPOINT_INSERT_LIMIT)]
    points[2 * DATAPOINT_INSERT_LIMIT + 7]["t"] = 5.0
    with pytest.raises(TimestampOrder) as caught:
        any_values.insert_array(points)
    assert caught.value.inserted == len(any_values) == 2 * DATAPOINT_INSERT_LIMIT
    assert caught.value.__notes__ == ["The first 10000 datapoints are stored."]
    assert caught.value.details["position"] == 10_007
    assert caught.value.msg.startswith("datapoint 10007 (t=5.0) is older")


def test_every_fault_is_told_by_its_place_among_all(any_values: Any) -> None:
    points: list[dict[str, Any]] = [{"t": float(i + 1), "d": i} for i in range(DATAPOINT_INSERT_LIMIT + 9)]
    points[-1]["t"] = -5.0
    with pytest.raises(InvalidValue, match=f"datapoint {DATAPOINT_INSERT_LIMIT + 8}: ") as caught:
        any_values.insert_array(points, merge=True)
    assert caught.value.details["position"] == DATAPOINT_INSERT_LIMIT + 8


def test_failing_first_chunk_stores_nothing(any_values: Any) -> None:
    any_values.schema = {"type": "number"}
    with pytest.raises(SchemaMismatch) as caught:
        any_values.insert_array([{"t": 1, "d": 1}, {"t": 2, "d": "x"}])
    assert caught.value.inserted == len(any_values) == 0
    assert not hasattr(caught.value, "__notes__")


def test_nan_is_refused_before_it_is_sent(fake: Any) -> None:
    stream = Stream(fake().session(), "u/d/s")
    with pytest.raises(InvalidValue, match="NaN"):
        stream.insert(math.nan)
    with pytest.raises(InvalidValue, match="datapoint 1 "):
        stream.insert_array([{"t": 1, "d": 1}, {"t": 2, "d": math.inf}])


def test_error_of_the_caller_s_own_iterator_is_passed_on(any_values: Any) -> None:
    def points() -> Iterator[dict[str, Any]]:
        for i in range(DATAPOINT_INSERT_LIMIT + 10):
            yield {"t": i + 1, "d": i}
        raise RuntimeError("sensor on fire")

    with pytest.raises(RuntimeError, match="on fire") as caught:
        any_values.insert_array(points())
    assert caught.value.__notes__ == ["The first 5000 datapoints are stored."]
    assert len(any_values) == DATAPOINT_INSERT_LIMIT


def test_restamp_and_merge(any_values: Any) -> None:
    any_values.insert_array(DatapointArray([{"t": 10, "d": "a"}, {"t": 20, "d": "b"}]))
    with pytest.raises(TimestampOrder):
        any_values.insert_array([{"t": 15, "d": "no"}])
    any_values.insert_array([{"t": 15, "d": "late"}], restamp=True)
    any_values.insert_array([{"t": 17, "d": "d"}, {"t": 12, "d": "c"}], merge=True)
    assert any_values[:] == [
        {"t": 10.0, "d": "a"},
        {"t": 12.0, "d": "c"},
        {"t": 17.0, "d": "d"},
        {"t": 20.0, "d": "b"},
        {"t": 20.0, "d": "late"},
    ]
    with pytest.raises(InvalidValue, match="either restamp or merge"):
        any_values.insert_array([], restamp=True, merge=True)


@pytest.mark.parametrize("nothing", [[], (), iter(()), DatapointArray(), {"t": [], "d": []}])
def test_nothing_is_inserted_without_a_request(fake: Any, nothing: Any) -> None:
    Stream(fake().session(), "u/d/s").insert_array(nothing)


@pytest.mark.parametrize("points", ["abc", b"abc", [1, 2], ["t"], [None], 5])
def test_what_are_no_datapoints_is_refused(fake: Any, points: Any) -> None:
    with pytest.raises((InvalidValue, TypeError)):
        Stream(fake().session(), "u/d/s").insert_array(points)


@pytest.mark.parametrize(
    ("points", "told"),
    [
        (None, "list of dicts.*not None"),
        (5, "list of dicts.*not int"),
        ({"t": 1, "d": 2}, "has to be put in a list"),
        ({"t": "2024-01-01", "d": "x"}, "has to be put in a list"),
        ({"t": [1, 2], "d": {"a": 1, "b": 2}}, "'d' holds no column"),
    ],
)
def test_what_are_no_datapoints_is_told_clearly(fake: Any, points: Any, told: str) -> None:
    with pytest.raises(InvalidValue, match=told):
        Stream(fake().session(), "u/d/s").insert_array(points)


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_tables_go_in_and_come_out(any_values: Any, kind: Any) -> None:
    points = [{"t": 1700000000.123456, "d": 1.5}, {"t": 1700000001.5, "d": 2.25}]
    any_values.insert_array(points)
    table = any_values.to_df(kind)
    any_values.delete()
    any_values.create()
    any_values.insert_array(table)
    assert any_values[:] == points
    assert list(any_values.to_df(kind, t1=1700000001)["d"]) == [2.25]


def test_request_to_a_device_goes_to_its_downlink(db: ConnectorDB, device: ConnectorDB) -> None:
    lamp = device["lamp"]
    lamp.create({"type": "boolean"}, downlink=True)
    db(lamp.path).insert(True)
    assert (len(lamp), lamp.length(downlink=True)) == (0, 1)
    (request,) = lamp(downlink=True)
    assert (request["d"], request["o"]) == (True, "test/user")
    lamp.insert(request["d"])
    assert lamp[0]["d"] is True
    assert "o" not in lamp[0]
    assert list(lamp.iter(downlink=True)) == lamp(i1=0, downlink=True) == [request]


def test_ephemeral_stream_stores_nothing(device: ConnectorDB) -> None:
    device["e"].create(ephemeral=True)
    device["e"].insert(1)
    assert len(device["e"]) == 0
    with pytest.raises(IndexError):
        device["e"][0]


def test_end_of_reading_is_fixed_when_it_begins(any_values: Any) -> None:
    any_values.insert_array({"t": range(1, 11), "d": range(10)})
    read = []
    for point in any_values.iter(page=3):
        read.append(point["d"])
        any_values.insert("more")
    assert read == list(range(10))
    assert len(any_values) == 20


def test_reading_pages_asks_for_no_more_than_a_page(fake: Any) -> None:
    def page(n: int) -> tuple[int, bytes]:
        return 200, json.dumps([{"t": 1.0, "d": 0}] * n).encode()

    transport = fake((200, b"7"), page(3), page(3), page(1))
    assert len(list(Stream(transport.session(), "u/d/s").iter(page=3))) == 7
    assert [target.partition("?")[2] for _, target, _, _ in transport.sent] == [
        "q=length",
        "i1=0&i2=3",
        "i1=3&i2=6",
        "i1=6&i2=7",
    ]


def test_reading_ends_if_the_stream_became_shorter(fake: Any) -> None:
    transport = fake((200, b"7"), (200, b'[{"t":1}]'), (200, b"[]"))
    assert list(Stream(transport.session(), "u/d/s").iter(page=3)) == [{"t": 1.0, "d": None}]
