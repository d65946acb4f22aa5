"""A client that is closed leaves nothing behind."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conditions import until

from connectordb import Closed, ConnectorDB, TransportError
from live_server import LiveServer

Connect = Callable[..., ConnectorDB]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """After the test there are the threads, and the open files, that there were before."""
    gc.collect()
    threads, files = set(threading.enumerate()), open_files()
    yield
    left = set(threading.enumerate()) - threads
    assert left == set()
    gc.collect()
    assert open_files() <= files


def test_close_ends_all_threads(server: LiveServer, nothing_left: None, fresh_name: str) -> None:
    with ConnectorDB("test", "test", url=server.url) as db:
        device = db(f"test/{fresh_name}")
        device.create(streams={"a": {}, "b": {}, "lamp": {"downlink": True}})
        key = device.apikey
    for _ in range(3):
        own = ConnectorDB(key, url=server.url)
        got: list[Any] = []
        for stream in ("a", "b"):
            own[stream].subscribe(lambda _, data, got=got: got.extend(data.d()))
        own.subscribe(lambda *_: None)
        own["lamp"].subscribe(lambda *_: None, downlink=True)
        live = own["a"].live()
        reader = threading.Thread(target=lambda live=live: list(live))
        reader.start()
        own["a"].insert(1)
        until(lambda got=got: got, "data")
        own["lamp"].unsubscribe(downlink=True)
        own.close()
        reader.join(20)
        assert not reader.is_alive()


def test_ending_all_subscriptions_ends_their_connection(
    server: LiveServer, nothing_left: None, fresh_name: str
) -> None:
    with ConnectorDB("test", "test", url=server.url) as db:
        stream = db[fresh_name]
        stream.create()
        before = set(threading.enumerate())
        for _ in range(5):
            stream.subscribe(lambda *_: None)
            stream.unsubscribe()
        stream.subscribe(lambda *_: None)
        stream.subscribe(lambda *_: None)  # takes the place of the first
        until(lambda: len(set(threading.enumerate()) - before) <= 6, "the threads of those that have ended")


def test_close_while_the_server_is_away(own_server: LiveServer, nothing_left: None) -> None:
    with ConnectorDB("test", "test", url=own_server.url) as db:
        db["s"].create()
        db["s"].subscribe(lambda *_: None)
        live = db["s"].live()
        reader = threading.Thread(target=lambda: list(live))
        reader.start()
        own_server.kill()
        until(lambda: db._session.subscriptions._socket is None, "the client notices")
        time.sleep(0.2)  # it tries again, now and then
        began = time.monotonic()
        db.close()
        reader.join(20)
        assert not reader.is_alive()
        assert time.monotonic() - began < 5
    own_server.start()


def test_close_while_callbacks_run_waits_for_them(server: LiveServer, nothing_left: None, fresh_name: str) -> None:
    db = ConnectorDB("test", "test", url=server.url)
    stream = db[fresh_name]
    stream.create()
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def slow(path: str, data: Any) -> None:
        begun.set()
        go_on.wait(30)
        done.set()

    stream.subscribe(slow)
    stream.insert(1)
    assert begun.wait(30)
    closing = threading.Thread(target=db.close)
    closing.start()
    go_on.set()
    closing.join(30)
    assert done.is_set()


def test_close_from_within_a_callback(server: LiveServer, nothing_left: None, fresh_name: str) -> None:
    db = ConnectorDB("test", "test", url=server.url)
    stream = db[fresh_name]
    stream.create()
    before = set(threading.enumerate())
    closed = threading.Event()

    def close(path: str, data: Any) -> None:
        db.close()
        closed.set()

    subscription = stream.subscribe(close)
    stream.insert(1)
    assert closed.wait(30)
    until(lambda: not set(threading.enumerate()) - before, "the end of all threads")
    assert not subscription.active
    with pytest.raises(Closed):
        stream.subscribe(lambda *_: None)


def test_subscribe_that_fails_leaves_nothing(own_server: LiveServer, nothing_left: None) -> None:
    with ConnectorDB("test", "test", url=own_server.url) as db:
        for _ in range(3):
            with pytest.raises(Exception, match="nowhere"):
                db["nowhere"].subscribe(lambda *_: None)
            with pytest.raises(Exception, match="nowhere"):
                db["nowhere"].live()
        own_server.kill()
        for _ in range(3):
            with pytest.raises(TransportError):
                db["nowhere"].subscribe(lambda *_: None)
            with pytest.raises(TransportError):
                db["nowhere"].live()
    own_server.start()


def test_client_that_is_forgotten_lets_the_process_end(server: LiveServer, tmp_path: Path) -> None:
    import subprocess
    import sys

    script = (
        "import sys\n"
        "from connectordb import ConnectorDB\n"
        "db = ConnectorDB('test', 'test', url=sys.argv[1])\n"
        "db['forgotten'].create()\n"
        "db['forgotten'].subscribe(print)\n"
        "live = db['forgotten'].live()\n"
    )
    env = {k: v for k, v in os.environ.items() if not k.startswith("CONNECTORDB_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, server.url],
        capture_output=True, text=True, timeout=60, env=env, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
