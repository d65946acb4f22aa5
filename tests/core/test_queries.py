"""Queries over several streams: what they read, and when they stop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from connectordb.core import ROOT
from connectordb.datapoint import Datapoint
from connectordb.errors import LimitReached, RequestError
from connectordb.store.records import Mode

N = 40_000
PATH = "ann/phone/s"


class Pages:
    """Counts the pages that are read from the store, and can hold the reading up."""

    def __init__(self, world: Any) -> None:
        self.n = 0
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        read = world.core.store.read

        def counted(*args: Any) -> Iterator[Any]:
            for block in read(*args):
                self.n += 1
                self.begun.set()
                assert self.go_on.wait(20)
                yield block

        world.core.store.read = counted


@pytest.fixture
def phone(world: Any) -> Any:
    """A device with a stream of `N` datapoints."""
    world.user("ann")
    phone = world.device("ann/phone")
    world.stream(PATH)
    points = [Datapoint(i + 1.0, i) for i in range(N)]
    for i in range(0, N, 5000):
        world.run(world.core.insert(phone, ("ann", "phone", "s"), points[i : i + 5000], Mode.ORDERED))
    return phone


def limited(world: Any, query_s: float) -> None:
    limits = msgspec.structs.replace(world.core.settings.limits, query_s=query_s)
    world.core.settings = msgspec.structs.replace(world.core.settings, limits=limits)


async def collect(blocks: Any) -> list[Datapoint]:
    return [point async for block in blocks for point in block.points]


def test_merge_gives_all_of_both(world: Any, phone: Any) -> None:
    found = world.run(collect(world.core.query_merge(phone, [{"stream": PATH}, {"stream": PATH, "i1": -2}])))
    assert [p.d for p in found] == [*range(N - 2), N - 2, N - 2, N - 1, N - 1]


def test_what_can_be_refused_is_before_anything_is_read(world: Any, phone: Any) -> None:
    pages = Pages(world)
    world.user("bob", public=False)
    stranger = world.device("bob/phone")
    for actor, query, status in (
        (stranger, {"stream": PATH}, 403),
        (phone, {"stream": PATH, "i1": N + 1}, 403),
        (phone, {"stream": PATH, "transform": "bogus"}, 400),
    ):
        dataset = {**query, "dataset": {"y": {"stream": PATH}}}
        for blocks in (world.core.query_merge(actor, [query]), world.core.query_dataset(actor, dataset)):
            with pytest.raises(RequestError) as e:
                world.run(anext(blocks))
            assert e.value.status == status
    assert pages.n == 0
    assert world.run(collect(world.core.query_merge(ROOT, [{"stream": PATH, "i1": -1}]))) == [Datapoint(N, N - 1)]


def test_no_more_is_read_than_is_taken(world: Any, phone: Any) -> None:
    pages = Pages(world)

    async def take_one() -> None:
        blocks = world.core.query_merge(phone, [{"stream": PATH}])
        await anext(blocks)
        read = pages.n
        await asyncio.sleep(0.05)
        await blocks.aclose()
        assert pages.n == read < 20

    world.run(take_one())


def test_reading_stops_when_nobody_waits_any_more(world: Any, phone: Any) -> None:
    pages = Pages(world)

    async def leave() -> None:
        pages.go_on.clear()
        query = {"stream": PATH, "transform": "if $ < 0"}
        waiting = asyncio.ensure_future(collect(world.core.query_merge(phone, [query])))
        await asyncio.to_thread(pages.begun.wait, 20)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        pages.go_on.set()
        # The threads that read are free again soon.
        threads = world.core.settings.store.read_threads
        barrier = threading.Barrier(threads)
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(world.core.reading, barrier.wait, 20) for _ in range(threads)))
        assert pages.n <= 2

    world.run(leave())


def test_slow_reader_uses_up_no_time(world: Any, phone: Any) -> None:
    limited(world, 2.0)

    async def read_slowly() -> int:
        n = 0
        async for block in world.core.query_merge(phone, [{"stream": PATH}]):
            n += block.n
            await asyncio.sleep(2.5 / (N / 1024))
        return n

    assert world.run(read_slowly()) == N
    limited(world, 1e-6)
    with pytest.raises(LimitReached):
        world.run(collect(world.core.query_merge(phone, [{"stream": PATH}])))


def test_time_stamp_of_zero_and_null_are_left_out(world: Any, phone: Any) -> None:
    async def text() -> bytes:
        dataset = {"y": {"stream": PATH, "interpolator": "before", "allownil": True}}
        query = {"t1": 0, "t2": 2, "dt": 1, "dataset": dataset, "posttransform": "$['y']"}
        return b",".join([block.json async for block in world.core.query_dataset(phone, query)])

    assert world.run(text()) == b'{},{"t":1.0,"d":0}'


def test_rows_of_which_nothing_comes_take_no_longer_than_a_query_may(make_world: Any) -> None:
    world = make_world()
    world.user("alice")
    phone = world.device("alice/phone")
    world.stream("alice/phone/s")
    limits = msgspec.structs.replace(world.core.settings.limits, query_s=0.2)
    world.core.settings = msgspec.structs.replace(world.core.settings, limits=limits)
    query = {
        "t1": 1,
        "t2": 9_000_000,
        "dt": 1,
        "posttransform": "if false",
        "dataset": {"a": {"stream": "alice/phone/s", "allownil": True}},
    }

    async def run() -> list[Any]:
        return [block async for block in world.core.query_dataset(phone, query)]

    begun = time.monotonic()
    with pytest.raises(LimitReached):
        world.run(run())
    assert time.monotonic() - begun < 10
