"""A server for a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from connectordb import ConnectorDB
from live_server import LiveServer


class WebServer(LiveServer):
    """A server at ``localhost``, as a person calls it, that does not mind that many sign in or fail to."""

    host = "localhost"

    def __init__(self, folder: Path, options: dict[str, Any] | None = None, *, empty: bool = False) -> None:
        often = {"auth.failure_delay_s": 0.05, "auth.failures_max": 1000}
        super().__init__(folder, {**often, **(options or {})}, empty=empty)

    def connect(self, user: str = "test", password: str = "test") -> ConnectorDB:
        """A client of the API."""
        return ConnectorDB(user, password, url=self.url)
