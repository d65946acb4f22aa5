"""Aggregates. Each gives a running value for each datapoint; add ``| if last`` for the total."""

from __future__ import annotations

import math
from typing import Any

from ..engine import Ended
from ..registry import Arg, Example, Point, Step, transform
from ..values import Failure, boolean, equal, number, text

SPLIT_MAX = 50_000
"""How many different values `new`, and how many keys `map` and `imap` may tell apart."""
TEXT_MAX = 1_000_000
"""Bytes of the text that `append` makes."""


class Counter:
    """Counts on from *n*."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, t: float, d: Any) -> int:
        self.n += 1
        return self.n


class Sum:
    """Adds up."""

    def __init__(self) -> None:
        self.total = 0.0

    def __call__(self, t: float, d: Any) -> float:
        self.total += number(d)
        return self.total


class Mean:
    """Adds up, and divides by how many there were."""

    def __init__(self) -> None:
        self.total = 0.0
        self.n = 0

    def __call__(self, t: float, d: Any) -> float:
        self.total += number(d)
        self.n += 1
        return self.total / self.n


class AllTrue:
    """Whether none was false."""

    def __init__(self) -> None:
        self.result = True

    def __call__(self, t: float, d: Any) -> bool:
        self.result = boolean(d) and self.result
        return self.result


class AnyTrue:
    """Whether one was true."""

    def __init__(self) -> None:
        self.result = False

    def __call__(self, t: float, d: Any) -> bool:
        self.result = boolean(d) or self.result
        return self.result


class Changed:
    """Compares with the value before, which at first is null."""

    def __init__(self) -> None:
        self.previous: Any = None

    def __call__(self, t: float, d: Any) -> bool:
        differs = not equal(d, self.previous)
        self.previous = d
        return differs


@transform(
    "count",
    doc="How many datapoints there were so far, this one included.",
    examples=[Example("count", ["a", "b", "c"], [1, 2, 3]), Example("if $ > 5 | count | if last", [7, 3, 9], [2])],
    returns='{"type": "integer","minimum": 0}',
)
def count() -> Step:
    return Counter(0)


@transform(
    "i",
    doc="The position of the datapoint, counted from 0.",
    examples=[Example("i", ["a", "b", "c"], [0, 1, 2])],
    returns='{"type": "integer","minimum": 0}',
)
def i() -> Step:
    return Counter(-1)


@transform("sum", doc="The sum so far.", examples=[Example("sum", [1, 2, 5], [1, 3, 8])])
def sum_() -> Step:
    return Sum()


@transform(
    "mean",
    doc="The mean so far.",
    examples=[Example("mean", [1, 2, 6], [1, 1.5, 3]), Example("mean | if last", [1, 2, 6], [3])],
)
def mean() -> Step:
    return Mean()


_KEY = Arg("key", "number", "what to compare", optional=True, default="$")


class Extreme:
    """Holds the datapoint with the largest key.

    Attributes:
        sign: 1, or -1 for the smallest.
        best: Its key, times the sign.
    """

    def __init__(self, sign: float) -> None:
        self.sign = sign
        self.best = -math.inf
        self.held: Point | None = None

    def __call__(self, t: float, d: Any, key: Any) -> Point:
        x = self.sign * number(key)
        if x > self.best:
            self.best, self.held = x, (t, d)
        if self.held is None:
            raise Ended
        return self.held


@transform(
    "max",
    _KEY,
    kind="point",
    doc="The datapoint with the largest value so far, with its time stamp; of equal ones the earliest.",
    examples=[
        Example("max", [3, 7, 5], [3, 7, 7], times=[1, 2, 2]),
        Example("max($['v']) | if last", [{"v": 3, "at": "home"}, {"v": 9, "at": "work"}], [{"v": 9, "at": "work"}]),
    ],
)
def max_() -> Step:
    return Extreme(1.0)


@transform(
    "min",
    _KEY,
    kind="point",
    doc="The datapoint with the smallest value so far, with its time stamp; of equal ones the earliest.",
    examples=[Example("min", [3, 7, 2], [3, 3, 2], times=[1, 1, 3])],
)
def min_() -> Step:
    return Extreme(-1.0)


@transform(
    "alltrue",
    doc="Whether all data so far were true.",
    examples=[Example("$ > 5 | alltrue", [7, 3, 9], [True, False, False])],
)
def alltrue() -> Step:
    return AllTrue()


@transform(
    "anytrue",
    doc="Whether any data so far were true.",
    examples=[Example("$ > 5 | anytrue", [3, 7, 4], [False, True, True])],
)
def anytrue() -> Step:
    return AnyTrue()


@transform(
    "changed",
    doc="Whether the data differ from those of the datapoint before. True for the first, unless it is null.",
    examples=[Example("if changed", ["on", "on", "off"], ["on", "off"])],
)
def changed() -> Step:
    return Changed()


@transform(
    "new",
    doc=f"Whether this text or number has not occurred before. At most {SPLIT_MAX} different ones.",
    examples=[Example("if new", ["a", "b", "a"], ["a", "b"])],
    returns='{"type": "boolean"}',
)
def new() -> Step:
    seen: set[str] = set()

    def step(t: float, d: Any) -> bool:
        key = text(d)
        if key in seen:
            return False
        if len(seen) >= SPLIT_MAX:
            raise Failure(f"there are more than {SPLIT_MAX} different values")
        seen.add(key)
        return True

    return step


@transform(
    "append",
    doc=f"All data so far as one text. At most {TEXT_MAX} bytes.",
    examples=[Example("append", ["a", 1, "b"], ["a", "a1", "a1b"])],
    returns='{"type": "string"}',
)
def append() -> Step:
    joined = ""
    size = 0

    def step(t: float, d: Any) -> str:
        nonlocal joined, size
        more = text(d)
        size += len(more.encode("utf-8", "surrogatepass"))
        if size > TEXT_MAX:
            raise Failure(f"the text would be longer than {TEXT_MAX} bytes")
        joined += more
        return joined

    return step
