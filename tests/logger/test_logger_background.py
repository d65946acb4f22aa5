"""Synchronising in the background: never in the way, never for ever."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import Fault, FaultProxy
from upload_server import Request, UploadServer

from connectordb.logger import Logger
from connectordb.logger._background import Background

MakeLogger = Callable[..., Logger]


def wait_until(true: Callable[[], Any], within_s: float = 60.0) -> None:
    give_up = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < give_up, "it did not come about in time"
        time.sleep(0.005)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port where connections are taken and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]


def test_syncs_at_once_and_then_again_and_again(make_logger: MakeLogger, server: UploadServer) -> None:
    synced: list[int] = []
    logger = make_logger(onsync=lambda: synced.append(1))
    logger.insert("x", 1)
    logger.start()
    wait_until(lambda: synced)
    assert server["x"].values == [1]
    assert logger.status().next_sync_t == pytest.approx(time.time() + 600, abs=60)
    logger.insert("x", 2)
    logger.sync_period_s = 0.05  # takes effect at once
    wait_until(lambda: len(synced) > 3)
    assert server["x"].values == [1, 2]
    logger.stop()
    status = logger.status()
    assert (status.running, status.next_sync_t) == (False, None)


def test_start_returns_at_once_whatever_the_server_does(make_logger: MakeLogger, silent_port: int) -> None:
    for i, url in enumerate(
        ("http://127.0.0.1:1", f"http://127.0.0.1:{silent_port}", "http://no-such-host.invalid:3124")
    ):
        logger = make_logger(f"{i}.db", url=url, timeout_s=30)
        before = time.monotonic()
        logger.start()
        logger.start()
        for k in range(20):
            logger.insert("x", k)
        assert time.monotonic() - before < 5
        assert logger.status().running
        before = time.monotonic()
        logger.close(timeout_s=0.2)
        assert time.monotonic() - before < 5


def test_inserts_do_not_wait_for_an_upload(make_logger: MakeLogger, server: UploadServer, proxy: FaultProxy) -> None:
    logger = make_logger(url=proxy.url, timeout_s=30)
    proxy.arm(Fault.SILENCE)
    logger.insert("x", 0)
    logger.start()
    wait_until(lambda: server.uploads)
    slowest = 0.0
    for i in range(1, 200):
        before = time.monotonic()
        logger.insert("x", i)
        slowest = max(slowest, time.monotonic() - before)
    assert slowest < 5
    logger.stop(timeout_s=0.1)
    proxy.cut_all()
    logger.sync()
    assert server["x"].values == list(range(200))


def test_stop_waits_for_an_upload_under_way(make_logger: MakeLogger, server: UploadServer) -> None:
    def slow(request: Request) -> None:
        if request.method == "PATCH":
            time.sleep(0.3)

    server.override = slow
    logger = make_logger()
    logger.insert("x", 1)
    logger.start()
    wait_until(lambda: server.uploads)
    logger.stop()
    assert len(logger) == 0
    assert not logger.status().running


def test_stop_gives_up_on_a_request_that_is_not_answered(
    make_logger: MakeLogger, server: UploadServer, proxy: FaultProxy
) -> None:
    logger = make_logger(url=proxy.url, timeout_s=30)
    logger.insert("x", 1)
    proxy.arm(Fault.SILENCE)
    logger.start()
    wait_until(lambda: server.uploads)
    before = time.monotonic()
    logger.close(timeout_s=0.1)
    assert time.monotonic() - before < 10
    again = make_logger(url=proxy.url)
    assert len(again) == 1
    again.sync()
    assert server["x"].values == [1]
    proxy.cut_all()


def test_starts_again_after_a_stop(make_logger: MakeLogger, server: UploadServer) -> None:
    logger = make_logger()
    for i in range(3):
        logger.insert("x", i)
        logger.start()
        wait_until(lambda i=i: "x" in server.streams and len(server["x"].values) == i + 1)
        logger.stop()


def test_stop_ends_a_long_backlog_between_two_batches(make_logger: MakeLogger, server: UploadServer) -> None:
    def slow(request: Request) -> None:
        if request.method == "PATCH":
            time.sleep(0.05)

    server.override = slow
    logger = make_logger(batch_points_max=1)
    logger.insert_many({"x": [{"d": i} for i in range(1000)]})
    logger.start()
    wait_until(lambda: len(server.uploads) > 2)
    logger.stop(timeout_s=5)
    assert not logger.status().running
    assert 900 < len(logger) < 1000
    assert logger.last_sync_t == 0.0


def test_tries_sooner_after_a_failure(make_logger: MakeLogger, server: UploadServer, proxy: FaultProxy) -> None:
    failures: list[Exception] = []
    logger = make_logger(url=proxy.url, onsyncfail=failures.append)
    proxy.target_port = 1
    logger.insert("x", 1)
    logger.start()
    wait_until(lambda: failures)
    assert (logger.status().next_sync_t or time.time()) < time.time() + 5
    proxy.target_port = server.port
    wait_until(lambda: len(logger) == 0 and logger.status().last_error is None)


def test_pauses_after_failures_double_at_random_up_to_a_bound() -> None:
    done = threading.Event()
    done.set()
    background = Background(lambda stopping: None, lambda: 600.0)
    background.stop(5)
    pauses = [background._pause_s(failures, 0.0, 1.0) for failures in range(1, 14)]
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600]
    assert background._pause_s(10_000, 0.0, 0.5) == 300
    assert background._pause_s(3, 30.0, 0.0) == 30
    assert background._pause_s(0, 0.0, 1.0) == 600
    short = Background(lambda stopping: None, lambda: 0.5)
    short.stop(5)
    assert short._pause_s(20, 0.0, 1.0) == 60


def test_server_that_asks_for_patience_gets_it(make_logger: MakeLogger, server: UploadServer) -> None:
    body = (
        b'{"code": 429, "msg": "slow down", "ref": "", "error": "too_many_requests", "details": {"retry_after_s": 500}}'
    )
    server.override = lambda request: (429, body)
    logger = make_logger()
    logger.start()
    wait_until(lambda: logger.status().next_sync_t)
    assert (logger.status().next_sync_t or 0) > time.time() + 400


class Odd(BaseException):
    """Not an `Exception`."""


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit, KeyboardInterrupt, Odd])
def test_error_in_a_callback_does_not_end_the_uploading(
    make_logger: MakeLogger, server: UploadServer, error: type[BaseException]
) -> None:
    def fails(*args: Any) -> None:
        raise error

    server.override = lambda request: (500, b"") if len(server.requests) < 3 else None
    logger = make_logger(onsync=fails, onsyncfail=fails)
    logger.start()
    wait_until(lambda: server.requests)
    logger.sync_period_s = 0.01
    logger.insert("x", 1)
    wait_until(lambda: len(logger) == 0)
    assert logger.status().running


def test_callbacks_may_call_the_logger(make_logger: MakeLogger, server: UploadServer) -> None:
    logger = make_logger()
    calls: list[str] = []

    def on_sync() -> None:
        calls.append("")
        if len(calls) == 1:
            logger.insert("x", 2)
            logger.sync()
        logger.stop()

    logger.on_sync = on_sync
    logger.insert("x", 1)
    logger.start()
    wait_until(lambda: len(calls) == 2 and not logger.status().running)
    assert server["x"].values == [1, 2]


def test_an_address_that_is_none_is_told_in_the_background_too(make_logger: MakeLogger) -> None:
    failures: list[Exception] = []
    logger = make_logger(onsyncfail=failures.append)
    logger._spool.set(server_url="gopher://old")  # as the spool of an old client may have it
    logger.start()
    wait_until(lambda: failures)
    assert isinstance(failures[0], ValueError)
    assert logger.status().running


def test_a_spool_deleted_under_the_logger_is_told(make_logger: MakeLogger, tmp_path: Path) -> None:
    logger = make_logger()
    for file in tmp_path.glob("spool.db*"):
        file.unlink()
    logger.sync()
    assert "spool" in (logger.status().last_error or "")
    assert list(tmp_path.glob("spool.db")) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # 3.12 warns of forks with threads: the case here
def test_child_of_a_fork_may_log_too(make_logger: MakeLogger, server: UploadServer) -> None:
    logger = make_logger()
    logger.insert("x", 1)
    logger.start()
    pids = []
    for child in range(3):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                for i in range(20):
                    logger.insert("x", 100 * (child + 1) + i)
                running = logger.status().running
                logger.sync()
                logger.close()
                status = 0 if not running else 2
            finally:
                os._exit(status)
        pids.append(pid)
        logger.insert("x", child)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0, 0]
    logger.sync()
    expected = [0, 1, 1, 2] + [100 * (child + 1) + i for child in range(3) for i in range(20)]
    assert sorted(server["x"].values) == sorted(expected)
    assert logger._spool.query("PRAGMA integrity_check") == [("ok",)]


def test_interpreter_ends_while_logging(tmp_path: Path, server: UploadServer, make_logger: MakeLogger) -> None:
    """No `close`, a thread in the middle of a sync: the program ends by itself, and what was inserted is there."""
    script = f"""
import sys
from connectordb.logger import Logger
def on_create(l):
    l.apikey = "key"; l.serverurl = {server.url!r}; l.addStream("x", {{"type": "number"}}); l.syncperiod = 0.01
l = Logger({str(tmp_path / "spool.db")!r}, on_create, batch_points_max=5)
l.start()
for i in range(300): l.insert("x", i)
print("done")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
    make_logger().sync()
    assert server["x"].values == list(range(300))
