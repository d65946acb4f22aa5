"""import of a file of datapoints into a stream, with the server running and without."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from connectordb.client import ConnectorDB

from .conftest import Cli, environment

STREAM = "test/user/steps"
CSV = "t,d\n1500000003,3\n1500000001,1\n2017-07-14T02:40:02Z,2\n"


@pytest.fixture
def filled(db: Path) -> Path:
    with ConnectorDB.local(db, "root") as client:
        client(STREAM).create({"type": "number"})
        client(STREAM).insert_array([{"t": 1500000002.5, "d": 2.5}])
    return db


def content(db: Path) -> Any:
    with ConnectorDB.local(db, "root") as client:
        return [(p["t"] - 1.5e9, p["d"]) for p in client(STREAM)[:]]


@pytest.mark.parametrize("running", [False, True])
def test_a_file_is_merged_and_again_doubles_nothing(cli: Cli, filled: Path, tmp_path: Path, running: bool) -> None:
    (tmp_path / "steps.csv").write_text(CSV)
    if running:
        assert cli("start", filled, "--port", "0").returncode == 0
    for before, now in ((1, 4), (4, 4)):
        done = cli("import", filled, "steps.csv", STREAM, "--duplicates", "skip")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[-1] == f"{STREAM} had {before} datapoints, and has {now} now."
    if running:
        cli("stop", filled)
    assert content(filled) == [(1, 1), (2, 2), (2.5, 2.5), (3, 3)]
    assert cli("import", filled, "steps.csv", STREAM).returncode == 0
    assert len(content(filled)) == 7


@pytest.mark.parametrize("name", ["a.json", "a.ndjson", "a.arrows", "a.parquet"])
def test_every_format_that_is_downloaded_comes_in_again(cli: Cli, filled: Path, tmp_path: Path, name: str) -> None:
    with ConnectorDB.local(filled, "root") as client:
        client(STREAM).download(tmp_path / name)
    assert cli("import", filled, name, STREAM, "--duplicates", "skip").returncode == 0
    assert content(filled) == [(2.5, 2.5)]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["steps.csv", "test/user/nothing"], "there is no 'test/user/nothing'"),
        (["steps.csv", "steps"], "steps"),
        (["steps.csv", STREAM + "/downlink"], "leave /downlink out"),
        (["missing.csv", STREAM], "missing.csv is no file"),
        (["steps.csv.gz", STREAM], "its extension has to be one of .json"),
        (["untimed.ndjson", STREAM], "datapoint 2 has no time"),
        (["broken.csv", STREAM], "line 3"),
        (["steps.csv"], "name the stream"),
        ([".", "--duplicates", "skip"], "--duplicates is for a file"),
        (["steps.csv", STREAM, "--duplicates", "drop"], "drop"),
    ],
)
def test_what_cannot_be_imported_is_told(
    cli: Cli, filled: Path, tmp_path: Path, arguments: list[str], told: str
) -> None:
    (tmp_path / "steps.csv").write_text(CSV)
    (tmp_path / "steps.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    (tmp_path / "untimed.ndjson").write_text('{"t":1500000001,"d":1}\n{"d":2}\n')
    (tmp_path / "broken.csv").write_text("t,d\n1500000001,1\nyesterday,2\n")
    done = cli("import", filled, *arguments)
    assert done.returncode != 0
    assert told in done.stderr
    assert content(filled) == [(2.5, 2.5)]


def test_a_datapoint_at_fault_is_named_by_its_line(cli: Cli, filled: Path, tmp_path: Path) -> None:
    lines = ["t,d", *(f"{1500000003 + i},{i}" for i in range(7000))]
    lines[6001] = "1500009000,x"
    (tmp_path / "long.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "long.ndjson").write_text("\n\n" + "".join(f'{{"t":{line[:10]},"d":"x"}}\n' for line in lines[1:3]))
    done = cli("import", filled, "long.csv", STREAM)
    assert done.returncode == 1
    assert "datapoint 6000 does not fit" in done.stderr and "in line 6002 of long.csv" in done.stderr
    assert "The first 5000 datapoints are stored. " in done.stderr
    assert "Mend the file and run it again with --duplicates skip" in done.stderr
    lines[6001] = "1500009000,6000"
    (tmp_path / "long.csv").write_text("\n".join(lines) + "\n")
    assert cli("import", filled, "long.csv", STREAM, "--duplicates", "skip").stdout.endswith("has 7,001 now.\n")
    assert "in line 3 of long.ndjson" in cli("import", filled, "long.ndjson", STREAM).stderr


def test_an_interrupted_import_says_what_is_stored(filled: Path, tmp_path: Path) -> None:
    file = tmp_path / "long.csv"
    code = f"""
