"""Moving bytes to a server and back. The only place that knows the HTTP library, and the only one that it raises in."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ..errors import Closed, ConnectFailed, ServerError, TimedOut, TransportError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, HTTPConnectionPool
    from urllib3.connection import HTTPConnection

    from ._breaker import Breaker
    from ._socket import Socket

__all__ = ["HttpTransport", "Reply", "StreamReply", "Transport"]

CONNECT_TIMEOUT_S = 10.0
"""How long to wait for a connection; a whole timeout is for answers."""
POOL_SIZE = 8
"""How many connections at most; further threads wait for one."""
CLONE_POOL_SIZE = 64
"""The same of a clone, whose connections are mostly idle."""
CHUNK_BYTES = 64 * 1024
REDIRECTS_MAX = 5
_REDIRECTS = (301, 302, 307, 308)


class Reply(NamedTuple):
    """An answer of a server. Keys of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class StreamReply(Protocol):
    """An answer whose body is read piece by piece."""

    @property
    def status(self) -> int:
        """HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers, keys in lower case."""

    def iter_bytes(self) -> Iterator[bytes]:
        """Yield the body in pieces; raises `TransportError` if it is cut off."""

    def abort(self) -> None:
        """Let no more of the body be read: a thread that waits for a piece of it gets `TransportError`."""


