"""Many samples, made into a table and into JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from .catalogue import FIGURES, Figure
from .timing import percentile
from .workbench import Sample

__all__ = ["summarise", "table"]

_HEADINGS = (
    "figure",
    "unit",
    "median",
    "min",
    "max",
    "p50 ms",
    "p99 ms",
    "floor",
    "ratio",
    "must",
    "goal",
    "",
    "digest",
)
_LEFT = {0, 1, 7, 11, 12}


def summarise(samples: Mapping[str, Sequence[Sample]]) -> dict[str, Any]:
    """Return for each figure what its runs come to; a ratio is the median of the ratios of the runs."""
    return {figure.name: _summary(figure, samples[figure.name]) for figure in FIGURES if figure.name in samples}


def _summary(figure: Figure, runs: Sequence[Sample]) -> dict[str, Any]:
    values = [run.value for run in runs]
    latencies = [ms for run in runs for ms in run.latencies_ms]
    summary: dict[str, Any] = {
        "title": figure.title,
        "unit": figure.unit,
        **_spread(values),
        "p50_ms": percentile(latencies, 0.5) if latencies else None,
        "p99_ms": percentile(latencies, 0.99) if latencies else None,
        "digest": " ".join(sorted({run.digest for run in runs})),
        "floors": {
            floor.key: {
                "title": floor.title,
                **_spread([run.floors[floor.key] for run in runs]),
                "ratio": median(run.value / run.floors[floor.key] for run in runs),
            }
            for floor in figure.floors
        },
    }
    target = figure.target
    if target is not None:
        reached = summary["median"] if target.floor is None else summary["floors"][target.floor]["ratio"]
        summary["target"] = {
            "floor": target.floor,
            "must": target.must,
            "goal": target.goal,
            "note": target.note,
            "verdict": _verdict(figure, reached, target.must, target.goal),
        }
    return summary


def _spread(values: Sequence[float]) -> dict[str, Any]:
    return {"median": median(values), "min": min(values), "max": max(values), "values": list(values)}


def _verdict(figure: Figure, reached: float, must: float, goal: float) -> str:
    sign = -1 if figure.lower_is_better else 1
    if sign * reached >= sign * goal:
        return "goal"
    return "must" if sign * reached >= sign * must else "BELOW"


def table(summary: Mapping[str, Any], *, meaningful: bool) -> str:
    """Return the figures as a table for a terminal, and below it how the targets were derived.

    Args:
        meaningful: Whether so much was measured that a verdict can be given.
    """
    rows: list[tuple[str, ...]] = [_HEADINGS]
    notes = []
    for name, one in summary.items():
        target = one.get("target")
        absolute = target is not None and target["floor"] is None
        own = [f"{name}: {one['title']}", one["unit"], *(_number(one[key]) for key in ("median", "min", "max"))]
        own += [_number(one["p50_ms"]), _number(one["p99_ms"])]
        for position, (key, floor) in enumerate(one["floors"].items() or [("", None)]):
            row = own if position == 0 else [""] * len(own)
            compared = [f"{_number(floor['median'])}  {floor['title']}", f"{floor['ratio']:.2f}"] if floor else ["", ""]
            row = [*row, *compared]
            if target is not None and (target["floor"] == key or absolute):
                verdict = target["verdict"] if meaningful else ""
                form = _number if absolute else "{:.2f}".format
                row += [form(target["must"]), form(target["goal"]), verdict]
            else:
                row += ["", "", ""]
            rows.append((*row, one["digest"] if position == 0 else ""))
        if target is not None:
            kind = one["unit"] if absolute else f"ratio to {one['floors'][target['floor']]['title']}"
            notes.append(f"  {name:6} {kind}: {target['note']}")
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADINGS))]
    lines = [
        "  ".join(
            cell.ljust(width) if i in _LEFT else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "-" * max(len(line) for line in lines))
    return "\n".join([*lines, "", "Must and goal, from PERFORMANCE.md:", *notes])


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
