"""Tables from the server's columns are as those from JSON."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import polars as pl
import pytest
from pandas.testing import assert_frame_equal as assert_pandas_equal
from polars.testing import assert_frame_equal as assert_polars_equal

from connectordb import ConnectorDB, DatapointArray, NotFound, ScriptError, ServerError, Stream
from connectordb.client import _stream, _table

BEGIN = 1_500_000_000.123456
VALUES: dict[str, list[Any]] = {
    "floats": [0.1, -0.0, 1e300, 5e-324, 2.0],
    "integers": [1, 0, -(2**53) - 1, 2**63 - 1],
    "mixed": [1, 2.5, -3, 2**53],
    "mixed, too large": [2.5, 2**53 + 1],
    "larger than 64 bits": [1, 2**63, 2**70],
    "bools": [True, False],
    "texts": ["", "é", "\u0000\U0001f600", "null"],
    "nulls": [None, None],
    "floats and nulls": [1.5, None, 2.5],
    "integers and nulls": [1, None, 3],
    "bools and nulls": [True, None],
    "texts and nulls": [None, "a"],
    "objects": [{"a": 1, "b": "x"}, {"a": None}, {}],
    "arrays": [[1, 2], [], [None, {"x": []}]],
    "anything": [1, "a", None, [1], {"a": 1}, True, 2.5],
    "one": [7],
    "none": [],
}
KINDS = ("pandas", "polars")


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the answers for tables were: a `Table`, or ``None`` for JSON."""
    read: list[Any] = []
    original = _table.read

    def reading(body: bytes) -> Any:
        read.append(original(body))
        return read[-1]

    monkeypatch.setattr(_table, "read", reading)
    return read


