"""The floors: the same work with nothing but the library or the system call below it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import apsw

from .timing import Timed

__all__ = ["Commits", "Ranges", "Rows", "Syncs", "Texts"]

_PAGE = bytes(4096)


def _open(path: Path, synchronous: str, table: str) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", synchronous)
    connection.execute(f"CREATE TABLE points {table}")
    return connection


@dataclass
class Syncs:
    """Appends of a page to a file, each followed by fdatasync."""

    path: Path
    n: int

    def __call__(self, ready: Callable[[], None]) -> Timed:
        """Call *ready*, then work."""
        timed = Timed()
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        ready()
        for _ in range(self.n):
            timed.begun.append(perf_counter())
            os.write(fd, _PAGE)
            os.fdatasync(fd)
            timed.ended.append(perf_counter())
        os.close(fd)
        return timed


@dataclass
class Commits:
    """Inserts of one row, each committed by itself."""

    path: Path
    texts: list[bytes]
    synchronous: str

    def __call__(self, ready: Callable[[], None]) -> Timed:
        """Call *ready*, then work."""
        timed = Timed()
        connection = _open(self.path, self.synchronous, "(i INTEGER PRIMARY KEY, point BLOB)")
        execute = connection.execute
        ready()
        for text in self.texts:
            begun = perf_counter()
            execute("INSERT INTO points (point) VALUES (?)", (text,))
            timed.ended.append(perf_counter())
            timed.begun.append(begun)
        connection.close()
        return timed


@dataclass
class Rows:
    """Inserts of many rows of one point each, committed together."""

    path: Path
    batches: list[list[bytes]]

    def __call__(self, ready: Callable[[], None]) -> Timed:
        """Call *ready*, then work."""
        timed = Timed()
        connection = _open(self.path, "full", "(i INTEGER PRIMARY KEY, point BLOB)")
        batches = [[(text,) for text in batch] for batch in self.batches]
        ready()
        for batch in batches:
            timed.begun.append(perf_counter())
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO points (point) VALUES (?)", batch)
            connection.execute("COMMIT")
            timed.ended.append(perf_counter())
        connection.close()
        return timed


@dataclass
class Ranges:
    """Reads of ranges by time from a table that has a row for each point."""

    path: Path
    points: list[tuple[float, str]]
    ranges: list[tuple[float, float]]

    def __call__(self, ready: Callable[[], None]) -> Timed:
        """Fill the table, call *ready*, then read."""
        timed = Timed()
        connection = _open(self.path, "off", "(t REAL PRIMARY KEY, point TEXT) WITHOUT ROWID")
        with connection:
            connection.executemany("INSERT INTO points VALUES (?, ?)", self.points)
        execute = connection.execute
        ready()
        for bounds in self.ranges:
            begun = perf_counter()
            found: list[Any] = execute("SELECT point FROM points WHERE t > ? AND t <= ? ORDER BY t", bounds).fetchall()
            body = f"[{','.join([text for (text,) in found])}]".encode()
            timed.ended.append(perf_counter())
            timed.begun.append(begun)
            timed.bodies.append(body)
        connection.close()
        return timed


@dataclass
class Texts:
    """A read of the whole from a table that has a row for each batch."""

    path: Path
    batches: list[bytes]

    def __call__(self, ready: Callable[[], None]) -> Timed:
        """Fill the table, call *ready*, then read."""
        timed = Timed()
        connection = _open(self.path, "off", "(i INTEGER PRIMARY KEY, points BLOB)")
        with connection:
            connection.executemany("INSERT INTO points (points) VALUES (?)", [(batch,) for batch in self.batches])
        ready()
        timed.begun.append(perf_counter())
        found = connection.execute("SELECT points FROM points ORDER BY i")
        body = b"[" + b",".join([text for (text,) in found]) + b"]"
        timed.ended.append(perf_counter())
        timed.bodies.append(body)
        connection.close()
        return timed
