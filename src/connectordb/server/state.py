"""What all handlers need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .metrics import Metrics

if TYPE_CHECKING:
    from ..core import Core

__all__ = ["State"]


class State:
    """The core, and the state of this server.

    Attributes:
        core: The rules.
        version: Of this server, as ``meta/version`` tells it.
        metrics: What ``/metrics`` tells.
        draining: The server is shutting down: what it has accepted is finished, all else is refused.
        log: A structlog logger, or what can be used like one.
        write_failure: Why the last write could not be stored; ``None``: it could.
        write_failed: When that was, as `time.monotonic` counts.
    """

    def __init__(self, core: Core, version: str, log: Any) -> None:
        self.core = core
        self.version = version
        self.metrics = Metrics()
        self.draining = False
        self.log = log
        self.write_failure: str | None = None
        self.write_failed = 0.0
