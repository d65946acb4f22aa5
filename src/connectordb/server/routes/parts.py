"""What tables of calls have in common: paths, parameters, answers and errors."""

from __future__ import annotations

from typing import Any

from ... import wire
from ...datapoint import Datapoint
from ...formats import FORMATS
from ..routing import Answer, Handler, Param, Route

__all__ = [
    "CUT_OFF",
    "DATA",
    "DEVICE",
    "DOWNLINK",
    "FLAG",
    "FORMAT",
    "FORMAT_ERRORS",
    "INT64",
    "JSON",
    "KEY",
    "OK",
    "OTHER_FORMATS",
    "POINTS_ANSWER",
    "RANGE_PARAMS",
    "STREAM",
    "TEXT",
    "TRANSFORM",
    "USER",
    "WRITE_ERRORS",
    "choice",
    "plain",
    "text_answer",
]

USER = f"{wire.API}/crud/{{user}}"
DEVICE = f"{USER}/{{device}}"
STREAM = f"{DEVICE}/{{stream}}"
DATA = f"{STREAM}/data"

TEXT = "text/plain"
JSON = "application/json"
INT64 = {"type": "integer", "minimum": -(2**63) + 1, "maximum": 2**63 - 1}
FLAG = {"type": "boolean", "default": False}


def choice(*values: str) -> dict[str, Any]:
    """The schema of one of *values*."""
    return {"type": "string", "enum": list(values)}


def text_answer(description: str, schema: dict[str, Any] | None = None) -> Answer:
    """An answer in plain text."""
    return Answer(description, {TEXT: schema or {"type": "string"}})


def plain(path: str, handler: Handler, summary: str, answer: Answer, *, tag: str, **more: Any) -> Route:
    """A call with GET."""
    return Route(method="GET", path=path, handler=handler, tag=tag, summary=summary, answer=answer, **more)


OK = text_answer("`ok`", {"type": "string", "const": "ok"})
DOWNLINK = Param("downlink", FLAG, "Mean the substream of requests to the owner of the stream.")
TRANSFORM = Param(
    "transform", {"type": "string"}, "A PipeScript to run over the datapoints; a limit counts what comes out."
)
KEY = Param(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": wire.SOURCE_LENGTH_MAX, "pattern": "^[!-~]+$"},
    "Makes the request safe to repeat for an hour (a setting): with the same key and the same body it is carried out "
    "once, and has the same answer. For any other request to the stream the key is a 409: take a new one for each.",
    "header",
)
FORMAT = Param(
    "format",
    choice(*FORMATS),
    "What the answer is: "
    + ", ".join(f"{form.described} (`{form.name}`)" for form in FORMATS.values())
    + ". Wins over the header `Accept`; without both it is JSON. With `arrow` and `parquet`, which a server may lack "
    "(501), all errors come before the answer begins, and a very long one is a 413.",
)
RANGE_PARAMS = (
    Param("i1", INT64, "First index, inclusive. Negative: from the end."),
    Param("i2", INT64, "Last index, exclusive. Negative: from the end. 0 or none: to the end."),
    Param("t1", {"type": "number"}, "Seconds since 1970: only datapoints after this time."),
    Param(
        "t2", {"type": "number"}, "Seconds since 1970: only datapoints up to and at this time. 0 or none: to the end."
    ),
    Param(
        "limit",
        {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
        "With t1 or t2: at most this many, counted from the oldest. 0 or none: all.",
    ),
)

FORMAT_ERRORS = (406, 413, 501)
WRITE_ERRORS = (403, 404, 408, 413, 415)

OTHER_FORMATS: dict[str, Any] = {form.media_type: None for form in FORMATS.values() if form.media_type != JSON}
POINTS_ANSWER = Answer("Datapoints, oldest first", {JSON: {"type": "array", "items": Datapoint}, **OTHER_FORMATS})
CUT_OFF = "A long answer comes in chunks; one that is cut off without its end is not complete."
