"""CSV: RFC 4180 in UTF-8, with a header.

A string stands as it is, everything else as JSON; an empty field is null. A string that would be read as something else
(``5``, ``true``, an empty one) stands as JSON too, in quotes, and so does one that a spreadsheet would take for a
formula. So what is read is what was written.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from ..block import Block
from ..columns import Categories, Column, Records
from ..datapoint import Datapoint
from ..datapoints import to_timestamp
from ..errors import InvalidValue
from ..rows import Piece, labels_of, orjson, rows_text
from ._chunks import JSON_ERRORS, rows_at_once
from ._encoder import check_columns

if TYPE_CHECKING:
    from ..columns import Floats

__all__ = ["encoder", "read"]

STEP_ROWS = 1000
"""Rows written at once: meanwhile no other thread runs."""
ARRAY_ROWS = 32
"""So many datapoints, if they are columns, are written all at once."""
FIELD_CHARS_MAX = 64 * 1024 * 1024

_BLANK = " \t\r\n"
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None}
_FOREIGN = {"TRUE": True, "True": True, "FALSE": False, "False": False, "NaN": None, "nan": None, "NAN": None}
"""How spreadsheets, Python and others write these."""
_INFINITE = re.compile(r"[+-]?(?:inf|Inf|INF|infinity|Infinity|INFINITY)")
_TIMES = ("t", "time", "timestamp", "date", "datetime", "ts")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class _Table:
    def __init__(self, columns: list[str] | None, writers: bool) -> None:
        self._columns = columns
        self._writers = writers and columns is None
        names = ["d"] if columns is None else columns
        self._header = ["t", *map(_name, names), *(["o"] if self._writers else [])]

    def feed(self, block: Block) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        if self._header:
            writer.writerow(self._header)
            self._header = []
        columns = block.columns if block.n >= ARRAY_ROWS and orjson() is not None else None
        pieces = None if columns is None else self._pieces(*columns)
        if pieces is not None:
            return text.getvalue().encode() + rows_text(pieces, block.n)
        points = block.points
        for start in range(0, len(points), STEP_ROWS):
            writer.writerows(self._rows(points[start : start + STEP_ROWS]))
        return text.getvalue().encode()

    def _pieces(self, times: Floats, values: Column) -> list[Piece] | None:
        """Return what a row is put together of; ``None``: there is a column that needs a look at each value."""
        columns: list[Column | None] = [values]
        if self._columns is not None:
            fields = values.fields if isinstance(values, Records) else {}
            columns = [fields.get(name) for name in self._columns]
        pieces: list[Piece] = [times]
        for column in columns:
            pieces.append(b",")
            if isinstance(column, Records):
                return None
            if isinstance(column, Categories):
                pieces.append(labels_of(column, _label))
            elif column is not None:
                pieces.append(column)
        if self._writers:
            pieces.append(b",")
        return [*pieces, b"\r\n"]

    def _rows(self, points: Sequence[Datapoint]) -> list[Any]:
        names = self._columns
        if names is not None:
            rows = [(point.t, point.d if isinstance(point.d, dict) else {}) for point in points]
            return [[t, *[_field(row.get(name)) for name in names]] for t, row in rows]
        if self._writers:
            return [(point.t, _field(point.d), point.o) for point in points]
        return [(point.t, _field(point.d)) for point in points]

    def end(self) -> Iterator[bytes]:
        if self._header:
            text = io.StringIO(newline="")
            csv.writer(text).writerow(self._header)
            yield text.getvalue().encode()

    def close(self) -> None:
        pass


def encoder(columns: Sequence[str] | None, *, writers: bool, spool_bytes_max: int | None) -> _Table:
    """See `connectordb.formats.encoder`."""
    return _Table(check_columns(columns), writers)


def _field(value: Any) -> Any:
    """*value* as a field, which the writer quotes where it has to."""
    kind = type(value)
    if kind is float or kind is int or value is None:
        return value
    if kind is not str or _misread(value):
        return _encode(value).decode()
    return value


def _label(label: str) -> bytes:
    """A string as a field, in quotes where it has to be."""
    text = io.StringIO(newline="")
    csv.writer(text).writerow(["", _field(label)])
    return text.getvalue()[len(",") : -len("\r\n")].encode()


def _name(name: str) -> str:
    """A name of a column. They are not JSON, but for those that would be a formula."""
    return _encode(name).decode() if not name or name.startswith((*_FORMULA, '"')) else name


def _misread(text: str) -> bool:
    core = text.strip(_BLANK)
    return (
        not core
        or core[0] in '"{['
        or core in _WORDS
        or core in _FOREIGN
        or _INFINITE.fullmatch(core) is not None
        or text.startswith(_FORMULA)
        or core.startswith(_FORMULA)
        or _NUMBER.fullmatch(core) is not None
    )


def read(file: BinaryIO, *, remote: bool = False) -> Iterator[Block]:
    """See `connectordb.formats.read`.

    The column ``t`` holds seconds since 1970, or times in ISO 8601. If the others are ``d``, and perhaps ``o``, they
    are the value and who wrote it; otherwise each row is an object of them.
    """
    csv.field_size_limit(max(csv.field_size_limit(), FIELD_CHARS_MAX))
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    rows = csv.reader(text, strict=True)
    points: list[Datapoint] = []
    try:
        names = next(rows, [])
        point_of = _header(names, _utc_time if remote else _time)
        step = rows_at_once(names)
        for row in rows:
            if row:
                points.append(point_of(row))
            if len(points) >= step:
                yield Block.of(points)
                points = []
    except (InvalidValue, csv.Error, UnicodeError) as e:
        if points:
            yield Block.of(points)
        told = e.msg if isinstance(e, InvalidValue) else "it is not UTF-8" if isinstance(e, UnicodeError) else str(e)
        raise InvalidValue(f"line {max(1, rows.line_num)}: {told}") from None
    finally:
        if not file.closed:  # by an interrupted reader
            text.detach()  # or it would close the file
    if points:
        yield Block.of(points)


def _header(names: list[str], time_of: Callable[[str], float]) -> Callable[[list[str]], Datapoint]:
    """Return what makes a datapoint of a row under this header. *time_of* reads its time."""
    names = [_value(name) if name.startswith('"') else name for name in names]
    if names.count("t") != 1 or len(names) < 2 or len(set(names)) != len(names):
        hint = ""
        if len(names) == 1 and (separator := next((c for c in ";\t|" if c in names[0]), None)):
            hint = f". Its fields have to be separated by commas, not by {separator!r}"
        elif "t" not in names and (times := next((name for name in names if name.lower() in _TIMES), None)):
            hint = f". If the times are in {times!r}, call that 't'"
        raise InvalidValue(
            f"the header has to name 't' and further columns, each once, as in 't,d'; it is {','.join(names)[:80]!r}"
            f"{hint}"
        )
    n, t_at = len(names), names.index("t")
    others = [(at, name) for at, name in enumerate(names) if name != "t"]
    d_at = names.index("d") if {"d"} <= set(names) <= {"t", "d", "o"} else None
    o_at = names.index("o") if d_at is not None and "o" in names else None

    def point_of(row: list[str]) -> Datapoint:
        if len(row) != n:
            raise InvalidValue(f"there are {len(row)} fields under a header of {n}")
        t = time_of(row[t_at])
        if d_at is None:
            return Datapoint(t, {name: _value(row[at]) for at, name in others})
        return Datapoint(t, _value(row[d_at]), (row[o_at] or None) if o_at is not None else None)

    return point_of


def _time(text: str) -> float:
    if _NUMBER.fullmatch(text):
        return float(text)
    return to_timestamp(text.strip())


def _utc_time(text: str) -> float:
    """As `_time`, but without a zone it would be local time of this machine, of which the sender knows nothing."""
    if _NUMBER.fullmatch(text):
        return float(text)
    time = text.strip()
    try:
        if datetime.fromisoformat(time).tzinfo is None:
            raise InvalidValue(f"the time {time[:60]!r} has no time zone: put Z behind it if it is UTC")
    except ValueError:
        pass  # the other one says what is wrong
    return _time(text)


def _value(text: str) -> Any:
    core = text.strip(_BLANK)
    if not core:
        return text or None
    if core in _WORDS:
        return _WORDS[core]
    if core in _FOREIGN:
        return _FOREIGN[core]
    if core[-1] in "fFyY" and _INFINITE.fullmatch(core):
        raise InvalidValue(f"{core} is no value: a number is finite. As a text, it stands in quotes of its own")
    if core[0] in '-0123456789"{[':
        try:
            return _decode(core)
        except JSON_ERRORS:
            pass
    return text
