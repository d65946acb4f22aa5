"""SQLiteStore: the embedded store, one SQLite file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from ..block import Block
from ..query import Range
from . import _downlinks, _objects
from ._connection import SYNCHRONOUS, Readers, create_file, open_connection, prepare_writing
from ._data import View, read_head
from ._group import Group
from ._key import key_of
from ._migrate import check_version, load_migrations, migrate
from ._read import cursor_at, read, read_after
from ._writer import Writer, WriterStats
from .base import Counts, Cursor, Device, Downlink, DownlinkState, Head, Page, Stream, Substream, Transaction, User

__all__ = ["SQLiteStore"]

T = TypeVar("T")


class SQLiteStore:
    """Users, devices, streams and their datapoints in one SQLite file; see `Store` for what its methods promise.

    Args:
        path: The file; it is made if it is not there, and brought up to the newest version.
        synchronous: ``"full"``: an acknowledged write survives a power failure. ``"normal"``: it survives the death
            of this process, and a power failure may take the newest writes away.
        queue_max: So many writes may wait; further ones are refused with `Unavailable`.
        group_max: So many writes at most share a commit.
        linger_s: How long to wait for the next write, in seconds, while several clients write; see `Writer`.
        readers_max: So many reads run at the same time; others wait for the moment that one takes.
        clock: Gives the time in seconds since the Unix epoch.
        vfs: Name of the SQLite VFS to go through, ``None``: the default one.

    Raises:
        StoreError: the file cannot be opened, or is no database of ConnectorDB.
        FolderError: the database is of a newer version.
    """

    def __init__(
        self,
        path: Path,
        *,
        synchronous: str = "full",
        queue_max: int = 10_000,
        group_max: int = 1_000,
        linger_s: float = 0.0005,
        readers_max: int = 8,
        clock: Callable[[], float] = time.time,
        vfs: str | None = None,
    ) -> None:
        if synchronous not in SYNCHRONOUS:
            raise ValueError(f"synchronous is one of {', '.join(SYNCHRONOUS)}, not {synchronous!r}")
        self._path = path
        self._synchronous = synchronous
        self._clock = clock
        self._vfs = vfs
        create_file(path)
        self._writer = Writer(self._open_group, queue_max=queue_max, group_max=group_max, linger_s=linger_s)
        self._readers = Readers(path, size=readers_max, vfs=vfs)

    def __enter__(self) -> SQLiteStore:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def stats(self) -> WriterStats:
        """What the writer has done since the store was opened."""
        return self._writer.stats

    @property
    def waiting(self) -> int:
        """How many writes wait to be carried out."""
        return self._writer.waiting

    def begin(self, work: Callable[[Transaction], T], done: Callable[[T | None, BaseException | None], None]) -> None:
        self._writer.begin(work, done)

    def submit(self, work: Callable[[Transaction], T]) -> Future[T]:
        return self._writer.submit(work)

    def user(self, name: str) -> User | None:
        with self._readers.borrow() as connection:
            return _objects.user(connection, name)

    def user_by_id(self, user_id: int) -> User | None:
        with self._readers.borrow() as connection:
            return _objects.user_by_id(connection, user_id)

    def user_by_email(self, email: str) -> User | None:
        with self._readers.borrow() as connection:
            return _objects.user_by_email(connection, email)

    def users(self) -> list[User]:
        with self._readers.borrow() as connection:
            return _objects.users(connection)

    def device(self, user_id: int, name: str) -> Device | None:
        with self._readers.borrow() as connection:
            return _objects.device(connection, user_id, name)

    def device_by_apikey(self, apikey: str) -> Device | None:
        with self._readers.borrow() as connection:
            return _objects.device_by_apikey(connection, apikey)

    def devices(self, user_id: int) -> list[Device]:
        with self._readers.borrow() as connection:
            return _objects.devices(connection, user_id)

    def stream(self, device_id: int, name: str) -> Stream | None:
        with self._readers.borrow() as connection:
            return _objects.stream(connection, device_id, name)

    def streams(self, device_id: int) -> list[Stream]:
        with self._readers.borrow() as connection:
            return _objects.streams(connection, device_id)

    def counts(self) -> Counts:
        with self._readers.borrow() as connection:
            return _objects.counts(connection)

    def head(self, stream_id: int, substream: Substream) -> Head:
        with self._readers.borrow() as connection:
            return read_head(connection, key_of(stream_id, substream))

    def index_at(self, stream_id: int, substream: Substream, t: float) -> int:
        with self._readers.snapshot() as connection:
            return View(connection, key_of(stream_id, substream)).index_after(t)

    def read(self, stream_id: int, substream: Substream, wanted: Range) -> Iterator[Block]:
        return read(self._readers, key_of(stream_id, substream), wanted)

    def cursor_at(
        self, stream_id: int, substream: Substream, *, t: float | None = None, i: int | None = None
    ) -> Cursor:
        return cursor_at(self._readers, key_of(stream_id, substream), t, i)

    def read_after(self, stream_id: int, substream: Substream, cursor: Cursor) -> Iterator[Page]:
        return read_after(self._readers, key_of(stream_id, substream), cursor)

    def downlink(self, stream_id: int, downlink_id: int) -> Downlink | None:
        with self._readers.borrow() as connection:
            return _downlinks.find(connection, stream_id, downlink_id, self._clock())

    def downlinks(
        self, stream_id: int, *, state: DownlinkState | None = None, o: str | None = None, limit: int
    ) -> list[Downlink]:
        with self._readers.borrow() as connection:
            return _downlinks.newest(connection, stream_id, state, o, self._clock(), limit)

    def open_downlinks(self, stream_id: int, *, after: int = 0, limit: int) -> list[Downlink]:
        with self._readers.borrow() as connection:
            return _downlinks.oldest_open(connection, stream_id, after, self._clock(), limit)

    def close(self) -> None:
        self._writer.finish()
        self._readers.close()
        self._writer.close()  # the last connection takes the log away

    def _open_group(self) -> Group:
        connection = open_connection(self._path, vfs=self._vfs)
        try:
            migrations = load_migrations()
            check_version(connection, self._path, migrations[-1].version)
            prepare_writing(connection, self._path, synchronous=self._synchronous)
            migrate(connection, self._path, migrations, self._clock)
        except BaseException:
            connection.close()
            raise
        return Group(connection, self._path, self._clock)
