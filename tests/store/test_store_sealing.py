"""Sealing: text becomes blocks, and nothing else changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_model import block, insert, make_streams, values

from connectordb.block import Block
from connectordb.datapoint import Datapoint
from connectordb.query import Range
from connectordb.store import _seal
from connectordb.store._data import View
from connectordb.store._key import key_of, place_of
from connectordb.store._runs import BLOCK_POINTS
from connectordb.store.check import check
from connectordb.store.records import Mode, Substream
from connectordb.store.sqlite import SQLiteStore

MAIN = Substream.MAIN


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    """One in which nothing is sealed but when it is asked for."""
    with SQLiteStore(tmp_path / "s.db", seal_after_s=None) as made:
        yield made


def rows(store: SQLiteStore, sql: str) -> list[tuple[Any, ...]]:
    with store._readers.borrow() as connection:
        return connection.execute(sql).fetchall()


def runs(store: SQLiteStore, stream: int) -> list[tuple[int, int, bool]]:
    """Index, number, and whether it is a block."""
    base = place_of(key_of(stream, MAIN))
    found = rows(store, f"SELECT place - {base}, n, block IS NOT NULL FROM runs ORDER BY place")
    return [(i, n, bool(sealed)) for i, n, sealed in found]


def fill(store: SQLiteStore, stream: int, n: int, *, begin: float = 0.0, at_once: int = 1_000) -> None:
    for start in range(0, n, at_once):
        points = [Datapoint(begin + i, i / 4) for i in range(start, min(n, start + at_once))]
        insert(store, stream, Block.of(points))


def test_what_is_sealed_reads_as_before(store: SQLiteStore) -> None:
    [stream] = make_streams(store, 1)
    fill(store, stream, 20_000)
    before = values(store, stream)
    assert store.seal(stream, MAIN) == 20_000
    assert all(sealed and n <= BLOCK_POINTS for _, n, sealed in runs(store, stream))
    assert values(store, stream) == before
    assert store.index_at(stream, MAIN, 12_345.5) == 12_346
    some = list(store.read(stream, MAIN, Range(t1=9_000.0, t2=9_003.0)))
    assert [(p.t, p.d) for b in some for p in b.points] == [(9_001.0, 2250.25), (9_002.0, 2250.5), (9_003.0, 2250.75)]
    assert rows(store, "SELECT sealed FROM heads ORDER BY substream LIMIT 1") == [(20_000,)]


def test_a_small_last_block_grows_with_what_comes(store: SQLiteStore) -> None:
    [stream] = make_streams(store, 1)
    fill(store, stream, 1_000)
    store.seal(stream, MAIN)
    fill(store, stream, 1_000, begin=1_000.0)
    store.seal(stream, MAIN)
    assert runs(store, stream) == [(0, 2_000, True)]
    assert rows(store, "SELECT count(*) FROM blocks") == [(1,)]


def test_small_blocks_become_one(store: SQLiteStore) -> None:
    [stream] = make_streams(store, 1)
    fill(store, stream, 25_000, at_once=5_000)
    assert [n for _, n, _ in runs(store, stream)] == [5_000] * 5
    store.seal(stream, MAIN)
    assert [n for _, n, _ in runs(store, stream)] == [10_000, 10_000, 5_000]
    assert values(store, stream) == [(float(i), i / 4) for i in range(25_000)]


def test_few_new_datapoints_stay_text(store: SQLiteStore) -> None:
    [stream] = make_streams(store, 1)
    fill(store, stream, 100)
    assert store.seal(stream, MAIN, least=101) == 0
    assert runs(store, stream) == [(0, 100, False)]


def test_what_comes_meanwhile_is_not_lost(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the reading and the writing of a seal come appends, and a late datapoint."""
    [stream] = make_streams(store, 1)
    fill(store, stream, 3_000)
    meanwhile = [
        lambda: insert(store, stream, block((5_000.0, "new"))),
        lambda: insert(store, stream, block((1.5, "late")), Mode.MERGE),
    ]
    original = _seal.sealed_of

    def interrupted(of: Block) -> Any:
        if meanwhile:
            meanwhile.pop(0)()
        return original(of)

    monkeypatch.setattr(_seal, "sealed_of", interrupted)
    store.seal(stream, MAIN)
    store.seal(stream, MAIN)
    assert not meanwhile
    found = values(store, stream)
    assert found[:4] == [(0.0, 0.0), (1.0, 0.25), (1.5, "late"), (2.0, 0.5)]
    assert found[-1] == (5_000.0, "new")
    assert len(found) == 3_002
    assert list(check(store._path)) == []


