"""Bad input: its status, the form of the error, and that nothing has changed."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import pytest

S = "/crud/test/user/num"
DATA = S + "/data"
POINT = S + "/datapoint?i=0"
NEW = "/crud/test/user/new"
ONE = '{"t":1,"d":1}'


class Case(NamedTuple):
    name: str
    status: int
    method: str
    target: str
    body: bytes | str | None = None
    says: str = ""
    """Has to stand in the message, so that it helps."""
    auth: Any = ("test", "test")


LONG = "a" * 30
CASES = [
    # What is no JSON, or not the JSON that is wanted
    Case("malformed JSON", 400, "POST", DATA, "[{bad", "not valid JSON"),
    Case("cut-off JSON", 400, "POST", DATA, f"[{ONE}", "not valid JSON"),
    Case("trailing garbage", 400, "POST", DATA, f"[{ONE}] x", "trailing"),
    Case("empty body", 400, "POST", DATA, "", "empty"),
    Case("white space only", 400, "POST", DATA, "  \n", "empty"),
    Case("object instead of array", 400, "POST", DATA, ONE, "array"),
    Case("array of numbers", 400, "POST", DATA, "[1]", "$[0]"),
    Case("array of null", 400, "POST", DATA, "[null]", "$[0]"),
    Case("unknown field in a datapoint", 400, "POST", DATA, '[{"t":1,"d":1,"x":2}]', "`x`"),
    Case("t is a string", 400, "POST", DATA, '[{"t":"1","d":1}]', "$[0].t"),
    Case("t is null", 400, "POST", DATA, '[{"t":null,"d":1}]', "$[0].t"),
    Case("t is a boolean", 400, "POST", DATA, '[{"t":true,"d":1}]', "$[0].t"),
    Case("t is NaN", 400, "POST", DATA, '[{"t":NaN,"d":1}]', "not valid JSON"),
    Case("t is Infinity", 400, "POST", DATA, '[{"t":Infinity,"d":1}]', "not valid JSON"),
    Case("t is beyond float64", 400, "POST", DATA, '[{"t":1e400,"d":1}]', "out of range"),
    Case("d is NaN", 400, "POST", DATA, '[{"t":1,"d":NaN}]', "not valid JSON"),
    Case("d is -Infinity", 400, "POST", DATA, '[{"t":1,"d":-Infinity}]', "not valid JSON"),
    Case("d is beyond float64", 400, "POST", DATA, '[{"t":1,"d":1e999}]', "out of range"),
    Case("d has 5000 digits", 400, "POST", DATA, '[{"t":1,"d":' + "9" * 5000 + "}]", "out of range"),
    Case("broken UTF-8", 400, "POST", DATA, b'[{"t":1,"d":"\xff\xfe"}]', "UTF-8"),
    Case("broken UTF-8 in a key", 400, "POST", DATA, b'[{"\xff":1}]', "UTF-8"),
    Case("half a surrogate pair", 400, "POST", DATA, r'[{"t":1,"d":"\ud800"}]', "surrogate"),
    Case("UTF-16", 400, "POST", DATA, f"[{ONE}]".encode("utf-16"), "not valid JSON"),
    Case("deep arrays", 400, "POST", DATA, '[{"t":1,"d":' + "[" * 100_000 + "]" * 100_000 + "}]", "deeply"),
    Case("deep objects", 400, "POST", DATA, '[{"t":1,"d":' + '{"a":' * 50_000 + "1" + "}" * 50_000 + "}]", "deeply"),
    Case("deep update", 400, "PUT", S, '{"nickname":' + "[" * 100_000, "deeply"),
    Case("deep create", 400, "POST", NEW, '{"schema":' + "[" * 100_000, "$.schema"),
    Case("create with empty body", 400, "POST", NEW, "", "empty"),
    Case("create with an array", 400, "POST", NEW, "[]", "object"),
    Case("create with a wrong type", 400, "POST", NEW, '{"downlink":1}', "$.downlink"),
    Case("create with schema as object", 400, "POST", NEW, '{"schema":{"type":"number"}}', "$.schema"),
    Case("create with an unknown field", 400, "POST", NEW, '{"bogus":1}', "`bogus`"),
    Case("nested unknown field", 400, "POST", "/crud/test/dev", '{"streams":{"a":{"bogus":1}}}', "`bogus`"),
    Case("create with another name", 400, "POST", NEW, '{"name":"other"}', "other"),
    Case("update with malformed JSON", 400, "PUT", S, "{bad", "not valid JSON"),
    Case("update with empty body", 400, "PUT", S, "", "empty"),
    Case("update with null", 400, "PUT", S, "null", "object"),
    Case("update with an array", 400, "PUT", S, "[]", "object"),
    Case("update of a user with text", 400, "PUT", "/crud/test", "x", "not valid JSON"),
    Case("update of a device with text", 400, "PUT", "/crud/test/user", "x", "not valid JSON"),
    Case("deep value of a datapoint", 400, "PUT", POINT, '{"d":' + "[" * 100_000 + "]" * 100_000 + "}", "deeply"),
    Case("value of a datapoint is NaN", 400, "PUT", POINT, '{"d":NaN}', "not valid JSON"),
    Case("value of a datapoint is no UTF-8", 400, "PUT", POINT, b'{"d":"\xff"}', "UTF-8"),
    Case("no value of a datapoint", 400, "PUT", POINT, "{}", "`d`"),
    Case("several datapoints to change", 400, "PUT", POINT, f"[{ONE}]", "object"),
    # What is understood and refused
    Case("update of an unknown field", 403, "PUT", S, '{"bogus":1}', "bogus"),
    Case("update with a wrong type", 403, "PUT", S, '{"downlink":"yes"}', "downlink"),
    Case("update of the name", 403, "PUT", S, '{"name":"other"}', "name"),
    Case("update with a bad schema", 403, "PUT", S, r'{"schema":"{\"type\":\"bogus\"}"}', "schema"),
    Case("schema is no JSON", 403, "POST", NEW, '{"schema":"{bad"}', "schema"),
    Case("schema is no schema", 403, "POST", NEW, r'{"schema":"{\"type\":\"bogus\"}"}', "schema"),
    Case("schema is no object", 403, "POST", NEW, '{"schema":"[]"}', "object"),
    Case("schema with a remote reference", 403, "POST", NEW, r'{"schema":"{\"$ref\":\"http://x/y\"}"}', "schema"),
    Case("bad icon", 403, "PUT", S, '{"icon":"!!"}', "icon"),
    Case("bad e-mail address", 403, "PUT", "/crud/test", '{"email":"nope"}', "e-mail"),
    Case("unknown role", 403, "PUT", "/crud/test", '{"role":"bogus"}', "bogus"),
    Case("name taken", 403, "POST", S, "{}", "num"),
    Case("data off the schema", 403, "POST", DATA, '[{"t":10,"d":"x"}]', "number"),
    Case("one of two off the schema", 403, "POST", DATA, '[{"t":10,"d":1},{"t":11,"d":"x"}]', "1"),
    Case("decreasing time stamps", 403, "POST", DATA, '[{"t":20,"d":1},{"t":10,"d":1}]', "older"),
    Case("decreasing time stamps, restamped", 403, "PUT", DATA, '[{"t":20,"d":1},{"t":10,"d":1}]', "older"),
    Case("older than the newest", 403, "POST", DATA, '[{"t":1,"d":1}]', "older"),
    Case("negative time stamp", 403, "POST", DATA, '[{"t":-5,"d":1}]', "1970"),
    Case("negative time stamp, merged", 403, "PATCH", DATA, '[{"t":-5,"d":1}]', "1970"),
    Case("milliseconds", 403, "POST", DATA, '[{"t":1500000000000,"d":1}]', "seconds"),
    Case("absurd time stamp", 403, "PATCH", DATA, '[{"t":1e300,"d":1}]', "9999"),
    # Names and paths
    *(
        Case(f"name {name!r}", 400, "POST", f"/crud/test/user/{quoted}", "{}")
        for name, quoted in {
            "a b": "a%20b",
            "é": "%C3%A9",
            "emoji": "%F0%9F%98%80",
            "a/b": "a%2Fb",
            "a%2Fb": "a%252Fb",
            "..": "..",
            "encoded ..": "%2e%2e",
            "a\\b": "a%5Cb",
            "NUL": "a%00b",
            "line feed": "a%0Ab",
            "trailing line feed": "ab%0A",
            "full-width": "%EF%BD%81",
            "9lives": "9lives",
            "-x": "-x",
            "a.b": "a.b",
            "a;b": "a;b",
            "30 characters": LONG,
            "10,000 characters": "a" * 10_000,
            "not UTF-8": "%FF%FE",
            "overlong slash": "%C0%AF",
            "surrogate": "%ED%A0%80",
            "cut-off percent": "a%2",
        }.items()
    ),
    Case("bad device name", 400, "POST", "/crud/test/a%20b", "{}", "device name"),
    Case("bad user name", 400, "POST", "/crud/a%20b", '{"email":"a@x","password":"x"}', "user name"),
    Case("bad name in a nested create", 400, "POST", "/crud/test/dev", '{"streams":{"a b":{}}}', "stream name"),
    Case("name of the server's own", 403, "POST", "/crud/api", '{"email":"a@x","password":"x"}', "api"),
    Case("unknown path", 404, "GET", "/nosuch", None, "nosuch"),
    Case("outside of the interface", 404, "GET", "//nosuch"),
    Case("path too long", 404, "GET", S + "/data/x"),
    Case("empty name in the middle", 404, "DELETE", "/crud//user/num"),
    Case("two slashes at the end", 404, "DELETE", "/crud/test/user//"),
    Case("reading a bad name", 404, "GET", "/crud/test/user/a%00b"),
    Case("reading what is not there", 404, "GET", "/crud/test/user/nosuch"),
    Case("data of what is not there", 403, "GET", "/crud/test/user/nosuch/data?i1=0"),
    Case("insert into what is not there", 403, "POST", "/crud/test/user/nosuch/data", f"[{ONE}]"),
    # Methods
    Case("PATCH of a stream", 405, "PATCH", S, "{}"),
    Case("DELETE of data without a range", 400, "DELETE", DATA, None, "i1=0"),
    Case("DELETE of the history", 405, "DELETE", f"{S}/history"),
    Case("POST to the root", 405, "POST", "", "{}"),
    Case("TRACE", 405, "TRACE", S),
    Case("PROPFIND", 405, "PROPFIND", S),
    # Query parameters
    *(
        Case(f"range {query!r}", 400, "GET", f"{DATA}?{query}", None, says)
        for query, says in {
            "": "i1",
            "limit=2": "i1",
            "i1=x": "i1",
            "i1=1.5": "i1",
            "i1=0x2": "i1",
            "i1=1_000": "i1",
            "i1=": "i1",
            "i1=%D9%A1": "i1",
            "i1=99999999999999999999": "i1",
            "i1=0&i2=x": "i2",
            "t1=x": "t1",
            "t1=nan": "t1",
            "t1=inf": "t1",
            "t1=1e999": "t1",
            "t1=1_0": "t1",
            "t1=0x1p4": "t1",
            "t1=1&t2=x": "t2",
            "t1=1&limit=-1": "limit",
            "t1=1&limit=x": "limit",
            "i1=0&t1=1": "both",
            "i1=0&limit=1": "both",
            "i1=0&i1=1": "twice",
            "i1=0&bogus=1": "bogus",
            "i1=0&downlink=maybe": "downlink",
            "i1=0&t=1": "'t'",
            "i1=%FF": "UTF-8",
            "q=bogus": "bogus",
            "q=": "q=length",
            "q=length&i1=0": "i1",
            "q=time2index": "time2index",
            "q=time2index&t=x": "t has",
            "&".join(f"x{i}=1" for i in range(100)): "parameters",
        }.items()
    ),
    Case("negative indices beyond the beginning and end", 403, "GET", DATA + "?i1=3&i2=1", None, "range"),
    Case("index beyond the end", 403, "GET", DATA + "?i1=1000", None, "range"),
    Case("insert with an unknown parameter", 400, "POST", DATA + "?restamp=true", f"[{ONE}]", "restamp"),
    Case("insert with half an upload", 400, "POST", DATA + "?source=x", "[]", "first"),
    Case("insert with a backward upload", 400, "POST", DATA + "?source=x&first=2&last=1", "[]", "first"),
    Case("insert with an upload from 0", 400, "POST", DATA + "?source=x&first=0&last=1", "[]", "first"),
    Case("insert with a long source", 400, "POST", DATA + f"?source={'x' * 65}&first=1&last=1", "[]", "64"),
    Case("unknown q", 400, "GET", "?q=bogus", None, "bogus"),
    Case("no q", 400, "GET", "", None, "q=this"),
    Case("unknown q of a stream", 400, "GET", S + "?q=ls", None, "'q'"),
    Case("unknown q of the users", 400, "GET", "/crud", None, "q=ls"),
    Case("filter without q", 400, "GET", "/crud/test?public=true", None, "q=streams"),
    # Credentials
    Case("wrong password", 401, "GET", S, auth=("test", "wrong")),
    Case("unknown user", 401, "GET", S, auth=("nosuch", "test")),
    Case("unknown API key", 401, "GET", S, auth=("", "nosuchkey")),
    Case("empty API key", 401, "GET", S, auth=("", "")),
    Case("unknown API key in the URL", 401, "GET", S + "?apikey=nosuchkey", auth=None),
    Case("password with NUL", 401, "GET", S, auth=("test", "test\0")),
    Case("long password", 401, "GET", S, auth=("test", "x" * 20_000)),
    Case("reading as nobody", 404, "GET", S, auth=None),
    Case("reading data as nobody", 403, "GET", DATA + "?i1=0", auth=None),
    Case("writing as nobody", 403, "POST", DATA, f"[{ONE}]", auth=None),
    Case("counting as nobody", 403, "GET", "?q=countusers", auth=None),
    Case("listing as nobody", 404, "GET", "/crud?q=ls", auth=None),
    # Not there yet
    Case("transform", 400, "GET", DATA + "?i1=0&transform=bogus", None, "bogus"),
    Case("transform of a feed", 400, "GET", "/feed/test/user/num.atom?transform=if"),
    Case("merge", 400, "POST", "/query/merge", "[null]", "null"),
    Case("dataset", 403, "POST", "/query/dataset", "{}", "column"),
    Case("websocket", 426, "GET", "/websocket"),
]


@pytest.fixture(scope="module")
def stocked(live: Any) -> Iterator[Any]:
    """A client of a server with a number stream that holds three datapoints."""
    client = live.client()
    assert client("POST", S, {"schema": '{"type":"number"}'}).status == 200
    assert client("POST", DATA, [{"t": 2, "d": 1}, {"t": 3, "d": 2.5}, {"t": 4, "d": 3}]).status == 200
    yield client
    client.close()


def snapshot(client: Any) -> list[Any]:
    """All that there is."""
    users = client("GET", "/crud?q=ls").json()
    seen: list[Any] = [users]
    for user in users:
        seen.append(client("GET", f"/crud/{user['name']}?q=ls").json())
        for stream in client("GET", f"/crud/{user['name']}?q=streams").json():
            path = f"/crud/{user['name']}/{stream['device']}/{stream['name']}/data"
            seen += [stream, client("GET", path + "?i1=0").json(), client("GET", path + "?i1=0&downlink=true").json()]
    return seen


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_refused_and_changes_nothing(stocked: Any, case: Case) -> None:
    before = snapshot(stocked)
    answer = stocked(case.method, case.target, case.body, auth=case.auth)
    assert answer.status == case.status, answer.text
    check_error(answer, case.says)
    if case.status == 405:
        assert case.method not in answer.headers["allow"]
    assert snapshot(stocked) == before


def check_error(answer: Any, says: str = "") -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store, must-revalidate"
    error: dict[str, Any] = answer.json()
    assert error["code"] == answer.status
    assert says in error["msg"]
    assert "Traceback" not in error["msg"] and ".py" not in error["msg"]
    assert uuid.UUID(error["ref"]).version == 4
    assert error["error"]
    assert set(error) <= {"code", "msg", "ref", "error", "details"}
    return error


def test_claim_of_two_gigabytes_is_refused_without_reading(live: Any) -> None:
    request = (
        b"POST /api/v1/crud/test/user/num/data HTTP/1.1\r\nHost: x\r\nAuthorization: Basic dGVzdDp0ZXN0\r\n"
        b"Content-Length: 2147483648\r\n\r\n["
    )
    with socket.create_connection(("127.0.0.1", live.port), timeout=5) as s:
        s.sendall(request)
        head, _, rest = s.recv(65536).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 413 ")
        assert b"connection: close" in head
        error = json.loads(rest or s.recv(65536))
        assert error["code"] == 413 and "10485760 bytes" in error["msg"]
        while s.recv(65536):  # the server closes
            pass


def test_client_that_asks_first_sends_no_large_body(live: Any) -> None:
    request = (
        b"POST /api/v1/crud/test/user/num/data HTTP/1.1\r\nHost: x\r\nAuthorization: Basic dGVzdDp0ZXN0\r\n"
        b"Expect: 100-continue\r\nContent-Length: 2147483648\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", live.port), timeout=5) as s:
        s.sendall(request)
        assert s.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_sender_of_a_large_body_sees_the_refusal(stocked: Any) -> None:
    before = snapshot(stocked)
    body = b"[" + b'{"t":10,"d":1},' * 1_000_000 + b'{"t":10,"d":1}]'
    answer = stocked("POST", DATA, body)
    assert answer.status == 413
    check_error(answer, "bytes")
    assert snapshot(stocked) == before


def test_chunked_body_is_cut_at_the_bound(live: Any, stocked: Any) -> None:
    before = snapshot(stocked)
    head = (
        b"POST /api/v1/crud/test/user/num/data HTTP/1.1\r\nHost: x\r\nAuthorization: Basic dGVzdDp0ZXN0\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"%x\r\n" % 1_000_000 + b" " * 1_000_000 + b"\r\n"
    answer = live.raw(head + chunk * 12)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert snapshot(stocked) == before


def test_body_of_just_the_bound_is_taken(stocked: Any) -> None:
    body = b"[]".ljust(10 * 1024 * 1024)
    assert stocked("POST", DATA, body).status == 200
    answer = stocked("POST", DATA, body + b" ")
    assert answer.status == 413


def test_too_many_datapoints_are_refused(stocked: Any) -> None:
    before = snapshot(stocked)
    answer = stocked("POST", DATA, b"[" + b"{}," * 100_000 + b"{}]")
    assert answer.status == 413
    check_error(answer, "100000")
    assert snapshot(stocked) == before


def test_client_that_disconnects_in_mid_body_changes_nothing(live: Any, stocked: Any) -> None:
    before = snapshot(stocked)
    head = (
        b"POST /api/v1/crud/test/user/num/data HTTP/1.1\r\nHost: x\r\nAuthorization: Basic dGVzdDp0ZXN0\r\n"
        b"Content-Length: 1000\r\n\r\n"
    )
    for sent in (b"", b'[{"t":10,"d":1}]', b'[{"t":10,"d":1},'):
        with socket.create_connection(("127.0.0.1", live.port), timeout=5) as s:
            s.sendall(head + sent)
    assert snapshot(stocked) == before


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ],
)
def test_what_is_no_http_is_refused_in_the_same_form(live: Any, data: bytes) -> None:
    answer = live.raw(data)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 4"), answer
    error = json.loads(body)
    assert error["code"] == int(head[9:12])
    assert error["msg"] and error["ref"]
    assert live.client()("GET", "//healthz").status == 200


def test_endless_headers_are_refused(live: Any) -> None:
    answer = live.raw(b"GET / HTTP/1.1\r\n" + b"X-A: " + b"a" * 100_000)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b'"code":431' in answer


@pytest.fixture
def limited(make_live: Callable[..., Any]) -> Any:
    """A server on which the role user may have few things, and the role disabled nothing."""

    def restrict(path: Path) -> None:
        matrix = json.loads(files("connectordb.core").joinpath("permissions.json").read_bytes())
        matrix["user_roles"]["user"] |= {"max_devices": 3, "max_streams": 2, "max_stream_size": 4}
        matrix["user_roles"]["disabled"] = matrix["user_roles"]["nobody"]
        (path / "permissions.json").write_text(json.dumps(matrix))

    return make_live(prepare=restrict).client()


def test_limits_of_a_role_are_kept(limited: Any) -> None:
    bob = ("bob", "x")
    assert limited("POST", "/crud/bob", {"email": "b@x", "password": "x"}).status == 200
    for thing, n_max in (("bob/d", 10), ("bob/user/s", 10)):
        made = [limited("POST", f"/crud/{thing}{i}", {}, auth=bob) for i in range(n_max)]
        assert made[0].status == 200 and made[-1].status == 403
        assert check_error(made[-1])["error"] == "limit_reached"
    before = snapshot(limited)
    refused = limited("POST", "/crud/bob/user/s0/data", [{"t": i + 1, "d": i} for i in range(5)], auth=bob)
    assert refused.status == 403
    assert check_error(refused, "5")["error"] == "limit_reached"
    assert snapshot(limited) == before
    assert limited("POST", "/crud/bob/user/s0/data", [{"t": 1, "d": 1}], auth=bob).status == 200


def test_disabled_role_may_nothing(limited: Any) -> None:
    eve = {"email": "e@x", "password": "x", "role": "disabled", "streams": {"s": {}}}
    assert limited("POST", "/crud/eve", eve).status == 200
    before = snapshot(limited)
    for method, target, body, status in (
        ("GET", "/crud/eve", None, 404),
        ("GET", "/crud/eve/user/s", None, 404),
        ("GET", "/crud/eve/user/s/data?i1=0", None, 403),
        ("POST", "/crud/eve/user/s/data", [{"t": 1, "d": 1}], 403),
        ("PUT", "/crud/eve", {"nickname": "x"}, 403),
        ("POST", "/crud/eve/user/t", {}, 403),
        ("DELETE", "/crud/eve/user/s", None, 403),
    ):
        answer = limited(method, target, body, auth=("eve", "x"))
        assert answer.status == status, (method, target, answer.text)
        check_error(answer)
    assert snapshot(limited) == before
