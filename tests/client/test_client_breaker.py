"""Connections that are broken by another thread, however far they have come."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from connectordb import ConnectFailed, Stream
from connectordb.client import Credentials, HttpTransport, Session
from connectordb.client._breaker import Breaker

PATIENCE_S = 20.0


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def test_it_connects(listener: socket.socket) -> None:
    breaker = Breaker()
    with breaker.connect("localhost", port_of(listener), 5.0) as here, listener.accept()[0] as there:
        assert here.gettimeout() == 5.0
        here.sendall(b"x")
        assert there.recv(1) == b"x"
    breaker.close()


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = port_of(listener)
    with pytest.raises(ConnectionRefusedError):
        Breaker().connect("127.0.0.1", port, 5.0)


def test_a_connection_that_is_cut_and_one_that_is_released(listener: socket.socket) -> None:
    breaker = Breaker()
    with breaker.connect("127.0.0.1", port_of(listener), 5.0) as here, listener.accept()[0] as there:
        breaker.cut()
        assert here.recv(1) == there.recv(1) == b""
    with breaker.connect("127.0.0.1", port_of(listener), 5.0) as here, listener.accept()[0] as there:
        breaker.release()
        breaker.close()
        there.sendall(b"x")
        assert here.recv(1) == b"x"
    with pytest.raises(OSError, match="has been closed"):
        breaker.connect("127.0.0.1", port_of(listener), 5.0)


@pytest.fixture
def deaf() -> Iterator[int]:
    """The port of somebody who lets nobody in: a connection to it is never made."""
    if sys.platform != "linux":
        pytest.skip("elsewhere such a connection is refused")
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = port_of(listener)
        for _ in range(10):
            try:
                stack.enter_context(socket.create_connection(("127.0.0.1", port), 0.1))
            except TimeoutError:
                yield port
                return
        pytest.skip("this system lets more in than it was told")


def test_an_address_that_does_not_answer(deaf: int) -> None:
    with pytest.raises(TimeoutError):
        Breaker().connect("127.0.0.1", deaf, 0.05)
    breaker = Breaker()
    caught: list[BaseException] = []
    thread = threading.Thread(target=lambda: caught.append(_error_of(breaker.connect, "127.0.0.1", deaf, PATIENCE_S)))
    thread.start()
    while breaker._twin is None:
        thread.join(0.001)
    breaker.close()
    thread.join(5)
    assert not thread.is_alive()
    assert isinstance(caught[0], OSError)


def test_closing_a_client_whose_server_does_not_answer(deaf: int) -> None:
    before = set(threading.enumerate())
    session = Session(HttpTransport(f"http://127.0.0.1:{deaf}"), Credentials(password="key"))
    stream = Stream(session, "u/d/s")
    caught: list[BaseException] = []
    threads = [
        threading.Thread(target=lambda: caught.append(_error_of(stream.subscribe, print))),
        threading.Thread(target=lambda: caught.append(_error_of(stream.live))),
    ]
    for thread in threads:
        thread.start()
    while session.subscriptions._breaker._twin is None or not session._lives:
        threads[0].join(0.001)
    session.close()
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)
    assert len(caught) == 2
    assert not any(thread.name.startswith("connectordb-") for thread in set(threading.enumerate()) - before)


def test_a_server_that_does_not_answer_to_tls(listener: socket.socket) -> None:
    breaker = Breaker()
    transport = HttpTransport(f"https://127.0.0.1:{port_of(listener)}")
    caught: list[BaseException] = []

    def connect() -> None:
        caught.append(_error_of(transport.websocket, "/", headers={}, timeout_s=PATIENCE_S, breaker=breaker))

    thread = threading.Thread(target=connect)
    thread.start()
    there, _ = listener.accept()
    with there:
        assert there.recv(1) == b"\x16"  # a handshake has begun
        breaker.close()
        thread.join(5)
    assert not thread.is_alive()
    assert isinstance(caught[0], ConnectFailed)


def _error_of(function: Any, *args: Any, **kwargs: Any) -> BaseException:
    try:
        function(*args, **kwargs)
    except Exception as e:
        return e
    raise AssertionError("it did not fail")
