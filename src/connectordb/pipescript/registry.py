"""The transforms and interpolators there are, with what is to be said about each.

To add a transform, write one function and decorate it::

    @transform("double", doc="Twice the number.", examples=[Example("double", [2], [4])], stateless=True)
    def double() -> Step:
        return lambda t, d: 2 * number(d)

The function is a *maker*: it is called once for each place (and each copy) in which the transform runs, with the values
of its constant arguments and with its scripts, in the order of the declaration, and returns what then works on the
datapoints; what that remembers is the state. The documentation and its examples are served, printed and tested from
here.

Other packages may add theirs: a module that does so, named under the entry point `PLUGINS`, is loaded when a name is
not known.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, runtime_checkable

from .batch import Batch
from .limits import Keep, Room

if TYPE_CHECKING:
    from ..store.records import Summary

__all__ = [
    "INTERPOLATORS",
    "TRANSFORMS",
    "Ahead",
    "Arg",
    "Copy",
    "Example",
    "Filter",
    "Inner",
    "Interpolator",
    "Point",
    "Skipping",
    "Step",
    "Transform",
    "find_transform",
    "interpolator",
    "load_plugins",
    "meta_interpolators",
    "meta_transforms",
    "nearest",
    "transform",
]

log = logging.getLogger(__name__)

Point = tuple[float, Any]
"""Time stamp and value."""
PointStep = Callable[[float, Any], Point]
Step = Callable[..., Any]
"""Called with ``t``, ``d`` and the arguments that are worked out for each datapoint. Returns the value, or for
``kind="point"`` a `Point`; raises `Failure`."""
Kind = Literal["value", "point", "filter", "ahead"]
ArgType = Literal["number", "integer", "text", "boolean", "any", "zone"]


@runtime_checkable
class Skipping(Protocol):
    """A running transform for which it is enough to know of numbers what is known without looking at them."""

    def skip(self, runs: Sequence[Summary]) -> None:
        """Take all numbers of *runs* but the last of all."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A running copy of a script that was given to a transform.

    Attributes:
        feed: Called with each datapoint; returns what it gives.
        steps: The running transforms in it, by the identity of their places in the plan.
    """

    feed: PointStep
    steps: dict[int, Any]


class Inner(Protocol):
    """A script that was given to a transform as an argument."""

    def new(self) -> Copy:
        """Return a fresh copy, to be kept for as long as the transform runs."""

    def renew(self) -> Copy:
        """Return a fresh copy that takes the place of the one before."""

    def single(self, t: float, d: Any) -> Any:
        """Return the value which a fresh copy gives for one datapoint alone."""

    def last(self, points: Sequence[Point]) -> Point | None:
        """Return the last datapoint that a fresh copy gives for *points*."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A running transform that gives fewer datapoints than it gets.

    Attributes:
        step: As `Step`, but returns a `Point` or ``None``.
        end: Called after the last datapoint; returns a `Point`, a `Batch` of several, or ``None``.
        state: What it remembers, for those who run it over whole columns.
    """

    step: Step
    end: Callable[[], Point | Batch | None] = lambda: None
    state: Any = None


@dataclass(frozen=True, slots=True)
class Ahead:
    """A running transform that looks ahead.

    Attributes:
        n: How far.
        step: Called with a datapoint and the one *n* after it (``None`` beyond the end); returns a `Point`.
        many: The same for batches of equal length, which do not touch the end.
    """

    n: int
    step: Callable[[Point, Point | None], Point]
    many: Callable[[Batch, Batch], Batch]


@dataclass(frozen=True, slots=True)
class Arg:
    """An argument of a transform.

    Attributes:
        default: What stands for it when it is missing: a value for a constant, else the text of a script. ``None`` with
            ``optional=True``: nothing.
        constant: Worked out once, when the script is read.
        script: The transform runs it itself.
        may_peek: For a script: it may look ahead.
        whole: Given as a `Point`, not as a value alone.
    """

    name: str
    type: ArgType
    doc: str
    optional: bool = False
    default: Any = None
    constant: bool = False
    script: bool = False
    may_peek: bool = False
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Example:
    """A script with what it does. A test runs each.

    Attributes:
        data: The values; their time stamps are `at`, or else 1, 2, 3 ...
        result: The values that come out.
        times: Their time stamps, where these are worth showing.
    """

    script: str
    data: Sequence[Any]
    result: Sequence[Any]
    at: Sequence[float] | None = None
    times: Sequence[float] | None = None

    def points(self) -> list[Point]:
        """Return the datapoints to run the script over."""
        return list(zip(map(float, self.at or range(1, len(self.data) + 1)), self.data, strict=True))


@dataclass(frozen=True, slots=True)
class Transform:
    """A transform, as it is registered.

    Attributes:
        one_to_one: Gives one datapoint for each it gets. Only such ones may be arguments and operands.
        stateless: What it gives depends on one datapoint alone.
        peek: Looks ahead.
        keeps: Its maker is given a `Keep`, before all else, to be told of what it keeps, or makes.
        since: The release that brought it. Empty: 0.3 had it, too.
        returns: JSON Schema of the data it gives; ``None`` for any.
        accepts: JSON Schema of the data it takes; ``None`` for any.
    """

    name: str
    args: tuple[Arg, ...]
    make: Callable[..., Any]
    doc: str
    examples: tuple[Example, ...]
    kind: Kind
    group: str
    one_to_one: bool
    stateless: bool
    peek: bool
    keeps: bool = False
    since: str = ""
    returns: str | None = None
    accepts: str | None = None

    def started(self, room: Room, given: Iterable[Any]) -> Any:
        """Return what the maker makes of constants and scripts."""
        return self.make(Keep(room), *given) if self.keeps else self.make(*given)

    def meta(self) -> dict[str, Any]:
        """Return the entry of ``/meta/transforms``."""
        entry: dict[str, Any] = {"name": self.name, "description": self.doc, "group": self.group}
        if self.accepts:
            entry["ischema"] = self.accepts
        if self.returns:
            entry["oschema"] = self.returns
        entry["args"] = [_meta_arg(arg) for arg in self.args] or None
        entry["one_to_one"] = self.one_to_one
        entry["stateless"] = self.stateless
        entry["peek"] = self.peek
        if self.since:
            entry["since"] = self.since
        entry["examples"] = [_meta_example(example) for example in self.examples]
        return entry


def _meta_arg(arg: Arg) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": arg.name, "description": arg.doc, "type": arg.type, "optional": arg.optional}
    if arg.optional:
        entry["default"] = arg.default
    return entry | {"constant": arg.constant, "hijacked": arg.script}


def _meta_example(example: Example) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "script": example.script,
        "data": [{"t": t, "d": d} for t, d in example.points()],
        "result": list(example.result),
    }
    if example.times:
        entry["times"] = list(example.times)
    return entry


RunningInterpolator = Callable[[float], Point | None]
"""Finds the value of one stream at a time; the times it is asked for do not decrease. Only the value counts for a
dataset."""

InterpolatorMaker = Callable[[Iterable[Batch]], RunningInterpolator]


@dataclass(frozen=True, slots=True)
class Interpolator:
    """An interpolator, as it is registered.

    Attributes:
        make: Called with the batches of a stream; returns what is then asked for the value at each time.
        example: Datapoints as `Point`, times, and the values there.
    """

    name: str
    make: InterpolatorMaker
    doc: str
    example: tuple[Sequence[Point], Sequence[float], Sequence[Any]]

    def meta(self) -> dict[str, Any]:
        """Return the entry of ``/meta/interpolators``."""
        points, times, values = self.example
        example = {"stream": [{"t": t, "d": d} for t, d in points], "times": list(times), "values": list(values)}
        return {"name": self.name, "description": self.doc, "ischema": "", "oschema": "", "example": example}


TRANSFORMS: Final[dict[str, Transform]] = {}
"""By name. Filled when `connectordb.pipescript` is imported."""
INTERPOLATORS: Final[dict[str, Interpolator]] = {}


def transform(
    name: str,
    *args: Arg,
    doc: str,
    examples: Iterable[Example] = (),
    kind: Kind = "value",
    stateless: bool = False,
    keeps: bool = False,
    since: str = "",
    returns: str | None = None,
    accepts: str | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated maker as the transform *name*; what it returns depends on *kind*.

    Args:
        kind: ``"value"`` and ``"point"``: a `Step`; ``"filter"``: a `Filter`; ``"ahead"``: an `Ahead`.
        keeps: It keeps more the more datapoints come, or its results may be larger than the data: the maker is given a
            `Keep` before its other arguments.

    Raises:
        ValueError: the name is taken.
    """

    def register(make: Callable[..., Any]) -> Callable[..., Any]:
        if name in TRANSFORMS:
            raise ValueError(f"there is a transform {name!r} already")
        TRANSFORMS[name] = Transform(
            name=name,
            args=args,
            make=make,
            doc=doc,
            examples=tuple(examples),
            kind=kind,
            group=make.__module__.rpartition(".")[2],
            one_to_one=kind != "filter",
            stateless=stateless,
            peek=kind == "ahead",
            keeps=keeps,
            since=since,
            returns=returns,
            accepts=accepts,
        )
        return make

    return register


