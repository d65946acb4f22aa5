"""create and config, the help, and what holds for the command as a whole."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from connectordb import __version__
from connectordb.client import ConnectorDB
from connectordb.core.settings import Settings

from .conftest import COMMAND, Cli, environment

COMMANDS = [
    "create",
    "config",
    "start",
    "stop",
    "run",
    "status",
    "export",
    "import",
    "backup",
    "restore",
    "check",
    "stats",
    "compact",
]
USER_COMMANDS = ["add", "passwd", "list", "role"]


def on_terminal(arguments: list[str], *answers: str) -> tuple[int, str]:
    """Run the command on a terminal of its own, type *answers*, and return its exit code and what was shown."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(),
        start_new_session=True,
    )
    os.close(theirs)
    shown = ""
    waiting = list(answers)
    while True:
        try:
            piece = os.read(ours, 4096).decode()
        except OSError:  # the terminal's other side is closed
            break
        if not piece:
            break
        shown += piece
        if waiting and shown.endswith(": "):  # the blank comes when what is typed is no longer shown
            os.write(ours, f"{waiting.pop(0)}\n".encode())
    os.close(ours)
    return process.wait(timeout=30), shown


def role_and_email(path: Path, name: str) -> tuple[str, str]:
    with ConnectorDB.local(path, "root") as db:
        return db(name).role, db(name).email


# -- create ----------------------------------------------------------------------------------------------------------


def test_created_database_is_served_next(cli: Cli, tmp_path: Path) -> None:
    done = cli("create", "mydb", "--user", "alice:pass:word", "--email", "alice@example.org")
    assert done.returncode == 0, done.stderr
    assert "Created a database in mydb" in done.stdout
    assert "connectordb start mydb" in done.stdout
    assert "pass:word" not in done.stdout
    assert role_and_email(tmp_path / "mydb", "alice") == ("admin", "alice@example.org")
    assert (tmp_path / "mydb").stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "mydb" / "keys").iterdir()} == {0o600}


def test_database_for_tests_tells_its_user(cli: Cli, tmp_path: Path) -> None:
    done = cli("create", "testdb", "--test")
    assert done.returncode == 0
    assert "user test, password test" in done.stdout
    assert role_and_email(tmp_path / "testdb", "test") == ("admin", "test@localhost")


def test_first_user_is_asked_for_on_a_terminal(tmp_path: Path) -> None:
    code, shown = on_terminal(["create", str(tmp_path / "db")], "alice", "secret", "secret")
    assert code == 0, shown
    assert "secret" not in shown
    assert role_and_email(tmp_path / "db", "alice") == ("admin", "alice@localhost")


def test_mistyped_password_is_asked_for_again(tmp_path: Path) -> None:
    code, shown = on_terminal(["create", str(tmp_path / "db")], "alice", "secret", "sceret", "better", "better")
    assert code == 0, shown
    assert "do not match" in shown


def test_folder_that_cannot_be_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    code, shown = on_terminal(["create", str(tmp_path)])
    assert code == 1
    assert "not empty" in shown


def test_first_user_may_be_left_to_the_web_app(cli: Cli, tmp_path: Path) -> None:
    done = cli("create", "mydb", "--no-user")
    assert done.returncode == 0, done.stderr
    assert "without a user yet" in done.stdout
    assert "browser" in done.stdout
    code, shown = on_terminal(["create", str(tmp_path / "other")], "")
    assert code == 0, shown
    assert "without a user yet" in shown
    for name in ("mydb", "other"):
        with ConnectorDB.local(tmp_path / name, "root") as db:
            assert db.count_users() == 0


@pytest.mark.parametrize("other", [["--test"], ["--user", "alice:secret"], ["--email", "a@example.org"]])
def test_no_user_goes_with_no_word_about_one(cli: Cli, tmp_path: Path, other: list[str]) -> None:
    done = cli("create", "mydb", "--no-user", *other)
    assert done.returncode == 2
    assert "--no-user" in done.stderr
    assert not (tmp_path / "mydb").exists()


def test_without_terminal_it_says_what_to_type(cli: Cli, tmp_path: Path) -> None:
    done = cli("create", "mydb")
    assert done.returncode == 1
    assert "--user NAME:PASSWORD" in done.stderr
    assert not (tmp_path / "mydb").exists()


@pytest.mark.parametrize("login", ["alice", "alice:", ":secret", ":"])
def test_login_that_is_no_name_and_password_is_refused(cli: Cli, tmp_path: Path, login: str) -> None:
    done = cli("create", "mydb", "--user", login)
    assert done.returncode == 2
    assert "NAME:PASSWORD" in done.stderr
    assert not (tmp_path / "mydb").exists()


@pytest.mark.parametrize("name", ["9lives", "al ice", "api"])
def test_user_that_cannot_be_called_so_is_refused(cli: Cli, tmp_path: Path, name: str) -> None:
    done = cli("create", "mydb", "--user", f"{name}:secret")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert name in done.stderr
    assert not (tmp_path / "mydb").exists()


