"""A server in a process of its own, on a database of its own, for a browser."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from connectordb import ConnectorDB
from connectordb.core.folder import Folder

READY_S = 60
STOP_S = 60

_CHILD = """
import json, sys
from connectordb.core.folder import Folder
from connectordb.server.run import serve
with Folder.open(sys.argv[1], options=json.loads(sys.argv[2])) as folder:
    serve(folder, folder.settings, lambda host, port: print(f"http://localhost:{port}", flush=True))
"""


class WebServer:
    """A server on a fresh database in *folder*.

    Args:
        folder: Is made.
        empty: There is no user in it; otherwise ``test``, password ``test``, an administrator.
        options: Settings that are other than usual.

    Attributes:
        url: Where it is.
        log: What it writes.
    """

    def __init__(self, folder: Path, *, empty: bool = False, options: dict[str, Any] | None = None) -> None:
        Folder.create(folder, test=not empty)
        self.folder = folder
        self.log = folder.with_suffix(".log")
        self.url = ""
        self._options: dict[str, Any] = {"server.port": 0, "auth.failure_delay_s": 0.05, "auth.failures_max": 1000}
        self._options.update(options or {})
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and return when it serves; at the same address as before."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("CONNECTORDB_")}
        command = [sys.executable, "-c", _CHILD, str(self.folder), json.dumps(self._options)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=env, text=True)
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], READY_S)
        assert ready, "the server did not start in time"
        self.url = self._process.stdout.readline().strip()
        assert self.url, f"the server did not start:\n{self.log.read_text()[-3000:]}"
        self._options["server.port"] = int(self.url.rpartition(":")[2])

    def stop(self) -> None:
        """Shut it down."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdout is not None
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(STOP_S)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        assert status == 0, f"the server ended with {status}:\n{self.log.read_text()[-3000:]}"

    def connect(self, user: str = "test", password: str = "test") -> ConnectorDB:
        """A client of the API."""
        return ConnectorDB(user, password, url=self.url)

    @property
    def admin_key(self) -> str:
        """The key of the local administrator."""
        return (self.folder / "keys" / "admin.key").read_text().strip()
