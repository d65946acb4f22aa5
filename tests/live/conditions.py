"""Waiting for something to become true, and looking at what the server counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

if TYPE_CHECKING:
    from live_server import LiveServer

PATIENCE_S = 60.0


def until(true: Callable[[], Any], what: str = "", within_s: float = PATIENCE_S) -> Any:
    """Wait until *true* returns something true, and return that. Fails if it takes too long."""
    end = time.monotonic() + within_s
    while not (found := true()):
        assert time.monotonic() < end, f"not within {within_s} s: {what or true}"
        time.sleep(0.01)
    return found


def metric(server: LiveServer, name: str) -> float:
    """What *server* tells of *name* in its metrics."""
    with urlopen(f"{server.url}/metrics", timeout=20) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
    raise AssertionError(f"there is no {name}")
