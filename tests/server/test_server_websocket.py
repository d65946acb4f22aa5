"""The websocket: handshake, frames, commands, and what comes of them."""

from __future__ import annotations

import base64
import json
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

AUTH = "Basic " + base64.b64encode(b"test:test").decode()
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = {
    "Host": "x",
    "Authorization": AUTH,
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}


class Ws:
    """A websocket whose commands are answered."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.id = 0

    def send(self, *commands: Any) -> None:
        for command in commands:
            self.connection.send(command if isinstance(command, str | bytes) else json.dumps(command))

    def recv(self, timeout: float = 10) -> Any:
        text = self.connection.recv(timeout)
        assert isinstance(text, str) and text.endswith("\n")
        return json.loads(text)

    def ask(self, cmd: str, **fields: Any) -> Any:
        """Send a command and return its answer, which has to be what comes next."""
        self.id += 1
        self.send({"cmd": cmd, "id": self.id, **fields})
        answer = self.recv()
        assert answer.pop("id") == self.id
        return answer

    def silent(self) -> bool:
        """Whether nothing has come that was caused by what was done before."""
        return self.ask("ping") == {"ok": True}

    def closed(self, timeout: float = 10) -> tuple[int, str]:
        """Wait until the server closes, and return code and reason."""
        try:
            while True:
                self.connection.recv(timeout)
        except ConnectionClosed as e:
            return (e.rcvd.code, e.rcvd.reason) if e.rcvd else (1006, "")


@contextmanager
def opened(live: Any, auth: str | None = AUTH, query: str = "", **options: Any) -> Iterator[Ws]:
    headers = {"Authorization": auth} if auth else {}
    url = f"ws://127.0.0.1:{live.port}/api/v1/websocket{query}"
    with connect(url, additional_headers=headers, max_size=None, ping_interval=None, **options) as connection:
        yield Ws(connection)


@pytest.fixture
def ws(live: Any) -> Iterator[Ws]:
    with opened(live) as ws:
        yield ws


@pytest.fixture
def stream(live: Any, request: pytest.FixtureRequest) -> Iterator[str]:
    """The path of a stream of the user's device."""
    client = live.client()
    name = f"s{abs(hash(request.node.nodeid)) % 10**9}"
    assert client("POST", f"/crud/test/user/{name}", {}).status == 200
    yield f"test/user/{name}"
    client("DELETE", f"/crud/test/user/{name}")


# The handshake


def handshake(changes: dict[str, str | None] | None = None, line: str = "GET /api/v1/websocket HTTP/1.1") -> bytes:
    headers = {**HANDSHAKE, **(changes or {})}
    lines = [line, *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def test_handshake(live: Any) -> None:
    with socket.create_connection(("127.0.0.1", live.port), timeout=10) as s:
        s.sendall(handshake())
        answer = s.recv(4096).decode()
    status, *headers = answer.split("\r\n")
    assert status == "HTTP/1.1 101 Switching Protocols"
    found = {name.lower(): value for name, _, value in (line.partition(": ") for line in headers if line)}
    assert found["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert (found["upgrade"], found["connection"]) == ("websocket", "Upgrade")
    assert "sec-websocket-extensions" not in found and "sec-websocket-protocol" not in found


@pytest.mark.parametrize(
    ("changes", "line", "status"),
    [
        ({"Upgrade": None, "Connection": None}, None, 426),
        ({"Upgrade": "h2c"}, None, 426),
        ({"Connection": "keep-alive"}, None, 426),
        ({"Sec-WebSocket-Version": "8"}, None, 426),
        ({"Sec-WebSocket-Version": None}, None, 400),
        ({"Sec-WebSocket-Key": None}, None, 400),
        ({"Sec-WebSocket-Key": "short"}, None, 400),
        ({"Sec-WebSocket-Key": "!" * 24}, None, 400),
        ({"Sec-WebSocket-Extensions": '"\\'}, None, 400),
        ({}, "GET /api/v1/websocket HTTP/1.0", 426),
        ({}, "HEAD /api/v1/websocket HTTP/1.1", 426),
        ({}, "POST /api/v1/websocket HTTP/1.1", 405),
        ({}, "GET /api/v1/websockets HTTP/1.1", 404),
        ({}, "GET /api/v1/websocket?x=1 HTTP/1.1", 400),
        ({"Authorization": "Basic " + base64.b64encode(b"test:wrong").decode()}, None, 401),
        ({"Content-Length": "4"}, None, 426),
    ],
)
def test_handshakes_that_are_refused(live: Any, changes: dict[str, str | None], line: str | None, status: int) -> None:
    request = handshake({"Connection": "Upgrade, close", **changes}, line or "GET /api/v1/websocket HTTP/1.1")
    if "Connection" in changes:
        request = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    answer = live.raw(request + (b"body" if "Content-Length" in changes else b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in head.lower()
    if not (line or "").startswith("HEAD"):
        assert json.loads(body)["code"] == status
    if status == 426:
        assert b"\r\nupgrade: websocket" in head and b"\r\nsec-websocket-version: 13" in head


def test_refused_handshake_ends_the_connection(live: Any) -> None:
    answer = live.raw(handshake({"Sec-WebSocket-Key": "short"}) + b"GET /healthz HTTP/1.1\r\n\r\n")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"Connection": "keep-alive, Upgrade"}, "GET /api/v1/websocket/ HTTP/1.1"),
        ({"Upgrade": "WebSocket", "Content-Length": "0"}, "GET http://x/api/v1/websocket HTTP/1.1"),
        ({"Sec-WebSocket-Protocol": "chat", "Origin": "http://elsewhere"}, "GET /api/v1/websocket HTTP/1.1"),
        ({"Sec-WebSocket-Extensions": "x-unknown; a=1"}, "GET /api/v1/websocket HTTP/1.1"),
    ],
)
def test_handshakes_that_are_unusual(live: Any, changes: dict[str, str | None], line: str) -> None:
    with socket.create_connection(("127.0.0.1", live.port), timeout=10) as s:
        s.sendall(handshake(changes, line))
        assert s.recv(4096).startswith(b"HTTP/1.1 101 ")


