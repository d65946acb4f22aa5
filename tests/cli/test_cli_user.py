"""user add, passwd, list, role: with the server running and without."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from connectordb.client import ConnectorDB
from connectordb.core.folder import Folder
from connectordb.errors import Unauthenticated

from .conftest import Cli


@pytest.fixture(params=["running", "stopped"])
def running(request: pytest.FixtureRequest, cli: Cli, db: Path) -> bool:
    if request.param == "running":
        assert cli("start", db, "-p", "0").returncode == 0
    return bool(request.param == "running")


@contextmanager
def logged_in(cli: Cli, db: Path, name: str, password: str) -> Iterator[ConnectorDB]:
    """A connection by password, for which the server is started if need be."""
    if not Folder.state(db).in_use:
        assert cli("start", db, "-p", "0").returncode == 0
    server = Folder.state(db).server
    assert server is not None
    with ConnectorDB(name, password, url=server.url) as client:
        yield client


def refused(cli: Cli, *arguments: str | Path, told: str) -> None:
    done = cli(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert told in done.stderr


@pytest.mark.usefixtures("running")
def test_added_user_can_log_in(cli: Cli, db: Path) -> None:
    done = cli("user", "add", db, "bob", "--password", "secret", "--email", "bob@example.org", "--role", "admin")
    assert done.returncode == 0, done.stderr
    assert "secret" not in done.stdout
    with logged_in(cli, db, "bob", "secret") as client:
        me = client("bob")
        assert (client.ping(), me.role, me.email, me.public) == ("bob/user", "admin", "bob@example.org", True)


def test_added_user_is_a_plain_one_by_default_and_private_on_demand(cli: Cli, db: Path) -> None:
    assert cli("user", "add", db, "bob", "--password", "secret", "--private").returncode == 0
    with ConnectorDB.local(db, "root") as client:
        bob = client("bob")
        assert (bob.role, bob.email, bob.public) == ("user", "bob@localhost", False)


def test_user_that_cannot_be_added_is_refused(cli: Cli, db: Path) -> None:
    refused(cli, "user", "add", db, "test", "--password", "x", told="connectordb user passwd")
    refused(cli, "user", "add", db, "9x", "--password", "x", told="begin with a letter")
    refused(cli, "user", "add", db, "api", "--password", "x", told="api")
    refused(cli, "user", "add", db, "bob", "--password", "", told="password is empty")
    refused(cli, "user", "add", db, "bob", told="--password")
    refused(cli, "user", "add", db, "bob", "--password", "x", "--role", "king", told="king")
    refused(cli, "user", "add", db, "bob", "--password", "x", "--email", "test@localhost", told="test@localhost")
    assert len(json.loads(cli("user", "list", db, "--json").stdout)) == 1


@pytest.mark.usefixtures("running")
def test_new_password_works_and_the_old_one_no_longer(cli: Cli, db: Path) -> None:
    assert cli("user", "passwd", db, "test", "--password", "better").returncode == 0
    with logged_in(cli, db, "test", "better") as client:
        assert client.ping() == "test/user"
    with pytest.raises(Unauthenticated), logged_in(cli, db, "test", "test"):
        pass


@pytest.mark.usefixtures("running")
def test_role_is_changed(cli: Cli, db: Path) -> None:
    assert cli("user", "role", db, "test", "user").returncode == 0
    assert json.loads(cli("user", "list", db, "--json").stdout)[0]["role"] == "user"
    # Nobody is an administrator any more, and still there is a way back.
    assert cli("user", "role", db, "test", "admin").returncode == 0
    with logged_in(cli, db, "test", "test") as client:
        assert client("test").role == "admin"


def test_what_is_not_there_is_refused(cli: Cli, db: Path, tmp_path: Path) -> None:
    refused(cli, "user", "passwd", db, "nobody-here", "--password", "x", told="nobody-here")
    refused(cli, "user", "role", db, "nobody-here", "admin", told="nobody-here")
    refused(cli, "user", "role", db, "test", "king", told="king")
    refused(cli, "user", "list", tmp_path, told="not a database folder")


def test_users_are_listed_with_what_they_have(cli: Cli, db: Path) -> None:
    with ConnectorDB.local(db) as client:
        client["steps"].create({"type": "number"})
    assert cli("user", "add", db, "bob", "--password", "x").returncode == 0
    rows = json.loads(cli("user", "list", db, "--json").stdout)
    assert [(row["name"], row["role"], row["devices"], row["streams"]) for row in rows] == [
        ("test", "admin", 2, 1),
        ("bob", "user", 2, 0),
    ]
    lines = cli("user", "list", db).stdout.splitlines()
    assert lines[0].split() == ["name", "role", "email", "public", "devices", "streams"]
    assert lines[1].split() == ["test", "admin", "test@localhost", "no", "2", "1"]


@pytest.mark.parametrize("locked_out", [{"role": "none"}, {"enabled": False}, {"role": "reader", "enabled": False}])
@pytest.mark.parametrize("command", [["passwd", "--password", "test"], ["role", "admin"]])
def test_an_administrator_who_locked_himself_out_gets_in_again(
    cli: Cli, db: Path, locked_out: dict[str, Any], command: list[str]
) -> None:
    with logged_in(cli, db, "test", "test") as client:
        client("test/user").set(locked_out)
    verb, *rest = command
    done = cli("user", verb, db, "test", *rest)
    assert done.returncode == 0, done.stderr
    assert "enabled again" in done.stdout
    with logged_in(cli, db, "test", "test") as client:
        assert [user.name for user in client.users()] == ["test"]
    assert "enabled again" not in cli("user", verb, db, "test", *rest).stdout


@pytest.mark.parametrize("served", [False, True])
def test_a_password_on_the_command_line_is_written_nowhere(cli: Cli, tmp_path: Path, served: bool) -> None:
    db = tmp_path / "mydb"
    assert cli("create", db, "--user", "al:zebra99").returncode == 0
    if served:
        assert cli("start", db, "--port", "0").returncode == 0
    try:
        assert cli("user", "passwd", db, "al", "--password", "zebra99").returncode == 0
        assert cli("user", "add", db, "bo", "--password", "zebra99").returncode == 0
    finally:
        if served:
            assert cli("stop", db).returncode == 0
    for file in db.rglob("*"):
        assert file.is_dir() or b"zebra99" not in file.read_bytes(), file
