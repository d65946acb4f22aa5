"""Migrations: the steps by which the tables came to be as they are now."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import apsw

from ..errors import FolderError, StoreError
from ._errors import translate
from .backup import copy_database

__all__ = ["APPLICATION_ID", "Migration", "check_version", "load_migrations", "migrate"]

APPLICATION_ID = 0x63444233
"""Stands in the file's header (``cDB3``) and tells our databases from others."""

log = logging.getLogger(__name__)

_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")


class Migration(NamedTuple):
    """One step.

    Attributes:
        version: Version of the database after it; the first is 1, without gaps.
        name: Of its file, without number and suffix.
        sql: What it does.
    """

    version: int
    name: str
    sql: str


def load_migrations(dialect: str = "sqlite") -> list[Migration]:
    """Return the migrations of this package, in order."""
    found = []
    for file in (files("connectordb.store") / "migrations" / dialect).iterdir():
        match = _NAME.fullmatch(file.name)
        if match:
            found.append(Migration(int(match[1]), match[2], file.read_text("utf-8")))
    return sorted(found)


def check_version(connection: apsw.Connection, path: Path, newest: int) -> int:
    """Return the version of the database, 0 for an empty file. Nothing is written.

    Raises:
        FolderError, StoreError: as `migrate`.
    """
    try:
        application = connection.pragma("application_id")
        version = connection.pragma("user_version")
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    except apsw.Error as error:
        raise translate(error, path) from error
    if application != APPLICATION_ID and (application or version or tables):
        raise StoreError(f"{path} is a SQLite database, but not one of ConnectorDB")
    if not isinstance(version, int) or version > newest:
        raise FolderError(
            f"the database {path} has version {version}, and this ConnectorDB knows versions up to {newest}: "
            "install the newer ConnectorDB that wrote it"
        )
    return version


def migrate(
    connection: apsw.Connection,
    path: Path,
    migrations: Sequence[Migration],
    clock: Callable[[], float] = time.time,
) -> int:
    """Bring the database up to the newest version and return that.

    Each migration is one transaction, in which it is recorded too: whatever happens, the database has either the
    version before it or the one after it, wholly. Running it again is safe. A copy of an older database is kept beside
    it, as ``connectordb-version-1.db``.

    Raises:
        FolderError: the database has a newer version than this program knows, or there is no room for the copy.
        StoreError: the file is somebody else's database, or the disk refused.
    """
    newest = migrations[-1].version
    try:
        version = check_version(connection, path, newest)
        if 0 < version < newest:
            _keep_copy(connection, path, version)
        for migration in migrations[version:]:
            connection.execute("BEGIN IMMEDIATE")
            try:
                # Somebody else may have been quicker.
                if check_version(connection, path, newest) < migration.version:
                    _apply(connection, migration, clock())
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
    except apsw.Error as error:
        raise translate(error, path) from error
    return newest


def _keep_copy(connection: apsw.Connection, path: Path, version: int) -> None:
    """Copy the database as it is before it is brought up. Killed meanwhile, it leaves a part, which the next attempt
    removes."""
    kept = path.with_name(f"{path.stem}-version-{version}{path.suffix}")
    part = kept.with_name(f"{kept.name}.part")
    part.unlink(missing_ok=True)
    try:
        copy_database(connection, path, part)
        part.rename(kept)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    log.warning("bringing %s up from version %d; %s keeps what it was before", path, version, kept.name)


def _apply(connection: apsw.Connection, migration: Migration, now: float) -> None:
    if migration.version == 1:
        connection.pragma("application_id", APPLICATION_ID)
        connection.execute(
            "CREATE TABLE migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied REAL NOT NULL) STRICT"
        )
    connection.execute(migration.sql)
    connection.execute(
        "INSERT INTO migrations (version, name, applied) VALUES (?, ?, ?)",
        (migration.version, migration.name, now),
    )
    connection.pragma("user_version", migration.version)
