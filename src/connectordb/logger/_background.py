"""Synchronising in the background, at intervals."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

__all__ = ["Background"]

BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 60.0
"""The longest pause after a failure, unless the period is longer."""


class Background:
    """A daemon thread that runs *work* at once, then again a period after each run has ended.

    After a run that failed the pause is chosen at random below a bound, which doubles with each failure up to the
    period or a minute, whichever is longer. So after an outage a server is not asked by all Loggers at once.

    Args:
        work: Returns ``None`` if it went well, else how many seconds the server wants to be left alone, or 0. It is
            given a function that tells whether to stop, and does not raise.
        period_s: Gives the period in seconds.
    """

    def __init__(self, work: Callable[[Callable[[], bool]], float | None], period_s: Callable[[], float]) -> None:
        self._work = work
        self._period_s = period_s
        self._stopping = threading.Event()
        self._changed = threading.Event()
        self._next_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="connectordb-logger", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether the thread lives."""
        return self._thread.is_alive()

    @property
    def next_in_s(self) -> float | None:
        """In how many seconds the next run begins; ``None``: there will be none, or one is under way."""
        at = self._next_at
        return None if at is None else max(0.0, at - time.monotonic())

    def period_changed(self) -> None:
        """Have the period looked up again, also for the pause under way."""
        self._changed.set()

    def stop(self, timeout_s: float) -> None:
        """Begin no further run, and wait at most *timeout_s* seconds for one under way."""
        self._stopping.set()
        self._changed.set()
        if self._thread is not threading.current_thread():  # a callback may stop what called it
            self._thread.join(timeout_s)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            wish_s = self._work(self._stopping.is_set)
            failures = 0 if wish_s is None else failures + 1
            ended_at = time.monotonic()
            share = random.random()
            while not self._stopping.is_set():
                pause_s = self._pause_s(failures, wish_s or 0.0, share)
                self._next_at = ended_at + pause_s
                self._changed.clear()
                left_s = self._next_at - time.monotonic()
                if left_s <= 0 or (not self._changed.wait(min(left_s, threading.TIMEOUT_MAX))):
                    break
            self._next_at = None

    def _pause_s(self, failures: int, wish_s: float, share: float) -> float:
        period_s = self._period_s()
        if failures == 0:
            return period_s
        bound_s = min(max(period_s, BACKOFF_MAX_S), BACKOFF_FIRST_S * 2.0 ** min(failures - 1, 30))
        return wish_s + share * bound_s
