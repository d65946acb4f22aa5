"""What all handlers need."""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..errors import ServerError, StorageFull, StoreBusy, StoreDamaged, StoreError, StoreFull, Unavailable
from .metrics import Metrics
from .pings import Pings
from .sending import Sending

if TYPE_CHECKING:
    from ..core import Core
    from ..wire import InsertReport
    from .live import EventStream
    from .session import Session

__all__ = ["State"]

RESTART = 1012
"""The code with which websockets are closed when the server stops (RFC 6455)."""
SHUTTING_DOWN = "the server is shutting down"


class State:
    """The core, and the state of this server.

    Attributes:
        core: The rules.
        version: Of this server, as ``meta/version`` tells it.
        metrics: What ``/metrics`` tells.
        draining: The server is shutting down: what it has accepted is finished, all else is refused.
        log: A structlog logger, or what can be used like one.
        log_requests: Whether each request gets a line in it.
        sessions: The websockets that are open.
        streams: The answers with server-sent events that are under way.
        pings: Asks the websockets whether they are still there.
        sending: Sends what has been written to them.
        write_failure: Why the last write could not be stored; ``None``: it could.
        write_failed: When that was, as `time.monotonic` counts.
    """

    def __init__(self, core: Core, version: str, log: Any) -> None:
        self.core = core
        self.version = version
        self.metrics = Metrics()
        self.draining = False
        self.log = log
        self.log_requests = core.settings.log.requests and log.is_enabled_for(logging.INFO)
        self.sessions: set[Session] = set()
        self.streams: set[EventStream] = set()
        self.sending = Sending()
        self.pings = Pings(core.settings.live.ping_s, core.settings.live.pong_s)
        self.write_failure: str | None = None
        self.write_failed = 0.0

    def check_live_limit(self) -> None:
        """Raise `Unavailable` if no more websockets and event streams may be opened.

        The server may have begun to stop while it was found out who asks.
        """
        if self.draining:
            raise Unavailable(SHUTTING_DOWN)
        limit = self.core.settings.live.connections_max
        if len(self.sessions) + len(self.streams) >= limit:
            raise Unavailable(f"{limit} live connections are open already, which is the most that there may be")

    def stored(self, report: InsertReport) -> None:
        """Take note of an insert that is on disk."""
        if not report.repeated:
            self.metrics.points_inserted += report.stored
            if report.stored:
                self.write_failure = None

    def store_failed(self, error: StoreError, *, writing: bool, openly: bool) -> ServerError:
        """Take note of *error*, and return what to tell about it.

        Args:
            writing: Something was to be stored.
            openly: Who asked may know all.
        """
        told = "the database could not carry this out, and nothing of it was stored"
        reason = ""
        if isinstance(error, StoreBusy | StoreDamaged):  # no secret, unlike where on the disk the database lies
            reason = error.reason
        if writing:
            self.write_failure = reason or "the log of the server tells why"
            self.write_failed = monotonic()
        if openly:
            reason = str(error)
        if isinstance(error, StoreFull):
            return StorageFull(f"{reason}; nothing of it was stored")
        if isinstance(error, StoreDamaged):  # trying again is of no use
            return ServerError(reason)
        return Unavailable(f"{told}: {reason}" if reason else told)

    def close_live(self) -> None:
        """Begin to end all websockets and event streams, in a way that tells clients to come back; end all waiting."""
        for session in list(self.sessions):
            session.drain(RESTART, SHUTTING_DOWN)
        for stream in list(self.streams):
            stream.finish()
        self.core.waiting.end()

    def abort_live(self) -> None:
        """End what is left of them at once."""
        for session in list(self.sessions):
            session.abort()
        self.pings.close()
