"""Power cuts at any moment: what was acknowledged is there, what was refused is not, and nothing is damaged.

What had not been synced is lost, or is there in parts, in whatever order; see `FaultyVFS.cut_power`.
``CONNECTORDB_POWER_SEEDS=200`` tries more than the few of each run.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from store_load import Load, read_all, tighten
from store_model import make_streams
from store_vfs import FaultyVFS

from connectordb.store.check import check
from connectordb.store.sqlite import SQLiteStore

SEEDS = int(os.environ.get("CONNECTORDB_POWER_SEEDS", "6"))
WORKS = 100
STEPS_BETWEEN = 100  # at most, of the disk, between two cuts
OLD = sorted(Path(__file__).with_name("data").glob("*.sql"))


@pytest.fixture
def vfs() -> Iterator[FaultyVFS]:
    made = FaultyVFS()
    yield made
    made.unregister()


class Cuts:
    """Cuts the power again and again, each time in another world.

    Attributes:
        made: The folder with what was left, and what `note` returned at that moment.
    """

    def __init__(self, vfs: FaultyVFS, folder: Path, rng: random.Random, steps_between: int = STEPS_BETWEEN) -> None:
        self._vfs = vfs
        self._folder = folder
        self._rng = rng
        self._steps_between = steps_between
        self._next = rng.randint(1, steps_between)
        self.progress = 0
        self.made: list[tuple[Path, int]] = []
        folder.mkdir()
        vfs.on_step = self._step

    def _step(self) -> None:
        if self._vfs.steps < self._next:
            return
        self._next = self._vfs.steps + self._rng.randint(1, self._steps_between)
        into = self._folder / str(len(self.made))
        self.made.append((into, self.progress))
        self._vfs.cut_power(into, self._rng if self._rng.random() < 0.8 else None)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_that_was_acknowledged_is_lost(
    tmp_path: Path, vfs: FaultyVFS, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    tighten(monkeypatch.setattr)
    rng = random.Random(seed)
    with SQLiteStore(tmp_path / "s.db", vfs=vfs.name, seal_after_s=None) as store:
        load = Load(store, make_streams(store, 3), rng)
        cuts = Cuts(vfs, tmp_path / "cuts", rng)
        for _ in range(WORKS):
            load.work()
            cuts.progress += 1
        vfs.on_step = None
    assert len(cuts.made) > 10
    for folder, acknowledged in cuts.made:
        path = folder / "s.db"
        assert list(check(path)) == []
        # The work that was under way is there, or not. Sealing is several, and changes nothing that can be seen.
        before, after = load.states[acknowledged], load.states[min(acknowledged + 1, WORKS)]
        with SQLiteStore(path, seal_after_s=None) as store:
            found = read_all(store, before | after)
            assert found in (before, after)
            Load(store, list(found), random.Random(1)).work()
        assert list(check(path)) == []
        shutil.rmtree(folder)


@pytest.mark.parametrize("commit", OLD, ids=lambda commit: commit.stem)
def test_a_power_cut_while_a_database_is_brought_up_to_date_leaves_it_as_it_was_or_is(
    tmp_path: Path, vfs: FaultyVFS, commit: Path
) -> None:
    path = tmp_path / "s.db"
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(commit.read_text("utf-8"))
        version = connection.pragma("user_version")
    cuts = Cuts(vfs, tmp_path / "cuts", random.Random(2), steps_between=3)
    with SQLiteStore(path, vfs=vfs.name, seal_after_s=None) as store:
        vfs.on_step = None
        expected = read_all(store, {stream: [] for stream in range(1, 10)})
    newest = 3
    versions = set()
    for folder, _ in cuts.made:
        if not (folder / "s.db").exists():
            continue
        with closing(apsw.Connection(str(folder / "s.db"))) as connection:
            versions.add(connection.pragma("user_version"))
        assert list(check(folder / "s.db")) == []
        with SQLiteStore(folder / "s.db", seal_after_s=None) as store:
            assert read_all(store, expected) == expected
    assert version in versions
    assert versions <= set(range(version, newest + 1))
