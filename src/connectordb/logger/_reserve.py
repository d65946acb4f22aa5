"""Space on the disk that is kept for uploading, as deleting datapoints from a full disk needs some first."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["RESERVE_BYTES", "Reserve"]

RESERVE_BYTES = 524_288
"""Enough to freeze and acknowledge many batches: each writes a few pages to SQLite's log."""


class Reserve:
    """A file of no content beside the spool, given up when the disk is full. Neither method raises."""

    def __init__(self, spool_path: str) -> None:
        self._path = Path(spool_path + "-reserve")

    def make(self) -> None:
        """Write the file unless it is there; if there is no space for it, do without."""
        try:
            if self._path.stat().st_size >= RESERVE_BYTES:
                return
            self._path.unlink()  # its writing was cut off
        except OSError:
            pass
        try:
            handle = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except OSError:
            return
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(os.urandom(RESERVE_BYTES))  # zeros might take no space
        except OSError:
            with contextlib.suppress(OSError):
                self._path.unlink()

    def release(self) -> bool:
        """Delete the file and return whether it was there."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
