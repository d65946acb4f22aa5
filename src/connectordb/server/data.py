"""Datapoints: the hot paths."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import cast

from ..block import Block
from ..core import UploadRequest
from ..core.data import Asked
from ..core.reductions import Windowed
from ..errors import Invalid, InvalidRange
from ..store.records import Mode
from .bodies import read_points
from .compression import compressed
from .exports import export_reply
from .negotiate import FORMAT_JSON, wanted_format
from .params import choice, flag, index, parse_range, parse_reduction, seconds
from .ranges import range_reply
from .reply import Reply, json_reply, text_reply
from .request import Request
from .state import State
from .uploads import check_key, insert_digest, key_upload

__all__ = ["insert", "read"]

_MODES = {"POST": Mode.ORDERED, "PUT": Mode.RESTAMP, "PATCH": Mode.MERGE}
_UPLOAD_PARAMS = ("source", "first", "last")


async def insert(state: State, request: Request) -> Reply:
    """Insert datapoints: POST in order, PUT with restamp, PATCH merged by time."""
    points, body = await read_points(state, request)
    mode = _MODES[request.method]
    params = request.params
    verdicts = flag(params, "verdicts")
    user, device, stream = request.args
    report = await state.core.insert(
        request.actor,
        (user, device, stream),
        points,
        mode,
        downlink=flag(params, "downlink"),
        verdicts=verdicts,
        upload=_upload(request, mode, body, state.core.settings.limits.idempotency_s),
        asked=Asked(history=True) if flag(params, "history") else None,
        skip_known=choice(params, "duplicates", "keep", "skip") == "skip",
    )
    state.stored(report)
    return json_reply(report) if verdicts else text_reply("ok")


async def read(state: State, request: Request) -> Reply:
    """A range of datapoints, or with ``q`` the length or the index of a time."""
    params = request.params
    downlink = flag(params, "downlink")
    user, device, stream = request.args
    path = (user, device, stream)
    match params.get("q"):
        case None:
            pass
        case "length":
            _only(params, "q=length", {"q", "downlink"})
            return text_reply(str(state.core.length(request.actor, path, downlink=downlink)))
        case "time2index":
            _only(params, "q=time2index", {"q", "t", "downlink"})
            t = seconds(params, "t")
            if t is None:
                raise InvalidRange("q=time2index needs a time, as in q=time2index&t=1500000000")
            return json_reply(state.core.time_index(request.actor, path, t, downlink=downlink))
        case other:
            raise Invalid(f"unknown query q={other[:40]!a}: datapoints know q=length and q=time2index")
    if "t" in params:
        raise Invalid("the parameter 't' belongs to q=time2index; a range by time has t1 and t2")
    form = wanted_format(request)
    transform = params.get("transform", "")
    wanted, reduction = parse_range(params), parse_reduction(params)
    found = state.core.read(
        request.actor,
        path,
        wanted,
        downlink=downlink,
        transform=transform,
        reduction=reduction,
        text=form is FORMAT_JSON,
    )
    blocks = cast("AsyncGenerator[Block, None]", found)
    made = bool(transform) or reduction is not None
    if form is FORMAT_JSON:
        work = range_reply(state, blocks)
        reply = await (request.unless_gone(work) if made else work)
    else:
        name = "-".join(path) + ("-downlink" if downlink else "")
        columns = reduction.stats if isinstance(reduction, Windowed) else None
        writers = downlink and not made
        reply = await export_reply(state, request, form, blocks, name=name, columns=columns, writers=writers)
    return compressed(state, request, reply)


def _upload(request: Request, mode: Mode, body: bytes, key_lifetime_s: float) -> UploadRequest | None:
    """What makes the insert recognisable when it comes again."""
    params = request.params
    key = request.headers.get(b"idempotency-key")
    if key is not None:
        check_key(key)
    if params and not params.keys().isdisjoint(_UPLOAD_PARAMS):
        source, first, last = params.get("source", ""), index(params, "first"), index(params, "last")
        if not source or first is None or last is None:
            raise Invalid("an upload needs all of source, first and last")
        return UploadRequest(source, first, last, insert_digest(mode, body))
    return None if key is None else key_upload(key, mode, body, key_lifetime_s)


def _only(params: Mapping[str, str], what: str, allowed: set[str]) -> None:
    """Refuse parameters that have no meaning here."""
    strangers = params.keys() - allowed - {"apikey"}
    if strangers:
        raise Invalid(f"{what} does not go together with {', '.join(sorted(strangers))}")
