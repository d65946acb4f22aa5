"""The tables of a spool: making them, and taking over a spool of ConnectorDB 0.3."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any

import apsw
import msgspec

from ..datapoint import check_time
from ..errors import SchemaInvalid, SpoolCorrupt, SpoolError
from ..paths import is_name
from ..schema import compile_schema

__all__ = ["APPLICATION_ID", "new_source", "prepare"]

APPLICATION_ID = 0x43444253  # "CDBS", in the header of the file
VERSION = 1
SWITCH_TIMEOUT_S = 10.0
NO_STREAM = 0
"""Of rejected datapoints of an old spool that belong to no stream."""

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
_OLD = "the spool of ConnectorDB 0.3"


def new_source() -> str:
    """Return a name for a sequence of uploads that nobody else has: 16 random bytes in hex."""
    return secrets.token_hex(16)


def prepare(connection: apsw.Connection, path: str, now: float) -> None:
    """Make the tables in an empty file, or take over a spool of ConnectorDB 0.3; leave a spool of ours as it is.

    Each in one transaction: whatever happens, the file is in the old form or in the new one. *now* is the time in
    seconds that rejected datapoints get, and those with the time stamp 0. Rows of an old spool that cannot be used go
    to the rejected ones with the reason; settings that cannot be used get their defaults.

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
    streams = connection.execute(
        "SELECT CAST(stream AS BLOB), CAST(jsonschema AS BLOB) FROM old_streams ORDER BY rowid"
    )
    for raw_name, schema in list(streams):
        text = _schema_text(schema)
        creation = {"schema": text} if text else {}
        if _why_no_stream(raw_name) is None:
            connection.execute(
                "INSERT OR IGNORE INTO streams (name, schema, creation) VALUES (?, ?, ?)",
                (_shown(raw_name), text, msgspec.json.encode(creation).decode()),
            )
    for (raw_name,) in list(connection.execute("SELECT DISTINCT CAST(stream AS BLOB) FROM cache")):
        if _why_no_stream(raw_name) is None:
            connection.execute("INSERT OR IGNORE INTO streams (name) VALUES (?)", (_shown(raw_name),))
    ids = dict(connection.execute("SELECT name, id FROM streams"))
    good = "INSERT INTO rows (stream, t, d) VALUES (?, ?, ?)"
    bad = "INSERT INTO rejected (stream, t, d, reason, rejected_t) VALUES (?, ?, ?, ?, ?)"
    for name, t, d, why in _old_points(connection, now):
        if why is None:
            connection.execute(good, (ids[name], t, d))
        else:
            connection.execute(bad, (ids.get(name, NO_STREAM), t, d, why, now))
    connection.execute("DROP TABLE cache; DROP TABLE metadata; DROP TABLE old_streams")


def _take_settings(connection: apsw.Connection) -> None:
    """Take over the settings; those that cannot be used get their defaults."""
    columns = "CAST(apikey AS BLOB), CAST(serverurl AS BLOB), CAST(userdatajson AS BLOB)"
    numbers = ", ".join(
        f"CASE WHEN typeof({name}) IN ('integer', 'real') THEN {name} END" for name in ("lastsynctime", "syncperiod")
    )
    for apikey, url, data, last_sync_t, period_s in connection.execute(
        f"SELECT {columns}, {numbers} FROM metadata LIMIT 1"
    ):
        settings = {
            "apikey": _text(apikey),
            "server_url": _text(url),
            "last_sync_t": None if last_sync_t is None or check_time(last_sync_t) else last_sync_t,
            "sync_period_s": None if period_s is None or not 0 < period_s < threading.TIMEOUT_MAX else period_s,
            "data": _decoded(data),
            "created": True,
        }
        for key, value in settings.items():
            if value is not None:
                connection.execute(
                    "INSERT INTO settings (key, value) VALUES (?, ?)", (key, msgspec.json.encode(value).decode())
                )


def _old_points(connection: apsw.Connection, now: float) -> Iterator[tuple[str, float | None, str, str | None]]:
    """The stream, time stamp, JSON text of each old datapoint, and what is wrong with it.

    A time stamp 0, which ConnectorDB takes for none, becomes *now*: the server would take the time of the upload.
    """
    query = (
        "SELECT CAST(stream AS BLOB), CASE WHEN typeof(timestamp) IN ('integer', 'real') THEN timestamp END, "
        "CAST(timestamp AS BLOB), CAST(jsondata AS BLOB) FROM cache ORDER BY rowid"
    )
    for raw_name, number, raw_t, raw in connection.execute(query):
        t = now if number == 0 else number
        why = _why_no_stream(raw_name) or _why_no_time(t, raw_t) or _why_no_json(raw)
        yield _shown(raw_name), t, _shown(raw), why


def _why_no_stream(raw: bytes | None) -> str | None:
    if raw is None:
        return f"{_OLD} did not tell its stream"
    if is_name(_text(raw) or ""):
        return None
    return f"its stream in {_OLD} was {_shown(raw)!r}, which is no name of a stream"


def _why_no_time(t: float | None, raw: bytes | None) -> str | None:
    if t is not None:
        return check_time(t)
    return (
        f"{_OLD} had no time stamp for it"
        if raw is None
        else f"its time stamp in {_OLD}, {_shown(raw)!r}, is no number"
    )


def _why_no_json(raw: bytes | None) -> str | None:
    try:
        msgspec.json.decode(raw or b"")
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as e:
        return f"its value in {_OLD} is not JSON: {e}"
    return None


def _shown(raw: bytes | None) -> str:
    return (raw or b"").decode(errors="replace")


def _text(raw: bytes | None) -> str | None:
    try:
        return None if raw is None else raw.decode()
    except UnicodeError:
        return None


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
