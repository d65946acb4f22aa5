"""Datapoints in the body of a request, in whatever format they come."""

from __future__ import annotations

import asyncio
import io
from functools import partial
from typing import Final

import msgspec

from .. import formats
from ..datapoint import Datapoint
from ..errors import Invalid, InvalidValue, TooLarge
from ..formats import FORMATS, Format
from ..wire import decode_points
from .codings import Coding, coding_of, decompressed
from .negotiate import FORMAT_JSON, missing_format
from .request import BOM, JSON_ERRORS, Request, json_error
from .state import State

__all__ = ["TAKEN", "read_points"]

TAKEN: Final = tuple(form for form in FORMATS.values() if form.name != "parquet")
"""The formats of inserts. A small Parquet file may stand for anything."""

_BY_TYPE: Final = {form.media_type: form for form in FORMATS.values()} | {
    "application/ndjson": FORMATS["ndjson"],
    "application/jsonl": FORMATS["ndjson"],
}
_UTF_8: Final = frozenset({"", "utf-8", "utf8", "us-ascii"})

_encode = msgspec.json.Encoder().encode


async def read_points(state: State, request: Request) -> tuple[list[Datapoint], bytes]:
    """Return the datapoints in the body of *request*, and the body as it was before it was compressed.

    A content type that is none of those in `FORMATS` counts as JSON, as clients of ConnectorDB 0.3 may send any.

    Raises:
        Invalid: the body is something else (400), or has a form that is not taken here (415).
        TooLarge: it is larger than `body_bytes_max`: as it comes, without compression, or the datapoints as JSON.
        Unsupported: a library is missing on this server.
        ClientGone, RequestError: as `Request.body`.
    """
    content_type = request.headers.get(b"content-type", b"")
    form = FORMAT_JSON if content_type in (b"", b"application/json") else _form_of(content_type.decode("latin-1"))
    coding = coding_of(request.headers.get(b"content-encoding", b""))
    body = await request.body()
    if form is FORMAT_JSON and coding is None:
        return _from_json(body), body
    read = partial(_read, form, coding, body, request.body_bytes_max, state.core.settings.limits.insert_points_max)
    return await asyncio.get_running_loop().run_in_executor(state.core.reading, read)


def _form_of(content_type: str) -> Format:
    media_type, *params = [part.strip().lower() for part in content_type.split(";")]
    form = _BY_TYPE.get(media_type, FORMAT_JSON)
    if form is FORMAT_JSON:
        return form
    if form not in TAKEN:
        raise Invalid(
            f"datapoints are not taken as {form.name}: send them as {', '.join(form.name for form in TAKEN)}",
            status=415,
            formats=[form.media_type for form in TAKEN],
        )
    charset = next((value.strip('"') for name, _, value in (p.partition("=") for p in params) if name == "charset"), "")
    if charset not in _UTF_8:
        raise Invalid(f"the body has to be UTF-8, not {charset[:20]!a}", status=415)
    if not form.installed:
        raise missing_format(form)
    return form


def _read(
    form: Format, coding: Coding | None, body: bytes, bytes_max: int, points_max: int
) -> tuple[list[Datapoint], bytes]:
    if coding is not None:
        body = decompressed(coding, body, bytes_max)
    if form is FORMAT_JSON:
        return _from_json(body), body
    points: list[Datapoint] = []
    size = 0
    try:
        for block in formats.read(form.name, io.BytesIO(body), remote=True):
            points += block.points
            if len(points) > points_max:
                raise TooLarge(f"more than {points_max} datapoints at once are too many", limit=points_max)
            size += len(_encode(block.points))
            if size > bytes_max:
                raise TooLarge(
                    f"the datapoints are larger than {bytes_max} bytes as JSON, which is the most that this server "
                    "takes at once: send them in parts",
                    limit=bytes_max,
                )
    except InvalidValue as e:
        raise Invalid(f"the body is no {form.name} as it should be: {e.msg}") from None
    return points, body


def _from_json(body: bytes) -> list[Datapoint]:
    try:
        return decode_points(body.removeprefix(BOM))
    except JSON_ERRORS as e:
        raise json_error(e, body) from None
