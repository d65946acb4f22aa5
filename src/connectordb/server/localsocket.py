"""Websockets of local mode: messages between a thread of the user and the event loop, without a connection."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable

from ..client._socket import SocketClosed
from ..errors import TimedOut
from .messages import Pack
from .request import Request
from .session import ABNORMAL, NORMAL, TOO_BIG, Session
from .state import State
from .websocket import Upgrade

__all__ = ["LocalSocket", "LocalUpgrade"]

MESSAGES_WAITING_MAX = 1000
"""So many messages wait for the event loop at most; who sends more waits himself."""


class LocalUpgrade(Upgrade):
    """The way from a request to a websocket, in the same process.

    Attributes:
        socket: What it led to, if it did.
    """

    def __init__(self) -> None:
        self.socket: LocalSocket | None = None

    def check(self, state: State) -> None:
        """Any request will do."""

    def switch(self, state: State, request: Request) -> bool:
        """See `Upgrade.switch`."""
        self.socket = LocalSocket(_LocalLink(state, request))
        return True


class LocalSocket:
    """A websocket for the user: see `connectordb.client.Socket`."""

    def __init__(self, link: _LocalLink) -> None:
        self._link = link

    def send(self, text: str) -> None:
        """See `Socket.send`. Waits while the server has enough to do."""
        self._link.put(text.encode("utf-8", "surrogatepass"))

    def recv(self, timeout_s: float | None = None) -> str:
        """See `Socket.recv`. Raises `TimedOut` after *timeout_s* without a message."""
        return self._link.get(timeout_s).decode()

    def close(self) -> None:
        """See `Socket.close`."""
        self._link.hang_up()


class _LocalLink:
    """What is between the user and the session, to which it is the `Link`.

    `put`, `get` and `hang_up` are for any thread, the rest for the event loop.

    Attributes:
        full: See `Link`.
    """

    def __init__(self, state: State, request: Request) -> None:
        """Open it."""
        live = state.core.settings.live
        self._message_bytes_max = live.message_bytes_max
        self._queue_bytes_max = live.queue_bytes_max
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._incoming: deque[bytes] = deque()
        self._outgoing: deque[bytes] = deque()
        self._outgoing_bytes = 0
        self._taking = False
        self._held = False
        self._ended: tuple[int, str] | None = None
        self._lost = False
        self.pack: Pack = _as_it_is
        self.full = False
        self._session = Session(state, request.actor, request.login, self, request.ref)

    def put(self, message: bytes) -> None:
        """Send *message* to the session. Waits while that has enough to do. Raises `Closed`."""
        with self._changed:
            while self._ended is None and (self._held or len(self._incoming) >= MESSAGES_WAITING_MAX):
                self._changed.wait()
            self._raise_end()
            self._incoming.append(message)
            taking, self._taking = self._taking, True
        if not taking:
            self._call_soon(self._take)

    def get(self, timeout_s: float | None) -> bytes:
        """Wait for a message of the session. Raises `Closed`, `TimedOut`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._outgoing or self._ended, timeout_s):
                raise TimedOut(f"no message within {timeout_s} s")
            if not self._outgoing:
                self._raise_end()
            message = self._outgoing.popleft()
            self._outgoing_bytes -= len(message)
            drained = self.full and self._outgoing_bytes <= self._queue_bytes_max // 4
            if drained:
                self.full = False
        if drained:
            self._call_soon(self._session.writable)
        return message

    def hang_up(self) -> None:
        """Close it for the user."""
        self._end(NORMAL, "")
        self._call_soon(self._lose)

    @property
    def overfull(self) -> bool:
        """See `Link`."""
        return self.full and self._outgoing_bytes > 2 * self._queue_bytes_max

    @property
    def waiting_bytes(self) -> int:
        """See `Link`."""
        return self._outgoing_bytes

    def write(self, data: bytes) -> None:
        """See `Link`."""
        with self._changed:
            if self._ended is None:
                self._outgoing.append(data)
                self._outgoing_bytes += len(data)
                self.full = self._outgoing_bytes > self._queue_bytes_max
                self._changed.notify_all()

    def confirm(self, then: Callable[[], None]) -> None:
        """See `Link`. What has been written is as good as there."""
        then()

    def hold(self, on: bool) -> None:
        """See `Link`."""
        with self._changed:
            self._held = on
            self._changed.notify_all()

    def close(self, code: int, reason: str) -> None:
        """See `Link`."""
        self._end(code, reason)
        self._loop.call_soon(self._lose)

    def abort(self) -> None:
        """See `Link`."""
        self._end(ABNORMAL, "")
        self._lose()

    def _take(self) -> None:
        with self._changed:
            messages = list(self._incoming)
            self._incoming.clear()
            self._taking = False
            self._changed.notify_all()
        if any(len(message) > self._message_bytes_max for message in messages):
            self._session.fail(TOO_BIG, f"a message is longer than {self._message_bytes_max} bytes")
        elif messages:
            self._session.receive(messages)

    def _lose(self) -> None:
        if not self._lost and self._ended is not None:
            self._lost = True
            self._session.lost(*self._ended)

    def _end(self, code: int, reason: str) -> None:
        with self._changed:
            if self._ended is None:
                self._ended = (code, reason)
                self._incoming.clear()
            self._changed.notify_all()

    def _raise_end(self) -> None:
        if self._ended is not None:
            code, reason = self._ended
            raise SocketClosed(f"the connection is closed ({code}{f', {reason}' if reason else ''})", code, reason)

    def _call_soon(self, function: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:  # the loop is closed, and with it all that was open
            pass


def _as_it_is(message: bytes) -> bytes:
    return message
