"""Block: a run of consecutive datapoints of one stream, the unit in which data moves through the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from .columns import joined, numpy
from .datapoint import Datapoint
from .rows import rows_json, text_size

if TYPE_CHECKING:
    from .columns import Column, Floats

__all__ = ["Block", "Source"]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Datapoint]).decode


_ROW_BYTES = 28
"""About the length of a datapoint without its value."""


class Source(Protocol):
    """Where a block gets what it holds from, when it is first asked for: either both columns, or text.

    Threads may ask at the same time, and then each gets an answer.
    """

    def times(self) -> Floats | None:
        """Time stamps; ``None``: it has text."""

    def values(self) -> Column | None:
        """Values; ``None``: it has text."""

    def json(self) -> bytes | None:
        """The datapoints as `Block.json`; ``None``: it has columns."""


class Block:
    """Consecutive datapoints, ordered by time.

    Held as JSON text, the way they come and go, as `Datapoint` objects, or as columns: text and objects are made from
    what there is when first asked for.

    Attributes:
        n: Number of datapoints, at least 1.
        t1: Time stamp of the first, in seconds since the Unix epoch.
        t2: Time stamp of the last; ``t1 <= t2``.
    """

    __slots__ = ("_json", "_points", "_source", "_times", "_values", "n", "t1", "t2")

    def __init__(
        self,
        n: int,
        t1: float,
        t2: float,
        json: bytes | None = None,
        points: Sequence[Datapoint] | None = None,
        source: Source | None = None,
    ) -> None:
        self.n = n
        self.t1 = t1
        self.t2 = t2
        self._json = json
        self._points = points
        self._source = source
        self._times: Floats | None = None
        self._values: Column | None = None

    @classmethod
    def of(cls, points: Sequence[Datapoint]) -> Block:
        """Return a block of *points*, which are at least one and in order of time."""
        return cls(len(points), points[0].t, points[-1].t, points=points)

    @classmethod
    def of_columns(cls, times: Floats, values: Column) -> Block:
        """Return a block of arrays, which nobody may change from now on; without senders."""
        block = cls(len(times), float(times[0]), float(times[-1]))
        block._times, block._values = times, values
        return block

    @classmethod
    def joined(cls, blocks: Sequence[Block]) -> Block:
        """Return *blocks*, at least one, which follow each other, as one: of columns if all of them are."""
        if len(blocks) == 1:
            return blocks[0]
        columns = [block.columns for block in blocks]
        made = columns[0]
        for more in columns[1:]:
            values = None if made is None or more is None else joined(made[1], more[1])
            if made is None or more is None or values is None:
                n = sum(block.n for block in blocks)
                return cls(n, blocks[0].t1, blocks[-1].t2, json=b",".join([block.json for block in blocks]))
            made = numpy().concatenate([made[0], more[0]]), values
        assert made is not None  # noqa: S101
        return cls.of_columns(*made)

    @property
    def source(self) -> Source | None:
        """Where it gets from what it holds, if it was not given that."""
        return self._source

    @property
    def times(self) -> Floats | None:
        """Time stamps as an array, if it is made of columns. Do not change them."""
        if self._times is None and self._source is not None:
            self._times = self._source.times()
        return self._times

    @property
    def columns(self) -> tuple[Floats, Column] | None:
        """Time stamps and values as arrays, if that is what it was made of. Do not change them."""
        times = self.times
        if times is None:
            return None
        values = self._values
        if values is None and self._source is not None:
            values = self._values = self._source.values()
        return None if values is None else (times, values)

    @property
    def json(self) -> bytes:
        """The datapoints as JSON objects with commas between them, without the brackets of an array."""
        if self._json is None:
            if self._points is not None:
                self._json = _encode(self._points)[1:-1]
            elif (columns := self.columns) is not None:
                self._json = rows_json(*columns)
            else:
                assert self._source is not None  # noqa: S101
                self._json = self._source.json()
                assert self._json is not None  # noqa: S101
        return self._json

    @property
    def size(self) -> int:
        """How long the text is, in bytes; if it is not made yet, roughly."""
        if self._json is None and (columns := self.columns) is not None:
            return self.n * (_ROW_BYTES + text_size(columns[1]))
        return len(self.json)

    @property
    def has_json(self) -> bool:
        """Whether the text is made already."""
        return self._json is not None

    @property
    def has_points(self) -> bool:
        """Whether the objects are made already."""
        return self._points is not None

    @property
    def points(self) -> Sequence[Datapoint]:
        """The datapoints as objects. Do not change them."""
        points = self._points
        if points is None:
            columns = self.columns
            if columns is None:
                self._points = points = _decode(b"[" + self.json + b"]")
            else:
                times, values = columns
                points = list(map(Datapoint, times.tolist(), values.tolist()))
                if self._source is None:  # or it may be kept in memory for long, and they take much
                    self._points = points
        return points

    def slice(self, start: int, stop: int) -> Block:
        """Return the datapoints ``[start, stop)``, with ``0 <= start < stop <= n``."""
        if start == 0 and stop == self.n:
            return self
        columns = self.columns
        if columns is not None:
            times, values = columns
            return Block.of_columns(times[start:stop], values[start:stop])
        return Block.of(self.points[start:stop])

    def __repr__(self) -> str:
        return f"Block(n={self.n}, t1={self.t1!r}, t2={self.t2!r})"
