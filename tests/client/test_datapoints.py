"""DatapointArray, times, tables."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectordb import DatapointArray
from connectordb.datapoints import to_timestamp
from connectordb.errors import InvalidValue
from connectordb.frames import from_columns

A = [{"t": 3.0, "d": 1}, {"t": 1.0, "d": 2}]


def test_columns() -> None:
    a = DatapointArray(A)
    assert a.d() == a["d"] == [1, 2]
    assert a.t() == a["t"] == [datetime.fromtimestamp(3), datetime.fromtimestamp(1)]
    assert a.raw() == A
    assert type(a.raw()) is list
    with pytest.raises(TypeError):
        a["x"]


def test_it_is_a_list() -> None:
    a = DatapointArray(A)
    assert a == A
    assert repr(a) == repr(A)
    assert a[0] == A[0]
    assert a[-1:] == A[1:]
    assert type(a[:1]) is type(a.copy()) is DatapointArray
    assert DatapointArray() == []


def test_sort_is_by_time_in_place_and_returns_itself() -> None:
    a = DatapointArray(A)
    assert a.sort() is a
    assert a == A[::-1]
    assert a.sort(lambda p: p["d"]) == A
    assert a.sort(key=lambda p: p["d"], reverse=True) == A[::-1]


def test_merge_adds_in_place_and_plus_does_not() -> None:
    a, other = DatapointArray(A), [{"t": 2.0, "d": 5}]
    assert (a + other).d() == (other + a).d() == [2, 5, 1]
    assert len(a) == 2
    assert a.merge(other) is a
    assert a.d() == [2, 5, 1]


def test_equal_times_keep_their_order() -> None:
    assert DatapointArray([{"t": 1, "d": i} for i in range(9)]).sort().d() == list(range(9))


def test_sum_mean_tshift() -> None:
    a = DatapointArray([{"t": 1.0, "d": 2}, {"t": 2.0, "d": 5}])
    assert (a.sum(), a.mean()) == (7, 3.5)
    assert a.tshift(-0.5) is a
    assert [p["t"] for p in a] == [0.5, 1.5]
    assert DatapointArray().sum() == 0
    with pytest.raises(ZeroDivisionError):
        DatapointArray().mean()
    with pytest.raises(TypeError):
        DatapointArray([{"t": 1, "d": "x"}]).sum()


@pytest.mark.parametrize("old", [True, False])
def test_json_files(tmp_path: Path, old: bool) -> None:
    file = tmp_path / "data.json"
    a = DatapointArray([*A, {"t": 2.0, "d": {"é": None}}])
    (a.writeJSON if old else a.write_json)(str(file))
    b, c = DatapointArray([{"t": 0.0, "d": 0}]), DatapointArray()
    assert (b.loadJSON if old else b.load_json)(file) is b
    assert (c.loadExport if old else c.load_export)(tmp_path) is c
    assert c == a.sort()
    assert b.d() == [0, 2, {"é": None}, 1]


def test_null_left_out_of_a_file_comes_back(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text('[{"t": 1}]')
    assert DatapointArray().load_export(tmp_path) == [{"t": 1, "d": None}]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"d": 1}]', "[" * 100_000])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InvalidValue):
        DatapointArray().load_json(tmp_path / "x.json")


LOCAL = datetime(2024, 2, 29, 12, 30, 15, 250000)


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        (5, 5.0),
        (1.5, 1.5),
        (LOCAL, LOCAL.timestamp()),
        (LOCAL.isoformat(), LOCAL.timestamp()),
        (date(2024, 2, 29), datetime(2024, 2, 29).timestamp()),
        ("2024-02-29", datetime(2024, 2, 29).timestamp()),
        ("2024-02-29T12:30:15.25Z", 1709209815.25),
        ("2024-02-29T12:30:15.25+02:00", 1709202615.25),
        (datetime(2024, 2, 29, 12, tzinfo=timezone(timedelta(hours=-5))), 1709226000.0),
    ],
)
def test_time_in_seconds(time: Any, seconds: float) -> None:
    assert to_timestamp(time) == seconds


@pytest.mark.parametrize("time", ["", "now", "12", None, True, [], {}, 10**400, "2024-13-01", b"x"])
def test_what_is_no_time_is_refused(time: Any) -> None:
    with pytest.raises(InvalidValue, match="is no time"):
        to_timestamp(time)


points = st.lists(
    st.fixed_dictionaries({"t": st.floats(1e6, 9e9).filter(lambda t: t != 0), "d": st.integers(-100, 100)}), max_size=5
)


@pytest.mark.parametrize("kind", ["pandas", "polars"])
@given(points=points)
def test_table_and_back_is_exact(kind: Any, points: list[dict[str, Any]]) -> None:
    table = DatapointArray(points).to_df(kind)
    assert list(table.columns) == ["t", "d"]
    back = from_columns(table)
    assert back is not None
    assert [p["d"] for p in back] == [p["d"] for p in points]
    assert [p["t"] for p in back] == pytest.approx([p["t"] for p in points], abs=1e-9, rel=0)
    if all(p["t"] >= 2**23 for p in points):  # from there on a float is coarser than a nanosecond
        assert back == points


@pytest.mark.parametrize("kind", ["pandas", "polars"])
@pytest.mark.parametrize(
    "values", [[1, 2.5], [None, 1], ["a", None], [True, False], [{"a": 1}, {"b": [2]}], [1, "x"], [2**70, 1], []]
)
def test_values_of_any_kind_get_into_a_table(kind: Any, values: list[Any]) -> None:
    table = DatapointArray({"t": float(i), "d": d} for i, d in enumerate(values)).to_df(kind)
    assert table.shape == (len(values), 2)
    if values in ([1, 2.5], [True, False], [1, "x"]):
        assert list(table["d"]) == values


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_senders_and_far_times_are_in_the_table(kind: Any) -> None:
    array = DatapointArray([{"t": 1.0, "d": 1}, {"t": 253_402_300_799.0, "d": 2, "o": "a/b"}])
    table = array.to_df(kind)
    assert list(table.columns) == ["t", "d", "o"]
    assert list(table["o"])[1] == "a/b"
    assert list(table["t"])[1] == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_tables_of_many_kinds_are_taken() -> None:
    numpy, pandas, polars = (pytest.importorskip(name) for name in ("numpy", "pandas", "polars"))
    local = [datetime(2024, 1, 1, 12), datetime(2024, 7, 1, 12, 0, 0, 500_000)]
    aware = [t.astimezone(UTC) for t in local]
    expected = [{"t": t.timestamp(), "d": i} for i, t in enumerate(local)]
    seconds = [t.timestamp() for t in local]
    for table in (
        {"t": seconds, "d": [0, 1]},
        {"t": numpy.array(seconds), "d": numpy.array([0, 1])},
        {"t": numpy.array(local, dtype="datetime64[us]"), "d": (0, 1)},
        pandas.DataFrame({"t": seconds, "d": [0, 1]}),
        pandas.DataFrame({"t": local, "d": [0, 1]}),
        pandas.DataFrame({"t": aware, "d": [0, 1]}),
        polars.DataFrame({"t": seconds, "d": [0, 1]}),
        polars.DataFrame({"t": local, "d": [0, 1]}),
        polars.DataFrame({"t": aware, "d": [0, 1]}),
    ):
        assert from_columns(table) == expected, table


@pytest.mark.parametrize(
    ("table", "why"),
    [({"t": [1]}, "columns 't' and 'd'"), ({"t": [1], "d": []}, "differ in length"), ({}, "columns 't' and 'd'")],
)
def test_table_without_sense_is_refused(table: Any, why: str) -> None:
    with pytest.raises(InvalidValue, match=why):
        from_columns(table)


def test_missing_time_in_a_table_is_refused() -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    for table in (
        pandas.DataFrame({"t": pandas.to_datetime(["2024-01-01", None]), "d": [1, 2]}),
        polars.DataFrame({"t": [datetime(2024, 1, 1), None], "d": [1, 2]}),
    ):
        with pytest.raises(InvalidValue, match="missing"):
            from_columns(table)


def test_unknown_library_and_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="'pandas' or 'polars'"):
        DatapointArray().to_df("excel")  # type: ignore[call-overload]
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ImportError):
        DatapointArray().to_df("polars")


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_missing_library_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    for name in ("numpy", kind):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf'to_df needs {kind}.*pip install "connectordb\[{kind}\]"'):
        DatapointArray([{"t": 1.0, "d": 1}]).to_df(kind)
