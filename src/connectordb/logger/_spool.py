"""The spool: a file in which datapoints wait until the server has them. No network here."""

from __future__ import annotations

import errno
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import apsw
import msgspec

from ..errors import SpoolCorrupt, SpoolError, SpoolFull
from ._tables import new_source, prepare

__all__ = ["Rejected", "Spool", "SpoolStream", "Synchronous"]

Synchronous = Literal["full", "normal"]

BUSY_TIMEOUT_MS = 60_000
"""How long to wait for another process that is writing to the spool. Its transactions take milliseconds."""

_INSERT = "INSERT INTO rows (stream, t, d) VALUES (?, ?, ?)"
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class SpoolStream(NamedTuple):
    """A stream as the spool knows it.

    Attributes:
        id: Its number in the spool.
        name: Its name; the device is the one that the API key belongs to.
        schema: Minified JSON Schema that values are checked against; ``None``: any value is taken.
        creation: The fields of `connectordb.wire.StreamCreate` to create it with, as JSON.
        known: The server has the stream, and *schema* is the server's.
        points_max: How many datapoints to upload at once; ``None``: as many as usual.
    """

    id: int
    name: str
    schema: str | None
    creation: str
    known: bool
    points_max: int | None


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """A datapoint that the server refused.

    Attributes:
        stream: Name of its stream; empty if it never had one that may be.
        t: Its time stamp in seconds since the Unix epoch; ``None`` if it never had one.
        d: Its value; the text as it was if that is not JSON.
        reason: Why it was refused.
        rejected_t: When, in seconds since the Unix epoch.
    """

    stream: str
    t: float | None
    d: Any
    reason: str
    rejected_t: float