def test_what_comes_with_the_handshake_is_kept(live: Any) -> None:
    for early in (frame(b'{"cmd":"ping","id":1}') * 3, frame(b'{"cmd":"ping","id":1}') * 20_000):
        with socket.create_connection(("127.0.0.1", live.port), timeout=10) as s:
            s.sendall(handshake() + early)
            got = b""
            while got.count(b'{"id":1,"ok":true}\n') < early.count(b"\x81"):
                got += s.recv(65536)


def test_handshake_behind_other_requests(live: Any) -> None:
    ping = frame(b'{"cmd":"ping","id":1}')
    with socket.create_connection(("127.0.0.1", live.port), timeout=10) as s:
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 3 + handshake() + ping)
        got = b""
        while b'"ok":true' not in got:
            got += s.recv(65536)
    statuses = [part[:3] for part in got.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"200", b"200", b"101"]


def test_handshake_in_pieces(live: Any) -> None:
    data = handshake() + frame(b'{"cmd":"ping","id":1}')
    with socket.create_connection(("127.0.0.1", live.port), timeout=10) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(data)):
            s.sendall(data[i : i + 1])
            if i % 20 == 0:
                time.sleep(0.001)
        got = b""
        while b'"ok":true' not in got:
            got += s.recv(65536)


def test_client_that_goes_away_during_the_handshake(live: Any) -> None:
    wrong = "Basic " + base64.b64encode(b"test:wrong").decode()
    for changes in ({"Authorization": wrong}, {}):
        with socket.create_connection(("127.0.0.1", live.port), timeout=10) as s:
            s.sendall(handshake(changes))
    time.sleep(0.5)
    assert live.client()("GET", "//healthz").status == 200


def test_idle_websocket_outlives_the_times_of_http(make_live: Callable[..., Any], monkeypatch: Any) -> None:
    monkeypatch.setattr("connectordb.server.protocol.HEAD_S", 0.5)
    live = make_live(**{"server.keep_alive_s": 0.0})
    with opened(live) as ws:
        time.sleep(1.2)
        assert ws.silent()


# Who it is


def test_apikey_in_the_address(live: Any, stream: str) -> None:
    key = live.client()("GET", "/crud/test/user").json()["apikey"]
    with opened(live, None, f"?apikey={key}") as ws:
        assert ws.ask("subscribe", arg=stream)["ok"]


def test_nobody_may_connect_and_sees_nothing(live: Any, stream: str) -> None:
    with opened(live, None) as ws:
        answer = ws.ask("subscribe", arg=stream)
        assert (answer["code"], answer["error"]) == (403, "not_found")


def test_page_of_another_origin_cannot_use_the_cookie(live: Any, stream: str) -> None:
    cookie = live.client()("GET", "/login").headers["set-cookie"].partition(";")[0]
    host = f"127.0.0.1:{live.port}"
    for origin, code in ((f"http://{host}", None), ("http://evil.example", 403), ("null", 403)):
        url = f"ws://{host}/api/v1/websocket"
        with connect(url, additional_headers={"Cookie": cookie}, origin=origin) as connection:  # type: ignore[arg-type]
            assert Ws(connection).ask("subscribe", arg=stream).get("code") == code


def test_signing_out_closes_what_the_session_has_opened(live: Any, stream: str) -> None:
    def log_in() -> str:
        cookie: str = live.client()("GET", "/login").headers["set-cookie"].partition(";")[0]
        return cookie

    def attach(cookie: str) -> ClientConnection:
        host = f"127.0.0.1:{live.port}"
        url = f"ws://{host}/api/v1/websocket"
        return connect(url, additional_headers={"Cookie": cookie}, origin=f"http://{host}")  # type: ignore[arg-type]

    cookies = [log_in(), log_in()]
    with (
        attach(cookies[0]) as one,
        attach(cookies[1]) as two,
    ):
        for connection in (one, two):
            assert Ws(connection).ask("subscribe", arg=stream)["ok"]
        assert live.client()("GET", "/logout", auth=None, headers={"Cookie": cookies[0]}).status == 200
        code, reason = Ws(one).closed()
        assert (code, "signing out" in reason) == (1008, True)
        assert Ws(two).ask("ping")["ok"]


# Frames


def frame(data: bytes, opcode: int = 1, *, fin: bool = True, rsv1: bool = False, mask: bytes = b"abcd") -> bytes:
    head = bytes([opcode | (0x80 if fin else 0) | (0x40 if rsv1 else 0)])
    if len(data) < 126:
        head += bytes([0x80 | len(data)])
    elif len(data) < 65536:
        head += bytes([0x80 | 126]) + struct.pack("!H", len(data))
    else:
        head += bytes([0x80 | 127]) + struct.pack("!Q", len(data))
    return head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data))


