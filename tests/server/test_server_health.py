"""What those ask who look after the server, and what is there for browsers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import apsw
import pytest
from prometheus_client.parser import text_string_to_metric_families

from connectordb import __version__
from connectordb.errors import StoreError
from connectordb.store._errors import translate
from connectordb.store.sqlite import SQLiteStore


def test_alive_and_ready(client: Any) -> None:
    for target in ("//healthz", "//readyz", "//healthz/"):
        answer = client("GET", target, auth=None)
        assert (answer.status, answer.text) == (200, "ok")


def test_not_ready_if_the_store_does_not_answer(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectordb.server.health.STORE_PATIENCE_S", 0.1)
    told = threading.Event()
    late: list[bool] = []
    monkeypatch.setattr(SQLiteStore, "counts", lambda self: late.append(not told.wait(20)))
    answer = client("GET", "//readyz", auth=None)
    told.set()
    assert answer.status == 503
    assert answer.json()["error"] == "unavailable"
    assert answer.headers["retry-after"]
    assert not any(late)  # it did not wait for the store
    assert client("GET", "//healthz", auth=None).status == 200


def test_not_ready_and_503_for_others_while_shutting_down(make_live: Callable[..., Any]) -> None:
    live = make_live()
    client = live.client()
    assert client("GET", "/?q=this").status == 200
    live.server._uvicorn._app.drain()
    assert client("GET", "//healthz").status == 200
    assert live.client()("GET", "//readyz").status == 503
    answer = live.client()("GET", "/?q=this")
    assert (answer.status, answer.headers["connection"]) == (503, "close")


def refuse_writes(monkeypatch: pytest.MonkeyPatch, error: StoreError) -> None:
    def submit(*args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(error)
        return future

    def begin(store: Any, work: Any, done: Callable[[Any, BaseException | None], None]) -> None:
        done(None, error)

    monkeypatch.setattr(SQLiteStore, "submit", submit)
    monkeypatch.setattr(SQLiteStore, "begin", begin)


def test_full_disk_is_told_to_whoever_asks_and_to_the_balancer(
    make_live: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    live = make_live()
    client = live.client()
    data = "/crud/test/user/s/data"
    client("POST", "/crud/test/user/s", {})
    full = translate(apsw.FullError(), Path("/secret/db"))
    with monkeypatch.context() as patched:
        refuse_writes(patched, full)
        answer = client("POST", data, [{"d": 1}])
        assert (answer.status, answer.json()["error"]) == (507, "storage_full")
        assert answer.json()["msg"] == "the disk is full; nothing of it was stored"
        assert client("GET", data + "?i1=0").json() == []  # reading goes on
        answer = client("POST", data, [{"d": 1}], auth=("", live.folder.admin_key))
        assert str(full) in answer.json()["msg"]
    assert "/secret/db" in capfd.readouterr().err
    answer = client("GET", "//readyz", auth=None)
    assert answer.status == 503 and "the disk is full" in answer.text and "secret" not in answer.text
    assert client("GET", "//healthz", auth=None).status == 200
    assert client("POST", data, [{"d": 1}]).status == 200
    assert client("GET", "//readyz", auth=None).status == 200


def test_damage_is_told_without_its_place_on_the_disk(
    make_live: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    live = make_live()
    client = live.client()
    client("POST", "/crud/test/user/s", {})
    refuse_writes(monkeypatch, translate(apsw.CorruptError("odd"), Path("/secret/db")))
    answer = client("POST", "/crud/test/user/s/data", [{"d": 1}])
    assert (answer.status, answer.json()["msg"]) == (500, "the database is damaged")
    answer = client("POST", "/crud/test/user/s/data", [{"d": 1}], auth=("", live.folder.admin_key))
    assert answer.status == 500 and "/secret/db" in answer.text


def test_failed_write_does_not_count_for_ever(
    make_live: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    client = make_live().client()
    refuse_writes(monkeypatch, StoreError("/secret is broken"))
    answer = client("POST", "/crud/test/user/s", {})
    assert answer.status == 503 and "secret" not in answer.text
    answer = client("GET", "//readyz", auth=None)
    assert answer.status == 503 and "secret" not in answer.text
    monkeypatch.setattr("connectordb.server.health.WRITE_FAILURE_S", 0.0)
    assert client("GET", "//readyz", auth=None).status == 200


def test_version(client: Any) -> None:
    answer = client("GET", "/meta/version", auth=None)
    assert (answer.text, answer.headers["content-type"]) == (__version__, "text/plain; charset=utf-8")


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_count_requests_and_points(make_live: Callable[..., Any]) -> None:
    client = make_live().client()
    client("POST", "/crud/test/user/s", {})
    client("POST", "/crud/test/user/s/data", [{"t": 1, "d": 1}, {"t": 2, "d": 2}])
    client("GET", "/crud/test/user/s/data?i1=0&i2=1")
    client("GET", "/crud/test/user/s/data?i1=x")
    answer = client("GET", "//metrics")
    assert answer.status == 200
    found = samples(answer.text)
    assert found["connectordb_points_inserted_total", ()] == 2
    assert found["connectordb_points_read_total", ()] == 1
    route = "/api/v1/crud/{user}/{device}/{stream}/data"
    for method, status in (("POST", "200"), ("GET", "200"), ("GET", "400")):
        labels = (("method", method), ("route", route), ("status", status))
        assert found["connectordb_requests_total", labels] == 1
    assert found["connectordb_request_seconds_count", (("route", route),)] == 3
    assert found["connectordb_info", (("version", __version__),)] == 1
    assert 0 < found["connectordb_commits_total", ()] <= found["connectordb_writes_total", ()]
    assert found["connectordb_writes_waiting", ()] == 0
    assert found["process_resident_memory_bytes", ()] > 1e6


def test_metrics_are_not_for_everybody(client: Any, live: Any) -> None:
    assert client("GET", "//metrics", auth=None).status == 200  # this machine itself
    for far in (
        {"X-Forwarded-For": "192.0.2.1"},
        {"X-Forwarded-Proto": "https"},
        {"X-Real-IP": "192.0.2.1"},
        {"Via": "1.1 proxy"},
        {"Host": "evil.example:3124"},
        {"Forwarded": "for=192.0.2.1"},
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        assert client("GET", "//metrics", auth=None, headers=far).status == 403
        assert client("GET", "//metrics", headers=far).status == 200  # an administrator
        assert client("GET", "//metrics", auth=("", live.folder.admin_key), headers=far).status == 200


def test_every_answer_may_not_be_kept_nor_guessed_at(client: Any) -> None:
    for target in ("/?q=this", "/nosuch", "//healthz", "/docs", "/openapi.json", "/crud/test"):
        answer = client("GET", target)
        assert answer.headers["cache-control"] == "no-store, must-revalidate"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers
        assert answer.headers["date"].endswith("GMT")
