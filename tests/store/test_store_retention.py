"""What the store does for streams that are not kept for ever."""

from __future__ import annotations

from store_model import block, insert, make_streams

from connectordb.store.base import Store
from connectordb.store.check import check
from connectordb.store.records import Substream
from connectordb.store.sqlite import SQLiteStore

MAIN = Substream.MAIN


def test_streams_that_are_not_kept_for_ever_are_found(store: Store, streams: list[int]) -> None:
    assert store.limited_streams() == []
    for i, keep_s in ((2, 60.5), (0, 3600.0), (1, 0.0)):
        store.submit(lambda tx: tx.update_stream(streams[i], {"keep_s": keep_s})).result()  # noqa: B023
    assert [(one.id, one.keep_s) for one in store.limited_streams()] == [(streams[0], 3600.0), (streams[2], 60.5)]
    store.submit(lambda tx: tx.delete_stream(streams[0])).result()
    assert [one.id for one in store.limited_streams()] == [streams[2]]


def test_what_was_corrected_is_forgotten_when_all_of_it_is_old(store: Store, stream: int) -> None:
    insert(store, stream, block((1.0, 1), (2.0, 2), (3.0, 3), (4.0, 4), (5.0, 5)))
    work = [
        lambda tx: tx.update_point(stream, MAIN, 0, b"10", by="me"),
        lambda tx: tx.delete_points(stream, MAIN, 1, 3, by="me"),
        lambda tx: tx.delete_points(stream, MAIN, 1, 2, by="me", keep=False),
    ]
    updated, deleted, purged = (store.submit(one).result() for one in work)

    def forget(t: float, limit: int = 10) -> int:
        return store.submit(lambda tx: tx.forget_corrected(stream, MAIN, t, limit)).result()

    assert forget(0.5) == 0
    assert forget(2.0) == 1
    assert [c.kept for c in store.corrections(stream, MAIN, limit=9)] == [False, True, False]
    assert list(store.corrected(stream, MAIN, updated.id)) == []
    assert [p.d for b in store.corrected(stream, MAIN, deleted.id) for p in b.points] == [2, 3]
    assert forget(9.0, limit=1) == 1
    assert forget(9.0) == 0
    assert list(store.corrected(stream, MAIN, deleted.id)) == []
    assert purged.kept is False


def test_what_is_forgotten_leaves_nothing_behind(sqlite_store: SQLiteStore) -> None:
    [stream, other] = make_streams(sqlite_store, 2)
    for one in (stream, other):
        insert(sqlite_store, one, block(*((float(i), i) for i in range(3_000))))
        sqlite_store.seal(one, MAIN)
        sqlite_store.submit(lambda tx: tx.delete_points(one, MAIN, 100, 2_500, by="me")).result()  # noqa: B023
    assert sqlite_store.submit(lambda tx: tx.forget_corrected(stream, MAIN, 1e9, 10)).result() == 1
    with sqlite_store._readers.borrow() as connection:
        count = "SELECT (SELECT count(*) FROM removed), (SELECT count(*) FROM blocks)"
        assert connection.execute(count).fetchall() == [(1, 3)]
        path = connection.filename
    assert list(check(path)) == []
