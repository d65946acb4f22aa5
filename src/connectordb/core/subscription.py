"""Subscriptions: who follows what, and whether he may."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import (
    Closed,
    Invalid,
    InvalidRange,
    NotFound,
    PermissionDenied,
    RequestError,
    StoreError,
    Unauthenticated,
)
from ..paths import check_name, parse_stream_path
from ..store.records import Cursor, Device, Substream, User
from .actor import Actor
from .cursors import EphemeralCursor, parse_cursor
from .directory import Target
from .feed import DownlinkFeed, EphemeralFeed, Feed, StoredFeed
from .hub import Hub, Key, Notice, Outlet
from .scripts import script_of

if TYPE_CHECKING:
    from .live import LiveRules

__all__ = ["Start", "Subscriber", "Subscription"]

ANY = "*"
LOOKED_AT_ONCE = 200
"""So many streams of a pattern are looked at before others have the event loop."""

Path = tuple[str, str, str]


class Start(NamedTuple):
    """Where a subscription begins; at most one is given, and none means: with what comes from now on.

    Attributes:
        cursor: Behind what was seen before.
        since: With the datapoints after that time, in seconds since the Unix epoch.
        i1: With the datapoint at that index; negative: from the end.
        cursors: For a pattern, the cursor of each stream, and under ``*`` what tells which streams were there.
    """

    cursor: str | None = None
    since: float | None = None
    i1: int | None = None
    cursors: Mapping[str, str] | None = None

    @property
    def given(self) -> int:
        """How many are given."""
        return sum(value is not None for value in self)


class Subscriber:
    """A connection that follows streams. Everything happens on the event loop.

    Attributes:
        actor: Who it is; as it was when last looked.
        outlet: Where to deliver.
        subscriptions: By what was asked for, and the transform.
        closed: Nothing is delivered any more.
        generation: Of the directory, when it was last looked who the actor is.
        turn: Held by the feed that reads from the store; the others of the connection wait for it.
    """

    def __init__(self, rules: LiveRules, actor: Actor, login: str, outlet: Outlet) -> None:
        self.rules = rules
        self.actor = actor
        self.outlet = outlet
        self.subscriptions: dict[tuple[str, str], Subscription] = {}
        self.closed = False
        self.generation = -1  # what was found while logging in may be old by now
        self.turn = asyncio.Lock()
        self._login = login
        self._error: Exception = Closed("this connection is closed")
        rules.hub.connected(self)

    async def subscribe(
        self, arg: str, transform: str = "", start: Start | None = None, *, requests: bool = False, tag: Any = None
    ) -> dict[str, Any]:
        """Follow a stream, or all streams that a pattern covers, in place of the same subscription if there is one.

        Args:
            arg: ``user/device/stream``, its ``/downlink``, ``user/device/*`` or ``user/*/*``.
            transform: PipeScript; each insert is one input to it.
            start: Where to begin. ``None``: now.
            requests: Of the downlink of a stream of its own: what there is to do, instead of datapoints.
            tag: Whatever the outlet wants to know of the subscription.

        Returns:
            What the subscriber is to be told: its ``cursor``, or for a pattern its ``cursors``.

        Raises:
            NotFound (status 403), PermissionDenied, Invalid, InvalidRange, ScriptError, LimitReached, StoreError.
        """
        if not self.check():
            raise self._error
        start = Start() if start is None else start
        if start.given > 1:
            raise InvalidRange("a subscription begins at a cursor, at a time or at an index: give one of them")
        subscription = Subscription(self, arg, transform, requests, tag)
        self.rules.hub.subscriptions += 1
        try:
            answer = await subscription.begin(start)
            if self.closed:
                raise self._error
        except BaseException:
            subscription.close()
            raise
        previous = self.subscriptions.pop((arg, transform), None)
        if previous is not None:
            previous.close()
        self.subscriptions[arg, transform] = subscription
        return answer

    def unsubscribe(self, arg: str, transform: str = "") -> bool:
        """End a subscription. Returns whether there was one."""
        subscription = self.subscriptions.get((arg, transform))
        if subscription is None:
            return False
        self.drop(subscription)
        return True

    def unsubscribe_all(self) -> None:
        """End all subscriptions."""
        for subscription in list(self.subscriptions.values()):
            self.drop(subscription)

    def drop(self, subscription: Subscription) -> None:
        """Forget *subscription*."""
        key = (subscription.arg, subscription.transform)
        if self.subscriptions.get(key) is subscription:
            del self.subscriptions[key]
        subscription.close()

    def close(self) -> None:
        """Deliver nothing more. The outlet is not told."""
        if not self.closed:
            self.closed = True
            self.unsubscribe_all()
            self.rules.hub.disconnected(self)

    def check(self) -> bool:
        """Look, if anything has changed, whether the connection and all its subscriptions are still allowed.

        Raises:
            StoreError: it cannot be told now.
        """
        if self.closed:
            return False
        generation = self.rules.directory.generation
        if generation == self.generation:
            return True
        try:
            self.actor = self.rules.identity.refresh(self.actor, self._login)
        except Unauthenticated as e:
            self._error = e
            self.close()
            self.outlet.end(e)
            return False
        self.generation = generation
        for subscription in list(self.subscriptions.values()):
            subscription.check()
        return not self.closed


class Subscription:
    """What somebody has asked to follow.

    Attributes:
        arg: As it was asked.
        transform: Likewise.
        pattern: It may cover several streams.
        requests: It is that of a device which carries out what it is asked.
        tag: Belongs to the outlet.
        script: What each insert, or each request, goes through; ``None``: nothing.
        feeds: One for each stream.
    """

    def __init__(self, subscriber: Subscriber, arg: str, transform: str, requests: bool, tag: Any) -> None:
        self.subscriber = subscriber
        self.outlet = subscriber.outlet
        self.arg = arg
        self.transform = transform
        self.pattern = arg.endswith(ANY)
        self.requests = requests
        self.tag = tag
        self.script = script_of(transform, subscriber.rules.settings.limits) if transform else None
        self.feeds: dict[Key, Feed] = {}
        self._place: tuple[str, int] | None = None
        self._refused: dict[Key, int] = {}
        self._noted: dict[Key, tuple[Path, int]] = {}
        self._beginning = False
        self._closed = False

    @property
    def hub(self) -> Hub:
        """Where it gets its datapoints."""
        return self.subscriber.rules.hub

    @property
    def query_s(self) -> float:
        """How long its script may take for a page."""
        return self.subscriber.rules.settings.limits.query_s

    async def begin(self, start: Start) -> dict[str, Any]:
        """Begin to follow; see `Subscriber.subscribe`."""
        if self.pattern:
            return {"cursors": await self._begin_pattern(start)}
        user, device, stream, downlink = parse_stream_path(self.arg)
        if start.cursors is not None:
            raise InvalidRange("cursors belong to a pattern, as user/device/*; for one stream give its cursor")
        target, substream = self.subscriber.rules.find_followed(
            self.subscriber.actor, (user, device, stream), downlink=downlink
        )
        if self.requests:
            self._begin_requests(target, substream, start)
            return {}
        return {"cursor": self._follow(target, substream, start).cursor}

    def check(self) -> None:
        """End what may not be followed any more."""
        for feed in list(self.feeds.values()):
            feed.check()
        if self._place is None:
            return
        try:
            if self._find_place()[0] != self._place:
                raise NotFound(f"what '{self.arg}' stood for was deleted", status=403)
        except RequestError as e:
            self.tell(Notice("ended", self.arg, error=e))
            self.subscriber.drop(self)

    def find(self, path: str, key: Key) -> Target:
        """Return the stream of a feed, after looking whether it may still be read.

        Raises:
            NotFound (status 403), PermissionDenied, StoreError.
        """
        user, device, stream, downlink = parse_stream_path(path)
        target, _ = self.subscriber.rules.find_followed(
            self.subscriber.actor, (user, device, stream), downlink=downlink
        )
        if target.stream.id != key[0]:
            raise NotFound(f"the stream '{path}' was deleted, and there is a new one of that name", status=403)
        return target

    def admit(self, target: Target, before: int) -> None:
        """For a pattern: follow *target* too, unless it is known, or may not be read.

        Args:
            before: How many datapoints it had before what is about to be published.
        """
        key = (target.stream.id, Substream.MAIN)
        if key in self.feeds or self._closed:
            return
        path = (target.user.name, target.device.name, target.stream.name)
        if self._beginning:
            self._noted.setdefault(key, (path, before))
        elif self._refused.get(key) != self.hub.directory.generation:
            self._admit(key, path, before)

    def _admit(self, key: Key, path: Path, before: int) -> None:
        _, before = self._noted.pop(key, (path, before))
        generation = self.hub.directory.generation
        try:
            if not self.subscriber.check():
                return
            target, _ = self.subscriber.rules.find_followed(self.subscriber.actor, path, downlink=False)
        except RequestError:
            self._refused[key] = generation
            return
        except StoreError:
            self._noted[key] = (path, before)  # asked again with the next publication
            return
        self._refused.pop(key, None)
        if target.stream.id == key[0]:
            self._feed(target, Substream.MAIN, Cursor.behind(before), before)

    def tell(self, notice: Notice) -> None:
        """Pass *notice* to the outlet."""
        if not self._closed:
            self.outlet.tell(self, notice)

    def feed_ended(self, feed: Feed) -> None:
        """Forget *feed*; the subscription to one stream ends with its feed."""
        if self.feeds.get(feed.key) is feed:
            del self.feeds[feed.key]
        if not self.pattern:
            self.subscriber.drop(self)

    def close(self) -> None:
        """End all feeds. Nobody is told."""
        if self._closed:
            return
        self._closed = True
        self.hub.subscriptions -= 1
        if self._place is not None:
            self.hub.remove_pattern(self, self._place)
        for feed in list(self.feeds.values()):
            feed.end()

    def _begin_requests(self, target: Target, substream: Substream, start: Start) -> None:
        device = self.subscriber.actor.device
        if substream is not Substream.DOWNLINK:
            raise Invalid("requests are what is asked through a downlink: subscribe to user/device/stream/downlink")
        if device is None or device.id != target.device.id:
            raise PermissionDenied(
                f"only the device '{target.user.name}/{target.device.name}' itself carries out what it is asked; "
                "without requests the downlink can be watched"
            )
        if start.given:
            raise InvalidRange("requests begin with those that wait: give neither a cursor nor a time nor an index")
        feed = DownlinkFeed(self.hub, self, target)
        self.feeds[feed.key] = feed

    async def _begin_pattern(self, start: Start) -> dict[str, str]:
        if start.cursor is not None:
            raise InvalidRange("a pattern begins at the cursors that it was given, at a time or at an index")
        if self.requests:
            raise Invalid("requests are those of one downlink")
        cursors = start.cursors
        self._place, user, devices = self._find_place()
        # From here on, streams that publish are noted, while all are gone through.
        self._beginning = True
        self.hub.add_pattern(self, self._place)
        store = self.hub.store

        def find() -> list[tuple[int, Path]]:
            return [
                (stream.id, (user.name, device.name, stream.name))
                for device in (store.devices(user.id) if devices is None else devices)
                for stream in store.streams(device.id)
            ]

        found = await asyncio.get_running_loop().run_in_executor(self.hub.reading, find)
        known_before = _known_before(cursors)
        for n, (stream_id, path) in enumerate(found, 1):
            if self._closed or not self.subscriber.check():
                break
            self._begin_one(stream_id, path, start, known_before)
            if n % LOOKED_AT_ONCE == 0:
                await asyncio.sleep(0)
        self._beginning = False
        for key, (path, before) in list(self._noted.items()):
            if key not in self.feeds:
                self._admit(key, path, before)
        self._noted.clear()
        newest = max([known_before, *(stream_id for stream_id, _ in found)])
        return {feed.path: feed.cursor for feed in self.feeds.values()} | {ANY: str(newest)}

    def _begin_one(self, stream_id: int, path: Path, start: Start, known_before: int) -> None:
        """Follow one stream of a pattern, if it may be read."""
        try:
            target, _ = self.subscriber.rules.find_followed(self.subscriber.actor, path, downlink=False)
        except RequestError:
            return
        if target.stream.id != stream_id:  # made anew meanwhile: it is noted when it publishes
            return
        cursors = start.cursors
        noted = self._noted.get((stream_id, Substream.MAIN))
        given = (cursors or {}).get("/".join(path))
        if given is not None:
            self._follow(target, Substream.MAIN, Start(cursor=given))
        elif cursors is not None and stream_id > known_before:
            self._feed(target, Substream.MAIN, Cursor.behind(0), 0)  # it was made since: all of it is new
        elif noted is not None and (cursors is not None or not start.given):
            self._feed(target, Substream.MAIN, Cursor.behind(noted[1]), noted[1])
        else:
            self._follow(target, Substream.MAIN, Start() if cursors is not None else start)

    def _find_place(self) -> tuple[tuple[str, int], User, list[Device] | None]:
        """Return what a pattern covers: its place for the hub, the user, and the device unless it is all of them.

        Raises:
            Invalid, NotFound (status 403).
        """
        rules, actor = self.subscriber.rules, self.subscriber.actor
        parts = self.arg.split("/")
        if len(parts) != 3 or parts[2] != ANY:
            raise Invalid("a pattern is user/device/* or user/*/*")
        check_name(parts[0], "user name")
        if parts[1] == ANY:
            user, _ = rules.find_user(actor, parts[0], 403)
            return ("user", user.id), user, None
        check_name(parts[1], "device name")
        user, device, _ = rules.find_device(actor, parts[0], parts[1], 403)
        return ("device", device.id), user, [device]

    def _follow(self, target: Target, substream: Substream, start: Start) -> Feed:
        position: Cursor | None = None
        reset = False
        cursor: Cursor | EphemeralCursor | None = None
        if start.cursor is not None:
            stream_id, cursor = parse_cursor(start.cursor)
            if stream_id != target.stream.id:  # deleted since, and made anew
                reset, cursor = True, Cursor.behind(0)
        if not target.stream.ephemeral:
            if isinstance(cursor, Cursor):
                position = cursor
            elif isinstance(cursor, EphemeralCursor):
                reset = True
            elif start.since is not None:
                position = self.hub.store.cursor_at(target.stream.id, substream, t=start.since)
            elif start.i1 is not None:
                position = self.hub.store.cursor_at(target.stream.id, substream, i=start.i1)
        feed = self._feed(target, substream, position)
        if reset:
            self._tell_soon(Notice("reset", feed.path))
        elif isinstance(feed, EphemeralFeed) and cursor is not None:
            asyncio.get_running_loop().call_soon(feed.resume, cursor)
        return feed

    def _feed(self, target: Target, substream: Substream, position: Cursor | None, count: int | None = None) -> Feed:
        """Begin a feed: of a stored stream at *position*, of an ephemeral one behind *count* datapoints."""
        feed: Feed
        if target.stream.ephemeral:
            feed = EphemeralFeed(self.hub, self, target, substream, count)
        else:
            feed = StoredFeed(self.hub, self, target, substream, position)
        self.feeds[feed.key] = feed
        return feed

    def _tell_soon(self, notice: Notice) -> None:
        """Tell it after the answer to the command."""
        asyncio.get_running_loop().call_soon(self.tell, notice)


def _known_before(cursors: Mapping[str, str] | None) -> int:
    """Return the greatest id that a stream had when *cursors* were given out."""
    text = (cursors or {}).get(ANY, "0")
    if not text.isdecimal() or len(text) > 18:
        raise Invalid("the cursors of a pattern are to be given back whole, as they were")
    return int(text)
