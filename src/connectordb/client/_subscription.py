"""One subscription: what came and waits, and the thread in which its callback runs."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from ..datapoints import DatapointArray
from ..errors import Closed, ConnectorDBError
from . import _calls
from ._feed import Arrival, Corrected, Notice, Wish

if TYPE_CHECKING:
    from ._subscriptions import Subscriptions

__all__ = ["Callback", "DataHandler", "Handler", "OnError", "OnNotice", "Subscription", "check_callable"]

log = logging.getLogger("connectordb")

QUEUE_POINTS_MAX = 20_000
QUEUE_BYTES_MAX = 8 * 1024 * 1024
"""What waits for one callback at most. Above either, the server is told to stop, and asked for the rest later."""

Cursor = str | dict[str, str] | None
Callback = Callable[[str, DatapointArray], Any]
OnNotice = Callable[[Notice], Any]
OnError = Literal["continue", "end"]


class Handler(Protocol):
    """What is done with what comes, in the subscription's own thread."""

    def __call__(self, arrival: Arrival) -> None:
        """Give *arrival* to the callback.

        Raises:
            Exception: the callback has failed.
            Ended: the subscription has to end because of an error.
        """


class Ended(Exception):  # a signal, caught where it is raised
    """A handler says that the subscription is over."""

    def __init__(self, error: ConnectorDBError) -> None:
        self.error = error


class DataHandler:
    """Gives datapoints to a callback."""

    def __init__(self, callback: Callback, check: Callable[[str, Any], None] | None = None) -> None:
        """
        Args:
            callback: Gets the path of the stream, and the datapoints.
            check: Gets the path of the stream, and what the callback returned.
        """
        check_callable(callback)
        self._callback = callback
        self._check = check

    def __call__(self, arrival: Arrival) -> None:
        """See `Handler`."""
        points = DatapointArray(_calls.decode_points(memoryview(arrival.body)))
        result = self._callback(arrival.path, points)
        if self._check is not None:
            self._check(arrival.path, result)


class _Mark(NamedTuple):
    """All that came before it counts as this."""

    cursor: Cursor


