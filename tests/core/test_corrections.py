"""Corrections: who may make them, what they do, and how others learn of them."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from importlib import resources
from itertools import product
from typing import Any

import msgspec
import pytest

from connectordb import errors, wire
from connectordb.core import NOBODY, ROOT, Permissions, UploadRequest
from connectordb.core.hub import Batch, Notice
from connectordb.core.subscription import Start, Subscriber, Subscription
from connectordb.datapoint import Datapoint
from connectordb.errors import Closed, Conflict, InvalidRange, NotFound, PermissionDenied
from connectordb.query import Range
from connectordb.store.records import Mode

PATH = ("alice", "phone", "s")
STREAM = "/".join(PATH)
MATRIX = json.loads(resources.files("connectordb.core").joinpath("permissions.json").read_text())


class Scene:
    """A stream with five datapoints: t = 10, 20, ..., 50 and d = 1, 2, ..., 5."""

    def __init__(self, world: Any, points: int = 5, **given: Any) -> None:
        self.world = world
        self.core = world.core
        world.user("alice")
        self.phone = world.device("alice/phone")
        world.stream(STREAM, schema='{"type":"number"}', **given)
        if points:
            self.insert(*((10.0 * d, d) for d in range(1, points + 1)))

    def insert(self, *points: tuple[float, Any], mode: Mode = Mode.MERGE, **kw: Any) -> Any:
        made = [Datapoint(t, d) for t, d in points]
        return self.world.run(self.core.insert(self.phone, PATH, made, mode, **kw))

    def delete(self, actor: Any = None, path: tuple[str, str, str] = PATH, **kw: Any) -> wire.Correction:
        bounds = {name: kw.pop(name) for name in ("i1", "i2", "t1", "t2", "limit") if name in kw}
        return self.world.run(self.core.delete_points(actor or self.phone, path, Range(**bounds), **kw))

    def update(self, i: int, d: Any, actor: Any = None, upload: Any = None, **kw: Any) -> wire.Correction:
        wanted = wire.PointUpdate(d=d, **kw)
        return self.world.run(self.core.update_point(actor or self.phone, PATH, i, wanted, upload=upload))

    def undo(self, one: wire.Correction | int, actor: Any = None, **kw: Any) -> wire.Correction:
        number = one if isinstance(one, int) else one.id
        return self.world.run(self.core.undo(actor or self.phone, PATH, number, **kw))

    def history(self, actor: Any = None, limit: int = 100, **kw: Any) -> list[wire.Correction]:
        return self.world.run(self.core.history(actor or self.phone, PATH, limit=limit, **kw))

    def corrected(self, one: wire.Correction | int, actor: Any = None) -> list[tuple[float, Any]]:
        async def collect() -> list[tuple[float, Any]]:
            number = one if isinstance(one, int) else one.id
            blocks = self.core.corrected(actor or self.phone, PATH, number)
            return [(p.t, p.d) async for block in blocks for p in block.points]

        return self.world.run(collect())

    def changes(self, since: str | None = None, actor: Any = None, limit: int = 1000, **kw: Any) -> Any:
        return self.world.run(self.core.changes(actor or self.phone, PATH, since, limit=limit, **kw))

    @property
    def points(self) -> list[tuple[float, Any]]:
        return [(p.t, p.d) for p in self.world.read(ROOT, STREAM, Range())]

    @property
    def values(self) -> list[Any]:
        return [d for _, d in self.points]


@pytest.fixture
def scene(world: Any) -> Scene:
    return Scene(world)


def refused(kind: type[errors.RequestError], action: Callable[[], Any]) -> errors.RequestError:
    with pytest.raises(kind) as caught:
        action()
    assert type(caught.value) is kind
    return caught.value


# Deleting


@pytest.mark.parametrize(
    ("bounds", "left", "i"),
    [
        ({"i1": 1, "i2": 3}, [1, 4, 5], 1),
        ({"i1": -2}, [1, 2, 3], 3),
        ({"i1": -4, "i2": -1}, [1, 5], 1),
        ({"i2": 2}, [3, 4, 5], 0),
        ({"i1": 0}, [], 0),
        ({"i1": 3, "i2": 99}, [1, 2, 3], 3),
        ({"t1": 10, "t2": 30}, [1, 4, 5], 1),
        ({"t1": 30}, [1, 2, 3], 3),
        ({"t2": 29.9}, [3, 4, 5], 0),
        ({"t1": 0}, [], 0),
    ],
)
def test_a_range_is_deleted_as_it_would_be_read(scene: Scene, bounds: Any, left: list[int], i: int) -> None:
    gone = scene.world.read(ROOT, STREAM, Range(**bounds))
    done = scene.delete(**bounds, why="wrong")
    assert scene.values == left
    assert scene.core.length(scene.phone, PATH) == len(left)
    assert (done.kind, done.i, done.n, done.t1, done.t2) == ("deleted", i, len(gone), gone[0].t, gone[-1].t)
    assert (done.by, done.why, done.kept, done.at) == ("alice/phone", "wrong", True, scene.world.now)
    assert scene.history() == [done]
    assert scene.corrected(done) == [(p.t, p.d) for p in gone]


@pytest.mark.parametrize(
    "bounds", [{"t1": 21, "t2": 29}, {"t1": 20, "t2": 20}, {"t1": 50}, {"i1": 5}, {"i1": 2, "i2": 2}]
)
def test_an_empty_range_is_no_correction(scene: Scene, bounds: Any) -> None:
    before = scene.changes().cursor
    done = scene.delete(**bounds, why="nothing")
    assert (done.id, done.n, done.kind) == (0, 0, "deleted")
    assert scene.history() == []
    assert scene.changes(before).changes == []
    assert scene.values == [1, 2, 3, 4, 5]


def test_only_the_datapoint_that_is_meant_is_deleted(scene: Scene) -> None:
    done = scene.delete(i1=1, i2=2, t=20.0, was=b"2.0")
    assert scene.values == [1, 3, 4, 5]
    for expected in ({"t": 20.0}, {"was": b"2"}, {"t": 30.0, "was": b"2"}, {"was": b"null"}, {"was": b"true"}):
        refused(Conflict, lambda expected=expected: scene.delete(i1=1, i2=2, **expected))  # type: ignore[misc]
    assert refused(Conflict, lambda: scene.delete(i1=1, i2=2, t=20.0)).details == {"t": 30.0}
    refused(Conflict, lambda: scene.delete(i1=4, i2=5, t=50.0))
    refused(Conflict, lambda: scene.delete(t1=20, t2=21, was=b"5"))
    assert scene.values == [1, 3, 4, 5]
    assert scene.history() == [done]


def test_of_equal_time_stamps_the_value_tells_which_is_meant(scene: Scene) -> None:
    scene.insert((20, 7), (20, 8))
    assert scene.values == [1, 2, 7, 8, 3, 4, 5]
    scene.delete(i1=1, i2=2)
    refused(Conflict, lambda: scene.delete(i1=2, i2=3, t=20.0, was=b"7"))
    refused(Conflict, lambda: scene.update(2, 0, t=20.0, was=7))
    scene.update(1, 70, t=20.0, was=7)
    refused(Conflict, lambda: scene.update(1, 71, t=20.0, was=7))
    refused(Conflict, lambda: scene.update(1, 71, was=None))
    assert scene.values == [1, 70, 8, 3, 4, 5]
    assert [one.kind for one in scene.history()] == ["updated", "deleted"]


@pytest.mark.parametrize(
    "bounds", [{}, {"t1": 5, "limit": 2}, {"limit": 2}, {"i1": 6}, {"i1": 4, "i2": 2}, {"t1": 30, "t2": 20}]
)
def test_nothing_is_deleted_by_a_range_that_may_be_a_mistake(scene: Scene, bounds: Any) -> None:
    refused(InvalidRange, lambda: scene.delete(**bounds))
    assert scene.values == [1, 2, 3, 4, 5]


def test_what_is_purged_is_gone(scene: Scene) -> None:
    done = scene.delete(i1=1, i2=3, purge=True)
    assert (done.n, done.kept) == (2, False)
    assert scene.history() == [done]
    assert refused(Conflict, lambda: scene.corrected(done)).msg.startswith("nothing was kept")
    refused(Conflict, lambda: scene.undo(done))
    assert scene.values == [1, 4, 5]


def test_a_purge_takes_the_values_that_were_there_before(scene: Scene) -> None:
    """Also what an undo took back, and wherever the datapoint was; not those of others, nor what was deleted."""
    secret = scene.update(1, 99)
    taken_back = scene.undo(scene.update(1, 98))
    other = scene.update(3, 97)
    deleted = scene.delete(t1=20, t2=30)
    scene.insert((5.0, 0))
    purged = scene.delete(i1=2, i2=3, purge=True)
    assert purged.t1 == 20
    for one in (secret, taken_back):
        assert refused(Conflict, lambda one=one: scene.corrected(one)).msg.startswith("nothing was kept")
        refused(Conflict, lambda one=one: scene.undo(one))
    assert scene.corrected(other) == [(40.0, 4)]
    scene.undo(deleted)
    scene.undo(other)
    assert scene.values == [0, 1, 3, 4, 5]


# Updating


@pytest.mark.parametrize(("i", "at"), [(0, 0), (2, 2), (-1, 4), (-5, 0)])
def test_an_update_changes_the_value_only(scene: Scene, i: int, at: int) -> None:
    done = scene.update(i, 99.5, why="typo")
    expected = [(10.0 * d, d) for d in range(1, 6)]
    t, d = expected[at]
    expected[at] = (t, 99.5)
    assert scene.points == expected
    assert (done.kind, done.i, done.n, done.t1, done.t2, done.why) == ("updated", at, 1, t, t, "typo")
    assert scene.corrected(done) == [(t, d)]


@pytest.mark.parametrize("i", [5, -6, 2**62])
def test_what_is_not_there_cannot_be_updated(scene: Scene, i: int) -> None:
    assert refused(InvalidRange, lambda: scene.update(i, 1)).status == 403
    assert scene.history() == []


def test_an_update_has_to_fit_the_schema(scene: Scene) -> None:
    refused(errors.SchemaMismatch, lambda: scene.update(0, "text"))
    assert scene.values == [1, 2, 3, 4, 5]
    assert scene.history() == []


def test_an_update_that_says_which_time_stamp_it_means_changes_no_other(scene: Scene) -> None:
    scene.insert((5.0, 0))  # all indices are one higher now
    error = refused(Conflict, lambda: scene.update(1, 9, t=20.0))
    assert error.details == {"t": 10.0}
    assert (scene.values, scene.history()) == ([0, 1, 2, 3, 4, 5], [])
    scene.update(2, 9, t=20.0)
    assert scene.values == [0, 1, 9, 3, 4, 5]


@pytest.mark.parametrize("value", [2**70, -0.0, 1e300])
def test_values_are_kept_as_an_insert_keeps_them(scene: Scene, value: Any) -> None:
    scene.insert((60.0, value))
    inserted = scene.world.read(ROOT, STREAM, Range(i1=-1))[0].d
    scene.update(0, value)
    found = scene.world.read(ROOT, STREAM, Range(i2=1))[0].d
    assert (repr(found), type(found)) == (repr(inserted), type(inserted))


# Undoing, and the ledger


def test_undo_brings_back_what_was_there(scene: Scene) -> None:
    before = scene.points
    deleted = scene.delete(i1=1, i2=3)
    updated = scene.update(-1, 77)
    undone = scene.undo(updated, why="it was right")
    assert (undone.kind, undone.undoes, undone.why) == ("undone", updated.id, "it was right")
    again = scene.undo(deleted)
    assert scene.points == before
    assert "again" in refused(Conflict, lambda: scene.corrected(deleted)).msg
    assert scene.corrected(undone) == [(50.0, 77)]
    assert [(one.kind, one.undoes, one.undone) for one in scene.history()] == [
        ("undone", deleted.id, None),
        ("undone", updated.id, None),
        ("updated", None, undone.id),
        ("deleted", None, again.id),
    ]


def test_what_cannot_be_undone_is_refused_and_changes_nothing(scene: Scene) -> None:
    deleted = scene.delete(i1=1, i2=3)
    updated = scene.update(0, 7)
    undone = scene.undo(deleted)
    refused(Conflict, lambda: scene.undo(deleted))
    refused(Conflict, lambda: scene.undo(undone))
    scene.delete(i1=0, i2=1)
    refused(Conflict, lambda: scene.undo(updated))
    refused(NotFound, lambda: scene.undo(9999))
    assert scene.values == [2, 3, 4, 5]


def test_an_update_is_not_undone_while_a_later_one_is_in_force(scene: Scene) -> None:
    first, other = scene.update(1, 7), scene.update(2, 8)
    second = scene.update(1, 9)
    scene.insert((5.0, 0))
    scene.undo(scene.delete(i1=1, i2=4))
    error = refused(Conflict, lambda: scene.undo(first))
    assert f"by correction {second.id}" in error.msg
    scene.undo(other)
    assert scene.values == [0, 1, 9, 3, 4, 5]
    scene.undo(second)
    scene.undo(first)
    assert scene.values == [0, 1, 2, 3, 4, 5]


def test_undo_brings_back_what_was_there_whatever_the_schema_says_now(scene: Scene) -> None:
    deleted, updated = scene.delete(i1=0, i2=2), scene.update(0, 7)
    scene.world.run(scene.core.update_stream(ROOT, *PATH, {"schema": '{"type":"string"}'}))
    scene.undo(deleted)
    scene.undo(updated)
    assert scene.values == [1, 2, 3, 4, 5]


def test_a_correction_belongs_to_its_stream(scene: Scene) -> None:
    scene.world.stream("alice/phone/other")
    done = scene.delete(i1=0, i2=1)
    other = ("alice", "phone", "other")
    refused(NotFound, lambda: scene.world.run(scene.core.undo(scene.phone, other, done.id)))
    assert scene.world.run(scene.core.history(scene.phone, other, limit=9)) == []
    refused(NotFound, lambda: scene.corrected(done.id + 1))


def test_the_ledger_comes_in_pages(scene: Scene) -> None:
    done = [scene.update(i % 5, i, why=f"number {i}") for i in range(7)]
    assert scene.history() == done[::-1]
    assert scene.history(limit=3) == done[:-4:-1]
    assert scene.history(limit=3, before=done[2].id) == [done[1], done[0]]


def test_what_comes_back_has_to_fit_into_what_the_role_allows(make_world: Any) -> None:
    matrix = json.loads(json.dumps(MATRIX))
    matrix["user_roles"]["user"]["max_stream_size"] = 5
    scene = Scene(make_world(permissions=Permissions(json.dumps(matrix).encode())))
    refused(errors.LimitReached, lambda: scene.insert((60.0, 6)))
    done = scene.delete(i1=0, i2=2)
    scene.insert((60.0, 6))  # a delete makes room
    refused(errors.LimitReached, lambda: scene.undo(done))
    assert (scene.values, scene.history()) == ([3, 4, 5, 6], [done])


def test_who_did_it_is_noted(scene: Scene) -> None:
    own = scene.world.actor("alice/user")
    assert [scene.update(0, i, actor).by for i, actor in enumerate((scene.phone, own, ROOT))] == [
        "alice/phone",
        "alice/user",
        "ConnectorDB",
    ]


def test_a_reason_has_a_bound(scene: Scene) -> None:
    why = "x" * (wire.WHY_LENGTH_MAX + 1)
    for action in (
        lambda: scene.delete(i1=0, why=why),
        lambda: scene.update(0, 1, why=why),
        lambda: scene.undo(1, why=why),
    ):
        assert refused(errors.Invalid, action).status == 400


# Repetitions


def upload(digest: bytes = b"1", source: str = "k") -> UploadRequest:
    return UploadRequest(source, 1, 1, digest, lifetime_s=3600.0)


def test_a_repetition_is_carried_out_once_and_answered_the_same(scene: Scene) -> None:
    first = scene.delete(i1=0, i2=1, upload=upload())
    assert scene.delete(i1=0, i2=1, upload=upload()) == first
    assert scene.values == [2, 3, 4, 5]
    changed = scene.update(-1, 9, upload=upload(source="u"))
    scene.insert((60.0, 6))
    assert scene.update(-1, 9, upload=upload(source="u")) == changed
    assert scene.values == [2, 3, 4, 9, 6]
    undone = scene.undo(changed, upload=upload(source="v"))
    assert scene.undo(changed, upload=upload(source="v")) == undone
    assert len(scene.history()) == 3


def test_a_repetition_of_what_found_nothing_finds_nothing(scene: Scene) -> None:
    first = scene.delete(t1=50, upload=upload())
    scene.insert((60.0, 6))
    assert scene.delete(t1=50, upload=upload()) == first
    assert scene.values == [1, 2, 3, 4, 5, 6]


def test_the_same_key_for_something_else_is_a_conflict(scene: Scene) -> None:
    scene.delete(i1=0, i2=1, upload=upload())
    refused(errors.UploadConflict, lambda: scene.delete(i1=0, i2=2, upload=upload(b"2")))
    assert scene.values == [2, 3, 4, 5]


def test_two_who_choose_the_same_key_are_two(scene: Scene) -> None:
    scene.delete(i1=0, i2=1, upload=upload())
    scene.delete(scene.world.actor("alice/user"), i1=0, i2=1, upload=upload())
    assert scene.values == [3, 4, 5]


# Rights


def matrix_access(user_role: str, device_role: str, relation: str) -> tuple[set[str], set[str], set[str]]:
    """The flags that both roles' levels grant: for acting, reading, writing."""
    sides = []
    for role in (MATRIX["user_roles"][user_role], MATRIX["device_roles"][device_role]):
        level = role[f"{relation}_access_level"]
        flags = set(MATRIX["access_levels"]["fullnp"])
        every = set(MATRIX["rw_access"]["selfread"])
        if level in ("none", "full"):
            sides.append((flags, every, every) if level == "full" else (set(), set(), set()))
            continue
        entry = MATRIX["access_levels"][level]
        rw = [
            every if entry[k] == "full" else {f for f, on in MATRIX["rw_access"].get(entry[k], {}).items() if on}
            for k in ("read_access", "write_access")
        ]
        sides.append(({f for f, on in entry.items() if on is True}, *rw))
    return tuple(a & b for a, b in zip(*sides, strict=True))  # type: ignore[return-value]


