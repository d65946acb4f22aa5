"""A stream's JSON Schema (draft 4): compile once, check many."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import msgspec

from .datapoint import Datapoint
from .errors import SchemaInvalid, SchemaMismatch
from .schemacost import Cost, is_deeper, measure

__all__ = ["Schema", "compile_schema", "minify"]

Check = Callable[[Any], bool]

SCHEMA_BYTES_MAX = 256 * 1024
MESSAGE_LENGTH_MAX = 400
EXPLAINED_BYTES_MAX = 100_000
"""A larger value is not searched for what is wrong with it."""
_DRAFT_4 = "http://json-schema.org/draft-04/schema#"


def minify(text: str) -> str:
    """Return the schema *text* without white space, all else as written; an empty text is ``{}``.

    Raises:
        SchemaInvalid: *text* is not a JSON object.
    """
    if not text.strip():
        return "{}"
    if len(text) > SCHEMA_BYTES_MAX:
        raise SchemaInvalid(f"the schema is longer than {SCHEMA_BYTES_MAX} bytes")
    try:
        small = msgspec.json.format(text, indent=-1)
        decoded = msgspec.json.decode(small)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as e:
        raise SchemaInvalid(f"the schema is not valid JSON: {e}") from None
    if not isinstance(decoded, dict):
        raise SchemaInvalid('the schema is not a JSON Schema: it has to be an object like {"type": "number"}')
    return small


class Schema:
    """A compiled schema.

    Attributes:
        text: The schema as stored: minified JSON.

    >>> Schema('{"type": "number"}').is_valid(1.5)
    True
    """

    __slots__ = ("_engine", "_types", "is_valid", "text")

    def __init__(self, text: str) -> None:
        self.text = minify(text)
        self._engine = _compile(msgspec.json.decode(self.text))
        self.is_valid: Check = _simple_check(self.text) or self._engine.is_valid
        """Whether a value fits. Never raises, never changes the value."""
        self._types = _TYPES.get(self.text, frozenset())

    def takes_types(self, points: Iterable[Datapoint]) -> bool:
        """Whether the types of the values of *points* alone show that all fit; ``False`` says nothing."""
        return self._types is None or (bool(self._types) and {type(p.d) for p in points} <= self._types)

    def check(self, value: Any) -> None:
        """Raise `SchemaMismatch`, with what is wrong with *value*, unless it fits."""
        if not self.is_valid(value):
            raise SchemaMismatch(self.explain(value))

    def explain(self, value: Any) -> str:
        """Return what is wrong with *value*, which does not fit."""
        why = self._engine.explain(value)
        schema = self.text if len(self.text) <= 200 else self.text[:197] + "..."
        return f"{why} (the stream's schema is {schema})"


@lru_cache(maxsize=4096)
def compile_schema(text: str) -> Schema:
    """Return the compiled form of the schema *text*; the same object for the same text.

    Raises:
        SchemaInvalid: *text* is no JSON Schema of draft 4.
    """
    return Schema(text)


def _is_number(v: Any) -> bool:
    return type(v) is float or type(v) is int


def _is_integer(v: Any) -> bool:
    return type(v) is int or (type(v) is float and v.is_integer())


_SIMPLE: dict[str, Check] = {
    "{}": lambda v: True,
    '{"type":"number"}': _is_number,
    '{"type":"integer"}': _is_integer,
    '{"type":"string"}': lambda v: type(v) is str,
    '{"type":"boolean"}': lambda v: type(v) is bool,
    '{"type":"null"}': lambda v: v is None,
}


_TYPES: dict[str, frozenset[type] | None] = {
    "{}": None,
    '{"type":"number"}': frozenset({int, float}),
    '{"type":"integer"}': frozenset({int}),
    '{"type":"string"}': frozenset({str}),
    '{"type":"boolean"}': frozenset({bool}),
}
"""The types of which every value fits; ``None``: any."""


def _simple_check(text: str) -> Check | None:
    """The schemas that nearly all streams have need no engine."""
    return _SIMPLE.get(text)


def _refuse_reference(uri: str) -> Any:
    raise ValueError(f"references outside of the schema are not followed: {uri}")


class _Engine:
    """A schema engine in which 1.0 is an integer, as it was for ConnectorDB 0.3."""

    def __init__(self, cost: Cost, is_valid: Check, first_error: Callable[[Any], tuple[str, str]]) -> None:
        self._cost = cost
        self._is_valid = is_valid
        self._first_error = first_error

    def is_valid(self, value: Any) -> bool:
        if self._cost.depth_max is not None and is_deeper(value, self._cost.depth_max):
            return False
        try:
            return self._is_valid(value) or self._is_valid(_integral(value))
        except (RecursionError, TypeError, ValueError):  # nested too deeply, or of no type that JSON has
            return False

    def explain(self, value: Any) -> str:
        try:
            if self._cost.depth_max is not None and is_deeper(value, self._cost.depth_max):
                return f"the value is nested more than {self._cost.depth_max} deep, too deep to check with this schema"
            # The engines build a tree of everything that is wrong, with copies of the value: too much for a big one.
            if not self._cost.explainable or len(msgspec.json.encode(value)) > EXPLAINED_BYTES_MAX:
                return "the value does not fit, and it, or the schema, is too big to say where"
            where, why = self._first_error(_integral(value))
        except RecursionError:
            return "the value is nested too deeply"
        except (TypeError, ValueError) as e:
            return f"the value is no JSON: {e}"
        return f"at {where}: {why}" if where else why


def _integral(value: Any) -> Any:
    """A copy of *value* with each float that is a whole number as an int."""
    if type(value) is float:
        return int(value) if math.isfinite(value) and value.is_integer() else value
    if type(value) is list:
        return [_integral(v) for v in value]
    if type(value) is dict:
        return {k: _integral(v) for k, v in value.items()}
    return value


def _compile(schema: dict[str, Any]) -> _Engine:
    declared = schema.get("$schema")
    if isinstance(declared, str) and declared.rstrip("#") != _DRAFT_4.rstrip("#"):
        schema = {**schema, "$schema": _DRAFT_4}
    try:
        import jsonschema_rs  # noqa: F401 - the server's engine, ten times faster
    except ImportError:
        return _compile_python(schema)
    return _compile_rust(schema)


def _measure(schema: dict[str, Any]) -> Cost:
    try:
        return measure(schema)
    except ValueError as e:
        raise SchemaInvalid(f"the schema cannot be used: {e}") from None


def _compile_rust(schema: dict[str, Any]) -> _Engine:
    import jsonschema_rs

    try:
        validator = jsonschema_rs.Draft4Validator(schema, retriever=_refuse_reference)
    except Exception as e:  # the engine has no common base for what can be wrong with a schema
        raise SchemaInvalid(f"the schema is not a valid JSON Schema (draft 4): {_first_line(e)}") from None

    def first_error(value: Any) -> tuple[str, str]:
        # Not iter_errors: it makes all errors at once, each with a copy of what it is about, and a body of 10 MB took
        # 12 GB.
        try:
            validator.validate(value)
        except jsonschema_rs.ValidationError as e:
            return "/".join(map(str, e.instance_path)), _cut(e.message)
        return "", "the value does not fit"

    return _Engine(_measure(schema), validator.is_valid, first_error)


def _compile_python(schema: dict[str, Any]) -> _Engine:
    import jsonschema
    from referencing.exceptions import Unresolvable

    try:
        jsonschema.Draft4Validator.check_schema(schema)
    except jsonschema.SchemaError as e:
        raise SchemaInvalid(f"the schema is not a valid JSON Schema (draft 4): {e.message}") from None
    validator = jsonschema.Draft4Validator(schema, registry=_closed_registry())

    def is_valid(value: Any) -> bool:
        try:
            return bool(validator.is_valid(value))
        except Unresolvable:
            return True  # what refers to nowhere is for the server to refuse

    def first_error(value: Any) -> tuple[str, str]:
        error = next(validator.iter_errors(value), None)
        if error is None:
            return "", "the value does not fit"
        return "/".join(map(str, error.absolute_path)), _cut(error.message)

    return _Engine(_measure(schema), is_valid, first_error)


def _closed_registry() -> Any:
    """A registry that never looks on the network for what a schema refers to."""
    import referencing

    def refuse(uri: str) -> Any:
        raise referencing.exceptions.NoSuchResource(uri)

    return referencing.Registry(retrieve=refuse)  # type: ignore[call-arg]


def _cut(message: str) -> str:
    """Both engines quote the value, however long it is."""
    return message if len(message) <= MESSAGE_LENGTH_MAX else message[: MESSAGE_LENGTH_MAX - 1] + "…"


def _first_line(e: Exception) -> str:
    return str(e).strip().split("\n", 1)[0]
