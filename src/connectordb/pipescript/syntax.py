"""The syntax tree of a script. Printing a tree gives a script which parses to the same tree.

>>> str(Pipe((Call("if", (Binary(">", Call("$"), Literal(5)),)), Call("count"))))
'if($ > 5) | count'
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

__all__ = ["BINDING", "NOT_BINDING", "PIPE_BINDING", "Binary", "Call", "Literal", "Object", "Pipe", "Tree", "Unary"]

BINDING = {
    "or": 1,
    "and": 2,
    "==": 4,
    "!=": 4,
    "<": 4,
    "<=": 4,
    ">": 4,
    ">=": 4,
    "+": 5,
    "-": 5,
    "*": 6,
    "/": 6,
    "%": 7,
    "^": 7,
}
"""How tightly an infix operator binds. All of them are left associative, ``^`` too."""
NOT_BINDING = 3
MINUS_BINDING = 8
PIPE_BINDING = 9
"""How tightly ``:`` binds."""
_ATOM = 10


@dataclass(frozen=True, slots=True)
class Tree:
    """A part of a script.

    Attributes:
        column: 0-based position in the script at which an error in this part is shown. Two trees which differ only
            in columns are equal.
    """

    column: int = field(default=0, compare=False, repr=False, kw_only=True)

    @property
    def binding(self) -> int:
        """How tightly the outermost operator binds."""
        return _ATOM


@dataclass(frozen=True, slots=True)
class Literal(Tree):
    """A number (never negative), a text, ``true`` or ``false``."""

    value: int | float | str | bool

    def __str__(self) -> str:
        if isinstance(self.value, bool):
            return "true" if self.value else "false"
        if isinstance(self.value, str):
            return quote(self.value)
        if isinstance(self.value, float):
            plain = format(Decimal(repr(self.value)), "f")
            return plain if "." in plain else plain + ".0"
        return str(self.value)


@dataclass(frozen=True, slots=True)
class Call(Tree):
    """A transform with its arguments."""

    name: str
    args: tuple[Tree, ...] = ()

    def __str__(self) -> str:
        if not self.args:
            return self.name
        opening, closing = "[]" if self.name == "$" else "()"
        return f"{self.name}{opening}{', '.join(_inside(arg, 0) for arg in self.args)}{closing}"


@dataclass(frozen=True, slots=True)
class Unary(Tree):
    """``not`` or ``-`` before an operand."""

    op: str
    operand: Tree

    @property
    def binding(self) -> int:
        return NOT_BINDING if self.op == "not" else MINUS_BINDING

    def __str__(self) -> str:
        return ("not " if self.op == "not" else "-") + _inside(self.operand, self.binding)


@dataclass(frozen=True, slots=True)
class Binary(Tree):
    """An infix operator between two operands."""

    op: str
    left: Tree
    right: Tree

    @property
    def binding(self) -> int:
        return BINDING[self.op]

    def __str__(self) -> str:
        return f"{_inside(self.left, self.binding)} {self.op} {_inside(self.right, self.binding + 1)}"


@dataclass(frozen=True, slots=True)
class Pipe(Tree):
    """At least two stages, each of which is given what the one before it gives: ``a | b``, or ``a:b``."""

    stages: tuple[Tree, ...]

    @property
    def binding(self) -> int:
        return -1  # below everything: inside anything it stands in brackets

    def __str__(self) -> str:
        return " | ".join(_inside(stage, 0) for stage in self.stages)


@dataclass(frozen=True, slots=True)
class Object(Tree):
    """``{"key": value, ...}``, at least one; the keys differ."""

    items: tuple[tuple[str, Tree], ...]

    def __str__(self) -> str:
        return "{" + ", ".join(f"{quote(key)}: {_inside(value, 0)}" for key, value in self.items) + "}"


def _inside(tree: Tree, binding: int) -> str:
    """Return the text of *tree* for a place which takes only what binds as tightly as *binding*."""
    return str(tree) if tree.binding >= binding else f"({tree})"


def quote(text: str) -> str:
    """Return the literal that is read as *text*.

    No script can hold a text with a backslash before an ``n``, ``r`` or ``t``: the escapes are undone one after the
    other over the whole text.
    """
    for plain, escape in (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"), ('"', '\\"'), ("'", "\\'")):
        text = text.replace(plain, escape)
    return f'"{text}"'


def unquote(inner: str) -> str:
    """Return the text which a literal with *inner* between its quotes stands for."""
    for escape, plain in (("\\n", "\n"), ("\\r", "\r"), ("\\t", "\t"), ("\\\\", "\\"), ('\\"', '"'), ("\\'", "'")):
        inner = inner.replace(escape, plain)
    return inner
