"""Corrections over HTTP."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from http.client import HTTPConnection
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

_names = count()


class Weight:
    """A stream of numbers, t = 10, 20, ... and d = 1, 2, ..., and the connection of its user."""

    def __init__(self, live: Any, points: int = 5, **given: Any) -> None:
        self.live = live
        self.client = live.client()
        self.path = f"test/user/weight{next(_names)}"
        self.url = f"/crud/{self.path}"
        assert self.client("POST", self.url, {"schema": '{"type": "number"}', **given}).status == 200
        if points:
            body = [{"t": 10.0 * d, "d": d} for d in range(1, points + 1)]
            assert self.client("POST", f"{self.url}/data", body).status == 200

    def __call__(self, method: str, what: str, body: Any = None, *, status: int = 200, **kw: Any) -> Any:
        answer = self.client(method, f"{self.url}/{what}", body, **kw)
        assert answer.status == status, answer.text
        return answer.json()

    @property
    def values(self) -> list[Any]:
        return [point.get("d") for point in self("GET", "data?i1=0")]


@pytest.fixture
def weight(live: Any) -> Weight:
    return Weight(live)


def test_delete_and_undo(weight: Weight) -> None:
    done = weight("DELETE", "data?t1=10&t2=30&why=the%20cat")
    number, at = done.pop("id"), done.pop("at")
    assert number > 0 and at > 1.7e9
    assert done == {
        "kind": "deleted", "by": "test/user", "why": "the cat", "i": 1, "n": 2, "t1": 20.0, "t2": 30.0, "kept": True,
    }  # fmt: skip
    assert weight.values == [1, 4, 5]
    assert weight("GET", f"history/{number}") == [{"t": 20.0, "d": 2}, {"t": 30.0, "d": 3}]
    undone = weight("POST", f"undo?correction={number}&why=it%20was%20right")
    assert (undone["kind"], undone["undoes"], undone["why"]) == ("undone", number, "it was right")
    assert weight.values == [1, 2, 3, 4, 5]
    assert [(one["id"], one.get("undone")) for one in weight("GET", "history")] == [
        (undone["id"], None),
        (number, undone["id"]),
    ]
    assert weight("POST", f"undo?correction={number}", status=409)["error"] == "conflict"


def test_update(weight: Weight) -> None:
    done = weight("PUT", "datapoint?i=-1", {"d": 99.5, "why": "typo"})
    assert (done["kind"], done["i"], done["n"], done["why"]) == ("updated", 4, 1, "typo")
    assert weight.values == [1, 2, 3, 4, 99.5]
    assert weight("GET", f"history/{done['id']}") == [{"t": 50.0, "d": 5}]
    assert weight("PUT", "datapoint?i=0", {"d": 0, "t": 11}, status=409)["details"] == {"t": 10.0}
    assert weight("PUT", "datapoint?i=0", {"d": "x"}, status=403)["error"] == "schema_mismatch"
    assert weight("PUT", "datapoint?i=9", {"d": 1}, status=403)["error"] == "invalid_range"
    assert weight.values == [1, 2, 3, 4, 99.5]


def test_nothing_is_done_to_another_datapoint_than_the_one_that_is_meant(weight: Weight) -> None:
    assert weight("DELETE", "data?i1=1&i2=2&t=21", status=409)["details"] == {"t": 20.0}
    for was in ("3", "null", "%222%22", "%5B2%5D"):
        assert weight("DELETE", f"data?i1=1&i2=2&t=20&was={was}", status=409)["error"] == "conflict"
    assert weight("PUT", "datapoint?i=1", {"d": 0, "t": 20, "was": None}, status=409)["error"] == "conflict"
    assert weight("GET", "history") == []
    headers = {"Idempotency-Key": "once"}
    done = weight("DELETE", "data?i1=1&i2=2&t=20&was=2.0", headers=headers)
    assert weight("DELETE", "data?i1=1&i2=2&t=20&was=2.0", headers=headers) == done
    assert weight.values == [1, 3, 4, 5]
    weight("PUT", "datapoint?i=1", {"d": 0, "t": 30, "was": 3})
    assert weight.values == [1, 0, 4, 5]


def test_an_empty_range_is_an_answer_without_an_entry(weight: Weight) -> None:
    done = weight("DELETE", "data?t1=21&t2=29&why=x")
    done.pop("at")
    assert done == {"kind": "deleted", "by": "test/user", "why": "x", "i": 0}
    assert weight("GET", "history") == []


@pytest.mark.parametrize(
    "query",
    [
        "", "?why=all", "?purge=true", "?i1=2&i2=0", "?t1=5&t2=0", "?i1=1&t2=3", "?t1=1&limit=2", "?i1=x",
        "?i1=1&purge=yes", "?i1=1&t=x", "?i1=1&was=", "?i1=1&was=x", "?i1=0&downlink=true", "?i1=1&why=" + "x" * 1001,
    ],
)  # fmt: skip
def test_no_typing_error_deletes_a_stream(weight: Weight, query: str) -> None:
    answer = weight("DELETE", f"data{query}", status=400)
    assert answer["error"] in ("invalid_range", "invalid")
    assert weight.values == [1, 2, 3, 4, 5]


def test_without_a_bound_it_is_told_how_to_delete_all(weight: Weight) -> None:
    assert "i1=0" in weight("DELETE", "data", status=400)["msg"]
    assert weight("DELETE", "data?i1=0&purge=true")["n"] == 5
    assert weight.values == []
    number = weight("GET", "history")[0]["id"]
    assert weight("GET", f"history/{number}", status=409)["error"] == "conflict"
    assert weight("POST", f"undo?correction={number}", status=409)["error"] == "conflict"


@pytest.mark.parametrize(
    ("method", "what", "body"),
    [
        ("PUT", "datapoint", {"d": 1}),
        ("PUT", "datapoint?i=x", {"d": 1}),
        ("PUT", "datapoint?i=1", {}),
        ("PUT", "datapoint?i=1", {"d": 1, "x": 2}),
        ("PUT", "datapoint?i=1", {"d": 1, "why": "x" * 1001}),
        ("PUT", "datapoint?i=1", "nonsense"),
        ("PUT", "datapoint?i=1", ""),
        ("POST", "undo", None),
        ("POST", "undo?correction=0", None),
        ("POST", "undo?correction=x", None),
        ("POST", "undo?correction=9223372036854775807", None),
        ("GET", "history?limit=0", None),
        ("GET", "history?limit=1001", None),
        ("GET", "history?before=0", None),
        ("GET", "history/x", None),
        ("GET", "history/1?format=xml", None),
        ("GET", "changes?limit=0", None),
        ("GET", "changes?limit=10001", None),
        ("GET", "changes?since=x", None),
    ],
)
def test_what_cannot_be_meant_is_a_400(weight: Weight, method: str, what: str, body: Any) -> None:
    weight(method, what, body, status=400)


@pytest.mark.parametrize(("method", "what"), [("POST", "undo?correction=999999"), ("GET", "history/999999")])
def test_a_correction_that_is_not_there_is_a_404(weight: Weight, method: str, what: str) -> None:
    assert weight(method, what, status=404)["error"] == "not_found"


def test_what_is_not_to_be_seen_is_a_404(live: Any) -> None:
    client = live.client()
    for method, what in (
        ("DELETE", "data?i1=0"), ("PUT", "datapoint?i=0"), ("POST", "undo?correction=1"), ("GET", "history"),
        ("GET", "history/1"), ("GET", "changes"),
    ):  # fmt: skip
        assert client(method, f"/crud/test/user/nosuch/{what}", {"d": 1} if method == "PUT" else None).status == 404


def test_a_key_makes_a_correction_safe_to_repeat(weight: Weight) -> None:
    headers = {"Idempotency-Key": "abc"}
    first = weight("DELETE", "data?i1=0&i2=1", headers=headers)
    assert weight("DELETE", "data?i1=0&i2=1", headers=headers) == first
    assert weight.values == [2, 3, 4, 5]
    other = weight("DELETE", "data?i1=0&i2=2", status=409, headers=headers)
    assert (other["error"], other["msg"]) == (
        "upload_conflict",
        "this Idempotency-Key was used for another request: take a new one",
    )
    assert weight("DELETE", "data?i1=0&i2=1&purge=true", status=409, headers=headers)["error"] == "upload_conflict"
    point = [{"t": 60, "d": 6}]
    assert weight("POST", "data", point, status=409, headers=headers)["error"] == "upload_conflict"
    weight("DELETE", "data?i1=0", status=400, headers={"Idempotency-Key": "a b"})
    changed = weight("PUT", "datapoint?i=-1", {"d": 9}, headers={"Idempotency-Key": "u"})
    assert weight("PUT", "datapoint?i=-1", {"d": 9}, headers={"Idempotency-Key": "u"}) == changed
    undone = weight("POST", f"undo?correction={changed['id']}", headers={"Idempotency-Key": "v"})
    assert weight("POST", f"undo?correction={changed['id']}", headers={"Idempotency-Key": "v"}) == undone
    assert weight.values == [2, 3, 4, 5]


def test_the_history_comes_in_pages(weight: Weight) -> None:
    ids = [weight("PUT", f"datapoint?i={i}", {"d": i})["id"] for i in range(5)]
    assert [one["id"] for one in weight("GET", "history?limit=2")] == ids[:2:-1]
    assert [one["id"] for one in weight("GET", f"history?limit=2&before={ids[3]}")] == [ids[2], ids[1]]


def test_what_was_there_comes_in_every_format(weight: Weight) -> None:
    number = weight("DELETE", "data?i1=1&i2=3")["id"]
    answer = weight.client("GET", f"{weight.url}/history/{number}?format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert len(answer.text.splitlines()) == 3
    ndjson = weight.client("GET", f"{weight.url}/history/{number}", headers={"Accept": "application/x-ndjson"})
    assert [json.loads(line) for line in io.StringIO(ndjson.text)] == [{"t": 20.0, "d": 2}, {"t": 30.0, "d": 3}]


def test_much_that_was_there_comes_in_chunks(live: Any) -> None:
    weight = Weight(live, points=0)
    for start in range(0, 20_000, 5000):
        points = [{"t": 1.0 + i, "d": i} for i in range(start, start + 5000)]
        assert weight.client("POST", f"{weight.url}/data", points).status == 200
    done = weight("DELETE", "data?i1=0")
    found = weight("GET", f"history/{done['id']}")
    assert [point["d"] for point in found] == list(range(20_000))


def test_changes_are_an_export_that_goes_on(weight: Weight) -> None:
    page = weight("GET", "changes")
    assert [(c["kind"], c["i"], c["n"]) for c in page["changes"]] == [("inserted", 0, 5)]
    assert page["changes"][0]["data"] == [{"t": 10.0 * d, "d": d} for d in range(1, 6)]
    assert (page["more"], page["changes"][0]["cursor"]) == (False, page["cursor"])
    weight("PUT", "datapoint?i=0", {"d": 9})
    weight("DELETE", "data?i1=1&i2=3")
    assert weight.client("PATCH", f"{weight.url}/data", [{"t": 15, "d": 7}]).status == 200
    first = weight("GET", f"changes?since={page['cursor']}&limit=2")
    assert first["more"] is True
    rest = weight("GET", f"changes?since={first['cursor']}")
    steps = [*first["changes"], *rest["changes"]]
    assert [(c["kind"], c["i"], c["n"], "correction" in c, c.get("data")) for c in steps] == [
        ("updated", 0, 1, True, [{"t": 10.0, "d": 9}]),
        ("deleted", 1, 2, True, None),
        ("inserted", 1, 1, False, [{"t": 15.0, "d": 7}]),
    ]
    assert weight("GET", f"changes?since={rest['cursor']}") == {"changes": [], "cursor": rest["cursor"], "more": False}


def test_a_cursor_ahead_of_the_stream_is_a_409(weight: Weight) -> None:
    stream_id = weight("GET", "changes")["cursor"].partition(".")[0]
    assert "backup" in weight("GET", f"changes?since={stream_id}.99", status=409)["msg"]


def test_an_ephemeral_stream_has_no_changes(live: Any) -> None:
    weight = Weight(live, points=0, ephemeral=True)
    assert "ephemeral" in weight("GET", "changes", status=403)["msg"]


def test_the_file_of_permissions_may_make_a_role_append_only(make_live: Callable[..., Any]) -> None:
    def prepare(path: Path) -> None:
        matrix = json.loads(files("connectordb.core").joinpath("permissions.json").read_bytes())
        matrix["device_roles"]["sensor"] = {**matrix["device_roles"]["none"], "append_only": True}
        (path / "permissions.json").write_text(json.dumps(matrix))

    live = make_live(prepare)
    client = live.client()
    made = {"apikey": "sensor-key", "role": "sensor", "streams": {"s": {}}}
    assert client("POST", "/crud/test/sensor", made).status == 200
    sensor = live.client(("", "sensor-key"))
    assert sensor("POST", "/crud/test/sensor/s/data", [{"t": 1, "d": 1}]).status == 200
    answer = sensor("DELETE", "/crud/test/sensor/s/data?i1=0")
    assert (answer.status, answer.json()["error"]) == (403, "forbidden")
    assert "append" in answer.json()["msg"]
    assert client("DELETE", "/crud/test/sensor/s/data?i1=0").json()["n"] == 1


# Those who follow


def test_a_subscriber_is_told_and_one_of_the_old_kind_is_not(weight: Weight) -> None:
    url = f"ws://:@127.0.0.1:{weight.live.port}/api/v1/websocket"
    with (
        connect(url.replace(":@", "test:test@"), ping_interval=None) as new,
        connect(url.replace(":@", "test:test@"), ping_interval=None) as old,
    ):
        new.send(json.dumps({"cmd": "subscribe", "arg": weight.path, "id": 1}))
        assert json.loads(new.recv(10))["ok"]
        old.send(json.dumps({"cmd": "subscribe", "arg": weight.path}))
        old.send(json.dumps({"cmd": "ping", "id": 1}))
        assert json.loads(old.recv(10)) == {"id": 1, "ok": True}
        done = weight("DELETE", "data?i1=1&i2=3")
        assert weight.client("POST", f"{weight.url}/data", [{"t": 60, "d": 6}]).status == 200
        told = json.loads(new.recv(10))
        assert told == {
            "stream": weight.path,
            "notice": "corrected",
            "correction": {"t1": 20.0, "t2": 30.0, "id": done["id"], "kind": "deleted", "i": 1, "n": 2},
        }
        batch = json.loads(new.recv(10))
        assert (batch["i"], batch["data"]) == (3, [{"t": 60.0, "d": 6}])
        assert json.loads(old.recv(10)) == {"stream": weight.path, "data": [{"t": 60.0, "d": 6}]}


def test_a_browser_is_told_by_an_event(weight: Weight) -> None:
    connection = HTTPConnection("127.0.0.1", weight.live.port, timeout=20)
    login = "Basic " + base64.b64encode(b"test:test").decode()
    connection.request("GET", f"/api/v1/live/{weight.path}", headers={"Authorization": login})
    response = connection.getresponse()
    while b"event: start" not in response.readline():
        pass
    weight("PUT", "datapoint?i=0", {"d": 9})
    while response.readline() != b"event: corrected\n":
        pass
    told = json.loads(response.readline().removeprefix(b"data: "))
    assert (told["correction"]["kind"], told["correction"]["i"]) == ("updated", 0)
    connection.close()


def test_data_and_length_follow_a_correction(weight: Weight) -> None:
    weight("DELETE", "data?i1=0&i2=2")
    assert weight.client("GET", f"{weight.url}/data?q=length").text == "3"
    assert weight.client("GET", f"{weight.url}/data?q=time2index&t=30").json() == 1
    assert weight("GET", "data?i1=0&transform=sum%20%7C%20if%20last")[0]["d"] == 12


def test_the_index_is_always_told(weight: Weight) -> None:
    assert weight("PUT", "datapoint?i=0", {"d": 9})["i"] == 0
    assert [one["i"] for one in weight("GET", "history")] == [0]
