"""Signs of life: who is asked when, and who is given up."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any

from connectordb.server.pings import AT_ONCE, Pings


class Selector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Does not wait: the time that it was to wait is over at once."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> Any:
        self.now += timeout or 0.0
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    """Its time goes on by what it waits, and in no other way, however slow the machine is."""

    def time(self) -> float:
        return self._selector.now  # type: ignore[attr-defined, no-any-return]


def run_in_no_time(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=lambda: Loop(Selector())) as runner:
        runner.run(main)


class Peer:
    def __init__(self, answers: bool) -> None:
        self.heard = True
        self.answers = answers
        self.asked: list[float] = []
        self.given_up: list[float] = []

    def ping(self) -> None:
        self.asked.append(asyncio.get_running_loop().time())
        if self.answers:
            asyncio.get_running_loop().call_later(0.01, setattr, self, "heard", True)

    def silent(self) -> None:
        self.given_up.append(asyncio.get_running_loop().time())


def run(peers: list[Peer], ping_s: float, pong_s: float, seconds: float) -> None:
    async def main() -> None:
        pings = Pings(ping_s, pong_s)
        for peer in peers:
            pings.add(peer)
        await asyncio.sleep(seconds)
        for peer in peers:
            pings.discard(peer)
        pings.close()

    run_in_no_time(main())


def test_all_are_asked_as_often_as_set_and_the_silent_are_given_up_once() -> None:
    peers = [Peer(answers=i % 2 == 0) for i in range(3 * AT_ONCE)]
    run(peers, 0.2, 0.3, 1.1)
    for peer in peers:
        if peer.answers:
            assert 3 <= len(peer.asked) <= 5 and not peer.given_up
        else:
            assert len(peer.given_up) == 1
            assert 0.28 < peer.given_up[0] - peer.asked[0] < 0.6
            assert len(peer.asked) <= 3


def test_questions_do_not_put_off_the_end() -> None:
    peer = Peer(answers=False)
    run([peer], 0.1, 0.35, 0.8)
    assert len(peer.given_up) == 1
    assert peer.given_up[0] - peer.asked[0] < 0.6


def test_who_has_left_is_not_asked() -> None:
    peer = Peer(answers=True)

    async def main() -> None:
        pings = Pings(0.05, 0.05)
        pings.add(peer)
        pings.discard(peer)
        await asyncio.sleep(0.2)
        pings.close()

    run_in_no_time(main())
    assert not peer.asked
