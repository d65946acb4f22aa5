"""Datapoints: a time stamp, a value, and who sent it."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["TIME_MAX_S", "Datapoint", "check_time"]

TIME_MAX_S = 253_402_300_800.0
"""The end of the year 9999, in seconds since the Unix epoch: no time stamp reaches it."""


class Datapoint(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """One datapoint on its way through the server.

    Encodes as ConnectorDB 0.3 did: ``t`` is left out when 0, ``d`` when null, ``o`` when the writer owns the stream.

    Attributes:
        t: Seconds since the Unix epoch, float64, kept exactly. 0 in a request means "now" of the server.
        d: Any JSON value.
        o: ``user/device`` that wrote it, if that is not the stream's own device.
    """

    t: float = 0.0
    d: Any = None
    o: str | None = None


def check_time(t: float) -> str | None:
    """Return what is wrong with time stamp *t* in seconds, or ``None``.

    >>> check_time(1.7e12)
    'time stamp 1700000000000.0 lies beyond the year 9999: t is in seconds since 1970, not milliseconds'
    """
    if t < 0:
        return f"time stamp {t!r} lies before 1970"
    if not t < TIME_MAX_S:  # NaN too
        return f"time stamp {t!r} lies beyond the year 9999: t is in seconds since 1970, not milliseconds"
    return None
