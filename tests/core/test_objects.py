"""Creating, changing and deleting users, devices and streams."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest
from msgspec import UNSET

from connectordb import errors, wire
from connectordb.core import ROOT, Permissions
from connectordb.datapoint import Datapoint
from connectordb.query import Range


def refusal(world: Any, coroutine: Any) -> errors.RequestError:
    with pytest.raises(errors.RequestError) as caught:
        world.run(coroutine)
    return caught.value


def with_limits(**limits: int) -> Permissions:
    matrix = json.loads(resources.files("connectordb.core").joinpath("permissions.json").read_text())
    matrix["user_roles"]["user"].update(limits)
    return Permissions(json.dumps(matrix).encode())


def metalog(world: Any, user: str) -> list[tuple[str, str, str]]:
    points = world.read(ROOT, f"{user}/meta/log", Range())
    return [(p.d["cmd"], p.d["arg"], p.o) for p in points]


def test_a_new_user_has_its_default_devices_and_the_log(world: Any) -> None:
    world.user("alice")
    user, meta = world.core.list_devices(ROOT, "alice")
    assert (user.name, user.role, user.icon, user.visible) == ("user", "user", "material:person", True)
    assert (meta.name, meta.role, meta.apikey, meta.visible, meta.user_editable) == ("meta", "", "", False, False)
    assert len(user.apikey) == 36
    assert [s.name for s in world.core.list_streams(ROOT, "alice", "meta")] == ["log"]
    assert metalog(world, "alice") == [("CreateUser", "alice", "ConnectorDB")]


def test_a_nested_create_makes_everything(world: Any) -> None:
    world.user(
        "alice",
        streams={"mood": wire.StreamCreate(schema='{ "type": "integer" }')},
        devices={"phone": wire.DeviceCreate(nickname="Nokia", streams={"steps": wire.StreamCreate(downlink=True)})},
    )
    streams = world.core.list_user_streams(ROOT, "alice")
    assert [(s.device, s.name, s.schema) for s in streams] == [
        ("user", "mood", '{"type":"integer"}'),
        ("meta", "log", streams[1].schema),
        ("phone", "steps", "{}"),
    ]
    assert [e[:2] for e in metalog(world, "alice")] == [
        ("CreateUser", "alice"),
        ("CreateStream", "alice/user/mood"),
        ("CreateDevice", "alice/phone"),
        ("CreateStream", "alice/phone/steps"),
    ]


@pytest.mark.parametrize(
    "given",
    [
        {"devices": {"a": wire.DeviceCreate(), "b c": wire.DeviceCreate()}},
        {"devices": {"a": wire.DeviceCreate(streams={"s": wire.StreamCreate(schema="{bad")})}},
        {"devices": {"user": wire.DeviceCreate()}},
        {"devices": {"meta": wire.DeviceCreate()}},
        {"devices": {"a": wire.DeviceCreate(role="bogus")}},
        {"devices": {"a": wire.DeviceCreate(apikey="same"), "b": wire.DeviceCreate(apikey="same")}},
        {"public": False, "devices": {"a": wire.DeviceCreate(public=True)}},
        {"streams": {"s": wire.StreamCreate(icon="!!")}},
    ],
)
def test_a_nested_create_is_all_or_nothing(world: Any, given: dict[str, Any]) -> None:
    before = world.core.count(ROOT, "users"), world.core.count(ROOT, "devices"), world.core.count(ROOT, "streams")
    with pytest.raises(errors.RequestError):
        world.user("alice", **given)
    assert before == tuple(world.core.count(ROOT, what) for what in ("users", "devices", "streams"))


@pytest.mark.parametrize("name", ["a b", "9lives", "ä", "..", "a" * 30, "", "a/b", "a\n", "-a"])
def test_bad_names_are_refused_everywhere(world: Any, name: str) -> None:
    world.user("alice")
    core = world.core
    for create in (
        core.create_user(ROOT, name, wire.UserCreate(email="x@y", password="x")),
        core.create_device(ROOT, "alice", name, wire.DeviceCreate()),
        core.create_stream(ROOT, "alice", "user", name, wire.StreamCreate()),
    ):
        assert refusal(world, create).status == 400


@pytest.mark.parametrize("name", ["login", "admin", "Root", "api"])
def test_names_that_the_server_needs_are_refused(world: Any, name: str) -> None:
    error = refusal(world, world.core.create_user(ROOT, name, wire.UserCreate(email="x@y", password="x")))
    assert (error.status, error.type) == (403, "invalid_value")


def test_duplicates_are_refused(world: Any) -> None:
    world.user("alice")
    world.device("alice/phone")
    world.stream("alice/phone/s")
    core = world.core
    for create in (
        core.create_user(ROOT, "alice", wire.UserCreate(email="other@y", password="x")),
        core.create_user(ROOT, "bob", wire.UserCreate(email="ALICE@localhost", password="x")),
        core.create_device(ROOT, "alice", "phone", wire.DeviceCreate()),
        core.create_device(ROOT, "alice", "user", wire.DeviceCreate()),
        core.create_stream(ROOT, "alice", "phone", "s", wire.StreamCreate()),
    ):
        error = refusal(world, create)
        assert (error.status, error.type) == (403, "already_exists")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"bogus": 1}, 403),
        ({"nickname": 3}, 403),
        ({"public": "yes"}, 403),
        ({"name": "other"}, 403),
        ({"email": "nope"}, 403),
        ({"role": "bogus"}, 403),
        ({"role": "nobody"}, 403),
        ({"icon": "!!"}, 403),
        ({"password": ""}, 403),
        ({"nickname": "fine", "bogus": 1}, 403),
    ],
)
def test_a_bad_update_changes_nothing(world: Any, changes: dict[str, Any], status: int) -> None:
    world.user("alice")
    before = world.core.read_user(ROOT, "alice")
    assert refusal(world, world.core.update_user(ROOT, "alice", changes)).status == status
    assert world.core.read_user(ROOT, "alice") == before
    assert metalog(world, "alice") == [("CreateUser", "alice", "ConnectorDB")]


def test_the_default_devices_and_the_log_cannot_be_deleted(world: Any) -> None:
    world.user("alice", "admin")
    own = world.actor("alice/user")
    for delete in (
        world.core.delete_device(own, "alice", "user"),
        world.core.delete_device(own, "alice", "meta"),
        world.core.delete_stream(own, "alice", "meta", "log"),
    ):
        assert refusal(world, delete).status == 403
    assert refusal(world, world.core.update_device(own, "alice", "meta", {"apikey": ""})).status == 403


def test_deletes_cascade(world: Any) -> None:
    world.user("alice")
    world.device("alice/phone")
    for path in ("alice/phone/s", "alice/user/s"):
        world.stream(path)
        world.run(world.core.insert(ROOT, tuple(path.split("/")), [Datapoint(1, 1)]))
    world.run(world.core.delete_device(ROOT, "alice", "phone"))
    assert [s.name for s in world.core.list_user_streams(ROOT, "alice")] == ["s", "log"]
    world.run(world.core.delete_user(ROOT, "alice"))
    assert tuple(world.core.count(ROOT, w) for w in ("users", "devices", "streams")) == (0, 0, 0)
    world.user("alice")
    world.stream("alice/user/s")
    assert world.core.length(ROOT, ("alice", "user", "s")) == 0


def test_a_private_user_has_no_public_devices(world: Any) -> None:
    world.user("alice", public=False)
    world.user("bob")
    assert refusal(world, world.core.create_device(ROOT, "alice", "x", wire.DeviceCreate(public=True))).status == 403
    world.device("alice/phone")
    assert refusal(world, world.core.update_device(ROOT, "alice", "phone", {"public": True})).status == 403
    world.device("bob/phone", public=True)
    error = refusal(world, world.core.update_user(ROOT, "bob", {"public": False}))
    assert error.status == 403
    assert "phone" in error.msg


def test_a_new_api_key_replaces_the_old_one_at_once(world: Any) -> None:
    world.user("alice")
    world.device("alice/phone")
    old = world.core.read_device(ROOT, "alice", "phone").apikey
    assert world.run(world.core.identity.by_apikey(old)).path == "alice/phone"
    new = world.run(world.core.update_device(ROOT, "alice", "phone", {"apikey": ""})).apikey
    assert new not in ("", old)
    with pytest.raises(errors.Unauthenticated):
        world.run(world.core.identity.by_apikey(old))
    assert world.run(world.core.identity.by_apikey(new)).path == "alice/phone"


def test_somebody_elses_deed_is_in_both_logs(world: Any) -> None:
    world.user("boss", "admin")
    world.user("alice")
    boss = world.actor("boss/user")
    world.run(world.core.update_user(boss, "alice", {"nickname": "A"}))
    assert metalog(world, "alice")[-1] == ("UpdateUser", "alice", "boss/user")
    assert metalog(world, "boss")[-1] == ("UpdateUser", "alice", "boss/user")
    world.run(world.core.delete_user(boss, "alice"))
    assert metalog(world, "boss")[-1] == ("DeleteUser", "alice", "boss/user")


def test_lists_of_streams_can_be_narrowed(world: Any) -> None:
    world.user("alice")
    world.device("alice/open", public=True)
    world.device("alice/hidden", visible=False)
    for path in ("alice/open/a", "alice/hidden/b", "alice/user/c"):
        world.stream(path, downlink=path.endswith("b"))
    names = lambda **kw: {s.name for s in world.core.list_user_streams(ROOT, "alice", **kw)}  # noqa: E731
    assert names() == {"a", "b", "c", "log"}
    assert names(public=True) == {"a"}
    assert names(downlink=True) == {"b"}
    assert names(visible=True) == {"a", "c"}


def test_lists_of_streams_tell_what_is_in_them_to_who_may_read_that(make_world: Any) -> None:
    matrix = json.loads(resources.files("connectordb.core").joinpath("permissions.json").read_text())
    public = matrix["access_levels"][matrix["user_roles"]["user"]["public_access_level"]]
    read = matrix["rw_access"][public["read_access"]]
    matrix["rw_access"]["names"] = {**read, "can_access_stream_data": False}
    public["read_access"] = "names"
    world = make_world(permissions=Permissions(json.dumps(matrix).encode()))
    world.user("alice")
    world.user("bob")
    phone = world.device("alice/phone", public=True)
    for path in ("alice/phone/a", "alice/phone/b"):
        world.stream(path)
    world.run(world.core.insert(phone, ("alice", "phone", "a"), [Datapoint(10.0, 1), Datapoint(20.0, 2)]))

    def told(actor: str, **kw: bool) -> dict[str, tuple[Any, Any]]:
        found = world.core.list_user_streams(world.actor(actor), "alice", visible=True, **kw)
        return {stream.name: (stream.points, stream.newest) for stream in found}

    assert told("alice/user", newest=True) == {"a": (2, 20.0), "b": (0, UNSET)}
    assert told("alice/user") == told("bob/user", newest=True) == {"a": (UNSET, UNSET), "b": (UNSET, UNSET)}


@pytest.mark.parametrize(
    ("limits", "allowed"),
    [({"max_devices": 2}, 2), ({"max_private_devices": 1}, 1), ({}, 3)],
)
def test_a_role_limits_the_number_of_devices(make_world: Any, limits: dict[str, int], allowed: int) -> None:
    world = make_world(permissions=with_limits(**limits))
    world.user("alice")
    for n in range(3):
        create = world.core.create_device(ROOT, "alice", f"d{n}", wire.DeviceCreate())
        if n < allowed:
            world.run(create)
        else:
            assert refusal(world, create).type == "limit_reached"


def test_a_role_limits_the_number_of_streams_and_of_datapoints(make_world: Any) -> None:
    world = make_world(permissions=with_limits(max_streams=2, max_stream_size=3, max_device_size=4))
    world.user("alice")
    world.stream("alice/user/a")
    world.stream("alice/user/b")
    assert refusal(world, world.core.create_stream(ROOT, "alice", "user", "c", wire.StreamCreate())).status == 403
    insert = lambda name, n: world.core.insert(ROOT, ("alice", "user", name), [Datapoint(1, 1)] * n)  # noqa: E731
    world.run(insert("a", 3))
    assert refusal(world, insert("a", 1)).type == "limit_reached"
    world.run(insert("b", 1))
    assert refusal(world, insert("b", 1)).type == "limit_reached"
    assert world.core.length(ROOT, ("alice", "user", "b")) == 1


def test_a_creator_sets_only_what_its_role_may_write(world: Any) -> None:
    world.user("alice")
    own = world.actor("alice/user")
    error = refusal(world, world.core.create_device(own, "alice", "x", wire.DeviceCreate(user_editable=False)))
    assert error.status == 403
    created = world.run(world.core.create_device(own, "alice", "x", wire.DeviceCreate(role="writer", nickname="n")))
    assert (created.role, created.nickname) == ("writer", "n")


def test_schemas_lose_white_space_only(world: Any) -> None:
    world.user("alice")
    given = wire.StreamCreate(schema='{ "type" : "number",\n "minimum": 1.0, "maximum": 1e2, "description": "a  b" }')
    stream = world.run(world.core.create_stream(ROOT, "alice", "user", "s", given))
    assert stream.schema == '{"type":"number","minimum":1.0,"maximum":1e2,"description":"a  b"}'
