"""Other databases: those not there are left out, those that do not start say so, those that do are compared."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("influxd", "victoria-metrics")


@pytest.fixture
def only_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, str]], None]:
    """Let nothing be on the path but these shell scripts."""

    def replace(scripts: Mapping[str, str]) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name, script in scripts.items():
            (folder / name).write_text(f"#!{shutil.which('sh')}\n{script}\n")
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    return replace


def test_what_is_not_on_the_path_is_not_installed(
    bench_module: Callable[[str], Any], only_programs: Callable[[Mapping[str, str]], None]
) -> None:
    against = bench_module("against")
    assert {peer.program for peer in against.AGAINST} == {*PROGRAMS, "postgres"}
    only_programs({"influxd": "exit 1", "postgres": "exit 1"})  # without the program that makes it a folder
    assert against.installed() == [bench_module("peers").InfluxDB]


def test_peer_that_does_not_start_is_left_out_with_what_it_said(
    tmp_path: Path, only_programs: Callable[[Mapping[str, str]], None]
) -> None:
    only_programs({"influxd": "echo no such luck; exit 1"})
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--tiny", "--only", "a1", "--folder", str(tmp_path / "work")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "without InfluxDB: influxd did not start:\nno such luck" in done.stderr
    assert "apsw, one row a commit" in done.stdout


def test_peer_that_does_not_start_says_why(
    bench_module: Callable[[str], Any], only_programs: Callable[[Mapping[str, str]], None], tmp_path: Path
) -> None:
    only_programs({"influxd": "echo no such luck; exit 1"})
    with pytest.raises(bench_module("peers").PeerError, match="no such luck"):
        bench_module("peers").InfluxDB(tmp_path / "data")


def test_version_is_asked_of_the_program_and_of_the_package(
    bench_module: Callable[[str], Any], only_programs: Callable[[Mapping[str, str]], None]
) -> None:
    peers = bench_module("peers")
    only_programs(
        {"influxd": 'echo "InfluxDB v1.6.7 (git: unknown)"', "victoria-metrics": ":", "dpkg-query": "printf 9.9"}
    )
    assert peers.InfluxDB.version() == "InfluxDB v1.6.7"
    assert peers.VictoriaMetrics.version() == "VictoriaMetrics 9.9"


def test_version_of_a_program_that_nobody_knows(
    bench_module: Callable[[str], Any], only_programs: Callable[[Mapping[str, str]], None]
) -> None:
    only_programs({"victoria-metrics": ":"})
    assert bench_module("peers").VictoriaMetrics.version() == "VictoriaMetrics of unknown version"


@pytest.mark.parametrize("program", PROGRAMS)
def test_peer_keeps_what_it_is_given_and_is_gone_afterwards(
    bench_module: Callable[[str], Any], tmp_path: Path, program: str
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    [kind] = [peer for peer in bench_module("against").AGAINST if peer.program == program]
    points = bench_module("points").Points(50)
    expected = [(round(t * 1000), d) for t, d in zip(points.t, points.d, strict=True)]
    with kind(tmp_path / "data") as peer:
        pid = peer.pid
        peer.exchange(peer.insert("a", points, 0, 50))
        peer.exchange(peer.insert_everywhere(["b", "c"], points, 7))
        peer.flush()
        assert peer.read(peer.exchange(peer.whole("a"))) == expected
        t1, t2 = points.bounds(10, 20)
        assert peer.read(peer.exchange(peer.between("a", t1, t2))) == expected[10:20]
        assert peer.read(peer.exchange(peer.whole("c"))) == expected[7:8]
        assert peer.read_mean(peer.exchange(peer.mean("a", points))) == pytest.approx(sum(points.d) / 50)
        assert peer.memory_mb > 1
    assert not psutil.pid_exists(pid)
    assert not [found for found in psutil.process_iter(["ppid", "name"]) if _is_child(found, program)]


def test_postgresql_keeps_what_it_is_given_and_is_gone_afterwards(
    bench_module: Callable[[str], Any], tmp_path: Path
) -> None:
    postgres = bench_module("postgres")
    if not postgres.PostgreSQL.is_installed():
        pytest.skip("PostgreSQL is not installed")
    points = bench_module("points").Points(5)
    pairs = list(zip(points.t, points.d, strict=True))
    # Root cannot run it, and the user that can has to reach its folder.
    with tempfile.TemporaryDirectory() as folder:
        with postgres.PostgreSQL(Path(folder) / "data") as peer:
            pid = peer.pid
            timed = postgres.Statements(peer.host, peer.port, "a", pairs)(lambda: None)
            assert len(timed.begun) == len(timed.ended) == 5
            assert peer.stored("a") == [(round(t * 1000), d) for t, d in pairs]
            with pytest.raises(OSError, match="duplicate key"):
                postgres.Statements(peer.host, peer.port, "a", pairs[:1])(lambda: None)
        assert not psutil.pid_exists(pid)


def _is_child(process: psutil.Process, program: str) -> bool:
    return bool(process.info["ppid"] == os.getpid() and process.info["name"] == program[:15])


def test_wrong_answer_of_a_peer_is_told(bench_module: Callable[[str], Any]) -> None:
    against, points = bench_module("against"), bench_module("points").Points(3)
    right = [(round(t * 1000), d) for t, d in zip(points.t, points.d, strict=True)]
    against._check("x", right, points, 0, 3)
    for wrong in (right[:2], [*right[:2], (right[2][0], right[2][1] + 0.01)], [*right[:2], (0, right[2][1])]):
        with pytest.raises(bench_module("workbench").WrongResult):
            against._check("x", wrong, points, 0, 3)


@pytest.mark.parametrize("told_by_end", [False, True])
def test_windows_of_a_peer_are_checked_as_it_counts_them(bench_module: Callable[[str], Any], told_by_end: bool) -> None:
    against, points, peers = bench_module("against"), bench_module("points").Points(2_000), bench_module("peers")
    size = bench_module("workbench").BUCKET_S
    kind = peers.VictoriaMetrics if told_by_end else peers.InfluxDB
    windows: dict[int, list[float]] = {}
    for t, d in zip(points.t, points.d, strict=True):
        start = int(t // size * size)
        if told_by_end and t == start:
            start -= size
        windows.setdefault(start, []).append(d)
    found = [((t + (size if told_by_end else 0)) * 1000, sum(d) / len(d), min(d), max(d)) for t, d in windows.items()]
    against._check_windows(kind, found, points)
    with pytest.raises(bench_module("workbench").WrongResult):
        against._check_windows(kind, found[1:], points)
    with pytest.raises(bench_module("workbench").WrongResult):
        against._check_windows(kind, [(t, mean, low - 1, high) for t, mean, low, high in found], points)


def test_table_is_the_same_from_every_form(bench_module: Callable[[str], Any]) -> None:
    frames, points = bench_module("frames"), bench_module("points").Points(9)
    times, values = [round(t * 1000) for t in points.t], list(points.d)
    lines = [
        msgspec.json.encode({"metric": {}, "values": values[some], "timestamps": times[some]})
        for some in (slice(4, None), slice(4))
    ]
    series = {"series": [{"values": list(zip(times, values, strict=True))}]}
    expected = frames.digest_as_table(points)
    for frame in (
        frames._victoriametrics(b"\n".join(lines)),
        frames._influxdb(msgspec.msgpack.encode({"results": [series]})),
    ):
        assert frames._framed(0.0, frame).digest == expected
        assert frames._framed(0.0, frame[::-1]).digest != expected
