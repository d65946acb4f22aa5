"""Columns: what is written of them is the same as what is written of the values one by one."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectordb.block import Block
from connectordb.columns import Categories, Column, Mixed, Records, parse_numbers, to_column, to_records
from connectordb.datapoint import Datapoint
from connectordb.rows import Labels, rows_json, rows_text

decode = msgspec.json.decode
finite = st.floats(allow_nan=False, allow_infinity=False)
exact = st.integers(-(2**53) + 1, 2**53 - 1)
texts = st.text(st.characters(codec="utf-8"), max_size=6)
decimals = st.integers(0, 8).flatmap(
    lambda digits: (
        st.integers(-(10**6), 10**6).map(lambda k: k / 10**digits)
        | st.integers(0, 10**14).map(lambda k: k / 10**digits)
    )
)
kinds = st.sampled_from(
    [finite, exact, finite | exact, decimals, decimals | st.integers(-99, 99), st.booleans(), texts]
)
records = st.sampled_from(
    [
        st.fixed_dictionaries({"": decimals}),
        st.fixed_dictionaries({"a\n": exact, '"': texts, "c": st.booleans()}),
        st.fixed_dictionaries({"a": st.fixed_dictionaries({"x": finite, "y": exact}), "b": texts}),
    ]
)
stamps = (
    st.integers(0, 10**14).map(lambda k: k / 1000)
    | st.floats(0, 253_402_300_799.0)
    | st.sampled_from([0.0, -0.0, 1e16, 1.5])
)


def column_of(values: list[Any]) -> Column | None:
    column = to_column(values)
    return to_records(values) if column is None else column


@pytest.mark.parametrize("fixed_rows", [1, 1000])
@settings(deadline=None)
@given(data=st.data())
def test_the_text_of_columns_is_that_of_the_datapoints(fixed_rows: int, data: st.DataObject) -> None:
    kind = data.draw(kinds | records)
    values = data.draw(st.lists(kind, min_size=1, max_size=20))
    column = column_of(values)
    if column is None:
        return
    times = data.draw(st.lists(stamps, min_size=len(values), max_size=len(values)))
    rows = zip(times, values, strict=True)
    want = [Datapoint(d=d) if repr(t) == "0.0" else Datapoint(t, d) for t, d in rows]
    for between in (b",", b"\n"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("connectordb.rows._FIXED_ROWS", fixed_rows)
            text = rows_json(np.array(times), column, between)
        assert text.count(b"\n") == (between == b"\n") * (len(values) - 1)
        got = decode(b"[" + text.replace(b"\n", b",") + b"]")
        assert repr(got) == repr(decode(msgspec.json.encode(want)))


@pytest.mark.parametrize("value", [-0.0, 5e-324, 1.7976931348623157e308, 1e16, 1e22, 1e-7, 0.1, 2.0**53, 123456789.125])
def test_numbers_are_read_as_what_they_were(value: float) -> None:
    (point,) = decode(b"[" + rows_json(np.array([1.5]), np.array([value])) + b"]")
    assert type(point["d"]) is float
    assert math.copysign(1, point["d"]) == math.copysign(1, value)
    assert point["d"] == value


def test_an_integer_among_floats_has_no_sign_if_it_is_0() -> None:
    column = Mixed(np.array([-0.0, -0.0]), np.array([True, False]))
    assert rows_json(np.array([1.0, 2.0]), column) == b'{"t":1.0,"d":0},{"t":2.0,"d":-0.0}'


@pytest.mark.parametrize("digits", range(9))
@pytest.mark.parametrize("sign", [1, -1])
def test_numbers_of_any_length_are_written_as_one_by_one(digits: int, sign: int) -> None:
    ends = sorted({0, *(10**k + more for k in range(15) for more in (-1, 0, 1, 10 ** (k // 2)))})
    times, values = np.full(len(ends), 1.5), np.array([sign * end / 10**digits for end in ends]) + 0.0
    want = [value / 10**digits for value in ends]
    got = decode(b"[" + rows_text([b"", values, b","], len(ends))[:-1] + b"]")
    assert repr(got) == repr([sign * value + 0.0 for value in want])
    for column in (values, values.astype(int), Mixed(np.trunc(values) + 0.0, np.arange(len(ends)) % 2 == 0)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("connectordb.rows._FIXED_ROWS", 1)
            fixed = decode(b"[" + rows_json(times, column) + b"]")
        assert repr([row["d"] for row in fixed]) == repr(column.tolist())


def test_rows_have_a_fixed_width_only_if_it_is_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectordb.rows._FIXED_ROWS", 1)
    times = np.array([1.0, 2.0])
    long = Categories(np.array([0, 1]), ["a" * 100, "b"])
    wide = Records({f"{k}" * 20: np.array([0.5, 1.5]) for k in range(10, 40)})
    blank = Labels(np.array([0, 1]), [b"a\0b", b""])
    for column in (long, wide):
        assert decode(b"[" + rows_json(times, column) + b"]") == [
            {"t": t, "d": d} for t, d in zip([1.0, 2.0], column.tolist(), strict=True)
        ]
    assert rows_text([blank, b"\0\n"], 2) == b"a\0b\0\n\0\n"
    assert rows_text([blank, b"\n"], 2) == b"a\0b\n\n"


def test_many_rows_are_written_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    times, values = np.arange(1.0, 11.0), np.arange(10)
    whole = rows_json(times, values)
    monkeypatch.setattr("connectordb.rows._ROWS_AT_ONCE", 3)
    assert rows_json(times, values) == whole


@pytest.mark.parametrize("missing", ["orjson", "numpy"])
def test_libraries_that_are_missing_are_done_without(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    times, values = np.array([1.0, 2.0]), np.array([1.5, 2.5])
    want = rows_json(times, values)
    module = "rows" if missing == "orjson" else "columns"
    monkeypatch.setattr(f"connectordb.{module}.{missing}", lambda: None)
    if missing == "orjson":
        assert rows_json(times, values) == want
    else:
        assert parse_numbers(want, 2) == ([1.0, 2.0], [1.5, 2.5])
        assert to_column([1.5]) is None


def test_a_block_of_columns_knows_its_length_roughly_without_its_text() -> None:
    n = 1000
    times = 1.7e9 + np.arange(n) + 0.125
    labels = Categories(np.arange(n) % 3, ["one", "two", "three"])
    for column in (np.arange(n) / 8, np.arange(n) % 2 == 0, labels, Records({"a": np.arange(n) / 8, "b": labels})):
        block = Block.of_columns(times, column)
        assert not block.has_json
        assert block.size == pytest.approx(len(block.json), rel=0.25)
        assert block.size == len(block.json)


@pytest.mark.parametrize(
    "values",
    [
        [],
        [{}],
        [{"a": 1}, {"a": "x"}],
        [{"a": 1}, {"b": 1}],
        [{"a": 1, "b": 1}, {"b": 1, "a": 1}],
        [{"a": []}],
        [{"a": 1}, 1],
    ],
)
def test_objects_that_differ_are_no_column(values: list[Any]) -> None:
    assert to_records(values) is None


def test_objects_in_each_other_are_columns_to_some_depth() -> None:
    value: Any = 1
    for _ in range(8):
        value = {"a": value}
    column = to_records([value, value])
    assert column is not None
    assert column.tolist() == [value, value]
    assert to_records([{"a": value}]) is None
