"""What a store keeps, and what it answers with: plain records."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import msgspec

from ..block import Block

__all__ = [
    "Appended",
    "Change",
    "ChangeKind",
    "Correction",
    "CorrectionKind",
    "Counts",
    "Cursor",
    "Device",
    "Downlink",
    "DownlinkState",
    "Head",
    "Mode",
    "Page",
    "Stream",
    "Substream",
    "Summary",
    "Upload",
    "User",
]


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
    """A stream as stored. `schema` is minified JSON Schema; `keep_s` says how long data is kept, 0: for ever."""

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
    keep_s: float = 0.0


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


class DownlinkState(IntEnum):
    """What has become of a downlink. All but the first two are final."""

    QUEUED = 0
    """It waits for the device."""
    DELIVERED = 1
    """The device has said that it has it, and not yet what came of it."""
    ACKNOWLEDGED = 2
    """The device has done it, or what `Downlink.result` says."""
    REFUSED = 3
    """The device has seen it, and did not do it."""
    EXPIRED = 4
    """The device did not come in time."""
    SUPERSEDED = 5
    """A newer one took its place before the device came."""


class Downlink(msgspec.Struct, frozen=True, kw_only=True):
    """A datapoint that asks the owner of the stream to do something, and what became of it.

    Attributes:
        id: Unique in the database, greater for later ones.
        stream_id: The stream, in whose downlink substream the datapoint is.
        t, d, o: The datapoint: `d` is JSON text, `o` the path of the sender.
        expires: When it is not to be done any more, in seconds since the Unix epoch.
        changed: When `state` or `by` last changed.
        by: Token of the process of the device that took it on; while it is queued, that it was sent to.
        msg: What the device said about it.
        result: JSON array of the datapoints with which it was acknowledged, empty if there are none.
    """

    id: int = 0
    stream_id: int
    t: float
    d: bytes
    o: str
    state: DownlinkState = DownlinkState.QUEUED
    expires: float
    changed: float
    by: str = ""
    msg: str = ""
    result: bytes = b""


class Head(NamedTuple):
    """The state of a substream.

    Attributes:
        n: Number of datapoints.
        t: Newest time stamp in seconds, 0.0 if there is none.
        arrivals: The state: how many datapoints have ever arrived, and how many corrections have been made.
        merges: How often stored datapoints have changed: their index because late ones came before them, or by a
            correction.
    """

    n: int
    t: float
    arrivals: int
    merges: int


class Cursor(NamedTuple):
    """What a reader has seen of a substream. It stays valid whatever comes, also where late datapoints come between.

    A state is named by `Head.arrivals` as it was then. Of the state `state` it has seen all that is
    in the state `base` too, and the first `done` of the rest, in order of time.
    """

    base: int
    state: int
    done: int = 0

    @classmethod
    def behind(cls, state: int) -> Cursor:
        """Return that of a reader who has seen all of *state*."""
        return cls(state, state)


class Page(NamedTuple):
    """What `Store.read_after` yields: datapoints, the index of the first, and the cursor behind the last."""

    block: Block
    first_index: int
    cursor: Cursor


class Summary(NamedTuple):
    """What is known of a run of numbers without looking at them. Integers among them are below 2**53.

    Attributes:
        n: How many.
        t1, t2: Time stamps of the first and the last, in seconds.
        low, high: The smallest and the largest value, and `t_low`, `t_high` the time stamp of the first such one.
        total: Their sum: an exact integer if they are integers all of them, else rounded once, and finite.
        first, last: The first and the last value.
    """

    n: int
    t1: float
    t2: float
    low: int | float
    t_low: float
    high: int | float
    t_high: float
    total: int | float
    first: int | float
    last: int | float


class CorrectionKind(IntEnum):
    """What a correction did."""

    DELETED = 1
    UPDATED = 2
    UNDONE = 3
    """It took back another one."""


class Correction(NamedTuple):
    """An entry of the ledger: stored datapoints were changed.

    Attributes:
        id: Unique in the database, greater for later ones.
        kind: What was done.
        at: When, in seconds since the Unix epoch.
        by, why: The path of who did it, and the reason given.
        i, n: Index of the first datapoint concerned, as it was right before, and how many are.
        t1, t2: Time stamps of the first and the last of them.
        kept: Whether what was there before is kept, so that it can be undone. Then it is in its stream again, and no
            more in the ledger.
        undoes: The correction that this one took back.
        undone: The correction that has taken this one back.
    """

    id: int
    kind: CorrectionKind
    at: float
    by: str
    why: str
    i: int
    n: int
    t1: float
    t2: float
    kept: bool
    undoes: int | None = None
    undone: int | None = None


class ChangeKind(IntEnum):
    """What happened to a substream."""

    INSERTED = 0
    DELETED = 1
    UPDATED = 2


class Change(NamedTuple):
    """A step from one state of a substream to a later one.

    Whoever has the datapoints of the first state and carries out the steps one by one on a list has those of the last.

    Attributes:
        kind: What happened.
        i, n: ``INSERTED``: *n* datapoints came to stand at *i* and behind; ``DELETED``: those at ``[i, i + n)`` went;
            ``UPDATED``: those at ``[i, i + n)`` got other values.
        block: What was inserted, or what is there since the update; ``None``: deleted, or nobody knows any more.
        state: The state behind it, for `Cursor.behind`. A step of several parts has been made wholly with its last.
        correction: The correction that did it; ``None``: an insert.
    """

    kind: ChangeKind
    i: int
    n: int
    block: Block | None
    state: int
    correction: int | None = None


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
        arrivals: How many datapoints had arrived before.
        repeated: The upload was a repetition.
        reply: `Upload.reply` of the upload that was stored, else empty.
    """

    first_index: int
    block: Block | None
    arrivals: int = 0
    repeated: bool = False
    reply: bytes = b""


class Counts(NamedTuple):
    """How many there are in the whole database."""

    users: int
    devices: int
    streams: int
