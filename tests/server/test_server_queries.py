"""Merges and datasets over HTTP."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from .conftest import basic

VECTORS = Path(__file__).parents[1] / "pipescript" / "data"
_numbers = count(1)


def fill(client: Any, **streams: list[tuple[float, Any]]) -> str:
    """Create a device with *streams* of (t, d), and return its path."""
    device = f"test/q{next(_numbers)}"
    create = {"streams": {name: {} for name in streams}}
    apikey = client("POST", f"/crud/{device}", create).json()["apikey"]
    for name, points in streams.items():
        for i in range(0, len(points), 5000):
            body = [{"t": t, "d": d} for t, d in points[i : i + 5000]]
            assert client("POST", f"/crud/{device}/{name}/data", body, auth=("", apikey)).text == "ok"
    return device


@pytest.fixture
def device(client: Any) -> str:
    return fill(
        client,
        a=[(1, 10), (2, 20), (3, 30), (4, 40)],
        b=[(1.5, "x"), (2, "y"), (6, None)],
        long=[(i + 1, i) for i in range(30_000)],
        text=[(1, 1), (2, "no number")],
    )


def merge(client: Any, *parts: Any, **kw: Any) -> Any:
    return client("POST", "/query/merge", list(parts), **kw)


def dataset(client: Any, **query: Any) -> Any:
    return client("POST", "/query/dataset", query)


# ---- what they give


def test_merge_is_in_order_of_time_and_leaves_null_out(client: Any, device: str) -> None:
    answer = merge(client, {"stream": f"{device}/a", "t1": 1, "transform": "$ + 1"}, {"stream": f"{device}/b"})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.json() == [
        {"t": 1.5, "d": "x"},
        {"t": 2, "d": 21},
        {"t": 2, "d": "y"},
        {"t": 3, "d": 31},
        {"t": 4, "d": 41},
        {"t": 6},
    ]


def test_merge_of_nothing_is_empty(client: Any, device: str) -> None:
    assert merge(client).text == "[]"
    assert client("POST", "/query/merge", "null").text == "[]"
    assert client("POST", "/query/merge/", "[]").text == "[]"
    assert merge(client, {"stream": f"{device}/a", "transform": "if $ > 100"}).text == "[]"


def test_keys_may_be_in_any_case_and_null(client: Any, device: str) -> None:
    query = {"Stream": f"{device}/a", "I1": 1, "i2": None, "LIMIT": None, "more": [1]}
    assert [p["d"] for p in merge(client, query).json()] == [20, 30, 40]


def test_limit_counts_what_comes_out(client: Any, device: str) -> None:
    query = {"stream": f"{device}/long", "transform": "if $ % 10000 == 9999", "limit": 2}
    assert [p["d"] for p in merge(client, query).json()] == [9999, 19999]


def test_dataset_by_stream(client: Any, device: str) -> None:
    columns = {
        "b": {"stream": f"{device}/b", "interpolator": "before", "allownil": True},
        "n": {"merge": [{"stream": f"{device}/a"}, {"stream": f"{device}/b"}], "interpolator": "count"},
    }
    answer = dataset(client, stream=f"{device}/a", i1=0, i2=2, dataset=columns)
    assert answer.json() == [
        {"t": 1, "d": {"x": 10, "b": None, "n": 1}},
        {"t": 2, "d": {"x": 20, "b": "y", "n": 3}},
    ]


def test_dataset_by_time(client: Any, device: str) -> None:
    columns = {"a": {"stream": f"{device}/a"}}
    rows = dataset(client, t1=0, t2=3, dt=1, posttransform="$['a'] * 2", dataset=columns).json()
    assert rows == [{"d": 20}, {"t": 1, "d": 20}, {"t": 2, "d": 40}]


def test_column_begins_ten_datapoints_before_the_dataset(client: Any, device: str) -> None:
    query = {"t1": 20_000, "t2": 20_001, "dt": 1}
    columns = {"n": {"stream": f"{device}/long", "interpolator": "count"}}
    assert dataset(client, **query, dataset=columns).json() == [{"t": 20_000, "d": {"n": 10}}]
    late = {"t1": 40_000, "t2": 40_001, "dt": 1}
    assert dataset(client, **late, dataset=columns).json() == [{"t": 40_000, "d": {"n": 30_000}}]


def test_long_answer_is_complete(client: Any, device: str) -> None:
    answer = merge(client, {"stream": f"{device}/long"}, {"stream": f"{device}/long", "transform": "-$"})
    assert answer.headers.get("transfer-encoding") == "chunked"
    points = answer.json()
    assert [p["d"] for p in points[::2]] == list(range(30_000))
    assert [p["d"] for p in points[1::2]] == [-d for d in range(30_000)]
    rows = dataset(client, stream=f"{device}/long", dataset={"y": {"stream": f"{device}/long"}}).json()
    assert rows == [{"t": d + 1, "d": {"x": d, "y": d}} for d in range(30_000)]


def test_downlinks_are_streams_as_well(client: Any) -> None:
    path = f"test/q{next(_numbers)}/light"
    assert client("POST", f"/crud/{path.rpartition('/')[0]}", {"streams": {"light": {"downlink": True}}}).status == 200
    assert client("POST", f"/crud/{path}/data?downlink=true", [{"t": 5, "d": 1}]).status == 200
    assert merge(client, {"stream": f"{path}/downlink"}).json() == [{"t": 5, "d": 1}]
    assert merge(client, {"stream": path}).json() == []


# ---- what is refused


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (400, "", "empty"),
        (400, "[", "JSON"),
        (400, "{}", "array"),
        (400, "5", "array"),
        (400, "[null]", "null"),
        (400, '[{"stream": 5}]', "str"),
        (400, '[{"stream": "A", "i1": 1.5}]', "int"),
        (403, '[{"i1": 0}]', "name"),
        (403, '[{"stream": "test/user"}]', "path"),
        (403, '[{"stream": "test/user/s/other"}]', "path"),
        (403, '[{"stream": "test/user/missing"}]', "test/user/missing"),
        (403, '[{"stream": "A", "i1": 1, "t1": 2}]', "index"),
        (403, '[{"stream": "A", "i1": 5}]', "index range"),
        (400, '[{"stream": "A", "transform": "bogus"}]', "bogus"),
        (403, "[" + ",".join(['{"stream": "A"}'] * 11) + "]", "10"),
    ],
)
def test_merges_that_are_refused(client: Any, device: str, status: int, body: str, says: str) -> None:
    answer = client("POST", "/query/merge", body.replace('"A"', f'"{device}/a"'))
    assert answer.status == answer.json()["code"] == status
    assert says in answer.json()["msg"]


@pytest.mark.parametrize(
    ("status", "query", "says"),
    [
        (400, [], "object"),
        (400, None, "object"),
        (400, {"stream": "A", "dataset": {"y": None}}, "null"),
        (400, {"stream": "A", "dataset": {"y": {"merge": [None]}}}, "null"),
        (400, {"merge": [None], "dataset": {"y": {"stream": "A"}}}, "null"),
        (400, {"t1": "x", "dataset": {}}, "float"),
        (403, {}, "column"),
        (403, {"t1": 1, "t2": 2, "dt": 1, "dataset": {"y": {}}}, "'y'"),
        (403, {"t1": 1, "t2": 2, "dt": 1e-9, "dataset": {"y": {"stream": "A"}}}, "0.001"),
        (403, {"stream": "A", "dt": 1, "dataset": {"y": {"stream": "A"}}}, "both"),
        (403, {"stream": "A", "dataset": {"x": {"stream": "A"}}}, "'x'"),
        (400, {"stream": "A", "dataset": {"y": {"stream": "A", "interpolator": "bogus"}}}, "bogus"),
        (400, {"stream": "A", "posttransform": "if", "dataset": {"y": {"stream": "A"}}}, "if"),
        (403, {"stream": "A", "dataset": {f"c{i}": {"stream": "A"} for i in range(100)}}, "100"),
    ],
)
def test_datasets_that_are_refused(client: Any, device: str, status: int, query: Any, says: str) -> None:
    body = json.dumps(query).replace('"A"', f'"{device}/a"')
    answer = client("POST", "/query/dataset", body)
    assert answer.status == answer.json()["code"] == status
    assert says in answer.json()["msg"]


def test_script_that_fails_is_an_error_with_its_place(client: Any, device: str) -> None:
    answer = merge(client, {"stream": f"{device}/a"}, {"stream": f"{device}/text", "transform": "$ + 1"})
    assert answer.status == 400
    assert answer.json()["error"] == "script_error"
    bad = merge(client, {"stream": f"{device}/a", "transform": "$ + + 1"}).json()
    assert bad["error"] == "script_error"
    assert bad["details"]["column"] == 4


def test_script_that_fails_late_cuts_the_answer_off(client: Any) -> None:
    device = fill(client, a=[(i + 1, "x" if i == 29_999 else i) for i in range(30_000)])
    body = json.dumps([{"stream": f"{device}/a", "transform": "$ + 1"}]).encode()
    head = f"POST /api/v1/query/merge HTTP/1.1\r\nHost: x\r\nAuthorization: {basic('test', 'test')}\r\n"
    with socket.create_connection(("127.0.0.1", client.port), timeout=20) as s:
        s.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        received = b"".join(iter(lambda: s.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 200 ")
    assert not received.endswith(b"0\r\n\r\n")
    assert b'{"t":20000.0,"d":20000' in received


def test_what_may_not_be_read_is_as_if_it_were_not_there(client: Any, device: str) -> None:
    name = f"u{next(_numbers)}"
    assert client("POST", f"/crud/{name}", {"email": f"{name}@localhost", "password": "pw"}).status == 200
    own = {"stream": f"{name}/meta/log"}
    for auth in (None, (name, "pw")):
        hidden = merge(client, {"stream": f"{device}/a"}, auth=auth)
        missing = merge(client, {"stream": f"{device}/missing"}, auth=auth)
        assert hidden.status == missing.status == 403
        assert hidden.json()["msg"].replace("/a'", "/missing'") == missing.json()["msg"]
    assert merge(client, own, auth=(name, "pw")).status == 200
    assert merge(client, own, {"stream": f"{device}/a"}, auth=(name, "pw")).status == 403
    columns = {"y": {"merge": [{"stream": f"{device}/a"}]}}
    answer = client("POST", "/query/dataset", {**own, "dataset": columns}, auth=(name, "pw"))
    assert answer.status == 403
    assert merge(client, {"stream": f"{device}/a"}, auth=("test", "wrong")).status == 401


def test_body_that_is_too_large_is_refused(make_live: Callable[..., Any]) -> None:
    client = make_live(**{"server.body_bytes_max": 1024}).client()
    assert client("POST", "/query/merge", b"[" + b" " * 2000 + b"]").status == 413


# ---- time


def slow_query(client: Any) -> dict[str, Any]:
    """A query that reads for a while and gives nothing."""
    device = fill(client, long=[(i + 1, {"a": i, "b": []}) for i in range(25_000)])
    transform = "$['a'] | " + " | ".join(["{'a': $} | $['a'] + 1"] * 10) + " | if $ < 0"
    return {"stream": f"{device}/long", "transform": transform}


def test_query_has_only_so_much_time(make_live: Callable[..., Any]) -> None:
    client = make_live(**{"limits.query_s": 0.05}).client()
    answer = merge(client, slow_query(client))
    assert answer.status == 403
    assert answer.json()["error"] == "limit_reached"
    assert "0.05 s" in answer.json()["msg"]


def test_others_are_answered_while_a_query_works(make_live: Callable[..., Any]) -> None:
    live = make_live()
    client = live.client()
    query = slow_query(client)
    threads = [threading.Thread(target=merge, args=(live.client(), query, query)) for _ in range(5)]
    for thread in threads:
        thread.start()
    waits = []
    while any(thread.is_alive() for thread in threads) and len(waits) < 20:
        began = time.monotonic()
        assert client("GET", f"/crud/{query['stream']}/data?i1=-1").status == 200
        waits.append(time.monotonic() - began)
    for thread in threads:
        thread.join(60)
    assert waits and max(waits) < 2


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_query_ends_when_its_client_goes_away(make_live: Callable[..., Any], method: str) -> None:
    live = make_live()
    client = live.client()
    query = slow_query(client)
    target, body = "query/merge", json.dumps([query] * 10).encode()
    if method == "GET":  # a range with a transform
        target, body = f"crud/{query['stream']}/data?i1=0&transform={quote(query['transform'])}", b""
    head = f"{method} /api/v1/{target} HTTP/1.1\r\nHost: x\r\nAuthorization: {basic('test', 'test')}\r\n"
    with socket.create_connection(("127.0.0.1", live.port), timeout=20) as s:
        s.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        deadline = time.monotonic() + 20
        while not in_flight(client):
            assert time.monotonic() < deadline
    while in_flight(client):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def in_flight(client: Any) -> bool:
    """Whether a request is being answered besides this one."""
    (line,) = (x for x in client("GET", "//metrics").text.splitlines() if "in_flight" in x and x[0] != "#")
    return float(line.split()[-1]) > 1


# ---- the recorded answers of version 0.3


def number_or(value: Any) -> Any:
    """Numbers by value; what the wire leaves out."""
    return {"t": float(value.get("t", 0)), "d": value.get("d")}


def test_answers_are_those_of_version_0_3(client: Any) -> None:
    listed = {i for rule in json.loads((VECTORS / "deviations.json").read_text()).values() for i in rule["ids"]}
    made: dict[str, str] = {}
    wrong, n = [], 0
    for line in (VECTORS / "query_vectors.jsonl").read_text().splitlines():
        vector = json.loads(line)
        streams = vector.get("streams", {})
        if vector["kind"] not in ("merge", "dataset") or vector["id"] in listed:
            continue
        if any(point["t"] <= 0 for points in streams.values() for point in points):
            continue  # time stamps before 1970 cannot be inserted
        n += 1
        key = json.dumps(streams, sort_keys=True)
        if key not in made:
            named = {name.replace("/", "_"): [(p["t"], p.get("d")) for p in points] for name, points in streams.items()}
            made[key] = fill(client, **named)
        query = json.dumps(vector["query"])
        for name in streams:
            query = query.replace(json.dumps(name), json.dumps(f"{made[key]}/{name.replace('/', '_')}"))
        answer = client("POST", f"/query/{vector['kind']}", query)
        # A script is 400, whether it cannot be read or fails, be it on the first datapoint (500 in 0.3) or a later one.
        status = {"decode": 400, "query": 403, "first": 400, "mid": 400}.get(vector.get("stage", ""), 200)
        if status == 403 and answer.status == 400:
            status = 400 if answer.json()["error"] == "script_error" else 403
        if answer.status != status:
            wrong.append(f"{vector['id']}: {answer.status} instead of {status}: {answer.text[:200]}")
        elif status == 200:
            found, wanted = ([number_or(p) for p in points] for points in (answer.json(), vector["result"]))
            if found != wanted:
                wrong.append(f"{vector['id']}: {found} instead of {wanted}")
    assert n > 250
    assert not wrong, f"{len(wrong)} of {n}:\n" + "\n".join(wrong[:20])
