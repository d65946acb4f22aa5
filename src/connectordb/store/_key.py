"""The numbers by which SQLite knows substreams and the places in them."""

from __future__ import annotations

from .records import Substream

__all__ = ["INDEX_MAX", "STREAM_ID_MAX", "key_at", "key_of", "place_of"]

_INDEX_BITS = 38
INDEX_MAX = (1 << _INDEX_BITS) - 1
"""No datapoint of a substream has a greater index: 2.7e11, a thousand a second for nine years."""
STREAM_ID_MAX = (1 << 24) - 1
"""No stream has a greater id: 16 million."""


def key_of(stream_id: int, substream: Substream) -> int:
    """Return the number of a substream."""
    return 2 * stream_id + substream


def place_of(key: int, i: int = 0) -> int:
    """Return the place of index *i* in substream *key*; ``place_of(key + 1)`` is behind the last one."""
    return (key << _INDEX_BITS) + i


def key_at(place: int) -> int:
    """Return the number of the substream in which *place* is."""
    return place >> _INDEX_BITS
