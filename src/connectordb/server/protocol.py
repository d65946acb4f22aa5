"""HTTP on a connection: uvicorn's, with bounds on what comes before a request is complete, and errors in our form.

Beyond that it puts the head of an answer and its body into one write: one system call less for each request, and one
packet for the client.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..errors import Invalid, RequestError
from .reply import error_reply
from .request import new_ref

__all__ = ["HttpProtocol"]

HEAD_BYTES_MAX = 64 * 1024
"""Bound on the request line with all headers."""
HEAD_S = 30.0
"""How long a client may take to send them."""
JOIN_BYTES_MAX = 64 * 1024
"""A larger body is not worth a copy."""
_CONTINUE = b"HTTP/1.1 100 "


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

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
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before or (before is not None and not before.response_complete):
            if self._head_timer is not None:
                self._head_ended()
            return
        self._head_bytes += len(data)
        if self.transport.is_closing():
            self._head_ended()
        elif self._head_bytes > HEAD_BYTES_MAX:
            self._refuse(RequestError(f"the headers are longer than {HEAD_BYTES_MAX} bytes", status=431))
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_S, self._head_late)

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        super().on_headers_complete()
        cycle = self.cycle
        cycle.transport = _JoiningTransport(self.transport, self.loop)  # type: ignore[assignment]

    def _unsupported_upgrade_warning(self) -> None:
        """Answer a request for another protocol in this one; its parser takes nothing more afterwards."""
        self.cycle.keep_alive = False

    def send_400_response(self, msg: str) -> None:
        """Tell that this is no HTTP."""
        self._refuse(Invalid("this is no valid HTTP request"))

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
        self.transport.write(head.encode() + reply.body)
        self.transport.close()


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
