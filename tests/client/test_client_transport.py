"""HTTP: what can go wrong on the way becomes one of our errors, and connections are used again."""

from __future__ import annotations

import gzip
import multiprocessing
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from urllib3.util.request import ACCEPT_ENCODING

from connectordb import ConnectorDB
from connectordb.client import Credentials, HttpTransport, Reply
from connectordb.errors import Closed, ConnectFailed, ConnectorDBError, ServerError, TimedOut

Answering = Callable[..., Any]


def get(url: str, target: str = "/x", timeout_s: float = 5.0, method: str = "GET") -> Reply:
    transport = HttpTransport(url)
    try:
        return transport.request(method, target, headers={}, body=None, timeout_s=timeout_s)
    finally:
        transport.close()


def answer(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    return b"\r\n".join([b"HTTP/1.1 " + status, *headers, b"", body])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as s:
        port: int = s.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://localhost:3124", "http://localhost:3124"),
        ("http://localhost:3124/", "http://localhost:3124"),
        ("http://localhost:3124/api/v1/", "http://localhost:3124"),
        ("https://example.com/cdb/", "https://example.com/cdb"),
        ("http://[::1]:3124", "http://[::1]:3124"),
        ("localhost:3124", "http://localhost:3124"),
        ("127.0.0.1", "http://127.0.0.1"),
        ("example.com", "https://example.com"),
    ],
)
def test_address_is_understood(given: str, url: str) -> None:
    assert HttpTransport(given).url == url


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("", "no address"),
        ("ftp://example.com", "no address"),
        ("http://", "no address"),
        ("http://x:port", "no address"),
        ("http://u:p@example.com", "arguments of their own"),
    ],
)
def test_bad_address_is_refused(given: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        HttpTransport(given)


def test_nobody_listens() -> None:
    with pytest.raises(ConnectFailed, match="no connection"):
        get(f"http://127.0.0.1:{free_port()}")


def test_host_without_an_address() -> None:
    with pytest.raises(ConnectFailed, match="no connection"):
        get("http://nowhere.invalid")


def test_silence_times_out(answering: Answering) -> None:
    with answering(None) as url, pytest.raises(TimedOut):
        get(url, timeout_s=0.2)


BROKEN = [
    b"",
    b"HTTP/1.1 200 OK\r\nContent-Le",
    answer(b"half", b"Content-Length: 8"),
    answer(b"4\r\nha", b"Transfer-Encoding: chunked"),
    answer(b"4\r\nhalf\r\n", b"Transfer-Encoding: chunked"),
    answer(b"zz\r\nhalf\r\n", b"Transfer-Encoding: chunked"),
    answer(b"not gzip", b"Content-Encoding: gzip", b"Content-Length: 8"),
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"\x00" * 100,
    b"HTTP/1.1 200 OK\r\n" + b"X" * 100_000 + b"\r\n\r\n",
]


@pytest.mark.parametrize("data", BROKEN)
def test_broken_answer_is_closed(answering: Answering, data: bytes) -> None:
    with answering(data) as url, pytest.raises(Closed):
        get(url)


def test_answer_in_the_middle_of_its_body_times_out(answering: Answering) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []

    def serve() -> None:
        client, _ = listener.accept()
        held.append(client)
        client.recv(65536)
        client.sendall(answer(b"half", b"Content-Length: 8"))

    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.raises(TimedOut):
        get(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_s=0.3)
    thread.join()
    held[0].close()
    listener.close()


def test_good_answers_are_whole(answering: Answering) -> None:
    with answering(answer(b"whole", b"Content-Length: 5", b"X-Some: Header")) as url:
        assert get(url) == Reply(200, {"content-length": "5", "x-some": "Header"}, b"whole")
    with answering(answer(b"2\r\nwh\r\n3\r\nole\r\n0\r\n\r\n", b"Transfer-Encoding: chunked")) as url:
        assert get(url).body == b"whole"


def test_answers_may_be_compressed(answering: Answering) -> None:
    body = gzip.compress(b"whole")
    with answering(answer(body, b"Content-Encoding: gzip", b"Content-Length: %d" % len(body))) as url:
        assert get(url).body == b"whole"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        asked: list[bytes] = []

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                asked.append(client.recv(65536))
                client.sendall(answer(b"", b"Content-Length: 0"))

        thread = threading.Thread(target=serve)
        thread.start()
        get(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    wanted = "zstd, gzip" if "zstd" in ACCEPT_ENCODING else "gzip"
    assert f"\r\naccept-encoding: {wanted}\r\n".encode() in asked[0].lower()


@pytest.mark.parametrize("location", [b"/y?z=1", b"y", b"?z=1"])
def test_redirect_within_the_host_is_followed(answering: Answering, location: bytes) -> None:
    moved = answer(b"", b"Location: " + location, b"Content-Length: 0", b"Connection: close", status=b"301 Moved")
    with answering(moved, answer(b"here", b"Content-Length: 4")) as url:
        assert get(url).body == b"here"


@pytest.mark.parametrize(
    ("location", "method"),
    [("https://elsewhere.example/x", "GET"), ("/y", "POST"), ("//elsewhere.example/x", "GET"), ("mailto:me", "GET")],
)
def test_other_redirects_are_not_followed(answering: Answering, location: str, method: str) -> None:
    moved = answer(b"", b"Location: " + location.encode(), b"Content-Length: 0", status=b"302 Found")
    with answering(moved) as url, pytest.raises(ServerError, match="redirects to"):
        get(url, method=method)


def test_redirects_in_a_circle_end(answering: Answering) -> None:
    moved = answer(b"", b"Location: /x", b"Content-Length: 0", b"Connection: close", status=b"307 Again")
    with answering(*[moved] * 9) as url, pytest.raises(ServerError, match="in a circle"):
        get(url)


def test_unverified_certificate_is_refused(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout {key} -out {certificate}"
    subprocess.run(command.split(), check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        client, _ = listener.accept()
        with client, pytest.raises((ssl.SSLError, OSError)):
            context.wrap_socket(client, server_side=True).recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.raises(ConnectFailed, match="no secure connection"):
        get(f"https://127.0.0.1:{listener.getsockname()[1]}")
    thread.join()
    listener.close()


def test_connection_is_kept_between_requests(proxy: Any) -> None:
    with ConnectorDB("test", "test", url=proxy.url) as db:
        for _ in range(5):
            db.ping()
        with pytest.raises(ConnectorDBError):
            db("test/nosuch/thing").refresh()
        db.ping()
    assert proxy.connections == 1


def test_answer_not_read_to_its_end_does_not_spoil_the_next(server: Any, device: Any, any_values: Any) -> None:
    any_values.insert_array({"t": range(1, 30_001), "d": ["some text"] * 30_000})
    transport = HttpTransport(server.url)
    headers = Credentials(password=device.apikey).headers()
    for _ in range(3):
        target = f"/api/v1/crud/{any_values.path}/data?i1=0&i2=0"
        with transport.stream("GET", target, headers=headers, body=None, timeout_s=5) as reply:
            assert reply.status == 200
            assert next(reply.iter_bytes()).startswith(b"[{")
    assert transport.request("GET", "/api/v1/?q=this", headers={}, body=None, timeout_s=5).body == b"nobody"
    transport.close()


def test_closed_transport_sends_nothing(server: Any) -> None:
    transport = HttpTransport(server.url)
    assert transport.request("GET", "/api/v1/?q=this", headers={}, body=None, timeout_s=5).status == 200
    transport.close()
    transport.close()
    with pytest.raises(Closed, match="has been closed"):
        transport.request("GET", "/api/v1/?q=this", headers={}, body=None, timeout_s=5)


def test_one_client_serves_many_threads(db: Any, any_values: Any) -> None:
    errors: list[BaseException] = []

    def work(k: int) -> None:
        try:
            for i in range(10):
                any_values.insert([k, i])
                assert db("test").exists()
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert sorted(any_values[:].d()) == sorted([k, i] for k in range(12) for i in range(10))


def _child(transport: HttpTransport, results: Any) -> None:
    for _ in range(20):
        reply = transport.request("GET", f"/api/v1/crud/nosuch{os.getpid()}", headers={}, body=None, timeout_s=5)
        results.put(reply.status)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_client_survives_a_fork(server: Any) -> None:
    transport = HttpTransport(server.url)
    assert transport.request("GET", "/api/v1/?q=this", headers={}, body=None, timeout_s=5).status == 200
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=_child, args=(transport, results))
    child.start()
    for _ in range(20):
        assert transport.request("GET", "/api/v1/?q=this", headers={}, body=None, timeout_s=5).body == b"nobody"
    assert [results.get(timeout=20) for _ in range(20)] == [404] * 20
    child.join(20)
    assert child.exitcode == 0
    results.close()
    results.join_thread()
    transport.close()
