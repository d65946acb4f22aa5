"""Ranges as something smaller: thinned for a plot, or as statistics of windows of time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias

from ..errors import Invalid

if TYPE_CHECKING:
    from ..pipescript import Batch
    from ..store.records import Summary

__all__ = ["STATS", "Reducer", "Reduction", "Thin", "Windowed", "reduced"]

STATS: Final = ("mean", "min", "max", "sum", "count", "first", "last", "stddev")
"""The statistics of windows."""


class Reducer(Protocol):
    """A reduction at work on one input."""

    @property
    def takes_runs(self) -> bool:
        """Whether it is enough to know of runs of numbers what is known without looking at them."""

    @property
    def fits(self) -> Callable[[float, float], bool] | None:
        """Of which runs; see `connectordb.store.base.Store.read_summaries`."""

    def feed(self, batch: Batch) -> Batch | None:
        """Take datapoints, and return what is ready."""

    def feed_runs(self, runs: Sequence[Summary]) -> Batch | None:
        """The same for numbers of which only this is known."""

    def end(self) -> Iterator[Batch]:
        """Yield the rest."""


class Thin(NamedTuple):
    """At most so many datapoints that look like all; see `connectordb.core.thinning.Thinning`."""

    points: int

    def start(self, n: int = 0) -> Reducer:
        """Return what does it, for about *n* datapoints; 0: nobody knows. Raises `Invalid`."""
        from .thinning import POINTS_MAX, POINTS_MIN, Thinning  # numpy is not needed by most

        if not POINTS_MIN <= self.points <= POINTS_MAX:
            raise Invalid(f"points has to be from {POINTS_MIN} to {POINTS_MAX}, not {self.points}")
        return Thinning(self.points, n)


class Windowed(NamedTuple):
    """Statistics of windows of time; see `connectordb.core.buckets.Buckets`."""

    every: str
    stats: tuple[str, ...]
    zone: str = "UTC"

    def start(self, n: int = 0) -> Reducer:
        """Return what does it, for however many datapoints. Raises `Invalid`."""
        from .buckets import Buckets

        unknown = [name for name in self.stats if name not in STATS]
        if unknown or not self.stats or len(set(self.stats)) != len(self.stats):
            told = f"there is no statistic {unknown[0][:20]!a}" if unknown else "each statistic is to be named once"
            raise Invalid(f"{told}; there are {', '.join(STATS)}")
        return Buckets(self.every, self.stats, self.zone)


Reduction: TypeAlias = Thin | Windowed


def reduced(batches: Iterable[Batch | Sequence[Summary] | None], reducer: Reducer) -> Iterator[Batch | None]:
    """Yield what *reducer* makes of *batches* and runs, which are one input; ``None`` where it gives nothing."""
    from ..pipescript import Batch

    for batch in batches:
        if batch is None or not len(batch):
            yield None
        else:
            yield reducer.feed(batch) if isinstance(batch, Batch) else reducer.feed_runs(batch)
    yield from reducer.end()
