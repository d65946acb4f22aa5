"""The log: one line a request, nothing secret in it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pty
from collections.abc import Callable
from typing import Any

import pytest

from connectordb.core import NOBODY
from connectordb.errors import RequestError
from connectordb.server.log import forward_logging, make_log
from connectordb.server.params import parse_query
from connectordb.server.request import Request, asked_for


@pytest.fixture
def lines(make_live: Callable[..., Any], capfd: pytest.CaptureFixture[str]) -> Callable[..., list[dict[str, Any]]]:
    """What a server has logged about its requests when it has ended."""

    def logged(use: Callable[[Any, Any], None], **options: Any) -> list[dict[str, Any]]:
        live = make_live(**{"log.level": "info", **options})
        use(live.client(), live)
        live.stop()
        found = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
        return [line for line in found if line["event"] == "request"]

    return logged


def test_line_tells_what_is_needed(lines: Any) -> None:
    refs = []

    def use(client: Any, live: Any) -> None:
        client("GET", "/crud/test")
        refs.append(client("GET", "/crud/nosuch").json()["ref"])
        client("GET", "/crud/a%0Ab?q=ls", auth=None)

    good, bad, odd = lines(use)
    assert good["method"] == "GET" and good["path"] == "/api/v1/crud/test" and good["actor"] == "test/user"
    assert good["status"] == 200 and good["bytes"] > 50 and 0 < good["ms"] < 5000
    assert good["time"].endswith("+00:00") and good["level"] == "info"
    assert bad["status"] == 404 and bad["ref"] == refs[0] and bad["ref"] != good["ref"]
    assert odd["path"] == "/api/v1/crud/a%0Ab" and odd["query"] == "q=ls" and odd["actor"] == "nobody"


def test_no_secret_is_logged(lines: Any) -> None:
    keys = []

    def use(client: Any, live: Any) -> None:
        key = client("POST", "/crud/test/d", {}).json()["apikey"]
        keys.append(key)
        for query in (
            f"q=this&APIKEY={key}",
            f"q=this;apikey={key}",
            f"q=this&apikey={key}",
            f"%61pikey={key}&q=this",
            f"apikey={key}&q=this",
            f"apikey={key}",
        ):
            client("GET", f"/?{query}", auth=None)
        client("PUT", "/crud/test", {"password": "anothersecret"})
        client("GET", "/login", auth=("test", "anothersecret"))

    logged = json.dumps(lines(use))
    assert "q=this" in logged
    assert keys[0] not in logged and "anothersecret" not in logged and "apikey" not in logged
    assert "Basic" not in logged and "connectordb-session" not in logged


@pytest.mark.parametrize(
    "target",
    [
        "/?q=this&APIKEY={}",
        "/?q=this;apikey={}",
        "/?q=this%3BApiKey%3D{}",
        "/?q=this%253B%2561pikey%253D{}",
        "/?q=this&%2561pikey={}",
        "/?q=this&api_key={}",
        "/?q=this&token={}",
        "/?{}",
        "/?q=this&apikey={}&apikey={}",
        "/&apikey={}",
        "/crud/test%3FAPIkey={}",
        "/nosuch?token={}",
    ],
)
def test_key_under_a_wrong_name_is_not_logged(target: str) -> None:
    target = "/api/v1" + target.replace("{}", "SECRET")
    path, _, query = target.partition("?")
    scope = {"method": "GET", "headers": [], "raw_path": path.encode(), "query_string": query.encode()}
    request = Request(scope, None, NOBODY, 0)  # type: ignore[arg-type]
    with contextlib.suppress(RequestError):
        request.params = parse_query(query.encode(), {"q", "apikey"})
    asked = asked_for(request)
    assert "SECRET" not in str(asked)
    assert ("query" in asked) == bool(query)


def test_lines_can_be_switched_off(lines: Any) -> None:
    assert lines(lambda client, live: client("GET", "/crud/test"), **{"log.requests": False}) == []
    assert lines(lambda client, live: client("GET", "/crud/test"), **{"log.level": "warning"}) == []


def test_client_that_goes_away_is_a_line_too(lines: Any) -> None:
    def use(client: Any, live: Any) -> None:
        import socket

        with socket.create_connection(("127.0.0.1", live.port)) as s:
            s.sendall(
                b"POST /api/v1/crud/test/user/s/data HTTP/1.1\r\nHost: x\r\nAuthorization: Basic dGVzdDp0ZXN0\r\n"
                b"Content-Length: 1000\r\n\r\n["
            )
        client("GET", "//healthz")

    assert 499 in [line["status"] for line in lines(use)]


def test_terminal_gets_lines_for_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    parent, child = pty.openpty()
    with os.fdopen(child, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        make_log("info").info("request", path="/api/v1", status=200)
        terminal.flush()
        shown = os.read(parent, 10_000).decode()
    os.close(parent)
    assert "request" in shown and "/api/v1" in shown and not shown.startswith("{")


def test_what_other_modules_log_goes_to_the_same_place(capfd: pytest.CaptureFixture[str]) -> None:
    with forward_logging(make_log("info"), "connectordb"):
        try:
            raise RuntimeError("broken")
        except RuntimeError:
            logging.getLogger("connectordb.store").exception("a %s failed", "callback")
    line = json.loads(capfd.readouterr().err)
    assert (line["level"], line["msg"], line["logger"]) == ("error", "a callback failed", "connectordb.store")
    assert "broken" in line["traceback"]


def test_full_disk_disturbs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    log = make_log("info")
    monkeypatch.setattr("connectordb.server.log.STDERR", os.open("/dev/full", os.O_WRONLY))
    log.error("failed", ref="x")
    log.info("request", ref="x")
