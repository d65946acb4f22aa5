"""Following streams: everything once, in order, for as long as it is allowed."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Callable, Coroutine
from typing import Any
from unittest.mock import patch

import msgspec
import pytest

from connectordb import wire
from connectordb.core import NOBODY, ROOT, Actor, feed, hub, scripts
from connectordb.core.cursors import format_cursor, parse_cursor
from connectordb.core.data import Asked
from connectordb.core.hub import Batch, Notice
from connectordb.core.subscription import Start, Subscriber, Subscription
from connectordb.datapoint import Datapoint
from connectordb.errors import (
    AuthenticationError,
    Closed,
    Conflict,
    Invalid,
    InvalidRange,
    NotFound,
    PermissionDenied,
    ScriptError,
    StoreError,
    Unauthenticated,
)
from connectordb.store.records import CorrectionKind, Cursor, Mode, Substream

STREAM = "alice/phone/s"
PATIENCE_S = 20


class Outlet:
    """Remembers what it was given; has room when told so, and by default always."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.notices: list[Notice] = []
        self.ended: Exception | None = None
        self.full = False
        self.accepts: Callable[[], bool] = lambda: True

    def offer(self, subscription: Subscription, batch: Batch) -> bool:
        if self.full or not self.accepts():
            return False
        self.batches.append(batch)
        return True

    async def room(self) -> None:
        if self.ended is not None:
            raise Closed("closed")
        while self.full:  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    def tell(self, subscription: Subscription, notice: Notice) -> None:
        self.notices.append(notice)

    def end(self, error: Exception) -> None:
        self.ended = error

    def make_room(self) -> None:
        self.full = False

    @property
    def values(self) -> list[Any]:
        return [point.d for batch in self.batches for point in batch.block.points]

    @property
    def kinds(self) -> list[str]:
        return [notice.kind for notice in self.notices]

    @property
    def cursor(self) -> str:
        return self.batches[-1].cursor


