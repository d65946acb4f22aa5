"""Answers made smaller on their way, for those who ask for it: gzip, in other threads, a chunk at a time."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import lru_cache
from typing import Final

from .reply import Header, Reply
from .request import Request
from .state import State

__all__ = ["compressed"]

COMPRESS_BYTES_MIN: Final = 16 * 1024
"""A shorter answer goes as it is: it fits into what the network takes at once anyway."""
LEVEL: Final = 1
"""Of zlib: 4 ms for each 10^6 bytes of JSON, which become a quarter. Higher ones take up to five times as long for
another twentieth."""

_GZIP_WBITS: Final = 16 + zlib.MAX_WBITS
_VARY: Final[Header] = (b"vary", b"Accept, Accept-Encoding")
_ENCODING: Final[Header] = (b"content-encoding", b"gzip")
_PACKED: Final = (b"application/vnd.apache.parquet",)
"""What is compressed in itself."""


def compressed(state: State, request: Request, reply: Reply) -> Reply:
    """Return *reply*, compressed if *request* allows that and it is worth it.

    For programs on this machine it is not: it would take them and the server longer than sending all of it.
    """
    reply.headers = (*reply.headers, _VARY)
    if reply.chunks is None and len(reply.body) < COMPRESS_BYTES_MIN:
        return reply
    accepted = request.headers.get(b"accept-encoding", b"")
    if not accepted or request.same_machine or reply.content_type in _PACKED or not _takes_gzip(accepted):
        return reply
    reply.headers = (*reply.headers, _ENCODING)
    reply.chunks = _chunks(state, reply.body, reply.chunks)
    reply.body = b""
    return reply


@lru_cache(maxsize=256)
def _takes_gzip(accepted: bytes) -> bool:
    """Whether a header Accept-Encoding allows gzip."""
    found: dict[str, float] = {}
    for part in accepted.decode("latin-1").lower().split(","):
        name, *params = [piece.strip() for piece in part.split(";")]
        q = 1.0
        for param in params:
            if param.startswith("q="):
                try:
                    q = float(param[2:])
                except ValueError:
                    q = 0.0
        found[name] = q
    return found.get("gzip", found.get("x-gzip", found.get("*", 0.0))) > 0


async def _chunks(state: State, body: bytes, chunks: AsyncGenerator[bytes, None] | None) -> AsyncGenerator[bytes, None]:
    loop, pool = asyncio.get_running_loop(), state.core.reading
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP_WBITS)
    async with aclosing(chunks if chunks is not None else _one(body)) as parts:
        async for part in parts:
            packed = await loop.run_in_executor(pool, compressor.compress, part)
            if packed:
                yield packed
    yield await loop.run_in_executor(pool, compressor.flush)


async def _one(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body
