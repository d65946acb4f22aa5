"""Subscriptions against a real server: what the callback gets, in which thread, and how it ends."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connectordb import (
    Closed,
    ConnectFailed,
    ConnectorDB,
    DatapointArray,
    InvalidRange,
    NotFound,
    Notice,
    PermissionDenied,
    RequestError,
    ScriptError,
    Subscription,
)
from connectordb.client import _subscription

PATIENCE_S = 20.0


class Got:
    """A callback that notes what it gets; and on_notice."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, DatapointArray]] = []
        self.threads: set[int] = set()
        self.notices: list[Notice] = []

    def __call__(self, path: str, data: DatapointArray) -> None:
        assert isinstance(data, DatapointArray)
        self.calls.append((path, data))
        self.threads.add(threading.get_ident())

    def notice(self, notice: Notice) -> None:
        self.notices.append(notice)

    @property
    def values(self) -> list[Any]:
        return [point["d"] for _, data in self.calls for point in data]

    def wait(self, n: int) -> list[Any]:
        """Wait for so many datapoints, and for a moment whether there are more."""
        until(lambda: len(self.values) >= n)
        time.sleep(0.05)
        return self.values


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.002)


@pytest.fixture
def got() -> Got:
    return Got()


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    until(lambda: not (left := set(threading.enumerate()) - before) or not any("connectordb-" in t.name for t in left))


def test_the_callback_gets_each_insert(any_values: Any, got: Got) -> None:
    subscription = any_values.subscribe(got)
    any_values.insert("one")
    any_values.insert_array([{"t": 4e9, "d": 2}, {"t": 4e9 + 1, "d": {"three": [3, None]}}])
    assert got.wait(3) == ["one", 2, {"three": [3, None]}]
    assert [path for path, _ in got.calls] == [any_values.path] * 2
    assert got.calls[1][1] == any_values[1:]
    assert len(got.threads) == 1
    assert threading.get_ident() not in got.threads
    assert (subscription.path, subscription.transform) == (any_values.path, "")
    assert (subscription.active, subscription.error, subscription.lag, subscription.missed) == (True, None, 0, 0)


def test_a_thread_for_each_subscription_as_long_as_it_lives(device: ConnectorDB, got: Got) -> None:
    other = Got()
    device["a"].create()
    device["b"].create()
    device["a"].subscribe(got)
    device["b"].subscribe(other)
    for i in range(20):
        device["a"].insert(i)
        device["b"].insert(i)
    assert got.wait(20) == other.wait(20) == list(range(20))
    assert len(got.threads) == len(other.threads) == 1
    assert not got.threads & other.threads


STARTS: list[tuple[dict[str, Any], list[int]]] = [
    ({}, []),
    ({"since": 2}, [3, 4]),
    ({"since": 0.0}, [1, 2, 3, 4]),
    ({"since": "1970-01-01T00:00:03Z"}, [4]),
    ({"i1": 1}, [2, 3, 4]),
    ({"i1": -1}, [4]),
]


@pytest.mark.parametrize(("start", "history"), STARTS)
def test_history_and_then_what_comes(any_values: Any, got: Got, start: dict[str, Any], history: list[int]) -> None:
    any_values.insert_array([{"t": i, "d": i} for i in (1, 2, 3, 4)])
    any_values.subscribe(got, **start)
    any_values.insert(5)
    assert got.wait(len(history) + 1) == [*history, 5]


def test_another_client_goes_on_at_the_cursor(any_values: Any, got: Got, server: Any) -> None:
    subscription = any_values.subscribe(got)
    start = subscription.cursor
    assert isinstance(start, str)
    any_values.insert(1)
    got.wait(1)
    until(lambda: subscription.cursor != start)
    cursor = subscription.cursor
    subscription.close()
    any_values.insert(2)
    other = Got()
    with ConnectorDB("test", "test", url=server.url) as db:
        db(any_values.path).subscribe(other, cursor=cursor)
        any_values.insert(3)
        assert other.wait(2) == [2, 3]
    assert got.values == [1]


