"""PostgreSQL, as far as single inserts go: a row each, by a prepared statement, committed by itself."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from .catalogue import POSTGRESQL
from .exchange import TIMEOUT_S
from .peers import Peer, PeerError, Read, free_port, said
from .timing import Timed

__all__ = ["PostgreSQL", "Session", "Statements"]

_USER = "bench"
_DATABASE = "postgres"
_SERVICE = "postgres"
_PROTOCOL = 3 << 16
_RECV_BYTES = 1 << 16


class PostgreSQL(Peer):
    """PostgreSQL with its default settings: a commit is synced before the answer.

    It does not run as root. For root it runs as the user ``postgres``, if there is one.
    """

    key = POSTGRESQL
    program = "postgres"
    durable = True

    def __init__(self, path: Path) -> None:
        path.mkdir()
        if _other_user():
            path.parent.chmod(0o755)
            shutil.chown(path, _SERVICE)
        done = subprocess.run(
            [_initdb(), "-D", path.resolve(), "-U", _USER, "-A", "trust", "--no-sync"],
            user=_other_user(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise PeerError(f"initdb failed: {done.stderr}")
        super().__init__(path)
        with Session(self.host, self.port) as session:
            session.query("CREATE TABLE points (s text, t float8, d float8, PRIMARY KEY (s, t))")

    @classmethod
    def is_installed(cls) -> bool:
        """Whether it is on this machine, and may be run."""
        return shutil.which(cls.program) is not None and Path(_initdb()).exists() and (os.geteuid() > 0 or _has_user())

    @classmethod
    def version(cls) -> str:
        """Return its name and version."""
        return said(cls.program, "--version").replace("postgres (PostgreSQL)", "PostgreSQL")

    def command(self, *, settle: bool) -> list[str]:
        """Return how to run it: on a free port, without a socket in a folder that others share."""
        self.port = free_port()
        path = str(self.path.resolve())
        return [self.program, "-D", path, "-h", self.host, "-p", str(self.port), "-c", "unix_socket_directories="]

    def alive(self) -> None:
        """Connect. Raises `OSError` if it does not answer."""
        Session(self.host, self.port).close()

    def stored(self, stream: str) -> Read:
        """Return the datapoints of a stream."""
        with Session(self.host, self.port) as session:
            rows = session.query(f"SELECT t, d FROM points WHERE s = '{stream}' ORDER BY t")
        return [(round(float(t) * 1000), float(d)) for t, d in rows]

    def user(self) -> str | None:
        """Return ``postgres`` if root runs the benchmark."""
        return _other_user()


class Session:
    """A connection to PostgreSQL, of whose protocol only what is needed here is known."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = b""
        said = b"user\0%s\0database\0%s\0\0" % (_USER.encode(), _DATABASE.encode())
        try:
            self.exchange(struct.pack("!II", len(said) + 8, _PROTOCOL) + said)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, without a goodbye."""
        self._socket.close()

    def query(self, text: str) -> list[tuple[str, ...]]:
        """Run *text*, and return the rows that it gives."""
        answer = self.exchange(message(b"Q", text.encode() + b"\0"))
        return [tuple(_fields(body)) for kind, body in answer if kind == b"D"]

    def exchange(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Send *data*, and return what comes until it is ready again. Raises `OSError` if that is an error."""
        self._socket.sendall(data)
        messages: list[tuple[bytes, bytes]] = []
        while True:
            while len(self._data) >= 5 and len(self._data) > (length := struct.unpack_from("!I", self._data, 1)[0]):
                kind, body = self._data[:1], self._data[5 : length + 1]
                self._data = self._data[length + 1 :]
                if kind == b"E":
                    raise OSError(f"PostgreSQL says {body.replace(bytes(1), b' ')!r}")
                if kind == b"Z":
                    return messages
                messages.append((kind, body))
            more = self._socket.recv(_RECV_BYTES)
            if not more:
                raise OSError("PostgreSQL closed the connection")
            self._data += more


@dataclass
class Statements:
    """Inserts datapoints one by one, each committed before the next is sent."""

    host: str
    port: int
    stream: str
    points: list[tuple[float, float]]

    def __call__(self, ready: Callable[[], None]) -> Timed:
        """Connect, prepare the statement, call *ready*, and insert."""
        with Session(self.host, self.port) as session:
            statement = b"insert\0INSERT INTO points VALUES ($1, $2, $3)\0\0\0"
            sync = message(b"S", b"")
            session.exchange(message(b"P", statement) + sync)
            run = message(b"E", b"\0\0\0\0\0") + sync
            stream = self.stream.encode()
            requests = [_bind(stream, t, d) + run for t, d in self.points]
            timed = Timed()
            ready()
            for request in requests:
                begun = perf_counter()
                session.exchange(request)
                timed.ended.append(perf_counter())
                timed.begun.append(begun)
        return timed


def message(kind: bytes, body: bytes) -> bytes:
    """Return a message as it goes over the wire."""
    return kind + struct.pack("!I", len(body) + 4) + body


def _bind(stream: bytes, t: float, d: float) -> bytes:
    """Return the message that gives the statement its values: a text, and two numbers in their binary form."""
    values = struct.pack(f"!I{len(stream)}sIdId", len(stream), stream, 8, t, 8, d)
    return message(b"B", b"\0insert\0" + struct.pack("!4hh", 3, 0, 1, 1, 3) + values + b"\0\0")


def _fields(row: bytes) -> Iterator[str]:
    at = 2
    for _ in range(int.from_bytes(row[:2], "big")):
        length = int.from_bytes(row[at : at + 4], "big")
        yield row[at + 4 : at + 4 + length].decode()
        at += 4 + length


def _initdb() -> str:
    """Return where ``initdb`` is: beside the program, whose link alone may be on the path."""
    program = shutil.which("postgres") or ""
    return str(Path(program).resolve().with_name("initdb"))


def _other_user() -> str | None:
    return _SERVICE if os.geteuid() == 0 else None


def _has_user() -> bool:
    try:
        return pwd.getpwnam(_SERVICE).pw_uid != 0
    except KeyError:
        return False
