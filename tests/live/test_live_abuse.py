"""Clients that send what no client should, or too much of it."""

from __future__ import annotations

import base64
import json
import os
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from conditions import metric, until
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as websocket

from connectordb import ConnectorDB
from live_server import LiveServer

Connect = Callable[..., ConnectorDB]

MEMORY = 80_000_000
"""So much more than before it may take afterwards."""
BASIC = "Basic " + base64.b64encode(b"test:test").decode()
HANDSHAKE = (
    b"GET /api/v1/websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: "
    + BASIC.encode()
    + b"\r\n\r\n"
)


@pytest.fixture(autouse=True)
def healthy(server: LiveServer, connect: Connect, fresh_name: str) -> Iterator[None]:
    """After each test the server is as well as before: it answers, delivers, and has not grown nor said much."""
    db = connect("test", "test", url=server.url)
    stream = db[f"healthy{fresh_name}"]
    stream.create()
    got: list[Any] = []
    stream.subscribe(lambda _, data: got.extend(data.d()))
    stream.insert("before")
    until(lambda: got, "the first datapoint")
    memory, lines = server.memory, len(server.log_lines())
    yield
    with urlopen(f"{server.url}/healthz", timeout=20) as answer:
        assert answer.status == 200
    stream.insert("after")
    until(lambda: got == ["before", "after"], "the second datapoint")
    assert server.memory - memory < MEMORY
    found = server.log_lines()[lines:]
    # Connections and requests have a line each; what goes wrong on one of them, one or two a second.
    other = [line for line in found if line["event"] not in ("request", "websocket_opened", "websocket_closed")]
    assert len(other) < 100, other[:3]
    assert [line for line in found if line["level"] in ("error", "critical")] == []
    assert max((len(json.dumps(line)) for line in found), default=0) < 3000


def open_socket(server: LiveServer, **settings: Any) -> ClientConnection:
    url = server.url.replace("http", "ws") + "/api/v1/websocket"
    headers = {"Authorization": BASIC}
    settings = {"max_size": None, "additional_headers": headers, "open_timeout": 30, **settings}
    return websocket(url, **settings)


def raw(server: LiveServer) -> socket.socket:
    """A websocket after its handshake, for bytes of any kind."""
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    sock.sendall(HANDSHAKE)
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = sock.recv(4096)
        answer += piece or b"\r\n\r\n"
    if not answer.startswith(b"HTTP/1.1 101"):
        sock.close()
        pytest.fail(answer.decode())
    return sock


def frame(payload: bytes, first: int = 0x81, *, masked: bool = True, length: int | None = None) -> bytes:
    n = len(payload) if length is None else length
    bit = 0x80 if masked else 0
    if n < 126:
        head = bytes((first, bit | n))
    elif n < 65536:
        head = bytes((first, bit | 126)) + n.to_bytes(2, "big")
    else:
        head = bytes((first, bit | 127)) + n.to_bytes(8, "big")
    return head + (b"\0\0\0\0" if masked else b"") + payload


def end_of(sock: socket.socket) -> int:
    """Read until the server closes, and return the code; 0: without one."""
    data = b""
    with sock, suppress(ConnectionResetError):
        while piece := sock.recv(65536):
            data += piece
    code = 0
    while len(data) >= 2:
        n = data[1] & 0x7F
        head = 2
        if n == 126:
            n, head = int.from_bytes(data[2:4], "big"), 4
        if data[0] & 0x0F == 8 and n >= 2:
            code = int.from_bytes(data[head : head + 2], "big")
        data = data[head + n :]
    return code


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(b"{}", masked=False), 1002),
        (frame(b"{}", 0xF1), 1002),  # reserved bits
        (frame(b"{}", 0x83), 1002),  # reserved kind
        (frame(b"x" * 126, 0x89), 1002),  # a long ping
        (frame(b"{}", 0x09), 1002),  # a ping in parts
        (frame(b"more", 0x80), 1002),  # goes on with nothing
        (frame(b"{", 0x01) + frame(b"{}", 0x81), 1002),  # begins anew in between
        (frame(b"", length=2**63 - 1), 1009),
        (frame(b"", length=2**40), 1009),
        (frame(b"\xff\xfe"), 1007),
        (frame(b"\xc3\x28 text"), 1007),
        (frame(b"not JSON"), 1007),
        (frame(b"[]"), 1007),
        (frame(b"7"), 1007),
        (frame(b""), 1007),
        (frame(b"[" * 100_000), 1007),
        (frame(b"\0", 0x82), 1007),
        (frame(b"\x01", 0x88), 1002),  # half of a code
        (frame(b"\x03\xe8bye", 0x88), 1000),
        (frame(b"\xff\xff\xff\xff", 0xC1), 1002),  # compressed, without being asked for
        (b"GET / HTTP/1.1\r\n\r\n", 1002),
        (b"\0" * 100_000, 1002),
    ],
)
def test_malformed_frame_closes_its_connection_with_a_code(server: LiveServer, sent: bytes, code: int) -> None:
    sock = raw(server)
    with suppress(OSError):
        sock.sendall(sent)
    assert end_of(sock) == code


