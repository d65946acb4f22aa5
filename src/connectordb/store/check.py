"""Looking for damage: is the file whole, and does all that is in it fit together?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import apsw
import msgspec

from ..errors import StoreError
from ..paths import is_name
from ._check_ledger import check_blocks, check_corrections, check_removed
from ._check_points import check_points
from ._connection import query
from ._downlinks import digest_of
from ._errors import translate
from ._key import key_at, key_of, place_of
from ._migrate import check_version, load_migrations, migrate
from ._objects import apikey_digest, email_key, path_of
from ._reading import reading, snapshot
from ._versions import has_blocks, has_changes, runs_of
from .backup import Progress
from .records import DownlinkState, Substream

__all__ = ["Finding", "check"]

_PROBLEMS_MAX = 100  # that SQLite tells of
_HEADS = 1_000  # looked up at once

_UNREADABLE = (apsw.CorruptError, TypeError, ValueError, LookupError, ArithmeticError)
"""What comes of rows that hold something else than what can have been written there."""

_decode = msgspec.json.Decoder().decode


class Finding(NamedTuple):
    """Something that is wrong.

    Attributes:
        where: ``user/device/stream``, with ``/downlink`` if it is in that; ``user``; the table; or the database.
        problem: What is wrong there.
        i1, i2: The datapoints concerned: indices ``[i1, i2)``; ``None``: not single ones.
    """

    where: str
    problem: str
    i1: int | None = None
    i2: int | None = None

    def __str__(self) -> str:
        place = self.where if self.i1 is None else f"{self.where} [{self.i1}:{self.i2}]"
        return f"{place}: {self.problem}"


def check(path: Path, *, progress: Progress | None = None) -> Iterator[Finding]:
    """Yield all that is wrong with the database at *path*, from the file's structure to each datapoint.

    A server may have it open and go on writing. What SQLite checks by itself is one transaction, as long as that
    takes; datapoints are looked at in short ones. Memory stays flat however much there is.

    Args:
        progress: Told of datapoints, when SQLite's own check is done.

    Raises:
        FolderError: the database is of a newer version.
        StoreError: it cannot be opened, or is none of ConnectorDB.
    """
    with reading(path) as connection:
        try:
            query(connection, "SELECT count(*) FROM sqlite_schema")
        except (apsw.NotADBError, apsw.CorruptError) as error:
            yield Finding("the database", str(translate(error, path)))
            return
        version = check_version(connection, path, load_migrations()[-1].version)
        if version == 0:
            yield Finding("the database", "it is empty: there is not even a table")
            return
        yield from _survive("its pages", _sqlite(connection))
        yield from _survive("its tables", _structure(connection, path, version))
        yield from _survive("users, devices and streams", _objects(connection))
        yield from _survive("the heads of streams", _orphans(connection, version))
        yield from _survive("receipts of uploads", _receipts(connection))
        if has_changes(version):
            yield from _survive("notes on late datapoints", _left_over(connection, "changes"))
            yield from _survive("downlinks", _downlinks(connection))
        if has_blocks(version):
            yield from _survive("blocks", _blocks(connection))
            yield from _survive("the ledger of corrections", _ledger(connection))
        yield from _survive("datapoints", _points(connection, version, progress))


def _survive(what: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Yield *findings*; where it cannot go on, that is one too."""
    try:
        yield from findings
    except _UNREADABLE as error:
        yield Finding("the database", f"cannot be read, as far as {what} are concerned: {error}")


def _sqlite(connection: apsw.Connection) -> Iterator[Finding]:
    """What SQLite finds by itself: pages, trees, indices, constraints, references."""
    roots = dict(query(connection, "SELECT rootpage, tbl_name FROM sqlite_schema WHERE rootpage > 0"))
    for (text,) in query(connection, f"PRAGMA integrity_check({_PROBLEMS_MAX})"):
        for line in str(text).splitlines():
            if line == "ok" or line.startswith("***"):
                continue
            tree = re.match(r"Tree (\d+)", line)
            table = roots.get(int(tree[1])) if tree else None
            yield Finding(f"table {table}" if table else "the database", f"SQLite: {line}")
    for table, rowid, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        yield Finding(f"table {table}", f"row {rowid} belongs to a row of {parent} that is not there")


