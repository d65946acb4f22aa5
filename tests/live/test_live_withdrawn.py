"""Rights that end while somebody reads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from conditions import until

from connectordb import ConnectorDB, ConnectorDBError, NotFound, PermissionDenied, RequestError, Unauthenticated
from live_server import LiveServer

Connect = Callable[..., ConnectorDB]


class World(NamedTuple):
    """Anna's device ``source`` has the stream ``s``, which is public; Bob's device ``reader`` reads it.

    Attributes:
        admin: The user ``test``.
        source: A connection as Anna's device.
        reader: A connection as Bob's device, by api key.
        bob: A connection as Bob, by password.
        anna_name, bob_name: What they are called here.
    """

    admin: ConnectorDB
    source: ConnectorDB
    reader: ConnectorDB
    bob: ConnectorDB
    anna_name: str
    bob_name: str

    @property
    def path(self) -> str:
        return f"{self.anna_name}/source/s"


@pytest.fixture
def world(server: LiveServer, connect: Connect, fresh_name: str) -> World:
    admin = connect("test", "test", url=server.url)
    anna, bob = f"anna{fresh_name}", f"bob{fresh_name}"
    # So that Anna's stream needs a right to be read at all.
    admin(anna).create(f"{anna}@example.org", "pw", devices={"source": {"public": True, "streams": {"s": {}}}})
    admin(bob).create(f"{bob}@example.org", "pw", devices={"reader": {"role": "reader"}})
    return World(
        admin=admin,
        source=connect(admin(f"{anna}/source").apikey, url=server.url),
        reader=connect(admin(f"{bob}/reader").apikey, url=server.url),
        bob=connect(bob, "pw", url=server.url),
        anna_name=anna,
        bob_name=bob,
    )


class Change(NamedTuple):
    """Something that ends a right.

    Attributes:
        do: Makes it so.
        errors: With one of these it ends.
        who: Whose connection is concerned.
        goes_on: Whether a pattern goes on, with other streams.
    """

    do: Callable[[World], Any]
    errors: tuple[type[ConnectorDBError], ...]
    who: str = "reader"
    goes_on: bool = False


def new_key(world: World) -> None:
    world.admin(f"{world.bob_name}/reader").set({"apikey": ""})


GONE = (NotFound, PermissionDenied)
OUT = (Unauthenticated,)
CHANGES = {
    "permission withdrawn": Change(
        lambda w: w.admin(f"{w.anna_name}/source").set({"public": False}), GONE, goes_on=True
    ),
    "role withdrawn": Change(lambda w: w.admin(f"{w.bob_name}/reader").set({"role": "none"}), GONE),
    "stream deleted": Change(lambda w: w.admin(w.path).delete(), GONE, goes_on=True),
    "source deleted": Change(lambda w: w.admin(f"{w.anna_name}/source").delete(), GONE),
    "owner deleted": Change(lambda w: w.admin(w.anna_name).delete(), GONE),
    "reader deleted": Change(lambda w: w.admin(f"{w.bob_name}/reader").delete(), OUT),
    "reader disabled": Change(lambda w: w.admin(f"{w.bob_name}/reader").set({"enabled": False}), OUT),
    "api key reset": Change(new_key, OUT),
    "password changed": Change(lambda w: w.admin(w.bob_name).set_password("other"), OUT, who="bob"),
    "user deleted": Change(lambda w: w.admin(w.bob_name).delete(), OUT, who="bob"),
}


class Numbers:
    """Writes numbers to a stream, as fast as it goes, whatever becomes of the stream.

    Attributes:
        next: The number that is written next; those before have been begun.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.next = 0

    def __enter__(self) -> Numbers:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.001):
            n, self.next = self.next, self.next + 1
            try:
                self._stream.insert(n)
            except ConnectorDBError:
                self._over.wait(0.05)


def make_again(world: World) -> None:
    """Something else of the same name is not what was read."""
    try:
        world.admin(f"{world.anna_name}/source").exists() and world.admin(world.path).create()
    except RequestError:
        pass


@pytest.mark.parametrize("name", CHANGES)
def test_subscription_ends_at_once_and_says_why(name: str, world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "connectordb")
    change = CHANGES[name]
    got: list[int] = []
    notices: list[Any] = []
    db: ConnectorDB = getattr(world, change.who)
    subscription = db(world.path).subscribe(lambda _, data: got.extend(data.d()), on_notice=notices.append)
    with Numbers(world.source["s"]) as numbers:
        until(lambda: len(got) > 20, "data")
        change.do(world)
        after = numbers.next + 1  # the one before may have been on its way
        make_again(world)
        until(lambda: not subscription.active, "the end of the subscription")
        until(lambda: numbers.next > after + 50, "what is written later")
    assert max(got) < after
    assert got == list(range(got[0], got[-1] + 1))
    assert isinstance(subscription.error, change.errors), repr(subscription.error)
    assert [(notice.kind, notice.error) for notice in notices] == [("ended", subscription.error)]
    assert str(subscription.error)


