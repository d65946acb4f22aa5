"""Live: history and then what comes, as an iterator."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from connectordb import (
    Closed,
    ConnectFailed,
    ConnectorDB,
    InvalidRange,
    Live,
    NotFound,
    Notice,
    PermissionDenied,
    RequestError,
    ScriptError,
    ServerError,
    TransportError,
)
from connectordb.client import Credentials, HttpTransport, Session, Stream, _backoff, _live
from connectordb.client._calls import live_target

PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_backoff, "FIRST_S", 0.02)


def take(live: Live, n: int) -> list[Any]:
    return [next(live)["d"] for _ in range(n)]


STARTS: list[tuple[dict[str, Any], list[int]]] = [
    ({}, []),
    ({"since": 2}, [3, 4]),
    ({"since": 0.0}, [1, 2, 3, 4]),
    ({"since": "1970-01-01T00:00:03Z"}, [4]),
    ({"i1": 1}, [2, 3, 4]),
    ({"i1": -1}, [4]),
]


@pytest.mark.parametrize(("start", "history"), STARTS)
def test_history_and_then_what_comes(any_values: Any, start: dict[str, Any], history: list[int]) -> None:
    any_values.insert_array([{"t": i, "d": i} for i in (1, 2, 3, 4)])
    with any_values.live(**start) as live:
        any_values.insert(5)
        any_values.insert_array([{"t": 4e9, "d": 6}, {"t": 4e9 + 1, "d": 7}])
        assert take(live, len(history) + 3) == [*history, 5, 6, 7]


def test_datapoints_are_those_of_the_stream(any_values: Any, db: ConnectorDB) -> None:
    any_values.insert_array([{"t": 1.5, "d": None}, {"t": 2.5, "d": {"x": ["ä\u2028\n\r", 1e300]}}])
    any_values.downlink = True
    with any_values.live(i1=0) as live, any_values.live(downlink=True) as requests:
        db(any_values.path).insert("please")
        assert [next(live), next(live)] == any_values[:]
        assert [next(requests)] == any_values(downlink=True, i1=0)


def test_the_cursor_goes_on_with_the_next_one(any_values: Any) -> None:
    any_values.insert_array([{"t": i, "d": i} for i in (1, 2, 3)])
    with any_values.live(i1=0) as live:
        start = live.cursor
        assert take(live, 1) == [1]
        assert live.cursor == start  # one insert is given out in part
        assert take(live, 2) == [2, 3]
        cursor = live.cursor
    with any_values.live(cursor=cursor) as live:
        any_values.insert(4)
        assert take(live, 1) == [4]
    with any_values.live(cursor=start) as live:
        assert take(live, 4) == [1, 2, 3, 4]


def test_closing_from_another_thread_ends_it_at_once(any_values: Any) -> None:
    live = any_values.live()
    timer = threading.Timer(0.2, live.close)
    began = time.monotonic()
    timer.start()
    assert list(live) == []
    assert 0.1 < time.monotonic() - began < 5
    timer.join()
    live.close()
    assert list(live) == []


def test_closing_the_client_ends_it(server: Any, any_values: Any) -> None:
    db = ConnectorDB("test", "test", url=server.url)
    live = db(any_values.path).live()
    timer = threading.Timer(0.2, db.close)
    timer.start()
    assert list(live) == []
    timer.join()
    with pytest.raises(Closed):
        db(any_values.path).live()


def test_many_of_them_take_no_connection_from_the_rest(any_values: Any) -> None:
    lives = [any_values.live() for _ in range(12)]
    any_values.insert(1)
    assert [take(live, 1) for live in lives] == [[1]] * 12
    for live in lives:
        live.close()


def test_refusals(any_values: Any, device: ConnectorDB, server: Any) -> None:
    with pytest.raises((NotFound, PermissionDenied)):
        device["nosuch"].live()
    with pytest.raises(ScriptError):
        any_values.live(transform="nosuch")
    with pytest.raises(InvalidRange):
        any_values.live(since=1, i1=1)
    with pytest.raises(RequestError):
        any_values.live(cursor="not a cursor")
    with ConnectorDB(url=server.url) as nobody, pytest.raises((NotFound, PermissionDenied)):
        nobody(any_values.path).live()


def test_no_server() -> None:
    session = Session(HttpTransport("http://127.0.0.1:9"), Credentials(password="x"))
    with pytest.raises(ConnectFailed):
        Stream(session, "u/d/s").live()
    session.close()


def test_a_stream_that_is_deleted(any_values: Any) -> None:
    with any_values.live() as live:
        any_values.insert(1)
        assert take(live, 1) == [1]
        any_values.delete()
        with pytest.raises(RequestError):
            next(live)
        assert list(live) == []


CUTS = [*range(0, 500, 90), *range(500, 1300, 29)]


def test_wherever_the_connection_is_cut(proxy: Any, device: ConnectorDB, any_values: Any) -> None:
    with ConnectorDB(device.apikey, url=proxy.url) as shaky:
        proxy.faults[:] = [None]
        live = shaky["any"].live()
        n = 0
        for cut in CUTS:
            proxy.faults[:] = [cut]
            connections = proxy.connections
            live._reply.abort()
            got: list[Any] = []
            deadline = time.monotonic() + PATIENCE_S
            first = n
            while proxy.connections < connections + 2:
                assert time.monotonic() < deadline
                any_values.insert(n)
                n += 1
                got += take(live, 1)
            assert got == list(range(first, n))
        live.close()


@pytest.mark.parametrize("kill", [False, True])
def test_a_server_that_is_stopped_and_started(own_server: Any, kill: bool) -> None:
    with ConnectorDB("test", "test", url=own_server.url, retries=50) as db:
        db["s"].create()
        with db["s"].live() as live:
            own_server.stop(kill=kill)
            own_server.start()
            db["s"].insert(1)
            assert take(live, 1) == [1]
            db["s"].insert(2)
            assert take(live, 1) == [2]
            own_server.stop(kill=kill)
            ready = threading.Timer(0.3, lambda: (own_server.start(), db["s"].insert(3)))
            ready.start()
            assert take(live, 1) == [3]
            ready.join()


def test_after_a_new_key_it_goes_on(server: Any, db: ConnectorDB, fresh_name: str) -> None:
    device = db(f"test/{fresh_name}")
    device.create()
    with ConnectorDB(device.apikey, url=server.url) as own:
        own["s"].create()
        with own["s"].live() as live:
            own["s"].insert(1)
            assert take(live, 1) == [1]
            db(device.path).reset_apikey()
            with pytest.raises(RequestError):
                next(live)
    device.delete()


def test_local_mode(tmp_path: Any) -> None:
    with ConnectorDB.local(tmp_path / "db", user="me") as db:
        db["s"].create()
        db["s"].insert(1)
        with db["s"].live(i1=0) as live:
            db["s"].insert(2)
            assert take(live, 2) == [1, 2]
            timer = threading.Timer(0.2, live.close)
            timer.start()
            began = time.monotonic()
            assert list(live) == []
            assert time.monotonic() - began < 5
            timer.join()
        left_open = db["s"].live()
    assert list(left_open) == []


# -- against a server that answers as it is told -----------------------------------------------------------------------


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
BEGIN = b':\nretry: 1000\n\nevent: start\nid: 7.0\ndata: {"cursor":"7.0"}\n\n'
END = b"0\r\n\r\n"


def chunk(text: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(text), text)


@contextmanager
def answered(answering: Callable[..., Any], *answers: bytes | tuple[bytes] | None) -> Iterator[Stream]:
    with answering(*answers) as url:
        session = Session(HttpTransport(url), Credentials(password="x"), timeout_s=20)
        try:
            yield Stream(session, "u/d/s")
        finally:
            session.close()


def test_what_becomes_of_an_end_without_a_reason(answering: Any) -> None:
    first = HEAD + chunk(BEGIN) + chunk(b'id: 7.1\ndata: [{"t": 1, "d": "a"}]\n\n') + END
    second = HEAD + chunk(BEGIN + b'id: 7.2\ndata: [{"t": 1') + chunk(b', "d": "b"}]\n\n')
    with answered(answering, first, second) as stream, stream.live() as live:
        assert take(live, 2) == ["a", "b"]
        assert live.cursor == "7.2"


def test_ended_is_an_error(answering: Any) -> None:
    text = b'event: ended\ndata: {"code": 404, "msg": "gone", "error": "not_found"}\n\n'
    with answered(answering, HEAD + chunk(BEGIN + text) + END) as stream, stream.live() as live:
        with pytest.raises(NotFound, match="gone"):
            next(live)
        assert list(live) == []


def test_missed_and_reset_are_told(answering: Any, caplog: pytest.LogCaptureFixture) -> None:
    text = (
        b'event: missed\ndata: {"n": 3}\n\nevent: lag\ndata: {"n": 9}\n\nevent: reset\ndata: {}\n\n'
        b'event: news\ndata: {}\n\ndata: [{"d": 1}]\n\nevent: missed\ndata: {"n": null}\n\ndata: [{"d": 2}]\n\n'
    )
    with answered(answering, HEAD + chunk(BEGIN + text)) as stream, stream.live() as live:
        assert live.missed == 0
        assert take(live, 1) == [1]
        assert live.missed == 3
        assert take(live, 1) == [2]
        assert live.missed is None
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3


FAILED_AND_LAG = (
    b'event: failed\ndata: {"code": 400, "msg": "no number", "error": "script_error", "n": 2}\n\n'
    b'event: lag\ndata: {"n": 9}\n\ndata: [{"d": 1}]\n\n'
)


def test_a_transform_that_fails_is_told(answering: Any, caplog: pytest.LogCaptureFixture) -> None:
    with answered(answering, HEAD + chunk(BEGIN + FAILED_AND_LAG)) as stream, stream.live(transform="x") as live:
        assert take(live, 1) == [1]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "The transform of the live stream 'u/d/s' has failed: 400: no number" in caplog.text


def test_notices_may_be_had_instead(answering: Any, caplog: pytest.LogCaptureFixture) -> None:
    text = FAILED_AND_LAG + b'event: missed\ndata: {"n": 3}\n\nevent: reset\ndata: {}\n\ndata: [{"d": 2}]\n\n'
    notices: list[Notice] = []
    with (
        answered(answering, HEAD + chunk(BEGIN + text)) as stream,
        stream.live(transform="x", on_notice=notices.append) as live,
    ):
        assert take(live, 2) == [1, 2]
        assert live.missed == 3
    assert not caplog.records
    assert [(n.kind, n.path, n.n) for n in notices] == [
        ("failed", "u/d/s", 2),
        ("lag", "u/d/s", 9),
        ("missed", "u/d/s", 3),
        ("reset", "u/d/s", None),
    ]
    assert isinstance(notices[0].error, ScriptError)


def test_on_notice_that_fails_is_logged(answering: Any, caplog: pytest.LogCaptureFixture) -> None:
    def on_notice(notice: Notice) -> None:
        raise ZeroDivisionError

    text = HEAD + chunk(BEGIN + FAILED_AND_LAG)
    with answered(answering, text) as stream, stream.live(on_notice=on_notice) as live:
        assert take(live, 1) == [1]
    assert "on_notice of the live stream 'u/d/s' failed" in caplog.text


def test_closing_while_the_server_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        session = Session(HttpTransport(f"http://127.0.0.1:{listener.getsockname()[1]}"), Credentials(password="x"))
        caught: list[BaseException] = []

        def iterate() -> None:
            try:
                list(Stream(session, "u/d/s").live())
            except BaseException as e:
                caught.append(e)

        thread = threading.Thread(target=iterate)
        thread.start()
        client, _ = listener.accept()
        with client:
            assert client.recv(10)
            session.close()
            thread.join(5)
            assert not thread.is_alive()
        assert [isinstance(e, TransportError) for e in caught] == [True]


def test_silence_leads_to_a_new_connection(answering: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_live, "SILENCE_MAX_S", 0.3)
    answer = HEAD + chunk(BEGIN) + chunk(b'data: [{"d": 1}]\n\n')
    with answered(answering, None) as stream, pytest.raises(TransportError):
        stream.live()
    monkeypatch.setattr(_live, "SILENCE_MAX_S", 1.0)
    with answered(answering, (answer,), answer) as stream, stream.live() as live:
        assert take(live, 1) == [1]
        assert take(live, 1) == [1]  # of the second connection


NO_STREAMS = [
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok",
    HEAD + END,
    HEAD + chunk(b"data: [5]\n\n") + END,
    HEAD + chunk(b"event: start\ndata: 5\n\n") + END,
]


@pytest.mark.parametrize("answer", NO_STREAMS)
def test_what_is_no_stream_of_events(answering: Any, answer: bytes) -> None:
    with answered(answering, answer) as stream, pytest.raises((ServerError, TransportError)):
        stream.live()


def test_targets() -> None:
    assert live_target("u/d/s", {}) == "/api/v1/live/u/d/s"
    assert live_target("u/d/s", {"since": "1e+22"}) == "/api/v1/live/u/d/s?since=1e%2B22"
    assert live_target("u/d/s", {"i1": "-5"}, transform="if $ > 5", downlink=True) == (
        "/api/v1/live/u/d/s?i1=-5&transform=if+%24+%3E+5&downlink=true"
    )
