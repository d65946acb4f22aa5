"""The rules for queries over several streams: merges and datasets."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NamedTuple

from ..block import Block
from ..errors import Invalid, LimitReached, RequestError, ScriptError
from ..paths import parse_stream_path
from ..query import Range
from ..store.records import Substream
from .actor import Actor
from .data import DataRules
from .scripts import blocks_of, script_settings
from .working import Work

if TYPE_CHECKING:
    from ..pipescript import Batch
    from ..pipescript.queries import DatasetQuery, StreamQuery

__all__ = ["STREAMS_MAX", "QueryRules"]

STREAMS_MAX = 100
"""Streams in one query, those in merges included: of each, a page is in memory."""


class QueryRules(DataRules):
    """Merges and datasets."""

    async def query_merge(self, actor: Actor, body: Any, *, text: bool = True) -> AsyncGenerator[Block, None]:
        """Yield the datapoints of several streams in order of time.

        The first step raises whatever can be refused. The event loop is not held up: all is read and worked out in
        other threads, a page at a time, for as long as this generator is wanted.

        Args:
            body: Decoded JSON, as in ``/query/merge``; ``None`` is an empty list.
            text: Whether it will be asked for the text of the blocks, which is then made in the other threads.

        Raises:
            Invalid (400): *body* is no such thing.
            Invalid, InvalidRange, NotFound, PermissionDenied (all 403): what it asks for cannot be had.
            ScriptError (400): a transform cannot be read; or it fails on a datapoint, at any step.
            LimitReached: it asks for too much, or takes longer than `query_s`; the latter at any step.
        """
        from ..pipescript import queries  # not needed by most

        wanted = queries.parse_merge([] if body is None else body)
        settings = script_settings(self.settings.limits)
        begun = self._run(actor, wanted, lambda source: queries.open_merge(wanted, source, settings), text)
        async for block in begun:
            yield block

    async def query_dataset(self, actor: Actor, body: Any, *, text: bool = True) -> AsyncGenerator[Block, None]:
        """Yield the rows of a table: datapoints, each with an object of the columns. As `query_merge`.

        Args:
            body: Decoded JSON, as in ``/query/dataset``.
        """
        from ..pipescript import queries

        wanted = queries.parse_dataset(body)
        settings = script_settings(self.settings.limits)
        streams = list(_streams_of(wanted))
        async for block in self._run(
            actor, streams, lambda source: queries.open_dataset(wanted, source, settings, source.check), text
        ):
            yield block

    async def _run(
        self, actor: Actor, streams: list[StreamQuery], begin: Callable[[_Stored], Iterator[Batch]], text: bool
    ) -> AsyncGenerator[Block, None]:
        named = sum(1 for stream in streams if stream.stream)
        if named > STREAMS_MAX:
            raise LimitReached(f"a query takes at most {STREAMS_MAX} streams, not {named}")

        def blocks(check: Callable[[], None]) -> Iterator[Block | None]:
            try:
                batches = begin(_Stored(self, actor, check))
            except RequestError as e:
                if e.status in (400, 404) and not isinstance(e, ScriptError):  # understood, but it cannot be had
                    e.status = 403
                raise
            return blocks_of(batches)

        async with aclosing(self.workshop.blocks(Work(blocks, self.settings.limits.query_s, text=text))) as found:
            async for block in found:
                yield block


class _Place(NamedTuple):
    """A substream in the store."""

    stream_id: int
    substream: Substream


class _Stored:
    """The streams of the store, as far as somebody may read them; see `connectordb.pipescript.queries.Source`.

    Attributes:
        check: Raises if the query is to end.
    """

    def __init__(self, rules: DataRules, actor: Actor, check: Callable[[], None]) -> None:
        self._rules = rules
        self._store = rules.store
        self._actor = actor
        self.check = check

    def read(self, query: StreamQuery) -> Iterable[Batch]:
        """See `Source`."""
        place = self._find(query.stream)
        if query.by_time:
            return self._pages(place, Range(t1=query.t1, t2=query.t2 if query.t2 > 0 else None))
        i1, i2 = query.resolve(self._store.head(*place).n)
        return self._pages(place, Range(i1=i1, i2=i2)) if i1 < i2 else []

    def read_after(self, stream: str, t1: float, before: int) -> Iterable[Batch]:
        """See `Source`."""
        place = self._find(stream)
        first = self._store.index_at(*place, t1)
        if first == self._store.head(*place).n:
            first = 0
        return self._pages(place, Range(i1=max(0, first - before)))

    def _find(self, path: str) -> _Place:
        self.check()
        user, device, stream, downlink = parse_stream_path(path)
        return _Place(*self._rules._readable(self._actor, (user, device, stream), downlink))

    def _pages(self, place: _Place, wanted: Range) -> Iterator[Batch]:
        from ..pipescript.blocks import batch_of

        for block in self._store.read(*place, wanted):
            yield batch_of(block)
            self.check()


def _streams_of(query: DatasetQuery) -> Iterator[StreamQuery]:
    """Yield all that may name a stream in *query*. Raises `Invalid` for a null among them."""
    yield query
    yield from _no_nulls(query.merge or [])
    for column in _no_nulls((query.dataset or {}).values()):
        yield column
        yield from _no_nulls(column.merge or [])


def _no_nulls(streams: Iterable[Any]) -> Iterator[Any]:
    for stream in streams:
        if stream is None:
            raise Invalid("null stands in the place of a stream or of a column")
        yield stream
