"""Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import pyarrow.parquet as pq

from ..block import Block
from ..errors import InvalidValue
from ._chunks import READ_POINTS
from ._columns import blocks_of, errors_translated
from ._table import Sink, Table

__all__ = ["encoder", "read"]


class _File:
    def __init__(self, table: Table) -> None:
        self._table = table

    def feed(self, block: Block) -> bytes:
        self._table.feed(block)
        return b""

    def end(self) -> Iterator[bytes]:
        sink = Sink()
        schema = self._table.finish()
        with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
            for batch in self._table.batches(schema):
                writer.write_batch(batch)
                yield sink.take()
        yield sink.take()

    def close(self) -> None:
        self._table.close()


def encoder(columns: Sequence[str] | None, *, writers: bool, spool_bytes_max: int | None) -> _File:
    """See `connectordb.formats.encoder`."""
    return _File(Table(columns, spool_bytes_max))


def read(file: BinaryIO, *, remote: bool = False) -> Iterator[Block]:
    """See `connectordb.formats.read`."""
    if remote:
        raise InvalidValue("a Parquet file may be very much larger than it is: send it as arrow, csv or ndjson")
    with errors_translated("a Parquet file"):
        whole = pq.ParquetFile(file)
        yield from blocks_of(whole.iter_batches(READ_POINTS), whole.schema_arrow)
