"""HTTP on a connection: bounds in time, pipelining, long bodies."""

from __future__ import annotations

import json
import socket
import time
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
    monkeypatch.setattr("connectordb.server.protocol.HEAD_S", 0.2)
    client = live.client()
    for _ in range(2):
        assert client("GET", "//healthz").status == 200
        time.sleep(0.4)
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


def test_upgrade_to_a_websocket_is_refused_in_our_form(live: Any) -> None:
    answer = live.raw(
        b"GET /api/v1/websocket HTTP/1.1\r\n" + AUTH + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        timeout=5,
    )
    assert answer.startswith(b"HTTP/1.1 501 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"] == "unsupported"