def _structure(connection: apsw.Connection, path: Path, version: int) -> Iterator[Finding]:
    """Tables and indices are those that the migrations make."""
    migrations = load_migrations()[:version]
    with closing(apsw.Connection(":memory:")) as fresh:
        migrate(fresh, path, migrations)
        wanted, found = _schema(fresh), _schema(connection)
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            yield Finding("the database", f"{name} is missing")
        elif name not in wanted:
            yield Finding("the database", f"{name} is none of ConnectorDB's tables and indices")
        elif wanted[name] != found[name]:
            yield Finding("the database", f"{name} is not made as it should be")
    recorded = query(connection, "SELECT version, name FROM migrations ORDER BY version")
    if recorded != [(one.version, one.name) for one in migrations]:
        yield Finding("table migrations", f"tells of {recorded}, and the database has version {version}")


def _schema(connection: apsw.Connection) -> dict[str, str]:
    sql = "SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%'"
    return dict(query(connection, sql))


def _objects(connection: apsw.Connection) -> Iterator[Finding]:
    """Users, devices and streams have names, and are found by what they are looked up by."""
    for name, email, key in connection.execute("SELECT name, email, email_key FROM users ORDER BY id"):
        if not is_name(name):
            yield Finding("table users", f"{name!a} is no valid name")
        if key != email_key(email):
            yield Finding(name, "is not found by its e-mail address")
    devices = (
        "SELECT users.name, devices.name, apikey, apikey_digest FROM devices JOIN users ON users.id = user_id "
        "ORDER BY devices.id"
    )
    for user, name, apikey, digest in connection.execute(devices):
        if not is_name(name):
            yield Finding(user, f"has a device {name!a}, which is no valid name")
        if digest != apikey_digest(apikey):
            yield Finding(f"{user}/{name}", "is not found by its API key")
    streams = (
        "SELECT users.name, devices.name, streams.name, streams.schema FROM streams "
        "JOIN devices ON devices.id = device_id JOIN users ON users.id = user_id ORDER BY streams.id"
    )
    for user, device, name, schema in connection.execute(streams):
        if not is_name(name):
            yield Finding(f"{user}/{device}", f"has a stream {name!a}, which is no valid name")
        try:
            _decode(schema)
        except (msgspec.MsgspecError, RecursionError) as error:
            yield Finding(f"{user}/{device}/{name}", f"the schema is damaged: {error}")


def _orphans(connection: apsw.Connection, version: int) -> Iterator[Finding]:
    """Each stream has its two heads, and nothing is left of streams that are gone."""
    substreams = {substream: f"id * 2 + {substream:d}" for substream in Substream}
    for substream, key in substreams.items():
        sql = f"SELECT id FROM streams WHERE {key} NOT IN (SELECT substream FROM heads) ORDER BY id"
        for (stream_id,) in query(connection, sql):
            yield Finding(path_of(connection, key_of(stream_id, substream)), "has no head")
    sql = "SELECT substream FROM heads WHERE substream / 2 NOT IN (SELECT id FROM streams) ORDER BY substream"
    for (key,) in query(connection, sql):
        yield Finding("table heads", f"has a row of {_gone(key)}")
    yield from _left_over(connection, runs_of(version))


