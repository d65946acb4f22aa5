"""The benchmarks still run. What they say is looked at by people; here the input is too small to say anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run_bench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def bench_module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Import a module of the benchmarks, which are no part of the package."""
    monkeypatch.syspath_prepend(str(ROOT))

    def load(name: str) -> Any:
        return __import__(f"bench.{name}", fromlist=[name])

    return load


@pytest.mark.slow
def test_tiny_run_measures_every_figure_checks_it_and_leaves_nothing_behind(tmp_path: Path) -> None:
    work = tmp_path / "work"
    done = run_bench("--tiny", "--folder", str(work), "--json", str(tmp_path / "result.json"))
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["tiny"]
    assert result["machine"]["synchronous"] == "full"
    assert list(result["figures"]) == [
        "a1",
        "a8",
        "b1",
        "b4",
        "lf",
        "ln",
        "c",
        "d1",
        "d8",
        "login",
        "start",
        "idle",
        "full",
    ]
    for name, figure in result["figures"].items():
        assert 0 < figure["min"] <= figure["median"] <= figure["max"], name
        assert all(floor["ratio"] > 0 for floor in figure["floors"].values()), name
        assert figure["title"] in done.stdout
    assert result["figures"]["lf"]["digest"] == result["figures"]["ln"]["digest"] != ""
    assert "tiny input" in done.stdout
    assert list(work.iterdir()) == []


def test_only_the_figures_asked_for_are_measured(tmp_path: Path) -> None:
    done = run_bench(
        "--tiny", "--only", "a1", "--runs", "2", "--folder", str(tmp_path / "work"), CONNECTORDB_LOG__REQUESTS="false"
    )
    assert done.returncode == 0, done.stderr
    assert "a1: durable single inserts" in done.stdout
    assert "a8:" not in done.stdout
    assert "run 2 of 2" in done.stderr
    assert "CONNECTORDB_LOG__REQUESTS=false" in done.stdout


def test_unknown_figure_is_refused_with_the_names_that_there_are() -> None:
    done = run_bench("--only", "z9")
    assert done.returncode == 2
    assert "a1" in done.stderr


def test_wrong_result_ends_the_benchmark(bench_module: Callable[[str], Any]) -> None:
    scenarios, points = bench_module("scenarios"), bench_module("points").Points(10)
    right = bench_module("points").digest([points.json(0, 10)])
    assert scenarios.check_digest("x", right, [points.json(0, 10)]) == right
    with pytest.raises(scenarios.WrongResult):
        scenarios.check_digest("x", right, [points.json(0, 9)])


def test_digest_sees_the_data_and_not_how_it_is_written(bench_module: Callable[[str], Any]) -> None:
    digest = bench_module("points").digest
    assert digest([b'[{"t":1.5,"d":2.25}]']) == digest([b'[ {"d": 2.250, "t": 15e-1} ]'])
    assert digest([b'[{"t":1.5,"d":2.25}]']) != digest([b'[{"t":1.5,"d":2.26}]'])
    assert digest([b"[]", b'[{"t":1,"d":1}]']) != digest([b'[{"t":1,"d":1}]', b"[]"])


def test_rate_counts_only_while_all_clients_are_at_it(bench_module: Callable[[str], Any]) -> None:
    timing = bench_module("timing")
    early = timing.Timed(array("d", [0.0, 1.0, 2.0, 3.0]), array("d", [1.0, 2.0, 3.0, 4.0]))
    late = timing.Timed(array("d", [2.0, 4.0]), array("d", [4.0, 6.0]))
    assert timing.rate([early, late]) == 3 / 2  # from 2 to 4: two of the first, one of the second
    assert timing.rate([late]) == 2 / 4


def test_chunked_answer_is_put_together(bench_module: Callable[[str], Any]) -> None:
    answer = bench_module("exchange").Answer(b"3\r\nabc\r\n2;x=y\r\n\r\n\r\n0\r\n\r\n", True)
    assert answer.body() == b"abc\r\n"
