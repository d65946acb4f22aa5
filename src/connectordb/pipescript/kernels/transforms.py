"""Transforms that give one value for each, over columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...columns import Categories, Kind
from .. import values
from ..builtins import aggregate, dates, flow, numeric
from .program import NUMERIC, Floats, PointRun, Program, numbers_of, truth_of

__all__ = ["POINTS", "VALUES", "Kernel", "PointKernel", "different"]

Kernel = Callable[[Any, Kind], "Program | None"]
"""From a running transform and the kind of its input, to its program."""
PointKernel = Callable[[Any, Kind], "tuple[Kind, PointRun] | None"]
"""The same for one that gives time stamps of its own."""

VALUES: Final[dict[str, Kernel]] = {}
"""By the name of the transform."""
POINTS: Final[dict[str, PointKernel]] = {}


def kernel(*names: str) -> Callable[[Kernel], Kernel]:
    def register(kernel: Kernel) -> Kernel:
        VALUES.update(dict.fromkeys(names, kernel))
        return kernel

    return register


def point_kernel(*names: str) -> Callable[[PointKernel], PointKernel]:
    def register(kernel: PointKernel) -> PointKernel:
        POINTS.update(dict.fromkeys(names, kernel))
        return kernel

    return register


@kernel("t")
def _t(step: Any, kind: Kind) -> Program:
    return Program("float", lambda t, c: t)


@kernel("count", "i")
def _count(step: aggregate.Counter, kind: Kind) -> Program:
    def run(t: Floats, c: Any) -> Any:
        n = step.n
        step.n += len(t)
        return np.arange(n + 1, n + 1 + len(t))

    return Program("int", run)


def _running_sum(total: float, x: Floats) -> Floats:
    """Return the sums of *total* and the first values, added up one by one."""
    added = x.copy()
    added[0] += total
    return np.cumsum(added, out=added)


@kernel("sum")
def _sum(step: aggregate.Sum, kind: Kind) -> Program | None:
    if kind not in NUMERIC:
        return None

    def run(t: Floats, c: Any) -> Any:
        sums = _running_sum(step.total, numbers_of(c))
        step.total = float(sums[-1])
        return sums

    return Program("float", run)


@kernel("mean")
def _mean(step: aggregate.Mean, kind: Kind) -> Program | None:
    if kind not in NUMERIC:
        return None

    def run(t: Floats, c: Any) -> Any:
        sums = _running_sum(step.total, numbers_of(c))
        step.total = float(sums[-1])
        n = step.n
        step.n += len(sums)
        sums /= np.arange(n + 1, n + 1 + len(sums))
        return sums

    return Program("float", run)


@kernel("alltrue", "anytrue")
def _all_or_any(step: aggregate.AllTrue | aggregate.AnyTrue, kind: Kind) -> Program | None:
    if kind not in NUMERIC:
        return None
    accumulate = np.logical_and if isinstance(step, aggregate.AllTrue) else np.logical_or

    def run(t: Floats, c: Any) -> Any:
        result = accumulate.accumulate(truth_of(c))
        result = accumulate(result, step.result)
        step.result = bool(result[-1])
        return result

    return Program("bool", run)


@kernel("first")
def _first(step: flow.First, kind: Kind) -> Program:
    def run(t: Floats, c: Any) -> Any:
        result = np.zeros(len(t), np.bool_)
        result[0] = step.is_next
        step.is_next = False
        return result

    return Program("bool", run)


@kernel("dt")
def _dt(step: flow.Passed, kind: Kind) -> Program:
    def run(t: Floats, c: Any) -> Any:
        before = np.concatenate([[step.previous], t[:-1]])
        step.previous = float(t[-1])
        return np.where(before != 0, t - before, 0.0)

    return Program("float", run)


def _meanings(column: Categories) -> NDArray[np.intp]:
    """Return codes of which two are the same if the texts are equal in the sense of ``==``."""
    known: dict[Any, int] = {}
    codes = []
    for label in column.labels:
        number = values.number_in(label)
        codes.append(known.setdefault(label if number is None else (number,), len(known)))
    return np.array(codes, np.intp)[column.codes]


@kernel("changed")
def _changed(step: aggregate.Changed, kind: Kind) -> Program | None:
    if kind not in NUMERIC and kind != "text":
        return None

    def run(t: Floats, c: Any) -> Any:
        compared = _meanings(c) if isinstance(c, Categories) else numbers_of(c)
        result = np.empty(len(t), np.bool_)
        result[0] = step(float(t[0]), c[:1].tolist()[0])
        np.not_equal(compared[1:], compared[:-1], out=result[1:])
        step.previous = c[-1:].tolist()[0]
        return result

    return Program("bool", run)


@kernel("contains", "wc", "length", "domain")
def _of_text(step: Any, kind: Kind) -> Program | None:
    if kind != "text":
        return None

    def run(t: Floats, c: Any) -> Any:
        found = [step(0.0, label) for label in c.labels]
        if isinstance(found[0], str):
            return relabelled(c.codes, found)
        return np.array(found)[c.codes]

    probe = step(0.0, "")
    return Program("text" if isinstance(probe, str) else "bool" if isinstance(probe, bool) else "int", run)


def relabelled(codes: NDArray[np.intp], labels: list[str]) -> Categories:
    """Return a column of text from labels some of which may be alike."""
    known: dict[str, int] = {}
    merged = np.array([known.setdefault(label, len(known)) for label in labels], np.intp)
    return Categories(merged[codes], list(known))


@kernel("bucket")
def _bucket(step: numeric.Bucket, kind: Kind) -> Program | None:
    if kind not in NUMERIC:
        return None

    def run(t: Floats, c: Any) -> Any:
        n = np.floor((numbers_of(c) - step.origin) / step.width if step.width else np.full(len(t), np.nan))
        values_, codes = different(n)
        return relabelled(codes, [step.name(x) for x in values_.tolist()])

    # a width of 0 gives infinities of either sign, too
    return Program("text", run) if step.width else None


def different(x: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Return the different values in *x*, and for each place which of them it is."""
    low, high = x.min(), x.max()
    if high - low < 4 * len(x) + 1000 and (x == np.floor(x)).all():  # false where one is not finite
        offset = (x - low).astype(np.intp)
        occurs = np.zeros(int(high - low) + 1, np.bool_)
        occurs[offset] = True
        code = np.cumsum(occurs) - 1
        return np.flatnonzero(occurs) + low, code[offset]
    return np.unique(x, return_inverse=True)


