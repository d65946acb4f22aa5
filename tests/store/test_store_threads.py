"""Many threads write and read at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from store_model import block, insert, make_streams, values

from connectordb.errors import Unavailable
from connectordb.query import Range
from connectordb.store.base import Mode, Substream
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
