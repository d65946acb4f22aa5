"""Datapoints that are stored already, and are left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_model import MemoryStore, block, insert, make_streams, values

from connectordb.block import Block
from connectordb.datapoint import Datapoint
from connectordb.store import _known
from connectordb.store.base import Store, Transaction
from connectordb.store.records import Appended, Mode, Substream, Upload
from connectordb.store.sqlite import SQLiteStore

MAIN = Substream.MAIN


def appending(
    stream: int, new: Block, skip: bool = True, upload: Upload | None = None
) -> Callable[[Transaction], Appended]:
    return lambda tx: tx.append(stream, MAIN, new, Mode.MERGE, upload, skip_known=skip)


def add(store: Store, stream: int, new: Block, upload: Upload | None = None) -> Appended:
    return store.submit(appending(stream, new, upload=upload)).result()


@pytest.fixture
def unsealed(tmp_path: Path) -> Iterator[SQLiteStore]:
    """One in which nothing is sealed but when it is asked for."""
    with SQLiteStore(tmp_path / "s.db", seal_after_s=None) as made:
        yield made


def test_what_is_stored_is_left_out(store: Store, stream: int) -> None:
    insert(store, stream, block((1.0, "a"), (2.0, "b"), (2.0, "c"), (3.0, "d")))
    appended = add(store, stream, block((0.5, "n"), (2.0, "c"), (2.0, "x"), (3.0, "d"), (3.0, "y")))
    assert appended.first_index == 0
    assert appended.block is not None
    assert [(p.t, p.d) for p in appended.block.points] == [(0.5, "n"), (2.0, "x"), (3.0, "y")]
    assert values(store, stream) == [
        (0.5, "n"), (1.0, "a"), (2.0, "b"), (2.0, "c"), (2.0, "x"), (3.0, "d"), (3.0, "y"),
    ]  # fmt: skip
    before = store.head(stream, MAIN)
    assert add(store, stream, block((1.0, "a"), (3.0, "d"))) == Appended(-1, None, before.arrivals)
    assert store.head(stream, MAIN) == before


def test_what_is_twice_in_an_insert_stays_so(store: Store, stream: int) -> None:
    for _ in range(2):
        add(store, stream, block((1.0, 1), (1.0, 1), (2.0, 2)))
    assert values(store, stream) == [(1.0, 1), (1.0, 1), (2.0, 2)]


def test_without_being_asked_nothing_is_left_out(store: Store, stream: int) -> None:
    for _ in range(2):
        insert(store, stream, block((1.0, 1), (2.0, 2)), Mode.MERGE)
    assert values(store, stream) == [(1.0, 1), (1.0, 1), (2.0, 2), (2.0, 2)]


@pytest.mark.parametrize(
    ("stored", "equal", "other"),
    [
        (1, 1.0, True),
        (1.0, 1, False),
        (0, -0.0, None),
        (True, True, 1),
        (None, None, "null"),
        ("1", "1", 1),
        (2**70, 2**70, 2**70 + 1),
        (2**53, float(2**53), 2**53 + 1),
        ([1, {"a": 1.0, "b": 2}], [1.0, {"b": 2, "a": 1}], [1, {"a": True, "b": 2}]),
        ({"a": None}, {"a": None}, {}),
        ("\u0000\U0001f600", "\u0000\U0001f600", "\u0000"),
    ],
)
def test_values_are_equal_as_json(store: Store, stream: int, stored: Any, equal: Any, other: Any) -> None:
    insert(store, stream, block((1.0, stored)))
    assert add(store, stream, block((1.0, equal))).block is None
    assert add(store, stream, block((1.0, other))).block is not None


def test_those_of_the_same_group_are_known(store: Store, stream: int) -> None:
    """Works that share a transaction: what the first has appended has not been written by then."""
    for future in [
        store.submit(lambda tx: tx.append(stream, MAIN, block((1.0, 1), (2.0, 2)))),
        store.submit(appending(stream, block((2.0, 2), (3.0, 3)))),
        store.submit(appending(stream, block((3.0, 3), (4.0, 4)))),
    ]:
        future.result()
    assert values(store, stream) == [(1.0, 1), (2.0, 2), (3.0, 3), (4.0, 4)]


def test_an_upload_of_which_nothing_is_new_is_noted(store: Store, stream: int) -> None:
    insert(store, stream, block((1.0, 1)))
    upload = Upload("phone", 1, 1, b"digest", b"reply")
    assert add(store, stream, block((1.0, 1)), upload)[:2] == (-1, None)
    assert add(store, stream, block((1.0, 1)), upload).repeated


def test_another_substream_does_not_count(store: Store, streams: list[int]) -> None:
    insert(store, streams[0], block((1.0, 1)))
    insert(store, streams[1], block((1.0, 1)), substream=Substream.DOWNLINK)
    assert add(store, streams[1], block((1.0, 1))).block is not None


_points = st.lists(
    st.tuples(st.integers(0, 30).map(float), st.sampled_from([0, 1, 1.0, True, "a", None, [1], {"k": 1}])), max_size=20
)


@given(st.lists(st.tuples(_points, st.booleans(), st.booleans()), max_size=8))
@settings(max_examples=40, deadline=None)
def test_it_is_as_a_search_through_a_list(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Any, bool, bool]]
) -> None:
    model = MemoryStore()
    with SQLiteStore(tmp_path_factory.mktemp("s") / "s.db", seal_after_s=None) as store:
        streams = [(made, make_streams(made, 1)[0]) for made in (store, model)]
        for points, skip, seal in steps:
            if not points:
                continue
            new = Block.of([Datapoint(t, d) for t, d in sorted(points, key=lambda p: p[0])])
            for made, stream in streams:
                made.submit(appending(stream, new, skip)).result()
            if seal:
                store.seal(streams[0][1], MAIN)
        assert values(*streams[0]) == values(*streams[1])


@pytest.mark.parametrize("sealed", [False, True])
def test_only_what_lies_around_is_read(unsealed: SQLiteStore, monkeypatch: pytest.MonkeyPatch, sealed: bool) -> None:
    [stream] = make_streams(unsealed, 1)
    for begin in range(0, 20_000, 500):
        insert(unsealed, stream, Block.of([Datapoint(float(begin + i), i) for i in range(500)]))
    if sealed:
        unsealed.seal(stream, MAIN)
    looked: list[int] = []
    look = _known._stored

    def stored(block: Block, stamps: list[float]) -> Any:
        looked.append(block.n)
        return look(block, stamps)

    monkeypatch.setattr(_known, "_stored", stored)
    far_apart = block((10.0, 10), (10.5, "new"), (19_999.0, 499), (30_000.0, "new"))
    appended = add(unsealed, stream, far_apart)
    assert appended.block is not None
    assert appended.block.n == 2
    assert len(looked) == 2
