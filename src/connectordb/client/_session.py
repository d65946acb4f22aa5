"""Sending calls: who asks, what is repeated when, and what a bad answer means."""

from __future__ import annotations

import math
import os
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TypeVar
from weakref import WeakSet

import msgspec

from ..errors import Closed, ConnectFailed, InvalidValue, RequestError, ServerError, TransportError
from . import _calls
from ._calls import Call
from ._transport import Reply, Transport

if TYPE_CHECKING:
    from ._live import Live
    from ._subscriptions import Subscriptions

__all__ = ["DEADLINE_S", "RETRIES", "ROOT", "TIMEOUT_S", "Credentials", "Session"]

T = TypeVar("T")

TIMEOUT_S = 30.0
RETRIES = 4
DEADLINE_S = 60.0
ROOT = "root"
"""The local administrator, as the server calls it."""

BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 10.0
LATE_S = 5.0
"""How much later than promised the answer to a call that waits may come."""
GRACE_S = 0.4
"""The same, when the caller has said for how long to wait."""

_NOT_DONE = (429, 503)
"""Answers which say that the request was not carried out, and may be later."""
_GATEWAY = (502, 504)
"""Answers of a proxy whose server did not answer: as good as none."""


class Credentials(NamedTuple):
    """Who asks. With an API key the user is empty, and the key is the password; all empty is nobody."""

    user: str = ""
    password: str = ""

    def headers(self) -> dict[str, str]:
        """The header which says so. Raises `InvalidValue` if it cannot be written."""
        if not self.user and not self.password:
            return {}
        try:
            token = b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")
        except UnicodeEncodeError:  # which would show the password
            raise InvalidValue(
                "the user name, password or API key is not valid Unicode (it has half of a surrogate pair)"
            ) from None
        return {"Authorization": f"Basic {token}"}