def test_late_datapoints_go_into_blocks(store: SQLiteStore) -> None:
    [stream] = make_streams(store, 1)
    fill(store, stream, 30_000)
    store.seal(stream, MAIN)
    before = dict(rows(store, "SELECT place, block FROM runs"))
    insert(store, stream, block((10.5, -1.0), (10.5, -2.0)), Mode.MERGE)
    after = dict(rows(store, "SELECT place, block FROM runs"))
    assert len(set(after.values()) - set(before.values())) == 1  # only one was written anew
    found = values(store, stream)
    assert found[10:14] == [(10.0, 2.5), (10.5, -1.0), (10.5, -2.0), (11.0, 2.75)]
    assert len(found) == 30_002
    assert rows(store, "SELECT sealed FROM heads ORDER BY substream LIMIT 1") == [(30_002,)]
    assert list(check(store._path)) == []


def test_history_in_front_leaves_the_blocks_behind_as_they_are(store: SQLiteStore) -> None:
    [stream] = make_streams(store, 1)
    fill(store, stream, 30_000, begin=1e9)
    store.seal(stream, MAIN)
    before = {block for (block,) in rows(store, "SELECT block FROM runs")}
    for start in range(0, 5_000, 1_000):
        points = [Datapoint(float(start + i + 1), start + i) for i in range(1_000)]
        insert(store, stream, Block.of(points), Mode.MERGE)
    after = {block for (block,) in rows(store, "SELECT block FROM runs")}
    assert len(before - after) <= 1
    found = values(store, stream)
    assert [d for _, d in found[:5_000]] == list(range(5_000))
    assert len(found) == 35_000
    assert list(check(store._path)) == []


def test_in_the_background(tmp_path: Path) -> None:
    with SQLiteStore(tmp_path / "s.db", seal_after_s=0.05) as store:
        streams = make_streams(store, 3)
        fill(store, streams[0], 50_000)
        fill(store, streams[1], 1_500)
        fill(store, streams[2], 1_000)  # too few
        until = time.monotonic() + 30
        while store.sealed.points < 50_000 and time.monotonic() < until:
            threading.Event().wait(0.02)
        assert store.sealed.points >= 50_000
        assert values(store, streams[0]) == [(float(i), i / 4) for i in range(50_000)]
        assert values(store, streams[1]) == [(float(i), i / 4) for i in range(1_500)]
    assert list(check(tmp_path / "s.db")) == []
    with SQLiteStore(tmp_path / "s.db", seal_after_s=None) as store:
        left = rows(store, "SELECT sum(n) FROM runs WHERE block IS NULL")[0][0]
        assert left < BLOCK_POINTS


def test_an_earlier_process_left_something(tmp_path: Path) -> None:
    with SQLiteStore(tmp_path / "s.db", seal_after_s=None) as store:
        [stream] = make_streams(store, 1)
        fill(store, stream, 9_000)
    with SQLiteStore(tmp_path / "s.db", seal_after_s=0.01) as store:
        until = time.monotonic() + 30
        while not store.sealed.points and time.monotonic() < until:
            threading.Event().wait(0.02)
        assert store.sealed.points >= BLOCK_POINTS // 2


def test_blocks_go_with_their_stream(store: SQLiteStore) -> None:
    streams = make_streams(store, 2)
    for stream in streams:
        fill(store, stream, 2_000)
        store.seal(stream, MAIN)
    store.submit(lambda tx: tx.delete_stream(streams[0])).result()
    assert rows(store, "SELECT count(*) FROM blocks") == [(1,)]
    assert len(values(store, streams[1])) == 2_000
    assert store.seal_all() == 0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0.001, 4e9), json_values), min_size=1, max_size=30), st.data())
