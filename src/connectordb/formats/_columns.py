"""Datapoints from the columns of Arrow."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pyarrow as pa

from ..block import Block
from ..datapoint import Datapoint
from ..errors import InvalidValue
from . import _careful
from ._chunks import JSON_ERRORS, rows_at_once

__all__ = ["blocks_of", "errors_translated"]

_PER_S = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}

_TEXTS = (pa.string(), pa.large_string(), pa.string_view(), pa.null())

_decode = msgspec.json.Decoder().decode


@contextmanager
def errors_translated(what: str) -> Iterator[None]:
    """Errors of the library become ours; *what* is being read."""
    try:
        yield
    except (pa.ArrowException, OSError, EOFError) as e:
        raise InvalidValue(f"this is not {what}, or not all of it: {str(e).splitlines()[0]}") from None


def blocks_of(batches: Iterable[pa.RecordBatch], schema: pa.Schema, *, remote: bool = False) -> Iterator[Block]:
    """Yield the rows of *batches* as datapoints. *remote* is that of `connectordb.formats.read`.

    The column ``t`` holds times, or seconds since 1970. If the others are ``d``, and perhaps ``o``, they are the value
    and who wrote it; otherwise each row is an object of them. NaN is null.

    Raises:
        InvalidValue: these are no datapoints.
    """
    names = schema.names
    if names.count("t") != 1 or len(names) < 2 or len(set(names)) != len(names):
        raise InvalidValue(f"the table needs a column 't' and further ones, each once; it has {', '.join(names)[:80]}")
    plain = {"d"} <= set(names) <= {"t", "d", "o"}
    if remote:
        _careful.check_schema(schema)
    if plain and "o" in names and schema.field("o").type not in _TEXTS:
        raise InvalidValue(f"the column 'o' holds {schema.field('o').type}: it has to hold texts")
    readers = {name: _reader(schema.field(name)) for name in names if name != "t"}
    step = rows_at_once(names)
    number = 1
    for batch in batches:
        if remote:
            _careful.check_batch(batch)
        for start in range(0, batch.num_rows, step):
            part = batch.slice(start, step)
            if remote:
                _careful.check_texts(part)
            times = _seconds(part.column("t"), number)
            columns = {name: _values(read, part.column(name), name, number) for name, read in readers.items()}
            if plain:
                writers = columns.get("o") or [None] * len(times)
                points = [Datapoint(t, d, o) for t, d, o in zip(times, columns["d"], writers, strict=True)]
            else:
                rows = zip(*columns.values(), strict=True)
                points = [
                    Datapoint(t, dict(zip(columns, row, strict=True))) for t, row in zip(times, rows, strict=True)
                ]
            yield Block.of(points)
            number += len(points)


def _seconds(times: pa.Array, number: int) -> list[float]:
    kind = times.type
    if times.null_count:
        raise InvalidValue(f"datapoint {number + times.is_null().to_pylist().index(True)} has no time")
    if pa.types.is_timestamp(kind):
        return [ticks / _PER_S[kind.unit] for ticks in times.cast(pa.int64()).to_pylist()]
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        seconds = [float(t) for t in times.to_pylist()]
        if not all(map(math.isfinite, seconds)):
            at = next(at for at, t in enumerate(seconds) if not math.isfinite(t))
            raise InvalidValue(f"datapoint {number + at} has no time")
        return seconds
    raise InvalidValue(f"the column 't' holds {kind}: it has to hold times, or seconds since 1970")


def _values(read: Callable[[pa.Array], list[Any]], array: pa.Array, name: str, number: int) -> list[Any]:
    try:
        return read(array)
    except JSON_ERRORS as e:
        raise InvalidValue(f"datapoints {number} to {number + len(array) - 1}, column {name[:40]!r}: {e}") from None


def _reader(field: pa.Field) -> Callable[[pa.Array], list[Any]]:
    """Return what makes JSON values of a column."""
    kind = field.type
    if kind == pa.json_():
        return lambda array: [None if text is None else _decode(text) for text in array.storage.to_pylist()]
    if pa.types.is_floating(kind):
        return lambda array: [None if v is None or not math.isfinite(v) else v for v in array.to_pylist()]
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        return lambda array: array.cast(pa.string()).to_pylist()
    return lambda array: msgspec.to_builtins(array.to_pylist())
