"""A connection of one's own for a long look at a database which others may be writing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from ._connection import open_connection, query
from ._errors import translate

__all__ = ["reading", "snapshot"]


@contextmanager
def reading(path: Path) -> Iterator[apsw.Connection]:
    """Give a connection that only reads, to the database at *path*, whether a server has it open or not.

    Raises:
        StoreError: it cannot be opened, or SQLite refused what was done with it.
    """
    connection = open_connection(path)
    try:
        connection.pragma("query_only", True)
        yield connection
    except apsw.Error as error:
        raise translate(error, path) from error
    finally:
        connection.close(force=True)


@contextmanager
def snapshot(connection: apsw.Connection) -> Iterator[None]:
    """Let all statements in the block see the same state. As long as it lasts, the write-ahead log only grows."""
    connection.execute("BEGIN")
    try:
        query(connection, "SELECT count(*) FROM sqlite_schema")  # a transaction begins with the first read
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
