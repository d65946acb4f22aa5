"""Websockets: messages to a server and back. The only place that knows the websocket library."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from ..errors import Closed, ConnectFailed, RequestError, ServerError, TimedOut, TransportError

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

    from ._breaker import Breaker

__all__ = ["Socket", "SocketClosed", "open_socket"]

_silent = logging.getLogger("connectordb.client.websockets")
_silent.setLevel(logging.CRITICAL + 1)  # it tells of broken connections as of faults of its own, and so do we

PING_INTERVAL_S = 20.0
"""How often the server is pinged, so that a dead link is found."""
PING_TIMEOUT_S = 20.0
CONNECT_TIMEOUT_S = 10.0
CLOSE_PATIENCE_S = 2.0
"""How long to wait for the server's side of a goodbye."""
ABNORMAL = 1006
"""Stands for the code of a connection that broke without one."""


class Socket(Protocol):
    """A websocket. Any thread may send and close it; one receives."""

    def send(self, text: str) -> None:
        """Send one message. Raises `Closed`."""

    def recv(self) -> str:
        """Wait for the next message and return it.

        Raises:
            Closed: there are no more; with the attributes ``code`` and ``reason`` of the websocket protocol.
        """

    def close(self) -> None:
        """Close the connection; a thread that waits in `recv` gets `Closed`. Closing twice does nothing."""


class SocketClosed(Closed):
    """A websocket has been closed, by the other side or by the network.

    Attributes:
        code: Why, as a number of the websocket protocol; 1006 if the connection broke without one.
        reason: Why, in words; may be empty.
    """

    def __init__(self, msg: str, code: int = ABNORMAL, reason: str = "") -> None:
        super().__init__(msg)
        self.code = code
        self.reason = reason


def open_socket(
    host: str,
    port: int,
    target: str,
    *,
    secure: bool,
    headers: Mapping[str, str],
    timeout_s: float,
    breaker: Breaker,
) -> Socket:
    """Connect to a websocket server; its certificate is verified.

    Args:
        host: Name or address, that of IPv6 in brackets.
        port: TCP port.
        target: Path and query.
        secure: Over TLS.
        headers: To be sent with the request.
        timeout_s: How long to wait for the connection to be ready.
        breaker: Makes the connection, and breaks it until it is ready.

    Raises:
        ConnectFailed, TimedOut: there is no connection.
        RequestError, ServerError: the server refused it.
    """
    from websockets.sync.client import connect

    with _opening():
        raw = breaker.connect(host.strip("[]"), port, min(timeout_s, CONNECT_TIMEOUT_S))
        try:
            raw.settimeout(None)
            # With a socket of ours, the library follows no redirects: credentials never go to another host.
            connection = connect(
                f"{'wss' if secure else 'ws'}://{host}:{port}{target}",
                sock=raw,
                additional_headers=dict(headers),
                user_agent_header=None,  # there is one in the headers
                compression="deflate",
                proxy=None,
                logger=_silent,
                open_timeout=timeout_s,
                ping_interval=PING_INTERVAL_S,
                ping_timeout=PING_TIMEOUT_S,
                close_timeout=CLOSE_PATIENCE_S,
                max_size=None,  # a message cannot be refused without being sent again and again
            ).__enter__()
        except BaseException:
            raw.close()
            raise
        finally:
            breaker.release()
    return _Websocket(connection)


class _Websocket:
    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._sending = threading.Lock()

    def send(self, text: str) -> None:
        """See `Socket.send`."""
        with self._sending, _in_use():
            self._connection.send(text)

    def recv(self) -> str:
        """See `Socket.recv`."""
        with _in_use():
            return self._connection.recv(decode=True)

    def close(self) -> None:
        """See `Socket.close`."""
        import socket

        if self._sending.acquire(timeout=CLOSE_PATIENCE_S):
            self._sending.release()
        else:  # a server that takes nothing takes no goodbye either
            try:
                self._connection.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._connection.close()
        # The library's own threads: they are about to end.
        self._connection.recv_events_thread.join(CLOSE_PATIENCE_S)
        keepalive = self._connection.keepalive_thread
        if keepalive is not None:
            keepalive.join(CLOSE_PATIENCE_S)


@contextmanager
def _in_use() -> Iterator[None]:
    """Errors of an open websocket become ours."""
    from websockets.exceptions import ConnectionClosed

    try:
        yield
    except ConnectionClosed as e:
        if e.rcvd is None:
            cause = e.__cause__
            raise SocketClosed(f"the connection broke{f': {cause}' if cause is not None else ''}") from e
        reason = e.rcvd.reason
        msg = f"the server closed the connection ({e.rcvd.code}{f', {reason}' if reason else ''})"
        raise SocketClosed(msg, e.rcvd.code, reason) from e
    except OSError as e:
        raise SocketClosed(f"the connection broke: {e}") from e


@contextmanager
def _opening() -> Iterator[None]:
    """Errors of a websocket that is being opened become ours."""
    import ssl

    from websockets import exceptions as w

    try:
        yield
    except (TransportError, RequestError, ServerError):
        raise
    except w.InvalidStatus as e:
        from ._calls import error_of

        headers = {name.lower(): value for name, value in e.response.headers.raw_items()}
        raise error_of(e.response.status_code, headers, bytes(e.response.body or b"")) from None
    except w.InvalidMessage as e:
        raise ConnectFailed(f"no connection: {e.__cause__ or e}") from e
    except (w.WebSocketException, ValueError) as e:
        raise ServerError(f"there is no websocket of a ConnectorDB server: {e}") from e
    except ssl.SSLError as e:
        raise ConnectFailed(f"no secure connection: {e}") from e
    except TimeoutError as e:
        raise TimedOut(f"no connection in time: {e}") from e
    except (OSError, EOFError) as e:
        raise ConnectFailed(f"no connection: {e}") from e