def answers(world: Any, actor: Any, path: tuple[str, str, str]) -> dict[str, int]:
    """What comes of each call on a stream of three datapoints: 200, or the status of the refusal."""
    core, run = world.core, world.run
    run(core.insert(ROOT, path, [Datapoint(t, t) for t in (1.0, 2.0, 3.0)], Mode.ORDERED))
    earlier = run(core.update_point(ROOT, path, 0, wire.PointUpdate(d=5)))

    async def what_was_there() -> Any:
        return [block async for block in core.corrected(actor, path, earlier.id)]

    def status(coroutine: Any) -> int:
        try:
            run(coroutine)
        except (PermissionDenied, NotFound) as e:
            return e.status
        return 200

    return {
        "update": status(core.update_point(actor, path, 1, wire.PointUpdate(d=6))),
        "delete": status(core.delete_points(actor, path, Range(i1=2))),
        "history": status(core.history(actor, path, limit=9)),
        "changes": status(core.changes(actor, path, limit=9)),
        "what was there": status(what_was_there()),
        "undo": status(core.undo(actor, path, earlier.id)),
    }


@pytest.mark.parametrize("append_only", [False, True])
@pytest.mark.parametrize(
    ("user_role", "device_role"),
    list(product(("user", "admin"), ("none", "reader", "writer", "user", "appender"))),
    ids="-".join,
)
def test_who_may_correct(make_world: Any, user_role: str, device_role: str, append_only: bool) -> None:
    """Who may write the data, or delete it all with the stream, unless a role of his may append only."""
    matrix = json.loads(json.dumps(MATRIX))
    matrix["device_roles"][device_role]["append_only"] = append_only
    world = make_world(permissions=Permissions(json.dumps(matrix).encode()))
    world.user("asker", user_role)
    actor = world.device("asker/dev", role=device_role)
    world.user("pub", public=True)
    world.user("priv", public=False)
    devices = {"self": "asker/dev", "user": "asker/other", "public": "pub/open", "private": "priv/shut"}
    for relation, device in devices.items():
        if relation != "self":
            world.device(device, public=relation == "public")
        world.stream(f"{device}/s")
        path = (*device.split("/"), "s")
        got = answers(world, actor, path)
        can, read, write = matrix_access(user_role, device_role, relation)
        sees = "can_access_stream" in read
        writes = {"can_access_stream", "can_access_stream_data"} <= write or "can_delete_stream" in can
        reads = "can_access_stream_data" in read
        corrects = writes and not append_only
        allowed = {
            **dict.fromkeys(("update", "delete", "undo"), corrects),
            **dict.fromkeys(("history", "changes"), reads),
            "what was there": reads and writes,
        }
        assert got == {name: 404 if not sees else 200 if allowed[name] else 403 for name in got}, relation
        assert world.core.length(ROOT, path) == (2 if sees and corrects else 3)


