"""Server-sent events out of bytes, in pieces of any length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectordb.client._sse import Event, EventParser

CASES: list[tuple[str, bytes, list[tuple[str, str, str | None]]]] = [
    ("one", b"id: 1\ndata: [1]\n\n", [("message", "[1]", "1")]),
    ("kind", b"event: lag\ndata: {}\n\n", [("lag", "{}", None)]),
    ("several lines of data", b"data: a\ndata: b\ndata\n\n", [("message", "a\nb\n", None)]),
    ("no blank after the colon", b"data:a\nid:7\n\n", [("message", "a", "7")]),
    ("only the first blank is left out", b"data:  a\n\n", [("message", " a", None)]),
    ("comments", b":\n\n: hello\ndata: a\n:x\n\n:\n\n", [("message", "a", None)]),
    ("carriage returns", b"data: a\r\rdata: b\r\r", [("message", "a", None), ("message", "b", None)]),
    ("both", b"id: 1\r\ndata: a\r\n\r\nevent: e\r\ndata: b\r\n\r\n", [("message", "a", "1"), ("e", "b", "1")]),
    ("byte order mark", b"\xef\xbb\xbfdata: a\n\n", [("message", "a", None)]),
    ("an id stays", b"id: 1\n\ndata: a\n\n", [("message", "a", "1")]),
    ("an id with a zero is none", b"id: 1\nid: \0\ndata: a\n\n", [("message", "a", "1")]),
    ("an event without data is none", b"event: x\n\ndata: a\n\n", [("message", "a", None)]),
    ("retry and unknown fields", b"retry: 5\nfoo: bar\ndata: a\n\n", [("message", "a", None)]),
    ("unicode", "data: ä€😀\n\n".encode(), [("message", "ä€😀", None)]),
    ("not finished", b"data: a\n\ndata: b\n", [("message", "a", None)]),
    ("nothing", b"", []),
]


@pytest.mark.parametrize(("what", "stream", "events"), CASES, ids=[c[0] for c in CASES])
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_events(what: str, stream: bytes, events: list[tuple[str, str, str | None]], size: int) -> None:
    parser = EventParser()
    found = [event for i in range(0, len(stream), size) for event in parser.feed(stream[i : i + size])]
    assert found == [Event(*event) for event in events]


@given(
    st.lists(st.sampled_from([b"data: a", b"\r", b"\n", b"\r\n", b"id: 1", b":", b"\xef\xbb\xbf", b"event: e"])),
    st.data(),
)
def test_any_pieces_give_the_same(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    whole = EventParser().feed(stream)
    parser = EventParser()
    found = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += parser.feed(stream[:size])
        stream = stream[size:]
    assert found == whole


def test_a_long_line_in_many_pieces_takes_no_long_time() -> None:
    parser = EventParser()
    parser.feed(b"data: ")
    for _ in range(20_000):
        parser.feed(b"x" * 1000)
    ((_, data, _),) = parser.feed(b"\n\n")
    assert len(data) == 20_000_000
