"""Corrections: taking datapoints out, giving them other values, and taking that back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import apsw
import msgspec

from ..block import Block
from ..datapoint import Datapoint
from ..errors import Conflict, InvalidRange, LimitReached, NotFound
from ._changes import Event, behind, events_between, moves_of, note_change
from ._connection import Readers, query
from ._data import Run, View, read_head, read_sealed
from ._errors import damaged
from ._key import INDEX_MAX, place_of
from ._merge import merge
from ._runs import BLOCK_POINTS, drop_blocks, put_away, put_back, put_run, sealed_of
from .records import ChangeKind, Correction, CorrectionKind, Head

__all__ = ["Note", "corrected", "corrections", "delete_points", "forget", "removed_between", "undo", "update_point"]

_FIELDS = "id, kind, at, by, why, i, n, t1, t2, kept, undoes, undone"
_NEWEST = f"SELECT {_FIELDS} FROM corrections WHERE substream = ? AND id < ? ORDER BY id DESC LIMIT ?"
_FIND = f"SELECT state, {_FIELDS} FROM corrections WHERE substream = ? AND id = ?"
_ENTER = (
    "INSERT INTO corrections (substream, state, kind, at, by, why, i, n, t1, t2, kept, undoes) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"
)
_FORGETTABLE = "SELECT id FROM corrections WHERE substream = ? AND kept = 1 AND t2 <= ? ORDER BY id LIMIT ?"
_FORGET_VALUES = (
    "UPDATE corrections SET kept = 0 WHERE substream = ? AND kept = 1 AND kind != ? AND t1 >= ? AND t1 <= ? "
    "RETURNING id"
)
_DATA = "n, t1, t2, points, block, size, stats"
_KEEP = f"INSERT INTO removed (correction, i, {_DATA}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_KEEP_WHOLE = (
    f"INSERT INTO removed (correction, i, {_DATA}) "
    f"SELECT ?, place - ?, {_DATA} FROM runs WHERE place >= ? AND place < ?"
)
_RETURN = f"INSERT INTO runs (place, {_DATA}) SELECT i + ?, {_DATA} FROM removed WHERE correction = ?"
_REMOVED = "SELECT i, n, t1, t2, points, block FROM removed WHERE correction = ?"
_UPDATE_IN_FORCE = "SELECT 1 FROM corrections WHERE id = ? AND kind = ? AND undone IS NULL"
_NEXT = f"{_REMOVED} AND i + n > ? ORDER BY i LIMIT 1"
_IN = "FROM runs WHERE place >= ? AND place < ?"
_INDEX_END = 1 << 62


class Note(NamedTuple):
    """Who makes a correction, when and why."""

    at: float
    by: str
    why: str


def delete_points(
    connection: apsw.Connection, key: int, head: Head, i1: int, i2: int, note: Note, *, keep: bool
) -> tuple[Correction, Head]:
    """Take the datapoints ``[i1, i2)`` out; see `Transaction.delete_points`. Returns the new head too.

    Whole runs are taken out as they are, and only those at the ends are written anew.
    """
    if not 0 <= i1 < i2 <= head.n:
        raise InvalidRange(f"there are no datapoints {i1} to {i2}: the stream has {head.n}")
    view = View(connection, key, head)
    first, last = view.run_at(i1), view.run_at(i2 - 1)
    front = view.cut(first, first.i, i1) if first.i < i1 else None
    back = view.cut(last, i2, last.end) if i2 < last.end else None
    taken = []  # of the runs at the ends, where not all of it goes
    if first.i == last.i:
        if front or back:
            taken.append((first, i1, view.cut(first, i1, i2)))
    else:
        if front:
            taken.append((first, i1, view.cut(first, i1, first.end)))
        if back:
            taken.append((last, last.i, view.cut(last, last.i, i2)))
    t1 = taken[0][2].t1 if front or (back and first.i == last.i) else first.t1
    t2 = taken[-1][2].t2 if back or (front and first.i == last.i) else last.t2
    t = head.t if i2 < head.n else _time_before(view, i1)
    correction = _enter(connection, key, head, Correction(0, CorrectionKind.DELETED, *note, i1, i2 - i1, t1, t2, keep))
    base = place_of(key)
    whole = (base + (first.end if front else i1), base + (last.i if back else i2))
    if keep:
        for run, i, block in taken:
            _keep(connection, correction.id, i, block, sealed=run.block is not None)
        connection.execute(_KEEP_WHOLE, (correction.id, base, *whole))
    else:
        connection.execute(f"DELETE FROM blocks WHERE id IN (SELECT block {_IN} AND block IS NOT NULL)", whole)
        _forget_values(connection, key, t1, t2)
    drop_blocks(connection, {run.block for run, _, _ in taken if run.block is not None})
    connection.execute(f"DELETE {_IN}", (base + first.i, base + i2))
    if front and back and first.i == last.i:
        put_run(connection, base + first.i, Block.joined([front, back]), sealed=first.block is not None)
    else:
        if front:
            put_run(connection, base + first.i, front, sealed=first.block is not None)
        if back:
            put_run(connection, base + i2, back, sealed=last.block is not None)
    _shift(connection, key, i2, head.n, i1 - i2)
    sealed = read_sealed(connection, key)
    _set_sealed(connection, key, sealed, min(sealed, max(i1, sealed - correction.n)))
    note_change(connection, key, head.arrivals, [(i1, correction.n)], ChangeKind.DELETED, correction.id)
    return correction, Head(head.n - correction.n, t, head.arrivals + 1, head.merges + 1)


def update_point(
    connection: apsw.Connection, key: int, head: Head, i: int, d: bytes, note: Note
) -> tuple[Correction, Head]:
    """Give the datapoint at index *i* another value; see `Transaction.update_point`. Returns the new head too."""
    if not 0 <= i < head.n:
        raise InvalidRange(f"there is no datapoint {i}: the stream has {head.n}")
    return _update(connection, key, head, i, msgspec.json.decode(d), note, CorrectionKind.UPDATED)


def undo(connection: apsw.Connection, key: int, head: Head, correction_id: int, note: Note) -> tuple[Correction, Head]:
    """Take a correction back; see `Transaction.undo`. Returns the new head too.

    What was kept goes back to its stream, so nothing of it is kept any more.
    """
    rows = query(connection, _FIND, (key, correction_id))
    if not rows:
        raise NotFound("the stream has no such correction")
    state, undone = rows[0][0], _correction(rows[0][1:])
    if undone.undone is not None:
        raise Conflict("the correction has been undone already")
    if undone.kind == CorrectionKind.UNDONE:
        raise Conflict("the correction is itself an undo: make the correction again that it took back")
    if not undone.kept:
        raise Conflict("the correction cannot be undone: what was there before was not kept")
    events = events_between(connection, key, state + 1, head.arrivals)
    if undone.kind == CorrectionKind.DELETED:
        correction, head = _undelete(connection, key, head, undone, behind(moves_of(events), undone.i), note)
    else:
        i = _find_again(connection, events, undone.i)
        if i is None:
            raise Conflict("the datapoint that was updated is not there any more")
        old = _stored(connection, key, query(connection, _REMOVED, (correction_id,))[0]).points[0].d
        kind = CorrectionKind.UNDONE
        correction, head = _update(connection, key, head, i, old, note, kind, undoes=correction_id)
    connection.execute("DELETE FROM removed WHERE correction = ?", (correction_id,))
    connection.execute("UPDATE corrections SET undone = ?, kept = 0 WHERE id = ?", (correction.id, correction_id))
    return correction, head


def corrections(connection: apsw.Connection, key: int, before: int | None, limit: int) -> list[Correction]:
    """See `Store.corrections`."""
    read_head(connection, key)
    rows = query(connection, _NEWEST, (key, _INDEX_END if before is None else before, limit))
    return [_correction(row) for row in rows]


def corrected(readers: Readers, key: int, correction_id: int) -> Iterator[Block]:
    """See `Store.corrected`."""
    i = -1
    while True:
        with readers.snapshot() as connection:
            if not query(connection, _FIND, (key, correction_id)):
                raise NotFound("the stream has no such correction")
            found = removed_between(connection, key, correction_id, i, _INDEX_END)
        if found is None:
            return
        i, block = found
        yield block
        i += block.n


def forget(connection: apsw.Connection, key: int, t: float, limit: int) -> int:
    """See `Transaction.forget_corrected`."""
    ids = [row[0] for row in query(connection, _FORGETTABLE, (key, t, limit))]
    for correction_id in ids:
        connection.execute(
            "DELETE FROM blocks WHERE id IN (SELECT block FROM removed WHERE correction = ?)", (correction_id,)
        )
        connection.execute("DELETE FROM removed WHERE correction = ?", (correction_id,))
        connection.execute("UPDATE corrections SET kept = 0 WHERE id = ?", (correction_id,))
    return len(ids)


def _forget_values(connection: apsw.Connection, key: int, t1: float, t2: float) -> None:
    """Forget what values the datapoints with time stamps from *t1* to *t2* had before they got others."""
    ids = query(connection, _FORGET_VALUES, (key, CorrectionKind.DELETED, t1, t2))
    connection.executemany("DELETE FROM removed WHERE correction = ?", ids)  # which is text, in no block


def removed_between(
    connection: apsw.Connection, key: int, correction_id: int, i: int, stop: int
) -> tuple[int, Block] | None:
    """Return what is kept of the datapoints ``[i, stop)`` from before a correction: the index of the first of them, and
    some; ``None``: nothing."""
    rows = query(connection, _NEXT, (correction_id, i))
    if not rows or rows[0][0] >= stop:
        return None
    first, block = rows[0][0], _stored(connection, key, rows[0])
    start = max(0, i - first)
    return first + start, block.slice(start, min(block.n, stop - first))


def _update(
    connection: apsw.Connection,
    key: int,
    head: Head,
    i: int,
    value: Any,
    note: Note,
    kind: CorrectionKind,
    undoes: int | None = None,
) -> tuple[Correction, Head]:
    view = View(connection, key, head)
    run = view.run_at(i)
    points = list(view.block(run).points)
    old = points[i - run.i]
    points[i - run.i] = Datapoint(old.t, value, old.o)
    correction = _enter(connection, key, head, Correction(0, kind, *note, i, 1, old.t, old.t, True, undoes))
    _keep(connection, correction.id, i, Block.of([old]), sealed=False)
    _replace(connection, key, run, Block.of(points))
    note_change(connection, key, head.arrivals, [(i, 1)], ChangeKind.UPDATED, correction.id)
    return correction, head._replace(arrivals=head.arrivals + 1, merges=head.merges + 1)


def _undelete(
    connection: apsw.Connection, key: int, head: Head, undone: Correction, i: int, note: Note
) -> tuple[Correction, Head]:
    """Put back what was deleted: at index *i* if it fits in there, else where it belongs in time."""
    if head.n + undone.n > INDEX_MAX:
        raise LimitReached(f"a stream holds at most {INDEX_MAX} datapoints; nothing was brought back")
    view = View(connection, key, head)
    fits = _time_before(view, i) <= undone.t1 and (i == head.n or undone.t2 <= _time_at(view, i))
    correction = Correction(0, CorrectionKind.UNDONE, *note, i, undone.n, undone.t1, undone.t2, False, undone.id)
    if fits:
        correction = _enter(connection, key, head, correction)
        _put_back_whole(connection, view, undone, i)
        note_change(connection, key, head.arrivals, [(i, undone.n)], correction=correction.id)
        head = head._replace(n=head.n + undone.n, t=max(head.t, undone.t2), arrivals=head.arrivals + undone.n)
        return correction, head._replace(merges=head.merges + 1)
    correction = _enter(connection, key, head, correction._replace(i=view.index_after(undone.t1)))
    merges = head.merges + 1
    for row in query(connection, f"{_REMOVED} ORDER BY i", (undone.id,)):
        block = _stored(connection, key, row)
        if head.n == 0 or block.t1 >= head.t:
            runs = [(head.n, block.n)]
            put_run(connection, place_of(key, head.n), block, sealed=row[5] is not None)
        else:
            runs = merge(connection, key, head, block)
        if row[5] is not None:
            drop_blocks(connection, [row[5]])
        note_change(connection, key, head.arrivals, runs, correction=correction.id)
        head = Head(head.n + block.n, max(head.t, block.t2), head.arrivals + block.n, merges)
    return correction, head


def _put_back_whole(connection: apsw.Connection, view: View, undone: Correction, i: int) -> None:
    """Put the runs that were deleted back as they are, at index *i*; if there are few, into the run that is there."""
    key, n, sealed = view.key, view.head.n, read_sealed(connection, view.key)
    run = view.run_at(i) if i < n else None
    first = i
    if run is not None and run.i < i:
        front, back = view.cut(run, run.i, i), view.cut(run, i, run.end)
        rows = query(connection, f"{_REMOVED} ORDER BY i", (undone.id,)) if run.n + undone.n <= BLOCK_POINTS else []
        if rows:
            made = Block.joined([front, *(_stored(connection, key, row) for row in rows), back])
            _shift(connection, key, run.end, n, undone.n)
            _replace(connection, key, run, made)
            drop_blocks(connection, [row[5] for row in rows if row[5] is not None])
            if run.i < sealed:
                _set_sealed(connection, key, sealed, sealed + undone.n)
            return
        _replace(connection, key, run, front)
        put_run(connection, place_of(key, i), back, sealed=run.block is not None)
    _shift(connection, key, first, n, undone.n)
    connection.execute(_RETURN, (place_of(key, i - undone.i), undone.id))
    if i < sealed:
        text = query(connection, "SELECT min(i) FROM removed WHERE correction = ? AND block IS NULL", (undone.id,))
        first_text = text[0][0]
        _set_sealed(connection, key, sealed, sealed + undone.n if first_text is None else i + first_text - undone.i)


def _find_again(connection: apsw.Connection, events: list[Event], i: int) -> int | None:
    """Return where the datapoint at index *i* is after *events*; ``None`` if it is gone. If it was deleted and that was
    undone, it is there again. Raises `Conflict` if it was updated, and that was not undone."""
    rest = iter(events)
    for event in rest:
        if event.kind == ChangeKind.UPDATED:
            if event.runs == [(i, 1)] and query(
                connection, _UPDATE_IN_FORCE, (event.correction, CorrectionKind.UPDATED)
            ):
                raise Conflict(f"it was updated again since, by correction {event.correction}: undo that first")
        elif event.kind == ChangeKind.INSERTED:
            for first, number in event.runs:
                if first > i:
                    break
                i += number
        elif event.kind == ChangeKind.DELETED:
            [(first, number)] = event.runs
            if i >= first + number:
                i -= number
            elif i >= first:
                [(undone,)] = query(connection, "SELECT undone FROM corrections WHERE id = ?", (event.correction,))
                found = None if undone is None else _come_back(rest, undone, i - first)
                if found is None:
                    return None
                i = found
    return i


def _come_back(events: Iterator[Event], correction_id: int, rank: int) -> int | None:
    """Go on to the event with which datapoint *rank* of those that correction put back came, and return its index."""
    for event in events:
        if event.correction == correction_id:
            for first, number in event.runs:
                if rank < number:
                    return first + rank
                rank -= number
    return None


def _enter(connection: apsw.Connection, key: int, head: Head, new: Correction) -> Correction:
    """Enter *new* into the ledger, and return it with its id."""
    _, kind, *rest, _ = new
    return new._replace(id=query(connection, _ENTER, (key, head.arrivals, kind, *rest))[0][0])


def _correction(row: tuple[Any, ...]) -> Correction:
    id_, kind, at, by, why, i, n, t1, t2, kept, undoes, undone = row
    return Correction(id_, CorrectionKind(kind), at, by, why, i, n, t1, t2, bool(kept), undoes, undone)


def _keep(connection: apsw.Connection, correction_id: int, i: int, block: Block, *, sealed: bool) -> None:
    """Keep *block*, which began at index *i*, in the ledger."""
    if sealed:
        _, data, size, stats = sealed_of(block)
        block_id = query(connection, "INSERT INTO blocks (data) VALUES (?) RETURNING id", (data,))[0][0]
        row: tuple[Any, ...] = (b"", block_id, size, stats)
    else:
        row = (block.json, None, None, None)
    connection.execute(_KEEP, (correction_id, i, block.n, block.t1, block.t2, *row))


def _stored(connection: apsw.Connection, key: int, row: tuple[Any, ...]) -> Block:
    """Return the datapoints of a row of the ledger."""
    i, n, t1, t2, text, block_id = row
    if block_id is None:
        return Block(n, t1, t2, json=text)
    from ._codec import decode  # which needs numpy

    data = query(connection, "SELECT data FROM blocks WHERE id = ?", (block_id,))
    if not data:
        raise damaged(key, i)
    return decode(data[0][0])


def _replace(connection: apsw.Connection, key: int, run: Run, block: Block) -> None:
    """Put *block* in the place of *run*, in the same form."""
    connection.execute("DELETE FROM runs WHERE place = ?", (place_of(key, run.i),))
    if run.block is not None:
        drop_blocks(connection, [run.block])
    put_run(connection, place_of(key, run.i), block, sealed=run.block is not None)


def _shift(connection: apsw.Connection, key: int, first: int, stop: int, by: int) -> None:
    """Move the runs that begin in ``[first, stop)``."""
    if first < stop:
        put_away(connection, key, first, stop, by)
        put_back(connection)


def _set_sealed(connection: apsw.Connection, key: int, before: int, now: int) -> None:
    if before != now:
        connection.execute("UPDATE heads SET sealed = ? WHERE substream = ?", (now, key))


def _time_at(view: View, i: int) -> float:
    run = view.run_at(i)
    return run.t1 if run.i == i else view.cut(run, i, i + 1).t1


def _time_before(view: View, i: int) -> float:
    """Return the time stamp of the datapoint in front of index *i*; 0.0 if there is none."""
    if i == 0:
        return 0.0
    run = view.run_at(i - 1)
    return run.t2 if run.end == i else view.cut(run, i - 1, i).t1
