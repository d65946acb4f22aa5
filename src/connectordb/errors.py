"""Every error that ConnectorDB raises, on both sides of the wire.

::

    ConnectorDBError                      .type  .retryable
    ├─ RequestError                4xx    .status .ref .details      (old name: AuthenticationError)
    │  ├─ Unauthenticated          401    the credentials are wrong
    │  ├─ PermissionDenied         403    the role does not allow it
    │  │  └─ LimitReached          403    a limit of the role is used up
    │  ├─ NotFound                 404    not there, or not to be seen: the two look the same
    │  ├─ MethodNotAllowed         405
    │  ├─ TooLarge                 413
    │  ├─ TooManyRequests          429    .retry_after_s
    │  ├─ Conflict                 409
    │  │  ├─ AlreadyExists         403
    │  │  ├─ TimestampOrder        403
    │  │  └─ UploadConflict        409
    │  └─ Invalid                  400    cannot be parsed, or is named badly
    │     ├─ InvalidRange          400
    │     ├─ ScriptError           400    a PipeScript that cannot be read, or that fails on a datapoint
    │     ├─ InvalidValue          403    understood, but refused
    │     ├─ SchemaInvalid         403    not a JSON Schema
    │     └─ SchemaMismatch        403    the data does not fit the stream's schema
    ├─ ServerError                 5xx    .status .ref
    │  ├─ Unsupported              501
    │  ├─ Unavailable              503    shutting down, or full
    │  └─ StorageFull              507    the disk of the server is full
    ├─ TransportError (OSError)           no reply: the request may or may not have been carried out
    │  ├─ ConnectFailed                   nothing was sent
    │  ├─ TimedOut
    │  └─ Closed
    ├─ SpoolError                         the Logger's file
    │  ├─ SpoolFull
    │  └─ SpoolCorrupt
    ├─ StoreError                         the database file cannot be opened
    │  ├─ StoreDamaged                    what is in it is not what was written
    │  └─ StoreBusy                       the disk failed, or the file is locked by another process
    │     └─ StoreFull                    the disk is full
    └─ FolderError                        the database folder cannot be used as asked

On the wire an error is ``{"code": status, "msg": text, "ref": uuid, "error": type}``, with ``details`` where
there are any. The statuses are those of ConnectorDB 0.3, whose clients read ``code``, ``msg`` and ``ref``: this is
why a duplicate name is a 403 and not a 409.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "AlreadyExists",
    "AuthenticationError",
    "Closed",
    "Conflict",
    "ConnectFailed",
    "ConnectorDBError",
    "FolderError",
    "Invalid",
    "InvalidRange",
    "InvalidValue",
    "LimitReached",
    "MethodNotAllowed",
    "NotFound",
    "PermissionDenied",
    "RequestError",
    "SchemaInvalid",
    "SchemaMismatch",
    "ScriptError",
    "ServerError",
    "SpoolCorrupt",
    "SpoolError",
    "SpoolFull",
    "StorageFull",
    "StoreBusy",
    "StoreDamaged",
    "StoreError",
    "StoreFull",
    "TimedOut",
    "TimestampOrder",
    "TooLarge",
    "TooManyRequests",
    "TransportError",
    "Unauthenticated",
    "Unavailable",
    "Unsupported",
    "UploadConflict",
    "from_wire",
]


class ConnectorDBError(Exception):
    """Base of all errors of this package."""

    type: ClassVar[str] = "error"
    """A word for programs; stable, also on the wire."""
    retryable: ClassVar[bool] = False
    """Whether the same request may succeed later without a change."""
    inserted: int = 0
    """How many datapoints are stored for certain, when an insert that takes several requests fails midway."""


class _WireError(ConnectorDBError):
    """An error that a server answered, or is about to."""

    default_status: ClassVar[int] = 500

    def __init__(self, msg: str, *, status: int | None = None, ref: str | None = None, **details: Any) -> None:
        super().__init__(msg)
        self.msg = msg
        self._told = status is not None or ref is not None
        self.status = self.default_status if status is None else status
        self.ref = ref
        self.details: dict[str, Any] = details

    def __str__(self) -> str:
        # What nobody has answered, as nothing was sent, has no number.
        return (f"{self.status}: {self.msg}" if self._told else self.msg) + (f" (ref {self.ref})" if self.ref else "")


class RequestError(_WireError):
    """The server understood who asks and what, and refused (4xx). Nothing was changed."""

    type = "refused"
    default_status = 400


AuthenticationError = RequestError
"""The name that ConnectorDB 0.3's client gave to every 4xx."""


