"""Fixtures of the Logger's tests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# The helpers stand beside the tests; pytest's importlib mode does not look there by itself.
sys.path.insert(0, str(Path(__file__).parent))

from fault_proxy import FaultProxy
from upload_server import UploadServer

from connectordb.logger import Logger


@pytest.fixture
def server() -> Iterator[UploadServer]:
    """A small server that keeps the upload rule, on a port of its own."""
    with UploadServer() as server:
        yield server


@pytest.fixture
def proxy(server: UploadServer) -> Iterator[FaultProxy]:
    """A line to `server` that can be cut."""
    with FaultProxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def make_logger(tmp_path: Path, server: UploadServer) -> Iterator[Callable[..., Logger]]:
    """Makes Loggers with a stream ``x`` of numbers; by default they talk to `server` without a proxy."""
    made: list[Logger] = []

    def make(file: str = "spool.db", url: str = server.url, **settings: Any) -> Logger:
        def on_create(logger: Logger) -> None:
            logger.apikey = "key"
            logger.server_url = url
            logger.add_stream("x", {"type": "number"})

        settings.setdefault("synchronous", "normal")
        logger = Logger(tmp_path / file, settings.pop("on_create", on_create), **settings)
        made.append(logger)
        return logger

    yield make
    for logger in made:
        logger.close(timeout_s=5)


@pytest.fixture
def logger(make_logger: Callable[..., Logger]) -> Logger:
    """A Logger with a stream ``x`` of numbers."""
    return make_logger()
