"""A websocket as the rules see it: commands come in, answers and datapoints go out. Knows nothing of sockets."""

from __future__ import annotations

import asyncio
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from ..core.subscription import Start
from ..errors import Closed, Invalid, LimitReached, PermissionDenied, RequestError, ServerError, StoreError, Unavailable
from ..paths import parse_stream_path
from ..store.records import Mode
from ..wire import decode_points
from .commands import (
    BadCommand,
    Command,
    Id,
    Insert,
    NotACommand,
    Ping,
    Subscribe,
    Unsubscribe,
    UnsubscribeAll,
    decode,
)
from .complaints import Complaints
from .messages import FAILED, Form, Pack, done, failed, form_of
from .request import JSON_ERRORS, json_error, new_ref
from .state import RESTART, SHUTTING_DOWN, State
from .uploads import key_upload, told_of_key

if TYPE_CHECKING:
    from ..core import Actor
    from ..core.hub import Batch, Notice
    from ..core.subscription import Subscription
    from ..wire import InsertReport

__all__ = ["ABNORMAL", "NORMAL", "SILENT", "TOO_BIG", "Link", "Session"]

NORMAL = 1000
ABNORMAL = 1006
BAD_DATA = 1007
FORBIDDEN = 1008
TOO_BIG = 1009
SILENT = 1011
"""Codes with which a websocket is closed (RFC 6455)."""

WAITING_BYTES = 2
"""Commands under way may have so many times the length of the longest single one."""

_MODES = {"restamp": Mode.RESTAMP, "ordered": Mode.ORDERED, "merge": Mode.MERGE}
_DOWNLINK = "/downlink"
_known_path = lru_cache(maxsize=4096)(parse_stream_path)
PATH_LENGTH_MAX = 128
"""Longer ones (there can be more slashes than there need to be) are not remembered."""


def _stream_path(arg: str) -> tuple[str, str, str, bool]:
    return _known_path(arg) if len(arg) <= PATH_LENGTH_MAX else parse_stream_path(arg)


class Link(Protocol):
    """Where messages go to and come from.

    Attributes:
        pack: Makes of a message what `write` takes.
        full: As much waits to be sent as may. What has to be said can be written all the same.
        overfull: So much waits that no more is to be caused: commands have to wait as well.
    """

    pack: Pack
    full: bool

    @property
    def overfull(self) -> bool: ...

    @property
    def waiting_bytes(self) -> int:
        """How much waits to be sent."""

    def write(self, data: bytes) -> None:
        """Send what `pack` has made, soon, and together with what else is written meanwhile. Never blocks."""

    def confirm(self, then: Callable[[], None]) -> None:
        """Call *then* when the other side has got what has been written."""

    def hold(self, on: bool) -> None:
        """Read no more messages, or go on with that."""

    def close(self, code: int, reason: str) -> None:
        """Close, after what has been written. `Session.lost` is called when that is done, or has failed."""

    def abort(self) -> None:
        """Close at once."""


