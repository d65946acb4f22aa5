"""kill -9 at any moment: what was acknowledged is there, once, in order; what was refused is not."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import random
import select
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import crash_child
import pytest
from crash_child import BATCH, Task
from store_load import REFUSED, mirrored
from store_model import make_streams, values

from connectordb.store.check import check
from connectordb.store.sqlite import SQLiteStore

DATABASES = 8 if "CI" in os.environ else 1
ROUNDS = 25
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def processes() -> Iterator[ForkServerContext]:
    """Makes processes that need not import anything: else that would be most of what a round takes."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["crash_child", "connectordb.store._codec", "numpy", "pcodec", "zstandard"])
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(Path(__file__).parent))  # the server has not got the path of this process
        yield made


def run_and_kill(processes: ForkServerContext, task: Task, seconds: float, *, at_once: bool) -> Iterator[list[str]]:
    """Let a child work, kill it so many seconds after its first line (or its start), and yield the lines' words."""
    listen, tell = processes.Pipe(duplex=False)
    child = processes.Process(target=crash_child.main, args=(task, tell), daemon=True)
    child.start()
    tell.close()
    heard = bytearray()
    descriptor = listen.fileno()
    until = time.monotonic() + (seconds if at_once else PATIENCE_S)
    begun = at_once
    while (left := until - time.monotonic()) > 0:
        if select.select([descriptor], [], [], left)[0]:
            piece = os.read(descriptor, 1 << 16)
            assert piece, f"the child has died by itself: {heard[-300:].decode()}"
            heard += piece
            if not begun:
                begun, until = True, time.monotonic() + seconds
    child.kill()
    child.join()
    while piece := os.read(descriptor, 1 << 16):
        heard += piece
    listen.close()
    assert begun, "the child did nothing"
    for line in heard.decode().splitlines(keepends=True):
        if line.endswith("\n"):
            yield line.split(maxsplit=1)


class Expected:
    """What there has to be."""

    def __init__(self) -> None:
        self.newest = dict.fromkeys(range(4), -1)
        self.lengths = dict.fromkeys(range(4), 0)
        self.corrected: Counter[int] = Counter()  # values of the stream 4
        self._under_way: dict[str, list[int]] = {}

    def hear(self, kind: str, rest: str) -> None:
        if kind != "4":
            self.newest[int(kind)] = int(rest)
        elif rest.strip() == "done":
            self.corrected = self._after()
            self._under_way = {}
        elif rest.strip() == "refused":
            self._under_way = {}
        else:
            self._under_way = json.loads(rest)

    def compare(self, found: list[list[tuple[float, Any]]]) -> None:
        """Compare with what was *found*; from now on that is what there has to be."""
        for kind in (0, 1, 3):
            assert [d for _, d in found[kind]] == list(range(len(found[kind])))
        assert sorted(d for _, d in found[2]) == list(range(len(found[2])))
        for kind, n in self.newest.items():
            # At most one insert of each kind is stored and not acknowledged, in a round.
            under_way = BATCH if kind == 1 else 1
            assert n < len(found[kind]) <= max(n + 1, self.lengths[kind]) + under_way
            self.lengths[kind] = len(found[kind])
        corrected = Counter(d for _, d in found[4])
        assert corrected in (self.corrected, self._after())
        assert REFUSED not in corrected
        self.corrected, self._under_way = corrected, {}

    def _after(self) -> Counter[int]:
        """With what was under way."""
        after = self.corrected.copy()
        after.subtract(self._under_way.get("take", ()))
        after.update(self._under_way.get("add", ()))
        assert all(number >= 0 for number in after.values())
        return +after


@pytest.mark.parametrize("seed", range(DATABASES))
def test_acknowledged_points_are_there_once_after_kill_9(
    tmp_path: Path, processes: ForkServerContext, seed: int
) -> None:
    path = tmp_path / "s.db"
    with SQLiteStore(path) as store:
        streams = make_streams(store, 5)
    rng = random.Random(seed)
    expected = Expected()
    mirrors: list[tuple[list[tuple[float, Any]], int]] = [([], 0) for _ in streams]
    for k in itertools.count():
        if k >= ROUNDS and len(expected.corrected) > 100:  # on a slow machine little happens in a round
            break
        assert k < 20 * ROUNDS
        task = Task(path, streams, expected.newest[3] + 2, (k + 1) * 1_000_000, -1)
        at_once = rng.random() < 0.2
        for words in run_and_kill(processes, task, rng.uniform(0.0, 0.03 if at_once else 0.15), at_once=at_once):
            expected.hear(*words)
        assert list(check(path)) == []
        with SQLiteStore(path, seal_after_s=None) as store:
            found = [values(store, stream) for stream in streams]
            mirrors = [mirrored(store, stream, *mirror) for stream, mirror in zip(streams, mirrors, strict=True)]
        expected.compare(found)
        for points in found:
            stamps = [t for t, _ in points]
            assert stamps == sorted(stamps)
        assert [points for points, _ in mirrors] == found
    assert all(n > 0 for n in expected.newest.values())
