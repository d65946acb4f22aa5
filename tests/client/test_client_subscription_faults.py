"""Subscriptions over connections that break, to servers that go: no datapoint is left out, and none comes twice."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from connectordb import (
    Closed,
    ConnectorDB,
    Notice,
    PermissionDenied,
    RequestError,
    ServerError,
    TimedOut,
    TransportError,
    Unauthenticated,
    Unavailable,
)
from connectordb.client import Credentials, HttpTransport, Session, Stream, _backoff, _socket, _subscriptions
from connectordb.client._socket import SocketClosed

PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_backoff, "FIRST_S", 0.02)
    monkeypatch.setattr(_backoff, "MAX_S", 0.1)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.002)


# -- through a proxy, from a real server -------------------------------------------------------------------------------


CUTS = [*range(0, 400, 80), *range(400, 1000, 23)]
"""Within the handshake, and then within each frame and between them."""


def test_wherever_the_connection_is_cut(proxy: Any, device: ConnectorDB, any_values: Any) -> None:
    with ConnectorDB(device.apikey, url=proxy.url) as shaky:
        got: list[Any] = []
        shaky["any"].subscribe(lambda path, data: got.extend(data.d()))
        n = 0
        for cut in CUTS:
            until(lambda: shaky._session.subscriptions._socket is not None)
            proxy.faults[:] = [cut]
            connections = proxy.connections
            shaky._session.subscriptions._socket.close()
            deadline = time.monotonic() + PATIENCE_S
            while proxy.connections < connections + 2:
                assert time.monotonic() < deadline, "there is no new connection"
                any_values.insert(n)  # by another connection
                n += 1
        until(lambda: len(got) >= n)
        assert got == list(range(n))


def test_a_dead_link_is_found(
    proxy: Any, device: ConnectorDB, any_values: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_socket, "PING_INTERVAL_S", 0.2)
    monkeypatch.setattr(_socket, "PING_TIMEOUT_S", 0.2)
    with ConnectorDB(device.apikey, url=proxy.url) as shaky:
        got: list[Any] = []
        proxy.faults[:] = [-700]
        shaky["any"].subscribe(lambda path, data: got.extend(data.d()))
        for i in range(20):
            any_values.insert(i)
        until(lambda: len(got) >= 20)
        assert got == list(range(20))


@pytest.mark.parametrize("kill", [False, True])
def test_a_server_that_is_stopped_and_started(own_server: Any, kill: bool) -> None:
    with (
        ConnectorDB("test", "test", url=own_server.url, retries=50) as db,
        ConnectorDB("test", "test", url=own_server.url) as other,
    ):
        db["s"].create()
        db["e"].create(ephemeral=True)
        got: list[Any] = []
        of_all: list[Any] = []
        notices: list[Notice] = []
        other["s"].subscribe(lambda path, data: got.extend(data.d()))
        other.subscribe(lambda path, data: of_all.extend(data.d()))
        ephemeral = other["e"].subscribe(lambda path, data: None, on_notice=notices.append)
        db["e"].insert(1)
        n = 0
        for _ in range(3):
            for _ in range(20):
                db["s"].insert(n)
                n += 1
            own_server.stop(kill=kill)
            own_server.start()
        until(lambda: len(got) >= n)
        until(lambda: len([d for d in of_all if isinstance(d, int)]) > n)
        assert got == list(range(n))
        assert of_all == [1, *range(n)]
        until(lambda: any(notice.kind == "missed" for notice in notices))
        assert ephemeral.missed is None  # nobody knows


def test_what_was_held_goes_on_after_a_restart(own_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from connectordb.client import _subscription

    monkeypatch.setattr(_subscription, "QUEUE_POINTS_MAX", 5)
    with ConnectorDB("test", "test", url=own_server.url, retries=50) as db:
        db["s"].create()
        got: list[Any] = []
        gate = threading.Event()

        def callback(path: str, data: Any) -> None:
            gate.wait(PATIENCE_S)
            got.extend(data.d())

        subscription = db["s"].subscribe(callback)
        for i in range(20):
            db["s"].insert(i)
        until(lambda: subscription._held)
        own_server.stop(kill=True)
        own_server.start()
        db["s"].insert(20)
        gate.set()
        until(lambda: len(got) >= 21)
        assert got == list(range(21))


def test_subscribing_while_the_server_is_away(own_server: Any) -> None:
    with ConnectorDB("test", "test", url=own_server.url, retries=0) as db:
        db["s"].create()
        got: list[Any] = []
        first = db["s"].subscribe(lambda path, data: got.extend(data.d()))
        own_server.stop()
        with pytest.raises(TransportError):
            db["t"].subscribe(print)
        assert first.active
        own_server.start()
        until(lambda: db._session.subscriptions._socket is not None)
        db["s"].insert(1)
        until(lambda: got == [1])


def test_a_stream_that_is_deleted_and_created_while_the_connection_is_away(own_server: Any) -> None:
    with ConnectorDB("test", "test", url=own_server.url, retries=50) as db:
        db["s"].create()
        db["s"].insert(1)
        db["gone"].create()
        got: list[Any] = []
        notices: list[Notice] = []
        proxy_free = ConnectorDB("test", "test", url=own_server.url)
        subscription = proxy_free["s"].subscribe(lambda path, data: got.extend(data.d()), on_notice=notices.append)
        gone = proxy_free["gone"].subscribe(print)
        own_server.stop()
        # The client comes back while the server is up already with the new streams: keep it from that.
        transport = proxy_free._session.transport
        back = threading.Event()
        real = transport.websocket

        def websocket(*args: Any, **kwargs: Any) -> Any:
            if not back.is_set():
                raise Closed("not yet")
            return real(*args, **kwargs)

        transport.websocket = websocket  # type: ignore[method-assign]
        own_server.start()
        db["s"].delete()
        db["gone"].delete()
        db["s"].create()
        db["s"].insert(2)
        back.set()
        until(lambda: got)
        assert got == [2]
        assert [notice.kind for notice in notices] == ["reset"]
        assert subscription.active
        until(lambda: not gone.active)
        assert isinstance(gone.error, RequestError)
        proxy_free.close()


# -- against a server that answers as it is told -----------------------------------------------------------------------


class Fake:
    """A server with a websocket and nothing else. Each connection is played by the next of *acts*.

    Attributes:
        commands: What has come, by connection.
    """

    def __init__(self, *acts: Callable[[ServerConnection, Callable[[], dict[str, Any]]], None]) -> None:
        self.acts = list(acts)
        self.commands: list[list[dict[str, Any]]] = []
        self.headers: list[Any] = []
        self.url = ""

    def serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.headers.append(connection.request.headers)
        commands: list[dict[str, Any]] = []
        self.commands.append(commands)

        def take() -> dict[str, Any]:
            commands.append(json.loads(connection.recv()))
            return commands[-1]

        try:
            if self.acts:
                self.acts.pop(0)(connection, take)
            else:
                confirm_all(connection, take)
        except ConnectionClosed:
            pass


def say(connection: ServerConnection, **fields: Any) -> None:
    connection.send(json.dumps(fields) + "\n")


def confirm_all(connection: ServerConnection, take: Any) -> None:
    while True:
        say(connection, id=take()["id"], ok=True, cursor="7.0")


@contextmanager
def quiet(name: str) -> Iterator[None]:
    """Log nothing there but what is critical."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def running(fake: Fake, **settings: Any) -> Iterator[Stream]:
    """The stream ``u/d/s`` on *fake*."""
    with quiet("websockets.server"), serve(fake.serve, "127.0.0.1", 0, **settings) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        fake.url = f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        session = Session(HttpTransport(fake.url), Credentials(password="key"), timeout_s=5)
        try:
            yield Stream(session, "u/d/s")
        finally:
            session.close()
            server.shutdown()
            thread.join(20)


