"""Streams that are not kept for ever: who says so, and what is deleted when."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest

from connectordb import wire
from connectordb.core import ROOT, retention
from connectordb.core.permissions import Permissions
from connectordb.core.retention import Retention
from connectordb.datapoint import Datapoint
from connectordb.errors import InvalidValue, NotFound, PermissionDenied, StoreError
from connectordb.query import Range
from connectordb.store.base import Transaction
from connectordb.store.records import Mode, Stream, Substream

PATH = ("alice", "phone", "steps")
NAME = "alice/phone/steps"
DAY = 86_400.0


@pytest.fixture
def phone(world: Any) -> Any:
    """The device of the stream, which is not kept for ever."""
    world.user("alice")
    device = world.device("alice/phone")
    world.stream(NAME, keep=DAY)
    return device


def insert(world: Any, actor: Any, *ages: float, **more: Any) -> None:
    """Insert datapoints that are so many seconds old, with that as their value."""
    points = [Datapoint(world.now - age, age) for age in ages]
    world.run(world.core.insert(actor, PATH, points, Mode.MERGE, **more))


def ages(world: Any, **more: Any) -> list[float]:
    return [point.d for point in world.read(ROOT, NAME, Range(), **more)]


def ledger(world: Any, substream: Substream = Substream.MAIN) -> list[Any]:
    [stream] = world.core.store.limited_streams()
    return world.core.store.corrections(stream.id, substream, limit=100)


# ---- what is deleted


def test_what_is_older_is_deleted_for_good(world: Any, phone: Any) -> None:
    insert(world, phone, 3 * DAY, 2 * DAY, DAY + 1, DAY - 1, 5)
    assert world.core.retention.look() == 3
    assert ages(world) == [DAY - 1, 5]
    [entry] = ledger(world)
    assert (entry.i, entry.n, entry.by, entry.why, entry.kept) == (0, 3, "", "kept for 86400 s", False)
    assert world.core.retention.look() == 0


def test_others_are_left_alone(world: Any, phone: Any) -> None:
    world.stream("alice/phone/other")
    points = [Datapoint(1.0, "old")]
    world.run(world.core.insert(phone, ("alice", "phone", "other"), points))
    assert world.core.retention.look() == 0
    assert [p.d for p in world.read(ROOT, "alice/phone/other", Range())] == ["old"]


def test_a_downlink_is_looked_through_too(world: Any, phone: Any) -> None:
    world.run(world.core.update_stream(ROOT, *PATH, {"downlink": True}))
    insert(world, ROOT, 2 * DAY, 10, downlink=True)
    assert world.core.retention.look() == 1
    assert ages(world, downlink=True) == [10]
    assert len(ledger(world, Substream.DOWNLINK)) == 1


def test_it_waits_until_there_is_enough_to_be_worth_an_entry(world: Any, phone: Any) -> None:
    """Else a stream with a datapoint each second had an entry in its ledger each time that somebody looks."""
    insert(world, phone, *(DAY - 1000.0 + i for i in range(0, 1000, 100)))
    world.now += 800
    assert world.core.retention.look() == 0
    world.now += 164 + 800
    assert world.core.retention.look() == 10
    assert len(ledger(world)) == 1


def test_it_goes_in_steps(world: Any, phone: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "POINTS_FIRST", 4)
    monkeypatch.setattr(retention, "STEP_S", -1.0)  # each takes too long
    monkeypatch.setattr(retention, "POINTS_MIN", 2)
    insert(world, phone, *(2 * DAY - i for i in range(11)), 7)
    looked = Retention(world.core.store, lambda: world.now, 600)
    assert looked.look() == 11
    assert [entry.n for entry in reversed(ledger(world))] == [4, 2, 2, 2, 1]
    assert ages(world) == [7]
    monkeypatch.setattr(retention, "STEP_S", 1e9)  # now it is quick
    monkeypatch.setattr(retention, "POINTS_MAX", 7)
    insert(world, phone, *(2 * DAY - i for i in range(20)))
    assert looked.look() == 20
    assert [entry.n for entry in reversed(ledger(world))][5:] == [2, 4, 7, 7]


def test_what_has_been_set_meanwhile_counts(world: Any, phone: Any) -> None:
    """Between two steps somebody wants to keep the rest."""
    insert(world, phone, 3 * DAY, 2 * DAY)
    store = world.core.store
    [stream] = store.limited_streams()

    class Late:
        """Still tells of the stream as it was."""

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def limited_streams(self) -> list[Stream]:
            return [stream]

    for keep in (0, 10 * DAY):
        world.run(world.core.update_stream(ROOT, *PATH, {"keep": keep}))
        late: Any = Late()
        assert Retention(late, lambda: world.now, 600).look() == 0
    world.run(world.core.delete_stream(ROOT, *PATH))
    assert Retention(late, lambda: world.now, 600).look() == 0


def test_what_was_there_before_corrections_goes_too(world: Any, phone: Any) -> None:
    insert(world, phone, DAY - 20, DAY - 10, 20)
    undone = [
        world.run(world.core.delete_points(phone, PATH, Range(i1=0, i2=1))),
        world.run(world.core.update_point(phone, PATH, -1, wire.PointUpdate(d=0))),
    ]
    assert [entry.kept for entry in ledger(world)] == [True, True]
    world.now += 2000
    assert world.core.retention.look() == 1
    assert [entry.kept for entry in ledger(world)] == [False, True, False]
    assert world.run(world.core.undo(phone, PATH, undone[1].id)).kind == "undone"
    with pytest.raises(Exception, match="not kept"):
        world.run(world.core.undo(phone, PATH, undone[0].id))


# ---- by itself


def test_it_looks_at_once_and_then_again(world: Any, phone: Any) -> None:
    insert(world, phone, 2 * DAY)
    looked = threading.Semaphore(0)

    class Looking(Retention):
        def look(self) -> int:
            try:
                return super().look()
            finally:
                looked.release()

    running = Looking(world.core.store, lambda: world.now, 0.01)
    running.start()
    for _ in range(3):
        assert looked.acquire(timeout=30)
    assert ages(world) == []
    running.close()
    running.close()


def test_an_error_does_not_end_it(world: Any, caplog: pytest.LogCaptureFixture) -> None:
    looked = threading.Semaphore(0)

    class Failing(Retention):
        def look(self) -> int:
            looked.release()
            raise RuntimeError("something")

    running = Failing(world.core.store, lambda: world.now, 0.01)
    running.start()
    for _ in range(3):
        assert looked.acquire(timeout=30)
    running.close()
    assert "tried again" in caplog.text


def test_a_damaged_stream_keeps_no_other_from_it(
    world: Any, phone: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world.stream("alice/phone/broken", keep=DAY)
    insert(world, phone, 3 * DAY, 5)
    retention_of = world.core.retention
    look_at = retention_of._look_at
    broken = world.core.directory.target(("alice", "phone", "broken")).stream.id

    def failing(stream: Stream, substream: Substream) -> int:
        if stream.id == broken:
            raise StoreError("damaged")
        return look_at(stream, substream)

    monkeypatch.setattr(retention_of, "_look_at", failing)
    broken_first = world.core.store.limited_streams()[::-1]
    monkeypatch.setattr(world.core.store, "limited_streams", lambda: broken_first)
    with pytest.raises(StoreError, match="damaged"):
        retention_of.look()
    assert ages(world) == [5]
    assert f"stream {broken} could not be deleted" in caplog.text


def test_one_that_was_never_started_can_be_closed(world: Any) -> None:
    Retention(world.core.store, lambda: world.now, 600).close()


# ---- who says so


def test_it_is_shown_where_it_is_set(world: Any, phone: Any) -> None:
    assert world.core.read_stream(phone, *PATH).keep == DAY
    updated = world.run(world.core.update_stream(phone, *PATH, {"keep": 3600}))
    assert (updated.keep, type(updated.keep)) == (3600.0, float)
    updated = world.run(world.core.update_stream(phone, *PATH, {"keep": 0}))
    assert updated.keep is msgspec.UNSET
    assert "keep" not in msgspec.to_builtins(world.core.read_stream(phone, *PATH))


@pytest.mark.parametrize("keep", [-1, 30, 59.9, 2e11, 10**400, True, "1d", None])
def test_what_cannot_be_is_refused(world: Any, phone: Any, keep: Any) -> None:
    with pytest.raises(InvalidValue, match="keep"):
        world.run(world.core.update_stream(ROOT, *PATH, {"keep": keep}))
    assert world.core.read_stream(ROOT, *PATH).keep == DAY


def test_who_may_edit_the_stream_may_set_it(world: Any, phone: Any) -> None:
    world.user("bob", role="user")
    with pytest.raises(NotFound):
        world.run(world.core.update_stream(world.actor("bob/user"), *PATH, {"keep": 0}))
    world.run(world.core.update_stream(world.actor("alice/user"), *PATH, {"keep": 0}))


def test_who_may_not_delete_what_is_stored_may_not_let_it_be_deleted(world: Any, phone: Any) -> None:
    """A writer may edit the streams of others, but neither delete nor write what they hold."""
    writer = world.device("alice/writer", role="writer")
    world.run(world.core.update_stream(writer, *PATH, {"nickname": "mine"}))
    with pytest.raises(PermissionDenied, match="keep"):
        world.run(world.core.update_stream(writer, *PATH, {"keep": 60}))
    assert world.core.read_stream(ROOT, *PATH).keep == DAY
    world.run(world.core.update_stream(writer, *PATH, {"keep": 0}))
    world.run(world.core.update_stream(world.actor("alice/user"), *PATH, {"keep": 60}))


def test_who_may_only_append_may_not(make_world: Any) -> None:
    matrix = msgspec.json.decode(_matrix())
    for role in matrix["device_roles"].values():
        role["append_only"] = True
    world = make_world(permissions=Permissions(msgspec.json.encode(matrix)))
    world.user("alice")
    phone = world.device("alice/phone")
    world.stream(NAME)
    with pytest.raises(PermissionDenied, match="append"):
        world.run(world.core.update_stream(phone, *PATH, {"keep": DAY}))
    world.run(world.core.update_stream(ROOT, *PATH, {"keep": DAY}))


def test_a_matrix_of_its_own_may_say_otherwise(make_world: Any) -> None:
    matrix = msgspec.json.decode(_matrix())
    for flags in matrix["rw_access"].values():
        flags["stream_keep"] = False
    world = make_world(permissions=Permissions(msgspec.json.encode(matrix)))
    world.user("alice")
    phone = world.device("alice/phone")
    world.stream(NAME)
    with pytest.raises(PermissionDenied):
        world.run(world.core.update_stream(phone, *PATH, {"keep": DAY}))


def _matrix() -> bytes:
    from importlib import resources

    return resources.files("connectordb.core").joinpath("permissions.json").read_bytes()


def test_a_step_is_one_transaction(world: Any, phone: Any) -> None:
    """What is deleted and its entry in the ledger come together."""
    insert(world, phone, 2 * DAY)
    [stream] = world.core.store.limited_streams()

    def fail(tx: Transaction) -> None:
        world.core.retention._delete(tx, stream, Substream.MAIN, world.now - DAY)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        world.core.store.submit(fail).result()
    assert ages(world) == [2 * DAY]
    assert ledger(world) == []
