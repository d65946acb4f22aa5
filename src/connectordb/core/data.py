"""The rules for datapoints: what an insert means, and who may read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from ..block import Block
from ..datapoint import TIME_MAX_S, Datapoint, check_time
from ..errors import (
    Invalid,
    InvalidValue,
    LimitReached,
    PermissionDenied,
    RequestError,
    SchemaMismatch,
    TimestampOrder,
    TooLarge,
)
from ..query import Range
from ..schema import Schema, compile_schema
from ..store.base import Mode, Substream, Transaction, Upload
from ..wire import SOURCE_LENGTH_MAX, InsertReport, Refusal
from .actor import Actor
from .context import Context
from .directory import Target
from .permissions import Access

__all__ = ["DataRules", "UploadRequest"]

RESTAMP_MIN_S = 0.00001
"""What 0.3 made of a time stamp before 1970 when it restamped into an empty stream."""
READ_POINTS = 10_000
"""How many datapoints are fetched from the store before they are handed on."""

_encode_report = msgspec.json.Encoder().encode
_decode_report = msgspec.json.Decoder(InsertReport).decode


class UploadRequest(NamedTuple):
    """What makes an insert safe to repeat; see `connectordb.store.base.Upload`.

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


class DataRules(Context):
    """Inserting and reading datapoints."""

    reading: ThreadPoolExecutor

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
    ) -> InsertReport:
        """Insert *points*, which this call may change, and return after they are on disk.

        A datapoint without a time stamp (0) gets the present one. From the owner of the stream they go to the
        stream; from anybody else to its downlink substream if it is a downlink, and are marked with their sender.

        Args:
            downlink: Insert into the downlink substream, whoever asks.
            verdicts: Store what can be stored, and report the rest. Else it is all or nothing.
            upload: Makes it safe to repeat: a repetition writes nothing and reports the same.

        Raises:
            NotFound (status 403), PermissionDenied, TooLarge, SchemaMismatch, InvalidValue (time stamp),
            TimestampOrder, UploadConflict, LimitReached, Unavailable.
        """
        target, access = self.find_stream(actor, path, status=403)
        substream = _insert_substream(actor, target, access, downlink)
        owned = _owns(actor, target)
        receipt = _receipt(upload, "" if owned else actor.path, self.clock())
        if not actor.is_root:  # the local administrator restores what others sent
            sender = None if owned else actor.path
            for point in points:
                point.o = sender
        try:
            refused = self._check(points, target, mode, verdicts)
        except RequestError:
            # What was stored once is answered as it was then, also if it would not be accepted any more.
            repeated = await self._find_repetition(target, substream, receipt) if receipt else None
            if repeated is not None:
                return repeated
            raise
        if target.stream.ephemeral:
            return InsertReport(stored=len(points) - len(refused), refused=refused)
        accepted = points
        if refused:
            positions = {refusal.position for refusal in refused}
            accepted = [point for i, point in enumerate(points) if i not in positions]
        if not accepted and receipt is None:
            return InsertReport(stored=0, refused=refused)
        if mode is Mode.MERGE:
            accepted.sort(key=_time_of)
        work = self._insertion(target, substream, accepted, refused, mode, verdicts, receipt)
        return await self.commit(work)

    def _insertion(
        self,
        target: Target,
        substream: Substream,
        points: list[Datapoint],
        refused: list[Refusal],
        mode: Mode,
        verdicts: bool,
        receipt: Upload | None,
    ) -> Callable[[Transaction], InsertReport]:
        """Return the work that stores *points*, which have passed all checks that need no look at the stream."""
        stream_id = target.stream.id
        role = self.permissions.user_roles.get(target.user.role)
        limited = role is not None and (role.max_stream_size or role.max_device_size)

        def work(tx: Transaction) -> InsertReport:
            kept, report = points, InsertReport(stored=len(points), refused=refused)
            if verdicts and mode is Mode.ORDERED and points:
                kept, report = _refuse_older(points, refused, tx.head(stream_id, substream).t)
            noted = receipt._replace(reply=_encode_report(report)) if receipt else None
            block = Block.of(kept) if kept else None
            appended = tx.append(stream_id, substream, block, mode, noted)
            if appended.repeated:
                report = _repeated(appended.reply)
            elif limited:
                self._check_sizes(tx, target)
            return report

        return work

    def _check(self, points: list[Datapoint], target: Target, mode: Mode, verdicts: bool) -> list[Refusal]:
        points_max = self.settings.limits.insert_points_max
        if len(points) > points_max:
            raise TooLarge(f"{len(points)} datapoints at once are too many: at most {points_max}", limit=points_max)
        return _check_points(points, compile_schema(target.stream.schema), mode, self.clock(), verdicts)

    async def _find_repetition(self, target: Target, substream: Substream, receipt: Upload) -> InsertReport | None:
        """Return what was reported of the upload that this one repeats, if it is a repetition."""
        try:
            reply = await self.commit(lambda tx: tx.find_reply(target.stream.id, substream, receipt))
        except RequestError:
            return None
        return None if reply is None else _repeated(reply)

    def _check_sizes(self, tx: Transaction, target: Target) -> None:
        role = self.permissions.user_roles[target.user.role]
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

    def length(self, actor: Actor, path: tuple[str, str, str], *, downlink: bool = False) -> int:
        """Return the number of datapoints. Raises `NotFound` (status 403), `PermissionDenied`."""
        stream_id, substream = self._readable(actor, path, downlink)
        return self.store.head(stream_id, substream).n

    def time_index(self, actor: Actor, path: tuple[str, str, str], t: float, *, downlink: bool = False) -> int:
        """Return the index of the first datapoint after *t* seconds; the length if there is none."""
        stream_id, substream = self._readable(actor, path, downlink)
        return self.store.index_at(stream_id, substream, t)

    async def read(
        self, actor: Actor, path: tuple[str, str, str], wanted: Range, *, downlink: bool = False
    ) -> AsyncIterator[Block]:
        """Yield the datapoints of the range *wanted*, oldest first.

        The first step raises what is wrong; see `connectordb.store.base.Store.read`. The event loop is not held up:
        the store is read in other threads.

        Raises:
            NotFound (status 403), PermissionDenied, InvalidRange.
        """
        stream_id, substream = self._readable(actor, path, downlink)
        loop = asyncio.get_running_loop()
        blocks = self.store.read(stream_id, substream, wanted)
        more = True
        while more:
            batch, more = await loop.run_in_executor(self.reading, _take, blocks)
            for block in batch:
                yield block

    def _readable(self, actor: Actor, path: tuple[str, str, str], downlink: bool) -> tuple[int, Substream]:
        target, access = self.find_stream(actor, path, status=403)
        what = "stream_downlink" if downlink else "stream_data"
        if f"can_access_{what}" not in access.read:
            raise PermissionDenied(f"no permission to read the {what.replace('_', ' ')} of '{'/'.join(path)}'")
        return target.stream.id, Substream.DOWNLINK if downlink else Substream.MAIN


def _owns(actor: Actor, target: Target) -> bool:
    return actor.device is not None and actor.device.id == target.device.id


def _insert_substream(actor: Actor, target: Target, access: Access, downlink: bool) -> Substream:
    to_downlink = downlink or (target.stream.downlink and not _owns(actor, target))
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
                    raise InvalidValue(f"datapoint {i}: {why}")
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
    points: list[Datapoint], refused: list[Refusal], newest: float
) -> tuple[list[Datapoint], InsertReport]:
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


def _repeated(reply: bytes) -> InsertReport:
    report = _decode_report(reply)
    report.repeated = True
    return report


def _receipt(upload: UploadRequest | None, sender: str, now: float) -> Upload | None:
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


def _take(blocks: Iterator[Block]) -> tuple[list[Block], bool]:
    """The next blocks, and whether there may be more."""
    batch: list[Block] = []
    n = 0
    for block in blocks:
        batch.append(block)
        n += block.n
        if n >= READ_POINTS:
            return batch, True
    return batch, False
