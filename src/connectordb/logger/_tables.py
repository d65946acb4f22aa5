"""The tables of a spool: making them, and taking over a spool of ConnectorDB 0.3."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Any

import apsw
import msgspec

from ..datapoint import check_time
from ..errors import SchemaInvalid, SpoolCorrupt, SpoolError
from ..schema import compile_schema

__all__ = ["APPLICATION_ID", "new_source", "prepare"]

APPLICATION_ID = 0x43444253  # "CDBS", in the header of the file
VERSION = 1
SWITCH_TIMEOUT_S = 10.0

_TABLES = """
-- AUTOINCREMENT: the number of a datapoint that was sent and deleted is never given to another one. Uploads are
-- recognised by these numbers.
CREATE TABLE rows (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    stream INTEGER NOT NULL,
    t REAL NOT NULL,
    d TEXT NOT NULL
);
-- What is being uploaded: the rows of the stream with first <= id <= last, for as long as no answer has come.
CREATE TABLE batches (
    stream INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE rejected (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    stream INTEGER NOT NULL,
    t REAL,
    d TEXT NOT NULL,
    reason TEXT NOT NULL,
    rejected_t REAL NOT NULL
);
-- schema: what is checked on insert (NULL: nothing is). creation: with which fields to create it. known: the server
-- has it, and schema is the server's. points_max: a smaller batch than usual, after one was too large.
CREATE TABLE streams (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    schema TEXT,
    creation TEXT NOT NULL DEFAULT '{}',
    known INTEGER NOT NULL DEFAULT 0,
    points_max INTEGER
);
-- Who numbers the uploads, and of which file that was said: a copy of the file is somebody else.
CREATE TABLE identity (
    source TEXT NOT NULL,
    inode INTEGER
);
CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
"""
_OLD_TABLES = {"cache", "metadata", "streams"}


def new_source() -> str:
    """Return a name for a sequence of uploads that nobody else has: 16 random bytes in hex."""
    return secrets.token_hex(16)


def prepare(connection: apsw.Connection, path: str, now: float) -> None:
    """Make the tables in an empty file, or take over a spool of ConnectorDB 0.3; leave a spool of ours as it is.

    Each in one transaction: whatever happens, the file is in the old form or in the new one. *now* is the time in
    seconds that rejected datapoints get.

    Raises:
        SpoolCorrupt: the file is something else. It is left untouched.
        SpoolError: the spool is of a newer version.
    """
    kind = _kind(connection, path)
    _use_wal(connection)
    if kind == "spool":
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        kind = _kind(connection, path)  # another process may have come first
        if kind == "empty":
            _create(connection)
        elif kind == "old":
            _take_over(connection, now)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _use_wal(connection: apsw.Connection) -> None:
    """Switch to write-ahead logging, once per file. SQLite does not wait by itself for others who do the same."""
    give_up = time.monotonic() + SWITCH_TIMEOUT_S
    while True:
        try:
            connection.pragma("journal_mode", "wal")
        except apsw.BusyError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.01)
        else:
            return


def _kind(connection: apsw.Connection, path: str) -> str:
    version = connection.pragma("user_version")
    if connection.pragma("application_id") == APPLICATION_ID:
        if version > VERSION:
            raise SpoolError(
                f"the spool {path} was made by a newer version of ConnectorDB (form {version}, known here: {VERSION})"
            )
        return "spool"
    tables = {
        name
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type='table' AND name NOT LIKE 'sqlite_%'"
        )
    }
    if not tables:
        return "empty"
    if tables >= _OLD_TABLES:
        return "old"
    raise SpoolCorrupt(f"{path} is an SQLite database, but no spool of a Logger: it was left untouched")


def _create(connection: apsw.Connection) -> None:
    connection.execute(_TABLES)
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={VERSION}")
    connection.execute("INSERT INTO identity (source) VALUES (?)", (new_source(),))


def _take_over(connection: apsw.Connection, now: float) -> None:
    connection.execute("ALTER TABLE streams RENAME TO old_streams")
    _create(connection)
    _take_settings(connection)
    for name, schema in list(connection.execute("SELECT stream, jsonschema FROM old_streams ORDER BY rowid")):
        text = _schema_text(schema)
        creation = {"schema": text} if text else {}
        connection.execute(
            "INSERT OR IGNORE INTO streams (name, schema, creation) VALUES (?, ?, ?)",
            (str(name), text, msgspec.json.encode(creation).decode()),
        )
    connection.execute("INSERT OR IGNORE INTO streams (name) SELECT DISTINCT CAST(stream AS TEXT) FROM cache")
    ids = dict(connection.execute("SELECT name, id FROM streams"))
    good = "INSERT INTO rows (stream, t, d) VALUES (?, ?, ?)"
    bad = "INSERT INTO rejected (stream, t, d, reason, rejected_t) VALUES (?, ?, ?, ?, ?)"
    for name, t, d, why in _old_points(connection):
        if why is None:
            connection.execute(good, (ids[name], t, d))
        else:
            connection.execute(bad, (ids[name], t, d, why, now))
    connection.execute("DROP TABLE cache; DROP TABLE metadata; DROP TABLE old_streams")


def _take_settings(connection: apsw.Connection) -> None:
    columns = "apikey, serverurl, lastsynctime, syncperiod, userdatajson"
    for apikey, url, last_sync_t, period_s, data in connection.execute(f"SELECT {columns} FROM metadata LIMIT 1"):
        settings = {
            "apikey": apikey,
            "server_url": url,
            "last_sync_t": last_sync_t,
            "sync_period_s": period_s,
            "data": _decoded(data),
            "created": True,
        }
        for key, value in settings.items():
            if value is not None:
                connection.execute(
                    "INSERT INTO settings (key, value) VALUES (?, ?)", (key, msgspec.json.encode(value).decode())
                )


def _old_points(connection: apsw.Connection) -> Iterator[tuple[str, float | None, str, str | None]]:
    """The stream, time stamp, JSON text of each old datapoint, and what is wrong with it."""
    query = "SELECT CAST(stream AS TEXT), timestamp, CAST(jsondata AS BLOB) FROM cache ORDER BY rowid"
    for name, t, raw in connection.execute(query):
        text = (raw or b"").decode(errors="replace")
        if not isinstance(t, int | float):
            yield name, None, text, "the spool of ConnectorDB 0.3 had no time stamp for it"
        elif why := check_time(t):
            yield name, t, text, why
        else:
            try:
                msgspec.json.decode(raw or b"")
            except (msgspec.MsgspecError, UnicodeError, RecursionError) as e:
                yield name, t, text, f"its value in the spool of ConnectorDB 0.3 is not JSON: {e}"
            else:
                yield name, t, text, None


def _schema_text(text: Any) -> str | None:
    schema = _decoded(text)
    if not isinstance(schema, dict):
        return None
    try:
        return compile_schema(msgspec.json.encode(schema).decode()).text
    except SchemaInvalid:
        return None  # the server decides


def _decoded(text: Any) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, TypeError, RecursionError):
        return None
