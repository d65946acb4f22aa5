"""What goes over the wire, as typed structures: bodies of requests and answers.

A body that does not fit fails with the path of the bad value. The OpenAPI description is made from these types.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, get_args

import msgspec

from .datapoint import Datapoint

__all__ = [
    "API",
    "DEFAULT_PORT",
    "DEFAULT_URL",
    "DOWNLINK_LIFETIME_MAX_S",
    "DOWNLINK_STATES",
    "DOWNLINK_WAIT_MAX_S",
    "KEEP_MAX_S",
    "KEEP_MIN_S",
    "Change",
    "ChangeKind",
    "Changes",
    "Correction",
    "CorrectionKind",
    "Device",
    "DeviceCreate",
    "DownlinkCreate",
    "DownlinkState",
    "DownlinkUpdate",
    "DownlinkView",
    "ErrorReply",
    "InsertReport",
    "PointUpdate",
    "Refusal",
    "Setup",
    "SetupState",
    "Stream",
    "StreamCreate",
    "User",
    "UserCreate",
    "decode_points",
]

API = "/api/v1"
DEFAULT_PORT = 3124
DEFAULT_URL = f"http://localhost:{DEFAULT_PORT}"

SOURCE_LENGTH_MAX = 64
"""Characters in the name of an upload's source, and in an idempotency key."""


KEEP_MIN_S = 60
KEEP_MAX_S = 1e11
"""Datapoints are kept so long at least, and at most, in seconds, if not for ever."""
_KEEP_RANGE: dict[str, Any] = {"anyOf": [{"const": 0}, {"minimum": KEEP_MIN_S, "maximum": KEEP_MAX_S}]}
"""Told, and checked where changes of it are."""


