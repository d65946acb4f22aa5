"""``points=`` and ``every=`` on ranges, over a real server."""

from __future__ import annotations

import csv
import io
import json
from itertools import count
from typing import Any

import polars as pl
import pytest

POINTS = [(1500000000.5 + i, (i * 37) % 1000 / 4) for i in range(20_000)]
WORDS = [(1500000000.0 + i, f"room {i // 500}") for i in range(5000)]
_numbers = count(1)


@pytest.fixture
def device(client: Any) -> str:
    """A device with the streams numbers, words and empty."""
    path = f"test/r{next(_numbers)}"
    streams = {"numbers": POINTS, "words": WORDS, "empty": []}
    apikey = client("POST", f"/crud/{path}", {"streams": {name: {} for name in streams}}).json()["apikey"]
    for name, points in streams.items():
        body = [{"t": t, "d": d} for t, d in points]
        assert client("POST", f"/crud/{path}/{name}/data", body, auth=("", apikey)).text == "ok"
    return path


def told(answer: Any) -> list[tuple[float, Any]]:
    assert answer.status == 200, answer.text
    return [(p["t"], p["d"]) for p in answer.json()]


@pytest.mark.parametrize(
    ("range_", "part"),
    [
        ("i1=0", slice(None)),
        ("i1=-5000", slice(-5000, None)),
        ("i1=100&i2=7000", slice(100, 7000)),
        ("t1=1500001000.5&t2=1500009000.5", slice(1001, 9001)),
        ("t1=0&limit=6000", slice(0, 6000)),
    ],
)
def test_ranges_are_thinned(client: Any, device: str, range_: str, part: slice) -> None:
    points = POINTS[part]
    found = told(client("GET", f"/crud/{device}/numbers/data?{range_}&points=200"))
    assert 190 <= len(found) <= 200
    assert set(found) <= set(points)
    assert (found[0], found[-1]) == (points[0], points[-1])
    assert {max(d for _, d in points), min(d for _, d in points)} <= {d for _, d in found}
    assert told(client("GET", f"/crud/{device}/numbers/data?{range_}&points=50000")) == points
    hours = told(client("GET", f"/crud/{device}/numbers/data?{range_}&every=1h&stat=count,max"))
    assert sum(d["count"] for _, d in hours) == len(points)
    assert max(d["max"] for _, d in hours) == max(d for _, d in points)
    assert [t for t, _ in hours] == sorted({t // 3600 * 3600 for t, _ in points})


def test_it_comes_after_the_transform(client: Any, device: str) -> None:
    transform = "transform=if%20%24%20%3E%20100%20%7C%20%24%20*%202"
    expected = [(t, d * 2) for t, d in POINTS if d > 100]
    found = told(client("GET", f"/crud/{device}/numbers/data?i1=0&{transform}&points=100"))
    assert 90 <= len(found) <= 100
    assert set(found) <= set(expected)
    found = told(client("GET", f"/crud/{device}/numbers/data?t1=0&limit=1000&{transform}&every=1d&stat=count,first"))
    assert [d for _, d in found] == [{"count": 1000, "first": expected[0][1]}]


@pytest.mark.parametrize("form", ["json", "ndjson", "csv", "arrow", "parquet"])
def test_every_format(client: Any, device: str, form: str) -> None:
    range_ = f"/crud/{device}/numbers/data?i1=0&format={form}"
    thinned = client("GET", f"{range_}&points=50").body
    windows = client("GET", f"{range_}&every=2h&stat=mean,count").body
    if form in ("arrow", "parquet"):
        read = pl.read_ipc_stream if form == "arrow" else pl.read_parquet
        assert 45 <= len(read(thinned)) <= 50
        table = read(windows)
        assert table.columns == ["t", "mean", "count"]
        assert table["count"].sum() == len(POINTS)
    elif form == "csv":
        assert 45 <= len(thinned.splitlines()) - 1 <= 50
        header, *rows = csv.reader(io.StringIO(windows.decode(), newline=""))
        assert header == ["t", "mean", "count"]
        assert sum(int(row[2]) for row in rows) == len(POINTS)
    else:
        rows = [json.loads(line) for line in windows.splitlines()] if form == "ndjson" else json.loads(windows)
        assert sum(row["d"]["count"] for row in rows) == len(POINTS)


def test_words(client: Any, device: str) -> None:
    found = told(client("GET", f"/crud/{device}/words/data?i1=0&points=20"))
    assert found == [*WORDS[::500], WORDS[-1]]
    found = told(client("GET", f"/crud/{device}/words/data?i1=0&every=1d&stat=count,last"))
    assert found == [(1499990400.0, {"count": 5000, "last": "room 9"})]
    refused = client("GET", f"/crud/{device}/words/data?i1=0&every=1d")
    assert (refused.status, refused.json()["error"]) == (400, "invalid")
    assert "count, first, last" in refused.json()["msg"]
    assert told(client("GET", f"/crud/{device}/empty/data?i1=0&points=20")) == []
    assert told(client("GET", f"/crud/{device}/empty/data?i1=0&every=1d")) == []


def test_zones(client: Any, device: str) -> None:
    found = told(client("GET", f"/crud/{device}/numbers/data?i1=0&every=1d&zone=Asia/Kolkata"))
    assert [t for t, _ in found] == [1499970600.0]
    assert list(found[0][1]) == ["mean", "min", "max"]


@pytest.mark.parametrize(
    "asked",
    [
        "points=4",
        "points=100001",
        "points=many",
        "points=",
        "points=100&every=1h",
        "every=",
        "every=7h",
        "every=99999999999s",
        "every=1h&stat=median",
        "every=1h&stat=",
        "every=1h&stat=mean,mean",
        "every=1h&zone=Nowhere",
        "every=1h&zone=",
        "stat=mean",
        "zone=UTC",
        "Points=100",
    ],
)
def test_what_makes_no_sense_is_refused(client: Any, device: str, asked: str) -> None:
    answer = client("GET", f"/crud/{device}/numbers/data?i1=0&{asked}")
    assert answer.status == 400
    for q in ("q=length", "q=time2index&t=1"):
        assert client("GET", f"/crud/{device}/numbers/data?{q}&{asked}").status == 400


def test_it_is_for_those_who_may_read(client: Any, device: str) -> None:
    for asked in ("points=100", "every=1h"):
        whole = client("GET", f"/crud/{device}/numbers/data?i1=0", auth=None)
        answer = client("GET", f"/crud/{device}/numbers/data?i1=0&{asked}", auth=None)
        assert (answer.status, answer.json()["error"]) == (whole.status, whole.json()["error"])
        assert answer.status in (403, 404)
        assert client("GET", f"/crud/{device}/numbers/data?{asked}").json()["error"] == "invalid_range"


def test_it_ends_after_the_time_of_a_query(make_live: Any) -> None:
    live = make_live(**{"limits.query_s": 1e-9})
    client = live.client()
    apikey = client("POST", "/crud/test/d", {"streams": {"s": {}}}).json()["apikey"]
    assert client("PATCH", "/crud/test/d/s/data", [{"t": 1, "d": 1}], auth=("", apikey)).text == "ok"
    answer = client("GET", "/crud/test/d/s/data?i1=0&points=10")
    assert answer.status == 403, answer.text
    assert answer.json()["error"] == "limit_reached"
