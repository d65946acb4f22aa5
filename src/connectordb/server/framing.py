"""Websocket frames with text, as bytes to be sent (RFC 6455, RFC 7692).

The frames of a server are not masked, and a compressed one stands for itself (no context is kept between messages):
so the same bytes can go to any number of clients.
"""

from __future__ import annotations

import struct
import zlib

__all__ = ["COMPRESS_BYTES_MIN", "compressed_frame", "text_frame"]

COMPRESS_BYTES_MIN = 512
"""A shorter message is sent as it is: compressing it saves less than it costs."""
_LEVEL = 1
"""Of zlib: more would save a little, and hold up everybody else."""

_FINAL_TEXT = 0x81
_COMPRESSED = 0x40
_SHORT_MAX = 125
_MEDIUM_MAX = 65_535
_MEDIUM, _LONG = 126, 127
_TAIL = b"\x00\x00\xff\xff"
"""Ends what has been flushed, and is left out on the wire."""

_medium_head = struct.Struct("!BBH").pack
_long_head = struct.Struct("!BBQ").pack


def text_frame(message: bytes) -> bytes:
    """Return the frame with *message*, which is UTF-8."""
    return _head(_FINAL_TEXT, len(message)) + message


def compressed_frame(message: bytes) -> bytes:
    """Return the frame with *message*, compressed if that makes it shorter, for a client that has agreed to it."""
    if len(message) >= COMPRESS_BYTES_MIN:
        compressor = zlib.compressobj(_LEVEL, wbits=-zlib.MAX_WBITS)
        data = compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)
        data = data.removesuffix(_TAIL)
        if len(data) < len(message):
            return _head(_FINAL_TEXT | _COMPRESSED, len(data)) + data
    return text_frame(message)


def _head(first: int, length: int) -> bytes:
    if length <= _SHORT_MAX:
        return bytes((first, length))
    if length <= _MEDIUM_MAX:
        return _medium_head(first, _MEDIUM, length)
    return _long_head(first, _LONG, length)
