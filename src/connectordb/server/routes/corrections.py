"""The calls that delete and change datapoints, tell of it, and undo it."""

from __future__ import annotations

from ... import wire
from .. import corrections
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
    POINTS_ANSWER,
    RANGE_PARAMS,
    STREAM,
    WRITE_ERRORS,
    plain,
)

__all__ = ["ROUTES"]

_WHY = Param("why", {"type": "string", "maxLength": wire.WHY_LENGTH_MAX}, "The reason, for the history.")
_DELETE_PARAMS = (
    *(
        bound._replace(
            description=bound.description.replace(" 0 or none: to the end.", " Left out: to the end; 0: a 400.")
        )
        for bound in RANGE_PARAMS
        if bound.name != "limit"
    ),
    _WHY,
    Param("purge", FLAG, "Keep nothing of them. This cannot be undone."),
    Param(
        "t",
        {"type": "number"},
        "The time stamp of the first of them: if the first has another, or there is none, nothing is deleted (409).",
    ),
    Param("was", {"type": "string"}, "The value of the first of them, as JSON, likewise."),
    KEY,
)
_CORRECTION_ID = {"type": "integer", "minimum": 1, "maximum": 2**63 - 2, "examples": [41]}
_CORRECTED = Answer("What was done, as the history tells it", {JSON: wire.Correction})

ROUTES: tuple[Route, ...] = (
    Route(
        method="DELETE",
        path=DATA,
        handler=corrections.delete,
        tag="Corrections",
        summary="Delete datapoints",
        description=(
            "Those of a range by index or by time, as for reading. One bound has to be given: all are `i1=0`. What is "
            "deleted is kept for the history, unless `purge` is set. A range in which there is nothing is no error: "
            "the answer has no `id` and no `n` then. `i2=0` and `t2=0`, which mean the end where one reads, are a 400."
        ),
        params=_DELETE_PARAMS,
        answer=_CORRECTED,
        errors=(403, 404, 409),
    ),
    Route(
        method="PUT",
        path=f"{STREAM}/datapoint",
        handler=corrections.update,
        tag="Corrections",
        summary="Change the value of a datapoint",
        description="Its time stamp stays. What the value was before is kept for the history.",
        params=(
            Param(
                "i", {**INT64, "examples": [12, -1]}, "Index of the datapoint. Negative: from the end.", required=True
            ),
            KEY,
        ),
        body=Body(
            wire.PointUpdate,
            "With `t`, the time stamp that the datapoint has, nothing is changed if it has another (409); with `was`, "
            "the value that it has, likewise.",
            {"d": 71.5, "why": "a typing error"},
        ),
        answer=_CORRECTED,
        errors=(*WRITE_ERRORS, 409),
    ),
    plain(
        f"{STREAM}/history",
        corrections.list_history,
        "List the corrections of a stream",
        Answer("The newest first", {JSON: {"type": "array", "items": wire.Correction}}),
        tag="Corrections",
        params=(
            Param(
                "limit",
                {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": corrections.LIST_MAX,
                    "default": corrections.LIST_DEFAULT,
                },
                "At most this many.",
            ),
            Param("before", _CORRECTION_ID, "Only those with a smaller id."),
        ),
        errors=(403, 404),
    ),
    plain(
        f"{STREAM}/history/{{correction}}",
        corrections.read_corrected,
        "What was there before a correction",
        POINTS_ANSWER,
        tag="Corrections",
        description=f"For those who may write the data of the stream. 409 if nothing was kept. {CUT_OFF}",
        params=(FORMAT,),
        errors=(403, 404, 409, *FORMAT_ERRORS),
    ),
    Route(
        method="POST",
        path=f"{STREAM}/undo",
        handler=corrections.undo,
        tag="Corrections",
        summary="Take a correction back",
        description=(
            "What it deleted returns to where it was, what it updated gets its old value. 409 if that cannot be: "
            "nothing was kept, it has been undone already, it is an undo itself, or what it updated is gone."
        ),
        params=(Param("correction", _CORRECTION_ID, "Its id, as the history tells.", required=True), _WHY, KEY),
        answer=_CORRECTED,
        errors=(403, 404, 409),
    ),
    plain(
        f"{STREAM}/changes",
        corrections.read_changes,
        "What happened to a stream, in that order",
        Answer("Some changes, and where to go on", {JSON: wire.Changes}),
        tag="Corrections",
        description=(
            "Inserts, late ones too, and corrections, each with the indices that there were at that time. Carried out "
            "one by one on a list, they make it equal the stream. An answer is bounded; with `more` there is more "
            "behind its `cursor` already. What has been deleted or updated since is told only to those who may write "
            "the data of the stream: others get such steps without `data`. A cursor that is not of the stream as it is "
            "now, as a backup was restored, "
            "is a 409: begin anew."
        ),
        params=(
            Param(
                "since",
                {"type": "string", "examples": ["17.42"]},
                "Only what happened behind this cursor: one that came with changes, or with datapoints of a "
                "subscription. Without it: from the beginning of the stream.",
            ),
            Param(
                "limit",
                {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": corrections.CHANGES_MAX,
                    "default": corrections.CHANGES_DEFAULT,
                },
                "At most about so many changes.",
            ),
            DOWNLINK,
        ),
        errors=(403, 404, 409),
    ),
)
