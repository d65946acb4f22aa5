"""Downlinks over HTTP."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from websockets.frames import Opcode
from websockets.sync.client import connect

_names = count()


class Lamp:
    """A stream that is a downlink, the connection of its device, and those of others."""

    def __init__(self, live: Any, *, schema: str = "") -> None:
        name = f"lamp{next(_names)}"
        self.live = live
        self.user = live.client()
        self.path = f"test/{name}/light"
        self.data = f"/crud/{self.path}/data"
        self.url = f"/downlink/{self.path}"
        devices = {name: "none", f"{name}-writer": "writer", f"{name}-reader": "reader", f"{name}-blind": "none"}
        for device, role in devices.items():
            made = {"apikey": f"key-of-{device}", "role": role}
            if device == name:
                made["streams"] = {"light": {"downlink": True, "schema": schema}}
            answer = self.user("POST", f"/crud/test/{device}", made)
            assert answer.status == 200, answer.text
        self.device, self.writer, self.reader, self.blind = (live.client(("", f"key-of-{d}")) for d in devices)
        self.nobody = live.client(None)
        self.writer_path = f"test/{name}-writer"

    def send(self, d: Any = True, *, client: Any = None, key: str | None = None, **more: Any) -> Any:
        headers = {"Idempotency-Key": key} if key else {}
        answer = (client or self.user)("POST", self.url, {"d": d, **more}, headers=headers)
        assert answer.status == 200, answer.text
        assert answer.headers["content-type"].startswith("application/json")
        return answer.json()

    def tell(self, id_: int, state: str, *, client: Any = None, **more: Any) -> Any:
        return (client or self.device)("PUT", f"{self.url}/{id_}", {"state": state, **more})

    def read(self, id_: int, query: str = "", *, client: Any = None) -> Any:
        return (client or self.user)("GET", f"{self.url}/{id_}{query}")

    def list(self, query: str = "", *, client: Any = None) -> Any:
        return (client or self.user)("GET", self.url + query)

    def stored(self, query: str = "") -> Any:
        return [(p["t"], p.get("d")) for p in self.user("GET", f"{self.data}?i1=0{query}").json()]

    def delete(self) -> None:
        for suffix in ("", "-writer", "-reader", "-blind"):
            device = self.path.removesuffix("/light") + suffix
            self.user("DELETE", f"/crud/{device}")
        for client in (self.user, self.device, self.writer, self.reader, self.blind, self.nobody):
            client.close()


@pytest.fixture
def lamp(live: Any) -> Iterator[Lamp]:
    made = Lamp(live)
    yield made
    made.delete()


def test_a_request_is_sent_taken_on_done_and_read(lamp: Lamp) -> None:
    before = time.time()
    sent = lamp.send({"on": True}, client=lamp.writer)
    assert before <= sent["t"] <= sent["changed"] <= time.time()
    assert sent == {
        "id": sent["id"],
        "stream": lamp.path,
        "t": sent["t"],
        "d": {"on": True},
        "o": lamp.writer_path,
        "state": "queued",
        "expires": pytest.approx(sent["t"] + 604_800, abs=1),
        "changed": sent["changed"],
    }
    assert lamp.read(sent["id"]).json() == sent
    assert lamp.list(client=lamp.device).json() == [sent]
    taken = lamp.tell(sent["id"], "delivered", by="process 1").json()
    assert taken == {**sent, "state": "delivered", "by": "process 1", "changed": taken["changed"]}
    done = lamp.tell(sent["id"], "acknowledged", by="process 1", msg="done").json()
    [point] = done["result"]
    assert (point["d"], done["msg"], done["state"]) == ({"on": True}, "done", "acknowledged")
    assert lamp.read(sent["id"]).json() == done
    assert lamp.stored() == [(point["t"], {"on": True})]
    assert lamp.stored("&downlink=true") == [(sent["t"], {"on": True})]


def test_acknowledging_again_gives_the_same_and_something_else_is_a_conflict(lamp: Lamp) -> None:
    id_ = lamp.send(1)["id"]
    first = lamp.tell(id_, "acknowledged", d=[{"d": 7}])
    again = lamp.tell(id_, "acknowledged", d=[{"d": 7}])
    assert (first.status, again.status) == (200, 200)
    assert again.json() == first.json()
    for other in ({"d": [{"d": 8}]}, {"d": []}, {}):
        answer = lamp.tell(id_, "acknowledged", **other)
        assert (answer.status, answer.json()["error"]) == (409, "conflict")
        assert "with something else" in answer.json()["msg"]
    assert [d for _, d in lamp.stored()] == [7]
    refused = lamp.tell(id_, "refused")
    assert (refused.status, refused.json()["error"]) == (409, "conflict")
    assert refused.json()["details"] == {"state": "acknowledged", "by": ""}


def test_claims_conflict(lamp: Lamp) -> None:
    id_ = lamp.send(1)["id"]
    assert lamp.tell(id_, "delivered", by="one").status == 200
    assert lamp.tell(id_, "delivered", by="one").status == 200
    other = lamp.tell(id_, "delivered", by="two")
    assert (other.status, other.json()["details"]) == (409, {"state": "delivered", "by": "one"})
    answer = lamp.tell(id_, "acknowledged", by="two", d=[{"d": 99}])
    assert (answer.status, answer.json()["details"]) == (409, {"state": "delivered", "by": "one"})
    assert lamp.tell(id_, "acknowledged", by="one", d=[{"d": 5}]).status == 200
    assert [d for _, d in lamp.stored()] == [5]


def test_a_request_expires_or_is_superseded(lamp: Lamp) -> None:
    expiring = lamp.send(1, expires=0.05)
    assert expiring["expires"] == pytest.approx(expiring["t"] + 0.05, abs=0.04)
    first, second = lamp.send(2), lamp.send(3)
    time.sleep(0.06)
    newest = lamp.send(4, supersede=True, expires=None)
    assert [one["state"] for one in lamp.list().json()] == ["expired", "superseded", "superseded", "queued"]
    for one, state in ((expiring, "expired"), (first, "superseded"), (second, "superseded")):
        assert lamp.tell(one["id"], "delivered", by="x").json()["details"] == {"state": state, "by": ""}
    assert lamp.list("?state=queued").json() == [newest]
    assert lamp.stored() == []


def test_old_senders_insert_and_history_asks_nothing(lamp: Lamp) -> None:
    now = time.time()
    body = [{"t": now - 1, "d": 1}, {"t": now, "d": 2}]
    assert lamp.user("POST", lamp.data, body).status == 200
    assert [one["d"] for one in lamp.list().json()] == [1, 2]
    assert lamp.user("PATCH", lamp.data + "?history=true&downlink=true", body).status == 200
    assert lamp.user("PUT", lamp.data + "?history=true", [{"d": 5}]).status == 200
    assert len(lamp.list().json()) == 2
    assert len(lamp.stored("&downlink=true")) == 5
    assert lamp.user("PUT", lamp.data + "?history=maybe", [{"d": 5}]).status == 400


def test_many_at_once(lamp: Lamp) -> None:
    now = time.time()
    assert lamp.user("POST", lamp.data, [{"t": now, "d": i} for i in range(5000)]).status == 200
    found = lamp.list("?limit=1000").json()
    assert [one["d"] for one in found] == list(range(4000, 5000))
    assert [one["d"] for one in lamp.list().json()] == list(range(4900, 5000))


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "0",
        "-0.0",
        "1e3",
        "123456789012345678901234567890",
        '""',
        '"\\u00fc\\ud83d\\ude00\\u0000"',
        '{"a":{"b":[null,true,{"c":[]}]}}',
        "[" * 200 + "]" * 200,
    ],
)
def test_any_json_can_be_asked_for(lamp: Lamp, text: str) -> None:
    answer = lamp.user("POST", lamp.url, '{"d":' + text + "}")
    assert answer.status == 200
    assert answer.json()["d"] == json.loads(text)
    assert lamp.read(answer.json()["id"]).json() == answer.json()
    done = lamp.tell(answer.json()["id"], "acknowledged").json()
    assert done["result"][0].get("d") == json.loads(text)
    assert lamp.stored()[0][1] == json.loads(text)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"expires":5}',
        '{"d":1,"t":5}',
        '{"d":1,"expires":0}',
        '{"d":1,"expires":-1}',
        '{"d":1,"expires":1e300}',
        '{"d":1,"expires":"5"}',
        '{"d":1,"supersede":1}',
        '{"d":1,"supersede":null}',
        '{"d":NaN}',
        '{"d":1e400}',
        '{"d":1',
        b'{"d":"\xff"}',
        "[" * 100_000,
    ],
)
def test_what_is_no_request_is_refused(lamp: Lamp, body: Any) -> None:
    answer = lamp.user("POST", lamp.url, body)
    assert (answer.status, answer.json()["error"]) == (400, "invalid")
    assert lamp.list().json() == []


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        '{"state":"queued"}',
        '{"state":"expired"}',
        '{"state":"Delivered"}',
        '{"state":2}',
        '{"state":"delivered"}',
        '{"state":"delivered","by":""}',
        '{"state":"delivered","by":"x","d":[]}',
        '{"state":"refused","d":[{"d":1}]}',
        '{"state":"refused","why":"x"}',
        '{"state":"refused","by":"' + 65 * "x" + '"}',
        '{"state":"refused","msg":"' + 1001 * "x" + '"}',
        '{"state":"acknowledged","d":{"d":1}}',
        '{"state":"acknowledged","d":[1]}',
        '{"state":"acknowledged","d":[{"x":1}]}',
    ],
)
def test_what_says_nothing_is_refused(lamp: Lamp, body: str) -> None:
    sent = lamp.send(1)
    answer = lamp.device("PUT", f"{lamp.url}/{sent['id']}", body)
    assert (answer.status, answer.json()["error"]) == (400, "invalid")
    assert lamp.read(sent["id"]).json() == sent


def test_names_and_parameters_are_checked(lamp: Lamp) -> None:
    sent = lamp.send(1)
    for id_ in ("x", "0", "-1", "1.0", "01", "1e3", "9" * 19, "9" * 30, "%20", "١"):
        for method, body in (("GET", None), ("PUT", {"state": "refused"})):
            target = f"{lamp.url}/{id_}".replace("١", "%D9%A1")
            assert lamp.device(method, target, body).status == 400, id_
    for query in ("wait=-1", "wait=61", "wait=x", "wait=", "wait=nan", "wait=1&wait=2", "state=queued"):
        assert lamp.read(sent["id"], "?" + query).status == 400, query
    for query in ("state=new", "state=", "limit=0", "limit=1001", "limit=-1", "limit=x", "wait=1"):
        assert lamp.list("?" + query).status == 400, query
    assert lamp.user("DELETE", f"{lamp.url}/{sent['id']}").status == 405
    assert lamp.user("PUT", lamp.url, {"d": 1}).status == 405
    assert lamp.user("GET", f"{lamp.url}/{sent['id']}/x").status == 404


def test_what_is_not_there_is_a_404(lamp: Lamp) -> None:
    for target in ("/downlink/test/user/nothing", "/downlink/test/nothing/x", "/downlink/nobody/x/x"):
        assert lamp.user("POST", target, {"d": 1}).status == 404
        assert lamp.user("GET", target).status == 404
        assert lamp.user("GET", target + "/1").status == 404
        assert lamp.user("GET", target + "/1?wait=60").status == 404
        assert lamp.user("PUT", target + "/1", {"state": "refused"}).status == 404
    missing = 2**62
    assert lamp.read(missing).status == 404
    assert lamp.read(missing, "?wait=60").status == 404
    assert lamp.tell(missing, "refused").status == 404


def test_a_stream_that_is_no_downlink_takes_no_requests(lamp: Lamp) -> None:
    lamp.user("PUT", f"/crud/{lamp.path}", {"downlink": False})
    answer = lamp.user("POST", lamp.url, {"d": 1})
    assert (answer.status, answer.json()["error"]) == (403, "invalid_value")
    assert "downlink" in answer.json()["msg"]


def test_a_request_has_to_fit_the_schema(live: Any) -> None:
    lamp = Lamp(live, schema='{"type":"boolean"}')
    assert lamp.user("POST", lamp.url, {"d": 1}).json()["error"] == "schema_mismatch"
    sent = lamp.send(True)
    assert lamp.tell(sent["id"], "acknowledged", d=[{"d": 1}]).json()["error"] == "schema_mismatch"
    assert lamp.read(sent["id"]).json() == sent
    lamp.delete()


def test_who_may_what(lamp: Lamp) -> None:
    sent = lamp.send(1, client=lamp.writer)
    for client in (lamp.reader, lamp.blind, lamp.nobody):
        assert client("POST", lamp.url, {"d": 1}).status in (403, 404)
    for client in (lamp.blind, lamp.nobody):
        assert client("GET", lamp.url).status == 404
        assert lamp.read(sent["id"], client=client).status == 404
        assert lamp.read(sent["id"], "?wait=30", client=client).status == 404
    for client in (lamp.user, lamp.writer, lamp.reader, lamp.device):
        assert lamp.read(sent["id"], client=client).json() == sent
    for client in (lamp.user, lamp.writer, lamp.reader):
        answer = lamp.tell(sent["id"], "acknowledged", client=client)
        assert (answer.status, answer.json()["error"]) == (403, "forbidden")
        assert "only the device" in answer.json()["msg"]
    for client in (lamp.blind, lamp.nobody):
        assert lamp.tell(sent["id"], "acknowledged", client=client).status == 404
    assert lamp.list().json() == [sent]
    assert lamp.stored() == []


def test_a_repeated_key_is_the_same_request(lamp: Lamp) -> None:
    sent = lamp.send(1, key="one", expires=100)
    assert lamp.send(1, key="one", expires=100) == sent
    lamp.tell(sent["id"], "delivered", by="x")
    assert lamp.send(1, key="one", expires=100)["state"] == "delivered"
    assert len(lamp.list().json()) == 1
    other = lamp.user("POST", lamp.url, {"d": 2}, headers={"Idempotency-Key": "one"})
    assert (other.status, other.json()["error"]) == (409, "upload_conflict")
    assert lamp.send(1, key="two", expires=100)["id"] != sent["id"]
    assert lamp.user("POST", lamp.url, {"d": 2}, headers={"Idempotency-Key": "x" * 65}).status == 400


def test_no_more_than_may_wait(make_live: Callable[..., Any]) -> None:
    lamp = Lamp(make_live(**{"limits.downlinks_waiting_max": 2}))
    sent = [lamp.send(i)["id"] for i in range(2)]
    answer = lamp.user("POST", lamp.url, {"d": 3})
    assert (answer.status, answer.json()["error"]) == (403, "limit_reached")
    assert lamp.user("PUT", lamp.data, [{"d": 3}]).status == 403
    lamp.tell(sent[0], "refused")
    lamp.send(3)


def test_requests_go_with_their_stream(lamp: Lamp) -> None:
    sent = lamp.send(1)
    assert lamp.user("DELETE", f"/crud/{lamp.path}").status == 200
    assert lamp.read(sent["id"]).status == 404
    assert lamp.user("POST", f"/crud/{lamp.path}", {"downlink": True}).status == 200
    assert lamp.list().json() == []
    assert lamp.read(sent["id"]).status == 404
    assert lamp.tell(sent["id"], "acknowledged").status == 404


def test_head_and_a_slash_at_the_end(lamp: Lamp) -> None:
    id_ = lamp.send(1)["id"]
    assert lamp.user("GET", f"{lamp.url}/{id_}/").json()["id"] == id_
    head = lamp.user("HEAD", f"{lamp.url}/{id_}")
    assert (head.status, head.body) == (200, b"")


# ---- waiting


class Poll(threading.Thread):
    """Waits for a request to be settled, as a sender does."""

    def __init__(self, lamp: Lamp, id_: int, wait: float) -> None:
        super().__init__()
        self.client = lamp.live.client()
        self.target = f"{lamp.url}/{id_}?wait={wait}"
        self.answer: Any = None
        self.ended = 0.0
        self.start()
        deadline = time.monotonic() + 20
        while not waiting(lamp) and time.monotonic() < deadline:
            time.sleep(0.005)

    def run(self) -> None:
        self.answer = self.client("GET", self.target)
        self.ended = time.monotonic()
        self.client.close()

    def state(self) -> Any:
        self.join(60)
        assert self.answer.status == 200, self.answer.text
        return self.answer.json()["state"]


def waiting(lamp: Lamp) -> int:
    """How many requests wait in the server."""
    uvicorn = lamp.live.server._uvicorn
    return len(uvicorn._app.state.core.waiting)


@pytest.mark.parametrize("state", ["acknowledged", "refused"])
def test_who_waits_is_told_at_once(lamp: Lamp, state: str) -> None:
    id_ = lamp.send(1)["id"]
    polls = [Poll(lamp, id_, 50) for _ in range(3)]
    assert lamp.tell(id_, "delivered", by="x").status == 200
    time.sleep(0.1)
    assert not any(poll.answer for poll in polls)
    told = time.monotonic()
    assert lamp.tell(id_, state, by="x").status == 200
    assert [poll.state() for poll in polls] == [state] * 3
    assert max(poll.ended for poll in polls) - told < 5


def test_who_waits_learns_that_time_is_over(lamp: Lamp) -> None:
    began = time.monotonic()
    poll = Poll(lamp, lamp.send(1, expires=0.5)["id"], 50)
    assert poll.state() == "expired"
    assert 0.3 < poll.ended - began < 10
    poll = Poll(lamp, lamp.send(1)["id"], 0.3)
    assert poll.state() == "queued"


def test_who_waits_learns_of_what_takes_its_place(lamp: Lamp) -> None:
    poll = Poll(lamp, lamp.send(1)["id"], 50)
    lamp.send(2, supersede=True)
    assert poll.state() == "superseded"


def test_no_wait_for_what_is_settled(lamp: Lamp) -> None:
    id_ = lamp.send(1)["id"]
    lamp.tell(id_, "refused")
    began = time.monotonic()
    assert lamp.read(id_, "?wait=60").json()["state"] == "refused"
    assert time.monotonic() - began < 5


def test_a_client_that_goes_away_is_waited_for_no_more(lamp: Lamp) -> None:
    id_ = lamp.send(1)["id"]
    head = f"GET /api/v1{lamp.url}/{id_}?wait=60 HTTP/1.1\r\nHost: x\r\nAuthorization: Basic dGVzdDp0ZXN0\r\n\r\n"
    sockets = [socket.create_connection(("127.0.0.1", lamp.live.port), timeout=20) for _ in range(5)]
    for s in sockets:
        s.sendall(head.encode())
    _until(lambda: waiting(lamp) == 5)
    for s in sockets:
        s.close()
    _until(lambda: waiting(lamp) == 0)
    assert lamp.read(id_).json()["state"] == "queued"


def test_a_wait_does_not_hold_up_the_stop(make_live: Callable[..., Any]) -> None:
    live = make_live(**{"server.shutdown_s": 20})
    lamp = Lamp(live)
    polls = [Poll(lamp, lamp.send(i)["id"], 60) for i in range(3)]
    _until(lambda: waiting(lamp) == 3)
    began = time.monotonic()
    live.server.stop()
    assert [poll.state() for poll in polls] == ["queued"] * 3
    live._thread.join(20)
    assert time.monotonic() - began < 10


def test_a_restart_keeps_everything(make_live: Callable[..., Any]) -> None:
    live = make_live()
    lamp = Lamp(live)
    ids = [lamp.send(i, key=f"key-{i}")["id"] for i in range(4)]
    lamp.tell(ids[1], "delivered", by="x")
    lamp.tell(ids[2], "acknowledged", msg="done")
    lamp.send(9, expires=0.01)
    time.sleep(0.02)
    before = lamp.list("?state=queued").json(), [lamp.read(id_).json() for id_ in ids]
    live.stop()
    again = type(live)(live.path)
    try:
        client = again.client()
        assert client("GET", lamp.url + "?state=queued").json() == before[0]
        assert [client("GET", f"{lamp.url}/{id_}").json() for id_ in ids] == before[1]
        assert client("GET", lamp.url).json()[-1]["state"] == "expired"
        repeated = client("POST", lamp.url, {"d": 0}, headers={"Idempotency-Key": "key-0"})
        assert repeated.json()["id"] == ids[0]
        assert client("POST", lamp.url, {"d": 0}).json()["id"] > ids[-1]
    finally:
        again.stop()


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class OldLamp:
    """A device of ConnectorDB 0.3, and its websocket."""

    def __init__(self, live: Any, client: Any) -> None:
        self.client = client
        name = f"oldlamp{next(_names)}"
        self.path = f"test/{name}/on"
        client("POST", f"/crud/test/{name}", {"streams": {"on": {"downlink": True}}})
        key = client("GET", f"/crud/test/{name}").json()["apikey"]
        headers = {"Authorization": "Basic " + base64.b64encode(f":{key}".encode()).decode()}
        self.rest = live.client(("", key))
        self.connection = connect(f"ws://127.0.0.1:{live.port}/api/v1/websocket", additional_headers=headers)
        self.socket = self.connection.__enter__()

    def subscribe(self, transform: str = "") -> None:
        self.socket.send(json.dumps({"cmd": "subscribe", "arg": f"{self.path}/downlink", "transform": transform}))
        self.socket.send(json.dumps({"cmd": "ping", "id": 1}))
        assert json.loads(self.socket.recv(10))["ok"]

    def ask(self, d: Any) -> None:
        """Let somebody ask for *d*."""
        assert self.client("POST", f"/crud/{self.path}/data", [{"d": d}]).status == 200

    def got(self) -> list[Any]:
        return [point["d"] for point in json.loads(self.socket.recv(10))["data"]]

    def answer_no_pings(self) -> None:
        """As its client, which deals with one message after the other: with the ping when the callback is done."""
        protocol = self.socket.protocol
        send = protocol.send_frame
        protocol.send_frame = lambda frame: None if frame.opcode is Opcode.PONG else send(frame)

    def insert(self, d: Any) -> None:
        self.socket.send(json.dumps({"cmd": "insert", "arg": self.path, "d": [{"d": d}]}))

    def state(self, wanted: str) -> str:
        """The state of the newest request, when it is *wanted*, or after some time."""
        deadline = time.monotonic() + 10
        while (found := self.client("GET", f"/downlink/{self.path}").json()[-1]["state"]) != wanted:
            if time.monotonic() > deadline:
                return str(found)
            time.sleep(0.01)
        return wanted

    def close(self) -> None:
        self.connection.__exit__(None, None, None)
        self.rest.close()
        self.client("DELETE", f"/crud/{self.path.removesuffix('/on')}")


@pytest.fixture
def old_lamp(live: Any, client: Any) -> Iterator[OldLamp]:
    made = OldLamp(live, client)
    yield made
    made.close()


def test_device_of_old_that_got_a_request_is_not_asked_again(old_lamp: OldLamp) -> None:
    old_lamp.subscribe()
    old_lamp.ask(True)
    assert old_lamp.got() == [True]
    assert old_lamp.state("delivered") == "delivered"  # the pong behind it says so
    old_lamp.insert(True)
    assert old_lamp.state("acknowledged") == "acknowledged"


def test_device_of_old_acknowledges_before_it_answers_the_ping(live: Any, old_lamp: OldLamp) -> None:
    old_lamp.subscribe()
    old_lamp.answer_no_pings()
    id_ = live.client()("POST", f"/downlink/{old_lamp.path}", {"d": True}).json()["id"]
    assert old_lamp.got() == [True]
    old_lamp.insert(True)
    assert old_lamp.state("acknowledged") == "acknowledged"
    assert old_lamp.client("GET", f"/downlink/{old_lamp.path}/{id_}").json()["by"] == "0.3"


def test_device_of_old_acknowledges_by_rest_and_behind_a_transform(old_lamp: OldLamp) -> None:
    old_lamp.subscribe("if $ == true")
    old_lamp.ask(True)
    assert old_lamp.got() == [True]
    assert old_lamp.rest("PUT", f"/crud/{old_lamp.path}/data", [{"d": True}]).status == 200
    assert old_lamp.state("acknowledged") == "acknowledged"
    [point] = old_lamp.client("GET", f"/crud/{old_lamp.path}/data?i1=0").json()
    assert old_lamp.client("GET", f"/downlink/{old_lamp.path}").json()[0]["result"] == [point]
    old_lamp.ask(False)
    old_lamp.ask(True)
    assert old_lamp.got() == [True]
    assert old_lamp.state("delivered") == "delivered"
    states = [one["state"] for one in old_lamp.client("GET", f"/downlink/{old_lamp.path}").json()]
    assert states == ["acknowledged", "queued", "delivered"]


def test_what_a_device_uploads_late_or_measures_acknowledges_nothing(old_lamp: OldLamp) -> None:
    old_lamp.ask(True)  # while it is away
    data = f"/crud/{old_lamp.path}/data"
    assert old_lamp.rest("PATCH", data, [{"t": time.time() - 3600, "d": True}]).status == 200
    assert old_lamp.rest("PUT", data, [{"d": True}]).status == 200
    [asked] = old_lamp.client("GET", f"/downlink/{old_lamp.path}").json()
    assert asked["state"] == "queued"
    old_lamp.subscribe()  # of 0.3: it gets what comes, not what waited
    old_lamp.insert(True)
    old_lamp.ask("next")
    assert old_lamp.got() == ["next"]
    [asked, _] = old_lamp.client("GET", f"/downlink/{old_lamp.path}").json()
    assert asked["state"] == "queued"
