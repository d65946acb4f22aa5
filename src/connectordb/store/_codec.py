"""How a block is written: each column by itself, as small as it gets, with a checksum over all.

A block begins with a version, what it is made of, a checksum of all the rest, the number of its datapoints, the memory
they take, and the first and the last time stamp. Then come parts, each with its length in front: the time stamps, then
the values; or their text, if there is no column that can hold the values.

Numbers are written as integers where that is exact: 20.5 is 205 tenths. Time stamps that follow a clock are written as
how far they are off it.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, cast
from zlib import crc32

import msgspec

from ..block import Block
from ..columns import (
    Categories,
    Column,
    Kind,
    Mixed,
    Records,
    is_finite,
    kind_of,
    numpy,
    parse_numbers,
    to_column,
    to_records,
)
from ..errors import StoreError
from ..rows import scaled
from .records import Summary

if TYPE_CHECKING:
    from ..columns import Floats

__all__ = ["VERSION", "Encoded", "cost", "decode", "encode"]

T = TypeVar("T")

VERSION: Final = 1
"""The first byte of a block."""

_HEAD: Final = struct.Struct("<BBIIQdd")
_BEFORE: Final = 2
_BEHIND: Final = 6
"""The checksum is of what stands before it and behind it."""
_LENGTH: Final = struct.Struct("<I")

_TEXT: Final = 0
_CODES: Final[dict[Kind, int]] = {"float": 1, "int": 2, "mixed": 3, "bool": 4, "text": 5, "record": 6}
_KINDS: Final = {code: kind for kind, code in _CODES.items()}

_TIME_DIGITS: Final = (0, 3, 6)
_DIGITS: Final = tuple(range(10))
"""Behind the point, of numbers that are written as integers."""
_AS_THEY_ARE: Final = 0xFF
_STEADY: Final = 0x40
"""With the digits: what follows is how far off a straight line the numbers are, behind the step of the line."""
_STEADY_MIN: Final = 16
_STEP: Final = struct.Struct("<d")
_PCODEC_LEVEL: Final = 7
"""2 % smaller than 4, and read as fast; 8 takes half as long again."""
_ZSTD_LEVEL: Final = 6

_ROW_BYTES: Final = 11
"""Length of ``{"t":,"d":},``."""
_NUMBER_BYTES: Final = 24
"""A number takes so many at most."""
_POINT_BYTES: Final = 100
"""Memory for an object, its time stamp and its value."""
_LABEL_BYTES: Final = 80
"""Memory for a text, besides its letters."""


class Encoded(NamedTuple):
    """A block as it is written.

    Attributes:
        data: What to give to `decode`.
        size: Length of its text in bytes, or where that is not known a bit more.
        summary: What is known of the values if all of them are numbers.
    """

    data: bytes
    size: int
    summary: Summary | None


def encode(block: Block) -> Encoded:
    """Return *block* as it is to be written. Needs numpy, pcodec and zstandard, as all here."""
    columns = columns_of(block)
    if columns is None:
        size = len(block.json)
        return _encoded(block, _TEXT, [_pack(block.json)], size, 4 * size + _POINT_BYTES * block.n, None)
    times, values = columns
    parts: list[bytes] = []
    width = _ROW_BYTES + _put_floats(parts, times, _TIME_DIGITS, steady=True) + _put(parts, values)
    size = len(block.json) if block.has_json else width * block.n
    memory = times.nbytes + _memory(values) + size
    return _encoded(block, _CODES[kind_of(values)], parts, size, memory, _summary(times, values))


def decode(data: bytes) -> Block:
    """Return the block that was written as *data*; what it holds is unpacked when it is first asked for.

    Raises:
        StoreError: *data* is damaged, or of a newer version.
    """
    if len(data) < _HEAD.size:
        raise StoreError(f"a block is damaged: it is only {len(data)} bytes long")
    version, kind, checksum, n, memory, t1, t2 = _HEAD.unpack_from(data)
    if version != VERSION:
        raise StoreError(
            f"a block has version {version}, and only {VERSION} is known here: it was written by a newer ConnectorDB, "
            "or it is damaged"
        )
    if checksum != crc32(memoryview(data)[_BEHIND:], crc32(data[:_BEFORE])):
        raise StoreError("a block is damaged: its checksum is wrong")
    return Block(n, t1, t2, source=_Parts(data, kind, n, memory))


def cost(block: Block) -> int:
    """Return about how many bytes of memory *block* takes at most: with its columns, and its text once it is made."""
    source = block.source
    if isinstance(source, _Parts):
        return source.memory
    columns = block.columns
    return len(block.json) if columns is None else columns[0].nbytes + _memory(columns[1])


class _Parts:
    """The parts of a block, out of which it gets its columns or its text.

    Attributes:
        memory: How many bytes all of it takes.
    """

    __slots__ = ("_data", "_kind", "_n", "memory")

    def __init__(self, data: bytes, kind: int, n: int, memory: int) -> None:
        self._data = data
        self._kind = kind
        self._n = n
        self.memory = memory + len(data)

    def times(self) -> Floats | None:
        return None if self._kind == _TEXT else _carefully(lambda: _get_floats(self._parts()))

    def values(self) -> Column | None:
        return None if self._kind == _TEXT else _carefully(self._values)

    def json(self) -> bytes | None:
        return _carefully(lambda: _unpack(next(self._parts()))) if self._kind == _TEXT else None

    def _values(self) -> Column:
        parts = self._parts()
        next(parts)  # the time stamps
        return _get(parts, _KINDS[self._kind], self._n)

    def _parts(self) -> Iterator[bytes]:
        at = _HEAD.size
        while at < len(self._data):
            (length,) = _LENGTH.unpack_from(self._data, at)
            at += _LENGTH.size
            yield self._data[at : at + length]
            at += length


def _carefully(get: Callable[[], T]) -> T:
    try:
        return get()
    except (MemoryError, StoreError):
        raise
    except Exception as error:
        raise StoreError(f"a block cannot be unpacked: {error}") from error


def _encoded(block: Block, kind: int, parts: list[bytes], size: int, memory: int, summary: Summary | None) -> Encoded:
    body = b"".join(piece for part in parts for piece in (_LENGTH.pack(len(part)), part))
    head = _HEAD.pack(VERSION, kind, 0, block.n, memory, block.t1, block.t2)
    checksum = crc32(body, crc32(head[_BEHIND:], crc32(head[:_BEFORE])))
    data = b"".join([head[:_BEFORE], _LENGTH.pack(checksum), head[_BEHIND:], body])
    return Encoded(data, size, summary)


def columns_of(block: Block) -> tuple[Floats, Column] | None:
    """Return the columns of *block*, or ``None`` if they do not hold all that its text does."""
    np = numpy()
    times: Any
    values: Any
    if block.columns is not None:
        times, values = block.columns
    else:
        try:
            numbers = None if block.has_points else parse_numbers(block.json, block.n)
            points = block.points if numbers is None else ()
        except (ValueError, RecursionError):  # it can be handed on, but not read: who reads it will see
            return None
        if numbers is not None:
            times, values = numbers
        elif any(point.o is not None for point in points):
            return None
        else:
            times, values = [point.t for point in points], [point.d for point in points]
        if isinstance(values, list):
            column = to_column(values)
            values = to_records(values) if column is None else column
            if values is None:
                return None
            times = np.array(times, np.float64)
    return (times, values) if is_finite(values) else None


def _put(parts: list[bytes], column: Column) -> int:
    """Append the parts of *column*; return how long the text of a value is, roughly and at most."""
    np = numpy()
    if isinstance(column, Mixed):
        parts.append(_pack(np.packbits(column.whole).tobytes()))
        return _put_floats(parts, column.values, _DIGITS)
    if isinstance(column, Categories):
        return _put_labels(parts, column)
    if isinstance(column, Records):
        kinds = [(key, _CODES[kind_of(field)]) for key, field in column.fields.items()]
        text = _encode_json(kinds)
        parts.append(text)
        return len(text) + sum([_put(parts, field) for field in column.fields.values()])
    if column.dtype.kind == "b":
        parts.append(_pack(np.packbits(column).tobytes()))
        return len("false")
    if column.dtype.kind == "i":
        parts.append(_pack_numbers(column))
        return len(str(int(abs(column).max()))) + 1
    return _put_floats(parts, column, _DIGITS)


def _get(parts: Iterator[bytes], kind: Kind, n: int) -> Column:
    np = numpy()
    if kind == "mixed":
        whole = _get_bits(parts, n)
        return Mixed(_get_floats(parts), whole)
    if kind == "text":
        labels = _decode_labels(_unpack(next(parts)))
        return Categories(_unpack_numbers(next(parts)).astype(np.intp), labels)
    if kind == "record":
        return Records({key: _get(parts, _KINDS[code], n) for key, code in _decode_kinds(next(parts))})
    if kind == "bool":
        return cast("Column", _get_bits(parts, n))
    if kind == "int":
        return cast("Column", _unpack_numbers(next(parts)))
    return _get_floats(parts)


def _put_labels(parts: list[bytes], column: Categories) -> int:
    np = numpy()
    codes, labels = column.codes, column.labels
    used = np.bincount(codes, minlength=len(labels)) > 0
    if not used.all():
        codes = (np.cumsum(used) - 1)[codes]
        labels = [label for label, is_used in zip(labels, used.tolist(), strict=True) if is_used]
    texts = [len(_encode_json(label)) for label in labels]
    parts += [_pack(_encode_json(labels)), _pack_numbers(codes.astype(np.uint32))]
    return int(np.array(texts)[codes].mean()) + 1


def _get_bits(parts: Iterator[bytes], n: int) -> Any:
    np = numpy()
    return np.unpackbits(np.frombuffer(_unpack(next(parts)), np.uint8), count=n).astype(np.bool_)


def _put_floats(parts: list[bytes], floats: Floats, digits: tuple[int, ...], *, steady: bool = False) -> int:
    """Append *floats*, with the fewest of *digits* behind the point that are exact; return the length of the longest
    as text, roughly and at most."""
    np = numpy()
    floats = np.ascontiguousarray(floats)
    found = scaled(floats, digits)
    if found is None:
        parts.append(bytes((_AS_THEY_ARE,)) + _pack_numbers(floats))
        return _NUMBER_BYTES
    k, integers = found
    step = _step(integers) if steady else None
    if step is None:
        parts.append(bytes((k,)) + _pack_numbers(integers))
    else:
        rest = integers - _line(step, len(integers))
        parts.append(bytes((_STEADY | k,)) + _STEP.pack(step) + _pack_numbers(rest))
    top = float(abs(floats).max())
    return min(_NUMBER_BYTES, len(str(int(top))) + max(k, 1) + 2)


def _get_floats(parts: Iterator[bytes]) -> Floats:
    part = next(parts)
    code = part[0]
    if code == _AS_THEY_ARE:
        return cast("Floats", _unpack_numbers(part[1:]))
    if code & _STEADY:
        numbers = _unpack_numbers(part[1 + _STEP.size :])
        numbers += _line(_STEP.unpack_from(part, 1)[0], len(numbers))
    else:
        numbers = _unpack_numbers(part[1:])
    return cast("Floats", numbers / 10.0 ** (code & ~_STEADY))


def _step(integers: Any) -> float | None:
    """Return by how much they grow from one to the next, if they are nearer to a straight line than to each other.

    So it is where a clock says when to measure: what is late today says nothing about tomorrow.
    """
    n = len(integers)
    if n < _STEADY_MIN:
        return None
    step = float(integers[-1] - integers[0]) / (n - 1)
    off = integers - _line(step, n)
    from_line = abs(off - off.mean()).mean()
    from_last = abs(integers[1:] - integers[:-1] - step).mean()
    return step if from_line < from_last else None


def _line(step: float, n: int) -> Any:
    np = numpy()
    return np.rint(np.arange(n) * step).astype(np.int64)


def _summary(times: Floats, values: Column) -> Summary | None:
    np = numpy()
    whole = values.whole if isinstance(values, Mixed) else None
    numbers: Any = values.values if isinstance(values, Mixed) else values
    if not isinstance(numbers, np.ndarray) or numbers.dtype.kind == "b":
        return None
    total: int | float
    if numbers.dtype.kind == "i":
        top = int(abs(numbers).max())
        total = int(numbers.sum()) if top * len(numbers) < 2**63 else sum(numbers.tolist())
    else:
        try:
            total = math.fsum(numbers.tolist())
        except OverflowError:
            return None

    def value(at: int) -> int | float:
        number: int | float = numbers[at].item()
        return int(number) if whole is not None and whole[at] else number

    low, high = int(numbers.argmin()), int(numbers.argmax())
    return Summary(
        len(numbers), float(times[0]), float(times[-1]),
        value(low), float(times[low]), value(high), float(times[high]), total, value(0), value(-1),
    )  # fmt: skip


def _memory(column: Column) -> int:
    if isinstance(column, Mixed):
        return column.values.nbytes + column.whole.nbytes
    if isinstance(column, Categories):
        return column.codes.nbytes + sum(map(len, column.labels)) + _LABEL_BYTES * len(column.labels)
    if isinstance(column, Records):
        return sum(map(_memory, column.fields.values()))
    return column.nbytes


@cache
def _pcodec() -> tuple[Callable[..., bytes], Callable[[bytes], Any], Any]:
    """Return its two functions and what to give to the first. Imported late, as numpy is."""
    from pcodec import ChunkConfig, standalone

    return standalone.simple_compress, standalone.simple_decompress, ChunkConfig(compression_level=_PCODEC_LEVEL)


def _pack_numbers(numbers: Any) -> bytes:
    compress, _, config = _pcodec()
    return compress(numpy().ascontiguousarray(numbers), config)


def _unpack_numbers(part: bytes) -> Any:
    return _pcodec()[1](part)


def _pack(text: bytes) -> bytes:
    import zstandard

    return zstandard.compress(text, _ZSTD_LEVEL)


def _unpack(part: bytes) -> bytes:
    import zstandard

    return zstandard.decompress(part)


_encode_json = msgspec.json.Encoder().encode
_decode_labels = msgspec.json.Decoder(list[str]).decode
_decode_kinds = msgspec.json.Decoder(list[tuple[str, int]]).decode
