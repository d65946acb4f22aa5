"""Requests to this device: each is taken on, done once, and answered."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ..datapoints import DatapointArray
from ..errors import (
    Closed,
    Conflict,
    ConnectorDBError,
    Invalid,
    InvalidValue,
    PermissionDenied,
    TimestampOrder,
    TooLarge,
    TransportError,
)
from . import _calls
from ._backoff import Backoff
from ._encode import encode_points
from ._feed import Arrival, may_go_by
from ._subscription import Callback, Ended, check_callable

if TYPE_CHECKING:
    from ._session import Session

__all__ = ["Memory", "RequestHandler", "refuse_result"]

log = logging.getLogger("connectordb")

Answer = dict[str, Any]
Key = tuple[str, int, float]
"""A request: the stream, its number, and its time (after a restored backup, a number may come again)."""
REMEMBERED_MAX = 10_000
"""How many requests are known again when they come twice."""
MSG_CHARS_MAX = 1000
_BAD_ANSWER = (Invalid, PermissionDenied, TimestampOrder, TooLarge)
"""What is wrong with the datapoints that a callback has returned."""


class _Request(msgspec.Struct):
    id: int
    t: float = 0.0
    d: Any = None
    o: str | None = None
    state: str = "queued"

    @property
    def point(self) -> _calls.Point:
        point: _calls.Point = {"t": self.t, "d": self.d}
        if self.o is not None:
            point["o"] = self.o
        return point


class Memory:
    """What this process has taken on, and how it has answered. It forgets the oldest.

    A request that is not among it and is said to have been delivered was taken on by another process, or an earlier
    one: whether it was done, nobody knows. So forgetting never lets one be done twice.

    Several threads may use it, as several subscriptions may meet the same request.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: OrderedDict[Key, Answer | None] = OrderedDict()

    def take_on(self, key: Key) -> bool:
        """Note that it is being done; ``False`` if that is noted already."""
        with self._lock:
            if key in self._answers:
                return False
            self._answers[key] = None
            if len(self._answers) > REMEMBERED_MAX:
                self._answers.popitem(last=False)
            return True

    def forget(self, key: Key) -> None:
        """It is not for this process."""
        with self._lock:
            self._answers.pop(key, None)

    def answered(self, key: Key, answer: Answer) -> None:
        """Note how it was answered."""
        with self._lock:
            if key in self._answers:
                self._answers[key] = answer

    def answer(self, key: Key) -> Answer | None:
        """How it was answered; ``None``: not yet."""
        with self._lock:
            return self._answers.get(key)


