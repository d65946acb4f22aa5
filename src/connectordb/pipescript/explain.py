"""What a script is going to do, for those who wrote it."""

from __future__ import annotations

from typing import Final

import msgspec

from ..columns import Column, Kind, numpy
from .batch import Batch
from .engine import Pipeline, Run, Stage, _FirstStage, _LastStage, _TotalStage
from .fold import folds, stages_of
from .script import Script
from .syntax import Pipe

__all__ = ["Explanation", "StageExplanation", "explain"]


class StageExplanation(msgspec.Struct, frozen=True):
    """One stage of a script.

    Attributes:
        text: The stage, in brackets and commas.
        one_to_one: Gives one datapoint for each it gets.
        stateless: What it gives depends on one datapoint alone.
        looks_ahead: Has to wait for later datapoints.
        columns: For which kinds of data it works on whole columns; for all others, row by row.
        notes: What is done otherwise than the text says, to the same end.
    """

    text: str
    one_to_one: bool
    stateless: bool
    looks_ahead: bool
    columns: tuple[Kind, ...]
    notes: tuple[str, ...] = ()


class Explanation(msgspec.Struct, frozen=True):
    """A script.

    Attributes:
        text: The script, in brackets and commas: it shows how it was read.
        stages: What it does, one after the other.
    """

    text: str
    stages: tuple[StageExplanation, ...]


_KINDS: Final[tuple[Kind, ...]] = ("float", "int", "mixed", "bool", "text")


def explain(script: Script) -> Explanation:
    """Return what *script* is going to do.

    >>> from connectordb.pipescript import compile_script
    >>> [(stage.text, stage.columns) for stage in explain(compile_script("if $ > 5 | new")).stages]
    [('if($ > 5)', ('float', 'int', 'mixed', 'bool')), ('new', ())]
    """
    parts = stages_of(script.part)
    running = {id(stage.part): stage for stage in Pipeline(script.part, Run()).stages}
    written = len(script.tree.stages) if isinstance(script.tree, Pipe) else 1
    found: list[StageExplanation] = []
    for part in parts:
        stage = running.get(id(part))
        notes = []
        if part.constant and part is parts[0] and written > len(parts):
            notes.append("a constant: what stands before it is not worked out")
        if isinstance(stage, _TotalStage):
            notes.append("worked out only for the last datapoint, as 'if last' follows")
        if isinstance(stage, _LastStage):
            notes.append("keeps the datapoint that came last, and looks at no other")
        if isinstance(stage, _FirstStage):
            notes.append("ends with the first datapoint: no other is read")
        if part is parts[0] and folds(script.part):
            notes.append("of blocks of numbers in a stream, what is known of each block will do")
        if stage is None:
            columns = found[-1].columns
            notes.append("done together with the stage before")
        else:
            columns = tuple(kind for kind in _KINDS if _runs_over_columns(stage, kind))
        found.append(
            StageExplanation(str(part.tree), part.one_to_one, part.stateless, part.peeks, columns, tuple(notes))
        )
    return Explanation(str(script), tuple(found))


def _runs_over_columns(stage: Stage, kind: Kind) -> bool:
    if numpy() is None:
        return False
    if isinstance(stage, _TotalStage):
        from .kernels import total_program

        return total_program(stage.part, kind, stage.copy) is not None
    for column in stage.columns:
        column.now = Batch.of(numpy().zeros(0), _empty(kind))
    return stage.knows(kind)


def _empty(kind: Kind) -> Column:
    from ..columns import Categories, Mixed

    np = numpy()
    if kind == "text":
        return Categories(np.zeros(0, np.intp), [])
    if kind == "mixed":
        return Mixed(np.zeros(0), np.zeros(0, np.bool_))
    return np.zeros(0, {"float": np.float64, "int": np.int64, "bool": np.bool_}[kind])  # type: ignore[no-any-return]
