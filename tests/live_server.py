"""A server in a process of its own, to be killed, stopped and started again."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from connectordb.core.folder import Folder

READY_S = 60
STOP_S = 60

_CHILD = """
import json, sys
from connectordb.core.folder import Folder
from connectordb.server.run import serve
with Folder.open(sys.argv[1], options=json.loads(sys.argv[2])) as folder:
    serve(folder, folder.settings, lambda host, port: print(port, flush=True))
"""


class LiveServer:
    """A server on a fresh database in *folder*.

    Args:
        folder: Is made.
        options: Settings that are not the defaults, by ``section.key``.
        empty: There is no user in it; otherwise ``test``, password ``test``, an administrator.

    Attributes:
        url: Where it is, also after it was started again.
        log: What it writes, of all its runs.
    """

    host = "127.0.0.1"

    def __init__(self, folder: Path, options: dict[str, Any] | None = None, *, empty: bool = False) -> None:
        Folder.create(folder, test=not empty)
        self.folder = folder
        self.port = unused_port()
        self.url = f"http://{self.host}:{self.port}"
        self.log = folder.with_suffix(".log")
        self._options = {"server.port": self.port, **(options or {})}
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and return when it serves."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("CONNECTORDB_")}
        command = [sys.executable, "-c", _CHILD, str(self.folder), json.dumps(self._options)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=env, text=True)
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], READY_S)
        assert ready, "the server did not start in time"
        line = self._process.stdout.readline().strip()
        assert line == str(self.port), f"the server did not start:\n{self.log.read_text()[-3000:]}"

    def stop(self) -> None:
        """Shut it down in an orderly way."""
        self._end(signal.SIGTERM, 0)

    def kill(self) -> None:
        """End it without any chance to do something about it."""
        self._end(signal.SIGKILL, -signal.SIGKILL)

    def _end(self, signum: signal.Signals, expected: int) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdout is not None
        process.send_signal(signum)
        try:
            status = process.wait(STOP_S)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        assert status == expected, f"the server ended with {status}:\n{self.log.read_text()[-3000:]}"

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def memory(self) -> int:
        """How much of it is in memory, in bytes."""
        assert self._process is not None
        return int(psutil.Process(self._process.pid).memory_info().rss)

    @property
    def admin_key(self) -> str:
        """The api key of the local administrator."""
        return (self.folder / "keys" / "admin.key").read_text().strip()

    def log_lines(self) -> list[dict[str, Any]]:
        """What it has logged so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def faults(self) -> list[dict[str, Any]]:
        """What it has logged of faults of its own."""
        found = [line for line in self.log_lines() if line["level"] in ("error", "critical")]
        stray = [line for line in self.log.read_text().splitlines() if line and not line.startswith("{")]
        return found + [{"stray": line} for line in stray]


def unused_port() -> int:
    """A port that no outgoing connection takes while the server is down; those get others by themselves.

    A client that tries to reach a port of that range, when nobody listens there, even may get connected to itself.
    """
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        first = 32768
    while True:
        port = random.randrange(max(1024, first - 12_000), first)
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
