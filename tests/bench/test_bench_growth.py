"""Curves over the amount of data, and the picture of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.slow
def test_tiny_growth_writes_figures_and_a_picture_and_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [*("--tiny", "--folder", str(tmp_path / "work"), "--out", str(tmp_path / "curves"))]
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--growth", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "curves.json").read_text())
    assert [row["points"] for row in result["stream"]] == [2_000, 20_000]
    assert [row["streams"] for row in result["streams"]] == [4, 40]
    assert all(value > 0 for row in (*result["stream"], *result["streams"]) for value in row.values())
    picture = ElementTree.fromstring((tmp_path / "curves.svg").read_text())
    assert len(picture.findall(f"{SVG}g")) == 9
    assert list((tmp_path / "work").iterdir()) == []


def test_picture_is_well_formed_whatever_is_written_into_it(bench_module: Callable[[str], Any]) -> None:
    chart = bench_module("chart")
    panels = [
        chart.Panel("a < b & c", "x > y", {"one": [(1, 0.5), (100, 2_000_000)], "two": [(1, 5)]}),
        chart.Panel("nothing", "x", {"one": []}),
        chart.Panel("one and the same", "x", {"one": [(10, 7), (10, 7)]}),
    ]
    picture = ElementTree.fromstring(chart.draw("<title>", '"caption" & more', panels, columns=2))
    assert picture.tag == f"{SVG}svg"
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert {"a < b & c", "<title>", "not measured", "2M", "0.5", "0.1"} <= set(texts)
    width, height = float(picture.attrib["width"]), float(picture.attrib["height"])
    circles = list(picture.iter(f"{SVG}circle"))
    assert len(circles) == 5
    assert all(0 < float(circle.attrib["cx"]) < width / 2 for circle in circles)
    assert all(0 < float(circle.attrib["cy"]) < height for circle in circles)


def test_greater_is_higher_and_further_right(bench_module: Callable[[str], Any]) -> None:
    chart = bench_module("chart")
    picture = ElementTree.fromstring(chart.draw("", "", [chart.Panel("", "", {"one": [(100, 3), (1, 1), (10, 2)]})]))
    places = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in picture.iter(f"{SVG}circle")]
    assert places == sorted(places)
    assert [y for _, y in places] == sorted((y for _, y in places), reverse=True)


def test_stream_that_grows_has_a_second_for_each_datapoint(bench_module: Callable[[str], Any]) -> None:
    growth = bench_module("growth")
    curve = growth._Curve()
    points = json.loads(curve.grow(1_000)) + json.loads(curve.grow(500))
    assert [int(point["t"]) - growth.START_S for point in points] == list(range(1_500))
    assert all(round(point["d"], 2) == point["d"] for point in points)
    assert all(round(point["t"], 3) == point["t"] for point in points)


def test_range_that_is_not_the_right_one_ends_the_benchmark(bench_module: Callable[[str], Any]) -> None:
    growth = bench_module("growth")
    body = growth._Curve().grow(growth.RANGE_POINTS)
    growth._check_ranges([0], [body])
    with pytest.raises(bench_module("workbench").WrongResult):
        growth._check_ranges([1], [body])