class Spool:
    """An open spool. Threads may share it; processes each open their own on the same file.

    A connection of one's own is cheap: whoever writes large transactions has one, so that inserts wait for nothing
    but the file.
    """

    def __init__(
        self,
        path: str,
        *,
        synchronous: Synchronous = "full",
        bytes_max: int | None = None,
        create: bool = True,
    ) -> None:
        """Open the spool at *path*.

        Args:
            synchronous: ``"full"``: what was appended is on disk, also after a power failure. ``"normal"``: the
                newest appends may be lost in a power failure (not if the process is killed), and are several times
                faster.
            bytes_max: Refuse to append with `SpoolFull` beyond this size of the file, in bytes.
            create: Make the file if it is not there.

        Raises:
            SpoolCorrupt: the file is damaged, or something else; it is left as it is.
            SpoolFull: no space to make it.
            SpoolError: it cannot be opened.
        """
        self.path = path
        self._bytes_max = bytes_max
        self._lock = threading.RLock()
        self._closed = True
        self._in_block = False
        self._lost = False
        self._synchronous = synchronous
        if create:
            _make_private(path)
        _check_size(path)
        with _gate:
            _living.add(self)
            self._lock.acquire()
        try:
            self._open()
        finally:
            self._lock.release()

    def _open(self) -> None:
        with self._translated():
            connection = apsw.Connection(self.path, flags=apsw.SQLITE_OPEN_READWRITE)
            try:
                connection.set_busy_timeout(BUSY_TIMEOUT_MS)
                prepare(connection, self.path, time.time())
                # Without WAL (some network file systems) anything less than FULL could damage the file.
                wal = connection.pragma("journal_mode") == "wal"
                connection.pragma("synchronous", self._synchronous if wal else "full")
                if self._bytes_max is not None:
                    connection.pragma("max_page_count", max(1, self._bytes_max // connection.pragma("page_size")))
            except BaseException:
                connection.close()
                raise
        self._connection = connection
        self._opened_inode = _inode(self.path)
        self._execute: Callable[..., Any] = connection.execute
        self._closed = False

    def append(self, stream_id: int, t: float, d: str) -> None:
        """Append a datapoint of time *t* and JSON text *d*, and return after the commit.

        Raises:
            SpoolFull: no space, the datapoint was not taken.
            SpoolCorrupt, SpoolError: the file is damaged, closed, or locked.
        """
        try:
            with self._lock:
                if self._lost or self._connection.in_transaction:
                    self._check_writable()
                self._execute(_INSERT, (stream_id, t, d))
        except apsw.Error as e:
            raise self._error(e) from e

    def append_many(self, rows: Sequence[tuple[int, float, str]]) -> None:
        """Append *rows* of stream number, time stamp, JSON text: all of them or none. Raises as `append`."""
        with self.transaction() as connection:
            connection.executemany(_INSERT, rows)

    @contextmanager
    def transaction(self) -> Iterator[apsw.Connection]:
        """Do what is in the block in one transaction. Nobody else writes to the file meanwhile."""
        with self._lock, self._translated():
            self._check_writable()
            try:
                # A signal handler may raise as soon as this returns.
                self._execute("BEGIN IMMEDIATE")
                self._in_block = True
                yield self._connection
                self._execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # some errors, like a full disk, have rolled back already
                    self._execute("ROLLBACK")
                raise
            finally:
                self._in_block = False

    def _check_writable(self) -> None:
        """Make sure that what is written next is on its own, and in a file that stays.

        Raises:
            SpoolError: the file was deleted or replaced; or a signal handler, or a callback, wants to write in the
                middle of what it has interrupted.
        """
        if self._lost:
            raise SpoolError(f"the spool {self.path} was deleted or replaced while it was open: open the Logger again")
        if not self._connection.in_transaction:
            return
        if self._in_block:
            raise SpoolError(
                f"the spool {self.path} is being written by what was interrupted here, a signal handler perhaps: "
                "nothing can be inserted until that is done"
            )
        self._execute("ROLLBACK")  # an exception from a signal has left it open

    def query(self, sql: str, bindings: Sequence[Any] = ()) -> list[Any]:
        """Return the rows that *sql* gives."""
        with self._lock, self._translated():
            return list(self._execute(sql, bindings))

    def write(self, sql: str, bindings: Sequence[Any] = ()) -> int:
        """Carry out *sql*, one statement, and return how many rows it changed."""
        with self.transaction() as connection:
            connection.execute(sql, bindings)
            return int(connection.changes())

    def recognise(self) -> None:
        """Take a new source if this file is the copy of another spool.

        Then the copy and the original do not use the same numbers. A copy of a whole disk is not recognised, nor
        need it be: the server notices when numbers are used twice. Datapoints that waited in the original when it
        was copied wait in both, and are uploaded by both.
        """
        inode = _inode(self.path)
        with self.transaction() as connection:
            known = connection.execute("SELECT inode FROM identity").fetchone()
            if known is None or known[0] != inode:
                source = new_source() if known and known[0] is not None else None
                connection.execute("UPDATE identity SET inode=?, source=coalesce(?, source)", (inode, source))

    def check_in_place(self) -> None:
        """Raise `SpoolError`, now and at every write from now on, if the file was deleted or replaced.

        What is inserted into a file without a name would be gone with the process.
        """
        try:
            found = _inode(self.path)
        except OSError:
            found = None
        if found != self._opened_inode:
            self._lost = True
            self._check_writable()

    # Settings

    def get(self, key: str, default: Any = None) -> Any:
        """Return the setting *key*: any JSON value."""
        found = self.query("SELECT value FROM settings WHERE key=?", (key,))
        return msgspec.json.decode(found[0][0]) if found else default

    def set(self, **settings: Any) -> None:
        """Keep *settings*: any JSON values, ``None`` to forget one."""
        with self.transaction() as connection:
            for key, value in settings.items():
                if value is None:
                    connection.execute("DELETE FROM settings WHERE key=?", (key,))
                else:
                    text = msgspec.json.encode(value).decode()
                    connection.execute("REPLACE INTO settings (key, value) VALUES (?, ?)", (key, text))

    # Streams

    def streams(self) -> dict[str, SpoolStream]:
        """Return all streams by name, in the order in which they were added."""
        found = self.query("SELECT id, name, schema, creation, known, points_max FROM streams ORDER BY id")
        return {
            name: SpoolStream(id_, name, schema, creation, bool(known), points_max)
            for id_, name, schema, creation, known, points_max in found
        }

    def add_stream(self, name: str, schema: str | None, creation: str) -> None:
        """Add the stream, or have it looked up on the server again if it is there.

        A schema that came from the server stays in force until then.
        """
        self.write(
            "INSERT INTO streams (name, schema, creation) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO UPDATE SET "
            "schema=iif(known, schema, ?2), creation=?3, known=0",
            (name, schema, creation),
        )

    def set_known(self, stream_id: int, schema: str | None) -> None:
        """Note that the server has the stream, with *schema* (``None``: may not be read, keep what there is)."""
        self.write("UPDATE streams SET known=1, schema=coalesce(?, schema) WHERE id=?", (schema, stream_id))

    # Datapoints

    def count(self) -> int:
        """How many datapoints wait."""
        return int(self.query("SELECT count(*) FROM rows")[0][0])

    def waiting(self) -> dict[str, int]:
        """How many datapoints of each stream wait; streams without are there too, with 0."""
        counted = dict(self.query("SELECT stream, count(*) FROM rows GROUP BY stream"))
        return {name: counted.get(stream.id, 0) for name, stream in self.streams().items()}

    def clear(self) -> None:
        """Delete all datapoints that wait, also those that are on their way."""
        with self.transaction() as connection:
            connection.execute("DELETE FROM rows; DELETE FROM batches")

    def rejected(self) -> list[Rejected]:
        """Return the refused datapoints, oldest refusal first."""
        found = self.query(
            "SELECT coalesce(name, ''), t, d, reason, rejected_t FROM rejected LEFT JOIN streams ON streams.id=stream "
            "ORDER BY rejected.id"
        )
        return [
            Rejected(stream=name, t=t, d=_value(d), reason=reason, rejected_t=at) for name, t, d, reason, at in found
        ]

    def count_rejected(self) -> int:
        """How many datapoints were refused."""
        return int(self.query("SELECT count(*) FROM rejected")[0][0])

    def retry_rejected(self) -> int:
        """Let the refused datapoints wait for upload again, except those that are no datapoints; return how many."""
        with self.transaction() as connection:
            usable = "t IS NOT NULL AND json_valid(d) AND stream IN (SELECT id FROM streams)"
            connection.execute(
                f"INSERT INTO rows (stream, t, d) SELECT stream, t, d FROM rejected WHERE {usable} ORDER BY id"
            )
            connection.execute(f"DELETE FROM rejected WHERE {usable}")
            return int(connection.changes())

    def clear_rejected(self) -> int:
        """Delete the refused datapoints and return how many there were."""
        return self.write("DELETE FROM rejected")

    @property
    def size_bytes(self) -> int:
        """Bytes that the spool takes on disk."""
        size = 0
        for suffix in ("", "-wal"):
            try:
                size += Path(self.path + suffix).stat().st_size
            except OSError:
                continue  # the log is made on the first write and goes with the last connection
        return size

    def close(self) -> None:
        """Close this connection to the file. Afterwards everything raises `SpoolError`."""
        with self._lock:
            if not self._closed:
                self._closed = True
                if self._connection not in _inherited:
                    with self._translated():
                        self._connection.close()
                self._execute = self._refuse

    def _after_fork(self) -> None:
        """In a child process: leave the parent's connection alone, and open another one when it is needed.

        SQLite forbids to carry a connection into a child; closing it there could take the locks of the parent.
        """
        self._lock = threading.RLock()
        if not self._closed:
            _inherited.append(self._connection)
            self._execute = self._reopen

    def _refuse(self, sql: str, bindings: Sequence[Any] = ()) -> Any:
        raise SpoolError(f"the spool {self.path} is closed")

    def _reopen(self, sql: str, bindings: Sequence[Any] = ()) -> Any:
        self._open()
        return self._execute(sql, bindings)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except apsw.Error as e:
            raise self._error(e) from e

    def _error(self, e: apsw.Error) -> SpoolError:
        what = f"the spool {self.path}"
        system = getattr(getattr(self, "_connection", None), "system_errno", 0) if isinstance(e, apsw.IOError) else 0
        if isinstance(e, apsw.FullError) or system in _NO_SPACE:
            bound = f", or its bound of {self._bytes_max} bytes," if self._bytes_max is not None else ""
            return SpoolFull(f"no space for {what}: the disk{bound} is full")
        if isinstance(e, apsw.CorruptError):
            return SpoolCorrupt(f"{what} is damaged ({e}): nothing in it was changed; SQLite's .recover may read it")
        if isinstance(e, apsw.NotADBError):
            return _no_spool(self.path)
        if isinstance(e, apsw.BusyError | apsw.LockedError):
            return SpoolError(f"{what} has been locked by another process for {BUSY_TIMEOUT_MS // 1000} s")
        return SpoolError(f"{what} cannot be used: {type(e).__name__}: {e}")


_gate = threading.Lock()
"""Held while a spool is added to `_living`, and during a fork."""
_living: weakref.WeakSet[Spool] = weakref.WeakSet()
_inherited: list[apsw.Connection] = []
"""Connections of a parent process, kept so that they are never closed here."""
_held: list[threading.RLock] = []


def _before_fork() -> None:
    """Wait until no thread is inside SQLite: in the child its mutexes would stay locked for ever."""
    _gate.acquire()
    _held.extend(spool._lock for spool in list(_living))
    for lock in _held:
        lock.acquire()


def _after_fork_in_parent() -> None:
    for lock in _held:
        lock.release()
    _held.clear()
    _gate.release()


def _after_fork_in_child() -> None:
    global _gate
    _held.clear()
    _gate = threading.Lock()
    for spool in list(_living):
        spool._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


def _inode(path: str) -> int:
    """The number of the file; some file systems have larger ones than SQLite."""
    return Path(path).stat().st_ino & (2**63 - 1)


def _make_private(path: str) -> None:
    """Make an empty file that only the owner may read, as it will hold an API key; leave one that is there."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        pass
    except OSError as e:
        kind = SpoolFull if e.errno in _NO_SPACE else SpoolError
        raise kind(f"the spool {path} cannot be made: {e.strerror}") from e


def _check_size(path: str) -> None:
    """Raise for a file that SQLite would take for an empty one and write over: one of a single byte.

    The file is never opened here: closing it would drop the locks that SQLite holds on it in this process, and another
    process would then believe that nobody uses the spool, and delete its log.
    """
    try:
        size = Path(path).stat().st_size
    except OSError as e:
        raise SpoolError(f"the spool {path} cannot be opened: {e.strerror}") from e
    if size == 1:
        raise _no_spool(path)


def _no_spool(path: str) -> SpoolCorrupt:
    return SpoolCorrupt(f"{path} is no spool: it is not even an SQLite database, and was left untouched")


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return text
