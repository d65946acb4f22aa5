"""Downlinks: who asks for what, and what becomes of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from importlib import resources
from typing import Any

import msgspec
import pytest

from connectordb import errors, wire
from connectordb.core import NOBODY, ROOT, Actor, Permissions, UploadRequest
from connectordb.core.data import Asked
from connectordb.datapoint import Datapoint
from connectordb.query import Range
from connectordb.store.records import Mode

PATH = ("alice", "lamp", "light")


class Scene:
    """Alice has a lamp, a phone that may switch it, and a tablet that may only look. Bob has nothing to do with it."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.core = world.core
        world.user("alice")
        world.user("bob")
        self.lamp: Actor = world.device("alice/lamp", public=True)
        self.alice: Actor = world.actor("alice/user")
        self.phone: Actor = world.device("alice/phone", role="writer")
        self.tablet: Actor = world.device("alice/tablet", role="reader")
        self.bob: Actor = world.device("bob/phone", role="writer")
        self.blind: Actor = world.device("alice/blind", role="none")
        world.stream("/".join(PATH), downlink=True)

    def limit(self, **limits: Any) -> None:
        self.core.settings = msgspec.structs.replace(
            self.core.settings, limits=msgspec.structs.replace(self.core.settings.limits, **limits)
        )

    def send(self, d: Any = True, actor: Actor | None = None, **kw: Any) -> Any:
        return self.view(self.world.run(self.core.send(actor or self.alice, kw.pop("path", PATH), d, **kw)))

    def tell(self, id_: int, state: Any, actor: Actor | None = None, **kw: Any) -> Any:
        given = {name: [Datapoint(*p) for p in value] if name == "d" and value else value for name, value in kw.items()}
        update = wire.DownlinkUpdate(state=state, **given)
        return self.view(self.world.run(self.core.update_downlink(actor or self.lamp, PATH, id_, update)))

    def push(self, *sent: Any, confirmed: bool = True) -> None:
        """Let a device of 0.3 be sent requests, and have confirmed that."""
        target = self.core.directory.target(PATH)

        async def push() -> None:
            found = [self.core.store.downlink(target.stream.id, one["id"]) for one in sent]
            self.core.downlinks_pushed(found)
            if confirmed:
                self.core.downlinks_pushed(found, confirmed=True)
            await self.core.commit(lambda tx: None)

        self.world.run(push())

    def read(self, id_: int, actor: Actor | None = None) -> Any:
        return self.view(self.world.run(self.core.read_downlink(actor or self.alice, PATH, id_)))

    def list(self, actor: Actor | None = None, **kw: Any) -> list[Any]:
        return [self.view(v) for v in self.world.run(self.core.list_downlinks(actor or self.alice, PATH, **kw))]

    def insert(self, actor: Actor, *points: tuple[float, Any], mode: Mode = Mode.RESTAMP, **kw: Any) -> Any:
        made = [Datapoint(t, d) for t, d in points]
        return self.world.run(self.core.insert(actor, kw.pop("path", PATH), made, mode, **kw))

    async def insert_all(self, values: list[Any]) -> None:
        """Ask for *values* by one insert."""
        await self.core.insert(self.alice, PATH, [Datapoint(0.0, d) for d in values], Mode.RESTAMP)

    async def settle(self) -> None:
        """Wait until everything published is delivered."""
        for _ in range(3):
            await asyncio.sleep(0)
        while self.core.hub._flushing or self.core.hub.tasks:
            tasks = list(self.core.hub.tasks)
            await (asyncio.wait(tasks, timeout=0.02) if tasks else asyncio.sleep(0))

    def stored(self, **kw: Any) -> list[tuple[float, Any]]:
        return [(p.t, p.d) for p in self.world.read(ROOT, "/".join(PATH), Range(), **kw)]

    @staticmethod
    def view(view: wire.DownlinkView) -> Any:
        return json.loads(msgspec.json.encode(view))


@pytest.fixture
def scene(world: Any) -> Scene:
    return Scene(world)


def conflict(call: Callable[[], Any]) -> dict[str, Any]:
    with pytest.raises(errors.Conflict) as caught:
        call()
    assert caught.value.status == 409
    return caught.value.details


def permissions(change: Callable[[Any], None]) -> Permissions:
    matrix = json.loads(resources.files("connectordb.core").joinpath("permissions.json").read_bytes())
    change(matrix)
    return Permissions(json.dumps(matrix).encode())


# ---- sending


def test_what_is_sent_waits_and_is_a_datapoint_of_the_downlink(scene: Scene) -> None:
    sent = scene.send({"on": True}, actor=scene.phone)
    now = scene.world.now
    assert sent == {
        "id": sent["id"],
        "stream": "alice/lamp/light",
        "t": now,
        "d": {"on": True},
        "o": "alice/phone",
        "state": "queued",
        "expires": now + 604_800,
        "changed": now,
    }
    assert scene.read(sent["id"]) == sent
    assert scene.list() == [sent]
    assert scene.stored(downlink=True) == [(now, {"on": True})]
    assert scene.stored() == []


def test_an_insert_into_the_downlink_asks_for_each_datapoint(scene: Scene) -> None:
    now = scene.world.now
    scene.insert(scene.phone, (now - 5, 1), (now - 4, 2))
    found = scene.list()
    assert [(one["t"], one["d"], one["o"], one["state"]) for one in found] == [
        (now - 5, 1, "alice/phone", "queued"),
        (now - 4, 2, "alice/phone", "queued"),
    ]
    assert found[0]["expires"] == now - 5 + 604_800


