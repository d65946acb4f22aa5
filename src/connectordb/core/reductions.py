"""Ranges as something smaller: thinned for a plot, or as statistics of windows of time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias

from ..errors import Invalid

if TYPE_CHECKING:
    from ..pipescript import Batch

__all__ = ["STATS", "Reduction", "Thin", "Windowed", "reduced"]

STATS: Final = ("mean", "min", "max", "sum", "count", "first", "last", "stddev")
"""The statistics of windows."""


class _Reducer(Protocol):
    def feed(self, batch: Batch) -> Batch | None:
        """Take datapoints, and return what is ready."""

    def end(self) -> Iterator[Batch]:
        """Yield the rest."""


class Thin(NamedTuple):
    """At most so many datapoints that look like all; see `connectordb.core.thinning.Thinning`."""

    points: int

    def start(self) -> Any:
        """Return what does it. Raises `Invalid`."""
        from .thinning import POINTS_MAX, POINTS_MIN, Thinning  # numpy is not needed by most

        if not POINTS_MIN <= self.points <= POINTS_MAX:
            raise Invalid(f"points has to be from {POINTS_MIN} to {POINTS_MAX}, not {self.points}")
        return Thinning(self.points)


class Windowed(NamedTuple):
    """Statistics of windows of time; see `connectordb.core.buckets.Buckets`."""

    every: str
    stats: tuple[str, ...]
    zone: str = "UTC"

    def start(self) -> Any:
        """Return what does it. Raises `Invalid`."""
        from .buckets import Buckets

        unknown = [name for name in self.stats if name not in STATS]
        if unknown or not self.stats or len(set(self.stats)) != len(self.stats):
            told = f"there is no statistic {unknown[0][:20]!a}" if unknown else "each statistic is to be named once"
            raise Invalid(f"{told}; there are {', '.join(STATS)}")
        return Buckets(self.every, self.stats, self.zone)


Reduction: TypeAlias = Thin | Windowed


def reduced(batches: Iterable[Batch | None], reducer: _Reducer) -> Iterator[Batch | None]:
    """Yield what *reducer* makes of *batches*, which are one input; ``None`` where it gives nothing."""
    for batch in batches:
        yield None if batch is None or not batch.n else reducer.feed(batch)
    yield from reducer.end()
