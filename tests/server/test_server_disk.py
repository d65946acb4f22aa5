"""What is told of damaged data and of a full disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import IncompleteRead
from pathlib import Path
from typing import Any

import apsw
import pytest

from connectordb import ConnectorDB, StorageFull
from connectordb.logger import Logger
from connectordb.store._runs import BLOCK_POINTS
from connectordb.store.sqlite import SQLiteStore

POINTS = 7 * BLOCK_POINTS
DATA = "/crud/test/user/s/data"


@pytest.fixture
def damaged(make_live: Callable[..., Any]) -> tuple[Any, int, int]:
    """A server with a stream of several blocks, and which datapoints a damaged one of these holds: from, to."""
    where: list[int] = []

    def prepare(folder: Path) -> None:
        with ConnectorDB.local(folder, "test") as db:
            stream = db("test/user/s")
            stream.create({"type": "number"})
            stream.insert_array([{"t": 1.0 + i, "d": i} for i in range(POINTS)])
        path = folder / "connectordb.db"
        with SQLiteStore(path) as store:
            store.seal_all()
        with closing(apsw.Connection(str(path))) as connection:
            [(place, n, block)] = connection.execute(
                "SELECT place, n, block FROM runs WHERE block IS NOT NULL ORDER BY place LIMIT 1 OFFSET 5"
            ).fetchall()
            data = bytearray(connection.execute("SELECT data FROM blocks WHERE id = ?", (block,)).get)
            data[len(data) // 2] ^= 4
            connection.execute("UPDATE blocks SET data = ? WHERE id = ?", (bytes(data), block))
        i = place & ((1 << 38) - 1)
        assert 0 < i < i + n < POINTS
        where.extend((i, i + n))

    return make_live(prepare), where[0], where[1]


@pytest.mark.parametrize("form", ["json", "csv", "arrow"])
def test_a_damaged_block_is_named_and_costs_only_itself(
    damaged: tuple[Any, int, int], form: str, capfd: pytest.CaptureFixture[str]
) -> None:
    live, i1, i2 = damaged
    client = live.client()
    for wanted in (f"i1={i1}&i2={i1 + 5}", f"t1={i2 - 3}.5"):
        answer = client("GET", f"{DATA}?{wanted}&format={form}")
        assert answer.status == 500
        assert f"the datapoints [{i1}:{i2}] of test/user/s cannot be read" in answer.json()["msg"]
        assert str(live.path) not in answer.text
    assert client("GET", f"{DATA}?i1={i1}&transform=sum&format={form}").status == 500
    for wanted in (f"i1=0&i2={i1}", f"i1={i2}"):
        assert client("GET", f"{DATA}?{wanted}&format={form}").status == 200
    assert len(client("GET", f"{DATA}?i1=0&i2={i1}").json()) == i1
    try:
        whole = client("GET", f"{DATA}?i1=0&format={form}").status
    except IncompleteRead:  # some was sent already
        whole = 0
    assert whole == (500 if form == "arrow" else 0)
    assert "cannot be read" in capfd.readouterr().err


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(folder)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(command, check=False).returncode:
        pytest.skip("a file system can only be mounted by root, and not in every container")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_told_and_nothing_is_lost(
    small_disk: Path, tmp_path: Path, make_live: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    def prepare(folder: Path) -> None:
        shutil.move(folder, small_disk / "db")
        folder.symlink_to(small_disk / "db")

    live = make_live(prepare)
    ballast = small_disk / "ballast"
    url = f"http://127.0.0.1:{live.port}"
    with ConnectorDB("test", "test", url=url) as db:
        stream = db("test/user/s")
        stream.create({"type": "string"})
        device = db("test/weather")
        device.create()
        ballast.write_bytes(bytes(12 << 20))
        n = 0
        with pytest.raises(StorageFull, match="507: the disk is full; nothing of it was stored"):
            while True:
                stream.insert(f"{n} {'x' * 100_000}")
                n += 1
        assert len(stream) == n > 20
        assert [point["d"].split()[0] for point in stream(i1=0)] == [str(i) for i in range(n)]

        def on_create(logger: Logger) -> None:
            logger.apikey = device.apikey
            logger.server_url = url
            logger.add_stream("rain", {"type": "string"})

        with Logger(tmp_path / "spool.db", on_create, syncraise=True) as logger:
            logger.insert("rain", "y" * 200_000)
            for _ in range(5):
                with pytest.raises(StorageFull):
                    logger.sync()
                assert len(logger) == 1
            ballast.unlink()
            logger.sync()
            assert len(logger) == 0
        assert len(device["rain"]) == 1
        stream.insert("room")
        assert len(stream) == n + 1
    capfd.readouterr()
