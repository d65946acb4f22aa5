"""Statistics: how far the numbers spread. Running values, as those of the aggregates."""

from __future__ import annotations

import math
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, Final

from ...columns import numpy
from ..limits import DEFAULT_LIMITS, Keep
from ..registry import Arg, Example, Step, transform
from ..values import Failure, number

if TYPE_CHECKING:
    from ...columns import Floats

POINT_BYTES: Final = 32
"""About what a number takes in memory, as an object in a list."""


class Deviation:
    """Adds up how far the numbers are from a shift, and the squares of that.

    The shift is near the mean: each time that there are twice as many numbers, it becomes their mean. So the squares
    never are much larger than they are for the mean itself, and do not swallow the digits that count.

    Attributes:
        total: Sum of the distances.
        squares: Sum of their squares.
    """

    def __init__(self) -> None:
        self.n = 0
        self.shift = 0.0
        self.total = 0.0
        self.squares = 0.0

    def __call__(self, t: float, d: Any) -> float:
        x = number(d)
        if self.n & (self.n - 1) == 0:
            self.centre(x)
        self.n += 1
        away = x - self.shift
        self.total += away
        self.squares += away * away
        if self.n < 2:
            return 0.0
        variance = (self.squares - self.total * self.total / self.n) / (self.n - 1)
        return 0.0 if variance <= 0 else math.sqrt(variance)

    def centre(self, x: float) -> None:
        """Move the shift to the mean; before the first number, to this, which is *x*."""
        if self.n == 0:
            self.shift = x
            return
        shift = self.shift + self.total / self.n
        moved = shift - self.shift
        self.squares -= moved * (2.0 * self.total - self.n * moved)
        self.total -= self.n * moved
        self.shift = shift


@transform(
    "stddev",
    since="0.4",
    doc="The sample standard deviation so far: the root of the sum of the squares of the distances from the mean, "
    "divided by one less than the number of datapoints. 0 for a single datapoint.",
    examples=[
        Example("stddev", [2, 4, 6], [0, 2**0.5, 2]),
        Example("stddev | if last", [2, 4, 4, 4, 5, 5, 7, 9], [(32 / 7) ** 0.5]),
    ],
)
def stddev() -> Step:
    return Deviation()


def between(a: float, b: float, part: float) -> float:
    """Return what lies between two numbers, *part* of the way."""
    if part == 0.0 or a == b:
        return a
    return a + (b - a) * part if part < 0.5 else b - (b - a) * (1.0 - part)


class Quantile:
    """Keeps all numbers.

    Attributes:
        low: The smaller ones, up to the quantile; negative, as a heap.
        high: The others, as a heap.
        waiting: Some that are in neither heap yet.
    """

    def __init__(self, keep: Keep, q: float) -> None:
        self.keep = keep
        self.q = q
        self.n = 0
        self.low: list[float] = []
        self.high: list[float] = []
        self.waiting: tuple[Floats, ...] = ()

    def __call__(self, t: float, d: Any) -> float:
        x = number(d) + 0.0  # there is but one 0
        if not math.isfinite(x):
            raise Failure("only finite numbers have quantiles")
        if self.waiting:
            self.settle()
        self.grow(1)
        if self.low and x < -self.low[0]:
            heappush(self.low, -x)
        else:
            heappush(self.high, x)
        rank = (self.n - 1) * self.q
        whole = math.floor(rank)
        while len(self.low) > whole + 1:
            heappush(self.high, -heappop(self.low))
        while len(self.low) < whole + 1:
            heappush(self.low, -heappop(self.high))
        a = -self.low[0]
        return between(a, self.high[0] if self.high else a, rank - whole)

    def grow(self, n: int) -> None:
        self.keep.points(self.n + n, "quantile")
        self.keep.add(n * POINT_BYTES)
        self.n += n

    def settle(self) -> None:
        """Put those that wait into the heaps."""
        np = numpy()
        numbers = np.concatenate(self.numbers)
        whole = math.floor((self.n - 1) * self.q)
        numbers.partition(whole)
        self.low = (-numbers[: whole + 1]).tolist()
        self.high = numbers[whole + 1 :].tolist()
        self.waiting = ()
        heapify(self.low)
        heapify(self.high)

    @property
    def numbers(self) -> tuple[Floats, ...]:
        """All of them, in any order, as arrays."""
        np = numpy()
        heaps = [np.array(self.low) * -1.0 + 0.0, np.array(self.high)] if self.low else []
        return (*heaps, *self.waiting)

    @numbers.setter
    def numbers(self, arrays: tuple[Floats, ...]) -> None:
        self.grow(sum(map(len, arrays)) - self.n)
        self.low, self.high = [], []
        self.waiting = arrays


@transform(
    "quantile",
    Arg("q", "number", "which: 0.5 is the median, 0 the smallest and 1 the largest number", constant=True),
    keeps=True,
    since="0.4",
    doc="The number so far below which the part q of all numbers lies; between two numbers in proportion. It is exact, "
    f"and keeps all numbers for that: of at most {DEFAULT_LIMITS.script_points_max} datapoints, unless the setting "
    "script_points_max says otherwise.",
    examples=[
        Example("quantile(0.5)", [5, 1, 9, 3], [5, 3, 5, 4]),
        Example("quantile(0.9) | if last", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], [10]),
    ],
)
def quantile(keep: Keep, q: Any) -> Step:
    part = number(q)
    if not 0 <= part <= 1:
        raise Failure(f"q has to be from 0 to 1, and is not {part:g}")
    return Quantile(keep, part)
