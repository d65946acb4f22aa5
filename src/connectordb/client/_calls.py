"""What to send to the server, and how to read its answer. No input or output happens here.

Each function returns a `Call`; a session sends it. So a second session, be it an asynchronous one, needs nothing of
this again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import urandom
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypedDict, TypeVar

import msgspec

from ..errors import InvalidValue, RequestError, ServerError, from_wire
from ..paths import is_name
from ..query import Range
from ..wire import API, ChangeKind, Correction, InsertReport

if TYPE_CHECKING:
    from ._table import Table

__all__ = [
    "INSERT",
    "MERGE",
    "RESTAMP",
    "Call",
    "ChangePage",
    "Fields",
    "Point",
    "PointChange",
    "Reduction",
    "Upload",
    "answer_downlink",
    "changes",
    "corrected",
    "count",
    "create",
    "decode_points",
    "delete",
    "delete_points",
    "download_points",
    "download_query",
    "error_of",
    "history",
    "insert",
    "interpolators",
    "length",
    "list_children",
    "list_user_streams",
    "list_users",
    "live_target",
    "points",
    "query",
    "raw_points",
    "read",
    "read_downlink",
    "send_downlink",
    "table",
    "this",
    "time_index",
    "transforms",
    "undo",
    "update",
    "update_point",
    "version",
]

T = TypeVar("T")

Point = dict[str, Any]
"""A datapoint: ``{"t": seconds, "d": value}``, and ``"o"`` if it was not written by the stream's own device."""
Fields = dict[str, Any]
"""The fields of a user, a device or a stream."""

INSERT = "POST"
"""Insert in order of time; a point older than the stream's newest is refused."""
RESTAMP = "PUT"
"""Insert; a point older than the stream's newest gets the time stamp of that."""
MERGE = "PATCH"
"""Insert each point where it belongs by its time."""

QUERY_S = 60.0
"""So long a server works on a query at most, unless it is set up otherwise."""
CHANGES_AT_ONCE = 10_000
"""So many changes are asked for at once. Finding them costs the server more than sending them."""
DOWNLOAD_S = 600.0
"""So long it may take until a download begins: tables with typed columns are sent when all has been read."""


class Call(NamedTuple, Generic[T]):
    """One request, and how to read what comes back.

    Attributes:
        method: HTTP method.
        target: Path and query.
        read: Makes the result of the body of a good answer. Raises `ValueError` or `msgspec.MsgspecError` if the body
            is no such thing.
        body: What to send.
        headers: Besides those of the session.
        repeatable: Whether to send it again is harmless when the answer was lost: it has no effect, or the same one.
        wait_s: How long the server takes at most before it answers, by intention. Such a call uses a connection of its
            own.
    """

    method: str
    target: str
    read: Callable[[bytes], T]
    body: bytes | None = None
    headers: Mapping[str, str] = {}
    repeatable: bool = True
    wait_s: float | None = None


class Upload(NamedTuple):
    """The numbers that make an upload recognisable when it is repeated.

    Attributes:
        source: Who uploads: at most 64 characters.
        first: Number of the first datapoint in this request.
        last: Number of the last one; the numbers of one source only grow.
    """

    source: str
    first: int
    last: int


class PointChange(msgspec.Struct):
    """As `connectordb.wire.Change`. `points` is made of `data`, if there is any."""

    kind: ChangeKind
    i: int
    n: int
    data: msgspec.Raw = msgspec.Raw()
    cursor: str = ""
    correction: int | None = None
    points: list[Point] | None = None


class ChangePage(msgspec.Struct):
    """As `connectordb.wire.Changes`."""

    changes: list[PointChange]
    cursor: str
    more: bool


class Reduction(NamedTuple):
    """What to make of a range: fewer datapoints, or statistics of windows of time.

    Attributes:
        points: At most so many datapoints; ``None``: all.
        every: Length of a window; ``None``: there are none.
        stats: Names of statistics.
        zone: Time zone whose calendar it is.
    """

    points: int | None = None
    every: str | None = None
    stats: tuple[str, ...] = ()
    zone: str | None = None

    @property
    def query(self) -> str:
        """Parameters, each with ``&`` in front of it."""
        from urllib.parse import urlencode

        fields = {
            "points": self.points,
            "every": self.every,
            "stat": ",".join(self.stats) if self.stats else None,
            "zone": self.zone,
        }
        given = {name: value for name, value in fields.items() if value is not None}
        return f"&{urlencode(given)}" if given else ""


