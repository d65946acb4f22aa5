"""The Logger at work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal

from connectordb.logger import Logger

from .timing import Timed

__all__ = ["STREAM", "LoggerInserts"]

STREAM = "temperature"


@dataclass
class LoggerInserts:
    """Inserts datapoints one by one into a Logger that has no network yet, then uploads them."""

    path: Path
    points: list[tuple[float, float]]
    synchronous: Literal["full", "normal"]
    url: str
    apikey: str

    def __call__(self, ready: Callable[[], None]) -> Timed:
        """Open the Logger, call *ready*, then work."""
        timed = Timed()
        logger = Logger(self.path, synchronous=self.synchronous, syncraise=True)
        logger.add_stream(STREAM, {"type": "number"})
        ready()
        for t, d in self.points:
            begun = perf_counter()
            logger.insert(STREAM, d, t)
            timed.ended.append(perf_counter())
            timed.begun.append(begun)
        logger.server_url = self.url
        logger.apikey = self.apikey
        logger.sync()
        logger.close()
        return timed