class Raw:
    """A connection on which frames are written by hand."""

    opened: ClassVar[list[socket.socket]] = []

    def __init__(self, port: int, **changes: str) -> None:
        self.s = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.opened.append(self.s)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.s.sendall(handshake({name.replace("_", "-"): value for name, value in changes.items()}))
        self.data = b""
        while b"\r\n\r\n" not in self.data:
            self.data += self.s.recv(65536)
        self.head, _, self.data = self.data.partition(b"\r\n\r\n")

    def read(self, n: int) -> bytes:
        while len(self.data) < n:
            part = self.s.recv(65536)
            if not part:
                raise EOFError(self.data)
            self.data += part
        taken, self.data = self.data[:n], self.data[n:]
        return taken

    def recv(self) -> tuple[int, bytes]:
        """The next frame: its first byte, and what is in it."""
        first, length = self.read(2)
        if length == 126:
            (length,) = struct.unpack("!H", self.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self.read(8))
        return first, self.read(length)

    def closed(self) -> int:
        """Wait for the server's goodbye and for its end of the connection, and return the code."""
        first = 0
        while first != 0x88:
            first, data = self.recv()
        with suppress(OSError):
            self.s.sendall(frame(data, 8))
        with pytest.raises(EOFError):
            self.recv()
        return int.from_bytes(data[:2], "big")


@pytest.fixture(autouse=True)
def close_all() -> Iterator[None]:
    yield
    while Raw.opened:
        Raw.opened.pop().close()


@pytest.fixture
def raw(live: Any) -> Raw:
    return Raw(live.port)


PING = b'{"cmd":"ping","id":1}'
PONG = (0x81, b'{"id":1,"ok":true}\n')


def test_frames_cut_anywhere(live: Any) -> None:
    data = frame(PING[:7], fin=False) + frame(b"hi", 9) + frame(PING[7:], 0) + frame(PING, 2)
    for cut in range(1, len(data)):
        raw = Raw(live.port)
        raw.s.sendall(data[:cut])
        time.sleep(0.002)
        raw.s.sendall(data[cut:])
        got = [raw.recv() for _ in range(3)]
        assert sorted(got) == sorted([(0x8A, b"hi"), PONG, PONG])
        raw.s.close()


def test_frames_byte_by_byte(raw: Raw) -> None:
    data = (frame(PING[:5], fin=False) + frame(b"", 0, fin=False) + frame(PING[5:], 0)) * 3
    for i in range(len(data)):
        raw.s.sendall(data[i : i + 1])
    assert [raw.recv() for _ in range(3)] == [PONG] * 3


def test_message_in_many_fragments(raw: Raw) -> None:
    text = b'{"cmd":"ping","id":1' + b" " * 5000 + b"}"
    parts = [frame(text[i : i + 1], 1 if i == 0 else 0, fin=False) for i in range(len(text))]
    empty = frame(b"", 0, fin=False) * 10_000
    raw.s.sendall(b"".join(parts) + empty + frame(b"", 0))
    assert raw.recv() == PONG


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(b"\xff\xfe"), 1007),
        (frame(b'{"cmd":"ping","id":"\xff"}'), 1007),
        (frame(b'{"cmd":"ping","x":"\xc3"}'), 1007),
        (frame(b""), 1007),
        (frame(b"x"), 1007),
        (frame(b"{bad"), 1007),
        (frame(b"[]"), 1007),
        (frame(b"null"), 1007),
        (frame(b"5"), 1007),
        (frame(b'"ping"', 2), 1007),
        (frame(PING + PING), 1007),
        (frame(b"[" * 100_000), 1007),
        (frame(b'{"cmd":"ping","x":' + b"[" * 100_000), 1007),
        (b"\x81\x05hello", 1002),  # not masked
        (frame(b"x", 3), 1002),
        (frame(b"x", 11), 1002),
        (frame(b"x", 0), 1002),
        (frame(PING, fin=False) + frame(PING), 1002),
        (frame(PING, rsv1=True), 1002),
        (frame(b"x" * 126, 9), 1002),
        (frame(b"x", 9, fin=False), 1002),
        (frame(b"x", 8), 1002),
        (frame(b"\x03\xed", 8), 1002),  # 1005 is not for the wire
        (frame(b"\x03\xe8\xff", 8), 1007),
        (frame(b"", 8), 0),
        (frame(b"\x03\xe8", 8), 1000),
        (frame(b"\x03\xe9bye", 8), 1001),
        (frame(b"\x0f\xa0", 8), 4000),
        (b"\x81\xff" + struct.pack("!Q", 2**62) + b"abcd", 1009),
        (b"\x81\xff" + struct.pack("!Q", 1024 * 1024 + 1) + b"abcd", 1009),
        (frame(b" " * 600_000, fin=False) + frame(b" " * 600_000, 0), 1009),
    ],
)
def test_what_is_wrong_closes_with_the_right_code(raw: Raw, live: Any, sent: bytes, code: int) -> None:
    raw.s.sendall(sent)
    assert raw.closed() == code
    with opened(live) as ws:
        assert ws.silent()


def test_message_up_to_the_bound_is_taken_and_one_above_is_refused(ws: Ws, live: Any) -> None:
    text = json.dumps({"cmd": "ping", "id": 0})
    ws.send(text[:-1] + " " * (1024 * 1024 - len(text)) + "}")
    assert ws.recv() == {"id": 0, "ok": True}
    with pytest.raises(ConnectionClosed):
        ws.send(text[:-1] + " " * (1100_000 - len(text)) + "}")
        ws.recv()
    assert ws.closed()[0] == 1009


