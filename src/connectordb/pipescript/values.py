"""What values mean to the operators and transforms: conversions, equality, text.

A value is what JSON can hold: ``None``, ``bool``, ``int``, ``float``, ``str``, ``list``, ``dict``. Values are never
changed in place, as many datapoints may share one.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

__all__ = [
    "Failure",
    "boolean",
    "compare",
    "element",
    "equal",
    "integer",
    "is_writable",
    "minus",
    "number",
    "number_in",
    "plus",
    "power",
    "quotient",
    "remainder",
    "show",
    "text",
]


_NUMERIC: Final = (float, int)


class Failure(Exception):
    """A transform cannot do its work on a datapoint. The engine adds where, and makes a `ScriptError` of it."""


_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_DIGITS_MAX: Final = 1000
"""Characters of a text that may still be a number: no number needs more, and reading them takes time."""


def number_in(value: str) -> float | None:
    """Return the number that a text holds, in decimal notation with white space around it; else ``None``."""
    if value in ("true", "false"):
        return 1.0 if value == "true" else 0.0
    stripped = value.strip()
    if len(stripped) > _DIGITS_MAX or not _DECIMAL.fullmatch(stripped):
        return None
    found = float(stripped)
    return found if math.isfinite(found) else None


def _number(value: Any) -> float | None:
    kind = type(value)
    if kind is float:
        return value  # type: ignore[no-any-return]
    if kind is int or kind is bool:
        try:
            return float(value)
        except OverflowError:
            return None
    if value is None:
        return 0.0
    if kind is str:
        return number_in(value)
    return None


def number(value: Any) -> float:
    """Return *value* as a number: null is 0, true 1, a text what it spells.

    Raises:
        Failure: it is none.
    """
    if type(value) is float:
        return value
    found = _number(value)
    if found is None:
        raise Failure(f"{show(value)} is not a number")
    return found


def integer(value: Any) -> int:
    """Return *value* as a number without a fraction.

    Raises:
        Failure: it is none.
    """
    if type(value) is int:
        return value
    found = number(value)
    if not found.is_integer():
        raise Failure(f"{show(value)} is not an integer")
    return int(found)


def boolean(value: Any) -> bool:
    """Return *value* as true or false: a number is true if it is greater than 0, null and ``""`` are false.

    Raises:
        Failure: it is a list, an object, or a text that is neither a number nor ``true`` nor ``false``.
    """
    if type(value) is bool:
        return value
    if type(value) is str and value == "":
        return False
    found = _number(value)
    if found is None:
        raise Failure(f"{show(value)} is neither true nor false")
    return found > 0


def text(value: Any) -> str:
    """Return *value* as text; numbers as in JavaScript, null is ``""``.

    Raises:
        Failure: it is a list or an object.
    """
    kind = type(value)
    if kind is str:
        return value  # type: ignore[no-any-return]
    if kind is int:
        return _int_text(value)
    if kind is float:
        return _float_text(value)
    if kind is bool:
        return "true" if value else "false"
    if value is None:
        return ""
    raise Failure(f"{show(value)} cannot be made a text")


def _int_text(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # thousands of digits, which Python would take long to write
        raise Failure("the integer has too many digits") from None


def _float_text(value: float) -> str:
    written = repr(value)
    if "e" not in written:
        if written.endswith(".0"):
            written = written[:-2]
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity", "-0": "0"}.get(written, written)
    mantissa, exponent = written.split("e")
    e = int(exponent)
    sign, digits = ("-", mantissa[1:]) if mantissa.startswith("-") else ("", mantissa)
    if not -7 < e < 21:
        return f"{sign}{digits.removesuffix('.0')}e{e:+d}"
    whole, _, fraction = digits.partition(".")
    if e < 0:
        return f"{sign}0.{'0' * (-e - 1)}{whole}{fraction if fraction != '0' else ''}"
    return sign + (whole + fraction).ljust(e + 1, "0")[: e + 1]


def show(value: Any) -> str:
    """Return *value* for an error message, shortened."""
    kind = type(value)
    if kind is str:
        shown = repr(value)
    elif kind is dict:
        shown = f"an object with the keys {', '.join(map(repr, list(value)[:5]))}" if value else "an empty object"
    elif kind is list:
        shown = f"a list of {len(value)}"
    elif value is None:
        shown = "null"
    elif kind is int or kind is float or kind is bool:
        shown = text(value)
    else:
        module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        shown = f"{module}{kind.__qualname__} (no JSON value)"
    return shown if len(shown) <= 100 else shown[:97] + "..."


def is_writable(value: Any) -> bool:
    """Return whether JSON can hold *value*: not if there is an infinite number in it, or one that is none."""
    if type(value) is float:
        return math.isfinite(value)
    if type(value) is not dict and type(value) is not list:
        return True
    inside = [value]
    while inside:  # no recursion: data may nest as deep as they like
        value = inside.pop()
        for part in value.values() if type(value) is dict else value:
            if type(part) is float:
                if not math.isfinite(part):
                    return False
            elif type(part) is dict or type(part) is list:
                inside.append(part)
    return True


# --- equality


def _same(a: Any, b: Any) -> bool:
    """Return whether two values are alike all the way down; 1 and 1.0 are, 1 and true are not."""
    kind, other = type(a), type(b)
    if kind is dict:
        return other is dict and a.keys() == b.keys() and all(_same(value, b[key]) for key, value in a.items())
    if kind is list:
        return other is list and len(a) == len(b) and all(map(_same, a, b))
    if (kind is bool) != (other is bool):
        return False
    return bool(a == b)


def equal(a: Any, b: Any) -> bool:
    """Return what ``==`` means: alike, or of different kinds (or two texts) and the same as numbers.

    >>> equal("2.0", 2), equal("true", 1), equal(None, 0), equal("a", "b")
    (True, True, False, False)
    """
    kind, other = type(a), type(b)
    if kind in _NUMERIC and other in _NUMERIC:
        return bool(a == b)
    if _same(a, b):
        return True
    if a is None or b is None or (kind is other and kind is not str):
        return False
    x = _number(a)
    return x is not None and x == _number(b)


# --- arithmetic, in IEEE doubles: dividing by 0 is no error


def operand(value: Any) -> float:
    """Return *value* as an operand of arithmetic."""
    if type(value) is float:
        return value
    found = _number(value)
    if found is None:
        raise Failure(f"cannot calculate with {show(value)}: it is not a number")
    return found


def compare(value: Any) -> float:
    """Return *value* as an operand of ``<`` and the like."""
    if type(value) is float:
        return value
    found = _number(value)
    if found is None:
        raise Failure(f"cannot compare {show(value)}: only numbers have an order")
    return found


def plus(a: Any, b: Any) -> Any:
    """Return the sum; of two texts which are not both numbers the joined text."""
    if type(a) is float and type(b) is float:
        return a + b
    x, y = _number(a), _number(b)
    if x is not None and y is not None:
        return x + y
    if type(a) is str and type(b) is str:
        return a + b
    raise Failure(f"cannot add {show(a)} and {show(b)}: they are neither two numbers nor two texts")


def quotient(a: Any, b: Any) -> float:
    x, y = operand(a), operand(b)
    try:
        return x / y
    except ZeroDivisionError:
        if x == 0 or math.isnan(x):
            return math.nan
        return math.copysign(math.inf, x) * math.copysign(1.0, y)


def remainder(a: Any, b: Any) -> float:
    """Return the remainder, which has the sign of *a*."""
    x, y = operand(a), operand(b)
    try:
        return math.fmod(x, y)
    except ValueError:
        return math.nan


def power(a: Any, b: Any) -> float:
    x, y = operand(a), operand(b)
    try:
        return math.pow(x, y)
    except OverflowError:
        return -math.inf if x < 0 and y % 2 == 1 else math.inf
    except ValueError:  # a negative number to a fraction; 0 to a negative number
        if x != 0:
            return math.nan
        return math.copysign(math.inf, x) if y % 2 == 1 else math.inf


def minus(value: Any) -> Any:
    """Return the negative; of true and false the opposite."""
    return (not value) if type(value) is bool else -number(value)


# --- parts


def element(value: Any, key: Any) -> Any:
    """Return the part of an object, a list, or (as the number of a byte) a text, that *key* names.

    Raises:
        Failure: there is none.
    """
    kind = type(value)
    if kind is dict:
        name = text(key)
        if name in value:
            return value[name]
        raise Failure(f"there is no {name!r} in {show(value)}")
    if kind is list or kind is str:
        items = value if kind is list else value.encode("utf-8", "surrogatepass")
        at = integer(key)
        if -len(items) <= at < len(items):
            return items[at]
    raise Failure(f"there is no {show(key)} in {show(value)}")
