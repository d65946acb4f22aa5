"""A real server in a process of its own, and connections to it."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from connectordb import ConnectorDB, Device
from connectordb.client import Credentials, Reply, Session
from live_server import unused_port

READY_S = 60
STOP_S = 60

_CHILD = """
import sys
from connectordb.core.folder import Folder
from connectordb.server.run import serve
with Folder.open(sys.argv[1], options={"server.port": int(sys.argv[2]), "log.requests": False}) as folder:
    serve(folder, folder.settings, lambda host, port: print(f"http://{host}:{port}", flush=True))
"""


class Server:
    """A server on the database in *folder*, which can be stopped and started again on the same port.

    User ``test`` with password ``test`` is an administrator.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self._port = unused_port()
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        env = {k: v for k, v in os.environ.items() if not k.startswith("CONNECTORDB_")}
        command = [sys.executable, "-c", _CHILD, str(self.folder), str(self._port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True)
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], READY_S)
        assert ready, "the server did not start in time"
        self.url = self._process.stdout.readline().strip()
        assert self.url.startswith("http://"), "the server ended at once; see its standard error"

    def stop(self, *, kill: bool = False) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdout is not None
        (process.kill if kill else process.terminate)()
        try:
            status = process.wait(STOP_S)
        finally:
            process.kill()
            process.stdout.close()
            process.wait()
        assert kill or status == 0

    @property
    def admin_key(self) -> str:
        return (self.folder / "keys" / "admin.key").read_text().strip()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that all tests share; each has things of its own in it."""
    yield from _run_server(tmp_path_factory.mktemp("server") / "db")


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server which the test may stop, kill and start."""
    yield from _run_server(tmp_path / "db")


def _run_server(folder: Path) -> Iterator[Server]:
    from connectordb.core.folder import Folder

    Folder.create(folder, test=True)
    server = Server(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def db(server: Server) -> Iterator[ConnectorDB]:
    """The user ``test``, an administrator, by password. Its main device has no streams, and is left without."""
    with ConnectorDB("test", "test", url=server.url) as db:
        yield db
        for left in db.streams():
            left.delete()


@pytest.fixture
def root(server: Server) -> Iterator[ConnectorDB]:
    """The local administrator."""
    with ConnectorDB(server.admin_key, url=server.url) as db:
        yield db


_numbers = count(1)


@pytest.fixture
def device(db: ConnectorDB, server: Server) -> Iterator[ConnectorDB]:
    """A connection as a device of its own."""
    made: Device = db(f"test/d{next(_numbers)}")
    made.create()
    with ConnectorDB(made.apikey, url=server.url) as own:
        yield own
    made.delete()


@pytest.fixture
def fresh_name() -> str:
    """A name that nothing has yet."""
    return f"fresh{next(_numbers)}"


@pytest.fixture
def any_values(device: ConnectorDB) -> Any:
    """An empty stream of any values, to which the connection of its device writes."""
    stream = device["any"]
    stream.create()
    return stream


class FakeTransport:
    """Answers from a script: each entry is a reply, an error to raise, or a status with a body.

    Attributes:
        sent: The requests: method, target, headers, body.
        slept: How long the session waited between attempts.
    """

    url = "fake:"

    def __init__(self, *script: Reply | Exception | tuple[int, bytes]) -> None:
        self.script = list(script)
        self.sent: list[tuple[str, str, Mapping[str, str], bytes | None]] = []
        self.slept: list[float] = []
        self.closed = False

    def request(
        self, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Reply:
        self.sent.append((method, target, headers, body))
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Reply) else Reply(answer[0], {}, answer[1])

    def stream(
        self, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Any:
        raise AssertionError("nothing reads answers in pieces here")

    def clone(self, breaker: object = None) -> FakeTransport:
        return self

    def close(self) -> None:
        self.closed = True

    def session(self, *, rand: Callable[[], float] = lambda: 1.0, **settings: Any) -> Session:
        """A session whose clock goes on by what it sleeps, and in no other way."""
        return Session(
            self,
            Credentials("u", "p"),
            sleep=self.slept.append,
            rand=rand,
            clock=lambda: 1000.0 + sum(self.slept),
            **settings,
        )


@pytest.fixture
def fake() -> type[FakeTransport]:
    """Makes a transport that answers from a script."""
    return FakeTransport


class Proxy:
    """Passes bytes on to a server, and breaks connections on demand.

    Attributes:
        faults: One for each of the next connections; later ones are left alone. ``None``: leave it alone. ``0`` and
            more: cut after that many bytes of the answer; below ``0``: let nothing more through after so many.
            ``"request"``: cut after the first bytes of the request, which the server never sees.
        connections: How many there have been.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.removeprefix("http://").partition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.faults: list[int | str | None] = []
        self.connections = 0
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        while self._threads:
            self._threads.pop(0).join(20)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            fault = self.faults.pop(0) if self.faults else None
            thread = threading.Thread(target=self._serve, args=(client, fault))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket, fault: int | str | None) -> None:
        with client, suppress(OSError):
            if fault == "request":
                client.recv(20)
                return
            with socket.create_connection(self._target) as server:
                left = abs(fault) if isinstance(fault, int) else None
                while True:
                    readable, _, _ = select.select([client, server], [], [], 20)
                    if not readable:
                        return
                    for one, other in ((client, server), (server, client)):
                        if one not in readable:
                            continue
                        data = one.recv(65536)
                        if one is server and left is not None:
                            data, left = data[:left], left - len(data)
                            if data:
                                client.sendall(data)
                            if left <= 0:
                                while isinstance(fault, int) and fault < 0 and client.recv(65536):
                                    pass
                                return
                            continue
                        if not data:
                            return
                        other.sendall(data)


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """A proxy in front of `server`."""
    proxy = Proxy(server.url)
    yield proxy
    proxy.close()


@pytest.fixture
def answering() -> Callable[..., Any]:
    """Makes a server that answers each connection with given bytes: ``with answering(b"...", ...) as url``.

    ``None`` says nothing, and ``(b"...",)`` nothing more, until the other side gives up.
    """

    @contextmanager
    def run(*answers: bytes | tuple[bytes] | None) -> Iterator[str]:
        listener = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            for answer in answers:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client, suppress(OSError):
                    client.settimeout(20)
                    client.recv(65536)
                    if isinstance(answer, bytes):
                        client.sendall(answer)
                    else:
                        client.sendall(answer[0] if answer else b"")
                        client.recv(65536)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join(20)

    return run
