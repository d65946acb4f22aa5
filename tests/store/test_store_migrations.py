"""Opening files of all kinds and versions."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from store_model import block, insert, make_streams, unseen, values

from connectordb.errors import FolderError, StoreError
from connectordb.store._migrate import Migration, load_migrations, migrate
from connectordb.store.check import check
from connectordb.store.records import Mode, Substream
from connectordb.store.sqlite import SQLiteStore
from connectordb.store.usage import usage

ONE = Migration(1, "one", "CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (1)")
TWO = Migration(2, "two", "CREATE TABLE b (x INTEGER); INSERT INTO b SELECT x + 1 FROM a")
BROKEN = Migration(2, "broken", "CREATE TABLE b (x INTEGER); DELETE FROM a; INSERT INTO nowhere VALUES (1)")


def tables(path: Path) -> set[str]:
    connection = apsw.Connection(str(path))
    try:
        return {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    finally:
        connection.close()


def test_the_migrations_of_the_package_are_numbered_without_gaps() -> None:
    migrations = load_migrations()
    assert [migration.version for migration in migrations] == list(range(1, len(migrations) + 1))


def test_a_new_database_is_recorded_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    SQLiteStore(path, clock=lambda: 5.0).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with closing(apsw.Connection(str(path))) as connection:
        assert connection.execute("SELECT version, name, applied FROM migrations").fetchall() == [
            (1, "initial", 5.0),
            (2, "live", 5.0),
            (3, "blocks", 5.0),
        ]
        assert connection.pragma("user_version") == 3
        assert connection.pragma("journal_mode") == "wal"


DATA = Path(__file__).with_name("data")
OLD = sorted(DATA.glob("*.sql"))
"""Databases which the code of earlier commits has made; `data/make.py` tells how."""


def written_by(commit: Path, path: Path) -> int:
    """Make the database that *commit* has written, and return its version."""
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(commit.read_text("utf-8"))
        connection.pragma("journal_mode", "wal")
        version: int = connection.pragma("user_version")
    return version


def by_path(store: SQLiteStore) -> dict[str, int]:
    return {
        f"{user.name}/{device.name}/{stream.name}": stream.id
        for user in store.users()
        for device in store.devices(user.id)
        for stream in store.streams(device.id)
    }


@pytest.mark.parametrize("commit", OLD, ids=lambda commit: commit.stem)
def test_what_earlier_commits_wrote_is_opened(tmp_path: Path, commit: Path) -> None:
    path = tmp_path / "s.db"
    version = written_by(commit, path)
    assert list(check(path)) == []
    [test] = [row for row in usage(path) if row.path == "test"]
    assert (test.points, test.sealed) == (sum(row.points for row in usage(path) if row.path.count("/") >= 2), 0)
    kept = tmp_path / f"s-version-{version}.db"
    with SQLiteStore(path) as store:
        ids = by_path(store)
        assert {"test/sensor/temperature", "test/sensor/notes", "test/lamp/on"} <= ids.keys()
        assert "test/sensor/gone" not in ids
        readings = values(store, ids["test/sensor/temperature"])
        assert len(readings) == 704
        assert readings[100:104] == [(1e9 + 100, 32.5), (1e9 + 100.5, -1), (1e9 + 101, 32.625), (1e9 + 101.5, -1)]
        assert readings[-1] == (1e9 + 699, 5)
        assert values(store, ids["test/sensor/notes"]) == [(1e9, {"text": "h\u00e9llo\0", "n": 2**70}), (1e9 + 1, None)]
        assert [d for _, d in values(store, ids["test/lamp/on"], substream=Substream.DOWNLINK)] == [True]
        cursor = store.cursor_at(ids["test/sensor/temperature"], Substream.MAIN)
        insert(store, ids["test/sensor/temperature"], block((1e9 + 50.5, 0)), Mode.MERGE)
        assert unseen(store, ids["test/sensor/temperature"], cursor)[0] == [(1e9 + 50.5, 0)]
        readings.insert(51, (1e9 + 50.5, 0))
        assert store.seal_all()
        assert values(store, ids["test/sensor/temperature"]) == readings
    assert list(check(path)) == []
    assert kept.exists() == (version < load_migrations()[-1].version)
    if kept.exists():
        with closing(apsw.Connection(str(kept))) as connection:
            assert connection.pragma("user_version") == version
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert list(check(kept)) == []


def test_there_are_databases_of_each_version_before_this_one(tmp_path: Path) -> None:
    versions = {written_by(commit, tmp_path / f"{commit.stem}.db") for commit in OLD}
    assert versions >= set(range(1, load_migrations()[-1].version))


@pytest.mark.parametrize("commit", OLD, ids=lambda commit: commit.stem)
def test_damage_is_found_in_databases_of_earlier_versions(tmp_path: Path, commit: Path) -> None:
    path = tmp_path / "s.db"
    written_by(commit, path)
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("UPDATE tail SET t2 = t2 + 1 WHERE place = (SELECT max(place) FROM tail)")
    assert any("and should go from" in found.problem for found in check(path))


def test_without_room_for_the_copy_nothing_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.db"
    written_by(DATA / "6e0c52f.sql", path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 10**6, 10**6))
    with pytest.raises(FolderError, match=r"no room for the copy.*1\.0 MB are free"):
        SQLiteStore(path)
    assert {file.name for file in tmp_path.iterdir()} == {"s.db"}
    with closing(apsw.Connection(str(path))) as connection:
        assert connection.pragma("user_version") == 1


def test_a_copy_that_was_cut_off_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    written_by(DATA / "6e0c52f.sql", path)
    (tmp_path / "s-version-1.db.part").write_bytes(b"half of it")
    SQLiteStore(path).close()
    assert list(check(tmp_path / "s-version-1.db")) == []
    assert not (tmp_path / "s-version-1.db.part").exists()


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SQLiteStore(path) as store:
        [stream] = make_streams(store, 1)
        insert(store, stream, block((1.0, 1)))
    before = path.read_bytes()
    with SQLiteStore(path) as store:
        assert values(store, stream) == [(1.0, 1)]
    assert path.read_bytes() == before


def test_each_migration_is_carried_out_once_and_recorded(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    connection = apsw.Connection(str(path))
    assert migrate(connection, path, [ONE]) == 1
    assert migrate(connection, path, [ONE, TWO]) == 2
    assert migrate(connection, path, [ONE, TWO]) == 2
    assert connection.execute("SELECT x FROM b").fetchall() == [(2,)]
    assert connection.execute("SELECT version, name FROM migrations").fetchall() == [(1, "one"), (2, "two")]
    connection.close()


def test_a_failed_migration_leaves_the_version_before(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    connection = apsw.Connection(str(path))
    with pytest.raises(StoreError, match="nowhere"):
        migrate(connection, path, [ONE, BROKEN])
    assert connection.pragma("user_version") == 1
    assert connection.execute("SELECT x FROM a").fetchall() == [(1,)]
    assert tables(path) == {"migrations", "a"}
    assert migrate(connection, path, [ONE, TWO]) == 2
    connection.close()


CRASH = """
import os, sys, apsw
from pathlib import Path
from connectordb.store._migrate import Migration, migrate
path = Path(sys.argv[1])
connection = apsw.Connection(str(path))
connection.pragma("journal_mode", "wal")
connection.create_scalar_function("die", lambda: os.kill(os.getpid(), 9))
one = Migration(1, "one", "CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (1)")
migrate(connection, path, [one])
migrate(connection, path, [one, Migration(2, "two", "CREATE TABLE b (x); DELETE FROM a; SELECT die()")])
"""


def test_a_crash_in_a_migration_leaves_the_version_before(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    died = subprocess.run([sys.executable, "-c", CRASH, str(path)], env=os.environ, timeout=60, check=False)
    assert died.returncode == -9
    assert tables(path) == {"migrations", "a"}
    connection = apsw.Connection(str(path))
    assert migrate(connection, path, [ONE, TWO]) == 2
    assert connection.execute("SELECT x FROM b").fetchall() == [(2,)]
    connection.close()


def test_a_database_of_a_newer_version_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    SQLiteStore(path).close()
    with closing(apsw.Connection(str(path))) as connection:
        connection.pragma("user_version", 7)
    before = path.read_bytes()
    with pytest.raises(FolderError, match=r"version 7.*versions up to 3"):
        SQLiteStore(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"Dear diary, today I measured nothing. " * 200)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="is no SQLite database"):
        SQLiteStore(path)
    assert path.read_bytes() == before


def test_somebody_elses_database_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not one of ConnectorDB"):
        SQLiteStore(path)
    assert path.read_bytes() == before


def test_a_folder_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be made"):
        SQLiteStore(tmp_path / "missing" / "s.db")


def test_a_folder_in_place_of_the_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        SQLiteStore(tmp_path)


def test_an_unknown_durability_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="full, normal"):
        SQLiteStore(tmp_path / "s.db", synchronous="off")
