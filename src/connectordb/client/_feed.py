"""What the subscriptions of one connection are, and what its messages mean. No input or output happens here.

A *wish* is what somebody wants to be told of. It is waiting until the server has been asked, asked until it has
answered, and then live; or it is held, because its reader takes nothing now. What comes for a wish that is not live
belongs to an earlier subscription of the same name, and is dropped: the cursor says where to go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, NamedTuple

import msgspec

from ..datapoints import Time, to_timestamp
from ..errors import ConnectorDBError, InvalidRange, RequestError, ServerError, Unsupported, from_wire

__all__ = [
    "Arrival",
    "Confirmed",
    "Corrected",
    "Event",
    "Feed",
    "Notice",
    "Refused",
    "Start",
    "Told",
    "Wish",
    "WishState",
    "may_go_by",
]

PER_ARRIVAL_BYTES = 512
"""What a message takes in memory besides its datapoints, about."""


class Start(NamedTuple):
    """Where a subscription begins; with nothing given, with what comes from now on. At most one is given.

    Attributes:
        since: With the datapoints after this time, in seconds since the Unix epoch.
        i1: With this index. Negative: from the end.
        cursor: With what came after this cursor; of a pattern, a cursor for each stream.
    """

    since: float | None = None
    i1: int | None = None
    cursor: str | Mapping[str, str] | None = None

    @classmethod
    def of(cls, since: Time | None, i1: int | None, cursor: str | Mapping[str, str] | None) -> Start:
        """Return it as a user gives it. Raises `InvalidRange`, `InvalidValue`."""
        if (since is not None) + (i1 is not None) + (cursor is not None) > 1:
            raise InvalidRange("it begins at one of since, i1 and cursor, not at several of them")
        return cls(None if since is None else to_timestamp(since), i1, cursor)


class Corrected(msgspec.Struct, frozen=True):
    """What has been corrected of a stream, while it was followed: once, or several times.

    Attributes:
        t1, t2: All of it is between these times, and at them, in seconds since the Unix epoch.
        id: Of the correction, as in ``stream.history()``; ``None`` and so on: there were several.
        kind: ``deleted``, ``updated``, or ``undone``.
        i: Index of the first datapoint concerned, as it was right before.
        n: How many are concerned.
    """

    t1: float
    t2: float
    id: int | None = None
    kind: str | None = None
    i: int | None = None
    n: int | None = None


class Notice(NamedTuple):
    """What a subscription is told besides datapoints.

    Attributes:
        kind: ``lag``: the callback is slower than the data comes; what is behind follows. ``missed``: datapoints of an
            ephemeral stream are lost, as it stores none. ``reset``: the stream is not the one that it was when the
            subscription was there last: it has been deleted and created anew, and all of it follows; or the database
            was restored from a backup, and the subscription goes on from now. ``failed``: the transform has failed, as
            `error` says, and nothing comes of some datapoints. ``corrected``: datapoints that were there before have
            been deleted or changed, or have returned, as `correction` tells. ``ended``: nothing more comes, because of
            `error`.
        path: Of the stream, as callbacks get it; of all of a pattern, the pattern.
        n: How many datapoints: that wait (``lag``), are lost (``missed``; ``None``: nobody knows how many), or of which
            nothing comes (``failed``).
        error: Why it has failed or ended.
        correction: What has been corrected.
    """

    kind: str
    path: str
    n: int | None = None
    error: BaseException | None = None
    correction: Corrected | None = None


class WishState(Enum):
    """How far a wish has come; see the head of this module."""

    WAITING = 1
    ASKED = 2
    LIVE = 3
    HELD = 4


class Wish:
    """What one subscription wants. Its attributes are those of the command.

    Attributes:
        arg: Path of a stream, its downlink, or a pattern which ends in ``*``.
        transform: PipeScript; empty: none.
        requests: Whether what comes are requests to this device, with ids.
        state: How far it has come.
        cursor: What has been taken so far, if the server has said; of a pattern, for each stream.
    """

    def __init__(self, arg: str, transform: str = "", *, requests: bool = False, start: Start | None = None) -> None:
        self.arg = arg
        self.transform = transform
        self.requests = requests
        self.state = WishState.WAITING
        start = start or Start()
        self.cursor: str | dict[str, str] | None = None
        if isinstance(start.cursor, Mapping):
            self.cursor = dict(start.cursor)
        else:
            self.cursor = start.cursor
        self._since = start.since
        self._i1 = start.i1

    @property
    def key(self) -> tuple[str, str]:
        """What the server knows it by."""
        return self.arg, self.transform

    @property
    def pattern(self) -> bool:
        """Whether it means several streams."""
        return self.arg.endswith("*")

    def command(self, number: int) -> str:
        """The message which asks the server for it, with all that has not been taken yet."""
        fields: dict[str, Any] = {"cmd": "subscribe", "arg": self.arg, "transform": self.transform, "id": number}
        if self.requests:
            fields["requests"] = True
        elif isinstance(self.cursor, dict):
            fields["cursors"] = self.cursor
        elif self.cursor is not None:
            fields["cursor"] = self.cursor
        elif self._since is not None:
            fields["since"] = self._since
        elif self._i1 is not None:
            fields["i1"] = self._i1
        return _text(fields)

    def take(self, arrival: Arrival) -> None:
        """Note that *arrival* will get to its reader, and need not be sent again."""
        if arrival.cursor is None:
            return
        if not self.pattern:
            self.cursor = arrival.cursor
        elif isinstance(self.cursor, dict):
            self.cursor[arrival.path] = arrival.cursor
        else:
            self.cursor = {arrival.path: arrival.cursor}

    def answered(self, cursor: str | None, cursors: dict[str, str] | None) -> None:
        """The server has said where the subscription begins."""
        if cursors is not None:
            self.cursor = cursors
        elif cursor is not None:
            self.cursor = cursor

    def forget(self, path: str) -> None:
        """The stream at *path* is gone from a pattern."""
        if isinstance(self.cursor, dict):
            self.cursor.pop(path, None)


class Arrival(NamedTuple):
    """What came with one message.

    Attributes:
        path: Of the stream, as the server named it.
        body: JSON array of datapoints; or one request.
        n: How many.
        cursor: Stands for all up to here.
    """

    path: str
    body: msgspec.Raw
    n: int
    cursor: str | None = None

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory."""
        return len(memoryview(self.body)) + PER_ARRIVAL_BYTES


