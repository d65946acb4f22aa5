"""From the blocks of the store to batches of a script, and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast

import msgspec

from ..block import Block
from ..columns import Column, numpy, parse_numbers
from ..datapoint import Datapoint
from .batch import Batch

__all__ = ["batch_of", "block_of", "blocks_of"]

PIECE_BYTES: Final = 1 << 20
"""Long values are written in blocks of about this size: a batch may have the same one in each row."""
_PIECE_BEGIN: Final = 16
_SHORT: Final = frozenset({"float", "int", "bool", "mixed"})

_encode = msgspec.json.Encoder().encode


def batch_of(block: Block) -> Batch:
    """Return the datapoints of *block*, without who sent them."""
    if block.columns is not None:
        return Batch.of(*block.columns)
    numbers = None if block.has_points or numpy() is None else parse_numbers(block.json, block.n)
    if numbers is None:
        points = block.points
        return Batch([point.t for point in points], [point.d for point in points])
    times, values = numbers
    if isinstance(times, list):
        return Batch(times, cast("list[Any]", values))
    return Batch.of(times, cast("Column", values))


def block_of(batch: Batch) -> Block | None:
    """Return the datapoints of *batch*: as columns, or as text, so that it is not the event loop that has to write it.

    ``None`` if there are none.
    """
    if not batch.n:
        return None
    if batch.is_columns and batch.all_finite() and batch.column is not None:
        return Block.of_columns(batch.times, batch.column)
    t, d = batch.t, batch.d
    if 0.0 in t:  # it is left out, as in all that is stored
        points = [Datapoint(stamp, value) if stamp else Datapoint(d=value) for stamp, value in zip(t, d, strict=True)]
    else:
        points = list(map(Datapoint, t, d))
    return Block(batch.n, t[0], t[-1], json=_encode(points)[1:-1])


def blocks_of(batch: Batch) -> Iterator[Block]:
    """Yield the datapoints of *batch* as `block_of` does, in several blocks if they are long."""
    short = batch.is_columns and batch.kind in _SHORT
    start, n = 0, batch.n if short else _PIECE_BEGIN
    while start < batch.n:
        stop = min(start + n, batch.n)
        block = block_of(batch.slice(start, stop))
        assert block is not None  # noqa: S101
        yield block
        start = stop
        n = max(1, min(4 * n, n * PIECE_BYTES // (block.size + 1)))