def same(kind: str, found: Any, expected: Any) -> None:
    if kind == "pandas":
        assert isinstance(found, pd.DataFrame)
        assert_pandas_equal(found, expected, check_exact=True)
        return
    assert isinstance(found, pl.DataFrame)
    assert found.schema == expected.schema
    if pl.Object in expected.dtypes:
        assert found.rows() == expected.rows()
    else:
        assert_polars_equal(found, expected, check_exact=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("values", VALUES)
def test_a_table_is_the_same_either_way(any_values: Stream, tables: list[Any], values: str, kind: Any) -> None:
    points = [{"t": BEGIN + i / 3, "d": d} for i, d in enumerate(VALUES[values])]
    any_values.insert_array(points)
    found = any_values.to_df(kind)
    same(kind, found, DatapointArray(points).to_df(kind))
    assert [table is not None for table in tables] == [True]
    assert list(found.columns) == ["t", "d"]


@pytest.mark.parametrize("kind", KINDS)
def test_many_datapoints_of_several_types(any_values: Stream, tables: list[Any], kind: Any) -> None:
    """More than the server puts into one batch, and the later ones are of another type."""
    any_values.insert_array([{"t": 1.0 + i / 8, "d": i} for i in range(70_000)])
    same(kind, any_values.to_df(kind), any_values[:].to_df(kind))
    any_values.insert_array([{"t": 10_000.0, "d": 0.5}])
    same(kind, any_values.to_df(kind), any_values[:].to_df(kind))
    any_values.insert_array([{"t": 10_001.0, "d": "x"}])
    same(kind, any_values.to_df(kind, i1=-5), any_values[-5:].to_df(kind))
    same(kind, any_values.to_df(kind, i1=-70_000), any_values[-70_000:].to_df(kind))
    assert all(table is not None for table in tables)


@pytest.mark.parametrize("kind", KINDS)
def test_times_beyond_nanoseconds(any_values: Stream, kind: Any) -> None:
    any_values.insert_array([{"t": 0.0000005, "d": 1}, {"t": 1e9 + 1e-6, "d": 2}, {"t": 9.3e9, "d": 3}])
    same(kind, any_values.to_df(kind), any_values[:].to_df(kind))
    same(kind, any_values.to_df(kind, i2=2), any_values[:2].to_df(kind))


@pytest.mark.parametrize(
    "span",
    [
        {},
        {"t1": 3, "t2": 7},
        {"t1": 3, "limit": 2},
        {"limit": 0},
        {"t2": 0},
        {"i1": -3},
        {"i1": 2, "i2": -2},
        {"i1": 50},
        {"i1": 5, "i2": 2},
        {"i2": 0},
        {"transform": "if $ > 4"},
        {"t1": 100},
        {"points": 5},
        {"every": "5s"},
        {"every": "5s", "stat": ["max", "count"], "zone": "Europe/Amsterdam"},
        {"every": "5s", "t1": 100},
        {"every": "5s", "stat": "stddev"},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_range_it_is(any_values: Stream, tables: list[Any], span: dict[str, Any], kind: Any) -> None:
    any_values.insert_array([{"t": t, "d": t * t % 7} for t in range(1, 12)])
    same(kind, any_values.to_df(kind, **span), any_values(**span).to_df(kind))
    assert None not in tables


@pytest.mark.parametrize("kind", KINDS)
def test_who_wrote_it_is_told(device: ConnectorDB, db: ConnectorDB, kind: Any) -> None:
    lamp = device["lamp"]
    lamp.create({"type": "boolean"}, downlink=True)
    db(lamp.path).insert(True)
    found = lamp.to_df(kind, downlink=True)
    same(kind, found, lamp(downlink=True).to_df(kind))
    assert list(found.columns) == ["t", "d", "o"]


def test_errors_are_as_ever(any_values: Stream) -> None:
    any_values.insert(1)
    with pytest.raises(ScriptError):
        any_values.to_df(transform="if (")
    with pytest.raises(NotFound):
        Stream(any_values._session, f"{any_values.path}x").to_df()
    with pytest.raises(ValueError, match="kind is 'excel'"):
        any_values.to_df("excel")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="t3"):
        any_values.to_df(t3=5)


# ---- without columns


@pytest.mark.parametrize("kind", KINDS)
def test_without_pyarrow_it_is_json(any_values: Stream, tables: list[Any], monkeypatch: Any, kind: Any) -> None:
    any_values.insert_array([{"t": 1, "d": 1}, {"t": 2, "d": 2.5}])
    expected = any_values.to_df(kind)
    windows = any_values.to_df(kind, every="1h")
    monkeypatch.setattr(_stream, "can_read", lambda: False)
    same(kind, any_values.to_df(kind), expected)
    same(kind, any_values.to_df(kind, every="1h"), windows)
    assert len(tables) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_without_columns_answers_json(fake: Any, kind: Any) -> None:
    points = [{"t": 1.0, "d": 1}, {"t": 2.0, "d": 2.5}]
    server = fake((200, json.dumps(points).encode()))
    same(kind, Stream(server.session(), "u/d/s").to_df(kind), DatapointArray(points).to_df(kind))
    windows = [{"t": 1.0, "d": {"mean": 1.5}}]
    server = fake((200, json.dumps(windows).encode()))
    found = Stream(server.session(), "u/d/s").to_df(kind, every="1h", stat="mean")
    assert list(found.columns) == ["t", "mean"]


def test_what_is_too_large_for_columns_comes_as_json(fake: Any) -> None:
    points = [{"t": 1.0, "d": 1}]
    refused = json.dumps({"code": 413, "msg": "too large", "ref": "x", "error": "too_large"}).encode()
    server = fake((413, refused), (200, json.dumps(points).encode()))
    same("pandas", Stream(server.session(), "u/d/s").to_df(), DatapointArray(points).to_df())


@pytest.mark.parametrize("body", [b"\xff\xff\xff\xff", b"\xff\xff\xff\xff\x00", b"{}", b"", b"PK"])
def test_what_is_no_table_is_an_error_of_the_server(fake: Any, body: bytes) -> None:
    with pytest.raises(ServerError):
        Stream(fake((200, body)).session(), "u/d/s").to_df()
