"""How a Logger stands."""

from __future__ import annotations

import msgspec

__all__ = ["Status"]


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How a Logger stands.

    Attributes:
        waiting: How many datapoints of each stream the server has not acknowledged yet.
        rejected: How many datapoints the server refused; they are kept, see `Logger.rejected`.
        last_sync_t: When everything that waited was last acknowledged, in seconds since the Unix epoch; 0.0: never.
        last_error: What went wrong in the last synchronisation; ``None``: nothing.
        last_error_t: When, in seconds since the Unix epoch; ``None``: nothing went wrong.
        next_sync_t: When the next synchronisation in the background begins, in seconds since the Unix epoch; ``None``:
            one is under way, or there is none in the background.
        running: Whether this Logger synchronises in the background.
        spool_bytes: What the spool takes on disk.
    """

    waiting: dict[str, int]
    rejected: int
    last_sync_t: float
    last_error: str | None
    last_error_t: float | None
    next_sync_t: float | None
    running: bool
    spool_bytes: int
