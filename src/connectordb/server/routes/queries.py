"""The queries over several streams."""

from __future__ import annotations

from ...wire import API
from .. import queries
from ..routing import Body, Route
from .parts import CUT_OFF, FORMAT, POINTS_ANSWER, WRITE_ERRORS

__all__ = ["ROUTES"]

ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path=f"{API}/query/merge",
        handler=queries.merge,
        tag="Queries",
        summary="Several streams in order of time",
        description=(
            "Each with a range and a transform of its own. Of equal time stamps, the stream that stands first comes "
            "first. " + CUT_OFF
        ),
        params=(FORMAT,),
        body=Body(queries.MERGE_SCHEMA, "", [{"stream": "alice/phone/steps", "t1": 1500000000, "transform": "$ * 2"}]),
        answer=POINTS_ANSWER,
        errors=(*WRITE_ERRORS, 406, 501),
    ),
    Route(
        method="POST",
        path=f"{API}/query/dataset",
        handler=queries.dataset,
        tag="Queries",
        summary="A table from several streams",
        description=(
            "Each row is a datapoint with an object of the columns. There is a row for each datapoint of `stream` (or "
            "of `merge`), or for each step of `dt` seconds from `t1` on. A column that has no range of its own begins "
            "ten datapoints before `t1`. " + CUT_OFF
        ),
        params=(FORMAT,),
        body=Body(
            queries.DATASET_SCHEMA,
            "",
            {
                "stream": "alice/phone/mood",
                "t1": 1500000000,
                "dataset": {"steps": {"stream": "alice/phone/steps", "interpolator": "sum"}},
            },
        ),
        answer=POINTS_ANSWER,
        errors=(*WRITE_ERRORS, 406, 501),
    ),
)
