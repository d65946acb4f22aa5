"""The load generator: one client with one connection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter, sleep

from .exchange import Connection
from .timing import Timed

__all__ = ["Load"]


@dataclass
class Load:
    """Sends requests one after the other.

    Attributes:
        requests: Whole, as they go over the wire.
        warmup: Sent before, not counted.
        keep: Whether to bring the bodies of the answers back.
        pause_s: How long to wait after each answer, in seconds.
    """

    host: str
    port: int
    requests: list[bytes]
    warmup: list[bytes]
    keep: bool = False
    pause_s: float = 0.0

    def __call__(self, ready: Callable[[], None]) -> Timed:
        """Connect, call *ready*, which returns when all may begin, and send."""
        connection = Connection(self.host, self.port)
        for request in self.warmup:
            connection.exchange(request)
        timed = Timed()
        answers = []
        ready()
        for request in self.requests:
            begun = perf_counter()
            answer = connection.exchange(request)
            timed.ended.append(perf_counter())
            timed.begun.append(begun)
            if self.keep:
                answers.append(answer)
            if self.pause_s:
                sleep(self.pause_s)
        connection.close()
        timed.bodies = [answer.body() for answer in answers]
        return timed