def test_a_device_may_ask_itself(scene: Scene) -> None:
    path = ("alice", "user", "todo")
    scene.world.stream("/".join(path), downlink=True)
    assert scene.send("tidy up", path=path)["o"] == "alice/user"
    scene.insert(scene.alice, (0, "sweep"), path=path, downlink=True)
    found = scene.world.run(scene.core.list_downlinks(scene.alice, path))
    assert [scene.view(one)["o"] for one in found] == ["alice/user"] * 2


def test_the_owners_own_data_asks_nothing(scene: Scene) -> None:
    scene.insert(scene.lamp, (1, True))
    assert scene.list() == []


def test_restored_and_imported_history_asks_nothing(scene: Scene) -> None:
    scene.insert(ROOT, (scene.world.now, 1), downlink=True)
    scene.insert(scene.alice, (scene.world.now, 2), asked=Asked(history=True))
    assert scene.list() == []
    assert [d for _, d in scene.stored(downlink=True)] == [1, 2]


def test_old_datapoints_are_expired_at_birth_and_very_old_ones_not_noted(scene: Scene) -> None:
    now, day = scene.world.now, 86_400.0
    scene.insert(scene.alice, (now - 400 * day, 1), (now - 10 * day, 2), (now - 6 * day, 3))
    assert [(one["d"], one["state"]) for one in scene.list()] == [(2, "expired"), (3, "queued")]
    assert scene.list()[0]["changed"] == now - 3 * day


def test_old_datapoints_do_not_count_as_waiting(scene: Scene) -> None:
    scene.limit(downlinks_waiting_max=2)
    old = scene.world.now - 10 * 86_400.0
    scene.insert(scene.alice, *((old, i) for i in range(20)))
    assert {one["state"] for one in scene.list()} == {"expired"}


def test_the_local_administrator_can_send_too(scene: Scene) -> None:
    sent = scene.send(1, actor=ROOT)
    assert (sent["state"], sent["o"]) == ("queued", "ConnectorDB")
    assert scene.read(sent["id"], ROOT) == sent


def test_what_is_sent_has_to_fit_the_schema(scene: Scene) -> None:
    scene.world.run(scene.core.update_stream(ROOT, *PATH, {"schema": '{"type":"boolean"}'}))
    with pytest.raises(errors.SchemaMismatch):
        scene.send(1)
    assert scene.list() == []
    assert scene.send(False)["d"] is False


def test_only_a_downlink_can_be_sent_to(scene: Scene) -> None:
    scene.world.stream("alice/lamp/power")
    with pytest.raises(errors.InvalidValue, match="no downlink") as caught:
        scene.send(1, path=("alice", "lamp", "power"))
    assert caught.value.status == 403


@pytest.mark.parametrize(
    "value",
    [None, 0, "", [], {}, 2**63, -(2**70), 1.5e300, {"a": {"b": [None, {"c": 123456789012345678901234567890}]}}, "ü😀"],
)
def test_any_value_can_be_asked_for_and_acknowledged(scene: Scene, value: Any) -> None:
    sent = scene.send(value)
    assert sent["d"] == value and type(sent["d"]) is type(value)
    told = scene.tell(sent["id"], "acknowledged")
    assert told["result"][0].get("d") == value
    assert scene.stored() == [(scene.world.now, value)]
    assert scene.tell(sent["id"], "acknowledged", d=[(1.0, value)]) == told
    again = scene.send(value)
    scene.push(again)
    scene.insert(scene.lamp, (0, value))
    assert scene.read(again["id"])["state"] == "acknowledged"


def test_a_repeated_send_is_the_same_downlink(scene: Scene) -> None:
    upload = UploadRequest("key:1", 1, 1, b"digest", lifetime_s=3600)
    sent = scene.send(1, upload=upload)
    assert scene.send(1, upload=upload) == sent
    scene.tell(sent["id"], "refused")
    scene.world.now += 10
    assert scene.send(1, upload=upload)["state"] == "refused"
    assert len(scene.list()) == 1
    assert len(scene.stored(downlink=True)) == 1
    with pytest.raises(errors.UploadConflict):
        scene.send(1, upload=upload._replace(digest=b"other"))


def test_the_same_key_of_another_sender_is_another_downlink(scene: Scene) -> None:
    upload = UploadRequest("key:1", 1, 1, b"digest", lifetime_s=3600)
    assert scene.send(1, upload=upload)["id"] != scene.send(1, actor=scene.phone, upload=upload)["id"]


# ---- the end of waiting


def test_what_waits_too_long_is_expired(scene: Scene) -> None:
    sent = scene.send(1, lifetime_s=5)
    assert sent["expires"] == scene.world.now + 5
    scene.world.now += 5
    expired = scene.read(sent["id"])
    assert (expired["state"], expired["changed"]) == ("expired", sent["expires"])
    for state, more in (("delivered", {"by": "x"}), ("acknowledged", {}), ("refused", {})):
        assert conflict(lambda s=state, m=more: scene.tell(sent["id"], s, **m)) == {"state": "expired", "by": ""}
    assert scene.stored() == []


def test_what_the_device_has_does_not_expire(scene: Scene) -> None:
    sent = scene.send(1, lifetime_s=5)
    scene.tell(sent["id"], "delivered", by="x")
    scene.world.now += 50
    assert scene.read(sent["id"])["state"] == "delivered"
    assert scene.tell(sent["id"], "acknowledged")["state"] == "acknowledged"


