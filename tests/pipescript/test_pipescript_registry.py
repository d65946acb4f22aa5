"""What is registered: the examples are true, and ``/meta`` says what 0.3's said."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import json
import pkgutil
import re
import sys
from pathlib import Path

import pytest

import connectordb.pipescript
from connectordb.errors import ScriptError
from connectordb.pipescript import Settings, batched, compile_script, explain, meta_interpolators, meta_transforms
from connectordb.pipescript.builtins import words
from connectordb.pipescript.registry import (
    INTERPOLATORS,
    TRANSFORMS,
    Example,
    interpolator,
    load_plugins,
    transform,
)

REGISTRY = json.loads((Path(__file__).parent / "data" / "registry-0.3.json").read_text())
EXAMPLES = [(name, example) for name, entry in TRANSFORMS.items() for example in entry.examples]


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[example.script for _, example in EXAMPLES])
def test_the_examples_of_transforms_are_true(name: str, example: Example):
    if name == "sentiment" and importlib.util.find_spec("afinn") is None:
        pytest.skip("the package afinn is not installed")
    points = [{"t": t, "d": d} for t, d in example.points()]
    out = list(compile_script(example.script, Settings(zone="UTC")).run(points))
    assert [p.d for p in out] == list(example.result)
    if example.times is not None:
        assert [p.t for p in out] == list(example.times)


@pytest.mark.parametrize("name", sorted(INTERPOLATORS))
def test_the_examples_of_interpolators_are_true(name):
    points, times, values = INTERPOLATORS[name].example
    value_at = INTERPOLATORS[name].make(batched(points))
    found = [value_at(t) for t in times]
    assert [None if p is None else p[1] for p in found] == list(values)


def test_everything_is_documented_with_an_example():
    for name, entry in TRANSFORMS.items():
        assert entry.doc.endswith("."), name
        assert entry.examples, name
        assert all(arg.name and arg.doc for arg in entry.args), name


def test_meta_has_what_0_3_had():
    """``while`` is told truly (0.3 said that it gives one datapoint for each), and so is the type of ``distance``."""
    ours = json.loads(json.dumps(meta_transforms()))
    assert {name for name in ours if "since" not in ours[name]} == REGISTRY["transforms"].keys()
    assert {name for name in ours if "since" in ours[name]} == {"lttb", "quantile", "resample", "stddev"}
    for name, old in REGISTRY["transforms"].items():
        new = ours[name]
        for key in ("name", "one_to_one", "stateless", "peek", "ischema", "oschema"):
            if (name, key) not in {("while", "one_to_one"), ("distance", "oschema")}:
                assert new.get(key) == old.get(key), (name, key)
        assert len(new["args"] or []) == len(old["args"] or []), name
        for new_arg, old_arg in zip(new["args"] or [], old["args"] or [], strict=True):
            assert new_arg["optional"] == old_arg["optional"]
            assert new_arg["hijacked"] == old_arg["hijacked"]
            assert new_arg["constant"] == old_arg["constant"] or name == "bottom"


def test_meta_of_interpolators():
    ours = meta_interpolators()
    assert ours.keys() == REGISTRY["interpolators"].keys()
    for name, entry in ours.items():
        assert (entry["name"], entry["ischema"], entry["oschema"]) == (name, "", "")
        assert entry["description"]


def test_a_transform_is_added_by_one_function():
    @transform("double_for_a_test", doc="Twice.", examples=[Example("double_for_a_test", [2], [4])], stateless=True)
    def double():
        return lambda t, d: 2 * d

    try:
        assert [p.d for p in compile_script("double_for_a_test + 1").run([{"t": 1, "d": 2}])] == [5]
        assert "double_for_a_test" in meta_transforms()
        with pytest.raises(ValueError, match="already"):
            transform("double_for_a_test", doc="")(double)
        with pytest.raises(ValueError, match="already"):
            interpolator("closest", doc="", example=([], [], []))(lambda points: lambda at: None)
    finally:
        del TRANSFORMS["double_for_a_test"]


@pytest.mark.parametrize(
    "module",
    [m.name for m in pkgutil.walk_packages(connectordb.pipescript.__path__, "connectordb.pipescript.")]
    + ["connectordb.pipescript"],
)
def test_docstrings_are_true(module):
    assert doctest.testmod(importlib.import_module(module)).failed == 0


class FakeEntryPoint:
    name = value = "fake"

    def __init__(self, load):
        self.load = load


def test_other_packages_add_transforms(monkeypatch, caplog):
    def fail():
        raise ImportError("not today")

    def load():
        transform("triple_for_a_test", doc="Thrice.", stateless=True)(lambda: lambda t, d: 3 * d)

    asked = []

    def entry_points(*, group):
        asked.append(group)
        return [FakeEntryPoint(fail), FakeEntryPoint(load)]

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)
    load_plugins.cache_clear()
    try:
        assert [p.d for p in compile_script("triple_for_a_test").run([{"t": 1, "d": 2}])] == [6]
        assert asked == ["connectordb.pipescript"]
        assert "cannot be loaded" in caplog.text
    finally:
        TRANSFORMS.pop("triple_for_a_test", None)


def test_explain_shows_how_a_script_is_read_and_run():
    explanation = explain(compile_script("if $ > 5 | next - $ | $['a'] | if last"))
    assert explanation.text == 'if($ > 5) | next - $ | $["a"] | if(last)'
    assert [stage.looks_ahead for stage in explanation.stages] == [False, True, False, True]
    assert ["float" in stage.columns for stage in explanation.stages] == [True, True, False, True]
    assert [stage.one_to_one for stage in explanation.stages] == [False, True, True, False]


# --- what needs other packages


def test_sentiment_takes_its_words_from_afinn(tmp_path, monkeypatch):
    (tmp_path / "afinn" / "data").mkdir(parents=True)
    (tmp_path / "afinn" / "__init__.py").write_text("raise SystemExit('must not be run')")
    (tmp_path / "afinn" / "data" / "AFINN-111.txt").write_text("good\t3\nbad\t-3\n")
    monkeypatch.syspath_prepend(tmp_path)
    words._scores.cache_clear()
    try:
        points = [{"t": 1, "d": "Good, good day"}, {"t": 2, "d": "bad"}, {"t": 3, "d": ""}]
        assert [p.d for p in compile_script("sentiment").run(points)] == [6 / 15, -0.6, 0.0]
    finally:
        words._scores.cache_clear()


@pytest.mark.parametrize(("script", "package"), [("sentiment", "afinn"), ("regex('a')", '"connectordb[pipescript]"')])
def test_a_missing_package_is_named(script, package, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "re2", None)
    words._scores.cache_clear()
    words._searcher.cache_clear()
    try:
        with pytest.raises(ScriptError, match=re.escape(f"pip install {package}")):
            compile_script(script)
    finally:
        words._scores.cache_clear()
        words._searcher.cache_clear()
