"""A TCP proxy that cuts the line where it is told to."""

from __future__ import annotations

import socket
import struct
import threading
from enum import Enum


class Fault(Enum):
    """Where to cut."""

    BEFORE_REQUEST = "the server gets nothing of the request"
    IN_REQUEST = "the server gets half of the request"
    BEFORE_REPLY = "the client gets nothing of the reply"
    IN_REPLY = "the client gets half of the reply"
    SILENCE = "the client waits for a reply for ever"


class FaultProxy:
    """Forwards connections from a port of its own to *port*, both on 127.0.0.1, and cuts on demand.

    Args:
        port: Where the server is; may be changed while it runs.
    """

    def __init__(self, port: int) -> None:
        self.target_port = port
        self._lock = threading.Lock()
        self._fault: Fault | None = None
        self._marker = b""
        self._left = 0
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def arm(self, fault: Fault | None, *, times: int = 1, marker: bytes = b"PATCH ") -> None:
        """Cut the next *times* requests that begin with *marker*; ``None``: cut nothing any more."""
        with self._lock:
            self._fault, self._left, self._marker = fault, times, marker

    @property
    def armed(self) -> int:
        """How many requests are still to be cut."""
        return self._left if self._fault is not None else 0

    def cut_all(self) -> None:
        """Cut every connection that is open now."""
        with self._lock:
            sockets = list(self._open)
        for sock in sockets:
            _reset(sock)

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.cut_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                server = socket.create_connection(("127.0.0.1", self.target_port), timeout=10)
            except OSError:
                _reset(client)
                return
            with server, self._registered(client), self._registered(server):
                server.settimeout(None)
                for sock in (client, server):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                line = _Line(self, client, server)
                back = threading.Thread(target=line.replies, daemon=True)
                back.start()
                line.requests()
                back.join()

    def _registered(self, sock: socket.socket) -> _Registered:
        return _Registered(self, sock)

    def take_fault(self, data: bytes) -> Fault | None:
        """The fault for a request that begins with *data*, if it is to have one."""
        with self._lock:
            if self._fault is None or self._left <= 0 or not data.startswith(self._marker):
                return None
            self._left -= 1
            return self._fault


class _Registered:
    def __init__(self, proxy: FaultProxy, sock: socket.socket) -> None:
        self._proxy, self._sock = proxy, sock

    def __enter__(self) -> None:
        with self._proxy._lock:
            self._proxy._open.add(self._sock)

    def __exit__(self, *exc_info: object) -> None:
        with self._proxy._lock:
            self._proxy._open.discard(self._sock)


class _Line:
    """One connection, with the part of a fault that concerns its replies."""

    def __init__(self, proxy: FaultProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._fault: Fault | None = None

    def requests(self) -> None:
        try:
            while data := self._client.recv(1 << 20):
                fault = self._proxy.take_fault(data)
                if fault is Fault.BEFORE_REQUEST:
                    break
                if fault is Fault.IN_REQUEST:
                    head = data.find(b"\r\n\r\n") + 4
                    self._server.sendall(data[: head + (len(data) - head) // 2])
                    break
                if fault is not None:
                    self._fault = fault
                self._server.sendall(data)
        except OSError:
            pass
        self._cut()

    def replies(self) -> None:
        try:
            while data := self._server.recv(1 << 20):
                if self._fault is Fault.BEFORE_REPLY:
                    break
                if self._fault is Fault.IN_REPLY:
                    self._client.sendall(data[: len(data) // 2])
                    break
                if self._fault is not Fault.SILENCE:
                    self._client.sendall(data)
        except OSError:
            pass
        if self._fault is Fault.SILENCE:
            return
        self._cut()

    def _cut(self) -> None:
        for sock in (self._client, self._server):
            _reset(sock)


def _reset(sock: socket.socket) -> None:
    """End both directions of a connection, with a reset where the system allows it."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
