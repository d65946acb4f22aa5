"""Looking after database folders: copies that can be relied on, damage, space."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ..errors import FolderError, StoreError
from ..store import backup as _backup
from ..store import check as _check
from ..store import compact as _compact
from ..store import usage as _usage
from ..store.backup import Progress
from ..store.check import Finding
from ..store.usage import Usage
from .folder import (
    ADMIN_KEY_FILE,
    DATABASE_FILE,
    KEYS_FOLDER,
    LOCK_FILE,
    PERMISSIONS_FILE,
    SESSION_KEY_FILE,
    SETTINGS_FILE,
    UNFINISHED_FILE,
    Folder,
    release_lock,
    remove_unfinished,
    sync_folder,
    take_lock,
    write_file,
)

__all__ = ["Copied", "Finding", "Progress", "Usage", "Watch", "back_up", "check", "compact", "restore", "usage"]

Watch = Callable[[str], Progress]
"""Is told what is done next, and returns who is to be told how far that has come."""

_REST = 1.0
"""While a server runs, the copy pauses for as long as it works: it has half of the disk at most."""
_FINDINGS_SHOWN = 3
_FINDINGS_MAX = 100
"""A copy is not searched for more."""


class Copied(NamedTuple):
    """What has been copied.

    Attributes:
        points: Datapoints.
        bytes: Size of the database file.
        seconds: How long it took, checks included.
        findings: The first things that are wrong with it, if it was wanted all the same.
    """

    points: int
    bytes: int
    seconds: float
    findings: list[Finding]


def back_up(path: Path, target: Path, *, damaged: bool = False, watch: Watch | None = None) -> Copied:
    """Copy the database folder *path*, served or not, to the new folder *target*, and check the copy from disk.

    The copy is what the database was when this began: all that was acknowledged before is in it. It can be served as
    it is, with the same settings, users and keys. While it is made, it is in *target*.part, and cannot be taken for a
    database; what is left of an attempt that was killed is removed by the next one.

    Args:
        path: The folder to copy.
        target: Must not exist, or be empty.
        damaged: Keep a copy of a database that is damaged. Otherwise that is an error.
        watch: For progress.

    Raises:
        FolderError: no database folder, *target* is not empty or cannot be written, or there is no room.
        StoreError: the database is damaged, or the disk refused. Nothing is left of the copy.
    """
    began_s = time.monotonic()
    path, target = Folder.check(path), _check_empty(target.resolve())
    if target.is_relative_to(path.resolve()):
        raise FolderError(f"{target} is inside {path}: choose a folder elsewhere, on another disk if possible")
    rest = _REST if Folder.state(path).in_use else 0.0
    with _unfinished(target) as part:
        _copy_files(path, part)
        file = part / DATABASE_FILE
        _backup.back_up(_database(path), file, rest=rest, progress=watch("Copying") if watch else None)
        findings = list(islice(_check.check(file, progress=watch("Checking") if watch else None), _FINDINGS_MAX))
        if not damaged:
            _refuse(f"the copy of {path}", findings)
        points = 0 if findings else sum(one.points for one in _usage.usage(file) if "/" not in one.path)
    return Copied(points, (target / DATABASE_FILE).stat().st_size, time.monotonic() - began_s, findings)


def restore(source: Path, path: Path, *, damaged: bool = False, watch: Watch | None = None) -> Copied:
    """Make the new database folder *path* of the backup *source*, checked before and after; otherwise as `back_up`."""
    try:
        Folder.check(source)
    except FolderError as e:
        reason = str(e).partition(": make a database")[0]
        raise FolderError(f"{reason}: name a folder that `connectordb backup` has made") from None
    _check_empty(path.resolve())
    if not damaged:
        _refuse(str(source), list(islice(check(source, watch=watch), _FINDINGS_MAX)))
    return back_up(source, path, damaged=damaged, watch=watch)


def check(path: Path, *, watch: Watch | None = None) -> Iterator[Finding]:
    """Yield all that is wrong with the database in the folder *path*, served or not; see `connectordb.store.check`.

    Raises:
        FolderError: no database folder, or of a newer version.
        StoreError: it cannot be opened.
    """
    file = _database(Folder.check(path))
    return _check.check(file, progress=watch("Checking") if watch else None)


def usage(path: Path, names: tuple[str, ...] = ()) -> list[Usage]:
    """Return what is stored in the folder *path*, served or not: in all, or of what *names* names.

    Raises:
        FolderError: no database folder, of a newer version, or nothing in it is called so.
        StoreError: it cannot be read.
    """
    found = _usage.usage(_database(Folder.check(path)), names)
    if names and not found:
        raise FolderError(f"there is no {'/'.join(names)} in {path}")
    return found


def compact(path: Path) -> tuple[int, int]:
    """Give the unused space of the database in *path* back, and return its size in bytes before and after.

    Raises:
        FolderError: no database folder, it is open, of a newer version, or there is no room for a copy.
        StoreError: it is damaged, or the disk refused. Nothing has changed.
    """
    with Folder.open(path) as folder:
        return _compact.compact(_database(folder.path))


def _database(path: Path) -> Path:
    file = path / DATABASE_FILE
    if not file.is_file():
        raise FolderError(f"there is no {DATABASE_FILE} in {path}: restore it from a backup")
    return file


def _check_empty(path: Path) -> Path:
    """Return *path*, absolute, if nothing is there, or an empty folder."""
    Folder.check_new(path)
    if path.is_dir() and any(path.iterdir()):
        raise FolderError(f"{path} is not empty: choose a new folder")
    return path


def _refuse(what: str, findings: list[Finding]) -> None:
    if findings:
        shown = "; ".join(map(str, findings[:_FINDINGS_SHOWN]))
        more = " (and more)" if len(findings) > _FINDINGS_SHOWN else ""
        raise StoreError(f"{what} is damaged: {shown}{more}")


def _copy_files(path: Path, part: Path) -> None:
    """Copy all but the database. The settings go into the mark that the folder is unfinished."""
    (part / KEYS_FOLDER).mkdir(mode=0o700)
    try:
        for name in (SESSION_KEY_FILE, ADMIN_KEY_FILE, PERMISSIONS_FILE):
            with contextlib.suppress(FileNotFoundError):
                write_file(part / name, (path / name).read_bytes(), mode=0o600)
        write_file(part / UNFINISHED_FILE, (path / SETTINGS_FILE).read_bytes(), mode=0o600)
    except PermissionError as e:
        raise FolderError(
            f"{e.filename} cannot be read ({e.strerror}): run this as the user that the database belongs to"
        ) from e


@contextlib.contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """Give a folder beside *target*, empty but for the mark that it is unfinished; it becomes *target* at the end.

    If the block raises, nothing is left.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        part.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = take_lock(part)
    except OSError as e:
        raise FolderError(f"{part} cannot be made: {e.strerror or e}") from e
    try:
        Folder.check_new(part)
        remove_unfinished(part)
        write_file(part / UNFINISHED_FILE, b"", mode=0o600)
        try:
            yield part
            (part / UNFINISHED_FILE).rename(part / SETTINGS_FILE)
            sync_folder(part / KEYS_FOLDER)
            sync_folder(part)
            (part / LOCK_FILE).unlink()
            part.rename(target)
            sync_folder(target.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                if (part / SETTINGS_FILE).exists():
                    (part / SETTINGS_FILE).rename(part / UNFINISHED_FILE)
                remove_unfinished(part)
                (part / LOCK_FILE).unlink(missing_ok=True)
                part.rmdir()
            raise
    except OSError as e:
        raise FolderError(f"{part} cannot be written: {e.strerror or e}") from e
    finally:
        release_lock(lock)
