"""Batches are made of blocks, and blocks of batches, without anything getting lost, or another type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import json

from connectordb.block import Block
from connectordb.datapoint import Datapoint
from connectordb.pipescript import Batch, compile_script
from connectordb.pipescript.blocks import batch_of, block_of, blocks_of
from connectordb.store._codec import decode, encode

numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1000, 1000).map(lambda x: round(x, 2)),
    st.integers(),
    st.sampled_from([0.0, -0.0, 1e22, 1.5e-7, 2**53, 2**63, 2**64, -(2**70), 5, 5.0]),
)
texts = st.one_of(
    st.sampled_from(["", "5", "t", '":', '{"t":1.5,"d":2.5}', "td:{}", "\\", '"']),
    st.text('5,,,,td{}[]:"\\ ', max_size=12),
)
values = st.recursive(
    st.one_of(numbers, texts, st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("tdox"), inner, max_size=3)),
    max_leaves=5,
)
times = st.one_of(st.floats(0, 4e9), st.integers(0, 4).map(float))
senders = st.sampled_from([None, None, None, "1/2", "user/device"])


def datapoints(of: st.SearchStrategy[Any], sender: st.SearchStrategy[str | None]) -> st.SearchStrategy[list[Datapoint]]:
    return st.lists(st.builds(Datapoint, times, of, sender), min_size=1, max_size=6)


def as_stored(points: list[Datapoint]) -> Block:
    """Return *points* as text, as they come from the store."""
    block = Block.of(points)
    return Block(block.n, block.t1, block.t2, json=block.json)


def said(batch: Batch) -> str:
    """What a batch holds, in which 5 is not 5.0."""
    return repr(list(zip(batch.t, batch.d, strict=True)))


@given(
    st.one_of(
        datapoints(numbers, st.none()),
        datapoints(st.floats(-1000, 1000), st.none()),
        datapoints(st.lists(numbers, max_size=3), st.none()),
        datapoints(values, senders),
    )
)
@example([Datapoint(1.0, {"t": 2.0, "d": 3.0}), Datapoint(5.0)])  # as many values as two datapoints have
@example([Datapoint(1.5, [2.5, {"t": 1}]), Datapoint(3.5, None), Datapoint(0.0, 4.5)])
@example([Datapoint(1.0, [1.5]), Datapoint(2.0, 2)])  # as many dots as four floats have
@example([Datapoint(1.0, False), Datapoint(2.0, True)])
@example([Datapoint(1.0, ""), Datapoint(0.0, 1)])
@example([Datapoint(1.0, "5,6"), Datapoint(2.0, "7"), Datapoint(3.0)])  # texts and nulls may make up for each other
@example([Datapoint(1.0), Datapoint(2.0, "{1,2}")])
@example([Datapoint(0.0, [1, 2, True]), Datapoint(1.0, False)])
@example([Datapoint(1.0, {"t": 2}), Datapoint(0.0, 5), Datapoint(3.0, {"d": 1}), Datapoint(4.0)])
def test_a_batch_of_a_block_holds_what_the_block_does(points: list[Datapoint]) -> None:
    batch = batch_of(as_stored(points))
    assert said(batch) == repr([(point.t, point.d) for point in points])
    assert all(type(t) is float for t in batch.t)
    assert batch.n == len(points)


@given(datapoints(values, senders))
def test_a_block_of_a_batch_is_the_text_without_senders(points: list[Datapoint]) -> None:
    block = block_of(batch_of(as_stored(points)))
    expected = Block.of([Datapoint(point.t, point.d) if point.t else Datapoint(d=point.d) for point in points])
    assert block is not None
    assert repr(json.decode(b"[" + block.json + b"]")) == repr(json.decode(b"[" + expected.json + b"]"))
    assert (block.n, block.t1, block.t2) == (expected.n, expected.t1, expected.t2)


def test_nothing_makes_no_block() -> None:
    assert block_of(Batch([], [])) is None


@pytest.mark.parametrize(("value", "kind"), [(2.25, "float"), (-0.5, "float"), (7, "int"), (False, "bool")])
def test_numbers_are_made_without_an_object_for_each_datapoint(value: Any, kind: str) -> None:
    block = as_stored([Datapoint(float(i), value) for i in range(1, 30)])
    batch = batch_of(block)
    assert not block.has_points
    assert batch.kind == kind
    assert batch.is_columns == (kind == "float")


@given(datapoints(values, st.none()), st.integers(1, 300))
def test_a_batch_is_written_in_pieces_of_some_size(points: list[Datapoint], times: int) -> None:
    many = [Datapoint(float(i + 1), point.d) for i, point in enumerate(points * times)]
    assert [p for block in blocks_of(Batch([p.t for p in many], [p.d for p in many])) for p in block.points] == many


def test_long_values_are_written_in_small_pieces() -> None:
    text = "x" * 100_000
    blocks = list(blocks_of(Batch([float(i) for i in range(1, 1001)], [text] * 1000)))
    assert sum(block.n for block in blocks) == 1000
    assert max(len(block.json) for block in blocks) < 2_500_000
    assert len(blocks) < 200
    assert len(list(blocks_of(Batch([float(i) for i in range(1, 5001)], list(range(5000)))))) < 10
    assert list(blocks_of(Batch([], []))) == []


@pytest.mark.parametrize("values", [[1.5, 2.5], [1, 2], [1, 2.5], [True, False]])
def test_a_batch_of_arrays_is_a_block_of_columns(values: list[Any]) -> None:
    batch = batch_of(decode(encode(as_stored([Datapoint(float(k + 1), d) for k, d in enumerate(values)])).data))
    assert batch.is_columns
    (block,) = blocks_of(batch)
    assert not block.has_json
    assert block.columns is not None
    assert block.columns[1].tolist() == values


def test_a_number_that_is_none_is_null_as_ever() -> None:
    block = block_of(Batch.of(np.array([1.0, 2.0]), np.array([np.nan, np.inf])))
    assert block is not None
    assert block.columns is None
    assert block.json == b'{"t":1.0,"d":null},{"t":2.0,"d":null}'


@pytest.mark.parametrize(
    "script",
    [
        "$('a')",
        "$('in') | $('x')",
        "if $('b') == 'x'",
        "map($('b'), count)",
        "if changed",
        "{'n': count, 'of': $}",
    ],
)
def test_objects_from_a_block_are_as_good_as_those_from_text(script: str) -> None:
    rows = [{"a": k / 4, "b": "xy"[k % 3 // 2], "in": {"x": k // 3}} for k in range(40)]
    text = as_stored([Datapoint(k + 1.0, row) for k, row in enumerate(rows)])
    sealed = decode(encode(text).data)
    assert sealed.columns is not None
    compiled = compile_script(script)
    got, want = ([said(out) for out in compiled.run_batches([batch_of(block)])] for block in (sealed, text))
    assert got == want
