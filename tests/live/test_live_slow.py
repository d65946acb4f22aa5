"""A subscriber that takes nothing for a while."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agent import Agent
from conditions import metric, until

from connectordb import ConnectorDB
from live_server import LiveServer

CI = bool(os.environ.get("CI"))
FROZEN_S = 10.0 if CI else 3.0
FROZEN_BYTES = 30_000_000
"""At least so much is written meanwhile: more than the system keeps for a connection by itself."""
POINT_BYTES = 24_000
ROUNDS = 6 if CI else 2
END = "end"
MEMORY = 100_000_000
"""So much more than before it may take, with everything."""


@pytest.mark.slow
def test_a_subscriber_that_stands_still_costs_the_others_nothing_and_catches_up(
    own_server: LiveServer, agents: Callable[..., Agent], connect: Callable[..., ConnectorDB], tmp_path: Path
) -> None:
    source = connect("test", "test", url=own_server.url)("test/source")
    source.create(streams={"big": {}, "small": {}})
    given = {"url": own_server.url, "login": [source.apikey]}
    following = [{"name": name, "path": f"test/source/{name}"} for name in ("big", "small")]
    others = agents("readers", readers=following, **given)
    live = {"name": "live", "path": "test/source/big", "how": "live"}
    frozen = agents("readers", readers=[*following, live], **given)
    writing = agents(
        "writers",
        writers=[
            {"name": "w", "path": "test/source/big", "per_s": 120, "batch_max": 5, "bytes": POINT_BYTES},
            {"name": "s", "path": "test/source/small", "per_s": 50, "batch_max": 1, "bytes": 10},
        ],
        **given,
    )
    for agent in (others, frozen):
        agent.ready()
    assert writing.ask("start")

    def written() -> int:
        return int(writing.ask("counts")["w"])

    def seconds_of(n: int, at_least_s: float) -> tuple[float, float]:
        """Wait until *n* datapoints more have been written, and return from when to when that was."""
        began, first = time.time(), written()
        until(lambda: written() >= first + n and time.time() >= began + at_least_s, "what is written")
        return began, time.time()

    seconds_of(100, 1.0)  # until it runs
    memory = own_server.memory
    before = seconds_of(300, 3.0)
    frozen.freeze()
    seconds_of(FROZEN_BYTES // POINT_BYTES, FROZEN_S)
    during = (before[1], time.time())
    peak = own_server.memory
    assert metric(own_server, "connectordb_subscriptions_behind") >= 1
    assert metric(own_server, "connectordb_queue_bytes") < 20_000_000
    frozen.thaw()
    for _ in range(ROUNDS):  # it gets on, and stands still again before it has caught up
        n = written()
        until(lambda n=n: written() > n + 20, "what is written")
        frozen.freeze()
        n = written()
        until(lambda n=n: written() > n + FROZEN_BYTES // POINT_BYTES // 3, "what is written")
        frozen.thaw()
    file = tmp_path / "writers.json"
    assert writing.ask("stop", file=str(file))
    own = connect(source.apikey, url=own_server.url)
    for name in ("big", "small"):
        own(f"test/source/{name}").insert(END)
    wanted = {name: [f"test/source/{name}"] for name in ("big", "small")}
    assert others.ask("wait", patience_s=150, paths=wanted, within_s=120) == {}
    wanted["live"] = wanted["big"]
    assert frozen.ask("wait", patience_s=150, paths=wanted, within_s=120) == {}

    # The others noticed nothing, and neither did those who write.
    delays = others.ask("latencies")
    for name in ("big", "small"):
        usual, then = (percentile(delays[name], *span) for span in (before, during))
        assert then < max(5 * usual, 2.0), f"{name}: delivered within {then:.3f} s instead of {usual:.3f} s (99 %)"
    for one in json.loads(file.read_text()).values():
        assert one["error"] == ""
        rates = [sum(began <= at < end for at, _ in one["times"]) / (end - began) for began, end in (before, during)]
        assert rates[1] > rates[0] / 4, f"{rates[1]:.0f} inserts/s instead of {rates[0]:.0f}"
    assert peak - memory < MEMORY, f"{(peak - memory) / 1e6:.0f} MB more"
    assert own_server.memory - memory < MEMORY

    # It was told, and has all.
    for agent, name in ((others, "others"), (frozen, "frozen")):
        agent.ask("dump", file=str(tmp_path / name))
    stored = {name: [(p["t"], number(p["d"])) for p in own(f"test/source/{name}")[:]] for name in ("big", "small")}
    for name in ("others", "frozen"):
        for reader, found in json.loads((tmp_path / name).read_text()).items():
            assert found["error"] == ""
            got = [(t, d) for _, t, d in found["points"]]
            assert got == stored["big" if reader == "live" else reader], f"{name}: {reader}"
    notices = frozen.ask("notices")["big"]
    assert any(kind == "lag" and n > 0 for kind, n, _ in notices), notices
    assert {kind for kind, _, _ in notices} == {"lag"}
    for agent in (others, frozen):
        assert agent.ask("close") == []


def test_a_subscriber_that_is_given_up_meanwhile_catches_up(
    tmp_path: Path, agents: Callable[..., Agent], connect: Callable[..., ConnectorDB]
) -> None:
    server = LiveServer(tmp_path / "db", {"live.ping_s": 0.3, "live.pong_s": 0.5, "live.heartbeat_s": 0.2})
    server.start()
    try:
        source = connect("test", "test", url=server.url)("test/source")
        source.create(streams={"s": {}})
        own = connect(source.apikey, url=server.url)["s"]
        following = [{"name": "subscribe", "path": "test/source/s"}]
        frozen = agents("readers", readers=following, url=server.url, login=[source.apikey], backoff_max_s=0.5)
        frozen.ready()
        for i in range(3):
            own.insert(f"{i} before")
            until(lambda: metric(server, "connectordb_websockets") == 1, "it is there")
            frozen.freeze()
            until(lambda: metric(server, "connectordb_websockets") == 0, "it is given up")
            own.insert(f"{i} meanwhile")
            frozen.thaw()
            until(lambda i=i: frozen.ask("counts")["subscribe"] == 2 * (i + 1), "it has all")
        own.insert(END)
        assert frozen.ask("wait", paths={"subscribe": ["test/source/s"]}, within_s=30) == {}
        frozen.ask("dump", file=str(tmp_path / "frozen"))
        points = json.loads((tmp_path / "frozen").read_text())["subscribe"]["points"]
        assert [d for _, _, d in points] == [p["d"] for p in own[:]]
        assert frozen.ask("close") == []
    finally:
        server.stop()
    assert server.faults() == []


def percentile(latencies: list[list[float]], began: float, end: float) -> float:
    """How long it took at most for 99 % of what was written in that time."""
    found = sorted(took for at, took in latencies if began <= at < end)
    assert len(found) > 50
    return found[int(len(found) * 0.99)]


def number(d: Any) -> Any:
    return d["n"] if isinstance(d, dict) else d
