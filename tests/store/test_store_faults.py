"""Full disks, failing disks, power cuts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from store_model import block, insert, make_streams, noise, values
from store_vfs import FaultyVFS

from connectordb.errors import StoreError
from connectordb.store.base import Transaction
from connectordb.store.records import Device, Mode, Stream, Substream, Upload, User
from connectordb.store.sqlite import SQLiteStore

MAIN = Substream.MAIN


@pytest.fixture
def vfs() -> Iterator[FaultyVFS]:
    made = FaultyVFS()
    yield made
    made.unregister()


def open_store(path: Path, vfs: FaultyVFS, synchronous: str = "full") -> SQLiteStore:
    return SQLiteStore(path, vfs=vfs.name, synchronous=synchronous)


def test_an_acknowledged_append_survives_a_power_cut(tmp_path: Path, vfs: FaultyVFS) -> None:
    rng = random.Random(7)
    with open_store(tmp_path / "s.db", vfs) as store:
        [stream] = make_streams(store, 1)
        for i in range(60):
            many = [(float(i), i), *((float(i), f"more {j}") for j in range(rng.choice([0, 0, 300])))]
            insert(store, stream, block(*many), upload=Upload("u", i + 1, i + 1, b"d"))
            for how in (None, rng):
                cut = tmp_path / f"cut-{i}-{how is None}"
                vfs.cut_power(cut, how)
                check_survivor(cut / "s.db", stream, i)


def check_survivor(path: Path, stream: int, newest: int) -> None:
    connection = apsw.Connection(str(path))
    assert connection.pragma("integrity_check") == "ok"
    connection.close()
    with SQLiteStore(path) as store:
        assert [d for _, d in values(store, stream) if isinstance(d, int)] == list(range(newest + 1))
        repeated = insert(store, stream, block((0.0, 0)), upload=Upload("u", newest + 1, newest + 1, b"d"))
        assert repeated.repeated


def test_a_power_cut_takes_acknowledged_appends_away_where_synchronous_is_normal(
    tmp_path: Path, vfs: FaultyVFS
) -> None:
    """Shows that the test above would notice."""
    with open_store(tmp_path / "s.db", vfs, "normal") as store:
        [stream] = make_streams(store, 1)
        store.submit(lambda tx: None).result()
        insert(store, stream, block((1.0, 1)))
        vfs.cut_power(tmp_path / "cut")
    with closing(apsw.Connection(str(tmp_path / "cut" / "s.db"))) as connection:
        tables = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'runs'").get
        assert not tables or not connection.execute("SELECT count(*) FROM runs").get


def test_each_commit_syncs_the_log_once(tmp_path: Path, vfs: FaultyVFS) -> None:
    with open_store(tmp_path / "s.db", vfs) as store:
        [stream] = make_streams(store, 1)
        before = vfs.syncs["s.db-wal"]
        for i in range(50):
            insert(store, stream, block((float(i), i)))
        assert vfs.syncs["s.db-wal"] - before == 50


def test_a_full_disk_refuses_and_the_store_goes_on_when_there_is_room_again(tmp_path: Path, vfs: FaultyVFS) -> None:
    with open_store(tmp_path / "s.db", vfs) as store:
        [stream] = make_streams(store, 1)
        insert(store, stream, block((1.0, 1)))
        vfs.full = True
        upload = Upload("u", 1, 1, b"d")
        works = [
            lambda tx: tx.append(stream, MAIN, block((2.0, 2)), upload=upload),
            lambda tx: tx.append(stream, MAIN, block((0.5, 2)), Mode.MERGE),
            lambda tx: tx.create_user(User(name="bob", email="b@x")),
            lambda tx: tx.delete_stream(stream),
        ]
        for work in works:
            with pytest.raises(StoreError, match="full") as caught:
                store.submit(work).result()
            assert caught.value.retryable
            assert values(store, stream) == [(1.0, 1)]
        vfs.full = False
        assert not insert(store, stream, block((2.0, 2)), upload=upload).repeated
        assert store.submit(lambda tx: tx.create_user(User(name="bob", email="b@x"))).result().name == "bob"
    with SQLiteStore(tmp_path / "s.db") as store:
        assert values(store, stream) == [(1.0, 1), (2.0, 2)]


def test_a_disk_that_fills_up_within_a_work_leaves_nothing_of_the_group(tmp_path: Path) -> None:
    """SQLite's own bound on pages, so that the statement fails and not the commit."""
    with SQLiteStore(tmp_path / "s.db") as store:
        [stream] = make_streams(store, 1)
        insert(store, stream, block((1.0, 1)))
        connection: apsw.Connection = store._writer._group._connection  # type: ignore[union-attr]
        pages = connection.pragma("page_count")
        connection.pragma("max_page_count", int(str(pages)) + 2)

        def big(tx: Transaction) -> None:
            user = tx.create_user(User(name="bob", email="b@x"))
            device = tx.create_device(Device(user_id=user.id, name="d"))
            for i in range(2_000):
                tx.create_stream(Stream(device_id=device.id, name=f"s{i}", description="x" * 1_000))

        def hidden(tx: Transaction) -> None:
            try:
                big(tx)
            except StoreError:
                pass

        for work in (big, hidden):
            with pytest.raises(StoreError, match="full"):
                store.submit(work).result()
        with pytest.raises(StoreError, match="full"):
            insert(store, stream, block((2.0, noise(0, 100_000))))
        assert store.user("bob") is None
        connection.pragma("max_page_count", 2**30)
        assert insert(store, stream, block((2.0, 2))).first_index == 1
        assert values(store, stream) == [(1.0, 1), (2.0, 2)]