def test_what_is_sent() -> None:
    def act(connection: ServerConnection, take: Any) -> None:
        say(connection, id=take()["id"], ok=True, cursor="7.5")
        say(connection, stream="u/d/s", i=5, cursor="7.6", data=[{"t": 1, "d": 2}])
        take()

    fake = Fake(act)
    got: list[Any] = []
    with running(fake) as stream:
        subscription = stream.subscribe(lambda path, data: got.append((path, data)), since=3)
        until(lambda: subscription.cursor == "7.6")
        subscription.close()
        until(lambda: len(fake.commands[0]) == 2)
    assert got == [("u/d/s", [{"t": 1.0, "d": 2}])]
    first, second = fake.commands[0]
    assert first == {"cmd": "subscribe", "arg": "u/d/s", "transform": "", "since": 3.0, "id": first["id"]}
    assert second == {"cmd": "unsubscribe", "arg": "u/d/s", "transform": "", "id": second["id"]}
    assert fake.headers[0]["Authorization"] == "Basic OmtleQ=="
    assert fake.headers[0]["User-Agent"].startswith("connectordb-python/")
    assert "permessage-deflate" in fake.headers[0]["Sec-WebSocket-Extensions"]


def test_two_transforms_of_one_stream() -> None:
    def act(connection: ServerConnection, take: Any) -> None:
        for _ in range(2):
            say(connection, id=take()["id"], ok=True, cursor="7.5")
        say(connection, stream="u/d/s", transform="count", cursor="7.6", data=[{"t": 1, "d": 1}])
        say(connection, stream="u/d/s", cursor="7.6", data=[{"t": 1, "d": "x"}])
        take()

    got: list[Any] = []
    counted: list[Any] = []
    with running(Fake(act)) as stream:
        stream.subscribe(lambda path, data: got.extend(data.d()))
        stream.subscribe(lambda path, data: counted.extend(data.d()), "count")
        until(lambda: got and counted)
    assert (got, counted) == (["x"], [1])