class Scene:
    """A world with a stream, and short ways to follow it and to insert."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.core = world.core
        world.user("alice")
        self.phone = world.device("alice/phone")
        world.stream(STREAM)

    async def insert(
        self, *values: Any, t: float = 0.0, actor: Actor | None = None, path: str = STREAM, **kw: Any
    ) -> Any:
        mode = kw.pop("mode", Mode.RESTAMP)
        points = [Datapoint(t, d) for d in values]
        return await self.core.insert(actor or self.phone, tuple(path.split("/")), points, mode, **kw)

    def connect(self, actor: Actor | None = None, login: str = "apikey") -> tuple[Subscriber, Outlet]:
        outlet = Outlet()
        return self.core.connect(actor or self.phone, login, outlet), outlet

    async def settle(self) -> None:
        """Wait until everything published is delivered, as far as outlets have room."""
        for _ in range(3):
            await asyncio.sleep(0)
        while self.core.hub._flushing or self.core.hub.tasks:
            tasks = list(self.core.hub.tasks)
            if tasks:
                await asyncio.wait(tasks, timeout=0.02)
            else:
                await asyncio.sleep(0)

    async def pause(self) -> None:
        """Give what is published the time to be delivered where there is room."""
        await asyncio.sleep(0.05)
        for _ in range(100):  # if the machine was busy meanwhile
            await asyncio.sleep(0)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.world.run(asyncio.wait_for(coroutine, PATIENCE_S))


@pytest.fixture
def scene(world: Any) -> Scene:
    return Scene(world)


def test_each_insert_is_one_batch_with_index_and_cursor(scene: Scene) -> None:
    async def run() -> None:
        await scene.insert("before")
        subscriber, outlet = scene.connect()
        answer = await subscriber.subscribe(STREAM)
        await scene.insert("a", "b")
        await scene.insert("c")
        await scene.settle()
        assert [(b.path, b.index, b.block.n) for b in outlet.batches] == [(STREAM, 1, 2), (STREAM, 3, 1)]
        assert outlet.values == ["a", "b", "c"]
        stream_id = parse_cursor(answer["cursor"])[0]
        assert [answer["cursor"], *(b.cursor for b in outlet.batches)] == [f"{stream_id}.{n}" for n in (1, 3, 4)]
        subscriber.close()

    scene.run(run())


def test_all_who_follow_share_the_batch(scene: Scene) -> None:
    async def run() -> None:
        followers = [scene.connect() for _ in range(5)]
        for subscriber, _ in followers:
            await subscriber.subscribe(STREAM)
        await scene.insert("a")
        await scene.settle()
        assert len({id(outlet.batches[0]) for _, outlet in followers}) == 1
        assert scene.core.hub.subscriptions == 5
        for subscriber, _ in followers:
            subscriber.close()
        assert scene.core.hub.subscriptions == 0

    scene.run(run())


@pytest.mark.parametrize(
    "start, expected",
    [
        (Start(), []),
        (Start(since=20), [3, 4]),
        (Start(since=0), [1, 2, 3, 4]),
        (Start(since=99), []),
        (Start(i1=-1), [4]),
        (Start(i1=0), [1, 2, 3, 4]),
        (Start(i1=-99), [1, 2, 3, 4]),
        (Start(i1=99), []),
    ],
)
def test_history_comes_first_and_then_what_is_new(scene: Scene, start: Start, expected: list[int]) -> None:
    async def run() -> None:
        for d in (1, 2, 3, 4):
            await scene.insert(d, t=10.0 * d)
        subscriber, outlet = scene.connect()
        await subscriber.subscribe(STREAM, start=start)
        await scene.insert("new")
        await scene.settle()
        assert outlet.values == [*expected, "new"]
        subscriber.close()

    scene.run(run())


def test_a_cursor_goes_on_exactly_where_it_was_also_after_late_points(scene: Scene) -> None:
    async def run() -> None:
        for d in range(5):
            await scene.insert(d, t=10.0 + d)
        subscriber, outlet = scene.connect()
        await subscriber.subscribe(STREAM, start=Start(i1=3))
        await scene.settle()
        subscriber.close()
        assert outlet.values == [3, 4]
        await scene.insert("late", t=11.5, mode=Mode.MERGE)
        await scene.insert("later", t=30.0)
        again, more = scene.connect()
        await again.subscribe(STREAM, start=Start(cursor=outlet.cursor))
        await scene.insert("late again", t=5.0, mode=Mode.MERGE)
        await scene.settle()
        assert more.values == ["late", "later", "late again"]
        again.close()

    scene.run(run())


def test_a_slow_reader_is_told_and_gets_everything_once_and_others_are_not_held_up(scene: Scene) -> None:
    async def run() -> None:
        slow, slow_outlet = scene.connect()
        quick, quick_outlet = scene.connect()
        for subscriber in (slow, quick):
            await subscriber.subscribe(STREAM)
        await scene.insert(0)
        await scene.settle()
        slow_outlet.full = True
        for d in range(1, 3001):
            await scene.insert(d)
        await scene.pause()
        assert quick_outlet.values == list(range(3001))
        assert slow_outlet.values == [0]
        assert scene.core.hub.behind == 1
        slow_outlet.make_room()
        await scene.settle()
        assert slow_outlet.values == list(range(3001))
        assert [(n.kind, n.n) for n in slow_outlet.notices] == [("lag", 3000)]
        await scene.insert("live again")
        await scene.settle()
        assert slow_outlet.values[-1] == "live again"
        assert (scene.core.hub.behind, quick_outlet.notices) == (0, [])
        slow.close()
        quick.close()

    scene.run(run())


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_each_follower_gets_each_datapoint_once(scene: Scene, seed: int) -> None:
    """Outlets that refuse at random, reconnections with the last cursor, late datapoints, bursts."""
    rng = random.Random(seed)

    async def run() -> None:
        count = 0
        outlets: list[Outlet] = []
        followers: list[tuple[Subscriber, Outlet, list[Any], str]] = []
        for _ in range(6):
            subscriber, outlet = scene.connect()
            outlet.accepts = lambda: rng.random() < 0.7
            answer = await subscriber.subscribe(STREAM, start=Start(i1=0))
            followers.append((subscriber, outlet, [], answer["cursor"]))
            outlets.append(outlet)
        pending = []
        for _ in range(150):
            for _ in range(rng.randrange(4)):
                values = list(range(count, count := count + rng.randrange(1, 4)))
                late = rng.random() < 0.2
                pending.append(
                    asyncio.ensure_future(
                        scene.insert(
                            *values,
                            t=rng.uniform(1, 100) if late else 0.0,
                            mode=Mode.MERGE if late else Mode.RESTAMP,
                        )
                    )
                )
            if rng.random() < 0.1 and pending:
                pending[-1].cancel()  # the client goes away; what was submitted is carried out
            if rng.random() < 0.3:
                await asyncio.sleep(rng.random() * 0.002)
            if rng.random() < 0.2:
                i = rng.randrange(len(followers))
                subscriber, outlet, got, cursor = followers[i]
                subscriber.close()
                got = got + outlet.values
                cursor = outlet.cursor if outlet.batches else cursor
                subscriber, outlet = scene.connect()
                outlet.accepts = lambda: rng.random() < 0.7
                await subscriber.subscribe(STREAM, start=Start(cursor=cursor))
                followers[i] = (subscriber, outlet, got, cursor)
        await asyncio.gather(*pending, return_exceptions=True)
        await scene.settle()
        scene.world.now += 1
        length = scene.core.length(scene.phone, tuple(STREAM.split("/")))
        every = [p.d async for b in scene.core.read(scene.phone, tuple(STREAM.split("/")), _all()) for p in b.points]
        for subscriber, outlet, got, _ in followers:
            got = got + outlet.values
            assert len(got) == length
            assert sorted(got) == sorted(every)
            subscriber.close()

    scene.run(run())


def _all() -> Any:
    from connectordb.query import Range

    return Range()


def test_what_is_inserted_by_a_client_that_went_away_is_published(scene: Scene) -> None:
    async def run() -> None:
        subscriber, outlet = scene.connect()
        await subscriber.subscribe(STREAM)
        insert = asyncio.ensure_future(scene.insert("a"))
        await asyncio.sleep(0)
        insert.cancel()
        await scene.insert("b")
        await scene.settle()
        assert outlet.values == ["a", "b"]
        subscriber.close()

    scene.run(run())


def test_an_acknowledgement_comes_before_the_publication(scene: Scene) -> None:
    async def run() -> None:
        subscriber, outlet = scene.connect()
        await subscriber.subscribe(STREAM)
        await scene.insert("a")
        assert outlet.values == []
        await scene.settle()
        assert outlet.values == ["a"]
        subscriber.close()

    scene.run(run())


def test_a_burst_of_publications_bounds_what_waits(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectordb.core.hub.BACKLOG_MAX", 10)

    async def run() -> None:
        subscriber, outlet = scene.connect()
        await subscriber.subscribe(STREAM)
        await asyncio.gather(*(scene.insert(d) for d in range(500)))
        await scene.settle()
        assert outlet.values == list(range(500))
        subscriber.close()

    scene.run(run())


def test_refusals(scene: Scene) -> None:
    async def run() -> None:
        world = scene.world
        subscriber, _ = scene.connect()
        cases: list[tuple[str, dict[str, Any], type[Exception]]] = [
            ("alice/phone/none", {}, NotFound),
            ("alice/phone", {}, Invalid),
            ("", {}, Invalid),
            ("alice", {}, Invalid),
            ("a/b/c/d/e", {}, Invalid),
            ("alice/*", {}, Invalid),
            ("*/*/*", {}, Invalid),
            ("alice/*/s", {}, Invalid),
            ("bob/*/*", {}, NotFound),
            ("alice/none/*", {}, NotFound),
            (STREAM, {"transform": "bogus"}, ScriptError),
            (STREAM, {"start": Start(cursor="x")}, Invalid),
            (STREAM, {"start": Start(cursor="1.5-3-1")}, Invalid),
            (STREAM, {"start": Start(since=1, i1=1)}, InvalidRange),
            (STREAM, {"start": Start(cursors={})}, InvalidRange),
            ("alice/phone/*", {"start": Start(cursor="1.0")}, InvalidRange),
            ("alice/phone/*", {"start": Start(cursors={"*": "x"})}, Invalid),
            (STREAM, {"requests": True}, Invalid),
            (STREAM + "/downlink", {"requests": True, "start": Start(i1=0)}, InvalidRange),
        ]
        for arg, given, error in cases:
            with pytest.raises(error):
                await subscriber.subscribe(arg, **given)
        assert subscriber.subscriptions == {}
        assert scene.core.hub.subscriptions == 0
        subscriber.close()
        stranger, _ = scene.connect(NOBODY, "")
        with pytest.raises(AuthenticationError):
            await stranger.subscribe(STREAM)
        stranger.close()
        assert world is scene.world

    scene.run(run())


def test_a_withdrawn_permission_stops_it_at_once_with_a_reason(scene: Scene) -> None:
    scene.world.user("bob")
    bob = scene.world.actor("bob/user")

    async def run() -> None:
        await scene.core.update_device(ROOT, "alice", "phone", {"public": True})
        subscriber, outlet = scene.connect(bob, "password")
        await subscriber.subscribe(STREAM)
        await scene.insert("seen")
        await scene.settle()
        await scene.core.update_device(ROOT, "alice", "phone", {"public": False})
        await scene.insert("secret")
        await scene.settle()
        assert outlet.values == ["seen"]
        assert outlet.kinds == ["ended"]
        assert isinstance(outlet.notices[0].error, NotFound | PermissionDenied)
        assert (subscriber.subscriptions, scene.core.hub.subscriptions) == ({}, 0)
        subscriber.close()

    scene.run(run())


def test_a_deleted_stream_ends_it_and_a_new_one_of_that_name_is_another(scene: Scene) -> None:
    async def run() -> None:
        subscriber, outlet = scene.connect()
        await subscriber.subscribe(STREAM)
        await scene.insert("old")
        await scene.settle()
        await scene.core.delete_stream(ROOT, "alice", "phone", "s")
        await scene.settle()
        assert outlet.kinds == ["ended"]
        await scene.core.create_stream(ROOT, "alice", "phone", "s", wire.StreamCreate())
        await scene.insert("new")
        await subscriber.subscribe(STREAM, start=Start(cursor=outlet.cursor))
        await scene.settle()
        assert outlet.values == ["old", "new"]
        assert outlet.kinds == ["ended", "reset"]
        subscriber.close()

    scene.run(run())


def test_a_connection_ends_with_the_session_that_opened_it_and_no_other(scene: Scene) -> None:
    identity = scene.core.identity
    one, other = (identity.session(scene.phone) for _ in range(2))

    async def run() -> None:
        (ended, outlet), (kept, kept_outlet) = (scene.connect(identity.by_session(s), "session") for s in (one, other))
        for subscriber in (ended, kept):
            await subscriber.subscribe(STREAM)
        before = scene.core.directory.generation
        await scene.core.sign_out("forged")
        assert scene.core.directory.generation == before
        await scene.core.update_device(ROOT, "alice", "phone", {"nickname": "what changes nothing"})
        await scene.insert(1)
        await scene.settle()
        assert (outlet.values, kept_outlet.values) == ([1], [1])
        await scene.core.sign_out(one)
        await scene.insert(2)
        await scene.settle()
        await asyncio.sleep(0.1)
        assert isinstance(outlet.ended, Unauthenticated)
        assert (ended.closed, kept.closed) == (True, False)
        assert (outlet.values, kept_outlet.values) == ([1], [1, 2])

    scene.run(run())


@pytest.mark.parametrize(
    "login, change",
    [
        ("apikey", lambda core: core.update_device(ROOT, "alice", "phone", {"apikey": ""})),
        ("apikey", lambda core: core.update_device(ROOT, "alice", "phone", {"enabled": False})),
        ("apikey", lambda core: core.delete_device(ROOT, "alice", "phone")),
        ("apikey", lambda core: core.delete_user(ROOT, "alice")),
        ("session", lambda core: core.update_user(ROOT, "alice", {"password": "other"})),
        ("password", lambda core: core.update_user(ROOT, "alice", {"password": "other"})),
    ],
)
def test_a_connection_ends_with_what_it_logged_in_with(scene: Scene, login: str, change: Callable[[Any], Any]) -> None:
    async def run() -> None:
        subscriber, outlet = scene.connect(login=login)
        idle, idle_outlet = scene.connect(login=login)
        await subscriber.subscribe(STREAM)
        await change(scene.core)
        while outlet.ended is None or idle_outlet.ended is None:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert isinstance(outlet.ended, Unauthenticated)
        assert isinstance(idle_outlet.ended, Unauthenticated)
        assert (subscriber.closed, idle.closed) == (True, True)

    scene.run(run())


def test_other_changes_do_not_end_it(scene: Scene) -> None:
    async def run() -> None:
        subscriber, outlet = scene.connect()
        await subscriber.subscribe(STREAM)
        await scene.core.update_device(ROOT, "alice", "phone", {"nickname": "new"})
        await scene.core.update_user(ROOT, "alice", {"password": "other"})
        await scene.core.update_stream(ROOT, "alice", "phone", "s", {"nickname": "new"})
        await scene.insert("a")
        await scene.settle()
        assert (outlet.values, outlet.notices, outlet.ended) == (["a"], [], None)
        subscriber.close()

    scene.run(run())


def test_a_pattern_follows_what_may_be_read_and_what_is_made_later(scene: Scene) -> None:
    scene.world.device("alice/watch")
    for path in ("alice/phone/x", "alice/watch/y"):
        scene.world.stream(path)

    async def run() -> None:
        watch = scene.world.actor("alice/watch")
        owner, outlet = scene.connect(scene.world.actor("alice/user"), "password")
        device, device_outlet = scene.connect()
        answer = await owner.subscribe("alice/*/*")
        await device.subscribe("alice/phone/*")
        assert answer["cursors"].keys() == {STREAM, "alice/phone/x", "alice/watch/y", "alice/meta/log", "*"}
        await scene.insert(1)
        await scene.insert(2, actor=watch, path="alice/watch/y")
        await scene.core.create_stream(ROOT, "alice", "phone", "z", wire.StreamCreate())
        await scene.insert(3, path="alice/phone/z")
        await scene.settle()
        seen = [(b.path, b.block.points[0].d) for b in outlet.batches if b.path != "alice/meta/log"]
        assert seen == [(STREAM, 1), ("alice/watch/y", 2), ("alice/phone/z", 3)]
        assert device_outlet.values == [1, 3]
        owner.close()
        device.close()
        # What came while nobody followed comes with the cursors, also of streams made meanwhile.
        await scene.insert(4)
        await scene.core.create_stream(ROOT, "alice", "phone", "zz", wire.StreamCreate())
        await scene.insert(5, 6, path="alice/phone/zz")
        again, more = scene.connect(scene.world.actor("alice/user"), "password")
        cursors = answer["cursors"] | {b.path: b.cursor for b in outlet.batches}
        await again.subscribe("alice/*/*", start=Start(cursors=cursors))
        await scene.settle()
        missed = {(b.path, p.d) for b in more.batches for p in b.block.points if b.path != "alice/meta/log"}
        assert missed == {(STREAM, 4), ("alice/phone/zz", 5), ("alice/phone/zz", 6)}
        again.close()

    scene.run(run())


def test_a_pattern_shows_nothing_that_may_not_be_read(scene: Scene) -> None:
    scene.world.user("bob")
    scene.world.device("alice/shown", public=True)
    scene.world.stream("alice/shown/s")

    async def run() -> None:
        shown = scene.world.actor("alice/shown")
        subscriber, outlet = scene.connect(scene.world.actor("bob/user"), "password")
        answer = await subscriber.subscribe("alice/*/*")
        assert answer["cursors"].keys() == {"alice/shown/s", "*"}
        await scene.insert("secret")
        await scene.insert("open", actor=shown, path="alice/shown/s")
        await scene.settle()
        assert outlet.values == ["open"]
        await scene.core.update_device(ROOT, "alice", "shown", {"public": False})
        await scene.insert("secret now", actor=shown, path="alice/shown/s")
        await scene.settle()
        assert outlet.values == ["open"]
        assert outlet.kinds == ["ended"]
        assert len(subscriber.subscriptions) == 1
        subscriber.close()

    scene.run(run())


@pytest.mark.parametrize("arg, what", [("bob/*/*", "bob"), ("bob/lamp/*", "bob/lamp")])
def test_a_pattern_ends_with_what_it_covers(scene: Scene, arg: str, what: str) -> None:
    scene.world.user("bob")
    scene.world.device("bob/lamp", public=True)
    scene.world.stream("bob/lamp/s")

    async def run() -> None:
        subscriber, outlet = scene.connect(scene.world.actor("alice/user"), "password")
        await subscriber.subscribe(arg)
        if what == "bob":
            await scene.core.delete_user(ROOT, "bob")
        else:
            await scene.core.delete_device(ROOT, "bob", "lamp")
        await scene.settle()
        assert [(n.kind, n.path) for n in outlet.notices] == [("ended", "bob/lamp/s"), ("ended", arg)]
        assert (subscriber.subscriptions, scene.core.hub.subscriptions) == ({}, 0)
        subscriber.close()

    scene.run(run())


def test_an_ephemeral_stream_tells_what_was_missed(scene: Scene) -> None:
    path = "alice/phone/e"
    scene.world.stream(path, ephemeral=True)

    async def run() -> None:
        subscriber, outlet = scene.connect()
        await subscriber.subscribe(path)
        await scene.insert(1, path=path)
        await scene.settle()
        outlet.full = True
        await scene.insert(2, 3, path=path)
        await scene.insert(4, path=path)
        await scene.pause()
        outlet.make_room()
        await scene.settle()
        await scene.insert(5, path=path)
        await scene.settle()
        assert outlet.values == [1, 5]
        assert [(n.kind, n.n) for n in outlet.notices] == [("missed", 3)]
        assert scene.core.hub.missed == 3
        cursor = outlet.cursor
        subscriber.close()
        await scene.insert(6, 7, path=path)
        again, more = scene.connect()
        await again.subscribe(path, start=Start(cursor=cursor))
        await scene.settle()
        assert [(n.kind, n.n) for n in more.notices] == [("missed", 2)]
        stream_id = parse_cursor(cursor)[0]
        await again.subscribe(path, start=Start(cursor=f"{stream_id}.00ff.3"))
        await scene.settle()
        assert [(n.kind, n.n) for n in more.notices] == [("missed", 2), ("missed", None)]
        again.close()

    scene.run(run())


def test_a_cursor_ahead_of_the_stream_starts_anew_and_says_so(scene: Scene) -> None:
    async def run() -> None:
        await scene.insert(1)
        subscriber, outlet = scene.connect()
        answer = await subscriber.subscribe(STREAM)
        stream_id = parse_cursor(answer["cursor"])[0]
        await subscriber.subscribe(STREAM, start=Start(cursor=format_cursor(stream_id, Cursor.behind(50))))
        await scene.settle()
        await scene.insert(2)
        await scene.settle()
        assert (outlet.values, outlet.kinds) == ([2], ["reset"])
        subscriber.close()

    scene.run(run())


def test_changes_of_things_are_published_in_the_log(scene: Scene) -> None:
    async def run() -> None:
        subscriber, outlet = scene.connect(scene.world.actor("alice/user"), "password")
        await subscriber.subscribe("alice/meta/log")
        await scene.core.create_stream(scene.phone, "alice", "phone", "x", wire.StreamCreate())
        await scene.settle()
        assert outlet.values == [{"cmd": "CreateStream", "arg": "alice/phone/x"}]
        subscriber.close()

    scene.run(run())


def test_each_insert_goes_through_the_script_by_itself_and_once_for_all(scene: Scene) -> None:
    async def run() -> None:
        first, outlet = scene.connect()
        second, other = scene.connect()
        for subscriber in (first, second):
            await subscriber.subscribe(STREAM, "if $ > 5 | count")
            await subscriber.subscribe(STREAM, "sum")
            await subscriber.subscribe(STREAM)
        await scene.insert(1, 7, 9)
        await scene.insert(2)
        await scene.insert(8)
        await scene.settle()
        inserts = [[p.d for p in batch.block.points] for batch in outlet.batches]
        assert inserts == [[1, 2], [1, 8, 17], [1, 7, 9], [2], [2], [1], [8], [8]]
        assert [id(batch) for batch in outlet.batches] == [id(batch) for batch in other.batches]
        first.close()
        second.close()

    scene.run(run())


def test_a_script_that_fails_on_an_insert_goes_on_with_the_next(scene: Scene) -> None:
    async def run() -> None:
        subscriber, outlet = scene.connect()
        await subscriber.subscribe(STREAM, "$ + 1")
        await scene.insert("x", {"y": 1})
        await scene.insert(1)
        await scene.settle()
        assert outlet.values == [2]
        assert [(n.kind, n.n, type(n.error)) for n in outlet.notices if n.kind != "seen"] == [
            ("failed", 2, ScriptError)
        ]
        subscriber.close()

    scene.run(run())


def test_datapoints_on_which_a_script_fails_take_no_others_with_them_when_a_reader_catches_up(scene: Scene) -> None:
    async def run() -> None:
        subscriber, outlet = scene.connect()
        for d in (1, 2, "bad", 3, {"x": 1}, 4, 5):
            await scene.insert(d)
        await subscriber.subscribe(STREAM, "$ + 1", Start(i1=0))
        await subscriber.subscribe(STREAM, "sum | if last", Start(i1=0))
        await subscriber.subscribe(STREAM, "$[1] + $", Start(i1=0))
        await subscriber.subscribe(STREAM, "if $ != $", Start(i1=0))
        await scene.settle()
        results = [[p.d for p in batch.block.points] for batch in outlet.batches]
        assert sorted(results) == [[2, 3, 4, 5, 6], [3, 3, 9]]
        assert sorted((n.kind, n.n) for n in outlet.notices if n.kind == "failed") == [("failed", 2)] * 2 + [
            ("failed", 7)
        ]
        subscriber.close()

    scene.run(run())


@pytest.mark.parametrize("ephemeral", [False, True])
def test_a_subscriber_is_told_how_far_it_has_seen_a_stream_of_which_its_script_makes_nothing(
    scene: Scene, ephemeral: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "SEEN_S", 0.02)
    scene.world.stream("alice/phone/f", ephemeral=ephemeral)

    async def run() -> None:
        subscriber, outlet = scene.connect()
        begun = (await subscriber.subscribe("alice/phone/f", "sum | if $ > 10"))["cursor"]
        for d in (6, 7, "bad"):
            await scene.insert(d, path="alice/phone/f")
        while outlet.kinds[-1:] != ["seen"] or "failed" not in outlet.kinds:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert outlet.batches == []
        cursor = outlet.notices[-1].cursor
        assert cursor not in (begun, None)
        subscriber.close()
        again, more = scene.connect()
        await again.subscribe("alice/phone/f", "sum | if $ > 10", Start(cursor=cursor))
        await scene.insert(11, path="alice/phone/f")
        await scene.settle()
        assert (more.values, more.notices) == ([11], [])
        again.close()

    scene.run(run())


def test_it_is_told_at_once_and_then_now_and_then_and_not_when_datapoints_say_so(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "SEEN_S", 5.0)

    async def run() -> None:
        subscriber, outlet = scene.connect()
        await subscriber.subscribe(STREAM, "if $ > 10")
        for d in range(10):
            await scene.insert(d)
        await scene.settle()
        assert outlet.kinds == ["seen"]
        await scene.insert(11)
        await scene.settle()
        assert (outlet.values, outlet.kinds) == ([11], ["seen"])
        assert all(feed._seen_timer is None for s in subscriber.subscriptions.values() for feed in s.feeds.values())
        subscriber.close()

    scene.run(run())


def test_a_reader_that_does_not_read_is_not_told_of_each_failure(scene: Scene) -> None:
    async def run() -> None:
        subscriber, outlet = scene.connect()
        await subscriber.subscribe(STREAM, "$ + 1")
        await scene.insert("bad")
        await scene.settle()
        outlet.full = True
        for _ in range(50):
            await scene.insert("bad")
        await scene.insert(1)
        await scene.pause()
        assert [n.n for n in outlet.notices if n.kind == "failed"] == [1]
        outlet.make_room()
        await scene.settle()
        assert outlet.values == [2]
        assert [n.n for n in outlet.notices if n.kind == "failed"] == [1, 50]
        subscriber.close()

    scene.run(run())


@pytest.mark.parametrize("ephemeral", [False, True])
@pytest.mark.parametrize("script", ["imap($, count) | if last", "$ + 1" + " | $ - 1" * 300])
def test_a_script_that_takes_long_does_not_hold_up_the_event_loop(scene: Scene, ephemeral: bool, script: str) -> None:
    scene.world.stream("alice/phone/f", ephemeral=ephemeral)

    async def run() -> None:
        subscriber, outlet = scene.connect()
        await subscriber.subscribe("alice/phone/f", script)
        threads = set()
        work = scripts.transformed_whole, scripts.transformed_around

        def noted(run: Any) -> Any:
            def inner(*args: Any) -> Any:
                threads.add(threading.current_thread())
                return run(*args)

            return inner

        with (
            patch.object(hub, "transformed_whole", noted(work[0])),
            patch.object(feed, "transformed_around", noted(work[1])),
        ):
            await scene.insert(*range(500), path="alice/phone/f")
            await scene.settle()
        assert len(outlet.values) in (1, 500)
        assert threads
        assert threading.current_thread() not in threads
        await scene.insert(1, path="alice/phone/f")
        await scene.settle()
        assert len(outlet.batches) == 2
        assert outlet.notices == []
        subscriber.close()

    scene.run(run())


def test_a_script_gets_history_and_long_inserts_page_by_page(scene: Scene) -> None:
    async def run() -> None:
        await scene.insert(*range(10))
        subscriber, outlet = scene.connect()
        await subscriber.subscribe(STREAM, "if $ > 7", Start(i1=0))
        await scene.insert(*range(10, 7000))
        await scene.settle()
        outlet.full = True
        for d in range(7000, 7010):
            await scene.insert(d)
        outlet.make_room()
        await scene.settle()
        await scene.insert(5, 7010)
        await scene.settle()
        assert outlet.values == list(range(8, 7011))
        subscriber.close()

    scene.run(run())


def downlinks_of(outlet: Outlet) -> list[tuple[int, Any]]:
    return [(one.id, msgspec.json.decode(one.d)) for batch in outlet.batches for one in batch.downlinks]


def test_a_device_gets_what_waited_for_it_and_then_what_comes(scene: Scene) -> None:
    scene.world.stream("alice/phone/light", downlink=True)
    path = "alice/phone/light"

    async def run() -> None:
        user = scene.world.actor("alice/user")
        for d in (True, False):
            await scene.insert(d, actor=user, path=path)
        subscriber, outlet = scene.connect()
        assert await subscriber.subscribe(path + "/downlink", requests=True) == {}
        await scene.settle()
        waited = downlinks_of(outlet)
        assert [d for _, d in waited] == [True, False]
        await scene.insert("live", actor=user, path=path)
        await scene.settle()
        assert [d for _, d in downlinks_of(outlet)] == [True, False, "live"]
        outlet.full = True
        for d in range(250):
            await scene.insert(d, actor=user, path=path)
        outlet.make_room()
        await scene.settle()
        found = downlinks_of(outlet)
        assert [d for _, d in found] == [True, False, "live", *range(250)]
        assert len({id_ for id_, _ in found}) == len(found)
        subscriber.close()
        # A device that comes back without having said anything gets the same again, under the same ids.
        again, more = scene.connect()
        await again.subscribe(path + "/downlink", requests=True)
        await scene.settle()
        assert downlinks_of(more) == found
        again.close()

    scene.run(run())


def test_history_and_restored_downlinks_ask_for_nothing(scene: Scene) -> None:
    scene.world.stream("alice/phone/light", downlink=True)
    path = "alice/phone/light"

    async def run() -> None:
        user = scene.world.actor("alice/user")
        await scene.insert(1, actor=user, path=path, asked=Asked(history=True))
        await scene.insert(2, actor=ROOT, path=path, downlink=True)
        subscriber, outlet = scene.connect()
        await subscriber.subscribe(path + "/downlink", requests=True)
        await scene.settle()
        assert outlet.batches == []
        assert scene.core.length(user, tuple(path.split("/")), downlink=True) == 2
        subscriber.close()

    scene.run(run())


def test_only_the_device_itself_takes_requests(scene: Scene) -> None:
    scene.world.stream("alice/phone/light", downlink=True)

    async def run() -> None:
        subscriber, outlet = scene.connect(scene.world.actor("alice/user"), "password")
        with pytest.raises(PermissionDenied, match="itself"):
            await subscriber.subscribe("alice/phone/light/downlink", requests=True)
        await subscriber.subscribe("alice/phone/light/downlink")
        await scene.insert(1, actor=scene.world.actor("alice/user"), path="alice/phone/light")
        await scene.settle()
        assert outlet.values == [1]
        assert outlet.batches[0].block.points[0].o == "alice/user"
        subscriber.close()

    scene.run(run())


def test_closing_the_core_ends_everything(make_world: Any) -> None:
    scene = Scene(make_world())

    async def run() -> None:
        subscriber, outlet = scene.connect()
        await subscriber.subscribe(STREAM)
        outlet.full = True
        await scene.insert(1)
        while not scene.core.hub.behind:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert scene.core.hub.behind == 1

    scene.run(run())


def test_what_is_withdrawn_just_before_a_subscription_counts(scene: Scene) -> None:
    scene.world.user("bob")
    scene.world.device("alice/shown", public=True)
    scene.world.stream("alice/shown/s")

    async def run() -> None:
        subscriber, outlet = scene.connect(scene.world.actor("bob/user"), "password")
        await subscriber.subscribe("alice/shown/s")
        # The actor is as it was when last looked; the change is looked at before anything is allowed.
        await scene.core.update_device(ROOT, "bob", "user", {"enabled": False})
        with pytest.raises(Unauthenticated):
            await subscriber.subscribe("alice/shown/*")
        assert (subscriber.closed, type(outlet.ended)) == (True, Unauthenticated)

    scene.run(run())


def test_who_was_disabled_while_logging_in_gets_nothing(scene: Scene) -> None:
    async def run() -> None:
        await scene.core.update_device(ROOT, "alice", "phone", {"enabled": False})
        subscriber, outlet = scene.connect(scene.phone)  # as found before
        with pytest.raises(Unauthenticated):
            await subscriber.subscribe(STREAM)
        assert isinstance(outlet.ended, Unauthenticated)

    scene.run(run())


@pytest.mark.parametrize("kind", ["now", "since", "i1", "cursors"])
def test_streams_that_are_written_while_a_pattern_begins_lose_and_double_nothing(scene: Scene, kind: str) -> None:
    async def run() -> None:
        first, _ = scene.connect()
        cursors = (await first.subscribe("alice/phone/*"))["cursors"]
        first.close()
        await scene.insert(0, 1, 2)
        start = {
            "now": Start(),
            "since": Start(since=0),
            "i1": Start(i1=0),
            "cursors": Start(cursors=cursors),
        }[kind]
        subscriber, outlet = scene.connect()
        beginning = asyncio.ensure_future(subscriber.subscribe("alice/phone/*", start=start))
        await asyncio.sleep(0)  # it looks for streams in another thread now
        await scene.insert("meanwhile")
        await beginning
        await scene.insert("after")
        await scene.settle()
        if kind == "now":  # is between the question and the answer
            assert outlet.values in (["after"], ["meanwhile", "after"])
        else:
            assert outlet.values == [0, 1, 2, "meanwhile", "after"]
        subscriber.close()

    scene.run(run())


def test_a_stream_made_ephemeral_under_a_pattern_goes_on_as_one(scene: Scene) -> None:
    async def run() -> None:
        subscriber, outlet = scene.connect()
        await subscriber.subscribe("alice/phone/*")
        await scene.insert(1)
        await scene.core.update_stream(ROOT, "alice", "phone", "s", {"ephemeral": True})
        await scene.insert(2)
        await scene.insert(3)
        await scene.settle()
        assert outlet.values in ([1, 2, 3], [1, 3])  # the one at which it is seen may only end the feed
        await scene.core.update_stream(ROOT, "alice", "phone", "s", {"ephemeral": False})
        await scene.insert(4)
        await scene.insert(5)
        await scene.settle()
        assert outlet.values[-1] == 5
        assert scene.core.hub.behind == 0
        subscriber.close()

    scene.run(run())


def test_a_burst_on_an_ephemeral_stream_is_told_to_the_last_datapoint(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectordb.core.hub.BACKLOG_MAX", 50)
    monkeypatch.setattr("connectordb.core.hub.BUSY", 10**9)
    scene.world.stream("alice/phone/e", ephemeral=True)

    async def run() -> None:
        subscriber, outlet = scene.connect()
        await subscriber.subscribe("alice/phone/*")
        await asyncio.gather(*(scene.insert(d, path="alice/phone/e") for d in range(500)))
        await scene.settle()
        missed = sum(n.n or 0 for n in outlet.notices if n.kind == "missed")
        assert outlet.values == list(range(len(outlet.values)))  # the first one of a new stream too
        assert len(outlet.values) > 0 and len(outlet.values) + missed == 500
        assert scene.core.hub.missed == missed
        subscriber.close()

    scene.run(run())


def test_who_publishes_to_an_ephemeral_stream_waits_for_the_hub(scene: Scene) -> None:
    scene.world.stream("alice/phone/e", ephemeral=True)

    async def run() -> None:
        subscriber, outlet = scene.connect()
        await subscriber.subscribe("alice/phone/e")
        for _ in range(20):
            await asyncio.gather(*(scene.insert(d, path="alice/phone/e") for d in range(1000)))
        await scene.settle()
        assert (len(outlet.values), outlet.notices) == (20_000, [])
        subscriber.close()

    scene.run(run())


def test_a_cursor_from_before_a_stream_was_ephemeral_tells_that_something_is_missed(scene: Scene) -> None:
    async def run() -> None:
        subscriber, outlet = scene.connect()
        cursor = (await subscriber.subscribe(STREAM))["cursor"]
        subscriber.unsubscribe(STREAM)
        await scene.insert(1)
        await scene.core.update_stream(ROOT, "alice", "phone", "s", {"ephemeral": True})
        await subscriber.subscribe(STREAM, start=Start(cursor=cursor))
        await scene.settle()
        assert [(n.kind, n.n) for n in outlet.notices] == [("missed", None)]
        subscriber.close()

    scene.run(run())


@pytest.mark.parametrize("arg", [STREAM, "alice/phone/*"])
def test_a_disk_that_fails_for_a_moment_costs_no_datapoint(
    scene: Scene, arg: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectordb.core.feed.RETRY_S", 0.01)
    failing = True
    find = type(scene.core).find_followed

    def fail(*args: Any, **kw: Any) -> Any:
        if failing:
            raise StoreError("disk I/O error: /secret/db.sqlite")
        return find(*args, **kw)

    async def run() -> None:
        nonlocal failing
        subscriber, outlet = scene.connect()
        await subscriber.subscribe(arg)
        await scene.insert(1)
        await scene.settle()
        monkeypatch.setattr(type(scene.core), "find_followed", fail)
        await scene.core.create_stream(ROOT, "alice", "phone", "x", wire.StreamCreate())  # all is looked at again
        await scene.insert(2)
        await scene.insert("x", path="alice/phone/x")
        await scene.pause()
        assert outlet.values == [1]
        failing = False
        await scene.insert(3)
        await scene.insert("y", path="alice/phone/x")
        await scene.pause()
        await scene.settle()
        assert [d for d in outlet.values if not isinstance(d, str)] == [1, 2, 3]
        assert [d for d in outlet.values if isinstance(d, str)] == (["x", "y"] if arg.endswith("*") else [])
        assert outlet.kinds in ([], ["lag"])
        subscriber.close()

    scene.run(run())


def test_a_subscription_that_is_refused_leaves_the_one_it_would_replace(scene: Scene) -> None:
    async def run() -> None:
        subscriber, outlet = scene.connect()
        await subscriber.subscribe(STREAM)
        with pytest.raises(Invalid):
            await subscriber.subscribe(STREAM, start=Start(cursor="junk"))
        await scene.insert(1)
        await scene.settle()
        assert (outlet.values, scene.core.hub.subscriptions) == ([1], 1)
        subscriber.close()
        assert scene.core.hub.subscriptions == 0

    scene.run(run())


def test_one_page_at_a_time_waits_for_a_reader_that_reads_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(20):
        scene.world.stream(f"alice/phone/x{n}")

    async def run() -> None:
        for n in range(20):
            await scene.insert("x" * 100, path=f"alice/phone/x{n}")
        read: list[int] = []
        read_after = scene.core.store.read_after

        def counting(*args: Any) -> Any:
            for page in read_after(*args):
                read.append(page.block.n)
                yield page

        monkeypatch.setattr(scene.core.store, "read_after", counting)
        subscriber, outlet = scene.connect()
        outlet.full = True
        await subscriber.subscribe("alice/phone/*", start=Start(since=0))
        await scene.pause()
        assert read == []
        outlet.make_room()
        await scene.settle()
        assert len(outlet.values) == 20
        subscriber.close()

    scene.run(run())


@pytest.mark.parametrize("seed", range(10))
def test_corrections_in_between_neither_break_nor_double_nor_stall_what_is_followed(scene: Scene, seed: int) -> None:
    """Deletions, updates and undos at random, right in the store, between inserts and late ones."""
    rng = random.Random(seed)

    async def run() -> None:
        stream_id = scene.core.directory.target(("alice", "phone", "s")).stream.id
        store = scene.core.store
        count = 0
        back: set[Any] = set()
        seen_as_updated: set[Any] = set()  # perhaps: they have their old value again
        outlets = []
        for _ in range(4):
            subscriber, outlet = scene.connect()
            outlet.accepts = lambda: rng.random() < 0.7
            await subscriber.subscribe(STREAM, start=Start(i1=0))
            outlets.append((subscriber, outlet))

        def correct(tx: Any) -> None:
            n = tx.head(stream_id, Substream.MAIN).n
            entries = store.corrections(stream_id, Substream.MAIN, limit=1)
            if (
                entries
                and entries[0].undone is None
                and entries[0].kind != CorrectionKind.UNDONE
                and rng.random() < 0.5
            ):
                blocks = store.corrected(stream_id, Substream.MAIN, entries[0].id)
                old = [p.d for block in blocks for p in block.points]
                (back if entries[0].kind == CorrectionKind.DELETED else seen_as_updated).update(old)
                with contextlib.suppress(Conflict):
                    tx.undo(stream_id, Substream.MAIN, entries[0].id, by="x")
            elif n and rng.random() < 0.3:
                tx.update_point(stream_id, Substream.MAIN, rng.randrange(n), b'"updated"', by="x")
            elif n:
                i = rng.randrange(n)
                tx.delete_points(stream_id, Substream.MAIN, i, min(n, i + rng.randrange(1, 4)), by="x")

        for _ in range(100):
            values = list(range(count, count := count + rng.randrange(1, 4)))
            late = rng.random() < 0.2
            t, mode = (rng.uniform(1, 100), Mode.MERGE) if late else (0.0, Mode.RESTAMP)
            await scene.insert(*values, t=t, mode=mode)
            if rng.random() < 0.4:
                await asyncio.wrap_future(store.submit(correct))
            if rng.random() < 0.3:
                await asyncio.sleep(rng.random() * 0.002)
        await asyncio.wrap_future(store.submit(correct))
        await scene.settle()
        for _, outlet in outlets:
            outlet.accepts = lambda: True
        await scene.insert("live")
        await scene.settle()
        every = {p.d async for b in scene.core.read(scene.phone, tuple(STREAM.split("/")), _all()) for p in b.points}
        for subscriber, outlet in outlets:
            got = outlet.values
            assert {*got, "updated", *seen_as_updated} >= every
            once = [d for d in got if d not in back and d != "updated"]
            assert len(once) == len(set(once))
            assert got[-1] == "live"
            subscriber.close()

    scene.run(run())


def test_a_reader_that_catches_up_is_done_although_what_it_waited_for_was_deleted(scene: Scene) -> None:
    async def run() -> None:
        await scene.insert("a")
        subscriber, outlet = scene.connect()
        await subscriber.subscribe(STREAM)
        outlet.full = True
        await scene.insert("b")
        await scene.pause()
        target = scene.core.directory.target(("alice", "phone", "s"))
        await asyncio.wrap_future(
            scene.core.store.submit(lambda tx: tx.delete_points(target.stream.id, Substream.MAIN, 1, 2, by="x"))
        )
        outlet.make_room()
        await scene.settle()
        assert (outlet.values, scene.core.hub.behind) == ([], 0)
        await scene.insert("c")
        await scene.settle()
        assert (outlet.values, outlet.batches[0].index) == (["c"], 1)
        subscriber.close()

    scene.run(run())