def test_a_role_that_appends_only_may_insert_and_is_told_why_it_may_not_more(make_world: Any) -> None:
    matrix = json.loads(json.dumps(MATRIX))
    matrix["device_roles"]["sensor"] = {**matrix["device_roles"]["none"], "append_only": True}
    world = make_world(permissions=Permissions(json.dumps(matrix).encode()))
    scene = Scene(world, points=0)
    world.run(scene.core.update_device(ROOT, "alice", "phone", {"role": "sensor"}))
    scene.phone = world.actor("alice/phone")
    scene.insert((10.0, 1), (20.0, 2))
    error = refused(PermissionDenied, lambda: scene.delete(i1=0))
    assert "append" in error.msg
    assert scene.delete(world.actor("alice/user"), i1=0).n == 2


def test_a_user_whose_role_appends_only_corrects_nothing(make_world: Any) -> None:
    matrix = json.loads(json.dumps(MATRIX))
    matrix["user_roles"]["user"]["append_only"] = True
    scene = Scene(make_world(permissions=Permissions(json.dumps(matrix).encode())))
    for actor in (scene.phone, scene.world.actor("alice/user")):
        refused(PermissionDenied, lambda a=actor: scene.delete(a, i1=0))
    assert scene.delete(ROOT, i1=0).n == 5


