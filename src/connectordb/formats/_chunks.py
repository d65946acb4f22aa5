"""What the readers of text share: pieces of a file, and datapoints in JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import msgspec

from ..block import Block
from ..datapoint import Datapoint
from ..errors import InvalidValue

__all__ = ["JSON_ERRORS", "READ_POINTS", "chunks_of", "decode_block", "decode_points", "rows_at_once"]

CHUNK_BYTES = 256 * 1024
READ_POINTS = 8192
"""A block has at most so many datapoints."""
JSON_ERRORS = (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError)
"""All that decoding of JSON may raise."""
_NAMES_MAX = 16 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"

decode_points = msgspec.json.Decoder(list[Datapoint]).decode
_point = msgspec.json.Decoder(Datapoint)


def chunks_of(file: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes of *file* as they come, without the mark that some programs write at the beginning."""
    take: Any = getattr(file, "read1", file.read)  # of a pipe, what is there: not until so much has come
    first = True
    while chunk := take(CHUNK_BYTES):
        if first:
            while len(chunk) < len(_BOM) and (more := take(CHUNK_BYTES)):
                chunk += more
            chunk = chunk.removeprefix(_BOM)
            first = False
        if chunk:
            yield chunk


def rows_at_once(names: Sequence[str]) -> int:
    """Return how many rows of a table a block may have. In JSON, each of them names all columns."""
    return max(1, min(READ_POINTS, _NAMES_MAX // (1 + sum(len(name) + 8 for name in names))))


def decode_block(texts: list[bytes], what: str, first: int) -> Block:
    """Return the datapoints in *texts*, each as JSON.

    Args:
        what: What numbers them: "line" or "datapoint".
        first: The number of the first.

    Raises:
        InvalidValue: one of them is no datapoint.
    """
    try:
        return Block.of(decode_points(b"[" + b",".join(texts) + b"]"))
    except JSON_ERRORS:
        pass
    points = []
    for at, text in enumerate(texts, first):  # which of them is it?
        try:
            points.append(_point.decode(text))
        except RecursionError:
            raise InvalidValue(f"{what} {at} is nested too deeply") from None
        except JSON_ERRORS as e:
            raise InvalidValue(f"{what} {at} is no datapoint: {e}") from None
    return Block.of(points)
