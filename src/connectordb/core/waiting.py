"""Who waits for something to become of a downlink."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ..errors import TooManyRequests

__all__ = ["Waiting"]


class Waiting:
    """Wakes those who wait. All of it happens on the event loop.

    Args:
        waiting_max: So many may wait at the same time.

    Attributes:
        ended: Nobody is to wait any more.
    """

    def __init__(self, waiting_max: int) -> None:
        self._waiting_max = waiting_max
        self._events: dict[int, set[asyncio.Event]] = {}
        self._n = 0
        self.ended = False

    def __len__(self) -> int:
        return self._n

    @contextmanager
    def register(self, downlink_id: int) -> Iterator[asyncio.Event]:
        """Lend an event which is set whenever the downlink may have changed.

        Raises:
            TooManyRequests: too many wait already.
        """
        if self._n >= self._waiting_max:
            raise TooManyRequests(
                f"{self._n} requests wait for downlinks already: ask again without waiting", retry_after_s=1
            )
        event = asyncio.Event()
        events = self._events.setdefault(downlink_id, set())
        events.add(event)
        self._n += 1
        try:
            yield event
        finally:
            self._n -= 1
            events.discard(event)
            if not events:
                del self._events[downlink_id]

    def wake(self, downlink_ids: Iterable[int]) -> None:
        """Wake those who wait for these downlinks."""
        if self._events:
            for id_ in downlink_ids:
                for event in self._events.get(id_, ()):
                    event.set()

    def end(self) -> None:
        """Let nobody wait any more."""
        self.ended = True
        self.wake(list(self._events))
