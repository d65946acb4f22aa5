"""A table with typed columns, put together in a temporary file: its types are only known when all datapoints are.

Each batch of datapoints is kept in the narrowest types that hold it: null, bool, int64, float64 or string. At the end
each column has the narrowest type that holds all of it; int64 and float64 together are float64 if that is exact. All
else is JSON text, and the type of the column says so.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import pairwise
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..block import Block
from ..columns import Categories, Column, Mixed, Records
from ..errors import TooLarge
from ._encoder import check_columns

if TYPE_CHECKING:
    from ..columns import Floats

__all__ = ["NANOSECONDS_END_S", "Sink", "Table"]

BATCH_ROWS: Final = 65_536
BATCH_BYTES: Final = 8 * 1024 * 1024
"""A batch is written when there are so many datapoints, or bytes of them as JSON."""
ARRAY_ROWS: Final = 256
"""So many datapoints, if they are columns, are a batch by themselves."""
MEMORY_BYTES: Final = 8 * 1024 * 1024
"""A temporary file is in memory until it is longer than this."""
AS_IT_IS_BYTES: Final = 32 * 1024 * 1024
"""What comes behind that in a temporary file is compressed, which takes longer than all the rest."""
NANOSECONDS_END_S: Final = 9_214_646_400.0
"""The year 2262: later does not fit in 64 bits of nanoseconds."""
EXACT_INT: Final = 2**53
"""Up to here each integer is a float64, too."""

_NARROW: Final[dict[type, pa.DataType]] = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
_JSON: Final = pa.json_()
_AS_IT_IS: Final = pa.ipc.IpcWriteOptions()
_SMALL: Final = pa.ipc.IpcWriteOptions(compression="lz4")

_encode = msgspec.json.Encoder().encode


class _Column:
    """What is known of a column.

    Attributes:
        kind: The narrowest type of all of it.
        exact: Each of its integers is a float64, too.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.kind: pa.DataType = pa.null()
        self.exact = True

    def take(self, array: pa.Array) -> None:
        """Note what there is in *array*, which has the narrowest type of its values."""
        if array.type == pa.int64() and self.exact:
            ends = pc.min_max(array).as_py()
            self.exact = ends["min"] >= -EXACT_INT and ends["max"] <= EXACT_INT
        self.kind = self._with(array.type)

    def _with(self, other: pa.DataType) -> pa.DataType:
        kinds = {self.kind, other} - {pa.null()}
        if len(kinds) < 2:
            return kinds.pop() if kinds else pa.null()
        if kinds == {pa.int64(), pa.float64()} and self.exact:
            return pa.float64()
        return _JSON

    def widened(self, array: pa.Array) -> pa.Array:
        """Return *array* in the type of all of the column."""
        if array.type == self.kind:
            return array
        if array.type == pa.null():
            return pa.nulls(len(array), self.kind)
        return _texts(array.to_pylist()) if self.kind == _JSON else array.cast(self.kind)


