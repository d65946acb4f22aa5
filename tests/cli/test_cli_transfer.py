"""export and import: what goes out comes in again, with the server running and without."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from connectordb import __version__
from connectordb.cli.transfer import IMPORTING_FILE
from connectordb.client import ConnectorDB

from .conftest import COMMAND, Cli, environment

COMMAND_STOPPING = [
    COMMAND[0],
    "-c",
    "import os, signal\n"
    "from connectordb.cli import main\n"
    "from connectordb.client import Stream\n"
    "insert = Stream.insert_array\n"
    "def insert_array(self, *args, **more):\n"
    "    insert(self, *args, **more)\n"
    "    if self.path == 'test/user/mood':\n"
    "        os.kill(os.getpid(), signal.SIGKILL)\n"
    "Stream.insert_array = insert_array\n"
    "main()\n",
]
"""`connectordb`, which dies when it has brought in the last stream."""

POINTS = [{"t": float(i), "d": {"n": i, "text": "é" * (i % 3)}} for i in range(1, 2_001)]


def content(path: Path) -> dict[str, Any]:
    """All that the streams of the users hold, and the fields of everything, but for the log of the server."""
    found: dict[str, Any] = {}
    with ConnectorDB.local(path, "root") as db:
        for user in db.users():
            found[user.path] = user.data
            for device in user.devices():
                found[device.path] = device.data
                for stream in device.streams():
                    if stream.path != f"{user.path}/meta/log":
                        found[stream.path] = stream.data, list(stream[:]), list(stream(i1=0, downlink=stream.downlink))
    return found


@pytest.fixture
def filled(db: Path) -> Path:
    with ConnectorDB.local(db, "root") as client:
        client("alice").create("alice@example.org", "secret", role="user", nickname="Alice")
        lamp = client("alice/lamp")
        lamp.create(nickname="Lamp", public=True)
        lamp["events"].create({"type": "object"}, description="what happens")
        lamp["events"].insert_array(POINTS)
        lamp["on"].create({"type": "boolean"}, downlink=True)
        lamp["empty"].create({})
        client("test/user/mood").create({"type": "number"})
        client("test/user/mood").insert_array([{"t": 1.5, "d": 7}])
    return db


def start(cli: Cli, path: Path) -> None:
    done = cli("start", path, "-p", "0")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("running", [True, False])
def test_what_is_exported_comes_in_again(cli: Cli, filled: Path, tmp_path: Path, running: bool) -> None:
    before = content(filled)
    if running:
        start(cli, filled)
    done = cli("export", filled, "out")
    assert done.returncode == 0, done.stderr
    assert "Exported user alice." in done.stdout

    out = tmp_path / "out"
    assert json.loads((out / "connectordb.json").read_text()) == {"Version": 1, "ConnectorDB": __version__}
    assert json.loads((out / "alice" / "user.json").read_text())["email"] == "alice@example.org"
    assert json.loads((out / "alice" / "lamp" / "events" / "data.json").read_text()) == POINTS
    assert (out / "alice" / "lamp" / "on" / "downlink.json").exists()
    assert not (out / "alice" / "lamp" / "empty" / "downlink.json").exists()

    target = tmp_path / "target"
    assert cli("create", target, "--user", "boss:secret").returncode == 0
    if running:
        start(cli, target)
    done = cli("import", target, "out")
    assert done.returncode == 0, done.stderr
    for told in ("Imported user alice.", "Imported user test.", f"connectordb user passwd {target} alice"):
        assert told in done.stdout
    if running:
        assert cli("stop", target).returncode == 0
        assert cli("stop", filled).returncode == 0
    after = content(target)
    assert {path: thing for path, thing in after.items() if not path.startswith("boss")} == before


def test_password_of_an_imported_user_is_its_name(cli: Cli, filled: Path, tmp_path: Path) -> None:
    assert cli("export", filled, "out").returncode == 0
    assert cli("create", "target", "--user", "boss:secret").returncode == 0
    done = cli("import", "target", "out")
    assert "password of each is its name" in done.stdout
    start(cli, tmp_path / "target")
    try:
        url = json.loads(cli("status", "target", "--json").stdout)["url"]
        with ConnectorDB("alice", "alice", url=url) as client:
            assert client.ping() == "alice/user"
    finally:
        assert cli("stop", "target").returncode == 0


def test_folder_that_is_not_empty_is_not_exported_to(cli: Cli, db: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("mine")
    done = cli("export", db, "out")
    assert done.returncode == 1
    assert "no empty folder" in done.stderr
    (tmp_path / "out" / "letter.txt").unlink()
    assert cli("export", db, "out").returncode == 0


def test_users_that_are_there_are_refused_before_anything_comes_in(cli: Cli, filled: Path, tmp_path: Path) -> None:
    assert cli("export", filled, "out").returncode == 0
    assert cli("create", "target", "--test").returncode == 0
    with ConnectorDB.local(tmp_path / "target", "root") as client:
        client("test/user/mine").create()
    # What counts is the name in the file, not that of the folder.
    (tmp_path / "out" / "test").rename(tmp_path / "out" / "zzz")
    done = cli("import", "target", "out")
    assert done.returncode == 1
    assert "test already" in done.stderr
    assert "Traceback" not in done.stderr
    assert set(content(tmp_path / "target")) == {"test", "test/user", "test/user/mine", "test/meta"}
    shutil.rmtree(tmp_path / "out" / "zzz")
    assert cli("import", "target", "out").returncode == 0
    assert "alice/lamp/events" in content(tmp_path / "target")


@pytest.mark.parametrize("damage", ["missing", "empty", "version", "json"])
def test_folder_that_is_no_export_is_refused(cli: Cli, db: Path, tmp_path: Path, damage: str) -> None:
    source = tmp_path / "in"
    if damage != "missing":
        source.mkdir()
    if damage == "version":
        (source / "connectordb.json").write_text('{"Version": 99}')
    elif damage == "json":
        (source / "connectordb.json").write_text('{"Version": 1, "ConnectorDB": "0.3.0"}')
        (source / "bob").mkdir()
        (source / "bob" / "user.json").write_text("{")
    done = cli("import", db, "in")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert "in" in done.stderr
    assert set(content(db)) == {"test", "test/user", "test/meta"}


def test_export_without_users_in_it_says_so(cli: Cli, db: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "connectordb.json").write_text('{"Version": 1, "ConnectorDB": "0.3.0"}')
    done = cli("import", db, "in")
    assert done.returncode == 0
    assert "holds no users" in done.stdout


def test_export_of_a_database_without_users_is_refused(cli: Cli, db: Path) -> None:
    with ConnectorDB.local(db, "root") as client:
        client("test").delete()
    done = cli("export", db, "out")
    assert done.returncode == 1
    assert "no users" in done.stderr


def modes(folder: Path) -> set[tuple[bool, int]]:
    return {(path.is_dir(), path.stat().st_mode & 0o777) for path in [folder, *folder.rglob("*")]}


def test_only_its_owner_may_read_an_export(cli: Cli, filled: Path, tmp_path: Path) -> None:
    assert cli("export", filled, "out").returncode == 0
    assert modes(tmp_path / "out") == {(True, 0o700), (False, 0o600)}


@pytest.mark.parametrize("running", [True, False])
def test_first_user_of_a_new_database_is_filled_by_a_restore(
    cli: Cli, filled: Path, tmp_path: Path, running: bool
) -> None:
    with ConnectorDB.local(filled, "root") as client:
        log = list(client("test/meta/log")[:])
    before = content(filled)
    assert cli("export", filled, "out").returncode == 0
    target = tmp_path / "target"
    assert cli("create", target, "--user", "test:new", "--email", "other@localhost").returncode == 0
    if running:
        start(cli, target)
    done = cli("import", target, "out")
    assert done.returncode == 0, done.stderr
    assert "Filled user test" in done.stdout
    assert "Imported user alice." in done.stdout
    assert f"passwd {target} alice" in done.stdout
    assert f"passwd {target} test" not in done.stdout, "it has a password already"
    if running:
        assert cli("stop", target).returncode == 0
    assert content(target) == before
    assert not (target / IMPORTING_FILE).exists()
    with ConnectorDB.local(target, "root") as client:
        assert [point for point in client("test/meta/log") if point in log] == log
    start(cli, target)
    try:
        url = json.loads(cli("status", target, "--json").stdout)["url"]
        with ConnectorDB("test", "new", url=url) as client:
            assert client.ping() == "test/user"
    finally:
        assert cli("stop", target).returncode == 0


@pytest.mark.parametrize("another", [True, False])
def test_only_administrator_stays_one(cli: Cli, filled: Path, tmp_path: Path, another: bool) -> None:
    assert cli("export", filled, "out").returncode == 0
    if not another:
        shutil.rmtree(tmp_path / "out" / "test")
    assert cli("create", "target", "--user", "alice:x").returncode == 0
    done = cli("import", "target", "out")
    assert done.returncode == 0, done.stderr
    assert ("stays an administrator" in done.stdout) is not another
    assert content(tmp_path / "target")["alice"]["role"] == ("user" if another else "admin")
    assert content(tmp_path / "target")["alice"]["nickname"] == "Alice"


def test_failed_filling_leaves_the_user_as_it_was(cli: Cli, filled: Path, tmp_path: Path) -> None:
    assert cli("export", filled, "out").returncode == 0
    (tmp_path / "out" / "test" / "user" / "mood" / "data.json").write_text('[{"t": 1, "d": 1}, {"t": 0.5, "d": 1}]')
    assert cli("create", "target", "--user", "test:x", "--email", "other@localhost").returncode == 0
    before = content(tmp_path / "target")
    done = cli("import", "target", "out")
    assert done.returncode == 1
    assert ". Imported completely: alice. To go on with the others, import again." in done.stderr
    after = content(tmp_path / "target")
    assert {path: thing for path, thing in after.items() if not path.startswith("alice")} == before
    (tmp_path / "out" / "test" / "user" / "mood" / "data.json").write_text('[{"t": 1.5, "d": 7}]')
    done = cli("import", "target", "out")
    assert done.returncode == 0, done.stderr
    assert "User alice is in already" in done.stdout
    assert "passwd target alice" in done.stdout
    assert content(tmp_path / "target") == content(filled)
    assert not (tmp_path / "target" / IMPORTING_FILE).exists()
    with ConnectorDB.local(tmp_path / "target", "root") as client:
        client("test/user/later").create()
    assert cli("import", "target", "out").returncode == 1, "now they are users as all others"


def test_two_of_one_name_are_refused_before_anything_comes_in(cli: Cli, filled: Path, tmp_path: Path) -> None:
    assert cli("export", filled, "out").returncode == 0
    shutil.copytree(tmp_path / "out" / "test", tmp_path / "out" / "zzz")
    assert cli("create", "target", "--user", "boss:x").returncode == 0
    done = cli("import", "target", "out")
    assert done.returncode == 1
    assert "both have the name 'test'" in done.stderr
    assert set(content(tmp_path / "target")) == {"boss", "boss/user", "boss/meta"}


def test_password_in_the_export_is_told(cli: Cli, filled: Path, tmp_path: Path) -> None:
    assert cli("export", filled, "out").returncode == 0
    file = tmp_path / "out" / "alice" / "user.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"password": "mine"}))
    assert cli("create", "target", "--user", "boss:x").returncode == 0
    done = cli("import", "target", "out")
    assert done.returncode == 0, done.stderr
    assert "The password of alice is the one in out/alice/user.json." in done.stdout
    assert "passwd target alice" not in done.stdout
    assert "passwd target test" in done.stdout


@pytest.mark.parametrize("there", [True, False])
def test_import_that_was_killed_is_taken_up(cli: Cli, filled: Path, tmp_path: Path, there: bool) -> None:
    assert cli("export", filled, "out").returncode == 0
    target = tmp_path / "target"
    assert cli("create", target, "--user", "test:x" if there else "boss:x").returncode == 0
    killed = subprocess.Popen(
        [*COMMAND_STOPPING, "import", str(target), "out"], cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL
    )
    assert killed.wait(60) == -signal.SIGKILL
    assert "test/user/mood" in content(target)
    assert (target / IMPORTING_FILE).stat().st_mode & 0o777 == 0o600
    done = cli("import", target, "out")
    assert done.returncode == 0, done.stderr
    assert "User alice is in already" in done.stdout
    assert "The import of user test did not finish the last time" in done.stdout
    after = content(target)
    assert {path: thing for path, thing in after.items() if not path.startswith("boss")} == content(filled)
    assert not (target / IMPORTING_FILE).exists()


def test_user_made_since_a_killed_import_is_not_taken_for_its_own(cli: Cli, filled: Path, tmp_path: Path) -> None:
    assert cli("export", filled, "out").returncode == 0
    target = tmp_path / "target"
    assert cli("create", target, "--user", "boss:x").returncode == 0
    subprocess.run([*COMMAND_STOPPING, "import", str(target), "out"], cwd=tmp_path, env=environment(), timeout=60)
    with ConnectorDB.local(target, "root") as client:
        client("test").delete()
        client("test").create("test@localhost", "x")
        client("test/user/precious").create()
    done = cli("import", target, "out")
    assert done.returncode == 1
    assert "test already" in done.stderr
    assert "test/user/precious" in content(target)


def test_import_of_something_else_says_what_another_has_left(cli: Cli, filled: Path, tmp_path: Path) -> None:
    assert cli("export", filled, "out").returncode == 0
    target = tmp_path / "target"
    assert cli("create", target, "--user", "boss:x").returncode == 0
    subprocess.run([*COMMAND_STOPPING, "import", str(target), "out"], cwd=tmp_path, env=environment(), timeout=60)
    with ConnectorDB.local(filled, "root") as client:
        client("alice").delete()
        client("test").delete()
        client("carol").create("carol@localhost", "x")
    assert cli("export", filled, "more").returncode == 0
    done = cli("import", target, "more")
    assert done.returncode == 0, done.stderr
    assert f"User test is there only in part: its import from {tmp_path / 'out'} did not finish" in done.stdout
    assert "Imported user carol." in done.stdout
    assert "test/user/mood" in content(target)
    assert "did not finish the last time" in cli("import", target, "out").stdout
    assert not (target / IMPORTING_FILE).exists()


def test_two_imports_at_once_are_refused(cli: Cli, filled: Path, tmp_path: Path) -> None:
    assert cli("export", filled, "out").returncode == 0
    assert cli("create", "target", "--user", "boss:x").returncode == 0
    start(cli, tmp_path / "target")
    waiting = [*COMMAND_STOPPING[:2], COMMAND_STOPPING[2].replace("signal.SIGKILL", "signal.SIGSTOP")]
    first = subprocess.Popen(
        [*waiting, "import", "target", "out"], cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL
    )
    try:
        os.waitid(os.P_PID, first.pid, os.WSTOPPED)
        second = cli("import", "target", "out")
        assert second.returncode == 1
        assert "another import into target is running" in second.stderr
        first.send_signal(signal.SIGCONT)
        assert first.wait(60) == 0
        assert not (tmp_path / "target" / IMPORTING_FILE).exists()
    finally:
        first.kill()
        first.wait()
        assert cli("stop", "target").returncode == 0
