"""What the report says about samples: spreads, ratios, and targets with the peers that they speak of and without."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def summarise(bench_module: Callable[[str], Any]) -> Callable[..., dict[str, Any]]:
    """Summarise runs of a figure, each given as its value and its floors."""
    sample = bench_module("workbench").Sample

    def summary(name: str, *runs: tuple[float, dict[str, float]]) -> dict[str, Any]:
        one: dict[str, Any] = bench_module("report").summarise({name: [sample(*run) for run in runs]})[name]
        return one

    return summary


def test_bound_is_made_of_the_peer_of_the_same_round(summarise: Callable[..., dict[str, Any]]) -> None:
    floors = {"commits": 5_000.0, "bare": 8_000.0}
    one = summarise(
        "a1",
        (900.0, {**floors, "influxdb": 1_000.0}),
        (1_800.0, {**floors, "influxdb": 2_000.0}),
        (100.0, {**floors, "influxdb": 3_000.0}),
    )
    assert (one["median"], one["min"], one["max"]) == (900, 100, 1_800)
    assert one["floors"]["influxdb"]["median"] == 2_000
    assert one["floors"]["influxdb"]["ratio"] == 0.9  # the median of the ratios, not the ratio of the medians
    must, goal = one["target"]["must"], one["target"]["goal"]
    assert (must["value"], must["said"], must["origin"]) == (pytest.approx(1_400), "0.7 x InfluxDB", "measured")
    assert goal["value"] == 2_000
    assert one["target"]["verdict"] == "must"


def test_without_the_peer_a_bound_is_its_figure_on_the_reference_machine_scaled_by_the_floor(
    summarise: Callable[..., dict[str, Any]], bench_module: Callable[[str], Any]
) -> None:
    one = summarise("a1", (900.0, {"commits": 3_500.0, "bare": 8_000.0}))
    must = one["target"]["must"]
    assert (must["value"], must["origin"]) == (pytest.approx(0.7 * 2_240 / 2), "scaled")  # 7,000 commits/s there
    assert "influxdb" not in one["floors"]
    text = bench_module("report").table({"a1": one}, meaningful=True)
    assert "784*" in text
    assert "0.7 x InfluxDB / 1 x InfluxDB  (row a1)" in text


def test_without_the_peer_and_a_floor_that_tells_it_is_that_figure(summarise: Callable[..., dict[str, Any]]) -> None:
    one = summarise("e", (16.0, {"plain": 100.0}))
    must, goal = one["target"]["must"], one["target"]["goal"]
    assert (must["value"], must["origin"]) == (16.6, "reference")
    assert (goal["value"], goal["origin"]) == (2, "measured")
    assert one["target"]["verdict"] == "must"


def test_peer_counts_only_if_it_was_measured_in_every_round(summarise: Callable[..., dict[str, Any]]) -> None:
    one = summarise("e", (16.0, {"plain": 100.0, "victoriametrics": 10.0}), (16.0, {"plain": 100.0}))
    assert one["target"]["must"]["origin"] == "reference"
    assert set(one["floors"]) == {"plain"}


@pytest.mark.parametrize(("value", "verdict"), [(1.9, "goal"), (5.0, "must"), (10.1, "BELOW")])
def test_what_is_a_cost_has_to_be_low(summarise: Callable[..., dict[str, Any]], value: float, verdict: str) -> None:
    one = summarise("e", (value, {"plain": 100.0, "victoriametrics": 10.0}))
    assert one["target"]["verdict"] == verdict


def test_every_bound_says_what_it_is_made_of(bench_module: Callable[[str], Any]) -> None:
    catalogue = bench_module("catalogue")
    assert len({figure.name for figure in catalogue.FIGURES}) == len(catalogue.FIGURES)
    for figure in catalogue.FIGURES:
        floors = {floor.key for floor in figure.floors}
        assert not floors & catalogue.PEERS.keys(), figure.name
        if figure.target is None:
            continue
        if figure.target.floor:
            assert figure.target.floor in floors, figure.name
            assert figure.target.floor_reference > 0, figure.name
        for bound in (figure.target.must, figure.target.goal):
            assert bound.of in {"", *floors} or (bound.of in catalogue.PEERS and bound.reference > 0), figure.name


@pytest.fixture
def figures(summarise: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """What ``--json`` writes."""
    machine = {"cpu": "a fast one", "commit": "abc123", "synchronous": "full", "peers": ["InfluxDB v1.6.7"]}
    floors = {"commits": 5_000.0, "bare": 8_000.0, "influxdb": 1_000.0}
    measured = {"a1": summarise("a1", (900.0, floors)), "e": summarise("e", (16.0, {"plain": 100.0}))}
    return {
        "machine": machine,
        "arguments": ["--runs", "1"],
        "begun": 1_700_000_000.0,
        "runs": 1,
        "tiny": False,
        "figures": measured,
    }


def test_figures_go_into_the_page_with_what_belongs_to_them(
    bench_module: Callable[[str], Any], figures: dict[str, Any]
) -> None:
    page = bench_module("page")
    before = "# Title\n<!-- figures -->\nold\n<!-- end of figures -->\nrest\n"
    after = page.fill(before, json.dumps(figures))
    assert after.startswith("# Title\n<!-- figures -->\n")
    assert after.endswith("<!-- end of figures -->\nrest\n")
    assert "old" not in after
    for part in ("a fast one", "abc123", "2023-11-14", "InfluxDB v1.6.7", "--runs 1", "0.7 x InfluxDB", "16.6\\*\\*"):
        assert part in after
    rows = [line for line in after.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {8}
    assert page.fill(after, json.dumps(figures)) == after


def test_figures_of_tiny_input_do_not_go_into_the_page(
    bench_module: Callable[[str], Any], figures: dict[str, Any]
) -> None:
    page = bench_module("page")
    with pytest.raises(ValueError, match="tiny"):
        page.fill(page.PAGE.read_text(), json.dumps({**figures, "tiny": True}))
    with pytest.raises(ValueError, match="marks"):
        page.fill("no marks", json.dumps(figures))


def test_page_has_the_newest_figures_and_tells_of_every_figure(bench_module: Callable[[str], Any]) -> None:
    page = bench_module("page")
    text = page.PAGE.read_text()
    if page.FIGURES.exists():
        assert page.fill(text, page.FIGURES.read_text()) == text
    for figure in bench_module("catalogue").FIGURES:
        if not figure.name.startswith("p"):
            assert f"`{figure.name}`" in text, figure.name
