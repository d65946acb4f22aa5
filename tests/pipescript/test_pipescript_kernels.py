"""Whole columns give what row by row gives, bit for bit, and of the same types."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectordb.errors import ScriptError
from connectordb.pipescript import Batch, compile_script, engine
from connectordb.pipescript.kernels import groups, stages, transforms
from connectordb.pipescript.registry import TRANSFORMS

# --- random scripts of what there are kernels for, mixed with what there are none for

_LEAVES = ["$"] * 6 + ["5", "0", "2.5", "true", "count", "sum", "mean", "i", "t", "dt", "first", "changed", "'a'"]
_LEAVES += ["stddev", "quantile(0.5)"]
_AGGREGATES = ["count", "sum", "mean", "i", "$", "max", "min", "$ * 2 + 1", "sum / count", "$ * 2 | mean | $ + 1"]
_AGGREGATES += ["stddev", "quantile(0.4)", "{'a': mean, 'b': stddev}", "max - quantile(0)"]
_TIMED = ["weekday('UTC')", "dayhour('America/New_York')", "hour('UTC')", "day('Europe/Berlin')", "monthday('UTC')"]
_OPERATORS = ["+", "-", "*", "/", "%", "^", "<", ">", "<=", ">=", "==", "!=", "and", "or"]


class ScriptWriter:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def value(self, depth: int) -> str:
        choose = self.rng.choice
        if depth <= 0:
            return choose(_LEAVES)
        kind = self.rng.randrange(13)
        if kind == 12:
            branches = choose(
                [("1", "0"), ("1", "2.5"), ("sum", "$"), ("count", "-1"), ("$ * 2", "mean"), ("true", "first")]
            )
            return f"ifelse({self.value(depth - 1)}, {', '.join(branches)})"
        if kind < 6:
            return f"({self.value(depth - 1)} {choose(_OPERATORS)} {self.value(depth - 1)})"
        if kind == 6:
            return choose(["-", "not "]) + f"({self.value(depth - 1)})"
        if kind == 7:
            return f"({self.value(depth - 1)} | ({self.value(depth - 1)}))"
        if kind == 8:
            return choose(["next", "last", "next(3)"])
        if kind == 9:
            return choose(["bucket(3)", "bucket(0.5, 1)", "bucket(0)", "alltrue", "anytrue", "length", "contains('a')"])
        if kind == 10:
            return choose(_TIMED)
        return choose(["(tshift(5) | t)", "$ == 'a'", "$ != 5", "max", "remember($ > 1)", "wc"])

    def stage(self) -> str:
        kind = self.rng.randrange(14)
        choose = self.rng.choice
        if kind == 12:
            window = choose(["'1h'", "'15m'", "'6h', 'America/New_York'", "'1d', 'Asia/Kathmandu'"]).partition(", ")
            zone = window[2] or "'UTC'"
            return f"resample({window[0]}, {choose(_AGGREGATES).replace(' | ', ':')}, {zone})"
        if kind == 13:
            return choose([f"{self.value(2)} | if last", "lttb(3)", "lttb(50)"])
        if kind < 4:
            return self.value(2)
        if kind < 7:
            return f"if({self.value(2)})"
        if kind == 7:
            return f"map({self.value(1)}, {choose(_AGGREGATES).replace(' | ', ':')})"
        if kind == 8:
            return f"while({self.value(1)}, {choose(_AGGREGATES).replace(' | ', ':')})"
        if kind == 9:
            return "{'a': " + self.value(1).replace("next", "$").replace("last", "$") + ", 'b': sum}"
        return choose(["max", "min", "if last", "if first", "changed", "tshift(1)", "next", "count", "min | max"])

    def script(self) -> str:
        text = " | ".join(self.stage() for _ in range(self.rng.randint(1, 3)))
        return text.replace("$(3)", "$")


scripts = st.integers(0, 2**32).map(lambda seed: ScriptWriter(random.Random(seed)).script())
floats = st.floats(-100, 100).map(lambda x: round(x, 2))
integers = st.integers(-8, 8)
texts = st.sampled_from(["a", "b", "5", "5.0", "true", "", "a b"])
runs = st.one_of(
    st.lists(floats, min_size=1, max_size=20),
    st.lists(integers, min_size=1, max_size=20),
    st.lists(st.one_of(floats, integers), min_size=1, max_size=20),
    st.lists(st.booleans(), min_size=1, max_size=20),
    st.lists(texts, min_size=1, max_size=20),
    st.lists(st.one_of(floats, integers, texts, st.none(), st.just({"a": 1}), st.just(2**60)), min_size=1, max_size=6),
)
datas = st.lists(runs, max_size=4)
"""Batches, each of one type of values (or of none)."""


def run(script: Any, batches: list[list[Any]], *, columnwise: bool, start: float = 1.4e9) -> tuple[list[str], bool]:
    """Return what comes out, as text, for types to count too; and whether it ends in an error."""
    clock = itertools.count()
    made = [Batch([start + 1000.5 * (next(clock) // 2) for _ in d], list(d)) for d in batches]
    out: list[str] = []
    try:
        for batch in script.run_batches(made, columnwise=columnwise):
            out.extend(map(repr, zip(batch.t, batch.d, strict=True)))
    except ScriptError as e:
        return [*out, str(e)], True
    return out, False


@pytest.fixture(autouse=True)
def columns_of_any_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "COLUMNS_MIN", 1)


@settings(max_examples=1500, deadline=None)
@given(scripts, datas)
@example("max | sum", [["5"], [1, 2.5], [9.0]])
@example("while($ > 1, mean)", [[1, 2, 3], [4], [0], [0.5, 7]])
@example("map($, count)", [["b", "a"], [5, 5.0, True], ["5"]])
@example("if changed", [["5", "5.0", "a"], [5]])
@example("bucket(0) | changed", [[1.0, 0.0]])
def test_whole_columns_equal_row_by_row(text, data):
    try:
        script = compile_script(text)
    except ScriptError:
        return
    assert run(script, data, columnwise=True) == run(script, data, columnwise=False)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([*_TIMED, "week('UTC')", "year", "yearday('Asia/Kathmandu')", "yearmonth", "month('Asia/Tehran')"]),
    st.floats(-1e10, 1e10),
)
def test_dates_equal_row_by_row_at_any_time(text, start):
    script = compile_script(text)
    data = [[0.5] * 12]
    assert run(script, data, columnwise=True, start=start) == run(script, data, columnwise=False, start=start)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("$", [1.5]),
        ("if $ > 5", [1, 7.5]),
        ("$ * 2 + 1", [1, 2]),
        ("mean | if last", [1.5]),
        ("map($>5, count)", [1.5]),
        ("sum", [1.5]),
        ("changed | i", [1.5]),
        ("if last", [1.5]),
        ("if changed | count", [1.5]),
        ("{'a': $, 'b': sum}", [1.5]),
        ("while($>5, sum)", [1.5]),
        ("bucket(2) | map($, count)", [1.5]),
        ("map(weekday('UTC'), mean)", [1.5]),
        ("next - $", [1.5]),
        ("if $ > 5 and $ < 9 | $ * 2", [1.5]),
        ("max", [1.5]),
        ("ifelse($ > 5, 1, 0) | sum", [1.5]),
        ("map($, count)", ["a", "b"]),
        ("if $ == 'walking' | count", ["a", "b"]),
    ],
)
def test_the_common_scripts_run_over_columns(text, data, monkeypatch):
    """They are what makes it fast: none of their stages may fall back to rows, but for a few datapoints at the end."""
    rows = 0
    for stage in (engine.Stage, engine._ValueStage):
        original = stage.rows

        def counted(self: Any, batch: Batch, original: Any = original) -> Batch:
            nonlocal rows
            rows += batch.n
            return original(self, batch)

        monkeypatch.setattr(stage, "rows", counted)
    run(compile_script(text), [data * 50, data * 50], columnwise=True)
    assert rows <= 2


def test_sums_are_added_up_one_by_one():
    data = [0.1, 1e16, -1e16, 0.3, 1e-9] * 50
    for text in ("sum", "mean", "map($ > 0, sum)", "while($ > 0, sum)"):
        script = compile_script(text)
        assert run(script, [data], columnwise=True) == run(script, [data], columnwise=False)


def test_too_many_keys_are_found_over_columns():
    data = [float(i) for i in range(60_000)]
    script = compile_script("map($, count)")
    found = run(script, [data[:30_000], data[30_000:]], columnwise=True)
    assert found == run(script, [data[:30_000], data[30_000:]], columnwise=False)
    assert "50000" in found[0][-1]


def test_every_kernel_is_of_a_transform():
    assert {*transforms.VALUES, *transforms.POINTS, *groups.GROUPED, *stages.STAGES} <= TRANSFORMS.keys()


@pytest.mark.parametrize("first", [[2**60 + 1], [1, 2**60 + 1, 2], [-(2**60) - 1]])
@pytest.mark.parametrize(
    "text",
    [
        "max",
        "min",
        "max | if last",
        "map($ > 3, max)",
        "map(true, {'a': max, 'b': min})",
        "resample('1d', max, 'UTC')",
        "{'a': max} | if last",
    ],
)
def test_large_integers_keep_their_digits_among_small_ones(text, first):
    for rest in ([float(i) for i in range(40)], list(range(40)), [i if i % 2 else i + 0.5 for i in range(40)]):
        script = compile_script(text)
        assert run(script, [first, rest], columnwise=True) == run(script, [first, rest], columnwise=False)