def test_an_appender_inserts_and_does_nothing_else(world: Any) -> None:
    """As the one that somebody stole would: it may not do harm by other ways than corrections, either."""
    scene = Scene(world)
    core, run, phone = world.core, world.run, ("alice", "phone")
    done = scene.update(0, 9)
    scene.phone = world.device("alice/sensor", role="appender")
    path = ("alice", "sensor", "s")
    world.stream("/".join(path))
    stream = core.read_stream(scene.phone, *path)
    run(core.insert(scene.phone, path, [Datapoint(10.0, 1), Datapoint(20.0, 2)]))
    run(core.insert(scene.phone, path, [Datapoint(15.0, 3)], Mode.MERGE))
    mine = run(core.update_point(ROOT, path, 0, wire.PointUpdate(d=5)))
    for action in (
        lambda: run(core.delete_points(scene.phone, path, Range(i1=0))),
        lambda: run(core.update_point(scene.phone, path, 0, wire.PointUpdate(d=1))),
        lambda: run(core.undo(scene.phone, path, mine.id)),
        lambda: run(core.delete_stream(scene.phone, *path)),
        lambda: run(core.delete_device(scene.phone, "alice", "sensor")),
        lambda: run(core.delete_user(scene.phone, "alice")),
        lambda: run(core.create_stream(scene.phone, "alice", "sensor", "x", wire.StreamCreate())),
        lambda: run(core.create_device(scene.phone, "alice", "x", wire.DeviceCreate())),
        *(
            lambda change=change: run(core.update_stream(scene.phone, *path, change))
            for change in ({"ephemeral": True}, {"keep": 60}, {"keep": 0}, {"schema": "{}"}, {"downlink": True})
        ),
        *(
            lambda change=change: run(core.update_device(scene.phone, "alice", "sensor", change))
            for change in ({"role": "user"}, {"apikey": ""}, {"enabled": False}, {"public": True}, {"nickname": "x"})
        ),
        lambda: run(core.update_user(scene.phone, "alice", {"password": "x"})),
        lambda: run(core.insert(scene.phone, PATH, [Datapoint(99.0, 1)])),
        lambda: run(core.update_device(scene.phone, *phone, {"role": "user"})),
        lambda: run(core.undo(scene.phone, PATH, done.id)),
        lambda: core.read_stream(scene.phone, *PATH),
    ):
        with pytest.raises((PermissionDenied, NotFound)):
            action()
    assert core.read_stream(scene.phone, *path) == stream
    assert [p.d for p in world.read(scene.phone, "/".join(path), Range())] == [5, 3, 2]
    assert scene.values == [9, 2, 3, 4, 5]