def test_messages_before_one_that_is_wrong_are_answered(raw: Raw) -> None:
    raw.s.sendall(frame(PING) * 3 + frame(b"{bad") + frame(PING))
    assert [raw.recv() for _ in range(3)] == [PONG] * 3
    assert raw.closed() == 1007


def test_pings_are_answered(raw: Raw) -> None:
    raw.s.sendall(frame(b"hello", 9) + frame(b"", 10) + frame(b"x", 10) + frame(b"", 9))
    assert [raw.recv(), raw.recv()] == [(0x8A, b"hello"), (0x8A, b"")]


def deflated(data: bytes, bits: int = 15) -> bytes:
    c = zlib.compressobj(9, wbits=-bits)
    return (c.compress(data) + c.flush(zlib.Z_SYNC_FLUSH))[:-4]


def test_compression(live: Any, stream: str) -> None:
    raw = Raw(live.port, Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits")
    assert b"permessage-deflate; server_no_context_takeover; client_no_context_takeover" in raw.head
    raw.s.sendall(frame(deflated(PING), rsv1=True) * 2)
    assert [raw.recv(), raw.recv()] == [PONG, PONG]
    insert = json.dumps({"cmd": "insert", "arg": stream, "d": [{"t": 1, "d": "x" * 10_000}], "id": 2}).encode()
    subscribe = json.dumps({"cmd": "subscribe", "arg": stream}).encode()
    packed = deflated(insert)
    raw.s.sendall(frame(subscribe) + frame(packed[:9], fin=False, rsv1=True) + frame(packed[9:], 0))
    assert raw.recv() == (0x81, b'{"id":2,"ok":true}\n')
    first, data = raw.recv()
    assert first == 0xC1 and len(data) < 500
    text = zlib.decompressobj(-15).decompress(data + b"\x00\x00\xff\xff")
    assert json.loads(text) == {"stream": stream, "data": [{"t": 1, "d": "x" * 10_000}]}


def test_client_with_a_smaller_window_gets_plain_frames(live: Any, stream: str) -> None:
    raw = Raw(live.port, Sec_WebSocket_Extensions="permessage-deflate; server_max_window_bits=10")
    assert b"server_max_window_bits=10" in raw.head
    subscribe = json.dumps({"cmd": "subscribe", "arg": stream}).encode()
    insert = json.dumps({"cmd": "insert", "arg": stream, "d": [{"d": "x" * 10_000}]}).encode()
    raw.s.sendall(frame(subscribe) + frame(insert))
    assert raw.recv()[0] == 0x81


@pytest.mark.parametrize("n", [1024 * 1024 + 1, 300_000_000])
def test_zip_bomb_is_refused(live: Any, n: int) -> None:
    raw = Raw(live.port, Sec_WebSocket_Extensions="permessage-deflate")
    raw.s.sendall(frame(deflated(b" " * n), rsv1=True))
    assert raw.closed() == 1009
    raw = Raw(live.port, Sec_WebSocket_Extensions="permessage-deflate")
    raw.s.sendall(frame(b"\xff\xff\xff\xff", rsv1=True))
    assert raw.closed() == 1002


# Commands


def test_insert_and_subscribe(ws: Ws, stream: str) -> None:
    answer = ws.ask("subscribe", arg=stream)
    cursor = answer["cursor"]
    assert answer == {"ok": True, "cursor": cursor}
    assert ws.ask("insert", arg=stream, d=[{"t": 1, "d": 1}, {"t": 2, "d": [None, "é"]}]) == {"ok": True}
    found = ws.recv()
    assert found.pop("cursor") != cursor
    assert found == {"stream": stream, "i": 0, "data": [{"t": 1, "d": 1}, {"t": 2, "d": [None, "é"]}]}
    assert ws.ask("unsubscribe", arg=stream) == {"ok": True}
    assert ws.ask("insert", arg=stream, d=[{"d": 3}]) == {"ok": True}
    assert ws.silent()


def test_order_of_keys_in_a_frame_is_that_of_old(ws: Ws, stream: str) -> None:
    ws.send({"cmd": "subscribe", "arg": stream}, {"cmd": "insert", "arg": stream, "d": [{"t": 1, "d": None}]})
    assert ws.connection.recv(10) == f'{{"stream":"{stream}","data":[{{"t":1.0}}]}}\n'


def test_subscription_resumes_at_its_cursor(live: Any, stream: str) -> None:
    with opened(live) as ws:
        cursor = ws.ask("subscribe", arg=stream)["cursor"]
        ws.ask("insert", arg=stream, d=[{"t": 1, "d": 1}])
        cursor = ws.recv()["cursor"]
    live.client()("POST", f"/crud/{stream}/data", [{"t": 2, "d": 2}, {"t": 3, "d": 3}])
    with opened(live) as ws:
        assert ws.ask("subscribe", arg=stream, cursor=cursor)["ok"]
        found = ws.recv()
        assert (found["i"], [p["d"] for p in found["data"]]) == (1, [2, 3])
        assert ws.ask("subscribe", arg=stream, since=2)["ok"]
        assert [p["d"] for p in ws.recv()["data"]] == [3]
        assert ws.ask("subscribe", arg=stream, i1=-3)["ok"]
        assert [p["d"] for p in ws.recv()["data"]] == [1, 2, 3]


def test_pattern(live: Any, ws: Ws) -> None:
    client = live.client()
    key = client("POST", "/crud/test/pat", {"streams": {"a": {}, "b": {}}}).json()["apikey"]
    answer = ws.ask("subscribe", arg="test/pat/*")
    assert answer["ok"] and set(answer["cursors"]) == {"test/pat/a", "test/pat/b", "*"}
    assert client("POST", "/crud/test/pat/b/data", [{"t": 1, "d": 1}], auth=("", key)).status == 200
    found = ws.recv()
    assert (found["stream"], found["arg"], found["i"]) == ("test/pat/b", "test/pat/*", 0)
    client("DELETE", "/crud/test/pat")


@pytest.mark.parametrize(
    ("command", "code", "error"),
    [
        ({"cmd": "bogus"}, 400, "invalid"),
        ({"cmd": 5}, 400, "invalid"),
        ({}, 400, "invalid"),
        ({"cmd": "ping", "arg": "x"}, 400, "invalid"),
        ({"cmd": "subscribe"}, 400, "invalid"),
        ({"cmd": "subscribe", "arg": 5}, 400, "invalid"),
        ({"cmd": "subscribe", "arg": ""}, 400, "invalid"),
        ({"cmd": "subscribe", "arg": "test"}, 400, "invalid"),
        ({"cmd": "subscribe", "arg": "test/user"}, 400, "invalid"),
        ({"cmd": "subscribe", "arg": "a/b/c/d/e"}, 400, "invalid"),
        ({"cmd": "subscribe", "arg": "*"}, 400, "invalid"),
        ({"cmd": "subscribe", "arg": "test/user/nosuch"}, 403, "not_found"),
        ({"cmd": "subscribe", "arg": "STREAM", "transform": "bogus"}, 400, "script_error"),
        ({"cmd": "subscribe", "arg": "STREAM", "i1": 0, "since": 0}, 400, "invalid_range"),
        ({"cmd": "subscribe", "arg": "STREAM", "i1": 1.5}, 400, "invalid"),
        ({"cmd": "subscribe", "arg": "STREAM", "cursor": "x"}, 400, "invalid"),
        ({"cmd": "subscribe", "arg": "STREAM", "nonsense": 1}, 400, "invalid"),
        ({"cmd": "subscribe", "arg": "STREAM", "requests": True}, 400, "invalid"),
        ({"cmd": "insert", "arg": "test/user/nosuch", "d": [{"d": 1}]}, 403, "not_found"),
        ({"cmd": "insert", "arg": "STREAM", "d": {}}, 400, "invalid"),
        ({"cmd": "insert", "arg": "STREAM", "d": [{"x": 1}]}, 400, "invalid"),
        ({"cmd": "insert", "arg": "STREAM", "d": [{"t": 1e15}]}, 403, "invalid_value"),
        ({"cmd": "insert", "arg": "STREAM", "mode": "x", "d": []}, 400, "invalid"),
        ({"cmd": "insert", "arg": "STREAM", "key": "", "d": []}, 400, "invalid"),
        ({"cmd": "insert", "arg": "STREAM", "key": "\ud800é", "d": []}, 400, "invalid"),
        ({"cmd": "insert", "arg": "STREAM", "d": [{"t": 2}, {"t": 1}]}, 403, "timestamp_order"),
    ],
)
def test_errors_are_answered(ws: Ws, stream: str, command: dict[str, Any], code: int, error: str) -> None:
    command = {name: stream if value == "STREAM" else value for name, value in command.items()}
    text = json.dumps({**command, "id": "x"}).replace("\\ud800", "x")
    ws.send(text)
    answer = ws.recv()
    assert (answer["id"], answer["code"], answer["error"]) == ("x", code, error)
    assert answer["msg"] and len(answer["ref"]) == 36
    assert ws.silent()
    without = json.loads(text)
    del without["id"]
    ws.send(without)
    assert ws.silent()


@pytest.mark.parametrize("id_", [1, -5, 2**70, "a", "é\\u0000", ""])
def test_ids_come_back(ws: Ws, id_: int | str) -> None:
    ws.send({"cmd": "ping", "id": id_})
    assert ws.recv() == {"id": id_, "ok": True}


@pytest.mark.parametrize("id_", [1.5, True, [1], {"a": 1}, "x" * 300])
def test_ids_that_are_none_are_not_answered(ws: Ws, id_: Any) -> None:
    ws.send({"cmd": "ping", "id": id_})
    ws.send({"cmd": "bogus", "id": id_})
    assert ws.silent()


def test_unknown_fields_and_nulls_of_old_clients_do_no_harm(ws: Ws, stream: str) -> None:
    ws.send({"cmd": "subscribe", "arg": stream, "transform": None, "d": None, "Extra": {"a": [1]}})
    ws.send({"cmd": "insert", "arg": stream, "transform": "", "d": [{"t": 1, "d": 1}]})
    assert ws.recv() == {"stream": stream, "data": [{"t": 1, "d": 1}]}


def test_modes_of_inserts(ws: Ws, live: Any, stream: str) -> None:
    assert ws.ask("insert", arg=stream, d=[{"t": 10, "d": 0}])["ok"]
    assert ws.ask("insert", arg=stream, d=[{"t": 1, "d": 1}], mode="ordered")["error"] == "timestamp_order"
    assert ws.ask("insert", arg=stream, d=[{"t": 1, "d": 2}], mode="merge")["ok"]
    assert ws.ask("insert", arg=stream, d=[{"t": 5, "d": 3}])["ok"]
    assert ws.ask("insert", arg=stream, d=[])["ok"]
    assert ws.ask("insert", arg=stream)["ok"]
    points = live.client()("GET", f"/crud/{stream}/data?i1=0").json()
    assert [(p["t"], p["d"]) for p in points] == [(1, 2), (10, 0), (10, 3)]


def test_key_makes_an_insert_safe_to_repeat(ws: Ws, live: Any, stream: str) -> None:
    for _ in range(3):
        assert ws.ask("insert", arg=stream, d=[{"t": 1, "d": 1}], key="k1") == {"ok": True}
    other = ws.ask("insert", arg=stream, d=[{"t": 1, "d": 2}], key="k1")
    assert (other["code"], "used for another request" in other["msg"]) == (409, True)
    client = live.client()
    assert client("GET", f"/crud/{stream}/data?q=length").text == "1"
    # The same key, mode and text over HTTP is the same insert.
    ws.send(f'{{"cmd":"insert","id":0,"arg":"{stream}","key":"k2","d":[{{"t":2}}]}}')
    assert ws.recv()["ok"]
    headers = {"Idempotency-Key": "k2"}
    assert client("PUT", f"/crud/{stream}/data", '[{"t":2}]', headers=headers).status == 200
    assert client("GET", f"/crud/{stream}/data?q=length").text == "2"


def test_pipelined_inserts_keep_their_order(ws: Ws, live: Any, stream: str) -> None:
    n = 5000
    for i in range(n):
        ws.send(f'{{"cmd":"insert","arg":"{stream}","id":{i},"d":[{{"t":{i + 1},"d":{i}}}]}}')
    assert [ws.recv()["id"] for _ in range(n)] == list(range(n))
    points = live.client()("GET", f"/crud/{stream}/data?i1=0").json()
    assert [p["d"] for p in points] == list(range(n))


def test_pipelined_subscriptions_keep_their_order(ws: Ws, stream: str) -> None:
    commands: list[dict[str, Any]] = []
    for _ in range(100):
        commands += [{"cmd": "subscribe", "arg": stream}, {"cmd": "insert", "arg": stream, "d": [{"d": 1}]}]
        commands += [{"cmd": "unsubscribe", "arg": stream}]
    last = {"cmd": "insert", "arg": stream, "d": [{"d": 2}]}
    ws.send(*commands, {"cmd": "subscribe", "arg": stream}, last)
    while ws.recv()["data"][-1]["d"] != 2:
        pass
    assert ws.silent()


def test_ten_thousand_subscribe_commands(live: Any, ws: Ws, stream: str) -> None:
    for i in range(10_000):
        ws.send(f'{{"cmd":"subscribe","arg":"{stream}","id":{i}}}')
    assert all(ws.recv()["ok"] for _ in range(10_000))
    ws.ask("insert", arg=stream, d=[{"d": 1}])
    assert ws.recv()["data"][0]["d"] == 1
    assert ws.silent()
    for i in range(10_000):
        ws.send({"cmd": "subscribe", "arg": f"test/user/no{i}"})
        ws.send({"cmd": "subscribe", "arg": f"test/user/no{i}", "id": i})
    assert {ws.recv()["code"] for _ in range(10_000)} == {403}


def test_number_of_subscriptions_is_bounded(make_live: Callable[..., Any]) -> None:
    live = make_live(**{"live.subscriptions_max": 3})
    live.client()("POST", "/crud/test/many", {"streams": {f"s{i}": {} for i in range(5)}})
    with opened(live) as ws:
        codes = [ws.ask("subscribe", arg=f"test/many/s{i}").get("code") for i in range(5)]
        assert codes == [None, None, None, 403, 403]
        assert ws.ask("subscribe", arg="test/many/s2", i1=0)["ok"]  # takes the place of the same
        assert ws.ask("unsubscribe_all")["ok"]
        assert ws.ask("subscribe", arg="test/many/s4")["ok"]


def test_number_of_connections_is_bounded(make_live: Callable[..., Any]) -> None:
    live = make_live(**{"live.connections_max": 2})
    live.client()("POST", "/crud/test/user/s", {})
    with opened(live), opened(live):
        answer = live.raw(handshake())
        assert answer.startswith(b"HTTP/1.1 503 ") and b"connection: close" in answer
        assert live.client()("GET", "/live/test/user/s").status == 503
    _wait_for(live, "connectordb_websockets", 0)
    with opened(live) as ws:
        assert ws.silent()


def test_more_commands_than_may_wait_are_read_later(make_live: Callable[..., Any]) -> None:
    live = make_live(**{"live.commands_waiting_max": 10})
    live.client()("POST", "/crud/test/user/s", {})
    with opened(live) as ws:
        for i in range(3000):
            ws.send(f'{{"cmd":"insert","arg":"test/user/s","id":{i},"d":[{{"d":{i}}}]}}')
        assert [ws.recv()["id"] for _ in range(3000)] == list(range(3000))


def test_rate_of_messages_is_bounded_and_none_is_lost(make_live: Callable[..., Any]) -> None:
    live = make_live(**{"live.messages_per_s": 100})
    with opened(live) as ws:
        started = time.monotonic()
        for i in range(350):
            ws.send({"cmd": "ping", "id": i})
        assert [ws.recv()["id"] for _ in range(350)] == list(range(350))
        assert 2 < time.monotonic() - started < 20


def test_client_that_reads_no_answers_is_not_read(make_live: Callable[..., Any]) -> None:
    live = make_live(**{"live.queue_bytes_max": 4096})
    raw = Raw(live.port)
    raw.s.setblocking(False)
    message = frame(json.dumps({"cmd": "ping", "id": "x" * 250}).encode()) * 100
    sent = 0
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            sent += raw.s.send(message[sent % len(message) :])
        except BlockingIOError:
            before = sent
            time.sleep(0.5)
            try:
                sent += raw.s.send(message[sent % len(message) :])
            except BlockingIOError:
                if before == sent:
                    break
    else:
        pytest.fail(f"the server has taken {sent} bytes")
    metrics = live.client()("GET", "//metrics").text
    assert _metric(metrics, "connectordb_queue_bytes") < 2_000_000
    raw.s.setblocking(True)
    commands = sent // (len(message) // 100)
    got = 0
    while got < commands:
        got += raw.s.recv(65536).count(b"\n")
    assert got == commands


def test_slow_reader_holds_up_nobody_and_gets_all(make_live: Callable[..., Any]) -> None:
    live = make_live(**{"live.queue_bytes_max": 16_384})
    client = live.client()
    client("POST", "/crud/test/user/s", {})
    raw = Raw(live.port)
    raw.s.sendall(frame(b'{"cmd":"subscribe","arg":"test/user/s","id":1}'))
    with opened(live) as fast, opened(live) as writer:
        assert raw.recv()[0] == 0x81
        fast.ask("subscribe", arg="test/user/s")
        n, size = 200, 100_000  # more than the system keeps for a connection
        for i in range(n):
            assert writer.ask("insert", arg="test/user/s", d=[{"t": i + 1, "d": [i, "x" * size]}])["ok"]
            found = fast.recv()
            if "notice" in found:
                found = fast.recv()
        values: list[int] = []
        notices = []
        while len(values) < n:
            found = json.loads(raw.recv()[1])
            if "notice" in found:
                notices.append(found)
            else:
                assert found["i"] == len(values)
                values += [p["d"][0] for p in found["data"]]
        assert values == list(range(n))
        assert notices and notices[0]["notice"] == "lag" and notices[0]["n"] > 0


def test_loop_of_old_acknowledgements_is_cut(live: Any, capfd: pytest.CaptureFixture[str]) -> None:
    client = live.client()
    client("POST", "/crud/test/lamp", {"streams": {"on": {"downlink": True}}})
    key = client("GET", "/crud/test/lamp").json()["apikey"]
    with opened(live) as stranger, opened(live, "Basic " + base64.b64encode(f":{key}".encode()).decode()) as owner:
        for ws in (stranger, owner):
            ws.send({"cmd": "subscribe", "arg": "test/lamp/on/downlink"})
            assert ws.silent()
        insert = {"cmd": "insert", "arg": "test/lamp/on", "d": [{"t": 1, "d": True}]}
        stranger.send(insert)
        assert stranger.ask("insert", arg="test/user/nosuch", d=[])["code"] == 403  # inserts keep their order
        assert client("GET", "/crud/test/lamp/on/data?q=length&downlink=true").text == "0"
        stranger.send({**insert, "id": 1})
        got = [stranger.recv(), stranger.recv(), owner.recv()]
        frame_ = {"stream": "test/lamp/on/downlink", "data": [{"t": 1, "d": True, "o": "test/user"}]}
        assert got == [{"id": 1, "ok": True}, frame_, frame_]
        owner.send(insert)
        assert owner.ask("insert", arg="test/lamp/on", d=[{"t": 1, "d": True}])["ok"]
        assert client("GET", "/crud/test/lamp/on/data?q=length").text == "2"
        stranger.send({"cmd": "unsubscribe", "arg": "test/lamp/on/downlink"}, {**insert, "d": [{"t": 2}]})
        assert owner.recv()["data"][0]["t"] == 2
    client("DELETE", "/crud/test/lamp")


def test_requests(live: Any) -> None:
    client = live.client()
    client("POST", "/crud/test/lamp", {"streams": {"on": {"downlink": True}}})
    key = client("GET", "/crud/test/lamp").json()["apikey"]
    with opened(live, "Basic " + base64.b64encode(f":{key}".encode()).decode()) as ws:
        assert ws.ask("subscribe", arg="test/lamp/on/downlink", requests=True) == {"ok": True}
        sent = client("POST", "/downlink/test/lamp/on", {"d": {"x": 1}, "expires": 60}).json()
        found = ws.recv()
        assert found["stream"] == "test/lamp/on/downlink"
        (asked,) = found["requests"]
        assert asked == {name: sent[name] for name in ("id", "t", "d", "o", "state", "expires")}
    client("DELETE", "/crud/test/lamp")


# Signs of life, and the end


def test_silent_client_is_given_up(make_live: Callable[..., Any]) -> None:
    live = make_live(**{"live.ping_s": 0.5, "live.pong_s": 2.0})
    raw, alive = Raw(live.port), Raw(live.port)
    got = []
    started = time.monotonic()
    while time.monotonic() - started < 4:
        first, data = alive.recv()
        assert (first, data) == (0x89, b"")
        got.append(time.monotonic() - started)
        alive.s.sendall(frame(b"", 10))
    assert 4 <= len(got) <= 9  # as often as set, whether answered or not
    alive.s.sendall(frame(PING))
    while (found := alive.recv()) == (0x89, b""):
        pass
    assert found == PONG
    assert raw.closed() == 1011


def test_client_that_vanishes_leaves_nothing(live: Any, stream: str) -> None:
    for _ in range(20):
        raw = Raw(live.port)
        raw.s.sendall(frame(json.dumps({"cmd": "subscribe", "arg": stream, "id": 1}).encode()))
        raw.recv()
        raw.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.s.close()
    _wait_for(live, "connectordb_websockets", 0)
    _wait_for(live, "connectordb_subscriptions", 0)


def test_deleted_stream_ends_the_subscription(live: Any, ws: Ws) -> None:
    client = live.client()
    client("POST", "/crud/test/user/gone", {})
    ws.ask("subscribe", arg="test/user/gone")
    client("DELETE", "/crud/test/user/gone")
    found = ws.recv()
    assert (found["stream"], found["notice"], found["code"]) == ("test/user/gone", "ended", 403)
    assert ws.silent()


def test_new_key_closes_the_connection(live: Any) -> None:
    client = live.client()
    client("POST", "/crud/test/phone", {"streams": {"s": {}}})
    key = client("GET", "/crud/test/phone").json()["apikey"]
    with opened(live, "Basic " + base64.b64encode(f":{key}".encode()).decode()) as ws:
        ws.ask("subscribe", arg="test/phone/s")
        client("PUT", "/crud/test/phone", {"apikey": ""})
        code, reason = ws.closed()
        assert code == 1008 and reason
    client("DELETE", "/crud/test/phone")


def test_shutdown_answers_what_was_taken_and_says_goodbye(make_live: Callable[..., Any]) -> None:
    live = make_live()
    live.client()("POST", "/crud/test/user/s", {})
    with opened(live) as ws, opened(live) as idle:
        ws.send({"cmd": "subscribe", "arg": "test/user/nosuch"})  # on which 0.3 hung
        for i in range(200):
            ws.send({"cmd": "insert", "arg": "test/user/s", "id": i, "d": [{"d": i}]})
        answers = [ws.recv()]
        started = time.monotonic()
        live.stop()
        assert time.monotonic() - started < 8
        try:
            while True:
                answers.append(ws.recv())
        except ConnectionClosed as e:
            assert e.rcvd is not None and e.rcvd.code == 1012
        assert [a["id"] for a in answers] == list(range(len(answers)))
        assert idle.closed()[0] == 1012


def test_client_that_says_no_goodbye_does_not_hold_up_the_end(make_live: Callable[..., Any]) -> None:
    live = make_live(**{"server.shutdown_s": 1})
    raws = [Raw(live.port) for _ in range(3)]
    started = time.monotonic()
    live.stop()
    assert time.monotonic() - started < 10
    for raw in raws:
        assert raw.recv()[0] == 0x88
        raw.s.close()


def test_metrics(live: Any, ws: Ws, stream: str) -> None:
    ws.ask("subscribe", arg=stream)
    _wait_for(live, "connectordb_websockets", 1)  # those of the test before have gone
    before = live.client()("GET", "//metrics").text
    ws.ask("insert", arg=stream, d=[{"d": 1}, {"d": 2}])
    ws.recv()
    after = live.client()("GET", "//metrics").text
    assert _metric(after, "connectordb_websockets") == 1
    assert _metric(after, "connectordb_subscriptions") == 1
    assert _metric(after, "connectordb_drops_total") == 0
    assert _metric(after, "connectordb_points_missed_total") == 0
    assert _metric(after, "connectordb_subscriptions_behind") == 0
    for name, n in (
        ("connectordb_points_inserted_total", 2),
        ("connectordb_deliveries_total", 1),
        ("connectordb_delivery_seconds_count", 1),
    ):
        assert _metric(after, name) - _metric(before, name) == n


def test_log(make_live: Callable[..., Any], capfd: pytest.CaptureFixture[str]) -> None:
    live = make_live(**{"log.level": "info"})
    key = live.client()("GET", "/crud/test/user").json()["apikey"]
    with opened(live, None, f"?apikey={key}") as ws:
        for i in range(10_000):
            ws.send({"cmd": "subscribe", "arg": "test/user/nosuch"})
            ws.send({"cmd": "bogus", "id": i})
        refs = {ws.recv()["ref"] for _ in range(10_000)}
    live.stop()
    text = capfd.readouterr().err
    assert key not in text
    lines = [json.loads(line) for line in text.splitlines()]
    (opening,) = (line for line in lines if line.get("status") == 101)
    (closing,) = (line for line in lines if line["event"] == "websocket_closed")
    assert opening["ref"] == closing["ref"] and closing["actor"] == opening["actor"] == "test/user"
    assert (closing["code"], closing["messages_in"], closing["messages_out"]) == (1000, 20_000, 10_000)
    failures = [line for line in lines if line["event"] == "command_failed"]
    more = [line for line in lines if line["event"] == "commands_failed"]
    assert len(failures) + len(more) < 100
    assert len(failures) + sum(line["more"] for line in more) == 20_000
    assert refs <= {line["ref"] for line in failures}


def _metric(text: str, name: str) -> float:
    (line,) = (line for line in text.splitlines() if line.startswith(name + " "))
    return float(line.split()[1])


def _wait_for(live: Any, name: str, value: float) -> None:
    client = live.client()
    deadline = time.monotonic() + 30
    while _metric(client("GET", "//metrics").text, name) != value:
        assert time.monotonic() < deadline
        time.sleep(0.05)
