"""What is read of a stream: a range of it, and what the server is to make of that."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import NamedTuple, SupportsIndex

from ..datapoints import DatapointArray, Time, to_timestamp
from ..errors import InvalidValue
from ..query import Range
from ._calls import Point, Reduction

__all__ = ["INDEX_MAX", "Wanted", "array_of", "index_of", "range_of", "reduction_of", "wanted_of"]

INDEX_MAX = 2**62
"""No stream is that long; greater indices would not fit into what servers count with."""

_DEFAULT_STATS = ("mean", "min", "max")
"""Of windows, if nobody says otherwise."""


def index_of(i: SupportsIndex | None) -> int | None:
    """Return *i* as it is sent."""
    return None if i is None else max(-INDEX_MAX, min(operator.index(i), INDEX_MAX))


def range_of(t1: Time | None, t2: Time | None, limit: int | None, i1: int | None, i2: int | None) -> Range:
    """Return a range of a stream as it is sent."""
    return Range(
        t1=None if t1 is None else to_timestamp(t1),
        t2=None if t2 is None else to_timestamp(t2),
        limit=index_of(limit),
        i1=index_of(i1),
        i2=index_of(i2),
    )


class Wanted(NamedTuple):
    """Datapoints of a stream, and what to make of them."""

    span: Range
    downlink: bool = False
    transform: str | None = None
    reduction: Reduction | None = None


def wanted_of(
    t1: Time | None = None,
    t2: Time | None = None,
    limit: int | None = None,
    i1: int | None = None,
    i2: int | None = None,
    downlink: bool = False,
    transform: str | None = None,
    *,
    points: int | None = None,
    every: str | None = None,
    stat: str | Iterable[str] | None = None,
    zone: str | None = None,
) -> Wanted:
    """Return what the arguments of a call of a stream ask for. Raises `InvalidValue` if they contradict each other."""
    span = range_of(t1, t2, limit, i1, i2)
    return Wanted(span, downlink, transform, reduction_of(points, every, stat, zone))


def array_of(found: list[Point], wanted: Wanted) -> DatapointArray:
    """Return what was *found* as it is given to the caller: statistics of windows know their columns."""
    reduction = wanted.reduction
    if reduction is None or reduction.every is None:
        return DatapointArray(found)
    from ._query import Rows

    rows = Rows(found)
    rows.columns = list(reduction.stats or _DEFAULT_STATS)
    return rows


def reduction_of(
    points: int | None, every: str | None, stat: str | Iterable[str] | None, zone: str | None
) -> Reduction | None:
    """Return how to make fewer of the datapoints, ``None`` if not. Raises `InvalidValue` if it is asked for twice."""
    if every is None:
        if stat is not None or zone is not None:
            raise InvalidValue("stat and zone go with every, as in every='1h', stat=['mean', 'max']")
        return None if points is None else Reduction(points=operator.index(points))
    if points is not None:
        raise InvalidValue("either points or every: a range is thinned, or becomes statistics of windows")
    stats = (stat,) if isinstance(stat, str) else tuple(stat or ())
    return Reduction(every=every, stats=stats, zone=zone)
