"""Downlinks, as seen by those who send them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..datapoints import DatapointArray
from ..errors import ServerError, TransportError
from . import _calls
from ._backoff import Backoff
from ._encode import encode_object
from ._feed import may_go_by

if TYPE_CHECKING:
    from ._session import Session
    from ._stream import Stream

__all__ = ["Downlink", "DownlinkFlag"]

FINAL = frozenset(("acknowledged", "refused", "expired", "superseded"))
POLL_S = 30.0
"""How long one question to the server waits at most."""


class Downlink:
    """A request to a device, and what has become of it.

    Its state is one of ``queued`` (it waits for the device), ``delivered`` (the device has it), and the final ones:
    ``acknowledged`` (it is done), ``refused`` (the device did not do it), ``expired`` (the device did not come in time)
    and ``superseded`` (a newer request took its place).
    """

    def __init__(self, session: Session, path: str, fields: _calls.Fields) -> None:
        self._session = session
        self._path = path
        self._fields = fields
        self.id = _number(fields)

    @property
    def path(self) -> str:
        """The stream that it was sent to."""
        return self._path

    @property
    def state(self) -> str:
        """What has become of it, when the server was last asked."""
        return str(self._fields.get("state", "queued"))

    @property
    def d(self) -> Any:
        """What was asked for."""
        return self._fields.get("d")

    @property
    def t(self) -> float:
        """When, in seconds since the Unix epoch."""
        return float(self._fields.get("t", 0.0))

    @property
    def expires(self) -> float | None:
        """When it is not to be done any more, in seconds since the Unix epoch."""
        expires = self._fields.get("expires")
        return None if expires is None else float(expires)

    @property
    def msg(self) -> str:
        """What the device says about it; empty if nothing."""
        return str(self._fields.get("msg", ""))

    @property
    def result(self) -> DatapointArray | None:
        """The datapoints with which the device has acknowledged it; ``None``: none."""
        result = self._fields.get("result")
        return DatapointArray(result) if isinstance(result, list) else None

    def refresh(self) -> None:
        """Ask the server what has become of it.

        Raises:
            NotFound: it has been forgotten, or there is no right to see it any more.
            TransportError: no answer.
        """
        self._fields = self._session.run(_calls.read_downlink(self._path, self.id))

    def wait(self, timeout: float | None = None) -> str:
        """Wait until it has come to its end, and return its state.

        If the server goes away meanwhile, it is asked again when it is back.

        Args:
            timeout: How long to wait, in seconds. When it has passed, the state is returned as it was last heard,
                which is ``queued`` or ``delivered``; nothing is raised. ``None``: for ever (unless it expires).

        Raises:
            NotFound: it has been forgotten, or there is no right to see it any more.
            Closed: this client has been closed.

        >>> lamp = db["lamp"]
        >>> lamp.create({"type": "boolean"}, downlink=True)
        >>> lamp.downlink(True).wait(timeout=0.1)
        'queued'
        """
        end = None if timeout is None else time.monotonic() + timeout
        backoff = Backoff(self._session.rand)
        while self.state not in FINAL:
            left = math.inf if end is None else max(0.0, end - time.monotonic())
            try:
                call = _calls.read_downlink(self._path, self.id, wait_s=min(left, POLL_S))
                self._fields = self._session.run(call, give_up_s=left)
                backoff.reset()
                pause_s = 0.0
            except (TransportError, ServerError) as e:
                if self._session.closed.is_set() or not (isinstance(e, TransportError) or may_go_by(e)):
                    raise
                pause_s = backoff.next_s()
            if end is not None:
                left = end - time.monotonic()
                if left <= 0:
                    break
                pause_s = min(pause_s, left)
            if pause_s:
                self._session.closed.wait(pause_s)
        return self.state

    def __repr__(self) -> str:
        return f"[Downlink:{self._path}#{self.id}, {self.state}]"


class DownlinkFlag:
    """Whether a stream is a downlink, as `Stream.downlink` says: used like a bool. And called, it sends a request.

    The server is not asked before it is used as a bool.

    >>> lamp = db["lamp"]
    >>> lamp.create({"type": "boolean"}, downlink=True)
    >>> lamp.downlink
    True
    >>> request = lamp.downlink(True, expires=60)
    >>> request.state, request.d
    ('queued', True)
    """

    def __init__(self, stream: Stream, read: Callable[[], bool]) -> None:
        self._stream = stream
        self._read = read

    def __call__(self, data: Any, expires: float | None = None, supersede: bool = False) -> Downlink:
        """Ask the device that owns the stream for something. If the answer is lost it is sent again, and stored once.

        Args:
            data: What is asked for; it has to fit the schema of the stream.
            expires: For how many seconds it may be done. ``None``: as long as the server says (seven days, unless set).
            supersede: It takes the place of earlier requests to this stream that the device does not have yet.

        Returns:
            The request; `Downlink.wait` waits for what becomes of it.

        Raises:
            SchemaMismatch: the value does not fit the schema.
            InvalidValue: the stream is no downlink; or the value cannot be written as JSON, and nothing has been sent.
            PermissionDenied: no right to send requests to it.
            NotFound: no such stream.
            TransportError: no answer; it may or may not be stored.
        """
        fields: dict[str, Any] = {"d": data}
        if expires is not None:
            fields["expires"] = float(expires)
        if supersede:
            fields["supersede"] = True
        session = self._stream._session
        sent = session.run(_calls.send_downlink(self._stream.path, encode_object(fields)))
        return Downlink(session, self._stream.path, sent)

    def __bool__(self) -> bool:
        return self._read()

    def __eq__(self, other: object) -> bool:
        return bool(self) == (bool(other) if isinstance(other, DownlinkFlag) else other)

    def __hash__(self) -> int:
        return hash(bool(self))

    def __repr__(self) -> str:
        return repr(bool(self))


def _number(fields: _calls.Fields) -> int:
    number = fields.get("id")
    if not isinstance(number, int):
        raise ServerError("the server has taken the request, and gave it no number")
    return number
