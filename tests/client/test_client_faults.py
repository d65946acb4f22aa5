"""Connections that break, servers that go: nothing is lost, nothing is stored twice, and the error says what is."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from connectordb import Closed, ConnectFailed, ConnectorDB, NotFound, Stream, TransportError
from connectordb.client import HttpTransport, _session

CUTS = ["request", 0, 1, 16, 40, 100, 300]
"""Before the request, before the reply, within its headers, in its body, after it."""


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_session, "BACKOFF_FIRST_S", 0.02)


@pytest.fixture
def shaky(proxy: Any, device: ConnectorDB) -> Any:
    """The device's connection through the proxy."""
    with ConnectorDB(device.apikey, url=proxy.url, retries=6) as shaky:
        yield shaky


def broken(db: ConnectorDB, proxy: Any, *faults: Any) -> None:
    """Let the next connections break. The ones that are open are given up."""
    proxy.faults[:] = faults
    transport: Any = db._session.transport
    pool, transport._made = transport._made, None
    if pool is not None:
        pool.close()


@pytest.mark.parametrize("cut", CUTS)
def test_lost_reply_does_not_double_points(shaky: ConnectorDB, proxy: Any, any_values: Any, cut: Any) -> None:
    stream = shaky["any"]
    for i in range(3):
        broken(shaky, proxy, cut, cut, cut)
        stream.insert(i)
    broken(shaky, proxy, cut, None, cut)
    stream.insert_array([{"t": 4e9 + i, "d": i} for i in range(7000)])
    assert any_values[:3].d() == [0, 1, 2]
    assert any_values[3:].d() == list(range(7000))


@pytest.mark.parametrize("cut", [*CUTS, 5000, 200_000])
def test_reading_goes_on_after_a_lost_connection(shaky: ConnectorDB, proxy: Any, any_values: Any, cut: Any) -> None:
    any_values.insert_array([{"t": 1.0 + i, "d": i} for i in range(9000)])
    stream = shaky["any"]
    broken(shaky, proxy, cut, cut)
    assert len(stream) == 9000
    read = []
    for point in stream.iter(page=1000):
        if point["d"] % 3000 == 0:
            broken(shaky, proxy, cut)
        read.append(point["d"])
    assert read == list(range(9000))
    broken(shaky, proxy, cut, cut)
    assert stream[:].d() == read


@pytest.mark.parametrize("cut", CUTS)
def test_lost_reply_to_a_delete(shaky: ConnectorDB, proxy: Any, any_values: Any, cut: Any) -> None:
    broken(shaky, proxy, cut, None)
    shaky["any"].delete()
    assert not any_values.exists()
    broken(shaky, proxy)
    with pytest.raises(NotFound):
        shaky["any"].delete()


@pytest.mark.parametrize("cut", [0, 16, 40])
def test_lost_reply_to_a_create_is_told_and_not_repeated(
    shaky: ConnectorDB, proxy: Any, device: ConnectorDB, cut: int
) -> None:
    broken(shaky, proxy, cut)
    with pytest.raises(Closed):
        shaky["once"].create()
    assert device["once"].exists()


def test_repeated_update_is_the_same(shaky: ConnectorDB, proxy: Any, any_values: Any) -> None:
    broken(shaky, proxy, 0, 40)
    shaky["any"].nickname = "twice"
    any_values.refresh()
    assert any_values.nickname == "twice"


def test_without_retries_the_loss_is_told(proxy: Any, device: ConnectorDB, any_values: Any) -> None:
    with ConnectorDB(device.apikey, url=proxy.url, retries=0) as once:
        broken(once, proxy, 0)
        with pytest.raises(TransportError):
            once["any"].insert(1)
    assert len(any_values) == 1


def test_server_that_is_gone_and_comes_back(own_server: Any) -> None:
    with ConnectorDB("test", "test", url=own_server.url, retries=50) as db:
        stream: Stream = db["s"]
        stream.create({"type": "integer"})
        inserted: list[int] = []
        stop = threading.Event()

        def insert() -> None:
            while not stop.is_set():
                stream.insert(len(inserted))
                inserted.append(len(inserted))

        thread = threading.Thread(target=insert)
        thread.start()
        for kill in (False, True):
            enough = len(inserted) + 20
            deadline = time.monotonic() + 30
            while len(inserted) < enough and time.monotonic() < deadline:
                time.sleep(0.01)
            own_server.stop(kill=kill)
            own_server.start()
        stop.set()
        thread.join(60)
        assert not thread.is_alive()
        assert len(inserted) >= 40
        assert [p["d"] for p in stream.iter()] == inserted


def test_server_that_stays_away(own_server: Any) -> None:
    with ConnectorDB("test", "test", url=own_server.url, retries=2) as db:
        own_server.stop()
        for use in (db.ping, db["s"].exists, lambda: db["s"].insert(1)):
            with pytest.raises(ConnectFailed):
                use()


def test_insert_cut_off_for_good_tells_how_many_are_in(own_server: Any) -> None:
    with ConnectorDB("test", "test", url=own_server.url, retries=1) as db:
        stream: Stream = db["s"]
        stream.create()

        def points() -> Any:
            for i in range(20_000):
                if i == 10_000:
                    own_server.stop(kill=True)
                yield {"t": float(i + 1), "d": i}

        with pytest.raises(ConnectFailed) as caught:
            stream.insert_array(points())
        own_server.start()
        assert caught.value.inserted == len(stream) == 10_000


def test_threads_wait_for_a_connection(server: Any) -> None:
    transport = HttpTransport(server.url, pool_size=1)
    with (
        transport.stream("GET", "/api/v1/?q=this", headers={}, body=None, timeout_s=5),
        pytest.raises(ConnectFailed, match="in use by other threads"),
    ):
        transport.request("GET", "/api/v1/?q=this", headers={}, body=None, timeout_s=0.1)
    assert transport.request("GET", "/api/v1/?q=this", headers={}, body=None, timeout_s=5).body == b"nobody"
    transport.close()
