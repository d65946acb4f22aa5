"""Queries over several streams, which the server works out: merges and datasets."""

from __future__ import annotations

import operator
from os import PathLike
from typing import TYPE_CHECKING, Literal, Self, SupportsIndex, overload

from ..datapoints import DatapointArray, Time, to_timestamp
from ..errors import InvalidValue
from ..paths import parse_stream_path
from ..query import Range
from . import _calls
from ._stream import Stream

if TYPE_CHECKING:
    import pandas
    import polars

    from ._device import Device

__all__ = ["Dataset", "Merge", "Rows"]


class Merge:
    """Several streams as one, in order of time.

    Args:
        cdb: Who asks: a `ConnectorDB`, or a device of one.

    >>> for name in ("left", "right"):
    ...     db[name].create({"type": "integer"})
    >>> db["left"].insert_array([{"t": 1, "d": 10}, {"t": 3, "d": 30}])
    >>> db["right"].insert_array([{"t": 2, "d": 20}, {"t": 4, "d": 40}])
    >>> merge = Merge(db)
    >>> merge.add_stream("left")
    Merge('test/user/left')
    >>> merge.add_stream(db["right"], transform="if $ > 20")
    Merge('test/user/left', 'test/user/right')
    >>> merge.run().d()
    [10, 30, 40]
    """

    def __init__(self, cdb: Device) -> None:
        self._cdb = cdb
        self._parts: list[_calls.Fields] = []

    def add_stream(
        self,
        stream: Stream | str,
        t1: Time | None = None,
        t2: Time | None = None,
        limit: int | None = None,
        i1: int | None = None,
        i2: int | None = None,
        transform: str | None = None,
    ) -> Self:
        """Add a range of a stream; without bounds, all of it. Nothing is sent yet.

        Args:
            stream: A stream; or its path, ``user/device/stream``, with ``/downlink`` for the requests to its device; or
                the name of a stream of the device that asks.
            t1: Lower bound, exclusive: seconds since the Unix epoch, a ``datetime``, or text in ISO 8601.
            t2: Upper bound, inclusive. ``None`` or 0: to the last datapoint.
            limit: At most so many, counted after *transform*. ``None`` or 0: all.
            i1: First index. Negative: from the end.
            i2: Index after the last. Negative: from the end. ``None`` or 0: to the last datapoint.
            transform: PipeScript, run over the range.

        Raises:
            InvalidRange: bounds by index and by time at once.
            InvalidValue: a bound is no time.
            Invalid: *stream* is no path.
        """
        self._parts.append({"stream": _path(self._cdb, stream), **_range(t1, t2, limit, i1, i2, transform)})
        return self

    addStream = add_stream  # noqa: N815 - its name in 0.3

    def run(self) -> DatapointArray:
        """Return the datapoints. Of equal time stamps, the stream that was added first comes first.

        Raises:
            NotFound, PermissionDenied: a stream does not exist, or may not be read.
            ScriptError: a transform cannot be read, or fails on a datapoint.
            InvalidRange: a range by index does not lie in its stream.
            LimitReached: it takes longer than the server allows.
            Invalid: more than ten streams.
            TransportError: no answer, or it broke off, perhaps as a transform has failed. Asking again is safe.
        """
        return DatapointArray(_ask(self._cdb, "merge", self._parts))

    def download(self, path: str | PathLike[str], format: str | None = None) -> None:
        """Write the datapoints to the file *path*, in some format; see `Stream.download`."""
        _download(self._cdb, "merge", self._parts, path, format)

    def __repr__(self) -> str:
        return f"Merge({', '.join(repr(part['stream']) for part in self._parts)})"