class Unauthenticated(RequestError):
    """Wrong user, password or API key."""

    type = "unauthenticated"
    default_status = 401


class PermissionDenied(RequestError):
    """The role of the asking user or device does not allow this."""

    type = "forbidden"
    default_status = 403


class LimitReached(PermissionDenied):
    """The owner's role allows no more of these."""

    type = "limit_reached"


class NotFound(RequestError):
    """There is no such thing, or it may not be seen."""

    type = "not_found"
    default_status = 404


class MethodNotAllowed(RequestError):
    """The path exists, but not with this method."""

    type = "method_not_allowed"
    default_status = 405


class TooLarge(RequestError):
    """The body is larger than the server takes at once."""

    type = "too_large"
    default_status = 413


class TooManyRequests(RequestError):
    """Slow down. ``details["retry_after_s"]`` says for how long."""

    type = "too_many_requests"
    default_status = 429
    retryable = True


class Conflict(RequestError):
    """What is there already does not go together with the request."""

    type = "conflict"
    default_status = 409


class AlreadyExists(Conflict):
    """The name is taken."""

    type = "already_exists"
    default_status = 403


class TimestampOrder(Conflict):
    """A time stamp is older than the one before it, or than the stream's newest."""

    type = "timestamp_order"
    default_status = 403


class UploadConflict(Conflict):
    """An upload overlaps an earlier one of the same source without being its repetition."""

    type = "upload_conflict"


class Invalid(RequestError):
    """The request cannot be parsed, or names something badly."""

    type = "invalid"


class InvalidRange(Invalid):
    """A range that is neither by index nor by time, or is both, or does not lie in the stream."""

    type = "invalid_range"


class ScriptError(Invalid):
    """A PipeScript that cannot be read, or that fails on a datapoint.

    ``details`` may hold ``column`` (0-based position in the script), ``expected`` (what could have stood there),
    ``hint``, and for a failure on a datapoint ``stage`` (the part of the script that failed), ``index`` (0-based, of
    the datapoints which that stage was given) and ``t``.
    """

    type = "script_error"

    @property
    def column(self) -> int | None:
        """Where in the script, 0-based; ``None`` if that is not known."""
        column = self.details.get("column")
        return column if isinstance(column, int) else None

    @property
    def expected(self) -> str | None:
        """What could have stood there; ``None`` if that is not known."""
        expected = self.details.get("expected")
        return expected if isinstance(expected, str) else None


class InvalidValue(Invalid):
    """A field that was understood and cannot be accepted."""

    type = "invalid_value"
    default_status = 403


class SchemaInvalid(InvalidValue):
    """A stream's schema is not a JSON Schema (draft 4)."""

    type = "schema_invalid"


class SchemaMismatch(InvalidValue):
    """A datapoint does not fit the schema of its stream."""

    type = "schema_mismatch"


class ServerError(_WireError):
    """The server failed (5xx), or answered something that is no answer."""

    type = "server_error"


class Unsupported(ServerError):
    """This server does not do that."""

    type = "unsupported"
    default_status = 501


class Unavailable(ServerError):
    """The server is shutting down, or has too much to do. Try again later."""

    type = "unavailable"
    default_status = 503
    retryable = True


