"""From a syntax tree to a plan: names looked up, arguments checked, constants worked out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..errors import ScriptError
from . import values
from .limits import DEFAULT_LIMITS, Limits, Room
from .parser import parse
from .registry import TRANSFORMS, Arg, Copy, Inner, Point, Transform, find_transform, nearest
from .syntax import Binary, Call, Literal, Object, Pipe, Tree, Unary
from .values import Failure

__all__ = ["Part", "Settings", "plan"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for all scripts of a server.

    Attributes:
        zone: IANA name of the time zone that ``'Local'`` means. ``None``: the system's.
        limits: What a script may keep.
    """

    zone: str | None = None
    limits: Limits = DEFAULT_LIMITS


@dataclass(frozen=True, kw_only=True)
class Part:
    """A checked part of a script.

    Attributes:
        one_to_one: Gives one datapoint for each it gets.
        constant: Gives the same value always; it is `value`.
        failure: Why a constant has no value: it fails on every datapoint.
        stateless: What it gives depends on one datapoint alone.
        peeks: It, or something inside it, looks ahead.
        retimes: It may change time stamps.
        parts: Operands, arguments that are worked out for each datapoint, stages, or the values of an object.
        transform: Of a call.
        given: Of a call: the constants and scripts, in their order.
        limits: What it may keep when it runs.
    """

    tree: Tree
    one_to_one: bool = True
    constant: bool = False
    value: Any = None
    failure: Failure | None = None
    stateless: bool = True
    peeks: bool = False
    retimes: bool = False
    parts: tuple[Part, ...] = ()
    transform: Transform | None = None
    given: tuple[Any, ...] = ()
    limits: Limits = DEFAULT_LIMITS

    @cached_property
    def size(self) -> int:
        """How many parts there are in it, itself included."""
        return 1 + sum(part.size for part in (*self.parts, *self.scripts))

    @property
    def whole(self) -> tuple[bool, ...]:
        """Of a call: which of `parts` are given with their time stamps."""
        assert self.transform is not None  # noqa: S101
        return tuple(arg.whole for arg in self.transform.args if not (arg.constant or arg.script))

    @property
    def scripts(self) -> tuple[Part, ...]:
        """Of a call: the scripts that it runs itself."""
        return tuple(g for g in self.given if isinstance(g, Part))


def plan(tree: Tree, settings: Settings) -> Part:
    """Return the plan of *tree*.

    Raises:
        ScriptError: a name is unknown, or an argument does not fit.
    """
    match tree:
        case Literal(value):
            return Part(tree=tree, constant=True, value=value)
        case Pipe(stages):
            return _pipe(tree, [plan(stage, settings) for stage in stages])
        case Object(items):
            return _object(tree, {key: plan(value, settings) for key, value in items})
        case Unary(op, operand):
            return _operator(tree, op, [plan(operand, settings)])
        case Binary(op, left, right):
            return _operator(tree, op, [plan(left, settings), plan(right, settings)])
        case Call():
            return _call(tree, settings)
    raise TypeError(tree)


def _error(part: Tree, reason: str, **details: Any) -> ScriptError:
    return ScriptError(f"{reason} (column {part.column})", column=part.column, **details)


def _pipe(tree: Pipe, stages: list[Part]) -> Part:
    one_to_one = True
    first = 0
    for at, stage in enumerate(stages):
        if at and stage.constant and one_to_one:
            if stage.failure:
                raise _error(stage.tree, str(stage.failure))
            first = at  # whatever came before: one constant for each datapoint
        one_to_one = one_to_one and stage.one_to_one
    stages = stages[first:]
    if len(stages) == 1:
        return stages[0]
    return Part(
        tree=tree,
        one_to_one=one_to_one,
        stateless=all(stage.stateless for stage in stages),
        peeks=any(stage.peeks for stage in stages),
        retimes=any(stage.retimes for stage in stages),
        parts=tuple(stages),
    )


def _object(tree: Object, items: Mapping[str, Part]) -> Part:
    for part in items.values():
        if not part.one_to_one:
            raise _error(part.tree, "a value of an object has to give one datapoint for each; this filters")
        if part.peeks:
            raise _error(part.tree, "a value of an object cannot look ahead")
    constant = all(part.constant for part in items.values())
    failure = next((part.failure for part in items.values() if part.failure), None)
    return Part(
        tree=tree,
        constant=constant,
        value={key: part.value for key, part in items.items()} if constant else None,
        failure=failure if constant else None,
        stateless=all(part.stateless for part in items.values()),
        parts=tuple(items.values()),
    )