_NS_MAX: Final = 9.2e9
"""Below this, in seconds, nanoseconds fit into 64 bits."""
_SLOT_S: Final = 900
_SLOTS_FROM: Final = 1e8
"""Since 1973 all offsets from UTC, and all changes of them, are at whole quarters of an hour."""


@kernel("hour", "day", "week")
def _whole_units(step: dates.Whole, kind: Kind) -> Program:
    def run(t: Floats, c: Any) -> Any:
        ns = (t * 1e9).astype(np.int64) - step.first_ns
        return np.where(ns >= 0, ns // step.unit_ns, -(-ns // step.unit_ns))

    return Program("int", run, (lambda t, c: bool((np.abs(t) < _NS_MAX).all()),))


@kernel("month", "year", "dayhour", "weekday", "monthday", "yearday", "yearmonth")
def _calendar(step: dates.Calendar, kind: Kind) -> Program:
    def run(t: Floats, c: Any) -> Any:
        slots, codes = different(np.floor(t / _SLOT_S))
        found = [step(float(slot) * _SLOT_S, None) for slot in slots]
        if isinstance(found[0], str):
            return relabelled(codes, found)
        return np.array(found, np.int64)[codes]

    probe: Kind = "text" if isinstance(step(0.0, None), str) else "int"
    return Program(probe, run, (lambda t, c: bool(((t > _SLOTS_FROM) & (t < _NS_MAX)).all()),))


@point_kernel("tshift")
def _tshift(step: flow.Shift, kind: Kind) -> tuple[Kind, PointRun]:
    return kind, lambda t, c: (t + step.seconds, c)
