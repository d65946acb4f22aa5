"""Merging and datasets: against plain lists, without keeping the streams in memory."""

from __future__ import annotations

import itertools
import random
import tracemalloc
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectordb.errors import Invalid, InvalidRange, NotFound, ScriptError
from connectordb.pipescript import (
    Batch,
    Column,
    batched,
    compile_script,
    dataset,
    find_interpolator,
    merge,
    points_of,
    queries,
    times,
)
from connectordb.pipescript.dataset import check_times
from connectordb.pipescript.merging import merge_batches
from connectordb.pipescript.queries import StreamQuery

streams = st.lists(st.tuples(st.integers(0, 20).map(float), st.integers(0, 99)), max_size=12).map(
    lambda points: sorted(points, key=lambda p: p[0])
)


@given(st.lists(streams, max_size=5))
def test_merge_is_a_stable_sort(parts):
    everything = [point for part in parts for point in part]
    assert list(merge(parts)) == sorted(everything, key=lambda p: p[0])


disordered = st.lists(
    st.tuples(st.integers(0, 9).map(float), st.one_of(st.integers(0, 99), st.sampled_from(["a", 1.5]))), max_size=12
)


@given(st.lists(st.one_of(streams, streams, disordered), max_size=5), st.integers(0, 2**32))
def test_merged_batches_are_the_merged_datapoints(parts, seed):
    rng = random.Random(seed)

    def cut(points: list[tuple[float, Any]]) -> list[Batch]:
        batches = []
        while points:
            n = rng.randint(0, 5)
            some, points = points[:n], points[n:]
            batch = Batch([t for t, _ in some], [d for _, d in some])
            if some and batch.column is not None and rng.random() < 0.7:
                batch = Batch.of(batch.times, batch.column)
            batches.append(batch)
        return batches

    found = list(points_of(merge_batches([cut(part) for part in parts])))
    expected = list(merge(parts))
    assert found == expected
    assert [type(d) for _, d in found] == [type(d) for _, d in expected]


def test_a_merge_gives_what_came_before_an_error():
    def failing():
        yield Batch([1.0, 3.0], [1, 3])
        raise ScriptError("no more")

    merged = points_of(merge_batches([failing(), [Batch([2.0, 3.0, 4.0], [20, 30, 40])]]))
    assert list(itertools.islice(merged, 3)) == [(1.0, 1), (2.0, 20), (3.0, 3)]
    with pytest.raises(ScriptError):
        next(merged)


def expected(name: str, stream: list[tuple[float, Any]], ats: list[float]) -> list[Any]:
    """Return the values an interpolator should give, worked out from the whole stream."""
    out: list[Any] = []
    since = float("-inf")
    for at in ats:
        before = [p for p in stream if p[0] <= at]
        after = [p for p in stream if p[0] > at]
        fresh = [d for t, d in before if t > since]
        since = at
        match name:
            case "before":
                out.append(before[-1][1] if before else None)
            case "after":
                out.append(after[0][1] if after else None)
            case "count":
                out.append(len(fresh))
            case "sum":
                out.append(sum(fresh))
            case "mean":
                out.append(sum(fresh) / len(fresh) if fresh else 0)
            case "max":
                out.append(max(fresh, default=None))
            case "closest":
                near = before[-1:] + after[:1]
                out.append(min(near, key=lambda p: abs(p[0] - at))[1] if near else None)
    return out


@pytest.mark.parametrize("name", ["closest", "before", "after", "count", "sum", "mean", "max"])
@given(stream=streams, ats=st.lists(st.integers(-1, 22).map(lambda n: n / 1.0), max_size=8))
def test_interpolators_equal_a_search_through_the_whole_stream(name, stream, ats):
    ats = sorted(set(ats)) if name == "max" else sorted(ats)  # a script has nothing left at an equal time
    value_at = find_interpolator(name).over(batched(stream, 3))
    found = [value_at(t) for t in ats]
    assert [None if p is None else p[1] for p in found] == expected(name, stream, ats)


STREAM = [(1.0, 10), (2.0, 20), (4.0, 40)]


