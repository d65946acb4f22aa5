"""`stddev`, `quantile` and `lttb`: right numbers, the same by rows and by columns, and bounds on what is kept."""

from __future__ import annotations

import itertools
import math
import random
import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectordb.errors import ScriptError
from connectordb.pipescript import Batch, Settings, compile_script, engine, transform
from connectordb.pipescript.builtins.aggregate import Mean
from connectordb.pipescript.builtins.statistics import Deviation, Quantile
from connectordb.pipescript.limits import Limits


@pytest.fixture(autouse=True)
def columns_of_any_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "COLUMNS_MIN", 1)


def run(
    text: str, data: list[Any], cuts: list[int] | None = None, *, columnwise: bool = True, limits: Limits | None = None
) -> list[Any]:
    """Return the values that come out; the last is an error's text if there is one."""
    edges = sorted({0, len(data), *(cut for cut in cuts or [] if cut < len(data))})
    batches = [Batch([float(t) for t in range(a, b)], data[a:b]) for a, b in itertools.pairwise(edges)]
    script = compile_script(text, Settings(limits=limits or Limits()))
    out: list[Any] = []
    try:
        for batch in script.run_batches(batches, columnwise=columnwise):
            out.extend(batch.d)
    except ScriptError as e:
        out.append(str(e))
    return out


FLOATS = st.floats(-1e6, 1e6)
CUTS = st.lists(st.integers(1, 100), max_size=6)


# --- stddev


@settings(max_examples=200, deadline=None)
@given(st.lists(FLOATS, min_size=2, max_size=100), st.sampled_from([0.0, 1e9, -1e12]), CUTS)
@example([0.0, *[1e9 + i % 2 for i in range(60)]], 0.0, [])
def test_the_standard_deviation_is_right(data, offset, cuts):
    data = [x + offset for x in data]
    found = run("stddev", data, cuts)
    assert found[0] == 0
    for n in range(2, len(data) + 1):
        wanted = statistics.stdev(data[:n])
        assert math.isclose(found[n - 1], wanted, rel_tol=1e-9, abs_tol=1e-7 * (1 + abs(offset) * 1e-9))


@pytest.mark.parametrize(
    "make",
    [
        lambda i: 1e9 + (i % 2),
        lambda i: float(i),
        lambda i: 1e9 + 1e-3 * i,
        lambda i: 0.0 if i == 0 else 1e9 + (i % 3),
        lambda i: (-1) ** i * 1e-5 + (1e6 if i > 5000 else 0),
    ],
    ids=["offset", "rising", "rising slowly", "a first one far off", "a jump"],
)
def test_no_digits_are_lost(make):
    data = [make(i) for i in range(20_000)]
    for text in ("stddev | if last", "stddev"):
        assert math.isclose(run(text, data, [7, 4096, 9000])[-1], statistics.stdev(data), rel_tol=1e-9)


def test_one_datapoint_has_no_deviation():
    assert run("stddev", [5]) == [0]
    assert run("map($, stddev)", [5, 6]) == [{"5": 0, "6": 0}]


# --- quantile


@settings(max_examples=200, deadline=None)
@given(st.lists(FLOATS, min_size=1, max_size=60), st.sampled_from([0, 0.1, 0.25, 0.5, 0.731, 0.9, 0.999, 1]), CUTS)
@example([0.0, -0.0, 0.0], 0.5, [])
def test_quantiles_are_those_of_numpy(data, q, cuts):
    wanted = [float(np.quantile(data[: n + 1], q)) for n in range(len(data))]
    assert run(f"quantile({q})", data, cuts) == pytest.approx(wanted, rel=1e-14, abs=1e-9)
    assert run(f"quantile({q}) | if last", data, cuts) == [run(f"quantile({q})", data)[-1]]


@pytest.mark.parametrize("q", ["-0.1", "1.5", "'a'", "0/0"])
def test_what_is_no_quantile_is_an_error(q):
    with pytest.raises(ScriptError, match=r"q has to be|not a number"):
        compile_script(f"quantile({q})")


@pytest.mark.parametrize("text", ["quantile(0.5)", "quantile(0.5) | if last", "map(true, quantile(0.5))", "lttb(3)"])
@pytest.mark.parametrize("columnwise", [True, False])
def test_only_numbers_are_taken(text, columnwise):
    data = [1.0, 2.0, 3.0, 4.0]
    assert "at datapoint 4" in run(text, [*data, "x"], columnwise=columnwise)[-1]
    assert "at datapoint 4" in run(f"1 / $ | {text}", [*data, 0.0, 5.0], columnwise=columnwise)[-1]


# --- what is wanted at the end only

