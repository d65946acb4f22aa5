"""What an asker gets to see of a user, a device or a stream: the fields that its role may read."""

from __future__ import annotations

from typing import Any

import msgspec

from .. import wire
from ..store.records import Device, Head, Stream, User
from .fields import FIELDS, STORED
from .permissions import Access

__all__ = ["view_device", "view_stream", "view_user"]


def view_user(user: User, access: Access) -> wire.User:
    """Return the readable fields of *user*."""
    return wire.User(**_readable("user", user, access))


def view_device(device: Device, access: Access) -> wire.Device:
    """Return the readable fields of *device*."""
    return wire.Device(**_readable("device", device, access))


def view_stream(stream: Stream, access: Access, device: str | None = None, head: Head | None = None) -> wire.Stream:
    """Return the readable fields of *stream*, and the name of its *device* and what *head* tells, if given."""
    view = wire.Stream(**_readable("stream", stream, access))
    if not view.keep:  # as ConnectorDB 0.3 shows streams
        view.keep = msgspec.UNSET
    if device is not None:
        view.device = device
    if head is not None:
        view.points = head.n
        if head.n:
            view.newest = head.t
    return view


def _readable(kind: str, record: User | Device | Stream, access: Access) -> dict[str, Any]:
    return {
        field: getattr(record, STORED.get(field, field))
        for field in ("name", *FIELDS[kind])
        if f"{kind}_{field}" in access.read and field != "password"
    }
