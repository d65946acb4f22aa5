"""Stopping: what was accepted is finished and on disk, what comes later gets a 503 or no answer."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest

from connectordb.core.folder import Folder
from connectordb.server.run import listen

ROUNDS = int(os.environ.get("CONNECTORDB_TEST_SHUTDOWN_ROUNDS", "3"))
SERVE = """
import sys
from connectordb.core.folder import Folder
from connectordb.server.run import serve
with Folder.open(sys.argv[1], options={"server.port": 0, "server.shutdown_s": 20}) as folder:
    serve(folder, folder.settings, lambda host, port: print(port, flush=True))
print("ended", flush=True)
"""
HEADERS = {"Authorization": "Basic dGVzdDp0ZXN0"}


def start(path: Path) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.strip().isdigit(), process.communicate()
    return process, int(line)


def call(connection: HTTPConnection, method: str, target: str, body: Any = None) -> tuple[int, Any]:
    connection.request(method, "/api/v1" + target, None if body is None else json.dumps(body), HEADERS)
    response = connection.getresponse()
    data = response.read()
    is_json = response.headers["content-type"].startswith("application/json")
    return response.status, json.loads(data) if is_json else data.decode()


class Inserter(threading.Thread):
    """Inserts one datapoint after the other, and notes those that were acknowledged."""

    def __init__(self, port: int, stream: str) -> None:
        super().__init__()
        self.port = port
        self.stream = stream
        self.acknowledged: list[int] = []
        self.statuses: set[int] = set()
        self.sent = 0

    def run(self) -> None:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        while True:
            self.sent += 1
            try:
                status, _ = call(connection, "PUT", f"/crud/test/user/{self.stream}/data", [{"d": self.sent}])
            except (OSError, HTTPException):
                break
            self.statuses.add(status)
            if status == 200:
                self.acknowledged.append(self.sent)
            else:
                break
        connection.close()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT], ids=lambda sig: sig.name)
def test_stop_under_load_loses_nothing_that_was_acknowledged(tmp_path: Path, sig: signal.Signals) -> None:
    path = tmp_path / "db"
    Folder.create(path, test=True)
    sent: dict[str, Inserter] = {}
    for round_ in range(ROUNDS):
        process, port = start(path)
        connection = HTTPConnection("127.0.0.1", port, timeout=20)
        inserters = [Inserter(port, f"s{round_}-{i}") for i in range(4)]
        for inserter in inserters:
            assert call(connection, "POST", f"/crud/test/user/{inserter.stream}", {})[0] == 200
            sent[inserter.stream] = inserter
            inserter.start()
        connection.close()
        for inserter in inserters:
            while not inserter.acknowledged and inserter.is_alive():
                time.sleep(0.01)
        time.sleep(0.1 + 0.05 * round_)
        process.send_signal(sig)
        started = time.monotonic()
        out, err = process.communicate(timeout=40)
        assert time.monotonic() - started < 10
        for inserter in inserters:
            inserter.join(20)
            assert inserter.acknowledged
            assert inserter.statuses <= {200, 503}
        assert process.returncode == 0, err
        assert out == "ended\n"
        assert "Traceback" not in err
    process, port = start(path)
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    for stream, inserter in sent.items():
        _, points = call(connection, "GET", f"/crud/test/user/{stream}/data?i1=0")
        values = [point["d"] for point in points]
        assert len(set(values)) == len(values)
        assert set(inserter.acknowledged) <= set(values) <= set(range(1, inserter.sent + 1))
    connection.close()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_request_that_was_begun_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "db"
    Folder.create(path, test=True)
    process, port = start(path)
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    assert call(connection, "POST", "/crud/test/user/s", {})[0] == 200
    idle = socket.create_connection(("127.0.0.1", port), timeout=20)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
        body = b'[{"t":1,"d":1}]'
        s.sendall(
            b"POST /api/v1/crud/test/user/s/data HTTP/1.1\r\nHost: x\r\nAuthorization: Basic dGVzdDp0ZXN0\r\n"
            b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        assert s.recv(65536).startswith(b"HTTP/1.1 100 ")  # the server waits for the body now
        process.send_signal(signal.SIGTERM)
        with pytest.raises(OSError):  # soon
            for _ in range(60):
                socket.create_connection(("127.0.0.1", port), timeout=20).close()
                time.sleep(0.05)
        s.sendall(body)
        answer = b""
        while part := s.recv(65536):
            answer += part
        assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\nok")
        assert b"connection: close" in answer
    assert idle.recv(10) == b""
    idle.close()
    assert process.wait(20) == 0
    process.communicate()
    process, port = start(path)
    connection.close()
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    assert call(connection, "GET", "/crud/test/user/s/data?i1=0")[1] == [{"t": 1, "d": 1}]
    connection.close()
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20)[0] == "ended\n"


def test_client_that_never_ends_its_request_does_not_hold_up_the_end(make_live: Callable[..., Any]) -> None:
    live = make_live(**{"server.shutdown_s": 0.5})
    with socket.create_connection(("127.0.0.1", live.port)) as s:
        s.sendall(
            b"POST /api/v1/crud/test/user/s/data HTTP/1.1\r\nHost: x\r\nAuthorization: Basic dGVzdDp0ZXN0\r\n"
            b"Content-Length: 10\r\n\r\n"
        )
        time.sleep(0.2)
        started = time.monotonic()
        live.stop()
        assert time.monotonic() - started < 10


def test_port_that_is_taken_is_an_error(make_live: Callable[..., Any]) -> None:
    live = make_live()
    with pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", live.port)


def test_listens_on_all_addresses_of_a_name() -> None:
    sockets = listen("localhost", 0)
    try:
        assert len({s.getsockname()[1] for s in sockets}) == 1
        assert {s.getsockname()[0] for s in sockets} <= {"127.0.0.1", "::1"}
    finally:
        for s in sockets:
            s.close()


def test_starts_within_a_second_or_so(tmp_path: Path) -> None:
    path = tmp_path / "db"
    Folder.create(path, test=True)
    started = time.monotonic()
    process, port = start(path)
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    assert call(connection, "GET", "/?q=this") == (200, "test/user")
    took_s = time.monotonic() - started
    connection.close()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert took_s < 10  # the goal is 0.5 s on a quiet machine; this finds what hangs
