"""Many samples, made into a table and into JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Any

from .catalogue import FIGURES, PEERS, Bound, Figure, Target
from .machine import shown
from .timing import percentile
from .workbench import Sample

__all__ = ["markdown", "summarise", "table"]

_HEADINGS = (
    "figure",
    "unit",
    "median",
    "min",
    "max",
    "p50 ms",
    "p99 ms",
    "peer or floor",
    "ratio",
    "must",
    "goal",
    "",
    "digest",
)
_LEFT = {0, 1, 7, 11, 12}

MEASURED = "measured"
"""Of what a bound is made of: it was measured in the same round, or the bound says the figure itself."""
SCALED = "scaled"
"""The peer is not here: what it did on the reference machine, times what the floor does here over what it did there."""
REFERENCE = "reference"
"""The peer is not here, and no floor tells: what it did on the reference machine."""
_MARKS = {MEASURED: "", SCALED: "*", REFERENCE: "**"}
_LEGEND = (
    "*  not measured here: PERFORMANCE.md's figure of the peer, times what the floor did here over what it did there.",
    "** not measured here: PERFORMANCE.md's figure of the peer as it is.",
)


def summarise(samples: Mapping[str, Sequence[Sample]]) -> dict[str, Any]:
    """Return for each figure what its runs come to; a ratio is the median of the ratios of the runs."""
    return {figure.name: _summary(figure, samples[figure.name]) for figure in FIGURES if figure.name in samples}


def _summary(figure: Figure, runs: Sequence[Sample]) -> dict[str, Any]:
    values = [run.value for run in runs]
    latencies = [ms for run in runs for ms in run.latencies_ms]
    titles = {floor.key: floor.title for floor in figure.floors}
    titles |= {key: name for key, name in PEERS.items() if all(key in run.floors for run in runs)}
    summary: dict[str, Any] = {
        "title": figure.title,
        "unit": figure.unit,
        **_spread(values),
        "p50_ms": percentile(latencies, 0.5) if latencies else None,
        "p99_ms": percentile(latencies, 0.99) if latencies else None,
        "digest": " ".join(sorted({run.digest for run in runs})),
        "floors": {
            key: {
                "title": title,
                "peer": key in PEERS,
                **_spread([run.floors[key] for run in runs]),
                "ratio": median(run.value / run.floors[key] for run in runs),
            }
            for key, title in titles.items()
        },
    }
    if figure.target is not None:
        must, goal = (_bound(figure.target, bound, runs, titles) for bound in (figure.target.must, figure.target.goal))
        verdict = "goal" if _reached(figure, goal) else "must" if _reached(figure, must) else "BELOW"
        summary["target"] = {"row": figure.target.row, "must": must, "goal": goal, "verdict": verdict}
    return summary


def _spread(values: Sequence[float]) -> dict[str, Any]:
    return {"median": median(values), "min": min(values), "max": max(values), "values": list(values)}


def _bound(target: Target, bound: Bound, runs: Sequence[Sample], titles: Mapping[str, str]) -> dict[str, Any]:
    """Return what *bound* comes to in the figure's unit, how near the runs came to it, and what it is made of."""
    if not bound.of:
        origin, values = MEASURED, [bound.factor for _ in runs]
    elif bound.of in titles and all(bound.of in run.floors for run in runs):
        origin, values = MEASURED, [bound.factor * run.floors[bound.of] for run in runs]
    elif target.floor:
        factor = bound.factor * bound.reference / target.floor_reference
        origin, values = SCALED, [factor * run.floors[target.floor] for run in runs]
    else:
        origin, values = REFERENCE, [bound.factor * bound.reference for _ in runs]
    return {
        "of": bound.of,
        "factor": bound.factor,
        "said": f"{bound.factor:g} x {titles.get(bound.of) or PEERS[bound.of]}" if bound.of else "",
        "origin": origin,
        "value": median(values),
        "ratio": median(run.value / value for run, value in zip(runs, values, strict=True)),
    }


def _reached(figure: Figure, bound: Mapping[str, Any]) -> bool:
    return bool(bound["ratio"] <= 1 if figure.lower_is_better else bound["ratio"] >= 1)


def table(summary: Mapping[str, Any], *, meaningful: bool) -> str:
    """Return the figures as a table for a terminal, and below it what the targets are made of.

    Args:
        meaningful: Whether so much was measured that a verdict can be given.
    """
    rows: list[tuple[str, ...]] = [_HEADINGS]
    notes = []
    for name, one in summary.items():
        own = [f"{name}: {one['title']}", one["unit"], *(_number(one[key]) for key in ("median", "min", "max"))]
        own += [_number(one["p50_ms"]), _number(one["p99_ms"])]
        wanted = ["", "", ""]
        if target := one.get("target"):
            bounds = (target["must"], target["goal"])
            wanted = [_number(bound["value"]) + _MARKS[bound["origin"]] for bound in bounds]
            wanted.append(target["verdict"] if meaningful else "")
            must, goal = (bound["said"] or _number(bound["value"]) for bound in bounds)
            notes.append(f"  {name:6} {must} / {goal}  (row {target['row']})")
        compared = [
            [f"{_number(floor['median'])}  {floor['title']}", f"{floor['ratio']:.2f}"]
            for floor in one["floors"].values()
        ]
        first, *more = compared or [["", ""]]
        rows.append((*own, *first, *wanted, one["digest"]))
        rows += [(*[""] * len(own), *cells, "", "", "", "") for cells in more]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADINGS))]
    lines = [
        "  ".join(
            cell.ljust(width) if i in _LEFT else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "-" * max(len(line) for line in lines))
    return "\n".join([*lines, "", "Must and goal are those of PERFORMANCE.md, in the figure's unit:", *notes, *_LEGEND])


def markdown(result: Mapping[str, Any]) -> str:
    """Return what ``--json`` has written as a table for a page, with all that belongs to a figure above it."""
    machine = result["machine"]
    lines = [
        f"`python -m bench {' '.join(result['arguments'])}`, {_date(result['begun'])}, commit `{machine['commit']}`: "
        f"median (least – greatest) of {result['runs']} runs. {shown(machine)}.",
        "",
        "| figure | ConnectorDB | peers and floors | ratio | must | goal | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, one in result["figures"].items():
        own = f"{_number(one['median'])} ({_number(one['min'])} – {_number(one['max'])}) {one['unit']}"
        floors = one["floors"].values()
        beside = "<br>".join(f"{floor['title']}: {_number(floor['median'])}" for floor in floors)
        ratios = "<br>".join(f"{floor['ratio']:.2f}" for floor in floors)
        cells = [f"`{name}` {one['title']}", own, beside, ratios, "", "", ""]
        if target := one.get("target"):
            cells[4:6] = [_said(target["must"]), _said(target["goal"])]
            cells[6] = target["verdict"]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, "", *(line.replace("*", "\\*") + "  " for line in _LEGEND), ""])


def _said(bound: Mapping[str, Any]) -> str:
    mark = _MARKS[bound["origin"]].replace("*", "\\*")
    return f"{_number(bound['value'])}{mark}" + (f" ({bound['said']})" if bound["said"] else "")


def _date(begun: float) -> str:
    return datetime.fromtimestamp(begun, UTC).date().isoformat()


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
