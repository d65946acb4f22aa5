"""Blocks kept in memory, so that what is read again need not be unpacked again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

from ..block import Block

__all__ = ["BlockCache", "CacheStats"]


class CacheStats(NamedTuple):
    """What a cache holds, and how often it had what was asked for.

    Attributes:
        blocks, bytes: How many are kept, and how much memory they take.
        hits, misses: How often a block was there, and how often it was not.
    """

    blocks: int
    bytes: int
    hits: int
    misses: int


class BlockCache:
    """The blocks that were read last, by id, from any thread. What a block holds never changes.

    Args:
        bytes_max: How much memory they may take; 0: none are kept.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._blocks: OrderedDict[int, tuple[Block, int]] = OrderedDict()
        self._bytes = self._hits = self._misses = 0

    @property
    def stats(self) -> CacheStats:
        """As of now."""
        return CacheStats(len(self._blocks), self._bytes, self._hits, self._misses)

    def get(self, block_id: int) -> Block | None:
        """Return the block, if it is kept."""
        with self._lock:
            found = self._blocks.get(block_id)
            if found is None:
                self._misses += 1
                return None
            self._hits += 1
            self._blocks.move_to_end(block_id)
            return found[0]

    def put(self, block_id: int, block: Block) -> None:
        """Keep *block*, in the place of those that were not asked for longest."""
        from ._codec import cost

        size = cost(block)
        if size > self._bytes_max // 4:
            return
        with self._lock:
            if block_id in self._blocks:
                return
            self._blocks[block_id] = block, size
            self._bytes += size
            while self._bytes > self._bytes_max:
                _, (_, gone) = self._blocks.popitem(last=False)
                self._bytes -= gone
