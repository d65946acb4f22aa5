"""Splitting the sequence: by a key, by a condition, by true and false."""

from __future__ import annotations

from typing import Any

from ..limits import DEFAULT_LIMITS, HEAVY, Keep, weight
from ..registry import Arg, Copy, Example, Filter, Inner, Point, PointStep, Step, transform
from ..values import boolean, text
from .aggregate import KEY_BYTES

_KEY = Arg("key", "text", "a script that gives the key")
_SCRIPT = Arg("script", "any", "a script that gives one datapoint for each", script=True)
_CONDITION = Arg("condition", "boolean", "while it is true, the group goes on; false begins a new group")


class Split:
    """A copy of the script for each key, and what each gave last.

    Attributes:
        t: The latest time stamp, if there was one.
    """

    def __init__(self, keep: Keep, script: Inner) -> None:
        self.keep = keep
        self.script = script
        self.copies: dict[str, Copy] = {}
        self.latest: dict[str, Any] = {}
        self.t: float | None = None

    def feed(self, t: float, d: Any, key: Any) -> None:
        name = text(key)
        copy = self.copies.get(name)
        if copy is None:
            copy = self.begin(name)
        self.put(name, copy.feed(t, d)[1])
        self.t = t

    def begin(self, name: str) -> Copy:
        """Return the copy for a new key."""
        self.keep.keys(len(self.copies) + 1, "keys")
        self.keep.add(KEY_BYTES + len(name))
        copy = self.copies[name] = self.script.new()
        return copy

    def put(self, name: str, value: Any) -> None:
        """Take what the copy for a key gave."""
        before = self.latest.get(name)
        if type(value) in HEAVY or type(before) in HEAVY:
            self.keep.add(weight(value) - weight(before))
        self.latest[name] = value

    def end(self) -> Point | None:
        return None if self.t is None else (self.t, self.latest)


@transform(
    "map",
    _KEY,
    _SCRIPT,
    kind="filter",
    keeps=True,
    doc="Splits the datapoints by a key, runs a copy of the script over each part, and gives one object at the end: "
    f"what each copy gave last, under its key. At most {DEFAULT_LIMITS.script_keys_max} keys, unless the setting "
    "script_keys_max says otherwise.",
    examples=[
        Example("map($, count)", ["a", "b", "a"], [{"a": 2, "b": 1}], times=[3]),
        Example("map($ > 5, mean)", [7, 3, 9], [{"true": 8, "false": 3}]),
    ],
)
def map_(keep: Keep, script: Inner) -> Filter:
    split = Split(keep, script)
    return Filter(split.feed, split.end, split)


@transform(
    "imap",
    _KEY,
    _SCRIPT,
    keeps=True,
    doc="As 'map', but gives the object so far for each datapoint.",
    examples=[Example("imap($, count)", ["a", "b", "a"], [{"a": 1}, {"a": 1, "b": 1}, {"a": 2, "b": 1}])],
)
def imap(keep: Keep, script: Inner) -> Step:
    split = Split(keep, script)

    def step(t: float, d: Any, key: Any) -> dict[str, Any]:
        split.feed(t, d, key)
        return dict(split.latest)

    return step


class Groups:
    """The group that goes on, if there is one.

    Attributes:
        held: What its script gave last.
    """

    def __init__(self, script: Inner) -> None:
        self.script = script
        self.group: Copy | None = None
        self.held: Point | None = None

    def feed(self, t: float, d: Any, condition: Any) -> Point | None:
        done = None
        if self.group is None or not boolean(condition):
            done, self.group = self.held, self.script.renew()
        self.held = self.group.feed(t, d)
        return done


@transform(
    "while",
    _CONDITION,
    _SCRIPT,
    kind="filter",
    doc="Cuts the datapoints into groups, each beginning where the condition is false; runs the script over each group "
    "from a fresh start, and gives its last result.",
    examples=[
        Example("while($ > 5, sum)", [1, 7, 8, 2, 9], [16, 11], times=[3, 5]),
        Example("while(not changed, count)", ["a", "a", "b"], [2, 1]),
    ],
)
def while_(script: Inner) -> Filter:
    groups = Groups(script)
    return Filter(groups.feed, lambda: groups.held, groups)


@transform(
    "iwhile",
    _CONDITION,
    _SCRIPT,
    kind="point",
    doc="As 'while', but gives each result of the script.",
    examples=[Example("iwhile($ > 5, sum)", [1, 7, 8, 2, 9], [1, 8, 16, 2, 11])],
)
def iwhile(script: Inner) -> Step:
    group: PointStep | None = None

    def step(t: float, d: Any, condition: Any) -> Point:
        nonlocal group
        if not boolean(condition) or group is None:
            group = script.renew().feed
        return group(t, d)

    return step


def _run_lengths(wanted: bool) -> Filter:
    began: float | None = None
    latest = 0.0
    n = 0

    def step(t: float, d: Any) -> Point | None:
        nonlocal began, latest, n
        if boolean(d) is wanted:
            if began is None:
                began, n = t, 0
            latest = t
            n += 1
            return None
        if began is None:
            return None
        duration, began = t - began, None
        return t, duration

    return Filter(step, lambda: (latest, latest - began) if began is not None and n > 1 else None)


@transform(
    "ttrue",
    kind="filter",
    doc="For how many seconds the data stayed true: from the first true datapoint to the next false one, at whose time "
    "stamp it is given.",
    examples=[Example("$ > 5 | ttrue", [1, 7, 8, 2, 9], [20], at=[0, 10, 20, 30, 40], times=[30])],
)
def ttrue() -> Filter:
    return _run_lengths(True)


@transform(
    "tfalse",
    kind="filter",
    doc="For how many seconds the data stayed false: from the first false datapoint to the next true one, at whose "
    "time stamp it is given.",
    examples=[Example("$ > 5 | tfalse", [9, 1, 2, 7], [20], at=[0, 10, 20, 30], times=[30])],
)
def tfalse() -> Filter:
    return _run_lengths(False)
