"""When things began and ended, and what follows from that."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Timed", "latencies_ms", "percentile", "rate"]


def _times() -> array[float]:
    return array("d")


@dataclass
class Timed:
    """What one process has done.

    Attributes:
        begun, ended: Of each operation, in seconds of the clock that all processes of the machine share.
        bodies: What came back, if it was to be kept.
    """

    begun: array[float] = field(default_factory=_times)
    ended: array[float] = field(default_factory=_times)
    bodies: list[bytes] = field(default_factory=list)


def rate(several: Sequence[Timed]) -> float:
    """Return how many operations a second several processes did together, while all of them were at it."""
    start = max(timed.begun[0] for timed in several)
    stop = min(timed.ended[-1] for timed in several)
    n = sum(start < ended <= stop for timed in several for ended in timed.ended)
    if n == 0:  # so little to do that they did not meet
        start = min(timed.begun[0] for timed in several)
        stop = max(timed.ended[-1] for timed in several)
        n = sum(len(timed.ended) for timed in several)
    return n / (stop - start)


def latencies_ms(several: Sequence[Timed]) -> list[float]:
    """Return how long each operation took, in milliseconds."""
    return [(ended - begun) * 1000 for timed in several for begun, ended in zip(timed.begun, timed.ended, strict=True)]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that *share* (0 to 1) of *values*, at least one, do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
