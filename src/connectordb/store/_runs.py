"""Writing runs of datapoints: as text while they are new, as blocks later, and elsewhere when others come between."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import apsw
import msgspec

from ..block import Block
from ..columns import kind_of
from ._connection import query
from ._key import place_of
from .records import Summary

__all__ = [
    "BLOCK_BYTES",
    "BLOCK_POINTS",
    "Sealed",
    "drop_blocks",
    "is_large",
    "pieces_of",
    "put_away",
    "put_back",
    "put_run",
    "put_sealed",
    "sealed_of",
    "summaries_of",
    "summary_of",
]

BLOCK_POINTS = 10_240
"""A block holds at most so many datapoints: more compress better and waste less of SQLite's pages, and fewer are
quicker to take apart. Two batches of 5,000, as the Logger and most scripts send them, make one."""
BLOCK_BYTES = 1 << 20
"""A block of more than one datapoint is about this long at most, as text."""

_LARGE_POINTS = 2_000
"""So many datapoints that come together are a block at once: packing them takes no longer than writing them as text,
and they need not be read again for it."""

_LARGE_BYTES = 32 << 10
"""As much text is a block at once, too: text has to be moved whenever a late datapoint comes before it."""

_SHORT = frozenset({"float", "int", "mixed", "bool"})
_SHORT_TYPES = frozenset({int, float, bool, type(None)})

_COLUMNS = "n, t1, t2, points, block, size, stats"
_PUT = f"INSERT INTO runs (place, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_Stats = tuple[int | float, float, int | float, float, int | float, int | float, int | float]
_decode_stats = msgspec.json.Decoder(_Stats).decode
_decode_many = msgspec.json.Decoder(list[_Stats]).decode
_encode_stats = msgspec.json.Encoder().encode

Sealed = tuple[Block, bytes, int, bytes | None]
"""Datapoints, as they are written, the length of their text, and what is known of them."""


def is_large(block: Block) -> bool:
    """Whether *block* is worth a block at once, or nearly so."""
    return block.n >= _LARGE_POINTS or len(block.json) >= _LARGE_BYTES


def sealed_of(block: Block) -> Sealed:
    """Return what a block of *block* is: that takes longer than writing it, and needs no connection."""
    from ._codec import encode  # which needs numpy

    data, size, summary = encode(block)
    return block, data, size, None if summary is None else _stats_of(summary)


def _stats_of(summary: Summary) -> bytes:
    """Return what is stored of *summary*; the rest is in the run anyway."""
    return _encode_stats(summary[3:])


def summary_of(n: int, t1: float, t2: float, stats: bytes) -> Summary:
    """Return what is known of a run. Raises `msgspec.MsgspecError`."""
    return Summary(n, t1, t2, *_decode_stats(stats))


def summaries_of(rows: Sequence[tuple[int, float, float, bytes]]) -> list[Summary]:
    """Return what `summary_of` says of each of *rows*. Raises `msgspec.MsgspecError`."""
    found = _decode_many(b"[" + b",".join([row[3] for row in rows]) + b"]")
    return [Summary(n, t1, t2, *stats) for (n, t1, t2, _), stats in zip(rows, found, strict=True)]


def _put_text(connection: apsw.Connection, place: int, block: Block) -> None:
    """Store *block* at *place* as text."""
    connection.execute(_PUT, (place, block.n, block.t1, block.t2, block.json, None, None, None))


def put_sealed(connection: apsw.Connection, place: int, sealed: Sealed) -> None:
    """Store a block at *place*."""
    block, data, size, stats = sealed
    block_id = query(connection, "INSERT INTO blocks (data) VALUES (?) RETURNING id", (data,))[0][0]
    connection.execute(_PUT, (place, block.n, block.t1, block.t2, b"", block_id, size, stats))


def put_run(connection: apsw.Connection, place: int, block: Block, *, sealed: bool) -> None:
    """Store *block* at *place*, in the one form or the other."""
    if sealed:
        put_sealed(connection, place, sealed_of(block))
    else:
        _put_text(connection, place, block)


def pieces_of(block: Block, n_max: int, bytes_max: int) -> Iterator[Block]:
    """Yield *block* in parts of about the same number, none longer than this unless its values differ much in length.

    Args:
        bytes_max: Length of the text; that of numbers need not be looked at.
    """
    parts = -(-block.n // n_max)
    if not _is_short(block):
        parts = max(parts, min(block.n, -(-len(block.json) // bytes_max)))
    start = 0
    for k in range(1, parts + 1):
        stop = block.n * k // parts
        yield block.slice(start, stop)
        start = stop


def _is_short(block: Block) -> bool:
    if block.columns is not None:
        return kind_of(block.columns[1]) in _SHORT
    return block.has_points and all(type(point.d) in _SHORT_TYPES for point in block.points)


def drop_blocks(connection: apsw.Connection, ids: Iterable[int]) -> None:
    """Delete blocks of which there is no run any more."""
    connection.executemany("DELETE FROM blocks WHERE id = ?", ((block_id,) for block_id in ids))


def put_away(connection: apsw.Connection, key: int, first: int, stop: int, by: int) -> None:
    """Move the runs that begin in ``[first, stop)`` by *by* datapoints, out of the way of what still stands there: they
    are gone until `put_back`."""
    # Beside the table, as it takes a fifth of the time of giving them other keys twice.
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS moving AS SELECT * FROM runs WHERE 0")
    between = (place_of(key, first), place_of(key, stop))
    connection.execute(
        f"INSERT INTO moving SELECT place + ?, {_COLUMNS} FROM runs WHERE place >= ? AND place < ? ORDER BY place",
        (by, *between),
    )
    connection.execute("DELETE FROM runs WHERE place >= ? AND place < ?", between)


def put_back(connection: apsw.Connection) -> None:
    """Put what was put away where it belongs; and what was put at -1 - place."""
    connection.execute("UPDATE runs SET place = -1 - place WHERE place < 0")
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS moving AS SELECT * FROM runs WHERE 0")
    connection.execute(f"INSERT INTO runs (place, {_COLUMNS}) SELECT place, {_COLUMNS} FROM moving")
    connection.execute("DELETE FROM moving")
