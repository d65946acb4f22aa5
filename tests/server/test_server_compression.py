"""Answers compressed with gzip or zstd."""

from __future__ import annotations

import gzip
import json
import socket
from typing import Any

import pytest
import zstandard

from connectordb.server.codings import accepted_coding

from .conftest import basic, receive_all

N = 30_000
AWAY = {"X-Forwarded-For": "192.0.2.1"}
"""What a proxy says of a client that is not on this machine."""


def unpacked(answer: Any) -> bytes:
    if answer.headers["content-encoding"] == "gzip":
        return gzip.decompress(answer.body)
    return zstandard.ZstdDecompressor().decompressobj().decompress(answer.body)


@pytest.fixture(scope="module")
def target(live: Any) -> str:
    client = live.client()
    apikey = client("POST", "/crud/test/z", {"streams": {"s": {}}}).json()["apikey"]
    points = [{"t": 1500000000.5 + i, "d": i % 100 / 4} for i in range(N)]
    assert client("POST", "/crud/test/z/s/data", points, auth=("", apikey)).text == "ok"
    return "/crud/test/z/s/data"


@pytest.mark.parametrize("form", ["json", "ndjson", "csv", "arrow"])
@pytest.mark.parametrize("n", [1000, N])
@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_long_answers_are_compressed_for_those_who_ask(
    client: Any, target: str, form: str, n: int, coding: str
) -> None:
    range_ = f"{target}?i1=0&i2={n}&format={form}"
    plain = client("GET", range_, headers=AWAY)
    packed = client("GET", range_, headers={**AWAY, "Accept-Encoding": f"br;q=1.0, {coding};q=0.8, *;q=0.1"})
    assert packed.headers["content-encoding"] == coding
    assert packed.headers["content-type"] == plain.headers["content-type"]
    assert "content-length" not in packed.headers
    assert unpacked(packed) == plain.body
    assert len(packed.body) < len(plain.body) / 2
    for answer in (plain, packed):
        assert answer.headers["vary"] == "Accept, Accept-Encoding"
    assert "content-encoding" not in plain.headers
    assert client("HEAD", range_, headers={**AWAY, "Accept-Encoding": coding}).headers["content-encoding"] == coding


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("GZIP;Q=0.5, ZSTD;q=0.4", "gzip"),
        ("gzip;q=0.5, zstd ; q=0.6", "zstd"),
        ("*", "gzip"),  # zstd is for those who name it
        ("zstd;q=0, *", "gzip"),
        ("gzip;q=0, *", None),
        ("gzip;q=0, zstd;q=x", None),
        ("zstd;q=0.5, identity", None),
        ("zstd;q=0.5, identity;q=0.5", "zstd"),
        ("gzip;q=7", "gzip"),
        ("identity;q=0", None),
        (",;q=1,,", None),
        ("", None),
    ],
)
def test_the_best_coding_is_taken(header: str, coding: str | None) -> None:
    assert accepted_coding(header.encode()) == coding


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_queries_are_compressed(client: Any, target: str, coding: str) -> None:
    headers = {**AWAY, "Accept-Encoding": coding}
    for kind, body in (
        ("merge", [{"stream": "test/z/s"}]),
        ("dataset", {"stream": "test/z/s", "dataset": {"y": {"stream": "test/z/s"}}}),
    ):
        packed = client("POST", f"/query/{kind}", body, headers=headers)
        assert packed.headers["content-encoding"] == coding
        assert len(json.loads(unpacked(packed))) == N


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("?i1=0", {"Accept-Encoding": "gzip, zstd"}),  # from this machine
        ("?i1=0", AWAY),
        *[
            ("?i1=0", {**AWAY, "Accept-Encoding": no})
            for no in ("", "br", "gzip;q=0, *", "identity", "*;q=0", "gzip;q=x")
        ],
        ("?i1=-10", {**AWAY, "Accept-Encoding": "gzip, zstd"}),
        ("?i1=0&format=parquet", {**AWAY, "Accept-Encoding": "gzip, zstd"}),
    ],
)
def test_what_goes_as_it_is(client: Any, target: str, query: str, headers: dict[str, str]) -> None:
    answer = client("GET", target + query, headers=headers)
    assert answer.status == 200
    assert "content-encoding" not in answer.headers
    assert answer.headers["vary"] == "Accept, Accept-Encoding"


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_an_answer_that_breaks_off_has_no_end(live: Any, target: str, coding: str) -> None:
    transform = "if%20$%20%3E=%200%20%7C%20count%20%7C%20$%20/%20($%20!=%2025000)"
    request = (
        f"GET /api/v1{target}?i1=0&transform={transform} HTTP/1.1\r\n"
        f"Host: x\r\nAuthorization: {basic('test', 'test')}\r\nAccept-Encoding: {coding}\r\n"
        "X-Forwarded-For: 192.0.2.1\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", live.port), timeout=30) as s:
        s.sendall(request.encode())
        answer = receive_all(s)
    assert answer.startswith(b"HTTP/1.1 200"), answer[:300]
    assert f"content-encoding: {coding}".encode() in answer
    assert not answer.endswith(b"0\r\n\r\n")
