"""Websockets over a bare socket, so that the client costs as little as can be."""

from __future__ import annotations

import socket
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha1
from os import urandom

from .exchange import TIMEOUT_S

__all__ = ["Dial", "Websocket", "decode_frames", "encode_frame"]

_RECV_BYTES = 1 << 16
_HEAD_END = b"\r\n\r\n"
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_FINAL_TEXT = 0x81
_MASKED = 0x80
_MASK = bytes(4)  # a client has to mask; with zeros, which change nothing
_TEXT, _BINARY, _CLOSE = 1, 2, 8


class Websocket:
    """A websocket, of which only the handshake and the framing are known here.

    Attributes:
        socket: To wait for data with others.
        early: What came together with the answer to the handshake, or to the last question.
    """

    def __init__(self, host: str, port: int, target: str, login: str) -> None:
        self.socket = socket.create_connection((host, port), timeout=TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = b64encode(urandom(16)).decode()
        lines = [f"GET {target} HTTP/1.1", "Host: localhost", login, "Connection: Upgrade", "Upgrade: websocket"]
        lines += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", "", ""]
        self.socket.sendall("\r\n".join(lines).encode())
        data = self.receive()
        while _HEAD_END not in data:
            data += self.receive()
        head, _, self.early = data.partition(_HEAD_END)
        accept = b64encode(sha1(key.encode() + _MAGIC).digest())
        if not head.startswith(b"HTTP/1.1 101") or accept not in head:
            raise OSError(f"{target} is answered {head!r} {self.early!r}")

    def ask(self, message: bytes) -> bytes:
        """Send *message* and return the next one that comes."""
        self.socket.sendall(encode_frame(message))
        while True:
            messages, rest = decode_frames(self.early)
            if messages:
                # What may have come behind the answer is kept.
                self.early = b"".join(map(_server_frame, messages[1:])) + rest
                return messages[0]
            self.early += self.receive()

    def receive(self) -> bytes:
        """Return some bytes of what has come."""
        data = self.socket.recv(_RECV_BYTES)
        if not data:
            raise OSError("the server closed the connection")
        return data

    def close(self) -> None:
        """Close the connection, without a goodbye."""
        self.socket.close()


@dataclass(frozen=True)
class Dial:
    """How to open a websocket.

    Attributes:
        question: The first message; empty: none.
    """

    host: str
    port: int
    target: str
    login: str
    question: bytes = b""

    def open(self) -> Websocket:
        """Return a websocket, on which the question has been answered with success."""
        websocket = Websocket(self.host, self.port, self.target, self.login)
        if self.question and b'"ok":true' not in (answer := websocket.ask(self.question)):
            raise OSError(f"{self.question!r} was answered {answer!r}")
        return websocket


def encode_frame(message: bytes) -> bytes:
    """Return the frame with which a client sends *message*."""
    return _head(_MASKED, len(message)) + _MASK + message


def decode_frames(data: bytes) -> tuple[list[bytes], bytes]:
    """Return the messages in what a server has sent, and what there is of the next frame.

    Raises:
        OSError: the server says goodbye.
    """
    messages: list[bytes] = []
    at, end = 0, len(data)
    while at + 2 <= end:
        opcode, length = data[at] & 0x0F, data[at + 1]
        start = at + 2
        if length >= 126:
            start += 2 if length == 126 else 8
            if start > end:
                break
            length = int.from_bytes(data[at + 2 : start], "big")
        if start + length > end:
            break
        at = start + length
        if opcode in (_TEXT, _BINARY):
            messages.append(data[start:at])
        elif opcode == _CLOSE:
            raise OSError(f"the server closed the websocket: {data[start:at]!r}")
    return messages, data[at:]


def _server_frame(message: bytes) -> bytes:
    return _head(0, len(message)) + message


def _head(masked: int, length: int) -> bytes:
    if length < 126:
        return bytes((_FINAL_TEXT, masked | length))
    if length < 1 << 16:
        return bytes((_FINAL_TEXT, masked | 126)) + length.to_bytes(2, "big")
    return bytes((_FINAL_TEXT, masked | 127)) + length.to_bytes(8, "big")
