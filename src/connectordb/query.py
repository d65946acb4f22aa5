"""Which datapoints are meant: ranges of one stream; `Merge` and `Dataset`, which ask for several streams at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import msgspec

from .errors import InvalidRange

if TYPE_CHECKING:
    from .client._query import Dataset, Merge

__all__ = ["Dataset", "Merge", "Range"]


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """A range of one stream, by index or by time.

    Attributes:
        i1: First index, inclusive. Negative: from the end. ``None``: from the first.
        i2: Last index, exclusive. Negative: from the end. ``None``: to the end.
        t1: Lower bound in seconds since the Unix epoch, exclusive. ``None``: from the first.
        t2: Upper bound in seconds since the Unix epoch, inclusive. ``None``: to the last.
        limit: At most this many datapoints, of a range by time. ``None``: all.

    With neither kind of bound it is the whole stream.

    Raises:
        InvalidRange: bounds by index and by time at once, a limit of a range by index, a bound that is no finite
            number, or a negative limit.

    >>> Range(i1=-5).by_time
    False
    """

    i1: int | None = None
    i2: int | None = None
    t1: float | None = None
    t2: float | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if (self.i1 is not None or self.i2 is not None) and self.by_time:
            raise InvalidRange("a range goes either by index (i1, i2) or by time (t1, t2, limit), not by both")
        for name in ("t1", "t2"):
            t = getattr(self, name)
            if t is not None and not math.isfinite(t):
                raise InvalidRange(f"{name} is no finite number of seconds: {t!r}")
        if self.limit is not None and self.limit < 0:
            raise InvalidRange(f"limit is negative: {self.limit}")

    @property
    def by_time(self) -> bool:
        """Whether the range has a bound of time."""
        return self.t1 is not None or self.t2 is not None or self.limit is not None

    def resolve(self, n: int) -> tuple[int, int]:
        """Return the half-open index range ``[i1, i2)`` within a stream of *n* datapoints, as a slice would be.

        Raises:
            InvalidRange: it begins beyond the end of the stream, or ends before it begins.

        >>> Range(i1=-3).resolve(10)
        (7, 10)
        """
        i1 = _from_end(self.i1 or 0, n)
        i2 = n if self.i2 is None else min(_from_end(self.i2, n), n)
        if i1 > n or i2 < i1:
            raise InvalidRange(
                f"the index range [{i1}, {i2}) does not lie in the stream, which has {n} datapoints",
                status=403,
            )
        return i1, i2

    def indices(self, n: int, index_after: Callable[[float], int]) -> tuple[int, int]:
        """Return the half-open index range of what is wanted of a stream of *n* datapoints.

        A range of time that ends before it begins is empty.

        Args:
            n: How many datapoints there are.
            index_after: Gives the index of the first datapoint after a time.

        Raises:
            InvalidRange: see `resolve`.

        >>> from bisect import bisect_right
        >>> times = [10.0, 20.0, 20.0, 30.0]
        >>> Range(t1=10, t2=20).indices(len(times), lambda t: bisect_right(times, t))
        (1, 3)
        """
        if not self.by_time:
            return self.resolve(n)
        i = 0 if self.t1 is None else index_after(self.t1)
        stop = n if self.limit is None else min(n, i + self.limit)
        if self.t2 is not None and i < stop:
            stop = max(i, min(stop, index_after(self.t2)))
        return i, stop


def _from_end(i: int, n: int) -> int:
    return i if i >= 0 else max(0, n + i)


def __getattr__(name: str) -> Any:
    if name in ("Dataset", "Merge"):  # by name: they belong to the client, which depends on this module
        return getattr(import_module("connectordb.client._query"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