class Session:
    """One websocket of one actor.

    The link calls `receive`, `writable` and `lost`; the core delivers to it as to an outlet.

    Attributes:
        subscriber: What the core knows of it.
        closing: Nothing is delivered or taken any more.
    """

    __slots__ = (
        "_backlog",
        "_complaints",
        "_drain",
        "_has_downlinks",
        "_link",
        "_loop",
        "_queue",
        "_started",
        "_state",
        "_task",
        "_timer",
        "_tokens",
        "_turn_due",
        "_waiters",
        "_waiting",
        "_waiting_bytes",
        "_window_end",
        "actor_path",
        "closing",
        "messages_in",
        "messages_out",
        "ref",
        "subscriber",
    )

    def __init__(self, state: State, actor: Actor, login: str, link: Link, ref: str) -> None:
        """Begin.

        Args:
            login: By which credentials it is known who *actor* is; see `Request.login`.
            link: Which is open.
            ref: Finds the request that opened it in the log.
        """
        self._state = state
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._started = perf_counter()
        self.ref = ref
        self.actor_path = actor.path
        self.messages_in = 0
        self.messages_out = 0
        self.closing = False
        self._turn_due = False
        self._backlog: deque[bytes] | None = None
        self._queue: deque[tuple[Command, int]] | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiters: list[asyncio.Future[None]] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waiting = 0
        self._waiting_bytes = 0
        self._tokens = 0
        self._window_end = 0.0
        self._has_downlinks = False
        self._drain: tuple[int, str] | None = None
        self._complaints: Complaints | None = None
        state.sessions.add(self)
        self.subscriber = state.core.connect(actor, login, self)

    # What the link calls

    def receive(self, messages: Sequence[bytes]) -> None:
        """Take *messages*, in their order. Those for which it is too early are kept, and no more are read."""
        if self.closing or self._drain is not None:
            return
        now = self._loop.time()
        if now >= self._window_end:
            self._window_end = now + 1.0
            self._tokens = self._state.core.settings.live.messages_per_s
        if self._backlog:
            self._backlog.extend(messages)
            return
        for i, message in enumerate(messages):
            if not self._may_go_on():
                self._put_off(messages[i:])
                return
            self._take(message)
            if self.closing:
                return

    def writable(self) -> None:
        """Go on: what waited has been sent, or at least much of it."""
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)
        self._go_on()

    def lost(self, code: int, reason: str) -> None:
        """End: the link is closed. Both of *code* and *reason* are for the log."""
        self._end()
        self._state.sessions.discard(self)
        if self._state.log_requests:
            self._state.log.info(
                "websocket_closed",
                ref=self.ref,
                actor=self.actor_path,
                code=code,
                reason=reason,
                s=round(perf_counter() - self._started, 3),
                messages_in=self.messages_in,
                messages_out=self.messages_out,
            )

    def fail(self, code: int, reason: str) -> None:
        """Close the link because of what came over it."""
        if not self.closing:
            self._end()
            self._link.close(code, reason)

    def hang_up(self) -> None:
        """Deliver and take nothing more: the link is about to be closed."""
        self._end()

    def drain(self, code: int, reason: str) -> None:
        """Close the link as soon as the inserts that have been taken are answered; take nothing more."""
        if self.closing or self._drain is not None:
            return
        self._drain = (code, reason)
        self.subscriber.close()
        self._backlog = None
        if self._task is not None:
            self._task.cancel()
        queue, self._queue = self._queue, None
        for command, size in queue or ():
            self._refuse(command.id, command.name, Unavailable(SHUTTING_DOWN))
            self._finished(size)
        if self._waiting == 0:
            self.fail(code, reason)

    def abort(self) -> None:
        """Close the link at once."""
        self._link.abort()

    @property
    def waiting_bytes(self) -> int:
        """How much waits to be sent."""
        return self._link.waiting_bytes

    # What the core calls

    @property
    def full(self) -> bool:
        """See `connectordb.core.hub.Outlet`."""
        return self._link.full

    def offer(self, subscription: Subscription, batch: Batch) -> bool:
        """See `connectordb.core.hub.Outlet`."""
        link = self._link
        if link.full or self.closing:
            return False
        form: Form = subscription.tag
        data = form.encode(batch)
        if data:
            self.messages_out += 1
            link.write(data)
            if batch.downlinks and not form.modern:
                self._pushed(batch)
        return True

    def _pushed(self, batch: Batch) -> None:
        """A device of 0.3 does not say that it has what it is asked: that it answers a ping behind it tells as much."""
        device = self.subscriber.actor.device
        if device is not None and batch.path.startswith(self.subscriber.actor.path + "/"):
            core = self._state.core
            core.downlinks_pushed(batch.downlinks)
            self._link.confirm(partial(core.downlinks_pushed, batch.downlinks, confirmed=True))

    async def room(self) -> None:
        """See `connectordb.core.hub.Outlet`."""
        while True:
            if self.closing:
                raise Closed("the websocket has been closed")
            if not self._link.full:
                return
            waiter: asyncio.Future[None] = self._loop.create_future()
            if self._waiters is None:
                self._waiters = []
            self._waiters.append(waiter)
            await waiter

    def tell(self, subscription: Subscription, notice: Notice) -> None:
        """See `connectordb.core.hub.Outlet`."""
        form: Form = subscription.tag
        if form.modern and not self.closing:
            self.messages_out += 1
            self._link.write(form.tell(notice))

    def end(self, error: Exception) -> None:
        """See `connectordb.core.hub.Outlet`."""
        if isinstance(error, Unavailable):
            self.fail(RESTART, error.msg)
        else:
            self.fail(FORBIDDEN, error.msg if isinstance(error, RequestError | ServerError) else FAILED)

    # Commands

    def _may_go_on(self) -> bool:
        live = self._state.core.settings.live
        return (
            self._tokens > 0
            and self._waiting < live.commands_waiting_max
            and self._waiting_bytes < WAITING_BYTES * live.message_bytes_max
            and not self._link.overfull
        )

    def _put_off(self, messages: Sequence[bytes]) -> None:
        self._backlog = deque(messages)
        self._link.hold(True)
        self._wait_for_tokens()

    def _wait_for_tokens(self) -> None:
        if self._tokens <= 0 and self._timer is None:
            self._timer = self._loop.call_at(self._window_end, self._next_window)

    def _next_window(self) -> None:
        self._timer = None
        self._tokens = self._state.core.settings.live.messages_per_s
        self._window_end = self._loop.time() + 1.0
        self._go_on()

    def _go_on(self) -> None:
        """Take what has been put off, as far as that is possible now."""
        backlog = self._backlog
        if backlog is None:
            return
        while backlog and not self.closing and self._may_go_on():
            self._take(backlog.popleft())
        if self.closing or self._drain is not None:
            self._backlog = None
        elif backlog:
            self._wait_for_tokens()
        else:
            self._backlog = None
            self._link.hold(False)

    def _take(self, message: bytes) -> None:
        self.messages_in += 1
        self._tokens -= 1
        try:
            command = decode(message)
        except NotACommand as e:
            self.fail(BAD_DATA, str(e))
            return
        except BadCommand as e:
            self._refuse(e.id, e.cmd, e.error)
            return
        size = len(message)
        self._waiting += 1
        self._waiting_bytes += size
        # A subscription may take a moment to begin; what comes behind it is not to overtake it.
        if self._queue is not None:
            self._queue.append((command, size))
        elif isinstance(command, Subscribe):
            self._queue = deque([(command, size)])
            self._task = self._loop.create_task(self._work(self._queue))
        else:
            self._carry_out(command, size)

    async def _work(self, queue: deque[tuple[Command, int]]) -> None:
        """Carry out what waits, one after the other."""
        while queue:
            command, size = queue.popleft()
            if not isinstance(command, Subscribe):
                self._carry_out(command, size)
                continue
            try:
                self._done(command.id, await self._subscribe(command))
            except Exception as e:
                self._failed(command, e)
            finally:
                self._finished(size)
        self._queue = self._task = None

    def _carry_out(self, command: Command, size: int) -> None:
        match command:
            case Insert():
                self._insert(command, size)
                return
            case Unsubscribe():
                self.subscriber.unsubscribe(command.arg, command.transform or "")
            case UnsubscribeAll():
                self.subscriber.unsubscribe_all()
            case Ping():
                pass
        self._done(command.id)
        self._finished(size)

    async def _subscribe(self, command: Subscribe) -> dict[str, Any]:
        arg, transform = command.arg, command.transform or ""
        subscriptions = self.subscriber.subscriptions
        limit = self._state.core.settings.live.subscriptions_max
        if len(subscriptions) >= limit and (arg, transform) not in subscriptions:
            raise LimitReached(f"this connection has {limit} subscriptions already, which is the most it may have")
        modern = command.id is not None
        form = form_of(self._link.pack, modern, arg if arg.endswith("*") else "", transform, command.requests)
        start = Start(command.cursor, command.since, command.i1, command.cursors)
        if arg.endswith(_DOWNLINK):
            self._has_downlinks = True
        return await self.subscriber.subscribe(arg, transform, start, requests=command.requests, tag=form)

    def _insert(self, command: Insert, size: int) -> None:
        try:
            user, device, stream, downlink = _stream_path(command.arg)
            if not self.subscriber.check():  # what it logged in with is not valid any more: it is closed
                self._finished(size)
                return
            actor = self.subscriber.actor
            if command.id is None and self._has_downlinks and actor.path != f"{user}/{device}":
                self._guard(f"{user}/{device}/{stream}")
            mode = _MODES.get(command.mode)
            if mode is None:
                raise Invalid(f"there is no mode {command.mode[:40]!a}: there are {', '.join(_MODES)}")
            body = bytes(command.d)
            try:
                points = decode_points(body)
            except JSON_ERRORS as e:
                raise json_error(e, body) from None
            upload = None
            if command.key is not None:
                lifetime_s = self._state.core.settings.limits.idempotency_s
                upload = key_upload(command.key.encode("utf-8", "surrogatepass"), mode, body, lifetime_s)
            self._state.core.begin_insert(
                actor,
                (user, device, stream),
                points,
                mode,
                downlink=downlink,
                upload=upload,
                then=partial(self._inserted, command, size),
            )
        except Exception as e:
            self._failed(command, e)
            self._finished(size)

    def _inserted(self, command: Insert, size: int, result: InsertReport | BaseException) -> None:
        if isinstance(result, BaseException):
            self._failed(command, told_of_key(result) if command.key is not None else result)
        else:
            self._state.stored(result)
            self._done(command.id)
        self._finished(size)

    def _guard(self, path: str) -> None:
        """Refuse what would come back for ever.

        Old clients answer what comes through a downlink by inserting it into the stream. Unless the stream is their
        own, that goes to its downlink again.
        """
        if any(arg == path + _DOWNLINK for arg, _ in self.subscriber.subscriptions):
            raise PermissionDenied(
                f"what this connection inserts into '{path}' comes back to it through the downlink that it has "
                "subscribed to, and so for ever: only the device that owns the stream can acknowledge"
            )

    # Answers

    def _done(self, id_: Id, more: dict[str, Any] | None = None) -> None:
        if id_ is not None:
            self._answer(done(id_, more))

    def _failed(self, command: Command, error: BaseException) -> None:
        state = self._state
        if isinstance(error, RequestError | ServerError):
            self._refuse(command.id, command.name, error)
            return
        ref = new_ref()
        if isinstance(error, StoreError):
            state.log.error("store_error", ref=ref, error=str(error))
            told: ServerError = state.store_failed(
                error, writing=isinstance(command, Insert), openly=self.subscriber.actor.is_root
            )
        else:
            state.log.error("failed", ref=ref, traceback="".join(traceback.format_exception(error)))
            told = ServerError("the server failed; its log tells more under this ref")
        if command.id is not None:
            self._answer(failed(command.id, told, ref))

    def _refuse(self, id_: Id, cmd: str, error: RequestError | ServerError) -> None:
        if self._complaints is None:
            self._complaints = Complaints(self._state.log, self.ref, self.actor_path, self._state.log_requests)
        ref = self._complaints.add(cmd, error, answered=id_ is not None)
        if id_ is not None:
            self._answer(failed(id_, error, ref))

    def _answer(self, message: bytes) -> None:
        if not self.closing:
            self.messages_out += 1
            self._link.write(self._link.pack(message))

    def _finished(self, size: int) -> None:
        """A command is not under way any more."""
        self._waiting -= 1
        self._waiting_bytes -= size
        if (self._backlog is not None or self._drain is not None) and not self._turn_due:
            self._turn_due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Go on after commands have been carried out."""
        self._turn_due = False
        if self._drain is not None and self._waiting == 0:
            self.fail(*self._drain)
        self._go_on()

    def _end(self) -> None:
        """Deliver and take nothing more."""
        if self.closing:
            return
        self.closing = True
        self.subscriber.close()
        self._backlog = None
        if self._task is not None:
            self._task.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._complaints is not None:
            self._complaints.close()
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)
