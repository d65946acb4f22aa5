"""Readers: each follows something, and notes all that it gets.

``readers`` is a list of ``{"name", "path", "how", "hop"}``. *how* is ``subscribe`` (a path that ends in ``*`` is a
pattern) or ``live``. With *hop*, it ends whenever it is told to, and goes on by a new connection and its cursor.
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

from _agent import commands, connect, given, say

from connectordb import ServerError, TransportError

END = "end"


class Reader:
    """One of them."""

    def __init__(self, name: str, path: str, how: str = "subscribe", hop: bool = False) -> None:
        self.name, self.path, self.how, self.hop = name, path, how, hop
        self.points: list[tuple[str, float, Any]] = []
        self.latencies: list[tuple[float, float]] = []
        self.notices: list[tuple[str, int | None, str]] = []
        self.at_end: set[str] = set()
        self.error = ""
        self.hops = 0
        self._lock = threading.Lock()
        self._turn = 0
        self._hop_wanted = threading.Event()
        self._db = connect()
        self._subscription: Any = None
        if how == "live":
            self._live = self._db(path).live(i1=0)
            self._thread = threading.Thread(target=self._iterate, daemon=True)
            self._thread.start()
        else:
            self._subscribe({})

    def go_on_elsewhere(self) -> None:
        """End, and go on with another connection."""
        if self.how == "live":
            self._hop_wanted.set()
            return
        with self._lock:
            self._turn += 1  # whatever callback is under way is too late
            cursor = self._subscription.cursor
        self._subscription.close()
        self._db.close()
        self._again(lambda: self._subscribe({"cursor": cursor}))
        self.hops += 1

    def close(self) -> None:
        """End."""
        self._db.close()

    def _again(self, do: Any) -> None:
        while True:
            try:
                self._db = connect()
                do()
                return
            except (ServerError, TransportError):
                self._db.close()
                time.sleep(0.05)

    def _subscribe(self, start: dict[str, Any]) -> None:
        turn = self._turn

        def take(path: str, data: Any) -> None:
            now = time.time()
            with self._lock:
                if turn != self._turn:
                    return
                for point in data:
                    self._note(path, point, now)

        def note(notice: Any) -> None:
            self.notices.append((notice.kind, notice.n, str(notice.error or "")))

        pattern = self.path.endswith("/*")
        place: Any = self._db(self.path[:-2].removesuffix("/*")) if pattern else self._db(self.path)
        self._subscription = place.subscribe(take, on_notice=note, **start)

    def _iterate(self) -> None:
        try:
            before = self._live.cursor
            for point in self._live:
                self._note(self.path, point, time.time())
                cursor = self._live.cursor
                if self._hop_wanted.is_set() and cursor != before:  # the last one of an insert
                    self._hop_wanted.clear()
                    self._live.close()
                    self._db.close()
                    self._again(lambda cursor=cursor: setattr(self, "_live", self._db(self.path).live(cursor=cursor)))
                    self.hops += 1
                    self._thread = threading.Thread(target=self._iterate, daemon=True)
                    self._thread.start()
                    return
                before = cursor
        except Exception as e:
            self.error = f"{type(e).__name__}: {e}"

    def _note(self, path: str, point: dict[str, Any], now: float) -> None:
        d = point["d"]
        if isinstance(d, dict):  # large, and tells when it was written
            self.latencies.append((d["at"], now - d["at"]))
            d = d["n"]
        self.points.append((path, point["t"], d))
        if d == END:
            self.at_end.add(path)


def main() -> None:
    """Do what the test says."""
    readers = [Reader(**one) for one in given["readers"]]
    for cmd, arguments in commands():
        if cmd == "hop":
            for reader in readers:
                if reader.hop:
                    reader.go_on_elsewhere()
        elif cmd == "counts":
            say({reader.name: len(reader.points) for reader in readers})
        elif cmd == "notices":
            say({reader.name: reader.notices for reader in readers})
        elif cmd == "latencies":
            say({reader.name: reader.latencies for reader in readers})
        elif cmd == "wait":  # until the end of these streams has come, by name of the reader
            end = time.monotonic() + arguments["within_s"]
            missing = arguments["paths"]
            while missing and time.monotonic() < end:
                time.sleep(0.02)
                missing = {
                    reader.name: [path for path in missing[reader.name] if path not in reader.at_end]
                    for reader in readers
                    if not set(missing.get(reader.name, ())) <= reader.at_end
                }
            say(missing)
        elif cmd == "dump":
            found = {
                reader.name: {
                    "points": reader.points,
                    "notices": reader.notices,
                    "error": reader.error,
                    "hops": reader.hops,
                }
                for reader in readers
            }
            Path(arguments["file"]).write_text(json.dumps(found))
            say(True)
        elif cmd == "close":
            for reader in readers:
                reader.close()
            say([thread.name for thread in threading.enumerate() if thread.name.startswith("connectordb")])
            return


if __name__ == "__main__":
    main()
