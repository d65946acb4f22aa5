"""docs/pipescript.md: its examples are true, and what is made from the registry is up to date."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from connectordb.errors import ScriptError
from connectordb.pipescript import (
    Settings,
    batched,
    compile_script,
    find_interpolator,
    meta_interpolators,
    meta_transforms,
)
from connectordb.pipescript.reference import BEGIN, reference, renewed
from connectordb.pipescript.registry import INTERPOLATORS, TRANSFORMS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "pipescript.md").read_text("utf-8")
PROSE = PAGE.partition(BEGIN)[0]


class Item(NamedTuple):
    """A datapoint of an example.

    Attributes:
        t: ``None`` if it is not given.
    """

    t: float | None
    d: Any


def read_items(text: str) -> list[Item]:
    """Read what `reference.sequence` writes."""
    items, decoder, at = [], json.JSONDecoder(), 0
    while at < len(text):
        d, at = decoder.raw_decode(text, at)
        match = re.compile(r"(?: @([0-9.e+-]+))?(?:, |$)").match(text, at)
        assert match, text[at:]
        items.append(Item(float(match[1]) if match[1] else None, d))
        at = match.end()
    return items


def examples(page: str, language: str) -> list[dict[str, str]]:
    """The examples in the blocks of *language*: their scripts, and their lines by the word which these begin with."""
    found = []
    for block in re.findall(rf"^```{language}\n(.*?)^```$", page, re.M | re.S):
        for text in block.strip().split("\n\n"):
            script, *lines = text.split("\n")
            found.append(
                {"script": script} | {line.split()[0]: line.strip().partition(" ")[2].strip() for line in lines}
            )
    return found


PROSE_EXAMPLES = examples(PROSE, "pipescript")


def test_the_reference_is_up_to_date():
    assert renewed(PAGE) == PAGE, "run `make docs`"


def test_everything_is_in_the_reference():
    page = reference()
    for name, transform in TRANSFORMS.items():
        if transform.make.__module__.startswith("connectordb."):
            assert f"\n#### {name}\n" in page
            assert transform.doc in page
    for name in INTERPOLATORS:
        assert f"`{name}`" in page


def test_there_are_examples_in_the_prose():
    assert len(PROSE_EXAMPLES) > 20


@pytest.mark.parametrize("example", PROSE_EXAMPLES, ids=[example["script"] for example in PROSE_EXAMPLES])
def test_the_examples_of_the_prose_are_true(example):
    assert_true(example)


def test_the_examples_are_written_as_they_are():
    """What the registry's tests have found true is what stands on the page."""
    shown = examples(reference(), "pipescript")
    assert len(shown) == sum(
        len(t.examples) for t in TRANSFORMS.values() if t.make.__module__.startswith("connectordb.")
    )
    for example in shown:
        if "sentiment" not in example["script"]:
            assert_true(example)


def test_the_examples_of_interpolators_are_written_as_they_are():
    for example in examples(reference(), "pipescript-at"):
        points = [(item.t, item.d) for item in read_items(example["stream"])]
        value_at = find_interpolator(example["script"]).over(batched(points))
        found = [value_at(float(t)) for t in example["at"].split(", ")]
        assert [None if p is None else p[1] for p in found] == [item.d for item in read_items(example["gives"])]


def assert_true(example: dict[str, str]) -> None:
    items = read_items(example["in"])
    points = [{"t": n if item.t is None else item.t, "d": item.d} for n, item in enumerate(items, 1)]
    if "error" in example:
        with pytest.raises(ScriptError, match=re.escape(example["error"])):
            list(compile_script(example["script"]).run(points))
        return
    out = list(compile_script(example["script"], Settings(zone="UTC")).run(points))
    expected = read_items(example["out"])
    assert [p.d for p in out] == [item.d for item in expected]
    assert [p.t for p, item in zip(out, expected, strict=True) if item.t is not None] == [
        item.t for item in expected if item.t is not None
    ]


def test_the_python_of_the_pages_runs(capsys):
    pages = PAGE + (ROOT / "README.md").read_text("utf-8")
    blocks = [b for b in re.findall(r"```python\n(.*?)```", pages, re.S) if "from connectordb.pipescript" in b]
    assert len(blocks) == 3
    try:
        for block in blocks:
            exec(block, {"__name__": "docs"})
            assert capsys.readouterr().out.splitlines() == re.findall(r"^# (.*)$", block, re.M)
        (example,) = TRANSFORMS["fahrenheit"].examples
        points = [{"t": t, "d": d} for t, d in example.points()]
        assert [p.d for p in compile_script("fahrenheit").run(points)] == list(example.result)
    finally:
        TRANSFORMS.pop("fahrenheit", None)


def test_the_datapoints_in_meta_hold_what_was_given_and_no_more():
    for entry in meta_transforms().values():
        for example in entry["examples"]:
            assert all(point.keys() == {"t", "d"} for point in example["data"])
    for entry in meta_interpolators().values():
        assert all(point.keys() == {"t", "d"} for point in entry["example"]["stream"])
