"""Aggregates. Each gives a running value for each datapoint; add ``| if last`` for the total."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from ..engine import Ended
from ..limits import DEFAULT_LIMITS, HEAVY, Keep
from ..registry import Arg, Example, Point, Step, transform
from ..values import Failure, boolean, equal, number, text

if TYPE_CHECKING:
    from ...store.records import Summary

KEY_BYTES = 120
"""About what a key takes in memory, beside its characters."""


class Counter:
    """Counts on from *n*."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, t: float, d: Any) -> int:
        self.n += 1
        return self.n

    def skip(self, runs: Sequence[Summary]) -> None:
        self.n += sum(run.n for run in runs) - 1


def total_of(runs: Sequence[Summary], before: float) -> float:
    """Return the sum of what was *before* and all numbers of *runs* but the last, rounded once if it is finite."""
    parts = [before, *(run.total for run in runs), -runs[-1].last]
    try:
        return math.fsum(parts)
    except (OverflowError, ValueError):
        return float(sum(parts))


class Sum:
    """Adds up."""

    def __init__(self) -> None:
        self.total = 0.0

    def __call__(self, t: float, d: Any) -> float:
        self.total += number(d)
        return self.total

    def skip(self, runs: Sequence[Summary]) -> None:
        self.total = total_of(runs, self.total)


class Mean:
    """Adds up, and divides by how many there were."""

    def __init__(self) -> None:
        self.total = 0.0
        self.n = 0

    def __call__(self, t: float, d: Any) -> float:
        self.total += number(d)
        self.n += 1
        return self.total / self.n

    def skip(self, runs: Sequence[Summary]) -> None:
        self.total = total_of(runs, self.total)
        self.n += sum(run.n for run in runs) - 1


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

    def __init__(self, keep: Keep) -> None:
        self.keep = keep
        self.previous: Any = None

    def __call__(self, t: float, d: Any) -> bool:
        differs = not equal(d, self.previous)
        if self.keep.n or type(d) in HEAVY:
            self.keep.hold(d)
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

    def __init__(self, keep: Keep, sign: float) -> None:
        self.keep = keep
        self.sign = sign
        self.best = -math.inf
        self.held: Point | None = None

    def __call__(self, t: float, d: Any, key: Any) -> Point:
        x = self.sign * number(key)
        if x > self.best:
            self.keep.hold(d)
            self.best, self.held = x, (t, d)
        if self.held is None:
            raise Ended
        return self.held

    def skip(self, runs: Sequence[Summary]) -> None:
        if self.sign > 0:
            best = max(runs, key=attrgetter("high"))  # the first such one
            self(best.t_high, best.high, best.high)
        else:
            best = min(runs, key=attrgetter("low"))
            self(best.t_low, best.low, best.low)


@transform(
    "max",
    _KEY,
    kind="point",
    keeps=True,
    doc="The datapoint with the largest value so far, with its time stamp; of equal ones the earliest.",
    examples=[
        Example("max", [3, 7, 5], [3, 7, 7], times=[1, 2, 2]),
        Example("max($['v']) | if last", [{"v": 3, "at": "home"}, {"v": 9, "at": "work"}], [{"v": 9, "at": "work"}]),
    ],
)
def max_(keep: Keep) -> Step:
    return Extreme(keep, 1.0)


@transform(
    "min",
    _KEY,
    kind="point",
    keeps=True,
    doc="The datapoint with the smallest value so far, with its time stamp; of equal ones the earliest.",
    examples=[Example("min", [3, 7, 2], [3, 3, 2], times=[1, 1, 3])],
)
def min_(keep: Keep) -> Step:
    return Extreme(keep, -1.0)


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
    keeps=True,
    doc="Whether the data differ from those of the datapoint before. True for the first, unless it is null.",
    examples=[Example("if changed", ["on", "on", "off"], ["on", "off"])],
)
def changed(keep: Keep) -> Step:
    return Changed(keep)


@transform(
    "new",
    keeps=True,
    doc="Whether this text or number has not occurred before. "
    f"At most {DEFAULT_LIMITS.script_keys_max} different ones, unless the setting script_keys_max says otherwise.",
    examples=[Example("if new", ["a", "b", "a"], ["a", "b"])],
    returns='{"type": "boolean"}',
)
def new(keep: Keep) -> Step:
    seen: set[str] = set()

    def step(t: float, d: Any) -> bool:
        key = text(d)
        if key in seen:
            return False
        keep.keys(len(seen) + 1, "values")
        keep.add(KEY_BYTES + len(key))
        seen.add(key)
        return True

    return step


@transform(
    "append",
    keeps=True,
    doc=f"All data so far as one text. At most {DEFAULT_LIMITS.script_text_bytes_max} bytes, "
    "unless the setting script_text_bytes_max says otherwise.",
    examples=[Example("append", ["a", 1, "b"], ["a", "a1", "a1b"])],
    returns='{"type": "string"}',
)
def append(keep: Keep) -> Step:
    joined = ""
    size = 0

    def step(t: float, d: Any) -> str:
        nonlocal joined, size
        more = text(d)
        added = len(more.encode("utf-8", "surrogatepass"))
        size += added
        most = keep.limits.script_text_bytes_max
        if size > most:
            raise Failure(f"the text would be longer than {most} bytes (limit script_text_bytes_max)")
        keep.add(added)
        joined += more
        return joined

    return step