def test_any_values_come_back(points: list[tuple[float, Any]], data: st.DataObject) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder, SQLiteStore(Path(folder) / "s.db", seal_after_s=None) as store:
        [stream] = make_streams(store, 1)
        for t, d in points:
            insert(store, stream, block((t, d)), Mode.MERGE)
            if data.draw(st.booleans()):
                store.seal(stream, MAIN)
        found = values(store, stream)
        wanted = sorted(points, key=lambda p: p[0])
        assert [(t, repr(d)) for t, d in found] == [(t, repr(d)) for t, d in wanted]


def test_of_whole_blocks_it_is_told_what_is_known(store: SQLiteStore) -> None:
    [stream] = make_streams(store, 1)
    fill(store, stream, 50_000, at_once=5_000)
    fill(store, stream, 100, begin=50_000.0)
    found = list(store.read_summaries(stream, MAIN, Range(i1=2_000)))
    first, known, last = found
    assert isinstance(first, Block)
    assert isinstance(last, Block)
    assert not isinstance(known, Block)
    assert first.n + sum(one.n for one in known) + last.n == 48_100
    assert known[0] == (5_000, 5_000.0, 9_999.0, 1250.0, 5_000.0, 2499.75, 9_999.0, 9374375.0, 1250.0, 2499.75)
    some = list(store.read_summaries(stream, MAIN, Range(i1=0, i2=20_000), lambda t1, t2: t1 > 9_000.0))
    assert [one.n if isinstance(one, Block) else [s.n for s in one] for one in some] == [
        5_000,
        5_000,
        [5_000, 5_000],
    ]


def test_a_large_insert_is_a_block_at_once(store: SQLiteStore) -> None:
    [stream] = make_streams(store, 1)
    insert(store, stream, block((-1.0, "text")))
    fill(store, stream, 20_000, at_once=10_000)
    assert runs(store, stream) == [(0, 1, False), (1, 10_000, True), (10_001, 10_000, True)]
    assert store.seal(stream, MAIN) == 1
    assert len(values(store, stream)) == 20_001


def test_one_stream_that_cannot_be_sealed_keeps_no_other_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    original = _seal.sealed_of

    def failing(of: Block) -> Any:
        if of.t1 == 0.0:
            raise ZeroDivisionError("a mistake")
        return original(of)

    monkeypatch.setattr(_seal, "sealed_of", failing)
    with SQLiteStore(tmp_path / "s.db", seal_after_s=0.01) as store:
        streams = make_streams(store, 2)
        fill(store, streams[0], 3_000)
        fill(store, streams[1], 3_000, begin=1.0)
        until = time.monotonic() + 30
        while not store.sealed.points and time.monotonic() < until:
            threading.Event().wait(0.02)
        assert store.sealed.points >= 1_000
        assert len(values(store, streams[0])) == 3_000
    assert "a mistake in this program" in caplog.text


