"""export and import: what goes out comes in again, with the server running and without."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from connectordb import __version__
from connectordb.client import ConnectorDB

from .conftest import Cli

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
    done = cli("import", "target", "out")
    assert done.returncode == 1
    assert "test already" in done.stderr
    assert "Traceback" not in done.stderr
    assert set(content(tmp_path / "target")) == {"test", "test/user", "test/meta"}
    shutil.rmtree(tmp_path / "out" / "test")
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
