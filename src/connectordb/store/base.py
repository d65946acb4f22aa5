"""The contract of a store: what the core asks of whatever keeps the data.

Reading is synchronous, short and safe from any thread. Writing goes through `Store.submit`: the function given runs
on the store's single writer, and its future is done after the commit is on disk, so what has been acknowledged
survives a power failure. Functions that wait at the same time share one transaction and one sync to disk, and each
succeeds or fails by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from enum import IntEnum
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from ..block import Block
from ..query import Range

__all__ = [
    "Appended",
    "Counts",
    "Device",
    "Head",
    "Mode",
    "Store",
    "Stream",
    "Substream",
    "Transaction",
    "Upload",
    "User",
]

T = TypeVar("T")


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user as stored. `password` is the hash of it."""

    id: int = 0
    name: str
    nickname: str = ""
    email: str
    description: str = ""
    icon: str = ""
    role: str = ""
    public: bool = False
    password: str = ""


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A device as stored. An empty `apikey` is none: it opens nothing."""

    id: int = 0
    user_id: int
    name: str
    nickname: str = ""
    description: str = ""
    icon: str = ""
    apikey: str = ""
    enabled: bool = True
    visible: bool = True
    user_editable: bool = True
    public: bool = False
    role: str = ""


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """A stream as stored. `schema` is minified JSON Schema."""

    id: int = 0
    device_id: int
    name: str
    nickname: str = ""
    description: str = ""
    icon: str = ""
    schema: str = "{}"
    datatype: str = ""
    ephemeral: bool = False
    downlink: bool = False


class Substream(IntEnum):
    """Which sequence of datapoints of a stream."""

    MAIN = 0
    DOWNLINK = 1


class Mode(IntEnum):
    """What an insert does with a datapoint that is older than the newest one stored."""

    ORDERED = 0
    """Refuse the whole insert with `TimestampOrder`."""
    RESTAMP = 1
    """Give it the newest time stamp."""
    MERGE = 2
    """Put it where it belongs: behind all stored datapoints with ``t`` not above its own."""


class Head(NamedTuple):
    """The state of a substream.

    Attributes:
        n: Number of datapoints.
        t: Newest time stamp in seconds, 0.0 if there is none.
        arrivals: How many datapoints have ever arrived.
        merges: How often stored datapoints have changed their index because late ones came before them.
    """

    n: int
    t: float
    arrivals: int
    merges: int


class Upload(NamedTuple):
    """Identifies an insert so that its repetition is recognised.

    A source numbers what it uploads to a stream. An upload with the same `last` and `digest` as the newest one
    accepted is its repetition: nothing is written, and it gets the same answer. Any other one with
    ``first <= last accepted`` is an `UploadConflict`.

    Attributes:
        source: Who numbers: unique, at most 64 characters.
        first, last: The inclusive range of numbers, ``1 <= first <= last < 2**63``.
        digest: Digest of the content.
        reply: What the caller wants back with a repetition.
        expires: When it may be forgotten, in seconds since the Unix epoch; ``None``: never.
    """

    source: str
    first: int
    last: int
    digest: bytes
    reply: bytes = b""
    expires: float | None = None


class Appended(NamedTuple):
    """What an insert did.

    Attributes:
        first_index: Index of the first datapoint inserted; -1 for a repetition, or if none was given.
        block: The datapoints as stored, or ``None`` if nothing was.
        repeated: The upload was a repetition.
        reply: `Upload.reply` of the upload that was stored, else empty.
    """

    first_index: int
    block: Block | None
    repeated: bool = False
    reply: bytes = b""


class Counts(NamedTuple):
    """How many there are in the whole database."""

    users: int
    devices: int
    streams: int


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
    ) -> Appended:
        """Insert the datapoints of *block* (``None``: none, but an upload is noted all the same).

        Within the block time stamps do not decrease (`Block.of` of a sorted list).

        Raises:
            NotFound: no such stream.
            TimestampOrder: with `Mode.ORDERED`, the block begins before the newest datapoint.
            UploadConflict: see `Upload`.
        """


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

    def counts(self) -> Counts:
        """How many users, devices and streams there are."""

    def head(self, stream_id: int, substream: Substream) -> Head:
        """The state of a substream. Raises `NotFound`."""

    def index_at(self, stream_id: int, substream: Substream, t: float) -> int:
        """Index of the first datapoint after *t* (seconds); the length if there is none. Raises `NotFound`."""

    def read(self, stream_id: int, substream: Substream, wanted: Range) -> Iterator[Block]:
        """Return the datapoints of the range *wanted*, block by block, oldest first.

        Each step is its own short read, so a slow caller holds nothing up. The end is fixed by the first step:
        datapoints appended later do not appear. Late ones that are merged in front of what has been returned do not
        appear either, and shift nothing.

        Raises:
            NotFound: no such stream, or deleted since.
            InvalidRange: the index range does not lie in the stream.
        """

    def close(self) -> None:
        """Carry out what was submitted, then close. Submitting afterwards gives `Unavailable`."""
