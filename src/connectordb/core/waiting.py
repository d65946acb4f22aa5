"""Who waits for something to become of a downlink."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ..errors import TooManyRequests

__all__ = ["Waiting"]

LOOK_S = 0.05
"""So long after a change those who wait look at it: once for many changes."""
LOOK_STEP = 100
"""So many look before others have the event loop."""


class Waiting:
    """Wakes those who wait. All of it happens on the event loop, but for `objects_changed`.

    Args:
        waiting_max: So many may wait at the same time.

    Attributes:
        ended: Nobody is to wait any more.
    """

    def __init__(self, waiting_max: int) -> None:
        self._waiting_max = waiting_max
        self._events: dict[int, set[asyncio.Event]] = {}
        self._n = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._looking = False
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
        self._loop = asyncio.get_running_loop()
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

    def objects_changed(self) -> None:
        """Wake all soon, as what they wait for may be deleted or forbidden. May be called from any thread."""
        if self._loop is not None and self._events:
            try:
                self._loop.call_soon_threadsafe(self._look_soon)
            except RuntimeError:  # the loop is closed
                pass

    def end(self) -> None:
        """Let nobody wait any more."""
        self.ended = True
        self.wake(list(self._events))

    def _look_soon(self) -> None:
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _look(self) -> None:
        self._looking = False
        self._set_some([event for events in self._events.values() for event in events])

    def _set_some(self, events: list[asyncio.Event]) -> None:
        for event in events[:LOOK_STEP]:
            event.set()
        if len(events) > LOOK_STEP:
            asyncio.get_running_loop().call_soon(self._set_some, events[LOOK_STEP:])
