"""The contract of a store: what the core asks of whatever keeps the data.

Reading is synchronous, short and safe from any thread. Writing goes through `Store.submit`: the function given runs
on the store's single writer, and its future is done after the commit is on disk, so what has been acknowledged
survives a power failure. Functions that wait at the same time share one transaction and one sync to disk, and each
succeeds or fails by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from ..block import Block
from ..query import Range
from .records import (
    Appended,
    Change,
    Correction,
    Counts,
    Cursor,
    Device,
    Downlink,
    DownlinkState,
    Head,
    Mode,
    Page,
    Stream,
    Substream,
    Summary,
    Upload,
    User,
)

__all__ = ["Store", "Transaction"]

T = TypeVar("T")


class Transaction(Protocol):
    """What a function that runs on the writer may do. All of it takes effect together, or nothing."""

    def create_user(self, user: User) -> User:
        """Store *user* and return it with its new id, which is never used again.

        Raises:
            AlreadyExists: the name or the e-mail address is taken.
        """

    def create_device(self, device: Device) -> Device:
        """Store *device* and return it with its new id.

        Raises:
            AlreadyExists: the user has a device of that name, or some device has that API key.
            NotFound: no such user.
        """

    def create_stream(self, stream: Stream) -> Stream:
        """Store *stream*, empty, and return it with its new id.

        Raises:
            AlreadyExists: the device has a stream of that name.
            NotFound: no such device.
        """

    def update_user(self, user_id: int, changes: Mapping[str, Any]) -> User:
        """Set the fields in *changes* and return the user. Raises `NotFound`, `AlreadyExists` (e-mail)."""

    def update_device(self, device_id: int, changes: Mapping[str, Any]) -> Device:
        """Set the fields in *changes* and return the device. Raises `NotFound`, `AlreadyExists` (API key)."""

    def update_stream(self, stream_id: int, changes: Mapping[str, Any]) -> Stream:
        """Set the fields in *changes* and return the stream. Raises `NotFound`."""

    def delete_user(self, user_id: int) -> None:
        """Delete the user, its devices, their streams and all data. Raises `NotFound`."""

    def delete_device(self, device_id: int) -> None:
        """Delete the device, its streams and all data. Raises `NotFound`."""

    def delete_stream(self, stream_id: int) -> None:
        """Delete the stream and all its data. Raises `NotFound`."""

    def devices(self, user_id: int) -> list[Device]:
        """The user's devices, in order of creation."""

    def streams(self, device_id: int) -> list[Stream]:
        """The device's streams, in order of creation."""

    def counts(self) -> Counts:
        """How many users, devices and streams there are."""

    def head(self, stream_id: int, substream: Substream) -> Head:
        """The state of a substream. Raises `NotFound`."""

    def find_reply(self, stream_id: int, substream: Substream, upload: Upload) -> bytes | None:
        """Return `Upload.reply` of the upload that *upload* repeats; ``None`` if it is a new one.

        Raises:
            UploadConflict: it is neither; see `Upload`.
        """

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
        """Insert the datapoints of *block* (``None``: none, but an upload is noted all the same).

        Within the block time stamps do not decrease (`Block.of` of a sorted list).

        Args:
            skip_known: With `Mode.MERGE`: leave out those of which the same time stamp and an equal value is stored.
                Values are compared as JSON: ``1`` equals ``1.0`` and not ``true``.

        Raises:
            NotFound: no such stream.
            TimestampOrder: with `Mode.ORDERED`, the block begins before the newest datapoint.
            UploadConflict: see `Upload`.
        """

    def index_at(self, stream_id: int, substream: Substream, t: float) -> int:
        """See `Store.index_at`."""

    def is_value(self, stream_id: int, substream: Substream, i: int, d: bytes) -> bool:
        """Whether the datapoint at index *i*, ``0 <= i < n``, has the value *d*, JSON text.

        Values are compared as JSON: ``1`` equals ``1.0`` and not ``true``; the order of keys makes no difference.
        """

    def delete_points(
        self, stream_id: int, substream: Substream, i1: int, i2: int, *, by: str, why: str = "", keep: bool = True
    ) -> Correction:
        """Take the datapoints ``[i1, i2)`` out, ``0 <= i1 < i2 <= n``.

        Args:
            by, why: For the ledger.
            keep: Keep what is taken out, so that it can be undone. Else its space is free from now on, and what is kept
                of updates of datapoints with time stamps from the first to the last of it is forgotten.

        Raises:
            NotFound: no such stream.
            InvalidRange: there are no such datapoints.
        """

    def update_point(
        self, stream_id: int, substream: Substream, i: int, d: bytes, *, by: str, why: str = ""
    ) -> Correction:
        """Give the datapoint at index *i* the value *d*, JSON text. Raises `NotFound`, `InvalidRange`."""

    def undo(self, stream_id: int, substream: Substream, correction_id: int, *, by: str, why: str = "") -> Correction:
        """Take a correction back: what it deleted returns to where it was, what it updated gets its old value.

        Datapoints that come back where others have been inserted since are put where they belong in time.

        Raises:
            NotFound: no such stream, or no such correction of it.
            Conflict: it has been undone, is itself an undo, nothing was kept, or what it updated is gone or has been
                updated again.
            LimitReached: there is no room for what was deleted.
        """

    def forget_corrected(self, stream_id: int, substream: Substream, t: float, limit: int) -> int:
        """Forget what was there before corrections where all of it has time stamps up to *t*, so they cannot be undone.

        Args:
            limit: At most of so many corrections.

        Returns:
            Of how many.
        """

    def downlink(self, stream_id: int, downlink_id: int) -> Downlink | None:
        """See `Store.downlink`."""

    def settle_downlinks(self, stream_id: int, forget_before: float, coming: int = 0) -> int:
        """Make room for *coming* downlinks, and return how many of the stream are queued.

        Those that are over are noted as such. Final ones that have not changed since *forget_before*, and delivered
        ones that were over by then, are forgotten bit by bit: more of them than come.
        """

    def supersede_downlinks(self, stream_id: int) -> list[Downlink]:
        """Mark all queued downlinks of the stream as superseded, and return them as they are then, oldest first."""

    def add_downlinks(self, new: Sequence[Downlink]) -> list[Downlink]:
        """Store *new* and return it with its ids, in the same order."""

    def equal_downlinks(
        self, stream_id: int, by: str, values: Iterable[bytes], limit: int
    ) -> list[tuple[Downlink, int]]:
        """Return those of the stream that are queued or delivered, whose `by` is *by* and value is among *values*.

        Values are compared as JSON: ``1`` equals ``1.0`` and not ``true``; the order of keys makes no difference.

        Args:
            values: JSON texts; not looked at if nothing is queued or delivered.
            limit: At most so many, the newest.

        Returns:
            Each with the position of the last value that it equals.
        """

    def change_downlinks(self, changed: Iterable[Downlink]) -> None:
        """Store what became of downlinks: `state`, `changed`, `by`, `msg` and `result`, by their id."""


