"""Every (user role, device role, relation, operation) against the published matrix, read here independently."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from itertools import product
from typing import Any

import pytest

from connectordb import errors, wire
from connectordb.core import NOBODY, Actor, Permissions
from connectordb.datapoint import Datapoint
from connectordb.query import Range

MATRIX = json.loads(resources.files("connectordb.core").joinpath("permissions.json").read_text())
FIELDS = {
    "user": {"nickname": "n", "email": "new@localhost", "description": "d", "icon": "fa:x", "role": "user",
             "public": True, "password": "p"},
    "device": {"nickname": "n", "description": "d", "icon": "fa:x", "apikey": "", "enabled": True, "visible": True,
               "user_editable": True, "public": True, "role": "reader"},
    "stream": {"nickname": "n", "description": "d", "icon": "fa:x", "schema": "{}", "datatype": "x",
               "ephemeral": False, "downlink": False},
}  # fmt: skip


def allowed(user_role: str, device_role: str, relation: str) -> tuple[set[str], set[str], set[str]]:
    """What PROTOCOL 7 says of the matrix: the flags that both roles' levels grant, for acting, reading and writing."""
    sides = []
    for role in (MATRIX["user_roles"][user_role], MATRIX["device_roles"][device_role]):
        level = role[f"{relation}_access_level"]
        every_field = set(MATRIX["rw_access"]["selfread"])
        if level in ("none", "full"):
            flags = {f for f in MATRIX["access_levels"]["fullnp"] if f.startswith("can_")} if level == "full" else set()
            fields = every_field if level == "full" else set()
            sides.append((flags, fields, fields))
            continue
        entry = MATRIX["access_levels"][level]
        rw = [
            every_field if entry[k] == "full" else {f for f, on in MATRIX["rw_access"].get(entry[k], {}).items() if on}
            for k in ("read_access", "write_access")
        ]
        sides.append(({f for f, on in entry.items() if on is True}, *rw))
    return tuple(a & b for a, b in zip(*sides, strict=True))  # type: ignore[return-value]


def attempt(action: Callable[[], Any]) -> Any:
    """The result, or the status of the refusal."""
    try:
        return action()
    except errors.RequestError as e:
        return e.status


ROLES = [(u, d) for u, d in product(("user", "admin"), ("none", "reader", "writer", "user", "appender"))]


