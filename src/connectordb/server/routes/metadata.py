"""The calls on users, devices and streams."""

from __future__ import annotations

from typing import Any

from ... import wire
from .. import metadata
from ..routing import Answer, Body, Handler, Param, Route
from .parts import DEVICE, FLAG, JSON, OK, STREAM, USER, WRITE_ERRORS, choice, plain, text_answer

__all__ = ["ROUTES"]


def _object(kind: str, path: str, handlers: dict[str, Handler], q: Param | None, *more: Param) -> tuple[Route, ...]:
    """The four calls on a user, a device or a stream."""
    view = {"user": wire.User, "device": wire.Device, "stream": wire.Stream}[kind]
    wanted = {"user": wire.UserCreate, "device": wire.DeviceCreate, "stream": wire.StreamCreate}[kind]
    example = {
        "user": {"email": "alice@example.com", "password": "secret"},
        "device": {"nickname": "My phone"},
        "stream": {"schema": '{"type": "number"}'},
    }[kind]
    tag = f"{kind.capitalize()}s"
    listed: dict[str, Any] = {"anyOf": [view, {"type": "array", "items": {"anyOf": [wire.Device, wire.Stream]}}]}
    read = Route(
        method="GET",
        path=path,
        handler=handlers["GET"],
        tag=tag,
        summary=f"Read a {kind}" + (", or list what it has" if q else ""),
        description="Fields that the asker may not read are left out. What may not be seen is a 404, as if missing.",
        params=(q, *more) if q else (),
        answer=Answer(f"The {kind}" + (", or the list" if q else ""), {JSON: listed if q else view}),
        errors=(404,),
    )
    create = Route(
        method="POST",
        path=path,
        handler=handlers["POST"],
        tag=tag,
        summary=f"Create a {kind}",
        description="All or nothing. `null` stands for `{}`.",
        body=Body({"anyOf": [wanted, {"type": "null"}]}, "", example),
        answer=Answer(f"The {kind} as its creator may see it", {JSON: view}),
        errors=WRITE_ERRORS,
    )
    update = Route(
        method="PUT",
        path=path,
        handler=handlers["PUT"],
        tag=tag,
        summary=f"Change a {kind}",
        description="The body has only the fields to change. All or nothing."
        + (' `{"apikey": ""}` makes a new random key; the old one stops working at once.' if kind == "device" else ""),
        body=Body({"$ref": f"#/components/schemas/{kind.capitalize()}Update"}, "", {"nickname": "New"}),
        answer=Answer(f"The {kind} as it is now", {JSON: view}),
        errors=WRITE_ERRORS,
    )
    delete = Route(
        method="DELETE",
        path=path,
        handler=handlers["DELETE"],
        tag=tag,
        summary=f"Delete a {kind}",
        description="With all that is below it, data included.",
        answer=OK,
        errors=(403, 404),
    )
    return read, create, update, delete


ROUTES: tuple[Route, ...] = (
    plain(
        wire.API,
        metadata.read_root,
        "Who am I, or how much is there",
        text_answer("A path (`alice/phone`, or `nobody`), or a number"),
        tag="Server",
        params=(
            Param(
                "q",
                choice("this", "countusers", "countdevices", "countstreams"),
                "`this`: path of the device that asks. The others: a number, for those whose role may count.",
                required=True,
            ),
        ),
        errors=(403,),
    ),
    plain(
        f"{wire.API}/crud",
        metadata.read_users,
        "List the users",
        Answer("Those that may be seen", {JSON: {"type": "array", "items": wire.User}}),
        tag="Users",
        params=(Param("q", choice("ls"), "What to list.", required=True),),
        errors=(404,),
    ),
    *_object(
        "user",
        USER,
        {
            "GET": metadata.read_user,
            "POST": metadata.create_user,
            "PUT": metadata.update_user,
            "DELETE": metadata.delete_user,
        },
        Param("q", choice("ls", "devices", "streams"), "List the devices (`ls` is the same), or the streams of all."),
        Param("public", FLAG, "With q=streams: only those of public devices."),
        Param("downlink", FLAG, "With q=streams: only downlinks."),
        Param("visible", FLAG, "With q=streams: not those of invisible devices."),
        Param("newest", FLAG, "With q=streams: also how many datapoints each has, and when the newest one is of."),
    ),
    *_object(
        "device",
        DEVICE,
        {
            "GET": metadata.read_device,
            "POST": metadata.create_device,
            "PUT": metadata.update_device,
            "DELETE": metadata.delete_device,
        },
        Param("q", choice("ls", "streams"), "List the streams; both mean the same."),
    ),
    *_object(
        "stream",
        STREAM,
        {
            "GET": metadata.read_stream,
            "POST": metadata.create_stream,
            "PUT": metadata.update_stream,
            "DELETE": metadata.delete_stream,
        },
        None,
    ),
)
