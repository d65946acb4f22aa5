"""Deleting what is older than its stream keeps it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from ..errors import NotFound, StoreError, Unavailable
from ..store.base import Store, Transaction
from ..store.records import Stream, Substream

__all__ = ["Retention"]

log = logging.getLogger(__name__)

POINTS_FIRST = 50_000
POINTS_MIN = 1_000
POINTS_MAX = 10_000_000
"""So many datapoints are deleted at once: at first, and then as many as take about as long as they may."""
STEP_S = 0.05
"""A transaction that takes longer than this is followed by smaller ones."""
LEDGER_STEP = 10
"""What is kept of so many corrections is forgotten at once."""
SLACK = 0.01
SLACK_MAX_S = 86_400.0
"""Nothing is deleted until there is something that is older than it should be by this share of the time, or a day: each
deletion is an entry in the ledger, and gives what is left other indices."""


class Retention:
    """Looks through the streams now and then, on a thread of its own. What it deletes is gone for good.

    Args:
        store: Where they are.
        clock: Tells the present time in seconds since the Unix epoch.
        every_s: How often.
    """

    def __init__(self, store: Store, clock: Callable[[], float], every_s: float) -> None:
        self._store = store
        self._clock = clock
        self._every_s = every_s
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="connectordb-retention", daemon=True)
        self._points = POINTS_FIRST

    def start(self) -> None:
        """Begin, and look through all streams at once."""
        self._thread.start()

    def close(self) -> None:
        """End after the step under way."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> int:
        """Delete what is too old, and return how many datapoints that were.

        A stream in which it cannot be done, as there is damage, keeps no other from it.

        Raises:
            StoreError: the last such error, when all streams have been looked at.
            Unavailable: the store is closing.
        """
        failed: StoreError | None = None
        deleted = 0
        for stream in self._store.limited_streams():
            for substream in Substream:
                try:
                    deleted += self._look_at(stream, substream)
                except NotFound:  # it has just been deleted
                    pass
                except StoreError as e:
                    log.warning("old datapoints of stream %d could not be deleted: %s", stream.id, e)
                    failed = e
        if failed is not None:
            raise failed
        return deleted

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except Unavailable:
                if self._closed.is_set():
                    return
            except StoreError as e:
                log.warning("old datapoints could not be deleted, which will be tried again: %s", e)
            except Exception:
                log.exception("old datapoints could not be deleted, which will be tried again")
            if self._closed.wait(self._every_s):
                return

    def _look_at(self, stream: Stream, substream: Substream) -> int:
        until = self._clock() - stream.keep_s
        slack_s = min(SLACK * stream.keep_s, SLACK_MAX_S)
        deleted = 0
        if self._store.index_at(stream.id, substream, until - slack_s) > 0:
            while not self._closed.is_set() and (n := self._step(self._delete, stream, substream, until)):
                deleted += n
        if self._store.corrections(stream.id, substream, limit=1):
            while not self._closed.is_set() and self._step(self._forget, stream, substream, until):
                pass
        return deleted

    def _step(
        self,
        work: Callable[[Transaction, Stream, Substream, float], int],
        stream: Stream,
        substream: Substream,
        t: float,
    ) -> int:
        began = time.monotonic()
        n = self._store.submit(lambda tx: work(tx, stream, substream, t)).result()
        if n:
            self._closed.wait(min(time.monotonic() - began, 0.1))  # leave as much time to others as it took
        return n

    def _delete(self, tx: Transaction, stream: Stream, substream: Substream, t: float) -> int:
        n = min(tx.index_at(stream.id, substream, t), self._points) if _is_current(tx, stream) else 0
        if n == 0:
            return 0
        began = time.monotonic()
        tx.delete_points(stream.id, substream, 0, n, by="", why=f"kept for {stream.keep_s:g} s", keep=False)
        took_s = time.monotonic() - began
        if took_s > STEP_S:
            self._points = max(POINTS_MIN, self._points // 2)
        elif took_s < STEP_S / 4 and n == self._points:
            self._points = min(POINTS_MAX, self._points * 2)
        return n

    def _forget(self, tx: Transaction, stream: Stream, substream: Substream, t: float) -> int:
        return tx.forget_corrected(stream.id, substream, t, LEDGER_STEP) if _is_current(tx, stream) else 0


def _is_current(tx: Transaction, stream: Stream) -> bool:
    """Whether datapoints are still kept for as long as *stream* says."""
    return any(one.id == stream.id and one.keep_s == stream.keep_s for one in tx.streams(stream.device_id))
