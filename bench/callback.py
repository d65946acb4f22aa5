"""Our client's callback, and how long after the insert it runs."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

import connectordb

from .load import Load

__all__ = ["Callback", "Heard"]

_WAIT_S = 10.0


class Heard(NamedTuple):
    """When each datapoint was sent, was acknowledged, and came to the callback; and which datapoints came."""

    sent: array[float]
    answered: array[float]
    heard: array[float]
    points: list[tuple[float, float]]


@dataclass
class Callback:
    """Inserts over HTTP, and is told of that by a subscription of the Python client in the same process.

    Attributes:
        load: What to insert.
        stream: To be subscribed to.
    """

    url: str
    apikey: str
    stream: str
    load: Load

    def __call__(self, ready: Callable[[], None]) -> Heard:
        """Subscribe, call *ready*, and insert one datapoint after the other."""
        times = array("d")
        points: list[tuple[float, float]] = []

        def callback(path: str, data: Any) -> None:
            times.append(perf_counter())
            points.extend((point["t"], point["d"]) for point in data)

        db = connectordb.ConnectorDB(self.apikey, url=self.url)
        db[self.stream].subscribe(callback)
        timed = self.load(ready)
        deadline = time.monotonic() + _WAIT_S
        while len(times) < len(timed.ended) and time.monotonic() < deadline:
            time.sleep(0.01)
        db.close()
        return Heard(timed.begun, timed.ended, times, points)
