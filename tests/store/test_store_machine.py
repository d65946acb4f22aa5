"""Any sequence of calls: SQLite behaves like a store of plain dicts and lists."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import msgspec
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule
from pytest import MonkeyPatch
from store_model import Clock, MemoryStore, make_streams, unseen, values

from connectordb.block import Block
from connectordb.datapoint import Datapoint
from connectordb.errors import ConnectorDBError, NotFound, Unavailable
from connectordb.query import Range
from connectordb.store import _corrections, _data, _layer, _merge, _replay, _seal, _since
from connectordb.store.base import Store, Transaction
from connectordb.store.check import check
from connectordb.store.records import Change, ChangeKind, CorrectionKind, Cursor, Head, Mode, Stream, Substream, Upload
from connectordb.store.sqlite import SQLiteStore

TIMES = st.integers(0, 12).map(float)
BLOCKS = st.lists(TIMES, min_size=1, max_size=8).map(sorted)
SUBSTREAMS = st.sampled_from(Substream)
KEEP = st.sampled_from([True, True, False])
FAILS = st.sampled_from([False, False, False, True])
INDEX = st.none() | st.integers(-20, 60)
RANGES = st.one_of(
    st.tuples(INDEX, INDEX).map(lambda b: {"i1": b[0], "i2": b[1]}),
    st.tuples(st.none() | TIMES, st.none() | TIMES, st.none() | st.integers(0, 20)).map(
        lambda b: {"t1": b[0], "t2": b[1], "limit": b[2]}
    ),
)


class _Past:
    """What has become of values: each datapoint is known by the first that it had.

    Attributes:
        gone: Those that were ever deleted.
        back: Those that came back, by an undo: whoever had them gets them again.
    """

    def __init__(self) -> None:
        self.first: dict[Any, Any] = {}
        self.gone: set[Any] = set()
        self.back: set[Any] = set()

    def of(self, d: Any) -> Any:
        return self.first.get(d, d)


class _Reading:
    """A range that is being read, with what was in it at the first step."""

    def __init__(self, store: SQLiteStore, stream: int, wanted: Range, past: _Past) -> None:
        self.store = store
        self.stream = stream
        self.limit = wanted.limit
        self.past = past
        self.expected = [past.of(d) for _, d in values(store, stream, wanted)]
        self.steps: Iterator[Block] = store.read(stream, Substream.MAIN, wanted)
        self.got: list[tuple[float, Any]] = []
        self.gone_before = set(past.gone)
        self.ended = False
        self.step()

    def step(self) -> None:
        one = next(self.steps, None)
        if one is None:
            self.ended = True
            self.check()
        else:
            self.got += [(p.t, self.past.of(p.d)) for p in one.points]

    def check(self) -> None:
        assert [t for t, _ in self.got] == sorted(t for t, _ in self.got)
        gone = self.past.gone - self.gone_before
        got = [d for _, d in self.got]
        assert len({d for d in got if d not in self.past.back}) == len([d for d in got if d not in self.past.back])
        expected = [d for d in self.expected if d not in gone]
        kept = [d for d in got if d in set(expected)]
        if self.limit is None:
            assert kept == expected
        else:
            assert kept == expected[: len(kept)]
            assert len(got) <= len(self.expected)
            if not gone:
                assert len(got) == len(self.expected)


class _Follower:
    """A reader who comes back with a cursor, and has got everything once."""

    def __init__(self, stream: int, cursor: Cursor, before: list[tuple[float, Any]]) -> None:
        self.stream = stream
        self.cursor = cursor
        self.got = before


class _Mirror:
    """Who keeps a copy of a stream by its changes."""

    def __init__(self, stream: int, state: int, points: list[tuple[float, Any] | None]) -> None:
        self.stream = stream
        self.state = state
        self.points = points
        self.steps: Iterator[Change] | None = None

    def apply(self, change: Change) -> None:
        new: list[tuple[float, Any] | None] = [None] * change.n
        if change.block is not None:
            assert change.block.n == change.n
            new = [(p.t, p.d) for p in change.block.points]
        if change.kind == ChangeKind.INSERTED:
            assert change.i <= len(self.points)
            self.points[change.i : change.i] = new
        elif change.kind == ChangeKind.DELETED:
            assert change.i + change.n <= len(self.points)
            del self.points[change.i : change.i + change.n]
        else:
            assert change.i + change.n <= len(self.points)
            self.points[change.i : change.i + change.n] = new
        self.state = change.state


class StoreMachine(RuleBasedStateMachine):
    streams = Bundle("streams")
    readings = Bundle("readings")
    followers = Bundle("followers")
    mirrors = Bundle("mirrors")

    def __init__(self) -> None:
        super().__init__()
        self.patches = MonkeyPatch()
        self.patches.setattr(_data, "PAGE_POINTS", 4)
        self.patches.setattr(_data, "PAGE_BYTES_MAX", 120)
        self.patches.setattr(_since, "PAGE_POINTS", 4)
        self.patches.setattr(_since, "PAGE_BYTES_MAX", 120)
        self.patches.setattr(_replay, "PAGE_POINTS", 4)
        for module in (_corrections, _merge, _seal):
            self.patches.setattr(module, "BLOCK_POINTS", 6)
        self.patches.setattr(_seal, "_FULL_POINTS", 4)
        self.patches.setattr(_merge, "_OWN_POINTS", 3)
        self.patches.setattr(_layer, "ROW_POINTS_MAX", 5)
        self.patches.setattr(_layer, "_ROWS_MAX", 2)
        self.patches.setattr(_merge, "_TEXT_POINTS", 3)
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.store = SQLiteStore(Path(self.folder.name) / "s.db", clock=self.clock, synchronous="normal")
        self.model = MemoryStore(clock=self.clock)
        self.made = make_streams(self.store, 1)
        self.ids = dict(zip(self.made, make_streams(self.model, 1), strict=True))
        self.count = 0
        self.past = _Past()

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
            return _Reading(self.store, stream, Range(**bounds), self.past)
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
            had = [d for d in (self.past.of(d) for _, d in follower.got) if d not in self.past.back]
            now = {self.past.of(d) for _, d in values(self.store, follower.stream)}
            assert len(had) == len(set(had))
            assert now <= {self.past.of(d) for _, d in follower.got}

    @rule(stream=streams, substream=SUBSTREAMS, i=st.integers(0, 30), n=st.integers(0, 9), keep=KEEP, fails=FAILS)
    def delete_points(self, stream: int, substream: Substream, i: int, n: int, keep: bool, fails: bool) -> None:
        gone: set[Any] = set()

        def work(tx: Transaction, id_: int, store: Store) -> Any:
            done = tx.delete_points(id_, substream, i, i + n, by="a", keep=keep)
            if fails:
                raise ZeroDivisionError
            gone.update(self.past.of(d) for _, d in values(store, id_, substream=substream)[i : i + n])
            return done, tx.head(id_, substream)

        self.both(lambda store, id_of: store.submit(lambda tx: work(tx, id_of(stream), store)).result())
        self.past.gone |= gone

    @rule(stream=streams, substream=SUBSTREAMS, i=st.integers(0, 20), long=st.booleans(), fails=FAILS)
    def update_point(self, stream: int, substream: Substream, i: int, long: bool, fails: bool) -> None:
        self.count += 1
        new: Any = "x" * 60 + str(self.count) if long else self.count
        first: list[Any] = []

        def work(tx: Transaction, id_: int, store: Store) -> Any:
            done = tx.update_point(id_, substream, i, msgspec.json.encode(new), by="b", why="w")
            if fails:
                raise ZeroDivisionError
            first.append(self.past.of(values(store, id_, substream=substream)[i][1]))
            return done, tx.head(id_, substream)

        self.both(lambda store, id_of: store.submit(lambda tx: work(tx, id_of(stream), store)).result())
        if first:
            self.past.first[new] = first[0]

    @rule(stream=streams, substream=SUBSTREAMS, back=st.integers(0, 4), fails=FAILS)
    def undo(self, stream: int, substream: Substream, back: int, fails: bool) -> None:
        removed: list[Any] = []

        def work(tx: Transaction, id_: int, store: Store) -> Any:
            found = store.corrections(id_, substream, limit=10)
            number = found[back].id if back < len(found) else 0
            old = [p.d for block in store.corrected(id_, substream, number) for p in block.points] if number else []
            done = tx.undo(id_, substream, number, by="c")
            if fails:
                raise ZeroDivisionError
            if found[back].kind == CorrectionKind.DELETED:
                removed.extend(old)
            return done, tx.head(id_, substream)

        self.both(lambda store, id_of: store.submit(lambda tx: work(tx, id_of(stream), store)).result())
        self.past.back |= {self.past.of(d) for d in removed}

    @rule(stream=streams, corrections=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), max_size=4))
    def correct_in_one_group(self, stream: int, corrections: list[tuple[int, int]]) -> None:
        """With inserts in between, and all in one transaction."""
        blocks = [self.points([float(i), float(i + n)]) for i, n in corrections]
        gone: set[Any] = set()

        def work(tx: Transaction, id_: int) -> Any:
            for (i, n), new in zip(corrections, blocks, strict=True):
                tx.append(id_, Substream.MAIN, new, Mode.MERGE)
                tx.delete_points(id_, Substream.MAIN, tx.index_at(id_, Substream.MAIN, i - 0.5), n + 1, by="a")
            return tx.head(id_, Substream.MAIN)

        before = {self.past.of(d) for _, d in values(self.store, stream)}
        done = self.both(lambda store, id_of: store.submit(lambda tx: work(tx, id_of(stream))).result())
        if isinstance(done, Head):
            gone = before | {p.d for new in blocks for p in new.points}
            self.past.gone |= gone - {self.past.of(d) for _, d in values(self.store, stream)}

    @rule(stream=streams, substream=SUBSTREAMS, before=st.none() | st.integers(0, 20), limit=st.integers(1, 5))
    def look_into_the_ledger(self, stream: int, substream: Substream, before: int | None, limit: int) -> None:
        def look(store: Store, id_of: Callable[[int], int]) -> Any:
            found = store.corrections(id_of(stream), substream, before=before, limit=limit)
            kept = [[p for b in store.corrected(id_of(stream), substream, c.id) for p in b.points] for c in found]
            return found, kept

        self.both(look)

    @rule(stream=streams, substream=SUBSTREAMS)
    def seal(self, stream: int, substream: Substream) -> None:
        if stream in self.all_streams():
            self.store.seal(stream, substream)

    @rule(target=mirrors, stream=streams, empty=st.booleans())
    def begin_a_mirror(self, stream: int, empty: bool) -> _Mirror:
        if empty or stream not in self.all_streams():
            return _Mirror(stream, 0, [])
        return _Mirror(stream, self.store.head(stream, Substream.MAIN).arrivals, [*values(self.store, stream)])

    @rule(stream=streams, share=st.floats(0, 1))
    def replay_from_any_state(self, stream: int, share: float) -> None:
        """Also from one in the midst of an insert."""
        if stream in self.all_streams():
            sequence = self.model.sequence(self.ids[stream])
            state = int(share * sequence.state)
            born = [sequence.born[id_] for id_ in sequence.at(state)]
            mirror = _Mirror(stream, state, [(point.t, point.d) for point in born])
            for change in self.store.changes_after(stream, Substream.MAIN, state):
                mirror.apply(change)
            assert mirror.state == sequence.state
            self.compare(mirror)

    @rule(mirror=mirrors, steps=st.integers(0, 6), leave=st.booleans())
    def bring_a_mirror_up_to_date(self, mirror: _Mirror, steps: int, leave: bool) -> None:
        """Take some steps of the changes, which go on later, also if others have come meanwhile; or ask anew."""
        if mirror.steps is None:
            mirror.steps = self.store.changes_after(mirror.stream, Substream.MAIN, mirror.state)
        try:
            for _ in range(steps):
                change = next(mirror.steps, None)
                if change is None:
                    mirror.steps = None
                    break
                mirror.apply(change)
            self.compare(mirror)
        except NotFound:
            assert mirror.stream not in self.all_streams()
            mirror.steps = None
        except Unavailable:
            mirror.steps = None  # opened again meanwhile
        if leave:
            mirror.steps = None

    @rule(mirror=mirrors)
    def bring_a_mirror_wholly_up_to_date(self, mirror: _Mirror) -> None:
        mirror.steps = None
        if mirror.stream in self.all_streams():
            for change in self.store.changes_after(mirror.stream, Substream.MAIN, mirror.state):
                mirror.apply(change)
            assert mirror.points == values(self.store, mirror.stream)

    def compare(self, mirror: _Mirror) -> None:
        """What it has are the datapoints of its state. Of those that are there still none is unknown."""
        sequence = self.model.sequence(self.ids[mirror.stream])
        ids = sequence.at(mirror.state)
        now = {stored.id for stored in sequence.points}
        assert len(ids) == len(mirror.points)
        for id_, point in zip(ids, mirror.points, strict=True):
            if point is not None:
                assert self.past.of(point[1]) == self.past.of(sequence.born[id_].d)
                assert point[0] == sequence.born[id_].t
            else:
                assert id_ not in now

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = SQLiteStore(Path(self.folder.name) / "s.db", clock=self.clock, synchronous="normal")

    @rule()
    def kill(self) -> None:
        """Go on with what a process leaves that is killed now: the file and its log as they are, nothing closed."""
        left = tempfile.TemporaryDirectory()
        for name in ("s.db", "s.db-wal"):
            shutil.copy(Path(self.folder.name) / name, left.name)
        self.store.close()
        self.folder.cleanup()
        self.folder = left
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
