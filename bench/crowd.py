"""Many connections on which nothing happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import psutil

from .exchange import Connection
from .readers import Readers
from .websocket import Dial

__all__ = ["Crowd", "Weight"]

_SETTLE_S = 0.5
_WARMUP = 20


class Weight(NamedTuple):
    """What a server weighs without connections and with them, in bytes; and what came over each in the end."""

    before: int
    after: int
    bodies: list[bytes]


@dataclass
class Crowd:
    """Subscribers who wait; in the end, one datapoint comes to show that they are there.

    Attributes:
        pid: Of the server.
        request: Inserts the datapoint.
        tail: The end of it.
    """

    subscriber: Dial
    n: int
    pid: int
    request: bytes
    tail: bytes

    def __call__(self, ready: Callable[[], None]) -> Weight:
        """Call *ready*, then open the connections and weigh the server."""
        server = psutil.Process(self.pid)
        for _ in range(_WARMUP):
            self.subscriber.open().close()
        ready()
        time.sleep(_SETTLE_S)
        before = server.memory_info().rss
        readers = Readers(self.subscriber, self.n, self.tail)
        time.sleep(_SETTLE_S)
        after = server.memory_info().rss
        publisher = Connection(self.subscriber.host, self.subscriber.port)
        publisher.exchange(self.request)
        publisher.close()
        while readers.poll():
            pass
        bodies = readers.bodies()
        readers.close()
        return Weight(before, after, bodies)
