"""Expressions over columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...columns import Kind, Mixed, Records
from ..builtins import flow
from ..engine import Builder
from ..plan import Part
from ..syntax import Object, Pipe
from .program import (
    NUMERIC,
    ColumnRun,
    Floats,
    PointRun,
    Program,
    constant,
    filled,
    numbers_of,
    operator,
    truth_of,
    whole_of,
)
from .transforms import POINTS, VALUES

__all__ = ["identity", "may_grow", "point_program", "value_program"]


def value_program(part: Part, kind: Kind, builder: Builder) -> Program | None:
    """Return the program for the value of a part."""
    if part.constant:
        return constant(part)
    if id(part) in builder.looking:
        column = builder.looking[id(part)]
        found = column.now.kind
        return None if found == "other" else Program(found, lambda t, c: column.now.column)
    if part.transform is not None:
        return _call(part, kind, builder)
    if isinstance(part.tree, Pipe):
        return _pipe(part, kind, builder)
    if isinstance(part.tree, Object):
        return _object(part, kind, builder)
    operands = [value_program(operand, kind, builder) for operand in part.parts]
    known = [operand for operand in operands if operand is not None]
    return operator(part, known) if len(known) == len(operands) else None


def identity(t: Floats, c: Any) -> Any:
    return c


def _call(part: Part, kind: Kind, builder: Builder) -> Program | None:
    assert part.transform is not None  # noqa: S101
    name = part.transform.name
    if name in ("$", "d"):
        return Program(kind, identity) if part.given == (None,) else None
    if name == "ifelse":
        return _ifelse(part, kind, builder)
    if name in POINTS:
        point = point_program(part, kind, builder)
        if point is None:
            return None
        found, run = point
        return Program(found, lambda t, c: run(t, c)[1])
    kernel = VALUES.get(name)
    return None if kernel is None else kernel(builder.steps[id(part)], kind)


def _ifelse(part: Part, kind: Kind, builder: Builder) -> Program | None:
    condition = value_program(part.parts[0], kind, builder)
    step: flow.Choice = builder.steps[id(part)]
    branches = []
    for script, copy in zip(part.scripts, (step.yes, step.no), strict=True):
        inside = Builder(builder.run)
        inside.steps = copy.steps
        branch = None if script.retimes else value_program(script, kind, inside)
        if branch is None or branch.ready:  # whether it is ready could not be asked before
            return None
        branches.append(branch)
    yes, no = branches
    together = _together(yes.kind, no.kind)
    if condition is None or condition.kind not in NUMERIC or together is None:
        return None
    asked = condition.run

    def run(t: Floats, c: Any) -> Any:
        chosen = truth_of(asked(t, c))
        if not isinstance(chosen, np.ndarray):
            chosen = np.full(len(t), chosen)
        which = np.flatnonzero(chosen), np.flatnonzero(~chosen)
        results = [
            filled(branch.run(t[rows], c[rows]), len(rows)) if len(rows) else None
            for branch, rows in zip(branches, which, strict=True)
        ]
        return _scattered(together, results, which, len(t))

    return Program(together, run, condition.ready)


def _together(a: Kind, b: Kind) -> Kind | None:
    """Return the kind of a column with values of two kinds, if they are numbers or both true and false."""
    if a == b and a in NUMERIC:
        return a
    return "mixed" if a in NUMERIC and b in NUMERIC and "bool" not in (a, b) else None


def _scattered(kind: Kind, columns: list[Any], rows: tuple[NDArray[np.intp], ...], n: int) -> Any:
    """Return one column of *n*, made of columns each of which has its own rows."""
    if kind != "mixed":
        made: NDArray[Any] = np.empty(n, {"float": np.float64, "int": np.int64, "bool": np.bool_}[kind])
        for column, where in zip(columns, rows, strict=True):
            if column is not None:
                made[where] = column
        return made
    values = np.empty(n)
    whole = np.empty(n, np.bool_)
    for column, where in zip(columns, rows, strict=True):
        if column is not None:
            values[where] = numbers_of(column)
            whole[where] = whole_of(column)
    return Mixed(values, whole)


def point_program(part: Part, kind: Kind, builder: Builder) -> tuple[Kind, PointRun] | None:
    """Return the program for a call of one of `POINTS`."""
    assert part.transform is not None  # noqa: S101
    return POINTS[part.transform.name](builder.steps[id(part)], kind)


def _pipe(part: Part, kind: Kind, builder: Builder) -> Program | None:
    runs: list[PointRun] = []
    ready: tuple[Callable[[Floats, Any], bool], ...] = ()
    for stage in part.parts:
        if stage.transform is not None and stage.transform.name in POINTS:
            point = point_program(stage, kind, builder)
            if point is None:
                return None
            kind, run = point
            runs.append(run)
            continue
        if stage.retimes:
            return None
        program = value_program(stage, kind, builder)
        if program is None or (program.ready and runs):
            return None  # whether it is ready could not be asked before
        ready += program.ready
        kind = program.kind
        runs.append(_with_times(program.run))

    def piped(t: Floats, c: Any) -> Any:
        for run in runs:
            t, c = run(t, c)
        return c

    return Program(kind, piped, ready)


def _with_times(run: ColumnRun) -> PointRun:
    return lambda t, c: (t, filled(run(t, c), len(t)))


def may_grow(part: Part, kinds: Sequence[Kind]) -> bool:
    """Return whether the objects that *part* makes may hold the same data twice: row by row each is checked.

    Args:
        kinds: Of its fields.
    """
    large = [kind in ("text", "record") and not field.constant for kind, field in zip(kinds, part.parts, strict=True)]
    return sum(large) > 1


def _object(part: Part, kind: Kind, builder: Builder) -> Program | None:
    assert isinstance(part.tree, Object)  # noqa: S101
    keys = [key for key, _ in part.tree.items]
    programs = [value_program(value, kind, builder) for value in part.parts]
    fields = [program for program in programs if program is not None]
    if len(fields) < len(programs) or may_grow(part, [field.kind for field in fields]):
        return None

    def run(t: Floats, c: Any) -> Any:
        return Records({key: filled(field.run(t, c), len(t)) for key, field in zip(keys, fields, strict=True)})

    return Program("record", run, tuple(r for program in fields for r in program.ready))
