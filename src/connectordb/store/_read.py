"""Reading a range page by page, while others write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import apsw

from ..block import Block
from ..errors import InvalidRange
from ..query import Range
from ._changes import Runs, late_runs, shifted, skipped, unseen
from ._connection import Readers
from ._data import PAGE_BYTES_MAX, PAGE_POINTS, View
from ._text import times
from .base import Cursor, Page

__all__ = ["cursor_at", "read", "read_after"]


class _Mark(NamedTuple):
    """A datapoint that can be found again after others were merged in front of it.

    Late points go behind those with the same time stamp, so "the k-th of those with time stamp t" stays true. It is
    worked out only when it is needed.

    Attributes:
        block: Some datapoints.
        n: The marked one is the n-th of them.
        before: Number of datapoints with the time stamp of the first one, right before it.
    """

    block: Block
    n: int
    before: int

    def index_behind(self, view: View) -> int:
        """Return the index behind the marked datapoint."""
        stamps = times(self.block.json)[: self.n]
        t = stamps[-1]
        k = stamps.count(t)
        if k == self.n:
            k += self.before
        return view.index_from(t) + k


def read(readers: Readers, key: int, wanted: Range) -> Iterator[Block]:
    """Yield the pages of the range; see `Store.read`.

    Late datapoints that are merged behind what has been returned appear with the rest, and push nothing out of the
    range (but for a limit). Nothing is held between two steps, so the generator may be left at any time, and stepped
    from any thread.
    """
    with readers.snapshot() as connection:
        view = View(connection, key)
        merges = view.head.merges
        i, stop = _resolve(view, wanted)
        if i >= stop:
            return
        page = view.page(i, stop)
        end = last = None
        if i + page.n < stop:
            end = _mark_end(view, stop)
            last = _mark_page(view, i, page)
    limit_left = None if wanted.limit is None else wanted.limit - page.n
    i += page.n
    yield page
    while end is not None and last is not None and i < stop:
        with readers.snapshot() as connection:
            view = View(connection, key)
            if view.head.merges != merges:
                merges = view.head.merges
                i = last.index_behind(view)
                stop = end.index_behind(view)
                if limit_left is not None:
                    stop = min(stop, i + limit_left)
            page = view.page(i, stop)
            last = _mark_page(view, i, page)
        if limit_left is not None:
            limit_left -= page.n
        i += page.n
        yield page


def cursor_at(readers: Readers, key: int, t: float | None, i: int | None) -> Cursor:
    """See `Store.cursor_at`."""
    with readers.snapshot() as connection:
        view = View(connection, key)
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
    """Yield what *state* has and *base* has not, without the first *done*."""
    runs: Runs | None = None
    at = state
    while runs is None or runs:
        with readers.snapshot() as connection:
            view = View(connection, key)
            now = view.head.arrivals
            if runs is None:
                runs = skipped(_unseen(connection, key, base, state), done)
            runs = shifted(runs, late_runs(connection, key, at, now))
            at = now
            if not runs:
                return
            first = runs[0][0]
            block, runs = _take(view, runs)
        done += block.n
        yield Page(block, first, Cursor(base, state, done) if runs else Cursor.behind(state))


def _take(view: View, runs: Runs) -> tuple[Block, Runs]:
    """Return a page of what *runs* are, and those that are left. Many small ones share a page."""
    parts: list[Block] = []
    n = size = k = taken = 0  # taken of the k-th run
    while k < len(runs) and (not parts or (n < PAGE_POINTS and size < PAGE_BYTES_MAX)):
        first, number = runs[k][0] + taken, runs[k][1] - taken
        part = view.page(first, first + min(number, PAGE_POINTS - n))
        parts.append(part)
        n += part.n
        size += len(part.json)
        k, taken = (k + 1, 0) if part.n == number else (k, taken + part.n)
    left = skipped(runs[k:], taken)
    if len(parts) == 1:
        return parts[0], left
    return Block(n, parts[0].t1, parts[-1].t2, json=b",".join([part.json for part in parts])), left


def _unseen(connection: apsw.Connection, key: int, base: int, state: int) -> Runs:
    return unseen(base, state, late_runs(connection, key, base, state) if base else [])


def _resolve(view: View, wanted: Range) -> tuple[int, int]:
    """Return the half-open range of indices that is wanted now."""
    if not wanted.by_time:
        return wanted.resolve(view.head.n)
    i = 0 if wanted.t1 is None else view.index_after(wanted.t1)
    stop = view.head.n
    if wanted.limit is not None:
        stop = min(stop, i + wanted.limit)
    if wanted.t2 is not None and i < stop:
        stop = min(stop, view.index_after(wanted.t2))
    return i, stop


def _mark_page(view: View, i: int, page: Block) -> _Mark:
    # Where the page has several time stamps, those before it do not matter.
    return _Mark(page, page.n, view.count_equal_before(i, page.t1) if page.t1 == page.t2 else 0)


def _mark_end(view: View, stop: int) -> _Mark:
    run = view.run_at(stop - 1)
    return _Mark(view.block(run), stop - run.i, view.count_equal_before(run.i, run.t1))
