"""A feed: one stream on its way to one subscription, and how far it has come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from ..block import Block
from ..datapoint import Datapoint
from ..errors import Closed, InvalidRange, RequestError, ServerError, StoreError, Unavailable
from ..store.base import Cursor, Downlink, Page, Substream
from .cursors import EphemeralCursor, format_cursor
from .hub import Batch, Hub, Notice, Publication, stream_path

if TYPE_CHECKING:
    from .directory import Target
    from .subscription import Subscription

__all__ = ["DownlinkFeed", "EphemeralFeed", "Feed", "StoredFeed"]

log = logging.getLogger(__name__)

DOWNLINKS_AT_ONCE = 100
RETRY_S = 1.0
"""How long a feed waits before it tries to read again, when the store could not."""

T = TypeVar("T")


class Feed:
    """What all feeds have in common.

    Attributes:
        key: Which substream.
        ended: Nothing more comes.
    """

    __slots__ = ("ended", "generation", "hub", "key", "path", "subscription", "task")

    def __init__(self, hub: Hub, subscription: Subscription, target: Target, substream: Substream) -> None:
        self.hub = hub
        self.subscription = subscription
        self.key = (target.stream.id, substream)
        self.path = stream_path(target, substream)
        self.generation = hub.directory.generation
        self.task: asyncio.Task[None] | None = None
        self.ended = False
        hub.add(self)

    @property
    def cursor(self) -> str:
        """What has been handed to the outlet so far, as text."""
        raise NotImplementedError

    def take(self, publication: Publication) -> None:
        """Deliver *publication*, or remember that there is something to be read."""
        raise NotImplementedError

    def skip(self, publication: Publication) -> None:
        """Deliver *publication* later, from the store."""
        raise NotImplementedError

    def check(self) -> bool:
        """Whether the subscriber still may have this; if not, the feed ends, and tells why.

        Nothing that was committed after a change is delivered without a look at what is allowed now.
        """
        generation = self.hub.directory.generation
        if generation == self.generation:
            return not self.ended
        if not self.subscription.subscriber.check() or self.ended:
            return False
        try:
            target = self.subscription.find(self.path, self.key)
        except (RequestError, StoreError) as e:
            self.end(e)
            return False
        if not self.fits(target):
            self.end(RequestError("the stream has changed between stored and ephemeral; subscribe again", status=409))
            return False
        self.generation = generation
        return True

    def fits(self, target: Target) -> bool:
        """Whether this kind of feed is right for *target* as it is now."""
        return not target.stream.ephemeral

    def fail(self, error: Exception) -> None:
        """End because of something that should not have happened: better no feed than one with a gap."""
        log.error("a subscription to %s failed", self.path, exc_info=error)
        self.end(ServerError("the server failed to deliver this; its log tells more"))

    def end(self, error: Exception | None = None) -> None:
        """Stop; with *error*, which the subscriber is told."""
        if self.ended:
            return
        self.ended = True
        self.hub.remove(self)
        if self.task is not None and self.task is not _current_task():
            self.task.cancel()
        if error is not None:
            self.subscription.tell(Notice("ended", self.path, error=error))
        self.subscription.feed_ended(self)


class _ReadingFeed(Feed):
    """A feed that gets from the store what it could not deliver at once.

    Attributes:
        live: It has delivered all that was published, and takes the next publication as it comes.
        known: What has been published reaches to here; while it is not live, so far it has to read at least.
    """

    __slots__ = ("known", "live")

    def __init__(self, hub: Hub, subscription: Subscription, target: Target, substream: Substream) -> None:
        super().__init__(hub, subscription, target, substream)
        self.live = False
        self.known = 0

    def fall_behind(self, *, lagging: bool) -> None:
        """Go on by reading from the store."""
        self.live = False
        self.task = self.hub.spawn(self._catch_up(lagging))

    async def _catch_up(self, lagging: bool) -> None:
        self.hub.behind += 1
        try:
            while True:
                try:
                    await self._read_on(lagging)
                    return
                except StoreError:
                    # The disk failed, or was full. Nothing is lost by trying again.
                    await asyncio.sleep(RETRY_S)
        except (Closed, Unavailable):  # the connection, or the server: whoever closes it sees to the rest
            pass
        except (RequestError, ServerError) as e:
            self.end(e)
        except Exception as e:
            self.fail(e)
        finally:
            self.hub.behind -= 1
            self.task = None

    async def _read_on(self, lagging: bool) -> None:
        raise NotImplementedError

    async def _give(self, batch: Batch) -> bool:
        """Hand over *batch* when there is room. Returns ``False`` if the feed has ended meanwhile."""
        outlet = self.subscription.outlet
        while True:
            await outlet.room()
            if not self.check():
                return False
            if outlet.offer(self.subscription, batch):
                self.hub.delivered += 1
                return True

    async def _in_thread(self, work: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.hub.reading, work, *args)


class StoredFeed(_ReadingFeed):
    """A feed of a stream that is stored: each datapoint once, whatever happens in between."""

    __slots__ = ("position",)

    def __init__(
        self, hub: Hub, subscription: Subscription, target: Target, substream: Substream, position: Cursor | None
    ) -> None:
        """Begin at *position*; ``None``: behind what there is now."""
        super().__init__(hub, subscription, target, substream)
        if position is None:
            try:
                position = Cursor.behind(hub.store.head(*self.key).arrivals)
            except BaseException:
                hub.remove(self)
                raise
            self.live = True
        self.position = position
        if not self.live:
            self.fall_behind(lagging=False)

    @property
    def cursor(self) -> str:
        return format_cursor(self.key[0], self.position)

    def take(self, publication: Publication) -> None:
        if not self.check():
            return
        end = publication.end
        if not self.live:
            self.known = max(self.known, end)
        elif publication.before == self.position.state:
            if self.subscription.outlet.offer(self.subscription, publication.batch):
                self.position = publication.position
                self.hub.delivered += 1
            else:
                self.known = end
                self.fall_behind(lagging=True)
        elif publication.before > self.position.state:
            self.known = end
            self.fall_behind(lagging=False)

    def skip(self, publication: Publication) -> None:
        self.known = max(self.known, publication.end)
        if self.live:
            self.fall_behind(lagging=True)

    async def _read_on(self, lagging: bool) -> None:
        if lagging:
            await self.subscription.outlet.room()
            n = self.hub.store.head(*self.key).arrivals - self.position.state
            self.subscription.tell(Notice("lag", self.path, n))
        while not self.ended:
            try:
                pages: Iterator[Page] = self.hub.store.read_after(*self.key, self.position)
                while (page := await self._in_thread(next, pages, None)) is not None:
                    cursor = format_cursor(self.key[0], page.cursor)
                    if not await self._give(Batch(self.path, page.block, page.first_index, cursor)):
                        return
                    self.position = page.cursor
            except InvalidRange:
                self._reset()
                continue
            self.position = Cursor.behind(self.position.state)
            if self.position.state >= self.known:
                self.live = True
                return

    def _reset(self) -> None:
        """The cursor is ahead of the stream, as that was restored from a backup: what it missed, nobody knows."""
        self.position = Cursor.behind(self.hub.store.head(*self.key).arrivals)
        self.subscription.tell(Notice("reset", self.path))


class EphemeralFeed(Feed):
    """A feed of a stream of which nothing is stored: what there is no room for is gone, and counted."""

    __slots__ = ("_missed", "count")

    def __init__(self, hub: Hub, subscription: Subscription, target: Target, substream: Substream) -> None:
        super().__init__(hub, subscription, target, substream)
        self.count = hub.ephemeral_count(self.key)
        self._missed = 0

    @property
    def cursor(self) -> str:
        return format_cursor(self.key[0], EphemeralCursor(self.hub.run, self.count))

    def fits(self, target: Target) -> bool:
        return target.stream.ephemeral

    def resume(self, cursor: EphemeralCursor) -> None:
        """Tell how much was missed since *cursor*."""
        if cursor.run != self.hub.run:
            self.subscription.tell(Notice("missed", self.path, None))
        elif cursor.n < self.count:
            self.subscription.tell(Notice("missed", self.path, self.count - cursor.n))

    def take(self, publication: Publication) -> None:
        if not self.check() or publication.end <= self.count:
            return
        if self.task is None and self.subscription.outlet.offer(self.subscription, publication.batch):
            self.hub.delivered += 1
        else:
            self._miss(publication.end - publication.before)
        self.count = publication.end

    def skip(self, publication: Publication) -> None:
        self._miss(publication.end - publication.before)
        self.count = publication.end

    def _miss(self, n: int) -> None:
        self._missed += n
        self.hub.missed += n
        if self.task is None:
            self.task = self.hub.spawn(self._tell())

    async def _tell(self) -> None:
        try:
            await self.subscription.outlet.room()
            n, self._missed = self._missed, 0
            if not self.ended:
                self.subscription.tell(Notice("missed", self.path, n))
        except Closed:
            pass
        finally:
            self.task = None


class DownlinkFeed(_ReadingFeed):
    """The feed of a device that carries out what it is asked: first what has waited for it, then what comes.

    There is no cursor: what has not been done is given again to a device that comes back, with the same id.
    """

    __slots__ = ("last",)

    def __init__(self, hub: Hub, subscription: Subscription, target: Target) -> None:
        super().__init__(hub, subscription, target, Substream.DOWNLINK)
        self.last = 0
        self.fall_behind(lagging=False)

    @property
    def cursor(self) -> str:
        return ""

    def take(self, publication: Publication) -> None:
        downlinks = publication.batch.downlinks
        if not downlinks or not self.check():
            return
        self.known = max(self.known, downlinks[-1].id)
        if not self.live or downlinks[-1].id <= self.last:
            return
        if self.subscription.outlet.offer(self.subscription, publication.batch):
            self.last = downlinks[-1].id
            self.hub.delivered += 1
        else:
            self.fall_behind(lagging=True)

    def skip(self, publication: Publication) -> None:
        if publication.batch.downlinks:
            self.known = max(self.known, publication.batch.downlinks[-1].id)
            if self.live:
                self.fall_behind(lagging=True)

    def fits(self, target: Target) -> bool:
        return True

    async def _read_on(self, lagging: bool) -> None:
        while True:
            known = self.known
            found: list[Downlink] = await self._in_thread(self._waiting)
            if found:
                block = Block.of([Datapoint(one.t, msgspec.Raw(one.d), one.o) for one in found])
                if not await self._give(Batch(self.path, block, -1, "", found)):
                    return
                self.last = found[-1].id
            elif known == self.known:
                self.last = max(self.last, known)  # of what was published, the rest has been seen to meanwhile
                self.live = True
                return

    def _waiting(self) -> list[Downlink]:
        return self.hub.store.open_downlinks(self.key[0], after=self.last, limit=DOWNLINKS_AT_ONCE)


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
