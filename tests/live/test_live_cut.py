"""Connections that break, at every place where they can."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import pytest
from conditions import until
from cutting_proxy import Cut, CuttingProxy

from connectordb import ConnectorDB
from connectordb.client import _backoff, _live, _socket, _subscription
from live_server import LiveServer

CI = bool(os.environ.get("CI"))
BYTES = 2048 if CI else 512
"""Cuts come after every number of bytes up to this."""
FRAMES = 40 if CI else 12
END = "end"
SECONDS = 400.0 if CI else 200.0


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client comes back at once: there is much to cut."""
    monkeypatch.setattr(_backoff, "FIRST_S", 0.001)
    monkeypatch.setattr(_backoff, "MAX_S", 0.002)


def cuts() -> Iterator[Cut]:
    """After every byte, and at and around every boundary between frames."""
    for n in range(BYTES):
        yield Cut(n, reset=n % 3 == 0)
    for n in range(1, FRAMES):
        for into in (0, 1, 2, 3, 7):
            yield Cut(n, frames=True, into=into)


class Writer:
    """Inserts small batches into streams, numbered, until told to stop."""

    def __init__(self, db: ConnectorDB, *names: str) -> None:
        self._streams = [db[name] for name in names]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.n = 0
        self.failed: Exception | None = None

    def _run(self) -> None:
        try:
            while not self._over.wait(0.001):
                for stream in self._streams:
                    points = [{"t": time.time(), "d": self.n + i} for i in range(1 + self.n % 17)]
                    self.n += len(points)
                    stream.insert_array(points, restamp=True)
            for stream in self._streams:
                stream.insert(END)
        except Exception as e:
            self.failed = e

    @contextmanager
    def writing(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._thread.join()
        assert self.failed is None


def points_of(stream: Any, **span: Any) -> list[tuple[float, Any]]:
    return [(point["t"], point["d"]) for point in (stream(i1=0, **span) if span else stream[:])]


@pytest.mark.parametrize("slow", [False, True], ids=["", "slow callbacks"])
def test_subscriptions_lose_and_double_nothing_wherever_the_connection_is_cut(
    slow: bool,
    server: LiveServer,
    connect: Callable[..., ConnectorDB],
    fresh_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if slow:  # so that they are held, and read on later, again and again
        monkeypatch.setattr(_subscription, "QUEUE_POINTS_MAX", 100)
    device = connect("test", "test", url=server.url)(f"test/{fresh_name}")
    device.create(streams={"a": {}, "b": {}, "lamp": {"downlink": True}})
    own = connect(device.apikey, url=server.url)
    boss = connect("test", "test", url=server.url)
    got: dict[str, list[tuple[str, float, Any]]] = {}
    over: set[tuple[str, str]] = set()
    notices: list[Any] = []

    def taker(name: str) -> Callable[[str, Any], None]:
        got[name] = []

        def take(path: str, data: Any) -> None:
            got[name] += [(path, point["t"], point["d"]) for point in data]
            if slow and len(got[name]) % 7 == 0:
                time.sleep(0.02)
            if data[-1]["d"] == END:
                over.add((name, path))

        return take

    path = f"test/{fresh_name}"
    with CuttingProxy(server.port, iter(())) as proxy:
        reader = connect("test", "test", url=proxy.url)
        # All over one connection.
        reader(f"{path}/a").subscribe(taker("a"), on_notice=notices.append)
        reader(f"{path}/b").subscribe(taker("b"), i1=0, on_notice=notices.append)
        reader(path).subscribe(taker("all"), on_notice=notices.append)
        reader(f"{path}/lamp").subscribe(taker("lamp"), downlink=True, on_notice=notices.append)
        todo = list(cuts())
        # The connection that is there has to end once, for the next ones to be cut.
        proxy.cuts = iter(todo)
        reader._session.subscriptions._socket.close()
        lamp = threading.Thread(target=lambda: [boss(f"{path}/lamp").insert(n) for n in range(50)])
        lamp.start()
        with Writer(own, "a", "b").writing():
            until(lambda: proxy.cut == len(todo), f"all cuts: {proxy.cut} of {len(todo)}, {proxy.made} made", SECONDS)
        lamp.join()
        boss(f"{path}/lamp").insert(END)
        expected = {
            ("a", f"{path}/a"),
            ("b", f"{path}/b"),
            ("all", f"{path}/a"),
            ("all", f"{path}/b"),
            ("lamp", f"{path}/lamp/downlink"),
        }
        until(lambda: over >= expected, "the end of each")

    a, b = points_of(own["a"]), points_of(own["b"])
    assert [(t, d) for _, t, d in got["a"]] == a
    assert [(t, d) for _, t, d in got["b"]] == b
    assert [(t, d) for p, t, d in got["all"] if p == f"{path}/a"] == a
    assert [(t, d) for p, t, d in got["all"] if p == f"{path}/b"] == b
    assert {p for p, _, _ in got["all"]} == {f"{path}/a", f"{path}/b"}
    assert [(t, d) for _, t, d in got["lamp"]] == points_of(own["lamp"], downlink=True)
    assert [d for _, _, d in got["lamp"]] == [*range(50), END]
    assert {notice.kind for notice in notices} <= {"lag"}


def test_live_streams_lose_and_double_nothing_wherever_the_connection_is_cut(
    server: LiveServer, connect: Callable[..., ConnectorDB], fresh_name: str
) -> None:
    device = connect("test", "test", url=server.url)(f"test/{fresh_name}")
    device.create(streams={"a": {}})
    own = connect(device.apikey, url=server.url)
    own["a"].insert_array([{"t": t, "d": t} for t in range(1, 30)])
    todo = list(chain((Cut(10**9),), (Cut(n, reset=n % 3 == 0) for n in range(min(BYTES, 2048)))))
    got: list[tuple[float, Any]] = []
    with CuttingProxy(server.port, iter(todo)) as proxy:
        reader = connect("test", "test", url=proxy.url)
        live = reader(f"test/{fresh_name}/a").live(i1=0)
        live._hang_up()

        def read() -> None:
            for point in live:
                got.append((point["t"], point["d"]))
                if point["d"] == END:
                    live.close()

        thread = threading.Thread(target=read)
        thread.start()
        with Writer(own, "a").writing():
            until(
                lambda: proxy.cut == len(todo) - 1 or not thread.is_alive(),
                f"all cuts: {proxy.cut} of {len(todo)}, {proxy.made} made",
                SECONDS,
            )
        thread.join(60)
        assert not thread.is_alive()
    stored = points_of(own["a"])
    assert [point for point, n in Counter(got).items() if n > Counter(stored)[point]][:10] == []
    assert got == stored


def test_connections_that_go_silent_are_given_up(
    server: LiveServer, connect: Callable[..., ConnectorDB], fresh_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_socket, "PING_INTERVAL_S", 0.2)
    monkeypatch.setattr(_socket, "PING_TIMEOUT_S", 0.3)
    monkeypatch.setattr(_live, "SILENCE_MAX_S", 0.5)
    device = connect("test", "test", url=server.url)(f"test/{fresh_name}")
    device.create(streams={"a": {}})
    own = connect(device.apikey, url=server.url)
    todo = [Cut(n, silent=True) for n in (0, 100, 500, 1000, 3000, 5000)]
    got: list[Any] = []
    got_live: list[Any] = []
    with CuttingProxy(server.port, iter(todo)) as proxy:
        reader = connect("test", "test", url=proxy.url)
        stream = reader(f"test/{fresh_name}/a")
        proxy.cuts = iter([Cut(10**9)])
        stream.subscribe(lambda _, data: got.extend(data.d()), i1=0)
        proxy.cuts = iter([Cut(10**9)])
        live = stream.live(i1=0)

        def read() -> None:
            for point in live:
                got_live.append(point["d"])
                if point["d"] == END:
                    live.close()

        thread = threading.Thread(target=read)
        thread.start()
        proxy.cuts = iter(todo)
        reader._session.subscriptions._socket.close()
        live._reply.abort()
        with Writer(own, "a").writing():
            until(lambda: proxy.cut == len(todo), f"all cuts: {proxy.cut}")
        thread.join(60)
        assert not thread.is_alive()
        until(lambda: got and got[-1] == END, "the end")
    stored = [d for _, d in points_of(own["a"])]
    assert got == stored
    assert got_live == stored
