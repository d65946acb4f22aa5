"""A stream read once, up to one time after the other."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, Final

from ..columns import numpy
from .batch import Batch
from .registry import Point

__all__ = ["Reader"]


_ARRAY_MAX: Final = 16
"""After so many searches in one batch a list of its times has paid off: it is faster to search, dearer to make."""


class Reader:
    """A stream, and where one is in it. Holds one batch of it."""

    __slots__ = ("_asked", "_at", "_batch", "_d", "_runs", "_t")

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._runs = (run for batch in batches for run in _ordered(batch))
        self._next()

    def _next(self) -> None:
        """Go to the next batch."""
        self._batch = next(self._runs, None)
        self._at = 0
        self._asked = 0
        self._t: list[float] | None = None  # its lists, once they are made
        self._d: list[Any] = []

    def take(self, until: float) -> Iterator[tuple[Batch, int, int]]:
        """Take the datapoints up to the first with ``t > until``, as far as the answer is read.

        Yields:
            Parts of batches, in order: a batch with the positions of the first and behind the last. None is empty.
        """
        while self._batch is not None:
            batch, start = self._batch, self._at
            stop = self._find(batch, until, start)
            if stop < batch.n:
                self._at = stop
            else:
                self._next()
            if stop > start:
                yield batch, start, stop
            if stop < batch.n:
                return

    def take_last(self, until: float) -> Point | None:
        """Take the datapoints up to the first with ``t > until``, and return the last of them, if there are any."""
        times, start = self._t, self._at
        if times is not None:
            if times[start] > until:
                return None
            stop = bisect_right(times, until, start)
            if stop < len(times):
                self._at = stop
                return times[stop - 1], self._d[stop - 1]
        latest = None
        for batch, _, stop in self.take(until):
            latest = batch.point(stop - 1)
        return latest

    def _find(self, batch: Batch, until: float, start: int) -> int:
        """Return the position of the first datapoint with ``t > until``, from *start* on."""
        if self._t is None:
            self._asked += 1
            if self._asked <= _ARRAY_MAX and batch.is_columns:
                return start + int(batch.times[start:].searchsorted(until, "right"))
            self._t, self._d = batch.t, batch.d
        return start if self._t[start] > until else bisect_right(self._t, until, start)

    @property
    def following(self) -> Point | None:
        """The next datapoint that has not been taken; ``None`` at the end."""
        if self._t is not None:
            return self._t[self._at], self._d[self._at]
        return None if self._batch is None else self._batch.point(self._at)


def _ordered(batch: Batch) -> Iterator[Batch]:
    """Yield *batch*, cut where the time goes back (some transforms do that)."""
    if not batch.n:
        return
    if batch.is_columns:
        times = batch.times
        cuts = (numpy().flatnonzero(times[1:] < times[:-1]) + 1).tolist()
    else:
        cuts = [at for at, (a, b) in enumerate(pairwise(batch.t), 1) if b < a]
    if not cuts:
        yield batch
        return
    for start, stop in pairwise([0, *cuts, batch.n]):
        yield batch.slice(start, stop)
