"""Late inserts that leave out what is stored already."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

_names = count()


@pytest.fixture
def data(client: Any) -> Iterator[str]:
    """The target for the data of a fresh number stream."""
    path = f"/crud/test/user/skipping{next(_names)}"
    assert client("POST", path, {"schema": '{"type":"number"}'}).status == 200
    yield path + "/data"
    client("DELETE", path)


def points(*pairs: tuple[float, Any]) -> list[dict[str, Any]]:
    return [{"t": t, "d": d} for t, d in pairs]


def stored(client: Any, data: str) -> list[tuple[float, Any]]:
    return [(p["t"], p.get("d")) for p in client("GET", data + "?i1=0").json()]


def test_what_is_stored_is_skipped_if_asked_for(client: Any, data: str) -> None:
    some = points((1, 1), (2, 2.5), (2, 2.5), (3, 3))
    report = client("PATCH", data + "?duplicates=skip&verdicts=true", some).json()
    assert report == {"stored": 4, "refused": [], "repeated": False}
    report = client("PATCH", data + "?duplicates=skip&verdicts=true", some + points((1, 1.5), (9, 9))).json()
    assert report == {"stored": 2, "refused": [], "repeated": False, "skipped": 4}
    assert client("PATCH", data + "?duplicates=skip", some).text == "ok"
    assert stored(client, data) == [(1, 1), (1, 1.5), (2, 2.5), (2, 2.5), (3, 3), (9, 9)]
    for query in ("", "?duplicates=keep"):
        assert client("PATCH", data + query, points((9, 9))).text == "ok"
    assert len(stored(client, data)) == 8


def test_verdicts_count_each_datapoint_once(client: Any, data: str) -> None:
    client("PATCH", data, points((1, 1), (2, 2)))
    report = client("PATCH", data + "?duplicates=skip&verdicts=true", points((2, 2), (3, "x"), (4, 4), (1, 1))).json()
    assert (report["stored"], report["skipped"], [r["position"] for r in report["refused"]]) == (1, 2, [1])


@pytest.mark.parametrize("first", [points((1, 1)), points((1, 1), (5, 5))])
def test_a_repetition_gets_the_same_answer(client: Any, data: str, first: list[Any]) -> None:
    """Also one of which nothing was stored, as all was there."""
    client("POST", data, points((1, 1)))
    numbered = data + "?duplicates=skip&verdicts=true&source=logger&first=1&last=2"
    report = client("PATCH", numbered, first).json()
    assert report["skipped"] == 1
    assert client("PATCH", numbered, first).json() == {**report, "repeated": True}
    assert client("PATCH", numbered, points((7, 7))).status == 409
    keyed: Callable[..., Any] = lambda body: client(  # noqa: E731
        "PATCH", data + "?duplicates=skip&verdicts=true", body, headers={"Idempotency-Key": "key"}
    )
    report = keyed(points((1, 1), (8, 8))).json()
    assert keyed(points((1, 1), (8, 8))).json() == {**report, "repeated": True}
    assert keyed(points((9, 9))).status == 409


def test_it_is_for_what_comes_late(client: Any, data: str) -> None:
    for method in ("POST", "PUT"):
        answer = client(method, data + "?duplicates=skip", points((1, 1)))
        assert (answer.status, answer.json()["error"]) == (400, "invalid")
    answer = client("PATCH", data + "?duplicates=drop", points((1, 1)))
    assert (answer.status, answer.json()["msg"]) == (400, "duplicates has to be keep or skip; it is 'drop'")


def test_a_device_may_be_asked_again(client: Any, data: str) -> None:
    path = data.removesuffix("/data")
    assert client("PUT", path, {"downlink": True}).status == 200
    answer = client("PATCH", data + "?downlink=true&duplicates=skip", points((1, 1)))
    assert answer.status == 400
    assert "asked" in answer.json()["msg"]


def test_what_is_not_stored_at_all_is_no_duplicate(client: Any, data: str) -> None:
    client("PUT", data.removesuffix("/data"), {"ephemeral": True})
    for _ in range(2):
        report = client("PATCH", data + "?duplicates=skip&verdicts=true", points((1, 1))).json()
        assert report == {"stored": 1, "refused": [], "repeated": False}


def test_subscribers_get_what_is_new(live: Any, client: Any, data: str) -> None:
    client("POST", data, points((1, 1), (2, 2)))
    path = data.removeprefix("/crud/").removesuffix("/data")
    follower = live.client()
    follower._connection.request("GET", f"/api/v1/live/{path}?i1=2", headers={"Authorization": "Basic dGVzdDp0ZXN0"})
    events = follower._connection.getresponse()
    client("PATCH", data + "?duplicates=skip", points((1, 1), (1.5, 9), (2, 2)))
    while not (line := events.readline()).startswith(b"data: ["):
        assert line
    assert json.loads(line.removeprefix(b"data: ")) == points((1.5, 9))
