"""Sending at the end of a turn of the event loop what has been written in it.

A system call for each message would be most of what a message costs. When much is written, several messages for the
same client go out together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

__all__ = ["Sending"]

AT_ONCE = 500
"""After so many clients, others have the event loop for a moment."""


class Sender(Protocol):
    """What has something to send."""

    def flush(self) -> None:
        """Send it."""


class Sending:
    """Those that have something to send."""

    def __init__(self) -> None:
        self._senders: deque[Sender] = deque()
        self._due = False

    def add(self, sender: Sender) -> None:
        """Call its `Sender.flush` soon."""
        self._senders.append(sender)
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        senders = self._senders
        try:
            for _ in range(min(len(senders), AT_ONCE)):
                senders.popleft().flush()
        finally:
            self._due = bool(senders)
            if senders:
                asyncio.get_running_loop().call_soon(self._flush)
