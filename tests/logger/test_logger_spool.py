"""The spool file: full disks, damaged files, several processes, and spools of ConnectorDB 0.3."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest
from upload_server import UploadServer

from connectordb.errors import NotFound, SchemaMismatch, SpoolCorrupt, SpoolError, SpoolFull
from connectordb.logger import Logger
from connectordb.logger import _tables as tables
from connectordb.logger._outbox import Outbox, read_account
from connectordb.logger._reserve import RESERVE_BYTES, Reserve
from connectordb.logger._spool import Spool
from connectordb.logger._uploader import Uploader

MakeLogger = Callable[..., Logger]

OLD_TABLES = """
CREATE TABLE cache (stream TEXT, timestamp REAL, jsondata TEXT);
CREATE TABLE streams (stream TEXT PRIMARY KEY, jsonschema TEXT);
CREATE TABLE metadata (apikey TEXT, serverurl TEXT, lastsynctime REAL, syncperiod REAL, userdatajson TEXT);
"""


class FullDisk(apsw.VFS):
    """A file system whose files cannot grow beyond what `space` allows."""

    name = "full-disk"
    space: int | None = None

    def __init__(self) -> None:
        super().__init__(self.name, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return FullDiskFile(name, flags)


class FullDiskFile(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        if FullDisk.space is not None and offset + len(data) > self.xFileSize():
            if FullDisk.space < len(data):
                raise apsw.FullError("no space")
            FullDisk.space -= len(data)
        super().xWrite(data, offset)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FullDisk]]:
    """Spools opened now lie on a disk that can be full."""
    vfs = FullDisk()
    connect = apsw.Connection
    monkeypatch.setattr(apsw, "Connection", lambda *a, **k: connect(*a, vfs=vfs.name, **k))
    FullDisk.space = None
    yield FullDisk
    FullDisk.space = None


def test_full_disk_raises_and_goes_on_when_there_is_space(
    make_logger: MakeLogger, server: UploadServer, full_disk: type[FullDisk]
) -> None:
    logger = make_logger()
    logger.add_stream("text", {"type": "string"})
    taken = []
    full_disk.space = 50_000
    with pytest.raises(SpoolFull):
        for i in range(10_000):
            logger.insert("text", f"{i:08}" + "x" * 500)
            taken.append(i)
    assert taken
    with pytest.raises(SpoolFull):
        logger.insert_many({"text": [{"d": "y" * 5000} for _ in range(20)]})
    assert len(logger) == len(taken)
    full_disk.space = None
    logger.insert("text", "99999999")
    logger.sync()
    assert sorted(int(text[:8]) for text in server["text"].values) == [*taken, 99999999]
    assert logger._spool.query("PRAGMA integrity_check") == [("ok",)]


def test_full_disk_during_an_upload_doubles_nothing(
    make_logger: MakeLogger, server: UploadServer, full_disk: type[FullDisk]
) -> None:
    logger = make_logger(syncraise=True)
    logger.insert_many({"x": [{"d": i} for i in range(100)]})
    for space in (0, 0, 4000, 5000, 9000, 13_000, 20_000):
        full_disk.space = space
        try:
            logger.sync()
        except SpoolFull:
            pass
    full_disk.space = None
    logger.insert("x", 100)
    logger.sync()
    assert server["x"].values == list(range(101))
    assert len(logger) == 0


def fill(logger: Logger, full_disk: type[FullDisk]) -> list[str]:
    """Insert until the disk is full to the last byte, and return what was taken."""
    logger.add_stream("text", {"type": "string"})
    taken = []
    full_disk.space = 50_000
    with pytest.raises(SpoolFull):
        while True:
            logger.insert("text", f"{len(taken):08}" + "x" * 500)
            taken.append(f"{len(taken):08}" + "x" * 500)
    full_disk.space = 0
    return taken


def test_full_disk_is_drained_with_the_reserve(
    make_logger: MakeLogger,
    server: UploadServer,
    full_disk: type[FullDisk],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reserve = tmp_path / "spool.db-reserve"
    make, release = Reserve.make, Reserve.release

    def make_on_disk(self: Reserve) -> None:
        if not reserve.exists() and (full_disk.space is None or full_disk.space >= RESERVE_BYTES):
            make(self)
            if full_disk.space is not None:
                full_disk.space -= RESERVE_BYTES

    def release_on_disk(self: Reserve) -> bool:
        released = release(self)
        assert full_disk.space is not None
        full_disk.space += released * RESERVE_BYTES
        return released

    monkeypatch.setattr(Reserve, "make", make_on_disk)
    monkeypatch.setattr(Reserve, "release", release_on_disk)
    logger = make_logger(syncraise=True, batch_points_max=10)
    assert reserve.stat().st_size == RESERVE_BYTES
    assert stat.S_IMODE(reserve.stat().st_mode) == 0o600
    taken = fill(logger, full_disk)
    logger.sync()
    assert server["text"].values == taken
    assert len(logger) == 0
    assert not reserve.exists()
    status = logger.status()
    assert (status.last_error, bool(status.last_sync_t)) == (None, True)
    full_disk.space = None
    logger.sync()
    assert reserve.exists()


def test_full_disk_shows_in_the_status(
    make_logger: MakeLogger, server: UploadServer, full_disk: type[FullDisk], tmp_path: Path
) -> None:
    logger = make_logger()
    taken = fill(logger, full_disk)
    (tmp_path / "spool.db-reserve").unlink()
    logger.sync()
    status = logger.status()
    assert "full" in (status.last_error or "")
    assert status.last_error_t == pytest.approx(time.time(), abs=60)
    assert len(logger) == len(taken)
    full_disk.space = None
    logger.sync()
    assert logger.status().last_error is None
    assert server["text"].values == taken


def test_a_run_writes_nothing_that_is_known(make_logger: MakeLogger, server: UploadServer, tmp_path: Path) -> None:
    logger = make_logger()
    logger.sync()
    looker = apsw.Connection(str(tmp_path / "spool.db"))
    before = looker.pragma("data_version")
    with closing(Spool(str(tmp_path / "spool.db"))) as spool:
        session = logger._session(account := read_account(spool))
        Uploader(Outbox(spool, points_max=10, bytes_max=1000), session, account).run()
        session.close()
    logger.ping()
    assert looker.pragma("data_version") == before
    looker.close()


def test_reserve_whose_writing_was_cut_off_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "spool.db-reserve"
    path.write_bytes(b"x")
    reserve = Reserve(str(tmp_path / "spool.db"))
    reserve.make()
    assert path.stat().st_size == RESERVE_BYTES
    assert reserve.release()
    assert not reserve.release()
    Reserve(str(tmp_path / "missing" / "spool.db")).make()


def test_spool_that_cannot_be_made_for_lack_of_space(tmp_path: Path, full_disk: type[FullDisk]) -> None:
    full_disk.space = 0
    with pytest.raises(SpoolFull):
        Logger(tmp_path / "new.db")
    full_disk.space = None
    Logger(tmp_path / "new.db").close()


def test_bound_on_the_spool_is_kept(make_logger: MakeLogger, server: UploadServer, tmp_path: Path) -> None:
    logger = make_logger(spool_bytes_max=200_000)
    logger.add_stream("text", {"type": "string"})
    taken = 0
    with pytest.raises(SpoolFull, match="200000"):
        while True:
            logger.insert("text", "x" * 900)
            taken += 1
    assert 100 < taken < 200
    assert (tmp_path / "spool.db").stat().st_size <= 200_000
    with pytest.raises(SpoolFull):
        logger.insert("text", "x" * 900)
    logger.sync()
    assert len(server["text"].values) == taken
    assert len(logger) == 0
    for _ in range(taken * 9 // 10):  # the space is used again
        logger.insert("text", "x" * 900)
    logger.close()
    assert (tmp_path / "spool.db").stat().st_size <= 200_000


def test_file_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    for name, content in (("notes.txt", b"My notes. " * 500), ("short.txt", b"x")):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(SpoolCorrupt, match="no spool"):
            Logger(path)
        assert path.read_bytes() == content


def test_database_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.executescript("CREATE TABLE streams (a); INSERT INTO streams VALUES (1);")
    other.close()
    before = path.read_bytes()
    with pytest.raises(SpoolCorrupt, match="no spool"):
        Logger(path)
    assert path.read_bytes() == before


def test_damaged_spool_is_told_and_nothing_is_deleted(make_logger: MakeLogger, tmp_path: Path) -> None:
    logger = make_logger()
    logger.add_stream("text")
    logger.insert_many({"text": [{"d": "x" * 500} for _ in range(200)]})
    logger.close()
    path = tmp_path / "spool.db"
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + b"\x55" * (len(whole) - 100))
    damaged = path.read_bytes()
    with pytest.raises(SpoolCorrupt, match="damaged"):
        make_logger()
    assert path.read_bytes() == damaged
    # Damage further in shows when it is come across; the synchronisation tells of it.
    path.write_bytes(whole[:40_960] + b"\x55" * 8192 + whole[49_152:])
    damaged = path.read_bytes()
    failures: list[Exception] = []
    logger = make_logger(onsyncfail=failures.append)
    logger.sync()
    assert isinstance(failures[0], SpoolCorrupt)
    assert len(path.read_bytes()) == len(damaged)


def test_spool_of_a_newer_version_is_refused(make_logger: MakeLogger, tmp_path: Path) -> None:
    make_logger().close()
    with sqlite3.connect(tmp_path / "spool.db") as spool:
        spool.execute(f"PRAGMA user_version={tables.VERSION + 1}")
    spool.close()
    with pytest.raises(SpoolError, match="newer"):
        make_logger()


def test_spool_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match="cannot be made"):
        Logger(tmp_path / "missing" / "spool.db")


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_only_the_owner_can_read_a_spool(make_logger: MakeLogger, tmp_path: Path) -> None:
    logger = make_logger()
    logger.insert("x", 1)
    for file in tmp_path.glob("spool.db*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(("synchronous", "level"), [("full", 2), ("normal", 1)])
def test_durability_is_what_was_asked_for(make_logger: MakeLogger, synchronous: str, level: int) -> None:
    logger = make_logger(synchronous=synchronous)
    assert logger._spool.query("PRAGMA synchronous") == [(level,)]
    assert logger._spool.query("PRAGMA journal_mode") == [("wal",)]


def test_full_is_the_default(tmp_path: Path) -> None:
    with Logger(tmp_path / "spool.db") as logger:
        assert logger._spool.query("PRAGMA synchronous") == [(2,)]


def test_a_number_is_never_given_twice(make_logger: MakeLogger, server: UploadServer) -> None:
    for i in range(3):
        logger = make_logger()
        logger.insert("x", i)
        logger.sync()
        logger.close()
    assert [request.query["first"] for request in server.uploads] == ["1", "2", "3"]


def test_several_processes_log_to_one_spool(tmp_path: Path, server: UploadServer, make_logger: MakeLogger) -> None:
    script = """