class Transport(Protocol):
    """How requests get to a server. Safe to use from several threads.

    Raises nothing but `TransportError` kinds, and `ServerError` for what is no answer of a ConnectorDB server.
    Repeats nothing by itself: that is the session's business.
    """

    url: str

    def request(
        self, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Reply:
        """Send one request and return the whole answer.

        Args:
            method: HTTP method.
            target: Path and query, like ``/api/v1/crud/alice?q=ls``.
            headers: To be sent as they are.
            body: To be sent, if any.
            timeout_s: How long to wait for the answer to begin, and for each further piece of it.
        """

    def stream(
        self, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> AbstractContextManager[StreamReply]:
        """Send one request; the answer's body is read inside of the ``with`` block."""

    def websocket(
        self, target: str, *, headers: Mapping[str, str], timeout_s: float, breaker: Breaker | None = None
    ) -> Socket:
        """Open a websocket.

        Args:
            target: Path and query.
            headers: To be sent as they are.
            timeout_s: How long to wait for it to be open.
            breaker: With this another thread can end the wait.

        Raises:
            RequestError, ServerError: the server refused it.
            TransportError: there is no connection.
        """

    def clone(self, breaker: Breaker | None = None) -> Transport:
        """Return a transport to the same server, with connections of its own, for what keeps one for long.

        Args:
            breaker: With this another thread can break the connection; then only one is in use at a time.
        """

    def close(self) -> None:
        """Close all connections but the websockets. Requests raise `Closed` from then on."""


class _HttpReply:
    def __init__(self, response: BaseHTTPResponse) -> None:
        self._response = response
        self.status: int = response.status
        self.headers: Mapping[str, str] = {k.lower(): v for k, v in response.headers.items()}

    def iter_bytes(self) -> Iterator[bytes]:
        with _errors_translated():
            yield from self._response.stream(CHUNK_BYTES)

    def abort(self) -> None:
        """See `StreamReply.abort`."""
        try:
            self._response.shutdown()
        except (ValueError, RuntimeError, OSError):  # all has been read, or it is closed
            pass


class HttpTransport:
    """HTTP/1.1 with connections kept open between requests. Server certificates are verified.

    Attributes:
        url: Where the server is, without a slash at the end.

    Raises:
        ValueError: *url* is no address of a web server.
    """

    def __init__(self, url: str, *, pool_size: int = POOL_SIZE, breaker: Breaker | None = None) -> None:
        self._scheme, self._host, self._port, self._prefix = _parse_url(url)
        default_port = 443 if self._scheme == "https" else 80
        shown_port = "" if self._port == default_port else f":{self._port}"
        self.url = f"{self._scheme}://{self._host}{shown_port}{self._prefix}"
        self._pool_size = pool_size
        self._breaker = breaker
        self._lock = threading.Lock()
        self._made: HTTPConnectionPool | None = None
        self._made_by = 0
        self._closed = False

    def request(
        self, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Reply:
        """See `Transport.request`."""
        with self.stream(method, target, headers=headers, body=body, timeout_s=timeout_s) as reply:
            return Reply(reply.status, reply.headers, b"".join(reply.iter_bytes()))

    @contextmanager
    def stream(
        self, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Iterator[StreamReply]:
        """See `Transport.stream`."""
        response = self._open(method, self._prefix + target, headers, body, timeout_s)
        try:
            yield _HttpReply(response)
        finally:
            # A body that was not read to its end would spoil the next answer on this connection.
            if not response.closed:  # which it is when all has been read
                response.close()
            response.release_conn()

    def websocket(
        self, target: str, *, headers: Mapping[str, str], timeout_s: float, breaker: Breaker | None = None
    ) -> Socket:
        """See `Transport.websocket`."""
        from ._breaker import Breaker
        from ._socket import open_socket

        with self._lock:
            if self._closed:
                raise Closed("this client has been closed")
        secure, path = self._scheme == "https", self._prefix + target
        return open_socket(
            self._host,
            self._port,
            path,
            secure=secure,
            headers=headers,
            timeout_s=timeout_s,
            breaker=breaker or Breaker(),
        )

    def clone(self, breaker: Breaker | None = None) -> HttpTransport:
        """See `Transport.clone`."""
        return HttpTransport(self.url, pool_size=CLONE_POOL_SIZE, breaker=breaker)

    def close(self) -> None:
        """See `Transport.close`."""
        with self._lock:
            self._closed = True
            pool, self._made = self._made, None
        if pool is not None and self._made_by == os.getpid():
            pool.close()

    def _open(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> BaseHTTPResponse:
        from urllib3 import Timeout

        headers = {"Accept-Encoding": _codings(), **headers}
        timeout = Timeout(connect=min(timeout_s, CONNECT_TIMEOUT_S), read=timeout_s)
        for _ in range(REDIRECTS_MAX):
            pool = self._pool()
            with _errors_translated():
                response = pool.urlopen(
                    method,
                    target,
                    body=body,
                    headers=headers,
                    retries=False,
                    redirect=False,
                    assert_same_host=False,
                    timeout=timeout,
                    pool_timeout=timeout_s,  # type: ignore[arg-type]  # a float goes as well
                    preload_content=False,
                    decode_content=True,
                )
            if response.status not in _REDIRECTS:
                _check_framing(response)
                return response
            location = response.headers.get("location", "")
            response.close()
            target = self._redirected(method, target, location)
        raise ServerError(f"the server redirects in a circle, at last to {location}", status=response.status)

    def _redirected(self, method: str, target: str, location: str) -> str:
        """The new target; credentials never go to another host, nor does a write turn into a read."""
        from urllib.parse import urljoin

        try:
            absolute = urljoin(f"{self._scheme}://{self._host}:{self._port}{target}", location)
            *origin, new_target = _parse_url(absolute, keep_query=True)
        except ValueError:
            origin, new_target = [], ""
        if origin != [self._scheme, self._host, self._port] or method != "GET":
            raise ServerError(f"{self.url} redirects to {location}: if you trust that, give it as the url", status=307)
        return new_target or "/"

    def _pool(self) -> HTTPConnectionPool:
        pid = os.getpid()
        with self._lock:
            if self._closed:
                raise Closed("this client has been closed")
            # Connections do not survive a fork: two processes would read each other's answers.
            if self._made is None or self._made_by != pid:
                self._made, self._made_by = self._make_pool(), pid
            return self._made

    def _make_pool(self) -> HTTPConnectionPool:
        from urllib3 import HTTPConnectionPool, HTTPSConnectionPool

        kind = HTTPSConnectionPool if self._scheme == "https" else HTTPConnectionPool
        pool = kind(self._host.strip("[]"), self._port, maxsize=self._pool_size, block=True)
        if self._breaker is not None:
            pool.ConnectionCls = _breakable(pool.ConnectionCls, self._breaker)
        return pool


def _codings() -> str:
    """The compressions that are understood here; zstd only if Python or a library can do it."""
    from urllib3.util.request import ACCEPT_ENCODING

    return "zstd, gzip" if "zstd" in ACCEPT_ENCODING else "gzip"


def _breakable(kind: type[Any], breaker: Breaker) -> type[Any]:
    """Return a kind of connection whose sockets *breaker* makes."""
    from socket import socket

    from urllib3.exceptions import NewConnectionError

    def connect(connection: HTTPConnection) -> socket:
        try:
            return breaker.connect(connection.host, connection.port, connection.timeout)
        except (OSError, UnicodeError) as e:
            raise NewConnectionError(connection, str(e)) from e

    return type(kind.__name__, (kind,), {"_new_conn": connect})


def _check_framing(response: BaseHTTPResponse) -> None:
    """An answer that does not say where it ends may have been cut off, even within its headers."""
    if response.status not in (204, 304) and not (
        "content-length" in response.headers or "transfer-encoding" in response.headers
    ):
        response.close()
        raise Closed("the connection broke: the answer does not say how long it is")


def _parse_url(url: str, *, keep_query: bool = False) -> tuple[str, str, int, str]:
    """Scheme, host, port and path of *url*; without a scheme it is https, and http on this machine."""
    from urllib.parse import urlsplit

    text = url.strip()
    if "://" not in text:
        host = text.split("/")[0].rsplit(":", 1)[0]
        local = host in ("localhost", "[::1]") or host.startswith("127.")
        text = f"{'http' if local else 'https'}://{text}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as e:
        raise ValueError(f"{url!r} is no address of a server: {e}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is no address of a server: give something like 'http://localhost:3124'")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the url holds a user or a password: give them as arguments of their own")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    path = f"{parts.path}?{parts.query}" if keep_query and parts.query else parts.path
    if not keep_query:
        path = path.rstrip("/").removesuffix("/api/v1").rstrip("/")
    return parts.scheme, host, port or (443 if parts.scheme == "https" else 80), path


@contextmanager
def _errors_translated() -> Iterator[None]:
    """The one place where errors of the HTTP library and of sockets become ours."""
    from http.client import HTTPException

    from urllib3 import exceptions as u

    try:
        yield
    except TransportError:
        raise
    except u.SSLError as e:
        raise ConnectFailed(f"no secure connection: {_text(e)}") from e
    except u.ConnectTimeoutError as e:  # NewConnectionError and NameResolutionError are kinds of it
        raise ConnectFailed(f"no connection: {_text(e)}") from e
    except u.EmptyPoolError as e:
        raise ConnectFailed("no connection: all are in use by other threads") from e
    except (u.TimeoutError, TimeoutError) as e:
        raise TimedOut(f"no answer in time: {_text(e)}") from e
    except (u.HTTPError, HTTPException, OSError) as e:
        raise Closed(f"the connection broke: {_text(e)}") from e


def _text(e: BaseException) -> str:
    """What an error of urllib3 says, without the object and pool that it names first."""
    inner = e.args[-1] if e.args and isinstance(e.args[-1], BaseException) else e
    return str(inner).rsplit(">: ", 1)[-1] or type(inner).__name__
