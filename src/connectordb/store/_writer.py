"""The writer: one thread which carries out what is submitted, in groups that share a commit."""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Protocol, TypeVar

from ..errors import ConnectorDBError, StoreError, Unavailable

__all__ = ["Writer", "WriterStats"]

log = logging.getLogger(__name__)

_LINGERS_MAX = 10  # however steadily works come, a group is not held up longer than so many times linger_s

T = TypeVar("T")
_Work = Callable[[Any], Any]
_Done = Callable[[Any, BaseException | None], None]
_Item = tuple[_Work, _Done]


class WriterStats(NamedTuple):
    """What the writer has done since it started.

    Attributes:
        groups: Transactions, committed or not.
        works: Works in them; ``works / groups`` share a commit.
        lingered_s: Time spent waiting for more works to share a commit, in seconds.
    """

    groups: int
    works: int
    lingered_s: float


class _Group(Protocol):
    def begin(self) -> None: ...
    def run(self, work: _Work) -> tuple[Any, BaseException | None]: ...
    def commit(self) -> None: ...
    def abandon(self) -> None: ...
    def close(self) -> None: ...


class Writer:
    """Carries out works, one after the other, on a thread of its own.

    When several clients wait for the disk, it pays to let them share a commit. Each tends to come back as soon as it
    has its answer, so the writer expects as many works as the last group had, and waits for them as long as they keep
    coming. A single client is never waited for.

    Args:
        open_group: Makes the group on the writer's thread; called again when the connection is of no use any more.
        queue_max: Bound on the works that wait.
        group_max: Bound on the works that share a commit.
        linger_s: Give up waiting for the next work after so many seconds; 0: never wait.
    """

    def __init__(self, open_group: Callable[[], _Group], *, queue_max: int, group_max: int, linger_s: float) -> None:
        self._open_group = open_group
        self._group: _Group | None = open_group()
        self._queue: SimpleQueue[_Item | None] = SimpleQueue()
        self._queue_max = queue_max
        self._group_max = group_max
        self._linger_s = linger_s
        self._expected = 1
        self._lock = threading.Lock()  # guards _closed, so that nothing is queued behind the end
        self._closed = False
        self._groups = self._works = 0
        self._lingered_s = 0.0
        self._thread = threading.Thread(target=self._run, name="connectordb-writer", daemon=True)
        self._thread.start()

    @property
    def stats(self) -> WriterStats:
        """What was done so far."""
        return WriterStats(self._groups, self._works, self._lingered_s)

    @property
    def waiting(self) -> int:
        """How many works wait to be carried out."""
        return self._queue.qsize()

    def begin(self, work: Callable[[Any], T], done: Callable[[T | None, BaseException | None], None]) -> None:
        """Queue *work*; see `Store.begin`."""
        with self._lock:
            if self._closed:
                refused = "the store is closing"
            elif self._queue.qsize() >= self._queue_max:
                refused = f"{self._queue_max} writes are waiting for the disk already; try again later"
            else:
                self._queue.put((work, done))
                return
        done(None, Unavailable(refused))

    def submit(self, work: Callable[[Any], T]) -> Future[T]:
        """Queue *work*; see `Store.submit`."""
        future: Future[T] = Future()
        self.begin(work, partial(_resolve, future))
        return future

    def finish(self) -> None:
        """Carry out what was submitted, then end the thread. Again: waits too."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def close(self) -> None:
        """Finish, then close the connection."""
        self.finish()
        with self._lock:
            if self._group is not None:
                self._group.close()
                self._group = None

    def _run(self) -> None:
        ended = False
        while not ended:
            item = self._queue.get()
            if item is None:
                break
            items, ended = self._gather(item)
            self._carry_out(items)
            del item, items  # what they hold may be large, and the next may be long in coming

    def _gather(self, first: _Item) -> tuple[list[_Item], bool]:
        """Return the works of the next group, and whether they are the last ones."""
        items = [first]
        began_s = 0.0
        ended = False
        while len(items) < self._group_max:
            try:
                item = self._queue.get_nowait()
            except Empty:
                if len(items) >= self._expected or not self._linger_s:
                    break
                now_s = time.monotonic()
                began_s = began_s or now_s
                if now_s - began_s > _LINGERS_MAX * self._linger_s:
                    break
                try:
                    item = self._queue.get(timeout=self._linger_s)
                except Empty:
                    break
            if item is None:
                ended = True
                break
            items.append(item)
        self._expected = len(items)
        if began_s:
            self._lingered_s += time.monotonic() - began_s
        return items, ended

    def _carry_out(self, items: list[_Item]) -> None:
        outcomes: list[tuple[Any, BaseException | None]] = []
        try:
            if self._group is None:
                self._group = self._open_group()
            self._group.begin()
            for work, _ in items:
                outcomes.append(self._group.run(work))
            self._group.commit()
        except BaseException as error:
            # Also for those that failed by themselves: they may have failed because of what is now undone.
            outcomes = [(None, _copy(error)) for _ in items]
            self._abandon()
        self._groups += 1
        self._works += len(items)
        for (_, done), (result, failed) in zip(items, outcomes, strict=True):
            try:
                done(result, failed)
            except BaseException:  # of a callback; whoever else waits has to get the answer all the same
                log.exception("a callback failed that waited for a write")

    def _abandon(self) -> None:
        if self._group is None:
            return
        try:
            self._group.abandon()
        except StoreError:
            log.exception("the writer's connection is of no use any more: opening another one")
            self._group.close()
            self._group = None


def _resolve(future: Future[Any], result: Any, error: BaseException | None) -> None:
    if not future.set_running_or_notify_cancel():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _copy(error: BaseException) -> ConnectorDBError:
    """Return an error for one of several futures: one that is raised by all would collect all their tracebacks."""
    own = copy.copy(error) if isinstance(error, StoreError) else StoreError(f"the writer failed: {error!r}")
    own.__cause__ = error
    return own