class Dataset:
    """A table from several streams: for each of a series of times, what the streams were then.

    Either the times are those of the datapoints of a stream, whose values then are the column ``x``, or they go from
    *t1* in steps of *dt* up to but not including *t2*.

    Args:
        cdb: Who asks: a `ConnectorDB`, or a device of one.
        x: The stream whose datapoints make the rows; or a `Merge`. As in `add_stream`.
        t1: Lower bound. Of the datapoints of *x* it is exclusive; without *x* it is the first of the times.
        t2: Upper bound. Of the datapoints of *x* it is inclusive; without *x* it is exclusive.
        dt: Step in seconds, at least 0.001; instead of *x*.
        limit, i1, i2, transform: Of *x*, as in `Merge.add_stream`.
        posttransform: PipeScript, run over the finished rows: ``$['x']`` is a column there.

    Raises:
        InvalidValue: neither *x* nor *dt*, or both; or a bound is no time.
        InvalidRange: bounds by index and by time at once.
        Invalid: *x* is no path of a stream.

    >>> db["mood"].create({"type": "integer"})
    >>> db["mood"].insert_array([{"t": 100, "d": 7}, {"t": 200, "d": 3}])
    >>> db["steps"].create({"type": "integer"})
    >>> db["steps"].insert_array([{"t": t, "d": 10} for t in range(10, 200, 10)])
    >>> dataset = Dataset(db, x="mood")
    >>> dataset.add_stream("steps", "sum", colname="steps")
    Dataset('steps')
    >>> dataset.run()
    [{'t': 100.0, 'd': {'x': 7, 'steps': 100.0}}, {'t': 200.0, 'd': {'x': 3, 'steps': 90.0}}]
    """

    def __init__(
        self,
        cdb: Device,
        x: Stream | str | Merge | None = None,
        t1: Time | None = None,
        t2: Time | None = None,
        dt: float | None = None,
        limit: int | None = None,
        i1: int | None = None,
        i2: int | None = None,
        transform: str | None = None,
        posttransform: str | None = None,
    ) -> None:
        if (x is None) == (dt is None):
            raise InvalidValue("a dataset goes either by a stream (x) or by time (t1, t2, dt)")
        self._cdb = cdb
        self._columns: dict[str, _calls.Fields] = {}
        self._fields = _range(t1, t2, limit, i1, i2, transform)
        if x is not None:
            self._fields |= _source(cdb, x)
        if dt is not None:
            self._fields["dt"] = float(dt)
        if posttransform:
            self._fields["posttransform"] = posttransform

    def add_stream(
        self,
        stream: Stream | str | Merge,
        interpolator: str = "closest",
        t1: Time | None = None,
        t2: Time | None = None,
        dt: float | None = None,
        limit: int | None = None,
        i1: int | None = None,
        i2: int | None = None,
        transform: str | None = None,
        colname: str | None = None,
        *,
        allow_null: bool = False,
    ) -> Self:
        """Add a column. Nothing is sent yet.

        Args:
            stream: A stream, its path, or the name of a stream of the device that asks, as in `Merge.add_stream`; or a
                `Merge`, which then has the ranges and transforms, and needs a *colname*.
            interpolator: How the value at a time is found. ``closest``, ``before`` and ``after`` take that of a
                datapoint nearby; ``count``, ``sum`` and ``mean`` are of the datapoints since the row before. Anything
                else is PipeScript, run over the datapoints since the row before, of whose results the last one counts.
            t1, t2, limit, i1, i2, transform: Use just this range, as in `Merge.add_stream`. Without bounds, it begins
                ten datapoints before the *t1* of the dataset.
            dt: Has no meaning for a column; it is there as scripts for 0.3 may have it.
            colname: Name of the column. ``None``: the path of the stream.
            allow_null: Keep the rows for which this column has no value, with ``None``. Otherwise they are left out.

        Raises:
            InvalidRange: bounds by index and by time at once.
            InvalidValue: a bound is no time; there is a column of that name; or a `Merge` has no *colname*, or a range.
            Invalid: *stream* is no path of a stream.
        """
        column = {**_source(self._cdb, stream), **_range(t1, t2, limit, i1, i2, transform)}
        if isinstance(stream, Merge) and len(column) > 1:
            raise InvalidValue("a merge has its ranges and transforms with its streams: the column has none")
        name = column.get("stream") if colname is None else colname
        if name is None:
            raise InvalidValue("a column that is a merge needs a name: give a colname")
        if name in self._columns or (name == "x" and "dt" not in self._fields):
            raise InvalidValue(f"there is a column {name!r} already: give another colname")
        column["interpolator"] = interpolator
        if allow_null:
            column["allownil"] = True
        self._columns[name] = column
        return self

    addStream = add_stream  # noqa: N815 - its name in 0.3

    def run(self) -> Rows:
        """Return the rows: datapoints, each with a dict of the columns.

        Raises:
            Invalid: there are no columns, or too many rows; or the times do not go from *t1* up to *t2*.
            NotFound, PermissionDenied, ScriptError, InvalidRange, LimitReached, TransportError: as `Merge.run`.
        """
        rows = Rows(_ask(self._cdb, "dataset", self._body))
        rows.columns = [*self._columns] if "dt" in self._fields else ["x", *self._columns]
        return rows

    def download(self, path: str | PathLike[str], format: str | None = None) -> None:
        """Write the rows to the file *path*, in some format; see `Stream.download`.

        CSV, Arrow and Parquet have a column ``t`` and those of the dataset; with a *posttransform*, whose results may
        be anything, a column ``t`` and one ``d``.

        Raises:
            InvalidValue: a column of such a table would be called ``t``, as that of the times is.
        """
        _download(self._cdb, "dataset", self._body, path, format)

    @property
    def _body(self) -> _calls.Fields:
        return {**self._fields, "dataset": self._columns}

    def __repr__(self) -> str:
        return f"Dataset({', '.join(map(repr, self._columns))})"


