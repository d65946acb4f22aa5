"""What has been appended in a group and is not in SQLite yet, and how it gets there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain
from typing import Any, NamedTuple

import apsw

from ..block import Block
from ._key import place_of
from ._runs import BLOCK_BYTES, BLOCK_POINTS, Sealed, is_large, pieces_of, put_sealed, sealed_of
from .records import Head

__all__ = ["ROW_POINTS_MAX", "Layer", "Receipt", "ReceiptKey"]

ROW_POINTS_MAX = 500
"""A run holds at most so many datapoints: a range that begins or ends inside of a row has to take it apart.
At 5,000 that was most of the work for 1,000 datapoints; at 500 there are 1.5 times as many such reads in a second."""

_JOIN_BYTES_MAX = 64 << 10
_ROWS_MAX = 32  # rows per statement

ReceiptKey = tuple[int, str]
"""Substream and source."""


class Receipt(NamedTuple):
    """The newest upload accepted from a source; see `Upload`."""

    last: int
    digest: bytes
    reply: bytes
    expires: float | None


class Layer:
    """Appends that wait to be written, in order.

    Attributes:
        heads: The state of substreams, ``None`` if deleted; `dirty` names those that SQLite does not know yet.
        rows: Substream, index of the first datapoint, datapoints.
        blocks: Places, and what is to be there, of datapoints that are blocks from the first.
        added: Of each substream, how many datapoints came.
        texts: Of each, how many bytes of text were appended.
        receipts: Uploads accepted.
    """

    __slots__ = ("added", "blocks", "dirty", "heads", "receipts", "rows", "texts")

    def __init__(self) -> None:
        self.heads: dict[int, Head | None] = {}
        self.dirty: set[int] = set()
        self.rows: list[tuple[int, int, Block]] = []
        self.blocks: list[tuple[int, Sealed]] = []
        self.added: dict[int, int] = {}
        self.texts: dict[int, int] = {}
        self.receipts: dict[ReceiptKey, Receipt] = {}

    def add(self, upper: Layer) -> None:
        """Take over all that *upper* has, which came later."""
        self.heads.update(upper.heads)
        self.dirty |= upper.dirty
        self.rows += upper.rows
        self.blocks += upper.blocks
        for key, n in upper.added.items():
            self.count(key, n, upper.texts.get(key, 0))
        self.receipts.update(upper.receipts)

    def append(self, key: int, i: int, block: Block) -> None:
        """Put *block* at index *i*."""
        large = is_large(block)
        self.count(key, block.n, 0 if large else len(block.json))
        if large:
            for piece in pieces_of(block, BLOCK_POINTS, BLOCK_BYTES):
                self.blocks.append((place_of(key, i), sealed_of(piece)))
                i += piece.n
            return
        if block.n <= ROW_POINTS_MAX:
            self.rows.append((key, i, block))
            return
        for start in range(0, block.n, ROW_POINTS_MAX):
            part = block.slice(start, min(start + ROW_POINTS_MAX, block.n))
            self.rows.append((key, i + start, part))

    def count(self, key: int, n: int, size: int = 0) -> None:
        """Take note that *n* datapoints came to a substream, of which *size* bytes of text were appended."""
        self.added[key] = self.added.get(key, 0) + n
        self.texts[key] = self.texts.get(key, 0) + size

    def write(self, connection: apsw.Connection) -> None:
        """Write what waits, in as few statements as can be. Raises `apsw.Error`."""
        if self.rows:
            _execute_many(
                connection,
                "INSERT INTO runs (place, n, t1, t2, points) VALUES",
                list(_join_rows(self.rows)),
            )
            self.rows = []
        for place, sealed in self.blocks:
            put_sealed(connection, place, sealed)
        self.blocks = []
        if self.dirty:
            heads = [(key, self.heads[key]) for key in self.dirty]
            _execute_many(
                connection,
                "INSERT INTO heads (substream, n, t, arrivals, merges) VALUES",
                [(key, *head) for key, head in heads if head is not None],
                "ON CONFLICT (substream) DO UPDATE SET n = excluded.n, t = excluded.t, "
                "arrivals = excluded.arrivals, merges = excluded.merges",
            )
            self.dirty = set()
        if self.receipts:
            _execute_many(
                connection,
                "INSERT INTO receipts (substream, source, last, digest, reply, expires) VALUES",
                [(*key, *receipt) for key, receipt in self.receipts.items()],
                "ON CONFLICT (substream, source) DO UPDATE SET last = excluded.last, "
                "digest = excluded.digest, reply = excluded.reply, expires = excluded.expires",
            )
            self.receipts = {}


class _Row:
    """A run in the making."""

    __slots__ = ("bytes", "i", "key", "n", "t1", "t2", "texts")

    def __init__(self, key: int, i: int, block: Block) -> None:
        self.key = key
        self.i = i
        self.n = block.n
        self.t1 = block.t1
        self.t2 = block.t2
        self.texts = [block.json]
        self.bytes = len(block.json)

    def takes(self, i: int, block: Block) -> bool:
        """Whether *block*, which comes at index *i*, may share the row."""
        return (
            i == self.i + self.n
            and self.n + block.n <= ROW_POINTS_MAX
            and self.bytes + len(block.json) <= _JOIN_BYTES_MAX
        )

    def extend(self, block: Block) -> None:
        self.n += block.n
        self.t2 = block.t2
        self.texts.append(block.json)
        self.bytes += len(block.json)


def _join_rows(rows: Iterable[tuple[int, int, Block]]) -> Iterable[Sequence[Any]]:
    made: list[_Row] = []
    newest: dict[int, _Row] = {}
    for key, i, block in rows:
        row = newest.get(key)
        if row is not None and row.takes(i, block):
            row.extend(block)
        else:
            newest[key] = row = _Row(key, i, block)
            made.append(row)
    for row in made:
        yield (place_of(row.key, row.i), row.n, row.t1, row.t2, b",".join(row.texts))


def _execute_many(connection: apsw.Connection, sql: str, rows: Sequence[Sequence[Any]], more: str = "") -> None:
    for start in range(0, len(rows), _ROWS_MAX):
        some = rows[start : start + _ROWS_MAX]
        if some:
            connection.execute(_statement(sql, len(some[0]), len(some), more), tuple(chain.from_iterable(some)))


@cache
def _statement(sql: str, width: int, rows: int, more: str) -> str:
    values = f"({', '.join('?' * width)})"
    return f"{sql} {', '.join([values] * rows)} {more}"
