"""Several streams as one, in order of time. All of it streams."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, Final, Literal

from ..columns import Column, joined, numpy
from .batch import Batch
from .registry import Point

__all__ = ["batched", "merge", "merge_batches", "points_of"]

BATCH_MAX: Final = 1024


def points_of(batches: Iterable[Batch]) -> Iterator[Point]:
    """Yield the datapoints of *batches* one by one."""
    for batch in batches:
        yield from zip(batch.t, batch.d, strict=True)


def batched(points: Iterable[Point], n: int = BATCH_MAX) -> Iterator[Batch]:
    """Yield *points* in batches: the first of one datapoint, the next ones larger, up to *n*.

    If *points* fails, what came before is yielded first.
    """
    size = 1
    t: list[float] = []
    d: list[Any] = []
    try:
        for point in points:
            t.append(point[0])
            d.append(point[1])
            if len(t) >= size:
                yield Batch(t, d)
                t, d = [], []
                size = min(2 * size, n)
    except Exception:
        if t:
            yield Batch(t, d)
        raise
    if t:
        yield Batch(t, d)


def merge(streams: Iterable[Iterable[Point]]) -> Iterator[Point]:
    """Yield the datapoints of all *streams* in order of time; of equal times the earlier stream first.

    Only the next datapoint of each stream is looked at: one that is out of order stays so.
    """
    return heapq.merge(*streams, key=itemgetter(0))


def merge_batches(streams: Sequence[Iterable[Batch]]) -> Iterator[Batch]:
    """Yield what `merge` does, over whole columns until a stream is out of order."""
    heads: list[_Head] = []
    for batches in streams:
        head = _Head(iter(batches))
        heads.append(head)
        head.go_on()
    while not any(head.disordered for head in heads):
        waiting = [head for head in heads if head.batch is not None]
        if not waiting:
            return
        # The stream whose batch ends first is known up to there, and no further: neither is what comes of the others.
        shortest = min(waiting, key=lambda head: head.end)
        later = False
        parts: list[Batch] = []
        for head in waiting:
            if head is shortest:
                later = True
                parts.append(head.take_all())
            else:
                parts.append(head.take("left" if later else "right", shortest.end))
        yield _together([part for part in parts if part.n])
        shortest.go_on()
    yield from batched(merge([head.points() for head in heads]))


class _Head:
    """A stream, and the batch of it that comes next.

    Attributes:
        batch: What is left of it; ``None`` at the end.
        end: Time stamp of its last datapoint.
        disordered: Time goes back in it, or did before it.
    """

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self.batch: Batch | None = None
        self.end = 0.0
        self.disordered = numpy() is None

    def go_on(self) -> None:
        """Go to the next batch that is not empty."""
        first = self.batch is None
        self.batch = next((batch for batch in self._batches if batch.n), None)
        if self.batch is not None and not self.disordered:
            times = self.batch.times
            self.disordered = bool((times[1:] < times[:-1]).any()) or (not first and float(times[0]) < self.end)
            self.end = float(times[-1])

    def take(self, side: Literal["left", "right"], until: float) -> Batch:
        """Return what comes before *until*, or with ``"right"`` up to it. The rest is left, and not empty."""
        batch = self.batch
        assert batch is not None  # noqa: S101
        at = int(batch.times.searchsorted(until, side))
        if at:
            self.batch = batch.slice(at, batch.n)
        return batch.slice(0, at)

    def take_all(self) -> Batch:
        """Return what is left of the batch."""
        assert self.batch is not None  # noqa: S101
        return self.batch

    def points(self) -> Iterator[Point]:
        """Yield what is left of the stream."""
        return points_of(chain([] if self.batch is None else [self.batch], self._batches))


def _together(parts: list[Batch]) -> Batch:
    """Return the datapoints of *parts*, each of which is in order of time; of equal times the earlier part first."""
    if len(parts) == 1:
        return parts[0].slice(0, parts[0].n)  # without what came after
    np = numpy()
    times = np.concatenate([part.times for part in parts])
    order = np.argsort(times, kind="stable")
    column = _joined(parts)
    if column is not None:
        return Batch.of(times[order], column[order])
    d = [value for part in parts for value in part.d]
    return Batch(times[order].tolist(), [d[at] for at in order.tolist()])


def _joined(parts: list[Batch]) -> Column | None:
    """Return the values of *parts* one after the other, if they are columns of one kind."""
    whole: Column | None = None
    for part in parts:
        column = part.column if part.is_columns else None
        if column is None:
            return None
        whole = column if whole is None else joined(whole, column)
        if whole is None:
            return None
    return whole