def test_late_datapoints_elsewhere_hold_nothing_up(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the reading and the writing of a seal something comes in front, is deleted, and is updated behind."""
    [stream] = make_streams(store, 1)
    for start in range(0, 30_000, 300):
        insert(store, stream, Block.of([Datapoint(1e3 + start + i, start + i) for i in range(300)]))
    original = _seal.sealed_of
    calls = 0

    def interrupted(of: Block) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:  # while the second block is packed
            insert(store, stream, block((5.0, "late"), (6.0, "late")), Mode.MERGE)
            insert(store, stream, block((1e3 + 25_000.5, "late")), Mode.MERGE)
            store.submit(lambda tx: tx.delete_points(stream, MAIN, 0, 1, by="a/b")).result()
            store.submit(lambda tx: tx.update_point(stream, MAIN, 29_000, b"0.5", by="a/b")).result()
        return original(of)

    monkeypatch.setattr(_seal, "sealed_of", interrupted)
    seal_once = _seal.seal(store._readers, store._submit, key_of(stream, MAIN), 1)
    assert calls >= 2
    assert seal_once.points > 0
    found = values(store, stream)
    assert [d for _, d in found[:3]] == ["late", 0, 1]
    assert len(found) == 30_002
    assert (found[29_000][1], found[25_002][1]) == (0.5, "late")
    store.seal(stream, MAIN)
    assert values(store, stream) == found
    assert list(check(store._path)) == []


def test_what_changes_all_the_time_is_sealed_on_the_writer(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    [stream] = make_streams(store, 1)
    fill(store, stream, 1_000)
    original = _seal.sealed_of
    late = 0

    def interrupted(of: Block) -> Any:
        nonlocal late
        late += 1
        insert(store, stream, block((10.5, late)), Mode.MERGE)
        return original(of)

    monkeypatch.setattr(_seal, "sealed_of", interrupted)
    assert store.seal(stream, MAIN) == 1_003
    assert late == 3
    assert [d for _, d in values(store, stream)[11:14]] == [1, 2, 3]


@pytest.mark.parametrize("n", [1, 40])
def test_much_text_is_a_block_at_once(store: SQLiteStore, n: int) -> None:
    [stream] = make_streams(store, 1)
    insert(store, stream, block(*((float(i), "x" * 40_000) for i in range(n))))
    assert all(sealed for _, _, sealed in runs(store, stream))
    assert [len(d) for _, d in values(store, stream)] == [40_000] * n


def test_few_datapoints_with_much_text_are_sealed_too(tmp_path: Path) -> None:
    with SQLiteStore(tmp_path / "s.db", seal_after_s=3_600) as store:
        [stream] = make_streams(store, 1)
        for i in range(80):
            insert(store, stream, block((float(i), "x" * 30_000)))
        until = time.monotonic() + 30
        while not store.sealed.points and time.monotonic() < until:
            threading.Event().wait(0.02)
        assert store.sealed.points
        assert [len(d) for _, d in values(store, stream)] == [30_000] * 80


def test_a_merge_into_many_blocks_holds_few_of_them(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    [stream] = make_streams(store, 1)
    fill(store, stream, 120_000, at_once=10_000)
    most = 0
    original = View._unsealed

    def counted(self: View, *args: Any) -> Block:
        nonlocal most
        made = original(self, *args)
        most = max(most, len(self._sealed))
        return made

    monkeypatch.setattr(View, "_unsealed", counted)
    insert(store, stream, block(*((i + 0.5, "late") for i in range(0, 120_000, 10_000))), Mode.MERGE)
    assert 0 < most <= 2
    assert len(values(store, stream)) == 120_012


def test_a_small_block_grows_although_something_came_in_front(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is noted as sealed ends with a block also then."""
    [stream] = make_streams(store, 1)
    fill(store, stream, 12_000, begin=10.0)
    store.seal(stream, MAIN)
    fill(store, stream, 100, begin=20_000.0)
    original = _seal.sealed_of
    meanwhile = [lambda: insert(store, stream, block((1.5, "late")), Mode.MERGE)]

    def interrupted(of: Block) -> Any:
        while meanwhile:
            meanwhile.pop()()
        return original(of)

    monkeypatch.setattr(_seal, "sealed_of", interrupted)
    assert _seal.seal(store._readers, store._submit, key_of(stream, MAIN), 1).points > 100
    assert list(check(store._path)) == []
    fill(store, stream, 100, begin=30_000.0)
    assert store.seal(stream, MAIN) > 100


def test_blocks_that_no_other_fits_with_do_not_hide_what_is_behind_them(store: SQLiteStore) -> None:
    """Each is more than half as long as a block may be, and less than a full one."""
    [stream] = make_streams(store, 1)
    for i in range(16):
        insert(store, stream, block((float(i), "x" * 600_000)))
    fill(store, stream, 200, begin=100.0, at_once=10)
    assert store.seal(stream, MAIN) >= 200
    assert all(sealed for _, _, sealed in runs(store, stream))
