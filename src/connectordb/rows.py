"""Text of many rows at once, from columns: JSON, and the fields of a table.

Most numbers have a few digits behind the point. Then a row is written into a place of fixed width, by tables of four
digits, and what is left blank is taken out at the end. That is done for all rows together, and takes half as long as
to write number by number, which is what all other numbers need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import msgspec

from .columns import EXACT_MAX, Categories, Column, Mixed, Records, numpy
from .datapoint import Datapoint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .columns import Floats

__all__ = ["Labels", "Piece", "labels_of", "orjson", "rows_json", "rows_text", "scaled", "text_size", "value_pieces"]

_ROWS_AT_ONCE: Final = 65_536
_FIXED_ROWS: Final = 1_000
"""Fewer than these are written number by number."""
_FIXED_BYTES: Final = 400
_LABEL_BYTES: Final = 48
"""Rows and labels longer than this have no fixed width."""
_DIGITS: Final = tuple(range(9))
_SAMPLE: Final = 32
"""So many numbers tell how many digits are worth trying on all."""
_GROUP: Final = 10_000
_NUMBER_BYTES: Final = 8

_encode = msgspec.json.Encoder().encode


@cache
def orjson() -> Any:
    """Return orjson, or ``None`` if it is not installed: a server has it, and writes numbers as JSON with it."""
    try:
        import orjson
    except ImportError:  # pragma: no cover - it is, where the tests run
        return None
    return orjson


class Labels(NamedTuple):
    """A column of texts: of each row, which of *texts* it is."""

    codes: NDArray[Any]
    texts: Sequence[bytes]


Piece: TypeAlias = "bytes | NDArray[Any] | Mixed | Labels"
"""A part of each of many rows: the same text in all of them; or numbers or bools, or texts, one for each."""


def rows_json(times: Floats, values: Column, between: bytes = b",") -> bytes:
    """Return datapoints as JSON objects with *between* them, without the brackets of an array."""
    n = len(times)
    if n > _ROWS_AT_ONCE:
        parts = (slice(start, start + _ROWS_AT_ONCE) for start in range(0, n, _ROWS_AT_ONCE))
        return between.join([rows_json(times[part], values[part], between) for part in parts])
    if orjson() is None or not times.all():  # a time stamp of 0 is left out
        pairs = zip(times.tolist(), values.tolist(), strict=True)
        return between.join([_encode(Datapoint(d=d) if repr(t) == "0.0" else Datapoint(t, d)) for t, d in pairs])
    return rows_text([b'{"t":', times, b',"d":', *value_pieces(values), b"}" + between], n)[: -len(between)]


def value_pieces(column: Column) -> list[Piece]:
    """Return what *column* is put together of as JSON."""
    if isinstance(column, Categories):
        return [labels_of(column, _encode)]
    if not isinstance(column, Records):
        return [column]
    pieces: list[Piece] = []
    before = b"{"
    for key, field in column.fields.items():
        pieces += [before + _encode(key) + b":", *value_pieces(field)]
        before = b","
    return [*pieces, b"}"]


def labels_of(column: Categories, text_of: Callable[[str], bytes]) -> Labels:
    """Return *column* as what *text_of* makes of its texts."""
    if len(column.labels) <= len(column):
        return Labels(column.codes, [text_of(label) for label in column.labels])
    used, codes = numpy().unique(column.codes, return_inverse=True)
    return Labels(codes, [text_of(column.labels[code]) for code in used.tolist()])


def text_size(column: Column) -> int:
    """Return how long, in bytes, a row of *column* is as JSON, roughly."""
    if isinstance(column, Categories):
        return 2 + sum(map(len, column.labels)) // max(1, len(column.labels))
    if isinstance(column, Records):
        return 2 + sum([len(key) + 4 + text_size(field) for key, field in column.fields.items()])
    return _NUMBER_BYTES


def rows_text(pieces: Sequence[Piece], n: int) -> bytes:
    """Return *n* rows, one after the other, each of which is put together of *pieces*. Needs `orjson`."""
    pieces = _merged(pieces)
    fixed = _Fixed(n)
    if n >= _FIXED_ROWS and all(map(fixed.add, pieces)):
        return fixed.text()
    texts = [b""] * (len(pieces) * n)
    for k, piece in enumerate(pieces):
        texts[k :: len(pieces)] = [piece] * n if isinstance(piece, bytes) else _texts(piece)
    return b"".join(texts)


def _merged(pieces: Iterable[Piece]) -> list[Piece]:
    merged: list[Piece] = []
    for piece in pieces:
        if merged and isinstance(piece, bytes) and isinstance(merged[-1], bytes):
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged


def _texts(piece: NDArray[Any] | Mixed | Labels) -> list[bytes]:
    if isinstance(piece, Labels):
        return [piece.texts[code] for code in piece.codes.tolist()]
    if isinstance(piece, Mixed):
        texts = zip(_texts(_unsigned(piece)), piece.whole.tolist(), strict=True)
        return [text[: -len(".0")] if whole else text for text, whole in texts]
    json = orjson()
    text: bytes = json.dumps(numpy().ascontiguousarray(piece), option=json.OPT_SERIALIZE_NUMPY)
    return text[1:-1].split(b",")


def _unsigned(mixed: Mixed) -> Floats:
    """Return its values, without a minus of an integer 0."""
    floats: Floats = numpy().where(mixed.whole & (mixed.values == 0), 0.0, mixed.values)
    return floats


def scaled(floats: Floats, digits: Sequence[int]) -> tuple[int, NDArray[Any]] | None:
    """Return how many of *digits* behind the point it takes to write all *floats*, and them without the point.

    Divided again they are the same, bit for bit. ``None``: no such number does, or an integer reaches `EXACT_MAX`.
    """
    top = float(abs(floats).max())
    sample = floats[:: max(1, len(floats) // _SAMPLE)]
    for k in digits:
        if not top * 10.0**k < EXACT_MAX:
            break
        if _scaled(sample, k) is not None and (integers := _scaled(floats, k)) is not None:
            return k, integers
    return None


def _scaled(floats: Floats, digits: int) -> NDArray[Any] | None:
    np = numpy()
    integers = np.rint(floats * 10.0**digits).astype(np.int64)
    exact = np.array_equal((integers / 10.0**digits).view(np.int64), floats.view(np.int64))
    return integers if exact else None


class _Fixed:
    """Rows of a fixed width."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._template = b""
        self._fields: list[tuple[int, NDArray[Any]]] = []

    def add(self, piece: Piece) -> bool:
        """Add *piece* to all rows; ``False``: it does not fit."""
        if isinstance(piece, bytes):
            self._template += piece
            return b"\0" not in piece and len(self._template) <= _FIXED_BYTES
        if len(self._template) > _FIXED_BYTES:
            return False
        if isinstance(piece, Labels):
            return self._add_labels(piece)
        if isinstance(piece, Mixed):
            return self._add_floats(_unsigned(piece), ~piece.whole)
        if piece.dtype.kind == "b":
            return self._add_labels(Labels(piece.view("u1"), [b"false", b"true"]))
        if piece.dtype.kind == "i":
            self._add_integers(piece)
            return True
        return self._add_floats(piece, None)

    def text(self) -> bytes:
        """Return all rows."""
        np = numpy()
        rows = np.frombuffer(bytearray(self._template * self._n), np.uint8).reshape(self._n, -1)
        for at, array in self._fields:
            width = array.dtype.itemsize
            target = rows[:, at : at + width]
            if array.dtype.kind == "u":
                target.view(array.dtype)[:, 0] = array
            else:
                target[:] = array.view(np.uint8).reshape(self._n, width)
        text: bytes = rows.tobytes()
        return text.translate(None, b"\0")

    def _add(self, array: NDArray[Any]) -> None:
        self._fields.append((len(self._template), array))
        self._template += bytes(array.dtype.itemsize)

    def _add_labels(self, labels: Labels) -> bool:
        longest = max(1, *map(len, labels.texts))
        if longest > _LABEL_BYTES or any(b"\0" in text for text in labels.texts):
            return False
        self._add(numpy().array(labels.texts, f"S{longest}")[labels.codes])
        return True

    def _add_floats(self, floats: Floats, broken: NDArray[Any] | None) -> bool:
        """Add *floats*; where they are not *broken* without a point."""
        np = numpy()
        found = scaled(np.ascontiguousarray(floats), _DIGITS)
        if found is None:
            return False
        k, integers = found
        positive = self._add_sign(integers)
        whole = positive // 10**k
        self._add_digits(whole)
        tables = _tables()
        behind = (positive - whole * 10**k) * 10 ** (-k % 4)
        if k <= 4:
            groups = [tables.end[behind]]
        else:
            upper = behind // _GROUP
            lower = behind - upper * _GROUP
            groups = [np.where(lower == 0, tables.end[upper], tables.full[upper]), tables.rest[lower]]
        if broken is None:
            self._template += b"."
        else:
            self._add(broken.view("u1") * np.uint8(ord(".")))
        for group in groups:
            self._add(group if broken is None else group * broken)
        return True

    def _add_integers(self, integers: NDArray[Any]) -> None:
        self._add_digits(self._add_sign(integers))

    def _add_sign(self, integers: NDArray[Any]) -> NDArray[Any]:
        if int(integers.min()) < 0:
            self._add((integers < 0).view("u1") * numpy().uint8(ord("-")))
            integers = abs(integers)
        return integers

    def _add_digits(self, integers: NDArray[Any]) -> None:
        """Add integers, none of which is below 0."""
        np = numpy()
        tables = _tables()
        groups = []
        last = True
        while True:
            upper = integers // _GROUP
            group = integers - upper * _GROUP
            begin = (tables.begin if last else tables.more)[group]
            top = int(upper.max())
            groups.append(np.where(upper == 0, begin, tables.full[group]) if top else begin)
            if not top:
                break
            integers, last = upper, False
        for group in reversed(groups):
            self._add(group)


class _Tables(NamedTuple):
    """Four digits of each number below `_GROUP`, as bytes in an integer; a 0 that is not to be written is blank.

    Attributes:
        full: All four.
        begin, more: Without zeros in front: 0 is ``0``; 0 is blank.
        end, rest: Without zeros at the end: 0 is ``0``; 0 is blank.
    """

    full: NDArray[Any]
    begin: NDArray[Any]
    more: NDArray[Any]
    end: NDArray[Any]
    rest: NDArray[Any]


@cache
def _tables() -> _Tables:
    np = numpy()
    digits = np.arange(_GROUP)[:, None] // np.array([1000, 100, 10, 1]) % 10
    text = (digits + ord("0")).astype(np.uint8)
    front = np.cumprod(digits == 0, axis=1) == 1
    back = np.cumprod((digits == 0)[:, ::-1], axis=1)[:, ::-1] == 1

    def table(blank: Any) -> Any:
        return np.where(blank, 0, text).astype(np.uint8).view(np.uint32).ravel()

    keep = np.arange(4)
    return _Tables(
        table(False), table(front & (keep < 3)), table(front), table(back & (keep > 0)), table(back)
    )  # fmt: skip
