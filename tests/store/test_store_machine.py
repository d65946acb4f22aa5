"""Any sequence of calls: SQLite behaves like a store of plain dicts and lists."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule
from pytest import MonkeyPatch
from store_model import Clock, MemoryStore, make_streams, unseen, values

from connectordb.block import Block
from connectordb.datapoint import Datapoint
from connectordb.errors import ConnectorDBError, NotFound, Unavailable
from connectordb.query import Range
from connectordb.store import _data, _layer, _merge, _read
from connectordb.store.base import Cursor, Mode, Store, Stream, Substream, Transaction, Upload
from connectordb.store.check import check
from connectordb.store.sqlite import SQLiteStore

TIMES = st.integers(0, 12).map(float)
BLOCKS = st.lists(TIMES, min_size=1, max_size=8).map(sorted)
SUBSTREAMS = st.sampled_from(Substream)
INDEX = st.none() | st.integers(-20, 60)
RANGES = st.one_of(
    st.tuples(INDEX, INDEX).map(lambda b: {"i1": b[0], "i2": b[1]}),
    st.tuples(st.none() | TIMES, st.none() | TIMES, st.none() | st.integers(0, 20)).map(
        lambda b: {"t1": b[0], "t2": b[1], "limit": b[2]}
    ),
)


class _Reading:
    """A range that is being read, with what was in it at the first step."""

    def __init__(self, store: SQLiteStore, stream: int, wanted: Range) -> None:
        self.store = store
        self.stream = stream
        self.limit = wanted.limit
        self.expected = values(store, stream, wanted)
        self.steps: Iterator[Block] = store.read(stream, Substream.MAIN, wanted)
        self.got: list[tuple[float, Any]] = []
        self.ended = False
        self.step()

    def step(self) -> None:
        one = next(self.steps, None)
        if one is None:
            self.ended = True
            self.check()
        else:
            self.got += [(p.t, p.d) for p in one.points]

    def check(self) -> None:
        assert [t for t, _ in self.got] == sorted(t for t, _ in self.got)
        old = set(self.expected)
        kept = [p for p in self.got if p in old]
        if self.limit is None:
            assert kept == self.expected
        else:
            assert kept == self.expected[: len(kept)]
            assert len(self.got) == len(self.expected)


class _Follower:
    """A reader who comes back with a cursor, and has got everything once."""

    def __init__(self, stream: int, cursor: Cursor, before: list[tuple[float, Any]]) -> None:
        self.stream = stream
        self.cursor = cursor
        self.got = before


class StoreMachine(RuleBasedStateMachine):
    streams = Bundle("streams")
    readings = Bundle("readings")
    followers = Bundle("followers")

    def __init__(self) -> None:
        super().__init__()
        self.patches = MonkeyPatch()
        self.patches.setattr(_data, "PAGE_POINTS", 4)
        self.patches.setattr(_data, "PAGE_BYTES_MAX", 120)
        self.patches.setattr(_read, "PAGE_POINTS", 4)
        self.patches.setattr(_read, "PAGE_BYTES_MAX", 120)
        self.patches.setattr(_layer, "ROW_POINTS_MAX", 5)
        self.patches.setattr(_layer, "_ROWS_MAX", 2)
        self.patches.setattr(_merge, "_RUN_POINTS_MAX", 3)
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.store = SQLiteStore(Path(self.folder.name) / "s.db", clock=self.clock, synchronous="normal")
        self.model = MemoryStore(clock=self.clock)
        self.made = make_streams(self.store, 1)
        self.ids = dict(zip(self.made, make_streams(self.model, 1), strict=True))
        self.count = 0

    def both(self, call: Callable[[Store, Callable[[int], int]], Any]) -> Any:
        """Do the same on both, and check that the results or errors are the same."""
        outcomes = []
        for store, id_of in ((self.store, lambda id_: id_), (self.model, lambda id_: self.ids[id_])):
            try:
                outcomes.append(call(store, id_of))
            except (ConnectorDBError, ZeroDivisionError) as error:
                outcomes.append(type(error))
        assert outcomes[0] == outcomes[1]
        return outcomes[0]

    def points(self, stamps: list[float]) -> Block:
        made = []
        for t in stamps:
            self.count += 1
            made.append(Datapoint(t, self.count))
        return Block.of(made)

    def new_stream(self, store: Store) -> int:
        device = store.devices(store.users()[0].id)[0]
        new = Stream(device_id=device.id, name=f"n{self.count}")
        return store.submit(lambda tx: tx.create_stream(new)).result().id

    @initialize(target=streams)
    def first_stream(self) -> int:
        return self.made[0]

    @rule(target=streams)
    def create_stream(self) -> int:
        self.count += 1
        new, same = (self.new_stream(store) for store in (self.store, self.model))
        self.ids[new] = same
        return new

    @rule(stream=consumes(streams), fails=st.booleans())
    def delete_stream(self, stream: int, fails: bool) -> None:
        def work(tx: Transaction, id_: int) -> None:
            tx.delete_stream(id_)
            if fails:
                raise ZeroDivisionError

        self.both(lambda store, id_of: store.submit(lambda tx: work(tx, id_of(stream))).result())

    @rule(stream=streams, substream=SUBSTREAMS, stamps=BLOCKS, mode=st.sampled_from(Mode), fails=st.booleans())
    def append(self, stream: int, substream: Substream, stamps: list[float], mode: Mode, fails: bool) -> None:
        new = self.points(stamps)

        def work(tx: Transaction, id_: int) -> Any:
            done = tx.append(id_, substream, new, mode)
            if fails:
                raise ZeroDivisionError
            assert done.block is not None
            return done.first_index, list(done.block.points), tx.head(id_, substream)

        self.both(lambda store, id_of: store.submit(lambda tx: work(tx, id_of(stream))).result())

    @rule(
        stream=streams,
        inserts=st.lists(st.tuples(BLOCKS, st.sampled_from(Mode), st.booleans(), st.booleans()), max_size=6),
    )
    def append_in_one_group(self, stream: int, inserts: list[tuple[list[float], Mode, bool, bool]]) -> None:
        blocks = [(self.points(stamps), mode, fails, sql) for stamps, mode, fails, sql in inserts]

        def work(tx: Transaction, id_: int, new: tuple[Block, Mode, bool, bool]) -> Any:
            done = tx.append(id_, Substream.MAIN, new[0], new[1])
            if new[3]:
                tx.update_stream(id_, {"datatype": str(self.count)})
            if new[2]:
                raise ZeroDivisionError
            return done.first_index

        def together(store: Store, id_of: Callable[[int], int]) -> list[Any]:
            futures = [store.submit(partial(work, id_=id_of(stream), new=new)) for new in blocks]
            return [type(f.exception()) if f.exception() else f.result() for f in futures]

        self.both(together)

    @rule(
        stream=streams,
        source=st.sampled_from(["a", "b"]),
        first=st.integers(1, 6),
        more=st.integers(0, 3),
        digest=st.sampled_from([b"x", b"y"]),
        stamps=st.none() | BLOCKS,
        expires_s=st.none() | st.integers(1, 3),
    )
    def upload(
        self,
        stream: int,
        source: str,
        first: int,
        more: int,
        digest: bytes,
        stamps: list[float] | None,
        expires_s: int | None,
    ) -> None:
        expires = None if expires_s is None else self.clock.now + expires_s
        self.count += 1
        upload = Upload(source, first, first + more, digest, str(self.count).encode(), expires)
        new = None if stamps is None else self.points(stamps)

        def done(store: Store, id_of: Callable[[int], int]) -> Any:
            appended = store.submit(
                lambda tx: tx.append(id_of(stream), Substream.MAIN, new, Mode.MERGE, upload)
            ).result()
            return appended.first_index, appended.repeated, appended.reply, appended.block is None

        self.both(done)

    @rule(seconds=st.integers(1, 2))
    def time_passes(self, seconds: int) -> None:
        self.clock.now += seconds

    @rule(stream=streams, substream=SUBSTREAMS, bounds=RANGES)
    def read(self, stream: int, substream: Substream, bounds: dict[str, Any]) -> None:
        wanted = Range(**bounds)
        self.both(lambda store, id_of: values(store, id_of(stream), wanted, substream))

    @rule(stream=streams, t=TIMES | st.just(0.5))
    def find(self, stream: int, t: float) -> None:
        self.both(lambda store, id_of: store.index_at(id_of(stream), Substream.MAIN, t))

    @rule(target=readings, stream=streams, bounds=RANGES)
    def begin_reading(self, stream: int, bounds: dict[str, Any]) -> _Reading | None:
        try:
            return _Reading(self.store, stream, Range(**bounds))
        except ConnectorDBError:
            return None

    @rule(reading=readings)
    def go_on_reading(self, reading: _Reading | None) -> None:
        if reading is None or reading.ended:
            return
        try:
            reading.step()
        except NotFound:
            assert reading.stream not in self.all_streams()
            reading.ended = True
        except Unavailable:
            assert reading.store is not self.store
            reading.ended = True

    @rule(
        target=followers,
        stream=streams,
        where=st.one_of(
            st.just({}),
            st.fixed_dictionaries({"t": TIMES}),
            st.fixed_dictionaries({"i": st.integers(-20, 60)}),
        ),
    )
    def begin_to_follow(self, stream: int, where: dict[str, Any]) -> _Follower | None:
        def cursor_at(store: Store, id_of: Callable[[int], int]) -> Cursor:
            return store.cursor_at(id_of(stream), Substream.MAIN, **where)

        cursor = self.both(cursor_at)
        if not isinstance(cursor, Cursor):
            return None
        points = values(self.store, stream)
        return _Follower(stream, cursor, points[: cursor.done] if cursor.base == 0 != cursor.state else points)

    @rule(follower=followers, pages=st.integers(1, 5))
    def follow(self, follower: _Follower | None, pages: int) -> None:
        if follower is None:
            return
        every = self.both(lambda store, id_of: unseen(store, id_of(follower.stream), follower.cursor))
        if not isinstance(every, tuple):
            return
        expected, end = every
        got = []
        for page in islice(self.store.read_after(follower.stream, Substream.MAIN, follower.cursor), pages):
            got += [(p.t, p.d) for p in page.block.points]
            follower.cursor = page.cursor
        assert got == expected[: len(got)]
        follower.got += got
        if follower.cursor == end:
            assert sorted(follower.got) == sorted(values(self.store, follower.stream))

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = SQLiteStore(Path(self.folder.name) / "s.db", clock=self.clock, synchronous="normal")

    @invariant()
    def heads_and_points_agree(self) -> None:
        for id_ in self.all_streams():
            for substream in Substream:
                head = self.store.head(id_, substream)
                assert head == self.model.head(self.ids[id_], substream)
                assert values(self.store, id_, substream=substream) == values(
                    self.model, self.ids[id_], substream=substream
                )
        assert self.store.counts() == self.model.counts()

    def all_devices(self) -> list[int]:
        return [d.id for u in self.store.users() for d in self.store.devices(u.id)]

    def all_streams(self) -> list[int]:
        return [s.id for d in self.all_devices() for s in self.store.streams(d)]

    def teardown(self) -> None:
        self.store.close()
        assert list(check(Path(self.folder.name) / "s.db")) == []
        self.folder.cleanup()
        self.patches.undo()


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(
    max_examples=200 if "CI" in os.environ else 25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