def test_folder_that_is_not_empty_is_refused_with_what_is_in_it(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mydb").mkdir()
    (tmp_path / "mydb" / "letter.txt").write_text("mine")
    done = cli("create", "mydb", "--test")
    assert done.returncode == 1
    assert "not empty (it holds letter.txt)" in done.stderr
    assert [file.name for file in (tmp_path / "mydb").iterdir()] == ["letter.txt"]


def test_database_that_is_there_already_is_refused(cli: Cli, db: Path) -> None:
    done = cli("create", db, "--test")
    assert done.returncode == 1
    assert "holds a database already" in done.stderr


def test_folder_that_cannot_be_made_is_refused(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    done = cli("create", "file/mydb", "--test")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "Not a directory" in done.stderr


# -- config ----------------------------------------------------------------------------------------------------------


def test_config_shows_each_value_and_where_it_comes_from(cli: Cli, db: Path) -> None:
    file = db / "connectordb.toml"
    file.write_text(file.read_text().replace("#port = 3124", "port = 4000"))
    done = cli("config", db, CONNECTORDB_SERVER__HOST="::1")
    assert done.returncode == 0, done.stderr
    assert 'server.host = "::1"  (CONNECTORDB_SERVER__HOST)' in done.stdout
    assert "server.port = 4000  (connectordb.toml)" in done.stdout
    assert 'log.level = "info"  (default)' in done.stdout
    for setting in Settings():
        assert f"{setting.name} = " in done.stdout
        assert setting.description in done.stdout


def test_config_as_json_has_the_same(cli: Cli, db: Path) -> None:
    found = json.loads(cli("config", db, "--json", CONNECTORDB_LOG__REQUESTS="false").stdout)
    assert set(found) == {setting.name for setting in Settings()}
    assert found["log.requests"]["value"] is False
    assert found["log.requests"]["default"] is True
    assert found["log.requests"]["origin"] == "CONNECTORDB_LOG__REQUESTS"
    assert found["auth.failure_delay_s"]["value"] == 0.0
    assert found["auth.failure_delay_s"]["origin"] == str(db / "connectordb.toml")


def test_config_refuses_what_the_server_would(cli: Cli, db: Path, tmp_path: Path) -> None:
    done = cli("config", db, CONNECTORDB_SERVER__PORT="high")
    assert done.returncode == 1
    assert "CONNECTORDB_SERVER__PORT" in done.stderr
    done = cli("config", tmp_path)
    assert done.returncode == 1
    assert "not a database folder" in done.stderr


# -- the command as a whole ------------------------------------------------------------------------------------------


def test_version_is_told(cli: Cli) -> None:
    assert cli("--version").stdout == f"ConnectorDB {__version__}\n"


def test_help_lists_all_commands(cli: Cli) -> None:
    done = cli("--help")
    assert done.returncode == 0
    for command in [*COMMANDS, "user", "--version", "--install-completion"]:
        assert command in done.stdout
    done = cli("user", "-h")
    assert done.returncode == 0
    for command in USER_COMMANDS:
        assert command in done.stdout


@pytest.mark.parametrize("command", [*COMMANDS, *(f"user {command}" for command in USER_COMMANDS)])
def test_help_of_each_command_has_an_example(cli: Cli, command: str) -> None:
    done = cli(*command.split(), "--help")
    assert done.returncode == 0
    assert "Example" in done.stdout
    assert f" connectordb {command} " in done.stdout
    assert "--background" not in done.stdout


def test_unknown_command_and_unknown_option_are_usage_errors(cli: Cli) -> None:
    for arguments in (["strat", "x"], ["start", "x", "--prot", "1"], ["user", "ad"]):
        done = cli(*arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_generated(cli: Cli, shell: str) -> None:
    done = cli(_CONNECTORDB_COMPLETE=f"source_{shell}")
    assert done.returncode == 0
    assert "_CONNECTORDB_COMPLETE=complete_" in done.stdout


def test_completion_finds_commands(cli: Cli) -> None:
    done = cli(_CONNECTORDB_COMPLETE="complete_bash", COMP_WORDS="connectordb sta", COMP_CWORD="1")
    assert done.stdout.split() == ["start", "status", "stats"]


def test_output_into_a_closed_pipe_ends_quietly(db: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        done = subprocess.run(
            [*COMMAND, "config", str(db)], stdout=closed, stderr=subprocess.PIPE, env=environment(), text=True
        )
    assert "Traceback" not in done.stderr


def test_command_without_its_extra_says_how_to_get_it() -> None:
    for missing in ("typer", "uvicorn", "psutil"):
        code = f"import sys; sys.modules['{missing}'] = None\nfrom connectordb.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, "run", "nothing"], capture_output=True, text=True, env=environment()
        )
        assert done.returncode == 1
        assert 'pip install "connectordb[server]"' in done.stderr
        assert "Traceback" not in done.stderr


def test_importing_the_command_line_imports_no_library() -> None:
    code = "import sys, connectordb.cli; print(sorted({'typer', 'starlette', 'psutil', 'uvicorn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert done.stdout == "[]\n"
