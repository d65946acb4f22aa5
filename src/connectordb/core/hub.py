"""The hub: what has been committed goes to those who follow it."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ..block import Block
from ..errors import ScriptError, StoreError
from ..store.base import Store
from ..store.records import Cursor, Downlink, Substream
from .cursors import EphemeralCursor, format_cursor
from .directory import Directory, Target
from .scripts import transformed_whole

if TYPE_CHECKING:
    from ..pipescript import Script
    from ..wire import Correction
    from .feed import Feed
    from .subscription import Subscriber, Subscription

__all__ = ["Amendment", "Batch", "Corrected", "Hub", "Key", "Notice", "Outlet", "Publication", "stream_path"]

FLUSH_S = 0.005
"""After so long the hub lets others have the event loop before it goes on publishing."""
BUSY = 100
"""If so many publications wait, who publishes to an ephemeral stream is answered later."""
BACKLOG_MAX = 5_000
"""If so many publications wait, those who follow the stream get the next ones from the store instead."""
SWEEP_S = 0.02
"""Pause between two looks at all subscriptions, while things keep changing."""
SWEEP_STEP = 200

Key = tuple[int, Substream]


class Batch:
    """Datapoints that go to subscribers together: one insert, or a page that is read to catch up.

    Attributes:
        path: ``user/device/stream``, or ``user/device/stream/downlink``.
        block: The datapoints as stored.
        index: Index of the first datapoint; -1 if the stream stores none.
        cursor: Stands for all that a subscriber has seen with this batch, as text.
        downlinks: What the datapoints ask of the owner of the stream.
        forms: The batch as encoded by outlets, by whatever key they like: each form is made once for all subscribers.
    """

    __slots__ = ("block", "cursor", "downlinks", "forms", "index", "path", "results")

    def __init__(self, path: str, block: Block, index: int, cursor: str, downlinks: Sequence[Downlink] = ()) -> None:
        self.path = path
        self.block = block
        self.index = index
        self.cursor = cursor
        self.downlinks = downlinks
        self.forms: dict[Any, Any] = {}
        self.results: dict[Script, Batch | ScriptError | None] | None = None

    def through(self, script: Script) -> Batch | None:
        """Return what *script* makes of this batch as its whole input; ``None``: nothing. Worked out once for all.

        Raises:
            ScriptError: it fails on a datapoint.
        """
        if self.results is None:
            self.results = {}
        if script not in self.results:
            try:
                block = transformed_whole(self.block, script)
                made = None if block is None else Batch(self.path, block, self.index, self.cursor, self.downlinks)
                self.results[script] = made
            except ScriptError as e:
                self.results[script] = e
        result = self.results[script]
        if isinstance(result, ScriptError):
            raise result
        return result


class Notice(NamedTuple):
    """What a subscriber is told besides datapoints.

    Attributes:
        kind: ``lag``: it is too slow, and *n* datapoints behind; they follow. ``missed``: *n* datapoints (``None``:
            nobody knows how many) of an ephemeral stream were not delivered. ``reset``: its cursor does not belong to
            the stream as it is now. ``failed``: the script has failed, as *error* says, and nothing comes of *n*
            datapoints. ``seen``: it has seen the stream up to *cursor*, of whose end its script made nothing.
            ``corrected``: what it has been given before is not so any more, as *correction* tells.
            ``ended``: nothing more comes, because of *error*.
        path: Of the stream, as in `Batch`.
    """

    kind: str
    path: str
    n: int | None = None
    error: Exception | None = None
    cursor: str | None = None
    correction: Corrected | None = None


class Corrected(NamedTuple):
    """What was corrected: one correction, or several at once.

    Attributes:
        t1, t2: All is between these time stamps, and at them.
        one: The entry of the ledger; ``None``: there were several.
    """

    t1: float
    t2: float
    one: Correction | None = None

    def with_(self, other: Corrected) -> Corrected:
        """Return both as one."""
        return Corrected(min(self.t1, other.t1), max(self.t2, other.t2))


class Outlet(Protocol):
    """Where subscriptions deliver to: one for each connection. Everything happens on the event loop."""

    @property
    def full(self) -> bool:
        """Whether too much is waiting to be sent."""

    def offer(self, subscription: Subscription, batch: Batch) -> bool:
        """Take *batch*, or return ``False`` because too much is waiting to be sent. Never blocks."""

    async def room(self) -> None:
        """Return when there is room again. Raises `Closed` if the connection is gone."""

    def tell(self, subscription: Subscription, notice: Notice) -> None:
        """Pass *notice* on. It is small, and is taken even when there is no room."""

    def end(self, error: Exception) -> None:
        """Close the whole connection because of *error*."""


class Publication(NamedTuple):
    """One insert that has been committed, on its way to those who follow the stream.

    Attributes:
        before, end: How many datapoints had arrived before it, and with it.
        position: Of who has seen it and all before.
        committed: When that was, as `time.perf_counter` counts.
    """

    target: Target
    substream: Substream
    before: int
    end: int
    position: Cursor
    batch: Batch
    committed: float


class Amendment(NamedTuple):
    """A correction that has been committed, on its way to those who follow the stream.

    Attributes:
        before, end: The states of the stream before it, and with it.
        committed: When that was, as `time.perf_counter` counts.
    """

    target: Target
    substream: Substream
    correction: Correction
    before: int
    end: int
    committed: float


class Hub:
    """Hands publications to feeds, in the order of their commits. Nobody who publishes waits for anybody who follows.

    To be used on the event loop only, but for `changed`.

    Attributes:
        run: Names this run of the server in cursors of ephemeral streams.
        subscriptions: How many there are.
        behind: How many feeds are catching up from the store.
        delivered: Batches handed to outlets.
        failed: Feeds that ended because of a fault of ours.
        missed: Datapoints of ephemeral streams for which an outlet had no room.
        observe: Is told for each publication how long it took from the commit to the last outlet, in seconds.
    """

    def __init__(self, store: Store, directory: Directory, reading: ThreadPoolExecutor) -> None:
        self.store = store
        self.directory = directory
        self.reading = reading
        self.run = secrets.token_hex(4)
        self.subscriptions = 0
        self.behind = 0
        self.delivered = 0
        self.failed = 0
        self.missed = 0
        self.observe: Callable[[float], None] | None = None
        self.subscribers: dict[Subscriber, None] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self._feeds: dict[Key, dict[Feed, None]] = {}
        self._patterns: dict[tuple[str, int], dict[Subscription, None]] = {}
        self._ephemeral: dict[Key, int] = {}
        self._backlog: deque[Publication | Amendment] = deque()
        self._waiting: deque[Callable[[], None]] = deque()
        self._flushing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweeping = False
        self._swept = -1

    def publish(
        self,
        target: Target,
        substream: Substream,
        block: Block,
        index: int = -1,
        before: int = 0,
        downlinks: Sequence[Downlink] = (),
        committed: float | None = None,
    ) -> None:
        """Hand *block*, which has been committed, to all who follow, a moment later: after it was acknowledged.

        Args:
            index: Index of its first datapoint.
            before: How many datapoints had arrived before. For an ephemeral stream it is counted here.
            committed: When that was, as `time.perf_counter` counts; ``None``: now.
        """
        stream_id = target.stream.id
        key = (stream_id, substream)
        position = Cursor.behind(before + block.n)
        cursor: Cursor | EphemeralCursor = position
        if target.stream.ephemeral:
            before = self._ephemeral.get(key, 0)
            self._ephemeral[key] = before + block.n
            cursor = EphemeralCursor(self.run, before + block.n)
        if key not in self._feeds and not self._patterns:
            return
        batch = Batch(stream_path(target, substream), block, index, format_cursor(stream_id, cursor), downlinks)
        publication = Publication(
            target, substream, before, before + block.n, position, batch, committed or perf_counter()
        )
        if len(self._backlog) >= BACKLOG_MAX:
            self._skip(publication)
            return
        self._queue(publication)

    def amend(self, target: Target, correction: Correction, before: int, end: int, committed: float) -> None:
        """Tell all who follow of *correction*, which has been committed, in its turn between what is published.

        Args:
            before, end: The states of the stream before it, and with it.
            committed: When that was, as `time.perf_counter` counts.
        """
        if (target.stream.id, Substream.MAIN) in self._feeds:
            self._queue(Amendment(target, Substream.MAIN, correction, before, end, committed))

    def _queue(self, item: Publication | Amendment) -> None:
        self._backlog.append(item)
        if not self._flushing:
            self._flushing = True
            # Two turns of the loop: in the first, those who wait for the commit are told of it.
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._flush)

    @property
    def lag(self) -> int:
        """How many datapoints feeds are known to be behind, together."""
        return sum(feed.lag for feeds in self._feeds.values() for feed in feeds)

    def when_free(self, then: Callable[[], None]) -> None:
        """Call *then* when there is room for more publications: at once, or when those that wait have been handed out.

        So who publishes to an ephemeral stream, where nothing waits for the disk, is not quicker than its followers
        can be told.
        """
        if len(self._backlog) < BUSY:
            then()
        else:
            self._waiting.append(then)

    def ephemeral_count(self, key: Key) -> int:
        """Return how many datapoints of an ephemeral stream have come by since the server started."""
        return self._ephemeral.get(key, 0)

    def add(self, feed: Feed) -> None:
        """Let *feed* have what is published from now on."""
        self._feeds.setdefault(feed.key, {})[feed] = None

    def remove(self, feed: Feed) -> None:
        """Undo `add`."""
        feeds = self._feeds.get(feed.key)
        if feeds is not None:
            feeds.pop(feed, None)
            if not feeds:
                del self._feeds[feed.key]

    def add_pattern(self, subscription: Subscription, place: tuple[str, int]) -> None:
        """Ask *subscription* about streams below *place*, ``("user" or "device", id)``, that it does not follow yet."""
        self._patterns.setdefault(place, {})[subscription] = None

    def remove_pattern(self, subscription: Subscription, place: tuple[str, int]) -> None:
        """Undo `add_pattern`."""
        known = self._patterns.get(place)
        if known is not None:
            known.pop(subscription, None)
            if not known:
                del self._patterns[place]

    def changed(self) -> None:
        """Look soon whether all who are connected still may have what they follow. May be called from any thread."""
        loop = self._loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self._begin_sweep)
            except RuntimeError:  # the loop is closed
                pass

    def connected(self, subscriber: Subscriber) -> None:
        """Take note of *subscriber*."""
        self._loop = asyncio.get_running_loop()
        self.subscribers[subscriber] = None

    def disconnected(self, subscriber: Subscriber) -> None:
        """Forget *subscriber*."""
        self.subscribers.pop(subscriber, None)

    def spawn(self, work: Any) -> asyncio.Task[None]:
        """Run a coroutine, which handles its errors, for as long as the hub is open."""
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def close(self) -> None:
        """End everything that runs. Outlets are closed by those who opened them."""
        for subscriber in list(self.subscribers):
            subscriber.close()
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _flush(self) -> None:
        until = perf_counter() + FLUSH_S
        while self._backlog:
            publication = self._backlog.popleft()
            self._hand_out(publication)
            now = perf_counter()
            if self.observe is not None:
                self.observe(now - publication.committed)
            if now > until and self._backlog:
                asyncio.get_running_loop().call_soon(self._flush)
                return
        self._flushing = False
        while self._waiting and len(self._backlog) < BUSY:
            self._waiting.popleft()()

    def _hand_out(self, publication: Publication | Amendment) -> None:
        if isinstance(publication, Publication):
            self._admit(publication)
        feeds = self._feeds.get((publication.target.stream.id, publication.substream))
        if feeds:
            for feed in tuple(feeds):
                try:
                    if isinstance(publication, Publication):
                        feed.take(publication)
                    else:
                        feed.amend(publication)
                except Exception as e:
                    feed.fail(e)

    def _skip(self, publication: Publication) -> None:
        self._admit(publication)
        for feed in tuple(self._feeds.get((publication.target.stream.id, publication.substream), ())):
            feed.skip(publication)

    def _admit(self, publication: Publication) -> None:
        """Let patterns that cover the stream, and do not know it, follow it from this publication on."""
        if self._patterns and publication.substream is Substream.MAIN:
            target = publication.target
            for place in (("device", target.device.id), ("user", target.user.id)):
                for subscription in tuple(self._patterns.get(place, ())):
                    subscription.admit(target, publication.before)

    def _begin_sweep(self) -> None:
        if not self._sweeping:
            self._sweeping = True
            self.spawn(self._sweep())

    async def _sweep(self) -> None:
        try:
            while self._swept != self.directory.generation:
                self._swept = self.directory.generation
                looked = 0
                for subscriber in list(self.subscribers):
                    try:
                        subscriber.check()
                    except StoreError:
                        self._swept = -1  # looked at again; until then nothing is delivered without a look
                    looked += 1 + len(subscriber.subscriptions)
                    if looked >= SWEEP_STEP:
                        looked = 0
                        await asyncio.sleep(0)
                await asyncio.sleep(SWEEP_S)
        finally:
            self._sweeping = False


def stream_path(target: Target, substream: Substream) -> str:
    """Return the path of the stream, or of its downlink, as subscribers know it."""
    path = f"{target.user.name}/{target.device.name}/{target.stream.name}"
    return path + "/downlink" if substream is Substream.DOWNLINK else path
