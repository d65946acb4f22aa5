"""Answers made smaller on their way, for those who ask for it: in other threads, a chunk at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from .codings import Coding, accepted_coding, compressor
from .reply import Header, Reply
from .request import Request
from .state import State

__all__ = ["compressed"]

COMPRESS_BYTES_MIN: Final = 16 * 1024
"""A shorter answer goes as it is: it fits into what the network takes at once anyway."""

_VARY: Final[Header] = (b"vary", b"Accept, Accept-Encoding")
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
    if not accepted or request.same_machine or reply.content_type in _PACKED:
        return reply
    coding = accepted_coding(accepted)
    if coding is None:
        return reply
    reply.headers = (*reply.headers, (b"content-encoding", coding.encode()))
    reply.chunks = _chunks(state, coding, reply.body, reply.chunks)
    reply.body = b""
    return reply


async def _chunks(
    state: State, coding: Coding, body: bytes, chunks: AsyncGenerator[bytes, None] | None
) -> AsyncGenerator[bytes, None]:
    loop, pool = asyncio.get_running_loop(), state.core.reading
    packer = compressor(coding)
    async with aclosing(chunks if chunks is not None else _one(body)) as parts:
        async for part in parts:
            packed = await loop.run_in_executor(pool, packer.compress, part)
            if packed:
                yield packed
    yield await loop.run_in_executor(pool, packer.flush)


async def _one(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body
