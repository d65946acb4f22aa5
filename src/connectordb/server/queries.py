"""Queries over several streams."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from .compression import compressed
from .exports import export_reply
from .negotiate import FORMAT_JSON, wanted_format
from .ranges import range_reply
from .reply import Reply
from .request import Request
from .state import State

__all__ = ["DATASET_SCHEMA", "MERGE_SCHEMA", "dataset", "merge"]

_json = msgspec.json.Decoder()


async def merge(state: State, request: Request) -> Reply:
    """Several streams in order of time."""
    form = wanted_format(request)
    body = await request.json(_json)
    blocks = state.core.query_merge(request.actor, body, text=form is FORMAT_JSON)
    if form is FORMAT_JSON:
        reply = await request.unless_gone(range_reply(state, blocks))
    else:
        reply = await export_reply(state, request, form, blocks, name="merge")
    return compressed(state, request, reply)


async def dataset(state: State, request: Request) -> Reply:
    """A table from several streams."""
    form = wanted_format(request)
    body = await request.json(_json)
    blocks = state.core.query_dataset(request.actor, body, text=form is FORMAT_JSON)
    if form is FORMAT_JSON:
        reply = await request.unless_gone(range_reply(state, blocks))
    else:
        reply = await export_reply(state, request, form, blocks, name="dataset", columns=_columns(body))
    return compressed(state, request, reply)


def _columns(body: Any) -> list[str] | None:
    """The names of the columns of the rows that are asked for; ``None``: a script makes something else of the rows.

    Raises `Invalid` if *body* is no dataset.
    """
    from ..pipescript.queries import parse_dataset  # not needed by most

    query = parse_dataset(body)
    if query.posttransform:
        return None
    return [*(["x"] if query.stream or query.merge else []), *(query.dataset or {})]


def _nullable(kind: str, description: str) -> dict[str, Any]:
    return {"type": [kind, "null"], "description": description}


_RANGE: Final = {
    "stream": _nullable("string", "`user/device/stream`, or `user/device/stream/downlink`."),
    "transform": _nullable("string", "A PipeScript to run over the range."),
    "i1": _nullable("integer", "First index, inclusive. Negative: from the end."),
    "i2": _nullable("integer", "Last index, exclusive. 0 and below: from the end."),
    "t1": _nullable("number", "Seconds since 1970: only what comes after it."),
    "t2": _nullable("number", "Seconds since 1970: only what comes up to and at it. 0: to the end."),
    "limit": _nullable("integer", "At most this many, counted after the transform. 0: all."),
}
_PARTS: Final = {
    "type": ["array", "null"],
    "items": {"type": "object", "properties": _RANGE},
    "description": "Several streams in order of time, in the place of one; at most 10.",
}
_COLUMN: Final = {
    "type": "object",
    "properties": {
        **_RANGE,
        "merge": _PARTS,
        "interpolator": _nullable(
            "string",
            "How the value at a time is found: a name from `/api/v1/meta/interpolators`, `closest` if none; or a "
            "PipeScript, run over the datapoints since the row before.",
        ),
        "allownil": _nullable("boolean", "Keep a row where this column has no value. Otherwise it is left out."),
    },
}
MERGE_SCHEMA: Final[dict[str, Any]] = {**_PARTS, "description": "At most 10."}
"""JSON Schema of the body of a merge. 0 and null stand for "not given"."""
DATASET_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "dataset": {"type": "object", "additionalProperties": _COLUMN, "description": "The columns by name."},
        **_RANGE,
        "stream": _nullable("string", "The stream whose datapoints make the rows; its values are the column `x`."),
        "merge": {**_PARTS, "description": "Several streams whose datapoints make the rows; in the place of `stream`."},
        "dt": _nullable("number", "Rows at t1, t1 + dt, ... before t2, in seconds; at least 0.001. Without `stream`."),
        "posttransform": _nullable("string", "A PipeScript to run over the rows."),
    },
    "required": ["dataset"],
}
"""JSON Schema of the body of a dataset."""
