"""Batches: which datapoints are on their way to the server, kept in the spool.

A batch is a stretch of rows of one stream. Its boundary is on disk before it is sent for the first time, and until
the server has answered for it, every attempt sends the same bytes under the same source and numbers. The server stores
such an upload at most once and gives each repetition the first answer. So it does not matter how often a batch is
sent, by how many threads or processes, nor when any of them dies.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import NamedTuple

import apsw
import msgspec

from ..errors import SpoolFull
from ..wire import DEFAULT_URL, Refusal
from ._spool import Spool, SpoolStream
from ._tables import new_source

__all__ = ["Account", "Batch", "Contents", "Outbox", "change_account", "note_device", "read_account"]

POINT_BYTES = 32
"""What a datapoint takes in a request besides its value."""


class Account(NamedTuple):
    """To whom a spool uploads: the API key of a device, and the server."""

    apikey: str = ""
    server_url: str = DEFAULT_URL


def read_account(spool: Spool) -> Account:
    """Return the account that *spool* has now: both parts of one moment."""
    found = spool.query("SELECT key, value FROM settings WHERE key IN ('apikey', 'server_url')")
    return Account(**{key: str(msgspec.json.decode(value)) for key, value in found})


def change_account(spool: Spool, account: Account) -> None:
    """From now on upload to *account*. What the server told of device and streams is forgotten: they are others."""
    with spool.transaction() as connection:
        before = read_account(spool)
        for key, value in account._asdict().items():
            if value != getattr(before, key):
                text = msgspec.json.encode(value).decode()
                connection.execute("REPLACE INTO settings (key, value) VALUES (?, ?)", (key, text))
        if account.server_url != before.server_url:
            _renumber_all(connection)
            connection.execute("DELETE FROM settings WHERE key='device_before'")
        else:
            # Whether it is another device shows at the next contact: it may have got a new API key.
            connection.execute("UPDATE OR REPLACE settings SET key='device_before' WHERE key='device'")
        connection.execute("DELETE FROM settings WHERE key='device'")
        connection.execute("UPDATE streams SET known=0")


def note_device(spool: Spool, account: Account, path: str) -> None:
    """Note that *account* is the device *path*, unless the spool has got another account meanwhile.

    If another device was uploaded to before, the frozen batches get a new source: what is known of their numbers
    was said of the other one. Writes nothing that the spool knows already.
    """
    if spool.get("device") == path:
        return
    with spool.transaction() as connection:
        if read_account(spool) != account:
            return
        if spool.get("device_before", path) != path:
            _renumber_all(connection)
        connection.execute("DELETE FROM settings WHERE key='device_before'")
        text = msgspec.json.encode(path).decode()
        connection.execute("REPLACE INTO settings (key, value) VALUES ('device', ?)", (text,))


def _renumber_all(connection: apsw.Connection) -> None:
    source = new_source()
    connection.execute("UPDATE identity SET source=?", (source,))
    connection.execute("UPDATE batches SET source=?, failures=0", (source,))


class Batch(NamedTuple):
    """A frozen batch: the rows of the stream with ``first <= id <= last``.

    Attributes:
        stream_id: The stream, by its number in the spool.
        source: Who numbers the uploads.
        first, last: Numbers of the first and the last row.
        failures: How many attempts in a row got no answer.
    """

    stream_id: int
    source: str
    first: int
    last: int
    failures: int = 0


class Contents(NamedTuple):
    """What a batch holds: the numbers of its rows, and the JSON array to send."""

    ids: Sequence[int]
    body: bytes


class Outbox:
    """Freezes, acknowledges and divides batches. One thread at a time may use it, on a spool of its own.

    The spool should be open with ``synchronous="full"``, whatever the inserts use. Then freezing also puts all rows of
    the batch on disk, so a power failure takes back no row, and no number, that the server has seen.

    Args:
        spool: Where the rows are.
        points_max: The most datapoints in a batch.
        bytes_max: The most bytes in a batch, unless a single datapoint has more.
    """

    def __init__(self, spool: Spool, *, points_max: int, bytes_max: int) -> None:
        self.spool = spool
        self.points_max = points_max
        self.bytes_max = bytes_max

    def horizon(self) -> int:
        """The number of the newest row that there is."""
        return int(self.spool.query("SELECT coalesce(max(id), 0) FROM rows")[0][0])

    def settle(self) -> None:
        """Put all rows on disk if a batch is to be repeated, as freezing one does; a full disk has to do without."""
        if self.spool.query("SELECT 1 FROM batches LIMIT 1"):
            with contextlib.suppress(SpoolFull):
                # Not an UPDATE: SQLite does not write what has not changed.
                self.spool.write("REPLACE INTO settings SELECT key, value FROM settings WHERE key='device'")

    def order(self) -> list[int]:
        """The streams with rows, by number; those whose last attempts got no answer come last.

        So a batch that kills the server, or the line, does not keep the others waiting for ever.
        """
        found = self.spool.query(
            "SELECT DISTINCT rows.stream, coalesce(failures, 0) FROM rows LEFT JOIN batches USING (stream) "
            "ORDER BY 2, 1"
        )
        return [stream_id for stream_id, _ in found]

    def freeze(self, stream: SpoolStream, horizon: int) -> Batch | None:
        """Return the frozen batch of *stream*; freeze one of the rows up to number *horizon* if there is none.

        ``None``: nothing waits.
        """
        while True:
            frozen = self.frozen(stream.id)
            if frozen is not None:
                return frozen
            # Outside of the transaction, as it may take a while in a large spool. Rows are never changed, and those
            # up to the horizon are only ever taken away from the front.
            bounds = self._bounds(stream, horizon)
            if bounds is None:
                return None
            first, last = bounds
            with self.spool.transaction() as connection:
                still_there = "EXISTS (SELECT 1 FROM rows WHERE id=?3)"
                nothing_frozen = "NOT EXISTS (SELECT 1 FROM batches WHERE stream=?1)"
                connection.execute(
                    "INSERT INTO batches (stream, source, first, last) "
                    "SELECT ?1, (SELECT source FROM identity), ?3, ?2 "
                    f"WHERE {still_there} AND {nothing_frozen}",
                    (stream.id, last, first),
                )

    def frozen(self, stream_id: int) -> Batch | None:
        """Return the frozen batch of a stream, if there is one."""
        found = self.spool.query(
            "SELECT stream, source, first, last, failures FROM batches WHERE stream=?", (stream_id,)
        )
        return Batch(*found[0]) if found else None

    def contents(self, batch: Batch) -> Contents:
        """Return what *batch* holds.

        The bytes follow from the rows alone. Do not change how they are written: a batch may have been sent by an
        earlier version of this program, and has to be repeated to the letter.
        """
        rows = self.spool.query(
            "SELECT id, t, d FROM rows WHERE stream=? AND id BETWEEN ? AND ? ORDER BY id",
            (batch.stream_id, batch.first, batch.last),
        )
        body = ",".join([f'{{"t":{t!r},"d":{d}}}' for _, t, d in rows])
        return Contents([id_ for id_, _, _ in rows], f"[{body}]".encode())

    def acknowledge(self, batch: Batch, contents: Contents, refusals: Sequence[Refusal], now: float) -> None:
        """The server has *batch*: take its rows away, those refused to the rejected ones, all in one transaction.

        Does nothing if somebody else has done so already.
        """
        with self.spool.transaction() as connection:
            if not self._is_current(batch):
                return
            connection.executemany(
                "INSERT INTO rejected (stream, t, d, reason, rejected_t) "
                "SELECT stream, t, d, ?, ? FROM rows WHERE id=?",
                [(refusal.msg, now, contents.ids[refusal.position]) for refusal in refusals],
            )
            span = (batch.stream_id, batch.first, batch.last)
            connection.execute("DELETE FROM rows WHERE stream=? AND id BETWEEN ? AND ?", span)
            connection.execute("DELETE FROM batches WHERE stream=?", (batch.stream_id,))
            connection.execute(
                "UPDATE streams SET points_max=nullif(min(2 * points_max, ?1), ?1) "
                "WHERE id=?2 AND points_max IS NOT NULL",
                (self.points_max, batch.stream_id),
            )

    def failed(self, batch: Batch) -> None:
        """No answer came for *batch*."""
        with self.spool.transaction() as connection:
            if self._is_current(batch):
                connection.execute("UPDATE batches SET failures=failures + 1 WHERE stream=?", (batch.stream_id,))

    def renumber(self, batch: Batch) -> None:
        """Give *batch* a new source: the server has seen another upload under its numbers.

        That happens to the copy of a spool, and to its original. Does nothing unless the batch is still frozen:
        else the conflict is only the echo of an attempt that another one has overtaken.
        """
        with self.spool.transaction() as connection:
            if self._is_current(batch):
                _take_source(connection, batch, batch.last)

    def divide(self, batch: Batch, contents: Contents) -> None:
        """Freeze only the first half of *batch*, which has at least two rows, under a new source.

        Only for a batch of which it is certain that the server has not stored it, and never will.
        """
        half = len(contents.ids) // 2
        with self.spool.transaction() as connection:
            if self._is_current(batch):
                _take_source(connection, batch, contents.ids[half - 1])
                connection.execute("UPDATE streams SET points_max=? WHERE id=?", (half, batch.stream_id))

    def _is_current(self, batch: Batch) -> bool:
        now = self.frozen(batch.stream_id)
        return now is not None and now[:4] == batch[:4]

    def _bounds(self, stream: SpoolStream, horizon: int) -> tuple[int, int] | None:
        rows = self.spool.query(
            "SELECT id, octet_length(d) FROM rows WHERE stream=? AND id<=? ORDER BY id LIMIT ?",
            (stream.id, horizon, min(stream.points_max or self.points_max, self.points_max)),
        )
        if not rows:
            return None
        last, size = rows[0][0], 0
        for id_, value_bytes in rows:
            size += value_bytes + POINT_BYTES
            if size > self.bytes_max and id_ != rows[0][0]:
                break
            last = id_
        return rows[0][0], last


def _take_source(connection: apsw.Connection, batch: Batch, last: int) -> None:
    """Number this batch, up to row *last*, and all later ones under a new source."""
    source = new_source()
    connection.execute("UPDATE identity SET source=?", (source,))
    connection.execute(
        "UPDATE batches SET source=?, last=?, failures=0 WHERE stream=?", (source, last, batch.stream_id)
    )