def test_all_streams_of_a_device_and_of_a_user(db: ConnectorDB, device: ConnectorDB, got: Got) -> None:
    of_user = Got()
    device["a"].create()
    subscription = device.subscribe(got)
    user_subscription = db.user.subscribe(of_user)
    assert (subscription.path, user_subscription.path) == (f"{device.path}/*", "test/*/*")
    device["a"].insert(1)
    device["later"].create()
    device["later"].insert(2)
    assert got.wait(2) == [1, 2]
    assert [path for path, _ in got.calls] == [f"{device.path}/a", f"{device.path}/later"]
    until(lambda: {1, 2} <= {d for d in of_user.values if isinstance(d, int)})
    until(lambda: isinstance(subscription.cursor, dict) and f"{device.path}/later" in subscription.cursor)
    cursor = subscription.cursor
    device.unsubscribe()
    db.user.unsubscribe()
    assert not subscription.active
    assert not user_subscription.active
    device["a"].insert(3)
    again = Got()
    device.subscribe(again, cursor=cursor)
    assert again.wait(1) == [3]


def test_a_deleted_stream_is_told_and_the_others_go_on(device: ConnectorDB, got: Got) -> None:
    device["a"].create()
    device["b"].create()
    subscription = device.subscribe(got, on_notice=got.notice)
    device["a"].delete()
    until(lambda: got.notices)
    assert [(n.kind, n.path, type(n.error)) for n in got.notices] == [("ended", f"{device.path}/a", NotFound)]
    device["b"].insert(1)
    assert got.wait(1) == [1]
    assert subscription.active
    assert isinstance(subscription.cursor, dict)
    assert f"{device.path}/a" not in subscription.cursor


def test_a_subscription_ends_with_its_stream(any_values: Any, got: Got, caplog: pytest.LogCaptureFixture) -> None:
    subscription = any_values.subscribe(got)
    any_values.insert(1)
    any_values.delete()
    until(lambda: not subscription.active)
    assert got.values == [1]
    assert isinstance(subscription.error, NotFound)
    assert any_values.path in caplog.text
    subscription.close()
    assert isinstance(subscription.error, NotFound)


def test_a_refused_subscription_raises(device: ConnectorDB, any_values: Any, got: Got) -> None:
    with pytest.raises(NotFound):
        device["nosuch"].subscribe(got)
    with pytest.raises(RequestError):
        any_values.subscribe(got, cursor="not a cursor")
    with pytest.raises(ScriptError):
        any_values.subscribe(got, "nosuch")
    with pytest.raises(InvalidRange):
        any_values.subscribe(got, since=1.0, i1=1)
    with pytest.raises(InvalidRange):
        any_values.subscribe(got, downlink=True, i1=1)
    for callback, on_error, kind in ((None, "end", TypeError), (got, "ignore", ValueError)):
        with pytest.raises(kind):
            any_values.subscribe(callback, on_error=on_error)
    any_values.subscribe(got)
    any_values.insert(1)
    assert got.wait(1) == [1]


def test_no_server(got: Got) -> None:
    from connectordb.client import Credentials, HttpTransport, Session, Stream

    session = Session(HttpTransport("http://127.0.0.1:9"), Credentials(password="x"))
    with pytest.raises(ConnectFailed):
        Stream(session, "u/d/s").subscribe(got)
    session.close()


def test_the_second_takes_the_place_of_the_first(any_values: Any, got: Got) -> None:
    other = Got()
    first = any_values.subscribe(got)
    second = any_values.subscribe(other)
    assert (first.active, second.active) == (False, True)
    any_values.insert(1)
    assert other.wait(1) == [1]
    assert got.values == []
    first.close()
    any_values.insert(2)
    assert other.wait(2) == [1, 2]


