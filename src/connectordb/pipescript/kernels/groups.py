"""What a script gives last for each of several groups of rows: the work of `map` and `while`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...columns import Kind, Mixed, Records, fits_mixed
from ..engine import Builder, Run
from ..plan import Part
from ..registry import Copy
from ..syntax import Object, Pipe
from .expression import may_grow, value_program
from .program import NUMERIC, ColumnRun, Floats, Program, filled, numbers_of, operator

__all__ = ["GROUPED", "GroupRun", "Groups", "RowByRow", "grouped"]


@dataclass(slots=True)
class Groups:
    """Rows, and to which group each belongs.

    Attributes:
        codes: The group of each row; each group has at least one.
        k: How many groups there are.
        copies: For each group the copy of the script whose state it goes on from; ``None`` for a fresh start.
        writes: What the copies are to remember, if all goes well.
    """

    t: Floats
    column: Any
    codes: NDArray[np.intp]
    k: int
    copies: list[Copy | None]
    writes: list[tuple[Part, str, list[Any]]] = field(default_factory=list)
    last: NDArray[np.intp] = field(init=False)

    def __post_init__(self) -> None:
        if self.k == 1:
            self.last = np.array([len(self.codes) - 1], np.intp)
            return
        self.last = np.empty(self.k, np.intp)
        self.last[self.codes] = np.arange(len(self.codes))  # the last row of a group is written last

    def state(self, part: Part, name: str, fresh: Any) -> Any:
        """Return what the copies remember, for each group."""
        return np.array(self.states(part, name, fresh), type(fresh))

    def states(self, part: Part, name: str, fresh: Any) -> list[Any]:
        return [fresh if copy is None else getattr(copy.steps[id(part)], name) for copy in self.copies]

    def remember(self, part: Part, name: str, state: list[Any]) -> None:
        """Let the copies remember it, once all is done."""
        self.writes.append((part, name, state))

    def commit(self, copies: list[Copy | None]) -> None:
        """Write to *copies* what they are to remember."""
        for part, name, state in self.writes:
            for copy, value in zip(copies, state, strict=True):
                if copy is not None:
                    setattr(copy.steps[id(part)], name, value)

    def sums(self, carried: Floats, x: Floats) -> Floats:
        """Return the sum for each group, added up one by one."""
        everything = np.concatenate([carried, x])
        if self.k == 1:
            return np.cumsum(everything, out=everything)[-1:]
        return np.bincount(np.concatenate([np.arange(self.k), self.codes]), everything, self.k).astype(np.float64)

    def counts(self) -> NDArray[np.intp]:
        return np.array([len(self.codes)], np.intp) if self.k == 1 else np.bincount(self.codes, minlength=self.k)


GroupRun = Callable[[Groups], Any]


def grouped(part: Part, kind: Kind) -> tuple[Kind, GroupRun] | None:
    """Return the program for what a script gives last for each group."""
    if part.stateless and not part.retimes:
        program = _stateless(part, kind)
        if program is None:
            return None
        run = program.run
        return program.kind, lambda g: filled(run(g.t[g.last], g.column[g.last]), g.k)
    if part.transform is not None:
        return GROUPED[part.transform.name](part, kind) if part.transform.name in GROUPED else None
    if isinstance(part.tree, Pipe):
        return _grouped_pipe(part, kind)
    if isinstance(part.tree, Object):
        return _grouped_object(part, kind)
    found = [grouped(operand, kind) for operand in part.parts]
    operands = [operand for operand in found if operand is not None]
    if len(operands) < len(found):
        return None
    runs = [run for _, run in operands]
    programs = [Program(k, _nth(at)) for at, (k, _) in enumerate(operands)]
    combined = operator(part, programs)
    if combined is None:
        return None
    combine = combined.run
    return combined.kind, lambda g: combine(g.t, [run(g) for run in runs])


def _grouped_object(part: Part, kind: Kind) -> tuple[Kind, GroupRun] | None:
    assert isinstance(part.tree, Object)  # noqa: S101
    keys = [key for key, _ in part.tree.items]
    found = [grouped(value, kind) for value in part.parts]
    known = [value for value in found if value is not None]
    if len(known) < len(found) or may_grow(part, [kind for kind, _ in known]):
        return None
    runs = [run for _, run in known]
    return "record", lambda g: Records({key: filled(run(g), g.k) for key, run in zip(keys, runs, strict=True)})


def _nth(at: int) -> ColumnRun:
    return lambda t, columns: columns[at]


def _stateless(part: Part, kind: Kind) -> Program | None:
    """Return the program for a part without a state."""
    builder = Builder(Run(columnwise=False))
    builder.value(part)
    program = None if builder.columns else value_program(part, kind, builder)
    return None if program is None or program.ready or program.kind == "record" else program


def _grouped_pipe(part: Part, kind: Kind) -> tuple[Kind, GroupRun] | None:
    before: list[ColumnRun] = []
    first = next(at for at, stage in enumerate(part.parts) if not stage.stateless or stage.retimes)
    for stage in part.parts[:first]:
        program = _stateless(stage, kind)
        if program is None:
            return None
        before.append(program.run)
        kind = program.kind
    reduced = grouped(part.parts[first], kind)
    if reduced is None or (part.retimes and part.parts[first + 1 :]):  # what follows may ask for the time
        return None
    kind, reduce = reduced
    after: list[ColumnRun] = []
    for stage in part.parts[first + 1 :]:
        program = _stateless(stage, kind) if stage.stateless and not stage.retimes else None
        if program is None:
            return None
        after.append(program.run)
        kind = program.kind

    def run(g: Groups) -> Any:
        column = g.column
        for each in before:
            column = filled(each(g.t, column), len(g.t))
        result = reduce(Groups(g.t, column, g.codes, g.k, g.copies, g.writes))
        times = g.t[g.last]
        for each in after:
            result = filled(each(times, result), g.k)
        return result

    return kind, run


def _grouped_count(part: Part, kind: Kind) -> tuple[Kind, GroupRun] | None:
    fresh = 0 if part.transform is not None and part.transform.name == "count" else -1

    def run(g: Groups) -> Any:
        n = g.state(part, "n", fresh) + g.counts()
        g.remember(part, "n", n.tolist())
        return n

    return "int", run


def _grouped_sum(part: Part, kind: Kind) -> tuple[Kind, GroupRun] | None:
    if kind not in NUMERIC:
        return None

    def run(g: Groups) -> Any:
        totals = g.sums(g.state(part, "total", 0.0), numbers_of(g.column))
        g.remember(part, "total", totals.tolist())
        return totals

    return "float", run


def _grouped_mean(part: Part, kind: Kind) -> tuple[Kind, GroupRun] | None:
    if kind not in NUMERIC:
        return None

    def run(g: Groups) -> Any:
        totals = g.sums(g.state(part, "total", 0.0), numbers_of(g.column))
        n = g.state(part, "n", 0) + g.counts()
        g.remember(part, "total", totals.tolist())
        g.remember(part, "n", n.tolist())
        return totals / n

    return "float", run


class RowByRow(Exception):
    """The values are such that it has to be done row by row."""


def _grouped_extreme(part: Part, kind: Kind) -> tuple[Kind, GroupRun] | None:
    if kind not in ("float", "int", "mixed") or str(part.parts[0].tree) != "$":
        return None
    assert part.transform is not None  # noqa: S101
    sign = 1.0 if part.transform.name == "max" else -1.0

    def run(g: Groups) -> Any:
        x = sign * numbers_of(g.column)
        if not np.isfinite(x).all():
            raise RowByRow
        before = g.state(part, "best", -np.inf)
        best = before.copy()
        if g.k == 1:
            found = np.array([x.argmax()])
            best = np.maximum(before, x[found])
        else:
            np.maximum.at(best, g.codes, x)
            found = np.full(g.k, -1, np.intp)
            winners = np.flatnonzero(x == best[g.codes])[::-1]
            found[g.codes[winners]] = winners  # the earliest is written last
        held = g.states(part, "held", None)
        better = np.flatnonzero(best > before)
        rows = found[better]
        for at, t, d in zip(better.tolist(), g.t[rows].tolist(), g.column[rows].tolist(), strict=True):
            held[at] = (t, d)
        g.remember(part, "best", best.tolist())
        g.remember(part, "held", held)
        return _mixed([d for _, d in held])

    return "mixed", run


def _mixed(numbers: list[Any]) -> Mixed:
    if not all(map(fits_mixed, numbers)):  # held since before these numbers
        raise RowByRow
    return Mixed(np.array(numbers, np.float64), np.array([type(x) is int for x in numbers], np.bool_))


GROUPED: Final[dict[str, Callable[[Part, Kind], tuple[Kind, GroupRun] | None]]] = {
    "count": _grouped_count,
    "i": _grouped_count,
    "sum": _grouped_sum,
    "mean": _grouped_mean,
    "max": _grouped_extreme,
    "min": _grouped_extreme,
}