def test_a_newer_one_supersedes_what_is_queued(scene: Scene) -> None:
    first, taken, third = scene.send(1), scene.send(2), scene.send(3, actor=scene.phone)
    scene.tell(taken["id"], "delivered", by="x")
    scene.world.now += 1
    newest = scene.send(4, supersede=True)
    assert [one["state"] for one in scene.list()] == ["superseded", "delivered", "superseded", "queued"]
    assert scene.read(first["id"])["changed"] == scene.world.now
    assert conflict(lambda: scene.tell(third["id"], "delivered", by="x"))["state"] == "superseded"
    assert scene.list(state="queued") == [newest]


def test_a_refused_send_supersedes_nothing(scene: Scene) -> None:
    scene.world.run(scene.core.update_stream(ROOT, *PATH, {"schema": '{"type":"number"}'}))
    sent = scene.send(1)
    with pytest.raises(errors.SchemaMismatch):
        scene.send("x", supersede=True)
    assert scene.read(sent["id"])["state"] == "queued"


def test_no_more_wait_than_may(scene: Scene) -> None:
    scene.limit(downlinks_waiting_max=3)
    sent = [scene.send(i, lifetime_s=100) for i in range(3)]
    with pytest.raises(errors.LimitReached, match="may: its device"):
        scene.send(3)
    with pytest.raises(errors.LimitReached):
        scene.insert(scene.alice, (scene.world.now, 3))
    assert [d for _, d in scene.stored(downlink=True)] == [0, 1, 2]
    scene.tell(sent[0]["id"], "delivered", by="x")
    scene.send(3)
    with pytest.raises(errors.LimitReached):
        scene.send(4)
    scene.send(5, supersede=True)
    scene.send(6, lifetime_s=100)
    scene.world.now += 100
    scene.send(7)
    scene.send(8)


def test_what_has_been_over_for_long_is_forgotten(scene: Scene) -> None:
    scene.limit(downlinks_kept_s=1000.0)
    old = [scene.send(1), scene.send(2, lifetime_s=5), scene.send(3, lifetime_s=5), scene.send(4)]
    scene.tell(old[0]["id"], "acknowledged")
    scene.tell(old[2]["id"], "delivered", by="x")
    scene.tell(old[3]["id"], "delivered", by="x")
    scene.world.now += 1010
    scene.send(5)
    assert [one["d"] for one in scene.list()] == [4, 5]
    with pytest.raises(errors.NotFound):
        scene.read(old[0]["id"])


def test_thousands_in_one_insert(scene: Scene) -> None:
    now = scene.world.now
    began = time.perf_counter()
    scene.insert(scene.alice, *((now, i) for i in range(5000)))
    took_s = time.perf_counter() - began
    found = scene.list(limit=9999)
    assert [one["d"] for one in found] == list(range(5000))
    scene.push(*found)
    began = time.perf_counter()
    scene.insert(scene.lamp, *((now, i) for i in range(0, 5000, 2)))
    acknowledged_s = time.perf_counter() - began
    assert len(scene.list(limit=9999, state="acknowledged")) == 2500
    assert [one["d"] for one in scene.list(limit=9999, state="delivered")] == list(range(1, 5000, 2))
    assert took_s < 5 and acknowledged_s < 5  # about 0.1 s each on a quiet machine


# ---- what the device says


def test_a_downlink_goes_through_its_states(scene: Scene) -> None:
    sent = scene.send(1)
    scene.world.now += 1
    taken = scene.tell(sent["id"], "delivered", by="process 1")
    assert taken == {**sent, "state": "delivered", "changed": scene.world.now, "by": "process 1"}
    scene.world.now += 1
    done = scene.tell(sent["id"], "acknowledged", msg="done")
    result = [{"t": scene.world.now, "d": 1}]
    changed = {"state": "acknowledged", "changed": scene.world.now, "msg": "done", "result": result}
    assert done == {**taken, **changed}
    assert scene.read(sent["id"]) == done
    assert scene.stored() == [(scene.world.now, 1)]


@pytest.mark.parametrize("state", ["acknowledged", "refused"])
def test_a_queued_one_can_be_settled_directly(scene: Scene, state: str) -> None:
    sent = scene.send(1)
    assert scene.tell(sent["id"], state, by="x", msg="so")["state"] == state
    assert scene.read(sent["id"])["by"] == "x"
    assert scene.stored() == ([(scene.world.now, 1)] if state == "acknowledged" else [])


def test_one_process_takes_it_on_and_no_other(scene: Scene) -> None:
    sent = scene.send(1)
    taken = scene.tell(sent["id"], "delivered", by="one")
    scene.world.now += 1
    assert scene.tell(sent["id"], "delivered", by="one") == taken
    assert conflict(lambda: scene.tell(sent["id"], "delivered", by="two")) == {"state": "delivered", "by": "one"}


def test_processes_that_race_for_it_do_not_both_get_it(scene: Scene) -> None:
    ids = [scene.send(i)["id"] for i in range(10)]

    async def claim(id_: int, by: str) -> str:
        update = wire.DownlinkUpdate(state="delivered", by=by)
        try:
            return (await scene.core.update_downlink(scene.lamp, PATH, id_, update)).by
        except errors.Conflict as e:
            return str(e.details["by"])

    async def race() -> list[list[str]]:
        return await asyncio.gather(*(asyncio.gather(*(claim(i, f"p{n}") for n in range(8))) for i in ids))

    for told in scene.world.run(race()):
        assert len(set(told)) == 1


