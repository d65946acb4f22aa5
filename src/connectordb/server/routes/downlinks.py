"""The calls that ask devices to do something, and tell what has become of it."""

from __future__ import annotations

from ... import wire
from .. import downlinks
from ..routing import Answer, Body, Param, Route
from .parts import JSON, KEY, WRITE_ERRORS, choice, plain

__all__ = ["ROUTES"]

_DOWNLINKS = f"{wire.API}/downlink/{{user}}/{{device}}/{{stream}}"

ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path=_DOWNLINKS,
        handler=downlinks.send_downlink,
        tag="Downlinks",
        summary="Ask a device to do something",
        description=(
            "Inserts a datapoint into the downlink of the stream. It waits there until the device has it, `expires` "
            "is over, or another one with `supersede` takes its place."
        ),
        params=(KEY,),
        body=Body(wire.DownlinkCreate, "`expires`: after so many seconds it is not to be done any more.", {"d": True}),
        answer=Answer("The downlink", {JSON: wire.DownlinkView}),
        errors=(*WRITE_ERRORS, 409),
    ),
    plain(
        _DOWNLINKS,
        downlinks.list_downlinks,
        "List the downlinks of a stream",
        Answer("The newest ones, oldest first", {JSON: {"type": "array", "items": wire.DownlinkView}}),
        tag="Downlinks",
        description="Who may not read the downlink of the stream gets those that it has sent itself.",
        params=(
            Param("state", choice(*wire.DOWNLINK_STATES), "Only those in this state."),
            Param(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": downlinks.LIST_MAX, "default": downlinks.LIST_DEFAULT},
                "At most this many.",
            ),
        ),
        errors=(403, 404),
    ),
    plain(
        f"{_DOWNLINKS}/{{downlink}}",
        downlinks.read_downlink,
        "What has become of a downlink",
        Answer("The downlink", {JSON: wire.DownlinkView}),
        tag="Downlinks",
        description="For its sender, and for those who may read the downlink of the stream.",
        params=(
            Param(
                "wait",
                {"type": "number", "minimum": 0, "maximum": wire.DOWNLINK_WAIT_MAX_S},
                "Seconds: answer when its state is final, or after this time.",
            ),
        ),
        errors=(404,),
    ),
    Route(
        method="PUT",
        path=f"{_DOWNLINKS}/{{downlink}}",
        handler=downlinks.change_downlink,
        tag="Downlinks",
        summary="Say what has become of a downlink",
        description=(
            "For the device that owns the stream. `delivered`: the process that `by` names takes it on, and no other "
            "one may (409). `acknowledged`: `d`, or else what was asked for, is inserted into the stream by the same "
            "transaction. Repeating it changes nothing; another final state is a 409."
        ),
        body=Body(wire.DownlinkUpdate, "", {"state": "delivered", "by": "lamp-1"}),
        answer=Answer("The downlink as it is now", {JSON: wire.DownlinkView}),
        errors=(*WRITE_ERRORS, 409),
    ),
)
