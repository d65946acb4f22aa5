"""history and undo: with the server running and without."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from connectordb.client import ConnectorDB

from .conftest import Cli


@pytest.fixture
def corrected(db: Path) -> Path:
    """The stream test/user/s with a deletion and an update."""
    with ConnectorDB.local(db, "test") as client:
        stream = client["s"]
        stream.create()
        stream.insert_array([{"t": 1.0 + i, "d": i} for i in range(5)])
        stream.delete(i1=1, i2=3, why="the [bold]cat")
        stream.update(0, "x")
        stream.delete(i1=-1, purge=True)
    return db


@pytest.mark.parametrize("running", [True, False])
def test_history_shows_what_undo_takes_back(cli: Cli, corrected: Path, running: bool) -> None:
    if running:
        assert cli("start", corrected, "-p", "0").returncode == 0
    shown = cli("history", corrected, "test/user/s")
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert len(lines) == 4
    assert "(nothing kept)" in lines[1] and "updated 1 datapoint from index 0 on" in lines[2]
    assert (
        "deleted 2 datapoints from index 1 on" in lines[3] and "test/user" in lines[3] and "the [bold]cat" in lines[3]
    )
    found = json.loads(cli("history", corrected, "test/user/s", "--json").stdout)
    done = cli("undo", corrected, "test/user/s", str(found[-1]["id"]), "--why", "it was right")
    assert (done.returncode, "2 datapoints" in done.stdout) == (0, True), done.stderr
    newest = json.loads(cli("history", corrected, "test/user/s", "--json", "--limit", "1").stdout)
    assert [(one["kind"], one["by"], one["why"]) for one in newest] == [("undone", "ConnectorDB", "it was right")]
    again = cli("undo", corrected, "test/user/s", str(found[-1]["id"]))
    assert (again.returncode, again.stderr.startswith("Error: ")) == (1, True)


def test_what_is_no_stream_is_told(cli: Cli, corrected: Path) -> None:
    for path in ("test/user", "test/user/nosuch"):
        done = cli("history", corrected, path)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert done.stderr.startswith("Error: ")


def test_what_others_wrote_gives_the_terminal_no_commands(cli: Cli, corrected: Path) -> None:
    with ConnectorDB.local(corrected, "test") as client:
        client["s"].update(0, 1, why="\x1b[2J\x00\x9b1m\u202e\nok")
        client["s"].update(0, 2, why="long " * 100)
    shown = cli("history", corrected, "test/user/s").stdout
    assert r"\x1b[2J\x00\x9b1m\u202e\nok" in shown
    assert max(map(len, shown.splitlines())) < 200
    assert "…" in shown.splitlines()[1]
    told = json.loads(cli("history", corrected, "test/user/s", "--json").stdout)
    assert told[0]["why"] == "long " * 100


def test_errors_give_the_terminal_no_commands(cli: Cli, db: Path) -> None:
    told = cli("history", db, "test/user/\x1b[2J").stderr
    assert r"\x1b[2J" in told and "\x1b" not in told
