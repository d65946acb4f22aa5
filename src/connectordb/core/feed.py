"""A feed: one stream on its way to one subscription, and how far it has come."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from ..block import Block
from ..datapoint import Datapoint
from ..errors import Closed, InvalidRange, RequestError, ScriptError, ServerError, StoreError, Unavailable
from ..store.records import Cursor, Downlink, Page, Substream
from .cursors import EphemeralCursor, format_cursor
from .downlinks import through
from .hub import Amendment, Batch, Corrected, Hub, Notice, Publication, stream_path
from .scripts import Failures, transformed_around
from .working import time_limit

if TYPE_CHECKING:
    from ..pipescript import Script
    from .directory import Target
    from .subscription import Subscription

__all__ = ["DownlinkFeed", "EphemeralFeed", "Feed", "StoredFeed"]

log = logging.getLogger(__name__)

DOWNLINKS_AT_ONCE = 100
WORK_MAX = 20_000
"""A script that has more to do for an insert (see `Script.work`) works in another thread, so that it does not hold up
everybody."""
SEEN_S = 1.0
"""How often a subscriber is told, at most, that it has seen inserts of which nothing came."""
RETRY_S = 1.0
"""How long a feed waits before it tries to read again, when the store could not."""

T = TypeVar("T")


class Feed:
    """What all feeds have in common.

    Attributes:
        key: Which substream.
        ended: Nothing more comes.
    """

    __slots__ = ("_seen_at", "_seen_timer", "ended", "generation", "hub", "key", "path", "subscription", "task")

    def __init__(self, hub: Hub, subscription: Subscription, target: Target, substream: Substream) -> None:
        self.hub = hub
        self.subscription = subscription
        self.key = (target.stream.id, substream)
        self.path = stream_path(target, substream)
        # When it was last looked who the subscriber is: a later change is looked at before anything is delivered.
        self.generation = subscription.subscriber.generation
        self.task: asyncio.Task[None] | None = None
        self.ended = False
        self._seen_timer: asyncio.TimerHandle | None = None
        self._seen_at = -math.inf
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

    def amend(self, amendment: Amendment) -> None:
        """Tell of a correction."""

    @property
    def lag(self) -> int:
        """How many datapoints are known to be behind."""
        return 0

    def check(self) -> bool:
        """Whether the subscriber still may have this; if not, the feed ends, and tells why.

        Nothing that was committed after a change is delivered without a look at what is allowed now.

        Raises:
            StoreError: it cannot be told now.
        """
        generation = self.hub.directory.generation
        if generation == self.generation:
            return not self.ended
        if not self.subscription.subscriber.check() or self.ended:
            return False
        try:
            target = self.subscription.find(self.path, self.key)
        except RequestError as e:
            self.end(e)
            return False
        if not self.fits(target):
            self.end(RequestError("the stream has changed between stored and ephemeral; subscribe again", status=409))
            return False
        self.generation = generation
        return True

    def deliver(self, batch: Batch) -> bool:
        """Hand over what the script makes of *batch*, which is an insert. Returns ``False`` if there is no room."""
        script = self.subscription.script
        if script is None:
            return self.offer(batch)
        try:
            made = batch.through(script)
        except ScriptError as e:
            return self.tell_failed(e, batch.block.n)
        if made is not None:
            return self.offer(made)
        self.seen()
        return not self.ended

    def offer(self, batch: Batch) -> bool:
        """Hand over *batch* as it is. Returns ``False`` if there is no room."""
        if not self.subscription.outlet.offer(self.subscription, batch):
            return False
        self.hub.delivered += 1
        self._forget_seen()
        return True

    def tell_failed(self, error: ScriptError, n: int) -> bool:
        """Tell that nothing comes of *n* datapoints, because of *error*. Returns ``False`` if there is no room."""
        if self.subscription.outlet.full:
            return False
        self.subscription.tell(Notice("failed", self.path, n, error))
        self.seen()
        return not self.ended

    def seen(self) -> None:
        """Tell the subscriber, unless something comes that tells as much, how far it has seen the stream: so that it
        does not come back for datapoints of which it gets nothing."""
        if self._seen_timer is None and not self.ended:
            loop = asyncio.get_running_loop()
            self._seen_timer = loop.call_at(max(loop.time(), self._seen_at + SEEN_S), self._tell_seen)

    def _tell_seen(self) -> None:
        self._seen_timer = None
        self._seen_at = asyncio.get_running_loop().time()
        if self.subscription.outlet.full:
            self.seen()
        else:
            self.subscription.tell(Notice("seen", self.path, cursor=self.cursor))

    def _forget_seen(self) -> None:
        if self._seen_timer is not None:
            self._seen_timer.cancel()
            self._seen_timer = None

    def too_much(self, batch: Batch) -> bool:
        """Whether the script has more to do for *batch* than the event loop may be kept from everybody else."""
        script = self.subscription.script
        return script is not None and script.work(batch.block.n) > WORK_MAX

    def fits(self, target: Target) -> bool:
        """Whether this kind of feed is right for *target* as it is now."""
        return not target.stream.ephemeral

    def fail(self, error: Exception) -> None:
        """End because of something that should not have happened: better no feed than one with a gap."""
        self.hub.failed += 1
        log.error("a subscription to %s failed", self.path, exc_info=error)
        self.end(ServerError("the server failed to deliver this; its log tells more"))

    def end(self, error: Exception | None = None) -> None:
        """Stop; with *error*, which the subscriber is told."""
        if self.ended:
            return
        self.ended = True
        self._forget_seen()
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
                    lagging = False  # it has been told
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
        """Hand over *batch*, as it is, when there is room. Returns ``False`` if the feed has ended meanwhile."""
        while await self._ready():
            if self.offer(batch):
                return True
        return False

    async def _ready(self) -> bool:
        """Wait for room. Returns ``False`` if the feed has ended meanwhile, or the subscriber may not have this."""
        await self.subscription.outlet.room()
        return self.check()

    def allowed_now(self, publication: Publication) -> bool:
        """Whether *publication* may be delivered now; if that cannot be told, it comes later, from the store."""
        try:
            return self.check()
        except StoreError:
            self.skip(publication)
            return False

    async def _in_thread(self, work: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.hub.reading, work, *args)


class StoredFeed(_ReadingFeed):
    """A feed of a stream that is stored: each datapoint once, whatever happens in between."""

    __slots__ = ("_untold", "position")

    def __init__(
        self, hub: Hub, subscription: Subscription, target: Target, substream: Substream, position: Cursor | None
    ) -> None:
        """Begin at *position*; ``None``: behind what there is now."""
        super().__init__(hub, subscription, target, substream)
        self._untold: Corrected | None = None
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
        if publication.target.stream.ephemeral or not self.allowed_now(publication):
            return
        end = publication.end
        if not self.live:
            self.known = max(self.known, end)
        elif publication.before == self.position.state:
            if self.too_much(publication.batch):
                self.known = end
                self.fall_behind(lagging=False)
            elif self.deliver(publication.batch):
                self.position = publication.position
            else:
                self.known = end
                self.fall_behind(lagging=True)
        elif publication.before > self.position.state:
            self.known = end
            self.fall_behind(lagging=False)

    def skip(self, publication: Publication) -> None:
        if publication.target.stream.ephemeral:
            return
        self.known = max(self.known, publication.end)
        if self.live:
            self.fall_behind(lagging=True)

    def amend(self, amendment: Amendment) -> None:
        one = amendment.correction
        told = Corrected(one.t1, one.t2, one)
        self._untold = told if self._untold is None else self._untold.with_(told)
        try:
            if not self.check():
                return
        except StoreError:
            self._read_to(amendment.end)
            return
        # What comes back when a deletion is undone comes as late datapoints do.
        if self.live and amendment.before == self.position.state and one.kind != "undone":
            self.position = Cursor.behind(amendment.end)
        elif amendment.end > self.position.state:
            self._read_to(amendment.end)
        self._tell_corrected()

    def _read_to(self, end: int) -> None:
        """Go on by reading from the store, at least to the state *end*."""
        self.known = max(self.known, end)
        if self.live:
            self.fall_behind(lagging=False)

    def _tell_corrected(self) -> None:
        """Tell what has been corrected, when there is room: what waits becomes one notice."""
        if self._untold is None or self.ended:
            return
        if not self.subscription.outlet.full:
            told, self._untold = self._untold, None
            self.subscription.tell(Notice("corrected", self.path, correction=told))
        elif self.live:
            self.fall_behind(lagging=False)

    @property
    def lag(self) -> int:
        """How many datapoints are known to be behind."""
        return 0 if self.live else max(0, self.known - self.position.state)

    async def _read_on(self, lagging: bool) -> None:
        if lagging:
            await self.subscription.outlet.room()
            n = self.hub.store.head(*self.key).arrivals - self.position.state
            self.subscription.tell(Notice("lag", self.path, n))
        while not self.ended:
            upto = self.hub.store.head(*self.key).arrivals
            try:
                pages: Iterator[Page] = self.hub.store.read_after(*self.key, self.position)
                while (read := await self._give_page(pages)) is not None:
                    if not read:
                        return
            except InvalidRange:
                self._reset()
                continue
            # Of a correction there is nothing to be read, so the last page may be behind it.
            self.position = Cursor.behind(max(self.position.state, upto))
            if self.position.state >= min(self.known, self.hub.store.head(*self.key).arrivals):
                if self._untold is not None:
                    if not await self._ready():
                        return
                    self._tell_corrected()
                    continue  # others may have come while it waited
                self.live = True
                return

    async def _give_page(self, pages: Iterator[Page]) -> bool | None:
        """Read and hand over a page. Returns ``None`` if there is none, ``False`` if the feed has ended meanwhile."""
        # One feed of a connection at a time, and only when there is room: a page that waits takes memory.
        async with self.subscription.subscriber.turn:
            await self.subscription.outlet.room()
            page: Page | None = await self._in_thread(_next_page, pages, self.subscription.script is None)
            if page is None:
                return None
            cursor = format_cursor(self.key[0], page.cursor)
            script = self.subscription.script
            block: Block | None = page.block
            if script is not None:
                work = partial(transformed_around, page.block, script, time_limit(self.subscription.query_s))
                block, failures = await self._in_thread(work)
                if failures and not await self._give_failures(failures):
                    return False
            if block is None:
                self.position = page.cursor
                self.seen()
                return self.check()
            if not await self._give(Batch(self.path, block, page.first_index, cursor)):
                return False
            self.position = page.cursor
            return True

    async def _give_failures(self, failures: Failures) -> bool:
        while await self._ready():
            if self.tell_failed(failures.first, failures.n):
                return True
        return False

    def _reset(self) -> None:
        """The cursor is ahead of the stream, as that was restored from a backup: what it missed, nobody knows."""
        self.position = Cursor.behind(self.hub.store.head(*self.key).arrivals)
        self.subscription.tell(Notice("reset", self.path))


def _next_page(pages: Iterator[Page], text: bool) -> Page | None:
    """Return the next one, if there is one; with its *text*, so that it is not the event loop that has to write it."""
    page = next(pages, None)
    if page is not None and text:
        page.block.json  # noqa: B018
    return page


class EphemeralFeed(Feed):
    """A feed of a stream of which nothing is stored: what there is no room for is gone, and counted."""

    __slots__ = ("_missed", "begin", "count")

    def __init__(
        self, hub: Hub, subscription: Subscription, target: Target, substream: Substream, count: int | None = None
    ) -> None:
        """Begin behind the first *count* datapoints; ``None``: behind all that have been published."""
        super().__init__(hub, subscription, target, substream)
        self.begin = self.count = hub.ephemeral_count(self.key) if count is None else count
        self._missed = 0

    @property
    def cursor(self) -> str:
        return format_cursor(self.key[0], EphemeralCursor(self.hub.run, self.count))

    def resume(self, cursor: EphemeralCursor | Cursor) -> None:
        """Tell how much was missed since *cursor*."""
        if not isinstance(cursor, EphemeralCursor) or cursor.run != self.hub.run:
            self.subscription.tell(Notice("missed", self.path, None))
        elif cursor.n < self.begin:
            self.subscription.tell(Notice("missed", self.path, self.begin - cursor.n))

    def take(self, publication: Publication) -> None:
        if not publication.target.stream.ephemeral or publication.end <= self.begin:
            return
        try:
            if not self.check():
                return
            delivered = self.task is None and self._deliver_or_begin(publication)
        except StoreError:
            delivered = False
        if not delivered:
            self._miss(publication.end - publication.before)
        self.count = max(self.count, publication.end)

    def _deliver_or_begin(self, publication: Publication) -> bool:
        if not self.too_much(publication.batch):
            return self.deliver(publication.batch)
        self.task = self.hub.spawn(self._deliver_later(publication))
        return True

    async def _deliver_later(self, publication: Publication) -> None:
        """Deliver what takes a script some time. What comes meanwhile is missed."""
        script = self.subscription.script
        assert script is not None  # noqa: S101
        try:
            work = partial(_prepare, publication.batch, script)
            await asyncio.get_running_loop().run_in_executor(self.hub.reading, work)
            if not self.check():
                return
            if not self.deliver(publication.batch):
                self._missed += publication.end - publication.before
                self.hub.missed += publication.end - publication.before
        except StoreError:
            self._missed += publication.end - publication.before
        finally:
            self.task = None
            if self._missed and not self.ended:
                self.task = self.hub.spawn(self._tell())

    def skip(self, publication: Publication) -> None:
        # Those before it may still be on their way, so it changes nothing for them.
        if publication.target.stream.ephemeral and publication.end > self.begin:
            self._miss(publication.end - publication.before)
            self.count = max(self.count, publication.end)

    def fits(self, target: Target) -> bool:
        return target.stream.ephemeral

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
        if not downlinks or not self.allowed_now(publication):
            return
        self.known = max(self.known, downlinks[-1].id)
        if not self.live or downlinks[-1].id <= self.last:
            return
        if self.deliver(publication.batch):
            self.last = downlinks[-1].id
        else:
            self.fall_behind(lagging=True)

    def skip(self, publication: Publication) -> None:
        if publication.batch.downlinks:
            self.known = max(self.known, publication.batch.downlinks[-1].id)
            if self.live:
                self.fall_behind(lagging=True)

    def fits(self, target: Target) -> bool:
        return True

    def deliver(self, batch: Batch) -> bool:
        return self.offer(batch)

    def offer(self, batch: Batch) -> bool:
        """Hand over what the script makes of each request of *batch*. Returns ``False`` if there is no room."""
        script = self.subscription.script
        if script is None:
            return super().offer(batch)
        if self.subscription.outlet.full:
            return False
        requests, failures = through(batch.downlinks, script)
        if failures:
            self.subscription.tell(Notice("failed", self.path, len(failures), failures[0]))
        return not requests or super().offer(Batch(self.path, batch.block, -1, "", requests))

    async def _read_on(self, lagging: bool) -> None:
        while True:
            known = self.known
            async with self.subscription.subscriber.turn:
                await self.subscription.outlet.room()
                found: list[Downlink] = await self._in_thread(self._waiting)
                if found:
                    block = Block.of([Datapoint(one.t, msgspec.Raw(one.d), one.o) for one in found])
                    if not await self._give(Batch(self.path, block, -1, "", found)):
                        return
                    self.last = found[-1].id
            if not found and known == self.known:
                self.last = max(self.last, known)  # of what was published, the rest has been seen to meanwhile
                self.live = True
                return

    def _waiting(self) -> list[Downlink]:
        return self.hub.store.open_downlinks(self.key[0], after=self.last, limit=DOWNLINKS_AT_ONCE)


def _prepare(batch: Batch, script: Script) -> None:
    """Run *script*, so that the result is there when it is asked for."""
    with contextlib.suppress(ScriptError):
        batch.through(script)


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