# -- the server ------------------------------------------------------------------------------------------------------


def this() -> Call[str]:
    """Ask for the path of the device that asks."""
    return Call("GET", f"{API}/?q=this", _read_path)


def count(what: str) -> Call[int]:
    """Ask for the number of ``users``, ``devices`` or ``streams``."""
    return Call("GET", f"{API}/?q=count{what}", _read_int)


def version() -> Call[str]:
    """Ask for the server's version."""
    return Call("GET", f"{API}/meta/version", _read_version)


def transforms() -> Call[Fields]:
    """Ask for the transforms that the server knows, by name."""
    return Call("GET", f"{API}/meta/transforms", _read_object)


def interpolators() -> Call[Fields]:
    """Ask for the interpolators that the server knows, by name."""
    return Call("GET", f"{API}/meta/interpolators", _read_object)


# -- users, devices, streams -----------------------------------------------------------------------------------------


def list_users() -> Call[list[Fields]]:
    """List the users that may be seen."""
    return Call("GET", f"{API}/crud/?q=ls", _read_objects)


def list_children(path: str) -> Call[list[Fields]]:
    """List the devices of a user, or the streams of a device."""
    return Call("GET", f"{API}/crud/{path}?q=ls", _read_objects)


def list_user_streams(user: str, *, public: bool, downlink: bool, visible: bool) -> Call[list[Fields]]:
    """List the streams of all devices of *user*, each with the field ``device``."""
    flags = f"public={_flag(public)}&downlink={_flag(downlink)}&visible={_flag(visible)}"
    return Call("GET", f"{API}/crud/{user}?q=streams&{flags}", _read_device_objects)


def read(path: str) -> Call[Fields]:
    """Read a user, a device or a stream."""
    return Call("GET", f"{API}/crud/{path}", _read_object)


def create(path: str, fields: Fields) -> Call[Fields]:
    """Create a user, a device or a stream. A second one would be refused, so it is not repeatable."""
    return Call("POST", f"{API}/crud/{path}", _read_object, _json(fields), _JSON, repeatable=False)


def update(path: str, fields: Fields) -> Call[Fields]:
    """Change *fields*. New credentials may be those of the asker, so such a change is not repeatable."""
    repeatable = fields.keys().isdisjoint(("password", "apikey", "email"))
    return Call("PUT", f"{API}/crud/{path}", _read_object, _json(fields), _JSON, repeatable)


def delete(path: str) -> Call[None]:
    """Delete a user, a device or a stream, with all below it."""
    return Call("DELETE", f"{API}/crud/{path}", _read_ok)


# -- datapoints ------------------------------------------------------------------------------------------------------


def length(path: str, *, downlink: bool = False) -> Call[int]:
    """Ask for the number of datapoints of a stream."""
    return Call("GET", f"{_data(path)}?q=length{_downlink(downlink)}", _read_int)


def time_index(path: str, t: float, *, downlink: bool = False) -> Call[int]:
    """Ask for the index of the first datapoint after *t*; past the end it is the length."""
    return Call("GET", f"{_data(path)}?q=time2index&t={_number(t)}{_downlink(downlink)}", _read_int)


def points(
    path: str,
    span: Range,
    *,
    downlink: bool = False,
    transform: str | None = None,
    reduction: Reduction | None = None,
) -> Call[list[Point]]:
    """Read the datapoints of a range, or what *reduction* makes of them."""
    target = _points_target(path, span, downlink, transform)
    if reduction is None:
        return Call("GET", target, decode_points)
    return Call("GET", target + reduction.query, decode_points, wait_s=QUERY_S)


