"""What a server of ConnectorDB 0.3 sent on websockets is sent here too, but for what is listed as a deviation."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

SESSIONS = [json.loads(line) for line in (Path(__file__).parent / "data/ws_probe.jsonl").read_text().splitlines()]
NOW = 1.6e9
"""What lies behind this is taken for the time of the recording, or of the test."""
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

ELSEWHERE = "Tested in test_server_websocket.py: it takes a minute, or the recording does not tell what was sent"
LEFT_OUT = {
    "message over 1 MiB": ELSEWHERE,
    "message just under 1 MiB": ELSEWHERE,
    "server ping (waits 56 s)": ELSEWHERE,
}

EMPTY = "An insert without datapoints has nothing to tell; 0.3 sent null"
STORED = "PROTOCOL 6: datapoints come with the time stamps with which they are stored"
REUSED = "PROTOCOL 6: an omitted field does not keep the value of the command before"
NO_OBJECT = "What is no JSON object closes the connection with a code that says so"
HUNG = "PROTOCOL, known faults: on a missing stream 0.3 hung"
GONE = "PROTOCOL 6: a subscription ends with its stream; one made anew under that name is another"

INSTEAD: dict[str, tuple[list[Any], str]] = {
    "plain subscribe, one and several datapoints, then unsubscribe": (
        [
            [{"t": 1, "d": 1}],
            [{"t": 2, "d": 2.5}, {"t": 3, "d": 0}, {"t": 4, "d": 0}],
            [{"t": 4, "d": 9}],
            [{"t": "(now)", "d": 5}],
        ],
        f"{EMPTY}. {STORED}",
    ),
    "insert over the websocket": ([[{"t": "(now)", "d": 50}, {"t": "(now)", "d": 51}]], f"{EMPTY}. {STORED}"),
    "subscribe to a missing stream": ([[{"t": "(now)", "d": 1}]], HUNG),
    "stream deleted while subscribed": ([[{"t": "(now)", "d": 1}]], GONE),
    "two json objects in one frame": ([], NO_OBJECT),
    "transform, plus plain on the same stream": (
        [
            [{"t": "(now)", "d": 1}],
            [{"t": "(now)", "d": 6}, {"t": "(now)", "d": 7}],
            [{"t": "(now)", "d": 6}, {"t": "(now)", "d": 2}, {"t": "(now)", "d": 7}],
            [{"t": "(now)", "d": 8}],
        ],
        REUSED,
    ),
    "bad transform on subscribe": ([[{"t": "(now)", "d": 1}]], REUSED),
    "transform field left out keeps the last message's (reused struct)": (
        [[{"t": "(now)", "d": "hello"}], [{"t": "(now)", "d": 101}]],
        REUSED,
    ),
}
"""The data of all frames that come."""

CODES = {
    "bad json": (1007, NO_OBJECT),
    "json array": (1007, NO_OBJECT),
    "json null, number, wrong types": (1007, NO_OBJECT),
    "empty text frame": (1007, NO_OBJECT),
    "two json objects in one frame": (1007, NO_OBJECT),
    "abrupt protocol error: reserved opcode": (1007, NO_OBJECT),
}
"""With which the connection is closed by the server."""

READS = {
    "insert, d left out after an insert (reused struct)": (
        [{"t": 1, "d": {"a": 1}}, {"t": 2, "d": {"b": 2}}, {"t": "(now)", "d": {"c": 3}}],
        REUSED,
    ),
    "insert over the websocket": (
        [{"t": "(now)", "d": 1}, {"t": "(now)", "d": 2}, {"t": "(now)", "d": 50}, {"t": "(now)", "d": 51}],
        "The same, after what is inserted here before",
    ),
    "as user test": ([{"t": "(now)", "d": "ws by user", "o": "test/user"}], "The stream is a new one here"),
}
"""What is read at the end."""


@pytest.fixture
def key(live: Any) -> Iterator[str]:
    """The API key of the device test/wsd with the streams of the recording."""
    client = live.client()
    streams = {"num": {"schema": '{"type":"number"}'}, "str": {"schema": '{"type":"string"}'}, "any": {}, "tmp": {}}
    streams |= {"eph": {"ephemeral": True}, "down": {"downlink": True, "schema": '{"type":"string"}'}}  # type: ignore[dict-item]
    yield client("POST", "/crud/test/wsd", {"streams": streams}).json()["apikey"]
    client("DELETE", "/crud/test/wsd")


@pytest.mark.parametrize("session", SESSIONS, ids=[session["label"] for session in SESSIONS])
def test_session(live: Any, key: str, session: dict[str, Any]) -> None:
    label, events = session["label"], session["events"]
    if label in LEFT_OUT:
        pytest.skip(LEFT_OUT[label])
    if label.startswith("insert over"):
        live.client()("POST", "/crud/test/wsd/num/data", [{"d": 1}, {"d": 2}], auth=("", key))
    path, auth = session["path"], ("", key)
    if "apikey=" in path:
        path, auth = f"/api/v1/websocket?apikey={key}", ("", "")
    elif label in ("as user test",):
        auth = ("test", "test")
    elif "nobody" in label or "no auth" in label:
        auth = ("", "")
    elif label == "bad auth":
        auth = ("test", "wrong")
    headers = {"Authorization": "Basic " + base64.b64encode(":".join(auth).encode()).decode()} if any(auth) else {}
    url = f"ws://127.0.0.1:{live.port}{path}"
    if events[0]["ev"] == "open-failed":
        with pytest.raises(InvalidStatus, match="401"):
            connect(url, additional_headers=headers)
        return
    with connect(url, additional_headers=headers) as connection:
        _replay(live, key, label, events, connection)


def _replay(live: Any, key: str, label: str, events: list[dict[str, Any]], connection: ClientConnection) -> None:
    client = live.client()
    wanted = [_frame(event["data"]) for event in events if event["ev"] == "recv" and event["op"] == TEXT]
    if label in INSTEAD:
        assert INSTEAD[label][0] != [frame["data"] for frame in wanted], "is listed as a deviation, and is none"
        wanted = [{"data": data} for data in INSTEAD[label][0]]
    got: list[Any] = []
    closed = None
    for event in events:
        name, _, stream = event["ev"].partition(" ")
        try:
            if name == "send":
                _send(connection, event)
                if event["op"] not in (CLOSE, PING):
                    _settle(connection, got)
            elif stream in ("POST", "PUT"):
                who = ("test", "test") if "from user" in event["body"] else ("", key)
                answer = client(stream, f"/crud/test/wsd/{event['stream']}/data", event["body"], auth=who)
                assert answer.status == event["status"]
                _settle(connection, got)
            elif stream == "GET":
                answer = client("GET", f"/crud/test/wsd/{event['stream']}/data{event['q']}", auth=("", key))
                found = READS[label][0] if label in READS else _masked(json.loads(event["response"]))
                assert _masked(answer.json()) == found
            elif stream.startswith("DELETE"):
                assert client("DELETE", "/crud/test/wsd/tmp").status == 200
                assert client("POST", "/crud/test/wsd/tmp", {}, auth=("", key)).status == 200
        except ConnectionClosed as e:
            assert e.rcvd is not None
            closed = e.rcvd.code
            break
    ended = [event["data"]["code"] for event in events if event["ev"] == "recv" and event["op"] == CLOSE]
    if label in CODES:
        assert closed == CODES[label][0] != ended[0]
    elif ended:
        assert (closed or connection.protocol.close_code) == ended[0]
    if label in INSTEAD:
        got = [{"data": frame["data"]} for frame in got]
    assert got == wanted


def _send(connection: ClientConnection, event: dict[str, Any]) -> None:
    data, op = event["data"], event["op"]
    if op == CLOSE:
        connection.close(data)
    elif op == PING:
        assert connection.ping(data).wait(10)
    elif op == BINARY:
        connection.send(b'{"cmd": "subscribe", "arg": "test/wsd/num"}')
    else:
        connection.send(data)


def _settle(connection: ClientConnection, got: list[Any]) -> None:
    """Take all that comes because of what has been done."""
    # Inserts are carried out in their order, and are answered before what comes of them is sent.
    for command in ('{"cmd":"insert","arg":"no/no/no","id":0,"d":[{}]}', '{"cmd":"ping","id":1}'):
        connection.send(command)
        time.sleep(0.02)
        while "id" not in (message := json.loads(connection.recv(10))):
            got.append(_frame(message))


def _frame(message: Any) -> Any:
    frame = json.loads(message) if isinstance(message, str) else message
    return {**frame, "data": _masked(frame["data"])}


def _masked(points: Any) -> Any:
    return [{**p, "t": "(now)" if p.get("t", 0) > NOW else p.get("t", 0)} for p in points or []]