class Table:
    """Datapoints, as many as come.

    Args:
        columns: The names of the columns; ``None``: there is one, ``d``, with the values.
        bytes_max: Bound on the temporary file.
    """

    def __init__(self, columns: Sequence[str] | None, bytes_max: int | None) -> None:
        names = check_columns(columns)
        self._wide = names is not None
        self._columns = [_Column(name) for name in (["d"] if names is None else names)]
        self._writers = _Column("o")
        self._bytes_max = bytes_max
        self._file = SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115 - closed by `close`
        self._starts = [0]
        self._t_max = 0.0
        self._empty()

    def _empty(self) -> None:
        self._t: list[float] = []
        self._values: list[list[Any]] = [[] for _ in self._columns]
        self._o: list[str | None] = []
        self._bytes = 0

    def feed(self, block: Block) -> None:
        """Take *block*. Raises `TooLarge` if the bound is reached."""
        if block.n >= ARRAY_ROWS and block.columns is not None:
            self._feed_columns(*block.columns)
            return
        points = block.points
        self._t += [point.t for point in points]
        self._o += [point.o for point in points]
        if self._wide:
            rows = [point.d if isinstance(point.d, dict) else {} for point in points]
            for column, values in zip(self._columns, self._values, strict=True):
                values += [row.get(column.name) for row in rows]
        else:
            self._values[0] += [point.d for point in points]
        self._bytes += block.size
        if len(self._t) >= BATCH_ROWS or self._bytes >= BATCH_BYTES:
            self._put_aside()

    def _feed_columns(self, times: Floats, values: Column) -> None:
        if self._t:
            self._put_aside()
        for start in range(0, len(times), BATCH_ROWS):
            part = values[start : start + BATCH_ROWS]
            n = len(part)
            if self._wide:
                fields = part.fields if isinstance(part, Records) else {}
                found = [fields.get(column.name) for column in self._columns]
                arrays = [pa.nulls(n) if field is None else _array(field) for field in found]
            else:
                arrays = [_array(part)]
            self._write(pa.array(times[start : start + n]), [*arrays, pa.nulls(n)])

    def finish(self) -> pa.Schema:
        """Take no more, and return the names and types of the columns."""
        if self._t:
            self._put_aside()
        if not self._wide and self._writers.kind == pa.string():
            self._columns.append(self._writers)
        unit = "ns" if self._t_max < NANOSECONDS_END_S else "us"
        time = pa.field("t", pa.timestamp(unit, "UTC"), nullable=False)
        return pa.schema([time, *(pa.field(column.name, column.kind) for column in self._columns)])

    def batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield all of it in batches, in order. *schema* is what `finish` has returned."""
        for start, stop in pairwise(self._starts):
            self._file.seek(start)
            batch = pa.ipc.open_stream(pa.py_buffer(self._file.read(stop - start))).read_next_batch()
            arrays = [column.widened(batch.column(at)) for at, column in enumerate(self._columns, 1)]
            yield pa.RecordBatch.from_arrays([_times(batch.column(0), schema.field(0).type), *arrays], schema=schema)

    def close(self) -> None:
        """Delete the temporary file."""
        self._file.close()

    def _put_aside(self) -> None:
        times = pa.array(self._t, pa.float64())
        arrays = list(map(_narrow, [*self._values, self._o]))
        self._empty()
        self._write(times, arrays)

    def _write(self, times: pa.Array, arrays: list[pa.Array]) -> None:
        self._t_max = max(self._t_max, pc.max(times).as_py())
        for column, array in zip([*self._columns, self._writers], arrays, strict=True):
            column.take(array)
        arrays = [times, *arrays]
        batch = pa.RecordBatch.from_arrays(arrays, names=[str(at) for at in range(len(arrays))])
        sink = pa.BufferOutputStream()
        options = _AS_IT_IS if self._starts[-1] < AS_IT_IS_BYTES else _SMALL
        with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
            writer.write_batch(batch)
        data = sink.getvalue()
        end = self._starts[-1] + data.size
        if self._bytes_max is not None and end > self._bytes_max:
            raise TooLarge(
                f"the answer needs more than {self._bytes_max} bytes in a temporary file, which is the most that this "
                "server takes for one: ask for less at once, or for ndjson or csv, which need none",
                limit=self._bytes_max,
            )
        self._file.write(data)
        self._starts.append(end)


class Sink(io.RawIOBase):
    """A file whose content is taken out as it is written."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """How much has been written."""
        return self._at

    def write(self, data: Any) -> int:
        """Keep *data* until it is taken."""
        self._parts.append(bytes(data))
        self._at += len(self._parts[-1])
        return len(self._parts[-1])

    def take(self) -> bytes:
        """Return what has been written since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _narrow(values: list[Any]) -> pa.Array:
    kinds = set(map(type, values)) - {type(None)}
    if not kinds:
        return pa.nulls(len(values))
    if len(kinds) == 1:
        kind = _NARROW.get(kinds.pop())
        if kind is not None:
            try:
                return pa.array(values, kind)
            except (OverflowError, pa.ArrowInvalid):  # an integer of more than 64 bits
                pass
    elif kinds == {int, float} and all(type(v) is not int or -EXACT_INT <= v <= EXACT_INT for v in values):
        return pa.array(values, pa.float64())
    return _texts(values)


def _array(column: Column) -> pa.Array:
    """As `_narrow`, of a column."""
    if isinstance(column, Mixed):
        return _array(column.values)
    if isinstance(column, Categories):
        return pa.array(column.labels, pa.string()).take(pa.array(column.codes))
    if isinstance(column, Records):
        return _texts(column.tolist())
    if column.dtype.kind == "f" and not np.isfinite(column).all():  # null, as in JSON
        return _narrow(column.tolist())
    return pa.array(column)


def _texts(values: list[Any]) -> pa.Array:
    """*values* as JSON; null stays null."""
    texts = pa.array([None if v is None else _encode(v).decode() for v in values], pa.string())
    return pa.ExtensionArray.from_storage(_JSON, texts)


def _times(seconds: pa.Array, kind: pa.TimestampType) -> pa.Array:
    """*seconds* since 1970 as times, to the nearest unit."""
    per_s = 1_000_000_000 if kind.unit == "ns" else 1_000_000
    values = seconds.to_numpy()
    whole = np.floor(values)
    ticks = whole.astype("int64") * per_s + np.rint((values - whole) * per_s).astype("int64")
    return pa.array(ticks, pa.int64()).cast(kind)
