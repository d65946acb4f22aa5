"""Requests to devices that come and go, and servers that do."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from agent import Agent

from connectordb import ConnectorDB
from live_server import LiveServer

CI = bool(os.environ.get("CI"))
Connect = Callable[..., ConnectorDB]
Agents = Callable[..., Agent]


class Lamp(NamedTuple):
    """A device with the downlink ``on``, and who sends requests to it.

    Attributes:
        sender: The stream as the user ``test`` sees it.
        own: The stream as the device sees it.
        given: What the process of the device needs.
        file: Where it notes what it does.
    """

    sender: Any
    own: Any
    given: dict[str, Any]
    file: Path

    def did(self) -> list[Any]:
        """What the device has done, in order."""
        return [int(line.split()[1]) for line in self.file.read_text().splitlines()]


@pytest.fixture
def make_lamp(connect: Connect, tmp_path: Path, fresh_name: str) -> Callable[[LiveServer], Lamp]:
    """Makes a lamp on a server."""

    def make(server: LiveServer) -> Lamp:
        db = connect("test", "test", url=server.url, deadline=600, retries=10_000)
        device = db(f"test/{fresh_name}")
        device.create(streams={"on": {"downlink": True}})
        path = f"test/{fresh_name}/on"
        file = tmp_path / "did"
        file.touch()
        login = [device.apikey]
        given = {"url": server.url, "login": login, "path": path, "file": str(file), "backoff_max_s": 1.0}
        own = connect(*login, url=server.url, deadline=600, retries=10_000)(path)
        return Lamp(db(path), own, given, file)

    return make


@pytest.fixture
def lamp(make_lamp: Callable[[LiveServer], Lamp], server: LiveServer) -> Lamp:
    """One on the server that all tests share."""
    return make_lamp(server)


def values(stream: Any, **span: Any) -> list[Any]:
    return [point["d"] for point in stream(i1=0, **span)]


def test_what_was_asked_while_the_device_was_away_is_done_when_it_comes(lamp: Lamp, agents: Agents) -> None:
    sent = [lamp.sender.downlink(n) for n in range(250)]
    hopeless = lamp.sender.downlink(999, expires=0.05)
    assert hopeless.wait(20) == "expired"
    assert sent[0].wait(0.1) == "queued"
    device = agents("device", **lamp.given)
    assert [one.wait(60) for one in sent] == ["acknowledged"] * len(sent)
    assert lamp.did() == list(range(250))
    assert values(lamp.own) == list(range(250))
    assert sent[7].result.d() == [7]
    hopeless.refresh()
    assert hopeless.state == "expired"
    now = lamp.sender.downlink(1000)
    assert now.wait(20) == "acknowledged"
    assert device.ask("close") == []
    assert lamp.sender.downlink(1001).wait(0.2) == "queued"
    assert lamp.did()[250:] == [1000]


@pytest.mark.parametrize(
    ("how", "state", "stored"),
    [("points", "acknowledged", [[5]]), ("refuse", "refused", []), ("ignore", "refused", []), ("fail", "refused", [])],
)
def test_sender_sees_what_the_device_did(lamp: Lamp, agents: Agents, how: str, state: str, stored: list[Any]) -> None:
    device = agents("device", how=how, **lamp.given)
    device.ready()
    request = lamp.sender.downlink(5)
    assert request.wait(timeout=30) == state
    assert values(lamp.own) == stored
    assert lamp.did() == [5]
    if how == "fail":
        assert "it does not move" in request.msg


def test_newer_request_takes_the_place_of_older_ones(lamp: Lamp, agents: Agents) -> None:
    old = [lamp.sender.downlink(n) for n in range(3)]
    new = lamp.sender.downlink(3, supersede=True)
    assert [one.wait(20) for one in old] == ["superseded"] * 3
    agents("device", **lamp.given)
    assert new.wait(30) == "acknowledged"
    assert lamp.did() == [3]


def test_request_does_not_begin_after_it_has_expired(lamp: Lamp, agents: Agents) -> None:
    device = agents("device", how="wait", **lamp.given)
    device.ready()
    first = lamp.sender.downlink(1)
    assert device.listen() == {"begun": 1}
    second = lamp.sender.downlink(2, expires=0.3)  # is there, and waits for the callback
    assert second.wait(20) == "expired"
    third = lamp.sender.downlink(3)
    device.tell("go on")
    assert device.listen() == {"begun": 3}
    assert third.wait(30) == "acknowledged"
    assert first.wait(30) == "acknowledged"
    assert lamp.did() == [1, 3]


def test_server_killed_between_callback_and_acknowledgement(
    own_server: LiveServer, make_lamp: Callable[[LiveServer], Lamp], agents: Agents
) -> None:
    lamp = make_lamp(own_server)
    device = agents("device", how="wait", **lamp.given)
    device.ready()
    request = lamp.sender.downlink(1)
    assert device.listen() == {"begun": 1}
    assert request.wait(0.2) == "delivered"
    own_server.kill()
    device.tell("go on")
    own_server.start()
    assert request.wait(60) == "acknowledged"
    after = lamp.sender.downlink(2)
    assert device.listen() == {"begun": 2}
    assert after.wait(60) == "acknowledged"
    assert lamp.did() == [1, 2]
    assert values(lamp.own) == [1, 2]


def test_device_killed_in_its_callback_does_not_do_it_again(lamp: Lamp, agents: Agents) -> None:
    device = agents("device", how="wait", **lamp.given)
    device.ready()
    request = lamp.sender.downlink(1)
    assert device.listen() == {"begun": 1}
    waiting = lamp.sender.downlink(2)
    device.kill()
    again = agents("device", how="act", **lamp.given)
    assert waiting.wait(60) == "acknowledged"
    assert lamp.did() == [1, 2]
    before = request.id
    request.refresh()
    assert (request.id, request.state) == (before, "delivered")
    assert values(lamp.own) == [2]
    # What the new process says of it is taken: only the device knows.
    assert again.ask("close") == []


def test_two_processes_of_a_device_share_the_requests(lamp: Lamp, agents: Agents) -> None:
    devices = [agents("device", pause_s=0.01, **lamp.given) for _ in range(2)]
    for device in devices:
        device.ready()
    sent = [lamp.sender.downlink(n) for n in range(60)]
    assert [one.wait(60) for one in sent] == ["acknowledged"] * 60
    assert Counter(lamp.did()) == Counter(range(60))
    assert Counter(values(lamp.own)) == Counter(range(60))
    for device in devices:
        assert device.ask("close") == []


def test_each_request_is_done_once_however_often_the_server_is_killed(
    own_server: LiveServer, make_lamp: Callable[[LiveServer], Lamp], agents: Agents
) -> None:
    rng = random.Random()
    lamp = make_lamp(own_server)
    devices = [agents("device", pause_s=0.02, **lamp.given) for _ in range(2)]
    for device in devices:
        device.ready()
    sent = []
    n = 0
    for _ in range(12 if CI else 3):
        for _ in range(rng.randint(10, 60)):
            sent.append(lamp.sender.downlink(n))
            n += 1
        own_server.kill()
        own_server.start()
    states = Counter(one.wait(120) for one in sent)
    assert states == {"acknowledged": len(sent)}
    assert [(d, times) for d, times in Counter(lamp.did()).items() if times > 1] == []
    assert Counter(lamp.did()) == Counter(range(n))
    assert Counter(values(lamp.own)) == Counter(range(n))
    assert values(lamp.own, downlink=True) == list(range(n))
    assert len({one.id for one in sent}) == n


def test_each_request_is_done_once_though_devices_are_killed(lamp: Lamp, agents: Agents) -> None:
    rng = random.Random()
    sent = [lamp.sender.downlink(n) for n in range(200)]
    for _ in range(20 if CI else 5):
        device = agents("device", pause_s=0.005, **lamp.given)
        device.ready()
        time.sleep(rng.uniform(0.0, 0.2))
        device.kill()
    agents("device", **lamp.given)
    states = [one.wait(30) for one in sent if one.wait(0.5) != "delivered"]
    assert set(states) == {"acknowledged"}
    for one in sent:  # some may have been at work half a second later
        one.refresh()
    done = Counter(lamp.did())
    assert [(d, times) for d, times in done.items() if times > 1] == []
    acknowledged = [one.d for one in sent if one.state == "acknowledged"]
    assert values(lamp.own) == acknowledged
    assert set(acknowledged) <= set(done)
    # One that was being done, or was about to be, may be lost with each process; nobody can know whether it was done.
    assert len(sent) - len(acknowledged) <= (20 if CI else 5)
