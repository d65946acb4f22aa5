"""Users, devices and streams: list, create, read, update, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from ..errors import Invalid
from ..wire import DeviceCreate, StreamCreate, UserCreate
from .params import flag
from .reply import Reply, json_reply, text_reply
from .request import Request
from .state import State

__all__ = [
    "create_device",
    "create_stream",
    "create_user",
    "delete_device",
    "delete_stream",
    "delete_user",
    "read_device",
    "read_root",
    "read_stream",
    "read_user",
    "read_users",
    "update_device",
    "update_stream",
    "update_user",
]

T = TypeVar("T", UserCreate, DeviceCreate, StreamCreate)

_user_create = msgspec.json.Decoder(UserCreate | None)
_device_create = msgspec.json.Decoder(DeviceCreate | None)
_stream_create = msgspec.json.Decoder(StreamCreate | None)
_changes = msgspec.json.Decoder(dict[str, Any])

_COUNTS = {"countusers": "users", "countdevices": "devices", "countstreams": "streams"}
_STREAM_OPTIONS = ("public", "downlink", "visible", "newest")


async def read_root(state: State, request: Request) -> Reply:
    """Who asks, or how much there is."""
    q = request.params.get("q")
    if q == "this":
        return text_reply(request.actor.path)
    if q in _COUNTS:
        return text_reply(str(state.core.count(request.actor, _COUNTS[q])))
    raise _unknown_query(q, "this", *_COUNTS)


async def read_users(state: State, request: Request) -> Reply:
    """The users that may be seen."""
    q = request.params.get("q")
    if q != "ls":
        raise _unknown_query(q, "ls")
    return json_reply(state.core.list_users(request.actor))


async def read_user(state: State, request: Request) -> Reply:
    """A user, its devices, or the streams of all of them."""
    (user,) = request.args
    params = request.params
    q = params.get("q")
    if q != "streams" and not params.keys().isdisjoint(_STREAM_OPTIONS):
        raise Invalid(f"{', '.join(_STREAM_OPTIONS)} go with q=streams")
    match q:
        case None:
            return json_reply(state.core.read_user(request.actor, user))
        case "ls" | "devices":
            return json_reply(state.core.list_devices(request.actor, user))
        case "streams":
            options = {name: flag(params, name) for name in _STREAM_OPTIONS}
            return json_reply(state.core.list_user_streams(request.actor, user, **options))
        case other:
            raise _unknown_query(other, "ls", "devices", "streams")


async def read_device(state: State, request: Request) -> Reply:
    """A device, or its streams."""
    user, device = request.args
    match request.params.get("q"):
        case None:
            return json_reply(state.core.read_device(request.actor, user, device))
        case "ls" | "streams":
            return json_reply(state.core.list_streams(request.actor, user, device))
        case other:
            raise _unknown_query(other, "ls", "streams")


async def read_stream(state: State, request: Request) -> Reply:
    """A stream."""
    user, device, stream = request.args
    q = request.params.get("q")
    if q is not None:
        raise _unknown_query(q)
    return json_reply(state.core.read_stream(request.actor, user, device, stream))


async def create_user(state: State, request: Request) -> Reply:
    """Create a user, with devices and streams if given."""
    (user,) = request.args
    wanted = _named(await request.json(_user_create) or UserCreate(), user)
    return json_reply(await state.core.create_user(request.actor, user, wanted))


async def create_device(state: State, request: Request) -> Reply:
    """Create a device, with streams if given."""
    user, device = request.args
    wanted = _named(await request.json(_device_create) or DeviceCreate(), device)
    return json_reply(await state.core.create_device(request.actor, user, device, wanted))


async def create_stream(state: State, request: Request) -> Reply:
    """Create a stream."""
    user, device, stream = request.args
    wanted = _named(await request.json(_stream_create) or StreamCreate(), stream)
    return json_reply(await state.core.create_stream(request.actor, user, device, stream, wanted))


async def update_user(state: State, request: Request) -> Reply:
    """Set fields of a user."""
    (user,) = request.args
    updated = await state.core.update_user(request.actor, user, await _read_changes(request))
    return json_reply(updated)


async def update_device(state: State, request: Request) -> Reply:
    """Set fields of a device."""
    user, device = request.args
    updated = await state.core.update_device(request.actor, user, device, await _read_changes(request))
    return json_reply(updated)


async def update_stream(state: State, request: Request) -> Reply:
    """Set fields of a stream."""
    user, device, stream = request.args
    updated = await state.core.update_stream(request.actor, user, device, stream, await _read_changes(request))
    return json_reply(updated)


async def delete_user(state: State, request: Request) -> Reply:
    """Delete a user with all that is below."""
    (user,) = request.args
    await state.core.delete_user(request.actor, user)
    return text_reply("ok")


async def delete_device(state: State, request: Request) -> Reply:
    """Delete a device with all that is below."""
    user, device = request.args
    await state.core.delete_device(request.actor, user, device)
    return text_reply("ok")


async def delete_stream(state: State, request: Request) -> Reply:
    """Delete a stream with its data."""
    user, device, stream = request.args
    await state.core.delete_stream(request.actor, user, device, stream)
    return text_reply("ok")


async def _read_changes(request: Request) -> Mapping[str, Any]:
    return await request.json(_changes)


def _named(wanted: T, name: str) -> T:
    """Refuse a body that names another thing than the path does."""
    if wanted.name is not None and wanted.name != name:
        raise Invalid(f"the body is about {wanted.name[:40]!a}, and the path about {name[:40]!a}")
    return wanted


def _unknown_query(q: str | None, *known: str) -> Invalid:
    choice = " or ".join(f"q={name}" for name in known)
    if q is None:
        return Invalid(f"what is asked for? Add {choice}")
    return Invalid(f"unknown query q={q[:40]!a}: " + (f"there is {choice}" if known else "there is none here"))
