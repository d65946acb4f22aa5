"""The one place where errors of SQLite become errors of ours."""

from __future__ import annotations

from pathlib import Path

import apsw

from ..errors import StoreBusy, StoreError

__all__ = ["damaged", "translate"]


def translate(error: apsw.Error, path: Path) -> StoreError:
    """Return what *error*, which SQLite raised on the database at *path*, means to a user."""
    match error:
        case apsw.FullError():
            return StoreBusy(f"the disk that holds {path} is full: free some space, then try again", "the disk is full")
        case apsw.BusyError() | apsw.LockedError():
            return StoreBusy(f"another process keeps {path} locked", "the database is locked")
        case apsw.NoMemError():
            return StoreBusy(f"there is no memory left to work on {path}", "there is no memory left")
        case apsw.IOError():
            return StoreBusy(f"the disk failed while {path} was read or written: {error}", "the disk failed")
        case apsw.NotADBError():
            return StoreError(f"{path} is no SQLite database")
        case apsw.CorruptError():
            return StoreError(f"the database {path} is damaged ({error}): restore it from a backup")
        case apsw.CantOpenError() | apsw.PermissionsError() | apsw.ReadOnlyError() | apsw.AuthError():
            return StoreError(f"the database {path} cannot be opened for writing: {error}")
        case _:
            return StoreError(f"SQLite refused to work on {path}: {error}")


def damaged(key: int, i: int) -> StoreError:
    """Return the error for an index that the head promises and the tail does not hold."""
    return StoreError(f"the database is damaged: substream {key} has no datapoint with index {i}")
