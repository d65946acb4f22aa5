"""Numbers and places."""

from __future__ import annotations

import math
import random
from typing import Any

from ..registry import Arg, Example, Step, transform
from ..values import Failure, number, quotient, show, text

EARTH_RADIUS_M = 6_371_000.0


class Bucket:
    """Names the bucket that a number lies in."""

    def __init__(self, width: float, origin: float) -> None:
        self.width = width
        self.origin = origin

    def __call__(self, t: float, d: Any) -> str:
        n = quotient(number(d) - self.origin, self.width)
        return self.name(float(math.floor(n)) if math.isfinite(n) else n)

    def name(self, n: float) -> str:
        """Return the text for bucket *n*, counted from the one that begins at the origin."""
        return f"[{text(self.origin + n * self.width)},{text(self.origin + (n + 1) * self.width)})"


@transform(
    "bucket",
    Arg("size", "number", "the width of a bucket", optional=True, default=10, constant=True),
    Arg("start", "number", "where one of the buckets begins", optional=True, default=0, constant=True),
    stateless=True,
    doc="The bucket that the number lies in, as text: from its lower bound up to, but without, its upper one. "
    "Mostly used as a key of 'map', which then gives a histogram.",
    examples=[
        Example("bucket(5)", [3, 7], ["[0,5)", "[5,10)"]),
        Example("map(bucket, count)", [3, 7, 12], [{"[0,10)": 2, "[10,20)": 1}]),
    ],
    returns='{"type": "string"}',
)
def bucket(size: Any, start: Any) -> Step:
    return Bucket(number(size), number(start))


@transform(
    "rand",
    doc="A random number, at least 0 and less than 1.",
    examples=[Example("rand < 1", [7], [True])],
    returns='{"type": "number","minimum": 0, "exclusiveMaximum": 1}',
)
def rand() -> Step:
    return lambda t, d: random.random()


@transform(
    "distance",
    Arg("latitude", "number", "in degrees", constant=True),
    Arg("longitude", "number", "in degrees", constant=True),
    stateless=True,
    doc="The distance in metres from this place to that of the datapoint, an object with 'latitude' and 'longitude'.",
    examples=[
        Example("distance(52.52, 13.4) > 800000", [{"latitude": 48.86, "longitude": 2.35}], [True]),
    ],
    returns='{"type": "number"}',
)
def distance(latitude: Any, longitude: Any) -> Step:
    here = math.radians(number(latitude)), math.radians(number(longitude))

    def step(t: float, d: Any) -> float:
        if type(d) is not dict or "latitude" not in d or "longitude" not in d:
            raise Failure(f"there is no 'latitude' and 'longitude' in {show(d)}")
        there = math.radians(number(d["latitude"])), math.radians(number(d["longitude"]))
        return _haversine_m(here, there)

    return step


def _haversine_m(a: tuple[float, float], b: tuple[float, float]) -> float:
    if not all(map(math.isfinite, (*a, *b))):
        return math.nan
    half = math.sin((b[0] - a[0]) / 2) ** 2 + math.cos(a[0]) * math.cos(b[0]) * math.sin((b[1] - a[1]) / 2) ** 2
    return 2 * EARTH_RADIUS_M * math.atan2(math.sqrt(half), math.sqrt(max(0.0, 1 - half)))
