"""backup, restore, check, stats and compact: on real servers under load, killed, damaged, without room."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import stat
import subprocess
import threading
import time
from base64 import b85encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from connectordb.client import ConnectorDB
from connectordb.core.folder import Folder, release_lock, take_lock

from .conftest import COMMAND, TIMEOUT_S, Cli, environment

WRITERS = 4


def url_of(path: Path) -> str:
    server = Folder.state(path).server
    assert server is not None
    return server.url


def fill(path: Path, points: int, name: str = "notes", at_once: int = 5_000) -> None:
    """Put *points* of a kilobyte, which cannot be packed much, into a new stream ``test/user/NAME``."""
    rng = random.Random(1)
    with ConnectorDB.local(path, "root") as db:
        stream = db(f"test/user/{name}")
        stream.create({"type": "string"})
        for i in range(0, points, at_once):
            stream.insert_array([{"t": 1e9 + i + k, "d": _text(i + k, rng)} for k in range(min(at_once, points - i))])


def _text(number: int, rng: random.Random) -> str:
    return f"{number} {b85encode(rng.randbytes(800)).decode()}"


def failed(done: subprocess.CompletedProcess[str], *told: str) -> None:
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    for part in told:
        assert part in done.stderr


def damage(path: Path) -> None:
    """Flip bytes in the midst of the text of a row."""
    file = path / "connectordb.db"
    content = file.read_bytes()
    place = content.rindex(b'"150 ')
    file.write_bytes(content[:place] + b"\x00\xff" + content[place + 2 :])


@contextmanager
def load(url: str) -> Iterator[list[int]]:
    """Let writers insert as fast as they can, each into a stream of its own; give how much each knows to be stored."""
    acknowledged = [0] * WRITERS
    ended = threading.Event()

    def write(k: int) -> None:
        with ConnectorDB("test", "test", url=url) as db:
            stream = db(f"test/user/writer{k}")
            stream.create({"type": "integer"})
            while not ended.is_set():
                n = acknowledged[k]
                if n % 50 == 49:  # late ones too, in front of what may be copied already
                    stream.insert_array([{"t": 1e9 + n % 40 + 0.5, "d": n}], merge=True)
                else:
                    stream.insert_array([{"t": 2e9 + n, "d": n}])
                acknowledged[k] = n + 1

    threads = [threading.Thread(target=write, args=(k,)) for k in range(WRITERS)]
    for thread in threads:
        thread.start()
    try:
        deadline = time.monotonic() + 60
        while min(acknowledged) < 60 and time.monotonic() < deadline:
            ended.wait(0.01)
        assert min(acknowledged) >= 60
        yield acknowledged
    finally:
        ended.set()
        for thread in threads:
            thread.join()


# -- backup ----------------------------------------------------------------------------------------------------------


def test_backup_under_load_ends_and_holds_what_was_acknowledged(cli: Cli, db: Path, tmp_path: Path) -> None:
    fill(db, 10_000)
    assert cli("start", db, "-p", "0").returncode == 0
    out = tmp_path / "out"
    with load(url_of(db)) as acknowledged:
        before = list(acknowledged)
        done = cli("backup", db, out)
        during = [now - then for now, then in zip(acknowledged, before, strict=True)]
        assert done.returncode == 0, done.stderr
        assert min(during) > 0  # nobody was held up all the while
        assert cli("check", db).returncode == 0
    assert f"Backed {db} up to {out}: " in done.stdout
    assert "datapoints, in " in done.stdout
    assert "It is in order." in done.stdout
    checked = cli("check", out)
    assert (checked.returncode, checked.stdout) == (0, f"{out} is in order.\n")
    assert {file.name for file in out.iterdir()} == {"connectordb.toml", "connectordb.db", "keys"}
    assert not (tmp_path / "out.part").exists()
    for file in [out, *out.rglob("*")]:
        assert stat.S_IMODE(file.stat().st_mode) == (0o700 if file.is_dir() else 0o600)

    assert cli("start", out, "-p", "0").returncode == 0  # it can be served as it is
    try:
        with ConnectorDB("test", "test", url=url_of(out)) as copy:
            for k, n in enumerate(before):
                held = sorted(point["d"] for point in copy(f"test/user/writer{k}")[:])
                assert held == list(range(len(held)))
                assert len(held) >= n
            assert len(copy("test/user/notes")) == 10_000
    finally:
        cli("stop", out, "--kill", "--timeout", "5")


def test_backup_of_a_stopped_database_has_its_settings_and_permissions(cli: Cli, db: Path, tmp_path: Path) -> None:
    file = db / "connectordb.toml"
    file.write_text(file.read_text().replace("#port = 3124", "port = 4000"))
    (db / "permissions.json").write_text("{}")
    done = cli("backup", db, "backups/2026/out")
    assert done.returncode == 0, done.stderr
    out = tmp_path / "backups" / "2026" / "out"
    for name in ("connectordb.toml", "permissions.json", "keys/admin.key", "keys/session.key"):
        assert (out / name).read_bytes() == (db / name).read_bytes()


@pytest.mark.parametrize("moment", ["copying", "checking"])
def test_backup_that_is_killed_is_not_taken_for_a_whole_one(cli: Cli, db: Path, tmp_path: Path, moment: str) -> None:
    fill(db, 60_000)
    assert cli("start", db, "-p", "0").returncode == 0
    out, part = tmp_path / "out", tmp_path / "out.part"
    whole = (db / "connectordb.db").stat().st_size
    process = subprocess.Popen([*COMMAND, "backup", str(db), str(out)], env=environment())
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        copied = part / "connectordb.db"
        size = copied.stat().st_size if copied.exists() else 0
        if size > (1 << 20 if moment == "copying" else whole - 4096):
            break
    process.kill()
    assert process.wait(timeout=10) == -signal.SIGKILL
    assert not out.exists()
    assert part.exists()
    failed(cli("start", part), "has not been created completely")
    failed(cli("restore", part, "again"), "has not been created completely")
    checked = cli("check", db)
    assert checked.returncode == 0, checked.stdout
    done = cli("backup", db, out)  # the next one removes what is left
    assert done.returncode == 0, done.stderr
    assert not part.exists()


def test_two_backups_to_the_same_place_do_not_mix(cli: Cli, db: Path, tmp_path: Path) -> None:
    part = tmp_path / "out.part"
    part.mkdir()
    (part / "connectordb.creating").touch()
    lock = take_lock(part)  # as the first one has it
    try:
        failed(cli("backup", db, "out"), f"out.part is in use by process {os.getpid()}")
        assert (part / "connectordb.creating").exists()
    finally:
        release_lock(lock)
    assert cli("backup", db, "out").returncode == 0
    failed(cli("backup", db, "out"), "holds a database already")
    assert cli("check", "out").returncode == 0


def test_backup_over_something_is_refused(cli: Cli, db: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("mine")
    failed(cli("backup", db, "out"), "not empty (it holds letter.txt)")
    (tmp_path / "new.part").mkdir()
    (tmp_path / "new.part" / "letter.txt").write_text("mine")
    failed(cli("backup", db, "new"), "new.part is not empty (it holds letter.txt)")
    assert (tmp_path / "new.part" / "letter.txt").exists()
    (tmp_path / "file").write_text("mine")
    failed(cli("backup", db, "file"), "file is not a folder")
    failed(cli("backup", db, "file/out"), "Not a directory")
    failed(cli("backup", "nothing", "other"), "does not exist")
    assert not (tmp_path / "other").exists()


def test_backup_without_room_says_so_and_leaves_nothing(cli: Cli, db: Path, tmp_path: Path) -> None:
    fill(db, 20_000)
    done = subprocess.run(
        [*COMMAND, "backup", str(db), "out"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, 4 << 20)),
        check=False,
    )
    failed(done, str(tmp_path / "out.part"))
    assert {file.name for file in tmp_path.iterdir()} == {"db"}
    assert cli("check", db).returncode == 0


# -- damage ----------------------------------------------------------------------------------------------------------


def test_damage_is_named_and_no_backup_is_made_of_it_by_mistake(cli: Cli, db: Path, tmp_path: Path) -> None:
    fill(db, 200, at_once=20)  # which stays text
    assert cli("backup", db, "good").returncode == 0
    damage(db)
    checked = cli("check", db)
    failed(checked, f"{db} is damaged: 1 thing is wrong with it")
    assert checked.stdout.startswith("test/user/notes [140:160]: the text is damaged: ")
    assert checked.stdout.count("\n") == 1

    failed(cli("backup", db, "bad"), "test/user/notes [140:160]: the text is damaged", "--even-if-damaged")
    assert {file.name for file in tmp_path.iterdir()} == {"db", "good"}
    done = cli("backup", db, "bad", "--even-if-damaged")
    assert done.returncode == 0
    assert "test/user/notes [140:160]: the text is damaged" in done.stdout
    assert ", with 1 thing wrong, in " in done.stdout
    failed(cli("restore", "bad", "new"), "test/user/notes [140:160]: the text is damaged")
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "new.part").exists()


def test_a_database_that_is_missing_is_told(cli: Cli, db: Path) -> None:
    (db / "connectordb.db").unlink()
    for command in (["check", db], ["stats", db], ["compact", db], ["backup", db, "out"]):
        failed(cli(*command), "there is no connectordb.db in")


# -- restore ---------------------------------------------------------------------------------------------------------


def test_restored_database_is_served(cli: Cli, db: Path, tmp_path: Path) -> None:
    fill(db, 1_000)
    assert cli("backup", db, "out").returncode == 0
    before = {file: file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()}
    failed(cli("restore", "out", db), "holds a database already")
    done = cli("restore", "out", "new")
    assert done.returncode == 0, done.stderr
    assert "Restored out to new: " in done.stdout
    assert "1,00" in done.stdout
    assert {file: file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()} == before
    assert cli("start", "new", "-p", "0").returncode == 0
    try:
        with ConnectorDB("test", "test", url=url_of(tmp_path / "new")) as copy:
            assert len(copy("test/user/notes")) == 1_000
            copy("test/user/notes").insert("more")
    finally:
        cli("stop", "new", "--kill", "--timeout", "5")


# -- stats -----------------------------------------------------------------------------------------------------------


def test_stats_tell_what_each_holds(cli: Cli, db: Path) -> None:
    with ConnectorDB.local(db, "root") as local:
        stream = local("test/user/steps")
        stream.create({"type": "number"})
        stream.insert_array([{"t": 1e9 + i, "d": i} for i in range(100)])
    text = ",".join(f'{{"t":{1e9 + i},"d":{i}}}' for i in range(100))
    [steps] = json.loads(cli("stats", db, "test/user/steps", "--json").stdout)
    assert steps == {
        "path": "test/user/steps",
        "points": 100,
        "sealed": 0,
        "bytes": len(text),
        "bytes_per_point": len(text) / 100,
        "first": 1e9,
        "last": 1e9 + 99,
        "kept_for_undo": 0,
        "keep": None,
    }
    rows = {row["path"]: row for row in json.loads(cli("stats", db, "--json").stdout)}
    assert rows["test/user"]["points"] == 100
    assert rows["test"]["points"] == sum(row["points"] for path, row in rows.items() if path.count("/") == 1)
    shown = cli("stats", db, "test/user", COLUMNS="30").stdout.splitlines()  # nothing is cut
    assert shown[0].split() == ["datapoints", "sealed", "bytes", "bytes", "each", "first", "last"]
    assert [line.split()[0] for line in shown[1:]] == ["test/user", "test/user/steps"]
    assert "2001-09-09" in shown[2]
    failed(cli("stats", db, "test/nobody"), "there is no test/nobody")
    failed(cli("stats", db, "a/b/c/d"), "is no path")


def test_stats_tell_what_corrections_keep(cli: Cli, db: Path) -> None:
    with ConnectorDB.local(db, "root") as local:
        stream = local("test/user/steps")
        stream.create({"type": "number"})
        stream.insert_array([{"t": 1e9 + i, "d": i} for i in range(100)])
        stream.delete(i1=0, purge=True)
        stream.insert_array([{"t": 1e9 + i, "d": i} for i in range(10)])
        stream.delete(i1=0)
    rows = {row["path"]: row for row in json.loads(cli("stats", db, "--json").stdout)}
    kept = len(",".join(f'{{"t":{1e9 + i},"d":{i}}}' for i in range(10)))
    assert [rows[path]["kept_for_undo"] for path in ("test/user/steps", "test/user", "test")] == [kept] * 3
    assert rows["test/user/steps"]["points"] == 0
    shown = cli("stats", db, "test/user/steps").stdout.splitlines()
    assert shown[0].endswith("kept for undo") and shown[1].endswith(f"{kept} bytes")


def test_stats_tell_how_long_datapoints_are_kept(cli: Cli, db: Path) -> None:
    with ConnectorDB.local(db, "root") as client:
        client("test/user/steps").create({}, keep=timedelta(days=1.5))
        client("test/user/mood").create({})
    shown = cli("stats", db, "test/user").stdout.splitlines()
    assert shown[0].endswith("kept for")
    assert [line for line in shown if line.strip().endswith("1 d 12 h")] == [
        line for line in shown if line.startswith("test/user/steps")
    ]
    rows = json.loads(cli("stats", db, "test/user", "--json").stdout)
    assert {row["path"]: row["keep"] for row in rows} == {
        "test/user": None, "test/user/mood": None, "test/user/steps": 129_600.0,
    }  # fmt: skip


def test_stats_of_a_running_server(cli: Cli, db: Path) -> None:
    assert cli("start", db, "-p", "0").returncode == 0
    with ConnectorDB("test", "test", url=url_of(db)) as client:
        client("test/user/steps").create({"type": "number"})
        client("test/user/steps").insert(1)
    [steps] = json.loads(cli("stats", db, "test/user/steps", "--json").stdout)
    assert steps["points"] == 1


# -- compact ---------------------------------------------------------------------------------------------------------


def test_compact_frees_what_was_deleted_and_is_refused_while_it_runs(cli: Cli, db: Path) -> None:
    fill(db, 3_000)
    assert cli("start", db, "-p", "0").returncode == 0
    with ConnectorDB("test", "test", url=url_of(db)) as client:
        client("test/user/notes").delete()
    failed(cli("compact", db), f"stop it first, with `connectordb stop {db}`")
    assert cli("stop", db).returncode == 0
    before = (db / "connectordb.db").stat().st_size
    done = cli("compact", db)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Freed ")
    assert "MiB" in done.stdout
    assert (db / "connectordb.db").stat().st_size < before - 2_000_000
    assert cli("check", db).returncode == 0


def test_compact_is_refused_while_somebody_reads(cli: Cli, db: Path) -> None:
    connection = apsw.Connection(str(db / "connectordb.db"))
    connection.execute("SELECT count(*) FROM runs").fetchall()
    failed(cli("compact", db), "another process has", "open: wait for it to end")
    connection.close()
    assert cli("compact", db).returncode == 0


# -- older versions --------------------------------------------------------------------------------------------------


def test_database_of_an_earlier_version_is_served_and_its_copy_kept(cli: Cli, db: Path) -> None:
    written = Path(__file__).parents[1] / "store" / "data" / "15f716a.sql"
    (db / "connectordb.db").unlink()
    connection = apsw.Connection(str(db / "connectordb.db"))
    connection.execute(written.read_text("utf-8"))
    connection.close()
    assert cli("check", db).returncode == 0
    assert cli("backup", db, "old").returncode == 0
    started = cli("start", db, "-p", "0")
    assert started.returncode == 0, started.stderr
    with ConnectorDB("test", "test", url=url_of(db)) as client:
        assert len(client("test/sensor/temperature")) == 704
    assert cli("check", db).returncode == 0
    assert "connectordb-version-1.db keeps what it was before" in (db / "connectordb.log").read_text()
    restored = cli("restore", "old", "new")
    assert restored.returncode == 0, restored.stderr


def test_folders_that_cannot_be_copied_are_told(cli: Cli, db: Path, tmp_path: Path) -> None:
    failed(cli("restore", "nodir", "x"), "nodir does not exist: name a folder that `connectordb backup` has made")
    failed(cli("backup", db, db / "inside"), "is inside")
    failed(cli("backup", db, db), "")
    assert not (db / "inside").exists() and not (tmp_path / "x").exists()
