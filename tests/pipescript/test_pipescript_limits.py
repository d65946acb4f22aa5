"""How large a single value may get, and how long a single datapoint may take."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from connectordb.errors import ScriptError
from connectordb.pipescript import Batch, Settings, compile_script
from connectordb.pipescript.limits import Limits

SMALL = Settings(limits=Limits(script_value_bytes_max=100_000))


def run(text: str, data: list[Any], *, columnwise: bool = True) -> list[Any]:
    batch = Batch([float(i) for i in range(len(data))], data)
    batches = compile_script(text, SMALL).run_batches([batch], columnwise=columnwise)
    return [d for out in batches for d in out.d]


@pytest.mark.parametrize("columnwise", [True, False])
@pytest.mark.parametrize("n", [1, 40])
@pytest.mark.parametrize(
    ("stage", "data"),
    [
        ("$ + $", "text"),
        ("{'a': $, 'b': $}", "text"),
        ("{'a': $, 'b': $}", 7.0),
        ("{'a': $, 'b': 1, 'c': {'d': $}}", [1, 2]),
        ("set('a', $) | set('b', $)", {}),
        ("apply({'a': $, 'b': $})", {"a": 1, "b": 2}),
    ],
)
def test_a_value_that_doubles_and_doubles_is_bounded(stage, data, n, columnwise):
    tracemalloc.start()
    with pytest.raises(ScriptError, match=r"more than 100000 bytes \(limit script_value_bytes_max\)"):
        run(" | ".join([stage] * 40), [data] * n, columnwise=columnwise)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30_000_000


@pytest.mark.parametrize("columnwise", [True, False])
@pytest.mark.parametrize(
    "text", ["{'a': $, 'b': $}", "map(true, {'a': $, 'b': $, 'c': count})", "while(true, {'a': $, 'b': $})"]
)
def test_values_are_bounded_over_columns_too(text, columnwise):
    with pytest.raises(ScriptError, match="script_value_bytes_max"):
        run(text, ["x" * 60_000] * 40, columnwise=columnwise)


@pytest.mark.parametrize(
    "text",
    [
        "$",
        "{'a': $}",
        "{'a': $, 'b': 1, 'c': 'text', 'd': 'more'}",
        "$['a'] + 1",
        "set('b', 1)",
        "{'a': $['a'], 'b': 2}",
    ],
)
def test_data_that_are_large_themselves_pass(text):
    data = {"a": 1, "x": "x" * 200_000}
    assert len(run(text, [data] * 20)) == 20


def test_what_a_script_makes_larger_it_makes_one_by_one():
    """Otherwise 200 texts of 100 kB each would be in memory together."""
    script = compile_script(" | ".join(["$ + $"] * 13))
    tracemalloc.start()
    lengths = [
        len(d) for out in script.run_batches([Batch([float(i) for i in range(200)], ["a" * 12] * 200)]) for d in out.d
    ]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert lengths == [12 * 2**13] * 200
    assert peak < 3_000_000


@pytest.mark.parametrize("text", ["$ + 1 | $ * 2 | if $ > 5 and $ < 900 | $ + 1 | $ + 1", "{'a': $, 'b': mean}"])
def test_common_scripts_work_on_many_at_once(text):
    n = 5000
    pieces = list(
        compile_script(text).start().pieces(Batch([float(i) for i in range(n)], [float(i) for i in range(n)]))
    )
    assert len(pieces) == 1


# --- time


class OutOfTime(Exception):
    pass


FIELDS = {str(i): i for i in range(20_000)}


@pytest.mark.parametrize("text", ["apply($ + 1)", "apply(sum)", "top(2, $ * 2)", "filter($ > 3)", "reduce(sum)"])
def test_work_inside_one_datapoint_can_be_stopped(text):
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise OutOfTime

    running = compile_script(text).start(check=check)
    with pytest.raises(OutOfTime):
        running.feed(Batch([1.0], [FIELDS]))


def test_it_is_asked_before_each_piece_whether_to_go_on():
    asked: list[None] = []
    script = compile_script("imap($, count)")
    running = script.start(check=lambda: asked.append(None))
    batch = Batch([1.0, 2.0, 3.0], [1, 2, 3])
    assert len(list(running.pieces(batch))) == 3
    assert len(asked) == 3
    list(running.rest())
    assert len(asked) > 3
    before = len(asked)
    assert len(list(script.run_batches([batch], check=lambda: asked.append(None)))) == 3
    assert len(asked) == 2 * before


def test_an_inner_script_without_a_state_is_made_once(monkeypatch):
    from connectordb.pipescript.engine import Builder

    made = 0
    value = Builder.value

    def counted(self: Any, part: Any) -> Any:
        nonlocal made
        made += 1
        return value(self, part)

    monkeypatch.setattr(Builder, "value", counted)
    assert run("apply($ + 1) | filter($ < 5) | top(2, -$)", [FIELDS])[0] == {"4": 5, "5": 6}
    assert made < 100