def _operator(tree: Unary | Binary, op: str, operands: list[Part]) -> Part:
    for part in operands:
        if not part.one_to_one:
            raise _error(part.tree, f"an operand of '{op}' has to give one datapoint for each; this filters")
    constant = all(part.constant for part in operands)
    value = None
    failure = next((part.failure for part in operands if part.failure), None) if constant else None
    if constant and failure is None:
        try:
            value = apply(op, *(part.value for part in operands))
        except Failure as e:
            failure = e
    return Part(
        tree=tree,
        constant=constant,
        value=value,
        failure=failure,
        stateless=all(part.stateless for part in operands),
        peeks=any(part.peeks for part in operands),
        parts=tuple(operands),
    )


def apply(op: str, a: Any, *b: Any) -> Any:
    """Return what the operator *op* gives for one or two operands.

    Raises:
        Failure: it cannot be applied to them.
    """
    if not b:
        return (not values.boolean(a)) if op == "not" else values.minus(a)
    match op:
        case "+":
            return values.plus(a, b[0])
        case "-":
            return values.operand(a) - values.operand(b[0])
        case "*":
            return values.operand(a) * values.operand(b[0])
        case "/":
            return values.quotient(a, b[0])
        case "%":
            return values.remainder(a, b[0])
        case "^":
            return values.power(a, b[0])
        case "==":
            return values.equal(a, b[0])
        case "!=":
            return not values.equal(a, b[0])
        case "<":
            return values.compare(a) < values.compare(b[0])
        case "<=":
            return values.compare(a) <= values.compare(b[0])
        case ">":
            return values.compare(a) > values.compare(b[0])
        case ">=":
            return values.compare(a) >= values.compare(b[0])
        case "and" | "or":  # both sides have to be true or false, whatever the first is
            left, right = values.boolean(a), values.boolean(b[0])
            return (left and right) if op == "and" else (left or right)
    raise ValueError(op)


def _call(tree: Call, settings: Settings) -> Part:
    transform = find_transform(tree.name)
    if transform is None:
        meant = nearest(tree.name, TRANSFORMS)
        hint = f"; did you mean '{meant}'?" if meant else ""
        raise _error(tree, f"there is no transform {tree.name[:60]!r}{hint}", expected="a transform", hint=meant)
    if len(tree.args) > len(transform.args):
        n = len(transform.args)
        takes = "no arguments" if n == 0 else "at most one argument" if n == 1 else f"at most {n} arguments"
        raise _error(tree.args[n], f"'{tree.name}' takes {takes}, not {len(tree.args)}")
    parts: list[Part] = []
    given: list[Any] = []
    for at, arg in enumerate(transform.args):
        if at < len(tree.args):
            part: Part | None = plan(tree.args[at], settings)
            assert part is not None  # noqa: S101
            _check(tree, arg, part)
        elif not arg.optional:
            raise _error(tree, f"'{tree.name}' needs the argument {arg.name!r} ({arg.doc})", expected=arg.name)
        else:
            part = None if arg.constant or arg.default is None else plan(parse(arg.default), settings)
        if arg.constant:
            given.append(_constant(arg, part, settings))
        elif arg.script:
            given.append(part)
        elif part:
            parts.append(part)
    try:
        made = transform.started(Room(settings.limits), [_Unused() if isinstance(g, Part) else g for g in given])
    except Failure as e:
        raise _error(tree, f"'{tree.name}': {e}") from None
    del made  # it was only asked whether it takes these arguments
    scripts = [g for g in given if isinstance(g, Part)]
    return Part(
        tree=tree,
        one_to_one=transform.one_to_one,
        stateless=transform.stateless and all(part.stateless for part in parts),
        peeks=transform.peek or any(part.peeks for part in parts),
        retimes=transform.kind != "value" or any(script.retimes for script in scripts),
        parts=tuple(parts),
        transform=transform,
        given=tuple(given),
        limits=settings.limits,
    )


def _check(call: Call, arg: Arg, part: Part) -> None:
    what = f"the argument {arg.name!r} of '{call.name}'"
    if not part.one_to_one:
        raise _error(part.tree, f"{what} has to give one datapoint for each; this filters")
    if arg.constant and not part.constant:
        raise _error(part.tree, f"{what} has to be a constant", expected="a constant")
    if arg.constant and part.failure:
        raise _error(part.tree, f"{what}: {part.failure}")
    if arg.script and part.peeks and not arg.may_peek:
        raise _error(part.tree, f"{what} cannot look ahead")


def _constant(arg: Arg, part: Part | None, settings: Settings) -> Any:
    value = arg.default if part is None else part.value
    if arg.type == "zone" and value == "Local" and settings.zone:
        return settings.zone
    return value


class _Unused(Inner):
    """Stands for a script while a maker is only asked whether it takes its arguments."""

    def new(self) -> Copy:
        return Copy(lambda t, d: (t, d), {})

    renew = new

    def single(self, t: float, d: Any) -> Any:
        return d

    def last(self, points: Any) -> Point | None:
        return None
