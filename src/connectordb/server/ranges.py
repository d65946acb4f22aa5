"""Datapoints as an answer: whole if they are few, else in chunks as they come."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from ..block import Block
from .reply import JSON, Reply
from .state import State

__all__ = ["range_reply"]

WHOLE_BYTES_MAX = 256 * 1024
"""A range up to about this size is sent in one piece, so that its length is known."""
CHUNK_BYTES = 64 * 1024
"""Small blocks are put together to chunks of about this size."""


async def range_reply(state: State, blocks: AsyncGenerator[Block, None]) -> Reply:
    """Return the answer that *blocks* make.

    The beginning is read at once, so that what can be wrong is known before the status is sent; then the rest as it
    goes.
    """
    parts: list[bytes] = []
    size = 0
    async for block in blocks:
        parts.append(block.json)
        size += len(parts[-1])
        state.metrics.points_read += block.n
        if size >= WHOLE_BYTES_MAX:
            return Reply(200, b"", JSON, chunks=_chunks(state, parts, blocks))
    return Reply(200, b"[" + b",".join(parts) + b"]", JSON)


async def _chunks(state: State, begun: list[bytes], blocks: AsyncGenerator[Block, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(blocks):
        yield b"[" + b",".join(begun)
        parts = [b""]
        size = 0
        async for block in blocks:
            parts.append(block.json)
            size += len(parts[-1])
            state.metrics.points_read += block.n
            if size >= CHUNK_BYTES:
                yield b",".join(parts)
                parts, size = [b""], 0
        yield b",".join(parts) + b"]"
