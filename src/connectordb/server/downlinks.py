"""Downlinks over HTTP: what a device is to do, and what has become of it."""

from __future__ import annotations

import re

import msgspec

from .. import wire
from ..errors import Invalid, InvalidRange
from ..store.records import Mode
from .params import index, seconds
from .reply import Reply, json_reply
from .request import JSON_ERRORS, Request, json_error
from .state import State
from .uploads import key_upload

__all__ = ["LIST_MAX", "change_downlink", "list_downlinks", "read_downlink", "send_downlink"]

LIST_DEFAULT = 100
LIST_MAX = 1000
"""So many are listed at once."""

_ID = re.compile(r"[1-9][0-9]{0,18}")
_create = msgspec.json.Decoder(wire.DownlinkCreate)
_update = msgspec.json.Decoder(wire.DownlinkUpdate)


async def send_downlink(state: State, request: Request) -> Reply:
    """Ask the owner of a stream to do something."""
    user, device, stream = request.args
    body = await request.text()
    try:
        wanted = _create.decode(body)
    except JSON_ERRORS as e:
        raise json_error(e, body) from None
    key = request.headers.get(b"idempotency-key")
    lifetime_s = state.core.settings.limits.idempotency_s
    sent = await state.core.send(
        request.actor,
        (user, device, stream),
        wanted.d,
        lifetime_s=wanted.expires,
        supersede=wanted.supersede,
        upload=None if key is None else key_upload(key, Mode.RESTAMP, body, lifetime_s),
    )
    return json_reply(sent)


async def list_downlinks(state: State, request: Request) -> Reply:
    """The newest downlinks of a stream."""
    user, device, stream = request.args
    wanted = request.params.get("state")
    if wanted is not None and wanted not in wire.DOWNLINK_STATES:
        raise Invalid(f"state is one of {', '.join(wire.DOWNLINK_STATES)}; it is {wanted[:40]!a}")
    limit = index(request.params, "limit")
    if limit is None:
        limit = LIST_DEFAULT
    elif not 1 <= limit <= LIST_MAX:
        raise Invalid(f"limit is 1 to {LIST_MAX}; it is {limit}")
    return json_reply(await state.core.list_downlinks(request.actor, (user, device, stream), wanted, limit))


async def read_downlink(state: State, request: Request) -> Reply:
    """A downlink; with ``wait``, once it is settled."""
    path, downlink_id = _target(request)
    wait_s = _wait_s(request)
    if not wait_s:
        return json_reply(await state.core.read_downlink(request.actor, path, downlink_id))
    return json_reply(await request.unless_gone(state.core.wait_downlink(request.actor, path, downlink_id, wait_s)))


async def change_downlink(state: State, request: Request) -> Reply:
    """What the device says of a downlink."""
    path, downlink_id = _target(request)
    update = await request.json(_update)
    return json_reply(await state.core.update_downlink(request.actor, path, downlink_id, update))


def _wait_s(request: Request) -> float:
    try:
        wait_s = seconds(request.params, "wait") or 0.0
    except InvalidRange:
        wait_s = -1.0
    if not 0.0 <= wait_s <= wire.DOWNLINK_WAIT_MAX_S:
        raise Invalid(f"wait is 0 to {wire.DOWNLINK_WAIT_MAX_S} seconds; to wait for longer, ask again")
    return wait_s


def _target(request: Request) -> tuple[tuple[str, str, str], int]:
    user, device, stream, text = request.args
    if not _ID.fullmatch(text) or int(text) >= 2**63:
        raise Invalid(
            f"a downlink is named by a whole number, as the answer to its sender tells it; not by {text[:40]!a}"
        )
    return (user, device, stream), int(text)
