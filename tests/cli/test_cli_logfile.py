"""The log of a background server stays small and loses nothing in between."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from connectordb.cli._logfile import rotate
from connectordb.client import ConnectorDB
from connectordb.core.folder import Folder

from .conftest import Cli


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "connectordb.log"


def writes(log: Path, *texts: str, bytes_max: int, files: int) -> None:
    """Write each of *texts* to a descriptor that was opened once, and rotate after each."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        for text in texts:
            os.write(descriptor, text.encode())
            assert rotate(log, bytes_max, files, (descriptor,)) == (len(text) >= bytes_max)
    finally:
        os.close(descriptor)


def test_log_that_is_small_stays(log: Path) -> None:
    writes(log, "aaa", bytes_max=100, files=2)
    assert log.read_text() == "aaa"
    assert [file.name for file in log.parent.iterdir()] == ["connectordb.log"]


def test_full_log_is_put_aside_and_the_oldest_goes(log: Path) -> None:
    writes(log, "first", "second", "third", "4th", bytes_max=5, files=2)
    assert log.read_text() == "4th"
    assert log.with_name("connectordb.log.1").read_text() == "third"
    assert log.with_name("connectordb.log.2").read_text() == "second"
    assert len(list(log.parent.iterdir())) == 3


def test_without_files_to_keep_a_full_log_is_dropped(log: Path) -> None:
    writes(log, "first", "2", bytes_max=5, files=0)
    assert [file.name for file in log.parent.iterdir()] == ["connectordb.log"]
    assert log.read_text() == "2"


def test_log_that_is_gone_is_no_error(log: Path) -> None:
    assert rotate(log, 1, 1, ()) is False


def test_log_of_a_server_is_put_aside_while_it_runs(cli: Cli, db: Path) -> None:
    started = cli("start", db, "-p", "0", CONNECTORDB_LOG__BYTES_MAX="4096")
    assert started.returncode == 0, started.stderr
    server = Folder.state(db).server
    assert server is not None
    log, older = db / "connectordb.log", db / "connectordb.log.1"
    with ConnectorDB("test", "test", url=server.url) as client:
        for _ in range(50):
            client.ping()
        deadline = time.monotonic() + 30
        while not older.exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        client.ping()
    assert '"event":"serving"' in older.read_text()
    deadline = time.monotonic() + 10
    while "q=this" not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)
