"""Server-sent events: a stream as it grows."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

AUTH = "Basic " + base64.b64encode(b"test:test").decode()


class Event(NamedTuple):
    kind: str
    id: str | None
    data: Any


class Sse:
    """A request for events, and what comes."""

    def __init__(self, port: int, target: str, method: str = "GET", **headers: str) -> None:
        self.s = socket.create_connection(("127.0.0.1", port), timeout=10)
        lines = [f"{method} /api/v1/live/{target} HTTP/1.1", "Host: x", f"Authorization: {AUTH}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.s.sendall("\r\n".join([*lines, "", ""]).encode())
        self.data = b""
        head = self._until(b"\r\n\r\n").decode().split("\r\n")
        self.status = int(head[0].split()[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
        self.text = b""
        self.ended = False

    def next(self) -> Event:
        """The next event, comments left out."""
        while True:
            block = self.block()
            fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
            if "data" in fields:
                return Event(fields.get("event", "message"), fields.get("id"), json.loads(fields["data"]))

    def block(self) -> str:
        """What comes up to the next empty line."""
        while b"\n\n" not in self.text:
            chunk = self._chunk()
            if not chunk:
                self.ended = True
                raise EOFError(self.text)
            self.text += chunk
        block, _, self.text = self.text.partition(b"\n\n")
        return block.decode()

    def _chunk(self) -> bytes:
        size = int(self._until(b"\r\n"), 16)
        while len(self.data) < size + 2:
            self._more()
        chunk, self.data = self.data[:size], self.data[size + 2 :]
        return chunk

    def _until(self, end: bytes) -> bytes:
        while end not in self.data:
            self._more()
        found, _, self.data = self.data.partition(end)
        return found

    def _more(self) -> None:
        part = self.s.recv(65536)
        if not part:
            raise ConnectionError("cut off")
        self.data += part


@pytest.fixture
def follow(live: Any) -> Iterator[Callable[..., Sse]]:
    made: list[Sse] = []

    def follow(target: str, method: str = "GET", **headers: str) -> Sse:
        made.append(Sse(live.port, target, method, **headers))
        return made[-1]

    yield follow
    for sse in made:
        sse.s.close()


@pytest.fixture
def stream(live: Any) -> Iterator[str]:
    client = live.client()
    assert client("POST", "/crud/test/user/sse", {}).status == 200
    yield "test/user/sse"
    client("DELETE", "/crud/test/user/sse")


def insert(live: Any, stream: str, *points: Any) -> None:
    assert live.client()("POST", f"/crud/{stream}/data", list(points)).status == 200


def test_events(live: Any, follow: Callable[..., Sse], stream: str) -> None:
    sse = follow(stream, Origin="http://page.example")
    assert sse.status == 200
    assert sse.headers["content-type"] == "text/event-stream"
    assert sse.headers["x-accel-buffering"] == "no"
    assert sse.headers["cache-control"] == "no-store, must-revalidate"
    assert sse.headers["access-control-allow-origin"] == "http://page.example"
    assert "content-encoding" not in sse.headers
    assert sse.block() == ":\nretry: 1000"
    start = sse.next()
    assert start == ("start", start.id, {"cursor": start.id})
    insert(live, stream, {"t": 1, "d": "a\nb"}, {"t": 2, "d": {"é": None}})
    event = sse.next()
    assert event == ("message", event.id, [{"t": 1, "d": "a\nb"}, {"t": 2, "d": {"é": None}}])
    assert event.id != start.id


def test_it_goes_on_where_it_was(live: Any, follow: Callable[..., Sse], stream: str) -> None:
    insert(live, stream, {"t": 1, "d": 1})
    first = follow(stream).next()
    insert(live, stream, {"t": 2, "d": 2}, {"t": 3, "d": 3})
    for sse in (
        follow(stream, Last_Event_ID=str(first.id)),
        follow(f"{stream}?cursor={first.id}"),
        follow(f"{stream}?i1=0", Last_Event_ID=str(first.id)),
    ):
        assert sse.next().id == first.id
        event = sse.next()
        assert [p["d"] for p in event.data] == [2, 3]
        again = follow(stream, Last_Event_ID=str(event.id))
        assert again.next().kind == "start"
    insert(live, stream, {"t": 4, "d": 4})
    assert [p["d"] for p in again.next().data] == [4]


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("since=0", [1, 2, 3]),
        ("since=1500000001", [2, 3]),
        ("since=2017-07-14T02:40:01Z", [2, 3]),
        ("since=2017-07-14T04:40:02%2B02:00", [3]),
        ("since=2017-07-14T04:40:02+02:00", [3]),
        ("since=2017-07-14", [1, 2, 3]),
        ("i1=0", [1, 2, 3]),
        ("i1=-1", [3]),
    ],
)
def test_where_it_begins(live: Any, follow: Callable[..., Sse], stream: str, query: str, values: list[int]) -> None:
    insert(live, stream, *({"t": 1500000000 + i, "d": i} for i in (1, 2, 3)))
    sse = follow(f"{stream}?{query}")
    assert sse.next().kind == "start"
    assert [p["d"] for p in sse.next().data] == values


def test_long_history_comes_whole(live: Any, follow: Callable[..., Sse], stream: str) -> None:
    n = 30_000
    client = live.client()
    for i in range(0, n, 5000):
        points = [{"t": i + k + 1, "d": "x" * 50 + str(i + k)} for k in range(5000)]
        assert client("POST", f"/crud/{stream}/data", points).status == 200
    sse = follow(f"{stream}?i1=0")
    assert sse.next().kind == "start"
    time.sleep(0.5)
    insert(live, stream, {"t": n + 1, "d": "last"})
    values: list[str] = []
    while not values or values[-1] != "last":
        event = sse.next()
        if event.kind == "message":
            values += [p["d"] for p in event.data]
    assert values == ["x" * 50 + str(i) for i in range(n)] + ["last"]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("test/user/nosuch", 403),
        ("test/user/sse?since=x", 400),
        ("test/user/sse?since=2017-13-01", 400),
        ("test/user/sse?i1=x", 400),
        ("test/user/sse?i1=0&since=0", 400),
        ("test/user/sse?cursor=x", 400),
        ("test/user/sse?nonsense=1", 400),
        ("test/user/sse?transform=bogus", 400),
        ("test/user", 404),
        ("test/user/*", 400),
    ],
)
def test_errors_come_before_the_status(
    live: Any, follow: Callable[..., Sse], stream: str, target: str, status: int
) -> None:
    assert follow(target).status == status
    _wait_for(live, "connectordb_live_streams", 0)
    _wait_for(live, "connectordb_subscriptions", 0)


def test_head(live: Any, follow: Callable[..., Sse], stream: str) -> None:
    sse = follow(stream, "HEAD")
    assert (sse.status, sse.headers["content-type"]) == (200, "text/event-stream")
    _wait_for(live, "connectordb_live_streams", 0)


def test_signs_of_life(make_live: Callable[..., Any]) -> None:
    live = make_live(**{"live.heartbeat_s": 0.2})
    live.client()("POST", "/crud/test/user/s", {})
    started = time.monotonic()
    sse = Sse(live.port, "test/user/s")
    sse.next()
    assert [sse.block() for _ in range(5)] == [":"] * 5
    assert 0.8 < time.monotonic() - started < 10
    sse.s.close()


def test_client_that_goes_away_is_noticed_at_once(live: Any, follow: Callable[..., Sse], stream: str) -> None:
    for _ in range(3):
        sse = follow(stream)
        sse.next()
        _wait_for(live, "connectordb_live_streams", 1)  # those of the test before have gone
        _wait_for(live, "connectordb_subscriptions", 1)
        sse.s.close()
        _wait_for(live, "connectordb_live_streams", 0)  # the next sign of life is 15 s away
        _wait_for(live, "connectordb_subscriptions", 0)


def test_end_of_the_stream_is_told(live: Any, follow: Callable[..., Sse]) -> None:
    client = live.client()
    client("POST", "/crud/test/user/gone", {})
    sse = follow("test/user/gone")
    sse.next()
    client("DELETE", "/crud/test/user/gone")
    event = sse.next()
    assert event.kind == "ended" and event.data["code"] == 403 and event.data["error"] == "not_found"
    with pytest.raises(EOFError):
        sse.next()
    assert sse.ended


def test_ephemeral_stream(live: Any, follow: Callable[..., Sse]) -> None:
    client = live.client()
    client("POST", "/crud/test/user/eph", {"ephemeral": True})
    sse = follow("test/user/eph")
    start = sse.next()
    insert(live, "test/user/eph", {"t": 1, "d": 1})
    assert sse.next().data == [{"t": 1, "d": 1}]
    again = follow("test/user/eph", Last_Event_ID=str(start.id))
    assert again.next().kind == "start"
    missed = again.next()
    assert (missed.kind, missed.data) == ("missed", {"n": 1})
    client("DELETE", "/crud/test/user/eph")


def test_downlink(live: Any, follow: Callable[..., Sse]) -> None:
    client = live.client()
    client("POST", "/crud/test/lamp", {"streams": {"on": {"downlink": True}}})
    sse = follow("test/lamp/on?downlink=true")
    sse.next()
    insert(live, "test/lamp/on", {"t": 1, "d": True})
    assert sse.next().data == [{"t": 1, "d": True, "o": "test/user"}]
    client("DELETE", "/crud/test/lamp")


def test_slow_reader_is_bounded_and_gets_all(make_live: Callable[..., Any]) -> None:
    live = make_live(**{"live.queue_bytes_max": 16_384})
    live.client()("POST", "/crud/test/user/s", {})
    sse = Sse(live.port, "test/user/s")
    sse.next()
    n = 200
    for i in range(n):
        insert(live, "test/user/s", {"t": i + 1, "d": [i, "x" * 100_000]})
    assert _metric(live, "connectordb_queue_bytes") < 300_000
    values: list[int] = []
    kinds = set()
    while len(values) < n:
        event = sse.next()
        kinds.add(event.kind)
        if event.kind == "message":
            values += [p["d"][0] for p in event.data]
    assert values == list(range(n))
    assert kinds == {"message", "lag"}
    sse.s.close()


def test_shutdown_ends_it_properly(make_live: Callable[..., Any]) -> None:
    live = make_live()
    live.client()("POST", "/crud/test/user/s", {})
    sse = Sse(live.port, "test/user/s")
    sse.next()
    started = time.monotonic()
    live.stop()
    assert time.monotonic() - started < 5
    with pytest.raises(EOFError):
        sse.next()
    assert sse.ended
    sse.s.close()


def _metric(live: Any, name: str) -> float:
    text = live.client()("GET", "//metrics").text
    (line,) = (line for line in text.splitlines() if line.startswith(name + " "))
    return float(line.split()[1])


def _wait_for(live: Any, name: str, value: float, patience_s: float = 10) -> None:
    deadline = time.monotonic() + patience_s
    while _metric(live, name) != value:
        assert time.monotonic() < deadline
        time.sleep(0.05)
