"""Runs Loggers and servers as processes of their own, for tests that kill them.

One process imports everything once, and forks a child for each: so they start in milliseconds. It reads commands as
JSON, one a line, and answers each in the same way. Run as a program it obeys; `Harness` is the other side.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

STREAMS = ("s0", "s1", "s2")
MANY = 20
"""The most datapoints in one call of a child."""


class Harness:
    """Starts and kills Loggers and servers."""

    def __init__(self, log: Path) -> None:
        self._log = log.open("ab")
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log
        )

    def start_logger(self, spool: Path, url: str, apikey: str, first: int, acknowledged: Path) -> int:
        """Start a process that logs the numbers from *first* on until it is killed, and return its pid.

        It notes in the file *acknowledged*, after each call that returned, the range of numbers.
        """
        return int(self._ask("logger", str(spool), url, apikey, first, str(acknowledged)))

    def start_server(self, folder: Path, port: int) -> int:
        """Start a server on *folder*, and return its pid."""
        return int(self._ask("server", str(folder), port))

    def kill(self, pid: int) -> None:
        """Kill the process, which must be running, with SIGKILL, and wait for its end."""
        status = self._ask("kill", pid)
        assert status == -signal.SIGKILL, f"process {pid} ended by itself ({status}): see {self._log.name}"

    def __enter__(self) -> Harness:
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()
        self._log.close()

    def _ask(self, *command: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def obey() -> None:
    """Carry out commands until there are no more; then kill what is still running."""
    import connectordb.server.local
    import connectordb.server.run
    import connectordb.store.sqlite  # noqa: F401
    from connectordb.logger import _background

    # Servers come back sooner here than in the world.
    _background.BACKOFF_FIRST_S, _background.BACKOFF_MAX_S = 0.005, 0.02
    running: set[int] = set()
    for line in sys.stdin:
        what, *arguments = json.loads(line)
        if what == "kill":
            (pid,) = arguments
            os.kill(pid, signal.SIGKILL)
            answer = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            running.discard(pid)
        else:
            pid = os.fork()
            if pid == 0:
                try:
                    {"logger": run_logger, "server": run_server}[what](*arguments)
                finally:
                    os._exit(1)
            running.add(pid)
            answer = pid
        print(json.dumps(answer), flush=True)
    for pid in running:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def run_logger(spool: str, url: str, apikey: str, first: int, acknowledged: str) -> None:
    """Log until killed. Some datapoints are late."""
    from connectordb.logger import Logger

    def on_create(logger: Logger) -> None:
        logger.apikey = apikey
        logger.server_url = url
        logger.sync_period_s = 0.003

    rng = random.Random(first)
    fd = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    logger = Logger(spool, on_create, synchronous="normal", batch_points_max=rng.choice([1, 7, 40, 5000]), timeout_s=2)
    for name in STREAMS:
        logger.add_stream(name, {"type": "integer"})
    logger.start()
    i = first
    while True:
        stream = rng.choice(STREAMS)
        if rng.random() < 0.7:
            n = 1
            logger.insert(stream, i)
        else:
            n = rng.randrange(1, MANY)
            logger.insert_many({stream: [{"t": 1 + rng.random() * 1e9, "d": i + k} for k in range(n)]})
        os.write(fd, b"%d %d\n" % (i, i + n))
        i += n
        if rng.random() < 0.3:
            time.sleep(rng.random() * 0.003)


def run_server(folder: str, port: int) -> None:
    """Serve until killed."""
    from connectordb.core.folder import Folder
    from connectordb.server.run import serve

    options = {"server.port": port, "log.requests": False, "log.level": "error"}
    opened = Folder.open(folder, environ={}, options=options)
    serve(opened, opened.settings, lambda host, port: None)


if __name__ == "__main__":
    obey()
