"""Creating users, devices and streams: what is given is checked, what is not gets its default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from msgspec.structs import replace

from .. import wire
from ..errors import InvalidValue, LimitReached, PermissionDenied
from ..paths import check_name
from ..store.base import Transaction
from ..store.records import Device, Stream, User
from .actor import Actor
from .fields import FIELDS, parse_changes
from .identity import new_apikey
from .metalog import META_NAME, USER_NAME, create_default_devices
from .permissions import Access, DeviceDefaults, Permissions, UserDefaults, UserRole

__all__ = ["DevicePlan", "StreamPlan", "UserPlan", "plan_device", "plan_stream", "plan_user"]

Events = list[tuple[str, str]]


class StreamPlan(NamedTuple):
    """A stream that has been checked and can be created. `Stream.device_id` is not yet known."""

    stream: Stream

    def create(self, tx: Transaction, role: UserRole | None, path: str, device_id: int, events: Events) -> Stream:
        """Create it in the device with that id; *path* is the device's."""
        if role and role.max_streams and len(tx.streams(device_id)) >= role.max_streams:
            raise LimitReached(
                f"the device '{path}' has as many streams as its owner's role allows: {role.max_streams}"
            )
        stream = tx.create_stream(replace(self.stream, device_id=device_id))
        events.append(("CreateStream", f"{path}/{stream.name}"))
        return stream


class DevicePlan(NamedTuple):
    """A device that has been checked and can be created, with its streams."""

    device: Device
    streams: list[StreamPlan]

    def create(self, tx: Transaction, role: UserRole | None, user: User, events: Events) -> Device:
        """Create it, and its streams, for *user*, whose role is *role*."""
        if self.device.public and not user.public:
            raise InvalidValue(f"the user '{user.name}' is private, and a private user cannot have a public device")
        _check_device_limits(tx, role, user, self.device)
        device = tx.create_device(replace(self.device, user_id=user.id))
        path = f"{user.name}/{device.name}"
        events.append(("CreateDevice", path))
        for stream in self.streams:
            stream.create(tx, role, path, device.id, events)
        return device


class UserPlan(NamedTuple):
    """A user that has been checked and can be created, with its devices and the streams of its device ``user``."""

    user: User
    devices: list[DevicePlan]
    streams: list[StreamPlan]

    def create(self, tx: Transaction, permissions: Permissions, events: Events) -> User:
        """Create it and all below it."""
        if 0 <= permissions.max_users <= tx.counts().users:
            raise LimitReached(f"there are as many users as this server allows: {permissions.max_users}")
        user = tx.create_user(self.user)
        role = permissions.user_roles.get(user.role)
        events.append(("CreateUser", user.name))
        own = create_default_devices(tx, user, new_apikey())
        for stream in self.streams:
            stream.create(tx, role, f"{user.name}/{USER_NAME}", own.id, events)
        for device in self.devices:
            device.create(tx, role, user, events)
        return user


def plan_user(
    permissions: Permissions, actor: Actor, access: Access, name: str, given: wire.UserCreate, password: str
) -> UserPlan:
    """Return the checked plan for a user called *name*.

    Args:
        access: What *actor* may do with users it does not own.
        password: The hash of the password given.

    Raises:
        Invalid: a bad name.
        InvalidValue: a value that cannot be.
        PermissionDenied: a field that *actor* may not set.
    """
    _check_same_name("user", name, given.name)
    creator = _role_of(permissions, actor)
    defaults = creator.create_user_defaults if creator else UserDefaults()
    role = given.role or defaults.role
    public = defaults.public if given.public is None else given.public
    check_user_role(permissions, role, public)
    values = _texts("user", given, "nickname", "email", "description", "icon")
    _check_writable("user", access, {f for f, v in values.items() if v} | {"password"})
    if role != defaults.role:
        _check_writable("user", access, {"role"})
    if public != defaults.public:
        _check_writable("user", access, {"public"})
    for reserved in (USER_NAME, META_NAME):
        if reserved in given.devices:
            raise InvalidValue(
                f"each user gets a device '{reserved}' by itself: a device to create may not be called so"
            )
    user = User(name=name, **values, role=role, public=public, password=password)
    return UserPlan(
        user,
        [plan_device(permissions, actor, access, n, d) for n, d in given.devices.items()],
        _plan_streams(access, given.streams),
    )