import signal, sys
from connectordb.client import _stream
insert, n = _stream.Stream._insert, 0
def interrupted(self, *args, **kwargs):
    global n
    n += 1
    if n == 2:
        signal.raise_signal(signal.SIGINT)
    return insert(self, *args, **kwargs)
_stream.Stream._insert = interrupted
sys.argv = ["connectordb", "import", {str(filled)!r}, {str(file)!r}, {STREAM!r}]
from connectordb.cli import main
main()
"""
    file.write_text("t,d\n" + "".join(f"{1500000003 + i},{i}\n" for i in range(9000)))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment())
    assert (done.returncode, done.stderr.count("\n")) == (130, 1), done.stderr
    assert "The first 5000 datapoints are stored. Run it again with --duplicates skip" in done.stderr
    assert len(content(filled)) == 5001


def test_a_missing_stream_is_made_if_asked_for(cli: Cli, filled: Path, tmp_path: Path) -> None:
    (tmp_path / "steps.csv").write_text(CSV)
    assert "--create" in cli("import", filled, "steps.csv", "test/user/new").stderr
    more = ("--create", "--schema", '{"type": "number"}')
    for now in (3, 3):
        done = cli("import", filled, "steps.csv", "test/user/new", *more, "--duplicates", "skip")
        assert done.stdout.endswith(f"has {now} now.\n"), done.stderr
    assert cli("import", filled, "steps.csv", "test/user/any", "--create").returncode == 0
    with ConnectorDB.local(filled, "root") as client:
        assert client("test/user/new").schema == {"type": "number"}
        assert client("test/user/any").schema == {}
        client("test/user/gone").create(ephemeral=True)
    assert "is ephemeral" in cli("import", filled, "steps.csv", "test/user/gone").stderr
    assert "no JSON Schema" in cli("import", filled, "steps.csv", "test/user/x", "--create", "--schema", "{").stderr
    wrong = cli("import", filled, "steps.csv", "test/user/x", "--create", "--schema", '{"type": 5}')
    assert "no JSON Schema" in wrong.stderr and wrong.stderr.count("\n") == 1
    assert "goes with --create" in cli("import", filled, "steps.csv", STREAM, "--schema", "{}").stderr


def test_what_a_file_is_instead_is_told(cli: Cli, filled: Path, tmp_path: Path) -> None:
    (tmp_path / "lines.json").write_text('{"t":1500000001,"d":1}\n{"t":1500000002,"d":1}\n')
    (tmp_path / "semi.csv").write_text("t;d\n1500000001;1\n")
    (tmp_path / "names.csv").write_text("Time,value\n1500000001,1\n")
    assert "name it lines.ndjson" in cli("import", filled, "lines.json", STREAM).stderr
    assert "separated by commas, not by ';'" in cli("import", filled, "semi.csv", STREAM).stderr
    assert "If the times are in 'Time', call that 't'" in cli("import", filled, "names.csv", STREAM).stderr


def test_datapoints_of_one_time_come_in_one_request(cli: Cli, filled: Path, tmp_path: Path) -> None:
    """So what is equal in a file is stored so often, wherever it is."""
    rows = [f"{1500000003 + i},1\n" for i in range(4990)] + ["1500009000,7\n"] * 30
    (tmp_path / "equal.csv").write_text("t,d\n" + "".join(rows))
    for _ in range(2):
        done = cli("import", filled, "equal.csv", STREAM, "--duplicates", "skip")
        assert done.stdout.endswith(f"has {len(rows) + 1:,} now.\n"), done.stderr
    (tmp_path / "many.csv").write_text("t,d\n" + "1500009001,7\n" * 5001)
    assert "have the same time" in cli("import", filled, "many.csv", STREAM, "--duplicates", "skip").stderr
    assert cli("import", filled, "many.csv", STREAM).returncode == 0
