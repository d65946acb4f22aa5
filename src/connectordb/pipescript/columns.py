"""Batch: consecutive datapoints as two columns, the unit in which they move through a script.

A column is a list of values, or where all of its values are of one type an array: then a stage can work on all of them
at once. Each form is made from the other when first asked for. Arrays need numpy; without it all is done on lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

__all__ = [
    "EXACT_MAX",
    "Batch",
    "Categories",
    "Column",
    "Kind",
    "Mixed",
    "Records",
    "fits_mixed",
    "kind_of",
    "numpy",
    "to_column",
]

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

_SIMPLE: Final[dict[frozenset[type], Kind]] = {
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
    kind = _SIMPLE.get(frozenset(map(type, values))) if np is not None else None
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


def _is_finite(column: Column) -> bool:
    """Return whether JSON can hold all values of a column."""
    if isinstance(column, Categories):
        return True
    if isinstance(column, Records):
        return all(map(_is_finite, column.fields.values()))
    return bool(numpy().isfinite(column.values if isinstance(column, Mixed) else column).all())


class Batch:
    """Consecutive datapoints, as two columns of the same length.

    Attributes:
        stop: What came after the last of them, instead of more: an error, `Ended`, or ``None``.
    """

    __slots__ = ("_column", "_d", "_kind", "_t", "_times", "n", "stop")

    def __init__(self, t: list[float], d: list[Any], stop: Exception | None = None) -> None:
        self._t: list[float] | None = t
        self._d: list[Any] | None = d
        self._times: Floats | None = None
        self._column: Column | None = None
        self._kind: Kind | None = None
        self.n = len(t)
        self.stop = stop

    @classmethod
    def of(cls, times: Floats, column: Column) -> Batch:
        """Return a batch of arrays, which nobody may change from now on."""
        batch = cls.__new__(cls)
        batch._t = batch._d = None
        batch._times, batch._column = times, column
        batch._kind = kind_of(column)
        batch.n = len(times)
        batch.stop = None
        return batch

    @property
    def t(self) -> list[float]:
        """Time stamps, as a list."""
        if self._t is None:
            assert self._times is not None  # noqa: S101
            self._t = self._times.tolist()
        return self._t

    @property
    def d(self) -> list[Any]:
        """Values, as a list."""
        if self._d is None:
            assert self._column is not None  # noqa: S101
            self._d = self._column.tolist()
        return self._d

    @property
    def times(self) -> Floats:
        """Time stamps, as an array. Needs numpy."""
        if self._times is None:
            self._times = numpy().array(self._t, "float64")
        assert self._times is not None  # noqa: S101
        return self._times

    @property
    def column(self) -> Column | None:
        """Values as an array, or ``None`` if they are of different types."""
        if self._column is None and self._kind != "other":
            self._column = to_column(self.d)
            self._kind = "other" if self._column is None else kind_of(self._column)
        return self._column

    @property
    def kind(self) -> Kind:
        """What the values are."""
        if self._kind is None:
            if numpy() is None or _SIMPLE.get(frozenset(map(type, self.d))) != "text":
                return "other" if self.column is None else kind_of(self.column)
            self._kind = "text"  # whose column is only made when it is needed
        return self._kind

    def __len__(self) -> int:
        return self.n

    def all_finite(self) -> bool:
        """Return whether it is known, without looking at each value, that JSON can hold all of them."""
        if self._column is None or self._times is None:
            return False
        return _is_finite(self._column) and bool(numpy().isfinite(self._times).all())

    def point(self, at: int) -> tuple[float, Any]:
        """Return one datapoint."""
        if self._t is not None and self._d is not None:
            return self._t[at], self._d[at]
        assert self._column is not None  # noqa: S101
        return float(self.times[at]), self._column[at : at + 1].tolist()[0]

    @property
    def is_columns(self) -> bool:
        """Whether it is made of arrays already."""
        return self._column is not None and self._times is not None

    def slice(self, start: int, stop: int) -> Batch:
        """Return the datapoints ``[start, stop)``, without what came after."""
        if self._column is not None:
            return Batch.of(self.times[start:stop], self._column[start:stop])
        return Batch(self.t[start:stop], self.d[start:stop])

    def then(self, other: Batch) -> Batch:
        """Return the datapoints of this batch and those of another after them."""
        if not self.n or not other.n:
            return other if not self.n else Batch._stopped(self, other.stop)
        if self._column is not None and other.column is not None:
            column = joined(self._column, other.column)
            if column is not None:
                return Batch._stopped(Batch.of(numpy().concatenate([self.times, other.times]), column), other.stop)
        return Batch(self.t + other.t, self.d + other.d, other.stop)

    @staticmethod
    def _stopped(batch: Batch, stop: Exception | None) -> Batch:
        if batch.stop is not stop:
            batch = batch.slice(0, batch.n)
            batch.stop = stop
        return batch

    def __repr__(self) -> str:
        return f"Batch(n={self.n}, stop={self.stop!r})"
