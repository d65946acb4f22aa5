"""HTTP over a bare socket, so that the client costs as little as can be."""

from __future__ import annotations

import socket
from base64 import b64encode
from typing import NamedTuple

__all__ = ["Answer", "Connection", "basic", "encode_request"]

TIMEOUT_S = 120.0
_RECV_BYTES = 1 << 18
_LAST_CHUNK = b"0\r\n\r\n"
_NO_CONTENT = b"http/1.1 204"


class Answer(NamedTuple):
    """The body of an answer, as it came over the wire."""

    raw: bytes
    chunked: bool

    def body(self) -> bytes:
        """Return the body without the sizes of its chunks."""
        if not self.chunked:
            return self.raw
        parts: list[bytes] = []
        at = 0
        while True:
            end = self.raw.index(b"\r\n", at)
            size = int(self.raw[at:end].split(b";")[0], 16)
            if size == 0:
                return b"".join(parts)
            parts.append(self.raw[end + 2 : end + 2 + size])
            at = end + 2 + size + 2


class Connection:
    """A keep-alive connection."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange(self, request: bytes) -> Answer:
        """Send *request* and return the answer.

        Raises:
            OSError: no answer, or another one than 200 and 204.
        """
        self._socket.sendall(request)
        data, end, length = self._head(request)
        if length is not None:
            return Answer(self._rest(data, end, end + length), False)
        return Answer(self._chunks(data, end), True)

    def count(self, request: bytes, what: bytes) -> int:
        """Send *request*, and return how often *what* occurs in the answer, of which nothing is kept.

        Raises:
            OSError: no answer, or another one than 200; or it ends before its end.
        """
        self._socket.sendall(request)
        found, end, length = self._head(request)
        found = found[end:]
        if length is not None:
            return self._rest(found, 0, length).count(what)
        n = 0
        while not found.endswith(_LAST_CHUNK):
            n += found.count(what)
            found = found[1 - len(what) :] + self._receive()  # what is cut in two is still to be found
        return n + found.count(what)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _head(self, request: bytes) -> tuple[bytes, int, int | None]:
        """Return what has come, where its head ends, and how long the body is, if that is said."""
        data = self._receive()
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._receive()
        end += 4
        head = data[:end].lower()
        if head.startswith(_NO_CONTENT):
            return data, end, 0
        if not head.startswith(b"http/1.1 200"):
            raise OSError(f"{request[:100]!r} was answered {head[:30]!r}: {data[end : end + 300]!r}")
        at = head.find(b"content-length:")
        return data, end, None if at < 0 else int(head[at + 15 : head.index(b"\r\n", at)])

    def _receive(self) -> bytes:
        data = self._socket.recv(_RECV_BYTES)
        if not data:
            raise OSError("the server closed the connection")
        return data

    def _rest(self, data: bytes, start: int, stop: int) -> bytes:
        if len(data) == stop:
            return data[start:]
        parts = [data[start:]]
        missing = stop - len(data)
        while missing:
            parts.append(self._receive())
            missing -= len(parts[-1])
        return b"".join(parts)

    def _chunks(self, data: bytes, start: int) -> bytes:
        parts = [data[start:]]
        tail = parts[0][-len(_LAST_CHUNK) :]
        while tail != _LAST_CHUNK:
            parts.append(self._receive())
            tail = (tail + parts[-1])[-len(_LAST_CHUNK) :]
        return b"".join(parts)


def basic(user: str, secret: str) -> str:
    """Return the header with which *user* (empty: a device) says who it is."""
    return f"Authorization: Basic {b64encode(f'{user}:{secret}'.encode()).decode()}"


def encode_request(method: str, target: str, header: str, body: bytes | None = None) -> bytes:
    """Return the bytes of a request; *header* is a line of its head: who asks, or what for."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", header]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")
