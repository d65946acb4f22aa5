"""What is particular to the SQLite store: rows, pages, seeks, receipts, bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from store_model import Clock, appending, block, insert, make_streams, values

from connectordb.errors import InvalidValue, LimitReached
from connectordb.query import Range
from connectordb.store import _data, _key
from connectordb.store._layer import ROW_POINTS_MAX
from connectordb.store._runs import BLOCK_POINTS
from connectordb.store.records import Head, Mode, Stream, Substream, Upload
from connectordb.store.sqlite import SQLiteStore

MAIN = Substream.MAIN


@pytest.fixture
def store(sqlite_store: SQLiteStore) -> SQLiteStore:
    return sqlite_store


def rows(store: SQLiteStore, sql: str) -> list[tuple[Any, ...]]:
    with store._readers.borrow() as connection:
        return connection.execute(sql).fetchall()


def test_a_row_holds_at_most_so_many_points(store: SQLiteStore) -> None:
    [stream] = make_streams(store, 1)
    insert(store, stream, block(*((float(i), i) for i in range(2 * ROW_POINTS_MAX + 1))))
    n = ROW_POINTS_MAX
    assert rows(store, "SELECT n, t1, t2 FROM runs ORDER BY place") == [
        (n, 0.0, n - 1.0),
        (n, n, 2 * n - 1.0),
        (1, 2 * n, 2 * n),
    ]
    assert [d for _, d in values(store, stream)] == list(range(2 * n + 1))


def test_pages_are_bounded_in_points(store: SQLiteStore) -> None:
    [stream] = make_streams(store, 1)
    for i in range(2_500):
        store.submit(appending(stream, block((float(i), i))))
    insert(store, stream, block(*((3e3 + i, i) for i in range(1_500))))
    sizes = [one.n for one in store.read(stream, MAIN, Range())]
    assert sum(sizes) == 4_000
    assert all(size <= _data.PAGE_POINTS + ROW_POINTS_MAX for size in sizes)
    insert(store, stream, block(*((5e3 + i, i) for i in range(20_000))))
    assert max(one.n for one in store.read(stream, MAIN, Range())) <= BLOCK_POINTS


def test_pages_are_bounded_in_bytes_but_for_a_single_row(store: SQLiteStore) -> None:
    [stream] = make_streams(store, 1)
    for i in range(30):
        insert(store, stream, block((float(i), "x" * 30_000)))
    insert(store, stream, block((99.0, "y" * 3_000_000)))
    insert(store, stream, block((99.0, "z")))
    pages = [(one.n, len(one.json)) for one in store.read(stream, MAIN, Range())]
    assert sum(n for n, _ in pages) == 32
    assert all(size <= _data.PAGE_BYTES_MAX or n == 1 for n, size in pages)
    assert len(pages) <= 6


def test_whole_rows_go_through_as_the_text_they_are(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    [stream] = make_streams(store, 1)
    for i in range(3):
        insert(store, stream, block(*((1e4 * i + j, j) for j in range(5_000))))

    def no_cutting(json: bytes) -> Any:
        raise AssertionError("a whole row was cut")

    monkeypatch.setattr(_data, "split", no_cutting)
    assert sum(one.n for one in store.read(stream, MAIN, Range())) == 15_000


@pytest.mark.parametrize("stamps", ["regular", "jump", "exponential", "equal"])
def test_a_time_is_found_with_few_seeks(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch, stamps: str) -> None:
    [stream] = make_streams(store, 1)
    count = 4_000
    made = {
        "regular": [1.7e9 + i + (i * 7919 % 1000) / 1e3 for i in range(count)],
        "jump": [float(i) if i < 3_000 else 1e9 + i for i in range(count)],
        "exponential": [1.005**i for i in range(count)],
        "equal": [float(i // 1_000) for i in range(count)],
    }[stamps]
    monkeypatch.setattr("connectordb.store._layer.ROW_POINTS_MAX", 1)
    for t in made:
        future = store.submit(appending(stream, block((t, 1))))
    future.result()
    assert rows(store, "SELECT count(*) FROM runs") == [(count,)]
    seeks = 0
    run_at = _data.View.run_at

    def counted(self: _data.View, i: int) -> _data.Run:
        nonlocal seeks
        seeks += 1
        return run_at(self, i)

    monkeypatch.setattr(_data.View, "run_at", counted)
    for t in made[:: count // 50]:
        seeks = 0
        assert store.index_at(stream, MAIN, t) == sum(one <= t for one in made)
        assert seeks <= (13 if stamps == "regular" else 26), t


def test_expired_receipts_are_removed_bit_by_bit(store: SQLiteStore, clock: Clock) -> None:
    [stream] = make_streams(store, 1)

    def upload(i: int, expires_s: float | None) -> None:
        expires = None if expires_s is None else clock.now + expires_s
        insert(store, stream, None, upload=Upload(f"source {i}", 1, 1, b"d", expires=expires))

    for i in range(150):
        upload(i, 10.0)
    upload(150, None)
    clock.now += 11.0
    for i in range(200, 310):
        upload(i, 10.0)
    names = {name for (name,) in rows(store, "SELECT source FROM receipts")}
    assert names == {"source 150"} | {f"source {i}" for i in range(200, 310)}


def test_merging_writes_only_those_rows_anew_into_which_something_goes(store: SQLiteStore) -> None:
    [stream] = make_streams(store, 1)
    for i in range(10):
        insert(store, stream, block(*((100.0 * i + j, j) for j in range(5))))
    insert(store, stream, block((302.5, "late"), (401.0, "late")), Mode.MERGE)
    base = _key.place_of(_key.key_of(stream, MAIN))
    assert rows(store, "SELECT place, n FROM runs ORDER BY place") == [
        *((base + i, 5) for i in (0, 5, 10)),
        (base + 15, 6),
        (base + 21, 6),
        *((base + i, 5) for i in range(27, 52, 5)),
    ]


def test_late_points_between_two_rows_make_a_row_of_their_own(store: SQLiteStore) -> None:
    [stream] = make_streams(store, 1)
    for t in (1.0, 9.0):
        insert(store, stream, block((t, t)))
    assert insert(store, stream, block((5.0, 5)), Mode.MERGE).first_index == 1
    assert values(store, stream) == [(1.0, 1.0), (5.0, 5), (9.0, 9.0)]
    assert store.head(stream, MAIN) == Head(3, 9.0, 3, 1)


def test_merging_many_points_keeps_rows_small(store: SQLiteStore) -> None:
    [stream] = make_streams(store, 1)
    insert(store, stream, block(*((2.0 * i, i) for i in range(1_100))))
    insert(store, stream, block(*((2.0 * i + 1, i) for i in range(1_100))), Mode.MERGE)
    assert [t for t, _ in values(store, stream)] == [float(i) for i in range(2_200)]
    assert max(n for (n,) in rows(store, "SELECT n FROM runs")) <= 1_000


def test_merging_many_points_keeps_blocks_small(store: SQLiteStore) -> None:
    [stream] = make_streams(store, 1)
    insert(store, stream, block(*((2.0 * i, i) for i in range(12_000))))
    insert(store, stream, block(*((2.0 * i + 1, i) for i in range(12_000))), Mode.MERGE)
    assert [t for t, _ in values(store, stream)] == [float(i) for i in range(24_000)]
    assert max(n for (n,) in rows(store, "SELECT n FROM runs")) <= BLOCK_POINTS


@pytest.mark.parametrize(
    "upload",
    [
        Upload("", 1, 1, b""),
        Upload("x" * 65, 1, 1, b""),
        Upload("\ud800", 1, 1, b""),
        Upload("u", 0, 1, b""),
        Upload("u", 2, 1, b""),
        Upload("u", 1, 2**63, b""),
    ],
)
def test_an_upload_that_cannot_be_is_refused_by_itself(store: SQLiteStore, upload: Upload) -> None:
    [stream] = make_streams(store, 1)
    good = store.submit(lambda tx: tx.append(stream, MAIN, block((1.0, 1))))
    with pytest.raises(InvalidValue):
        insert(store, stream, block((2.0, 2)), upload=upload)
    assert good.result().first_index == 0


def test_the_bounds_of_the_format_are_refused(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    [stream] = make_streams(store, 1)
    monkeypatch.setattr("connectordb.store._transaction.INDEX_MAX", 2)
    insert(store, stream, block((1.0, 1), (1.0, 2)))
    with pytest.raises(LimitReached):
        insert(store, stream, block((1.0, 3)))
    monkeypatch.setattr("connectordb.store._objects.STREAM_ID_MAX", stream)
    device = store.devices(store.users()[0].id)[0]
    with pytest.raises(LimitReached):
        store.submit(lambda tx: tx.create_stream(Stream(device_id=device.id, name="more"))).result()


def test_the_last_substream_and_index_have_a_place_of_their_own() -> None:
    last = _key.place_of(_key.key_of(_key.STREAM_ID_MAX, Substream.DOWNLINK), _key.INDEX_MAX)
    assert last == 2**63 - 1
    assert _key.place_of(3) == _key.place_of(2, _key.INDEX_MAX) + 1


def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    upload = Upload("u", 1, 1, b"d", b"r")
    with SQLiteStore(path) as store:
        [stream] = make_streams(store, 1)
        insert(store, stream, block((1.0, 1), (3.0, 2)), upload=upload)
        insert(store, stream, block((2.0, 3)), Mode.MERGE)
        user = store.users()
    assert list(tmp_path.iterdir()) == [path]
    with SQLiteStore(path) as store:
        assert store.users() == user
        assert values(store, stream) == [(1.0, 1), (2.0, 3), (3.0, 2)]
        assert store.head(stream, MAIN) == Head(3, 3.0, 3, 1)
        assert insert(store, stream, block((9.0, 1)), upload=upload).reply == b"r"