def test_nobody_corrects_what_is_public(world: Any) -> None:
    world.user("pub")
    world.device("pub/phone", public=True)
    world.stream("pub/phone/s")
    path = ("pub", "phone", "s")
    for action in (
        lambda: world.core.delete_points(NOBODY, path, Range(i1=0)),
        lambda: world.core.update_point(NOBODY, path, 0, wire.PointUpdate(d=1)),
        lambda: world.core.undo(NOBODY, path, 1),
        lambda: world.core.history(NOBODY, path, limit=1),
        lambda: world.core.changes(NOBODY, path, limit=1),
    ):
        assert refused(NotFound, lambda a=action: world.run(a())).status == 404


def test_a_user_corrects_what_a_downlink_of_its_device_has_written(world: Any) -> None:
    scene = Scene(world, downlink=True)
    own = world.actor("alice/user")
    scene.update(0, 9, own)
    assert scene.values == [9, 2, 3, 4, 5]
    assert scene.core.length(scene.phone, PATH, downlink=True) == 0


# Changes


def replay(mirror: list[Any], page: Any) -> None:
    for change, _ in page.changes:
        new = [None] * change.n if change.block is None else [(p.t, p.d) for p in change.block.points]
        assert len(new) == change.n
        name = change.kind.name
        if name == "INSERTED":
            mirror[change.i : change.i] = new
        elif name == "UPDATED":
            assert change.i + change.n <= len(mirror)
            mirror[change.i : change.i + change.n] = new
        else:
            assert change.i + change.n <= len(mirror)
            del mirror[change.i : change.i + change.n]


