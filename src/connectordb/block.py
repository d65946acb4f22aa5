"""Block: a run of consecutive datapoints of one stream, the unit in which data moves through the server."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from .datapoint import Datapoint

__all__ = ["Block"]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Datapoint]).decode


class Block:
    """Consecutive datapoints, ordered by time.

    Held as JSON text, the way they are stored and sent, or as `Datapoint` objects, or both: each is made from the
    other when first asked for.

    Attributes:
        n: Number of datapoints, at least 1.
        t1: Time stamp of the first, in seconds since the Unix epoch.
        t2: Time stamp of the last; ``t1 <= t2``.
    """

    __slots__ = ("_json", "_points", "n", "t1", "t2")

    def __init__(
        self,
        n: int,
        t1: float,
        t2: float,
        json: bytes | None = None,
        points: Sequence[Datapoint] | None = None,
    ) -> None:
        self.n = n
        self.t1 = t1
        self.t2 = t2
        self._json = json
        self._points = points

    @classmethod
    def of(cls, points: Sequence[Datapoint]) -> Block:
        """Return a block of *points*, which are at least one and in order of time."""
        return cls(len(points), points[0].t, points[-1].t, points=points)

    @property
    def json(self) -> bytes:
        """The datapoints as JSON objects with commas between them, without the brackets of an array."""
        if self._json is None:
            self._json = _encode(self._points)[1:-1]
        return self._json

    @property
    def has_points(self) -> bool:
        """Whether the objects are made already."""
        return self._points is not None

    @property
    def points(self) -> Sequence[Datapoint]:
        """The datapoints as objects. Do not change them."""
        if self._points is None:
            self._points = _decode(b"[" + self.json + b"]")
        return self._points

    def slice(self, start: int, stop: int) -> Block:
        """Return the datapoints ``[start, stop)``, with ``0 <= start < stop <= n``."""
        if start == 0 and stop == self.n:
            return self
        return Block.of(self.points[start:stop])

    def __repr__(self) -> str:
        return f"Block(n={self.n}, t1={self.t1!r}, t2={self.t2!r})"