def table(
    path: str,
    span: Range,
    *,
    downlink: bool = False,
    transform: str | None = None,
    reduction: Reduction | None = None,
) -> Call[Table | list[Point]]:
    """As `points`, but in columns, if the server has that."""
    from ._table import ACCEPT

    target = _points_target(path, span, downlink, transform) + ("" if reduction is None else reduction.query)
    return Call("GET", target, _read_table, headers={"Accept": ACCEPT}, wait_s=DOWNLOAD_S)


def download_points(
    path: str,
    form: str,
    span: Range,
    *,
    downlink: bool = False,
    transform: str | None = None,
    reduction: Reduction | None = None,
) -> Call[None]:
    """As `points`, in some format; the body is for who sends this."""
    query = "" if reduction is None else reduction.query
    target = f"{_points_target(path, span, downlink, transform)}{query}&format={form}"
    return Call("GET", target, _read_nothing, wait_s=DOWNLOAD_S)


def raw_points(path: str, span: Range, *, downlink: bool = False) -> Call[list[msgspec.Raw]]:
    """Read the datapoints of a range, each as the JSON text that the server sent."""
    return Call("GET", _points_target(path, span, downlink, None), _decode_raw)


def insert(
    path: str,
    body: bytes,
    mode: str = INSERT,
    *,
    downlink: bool = False,
    verdicts: bool = False,
    upload: Upload | None = None,
    key: str | None = None,
    history: bool = False,
    skip: bool = False,
) -> Call[InsertReport | None]:
    """Insert the datapoints of the JSON array *body*.

    Args:
        path: ``user/device/stream``.
        body: JSON.
        mode: `INSERT`, `RESTAMP` or `MERGE`.
        downlink: Into the substream of requests to the device.
        verdicts: Store what can be stored, and report the rest; then the result is a report, else ``None``.
        upload: Numbers by which a repetition is known.
        key: A word by which a repetition is known for an hour, at most 64 characters; instead of *upload*.
        history: They are old: those for a downlink move nothing any more.
        skip: With `MERGE`: leave out those that are stored already.

    With *upload* or *key* the call is repeatable: what was stored the first time is not stored again.
    """
    from urllib.parse import quote

    flags = [f"downlink={_flag(True)}"] if downlink else []
    if verdicts:
        flags.append(f"verdicts={_flag(True)}")
    if history:
        flags.append(f"history={_flag(True)}")
    if skip:
        flags.append("duplicates=skip")
    if upload is not None:
        flags.append(f"source={quote(upload.source, safe='')}&first={upload.first}&last={upload.last}")
    target = _data(path) + ("?" + "&".join(flags) if flags else "")
    headers = {**_JSON, "Idempotency-Key": key} if key is not None else _JSON
    repeatable = key is not None or upload is not None
    return Call(mode, target, _decode_report if verdicts else _read_ok, body, headers, repeatable)


# -- queries --------------------------------------------------------------------------------------------------------


def query(kind: str, body: Any, *, wait_s: float = QUERY_S) -> Call[list[Point]]:
    """Ask for what a ``merge`` or a ``dataset`` gives."""
    return Call("POST", f"{API}/query/{kind}", decode_points, _json(body), _JSON, wait_s=wait_s)


def download_query(kind: str, form: str, body: Any) -> Call[None]:
    """Ask for what a ``merge`` or a ``dataset`` gives in some format; the body is for who sends this."""
    target = f"{API}/query/{kind}?format={form}"
    return Call("POST", target, _read_nothing, _json(body), _JSON, wait_s=DOWNLOAD_S)


# -- corrections -----------------------------------------------------------------------------------------------------


def delete_points(path: str, span: Range, *, why: str, purge: bool) -> Call[Correction]:
    """Delete the datapoints of a range; `i2` and `t2` of 0 are for the server to refuse.

    This call and the others that correct something hold a word by which a repetition is known, so they are repeatable.
    """
    bounds = [(name, getattr(span, name)) for name in ("i1", "i2", "t1", "t2")]
    query = [f"{name}={_number(value)}" for name, value in bounds if value is not None]
    if purge:
        query.append(f"purge={_flag(True)}")
    return Call("DELETE", f"{_data(path)}?{'&'.join(query)}{_why(why)}", _read_correction, headers=_with_key())


