"""What a Logger does when nothing goes wrong; names and behaviour of ConnectorDB 0.3's."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from upload_server import UploadServer

from connectordb.errors import (
    ConnectFailed,
    ConnectorDBError,
    Invalid,
    InvalidValue,
    NotFound,
    RequestError,
    SchemaInvalid,
    SchemaMismatch,
    SpoolError,
    Unauthenticated,
)
from connectordb.logger import Logger, Status

MakeLogger = Callable[..., Logger]
NOWHERE = "http://127.0.0.1:1"


def test_quick_start_of_the_old_readme_works_as_written(tmp_path: Path, server: UploadServer) -> None:
    def on_create(l: Logger) -> None:  # noqa: E741
        l.apikey = "key"
        l.serverurl = server.url
        l.addStream("temperature", {"type": "number"})
        l.syncperiod = 60

    l = Logger(str(tmp_path / "cache.db"), on_create=on_create)  # noqa: E741
    l.start()
    for i in range(3):
        l.insert("temperature", 20 + i)
    l.sync()
    l.close()
    assert server["temperature"].values == [20, 21, 22]
    assert server["temperature"].fields["schema"] == '{"type":"number"}'


def test_defaults_are_those_of_the_old_logger(tmp_path: Path) -> None:
    seen: list[Any] = []

    def on_create(l: Logger) -> None:  # noqa: E741
        seen.append((l.apikey, l.serverurl, l.syncperiod, l.lastsynctime, l.data, l.streams, len(l)))

    with Logger(tmp_path / "a.db", on_create) as logger:
        assert seen == [("", "http://localhost:3124", 600.0, 0.0, {}, {}, 0)]
        assert logger.onsync is None
        assert logger.onsyncfail is None
        assert logger.syncraise is False


def test_everything_is_kept_across_restarts(make_logger: MakeLogger) -> None:
    logger = make_logger()
    logger.data = {"room": [1, None]}
    logger.sync_period_s = 5.5
    logger.insert("x", 1)
    logger.sync()
    logger.insert("x", 2)
    last_sync_t, url = logger.last_sync_t, logger.server_url
    logger.close()
    again = make_logger(on_create=None)
    assert (again.apikey, again.server_url, again.sync_period_s) == ("key", url, 5.5)
    assert (again.last_sync_t, again.data, again.streams) == (
        last_sync_t,
        {"room": [1, None]},
        {"x": {"type": "number"}},
    )
    assert (len(again), again.name) == (1, "alice/dev")
    assert last_sync_t == pytest.approx(time.time(), abs=60)


def test_old_and_new_names_are_the_same_things(make_logger: MakeLogger) -> None:
    logger = make_logger()
    logger.addStream("y", {"type": "string"}, nickname="Why")
    logger.addStream_force("z")
    assert list(logger.streams) == ["x", "y", "z"]
    logger.syncperiod = 7
    assert (logger.sync_period_s, logger.syncperiod) == (7.0, 7.0)
    logger.serverurl = NOWHERE
    assert logger.server_url == NOWHERE
    logger.onsync = logger.onsyncfail = print
    assert (logger.on_sync, logger.on_sync_fail) == (print, print)
    logger.syncraise = True
    assert logger.sync_raise is True
    logger.insert("y", "")
    logger.cleardata()
    assert len(logger) == 0
    assert logger.lastsynctime == logger.last_sync_t == 0.0


def test_on_create_is_called_for_a_new_spool_only(make_logger: MakeLogger) -> None:
    calls: list[str] = []
    make_logger(on_create=lambda logger: calls.append(logger.apikey), apikey="given").close()
    make_logger(on_create=lambda logger: calls.append("again")).close()
    assert calls == ["given"]


def test_on_create_that_raises_is_called_again_next_time(make_logger: MakeLogger) -> None:
    def fails(logger: Logger) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make_logger(on_create=fails)
    assert "x" in make_logger()


def test_a_given_apikey_replaces_the_one_kept(make_logger: MakeLogger) -> None:
    make_logger().close()
    assert make_logger(apikey="other").apikey == "other"


def test_insert_of_an_unknown_stream_raises(logger: Logger) -> None:
    with pytest.raises(NotFound, match="add_stream"):
        logger.insert("nope", 1)
    with pytest.raises(NotFound):
        logger.insert_many({"nope": []})


@pytest.mark.parametrize("value", ["text", None, True, [1], float("nan"), float("inf"), {"a": 1}, 1j, object()])
def test_value_off_the_schema_raises_and_is_not_taken(logger: Logger, value: Any) -> None:
    with pytest.raises((SchemaMismatch, InvalidValue)):
        logger.insert("x", value)
    assert len(logger) == 0


def test_mismatch_goes_by_both_names(logger: Logger) -> None:
    with pytest.raises(jsonschema.ValidationError, match="number") as caught:
        logger.insert("x", "text")
    assert isinstance(caught.value, ConnectorDBError)
    assert "403" not in str(caught.value)


def test_bad_schema_goes_by_both_names(logger: Logger) -> None:
    for schema in ({"type": "bogus"}, "{", "[]", {"a": object()}, {"type": float("nan")}):
        with pytest.raises(jsonschema.SchemaError):
            logger.add_stream("y", schema)
        with pytest.raises(SchemaInvalid):
            logger.add_stream("y", schema)
    assert "y" not in logger
    with pytest.raises(jsonschema.SchemaError) as caught:
        logger.add_stream("y", {"type": "bogus"})
    assert "not a valid JSON Schema" in str(caught.value)


@pytest.mark.parametrize("name", ["", "alice/dev/x", "1x", "ä", "x" * 30, "x y", "..", "x%2Fy"])
def test_bad_stream_names_are_refused(logger: Logger, name: str) -> None:
    with pytest.raises(Invalid):
        logger.add_stream(name)
    assert name not in logger


def test_how_long_datapoints_are_kept_may_be_a_timedelta(logger: Logger) -> None:
    logger.addStream("door", {"type": "boolean"}, keep=timedelta(days=30))
    assert "door" in logger


def test_unknown_and_wrong_fields_are_refused(logger: Logger) -> None:
    for fields in (
        {"keep": 5},
        {"keep": 1e300},
        {"keep": 3600, "ephemeral": True},
        {"keep": "1d"},
        {"colour": "red"},
        {"downlink": "yes"},
        {"nickname": 5},
        {"icon": object()},
    ):
        with pytest.raises(Invalid):
            logger.add_stream("y", None, **fields)
    assert "y" not in logger


@pytest.mark.parametrize(
    "value", [None, True, 0, -1, 2**70, 1.5, 1e300, 5e-324, "", 'ä€😀\x00\n"', [], {}, [1, [None]], {"a": {"b": "c"}}]
)
def test_any_json_value_arrives_as_it_is(logger: Logger, server: UploadServer, value: Any) -> None:
    logger.add_stream("any")
    logger.insert("any", value)
    logger.sync()
    assert server["any"].values == [value]
    assert type(server["any"].values[0]) is type(value)


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], "\ud800", {"a": "\udfff"}, {1, 2}, b"x"])
def test_what_json_cannot_hold_is_refused_on_insert(logger: Logger, value: Any) -> None:
    logger.add_stream("any")
    with pytest.raises(InvalidValue):
        logger.insert("any", value)
    nested: Any = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(InvalidValue):
        logger.insert("any", nested)
    assert len(logger) == 0


def test_values_are_checked_as_json_sees_them(logger: Logger, server: UploadServer) -> None:
    class Float(float):
        """Like those of numpy."""

    logger.add_stream("pair", {"type": "array", "items": {"type": "number"}})
    logger.insert("x", Float(1.5))
    logger.insert("pair", (1, 2))
    logger.sync()
    assert server["x"].values == [1.5]
    assert server["pair"].values == [[1, 2]]


def test_numbers_and_arrays_of_numpy_are_values(logger: Logger, server: UploadServer) -> None:
    import numpy as np

    logger.add_stream("array", {"type": "array", "items": {"type": "integer"}})
    logger.insert("x", np.float64(1.5))
    logger.insert("x", np.int32(2))
    logger.insert("array", np.arange(3))
    with pytest.raises(InvalidValue):
        logger.insert("x", np.float64("nan"))
    logger.sync()
    assert server["x"].values == [1.5, 2]
    assert server["array"].values == [[0, 1, 2]]


def test_time_stamp_is_the_time_of_the_insert(make_logger: MakeLogger, server: UploadServer) -> None:
    logger = make_logger()
    before = time.time()
    logger.insert("x", 1)
    after = time.time()
    logger.insert("x", 2, t=1234567890.123456)
    logger.insert("x", 3, t="2024-02-29T12:00:00Z")
    logger.sync()
    assert server["x"].points[0] == {"t": 1234567890.123456, "d": 2}
    assert server["x"].points[1] == {"t": 1709208000.0, "d": 3}
    assert before <= server["x"].points[2]["t"] <= after


@pytest.mark.parametrize("t", [0, 0.0, -0.0, "1970-01-01T00:00:00Z"])
def test_time_stamp_0_is_the_time_of_the_insert(logger: Logger, server: UploadServer, t: Any) -> None:
    before = time.time()
    logger.insert("x", 1, t=t)
    logger.insert_many({"x": [{"t": t, "d": 2}]})
    after = time.time()
    stamps = [stamp for (stamp,) in logger._spool.query("SELECT t FROM rows ORDER BY id")]
    assert len(stamps) == 2
    assert before <= stamps[0] <= stamps[1] <= after


@pytest.mark.parametrize("now", [-5.0, 0.0, 1.7e12, float("nan")])
def test_a_clock_that_is_wrong_is_told(make_logger: MakeLogger, server: UploadServer, now: float) -> None:
    logger = make_logger(clock=lambda: now)
    with pytest.raises(InvalidValue, match="clock of this machine"):
        logger.insert("x", 1)
    with pytest.raises(InvalidValue, match="clock of this machine"):
        logger.insert_many({"x": [{"t": 5, "d": 1}, {"d": 1}]})
    logger.insert("x", 1, t=5)
    logger.insert_many({"x": [{"t": 6, "d": 2}]})
    logger.sync()
    assert server["x"].values == [1, 2]


@pytest.mark.parametrize(
    "value", [{1: "a", "1": "b"}, {None: 1}, [{"a": ({True: 1},)}], {"a": [1, {2.5: 1}]}, {"a": {"b": {(1,): 2}}}]
)
def test_keys_that_are_no_text_are_refused(logger: Logger, value: Any) -> None:
    logger.add_stream("any")
    with pytest.raises(InvalidValue, match="key"):
        logger.insert("any", value)
    assert len(logger) == 0
    logger.insert("any", [{"a": 1, "{": [{}, ()]}, "{"])


@pytest.mark.parametrize("t", [-1, -1e-9, 1.7e12, float("nan"), float("inf"), True, "soon", [], 10**400])
def test_impossible_time_stamps_are_refused(logger: Logger, t: Any) -> None:
    with pytest.raises(InvalidValue):
        logger.insert("x", 1, t=t)
    with pytest.raises(InvalidValue):
        logger.insert_many({"x": [{"t": t, "d": 1}]})
    assert len(logger) == 0


def test_insert_many_takes_all_or_nothing(logger: Logger, server: UploadServer) -> None:
    logger.add_stream("y", {"type": "string"})
    good = {"x": [{"t": 5, "d": 1}, {"t": 3.5, "d": 2}], "y": [{"t": 4, "d": "a"}]}
    for bad in ({"y": [{"d": 1}]}, {"y": ["a"]}, {"y": [{"t": 1}]}, {"z": []}, {"y": [{"t": 1, "d": "", "q": 1}]}):
        with pytest.raises(RequestError):
            logger.insert_many({**good, **bad})
        assert len(logger) == 0
    logger.insert_many(good)
    before = time.time()
    logger.insert_many({"x": [{"d": 9}, {"t": 0, "d": 10}], "y": []})
    assert len(logger) == 5
    logger.sync()
    assert server["x"].values == [2, 1, 9, 10]
    assert server["x"].points[2]["t"] >= before
    assert server["y"].points == [{"t": 4.0, "d": "a"}]


def test_insert_many_takes_a_datapoint_array(logger: Logger, server: UploadServer) -> None:
    from connectordb import DatapointArray

    logger.insert_many({"x": DatapointArray([{"t": 1.0, "d": 1}, {"t": 2.0, "d": 2}])})
    logger.sync()
    assert server["x"].values == [1, 2]


def test_works_before_the_first_contact(make_logger: MakeLogger, server: UploadServer) -> None:
    logger = make_logger(url=NOWHERE)
    logger.insert("x", 1)
    logger.add_stream("free", nickname="Free")
    logger.insert("free", {"any": "thing"})
    logger.sync()
    assert (len(logger), server.requests) == (2, [])
    logger.server_url = server.url
    logger.sync()
    assert len(logger) == 0
    assert server["x"].values == [1]
    assert server["free"].fields == {"nickname": "Free", "schema": "{}"}


def test_streams_without_datapoints_are_created_too(logger: Logger, server: UploadServer) -> None:
    logger.sync()
    assert server["x"].fields["schema"] == '{"type":"number"}'


def test_schema_of_the_server_wins(logger: Logger, server: UploadServer) -> None:
    from upload_server import StreamState

    server.streams["x"] = StreamState({"schema": '{"type":"string"}'})
    server.streams["free"] = StreamState({"schema": '{"type":"boolean"}'})
    logger.add_stream("free")
    logger.insert("free", 5)
    logger.sync()
    assert logger.streams == {"x": {"type": "string"}, "free": {"type": "boolean"}}
    with pytest.raises(SchemaMismatch):
        logger.insert("x", 1)
    with pytest.raises(SchemaMismatch):
        logger.insert("free", 5)
    logger.insert("x", "now a text")
    logger.add_stream("x", {"type": "number"})  # as a script does at each start: asks again, changes nothing
    logger.insert("x", "still a text")
    logger.sync()
    assert server["x"].values == ["now a text", "still a text"]


def test_a_known_stream_is_not_asked_for_again(logger: Logger, server: UploadServer) -> None:
    logger.sync()
    server.requests.clear()
    logger.insert("x", 1)
    logger.sync()
    assert [request.method for request in server.requests] == ["GET", "PATCH"]


def test_callbacks_are_called_as_the_old_logger_did(make_logger: MakeLogger, server: UploadServer) -> None:
    calls: list[Any] = []
    logger = make_logger(onsync=lambda: calls.append("ok"), onsyncfail=calls.append)
    logger.sync()
    assert calls == ["ok"]
    logger.server_url = NOWHERE
    logger.syncraise = True
    logger.sync()  # a callback takes the place of raising
    assert isinstance(calls[1], ConnectFailed)
    logger.on_sync_fail = None
    with pytest.raises(ConnectFailed):
        logger.sync()
    logger.syncraise = False
    logger.sync()
    assert len(calls) == 2


def test_ping_and_name_and_connectordb(make_logger: MakeLogger, server: UploadServer) -> None:
    logger = make_logger()
    logger.ping()
    assert logger.name == "alice/dev"
    client = logger.connectordb
    assert client is logger.connectordb
    assert client.path == "alice/dev"
    server.device = "alice/other"
    assert logger.name == "alice/dev"
    logger.apikey = "another"
    assert logger.name == "alice/other"
    assert logger.connectordb is not client
    client.close()
    logger.server_url = NOWHERE
    with pytest.raises(ConnectFailed):
        logger.ping()
    with pytest.raises(ConnectFailed):
        logger.name  # noqa: B018


def test_key_of_nobody_is_told(make_logger: MakeLogger, server: UploadServer) -> None:
    logger = make_logger(syncraise=True)
    logger.insert("x", 1)
    server.device = "nobody"
    with pytest.raises(Unauthenticated, match="apikey"):
        logger.sync()
    assert len(logger) == 1


def test_bad_settings_are_refused(tmp_path: Path, logger: Logger) -> None:
    for settings in ({"synchronous": "off"}, {"timeout_s": 0}, {"batch_points_max": 0}, {"batch_bytes_max": 0}):
        with pytest.raises(ValueError):
            Logger(tmp_path / "new.db", **settings)  # type: ignore[arg-type]
    assert not (tmp_path / "new.db").exists()
    for period_s in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError):
            logger.sync_period_s = period_s
    with pytest.raises(ValueError):
        logger.server_url = "ftp://example.com"
    assert logger.sync_period_s == 600.0


def test_status_tells_how_things_stand(logger: Logger, server: UploadServer) -> None:
    logger.add_stream("y")
    logger.insert("x", 1)
    status = logger.status()
    assert isinstance(status, Status)
    assert (status.waiting, status.rejected, status.last_sync_t) == ({"x": 1, "y": 0}, 0, 0.0)
    assert (status.last_error, status.next_sync_t, status.running) == (None, None, False)
    assert status.spool_bytes > 0
    server.override = lambda request: (500, b"oops")
    logger.sync()
    status = logger.status()
    assert "500" in (status.last_error or "")
    assert status.last_error_t == pytest.approx(time.time(), abs=60)
    server.override = lambda request: None
    logger.sync()
    status = logger.status()
    assert (status.waiting, status.last_error, status.last_error_t) == ({"x": 0, "y": 0}, None, None)
    assert status.last_sync_t > 0


def test_closed_logger_raises_and_closes_again(make_logger: MakeLogger) -> None:
    logger = make_logger()
    with logger:
        logger.insert("x", 1)
    logger.close()
    logger.stop()
    for call in (
        lambda: logger.insert("x", 1),
        logger.start,
        lambda: len(logger),
        lambda: logger.insert_many({"x": []}),
    ):
        with pytest.raises(SpoolError, match="closed"):
            call()
    assert len(make_logger()) == 1


def test_an_empty_logger_is_true(logger: Logger) -> None:
    assert logger
    assert len(logger) == 0


def test_threads_may_share_a_logger(logger: Logger, server: UploadServer) -> None:
    def work(k: int) -> None:
        for i in range(50):
            logger.insert("x", k * 1000 + i)
            if i % 10 == k:
                logger.insert_many({"x": [{"d": k * 1000 + 100 + i}]})

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        logger.sync()
    for thread in threads:
        thread.join()
    logger.sync()
    expected = [k * 1000 + i for k in range(8) for i in range(50)]
    expected += [k * 1000 + 100 + i for k in range(8) for i in range(50) if i % 10 == k]
    assert sorted(server["x"].values) == sorted(expected)


def test_upload_has_the_form_that_was_agreed(logger: Logger, server: UploadServer) -> None:
    logger.insert_many({"x": [{"t": 1.5, "d": 1}, {"t": 1700000000, "d": 2.5}, {"t": 1e-7, "d": -0.0}]})
    logger.sync()
    request = server.uploads[0]
    assert request.path == "crud/alice/dev/x/data"
    assert request.body == b'[{"t":1.5,"d":1},{"t":1700000000.0,"d":2.5},{"t":1e-07,"d":-0.0}]'
    assert set(request.query) == {"verdicts", "source", "first", "last"}
    assert len(bytes.fromhex(request.query["source"])) == 16
    assert (request.query["first"], request.query["last"]) == ("1", "3")
    assert json.loads(request.body)[2]["t"] == 1e-7


def test_batches_are_bounded_in_points_and_bytes(make_logger: MakeLogger, server: UploadServer) -> None:
    logger = make_logger(batch_points_max=10, batch_bytes_max=1000)
    logger.add_stream("text", {"type": "string"})
    logger.insert_many({"x": [{"d": i} for i in range(25)], "text": [{"d": "a" * 400} for _ in range(5)]})
    logger.insert("text", "b" * 5000)
    logger.sync()
    sizes = [(request.path.split("/")[3], len(json.loads(request.body))) for request in server.uploads]
    assert sizes == [("x", 10), ("x", 10), ("x", 5), ("text", 2), ("text", 2), ("text", 1), ("text", 1)]
    assert len(logger) == 0