class StreamCreate(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A stream to create.

    Attributes:
        schema: JSON Schema draft 4, as a string.
        keep: Datapoints older than so many seconds, 60 to 1e11, are deleted for good; 0: never.
    """

    name: str | None = None
    nickname: str = ""
    description: str = ""
    icon: str = ""
    schema: str = ""
    datatype: str = ""
    ephemeral: bool = False
    downlink: bool = False
    keep: Annotated[float, msgspec.Meta(extra_json_schema=_KEEP_RANGE)] = 0.0


class DeviceCreate(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A device to create, with streams by name. What is ``None`` gets the default of the creator's role."""

    name: str | None = None
    nickname: str = ""
    description: str = ""
    icon: str = ""
    apikey: str = ""
    enabled: bool | None = None
    visible: bool | None = None
    user_editable: bool | None = None
    public: bool | None = None
    role: str | None = None
    streams: dict[str, StreamCreate] = {}


class UserCreate(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A user to create, with devices by name, and with streams by name of its device ``user``."""

    name: str | None = None
    nickname: str = ""
    email: str = ""
    password: str = ""
    description: str = ""
    icon: str = ""
    role: str | None = None
    public: bool | None = None
    devices: dict[str, DeviceCreate] = {}
    streams: dict[str, StreamCreate] = {}


class SetupState(msgspec.Struct, kw_only=True):
    """Whether the first user is still to be made.

    Attributes:
        needed: There is no user yet.
        key: Whoever asks would have to know the key of the local administrator, as the request is not of a person who
            sits at the server's machine.
    """

    needed: bool
    key: bool


class Setup(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The first user of a database, who becomes an administrator.

    Attributes:
        name: User name.
        password: Password.
        email: Empty: ``NAME@localhost``.
        key: What stands in ``keys/admin.key`` in the folder of the database, if `SetupState.key` says so.
    """

    name: str
    password: str
    email: str = ""
    key: str = ""


class User(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A user as the asker may see it: what may not be read is left out."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    nickname: str | msgspec.UnsetType = msgspec.UNSET
    email: str | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    icon: str | msgspec.UnsetType = msgspec.UNSET
    role: str | msgspec.UnsetType = msgspec.UNSET
    public: bool | msgspec.UnsetType = msgspec.UNSET


class Device(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A device as the asker may see it: what may not be read is left out."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    nickname: str | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    icon: str | msgspec.UnsetType = msgspec.UNSET
    apikey: str | msgspec.UnsetType = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    visible: bool | msgspec.UnsetType = msgspec.UNSET
    user_editable: bool | msgspec.UnsetType = msgspec.UNSET
    public: bool | msgspec.UnsetType = msgspec.UNSET
    role: str | msgspec.UnsetType = msgspec.UNSET


class Stream(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A stream as the asker may see it: what may not be read is left out.

    `device`, the name of its device, is there only in the list of all streams of a user; `keep` only if it is not 0.
    `points`, how many datapoints it has, and `newest`, the time stamp of the newest one, are there only if asked for;
    without a datapoint, there is no `newest`.
    """

    name: str | msgspec.UnsetType = msgspec.UNSET
    nickname: str | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    icon: str | msgspec.UnsetType = msgspec.UNSET
    schema: str | msgspec.UnsetType = msgspec.UNSET
    datatype: str | msgspec.UnsetType = msgspec.UNSET
    ephemeral: bool | msgspec.UnsetType = msgspec.UNSET
    downlink: bool | msgspec.UnsetType = msgspec.UNSET
    keep: float | msgspec.UnsetType = msgspec.UNSET
    device: str | msgspec.UnsetType = msgspec.UNSET
    points: int | msgspec.UnsetType = msgspec.UNSET
    newest: float | msgspec.UnsetType = msgspec.UNSET


class Refusal(msgspec.Struct, kw_only=True):
    """A datapoint that was not stored: its 0-based position in the request, and why."""

    position: int
    msg: str


class InsertReport(msgspec.Struct, kw_only=True):
    """The answer to an insert that asked for verdicts (``verdicts=true``).

    Attributes:
        stored: How many datapoints of the request have been stored.
        refused: Those that were not, in order of their position.
        repeated: The same upload had been stored before; nothing was written now.
        downlink: Id of what the owner of the stream is asked, if it is one thing.
        skipped: With ``duplicates=skip``: how many were there already, if any.
    """

    stored: int
    refused: list[Refusal] = []
    repeated: bool = False
    downlink: int | msgspec.UnsetType = msgspec.UNSET
    skipped: int | msgspec.UnsetType = msgspec.UNSET


DownlinkState: TypeAlias = Literal["queued", "delivered", "acknowledged", "refused", "expired", "superseded"]
DOWNLINK_STATES: tuple[DownlinkState, ...] = get_args(DownlinkState)
DOWNLINK_LIFETIME_MAX_S = 3_153_600_000
"""A downlink waits so long at most, in seconds: a hundred years."""
DOWNLINK_WAIT_MAX_S = 60
"""An answer is held back so long at most until a downlink is settled, in seconds."""


class DownlinkCreate(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What the device that owns a stream is to do.

    Attributes:
        d: As inserted into the stream; it has to fit its schema.
        expires: After so many seconds it is not to be done any more; ``None``: the server's setting.
        supersede: It takes the place of all that the device has not taken on yet.
    """

    d: Any
    expires: Annotated[float, msgspec.Meta(gt=0, le=DOWNLINK_LIFETIME_MAX_S)] | None = None
    supersede: bool = False


class DownlinkUpdate(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What the device says of a downlink.

    Attributes:
        state: ``delivered``: it takes it on, and no other process of the device may.
        by: Names the process that takes it on.
        d: With ``acknowledged``: what was really done, to be inserted into the stream; ``None``: what was asked for.
        msg: For the sender to read.
    """

    state: Literal["delivered", "acknowledged", "refused"]
    by: Annotated[str, msgspec.Meta(max_length=64)] = ""
    d: list[Datapoint] | None = None
    msg: Annotated[str, msgspec.Meta(max_length=1000)] = ""


class DownlinkView(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A downlink, and what has become of it.

    Attributes:
        id: Unique in the database, greater for later ones.
        stream: Path of the stream.
        t, d, o: The datapoint in the downlink substream; `o` is the path of the sender.
        state: All but ``queued`` and ``delivered`` are final.
        expires: When it is not to be done any more, in seconds since the Unix epoch.
        changed: When `state` or `by` last changed.
        by: Which process of the device has taken it on. ``0.3``: a device of ConnectorDB 0.3; if it is queued, it has
            been sent to that, which has not confirmed it yet.
        msg: What the device said about it.
        result: If it is acknowledged: what was inserted into the stream.
    """

    id: int
    stream: str
    t: float
    d: Any
    o: str
    state: DownlinkState
    expires: float
    changed: float
    by: str = ""
    msg: str = ""
    result: list[Datapoint] | None = None


WHY_LENGTH_MAX = 1000
"""Characters in the reason of a correction."""

CorrectionKind: TypeAlias = Literal["deleted", "updated", "undone"]
ChangeKind: TypeAlias = Literal["inserted", "deleted", "updated"]


class Correction(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What somebody has changed of the datapoints of a stream: an entry of its ledger.

    Attributes:
        id: Unique in the database, greater for later ones. 0: there was nothing to be changed, and there is no entry.
        kind: What was done; ``undone``: another one was taken back.
        at: When, in seconds since the Unix epoch.
        by: The path of the device that did it.
        why: The reason that it gave.
        i: Index of the first datapoint concerned, as it was right before.
        n: How many are concerned.
        t1, t2: Time stamps of the first and the last of them, in seconds since the Unix epoch.
        kept: What was there before is kept, so that it can be read, and the correction undone.
        undoes: Id of the correction that this one took back.
        undone: Id of the correction that has taken this one back.
    """

    id: int = 0
    kind: CorrectionKind
    at: float
    by: str
    why: str = ""
    i: int = msgspec.field(default_factory=int)  # so that it is never left out
    n: int = 0
    t1: float = 0.0
    t2: float = 0.0
    kept: bool = False
    undoes: int | None = None
    undone: int | None = None

    def __bool__(self) -> bool:
        """Whether anything was done."""
        return self.id != 0


class PointUpdate(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Another value for a datapoint.

    Attributes:
        d: It has to fit the schema of the stream.
        why: For the ledger.
        t: The time stamp that the datapoint has. If it has another, so that another one is meant, nothing is changed.
        was: The value that it has, likewise: datapoints may have the same time stamp, and others may change it, too.
    """

    d: Any
    why: Annotated[str, msgspec.Meta(max_length=WHY_LENGTH_MAX)] = ""
    t: float | None = None
    was: Any | msgspec.UnsetType = msgspec.UNSET


class Change(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A step from one state of a stream to the next. Carried out one by one on a list, they make it equal the stream.

    Attributes:
        kind: ``inserted``: `n` datapoints came to stand at index `i` and behind; ``deleted``: those at ``[i, i + n)``
            went; ``updated``: those got other values.
        data: The datapoints that were inserted, or are there since the update; left out if they are not known any
            more, as a later step deletes them; or known only to those who may write the data of the stream.
        cursor: Stands for all up to here; left out of the parts of a step, but of its last one.
        correction: Id of the correction that did it; left out: it was an insert.
    """

    kind: ChangeKind
    i: int
    n: int
    data: list[Datapoint] | None = None
    cursor: str = ""
    correction: int | None = None


class Changes(msgspec.Struct, kw_only=True):
    """Steps of a stream, in the order in which they were made.

    Attributes:
        changes: Not too many at once.
        cursor: Where to go on.
        more: There is more already.
    """

    changes: list[Change]
    cursor: str
    more: bool


class ErrorReply(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The answer to a request that failed: `code` is the HTTP status, `error` a word for programs."""

    code: int
    msg: str
    ref: Annotated[str, msgspec.Meta(description="Also in the server's log")]
    error: str
    details: dict[str, Any] = {}


_points = msgspec.json.Decoder(list[Datapoint] | None)


def decode_points(body: bytes) -> list[Datapoint]:
    """Return the datapoints in the JSON array *body*; ``null`` is an empty array.

    Raises:
        msgspec.MsgspecError, UnicodeError, RecursionError: *body* is not an array of datapoints.
    """
    return _points.decode(body) or []
