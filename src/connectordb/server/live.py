"""A stream as it grows, as server-sent events: for browsers and for curl."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from ..core.subscription import Start
from ..errors import Closed, Invalid, RequestError, ServerError
from ..paths import parse_stream_path
from .messages import FAILED, notice_fields
from .params import flag, index, moment
from .reply import Reply, encode_json
from .request import LIVE, Request
from .state import State

if TYPE_CHECKING:
    from ..core.hub import Batch, Notice
    from ..core.subscription import Subscription

__all__ = ["EventStream", "follow"]

CONTENT_TYPE = b"text/event-stream"
RETRY_MS = 1000
"""How long a browser waits before it comes back."""

_HEARTBEAT = b":\n\n"
_HEADERS = ((b"x-accel-buffering", b"no"),)
"""Proxies are not to collect what is to come at once."""
_FORM = "events"


async def follow(state: State, request: Request) -> Reply:
    """Send datapoints as they are written, after those since a time, an index or a cursor."""
    params = request.params
    path = "/".join(request.args) + ("/downlink" if flag(params, "downlink") else "")
    parse_stream_path(path)  # not several streams at once: an event does not tell of which it is
    start = Start(cursor=params.get("cursor"), since=moment(params, "since"), i1=index(params, "i1"))
    if start.given > 1:
        raise Invalid("where to begin? Give one of since, i1 and cursor")
    last = request.headers.get(b"last-event-id")
    if last:  # a browser that comes back asks for the same address again, and wants to go on
        start = Start(cursor=last.decode("latin-1"))
    state.check_live_limit()
    request.scope[LIVE] = True
    stream = EventStream(state)
    try:
        await stream.begin(request, path, params.get("transform", ""), start)
    except BaseException:
        stream.close()
        raise
    return Reply(200, b"", CONTENT_TYPE, _HEADERS, chunks=stream)


class EventStream(AsyncGenerator[bytes, None]):
    """The body of an answer, as long as the client listens: an outlet that is read from.

    Not a generator function, as such a one cannot clean up before it has begun.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._waiting: list[bytes] = []
        self._bytes = 0
        self._bytes_max = state.core.settings.live.queue_bytes_max
        self._heartbeat_s = state.core.settings.live.heartbeat_s
        self._reader: asyncio.Future[None] | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._finished = False
        self._closed = False
        self._subscriber: Any = None

    async def begin(self, request: Request, path: str, transform: str, start: Start) -> None:
        """Subscribe. Raises what is wrong with that."""
        self._state.streams.add(self)
        self._subscriber = self._state.core.connect(request.actor, request.login, self)
        answer = await self._subscriber.subscribe(path, transform, start)
        cursor = answer["cursor"]
        self._put(b":\nretry: %d\n\nevent: start\nid: %b\n" % (RETRY_MS, cursor.encode()))
        self._put(b"data: " + encode_json({"cursor": cursor}) + b"\n\n")

    @property
    def waiting_bytes(self) -> int:
        """How much waits to be sent."""
        return self._bytes

    def finish(self) -> None:
        """End after what waits has been sent, properly, so that a browser comes back."""
        self._finished = True
        self._let_in()
        if self._subscriber is not None:
            self._subscriber.close()
        self._wake()

    def close(self) -> None:
        """End at once. May be called again."""
        if not self._closed:
            self._closed = True
            self.finish()
            self._waiting.clear()
            self._state.streams.discard(self)

    # What the core calls

    @property
    def full(self) -> bool:
        """See `connectordb.core.hub.Outlet`."""
        return self._bytes >= self._bytes_max

    def offer(self, subscription: Subscription, batch: Batch) -> bool:
        """See `connectordb.core.hub.Outlet`."""
        if self._finished or self.full:
            return False
        event: bytes | None = batch.forms.get(_FORM)
        if event is None:
            event = b"".join((b"id: ", batch.cursor.encode(), b"\ndata: [", batch.block.json, b"]\n\n"))
            batch.forms[_FORM] = event
        self._put(event)
        return True

    async def room(self) -> None:
        """See `connectordb.core.hub.Outlet`."""
        while self.full and not self._finished:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        if self._finished:
            raise Closed("the event stream has ended")

    def tell(self, subscription: Subscription, notice: Notice) -> None:
        """See `connectordb.core.hub.Outlet`."""
        if self._finished:
            return
        if notice.cursor is not None:
            self._put(b"id: " + notice.cursor.encode() + b"\n")
        self._tell(notice.kind, notice_fields(notice))
        if notice.kind == "ended":
            self.finish()

    def end(self, error: Exception) -> None:
        """See `connectordb.core.hub.Outlet`."""
        if self._finished:
            return
        if not isinstance(error, RequestError | ServerError):
            error = ServerError(FAILED)
        self._tell("ended", {"code": error.status, "msg": error.msg, "error": error.type})
        self.finish()

    # What sends the answer calls

    async def asend(self, value: None) -> bytes:
        """Wait for the next piece of the body, or until it is time for a sign of life."""
        if not self._waiting and not self._finished:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(self._heartbeat_s):
                    await self._reader
            except TimeoutError:
                return _HEARTBEAT
            finally:
                self._reader = None
        if not self._waiting:
            raise StopAsyncIteration
        piece = b"".join(self._waiting)
        self._waiting.clear()
        self._bytes = 0
        self._let_in()
        return piece

    async def athrow(self, typ: Any, val: Any = None, tb: Any = None) -> bytes:
        """Close."""
        self.close()
        raise typ

    async def aclose(self) -> None:
        """Close."""
        self.close()

    def _tell(self, kind: str, fields: dict[str, Any]) -> None:
        self._put(b"event: " + kind.encode() + b"\ndata: " + encode_json(fields) + b"\n\n")

    def _put(self, event: bytes) -> None:
        self._waiting.append(event)
        self._bytes += len(event)
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _let_in(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
