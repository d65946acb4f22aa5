"""start, stop, run and status: real servers, refused and killed in all ways."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import apsw
import pytest

from connectordb.client import ConnectorDB
from connectordb.core.folder import Folder
from connectordb.errors import ConnectorDBError

from .conftest import COMMAND, Cli, environment


def url_of(path: Path) -> str:
    server = Folder.state(path).server
    assert server is not None
    return server.url


def pid_of(path: Path) -> int:
    server = Folder.state(path).server
    assert server is not None
    return server.pid


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        # A killed server whose `start` has ended is a child of init, which may be slow to collect it.
        if Path(f"/proc/{pid}/stat").exists() and ") Z " in Path(f"/proc/{pid}/stat").read_text():
            return
        time.sleep(0.02)
    raise AssertionError(f"process {pid} is still there")


def failed(done: subprocess.CompletedProcess[str], *told: str, code: int = 1) -> None:
    """The command ended with *code* and one clear line on stderr."""
    assert done.returncode == code, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    for part in told:
        assert part in done.stderr
    if code == 1:
        assert done.stderr.startswith("Error: ")
        assert done.stderr.count("\n") == 1, done.stderr


def holder(path: Path, *, announce: bool = False, deaf: bool = False) -> subprocess.Popen[str]:
    """A process that has the folder open and is no server of ours."""
    code = (
        "import signal, sys, time; from connectordb.core.folder import Folder\n"
        f"{'signal.signal(signal.SIGTERM, signal.SIG_IGN)' if deaf else ''}\n"
        "folder = Folder.open(sys.argv[1])\n"
        f"{'folder.announce(chr(49) * 2, 1)' if announce else ''}\n"
        "print('open', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True, env=environment()
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate(timeout=10)


# -- the usual way ---------------------------------------------------------------------------------------------------


def test_start_serves_status_tells_and_stop_ends(cli: Cli, db: Path, free_port: int) -> None:
    assert cli("status", db).returncode == 3

    started = cli("start", db, "-p", str(free_port))
    assert started.returncode == 0, started.stderr
    assert f"serves {db} at http://127.0.0.1:{free_port} (process {pid_of(db)})" in started.stdout
    with ConnectorDB("test", "test", url=url_of(db)) as client:
        assert client.ping() == "test/user"

    status = cli("status", db)
    assert status.returncode == 0
    for told in (f"{db}: running", str(pid_of(db)), url_of(db), "uptime", "users      1", "streams    1", "KiB"):
        assert told in status.stdout
    facts = json.loads(cli("status", db, "--json").stdout)
    assert facts["running"] is facts["ready"] is True
    assert (facts["pid"], facts["url"], facts["users"], facts["devices"]) == (pid_of(db), url_of(db), 1, 2)
    assert facts["database_bytes"] > 0
    assert facts["uptime_s"] >= 0

    pid = pid_of(db)
    stopped = cli("stop", db)
    assert stopped.returncode == 0
    assert f"process {pid}" in stopped.stdout
    wait_until_gone(pid)
    assert not (db / "connectordb.pid").exists()

    status = cli("status", db)
    assert status.returncode == 3
    assert f"{db}: not running" in status.stdout
    facts = json.loads(cli("status", db, "--json").stdout)
    assert facts["running"] is False
    assert facts["database_bytes"] > 0


def test_stop_of_what_does_not_run_is_fine(cli: Cli, db: Path) -> None:
    done = cli("stop", db)
    assert done.returncode == 0
    assert "is not running" in done.stdout


def test_any_free_port_is_found_and_told(cli: Cli, db: Path) -> None:
    assert cli("start", db, "--port", "0").returncode == 0
    assert ConnectorDB("test", "test", url=url_of(db)).ping() == "test/user"


def test_started_server_leaves_its_starter_alone(cli: Cli, db: Path) -> None:
    """It has a session of its own, so closing the terminal does not end it, and no folder of others is in its way."""
    assert cli("start", db, "-p", "0").returncode == 0
    pid = pid_of(db)
    assert os.getsid(pid) == pid
    assert Path(f"/proc/{pid}/cwd").resolve() == db.resolve()


def test_log_of_the_background_server_is_in_the_folder(cli: Cli, db: Path) -> None:
    assert cli("start", db, "-p", "0").returncode == 0
    assert cli("stop", db).returncode == 0
    log = (db / "connectordb.log").read_text()
    assert "serves" in log
    assert '"event":"stopped"' in log
    assert (db / "connectordb.log").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_serves_in_the_foreground_until_a_signal(db: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [*COMMAND, "run", str(db), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert re.search(r"serves .*db at http://127\.0\.0\.1:\d+ \(Ctrl-C ends it\)", line)
        assert ConnectorDB("test", "test", url=url_of(db)).ping() == "test/user"
        process.send_signal(number)
        _, told = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "Traceback" not in told
    assert not (db / "connectordb.pid").exists()


def test_settings_of_the_file_and_the_environment_are_used(cli: Cli, db: Path, free_port: int) -> None:
    file = db / "connectordb.toml"
    file.write_text(file.read_text().replace("#port = 3124", f"port = {free_port}"))
    assert cli("start", db).returncode == 0
    assert url_of(db) == f"http://127.0.0.1:{free_port}"
    assert cli("stop", db).returncode == 0
    assert cli("start", db, CONNECTORDB_SERVER__PORT="0", CONNECTORDB_SERVER__HOST="localhost").returncode == 0
    server = Folder.state(db).server
    assert server is not None
    assert server.host == "localhost"
    assert server.port not in (0, free_port)


# -- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["start", "stop", "run", "status"])
def test_what_is_no_database_folder_is_refused(cli: Cli, tmp_path: Path, command: str) -> None:
    failed(cli(command, tmp_path / "nothing"), "does not exist", "connectordb create")
    (tmp_path / "letter.txt").write_text("mine")
    failed(cli(command, tmp_path), "not a database folder", "connectordb create")
    failed(cli(command, tmp_path / "letter.txt"), code=2)
    failed(cli(command), "DIR", code=2)


def test_second_start_is_refused_with_pid_and_url(cli: Cli, db: Path, free_port: int) -> None:
    assert cli("start", db, "-p", str(free_port)).returncode == 0
    told = (f"already running: process {pid_of(db)}", f"http://127.0.0.1:{free_port}")
    failed(cli("start", db), *told)
    failed(cli("start", db, "-p", "0"), *told)
    failed(cli("run", db, "-p", "0"), *told)
    assert ConnectorDB("test", "test", url=url_of(db)).ping() == "test/user"


@pytest.mark.parametrize("command", ["start", "run"])
def test_port_taken_is_refused_with_its_holder(cli: Cli, db: Path, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        failed(
            cli(command, db, "-p", str(port)),
            f"port {port} of 127.0.0.1 is taken by process {os.getpid()}",
            "--port",
        )
    assert not Folder.state(db).in_use


def test_port_that_is_taken_between_check_and_listening_is_refused(cli: Cli, db: Path, free_port: int) -> None:
    """The check that `start` makes first sees a free port; the server itself does not."""
    (db / "usurper").mkdir()
    (db / "usurper" / "sitecustomize.py").write_text(
        "import socket, sys\n"
        "if '--background' in sys.orig_argv:\n"
        f"    taken = socket.create_server(('127.0.0.1', {free_port}))\n"
    )
    path = os.pathsep.join([str(db / "usurper"), environment()["PYTHONPATH"]])
    failed(cli("start", db, "-p", str(free_port), PYTHONPATH=path), f"port {free_port}", "is taken by this process")


@pytest.mark.parametrize(
    ("arguments", "told", "code"),
    [
        (["--host", "192.0.2.1"], "192.0.2.1 is no address of this machine", 1),
        (["--host", "no-such-host.invalid"], "cannot be looked up", 1),
        (["--host", ""], "--host", 1),
        (["--port", "65536"], "65535", 2),
        (["--port", "http"], "--port", 2),
        (["--timeout", "0"], "--timeout", 2),
    ],
)
def test_address_that_cannot_be_is_refused(cli: Cli, db: Path, arguments: list[str], told: str, code: int) -> None:
    failed(cli("start", db, *arguments), told, code=code)


def test_bad_settings_are_refused_with_file_and_key(cli: Cli, db: Path) -> None:
    (db / "connectordb.toml").write_text("[server]\nprot = 1\n")
    for command in ("start", "run"):
        failed(cli(command, db), "connectordb.toml: [server] has no key prot: did you mean port?")


def test_newer_database_is_refused(cli: Cli, db: Path) -> None:
    with apsw.Connection(str(db / "connectordb.db")) as connection:
        connection.pragma("user_version", 9999)
    connection.close()
    for command in ("start", "run"):
        failed(cli(command, db, "-p", "0"), "version 9999", "newer ConnectorDB")
    assert not Folder.state(db).in_use


def test_folder_that_another_program_has_open_is_refused(cli: Cli, db: Path) -> None:
    process = holder(db)
    failed(cli("start", db, "-p", "0"), f"in use by process {process.pid}")
    failed(cli("stop", db), f"in use by process {process.pid}")
    status = cli("status", db)
    assert status.returncode == 3
    assert f"in use by  process {process.pid}" in status.stdout
    end(process)
    assert cli("start", db, "-p", "0").returncode == 0


def test_server_that_is_not_ready_in_time_is_ended(cli: Cli, db: Path) -> None:
    (db / "slow").mkdir()
    (db / "slow" / "sitecustomize.py").write_text(
        "import sys, time\nif '--background' in sys.orig_argv: time.sleep(60)\n"
    )
    path = os.pathsep.join([str(db / "slow"), environment()["PYTHONPATH"]])
    failed(cli("start", db, "-p", "0", "--timeout", "1", PYTHONPATH=path), "not ready within 1 s", "--timeout")
    assert not Folder.state(db).in_use


def test_interrupted_start_leaves_no_server(db: Path) -> None:
    (db / "slow").mkdir()
    (db / "slow" / "sitecustomize.py").write_text(
        "import os, sys, time\n"
        "if '--background' in sys.orig_argv:\n"
        f"    open({str(db / 'slow' / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)\n"
    )
    path = os.pathsep.join([str(db / "slow"), environment()["PYTHONPATH"]])
    process = subprocess.Popen(
        [*COMMAND, "start", str(db), "-p", "0"],
        env=environment(PYTHONPATH=path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not ((db / "slow" / "pid").exists() and (db / "slow" / "pid").read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in told
    wait_until_gone(int((db / "slow" / "pid").read_text()))


# -- crashes and races -----------------------------------------------------------------------------------------------


def test_killed_server_is_recovered_with_all_that_it_acknowledged(cli: Cli, db: Path) -> None:
    assert cli("start", db, "-p", "0").returncode == 0
    with ConnectorDB("test", "test", url=url_of(db)) as client:
        client["s"].create({"type": "number"})
        for value in range(5):
            client["s"].insert(value)
    pid = pid_of(db)
    os.kill(pid, signal.SIGKILL)
    wait_until_gone(pid)

    status = cli("status", db)
    assert status.returncode == 3
    assert f"process {pid} died" in status.stdout
    assert cli("stop", db).returncode == 0

    restarted = cli("start", db, "-p", "0")
    assert restarted.returncode == 0, restarted.stderr
    assert f"process {pid}) died without ending properly: recovering" in restarted.stdout
    with ConnectorDB("test", "test", url=url_of(db)) as client:
        assert [point["d"] for point in client["s"][:]] == list(range(5))


def test_pid_file_with_the_pid_of_somebody_else_is_recovered(cli: Cli, db: Path) -> None:
    """After a reboot the number may belong to any program: that is neither a server nor to be ended."""
    (db / "connectordb.pid").write_text(
        json.dumps({"pid": os.getpid(), "host": "127.0.0.1", "port": 1, "started": 0.0})
    )
    assert cli("status", db).returncode == 3
    assert "is not running" in cli("stop", db).stdout
    assert cli("start", db, "-p", "0").returncode == 0
    assert pid_of(db) != os.getpid()


def test_of_two_starts_at_once_one_wins_and_the_other_says_so(cli: Cli, db: Path) -> None:
    processes = [
        subprocess.Popen(
            [*COMMAND, "start", str(db), "-p", "0"],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    told = [process.communicate(timeout=60)[1] for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 1], told
    loser = next(text for text in told if text)
    assert "in use by process" in loser or "already running" in loser
    assert ConnectorDB("test", "test", url=url_of(db)).ping() == "test/user"


def test_stop_finishes_a_request_that_it_has_accepted(cli: Cli, db: Path) -> None:
    assert cli("start", db, "-p", "0").returncode == 0
    with ConnectorDB("test", "test", url=url_of(db)) as client:
        client["s"].create({"type": "number"})
    server = Folder.state(db).server
    assert server is not None
    body = b'[{"t": 1, "d": 1}, {"t": 2, "d": 2}]'
    login = base64.b64encode(b"test:test").decode()
    head = (
        f"POST /api/v1/crud/test/user/s/data HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((server.host, server.port), timeout=20) as connection:
        connection.sendall(head.encode() + body[:10])
        time.sleep(0.3)  # so that the request has begun
        stopping = subprocess.Popen([*COMMAND, "stop", str(db)], env=environment(), stdout=subprocess.DEVNULL)
        time.sleep(1.0)
        assert stopping.poll() is None
        connection.sendall(body[10:])
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    assert stopping.wait(timeout=30) == 0
    with ConnectorDB.local(db, "root") as client:
        assert [point["d"] for point in client("test/user/s")[:]] == [1, 2]


def test_nothing_acknowledged_is_lost_when_stopped_amid_writing(cli: Cli, db: Path) -> None:
    assert cli("start", db, "-p", "0").returncode == 0
    acknowledged: list[list[int]] = [[], []]
    with ConnectorDB("test", "test", url=url_of(db), retries=0) as client:
        for name in ("s0", "s1"):
            client[name].create({"type": "number"})

        def write(number: int) -> None:
            for value in range(100_000):
                try:
                    client[f"s{number}"].insert(value)
                except ConnectorDBError:
                    return
                acknowledged[number].append(value)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 60
        while min(map(len, acknowledged)) <= 10 and any(thread.is_alive() for thread in threads):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert cli("stop", db).returncode == 0
        for thread in threads:
            thread.join(timeout=20)
    with ConnectorDB.local(db, "root") as client:
        for number in range(2):
            stored = [point["d"] for point in client(f"test/user/s{number}")[:]]
            assert len(acknowledged[number]) > 10
            assert stored == acknowledged[number]


# -- stop ------------------------------------------------------------------------------------------------------------


def test_server_that_does_not_end_is_told_and_killed_on_demand(cli: Cli, db: Path) -> None:
    process = holder(db, announce=True, deaf=True)
    failed(cli("stop", db, "--timeout", "0.3"), f"process {process.pid}", "not ended within 0.3 s", "--kill")
    assert process.poll() is None
    done = cli("stop", db, "--timeout", "0.3", "--kill")
    assert done.returncode == 0
    assert "Killed" in done.stdout
    assert process.wait(timeout=10) == -signal.SIGKILL
    process.communicate()
    assert not Folder.state(db).in_use


def test_server_that_does_not_answer_is_running_all_the_same(cli: Cli, db: Path) -> None:
    process = holder(db, announce=True)
    status = cli("status", db)
    assert status.returncode == 0
    assert "running, but does not answer" in status.stdout
    end(process)


def test_process_that_does_not_have_the_folder_is_never_ended(cli: Cli, db: Path) -> None:
    """A server in another container has a process id which means somebody else here."""
    process = holder(db, announce=True)
    innocent = subprocess.Popen(["sleep", "60"])
    for name in ("connectordb.pid", "connectordb.lock"):
        content = json.loads((db / name).read_text())
        (db / name).write_text(json.dumps(content | {"pid": innocent.pid}))
    failed(cli("stop", db, "--kill"), f"not by process {innocent.pid} of this machine", "another container")
    assert innocent.poll() is None
    assert process.poll() is None
    innocent.kill()
    innocent.wait()
    end(process)
