"""HTTP on a connection: bounds in time, pipelining, long bodies."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connectordb import __version__

AUTH = b"Host: x\r\nAuthorization: Basic dGVzdDp0ZXN0\r\n"


def receive_all(s: socket.socket) -> bytes:
    parts = []
    while part := s.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_request_that_never_becomes_complete_is_given_up(live: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectordb.server.protocol.HEAD_S", 0.3)
    with socket.create_connection(("127.0.0.1", live.port), timeout=5) as s:
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        answer = receive_all(s)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == 408
    with socket.create_connection(("127.0.0.1", live.port), timeout=5) as s:
        assert receive_all(s) == b""  # said nothing, hears nothing


def test_trickling_headers_do_not_buy_time(live: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectordb.server.protocol.HEAD_S", 0.5)
    with socket.create_connection(("127.0.0.1", live.port), timeout=5) as s:
        started = time.monotonic()
        s.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        s.settimeout(0.1)
        answer = b""
        while not answer and time.monotonic() - started < 4:
            try:
                answer = s.recv(1000)
            except TimeoutError:
                s.sendall(b"x")
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_idle_connection_outlives_the_time_for_headers(live: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectordb.server.protocol.HEAD_S", 0.5)
    client = live.client()
    for _ in range(2):
        assert client("GET", "//healthz").status == 200
        time.sleep(0.8)
    connection = client._connection.sock
    assert client("GET", "//healthz").status == 200
    assert client._connection.sock is connection


def test_pause_in_mid_body_is_bounded(live: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectordb.server.request.BODY_PAUSE_S", 0.3)
    with socket.create_connection(("127.0.0.1", live.port), timeout=5) as s:
        s.sendall(b"POST /api/v1/crud/test/user/s/data HTTP/1.1\r\n" + AUTH + b"Content-Length: 10\r\n\r\n[")
        assert s.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_pipelined_requests_are_answered_in_order(live: Any) -> None:
    requests = [
        b"GET %s HTTP/1.1\r\n" % target + AUTH + b"\r\n"
        for target in (b"/healthz", b"/nosuch", b"/api/v1/meta/version")
    ]
    last = b"GET /api/v1/?q=this HTTP/1.1\r\n" + AUTH + b"Connection: close\r\n\r\n"
    rest = live.raw(b"".join(requests) + last)
    found = []
    while rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        found.append((int(head[9:12]), rest[:length]))
        rest = rest[length:]
    assert [status for status, _ in found] == [200, 404, 200, 200]
    assert (found[0][1], found[2][1], found[3][1]) == (b"ok", __version__.encode(), b"test/user")


def test_body_in_many_pieces(live: Any) -> None:
    live.client()("POST", "/crud/test/user/pieces", {})
    body = b'[{"t":1,"d":"%s"}]' % (b"x" * 500)
    with socket.create_connection(("127.0.0.1", live.port), timeout=5) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = b"POST /api/v1/crud/test/user/pieces/data HTTP/1.1\r\n" + AUTH + b"Transfer-Encoding: chunked\r\n\r\n"
        for i in range(0, len(head), 7):
            s.sendall(head[i : i + 7])
        for i in range(0, len(body), 100):
            piece = body[i : i + 100]
            s.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
            time.sleep(0.005)
        s.sendall(b"0\r\n\r\n")
        assert s.recv(1000).endswith(b"\r\n\r\nok")


def test_answers_of_any_length_are_whole(live: Any) -> None:
    client = live.client()
    client("POST", "/crud/test/user/long", {})
    for n in (1, 1000, 5000, 9000):
        points = [{"t": float(i), "d": i} for i in range(1, n + 1)]
        assert client("PATCH", "/crud/test/user/long/data", points).status == 200
        assert client("GET", f"/crud/test/user/long/data?i1=-{n}").json()[-1]["t"] > 0
        answer = client("GET", "/crud/test/user/long/data?i1=0")
        assert len(answer.json()) == int(client("GET", "/crud/test/user/long/data?q=length").text)


def test_http_1_0_and_connection_close(live: Any) -> None:
    for request in (
        b"GET /healthz HTTP/1.0\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ):
        answer = live.raw(request)
        assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\nok")
        assert b"connection: close" in answer


class Answers:
    """What comes back on a connection, one answer after the other."""

    def __init__(self, s: socket.socket) -> None:
        self._s = s
        self._data = b""

    def next(self) -> tuple[int, bytes]:
        head = self._until(lambda: self._data.find(b"\r\n\r\n") + 4 if b"\r\n\r\n" in self._data else None)
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return int(head[9:12]), self._until(lambda: length if len(self._data) >= length else None)

    def _until(self, end: Callable[[], int | None]) -> bytes:
        while (n := end()) is None:
            part = self._s.recv(65536)
            assert part, self._data
            self._data += part
        taken, self._data = self._data[:n], self._data[n:]
        return taken


@pytest.fixture
def connected(live: Any) -> Iterator[tuple[socket.socket, Answers]]:
    with socket.create_connection(("127.0.0.1", live.port), timeout=5) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield s, Answers(s)


_POINTS = b'[{"t":1,"d":1},{"t":2,"d":2}]'


@pytest.mark.parametrize("name", [b"h2c", b"websocket", b"TLS/1.0"])
@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"Content-Length: %d" % len(_POINTS), _POINTS),
        (b"Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(_POINTS), _POINTS)),
    ],
    ids=["length", "chunked"],
)
@pytest.mark.parametrize("split", ["none", "body", "middle", "bytes"])
def test_wish_for_another_protocol_is_ignored(
    live: Any, connected: tuple[socket.socket, Answers], name: bytes, framing: bytes, body: bytes, split: str
) -> None:
    s, answers = connected
    client = live.client()
    client("POST", "/crud/test/user/up", {})
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: " + name + b"\r\nHTTP2-Settings: AAMAAABk\r\n"
    head = b"POST /api/v1/crud/test/user/up/data HTTP/1.1\r\n" + AUTH + upgrade + framing + b"\r\n\r\n"
    follows = b"GET /api/v1/crud/test/user/up/data?q=length HTTP/1.1\r\n" + AUTH + upgrade + b"\r\n"
    match split:
        case "none":
            parts = [head + body + follows]
        case "body":
            parts = [head, body + follows]
        case "middle":
            parts = [head + body[:10], body[10:], follows[:50], follows[50:]]
        case _:
            whole = head + body + follows
            parts = [whole[i : i + 1] for i in range(len(whole))]
    for part in parts:
        s.sendall(part)
        time.sleep(0.001 if split == "bytes" else 0.02)
    assert [answers.next(), answers.next()] == [(200, b"ok"), (200, b"2")]
    client("DELETE", "/crud/test/user/up")


def test_connect_is_refused(live: Any) -> None:
    for target in (b"example.org:80", b"/"):
        answer = live.raw(b"CONNECT " + target + b" HTTP/1.1\r\n" + AUTH + b"\r\nxyz")
        assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("size", [66_000, 100_000, 200_000, 2_000_000])
@pytest.mark.parametrize("name", [b"X-A: ", b"Upgrade: h2c\r\nConnection: Upgrade\r\nX-A: "])
def test_headers_that_are_too_large_are_refused_with_an_answer(
    live: Any, size: int, name: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectordb.server.protocol.LINGER_S", 20.0)
    many = b"".join(b"X-%d: %b\r\n" % (i, b"a" * 1000) for i in range(size // 1000))
    for headers in (name + b"a" * size + b"\r\n", many):
        request = b"GET /healthz HTTP/1.1\r\n" + AUTH + headers + b"\r\n"
        started = time.monotonic()
        answer = live.raw(request, timeout=30)
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == 431
        assert time.monotonic() - started < 10  # who waits for the end does not wait for the server's patience


def test_headers_that_are_not_too_large_are_taken(connected: tuple[socket.socket, Answers]) -> None:
    s, answers = connected
    request = b"GET /healthz HTTP/1.1\r\n" + AUTH + b"X-A: " + b"a" * 65_000 + b"\r\n\r\n"
    s.sendall(request * 5)
    assert [answers.next() for _ in range(5)] == [(200, b"ok")] * 5


def test_connection_of_who_was_refused_ends(live: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectordb.server.protocol.LINGER_S", 0.3)
    with socket.create_connection(("127.0.0.1", live.port), timeout=5) as s:
        s.sendall(b"nonsense\r\n\r\n")
        assert receive_all(s).startswith(b"HTTP/1.1 400 ")
        with pytest.raises(OSError):
            for _ in range(40):
                s.sendall(b"more")
                time.sleep(0.05)


def test_what_was_asked_before_is_answered_before_the_refusal(live: Any) -> None:
    client = live.client()
    client("POST", "/crud/test/user/before", {})
    insert = (
        b"POST /api/v1/crud/test/user/before/data HTTP/1.1\r\n" + AUTH + b"Content-Length: 9\r\n\r\n" + b'[{"d":1}]'
    )
    answer = live.raw(insert * 2 + b"nonsense\r\n\r\n")
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"400"]
    assert client("GET", "/crud/test/user/before/data?q=length").text == "2"


def test_body_that_nobody_reads_does_not_count_as_headers(connected: tuple[socket.socket, Answers]) -> None:
    s, answers = connected
    body = b"x" * 500_000
    s.sendall(b"POST /api/v1/nosuch HTTP/1.1\r\n" + AUTH + b"Content-Length: %d\r\n\r\n" % len(body))
    assert answers.next()[0] == 404
    s.sendall(body + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answers.next() == (200, b"ok")
