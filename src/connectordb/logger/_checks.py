"""What is checked before anything is logged: values against the schema of their stream, and streams themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec

from ..errors import Invalid, InvalidValue, SchemaInvalid
from ..schema import compile_schema
from ..wire import KEEP_MAX_S, KEEP_MIN_S, StreamCreate
from ._spool import SpoolStream
from ._values import encode_value

__all__ = ["CheckedStream", "creation_text", "schema_text"]


class CheckedStream(NamedTuple):
    """What an insert needs to know of a stream."""

    id: int
    is_valid: Callable[[Any], bool]
    schema: str | None

    @classmethod
    def of(cls, stream: SpoolStream) -> CheckedStream:
        """Return what an insert needs to know of *stream*."""
        is_valid = _anything if stream.schema is None else compile_schema(stream.schema).is_valid
        return cls(stream.id, is_valid, stream.schema)

    def encode(self, value: Any) -> str:
        """Return *value* as JSON text if it fits the schema.

        Raises:
            SchemaMismatch: it does not; also a `jsonschema.ValidationError`.
            InvalidValue: JSON cannot hold it.
        """
        text = encode_value(value)
        try:
            if self.is_valid(value):
                return text
        except (TypeError, ValueError):
            pass  # nothing that a schema engine knows
        # What counts is how JSON sees it: a tuple is an array, a float of numpy a number.
        value = msgspec.json.decode(text)
        schema = compile_schema(self.schema or "{}")
        if not schema.is_valid(value):
            from ._mismatch import ValueMismatch  # jsonschema takes long to import

            raise ValueMismatch(schema.explain(value))
        return text


def schema_text(schema: Mapping[str, Any] | str) -> str:
    """Return *schema* minified. Raises a `SchemaInvalid` that is also a `jsonschema.SchemaError`."""
    try:
        text = schema if isinstance(schema, str) else encode_value(dict(schema))
        return compile_schema(text).text
    except (SchemaInvalid, InvalidValue, TypeError, ValueError) as e:
        from ._mismatch import SchemaRefused

        raise SchemaRefused(getattr(e, "msg", str(e))) from None


def creation_text(fields: dict[str, Any]) -> str:
    """Return the *fields* to create a stream with as JSON. Raises `Invalid`."""
    try:
        fields = {n: v.total_seconds() if isinstance(v, timedelta) else v for n, v in fields.items()}
        wanted = msgspec.convert(fields, StreamCreate)
        if wanted.keep and not KEEP_MIN_S <= wanted.keep <= KEEP_MAX_S:
            raise ValueError(f"keep is in seconds: 0, which is for ever, or {KEEP_MIN_S} to {KEEP_MAX_S:g}")
        if wanted.keep and wanted.ephemeral:
            raise ValueError("an ephemeral stream keeps no datapoints: leave keep out")
        return msgspec.json.encode(fields).decode()
    except (msgspec.MsgspecError, TypeError, ValueError) as e:
        raise Invalid(f"the stream cannot be created with these fields: {e}") from None


def _anything(value: object) -> bool:
    return True