class StorageFull(ServerError):
    """The disk of the server is full; nothing was stored. It takes data again as soon as there is room."""

    type = "storage_full"
    default_status = 507
    retryable = True


class TransportError(ConnectorDBError, OSError):
    """No reply came. The request may or may not have been carried out."""

    type = "transport"
    retryable = True


class ConnectFailed(TransportError, ConnectionError):
    """No connection could be made, so nothing was sent."""

    type = "connect_failed"


class TimedOut(TransportError, TimeoutError):
    """No reply in time."""

    type = "timed_out"


class Closed(TransportError, ConnectionError):
    """The connection broke before the reply was complete, or the client has been closed."""

    type = "closed"


class SpoolError(ConnectorDBError):
    """The Logger's spool file cannot be used. What was inserted before is still in it."""

    type = "spool"


class SpoolFull(SpoolError):
    """The disk, or the bound set on the spool, is full. The datapoint was not taken."""

    type = "spool_full"
    retryable = True


class SpoolCorrupt(SpoolError):
    """The spool file is damaged, or no spool at all."""

    type = "spool_corrupt"


class StoreError(ConnectorDBError):
    """The database could not be read or written; nothing of the failed write was stored."""

    type = "store"


class StoreBusy(StoreError):
    """The disk or the database cannot take it now; the same request may succeed later.

    Attributes:
        reason: Why, in a few words that may be told to anybody.
    """

    type = "store_busy"
    retryable = True

    def __init__(self, msg: str, reason: str = "the disk is busy") -> None:
        super().__init__(msg)
        self.reason = reason


class StoreFull(StoreBusy):
    """The disk is full. Reading goes on, and writing as soon as there is room."""

    type = "store_full"

    def __init__(self, msg: str, reason: str = "the disk is full") -> None:
        super().__init__(msg, reason)


class StoreDamaged(StoreError):
    """What is on disk is not what was written. What is not damaged can be read.

    Attributes:
        reason: What is damaged, in words that may be told to whoever may read it.
    """

    type = "store_damaged"

    def __init__(self, msg: str, reason: str = "the database is damaged") -> None:
        super().__init__(msg)
        self.reason = reason


class FolderError(ConnectorDBError):
    """The database folder cannot be used as asked; the message says why and what to do."""

    type = "folder"


def _by_type(base: type[_WireError]) -> dict[str, type[_WireError]]:
    found = {base.type: base}
    for sub in base.__subclasses__():
        found.update(_by_type(sub))
    return found


_WIRE_TYPES = _by_type(RequestError) | _by_type(ServerError)
_BY_STATUS: dict[int, type[_WireError]] = {
    401: Unauthenticated,
    403: PermissionDenied,
    404: NotFound,
    405: MethodNotAllowed,
    409: Conflict,
    413: TooLarge,
    429: TooManyRequests,
    501: Unsupported,
    503: Unavailable,
    507: StorageFull,
}


def from_wire(status: int, body: Any) -> RequestError | ServerError:
    """Return the error that a server's answer describes.

    Args:
        status: HTTP status, 400 or more.
        body: The decoded JSON of the answer; anything else is quoted as it is.

    Never fails: an answer in an unknown form becomes `RequestError` (4xx) or `ServerError`.
    """
    fields = body if isinstance(body, dict) else {}
    fallback = RequestError if 400 <= status < 500 else ServerError
    cls = _WIRE_TYPES.get(str(fields.get("error", ""))) or _BY_STATUS.get(status, fallback)
    msg = fields.get("msg")
    if not isinstance(msg, str):
        msg = f"the server answered {status}" + (f": {str(body)[:200]}" if body else "")
    ref = fields.get("ref")
    error = cls(msg, status=status, ref=ref if isinstance(ref, str) else None)
    details = fields.get("details")
    if isinstance(details, dict):
        error.details = details
    assert isinstance(error, RequestError | ServerError)  # noqa: S101 - what _WIRE_TYPES holds
    return error