def update_point(path: str, i: int, body: bytes) -> Call[Correction]:
    """Give the datapoint at index *i* another value; *body* is a `connectordb.wire.PointUpdate`."""
    headers = {**_JSON, **_with_key()}
    return Call("PUT", f"{API}/crud/{path}/datapoint?i={i}", _read_correction, body, headers)


def undo(path: str, number: int, *, why: str) -> Call[Correction]:
    """Take the correction of that id back."""
    return Call("POST", f"{API}/crud/{path}/undo?correction={number}{_why(why)}", _read_correction, headers=_with_key())


def history(path: str, *, limit: int, before: int | None) -> Call[list[Correction]]:
    """List the corrections of a stream, newest first."""
    query = "" if before is None else f"&before={before}"
    return Call("GET", f"{API}/crud/{path}/history?limit={limit}{query}", _decode_corrections)


def corrected(path: str, number: int) -> Call[list[Point]]:
    """Read what was there before the correction of that id."""
    return Call("GET", f"{API}/crud/{path}/history/{number}", decode_points)


def changes(path: str, since: str | None, *, downlink: bool) -> Call[ChangePage]:
    """Ask for what happened to a stream behind the cursor *since*, or from its beginning."""
    from urllib.parse import quote

    query = f"limit={CHANGES_AT_ONCE}"
    if since is not None:
        query += f"&since={quote(since, safe='')}"
    return Call("GET", f"{API}/crud/{path}/changes?{query}{_downlink(downlink)}", _read_changes)


# -- downlinks -------------------------------------------------------------------------------------------------------


def send_downlink(path: str, body: bytes) -> Call[Fields]:
    """Ask the device which owns the stream for something. The word by which a repetition is known is in the call."""
    headers = {**_JSON, **_with_key()}
    return Call("POST", f"{API}/downlink/{path}", _read_object, body, headers)


def read_downlink(path: str, number: int, *, wait_s: float | None = None) -> Call[Fields]:
    """Ask what has become of a downlink; with *wait_s*, when that is final, or that time has passed."""
    query = "" if wait_s is None else f"?wait={_number(wait_s)}"
    return Call("GET", f"{API}/downlink/{path}/{number}{query}", _read_object, wait_s=wait_s)


def answer_downlink(path: str, number: int, body: bytes) -> Call[Fields]:
    """Say what has become of a downlink to the device that asks."""
    return Call("PUT", f"{API}/downlink/{path}/{number}", _read_object, body, _JSON)


def live_target(path: str, start: Mapping[str, str], *, transform: str = "", downlink: bool = False) -> str:
    """The path and query of a stream's server-sent events. *start* says where they begin."""
    from urllib.parse import urlencode

    fields = dict(start)
    if transform:
        fields["transform"] = transform
    if downlink:
        fields["downlink"] = _flag(True)
    return f"{API}/live/{path}" + (f"?{urlencode(fields)}" if fields else "")


# -- answers ---------------------------------------------------------------------------------------------------------


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> RequestError | ServerError:
    """Return the error that an answer describes, in whatever form it does so."""
    if headers.get("content-type", "").startswith("text/html"):
        return from_wire(status, "a web page: is this the address of a ConnectorDB server?")
    try:
        return from_wire(status, msgspec.json.decode(body))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return from_wire(status, body.decode("utf-8", "replace").strip())


class _WirePoint(TypedDict, total=False):
    t: float
    d: Any
    o: str


