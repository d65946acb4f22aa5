"""What a program is; constants and operators over columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...columns import EXACT_MAX, Categories, Kind, Mixed
from .. import values
from ..plan import Part
from ..syntax import Binary, Unary

__all__ = [
    "NUMERIC",
    "ColumnRun",
    "Floats",
    "PointRun",
    "Program",
    "constant",
    "filled",
    "numbers_of",
    "of_labels",
    "operator",
    "truth_of",
    "whole_of",
]

Floats = NDArray[np.float64]
ColumnRun = Callable[[Floats, Any], Any]
"""From times and a column to a column (or one value, of a constant)."""
PointRun = Callable[[Floats, Any], tuple[Floats, Any]]

NUMERIC: Final = frozenset({"float", "int", "mixed", "bool"})


@dataclass(frozen=True, slots=True)
class Program:
    """How to work out a column.

    Attributes:
        kind: Of the column it gives.
        run: Works it out.
        ready: Asked first: whether *run* can deal with these times and this column.
    """

    kind: Kind
    run: ColumnRun
    ready: tuple[Callable[[Floats, Any], bool], ...] = ()


# --- columns as numbers, as true and false


def numbers_of(column: Any) -> Any:
    """Return a column, or a constant, as float64."""
    if isinstance(column, Mixed):
        return column.values
    return column if column.dtype == np.float64 else column.astype(np.float64)


def truth_of(column: Any) -> Any:
    if isinstance(column, Mixed):
        return column.values > 0
    return column if column.dtype == np.bool_ else column > 0


def whole_of(column: Any) -> NDArray[np.bool_]:
    """Return which of the values are integers."""
    return column.whole if isinstance(column, Mixed) else np.full(len(column), column.dtype.kind == "i")


def filled(value: Any, n: int) -> Any:
    """Return a constant as a column of *n*."""
    if isinstance(value, np.generic):
        return np.full(n, value)
    if isinstance(value, str):
        return Categories(np.zeros(n, np.intp), [value])
    return value


# --- operators

_power = np.frompyfunc(values.power, 2, 1)

_BINARY: Final[dict[str, tuple[Kind, Callable[[Any, Any], Any]]]] = {
    "+": ("float", lambda a, b: numbers_of(a) + numbers_of(b)),
    "-": ("float", lambda a, b: numbers_of(a) - numbers_of(b)),
    "*": ("float", lambda a, b: numbers_of(a) * numbers_of(b)),
    "/": ("float", lambda a, b: np.divide(numbers_of(a), numbers_of(b))),
    "%": ("float", lambda a, b: np.fmod(numbers_of(a), numbers_of(b))),
    "^": ("float", lambda a, b: np.asarray(_power(numbers_of(a), numbers_of(b)), np.float64)),
    "==": ("bool", lambda a, b: numbers_of(a) == numbers_of(b)),
    "!=": ("bool", lambda a, b: numbers_of(a) != numbers_of(b)),
    "<": ("bool", lambda a, b: numbers_of(a) < numbers_of(b)),
    "<=": ("bool", lambda a, b: numbers_of(a) <= numbers_of(b)),
    ">": ("bool", lambda a, b: numbers_of(a) > numbers_of(b)),
    ">=": ("bool", lambda a, b: numbers_of(a) >= numbers_of(b)),
    "and": ("bool", lambda a, b: truth_of(a) & truth_of(b)),
    "or": ("bool", lambda a, b: truth_of(a) | truth_of(b)),
}


def constant(part: Part) -> Program | None:
    value = part.value
    if part.failure is not None:
        return None
    if isinstance(value, bool):
        fixed: Any = np.bool_(value)
        return Program("bool", lambda t, c: fixed)
    if isinstance(value, int):
        if abs(value) >= EXACT_MAX:
            return None
        integer = np.int64(value)
        return Program("int", lambda t, c: integer)
    if isinstance(value, float):
        floating = np.float64(value)
        return Program("float", lambda t, c: floating)
    if isinstance(value, str):
        return Program("text", lambda t, c: value)
    return None


def operator(part: Part, operands: list[Program]) -> Program | None:
    ready = tuple(r for operand in operands for r in operand.ready)
    tree = part.tree
    if isinstance(tree, Unary):
        only = operands[0]
        if only.kind not in NUMERIC:
            return None
        run = only.run
        if tree.op == "not":
            return Program("bool", lambda t, c: ~truth_of(run(t, c)), ready)
        if only.kind == "bool":
            return Program("bool", lambda t, c: ~run(t, c), ready)
        return Program("float", lambda t, c: -numbers_of(run(t, c)), ready)
    assert isinstance(tree, Binary)  # noqa: S101
    left, right = operands
    a, b = left.run, right.run
    if left.kind in NUMERIC and right.kind in NUMERIC:
        kind, function = _BINARY[tree.op]
        return Program(kind, lambda t, c: function(a(t, c), b(t, c)), ready)
    if tree.op in ("==", "!=") and left.kind == "text" and part.parts[1].constant:
        wanted = part.parts[1].value
        opposite = tree.op == "!="

        def same(t: Floats, c: Any) -> Any:
            column = a(t, c)
            if isinstance(column, str):
                return np.bool_(values.equal(column, wanted) is not opposite)
            return of_labels(column, lambda label: values.equal(label, wanted) is not opposite, np.bool_)

        return Program("bool", same, ready)
    return None


def of_labels(column: Categories, function: Callable[[str], Any], dtype: Any) -> Any:
    """Return a column of what *function* gives for each text."""
    return np.array([function(label) for label in column.labels], dtype)[column.codes]
