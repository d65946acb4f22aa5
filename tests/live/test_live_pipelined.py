"""Inserts over a websocket, many under way at once, and a server that is killed."""

from __future__ import annotations

import base64
import json
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import pytest
from conditions import until
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect as websocket

from connectordb import ConnectorDB
from live_server import LiveServer

CI = bool(os.environ.get("CI"))
KILLS = 15 if CI else 3
UNDER_WAY = 200


class Pipeline:
    """Inserts numbers; what is not acknowledged is sent again, with the same key, by the next connection."""

    def __init__(self, server: LiveServer, key: str, path: str) -> None:
        self._url = server.url.replace("http", "ws") + "/api/v1/websocket"
        self._headers = {"Authorization": "Basic " + base64.b64encode(f":{key}".encode()).decode()}
        self._path = path
        self._under_way: deque[int] = deque()
        self._over = threading.Event()
        self.next = 0
        self.acknowledged = 0
        self.again = 0
        self.failed: list[str] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send no more; return when all is acknowledged."""
        self._over.set()
        self._thread.join(120)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while not self._over.is_set() or self._under_way:
            with suppress(WebSocketException, OSError, EOFError):
                self._connected()
            time.sleep(0.01)

    def _connected(self) -> None:
        with websocket(self._url, additional_headers=self._headers, open_timeout=30, close_timeout=1) as socket:
            self.again += len(self._under_way)
            for n in self._under_way:
                socket.send(self._command(n))
            while not self._over.is_set() or self._under_way:
                while len(self._under_way) < UNDER_WAY and not self._over.is_set():
                    self._under_way.append(self.next)
                    self.next += 1
                    socket.send(self._command(self._under_way[-1]))
                answer = json.loads(socket.recv(60))
                if answer["id"] in self._under_way and not answer.get("ok") and answer["code"] != 503:
                    self.failed.append(json.dumps(answer))
                if answer.get("ok"):
                    self._under_way.remove(answer["id"])
                    self.acknowledged += 1
                elif answer["code"] == 503:  # it shuts down
                    return

    def _command(self, n: int) -> str:
        command = {"cmd": "insert", "arg": self._path, "d": [{"d": n}], "id": n, "key": f"number-{n}"}
        return json.dumps(command)


@pytest.mark.parametrize("orderly", [True, False], ids=["stopped", "killed"])
def test_what_is_acknowledged_is_stored_once(
    orderly: bool, own_server: LiveServer, connect: Callable[..., ConnectorDB]
) -> None:
    rng = random.Random()
    device = connect("test", "test", url=own_server.url)("test/source")
    device.create(streams={"s": {}})
    pipeline = Pipeline(own_server, device.apikey, "test/source/s")
    for _ in range(KILLS):
        n = pipeline.acknowledged
        until(lambda n=n: pipeline.failed or pipeline.acknowledged > n + 300, "inserts")
        assert pipeline.failed == []
        time.sleep(rng.uniform(0, 0.3))  # the moment is what is random
        (own_server.stop if orderly else own_server.kill)()
        own_server.start()
    pipeline.stop()
    assert pipeline.failed == []
    assert pipeline.again > 0 or orderly
    stored = [point["d"] for point in device["s"][:]]
    assert sorted(stored) == list(range(pipeline.next))
    assert pipeline.acknowledged == pipeline.next
