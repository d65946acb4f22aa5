"""Arrow from somebody else: nothing in it may stand for much more than it takes to send it, or be broken."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

import numpy as np
import pyarrow as pa

from ..errors import InvalidValue

__all__ = ["check_batch", "check_messages", "check_schema", "check_texts"]

TEXT_BYTES_MAX: Final = 64 * 1024 * 1024
"""Texts of the type string_view may share their bytes: of those that are taken at once, so much."""

_RECORD_BATCH: Final = "record batch"
_HEADER, _COMPRESSION = 2, 3
"""Fields of the tables Message and RecordBatch, in Message.fbs of Arrow."""


def check_messages(data: bytes) -> None:
    """Refuse a stream that is compressed, which could be a bomb; and one with dictionaries, which repeat their values.

    Raises:
        InvalidValue: it is such a stream.
        pa.ArrowException, OSError, EOFError: it is no stream.
    """
    for message in pa.ipc.MessageReader.open_stream(pa.BufferReader(data)):
        if message.type == "dictionary":
            raise InvalidValue("a column is a dictionary (categorical): send it as strings")
        if message.type == _RECORD_BATCH and _is_compressed(bytes(message.metadata)):
            raise InvalidValue(
                "the Arrow stream is compressed inside: send it as it is, or with Content-Encoding: gzip"
            )


def _is_compressed(metadata: bytes) -> bool:
    try:
        header = _table(metadata, struct.unpack_from("<I", metadata)[0])(_HEADER)
        return (
            header is None
            or _table(metadata, header + struct.unpack_from("<I", metadata, header)[0])(_COMPRESSION) is not None
        )
    except struct.error:
        return True


def _table(data: bytes, at: int) -> Callable[[int], int | None]:
    """Return what tells where a field of the table of FlatBuffers at a place begins; ``None``: it is not there."""
    fields = at - struct.unpack_from("<i", data, at)[0]
    (size,) = struct.unpack_from("<H", data, fields)

    def field(number: int) -> int | None:
        entry = 4 + 2 * number
        offset = struct.unpack_from("<H", data, fields + entry)[0] if entry < size else 0
        return at + offset if offset else None

    return field


def check_schema(schema: pa.Schema) -> None:
    """Raises `InvalidValue` if a column has another type than plain ones, or if times have no zone."""
    for field in schema:
        kind = field.type
        if not (kind == pa.json_() or kind == pa.string_view() or any(is_kind(kind) for is_kind in _PLAIN)):
            raise InvalidValue(
                f"the column {field.name[:40]!r} holds {str(kind)[:60]}: send numbers, bools, times, strings, or JSON "
                "as arrow.json"
            )
    times = schema.field("t").type if schema.names.count("t") == 1 else None
    if times is not None and pa.types.is_timestamp(times) and times.tz is None:
        raise InvalidValue("the times in the column 't' have no time zone: give them one, as UTC")


_PLAIN: Final = (
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_timestamp,
    pa.types.is_date,
    pa.types.is_time,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_null,
)


def check_batch(batch: pa.RecordBatch) -> None:
    """Raises `pa.ArrowInvalid` if its buffers do not fit together, or texts are not UTF-8."""
    batch.validate(full=True)


def check_texts(batch: pa.RecordBatch) -> None:
    """Raises `InvalidValue` if the texts of *batch* are much longer than what was sent."""
    total = 0
    for column in batch.columns:
        if column.type == pa.string_view() and len(column):
            views = np.frombuffer(column.buffers()[1], np.int32)[0::4]
            total += int(views[column.offset : column.offset + len(column)].sum(dtype=np.int64))
    if total > TEXT_BYTES_MAX:
        raise InvalidValue(f"{batch.num_rows} datapoints have texts of {total} bytes")
