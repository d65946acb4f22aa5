"""Corrections: what is taken out, changed and taken back, and how readers and copies follow."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from store_model import Clock, block, insert, make_streams, unseen, values

from connectordb.block import Block
from connectordb.datapoint import Datapoint
from connectordb.errors import Conflict, InvalidRange, LimitReached, NotFound, TimestampOrder
from connectordb.query import Range
from connectordb.store import _corrections, _replay
from connectordb.store._connection import open_connection, query
from connectordb.store.base import Store, Transaction
from connectordb.store.check import check
from connectordb.store.records import Change, ChangeKind, Correction, CorrectionKind, Cursor, Head, Mode, Substream
from connectordb.store.sqlite import SQLiteStore

MAIN = Substream.MAIN
DELETED, UPDATED, UNDONE = CorrectionKind
N = 20
SQLITE = pytest.mark.parametrize("store", ["sqlite", "sqlite-small"], indirect=True)  # the model has no changes


@pytest.fixture(params=["text", "sealed"])
def stream(request: pytest.FixtureRequest, store: Store, streams: list[int]) -> int:
    """Id of a stream of twenty datapoints, ``(0.0, 0)`` to ``(19.0, 19)``."""
    insert(store, streams[0], block(*((float(i), i) for i in range(N))))
    if request.param == "sealed" and isinstance(store, SQLiteStore):
        assert store.seal(streams[0], MAIN) == N
    return streams[0]


def do(store: Store, work: Callable[[Transaction], Any]) -> Any:
    return store.submit(work).result()


def delete(store: Store, stream: int, i1: int, i2: int, **kw: Any) -> Correction:
    return do(store, lambda tx: tx.delete_points(stream, MAIN, i1, i2, by="me", **kw))


def update(store: Store, stream: int, i: int, d: Any, **kw: Any) -> Correction:
    return do(store, lambda tx: tx.update_point(stream, MAIN, i, json.dumps(d).encode(), by="me", **kw))


def undo(store: Store, stream: int, correction: Correction, **kw: Any) -> Correction:
    return do(store, lambda tx: tx.undo(stream, MAIN, correction.id, by="me", **kw))


def removed(store: Store, stream: int, correction: Correction) -> list[Any]:
    return [p.d for one in store.corrected(stream, MAIN, correction.id) for p in one.points]


def ds(store: Store, stream: int, **bounds: Any) -> list[Any]:
    return [d for _, d in values(store, stream, Range(**bounds))]


def insert_long(store: Store, stream: int, n: int) -> None:
    """Insert ``(0.0, 0)`` and so on, in many small pieces."""
    for k in range(0, n, 250):
        insert(store, stream, block(*((float(i), i) for i in range(k, k + 250))))


def apply(points: list[Any], change: Change) -> None:
    """Carry *change* out on a copy."""
    new = [None] * change.n if change.block is None else [(p.t, p.d) for p in change.block.points]
    assert len(new) == change.n
    if change.kind == ChangeKind.INSERTED:
        points[change.i : change.i] = new
    else:
        points[change.i : change.i + change.n] = [] if change.kind == ChangeKind.DELETED else new


@pytest.mark.parametrize(
    "i1, i2", [(0, 1), (0, 20), (19, 20), (7, 8), (3, 17), (5, 10), (0, 5), (15, 20), (4, 5), (2, 3)]
)
@pytest.mark.parametrize("keep", [True, False])
def test_what_is_deleted_is_gone_and_the_rest_moves_up(
    store: Store, stream: int, i1: int, i2: int, keep: bool, clock: Clock
) -> None:
    done = delete(store, stream, i1, i2, why="wrong", keep=keep)
    left = [*range(i1), *range(i2, N)]
    assert ds(store, stream) == left
    assert done == Correction(done.id, DELETED, clock.now, "me", "wrong", i1, i2 - i1, i1, i2 - 1.0, keep)
    assert removed(store, stream, done) == (list(range(i1, i2)) if keep else [])
    assert store.corrections(stream, MAIN, limit=9) == [done]
    assert store.head(stream, MAIN) == Head(len(left), float(max(left, default=0)), N + 1, 1)
    for t in range(-1, N + 1):
        assert store.index_at(stream, MAIN, t + 0.5) == sum(d <= t + 0.5 for d in left)
    for i in range(len(left)):
        assert ds(store, stream, i1=i, i2=i + 3) == left[i : i + 3]


@pytest.mark.parametrize("i1, i2", [(0, 1), (0, 20), (19, 20), (7, 8), (3, 17), (5, 10), (0, 5), (15, 20)])
def test_what_was_deleted_comes_back_where_it_was(store: Store, stream: int, i1: int, i2: int) -> None:
    gone = delete(store, stream, i1, i2)
    back = undo(store, stream, gone, why="was right")
    assert values(store, stream) == [(float(i), i) for i in range(N)]
    assert store.head(stream, MAIN) == Head(N, 19.0, N + 1 + i2 - i1, 2)
    assert (back.kind, back.i, back.n, back.t1, back.t2) == (UNDONE, i1, i2 - i1, i1, i2 - 1.0)
    assert (back.undoes, back.why, back.kept) == (gone.id, "was right", False)
    assert store.corrections(stream, MAIN, limit=9) == [back, gone._replace(undone=back.id, kept=False)]
    assert removed(store, stream, gone) == removed(store, stream, back) == []


def test_among_equal_time_stamps_it_comes_back_where_it_was(store: Store, streams: list[int]) -> None:
    insert(store, streams[0], block(*((1.0, d) for d in range(9))))
    gone = delete(store, streams[0], 3, 5)
    undo(store, streams[0], gone)
    assert ds(store, streams[0]) == list(range(9))


def test_what_comes_back_where_others_have_come_goes_where_it_belongs_in_time(store: Store, stream: int) -> None:
    gone = delete(store, stream, 10, 15)
    insert(store, stream, block((11.0, "new 11"), (13.5, "new 13.5")), Mode.MERGE)
    head = store.head(stream, MAIN)
    back = undo(store, stream, gone)
    assert ds(store, stream, i1=9, i2=18) == [9, 10, "new 11", 11, 12, 13, "new 13.5", 14, 15]
    assert (back.i, back.n) == (10, 5)
    assert store.head(stream, MAIN) == Head(head.n + 5, 19.0, head.arrivals + 5, head.merges + 1)


def test_a_deleted_end_comes_back_behind_older_ones_that_were_appended_since(store: Store, stream: int) -> None:
    gone = delete(store, stream, 10, 20)
    with pytest.raises(TimestampOrder):
        insert(store, stream, block((8.0, "x")))
    assert insert(store, stream, block((9.5, "a"), (12.5, "b"))).first_index == 10
    undo(store, stream, gone)
    assert ds(store, stream, i1=8) == [8, 9, "a", 10, 11, 12, "b", *range(13, 20)]


def test_a_stream_may_become_empty_and_begin_anew(store: Store, stream: int) -> None:
    gone = delete(store, stream, 0, N)
    assert store.head(stream, MAIN) == Head(0, 0.0, N + 1, 1)
    assert store.index_at(stream, MAIN, 5.0) == 0
    insert(store, stream, block((5.0, "again")))
    assert values(store, stream) == [(5.0, "again")]
    undo(store, stream, gone)
    assert ds(store, stream) == [*range(5), "again", *range(5, N)]


def test_an_update_changes_the_value_and_nothing_else(store: Store, streams: list[int], clock: Clock) -> None:
    stream = streams[0]
    insert(store, stream, Block.of([Datapoint(1.0, 1), Datapoint(1.0, 2, "bob/phone"), Datapoint(2.5, 3)]))
    done = update(store, stream, 1, {"a": [2**70, -0.0, None]}, why="typo")
    assert done == Correction(done.id, UPDATED, clock.now, "me", "typo", 1, 1, 1.0, 1.0, True)
    [one] = store.read(stream, MAIN, Range())
    assert one.points[1] == Datapoint(1.0, {"a": [2**70, -0.0, None]}, "bob/phone")
    assert values(store, stream)[::2] == [(1.0, 1), (2.5, 3)]
    assert removed(store, stream, done) == [2]
    assert store.head(stream, MAIN) == Head(3, 2.5, 4, 1)
    update(store, stream, 2, None)
    assert values(store, stream)[2] == (2.5, None)


def test_an_updated_datapoint_gets_its_old_value_back_wherever_it_is(store: Store, stream: int) -> None:
    changed = update(store, stream, 10, "x")
    delete(store, stream, 0, 4)
    insert(store, stream, block((2.0, "late"), (9.5, "late")), Mode.MERGE)
    insert(store, stream, block((50.0, "newer")))
    assert ds(store, stream)[8] == "x"
    back = undo(store, stream, changed)
    assert (back.kind, back.i, back.n, back.undoes) == (UNDONE, 8, 1, changed.id)
    assert ds(store, stream) == ["late", 4, 5, 6, 7, 8, 9, "late", *range(10, N), "newer"]
    assert removed(store, stream, back) == ["x"]  # nothing that somebody wrote is lost


def test_an_updated_datapoint_that_was_deleted_is_found_again_when_it_came_back(store: Store, stream: int) -> None:
    changed = update(store, stream, 10, "x")
    gone = delete(store, stream, 8, 12)
    with pytest.raises(Conflict, match="not there any more"):
        undo(store, stream, changed)
    undo(store, stream, gone)
    insert(store, stream, block((1.0, "late")), Mode.MERGE)
    undo(store, stream, changed)
    assert ds(store, stream) == [0, 1, "late", *range(2, N)]


def test_what_cannot_be_undone(store: Store, stream: int, streams: list[int]) -> None:
    gone = delete(store, stream, 3, 5)
    back = undo(store, stream, gone)
    with pytest.raises(Conflict, match="undone already"):
        undo(store, stream, gone)
    with pytest.raises(Conflict, match="itself an undo"):
        undo(store, stream, back)
    with pytest.raises(Conflict, match="not kept"):
        undo(store, stream, delete(store, stream, 3, 5, keep=False))
    with pytest.raises(NotFound):
        undo(store, stream, gone._replace(id=999))
    with pytest.raises(NotFound):
        undo(store, streams[1], gone)
    with pytest.raises(NotFound):
        undo(store, 999, gone)
    with pytest.raises(NotFound):
        list(store.corrected(stream, MAIN, 999))


@pytest.mark.parametrize("i1, i2", [(-1, 2), (3, 3), (4, 3), (0, 21), (20, 21)])
def test_there_has_to_be_something_to_correct(store: Store, stream: int, i1: int, i2: int) -> None:
    before = store.head(stream, MAIN)
    with pytest.raises(InvalidRange):
        delete(store, stream, i1, i2)
    for i in (-1, 20):
        with pytest.raises(InvalidRange):
            update(store, stream, i, 0)
    for work in (delete, update):
        with pytest.raises(NotFound):
            work(store, 999, 0, 1)
    assert store.head(stream, MAIN) == before
    assert store.corrections(stream, MAIN, limit=9) == []


def test_the_ledger_is_read_page_by_page(store: Store, stream: int, streams: list[int]) -> None:
    made = [update(store, stream, i, "x") for i in range(5)]
    insert(store, streams[1], block((1.0, 1)))
    delete(store, streams[1], 0, 1)
    assert store.corrections(stream, MAIN, limit=2) == [made[4], made[3]]
    assert store.corrections(stream, MAIN, before=made[3].id, limit=9) == [made[2], made[1], made[0]]
    assert store.corrections(stream, Substream.DOWNLINK, limit=9) == []
    with pytest.raises(NotFound):
        store.corrections(999, MAIN, limit=1)


def test_corrections_and_inserts_of_one_work_see_each_other_and_fail_together(store: Store, stream: int) -> None:
    def work(tx: Transaction, fails: bool) -> Head:
        tx.append(stream, MAIN, block((20.0, 20), (21.0, 21)))
        tx.delete_points(stream, MAIN, tx.index_at(stream, MAIN, 18.0), 21, by="me")
        assert tx.head(stream, MAIN).n == 20
        tx.append(stream, MAIN, block((30.0, 30)))
        done = tx.update_point(stream, MAIN, 20, b'"new"', by="me")
        tx.append(stream, MAIN, block((5.5, "late")), Mode.MERGE)
        tx.undo(stream, MAIN, done.id, by="me")
        if fails:
            raise ZeroDivisionError
        return tx.head(stream, MAIN)

    before = store.head(stream, MAIN)
    with pytest.raises(ZeroDivisionError):
        do(store, lambda tx: work(tx, True))
    assert store.head(stream, MAIN) == before
    assert (ds(store, stream), store.corrections(stream, MAIN, limit=9)) == (list(range(N)), [])
    done = do(store, lambda tx: work(tx, False))
    assert done == store.head(stream, MAIN) == Head(22, 30.0, 27, 4)
    assert ds(store, stream) == [*range(6), "late", *range(6, 19), 21, 30]


@pytest.mark.parametrize("bounds", [{"i1": 100, "i2": 2400}, {"t1": 99.5, "t2": 2399.5}, {"t1": 99.5, "limit": 2300}])
def test_a_range_that_is_read_loses_what_is_deleted_and_nothing_else(
    store: Store, streams: list[int], bounds: dict[str, Any]
) -> None:
    stream = streams[0]
    insert_long(store, stream, 2500)
    steps = store.read(stream, MAIN, Range(**bounds))
    got = [p.d for p in next(steps).points]
    last = got[-1]
    assert last < 2000
    delete(store, stream, 2300, 2450)  # over the end of the range
    delete(store, stream, last - 1, last + 3)  # in front of the reader, and behind it
    insert(store, stream, block((last - 1.5, "passed by"), (last + 3.5, "seen")), Mode.MERGE)
    got += [p.d for one in steps for p in one.points]
    assert got == [*range(100, last + 1), last + 3, "seen", *range(last + 4, 2300)]


def test_a_range_goes_on_in_order_when_the_place_of_the_reader_is_deleted(store: Store, streams: list[int]) -> None:
    stream = streams[0]
    insert_long(store, stream, 2500)
    steps = store.read(stream, MAIN, Range())
    last = next(steps).points[-1].d
    delete(store, stream, last - 1, last + 1)
    insert(store, stream, block((last - 0.5, "too late"), (last + 0.5, "in time")), Mode.MERGE)
    assert [p.d for one in steps for p in one.points] == ["in time", *range(last + 1, 2500)]


def test_a_reader_who_comes_back_gets_all_that_is_left_once(store: Store, stream: int) -> None:
    start = store.cursor_at(stream, MAIN, i=5)
    late = Cursor.behind(store.head(stream, MAIN).arrivals)
    delete(store, stream, 2, 8)  # two that it had wanted still, and three that it has
    update(store, stream, 2, "8 updated")
    insert(store, stream, block((3.5, "late"), (9.5, "late"), (40.0, "new")), Mode.MERGE)
    got, cursor = unseen(store, stream, start)
    assert [d for _, d in got] == ["8 updated", *range(9, N), "late", "late", "new"]
    assert cursor == Cursor.behind(store.head(stream, MAIN).arrivals)
    assert [d for _, d in unseen(store, stream, late)[0]] == ["late", "late", "new"]
    assert unseen(store, stream, cursor) == ([], cursor)


def test_a_reader_in_the_midst_goes_on_behind_what_was_deleted_around_it(store: Store, streams: list[int]) -> None:
    stream = streams[0]
    insert_long(store, stream, 2500)
    insert(store, stream, block(*((i + 0.5, i + 0.5) for i in range(0, 2500, 2))), Mode.MERGE)
    page = next(store.read_after(stream, MAIN, Cursor.behind(2500)))
    seen = [p.d for p in page.block.points]
    assert 0 < len(seen) < 1250
    place = ds(store, stream).index(seen[-1])
    delete(store, stream, place - 3, place + 4)
    left = [d for _, d in unseen(store, stream, page.cursor)[0]]
    assert left == [d for d in ds(store, stream) if isinstance(d, float) and d > seen[-1]]
    delete(store, stream, place - 3, len(ds(store, stream)))
    assert unseen(store, stream, page.cursor)[0] == []


@SQLITE
def test_changes_are_replayed_exactly(store: SQLiteStore, stream: int) -> None:
    copies = {0: [], store.head(stream, MAIN).arrivals: values(store, stream)}

    def note() -> None:
        copies[store.head(stream, MAIN).arrivals] = values(store, stream)

    insert(store, stream, block((3.5, "a"), (8.5, "b"), (60.0, "c")), Mode.MERGE)
    note()
    first = delete(store, stream, 2, 6)
    note()
    update(store, stream, 0, "updated")
    note()
    insert(store, stream, block((61.0, "d"), (62.0, "e"), (63.0, "f")))
    note()
    delete(store, stream, 18, 21, keep=False)
    note()
    undo(store, stream, first)
    note()
    update(store, stream, 0, "updated twice")
    insert(store, stream, block((0.5, "g")), Mode.MERGE)
    store.seal(stream, MAIN)
    now = values(store, stream)
    for state, points in copies.items():
        for change in store.changes_after(stream, MAIN, state):
            apply(points, change)
            assert change.state > state
            state = change.state
        assert state == store.head(stream, MAIN).arrivals
        assert points == now


@SQLITE
def test_of_what_was_inserted_and_deleted_since_is_given_what_the_ledger_has(store: Store, stream: int) -> None:
    state = store.head(stream, MAIN).arrivals
    insert(store, stream, block(*((30.0 + k, d) for k, d in enumerate("abcdefgh"))))
    delete(store, stream, N, N + 2)  # a, b
    delete(store, stream, N + 1, N + 3, keep=False)  # d, e
    gone = delete(store, stream, N + 1, N + 3)  # f, g
    undo(store, stream, gone)
    delete(store, stream, N + 1, N + 2)  # f again

    def came(**kw: Any) -> list[Any]:
        found: list[Any] = []
        for change in store.changes_after(stream, MAIN, state, **kw):
            if change.kind == ChangeKind.INSERTED and change.correction is None:
                found += [None] * change.n if change.block is None else [p.d for p in change.block.points]
        return found

    assert came() == ["a", "b", "c", None, None, "f", "g", "h"]
    assert came(removed=False) == [None, None, "c", None, None, None, "g", "h"]


@SQLITE
def test_a_state_in_the_midst_of_a_late_insert_begins_with_the_rest_of_it(store: Store, stream: int) -> None:
    points = values(store, stream)
    insert(store, stream, block((3.5, "a"), (3.6, "b"), (8.5, "c"), (60.0, "d")), Mode.MERGE)
    delete(store, stream, 9, 11)
    for state, (i, new) in enumerate([(4, "a"), (5, "b"), (11, "c"), (23, "d")], N):
        copy = list(points)
        for change in store.changes_after(stream, MAIN, state):
            apply(copy, change)
        assert copy == values(store, stream)
        points.insert(i, (0.0, new))
        points[i] = next(point for point in [(3.5, "a"), (3.6, "b"), (8.5, "c"), (60.0, "d")] if point[1] == new)


@SQLITE
def test_a_state_ahead_of_the_stream_is_refused(store: Store, stream: int) -> None:
    assert list(store.changes_after(stream, MAIN, N)) == []
    for state in (-1, N + 1):
        with pytest.raises(InvalidRange):
            list(store.changes_after(stream, MAIN, state))
    with pytest.raises(NotFound):
        list(store.changes_after(999, MAIN, 0))


@SQLITE
@pytest.mark.parametrize("at_once", [1, 3, 7])
def test_changes_are_planned_a_few_at_a_time(
    store: Store, stream: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_replay, "PLAN_STEPS", at_once)
    copies = {0: [], N: values(store, stream)}
    insert(store, stream, block(*((i + 0.5, -i) for i in range(N))), Mode.MERGE)
    gone = delete(store, stream, 5, 9)
    update(store, stream, 5, "x")
    insert(store, stream, block((50.0, "y"), (51.0, "z")))
    undo(store, stream, gone)
    delete(store, stream, 6, 8)
    for state, points in copies.items():
        while True:  # page by page
            page = list(islice(store.changes_after(stream, MAIN, state), 2))
            for change in page:
                apply(points, change)
            if not page:
                break
            state = page[-1].state
        assert points == values(store, stream)


def test_the_pages_of_one_reader_are_planned_once(sqlite_store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    plan = _replay._Plan.__init__

    def counted(self: Any, connection: Any, key: int, state: int, *rest: Any) -> None:
        made.append(state)
        plan(self, connection, key, state, *rest)

    monkeypatch.setattr(_replay._Plan, "__init__", counted)
    [stream] = make_streams(sqlite_store, 1)
    insert(sqlite_store, stream, block(*((float(i), i) for i in range(N))))
    insert(sqlite_store, stream, block(*((i + 0.5, -i) for i in range(N))), Mode.MERGE)
    state = N
    while page := list(islice(sqlite_store.changes_after(stream, MAIN, state), 3)):
        state = page[-1].state
    assert made == [N]
    end = update(sqlite_store, stream, 0, "x")
    assert [c.correction for c in sqlite_store.changes_after(stream, MAIN, state)] == [end.id]
    assert made == [N, 2 * N]  # the other is out of date


def test_planning_is_ended_by_who_has_waited_long_enough(sqlite_store: SQLiteStore) -> None:
    [stream] = make_streams(sqlite_store, 1)
    insert(sqlite_store, stream, block((10.0, 1)))
    for i in range(9):
        insert(sqlite_store, stream, block((float(i), i)), Mode.MERGE)
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked == 5:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        next(sqlite_store.changes_after(stream, MAIN, 0, check=check))
    assert len(list(sqlite_store.changes_after(stream, MAIN, 0))) > 5


@SQLITE
def test_a_purge_takes_earlier_values_and_keeps_what_else_was_corrected(store: Store, stream: int) -> None:
    before, inside, after = (update(store, stream, i, "old") for i in (4, 5, 9))
    gone = delete(store, stream, 6, 7)
    undo(store, stream, update(store, stream, 7, "twice"))
    delete(store, stream, 5, 8, keep=False)
    kept = {one.id for one in store.corrections(stream, MAIN, limit=99) if one.kept}
    assert kept == {before.id, after.id, gone.id}
    assert [len(list(store.corrected(stream, MAIN, one.id))) for one in (before, inside, after, gone)] == [1, 0, 1, 1]


def test_what_comes_back_has_to_have_an_index(sqlite_store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    [stream] = make_streams(sqlite_store, 1)
    insert(sqlite_store, stream, block(*((float(i), i) for i in range(N))))
    gone = delete(sqlite_store, stream, 0, 5)
    monkeypatch.setattr(_corrections, "INDEX_MAX", N - 1)
    with pytest.raises(LimitReached):
        undo(sqlite_store, stream, gone)
    assert sqlite_store.head(stream, MAIN).n == N - 5


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(open_connection(path)) as connection:
        return query(connection, sql)


def test_whole_blocks_go_and_come_back_as_they_are(small: None, tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SQLiteStore(path, seal_after_s=None) as store:
        [stream] = make_streams(store, 1)
        for i in range(36):
            insert(store, stream, block((float(i), i)))
        assert store.seal(stream, MAIN) == 36
        runs = rows(path, "SELECT place, n, block FROM runs ORDER BY place")
        assert [(n, block is not None) for _, n, block in runs] == [(6, True)] * 6
        ids = [block for _, _, block in runs]

        gone = delete(store, stream, 6, 24)
        assert [block for (block,) in rows(path, "SELECT block FROM runs ORDER BY place")] == [ids[0], *ids[4:]]
        assert rows(path, "SELECT i, block FROM removed ORDER BY i") == [(6, ids[1]), (12, ids[2]), (18, ids[3])]
        assert rows(path, "SELECT sealed FROM heads WHERE n > 0") == [(18,)]
        undo(store, stream, gone)
        assert rows(path, "SELECT place, n, block FROM runs ORDER BY place") == runs
        assert rows(path, "SELECT sealed FROM heads WHERE n > 0") == [(36,)]

        gone = delete(store, stream, 7, 8)  # the block is written anew, and the datapoint goes back into it
        assert [n for (n,) in rows(path, "SELECT n FROM runs ORDER BY place")] == [6, 5, 6, 6, 6, 6]
        undo(store, stream, gone)
        assert [n for (n,) in rows(path, "SELECT n FROM runs ORDER BY place")] == [6] * 6
        assert rows(path, "SELECT sealed FROM heads WHERE n > 0") == [(36,)]
        delete(store, stream, 3, 21, keep=False)
        assert rows(path, "SELECT count(*) FROM removed") == [(0,)]
        assert rows(path, "SELECT count(*) FROM blocks WHERE id NOT IN (SELECT block FROM runs)") == [(0,)]
        assert ds(store, stream) == [0, 1, 2, *range(21, 36)]
    assert list(check(path)) == []


def test_text_that_comes_back_among_blocks_is_sealed_again(small: None, tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SQLiteStore(path, seal_after_s=None) as store:
        [stream] = make_streams(store, 1)
        for i in range(12):
            insert(store, stream, block((float(i), i)))
        store.seal(stream, MAIN)
        for i in range(12, 30):
            insert(store, stream, block((float(i), i)))
        gone = delete(store, stream, 9, 21)
        store.seal(stream, MAIN)
        undo(store, stream, gone)
        assert rows(path, "SELECT sealed FROM heads WHERE n > 0") == [(12,)]
        assert store.seal(stream, MAIN) >= 9
        assert rows(path, "SELECT sealed FROM heads WHERE n > 0") == [(30,)]
        assert rows(path, "SELECT count(*) FROM runs WHERE block IS NULL") == [(0,)]
        assert ds(store, stream) == list(range(30))
    assert list(check(path)) == []


def test_corrections_of_a_deleted_stream_leave_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SQLiteStore(path, seal_after_s=None) as store:
        [stream] = make_streams(store, 1)
        insert(store, stream, block(*((float(i), i) for i in range(9))))
        store.seal(stream, MAIN)
        delete(store, stream, 2, 4)
        update(store, stream, 3, "x")
        do(store, lambda tx: tx.delete_stream(stream))
        for table in ("runs", "blocks", "changes", "corrections", "removed", "heads"):
            assert rows(path, f"SELECT count(*) FROM {table}") == [(0,)]