ENDS = ["count", "sum", "mean", "stddev", "quantile(0.4)", "mean + quantile(0.9) - 1", "$ + sum", "i", "changed"]
ENDS += ["{'a': mean, 'b': stddev, 'c': 7}", "$ * 2:mean", "max - min", "first", "t - dt", "{'a': {'b': quantile(1)}}"]
ENDS += ["append", "ifelse($ > 1, count, sum)", "max(0/0) + 1"]
RUNS: st.SearchStrategy[Any] = st.one_of(
    st.lists(st.floats(-9, 9), max_size=20),
    st.lists(st.integers(-9, 9), max_size=20),
    st.lists(st.sampled_from([1, 2.5, True, "3", "a", None]), max_size=5),
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ENDS), st.lists(RUNS, max_size=4), CUTS, st.sampled_from([1, 20, 65_536]))
def test_the_last_result_is_that_of_row_by_row(text, runs, cuts, waiting):
    data = [d for some in runs for d in some]
    before = engine.WAITING_MAX
    engine.WAITING_MAX = waiting
    try:
        for tail in ("if last", "if last | $ | if last"):
            wanted = run(f"{text} | $ | {tail}", data, columnwise=False)
            if wanted and isinstance(wanted[-1], str) and "datapoint" in wanted[-1]:
                wanted = [wanted[-1]]
            assert repr(run(f"{text} | {tail}", data, cuts)) == repr(wanted)
            assert repr(run(f"{text} | {tail}", data, cuts, columnwise=False)) == repr(wanted)
    finally:
        engine.WAITING_MAX = before


@pytest.mark.parametrize("text", ["quantile(0.5)", "stddev", "{'a': mean, 'b': quantile(0.9)}", "1 - stddev / mean"])
def test_the_last_result_alone_is_worked_out_over_columns(text, monkeypatch):
    for one in (Deviation, Quantile, Mean):
        monkeypatch.delattr(one, "__call__")
    assert len(run(f"{text} | if last", [1.5, 2.5, 7.0], [1, 2])) == 1


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["stddev", "quantile(0.3)", "quantile(0.5) + stddev", "max - quantile(0)"]),
    st.sampled_from(["map($ % 3, {})", "while($ > 0, {})", "{}", "map(true, {})", "imap($ > 0, {})"]),
    st.lists(RUNS, max_size=4),
    CUTS,
)
def test_columns_give_what_rows_give(inner, outer, runs, cuts):
    text = outer.replace("{}", inner)
    data = [d for some in runs for d in some]
    wanted = run(text, data, columnwise=False)
    assert repr(run(text, data, cuts)) == repr(wanted)
    assert repr(run(text, data)) == repr(wanted)


def test_between_rows_and_columns_and_back():
    """Few new numbers beside many kept ones are taken one by one, many together."""
    rng = random.Random(5)
    data = [rng.random() for _ in range(20_000)]
    cuts = [10_000, 10_001, 10_003, 10_500, 19_000, 19_001]
    for outer in ("quantile(0.37)", "map(true, quantile(0.37))"):
        assert run(f"{outer} | if last", data, cuts) == run(f"{outer} | if last", data, columnwise=False)


# --- lttb


def test_it_keeps_the_ends_and_the_peaks():
    data = [math.sin(i / 50) for i in range(10_000)]
    data[4321] = 50.0
    points = transform("lttb(100)", [{"t": float(i), "d": d} for i, d in enumerate(data)])
    assert len(points) == 100
    assert (points[0], points[-1]) == ({"t": 0.0, "d": data[0]}, {"t": 9999.0, "d": data[-1]})
    assert {"t": 4321.0, "d": 50.0} in points
    assert [p["t"] for p in points] == sorted(p["t"] for p in points)
    assert all(data[int(p["t"])] == p["d"] for p in points)


@settings(max_examples=100, deadline=None)
@given(st.lists(RUNS, max_size=4), CUTS, st.integers(3, 12))
def test_thinning_is_the_same_for_any_cutting(runs, cuts, n):
    data = [d for some in runs for d in some]
    wanted = run(f"lttb({n})", data, columnwise=False)
    assert run(f"lttb({n})", data, cuts) == wanted
    assert run(f"lttb({n})", data, cuts, columnwise=False) == wanted
    if not any(isinstance(d, str) for d in wanted):
        assert len(wanted) == min(n, len(data))


def test_what_comes_at_the_end_goes_on_in_pieces():
    """Otherwise 5,000 objects of 5,000 keys each would be in memory together."""
    data = [float(i) for i in range(5000)]
    script = compile_script("lttb(5000) | imap($, count)")
    sizes = [out.n for out in script.run_batches([Batch(data, data)])]
    assert sizes == [1] * 5000


