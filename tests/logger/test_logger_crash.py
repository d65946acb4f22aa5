"""Killing Loggers and servers at any moment, and cutting the line, against the real server.

What `insert` has acknowledged is on the server exactly once.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_harness import MANY, STREAMS, Harness
from fault_proxy import Fault, FaultProxy

from connectordb import ConnectorDB
from connectordb.core.folder import Folder
from connectordb.errors import TransportError
from connectordb.logger import Logger
from live_server import unused_port

ROUNDS = 200 if os.environ.get("CI") else 20


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    with Harness(tmp_path / "children.log") as harness:
        yield harness


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Folder.create(tmp_path / "db", test=True)
    return tmp_path / "db"


@pytest.fixture
def port() -> int:
    return unused_port()


def make_device(url: str) -> str:
    """Make the device that logs, as soon as the server answers, and return its API key."""
    give_up = time.monotonic() + 60
    while True:
        try:
            with ConnectorDB("test", "test", url=url, retries=0) as db:
                device = db("test/device")
                device.create()
                return str(device.apikey)
        except TransportError:
            assert time.monotonic() < give_up, "the server does not come up"
            time.sleep(0.05)


def drain(spool: Path) -> None:
    """Bring what is left to the server."""
    with Logger(spool, timeout_s=5) as logger:
        give_up = time.monotonic() + 60
        while len(logger):
            logger.sync()
            assert time.monotonic() < give_up, logger.status()
        assert logger.rejected() == []
        assert logger._spool.query("PRAGMA integrity_check") == [("ok",)]


def check(url: str, apikey: str, acknowledged: list[Path]) -> int:
    """Compare what was acknowledged with what is on the server, and return how many datapoints there are."""
    with ConnectorDB(apikey, url=url) as db:
        stored: Counter[int] = Counter()
        for name in STREAMS:
            points = db[name][:]
            times = [point["t"] for point in points]
            assert times == sorted(times)
            stored.update(point["d"] for point in points)
    doubled = {value: n for value, n in stored.items() if n > 1}
    assert not doubled, f"{len(doubled)} datapoints are there more than once, such as {list(doubled.items())[:5]}"
    expected: set[int] = set()
    for file in acknowledged:
        for line in file.read_text().splitlines():
            first, end = map(int, line.split())
            expected.update(range(first, end))
    lost = expected - stored.keys()
    assert not lost, f"{len(lost)} acknowledged datapoints are lost, such as {sorted(lost)[:5]}"
    # A process may be killed after its datapoints were taken and before it could note so: its last call, no more.
    extra = Counter(value // 1_000_000 for value in stored.keys() - expected)
    assert all(n <= MANY for n in extra.values()), extra
    return len(stored)


def test_killing_either_side_at_any_moment_loses_and_doubles_nothing(
    harness: Harness, folder: Path, port: int, tmp_path: Path
) -> None:
    rng = random.Random()
    url = f"http://127.0.0.1:{port}"
    spool = tmp_path / "spool.db"
    server = harness.start_server(folder, port)
    apikey = make_device(url)
    loggers: list[int] = []
    acknowledged: list[Path] = []

    def start_logger() -> None:
        acknowledged.append(tmp_path / f"acknowledged-{len(acknowledged)}")
        acknowledged[-1].touch()
        loggers.append(harness.start_logger(spool, url, apikey, len(acknowledged) * 1_000_000, acknowledged[-1]))

    start_logger()
    start_logger()  # two processes on one spool
    for _ in range(ROUNDS):
        time.sleep(rng.uniform(0.01, 0.15))
        victims = rng.choice(["logger", "logger", "server", "both", "all"])
        if victims != "logger":
            harness.kill(server)
        if victims != "server":
            for _ in range(2 if victims == "all" else 1):
                harness.kill(loggers.pop(rng.randrange(len(loggers))))
        while len(loggers) < 2:
            start_logger()
        if victims != "logger":
            server = harness.start_server(folder, port)
    time.sleep(0.3)
    for logger in loggers:
        harness.kill(logger)
    drain(spool)
    assert check(url, apikey, acknowledged) > ROUNDS
    harness.kill(server)
    database = sqlite3.connect(folder / "connectordb.db")
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()


def test_cutting_the_line_at_any_moment_loses_and_doubles_nothing(
    harness: Harness, folder: Path, port: int, tmp_path: Path
) -> None:
    rng = random.Random()
    spool = tmp_path / "spool.db"
    harness.start_server(folder, port)
    apikey = make_device(f"http://127.0.0.1:{port}")
    with FaultProxy(port) as proxy:
        logger = Logger(spool, apikey=apikey, timeout_s=0.3, batch_points_max=25, synchronous="normal")
        logger.server_url = proxy.url
        for name in STREAMS:
            logger.add_stream(name, {"type": "integer"})
        faults: Counter[Fault] = Counter()
        value = 0
        for k in range(ROUNDS):
            for _ in range(rng.randrange(1, 40)):
                logger.insert(rng.choice(STREAMS), value, t=rng.choice([None, 1 + rng.random() * 1e9]))
                value += 1
            fault = list(Fault)[k % len(Fault)]
            if fault is not Fault.SILENCE or k < 20:  # that one takes its time
                proxy.arm(fault)
            logger.sync()
            faults[fault] += proxy.armed == 0
            proxy.arm(None)
        logger.sync()
        logger.close()
        drain(spool)
    assert set(faults) == set(Fault)
    (tmp_path / "acknowledged").write_text(f"0 {value}\n")
    assert check(f"http://127.0.0.1:{port}", apikey, [tmp_path / "acknowledged"]) == value