@pytest.mark.parametrize("state", ["acknowledged", "refused"])
def test_saying_it_again_changes_nothing(scene: Scene, state: str) -> None:
    sent = scene.send(1)
    told = scene.tell(sent["id"], state, msg="first", by="x")
    scene.world.now += 1
    assert scene.tell(sent["id"], state, msg="second", by="y") == told
    assert len(scene.stored()) == (state == "acknowledged")
    for other in {"acknowledged", "refused", "delivered"} - {state}:
        details = conflict(lambda other=other: scene.tell(sent["id"], other, by="x"))
        assert details == {"state": state, "by": "x"}
    assert scene.read(sent["id"]) == told


@pytest.mark.parametrize("first", [None, [], [(0, 5)], [(3.0, 5), (4.0, 6)], [(0, 1.0)], [(0, True)]])
def test_saying_that_something_else_was_done_is_a_conflict(scene: Scene, first: Any) -> None:
    sent = scene.send(1)
    told = scene.tell(sent["id"], "acknowledged", d=first, by="x")
    scene.world.now += 1
    assert scene.tell(sent["id"], "acknowledged", d=first, by="x") == told
    for other in (None, [], [(0, 5)], [(0, 6), (0, 5)], [(0, 1.0)], [(0, True)]):
        if repr(other) != repr(first):  # in Python, 1.0 equals True
            details = conflict(lambda other=other: scene.tell(sent["id"], "acknowledged", d=other, by="x"))
            assert details == {"state": "acknowledged", "by": "x"}
    assert scene.read(sent["id"]) == told
    assert len(scene.stored()) == (1 if first is None else len(first))


@pytest.mark.parametrize("state", ["acknowledged", "refused"])
def test_only_who_has_taken_it_on_settles_it(scene: Scene, state: str) -> None:
    sent = scene.send(1)
    taken = scene.tell(sent["id"], "delivered", by="A")
    given = {"d": [(0, 99)]} if state == "acknowledged" else {}
    details = conflict(lambda: scene.tell(sent["id"], state, by="B", **given))
    assert details == {"state": "delivered", "by": "A"}
    assert scene.read(sent["id"]) == taken and scene.stored() == []
    assert scene.tell(sent["id"], "acknowledged", by="A", d=[(0, 5)])["by"] == "A"
    assert [d for _, d in scene.stored()] == [5]


def test_what_a_process_that_is_gone_has_taken_on_can_be_settled_without_a_name(scene: Scene) -> None:
    first, second = scene.send(1), scene.send(2)
    for sent in (first, second):
        scene.tell(sent["id"], "delivered", by="gone")
    assert scene.tell(first["id"], "refused")["by"] == "gone"
    assert scene.tell(second["id"], "acknowledged", actor=ROOT)["state"] == "acknowledged"


def test_acknowledgements_that_race_insert_once(scene: Scene) -> None:
    sent = scene.send(1)

    async def race() -> list[wire.DownlinkView]:
        update = wire.DownlinkUpdate(state="acknowledged")
        told = (scene.core.update_downlink(scene.lamp, PATH, sent["id"], update) for _ in range(8))
        return await asyncio.gather(*told)

    assert len({scene.view(view)["changed"] for view in scene.world.run(race())}) == 1
    assert len(scene.stored()) == 1


def test_the_device_tells_what_it_really_did(scene: Scene) -> None:
    scene.insert(scene.lamp, (scene.world.now + 5, 0))
    sent = scene.send(100)
    told = scene.tell(sent["id"], "acknowledged", d=[(1.0, 50), (0.0, 75)])
    now = scene.world.now
    # restamped, and only then stored as the result
    assert told["result"] == [{"t": now + 5, "d": 50}, {"t": now + 5, "d": 75}]
    assert scene.stored() == [(now + 5, 0), (now + 5, 50), (now + 5, 75)]


def test_an_acknowledgement_may_be_without_datapoints(scene: Scene) -> None:
    sent = scene.send(1)
    assert scene.tell(sent["id"], "acknowledged", d=[])["result"] == []
    assert scene.stored() == []


def test_an_acknowledgement_of_one_leaves_its_equals_alone(scene: Scene) -> None:
    first, second = scene.send("ring"), scene.send("ring")
    scene.tell(first["id"], "acknowledged")
    assert scene.read(second["id"])["state"] == "queued"


def test_what_was_done_has_to_fit_the_schema_or_nothing_changes(scene: Scene) -> None:
    scene.world.run(scene.core.update_stream(ROOT, *PATH, {"schema": '{"type":"number"}'}))
    sent = scene.send(1)
    for points in ([(0, "x")], [(0, 1), (0, None)], [(2e12, 1)], [(-1.0, 1), (5.0, 1), (3.0, 1)]):
        with pytest.raises(errors.RequestError) as caught:
            scene.tell(sent["id"], "acknowledged", d=points)
        assert caught.value.status == 403
    assert scene.read(sent["id"]) == sent
    assert scene.stored() == []


def test_more_datapoints_than_an_insert_takes_are_refused(scene: Scene) -> None:
    scene.limit(insert_points_max=2)
    sent = scene.send(1)
    with pytest.raises(errors.TooLarge):
        scene.tell(sent["id"], "acknowledged", d=[(0, 1), (0, 2), (0, 3)])
    assert scene.read(sent["id"]) == sent


