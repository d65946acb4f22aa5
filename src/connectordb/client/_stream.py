"""Streams."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, TypeVar, overload

from ..datapoint import TIME_MAX_S
from ..datapoints import DatapointArray, Time
from ..errors import InvalidRange, ServerError, TooLarge
from ..frames import check_kind
from ..query import Range
from . import _calls
from ._calls import Point
from ._corrections import Correctable
from ._downlink import DownlinkFlag
from ._feed import Start
from ._inserts import Insertable
from ._live import Live
from ._requests import RequestHandler, refuse_result
from ._subscription import Callback, DataHandler, Handler, OnError, OnNotice, Subscription
from ._table import Table, can_read
from ._wanted import INDEX_MAX, Wanted, array_of, index_of, range_of, reduction_of, wanted_of

if TYPE_CHECKING:
    import pandas
    import polars

    from ._device import Device
    from ._user import User

__all__ = ["Stream"]

T = TypeVar("T")

PAGE_POINTS = 10_000
"""How many datapoints `Stream.iter` holds at a time."""
_EMPTY = Range(t1=TIME_MAX_S)
"""No datapoint is that late."""
_JSON_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_SIMPLE_SCHEMAS: list[dict[str, str]] = [{}, *({"type": name} for name in _JSON_TYPES)]


class Stream(Insertable, Correctable):
    """A stream: datapoints in order of time, addressed by index or by time.

    >>> temperature = db["temperature"]
    >>> temperature.create({"type": "number"})
    >>> temperature.insert_array([{"t": 10, "d": 20.5}, {"t": 20, "d": 21.0}, {"t": 30, "d": 21.5}])
    >>> len(temperature)
    3
    >>> temperature[-1]
    {'t': 30.0, 'd': 21.5}
    >>> temperature[:2].d()
    [20.5, 21.0]
    >>> temperature(t1=10, t2=20)
    [{'t': 20.0, 'd': 21.0}]
    """

    def create(self, schema: str | Mapping[str, Any] = "{}", **kwargs: Any) -> None:
        """Create this stream. Not sent again if the answer is lost.

        Args:
            schema: JSON Schema (draft 4) which each value has to fit, as a dict or as JSON text. ``{}``: any value.
            **kwargs: Further fields: `nickname`, `description`, `icon`, `datatype`, `ephemeral`, `downlink`, `keep`.

        Raises:
            jsonschema.SchemaError: *schema* is no JSON Schema. Nothing has been sent.
            json.JSONDecodeError: *schema* is a text, but no JSON. Nothing has been sent.
            AlreadyExists: the name is taken.
            PermissionDenied: no right to create streams here.
            InvalidValue: a field may not hold that.

        >>> stream = db["mood"]
        >>> stream.create({"type": "integer", "minimum": 0, "maximum": 10}, datatype="rating.stars")
        >>> stream.insert(11)
        Traceback (most recent call last):
        ...
        connectordb.errors.SchemaMismatch: ...
        """
        self._create(_plain({**kwargs, "schema": _schema_text(schema)}))

    def set(self, property_dict: Mapping[str, Any]) -> None:
        """Change several fields at once; see `ConnectorObject.set`."""
        super().set(_plain(property_dict))

    def __len__(self) -> int:
        """Return the number of datapoints. The server is asked."""
        return self.length()

    def length(self, downlink: bool = False) -> int:
        """Return the number of datapoints, or with *downlink* that of the substream of requests to the device."""
        return self._session.run(_calls.length(self.path, downlink=downlink))

    @overload
    def __getitem__(self, getrange: SupportsIndex) -> Point: ...
    @overload
    def __getitem__(self, getrange: slice) -> DatapointArray: ...

    def __getitem__(self, getrange: SupportsIndex | slice) -> Point | DatapointArray:
        """Return the datapoint at an index, or those of a slice, as a list of all datapoints would.

        Negative indices count from the end. A step is allowed; all between is read nevertheless.

        Raises:
            IndexError: there is no datapoint at that index.
            NotFound, PermissionDenied: no such stream, or no right to read it.
            TransportError: no answer. Reading again is safe.
        """
        if isinstance(getrange, slice):
            return self._slice(getrange)
        i = operator.index(getrange)
        found = self._read(Range(i1=i, i2=i + 1 if i != -1 else None)) if abs(i) < INDEX_MAX else []
        if len(found) != 1:
            raise IndexError(f"'{self.path}' has no datapoint {i}")
        return found[0]

    def __call__(
        self,
        t1: Time | None = None,
        t2: Time | None = None,
        limit: int | None = None,
        i1: int | None = None,
        i2: int | None = None,
        downlink: bool = False,
        transform: str | None = None,
        *,
        points: int | None = None,
        every: str | None = None,
        stat: str | Iterable[str] | None = None,
        zone: str | None = None,
    ) -> DatapointArray:
        """Return the datapoints with ``t1 < t <= t2``, or those with an index in ``[i1, i2)``; oldest first.

        They come in one answer, and are all held in memory; `iter` is for more than that.

        Args:
            t1: Lower bound, exclusive: seconds since the Unix epoch, a ``datetime``, or text in ISO 8601. Without a
                time zone it is local time. ``None``: from the first datapoint.
            t2: Upper bound, inclusive. ``None``: to the last datapoint.
            limit: At most so many, of a range by time; counted after *transform*. ``None``: all.
            i1: First index. Negative: from the end. ``None``: from the first datapoint.
            i2: Index after the last. Negative: from the end. ``None``: to the last datapoint.
            downlink: Read the substream of requests to the device.
            transform: PipeScript, run by the server while it reads.
            points: Thinned for a plot, after *transform*: at most so many datapoints (5 to 100,000). Of numbers those
                between which a line looks most like the one between all, with the first, the last, the smallest and
                the largest. Of other values those where the value changes, as far as there is room.
            every: Statistics of windows of the calendar instead, after *transform*: ``"15m"``, ``"1h"``, ``"1d"``,
                ``"1w"``, ``"1mo"``. Each is a datapoint ``{"t": start of the window, "d": {"mean": ..., ...}}``.
                Windows without values are left out. `to_df` makes a column of each statistic.
            stat: With *every*: which of ``mean``, ``min``, ``max``, ``sum``, ``count``, ``first``, ``last`` and
                ``stddev`` (of a sample); ``None``: mean, min and max.
            zone: With *every*: the time zone whose calendar it is, as ``"Europe/Amsterdam"``; ``None``: UTC.

        Raises:
            InvalidRange: bounds by index and by time at once.
            InvalidValue: a bound is no time; or *points* and *every* at once.
            Invalid: there is no such window, statistic or zone; or values are no numbers, and would have to be.
            LimitReached: it takes longer than the server lets a query take.
            NotFound, PermissionDenied: no such stream, or no right to read it.
            ScriptError: *transform* cannot be read, or fails.
            TransportError: no answer. Reading again is safe.
        """
        wanted = wanted_of(t1, t2, limit, i1, i2, downlink, transform, points=points, every=every, stat=stat, zone=zone)
        return array_of(self._ask(_calls.points, wanted) or [], wanted)

    def iter(
        self,
        t1: Time | None = None,
        t2: Time | None = None,
        limit: int | None = None,
        i1: int | None = None,
        i2: int | None = None,
        downlink: bool = False,
        *,
        page: int = PAGE_POINTS,
    ) -> Iterator[Point]:
        """Yield the datapoints of a range, oldest first, reading *page* of them at a time.

        For any length: no more than a page is in memory, and after a lost connection reading goes on where it was. The
        end is fixed when reading begins; datapoints inserted later are not read. A datapoint that is meanwhile merged
        in before the place of reading shifts the others, and lets one come twice.

        Args:
            t1, t2, limit, i1, i2, downlink: The range, as in ``stream(...)``.
            page: How many datapoints to read at a time, at least 1.

        Raises:
            As ``stream(...)`` does, when the first datapoint is asked for, or later.
        """
        if page < 1:
            raise ValueError(f"page is {page}; it has to be at least 1")
        return self._pages(range_of(t1, t2, limit, i1, i2), downlink, page)

    def __iter__(self) -> Iterator[Point]:
        """Yield all datapoints, oldest first; see `iter`."""
        return self.iter()

    @overload
    def to_df(self, kind: Literal["pandas"] = "pandas", **span: Any) -> pandas.DataFrame: ...
    @overload
    def to_df(self, kind: Literal["polars"], **span: Any) -> polars.DataFrame: ...

    def to_df(self, kind: Literal["pandas", "polars"] = "pandas", **span: Any) -> pandas.DataFrame | polars.DataFrame:
        """Return the datapoints of a range as a table, as `DatapointArray.to_df` does.

        If pyarrow is installed here (``pip install connectordb[arrow]``) and on the server, they come in columns, which
        is many times faster. The table is the same.

        Args:
            kind: ``"pandas"`` or ``"polars"``; it has to be installed.
            **span: The range, and what to make of it, as in ``stream(...)``. None: the whole stream. With ``every``,
                each statistic is a column.

        Returns:
            One row for each datapoint, oldest first: ``t``, a time in UTC, ``d``, and ``o`` if somebody else than the
            device of the stream wrote one of them.

        Raises:
            ImportError: the library is not installed.

        And as ``stream(...)``.

        >>> weight = db["weight"]
        >>> weight.create({"type": "number"})
        >>> weight.insert_array([{"t": 86400 * day, "d": 80 - day} for day in range(1, 4)])
        >>> weight.to_df(t1="1970-01-02T12:00:00Z")
                                  t   d
        0 1970-01-03 00:00:00+00:00  78
        1 1970-01-04 00:00:00+00:00  77
        """
        check_kind(kind)
        if not can_read():
            return self(**span).to_df(kind)
        wanted = wanted_of(**span)
        try:
            found = self._ask(_calls.table, wanted)
        except TooLarge:  # for columns; it comes otherwise
            return self(**span).to_df(kind)
        return found.to_df(kind) if isinstance(found, Table) else array_of(found or [], wanted).to_df(kind)

    def download(
        self,
        path: str | PathLike[str],
        format: str | None = None,
        *,
        t1: Time | None = None,
        t2: Time | None = None,
        limit: int | None = None,
        i1: int | None = None,
        i2: int | None = None,
        downlink: bool = False,
        transform: str | None = None,
        points: int | None = None,
        every: str | None = None,
        stat: str | Iterable[str] | None = None,
        zone: str | None = None,
    ) -> None:
        """Write the datapoints of a range to the file *path*, which is replaced if it is there.

        They go to the disk as they come, so there may be more than memory holds. The file appears when it is complete.
        Only the user may read it who runs this.

        Args:
            path: The file.
            format: ``"json"``, ``"ndjson"``, ``"csv"``, ``"arrow"`` (an IPC stream) or ``"parquet"``. ``None``: as the
                name of the file tells, with ``.json``, ``.ndjson``, ``.jsonl``, ``.csv``, ``.arrows`` or ``.parquet``.
            t1, t2, limit, i1, i2, downlink, transform: The range, as in ``stream(...)``. None: the whole stream.
            points, every, stat, zone: What to make of it, as in ``stream(...)``.

        Raises:
            InvalidValue: there is no such format, or *path* tells none.
            Unsupported: the server lacks what that format needs.
            TooLarge: it is more than the server puts into one table; ``"csv"`` and ``"ndjson"`` have no such bound.
            OSError: the file cannot be written.

        And as ``stream(...)``.
        """
        from ._download import download, format_of

        form = format_of(path, format)
        span, reduction = range_of(t1, t2, limit, i1, i2), reduction_of(points, every, stat, zone)
        if not span.by_time:
            start, stop = self._bounds(span, downlink)
            span = Range(i1=start, i2=stop) if start < stop else _EMPTY
        elif span.limit == 0 or span.t2 == 0:  # on the wire, 0 is no bound
            span = _EMPTY
        call = _calls.download_points(
            self.path, form, span, downlink=downlink, transform=transform, reduction=reduction
        )
        download(self._session, call, path)

    def subscribe(
        self,
        callback: Callback,
        transform: str = "",
        downlink: bool = False,
        *,
        since: Time | None = None,
        i1: int | None = None,
        cursor: str | None = None,
        on_notice: OnNotice | None = None,
        on_error: OnError = "continue",
    ) -> Subscription:
        """Call *callback* for each insert into this stream from now on, or from an earlier place on.

        It returns when the server has confirmed that. The connection is made again whenever it is lost, and nothing is
        left out or comes twice; see `Subscription`. A subscription of this client to the same stream with the same
        *transform* and *downlink* ends: this one takes its place.

        Args:
            callback: Gets the path of the stream and a `DatapointArray`: what was inserted at once, in the order in
                which it came. It runs in a thread of its own, one call after the other.
            transform: PipeScript, run by the server on each insert. One that yields nothing calls nothing.
            downlink: Subscribe to the requests to the device. The path then ends in ``/downlink``.

                If this client is the device that owns the stream, the callback is to do what is asked for, and gets one
                request at a time: those that came while it was away first, unless they have expired. It returns
                ``True`` when it has done it, which writes the same value to the stream; or a list of datapoints, which
                are written instead, as what has really been done; or ``False`` or ``None`` if it has not. If it raises,
                the request is refused too. Each request is done once: also if it comes twice, after a lost connection.
                With several subscriptions of different *transform* the first that takes it on does it. One that no
                *transform* lets through waits until it expires.

                Anybody else just looks on.
            since: Begin with the datapoints after that time: seconds since the Unix epoch, a ``datetime``, or text in
                ISO 8601.
            i1: Begin with the datapoint at that index. Negative: from the end.
            cursor: Begin after what an earlier subscription had got; see `Subscription.cursor`.
            on_notice: Gets a `Notice` if the callback is too slow, if datapoints are missed, if some that were there
                before have been corrected, or if the subscription ends by itself. It runs in the thread of the
                callback.
            on_error: What an exception of the callback, which is logged, does: the subscription goes on
                (``"continue"``), or ends (``"end"``).

        Raises:
            NotFound, PermissionDenied: no such stream, or no right to read it.
            ScriptError: *transform* cannot be read.
            InvalidRange: more than one of *since*, *i1* and *cursor*.
            TransportError: the server cannot be reached now.

        >>> stream = db["mystream"]
        >>> stream.create({"type": "string"})
        >>> subscription = stream.subscribe(lambda path, data: print(path, data.d()))
        >>> subscription
        [Subscription:test/user/mystream]
        >>> subscription.close()
        """
        start = Start.of(since, i1, cursor)
        subscriptions = self._session.subscriptions
        handler: Handler
        requests = downlink and self._session.who == self.path.rpartition("/")[0]
        if requests:
            if start != Start():
                raise InvalidRange("requests to this device come until they are answered: they begin nowhere else")
            handler = RequestHandler(
                self._session, callback, subscriptions.memory, subscriptions.token, transformed=bool(transform)
            )
        else:
            handler = DataHandler(callback, refuse_result if downlink else None)
        return subscriptions.subscribe(
            self._feed_path(downlink),
            transform,
            handler,
            start=start,
            requests=requests,
            on_notice=on_notice,
            on_error=on_error,
        )

    def unsubscribe(self, transform: str = "", downlink: bool = False) -> None:
        """End the subscription with this *transform* and *downlink*; if there is none, nothing happens.

        See `Subscription.close`.
        """
        self._session.subscriptions.unsubscribe(self._feed_path(downlink), transform)

    def live(
        self,
        since: Time | None = None,
        *,
        i1: int | None = None,
        cursor: str | None = None,
        transform: str = "",
        downlink: bool = False,
        on_notice: OnNotice | None = None,
    ) -> Live:
        """Iterate over the datapoints from some place on, and then over those to come, as they come.

        Args:
            since: Begin with the datapoints after that time: seconds since the Unix epoch, a ``datetime``, or text in
                ISO 8601.
            i1: Begin with the datapoint at that index. Negative: from the end.
            cursor: Begin after what an earlier iteration has given; see `Live.cursor`. With nothing given, begin now.
            transform: PipeScript, run by the server on each insert.
            downlink: Those of the substream of requests to the device.
            on_notice: Gets a `Notice` if the iteration is too slow, if datapoints are missed, if some that were there
                before have been corrected, or if the transform has failed on some. It runs in the thread that
                iterates. By default such things are logged.

        Returns:
            An iterator that waits for the next datapoint; use it in a ``with`` block, or close it.

        Raises:
            NotFound, PermissionDenied: no such stream, or no right to read it.
            ScriptError: *transform* cannot be read.
            InvalidRange: more than one of *since*, *i1* and *cursor*.
            TransportError: the server cannot be reached now. Later, iteration waits until it can.

        >>> stream = db["mystream"]
        >>> stream.create({"type": "string"})
        >>> stream.insert("Hello")
        >>> with stream.live(i1=0) as live:
        ...     for dp in live:
        ...         print(dp["d"])
        ...         break
        Hello
        """
        begin = Start.of(since, i1, cursor)
        fields = {name: repr(value) for name, value in (("since", begin.since), ("i1", i1)) if value is not None}
        if cursor is not None:
            fields["cursor"] = cursor
        return Live(self._session, self.path, fields, transform, downlink, on_notice)

    def export(self, directory: str | PathLike[str]) -> None:
        """Write the stream with all data into the new folder *directory*.

        See `connectordb.client.folders` for the form. The folder appears when it is complete.

        Raises:
            FileExistsError: there is such a folder already.
        """
        from .folders import export_stream

        export_stream(self, directory)

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema which each value has to fit."""
        found: dict[str, Any] = json.loads(self.sschema)
        return found

    @schema.setter
    def schema(self, value: str | Mapping[str, Any]) -> None:
        self.set({"schema": _schema_text(value)})

    @property
    def sschema(self) -> str:
        """The JSON Schema as text."""
        return self._text("schema") or "{}"

    @property
    def datatype(self) -> str:
        """A hint for showing and entering data, such as ``rating.stars``."""
        return self._text("datatype")

    @datatype.setter
    def datatype(self, value: str) -> None:
        self.set({"datatype": value})

    @property
    def ephemeral(self) -> bool:
        """Whether datapoints are passed on to subscribers without being stored."""
        return self._flag("ephemeral")

    @ephemeral.setter
    def ephemeral(self, value: bool) -> None:
        self.set({"ephemeral": value})

    @property
    def keep(self) -> float:
        """How long datapoints are kept, in seconds; 0: for ever. It is a minute at least, and may be given as a
        ``timedelta`` too.

        The server looks every ten minutes, unless set up otherwise, and deletes what has an older time stamp, for good:
        from the stream, from the requests to its device, and from what `undo` could bring back. What is inserted with
        an older time stamp goes too.

        >>> from datetime import timedelta
        >>> camera = db["camera"]
        >>> camera.create({"type": "string"}, keep=timedelta(days=30))
        >>> camera.keep
        2592000.0
        >>> camera.keep = 0
        """
        value = self.data.get("keep", 0.0)  # left out where it is 0, and by servers that know nothing of it
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ServerError(f"the server says that keep of '{self.path}' is {value!r}, which is no number")
        return float(value)

    @keep.setter
    def keep(self, value: float | timedelta) -> None:
        self.set({"keep": value})

    @property
    def downlink(self) -> DownlinkFlag:
        """Whether others may send requests to the device through this stream. Called, it sends one: see `DownlinkFlag`.

        >>> lamp = db["lamp"]
        >>> lamp.create({"type": "boolean"}, downlink=True)
        >>> if lamp.downlink:
        ...     request = lamp.downlink(True)
        """
        return DownlinkFlag(self, lambda: self._flag("downlink"))

    @downlink.setter
    def downlink(self, value: bool) -> None:
        self.set({"downlink": value})

    @property
    def user(self) -> User:
        """The user who owns this stream. Nothing is sent."""
        from ._user import User

        return User(self._session, self.path.partition("/")[0])

    @property
    def device(self) -> Device:
        """The device that owns this stream. Nothing is sent."""
        from ._device import Device

        return Device(self._session, self.path.rpartition("/")[0])

    def _feed_path(self, downlink: bool) -> str:
        return f"{self.path}/downlink" if downlink else self.path

    def _read(self, span: Range, downlink: bool = False) -> DatapointArray:
        found = self._ask(_calls.points, Wanted(span, downlink))
        return DatapointArray(found or [])

    def _ask(self, ask: Callable[..., _calls.Call[T]], wanted: Wanted) -> T | None:
        """Return what the server answers; ``None``: there is nothing in the range, as a list has it."""
        span = wanted.span
        if span.limit == 0 or span.t2 == 0 or span.i2 == 0:  # on the wire, 0 is no bound
            return None
        if not span.by_time:
            i1, i2 = span.i1 or 0, span.i2
            if i2 is not None and i2 <= i1 and (i1 < 0) == (i2 < 0):
                return None
            span = Range(i1=i1, i2=i2)
        call = ask(self.path, span, downlink=wanted.downlink, transform=wanted.transform, reduction=wanted.reduction)
        try:
            return self._session.run(call)
        except InvalidRange:  # it lies beyond the end, or is empty
            if span.by_time:
                raise
            return None

    def _slice(self, wanted: slice) -> DatapointArray:
        if wanted.step is None or operator.index(wanted.step) == 1:
            return self._read(Range(i1=index_of(wanted.start) or 0, i2=index_of(wanted.stop)))
        indices = range(*wanted.indices(self.length()))
        if not indices:
            return DatapointArray()
        low, high = min(indices[0], indices[-1]), max(indices[0], indices[-1])
        step = abs(indices.step)
        chosen = DatapointArray(point for i, point in enumerate(self.iter(i1=low, i2=high + 1)) if i % step == 0)
        if indices.step < 0:
            chosen.reverse()
        return chosen

    def _pages(self, span: Range, downlink: bool, page: int) -> Iterator[Point]:
        i1, i2 = self._bounds(span, downlink)
        while i1 < i2:
            found = self._read(Range(i1=i1, i2=min(i1 + page, i2)), downlink)
            if not found:
                return
            yield from found
            i1 += len(found)

    def _bounds(self, span: Range, downlink: bool) -> tuple[int, int]:
        """The range as indices ``[i1, i2)`` of the stream as it is now."""
        n = self.length(downlink)
        if not span.by_time:
            found = range(n)[span.i1 : span.i2]
            return found.start, found.stop
        i1 = 0 if span.t1 is None else self._session.run(_calls.time_index(self.path, span.t1, downlink=downlink))
        i2 = n if span.t2 is None else self._session.run(_calls.time_index(self.path, span.t2, downlink=downlink))
        return i1, i2 if span.limit is None else min(i2, i1 + span.limit)


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields as they are sent: another stream's `downlink` is as good as a bool, and times are in seconds."""
    return {name: _plain_value(value) for name, value in fields.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, DownlinkFlag):
        return bool(value)
    return value.total_seconds() if isinstance(value, timedelta) else value


def _schema_text(schema: str | Mapping[str, Any]) -> str:
    """The JSON text of *schema*, which has been checked as far as it can be without the server."""
    decoded = json.loads(schema) if isinstance(schema, str) else schema
    if not isinstance(decoded, Mapping):
        from jsonschema import SchemaError

        raise SchemaError(f'the schema has to be an object like {{"type": "number"}}, not {decoded!r:.60}')
    decoded = dict(decoded)
    if decoded not in _SIMPLE_SCHEMAS:
        from jsonschema import Draft4Validator  # slow to import, and most schemas are simple

        Draft4Validator.check_schema(decoded)
    return schema if isinstance(schema, str) else json.dumps(decoded)
