"""What the store's writer has finished comes back to the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any, TypeVar

from ..store.base import Store, Transaction

__all__ = ["Completions"]

log = logging.getLogger(__name__)

T = TypeVar("T")
_Then = Callable[[Any, BaseException | None], None]


class Completions:
    """Has works carried out, and calls back on the event loop in the order in which the writer finished them.

    Waking the loop costs a system call, so works that shared a commit share it.

    Attributes:
        committed: When the work was done that is being told of, as `time.perf_counter` counts.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loop: asyncio.AbstractEventLoop | None = None
        self._done: deque[tuple[_Then, Any, BaseException | None, float]] = deque()
        self.committed = 0.0
        self._woken = False

    def run(
        self,
        work: Callable[[Transaction], T],
        then: Callable[[T, BaseException | None], None],
        first: Callable[[], None] | None = None,
    ) -> None:
        """Carry *work* out; see `connectordb.store.base.Store.submit`.

        Args:
            then: Called on the running event loop, with the result, or with nothing of use and the error.
            first: Called before that on the writer's thread, before anybody learns of the commit.
        """
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self._store.begin(work, partial(self._finished, then, first))

    def _finished(
        self, then: _Then, first: Callable[[], None] | None, result: Any, error: BaseException | None
    ) -> None:
        if first is not None:
            first()
        self._done.append((then, result, error, perf_counter()))
        # If this reads an old True, the loop has not yet begun to take, and will take this one too.
        if not self._woken:
            self._woken = True
            assert self._loop is not None  # noqa: S101
            try:
                self._loop.call_soon_threadsafe(self._take)
            except RuntimeError:  # the loop is closed: nobody waits any more
                pass

    def _take(self) -> None:
        self._woken = False
        while self._done:
            then, result, error, self.committed = self._done.popleft()
            try:
                then(result, error)
            except Exception:  # those behind it are to be told all the same
                log.exception("what follows on a commit failed")
