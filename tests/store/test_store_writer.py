"""Group commit: works share a commit, and each fails alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from store_model import appending, block, insert, make_streams, values

from connectordb.errors import NotFound, StoreError, TimestampOrder, Unavailable
from connectordb.store._writer import Writer
from connectordb.store.base import Transaction
from connectordb.store.records import Appended, Mode, Stream, Substream, User
from connectordb.store.sqlite import SQLiteStore

MAIN = Substream.MAIN


class Gate:
    """A work that holds the writer up until it is opened, so that others gather behind it."""

    def __init__(self, store: SQLiteStore) -> None:
        self._entered = threading.Event()
        self._open = threading.Event()
        self._done = store.submit(self._work)
        assert self._entered.wait(10)

    def _work(self, tx: Transaction) -> None:
        self._entered.set()
        assert self._open.wait(10)

    def open(self) -> None:
        self._open.set()
        self._done.result(10)


@pytest.fixture
def store(sqlite_store: SQLiteStore) -> SQLiteStore:
    return sqlite_store


def append(store: SQLiteStore, stream: int, t: float, d: Any, mode: Mode = Mode.ORDERED) -> Future[Appended]:
    return store.submit(appending(stream, block((t, d)), mode))


def test_works_that_wait_share_a_commit_and_each_fails_alone(store: SQLiteStore) -> None:
    streams = make_streams(store, 2)
    gate = Gate(store)
    before = store.stats

    def raises(tx: Transaction) -> None:
        tx.append(streams[0], MAIN, block((50.0, "never")))
        tx.create_user(User(name="eve", email="e@x"))
        tx.append(streams[0], MAIN, block((51.0, "never")))
        raise KeyboardInterrupt

    futures: list[Future[Any]] = [append(store, streams[0], float(i), i) for i in range(5)]
    futures += [
        append(store, streams[0], 1.0, "late"),
        store.submit(raises),
        append(store, streams[0], 2.0, "merged", Mode.MERGE),
        store.submit(lambda tx: tx.create_user(User(name="bob", email="b@x"))),
        append(store, 999, 1.0, "no such stream"),
        append(store, streams[0], 9.0, 9),
        store.submit(lambda tx: tx.delete_stream(streams[1])),
        append(store, streams[1], 1.0, "deleted before"),
    ]
    gate.open()
    errors = [type(f.exception(10)) if f.exception(10) else None for f in futures]
    assert errors == [None] * 5 + [TimestampOrder, KeyboardInterrupt, None, None, NotFound, None, None, NotFound]
    assert store.stats.groups - before.groups == 2  # the gate's own, and one for all
    assert values(store, streams[0]) == [
        (0.0, 0),
        (1.0, 1),
        (2.0, 2),
        (2.0, "merged"),
        (3.0, 3),
        (4.0, 4),
        (9.0, 9),
    ]
    assert store.user("eve") is None
    assert store.user("bob") is not None


def test_futures_are_done_in_order(store: SQLiteStore) -> None:
    [stream] = make_streams(store, 1)
    gate = Gate(store)
    done: list[int] = []
    futures = []

    def note(i: int, _: Future[Appended]) -> None:
        done.append(i)

    for i in range(50):
        future = append(store, stream, float(i), i)
        future.add_done_callback(partial(note, i))
        futures.append(future)
    gate.open()
    futures[-1].result(10)
    assert done == list(range(50))


def test_a_future_is_done_only_after_the_commit(store: SQLiteStore) -> None:
    [stream] = make_streams(store, 1)
    seen: list[int] = []
    future = append(store, stream, 1.0, 1)
    future.add_done_callback(lambda _: seen.append(store.head(stream, MAIN).n))
    future.result(10)
    store.submit(lambda tx: None).result(10)
    assert seen == [1]


def test_small_appends_of_a_group_share_a_row(store: SQLiteStore) -> None:
    streams = make_streams(store, 2)
    gate = Gate(store)
    futures = [append(store, streams[i % 2], float(i), i) for i in range(40)]
    gate.open()
    assert [f.result(10).first_index for f in futures] == [i // 2 for i in range(40)]
    with store._readers.borrow() as connection:
        assert connection.execute("SELECT count(*) FROM runs").get == 2
    assert [d for _, d in values(store, streams[1])] == list(range(1, 40, 2))


def test_group_max_bounds_the_works_of_a_commit(tmp_path: Path) -> None:
    with SQLiteStore(tmp_path / "s.db", group_max=4) as store:
        [stream] = make_streams(store, 1)
        gate = Gate(store)
        before = store.stats.groups
        futures = [append(store, stream, float(i), i) for i in range(12)]
        gate.open()
        futures[-1].result(10)
        assert store.stats.groups - before == 4


def test_a_full_queue_refuses_at_once_and_takes_works_again_later(tmp_path: Path) -> None:
    with SQLiteStore(tmp_path / "s.db", queue_max=5) as store:
        [stream] = make_streams(store, 1)
        gate = Gate(store)
        futures = [append(store, stream, float(i), i) for i in range(8)]
        assert store.waiting == 5
        for future in futures[5:]:
            with pytest.raises(Unavailable):
                future.result(0)
        gate.open()
        assert [f.result(10).first_index for f in futures[:5]] == list(range(5))
        assert append(store, stream, 9.0, 9).result(10).first_index == 5


def test_a_callback_that_raises_does_not_keep_the_others_from_their_answer(
    store: SQLiteStore, caplog: pytest.LogCaptureFixture
) -> None:
    def leave(_: Future[Any]) -> None:
        raise SystemExit

    gate = Gate(store)
    first, second = store.submit(lambda tx: 1), store.submit(lambda tx: 2)
    first.add_done_callback(leave)
    gate.open()
    assert second.result(10) == 2
    assert store.submit(lambda tx: 3).result(10) == 3


def test_a_group_whose_commit_fails_fails_wholly_and_the_next_one_works(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    [stream] = make_streams(store, 1)
    gate = Gate(store)
    futures = [append(store, stream, 5.0, 1), append(store, stream, 4.0, 2), append(store, 999, 1.0, 3)]

    def fail() -> None:
        raise StoreError("meant")

    with monkeypatch.context() as patch:
        patch.setattr(store._writer._group, "commit", fail)
        gate._open.set()
        assert isinstance(gate._done.exception(10), StoreError)
        for future in futures:
            assert isinstance(future.exception(10), StoreError)
    assert store.head(stream, MAIN).n == 0
    assert append(store, stream, 1.0, 4).result(10).first_index == 0


def test_a_connection_that_cannot_even_roll_back_is_replaced(store: SQLiteStore) -> None:
    [stream] = make_streams(store, 1)
    group: Any = store._writer._group
    group._connection.close()
    with pytest.raises(StoreError):
        append(store, stream, 1.0, 1).result(10)
    for _ in range(2):
        assert append(store, stream, 1.0, 1).exception(10) is None
    assert len(values(store, stream)) == 2


def test_a_single_client_is_never_waited_for(tmp_path: Path) -> None:
    with SQLiteStore(tmp_path / "s.db", linger_s=60.0) as store:
        [stream] = make_streams(store, 1)
        began_s = time.monotonic()
        for i in range(20):
            insert(store, stream, block((float(i), i)))
        assert time.monotonic() - began_s < 60.0
        assert store.stats.lingered_s == 0.0


@pytest.fixture
def writer() -> Iterator[Writer]:
    class NoGroup:
        def begin(self) -> None: ...

        def run(self, work: Any) -> tuple[Any, BaseException | None]:
            return work(None), None

        def commit(self) -> None:
            time.sleep(0.005)

        def abandon(self) -> None: ...

        def close(self) -> None: ...

    made = Writer(NoGroup, queue_max=100, group_max=100, linger_s=0.02)
    yield made
    made.close()


def test_several_clients_are_waited_for_and_share_most_commits(writer: Writer) -> None:
    def client() -> None:
        for _ in range(20):
            writer.submit(lambda _: None).result()
            time.sleep(0.002)

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = writer.stats
    assert stats.works == 160
    assert stats.works / stats.groups > 2
    assert stats.lingered_s > 0


def test_closing_from_several_threads_waits_for_the_end(store: SQLiteStore) -> None:
    [stream] = make_streams(store, 1)
    futures = [append(store, stream, float(i), i) for i in range(500)]
    closers = [threading.Thread(target=store.close) for _ in range(4)]
    for thread in closers:
        thread.start()
    for thread in closers:
        thread.join(10)
    assert all(future.done() for future in futures)


def test_a_new_stream_with_data_is_one_work(store: SQLiteStore) -> None:
    make_streams(store, 1)
    device = store.devices(store.users()[0].id)[0]

    def work(tx: Transaction) -> int:
        made = tx.create_stream(Stream(device_id=device.id, name="new"))
        tx.append(made.id, MAIN, block((1.0, 1)))
        return made.id

    assert values(store, store.submit(work).result()) == [(1.0, 1)]
