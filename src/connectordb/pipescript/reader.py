"""A stream read once, up to one time after the other."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

from .columns import Batch, numpy
from .registry import Point

__all__ = ["Reader"]


_ARRAY_MAX: Final = 16
"""After so many searches in one batch a list of its times has paid off: it is faster to search, dearer to make."""


class Reader:
    """A stream, and where one is in it. Holds one batch of it."""

    __slots__ = ("_asked", "_at", "_batch", "_runs")

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._runs = (run for batch in batches for run in _ordered(batch))
        self._batch = next(self._runs, None)
        self._at = 0
        self._asked = 0

    def take(self, until: float) -> list[tuple[Batch, int, int]]:
        """Take the datapoints up to the first with ``t > until``.

        Returns:
            Parts of batches, in order: a batch with the positions of the first and behind the last. None is empty.
        """
        taken = []
        while self._batch is not None:
            batch, start = self._batch, self._at
            stop = self._find(batch, until, start)
            if stop > start:
                taken.append((batch, start, stop))
                self._at = stop
            if stop < batch.n:
                break
            self._batch, self._at, self._asked = next(self._runs, None), 0, 0
        return taken

    def _find(self, batch: Batch, until: float, start: int) -> int:
        """Return the position of the first datapoint with ``t > until``, from *start* on."""
        self._asked += 1
        if self._asked <= _ARRAY_MAX and batch.is_columns:
            return start + int(batch.times[start:].searchsorted(until, "right"))
        if self._asked == _ARRAY_MAX + 1:
            _ = batch.d  # for `point`, too
        return bisect_right(batch.t, until, start)

    @property
    def following(self) -> Point | None:
        """The next datapoint that has not been taken; ``None`` at the end."""
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
