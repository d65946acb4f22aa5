"""The calls that follow streams: events, a feed, and the websocket."""

from __future__ import annotations

from ...wire import API
from .. import feed, live, websocket
from ..routing import Answer, Param, Route
from .parts import DOWNLINK, INT64, TRANSFORM, plain

__all__ = ["ROUTES"]

ROUTES: tuple[Route, ...] = (
    plain(
        f"{API}/live/{{user}}/{{device}}/{{stream}}",
        live.follow,
        "Follow a stream",
        Answer("Events without an end", {"text/event-stream": {"type": "string"}}),
        tag="Datapoints",
        description=(
            "Server-sent events: each has an array of datapoints as its data, and a cursor as its id, from where the "
            "next request can go on (`Last-Event-ID`, as browsers do it by themselves). The first one, of the kind "
            "`start`, has a cursor only; there are also `lag`, `missed`, `reset` and `ended`. Without `since`, `i1` "
            "and `cursor`, it begins with what is written from now on."
        ),
        params=(
            Param("since", {"type": "string"}, "Seconds since 1970, or as 2026-01-31T12:00:00Z: what came after it."),
            Param("i1", INT64, "First index. Negative: from the end."),
            Param("cursor", {"type": "string"}, "What was the id of the last event that was seen."),
            Param("Last-Event-ID", {"type": "string"}, "The same, with precedence over all others.", "header"),
            DOWNLINK,
            TRANSFORM,
        ),
        errors=(403, 404),
    ),
    plain(
        f"{API}/feed/{{user}}/{{device}}/{{feed}}",
        feed.read_feed,
        "A stream as an Atom feed",
        Answer("The newest 500 datapoints, oldest first", {"application/xml": {"type": "string"}}),
        tag="Datapoints",
        params=(TRANSFORM,),
        errors=(403, 404),
    ),
    plain(
        websocket.PATH,
        websocket.open_websocket,
        "Subscribe and insert, on a websocket",
        Answer("101", {}),
        tag="Datapoints",
        described=False,
    ),
)