class Store(Protocol):
    """Users, devices, streams and their datapoints."""

    def submit(self, work: Callable[[Transaction], T]) -> Future[T]:
        """Run *work* on the writer; the future is done after the commit.

        *work* has to be quick and may not wait for anything. If it raises, nothing of it is stored and the future
        raises the same. Works are carried out in the order in which they are submitted.

        Raises (through the future):
            Unavailable: the store is closing, or too many works are waiting. Nothing was stored.
            StoreError: the disk refused. Nothing was stored.
        """

    def begin(self, work: Callable[[Transaction], T], done: Callable[[T | None, BaseException | None], None]) -> None:
        """The same without a future, for those who have many works under way.

        Args:
            done: Called after the commit with the result, or with ``None`` and the error: on the writer's thread, or
                at once on the caller's if the work is refused. It has to be quick, and should not raise.
        """

    def user(self, name: str) -> User | None:
        """The user of that name."""

    def user_by_id(self, user_id: int) -> User | None:
        """The user with that id."""

    def user_by_email(self, email: str) -> User | None:
        """The user with that e-mail address; letters are compared without case."""

    def users(self) -> list[User]:
        """All users, in order of creation."""

    def device(self, user_id: int, name: str) -> Device | None:
        """The user's device of that name."""

    def device_by_apikey(self, apikey: str) -> Device | None:
        """The device with that API key, looked up so that the time taken says nothing about the key."""

    def devices(self, user_id: int) -> list[Device]:
        """The user's devices, in order of creation."""

    def stream(self, device_id: int, name: str) -> Stream | None:
        """The device's stream of that name."""

    def streams(self, device_id: int) -> list[Stream]:
        """The device's streams, in order of creation."""

    def limited_streams(self) -> list[Stream]:
        """The streams whose datapoints are not kept for ever."""

    def counts(self) -> Counts:
        """How many users, devices and streams there are."""

    def head(self, stream_id: int, substream: Substream) -> Head:
        """The state of a substream. Raises `NotFound`."""

    def heads(self, device_id: int) -> dict[int, Head]:
        """The main substream of each stream of the device, by the stream's id."""

    def index_at(self, stream_id: int, substream: Substream, t: float) -> int:
        """Index of the first datapoint after *t* (seconds); the length if there is none. Raises `NotFound`."""

    def read(self, stream_id: int, substream: Substream, wanted: Range) -> Iterator[Block]:
        """Return the datapoints of the range *wanted*, block by block, oldest first.

        Each step is its own short read, so a slow caller holds nothing up. The end is fixed by the first step:
        datapoints appended later do not appear. Late ones that are merged in front of what has been returned do not
        appear either, and shift nothing. What is deleted meanwhile is missing, and nothing comes in its place.

        Raises:
            NotFound: no such stream, or deleted since.
            InvalidRange: the index range does not lie in the stream.
        """

    def cursor_at(
        self, stream_id: int, substream: Substream, *, t: float | None = None, i: int | None = None
    ) -> Cursor:
        """Return the cursor of a reader who has seen all before index *i*, or all not after *t* seconds.

        Args:
            i: Negative: from the end. What lies outside of the stream is taken for its nearer end.

        With neither: that of a reader who has seen all there is. Raises `NotFound`.
        """

    def read_after(self, stream_id: int, substream: Substream, cursor: Cursor) -> Iterator[Page]:
        """Return what a reader at *cursor* has not seen, page by page.

        First what is left of the state that the cursor is in the midst of, then what has arrived since, to what there
        is at the first step; each of the two in order of time, late datapoints in between. The last page's cursor is
        `Cursor.behind` of that, unless what was left has been deleted. Each step is its own short read.

        A datapoint that it has seen does not come again when it is updated. One that was deleted does, when that is
        undone.

        Raises:
            NotFound: no such stream, or deleted since.
            InvalidRange: *cursor* is not of this stream: it is ahead of it.
        """

    def read_summaries(
        self,
        stream_id: int,
        substream: Substream,
        wanted: Range,
        fits: Callable[[float, float], bool] | None = None,
    ) -> Iterator[Block | Sequence[Summary]]:
        """As `read`, but of runs that lie in the range wholly and are known to be numbers only what is known of them.

        A limit in *wanted* is kept too. A sequence is of runs that follow each other, and is not empty.

        Args:
            fits: Called with the time stamps of the first and the last datapoint of a run, in the order of the runs:
                whether what is known of it will do. Else it is read. ``None``: it always will.
        """

    def changes_after(
        self,
        stream_id: int,
        substream: Substream,
        state: int,
        *,
        removed: bool = True,
        check: Callable[[], None] = lambda: None,
    ) -> Iterator[Change]:
        """Return the steps that lead from *state* to what there is at the first of them, in the order they were made.

        Each of the returned is its own short read. A state in the midst of a late insert begins with what is left of
        it. Raises `NotFound`, `InvalidRange` (*state* is ahead of the stream).

        Args:
            removed: Tell also what came and has been deleted since, where it is kept. Else it is not known any more.
            check: Called now and then where it takes time to work out what became of what came; raises to end that.
        """

    def corrections(
        self, stream_id: int, substream: Substream, *, before: int | None = None, limit: int
    ) -> list[Correction]:
        """The ledger, newest first: at most *limit* entries, with ids below *before*. Raises `NotFound`."""

    def corrected(self, stream_id: int, substream: Substream, correction_id: int) -> Iterator[Block]:
        """Return what was there before a correction, in order. Raises `NotFound`; nothing if it was not kept."""

    def downlink(self, stream_id: int, downlink_id: int) -> Downlink | None:
        """The downlink with that id, if it is one of the stream. If it has waited in vain, its state is expired."""

    def downlinks(
        self, stream_id: int, *, state: DownlinkState | None = None, o: str | None = None, limit: int
    ) -> list[Downlink]:
        """The newest *limit* downlinks of the stream, oldest first.

        Args:
            state: Only those in this state.
            o: Only those of this sender.
        """

    def open_downlinks(self, stream_id: int, *, after: int = 0, limit: int) -> list[Downlink]:
        """The oldest *limit* downlinks of the stream that are still to be done and have a greater id than *after*.

        They are queued or delivered, and not over. If they are very long, fewer are returned, but one at least.
        """

    def close(self) -> None:
        """Carry out what was submitted, then close. Submitting afterwards gives `Unavailable`."""