def test_a_claim_needs_a_name_and_only_acknowledgements_have_data(scene: Scene) -> None:
    sent = scene.send(1)
    for state, more in (("delivered", {}), ("refused", {"d": [(0, 1)]}), ("delivered", {"d": [], "by": "x"})):
        with pytest.raises(errors.Invalid) as caught:
            scene.tell(sent["id"], state, **more)
        assert caught.value.status == 400
    assert scene.read(sent["id"]) == sent


def test_an_acknowledgement_cannot_claim_another_sender(scene: Scene) -> None:
    sent = scene.send(1)
    update = wire.DownlinkUpdate(state="acknowledged", d=[Datapoint(0.0, 1, "eve/phone")])
    scene.world.run(scene.core.update_downlink(scene.lamp, PATH, sent["id"], update))
    assert [p.o for p in scene.world.read(ROOT, "/".join(PATH), Range())] == [None]


class Outlet:
    """What a subscriber gets."""

    full = False

    def __init__(self) -> None:
        self.batches: list[Any] = []
        self.notices: list[Any] = []

    def offer(self, subscription: Any, batch: Any) -> bool:
        self.batches.append(batch)
        return True

    async def room(self) -> None:
        pass

    def tell(self, subscription: Any, notice: Any) -> None:
        self.notices.append(notice)

    end: Any = None


@pytest.mark.parametrize("ephemeral", [False, True])
def test_an_acknowledgement_reaches_those_who_follow_the_stream(scene: Scene, ephemeral: bool) -> None:
    scene.world.run(scene.core.update_stream(ROOT, *PATH, {"ephemeral": ephemeral}))
    sent = scene.send(1)

    async def run() -> list[Any]:
        outlet = Outlet()
        subscriber = scene.core.connect(scene.alice, "", outlet)
        await subscriber.subscribe("/".join(PATH))
        for _ in range(2):
            await update(scene, sent["id"], "acknowledged", d=[Datapoint(0, 5), Datapoint(0, 6)])
        await scene.settle()
        subscriber.close()
        return outlet.batches

    [batch] = scene.world.run(run())
    assert [p.d for p in batch.block.points] == [5, 6]
    assert batch.index == (-1 if ephemeral else 0)


def test_a_device_is_not_asked_for_what_is_superseded_or_over(scene: Scene) -> None:
    old = scene.world.now - 10 * 86_400.0

    async def run() -> list[Any]:
        outlet = Outlet()
        subscriber = scene.core.connect(scene.lamp, "", outlet)
        await subscriber.subscribe("/".join(PATH) + "/downlink", requests=True)
        await scene.core.insert(scene.alice, PATH, [Datapoint(old, 1), Datapoint(old, 2)], Mode.RESTAMP)
        await scene.core.send(scene.alice, PATH, 3)
        await scene.core.send(scene.alice, PATH, 4, supersede=True)
        await scene.settle()
        subscriber.close()
        return outlet.batches

    asked = [(one.d, one.state.name) for batch in scene.world.run(run()) for one in batch.downlinks]
    assert asked == [(b"3", "QUEUED"), (b"4", "QUEUED")]


def asked_through(scene: Scene, transform: str, before: list[Any], after: list[Any]) -> tuple[list[Any], list[Any]]:
    """What a device is asked whose subscription has a transform, and what it is told besides."""

    async def run() -> tuple[list[Any], list[Any]]:
        for d in before:
            await scene.core.send(scene.alice, PATH, d)
        outlet = Outlet()
        subscriber = scene.core.connect(scene.lamp, "", outlet)
        try:
            await subscriber.subscribe("/".join(PATH) + "/downlink", transform, requests=True)
            await scene.settle()
            await scene.insert_all(after)
            await scene.settle()
        finally:
            subscriber.close()
        asked = [(one.id, json.loads(one.d)) for batch in outlet.batches for one in batch.downlinks]
        return asked, outlet.notices

    return scene.world.run(run())


def test_a_device_is_asked_what_its_transform_lets_through(scene: Scene) -> None:
    asked, told = asked_through(scene, "if $ == true", [False, True], [False, True, True])
    ids = [one["id"] for one in scene.list() if one["d"] is True]
    assert asked == [(id_, True) for id_ in ids] and len(ids) == 3
    assert told == []
    assert [one["state"] for one in scene.list()] == ["queued"] * 5


def test_each_request_is_an_input_of_its_own(scene: Scene) -> None:
    asked, told = asked_through(scene, "sum | $ * 10", [1, 2], [3, 4])
    assert [d for _, d in asked] == [10, 20, 30, 40]
    assert [one["d"] for one in scene.list()] == [1, 2, 3, 4]
    assert told == []


def test_a_request_on_which_the_transform_fails_takes_no_other_with_it(scene: Scene) -> None:
    asked, told = asked_through(scene, "$ + 1", [1, "x", 2], ["y", 3])
    assert [d for _, d in asked] == [2, 3, 4]
    assert [(notice.kind, notice.n, notice.error.type) for notice in told] == [("failed", 1, "script_error")] * 2


def test_a_bad_transform_of_a_device_is_refused(scene: Scene) -> None:
    with pytest.raises(errors.ScriptError):
        asked_through(scene, "(((", [], [])


# ---- 0.3's way


