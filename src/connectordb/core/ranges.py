"""What is read of a range of one stream for a script or a reduction: no more than it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from ..block import Block
from ..errors import InvalidRange
from ..query import Range
from ..store.base import Store
from ..store.records import Substream, Summary
from .reductions import Reduction, reduced
from .scripts import batches_of, transformed

if TYPE_CHECKING:
    from ..pipescript import Batch, Script

__all__ = ["StoredRange"]


class StoredRange:
    """A range of a substream."""

    def __init__(self, store: Store, stream_id: int, substream: Substream, wanted: Range) -> None:
        self._store = store
        self._place = stream_id, substream
        self._wanted = wanted

    def worked_out(
        self, script: Script | None, reduction: Reduction | None, check: Callable[[], None]
    ) -> Iterator[Batch | None]:
        """Yield what *script* makes of the datapoints, and *reduction* of that; ``None`` where there is nothing yet.

        Args:
            check: Called now and then; raises if that is to end.

        Raises:
            NotFound, InvalidRange, ScriptError, Invalid (*reduction*).
        """
        if script is not None:
            made = transformed(self._for_script(script), script, self._wanted.limit, check)
            return made if reduction is None else reduced(made, reduction.start())
        if reduction is None:
            return batches_of(self._store.read(*self._place, self._wanted))
        first, stop = self._indices(self._wanted)
        reducer = reduction.start(stop - first)
        if not reducer.takes_runs:
            return reduced(batches_of(self._store.read(*self._place, self._wanted)), reducer)
        found = self._store.read_summaries(*self._place, self._wanted, reducer.fits)
        return reduced(batches_of(found), reducer)

    def _for_script(self, script: Script) -> Iterable[Block | Sequence[Summary]]:
        wanted = msgspec.structs.replace(self._wanted, limit=None)  # which counts what comes out
        if script.only_last:
            last = self._last(wanted)
            if last is not None:
                return last
        if script.folds:
            return self._store.read_summaries(*self._place, wanted)
        return self._store.read(*self._place, wanted)

    def _last(self, wanted: Range) -> list[Block] | None:
        """Return the last datapoint, if there is one; ``None``: others changed what is stored meanwhile."""
        merges = self._store.head(*self._place).merges
        first, stop = self._indices(wanted)
        if first == stop:
            return []
        try:
            found = list(self._store.read(*self._place, Range(i1=stop - 1, i2=stop)))
        except InvalidRange:
            return None
        return found if self._store.head(*self._place).merges == merges else None

    def _indices(self, wanted: Range) -> tuple[int, int]:
        """Return the range by index, half-open, as it is now."""
        n = self._store.head(*self._place).n
        return wanted.indices(n, partial(self._store.index_at, *self._place))
