"""Copies of a database in use, and files without unused space."""

from __future__ import annotations

import random
import shutil
import signal
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from store_load import Load, read_all, tighten
from store_model import block, insert, make_streams, noise, values

from connectordb.errors import FolderError, StoreBusy, StoreError
from connectordb.store import backup as backup_module
from connectordb.store.backup import back_up
from connectordb.store.check import check
from connectordb.store.compact import compact
from connectordb.store.records import Substream
from connectordb.store.sqlite import SQLiteStore
from connectordb.store.usage import usage

MAIN = Substream.MAIN


def filled(path: Path, points: int) -> list[int]:
    """Make a database with *points* of a kilobyte in each of two streams, and return the ids of these."""
    with SQLiteStore(path) as store:
        streams = make_streams(store, 2)
        for stream in streams:
            for i in range(0, points, 100):
                insert(store, stream, block(*((float(i + k), noise(i + k, 1_000)) for k in range(100))))
    return streams


def test_a_copy_is_what_the_database_was_when_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_module, "_STEP_PAGES", 8)
    path, target = tmp_path / "s.db", tmp_path / "copy.db"
    [stream, _] = filled(path, 500)
    steps = []
    with SQLiteStore(path) as store:

        def disturb(done: int, total: int) -> None:
            """By a connection that is not the one which copies."""
            steps.append((done, total))
            insert(store, stream, block((1e6 + len(steps), len(steps))))

        insert(store, stream, block((1e6, "last")))
        back_up(path, target, progress=disturb)
        assert store.head(stream, MAIN).n == 501 + len(steps)
    assert len(steps) > 10
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)  # it never began anew
    assert steps[-1][0] == steps[-1][1]
    assert list(check(target)) == []
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with SQLiteStore(target) as copy:
        assert copy.head(stream, MAIN).n == 501
        assert values(copy, stream)[-1] == (1e6, "last")


