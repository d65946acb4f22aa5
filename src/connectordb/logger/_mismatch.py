"""Errors that go by two names: ours, and those of jsonschema, which the Logger of 0.3 raised."""

from __future__ import annotations

import jsonschema

from ..errors import SchemaInvalid, SchemaMismatch

__all__ = ["SchemaRefused", "ValueMismatch"]


class ValueMismatch(SchemaMismatch, jsonschema.ValidationError):
    """A value does not fit the schema of its stream. It was not taken."""

    def __str__(self) -> str:
        return self.msg


class SchemaRefused(SchemaInvalid, jsonschema.SchemaError):
    """What was given as a schema is none."""

    def __str__(self) -> str:
        return self.msg