class Confirmed(NamedTuple):
    """The server has accepted a wish, or has said that there was nothing for it up to its cursor."""

    wish: Wish


class Refused(NamedTuple):
    """The server has refused a wish, which is forgotten unless the error may go by: then it is held."""

    wish: Wish
    error: RequestError | ServerError


class Told(NamedTuple):
    """A notice came. After the last one, the wish is forgotten."""

    wish: Wish
    notice: Notice
    last: bool


Event = Confirmed | Refused | Told | tuple[Wish, Arrival]


_NOTHING = msgspec.Raw()


class _Message(msgspec.Struct):
    id: int | str | None = None
    ok: bool = False
    cursor: str | None = None
    cursors: dict[str, str] | None = None
    code: int = 0
    msg: str = ""
    ref: str | None = None
    error: str = ""
    details: dict[str, Any] | None = None
    stream: str = ""
    transform: str = ""
    arg: str = ""
    data: msgspec.Raw = _NOTHING
    requests: msgspec.Raw = _NOTHING
    notice: str = ""
    n: int | None = None
    correction: Corrected | None = None


_decode = msgspec.json.Decoder(_Message).decode
_decode_parts = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Feed:
    """All wishes of one connection. Methods that change something return what to send to the server."""

    def __init__(self) -> None:
        self._wishes: dict[tuple[str, str], Wish] = {}
        self._asked: dict[int, Wish] = {}
        self._number = 0
        self._connected = False

    def __len__(self) -> int:
        return len(self._wishes)

    def __contains__(self, wish: Wish) -> bool:
        return self._wishes.get(wish.key) is wish

    def connected(self) -> list[str]:
        """There is a connection: ask for everything anew."""
        self._connected = True
        return [self._ask(wish) for wish in self._wishes.values() if wish.state is not WishState.HELD]

    def disconnected(self) -> None:
        """The connection is gone, and with it all that was under way."""
        self._connected = False
        self._asked.clear()
        for wish in self._wishes.values():
            if wish.state is not WishState.HELD:
                wish.state = WishState.WAITING

    def add(self, wish: Wish) -> list[str]:
        """Ask for *wish*. It takes the place of one with the same key, here as on the server."""
        self._wishes[wish.key] = wish
        return [self._ask(wish)] if self._connected else []

    def remove(self, wish: Wish) -> list[str]:
        """Ask for *wish* no longer."""
        if wish not in self:
            return []
        del self._wishes[wish.key]
        return self._unsubscribe(wish)

    def hold(self, wish: Wish) -> list[str]:
        """Take nothing for *wish* for now: its reader is too slow."""
        if wish not in self or wish.state is WishState.HELD:
            return []
        messages = self._unsubscribe(wish)
        wish.state = WishState.HELD
        return messages

    def resume(self, wish: Wish) -> list[str]:
        """Go on with *wish* after what it has taken."""
        if wish not in self or wish.state is not WishState.HELD:
            return []
        wish.state = WishState.WAITING
        return [self._ask(wish)] if self._connected else []

    def received(self, text: str) -> Iterable[Event]:
        """Return what a message of the server means.

        Raises:
            ServerError: it is no such message.
        """
        try:
            message = _decode(text)
            if message.id is not None:
                return self._answer(message)
            wish = self._wishes.get((message.arg or message.stream, message.transform))
            if wish is None:
                return ()
            if message.notice:
                return self._notice(wish, message)
            if wish.state is not WishState.LIVE:
                return ()
            if message.requests is not _NOTHING:
                return [(wish, Arrival(message.stream, request, 1)) for request in _decode_parts(message.requests)]
            if message.data is _NOTHING:
                return ()
            n = len(_decode_parts(message.data))
        except (msgspec.MsgspecError, ValueError, RecursionError) as e:
            raise ServerError(f"the server sent something that no ConnectorDB server sends ({e}): {text[:80]!r}") from e
        return ((wish, Arrival(message.stream, message.data, n, message.cursor)),)

    def _answer(self, message: _Message) -> Iterable[Event]:
        wish = self._asked.pop(message.id, None) if isinstance(message.id, int) else None
        if wish is None:  # nobody waits for it any more
            return ()
        if message.ok:
            wish.state = WishState.LIVE
            wish.answered(message.cursor, message.cursors)
            return (Confirmed(wish),)
        error = _error_of(message)
        if may_go_by(error):
            wish.state = WishState.HELD
        else:
            del self._wishes[wish.key]
        return (Refused(wish, error),)

    def _notice(self, wish: Wish, message: _Message) -> Iterable[Event]:
        kind, path = message.notice, message.stream
        if kind == "ended" and wish.state is WishState.LIVE:
            last = not wish.pattern or path == wish.arg
            if last:
                del self._wishes[wish.key]
            else:
                wish.forget(path)
            return (Told(wish, Notice("ended", path, None, _error_of(message)), last),)
        if kind == "seen" and wish.state is WishState.LIVE:
            wish.take(Arrival(path, _NOTHING, 0, message.cursor))
            return (Confirmed(wish),)
        if kind == "corrected" and wish.state is WishState.LIVE:
            return (Told(wish, Notice(kind, path, correction=message.correction), False),)
        # These may come just before the answer which makes it live.
        if kind == "failed" and wish.state is WishState.LIVE:
            return (Told(wish, Notice(kind, path, message.n, _error_of(message)), False),)
        if kind in ("lag", "missed", "reset") and wish.state in (WishState.ASKED, WishState.LIVE):
            return (Told(wish, Notice(kind, path, message.n), False),)
        return ()  # of a later version

    def _ask(self, wish: Wish) -> str:
        self._number += 1
        self._forget_answer(wish)
        self._asked[self._number] = wish
        wish.state = WishState.ASKED
        return wish.command(self._number)

    def _unsubscribe(self, wish: Wish) -> list[str]:
        self._forget_answer(wish)
        if not self._connected or wish.state not in (WishState.ASKED, WishState.LIVE):
            return []
        self._number += 1
        fields = {"cmd": "unsubscribe", "arg": wish.arg, "transform": wish.transform, "id": self._number}
        return [_text(fields)]

    def _forget_answer(self, wish: Wish) -> None:
        for number in [number for number, asked in self._asked.items() if asked.key == wish.key]:
            del self._asked[number]


def may_go_by(error: ConnectorDBError) -> bool:
    """Whether the server may grant later what it has refused with *error*."""
    return error.retryable or (isinstance(error, ServerError) and not isinstance(error, Unsupported))


def _error_of(message: _Message) -> RequestError | ServerError:
    fields = {"msg": message.msg, "ref": message.ref, "error": message.error, "details": message.details}
    return from_wire(message.code or 500, fields)


def _text(fields: dict[str, Any]) -> str:
    return msgspec.json.encode(fields).decode()
