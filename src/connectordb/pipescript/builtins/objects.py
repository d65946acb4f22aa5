"""Transforms of data that are objects."""

from __future__ import annotations

from typing import Any

from ..limits import HEAVY, Keep
from ..registry import Arg, Example, Inner, Point, Step, transform
from ..values import Failure, boolean, integer, number, show, text

_FIELD = Arg("name", "text", "the name of the field", constant=True)


def _object(d: Any) -> dict[str, Any]:
    if type(d) is not dict:
        raise Failure(f"the data are no object, but {show(d)}")
    return d


@transform(
    "set",
    _FIELD,
    Arg("value", "any", "the value of the field"),
    stateless=True,
    keeps=True,
    doc="The object with one field set.",
    examples=[Example("set('sum', $['a'] + $['b'])", [{"a": 1, "b": 2}], [{"a": 1, "b": 2, "sum": 3}])],
)
def set_(keep: Keep, name: Any) -> Step:
    key = text(name)
    made = keep.room.made

    def step(t: float, d: Any, value: Any) -> dict[str, Any]:
        result = {**_object(d), key: value}
        return made(result) if type(value) in HEAVY else result

    return step


@transform(
    "del",
    _FIELD,
    stateless=True,
    doc="The object without one field.",
    examples=[Example("del('a')", [{"a": 1, "b": 2}], [{"b": 2}])],
)
def del_(name: Any) -> Step:
    key = text(name)

    def step(t: float, d: Any) -> dict[str, Any]:
        return {k: value for k, value in _object(d).items() if k != key}

    return step


@transform(
    "apply",
    Arg("script", "any", "a script that gives one datapoint for each", script=True, may_peek=True),
    stateless=True,
    keeps=True,
    doc="Runs a script over each value of the object, from a fresh start each time.",
    examples=[Example("apply($ * 2)", [{"a": 1, "b": 2}], [{"a": 2, "b": 4}])],
)
def apply(keep: Keep, script: Inner) -> Step:
    made = keep.room.made

    def step(t: float, d: Any) -> dict[str, Any]:
        result = {key: script.single(t, value) for key, value in _object(d).items()}
        return result if HEAVY.isdisjoint(map(type, result.values())) else made(result)

    return step


@transform(
    "filter",
    Arg("script", "boolean", "a script that gives true for what is to go", script=True, may_peek=True),
    doc="Drops the values of the object for which the script is true (mind: 'if' keeps these).",
    examples=[Example("filter($ < 5)", [{"a": 1, "b": 7}], [{"b": 7}])],
)
def filter_(script: Inner) -> Step:
    def step(t: float, d: Any) -> dict[str, Any]:
        return {key: value for key, value in _object(d).items() if not boolean(script.single(t, value))}

    return step


@transform(
    "reduce",
    Arg("script", "any", "a script that gives one datapoint for each", script=True, may_peek=True),
    kind="point",
    doc="Runs a script over the values of the object as if they were a sequence, and gives the last result; "
    "null for an empty object.",
    examples=[
        Example("reduce(sum)", [{"a": 1, "b": 2}], [3]),
        Example("map($, count) | reduce(max)", ["a", "b", "a"], [2]),
    ],
)
def reduce(script: Inner) -> Step:
    def step(t: float, d: Any) -> Point:
        point = script.last([(t, value) for value in _object(d).values()])
        return (t, None) if point is None else point

    return step


_N = Arg("n", "integer", "how many", constant=True)
_WEIGHT = Arg(
    "weight",
    "number",
    "a script that gives the weight of a value",
    optional=True,
    default="$",
    script=True,
    may_peek=True,
)


def _ranked(n: Any, weight: Inner, sign: float) -> Step:
    size = integer(n)

    def step(t: float, d: Any) -> dict[str, Any]:
        items = list(_object(d).items())
        weights = [number(weight.single(t, value)) for _, value in items]
        order = sorted(range(len(items)), key=lambda at: sign * weights[at])  # of equal ones the first stays first
        return dict(items[at] for at in order[: max(0, size)])

    return step


@transform(
    "top",
    _N,
    _WEIGHT,
    stateless=True,
    doc="The entries of the object with the largest values (or weights), the largest first.",
    examples=[Example("top(2)", [{"a": 1, "b": 7, "c": 5}], [{"b": 7, "c": 5}])],
)
def top(n: Any, weight: Inner) -> Step:
    return _ranked(n, weight, -1.0)


@transform(
    "bottom",
    _N,
    _WEIGHT,
    stateless=True,
    doc="The entries of the object with the smallest values (or weights), the smallest first.",
    examples=[Example("bottom(1)", [{"a": 1, "b": 7, "c": 5}], [{"a": 1}])],
)
def bottom(n: Any, weight: Inner) -> Step:
    return _ranked(n, weight, 1.0)


@transform(
    "percent",
    stateless=True,
    doc="Each value of the object as a part of the sum of all. A negative value counts as 0.",
    examples=[Example("percent", [{"a": 1, "b": 3}], [{"a": 0.25, "b": 0.75}])],
)
def percent() -> Step:
    def step(t: float, d: Any) -> dict[str, Any]:
        clipped = {key: max(0.0, number(value)) for key, value in _object(d).items()}
        total = sum(clipped.values())
        return {key: value / total for key, value in clipped.items()} if total else clipped

    return step


@transform(
    "length",
    stateless=True,
    doc="The number of fields of an object, of elements of a list, of bytes (in UTF-8) of a text; 0 for all else.",
    examples=[Example("length", [{"a": 1}, [1, 2, 3], "été", 7], [1, 3, 5, 0])],
    returns='{"type": "integer"}',
)
def length() -> Step:
    def step(t: float, d: Any) -> int:
        if type(d) is str:
            return len(d.encode("utf-8", "surrogatepass"))
        return len(d) if type(d) in (dict, list) else 0

    return step
