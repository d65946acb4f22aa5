"""A real server on a free port, and ways to speak to it."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from connectordb.core.folder import Folder
from connectordb.server.run import Server, listen

API = "/api/v1"
TEST = ("test", "test")


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One keep-alive connection."""

    def __init__(self, port: int, auth: tuple[str, str] | None = TEST) -> None:
        self.port = port
        self.auth = auth
        self._connection = HTTPConnection("127.0.0.1", port, timeout=30)

    def __call__(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        auth: tuple[str, str] | str | None = "own",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request to a target below /api/v1, or to any if it begins with two slashes."""
        sent = dict(headers or {})
        credentials = self.auth if auth == "own" else auth
        if isinstance(credentials, tuple):
            sent["Authorization"] = basic(*credentials)
        if body is not None and not isinstance(body, bytes | str):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        path = target[1:] if target.startswith("//") else API + target
        self._connection.request(method, path, body, sent)
        response = self._connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())

    def close(self) -> None:
        self._connection.close()


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Live:
    """A server in a thread of this process."""

    def __init__(self, path: Path, prepare: Callable[[Path], None] | None = None, **options: Any) -> None:
        self.path = path
        if not path.exists():
            Folder.create(path, test=True)
        if prepare is not None:
            prepare(path)
        self.folder = Folder.open(path, environ={}, options={"log.level": "error", **options})
        self._clients: list[Client] = []
        self._ready = threading.Event()
        self.port = 0
        self.server = Server(self.folder.core, self.folder.settings, listen("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(30)

    def _run(self) -> None:
        try:
            self.server.run(self._announce)
        finally:
            self._ready.set()

    def _announce(self, host: str, port: int) -> None:
        self.port = port
        self._ready.set()

    def client(self, auth: tuple[str, str] | None = TEST) -> Client:
        client = Client(self.port, auth)
        self._clients.append(client)
        return client

    def raw(self, data: bytes, timeout: float = 10) -> bytes:
        """Send bytes and return all that comes back until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as s:
            s.sendall(data)
            return receive_all(s)

    def stop(self) -> None:
        for client in self._clients:
            client.close()
        self.server.stop()
        self._thread.join(30)
        assert not self._thread.is_alive()
        self.folder.close()


def receive_all(s: socket.socket) -> bytes:
    parts = []
    while part := s.recv(65536):
        parts.append(part)
    return b"".join(parts)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server that the tests of a module share."""
    server = Live(tmp_path_factory.mktemp("server") / "db")
    yield server
    server.stop()


@pytest.fixture
def make_live(tmp_path: Path) -> Iterator[Callable[..., Live]]:
    """Starts servers of this test's own; *prepare* gets the folder, options are as in connectordb.toml."""
    made: list[Live] = []

    def make(prepare: Callable[[Path], None] | None = None, **options: Any) -> Live:
        made.append(Live(tmp_path / f"db{len(made)}", prepare, **options))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def client(live: Live) -> Iterator[Client]:
    """A connection of the user test, who is an administrator."""
    client = Client(live.port)
    yield client
    client.close()
