"""The rules for downlinks: who may send and see them, and who says what has become of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from .. import wire
from ..block import Block
from ..datapoint import Datapoint
from ..errors import Conflict, Invalid, InvalidValue, NotFound, PermissionDenied
from ..store.base import Store, Transaction
from ..store.records import Appended, Downlink, DownlinkState, Mode, Substream
from .actor import Actor
from .data import DataRules, Inserted, UploadRequest
from .directory import Target
from .downlinks import BY_OLD_DEVICE, is_final, view_downlink
from .permissions import Access, Permissions
from .settings import Settings
from .waiting import Waiting

__all__ = ["DownlinkRules"]

WAITING_MAX = 10_000
"""So many requests may wait for downlinks at the same time."""
WAIT_MIN_S = 0.001
"""The timer and the clock of the database need not agree on when a downlink is over."""

Path = tuple[str, str, str]

_decode = msgspec.json.Decoder().decode
_decode_points = msgspec.json.Decoder(list[Datapoint]).decode
_encode = msgspec.json.Encoder().encode


class DownlinkRules(DataRules):
    """Downlinks: what the owner of a stream is asked to do, and what becomes of it.

    All raise `NotFound` (404) for a stream that does not exist or may not be seen.
    """

    def __init__(self, store: Store, settings: Settings, permissions: Permissions, clock: Callable[[], float]) -> None:
        super().__init__(store, settings, permissions, clock)
        self.waiting = Waiting(WAITING_MAX)

    async def send(
        self,
        actor: Actor,
        path: Path,
        d: object,
        *,
        lifetime_s: float | None = None,
        supersede: bool = False,
        upload: UploadRequest | None = None,
    ) -> wire.DownlinkView:
        """Ask the owner of the stream to do *d*, by inserting that into its downlink.

        Args:
            lifetime_s: After so many seconds it is not to be done any more; ``None``: as the settings say.
            supersede: What is queued for the stream is not to be done any more.
            upload: Makes it safe to repeat: a repetition writes nothing, and returns the same downlink as it is then.

        Raises:
            InvalidValue: the stream is no downlink.
            PermissionDenied, SchemaMismatch, LimitReached, UploadConflict, Unavailable: as for any insert.
        """
        target, _ = self.find_stream(actor, path)
        if not target.stream.downlink:
            raise InvalidValue(f"'{'/'.join(path)}' takes no requests: it is no downlink (a field of the stream)")
        point = Datapoint(0.0, d, actor.signature)
        sent = await self._insert_downlink(
            actor, path, point, lifetime_s=lifetime_s, supersede=supersede, upload=upload
        )
        return view_downlink("/".join(path), sent)

    async def list_downlinks(
        self, actor: Actor, path: Path, state: wire.DownlinkState | None = None, limit: int = 100
    ) -> list[wire.DownlinkView]:
        """Return the newest *limit* downlinks, oldest first: all, or those that *actor* has sent if it may see no more.

        Args:
            state: Only those in this state.

        Raises:
            PermissionDenied: *actor* has no name under which it could have sent any.
        """
        target, access = self.find_stream(actor, path)
        sender = None
        if not _may_read(access):
            if actor.device is None:
                raise PermissionDenied(f"no permission to read the downlink of '{'/'.join(path)}'")
            sender = actor.path
        wanted = None if state is None else _state(state)
        find = partial(self.store.downlinks, target.stream.id, state=wanted, o=sender, limit=limit)
        found = await asyncio.get_running_loop().run_in_executor(self.reading, find)
        return [view_downlink("/".join(path), one) for one in found]

    async def read_downlink(self, actor: Actor, path: Path, downlink_id: int) -> wire.DownlinkView:
        """Return a downlink. Raises `NotFound`, also if *actor* neither has sent it nor may read the downlink."""
        return view_downlink("/".join(path), self._find_downlink(actor, path, downlink_id))

    async def wait_downlink(self, actor: Actor, path: Path, downlink_id: int, wait_s: float) -> wire.DownlinkView:
        """The same when the state is final, after *wait_s* seconds, or when the server stops. May be cancelled.

        Raises:
            NotFound: as `read_downlink`; also if it is deleted, or the permission withdrawn, meanwhile.
            TooManyRequests: too many wait already.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        found = self._find_downlink(actor, path, downlink_id)
        if not is_final(found):
            with self.waiting.register(downlink_id) as changed:
                while True:
                    changed.clear()
                    found = self._find_downlink(actor, path, downlink_id)  # what changes from here on wakes
                    left = until - loop.time()
                    if is_final(found) or self.waiting.ended or left <= 0:
                        break
                    if found.state is DownlinkState.QUEUED:
                        left = min(left, max(found.expires - self.clock(), WAIT_MIN_S))
                    try:
                        async with asyncio.timeout(left):
                            await changed.wait()
                    except TimeoutError:
                        pass
        return view_downlink("/".join(path), found)

    async def update_downlink(
        self, actor: Actor, path: Path, downlink_id: int, update: wire.DownlinkUpdate
    ) -> wire.DownlinkView:
        """Note what the device says of a downlink, and return that. Repeating it changes nothing.

        What it acknowledges with is inserted into its stream by the same transaction.

        Raises:
            PermissionDenied: *actor* is not the device that owns the stream, or may not write its data.
            NotFound: there is no such downlink.
            Conflict: it has another final state, or another process has taken it on; see the details.
            SchemaMismatch, InvalidValue, TimestampOrder, TooLarge, LimitReached, Unavailable: as for any insert.
        """
        target, access = self.find_stream(actor, path)
        owned = actor.device is not None and actor.device.id == target.device.id
        if not (owned or actor.is_root):
            raise PermissionDenied(
                f"only the device '{path[0]}/{path[1]}' itself can say what has become of its downlinks: from anybody "
                "else that would be a new request to it"
            )
        _check_update(update)
        found = self.store.downlink(target.stream.id, downlink_id)
        if found is None:
            raise _missing(path, downlink_id)
        if not _is_so(found, update):
            block = None
            if update.state == "acknowledged":
                block = self._answer(actor, target, access, found, update)
            found = await self._settle(target, found, update, block)
        return view_downlink("/".join(path), found)

    def _changed(self) -> None:
        super()._changed()
        self.waiting.objects_changed()

    def downlinks_changed(self, downlinks: Sequence[Downlink]) -> None:
        """Wake those who wait for one of *downlinks*, which have changed."""
        self.waiting.wake(one.id for one in downlinks)

    def downlinks_pushed(self, downlinks: Sequence[Downlink], *, confirmed: bool = False) -> None:
        """Note that *downlinks* have been sent to a device of 0.3; or that it has got them, as it does not say so."""
        ids = [(one.stream_id, one.id) for one in downlinks]
        state = DownlinkState.DELIVERED if confirmed else DownlinkState.QUEUED

        def work(tx: Transaction) -> list[Downlink]:
            found = [tx.downlink(*key) for key in ids]
            now = self.clock()
            changed = [
                msgspec.structs.replace(one, state=state, changed=now, by=BY_OLD_DEVICE)
                for one in found
                if one is not None and one.state is DownlinkState.QUEUED
            ]
            tx.change_downlinks(changed)
            return changed

        def then(changed: list[Downlink], error: BaseException | None) -> None:
            if error is None:
                self.downlinks_changed(changed)

        self.completions.run(work, then)

    def _find_downlink(self, actor: Actor, path: Path, downlink_id: int) -> Downlink:
        target, access = self.find_stream(actor, path)
        found = self.store.downlink(target.stream.id, downlink_id)
        sent = found is not None and actor.device is not None and found.o == actor.path
        if found is None or not (sent or _may_read(access)):
            raise _missing(path, downlink_id)
        return found

    def _answer(
        self, actor: Actor, target: Target, access: Access, asked: Downlink, update: wire.DownlinkUpdate
    ) -> Block | None:
        """Return what is to be inserted into the stream with an acknowledgement. Raises what speaks against it."""
        if not {"can_access_stream", "can_access_stream_data"} <= access.write:
            raise PermissionDenied("no permission to write the data of the stream, which an acknowledgement does")
        points = [Datapoint(0.0, _decode(asked.d))] if update.d is None else update.d
        if not actor.is_root:  # as with any insert
            for point in points:
                point.o = None
        self._check(points, target, Mode.RESTAMP, verdicts=False)
        return Block.of(points) if points else None

    async def _settle(
        self, target: Target, asked: Downlink, update: wire.DownlinkUpdate, block: Block | None
    ) -> Downlink:
        """Store *update*, and with it *block* in the stream; return the downlink as it is then."""
        stream_id = target.stream.id
        now = self.clock()
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        outcome: list[Downlink] = []

        def work(tx: Transaction) -> Inserted:
            report, appended = wire.InsertReport(stored=0), Appended(-1, None)
            found = tx.downlink(stream_id, asked.id)
            if found is None:
                raise _missing((target.user.name, target.device.name, target.stream.name), asked.id)
            if _is_so(found, update):
                outcome.append(found)
                return Inserted(report, appended)
            if block is not None:
                if target.stream.ephemeral:
                    appended = Appended(-1, block)
                else:
                    appended = tx.append(stream_id, Substream.MAIN, block, Mode.RESTAMP)
                    self._check_sizes(tx, target)
                report.stored = block.n
            result = b""
            if update.state == "acknowledged":
                result = b"[%b]" % (appended.block.json if appended.block else b"")
            changed = msgspec.structs.replace(
                found, state=_state(update.state), changed=now, by=update.by or found.by, msg=update.msg, result=result
            )
            tx.change_downlinks([changed])
            outcome.append(changed)
            return Inserted(report, appended, settled=[changed])

        def then(done: wire.InsertReport | BaseException) -> None:
            if waiter.done():  # nobody waits any more
                return
            if isinstance(done, BaseException):
                waiter.set_exception(done)
            else:
                waiter.set_result(None)

        self.begin_insertion(target, Substream.MAIN, work, then)
        await waiter
        return outcome[0]


