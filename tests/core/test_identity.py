"""Passwords, API keys and sessions."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from connectordb import errors
from connectordb.core import ROOT
from connectordb.core.sessions import ENDED_MAX, EndedSessions


@pytest.fixture
def alice(world: Any) -> Any:
    world.user("alice")
    return world


def login(world: Any, name: str, password: str, peer: str = "1.2.3.4") -> str:
    path: str = world.run(world.core.identity.login(name, password, peer)).path
    return path


def test_a_password_logs_in_to_the_device_user(alice: Any) -> None:
    assert login(alice, "alice", "alice") == "alice/user"
    assert login(alice, "Alice@LOCALHOST", "alice") == "alice/user"


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice", "wrong"),
        ("nobody", "x"),
        ("", ""),
        ("alice", ""),
        ("a@b", "x"),
        ("alice", "x" * 5000),
        ("\ud800", "\ud800"),
    ],
)
def test_wrong_credentials_are_refused(alice: Any, name: str, password: str) -> None:
    with pytest.raises(errors.Unauthenticated):
        login(alice, name, password)


def test_a_changed_password_counts_at_once(alice: Any) -> None:
    login(alice, "alice", "alice")
    alice.run(alice.core.update_user(ROOT, "alice", {"password": "new"}))
    with pytest.raises(errors.Unauthenticated):
        login(alice, "alice", "alice")
    assert login(alice, "alice", "new") == "alice/user"


def test_a_verified_password_is_not_hashed_again(alice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    login(alice, "alice", "alice")
    monkeypatch.setattr(alice.core.identity, "_matches", lambda *a: pytest.fail("hashed again"))
    assert login(alice, "alice", "alice") == "alice/user"


def test_after_too_many_failures_one_has_to_wait(make_world: Any) -> None:
    world = make_world(failures_max=3, failures_window_s=60)
    world.user("alice")
    world.user("bob")
    for _ in range(3):
        with pytest.raises(errors.Unauthenticated):
            login(world, "alice", "wrong")
    with pytest.raises(errors.TooManyRequests) as caught:
        login(world, "alice", "alice")
    assert caught.value.details["retry_after_s"] == 60
    assert login(world, "bob", "bob") == "bob/user"
    assert login(world, "alice", "alice", peer="5.6.7.8") == "alice/user"
    world.now += 61
    assert login(world, "alice", "alice") == "alice/user"


def test_many_logins_at_once_get_no_more_tries(make_world: Any) -> None:
    world = make_world(failures_max=5, failures_window_s=60)
    world.user("alice")

    async def attack() -> list[str]:
        tries = [world.core.identity.login(name, "wrong", "peer") for name in ("alice", "alice@localhost") * 10]
        return [type(e).__name__ for e in await asyncio.gather(*tries, return_exceptions=True)]

    found = world.run(attack())
    assert (found.count("Unauthenticated"), found.count("TooManyRequests")) == (5, 15)


def test_right_passwords_do_not_count_as_failures(make_world: Any) -> None:
    world = make_world(failures_max=2, failures_window_s=60)
    world.user("alice")
    for n in range(4):
        world.run(world.core.update_user(ROOT, "alice", {"password": str(n)}))
        assert login(world, "alice", str(n)) == "alice/user"


def test_a_failed_login_takes_its_time(make_world: Any) -> None:
    import time

    world = make_world(failure_delay_s=0.2)
    for attempt in (world.core.identity.login("x", "y"), world.core.identity.by_apikey("z")):
        began = time.monotonic()
        with pytest.raises(errors.Unauthenticated):
            world.run(attempt)
        assert time.monotonic() - began >= 0.2


def test_an_unknown_user_takes_as_long_as_a_wrong_password(make_world: Any) -> None:
    """The hash that nobody has is a proper one, with the cost of the settings."""
    import argon2

    world = make_world(password_time_cost=2, password_memory_kib=64, password_parallelism=2)
    decoy = world.core.identity._decoy
    found = argon2.extract_parameters(decoy)
    assert (found.time_cost, found.memory_cost, found.parallelism) == (2, 64, 2)
    with pytest.raises(argon2.exceptions.VerifyMismatchError):
        argon2.PasswordHasher().verify(decoy, "")


def test_an_api_key_is_its_device(alice: Any) -> None:
    key = alice.core.read_device(ROOT, "alice", "user").apikey
    assert alice.run(alice.core.identity.by_apikey(key)).path == "alice/user"
    for wrong in ("", "x", key + "x", "\ud800"):
        with pytest.raises(errors.Unauthenticated):
            alice.run(alice.core.identity.by_apikey(wrong))


def test_a_disabled_device_does_not_get_in(alice: Any) -> None:
    key = alice.core.read_device(ROOT, "alice", "user").apikey
    session = alice.core.identity.session(alice.actor("alice/user"))
    alice.run(alice.core.update_device(ROOT, "alice", "user", {"enabled": False}))
    with pytest.raises(errors.Unauthenticated, match="disabled"):
        alice.run(alice.core.identity.by_apikey(key))
    with pytest.raises(errors.Unauthenticated, match="disabled"):
        login(alice, "alice", "alice")
    assert alice.core.identity.by_session(session) is None


def test_the_key_of_the_folder_is_the_local_administrator(alice: Any) -> None:
    actor = alice.run(alice.core.identity.by_apikey("admin-key"))
    assert actor is ROOT
    assert actor.path == "root"


@pytest.mark.parametrize("change", [{"password": "new"}, None])
def test_a_session_ends_with_the_password_or_the_key_it_began_with(alice: Any, change: dict[str, str] | None) -> None:
    session = alice.core.identity.session(alice.actor("alice/user"))
    assert alice.core.identity.by_session(session).path == "alice/user"
    if change:
        alice.run(alice.core.update_user(ROOT, "alice", change))
    else:
        alice.run(alice.core.update_device(ROOT, "alice", "user", {"apikey": ""}))
    assert alice.core.identity.by_session(session) is None


@pytest.mark.parametrize("value", ["", "x", "a.b.c", "\ud800", "W10.x.y"])
def test_a_forged_session_is_nobody(alice: Any, value: str) -> None:
    assert alice.core.identity.by_session(value) is None
    session = alice.core.identity.session(alice.actor("alice/user"))
    assert alice.core.identity.by_session(session[:-2] + "xx") is None


def test_a_session_that_was_ended_is_nobody_and_others_go_on(alice: Any) -> None:
    identity, actor = alice.core.identity, alice.actor("alice/user")
    one, other = identity.session(actor), identity.session(actor)
    assert one != other
    alice.run(identity.end_session(one))
    assert identity.by_session(one) is None
    assert identity.by_session(other).path == "alice/user"
    for value in (one, "", "x", other[:-2] + "xx"):
        alice.run(identity.end_session(value))
    assert identity.by_session(other).path == "alice/user"
    assert identity.by_session(identity.session(actor)).path == "alice/user"


def test_ended_sessions_are_remembered_until_they_would_be_over(tmp_path: Path) -> None:
    now = 1000.0
    path = tmp_path / "ended"
    first = EndedSessions(path, lambda: now)
    assert not path.exists()
    for session, until in (("a", 2000.0), ("b", 3000.0)):
        first.add(session, until)
        first.write(session, until)
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open("a") as file:
        file.write("4000 torn\nnonsense\n\xe4\n5000")
    again = EndedSessions(path, lambda: now)
    assert ["a" in again, "b" in again, "torn" in again, "c" in again] == [True, True, True, False]
    again.add("c", 4000.0)
    again.write("c", 4000.0)
    now = 2500.0
    last = EndedSessions(path, lambda: now)
    assert ["a" in last, "b" in last, "c" in last] == [False, True, True]
    assert path.read_text() == "3000 b\n4000 torn\n4000 c\n"


def test_there_is_a_limit_to_ended_sessions() -> None:
    ended = EndedSessions(None, lambda: 0.0)
    for i in range(ENDED_MAX + 1):
        ended.add(str(i), 9.0)
    assert ["0" in ended, "1" in ended, str(ENDED_MAX) in ended] == [False, True, True]