def test_the_owners_insert_of_an_equal_value_acknowledges(scene: Scene) -> None:
    sent = [scene.send(d) for d in (True, 1, False, True)]
    scene.push(*sent)
    scene.world.now += 1
    scene.insert(scene.lamp, (0, True))
    assert [one["state"] for one in scene.list()] == ["acknowledged", "delivered", "delivered", "acknowledged"]
    done = scene.read(sent[0]["id"])
    assert (done["result"], done["changed"]) == ([{"t": scene.world.now, "d": True}], scene.world.now)
    assert done["by"] == "0.3"
    scene.insert(scene.lamp, (0, 1.0), (0, 5))
    assert [one["d"] for one in scene.list(state="delivered")] == [False]
    assert scene.tell(sent[0]["id"], "acknowledged") == done
    assert [d for _, d in scene.stored()] == [True, 1, 5]


def test_an_equal_value_acknowledges_only_what_a_device_of_old_was_sent(scene: Scene) -> None:
    waiting, taken, pushed = (scene.send(20) for _ in range(3))
    scene.push(pushed)
    taken = scene.tell(taken["id"], "delivered", by="a new device")
    scene.insert(scene.lamp, (0, 20))  # its sensor happens to say so
    assert [scene.read(one["id"]) for one in (waiting, taken)] == [waiting, taken]
    assert scene.read(pushed["id"])["state"] == "acknowledged"
    done = scene.tell(taken["id"], "acknowledged", by="a new device", d=[(0, 20.5)])
    assert done["result"] == [{"t": scene.world.now, "d": 20.5}]
    assert [d for _, d in scene.stored()] == [20, 20.5]


def test_what_is_uploaded_late_acknowledges_nothing(scene: Scene) -> None:
    sent = scene.send(True)
    scene.push(sent)
    scene.insert(scene.lamp, (scene.world.now - 3600, True), mode=Mode.MERGE)
    assert scene.read(sent["id"])["state"] == "delivered"


def test_the_clock_of_a_device_of_old_does_not_count(scene: Scene) -> None:
    sent = scene.send(True)
    scene.push(sent)
    scene.insert(scene.lamp, (5.0, True), mode=Mode.ORDERED)
    assert scene.read(sent["id"])["result"] == [{"t": 5.0, "d": True}]


def test_a_device_of_old_may_answer_before_it_is_known_that_it_was_reached(scene: Scene) -> None:
    first, second = scene.send(1), scene.send(2)
    scene.push(first, second, confirmed=False)
    pushed = scene.read(first["id"])
    assert (pushed["state"], pushed["by"]) == ("queued", "0.3")
    scene.world.now += 59
    scene.insert(scene.lamp, (0, 1))
    assert scene.read(first["id"])["state"] == "acknowledged"
    scene.push(first)  # it is confirmed later, which changes nothing
    assert scene.read(first["id"])["state"] == "acknowledged"
    # A connection of which nothing has been heard for so long is closed: nobody got it.
    scene.world.now += 2
    scene.insert(scene.lamp, (0, 2))
    assert scene.read(second["id"])["state"] == "queued"
    assert scene.tell(second["id"], "delivered", by="a new device")["by"] == "a new device"


@pytest.mark.parametrize("mode", [Mode.RESTAMP, Mode.ORDERED])
def test_the_result_is_as_stored(scene: Scene, mode: Mode) -> None:
    scene.insert(scene.lamp, (10.0, 0))
    sent = scene.send(7)
    scene.push(sent)
    t = 20.0 if mode is Mode.ORDERED else 5.0
    scene.insert(scene.lamp, (t, 7), mode=mode)
    assert scene.read(sent["id"])["result"] == [{"t": 10.0 if mode is Mode.RESTAMP else t, "d": 7}]


def test_only_the_owner_acknowledges_by_inserting(scene: Scene) -> None:
    sent = scene.send(True)
    scene.push(sent)
    scene.insert(scene.phone, (0, True))  # asks for the same
    assert [one["state"] for one in scene.list()] == ["delivered", "queued"]
    scene.world.stream("alice/lamp/other", downlink=True)
    scene.insert(scene.lamp, (0, True), path=("alice", "lamp", "other"))
    assert scene.read(sent["id"])["state"] == "delivered"


def test_a_repeated_insert_of_the_owner_does_not_acknowledge_what_came_later(scene: Scene) -> None:
    upload = UploadRequest("key:1", 1, 1, b"digest")
    scene.insert(scene.lamp, (0, True), upload=upload)
    sent = scene.send(True)
    scene.push(sent)
    assert scene.insert(scene.lamp, (0, True), upload=upload).repeated
    assert scene.read(sent["id"])["state"] == "delivered"


def test_what_is_over_is_not_acknowledged_by_an_equal_value(scene: Scene) -> None:
    sent = [scene.send(True, lifetime_s=1), scene.send(True, lifetime_s=1), scene.send(True)]
    scene.push(*sent, confirmed=False)
    scene.tell(sent[1]["id"], "refused")
    scene.world.now += 2
    scene.insert(scene.lamp, (0, True))
    assert [one["state"] for one in scene.list()] == ["expired", "refused", "acknowledged"]


# ---- an ephemeral stream


def test_an_ephemeral_downlink_has_requests_too(scene: Scene) -> None:
    scene.world.run(scene.core.update_stream(ROOT, *PATH, {"ephemeral": True}))
    first, second = scene.send(1), scene.send(2)
    scene.push(second)
    scene.world.now += 1
    told = scene.tell(first["id"], "acknowledged")
    assert told["result"] == [{"t": scene.world.now, "d": 1}]
    scene.insert(scene.lamp, (0, 2))
    assert scene.read(second["id"])["state"] == "acknowledged"
    assert scene.stored() == scene.stored(downlink=True) == []


# ---- who may