def test_a_dataset_by_time():
    columns = {"a": Column(batched(STREAM)), "n": Column(batched(STREAM), find_interpolator("count"))}
    assert list(dataset(times(0, 3, 1), columns)) == [
        (0.0, {"a": 10, "n": 0}),
        (1.0, {"a": 10, "n": 1}),
        (2.0, {"a": 20, "n": 1}),
    ]


def test_a_dataset_by_a_stream():
    columns = {"b": Column(batched([(1.5, "x"), (3.0, "y")]), find_interpolator("before"), allow_null=True)}
    assert list(dataset(STREAM, columns)) == [
        (1.0, {"x": 10, "b": None}),
        (2.0, {"x": 20, "b": "x"}),
        (4.0, {"x": 40, "b": "y"}),
    ]


@pytest.mark.parametrize("posttransform", [None, compile_script("$")])
def test_a_row_with_null_in_a_column_that_allows_none_is_left_out(posttransform):
    columns = {"b": Column(batched([(1.5, "x")]), find_interpolator("before"))}
    assert [t for t, _ in dataset(STREAM, columns, posttransform)] == [2.0, 4.0]


def test_posttransform_sees_finished_rows():
    columns = {"b": Column(batched(STREAM), find_interpolator("sum"))}
    rows = dataset(STREAM, columns, compile_script("$['x'] + $['b'] | if $ > 20"))
    assert list(rows) == [(2.0, 40.0), (4.0, 80.0)]


def test_a_column_that_fails_is_named():
    with pytest.raises(ScriptError, match="column 'b'") as error:
        list(dataset(STREAM, {"b": Column(batched([(1.0, "x")]), find_interpolator("sum"))}))
    assert error.value.details["column_name"] == "b"
    with pytest.raises(ScriptError, match="column 'b'"):
        list(dataset(STREAM, {"b": Column(batched([(1.0, 1e308), (1.0, 1e308)]), find_interpolator("sum"))}))


def test_the_step_is_added_each_time():
    assert list(times(0, 0.8, 0.1)) == list(itertools.accumulate([0.1] * 8, initial=0.0))


@pytest.mark.parametrize(
    ("t1", "t2", "dt"),
    [(-1, 5, 1), (5, 5, 1), (0, 10, 0), (0, 10, 0.0001), (0, 1e9, 1), (0, 10, -1), (0, float("nan"), 1)],
)
def test_impossible_times_are_refused(t1, t2, dt):
    with pytest.raises(Invalid):
        check_times(t1, t2, dt)


def test_a_dataset_streams():
    def endless() -> Iterator[tuple[float, int]]:
        return ((float(i), i) for i in itertools.count())

    columns = {
        "a": Column(batched(endless())),
        "b": Column(batched(merge([endless(), endless()])), find_interpolator("mean")),
        "c": Column(batched(endless()), find_interpolator("$ * 2 | mean")),
    }
    rows = dataset(times(0, 10_000_000, 10), columns, compile_script("$['a'] + $['b']"))
    next(rows)
    list(itertools.islice(rows, 100))
    tracemalloc.start()
    list(itertools.islice(rows, 2000, 2001))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("before", 999_999),
        ("closest", 999_999),
        ("after", None),
        ("count", 1_000_000),
        ("sum", 499_999_500_000.0),
        ("mean", 499_999.5),
        ("max | if last", 999_999),
        ("if $ < 10 | count", 10),
    ],
)
def test_a_long_gap_between_two_rows_is_not_kept(name, value):
    import numpy as np

    def batches() -> Iterator[Batch]:
        for start in range(0, 1_000_000, 10_000):
            yield Batch.of(np.arange(start, start + 10_000, dtype=float), np.arange(start, start + 10_000))

    rows = dataset([-1.0, 2e6], {"a": Column(batches(), find_interpolator(name), allow_null=True)})
    next(rows)
    tracemalloc.start()
    assert next(rows) == (2e6, {"a": value})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000


def test_a_script_that_ends_leaves_nothing_of_its_part_to_the_next():
    points = [(float(i), float("nan") if i < 5 else i) for i in range(20)]
    column = Column(batched(points, 2), find_interpolator("max"), allow_null=True)
    assert [row["a"] for _, row in dataset([10.0, 12.0], {"a": column})] == [None, 12]


