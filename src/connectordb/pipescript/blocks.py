"""From the blocks of the store to batches of a script, and back."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ..block import Block
from ..datapoint import Datapoint
from .columns import Batch, numpy

__all__ = ["batch_of", "block_of", "blocks_of"]

PIECE_BYTES: Final = 1 << 20
"""Long values are written in blocks of about this size: a batch may have the same one in each row."""
_PIECE_BEGIN: Final = 16
_SHORT: Final = frozenset({"float", "int", "bool", "mixed"})

_STRUCTURE: Final = b'{}"td:'
"""What stands in ``{"t":1.5,"d":2.25}`` besides the numbers and the comma between them."""
_STRUCTURE_N: Final = 10
"""How many of these there are in a datapoint."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def batch_of(block: Block) -> Batch:
    """Return the datapoints of *block*, without who sent them."""
    flat = None if block.has_points or numpy() is None else _flat(block.json, block.n)
    if flat is None:
        points = block.points
        return Batch([point.t for point in points], [point.d for point in points])
    return _batch(*flat, block.n)


def _flat(json: bytes, n: int) -> tuple[list[Any], bool] | None:
    """Return time stamps and values in turn, and whether the latter are floats all of them, too.

    ``None`` if there is a text or an object among the values, if one is true, or if a datapoint has a sender, no value,
    or no time stamp.

    This takes half as long as to make an object of each datapoint. Without the `_STRUCTURE` the text is a list. That
    there is nothing else in it is counted: if as many objects as there are datapoints begin with a key ``t``, and as
    many keys ``d`` follow, these and the ends of the objects are all that may be left out. (In a text there is no such
    beginning, as it would have backslashes.) So nothing is of a text, of another key, of a ``true``, or of a further
    object: the objects are the datapoints, and as none has a key twice, each has both.
    """
    if not json.count(b'{"t":') == json.count(b',"d":') == n:
        return None
    text = json.translate(None, _STRUCTURE)
    if len(json) - len(text) != _STRUCTURE_N * n:
        return None
    try:
        flat = _decode(b"[" + text + b"]")
    except msgspec.DecodeError:
        return None
    # A number that is written with a dot is a float, and there is one dot in it at most.
    return (flat, text.count(b".") == 2 * n and b"[" not in text) if len(flat) == 2 * n else None


def _batch(flat: list[Any], floats: bool, n: int) -> Batch:
    if not floats:
        return Batch(list(map(float, flat[0::2])), flat[1::2])
    both = numpy().frombuffer(struct.pack(f"{2 * n}d", *flat))  # faster than np.array
    return Batch.of(both[0::2].copy(), both[1::2].copy())


def block_of(batch: Batch) -> Block | None:
    """Return the datapoints of *batch* as text, so that it is not the event loop that has to write it.

    ``None`` if there are none.
    """
    if not batch.n:
        return None
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
        n = max(1, min(4 * n, n * PIECE_BYTES // (len(block.json) + 1)))
