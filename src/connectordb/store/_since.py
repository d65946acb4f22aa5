"""Reading what has come to a stream since a reader was there."""

from __future__ import annotations

from collections.abc import Iterator

from ..block import Block
from ..errors import InvalidRange
from ._changes import Pieces, events_between, from_rank, moved, moves_of, points_before, unseen
from ._connection import Readers
from ._data import PAGE_BYTES_MAX, PAGE_POINTS, View
from .records import Cursor, Page

__all__ = ["cursor_at", "read_after", "take"]


def cursor_at(readers: Readers, key: int, t: float | None, i: int | None) -> Cursor:
    """See `Store.cursor_at`."""
    with readers.snapshot() as connection:
        view = View(connection, key, cache=readers.cache)
        head = view.head
        done = head.n
        if t is not None:
            done = view.index_after(t)
        elif i is not None:
            done = max(0, min(i + head.n if i < 0 else i, head.n))
    return Cursor.behind(head.arrivals) if done == head.n else Cursor(0, head.arrivals, done)


def read_after(readers: Readers, key: int, cursor: Cursor) -> Iterator[Page]:
    """Yield what a reader at *cursor* has not seen; see `Store.read_after`."""
    with readers.snapshot() as connection:
        now = View(connection, key).head.arrivals
    if not 0 <= cursor.base <= cursor.state <= now:
        raise InvalidRange("the cursor is not of this stream: it is ahead of what has arrived")
    if cursor.base < cursor.state:
        yield from _read_between(readers, key, *cursor)
    if cursor.state < now:
        yield from _read_between(readers, key, cursor.state, now, 0)


def _read_between(readers: Readers, key: int, base: int, state: int, done: int) -> Iterator[Page]:
    """Yield what *state* has and *base* has not, without the first *done*.

    What was deleted since is not there any more, and counts all the same: pieces keep their rank.
    """
    pieces: Pieces | None = None
    k = 0  # what is in front of this one is done
    at = state
    while pieces is None or k < len(pieces):
        with readers.snapshot() as connection:
            view = View(connection, key, cache=readers.cache)
            head = view.head
            since = events_between(connection, key, at, head.arrivals)
            if pieces is None:
                n = points_before(head.n, head.arrivals - state, since)
                between = events_between(connection, key, base, state) if base else []
                n_base = points_before(n, state - base, between) if base else 0
                pieces = from_rank(unseen(moves_of(between), n_base, n), done)
            if since:
                pieces, k = moved(from_rank(pieces[k:], done), moves_of(since)), 0
            at = head.arrivals
            if k == len(pieces):
                return
            first = pieces[k][0] + max(0, done - pieces[k][2])
            block, done, k = take(view, pieces, k, done)
        yield Page(block, first, Cursor(base, state, done) if k < len(pieces) else Cursor.behind(state))


def take(view: View, pieces: Pieces, k: int, rank: int) -> tuple[Block, int, int]:
    """Return a page of what *pieces* are from number *k* on, and from *rank* on; the rank behind it, and the number of
    the piece with which it goes on. Many small ones share a page."""
    parts: list[Block] = []
    n = size = 0
    while k < len(pieces) and size < PAGE_BYTES_MAX:
        first, number, begin = pieces[k]
        skip = max(0, rank - begin)
        first, number = first + skip, number - skip
        part = view.page(first, first + (min(number, PAGE_POINTS - n) if parts else number))
        parts.append(part)
        n += part.n
        rank = begin + skip + part.n
        if part.n == number:
            k += 1
        if part.n < number or n >= PAGE_POINTS:
            break
        size += len(part.json)
    if len(parts) == 1:
        return parts[0], rank, k
    return Block(n, parts[0].t1, parts[-1].t2, json=b",".join([part.json for part in parts])), rank, k