def _may_read(access: Access) -> bool:
    return "can_access_stream_downlink" in access.read


def _state(name: wire.DownlinkState) -> DownlinkState:
    return DownlinkState(wire.DOWNLINK_STATES.index(name))


def _check_update(update: wire.DownlinkUpdate) -> None:
    if update.state == "delivered" and not update.by:
        raise Invalid("who has it? 'by' has to name the process of the device that takes the downlink on")
    if update.d is not None and update.state != "acknowledged":
        raise Invalid(f"'d' is what was done: it belongs to the state 'acknowledged', and not to '{update.state}'")


def _is_so(downlink: Downlink, update: wire.DownlinkUpdate) -> bool:
    """Whether the downlink is what *update* says already. Raises `Conflict` if it cannot become that any more.

    Who gives no name may settle what another has taken on: its process may be gone, and its name with it.
    """
    state = wire.DOWNLINK_STATES[downlink.state]
    wrong = ""
    if is_final(downlink):
        if state != update.state:
            wrong = f"the downlink {downlink.id} is {state} already"
        elif state == "acknowledged" and _values(downlink, update) != _result(downlink):
            wrong = f"the downlink {downlink.id} is {state} already, and with something else"
    elif state == "delivered" and update.by not in ("", downlink.by):
        wrong = f"another process of the device has taken the downlink {downlink.id} on"
    if wrong:
        raise Conflict(wrong, state=state, by=downlink.by)
    return state == update.state


def _values(asked: Downlink, update: wire.DownlinkUpdate) -> list[bytes]:
    """Return what *update* says was done, each as JSON. Not the time stamps, which may be stored as others."""
    return [_encode(_decode(asked.d))] if update.d is None else [_encode(point.d) for point in update.d]


def _result(downlink: Downlink) -> list[bytes]:
    return [_encode(point.d) for point in _decode_points(downlink.result or b"[]")]


def _missing(path: Path, downlink_id: int) -> NotFound:
    return NotFound(f"'{'/'.join(path)}' has no downlink {downlink_id}, or it may not be accessed")
