"""The one place where errors of SQLite become errors of ours."""

from __future__ import annotations

from pathlib import Path

import apsw

from ..errors import StoreBusy, StoreDamaged, StoreError, StoreFull

__all__ = ["damaged", "translate", "unreadable"]


def translate(error: apsw.Error, path: Path) -> StoreError:
    """Return what *error*, which SQLite raised on the database at *path*, means to a user."""
    match error:
        case apsw.FullError():
            return StoreFull(f"the disk that holds {path} is full: free some space, then try again")
        case apsw.BusyError() | apsw.LockedError():
            return StoreBusy(f"another process keeps {path} locked", "the database is locked")
        case apsw.NoMemError():
            return StoreBusy(f"there is no memory left to work on {path}", "there is no memory left")
        case apsw.IOError() if _is_full(error):
            return StoreFull(f"the disk that holds {path} is full: free some space, then try again")
        case apsw.IOError():
            return StoreBusy(f"the disk failed while {path} was read or written: {error}", "the disk failed")
        case apsw.NotADBError():
            return StoreError(f"{path} is no SQLite database")
        case apsw.CorruptError():
            return StoreDamaged(f"the database {path} is damaged ({error}): restore it from a backup")
        case apsw.CantOpenError() | apsw.PermissionsError() | apsw.ReadOnlyError() | apsw.AuthError():
            return StoreError(f"the database {path} cannot be opened for writing: {error}")
        case _:
            return StoreError(f"SQLite refused to work on {path}: {error}")


def _is_full(error: apsw.IOError) -> bool:
    """Whether what SQLite tells as a failure is a full disk: it may not enlarge what it shares with other processes."""
    return getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE


def damaged(key: int, i: int) -> StoreError:
    """Return the error for an index that the head promises and the runs do not hold."""
    return StoreDamaged(f"the database is damaged: substream {key} has no datapoint with index {i}")


def unreadable(path: str, i1: int, i2: int, error: StoreError) -> StoreDamaged:
    """Return the error for a block that cannot be read: that of the datapoints ``[i1, i2)`` of the stream at *path*."""
    told = f"the datapoints [{i1}:{i2}] of {path} cannot be read: {error}"
    return StoreDamaged(f"{told}. Restore the database from a backup; what is not damaged can be read", told)
