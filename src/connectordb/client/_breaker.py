"""Connections that another thread can break, from the moment at which they begin to be made."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from socket import socket

__all__ = ["Breaker"]

_UNDER_WAY = (0, errno.EINPROGRESS, errno.EWOULDBLOCK)


class Breaker:
    """Makes one connection after the other, and breaks the one there is.

    Who waits for it, be it for an address that does not answer or for an answer that does not come, gets an error at
    once. (Only the name server is waited for.)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._twin: _Twin | None = None
        self._closed = False

    def connect(self, host: str, port: int, timeout_s: float | None) -> socket:
        """Connect to the first address of *host* that answers. Raises `OSError`."""
        from socket import SOCK_STREAM, getaddrinfo, socket

        error = OSError(f"{host} has no address")
        for family, kind, protocol, _, address in getaddrinfo(host, port, type=SOCK_STREAM):
            raw = socket(family, kind, protocol)
            try:
                raw.setblocking(False)
                begun = raw.connect_ex(address)
                if begun not in _UNDER_WAY:
                    raise OSError(begun, os.strerror(begun))
                self._hold(raw)  # not before: what has not begun cannot be broken
                _wait_connected(raw, timeout_s)
                raw.settimeout(timeout_s)
                return raw
            except OSError as e:
                error = e
                self.release()
                raw.close()
        raise error

    def release(self) -> None:
        """From now on it is somebody else's business to close the connection."""
        with self._lock:
            twin, self._twin = self._twin, None
        if twin is not None:
            twin.close()

    def cut(self) -> None:
        """Break the connection, if there is one."""
        with self._lock:
            twin, self._twin = self._twin, None
        if twin is not None:
            twin.shutdown()
            twin.close()

    def close(self) -> None:
        """Break the connection, and let no other be made."""
        with self._lock:
            self._closed = True
        self.cut()

    def _hold(self, raw: socket) -> None:
        with self._lock:
            if self._closed:
                raise OSError("this client has been closed")
            before, self._twin = self._twin, _Twin(raw)
        if before is not None:
            before.close()


class _Twin:
    """A duplicate of a socket, as TLS takes the one that it is given for its own. It is closed when it is forgotten."""

    _fd = -1

    def __init__(self, raw: socket) -> None:
        import socket

        self._fd = raw.dup().detach()
        self._socket = socket

    def shutdown(self) -> None:
        opened = self._socket.socket(fileno=self._fd)
        try:
            opened.shutdown(self._socket.SHUT_RDWR)
        except OSError:  # it is broken already
            pass
        finally:
            opened.detach()

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._socket.close(fd)

    __del__ = close


def _wait_connected(raw: socket, timeout_s: float | None) -> None:
    from selectors import EVENT_WRITE, DefaultSelector
    from socket import SO_ERROR, SOL_SOCKET

    with DefaultSelector() as selector:
        selector.register(raw, EVENT_WRITE)
        if not selector.select(timeout_s):
            raise TimeoutError("no connection in time")
    failed = raw.getsockopt(SOL_SOCKET, SO_ERROR)
    if failed:
        raise OSError(failed, os.strerror(failed))
