"""Copying a database while others write to it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import apsw

from ..errors import FolderError, StoreError
from ._connection import create_file, open_connection, query
from ._errors import translate
from ._reading import reading, snapshot

__all__ = ["Progress", "back_up", "check_space", "copy_database"]

Progress = Callable[[int, int], None]
"""Is told how much is done, and of how much."""

_STEP_PAGES = 256  # 1 MiB
_SYNC_STEPS = 16
"""So often what was written is forced to the disk: the sync of a lot at once would hold up those of the server."""
_SPARE_BYTES = 16 << 20
"""So much is to be left on the disk."""


def back_up(path: Path, target: Path, *, rest: float = 0.0, progress: Progress | None = None) -> None:
    """Copy the database at *path* to the file *target*, which does not exist, as it is at this moment.

    It is SQLite's online backup inside one read transaction. By itself that backup starts over whenever another process
    writes, so under load it would not end; but what a read transaction sees does not change. It holds up no writer,
    and takes nothing from the server's process but the disk. What it costs: the write-ahead log cannot be reused
    meanwhile, and grows by what is written.

    The copy needs no write-ahead log, so that it can be read from a medium that cannot be written.

    Args:
        rest: After each step, pause for so many times as long as it took.
        progress: Told of pages.

    Raises:
        FolderError: there is no room for it.
        StoreError: the database is damaged, or the disk refused. What there is of *target* is of no use.
    """
    with reading(path) as connection:
        copy_database(connection, path, target, rest=rest, progress=progress)


def copy_database(
    connection: apsw.Connection, path: Path, target: Path, *, rest: float = 0.0, progress: Progress | None = None
) -> None:
    """The same through *connection*, which has no transaction open."""
    create_file(target)
    # Closed last of all: it would take away the locks that SQLite has on the file.
    descriptor = os.open(target, os.O_RDWR | os.O_CLOEXEC)
    try:
        copy = open_connection(target)
        try:
            # Whatever happens to an unfinished copy, nobody will want it.
            copy.pragma("journal_mode", "off")
            copy.pragma("synchronous", "off")
            with snapshot(connection):
                pages, size = query(
                    connection, "SELECT page_count, page_size FROM pragma_page_count, pragma_page_size"
                )[0]
                check_space(target, pages * size, "the copy")
                _copy(connection, copy, descriptor, rest, progress)
        finally:
            copy.close(force=True)
        copy = open_connection(target)
        try:
            copy.pragma("journal_mode", "delete")
        finally:
            copy.close(force=True)
        os.fsync(descriptor)
        if hasattr(os, "posix_fadvise"):
            # Whoever checks it is to see what the disk has, and the server needs the cache.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    except apsw.Error as error:
        of_source = isinstance(error, apsw.CorruptError | apsw.NotADBError | apsw.BusyError)
        raise translate(error, path if of_source else target) from error
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        os.close(descriptor)


def check_space(target: Path, needed: int, what: str) -> None:
    """Raise `FolderError` if the disk on which *target* is to be has no room for *needed* bytes."""
    free = shutil.disk_usage(target.parent).free
    if free < needed + _SPARE_BYTES:
        raise FolderError(
            f"there is no room for {what} in {target.parent}: it takes {needed / 1e6:,.1f} MB, and "
            f"{free / 1e6:,.1f} MB are free (some are left for others)"
        )


def _copy(
    connection: apsw.Connection, copy: apsw.Connection, descriptor: int, rest: float, progress: Progress | None
) -> None:
    steps = 0
    with copy.backup("main", connection, "main") as backup:
        while not backup.done:
            began_s = time.monotonic()
            backup.step(_STEP_PAGES)
            steps += 1
            if steps % _SYNC_STEPS == 0:
                os.fsync(descriptor)
            if progress is not None:
                progress(backup.page_count - backup.remaining, backup.page_count)
            if rest:
                time.sleep(rest * (time.monotonic() - began_s))