def interpolator(
    name: str, *, doc: str, example: tuple[Sequence[Point], Sequence[float], Sequence[Any]]
) -> Callable[[InterpolatorMaker], InterpolatorMaker]:
    """Register the decorated maker as the interpolator *name*.

    Raises:
        ValueError: the name is taken.
    """

    def register(make: InterpolatorMaker) -> InterpolatorMaker:
        if name in INTERPOLATORS:
            raise ValueError(f"there is an interpolator {name!r} already")
        INTERPOLATORS[name] = Interpolator(name, make, doc, example)
        return make

    return register


PLUGINS: Final = "connectordb.pipescript"
"""The entry points that are loaded: modules which register transforms and interpolators of other packages."""


@cache
def load_plugins() -> None:
    """Load what other packages add. One that cannot be loaded is logged and left out."""
    from importlib.metadata import entry_points  # not needed by most

    for entry in entry_points(group=PLUGINS):
        try:
            entry.load()
        except Exception:  # whatever is wrong in it, the rest has to go on
            log.exception("the transforms of %s (%s) cannot be loaded", entry.name, entry.value)


def find_transform(name: str) -> Transform | None:
    """Return the transform of that name, from this package or another; ``None`` if there is none."""
    if name not in TRANSFORMS:
        load_plugins()
    return TRANSFORMS.get(name)


_ELSEWHERE: Final = {"where": "if", "avg": "mean", "average": "mean", "median": "quantile", "std": "stddev"}
"""What other languages call these."""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return which of *names* is so much like *name* that it may be meant."""
    known = list(names)
    if _ELSEWHERE.get(name.lower()) in known:
        return _ELSEWHERE[name.lower()]
    folded = {candidate.lower(): candidate for candidate in known}
    if name.lower() in folded:
        return folded[name.lower()]
    found = difflib.get_close_matches(name[:50], known, n=1, cutoff=0.6)
    return found[0] if found else None


def meta_transforms() -> dict[str, dict[str, Any]]:
    """Return the answer of ``/meta/transforms``: as in 0.3, and more in each entry."""
    load_plugins()
    return {name: TRANSFORMS[name].meta() for name in sorted(TRANSFORMS)}


def meta_interpolators() -> dict[str, dict[str, Any]]:
    """Return the answer of ``/meta/interpolators``."""
    load_plugins()
    return {name: INTERPOLATORS[name].meta() for name in sorted(INTERPOLATORS)}