class Rows(DatapointArray):
    """The rows of a dataset.

    Attributes:
        columns: The names of the columns.
    """

    columns: list[str]

    @overload
    def to_df(self, kind: Literal["pandas"] = "pandas") -> pandas.DataFrame: ...
    @overload
    def to_df(self, kind: Literal["polars"]) -> polars.DataFrame: ...

    def to_df(self, kind: Literal["pandas", "polars"] = "pandas") -> pandas.DataFrame | polars.DataFrame:
        """Return the rows as a table with the column ``t`` and those of the dataset.

        If a *posttransform* has made something else of the rows, it is as `DatapointArray.to_df`.

        Args:
            kind: ``"pandas"`` or ``"polars"``; it has to be installed (``pip install connectordb[pandas]``).

        Raises:
            ImportError: the library is not installed.
            InvalidValue: a column is called ``t``, as that of the times is.
        """
        from ..frames import to_frame, to_wide_frame

        if not all(isinstance(row["d"], dict) for row in self):
            return to_frame(self, kind)
        names = dict.fromkeys(name for row in self for name in row["d"]) if self else self.columns
        return to_wide_frame(self, list(names), kind)


def _ask(cdb: Device, kind: str, body: object) -> list[_calls.Point]:
    session = cdb._session
    return session.run(_calls.query(kind, body, wait_s=max(_calls.QUERY_S, session.timeout_s)))


def _download(cdb: Device, kind: str, body: object, path: str | PathLike[str], form: str | None) -> None:
    from ._download import download, format_of

    download(cdb._session, _calls.download_query(kind, format_of(path, form), body), path)


def _source(cdb: Device, stream: Stream | str | Merge) -> _calls.Fields:
    if isinstance(stream, Merge):
        return {"merge": list(stream._parts)}
    return {"stream": _path(cdb, stream)}


def _path(cdb: Device, stream: Stream | str) -> str:
    if isinstance(stream, Stream):
        return stream.path
    if not isinstance(stream, str):
        raise InvalidValue(f"a stream is a Stream, its path or its name, not {stream!r:.60}")
    if "/" not in stream:
        return cdb[stream].path
    user, device, name, downlink = parse_stream_path(stream)
    return f"{user}/{device}/{name}" + ("/downlink" if downlink else "")


def _range(
    t1: Time | None,
    t2: Time | None,
    limit: SupportsIndex | None,
    i1: SupportsIndex | None,
    i2: SupportsIndex | None,
    transform: str | None,
) -> _calls.Fields:
    """What is given, as it is sent. Bounds that go together with no others are refused."""
    fields: _calls.Fields = {}
    for name, time in (("t1", t1), ("t2", t2)):
        if time is not None:
            fields[name] = to_timestamp(time)
    for name, number in (("limit", limit), ("i1", i1), ("i2", i2)):
        if number is not None:
            fields[name] = operator.index(number)
    Range(**fields)
    if transform:
        fields["transform"] = transform
    return fields
