"""Scripts over what is known of runs of numbers: the same as over the numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectordb.block import Block
from connectordb.errors import ScriptError
from connectordb.pipescript import Batch, Script, compile_script, explain
from connectordb.pipescript.blocks import batch_of
from connectordb.store.records import Summary
from summaries import Points, cut, summary_of

FOLDED = [
    "if last",
    "if last | $ * 2 | if $ > 0",
    "count | if last",
    "i | if last",
    "sum | if last",
    "mean | if last",
    "min | if last",
    "max | if last",
    "max | if last | t",
    "{'a': mean, 'n': count, 'low': min, 'high': max, 'now': $, 'at': t, 'c': 5} | if last",
    "{'in': {'s': sum}} | if last",
    "max - min | if last",
    "mean > 2 and $ < count | if last",
    "{'x': (mean | $ / 2)} | if last",
    "-sum | if last | {'s': $}",
]
NOT_FOLDED = [
    "mean",
    "if first",
    "$ * 2 | mean | if last",
    "if $ > 5 | count | if last",
    "mean | count | if last",
    "{'a': ($ * 2 | sum)} | if last",
    "{'a': (max | t)} | if last",
    "max($['a']) | if last",
    "max(-$) | if last",
    "sum + 'a' | if last",
    "stddev | if last",
    "quantile(0.5) | if last",
    "changed | if last",
    "dt | if last",
    "first | if last",
    "sum + dt | if last",
    "if last and $ > 5",
    "map($ > 5, count) | if last",
    "$ | if last",
]


def run(script: Script, items: Sequence[Block | Sequence[Summary]]) -> Points:
    running = script.start()
    found: Points = []
    stop: Exception | None = None

    def outs() -> Iterator[Batch]:
        for item in items:
            if isinstance(item, Block):
                yield from running.pieces(batch_of(item))
            else:
                yield running.feed_runs(item)
        yield from running.rest()

    for out in outs():
        found += zip(out.t, out.d, strict=True)
        stop = out.stop
        if stop is not None:
            break
    if isinstance(stop, ScriptError):
        raise stop
    return found


def row_by_row(script: Script, points: Points) -> Points:
    batch = Batch([t for t, _ in points], [d for _, d in points])
    return [point for out in script.run_batches([batch], columnwise=False) for point in zip(out.t, out.d, strict=True)]


def near(a: Any, b: Any) -> bool:
    """Whether two results are the same, their types too; floats but for rounding."""
    if type(a) is not type(b):
        return False
    if type(a) is dict:
        return list(a) == list(b) and all(near(value, b[key]) for key, value in a.items())
    return math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-9) if type(a) is float else bool(a == b)


@pytest.mark.parametrize("text", FOLDED)
def test_a_script_that_folds(text: str) -> None:
    script = compile_script(text)
    assert script.folds
    points: Points = [(float(t), d) for t, d in [(1, 3), (2, 7.5), (3, 7.5), (4, -2), (5, -2), (6, 1)]]
    expected = row_by_row(script, points)
    assert len(expected) == 1
    for at in range(1, 6):
        known = [summary_of(points[:at]), summary_of(points[at:])]
        for items in ([known], [known[:1], known[1:]]):
            found = run(script, items)
            assert [t for t, _ in found] == [t for t, _ in expected]
            assert near(found[0][1], expected[0][1])


@pytest.mark.parametrize("text", NOT_FOLDED)
def test_a_script_that_needs_each_datapoint(text: str) -> None:
    assert not compile_script(text).folds


VALUES = st.one_of(st.integers(-1000, 1000), st.floats(0, 1000, width=32))
ANYTHING = st.one_of(VALUES, VALUES, VALUES, st.none(), st.booleans(), st.sampled_from(["7", "2.5"]))


@given(
    values=st.one_of(
        st.lists(st.integers(0, 50), max_size=200),
        st.lists(st.floats(0, 1e6), max_size=200),
        st.lists(VALUES, max_size=200),
        st.lists(ANYTHING, max_size=200),
    ),
    size=st.integers(1, 60),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=150, deadline=None)
def test_it_makes_no_difference_of_what_only_the_summary_is_known(values: list[Any], size: int, seed: int) -> None:
    points: Points = [(float(t // 3), d) for t, d in enumerate(values)]
    for text in FOLDED:
        script = compile_script(text)
        expected: Points | None
        try:
            expected = row_by_row(script, points)
        except ScriptError as e:
            with pytest.raises(ScriptError) as raised:
                run(script, list(cut(points, size, seed)))
            assert raised.value.msg == e.msg
            continue
        found = run(script, list(cut(points, size, seed)))
        assert [t for t, _ in found] == [t for t, _ in expected]
        assert all(near(a, b) for (_, a), (_, b) in zip(found, expected, strict=True)), text


def test_a_sum_of_runs_loses_no_digits() -> None:
    numbers: Points = [(float(i), 1e16 if i % 2 else -1e16) for i in range(100)]
    runs = [summary_of([(-1.0, 0.125), *numbers]), summary_of([*numbers, (100.0, 1)])]
    assert run(compile_script("sum | if last"), [runs]) == [(100.0, 1.125)]


def test_a_sum_beyond_what_json_can_hold_is_an_error() -> None:
    huge = summary_of([(1.0, 1e308)])
    for items in ([[huge, huge]], [[huge], [huge], [huge]]):
        with pytest.raises(ScriptError, match="infinite"):
            run(compile_script("sum | if last"), items)


def test_the_earliest_of_equal_extremes_is_given() -> None:
    runs = [summary_of(points) for points in ([(1.0, 1), (2.0, 9)], [(3.0, 9.0), (4.0, 9.0)], [(5.0, 1)])]
    assert run(compile_script("max | if last"), [runs]) == [(2.0, 9)]
    assert run(compile_script("min | if last"), [runs[1:], runs[:1]]) == [(5.0, 1)]
    assert run(compile_script("max | if last"), [runs[1:2], runs[:1]]) == [(3.0, 9.0)]


def test_what_a_script_keeps_at_the_end_is_told() -> None:
    (first,) = explain(compile_script("if last")).stages
    assert "what is known of each block" in " ".join(first.notes)
    assert compile_script("if last | count").only_last
    assert not compile_script("count | if last").only_last


def test_after_the_first_datapoint_no_more_is_read() -> None:
    read = 0

    def batches() -> Iterator[Batch]:
        nonlocal read
        for at in range(10):
            read += 1
            yield Batch([float(2 * at), float(2 * at + 1)], [at, "a"])

    out = list(compile_script("if first | {'d': $}").run_batches(batches()))
    assert [(batch.t, batch.d) for batch in out] == [([0.0], [{"d": 0}])]
    assert read == 1
    assert list(compile_script("if first").run_batches([])) == []


@pytest.mark.parametrize("script", ["{'a': max:t, 'b': min:t} | if last", "map($ > 5, max:t)"])
def test_a_time_behind_an_extreme_is_that_of_the_extreme(script: str) -> None:
    points: Points = [(float(i), i * 7 % 20) for i in range(50)]
    compiled = compile_script(script)
    batch = Batch([t for t, _ in points], [d for _, d in points])
    found = [point for out in compiled.run_batches([batch]) for point in zip(out.t, out.d, strict=True)]
    assert found == row_by_row(compiled, points)
