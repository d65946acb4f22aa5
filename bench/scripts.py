"""PipeScript in memory: the scripts of PERFORMANCE.md, over data that are there as lists, or as arrays."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from math import prod
from time import perf_counter

from connectordb.pipescript import Batch, compile_script

from .catalogue import GO_POINTS
from .children import run_tasks
from .points import START_S
from .timing import Timed
from .workbench import Sample, Workbench, WrongResult

__all__ = ["measure_scripts"]

BLOCK_POINTS = 5_000
CHECKED_POINTS = 20_000
SEED = 7
_LOOP = "loop"


@dataclass
class Scripts:
    """Each of the scripts over lists of time stamps and values; what comes out are lists, too.

    Attributes:
        columns: From arrays to arrays instead.
    """

    n: int
    columns: bool = False

    def __call__(self, ready: Callable[[], None]) -> dict[str, Timed]:
        """Make the data, call *ready*, then run the scripts. The last is a loop of Python over the same data."""
        rng = random.Random(SEED)
        t = [START_S + i + rng.randrange(400) / 1000 for i in range(self.n)]
        d = [rng.randrange(1000) / 100 for _ in range(self.n)]
        ready()
        timed = {script: self._run(script, t, d) for script in GO_POINTS}
        timed[_LOOP] = _loop(t, d)
        return timed

    def _run(self, text: str, t: list[float], d: list[float]) -> Timed:
        script = compile_script(text)
        few = slice(0, CHECKED_POINTS)
        fast, slow = (_said(script.run_batches(_cut(t[few], d[few]), columnwise=c)) for c in (True, False))
        if fast != slow:
            raise WrongResult(f"{text}: over columns it does not give what it gives row by row")
        timed = Timed(bodies=[_said(script.run_batches(self._batches(t, d))).encode()])
        batches = self._batches(t, d)  # new ones: a batch keeps the arrays that were once made of its lists
        timed.begun.append(perf_counter())
        for batch in script.run_batches(batches):
            if not self.columns:
                _ = batch.t, batch.d
        timed.ended.append(perf_counter())
        return timed

    def _batches(self, t: list[float], d: list[float]) -> list[Batch]:
        batches = list(_cut(t, d))
        if self.columns:
            return [Batch.of(batch.times, batch.column) for batch in batches if batch.column is not None]
        return batches


def _cut(t: list[float], d: list[float]) -> Iterator[Batch]:
    for i in range(0, len(t), BLOCK_POINTS):
        yield Batch(t[i : i + BLOCK_POINTS], d[i : i + BLOCK_POINTS])


def _said(batches: Iterator[Batch]) -> str:
    """Return a digest of datapoints, in which 5 is not 5.0."""
    seen = sha256()
    for batch in batches:
        for point in zip(batch.t, batch.d, strict=True):
            seen.update(repr(point).encode())
    return seen.hexdigest()[:12]


def _loop(t: list[float], d: list[float]) -> Timed:
    timed = Timed()
    timed.begun.append(perf_counter())
    for batch in _cut(t, d):
        total = 0.0
        points = []
        for time, value in zip(batch.t, batch.d, strict=True):
            total += value
            points.append((time, total))
    timed.ended.append(perf_counter())
    return timed


def measure_scripts(bench: Workbench) -> dict[str, Sample]:
    """Run all of them."""
    n = bench.sizes.script_points
    [lists], [columns] = run_tasks(Scripts(n)), run_tasks(Scripts(n, columns=True))
    speeds = {script: n / (timed.ended[0] - timed.begun[0]) for script, timed in lists.items()}
    loop = {_LOOP: speeds.pop(_LOOP)}
    samples = {}
    for i, (script, speed) in enumerate(speeds.items(), 1):
        seen = lists[script].bodies[0].decode()
        if columns[script].bodies != lists[script].bodies:
            raise WrongResult(f"{script}: over arrays it does not give what it gives over lists")
        samples[f"p{i}"] = Sample(speed, loop, digest=seen)
    samples["pall"] = Sample(_to_go(speeds), {})
    samples["pcol"] = Sample(_to_go({s: n / (columns[s].ended[0] - columns[s].begun[0]) for s in speeds}), {})
    return samples


def _to_go(speeds: dict[str, float]) -> float:
    """Return the geometric mean of the ratios to the Go engine."""
    return float(prod(speed / GO_POINTS[script] for script, speed in speeds.items()) ** (1 / len(speeds)))