def closing(code: int, reason: str) -> Callable[..., None]:
    def act(connection: ServerConnection, take: Any) -> None:
        say(connection, id=take()["id"], ok=True, cursor="7.0")
        connection.close(code, reason)

    return act


def test_a_right_that_is_withdrawn_twice_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    notices: list[Notice] = []
    fake = Fake(closing(1008, "the api key was changed"), closing(1008, "the api key was changed"))
    with running(fake) as stream:
        subscription = stream.subscribe(print, on_notice=notices.append)
        until(lambda: not subscription.active)
        assert isinstance(subscription.error, Unauthenticated)
        assert "the api key was changed" in str(subscription.error)
        assert [n.kind for n in notices] == ["ended"]
        assert len(fake.commands) == 2
        assert stream.subscribe(print).active  # another attempt of the user is one


def test_other_codes_lead_to_a_new_connection() -> None:
    fake = Fake(*[closing(code, "") for code in (1000, 1001, 1011, 1012, 1013, 4000)])
    with running(fake) as stream:
        subscription = stream.subscribe(print)
        until(lambda: len(fake.commands) == 7 and fake.commands[-1])
        assert subscription.active
        assert fake.commands[-1][0]["cursor"] == "7.0"


def test_without_subscriptions_there_is_no_new_connection_until_there_is_one() -> None:
    def act(connection: ServerConnection, take: Any) -> None:
        say(connection, id=take()["id"], ok=True, cursor="7.0")
        take()

    fake = Fake(act, act)
    with running(fake) as stream:
        for n in (1, 2):
            stream.subscribe(print).close()
            until(lambda: stream._session.subscriptions._thread is None)
            assert len(fake.commands) == n


def refusing(status: int, body: dict[str, Any] | None = None) -> Callable[..., Any]:
    def process_request(connection: ServerConnection, request: Any) -> Any:
        response = connection.respond(status, json.dumps(body) if body else "no")
        if body:
            del response.headers["Content-Type"]
            response.headers["Content-Type"] = "application/json"
        return response

    return process_request


HANDSHAKES = [
    (401, {"code": 401, "msg": "wrong key", "ref": "r", "error": "unauthenticated"}, Unauthenticated),
    (403, {"code": 403, "msg": "no", "ref": "r", "error": "forbidden"}, PermissionDenied),
    (404, None, RequestError),
    (503, {"code": 503, "msg": "full", "ref": "r", "error": "unavailable"}, Unavailable),
    (500, None, ServerError),
    (200, None, ServerError),
]


@pytest.mark.parametrize(("status", "body", "kind"), HANDSHAKES)
def test_a_refused_handshake(status: int, body: dict[str, Any] | None, kind: type[Exception]) -> None:
    with running(Fake(), process_request=refusing(status, body)) as stream:
        with pytest.raises(kind) as caught:
            stream.subscribe(print)
        if body is not None:
            assert (caught.value.msg, caught.value.ref) == (body["msg"], "r")  # type: ignore[attr-defined]


def test_a_redirect_is_not_followed() -> None:
    def process_request(connection: ServerConnection, request: Any) -> Any:
        response = connection.respond(302, "there")
        response.headers["Location"] = "ws://localhost:1/elsewhere"
        return response

    with running(Fake(), process_request=process_request) as stream, pytest.raises(ServerError):
        stream.subscribe(print)


def test_credentials_that_become_wrong_end_all_at_the_next_connection() -> None:
    handshakes: list[Any] = []

    def process_request(connection: ServerConnection, request: Any) -> Any:
        handshakes.append(request)
        return refusing(401)(connection, request) if len(handshakes) > 1 else None

    with running(Fake(closing(1001, "")), process_request=process_request) as stream:
        subscription = stream.subscribe(print)
        until(lambda: not subscription.active)
        assert isinstance(subscription.error, Unauthenticated)
        assert len(handshakes) == 2


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"garbage\r\n\r\n"])
def test_what_is_no_websocket(answering: Any, answer: bytes) -> None:
    with answering(answer) as url:
        session = Session(HttpTransport(url), Credentials(password="key"), timeout_s=5)
        with pytest.raises((TransportError, ServerError)):
            Stream(session, "u/d/s").subscribe(print)
        session.close()


def test_a_server_that_says_nothing(answering: Any) -> None:
    with answering(None) as url:
        session = Session(HttpTransport(url), Credentials(password="key"), timeout_s=0.2)
        with pytest.raises(TimedOut):
            Stream(session, "u/d/s").subscribe(print)
        session.close()


