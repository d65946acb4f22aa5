"""Live: the datapoints of a stream as an iterator that goes on with those to come."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from ..errors import Closed, RequestError, ServerError, TransportError, from_wire
from . import _calls
from ._backoff import Backoff
from ._breaker import Breaker
from ._calls import Point
from ._feed import Corrected, Notice, may_go_by
from ._sse import Event, EventParser
from ._subscription import OnNotice
from ._transport import StreamReply

if TYPE_CHECKING:
    from ._session import Session

__all__ = ["Live"]

log = logging.getLogger("connectordb")

SILENCE_MAX_S = 45.0
"""A server gives a sign of life every 15 s, unless set otherwise. After three that did not come it is given up."""


class Live:
    """The datapoints of a stream, as dicts: those that are there, if asked for, and then those to come, as they come.

    Iteration waits for the next one, and ends when `close` is called, by another thread for example. It goes on where
    it was after a lost connection, and after a restart of the server: no datapoint is left out, and none comes twice.
    One thread iterates at a time. In a ``with`` block it is closed at the end.

    Iteration raises:
        NotFound, PermissionDenied: the stream has been deleted, or there is no right to read it any more.
        Unauthenticated: the credentials are not valid any more.
    """

    def __init__(
        self,
        session: Session,
        path: str,
        start: Mapping[str, str],
        transform: str = "",
        downlink: bool = False,
        on_notice: OnNotice | None = None,
    ) -> None:
        self._session = session
        self._path = path
        self._start = start
        self._transform = transform
        self._downlink = downlink
        self._on_notice = on_notice
        self._pid = os.getpid()
        self._open = ExitStack()
        self._reply: StreamReply | None = None
        self._events: Iterator[Event] = iter(())
        self._ready: deque[Point] = deque()
        self._next_cursor: str | None = None
        self._cursor: str | None = start.get("cursor")
        self._closed = threading.Event()
        self._using = threading.Lock()
        self._missed: int | None = 0
        self._breaker = Breaker()
        self._transport = session.transport.clone(self._breaker)
        try:
            session.opened(self)
            self._connect()
        except BaseException:
            self.close()
            raise

    @property
    def cursor(self) -> str | None:
        """Stands for all datapoints given out so far, but for an insert that is given out in part. Given to
        ``stream.live(cursor=...)``, be it by another process, iteration goes on after that."""
        return self._cursor

    @property
    def missed(self) -> int | None:
        """How many datapoints of an ephemeral stream are lost; ``None``: some, nobody knows how many."""
        return self._missed

    def close(self) -> None:
        """End the iteration, in whatever thread it waits. Closing twice does nothing."""
        self._closed.set()
        if os.getpid() != self._pid:  # the connection is that of another process
            return
        self._breaker.close()
        reply = self._reply
        if reply is not None:
            reply.abort()
        if self._using.acquire(blocking=False):  # else the thread that waits does it
            self._hang_up()
            self._using.release()
        self._transport.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Point:
        """Wait for the next datapoint."""
        if os.getpid() != self._pid:
            raise Closed("this live stream belongs to the process from which this one was forked")
        with self._using:
            while not self._ready and not self._closed.is_set():
                try:
                    self._receive()
                except (RequestError, ServerError):
                    self._closed.set()
                    self._transport.close()
                    raise
            if self._closed.is_set():
                self._hang_up()
                raise StopIteration
            point = self._ready.popleft()
            if not self._ready:
                self._cursor = self._next_cursor
            return point

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _receive(self) -> None:
        """Take what comes next, after a new connection if need be."""
        backoff = Backoff(self._session.rand)
        while not self._closed.is_set():
            try:
                if self._reply is None:
                    self._connect()
                event = next(self._events, None)
                if event is not None:
                    self._take(event)
                    return
                error: Exception = Closed("the answer has come to its end")
            except (RequestError, ServerError, TransportError) as e:
                if not isinstance(e, TransportError) and not may_go_by(e):
                    self._hang_up()
                    raise
                error = e
            self._hang_up()
            if not self._closed.is_set():
                log.info("The live stream '%s' has no connection: %s", self._path, error)
                self._closed.wait(backoff.next_s())

    def _connect(self) -> None:
        """Connect, and read until the server has said where the stream begins."""
        headers = {**self._session.headers, "Accept": "text/event-stream", "Cache-Control": "no-store"}
        headers["Accept-Encoding"] = "identity"  # else a proxy might hold events back until there is more to compress
        start = self._start
        if self._cursor is not None:
            headers["Last-Event-ID"], start = self._cursor, {}
        target = _calls.live_target(self._path, start, transform=self._transform, downlink=self._downlink)
        self._open = ExitStack()
        try:
            reply = self._open.enter_context(
                self._transport.stream("GET", target, headers=headers, body=None, timeout_s=SILENCE_MAX_S)
            )
            if reply.status != 200:
                raise _calls.error_of(reply.status, reply.headers, b"".join(reply.iter_bytes()))
            if not reply.headers.get("content-type", "").startswith("text/event-stream"):
                raise ServerError(f"{self._transport.url} answered with something that is no stream of events")
            self._reply = reply
            self._events = _events(reply)
            if self._closed.is_set():
                reply.abort()
            event = next(self._events, None)
            if event is None:
                raise Closed("the answer came to its end before it began")
            self._take(event)
        except BaseException:
            self._hang_up()
            raise

    def _take(self, event: Event) -> None:
        try:
            if event.kind == "message":
                self._ready.extend(_calls.decode_points(event.data.encode()))
                self._next_cursor = event.id
                if not self._ready:
                    self._cursor = event.id
                return
            fields = _decode(event.data)
            corrected = _correction(fields) if event.kind == "corrected" else None
        except (msgspec.MsgspecError, ValueError, RecursionError) as e:
            raise ServerError(f"the server sent an event that no ConnectorDB server sends: {e}") from e
        if event.kind == "start":
            self._cursor = event.id
        elif event.kind == "seen":  # there was nothing for us up to here
            self._next_cursor = event.id
            if not self._ready:
                self._cursor = event.id
        elif event.kind == "ended":
            raise from_wire(int(fields.get("code") or 500), fields)
        elif event.kind in ("lag", "missed", "reset", "failed"):
            n = fields.get("n")
            error = from_wire(int(fields.get("code") or 500), fields) if event.kind == "failed" else None
            self._tell(Notice(event.kind, self._path, n if isinstance(n, int) else None, error))
        elif event.kind == "corrected":
            self._tell(Notice(event.kind, self._path, correction=corrected))

    def _tell(self, notice: Notice) -> None:
        if notice.kind == "missed":
            self._missed = None if notice.n is None or self._missed is None else self._missed + notice.n
        if self._on_notice is not None:
            try:
                self._on_notice(notice)
            except Exception:
                log.exception("on_notice of the live stream '%s' failed", self._path)
        elif notice.kind == "failed":
            log.error("The transform of the live stream '%s' has failed: %s", self._path, notice.error)
        elif notice.kind == "missed":
            n = "some" if notice.n is None else notice.n
            log.warning("The live stream '%s' has missed %s datapoints", self._path, n)
        elif notice.kind == "reset":
            log.warning("The stream '%s' is not the one that it was: it begins anew", self._path)

    def _hang_up(self) -> None:
        self._reply = None
        self._events = iter(())
        self._open.close()
        self._breaker.cut()


def _events(reply: StreamReply) -> Iterator[Event]:
    parser = EventParser()
    for piece in reply.iter_bytes():
        yield from parser.feed(piece)


def _correction(fields: dict[str, Any]) -> Corrected:
    return msgspec.convert(fields.get("correction"), Corrected)


_decode = msgspec.json.Decoder(dict[str, Any]).decode
