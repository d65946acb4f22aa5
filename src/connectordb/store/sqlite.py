"""SQLiteStore: the embedded store, one SQLite file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from ..block import Block
from ..errors import NotFound
from ..query import Range
from . import _corrections, _downlinks, _objects
from ._cache import CacheStats
from ._connection import SYNCHRONOUS, Readers, create_file, open_connection, prepare_writing, query
from ._data import View, read_head, read_heads
from ._group import Group
from ._key import key_of
from ._migrate import check_version, load_migrations, migrate
from ._read import read, read_summaries
from ._replay import Plans, changes_after
from ._seal import Sealer, Sealing, SealStats, seal
from ._since import cursor_at, read_after
from ._transaction import SQLiteTransaction
from ._writer import Writer, WriterStats
from .base import Transaction
from .records import (
    Change,
    Correction,
    Counts,
    Cursor,
    Device,
    Downlink,
    DownlinkState,
    Head,
    Page,
    Stream,
    Substream,
    Summary,
    User,
)

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
        cache_bytes: How much memory blocks take that are kept because they may be read again.
        seal_after_s: How long datapoints that do not fill a block stay text, in seconds; ``None``: nothing is sealed
            in the background.
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
        cache_bytes: int = 32 << 20,
        seal_after_s: float | None = 60.0,
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
        self._sealer: Sealer | None = None
        self._writer = Writer(self._open_group, queue_max=queue_max, group_max=group_max, linger_s=linger_s)
        self._readers = Readers(path, size=readers_max, cache_bytes=cache_bytes, vfs=vfs)
        self._plans = Plans()
        if seal_after_s is not None:
            self._sealer = Sealer(self._readers, self._submit, after_s=seal_after_s)
            self._sealer.start()

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

    @property
    def cached(self) -> CacheStats:
        """What the cache of blocks holds."""
        return self._readers.cache.stats

    @property
    def sealed(self) -> SealStats:
        """What was sealed in the background since the store was opened."""
        return SealStats(0, 0, 0) if self._sealer is None else self._sealer.stats

    def seal(self, stream_id: int, substream: Substream, *, least: int = 1) -> int:
        """Seal what is there now, and return how many datapoints that were.

        Args:
            least: Not fewer new datapoints than this.

        Raises:
            NotFound: no such stream.
            StoreError: the disk refused. What was sealed before is.
        """
        n, more = 0, True
        while more:
            some, _, more = seal(self._readers, self._submit, key_of(stream_id, substream), least)
            n += some
        return n

    def seal_all(self, *, least: int = 64) -> int:
        """Seal what is there now of all streams, and return how many datapoints that were. Raises `StoreError`.

        Args:
            least: Not fewer new datapoints of a stream than this: a few take less space as text.
        """
        n = 0
        with self._readers.borrow() as connection:
            rows = query(connection, "SELECT substream FROM heads WHERE n - sealed >= ?", (least,))
        for (key,) in rows:
            with suppress(NotFound):
                n += self.seal(key // 2, Substream(key % 2), least=least)
        return n

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

    def limited_streams(self) -> list[Stream]:
        with self._readers.borrow() as connection:
            return _objects.limited_streams(connection)

    def counts(self) -> Counts:
        with self._readers.borrow() as connection:
            return _objects.counts(connection)

    def head(self, stream_id: int, substream: Substream) -> Head:
        with self._readers.borrow() as connection:
            return read_head(connection, key_of(stream_id, substream))

    def heads(self, device_id: int) -> dict[int, Head]:
        with self._readers.borrow() as connection:
            return read_heads(connection, device_id)

    def index_at(self, stream_id: int, substream: Substream, t: float) -> int:
        with self._readers.snapshot() as connection:
            key = key_of(stream_id, substream)
            return View(connection, key, cache=self._readers.cache).index_after(t)

    def read(self, stream_id: int, substream: Substream, wanted: Range) -> Iterator[Block]:
        return read(self._readers, key_of(stream_id, substream), wanted)

    def read_summaries(
        self,
        stream_id: int,
        substream: Substream,
        wanted: Range,
        fits: Callable[[float, float], bool] | None = None,
    ) -> Iterator[Block | Sequence[Summary]]:
        return read_summaries(self._readers, key_of(stream_id, substream), wanted, fits)

    def cursor_at(
        self, stream_id: int, substream: Substream, *, t: float | None = None, i: int | None = None
    ) -> Cursor:
        return cursor_at(self._readers, key_of(stream_id, substream), t, i)

    def read_after(self, stream_id: int, substream: Substream, cursor: Cursor) -> Iterator[Page]:
        return read_after(self._readers, key_of(stream_id, substream), cursor)

    def changes_after(
        self,
        stream_id: int,
        substream: Substream,
        state: int,
        *,
        removed: bool = True,
        check: Callable[[], None] = lambda: None,
    ) -> Iterator[Change]:
        key = key_of(stream_id, substream)
        return changes_after(self._readers, self._plans, key, state, removed=removed, check=check)

    def corrections(
        self, stream_id: int, substream: Substream, *, before: int | None = None, limit: int
    ) -> list[Correction]:
        with self._readers.snapshot() as connection:
            return _corrections.corrections(connection, key_of(stream_id, substream), before, limit)

    def corrected(self, stream_id: int, substream: Substream, correction_id: int) -> Iterator[Block]:
        return _corrections.corrected(self._readers, key_of(stream_id, substream), correction_id)

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
        if self._sealer is not None:
            self._sealer.close()
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
        return Group(connection, self._path, self._clock, self._tell_grown)

    def _tell_grown(self, key: int, before: int, now: int) -> None:
        if self._sealer is not None:
            self._sealer.grown(key, before, now)

    def _submit(self, work: Callable[[SQLiteTransaction], Sealing]) -> Future[Sealing]:
        return self._writer.submit(work)
