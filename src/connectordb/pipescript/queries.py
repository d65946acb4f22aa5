"""The queries that ``/query/merge`` and ``/query/dataset`` take: what they mean, over any source of datapoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, Final, Protocol

import msgspec

from ..errors import Invalid, InvalidRange
from .batch import Batch
from .dataset import Column, check_times, dataset, times
from .interpolate import find_interpolator
from .merging import batched, merge_batches, points_of
from .plan import Settings
from .registry import Point
from .script import Script, compile_script

__all__ = [
    "BACKTRACK",
    "MERGE_MAX",
    "DatasetQuery",
    "Element",
    "Source",
    "StreamQuery",
    "open_dataset",
    "open_merge",
    "open_stream",
    "parse_dataset",
    "parse_merge",
    "parse_stream",
]

TICK_ROWS: Final = 1_000
MERGE_MAX: Final = 10
"""Streams in one merge."""
BACKTRACK: Final = 10
"""How many datapoints before a dataset's t1 a column begins that has no range of its own."""


class StreamQuery(msgspec.Struct, kw_only=True):
    """A range of one stream, and a script to run over it. 0 stands for "not given", as on 0.3's wire.

    Attributes:
        stream: ``user/device/stream``, or this with ``/downlink``.
        transform: A script; empty for none.
        i1: First index, inclusive; negative from the end.
        i2: Last index, exclusive; 0 and below from the end.
        t1: Lower bound in seconds, exclusive.
        t2: Upper bound in seconds, inclusive; 0 and below: none.
        limit: At most this many datapoints, counted after *transform*; 0 and below: all.
    """

    stream: str = ""
    transform: str = ""
    i1: int = 0
    i2: int = 0
    t1: float = 0.0
    t2: float = 0.0
    limit: int = 0

    @property
    def by_time(self) -> bool:
        """Whether it is a range by time. With no bounds at all it is one by index: the whole stream."""
        return bool(self.t1 or self.t2 or self.limit)

    @property
    def has_range(self) -> bool:
        """Whether any bound is given."""
        return self.by_time or bool(self.i1 or self.i2)

    def check_range(self) -> None:
        """Check the bounds as far as can be without the stream.

        Raises:
            InvalidRange: there are bounds by index and by time.
        """
        if self.by_time and (self.i1 or self.i2):
            raise InvalidRange("a range goes either by index (i1, i2) or by time (t1, t2, limit)", status=403)

    def resolve(self, n: int) -> tuple[int, int]:
        """Return the index range ``[i1, i2)`` in a stream of *n* datapoints; for a range by index.

        Raises:
            InvalidRange: it ends before it begins, or begins beyond the end.
        """
        i1 = max(0, self.i1 + n) if self.i1 < 0 else self.i1
        i2 = min(n, n + self.i2 if self.i2 <= 0 else self.i2)
        if n == 0 and i1 == 0:
            return 0, 0
        if i2 < i1:
            raise InvalidRange(f"the index range [{self.i1}, {self.i2}) does not lie in {n} datapoints", status=403)
        return i1, i2


class Element(StreamQuery, kw_only=True):
    """A column of a dataset: a stream, or a merge of several."""

    merge: list[StreamQuery | None] | None = None
    interpolator: str = ""
    allownil: bool = False


class DatasetQuery(StreamQuery, kw_only=True):
    """A dataset: by time (`dt`), or by the datapoints of a stream or a merge."""

    dataset: dict[str, Element | None] | None = None
    merge: list[StreamQuery | None] | None = None
    dt: float = 0.0
    posttransform: str = ""


class Source(Protocol):
    """Where the datapoints of queries come from. Both methods check access at once, and read when iterated."""

    def read(self, query: StreamQuery) -> Iterable[Batch]:
        """Return the datapoints of the range of *query*, as stored: without its transform and limit.

        Raises:
            NotFound: no such stream, or no right to see it.
            InvalidRange: as `StreamQuery.resolve`.
        """

    def read_after(self, stream: str, t1: float, before: int) -> Iterable[Batch]:
        """Return the datapoints from *before* datapoints ahead of the first with ``t > t1`` on, to the end.

        If there is none with ``t > t1``: the whole stream.
        """


# --- decoding


def _folded(raw: Any) -> Any:
    """Return decoded JSON with the keys of objects in lower case, without nulls in them.

    The names of columns stay as they are.
    """
    if not isinstance(raw, dict):
        return raw
    folded: dict[str, Any] = {}
    for key, value in raw.items():
        name = key.lower()
        if value is None:
            continue
        if name == "merge" and isinstance(value, list):
            folded[name] = [_folded(item) for item in value]
        elif name == "dataset" and isinstance(value, dict):
            folded[name] = {column: _folded(element) for column, element in value.items()}
        else:
            folded[name] = value
    return folded


def _parse(raw: Any, kind: Any, what: str) -> Any:
    try:
        return msgspec.convert(_folded(raw), kind)
    except msgspec.ValidationError as e:
        raise Invalid(f"this is no {what}: {e}") from None


def parse_stream(raw: Any) -> StreamQuery:
    """Return the query that decoded JSON holds. Keys may be in any case; unknown ones are ignored, as in 0.3.

    Raises:
        Invalid: it is none.
    """
    query: StreamQuery = _parse(raw, StreamQuery, "query of a stream")
    return query


def parse_merge(raw: Any) -> list[StreamQuery]:
    """Return the queries of the streams to merge.

    Raises:
        Invalid: it is no list of such.
    """
    folded = [_folded(item) for item in raw] if isinstance(raw, list) else raw
    queries: list[StreamQuery] = _parse(folded, list[StreamQuery], "list of queries to merge")
    return queries


