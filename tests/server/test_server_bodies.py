"""Inserts in every format, and compressed."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zlib
from itertools import count
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from connectordb.formats import FORMATS

POINTS = [(1500000000.5, 1), (1500000001.5, 2.5), (1500000002.5, None), (1500000003.5, "x"), (1500000004.5, {"a": [1]})]
NDJSON, CSV, ARROW = (FORMATS[name].media_type for name in ("ndjson", "csv", "arrow"))
_numbers = count(1)


@pytest.fixture
def data(client: Any) -> Any:
    """Sends a request to the data of a new stream, as its device; without a body it returns what is stored."""
    device = f"/crud/test/b{next(_numbers)}"
    apikey = client("POST", device, {"streams": {"s": {}}}).json()["apikey"]

    def send(body: Any = None, content_type: str = "", query: str = "", method: str = "POST", **headers: str) -> Any:
        if body is None:
            found = client("GET", f"{device}/s/data?i1=0", auth=("", apikey)).json()
            return [(p.get("t", 0.0), p.get("d")) for p in found]
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if content_type:
            sent["Content-Type"] = content_type
        return client(method, f"{device}/s/data{query}", body, auth=("", apikey), headers=sent)

    return send


def as_json() -> bytes:
    return json.dumps([{"t": t, "d": d} for t, d in POINTS]).encode()


def stream(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue()


def numbers(n: int = 3) -> pa.Table:
    return pa.table({"t": [1500000000.0 + i for i in range(n)], "d": [float(i) for i in range(n)]})


# ---- what is taken


def test_what_is_read_can_be_inserted(client: Any, data: Any) -> None:
    assert data(as_json()).text == "ok"
    assert data() == POINTS
    device = f"/crud/test/copies{next(_numbers)}"
    streams: dict[str, dict[str, str]] = {name: {} for name in ("json", "ndjson", "csv", "arrow")}
    apikey = client("POST", device, {"streams": {**streams, "source": {}}}).json()["apikey"]
    client("POST", f"{device}/source/data", as_json(), auth=("", apikey))
    for name in streams:
        answer = client("GET", f"{device}/source/data?i1=0&format={name}")
        headers = {"Content-Type": answer.headers["content-type"]}
        inserted = client("POST", f"{device}/{name}/data", answer.body, auth=("", apikey), headers=headers)
        assert inserted.text == "ok"
        copied = client("GET", f"{device}/{name}/data?i1=0").json()
        assert [(p["t"], p.get("d")) for p in copied] == POINTS, name


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "application/json; charset=utf-8", "text/plain", "application/x-www-form-urlencoded", "x"],
)
def test_any_other_content_type_is_json(data: Any, content_type: str) -> None:
    assert data(as_json(), content_type).text == "ok"
    assert data() == POINTS


@pytest.mark.parametrize("coding", ["", "identity", "utf-8", "Identity, UTF-8", ","])
def test_what_is_no_coding_means_nothing(data: Any, coding: str) -> None:
    assert data(as_json(), Content_Encoding=coding).text == "ok"
    assert data() == POINTS


def test_tables_of_other_libraries(data: Any) -> None:
    frame = pl.DataFrame({"t": pl.Series([1, 2], dtype=pl.Datetime("ms", "UTC")), "d": ["a", "b" * 100]})
    sink = io.BytesIO()
    frame.write_ipc_stream(sink)
    assert data(sink.getvalue(), ARROW).text == "ok"
    table = pa.Table.from_pandas(pd.DataFrame({"t": [5.0, 6.0], "d": [True, None], "o": ["me", None]}))
    assert data(stream(table.drop_columns([n for n in table.column_names if n.startswith("__")])), ARROW).text == "ok"
    assert data("d,t\n7,1970-01-01T00:00:10Z\n8,1970-01-01T02:00:11+02:00\n", "Text/CSV; Charset=UTF-8").text == "ok"
    assert data("t,lat,lon\n20,1.5,2\n", CSV).text == "ok"
    assert data(b'{"t":30,"d":1}\n\n{"t":31}', "application/jsonl").text == "ok"
    assert data() == [
        (0.001, "a"),
        (0.002, "b" * 100),
        (5.0, True),
        (6.0, None),
        (10.0, 7),
        (11.0, 8),
        (20.0, {"lat": 1.5, "lon": 2}),
        (30.0, 1),
        (31.0, None),
    ]


def test_the_same_rules_hold(data: Any) -> None:
    assert data("t,d\n20,1\n10,2\n", CSV).json()["error"] == "timestamp_order"
    assert data("t,d\n20,1\n10,2\n", CSV, method="PATCH").text == "ok"
    assert data() == [(10.0, 2), (20.0, 1)]
    assert data("t,d\n5,3\n", CSV, method="PUT").text == "ok"
    assert data()[-1] == (20.0, 3)
    report = data("t,d\n1,9\n30,4\n", CSV, "?verdicts=true").json()
    assert (report["stored"], [refused["position"] for refused in report["refused"]]) == (1, [0])
    assert data("t,d\n-5,1\n", CSV, method="PATCH").json()["error"] == "invalid_value"
    n = len(data())
    for _ in range(2):
        assert data("t,d\n40,1\n", CSV, Idempotency_Key="one").text == "ok"
    assert len(data()) == n + 1
    assert data("t,d\n41,1\n", CSV, Idempotency_Key="one").json()["error"] == "upload_conflict"
    # Compressed or not, it is the same.
    assert data(gzip.compress(b"t,d\n40,1\n"), CSV, Idempotency_Key="one", Content_Encoding="gzip").text == "ok"
    assert len(data()) == n + 1
    assert data("t,d\n", CSV).text == "ok"


@pytest.mark.parametrize(
    ("content_type", "body", "told"),
    [
        (NDJSON, '{"t":1}\n{"t":2,"x":3}\n', "line 2"),
        (NDJSON, '{"t":1}\n[', "line 2"),
        (CSV, "t,d\n1,2\n3\n", "line 3"),
        (CSV, "a,b\n1,2\n", "line 1"),
        (CSV, "", "line 1"),
        (CSV, "t,d\n2026-01-01T00:00:00,5\n", "line 2: the time '2026-01-01T00:00:00' has no time zone"),
        (CSV, b"t,d\n1,\xff\n", "UTF-8"),
        (ARROW, b"no arrow", "Arrow IPC"),
        (ARROW, b"", "Arrow IPC"),
        (ARROW, stream(numbers())[:-40], "not all of it"),
        (ARROW, stream(pa.table({"t": [1.0, None], "d": [1, 2]})), "datapoint 2 has no time"),
        (ARROW, stream(pa.table({"t": [1.0, float("nan")], "d": [1, 2]})), "datapoint 2 has no time"),
        (ARROW, stream(pa.table({"t": pa.array([1], pa.timestamp("s")), "d": [1]})), "time zone"),
        (ARROW, stream(pa.table({"t": [1.0], "d": [1], "o": [5]})), "column 'o'"),
    ],
)
def test_what_is_wrong_is_told(data: Any, content_type: str, body: Any, told: str) -> None:
    answer = data(body, content_type)
    assert (answer.status, answer.json()["error"]) == (400, "invalid")
    assert told in answer.json()["msg"]
    assert data() == []


def test_what_is_not_taken(data: Any) -> None:
    sink = io.BytesIO()
    pq.write_table(numbers(), sink)
    for body, content_type, headers in (
        (sink.getvalue(), FORMATS["parquet"].media_type, {}),
        ("t,d\n", "text/csv; charset=latin-1", {}),
        (as_json(), "", {"Content_Encoding": "br"}),
        (as_json(), "", {"Content_Encoding": "deflate"}),
        (as_json(), "", {"Content_Encoding": "foo"}),
        (gzip.compress(gzip.compress(as_json())), "", {"Content_Encoding": "gzip, gzip"}),
        (gzip.compress(as_json()), "", {"Content_Encoding": "identity, foo, gzip"}),
    ):
        answer = data(body, content_type, **headers)
        assert (answer.status, answer.json()["error"]) == (415, "invalid")


# ---- bounds


@pytest.mark.parametrize("n", [1, 100_000])
def test_arrow_that_stands_for_much_more_is_refused(data: Any, n: int) -> None:
    long = "x" * 100_000
    nested = pa.table({"t": [1.0] * n, "d": pa.array([[1]] * n)})
    categories = pa.table({"t": [1.0] * n, "d": pa.DictionaryArray.from_arrays([0] * n, [long])})
    shared = struct.pack("<i4sii", len(long), b"xxxx", 0, 0) * n
    views = pa.Array.from_buffers(pa.string_view(), n, [None, pa.py_buffer(shared), pa.py_buffer(long.encode())])
    for table, options, told in (
        (numbers(n), {"compression": "zstd"}, "compressed inside"),
        (categories, {}, "dictionary"),
        (nested, {}, "list"),
        *([(pa.table({"t": [1.0] * n, "d": views}), {}, "texts of")] if n > 1 else []),
    ):
        answer = data(stream(table, **options), ARROW)
        assert answer.status == 400, told
        assert told in answer.json()["msg"]


def test_broken_arrow_harms_nobody(data: Any) -> None:
    table = pa.table({"t": [float(i) for i in range(50)], "d": [str(i) for i in range(50)]})
    good = stream(table)
    for at in range(0, len(good), 3):
        broken = bytearray(good)
        broken[at] ^= 0xFF
        assert data(bytes(broken), ARROW, method="PATCH").status in (200, 400, 403)


def test_inserts_are_bounded(make_live: Any) -> None:
    live = make_live(**{"server.body_bytes_max": 100_000, "limits.insert_points_max": 1000})
    client = live.client()
    apikey = client("POST", "/crud/test/d", {"streams": {"s": {}}}).json()["apikey"]

    def send(body: bytes, content_type: str, **headers: str) -> tuple[int, str]:
        sent = {"Content-Type": content_type, **{name.replace("_", "-"): value for name, value in headers.items()}}
        answer = client("POST", "/crud/test/d/s/data", body, auth=("", apikey), headers=sent)
        return answer.status, "" if answer.status == 200 else answer.json()["msg"]

    rows = b"t,d\n" + b"1,2\n" * 1000
    assert send(rows, CSV)[0] == 200
    assert send(rows + b"1,2\n", CSV) == (413, "more than 1000 datapoints at once are too many")
    # In JSON each row names its columns.
    wide = b"t," + b"x" * 90_000 + b",y\n" + b"1,2,3\n" * 900
    status, msg = send(wide, CSV)
    assert (status, "as JSON" in msg) == (413, True)
    blank = b" " * 10**8 + b"[]"
    for coding, body in (
        ("gzip", gzip.compress(blank)),
        ("zstd", zstandard.compress(blank)),
        ("gzip", gzip.compress(blank[:50_000]) * 3),
        ("zstd", zstandard.compress(blank[:50_000]) * 3),
    ):
        status, msg = send(body, "application/json", Content_Encoding=coding)
        assert (status, "without its compression" in msg) == (413, True)
    assert send(b"x" * 100_001, CSV)[0] == 413


# ---- compression


@pytest.mark.parametrize("content_type", ["", NDJSON, CSV, ARROW])
@pytest.mark.parametrize(("coding", "compress"), [("GZIP", gzip.compress), ("zstd", zstandard.compress)])
def test_compressed_bodies(data: Any, content_type: str, coding: str, compress: Any) -> None:
    body = {
        "": b'[{"t":1500000000,"d":0},{"t":1500000001,"d":1.0}]',
        NDJSON: b'{"t":1500000000,"d":0}\n{"t":1500000001,"d":1.0}',
        CSV: b"t,d\n1500000000,0\n1500000001,1.0",
        ARROW: stream(numbers(2)),
    }[content_type]
    assert data(compress(body), content_type, Content_Encoding=coding).text == "ok"
    assert data() == [(1500000000.0, 0), (1500000001.0, 1)]


@pytest.mark.parametrize(("coding", "compress"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
def test_a_compressed_body_may_have_several_parts(data: Any, coding: str, compress: Any) -> None:
    text = as_json()
    parts = [compress(text[:10]), compress(b""), compress(text[10:])]
    if coding == "zstd":
        parts.insert(1, b"\x50\x2a\x4d\x18\x03\x00\x00\x00any")  # a frame that is to be skipped
    assert data(b"".join(parts), Content_Encoding=coding).text == "ok"
    assert data() == POINTS


def wide() -> bytes:
    """What takes 16 MiB of memory to decompress."""
    settings = zstandard.ZstdCompressionParameters(window_log=24)
    packer = zstandard.ZstdCompressor(compression_params=settings).compressobj()
    return packer.compress(as_json()) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "body", "told"),
    [
        ("gzip", as_json(), "not gzip"),
        ("gzip", zlib.compress(as_json()), "not gzip"),
        ("gzip", gzip.compress(as_json())[:-9], "end is missing"),
        ("gzip", gzip.compress(as_json()) * 2, "JSON"),
        ("gzip", gzip.compress(as_json()) + b"more", "not gzip"),
        ("gzip", gzip.compress(b"nothing"), "JSON"),
        ("gzip", gzip.compress(b"") * 1001, "more than 1000 parts"),
        ("gzip", b"", "end is missing"),
        ("zstd", as_json(), "not zstd"),
        ("zstd", gzip.compress(as_json()), "not zstd"),
        ("zstd", zstandard.compress(as_json())[:-1], "end is missing"),
        ("zstd", zstandard.compress(as_json()) + b"more", "not zstd"),
        ("zstd", zstandard.compress(b"nothing"), "JSON"),
        ("zstd", zstandard.compress(b"") * 1001, "more than 1000 parts"),
        ("zstd", wide(), "without --long and --ultra"),
        ("zstd", b"", "end is missing"),
    ],
)
def test_what_is_wrong_with_compressed_bodies(data: Any, coding: str, body: bytes, told: str) -> None:
    answer = data(body, Content_Encoding=coding)
    assert answer.status == 400
    assert told in answer.json()["msg"]


@pytest.mark.parametrize("coding", ["gzip, identity", "identity,x-gzip"])
def test_one_coding_among_names_that_are_none(data: Any, coding: str) -> None:
    assert data(gzip.compress(as_json()), Content_Encoding=coding).text == "ok"
    assert data() == POINTS


def test_only_datapoints_may_be_compressed(client: Any) -> None:
    path = f"/crud/test/user/b{next(_numbers)}"
    for body, headers, status in (
        (gzip.compress(b"{}"), {"Content-Encoding": "gzip"}, 415),
        (b"{}", {"Content-Encoding": "foo"}, 415),
        (b"{}", {"Content-Encoding": "identity"}, 200),
    ):
        assert client("POST", path, body, headers=headers).status == status
    client("POST", f"{path}/data", [{"t": 1, "d": 1}])
    body = json.dumps({"d": 2}).encode()
    answer = client("PUT", f"{path}/datapoint?i=0", gzip.compress(body), headers={"Content-Encoding": "gzip"})
    assert (answer.status, "send this body as it is" in answer.json()["msg"]) == (415, True)


def test_a_byte_order_mark_is_skipped(client: Any, data: Any) -> None:
    assert data(b"\xef\xbb\xbf" + as_json()).text == "ok"
    assert data() == POINTS
    path = f"/crud/test/user/b{next(_numbers)}"
    assert client("POST", path, b"\xef\xbb\xbf{}").status == 200
    client("POST", f"{path}/data", [{"t": 1, "d": 1}])
    assert client("PUT", f"{path}/datapoint?i=0", b"\xef\xbb\xbf" + b'{"d": 2}').json()["n"] == 1
