"""The data: a stream of one value a second, with jittered milliseconds, of two decimals, as a thermometer gives it."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterable
from copy import copy
from hashlib import sha256

import msgspec

__all__ = ["Points", "digest"]

START_S = 1_700_000_000
JITTER_MS = 45
"""With the steps of the values this makes 1.22 bytes of entropy a datapoint, as the data of PERFORMANCE.md have."""
SEED = 3124


class Points:
    """Datapoints that are the same in every run.

    Attributes:
        t: Time stamps in seconds since the Unix epoch, rising.
        d: Values.
        texts: Each datapoint as JSON.
    """

    def __init__(self, n: int) -> None:
        rng = random.Random(SEED)
        self.t = array("d")
        self.d = array("d")
        value = 2000
        for i in range(n):
            self.t.append(START_S + i + rng.randrange(JITTER_MS) / 1000)
            value += rng.randrange(-9, 10)
            self.d.append(value / 100)
        self.texts = [
            b'{"t":%s,"d":%s}' % (repr(t).encode(), repr(d).encode()) for t, d in zip(self.t, self.d, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.texts)

    def head(self, n: int) -> Points:
        """Return the first *n*."""
        some = copy(self)
        some.t, some.d, some.texts = self.t[:n], self.d[:n], self.texts[:n]
        return some

    def json(self, start: int, stop: int) -> bytes:
        """Return the datapoints ``[start, stop)`` as a JSON array."""
        return b"[" + b",".join(self.texts[start:stop]) + b"]"

    def bounds(self, start: int, stop: int) -> tuple[float, float]:
        """Return ``t1`` (exclusive) and ``t2`` (inclusive), in seconds, between which ``[start, stop)`` lies."""
        return (self.t[start - 1] if start else 0.0), self.t[stop - 1]


class _Point(msgspec.Struct):
    t: float = 0.0
    d: float = 0.0


_decode = msgspec.json.Decoder(list[_Point]).decode


def digest(bodies: Iterable[bytes]) -> str:
    """Return a digest of what JSON arrays of datapoints say, however they are written."""
    seen = sha256()
    for body in bodies:
        points = _decode(body)
        seen.update(array("d", [len(points)]).tobytes())
        seen.update(array("d", [point.t for point in points]).tobytes())
        seen.update(array("d", [point.d for point in points]).tobytes())
    return seen.hexdigest()[:12]