def test_a_stream_and_its_downlink_are_two(any_values: Any, device: ConnectorDB, db: ConnectorDB, got: Got) -> None:
    any_values.downlink = True
    requests = Got()
    seen = db(any_values.path)
    seen.subscribe(got)
    seen.subscribe(requests, downlink=True)
    any_values.insert(1)
    seen.insert(2)
    assert (got.wait(1), requests.wait(1)) == ([1], [2])
    assert requests.calls == [(f"{any_values.path}/downlink", any_values(downlink=True, i1=0))]
    seen.unsubscribe(downlink=True)
    seen.insert(3)
    any_values.insert(4)
    assert (got.wait(2), requests.values) == ([1, 4], [2])


def test_unsubscribing(any_values: Any, got: Got) -> None:
    subscription = any_values.subscribe(got)
    any_values.insert(1)
    got.wait(1)
    any_values.unsubscribe()
    any_values.unsubscribe()
    any_values.unsubscribe("count", downlink=True)
    assert not subscription.active
    assert subscription.error is None
    any_values.insert(2)
    any_values.subscribe(other := Got(), i1=0)
    assert other.wait(2) == [1, 2]
    assert got.values == [1]


def test_closing_within_the_callback(any_values: Any) -> None:
    calls: list[str] = []

    def callback(path: str, data: Any) -> None:
        calls.append(path)
        subscription.close()
        assert not subscription.active

    subscription = any_values.subscribe(callback, i1=0)
    any_values.insert(1)
    until(lambda: not subscription.active)
    any_values.insert(2)
    time.sleep(0.05)
    assert len(calls) == 1


def test_unsubscribing_and_subscribing_within_the_callback(any_values: Any, got: Got) -> None:
    def callback(path: str, data: Any) -> None:
        any_values.unsubscribe()
        any_values.subscribe(got, i1=0)

    any_values.subscribe(callback)
    any_values.insert(1)
    got.wait(1)
    any_values.insert(2)
    assert got.wait(2) == [1, 2]


def test_closing_the_client_within_a_callback(server: Any, any_values: Any) -> None:
    own = ConnectorDB("test", "test", url=server.url)
    done = threading.Event()

    def callback(path: str, data: Any) -> None:
        own.close()
        done.set()

    subscriptions = [own(any_values.path).subscribe(callback), own("test/user").subscribe(callback)]
    any_values.insert(1)
    assert done.wait(PATIENCE_S)
    assert not any(s.active for s in subscriptions)
    with pytest.raises(Closed):
        own(any_values.path).subscribe(callback)
    own.close()


def test_closing_the_client_ends_all_threads(server: Any, any_values: Any) -> None:
    before = set(threading.enumerate())
    with ConnectorDB("test", "test", url=server.url) as own:
        subscription = own(any_values.path).subscribe(lambda path, data: time.sleep(0.2))
        own.user.subscribe(print)
        any_values.insert(1)
        time.sleep(0.05)
        assert len(set(threading.enumerate()) - before) >= 3
        began = time.monotonic()
    assert set(threading.enumerate()) <= before
    assert time.monotonic() - began < 5
    assert not subscription.active
    subscription.close()


def test_an_exception_in_the_callback_is_logged_and_the_subscription_goes_on(
    any_values: Any, got: Got, caplog: pytest.LogCaptureFixture
) -> None:
    def callback(path: str, data: Any) -> None:
        got(path, data)
        raise ZeroDivisionError("just so")

    subscription = any_values.subscribe(callback)
    any_values.insert(1)
    any_values.insert(2)
    assert got.wait(2) == [1, 2]
    assert subscription.active
    until(lambda: len(caplog.records) >= 2)
    assert {(r.name, r.levelno) for r in caplog.records} == {("connectordb", logging.ERROR)}
    assert "ZeroDivisionError: just so" in caplog.text
    assert any_values.path in caplog.text


@pytest.mark.parametrize("error", [ZeroDivisionError("just so"), SystemExit(3)])
def test_an_exception_may_end_it(any_values: Any, got: Got, error: BaseException) -> None:
    def callback(path: str, data: Any) -> None:
        got(path, data)
        raise error

    on_error: Any = "end" if isinstance(error, Exception) else "continue"
    subscription = any_values.subscribe(callback, on_notice=got.notice, on_error=on_error)
    any_values.insert(1)
    until(lambda: not subscription.active)
    assert subscription.error is error
    assert got.notices == [Notice("ended", any_values.path, None, error)]
    any_values.insert(2)
    time.sleep(0.05)
    assert got.values == [1]