def test_a_failed_sync_refuses_and_the_store_goes_on_when_the_disk_works_again(tmp_path: Path, vfs: FaultyVFS) -> None:
    with open_store(tmp_path / "s.db", vfs) as store:
        [stream] = make_streams(store, 1)
        vfs.broken = True
        with pytest.raises(StoreError) as caught:
            insert(store, stream, block((1.0, 1)))
        assert caught.value.retryable
        assert values(store, stream) == []
        vfs.broken = False
        insert(store, stream, block((2.0, 2)))
        assert values(store, stream) == [(2.0, 2)]


def test_a_lock_held_by_another_process_is_waited_for_and_then_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectordb.store._connection._BUSY_TIMEOUT_MS", 50)
    with SQLiteStore(tmp_path / "s.db") as store:
        [stream] = make_streams(store, 1)
        other = apsw.Connection(str(tmp_path / "s.db"))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked") as caught:
            insert(store, stream, block((1.0, 1)))
        assert caught.value.retryable
        other.execute("ROLLBACK")
        other.close()
        insert(store, stream, block((1.0, 1)))


def test_what_another_connection_wrote_is_not_overwritten(tmp_path: Path) -> None:
    """Heads are remembered from group to group; a write from outside has to be noticed."""
    with SQLiteStore(tmp_path / "s.db") as one, SQLiteStore(tmp_path / "s.db") as other:
        [stream] = make_streams(one, 1)
        for i in range(10):
            assert insert(one, stream, block((float(i), 2 * i))).first_index == 2 * i
            assert insert(other, stream, block((float(i), 2 * i + 1))).first_index == 2 * i + 1
        assert [d for _, d in values(one, stream)] == list(range(20))


def test_a_damaged_file_is_told_and_not_read_around(tmp_path: Path) -> None:
    with SQLiteStore(tmp_path / "s.db") as store:
        [stream] = make_streams(store, 1)
        for i in range(3):
            insert(store, stream, block((float(i), i)))
    with closing(apsw.Connection(str(tmp_path / "s.db"))) as connection:
        connection.execute("DELETE FROM runs WHERE place = (SELECT min(place) FROM runs)")
    with SQLiteStore(tmp_path / "s.db") as store, pytest.raises(StoreError, match="damaged"):
        values(store, stream)
    data = bytearray((tmp_path / "s.db").read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    (tmp_path / "s.db").write_bytes(data)
    with pytest.raises(StoreError, match="damaged"), SQLiteStore(tmp_path / "s.db") as store:
        store.users()