def parse_dataset(raw: Any) -> DatasetQuery:
    """Return the query of a dataset that decoded JSON holds.

    Raises:
        Invalid: it is none.
    """
    query: DatasetQuery = _parse(raw, DatasetQuery, "query of a dataset")
    return query


# --- running. Everything that can be refused is, before the first datapoint is read.


def open_stream(query: StreamQuery, source: Source, settings: Settings | None = None) -> Iterator[Batch]:
    """Return the datapoints of one stream, transformed and limited.

    Raises:
        ScriptError: the transform cannot be read; or, when iterated, fails.
        InvalidRange, NotFound: from the range and the source.
    """
    query.check_range()
    script = compile_script(query.transform, settings) if query.transform else None
    return _transformed(script, query.limit, source.read(query))


def open_merge(
    queries: Sequence[StreamQuery | None], source: Source, settings: Settings | None = None
) -> Iterator[Batch]:
    """Return the datapoints of several streams in order of time.

    Raises:
        Invalid: there are more than `MERGE_MAX`.
        ScriptError, InvalidRange, NotFound: as `open_stream`.
    """
    return _merged(queries, lambda query: open_stream(query, source, settings))


def open_dataset(
    query: DatasetQuery, source: Source, settings: Settings | None = None, tick: Callable[[], object] | None = None
) -> Iterator[Batch]:
    """Return the rows of a dataset.

    Args:
        tick: Called from time to time while rows are made, also when nothing is read and nothing comes out.

    Raises:
        Invalid: the query contradicts itself.
        ScriptError, InvalidRange, NotFound: as `open_stream`.
    """
    post = compile_script(query.posttransform, settings) if query.posttransform else None
    if not query.dataset:
        raise Invalid("a dataset needs at least one column, in 'dataset'", status=403)
    columns = {name: _column(name, element, query.t1, source, settings) for name, element in query.dataset.items()}
    rows: Iterable[float] | Iterable[Point]
    if query.stream or query.merge:
        rows = _reference(query, source, settings)
    else:
        if query.i1 or query.i2:
            raise InvalidRange("a dataset by time has no range by index", status=403)
        check_times(query.t1, query.t2, query.dt)
        rows = _ticking(times(query.t1, query.t2, query.dt), tick)
    return batched(dataset(rows, columns, post))


def _ticking(rows: Iterable[float], tick: Callable[[], object] | None) -> Iterator[float]:
    for n, row in enumerate(rows):
        if tick is not None and n % TICK_ROWS == 0:
            tick()
        yield row


def _transformed(script: Script | None, limit: int, batches: Iterable[Batch]) -> Iterator[Batch]:
    out = iter(batches) if script is None else script.run_batches(batches)
    return _limited(out, limit) if limit > 0 else out


def _limited(batches: Iterable[Batch], limit: int) -> Iterator[Batch]:
    left = limit
    for batch in batches:
        if len(batch) >= left:
            yield batch.slice(0, left)
            return
        left -= len(batch)
        yield batch


def _merged(
    queries: Sequence[StreamQuery | None], open_one: Callable[[StreamQuery], Iterator[Batch]]
) -> Iterator[Batch]:
    if len(queries) > MERGE_MAX:
        raise Invalid(f"at most {MERGE_MAX} streams can be merged, not {len(queries)}", status=403)
    opened = []
    for query in queries:
        if query is None:
            raise Invalid("a query to merge is null", status=403)
        opened.append(_begun(open_one(query)))
    return merge_batches(opened)


def _begun(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Return *batches*, the first of which has been read: as in 0.3, what fails there is refused at once."""
    return chain(list(islice(batches, 1)), batches)


def _reference(query: DatasetQuery, source: Source, settings: Settings | None) -> Iterator[Point]:
    """Return the datapoints that make the rows of a dataset by stream or merge."""
    if query.dt:
        raise Invalid("a dataset goes either by time (dt) or by a stream, not by both", status=403)
    if query.stream and query.merge:
        raise Invalid("a dataset goes either by a stream or by a merge, not by both", status=403)
    if query.dataset and "x" in query.dataset:
        raise Invalid("the name 'x' is taken: it holds the data of the reference stream", status=403)
    if query.merge:
        return points_of(_merged(query.merge, lambda part: open_stream(part, source, settings)))
    return points_of(open_stream(query, source, settings))


def _column(name: str, element: Element | None, t1: float, source: Source, settings: Settings | None) -> Column:
    if element is None:
        raise Invalid(f"the column {name!r} is null", status=403)

    def open_one(query: StreamQuery) -> Iterator[Batch]:
        if not query.stream:
            raise Invalid(f"a stream of the column {name!r} has no name", status=403)
        if query.has_range or not t1:
            return open_stream(query, source, settings)
        script = compile_script(query.transform, settings) if query.transform else None
        return _transformed(script, 0, source.read_after(query.stream, t1, BACKTRACK))

    if element.stream:
        if element.merge:
            raise Invalid(f"the column {name!r} has both a stream and a merge", status=403)
        batches = open_one(element)
    elif not element.merge:
        raise Invalid(f"the column {name!r} has neither a stream nor a merge", status=403)
    elif element.transform:
        raise Invalid(f"the column {name!r} is a merge: its parts may have transforms, it may not", status=403)
    else:
        batches = _merged(element.merge, open_one)
    return Column(batches, find_interpolator(element.interpolator, settings), element.allownil)
