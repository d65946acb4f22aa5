"""The rules for users, devices and streams: who may list, read, create, update and delete them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from .. import wire
from ..errors import InvalidValue, NotFound, PermissionDenied
from ..store.base import Transaction
from ..store.records import Device, Stream, Substream, User
from .actor import Actor
from .context import Context
from .creation import (
    check_device_role,
    check_private_devices,
    check_user_role,
    plan_device,
    plan_stream,
    plan_user,
)
from .fields import STORED, check_user_name, parse_changes
from .identity import Identity, new_apikey
from .metalog import LOG_NAME, META_NAME, USER_NAME, Logged, log
from .permissions import Access, Relation
from .views import view_device, view_stream, view_user

__all__ = ["Note", "ObjectRules"]

T = TypeVar("T")
Note = Callable[[User | None, list[tuple[str, str]]], None]
"""Puts events into the logs of the user whose things were changed, and of who changed them."""


class ObjectRules(Context):
    """Users, devices and streams.

    Reading raises `NotFound` (404) for what does not exist or may not be seen; the two look the same. Writing raises
    the same with status 403, and `PermissionDenied` for what may be seen but not changed. A write is carried out
    wholly or not at all, and is on disk when it returns.
    """

    identity: Identity

    # ---- reading

    def count(self, actor: Actor, what: str) -> int:
        """Return how many ``users``, ``devices`` or ``streams`` there are. Raises `PermissionDenied`."""
        roles = (actor.user.role, actor.device.role) if actor.user and actor.device else ("", "")
        if not (actor.is_root or self.permissions.may_count(*roles, what)):
            raise PermissionDenied(f"no permission to count {what}")
        count: int = getattr(self.store.counts(), what)
        return count

    def list_users(self, actor: Actor) -> list[wire.User]:
        """Return the users that *actor* may see, in order of creation."""
        levels = (actor.access(self.permissions, r) for r in (Relation.PRIVATE, Relation.PUBLIC))
        if not any("can_list_users" in level.can for level in levels):
            raise NotFound("no permission to list users")
        seen = ((user, actor.access_to(self.permissions, user)) for user in self.store.users())
        return [view_user(user, access) for user, access in seen if "can_access_user" in access.read]

    def list_devices(self, actor: Actor, user: str) -> list[wire.Device]:
        """Return those devices of *user* that *actor* may see, in order of creation."""
        owner, access = self.find_user(actor, user)
        _check_can("list_devices", access, user)
        return [view_device(d, a) for d, a in self._visible_devices(actor, owner)]

    def list_streams(self, actor: Actor, user: str, device: str) -> list[wire.Stream]:
        """Return the streams of *user*'s *device*, in order of creation."""
        _, owner, access = self.find_device(actor, user, device)
        _check_can("list_streams", access, f"{user}/{device}")
        if "can_access_stream" not in access.read:
            return []
        return [view_stream(s, access) for s in self.store.streams(owner.id)]

    def list_user_streams(
        self,
        actor: Actor,
        user: str,
        *,
        public: bool = False,
        downlink: bool = False,
        visible: bool = False,
        newest: bool = False,
    ) -> list[wire.Stream]:
        """Return the streams of all of *user*'s devices that *actor* may see, each with its device's name.

        Args:
            public: Only those of public devices.
            downlink: Only downlinks.
            visible: Not those of devices that are not visible.
            newest: Tell of each how many datapoints there are, and when the newest one is of, if they may be read.
        """
        owner, access = self.find_user(actor, user)
        _check_can("list_streams", access, user)
        found: list[wire.Stream] = []
        for device, device_access in self._visible_devices(actor, owner):
            if "can_access_stream" not in device_access.read:
                continue
            if (public and not device.public) or (visible and not device.visible):
                continue
            heads = self.store.heads(device.id) if newest and "can_access_stream_data" in device_access.read else {}
            for stream in self.store.streams(device.id):
                if stream.downlink or not downlink:
                    found.append(view_stream(stream, device_access, device.name, heads.get(stream.id)))
        return found

    def read_user(self, actor: Actor, name: str) -> wire.User:
        """Return the user, as *actor* may see it."""
        return view_user(*self.find_user(actor, name))

    def read_device(self, actor: Actor, user: str, name: str) -> wire.Device:
        """Return the device, as *actor* may see it."""
        _, device, access = self.find_device(actor, user, name)
        return view_device(device, access)

    def read_stream(self, actor: Actor, user: str, device: str, name: str) -> wire.Stream:
        """Return the stream, as *actor* may see it."""
        target, access = self.find_stream(actor, (user, device, name))
        return view_stream(target.stream, access)

    # ---- creating

    async def create_user(self, actor: Actor, name: str, given: wire.UserCreate) -> wire.User:
        """Create a user with its default devices and whatever is *given* with it, all or nothing."""
        access = actor.access(self.permissions, Relation.PRIVATE)
        if "can_create_user" not in access.can:
            raise PermissionDenied("no permission to create a user")
        check_user_name(name, self.permissions.disallowed_names)
        parse_changes("user", name, {"password": given.password, "email": given.email})
        password = await self.identity.hash_password(given.password)
        plan = plan_user(self.permissions, actor, access, name, given, password)

        def work(tx: Transaction, note: Note) -> User:
            events: list[tuple[str, str]] = []
            user = plan.create(tx, self.permissions, events)
            note(user, events)
            return user

        user = await self._change(actor, work)
        return view_user(user, actor.access_to(self.permissions, user))

    async def create_device(self, actor: Actor, user: str, name: str, given: wire.DeviceCreate) -> wire.Device:
        """Create a device, and the streams *given* with it, all or nothing."""
        owner, access = self.find_user(actor, user, status=403)
        _check_can("create_device", access, user)
        plan = plan_device(self.permissions, actor, access, name, given)

        def work(tx: Transaction, note: Note) -> Device:
            events: list[tuple[str, str]] = []
            device = plan.create(tx, self.permissions.user_roles.get(owner.role), owner, events)
            note(owner, events)
            return device

        device = await self._change(actor, work)
        return view_device(device, actor.access_to(self.permissions, owner, device))

    async def create_stream(
        self, actor: Actor, user: str, device: str, name: str, given: wire.StreamCreate
    ) -> wire.Stream:
        """Create a stream."""
        owner, parent, access = self.find_device(actor, user, device, status=403)
        path = f"{user}/{device}"
        _check_can("create_stream", access, path)
        plan = plan_stream(access, name, given)

        def work(tx: Transaction, note: Note) -> Stream:
            events: list[tuple[str, str]] = []
            stream = plan.create(tx, self.permissions.user_roles.get(owner.role), path, parent.id, events)
            note(owner, events)
            return stream

        return view_stream(await self._change(actor, work), access)

    # ---- updating

    async def update_user(self, actor: Actor, name: str, changes: Mapping[str, Any]) -> wire.User:
        """Set the fields in *changes*. An unknown field, or one that *actor* may not write, refuses all of them."""
        user, access = self.find_user(actor, name, status=403)
        fields = _writable_changes("user", name, changes, access)
        if "role" in fields or "public" in fields:
            check_user_role(self.permissions, fields.get("role", user.role), fields.get("public", user.public))
        if "password" in fields:
            fields["password"] = await self.identity.hash_password(fields["password"])

        def work(tx: Transaction, note: Note) -> User:
            if fields.get("public") is False and (shown := [d.name for d in tx.devices(user.id) if d.public]):
                raise InvalidValue(
                    f"the user '{name}' has public devices ({', '.join(shown)}), and a private user cannot have any"
                )
            updated = tx.update_user(user.id, fields)
            note(user, [("UpdateUser", name)])
            return updated

        updated = await self._change(actor, work) if fields else user
        return view_user(updated, self._as_updated(actor, user, updated).access_to(self.permissions, updated))

    async def update_device(self, actor: Actor, user: str, name: str, changes: Mapping[str, Any]) -> wire.Device:
        """Set the fields in *changes*; see `update_user`. An empty ``apikey`` asks for a new random one."""
        owner, device, access = self.find_device(actor, user, name, status=403)
        fields = _writable_changes("device", name, changes, access)
        if "role" in fields:
            check_device_role(self.permissions, fields["role"])
        if "apikey" in fields:
            if name == META_NAME:
                raise InvalidValue("the device 'meta' belongs to the server and has no API key")
            fields["apikey"] = fields["apikey"] or new_apikey()

        def work(tx: Transaction, note: Note) -> Device:
            if fields.get("public") is True and not owner.public:
                raise InvalidValue(f"the user '{user}' is private, and a private user cannot have a public device")
            updated = tx.update_device(device.id, fields)
            if fields.get("public") is False:
                check_private_devices(self.permissions.user_roles.get(owner.role), owner, tx.devices(owner.id))
            note(owner, [("UpdateDevice", f"{user}/{name}")])
            return updated

        updated = await self._change(actor, work) if fields else device
        return view_device(updated, actor.access_to(self.permissions, owner, updated))

    async def update_stream(
        self, actor: Actor, user: str, device: str, name: str, changes: Mapping[str, Any]
    ) -> wire.Stream:
        """Set the fields in *changes*; see `update_user`. Data already stored stays, whatever the new schema."""
        target, access = self.find_stream(actor, (user, device, name), status=403)
        fields = _writable_changes("stream", name, changes, access)
        if fields.get("keep"):
            if not access.may_correct:
                raise PermissionDenied(f"no permission to delete what '{name}' stores, which setting 'keep' does")
            if not actor.may_correct(self.permissions):
                raise PermissionDenied(f"the role allows to append to '{name}' only, and not to delete what is stored")
        stored = {STORED.get(field, field): value for field, value in fields.items()}

        def work(tx: Transaction, note: Note) -> Stream:
            updated = tx.update_stream(target.stream.id, stored)
            note(target.user, [("UpdateStream", f"{user}/{device}/{name}")])
            return updated

        return view_stream(await self._change(actor, work) if fields else target.stream, access)

    # ---- deleting

    async def delete_user(self, actor: Actor, name: str) -> None:
        """Delete the user with all its devices, streams and data."""
        user, access = self.find_user(actor, name, status=403)
        _check_can("delete_user", access, name)

        def work(tx: Transaction, note: Note) -> None:
            tx.delete_user(user.id)
            note(None, [("DeleteUser", name)])

        await self._change(actor, work)

    async def delete_device(self, actor: Actor, user: str, name: str) -> None:
        """Delete the device with all its streams and data."""
        owner, device, access = self.find_device(actor, user, name, status=403)
        if name in (USER_NAME, META_NAME):
            raise PermissionDenied(f"the device '{name}' cannot be deleted: each user has it")
        _check_can("delete_device", access, f"{user}/{name}")

        def work(tx: Transaction, note: Note) -> None:
            tx.delete_device(device.id)
            note(owner, [("DeleteDevice", f"{user}/{name}")])

        await self._change(actor, work)

    async def delete_stream(self, actor: Actor, user: str, device: str, name: str) -> None:
        """Delete the stream with all its data."""
        target, access = self.find_stream(actor, (user, device, name), status=403)
        path = f"{user}/{device}/{name}"
        if (device, name) == (META_NAME, LOG_NAME):
            raise PermissionDenied("the stream 'meta/log' cannot be deleted: each user has it")
        _check_can("delete_stream", access, path)

        def work(tx: Transaction, note: Note) -> None:
            tx.delete_stream(target.stream.id)
            note(target.user, [("DeleteStream", path)])

        await self._change(actor, work)

    async def _change(self, actor: Actor, work: Callable[[Transaction, Note], T]) -> T:
        """Commit *work*, which notes what it does, and publish what was noted to those who follow the log."""
        logged: list[Logged] = []

        def carry_out(tx: Transaction) -> T:
            def note(owner: User | None, events: list[tuple[str, str]]) -> None:
                logged.extend(log(tx, actor, owner, events, self.clock()))

            return work(tx, note)

        def committed() -> None:
            for target, appended in logged:
                if appended.block is not None:
                    self.hub.publish(target, Substream.MAIN, appended.block, appended.first_index, appended.arrivals)

        return await self.commit_objects(carry_out, committed)

    def _visible_devices(self, actor: Actor, user: User) -> list[tuple[Device, Access]]:
        seen = ((device, actor.access_to(self.permissions, user, device)) for device in self.store.devices(user.id))
        return [(device, access) for device, access in seen if "can_access_device" in access.read]

    def _as_updated(self, actor: Actor, user: User, updated: User) -> Actor:
        """The actor with its own user as it is after the update, which may have changed its role."""
        return actor._replace(user=updated) if actor.user is not None and actor.user.id == user.id else actor


def _writable_changes(kind: str, name: str, changes: Mapping[str, Any], access: Access) -> dict[str, Any]:
    fields = parse_changes(kind, name, changes)
    for field in fields:
        if f"{kind}_{field}" not in access.write or f"can_access_{kind}" not in access.write:
            raise PermissionDenied(f"no permission to write '{field}' of the {kind} '{name}'")
    return fields


def _check_can(action: str, access: Access, path: str) -> None:
    if f"can_{action}" in access.can:
        return
    if action.startswith("list"):
        raise NotFound(f"there is no '{path}', or it may not be accessed")
    raise PermissionDenied(f"no permission to {action.replace('_', ' a ')} here: '{path}'")
