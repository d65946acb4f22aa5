"""Websockets (RFC 6455) on TCP connections. What their messages mean is the business of `Session`.

The library ``websockets`` parses frames, and keeps to the protocol. Frames with messages are written past it: the
same bytes go to many, and it would make them anew for each.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, MutableSet
from typing import TYPE_CHECKING, Any

from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.frames import Opcode
from websockets.http11 import Response
from websockets.protocol import State as Phase
from websockets.server import ServerProtocol

from ..errors import Invalid, RequestError
from .framing import compressed_frame, text_frame
from .messages import Pack
from .reply import Header, Reply, error_reply
from .request import Request
from .session import ABNORMAL, SILENT, Session
from .state import RESTART, SHUTTING_DOWN, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from .pings import Pings
    from .sending import Sending

__all__ = ["PATH", "UPGRADE", "Handshake", "Upgrade", "WebSocketProtocol", "open_websocket"]

PATH = "/api/v1/websocket"
UPGRADE = "connectordb.upgrade"
"""Key in the scope of a request that wants a websocket: an `Upgrade`."""
CLOSE_S = 2.0
"""How long to wait for the client's side of a goodbye."""
REASON_BYTES_MAX = 123
UNCONFIRMED_MAX = 1000
"""Of so many messages at most it is waited for that the client has got them."""

_UPGRADE_REQUIRED: tuple[Header, ...] = ((b"upgrade", b"websocket"), (b"sec-websocket-version", b"13"))
_NEEDED = frozenset({b"host", b"connection", b"upgrade", b"origin"})
_DEFLATE = ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)
_log = logging.getLogger("connectordb.server.websocket")
_log.setLevel(logging.ERROR)  # it tells of each connection, and so do we


class Upgrade:
    """The way from a request to a websocket.

    What gives the scope of requests their `UPGRADE` implements it.
    """

    def check(self, state: State) -> None:
        """Raise `RequestError` if the request is no proper handshake: status 426 if it asks for something else."""
        raise NotImplementedError

    def switch(self, state: State, request: Request) -> bool:
        """Open the websocket. Returns ``False`` if the client has gone."""
        raise NotImplementedError


async def open_websocket(state: State, request: Request) -> Reply:
    """Open a websocket, on which the client subscribes and inserts."""
    upgrade: Upgrade | None = request.scope.get(UPGRADE)
    try:
        if upgrade is None:
            raise RequestError("this is the address of a websocket: ask for it by a websocket handshake", status=426)
        upgrade.check(state)
    except RequestError as e:
        if e.status != 426:
            raise
        reply = error_reply(e, request.ref)
        reply.headers = _UPGRADE_REQUIRED
        return reply
    state.check_live_limit()
    return Reply(101, b"", b"", upgrade=lambda: upgrade.switch(state, request))


class Handshake:
    """The opening handshake as the library sees it."""

    def __init__(self, target: bytes, headers: Iterable[Header]) -> None:
        """Take a GET request by HTTP/1.1 for *target*."""
        head = [b"GET " + target + b" HTTP/1.1"]
        head += [
            name + b": " + value for name, value in headers if name in _NEEDED or name.startswith(b"sec-websocket-")
        ]
        self._head = b"\r\n".join(head) + b"\r\n\r\n"
        self.protocol: ServerProtocol | None = None
        self._response: Response | None = None

    def check(self, message_bytes_max: int) -> None:
        """Raise `RequestError` if it is not a proper one."""
        protocol = ServerProtocol(extensions=[_DEFLATE], max_size=message_bytes_max, logger=_log)
        protocol.receive_data(self._head)
        requests: list[Any] = protocol.events_received()
        if not requests:
            raise Invalid("this is no valid websocket handshake")
        response = protocol.accept(requests[0])
        if response.status_code != 101:
            version = requests[0].headers.get_all("Sec-WebSocket-Version")
            why = str(protocol.handshake_exc)
            if response.status_code == 426 or (version and version != ["13"]):
                raise RequestError(f"this is the address of a websocket, of version 13: {why}", status=426)
            raise Invalid(f"this is no valid websocket handshake: {why}")
        self.protocol, self._response = protocol, response

    def answer(self) -> bytes:
        """Return the answer that opens the websocket."""
        assert self.protocol is not None and self._response is not None  # noqa: S101 - it has been checked
        self.protocol.send_response(self._response)
        return b"".join(self.protocol.data_to_send())


