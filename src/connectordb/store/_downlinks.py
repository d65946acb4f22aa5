"""Downlinks in SQLite."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from functools import cache
from hashlib import blake2b
from itertools import chain
from typing import Any

import apsw
import msgspec

from ._canonical import canonical
from ._connection import query
from ._data import PAGE_BYTES_MAX
from .records import Downlink, DownlinkState

__all__ = ["add", "change", "digest_of", "find", "find_equal", "newest", "oldest_open", "settle", "supersede"]

_ROWS_MAX = 100  # rows per statement
_VALUES_MAX = 500  # values looked up by a statement
_FORGET_MIN = 100  # forgotten at once, if there are so many

_FIELDS = ("stream_id", "t", "d", "o", "state", "expires", "changed", "by", "msg", "result")
_SELECT = "SELECT id, stream, t, d, o, state, expires, changed, by, msg, result FROM downlinks"
_RETURNING = "RETURNING id, stream, t, d, o, state, expires, changed, by, msg, result"

# A partial index is only used by a statement that repeats its condition.
_QUEUED = f"stream = ?1 AND state < 2 AND state = {DownlinkState.QUEUED:d}"
_DELIVERED = f"stream = ?1 AND state < 2 AND state = {DownlinkState.DELIVERED:d}"
_FINAL = "stream = ?1 AND state >= 2"
_EXPIRE = f"UPDATE downlinks SET state = {DownlinkState.EXPIRED:d}, changed = expires WHERE {_QUEUED} AND expires <= ?2"
_FORGET = (
    "DELETE FROM downlinks WHERE id IN ("
    f"SELECT id FROM (SELECT id FROM downlinks WHERE {_FINAL} AND changed < ?2 ORDER BY changed LIMIT ?3) UNION ALL "
    f"SELECT id FROM (SELECT id FROM downlinks WHERE {_DELIVERED} AND expires < ?2 ORDER BY expires LIMIT ?3))"
)
_WAITING = f"SELECT count(*) FROM downlinks WHERE {_QUEUED} AND expires > ?2"
_SUPERSEDE = (
    f"UPDATE downlinks SET state = {DownlinkState.SUPERSEDED:d}, changed = ?2 "
    f"WHERE {_QUEUED} AND expires > ?2 {_RETURNING}"
)
_OPEN = f"{_SELECT} WHERE id IN ({{}} UNION ALL {{}}) ORDER BY id LIMIT ?4".format(
    *(
        f"SELECT id FROM (SELECT id FROM downlinks WHERE stream = ?1 AND state = {state:d} "
        "AND id > ?2 AND expires > ?3 ORDER BY id LIMIT ?4)"
        for state in (DownlinkState.QUEUED, DownlinkState.DELIVERED)
    )
)
_CHANGE = "UPDATE downlinks SET state = ?, changed = ?, by = ?, msg = ?, result = ? WHERE id = ?"

Row = tuple[Any, ...]


def find(connection: apsw.Connection, stream_id: int, downlink_id: int, now: float) -> Downlink | None:
    """See `Store.downlink`."""
    rows = query(connection, f"{_SELECT} WHERE id = ? AND stream = ?", (downlink_id, stream_id))
    return _downlink(rows[0], now) if rows else None


def newest(
    connection: apsw.Connection, stream_id: int, state: DownlinkState | None, o: str | None, now: float, limit: int
) -> list[Downlink]:
    """See `Store.downlinks`."""
    sql = _newest_statement(state, o is not None)
    return [_downlink(row, now) for row in reversed(query(connection, sql, (stream_id, now, o or "", limit)))]


def oldest_open(connection: apsw.Connection, stream_id: int, after: int, now: float, limit: int) -> list[Downlink]:
    """See `Store.open_downlinks`."""
    found: list[Downlink] = []
    size = 0
    with closing(connection.execute(_OPEN, (stream_id, after, now, limit))) as cursor:
        for row in cursor:
            found.append(_downlink(row, now))
            size += len(found[-1].d)
            if size > PAGE_BYTES_MAX:
                break
    return found


def settle(connection: apsw.Connection, stream_id: int, now: float, forget_before: float, coming: int) -> int:
    """See `Transaction.settle_downlinks`."""
    connection.execute(_EXPIRE, (stream_id, now))
    # More than come, so that a backlog shrinks; and not all at once, which might take long.
    connection.execute(_FORGET, (stream_id, forget_before, _FORGET_MIN + 2 * coming))
    waiting: int = query(connection, _WAITING, (stream_id, now))[0][0]
    return waiting


def supersede(connection: apsw.Connection, stream_id: int, now: float) -> list[Downlink]:
    """See `Transaction.supersede_downlinks`."""
    return sorted((_downlink(row, now) for row in query(connection, _SUPERSEDE, (stream_id, now))), key=_id_of)


def add(connection: apsw.Connection, new: Sequence[Downlink]) -> list[Downlink]:
    """See `Transaction.add_downlinks`."""
    added: list[Downlink] = []
    for start in range(0, len(new), _ROWS_MAX):
        some = new[start : start + _ROWS_MAX]
        rows = ([getattr(one, field) for field in _FIELDS] + [digest_of(one.d)] for one in some)
        connection.execute(_insert_statement(len(some)), tuple(chain.from_iterable(rows)))
        # Nobody else writes in this transaction, so the ids follow one another.
        first = connection.last_insert_rowid() - len(some) + 1
        added += [msgspec.structs.replace(one, id=id_) for id_, one in enumerate(some, first)]
    return added


def change(connection: apsw.Connection, changed: Iterable[Downlink]) -> None:
    """See `Transaction.change_downlinks`."""
    rows = [(int(one.state), one.changed, one.by, one.msg, one.result, one.id) for one in changed]
    connection.executemany(_CHANGE, rows)


def find_equal(
    connection: apsw.Connection, stream_id: int, by: str, values: Iterable[bytes], now: float, limit: int
) -> list[tuple[Downlink, int]]:
    """See `Transaction.equal_downlinks`."""
    if not query(connection, "SELECT 1 FROM downlinks WHERE stream = ? AND state < 2 LIMIT 1", (stream_id,)):
        return []
    positions = {canonical(value): i for i, value in enumerate(values)}
    digests = sorted({_digest(value) for value in positions})
    rows: list[Row] = []
    for start in range(0, len(digests), _VALUES_MAX):
        some = digests[start : start + _VALUES_MAX]
        bindings = (stream_id, now, by, *some, limit - len(rows))
        rows += query(connection, _equal_statement(len(some)), bindings)
    # Different values may have the same digest.
    found = ((_downlink(row, now), positions.get(canonical(row[3]))) for row in rows)
    return [(downlink, i) for downlink, i in found if i is not None]


@cache
def _newest_statement(state: DownlinkState | None, of_sender: bool) -> str:
    # Those of one state lie in order of id in the index, those of one stream do not.
    overdue = (DownlinkState.QUEUED, "AND expires <= ?2")
    if state is None:
        wanted = [(one, "") for one in DownlinkState]
    elif state is DownlinkState.QUEUED:
        wanted = [(state, "AND expires > ?2")]
    elif state is DownlinkState.EXPIRED:
        wanted = [(state, ""), overdue]
    else:
        wanted = [(state, "")]
    sender = "AND o = ?3" if of_sender else ""
    ids = " UNION ALL ".join(
        f"SELECT id FROM (SELECT id FROM downlinks WHERE stream = ?1 AND state = {one:d} {more} {sender} "
        "ORDER BY id DESC LIMIT ?4)"
        for one, more in wanted
    )
    return f"{_SELECT} WHERE id IN ({ids}) ORDER BY id DESC LIMIT ?4"


@cache
def _insert_statement(rows: int) -> str:
    values = f"({', '.join('?' * (len(_FIELDS) + 1))})"
    return (
        "INSERT INTO downlinks (stream, t, d, o, state, expires, changed, by, msg, result, digest) "
        f"VALUES {', '.join([values] * rows)}"
    )


@cache
def _equal_statement(values: int) -> str:
    numbers = ", ".join(f"?{i}" for i in range(4, values + 4))
    return (  # without being told, SQLite prefers to look through all that are open
        f"{_SELECT} INDEXED BY downlinks_value WHERE stream = ?1 AND state < 2 AND digest IN ({numbers}) "
        f"AND by = ?3 AND (state = {DownlinkState.DELIVERED:d} OR expires > ?2) ORDER BY id DESC LIMIT ?{values + 4}"
    )


def _downlink(row: Row, now: float) -> Downlink:
    id_, stream_id, t, d, o, number, expires, changed, by, msg, result = row
    state = DownlinkState(number)
    if state is DownlinkState.QUEUED and expires <= now:
        state, changed = DownlinkState.EXPIRED, expires
    return Downlink(
        id=id_,
        stream_id=stream_id,
        t=t,
        d=d,
        o=o,
        state=state,
        expires=expires,
        changed=changed,
        by=by,
        msg=msg,
        result=result,
    )


def digest_of(d: bytes) -> int:
    """Return the digest that all JSON texts of the same value have in common."""
    return _digest(canonical(d))


def _id_of(downlink: Downlink) -> int:
    return downlink.id


def _digest(text: bytes) -> int:
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big", signed=True)