@pytest.mark.parametrize("name", CHANGES)
def test_live_stream_ends_at_once_and_says_why(name: str, world: World) -> None:
    change = CHANGES[name]
    got: list[int] = []
    errors: list[Exception] = []
    db: ConnectorDB = getattr(world, change.who)
    live = db(world.path).live()

    def read() -> None:
        try:
            for point in live:
                got.append(point["d"])
        except ConnectorDBError as e:
            errors.append(e)

    thread = threading.Thread(target=read)
    thread.start()
    with Numbers(world.source["s"]) as numbers:
        until(lambda: len(got) > 20, "data")
        change.do(world)
        after = numbers.next + 1
        make_again(world)
        thread.join(60)
        assert not thread.is_alive()
        until(lambda: numbers.next > after + 20, "what is written later")
    assert max(got) < after
    assert got == list(range(got[0], got[-1] + 1))
    assert isinstance(errors[0], change.errors), repr(errors)


@pytest.mark.parametrize("name", CHANGES)
def test_pattern_ends_or_goes_on_with_other_streams(
    name: str, world: World, server: LiveServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "connectordb")
    change = CHANGES[name]
    device = world.admin(f"{world.anna_name}/other")
    device.create(public=True, streams={"o": {}})
    got: dict[str, list[int]] = {}
    notices: list[Any] = []
    db: ConnectorDB = getattr(world, change.who)
    subscription = db(world.anna_name).subscribe(
        lambda path, data: got.setdefault(path, []).extend(data.d()), on_notice=notices.append
    )
    other = f"{world.anna_name}/other/o"
    with Numbers(world.source["s"]) as numbers, Numbers(connect(device.apikey, url=server.url)["o"]):
        until(lambda: len(got.get(world.path, ())) > 20 and len(got.get(other, ())) > 20, "data")
        change.do(world)
        after = numbers.next + 1
        until(lambda: notices, "a notice")
        until(lambda: numbers.next > after + 20, "what is written later")
        so_far = len(got[other])
        if name == "owner deleted" or change.errors == OUT:
            until(lambda: not subscription.active, "the end of the subscription")
        elif name != "role withdrawn":
            until(lambda: len(got[other]) > so_far + 20, "more of the other stream")
            assert subscription.active
    assert max(got[world.path]) < after
    ended = [notice for notice in notices if notice.kind == "ended"]
    assert all(isinstance(notice.error, change.errors) for notice in ended), notices
    if change.goes_on or name == "source deleted":
        assert [notice.path for notice in ended] == [world.path]


def test_new_stream_of_the_same_name_does_not_come(world: World) -> None:
    got: list[Any] = []
    notices: list[Any] = []
    subscription = world.reader(world.path).subscribe(lambda _, data: got.extend(data.d()), on_notice=notices.append)
    world.source["s"].insert("old")
    until(lambda: got, "data")
    world.admin(world.path).delete()
    world.admin(world.path).create()
    for n in range(20):
        world.source["s"].insert(n)
    until(lambda: not subscription.active, "the end")
    assert got == ["old"]
    assert isinstance(subscription.error, NotFound)


def test_client_that_changes_its_own_key_or_password_goes_on(world: World, connect: Connect) -> None:
    for db, change in (
        (world.reader, lambda: world.reader.reset_apikey()),
        (world.bob, lambda: world.bob(world.bob_name).set_password("new")),
    ):
        got: list[int] = []
        subscription = db(world.path).subscribe(lambda _, data, got=got: got.extend(data.d()))
        with Numbers(world.source["s"]) as numbers:
            until(lambda got=got: len(got) > 20, "data")
            change()
            after = numbers.next
            until(lambda got=got, after=after: max(got) > after + 20, "data again")
        end = numbers.next - 1
        until(lambda got=got, end=end: got[-1] == end, "all of it")
        assert got == list(range(got[0], end + 1))
        assert subscription.active
        subscription.close()


def test_rights_given_again_let_a_new_subscription_begin(world: World) -> None:
    source = world.admin(f"{world.anna_name}/source")
    got: list[Any] = []
    first = world.reader(world.path).subscribe(lambda _, data: got.extend(data.d()), on_notice=lambda _: None)
    source.set({"public": False})
    until(lambda: not first.active, "the end")
    with pytest.raises(NotFound):
        world.reader(world.path).subscribe(lambda *_: None)
    source.set({"public": True})
    with_cursor = world.reader(world.path).subscribe(lambda _, data: got.extend(data.d()), cursor=first.cursor)
    world.source["s"].insert("again")
    until(lambda: got == ["again"], "data")
    assert with_cursor.active


def test_pattern_of_a_deleted_device_ends(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "connectordb")
    source = world.admin(f"{world.anna_name}/source")
    notices: list[Any] = []
    subscription = world.reader(source.path).subscribe(lambda *_: None, on_notice=notices.append)
    source.delete()
    until(lambda: not subscription.active, "the end of the subscription")
    assert isinstance(subscription.error, GONE)
    assert notices[-1].path == subscription.path