def test_only_the_device_itself_says_what_became_of_it(scene: Scene) -> None:
    sent = scene.send(1)
    for actor in (scene.alice, scene.phone, scene.tablet, scene.bob, scene.blind):
        for state in ("delivered", "acknowledged", "refused"):
            with pytest.raises(errors.RequestError) as caught:
                scene.tell(sent["id"], state, actor=actor, by="x")
            assert caught.value.status in (403, 404)
    with pytest.raises(errors.PermissionDenied, match="only the device 'alice/lamp' itself"):
        scene.tell(sent["id"], "acknowledged", actor=scene.alice)
    with pytest.raises(errors.NotFound):
        scene.tell(sent["id"], "acknowledged", actor=NOBODY)
    assert scene.read(sent["id"]) == sent
    assert scene.tell(sent["id"], "acknowledged", actor=ROOT)["state"] == "acknowledged"


def test_who_may_send(scene: Scene) -> None:
    assert scene.send(1, actor=scene.alice)["o"] == "alice/user"
    assert scene.send(1, actor=scene.phone)["o"] == "alice/phone"
    for actor in (scene.tablet, scene.bob, scene.blind, NOBODY):
        with pytest.raises(errors.RequestError) as caught:
            scene.send(1, actor=actor)
        assert caught.value.status in (403, 404)
    assert len(scene.list()) == 2


def test_who_may_read(scene: Scene) -> None:
    sent, other = scene.send(1, actor=scene.phone), scene.send(2)
    for actor in (scene.alice, scene.lamp, scene.tablet, scene.bob, ROOT):
        assert scene.read(sent["id"], actor) == sent
        assert scene.list(actor) == [sent, other]
    for actor in (scene.blind, NOBODY):
        with pytest.raises(errors.NotFound):
            scene.read(sent["id"], actor)
        with pytest.raises(errors.NotFound):
            scene.list(actor)


def test_a_sender_that_may_not_read_the_downlink_sees_its_own(make_world: Callable[..., Any]) -> None:
    def change(matrix: Any) -> None:
        matrix["rw_access"]["deviceread"]["can_access_stream_downlink"] = False

    scene = Scene(make_world(permissions=permissions(change)))
    own, other = scene.send(1, actor=scene.phone), scene.send(2)
    assert scene.read(own["id"], scene.phone) == own
    assert scene.list(scene.phone) == [own]
    assert scene.list(scene.phone, state="refused") == []
    with pytest.raises(errors.NotFound):
        scene.read(other["id"], scene.phone)
    assert scene.list(scene.tablet) == []


def test_a_downlink_is_found_under_its_own_stream_only(scene: Scene) -> None:
    scene.world.stream("alice/lamp/other", downlink=True)
    sent = scene.send(1)
    with pytest.raises(errors.NotFound):
        scene.world.run(scene.core.read_downlink(ROOT, ("alice", "lamp", "other"), sent["id"]))
    for id_ in (0, sent["id"] + 1, 2**63 - 1):
        with pytest.raises(errors.NotFound):
            scene.read(id_)
        with pytest.raises(errors.NotFound):
            scene.tell(id_, "acknowledged")


# ---- waiting


def waiting(scene: Scene, id_: int, wait_s: float, then: Callable[[], Any], **kw: Any) -> tuple[Any, float]:
    """What a wait gives if *then* happens a little after its beginning, and how long after that it came."""

    async def run() -> tuple[Any, float]:
        wait = asyncio.create_task(scene.core.wait_downlink(kw.get("actor", scene.alice), PATH, id_, wait_s))
        await asyncio.sleep(0.05)
        assert not wait.done()
        happened = then()
        if asyncio.iscoroutine(happened):
            await happened
        began = time.perf_counter()
        return scene.view(await wait), time.perf_counter() - began

    try:
        return scene.world.run(run())
    finally:
        assert len(scene.core.waiting) == 0


def update(scene: Scene, id_: int, state: Any, **kw: Any) -> Any:
    return scene.core.update_downlink(scene.lamp, PATH, id_, wire.DownlinkUpdate(state=state, **kw))


@pytest.mark.parametrize("state", ["acknowledged", "refused"])
def test_who_waits_is_told_at_once(scene: Scene, state: str) -> None:
    id_ = scene.send(1)["id"]
    found, took_s = waiting(scene, id_, 30, lambda: update(scene, id_, state))
    assert found["state"] == state and took_s < 5


def test_who_waits_learns_of_an_old_devices_acknowledgement(scene: Scene) -> None:
    sent = scene.send(1)
    scene.push(sent)
    found, took_s = waiting(
        scene, sent["id"], 30, lambda: scene.core.insert(scene.lamp, PATH, [Datapoint(0, 1)], Mode.RESTAMP)
    )
    assert found["state"] == "acknowledged" and took_s < 5


def test_who_waits_learns_that_it_is_superseded(scene: Scene) -> None:
    id_ = scene.send(1)["id"]
    found, took_s = waiting(scene, id_, 30, lambda: scene.core.send(scene.alice, PATH, 2, supersede=True))
    assert found["state"] == "superseded" and took_s < 5


def test_who_waits_learns_that_it_is_over(scene: Scene) -> None:
    sent = scene.send(1, lifetime_s=0.2)

    def later() -> None:
        scene.world.now += 0.2

    found, took_s = waiting(scene, sent["id"], 30, later)
    assert found["state"] == "expired" and took_s < 5


