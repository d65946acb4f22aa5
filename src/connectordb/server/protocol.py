"""HTTP on a connection: uvicorn's, with bounds on what comes before a request is complete, and errors in our form.

Beyond that it puts the head of an answer and its body into one write: one system call less for each request, and one
packet for the client. And it lets go of a connection which becomes a websocket.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..errors import Invalid, RequestError
from .app import LINGER_BYTES, LINGER_S
from .reply import error_reply
from .request import LIVE, Request, new_ref
from .session import Session
from .state import State
from .websocket import CLOSE_S, PATH, UPGRADE, Handshake, Upgrade, WebSocketProtocol

__all__ = ["HttpProtocol"]

HEAD_BYTES_MAX = 64 * 1024
"""Bound on the request line with all headers."""
HEAD_S = 30.0
"""How long a client may take to send them."""
JOIN_BYTES_MAX = 64 * 1024
"""A larger body is not worth a copy."""
_CONTINUE = b"HTTP/1.1 100 "


class HttpProtocol(HttpToolsProtocol):
    """One connection.

    A request that is refused here is answered when those before it are, and nothing that follows it is looked at.
    """

    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _in_body = False
    _refusal = b""
    _upgrading = False
    _early = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_S, self._head_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._head_ended()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come; bound what comes before the headers are complete."""
        if self._upgrading:
            self._early += data
            self.flow.pause_reading()
            return
        if self._refusal:
            self._head_bytes += len(data)
            if self._head_bytes > LINGER_BYTES:
                self.transport.close()
            return
        before = self.cycle
        if not self._in_body:
            self._head_bytes += len(data)
        self._unset_keepalive_if_required()
        self._parse(data)
        if self._refusal:
            return
        if self.transport.is_closing():
            self._head_ended()
        elif self._head_bytes > HEAD_BYTES_MAX:
            self._refuse(_head_too_long())
        elif self.cycle is not before or (before is not None and not before.response_complete):
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_S, self._head_late)

    def shutdown(self) -> None:
        """Close when the answer that is being sent has ended; one without an end has been told to do so."""
        super().shutdown()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and cycle.scope.get(LIVE):
            self.loop.call_later(CLOSE_S, self.transport.abort)  # a client that reads nothing

    def on_headers_complete(self) -> None:
        """Begin to answer, unless the client asks for another protocol: see `_parse`."""
        self._head_bytes = 0
        # Line ends and the like count too: they have come over the wire.
        if len(self.url) + sum([len(name) + len(value) + 4 for name, value in self.headers]) > HEAD_BYTES_MAX:
            raise _head_too_long()
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise Invalid("this server is no proxy")
            if not self._asks_for_websocket():
                return
            self._upgrading = True
        self._in_body = True
        super().on_headers_complete()
        cycle = self.cycle
        if self._upgrading:
            self.scope[UPGRADE] = _HttpUpgrade(self)  # type: ignore[literal-required]
            cycle.keep_alive = False  # if it is refused
        cycle.transport = _JoiningTransport(self.transport, self.loop)  # type: ignore[assignment]

    def on_message_complete(self) -> None:
        """Wait for the next request."""
        if self._in_body:
            self._in_body = False
            self._head_bytes = 0
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on to the next request, which may be one to be refused."""
        super().on_response_complete()
        if self._upgrading:
            self.flow.pause_reading()
        if self._refusal and self.cycle.response_complete and not self.transport.is_closing():
            self._send_refusal()

    def switch(self, handshake: Handshake, state: State, request: Request) -> bool:
        """Make a websocket of the connection. Returns ``False`` if the client has gone."""
        cycle, transport = self.cycle, self.transport
        cycle.response_started = cycle.response_complete = True
        if cycle.disconnected or transport.is_closing() or handshake.protocol is None:
            return False
        self._head_ended()
        self._unset_keepalive_if_required()
        self.connections.discard(self)
        self.server_state.total_requests += 1
        transport.write(handshake.answer())
        live = state.core.settings.live

        def open_session(link: WebSocketProtocol) -> Session:
            return Session(state, request.actor, request.login, link, request.ref)

        websocket = WebSocketProtocol(
            transport,
            handshake.protocol,
            self.connections,
            open_session,
            state.pings,
            state.sending,
            live.queue_bytes_max,
        )
        early, self._early = self._early, b""
        if early:
            websocket.data_received(early)
        if self.flow.read_paused:
            websocket.begin_reading()
        # Without this, what has ended would stay in memory for a while.
        self.parser = None  # type: ignore[assignment]
        self.cycle = None  # type: ignore[assignment]
        return True

    def _asks_for_websocket(self) -> bool:
        if self.parser.get_method() != b"GET" or self.parser.get_http_version() != "1.1":
            return False
        if httptools.parse_url(self.url).path.removesuffix(b"/") != PATH.encode():
            return False
        return not any(
            name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
            for name, value in self.headers
        )

    def _parse(self, data: bytes) -> None:
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as e:
                if self._upgrading:
                    self._early = data[e.args[0] :]
                    self.flow.pause_reading()
                    return
                # No other protocol is spoken here, so the wish for one is ignored. The parser takes the headers for
                # the end of the request all the same: it gets them again, without the wish.
                data = self._head_without_upgrade() + data[e.args[0] :]
                # By a new parser: this one takes nothing more if the headers say that the connection is to be closed.
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            except httptools.HttpParserError as e:
                reason = e.__context__
                self._refuse(reason if isinstance(reason, RequestError) else Invalid("this is no valid HTTP request"))
                return
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _head_late(self) -> None:
        if not self._head_bytes:
            self.transport.close()
        elif not self.transport.is_closing():
            self._refuse(RequestError(f"the request was not complete within {HEAD_S:.0f} s", status=408))

    def _head_ended(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, error: RequestError) -> None:
        reply = error_reply(error, new_ref())
        head = (
            f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n"
            f"content-type: {reply.content_type.decode()}\r\ncontent-length: {len(reply.body)}\r\n"
            "cache-control: no-store, must-revalidate\r\nconnection: close\r\n\r\n"
        )
        self._head_ended()
        self._refusal = head.encode() + reply.body
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self._send_refusal()
        elif self._in_body:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started or self.pipeline:
                self.transport.close()  # something has been said already, or is to be said to another request
            else:
                self._send_refusal()

    def _send_refusal(self) -> None:
        """Send it, and close the connection a little later: closing at once could make the client lose the answer."""
        self._head_ended()
        self._unset_keepalive_if_required()
        self.transport.write(self._refusal)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._head_timer = self.loop.call_later(LINGER_S, self.transport.close)


class _HttpUpgrade(Upgrade):
    """The way from a request on a connection to a websocket on it."""

    def __init__(self, http: HttpProtocol) -> None:
        self._http = http
        self._handshake = Handshake(http.url, http.headers)

    def check(self, state: State) -> None:
        self._handshake.check(state.core.settings.live.message_bytes_max)

    def switch(self, state: State, request: Request) -> bool:
        return self._http.switch(self._handshake, state, request)


def _head_too_long() -> RequestError:
    return RequestError(f"the headers are longer than {HEAD_BYTES_MAX} bytes", status=431)


class _JoiningTransport:
    """What an answer is written to: the part of a transport that uvicorn uses for that."""

    __slots__ = ("_begun", "_head", "_loop", "_transport", "is_closing")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._begun = False
        self._head = b""
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Write *data*; the first time it is kept for a moment, until the body comes or nothing more comes."""
        if self._head:
            head, self._head = self._head, b""
            if len(data) <= JOIN_BYTES_MAX:
                data = head + data
            else:
                self._transport.write(head)
            self._transport.write(data)
        elif self._begun or data.startswith(_CONTINUE):
            self._transport.write(data)
        else:
            self._begun = True
            self._head = data
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        """Close the connection after what has been written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head:
            self._transport.write(head)
