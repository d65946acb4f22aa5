"""The calls that insert and read datapoints."""

from __future__ import annotations

from ... import wire
from ...core.reductions import STATS
from ...datapoint import Datapoint
from .. import data
from ..bodies import TAKEN
from ..params import DEFAULT_STATS
from ..routing import Answer, Body, Param, Route
from .parts import (
    CUT_OFF,
    DATA,
    DOWNLINK,
    FLAG,
    FORMAT,
    FORMAT_ERRORS,
    INT64,
    JSON,
    KEY,
    OK,
    OTHER_FORMATS,
    RANGE_PARAMS,
    TEXT,
    TRANSFORM,
    WRITE_ERRORS,
    choice,
    plain,
)

__all__ = ["ROUTES"]

_INSERT_PARAMS = (
    DOWNLINK,
    Param(
        "history",
        FLAG,
        "These datapoints tell what was, as when data is moved from another server: those of a downlink ask nothing "
        "of its device.",
    ),
    Param(
        "verdicts",
        FLAG,
        "Store what can be stored, and answer with a report of what was refused and why. Otherwise it is all or "
        "nothing, and the answer is `ok`.",
    ),
    Param(
        "source",
        {"type": "string", "minLength": 1, "maxLength": wire.SOURCE_LENGTH_MAX},
        "Who numbers its uploads, with `first` and `last`: repeating the newest upload of a source writes nothing and "
        "gets the same answer; another one that overlaps it is a 409.",
    ),
    Param("first", {**INT64, "minimum": 1}, "Number of the first datapoint of the upload."),
    Param("last", {**INT64, "minimum": 1}, "Number of the last datapoint of the upload."),
    KEY._replace(description=f"{KEY.description} Has no effect beside `source`."),
)
_REDUCTION_PARAMS = (
    Param(
        "points",
        {"type": "integer", "minimum": 5, "maximum": 100_000},
        "Thinned for a plot: at most so many datapoints. Of numbers those between which a line looks most like the one "
        "between all (MinMaxLTTB), with the first, the last, the smallest and the largest; of other values those where "
        "the value changes, as far as there is room. After the transform.",
    ),
    Param(
        "every",
        {"type": "string", "pattern": "^[1-9][0-9]{0,4}(s|m|h|d|w|mo|y)$"},
        "Statistics of windows of the calendar instead, as objects, each with the start of its window: `15m`, `1h`, "
        "`1d`, `1w`, `1mo`. After the transform. Windows without values are left out.",
    ),
    Param(
        "stat",
        {"type": "string", "default": DEFAULT_STATS, "examples": [",".join(STATS)]},
        f"With `every`: which of {', '.join(STATS)}, with commas between them. `stddev` is that of a sample. Only "
        "`count`, `first` and `last` take values that are no numbers.",
    ),
    Param(
        "zone",
        {"type": "string", "default": "UTC"},
        "With `every`: the time zone whose calendar it is, as `Europe/Amsterdam`.",
    ),
)
_POINTS = Body(
    {"anyOf": [{"type": "array", "items": Datapoint}, {"type": "null"}]},
    "An array of datapoints. Without `t`, or with 0, a datapoint gets the server's time. `o` is set by the server. "
    "By `Content-Type` it may also be NDJSON, CSV with a header, or an Arrow stream (not compressed, without "
    "dictionaries and nested columns); any other content type counts as JSON. Times have a zone, or are in seconds. "
    "`Content-Encoding: gzip` and `zstd` are understood.",
    [{"t": 1500000000.5, "d": 21.5}],
    tuple(form.media_type for form in TAKEN if form.media_type != JSON),
)


def _insert(method: str, summary: str, description: str, *params: Param) -> Route:
    return Route(
        method=method,
        path=DATA,
        handler=data.insert,
        tag="Datapoints",
        summary=summary,
        description=description,
        params=(*_INSERT_PARAMS, *params),
        body=_POINTS,
        answer=Answer("`ok`, or with `verdicts=true` a report", {TEXT: OK.types[TEXT], JSON: wire.InsertReport}),
        errors=(*WRITE_ERRORS, 409, 501),
    )


ROUTES: tuple[Route, ...] = (
    plain(
        DATA,
        data.read,
        "Read datapoints, their number, or the index of a time",
        Answer(
            "Datapoints, oldest first; or a number",
            {
                JSON: {"anyOf": [{"type": "array", "items": Datapoint}, {"type": "integer", "minimum": 0}]},
                TEXT: {"type": "string", "pattern": "^[0-9]+$"},
                **OTHER_FORMATS,
            },
        ),
        tag="Datapoints",
        description=(
            "A range goes either by index (`i1`, `i2`, like a Python slice) or by time (`t1 < t <= t2`, `limit`); one "
            "of `i1`, `i2`, `t1`, `t2` has to be given. `t` is left out where it is 0, and `d` where it is null. "
            + CUT_OFF
        ),
        params=(
            Param(
                "q", choice("length", "time2index"), "The number of datapoints; or the index of the first after `t`."
            ),
            Param("t", {"type": "number"}, "With q=time2index: seconds since 1970."),
            *RANGE_PARAMS,
            DOWNLINK,
            TRANSFORM,
            *_REDUCTION_PARAMS,
            FORMAT,
        ),
        errors=(403, 404, *FORMAT_ERRORS),
    ),
    _insert(
        "POST",
        "Insert datapoints in order",
        "Refused if a time stamp is older than the one before it, or than the newest in the stream.",
    ),
    _insert(
        "PUT",
        "Insert datapoints, restamping late ones",
        "Time stamps older than the newest in the stream become the newest. Within the array they must not decrease.",
    ),
    _insert(
        "PATCH",
        "Insert datapoints where they belong in time",
        "Late datapoints go between those stored, behind those of equal time. The array may be in any order.",
        Param(
            "duplicates",
            {**choice("keep", "skip"), "default": "keep"},
            "`skip`: leave out datapoints of which the same `t` and an equal `d` is stored already (`1` equals `1.0`, "
            "and not `true`). With `verdicts=true` the report says how many. Those that are twice in the request stay "
            "so.",
        ),
    ),
)
