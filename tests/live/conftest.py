"""Servers, clients and helpers in processes of their own, for faults of all kinds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

# The helpers stand beside the tests; pytest's importlib mode does not look there by itself.
sys.path.insert(0, str(Path(__file__).parent))

from agent import Agent

from connectordb import ConnectorDB
from live_server import LiveServer

_numbers = count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that all tests share, which has no fault until the end."""
    options = {"auth.failures_max": 1_000_000}  # many tests end with a credential that is none any more
    yield from _run(LiveServer(tmp_path_factory.mktemp("live") / "db", options))


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[LiveServer]:
    """A server that the test may kill and start."""
    yield from _run(LiveServer(tmp_path / "db"))


def _run(server: LiveServer) -> Iterator[LiveServer]:
    server.start()
    try:
        yield server
        assert server.running, "the server has ended by itself"
        server.stop()
    finally:
        server.kill() if server.running else None
    assert not server.faults()


@pytest.fixture
def connect() -> Iterator[Callable[..., ConnectorDB]]:
    """Connects; the connections are closed after the test."""
    made: list[ConnectorDB] = []

    def connect(*login: str, url: str, **settings: Any) -> ConnectorDB:
        made.append(ConnectorDB(*login, url=url, **settings))
        return made[-1]

    yield connect
    for db in made:
        db.close()


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[Callable[..., Agent]]:
    """Starts helper processes, ``agents("NAME", given=...)``, which end with the test."""
    made: list[Agent] = []

    def start(name: str, **given: Any) -> Agent:
        made.append(Agent(name, tmp_path / f"agent{len(made)}.err", **given))
        return made[-1]

    yield start
    for agent in made:
        agent.thaw()
        agent.kill()


@pytest.fixture
def fresh_name() -> str:
    """A name that nothing has yet."""
    return f"fresh{next(_numbers)}"
