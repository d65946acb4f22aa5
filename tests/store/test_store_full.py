"""Full disks: what has no room is refused, nothing is lost, reading goes on, and so does writing when there is room."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import apsw
import pytest
from store_load import Load, read_all, tighten
from store_model import appending, block, insert, make_streams, values
from store_vfs import FaultyVFS

from connectordb.errors import StoreFull
from connectordb.store import _seal
from connectordb.store.check import check
from connectordb.store.records import Mode, Substream
from connectordb.store.sqlite import SQLiteStore

MAIN = Substream.MAIN
MEGABYTE = 1 << 20
DATA = Path(__file__).with_name("data")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(command, check=False).returncode:
        pytest.skip("a file system can only be mounted by root, and not in every container")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def vfs() -> Iterator[FaultyVFS]:
    made = FaultyVFS()
    yield made
    made.unregister()


def fill(store: SQLiteStore, stream: int, text: str = "x" * 20_000) -> int:
    """Insert until that is refused, and return how many datapoints there are then."""
    i = store.head(stream, MAIN).n
    with pytest.raises(StoreFull, match=r"the disk that holds .* is full"):
        while True:
            insert(store, stream, block((float(i), f"{i} {text}")))
            i += 1
    assert store.head(stream, MAIN).n == i
    return i


def test_a_small_disk_fills_up_and_gets_room_again(small_disk: Path) -> None:
    path, ballast = small_disk / "s.db", small_disk / "ballast"
    ballast.write_bytes(bytes(2 * MEGABYTE))
    with SQLiteStore(path, seal_after_s=None) as store:
        kept, gone = make_streams(store, 2)
        for i in range(20):
            insert(store, gone, block((float(i), "y" * 20_000)))
        n = fill(store, kept)
        assert n > 100
        # All is refused alike, again and again, and what is there can be read.
        for _ in range(3):
            for work in (
                appending(kept, block((0.5, "late" + "x" * 50_000)), Mode.MERGE),
                lambda tx: tx.delete_points(kept, MAIN, 3, 4, by="a/b"),
                lambda tx: tx.delete_stream(gone),
            ):
                with pytest.raises(StoreFull):
                    store.submit(work).result()
            with pytest.raises(StoreFull):
                store.seal(kept, MAIN)
        assert [d.split()[0] for _, d in values(store, kept)] == [str(i) for i in range(n)]
        assert len(values(store, gone)) == 20
        assert list(check(path)) == []
        ballast.unlink()
        insert(store, kept, block((float(n), f"{n} {'x' * 20_000}")))
        more = fill(store, kept)
        assert more > n + 20
    with SQLiteStore(path, seal_after_s=None) as store:  # as after a crash: nothing needs room to be read
        assert [d.split()[0] for _, d in values(store, kept)] == [str(i) for i in range(more)]
    assert list(check(path)) == []


def test_a_database_is_not_opened_without_any_room_and_that_is_told(small_disk: Path) -> None:
    """Processes that read and write share an index of the log, which needs a few kilobytes."""
    path, ballast = small_disk / "s.db", small_disk / "ballast"
    with SQLiteStore(path, seal_after_s=None) as store:
        [stream] = make_streams(store, 1)
        insert(store, stream, block((1.0, 1)))
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    with pytest.raises(StoreFull, match=r"the disk that holds .* is full"):
        SQLiteStore(path, seal_after_s=None)
    ballast.unlink()
    with SQLiteStore(path, seal_after_s=None) as store:
        assert values(store, stream) == [(1.0, 1)]


def test_what_is_deleted_makes_room(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the log has been copied back: it needs some room itself."""
    tighten(monkeypatch.setattr)
    path, ballast = small_disk / "s.db", small_disk / "ballast"
    ballast.write_bytes(bytes(MEGABYTE))
    with SQLiteStore(path, seal_after_s=None) as store:
        kept, gone = make_streams(store, 2)
        for i in range(100):
            insert(store, gone, block((float(i), "y" * 20_000)))
        n = fill(store, kept)
        ballast.unlink()
        store.submit(lambda tx: tx.delete_stream(gone)).result()
        assert fill(store, kept) > n + 90
    assert list(check(path)) == []


def test_sealing_goes_on_when_there_is_room_again(
    tmp_path: Path, vfs: FaultyVFS, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_seal, "_RETRY_S", 0.01)
    with SQLiteStore(tmp_path / "s.db", vfs=vfs.name, seal_after_s=0.0) as store:
        [stream] = make_streams(store, 1)
        insert(store, stream, block(*((float(i), i) for i in range(500))))  # too few
        vfs.on_step = lambda: setattr(vfs, "full", store.head(stream, MAIN).n > 500)
        insert(store, stream, block(*((500.0 + i, i) for i in range(1_000))))
        while "could not be sealed" not in caplog.text:
            with pytest.raises(StoreFull):
                insert(store, stream, block((1e6, 1)))
        expected = values(store, stream)
        assert len(expected) == 1_500
        vfs.on_step, vfs.full = None, False
        while not store.sealed.points:
            insert(store, stream, block((1e6, 1)))
        assert values(store, stream)[:1_500] == expected
    assert list(check(tmp_path / "s.db")) == []


@pytest.mark.parametrize("seed", range(4))
def test_a_disk_that_fills_up_at_any_moment_of_any_work(
    tmp_path: Path, vfs: FaultyVFS, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    tighten(monkeypatch.setattr)
    rng = random.Random(seed)
    refused = 0
    with SQLiteStore(tmp_path / "s.db", vfs=vfs.name, seal_after_s=None) as store:
        load = Load(store, make_streams(store, 3), rng)
        for _ in range(80):
            vfs.room = rng.choice([None, rng.randrange(40_000)])
            before = load.states[-1]
            try:
                load.work()
            except StoreFull:
                refused += 1
                found = read_all(store, before)
                assert found == before
            vfs.room = None
    assert refused > 5
    assert list(check(tmp_path / "s.db")) == []
    with SQLiteStore(tmp_path / "s.db", seal_after_s=None) as store:
        assert read_all(store, load.states[-1]) == load.states[-1]


def test_a_disk_that_fills_up_while_a_database_is_brought_up_to_date(tmp_path: Path, vfs: FaultyVFS) -> None:
    path, other = tmp_path / "s.db", tmp_path / "other.db"
    for made in (path, other):
        with closing(apsw.Connection(str(made))) as connection:
            connection.execute((DATA / "6f858cc.sql").read_text("utf-8"))
    refused = 0
    for room in range(0, 200_000, 7_000):
        vfs.room = room
        try:
            SQLiteStore(path, vfs=vfs.name, seal_after_s=None).close()
        except StoreFull:
            refused += 1
            with closing(apsw.Connection(str(path))) as connection:
                assert connection.pragma("user_version") == 2
            assert list(check(path)) == []
        else:
            break
    assert refused
    vfs.room = None
    with SQLiteStore(path, vfs=vfs.name, seal_after_s=None) as store:
        found = read_all(store, {stream: [] for stream in range(1, 10)})
    with SQLiteStore(other, seal_after_s=None) as store:
        assert found == read_all(store, {stream: [] for stream in range(1, 10)})
    assert found
    assert list(check(path)) == []