def test_a_copy_made_while_all_changes_is_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sealing, merging, deleting: each copy is one of the states that there were."""
    tighten(monkeypatch.setattr)
    monkeypatch.setattr(backup_module, "_STEP_PAGES", 8)
    path = tmp_path / "s.db"
    with SQLiteStore(path, seal_after_s=None) as store:
        load = Load(store, make_streams(store, 3), random.Random(3))
        changed = 0
        for k in range(10):
            for _ in range(10):
                load.work()
            expected = load.states[-1]
            target = tmp_path / f"copy-{k}.db"
            back_up(path, target, progress=lambda done, total: load.work())
            changed += load.states[-1] != expected
            assert list(check(target)) == []
            with SQLiteStore(target, seal_after_s=None) as copy:
                assert read_all(copy, load.states[-1] | expected) == expected
        assert changed > 5


def test_a_copy_can_be_read_where_nothing_can_be_written(tmp_path: Path) -> None:
    filled(tmp_path / "s.db", 100)
    medium = tmp_path / "medium"
    medium.mkdir()
    back_up(tmp_path / "s.db", medium / "copy.db")
    assert [file.name for file in medium.iterdir()] == ["copy.db"]
    with closing(apsw.Connection(str(medium / "copy.db"))) as connection:
        assert connection.pragma("journal_mode") == "delete"


def test_the_log_shrinks_again_after_it_had_to_grow(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SQLiteStore(path) as store:
        [stream] = make_streams(store, 1)
        with closing(apsw.Connection(str(path))) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM runs").fetchall()
            text = noise(0, 1 << 20)
            for i in range(110):
                insert(store, stream, block((float(i), text)))
            assert (tmp_path / "s.db-wal").stat().st_size > 80 << 20
        for i in range(200, 203):
            insert(store, stream, block((float(i), i)))
        assert (tmp_path / "s.db-wal").stat().st_size <= 64 << 20


def test_without_room_there_is_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path / "s.db", 100)
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 5 * 10**6, 5 * 10**6)
    )
    with pytest.raises(FolderError, match=r"no room for the copy in .*: it takes 0\.\d MB, and 5\.0 MB are free"):
        back_up(tmp_path / "s.db", tmp_path / "copy.db")
    with pytest.raises(FolderError, match="no room for the new file"):
        compact(tmp_path / "s.db")
    assert list(check(tmp_path / "s.db")) == []


def test_a_disk_that_fills_up_is_told(tmp_path: Path) -> None:
    filled(tmp_path / "s.db", 2_000)
    code = (
        "import resource, sys; from pathlib import Path; from connectordb.store.backup import back_up\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "back_up(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "s.db"), str(tmp_path / "copy.db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "StoreBusy" in done.stderr
    assert f"{tmp_path}/copy.db" in done.stderr.splitlines()[-1]


# -- compact ---------------------------------------------------------------------------------------------------------


def test_compact_gives_back_what_deleted_data_has_left(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    [kept, gone] = filled(path, 1_000)
    with SQLiteStore(path) as store:
        store.submit(lambda tx: tx.delete_stream(gone)).result()
        before = values(store, kept)
    assert path.stat().st_size > 1_500_000
    was, now = compact(path)
    assert now == path.stat().st_size < was - 700_000
    assert [file.name for file in tmp_path.iterdir()] == ["s.db"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(check(path)) == []
    with SQLiteStore(path) as store:
        assert values(store, kept) == before
        assert make_streams_again(store) > gone  # ids are not used again


def test_compact_seals_what_is_text(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SQLiteStore(path, seal_after_s=None) as store:
        [stream] = make_streams(store, 1)
        for i in range(0, 20_000, 100):
            insert(store, stream, block(*((float(k), k / 4) for k in range(i, i + 100))))
        before = values(store, stream)
    was, now = compact(path)
    assert now < was // 4
    [found] = usage(path, ("alice", "phone", "s0"))
    assert found.sealed == found.points == 20_000
    assert found.bytes < 3 * found.points
    with SQLiteStore(path) as store:
        assert values(store, stream) == before
    assert list(check(path)) == []


def test_an_old_database_is_compacted_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(Path(__file__).with_name("data").joinpath("6f858cc.sql").read_text("utf-8"))
    compact(path)
    assert [file.name for file in tmp_path.iterdir()] == ["s.db"]
    with closing(apsw.Connection(str(path))) as connection:
        assert connection.pragma("user_version") == 2
    assert list(check(path)) == []


def make_streams_again(store: SQLiteStore) -> int:
    from connectordb.store.records import Stream

    device = store.devices(store.users()[0].id)[0]
    return store.submit(lambda tx: tx.create_stream(Stream(device_id=device.id, name="again"))).result().id


def test_compact_is_refused_while_anybody_has_it_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.db"
    [stream, _] = filled(path, 100)
    with SQLiteStore(path) as store:
        with pytest.raises(StoreBusy, match=r"another process has .* open"):
            compact(path)
        insert(store, stream, block((1e6, 1)))
    assert list(check(path)) == []


CUT_SHORT = """
import os, sys
from pathlib import Path
from connectordb.store import compact
getattr(compact, sys.argv[2])  # is there
setattr(compact, sys.argv[2], lambda *args: os.kill(os.getpid(), 9))
compact.compact(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("moment", ["check_space", "create_file", "_check", "_sync"])
def test_compact_that_is_killed_leaves_the_database_as_it_was(tmp_path: Path, moment: str) -> None:
    path = tmp_path / "s.db"
    [stream, _] = filled(path, 300)
    died = subprocess.run([sys.executable, "-c", CUT_SHORT, str(path), moment], timeout=60, check=False)
    assert died.returncode == -signal.SIGKILL
    assert list(check(path)) == []
    with SQLiteStore(path) as store:
        assert store.head(stream, MAIN).n == 300
    compact(path)
    assert [file.name for file in tmp_path.iterdir()] == ["s.db"]


def test_a_damaged_database_is_not_compacted(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    filled(path, 1_000)
    with path.open("r+b") as file:
        file.seek(4096 * 20)
        file.write(b"\xff" * 4096 * 100)
    damaged = path.read_bytes()
    with pytest.raises(StoreError, match="damaged"):
        compact(path)
    assert path.read_bytes()[4096:] == damaged[4096:]
    assert [file.name for file in tmp_path.iterdir()] == ["s.db"]
