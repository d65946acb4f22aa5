"""The rules for queries over several streams: merges and datasets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ..block import Block
from ..datapoint import Datapoint
from ..errors import Invalid, LimitReached, RequestError, ScriptError
from ..paths import parse_stream_path
from ..query import Range
from ..store.base import Store, Substream
from .actor import Actor
from .data import READ_POINTS, READ_S, DataRules
from .permissions import Permissions
from .scripts import deadline_passed
from .settings import Settings

if TYPE_CHECKING:
    from ..pipescript import Batch
    from ..pipescript.queries import DatasetQuery, StreamQuery

__all__ = ["STREAMS_MAX", "QueryRules"]

STREAMS_MAX = 100
"""Streams in one query, those in merges included: of each, a page is in memory."""

_encode = msgspec.json.Encoder().encode


class QueryRules(DataRules):
    """Merges and datasets."""

    def __init__(self, store: Store, settings: Settings, permissions: Permissions, clock: Callable[[], float]) -> None:
        super().__init__(store, settings, permissions, clock)
        # Who reads a range does not wait until a query is done.
        self._querying = asyncio.Semaphore(max(1, settings.store.read_threads - 1))

    async def query_merge(self, actor: Actor, body: Any) -> AsyncGenerator[Block, None]:
        """Yield the datapoints of several streams in order of time.

        The first step raises whatever can be refused. The event loop is not held up: all is read and worked out in
        other threads, a page at a time, for as long as this generator is wanted.

        Args:
            body: Decoded JSON, as in ``/query/merge``; ``None`` is an empty list.

        Raises:
            Invalid (400): *body* is no such thing.
            Invalid, InvalidRange, NotFound, PermissionDenied (all 403): what it asks for cannot be had.
            ScriptError (400): a transform cannot be read; or it fails on a datapoint, at any step.
            LimitReached: it asks for too much, or takes longer than `query_s`; the latter at any step.
        """
        from ..pipescript import queries  # not needed by most

        wanted = queries.parse_merge([] if body is None else body)
        async for block in self._run(actor, wanted, lambda source: queries.open_merge(wanted, source)):
            yield block

    async def query_dataset(self, actor: Actor, body: Any) -> AsyncGenerator[Block, None]:
        """Yield the rows of a table: datapoints, each with an object of the columns. As `query_merge`.

        Args:
            body: Decoded JSON, as in ``/query/dataset``.
        """
        from ..pipescript import queries

        wanted = queries.parse_dataset(body)
        streams = list(_streams_of(wanted))
        async for block in self._run(
            actor, streams, lambda source: queries.open_dataset(wanted, source, tick=source.check)
        ):
            yield block

    async def _run(
        self, actor: Actor, streams: list[StreamQuery], begin: Callable[[_Stored], Iterator[Batch]]
    ) -> AsyncGenerator[Block, None]:
        named = sum(1 for stream in streams if stream.stream)
        if named > STREAMS_MAX:
            raise LimitReached(f"a query takes at most {STREAMS_MAX} streams, not {named}")
        work = _Work(self, actor, begin, self.settings.limits.query_s)
        loop = asyncio.get_running_loop()
        try:
            more = True
            while more:
                async with self._querying:
                    blocks, more = await loop.run_in_executor(self.reading, work.step)
                for block in blocks:
                    yield block
        finally:
            work.stopped = True


class _Stopped(Exception):
    """Nobody wants the rest."""


class _Work:
    """A query at work. It is stepped in one thread at a time, and may be stopped from any.

    Attributes:
        stopped: Nobody wants the rest: the next page is not read any more.
    """

    def __init__(
        self, rules: DataRules, actor: Actor, begin: Callable[[_Stored], Iterator[Batch]], query_s: float
    ) -> None:
        self._source = _Stored(rules, actor, self._check)
        self._begin = begin
        self._query_s = query_s
        self._left_s = query_s
        self._until = 0.0
        self._batches: Iterator[Batch] | None = None
        self.stopped = False

    def step(self) -> tuple[list[Block], bool]:
        """Return the next blocks, and whether there may be more. What a slow reader takes between steps is no time."""
        began = monotonic()
        self._until = began + self._left_s
        if self._batches is None:
            self._batches = self._opened()
        blocks: list[Block] = []
        n = 0
        for batch in self._batches:
            if len(batch):
                blocks.append(_block_of(batch))
                n += len(batch)
            now = self._check()
            if n >= READ_POINTS or now > began + READ_S:
                self._left_s = self._until - now
                return blocks, True
        return blocks, False

    def _opened(self) -> Iterator[Batch]:
        try:
            return self._begin(self._source)
        except RequestError as e:
            if e.status in (400, 404) and not isinstance(e, ScriptError):  # understood, but it cannot be had
                e.status = 403
            raise

    def _check(self) -> float:
        """Return the time, unless the work is to end."""
        if self.stopped:
            raise _Stopped
        now = monotonic()
        if now > self._until:
            raise deadline_passed(self._query_s)
        return now


class _Place(NamedTuple):
    """A substream in the store."""

    stream_id: int
    substream: Substream


class _Stored:
    """The streams of the store, as far as somebody may read them; see `connectordb.pipescript.queries.Source`.

    Attributes:
        check: Raises if the query is to end.
    """

    def __init__(self, rules: DataRules, actor: Actor, check: Callable[[], object]) -> None:
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
        from ..pipescript import Batch

        for block in self._store.read(*place, wanted):
            points = block.points
            yield Batch([point.t for point in points], [point.d for point in points])
            self.check()


def _block_of(batch: Batch) -> Block:
    """Return the datapoints of *batch*, at least one, as text: so it is not the event loop that has to write it."""
    points = [Datapoint(t, d) if t else Datapoint(d=d) for t, d in zip(batch.t, batch.d, strict=True)]
    return Block(len(points), points[0].t, points[-1].t, json=_encode(points)[1:-1])


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
