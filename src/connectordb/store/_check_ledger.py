"""Looking for damage in blocks that nobody has, and in the ledger of corrections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import apsw
import msgspec

from ._changes import events_between
from ._check_changes import Fault
from ._check_runs import Row, problem_of
from ._connection import query
from ._reading import snapshot
from .records import ChangeKind, CorrectionKind

__all__ = ["check_blocks", "check_corrections", "check_removed"]

_BLOCKS_MAX = 100  # told of
_CORRECTIONS = 100  # looked at in one read transaction
_STEP_BYTES = 4 << 20

# One statement is one read transaction; what it sorts goes to a temporary file, as soon as it is much.
_USED = (
    "WITH used (id) AS (SELECT block FROM runs WHERE block IS NOT NULL "
    "UNION ALL SELECT block FROM removed WHERE block IS NOT NULL) "
)
_SHARED = _USED + "SELECT id, count(*) FROM used GROUP BY id HAVING count(*) > 1 LIMIT ?"
_UNUSED = _USED + "SELECT id FROM blocks WHERE id NOT IN (SELECT id FROM used) LIMIT ?"

_LEDGER = (
    "SELECT id, substream, state, kind, i, n, t1, t2, kept, undoes, undone FROM corrections "
    "WHERE id > ? ORDER BY id LIMIT ?"
)
_OTHER = "SELECT substream, undoes, undone FROM corrections WHERE id = ?"
_KEPT = "SELECT count(*), min(i), max(i + n), sum(n), min(t1), max(t2) FROM removed WHERE correction = ?"
_REMOVED = (
    "SELECT correction, i, n, t1, t2, points, block, size, stats FROM removed "
    "WHERE (correction, i) > (?, ?) ORDER BY correction, i"
)


def check_blocks(connection: apsw.Connection) -> Iterator[str]:
    """Yield what is wrong with whose the blocks are."""
    for block, count in query(connection, _SHARED, (_BLOCKS_MAX,)):
        yield f"block {block} belongs to {count} runs"
    for (block,) in query(connection, _UNUSED, (_BLOCKS_MAX,)):
        yield f"block {block} belongs to no run"


class _Correction(NamedTuple):
    """A row of the ledger."""

    id: int
    key: int
    state: int
    kind: int
    i: int
    n: int
    t1: float
    t2: float
    kept: int
    undoes: int | None
    undone: int | None


def check_corrections(connection: apsw.Connection) -> Iterator[tuple[int, Fault]]:
    """Yield what is wrong with entries of the ledger, each with its substream."""
    last = 0
    while True:
        with snapshot(connection):
            rows = [_Correction(*row) for row in query(connection, _LEDGER, (last, _CORRECTIONS))]
            for one in rows:
                for problem in _problems(connection, one):
                    yield one.key, Fault(f"the correction with id {one.id}: {problem}")
        if not rows:
            return
        last = rows[-1].id


def check_removed(connection: apsw.Connection) -> Iterator[tuple[int, Fault]]:
    """Yield what is wrong with what was there before corrections, each with its substream; -1: of none."""
    place = (0, -1)
    ended = False
    while not ended:
        with snapshot(connection):
            left = _STEP_BYTES
            ended = True
            for correction, i, *columns in connection.execute(_REMOVED, place):
                place = (correction, i)
                row = Row(*columns)
                found = query(connection, "SELECT substream FROM corrections WHERE id = ?", (correction,))
                problem = problem_of(connection, row) if found else "there is no such correction"
                if problem is not None:
                    key = found[0][0] if found else -1
                    yield key, Fault(f"what was there before the correction with id {correction}, at {i}: {problem}")
                left -= row.weight
                if left < 0:
                    ended = False
                    break


def _problems(connection: apsw.Connection, one: _Correction) -> Iterator[str]:
    if one.kind not in set(CorrectionKind):
        yield f"there is no kind {one.kind}"
        return
    if one.i < 0 or one.n < 1 or one.t1 > one.t2:
        yield f"it is of {one.n} datapoints at {one.i}, from t = {one.t1!r} to t = {one.t2!r}"
    yield from _links(connection, one)
    yield from _note(connection, one)
    count, first, end, number, t1, t2 = query(connection, _KEPT, (one.id,))[0]
    if not one.kept:
        if count:
            yield "what was there before should not be kept, and is"
    elif (first, end, number, t1, t2) != (one.i, one.i + one.n, one.n, one.t1, one.t2):
        yield f"of the {one.n} datapoints that were there before, {number or 0} are kept"


def _links(connection: apsw.Connection, one: _Correction) -> Iterator[str]:
    """It and the one that it takes back, or that has taken it back, name each other."""
    if (one.undoes is not None) != (one.kind == CorrectionKind.UNDONE):
        yield "it takes back another one and is none that does, or the other way round"
    for other, name, at in ((one.undoes, "takes back", 2), (one.undone, "is taken back by", 1)):
        if other is None:
            continue
        rows = query(connection, _OTHER, (other,))
        if not rows or rows[0][0] != one.key or rows[0][at] != one.id:
            yield f"it {name} that with id {other}, which knows nothing of it"


def _note(connection: apsw.Connection, one: _Correction) -> Iterator[str]:
    """The change that it made is noted."""
    try:
        events = events_between(connection, one.key, one.state, one.state + 1)
    except (msgspec.MsgspecError, ValueError):
        return  # told with the notes
    events = [event for event in events if event.correction == one.id and event.state == one.state]
    wanted = {
        CorrectionKind.DELETED: {ChangeKind.DELETED},
        CorrectionKind.UPDATED: {ChangeKind.UPDATED},
        CorrectionKind.UNDONE: {ChangeKind.INSERTED, ChangeKind.UPDATED},
    }[CorrectionKind(one.kind)]
    if not events or events[0].kind not in wanted:
        yield f"what it did is not noted at {one.state}"
