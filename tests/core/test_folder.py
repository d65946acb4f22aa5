"""The database folder: made whole or not at all, open once, closed to others."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from connectordb.core.folder import TEST_SETTINGS, Folder, Process, Server, State
from connectordb.errors import ConnectorDBError, FolderError, Unauthenticated

FILES = {"connectordb.toml", "connectordb.db", "connectordb.lock", "keys"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "db"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir() if not entry.name.startswith("connectordb.db-")}


def login(path: Path, name: str, password: str) -> str:
    async def run() -> str:
        with Folder.open(path, environ={}) as folder:
            core = folder.core()
            try:
                return (await core.identity.login(name, password)).path
            finally:
                await core.close()

    return asyncio.run(run())


def holder(path: Path, *, announced: bool = False) -> subprocess.Popen[str]:
    """A process that has the folder open until its input ends."""
    code = (
        "import sys; from connectordb.core.folder import Folder\n"
        "with Folder.open(sys.argv[1]) as folder:\n"
        "    if len(sys.argv) > 2: folder.announce('127.0.0.1', 4321)\n"
        "    print('open', flush=True); sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path), *(["announce"] if announced else [])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def end(process: subprocess.Popen[str], *, kill: bool = False) -> None:
    if kill:
        process.kill()
    process.communicate(timeout=10)


def test_created_folder_is_complete_and_closed_to_others(path: Path) -> None:
    Folder.create(path, user="alice", password="secret")
    assert names(path) == FILES
    assert mode(path) == 0o700
    assert mode(path / "keys") == 0o700
    assert {file.name: mode(file) for file in (path / "keys").iterdir()} == {
        "session.key": 0o600,
        "admin.key": 0o600,
    }
    assert login(path, "alice", "secret") == "alice/user"
    assert login(path, "alice@localhost", "secret") == "alice/user"
    with pytest.raises(Unauthenticated):
        login(path, "alice", "wrong")


def test_permissive_umask_does_not_open_the_keys(path: Path) -> None:
    old = os.umask(0)
    try:
        Folder.create(path, test=True)
    finally:
        os.umask(old)
    assert mode(path) == 0o700
    assert mode(path / "keys/admin.key") == 0o600
    assert mode(path / "keys/session.key") == 0o600


def test_folder_for_tests_has_its_user_and_cheap_settings(path: Path) -> None:
    Folder.create(path, test=True)
    settings = Folder.read_settings(path, environ={})
    assert {name for name, origin in settings.origins.items() if origin != "default"} == set(TEST_SETTINGS)
    assert settings.server.port == 3124
    assert login(path, "test", "test") == "test/user"


def test_first_user_is_an_administrator_with_the_email_given(path: Path) -> None:
    from connectordb.core import ROOT

    async def read() -> tuple[object, object]:
        with Folder.open(path, environ={}) as folder:
            core = folder.core()
            try:
                user = core.read_user(ROOT, "alice")
                return user.role, user.email
            finally:
                await core.close()

    Folder.create(path, test=True, user="alice", password="a:b", email="alice@example.org")
    assert asyncio.run(read()) == ("admin", "alice@example.org")
    assert login(path, "alice", "a:b") == "alice/user"


def test_folder_in_an_empty_folder_and_in_one_with_parents_to_make(tmp_path: Path) -> None:
    (tmp_path / "empty" / "lost+found").mkdir(parents=True)
    Folder.create(tmp_path / "empty", test=True)
    assert mode(tmp_path / "empty") == 0o700
    Folder.create(tmp_path / "a" / "b" / "c", test=True)
    Folder.check(tmp_path / "a" / "b" / "c")


def test_folder_is_created_also_where_an_event_loop_runs(path: Path) -> None:
    async def cell() -> None:
        Folder.create(path, test=True)

    asyncio.run(cell())
    assert login(path, "test", "test") == "test/user"


def test_keys_of_two_databases_differ(tmp_path: Path) -> None:
    for name in "ab":
        Folder.create(tmp_path / name, test=True)
    keys = {(tmp_path / name / "keys" / file).read_text() for name in "ab" for file in ("admin.key", "session.key")}
    assert len(keys) == 4


def test_folder_that_is_not_empty_is_refused_and_left_alone(path: Path) -> None:
    path.mkdir()
    for name in ("letter.txt", "photo.jpg", "c", "d", "e", "f", "g"):
        (path / name).write_text("mine")
    with pytest.raises(FolderError, match=r"not empty .*c, d, e, f, g and 2 more"):
        Folder.create(path, test=True)
    with pytest.raises(FolderError, match="not empty"):
        Folder.check_new(path)
    assert len(names(path)) == 7


def test_folder_that_is_a_database_already_is_refused(path: Path) -> None:
    Folder.create(path, test=True)
    with pytest.raises(FolderError, match=r"holds a database already.*connectordb start"):
        Folder.create(path, test=True)
    assert login(path, "test", "test") == "test/user"


def test_path_that_is_a_file_is_refused(path: Path) -> None:
    path.write_text("mine")
    with pytest.raises(FolderError, match="not a folder"):
        Folder.create(path, test=True)
    with pytest.raises(FolderError, match="cannot be made"):
        Folder.create(path / "below", test=True)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("existed", [False, True])
@pytest.mark.parametrize(("user", "password"), [("9lives", "secret"), ("alice", ""), ("api", "secret")])
def test_failed_create_leaves_nothing(path: Path, user: str, password: str, existed: bool) -> None:
    if existed:
        path.mkdir()
    with pytest.raises(ConnectorDBError):
        Folder.create(path, user=user, password=password)
    assert path.exists() == existed
    assert not existed or names(path) == set()


def test_killed_create_is_recognised_and_can_be_repeated(path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from connectordb.core import folder\n"
        "async def die(*_): os.kill(os.getpid(), signal.SIGKILL)\n"
        "folder._create_user = die\n"
        "folder.Folder.create(sys.argv[1], test=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], timeout=30)
    assert done.returncode == -signal.SIGKILL
    assert names(path)
    for refused in (Folder.check, Folder.open, Folder.state, Folder.read_settings, Folder.read_admin_key):
        with pytest.raises(FolderError, match=r"not been created completely.*connectordb create"):
            refused(path)
    Folder.create(path, test=True)
    assert names(path) == FILES
    assert login(path, "test", "test") == "test/user"


def test_create_killed_at_any_moment_can_be_repeated(path: Path) -> None:
    code = "import sys; from connectordb.core.folder import Folder; Folder.create(sys.argv[1], test=True)"
    for round_ in range(6):
        process = subprocess.Popen([sys.executable, "-c", code, str(path)], stderr=subprocess.DEVNULL)
        time.sleep(0.15 + 0.06 * round_)
        process.kill()
        process.wait(timeout=10)
        try:
            Folder.check(path)
        except FolderError:
            Folder.create(path, test=True)
        assert login(path, "test", "test") == "test/user"
        subprocess.run(["rm", "-r", str(path)], check=True)


def test_of_two_creates_at_once_one_wins(path: Path) -> None:
    code = "import sys; from connectordb.core.folder import Folder; Folder.create(sys.argv[1], test=True)"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    told = [process.communicate(timeout=30)[1] for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 1]
    assert any("in use" in text or "holds a database already" in text for text in told)
    assert login(path, "test", "test") == "test/user"


@pytest.mark.parametrize("made", ["nothing", "file", "empty", "foreign"])
def test_what_is_no_database_folder_is_named(path: Path, made: str) -> None:
    if made == "file":
        path.write_text("mine")
    elif made != "nothing":
        path.mkdir()
        if made == "foreign":
            (path / "letter.txt").write_text("mine")
    reason = {"nothing": "does not exist", "file": "not a folder"}.get(made, "not a database folder")
    for refused in (Folder.check, Folder.open, Folder.state, Folder.read_settings, Folder.read_admin_key):
        with pytest.raises(FolderError, match=f"{reason}.*connectordb create {path}"):
            refused(path)


def test_open_folder_cannot_be_opened_again_until_it_is_closed(path: Path) -> None:
    Folder.create(path, test=True)
    with Folder.open(path) as folder:
        with pytest.raises(FolderError, match="already open in this process"):
            Folder.open(path)
        folder.close()
        folder.close()
        Folder.open(path).close()


def test_holder_of_the_folder_is_named(path: Path) -> None:
    Folder.create(path, test=True)
    process = holder(path)
    with pytest.raises(FolderError, match=f"in use by process {process.pid} "):
        Folder.open(path)
    state = Folder.state(path)
    assert state.in_use
    assert state.process is not None
    assert state.process.pid == process.pid
    assert (state.server, state.stale) == (None, None)
    end(process)
    assert not Folder.state(path).in_use


def test_server_on_the_folder_is_named_with_its_address(path: Path) -> None:
    Folder.create(path, test=True)
    process = holder(path, announced=True)
    with pytest.raises(FolderError, match=f"already running: process {process.pid} serves it at http://127.0.0.1:4321"):
        Folder.open(path)
    server = Folder.state(path).server
    assert server is not None
    assert (server.pid, server.host, server.port) == (process.pid, "127.0.0.1", 4321)
    assert abs(server.started - time.time()) < 60
    assert mode(path / "connectordb.pid") == 0o600
    end(process)
    assert names(path) == FILES
    assert Folder.state(path).server is None


def test_pid_file_of_a_killed_server_is_stale_and_recovered(path: Path) -> None:
    Folder.create(path, test=True)
    process = holder(path, announced=True)
    end(process, kill=True)
    state = Folder.state(path)
    assert state.in_use is False
    assert state.server is None
    assert state.stale is not None
    assert state.stale.pid == process.pid
    with Folder.open(path) as folder:
        assert folder.stale == state.stale
        assert Folder.state(path)[2:] == (None, None)
    assert Folder.state(path) == State(False, None, None, None)


def test_pid_file_of_another_process_than_the_holder_is_not_believed(path: Path) -> None:
    Folder.create(path, test=True)
    with Folder.open(path) as folder:
        folder.announce("127.0.0.1", 4321)
        (path / "connectordb.lock").write_text('{"pid": 1, "command": "init"}')
        state = Folder.state(path)
    assert state.process == Process(1, "init")
    assert state.server is None
    assert state.stale is not None


def test_broken_pid_file_is_as_good_as_none(path: Path) -> None:
    Folder.create(path, test=True)
    for text in (b"", b"\xff", b"1234", b'{"pid": "x"}'):
        (path / "connectordb.pid").write_bytes(text)
        assert Folder.state(path) == State(False, None, None, None)
    Folder.open(path).close()


def test_looking_at_the_state_does_not_keep_anybody_out(path: Path) -> None:
    Folder.create(path, test=True)
    code = (
        "import sys; from connectordb.core.folder import Folder\n"
        "print('go', flush=True)\n"
        "while True: Folder.state(sys.argv[1])\n"
    )
    looker = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert looker.stdout is not None
        looker.stdout.readline()
        for _ in range(50):
            Folder.open(path).close()
    finally:
        end(looker, kill=True)


def test_key_that_others_may_read_is_closed_again(path: Path) -> None:
    Folder.create(path, test=True)
    (path / "keys/admin.key").chmod(0o644)
    Folder.open(path).close()
    assert mode(path / "keys/admin.key") == 0o600


def test_missing_keys_are_made_anew_and_bad_ones_refused(path: Path) -> None:
    Folder.create(path, test=True)
    before = Folder.read_admin_key(path)
    (path / "keys/admin.key").unlink()
    with Folder.open(path) as folder:
        assert folder.admin_key != before
        assert folder.admin_key == Folder.read_admin_key(path)
        assert len(folder.session_key) == 32
    for text in (b"", b"abc", b"zz" * 32, b"\xff" * 64):
        (path / "keys/session.key").write_bytes(text)
        with pytest.raises(FolderError, match=r"session.key holds no key"):
            Folder.open(path)
    (path / "keys/session.key").unlink()
    Folder.open(path).close()


def test_settings_of_the_folder_are_in_force(path: Path) -> None:
    Folder.create(path, test=True)
    (path / "connectordb.toml").write_text("[server]\nport = 4000\n")
    with Folder.open(path, environ={}, options={"server.host": "::1"}) as folder:
        assert (folder.settings.server.host, folder.settings.server.port) == ("::1", 4000)
    (path / "connectordb.toml").write_text("[server]\nprot = 4000\n")
    with pytest.raises(FolderError, match="did you mean port"):
        Folder.open(path)
    assert not Folder.state(path).in_use


def test_bad_permission_matrix_is_refused_by_name(path: Path) -> None:
    Folder.create(path, test=True)
    (path / "permissions.json").write_text("{}")
    with Folder.open(path) as folder, pytest.raises(FolderError, match=r"permissions.json"):
        folder.core()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:3124"),
        ("0.0.0.0", "http://127.0.0.1:3124"),
        ("::", "http://[::1]:3124"),
        ("::1", "http://[::1]:3124"),
        ("example.org", "http://example.org:3124"),
    ],
)
def test_url_of_a_server_can_be_reached_from_this_machine(host: str, url: str) -> None:
    assert Server(1, host, 3124, 0.0).url == url


def test_a_forked_child_neither_keeps_nor_takes_the_folder(tmp_path: Path) -> None:
    Folder.create(tmp_path / "db", test=True)
    folder = Folder.open(tmp_path / "db")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        folder.close()  # must not free the folder under the parent
        os.write(writing, b"closed")
        time.sleep(30)
        os._exit(0)
    try:
        assert os.read(reading, 6) == b"closed"
        with pytest.raises(FolderError):
            Folder.open(tmp_path / "db")
        folder.close()
        Folder.open(tmp_path / "db").close()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)


def test_the_lock_file_tells_the_program_but_never_its_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Folder.create(tmp_path / "db", test=True)
    for argv, shown in (
        (["/usr/bin/connectordb", "user", "passwd", "db", "al", "--password", "zebra"], "connectordb user passwd"),
        (["/x/connectordb/__main__.py", "run", "/db"], "connectordb run"),
        (["/home/me/script.py", "--key", "zebra", "zebra"], "script.py"),
    ):
        monkeypatch.setattr("sys.argv", argv)
        with Folder.open(tmp_path / "db"):
            assert json.loads((tmp_path / "db" / "connectordb.lock").read_bytes())["command"] == shown
        assert (tmp_path / "db" / "connectordb.lock").read_bytes() == b""
