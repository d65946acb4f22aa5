"""Local mode: the server without a port."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from connectordb.block import Block
from connectordb.core import Core
from connectordb.core.folder import Folder
from connectordb.datapoint import Datapoint
from connectordb.errors import Closed, FolderError, StoreBusy, StoreError, TimedOut
from connectordb.server.local import LocalTransport, open_local
from connectordb.store._data import View

API = "/api/v1"


def headers(apikey: str) -> dict[str, str]:
    import base64

    return {"Authorization": "Basic " + base64.b64encode(f":{apikey}".encode()).decode()}


def ask(transport: LocalTransport, apikey: str, method: str, target: str, body: Any = None) -> Any:
    sent = None if body is None else json.dumps(body).encode()
    reply = transport.request(method, API + target, headers=headers(apikey), body=sent, timeout_s=10)
    assert reply.status == 200, reply.body
    return json.loads(reply.body) if reply.headers["content-type"].startswith("application/json") else reply.body


def test_new_folder_gets_an_administrator(tmp_path: Path) -> None:
    transport, apikey = open_local(tmp_path / "new", user="alice")
    try:
        assert ask(transport, apikey, "GET", "/?q=this") == b"alice/user"
        assert ask(transport, apikey, "GET", "/?q=countusers") == b"1"
        assert ask(transport, transport.admin_key, "GET", "/?q=this") == b"root"
    finally:
        transport.close()


@pytest.mark.parametrize(
    ("system", "expected"), [("alice", b"alice"), ("root", b"owner"), ("1é-", b"owner"), ("DOM\\bob.x", b"DOMbobx")]
)
def test_user_of_a_new_folder_is_called_like_that_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, expected: bytes
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: system)
    transport, apikey = open_local(tmp_path / "new")
    try:
        assert ask(transport, apikey, "GET", "/?q=this") == expected + b"/user"
    finally:
        transport.close()


def test_what_was_written_is_there_afterwards(tmp_path: Path) -> None:
    transport, apikey = open_local(tmp_path, user="alice")
    ask(transport, apikey, "POST", "/crud/alice/user/s", {})
    assert ask(transport, apikey, "POST", "/crud/alice/user/s/data", [{"t": 1, "d": 1}]) == b"ok"
    transport.close()
    transport.close()
    with pytest.raises(Closed):
        ask(transport, apikey, "GET", "/?q=this")
    transport, apikey = open_local(tmp_path)
    assert ask(transport, apikey, "GET", "/crud/alice/user/s/data?i1=0") == [{"t": 1, "d": 1}]
    transport.close()


def test_with_several_users_one_has_to_be_named(tmp_path: Path) -> None:
    transport, apikey = open_local(tmp_path, user="alice")
    ask(transport, apikey, "POST", "/crud/bob", {"email": "b@x", "password": "x"})
    transport.close()
    with pytest.raises(FolderError, match="alice, bob"):
        open_local(tmp_path)
    with pytest.raises(FolderError, match=r"'eve'.*alice, bob"):
        open_local(tmp_path, user="eve")
    transport, apikey = open_local(tmp_path, user="bob")
    assert ask(transport, apikey, "GET", "/?q=this") == b"bob/user"
    transport.close()


def test_same_folder_may_be_opened_again_in_this_process(tmp_path: Path) -> None:
    one, apikey = open_local(tmp_path, user="alice")
    two = LocalTransport(tmp_path)
    one.close()
    assert ask(two, apikey, "GET", "/?q=this") == b"alice/user"
    two.close()
    Folder.open(tmp_path).close()  # it is free now


def test_folder_of_another_process_is_refused(tmp_path: Path) -> None:
    Folder.create(tmp_path / "db", test=True)
    code = (
        "import sys; from connectordb.core.folder import Folder\n"
        "f = Folder.open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == b"open\n"
        with pytest.raises(FolderError, match=str(other.pid)):
            LocalTransport(tmp_path / "db")
        assert other.stdin is not None
        other.stdin.close()
    LocalTransport(tmp_path / "db").close()


def test_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(FolderError):
        open_local(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.fixture
def local(tmp_path: Path) -> Any:
    transport, apikey = open_local(tmp_path / "db", user="alice")
    ask(transport, apikey, "POST", "/crud/alice/user/s", {})
    yield transport, apikey
    transport.close()


def test_answers_stream(local: Any) -> None:
    transport, apikey = local
    for start in range(1, 40_001, 20_000):
        points = [{"t": t, "d": t} for t in range(start, start + 20_000)]
        ask(transport, apikey, "POST", "/crud/alice/user/s/data", points)
    target = API + "/crud/alice/user/s/data?i1=0"
    with transport.stream("GET", target, headers=headers(apikey), body=None, timeout_s=10) as reply:
        assert reply.status == 200
        pieces = list(reply.iter_bytes())
    assert len(pieces) > 2
    assert [p["d"] for p in json.loads(b"".join(pieces))] == list(range(1, 40_001))
    with transport.stream("GET", target, headers=headers(apikey), body=None, timeout_s=10) as reply:
        next(reply.iter_bytes())  # and no more of it
    assert ask(transport, apikey, "GET", "/crud/alice/user/s/data?q=length") == b"40000"
    with transport.stream("GET", API + "/nosuch", headers={}, body=None, timeout_s=10) as reply:
        assert reply.status == 404
        assert json.loads(b"".join(reply.iter_bytes()))["code"] == 404


def test_answer_that_is_cut_off_is_an_error(
    local: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async def broken(*args: Any, **kwargs: Any) -> AsyncIterator[Block]:
        for _ in range(10):
            yield Block.of([Datapoint(t=1.0, d="x" * 100_000)])
        raise RuntimeError("broken")

    monkeypatch.setattr(Core, "read", broken)
    transport, apikey = local
    target = API + "/crud/alice/user/s/data?i1=0"
    with pytest.raises(Closed):
        transport.request("GET", target, headers=headers(apikey), body=None, timeout_s=10)
    with (
        transport.stream("GET", target, headers=headers(apikey), body=None, timeout_s=10) as reply,
        pytest.raises(Closed),
    ):
        list(reply.iter_bytes())


def test_answer_that_does_not_come_in_time_is_an_error(local: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(*args: Any, **kwargs: Any) -> AsyncIterator[Block]:
        import asyncio

        await asyncio.sleep(5)
        yield Block.of([Datapoint(t=1.0)])

    monkeypatch.setattr(Core, "read", slow)
    transport, apikey = local
    target = API + "/crud/alice/user/s/data?i1=0"
    with pytest.raises(TimedOut):
        transport.request("GET", target, headers=headers(apikey), body=None, timeout_s=0.1)
    with (
        pytest.raises(TimedOut),
        transport.stream("GET", target, headers=headers(apikey), body=None, timeout_s=0.1),
    ):
        pass


def test_many_threads_may_ask_at_once(local: Any) -> None:
    transport, apikey = local

    def insert() -> None:
        for _ in range(25):
            ask(transport, apikey, "POST", "/crud/alice/user/s/data", [{"d": 1}])

    threads = [threading.Thread(target=insert) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ask(transport, apikey, "GET", "/crud/alice/user/s/data?q=length") == b"100"


def test_process_that_forgets_to_close_ends_properly(tmp_path: Path) -> None:
    code = (
        "import sys; from connectordb.server.local import open_local\n"
        "transport, key = open_local(sys.argv[1], user='alice'); print(transport.url)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(tmp_path / "db")], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    LocalTransport(tmp_path / "db").close()


def test_nothing_of_the_requests_is_shown(local: Any, capfd: pytest.CaptureFixture[str]) -> None:
    transport, apikey = local
    ask(transport, apikey, "GET", "/?q=this")
    transport.request("GET", API + "/nosuch", headers={}, body=None, timeout_s=10)
    assert capfd.readouterr() == ("", "")


def test_failure_is_told_to_the_caller_and_not_to_standard_error(
    local: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    transport, apikey = local
    errors = iter(
        [StoreBusy("the disk that holds /home/x/db is full"), StoreError("/x is damaged"), RuntimeError("odd")]
    )

    async def broken(*args: Any, **kwargs: Any) -> None:
        raise next(errors)

    monkeypatch.setattr(Core, "insert", broken)
    target = API + "/crud/alice/user/s/data"
    for status, told in ((503, "the disk that holds /home/x/db is full"), (503, "/x is damaged"), (500, "odd")):
        reply = transport.request("POST", target, headers=headers(apikey), body=b"[]", timeout_s=10)
        assert reply.status == status
        assert told in json.loads(reply.body)["msg"]
        assert told in caplog.text  # for those who listen
    capfd.readouterr()


def test_log_of_the_server_is_not_shown(tmp_path: Path) -> None:
    code = (
        "import sys; from connectordb.core import Core; from connectordb.server.local import open_local\n"
        "transport, key = open_local(sys.argv[1], user='alice'); Core.read_user = None\n"
        "reply = transport.request('GET', '/api/v1/crud/alice', headers={}, body=None, timeout_s=10)\n"
        "assert reply.status == 500 and b'NoneType' in reply.body, reply.body"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "db")], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_forked_process_is_told_that_it_cannot_use_the_database(tmp_path: Path) -> None:
    code = """
