"""Stores to test, all with the same claims to fulfil."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The helpers beside this file are no package, as the test folders are none.
sys.path.insert(0, str(Path(__file__).parent))

from store_model import Clock, MemoryStore, make_streams

from connectordb.store import _corrections, _data, _layer, _merge, _replay, _seal, _since
from connectordb.store.base import Store
from connectordb.store.sqlite import SQLiteStore


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pages and rows so small that a few datapoints fill several."""
    for module in (_data, _since):
        monkeypatch.setattr(module, "PAGE_POINTS", 4)
        monkeypatch.setattr(module, "PAGE_BYTES_MAX", 150)
    monkeypatch.setattr(_replay, "PAGE_POINTS", 4)
    monkeypatch.setattr(_corrections, "BLOCK_POINTS", 6)
    monkeypatch.setattr(_layer, "ROW_POINTS_MAX", 5)
    monkeypatch.setattr(_layer, "_ROWS_MAX", 2)
    monkeypatch.setattr(_merge, "_TEXT_POINTS", 3)
    monkeypatch.setattr(_merge, "_OWN_POINTS", 3)
    monkeypatch.setattr(_merge, "BLOCK_POINTS", 6)
    monkeypatch.setattr(_seal, "BLOCK_POINTS", 6)
    monkeypatch.setattr(_seal, "_FULL_POINTS", 4)


@pytest.fixture(params=["memory", "sqlite", "sqlite-small"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Store]:
    """An empty store: each kind has to fulfil the contract."""
    made: Store
    if request.param == "memory":
        made = MemoryStore(clock=clock, page_points=400)
    else:
        if request.param == "sqlite-small":
            request.getfixturevalue("small")
        made = SQLiteStore(tmp_path / "connectordb.db", clock=clock)
    yield made
    made.close()


@pytest.fixture
def sqlite_store(tmp_path: Path, clock: Clock) -> Iterator[SQLiteStore]:
    with SQLiteStore(tmp_path / "connectordb.db", clock=clock) as made:
        yield made


@pytest.fixture
def streams(store: Store) -> list[int]:
    """Ids of three empty streams in `store`."""
    return make_streams(store, 3)


@pytest.fixture
def stream(streams: list[int]) -> int:
    """Id of an empty stream in `store`."""
    return streams[0]