def test_an_exception_in_on_notice_is_logged(any_values: Any, got: Got, caplog: pytest.LogCaptureFixture) -> None:
    def on_notice(notice: Notice) -> None:
        raise ZeroDivisionError("just so")

    subscription = any_values.subscribe(got, on_notice=on_notice)
    any_values.delete()
    until(lambda: not subscription.active)
    assert "on_notice" in caplog.text


def test_a_slow_callback_loses_nothing_and_delays_nobody(
    device: ConnectorDB, got: Got, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_subscription, "QUEUE_POINTS_MAX", 10)
    slow, gate = Got(), threading.Event()

    def callback(path: str, data: DatapointArray) -> None:
        gate.wait(PATIENCE_S)
        slow(path, data)

    stream = device["s"]
    stream.create()
    subscription: Subscription = stream.subscribe(callback, on_notice=slow.notice)
    device.subscribe(got)
    for i in range(100):
        stream.insert(i)
    assert got.wait(100) == list(range(100))
    assert len(subscription._waiting) <= 11
    assert subscription.lag >= 10
    gate.set()
    assert slow.wait(100) == list(range(100))
    stream.insert(100)
    assert slow.wait(101) == list(range(101))
    assert slow.notices[0] == Notice("lag", stream.path, 10)
    until(lambda: subscription.lag == 0)


def test_a_slow_callback_of_many_streams_loses_nothing(device: ConnectorDB, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_subscription, "QUEUE_POINTS_MAX", 7)
    slow, gate = Got(), threading.Event()

    def callback(path: str, data: DatapointArray) -> None:
        gate.wait(PATIENCE_S)
        slow(path, data)

    device["s0"].create()
    device.subscribe(callback)
    for n in range(1, 5):
        device[f"s{n}"].create()
        for i in range(10):
            for m in range(n + 1):
                device[f"s{m}"].insert(i + 10 * n)
    gate.set()
    expected = {f"{device.path}/s{m}": [10 * n + i for n in range(max(1, m), 5) for i in range(10)] for m in range(5)}
    slow.wait(sum(map(len, expected.values())))
    got: dict[str, list[Any]] = {}
    for path, data in slow.calls:
        got.setdefault(path, []).extend(data.d())
    assert got == expected


def test_large_inserts_are_bounded_in_bytes(any_values: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_subscription, "QUEUE_BYTES_MAX", 100_000)
    slow, gate = Got(), threading.Event()

    def callback(path: str, data: DatapointArray) -> None:
        gate.wait(PATIENCE_S)
        slow(path, data)

    subscription = any_values.subscribe(callback)
    for i in range(20):
        any_values.insert(f"{i} " + "x" * 30_000)
    until(lambda: subscription._held)
    assert subscription._waiting_bytes <= 100_000
    gate.set()
    assert [int(d.split()[0]) for d in slow.wait(20)] == list(range(20))


def test_a_large_datapoint(any_values: Any, got: Got) -> None:
    any_values.subscribe(got)
    any_values.insert("x" * 9_000_000)
    assert [len(d) for d in got.wait(1)] == [9_000_000]


def test_of_an_ephemeral_stream_what_is_missed_is_told(
    any_values: Any, got: Got, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_subscription, "QUEUE_POINTS_MAX", 5)
    any_values.ephemeral = True
    gate = threading.Event()

    def callback(path: str, data: DatapointArray) -> None:
        gate.wait(PATIENCE_S)
        got(path, data)

    subscription = any_values.subscribe(callback, on_notice=got.notice)
    for i in range(50):
        any_values.insert(i)
    until(lambda: subscription._held)
    time.sleep(0.1)
    gate.set()
    until(lambda: any(n.kind == "missed" for n in got.notices))
    assert got.values == sorted(set(got.values))
    assert subscription.missed == 50 - len(got.values) > 0