def test_changes_come_in_the_order_of_arrival(scene: Scene) -> None:
    start = scene.changes().cursor
    scene.insert((15.0, 9), (60.0, 6))
    updated = scene.update(0, 8)
    deleted = scene.delete(i1=3, i2=5)
    page = scene.changes(start)
    steps = [(change.kind.name, change.i, change.n, change.correction) for change, _ in page.changes]
    assert steps[-2:] == [("UPDATED", 0, 1, updated.id), ("DELETED", 3, 2, deleted.id)]
    assert {name for name, *_ in steps[:-2]} == {"INSERTED"}
    assert not page.more
    assert page.cursor == page.changes[-1][1]
    mirror = [(10.0 * d, d) for d in range(1, 6)]
    replay(mirror, page)
    assert mirror == scene.points
    assert scene.changes(page.cursor) == ([], page.cursor, False)


def test_changes_of_an_empty_stream(world: Any) -> None:
    scene = Scene(world, points=0)
    page = scene.changes()
    assert (page.changes, page.more) == ([], False)
    scene.insert((10.0, 1))
    assert [change.n for change, _ in scene.changes(page.cursor).changes] == [1]


def test_a_page_of_changes_is_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(10):
        scene.update(i % 5, i)
    mirror: list[Any] = []
    cursor, pages = None, 0
    while True:
        page = scene.changes(cursor, limit=3)
        assert len(page.changes) <= 3
        replay(mirror, page)
        cursor, pages = page.cursor, pages + 1
        if not page.more:
            break
    assert pages == 4
    assert mirror == scene.points
    monkeypatch.setattr("connectordb.core.corrections.CHANGES_BYTES", 1)
    page = scene.changes()
    assert len(page.changes) == 1
    assert page.more


def test_a_cursor_that_is_not_of_the_stream_is_told_from_one_that_is_none(scene: Scene) -> None:
    cursor = scene.changes().cursor
    stream_id = cursor.partition(".")[0]
    refused(Conflict, lambda: scene.changes(f"{stream_id}.99"))  # a backup has been restored
    refused(Conflict, lambda: scene.changes(f"{stream_id}.ab12.3"))
    for text in ("nonsense", "", f"{stream_id}.-1"):
        refused(errors.Invalid, lambda t=text: scene.changes(t))
    scene.world.run(scene.core.delete_stream(ROOT, *PATH))
    scene.world.stream(STREAM)
    refused(Conflict, lambda: scene.changes(cursor))


def test_a_cursor_in_the_midst_of_catching_up_begins_at_its_base(scene: Scene) -> None:
    stream_id = scene.changes().cursor.partition(".")[0]
    page = scene.changes(f"{stream_id}.2-5-1")
    mirror = [(10.0, 1), (20.0, 2)]
    replay(mirror, page)
    assert mirror == scene.points


def test_changes_that_take_too_long_end_with_an_error(scene: Scene) -> None:
    scene.insert((15.0, 9))
    core = scene.core
    limits = msgspec.structs.replace(core.settings.limits, query_s=-1.0)
    core.settings = msgspec.structs.replace(core.settings, limits=limits)
    assert "limit of a query" in refused(errors.LimitReached, lambda: scene.changes()).msg


def test_an_ephemeral_stream_has_no_changes(world: Any) -> None:
    scene = Scene(world, ephemeral=True)
    assert "ephemeral" in refused(errors.InvalidValue, scene.changes).msg


def test_changes_of_a_downlink_are_those_of_its_requests(world: Any) -> None:
    scene = Scene(world, downlink=True)
    world.run(scene.core.insert(world.actor("alice/user"), PATH, [Datapoint(5.0, 1)], Mode.RESTAMP))
    assert [change.n for change, _ in scene.changes(downlink=True).changes] == [1]
    mirror: list[Any] = []
    replay(mirror, scene.changes())
    assert mirror == scene.points


def test_who_only_reads_does_not_see_what_was_deleted(scene: Scene) -> None:
    reader = scene.world.device("alice/eye", role="reader")
    scene.delete(i1=1, i2=3)
    shown = [p.d for change, _ in scene.changes().changes if change.block for p in change.block.points]
    assert shown == [1, 2, 3, 4, 5]
    page = scene.changes(actor=reader)
    shown = [p.d for change, _ in page.changes if change.block for p in change.block.points]
    assert shown == [1, 4, 5]
    mirror: list[Any] = []
    replay(mirror, page)
    assert mirror == scene.points


@pytest.mark.parametrize("seed", range(10))
def test_who_follows_the_changes_has_what_the_stream_has(world: Any, seed: int) -> None:
    """Whatever a writer does, and however its pages fall between what he does."""
    rng = random.Random(seed)
    scene = Scene(world, points=rng.randrange(4))
    mirror: list[Any] = []
    cursor: str | None = None
    done: list[wire.Correction] = []
    t = 100.0

    def step() -> None:
        nonlocal t
        n = scene.core.length(scene.phone, PATH)
        match rng.choice("iiillduux"):
            case "i":
                t += rng.choice((0.0, 1.0))
                scene.insert(*((t, rng.randrange(9)) for _ in range(rng.randrange(1, 5))))
            case "l":
                scene.insert(*((rng.uniform(1, t), rng.randrange(9)) for _ in range(rng.randrange(1, 6))))
            case "d" if n:
                i = rng.randrange(n)
                done.append(scene.delete(i1=i, i2=rng.randrange(i, n) + 1, purge=rng.random() < 0.2))
            case "u" if n:
                done.append(scene.update(rng.randrange(-n, n), rng.randrange(100, 200)))
            case "x" if done:
                try:
                    done.append(scene.undo(rng.choice(done)))
                except Conflict:
                    pass

    for _ in range(60):
        for _ in range(rng.randrange(5)):
            step()
        page = scene.changes(cursor, limit=rng.choice((1, 2, 5, 1000)))
        replay(mirror, page)
        cursor = page.cursor
    while page.more:
        page = scene.changes(cursor)
        replay(mirror, page)
        cursor = page.cursor
    assert mirror == scene.points
    for actor in (scene.phone, world.device("alice/eye", role="reader")):
        from_the_beginning: list[Any] = []
        replay(from_the_beginning, scene.changes(actor=actor))
        assert from_the_beginning == scene.points


