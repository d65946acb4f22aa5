"""Asks connections from time to time whether they are still there. One timer serves all of them."""

from __future__ import annotations

import asyncio
from typing import Protocol

__all__ = ["Pings"]

AT_ONCE = 200
"""So many are asked in one turn of the loop."""


class Peer(Protocol):
    """A connection that can be asked."""

    heard: bool
    """Set to ``True`` by the connection whenever something comes; to ``False`` when it is asked."""

    def ping(self) -> None:
        """Ask it for a sign of life."""

    def silent(self) -> None:
        """It has given none."""


class Pings:
    """The connections, in the order in which they are to be asked or given up."""

    def __init__(self, ping_s: float, pong_s: float) -> None:
        """Begin with none.

        Args:
            ping_s: A connection is asked so often.
            pong_s: So long it may take to answer; anything that comes from it is an answer.
        """
        self._ping_s = ping_s
        self._pong_s = pong_s
        # All wait equally long, so what is first in these is due first: for its next question, and for its answer.
        self._to_ask: dict[Peer, float] = {}
        self._asked: dict[Peer, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, peer: Peer) -> None:
        """Look after *peer* from now on."""
        self._to_ask[peer] = asyncio.get_running_loop().time() + self._ping_s
        if self._timer is None:
            self._wait()

    def discard(self, peer: Peer) -> None:
        """Look after it no more."""
        self._to_ask.pop(peer, None)
        self._asked.pop(peer, None)

    def close(self) -> None:
        """Stop."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        due = [next(iter(peers.values())) for peers in (self._to_ask, self._asked) if peers]
        loop = asyncio.get_running_loop()
        # Not more often than so, that many are done at once.
        soonest = loop.time() + min(self._ping_s, self._pong_s) / 20
        self._timer = loop.call_at(max(min(due), soonest), self._look) if due else None

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer = None
        left = AT_ONCE
        for peer, due in list(_first(self._asked, left)):
            if due <= now and self._asked.pop(peer, None) is not None:
                left -= 1
                if not peer.heard:
                    self._to_ask.pop(peer, None)
                    peer.silent()
        for peer, due in list(_first(self._to_ask, left)):
            if due <= now and self._to_ask.pop(peer, None) is not None:
                left -= 1
                self._to_ask[peer] = now + self._ping_s
                if peer.heard or peer not in self._asked:
                    peer.heard = False
                    self._asked.pop(peer, None)
                    self._asked[peer] = now + self._pong_s
                peer.ping()
        if left > 0:
            self._wait()
        else:
            self._timer = loop.call_later(0.001, self._look)


def _first(peers: dict[Peer, float], n: int) -> list[tuple[Peer, float]]:
    return [item for item, _ in zip(peers.items(), range(n), strict=False)]
