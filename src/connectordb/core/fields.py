"""The fields of users, devices and streams: which there are, of what type, and what they may hold."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from typing import Any

from ..errors import InvalidValue
from ..paths import check_name
from ..schema import compile_schema
from ..wire import KEEP_MAX_S, KEEP_MIN_S

__all__ = [
    "FIELDS",
    "STORED",
    "check_apikey",
    "check_email",
    "check_icon",
    "check_user_name",
    "check_value",
    "parse_changes",
]

ICON_BYTES_MAX = 256 * 1024
EMAIL_LENGTH_MAX = 254
APIKEY_LENGTH_MAX = 128

FIELDS: dict[str, dict[str, type]] = {
    "user": {
        "nickname": str,
        "email": str,
        "description": str,
        "icon": str,
        "role": str,
        "public": bool,
        "password": str,
    },
    "device": {
        "nickname": str,
        "description": str,
        "icon": str,
        "apikey": str,
        "enabled": bool,
        "visible": bool,
        "user_editable": bool,
        "public": bool,
        "role": str,
    },
    "stream": {
        "nickname": str,
        "description": str,
        "icon": str,
        "schema": str,
        "datatype": str,
        "ephemeral": bool,
        "downlink": bool,
        "keep": float,
    },
}
"""The fields that can be set, with their types, by kind of object."""

STORED = {"keep": "keep_s"}
"""What fields are called in the store, if it is something else."""

_TYPE_NAMES = {str: "string", bool: "boolean", float: "number"}

_NAMED_ICON = re.compile(r"(?:material|fa):[A-Za-z0-9_-]+")
_NAMED_ICON_LENGTH_MAX = 30
_DATA_URI = re.compile(r"data:image/[a-zA-Z0-9.+-]+(?:;[a-zA-Z0-9=-]+)*,[\x21-\x7e]*")
_EMAIL = re.compile(r"[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+")


def parse_changes(kind: str, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return *changes* to an object of *kind* called *name*, checked for unknown fields and wrong types.

    Raises:
        InvalidValue: naming the field.
    """
    fields = FIELDS[kind]
    parsed: dict[str, Any] = {}
    for field, value in changes.items():
        if field == "name":
            if value != name:
                raise InvalidValue(f"the name of a {kind} cannot be changed")
            continue
        expected = fields.get(field)
        if expected is None:
            raise InvalidValue(f"unrecognized field '{field}': a {kind} has {', '.join(sorted(fields))}")
        if expected is float and type(value) is int:
            value = _to_float(value)
        if type(value) is not expected:
            raise InvalidValue(f"the value of field '{field}' must be a {_TYPE_NAMES[expected]}")
        parsed[field] = check_value(field, value)
    return parsed


def check_value(field: str, value: Any) -> Any:
    """Return *value* as it is to be stored in *field*. Raises `InvalidValue` if it may not hold that."""
    match field:
        case "icon":
            check_icon(value)
        case "email":
            check_email(value)
        case "schema":
            return compile_schema(value).text
        case "apikey":
            check_apikey(value)
        case "keep" if value != 0 and not KEEP_MIN_S <= value <= KEEP_MAX_S:
            raise InvalidValue(
                f"keep is in seconds: 0, which is for ever, or {KEEP_MIN_S} to {KEEP_MAX_S:g}; it is {value:g}"
            )
        case "password" if not value:
            raise InvalidValue("the password must not be empty")
        case "password" if len(value) > 1024:
            raise InvalidValue("the password is longer than 1024 characters")
    return value


def _to_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def check_icon(icon: str) -> None:
    """Raise `InvalidValue` unless *icon* names an icon or holds a picture; empty is none."""
    if not icon or (len(icon) <= _NAMED_ICON_LENGTH_MAX and _NAMED_ICON.fullmatch(icon)):
        return
    if len(icon) <= ICON_BYTES_MAX:
        if _DATA_URI.fullmatch(icon):
            return
        try:
            base64.b64decode(icon.translate({45: "+", 95: "/"}) + "=" * (-len(icon) % 4), validate=True)
        except (binascii.Error, ValueError):
            pass
        else:
            return
    raise InvalidValue(
        "the icon must be empty, 'material:NAME' or 'fa:NAME' (30 characters at most), a data URI of an image or "
        f"URL-safe base64 (at most {ICON_BYTES_MAX} bytes)"
    )


def check_email(email: str) -> None:
    """Raise `InvalidValue` unless *email* looks like an e-mail address."""
    if len(email) > EMAIL_LENGTH_MAX or not _EMAIL.fullmatch(email):
        raise InvalidValue(f"invalid e-mail address {email[:80]!a}: it has to look like name@example.com")


def check_apikey(apikey: str) -> None:
    """Raise `InvalidValue` unless *apikey* can be sent in a header and in a URL. Empty asks for a new one."""
    if len(apikey) > APIKEY_LENGTH_MAX or not all(" " < c < "\x7f" for c in apikey):
        raise InvalidValue(f"an API key has at most {APIKEY_LENGTH_MAX} characters, all of them visible ASCII")


def check_user_name(name: str, disallowed: frozenset[str]) -> None:
    """Raise unless *name* may name a new user.

    Raises:
        Invalid: it is no name.
        InvalidValue: the server needs it for itself.
    """
    check_name(name, "user name")
    if name.lower() in disallowed:
        raise InvalidValue(f"no user may be called '{name}': the server uses that name itself")