@pytest.mark.parametrize(("user_role", "device_role"), ROLES, ids="-".join)
@pytest.mark.parametrize("relation", ["self", "user", "public", "private"])
def test_what_may_be_done_is_what_both_roles_allow(world: Any, user_role: str, device_role: str, relation: str) -> None:
    world.user("asker", user_role)
    actor = world.device("asker/dev", role=device_role)
    target_user, target_device = {
        "self": ("asker", "dev"), "user": ("asker", "other"), "public": ("pub", "open"), "private": ("priv", "shut"),
    }[relation]  # fmt: skip
    world.user("pub", public=True)
    world.user("priv", public=False)
    world.device("asker/other")
    world.device("pub/open", public=True)
    world.device("priv/shut")
    for path in ("asker/dev", "asker/other", "pub/open", "priv/shut"):
        world.stream(f"{path}/plain")
        world.stream(f"{path}/down", downlink=True)
        world.stream(f"{path}/gone")
    can, read, write = allowed(user_role, device_role, relation)
    # A user object is never "self".
    user_can, user_read, user_write = (
        allowed(user_role, device_role, "user") if relation == "self" else (can, read, write)
    )
    core, run = world.core, world.run
    device_path, stream_path = (target_user, target_device), (target_user, target_device, "plain")

    def check(what: str, expected: bool, refused: int, got: Any) -> None:
        if expected:
            assert not isinstance(got, int) or isinstance(got, bool) or got < 300, f"{what}: refused with {got}"
        else:
            assert got == refused, f"{what}: expected {refused}, got {got!r}"

    # reading
    sees_user, sees_device, sees_stream = (
        "can_access_user" in user_read, "can_access_device" in read, "can_access_stream" in read
    )  # fmt: skip
    for kind, sees, flags, view in (
        ("user", sees_user, user_read, attempt(lambda: core.read_user(actor, target_user))),
        ("device", sees_device, read, attempt(lambda: core.read_device(actor, *device_path))),
        ("stream", sees_stream, read, attempt(lambda: core.read_stream(actor, *stream_path))),
    ):
        check(f"read {kind}", sees, 404, view)
        if sees:
            got = set(json.loads(__import__("msgspec").json.encode(view)))
            expected = {f for f in ("name", *FIELDS[kind]) if f"{kind}_{f}" in flags and f != "password"}
            assert got == expected
    check("list devices", sees_user and "can_list_devices" in user_can, 404,
          attempt(lambda: core.list_devices(actor, target_user)))  # fmt: skip
    check("list streams", sees_device and "can_list_streams" in can, 404,
          attempt(lambda: core.list_streams(actor, *device_path)))  # fmt: skip
    check("list user streams", sees_user and "can_list_streams" in user_can, 404,
          attempt(lambda: core.list_user_streams(actor, target_user)))  # fmt: skip
    for downlink, flag in ((False, "can_access_stream_data"), (True, "can_access_stream_downlink")):
        sees_data = sees_stream and flag in read
        check(f"length {flag}", sees_data, 403, attempt(lambda d=downlink: core.length(actor, stream_path, downlink=d)))
        check(f"read {flag}", sees_data, 403,
              attempt(lambda d=downlink: world.read(actor, "/".join(stream_path), Range(), downlink=d)))  # fmt: skip
        check(f"index {flag}", sees_data, 403,
              attempt(lambda d=downlink: core.time_index(actor, stream_path, 1.0, downlink=d)))  # fmt: skip

    # inserting
    writes_stream = sees_stream and "can_access_stream" in write
    to_data, to_downlink = "can_access_stream_data" in write, "can_access_stream_downlink" in write
    for name, explicit, flag in (
        ("plain", False, to_data), ("plain", True, to_downlink), ("down", True, to_downlink),
        ("down", False, to_data if relation == "self" else to_downlink),
    ):  # fmt: skip
        got = attempt(
            lambda n=name, e=explicit: run(core.insert(actor, (*device_path, n), [Datapoint(0, 1)], downlink=e))
        )
        check(f"insert into {name}, downlink={explicit}", writes_stream and flag, 403, got)

    # creating and deleting
    check("create device", sees_user and "can_create_device" in user_can, 403,
          attempt(lambda: run(core.create_device(actor, target_user, "new", wire.DeviceCreate()))))  # fmt: skip
    check("create stream", sees_device and "can_create_stream" in can, 403,
          attempt(lambda: run(core.create_stream(actor, *device_path, "new", wire.StreamCreate()))))  # fmt: skip
    check("delete stream", sees_stream and "can_delete_stream" in can, 403,
          attempt(lambda: run(core.delete_stream(actor, *device_path, "gone")) or True))  # fmt: skip

    # writing each field
    for kind, sees, flags, update in (
        ("stream", sees_stream, write, lambda c: core.update_stream(actor, *stream_path, c)),
        ("device", sees_device, write, lambda c: core.update_device(actor, *device_path, c)),
        ("user", sees_user, user_write, lambda c: core.update_user(actor, target_user, c)),
    ):
        for field, value in FIELDS[kind].items():
            if (relation, field) in (("private", "public"), ("self", "role"), ("self", "enabled"), ("user", "role")):
                continue  # would change the scene itself; each of these has a test of its own
            if field == "public" and kind == "device" and not core.directory.user(target_user).public:
                continue
            expected = sees and f"can_access_{kind}" in flags and f"{kind}_{field}" in flags
            got = attempt(lambda u=update, f=field, v=value: run(u({f: v})))
            check(f"write {kind}_{field}", expected, 403, got)

    # the whole thing, last
    check("delete device", sees_device and "can_delete_device" in can, 403,
          attempt(lambda: run(core.delete_device(actor, *device_path)) or True))  # fmt: skip
    actor = actor if relation != "self" else world.actor("asker/other")._replace(device=actor.device)
    check("delete user", sees_user and "can_delete_user" in user_can, 403,
          attempt(lambda: run(core.delete_user(actor, target_user)) or True))  # fmt: skip


@pytest.mark.parametrize(("user_role", "device_role"), ROLES, ids="-".join)
def test_what_concerns_the_whole_server_is_what_both_roles_allow(world: Any, user_role: str, device_role: str) -> None:
    world.user("asker", user_role)
    actor = world.device("asker/dev", role=device_role)
    can, _, _ = allowed(user_role, device_role, "private")
    public_can, _, _ = allowed(user_role, device_role, "public")
    create = wire.UserCreate(email="x@localhost", password="x")
    got = attempt(lambda: world.run(world.core.create_user(actor, "fresh", create)))
    assert (got == 403) == ("can_create_user" not in can)
    lists = "can_list_users" in can | public_can
    assert (attempt(lambda: world.core.list_users(actor)) == 404) == (not lists)
    for what in ("users", "devices", "streams"):
        counts = all(
            role.get(f"can_count_{what}", False)
            for role in (MATRIX["user_roles"][user_role], MATRIX["device_roles"][device_role])
        )
        assert (attempt(lambda w=what: world.core.count(actor, w)) == 403) == (not counts)