def plan_device(
    permissions: Permissions, actor: Actor, access: Access, name: str, given: wire.DeviceCreate
) -> DevicePlan:
    """Return the checked plan for a device called *name*; see `plan_user`. *access* is that to its future user."""
    check_name(name, "device name")
    _check_same_name("device", name, given.name)
    creator = _role_of(permissions, actor)
    defaults = creator.create_device_defaults if creator else DeviceDefaults()
    chosen = {f: getattr(given, f) for f in ("enabled", "visible", "user_editable", "public", "role")}
    values = {f: getattr(defaults, f) if value is None else value for f, value in chosen.items()}
    check_device_role(permissions, values["role"])
    texts = _texts("device", given, "nickname", "description", "icon", "apikey")
    differing = {f for f, value in values.items() if value != getattr(defaults, f)}
    _check_writable("device", access, differing | {f for f, text in texts.items() if text})
    texts["apikey"] = texts["apikey"] or new_apikey()
    device = Device(user_id=0, name=name, **values, **texts)
    return DevicePlan(device, _plan_streams(access, given.streams))


def plan_stream(access: Access, name: str, given: wire.StreamCreate) -> StreamPlan:
    """Return the checked plan for a stream called *name*; see `plan_user`. *access* is that to its future device."""
    check_name(name, "stream name")
    _check_same_name("stream", name, given.name)
    values = _texts("stream", given, "nickname", "description", "icon", "schema", "datatype")
    keep_s = parse_changes("stream", "", {"keep": given.keep})["keep"]
    if keep_s and given.ephemeral:
        raise InvalidValue(f"the stream '{name}' is ephemeral, so it keeps no datapoints: leave keep out")
    _check_writable("stream", access, {f for f in FIELDS["stream"] if getattr(given, f)})
    return StreamPlan(
        Stream(device_id=0, name=name, **values, ephemeral=given.ephemeral, downlink=given.downlink, keep_s=keep_s)
    )


def check_user_role(permissions: Permissions, role: str, public: bool) -> None:
    """Raise `InvalidValue` unless a user may have *role* and be that public."""
    known = permissions.user_roles.get(role)
    if known is None or role == "nobody":
        names = ", ".join(sorted(set(permissions.user_roles) - {"nobody"}))
        raise InvalidValue(f"the given role '{role}' does not exist; there are: {names}")
    if not public and not known.user_can_be_private:
        raise InvalidValue(f"a user of the role '{role}' cannot be private")


def check_device_role(permissions: Permissions, role: str) -> None:
    """Raise `InvalidValue` unless a device may have *role*; empty is ``none``."""
    if role and role not in permissions.device_roles:
        names = ", ".join(sorted(permissions.device_roles))
        raise InvalidValue(f"the given device role '{role}' does not exist; there are: {names}")


def check_private_devices(role: UserRole | None, user: User, devices: Iterable[Device]) -> None:
    """Raise `LimitReached` if *user* has more private devices than its *role* allows."""
    private = sum(not d.public for d in devices if d.name not in (USER_NAME, META_NAME))
    if role and role.max_private_devices and private > role.max_private_devices:
        raise LimitReached(
            f"the user '{user.name}' has as many private devices as its role allows: {role.max_private_devices}"
        )


def _check_device_limits(tx: Transaction, role: UserRole | None, user: User, device: Device) -> None:
    if role is None or not (role.max_devices or role.max_private_devices):
        return
    devices = [d for d in tx.devices(user.id) if d.name not in (USER_NAME, META_NAME)]
    if role.max_devices and len(devices) >= role.max_devices:
        raise LimitReached(f"the user '{user.name}' has as many devices as its role allows: {role.max_devices}")
    check_private_devices(role, user, [*devices, device])


def _plan_streams(access: Access, given: Mapping[str, wire.StreamCreate]) -> list[StreamPlan]:
    return [plan_stream(access, name, stream) for name, stream in given.items()]


def _texts(kind: str, given: wire.UserCreate | wire.DeviceCreate | wire.StreamCreate, *fields: str) -> dict[str, Any]:
    """The checked values of text *fields* of *given*, by field."""
    return parse_changes(kind, "", {field: getattr(given, field) for field in fields})


def _check_same_name(kind: str, name: str, given: str | None) -> None:
    if given is not None and given != name:
        raise InvalidValue(f"the body names the {kind} '{given}', but the path '{name}'")


def _check_writable(kind: str, access: Access, fields: Iterable[str]) -> None:
    for field in sorted(fields):
        if f"{kind}_{field}" not in access.write:
            raise PermissionDenied(f"no permission to set '{field}' of a {kind}")


def _role_of(permissions: Permissions, actor: Actor) -> UserRole | None:
    if actor.is_root:
        return permissions.user_roles.get("admin")
    return permissions.user_roles.get(actor.user.role) if actor.user else None