def _left_over(connection: apsw.Connection, table: str) -> Iterator[Finding]:
    """Find rows of *table* whose substream is none, without looking at more than one row of each."""
    place = None
    while True:
        with snapshot(connection):
            bound = "" if place is None else "WHERE place >= ?"
            sql = f"SELECT place FROM {table} {bound} ORDER BY place LIMIT 1"
            rows = query(connection, sql, () if place is None else (place,))
            if not rows:
                return
            key = key_at(rows[0][0])
            known = query(connection, "SELECT 1 FROM heads WHERE substream = ?", (key,))
        if not known:
            yield Finding(f"table {table}", f"has rows of {_gone(key)}")
        place = place_of(key + 1)


def _receipts(connection: apsw.Connection) -> Iterator[Finding]:
    """Receipts are of substreams that are there."""
    sql = "SELECT DISTINCT substream FROM receipts WHERE substream NOT IN (SELECT substream FROM heads)"
    for (key,) in query(connection, sql):
        yield Finding("table receipts", f"has rows of {_gone(key)}")
    for key, source in connection.execute("SELECT substream, source FROM receipts WHERE last < 1"):
        yield Finding(path_of(connection, key), f"the receipt of source {source!a} has no valid number")


def _blocks(connection: apsw.Connection) -> Iterator[Finding]:
    """Each block belongs to one run."""
    for problem in check_blocks(connection):
        yield Finding("table blocks", problem)


def _ledger(connection: apsw.Connection) -> Iterator[Finding]:
    """Corrections are of substreams that are there, and what was there before them can be read."""
    sql = "SELECT DISTINCT substream FROM corrections WHERE substream NOT IN (SELECT substream FROM heads)"
    for (key,) in query(connection, sql):
        yield Finding("table corrections", f"has rows of {_gone(key)}")
    for key, fault in chain(check_corrections(connection), check_removed(connection)):
        yield Finding("table removed" if key < 0 else path_of(connection, key), *fault)


def _downlinks(connection: apsw.Connection) -> Iterator[Finding]:
    """Downlinks are of streams that are there, in a state that there is, and found by their value."""
    sql = "SELECT DISTINCT stream FROM downlinks WHERE stream NOT IN (SELECT id FROM streams)"
    for (stream_id,) in query(connection, sql):
        yield Finding("table downlinks", f"has rows of {_gone(key_of(stream_id, Substream.DOWNLINK))}")
    states = {int(state) for state in DownlinkState}
    last = 0
    while True:
        sql = "SELECT id, stream, d, digest, state, result FROM downlinks WHERE id > ? ORDER BY id LIMIT 100"
        rows = query(connection, sql, (last,))
        if not rows:
            return
        for last, stream_id, d, digest, state, result in rows:
            problem = _downlink_problem(d, digest, result)
            if state not in states:
                problem = f"there is no state {state}"
            if problem is not None:
                where = path_of(connection, key_of(stream_id, Substream.DOWNLINK))
                yield Finding(where, f"the request with id {last}: {problem}")


def _downlink_problem(d: bytes, digest: int, result: bytes) -> str | None:
    try:
        if digest_of(d) != digest:
            return "it is not found by its value"
        if result and not isinstance(_decode(result), list):
            return "its result is no array"
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return f"the text is damaged: {error}"
    return None


def _points(connection: apsw.Connection, version: int, progress: Progress | None) -> Iterator[Finding]:
    """The datapoints of all substreams."""
    total = query(connection, "SELECT coalesce(sum(n), 0) FROM heads")[0][0]
    done = 0

    def tell(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, max(done, total))

    last = -1
    while True:
        sql = f"SELECT substream FROM heads WHERE substream > ? ORDER BY substream LIMIT {_HEADS}"
        keys = [row[0] for row in query(connection, sql, (last,))]
        if not keys:
            return
        for last in keys:
            try:
                for fault in check_points(connection, last, version, progress=tell):
                    yield Finding(path_of(connection, last), *fault)
            except (StoreError, *_UNREADABLE) as error:
                yield Finding(path_of(connection, last), f"cannot be read: {error}")


def _gone(key: int) -> str:
    return f"a stream that is not there (id {key // 2}{', downlink' if key % 2 else ''})"