def test_batches_come_before_the_error():
    def failing() -> Iterator[tuple[float, int]]:
        yield from ((float(i), i) for i in range(10))
        raise ScriptError("no")

    out = []
    with pytest.raises(ScriptError):
        for batch in batched(failing()):
            out.extend(batch.d)
    assert out == list(range(10))


# --- the queries of the wire


class Source:
    def __init__(self, **streams: list[tuple[float, Any]]) -> None:
        self.streams = streams
        self.asked: list[Any] = []

    def read(self, query: StreamQuery) -> Iterable[Batch]:
        self.asked.append(query.stream)
        if query.stream not in self.streams:
            raise NotFound("no such stream")
        return batched(self.streams[query.stream])

    def read_after(self, stream: str, t1: float, before: int) -> Iterable[Batch]:
        self.asked.append((stream, t1, before))
        return self.read(StreamQuery(stream=stream))


def test_keys_may_be_in_any_case_and_names_of_columns_stay():
    query = queries.parse_dataset(
        {"T1": 1, "dT": 1, "Dataset": {"Steps": {"STREAM": "a", "AllowNil": True, "merge": None}}, "unknown": 1}
    )
    assert (query.t1, query.dt) == (1.0, 1.0)
    assert query.dataset is not None
    column = query.dataset["Steps"]
    assert column is not None
    assert (column.stream, column.allownil, column.merge) == ("a", True, None)


@pytest.mark.parametrize("raw", [5, None, [], {"dataset": 5}, {"t1": "x"}, {"dataset": {"a": {"stream": 5}}}])
def test_what_is_no_query_is_refused(raw):
    with pytest.raises(Invalid):
        queries.open_dataset(queries.parse_dataset(raw), Source())


def test_a_merge_takes_at_most_ten():
    with pytest.raises(Invalid, match="at most 10"):
        queries.open_merge([StreamQuery(stream="a")] * 11, Source(a=[]))
    assert list(queries.open_merge([], Source())) == []


def test_the_limit_counts_what_comes_out():
    query = StreamQuery(stream="a", transform="if $ > 15", limit=1)
    assert list(points_of(queries.open_stream(query, Source(a=STREAM)))) == [(2.0, 20)]


@pytest.mark.parametrize(
    "query",
    [
        StreamQuery(stream="a", transform="$ +"),
        StreamQuery(stream="a", i1=1, t1=1),
        StreamQuery(stream="nowhere"),
    ],
)
def test_what_can_be_refused_is_before_anything_is_read(query):
    with pytest.raises((Invalid, NotFound)):
        queries.open_stream(query, Source(a=STREAM))


def test_columns_without_a_range_begin_some_points_early():
    source = Source(a=STREAM, b=STREAM)
    raw = {"t1": 3, "t2": 5, "dt": 1, "dataset": {"a": {"stream": "a"}, "b": {"stream": "b", "t1": 1}}}
    rows = list(points_of(queries.open_dataset(queries.parse_dataset(raw), source)))
    assert rows == [(3.0, {"a": 20, "b": 20}), (4.0, {"a": 40, "b": 40})]
    assert ("a", 3.0, 10) in source.asked
    assert ("b", 3.0, 10) not in source.asked


@pytest.mark.parametrize(
    ("i1", "i2", "n", "result"),
    [
        (0, 0, 5, (0, 5)),
        (-2, 0, 5, (3, 5)),
        (0, -1, 5, (0, 4)),
        (1, 99, 5, (1, 5)),
        (-9, 2, 5, (0, 2)),
        (0, 0, 0, (0, 0)),
    ],
)
def test_index_ranges(i1, i2, n, result):
    assert StreamQuery(i1=i1, i2=i2).resolve(n) == result


@pytest.mark.parametrize(("i1", "i2", "n"), [(3, 2, 5), (6, 0, 5), (0, -6, 5), (1, 0, 0)])
def test_index_ranges_outside_the_stream(i1, i2, n):
    with pytest.raises(InvalidRange):
        StreamQuery(i1=i1, i2=i2).resolve(n)
