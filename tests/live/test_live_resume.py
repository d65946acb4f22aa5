"""What has happened while a subscriber, or the server, was away."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from conditions import until

from connectordb import Closed, ConnectorDB, ConnectorDBError, NotFound, Unauthenticated
from connectordb.client import _backoff
from live_server import LiveServer

Connect = Callable[..., ConnectorDB]


class Taken:
    """A callback, and a receiver of notices, that note what they get."""

    def __init__(self) -> None:
        self.points: list[tuple[str, Any]] = []
        self.notices: list[tuple[str, str, int | None]] = []

    def __call__(self, path: str, data: Any) -> None:
        self.points += [(path.rpartition("/")[2], point["d"]) for point in data]

    def tell(self, notice: Any) -> None:
        self.notices.append((notice.kind, notice.path.rpartition("/")[2], notice.n))

    @property
    def values(self) -> list[Any]:
        return [d for _, d in self.points]


@pytest.fixture
def admin(server: LiveServer, connect: Connect) -> ConnectorDB:
    return connect("test", "test", url=server.url)


class Away:
    """A client without a connection: ``with Away(client):``. It is back some time after the end."""

    def __init__(self, client: ConnectorDB) -> None:
        self._subscriptions = client._session.subscriptions

    def __enter__(self) -> None:
        # It may begin to connect, but takes nothing.
        self._real = self._subscriptions._receive_all
        self._subscriptions._receive_all = self._refuse
        self._subscriptions._socket.close()
        until(lambda: self._subscriptions._socket is None, "the end of the connection")

    def __exit__(self, *exc_info: object) -> None:
        self._subscriptions._receive_all = self._real

    def _refuse(self, socket: Any) -> Exception:
        socket.close()
        return ConnectorDBError("not yet")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_backoff, "FIRST_S", 0.05)
    monkeypatch.setattr(_backoff, "MAX_S", 0.1)


@pytest.fixture
def source(admin: ConnectorDB, server: LiveServer, connect: Connect, fresh_name: str) -> ConnectorDB:
    """A connection as a device of its own, with the streams ``s`` and ``gone``, and ``e``, which is ephemeral."""
    device = admin(f"test/{fresh_name}")
    device.create(streams={"s": {}, "gone": {}, "e": {"ephemeral": True}})
    return connect(device.apikey, url=server.url)


def test_stream_that_was_deleted_and_made_again_begins_anew(source: ConnectorDB, admin: ConnectorDB) -> None:
    taken = Taken()
    path = f"{source.path}/s"
    admin(path).subscribe(taken, on_notice=taken.tell)
    source["s"].insert("old")
    until(lambda: taken.values == ["old"])
    with Away(admin):
        source["s"].insert("lost with the stream")
        source["s"].delete()
        source["s"].create()
        source["s"].insert("new 1")
        source["s"].insert("new 2")
    until(lambda: len(taken.points) == 3)
    source["s"].insert("new 3")
    until(lambda: taken.values == ["old", "new 1", "new 2", "new 3"])
    assert taken.notices == [("reset", "s", None)]


def test_stream_that_was_deleted_ends_the_subscription(
    source: ConnectorDB, admin: ConnectorDB, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "connectordb")
    taken = Taken()
    subscription = admin(f"{source.path}/gone").subscribe(taken, on_notice=taken.tell)
    with Away(admin):
        source["gone"].delete()
    until(lambda: not subscription.active)
    assert isinstance(subscription.error, NotFound), repr(subscription.error)
    assert taken.notices == [("ended", "gone", None)]


def test_pattern_has_what_was_made_meanwhile(source: ConnectorDB, admin: ConnectorDB) -> None:
    taken = Taken()
    subscription = admin(source.path).subscribe(taken, on_notice=taken.tell)
    source["s"].insert("s 1")
    until(lambda: taken.values == ["s 1"])
    with Away(admin):
        source["new"].create()
        source["new"].insert("new 1")
        source["s"].insert("s 2")
        source["gone"].insert("gone 1")
        source["gone"].delete()
        source["new"].insert("new 2")
    until(lambda: len(taken.points) == 4)
    source["new"].insert("new 3")
    source["s"].insert("s 3")
    until(lambda: len(taken.points) == 6)
    assert [d for name, d in taken.points if name == "new"] == ["new 1", "new 2", "new 3"]
    assert [d for name, d in taken.points if name == "s"] == ["s 1", "s 2", "s 3"]
    assert set(taken.notices) <= {("ended", "gone", None)}
    # And by its cursor, in another client.
    cursor = subscription.cursor
    subscription.close()
    source["newer"].create()
    source["newer"].insert("newer 1")
    source["s"].insert("s 4")
    again = Taken()
    admin(source.path).subscribe(again, cursor=cursor)
    until(lambda: len(again.points) == 2)
    assert set(again.points) == {("newer", "newer 1"), ("s", "s 4")}


def test_ephemeral_stream_says_how_much_is_missed(source: ConnectorDB, admin: ConnectorDB) -> None:
    taken = Taken()
    subscription = admin(f"{source.path}/e").subscribe(taken, on_notice=taken.tell)
    source["e"].insert(0)
    until(lambda: taken.values == [0])
    with Away(admin):
        for n in range(1, 6):
            source["e"].insert(n)
    until(lambda: taken.notices)
    source["e"].insert(6)
    until(lambda: taken.values == [0, 6])
    assert taken.notices == [("missed", "e", 5)]
    assert subscription.missed == 5


def test_ephemeral_stream_says_that_nobody_knows_after_a_restart(own_server: LiveServer, connect: Connect) -> None:
    db = connect("test", "test", url=own_server.url)
    db["e"].create(ephemeral=True)
    taken = Taken()
    subscription = db["e"].subscribe(taken, on_notice=taken.tell)
    db["e"].insert(0)
    until(lambda: taken.values == [0])
    own_server.kill()
    own_server.start()
    until(lambda: taken.notices)
    db["e"].insert(1)
    until(lambda: taken.values == [0, 1])
    assert taken.notices == [("missed", "e", None)]
    assert subscription.missed is None


def test_late_datapoints_that_came_meanwhile_are_not_missed(source: ConnectorDB, admin: ConnectorDB) -> None:
    taken = Taken()
    stream = source["s"]
    stream.insert_array([{"t": t, "d": t} for t in (10, 20, 30)])
    admin(stream.path).subscribe(taken, i1=1)
    until(lambda: taken.values == [20, 30])
    for n in range(3):
        with Away(admin):
            stream.insert_array([{"t": 5 + n, "d": f"late {n}"}, {"t": 25 + n, "d": f"mid {n}"}], merge=True)
            stream.insert_array([{"t": 100 + n, "d": f"next {n}"}])
        until(lambda n=n: len(taken.points) == 2 + 3 * (n + 1))
        stream.insert_array([{"t": 1, "d": f"live {n}"}], merge=True)
        until(lambda n=n: f"live {n}" in taken.values)
        taken.points.remove(("s", f"live {n}"))
    expected = [f"{kind} {n}" for n in range(3) for kind in ("late", "mid", "next")]
    assert sorted(taken.values[2:]) == sorted(expected)


def test_restored_backup_is_told(own_server: LiveServer, connect: Connect, tmp_path: Path) -> None:
    db = connect("test", "test", url=own_server.url)
    db["s"].create()
    taken = Taken()
    db["s"].subscribe(taken, on_notice=taken.tell)
    db["s"].insert("before")
    until(lambda: taken.values == ["before"])
    own_server.stop()
    shutil.copytree(own_server.folder, tmp_path / "backup")
    own_server.start()
    for n in range(5):
        db["s"].insert(f"lost {n}")
    until(lambda: len(taken.points) == 6)
    own_server.kill()
    shutil.rmtree(own_server.folder)
    shutil.copytree(tmp_path / "backup", own_server.folder)
    own_server.start()
    until(lambda: taken.notices)
    db["s"].insert("after")
    until(lambda: taken.values[-1] == "after")
    assert len(taken.points) == 7
    assert taken.notices == [("reset", "s", None)]


def test_key_that_was_reset_while_the_server_was_away_ends_the_subscription(
    own_server: LiveServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "connectordb")
    admin = connect("test", "test", url=own_server.url)
    device = admin("test/d")
    device.create(streams={"s": {}})
    own = connect(device.apikey, url=own_server.url)
    taken = Taken()
    subscription = own["s"].subscribe(taken, on_notice=taken.tell)
    with Away(own):
        device.set({"apikey": ""})
    until(lambda: not subscription.active)
    assert isinstance(subscription.error, Unauthenticated)


def test_many_subscriptions_that_come_and_go_at_once(source: ConnectorDB, admin: ConnectorDB) -> None:
    over = threading.Event()
    failed: list[Exception] = []
    stream = admin(f"{source.path}/s")

    def churn() -> None:
        try:
            while not over.is_set():
                with suppress(Closed):  # the other thread has ended it before it was confirmed
                    stream.subscribe(lambda *_: None)
                stream.unsubscribe()
        except Exception as e:
            failed.append(e)

    def replace() -> None:
        try:
            while not over.is_set():
                admin(source.path).subscribe(lambda *_: None)
        except Exception as e:
            failed.append(e)

    taken = Taken()
    admin(f"{source.path}/gone").subscribe(taken)
    threads = [threading.Thread(target=work) for work in (churn, churn, replace)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 3
    n = 0
    while time.monotonic() < end:
        source["s"].insert(n)
        source["gone"].insert(n)
        n += 1
    over.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert failed == []
    until(lambda: taken.values == list(range(n)))
    last = Taken()
    stream.subscribe(last)
    source["s"].insert("last")
    until(lambda: last.values == ["last"])
