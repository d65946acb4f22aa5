"""Inserting datapoints into a stream: one, or many in several requests."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from os import urandom
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ConnectorDBError, InvalidValue, RequestError
from . import _calls
from ._encode import bodies, encode_points
from ._object import ConnectorObject
from ._progress import progress

if TYPE_CHECKING:
    import pandas
    import polars

__all__ = ["Insertable"]


class Insertable(ConnectorObject):
    """A stream into which datapoints are inserted."""

    def insert(self, data: Any) -> None:
        """Insert one value, with the time of this machine's clock, or that of the newest datapoint if this is later.

        On return the datapoint is on the server's disk. If the answer gets lost it is sent again, and stored once.

        Raises:
            SchemaMismatch: the value does not fit the schema.
            InvalidValue: it cannot be written as JSON; nothing has been sent.
            PermissionDenied: no right to write this stream.
            NotFound: no such stream.
            TransportError: no answer; it may or may not be stored.
        """
        self._insert(encode_points([{"t": time.time(), "d": data}]), _calls.RESTAMP, downlink=False)

    def append(self, data: Any) -> None:
        """The same as `insert`."""
        self.insert(data)

    def insert_array(
        self,
        datapoint_array: Iterable[Mapping[str, Any]] | Mapping[str, Any] | pandas.DataFrame | polars.DataFrame,
        restamp: bool = False,
        *,
        merge: bool = False,
        duplicates: Literal["keep", "skip"] = "keep",
        downlink: bool = False,
    ) -> None:
        """Insert many datapoints, in requests of at most 5000.

        On return all are on the server's disk. If an answer gets lost, the request is sent again and its datapoints are
        stored once. In a terminal, a long insert shows its progress.

        Args:
            datapoint_array: Datapoints ``{"t": ..., "d": ...}``, in order of time: a `DatapointArray`, a list, or any
                iterable, which may be longer than memory. ``t`` is in seconds since the Unix epoch, a ``datetime``, or
                text in ISO 8601; where it is missing it is the server's now. Or a table with the columns ``t`` and
                ``d``: a DataFrame of pandas or polars, or a dict of lists or numpy arrays.
            restamp: A datapoint older than the newest one of the stream gets the time stamp of that, instead of being
                refused.
            merge: Each datapoint goes where it belongs by its time, in whatever order they come.
            duplicates: With *merge*: ``"skip"`` leaves out datapoints of which the same ``t`` and an equal ``d`` is
                stored already (``1`` equals ``1.0``, and not ``True``), so the same data may be inserted again. Those
                that are twice among the given ones, next to each other or not far apart, stay so: datapoints of one
                time that follow one another come in one request, and may not be more than 5000.
            downlink: Insert into the substream of requests to the device.

        Raises:
            TimestampOrder: a datapoint is older than the one before it, or than the stream's newest.
            SchemaMismatch: a value does not fit the schema.
            InvalidValue: a datapoint cannot be written as JSON, NaN for example.
            PermissionDenied, NotFound, TransportError: see `insert`.

        When it fails, ``inserted`` of the error says how many datapoints, the first ones, are stored for certain. Each
        request is stored wholly or not at all. Where one datapoint is at fault, ``details["position"]`` of the error is
        its 0-based position among all that were given.
        """
        if restamp and merge:
            raise InvalidValue("either restamp or merge: a datapoint that keeps its place in time needs no new time")
        if duplicates not in ("keep", "skip"):
            raise ValueError(f"duplicates is {duplicates!r}; it has to be 'keep' or 'skip'")
        if duplicates == "skip" and not merge:
            raise InvalidValue("duplicates='skip' goes with merge=True: in order of time, nothing comes again")
        mode = _calls.MERGE if merge else _calls.RESTAMP if restamp else _calls.INSERT
        self._insert_many(datapoint_array, mode, downlink=downlink, skip=duplicates == "skip")

    def insert_df(
        self,
        df: pandas.DataFrame | pandas.Series[Any] | polars.DataFrame,
        restamp: bool = False,
        *,
        merge: bool = False,
        duplicates: Literal["keep", "skip"] = "keep",
        downlink: bool = False,
        missing: Literal["skip", "null"] = "skip",
    ) -> None:
        """Insert a table of pandas or polars, in requests of at most 5000 datapoints, as `insert_array` does.

        Args:
            df: A DataFrame. The times are its column ``t`` (times, or seconds since the Unix epoch), or in pandas its
                index, if that is one of times. Without a time zone they are local time. The values are its column
                ``d``, or its only other column. Or a Series of pandas with an index of times.
            restamp, merge, duplicates, downlink: As of `insert_array`. Without *merge*, the rows have to be in order of
                time.
            missing: A value that is missing (``None``, NaN, NaT, NA) makes no datapoint (``"skip"``), or one whose
                value is null (``"null"``).

        Raises:
            InvalidValue: there are no such columns; or a time is missing; or a value is no JSON, as Infinity.

        And as `insert_array`. To insert into several streams, give each its columns: ``df[["t", "humidity"]]``.

        >>> import pandas as pd
        >>> humidity = db["humidity"]
        >>> humidity.create({"type": "number"})
        >>> times = pd.date_range("2026-01-01", periods=3, freq="h", tz="UTC")
        >>> humidity.insert_df(pd.DataFrame({"humidity": [40.5, None, 42.0]}, index=times))
        >>> humidity[:].d()
        [40.5, 42.0]
        """
        from ..frames import from_frame

        points = from_frame(df, missing)
        self.insert_array(points, restamp, merge=merge, duplicates=duplicates, downlink=downlink)

    def _insert_many(
        self, datapoint_array: Any, mode: str, *, downlink: bool, history: bool = False, skip: bool = False
    ) -> None:
        """As `insert_array`. With *history*, requests among them are over, and move nothing."""
        points = _rows(datapoint_array)
        total = len(points) if isinstance(points, list) else None
        inserted = 0
        try:
            with progress(f"insert {self.path}", total) as advance:
                for n, body in bodies(points, whole_times=skip):
                    self._insert(body, mode, downlink=downlink, history=history, skip=skip)
                    inserted += n
                    advance(n)
        except BaseException as e:  # Ctrl-C too
            if isinstance(e, ConnectorDBError):
                e.inserted = inserted
            if inserted and isinstance(e, RequestError):
                _count_from(e, inserted)
            if inserted:
                e.add_note(f"The first {inserted} datapoints are stored.")
            raise

    def _insert(self, body: bytes, mode: str, *, downlink: bool, history: bool = False, skip: bool = False) -> None:
        key = urandom(16).hex()  # the same for each attempt: what is there already is not stored again
        call = _calls.insert(self.path, body, mode, downlink=downlink, key=key, history=history, skip=skip)
        self._session.run(call)


def _count_from(error: RequestError, before: int) -> None:
    """Let *error*, which tells of a datapoint of one request, tell where it is among all; *before* came before it."""
    position = error.details.get("position")
    if isinstance(position, int):
        error.details["position"] = position + before
        error.msg = error.msg.replace(f"datapoint {position}", f"datapoint {position + before}", 1)


def _rows(table: Any) -> Iterable[Any]:
    """The datapoints in whatever was given to insert."""
    if isinstance(table, list):
        return table
    if isinstance(table, str | bytes):
        raise InvalidValue("datapoints are a list of dicts {'t': seconds, 'd': value}, not a text")
    from ..frames import from_columns

    columns = from_columns(table)
    if columns is not None:
        return columns
    try:
        rows: Iterable[Any] = iter(table)
    except TypeError:
        shown = "None" if table is None else type(table).__name__
        raise InvalidValue(f"datapoints are a list of dicts {{'t': seconds, 'd': value}}, not {shown}") from None
    return rows
