"""Datapoints of a user to JSON, and nothing that is not JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

import msgspec

from ..datapoints import to_timestamp
from ..errors import InvalidValue

__all__ = ["BODY_BYTES_MAX", "DATAPOINT_INSERT_LIMIT", "bodies", "encode_object", "encode_points"]

DATAPOINT_INSERT_LIMIT = 5000
"""How many datapoints go into one request at most."""
BODY_BYTES_MAX = 4 * 1024 * 1024
"""A request with several datapoints is kept below this; the server's bound is 10 MiB unless set otherwise."""

_fast = msgspec.json.encode
_NUMBERS = frozenset((float, int))
_PLAIN = frozenset((float, int, str, bool))


def bodies(
    points: Iterable[Any], points_max: int = DATAPOINT_INSERT_LIMIT, *, whole_times: bool = False
) -> Iterator[tuple[int, bytes]]:
    """Yield the bodies of the requests that insert *points*, each with the number of its datapoints.

    Args:
        whole_times: Datapoints of the same time that follow one another come in one body.

    Raises:
        InvalidValue: a datapoint cannot be sent. It is named by its 0-based position. The bodies before it are good.
            Or there are too many of one time.
    """
    remaining = iter(points)
    position = 0
    while chunk := list(islice(remaining, points_max)):
        if whole_times and (following := next(remaining, None)) is not None:
            remaining = chain((following,), remaining)
            end = _last_time(chunk, following)
            if not end:
                raise InvalidValue(
                    f"more than {points_max} datapoints, from datapoint {position} on, have the same time: they do not "
                    "go into one request, so what is stored of them already cannot be told from what is there twice"
                )
            if end < len(chunk):
                remaining = chain(chunk[end:], remaining)
                chunk = chunk[:end]
        body = encode_points(chunk, position)
        if len(body) > BODY_BYTES_MAX and len(chunk) > 1:
            half = len(chunk) // 2
            points_max = max(1, half)
            remaining = chain(chunk, remaining)
            continue
        yield len(chunk), body
        position += len(chunk)


def _last_time(chunk: list[Any], following: Any) -> int:
    """Return how many of *chunk* come before those at its end that have the time of *following*."""
    try:
        end, t = len(chunk), to_timestamp(following["t"])
        while end and to_timestamp(chunk[end - 1]["t"]) == t:
            end -= 1
    except (LookupError, TypeError, InvalidValue):
        return len(chunk)  # it has no time, and is told of, or stamped, elsewhere
    return end


def encode_points(points: list[Any], position: int = 0) -> bytes:
    """Return *points* as a JSON array.

    Args:
        points: Dicts with ``t`` (any kind of `Time`; missing, ``None`` or 0: now, on the server) and ``d`` (any JSON
            value).
        position: Of the first, for messages.

    Raises:
        InvalidValue: one of them is no datapoint, or holds what JSON cannot: NaN, Infinity, an object of some class.
    """
    if set(map(type, points)) != {dict}:
        for i, point in enumerate(points):
            if not isinstance(point, Mapping):
                raise InvalidValue(
                    f"datapoint {position + i} is {_shown(point)}; a datapoint is a dict {{'t': seconds, 'd': value}}"
                )
        points = [dict(point) for point in points]
    if not {type(point.get("t")) for point in points} <= _NUMBERS:
        points = [_with_seconds(point) for point in points]
    if {type(point.get("d")) for point in points} <= _PLAIN:
        # Five times faster than the standard library, but it makes null of NaN and Infinity.
        try:
            body = _fast(points)
            if b"null" not in body:
                return body
        except (TypeError, ValueError):
            pass  # the other one says what is wrong
    try:
        return _dumps(points)
    except (TypeError, ValueError, RecursionError, OverflowError):
        for i, point in enumerate(points):
            try:
                _dumps(point)
            except (TypeError, ValueError, RecursionError, OverflowError) as e:
                raise InvalidValue(f"datapoint {position + i} cannot be sent: {_why(e)}") from None
        raise


def encode_object(fields: dict[str, Any]) -> bytes:
    """Return *fields*, of which one is a value of a user, as a JSON object.

    Raises:
        InvalidValue: a value holds what JSON cannot: NaN, Infinity, an object of some class.
    """
    try:
        return _dumps(fields)
    except (TypeError, ValueError, RecursionError, OverflowError) as e:
        raise InvalidValue(f"this cannot be sent: {_why(e)}") from None


def _dumps(value: Any) -> bytes:
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_plain)
    return text.encode("utf-8")


def _with_seconds(point: dict[str, Any]) -> dict[str, Any]:
    t = point.get("t")
    if t is None:
        return {key: value for key, value in point.items() if key != "t"}
    return {**point, "t": to_timestamp(t)}


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy as what Python has for them."""
    if type(value).__module__ == "numpy":
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} is no JSON value")


def _why(e: Exception) -> str:
    if isinstance(e, UnicodeError):
        return "a text in it is not valid Unicode (it has half of a surrogate pair)"
    if isinstance(e, RecursionError):
        return "it is nested too deeply, or in a circle"
    if isinstance(e, ValueError) and "JSON compliant" in str(e):
        return "NaN and Infinity are no JSON values; leave the datapoint out, or use None"
    return str(e)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