def test_broken_compression_closes_the_connection(server: LiveServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as sock:
        sock.sendall(HANDSHAKE[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
        while b"\r\n\r\n" not in sock.recv(65536):
            pass
        sock.sendall(frame(b"\xff\xff\xff\xff", 0xC1))
        assert end_of(sock) in (1002, 1007)


def test_bomb_of_compressed_zeros_is_too_big(server: LiveServer) -> None:
    import zlib

    compressor = zlib.compressobj(9, wbits=-15)
    bomb = compressor.compress(b" " * 900_000_000) + compressor.flush(zlib.Z_SYNC_FLUSH)
    memory = server.memory
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as sock:
        sock.sendall(HANDSHAKE[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
        while b"\r\n\r\n" not in sock.recv(65536):
            pass
        with suppress(OSError):
            sock.sendall(frame(bomb[:-4], 0xC1))
        assert end_of(sock) in (1009, 0)
    assert server.memory - memory < MEMORY


def test_huge_message_closes_the_connection(server: LiveServer) -> None:
    with open_socket(server) as socket_, pytest.raises(ConnectionClosed) as e:
        socket_.send('{"cmd":"insert","arg":"test/user/x","d":[{"d":"' + "x" * 3_000_000 + '"}],"id":1}')
        socket_.recv(30)
    assert e.value.rcvd is not None
    assert e.value.rcvd.code == 1009


def test_message_in_ten_thousand_parts_is_read(server: LiveServer) -> None:
    message = b'{"cmd":"ping",' + b" " * 10_000 + b'"id":1}'
    sock = raw(server)
    parts = [message[i : i + 1] for i in range(len(message))]
    sent = b"".join(frame(part, 0x01 if i == 0 else 0x00) for i, part in enumerate(parts[:-1]))
    sock.sendall(sent + frame(parts[-1], 0x80))
    assert sock.recv(4096)[2:] == b'{"id":1,"ok":true}\n'
    sock.close()


def test_endless_message_in_parts_is_too_big(server: LiveServer) -> None:
    sock = raw(server)
    part = frame(b"x" * 60_000, 0x00)
    with suppress(OSError):
        sock.sendall(frame(b"x", 0x01))
        for _ in range(500):
            sock.sendall(part)
    assert end_of(sock) in (1009, 0)


@pytest.mark.parametrize(
    "command",
    [
        {},
        {"cmd": None},
        {"cmd": 5},
        {"cmd": ["subscribe"]},
        {"cmd": "x" * 10_000},
        {"cmd": "drop tables"},
        {"cmd": "subscribe"},
        {"cmd": "subscribe", "arg": None},
        {"cmd": "subscribe", "arg": 7},
        {"cmd": "subscribe", "arg": "a"},
        {"cmd": "subscribe", "arg": "a/b/c/d/e"},
        {"cmd": "subscribe", "arg": "test/user/" + "x" * 5000},
        {"cmd": "subscribe", "arg": "../../etc/passwd"},
        {"cmd": "subscribe", "arg": "*/*/*"},
        {"cmd": "subscribe", "arg": "test/user/nothing"},
        {"cmd": "subscribe", "arg": "test/meta/log", "cursor": "nonsense"},
        {"cmd": "subscribe", "arg": "test/meta/log", "cursor": "1.2-3-4-5"},
        {"cmd": "subscribe", "arg": "test/meta/log", "cursor": "9" * 300},
        {"cmd": "subscribe", "arg": "test/meta/log", "i1": "first"},
        {"cmd": "subscribe", "arg": "test/meta/log", "i1": 0, "since": 5},
        {"cmd": "subscribe", "arg": "test/meta/log", "transform": "if $ >"},
        {"cmd": "subscribe", "arg": "test/meta/log", "requests": True},
        {"cmd": "subscribe", "arg": "test/*/*", "cursors": {"a": "b"}, "cursor": "x"},
        {"cmd": "insert"},
        {"cmd": "insert", "arg": "test/user/nothing", "d": [{"d": 1}]},
        {"cmd": "insert", "arg": "test/meta/log", "d": "no array"},
        {"cmd": "insert", "arg": "test/meta/log", "d": [{"d": 1}], "mode": "sideways"},
        {"cmd": "insert", "arg": "test/meta/log", "d": [{"d": 1}], "key": ""},
        {"cmd": "insert", "arg": "test/meta/log", "d": [{"d": 1}], "key": "k" * 100_000},
    ],
    ids=lambda command: json.dumps(command)[:60],
)
def test_bad_command_is_answered_or_passed_over(server: LiveServer, command: dict[str, Any]) -> None:
    with open_socket(server) as socket_:
        socket_.send(json.dumps({**command, "id": 1}))
        answer = json.loads(socket_.recv(30))
        assert answer["id"] == 1
        assert 400 <= answer["code"] < 500 or answer["code"] == 501, answer
        assert answer["msg"]
        assert answer["ref"]
        assert len(answer["msg"]) < 1000
        # Commands without an id are those of clients which would not understand an answer.
        socket_.send(json.dumps(command))
        socket_.send('{"cmd":"ping","id":2}')
        assert json.loads(socket_.recv(30)) == {"id": 2, "ok": True}


@pytest.mark.parametrize("kind", ["missing", "same", "pattern"])
def test_ten_thousand_subscriptions_are_answered(server: LiveServer, connect: Connect, kind: str) -> None:
    arg = {"missing": "test/user/none{}", "same": "test/meta/log", "pattern": "test/*/*"}[kind]
    codes: dict[int, int] = {}
    n = 10_000 if kind != "pattern" else 1_000
    with open_socket(server, compression=None) as socket_:
        began = time.monotonic()
        for i in range(n):
            socket_.send(json.dumps({"cmd": "subscribe", "arg": arg.format(i), "id": i}))
        for _ in range(n):
            answer = json.loads(socket_.recv(60))
            codes[answer["id"]] = answer.get("code", 200)
        assert time.monotonic() - began < 60
        assert set(codes) == set(range(n))
        assert set(codes.values()) == ({403} if kind == "missing" else {200})
        socket_.send('{"cmd":"unsubscribe_all","id":0}')
        assert json.loads(socket_.recv(30)) == {"id": 0, "ok": True}


def test_number_of_subscriptions_of_a_connection_is_limited(server: LiveServer, connect: Connect) -> None:
    db = connect("test", "test", url=server.url)
    device = db(f"test/many{os.getpid()}")
    device.create(streams={f"s{i}": {} for i in range(1010)})
    with open_socket(server, compression=None) as socket_:
        for i in range(1010):
            socket_.send(json.dumps({"cmd": "subscribe", "arg": f"{device.path}/s{i}", "id": i}))
        codes = sorted(json.loads(socket_.recv(60)).get("code", 200) for _ in range(1010))
    assert codes == [200] * 1000 + [403] * 10
    device.delete()


def test_a_thousand_connections_at_once(server: LiveServer) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 3000:
        pytest.skip("this system does not allow so many open files")
    before = server.memory
    with ExitStack() as open_:
        open_.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))
        socks = []
        for _ in range(1000):
            sock = open_.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60))
            sock.sendall(HANDSHAKE + frame(b'{"cmd":"subscribe","arg":"test/meta/log","id":1}'))
            socks.append(sock)
        for sock in socks:
            data = b""
            while b'"ok":true' not in data:
                piece = sock.recv(4096)
                assert piece, data
                data += piece
        assert server.memory - before < 1000 * 60_000
        assert metric(server, "connectordb_websockets") >= 1000
        for sock in socks[::2]:
            sock.close()
    until(lambda: metric(server, "connectordb_websockets") <= 1, "the server notices that they have gone")
    until(lambda: metric(server, "connectordb_subscriptions") <= 1, "the end of their subscriptions")


def test_client_that_reads_no_answers_is_not_read_from_either(server: LiveServer) -> None:
    sock = raw(server)
    before = server.memory
    sock.settimeout(5)
    # A bad command: its answer is longer than it.
    some = frame(b'{"cmd":"x","id":1}') * 2000
    sent = 0
    with suppress(TimeoutError, OSError):
        while sent < 200_000_000:
            sent += sock.send(some)
    assert sent < 200_000_000, "the server takes whatever comes"
    assert server.memory - before < MEMORY
    sock.close()
    until(lambda: metric(server, "connectordb_websockets") <= 1, "the server notices that it has gone")


def test_connections_that_say_nothing_or_half_are_no_burden(server: LiveServer) -> None:
    with ExitStack() as open_:
        for i in range(200):
            sock = open_.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            sock.sendall(HANDSHAKE[: i * 2])
            if i % 4 == 0:
                half = open_.enter_context(raw(server))
                half.sendall(frame(b'{"cmd":"ping"', length=1000)[: 10 + i % 20])
        with urlopen(f"{server.url}/healthz", timeout=20) as answer:
            assert answer.status == 200


def test_number_of_connections_is_limited(tmp_path: Path) -> None:
    server = LiveServer(tmp_path / "db", {"live.connections_max": 20})
    server.start()
    try:
        with ExitStack() as open_:
            for _ in range(20):
                open_.enter_context(raw(server))
            with pytest.raises(pytest.fail.Exception, match="503"):
                raw(server)
            request = Request(f"{server.url}/api/v1/live/test/meta/log", headers={"Authorization": BASIC})
            with pytest.raises(HTTPError, match="503") as e:
                urlopen(request, timeout=20)
            e.value.close()
            with urlopen(f"{server.url}/healthz", timeout=20) as answer:
                assert answer.status == 200
        until(lambda: metric(server, "connectordb_websockets") == 0, "the server notices that they have gone")
        raw(server).close()
    finally:
        server.stop()
    assert server.faults() == []
