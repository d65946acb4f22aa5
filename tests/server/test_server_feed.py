"""The Atom feed of a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

import pytest

ATOM = "{http://www.w3.org/2005/Atom}"
FEED = "/feed/test/user/fed"
PATH = "/crud/test/user/fed"


@pytest.fixture
def fed(client: Any) -> Iterator[Any]:
    assert client("POST", PATH, {}).status == 200
    yield client
    client("DELETE", PATH)


def read(client: Any, target: str = FEED, **headers: str) -> ElementTree.Element:
    answer = client("GET", target, headers=headers)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/xml; charset=utf-8"
    return ElementTree.fromstring(answer.body)


def test_entries_have_all_that_atom_needs(fed: Any) -> None:
    fed("POST", PATH + "/data", [{"t": 1.5, "d": {"a": "<&>\"'"}}, {"t": 253402300799.9999, "d": None}])
    feed = read(fed, FEED + ".atom", Host="data.example:8000")
    assert feed.tag == ATOM + "feed"
    assert feed.findtext(ATOM + "title") == "test/user/fed"
    assert feed.findtext(ATOM + "id") == "http://data.example:8000/api/v1/feed/test/user/fed.atom"
    entries = feed.findall(ATOM + "entry")
    for element in (feed, *entries):
        for name in ("id", "title", "updated", "author"):
            assert len(element.findall(ATOM + name)) == 1
        assert datetime.fromisoformat(element.findtext(ATOM + "updated") or "").tzinfo is not None
    assert [json.loads(entry.findtext(ATOM + "content") or "") for entry in entries] == [{"a": "<&>\"'"}, None]
    assert entries[0].findtext(ATOM + "updated") == "1970-01-01T00:00:01.500+00:00"
    assert (entries[1].findtext(ATOM + "updated") or "").startswith("9999-12-31T23:59:59.99")
    assert entries[0].findtext(f"{ATOM}author/{ATOM}name") == "test/user"
    assert ElementTree.tostring(feed) == ElementTree.tostring(read(fed, FEED, Host="data.example:8000"))


def test_characters_that_xml_cannot_hold_are_left_out(fed: Any) -> None:
    text = "".join(map(chr, range(0x20))) + "\x7f\ufffe\uffff\u2028😀]]>"
    assert fed("POST", PATH + "/data", [{"t": 1, "d": text}]).status == 200
    content = read(fed).findtext(f"{ATOM}entry/{ATOM}content") or ""
    assert "😀]]>" in content and "\\u0001" in content and "\ufffe" not in content


def test_last_500_oldest_first(fed: Any) -> None:
    fed("POST", PATH + "/data", [{"t": i, "d": i} for i in range(1, 601)])
    entries = read(fed).findall(ATOM + "entry")
    assert [int(entry.findtext(ATOM + "content") or "") for entry in entries] == list(range(101, 601))
    assert entries[0].findtext(ATOM + "title") == "Datapoint 101"
    link = entries[0].find(ATOM + "link")
    assert link is not None
    target = link.get("href", "").split("/api/v1")[1]
    assert fed("GET", target).json() == [{"t": 101, "d": 101}]


def test_feed_of_an_empty_stream_is_valid(fed: Any) -> None:
    feed = read(fed)
    assert feed.findall(ATOM + "entry") == []
    assert datetime.fromisoformat(feed.findtext(ATOM + "updated") or "").astimezone(UTC).year >= 2024


def test_hostile_host_header_stays_text(fed: Any) -> None:
    feed = read(fed, FEED, Host='"><x y="')
    assert [child.tag for child in feed] == [ATOM + name for name in ("title", "id", "link", "updated", "author")]


def test_feed_that_may_not_be_read(fed: Any) -> None:
    assert fed("GET", FEED, auth=None).status == 403
    assert fed("GET", "/feed/test/user/nosuch.atom").status == 403
