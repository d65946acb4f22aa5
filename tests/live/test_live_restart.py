"""Many subscribers, and a server that restarts."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from agent import Agent
from conditions import metric, until

from connectordb import ConnectorDB
from live_server import LiveServer

SUBSCRIBERS = 200
PROCESSES = 4
END = "end"
CI = bool(os.environ.get("CI"))


@pytest.mark.parametrize("orderly", [True, False], ids=["stopped", "killed"])
def test_all_subscribers_come_back_and_have_everything(
    orderly: bool,
    own_server: LiveServer,
    agents: Callable[..., Agent],
    connect: Callable[..., ConnectorDB],
    tmp_path: Path,
) -> None:
    source = connect("test", "test", url=own_server.url)("test/source")
    source.create(streams={"s": {}})
    given = {"url": own_server.url, "login": [source.apikey]}
    each = SUBSCRIBERS // PROCESSES
    readers = [{"name": f"r{i}", "path": "test/source/s"} for i in range(each)]
    reading = [agents("readers", readers=readers, **given) for _ in range(PROCESSES)]
    writing = agents("writers", writers=[{"name": "w", "path": "test/source/s", "per_s": 20, "batch_max": 3}], **given)
    for agent in reading:
        agent.ready()
    assert writing.ask("start")
    until(lambda: writing.ask("counts")["w"] > 20, "the first datapoints")
    for _ in range(2 if CI else 1):
        (own_server.stop if orderly else own_server.kill)()
        own_server.start()
        n = writing.ask("counts")["w"]
        until(lambda n=n: writing.ask("counts")["w"] > n + 20, "more datapoints")
    assert writing.ask("stop", file=str(tmp_path / "writers.json"))
    own = connect(source.apikey, url=own_server.url)["s"]
    began = time.monotonic()
    own.insert(END)
    wanted = {one["name"]: ["test/source/s"] for one in readers}
    for agent in reading:
        assert agent.ask("wait", paths=wanted, within_s=120, patience_s=150) == {}, agent.errors.read_text()[-2000:]
    assert time.monotonic() - began < 60  # none hangs on until somebody notices
    opened = [
        datetime.fromisoformat(line["time"]).timestamp()
        for line in own_server.log_lines()
        if line["event"] == "request" and line["path"].endswith("/websocket")
    ][-SUBSCRIBERS:]
    assert max(opened) - min(opened) > 0.1, "they all come back at the same moment"
    until(lambda: metric(own_server, "connectordb_websockets") == SUBSCRIBERS, "the end of given up connections")
    stored = [[point["t"], point["d"]] for point in own[:]]
    for i, agent in enumerate(reading):
        file = tmp_path / f"readers{i}.json"
        agent.ask("dump", file=str(file))
        for name, found in json.loads(file.read_text()).items():
            assert [point[1:] for point in found["points"]] == stored, f"{i}: {name}"
            assert found["notices"] == []
        assert agent.ask("close", patience_s=120) == []
