"""Looking for damage in one run of datapoints."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import apsw
import msgspec

from ..datapoint import Datapoint
from ..errors import StoreError
from ._connection import query
from ._runs import BLOCK_POINTS, summary_of

if TYPE_CHECKING:
    from ..block import Block
    from .records import Summary

__all__ = ["Row", "problem_of"]

_TEXT_BYTES_MIN = 7
"""Length of ``{"t":1}``."""
_TEXT_BYTES_USUAL = 128
"""A datapoint that is said to be longer is looked at."""
_SIZE_FACTOR = 16
_TOLERANCE = 1e-9

_decode = msgspec.json.Decoder(list[Datapoint]).decode


class Row(NamedTuple):
    """A run as it is stored; the names are those of the columns."""

    n: int
    t1: float
    t2: float
    points: bytes
    block: int | None
    size: int | None
    stats: bytes | None

    @property
    def weight(self) -> int:
        """How much it is to look at, in bytes."""
        return max(len(self.points), self.size or 0)


def problem_of(connection: apsw.Connection, row: Row) -> str | None:
    """Return what is wrong with a run, by itself; ``None``: nothing."""
    if row.n < 1:
        return f"a run of {row.n} datapoints"
    if row.block is None:
        if row.size is not None or row.stats is not None:
            return "it is text, and is described as a block"
        return _text_problem(row)
    if row.points:
        return "it has both text and a block"
    try:
        rows = query(connection, "SELECT data FROM blocks WHERE id = ?", (row.block,))
    except apsw.CorruptError as error:
        return f"its block cannot be read: {error}"
    return _block_problem(row, rows[0][0]) if rows else "its block is missing"


def _text_problem(row: Row) -> str | None:
    try:
        points = _decode(b"[" + row.points + b"]")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return f"the text is damaged: {error}"
    if len(points) != row.n:
        return f"{len(points)} datapoints instead of {row.n}"
    return _time_problem(row, [point.t for point in points])


def _block_problem(row: Row, data: bytes) -> str | None:
    from ._codec import decode  # which needs numpy

    try:
        block = decode(data)
        columns = block.columns
        points = block.points if columns is None else ()
    except StoreError as error:
        return str(error)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return f"the text in a block is damaged: {error}"
    times = [point.t for point in points] if columns is None else columns[0].tolist()
    values = 0 if columns is None else len(columns[1])
    if not block.n == row.n == len(times) or (columns is not None and values != row.n):
        return f"a block of {len(times)} datapoints instead of {row.n}"
    if row.n > BLOCK_POINTS:
        return f"a block of {row.n} datapoints, and {BLOCK_POINTS} is the most"
    return _time_problem(row, times) or _size_problem(row, block) or _stats_problem(row, block, times)


def _time_problem(row: Row, times: list[float]) -> str | None:
    if times[0] != row.t1 or times[-1] != row.t2:
        return f"t goes from {times[0]!r} to {times[-1]!r}, and should go from {row.t1!r} to {row.t2!r}"
    for before, t in pairwise([-math.inf, *times]):
        if not before <= t < math.inf:
            return f"t = {t!r} comes after t = {before!r}"
    return None


def _size_problem(row: Row, block: Block) -> str | None:
    """The size is not exact, and has only to be good for dividing into pages."""
    size = row.size
    if (
        size is None
        or size < _TEXT_BYTES_MIN * row.n
        or (size > _TEXT_BYTES_USUAL * row.n and size > _SIZE_FACTOR * len(block.json))
    ):
        return f"its text is said to be {size} bytes long, and has {len(block.json)}"
    return None


def _stats_problem(row: Row, block: Block, times: list[float]) -> str | None:
    if row.stats is None:
        return None  # then they are worked out whenever they are asked for
    try:
        found = summary_of(row.n, row.t1, row.t2, row.stats)
    except msgspec.MsgspecError as error:
        return f"its statistics cannot be read: {error}"
    columns = block.columns
    values: list[Any] = columns[1].tolist() if columns is not None else [point.d for point in block.points]
    if not all(type(value) in (int, float) for value in values):
        return "it has statistics, and not all of its values are numbers"
    low, high = min(values), max(values)
    wanted = found._replace(
        low=low,
        t_low=times[values.index(low)],
        high=high,
        t_high=times[values.index(high)],
        first=values[0],
        last=values[-1],
    )
    if wanted != found or not _is_sum(found.total, values):
        return f"its statistics are wrong: {_shown(found)}"
    return None


def _is_sum(total: float, values: list[int | float]) -> bool:
    exact = math.fsum(values)
    return abs(total - exact) <= _TOLERANCE * max(1.0, math.fsum(map(abs, values)))


def _shown(summary: Summary) -> str:
    return ", ".join(f"{name} = {value!r}" for name, value in list(summary._asdict().items())[3:])
