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
    "Device",
    "DeviceCreate",
    "DownlinkCreate",
    "DownlinkState",
    "DownlinkUpdate",
    "DownlinkView",
    "ErrorReply",
    "InsertReport",
    "Refusal",
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


class StreamCreate(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A stream to create. `schema` is JSON Schema draft 4 as a string."""

    name: str | None = None
    nickname: str = ""
    description: str = ""
    icon: str = ""
    schema: str = ""
    datatype: str = ""
    ephemeral: bool = False
    downlink: bool = False


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

    `device`, the name of its device, is there only in the list of all streams of a user.
    """

    name: str | msgspec.UnsetType = msgspec.UNSET
    nickname: str | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    icon: str | msgspec.UnsetType = msgspec.UNSET
    schema: str | msgspec.UnsetType = msgspec.UNSET
    datatype: str | msgspec.UnsetType = msgspec.UNSET
    ephemeral: bool | msgspec.UnsetType = msgspec.UNSET
    downlink: bool | msgspec.UnsetType = msgspec.UNSET
    device: str | msgspec.UnsetType = msgspec.UNSET


class Refusal(msgspec.Struct, kw_only=True):
    """A datapoint that was not stored: its 0-based position in the request, and why."""

    position: int
    msg: str


class InsertReport(msgspec.Struct, kw_only=True):
    """The answer to an insert that asked for verdicts (``verdicts=true``).

    Attributes:
        stored: How many datapoints of the request are in the stream.
        refused: The others, in order of their position.
        repeated: The same upload had been stored before; nothing was written now.
        downlink: Id of what the owner of the stream is asked, if it is one thing.
    """

    stored: int
    refused: list[Refusal] = []
    repeated: bool = False
    downlink: int | msgspec.UnsetType = msgspec.UNSET


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
