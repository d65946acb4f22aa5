"""Downlinks: a request is done once, and its sender hears what came of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connectordb import (
    Closed,
    ConnectorDB,
    DatapointArray,
    Downlink,
    InvalidValue,
    NotFound,
    Notice,
    PermissionDenied,
    SchemaMismatch,
    Stream,
)
from connectordb.client import Credentials, HttpTransport, Reply, Session, _backoff
from connectordb.client._calls import answer_downlink
from connectordb.client._downlink import DownlinkFlag
from connectordb.client._feed import Arrival
from connectordb.client._requests import Memory, RequestHandler

PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_backoff, "FIRST_S", 0.02)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.002)


@pytest.fixture
def lamp(device: ConnectorDB) -> Stream:
    """A downlink, as its device sees it."""
    stream = device["lamp"]
    stream.create({"type": "boolean"}, downlink=True)
    return stream


@pytest.fixture
def switch(lamp: Stream, db: ConnectorDB) -> Stream:
    """The same, as its user sees it."""
    stream: Stream = db(lamp.path)
    return stream


# -- the property ----------------------------------------------------------------------------------------------------


def test_it_is_used_like_a_bool(lamp: Stream, any_values: Stream) -> None:
    assert isinstance(lamp.downlink, DownlinkFlag)
    assert lamp.downlink
    assert not any_values.downlink
    assert lamp.downlink == True != any_values.downlink  # noqa: E712
    assert lamp.downlink != any_values.downlink
    assert lamp.downlink == lamp.downlink
    assert (repr(lamp.downlink), str(any_values.downlink)) == ("True", "False")
    assert {lamp.downlink, True} == {True}
    any_values.downlink = lamp.downlink
    assert any_values.downlink
    twin = any_values.device["twin"]
    twin.create(downlink=lamp.downlink)
    assert twin.downlink


def test_sending_needs_no_other_call(fake: Any) -> None:
    transport = fake((200, b'{"id": 5, "t": 1.5, "d": {"x": null}, "state": "queued", "expires": 9.5}'))
    request = Stream(transport.session(), "u/d/s").downlink({"x": None}, expires=8, supersede=True)
    ((method, target, headers, body),) = transport.sent
    assert (method, target) == ("POST", "/api/v1/downlink/u/d/s")
    assert body == b'{"d":{"x":null},"expires":8.0,"supersede":true}'
    assert len(headers["Idempotency-Key"]) == 32
    assert (request.id, request.state, request.t, request.d, request.expires) == (5, "queued", 1.5, {"x": None}, 9.5)
    assert (request.path, request.msg, request.result) == ("u/d/s", "", None)
    assert repr(request) == "[Downlink:u/d/s#5, queued]"


def test_what_cannot_be_sent(switch: Stream, any_values: Stream, device: ConnectorDB) -> None:
    with pytest.raises(SchemaMismatch):
        switch.downlink("on")
    with pytest.raises(InvalidValue):
        switch.downlink(float("nan"))
    with pytest.raises(InvalidValue, match="no downlink"):
        any_values.downlink(1)
    with pytest.raises((NotFound, PermissionDenied)):
        device["nosuch"].downlink(1)


# -- the device ------------------------------------------------------------------------------------------------------


RESULTS: list[tuple[Any, str, list[Any], str]] = [
    (True, "acknowledged", [True], ""),
    ([{"t": 4e9, "d": False}], "acknowledged", [False], ""),
    (DatapointArray([{"d": False}, {"d": True}]), "acknowledged", [False, True], ""),
    (({"d": False},), "acknowledged", [False], ""),
    (False, "refused", [], ""),
    (None, "refused", [], ""),
    ("on", "refused", [], "the callback returned 'on'"),
    (1, "refused", [], "the callback returned 1"),
    ({"d": True}, "refused", [], "the callback returned {'d': True}"),
    ([{"d": "on"}], "refused", [], "the answer was not taken"),
    ([{"t": 5, "d": True}, {"t": 4, "d": False}], "refused", [], "the answer was not taken"),
    ([{"d": float("nan")}], "refused", [], "NaN"),
    (ZeroDivisionError("just so"), "refused", [], "ZeroDivisionError: just so"),
]


@pytest.mark.parametrize(("result", "state", "stored", "msg"), RESULTS, ids=[str(r[0])[:20] for r in RESULTS])
def test_what_the_callback_returns(
    lamp: Stream, switch: Stream, result: Any, state: str, stored: list[Any], msg: str
) -> None:
    calls: list[tuple[str, DatapointArray]] = []

    def callback(path: str, data: DatapointArray) -> Any:
        calls.append((path, data))
        if isinstance(result, Exception):
            raise result
        return result

    subscription = lamp.subscribe(callback, downlink=True)
    request = switch.downlink(True)
    assert request.wait(PATIENCE_S) == request.state == state
    assert msg in request.msg
    assert lamp[:].d() == stored
    assert request.result is None if not stored else request.result == lamp[:]
    ((path, data),) = calls
    assert path == f"{lamp.path}/downlink"
    assert data == [{"t": request.t, "d": True, "o": "test/user"}]
    assert subscription.active
    assert subscription.cursor is None


def test_an_exception_may_end_the_subscription(lamp: Stream, switch: Stream) -> None:
    notices: list[Notice] = []
    subscription = lamp.subscribe(lambda path, data: 1 / 0, downlink=True, on_notice=notices.append, on_error="end")
    first, second = switch.downlink(True), switch.downlink(False)
    assert first.wait(PATIENCE_S) == "refused"
    until(lambda: not subscription.active)
    assert isinstance(subscription.error, ZeroDivisionError)
    assert [notice.kind for notice in notices] == ["ended"]
    lamp.subscribe(lambda path, data: True, downlink=True)
    assert second.wait(PATIENCE_S) == "acknowledged"


def test_what_waits_is_done_when_the_device_comes(lamp: Stream, switch: Stream) -> None:
    requests = [switch.downlink(bool(i % 2)) for i in range(5)]
    expired = switch.downlink(True, expires=0.01)
    assert switch.downlink(True).wait(0.05) == "queued"
    done: list[Any] = []
    lamp.subscribe(lambda path, data: done.extend(data.d()) or True, downlink=True)
    assert [request.wait(PATIENCE_S) for request in requests] == ["acknowledged"] * 5
    assert expired.wait(PATIENCE_S) == "expired"
    until(lambda: len(done) == 6)
    assert done == [False, True, False, True, False, True]


def test_a_newer_one_takes_the_place_of_those_that_wait(lamp: Stream, switch: Stream) -> None:
    first = switch.downlink(True)
    second = switch.downlink(False, supersede=True)
    done: list[Any] = []
    lamp.subscribe(lambda path, data: done.extend(data.d()) or True, downlink=True)
    assert (second.wait(PATIENCE_S), first.wait(PATIENCE_S)) == ("acknowledged", "superseded")
    assert done == [False]


def test_plain_inserts_are_requests_too(lamp: Stream, switch: Stream) -> None:
    lamp.subscribe(lambda path, data: True, downlink=True)
    switch.insert(True)
    until(lambda: len(lamp))
    assert lamp[0]["d"] is True


def test_two_processes_of_one_device_do_it_once(lamp: Stream, switch: Stream, server: Any, device: ConnectorDB) -> None:
    done: list[str] = []
    with ConnectorDB(device.apikey, url=server.url) as twin:
        for stream, name in ((lamp, "one"), (twin["lamp"], "two")):
            stream.subscribe(lambda path, data, name=name: done.append(name) or True, downlink=True)
        requests = [switch.downlink(True) for _ in range(20)]
        assert {request.wait(PATIENCE_S) for request in requests} == {"acknowledged"}
    assert len(done) == len(lamp) == 20


def test_one_whose_fate_nobody_knows_is_not_done_again(
    lamp: Stream, switch: Stream, caplog: pytest.LogCaptureFixture
) -> None:
    request = switch.downlink(True)
    lamp._session.run(answer_downlink(lamp.path, request.id, b'{"state":"delivered","by":"an earlier process"}'))
    done: list[Any] = []
    lamp.subscribe(lambda path, data: done.append(1) or True, downlink=True)
    assert switch.downlink(False).wait(PATIENCE_S) == "acknowledged"
    assert request.wait(0) == "delivered"
    assert done == [1]
    assert f"Request {request.id} to" in caplog.text


def test_a_slow_device_gets_all_of_them(lamp: Stream, switch: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    from connectordb.client import _subscription

    monkeypatch.setattr(_subscription, "QUEUE_POINTS_MAX", 3)
    gate = threading.Event()
    done: list[int] = []

    def callback(path: str, data: Any) -> bool:
        gate.wait(PATIENCE_S)
        done.append(1)
        return True

    subscription = lamp.subscribe(callback, downlink=True)
    requests = [switch.downlink(True) for _ in range(20)]
    until(lambda: subscription._held)
    gate.set()
    assert {request.wait(PATIENCE_S) for request in requests} == {"acknowledged"}
    assert len(done) == len(lamp) == 20


def test_the_result_gets_to_a_server_that_was_away(own_server: Any) -> None:
    with ConnectorDB("test", "test", url=own_server.url, retries=50) as db:
        device = db("test/d")
        device.create(streams={"lamp": {"downlink": True}})
        with ConnectorDB(device.apikey, url=own_server.url, retries=0) as own:
            done: list[Any] = []

            def callback(path: str, data: Any) -> bool:
                done.extend(data.d())
                own_server.stop(kill=True)
                threading.Timer(0.5, own_server.start).start()
                return True

            own["lamp"].subscribe(callback, downlink=True)
            request = db("test/d/lamp").downlink(True)
            assert request.wait(PATIENCE_S) == "acknowledged"
            assert done == [True]
            assert len(own["lamp"]) == 1


def test_closing_while_a_result_cannot_be_sent(own_server: Any) -> None:
    db = ConnectorDB("test", "test", url=own_server.url)
    device = db("test/d")
    device.create(streams={"lamp": {"downlink": True}})
    own = ConnectorDB(device.apikey, url=own_server.url, retries=0)
    there = threading.Event()

    def callback(path: str, data: Any) -> bool:
        own_server.stop(kill=True)
        there.set()
        return True

    own["lamp"].subscribe(callback, downlink=True)
    request = db("test/d/lamp").downlink(True)
    assert there.wait(PATIENCE_S)
    time.sleep(0.2)
    began = time.monotonic()
    own.close()
    assert time.monotonic() - began < 5
    db.close()
    with pytest.raises(Closed):
        request.wait(5)


def test_closing_lets_answers_go_out_and_begins_nothing_new(lamp: Stream, switch: Stream, server: Any) -> None:
    own = ConnectorDB(lamp.device.apikey, url=server.url)
    began, go_on = threading.Event(), threading.Event()
    calls: list[Any] = []

    def callback(path: str, data: DatapointArray) -> bool:
        calls.append(data.d())
        began.set()
        assert go_on.wait(PATIENCE_S)
        assert own["lamp"].exists()  # it may still use the client
        return True

    own["lamp"].subscribe(callback, downlink=True)
    first = switch.downlink(True)
    assert began.wait(PATIENCE_S)
    second = switch.downlink(False)
    closing = threading.Thread(target=own.close)
    closing.start()
    until(own._session.closing.is_set)
    with pytest.raises(Closed):
        own["lamp"].subscribe(callback, downlink=True)
    with pytest.raises(Closed):
        own["lamp"].live()
    go_on.set()
    closing.join(PATIENCE_S)
    assert not closing.is_alive()
    first.refresh()
    second.refresh()
    assert (first.state, second.state, calls) == ("acknowledged", "queued", [[True]])
    with pytest.raises(Closed):
        own.ping()


def test_a_callback_that_closes_its_client_is_heard(lamp: Stream, switch: Stream, server: Any) -> None:
    own = ConnectorDB(lamp.device.apikey, url=server.url)

    def callback(path: str, data: DatapointArray) -> bool:
        own.close()
        closers.extend(t.daemon for t in threading.enumerate() if t.name == "connectordb-close")
        return True

    closers: list[bool] = []  # which an interpreter that ends has to wait for
    own["lamp"].subscribe(callback, downlink=True)
    assert switch.downlink(True).wait(PATIENCE_S) == "acknowledged"
    assert closers == [False]
    own.close()
    with pytest.raises(Closed):
        own.ping()
    until(
        lambda: (
            not any(t.name.startswith(("connectordb-close", f"connectordb-{lamp.path}")) for t in threading.enumerate())
        )
    )


def test_several_subscriptions_do_a_request_once(lamp: Stream, switch: Stream, server: Any) -> None:
    done: list[Any] = []

    def callback(path: str, data: DatapointArray) -> bool:
        done.extend(data.d())
        return True

    with ConnectorDB(lamp.device.apikey, url=server.url) as own:
        for transform in ("", "if $ == true", "if $ != 5"):
            own["lamp"].subscribe(callback, transform, downlink=True)
        requests = [switch.downlink(i % 2 == 0) for i in range(20)]
        assert {request.wait(PATIENCE_S) for request in requests} == {"acknowledged"}
    assert sorted(done) == [False] * 10 + [True] * 10
    assert len(lamp) == 20


def test_what_no_transform_lets_through_waits(lamp: Stream, switch: Stream) -> None:
    done: list[Any] = []
    lamp.subscribe(lambda path, data: done.extend(data.d()) or True, "if $ == true", downlink=True)
    off, on = switch.downlink(False), switch.downlink(True)
    assert on.wait(PATIENCE_S) == "acknowledged"
    assert off.wait(0) == "queued"
    assert done == [True]


def test_done_as_asked_means_what_the_transform_made_of_it(lamp: Stream, switch: Stream) -> None:
    got: list[Any] = []
    lamp.subscribe(lambda path, data: got.extend(data.d()) or True, "$ == false", downlink=True)
    asked = switch.downlink(False)
    assert asked.wait(PATIENCE_S) == "acknowledged"
    assert got == [True]
    assert [point["d"] for point in lamp[:]] == [True]


# -- onlookers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("result", [True, [{"d": True}], DatapointArray([{"d": True}])])
def test_who_acknowledges_what_is_not_his_is_stopped(
    lamp: Stream, switch: Stream, caplog: pytest.LogCaptureFixture, result: Any
) -> None:
    notices: list[Notice] = []
    subscription = switch.subscribe(lambda path, data: result, downlink=True, on_notice=notices.append)
    switch.insert(True)
    until(lambda: not subscription.active)
    assert isinstance(subscription.error, PermissionDenied)
    assert "come back for ever" in str(subscription.error)
    assert [(n.kind, n.error) for n in notices] == [("ended", subscription.error)]
    assert "come back for ever" in caplog.text
    assert (len(lamp), lamp.length(downlink=True)) == (0, 1)


def test_looking_on_is_fine(lamp: Stream, switch: Stream) -> None:
    seen: list[Any] = []
    subscription = switch.subscribe(lambda path, data: seen.append((path, data.d())), downlink=True)
    switch.insert(True)
    until(lambda: seen)
    assert seen == [(f"{lamp.path}/downlink", [True])]
    assert subscription.active
    assert isinstance(subscription.cursor, str)


# -- what comes twice, against a transport that answers from a script ------------------------------------------------


@pytest.fixture
def handler(fake: Any) -> Iterator[Callable[..., Any]]:
    """Makes a handler whose calls are answered by a script."""

    def make(callback: Any, *script: Any) -> tuple[RequestHandler, Any]:
        transport = fake(*script)
        return RequestHandler(transport.session(retries=0), callback, Memory(), "token"), transport

    yield make


def arrival(state: str = "queued", number: int = 7, t: float = 1.0) -> Arrival:
    import msgspec

    body = msgspec.json.encode({"id": number, "t": t, "d": True, "o": "u/user", "state": state, "expires": 9e9})
    return Arrival("u/d/s/downlink", msgspec.Raw(body), 1)


OK = (200, b"{}")
TAKEN = Reply(409, {}, b'{"code": 409, "msg": "taken", "ref": "r", "error": "conflict"}')


def test_a_request_that_comes_twice_is_done_once_and_answered_again(handler: Any) -> None:
    done: list[Any] = []
    handle, transport = handler(lambda path, data: done.append(path) or True, OK, OK, OK, OK)
    handle(arrival())
    handle(arrival("delivered"))
    handle(arrival("queued"))
    assert done == ["u/d/s/downlink"]
    claim, answer = b'{"state":"delivered","by":"token"}', b'{"state":"acknowledged","by":"token"}'
    assert [sent[3] for sent in transport.sent] == [claim, answer, answer, answer]
    assert {sent[:2] for sent in transport.sent} == {("PUT", "/api/v1/downlink/u/d/s/7")}


def test_after_a_restored_backup_the_same_number_is_another_request(handler: Any) -> None:
    done: list[Any] = []
    handle, _ = handler(lambda path, data: done.append(path) or True, *[OK] * 4)
    handle(arrival(t=1.0))
    handle(arrival(t=2.0))
    assert len(done) == 2


def test_one_that_another_has_taken_on_is_not_done(handler: Any) -> None:
    handle, transport = handler(lambda path, data: 1 / 0, TAKEN)
    handle(arrival())
    assert len(transport.sent) == 1


def test_one_that_cannot_be_taken_on_is_not_done(handler: Any) -> None:
    handle, _ = handler(lambda path, data: 1 / 0, (404, b""))
    handle(arrival())


def test_claim_and_answer_are_repeated_until_they_get_there(handler: Any) -> None:
    lost = [Closed("cut"), (503, b""), (500, b"")]
    done: list[Any] = []
    handle, transport = handler(lambda path, data: done.append(1) or True, *lost, OK, *lost, OK)
    handle(arrival())
    assert not transport.script
    assert done == [1]


def test_an_answer_that_is_too_late_is_let_go(handler: Any, caplog: pytest.LogCaptureFixture) -> None:
    handle, transport = handler(lambda path, data: True, OK, TAKEN)
    handle(arrival())
    assert not transport.script
    assert "too late" in caplog.text


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from connectordb.client import _requests

    monkeypatch.setattr(_requests, "REMEMBERED_MAX", 3)
    memory = Memory()
    assert [memory.take_on(("s", i, 0.0)) for i in range(10)] == [True] * 10
    memory.answered(("s", 0, 0.0), {"state": "refused"})
    assert memory.answer(("s", 0, 0.0)) is None
    assert not any(memory.take_on(("s", i, 0.0)) for i in (7, 8, 9))
    assert memory.take_on(("s", 0, 0.0))


def test_one_that_could_not_be_taken_on_is_when_it_comes_again(handler: Any) -> None:
    done: list[Any] = []
    handle, _ = handler(lambda path, data: done.append(path) or True, (404, b""), OK, OK)
    handle(arrival())
    assert not done
    handle(arrival())
    assert done


def test_two_threads_do_a_request_once(fake: Any) -> None:
    asked, answer = threading.Event(), threading.Event()
    done: list[str] = []

    class Slow(fake):  # type: ignore[misc]
        def request(self, *args: Any, **kwargs: Any) -> Any:
            asked.set()
            assert answer.wait(PATIENCE_S)
            return super().request(*args, **kwargs)

    memory, transport = Memory(), Slow(*[OK] * 4)
    first, second = (
        RequestHandler(transport.session(), lambda path, data, name=name: done.append(name) or True, memory, "token")
        for name in ("first", "second")
    )
    thread = threading.Thread(target=first, args=(arrival(),))
    thread.start()
    assert asked.wait(PATIENCE_S)
    answer_later = threading.Timer(0.5, answer.set)
    answer_later.start()
    second(arrival())  # while the first asks the server whether it may
    thread.join(PATIENCE_S)
    answer_later.join()
    assert done == ["first"]
    assert len(transport.sent) == 2


# -- the sender ------------------------------------------------------------------------------------------------------


def test_waiting_ends_after_its_time(switch: Stream) -> None:
    request = switch.downlink(True)
    for timeout in (0, 0.3):
        began = time.monotonic()
        assert request.wait(timeout) == "queued"
        assert timeout <= time.monotonic() - began < timeout + 2


def test_waiting_ends_at_once_when_it_is_done(lamp: Stream, switch: Stream) -> None:
    request = switch.downlink(True)
    timer = threading.Timer(0.3, lambda: lamp.subscribe(lambda path, data: True, downlink=True))
    timer.start()
    began = time.monotonic()
    assert request.wait() == "acknowledged"
    assert time.monotonic() - began < 5
    timer.join()
    other: Downlink = switch.downlink(False)
    other.wait(PATIENCE_S)
    other.refresh()
    assert other.state == "acknowledged"
    assert other.wait(0) == "acknowledged"


def test_many_who_wait_take_no_connection_from_the_rest(switch: Stream) -> None:
    requests = [switch.downlink(True) for _ in range(12)]
    threads = [threading.Thread(target=request.wait, args=(PATIENCE_S,)) for request in requests]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    began = time.monotonic()
    assert switch.exists()
    assert time.monotonic() - began < PATIENCE_S / 2
    switch.downlink(False, supersede=True)  # which ends the waiting
    for thread in threads:
        thread.join(PATIENCE_S)


def test_waiting_goes_on_over_a_restart(own_server: Any) -> None:
    with ConnectorDB("test", "test", url=own_server.url, retries=50) as db:
        device = db("test/d")
        device.create(streams={"lamp": {"downlink": True}})
        request = db("test/d/lamp").downlink(True)
        states: list[str] = []
        thread = threading.Thread(target=lambda: states.append(request.wait(PATIENCE_S)))
        thread.start()
        own_server.stop(kill=True)
        time.sleep(0.2)
        own_server.start()
        with ConnectorDB(device.apikey, url=own_server.url) as own:
            own["lamp"].subscribe(lambda path, data: True, downlink=True)
            thread.join(PATIENCE_S)
        assert states == ["acknowledged"]


def test_waiting_for_a_server_that_stays_away(own_server: Any) -> None:
    with ConnectorDB("test", "test", url=own_server.url) as db:
        db["lamp"].create(downlink=True)
        request = db["lamp"].downlink(True)
        own_server.stop()
        began = time.monotonic()
        assert request.wait(1.0) == "queued"
        assert time.monotonic() - began < 10


@pytest.mark.parametrize("timeout", [0.0, 0.5])
def test_waiting_for_a_server_that_says_nothing(answering: Any, timeout: float) -> None:
    with answering(None, None, None) as url:
        session = Session(HttpTransport(url), Credentials(password="key"))
        request = Downlink(session, "u/d/s", {"id": 5, "state": "queued"})
        began = time.monotonic()
        assert request.wait(timeout) == "queued"
        assert timeout <= time.monotonic() - began < timeout + 4  # by itself a request waits for longer
        session.close()


def test_waiting_for_a_server_that_loses_the_first_question(answering: Any) -> None:
    with answering(b"", None, None, None) as url:
        session = Session(HttpTransport(url), Credentials(password="key"), rand=lambda: 1.0)
        request = Downlink(session, "u/d/s", {"id": 5, "state": "queued"})
        began = time.monotonic()
        assert request.wait(0.5) == "queued"
        assert time.monotonic() - began < 4
        session.close()


def test_waiting_for_what_is_deleted(lamp: Stream, switch: Stream) -> None:
    request = switch.downlink(True)
    lamp.delete()
    with pytest.raises((NotFound, PermissionDenied)):
        request.wait(PATIENCE_S)


def test_restored_requests_move_nothing(lamp: Stream, switch: Stream, db: ConnectorDB, tmp_path: Any) -> None:
    switch.downlink(True)
    switch.export(tmp_path / "lamp")
    twin = db(f"test/{lamp.device.name}b")
    twin.create()
    with ConnectorDB(twin.apikey, url=db.url) as own:
        twin.import_stream(tmp_path / "lamp")
        assert own["lamp"].length(downlink=True) == 1
        done: list[Any] = []
        own["lamp"].subscribe(lambda path, data: done.extend(data.d()) or True, downlink=True)
        assert db(f"{twin.path}/lamp").downlink(False).wait(PATIENCE_S) == "acknowledged"
        assert done == [False]
    twin.delete()
