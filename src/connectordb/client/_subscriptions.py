"""All subscriptions of one session: the connection they share, and the thread that receives."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from ..errors import Closed, RequestError, ServerError, TimedOut, TransportError, Unauthenticated
from ..wire import API
from ._backoff import Backoff
from ._breaker import Breaker
from ._feed import Confirmed, Feed, Refused, Start, Told, Wish, WishState
from ._requests import Memory
from ._socket import Socket
from ._subscription import Handler, OnError, OnNotice, Subscription

if TYPE_CHECKING:
    from ._session import Session

__all__ = ["Subscriptions"]

log = logging.getLogger("connectordb")

TARGET = f"{API}/websocket"
GOOD_S = 10.0
"""A connection that lasted that long was a good one: after it, pauses are short again."""
CLOSE_PATIENCE_S = 10.0
"""How long `Subscriptions.join` waits for callbacks that are under way, all together."""
POLICY_VIOLATION = 1008
"""The code of a connection that is closed because its right is withdrawn."""


class Subscriptions:
    """The subscriptions of a session, over one websocket.

    One thread connects, receives, and connects again when the connection breaks while there are subscriptions. Each
    subscription has a thread for its callback: no number of slow ones delays another, as it would where they share a
    pool of threads; and a callback may use what belongs to a thread, such as a connection of `sqlite3`.

    It belongs to the process that made it; one that was forked makes its own.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()  # guards all below, and is never held while something is sent
        self._sending = threading.Lock()  # so that messages go out in the order of the outbox
        self._feed = Feed()
        self._all: dict[Wish, Subscription] = {}
        self._outbox: deque[str] = deque()
        self._socket: Socket | None = None
        self._breaker = Breaker()  # of the connection that is being made
        self._thread: threading.Thread | None = None
        self._ending: list[Subscription] = []
        self._wake = threading.Event()
        self._closed = False
        self.memory = Memory()
        self.token = os.urandom(16).hex()
        """By this the server knows which process of a device has taken on a request."""

    def subscribe(
        self,
        arg: str,
        transform: str,
        handler: Handler,
        *,
        start: Start | None = None,
        requests: bool = False,
        on_notice: OnNotice | None = None,
        on_error: OnError = "continue",
    ) -> Subscription:
        """Subscribe, and wait until the server has confirmed it. One of the same *arg* and *transform* ends.

        Raises:
            RequestError, ServerError: the server refused it.
            ValueError: *on_error* is neither ``continue`` nor ``end``.
            TransportError: there is no connection, and none can be made.
        """
        if on_error not in ("continue", "end"):
            raise ValueError(f"on_error is {on_error!r}; it has to be 'continue' or 'end'")
        wish = Wish(arg, transform, requests=requests, start=start)
        subscription = Subscription(self, wish, handler, on_notice, on_error)
        with self._lock:
            if self._closed or self._session.closing.is_set():
                raise Closed("this client has been closed")
            earlier = [known for known in self._all if known.key == wish.key]
            replaced = [self._all.pop(known) for known in earlier]
            self._all[wish] = subscription
            self._ending += replaced
            self._outbox.extend(self._feed.add(wish))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="connectordb-live", daemon=True)
                self._thread.start()
            self._wake.set()
        for old in replaced:
            old.end(None)
            old.give_up("another subscription has taken its place")
        try:
            self._flush()
            if not subscription.wait_answered(self._session.timeout_s):
                raise TimedOut(f"the server did not answer within {self._session.timeout_s} s")
            subscription.start()
        except BaseException:
            subscription.close()
            raise
        return subscription

    def unsubscribe(self, arg: str, transform: str) -> None:
        """End the subscription of that name, if there is one."""
        with self._lock:
            found = [subscription for wish, subscription in self._all.items() if wish.key == (arg, transform)]
        for subscription in found:
            subscription.close()

    def forget(self, subscription: Subscription) -> None:
        """It ends: tell the server."""
        wish = subscription._wish
        with self._lock:
            if self._all.pop(wish, None) is None:
                return
            self._ending = [known for known in self._ending if known.running] + [subscription]
            self._outbox.extend(self._feed.remove(wish))
        self._flush()

    def resume(self, subscription: Subscription) -> None:
        """It has room again: go on with what comes after what it has taken."""
        with self._lock:
            self._outbox.extend(self._feed.resume(subscription._wish))
        self._flush()

    def stop(self) -> None:
        """End all: nothing more is received, and no callback is called any more. Those which run go on."""
        with self._lock:
            self._closed = True
            self._ending += self._all.values()
            self._all.clear()
            socket = self._socket
        self._wake.set()
        for subscription in self._ending:
            subscription.end(None)
            subscription.refuse(Closed("this client has been closed"))
        self._breaker.close()
        if socket is not None:
            socket.close()

    @property
    def in_callback(self) -> bool:
        """Whether a callback is asking, after `stop`."""
        return any(subscription.in_own_thread for subscription in self._ending)

    def join(self) -> None:
        """Wait until all threads are gone, after `stop`; but for callbacks which take very long."""
        end = time.monotonic() + CLOSE_PATIENCE_S
        for subscription in self._ending:
            if not subscription.join(max(0.0, end - time.monotonic())):
                log.warning("The callback of the subscription to '%s' still runs", subscription.path)
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(CLOSE_PATIENCE_S)

    # -- the thread that receives ------------------------------------------------------------------------------------

    def _run(self) -> None:
        backoff = Backoff(self._session.rand)
        warned: TransportError | None = None  # that the credentials are good no longer
        while not self._over():
            self._wake.clear()
            headers = self._session.headers
            try:
                socket = self._session.transport.websocket(
                    TARGET, headers=headers, timeout_s=self._session.timeout_s, breaker=self._breaker
                )
            except Exception as e:
                if not isinstance(e, RequestError | ServerError | TransportError):
                    log.exception("The subscriptions met an error that should not be")
                if isinstance(e, Unauthenticated) and headers is self._session.headers:
                    self._end_all(e if warned is None else _denied(warned))
                else:
                    self._refuse_new(e)
            else:
                began = self._session.clock()
                lost = self._receive_all(socket)
                good = self._session.clock() - began >= GOOD_S
                if good:
                    backoff.reset()
                if not isinstance(lost, TransportError) or getattr(lost, "code", 0) != POLICY_VIOLATION:
                    warned = None
                elif warned is None or good:
                    # The credentials may have been replaced by this very client: whether they are good, shows now.
                    warned = lost
                else:
                    self._end_all(_denied(lost))
                if not self._closed:
                    log.info("The subscriptions of %s have no connection: %s", self._session.transport.url, lost)
            if self._over():
                return
            self._wake.wait(backoff.next_s())

    def _over(self) -> bool:
        """Whether there is nothing more to do for the thread. Then it has to end: the next wish begins another."""
        with self._lock:
            if self._closed or self._session.closed.is_set() or not self._all:
                self._thread = None
                return True
            return False

    def _receive_all(self, socket: Socket) -> Exception:
        """Receive until the connection is gone, and return why it is."""
        with self._lock:
            self._socket = socket
            self._outbox.clear()
            self._outbox.extend(self._feed.connected())
        try:
            self._flush()
            while not self._closed:
                self._take(socket.recv())
            return Closed("this client has been closed")
        except (TransportError, ServerError) as e:
            return e
        except Exception as e:
            log.exception("The subscriptions met an error that should not be")
            return e
        finally:
            with self._lock:
                self._socket = None
                self._outbox.clear()
                self._feed.disconnected()
            socket.close()

    def _take(self, text: str) -> None:
        with self._lock:
            for event in self._feed.received(text):
                subscription = self._all.get(event[0])
                if subscription is None:
                    continue
                if isinstance(event, Confirmed):
                    subscription.confirm()
                elif isinstance(event, Told):
                    subscription.tell(event.notice)
                elif isinstance(event, Refused):
                    self._refused(subscription, event)
                else:
                    wish, arrival = event
                    if wish.state is WishState.HELD:  # since the arrival before, of the same message
                        continue
                    if subscription.offer(arrival):
                        wish.take(arrival)
                    else:
                        self._outbox.extend(self._feed.hold(wish))
        if self._outbox:
            self._flush()

    def _refused(self, subscription: Subscription, refused: Refused) -> None:
        if not subscription.answered:
            subscription.refuse(refused.error)
        elif refused.wish in self._feed:  # held: it may go by
            subscription.resume_after(Backoff(self._session.rand).next_s())
        else:
            subscription.end(refused.error)

    def _refuse_new(self, error: Exception) -> None:
        """There is no connection: those who wait in `subscribe` are told."""
        with self._lock:
            new = [subscription for subscription in self._all.values() if not subscription.answered]
        for subscription in new:
            subscription.refuse(error)

    def _end_all(self, error: RequestError) -> None:
        with self._lock:
            subscriptions = list(self._all.values())
            for wish in self._all:
                self._feed.remove(wish)
            self._all.clear()
            self._ending += subscriptions
        for subscription in subscriptions:
            if subscription.answered:
                subscription.end(error)
            else:
                subscription.refuse(error)

    def _flush(self) -> None:
        """Send what is in the outbox, if there is a connection; else it is asked for anew when there is."""
        with self._sending:
            while True:
                with self._lock:
                    socket = self._socket
                    if socket is None or not self._outbox:
                        return
                    message = self._outbox.popleft()
                try:
                    socket.send(message)
                except TransportError:  # the receiving thread sees it too
                    return


def _denied(why: TransportError) -> Unauthenticated:
    reason = getattr(why, "reason", "") or str(why)
    return Unauthenticated(f"the server has closed the connection: {reason}", status=401)
