"""The table of all calls."""

from __future__ import annotations

from typing import Any

from .. import wire
from ..core.reductions import STATS
from ..datapoint import Datapoint
from ..formats import FORMATS
from . import (
    auth,
    corrections,
    data,
    downlinks,
    feed,
    health,
    live,
    metadata,
    queries,
    setup,
    webapp,
    websocket,
)
from .bodies import TAKEN
from .params import DEFAULT_STATS
from .routing import Answer, Body, Handler, Param, Route

__all__ = ["ROUTES"]

API = wire.API
_USER = f"{API}/crud/{{user}}"
_DEVICE = f"{_USER}/{{device}}"
_STREAM = f"{_DEVICE}/{{stream}}"
_DATA = f"{_STREAM}/data"
_DOWNLINKS = f"{API}/downlink/{{user}}/{{device}}/{{stream}}"

_TEXT = "text/plain"
_JSON = "application/json"
_INT64 = {"type": "integer", "minimum": -(2**63) + 1, "maximum": 2**63 - 1}
_FLAG = {"type": "boolean", "default": False}


def _choice(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


def _text_answer(description: str, schema: dict[str, Any] | None = None) -> Answer:
    return Answer(description, {_TEXT: schema or {"type": "string"}})


_OK = _text_answer("`ok`", {"type": "string", "const": "ok"})

_PAGE = Answer("A file", {})

_DOWNLINK = Param("downlink", _FLAG, "Mean the substream of requests to the owner of the stream.")
_TRANSFORM = Param(
    "transform", {"type": "string"}, "A PipeScript to run over the datapoints; a limit counts what comes out."
)
_KEY = Param(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": wire.SOURCE_LENGTH_MAX, "pattern": "^[!-~]+$"},
    "Makes the request safe to repeat for an hour (a setting): with the same key and the same body it is carried out "
    "once, and has the same answer. For any other request to the stream the key is a 409: take a new one for each.",
    "header",
)
_FORMAT = Param(
    "format",
    _choice(*FORMATS),
    "What the answer is: "
    + ", ".join(f"{form.described} (`{form.name}`)" for form in FORMATS.values())
    + ". Wins over the header `Accept`; without both it is JSON. With `arrow` and `parquet`, which a server may lack "
    "(501), all errors come before the answer begins, and a very long one is a 413.",
)
_WHY = Param("why", {"type": "string", "maxLength": wire.WHY_LENGTH_MAX}, "The reason, for the history.")
_FORMAT_ERRORS = (406, 413, 501)
_OTHER_FORMATS: dict[str, Any] = {form.media_type: None for form in FORMATS.values() if form.media_type != _JSON}
_PUBLIC_ERRORS = (404,)
_READ_ERRORS = (404,)
_WRITE_ERRORS = (403, 404, 408, 413, 415)

_RANGE_PARAMS = (
    Param("i1", _INT64, "First index, inclusive. Negative: from the end."),
    Param("i2", _INT64, "Last index, exclusive. Negative: from the end. 0 or none: to the end."),
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
_DELETE_PARAMS = (
    *(
        bound._replace(
            description=bound.description.replace(" 0 or none: to the end.", " Left out: to the end; 0: a 400.")
        )
        for bound in _RANGE_PARAMS
        if bound.name != "limit"
    ),
    _WHY,
    Param("purge", _FLAG, "Keep nothing of them. This cannot be undone."),
    Param(
        "t",
        {"type": "number"},
        "The time stamp of the first of them: if the first has another, or there is none, nothing is deleted (409).",
    ),
    Param("was", {"type": "string"}, "The value of the first of them, as JSON, likewise."),
    _KEY,
)
_INSERT_PARAMS = (
    _DOWNLINK,
    Param(
        "history",
        _FLAG,
        "These datapoints tell what was, as when data is moved from another server: those of a downlink ask nothing "
        "of its device.",
    ),
    Param(
        "verdicts",
        _FLAG,
        "Store what can be stored, and answer with a report of what was refused and why. Otherwise it is all or "
        "nothing, and the answer is `ok`.",
    ),
    Param(
        "source",
        {"type": "string", "minLength": 1, "maxLength": wire.SOURCE_LENGTH_MAX},
        "Who numbers its uploads, with `first` and `last`: repeating the newest upload of a source writes nothing and "
        "gets the same answer; another one that overlaps it is a 409.",
    ),
    Param("first", {**_INT64, "minimum": 1}, "Number of the first datapoint of the upload."),
    Param("last", {**_INT64, "minimum": 1}, "Number of the last datapoint of the upload."),
    _KEY._replace(description=f"{_KEY.description} Has no effect beside `source`."),
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
_CUT_OFF = "A long answer comes in chunks; one that is cut off without its end is not complete."
_POINTS_ANSWER = Answer("Datapoints, oldest first", {_JSON: {"type": "array", "items": Datapoint}, **_OTHER_FORMATS})
_CORRECTION_ID = {"type": "integer", "minimum": 1, "maximum": 2**63 - 2, "examples": [41]}
_CORRECTED = Answer("What was done, as the history tells it", {_JSON: wire.Correction})
_POINTS = Body(
    {"anyOf": [{"type": "array", "items": Datapoint}, {"type": "null"}]},
    "An array of datapoints. Without `t`, or with 0, a datapoint gets the server's time. `o` is set by the server. "
    "By `Content-Type` it may also be NDJSON, CSV with a header, or an Arrow stream (not compressed, without "
    "dictionaries and nested columns); any other content type counts as JSON. Times have a zone, or are in seconds. "
    "`Content-Encoding: gzip` and `zstd` are understood.",
    [{"t": 1500000000.5, "d": 21.5}],
    tuple(form.media_type for form in TAKEN if form.media_type != _JSON),
)


def _insert(method: str, summary: str, description: str, *params: Param) -> Route:
    return Route(
        method=method,
        path=_DATA,
        handler=data.insert,
        tag="Datapoints",
        summary=summary,
        description=description,
        params=(*_INSERT_PARAMS, *params),
        body=_POINTS,
        answer=Answer("`ok`, or with `verdicts=true` a report", {_TEXT: _OK.types[_TEXT], _JSON: wire.InsertReport}),
        errors=(*_WRITE_ERRORS, 409, 501),
    )


def _object(kind: str, path: str, handlers: dict[str, Handler], q: Param | None, *more: Param) -> tuple[Route, ...]:
    """The four calls on a user, a device or a stream."""
    view = {"user": wire.User, "device": wire.Device, "stream": wire.Stream}[kind]
    wanted = {"user": wire.UserCreate, "device": wire.DeviceCreate, "stream": wire.StreamCreate}[kind]
    example = {
        "user": {"email": "alice@example.com", "password": "secret"},
        "device": {"nickname": "My phone"},
        "stream": {"schema": '{"type": "number"}'},
    }[kind]
    tag = f"{kind.capitalize()}s"
    listed: dict[str, Any] = {"anyOf": [view, {"type": "array", "items": {"anyOf": [wire.Device, wire.Stream]}}]}
    read = Route(
        method="GET",
        path=path,
        handler=handlers["GET"],
        tag=tag,
        summary=f"Read a {kind}" + (", or list what it has" if q else ""),
        description="Fields that the asker may not read are left out. What may not be seen is a 404, as if missing.",
        params=(q, *more) if q else (),
        answer=Answer(f"The {kind}" + (", or the list" if q else ""), {_JSON: listed if q else view}),
        errors=_READ_ERRORS,
    )
    create = Route(
        method="POST",
        path=path,
        handler=handlers["POST"],
        tag=tag,
        summary=f"Create a {kind}",
        description="All or nothing. `null` stands for `{}`.",
        body=Body({"anyOf": [wanted, {"type": "null"}]}, "", example),
        answer=Answer(f"The {kind} as its creator may see it", {_JSON: view}),
        errors=_WRITE_ERRORS,
    )
    update = Route(
        method="PUT",
        path=path,
        handler=handlers["PUT"],
        tag=tag,
        summary=f"Change a {kind}",
        description="The body has only the fields to change. All or nothing."
        + (' `{"apikey": ""}` makes a new random key; the old one stops working at once.' if kind == "device" else ""),
        body=Body({"$ref": f"#/components/schemas/{kind.capitalize()}Update"}, "", {"nickname": "New"}),
        answer=Answer(f"The {kind} as it is now", {_JSON: view}),
        errors=_WRITE_ERRORS,
    )
    delete = Route(
        method="DELETE",
        path=path,
        handler=handlers["DELETE"],
        tag=tag,
        summary=f"Delete a {kind}",
        description="With all that is below it, data included.",
        answer=_OK,
        errors=(403, 404),
    )
    return read, create, update, delete


def _plain(path: str, handler: Handler, summary: str, answer: Answer, *, tag: str, **more: Any) -> Route:
    return Route(method="GET", path=path, handler=handler, tag=tag, summary=summary, answer=answer, **more)


ROUTES: tuple[Route, ...] = (
    _plain(
        API,
        metadata.read_root,
        "Who am I, or how much is there",
        _text_answer("A path (`alice/phone`, or `nobody`), or a number"),
        tag="Server",
        params=(
            Param(
                "q",
                _choice("this", "countusers", "countdevices", "countstreams"),
                "`this`: path of the device that asks. The others: a number, for those whose role may count.",
                required=True,
            ),
        ),
        errors=(403,),
    ),
    _plain(
        f"{API}/crud",
        metadata.read_users,
        "List the users",
        Answer("Those that may be seen", {_JSON: {"type": "array", "items": wire.User}}),
        tag="Users",
        params=(Param("q", _choice("ls"), "What to list.", required=True),),
        errors=(404,),
    ),
    *_object(
        "user",
        _USER,
        {
            "GET": metadata.read_user,
            "POST": metadata.create_user,
            "PUT": metadata.update_user,
            "DELETE": metadata.delete_user,
        },
        Param("q", _choice("ls", "devices", "streams"), "List the devices (`ls` is the same), or the streams of all."),
        Param("public", _FLAG, "With q=streams: only those of public devices."),
        Param("downlink", _FLAG, "With q=streams: only downlinks."),
        Param("visible", _FLAG, "With q=streams: not those of invisible devices."),
        Param("newest", _FLAG, "With q=streams: also how many datapoints each has, and when the newest one is of."),
    ),
    *_object(
        "device",
        _DEVICE,
        {
            "GET": metadata.read_device,
            "POST": metadata.create_device,
            "PUT": metadata.update_device,
            "DELETE": metadata.delete_device,
        },
        Param("q", _choice("ls", "streams"), "List the streams; both mean the same."),
    ),
    *_object(
        "stream",
        _STREAM,
        {
            "GET": metadata.read_stream,
            "POST": metadata.create_stream,
            "PUT": metadata.update_stream,
            "DELETE": metadata.delete_stream,
        },
        None,
    ),
    _plain(
        _DATA,
        data.read,
        "Read datapoints, their number, or the index of a time",
        Answer(
            "Datapoints, oldest first; or a number",
            {
                _JSON: {"anyOf": [{"type": "array", "items": Datapoint}, {"type": "integer", "minimum": 0}]},
                _TEXT: {"type": "string", "pattern": "^[0-9]+$"},
                **_OTHER_FORMATS,
            },
        ),
        tag="Datapoints",
        description=(
            "A range goes either by index (`i1`, `i2`, like a Python slice) or by time (`t1 < t <= t2`, `limit`); one "
            "of `i1`, `i2`, `t1`, `t2` has to be given. `t` is left out where it is 0, and `d` where it is null. A "
            "long answer comes in chunks; one that is cut off without its end is not complete."
        ),
        params=(
            Param(
                "q", _choice("length", "time2index"), "The number of datapoints; or the index of the first after `t`."
            ),
            Param("t", {"type": "number"}, "With q=time2index: seconds since 1970."),
            *_RANGE_PARAMS,
            _DOWNLINK,
            _TRANSFORM,
            *_REDUCTION_PARAMS,
            _FORMAT,
        ),
        errors=(403, 404, *_FORMAT_ERRORS),
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
            {**_choice("keep", "skip"), "default": "keep"},
            "`skip`: leave out datapoints of which the same `t` and an equal `d` is stored already (`1` equals `1.0`, "
            "and not `true`). With `verdicts=true` the report says how many. Those that are twice in the request stay "
            "so.",
        ),
    ),
    Route(
        method="DELETE",
        path=_DATA,
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
        path=f"{_STREAM}/datapoint",
        handler=corrections.update,
        tag="Corrections",
        summary="Change the value of a datapoint",
        description="Its time stamp stays. What the value was before is kept for the history.",
        params=(
            Param(
                "i", {**_INT64, "examples": [12, -1]}, "Index of the datapoint. Negative: from the end.", required=True
            ),
            _KEY,
        ),
        body=Body(
            wire.PointUpdate,
            "With `t`, the time stamp that the datapoint has, nothing is changed if it has another (409); with `was`, "
            "the value that it has, likewise.",
            {"d": 71.5, "why": "a typing error"},
        ),
        answer=_CORRECTED,
        errors=(*_WRITE_ERRORS, 409),
    ),
    _plain(
        f"{_STREAM}/history",
        corrections.list_history,
        "List the corrections of a stream",
        Answer("The newest first", {_JSON: {"type": "array", "items": wire.Correction}}),
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
    _plain(
        f"{_STREAM}/history/{{correction}}",
        corrections.read_corrected,
        "What was there before a correction",
        _POINTS_ANSWER,
        tag="Corrections",
        description=f"For those who may write the data of the stream. 409 if nothing was kept. {_CUT_OFF}",
        params=(_FORMAT,),
        errors=(403, 404, 409, *_FORMAT_ERRORS),
    ),
    Route(
        method="POST",
        path=f"{_STREAM}/undo",
        handler=corrections.undo,
        tag="Corrections",
        summary="Take a correction back",
        description=(
            "What it deleted returns to where it was, what it updated gets its old value. 409 if that cannot be: "
            "nothing was kept, it has been undone already, it is an undo itself, or what it updated is gone."
        ),
        params=(Param("correction", _CORRECTION_ID, "Its id, as the history tells.", required=True), _WHY, _KEY),
        answer=_CORRECTED,
        errors=(403, 404, 409),
    ),
    _plain(
        f"{_STREAM}/changes",
        corrections.read_changes,
        "What happened to a stream, in that order",
        Answer("Some changes, and where to go on", {_JSON: wire.Changes}),
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
            _DOWNLINK,
        ),
        errors=(403, 404, 409),
    ),
    Route(
        method="POST",
        path=f"{API}/query/merge",
        handler=queries.merge,
        tag="Queries",
        summary="Several streams in order of time",
        description=(
            "Each with a range and a transform of its own. Of equal time stamps, the stream that stands first comes "
            "first. " + _CUT_OFF
        ),
        params=(_FORMAT,),
        body=Body(queries.MERGE_SCHEMA, "", [{"stream": "alice/phone/steps", "t1": 1500000000, "transform": "$ * 2"}]),
        answer=_POINTS_ANSWER,
        errors=(*_WRITE_ERRORS, 406, 501),
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
            "ten datapoints before `t1`. " + _CUT_OFF
        ),
        params=(_FORMAT,),
        body=Body(
            queries.DATASET_SCHEMA,
            "",
            {
                "stream": "alice/phone/mood",
                "t1": 1500000000,
                "dataset": {"steps": {"stream": "alice/phone/steps", "interpolator": "sum"}},
            },
        ),
        answer=_POINTS_ANSWER,
        errors=(*_WRITE_ERRORS, 406, 501),
    ),
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
        params=(_KEY,),
        body=Body(wire.DownlinkCreate, "`expires`: after so many seconds it is not to be done any more.", {"d": True}),
        answer=Answer("The downlink", {_JSON: wire.DownlinkView}),
        errors=(*_WRITE_ERRORS, 409),
    ),
    _plain(
        _DOWNLINKS,
        downlinks.list_downlinks,
        "List the downlinks of a stream",
        Answer("The newest ones, oldest first", {_JSON: {"type": "array", "items": wire.DownlinkView}}),
        tag="Downlinks",
        description="Who may not read the downlink of the stream gets those that it has sent itself.",
        params=(
            Param("state", _choice(*wire.DOWNLINK_STATES), "Only those in this state."),
            Param(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": downlinks.LIST_MAX, "default": downlinks.LIST_DEFAULT},
                "At most this many.",
            ),
        ),
        errors=(403, 404),
    ),
    _plain(
        f"{_DOWNLINKS}/{{downlink}}",
        downlinks.read_downlink,
        "What has become of a downlink",
        Answer("The downlink", {_JSON: wire.DownlinkView}),
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
        answer=Answer("The downlink as it is now", {_JSON: wire.DownlinkView}),
        errors=(*_WRITE_ERRORS, 409),
    ),
    _plain(
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
            Param("i1", _INT64, "First index. Negative: from the end."),
            Param("cursor", {"type": "string"}, "What was the id of the last event that was seen."),
            Param("Last-Event-ID", {"type": "string"}, "The same, with precedence over all others.", "header"),
            _DOWNLINK,
            _TRANSFORM,
        ),
        errors=(403, 404),
    ),
    _plain(
        f"{API}/feed/{{user}}/{{device}}/{{feed}}",
        feed.read_feed,
        "A stream as an Atom feed",
        Answer("The newest 500 datapoints, oldest first", {"application/xml": {"type": "string"}}),
        tag="Datapoints",
        params=(_TRANSFORM,),
        errors=(403, 404),
    ),
    _plain(
        f"{API}/login",
        auth.login,
        "Get a session cookie",
        _OK,
        tag="Session",
        description="For the web pages of this server: afterwards the cookie tells who asks. Nobody gets none.",
        params=(Param("remember", {"type": "boolean", "default": True}, "Keep it when the browser is closed."),),
        errors=(403,),
    ),
    _plain(
        f"{API}/setup",
        setup.read_setup,
        "Is there a user yet",
        Answer("Whether the first user is still to be made, and what that takes", {_JSON: wire.SetupState}),
        tag="Session",
        public=True,
    ),
    Route(
        method="POST",
        path=f"{API}/setup",
        handler=setup.create_first_user,
        tag="Session",
        summary="Create the first user",
        description=(
            "For a database without any, and once. From another machine it takes the key of the administrator, which "
            "lies in the folder of the database."
        ),
        body=Body(wire.Setup, "", {"name": "alice", "password": "secret"}),
        answer=_OK,
        errors=(403, 408, 413),
        public=True,
    ),
    _plain(
        f"{API}/logout",
        auth.logout,
        "Give the session cookie back",
        _OK,
        tag="Session",
        public=True,
        errors=(403,),
    ),
    _plain(
        f"{API}/meta/version",
        health.version,
        "Version of the server",
        _text_answer("As in `0.4.0`"),
        tag="Server",
        public=True,
    ),
    *(
        _plain(
            f"{API}/meta/{what}",
            handler,
            summary,
            Answer("What each does, with its arguments and examples, by name", {_JSON: {"type": "object"}}),
            tag="Server",
            public=True,
        )
        for what, handler, summary in (
            ("transforms", health.transforms, "The transforms of PipeScript"),
            ("interpolators", health.interpolators, "The interpolators of datasets"),
        )
    ),
    _plain(
        websocket.PATH,
        websocket.open_websocket,
        "Subscribe and insert, on a websocket",
        Answer("101", {}),
        tag="Datapoints",
        described=False,
    ),
    _plain(
        f"{API}/openapi.json",
        health.openapi,
        "This description",
        Answer("OpenAPI 3.1", {_JSON: {"type": "object"}}),
        tag="Server",
        public=True,
    ),
    _plain(
        f"{API}/docs",
        health.static,
        "A page to browse this description",
        Answer("A page", {"text/html": {"type": "string"}}),
        tag="Server",
        public=True,
    ),
    _plain(
        f"{API}/docs/{{file}}",
        health.static,
        "What belongs to that page",
        Answer("A file", {"text/html": None, "text/css": None, "text/javascript": None}),
        tag="Server",
        errors=_PUBLIC_ERRORS,
        public=True,
    ),
    *(
        _plain(path, webapp.page, "A page of the web app", _PAGE, tag="Server", public=True, described=False, page=True)
        for path in webapp.PAGES
    ),
    _plain(
        "/assets/{file}", webapp.asset, "A part of it", _PAGE, tag="Server", public=True, described=False, page=True
    ),
    *(
        _plain(
            f"/{name}", webapp.root_file, "A part of it", _PAGE, tag="Server", public=True, described=False, page=True
        )
        for name in webapp.FILES
    ),
    _plain("/healthz", health.alive, "Does the process answer", _OK, tag="Server", public=True),
    _plain(
        "/readyz",
        health.ready,
        "Can requests be answered",
        _OK,
        tag="Server",
        description="503 while the server shuts down, or if its database does not answer.",
        public=True,
    ),
    _plain(
        "/metrics",
        health.metrics,
        "Counters for Prometheus",
        _text_answer("In Prometheus' text format"),
        tag="Server",
        description=(
            "For programs on the server's own machine (not through a proxy), the local administrator, and those whose "
            "role may count users."
        ),
        errors=(403,),
    ),
)
