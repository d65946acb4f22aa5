"""What a work may do on the writer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import msgspec

from ..block import Block
from ..datapoint import Datapoint
from ..errors import InvalidValue, LimitReached, NotFound, StoreError, TimestampOrder, UploadConflict
from . import _corrections, _downlinks, _objects
from ._canonical import comparable
from ._changes import events_between, note_change
from ._connection import query
from ._data import View, read_head
from ._errors import translate
from ._key import INDEX_MAX, key_of, place_of
from ._known import unknown
from ._layer import Layer, Receipt
from ._merge import merge
from ._runs import Sealed, drop_blocks, put_sealed, sealed_of
from ._seal import Sealing, followed, plan_seal
from .records import Appended, Correction, Counts, Device, Downlink, Head, Mode, Stream, Substream, Upload, User

__all__ = ["SQLiteTransaction"]

_SOURCE_LENGTH_MAX = 64
_NUMBER_MAX = 2**63 - 1
_RECEIPT = "SELECT last, digest, reply, expires FROM receipts WHERE substream = ? AND source = ?"


class SQLiteTransaction:
    """One work's view of the group's transaction; see `Transaction`.

    Args:
        connection: The writer's, inside a transaction.
        path: The database, for messages.
        below: What earlier works of the group left to be written.
        heads: Heads as they are committed, if they are remembered.
        clock: Gives the time in seconds since the Unix epoch.

    Attributes:
        lost: Why the whole group has to be given up; ``None`` as long as it need not be.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        path: Path,
        below: Layer,
        heads: Mapping[int, Head],
        clock: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._path = path
        self._below = below
        self._heads = heads
        self._clock = clock
        self._layer = Layer()
        self._in_savepoint = False
        self._failed: StoreError | None = None
        self.lost: StoreError | None = None

    def finish(self) -> None:
        """Hand what was done over to the group. Raises what SQLite refused, if the work hid it."""
        if self._failed is not None:
            raise self._failed
        if self._in_savepoint:
            self._connection.execute("RELEASE work")
        self._below.add(self._layer)

    def take_back(self) -> None:
        """Take back what was done. Sets `lost` if that cannot be."""
        if not self._in_savepoint:
            return
        try:
            self._connection.execute("ROLLBACK TO work")
            self._connection.execute("RELEASE work")
        except apsw.Error as error:
            # After a full disk or a failed write SQLite may have rolled all back by itself.
            self.lost = self._failed or translate(error, self._path)

    def create_user(self, user: User) -> User:
        with self._writing() as connection:
            return _objects.create_user(connection, user)

    def create_device(self, device: Device) -> Device:
        with self._writing() as connection:
            return _objects.create_device(connection, device)

    def create_stream(self, stream: Stream) -> Stream:
        with self._writing() as connection:
            return _objects.create_stream(connection, stream)

    def update_user(self, user_id: int, changes: Mapping[str, Any]) -> User:
        with self._writing() as connection:
            return _objects.update_user(connection, user_id, changes)

    def update_device(self, device_id: int, changes: Mapping[str, Any]) -> Device:
        with self._writing() as connection:
            return _objects.update_device(connection, device_id, changes)

    def update_stream(self, stream_id: int, changes: Mapping[str, Any]) -> Stream:
        with self._writing() as connection:
            return _objects.update_stream(connection, stream_id, changes)

    def delete_user(self, user_id: int) -> None:
        self._delete("users", user_id)

    def delete_device(self, device_id: int) -> None:
        self._delete("devices", device_id)

    def delete_stream(self, stream_id: int) -> None:
        self._delete("streams", stream_id)

    def devices(self, user_id: int) -> list[Device]:
        return _objects.devices(self._connection, user_id)

    def streams(self, device_id: int) -> list[Stream]:
        return _objects.streams(self._connection, device_id)

    def counts(self) -> Counts:
        return _objects.counts(self._connection)

    def head(self, stream_id: int, substream: Substream) -> Head:
        return self._head(key_of(stream_id, substream))

    def find_reply(self, stream_id: int, substream: Substream, upload: Upload) -> bytes | None:
        return self._find_reply(key_of(stream_id, substream), upload)

    def append(
        self,
        stream_id: int,
        substream: Substream,
        block: Block | None,
        mode: Mode = Mode.ORDERED,
        upload: Upload | None = None,
        *,
        skip_known: bool = False,
    ) -> Appended:
        key = key_of(stream_id, substream)
        head = self._head(key)
        if upload is not None:
            reply = self._find_reply(key, upload)
            if reply is not None:
                return Appended(-1, None, head.arrivals, repeated=True, reply=reply)
        first = -1
        if block is not None and skip_known and head.n > 0 and block.t1 <= head.t:
            with self._writing() as connection:
                block = unknown(connection, key, head, block)
        if block is not None:
            first, block = self._insert(key, head, block, mode)
        if upload is None:
            return Appended(first, block, head.arrivals)
        receipt = Receipt(upload.last, bytes(upload.digest), bytes(upload.reply), upload.expires)
        self._layer.receipts[key, upload.source] = receipt
        return Appended(first, block, head.arrivals, reply=receipt.reply)

    def index_at(self, stream_id: int, substream: Substream, t: float) -> int:
        key = key_of(stream_id, substream)
        head = self._head(key)
        if t >= head.t:
            return head.n
        with self._writing() as connection:
            return View(connection, key, head).index_after(t)

    def is_value(self, stream_id: int, substream: Substream, i: int, d: bytes) -> bool:
        key = key_of(stream_id, substream)
        head = self._head(key)
        with self._writing() as connection:
            view = View(connection, key, head)
            found = view.cut(view.run_at(i), i, i + 1).points[0].d
        return comparable(found) == comparable(msgspec.json.decode(d))

    def delete_points(
        self, stream_id: int, substream: Substream, i1: int, i2: int, *, by: str, why: str = "", keep: bool = True
    ) -> Correction:
        return self._correct(
            stream_id, substream, by, why, partial(_corrections.delete_points, i1=i1, i2=i2, keep=keep)
        )

    def update_point(
        self, stream_id: int, substream: Substream, i: int, d: bytes, *, by: str, why: str = ""
    ) -> Correction:
        return self._correct(stream_id, substream, by, why, partial(_corrections.update_point, i=i, d=d))

    def undo(self, stream_id: int, substream: Substream, correction_id: int, *, by: str, why: str = "") -> Correction:
        return self._correct(stream_id, substream, by, why, partial(_corrections.undo, correction_id=correction_id))

    def forget_corrected(self, stream_id: int, substream: Substream, t: float, limit: int) -> int:
        with self._writing() as connection:
            return _corrections.forget(connection, key_of(stream_id, substream), t, limit)

    def downlink(self, stream_id: int, downlink_id: int) -> Downlink | None:
        return _downlinks.find(self._connection, stream_id, downlink_id, self._clock())

    def settle_downlinks(self, stream_id: int, forget_before: float, coming: int = 0) -> int:
        with self._writing() as connection:
            return _downlinks.settle(connection, stream_id, self._clock(), forget_before, coming)

    def supersede_downlinks(self, stream_id: int) -> list[Downlink]:
        with self._writing() as connection:
            return _downlinks.supersede(connection, stream_id, self._clock())

    def add_downlinks(self, new: Sequence[Downlink]) -> list[Downlink]:
        with self._writing() as connection:
            return _downlinks.add(connection, new)

    def equal_downlinks(
        self, stream_id: int, by: str, values: Iterable[bytes], limit: int
    ) -> list[tuple[Downlink, int]]:
        return _downlinks.find_equal(self._connection, stream_id, by, values, self._clock(), limit)

    def change_downlinks(self, changed: Iterable[Downlink]) -> None:
        with self._writing() as connection:
            _downlinks.change(connection, changed)

    def seal(self, key: int, before: Head, blocks: Sequence[tuple[int, Sealed]], sealed: int) -> tuple[int, int]:
        """Put each of *blocks* in the place of the runs that hold the same datapoints, if these are still as they were.

        Args:
            before: The state of which *blocks* were made.
            blocks: Index of the first datapoint then, and what is to be there.
            sealed: So many datapoints, from the first on, are in blocks then, if nothing has changed.

        Returns:
            How many datapoints were sealed, and into how many blocks.

        Raises:
            NotFound: there is no such substream any more.
        """
        head = self._head(key)
        n = count = 0
        with self._writing() as connection:
            events = (
                [] if head.merges == before.merges else events_between(connection, key, before.arrivals, head.arrivals)
            )
            for was, one in blocks:
                i = followed(events, was, one[0].n)
                if i is not None and _swap(connection, key, i, one):
                    n, count = n + one[0].n, count + 1
            if not events and count == len(blocks):
                # Another sealer may have put what is in front of it and what is behind it into one block meanwhile.
                connection.execute(
                    "UPDATE heads SET sealed = max(sealed, ?1) WHERE substream = ?2 "
                    "AND (?1 = ?3 OR EXISTS (SELECT 1 FROM runs WHERE place = ?4))",
                    (sealed, key, head.n, place_of(key, sealed)),
                )
        return n, count

    def seal_now(self, key: int, least: int) -> Sealing:
        """Make the next block of a substream here, where nothing can come between. Raises `NotFound`."""
        head = self._head(key)
        with self._writing() as connection:
            plan = plan_seal(View(connection, key, head), connection, least)
        if plan is None:
            return Sealing(0, 0, False)
        n, count = self.seal(key, head, [(i, sealed_of(block)) for i, block in plan.blocks[:1]], 0)
        return Sealing(n, count, plan.more or count < len(plan.blocks))

    def _insert(self, key: int, head: Head, block: Block, mode: Mode) -> tuple[int, Block]:
        first, merges = head.n, head.merges
        if first + block.n > INDEX_MAX:
            raise LimitReached(f"a stream holds at most {INDEX_MAX} datapoints; nothing was inserted")
        late = head.n > 0 and block.t1 < head.t
        if late and mode == Mode.ORDERED:
            raise TimestampOrder(
                f"the datapoint with t = {block.t1!r} is older than the newest one of the stream, which has "
                f"t = {head.t!r}; nothing was inserted",
                t=block.t1,
                newest=head.t,
            )
        if late and mode == Mode.RESTAMP:
            block = _restamp(block, head.t)
            late = False
        if late:
            with self._writing() as connection:
                runs = merge(connection, key, head, block)
                note_change(connection, key, head.arrivals, runs)
            first = runs[0][0]
            merges += 1
            self._layer.count(key, block.n)
        else:
            self._layer.append(key, first, block)
        self._layer.heads[key] = Head(head.n + block.n, max(head.t, block.t2), head.arrivals + block.n, merges)
        self._layer.dirty.add(key)
        return first, block

    def _correct(
        self, stream_id: int, substream: Substream, by: str, why: str, correct: Callable[..., tuple[Correction, Head]]
    ) -> Correction:
        key = key_of(stream_id, substream)
        head = self._head(key)
        with self._writing() as connection:
            correction, head = correct(connection, key, head, note=_corrections.Note(self._clock(), by, why))
        self._layer.heads[key] = head
        self._layer.dirty.add(key)
        return correction

    def _head(self, key: int) -> Head:
        for heads in (self._layer.heads, self._below.heads):
            if key in heads:
                head = heads[key]
                if head is None:
                    raise NotFound("the stream does not exist")
                return head
        head = self._heads.get(key)
        if head is None:
            head = read_head(self._connection, key)
        self._layer.heads[key] = head
        return head

    def _find_reply(self, key: int, upload: Upload) -> bytes | None:
        """Return the answer that *upload* got when it was accepted; ``None`` if it is a new one."""
        source = upload.source
        if not 0 < len(source) <= _SOURCE_LENGTH_MAX or not source.isprintable():
            raise InvalidValue(
                f"the source of an upload has 1 to {_SOURCE_LENGTH_MAX} printable characters: {source[:99]!r} does not"
            )
        if not 1 <= upload.first <= upload.last <= _NUMBER_MAX:
            raise InvalidValue(f"an upload cannot be numbered {upload.first} to {upload.last}")
        place = (key, source)
        receipt = self._layer.receipts.get(place) or self._below.receipts.get(place)
        if receipt is None:
            rows = query(self._connection, _RECEIPT, place)
            receipt = Receipt(*rows[0]) if rows else None
        if receipt is None or (receipt.expires is not None and receipt.expires <= self._clock()):
            return None
        if upload.last == receipt.last and upload.digest == receipt.digest:
            return receipt.reply
        if upload.first > receipt.last:
            return None
        raise UploadConflict(
            f"the upload {upload.first} to {upload.last} of source {source!r} is no repetition of one that was "
            f"accepted, and what was accepted reaches to {receipt.last}",
            last=receipt.last,
        )

    def _delete(self, table: str, object_id: int) -> None:
        with self._writing() as connection:
            stream_ids = _objects.streams_below(connection, table, object_id)
            _objects.delete(connection, table, object_id, stream_ids)
        for id_ in stream_ids:
            for substream in Substream:
                self._layer.heads[key_of(id_, substream)] = None

    @contextmanager
    def _writing(self) -> Iterator[apsw.Connection]:
        """Lend the connection, in a savepoint of this work, with all that was appended before written."""
        try:
            if not self._in_savepoint:
                try:
                    self._below.write(self._connection)
                    self._connection.execute("SAVEPOINT work")
                except apsw.Error as error:
                    self.lost = translate(error, self._path)
                    raise
                self._in_savepoint = True
            self._layer.write(self._connection)
            yield self._connection
        except apsw.Error as error:
            self._failed = translate(error, self._path)
            raise self._failed from error


def _restamp(block: Block, t: float) -> Block:
    """Return *block* with the time stamps before *t* lifted to it."""
    return Block.of([point if point.t >= t else Datapoint(t, point.d, point.o) for point in block.points])


def _swap(connection: apsw.Connection, key: int, i: int, sealed: Sealed) -> bool:
    """Put a block in the place of the runs that hold its datapoints; ``False`` if these runs have other bounds."""
    n = sealed[0].n
    between = (place_of(key, i), place_of(key, i + n))
    found = query(connection, "SELECT min(place), sum(n) FROM runs WHERE place >= ? AND place < ?", between)
    if found != [(between[0], n)]:
        return False  # somebody else has sealed them meanwhile
    rows = query(connection, "DELETE FROM runs WHERE place >= ? AND place < ? RETURNING n, block", between)
    drop_blocks(connection, [block for _, block in rows if block is not None])
    put_sealed(connection, between[0], sealed)
    # It may have taken the last block of those that are noted as such, with what is behind it.
    connection.execute(
        "UPDATE heads SET sealed = ?1 WHERE substream = ?2 AND sealed > ?3 AND sealed < ?1", (i + n, key, i)
    )
    return True
