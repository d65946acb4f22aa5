"""What is written of blocks that are made of columns is read as what is written of the same datapoints as objects."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectordb import formats, rows
from connectordb.block import Block
from connectordb.columns import Categories, Mixed, Records, to_column, to_records
from connectordb.datapoint import Datapoint
from connectordb.formats import FORMATS, _csv, _table

finite = st.floats(allow_nan=False, allow_infinity=False)
exact = st.integers(-(2**53) + 1, 2**53 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["", "5", "true", "null", '"', "a,b", "=1+1", "x\ny", "\r\n", "\x00", "[", " 5 "]
)
inner = st.fixed_dictionaries({"x": finite, "y": exact})
records = st.fixed_dictionaries({"a": finite, "b\n": texts, "c": st.booleans()}) | st.fixed_dictionaries({"in": inner})
kinds = st.sampled_from([finite, exact, finite | exact, st.booleans(), texts])


@pytest.fixture(autouse=True)
def few_are_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_table, "ARRAY_ROWS", 1)
    monkeypatch.setattr(_table, "BATCH_ROWS", 3)
    monkeypatch.setattr(_csv, "ARRAY_ROWS", 1)
    monkeypatch.setattr(rows, "_FIXED_ROWS", 3)


def written(name: str, blocks: list[Block], columns: list[str] | None, **kw: Any) -> bytes:
    encoder = formats.encoder(name, columns, **kw)
    try:
        return b"".join([*map(encoder.feed, blocks), *encoder.end()])
    finally:
        encoder.close()


def read(name: str, data: bytes) -> list[Datapoint]:
    return [point for block in formats.read(name, io.BytesIO(data)) for point in block.points]


def as_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: as_floats(inner) for key, inner in value.items()}
    return float(value) if type(value) is int else value


def block_of(times: list[float], values: list[Any]) -> Block | None:
    column = to_column(values)
    if column is None:
        column = to_records(values)
    return None if column is None else Block.of_columns(np.array(times), column)


@pytest.mark.parametrize("name", FORMATS)
@settings(deadline=None)
@given(data=st.data(), writers=st.booleans())
def test_columns_are_written_as_objects_are(name: str, data: st.DataObject, writers: bool) -> None:
    made: list[tuple[Block, Block]] = []
    t = 8_388_608.0
    for _ in range(data.draw(st.integers(1, 3))):
        values = data.draw(st.lists(data.draw(kinds | st.just(records)), min_size=1, max_size=7))
        times = [
            t := t + gap
            for gap in data.draw(
                st.lists(st.sampled_from([0.0, 0.5, 60.0]), min_size=len(values), max_size=len(values))
            )
        ]
        block = block_of(times, values)
        points = Block.of(list(map(Datapoint, times, values)))
        made.append((points, points if block is None else block))
    for columns in (None, ["a", "c", "in"]):
        want, got = (
            read(name, written(name, list(blocks), columns, writers=writers)) for blocks in zip(*made, strict=True)
        )
        if name in ("arrow", "parquet"):  # one table may have integers where another one has floats
            got, want = ([(point.t, as_floats(point.d)) for point in points] for points in (got, want))
        assert repr(got) == repr(want)


@pytest.mark.parametrize("name", ["arrow", "parquet", "csv", "ndjson"])
def test_no_object_is_made_for_each_datapoint(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("there are objects")

    times = np.arange(1.0, 101.0)
    for column in (
        times / 8,
        times.astype(int),
        times > 9,
        Mixed(times, times > 9),
        Categories(np.arange(100) % 2, ["a", "b"]),
    ):
        block = Block.of_columns(times, column)
        with monkeypatch.context() as patch:
            patch.setattr(Block, "points", property(never))
            data = written(name, [block], None)
        assert [point.d for point in read(name, data)] == column.tolist()


def test_a_table_of_records_has_their_columns() -> None:
    column = Records(
        {"b": np.array([1, 2]), "a": Categories(np.array([0, 1]), ["x,y", "5"]), "c": np.array([0.5, 1.0])}
    )
    block = Block.of_columns(np.array([1.0, 2.0]), column)
    assert written("csv", [block], ["a", "none", "b"]) == b't,a,none,b\r\n1.0,"x,y",,1\r\n2.0,"""5""",,2\r\n'
    assert written("csv", [Block.of_columns(np.array([1.0]), np.array([5]))], ["a"]) == b"t,a\r\n1.0,\r\n"
    assert (
        written("csv", [Block.of_columns(np.array([1.0]), np.array([5]))], None, writers=True) == b"t,d,o\r\n1.0,5,\r\n"
    )
