"""Query parameters: strict, so that a misspelt one is not taken for a wish for everything."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Set
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from ..core.reductions import Reduction, Thin, Windowed
from ..errors import Invalid, InvalidRange
from ..query import Range

__all__ = ["choice", "flag", "index", "moment", "parse_query", "parse_range", "parse_reduction", "seconds"]

PARAMS_MAX = 32
INDEX_MAX = 2**63 - 1
DEFAULT_STATS = "mean,min,max"

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_FLAGS = {"true": True, "false": False}


def parse_query(query: bytes, known: Set[str]) -> dict[str, str]:
    """Return the parameters in the query string *query*.

    Args:
        query: As it stands in the URL.
        known: The names that may occur.

    Raises:
        Invalid: an unknown name, one that is given twice, broken percent-encoding or UTF-8, or too many.
    """
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=PARAMS_MAX)
    except UnicodeError:
        raise Invalid("the query string of the URL is not percent-encoded UTF-8") from None
    except ValueError:
        raise Invalid(f"the URL has more than {PARAMS_MAX} query parameters") from None
    params: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            usual = ", ".join(sorted(known - {"apikey"}))
            raise Invalid(f"unknown query parameter {name[:40]!a}: this call knows {usual or 'none'}")
        if name in params:
            raise Invalid(f"the query parameter '{name}' is given twice")
        params[name] = value
    return params


def index(params: Mapping[str, str], name: str) -> int | None:
    """Return the whole number in the parameter *name*, ``None`` if there is none.

    Raises:
        InvalidRange: it is no whole number in base 10 that fits into 64 bits.
    """
    text = params.get(name)
    if text is None:
        return None
    if _INTEGER.fullmatch(text):
        value = int(text)
        if -INDEX_MAX <= value <= INDEX_MAX:
            return value
    raise InvalidRange(f"{name} has to be a whole number, as in {name}=10; it is {_shown(text)}")


def seconds(params: Mapping[str, str], name: str) -> float | None:
    """Return the time in seconds in the parameter *name*, ``None`` if there is none.

    Raises:
        InvalidRange: it is no finite decimal number.
    """
    text = params.get(name)
    if text is None:
        return None
    if _NUMBER.fullmatch(text):
        value = float(text)
        if math.isfinite(value):
            return value
    raise InvalidRange(
        f"{name} has to be a number of seconds since 1970, as in {name}=1500000000.5; it is {_shown(text)}"
    )


def moment(params: Mapping[str, str], name: str) -> float | None:
    """Return the time in the parameter *name* in seconds since 1970, ``None`` if there is none.

    It may stand there as such, or as ISO 8601 knows it; without a zone it is UTC.

    Raises:
        InvalidRange: it is neither.
    """
    text = params.get(name)
    if text is None or _NUMBER.fullmatch(text):
        return seconds(params, name)
    try:
        # A plus sign in a query that is not encoded means a space.
        when = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise InvalidRange(
            f"{name} has to be a number of seconds since 1970 or a time as 2026-01-31T12:00:00Z; it is {_shown(text)}"
        ) from None


def flag(params: Mapping[str, str], name: str, default: bool = False) -> bool:
    """Return whether the parameter *name* is ``true``; without it, *default*.

    Raises:
        Invalid: it is neither ``true`` nor ``false``.
    """
    text = params.get(name)
    if text is None:
        return default
    value = _FLAGS.get(text.lower())
    if value is None:
        raise Invalid(f"{name} has to be true or false; it is {_shown(text)}")
    return value


def choice(params: Mapping[str, str], name: str, default: str, *others: str) -> str:
    """Return what the parameter *name* is, of *default* and *others*; without it, *default*.

    Raises:
        Invalid: it is none of them.
    """
    text = params.get(name, default)
    if text != default and text not in others:
        raise Invalid(f"{name} has to be {' or '.join((default, *others))}; it is {_shown(text)}")
    return text


def parse_range(params: Mapping[str, str]) -> Range:
    """Return the range that ``i1``, ``i2``, ``t1``, ``t2`` and ``limit`` describe.

    As for ConnectorDB 0.3, 0 as `i2`, `t2` or `limit` means that there is no such bound.

    Raises:
        InvalidRange: neither ``i1`` nor ``i2`` nor ``t1`` nor ``t2`` is given, both kinds are, or a value is bad.
    """
    i1, i2 = index(params, "i1"), index(params, "i2")
    t1, t2 = seconds(params, "t1"), seconds(params, "t2")
    limit = index(params, "limit")
    by_index = i1 is not None or i2 is not None
    if by_index and (t1 is not None or t2 is not None or limit is not None):
        raise InvalidRange("a range goes either by index (i1, i2) or by time (t1, t2, limit), not by both")
    if not by_index and t1 is None and t2 is None:
        raise InvalidRange(
            "which datapoints? Give a range by index (i1=0&i2=10; i1=-10 for the last ten) or by time "
            "(t1=1500000000&t2=1600000000, with limit=100 at most that many)"
        )
    return Range(i1=i1, i2=i2 or None, t1=t1, t2=t2 or None, limit=limit or None)


def parse_reduction(params: Mapping[str, str]) -> Reduction | None:
    """Return what ``points``, or ``every``, ``stat`` and ``zone`` ask for; ``None`` without them.

    Raises:
        Invalid: both are there, or one that says nothing without another.
    """
    points, every = index(params, "points"), params.get("every")
    if every is None:
        if "stat" in params or "zone" in params:
            raise Invalid("stat and zone go with every, as in every=1h&stat=mean,max&zone=Europe/Amsterdam")
        return None if points is None else Thin(points)
    if points is not None:
        raise Invalid("either points or every: a range is thinned, or becomes statistics of windows")
    if params.get("zone") == "":
        raise Invalid("zone is empty: leave it out for UTC, or name one, as in zone=Europe/Amsterdam")
    return Windowed(every, tuple(params.get("stat", DEFAULT_STATS).split(",")), params.get("zone", "UTC"))


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 40 else text[:40] + "...")
