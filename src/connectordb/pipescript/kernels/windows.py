"""Windows of time over columns; and the whole as one window, of which only the last result is wanted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...columns import Kind
from ..batch import Batch
from ..builtins import thinning, windows
from ..engine import Builder
from ..plan import Part
from ..registry import Copy
from .groups import Groups, RowByRow, grouped
from .program import NUMERIC, Floats, filled, numbers_of
from .stages import STAGES, StageRun

__all__ = ["starts", "total_program"]


def total_program(part: Part, kind: Kind, copy: Copy) -> Callable[[Batch], Batch | None] | None:
    """Return what feeds a batch to *copy*, a running *part*, and gives the last of what comes out.

    It gives ``None`` if it has to be done row by row; so does this if that is known before.
    """
    found = grouped(part, kind)
    if found is None:
        return None
    reduce = found[1]

    def run(batch: Batch) -> Batch | None:
        groups = Groups(batch.times, batch.column, np.zeros(batch.n, np.intp), 1, [copy])
        try:
            with np.errstate(all="ignore"):
                result = reduce(groups)
        except RowByRow:
            return None
        groups.commit([copy])
        return Batch.of(batch.times[-1:], filled(result, 1))

    return run


def starts(of: windows.Windows, t: Floats) -> Floats:
    """Return the start of the window of each time stamp."""
    if isinstance(of, windows.ClockWindows):
        return _clock_starts(of, t)
    assert isinstance(of, windows.DateWindows)  # noqa: S101
    days, codes = _different(np.floor((t + _stretches(of, t)[1]) / windows.DAY_S))
    bounds = np.array([of.bounds(int(day)) for day in days.tolist()], np.float64)
    start: Floats = bounds[codes, 0]
    end: Floats = bounds[codes, 1]
    for row in np.flatnonzero((t < start) | (t >= end)).tolist():  # around midnight
        start[row] = of.start(float(t[row]))
    return start


def _clock_starts(of: windows.ClockWindows, t: Floats) -> Floats:
    changed, offset = _stretches(of, t)
    length = of.length_s
    start = np.floor((t + offset) / length) * length - offset
    start -= length * (start > t)
    start += length * (start + length <= t)
    before = np.flatnonzero(start < changed)
    if len(before):
        changes, codes = _different(changed[before])
        start[before] = np.array([of.at_change(int(at)) for at in changes.tolist()], np.float64)[codes]
    return start


def _stretches(of: windows.ClockWindows | windows.DateWindows, t: Floats) -> tuple[Floats, Floats]:
    """Return for each time stamp when its stretch began, and the offset."""
    of_all = windows.stretch_of(of.zone, float(t.min()))
    if windows.stretch_of(of.zone, float(t.max())) == of_all:
        return np.full(len(t), of_all[0], np.float64), np.full(len(t), of_all[1], np.float64)
    pages = _different(np.floor(np.floor(t) / windows.PAGE_S))[0]
    found = np.array([s for page in pages.tolist() for s in windows.stretches(of.zone, int(page))], np.float64)
    at = np.searchsorted(found[:, 0], t, "right") - 1
    return found[at, 0], found[at, 1]


def _different(x: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Return the different values of *x*, which mostly go in runs, and for each place which of them it is."""
    begins = np.concatenate([[True], x[1:] != x[:-1]])
    found, codes = np.unique(x[begins], return_inverse=True)
    return found, codes[np.cumsum(begins) - 1]


def _resample(part: Part, kind: Kind, builder: Builder) -> StageRun | None:
    by_group = grouped(part.scripts[0], kind)
    if by_group is None:
        return None
    reduce = by_group[1]
    state: windows.Resampling = builder.steps[id(part)].state

    def run(batch: Batch) -> Batch | None:
        t, c = batch.times, batch.column
        if not ((t >= windows.FIRST_S) & (t <= windows.LAST_S)).all():
            return None
        start = starts(state.windows, t)
        begins = np.concatenate([[start[0] != state.start], start[1:] != start[:-1]])
        going_on = None if begins[0] else state.group
        codes = np.cumsum(begins) - int(begins[0])
        k = int(codes[-1]) + 1
        groups = Groups(t, c, codes, k, [going_on] + [None] * (k - 1))
        try:
            with np.errstate(all="ignore"):
                results = reduce(groups)
        except RowByRow:
            return None
        held = state.held
        if k > 1 or going_on is None:
            going_on = state.group = state.script.renew()  # for the window that goes on after this batch
        groups.commit([None] * (k - 1) + [going_on])
        results = filled(results, k)
        times = start[groups.last]
        state.start = int(times[-1])
        state.held = float(times[-1]), results[-1:].tolist()[0]
        out = Batch.of(times[:-1], results[:-1]) if k > 1 else Batch([], [])
        if begins[0] and held is not None:
            return Batch([held[0]], [held[1]]).then(out)
        return out

    return run


def _lttb(part: Part, kind: Kind, builder: Builder) -> StageRun | None:
    if kind not in NUMERIC:
        return None
    state: thinning.Thinning = builder.steps[id(part)].state

    def run(batch: Batch) -> Batch | None:
        t, x = batch.times, numbers_of(batch.column)
        if not (np.isfinite(t).all() and np.isfinite(x).all()) or state.n + batch.n > part.limits.script_points_max:
            return None
        state.grow(batch.n)
        state.settle()
        state.kept.append((t, x))
        return Batch([], [])

    return run


STAGES["resample"] = _resample
STAGES["lttb"] = _lttb
