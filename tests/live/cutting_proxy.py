"""A TCP proxy that cuts connections after so many bytes, or so many websocket frames, of what the server says."""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

_PIECE = 65536


class Cut(NamedTuple):
    """Where to cut a connection. What counts is what follows the head of the server's answer.

    Attributes:
        after: So many bytes; or, of a websocket, whole frames, if `frames`.
        frames: What `after` counts.
        into: So many bytes of the next frame are passed on too.
        reset: Cut by a reset, not by an orderly end.
        silent: Pass nothing on any more instead, as a line does that is gone without a word.
    """

    after: int
    frames: bool = False
    into: int = 0
    reset: bool = False
    silent: bool = False


class CuttingProxy:
    """Forwards connections from a port of its own to *port*, both on 127.0.0.1.

    Attributes:
        cuts: Gives where to cut the next connections that answer something endless; when it is exhausted, they last.
        made: How many of these connections there have been.
        cut: How many of them have been cut where they were to be.
    """

    def __init__(self, port: int, cuts: Iterator[Cut]) -> None:
        self.cuts = cuts
        self.made = 0
        self.cut = 0
        self._port = port
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept)
        self._threads: set[threading.Thread] = set()

    def __enter__(self) -> CuttingProxy:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for thread in list(self._threads):
            thread.join()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,))
            self._threads.add(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        reset = False
        try:
            with client, suppress(OSError), socket.create_connection(("127.0.0.1", self._port)) as server:
                for sock in (client, server):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                reset = self._forward(client, server)
                if reset:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        finally:
            self._threads.discard(threading.current_thread())

    def _forward(self, client: socket.socket, server: socket.socket) -> bool:
        """Forward until the end, and return whether that is to be a reset."""
        line: _Line | None = None
        asked: bytes | None = b""  # ``None``: it is known what was asked for
        while not self._over.is_set():
            readable, _, _ = select.select([client, server], [], [], 0.2)
            if client in readable:
                data = client.recv(_PIECE)
                if not data:
                    return False
                if asked is not None:
                    asked += data
                    if b" /api/v1/websocket " in asked or b" /api/v1/live/" in asked:
                        line, asked = self._begin(), None
                server.sendall(data)
            if server in readable:
                data = server.recv(_PIECE)
                if not data:
                    return False
                if line is not None:
                    data = line.pass_on(data)
                client.sendall(data)
                if line is not None and line.over:
                    with self._lock:
                        self.cut += 1
                    if line.cut.silent:
                        self._swallow(client)
                    return line.cut.reset
        return False

    def _swallow(self, client: socket.socket) -> None:
        while not self._over.is_set():
            readable, _, _ = select.select([client], [], [], 0.2)
            if readable and not client.recv(_PIECE):
                return

    def _begin(self) -> _Line | None:
        with self._lock:
            self.made += 1
            cut = next(self.cuts, None)
        return None if cut is None else _Line(cut)


class _Line:
    """What the server says on one connection, up to the cut."""

    def __init__(self, cut: Cut) -> None:
        self.cut = cut
        self.over = False
        self._head: bytes | None = b""
        self._left = 0 if cut.frames else cut.after
        self._frames = cut.after if cut.frames else 0
        self._begun = b""

    def pass_on(self, data: bytes) -> bytes:
        """Return what of *data* is passed on."""
        passed = b""
        if self._head is not None:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return data
            end += 4 - (len(self._head) - len(data))
            passed, data = data[:end], data[end:]
            self._head = None
            if self.cut == Cut(0):
                self.over = True
                return passed
        while data and not self.over:
            n = min(len(data), self._left)
            passed += data[:n]
            data = data[n:]
            self._left -= n
            if self._left == 0 and self._frames == 0:
                self.over = True
            elif self._left == 0 and data:
                passed += self._take_head(data[:1])
                data = data[1:]
        return passed

    def _take_head(self, byte: bytes) -> bytes:
        """Take one byte more of the head of a frame; when it is complete, its body is what is left."""
        self._begun += byte
        if len(self._begun) >= 2:
            short = self._begun[1] & 0x7F
            head = 2 + {126: 2, 127: 8}.get(short, 0)
            if len(self._begun) == head:
                self._left = int.from_bytes(self._begun[2:], "big") if head > 2 else short
                self._begun = b""
                self._frames -= 1
                if self._frames == 0:
                    self._left += self.cut.into
        return byte
