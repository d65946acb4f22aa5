"""The rules for corrections: who may change what is stored, the ledger of it, and the changes of a stream in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import msgspec

from .. import wire
from ..block import Block
from ..datapoint import Datapoint
from ..errors import Conflict, Invalid, InvalidRange, InvalidValue, NotFound, PermissionDenied
from ..query import Range
from ..store.base import Transaction
from ..store.records import Change, Correction, CorrectionKind, Cursor, Mode, Substream
from .actor import Actor
from .cursors import format_cursor, parse_cursor
from .data import DataRules, UploadRequest, owns, receipt_of
from .directory import Target
from .permissions import Access
from .working import time_limit

__all__ = ["CHANGES_BYTES", "ChangePage", "CorrectionRules"]

CHANGES_BYTES = 1024 * 1024
"""When the changes of a page are about this long, in bytes of JSON, no more are read for it."""
CHANGE_BYTES = 100
"""Of a change besides its datapoints."""

Path = tuple[str, str, str]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(wire.Correction).decode


class ChangePage(NamedTuple):
    """Changes of a stream, in the order in which they were made.

    Attributes:
        changes: Each with the cursor behind it; empty where it is a part of a step that is completed by a later one.
        cursor: Where the next page begins.
        more: There is something behind it already.
    """

    changes: list[tuple[Change, str]]
    cursor: str
    more: bool


class _Corrected(NamedTuple):
    """What the transaction of a correction did.

    Attributes:
        view: For who corrects; without an id if nothing was there to be corrected.
        before, end: The states of the stream before it and with it; equal if nothing was done now.
    """

    view: wire.Correction
    before: int = 0
    end: int = 0


class CorrectionRules(DataRules):
    """Corrections: deleting and updating what is stored, undoing that, and telling of it.

    All raise `NotFound` (404) for a stream that does not exist or may not be seen. The downlink of a stream is not
    corrected: what was asked of a device is a record.
    """

    async def delete_points(
        self,
        actor: Actor,
        path: Path,
        wanted: Range,
        *,
        why: str = "",
        purge: bool = False,
        t: float | None = None,
        was: bytes | None = None,
        upload: UploadRequest | None = None,
    ) -> wire.Correction:
        """Take the datapoints of the range *wanted* out of the stream.

        The range is looked up by the same transaction, so negative indices count from the end as it is then.

        Args:
            why: For the ledger.
            purge: Keep nothing of them, nor of the values that they had before: it cannot be undone.
            t, was: The time stamp and the value (JSON text) of the first of them, so that it is known to be the one
                that is meant, wherever others have come or gone.
            upload: Makes it safe to repeat: a repetition writes nothing and returns the same.

        Returns:
            The entry of the ledger. If the range is empty there is none, and `id` and `n` are 0.

        Raises:
            InvalidRange: *wanted* has no bound, or a limit, or does not lie in the stream.
            Conflict: with *t* or *was*: the first datapoint is not that one, or there is none.
            PermissionDenied, UploadConflict, Unavailable.
        """
        target = self._correctable(actor, path)
        _check_why(why)
        if wanted.limit is not None:
            raise InvalidRange("what is deleted goes from one bound to another, without a limit")
        if wanted.t1 is not None and wanted.t2 is not None and wanted.t2 < wanted.t1:
            raise InvalidRange(
                f"the range ends at t2 = {wanted.t2!r}, before it begins: t1 = {wanted.t1!r}", status=403
            )
        if wanted == Range():
            raise InvalidRange("which datapoints are to be deleted? All of them are i1=0")

        def work(tx: Transaction) -> Correction | None:
            place = target.stream.id, Substream.MAIN
            i1, i2 = wanted.indices(tx.head(*place).n, partial(tx.index_at, *place))
            if i1 >= i2:
                if t is not None or was is not None:
                    raise Conflict("there is no datapoint in this range: what was there has moved, or has gone")
                return None
            _expect_value(tx, target, i1, was)
            by = actor.signature
            correction = tx.delete_points(*place, i1, i2, by=by, why=why, keep=not purge)
            _expect_time(correction, t)
            return correction

        return await self._correct(actor, target, work, why, upload)

    async def update_point(
        self,
        actor: Actor,
        path: Path,
        i: int,
        update: wire.PointUpdate,
        *,
        upload: UploadRequest | None = None,
    ) -> wire.Correction:
        """Give the datapoint at index *i* (negative: from the end) another value.

        Args:
            update: The value, why, and perhaps the time stamp and the value that the datapoint is expected to have.
            upload: As of `delete_points`.

        Raises:
            InvalidRange: there is no such datapoint.
            Conflict: it has another time stamp, or another value.
            SchemaMismatch, PermissionDenied, UploadConflict, Unavailable.
        """
        target = self._correctable(actor, path)
        _check_why(update.why)
        self._check([Datapoint(self.clock(), update.d)], target, Mode.MERGE, verdicts=False)
        try:
            d = _encode(update.d)
            was = None if update.was is msgspec.UNSET else _encode(update.was)
        except RecursionError:
            raise InvalidValue("the value is nested too deeply") from None

        def work(tx: Transaction) -> Correction:
            n = tx.head(target.stream.id, Substream.MAIN).n
            at = i if i >= 0 else n + i
            if not 0 <= at < n:
                raise InvalidRange(f"there is no datapoint {i}: the stream has {n}", status=403)
            _expect_value(tx, target, at, was)
            by = actor.signature
            correction = tx.update_point(target.stream.id, Substream.MAIN, at, d, by=by, why=update.why)
            _expect_time(correction, update.t)
            return correction

        return await self._correct(actor, target, work, update.why, upload)

    async def undo(
        self, actor: Actor, path: Path, correction_id: int, *, why: str = "", upload: UploadRequest | None = None
    ) -> wire.Correction:
        """Take a correction back. Raises `Conflict` if that cannot be; `NotFound`, `LimitReached` and as the others."""
        target = self._correctable(actor, path)
        _check_why(why)

        def work(tx: Transaction) -> Correction:
            correction = tx.undo(target.stream.id, Substream.MAIN, correction_id, by=actor.signature, why=why)
            self._check_sizes(tx, target)  # what was deleted takes its room again
            return correction

        return await self._correct(actor, target, work, why, upload)

    async def history(
        self, actor: Actor, path: Path, *, limit: int, before: int | None = None
    ) -> list[wire.Correction]:
        """Return the ledger of the stream, newest first: at most *limit* entries, with ids below *before*.

        For all who may read the stream. Raises `PermissionDenied`.
        """
        target, _ = self._legible(actor, path)
        find = partial(self.store.corrections, target.stream.id, Substream.MAIN, before=before, limit=limit)
        found = await asyncio.get_running_loop().run_in_executor(self.reading, find)
        return [_view(correction) for correction in found]

    async def corrected(self, actor: Actor, path: Path, correction_id: int) -> AsyncIterator[Block]:
        """Yield what was there before a correction, in order; for those who may read the stream and write its data.

        Raises (by the first step):
            Conflict: nothing was kept of it, or it has been undone.
            NotFound: there is no such correction.
            PermissionDenied.
        """
        target, access = self._legible(actor, path)
        if not access.may_correct:  # what was taken from those who only read is not for them
            raise PermissionDenied(f"only who may write the data of '{'/'.join(path)}' sees what was there before")
        stream_id = target.stream.id
        find = partial(self.store.corrections, stream_id, Substream.MAIN, before=correction_id + 1, limit=1)
        found = await asyncio.get_running_loop().run_in_executor(self.reading, find)
        if not found or found[0].id != correction_id:
            raise NotFound(f"'{'/'.join(path)}' has no correction {correction_id}")
        if found[0].undone is not None:
            raise Conflict(f"the correction {correction_id} was undone: what was there before is in the stream again")
        if not found[0].kept:
            raise Conflict(f"nothing was kept of what was there before the correction {correction_id}")
        async for block in self._stored(self.store.corrected(stream_id, Substream.MAIN, correction_id)):
            yield block

    async def changes(
        self, actor: Actor, path: Path, since: str | None = None, *, limit: int, downlink: bool = False
    ) -> ChangePage:
        """Return what happened to the stream behind the cursor *since* (``None``: from its beginning), in that order.

        What has been deleted since is told only to those for whom `corrected` is.

        Args:
            since: One of `ChangePage`, or one that a subscriber has been given; from one in the midst of catching up,
                it begins with all that may not have been seen.
            limit: At most so many.
            downlink: Those of the downlink substream.

        Raises:
            Conflict: the cursor is not of the stream as it is now: that was made anew, or restored from a backup.
            InvalidValue: the stream is ephemeral.
            Invalid: *since* is no cursor.
            LimitReached: it takes longer than `query_s`.
            PermissionDenied.
        """
        target, access = self._legible(actor, path, downlink=downlink)
        stream_id = target.stream.id
        if target.stream.ephemeral:
            raise InvalidValue(f"'{'/'.join(path)}' is ephemeral: it stores nothing, so nobody knows what came")
        state = 0
        if since is not None:
            of, cursor = parse_cursor(since)
            if of != stream_id or not isinstance(cursor, Cursor):
                raise Conflict(
                    "the cursor is of another stream, or of this one before it was deleted and made anew, or when it "
                    "was ephemeral: begin without one"
                )
            state = cursor.base
        substream = Substream.DOWNLINK if downlink else Substream.MAIN

        def read() -> ChangePage:
            check = time_limit(self.settings.limits.query_s)
            found = self.store.changes_after(stream_id, substream, state, removed=access.may_correct, check=check)
            return _page(stream_id, found, state, limit)

        try:
            return await self.workshop.run(read)
        except InvalidRange:
            raise Conflict(
                "the cursor is ahead of the stream, as that was restored from a backup: begin without one"
            ) from None

    async def _correct(
        self,
        actor: Actor,
        target: Target,
        work: Callable[[Transaction], Correction | None],
        why: str,
        upload: UploadRequest | None,
    ) -> wire.Correction:
        """Commit *work*, tell those who follow the stream, and return what it did; if it is a repetition, what it did
        the first time."""
        receipt = receipt_of(upload, "" if owns(actor, target) else actor.path, self.clock())
        stream_id = target.stream.id

        def correct(tx: Transaction) -> _Corrected:
            if receipt is not None:
                reply = tx.find_reply(stream_id, Substream.MAIN, receipt)
                if reply is not None:
                    return _Corrected(_decode(reply))
            before = tx.head(stream_id, Substream.MAIN).arrivals
            correction = work(tx)
            end = tx.head(stream_id, Substream.MAIN).arrivals
            if correction is None:
                view = wire.Correction(kind="deleted", at=self.clock(), by=actor.signature, why=why)
            else:
                view = _view(correction)
            if receipt is not None:
                tx.append(stream_id, Substream.MAIN, None, Mode.MERGE, receipt._replace(reply=_encode(view)))
            return _Corrected(view, before, end)

        waiter: asyncio.Future[wire.Correction] = asyncio.get_running_loop().create_future()

        def then(done: _Corrected, error: BaseException | None) -> None:
            if error is None and done.end > done.before:
                self.hub.amend(target, done.view, done.before, done.end, self.completions.committed)
            if waiter.done():  # nobody waits any more
                return
            if error is None:
                waiter.set_result(done.view)
            else:
                waiter.set_exception(error)

        self.completions.run(correct, then)
        return await waiter

    def _correctable(self, actor: Actor, path: Path) -> Target:
        """Return the stream, whose data *actor* may correct. Raises `NotFound`, `PermissionDenied`."""
        target, access = self.find_stream(actor, path)
        name = "/".join(path)
        if not access.may_correct:
            raise PermissionDenied(f"no permission to write the data of the stream '{name}', nor to delete it")
        if not actor.may_correct(self.permissions):
            raise PermissionDenied(f"the role allows to append to '{name}' only, and not to correct what is stored")
        return target

    def _legible(self, actor: Actor, path: Path, *, downlink: bool = False) -> tuple[Target, Access]:
        """Return the stream, whose data *actor* may read, and what more it may. Raises as `_correctable`."""
        target, access = self.find_stream(actor, path)
        what = "downlink" if downlink else "data"
        if f"can_access_stream_{what}" not in access.read:
            raise PermissionDenied(f"no permission to read the {what} of the stream '{'/'.join(path)}'")
        return target, access


def _expect_value(tx: Transaction, target: Target, i: int, was: bytes | None) -> None:
    if was is not None and not tx.is_value(target.stream.id, Substream.MAIN, i, was):
        raise Conflict(
            f"the datapoint {i} has another value than the one that is meant: it was changed since, or others have "
            "come before it, or have gone"
        )


def _expect_time(done: Correction, t: float | None) -> None:
    """Raises `Conflict`, with which nothing has been done, if it was not a datapoint of that time."""
    if t is not None and done.t1 != t:
        raise Conflict(
            f"the datapoint {done.i} has the time stamp {done.t1!r} and not {t!r}: others have come before it since, "
            "or have gone",
            t=done.t1,
        )


def _page(stream_id: int, found: Iterator[Change], state: int, limit: int) -> ChangePage:
    """Read a page, which ends behind a whole step."""
    changes: list[tuple[Change, str]] = []
    size = 0
    change = next(found, None)
    while change is not None:
        following = next(found, None)
        whole = following is None or following.state > change.state
        if whole:
            state = change.state
        changes.append((change, format_cursor(stream_id, Cursor.behind(state)) if whole else ""))
        size += CHANGE_BYTES + (len(change.block.json) if change.block is not None else 0)
        change = following
        if whole and (len(changes) >= limit or size >= CHANGES_BYTES):
            break
    return ChangePage(changes, format_cursor(stream_id, Cursor.behind(state)), change is not None)


def _view(correction: Correction) -> wire.Correction:
    fields: dict[str, Any] = correction._asdict()
    return wire.Correction(**{**fields, "kind": _KINDS[correction.kind]})


_KINDS: dict[CorrectionKind, wire.CorrectionKind] = {
    CorrectionKind.DELETED: "deleted",
    CorrectionKind.UPDATED: "updated",
    CorrectionKind.UNDONE: "undone",
}


def _check_why(why: str) -> None:
    if len(why) > wire.WHY_LENGTH_MAX:
        raise Invalid(f"why has at most {wire.WHY_LENGTH_MAX} characters; it has {len(why)}")