import os, sys, threading
from connectordb.errors import Closed, FolderError
from connectordb.server.local import LocalTransport, open_local

transport, key = open_local(sys.argv[1], user="alice")
ask = lambda: transport.request("GET", "/healthz", headers={}, body=None, timeout_s=10)
assert ask().status == 200
with transport.stream("GET", "/healthz", headers={}, body=None, timeout_s=10) as reply:
    # As another thread might do at this moment.
    type(transport._server)._lock.acquire()
    child = os.fork()
    if child:
        type(transport._server)._lock.release()
    else:
        for use in (ask, lambda: list(reply.iter_bytes()), lambda: transport.apikey("alice")):
            try:
                use()
            except Closed as e:
                assert str(os.getppid()) in str(e) and "forked" in str(e), e
            else:
                raise AssertionError
        try:
            LocalTransport(sys.argv[1])
        except FolderError as e:
            assert str(os.getppid()) in str(e), e
        else:
            raise AssertionError
if not child:
    transport.close()
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert ask().status == 200
transport.close()
LocalTransport(sys.argv[1]).close()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "db")], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_is_left_running_after_a_read_that_fails_or_is_left(
    local: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, apikey = local
    for start in range(1, 40_001, 20_000):
        points = [{"t": t, "d": t} for t in range(start, start + 20_000)]
        ask(transport, apikey, "POST", "/crud/alice/user/s/data", points)
    target = API + "/crud/alice/user/s/data?i1=0"

    async def running() -> int:
        mine = asyncio.current_task()
        return sum(task is not mine for task in asyncio.all_tasks())

    def left() -> int:
        deadline = time.monotonic() + 30
        n: int = transport._submit(running()).result(10)
        while n and time.monotonic() < deadline:
            time.sleep(0.01)
            n = transport._submit(running()).result(10)
        return n

    with transport.stream("GET", target, headers=headers(apikey), body=None, timeout_s=10) as reply:
        next(reply.iter_bytes())
    assert left() == 0
    page = View.page

    def failing(self: View, i: int, stop: int) -> Any:
        if i >= 20_000:
            raise StoreError("broken")
        return page(self, i, stop)

    monkeypatch.setattr(View, "page", failing)
    with pytest.raises(Closed):
        transport.request("GET", target, headers=headers(apikey), body=None, timeout_s=10)
    assert left() == 0
    monkeypatch.undo()
    assert len(ask(transport, apikey, "GET", "/crud/alice/user/s/data?i1=0")) == 40_000
