"""What a Logger does when the line, the server or the clock fails: nothing is lost, nothing is doubled."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import Fault, FaultProxy
from upload_server import Refused, Request, StreamState, UploadServer

from connectordb.client import _calls
from connectordb.client._session import Credentials, Session
from connectordb.client._transport import HttpTransport
from connectordb.errors import (
    Closed,
    LimitReached,
    MethodNotAllowed,
    NotFound,
    PermissionDenied,
    RequestError,
    ServerError,
    StorageFull,
    TimedOut,
    TooLarge,
    TransportError,
    Unauthenticated,
    UploadConflict,
)
from connectordb.logger import Logger
from connectordb.logger._outbox import Account, Outbox, change_account, read_account
from connectordb.logger._spool import Spool
from connectordb.logger._uploader import FAILURES_BEFORE_DIVIDING

MakeLogger = Callable[..., Logger]


def wire_error(status: int, error: str, msg: str = "refused") -> tuple[int, bytes]:
    return status, json.dumps(Refused(status, error, msg).body).encode()


def only_uploads(answer: tuple[int, bytes]) -> Callable[[Request], tuple[int, bytes] | None]:
    return lambda request: answer if request.method == "PATCH" else None


@pytest.mark.parametrize("fault", list(Fault))
def test_a_cut_line_loses_and_doubles_nothing(
    make_logger: MakeLogger, server: UploadServer, proxy: FaultProxy, fault: Fault
) -> None:
    logger = make_logger(url=proxy.url, timeout_s=0.3, syncraise=True)
    logger.insert_many({"x": [{"d": i} for i in range(100)]})
    proxy.arm(fault)
    with pytest.raises((TransportError, ServerError)):  # half of a reply may look like an empty one
        logger.sync()
    assert len(logger) == 100
    arrived = fault in (Fault.BEFORE_REPLY, Fault.IN_REPLY, Fault.SILENCE)
    assert len(server.uploads) == arrived
    logger.insert("x", 100)  # must not get into the batch that is under way
    logger.sync()
    assert server["x"].values == list(range(101))
    assert len(logger) == 0
    first, *_, last = server.uploads
    assert len(json.loads(first.body)) == 100
    assert len(json.loads(last.body)) == 1


def test_a_retry_is_the_same_request_to_the_letter(
    make_logger: MakeLogger, server: UploadServer, proxy: FaultProxy
) -> None:
    logger = make_logger(url=proxy.url)
    logger.insert("x", 1)
    for _ in range(2):
        proxy.arm(Fault.BEFORE_REPLY)
        logger.sync()
        logger.insert("x", 2)
        logger.close()
        logger = make_logger(url=proxy.url)
    logger.sync()
    assert server.uploads[0] == server.uploads[1] == server.uploads[2]
    assert server["x"].values == [1, 2, 2]


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"<html><body>Welcome to the hotel's network</body></html>"),
        (200, b"ok"),
        (200, b""),
        (200, b"{}"),
        (200, b"null"),
        (200, b'{"stored": 1, "refused": []}'),
        (200, b'{"stored": 3, "refused": []}'),
        (200, b'{"stored": "2"}'),
        (200, b'{"stored": 1, "refused": [{"position": 2, "msg": ""}]}'),
        (200, b'{"stored": 1, "refused": [{"position": -1, "msg": ""}]}'),
        (200, b'{"stored": 0, "refused": [{"position": 1, "msg": ""}, {"position": 1, "msg": ""}]}'),
        (204, b""),
        (302, b""),
        (500, b"oops"),
        (502, b"<html>Bad gateway</html>"),
    ],
)
def test_only_a_well_formed_report_is_an_acknowledgement(
    make_logger: MakeLogger, server: UploadServer, answer: tuple[int, bytes]
) -> None:
    logger = make_logger(syncraise=True)
    logger.insert("x", 1)
    logger.insert("x", 2)
    server.override = only_uploads(answer)
    with pytest.raises(ServerError):
        logger.sync()
    assert len(logger) == 2
    server.override = lambda request: None
    logger.sync()
    assert server["x"].values == [1, 2]


def test_a_server_with_a_full_disk_gets_the_same_batch_when_it_has_room(
    make_logger: MakeLogger, server: UploadServer
) -> None:
    """Nothing is wrong with the batch, so it is neither divided nor rejected, however often it is refused."""
    logger = make_logger(syncraise=True)
    logger.insert_many({"x": [{"d": i} for i in range(10)]})
    server.override = only_uploads(wire_error(507, "storage_full", "the disk is full; nothing of it was stored"))
    for _ in range(FAILURES_BEFORE_DIVIDING + 3):
        with pytest.raises(StorageFull, match="the disk is full"):
            logger.sync()
    assert len(logger) == 10
    server.override = lambda request: None
    logger.sync()
    assert server["x"].values == list(range(10))
    assert all(request == server.uploads[0] for request in server.uploads)


def test_a_captive_portal_that_answers_everything_is_no_server(make_logger: MakeLogger, server: UploadServer) -> None:
    logger = make_logger(syncraise=True)
    logger.insert("x", 1)
    server.override = lambda request: (200, b"<html>\n<form>Please log in</form></html>")
    with pytest.raises(ServerError):
        logger.sync()
    assert len(logger) == 1
    assert server.uploads == []


def test_late_points_are_kept_and_merged(logger: Logger, server: UploadServer) -> None:
    """ConnectorDB 0.3's Logger dropped what was older than the server's newest datapoint."""
    server.streams["x"] = StreamState({"schema": '{"type":"number"}'})
    server["x"].points = [{"t": 2e9, "d": -1}]
    logger.insert("x", 1)
    logger.insert("x", 0, t=5)
    logger.sync()
    assert server["x"].values == [0, 1, -1]
    assert len(logger) == 0


def test_clock_steps_lose_nothing(make_logger: MakeLogger, server: UploadServer) -> None:
    now = [1000.0]
    logger = make_logger(clock=lambda: now[0])
    for step in (0, 10, -500, 0, 1e6, -1e6, 3):
        now[0] += step
        logger.insert("x", now[0])
        if step < 0:
            logger.sync()
    logger.sync()
    values = server["x"].values
    assert len(values) == 7
    assert values == sorted(values)


def test_clock_set_back_during_an_upload_loses_nothing(make_logger: MakeLogger, server: UploadServer) -> None:
    now = [1000.0]
    logger = make_logger(clock=lambda: now[0])
    logger.insert("x", 1)

    def insert_meanwhile(request: Request) -> None:
        if request.method == "PATCH" and len(server.uploads) == 1:
            now[0] = 500.0
            logger.insert("x", 0)

    server.override = insert_meanwhile
    logger.sync()
    assert len(logger) == 1  # it did not belong to what was sent
    logger.sync()
    assert server["x"].values == [0, 1]


def test_equal_time_stamps_are_not_one_point(make_logger: MakeLogger, server: UploadServer, proxy: FaultProxy) -> None:
    logger = make_logger(url=proxy.url, clock=lambda: 1000.0, batch_points_max=2)
    for i in range(5):
        logger.insert("x", i)
        logger.insert("x", i)
    proxy.arm(Fault.BEFORE_REPLY)
    logger.sync()
    logger.sync()
    assert server["x"].values == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_refused_points_are_kept_with_the_reason_and_the_rest_goes_on(logger: Logger, server: UploadServer) -> None:
    server.refuse = lambda value: f"{value} is odd" if value % 2 else None
    logger.insert_many({"x": [{"t": 100 + i, "d": i} for i in range(6)]})
    logger.sync()
    assert server["x"].values == [0, 2, 4]
    assert len(logger) == 0
    assert [(r.stream, r.t, r.d, r.reason) for r in logger.rejected()] == [
        ("x", 100.0 + i, i, f"{i} is odd") for i in (1, 3, 5)
    ]
    assert all(r.rejected_t == pytest.approx(time.time(), abs=60) for r in logger.rejected())
    assert logger.status().rejected == 3
    server.refuse = lambda value: None
    assert logger.retry_rejected() == 3
    assert (len(logger), logger.rejected()) == (3, [])
    logger.sync()
    assert server["x"].values == list(range(6))


def test_refused_points_can_be_cleared(logger: Logger, server: UploadServer) -> None:
    server.refuse = lambda value: "no"
    logger.insert("x", 1)
    logger.sync()
    assert logger.clear_rejected() == 1
    assert (logger.rejected(), logger.clear_rejected(), logger.retry_rejected()) == ([], 0, 0)


def test_refusals_are_not_forgotten_when_the_reply_is_lost(
    make_logger: MakeLogger, server: UploadServer, proxy: FaultProxy
) -> None:
    logger = make_logger(url=proxy.url)
    server.refuse = lambda value: "no" if value == 2 else None
    logger.insert_many({"x": [{"d": i} for i in range(4)]})
    proxy.arm(Fault.BEFORE_REPLY)
    logger.sync()
    server.refuse = lambda value: None  # the second attempt must get the answer of the first
    logger.sync()
    assert server["x"].values == [0, 1, 3]
    assert [r.d for r in logger.rejected()] == [2]


def test_a_schema_changed_on_the_server_is_noticed(logger: Logger, server: UploadServer) -> None:
    logger.sync()
    server["x"].fields["schema"] = '{"type":"string"}'
    server.refuse = lambda value: None if isinstance(value, str) else "no text"
    logger.insert("x", 1)
    logger.sync()
    assert [r.reason for r in logger.rejected()] == ["no text"]
    logger.insert("x", "text")
    logger.sync()
    assert server["x"].values == ["text"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (wire_error(403, "forbidden"), PermissionDenied),
        (wire_error(403, "not_found"), NotFound),
        (wire_error(403, "limit_reached"), LimitReached),
        (wire_error(405, "method_not_allowed"), MethodNotAllowed),
        ((403, b"<html>Forbidden</html>"), PermissionDenied),
        ((400, b"<html>Bad request</html>"), RequestError),
    ],
)
def test_a_refused_stream_does_not_hold_up_the_others(
    make_logger: MakeLogger, server: UploadServer, answer: tuple[int, bytes], error: type[Exception]
) -> None:
    failures: list[Exception] = []
    logger = make_logger(onsyncfail=failures.append)
    logger.add_stream("y", {"type": "number"})
    logger.insert_many({"x": [{"d": 1}], "y": [{"d": 2}]})
    server.override = lambda request: answer if request.method == "PATCH" and "/x/" in request.path else None
    for _ in range(2):
        logger.sync()
        assert server["y"].values == [2]
        assert logger.status().waiting == {"x": 1, "y": 0}
        assert "stream 'x'" in (logger.status().last_error or "")
    assert [type(failure) for failure in failures] == [error] * 2
    assert logger.rejected() == []
    server.override = lambda request: None
    logger.sync()
    assert server["x"].values == [1]


def test_a_stream_that_cannot_be_created_does_not_hold_up_the_others(
    make_logger: MakeLogger, server: UploadServer
) -> None:
    logger = make_logger(syncraise=True)
    logger.add_stream("y")
    logger.insert_many({"x": [{"d": 1}], "y": [{"d": 2}]})
    server.override = lambda request: (
        wire_error(403, "forbidden") if request.method == "POST" and request.path.endswith("/x") else None
    )
    with pytest.raises(PermissionDenied):
        logger.sync()
    assert server["y"].values == [2]
    assert logger.status().waiting == {"x": 1, "y": 0}


def test_a_stream_that_somebody_else_creates_meanwhile_is_used(logger: Logger, server: UploadServer) -> None:
    def create_first(request: Request) -> tuple[int, bytes] | None:
        if request.method == "POST":
            server.streams.setdefault("x", StreamState({"schema": '{"type":"integer"}'}))
        return None

    server.override = create_first
    logger.insert("x", 1)
    logger.sync()
    assert server["x"].values == [1]
    assert logger.streams == {"x": {"type": "integer"}}


def test_a_stream_that_may_not_be_read_is_used_all_the_same(logger: Logger, server: UploadServer) -> None:
    server.streams["x"] = StreamState({})
    server.override = lambda request: (
        wire_error(404, "not_found") if request.method == "GET" and request.path.endswith("/x") else None
    )
    logger.insert("x", 1)
    logger.sync()
    assert server["x"].values == [1]
    assert logger.streams == {"x": {"type": "number"}}


def test_a_schema_that_cannot_be_checked_here_is_left_to_the_server(logger: Logger, server: UploadServer) -> None:
    server.streams["x"] = StreamState({"schema": '{"type":"of the future"}'})
    logger.sync()
    logger.insert("x", "anything")
    logger.sync()
    assert server["x"].values == ["anything"]


def test_a_deleted_stream_is_made_again_when_datapoints_wait(logger: Logger, server: UploadServer) -> None:
    logger.sync()
    del server.streams["x"]
    logger.sync()
    assert "x" not in server.streams
    logger.insert("x", 1)
    logger.sync()
    assert server["x"].values == [1]
    assert server["x"].fields["schema"] == '{"type":"number"}'
    assert logger.status().last_error is None


def test_a_stream_that_is_never_found_is_made_once_in_a_run(make_logger: MakeLogger, server: UploadServer) -> None:
    logger = make_logger(syncraise=True)
    logger.sync()
    logger.insert("x", 1)
    server.override = only_uploads(wire_error(404, "not_found"))
    with pytest.raises(NotFound):
        logger.sync()
    assert len(server.uploads) == 2
    assert len(logger) == 1


@pytest.mark.parametrize("setting", ["apikey", "server_url"])
def test_what_waits_goes_to_another_device(logger: Logger, server: UploadServer, setting: str) -> None:
    logger.add_stream("empty")
    logger.sync()
    logger.insert("x", 1)
    with UploadServer() as other:
        if setting == "apikey":
            server.device, server.streams = "alice/other", {}
            logger.apikey = "other key"
            other = server
        else:
            other.device = "alice/other"
            logger.server_url = other.url
        assert logger.name == "alice/other"
        logger.sync()
        assert other["x"].values == [1]
        assert other["x"].fields["schema"] == '{"type":"number"}'
        assert "empty" in other.streams
    assert logger.status().last_error is None


def test_a_batch_gets_a_new_source_for_another_device_only(
    make_logger: MakeLogger, server: UploadServer, proxy: FaultProxy
) -> None:
    logger = make_logger(url=proxy.url)
    logger.sync()
    logger.insert("x", 1)
    proxy.arm(Fault.BEFORE_REPLY)
    logger.sync()
    logger.apikey = "a new key of the same device"
    logger.sync()
    assert server.uploads[0] == server.uploads[1]
    assert server["x"].values == [1]
    logger.insert("x", 2)
    proxy.arm(Fault.BEFORE_REPLY)
    logger.sync()
    server.device, server.streams = "alice/other", {}
    logger.apikey = "a key in between"
    logger.apikey = "the key of another device"
    logger.sync()
    *_, lost, new = server.uploads
    assert lost.body == new.body
    assert lost.query["source"] != new.query["source"]
    assert server["x"].values == [2]
    logger.insert("x", 3)
    server.override = only_uploads((500, b""))
    logger.sync()
    server.override = lambda request: None
    with UploadServer() as other:
        logger.server_url = other.url
        logger.sync()
        assert other["x"].values == [3]
        assert server.uploads[-1].query["source"] != other.uploads[-1].query["source"]


@pytest.mark.parametrize("during", ["", "crud/alice/dev/x", "crud/alice/dev/x/data"])
def test_key_changed_during_an_upload_is_not_taken_for_the_old_one(
    logger: Logger, server: UploadServer, during: str
) -> None:
    logger.insert("x", 1)
    with UploadServer() as other:
        other.device = "alice/other"

        def change(request: Request) -> None:
            if request.path == during and logger.server_url != other.url:
                logger.server_url = other.url

        server.override = change
        logger.sync()
        assert logger._spool.get("device") == "alice/other"
        assert "x" in other.streams
        logger.insert("x", 2)
        logger.sync()
        assert other["x"].values[-1] == 2
        assert (server["x"].values if "x" in server.streams else []) + other["x"].values in ([1, 2], [1, 1, 2])
    assert len(logger) == 0


def test_device_of_an_old_key_is_not_noted(logger: Logger, server: UploadServer) -> None:
    def change(request: Request) -> None:
        logger.apikey = "another key"

    server.override = change
    logger.ping()
    assert logger._spool.get("device") is None


def test_address_and_key_are_read_at_once(logger: Logger) -> None:
    one = read_account(logger._spool)
    two = Account("key of two", "http://127.0.0.1:1")
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            for account in (two, one):
                change_account(logger._spool, account)

    thread = threading.Thread(target=change)
    thread.start()
    seen = {read_account(logger._spool) for _ in range(500)}
    stop.set()
    thread.join()
    assert seen <= {one, two}


@pytest.mark.parametrize(("status", "error"), [(401, "unauthenticated"), (429, "too_many_requests")])
def test_errors_of_the_whole_device_end_the_run(
    make_logger: MakeLogger, server: UploadServer, status: int, error: str
) -> None:
    logger = make_logger(syncraise=True)
    logger.add_stream("y")
    logger.insert_many({"x": [{"d": 1}], "y": [{"d": 2}]})
    server.override = only_uploads(wire_error(status, error))
    with pytest.raises(RequestError):
        logger.sync()
    assert len(server.uploads) == 1
    assert len(logger) == 2


def test_wrong_key_is_told_and_loses_nothing(make_logger: MakeLogger, server: UploadServer) -> None:
    logger = make_logger(syncraise=True)
    logger.insert("x", 1)
    server.override = lambda request: wire_error(401, "unauthenticated", "no such key")
    with pytest.raises(Unauthenticated, match="no such key"):
        logger.sync()
    assert len(logger) == 1


# -- batches that are too large ---------------------------------------------------------------------------------------


def test_a_batch_too_large_is_divided_until_it_fits(make_logger: MakeLogger, server: UploadServer) -> None:
    logger = make_logger(syncraise=True)
    server.body_bytes_max = 2000
    logger.insert_many({"x": [{"t": i + 1, "d": i} for i in range(500)]})
    logger.sync()
    assert server["x"].values == list(range(500))
    assert (len(logger), logger.rejected()) == (0, [])
    stored = [request for request in server.uploads if len(request.body) <= 2000 and request.body != b"[]"]
    assert len(stored) < 40, "batches have to stay as large as they can"


def test_batches_grow_again_after_they_were_divided(make_logger: MakeLogger, server: UploadServer) -> None:
    logger = make_logger(batch_points_max=64)
    server.body_bytes_max = 200
    logger.insert_many({"x": [{"t": i + 1, "d": i} for i in range(64)]})
    logger.sync()
    server.body_bytes_max = 10_000
    logger.insert_many({"x": [{"t": i + 1, "d": i} for i in range(64, 564)]})
    logger.sync()
    assert server["x"].values == list(range(564))
    assert len(json.loads(server.uploads[-2].body)) == 64


@pytest.mark.parametrize("answer", [(413, b"<html>nginx</html>"), wire_error(413, "too_large")])
def test_a_batch_that_may_be_stored_is_not_divided(
    make_logger: MakeLogger, server: UploadServer, proxy: FaultProxy, answer: tuple[int, bytes]
) -> None:
    """The reply of the first attempt is lost; then the bound is lowered. Parts would double the datapoints."""
    logger = make_logger(url=proxy.url, syncraise=True)
    logger.insert_many({"x": [{"d": i} for i in range(10)]})
    proxy.arm(Fault.BEFORE_REPLY)
    with pytest.raises(TransportError):
        logger.sync()
    server.override = lambda request: answer if request.method == "PATCH" and len(request.body) > 2 else None
    for _ in range(5):
        with pytest.raises(TooLarge):
            logger.sync()
    assert len(logger) == 10
    server.override = lambda request: None
    logger.sync()
    assert (server["x"].values, len(logger)) == (list(range(10)), 0)


def test_a_batch_that_arrives_after_it_was_divided_is_not_stored(
    make_logger: MakeLogger, server: UploadServer, tmp_path: Path
) -> None:
    """The first attempt hangs in the network, the second one is refused, and then the first one arrives."""
    logger = make_logger(batch_points_max=8)
    logger.insert_many({"x": [{"t": i + 1, "d": i} for i in range(8)]})
    delayed: list[Request] = []

    def delay_first(request: Request) -> tuple[int, bytes] | None:
        if request.method == "PATCH" and len(json.loads(request.body)) == 8:
            delayed.append(request)
            return wire_error(413, "too_large") if len(delayed) > 1 else (504, b"gateway timeout")
        return None

    server.override = delay_first
    logger.sync()
    logger.sync()
    server.override = lambda request: None
    assert server["x"].values == list(range(8))
    query = "&".join(f"{key}={value}" for key, value in delayed[0].query.items())
    assert server.answer("PATCH", f"/api/v1/{delayed[0].path}?{query}", delayed[0].body)[0] == 409
    assert server["x"].values == list(range(8))


def test_a_point_too_large_by_itself_is_rejected(make_logger: MakeLogger, server: UploadServer) -> None:
    logger = make_logger(syncraise=True)
    logger.add_stream("text", {"type": "string"})
    server.body_bytes_max = 1000
    logger.insert("text", "small")
    logger.insert("text", "L" * 2000)
    logger.insert("text", "small too")
    logger.sync()
    assert server["text"].values == ["small", "small too"]
    assert [(r.d, r.reason) for r in logger.rejected()] == [("L" * 2000, "refused")]
    assert len(logger) == 0


def test_a_point_that_spoils_the_whole_request_is_found_and_rejected(
    make_logger: MakeLogger, server: UploadServer
) -> None:
    logger = make_logger(syncraise=True)
    logger.insert_many({"x": [{"t": i + 1, "d": i} for i in range(100)]})
    server.override = lambda request: (
        wire_error(400, "invalid", "nested too deeply")
        if request.method == "PATCH" and any(p["d"] == 37 for p in json.loads(request.body))
        else None
    )
    logger.sync()
    assert server["x"].values == [i for i in range(100) if i != 37]
    assert [(r.d, r.reason) for r in logger.rejected()] == [(37, "nested too deeply")]


def test_a_server_that_finds_every_request_invalid_gets_no_point_rejected(
    make_logger: MakeLogger, server: UploadServer
) -> None:
    logger = make_logger(syncraise=True)
    logger.insert_many({"x": [{"d": i} for i in range(10)]})
    server.override = only_uploads(wire_error(400, "invalid", "unknown parameter 'source'"))
    with pytest.raises(RequestError):
        logger.sync()
    assert (len(logger), logger.rejected()) == (10, [])


def test_batch_that_never_gets_through_is_made_smaller(make_logger: MakeLogger, server: UploadServer) -> None:
    logger = make_logger()
    logger.insert_many({"x": [{"t": i + 1, "d": i} for i in range(64)]})
    server.override = lambda request: (
        (504, b"too slow") if request.method == "PATCH" and len(json.loads(request.body)) > 10 else None
    )
    for _ in range(30):
        logger.sync()
    assert server["x"].values == list(range(64))
    assert len(logger) == 0


def test_a_batch_that_fails_does_not_hold_up_the_others_for_ever(make_logger: MakeLogger, server: UploadServer) -> None:
    logger = make_logger()
    logger.add_stream("y")
    logger.insert_many({"x": [{"d": 1}], "y": [{"d": 2}]})
    server.override = lambda request: (500, b"") if request.method == "PATCH" and "/x/" in request.path else None
    logger.sync()
    assert server["y"].values == []
    logger.sync()
    assert server["y"].values == [2]


# -- several on one spool, and copies of it ---------------------------------------------------------------------------


def test_threads_and_loggers_may_upload_one_batch_at_once(
    make_logger: MakeLogger, server: UploadServer, proxy: FaultProxy
) -> None:
    loggers = [make_logger(url=proxy.url, batch_points_max=7, syncraise=True) for _ in range(3)]
    for i in range(300):
        loggers[i % 3].insert("x", i)
    errors: list[BaseException] = []

    def work(logger: Logger) -> None:
        try:
            for _ in range(4):
                logger.sync()
        except TransportError:
            pass
        except BaseException as e:
            errors.append(e)

    for fault in (Fault.BEFORE_REPLY, Fault.IN_REQUEST, None):
        proxy.arm(fault, times=3)
        threads = [threading.Thread(target=work, args=(logger,)) for logger in loggers for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []
    assert sorted(server["x"].values) == list(range(300))
    assert len(loggers[0]) == 0


def frozen(path: Path) -> tuple[Spool, Outbox]:
    spool = Spool(str(path))
    return spool, Outbox(spool, points_max=5000, bytes_max=10**6)


def test_conflict_of_a_batch_that_another_process_has_finished_is_an_echo(
    make_logger: MakeLogger, server: UploadServer, tmp_path: Path
) -> None:
    logger = make_logger()
    logger.sync()
    logger.insert("x", 1)
    spool, outbox = frozen(tmp_path / "spool.db")
    old = outbox.freeze(spool.streams()["x"], outbox.horizon())
    assert old is not None
    contents = outbox.contents(old)
    logger.sync()
    logger.insert("x", 2)
    current = outbox.freeze(spool.streams()["x"], outbox.horizon())
    assert current is not None
    logger.sync()
    logger.insert("x", 3)
    current = outbox.freeze(spool.streams()["x"], outbox.horizon())
    session = Session(HttpTransport(server.url), Credentials("", "key"), retries=0)
    upload = _calls.Upload(old.source, old.first, old.last)
    with pytest.raises(UploadConflict):
        session.run(_calls.insert("alice/dev/x", contents.body, _calls.MERGE, verdicts=True, upload=upload))
    session.close()
    # Whatever the late one makes of its answer, the batch under way now is not touched.
    outbox.renumber(old)
    outbox.acknowledge(old, contents, [], 0.0)
    outbox.divide(old, contents)
    outbox.failed(old)
    assert outbox.frozen(old.stream_id) == current
    assert spool.query("SELECT source FROM identity") == [(old.source,)]
    spool.close()
    logger.sync()
    assert server["x"].values == [1, 2, 3]


def test_a_copied_spool_gets_a_source_of_its_own(make_logger: MakeLogger, server: UploadServer, tmp_path: Path) -> None:
    logger = make_logger()
    logger.add_stream("y")
    logger.insert("x", 1)
    logger.sync()
    logger.close()
    shutil.copy(tmp_path / "spool.db", tmp_path / "copy.db")
    original, copy = make_logger("spool.db"), make_logger("copy.db")
    for i, either in enumerate((original, copy, copy, original, copy, original)):
        either.insert("y", i)
        either.insert("x", 10 + i)
        either.sync()
    assert server["x"].values == [1, 10, 11, 12, 13, 14, 15]
    assert server["y"].values == list(range(6))
    sources = {request.query["source"] for request in server.uploads}
    assert len(sources) == 2


def test_a_copy_that_is_not_recognised_loses_nothing_either(
    make_logger: MakeLogger, server: UploadServer, tmp_path: Path
) -> None:
    """The copy of a whole disk: the numbers are used twice, the server notices, and a new source is taken."""
    logger = make_logger()
    logger.insert("x", 1)
    logger.sync()
    logger.close()
    shutil.copy(tmp_path / "spool.db", tmp_path / "copy.db")
    spool = Spool(str(tmp_path / "copy.db"))
    spool.write("UPDATE identity SET inode=?", ((tmp_path / "copy.db").stat().st_ino,))
    spool.close()
    original, copy = make_logger("spool.db", syncraise=True), make_logger("copy.db", syncraise=True)
    for i, either in enumerate((original, copy, original, original, copy)):
        either.insert("x", 10 + i)
        either.sync()
    assert server["x"].values == [1, 10, 11, 12, 13, 14]
    assert (len(original), len(copy)) == (0, 0)


def test_a_server_that_finds_a_conflict_in_everything_is_told(make_logger: MakeLogger, server: UploadServer) -> None:
    logger = make_logger(syncraise=True)
    logger.insert("x", 1)
    server.override = only_uploads(wire_error(409, "upload_conflict"))
    with pytest.raises(UploadConflict):
        logger.sync()
    assert len(logger) == 1
    assert len({request.query["source"] for request in server.uploads}) == len(server.uploads) == 4


def test_cleared_data_is_gone_also_what_was_under_way(
    make_logger: MakeLogger, server: UploadServer, proxy: FaultProxy
) -> None:
    logger = make_logger(url=proxy.url)
    logger.insert("x", 1)
    proxy.arm(Fault.BEFORE_REQUEST)
    logger.sync()
    logger.clear_data()
    logger.insert("x", 2)
    logger.sync()
    assert server["x"].values == [2]


def test_data_cleared_during_an_upload_does_no_harm(logger: Logger, server: UploadServer) -> None:
    def clear(request: Request) -> None:
        if request.method == "PATCH" and len(server.uploads) == 1:
            logger.clear_data()
            logger.insert("x", 2)

    server.override = clear
    logger.insert("x", 1)
    logger.sync()
    logger.sync()
    assert server["x"].values == [1, 2]
    assert len(logger) == 0


def test_server_away_for_long_and_back(make_logger: MakeLogger, server: UploadServer, proxy: FaultProxy) -> None:
    logger = make_logger(url=proxy.url, batch_points_max=1000)
    proxy.target_port = 1
    for day in range(30):
        logger.insert_many({"x": [{"t": 1e9 + day * 86400 + i, "d": day * 200 + i} for i in range(200)]})
        logger.sync()
    assert len(logger) == 6000
    proxy.target_port = server.port
    logger.sync()
    assert server["x"].values == list(range(6000))


def test_interleaved_faults_of_all_kinds(make_logger: MakeLogger, server: UploadServer, proxy: FaultProxy) -> None:
    import random

    rng = random.Random(7)
    logger = make_logger(url=proxy.url, batch_points_max=20, timeout_s=0.2)
    inserted = 0
    for _ in range(60):
        for _ in range(rng.randrange(15)):
            logger.insert("x", inserted)
            inserted += 1
        proxy.arm(rng.choice([None, *Fault]), times=rng.randrange(1, 3), marker=rng.choice([b"PATCH ", b"GET "]))
        logger.sync()
        if rng.random() < 0.2:
            logger.close()
            logger = make_logger(url=proxy.url, batch_points_max=20, timeout_s=0.2)
    proxy.arm(None)
    logger.sync()
    assert sorted(server["x"].values) == list(range(inserted))


def test_abandoned_request_is_answered_after_all(make_logger: MakeLogger, server: UploadServer) -> None:
    """The server answers after the Logger has given up: the batch is stored once."""
    logger = make_logger(timeout_s=0.2, syncraise=True)
    release = threading.Event()

    def slow(request: Request) -> Any:
        if request.method == "PATCH" and len(server.uploads) == 1:
            server.lock.release()
            release.wait(5)
            server.lock.acquire()

    server.override = slow
    logger.insert("x", 1)
    with pytest.raises((TimedOut, Closed)):
        logger.sync()
    logger.sync()
    release.set()
    logger.insert("x", 2)
    logger.sync()
    assert server["x"].values == [1, 2]
