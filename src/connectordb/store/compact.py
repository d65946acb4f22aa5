"""Giving back the space that deleted data has left in the file."""

from __future__ import annotations

import os
from pathlib import Path

import apsw

from ..errors import StoreBusy, StoreError
from ._connection import create_file, open_connection, query
from ._errors import translate
from ._migrate import check_version, load_migrations
from .backup import check_space
from .sqlite import SQLiteStore

__all__ = ["compact"]

_WAIT_MS = 1_000


def compact(path: Path) -> tuple[int, int]:
    """Write the database at *path* anew without unused space, and return its size in bytes before and after.

    What is text yet is sealed first, if the database is of the newest version.

    Nobody else may have it open, and nobody can meanwhile. `VACUUM` itself would copy all into the write-ahead log and
    back, with a writer that waits; here a new file is written beside, synced, checked, and then takes the place of the
    old one. Killed at any moment, it leaves the one or the other.

    Raises:
        FolderError: there is no room for it, or the database is of a newer version.
        StoreError: somebody has it open, the database is damaged, or the disk refused. Nothing has changed.
    """
    new = path.with_name(f"{path.name}.compact")
    new.unlink(missing_ok=True)
    before = sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
    newest = load_migrations()[-1].version
    connection = open_connection(path)
    try:
        version = check_version(connection, path, newest)
        _be_alone(connection)
        if version == newest:
            connection.close()
            # What a power failure could take away is only that it was sealed: nothing new is written.
            with SQLiteStore(path, synchronous="normal", seal_after_s=None) as store:
                store.seal_all()
            connection = open_connection(path)
            _be_alone(connection)
        pages, free, size = query(
            connection,
            "SELECT page_count, freelist_count, page_size "
            "FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
        )[0]
        check_space(new, (pages - free) * size, "the new file")
        create_file(new)
        connection.execute("VACUUM INTO ?", (str(new),))
        _check(new)
        _sync(new)
        new.rename(path)
        _sync(path.parent)
    except apsw.BusyError as error:
        raise StoreBusy(f"another process has {path} open: wait for it to end", "the database is locked") from error
    except apsw.Error as error:
        raise translate(error, path) from error
    except OSError as error:
        raise StoreError(f"{new} cannot be written: {error.strerror}") from error
    finally:
        new.unlink(missing_ok=True)
        connection.close(force=True)
    return before, path.stat().st_size


def _be_alone(connection: apsw.Connection) -> None:
    """Lock everybody else out, with all that is in the write-ahead log in the file. Raises `apsw.BusyError`."""
    connection.set_busy_timeout(_WAIT_MS)
    # Only who is alone can leave the write-ahead log, and its contents are in the file then. From then on the lock
    # keeps others out.
    connection.pragma("locking_mode", "exclusive")
    connection.pragma("journal_mode", "delete")


def _check(path: Path) -> None:
    connection = open_connection(path)
    try:
        found = query(connection, "PRAGMA integrity_check(1)")
    finally:
        connection.close()
    if found != [("ok",)]:
        raise StoreError(f"what was written to {path} is damaged: {found[0][0]}. Nothing has changed")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
