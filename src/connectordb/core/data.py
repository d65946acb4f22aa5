"""The rules for datapoints: what an insert means, and who may read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from hashlib import blake2b
from time import monotonic
from typing import NamedTuple

import msgspec

from ..block import Block
from ..datapoint import TIME_MAX_S, Datapoint, check_time
from ..errors import (
    Invalid,
    InvalidValue,
    LimitReached,
    NotFound,
    PermissionDenied,
    RequestError,
    SchemaMismatch,
    TimestampOrder,
    TooLarge,
)
from ..query import Range
from ..schema import Schema, compile_schema
from ..store.base import Transaction
from ..store.records import Appended, Downlink, Mode, Substream, Upload
from ..wire import SOURCE_LENGTH_MAX, InsertReport, Refusal
from .actor import Actor
from .context import Context
from .directory import Target
from .downlinks import acknowledge_equal, record
from .permissions import Access
from .ranges import StoredRange
from .reductions import Reduction
from .scripts import blocks_of, script_of
from .working import STEP_BYTES, STEP_POINTS, STEP_S, Work

__all__ = ["Asked", "DataRules", "Inserted", "Then", "UploadRequest", "owns", "receipt_of"]

RESTAMP_MIN_S = 0.00001
"""What 0.3 made of a time stamp before 1970 when it restamped into an empty stream."""
_encode_report = msgspec.json.Encoder().encode
_decode_report = msgspec.json.Decoder(InsertReport).decode


class UploadRequest(NamedTuple):
    """What makes an insert safe to repeat; see `connectordb.store.records.Upload`.

    Attributes:
        source: Who numbers its uploads: 1 to 64 characters.
        first, last: The inclusive range of numbers.
        digest: Digest of what is inserted.
        lifetime_s: For how long a repetition is to be recognised, in seconds; ``None``: for ever.
    """

    source: str
    first: int
    last: int
    digest: bytes
    lifetime_s: float | None = None


class Asked(NamedTuple):
    """What an insert into a downlink asks of the owner of the stream.

    Attributes:
        lifetime_s: How long it waits for the device, in seconds from now; ``None``: as the settings say.
        supersede: It takes the place of what waits.
        history: Nothing is asked: it only tells what was.
    """

    lifetime_s: float | None = None
    supersede: bool = False
    history: bool = False


class Inserted(NamedTuple):
    """What the transaction of an insert did.

    Attributes:
        report: For who inserts.
        appended: What is to be published.
        downlinks: What the owner of the stream is asked to do.
        settled: Downlinks of which something has become.
    """

    report: InsertReport
    appended: Appended
    downlinks: Sequence[Downlink] = ()
    settled: Sequence[Downlink] = ()


class _Insertion(NamedTuple):
    """What is about to be inserted, after the checks that need no transaction."""

    target: Target
    substream: Substream
    block: Block | None
    mode: Mode
    report: InsertReport
    receipt: Upload | None
    skip_known: bool = False


Then = Callable[[InsertReport | BaseException], None]
"""Is told what came of an insert."""


class DataRules(Context):
    """Inserting and reading datapoints."""

    async def insert(
        self,
        actor: Actor,
        path: tuple[str, str, str],
        points: list[Datapoint],
        mode: Mode = Mode.ORDERED,
        *,
        downlink: bool = False,
        verdicts: bool = False,
        upload: UploadRequest | None = None,
        asked: Asked | None = None,
        skip_known: bool = False,
    ) -> InsertReport:
        """Insert *points*, which this call may change, and return after they are on disk.

        A datapoint without a time stamp (0) gets the present one. From the owner of the stream they go to the
        stream; from anybody else to its downlink substream if it is a downlink, and are marked with their sender.

        Args:
            downlink: Insert into the downlink substream, whoever asks.
            verdicts: Store what can be stored, and report the rest. Else it is all or nothing.
            upload: Makes it safe to repeat: a repetition writes nothing and reports the same.
            asked: What an insert into a downlink asks.
            skip_known: With `Mode.MERGE`: leave out those of which the same time stamp and an equal value is stored.

        Raises:
            NotFound (status 403), PermissionDenied, TooLarge, SchemaMismatch, InvalidValue (time stamp),
            TimestampOrder, UploadConflict, LimitReached, Unavailable.
        """
        waiter: asyncio.Future[InsertReport] = asyncio.get_running_loop().create_future()

        def then(outcome: InsertReport | BaseException) -> None:
            if waiter.done():  # nobody waits any more
                return
            if isinstance(outcome, BaseException):
                waiter.set_exception(outcome)
            else:
                waiter.set_result(outcome)

        self.begin_insert(
            actor,
            path,
            points,
            mode,
            then,
            downlink=downlink,
            verdicts=verdicts,
            upload=upload,
            asked=asked,
            skip_known=skip_known,
        )
        return await waiter

    def begin_insert(
        self,
        actor: Actor,
        path: tuple[str, str, str],
        points: list[Datapoint],
        mode: Mode,
        then: Then,
        *,
        downlink: bool = False,
        verdicts: bool = False,
        upload: UploadRequest | None = None,
        asked: Asked | None = None,
        skip_known: bool = False,
    ) -> None:
        """Begin what `insert` does, and call *then* with the report, or with the error, after the commit.

        *then* is called on the event loop, for each caller in the order of beginning, and must not raise. What can be
        refused at once is raised by this call instead, and *then* is not called.
        """
        target, access = self.find_stream(actor, path, status=403)
        substream = _insert_substream(actor, target, access, downlink)
        is_owner = owns(actor, target)
        receipt = receipt_of(upload, "" if is_owner else actor.path, self.clock())
        if not actor.is_root:  # the local administrator restores what others sent
            sender = None if is_owner else actor.path
            for point in points:
                point.o = sender
        try:
            refused = self._check(points, target, mode, verdicts)
        except RequestError as e:
            if receipt is None:
                raise
            # What was stored once is answered as it was then, also if it would not be accepted any more.
            self._find_repetition(target, substream, receipt, e, then)
            return
        accepted = points
        if refused:
            positions = {refusal.position for refusal in refused}
            accepted = [point for i, point in enumerate(points) if i not in positions]
        if mode is Mode.MERGE:
            accepted.sort(key=_time_of)
        if asked is None and not actor.is_root:
            asked = Asked()
        asks = substream is Substream.DOWNLINK and asked is not None and not asked.history
        if asks and skip_known:
            raise Invalid("what is asked of a device may be asked again: duplicates are skipped only in data")
        # What is merged is uploaded late: it was not written in answer to anything.
        answers = is_owner and target.stream.downlink and substream is Substream.MAIN and mode is not Mode.MERGE
        if target.stream.ephemeral and not (asks or answers):
            if accepted:
                self.hub.publish(target, substream, Block.of(accepted))
            self.hub.when_free(partial(then, InsertReport(stored=len(accepted), refused=refused)))
            return
        if not accepted and receipt is None:
            then(InsertReport(stored=0, refused=refused))
            return
        block = Block.of(accepted) if accepted else None
        insertion = _Insertion(
            target, substream, block, mode, InsertReport(stored=len(accepted), refused=refused), receipt, skip_known
        )
        if asks and block is not None and asked is not None:
            work = partial(self._ask, insertion, block, asked)
        else:
            work = partial(self._append, insertion, verdicts=verdicts, answers=answers)
        self.begin_insertion(target, substream, work, then)

    def begin_insertion(
        self, target: Target, substream: Substream, work: Callable[[Transaction], Inserted], then: Then
    ) -> None:
        """Commit *work*, publish what it appended to the substream, and call *then*."""
        self.completions.run(work, partial(self._finish_insertion, target, substream, then))

    def _finish_insertion(
        self, target: Target, substream: Substream, then: Then, done: Inserted, error: BaseException | None
    ) -> None:
        if error is not None:
            then(error)
            return
        report, appended, downlinks, settled = done
        if appended.block is not None:
            self.hub.publish(
                target,
                substream,
                appended.block,
                appended.first_index,
                appended.arrivals,
                downlinks,
                self.completions.committed,
            )
        if settled:
            self.downlinks_changed(settled)
        then(report)

    def downlinks_changed(self, downlinks: Sequence[Downlink]) -> None:
        """Tell those who wait what has become of *downlinks*."""

    def _append(self, insertion: _Insertion, tx: Transaction, *, verdicts: bool, answers: bool) -> Inserted:
        """Append the datapoints, which have passed all checks that need no look at the stream.

        Args:
            answers: The owner may answer with them what it was asked.
        """
        target, substream, block, mode, report, receipt, skip_known = insertion
        if verdicts and mode is Mode.ORDERED and block is not None:
            kept, report = _refuse_older(block.points, report.refused, tx.head(target.stream.id, substream).t)
            block = Block.of(kept) if kept else None
        if target.stream.ephemeral:
            appended = Appended(-1, block)
        elif skip_known and block is not None:
            repetition = _repetition(tx, target, substream, receipt)
            if repetition is not None:
                return repetition
            appended = tx.append(target.stream.id, substream, block, mode, skip_known=True)
            self._check_sizes(tx, target)
            report.stored = appended.block.n if appended.block is not None else 0
            report.skipped = block.n - report.stored or msgspec.UNSET
            _note_report(tx, target, substream, receipt, report)
        else:
            noted = receipt._replace(reply=_encode_report(report)) if receipt else None
            appended = tx.append(target.stream.id, substream, block, mode, noted)
            if appended.repeated:
                return Inserted(_repeated(appended.reply), appended)
            self._check_sizes(tx, target)
        settled: Sequence[Downlink] = ()
        if answers and appended.block is not None:
            settled = acknowledge_equal(
                tx, target, appended.block, now=self.clock(), confirm_s=self.settings.live.pong_s
            )
        return Inserted(report, appended, settled=settled)

    def _ask(self, insertion: _Insertion, block: Block, asked: Asked, tx: Transaction) -> Inserted:
        """Append *block* to the downlink, and note what the owner of the stream is asked by it."""
        target, substream, _, mode, report, receipt, _ = insertion
        stream_id = target.stream.id
        repetition = _repetition(tx, target, substream, receipt)
        if repetition is not None:
            return repetition
        appended = Appended(-1, block)
        if not target.stream.ephemeral:
            appended = tx.append(stream_id, substream, block, mode)
            self._check_sizes(tx, target)
        recorded = record(
            tx,
            target,
            appended.block or block,
            now=self.clock(),
            lifetime_s=asked.lifetime_s,
            limits=self.settings.limits,
            supersede=asked.supersede,
        )
        if len(recorded.queued) == 1:
            report.downlink = recorded.queued[0].id
        _note_report(tx, target, substream, receipt, report)
        return Inserted(report, appended, recorded.queued, recorded.superseded)

    def _check(self, points: list[Datapoint], target: Target, mode: Mode, verdicts: bool) -> list[Refusal]:
        points_max = self.settings.limits.insert_points_max
        if len(points) > points_max:
            raise TooLarge(f"{len(points)} datapoints at once are too many: at most {points_max}", limit=points_max)
        return _check_points(points, compile_schema(target.stream.schema), mode, self.clock(), verdicts)

    def _find_repetition(
        self, target: Target, substream: Substream, receipt: Upload, refused: RequestError, then: Then
    ) -> None:
        """Tell *then* what was reported of the upload that this one repeats; if it repeats none, it is *refused*."""

        def found(reply: bytes | None, error: BaseException | None) -> None:
            then(refused if reply is None or error is not None else _repeated(reply))

        self.completions.run(lambda tx: tx.find_reply(target.stream.id, substream, receipt), found)

    def _check_sizes(self, tx: Transaction, target: Target) -> None:
        role = self.permissions.user_roles.get(target.user.role)
        if role is None or not (role.max_stream_size or role.max_device_size):
            return
        sizes = {
            stream.id: sum(tx.head(stream.id, substream).n for substream in Substream)
            for stream in (tx.streams(target.device.id) if role.max_device_size else [target.stream])
        }
        for size, size_max, what in (
            (sizes[target.stream.id], role.max_stream_size, "stream"),
            (sum(sizes.values()), role.max_device_size, "device"),
        ):
            if size_max and size > size_max:
                raise LimitReached(
                    f"the {what} would hold {size} datapoints, more than its owner's role allows: {size_max}"
                )

    async def _insert_downlink(
        self,
        actor: Actor,
        path: tuple[str, str, str],
        point: Datapoint,
        *,
        lifetime_s: float | None,
        supersede: bool,
        upload: UploadRequest | None,
    ) -> Downlink:
        """Insert *point* into the downlink, and return what has been noted of it. Raises as `insert`."""
        target, _ = self.find_stream(actor, path, status=403)
        asked = Asked(lifetime_s, supersede)
        report = await self.insert(actor, path, [point], Mode.RESTAMP, downlink=True, upload=upload, asked=asked)
        found = self.store.downlink(target.stream.id, report.downlink) if report.downlink else None
        if found is None:
            raise NotFound(f"what was asked of '{'/'.join(path)}' has been forgotten already", status=404)
        return found

    def length(self, actor: Actor, path: tuple[str, str, str], *, downlink: bool = False) -> int:
        """Return the number of datapoints. Raises `NotFound` (status 403), `PermissionDenied`."""
        stream_id, substream = self._readable(actor, path, downlink)
        return self.store.head(stream_id, substream).n

    def time_index(self, actor: Actor, path: tuple[str, str, str], t: float, *, downlink: bool = False) -> int:
        """Return the index of the first datapoint after *t* seconds; the length if there is none."""
        stream_id, substream = self._readable(actor, path, downlink)
        return self.store.index_at(stream_id, substream, t)

    async def read(
        self,
        actor: Actor,
        path: tuple[str, str, str],
        wanted: Range,
        *,
        downlink: bool = False,
        transform: str = "",
        reduction: Reduction | None = None,
        text: bool = True,
    ) -> AsyncIterator[Block]:
        """Yield the datapoints of the range *wanted*, oldest first.

        The first step raises what is wrong; see `connectordb.store.base.Store.read`. The event loop is not held up:
        the store is read in other threads, and the script runs there.

        Args:
            transform: A PipeScript to run over them; a limit then counts what comes out.
            reduction: What to make of all that, instead of giving it out.
            text: Whether it will be asked for the text of the blocks, which is then made in the other threads.

        Raises:
            NotFound (status 403), PermissionDenied, InvalidRange, ScriptError, LimitReached, Invalid (*reduction*).
        """
        stream_id, substream = self._readable(actor, path, downlink)
        query_s = self.settings.limits.query_s
        if not transform and reduction is None:
            async for block in self._stored(self.store.read(stream_id, substream, wanted), text=text):
                yield block
            return
        script = script_of(transform, self.settings.limits) if transform else None
        stored = StoredRange(self.store, stream_id, substream, wanted)

        def work(check: Callable[[], None]) -> Iterator[Block | None]:
            return blocks_of(stored.worked_out(script, reduction, check))

        async with aclosing(self.workshop.blocks(Work(work, query_s, text=text))) as blocks:
            async for block in blocks:
                yield block

    async def _stored(self, blocks: Iterator[Block], *, text: bool = True) -> AsyncIterator[Block]:
        """Yield *blocks*, which are read in other threads; *text* is that of `read`."""
        loop = asyncio.get_running_loop()
        more = True
        while more:
            some, more = await loop.run_in_executor(self.reading, _take, blocks, text)
            for block in some:
                yield block

    def _readable(self, actor: Actor, path: tuple[str, str, str], downlink: bool) -> tuple[int, Substream]:
        target, access = self.find_stream(actor, path, status=403)
        what = "stream_downlink" if downlink else "stream_data"
        if f"can_access_{what}" not in access.read:
            raise PermissionDenied(f"no permission to read the {what.replace('_', ' ')} of '{'/'.join(path)}'")
        return target.stream.id, Substream.DOWNLINK if downlink else Substream.MAIN


def owns(actor: Actor, target: Target) -> bool:
    """Whether it is a stream of the device that asks."""
    return actor.device is not None and actor.device.id == target.device.id


def _insert_substream(actor: Actor, target: Target, access: Access, downlink: bool) -> Substream:
    to_downlink = downlink or (target.stream.downlink and not owns(actor, target))
    flag = "can_access_stream_downlink" if to_downlink else "can_access_stream_data"
    if flag not in access.write or "can_access_stream" not in access.write:
        what = "downlink" if to_downlink else "data"
        raise PermissionDenied(
            f"no permission to write the {what} of the stream "
            f"'{target.user.name}/{target.device.name}/{target.stream.name}'"
        )
    return Substream.DOWNLINK if to_downlink else Substream.MAIN


def _time_of(point: Datapoint) -> float:
    return point.t


def _check_points(points: list[Datapoint], schema: Schema, mode: Mode, now: float, verdicts: bool) -> list[Refusal]:
    """Stamp *points* that have no time, and return those that cannot be stored; without *verdicts* raise for one."""
    if not points:
        return []
    times = [point.t for point in points]
    if min(times) <= 0.0:
        floor = RESTAMP_MIN_S if mode is Mode.RESTAMP else None
        for point in points:
            if point.t == 0.0:
                point.t = now
            elif point.t < 0.0 and floor is not None:
                point.t = floor
        times = [point.t for point in points]
    refused: list[Refusal] = []
    if min(times) < 0.0 or not max(times) < TIME_MAX_S:
        for i, t in enumerate(times):
            if why := check_time(t):
                if not verdicts:
                    raise InvalidValue(f"datapoint {i}: {why}", position=i)
                refused.append(Refusal(position=i, msg=why))
    if not schema.takes_types(points):
        for i, point in enumerate(points):
            if not schema.is_valid(point.d):
                if not verdicts:
                    raise SchemaMismatch(f"datapoint {i} does not fit: {schema.explain(point.d)}", position=i)
                refused.append(Refusal(position=i, msg=schema.explain(point.d)))
    if mode is not Mode.MERGE and times != sorted(times):
        i = next(i for i in range(1, len(times)) if times[i] < times[i - 1])
        raise TimestampOrder(
            f"datapoint {i} (t={times[i]!r}) is older than the one before it (t={times[i - 1]!r}): "
            "time stamps in one insert must not decrease",
            position=i,
        )
    if len(refused) > 1:
        by_position = {refusal.position: refusal for refusal in reversed(refused)}
        refused = [by_position[i] for i in sorted(by_position)]
    return refused


def _refuse_older(
    points: Sequence[Datapoint], refused: list[Refusal], newest: float
) -> tuple[Sequence[Datapoint], InsertReport]:
    """Split off what is older than the *newest* datapoint stored. Positions are those in the request."""
    skipped = {refusal.position for refusal in refused}
    positions = [i for i in range(len(points) + len(refused)) if i not in skipped]
    why = f"older than the newest datapoint of the stream (t={newest!r})"
    older = [
        Refusal(position=i, msg=f"time stamp {point.t!r} is {why}")
        for i, point in zip(positions, points, strict=True)
        if point.t < newest
    ]
    kept = points[len(older) :]  # points are in order of time
    every = sorted([*refused, *older], key=lambda refusal: refusal.position)
    return kept, InsertReport(stored=len(kept), refused=every)


def _repetition(tx: Transaction, target: Target, substream: Substream, receipt: Upload | None) -> Inserted | None:
    """What an upload that repeats another one does: nothing. ``None`` if this is none."""
    reply = None if receipt is None else tx.find_reply(target.stream.id, substream, receipt)
    return None if reply is None else Inserted(_repeated(reply), Appended(-1, None, repeated=True))


def _note_report(
    tx: Transaction, target: Target, substream: Substream, receipt: Upload | None, report: InsertReport
) -> None:
    """Note the upload that has been stored, now that it is known what to answer to its repetition."""
    if receipt is not None:
        noted = receipt._replace(reply=_encode_report(report))
        tx.append(target.stream.id, substream, None, upload=noted)


def _repeated(reply: bytes) -> InsertReport:
    report = _decode_report(reply)
    report.repeated = True
    return report


def receipt_of(upload: UploadRequest | None, sender: str, now: float) -> Upload | None:
    """What the store notes of *upload*; *sender* is empty for the owner of the stream."""
    if upload is None:
        return None
    if not 1 <= len(upload.source) <= SOURCE_LENGTH_MAX:
        raise Invalid(f"the source of an upload has 1 to {SOURCE_LENGTH_MAX} characters")
    if not 1 <= upload.first <= upload.last < 2**63:
        raise Invalid("the numbers of an upload must be 1 <= first <= last < 2**63")
    expires = None if upload.lifetime_s is None else now + upload.lifetime_s
    # Several may send to one downlink: nobody's upload is to be taken for the repetition of another's.
    source = blake2b(f"{sender}\0{upload.source}".encode(), digest_size=16).hexdigest() if sender else upload.source
    return Upload(source, upload.first, upload.last, upload.digest, expires=expires)


def _take(blocks: Iterator[Block], text: bool) -> tuple[list[Block], bool]:
    """The next blocks, with their *text*, and whether there may be more."""
    taken: list[Block] = []
    n = size = 0
    until = monotonic() + STEP_S
    for block in blocks:
        taken.append(block)
        n += block.n
        size += len(block.json) if text else block.size
        if n >= STEP_POINTS or size >= STEP_BYTES or monotonic() > until:
            return taken, True
    return taken, False
