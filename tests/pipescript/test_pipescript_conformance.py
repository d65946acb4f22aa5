"""The golden vectors of the 0.3 engine: each passes, or is listed under the rule by which we differ on purpose."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from connectordb.errors import NotFound, RequestError
from connectordb.pipescript import Batch, Settings, compile_script, queries
from connectordb.pipescript.interpolate import find_interpolator
from connectordb.pipescript.merging import batched, points_of
from connectordb.pipescript.queries import StreamQuery
from connectordb.pipescript.values import Failure

DATA = Path(__file__).parent / "data"
DEVIATIONS = json.loads((DATA / "deviations.json").read_text())
RULE_OF = {vector: rule for rule, entry in DEVIATIONS.items() for vector in entry["ids"]}
HAS_WORDS = importlib.util.find_spec("afinn") is not None


def vectors(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


def alike(a: Any, b: Any, tolerance: float) -> bool:
    """Return whether two values are the same, numbers by value."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, int | float) and isinstance(b, int | float):
        x, y = float(a), float(b)
        return x == y or abs(x - y) <= tolerance * max(abs(x), abs(y))
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key], tolerance) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(alike(x, y, tolerance) for x, y in zip(a, b, strict=True))
    return a == b


def full(points: Iterable[dict[str, Any] | None]) -> list[Any]:
    """Return datapoints with what 0.3 left out."""
    return [p if p is None else {"t": p.get("t", 0), "d": p.get("d")} for p in points]


# --- transforms


def run_script(vector: dict[str, Any]) -> tuple[str, list[Any]]:
    """Return the stage at which it fails, or ``ok``, and what came out."""
    try:
        script = compile_script(vector["script"], Settings(zone=vector.get("tz", "UTC")))
    except RequestError:
        return "parse", []
    outputs = []
    for key in ("data", "data2"):
        if key in vector:
            try:
                outputs.append([{"t": p.t, "d": p.d} for p in script.run(vector[key])])
            except RequestError:
                return "run", outputs
    return "ok", outputs


def passes_script(vector: dict[str, Any]) -> bool:
    stage, outputs = run_script(vector)
    if "error" in vector:
        return stage == {"encode": "run"}.get(vector["stage"], vector["stage"])
    tolerance = 1e-6 if "sentiment" in vector["script"] else 0.0
    if "distance" in vector["script"] or "^" in vector["script"]:
        tolerance = 1e-12
    wanted = [vector[key] for key in ("result", "result2") if key in vector]
    return stage == "ok" and all(alike(full(a), full(b), tolerance) for a, b in zip(outputs, wanted, strict=True))


# --- interpolators and queries


class MemorySource:
    """Streams in memory."""

    def __init__(self, streams: dict[str, list[dict[str, Any]]], *, by_time: bool) -> None:
        self.streams = {name: [(float(p["t"]), p["d"]) for p in points] for name, points in streams.items()}
        self.by_time = by_time

    def find(self, name: str) -> list[tuple[float, Any]]:
        if name not in self.streams:
            raise NotFound(f"no stream {name}")
        return self.streams[name]

    def read(self, query: StreamQuery) -> Iterable[Batch]:
        points = self.find(query.stream)
        if query.by_time or self.by_time:
            return batched([p for p in points if p[0] > query.t1 and (query.t2 <= 0 or p[0] <= query.t2)], 3)
        i1, i2 = query.resolve(len(points))
        return batched(points[i1:i2], 3)

    def read_after(self, stream: str, t1: float, before: int) -> Iterable[Batch]:
        points = self.find(stream)
        first = next((i for i, p in enumerate(points) if p[0] > t1), 0)
        return batched(points[max(0, first - before) :], 3)


def run_interpolator(vector: dict[str, Any]) -> tuple[str, list[Any]]:
    try:
        interpolator = find_interpolator(vector["interpolator"])
    except RequestError:
        return "parse", []
    value_at = interpolator.over(batched([(float(p["t"]), p["d"]) for p in vector["stream"]], 2))
    try:
        points = [value_at(t) for t in vector["times"]]
    except (RequestError, Failure):
        return "run", []
    return "ok", [p and {"t": p[0], "d": p[1]} for p in points]


PARSE = {"stream": queries.parse_stream, "merge": queries.parse_merge, "dataset": queries.parse_dataset}
OPEN: dict[str, Any] = {
    "stream": queries.open_stream,
    "merge": queries.open_merge,
    "dataset": queries.open_dataset,
}


def run_query(vector: dict[str, Any]) -> tuple[str, list[Any]]:
    kind, raw = vector["kind"], vector["query"]
    try:
        query: Any = PARSE[kind](raw)
    except RequestError:
        return "decode", []
    source = MemorySource(vector["streams"], by_time=kind == "stream" and raw.get("mode") == "t")
    try:
        batches = OPEN[kind](query, source)
    except RequestError:
        return "query", []
    out = []
    try:
        for t, d in points_of(batches):
            out.append({"t": t, "d": d})
    except RequestError:
        return ("mid" if out else "first"), out
    return "ok", out


def passes_query(vector: dict[str, Any]) -> bool:
    stage, out = run_interpolator(vector) if vector["kind"] == "interpolator" else run_query(vector)
    if "error" in vector:
        return stage == vector["stage"]
    return stage == "ok" and alike(full(out), full(vector["result"]), 0.0)


# --- the tests


@pytest.mark.parametrize(
    ("name", "number", "passes"),
    [("pipescript_vectors.jsonl", 4382, passes_script), ("query_vectors.jsonl", 832, passes_query)],
)
def test_each_vector_passes_or_is_listed(name, number, passes, capsys):
    failed, unneeded = [], []
    counts = dict.fromkeys(DEVIATIONS, 0)
    passed = left_out = 0
    for vector in vectors(name):
        if "sentiment" in vector.get("script", "") and not HAS_WORDS:
            left_out += 1
            continue
        rule = RULE_OF.get(vector["id"])
        if passes(vector):
            passed += 1
            if rule is not None:
                unneeded.append(vector["id"])
        elif rule is None:
            failed.append(vector["id"])
        else:
            counts[rule] += 1
    with capsys.disabled():
        print(f"\n{name}: {passed} pass; {left_out} left out for want of the package afinn; by rule of DEVIATIONS:")
        for rule, n in counts.items():
            if n:
                print(f"  {rule:>3} {n:4} {DEVIATIONS[rule]['rule']}")
    assert not failed, f"neither pass nor are listed: {failed}"
    assert not unneeded, f"are listed, but pass: {unneeded}"
    assert passed + left_out + sum(counts.values()) == number


def test_no_vector_is_listed_twice_or_unknown():
    ids = [vector for entry in DEVIATIONS.values() for vector in entry["ids"]]
    known = {v["id"] for name in ("pipescript_vectors.jsonl", "query_vectors.jsonl") for v in vectors(name)}
    assert len(ids) == len(set(ids))
    assert set(ids) <= known
