"""Scripts for which it is enough to know of runs of numbers what is known without looking at them.

``mean | if last`` is one: the sum and the number of a run of datapoints do for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .plan import Part
from .syntax import Binary, Object, Pipe, Unary

__all__ = ["folds", "is_extreme", "is_first", "is_last", "stages_of"]

_TOTALS: Final = frozenset({"count", "i", "sum", "mean"})
_EXTREMES: Final = frozenset({"min", "max"})
_NUMBERS: Final = (bool, int, float)


def stages_of(part: Part) -> Sequence[Part]:
    """Return the stages that *part* is made of, one behind the other."""
    return part.parts if isinstance(part.tree, Pipe) and part.transform is None and not part.constant else (part,)


def is_last(part: Part) -> bool:
    """Return whether a stage is ``if last``."""
    return part.transform is not None and part.transform.name == "if" and str(part.parts[0].tree) == "last"


def is_first(part: Part) -> bool:
    """Return whether a stage is ``if first``."""
    return part.transform is not None and part.transform.name == "if" and str(part.parts[0].tree) == "first"


def is_extreme(part: Part) -> bool:
    """Return whether a stage is ``min`` or ``max`` of the data themselves."""
    return part.transform is not None and part.transform.name in _EXTREMES and str(part.parts[0].tree) == "$"


def folds(part: Part) -> bool:
    """Return whether a script gives the same for what is known of runs of numbers as for the numbers."""
    stages = stages_of(part)
    if is_last(stages[0]):
        return True
    return len(stages) > 1 and is_last(stages[1]) and not stages[0].stateless and _is_known(stages[0])


def _is_known(part: Part) -> bool:
    """Return whether the last value of a part follows from what is known of runs."""
    if isinstance(part.tree, Object) and part.transform is None and not part.constant:
        return all(map(_is_known, part.parts))
    return _is_number(part)


def _is_number(part: Part) -> bool:
    """The same, if the value is a number (or true or false) too: then nothing that is done with it can fail."""
    if part.constant:
        return part.failure is None and isinstance(part.value, _NUMBERS)
    if part.transform is not None:
        name = part.transform.name
        if name in ("$", "d"):
            return part.given == (None,)
        return name == "t" or name in _TOTALS or is_extreme(part)
    if isinstance(part.tree, Pipe):  # what stands behind is done with the last value alone
        return (
            not (part.parts[0].stateless or part.retimes) and all(map(_is_number, part.parts)) and _ends_stateless(part)
        )
    return isinstance(part.tree, Unary | Binary) and all(map(_is_number, part.parts))


def _ends_stateless(part: Part) -> bool:
    return all(stage.stateless and not stage.constant for stage in part.parts[1:])