class Session:
    """Sends calls over a transport. May be shared by threads.

    A call is sent again, after a pause that doubles each time and is chosen at random below that, when

    * no connection could be made, so that nothing was sent,
    * the server answered 429 or 503, so that nothing was done (``Retry-After`` is honoured),
    * the answer was lost, or a proxy answered 502 or 504, and the call is repeatable.

    Args:
        transport: How requests get to the server.
        credentials: Who asks.
        timeout_s: How long to wait for the server to begin an answer, and for each further piece of it.
        retries: How many times more a call is sent at most; 0: never.
        deadline_s: No call is sent again later than this after its first time.
        sleep: Waits so many seconds. By default a wait ends early when the session is closed.
        rand: Gives a random number in ``[0, 1)``.
        clock: Gives seconds of a clock that never goes back.
    """

    def __init__(
        self,
        transport: Transport,
        credentials: Credentials,
        *,
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
        deadline_s: float = DEADLINE_S,
        sleep: Callable[[float], object] | None = None,
        rand: Callable[[], float] | None = None,
        clock: Callable[[], float] = time.monotonic,
        closed: threading.Event | None = None,
    ) -> None:
        if timeout_s <= 0 or retries < 0 or deadline_s < 0:
            raise ValueError("timeout has to be more than 0; retries and deadline must not be negative")
        self.transport = transport
        self.credentials = credentials
        self._timeout_s = timeout_s
        self._retries = retries
        self._deadline_s = deadline_s
        self._closed = threading.Event() if closed is None else closed
        self._closing = threading.Event()
        self._sleep = self._closed.wait if sleep is None else sleep
        self._own_sleep = sleep
        self._rand = _random if rand is None else rand
        self._clock = clock
        # What goes on for long, by process: one that was forked makes its own, and needs no lock for it.
        self._subscriptions: dict[int, Subscriptions] = {}
        self._waiting: dict[int, Transport] = {}
        self._lives: WeakSet[Live] = WeakSet()
        self._lives_lock = threading.Lock()

    @property
    def credentials(self) -> Credentials:
        """Who asks."""
        return self._credentials

    @credentials.setter
    def credentials(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._who: str | None = None
        self._headers: Mapping[str, str] = {"User-Agent": _user_agent(), **credentials.headers()}

    @property
    def headers(self) -> Mapping[str, str]:
        """What each request has to say, of who asks for example. Another object when that changes."""
        return self._headers

    @property
    def timeout_s(self) -> float:
        """How long to wait for an answer."""
        return self._timeout_s

    @property
    def closed(self) -> threading.Event:
        """Set when this session is closed."""
        return self._closed

    @property
    def closing(self) -> threading.Event:
        """Set when this session begins to close: nothing that goes on for long is begun any more."""
        return self._closing

    @property
    def rand(self) -> Callable[[], float]:
        """Gives a random number in ``[0, 1)``."""
        return self._rand

    @property
    def clock(self) -> Callable[[], float]:
        """Gives seconds of a clock that never goes back."""
        return self._clock

    @property
    def subscriptions(self) -> Subscriptions:
        """The subscriptions of this session, in this process."""
        found = self._subscriptions.get(os.getpid())
        if found is None:
            from ._subscriptions import Subscriptions

            found = self._subscriptions.setdefault(os.getpid(), Subscriptions(self))
        return found

    def opened(self, live: Live) -> None:
        """Close *live* together with this session. Raises `Closed` if that has happened."""
        with self._lives_lock:
            if self._closing.is_set() or self._closed.is_set():
                raise Closed("this client has been closed")
            self._lives.add(live)

    @property
    def who(self) -> str:
        """The path of the device that asks, ``nobody``, or ``root``. The server is asked once."""
        if self._who is None:
            self._who = self.run(_calls.this())
        return self._who

    def sibling(self, credentials: Credentials) -> Session:
        """Return a session of somebody else over the same transport. It is closed together with this one."""
        sibling = Session(
            self.transport,
            credentials,
            timeout_s=self._timeout_s,
            retries=self._retries,
            deadline_s=self._deadline_s,
            sleep=self._own_sleep,
            rand=self._rand,
            clock=self._clock,
            closed=self._closed,
        )
        sibling._closing = self._closing
        return sibling

    def run(self, call: Call[T], *, give_up_s: float | None = None, into: BinaryIO | None = None) -> T:
        """Send *call* and return its result.

        Args:
            call: What to send.
            give_up_s: It is not sent again later than this, and if it is one that waits, its answer is not waited for
                any longer. ``None``: as the session was told.
            into: A file that gets the body of a good answer, as it comes, in the place of all that it holds; *call*
                reads an empty one then.

        Raises:
            RequestError: the server refused it.
            ServerError: the server failed, or answered something that is no answer.
            TransportError: no answer came. If the call is not repeatable, it may or may not have been carried out.
            Closed: the session has been closed.
        """
        began = self._clock()
        give_up = began + (self._deadline_s if give_up_s is None else min(give_up_s, self._deadline_s))
        maybe_done = False
        attempt = 0
        while True:
            if self._closed.is_set():
                raise Closed("this client has been closed")
            reply: Reply | None = None
            try:
                left_s = math.inf if give_up_s is None else max(0.0, began + give_up_s - self._clock())
                reply = self._send(call, into, left_s)
                if 200 <= reply.status < 300:
                    return self._read(call, reply)
                error: TransportError | RequestError | ServerError
                error = _calls.error_of(reply.status, reply.headers, reply.body)
            except TransportError as e:
                error = e
            if maybe_done and self._was_deleted(call, error):
                return call.read(b"ok")
            not_done = isinstance(error, ConnectFailed) or (reply is not None and reply.status in _NOT_DONE)
            lost = reply is None or reply.status in _GATEWAY
            wait_s = self._wait_s(attempt, reply)
            if (
                attempt >= self._retries
                or not (not_done or (lost and call.repeatable))
                or self._clock() + wait_s > give_up
            ):
                raise error
            maybe_done = maybe_done or not not_done
            attempt += 1
            self._sleep(wait_s)

    def close(self) -> None:
        """Close all connections, and end all waiting for another attempt. Calls raise `Closed` from then on.

        First the iterations over live streams end, and subscriptions receive nothing more. Callbacks which run may come
        to their end, and what they return to requests still goes out: they have ten seconds, and none is called any
        more. Closed from within a callback, this returns at once, and the session closes after the callback.
        """
        self._closing.set()
        with self._lives_lock:
            lives = list(self._lives)
        for live in lives:
            live.close()
        subscriptions = self._subscriptions.get(os.getpid())
        if subscriptions is None:
            self._close()
            return
        subscriptions.stop()
        if subscriptions.in_callback:
            # No daemon: an interpreter that ends waits for it, and with it for the answers.
            closer = threading.Thread(
                target=self._close_after, args=(subscriptions,), name="connectordb-close", daemon=False
            )
            closer.start()
        else:
            self._close_after(subscriptions)

    def _close_after(self, subscriptions: Subscriptions) -> None:
        subscriptions.join()
        self._close()

    def _close(self) -> None:
        self._closed.set()
        waiting = self._waiting.pop(os.getpid(), None)
        if waiting is not None:
            waiting.close()
        self.transport.close()

    def _send(self, call: Call[T], into: BinaryIO | None = None, left_s: float = math.inf) -> Reply:
        if call.wait_s is None:
            transport, timeout_s = self.transport, self._timeout_s
        else:
            transport = self._transport_to_wait()
            timeout_s = min(call.wait_s + min(LATE_S, self._timeout_s), left_s + GRACE_S)
        headers = {**self._headers, **call.headers}
        if into is None:
            return transport.request(call.method, call.target, headers=headers, body=call.body, timeout_s=timeout_s)
        with transport.stream(call.method, call.target, headers=headers, body=call.body, timeout_s=timeout_s) as reply:
            if not 200 <= reply.status < 300:
                return Reply(reply.status, reply.headers, b"".join(reply.iter_bytes()))
            into.seek(0)
            into.truncate()
            for piece in reply.iter_bytes():
                into.write(piece)
            return Reply(reply.status, reply.headers, b"")

    def _transport_to_wait(self) -> Transport:
        """Carries what the server takes its time for, so that it is not in the way of the rest."""
        pid = os.getpid()
        found = self._waiting.get(pid)
        if found is None:
            made = self.transport.clone()
            found = self._waiting.setdefault(pid, made)
            if found is not made:
                made.close()
        return found

    def _read(self, call: Call[T], reply: Reply) -> T:
        try:
            return call.read(reply.body)
        except (msgspec.MsgspecError, ValueError, RecursionError) as e:
            raise ServerError(
                f"{self.transport.url} answered {call.method} {call.target.partition('?')[0]} with something that "
                f"no ConnectorDB server answers ({e}): {_excerpt(reply.body)}",
                status=reply.status,
            ) from e

    def _was_deleted(self, call: Call[T], error: Exception) -> bool:
        """Whether *error* only says that an attempt before, whose answer was lost, did delete the thing."""
        if call.method != "DELETE" or "Idempotency-Key" in call.headers:  # with a key, the answer comes again
            return False
        if not isinstance(error, RequestError) or error.status not in (403, 404):
            return False
        try:
            return self._send(Call("GET", call.target, bytes)).status == 404
        except (TransportError, ServerError):
            return False

    def _wait_s(self, attempt: int, reply: Reply | None) -> float:
        backoff_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0**attempt) * self._rand()
        return backoff_s + (_retry_after_s(reply) if reply is not None else 0.0)


def _retry_after_s(reply: Reply) -> float:
    """What the server asks to wait; 0 if it asks nothing, or nothing that makes sense."""
    value = reply.headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value)
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0


def _excerpt(body: bytes) -> str:
    text = ascii(body[:80].decode("utf-8", "replace"))
    return text if len(body) <= 80 else text[:-1] + "...'"


def _random() -> float:
    import random  # not needed unless something fails

    return random.random()


def _user_agent() -> str:
    from .. import __version__

    return f"connectordb-python/{__version__}"
