"""Arrow IPC, as a stream; for reading, as a file too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import pyarrow as pa

from ..block import Block
from ._careful import check_messages
from ._columns import blocks_of, errors_translated
from ._table import Sink, Table

__all__ = ["encoder", "read"]

_FILE = b"ARROW1"


class _Stream:
    def __init__(self, table: Table) -> None:
        self._table = table

    def feed(self, block: Block) -> bytes:
        self._table.feed(block)
        return b""

    def end(self) -> Iterator[bytes]:
        sink = Sink()
        schema = self._table.finish()
        with pa.ipc.new_stream(sink, schema) as writer:
            for batch in self._table.batches(schema):
                writer.write_batch(batch)
                yield sink.take()
        yield sink.take()

    def close(self) -> None:
        self._table.close()


def encoder(columns: Sequence[str] | None, *, writers: bool, spool_bytes_max: int | None) -> _Stream:
    """See `connectordb.formats.encoder`."""
    return _Stream(Table(columns, spool_bytes_max))


def read(file: BinaryIO, *, remote: bool = False) -> Iterator[Block]:
    """See `connectordb.formats.read`."""
    with errors_translated("an Arrow IPC stream" if remote else "Arrow IPC"):
        if remote:
            data = file.read()
            check_messages(data)
            stream = pa.ipc.open_stream(pa.BufferReader(data))
            yield from blocks_of(stream, stream.schema, remote=True)
            return
        if file.seekable() and _is_file(file):
            whole = pa.ipc.open_file(file)
            yield from blocks_of((whole.get_batch(at) for at in range(whole.num_record_batches)), whole.schema)
        else:
            stream = pa.ipc.open_stream(file)
            yield from blocks_of(stream, stream.schema)


def _is_file(file: BinaryIO) -> bool:
    start = file.tell()
    magic = file.read(len(_FILE))
    file.seek(start)
    return magic == _FILE
