"""Queries at work: in steps, for a limited time, a few at once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

import numpy as np
import pytest

from connectordb.block import Block
from connectordb.core.working import STEP_BYTES, STEP_POINTS, Work, Workshop
from connectordb.datapoint import Datapoint
from connectordb.errors import LimitReached

PATIENCE_S = 20
SMALL = Block.of([Datapoint(1.0, 1)])


def endless(check: Callable[[], None]) -> Iterator[Block | None]:
    while True:
        yield None


@pytest.mark.parametrize("block", [SMALL, Block.of([Datapoint(1.0, "x" * 100_000)])])
def test_a_step_has_a_bound(block: Block) -> None:
    def many(check: Callable[[], None]) -> Iterator[Block | None]:
        for _ in range(2 * STEP_POINTS):
            yield block

    blocks, more = Work(many, PATIENCE_S).step()
    assert more
    assert len(blocks) <= STEP_POINTS
    assert sum(len(one.json) for one in blocks) < STEP_BYTES + 200_000


@pytest.mark.parametrize("text", [True, False])
def test_the_text_of_columns_is_made_where_the_work_is_done_if_it_is_wanted(text: bool) -> None:
    block = Block.of_columns(np.arange(1.0, 9.0), np.arange(8))
    assert Work(lambda check: [block], PATIENCE_S, text=text).step() == ([block], False)
    assert block.has_json is text


def test_it_ends_after_its_time_which_is_not_that_of_its_reader() -> None:
    work = Work(endless, 2.0)
    for _ in range(3):
        assert work.step() == ([], True)
        time.sleep(0.5)
    with pytest.raises(LimitReached, match="longer than 2 s"):
        for _ in range(20):
            work.step()


def test_one_long_step_ends_too() -> None:
    def stuck(check: Callable[[], None]) -> Iterator[Block | None]:
        while True:
            check()
        yield None

    with pytest.raises(LimitReached):
        Work(stuck, 0.1).step()


def test_what_nobody_waits_for_keeps_its_place_until_it_has_ended() -> None:
    free = threading.Event()
    running: list[int] = []

    def slow(check: Callable[[], None]) -> Iterator[Block | None]:
        running.append(1)
        free.wait(PATIENCE_S)
        running.pop()
        check()
        yield SMALL

    async def run() -> None:
        with ThreadPoolExecutor(3) as pool:
            shop = Workshop(pool, 3)

            async def ask(work: Work) -> list[Block]:
                async with aclosing(shop.blocks(work)) as blocks:
                    return [block async for block in blocks]

            given_up = [asyncio.ensure_future(ask(Work(slow, PATIENCE_S))) for _ in range(2)]
            while len(running) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            for task in given_up:
                task.cancel()
            await asyncio.wait(given_up)
            later = asyncio.ensure_future(ask(Work(lambda check: iter([SMALL]), PATIENCE_S)))
            await asyncio.sleep(0.05)
            assert not later.done()
            assert await asyncio.wrap_future(pool.submit(lambda: "others read")) == "others read"
            free.set()
            assert await later == [SMALL]

    asyncio.run(asyncio.wait_for(run(), PATIENCE_S))
