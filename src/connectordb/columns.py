"""Columns: the values of many datapoints as arrays, where all of them are of one type.

Arrays need numpy, which is imported when the first is made.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

__all__ = [
    "EXACT_MAX",
    "SIMPLE",
    "Categories",
    "Column",
    "Kind",
    "Mixed",
    "Records",
    "fits_mixed",
    "is_finite",
    "joined",
    "kind_of",
    "numpy",
    "parse_numbers",
    "to_column",
    "to_records",
]

_STRUCTURE: Final = b'{}"td:'
"""What stands in ``{"t":1.5,"d":2.25}`` besides the numbers and the comma between them."""
_STRUCTURE_N: Final = 10
"""How many of these there are in a datapoint."""
_DEPTH_MAX: Final = 8
"""Objects in each other are columns so many levels deep."""

_decode = msgspec.json.Decoder().decode

EXACT_MAX: Final = 2**53
"""Integers below this are the same as float64."""

Kind = Literal["float", "int", "mixed", "bool", "text", "record", "other"]
"""What the values of a column are. ``mixed``: floats and integers."""


@cache
def numpy() -> Any:
    """Return numpy, or ``None`` if it is not installed. Imported late: it takes a tenth of a second."""
    try:
        import numpy
    except ImportError:  # pragma: no cover - it is, where the tests run
        return None
    return numpy


class Mixed:
    """A column of floats and integers, the latter below `EXACT_MAX`.

    Attributes:
        values: All of them as float64.
        whole: Which of them are integers.
    """

    __slots__ = ("values", "whole")

    def __init__(self, values: Floats, whole: NDArray[np.bool_]) -> None:
        self.values = values
        self.whole = whole

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, which: Any) -> Mixed:
        return Mixed(self.values[which], self.whole[which])

    def tolist(self) -> list[int | float]:
        return [int(x) if whole else x for x, whole in zip(self.values.tolist(), self.whole.tolist(), strict=True)]


def fits_mixed(value: Any) -> bool:
    """Return whether *value* can stand in a column of `Mixed`: a number, and no digit of it gets lost."""
    return type(value) is float or (type(value) is int and abs(value) < EXACT_MAX)


class Categories:
    """A column of text.

    Attributes:
        codes: For each row, which of the labels it is.
        labels: The texts, no two of them alike, perhaps more than occur.
    """

    __slots__ = ("codes", "labels")

    def __init__(self, codes: NDArray[np.intp], labels: Sequence[str]) -> None:
        self.codes = codes
        self.labels = labels

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, which: Any) -> Categories:
        return Categories(self.codes[which], self.labels)

    def tolist(self) -> list[str]:
        labels = self.labels
        return [labels[code] for code in self.codes.tolist()]


class Records:
    """A column of objects which all have the same keys.

    Attributes:
        fields: The columns of their values, by key.
    """

    __slots__ = ("fields",)

    def __init__(self, fields: dict[str, Column]) -> None:
        self.fields = fields

    def __len__(self) -> int:
        return len(next(iter(self.fields.values())))

    def __getitem__(self, which: Any) -> Records:
        return Records({key: column[which] for key, column in self.fields.items()})

    def tolist(self) -> list[dict[str, Any]]:
        keys = list(self.fields)
        columns = [column.tolist() for column in self.fields.values()]
        if len(keys) == 1:
            return [{keys[0]: value} for value in columns[0]]
        if len(keys) == 2:  # written out: half the time
            (a, b), (x, y) = keys, columns
            return [{a: p, b: q} for p, q in zip(x, y, strict=True)]
        return [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]


Column: TypeAlias = "NDArray[Any] | Mixed | Categories | Records"
"""An array of float64, int64 (below `EXACT_MAX`) or bool, or one of the classes above."""

SIMPLE: Final[dict[frozenset[type], Kind]] = {
    frozenset({float}): "float",
    frozenset({int}): "int",
    frozenset({int, float}): "mixed",
    frozenset({bool}): "bool",
    frozenset({str}): "text",
}


def kind_of(column: Column) -> Kind:
    """Return of which kind a column is."""
    if isinstance(column, Mixed):
        return "mixed"
    if isinstance(column, Categories):
        return "text"
    if isinstance(column, Records):
        return "record"
    return {"f": "float", "i": "int", "b": "bool"}[column.dtype.kind]  # type: ignore[return-value]


def to_column(values: list[Any]) -> Column | None:
    """Return the column of *values*, or ``None`` if they have no type in common that there are columns of."""
    np = numpy()
    kind = SIMPLE.get(frozenset(map(type, values))) if np is not None else None
    if kind is None:
        return None
    if kind == "bool":
        return np.array(values, np.bool_)  # type: ignore[no-any-return]
    if kind == "text":
        known: dict[str, int] = {}
        codes = np.array([known.setdefault(value, len(known)) for value in values], np.intp)
        return Categories(codes, list(known))
    try:
        floats = np.array(values, np.float64)
    except OverflowError:
        return None
    if kind == "float":
        return floats  # type: ignore[no-any-return]
    whole = np.fromiter((type(value) is int for value in values), np.bool_, len(values)) if kind == "mixed" else None
    integers = floats if whole is None else floats[whole]
    if not (abs(integers) < EXACT_MAX).all():
        return None
    return floats.astype(np.int64) if whole is None else Mixed(floats, whole)


def to_records(values: list[Any], depth: int = _DEPTH_MAX) -> Records | None:
    """Return the column of *values*, or ``None`` if they are not all objects with the same keys in the same order.

    There is none either if the values of one key are none; they may be objects in their turn, *depth* levels deep.
    """
    if depth == 0 or set(map(type, values)) != {dict}:
        return None
    keys = list(values[0])
    if not keys or any(list(value) != keys for value in values):
        return None
    fields: dict[str, Column] = {}
    for key in keys:
        inner = [value[key] for value in values]
        column = to_column(inner)
        if column is None:
            column = to_records(inner, depth - 1)
        if column is None:
            return None
        fields[key] = column
    return Records(fields)


def parse_numbers(json: bytes, n: int) -> tuple[Floats, Column] | tuple[list[float], list[Any]] | None:
    """Return time stamps and values of the *n* datapoints of a `Block.json`: arrays if all values are floats.

    ``None`` if there is a text or an object among the values, if one is true, or if a datapoint has a sender, no value,
    or no time stamp.

    This takes half as long as to make an object of each datapoint. Without the `_STRUCTURE` the text is a list. That
    there is nothing else in it is counted: if as many objects as there are datapoints begin with a key ``t``, and as
    many keys ``d`` follow, these and the ends of the objects are all that may be left out. (In a text there is no such
    beginning, as it would have backslashes.) So nothing is of a text, of another key, of a ``true``, or of a further
    object: the objects are the datapoints, and as none has a key twice, each has both.
    """
    if not json.count(b'{"t":') == json.count(b',"d":') == n:
        return None
    text = json.translate(None, _STRUCTURE)
    if len(json) - len(text) != _STRUCTURE_N * n:
        return None
    try:
        flat = _decode(b"[" + text + b"]")
    except msgspec.DecodeError:
        return None
    if len(flat) != 2 * n:
        return None
    # A number that is written with a dot is a float, and there is one dot in it at most.
    if numpy() is None or text.count(b".") != 2 * n or b"[" in text:
        return list(map(float, flat[0::2])), flat[1::2]
    both = numpy().frombuffer(struct.pack(f"{2 * n}d", *flat))  # faster than np.array
    return both[0::2].copy(), both[1::2].copy()


def joined(a: Column, b: Column) -> Column | None:
    """Return the two columns one after the other, or ``None`` if they are not of one kind."""
    np = numpy()
    kind = kind_of(a)
    if kind != kind_of(b):
        return None
    if isinstance(a, Mixed) and isinstance(b, Mixed):
        return Mixed(np.concatenate([a.values, b.values]), np.concatenate([a.whole, b.whole]))
    if isinstance(a, Categories) and isinstance(b, Categories):
        if a.labels is b.labels:
            return Categories(np.concatenate([a.codes, b.codes]), a.labels)
        known = {label: code for code, label in enumerate(a.labels)}
        codes = np.array([known.setdefault(label, len(known)) for label in b.labels], np.intp)
        return Categories(np.concatenate([a.codes, codes[b.codes]]), list(known))
    if isinstance(a, Records) and isinstance(b, Records):
        return _joined_records(a, b)
    return np.concatenate([a, b])  # type: ignore[no-any-return]


def _joined_records(a: Records, b: Records) -> Records | None:
    if list(a.fields) != list(b.fields):
        return None
    fields = {}
    for key, column in a.fields.items():
        both = joined(column, b.fields[key])
        if both is None:
            return None
        fields[key] = both
    return Records(fields)


def is_finite(column: Column) -> bool:
    """Return whether JSON can hold all values of a column."""
    if isinstance(column, Categories):
        return True
    if isinstance(column, Records):
        return all(map(is_finite, column.fields.values()))
    return bool(numpy().isfinite(column.values if isinstance(column, Mixed) else column).all())
