"""The sealer: text becomes blocks, in the background."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import apsw

from ..block import Block
from ..errors import NotFound, StoreError, Unavailable
from ._changes import Event
from ._connection import Readers, query
from ._data import Run, View, read_sealed
from ._errors import damaged
from ._runs import BLOCK_BYTES, BLOCK_POINTS, Sealed, sealed_of
from .records import ChangeKind, Head

if TYPE_CHECKING:
    from ._transaction import SQLiteTransaction

__all__ = ["SEAL_POINTS", "SealPlan", "SealStats", "Sealer", "Sealing", "followed", "plan_seal", "seal"]

log = logging.getLogger(__name__)

SEAL_POINTS = 1_024
"""Fewer new datapoints than this are left as text."""

_ROWS_MAX = 2_000
_BYTES_MAX = 4 << 20
"""So much text at most is sealed in one step: then the writer has it behind itself in a few milliseconds."""
_FULL_POINTS = BLOCK_POINTS * 3 // 4
_FULL_BYTES = BLOCK_BYTES * 3 // 4
"""A block that has neither as many datapoints nor as much text is written anew with what comes behind it."""
_NOTED_POINTS = 16 * BLOCK_POINTS
_RETRY_S = 5.0

_ATTEMPTS = 3


class Sealing(NamedTuple):
    """What was sealed.

    Attributes:
        points, blocks: How many datapoints, and the blocks that they became.
        more: There is more to do.
    """

    points: int
    blocks: int
    more: bool


_Submit = Callable[[Callable[["SQLiteTransaction"], Sealing]], Future[Sealing]]


class SealStats(NamedTuple):
    """What a sealer has done since it was started.

    Attributes:
        points, blocks: Datapoints sealed, and the blocks that they became.
        waiting: Substreams that have something to be sealed.
    """

    points: int
    blocks: int
    waiting: int


class SealPlan(NamedTuple):
    """What is to become blocks.

    Attributes:
        head: The state of the substream that it was made of.
        blocks: Index of the first datapoint, and datapoints, block by block.
        sealed: So many datapoints will be in blocks, from the first on.
        more: There is more.
    """

    head: Head
    blocks: list[tuple[int, Block]]
    sealed: int
    more: bool


def seal(readers: Readers, submit: _Submit, key: int, least: int) -> Sealing:
    """Seal some of the oldest text of substream *key*.

    The text is read and packed here, beside the writer; the writer only swaps the rows, where nothing has come between.

    Args:
        least: Not fewer new datapoints than this.

    Raises:
        NotFound: there is no such substream any more.
        StoreError, Unavailable: the disk refused, or the store is closing. Nothing has changed.
    """
    for _ in range(_ATTEMPTS):
        with readers.snapshot() as connection:
            plan = plan_seal(View(connection, key), connection, least)
        if plan is None:
            return Sealing(0, 0, False)
        blocks = [(i, sealed_of(block)) for i, block in plan.blocks]
        sealed = submit(partial(_swap, key, plan, blocks)).result()
        if sealed.blocks or not blocks:
            return sealed
    # Late datapoints or corrections have come into it each time. Some at least is sealed while nothing can come.
    return submit(lambda tx: tx.seal_now(key, least)).result()


def _swap(key: int, plan: SealPlan, blocks: Sequence[tuple[int, Sealed]], tx: SQLiteTransaction) -> Sealing:
    n, count = tx.seal(key, plan.head, blocks, plan.sealed)
    return Sealing(n, count, plan.more or count < len(blocks))


def followed(events: Iterable[Event], i: int, n: int) -> int | None:
    """Return where the datapoints ``[i, i + n)`` are after *events*; ``None`` if one of these came into their midst,
    took some of them out, or changed a value."""
    for event in events:
        shift = 0
        for first, number in event.runs:
            if event.kind == ChangeKind.INSERTED:
                if first <= i + shift:
                    shift += number
                elif first < i + shift + n:
                    return None
            elif first < i + n and first + number > i:
                return None
            elif event.kind == ChangeKind.DELETED and first < i:
                shift -= number
        i += shift
    return i


def plan_seal(view: View, connection: apsw.Connection, least: int) -> SealPlan | None:
    """Return what of *view* is to be sealed next; ``None``: nothing.

    Runs that follow each other and fill no block are put together: text, and blocks that are not full.
    """
    head, sealed = view.head, read_sealed(connection, view.key)
    start = sealed
    if sealed > 0:
        before = view.run_at(sealed - 1)
        if not _is_full(before):
            start = before.i
    groups: list[_Group] = []
    size = rows = 0
    i, more = start, False
    with closing(view.runs(start)) as runs:
        for run in runs:
            if run.i != i:
                raise damaged(view.key, i)
            if rows >= _ROWS_MAX or size >= _BYTES_MAX:
                more = True
                break
            full = _is_full(run)
            if full or not groups or not groups[-1].takes(run):
                groups.append(_Group())
            groups[-1].add(run)
            if full:
                groups.append(_Group())
            else:
                rows, size = rows + 1, size + run.size
            i = run.end
    groups = [group for group in groups if group.runs]
    if groups and i == head.n and least > 1 and groups[-1].new < least and groups[-1].n < _FULL_POINTS:
        groups.pop()  # it is still growing
    stop = groups[-1].runs[-1].end if groups else start
    wanted = [group for group in groups if not group.is_done]
    if not wanted:
        # That all is in blocks up to there need not be noted each time, as it can be found out again.
        return None if stop - sealed < _NOTED_POINTS and not more else SealPlan(head, [], stop, more)
    made = [(group.runs[0].i, view.joined(group.runs)) for group in wanted]
    return SealPlan(head, made, stop, more)


def _is_full(run: Run) -> bool:
    return run.block is not None and (run.n >= _FULL_POINTS or run.size >= _FULL_BYTES)


class _Group:
    """Runs that become one block.

    Attributes:
        runs: In order.
        n: Number of datapoints, and `new`, how many of them are text.
        is_done: It is one block already.
    """

    __slots__ = ("n", "new", "runs", "size")

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.n = self.new = self.size = 0

    @property
    def is_done(self) -> bool:
        return len(self.runs) == 1 and self.runs[0].block is not None

    def takes(self, run: Run) -> bool:
        """Whether *run*, which comes next, has room."""
        return not self.runs or (self.n + run.n <= BLOCK_POINTS and self.size + run.size <= BLOCK_BYTES)

    def add(self, run: Run) -> None:
        self.runs.append(run)
        self.n += run.n
        self.size += run.size
        self.new += run.n if run.block is None else 0


class Sealer:
    """Seals what has grown, on a thread of its own: at once where there is enough for a block, else after a while.

    Args:
        readers, submit: Of the store.
        after_s: How long datapoints that do not fill a block stay text, in seconds.
    """

    def __init__(self, readers: Readers, submit: _Submit, *, after_s: float) -> None:
        self._readers = readers
        self._submit = submit
        self._after_s = after_s
        self._changed = threading.Condition()
        self._full: dict[int, None] = {}
        self._waiting: dict[int, float] = {}  # until when; oldest first
        self._closed = False
        self._points = self._blocks = 0
        self._thread = threading.Thread(target=self._run, name="connectordb-sealer", daemon=True)

    @property
    def stats(self) -> SealStats:
        """What was done so far."""
        return SealStats(self._points, self._blocks, len(self._full) + len(self._waiting))

    def start(self) -> None:
        """Begin, with what an earlier process has left."""
        self._thread.start()

    def grown(self, key: int, before: int, now: int) -> None:
        """Be told that substream *key* has grown from *before* to *now* datapoints. Quick, from any thread.

        Also of one with as much new text as fills a block: as if it had got as many datapoints as that can hold.
        """
        if before // SEAL_POINTS == now // SEAL_POINTS:
            return
        with self._changed:
            if before // BLOCK_POINTS != now // BLOCK_POINTS:
                self._full[key] = None
                self._changed.notify()
            elif key not in self._waiting:
                self._waiting[key] = time.monotonic() + self._after_s
                if len(self._waiting) == 1:
                    self._changed.notify()

    def close(self) -> None:
        """End after the step under way."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            self._find_all()
            while (key := self._next()) is not None:
                self._seal(*key)
        except Unavailable:  # the store is closing
            pass
        except Exception:
            log.exception("the sealer ended: datapoints stay as they came until the next start")

    def _find_all(self) -> None:
        """Find out what is left to do, as soon as that is possible."""
        while not self._closed:
            try:
                self._find()
                return
            except StoreError as error:
                log.warning("it could not be found out what is to be sealed, which will be tried again: %s", error)
                with self._changed:
                    self._changed.wait_for(lambda: self._closed, _RETRY_S)

    def _find(self) -> None:
        with self._readers.borrow() as connection:
            rows = query(connection, "SELECT substream, n - sealed FROM heads WHERE n - sealed >= ?", (SEAL_POINTS,))
        until = time.monotonic() + self._after_s
        with self._changed:
            for key, n in rows:
                if n >= BLOCK_POINTS:
                    self._full[key] = None
                else:
                    self._waiting[key] = until

    def _next(self) -> tuple[int, int] | None:
        """Wait for the next substream to be sealed, and return it with `seal`'s *least*; ``None``: it is over."""
        with self._changed:
            while not self._closed:
                if self._full:
                    key = next(iter(self._full))
                    del self._full[key]
                    return key, BLOCK_POINTS // 2
                timeout = None
                if self._waiting:
                    key, until = next(iter(self._waiting.items()))
                    timeout = until - time.monotonic()
                    if timeout <= 0:
                        del self._waiting[key]
                        return key, SEAL_POINTS // 2
                self._changed.wait(timeout)
        return None

    def _seal(self, key: int, least: int) -> None:
        more = True
        while more and not self._closed:
            began = time.monotonic()
            try:
                points, blocks, more = seal(self._readers, self._submit, key, least)
            except NotFound:
                return
            except Unavailable:
                if not self._closed:
                    self._again(key)
                return
            except StoreError as error:
                log.warning("datapoints could not be sealed, which will be tried again: %s", error)
                self._again(key)
                return
            except Exception:
                log.exception("the datapoints of substream %d stay as they came: a mistake in this program", key)
                return
            self._points += points
            self._blocks += blocks
            with self._changed:  # leave as much time to others as it took
                if not self._closed:
                    self._changed.wait(min(time.monotonic() - began, 0.1))

    def _again(self, key: int) -> None:
        with self._changed:
            self._waiting[key] = time.monotonic() + max(_RETRY_S, self._after_s)
