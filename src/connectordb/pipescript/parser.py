"""From text to a syntax tree: a lexer and a Pratt parser."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple, NoReturn

from ..errors import ScriptError
from .syntax import (
    BINDING,
    MINUS_BINDING,
    NOT_BINDING,
    PIPE_BINDING,
    Binary,
    Call,
    Literal,
    Object,
    Pipe,
    Tree,
    Unary,
    unquote,
)

__all__ = ["LENGTH_MAX", "NESTING_MAX", "parse"]

LENGTH_MAX = 65_536
"""Characters in a script."""
NESTING_MAX = 100
"""Parts of a script inside one another; the operands of a chain like ``1 + 2 + 3`` count too."""

_SPACE = " \t\n\v\f\r\x85\xa0"
_TOKEN = re.compile(
    r"""(?P<word> (?:and|or|not|true|false) (?![A-Za-z0-9_]) )
      | (?P<number> [0-9]+ (?:\.[0-9]+)? )
      | (?P<operator> <= | >= | == | != | [<>|:*/+%^-] )
      | (?P<name> [A-Za-z_$] [A-Za-z0-9_$]* )
      | (?P<bracket> [\[\](){},] )
    """,
    re.VERBOSE | re.ASCII,
)
_CLOSING = {"(": ")", "[": "]"}
_OPERAND = "a number, a text, a transform or a bracket"
_HINTS = {
    "&": "write 'and'",
    "&&": "write 'and'",
    "||": "write 'or'",
    "!": "write 'not'",
    "=": "write '==' to compare",
    "=>": "write '>='",
    "=<": "write '<='",
    "<>": "write '!='",
    ".": "write $['name'] for a part of the data",
    "#": "there are no comments",
    "null": "there is no literal for null",
}


class _Token(NamedTuple):
    kind: str  # number, text, word, name, operator, bracket, end
    text: str
    start: int
    stop: int


def parse(script: str) -> Tree:
    """Return the syntax tree of *script*.

    Raises:
        ScriptError: it is none, is longer than `LENGTH_MAX` characters, or nests deeper than `NESTING_MAX`.
    """
    if len(script) > LENGTH_MAX:
        raise ScriptError(f"the script has {len(script)} characters; at most {LENGTH_MAX} are allowed")
    return _Parser(script).script()


def _tokens(script: str) -> list[_Token]:
    tokens = []
    at = 0
    while True:
        while at < len(script) and script[at] in _SPACE:
            at += 1
        if at == len(script):
            tokens.append(_Token("end", "", at, at))
            return tokens
        if script[at] in "\"'":
            stop = _end_of_text(script, at)
            tokens.append(_Token("text", script[at:stop], at, stop))
        elif match := _TOKEN.match(script, at):
            stop = match.end()
            tokens.append(_Token(match.lastgroup or "", match.group(), at, stop))
        else:
            pair = script[at : at + 2]
            hint = _HINTS.get(pair) or _HINTS.get(script[at])
            _fail(f"{script[at]!r} has no meaning in a script", at, "an operator or the end", hint)
        at = stop


def _end_of_text(script: str, start: int) -> int:
    """Return where the literal ends whose opening quote stands at *start*."""
    quote = script[start]
    escaped_quote = None
    at = start + 1
    while at < len(script) and script[at] not in (quote, "\n"):
        if script[at] == "\\" and at + 1 < len(script) and script[at + 1] in f"{quote}nrt\\":
            if script[at + 1] == quote:
                escaped_quote = at + 1
            at += 1
        at += 1
    if at < len(script) and script[at] == quote:
        return at + 1
    if escaped_quote is None:
        _fail("this text does not end", start, f"a closing {quote}")
    return escaped_quote + 1  # as in 0.3: without any other end, "a\" is the text a\


def _fail(reason: str, column: int, expected: str | None = None, hint: str | None = None) -> NoReturn:
    text = f"{reason} (column {column}"
    if expected:
        text += f"; expected {expected}"
    text += ")"
    details: dict[str, Any] = {"column": column}
    if expected:
        details["expected"] = expected
    if hint:
        text += f": {hint}"
        details["hint"] = hint
    raise ScriptError(text, **details)


class _Parser:
    """Reads one script. Each method leaves `at` behind what it has read and returns the tree with its height."""

    def __init__(self, script: str) -> None:
        self.tokens = _tokens(script)
        self.at = 0
        self.nesting = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.at]

    def is_next(self, text: str) -> bool:
        return self.token.text == text and self.token.kind in ("operator", "bracket")

    def script(self) -> Tree:
        tree, _ = self.pipes()
        if self.token.kind != "end":
            self.unexpected("an operator, '|' or the end")
        return tree

    def unexpected(self, expected: str) -> NoReturn:
        token = self.token
        what = "the script ends here" if token.kind == "end" else f"{token.text!r} does not fit here"
        hint = None
        before = self.tokens[self.at - 1] if self.at else token
        if token.text == "|" and before.text == "|":
            hint = _HINTS["||"]
        elif token.text == ">" and before.text == "<":
            hint = _HINTS["<>"]
        elif token.text == "|":
            hint = "inside arguments write ':', or put the pipe into brackets"
        elif token.text == ",":
            hint = "write f(a, b), where the bracket touches the name; or f a b, without a comma"
        elif token.text in ("(", ")") and "name" in (before.kind, self.tokens[max(0, self.at - 2)].kind):
            hint = "the bracket of a call touches the name: f(a, b)"
        _fail(what, token.start, expected, hint)

    def higher(self, *heights: int) -> int:
        """Return the height of a tree over trees of *heights*."""
        height = 1 + max(heights, default=0)
        if height > NESTING_MAX:
            _fail(f"the script nests deeper than {NESTING_MAX}", self.token.start)
        return height

    def deeper(self) -> None:
        """Take note of going into a bracket or operand, which bounds the recursion of this parser itself."""
        self.nesting += 1
        if self.nesting > NESTING_MAX:
            _fail(f"the script nests deeper than {NESTING_MAX}", self.token.start)

    # --- pipes

    def pipes(self) -> tuple[Tree, int]:
        column = self.token.start
        first, height = self.stage()
        stages = [first]
        while self.is_next("|"):
            self.at += 1
            tree, h = self.stage()
            stages.append(tree)
            height = max(height, h)
        return (_pipe(stages, column), height) if len(stages) > 1 else (first, height)

    def stage(self) -> tuple[Tree, int]:
        """Read an expression, or a call whose arguments follow without brackets: ``map $ > 5 count``."""
        name, following = self.token, self.tokens[min(self.at + 1, len(self.tokens) - 1)]
        if name.kind != "name" or following.start == name.stop or not _begins_operand(following):
            return self.expression(0)
        self.at += 1
        args = []
        height = 0
        while _begins_operand(self.token):
            arg, h = self.expression(0)
            args.append(arg)
            height = max(height, h)
        return Call(name.text, tuple(args), column=name.start), self.higher(height)

    # --- expressions

    def expression(self, binding: int) -> tuple[Tree, int]:
        """Read operands and operators which bind tighter than *binding*."""
        self.deeper()
        left, height = self.prefixed()
        while True:
            token = self.token
            if token.kind not in ("operator", "word"):
                break
            if token.text == ":":
                if binding >= PIPE_BINDING:
                    break
                left, height = self.colons(left, height)
                continue
            tightness = BINDING.get(token.text, 0)
            if tightness <= binding:
                break
            self.at += 1
            right, h = self.expression(tightness)
            left, height = Binary(token.text, left, right, column=token.start), self.higher(height, h)
        self.nesting -= 1
        return left, height

    def colons(self, first: Tree, height: int) -> tuple[Tree, int]:
        """Read the other stages of ``a:b:c``."""
        stages = [first]
        while self.is_next(":"):
            self.at += 1
            stage, h = self.expression(PIPE_BINDING)
            stages.append(stage)
            height = max(height, h)
        return _pipe(stages, first.column), height

    def prefixed(self) -> tuple[Tree, int]:
        token = self.token
        if token.text == "not" and token.kind == "word":
            binding = NOT_BINDING
        elif self.is_next("-"):
            binding = MINUS_BINDING
        else:
            return self.operand()
        self.at += 1
        operand, height = self.expression(binding)
        return Unary(token.text, operand, column=token.start), self.higher(height)

    def operand(self) -> tuple[Tree, int]:
        token = self.token
        if token.kind == "number":
            self.at += 1
            return Literal(_number(token), column=token.start), 1
        if token.kind == "text":
            self.at += 1
            return Literal(unquote(token.text[1:-1]), column=token.start), 1
        if token.kind == "word" and token.text in ("true", "false"):
            self.at += 1
            return Literal(token.text == "true", column=token.start), 1
        if token.kind == "name":
            self.at += 1
            return self.call(token)
        if self.is_next("(") or self.is_next("["):
            self.at += 1
            self.deeper()
            tree, height = self.pipes()
            self.nesting -= 1
            self.close(token.text)
            return tree, height
        if not self.is_next("{"):
            self.unexpected(_OPERAND)
        return self.object()

    def close(self, opening: str) -> None:
        closing = _CLOSING[opening]
        if not self.is_next(closing):
            self.unexpected(f"an operator or {closing!r}")
        self.at += 1

    def call(self, name: _Token) -> tuple[Tree, int]:
        """Read the arguments in brackets, if they touch the name."""
        bracket = self.token
        args: list[Tree] = []
        height = 0
        if bracket.start == name.stop and (self.is_next("(") or self.is_next("[")):
            self.at += 1
            if bracket.text == "(" and self.is_next(")"):
                self.at += 1
                return Call(name.text, column=name.start), 1
            while True:
                arg, h = self.expression(0)
                args.append(arg)
                height = max(height, h)
                if not self.is_next(","):
                    break
                self.at += 1
            self.close(bracket.text)
        return Call(name.text, tuple(args), column=name.start), self.higher(height)

    def object(self) -> tuple[Tree, int]:
        column = self.token.start
        items: dict[str, Tree] = {}
        height = 0
        while True:
            self.at += 1  # the opening bracket, or a comma
            token = self.token
            if token.kind != "text":
                self.unexpected("a key in quotes")
            key = unquote(token.text[1:-1])
            if key in items:
                _fail(f"the key {key!r} occurs twice", token.start)
            self.at += 1
            if not self.is_next(":"):
                self.unexpected("':'")
            self.at += 1
            items[key], h = self.expression(0)
            height = max(height, h)
            if not self.is_next(","):
                break
        if not self.is_next("}"):
            self.unexpected("an operator, ',' or '}'")
        self.at += 1
        return Object(tuple(items.items()), column=column), self.higher(height)


def _begins_operand(token: _Token) -> bool:
    if token.kind == "word":
        return token.text in ("true", "false", "not")
    return token.kind in ("number", "text", "name") or (token.kind == "bracket" and token.text in "([{")


def _pipe(parts: list[Tree], column: int) -> Pipe:
    """Return one pipe; a pipe inside a pipe is only grouping."""
    stages: list[Tree] = []
    for part in parts:
        stages.extend(part.stages if isinstance(part, Pipe) else [part])
    return Pipe(tuple(stages), column=column)


def _number(token: _Token) -> int | float:
    try:
        value = float(token.text) if "." in token.text else int(token.text)
        if math.isfinite(value):
            return value
    except (OverflowError, ValueError):  # int() refuses thousands of digits
        pass
    _fail("this number is too large", token.start, "a number below 1.8e308")