def test_a_withdrawn_right_ends_it(server: Any, db: ConnectorDB, fresh_name: str, got: Got) -> None:
    owner, reader = db(fresh_name), db(f"{fresh_name}-reader")
    owner.create(f"{fresh_name}@localhost", "secret")
    reader.create(f"{fresh_name}-reader@localhost", "secret")
    device = owner["phone"]
    device.create(public=True)
    with (
        ConnectorDB(device.apikey, url=server.url) as own,
        ConnectorDB(reader.name, "secret", url=server.url) as other,
    ):
        own["s"].create()
        subscription = other(own["s"].path).subscribe(got, on_notice=got.notice)
        own["s"].insert(1)
        assert got.wait(1) == [1]
        device.public = False
        own["s"].insert(2)
        until(lambda: not subscription.active)
        assert isinstance(subscription.error, RequestError)
        assert [n.kind for n in got.notices] == ["ended"]
    assert got.values == [1]
    reader.delete()
    owner.delete()


def test_a_key_that_is_withdrawn_ends_all(server: Any, db: ConnectorDB, fresh_name: str, got: Got) -> None:
    device = db(f"test/{fresh_name}")
    device.create()
    with ConnectorDB(device.apikey, url=server.url) as own:
        own["s"].create()
        subscriptions = [own["s"].subscribe(got, on_notice=got.notice), own.subscribe(got, on_notice=got.notice)]
        db(device.path).reset_apikey()
        until(lambda: not any(s.active for s in subscriptions))
        assert all(isinstance(s.error, RequestError) and s.error.status == 401 for s in subscriptions)
        assert [n.kind for n in got.notices] == ["ended"] * 2
    device.delete()


def test_after_a_new_key_of_its_own_it_goes_on(server: Any, db: ConnectorDB, fresh_name: str, got: Got) -> None:
    device = db(f"test/{fresh_name}")
    device.create()
    with ConnectorDB(device.apikey, url=server.url) as own:
        own["s"].create()
        subscription = own["s"].subscribe(got)
        own["s"].insert(1)
        own.reset_apikey()
        own["s"].insert(2)
        assert got.wait(2) == [1, 2]
        assert subscription.active
    device.delete()


def test_nobody_may_subscribe_to_what_is_not_public(server: Any, any_values: Any, got: Got) -> None:
    with ConnectorDB(url=server.url) as nobody, pytest.raises((NotFound, PermissionDenied)):
        nobody(any_values.path).subscribe(got)


def test_the_log_of_the_user(db: ConnectorDB, fresh_name: str, got: Got) -> None:
    db("test/meta/log").subscribe(got)
    db(f"test/{fresh_name}").create()
    assert got.wait(1) == [{"cmd": "CreateDevice", "arg": f"test/{fresh_name}"}]
    db(f"test/{fresh_name}").delete()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_after_a_fork(server: Any, any_values: Any, got: Got) -> None:
    subscription = any_values.subscribe(got)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            other = Got()
            assert not subscription.active
            any_values.subscribe(other)
            any_values.insert("from the child")
            other.wait(1)
            subscription.close()
            any_values._session.close()
            status = 0
        finally:
            os._exit(status)
    deadline = time.monotonic() + PATIENCE_S
    while (done := os.waitpid(pid, os.WNOHANG))[0] == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert done == (pid, 0), "the child hangs or has failed"
    any_values.insert("from the parent")
    assert got.wait(2) == ["from the child", "from the parent"]


def test_local_mode(tmp_path: Any, got: Got) -> None:
    with ConnectorDB.local(tmp_path / "db", user="me") as db:
        db["s"].create()
        subscription = db["s"].subscribe(got)
        db["s"].insert(1)
        assert got.wait(1) == [1]
        with pytest.raises(NotFound):
            db["nosuch"].subscribe(got)
    assert not subscription.active
