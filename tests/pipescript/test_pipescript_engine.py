"""The engine: the same points whatever the batches, errors that say where, bounds, and nothing kept between runs."""

from __future__ import annotations

import itertools
import random
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectordb import DatapointArray
from connectordb.datapoint import Datapoint
from connectordb.errors import ScriptError
from connectordb.pipescript import Batch, Script, Settings, compile_script, transform
from connectordb.pipescript.limits import Limits
from connectordb.pipescript.registry import TRANSFORMS

# --- random scripts and data

_VALUES = ["$", "$", "$", "5", "0", "2.5", "'a'", "true", "count", "sum", "mean", "i", "t", "dt", "first", "changed"]


class ScriptWriter:
    """Writes random scripts, nearly all of which can be read."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def value(self, depth: int, *, peek: bool = True) -> str:
        """Return a one-to-one expression."""
        choose = self.rng.choice
        if depth <= 0:
            return choose(_VALUES + (["next", "last"] if peek else []))

        def inner() -> str:
            return self.value(depth - 1, peek=peek)

        def alone() -> str:
            return self.value(depth - 1, peek=False)

        kind = self.rng.randrange(16)
        if kind < 6:
            return f"({inner()} {choose(['+', '-', '*', '/', '%', '^', *'<>', '<=', '>=', '==', '!='])} {inner()})"
        if kind == 6:
            return f"({inner()} {choose(['and', 'or'])} {inner()})"
        if kind == 7:
            return choose(["-", "not "]) + f"({inner()})"
        if kind == 8:
            return f"({inner()} | ({inner()}))"
        if kind == 9:
            return f"ifelse({inner()}, {alone()}, {alone()})"
        if kind == 10:
            return f"imap({inner()}, {alone()}):length"
        if kind == 11:
            return f"iwhile({inner()}, {alone()})"
        if kind == 12:
            return f"remember({inner()}, {inner()})"
        if kind == 13:
            return "{" + f"'a': {alone()}, 'b': {alone()}" + "}:$['a']"
        if kind == 14:
            return choose(["max", "min"]) + f"({inner()})"
        running = ["bucket(3)", "tshift(5)", "alltrue", "anytrue", "stddev", "quantile(0.3)", "$:count"]
        return choose([*running, "next(2)" if peek else "new"])

    def stage(self) -> str:
        kind = self.rng.randrange(10)
        if kind < 3:
            return self.value(2)
        if kind < 5:
            return f"if({self.value(2)})"
        if kind == 5:
            return f"map({self.value(1)}, {self.value(1, peek=False)})"
        if kind == 6:
            return f"while({self.value(1)}, {self.value(1, peek=False)})"
        if kind == 8:
            return f"resample('10s', {self.value(1, peek=False)}, 'UTC')"
        return self.rng.choice(["ttrue", "tfalse", "if last", "if first", "lttb(3)", f"{self.value(1)} | if last"])

    def script(self) -> str:
        """Return a script of one to three stages."""
        return " | ".join(self.stage() for _ in range(self.rng.randint(1, 3)))


def _compiles(text: str) -> bool:
    """Return whether a script is read: a few fail on a constant."""
    try:
        compile_script(text)
    except ScriptError:
        return False
    return True


scripts = st.integers(0, 2**32).map(lambda seed: ScriptWriter(random.Random(seed)).script()).filter(_compiles)
numbers = st.one_of(st.integers(-10, 10), st.floats(-100, 100).map(lambda x: round(x, 2)))
anything: st.SearchStrategy[Any] = st.one_of(
    numbers,
    numbers,
    st.booleans(),
    st.none(),
    st.sampled_from(["", "a", "5", " 6 ", "true", "1e3"]),
    st.just({"a": 1, "b": 2.5}),
    st.just([1, 2]),
)


def points(of: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    steps = st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, 10.0]), of), max_size=30)
    return steps.map(_in_order)


def _in_order(steps: list[tuple[float, Any]]) -> list[dict[str, Any]]:
    times = itertools.accumulate((dt for dt, _ in steps), initial=1000.0)
    return [{"t": t, "d": d} for t, (_, d) in zip(times, steps, strict=False)]


def run_cut(script: Script, data: list[dict[str, Any]], cuts: list[int]) -> tuple[list[Any], str | None]:
    """Return what comes out of *script* over *data* cut into batches, and the error."""
    edges = sorted({0, len(data), *(c for c in cuts if c < len(data))})
    batches = [Batch([p["t"] for p in data[a:b]], [p["d"] for p in data[a:b]]) for a, b in itertools.pairwise(edges)]
    out: list[Any] = []
    try:
        for batch in script.run_batches(batches):
            out.extend(zip(batch.t, batch.d, strict=True))
    except ScriptError as e:
        return out, str(e)
    return out, None


@settings(max_examples=400, deadline=None)
@given(scripts, st.one_of(points(numbers), points(anything)), st.lists(st.integers(1, 30), max_size=8))
def test_any_cutting_into_batches_gives_the_same_points(text, data, cuts):
    script = compile_script(text)
    assert run_cut(script, data, cuts) == run_cut(script, data, [])
    assert run_cut(script, data, list(range(30))) == run_cut(script, data, [])


@pytest.mark.parametrize("step", [1, 2, 3, 5, 100])
@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("$ * 10 | min($) + 1 | if last", None),  # it has ended before the text comes
        ("max(next) | min($ * 10) + 1 | if last", None),
        ("$ * 10 | quantile(0.5) | if last", "only finite numbers have quantiles"),
        ("$ * 1 | quantile(0.5) | if last", "cannot calculate with 'x'"),
    ],
)
def test_what_a_later_stage_does_first_decides_however_the_data_are_cut(text, error, step):
    data = [{"t": float(i), "d": d} for i, d in enumerate([1e308, 1e308, 1e308, 2.0, 3.0, "x", 4.0])]
    out, found = run_cut(compile_script(text), data, list(range(0, 7, step)))
    assert out == []
    assert (found is None) if error is None else (error in str(found))


@pytest.mark.parametrize("step", [1, 2, 3, 100])
def test_an_error_in_a_part_that_looks_ahead_is_not_lost(step):
    data = [{"t": float(i), "d": d} for i, d in enumerate([1, 2, 3, 4, "x", 5, 6, 7, 8, 9, 10])]
    out, found = run_cut(compile_script("next(3) == ($ * 1 | next)"), data, list(range(0, 11, step)))
    assert len(out) == 3
    assert "cannot calculate with 'x'" in str(found)


@settings(max_examples=100, deadline=None)
@given(scripts, points(anything), points(anything))
def test_a_script_keeps_nothing_between_runs(text, first, second):
    script = compile_script(text)
    expected = run_cut(compile_script(text), second, [])
    run_cut(script, first, [])
    assert run_cut(script, second, []) == expected


@settings(max_examples=100, deadline=None)
@given(scripts, points(anything))
def test_a_printed_script_does_the_same(text, data):
    script = compile_script(text)
    again = compile_script(str(script))
    assert run_cut(again, data, [])[0] == run_cut(script, data, [])[0]


def test_two_runs_at_the_same_time_do_not_mix():
    script = compile_script("map($ % 3, sum)")
    data = [{"t": i, "d": i} for i in range(2000)]
    alone = transform("map($ % 3, sum)", data)
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: [{"t": p.t, "d": p.d} for p in script.run(data)], range(8)))
    assert all(run == alone for run in runs)


# --- transform()


def test_transform_takes_dictionaries_arrays_and_objects():
    plain = [{"t": 1.0, "d": 7}, {"t": 2.0, "d": 3, "o": "a/b"}, {"t": 3, "d": 6}]
    expected = [{"t": 1.0, "d": 1}, {"t": 3.0, "d": 2}]
    script = "if $ > 5 | count"
    assert transform(script, plain) == expected
    assert transform(script, DatapointArray(plain)) == expected
    assert transform(script, iter([Datapoint(p["t"], p["d"]) for p in plain])) == expected
    assert transform(script, []) == []


def test_numbers_of_numpy_are_numbers():
    import numpy as np

    data = [{"t": 1, "d": np.int64(2)}, {"t": 2, "d": np.float64(0.5)}, {"t": 3, "d": np.bool_(True)}, {"t": 4, "d": 1}]
    assert [p["d"] for p in transform("$ + 1", data)] == [3, 1.5, 2, 2]
    assert [type(p["d"]) for p in transform("$", [Datapoint(1.0, p["d"]) for p in data])] == [int, float, bool, int]


@pytest.mark.parametrize(
    ("value", "shown"),
    [((1, 2), "tuple (no JSON value)"), (object(), "object (no JSON value)"), ({1}, "set (no JSON value)")],
)
def test_what_is_no_json_value_is_named(value, shown):
    for text in ("sum", "$ + 1", "$ < 1", "$['a']", "apply($)", "if $", "map($, count)", "length + $"):
        with pytest.raises(ScriptError) as e:
            transform(text, [{"t": 1, "d": value}])
        assert shown in str(e.value)


def test_integers_keep_their_digits():
    big = 2**63 + 1
    assert transform("$", [{"t": 1, "d": big}]) == [{"t": 1.0, "d": big}]
    assert transform("if changed", [{"t": 1, "d": big}, {"t": 2, "d": big + 1}])[1]["d"] == big + 1
    assert transform("map($, max)", [{"t": 1, "d": big}])[0]["d"] == {str(big): big}


# --- errors


@pytest.mark.parametrize(
    ("script", "data", "stage", "index", "t"),
    [
        ("$ + 1", [1, 2, "x"], "$ + 1", 2, 3.0),
        ("if $ > 1 | $ + 'a' | count", [1, 5, 7], '$ + "a"', 0, 2.0),
        ("sum", [1, {"a": 1}], "sum", 1, 2.0),
        ("count | $['a']", [1], '$["a"]', 0, 1.0),
        ("next + 1", [1, 2, "x", 4], "next + 1", 1, 2.0),
        ("(next | $ + 'a') > 5", [1, 2], '$ + "a"', 0, 2.0),
        ("while($, count)", [1, 2, "x"], "while($, count)", 2, 3.0),
    ],
)
def test_an_error_names_the_stage_and_the_datapoint(script, data, stage, index, t):
    with pytest.raises(ScriptError, match="at datapoint") as error:
        transform(script, [{"t": float(i + 1), "d": d} for i, d in enumerate(data)])
    details = error.value.details
    assert (details["stage"], details["index"], details["t"]) == (stage, index, t)


@pytest.mark.parametrize("n", [1, 5, 100, 5000])
def test_what_comes_before_an_error_is_yielded(n):
    data = [{"t": float(i), "d": i} for i in range(n)] + [{"t": float(n), "d": "x"}]
    run = compile_script("$ * 2 | if $ >= 0 | $ + 0").run(data)
    assert [p.d for p in itertools.islice(run, n)] == [2 * i for i in range(n)]
    with pytest.raises(ScriptError):
        next(run)


@pytest.mark.parametrize("script", ["1 / ($ - $)", "-1 / 0", "0 / 0", "{'a': 1 / 0}", "10 ^ 400", "sum:$ * 1e308"])
def test_what_json_cannot_hold_is_an_error(script):
    if "e308" in script:
        script = "$ * " + "9" * 300 + " * " + "9" * 300
    with pytest.raises(ScriptError, match="JSON"):
        transform(script, [{"t": 1.0, "d": 5}])


def test_infinity_is_fine_inside():
    assert transform("1 / 0 > 5", [{"t": 1.0, "d": 5}]) == [{"t": 1.0, "d": True}]


# --- streaming and bounds


def test_a_limited_read_takes_little_of_its_input():
    taken = 0

    def endless():
        nonlocal taken
        for taken in itertools.count(1):
            yield {"t": float(taken), "d": taken}

    first = list(itertools.islice(compile_script("if $ > 5 | next - $").run(endless()), 10))
    assert [p.d for p in first] == [1.0] * 10
    assert taken < 50


def test_look_ahead_keeps_only_what_it_needs():
    def many(n):
        return ({"t": float(i), "d": i} for i in range(n))

    script = compile_script("$ * 2 + 1 | next(100) - $ | if last")
    list(script.run(many(1000)))
    peaks = []
    for n in (20_000, 60_000):
        tracemalloc.start()
        assert len(list(script.run(many(n)))) == 1
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.parametrize("script", ["map($, count)", "imap($, count) | if last", "if new | if last"])
def test_keys_are_bounded(script):
    data = ({"t": float(i), "d": i} for i in range(1_000_000))
    if script.startswith("imap"):
        data = ({"t": float(i), "d": i} for i in range(3000))
        assert len(list(compile_script(script).run(data))) == 1
        return
    with pytest.raises(ScriptError, match="more than 50000"):
        list(compile_script(script).run(data))


def test_copies_of_large_scripts_are_bounded():
    inner = " + ".join(["$"] * 50)
    data = ({"t": float(i), "d": i} for i in range(2000))
    limits = Limits(script_copies_max=50_000)
    with pytest.raises(ScriptError, match=r"too many copies .*script_copies_max"):
        list(compile_script(f"map($, {inner})", Settings(limits=limits)).run(data))


def test_copies_that_are_gone_do_not_count():
    data = [{"t": float(i), "d": i} for i in range(30_000)]
    inner = "imap($ % 2, " + " + ".join(["$"] * 20) + "):length"
    assert len(list(compile_script(f"while($ % 10, {inner})").run(data))) == 3000


def test_text_is_bounded():
    with pytest.raises(ScriptError, match="longer than"):
        transform("append | if last", [{"t": float(i), "d": "x" * 10_000} for i in range(200)])


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*)*x", "(?:a?){50}a{50}b"])
def test_no_regular_expression_takes_long(pattern):
    began = time.perf_counter()
    data = [{"t": 1.0, "d": "a" * 50_000 + "!"}]
    assert transform(f"regex('{pattern}')", data)[0]["d"] is False
    assert time.perf_counter() - began < 2.0


@pytest.mark.parametrize("script", ["changed", "$ == $", "{'a': $}", "map('k', $)", "length", "text == $:$"])
def test_data_may_nest_deep(script):
    deep: Any = []
    for _ in range(3000):
        deep = [deep]
    script = script.replace("text", "$")
    try:
        transform(script, [{"t": 1.0, "d": deep}, {"t": 2.0, "d": deep}])
    except ScriptError as e:
        assert "nests too deeply" in str(e)


@pytest.mark.parametrize(
    "deep",
    ["1 + (next | {})", "-({})", "ifelse(true, {})", "imap('a', {})", "{{'a': {}}}", "apply({})", "reduce({})"],
)
def test_deep_scripts_run(deep):
    script = "$"
    while True:
        longer = deep.format(script)
        try:
            compile_script(longer)
        except ScriptError:
            break
        script = longer
        if len(script) > 60_000:
            break
    try:
        transform(script, [{"t": 1.0, "d": {"a": 1}}, {"t": 2.0, "d": {"a": 1}}])
    except ScriptError as e:
        assert "at datapoint" in str(e)


def test_results_that_grow_come_one_by_one():
    """Otherwise 5,000 objects of 5,000 keys each would be in memory together."""
    data = [{"t": float(i), "d": i} for i in range(5000)]
    batch = Batch([p["t"] for p in data], [p["d"] for p in data])
    tracemalloc.start()
    for n, out in enumerate(compile_script("imap($, count)").run_batches([batch]), 1):
        assert len(out.d[0]) == n
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def test_a_long_script_works_on_few_datapoints_at_once():
    many = Settings(limits=Limits(script_parts_max=10_000))
    running = compile_script(" | ".join(["$ + 1"] * 1000), many).start()
    pieces = list(running.pieces(Batch([float(i) for i in range(2000)], list(range(2000)))))
    assert len(pieces) > 4
    assert [x for piece in pieces for x in piece.d] == [i + 1000 for i in range(2000)]


def test_a_script_has_a_limited_number_of_parts():
    with pytest.raises(ScriptError, match="more than 2000 parts"):
        compile_script(" | ".join(["$ + 1"] * 1000))
    compile_script(" | ".join(["$ + 1"] * 400))


_CONSTANTS = ["5", "0", "-1", "2.5", "'a'", "'UTC'", "''", "true", "1/0", "10^300", "'Europe/Berlin'", "'1'", "'['"]
_STRANGE: st.SearchStrategy[Any] = st.one_of(
    anything,
    st.sampled_from(
        [10**400, -(2**63), 2**53, 1e308, -0.0, 5e-324, "\ud800", "\0", "x" * 1000, "1e400", "http://a:b@c/"]
    ),
    st.just({"latitude": 91, "longitude": "x", "a": {"b": [None]}}),
    st.just({}),
    st.just([]),
)


def any_call(rng: random.Random, depth: int) -> str:
    """Return a call of any transform, with arguments that need not fit."""
    name = rng.choice(sorted(TRANSFORMS))
    args = []
    for arg in TRANSFORMS[name].args:
        if arg.optional and rng.random() < 0.3:
            break
        args.append(rng.choice(_CONSTANTS) if arg.constant or depth <= 0 else any_expression(rng, depth - 1))
    return f"{name}({', '.join(args)})"


def any_expression(rng: random.Random, depth: int) -> str:
    kind = rng.randrange(6)
    if kind == 0 or depth <= 0:
        return rng.choice(["$", "$['a']", "$[0]", "t", *_CONSTANTS])
    if kind == 1:
        operator = rng.choice(["+", "-", "*", "/", "%", "^", "<", "==", "and", "or"])
        return f"({any_expression(rng, depth - 1)} {operator} {any_expression(rng, depth - 1)})"
    return any_call(rng, depth)


def _any_script(seed: int) -> str:
    rng = random.Random(seed)
    return " | ".join(any_expression(rng, 2) for _ in range(rng.randint(1, 3)))


@settings(max_examples=600, deadline=None)
@given(st.integers(0, 2**32).map(_any_script), points(_STRANGE), st.sampled_from([1.0, -1e18, 1e300]))
def test_any_script_over_any_data_gives_datapoints_or_a_script_error(text, data, scale):
    if "rand" in text or "sentiment" in text:
        return
    try:
        script = compile_script(text)
    except ScriptError:
        return
    for point in data:
        point["t"] *= scale
    results = []
    for columnwise in (True, False):
        batches = [Batch([p["t"] for p in data], [p["d"] for p in data])]
        out: list[Any] = []
        try:
            for batch in script.run_batches(batches, columnwise=columnwise):
                out.extend(zip(batch.t, batch.d, strict=True))
        except ScriptError as e:
            out.append(str(e))
        results.append(repr(out))
    assert results[0] == results[1]
