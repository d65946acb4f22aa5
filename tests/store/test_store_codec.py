"""How blocks are written: every JSON value comes back equal, time stamps bit for bit, and damage is found."""

from __future__ import annotations

import math
import struct
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectordb.block import Block
from connectordb.columns import Categories, Mixed, Records, kind_of
from connectordb.datapoint import Datapoint
from connectordb.errors import StoreError
from connectordb.store._codec import cost, decode, encode

encode_json = msgspec.json.encode

finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(codec="utf-8"), max_size=8)
scalars = st.none() | st.booleans() | finite | st.integers() | texts
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(texts, v, max_size=3), max_leaves=6)
decimals = st.builds(lambda k, digits: k / 10**digits, st.integers(-(10**12), 10**12), st.integers(0, 9))
small = st.integers(-(2**54), 2**54)
records = st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True).flatmap(
    lambda keys: st.lists(st.fixed_dictionaries(dict.fromkeys(keys, finite)), min_size=1, max_size=20)
)
nested = st.lists(
    st.fixed_dictionaries({"at": st.fixed_dictionaries({"x": finite, "y": st.integers(-9, 9)}), "ok": st.booleans()}),
    min_size=1,
    max_size=9,
)
one_kind = st.sampled_from([finite, decimals, small, st.integers(), st.booleans(), texts, finite | small, values])
lists_of_values = one_kind.flatmap(lambda kind: st.lists(kind, min_size=1, max_size=30)) | records | nested
stamps = st.floats(0, 253_402_300_799.0) | st.sampled_from([0.0, -0.0, 5e-324, 1.7e9, 1700000000.123, 1e16, 1.5])


def points_of(data: st.DataObject, ds: list[Any], senders: bool) -> list[Datapoint]:
    ts = sorted(data.draw(st.lists(stamps, min_size=len(ds), max_size=len(ds))))
    o = st.none() | st.sampled_from(["a/b", "é"]) if senders else st.none()
    return [Datapoint(t, d, data.draw(o)) for t, d in zip(ts, ds, strict=True)]


