"""Corrections of a stream: what is stored is deleted and updated, and that is told, and undone."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any, NamedTuple, SupportsIndex, overload

from ..datapoints import DatapointArray, Time, to_timestamp
from ..errors import InvalidRange, InvalidValue
from ..query import Range
from ..wire import ChangeKind, Correction
from . import _calls
from ._encode import encode_object
from ._object import ConnectorObject

__all__ = ["Change", "Correctable"]

_NOT_GIVEN: Any = object()
_NONE = (None, _NOT_GIVEN)


class Change(NamedTuple):
    """A step from one state of a stream to the next.

    Attributes:
        kind: ``"inserted"``: *n* datapoints came to stand at index *i* and behind; ``"deleted"``: those at
            ``[i, i + n)`` went; ``"updated"``: those got other values. Indices are those that there were then.
        i, n: Which, and how many.
        data: The datapoints that were inserted, or are there since the update; ``None``: this deletes them, or they
            are not known any more, as a later step does.
        cursor: Stands for all up to here, to go on from another time; ``None``: a part of a step that is completed by
            a later one.
        correction: Id of the correction that did it; ``None``: it was an insert.
    """

    kind: ChangeKind
    i: int
    n: int
    data: DatapointArray | None
    cursor: str | None
    correction: int | None = None

    def apply(self, points: list[Any]) -> None:
        """Carry this step out on *points*, which are the datapoints of the state before it.

        A datapoint that is not known any more is ``None`` until the step that deletes it.
        """
        if self.kind == "inserted":
            points[self.i : self.i] = self._new
        elif self.kind == "updated":
            points[self.i : self.i + self.n] = self._new
        else:
            del points[self.i : self.i + self.n]

    @property
    def _new(self) -> list[Any]:
        return [None] * self.n if self.data is None else list(self.data)


class Correctable(ConnectorObject):
    """A stream whose datapoints can be corrected."""

    @overload
    def delete(self) -> None: ...
    @overload
    def delete(
        self,
        *,
        t1: Time | None = ...,
        t2: Time | None = ...,
        i1: int | None = ...,
        i2: int | None = ...,
        why: str = ...,
        purge: bool = ...,
    ) -> Correction: ...

    def delete(
        self,
        *,
        t1: Time | None = _NOT_GIVEN,
        t2: Time | None = _NOT_GIVEN,
        i1: int | None = _NOT_GIVEN,
        i2: int | None = _NOT_GIVEN,
        why: str = "",
        purge: bool = False,
    ) -> Correction | None:
        """Delete datapoints: those with ``t1 < t <= t2``, or those with an index in ``[i1, i2)``.

        Without any argument, delete the stream itself, with all data and its history. There is no way back from that.

        If the answer is lost it is sent again, and carried out once. All or nothing is deleted.

        Args:
            t1: Lower bound, exclusive: seconds since the Unix epoch, a ``datetime``, or text in ISO 8601. ``None``:
                from the first datapoint.
            t2: Upper bound, inclusive. ``None``: to the last datapoint.
            i1: First index. Negative: from the end, as it is when the server does it. ``None``: from the first one.
            i2: Index after the last. Negative: from the end. ``None``: to the last datapoint.
            why: The reason, for `history`.
            purge: Keep nothing of them. Else they are kept, and `undo` brings them back.

        Returns:
            The entry of `history`. If there was nothing in that range, there is none: its `id` and `n` are 0,
            and it counts as false.

        Raises:
            InvalidRange: no bound is given (all datapoints are ``i1=0``), or both kinds are, or the range does not lie
                in the stream.
            PermissionDenied: no right to write this stream, or only to append to it.
            NotFound: no such stream.
            TransportError: no answer; it may or may not have been carried out.

        >>> weight = db["weight"]
        >>> weight.create({"type": "number"})
        >>> weight.insert_array([{"t": 10, "d": 70.5}, {"t": 20, "d": 705}, {"t": 30, "d": 70.7}])
        >>> deleted = weight.delete(t1=15, t2=25, why="the cat")
        >>> weight[:].d()
        [70.5, 70.7]
        >>> weight.undo(deleted).kind
        'undone'
        >>> len(weight)
        3
        """
        if all(bound is _NOT_GIVEN for bound in (t1, t2, i1, i2)):
            if why or purge:
                raise InvalidRange("why and purge go with a range of datapoints; without one the stream is deleted")
            super().delete()
            return None
        span = Range(
            t1=None if t1 in _NONE else to_timestamp(t1),
            t2=None if t2 in _NONE else to_timestamp(t2),
            i1=None if i1 in _NONE else operator.index(i1),
            i2=None if i2 in _NONE else operator.index(i2),
        )
        if span == Range():
            raise InvalidRange("all bounds are None: to delete all datapoints say i1=0, to delete the stream nothing")
        return self._session.run(_calls.delete_points(self.path, span, why=_text(why), purge=purge))

    def update(self, i: SupportsIndex, d: Any, why: str = "", *, t: Time | None = None) -> Correction:
        """Give the datapoint at index *i* (negative: from the end) the value *d*. Its time stamp stays.

        If the answer is lost it is sent again, and carried out once.

        Args:
            i: Indices change when datapoints are merged in, or deleted.
            d: The value. It has to fit the schema.
            why: The reason, for `history`.
            t: The time stamp that the datapoint has; if it has another, another one is meant, and nothing is changed.

        Raises:
            InvalidRange: there is no datapoint at that index.
            Conflict: it has another time stamp than *t*.
            SchemaMismatch, InvalidValue: the value does not fit, or is no JSON.
            PermissionDenied, NotFound, TransportError: as `delete`.

        >>> weight = db["weight"]
        >>> weight.create({"type": "number"})
        >>> weight.insert_array([{"t": 10, "d": 70.5}, {"t": 20, "d": 705}])
        >>> updated = weight.update(-1, 70.5, why="a typing error")
        >>> weight[-1]
        {'t': 20.0, 'd': 70.5}
        >>> weight.corrected(updated)
        [{'t': 20.0, 'd': 705}]
        """
        fields: dict[str, Any] = {"d": d, "why": _text(why)}
        if t is not None:
            fields["t"] = to_timestamp(t)
        return self._session.run(_calls.update_point(self.path, operator.index(i), encode_object(fields)))

    def history(self, limit: int = 100, *, before: Correction | int | None = None) -> list[Correction]:
        """Return the corrections of this stream, newest first. Asking again is safe.

        Args:
            limit: At most so many, 1 to 1000.
            before: Only those before this one.

        Raises:
            NotFound, PermissionDenied: no such stream, or no right to read it.
        """
        number = None if before is None else _id(before)
        return self._session.run(_calls.history(self.path, limit=operator.index(limit), before=number))

    def corrected(self, correction: Correction | int) -> DatapointArray:
        """Return what was there before a correction, oldest first. Asking again is safe.

        Raises:
            InvalidValue: it deleted nothing.
            Conflict: nothing was kept of it, or it has been undone.
            NotFound: there is no such correction.
            PermissionDenied: no right to read this stream, and to write it.
        """
        found = self._session.run(_calls.corrected(self.path, _id(correction)))
        return DatapointArray(found)

    def undo(self, correction: Correction | int, why: str = "") -> Correction:
        """Take a correction back: what was deleted returns to where it was, what was updated gets its old value.

        Where others have been inserted since, what returns goes where it belongs in time. If the answer is lost it is
        sent again, and carried out once.

        Args:
            correction: An entry of `history`, or its id.
            why: The reason, for `history`.

        Returns:
            The entry of `history` that this makes. It cannot be undone itself.

        Raises:
            InvalidValue: it deleted nothing, so there is nothing to undo. Nothing has been sent.
            Conflict: nothing was kept, or it has been undone, or is an undo; or what it updated has been deleted.
            NotFound: there is no such correction.
            LimitReached: there is no room for what would return.
            PermissionDenied, TransportError: as `delete`.
        """
        return self._session.run(_calls.undo(self.path, _id(correction), why=_text(why)))

    def changes(self, since: str | None = None, *, downlink: bool = False) -> Iterator[Change]:
        """Yield what happened to this stream, in that order: inserts, late ones too, and corrections.

        Carried out one by one on a list, they make it equal the stream. They are read some at a time; the end is the
        present when it is reached. Asking again from the same cursor is safe.

        Args:
            since: A `Change.cursor`: go on behind it. Or the cursor of a subscription; if that was in the midst of
                catching up, some changes come that the subscription has got in part. ``None``: from the beginning.
            downlink: Those of the substream of requests to the device.

        Raises (while it is iterated over):
            Conflict: the cursor is not of the stream as it is now: it has been deleted and made anew, or the database
                was restored from a backup. Begin without one.
            InvalidValue: the stream is ephemeral.
            NotFound, PermissionDenied: no such stream, or no right to read it.

        >>> weight = db["weight"]
        >>> weight.create({"type": "number"})
        >>> weight.insert_array([{"t": 10, "d": 70.5}, {"t": 20, "d": 705}])
        >>> mirror = []
        >>> for change in weight.changes():
        ...     change.apply(mirror)
        ...     cursor = change.cursor
        >>> updated = weight.update(1, 70.5)
        >>> for change in weight.changes(since=cursor):
        ...     change.apply(mirror)
        >>> mirror
        [{'t': 10.0, 'd': 70.5}, {'t': 20.0, 'd': 70.5}]
        """
        if since is not None and not isinstance(since, str):
            raise TypeError(f"since is the cursor of a change, a text, or None; it is {since!r:.60}")
        return self._changes(since, downlink)

    def _changes(self, since: str | None, downlink: bool) -> Iterator[Change]:
        while True:
            page = self._session.run(_calls.changes(self.path, since, downlink=downlink))
            for found in page.changes:
                data = None if found.points is None else DatapointArray(found.points)
                yield Change(found.kind, found.i, found.n, data, found.cursor or None, found.correction)
            since = page.cursor
            if not page.more:
                return


def _id(correction: Correction | int) -> int:
    if not isinstance(correction, Correction):
        return operator.index(correction)
    if not correction:
        raise InvalidValue("nothing was deleted, so there is nothing to undo, and nothing was there before")
    return correction.id


def _text(why: str) -> str:
    if not isinstance(why, str):
        raise TypeError(f"why is a text; it is {why!r:.60}")
    return why
