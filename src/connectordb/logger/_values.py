"""Datapoints on their way into the spool: values become JSON text, time stamps are checked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from ..datapoint import check_time
from ..datapoints import Time, to_timestamp
from ..errors import InvalidValue

__all__ = ["check_now", "check_t", "encode_value", "read_point"]


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy as what Python has for them."""
    if type(value).__module__ == "numpy":
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} is no JSON value")


# The standard library's encoder, as it alone refuses NaN and infinity.
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain).encode


def encode_value(value: Any) -> str:
    """Return *value* as JSON text.

    Raises:
        InvalidValue: JSON cannot hold it: NaN, infinity, an object of some class, text that is no Unicode, a dict
            with a key that is no text.
    """
    kind = type(value)
    if kind is float and math.isfinite(value):
        return repr(value)
    try:
        text = _encode(value)
        text.encode()
    except UnicodeEncodeError:
        why = "a text in it is not valid Unicode (it has half of a surrogate pair)"
    except RecursionError:
        why = "it is nested too deeply"
    except (TypeError, ValueError) as e:
        why = "NaN and Infinity are no JSON values" if "JSON compliant" in str(e) else str(e)
    else:
        if "{" not in text or (key := _odd_key(value)) is None:
            return text
        why = f"the keys of an object have to be text, not {key[0]!r}"
    raise InvalidValue(f"the value cannot be logged: {why}")


def _odd_key(value: Any) -> tuple[Any] | None:
    """A key in *value* that is no text, or ``None``. The encoder would make a text of it, maybe that of another key."""
    left = [value]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            for key in part:
                if not isinstance(key, str):
                    return (key,)
            left.extend(part.values())
        elif isinstance(part, list | tuple):
            left.extend(part)
        elif type(part).__module__ == "numpy":
            left.append(part.tolist())
    return None


def check_t(time: Time) -> float:
    """Return the time stamp *time* in seconds since the Unix epoch.

    Raises:
        InvalidValue: it is none, or an impossible one.
    """
    t = to_timestamp(time)
    why = check_time(t)
    if why:
        raise InvalidValue(why)
    return t


def check_now(now: float) -> float:
    """Return *now*, which the clock has told, in seconds since the Unix epoch.

    Raises:
        InvalidValue: it is no possible time stamp.
    """
    why = check_time(now) or ("it says 1970-01-01, which stands for no time stamp" if now == 0 else None)
    if why:
        raise InvalidValue(f"the clock of this machine is wrong, set it or give a time stamp: {why}")
    return now


def read_point(point: Any) -> tuple[float | None, Any]:
    """Return the time stamp and the value of a datapoint ``{"t": seconds, "d": value}``.

    ``None``: it has no time stamp, or 0.

    Raises:
        InvalidValue: it is no datapoint, or its time stamp is impossible.
    """
    if not isinstance(point, Mapping) or "d" not in point or not set(point) <= {"t", "d", "o"}:
        raise InvalidValue(f"{str(point)[:60]!r} is no datapoint: it has to be like {{'t': seconds, 'd': value}}")
    t = point.get("t")
    return None if t is None else check_t(t) or None, point["d"]
