"""Reading a range page by page, while others write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..block import Block
from ..query import Range
from ._connection import Readers
from ._data import View
from ._text import times

__all__ = ["read"]


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
