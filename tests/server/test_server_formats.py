"""Ranges, merges and datasets in every format, read by other libraries."""

from __future__ import annotations

import csv
import io
import json
import socket
import threading
import time
from collections.abc import Callable
from http.client import IncompleteRead
from itertools import count
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectordb import formats
from connectordb.formats import _table

from .conftest import basic

TYPES = {
    "json": "application/json; charset=utf-8",
    "ndjson": "application/x-ndjson; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
LONG = [(1500000000.5 + i, i / 4) for i in range(30_000)]
MIXED = [(1500000000.5, "=1+1"), (1500000001.5, {"a": [1, None]}), (1500000002.5, None), (1500000003.5, "5")]
_numbers = count(1)


@pytest.fixture
def device(client: Any) -> str:
    """A device with streams: long and mixed, text, which is no number at the end, and empty."""
    path = f"test/f{next(_numbers)}"
    streams = {"long": LONG, "mixed": MIXED, "text": [*LONG, (1600000000, "no number")], "empty": []}
    apikey = client("POST", f"/crud/{path}", {"streams": {name: {} for name in streams}}).json()["apikey"]
    for name, points in streams.items():
        body = [{"t": t, "d": d} for t, d in points]
        assert client("POST", f"/crud/{path}/{name}/data", body, auth=("", apikey)).text == "ok"
    return path


def parsed(name: str, body: bytes) -> list[tuple[Any, Any]]:
    """What other libraries find: times in seconds, and values, of which those that are JSON text are decoded."""
    if name == "json":
        return [(p["t"], p.get("d")) for p in json.loads(body)]
    if name == "ndjson":
        return [(p["t"], p.get("d")) for p in map(json.loads, body.splitlines())]
    if name == "csv":
        header, *rows = csv.reader(io.StringIO(body.decode(), newline=""), strict=True)
        assert header == ["t", "d"]
        return [(float(t), json.loads(d) if d else None) for t, d in rows]
    table = pa.ipc.open_stream(body).read_all() if name == "arrow" else pq.read_table(io.BytesIO(body))
    times = [t / 1e9 for t in table["t"].cast(pa.int64()).to_pylist()]
    values = table["d"].to_pylist()
    if table.schema.field("d").type == pa.json_():
        values = [None if v is None else json.loads(v) for v in values]
    return list(zip(times, values, strict=True))


# ---- what is sent


@pytest.mark.parametrize("name", TYPES)
def test_ranges_in_every_format(client: Any, device: str, name: str) -> None:
    for stream, points in (("long", LONG), ("mixed", MIXED)):
        answer = client("GET", f"/crud/{device}/{stream}/data?i1=0&format={name}")
        assert answer.status == 200
        assert answer.headers["content-type"] == TYPES[name]
        assert parsed(name, answer.body) == points
        short = client("GET", f"/crud/{device}/{stream}/data?i1=1&i2=3&format={name}")
        assert parsed(name, short.body) == points[1:3]
        assert short.headers["content-length"] == str(len(short.body))
    nothing = client("GET", f"/crud/{device}/empty/data?i1=0&format={name}")
    assert nothing.status == 200
    assert parsed(name, nothing.body) == []
    counted = client(
        "GET", f"/crud/{device}/long/data?t1=1&format={name}&transform=if%20%24%20%3E%207490%20%7C%20count"
    )
    assert [d for _, d in parsed(name, counted.body)] == list(range(1, 40))


@pytest.mark.parametrize("name", TYPES)
def test_merges_and_datasets_in_every_format(client: Any, device: str, name: str) -> None:
    merge = [{"stream": f"{device}/long", "i2": 1}, {"stream": f"{device}/mixed"}]
    answer = client("POST", f"/query/merge?format={name}", merge)
    assert answer.headers["content-type"] == TYPES[name]
    assert parsed(name, answer.body) == [LONG[0], *MIXED]
    query = {
        "stream": f"{device}/mixed",
        "dataset": {"a,b": {"stream": f"{device}/long"}, "ü": {"stream": f"{device}/empty", "allownil": True}},
    }
    answer = client("POST", f"/query/dataset?format={name}", query)
    assert answer.headers["content-type"] == TYPES[name]
    if name == "csv":
        rows = list(csv.reader(io.StringIO(answer.text, newline="")))
        assert rows[:2] == [["t", "x", "a,b", "ü"], ["1500000000.5", '"=1+1"', "0.0", ""]]
        assert len(rows) == 5
    elif name in ("arrow", "parquet"):
        table = (pl.read_ipc_stream if name == "arrow" else pl.read_parquet)(answer.body)
        assert table.columns == ["t", "x", "a,b", "ü"]
        assert table["a,b"].to_list() == [0.0, 0.25, 0.5, 0.75]
        assert table["ü"].to_list() == [None] * 4
    else:
        assert parsed(name, answer.body)[0] == (1500000000.5, {"x": "=1+1", "a,b": 0.0, "ü": None})
    answer = client("POST", f"/query/dataset?format={name}", {**query, "posttransform": "$['a,b'] | count"})
    assert [d for _, d in parsed(name, answer.body)] == [1, 2, 3, 4]


def test_tables_become_data_frames(client: Any, device: str) -> None:
    frame = pd.read_parquet(io.BytesIO(client("GET", f"/crud/{device}/long/data?t1=1&format=parquet").body))
    assert str(frame.dtypes["t"]) == "datetime64[ns, UTC]"
    assert frame["d"].mean() == pytest.approx(29_999 / 8)
    frame = pd.read_csv(io.BytesIO(client("GET", f"/crud/{device}/long/data?t1=1&format=csv").body))
    assert list(frame["t"]) == [t for t, _ in LONG]
    lines = pl.read_ndjson(client("GET", f"/crud/{device}/long/data?t1=1&format=ndjson").body)
    assert lines["d"].to_list() == [d for _, d in LONG]


def test_who_wrote_it_stands_in_downlinks(client: Any, device: str) -> None:
    client("POST", f"/crud/{device}/lamp", {"downlink": True})
    client("PUT", f"/crud/{device}/lamp/data", [{"t": 1500000000, "d": True}])
    range_ = f"/crud/{device}/lamp/data?i1=0&downlink=true&format="
    header, row = client("GET", range_ + "csv").text.splitlines()
    assert header == "t,d,o"
    assert row.endswith(",true,test/user")
    assert pl.read_parquet(client("GET", range_ + "parquet").body)["o"].to_list() == ["test/user"]


def test_files_have_names(client: Any, device: str) -> None:
    def disposition(target: str, **headers: str) -> str | None:
        found: str | None = client("GET", target, headers=headers).headers.get("content-disposition")
        return found

    range_ = f"/crud/{device}/mixed/data?i1=0"
    name = device.replace("/", "-") + "-mixed"
    assert disposition(f"{range_}&format=csv") == f'attachment; filename="{name}.csv"'
    assert disposition(f"{range_}&format=arrow") == f'attachment; filename="{name}.arrows"'
    assert disposition(f"{range_}&format=parquet") == f'attachment; filename="{name}.parquet"'
    for target in (range_, f"{range_}&format=json", f"{range_}&format=ndjson"):
        assert disposition(target) is None
    assert disposition(range_, Accept="text/csv") is None


def test_json_is_the_same_however_it_is_asked_for(client: Any, device: str) -> None:
    plain = client("GET", f"/crud/{device}/mixed/data?i1=0")
    asked = client("GET", f"/crud/{device}/mixed/data?i1=0&format=json", headers={"Accept": "text/csv"})
    assert asked.body == plain.body
    assert asked.headers["content-type"] == plain.headers["content-type"] == TYPES["json"]


def test_head_tells_what_get_would(client: Any, device: str) -> None:
    for name, kind in TYPES.items():
        for stream in ("long", "mixed"):
            answer = client("HEAD", f"/crud/{device}/{stream}/data?i1=0&format={name}")
            assert (answer.status, answer.body) == (200, b"")
            assert answer.headers["content-type"] == kind


# ---- what is asked for


@pytest.mark.parametrize(
    ("accept", "name"),
    [
        (None, "json"),
        ("", "json"),
        ("*/*", "json"),
        ("application/json", "json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", "json"),
        ("application/json, text/plain, */*", "json"),
        ("text/csv", "csv"),
        ("TEXT/CSV ; charset=utf-8", "csv"),
        ("text/*", "csv"),
        ("text/csv, */*", "csv"),
        ("text/csv;q=0.5, application/json", "json"),
        ("application/vnd.apache.parquet, application/json;q=0.9", "parquet"),
        ("application/vnd.apache.arrow.stream", "arrow"),
        ("application/*;q=0.2, application/x-ndjson;q=0.3", "ndjson"),
        ("application/json;q=0, */*;q=0.1", "ndjson"),
        ("image/png, */*;q=nonsense, text/csv;q=0.1", "csv"),
        ("image/png", None),
        ("application/json;q=0", None),
    ],
)
def test_accept_is_weighed(client: Any, device: str, accept: str | None, name: str | None) -> None:
    headers = {} if accept is None else {"Accept": accept}
    answer = client("GET", f"/crud/{device}/mixed/data?i1=0", headers=headers)
    if name is None:
        assert answer.status == 406
        assert "text/csv" in answer.json()["msg"]
    else:
        assert answer.headers["content-type"] == TYPES[name]
        assert parsed(name, answer.body) == MIXED if name != "csv" else answer.body


def test_unknown_formats_are_refused(client: Any, device: str) -> None:
    for method, target, body in (
        ("GET", f"/crud/{device}/mixed/data?i1=0&format=xml", None),
        ("POST", "/query/merge?format=", []),
        ("POST", "/query/dataset?format=CSV", {}),
    ):
        answer = client(method, target, body)
        assert answer.status == 400
        assert "json, ndjson, csv, arrow, parquet" in answer.json()["msg"]
    assert client("GET", f"/crud/{device}/mixed/data?q=length&format=csv").status == 400
    assert client("POST", f"/crud/{device}/mixed/data?format=csv", []).status == 400


def test_without_the_library_it_says_what_to_install(client: Any, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from connectordb.server import negotiate

    negotiate._accepted.cache_clear()
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    target = f"/crud/{device}/mixed/data?i1=0"
    try:
        for answer in (
            client("GET", f"{target}&format=parquet"),
            client("GET", target, headers={"Accept": "application/vnd.apache.arrow.stream"}),
        ):
            assert answer.status == 501
            assert 'pip install "connectordb[arrow]"' in answer.json()["msg"]
        both = client("GET", target, headers={"Accept": "application/vnd.apache.parquet, text/csv;q=0.1"})
        assert both.headers["content-type"] == TYPES["csv"]
        assert client("GET", f"{target}&format=csv").status == 200
    finally:
        negotiate._accepted.cache_clear()


# ---- what goes wrong


@pytest.mark.parametrize("name", TYPES)
def test_what_is_refused_is_refused_in_every_format(client: Any, device: str, name: str) -> None:
    def status(method: str, target: str, body: Any = None) -> int:
        answer = client(method, f"{target}format={name}", body)
        assert answer.headers["content-type"] == TYPES["json"]
        assert answer.json()["code"] == answer.status
        return int(answer.status)

    assert status("GET", f"/crud/{device}/missing/data?i1=0&") == 403
    assert status("GET", f"/crud/{device}/mixed/data?") == 400
    assert status("GET", f"/crud/{device}/mixed/data?i1=99&") == 403
    assert status("GET", f"/crud/{device}/mixed/data?i1=0&transform=%7C&") == 400
    assert status("POST", "/query/merge?", [{"stream": f"{device}/missing"}]) == 403
    assert status("POST", "/query/dataset?", {"dataset": []}) == 400


def test_a_table_with_two_columns_of_times_is_refused(client: Any, device: str) -> None:
    query = {"stream": f"{device}/mixed", "dataset": {"t": {"stream": f"{device}/long"}}}
    for name in ("csv", "arrow", "parquet"):
        answer = client("POST", f"/query/dataset?format={name}", query)
        assert answer.status == 403
        assert "two columns 't'" in answer.json()["msg"]
    assert client("POST", "/query/dataset?format=ndjson", query).status == 200


def test_a_failure_in_the_middle_is_never_a_whole_answer(client: Any, device: str) -> None:
    target = f"/crud/{device}/text/data?i1=0&transform=%24%20%2B%201&format="
    for name in ("csv", "ndjson"):  # the beginning has been sent by then
        with pytest.raises(IncompleteRead):
            client("GET", target + name)
        client.close()
    for name in ("arrow", "parquet"):  # nothing has
        answer = client("GET", target + name)
        assert answer.status == 400
        assert answer.json()["error"] == "script_error"


def test_the_temporary_file_has_a_bound(make_live: Callable[..., Any]) -> None:
    client = make_live(**{"limits.export_bytes_max": 1024 * 1024}).client()
    client("POST", "/crud/test/user/s", {})
    for start in (0, 100_000):
        body = [{"t": 1500000000 + i / 7, "d": (i * 0.618033) % 1} for i in range(start, start + 100_000)]
        assert client("POST", "/crud/test/user/s/data", body).text == "ok"
    for name in ("parquet", "arrow"):
        answer = client("GET", f"/crud/test/user/s/data?i1=0&format={name}")
        assert answer.status == 413
        assert "1048576 bytes" in answer.json()["msg"]
        assert client("GET", f"/crud/test/user/s/data?i1=-1000&format={name}").status == 200
    assert client("GET", "/crud/test/user/s/data?i1=0&format=csv").text.count("\n") == 200_001


def test_a_full_disk_is_told(client: Any, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Any, times: Any, arrays: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_table.Table, "_write", full)
    answer = client("GET", f"/crud/{device}/long/data?i1=0&format=parquet")
    assert answer.status == 503
    assert "No space left on device" in answer.json()["msg"]


def test_the_temporary_file_goes_when_the_client_goes(
    live: Any, client: Any, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, closed = threading.Event(), threading.Event(), threading.Event()
    feed, close = _table.Table.feed, _table.Table.close

    def gone() -> float:
        lines = client("GET", "//metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if 'status="499"' in line and "_total" in line)

    def slow_feed(self: Any, block: Any) -> None:
        assert not closed.is_set()
        begun.set()
        assert go_on.wait(30)
        feed(self, block)
        assert not closed.is_set()

    def told_close(self: Any) -> None:
        close(self)
        assert self._file.closed
        closed.set()

    monkeypatch.setattr(_table.Table, "feed", slow_feed)
    monkeypatch.setattr(_table.Table, "close", told_close)
    before = gone()
    with socket.create_connection(("127.0.0.1", live.port)) as s:
        head = f"GET /api/v1/crud/{device}/long/data?i1=0&format=parquet HTTP/1.1\r\nHost: x\r\n"
        s.sendall(f"{head}Authorization: {basic('test', 'test')}\r\n\r\n".encode())
        assert begun.wait(30)
    until = time.monotonic() + 30
    while gone() == before and time.monotonic() < until:
        pass
    assert gone() == before + 1
    assert not closed.is_set()  # a thread still writes to it
    go_on.set()
    assert closed.wait(30)


def test_formats_are_described(client: Any) -> None:
    paths = client("GET", "/openapi.json").json()["paths"]
    for path, method in (
        ("/api/v1/crud/{user}/{device}/{stream}/data", "get"),
        ("/api/v1/query/merge", "post"),
        ("/api/v1/query/dataset", "post"),
    ):
        operation = paths[path][method]
        asked = next(param for param in operation["parameters"] if param["name"] == "format")
        assert asked["schema"]["enum"] == list(TYPES)
        content = operation["responses"]["200"]["content"]
        assert {kind.partition(";")[0] for kind in TYPES.values()} <= set(content)
