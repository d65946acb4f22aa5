"""Connections to the SQLite file, and the pool of those that read."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from ..errors import StoreError, Unavailable
from ._cache import BlockCache
from ._errors import translate

__all__ = ["SYNCHRONOUS", "Readers", "create_file", "open_connection", "prepare_writing", "query"]

SYNCHRONOUS = ("full", "normal")
"""What a commit waits for: until it is on disk, or only until the operating system has it."""

_BUSY_TIMEOUT_MS = 5_000
_STATEMENTS_MAX = 300  # the flush of a group has a statement for each number of rows
_WAL_PAGES_MAX = 4_000  # then a commit copies the log back into the database: 16 MB
_WAL_BYTES_KEPT = 64 << 20  # of a log that had to grow, as while a backup was made


def create_file(path: Path) -> None:
    """Make an empty file at *path*, to be read by its owner only, unless there is one already.

    Raises:
        StoreError: it cannot be made.
    """
    try:
        # Never opens a file that exists: closing it would drop the locks that SQLite holds on it in this process.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise StoreError(f"the database {path} cannot be made: {error.strerror}") from error


def open_connection(path: Path, *, vfs: str | None = None) -> apsw.Connection:
    """Connect to the database at *path*, which exists.

    Raises:
        StoreError: it cannot be opened.
    """
    try:
        connection = apsw.Connection(
            str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs, statementcachesize=_STATEMENTS_MAX
        )
    except apsw.Error as error:
        raise translate(error, path) from error
    connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
    return connection


def prepare_writing(connection: apsw.Connection, path: Path, *, synchronous: str) -> None:
    """Make *connection* write with a write-ahead log, and wait for the disk as *synchronous* says.

    Raises:
        StoreError: the file system cannot do that, or the disk refused.
    """
    try:
        journal = connection.pragma("journal_mode", "wal")
        if journal != "wal":
            raise StoreError(f"{path} lies on a file system which cannot do WAL (it offers {journal!r})")
        connection.pragma("synchronous", synchronous)
        connection.pragma("foreign_keys", True)
        connection.wal_autocheckpoint(_WAL_PAGES_MAX)
        connection.pragma("journal_size_limit", _WAL_BYTES_KEPT)
    except apsw.Error as error:
        raise translate(error, path) from error


def query(connection: apsw.Connection, sql: str, bindings: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Return all rows."""
    return connection.execute(sql, bindings).fetchall()


class Readers:
    """A bounded pool of connections for short reads, from any thread.

    Args:
        path: The database, which exists.
        size: How many may read at the same time; others wait, for the moment that a read takes.
        cache_bytes: How much memory the blocks in `cache` take.
        vfs: Name of the SQLite VFS, ``None``: the default one.

    Attributes:
        cache: Blocks that were read.
    """

    def __init__(self, path: Path, *, size: int, cache_bytes: int = 0, vfs: str | None = None) -> None:
        self.cache = BlockCache(cache_bytes)
        self._path = path
        self._size = size
        self._vfs = vfs
        self._slots = threading.Semaphore(size)
        self._idle: list[apsw.Connection] = []
        self._closing = threading.Lock()
        self._closed = False

    @contextmanager
    def borrow(self) -> Iterator[apsw.Connection]:
        """Lend a connection, on which each statement is a read of its own.

        Raises:
            Unavailable: the pool has been closed.
            StoreError: SQLite refused.
        """
        with self._slots:
            if self._closed:
                raise Unavailable("the store is closed")
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._open()
            try:
                yield connection
            except apsw.Error as error:
                connection.close(force=True)  # who knows what state it is in
                raise translate(error, self._path) from error
            except BaseException:
                self._idle.append(connection)
                raise
            self._idle.append(connection)

    @contextmanager
    def snapshot(self) -> Iterator[apsw.Connection]:
        """Lend a connection on which all statements see the same state of the database."""
        with self.borrow() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("COMMIT")

    def close(self) -> None:
        """Wait for the reads that run, then close all connections."""
        with self._closing:
            if self._closed:
                return
            self._closed = True  # first, or those that come in the meantime would keep the slots among themselves
            for _ in range(self._size):
                self._slots.acquire()
            while self._idle:
                self._idle.pop().close()
            for _ in range(self._size):
                self._slots.release()

    def _open(self) -> apsw.Connection:
        connection = open_connection(self._path, vfs=self._vfs)
        connection.pragma("query_only", True)
        return connection
