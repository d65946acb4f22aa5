"""The server's log: lines for a person on a terminal, lines of JSON anywhere else.

It goes to standard error. Where that leads, and what happens when the file becomes large, is decided by whoever
starts the process: so a crash of the interpreter lands in the same file as the log.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = ["LibraryLog", "forward_logging", "make_log"]

STDERR = 2
DELAY_S = 0.1
"""A system call for each request would be a good part of what a request costs."""

_encode = msgspec.json.Encoder().encode


class _LineLogger:
    """What structlog hands a finished line to.

    On an event loop, lines of little importance are written together, after at most `DELAY_S`.
    """

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def info(self, line: bytes) -> None:
        self._lines.append(line)
        if self._timer is None:
            try:
                self._timer = asyncio.get_running_loop().call_later(DELAY_S, self.flush)
            except RuntimeError:
                self.flush()

    debug = info

    def error(self, line: bytes) -> None:
        self._lines.append(line)
        self.flush()

    warning = critical = error

    def flush(self) -> None:
        """Write what waits, in one piece."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        try:
            os.write(STDERR, b"".join(lines))
        except OSError:  # a full disk, or nobody reads any more: there is nobody to tell
            pass


class LibraryLog:
    """Has the methods of a structlog logger that are used here, and leaves everything to `logging`.

    For local mode, where the process belongs to somebody else: unless that one asks for them, nobody sees the lines.
    """

    def __init__(self) -> None:
        logging.getLogger("connectordb").addHandler(logging.NullHandler())  # else they go to standard error
        self._logger = logging.getLogger("connectordb.server")

    def is_enabled_for(self, level: int) -> bool:
        """Whether lines of *level* are wanted. Those of single requests never are."""
        return level > logging.INFO

    def warning(self, event: str, **details: Any) -> None:
        """Log *event*."""
        self._logger.warning("%s: %s", event, details)

    def error(self, event: str, **details: Any) -> None:
        """Log *event*."""
        self._logger.error("%s: %s", event, details)


def make_log(level: str) -> Any:
    """Return a structlog logger that writes what is at least as important as *level* to standard error.

    It shares nothing with other loggers: in local mode the process, and its logging, belong to somebody else.
    """
    import structlog

    processors: list[Any] = [_to_json]
    logger: Any = _LineLogger()
    if sys.stderr.isatty():
        processors = [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(),
        ]
        logger = structlog.PrintLogger(sys.stderr)
    wrapper = structlog.make_filtering_bound_logger(level)
    return structlog.wrap_logger(logger, processors=processors, wrapper_class=wrapper).bind()


@contextmanager
def forward_logging(log: Any, *names: str) -> Iterator[None]:
    """Let what is logged under *names* with the standard library's `logging` go to *log*."""
    handler = _Forwarder(log)
    loggers = [logging.getLogger(name) for name in names]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


class _Forwarder(logging.Handler):
    def __init__(self, log: Any) -> None:
        super().__init__()
        self._log = log
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        details = {"msg": record.getMessage(), "logger": record.name}
        if record.exc_info:
            details["traceback"] = self._formatter.formatException(record.exc_info)
        write = self._log.error if record.levelno >= logging.ERROR else self._log.warning
        write("logged", **details)


def _to_json(logger: Any, method: str, event: MutableMapping[str, Any]) -> bytes:
    line: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "level": method,
        **event,
    }
    return _encode(line) + b"\n"
