"""Tables out of the server's columns (Arrow), without a dict for each datapoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec

from ..frames import frame_of

if TYPE_CHECKING:
    import pandas
    import polars

__all__ = ["ACCEPT", "Table", "can_read", "read"]

ACCEPT: Final = "application/vnd.apache.arrow.stream, application/json;q=0.5"
"""Columns, or from a server that has none, JSON."""

_BEGIN: Final = b"\xff\xff\xff\xff"

_decode = msgspec.json.Decoder().decode


class Table(NamedTuple):
    """Datapoints in columns.

    Attributes:
        ticks, unit: The times, an array of numpy.
        columns: Arrays of numpy where each row has a value, and it is a number or a bool; else lists of what JSON has.
        writers: Who wrote each; empty: the owner all of them.
    """

    ticks: Sequence[int]
    unit: Literal["ns", "us"]
    columns: Mapping[str, Sequence[Any]]
    writers: Sequence[str | None]

    def to_df(self, kind: Literal["pandas", "polars"]) -> pandas.DataFrame | polars.DataFrame:
        """Return the same as `DatapointArray.to_df` makes of these datapoints."""
        return frame_of(self.ticks, self.unit, self.columns, self.writers, kind)


def can_read() -> bool:
    """Whether what reads columns is installed."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        return False
    return True


def read(body: bytes) -> Table | None:
    """Return the table in *body*, an Arrow stream as servers make it; ``None`` if it is something else.

    Raises:
        ValueError: not all of it is there, or it is not as servers make it.
    """
    if not body.startswith(_BEGIN):
        return None
    import pyarrow as pa

    try:
        with pa.ipc.open_stream(pa.BufferReader(body)) as stream:
            table = stream.read_all()
        times = table.column("t")
        names = [name for name in table.column_names if name != "t"]
        plain = names == ["d", "o"]
        return Table(
            times.cast(pa.int64()).to_numpy(),
            times.type.unit,
            {name: _values(table.column(name)) for name in (names[:1] if plain else names)},
            table.column("o").to_pylist() if plain else (),
        )
    except (pa.ArrowException, KeyError, AttributeError, OSError) as e:
        raise ValueError(f"it is no table of datapoints: {e}") from None


def _values(column: Any) -> Any:
    import pyarrow as pa

    if column.type == pa.json_():
        texts = [text for chunk in column.chunks for text in chunk.storage.to_pylist()]
        return [None if text is None else _decode(text) for text in texts]
    if len(column) and column.null_count == 0 and column.type in (pa.bool_(), pa.int64(), pa.float64()):
        return column.to_numpy()
    return column.to_pylist()
