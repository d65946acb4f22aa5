"""Reading a range page by page, while others write."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import apsw

from ..block import Block
from ..query import Range
from ._changes import behind, events_between, moves_of
from ._connection import Readers
from ._data import View
from .records import Summary

__all__ = ["read", "read_summaries"]

T = TypeVar("T")


class _Place:
    """Where a reader is in a range, while the stream changes.

    Attributes:
        i: Index of the next datapoint.
        stop: The end of the range.
        left: How many more are wanted, if there is a limit.
        t: Time stamp of the last one that was given, in seconds.
    """

    __slots__ = ("_head", "i", "left", "stop", "t")

    def __init__(self, view: View, wanted: Range) -> None:
        self._head = view.head
        self.i, self.stop = wanted.indices(view.head.n, view.index_after)
        self.left = wanted.limit
        self.t = 0.0

    @property
    def ended(self) -> bool:
        """There is nothing more."""
        return self.i >= self.stop

    def follow(self, connection: apsw.Connection, view: View) -> None:
        """Find the place again in *view*, which is of a later state."""
        if view.head.merges != self._head.merges:
            events = events_between(connection, view.key, self._head.arrivals, view.head.arrivals)
            moves = moves_of(events)
            # If what was given last was deleted, older ones may have come where it was.
            self.i = max(behind(moves, self.i), view.index_from(self.t))
            self.stop = behind(moves, self.stop)
            if self.left is not None:
                self.stop = min(self.stop, self.i + self.left)
        self._head = view.head

    def pass_by(self, n: int, t: float) -> None:
        """Take note that *n* datapoints were given, the last of which has time stamp *t*."""
        self.i += n
        self.t = t
        if self.left is not None:
            self.left -= n


def read(readers: Readers, key: int, wanted: Range) -> Iterator[Block]:
    """Yield the pages of the range; see `Store.read`.

    Late datapoints that are merged behind what has been returned appear with the rest, and push nothing out of the
    range (but for a limit). Nothing is held between two steps, so the generator may be left at any time, and stepped
    from any thread.
    """
    return _walk(readers, key, wanted, _page)


def read_summaries(
    readers: Readers, key: int, wanted: Range, fits: Callable[[float, float], bool] | None
) -> Iterator[Block | Sequence[Summary]]:
    """Yield what is known of the range, or its pages; see `Store.read_summaries`. As `read` otherwise."""

    def take(view: View, i: int, stop: int) -> tuple[Block | Sequence[Summary], int, float]:
        known, end = view.summaries(i, stop, fits)
        return (known, end - i, known[-1].t2) if known else _page(view, i, stop)

    return _walk(readers, key, wanted, take)


def _page(view: View, i: int, stop: int) -> tuple[Block, int, float]:
    page = view.page(i, stop)
    return page, page.n, page.t2


def _walk(
    readers: Readers, key: int, wanted: Range, take: Callable[[View, int, int], tuple[T, int, float]]
) -> Iterator[T]:
    """Yield what *take* gives for what is left of the range, with how many datapoints and what last time stamp."""
    place: _Place | None = None
    while place is None or not place.ended:
        with readers.snapshot() as connection:
            view = View(connection, key, cache=readers.cache)
            if place is None:
                place = _Place(view, wanted)
            else:
                place.follow(connection, view)
            if place.ended:
                return
            page, n, t = take(view, place.i, place.stop)
        place.pass_by(n, t)
        yield page