import sys
from connectordb.logger import Logger
path, url, k = sys.argv[1], sys.argv[2], int(sys.argv[3])
def on_create(l):
    l.apikey = "key"; l.server_url = url; l.sync_period_s = 0.01
l = Logger(path, on_create, synchronous="normal", batch_points_max=50)
l.add_stream("x", {"type": "number"})
l.start()
for i in range(300): l.insert("x", k * 1000 + i)
l.close()
"""
    children = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "spool.db"), server.url, str(k)])
        for k in range(3)
    ]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    make_logger().sync()
    assert sorted(server["x"].values) == [k * 1000 + i for k in range(3) for i in range(300)]


def test_stream_added_by_another_process_is_found(make_logger: MakeLogger) -> None:
    one, other = make_logger(), make_logger()
    other.add_stream("late", {"type": "string"})
    assert "late" in one
    one.insert("late", "text")
    with pytest.raises(SchemaMismatch):
        one.insert("late", 1)
    with pytest.raises(NotFound):
        one.insert("never", 1)
    assert len(other) == 1


def test_opening_waits_for_somebody_who_holds_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: UploadServer, make_logger: MakeLogger
) -> None:
    make_old_spool(tmp_path / "old.db", server.url, [("temp", 1.0, "1")])
    other = apsw.Connection(str(tmp_path / "old.db"))
    other.execute("BEGIN; SELECT * FROM cache")
    monkeypatch.setattr("connectordb.logger._spool.BUSY_TIMEOUT_MS", 10)
    monkeypatch.setattr(tables, "SWITCH_TIMEOUT_S", 0.05)
    with pytest.raises(SpoolError, match="locked"):
        make_logger("old.db")
    monkeypatch.setattr(tables, "SWITCH_TIMEOUT_S", 10.0)
    timer = threading.Timer(0.2, lambda: other.execute("COMMIT"))
    timer.start()
    assert len(make_logger("old.db")) == 1
    timer.join()
    other.close()


def test_insert_waits_for_a_writer_in_another_process(make_logger: MakeLogger, tmp_path: Path) -> None:
    logger = make_logger()
    other = apsw.Connection(str(tmp_path / "spool.db"))
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.3, lambda: other.execute("COMMIT"))
    timer.start()
    before = time.monotonic()
    logger.insert("x", 1)
    assert time.monotonic() - before > 0.2
    timer.join()
    other.close()


def test_spool_locked_for_too_long_is_told(
    make_logger: MakeLogger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectordb.logger._spool.BUSY_TIMEOUT_MS", 50)
    logger = make_logger()
    other = apsw.Connection(str(tmp_path / "spool.db"))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(SpoolError, match="locked"):
        logger.insert("x", 1)
    other.close()
    logger.insert("x", 1)
    assert len(logger) == 1


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path / "spool.db"))
    spool.add_stream("x", None, "{}")
    with pytest.raises(ZeroDivisionError), spool.transaction() as connection:
        connection.execute("INSERT INTO rows (stream, t, d) VALUES (1, 1, '1')")
        raise ZeroDivisionError
    assert spool.count() == 0
    spool.close()


# -- spools of ConnectorDB 0.3 ----------------------------------------------------------------------------------------


def make_old_spool(path: Path, url: Any, cache: list[tuple[Any, Any, Any]], **other: Any) -> None:
    old = sqlite3.connect(path)
    old.executescript(OLD_TABLES)
    old.execute(
        "INSERT INTO metadata VALUES (CAST(? AS TEXT), ?, ?, ?, ?)",
        (
            other.get("apikey", "key"),
            url,
            other.get("last_sync_t", 1234.5),
            other.get("period_s", 60.0),
            other.get("data", '{"a": 1}'),
        ),
    )
    streams = other.get("streams", [("temp", '{"type": "number"}'), ("free", "null")])
    old.executemany("INSERT INTO streams VALUES (?, ?)", streams)
    old.executemany("INSERT INTO cache VALUES (?, ?, ?)", cache)
    old.commit()
    old.close()


def test_spool_of_the_old_client_is_taken_over(make_logger: MakeLogger, server: UploadServer, tmp_path: Path) -> None:
    cache = [("temp", 1795409490.015743, "1.5"), ("free", 5.25, '{"a": [1, 2]}'), ("temp", 3.0, "2")]
    make_old_spool(tmp_path / "old.db", server.url, cache)
    calls: list[Any] = []
    logger = make_logger("old.db", on_create=calls.append)
    assert calls == []
    assert (logger.apikey, logger.serverurl, logger.syncperiod, logger.data) == ("key", server.url, 60.0, {"a": 1})
    assert (logger.lastsynctime, len(logger)) == (1234.5, 3)
    assert logger.streams == {"temp": {"type": "number"}, "free": None}
    logger.insert("temp", 3)
    logger.sync()
    assert server["temp"].values == [2, 1.5, 3]
    assert server["temp"].points[1]["t"] == 1795409490.015743
    assert server["free"].points == [{"t": 5.25, "d": {"a": [1, 2]}}]
    logger.close()
    assert len(make_logger("old.db")) == 0


def test_old_points_that_cannot_be_read_are_kept_as_rejected(
    make_logger: MakeLogger, server: UploadServer, tmp_path: Path
) -> None:
    bad = [
        ("temp", 1.0, "NaN"),
        ("temp", None, "1"),
        ("temp", 2.0, None),
        ("temp", 3.0, "{"),
        ("temp", -5.0, "1"),
        ("temp", 4.0, b"\xff\xfe"),
        ("temp", "soon", "1"),
    ]
    make_old_spool(tmp_path / "old.db", server.url, [("temp", 10.0, "1"), *bad, ("gone", 11.0, '"of no stream"')])
    logger = make_logger("old.db")
    assert [(r.stream, r.t) for r in logger.rejected()] == [
        ("temp", t if isinstance(t, float) else None) for _, t, _ in bad
    ]
    assert all(r.reason for r in logger.rejected())
    assert logger.rejected()[0].d == "NaN"
    logger.sync()
    assert server["temp"].values == [1]
    assert server["gone"].values == ["of no stream"]
    assert logger.retry_rejected() == 1  # only the one from before 1970 is a datapoint at all
    assert logger.status().rejected == 6


def test_old_spool_with_odd_contents_is_taken_over(
    make_logger: MakeLogger, server: UploadServer, tmp_path: Path
) -> None:
    streams = [("a", '{"type": "bogus"}'), ("b", "{"), ("c", None), ("d", "5"), ("e", "{}")]
    make_old_spool(tmp_path / "old.db", server.url, [], streams=streams, data="{")
    logger = make_logger("old.db")
    assert logger.streams == {"a": None, "b": None, "c": None, "d": None, "e": {}}
    assert logger.data == {}


def test_old_points_of_no_stream_are_kept_as_rejected(
    make_logger: MakeLogger, server: UploadServer, tmp_path: Path
) -> None:
    cache = [(None, 1.0, "1"), (b"caf\xe9", 2.0, "2"), ("a/b", 3.0, "3"), ("", 4.0, "4"), ("temp", 5.0, "5")]
    streams = [(None, "{}"), (b"caf\xe9", "{}"), ("temp", b'{"type": "number"}'), ("free", b"\xff")]
    make_old_spool(tmp_path / "old.db", server.url, cache, streams=streams)
    with sqlite3.connect(tmp_path / "old.db") as old:
        for table in ("cache", "streams"):  # text that is none
            old.execute(f"UPDATE {table} SET stream=CAST(stream AS TEXT)")
    old.close()
    logger = make_logger("old.db")
    assert logger.streams == {"temp": {"type": "number"}, "free": None}
    reasons = {r.t: r.reason for r in logger.rejected()}
    assert list(reasons) == [1.0, 2.0, 3.0, 4.0]
    assert "did not tell its stream" in reasons[1.0]
    assert "caf" in reasons[2.0]
    assert "'a/b'" in reasons[3.0]
    assert [(r.stream, r.d) for r in logger.rejected()] == [("", 1), ("", 2), ("", 3), ("", 4)]
    assert logger.retry_rejected() == 0
    logger.sync()
    assert server["temp"].values == [5]
    assert logger.status().last_error is None


def test_time_stamps_of_an_old_spool(make_logger: MakeLogger, server: UploadServer, tmp_path: Path) -> None:
    cache = [("temp", 0.0, "0"), ("temp", "soon", "1"), ("temp", None, "2"), ("temp", b"\xff", "3")]
    cache.append(("temp", float("inf"), "4"))
    make_old_spool(tmp_path / "old.db", server.url, cache)
    before = time.time()
    logger = make_logger("old.db")
    after = time.time()
    soon, none, blob, infinite = logger.rejected()
    assert "'soon', is no number" in soon.reason
    assert "no time stamp" in none.reason
    assert "is no number" in blob.reason
    assert "inf" in infinite.reason
    logger.sync()
    (point,) = server["temp"].points
    assert before <= point["t"] <= after


@pytest.mark.parametrize("period_s", [0, -5.0, "often", float("inf"), float("nan"), b"\xff", 1e300])
def test_settings_of_an_old_spool_that_cannot_be_used(make_logger: MakeLogger, tmp_path: Path, period_s: Any) -> None:
    settings = {"apikey": b"\xff", "data": b"\xff", "last_sync_t": period_s or "never", "period_s": period_s}
    make_old_spool(tmp_path / "old.db", b"\xff", [], **settings)
    logger = make_logger("old.db")
    assert (logger.sync_period_s, logger.last_sync_t) == (600.0, 0.0)
    assert (logger.apikey, logger.server_url, logger.data) == ("", "http://localhost:3124", {})
    logger.status()


def test_takeover_cut_off_anywhere_leaves_the_old_form(
    make_logger: MakeLogger, server: UploadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old_spool(tmp_path / "old.db", server.url, [("temp", float(i + 1), str(i)) for i in range(10)])
    shutil.copy(tmp_path / "old.db", tmp_path / "pristine.db")
    connect = apsw.Connection

    class Killed(Exception):
        pass

    def dump(path: Path) -> list[str]:
        db = sqlite3.connect(path)
        lines = list(db.iterdump())
        db.close()
        return lines

    steps = 0
    while True:
        steps += 1
        left = [steps]

        def connecting(*args: Any, left: list[int] = left, **kwargs: Any) -> apsw.Connection:
            connection = connect(*args, **kwargs)

            def trace(cursor: apsw.Cursor, sql: str, bindings: Any) -> bool:
                left[0] -= 1
                if left[0] == 0:
                    raise Killed
                return True

            connection.exec_trace = trace
            return connection

        monkeypatch.setattr(apsw, "Connection", connecting)
        try:
            Spool(str(tmp_path / "old.db")).close()
        except Killed:
            monkeypatch.setattr(apsw, "Connection", connect)
            tables_now = [
                row[0] for row in sqlite3.connect(tmp_path / "old.db").execute("SELECT name FROM sqlite_master")
            ]
            if "cache" in tables_now:
                assert dump(tmp_path / "old.db") == dump(tmp_path / "pristine.db")
                continue
            break  # the transaction was over
        break
    monkeypatch.setattr(apsw, "Connection", connect)
    assert steps > 10
    logger = make_logger("old.db")
    logger.sync()
    assert server["temp"].values == list(range(10))
