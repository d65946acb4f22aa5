"""kill -9 at any moment: what was acknowledged is there, once, in order."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from store_model import make_streams, values

from connectordb.store.check import check
from connectordb.store.sqlite import SQLiteStore

ROUNDS = 200 if "CI" in os.environ else 20
CHILD = Path(__file__).with_name("crash_child.py")


def run_and_kill(path: Path, streams: list[int], number: int, seconds: float) -> dict[int, int]:
    """Let the child insert, kill it, and return the greatest number acknowledged of each kind."""
    command = [sys.executable, str(CHILD), str(path), ",".join(map(str, streams)), str(number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        time.sleep(seconds)
        child.kill()
        lines = (first + child.stdout.read()).splitlines(keepends=True)
    assert child.returncode == -9
    acknowledged: dict[int, int] = {}
    for line in lines:
        if line.endswith("\n"):
            kind, n = map(int, line.split())
            acknowledged[kind] = n
    assert acknowledged
    return acknowledged


def test_acknowledged_points_are_there_once_after_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SQLiteStore(path) as store:
        streams = make_streams(store, 4)
    rng = random.Random(11)
    newest = dict.fromkeys(range(4), -1)
    before = dict.fromkeys(range(4), 0)
    for _ in range(ROUNDS):
        newest |= run_and_kill(path, streams, newest[3] + 2, rng.uniform(0.0, 0.15))
        assert list(check(path)) == []
        with SQLiteStore(path) as store:
            found = [values(store, stream) for stream in streams]
        for kind in (0, 1, 3):
            assert [d for _, d in found[kind]] == list(range(len(found[kind])))
        assert sorted(d for _, d in found[2]) == list(range(len(found[2])))
        for points in found:
            stamps = [t for t, _ in points]
            assert stamps == sorted(stamps)
        for kind, n in newest.items():
            # At most one insert of each kind is stored and not acknowledged, in a round.
            under_way = 700 if kind == 1 else 1
            assert n < len(found[kind]) <= max(n + 1, before[kind]) + under_way
            before[kind] = len(found[kind])
    assert all(n > 0 for n in newest.values())
