"""The spool stays locked while it is open, and what was interrupted does not swallow what comes after."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from connectordb.errors import SpoolError
from connectordb.logger import Logger
from connectordb.logger._spool import Spool

NOWHERE = "http://127.0.0.1:9"

# SQLite's readers hold a shared lock on these bytes; who gets them for himself believes to be alone with the file.
TAKE_LOCK = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
try:
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)
except OSError:
    print("locked")
else:
    print("free")
"""


def lock_state(path: Path) -> str:
    done = subprocess.run([sys.executable, "-c", TAKE_LOCK, path], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


def count_elsewhere(path: Path) -> int:
    """How many datapoints another process finds."""
    script = f"import apsw; print(apsw.Connection({str(path)!r}).execute('SELECT count(*) FROM rows').fetchone()[0])"
    return int(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)


def test_a_sync_leaves_the_locks_of_the_spool_in_place(path: Path) -> None:
    """Opening and closing a file drops all locks of a process on it: then another process deletes the log."""
    with Logger(str(path), apikey="k") as logger:
        logger.server_url = NOWHERE
        logger.add_stream("s")
        logger.insert("s", 1)
        assert lock_state(path) == "locked"
        logger.sync()
        assert lock_state(path) == "locked"
        with Logger(str(path)) as other:
            other.insert("s", 2)
        assert lock_state(path) == "locked"
        logger.insert("s", 3)
        assert count_elsewhere(path) == 3
    assert lock_state(path) == "free"


class Interrupt(Exception):
    pass


def test_an_exception_from_a_signal_leaves_no_transaction_open(path: Path) -> None:
    def interrupt(*_: Any) -> None:
        raise Interrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        with Logger(str(path), apikey="k") as logger:
            logger.add_stream("s")
            stored = interrupted = 0
            for n in range(400):
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.0001 + 0.000005 * (n % 100))
                    logger.data = {"n": n}
                    logger.insert_many({"s": [{"t": 1, "d": n}]})
                except Interrupt:
                    interrupted += 1
                finally:
                    try:
                        signal.setitimer(signal.ITIMER_REAL, 0)
                    except Interrupt:
                        interrupted += 1
            before = count_elsewhere(path)
            logger.insert("s", 1)
            stored = count_elsewhere(path)
        assert interrupted > 10
        assert stored == before + 1 == len(Logger(str(path)))
    finally:
        signal.signal(signal.SIGALRM, previous)


def test_an_exception_while_waiting_for_the_file_leaves_no_transaction_open(path: Path) -> None:
    def interrupt(*_: Any) -> None:
        raise Interrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        with Logger(str(path), apikey="k") as logger, Logger(str(path)) as other:
            logger.add_stream("s")
            with other._spool.transaction():
                alarm = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGALRM))
                alarm.start()
                with pytest.raises((Interrupt, SpoolError)):
                    try:
                        _insert_while_locked(logger)
                    finally:  # it may be late, and must not come behind this
                        alarm.join()
                        time.sleep(0.01)
            for n in range(5):
                logger.insert("s", n)
            assert count_elsewhere(path) == 5
    finally:
        signal.signal(signal.SIGALRM, previous)


def _insert_while_locked(logger: Logger) -> None:
    logger._spool._connection.set_busy_timeout(400)
    try:
        logger.insert_many({"s": [{"t": 1, "d": 1}]})
    finally:
        logger._spool._connection.set_busy_timeout(60_000)


def test_a_signal_handler_cannot_insert_into_what_it_interrupted(path: Path) -> None:
    """It would be told that its datapoint is on disk, before the commit of the other one decides that."""
    with Logger(str(path), apikey="k") as logger:
        logger.add_stream("s")
        with pytest.raises(SpoolError, match="signal handler"), logger._spool.transaction():
            logger.insert("s", 1)
        logger.insert("s", 2)
        assert count_elsewhere(path) == 1


def test_a_spool_that_was_deleted_or_replaced_takes_nothing_more(path: Path) -> None:
    spool = Spool(str(path))
    try:
        spool.check_in_place()
        path.unlink()
        Spool(str(path)).close()
        with pytest.raises(SpoolError, match="replaced"):
            spool.check_in_place()
        with pytest.raises(SpoolError, match="replaced"):
            spool.append(1, 1.0, "1")
    finally:
        spool.close()


def test_after_a_sync_a_logger_without_its_file_takes_nothing_more(path: Path) -> None:
    with Logger(str(path), apikey="k") as logger:
        logger.server_url = NOWHERE
        logger.add_stream("s")
        path.unlink()
        logger.sync()
        assert "deleted" in str(logger.status().last_error)
        with pytest.raises(SpoolError, match="deleted"):
            logger.insert("s", 1)


def test_a_file_number_larger_than_sqlite_has_is_no_hindrance(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = Path.stat

    def large(self: Path, **kw: Any) -> os.stat_result:
        found = list(stat(self, **kw))
        found[1] = 2**64 - 1
        return os.stat_result(found)

    monkeypatch.setattr(Path, "stat", large)
    with Logger(str(path), apikey="k") as logger:
        logger.add_stream("s")
        logger.insert("s", 1)