@pytest.mark.parametrize(
    "operation", ["user", "device", "stream", "list", "data", "insert", "create", "delete", "update"]
)
def test_nobody_may_do_nothing_even_with_what_is_public(world: Any, operation: str) -> None:
    world.user("pub")
    world.device("pub/open", public=True)
    world.stream("pub/open/s")
    core, path, actor = world.core, ("pub", "open", "s"), NOBODY
    actions: dict[str, tuple[int, Callable[[], Any]]] = {
        "user": (404, lambda: core.read_user(actor, "pub")),
        "device": (404, lambda: core.read_device(actor, "pub", "open")),
        "stream": (404, lambda: core.read_stream(actor, *path)),
        "list": (404, lambda: core.list_users(actor)),
        "data": (403, lambda: core.length(actor, path)),
        "insert": (403, lambda: world.run(core.insert(actor, path, [Datapoint(1, 1)]))),
        "create": (403, lambda: world.run(core.create_device(actor, "pub", "x", wire.DeviceCreate()))),
        "delete": (403, lambda: world.run(core.delete_stream(actor, *path))),
        "update": (403, lambda: world.run(core.update_stream(actor, *path, {"nickname": "x"}))),
    }
    status, action = actions[operation]
    assert attempt(action) == status


@pytest.mark.parametrize(("user_role", "device_role"), ROLES, ids="-".join)
def test_a_device_not_for_users_to_edit_is_closed_to_others_unless_the_role_says_so(
    world: Any, user_role: str, device_role: str
) -> None:
    world.user("asker", user_role)
    actor: Actor = world.device("asker/dev", role=device_role)
    world.device("asker/locked", user_editable=False)
    world.stream("asker/locked/s")
    can, read, write = allowed(user_role, device_role, "user")
    flag = "can_access_non_user_editable_devices"
    core = world.core
    seen = attempt(lambda: core.read_device(actor, "asker", "locked")) != 404
    assert seen == ("can_access_device" in read and flag in read)
    changed = attempt(lambda: world.run(core.update_device(actor, "asker", "locked", {"nickname": "x"}))) != 403
    assert changed == (seen and flag in write and {"can_access_device", "device_nickname"} <= write)
    deleted = attempt(lambda: world.run(core.delete_device(actor, "asker", "locked"))) != 403
    assert deleted == (seen and flag in write and "can_delete_device" in can)


def test_a_device_not_for_users_to_edit_writes_its_own_streams(world: Any) -> None:
    world.user("asker")
    actor = world.device("asker/locked", user_editable=False)
    world.stream("asker/locked/s")
    world.run(world.core.insert(actor, ("asker", "locked", "s"), [Datapoint(1, 1)]))
    assert world.core.length(actor, ("asker", "locked", "s")) == 1


def test_nobody_gives_itself_a_higher_role(world: Any) -> None:
    world.user("asker")
    own = world.actor("asker/user")
    assert attempt(lambda: world.run(world.core.update_user(own, "asker", {"role": "admin"}))) == 403
    for role in ("none", "reader", "writer"):
        device = world.device(f"asker/{role}", role=role)
        got = attempt(lambda r=role, d=device: world.run(world.core.update_device(d, "asker", r, {"role": "user"})))
        assert got == 403


def test_the_matrix_may_let_everybody_see_what_is_public(make_world: Any) -> None:
    """Somebody without a login has the user role nobody, and no device role to narrow it."""
    matrix = json.loads(json.dumps(MATRIX))
    matrix["user_roles"]["nobody"]["public_access_level"] = "userpublic"
    world = make_world(permissions=Permissions(json.dumps(matrix).encode()))
    world.user("pub")
    world.user("priv", public=False)
    world.device("pub/open", public=True)
    world.device("pub/shut")
    for path in ("pub/open/s", "pub/shut/s"):
        world.stream(path)
    assert world.core.read_user(NOBODY, "pub").name == "pub"
    assert [d.name for d in world.core.list_devices(NOBODY, "pub")] == ["open"]
    assert world.core.length(NOBODY, ("pub", "open", "s")) == 0
    assert attempt(lambda: world.core.read_user(NOBODY, "priv")) == 404
    assert attempt(lambda: world.core.length(NOBODY, ("pub", "shut", "s"))) == 403
    assert attempt(lambda: world.run(world.core.insert(NOBODY, ("pub", "open", "s"), [Datapoint(1, 1)]))) == 403
    assert attempt(lambda: world.core.count(NOBODY, "users")) == 403
