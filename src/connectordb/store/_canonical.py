"""When two JSON values are equal: ``1`` equals ``1.0`` and not ``true``; the order of keys makes no difference."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import msgspec

__all__ = ["canonical", "comparable"]


def canonical(d: bytes) -> bytes:
    """Return the text that all JSON texts of the same value have in common."""
    return _encode_sorted(_decode(d))


def comparable(d: Any) -> Hashable:
    """Return what is equal for equal values, *d* being one as read from JSON."""
    kind = type(d)
    if kind is float or kind is int or kind is str:
        return d  # type: ignore[no-any-return]  # none of these equals the bytes of another kind
    return canonical(_encode(d))


def _whole(number: str) -> int | float:
    value = float(number)
    return int(value) if value.is_integer() else value


_decode = msgspec.json.Decoder(float_hook=_whole).decode
_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode
