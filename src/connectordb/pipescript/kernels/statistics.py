"""Standard deviation and quantiles over columns."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...columns import Kind
from .. import values
from ..builtins import statistics
from ..plan import Part
from .groups import GROUPED, GroupRun, Groups, RowByRow
from .program import NUMERIC, Floats, Program, numbers_of
from .transforms import VALUES

__all__ = ["CARRIED_MAX"]

CARRIED_MAX: Final = 256
"""So many times the new numbers may be kept already; with more it is faster row by row than looking at all again."""


def _deviations(squares: Floats, total: Floats, n: NDArray[np.intp]) -> Floats:
    variance = (squares - total * total / n) / (n - 1)
    variance[(n < 2) | (variance <= 0)] = 0.0
    deviations: Floats = np.sqrt(variance)
    return deviations


def _summed(total: float, x: Floats) -> Floats:
    x[0] += total
    return np.cumsum(x, out=x)


def _stddev(step: statistics.Deviation, kind: Kind) -> Program | None:
    if kind not in NUMERIC:
        return None

    def run(t: Floats, c: Any) -> Any:
        x = numbers_of(c)
        total, squares = np.empty(len(x)), np.empty(len(x))
        before = step.n
        at = 0
        while at < len(x):  # up to the next time that the shift moves
            if step.n & (step.n - 1) == 0:
                step.centre(float(x[at]))
            stop = min(len(x), at + (1 << step.n.bit_length()) - step.n)
            away = x[at:stop] - step.shift
            squares[at:stop] = _summed(step.squares, away * away)
            total[at:stop] = _summed(step.total, away)
            step.n += stop - at
            step.total, step.squares = float(total[stop - 1]), float(squares[stop - 1])
            at = stop
        return _deviations(squares, total, np.arange(before + 1, step.n + 1))

    return Program("float", run)


def _sums(carried: Floats, codes: NDArray[np.intp], x: Floats) -> Floats:
    """Return the sum for each group, added up one by one."""
    k = len(carried)
    return np.bincount(np.concatenate([np.arange(k), codes]), np.concatenate([carried, x]), k).astype(np.float64)


def _ranks(codes: NDArray[np.intp], counts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return how many rows of its group come before each row."""
    order = np.argsort(codes, kind="stable")
    ranks = np.empty(len(codes), np.intp)
    ranks[order] = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    return ranks


def _grouped_stddev(part: Part, kind: Kind) -> tuple[Kind, GroupRun] | None:
    if kind not in NUMERIC:
        return None

    def run(g: Groups) -> Any:
        x = numbers_of(g.column)
        n, shift = g.state(part, "n", 0), g.state(part, "shift", 0.0)
        total, squares = g.state(part, "total", 0.0), g.state(part, "squares", 0.0)
        counts = g.counts()
        before = n[g.codes] + (np.arange(len(x)) if g.k == 1 else _ranks(g.codes, counts))
        level = np.frexp(before.astype(np.float64))[1]  # the shift moves where it rises
        for at in range(int(level.min()), int(level.max()) + 1):
            rows = np.flatnonzero(level == at)
            codes = g.codes[rows]
            if at == 0:
                shift[codes] = x[rows]
            else:
                m = 1 << (at - 1)
                moving = codes[before[rows] == m]
                to = shift[moving] + total[moving] / m
                moved = to - shift[moving]
                squares[moving] -= moved * (2.0 * total[moving] - m * moved)
                total[moving] -= m * moved
                shift[moving] = to
            away = x[rows] - shift[codes]
            squares, total = _sums(squares, codes, away * away), _sums(total, codes, away)
        n = n + counts
        for name, state in (("n", n), ("shift", shift), ("total", total), ("squares", squares)):
            g.remember(part, name, state.tolist())
        return _deviations(squares, total, n)

    return "float", run


def _quantile(numbers: Floats, q: float) -> float:
    """Return a quantile of numbers, which change their order."""
    rank = (len(numbers) - 1) * q
    whole = math.floor(rank)
    numbers.partition((whole, min(whole + 1, len(numbers) - 1)))
    return statistics.between(float(numbers[whole]), float(numbers[min(whole + 1, len(numbers) - 1)]), rank - whole)


def _quantiles(x: Floats, codes: NDArray[np.intp], counts: NDArray[np.intp], q: float) -> Floats:
    """Return the quantile for each group."""
    ordered = x[np.lexsort((x, codes))]
    first = np.cumsum(counts) - counts
    rank = (counts - 1) * q
    whole = np.floor(rank).astype(np.intp)
    part = rank - whole
    a, b = ordered[first + whole], ordered[first + np.minimum(whole + 1, counts - 1)]
    found: Floats = np.where(part < 0.5, a + (b - a) * part, b - (b - a) * (1.0 - part))
    found[(part == 0) | (a == b)] = a[(part == 0) | (a == b)]
    return found


def _grouped_quantile(part: Part, kind: Kind) -> tuple[Kind, GroupRun] | None:
    if kind not in NUMERIC:
        return None
    q = values.number(part.given[0])
    most = part.limits.script_points_max

    def run(g: Groups) -> Any:
        x = numbers_of(g.column) + 0.0
        if not np.isfinite(x).all():
            raise RowByRow
        kept: list[tuple[Floats, ...]] = g.states(part, "numbers", ())
        carried = np.array([sum(map(len, arrays)) for arrays in kept], np.intp)
        counts = g.counts()
        if (carried + counts > most).any() or (carried > CARRIED_MAX * counts).any():
            raise RowByRow
        if g.k == 1:
            arrays = (*kept[0], x)
            found = np.array([_quantile(np.concatenate(arrays), q)])
            g.remember(part, "numbers", [arrays])
            return found
        found = _quantiles(x, g.codes, counts, q)
        order = np.argsort(g.codes, kind="stable")
        own = np.split(x[order], np.cumsum(counts)[:-1])
        for at in np.flatnonzero(carried).tolist():
            found[at] = _quantile(np.concatenate((*kept[at], own[at])), q)
        g.remember(part, "numbers", [(*arrays, new.copy()) for arrays, new in zip(kept, own, strict=True)])
        return found

    return "float", run


VALUES["stddev"] = _stddev
GROUPED["stddev"] = _grouped_stddev
GROUPED["quantile"] = _grouped_quantile