def test_a_server_that_does_not_answer_the_command() -> None:
    def act(connection: ServerConnection, take: Any) -> None:
        take()
        take()

    fake = Fake(act)
    with running(fake) as stream:
        stream._session._timeout_s = 1.0
        with pytest.raises(TimedOut):
            stream.subscribe(print)
        until(lambda: [c["cmd"] for c in fake.commands[0]] == ["subscribe", "unsubscribe"])


def test_what_the_server_cannot_take_up_again_now_is_asked_for_later() -> None:
    def busy(connection: ServerConnection, take: Any) -> None:
        for _ in range(3):
            say(connection, id=take()["id"], code=503, msg="later", error="unavailable")
        say(connection, id=take()["id"], ok=True, cursor="7.1")
        say(connection, stream="u/d/s", cursor="7.2", data=[{"t": 1, "d": "x"}])
        take()

    got: list[Any] = []
    fake = Fake(closing(1001, ""), busy)
    with running(fake) as stream:
        subscription = stream.subscribe(lambda path, data: got.extend(data.d()))
        until(lambda: got)
        assert subscription.active
        assert [command["cursor"] for command in fake.commands[1]] == ["7.0"] * 4


def test_what_no_server_says_leads_to_a_new_connection() -> None:
    def garbage(connection: ServerConnection, take: Any) -> None:
        say(connection, id=take()["id"], ok=True, cursor="7.0")
        connection.send("garbage")
        take()

    fake = Fake(garbage)
    with running(fake) as stream:
        assert stream.subscribe(print)
        until(lambda: len(fake.commands) == 2)


def test_closing_while_somebody_subscribes() -> None:
    def act(connection: ServerConnection, take: Any) -> None:
        take()
        take()

    errors: list[BaseException] = []

    def subscribe(stream: Stream) -> None:
        try:
            stream.subscribe(print)
        except BaseException as e:
            errors.append(e)

    fake = Fake(act)
    with running(fake) as stream:
        thread = threading.Thread(target=subscribe, args=(stream,))
        thread.start()
        until(lambda: fake.commands and fake.commands[0])
        stream._session.close()
        thread.join(5)
        assert not thread.is_alive()
    assert [type(e) for e in errors] == [Closed]


def test_closing_while_the_server_says_nothing() -> None:
    """It takes the connection, and does not answer the handshake."""
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        session = Session(HttpTransport(f"http://127.0.0.1:{listener.getsockname()[1]}"), Credentials(password="key"))
        errors: list[BaseException] = []

        def subscribe() -> None:
            try:
                Stream(session, "u/d/s").subscribe(print)
            except Closed as e:
                errors.append(e)

        thread = threading.Thread(target=subscribe)
        thread.start()
        client, _ = listener.accept()
        with client:
            assert client.recv(10)
            began = time.monotonic()
            session.close()
            assert time.monotonic() - began < 5
            assert not any(t.name.startswith("connectordb-") for t in set(threading.enumerate()) - before)
        thread.join(5)
        assert errors


def test_closing_while_there_is_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_backoff, "FIRST_S", 60.0)
    before = set(threading.enumerate())
    with running(Fake(closing(1001, ""))) as stream:
        stream.subscribe(print)
        until(lambda: stream._session.subscriptions._socket is None)
        began = time.monotonic()
        stream._session.close()
        assert time.monotonic() - began < 5
        assert not any(t.name.startswith("connectordb-") for t in set(threading.enumerate()) - before)


def test_a_callback_that_never_ends_does_not_stop_closing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def act(connection: ServerConnection, take: Any) -> None:
        say(connection, id=take()["id"], ok=True, cursor="7.0")
        say(connection, stream="u/d/s", cursor="7.2", data=[{"t": 1, "d": "x"}])
        take()

    monkeypatch.setattr(_subscriptions, "CLOSE_PATIENCE_S", 0.1)
    gate, there = threading.Event(), threading.Event()

    def callback(path: str, data: Any) -> None:
        there.set()
        gate.wait(PATIENCE_S)

    with running(Fake(act)) as stream:
        stream.subscribe(callback)
        assert there.wait(PATIENCE_S)
        stream._session.close()
        assert "still runs" in caplog.text
    gate.set()
    until(lambda: not any(thread.name == "connectordb-u/d/s" for thread in threading.enumerate()))


def test_the_code_of_a_closed_socket() -> None:
    with running(Fake(closing(1012, "restart"))) as stream:
        socket = stream._session.transport.websocket("/api/v1/websocket", headers={}, timeout_s=5)
        socket.send('{"id": 1}')
        assert json.loads(socket.recv())["ok"]
        with pytest.raises(SocketClosed) as caught:
            socket.recv()
        assert (caught.value.code, caught.value.reason) == (1012, "restart")
        with pytest.raises(SocketClosed):
            socket.send("x")
        socket.close()
        socket.close()
