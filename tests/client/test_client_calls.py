"""What is sent, and how answers are read: tables of cases, without a socket."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from connectordb import errors
from connectordb.client import _calls
from connectordb.query import Range
from connectordb.wire import InsertReport, Refusal

A = "/api/v1"

TARGETS = [
    (_calls.this(), "GET", f"{A}/?q=this", True),
    (_calls.count("users"), "GET", f"{A}/?q=countusers", True),
    (_calls.version(), "GET", f"{A}/meta/version", True),
    (_calls.transforms(), "GET", f"{A}/meta/transforms", True),
    (_calls.interpolators(), "GET", f"{A}/meta/interpolators", True),
    (_calls.list_users(), "GET", f"{A}/crud/?q=ls", True),
    (_calls.list_children("u/d"), "GET", f"{A}/crud/u/d?q=ls", True),
    (
        _calls.list_user_streams("u", public=True, downlink=False, visible=True),
        "GET",
        f"{A}/crud/u?q=streams&public=true&downlink=false&visible=true",
        True,
    ),
    (_calls.read("u/d/s"), "GET", f"{A}/crud/u/d/s", True),
    (_calls.create("u", {"a": 1}), "POST", f"{A}/crud/u", False),
    (_calls.update("u", {"a": 1}), "PUT", f"{A}/crud/u", True),
    (_calls.update("u", {"password": "x"}), "PUT", f"{A}/crud/u", False),
    (_calls.update("u/d", {"apikey": ""}), "PUT", f"{A}/crud/u/d", False),
    (_calls.delete("u/d"), "DELETE", f"{A}/crud/u/d", True),
    (_calls.length("u/d/s"), "GET", f"{A}/crud/u/d/s/data?q=length", True),
    (_calls.length("u/d/s", downlink=True), "GET", f"{A}/crud/u/d/s/data?q=length&downlink=true", True),
    (_calls.time_index("u/d/s", 1.5), "GET", f"{A}/crud/u/d/s/data?q=time2index&t=1.5", True),
    (_calls.points("u/d/s", Range()), "GET", f"{A}/crud/u/d/s/data?i1=0&i2=0", True),
    (_calls.points("u/d/s", Range(i1=-5, i2=-1)), "GET", f"{A}/crud/u/d/s/data?i1=-5&i2=-1", True),
    (_calls.points("u/d/s", Range(t1=1.5, t2=1e22)), "GET", f"{A}/crud/u/d/s/data?t1=1.5&t2=1e22", True),
    (_calls.points("u/d/s", Range(limit=3)), "GET", f"{A}/crud/u/d/s/data?t1=0.0&limit=3", True),
    (
        _calls.points("u/d/s", Range(), downlink=True, transform="if $ > 5 | count"),
        "GET",
        f"{A}/crud/u/d/s/data?i1=0&i2=0&transform=if%20%24%20%3E%205%20%7C%20count&downlink=true",
        True,
    ),
    (_calls.insert("u/d/s", b"[]"), "POST", f"{A}/crud/u/d/s/data", False),
    (_calls.insert("u/d/s", b"[]", _calls.RESTAMP, key="k"), "PUT", f"{A}/crud/u/d/s/data", True),
    (
        _calls.insert("u/d/s", b"[]", _calls.MERGE, verdicts=True, upload=_calls.Upload("a b", 3, 9)),
        "PATCH",
        f"{A}/crud/u/d/s/data?verdicts=true&source=a%20b&first=3&last=9",
        True,
    ),
    (_calls.insert("u/d/s", b"[]", downlink=True), "POST", f"{A}/crud/u/d/s/data?downlink=true", False),
    (
        _calls.insert("u/d/s", b"[]", downlink=True, history=True),
        "POST",
        f"{A}/crud/u/d/s/data?downlink=true&history=true",
        False,
    ),
    (_calls.send_downlink("u/d/s", b"{}"), "POST", f"{A}/downlink/u/d/s", True),
    (_calls.read_downlink("u/d/s", 7), "GET", f"{A}/downlink/u/d/s/7", True),
    (_calls.read_downlink("u/d/s", 7, wait_s=2.5), "GET", f"{A}/downlink/u/d/s/7?wait=2.5", True),
    (_calls.answer_downlink("u/d/s", 7, b"{}"), "PUT", f"{A}/downlink/u/d/s/7", True),
]


@pytest.mark.parametrize(("call", "method", "target", "repeatable"), TARGETS)
def test_call_says_what_to_send(call: _calls.Call[Any], method: str, target: str, repeatable: bool) -> None:
    assert (call.method, call.target, call.repeatable) == (method, target, repeatable)


def test_insert_carries_its_key_and_type() -> None:
    assert _calls.insert("u/d/s", b"[]", key="k").headers == {
        "Content-Type": "application/json",
        "Idempotency-Key": "k",
    }


READ = [
    (_calls.this(), b"alice/user\n", "alice/user"),
    (_calls.this(), b"nobody", "nobody"),
    (_calls.count("users"), b"42", 42),
    (_calls.version(), b"0.4.0", "0.4.0"),
    (_calls.read("u"), b'{"name":"u"}', {"name": "u"}),
    (_calls.list_users(), b'[{"name":"u"}]', [{"name": "u"}]),
    (_calls.list_users(), b"[]", []),
    (_calls.delete("u"), b"ok", None),
    (_calls.insert("u/d/s", b"[]"), b"ok\n", None),
    (_calls.points("u/d/s", Range()), b'[{"t":1,"d":2,"o":"a/b"}]', [{"t": 1.0, "d": 2, "o": "a/b"}]),
    (_calls.points("u/d/s", Range()), b'[{"t":1},{"d":3}]', [{"t": 1.0, "d": None}, {"t": 0.0, "d": 3}]),
    (
        _calls.points("u/d/s", Range()),
        b'[{"t":1,"d":12345678901234567890123}]',
        [{"t": 1.0, "d": 12345678901234567890123}],
    ),
    (
        _calls.insert("u/d/s", b"[]", verdicts=True),
        b'{"stored":1,"refused":[{"position":0,"msg":"no"}]}',
        InsertReport(stored=1, refused=[Refusal(position=0, msg="no")]),
    ),
]


@pytest.mark.parametrize(("call", "body", "result"), READ)
def test_good_answer_is_read(call: _calls.Call[Any], body: bytes, result: Any) -> None:
    assert call.read(body) == result


PAGE = b"<html><body>Please log in to the network of this hotel</body></html>"
GARBAGE = [
    (call, body) for call in (c for c, *_ in TARGETS) for body in (PAGE, b"", b"\xff\xfe", b"[1]", b'{"a"', b"[[[[")
]


@pytest.mark.parametrize(("call", "body"), GARBAGE)
def test_garbage_is_never_taken_for_an_answer(call: _calls.Call[Any], body: bytes) -> None:
    with pytest.raises((ValueError, msgspec.MsgspecError)):
        call.read(body)


ERRORS: list[tuple[int, dict[str, str], bytes, type[Exception], str]] = [
    (403, {}, b'{"code":403,"msg":"no","ref":"r","error":"already_exists"}', errors.AlreadyExists, "403: no (ref r)"),
    (404, {}, b'{"code":404,"msg":"gone","ref":"r"}', errors.NotFound, "404: gone (ref r)"),
    (401, {}, b"go away", errors.Unauthenticated, "401: the server answered 401: go away"),
    (418, {}, b"", errors.RequestError, "418: the server answered 418"),
    (502, {"content-type": "text/html"}, PAGE, errors.ServerError, "502: the server answered 502: a web page"),
    (500, {}, b"\xff\xfe", errors.ServerError, "500: the server answered 500"),
    (503, {}, b"[" * 5000, errors.Unavailable, "503: the server answered 503: [[["),
    (304, {}, b"", errors.ServerError, "304"),
]


@pytest.mark.parametrize(("status", "headers", "body", "kind", "text"), ERRORS)
def test_every_bad_answer_becomes_an_error_of_ours(
    status: int, headers: dict[str, str], body: bytes, kind: type[Exception], text: str
) -> None:
    error = _calls.error_of(status, headers, body)
    assert type(error) is kind
    assert str(error).startswith(text)
