"""Progress bars: in a terminal, for what takes long, and nowhere else."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from typing import Any

import pytest

from connectordb.client._progress import SHOWN_FROM_POINTS, progress

CODE = """
import sys
from connectordb import ConnectorDB
with ConnectorDB("test", "test", url=sys.argv[1]) as db:
    s = db["bar"]
    s.create()
    n = int(sys.argv[2])
    points = ({"t": float(i + 1), "d": i} for i in range(n))
    s.insert_array(points if sys.argv[3] == "unknown" else list(points))
    assert len(s) == n
    s.delete()
    print("rich" in sys.modules)
"""


def run(url: str, n: int, length: str, *, terminal: bool) -> tuple[str, str]:
    """What such an insert writes on standard output and on standard error."""
    command = [sys.executable, "-c", CODE, url, str(n), length]
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    if not terminal:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=True)
        return done.stdout.strip(), done.stderr
    ours, theirs = pty.openpty()
    shown = bytearray()

    def read() -> None:
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:
                return
            if not data:
                return
            shown.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=theirs, text=True, timeout=60, env=env, check=True
        )
    finally:
        os.close(theirs)
        reader.join(20)
        os.close(ours)
    return done.stdout.strip(), shown.decode()


@pytest.mark.parametrize("length", ["known", "unknown"])
def test_long_insert_shows_a_bar_in_a_terminal(server: Any, length: str) -> None:
    output, shown = run(server.url, SHOWN_FROM_POINTS + 10_000, length, terminal=True)
    assert output == "True"
    assert "insert test/user/bar" in shown


@pytest.mark.parametrize("length", ["known", "unknown"])
def test_short_insert_shows_nothing(server: Any, length: str) -> None:
    assert run(server.url, 100, length, terminal=True) == ("False", "")


def test_nothing_is_shown_elsewhere(server: Any) -> None:
    assert run(server.url, SHOWN_FROM_POINTS + 10_000, "known", terminal=False) == ("False", "")


def test_errors_pass_through() -> None:
    with pytest.raises(KeyError), progress("x", 10) as advance:
        advance(1)
        raise KeyError