def test_what_comes_at_the_end_goes_through_the_rest():
    data = [float(i) for i in range(1000)]
    assert run("lttb(10) | count | if last", data) == [10]
    assert run("lttb(10) | next - $ | if $ > 0 | lttb(3) | count", data) == [1, 2, 3]
    assert run("lttb(10) | 1 / ($ - 999)", data)[-1].startswith("the result for t = 999.0 is infinite")
    assert run("map($ > 10, count) | $['x'] | lttb(3)", data)[-1].startswith("there is no 'x' in an object")
    assert run("lttb(5) | $['x'] | count | if last", data)[-1].startswith("there is no 'x' in 0")


@pytest.mark.parametrize(
    ("n", "reason"), [("2", "3 datapoints or more"), ("1.5", "integer"), ("10^7", "at most 1000000")]
)
def test_how_many_are_wanted_is_checked(n, reason):
    with pytest.raises(ScriptError, match=reason):
        compile_script(f"lttb({n})")


# --- bounds


@pytest.mark.parametrize("columnwise", [True, False])
@pytest.mark.parametrize("text", ["quantile(0.5)", "quantile(0.5) | if last", "lttb(3)", "resample('1d', quantile(1))"])
def test_datapoints_that_are_kept_are_bounded(text, columnwise):
    limits = Limits(script_points_max=100)
    assert "at most" not in str(run(text, [1.0] * 100, columnwise=columnwise, limits=limits))
    found = run(text, [1.0] * 101, [40, 90], columnwise=columnwise, limits=limits)[-1]
    assert "at most 100 datapoints (limit script_points_max)" in found
    assert "resample" in found


@pytest.mark.parametrize("columnwise", [True, False])
@pytest.mark.parametrize(
    "text",
    [
        "map($, quantile(0.5))",
        "map($ % 3, append)",
        "if new | count",
        "map($, count)",
        "map(true, {'a': quantile(0.1), 'b': quantile(0.2)})",
        "lttb(10)",
        "quantile(0.5) | if last",
    ],
)
def test_memory_is_bounded_for_all_that_a_script_keeps(text, columnwise):
    limits = Limits(script_kept_bytes_max=10_000)
    data = [float(i) for i in range(5000)]
    found = run(text, data, [100, 1000, 3000], columnwise=columnwise, limits=limits)[-1]
    assert "more than 10000 bytes in memory (limit script_kept_bytes_max)" in found


@pytest.mark.parametrize("columnwise", [True, False])
@pytest.mark.parametrize(
    "text", ["while($ % 10, quantile(0.5))", "while($ % 10, append)", "resample('10s', map($, count))"]
)
def test_what_is_gone_does_not_count(text, columnwise):
    limits = Limits(script_kept_bytes_max=20_000)
    text = text.replace("map($, count)", "imap($, count):length")
    found = run(text, [float(i) for i in range(5000)], [100, 1000], columnwise=columnwise, limits=limits)
    assert len(found) == 500


@pytest.mark.parametrize(
    ("text", "limits", "name"),
    [
        ("map($, count)", Limits(script_keys_max=3), "script_keys_max"),
        ("imap($, count)", Limits(script_keys_max=3), "script_keys_max"),
        ("if new", Limits(script_keys_max=3), "script_keys_max"),
        ("append", Limits(script_text_bytes_max=3), "script_text_bytes_max"),
        ("map($, count)", Limits(script_copies_max=3), "script_copies_max"),
    ],
)
def test_an_error_names_its_limit(text, limits, name):
    assert f"(limit {name})" in run(text, [1, 2, 3, 4, 5], limits=limits)[-1]


@pytest.mark.parametrize("columnwise", [True, False])
@pytest.mark.parametrize(
    "text",
    [
        "imap(i, count) | next(100) | next(100) | count",
        "imap(i, count) | (length | next(100) | next(100)) > ($ | length)",
        "imap(i, count) | map(i, $)",
        "imap(i, count) | map(i, ({'a': remember(first), 'b': 1} | $['b']))",
        "imap(i, count) | map(i, ({'a': max(i), 'b': 1} | $['b']))",
        "imap(i, count) | map(i, ({'a': changed, 'b': 1} | $['b']))",
        "append | map(i, $)",
        "append | next(100) | next(100) | next(100) | next(100) | next(100)",
    ],
)
def test_large_values_that_are_kept_are_bounded(text, columnwise):
    limits = Limits(script_kept_bytes_max=1_000_000)
    found = run(text, list(range(100, 1100)), [1, 16], columnwise=columnwise, limits=limits)
    assert "(limit script_kept_bytes_max)" in str(found[-1])


def test_values_that_are_passed_on_are_not_kept():
    limits = Limits(script_kept_bytes_max=100_000)
    data = [{"a": "x" * 1000}] * 2000
    text = "next(5) | if changed or true | remember(true) | (next(3) | length) >= 0"
    assert len(run(text, data, [100, 1000], limits=limits)) == 2000
