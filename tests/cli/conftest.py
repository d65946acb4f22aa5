"""The command line as a process, and folders to use it on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from live_server import unused_port

COMMAND = [sys.executable, "-P", "-m", "connectordb"]
TIMEOUT_S = 60.0

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def environment(**more: str) -> dict[str, str]:
    """This process's environment without settings, in a form that prints the same everywhere."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CONNECTORDB_")}
    # The package may be given by a relative path, and some commands run elsewhere.
    paths = [str(Path(entry).absolute()) for entry in kept.get("PYTHONPATH", "").split(os.pathsep) if entry]
    return kept | {"PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200", "NO_COLOR": "1"} | more


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Runs ``connectordb`` in the test's folder and returns when it has ended."""

    def run(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            cwd=tmp_path,
            env=environment(**environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )

    return run


@pytest.fixture
def db(tmp_path: Path, cli: Cli) -> Iterator[Path]:
    """A database made with ``--test``; what serves it is ended after the test."""
    path = tmp_path / "db"
    done = cli("create", path, "--test")
    assert done.returncode == 0, done.stderr
    yield path
    if path.exists():
        cli("stop", path, "--timeout", "5", "--kill")


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    return unused_port()
