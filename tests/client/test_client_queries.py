"""Merges and datasets of a real server, and what is sent for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectordb import (
    Closed,
    ConnectorDB,
    DatapointArray,
    Device,
    Invalid,
    InvalidRange,
    InvalidValue,
    LimitReached,
    NotFound,
    PermissionDenied,
    ScriptError,
    query,
)
from connectordb.query import Dataset, Merge

from .conftest import FakeTransport

MOOD = [(100, 7), (400, 3), (1100, 5)]
TEMPERATURE = [(200, 73.5), (500, 84.5), (800, 81.5), (1100, 79.5)]


def points(rows: list[tuple[float, Any]]) -> list[dict[str, Any]]:
    return [{"t": t, "d": d} for t, d in rows]


@pytest.fixture
def home(device: ConnectorDB) -> Iterator[ConnectorDB]:
    """A device with the streams mood and temperature."""
    for name, rows in (("mood", MOOD), ("temperature", TEMPERATURE)):
        device[name].create({"type": "number"})
        device[name].insert_array(points(rows))
    yield device


# ---- against a server


def test_merge_is_in_order_of_time(home: ConnectorDB) -> None:
    merge = Merge(home).add_stream("mood").add_stream(home["temperature"], t1=200, transform="$ * 2")
    found = merge.run()
    assert type(found) is DatapointArray
    assert found == points([(100, 7), (400, 3), (500, 169), (800, 163), (1100, 5), (1100, 159)])
    assert merge.run() == found


def test_streams_are_given_in_any_way(home: ConnectorDB, db: ConnectorDB) -> None:
    merge = Merge(home)
    for stream in ("mood", home["mood"], db(f"{home.path}/mood"), f"{home.path}/mood"):
        merge.addStream(stream, i1=-1)
    assert merge.run().d() == [5] * 4
    assert Merge(home).add_stream(f"{home.path}/mood/downlink").run() == []
    assert Merge(home).run() == []


def test_bounds_are_times_of_any_kind(home: ConnectorDB) -> None:
    for t1, t2 in (
        (100, 400),
        (datetime.fromtimestamp(100, UTC), "1970-01-01T00:06:40Z"),
    ):
        assert Merge(home).add_stream("mood", t1, t2).run() == points([(400, 3)])
    assert Merge(home).add_stream("mood", limit=2).run() == points(MOOD[:2])
    assert Merge(home).add_stream("mood", i1=1, i2=2).run() == points(MOOD[1:2])


def test_dataset_by_stream(home: ConnectorDB) -> None:
    dataset = Dataset(home, x="mood").add_stream("temperature").add_stream(home["temperature"], "count", colname="n")
    path = f"{home.path}/temperature"
    assert dataset.run() == points(
        [
            (100, {"x": 7, path: 73.5, "n": 0}),
            (400, {"x": 3, path: 84.5, "n": 1}),
            (1100, {"x": 5, path: 79.5, "n": 3}),
        ]
    )


def test_dataset_by_time_has_rows_at_zero_and_where_null_is_allowed(home: ConnectorDB) -> None:
    strict = Dataset(home, t1=0, t2=400, dt=200).add_stream("temperature", "before", colname="y")
    assert strict.run() == points([(200, {"y": 73.5})])
    lax = Dataset(home, t1=0, t2=400, dt=200).add_stream("temperature", "before", colname="y", allow_null=True)
    assert lax.run() == points([(0, {"y": None}), (200, {"y": 73.5})])


def test_dataset_of_merges(home: ConnectorDB) -> None:
    merge = Merge(home).add_stream("mood").add_stream("temperature", limit=1)
    dataset = Dataset(home, merge, posttransform="$['x'] + $['y']").addStream(merge, "before", colname="y")
    assert dataset.run() == points([(100, 14), (200, 147), (400, 6), (1100, 10)])


def test_what_is_wrong_is_said(home: ConnectorDB, db: ConnectorDB) -> None:
    with pytest.raises((NotFound, PermissionDenied)):
        Merge(home).add_stream("missing").run()
    with pytest.raises((NotFound, PermissionDenied)):
        Merge(home).add_stream("test/meta/log").run()
    with pytest.raises(ScriptError) as e:
        Merge(home).add_stream("mood", transform="$ + + 1").run()
    assert e.value.column == 4
    with pytest.raises(ScriptError):
        Merge(home).add_stream("mood", transform="$['x']").run()
    with pytest.raises(InvalidRange):
        Merge(home).add_stream("mood", i1=100).run()
    with pytest.raises(Invalid, match="at most 10"):
        merge = Merge(home)
        for _ in range(11):
            merge.add_stream("mood")
        merge.run()
    with pytest.raises(Invalid, match="column"):
        Dataset(home, x="mood").run()
    with pytest.raises(Invalid, match=r"0\.001"):
        Dataset(home, t1=1, t2=2, dt=1e-6).add_stream("temperature").run()
    with pytest.raises(Invalid, match="t1 \\+ dt"):
        Dataset(home, t1=2, t2=1, dt=1).add_stream("temperature").run()
    with pytest.raises(LimitReached):
        dataset = Dataset(home, x="mood")
        for i in range(100):
            dataset.add_stream("mood", colname=f"c{i}")
        dataset.run()


def test_query_in_local_mode(tmp_path: Path) -> None:
    with ConnectorDB.local(tmp_path / "db") as db:
        db["s"].create()
        db["s"].insert_array(points([(1, "a"), (2, "b")]))
        assert Merge(db).add_stream("s", transform="$ + '!'").run().d() == ["a!", "b!"]
        with pytest.raises(ScriptError):
            Merge(db).add_stream("s", transform="$ * 2").run()


# ---- tables


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_dataset_as_table_has_its_columns(home: ConnectorDB, kind: Any) -> None:
    pytest.importorskip(kind)
    dataset = Dataset(home, x="mood").add_stream("temperature", "after", colname="after", allow_null=True)
    table = dataset.run().to_df(kind)
    assert list(table.columns) == ["t", "x", "after"]
    assert list(table["x"]) == [7, 3, 5]
    assert list(table["after"])[:2] == [73.5, 84.5]
    assert table["after"].dtype.__class__.__name__ in ("Float64", "Float64DType")
    none = Dataset(home, x="mood", t1=1e9).add_stream("temperature", colname="y").run().to_df(kind)
    assert list(none.columns) == ["t", "x", "y"]
    assert len(none) == 0
    sums = Dataset(home, x="mood", posttransform="$['x']").add_stream("temperature", colname="y").run().to_df(kind)
    assert list(sums.columns) == ["t", "d"]
    with pytest.raises(InvalidValue, match="two columns 't'"):
        Dataset(home, x="mood").add_stream("temperature", colname="t").run().to_df(kind)
    with pytest.raises(ValueError, match="has to be"):
        dataset.run().to_df("excel")  # type: ignore[call-overload]


# ---- what is sent, and what is refused before that


class Transport(FakeTransport):
    """Answers from a script, also on its further connections."""

    def clone(self) -> Transport:
        return self


def sent_by(build: Any) -> Any:
    transport = Transport((200, b"[]"))
    build(Device(transport.session(), "u/d")).run()
    ((method, target, _, body),) = transport.sent
    assert method == "POST"
    return target, json.loads(body or b"")


def test_only_what_is_given_is_sent() -> None:
    target, body = sent_by(lambda d: Merge(d).add_stream("s").add_stream("a/b/c", 1, 2, 3, transform="$"))
    assert target == "/api/v1/query/merge"
    assert body == [{"stream": "u/d/s"}, {"stream": "a/b/c", "t1": 1.0, "t2": 2.0, "limit": 3, "transform": "$"}]
    target, body = sent_by(lambda d: Dataset(d, t1=1, t2=2, dt=0.5).add_stream("s", i2=-1, dt=1))
    assert target == "/api/v1/query/dataset"
    column = {"stream": "u/d/s", "i2": -1, "interpolator": "closest"}
    assert body == {"t1": 1.0, "t2": 2.0, "dt": 0.5, "dataset": {"u/d/s": column}}


def test_query_that_lost_its_answer_is_sent_again() -> None:
    transport = Transport((503, b"{}"), Closed("the connection broke"), (200, b'[{"t":1},{"d":2}]'))
    found = Merge(Device(transport.session(), "u/d")).add_stream("s").run()
    assert found == [{"t": 1, "d": None}, {"t": 0, "d": 2}]
    assert len(transport.sent) == 3


def test_what_makes_no_sense_is_refused_before_it_is_sent() -> None:
    device = Device(FakeTransport().session(), "u/d")
    with pytest.raises(InvalidRange, match="not by both"):
        Merge(device).add_stream("s", t1=1, i1=1)
    with pytest.raises(InvalidRange, match="not by both"):
        Dataset(device, x="s", limit=1, i1=1)
    with pytest.raises(InvalidRange, match="finite"):
        Merge(device).add_stream("s", t1=float("nan"))
    for neither_or_both in ({"t1": 1, "t2": 2}, {"x": "s", "dt": 1}):
        with pytest.raises(InvalidValue, match="either by a stream"):
            Dataset(device, **neither_or_both)  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match="is no time"):
        Merge(device).add_stream("s", t1="yesterday")
    with pytest.raises(Invalid):
        Merge(device).add_stream("u/d")
    with pytest.raises(Invalid):
        Merge(device).add_stream("no name")
    with pytest.raises(InvalidValue, match="a stream is"):
        Merge(device).add_stream(5)  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match="a stream is"):
        Merge(device).add_stream(Merge(device))  # type: ignore[arg-type]
    with pytest.raises(Invalid):
        Merge(Device(FakeTransport().session(), "nobody")).add_stream("s")
    dataset = Dataset(device, x="s").add_stream("s")
    for again in ({}, {"colname": "x"}):
        with pytest.raises(InvalidValue, match="already"):
            dataset.add_stream("s", **again)
    with pytest.raises(InvalidValue, match="needs a name"):
        dataset.add_stream(Merge(device).add_stream("s"))
    with pytest.raises(InvalidValue, match="with its streams"):
        dataset.add_stream(Merge(device).add_stream("s"), t1=1, colname="m")


def test_a_merge_that_grows_later_leaves_the_dataset_alone() -> None:
    device = Device(FakeTransport().session(), "u/d")
    merge = Merge(device).add_stream("s")
    dataset = Dataset(device, merge)
    merge.add_stream("r")
    assert repr(merge) == "Merge('u/d/s', 'u/d/r')"
    assert dataset._fields["merge"] == [{"stream": "u/d/s"}]


def test_module_has_the_old_names_and_no_others() -> None:
    assert query.Merge is Merge
    with pytest.raises(AttributeError, match="Split"):
        query.Split  # noqa: B018
