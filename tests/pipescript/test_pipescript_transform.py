"""`transform`, for those who have datapoints and no server; with and without the libraries that make it fast."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from connectordb import DatapointArray
from connectordb.datapoint import Datapoint
from connectordb.errors import ScriptError
from connectordb.pipescript import transform

PLAIN = [{"t": 1.0, "d": 3}, {"t": 2.0, "d": 7}, {"t": 3.0, "d": 6}]


@pytest.mark.parametrize(
    "datapoints",
    [
        PLAIN,
        tuple(PLAIN),
        iter(PLAIN),
        DatapointArray(PLAIN),
        [Datapoint(p["t"], p["d"]) for p in PLAIN],
        [{**p, "o": "alice/phone"} for p in PLAIN],
    ],
    ids=["list", "tuple", "iterator", "DatapointArray", "Datapoint", "with senders"],
)
def test_any_datapoints_go_in_and_plain_ones_come_out(datapoints):
    assert transform("if $ > 5 | count", datapoints) == [{"t": 2.0, "d": 1}, {"t": 3.0, "d": 2}]


def test_what_goes_in_is_not_changed():
    given = [{"t": 1, "d": {"a": [1]}}]
    assert transform("set('b', 2)", given) == [{"t": 1.0, "d": {"a": [1], "b": 2}}]
    assert given == [{"t": 1, "d": {"a": [1]}}]


def test_nothing_gives_nothing():
    assert transform("count", []) == []
    assert transform("if last", DatapointArray([])) == []


def test_errors_tell_where():
    with pytest.raises(ScriptError, match="'b' in"):
        transform("$['b']", PLAIN)
    with pytest.raises(ScriptError) as caught:
        transform("count |", PLAIN)
    assert caught.value.column == 7


@pytest.mark.parametrize(
    ("name", "meant"), [("where", "if"), ("AVG", "mean"), ("median", "quantile"), ("Count", "count")]
)
def test_names_of_other_languages_are_understood_enough_to_help(name, meant):
    with pytest.raises(ScriptError, match=f"did you mean '{meant}'"):
        transform(f"{name} | $", PLAIN)


def run_without(libraries: str, code: str) -> str:
    """Run *code* where the *libraries* cannot be imported, and return what it prints."""
    blocked = f"import sys\nsys.modules.update(dict.fromkeys({libraries.split()!r}))\n"
    done = subprocess.run(
        [sys.executable, "-P", "-c", blocked + textwrap.dedent(code)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_works_without_numpy():
    out = run_without(
        "numpy re2 pyarrow polars pandas typer",
        """
        from connectordb.pipescript import batched, compile_script, explain, transform
        from connectordb.pipescript.registry import INTERPOLATORS, TRANSFORMS

        points = [{"t": float(n), "d": n} for n in range(1, 101)]
        print(transform("if $ > 5 | mean | if last", points))
        print(explain(compile_script("count")).stages[0].columns)
        for one in TRANSFORMS.values():
            for example in one.examples:
                if not {"lttb", "regex", "sentiment"} & {one.name}:
                    given = [{"t": t, "d": d} for t, d in example.points()]
                    assert [p["d"] for p in transform(example.script, given)] == list(example.result), example
        for one in INTERPOLATORS.values():
            points, times, values = one.example
            value_at = one.make(batched(points))
            assert [p and p[1] for p in map(value_at, times)] == list(values), one
        """,
    )
    assert out.splitlines() == ["[{'t': 100.0, 'd': 53.0}]", "()"]


def test_what_does_not_work_without_a_library_says_what_to_install():
    out = run_without(
        "re2",
        """
        from connectordb.pipescript import transform
        try:
            transform("regex('a')", [])
        except Exception as e:
            print(e)
        """,
    )
    assert 'pip install "connectordb[pipescript]"' in out