class WebSocketProtocol(asyncio.Protocol):
    """One connection, from the switch to its end. It is the `Link` of a session.

    Attributes:
        heard: Something has come from the client.
    """

    __slots__ = (
        "_close_timer",
        "_connections",
        "_held",
        "_partial",
        "_pinged",
        "_pings",
        "_protocol",
        "_queue_bytes_max",
        "_read_paused",
        "_sending",
        "_session",
        "_transport",
        "_unconfirmed",
        "_unsent",
        "_waiting",
        "_waiting_size",
        "full",
        "heard",
        "pack",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        protocol: ServerProtocol,
        connections: MutableSet[Any],
        open_session: Callable[[WebSocketProtocol], Session],
        pings: Pings,
        sending: Sending,
        queue_bytes_max: int,
    ) -> None:
        """Take over *transport*, whose answer to the handshake has been written.

        Args:
            protocol: The library's, after the handshake.
            connections: Those that the web server shuts down; this one adds itself.
            open_session: Makes the session.
            pings: Asks for signs of life.
            sending: Sends what has been written.
            queue_bytes_max: When so much waits to be sent, it is full.
        """
        self._transport = transport
        self._protocol = protocol
        self._connections = connections
        self._pings = pings
        self._sending = sending
        self._waiting: list[bytes] = []
        self._waiting_size = 0
        self._queue_bytes_max = queue_bytes_max
        self._partial: bytearray | None = None
        self._unconfirmed: dict[int, Callable[[], None]] | None = None
        self._pinged = 0
        self._unsent = 0
        self._held = False
        self._read_paused = False
        self._close_timer: asyncio.TimerHandle | None = None
        self.heard = True
        self.full = False
        # A client that wants us to look back less far than usual cannot read the frames that all others get.
        compress = any(
            isinstance(extension, PerMessageDeflate) and extension.local_max_window_bits == 15
            for extension in protocol.extensions
        )
        self.pack: Pack = compressed_frame if compress else text_frame
        transport.set_write_buffer_limits(high=queue_bytes_max)
        transport.set_protocol(self)
        connections.add(self)
        pings.add(self)
        self._session = open_session(self)

    # What the transport calls

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        self.heard = True
        protocol = self._protocol
        protocol.receive_data(data)
        messages: list[bytes] = []
        events: list[Any] = protocol.events_received()
        for frame in events:
            opcode = frame.opcode
            if opcode is Opcode.TEXT or opcode is Opcode.BINARY:
                if frame.fin:
                    messages.append(bytes(frame.data))
                else:
                    self._partial = bytearray(frame.data)
            elif opcode is Opcode.CONT and self._partial is not None:
                self._partial += frame.data
                if frame.fin:
                    messages.append(bytes(self._partial))
                    self._partial = None
            elif opcode is Opcode.PONG and self._unconfirmed:
                self._confirmed(bytes(frame.data))
        if messages:
            self._session.receive(messages)
        if protocol.writes:
            self._write_protocol()
        self._look_at_reading()

    def eof_received(self) -> None:
        """The client sends nothing more, and so cannot be answered either."""
        self._protocol.receive_eof()

    def pause_writing(self) -> None:
        """As much waits as may."""
        self.full = True
        self._look_at_reading()

    def resume_writing(self) -> None:
        """There is room again."""
        self.full = False
        self.heard = True  # it reads, so it is there
        self._look_at_reading()
        self._session.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """Clean up."""
        self._connections.discard(self)
        self._pings.discard(self)
        if self._close_timer is not None:
            self._close_timer.cancel()
            self._close_timer = None
        protocol = self._protocol
        close = protocol.close_rcvd if protocol.close_rcvd_then_sent else protocol.close_sent or protocol.close_rcvd
        self._session.lost(close.code if close else ABNORMAL, close.reason if close else str(exc or ""))

    # What the web server calls

    def shutdown(self) -> None:
        """Close, so that the client comes back later."""
        self._session.drain(RESTART, SHUTTING_DOWN)

    def begin_reading(self) -> None:
        """Read, unless there is a reason against it. The transport was paused during the handshake."""
        if not self._read_paused:
            self._read_paused = True
            self._look_at_reading()

    # What the session calls

    @property
    def waiting_bytes(self) -> int:
        """See `Link`."""
        return self._transport.get_write_buffer_size() + self._waiting_size

    @property
    def overfull(self) -> bool:
        """See `Link`."""
        return self.full and self._transport.get_write_buffer_size() > 2 * self._queue_bytes_max

    def write(self, data: bytes) -> None:
        """See `Link`."""
        waiting = self._waiting
        if not waiting:
            self._sending.add(self)
        waiting.append(data)
        self._waiting_size += len(data)
        if self._waiting_size > self._queue_bytes_max:
            self.flush()

    def flush(self) -> None:
        """Send what has been written."""
        waiting = self._waiting
        if waiting:
            if not self._transport.is_closing():  # it may have been lost in this turn
                self._transport.write(b"".join(waiting) if len(waiting) > 1 else waiting[0])
            self._waiting = []
            self._waiting_size = 0

    def confirm(self, then: Callable[[], None]) -> None:
        """See `Link`."""
        if self._unconfirmed is None:
            self._unconfirmed = {}
        if self._protocol.state is not Phase.OPEN or len(self._unconfirmed) >= UNCONFIRMED_MAX:
            return
        self._pinged += 1
        self._unconfirmed[self._pinged] = then
        self._protocol.send_ping(b"%d" % self._pinged)
        self._write_protocol()

    def _confirmed(self, payload: bytes) -> None:
        """A ping has been answered, and so, as messages come in order, all before it has been got."""
        unconfirmed = self._unconfirmed or {}
        number = int(payload) if payload.isdigit() and len(payload) < 20 else 0
        for earlier in [n for n in unconfirmed if n <= number]:
            unconfirmed.pop(earlier)()

    def hold(self, on: bool) -> None:
        """See `Link`."""
        self._held = on
        self._look_at_reading()

    def close(self, code: int, reason: str) -> None:
        """See `Link`."""
        protocol = self._protocol
        if protocol.state is Phase.OPEN:
            text = reason.encode("utf-8", "replace")[:REASON_BYTES_MAX].decode("utf-8", "ignore")
            protocol.send_close(code, text)
            self._write_protocol()
            self._held = False
            self._look_at_reading()

    def abort(self) -> None:
        """See `Link`."""
        self._transport.abort()

    # What `Pings` calls

    def ping(self) -> None:
        """Ask for a sign of life."""
        if self._protocol.state is Phase.OPEN:
            self._unsent = self._transport.get_write_buffer_size()
            self._protocol.send_ping(b"")
            self._write_protocol()

    def silent(self) -> None:
        """None has come: the client, or the way to it, is gone."""
        if self._read_paused:
            # Nothing is read from it, so it cannot be heard. As long as it reads something, it is there.
            if self._transport.get_write_buffer_size() < self._unsent:
                self._pings.add(self)
            else:
                self._transport.abort()
            return
        self._session.fail(SILENT, "no answer to a ping")

    def _write_protocol(self) -> None:
        """Send what the library has to say; an empty piece of it is the end of all."""
        self.flush()
        writes = self._protocol.data_to_send()
        data = b"".join(writes)
        if data:
            self._transport.write(data)
        if self._protocol.state is not Phase.OPEN:
            self._session.hang_up()
            if self._close_timer is None:
                loop = asyncio.get_running_loop()
                self._close_timer = loop.call_later(CLOSE_S, self._transport.abort)
            if writes and not writes[-1] and self._transport.can_write_eof():
                self._transport.write_eof()

    def _look_at_reading(self) -> None:
        """Pause reading, or go on with it, as the session and what waits to be sent want it."""
        wanted = self._held or self.overfull
        if wanted is not self._read_paused and not self._transport.is_closing():
            self._read_paused = wanted
            if wanted:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()
