"""Datapoints on their way into the spool: values become JSON text, time stamps are checked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from ..datapoint import check_time
from ..datapoints import Time, to_timestamp
from ..errors import InvalidValue

__all__ = ["check_t", "encode_value", "read_point"]


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
        InvalidValue: JSON cannot hold it: NaN, infinity, an object of some class, text that is no Unicode.
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
        return text
    raise InvalidValue(f"the value cannot be logged: {why}")


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


def read_point(point: Any, now: float) -> tuple[float, Any]:
    """Return the time stamp and the value of a datapoint ``{"t": seconds, "d": value}``.

    Without a time stamp, or with 0, it gets *now*.

    Raises:
        InvalidValue: it is no datapoint, or its time stamp is impossible.
    """
    if not isinstance(point, Mapping) or "d" not in point or not set(point) <= {"t", "d", "o"}:
        raise InvalidValue(f"{str(point)[:60]!r} is no datapoint: it has to be like {{'t': seconds, 'd': value}}")
    t = point.get("t")
    return check_t(t) if t is not None and t != 0 else now, point["d"]
