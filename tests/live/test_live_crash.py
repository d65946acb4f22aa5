"""A server that is killed again and again, while some write and many read."""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agent import Agent

from connectordb import ConnectorDB
from live_server import LiveServer

CI = bool(os.environ.get("CI"))
SECONDS = 60.0 if CI else 8.0
END = "end"
STREAMS = ("one", "two", "shared", "late")
"""Two of one writer each, one that all write to, and one to which datapoints come that are older than others."""
CATCH_UP_S = 120.0


def readers(process: int) -> list[dict[str, Any]]:
    """The subscribers of one of three processes."""
    path = "test/source"
    found: list[dict[str, Any]] = [
        {"name": "one", "path": f"{path}/one"},
        {"name": "shared", "path": f"{path}/shared"},
        {"name": "shared again", "path": f"{path}/shared", "hop": True},
        {"name": "late", "path": f"{path}/late", "hop": process == 1},
        {"name": "all", "path": f"{path}/*", "hop": process == 2},
        {"name": "live", "path": f"{path}/shared", "how": "live", "hop": process == 0},
    ]
    if process < 2:
        found.append({"name": "two", "path": f"{path}/two", "hop": True})
    return found


@pytest.mark.slow
def test_what_is_committed_comes_once_however_often_the_server_is_killed(
    own_server: LiveServer, agents: Callable[..., Agent], connect: Callable[..., ConnectorDB], tmp_path: Path
) -> None:
    rng = random.Random()
    db = connect("test", "test", url=own_server.url)
    source = db("test/source")
    source.create(streams={name: {} for name in STREAMS})
    login = [source.apikey]
    given = {"url": own_server.url, "login": login, "backoff_max_s": 1.0}
    reading = [agents("readers", readers=readers(i), **given) for i in range(3)]
    writers = [
        {"name": f"w{i}{stream}", "path": f"test/source/{stream}", "mode": mode, "per_s": 40}
        for i, alone in enumerate(("one", "two", ""))
        for stream, mode in ((alone, "restamp"), ("shared", "restamp"), ("late", "merge"))
        if stream
    ]
    writing = agents("writers", writers=writers, **given)
    for agent in reading:
        agent.ready()
    assert writing.ask("start")

    end = time.monotonic() + SECONDS
    kills = 0
    while time.monotonic() < end or kills < 3:
        time.sleep(rng.uniform(0.1, 3.0))  # the moment is what is random
        (own_server.stop if rng.random() < 0.2 else own_server.kill)()
        kills += 1
        time.sleep(rng.choice((0.0, 0.0, 0.5)))
        own_server.start()
        if rng.random() < 0.5:
            for agent in reading:
                agent.tell("hop")
    assert kills >= 3

    acknowledged = stop_writers(writing, tmp_path / "writers.json")
    own = connect(source.apikey, url=own_server.url)
    for name in STREAMS:
        own(f"test/source/{name}").insert(END)
    for agent, wanted in zip(reading, map(readers, range(3)), strict=True):
        missing = agent.ask("wait", patience_s=CATCH_UP_S + 60, paths=ends(wanted), within_s=CATCH_UP_S)
        assert missing == {}, f"{missing} did not come to the end; {agent.errors.read_text()[-3000:]}"

    stored = {
        f"test/source/{name}": [(point["t"], point["d"]) for point in own(f"test/source/{name}")[:]] for name in STREAMS
    }
    check_writers(acknowledged, stored)
    for i, agent in enumerate(reading):
        file = tmp_path / f"readers{i}.json"
        agent.ask("dump", file=str(file))
        for name, found in json.loads(file.read_text()).items():
            check_reader(f"{i}: {name}", found, stored)
        assert agent.ask("close") == []


def ends(wanted: list[dict[str, Any]]) -> dict[str, list[str]]:
    """The streams of which each reader is to get the end."""
    every = [f"test/source/{name}" for name in STREAMS]
    return {one["name"]: every if one["path"].endswith("*") else [one["path"]] for one in wanted}


def stop_writers(agent: Agent, file: Path) -> dict[str, list[str]]:
    """Return what each has had acknowledged."""
    assert agent.ask("stop", patience_s=120, file=str(file))
    found = json.loads(file.read_text())
    assert [one["error"] for one in found.values() if one["error"]] == []
    return {name: one["acknowledged"] for name, one in found.items()}


def check_writers(acknowledged: dict[str, list[str]], stored: dict[str, list[tuple[float, Any]]]) -> None:
    """What was acknowledged is stored, each once; and what one writer wrote to a stream is in its order."""
    counts = {path: Counter(d for _, d in points) for path, points in stored.items()}
    for path, count in counts.items():
        assert [(d, n) for d, n in count.items() if n != 1] == [], f"doubled in {path}"
    everything = set().union(*counts.values())
    for name, values in acknowledged.items():
        assert values, f"{name} has written nothing"
        assert [d for d in values if d not in everything] == [], f"lost of {name}"
    for path, points in stored.items():
        if not path.endswith("/late"):
            for name in acknowledged:
                numbers = [int(d.partition("-")[2]) for _, d in points if d.startswith(f"{name}-")]
                assert numbers == sorted(numbers)


def check_reader(name: str, found: dict[str, Any], stored: dict[str, list[tuple[float, Any]]]) -> None:
    """It has got all, each once, in order."""
    assert found["error"] == "", name
    assert [notice for notice in found["notices"] if notice[0] != "lag"] == [], name
    got: dict[str, list[tuple[float, Any]]] = {}
    for path, t, d in found["points"]:
        got.setdefault(path, []).append((t, d))
    for path, points in got.items():
        if path.endswith("/late"):  # they come in the order in which they arrived, not in that of time
            assert Counter(points) == Counter(stored[path]), difference(name, path, points, stored[path])
        else:
            assert points == stored[path], difference(name, path, points, stored[path])


def difference(name: str, path: str, got: list[tuple[float, Any]], stored: list[tuple[float, Any]]) -> str:
    """Say what is wrong, briefly."""
    more, less = Counter(got) - Counter(stored), Counter(stored) - Counter(got)
    first = next((i for i, (a, b) in enumerate(zip(got, stored, strict=False)) if a != b), -1)
    return (
        f"{name} of {path}: {len(got)} of {len(stored)}; too many {list(more.items())[:5]}, "
        f"missing {list(less.items())[:5]}, first difference at {first}"
    )