class Subscription:
    """A callback that runs when datapoints are inserted, until it is closed.

    It runs in a thread of its own, always the same one, for one insert after the other: a callback that takes its time
    delays no other subscription. If it is slower than the data comes for long, what does not find room here stays on
    the server, and is read from there. After a lost connection, and a restart of the server, the subscription goes on
    where it was: no datapoint is left out, and none comes twice. (An ephemeral stream stores none; what is missed of it
    is lost, and counted in `missed`.)
    """

    def __init__(
        self,
        owner: Subscriptions,
        wish: Wish,
        handler: Handler,
        on_notice: OnNotice | None,
        on_error: OnError,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._owner = owner
        self._pid = os.getpid()
        self._wish = wish
        self._handler = handler
        self._on_notice = on_notice
        self._on_error = on_error
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: deque[Arrival | Notice | _Mark] = deque()
        self._waiting_points = 0
        self._waiting_bytes = 0
        self._behind = 0
        self._missed: int | None = 0
        self._held = False
        self._resume_at: float | None = None
        self._closed = False
        self._error: BaseException | None = None
        self._cursor: Cursor = _copied(wish.cursor)
        self._answered = threading.Event()
        self._refusal: Exception | None = None
        self._thread: threading.Thread | None = None

    # -- for users ---------------------------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        """What it subscribes to: ``user/device/stream``, ``user/device/stream/downlink``, ``user/device/*`` or
        ``user/*/*``."""
        return self._wish.arg

    @property
    def transform(self) -> str:
        """The PipeScript that the server runs on each insert; empty: none."""
        return self._wish.transform

    @property
    def active(self) -> bool:
        """Whether the callback may still be called. It stays so while the server is away."""
        return not self._closed and os.getpid() == self._pid

    @property
    def error(self) -> BaseException | None:
        """Why it has ended by itself; ``None`` if it has not."""
        return self._error

    @property
    def cursor(self) -> Cursor:
        """Stands for all that the callback has returned from. Given to ``subscribe(cursor=...)``, be it by another
        process, the subscription goes on after that. ``None``: the server has not said yet, or, of requests to this
        device, never does. Of a pattern, a dict which is to be given back as it is."""
        return _copied(self._cursor)

    @property
    def lag(self) -> int:
        """How many datapoints are known to wait for the callback: here, and on the server, as it said last."""
        return self._waiting_points + self._behind

    @property
    def missed(self) -> int | None:
        """How many datapoints of ephemeral streams are lost; ``None``: some, nobody knows how many."""
        return self._missed

    def close(self) -> None:
        """End the subscription. What waits is dropped, and the callback is not called again.

        A call of it that is under way is not waited for. May be called from within the callback, and twice.
        """
        if os.getpid() != self._pid:  # the threads, and whatever they had locked, are those of another process
            self._closed = True
            return
        self._owner.forget(self)
        self._end(None)
        self.give_up("the subscription has been closed")

    def __repr__(self) -> str:
        state = "" if self.active else ", ended"
        return f"[Subscription:{self.path}{state}]"

    # -- for the receiving thread, none of which waits for long ------------------------------------------------------

    def offer(self, arrival: Arrival) -> bool:
        """Take *arrival* for the callback, or return ``False``: then there is no room, and it has to come again."""
        with self._changed:
            if self._closed:
                return True
            full = (
                self._waiting_points + arrival.n > QUEUE_POINTS_MAX
                or self._waiting_bytes + arrival.size_bytes > QUEUE_BYTES_MAX
            )
            if full and self._waiting_points:
                self._held = True
                self._tell(Notice("lag", self.path, self._waiting_points))
                return False
            self._waiting.append(arrival)
            self._waiting_points += arrival.n
            self._waiting_bytes += arrival.size_bytes
            self._behind = max(0, self._behind - arrival.n)
            self._changed.notify_all()
            return True

    def tell(self, notice: Notice) -> None:
        """Take *notice* for `on_notice`."""
        with self._changed:
            if notice.kind == "lag":
                self._behind = notice.n or 0
            elif notice.kind == "missed":
                self._missed = None if notice.n is None or self._missed is None else self._missed + notice.n
            self._tell(notice)

    def confirm(self) -> None:
        """The server has accepted it, for the first time or again, and has said where it goes on."""
        mark = _Mark(_copied(self._wish.cursor))
        if self._answered.is_set():
            with self._changed:
                self._waiting.append(mark)
                self._changed.notify_all()
        else:
            self._cursor = mark.cursor
            self._answered.set()

    def refuse(self, error: Exception) -> None:
        """It has not come to a subscription."""
        self._refusal = error
        self._answered.set()

    def give_up(self, why: str) -> None:
        """No answer is to be waited for any more."""
        if not self.answered:
            self.refuse(Closed(why))

    @property
    def answered(self) -> bool:
        """Whether the server has accepted or refused it."""
        return self._answered.is_set()

    def resume_after(self, pause_s: float) -> None:
        """The server could not take it up again: ask again after a while."""
        with self._changed:
            self._held = True
            self._resume_at = self._clock() + pause_s
            self._changed.notify_all()

    # -- for the thread that subscribes, and for that which closes ---------------------------------------------------

    def start(self) -> None:
        """Let the callback run from now on."""
        thread = threading.Thread(target=self._run, name=f"connectordb-{self.path}", daemon=True)
        self._thread = thread
        thread.start()

    def wait_answered(self, timeout_s: float) -> bool:
        """Wait until the server has accepted it.

        Returns:
            Whether it has answered.

        Raises:
            ConnectorDBError: it has refused, or cannot be reached.
        """
        answered = self._answered.wait(timeout_s)
        if self._refusal is not None:
            raise self._refusal
        return answered

    def end(self, error: BaseException | None) -> None:
        """End it because of *error*, after all that came before."""
        if error is None:
            self._end(None)
        else:
            self.tell(Notice("ended", self.path, None, error))

    def join(self, timeout_s: float) -> bool:
        """Wait for the end of its thread; return whether it has ended."""
        thread = self._thread
        if thread is not None and thread.is_alive():
            thread.join(timeout_s)
        return not self.running

    @property
    def running(self) -> bool:
        """Whether there is a thread of its own, in which the callback may be running."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def in_own_thread(self) -> bool:
        """Whether the callback is asking."""
        return self._thread is threading.current_thread()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _tell(self, notice: Notice) -> None:
        if self._closed:
            return
        last = self._waiting[-1] if self._waiting else None
        if isinstance(last, Notice) and last[:2] == notice[:2] and notice.kind != "ended":
            self._waiting.pop()  # one for both, as nobody takes them
            if notice.kind == "missed":
                n = None if notice.n is None or last.n is None else notice.n + last.n
                notice = notice._replace(n=n)
            elif notice.correction is not None and last.correction is not None:
                one, other = notice.correction, last.correction
                both = Corrected(min(one.t1, other.t1), max(one.t2, other.t2))
                notice = notice._replace(correction=both)
        self._waiting.append(notice)
        self._changed.notify_all()

    def _end(self, error: BaseException | None) -> None:
        with self._changed:
            if not self._closed:
                self._closed = True
                self._error = error
            self._waiting.clear()
            self._waiting_points = self._waiting_bytes = self._behind = 0
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            item = self._next()
            if item is None:
                return
            if isinstance(item, _Mark):
                self._cursor = item.cursor
            elif isinstance(item, Notice):
                self._notify(item)
            else:
                self._handle(item)

    def _next(self) -> Arrival | Notice | _Mark | None:
        """Wait for what comes next; ``None`` at the end."""
        while True:
            with self._changed:
                while True:
                    if self._closed:
                        return None
                    if self._waiting:
                        item = self._waiting.popleft()
                        if isinstance(item, Arrival):
                            self._waiting_points -= item.n
                            self._waiting_bytes -= item.size_bytes
                        return item
                    pause_s = None if self._resume_at is None else self._resume_at - self._clock()
                    if self._held and (pause_s is None or pause_s <= 0):
                        self._held, self._resume_at = False, None
                        break
                    self._changed.wait(pause_s)
            self._owner.resume(self)  # not under the lock, as the owner asks for it under its own

    def _handle(self, arrival: Arrival) -> None:
        try:
            self._handler(arrival)
        except Ended as e:
            log.error("The subscription to '%s' ends: %s", self.path, e.error)
            self._finish(e.error)
        except Exception as e:
            log.exception("The callback of the subscription to '%s' failed", self.path)
            if self._on_error == "end":
                self._finish(e)
        except BaseException as e:  # SystemExit, say: nobody else hears of it in this thread
            log.exception("The callback of the subscription to '%s' ended it", self.path)
            self._finish(e)
        else:
            self._seen(arrival)
            return
        if not self._closed:
            self._seen(arrival)

    def _seen(self, arrival: Arrival) -> None:
        if arrival.cursor is None:
            return
        if isinstance(self._cursor, dict):
            self._cursor = {**self._cursor, arrival.path: arrival.cursor}
        elif not self._wish.pattern:
            self._cursor = arrival.cursor

    def _notify(self, notice: Notice) -> None:
        if self._on_notice is not None:
            try:
                self._on_notice(notice)
            except Exception:
                log.exception("on_notice of the subscription to '%s' failed", self.path)
        elif notice.kind == "failed":
            log.error("The transform of the subscription to '%s' has failed: %s", self.path, notice.error)
        if notice.kind != "ended":
            return
        if notice.path != self.path:  # one stream of many
            if isinstance(self._cursor, dict):
                self._cursor = {path: cursor for path, cursor in self._cursor.items() if path != notice.path}
        else:
            if self._on_notice is None:
                log.error("The subscription to '%s' has ended: %s", self.path, notice.error)
            self._owner.forget(self)
            self._end(notice.error)

    def _finish(self, error: BaseException) -> None:
        """End because of *error*, and say so."""
        self._owner.forget(self)
        if not self._closed:
            self._notify(Notice("ended", self.path, None, error))


def check_callable(callback: object) -> None:
    """Raise `TypeError` if *callback* is no function."""
    if not callable(callback):
        raise TypeError(f"the callback is {callback!r:.60}; it has to be a function (streampath, data)")


def _copied(cursor: Cursor) -> Cursor:
    return dict(cursor) if isinstance(cursor, dict) else cursor
