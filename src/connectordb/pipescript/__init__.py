"""PipeScript: the query language of ConnectorDB.

>>> transform("if $ > 5 | count", [{"t": 1.0, "d": 7}, {"t": 2.0, "d": 3}, {"t": 3.0, "d": 6}])
[{'t': 1.0, 'd': 1}, {'t': 3.0, 'd': 2}]
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from . import builtins
from .batch import Batch
from .dataset import Column, dataset, times
from .explain import explain
from .interpolate import find_interpolator
from .merging import batched, merge, points_of
from .plan import Settings
from .registry import meta_interpolators, meta_transforms
from .script import Running, Script, batches_of, compile_script

__all__ = [
    "Batch",
    "Column",
    "Running",
    "Script",
    "Settings",
    "batched",
    "batches_of",
    "builtins",
    "compile_script",
    "dataset",
    "explain",
    "find_interpolator",
    "merge",
    "meta_interpolators",
    "meta_transforms",
    "points_of",
    "times",
    "transform",
]


def transform(script: str, datapoints: Iterable[Any]) -> list[dict[str, Any]]:
    """Run *script* over *datapoints*, and return what comes out.

    Args:
        datapoints: Dictionaries with ``t`` and ``d`` (a `DatapointArray`, for instance), or objects with these
            attributes, in order of time.

    Raises:
        ScriptError: the script cannot be read, or fails on a datapoint.
    """
    return [
        {"t": t, "d": d}
        for batch in compile_script(script).run_batches(batches_of(datapoints))
        for t, d in zip(batch.t, batch.d, strict=True)
    ]
