"""A group of works which share one commit."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from ._errors import translate
from ._layer import Layer
from ._runs import BLOCK_BYTES, BLOCK_POINTS
from ._transaction import SQLiteTransaction
from .records import Head

__all__ = ["Group"]

log = logging.getLogger(__name__)

_HEADS_MAX = 10_000  # remembered from one group to the next
_PURGE_EVERY = 100  # receipts


class Group:
    """Runs works on the writer's connection: begin, run any number of works, commit; or abandon.

    Appends do not go to SQLite one by one: each statement gives the interpreter lock away, and while the server's
    event loop is busy, getting it back takes longer than the commit. They collect in layers: the work's own, which
    is dropped if the work fails, and below it that of the group, which goes to SQLite in a few statements at the
    end. A work that does anything else has the layers written first, and runs in a savepoint from there on.

    Args:
        connection: The writer's, of which nobody else makes use.
        path: The database, for messages.
        clock: Gives the time in seconds since the Unix epoch.
        grown: Told which substreams have got datapoints, and how many there were and are.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        path: Path,
        clock: Callable[[], float],
        grown: Callable[[int, int, int], None] | None = None,
    ) -> None:
        self._grown = grown
        self._connection = connection
        self._path = path
        self._clock = clock
        self._layer = Layer()
        self._heads: dict[int, Head] = {}  # as committed
        self._texts: dict[int, int] = {}  # bytes of text since the sealer was told
        self._data_version: int | None = None
        self._receipts = 0  # written since the last purge

    def begin(self) -> None:
        """Begin a transaction. Raises `StoreError`."""
        self._layer = Layer()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            if self._connection.data_version() != self._data_version:  # somebody else wrote
                self._heads.clear()
        except apsw.Error as error:
            raise translate(error, self._path) from error

    def run(self, work: Callable[[SQLiteTransaction], Any]) -> tuple[Any, BaseException | None]:
        """Carry *work* out, wholly or not at all; return its result and ``None``, or ``None`` and its error.

        Raises:
            StoreError: not only this work failed: the group is lost.
        """
        transaction = SQLiteTransaction(self._connection, self._path, self._layer, self._heads, self._clock)
        result: Any = None
        failed: BaseException | None = None
        try:
            result = work(transaction)
            transaction.finish()
        except apsw.Error as error:
            failed = translate(error, self._path)
        except BaseException as error:
            failed = error
        if failed is not None:
            transaction.take_back()
        if transaction.lost is not None:
            raise transaction.lost
        return result, failed

    def commit(self) -> None:
        """Write what the works appended, and commit. Raises `StoreError`: nothing of the group is stored."""
        layer = self._layer
        self._receipts += len(layer.receipts)
        try:
            layer.write(self._connection)
            if self._receipts >= _PURGE_EVERY:
                self._purge()
            self._connection.execute("COMMIT")
            self._data_version = self._connection.data_version()
        except apsw.Error as error:
            raise translate(error, self._path) from error
        if len(self._heads) > _HEADS_MAX:
            self._heads.clear()
        for key, head in layer.heads.items():
            if head is None:
                self._heads.pop(key, None)
            else:
                self._heads[key] = head
        if self._grown is not None:
            self._tell_grown(layer, self._grown)

    def _tell_grown(self, layer: Layer, grown: Callable[[int, int, int], None]) -> None:
        """Tell of substreams that have got datapoints; also of those that have got few, and much text."""
        if len(self._texts) > _HEADS_MAX:
            self._texts.clear()
        for key, n in layer.added.items():
            head = layer.heads[key]
            if head is None:
                continue
            size = layer.texts[key] + self._texts.get(key, 0)
            if size >= BLOCK_BYTES:
                grown(key, 0, BLOCK_POINTS)
                size = 0
            else:
                grown(key, head.n - n, head.n)
            self._texts[key] = size

    def abandon(self) -> None:
        """Give the group up, so that the next one can begin. Raises `StoreError`: the connection is of no use."""
        self._layer = Layer()
        self._heads.clear()
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except apsw.Error as error:
            raise translate(error, self._path) from error

    def close(self) -> None:
        """Close the connection. What was committed is safe, whatever happens here."""
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.Error as error:
            log.warning("the log of %s was not copied back; that is made good on the next start: %s", self._path, error)
        self._connection.close(force=True)

    def _purge(self) -> None:
        """Forget expired receipts: at most twice as many as were written, so that a backlog shrinks bit by bit."""
        self._connection.execute(
            "DELETE FROM receipts WHERE (substream, source) IN "
            "(SELECT substream, source FROM receipts WHERE expires <= ? ORDER BY expires LIMIT ?)",
            (self._clock(), 2 * self._receipts),
        )
        self._receipts = 0