# Those who follow the stream


class Outlet:
    """Remembers what it was given."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.notices: list[Notice] = []
        self.full = False
        self.accepts: Callable[[], bool] = lambda: True

    def offer(self, subscription: Subscription, batch: Batch) -> bool:
        if self.full or not self.accepts():
            return False
        self.batches.append(batch)
        return True

    async def room(self) -> None:
        while self.full:  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    def tell(self, subscription: Subscription, notice: Notice) -> None:
        self.notices.append(notice)

    def end(self, error: Exception) -> None:
        raise Closed("closed")

    @property
    def values(self) -> list[Any]:
        return [point.d for batch in self.batches for point in batch.block.points]

    @property
    def times(self) -> list[float]:
        return [point.t for batch in self.batches for point in batch.block.points]

    @property
    def told(self) -> list[Any]:
        return [
            (n.correction.t1, n.correction.t2, n.correction.one and (n.correction.one.kind, n.correction.one.i))
            for n in self.notices
            if n.kind == "corrected" and n.correction is not None
        ]


class Following:
    """A scene on its event loop, with somebody who follows the stream."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.core = scene.core
        self.phone = scene.phone

    async def begin(self, path: str = STREAM, start: Start | None = None) -> tuple[Subscriber, Outlet]:
        outlet = Outlet()
        subscriber = self.core.connect(self.phone, "apikey", outlet)
        await subscriber.subscribe(path, start=start)
        return subscriber, outlet

    async def insert(self, t: float, d: Any) -> None:
        await self.core.insert(self.phone, PATH, [Datapoint(t, d)], Mode.MERGE)

    async def delete(self, i1: int, i2: int) -> wire.Correction:
        done: wire.Correction = await self.core.delete_points(self.phone, PATH, Range(i1=i1, i2=i2))
        return done

    async def update(self, i: int, d: Any) -> wire.Correction:
        done: wire.Correction = await self.core.update_point(self.phone, PATH, i, wire.PointUpdate(d=d))
        return done

    async def settle(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        while self.core.hub._flushing or self.core.hub.tasks:
            tasks = list(self.core.hub.tasks)
            await (asyncio.wait(tasks, timeout=0.02) if tasks else asyncio.sleep(0))


@pytest.fixture
def following(scene: Scene) -> Following:
    return Following(scene)


def test_who_follows_is_told_of_each_correction_in_its_turn(following: Following) -> None:
    async def run() -> None:
        subscriber, outlet = await following.begin()
        await following.insert(60.0, 6)
        await following.delete(0, 2)
        await following.update(0, 9)
        await following.insert(70.0, 7)
        await following.settle()
        assert outlet.values == [6, 7]
        assert outlet.told == [(10.0, 20.0, ("deleted", 0)), (30.0, 30.0, ("updated", 0))]
        assert [batch.index for batch in outlet.batches] == [5, 4]
        subscriber.close()

    following.scene.world.run(run())


def test_a_correction_does_not_make_those_who_follow_read(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        subscriber, outlet = await following.begin()

        def read_after(*args: Any) -> Any:
            raise AssertionError("there is nothing to be read")

        monkeypatch.setattr(following.core.store, "read_after", read_after)
        await following.delete(0, 2)
        await following.insert(60.0, 6)
        await following.settle()
        assert outlet.values == [6]
        assert following.core.hub.lag == 0
        subscriber.close()

    following.scene.world.run(run())


def test_what_an_undo_brings_back_comes_as_late_datapoints_do(following: Following) -> None:
    async def run() -> None:
        subscriber, outlet = await following.begin()
        done = await following.delete(1, 3)
        await following.core.undo(following.phone, PATH, done.id)
        await following.insert(60.0, 6)
        await following.settle()
        assert outlet.values == [2, 3, 6]
        assert [kind for _, _, (kind, _) in outlet.told] == ["deleted", "undone"]
        subscriber.close()

    following.scene.world.run(run())


def test_who_is_too_slow_is_told_once_of_all_corrections(following: Following) -> None:
    async def run() -> None:
        subscriber, outlet = await following.begin()
        outlet.full = True
        await following.insert(60.0, 6)
        for i in range(5):
            await following.update(i, 100 + i)
        await following.delete(1, 2)
        for _ in range(100):  # what waits for room never settles
            await asyncio.sleep(0)
        assert (outlet.values, outlet.notices) == ([], [])
        outlet.full = False
        await following.settle()
        assert outlet.values == [6]
        assert outlet.told == [(10.0, 50.0, None)]
        await following.insert(70.0, 7)
        await following.settle()
        assert outlet.values == [6, 7]
        subscriber.close()

    following.scene.world.run(run())


def test_a_pattern_tells_of_corrections_of_its_streams(following: Following) -> None:
    async def run() -> None:
        subscriber, outlet = await following.begin("alice/phone/*")
        await following.delete(0, 1)
        await following.settle()
        assert [(notice.kind, notice.path) for notice in outlet.notices] == [("corrected", STREAM)]
        subscriber.close()

    following.scene.world.run(run())


def test_nothing_is_told_of_a_correction_that_failed_or_did_nothing(following: Following) -> None:
    async def run() -> None:
        subscriber, outlet = await following.begin()
        with pytest.raises(Conflict):
            await following.core.update_point(following.phone, PATH, 0, wire.PointUpdate(d=1, t=99.0))
        await following.core.delete_points(following.phone, PATH, Range(t1=50.0))
        await following.settle()
        assert outlet.notices == []
        subscriber.close()

    following.scene.world.run(run())


def test_who_may_not_read_it_any_more_is_told_of_no_correction(world: Any) -> None:
    scene = Scene(world)
    world.user("bob")
    world.run(scene.core.update_device(ROOT, "alice", "phone", {"public": True}))
    reader = world.device("bob/eye", role="user")

    async def run() -> None:
        outlet = Outlet()
        subscriber = scene.core.connect(reader, "apikey", outlet)
        await subscriber.subscribe(STREAM)
        following = Following(scene)
        changed = scene.core.update_device(ROOT, "alice", "phone", {"public": False})
        corrected = scene.core.update_point(ROOT, PATH, 0, wire.PointUpdate(d=7))
        await asyncio.gather(changed, corrected)
        await following.settle()
        assert [notice.kind for notice in outlet.notices] == ["ended"]
        subscriber.close()

    world.run(run())


def test_a_correction_by_a_client_that_went_away_is_told(following: Following) -> None:
    async def run() -> None:
        subscriber, outlet = await following.begin()
        correction = asyncio.ensure_future(following.delete(0, 1))
        await asyncio.sleep(0)
        correction.cancel()
        await following.insert(60.0, 6)
        await following.settle()
        assert (len(outlet.told), outlet.values) == (1, [6])
        subscriber.close()

    following.scene.world.run(run())


@pytest.mark.parametrize("seed", range(6))
def test_each_follower_gets_what_is_there_once_whatever_is_corrected(world: Any, seed: int) -> None:
    """Outlets that refuse at random, reconnections with the last cursor, late datapoints, corrections of all kinds.

    Each datapoint has a time stamp of its own. What was deleted may be missed; what has returned may come again.
    """
    rng = random.Random(seed)
    scene = Scene(world, points=0)
    following = Following(scene)
    core = scene.core
    times = [float(t) for t in rng.sample(range(1, 100_000), 400)]
    returned: Counter[float] = Counter()

    async def connect(start: Start) -> tuple[Subscriber, Outlet]:
        outlet = Outlet()
        outlet.accepts = lambda: rng.random() < 0.7
        subscriber = core.connect(scene.phone, "apikey", outlet)
        await subscriber.subscribe(STREAM, start=start)
        return subscriber, outlet

    async def correct(done: list[wire.Correction]) -> None:
        n = core.length(scene.phone, PATH)
        if n == 0:
            return
        i = rng.randrange(n)
        match rng.choice("duux"):
            case "d":
                done.append(await following.delete(i, min(n, i + rng.randrange(1, 6))))
            case "u":
                done.append(await following.update(i, rng.randrange(100)))
            case "x" if done:
                one = done.pop(rng.randrange(len(done)))
                gone = [p.t async for b in core.corrected(scene.phone, PATH, one.id) for p in b.points]
                try:
                    await core.undo(scene.phone, PATH, one.id)
                except Conflict:
                    return
                if one.kind == "deleted":
                    returned.update(gone)

    async def run() -> None:
        followers = [(*await connect(Start(i1=0)), Counter[float]()) for _ in range(5)]
        cursors: list[str | None] = [None] * len(followers)
        done: list[wire.Correction] = []
        while times:
            some = sorted(times.pop() for _ in range(min(len(times), rng.randrange(1, 5))))
            points = [Datapoint(t, t) for t in some]
            await core.insert(scene.phone, PATH, points, Mode.MERGE)
            if rng.random() < 0.5:
                await correct(done)
            if rng.random() < 0.3:
                await asyncio.sleep(rng.random() * 0.002)
            if rng.random() < 0.1:
                k = rng.randrange(len(followers))
                subscriber, outlet, got = followers[k]
                subscriber.close()
                got.update(outlet.times)
                cursors[k] = outlet.batches[-1].cursor if outlet.batches else cursors[k]
                start = Start(i1=0) if cursors[k] is None else Start(cursor=cursors[k])
                followers[k] = (*await connect(start), got)
        await following.settle()
        there = {p.t async for b in core.read(scene.phone, PATH, Range()) for p in b.points}
        for subscriber, outlet, got in followers:
            got.update(outlet.times)
            assert there <= set(got)
            assert all(count <= 1 + returned[t] for t, count in got.items())
            subscriber.close()

    world.run(asyncio.wait_for(run(), 60))


def test_the_wire_forms_of_the_store_are_complete() -> None:
    from connectordb.store.records import Correction

    assert set(Correction._fields) == {field.name for field in msgspec.structs.fields(wire.Correction)}