class RequestHandler:
    """Does what others ask of this device, by a callback.

    Args:
        session: Of the device.
        callback: Gets the path of the downlink, and the request as an array of one datapoint. It returns ``True`` when
            it has been done, the datapoints that say what has been done, or ``False`` or ``None`` when it has not.
        memory: Shared by all handlers of the session.
        token: By this the server knows the session.
        transformed: What the callback gets is not what was asked, but what a script has made of it.
    """

    def __init__(
        self, session: Session, callback: Callback, memory: Memory, token: str, *, transformed: bool = False
    ) -> None:
        check_callable(callback)
        self._session = session
        self._callback = callback
        self._memory = memory
        self._token = token
        self._transformed = transformed

    def __call__(self, arrival: Arrival) -> None:
        """See `Handler`."""
        request = _decode(memoryview(arrival.body))
        stream = arrival.path.removesuffix("/downlink")
        key = (stream, request.id, request.t)
        if not self._memory.take_on(key):  # it came again, as the connection broke
            known = self._memory.answer(key)
            if known is not None:
                self._send(stream, request, known)
            return
        if not self._claim(stream, request):
            self._memory.forget(key)
            return
        error: BaseException | None = None
        try:
            answer = self._answer_of(request, self._callback(arrival.path, DatapointArray([request.point])))
        except BaseException as e:
            answer, error = self._refusal(f"{type(e).__name__}: {e}"), e
        self._memory.answered(key, answer)
        self._memory.answered(key, self._send(stream, request, answer))
        if error is not None:
            raise error

    def _claim(self, stream: str, request: _Request) -> bool:
        """Take on *request*; whether it is for this process to do."""
        if request.state != "queued":
            log.warning(
                "Request %d to '%s' is not done: it is %s, so another process, or an earlier one, has taken it on",
                request.id,
                stream,
                request.state,
            )
            return False
        body = msgspec.json.encode({"state": "delivered", "by": self._token})
        try:
            if self._session.closing.is_set():
                return False
            self._persist(_calls.answer_downlink(stream, request.id, body), at_close=False)
        except Conflict as e:
            log.info("Request %d to '%s' is not for this process: %s", request.id, stream, e)
            return False
        except ConnectorDBError as e:
            if not self._session.closing.is_set():
                log.warning("Request %d to '%s' is not done, as it cannot be taken on: %s", request.id, stream, e)
            return False
        return True

    def _answer_of(self, request: _Request, result: Any) -> Answer:
        if result is None or result is False:
            return self._refusal("")
        answer: Answer = {"state": "acknowledged", "by": self._token}
        if result is True:
            done = [{"d": request.d}]
            return {**answer, "d": msgspec.Raw(encode_points(done))} if self._transformed else answer
        if isinstance(result, Mapping | str | bytes) or not isinstance(result, Iterable):
            raise InvalidValue(
                f"the callback returned {result!r:.60}; it has to return True, False, None, or a list of datapoints"
            )
        return {**answer, "d": msgspec.Raw(encode_points(list(result)))}

    def _refusal(self, msg: str) -> Answer:
        text = msg[:MSG_CHARS_MAX].encode("utf-8", "replace").decode()
        return {"state": "refused", "by": self._token, **({"msg": text} if text else {})}

    def _send(self, stream: str, request: _Request, answer: Answer) -> Answer:
        """Bring *answer* to the server; return what it has taken instead if it does not take that."""
        try:
            self._persist(_calls.answer_downlink(stream, request.id, msgspec.json.encode(answer)), at_close=True)
        except ConnectorDBError as e:
            if isinstance(e, Conflict) and not isinstance(e, TimestampOrder):  # it is settled
                log.warning("The answer to request %d to '%s' comes too late: %s", request.id, stream, e)
                return answer
            log.error("The server does not have the answer to request %d to '%s': %s", request.id, stream, e)
            if answer["state"] == "acknowledged" and isinstance(e, _BAD_ANSWER):
                return self._send(stream, request, self._refusal(f"the answer was not taken: {e.msg}"))
        return answer

    def _persist(self, call: _calls.Call[_calls.Fields], *, at_close: bool) -> None:
        """Send *call* until it is answered, for as long as the client is open.

        Args:
            call: What to send.
            at_close: Try once more when the client is closed meanwhile.
        """
        backoff = Backoff(self._session.rand)
        while True:
            closing = self._session.closing.is_set()
            if closing and not at_close:
                raise Closed("this client has been closed")
            try:
                self._session.run(call, give_up_s=0.0 if closing else None)
                return
            except ConnectorDBError as e:
                if closing or not (isinstance(e, TransportError) or may_go_by(e)):
                    raise
                log.info("The server does not answer, and is asked again: %s", e)
            self._session.closing.wait(backoff.next_s())


def refuse_result(path: str, result: Any) -> None:
    """Stop a callback that acknowledges requests to somebody else's device.

    An acknowledgement is written to the stream by its own device. From anybody else it would be one more request,
    which comes back to the callback, which acknowledges it, for ever.
    """
    if result is True or isinstance(result, list | tuple):
        error = PermissionDenied(
            f"only the device that owns '{path.removesuffix('/downlink')}' acknowledges requests to it; what the "
            "callback returned would be one more request, and come back for ever: return None to just look on"
        )
        raise Ended(error)


_decode = msgspec.json.Decoder(_Request).decode
