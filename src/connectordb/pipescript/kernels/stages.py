"""Stages over columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...columns import Categories, Column, Kind, Mixed, fits_mixed, kind_of
from .. import values
from ..batch import Batch
from ..builtins import aggregate, grouping
from ..engine import Builder, RunningInner
from ..plan import Part
from .expression import point_program, value_program
from .groups import Groups, RowByRow, grouped
from .program import NUMERIC, Program, filled, numbers_of, truth_of, whole_of
from .transforms import POINTS, different

__all__ = ["STAGES", "stage_program"]

StageRun = Callable[[Batch], Batch | None]
"""From a batch to a batch; ``None`` if it has to be done row by row."""


def stage_program(part: Part, kind: Kind, builder: Builder) -> StageRun | None:
    """Return what runs a stage over a batch whose values are of *kind*; ``None`` if that is not known here."""
    transform = part.transform
    if transform is not None and transform.name in STAGES:
        return STAGES[transform.name](part, kind, builder)
    if transform is not None and transform.name == "ifelse" and not any(script.retimes for script in part.scripts):
        program = value_program(part, kind, builder)
        return None if program is None else _value_stage(program)
    if transform is not None and transform.name in POINTS:
        point = point_program(part, kind, builder)
        if point is None:
            return None
        run = point[1]
        return lambda batch: Batch.of(*run(batch.times, batch.column))
    if part.retimes:
        return None
    program = value_program(part, kind, builder)
    return None if program is None else _value_stage(program)


def _value_stage(program: Program) -> StageRun:
    def run(batch: Batch) -> Batch | None:
        t, c = batch.times, batch.column
        if not all(ready(t, c) for ready in program.ready):
            return None
        with np.errstate(all="ignore"):
            result = program.run(t, c)
        if result is c:
            return batch
        return Batch.of(t, filled(result, len(t)))

    return run


def _if(part: Part, kind: Kind, builder: Builder) -> StageRun | None:
    condition = value_program(part.parts[0], kind, builder)
    if condition is None or condition.kind not in NUMERIC:
        return None

    def run(batch: Batch) -> Batch | None:
        t, c = batch.times, batch.column
        if not all(ready(t, c) for ready in condition.ready):
            return None
        with np.errstate(all="ignore"):
            passes = truth_of(condition.run(t, c))
        if passes.ndim == 0:
            return batch if passes else Batch([], [])
        which = np.flatnonzero(passes)
        if len(which) == batch.n:
            return batch
        assert c is not None  # noqa: S101
        return Batch.of(t[which], c[which])

    return run


def _map(part: Part, kind: Kind, builder: Builder) -> StageRun | None:
    key = value_program(part.parts[0], kind, builder)
    script = part.scripts[0]
    by_group = grouped(script, kind)
    if key is None or key.kind == "record" or by_group is None or not part.parts[0].stateless:
        return None
    reduce = by_group[1]
    split: grouping.Split = builder.steps[id(part)].state
    inner = split.script
    assert isinstance(inner, RunningInner)  # noqa: S101

    def run(batch: Batch) -> Batch | None:
        t, c = batch.times, batch.column
        if not all(ready(t, c) for ready in key.ready):
            return None
        with np.errstate(all="ignore"):
            codes, names = _keys(filled(key.run(t, c), len(t)))
        new = sum(name not in split.copies for name in names)
        room = inner.run.room
        too_many = len(split.copies) + new > room.limits.script_keys_max
        if too_many or room.copies + new * script.size > room.limits.script_copies_max:
            return None  # row by row comes to the one that is too many
        groups = Groups(t, c, codes, len(names), [split.copies.get(name) for name in names])
        try:
            with np.errstate(all="ignore"):
                latest = reduce(groups)
        except RowByRow:
            return None
        for name in names:
            if name not in split.copies:
                split.begin(name)
        groups.commit([split.copies[name] for name in names])
        if by_group[0] in NUMERIC:
            split.latest.update(zip(names, latest.tolist(), strict=True))
        else:
            for name, value in zip(names, latest.tolist(), strict=True):
                split.put(name, value)
        split.t = float(t[-1])
        return Batch([], [])

    return run


def _keys(column: Column) -> tuple[NDArray[np.intp], list[str]]:
    """Return the group of each row, and the key of each group, in the order in which they first occur."""
    if isinstance(column, Categories):
        codes, labels = column.codes, column.labels
    elif kind_of(column) == "bool":
        codes, labels = numbers_of(column).astype(np.intp), ["false", "true"]
    else:
        found, codes = different(numbers_of(column))
        labels = [values.text(x) for x in found.tolist()]
    first = np.full(len(labels), -1, np.intp)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)  # the first row of a group is written last
    present = np.flatnonzero(first >= 0)
    order = present[np.argsort(first[present])]
    place = np.empty(len(labels), np.intp)
    place[order] = np.arange(len(order))
    return place[codes], [labels[code] for code in order.tolist()]


def _while(part: Part, kind: Kind, builder: Builder) -> StageRun | None:
    condition = value_program(part.parts[0], kind, builder)
    script = part.scripts[0]
    by_group = None if script.retimes else grouped(script, kind)
    if condition is None or condition.kind not in NUMERIC or by_group is None:
        return None
    reduce = by_group[1]
    state: grouping.Groups = builder.steps[id(part)].state

    def run(batch: Batch) -> Batch | None:
        t, c = batch.times, batch.column
        if not all(ready(t, c) for ready in condition.ready):
            return None
        with np.errstate(all="ignore"):
            begins = ~filled(truth_of(condition.run(t, c)), len(t))
        going_on = state.group
        if going_on is None:
            begins[0] = True
        held = state.held
        codes = np.cumsum(begins)
        if begins[0]:
            codes -= 1
            going_on = None
        k = int(codes[-1]) + 1
        groups = Groups(t, c, codes, k, [going_on] + [None] * (k - 1))
        try:
            with np.errstate(all="ignore"):
                results = reduce(groups)
        except RowByRow:
            return None
        if k > 1 or going_on is None:
            going_on = state.group = state.script.renew()  # the group that goes on after this batch
        groups.commit([None] * (k - 1) + [going_on])
        times = t[groups.last]
        state.held = float(times[-1]), results[-1:].tolist()[0]
        out = Batch.of(times[:-1], results[:-1])
        if begins[0] and held is not None:
            return Batch([held[0]], [held[1]]).then(out)
        return out

    return run


def _extreme(part: Part, kind: Kind, builder: Builder) -> StageRun | None:
    if kind not in ("float", "int", "mixed") or str(part.parts[0].tree) != "$":
        return None
    step: aggregate.Extreme = builder.steps[id(part)]

    def run(batch: Batch) -> Batch | None:
        t, c = batch.times, batch.column
        x = step.sign * numbers_of(c)
        if not np.isfinite(x).all() or (step.held is not None and not fits_mixed(step.held[1])):
            return None
        assert c is not None  # noqa: S101
        held_t, held_d = step.held or (float(t[0]), c[:1].tolist()[0])
        best = np.maximum.accumulate(np.concatenate([[step.best], x]))
        at = np.maximum.accumulate(np.where(x > best[:-1], np.arange(1, len(x) + 1), 0))
        if at[-1]:
            row = int(at[-1]) - 1
            step.best = float(best[-1])
            step.held = batch.point(row)
        times = np.concatenate([[held_t], t])[at]
        whole = np.concatenate([[type(held_d) is int], whole_of(c)])[at]
        held: Any = held_d  # a number
        return Batch.of(times, Mixed(np.concatenate([[float(held)], numbers_of(c)])[at], whole))

    return run


STAGES: Final[dict[str, Callable[[Part, Kind, Builder], StageRun | None]]] = {
    "if": _if,
    "map": _map,
    "while": _while,
    "max": _extreme,
    "min": _extreme,
}
