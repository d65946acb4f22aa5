"""Corrections over HTTP: what is stored is deleted and updated, and that is told, and undone."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from hashlib import blake2b
from typing import Any, cast

import msgspec

from .. import wire
from ..block import Block
from ..core import UploadRequest
from ..core.corrections import ChangePage
from ..errors import Invalid, InvalidRange
from ..query import Range
from ..store.records import ChangeKind
from .compression import compressed
from .exports import export_reply
from .negotiate import FORMAT_JSON, wanted_format
from .params import flag, index, parse_range, seconds
from .ranges import range_reply
from .reply import Reply, json_reply
from .request import JSON_ERRORS, Request, json_error
from .state import State
from .uploads import key_source

__all__ = ["CHANGES_MAX", "LIST_MAX", "delete", "list_history", "read_changes", "read_corrected", "undo", "update"]

LIST_DEFAULT = 100
LIST_MAX = 1000
"""So many entries of the ledger are listed at once."""
CHANGES_DEFAULT = 1000
CHANGES_MAX = 10_000
"""So many changes are told at once."""

_ID = re.compile(r"[1-9][0-9]{0,18}")
_BOUNDS = ("i1", "i2", "t1", "t2")
_update = msgspec.json.Decoder(wire.PointUpdate)


async def delete(state: State, request: Request) -> Reply:
    """Delete the datapoints of a range."""
    params = request.params
    wanted = _range(params)
    purge = flag(params, "purge")
    why = params.get("why", "")
    t, was = seconds(params, "t"), _value(params, "was")
    upload = _upload(state, request, repr((wanted, purge, why, t, was)).encode())
    done = await state.core.delete_points(
        request.actor, _path(request), wanted, why=why, purge=purge, t=t, was=was, upload=upload
    )
    return json_reply(done)


async def update(state: State, request: Request) -> Reply:
    """Give a datapoint another value."""
    i = index(request.params, "i")
    if i is None:
        raise InvalidRange("which datapoint? Give its index, as in i=12; i=-1 is the last one")
    body = await request.text()
    try:
        wanted = _update.decode(body)
    except JSON_ERRORS as e:
        raise json_error(e, body) from None
    upload = _upload(state, request, b"%d %b" % (i, body))
    return json_reply(await state.core.update_point(request.actor, _path(request), i, wanted, upload=upload))


async def undo(state: State, request: Request) -> Reply:
    """Take a correction back."""
    text = request.params.get("correction")
    if text is None:
        raise Invalid("which correction? Give its id, as in correction=41; the history of the stream tells it")
    number = _id(text)
    why = request.params.get("why", "")
    upload = _upload(state, request, repr((number, why)).encode())
    return json_reply(await state.core.undo(request.actor, _path(request), number, why=why, upload=upload))


async def list_history(state: State, request: Request) -> Reply:
    """The ledger of a stream, newest first."""
    limit = _limit(request.params, LIST_DEFAULT, LIST_MAX)
    before = request.params.get("before")
    number = None if before is None else _id(before)
    return json_reply(await state.core.history(request.actor, _path(request), limit=limit, before=number))


async def read_corrected(state: State, request: Request) -> Reply:
    """What was there before a correction."""
    user, device, stream, text = request.args
    number = _id(text)
    form = wanted_format(request)
    found = state.core.corrected(request.actor, (user, device, stream), number)
    blocks = cast("AsyncGenerator[Block, None]", found)
    if form is FORMAT_JSON:
        reply = await range_reply(state, blocks)
    else:
        reply = await export_reply(state, request, form, blocks, name=f"{user}-{device}-{stream}-before-{number}")
    return compressed(state, request, reply)


async def read_changes(state: State, request: Request) -> Reply:
    """What happened to a stream, in the order in which it did."""
    params = request.params
    page = await state.core.changes(
        request.actor,
        _path(request),
        params.get("since"),
        limit=_limit(params, CHANGES_DEFAULT, CHANGES_MAX),
        downlink=flag(params, "downlink"),
    )
    return compressed(state, request, json_reply(_view(page)))


def _view(page: ChangePage) -> wire.Changes:
    kinds: dict[ChangeKind, wire.ChangeKind] = {
        ChangeKind.INSERTED: "inserted",
        ChangeKind.DELETED: "deleted",
        ChangeKind.UPDATED: "updated",
    }
    views = []
    for change, cursor in page.changes:
        data: Any = None if change.block is None else msgspec.Raw(b"[%b]" % change.block.json)  # text, as it is there
        views.append(
            wire.Change(
                kind=kinds[change.kind], i=change.i, n=change.n, data=data, cursor=cursor, correction=change.correction
            )
        )
    return wire.Changes(changes=views, cursor=page.cursor, more=page.more)


def _path(request: Request) -> tuple[str, str, str]:
    user, device, stream = request.args
    return user, device, stream


def _range(params: Mapping[str, str]) -> Range:
    """Return what is to be deleted. Nobody deletes a whole stream because a number was 0 or left out."""
    if params.keys().isdisjoint(_BOUNDS):
        raise InvalidRange(
            "which datapoints are to be deleted? Give a range by index (i1=0&i2=10; i1=-10 for the last ten) or by "
            "time (t1=1500000000&t2=1600000000); all of them are i1=0"
        )
    for name, value in (("i2", index(params, "i2")), ("t2", seconds(params, "t2"))):
        if value == 0:
            raise InvalidRange(f"{name}=0 deletes nothing: to delete to the end, leave {name} out")
    return parse_range(params)


def _value(params: Mapping[str, str], name: str) -> bytes | None:
    text = params.get(name)
    if text is None:
        return None
    try:
        msgspec.json.decode(text)
    except JSON_ERRORS:
        raise Invalid(f'{name} has to be a value as JSON, as in {name}=705 or {name}="a text"') from None
    return text.encode()


def _limit(params: Mapping[str, str], default: int, most: int) -> int:
    limit = index(params, "limit")
    if limit is None:
        return default
    if not 1 <= limit <= most:
        raise Invalid(f"limit is 1 to {most}; it is {limit}")
    return limit


def _id(text: str) -> int:
    if not _ID.fullmatch(text) or int(text) >= 2**63 - 1:
        raise Invalid(f"a correction is named by a whole number, as the history tells it; not by {text[:40]!a}")
    return int(text)


def _upload(state: State, request: Request, what: bytes) -> UploadRequest | None:
    """What makes the correction recognisable when it comes again; *what* it does."""
    key = request.headers.get(b"idempotency-key")
    if key is None:
        return None
    digest = blake2b(what, digest_size=16, person=request.method.encode()).digest()
    return UploadRequest(key_source(key), 1, 1, digest, lifetime_s=state.core.settings.limits.idempotency_s)