_JSON = {"Content-Type": "application/json"}
_read_object: Callable[[bytes], Fields] = msgspec.json.Decoder(dict[str, Any]).decode
_decode_objects = msgspec.json.Decoder(list[dict[str, Any]]).decode
_decode_points = msgspec.json.Decoder(list[_WirePoint]).decode
_decode_raw: Callable[[bytes], list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_report: Callable[[bytes], InsertReport] = msgspec.json.Decoder(InsertReport).decode
_read_correction: Callable[[bytes], Correction] = msgspec.json.Decoder(Correction).decode
_decode_corrections: Callable[[bytes], list[Correction]] = msgspec.json.Decoder(list[Correction]).decode
_decode_changes: Callable[[bytes], ChangePage] = msgspec.json.Decoder(ChangePage).decode


def _json(fields: Any) -> bytes:
    try:
        return msgspec.json.encode(fields)
    except UnicodeEncodeError:  # which would show a password
        raise InvalidValue("a text is not valid Unicode (it has half of a surrogate pair)") from None
    except (TypeError, ValueError, RecursionError) as e:
        raise InvalidValue(f"a field cannot be sent as JSON: {e}") from None


def _read_objects(body: bytes) -> list[Fields]:
    found = _decode_objects(body)
    if not all(isinstance(fields.get("name"), str) for fields in found):
        raise ValueError("one of the things in the list has no name")
    return found


def _read_device_objects(body: bytes) -> list[Fields]:
    found = _read_objects(body)
    if not all(isinstance(fields.get("device"), str) for fields in found):
        raise ValueError("one of the streams in the list has no device")
    return found


def decode_points(body: bytes | memoryview) -> list[Point]:
    """Return the datapoints in a JSON array. Raises `msgspec.MsgspecError` or `ValueError`."""
    found: list[Any] = _decode_points(body)
    for point in found:  # the wire leaves out a time stamp of 0, and null
        if "d" not in point:
            point["d"] = None
        if "t" not in point:
            point["t"] = 0.0
    return found


def _read_changes(body: bytes) -> ChangePage:
    page = _decode_changes(body)
    for change in page.changes:
        data = memoryview(change.data)
        if len(data):
            change.points = decode_points(data)
            if len(change.points) != change.n:
                raise ValueError("a change has another number of datapoints than it says")
    return page


def _read_table(body: bytes) -> Table | list[Point]:
    from ._table import read

    found = read(body)
    return decode_points(body) if found is None else found


def _read_version(body: bytes) -> str:
    text = body.decode("utf-8").strip()
    if not 0 < len(text) <= 100 or not all(c.isalnum() or c in ".-+_ " for c in text):
        raise ValueError("it is no version")
    return text


def _read_path(body: bytes) -> str:
    path = body.decode("utf-8").strip()
    parts = path.split("/")
    if len(parts) > 2 or not all(map(is_name, parts)):
        raise ValueError("it is no path of a device")
    return path


def _read_int(body: bytes) -> int:
    text = body.strip()
    if not text.isdigit() or len(text) > 20:
        raise ValueError("it is no count")
    return int(text)


def _read_ok(body: bytes) -> None:
    # Anything else, such as the login page of a hotel's network, is no receipt.
    if body.strip() != b"ok":
        raise ValueError("it is not 'ok'")


# -- requests --------------------------------------------------------------------------------------------------------


def _read_nothing(body: bytes) -> None:
    pass


def _data(path: str) -> str:
    return f"{API}/crud/{path}/data"


def _points_target(path: str, span: Range, downlink: bool, transform: str | None) -> str:
    if span.by_time:
        query = f"t1={_number(span.t1 or 0.0)}"
        if span.t2 is not None:
            query += f"&t2={_number(span.t2)}"
        if span.limit is not None:
            query += f"&limit={span.limit}"
    else:
        query = f"i1={span.i1 or 0}&i2={span.i2 or 0}"  # an i2 of 0 is the end, on the wire
    if transform:
        from urllib.parse import quote

        try:
            query += f"&transform={quote(transform, safe='')}"
        except UnicodeEncodeError:
            raise InvalidValue("the transform is not valid Unicode (it has half of a surrogate pair)") from None
    return f"{_data(path)}?{query}{_downlink(downlink)}"


def _with_key() -> dict[str, str]:
    return {"Idempotency-Key": urandom(16).hex()}


def _why(why: str) -> str:
    from urllib.parse import quote

    try:
        return f"&why={quote(why, safe='')}" if why else ""
    except UnicodeEncodeError:
        raise InvalidValue("the reason is not valid Unicode (it has half of a surrogate pair)") from None


def _downlink(downlink: bool) -> str:
    return f"&downlink={_flag(True)}" if downlink else ""


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _number(t: float) -> str:
    return repr(t).replace("+", "")  # a plus sign is a blank in a query
