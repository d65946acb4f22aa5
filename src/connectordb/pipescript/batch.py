"""Batch: consecutive datapoints as two columns, the unit in which they move through a script.

A column is a list of values, or where all of its values are of one type an array: then a stage can work on all of them
at once. Each form is made from the other when first asked for. Arrays need numpy; without it all is done on lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..columns import SIMPLE, Column, Kind, is_finite, joined, kind_of, numpy, to_column

if TYPE_CHECKING:
    from ..columns import Floats

__all__ = ["Batch"]


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
            if numpy() is None or SIMPLE.get(frozenset(map(type, self.d))) != "text":
                return "other" if self.column is None else kind_of(self.column)
            self._kind = "text"  # whose column is only made when it is needed
        return self._kind

    def __len__(self) -> int:
        return self.n

    def all_finite(self) -> bool:
        """Return whether it is known, without looking at each value, that JSON can hold all of them."""
        if self._column is None or self._times is None:
            return False
        return is_finite(self._column) and bool(numpy().isfinite(self._times).all())

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
