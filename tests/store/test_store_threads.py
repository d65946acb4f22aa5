"""Many threads write and read at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from store_load import tighten
from store_model import block, insert, make_streams, values

from connectordb.errors import Unavailable
from connectordb.query import Range
from connectordb.store._key import key_of
from connectordb.store._runs import sealed_of
from connectordb.store.check import check
from connectordb.store.records import Mode, Substream
from connectordb.store.sqlite import SQLiteStore

MAIN = Substream.MAIN


def run_all(works: list[Callable[[], None]]) -> None:
    """Run each on a thread of its own; raise what the first one raised."""
    errors: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if errors:
        raise errors[0]


@pytest.mark.parametrize("readers_max", [1, 8])
def test_many_writers_and_readers(tmp_path: Path, readers_max: int) -> None:
    with SQLiteStore(tmp_path / "s.db", readers_max=readers_max) as store:
        streams = make_streams(store, 4)
        ended = threading.Event()

        def write(stream: int, thread: int) -> Callable[[], None]:
            def work() -> None:
                for i in range(60):
                    t = float(i if thread % 2 else 1_000 - i)
                    insert(store, stream, block((t, [thread, i])), Mode.MERGE)

            return work

        def read(stream: int) -> Callable[[], None]:
            def work() -> None:
                last = 0
                while not ended.is_set():
                    found = values(store, stream)
                    stamps = [t for t, _ in found]
                    assert stamps == sorted(stamps)
                    assert len({tuple(d) for _, d in found}) == len(found) >= last
                    last = len(found)
                    assert store.index_at(stream, MAIN, 1e9) >= last

            return work

        def write_all() -> None:
            try:
                run_all([write(streams[i % 4], i) for i in range(12)])
            finally:
                ended.set()

        run_all([write_all, *(read(stream) for stream in streams), *(read(streams[0]) for _ in range(4))])
        for stream in streams:
            assert len(values(store, stream)) == 180


def test_a_read_may_move_from_thread_to_thread(tmp_path: Path) -> None:
    with SQLiteStore(tmp_path / "s.db") as store:
        [stream] = make_streams(store, 1)
        insert(store, stream, block(*((float(i), i) for i in range(20_000))))
        reading = store.read(stream, MAIN, Range())
        got: list[int] = []
        while len(got) < 20_000:
            run_all([lambda: got.extend(p.d for p in next(reading).points)])
        assert got == list(range(20_000))


def test_reading_while_the_store_closes_ends_or_is_refused(tmp_path: Path) -> None:
    for _ in range(5):
        store = SQLiteStore(tmp_path / "s.db")
        if not store.users():
            make_streams(store, 1)
        started = threading.Barrier(5)

        def read(store: SQLiteStore = store, started: threading.Barrier = started) -> None:
            started.wait()
            try:
                while True:
                    store.counts()
            except Unavailable:
                pass

        def close(store: SQLiteStore = store, started: threading.Barrier = started) -> None:
            started.wait()
            store.close()

        run_all([read, read, read, read, close])


def test_several_may_seal_the_same_stream_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each finds what the others have made of its runs meanwhile, and loses nothing of it."""
    tighten(monkeypatch.setattr)
    path = tmp_path / "s.db"
    ended = threading.Event()
    with SQLiteStore(path, seal_after_s=0.0, synchronous="normal") as store:
        [stream] = make_streams(store, 1)

        def insert_all() -> None:
            for i in range(0, 6_000, 10):
                insert(store, stream, block(*((float(k), k) for k in range(i, i + 10))))
            ended.set()

        def seal(least: int) -> None:
            while not ended.is_set():
                store.seal(stream, MAIN, least=least)

        run_all([insert_all, *(partial(seal, least) for least in (1, 7, 30))])
        assert [d for _, d in values(store, stream)] == list(range(6_000))
    assert list(check(path)) == []


def test_what_is_noted_as_sealed_ends_with_a_block(tmp_path: Path) -> None:
    """One sealer has found a full block in front, and another one has joined it with what came then."""
    with SQLiteStore(tmp_path / "s.db", seal_after_s=None) as store:
        [stream] = make_streams(store, 1)
        insert(store, stream, block(*((float(i), i) for i in range(10))))
        store.seal(stream, MAIN)
        head = store.head(stream, MAIN)
        insert(store, stream, block((10.0, 10)))
        store.seal(stream, MAIN)
        key = key_of(stream, MAIN)
        store.submit(lambda tx: tx.seal(key, head, [], 10)).result()
        with store._readers.borrow() as connection:
            assert connection.execute("SELECT sealed FROM heads WHERE substream = ?", (key,)).get == 11
        store.submit(lambda tx: tx._connection.execute("UPDATE heads SET sealed = 0")).result()
        store.submit(lambda tx: tx.seal(key, head, [], 10)).result()
        with store._readers.borrow() as connection:
            assert connection.execute("SELECT sealed FROM heads WHERE substream = ?", (key,)).get == 0
    assert list(check(tmp_path / "s.db")) == []


def test_a_block_takes_only_the_place_of_its_own_datapoints(tmp_path: Path) -> None:
    """Who sealed first has given the runs other bounds; that there are as many datapoints is not enough."""
    with SQLiteStore(tmp_path / "s.db", seal_after_s=None) as store:
        [stream] = make_streams(store, 1)
        for first, stop in ((0, 15), (15, 25), (25, 40)):
            insert(store, stream, block(*((float(i), i) for i in range(first, stop))))
        late = sealed_of(block(*((float(i), i) for i in range(10, 20))))
        key = key_of(stream, MAIN)
        head = store.head(stream, MAIN)
        assert store.submit(lambda tx: tx.seal(key, head, [(10, late)], 20)).result() == (0, 0)
        assert [d for _, d in values(store, stream)] == list(range(40))
    assert list(check(tmp_path / "s.db")) == []
