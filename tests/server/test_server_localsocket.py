"""Websockets of local mode."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from connectordb.client._socket import SocketClosed
from connectordb.core.folder import Folder
from connectordb.errors import Closed, RequestError, TimedOut
from connectordb.server.local import LocalTransport, open_local
from connectordb.server.localsocket import LocalSocket

TARGET = "/api/v1/websocket"


class Local:
    def __init__(self, path: Path) -> None:
        self.transport, self.apikey = open_local(path, user="alice")
        self.sockets: list[LocalSocket] = []
        self.request("POST", "/crud/alice/user/s", {})

    def headers(self, apikey: str) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(f":{apikey}".encode()).decode()}

    def request(self, method: str, target: str, body: Any) -> Any:
        sent = json.dumps(body).encode()
        headers = self.headers(self.apikey)
        reply = self.transport.request(method, "/api/v1" + target, headers=headers, body=sent, timeout_s=10)
        assert reply.status == 200, reply.body
        return reply

    def open(self, apikey: str | None = None) -> LocalSocket:
        headers = self.headers(self.apikey if apikey is None else apikey)
        self.sockets.append(self.transport.websocket(TARGET, headers=headers, timeout_s=10))
        return self.sockets[-1]


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    local = Local(tmp_path / "db")
    yield local
    local.transport.close()


def ask(ws: LocalSocket, cmd: str, **fields: Any) -> Any:
    ws.send(json.dumps({"cmd": cmd, "id": 1, **fields}))
    answer = json.loads(ws.recv(10))
    assert answer.pop("id") == 1
    return answer


def test_insert_and_subscribe(local: Local) -> None:
    ws = local.open()
    cursor = ask(ws, "subscribe", arg="alice/user/s")["cursor"]
    assert ask(ws, "insert", arg="alice/user/s", d=[{"t": 1, "d": 1}]) == {"ok": True}
    text = ws.recv(10)
    assert text.endswith("\n")
    assert json.loads(text)["data"] == [{"t": 1, "d": 1}]
    other = local.open()
    assert ask(other, "subscribe", arg="alice/user/s", cursor=cursor)["ok"]
    assert json.loads(other.recv(10))["i"] == 0


def test_wrong_key_is_refused(local: Local) -> None:
    with pytest.raises(RequestError) as caught:
        local.open("wrong")
    assert caught.value.status == 401


def test_no_message_in_time(local: Local) -> None:
    ws = local.open()
    with pytest.raises(TimedOut):
        ws.recv(0.05)
    assert ask(ws, "ping") == {"ok": True}


def test_close_wakes_who_waits(local: Local) -> None:
    ws = local.open()
    caught: list[Exception] = []

    def wait() -> None:
        try:
            ws.recv()
        except Closed as e:
            caught.append(e)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.05)
    ws.close()
    thread.join(5)
    assert isinstance(caught[0], SocketClosed) and caught[0].code == 1000
    ws.close()
    with pytest.raises(Closed):
        ws.send("{}")
    with pytest.raises(Closed):
        ws.recv()
    assert ask(local.open(), "ping") == {"ok": True}


def test_end_of_the_server_closes(local: Local) -> None:
    ws = local.open()
    ask(ws, "subscribe", arg="alice/user/s")
    for i in range(50):
        ws.send(json.dumps({"cmd": "insert", "arg": "alice/user/s", "id": i, "d": [{"d": i}]}))
    local.transport.close()
    got = []
    with pytest.raises(SocketClosed) as caught:
        while True:
            got.append(json.loads(ws.recv(10)))
    assert caught.value.code == 1012
    answers = [message["id"] for message in got if "ok" in message]
    assert answers == list(range(len(answers)))
    with pytest.raises(Closed):
        local.open()


@pytest.mark.parametrize(("text", "code"), [("{bad", 1007), ("[]", 1007), ("\ud800", 1007), (" " * 1_100_000, 1009)])
def test_what_is_no_command_closes(local: Local, text: str, code: int) -> None:
    ws = local.open()
    ws.send(text)
    with pytest.raises(SocketClosed) as caught:
        ws.recv(10)
    assert caught.value.code == code and caught.value.reason


def test_pipelined_inserts_keep_their_order(local: Local) -> None:
    ws = local.open()
    n = 5000
    sender = threading.Thread(
        target=lambda: [
            ws.send(f'{{"cmd":"insert","arg":"alice/user/s","id":{i},"d":[{{"d":{i}}}]}}') for i in range(n)
        ]
    )
    sender.start()
    assert [json.loads(ws.recv(10))["id"] for _ in range(n)] == list(range(n))
    sender.join(10)


def test_who_reads_nothing_is_held_up_and_loses_nothing(local: Local) -> None:
    ws, writer = local.open(), local.open()
    ask(ws, "subscribe", arg="alice/user/s")
    n = 50
    for i in range(n):
        assert ask(writer, "insert", arg="alice/user/s", d=[{"t": i + 1, "d": [i, "x" * 50_000]}])["ok"]
    link = ws._link
    assert link.waiting_bytes < 400_000
    values: list[int] = []
    while len(values) < n:
        found = json.loads(ws.recv(10))
        if "data" in found:
            values += [p["d"][0] for p in found["data"]]
    assert values == list(range(n))


def test_who_reads_no_answers_cannot_send_for_ever(local: Local) -> None:
    ws = local.open()
    sent = 0

    def send() -> None:
        nonlocal sent
        try:
            while sent < 1_000_000:
                ws.send(json.dumps({"cmd": "ping", "id": "x" * 200}))
                sent += 1
        except Closed:
            pass

    thread = threading.Thread(target=send)
    thread.start()
    seen = -1
    while seen != sent:
        seen = sent
        time.sleep(0.5)
    assert sent < 20_000
    for _ in range(sent):
        assert json.loads(ws.recv(10))["ok"]
    ws.close()
    thread.join(10)
    assert not thread.is_alive()


def test_new_key_closes_it(tmp_path: Path) -> None:
    Folder.create(tmp_path / "db", test=True)
    transport = LocalTransport(tmp_path / "db")
    try:
        apikey = transport.apikey("test")
        admin = {"Authorization": "Basic " + base64.b64encode(f":{transport.admin_key}".encode()).decode()}
        headers = {"Authorization": "Basic " + base64.b64encode(f":{apikey}".encode()).decode()}
        ws = transport.websocket(TARGET, headers=headers, timeout_s=10)
        body = b'{"apikey": ""}'
        reply = transport.request("PUT", "/api/v1/crud/test/user", headers=admin, body=body, timeout_s=10)
        assert reply.status == 200
        with pytest.raises(SocketClosed) as caught:
            ws.recv(10)
        assert caught.value.code == 1008
    finally:
        transport.close()


def test_events_can_be_aborted_from_another_thread(local: Local) -> None:
    headers = local.headers(local.apikey)
    target = "/api/v1/live/alice/user/s"
    with local.transport.stream("GET", target, headers=headers, body=None, timeout_s=10) as reply:
        pieces = reply.iter_bytes()
        assert b"event: start" in next(pieces)
        threading.Timer(0.2, reply.abort).start()
        with pytest.raises(Closed):
            next(pieces)
    with local.transport.stream("GET", target, headers=headers, body=None, timeout_s=10) as reply:
        pieces = reply.iter_bytes()
        next(pieces)
        closer = threading.Thread(target=local.transport.close)
        closer.start()
        with suppress(Closed):  # unless the thread was late
            assert list(pieces) == []
    closer.join(10)
    assert not closer.is_alive()
