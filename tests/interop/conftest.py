"""The published client of ConnectorDB 0.3 in an environment of its own, and a real server for it to talk to."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from connectordb import ConnectorDB
from connectordb.core.folder import Folder

FOLDER = Path(__file__).resolve().parent
REQUIREMENTS = FOLDER / "requirements.txt"
SCRIPTS = FOLDER / "scripts"
CACHE = FOLDER.parents[1] / ".cache"

INSTALL_S = 300
SCRIPT_S = 60
READY_S = 30
STOP_S = 20


class Server(NamedTuple):
    """A server that runs, and its database folder. User ``test``, password ``test``, is an administrator."""

    url: str
    folder: Path

    def command(self, *arguments: str | Path) -> str:
        """Run ``connectordb`` with *arguments*, and return what it prints."""
        command = [sys.executable, "-m", "connectordb", *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SCRIPT_S, env=_own_environment(), check=False
        )
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout


OldScript = Callable[..., Any]
"""Runs ``scripts/NAME.py`` under the old client: ``old("NAME", key=value...)`` gives the JSON that it prints."""


def _environment() -> dict[str, str]:
    """The environment of child processes: no import path of this one, no settings meant for a person's server."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "CONNECTORDB_"))}


def _own_environment() -> dict[str, str]:
    """The same, but they find the package under test as this process does."""
    return _environment() | {k: v for k, v in os.environ.items() if k == "PYTHONPATH"}


def _python(venv: Path) -> Path:
    return venv / "bin" / "python"


def _build(venv: Path) -> None:
    """Install the old client into a new virtual environment, which appears at *venv* once it is complete."""
    CACHE.mkdir(exist_ok=True)
    deadline = time.monotonic() + INSTALL_S
    part = Path(tempfile.mkdtemp(prefix=f"{venv.name}.", suffix=".part", dir=CACHE))
    pip = [str(_python(part)), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    commands = [
        [sys.executable, "-m", "venv", str(part)],
        [*pip, "install", "--no-deps", "--only-binary", ":all:", "--requirement", str(REQUIREMENTS)],
        [*pip, "check"],
    ]
    try:
        for command in commands:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=deadline - time.monotonic(),
                env=_environment(),
                check=False,
            )
            if done.returncode != 0:
                shown = " ".join(command)
                pytest.fail(f"{shown}\nended with {done.returncode}:\n{done.stdout}{done.stderr}", pytrace=False)
        try:
            part.rename(venv)
        except OSError:  # another run was faster
            if not _python(venv).exists():
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


@pytest.fixture(scope="session")
def old_python() -> Path:
    """The Python that has the old client. It is installed once for each state of the requirements and of Python."""
    about = f"{sys.implementation.cache_tag} {sys.version} {sys.executable}".encode()
    key = hashlib.sha256(REQUIREMENTS.read_bytes() + about).hexdigest()[:16]
    venv = CACHE / f"interop-{key}"
    if not _python(venv).exists():
        shutil.rmtree(venv, ignore_errors=True)  # its Python has gone
        _build(venv)
    return _python(venv)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on a fresh database, run as a person runs it: ``connectordb create --test`` and ``connectordb run``."""
    base = tmp_path_factory.mktemp("interop")
    folder, log = base / "db", base / "server.log"
    Server("", folder).command("create", folder, "--test")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "connectordb", "run", folder, "--port", "0"],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_own_environment(),
        )
    try:
        yield Server(_wait_until_ready(process, folder, log), folder)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_S)
            raise
    assert process.returncode == 0, log.read_text()[-5000:]
    failed = [line for line in log.read_text().splitlines() if line.startswith("{") and _is_failure(json.loads(line))]
    assert not failed, "\n".join(failed)


def _is_failure(line: dict[str, Any]) -> bool:
    """Whether a line of the server's log tells of a fault of the server; 501 is what it does not do yet."""
    status: int = line.get("status", 0)
    return bool(line["level"] == "error" or (status >= 500 and status != 501))


def _wait_until_ready(process: subprocess.Popen[bytes], folder: Path, log: Path) -> str:
    """Return the URL that the server has written into its pid file."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            found = json.loads((folder / "connectordb.pid").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            time.sleep(0.02)
            continue
        return f"http://{found['host']}:{found['port']}"
    pytest.fail(f"the server is not ready:\n{log.read_text()}", pytrace=False)


@pytest.fixture
def database(server: Server) -> Iterator[ConnectorDB]:
    """Our own client, as the local administrator, who sees all and may do everything."""
    with ConnectorDB(Folder.read_admin_key(server.folder), url=server.url) as database:
        yield database


@pytest.fixture
def old(old_python: Path, server: Server, tmp_path: Path) -> OldScript:
    """Run a script under the old client, against the server, in a folder of the test's own."""

    def run(script: str, **arguments: Any) -> Any:
        given = {"url": server.url, "dir": str(tmp_path), **arguments}
        done = subprocess.run(
            [old_python, "-E", "-s", SCRIPTS / f"{script}.py", json.dumps(given)],
            capture_output=True,
            text=True,
            timeout=SCRIPT_S,
            cwd=tmp_path,
            env=_environment(),
            check=False,
        )
        assert done.returncode == 0, f"{script} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    return run
