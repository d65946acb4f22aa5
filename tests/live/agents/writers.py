"""Writers: each inserts numbered datapoints as fast as it is told, and notes what has been acknowledged.

``writers`` is a list of ``{"name", "path", "mode", "per_s", "batch_max", "bytes"}``.
"""

from __future__ import annotations

import base64
import json
import random
import threading
import time
from pathlib import Path
from typing import Any

from _agent import commands, connect, given, say

from connectordb import ConnectorDBError


class Writer:
    """One of them."""

    def __init__(
        self, name: str, path: str, mode: str = "restamp", per_s: float = 100.0, batch_max: int = 10, bytes: int = 0
    ) -> None:
        self.name, self.mode, self.per_s, self.batch_max, self.bytes = name, mode, per_s, batch_max, bytes
        self.sent = 0
        self.acknowledged: list[str] = []
        self.times: list[tuple[float, float]] = []
        self.error = ""
        self._db = connect()
        self._stream = self._db(path)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write no more; return when the last insert is acknowledged."""
        self._over.set()
        self._thread.join()
        self._db.close()

    def _run(self) -> None:
        rng = random.Random(self.name)
        due = time.monotonic()
        while not self._over.is_set():
            names = [f"{self.name}-{self.sent + i}" for i in range(rng.randint(1, self.batch_max))]
            late = 1000.0 if self.mode == "merge" and rng.random() < 0.5 else 0.0
            t = time.time() - late * rng.random()
            points = [{"t": t + i * 1e-6, "d": self._value(name, rng)} for i, name in enumerate(names)]
            self.sent += len(names)
            began = time.monotonic()
            try:
                self._stream.insert_array(points, restamp=self.mode == "restamp", merge=self.mode == "merge")
            except ConnectorDBError as e:
                self.error = f"{type(e).__name__}: {e}"
                return
            self.times.append((time.time(), time.monotonic() - began))
            self.acknowledged += names
            due = max(due + 1 / self.per_s, time.monotonic() - 0.1)
            self._over.wait(max(0.0, due - time.monotonic()))

    def _value(self, name: str, rng: random.Random) -> Any:
        if not self.bytes:
            return name
        return {"n": name, "at": time.time(), "x": base64.b64encode(rng.randbytes(self.bytes)).decode()}


def main() -> None:
    """Do what the test says."""
    writers = [Writer(**one) for one in given["writers"]]
    for cmd, arguments in commands():
        if cmd == "start":
            for writer in writers:
                writer.start()
            say(True)
        elif cmd == "counts":
            say({writer.name: len(writer.acknowledged) for writer in writers})
        elif cmd == "stop":
            for writer in writers:
                writer.stop()
            found = {
                writer.name: {
                    "acknowledged": writer.acknowledged,
                    "sent": writer.sent,
                    "times": writer.times,
                    "error": writer.error,
                }
                for writer in writers
            }
            Path(arguments["file"]).write_text(json.dumps(found))
            say(True)
            return


if __name__ == "__main__":
    main()