def test_a_delivery_does_not_end_the_waiting(scene: Scene) -> None:
    id_ = scene.send(1)["id"]
    found, took_s = waiting(scene, id_, 1.2, lambda: update(scene, id_, "delivered", by="x"))
    assert found["state"] == "delivered" and took_s > 0.2


def test_waiting_ends_after_its_time_or_is_not_needed(scene: Scene) -> None:
    sent = scene.send(1)
    began = time.perf_counter()
    assert scene.view(scene.world.run(scene.core.wait_downlink(scene.alice, PATH, sent["id"], 0.1))) == sent
    assert 0.05 < time.perf_counter() - began < 5
    scene.tell(sent["id"], "refused")
    assert (
        scene.view(scene.world.run(scene.core.wait_downlink(scene.alice, PATH, sent["id"], 60)))["state"] == "refused"
    )


def test_nobody_waits_for_what_is_not_there(scene: Scene) -> None:
    with pytest.raises(errors.NotFound):
        scene.world.run(scene.core.wait_downlink(scene.alice, PATH, 99, 60))
    assert len(scene.core.waiting) == 0


def test_stopping_ends_all_waiting(scene: Scene) -> None:
    sent = scene.send(1)
    found, took_s = waiting(scene, sent["id"], 30, scene.core.waiting.end)
    assert found == sent and took_s < 5
    assert scene.view(scene.world.run(scene.core.wait_downlink(scene.alice, PATH, sent["id"], 30))) == sent


def test_only_so_many_wait(scene: Scene) -> None:
    sent = scene.send(1)

    async def run() -> None:
        scene.core.waiting._waiting_max = 3
        waits = [asyncio.create_task(scene.core.wait_downlink(scene.alice, PATH, sent["id"], 30)) for _ in range(3)]
        while len(scene.core.waiting) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        with pytest.raises(errors.TooManyRequests) as caught:
            await scene.core.wait_downlink(scene.alice, PATH, sent["id"], 30)
        assert caught.value.details == {"retry_after_s": 1}
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    scene.world.run(run())
    assert len(scene.core.waiting) == 0


@pytest.mark.parametrize("what", ["stream", "device", "user", "hidden"])
def test_who_waits_for_what_is_gone_or_forbidden_is_told_at_once(scene: Scene, what: str) -> None:
    sent = scene.send(1)
    core = scene.core
    happens = {
        "stream": lambda: core.delete_stream(ROOT, *PATH),
        "device": lambda: core.delete_device(ROOT, *PATH[:2]),
        "user": lambda: core.delete_user(ROOT, PATH[0]),
        "hidden": lambda: core.update_device(ROOT, *PATH[:2], {"public": False}),
    }[what]
    began = time.perf_counter()
    with pytest.raises(errors.NotFound):
        waiting(scene, sent["id"], 6, happens, actor=scene.bob)
    assert time.perf_counter() - began < 5


def test_who_waits_looks_once_for_many_changes(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = scene.send(1)
    looks: list[int] = []
    find = scene.core.store.downlink

    def look(stream_id: int, downlink_id: int) -> Any:
        looks.append(downlink_id)
        return find(stream_id, downlink_id)

    async def change() -> None:
        monkeypatch.setattr(scene.core.store, "downlink", look)
        for _ in range(100):
            scene.core.waiting.objects_changed()
            for _ in range(5):
                await asyncio.sleep(0)
        assert len(looks) < 10
        await update(scene, sent["id"], "refused")

    assert waiting(scene, sent["id"], 30, change)[0]["state"] == "refused"


# ---- the end of the stream


def test_downlinks_go_with_their_stream(scene: Scene) -> None:
    sent = scene.send(1)
    scene.world.run(scene.core.delete_stream(ROOT, *PATH))
    with pytest.raises(errors.NotFound):
        scene.read(sent["id"])
    scene.world.stream("/".join(PATH), downlink=True)
    assert scene.list() == []
    with pytest.raises(errors.NotFound):
        scene.tell(sent["id"], "acknowledged")
    assert scene.send(2)["id"] > sent["id"]


@pytest.mark.parametrize("ephemeral", [False, True])
def test_a_stream_deleted_at_the_same_time_leaves_no_downlinks_behind(scene: Scene, ephemeral: bool) -> None:
    scene.world.run(scene.core.update_stream(ROOT, *PATH, {"ephemeral": ephemeral}))
    sent = scene.send(1)
    target = scene.core.directory.target(PATH)

    async def race() -> list[Any]:
        deleting = asyncio.create_task(scene.core.delete_stream(ROOT, *PATH))
        await asyncio.sleep(0)
        asks = [scene.core.send(scene.alice, PATH, 2), update(scene, sent["id"], "acknowledged")]
        return await asyncio.gather(deleting, *asks, return_exceptions=True)

    deleted, *refused = scene.world.run(race())
    assert deleted is None
    assert all(isinstance(one, errors.NotFound) for one in refused)
    assert scene.core.store.downlinks(target.stream.id, limit=9) == []


def test_limits_of_the_role_hold_for_acknowledgements(make_world: Callable[..., Any]) -> None:
    def change(matrix: Any) -> None:
        matrix["user_roles"]["user"]["max_stream_size"] = 3

    scene = Scene(make_world(permissions=permissions(change)))
    sent = scene.send(1)
    with pytest.raises(errors.LimitReached):
        scene.tell(sent["id"], "acknowledged", d=[(0, 1), (0, 2), (0, 3)])
    assert scene.read(sent["id"]) == sent
    assert scene.stored() == []
    assert scene.tell(sent["id"], "acknowledged")["state"] == "acknowledged"