def same(a: Any, b: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return bool(a == b)


def check_same(block: Block, points: list[Datapoint]) -> None:
    assert (block.n, block.t1, block.t2) == (len(points), points[0].t, points[-1].t)
    for got, put in zip(block.points, points, strict=True):
        assert same([got.t, got.d, got.o], [put.t, put.d, put.o])


def numbers(n: int = 100) -> Block:
    return Block.of([Datapoint(1.7e9 + k + k % 7 / 1000, 20 + k % 50 / 100) for k in range(n)])


@settings(deadline=None)
@given(data=st.data(), ds=lists_of_values, senders=st.booleans(), as_text=st.booleans())
def test_every_value_comes_back_equal(data: st.DataObject, ds: list[Any], senders: bool, as_text: bool) -> None:
    points = points_of(data, ds, senders)
    text = encode_json(points)[1:-1]
    block = Block(len(points), points[0].t, points[-1].t, json=text) if as_text else Block.of(points)
    written = encode(block)
    read = decode(written.data)
    check_same(read, points)
    check_same(decode(written.data).slice(0, 1), points[:1])
    anew = msgspec.json.decode(b"[" + decode(written.data).json + b"]", type=list[Datapoint])
    check_same(Block.of(anew), points)
    assert cost(read) >= len(written.data)
    assert written.size >= len(text) if read.columns is not None else written.size == len(text)


@settings(deadline=None)
@given(
    ds=st.lists(finite, min_size=1, max_size=40) | st.lists(small | finite, min_size=1) | st.lists(small, min_size=1)
)
def test_what_is_known_of_numbers_is_right(ds: list[int | float]) -> None:
    points = [Datapoint(float(k), d) for k, d in enumerate(ds)]
    known = encode(Block.of(points)).summary
    if any(type(d) is int and abs(d) >= 2**53 for d in ds):
        assert known is None
        return
    try:
        total = sum(ds) if set(map(type, ds)) == {int} else math.fsum(ds)
    except OverflowError:
        assert known is None
        return
    assert known is not None
    low, high = ds.index(min(ds)), ds.index(max(ds))
    want = [len(ds), 0.0, len(ds) - 1.0, ds[low], float(low), ds[high], float(high), total, ds[0], ds[-1]]
    assert same(list(known), want)


@pytest.mark.parametrize("d", [None, "a", True, {"a": 1}, [1], 2**53, 2**70])
def test_nothing_is_known_of_what_are_no_numbers(d: Any) -> None:
    assert encode(Block.of([Datapoint(1.0, d)])).summary is None


def test_a_sum_without_an_end_is_not_known() -> None:
    assert encode(Block.of([Datapoint(float(k), 1.7e308) for k in range(3)])).summary is None


@pytest.mark.parametrize(
    ("ds", "kind"),
    [
        ([1.5, 2.25], "float"),
        ([1, -2], "int"),
        ([1, 2.5], "mixed"),
        ([True, False], "bool"),
        (["a", "b\0", "a"], "text"),
        ([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], "record"),
        ([{"a": {"b": 1.5}}, {"a": {"b": 2.5}}], "record"),
    ],
)
def test_values_of_one_type_are_columns(ds: list[Any], kind: str) -> None:
    points = [Datapoint(float(k + 1), d) for k, d in enumerate(ds)]
    for block in (Block.of(points), Block(len(ds), 1.0, float(len(ds)), json=encode_json(points)[1:-1])):
        columns = decode(encode(block).data).columns
        assert columns is not None
        assert kind_of(columns[1]) == kind
        assert columns[1].tolist() == ds


@pytest.mark.parametrize(
    "points",
    [
        [Datapoint(1.0, None)],
        [Datapoint(1.0, 1.5, "a/b")],
        [Datapoint(1.0, 1.5), Datapoint(1.0, "a")],
        [Datapoint(1.0, 1), Datapoint(1.0, True)],
        [Datapoint(1.0, 2**53)],
        [Datapoint(1.0, {})],
        [Datapoint(1.0, {"a": 1}), Datapoint(1.0, {"b": 1})],
        [Datapoint(1.0, {"a": 1, "b": 2}), Datapoint(1.0, {"b": 1, "a": 2})],
        [Datapoint(1.0, {"a": None})],
    ],
)
def test_all_else_keeps_its_text(points: list[Datapoint]) -> None:
    text = encode_json(points)[1:-1]
    block = decode(encode(Block(len(points), 1.0, 1.0, json=text)).data)
    assert block.columns is None
    assert block.times is None
    assert block.json == text


@pytest.mark.parametrize("text", [b'{"t":1.0,"d":"\\ud800"}', b'{"t":1.0,"d":' + b"[" * 5000 + b"]" * 5000 + b"}"])
def test_text_that_cannot_be_read_is_handed_on(text: bytes) -> None:
    assert decode(encode(Block(1, 1.0, 1.0, json=text)).data).json == text


def test_labels_that_do_not_occur_are_left_out() -> None:
    labels = [f"label {k}" for k in range(1000)]
    column = Categories(np.array([7, 999, 7]), labels)
    read = decode(encode(Block.of_columns(np.arange(3.0), column)).data).columns
    assert read is not None
    assert isinstance(read[1], Categories)
    assert read[1].labels == ["label 7", "label 999"]
    assert read[1].tolist() == ["label 7", "label 999", "label 7"]


def test_parts_of_columns_are_written_like_others() -> None:
    mixed = Mixed(np.array([1.0, 2.5, 3.0, 4.0]), np.array([True, False, True, False]))
    records = Records({"a": np.arange(4), "b": mixed})
    block = Block.of_columns(np.arange(4.0)[::1], records).slice(1, 3)
    assert decode(encode(block).data).columns[1].tolist() == [{"a": 1, "b": 2.5}, {"a": 2, "b": 3}]  # type: ignore[index]


def test_what_is_no_json_is_not_written_as_a_column() -> None:
    block = decode(encode(Block.of([Datapoint(1.0, math.inf), Datapoint(2.0, 1.0)])).data)
    assert block.columns is None
    assert block.points[0].d is None


def test_only_the_column_that_is_needed_is_unpacked() -> None:
    block = decode(encode(numbers()).data)
    assert (block._times, block._values) == (None, None)
    assert block.times is not None
    assert block._values is None


@settings(deadline=None)
@given(
    gaps=st.lists(st.integers(-400, 400), min_size=16, max_size=60),
    start=st.integers(1000, 2 * 10**14),
    gap=st.sampled_from([1000, 60_000, 1_001]),
)
def test_what_a_clock_says_comes_back_bit_for_bit(gaps: list[int], start: int, gap: int) -> None:
    times = np.array(sorted(start + k * gap + off for k, off in enumerate(gaps))) / 1000
    read = decode(encode(Block.of_columns(times, np.arange(len(times)))).data)
    assert read.times is not None
    assert read.times.tobytes() == times.tobytes()


def test_what_a_clock_says_is_smaller_than_its_differences() -> None:
    n = 4000
    random = np.random.default_rng(1)
    steady = 1.7e12 + np.arange(n) * 1000 + random.integers(0, 400, n)
    walking = 1.7e12 + np.cumsum(random.integers(800, 1200, n))
    values = np.zeros(n)
    sizes = [len(encode(Block.of_columns(ticks / 1000, values)).data) / n for ticks in (steady, walking)]
    assert sizes[0] < 1.15 < sizes[1] * 1.1


def test_objects_are_not_kept_beside_columns() -> None:
    block = decode(encode(numbers()).data)
    assert len(block.points) == 100
    assert not block.has_points


def test_numbers_are_small() -> None:
    n = 8192
    random = np.random.default_rng(1)
    times = np.rint((1.7e9 + np.arange(n) + random.normal(0, 0.01, n)) * 1000) / 1000
    temperatures = np.rint((20 + np.cumsum(random.normal(0, 0.05, n))) * 100) / 100
    assert len(encode(Block.of_columns(times, temperatures)).data) / n < 1.4
    regular = 1.7e9 + np.arange(n) * 60.0
    assert len(encode(Block.of_columns(regular, np.full(n, 21.5))).data) < 200


@settings(deadline=None)
@given(at=st.integers(0, 10**6), bit=st.integers(0, 7), text=st.booleans())
def test_a_flipped_bit_is_found(at: int, bit: int, text: bool) -> None:
    block = Block.of([Datapoint(1.0, None), Datapoint(2.0, "abc")]) if text else numbers()
    data = bytearray(encode(block).data)
    data[at % len(data)] ^= 1 << bit
    with pytest.raises(StoreError, match="damaged"):
        decode(bytes(data))


@settings(deadline=None)
@given(length=st.integers(0, 10**6))
def test_what_was_cut_off_is_missed(length: int) -> None:
    data = encode(numbers()).data
    with pytest.raises(StoreError, match="damaged"):
        decode(data[: length % len(data)])


def test_a_newer_version_is_said_to_be_one() -> None:
    data = encode(numbers()).data
    with pytest.raises(StoreError, match=r"has version 2, .* newer ConnectorDB"):
        decode(b"\2" + data[1:])
