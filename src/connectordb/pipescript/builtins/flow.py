"""Selection and flow: which datapoints go on, and as what."""

from __future__ import annotations

from typing import Any

from ..batch import Batch
from ..limits import Keep
from ..registry import Ahead, Arg, Copy, Example, Filter, Inner, Point, PointStep, Step, transform
from ..values import Failure, boolean, element, integer, number

NEXT_MAX = 100
"""How far `next` may look ahead."""

_ELEMENT = Arg("element", "any", "the key or the index of a part of the data", optional=True, constant=True)
_CONDITION = Arg("condition", "boolean", "a script that gives true or false")


def _data(key: Any) -> Step:
    if key is None:
        return lambda t, d: d
    return lambda t, d: element(d, key)


transform(
    "$",
    _ELEMENT,
    stateless=True,
    doc="The data of the datapoint, or with an argument the part of it that has this key or index. "
    "An index counts from 0, a negative one from the end.",
    examples=[
        Example("$ * 2", [1, 2], [2, 4]),
        Example("$['steps']", [{"steps": 14, "activity": "walking"}], [14]),
        Example("$[-1]", [[1, 2, 3]], [3]),
    ],
)(_data)
transform(
    "d",
    _ELEMENT,
    stateless=True,
    doc="Another name for '$'.",
    examples=[Example("d['steps']", [{"steps": 14}], [14])],
)(_data)


@transform(
    "if",
    _CONDITION,
    kind="filter",
    doc="Lets the datapoints through for which the condition is true.",
    examples=[
        Example("if $ > 5", [3, 7, 6], [7, 6]),
        Example("mean | if last", [1, 2, 6], [3], times=[3]),
    ],
)
def if_() -> Filter:
    def step(t: float, d: Any, condition: Any) -> Point | None:
        return (t, d) if boolean(condition) else None

    return Filter(step)


class Choice:
    """Gives each datapoint to one of two scripts."""

    def __init__(self, yes: Copy, no: Copy) -> None:
        self.yes = yes
        self.no = no

    def __call__(self, t: float, d: Any, condition: Any) -> Point:
        return self.yes.feed(t, d) if boolean(condition) else self.no.feed(t, d)


@transform(
    "ifelse",
    _CONDITION,
    Arg("then", "any", "the script for the datapoints for which it is true", script=True),
    Arg("otherwise", "any", "the script for the others", optional=True, default="$", script=True),
    kind="point",
    doc="Gives each datapoint to one of two scripts. Each script sees only its own datapoints.",
    examples=[
        Example("ifelse($ > 5, 'high', 'low')", [3, 7], ["low", "high"]),
        Example("ifelse $ > 5 count", [3, 7, 8], [3, 1, 2]),
    ],
)
def ifelse(then: Inner, otherwise: Inner) -> Step:
    return Choice(then.new(), otherwise.new())


class First:
    """Whether the datapoint is the first.

    Attributes:
        is_next: Whether the next one is.
    """

    def __init__(self) -> None:
        self.is_next = True

    def __call__(self, t: float, d: Any) -> bool:
        was, self.is_next = self.is_next, False
        return was


@transform(
    "first",
    doc="True for the first datapoint, false for all others.",
    examples=[Example("if first", [7, 8, 9], [7])],
    returns='{"type": "boolean"}',
)
def first() -> Step:
    return First()


@transform(
    "last",
    kind="ahead",
    doc="True for the last datapoint, false for all others.",
    examples=[Example("count | if last", [7, 8, 9], [3], times=[3])],
    returns='{"type": "boolean"}',
)
def last() -> Ahead:
    def many(batch: Batch, following: Batch) -> Batch:
        return Batch(batch.t, [False] * batch.n)

    return Ahead(1, lambda point, following: (point[0], following is None), many)


@transform(
    "next",
    Arg("n", "integer", "how many datapoints ahead, 1 to 100", optional=True, default=1, constant=True),
    kind="ahead",
    doc="The datapoint that follows, with its time stamp; null after the last.",
    examples=[
        Example("next", [5, 6, 9], [6, 9, None], times=[2, 3, 3]),
        Example("next - $", [5, 6, 9], [1, 3, -9], times=[1, 2, 3]),
    ],
)
def next_(n: Any) -> Ahead:
    ahead = integer(n)
    if not 1 <= ahead <= NEXT_MAX:
        raise Failure(f"it can look 1 to {NEXT_MAX} datapoints ahead, not {ahead}")

    def step(point: Point, following: Point | None) -> Point:
        return (point[0], None) if following is None else following

    return Ahead(ahead, step, lambda batch, following: following)


class Memory:
    """Holds one datapoint."""

    def __init__(self, keep: Keep) -> None:
        self.keep = keep
        self.held: Point | None = None

    def __call__(self, t: float, d: Any, condition: Any, value: Point) -> Point:
        if self.held is None or boolean(condition):
            self.keep.hold(value[1])
            self.held = value
        return self.held


@transform(
    "remember",
    _CONDITION,
    Arg("value", "any", "what to remember", optional=True, default="$", whole=True),
    kind="point",
    keeps=True,
    doc="Remembers the value of the first datapoint, and of each for which the condition is true; "
    "gives what is remembered, with the time stamp at which that was.",
    examples=[Example("$ - remember(first)", [5, 6, 9], [0, 1, 4]), Example("remember($ > 5)", [1, 7, 2], [1, 7, 7])],
)
def remember(keep: Keep) -> Step:
    return Memory(keep)


class Shift:
    """Adds seconds to the time stamp."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, t: float, d: Any) -> Point:
        return t + self.seconds, d


@transform(
    "tshift",
    Arg("seconds", "number", "how far; negative for back", constant=True),
    kind="point",
    stateless=True,
    doc="Moves the datapoint in time: adds to its time stamp.",
    examples=[Example("tshift 60", [5], [5], at=[1000], times=[1060])],
)
def tshift(seconds: Any) -> PointStep:
    return Shift(number(seconds))


@transform(
    "t",
    stateless=True,
    doc="The time stamp of the datapoint, in seconds since 1970.",
    examples=[Example("t", ["a", "b"], [1000, 1060], at=[1000, 1060])],
    returns='{"type": "number"}',
)
def t_() -> Step:
    return lambda t, d: t


class Passed:
    """Seconds since the time stamp before; 0 stands for none."""

    def __init__(self) -> None:
        self.previous = 0.0

    def __call__(self, t: float, d: Any) -> float:
        passed = t - self.previous if self.previous else 0.0
        self.previous = t
        return passed


@transform(
    "dt",
    doc="The seconds since the datapoint before; 0 for the first.",
    examples=[Example("dt", ["a", "b"], [0, 60], at=[1000, 1060])],
)
def dt() -> Step:
    return Passed()
