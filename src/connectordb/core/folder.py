"""The folder that a database lives in.

::

    DIR/connectordb.toml      the settings; written last, so a folder that has it is complete
        connectordb.db        the data (SQLite)
        keys/session.key      signs the cookies of the web page
        keys/admin.key        opens everything: whoever can read it is the local administrator
        permissions.json      the permission matrix, if the administrator wants another one than the default
        connectordb.sessions  sessions of the web page that were ended by signing out, if there were any
        connectordb.lock      locked by the process that has the folder open; says which one
        connectordb.pid       where that process serves, as long as it serves
        connectordb.log       what `connectordb start` has to tell
        connectordb-version-1.db, say: the data as it was before a newer ConnectorDB brought it up to date

The lock goes away with its process however that ends, so it alone decides whether the folder is in use; a pid
file without it is left over from a crash.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import shutil
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec

from ..errors import FolderError
from . import settings as _settings
from .settings import Settings

if TYPE_CHECKING:
    from . import Core

__all__ = [
    "ADMIN_KEY_FILE",
    "DATABASE_FILE",
    "KEYS_FOLDER",
    "LOCK_FILE",
    "LOG_FILE",
    "PERMISSIONS_FILE",
    "SESSION_KEY_FILE",
    "SETTINGS_FILE",
    "TEST_PASSWORD",
    "TEST_SETTINGS",
    "TEST_USER",
    "UNFINISHED_FILE",
    "Folder",
    "Process",
    "Server",
    "State",
    "release_lock",
    "remove_unfinished",
    "sync_folder",
    "take_lock",
    "write_file",
]

SETTINGS_FILE = "connectordb.toml"
UNFINISHED_FILE = "connectordb.creating"
DATABASE_FILE = "connectordb.db"
KEYS_FOLDER = "keys"
SESSION_KEY_FILE = f"{KEYS_FOLDER}/session.key"
ADMIN_KEY_FILE = f"{KEYS_FOLDER}/admin.key"
PERMISSIONS_FILE = "permissions.json"
SESSIONS_FILE = "connectordb.sessions"
LOCK_FILE = "connectordb.lock"
PID_FILE = "connectordb.pid"
LOG_FILE = "connectordb.log"

TEST_USER = "test"
TEST_PASSWORD = "test"  # noqa: S105 - meant to be known
TEST_SETTINGS: Mapping[str, Any] = {
    "auth.password_time_cost": 1,
    "auth.password_memory_kib": 8,
    "auth.failure_delay_s": 0.0,
    "auth.failures_max": 1_000_000,
}
"""What a database for tests sets: logins cost nothing, and may fail as often as a test likes."""

_KEY_BYTES = 32
_LOCK_PATIENCE_S = 0.3
"""Whoever only looks whether the folder is in use has the lock for some microseconds: wait for that."""
_HARMLESS = frozenset({LOCK_FILE, f"{UNFINISHED_FILE}.part", "lost+found"})
"""May be in a folder that counts as empty: what an attempt to create leaves, and what a fresh disk has."""


class Process(msgspec.Struct, frozen=True):
    """The process that has the folder open: its id, and the command that it runs."""

    pid: int
    command: str


class Server(msgspec.Struct, frozen=True):
    """A server on the folder: its process id, the address it listens on, since when (Unix time, seconds)."""

    pid: int
    host: str
    port: int
    started: float

    @property
    def url(self) -> str:
        """Where programs on this machine reach it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


class State(NamedTuple):
    """What goes on in a folder.

    Attributes:
        in_use: Some process has it open.
        process: Which one, if that is known.
        server: The server on it; ``None`` if there is none, or none that is ready.
        stale: What a server that died has left in the pid file.
    """

    in_use: bool
    process: Process | None
    server: Server | None
    stale: Server | None


class Folder:
    """A database folder that this process has opened. No other process can open it meanwhile.

    ::

        with Folder.open("mydb") as folder:
            core = folder.core()
            ...
            await core.close()

    Attributes:
        path: The folder, absolute.
        settings: The settings in force.
        session_key: The secret that signs cookies.
        admin_key: What the local administrator logs in with (empty user name, this as password).
        stale: What a server that died had left in the pid file; it has been removed.
    """

    path: Path
    settings: Settings
    session_key: bytes
    admin_key: str
    stale: Server | None

    def __init__(self, path: Path, lock: int, settings: Settings) -> None:
        """Take over the file descriptor *lock*. To be called by `open` only."""
        self.path = path
        self.settings = settings
        self._lock: int | None = lock
        self._pid = os.getpid()
        self.stale = _read_server(path)
        (path / PID_FILE).unlink(missing_ok=True)
        self.session_key = bytes.fromhex(_read_key(path / SESSION_KEY_FILE))
        self.admin_key = _read_key(path / ADMIN_KEY_FILE)

    @classmethod
    def create(
        cls,
        path: Path | str,
        *,
        test: bool = False,
        user: str | None = None,
        password: str | None = None,
        email: str | None = None,
    ) -> None:
        """Make a new database in the folder *path*, which must not exist or be empty.

        If it fails or is interrupted, what was made is removed. If the process is killed, the folder can be
        seen to be unfinished, and creating it again starts anew.

        Args:
            path: The folder; folders above it are made too.
            test: Make it for tests: a user ``test`` with password ``test`` if no other is given, a password
                hash that costs nothing, and no delay after a failed login.
            user, password: The first user, an administrator, whom other users do not see. ``None``: none yet.
            email: Of the first user. ``None``: ``NAME@localhost``.

        Raises:
            FolderError: the folder is not empty, or cannot be written.
            InvalidValue, Invalid: the user cannot be called so, or the password is empty.
        """
        path = Path(path).absolute()
        if test and user is None:
            user, password = TEST_USER, TEST_PASSWORD
        made = not path.exists()
        try:
            _check_empty(path)
            path.mkdir(parents=True, exist_ok=True)
            lock = take_lock(path)
        except OSError as e:
            raise FolderError(f"{path} cannot be made: {e.strerror or e}") from e
        try:
            _check_empty(path)
            remove_unfinished(path)
            _create_in(path, lock, TEST_SETTINGS if test else {}, user, password, email)
        except BaseException as e:
            if not (path / SETTINGS_FILE).exists():
                remove_unfinished(path)
                for file in (f"{UNFINISHED_FILE}.part", LOCK_FILE):
                    (path / file).unlink(missing_ok=True)
                if made:
                    with contextlib.suppress(OSError):
                        path.rmdir()
            if isinstance(e, OSError) and not isinstance(e, FolderError):
                raise FolderError(f"{path} cannot be written: {e.strerror or e}") from e
            raise
        finally:
            release_lock(lock)

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        environ: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Open the database in the folder *path*, and keep all others out until `close`.

        Args:
            path: The folder.
            environ: Environment variables for the settings; ``None``: those of this process.
            options: Settings of the command line, by ``section.key``; ``None`` as a value is "not given".

        Raises:
            FolderError: no database folder, already open (the message says by whom), or bad settings.
        """
        path = cls.check(path)
        settings = cls.read_settings(path, environ=environ, options=options)
        try:
            lock = take_lock(path)
            try:
                return cls(path, lock, settings)
            except BaseException:
                release_lock(lock)
                raise
        except OSError as e:
            raise FolderError(f"{path} cannot be opened: {e.strerror or e}") from e

    @staticmethod
    def check_new(path: Path | str) -> None:
        """Return if `create` could make a database in *path*.

        Raises:
            FolderError: it is not empty, or no folder.
        """
        _check_empty(Path(path).absolute())

    @staticmethod
    def check(path: Path | str) -> Path:
        """Return *path*, absolute, if a database is in it.

        Raises:
            FolderError: there is none; the message says what is there instead.
        """
        path = Path(path).absolute()
        try:
            if (path / SETTINGS_FILE).is_file():
                return path
            if (path / UNFINISHED_FILE).exists():
                reason = "has not been created completely"
            elif not path.exists():
                reason = "does not exist"
            elif not path.is_dir():
                reason = "is not a folder"
            else:
                reason = f"is not a database folder (there is no {SETTINGS_FILE} in it)"
        except OSError as e:
            raise FolderError(f"{path} cannot be read: {e.strerror or e}") from e
        raise FolderError(f"{path} {reason}: make a database with `connectordb create {path}`")

    @classmethod
    def read_settings(
        cls,
        path: Path | str,
        *,
        environ: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Settings:
        """Return the settings in force for the folder *path*, whether it is open or not.

        Raises:
            FolderError: no database folder, or bad settings.
        """
        return _settings.load(cls.check(path) / SETTINGS_FILE, environ=environ, options=options)

    @classmethod
    def read_admin_key(cls, path: Path | str) -> str:
        """Return the local administrator's key of the folder *path*, whether it is open or not.

        Raises:
            FolderError: no database folder, or the key may not be read.
        """
        try:
            return _read_key(cls.check(path) / ADMIN_KEY_FILE)
        except OSError as e:
            raise FolderError(
                f"the key of the local administrator cannot be read ({e.strerror or e}): "
                "run this as the user that the database belongs to"
            ) from e

    @classmethod
    def state(cls, path: Path | str) -> State:
        """Return what goes on in the folder *path*. Disturbs nobody, and may be old at once.

        Raises:
            FolderError: no database folder, or it may not be read.
        """
        path = cls.check(path)
        try:
            server = _read_server(path)
            if not _is_locked(path):
                return State(False, None, None, server)
            process = _read_process(path)
        except OSError as e:
            raise FolderError(f"{path} cannot be read: {e.strerror or e}") from e
        ready = server is not None and (process is None or process.pid == server.pid)
        return State(True, process, server if ready else None, None if ready else server)

    def core(self) -> Core:
        """Open the database and return the core on it. Whoever asks for it closes it, before the folder.

        Raises:
            FolderError: the database is of a newer version, or the permission matrix is not valid.
            StoreError: the database is damaged, or the disk refuses.
        """
        from ..store.sqlite import SQLiteStore
        from . import Core
        from .permissions import Permissions

        permissions = Permissions.load(self.path / PERMISSIONS_FILE)
        store = SQLiteStore(
            self.path / DATABASE_FILE,
            synchronous=self.settings.store.synchronous,
            queue_max=self.settings.limits.inserts_waiting_max,
            group_max=self.settings.store.group_max,
            seal_after_s=self.settings.store.seal_after_s if self.settings.store.seal else None,
            cache_bytes=self.settings.store.cache_bytes,
        )
        return Core(
            store,
            self.settings,
            permissions,
            secret=self.session_key,
            admin_key=self.admin_key,
            ended_sessions=self.path / SESSIONS_FILE,
        )

    def announce(self, host: str, port: int) -> None:
        """Tell in the pid file that this process now serves the folder on *host* and *port*."""
        server = Server(os.getpid(), host, port, time.time())
        write_file(self.path / PID_FILE, msgspec.json.encode(server) + b"\n", mode=0o600)

    def close(self) -> None:
        """Let others open the folder. May be called twice. In a forked child it leaves the folder to the parent."""
        if self._lock is None:
            return
        if os.getpid() == self._pid:
            (self.path / PID_FILE).unlink(missing_ok=True)
            release_lock(self._lock)
        else:
            os.close(self._lock)
        self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _create_in(
    path: Path,
    lock: int,
    values: Mapping[str, Any],
    user: str | None,
    password: str | None,
    email: str | None,
) -> None:
    """Fill the empty folder *path*, whose lock this process has."""
    path.chmod(0o700)
    write_file(path / UNFINISHED_FILE, _settings.to_toml(values).encode())
    (path / KEYS_FOLDER).mkdir(mode=0o700)
    for file in (SESSION_KEY_FILE, ADMIN_KEY_FILE):
        _read_key(path / file)
    settings = _settings.load(path / UNFINISHED_FILE, environ={})
    # Its own descriptor of the same lock, which goes when the folder is closed; the caller's keeps the lock.
    # In a thread of its own, as the caller may have an event loop: a notebook has one.
    with Folder(path, os.dup(lock), settings) as folder, ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(_create_user(folder, user, password, email))).result()
    (path / UNFINISHED_FILE).rename(path / SETTINGS_FILE)
    sync_folder(path)


async def _create_user(folder: Folder, user: str | None, password: str | None, email: str | None) -> None:
    from ..wire import UserCreate
    from .actor import ROOT

    core = folder.core()
    try:
        if user is not None:
            # Private, as 0.3 made it: nobody else needs to find the administrator.
            wanted = UserCreate(email=email or f"{user}@localhost", password=password or "", role="admin", public=False)
            await core.create_user(ROOT, user, wanted)
    finally:
        await core.close()


def _check_empty(path: Path) -> None:
    """Raise if the folder *path* holds anything but what an interrupted `create` has left."""
    if not path.exists():
        return
    if not path.is_dir():
        raise FolderError(f"{path} is not a folder")
    names = {entry.name for entry in path.iterdir()} - _HARMLESS
    if SETTINGS_FILE in names:
        raise FolderError(f"{path} holds a database already: start it with `connectordb start {path}`")
    if not names or UNFINISHED_FILE in names:
        return
    shown = ", ".join(sorted(names)[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    raise FolderError(f"{path} is not empty (it holds {shown}): choose a new folder, or an empty one")


def remove_unfinished(path: Path) -> None:
    """Remove what an interrupted `create` or backup has left; the mark that it is unfinished last."""
    if (path / UNFINISHED_FILE).exists():
        shutil.rmtree(path / KEYS_FOLDER, ignore_errors=True)
        made = (*path.glob(f"{DATABASE_FILE}*"), *path.glob(f"{PERMISSIONS_FILE}*"), path / PID_FILE)
        for file in (*made, path / UNFINISHED_FILE):
            file.unlink(missing_ok=True)


def take_lock(path: Path) -> int:
    """Return a file descriptor that locks the folder *path*."""
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        lock = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A `create` that fails removes its lock file: then this is the lock of nothing.
            if os.path.samestat(os.fstat(lock), (path / LOCK_FILE).stat()):
                break
        except FileNotFoundError:
            pass
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(lock)
                raise FolderError(_in_use(path)) from None
            time.sleep(0.01)
        except OSError:
            os.close(lock)
            raise
        os.close(lock)
    os.ftruncate(lock, 0)
    os.pwrite(lock, msgspec.json.encode(Process(os.getpid(), _command())) + b"\n", 0)
    return lock


def _command() -> str:
    """The program that runs, with the words that say what it does; never its options, which may hold a password."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        program = program.parent
    words = takewhile(str.isalpha, sys.argv[1:3]) if program.name == "connectordb" else ()
    return " ".join([program.name or "python", *words])


def release_lock(lock: int) -> None:
    """Give the lock back, even if a forked child still has the file open."""
    with contextlib.suppress(OSError):
        os.ftruncate(lock, 0)
    fcntl.flock(lock, fcntl.LOCK_UN)
    os.close(lock)


def _is_locked(path: Path) -> bool:
    try:
        lock = os.open(path / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _in_use(path: Path) -> str:
    server, process = _read_server(path), _read_process(path)
    if server is not None and (process is None or process.pid == server.pid):
        return f"{path} is already running: process {server.pid} serves it at {server.url}"
    if process is not None and process.pid == os.getpid():
        return f"{path} is already open in this process: close it first"
    by = f" by process {process.pid} ({process.command})" if process else ""
    return f"{path} is in use{by}: wait for it to end, or stop it"


def _read_server(path: Path) -> Server | None:
    """What stands in the pid file, if it is there and whole."""
    try:
        return msgspec.json.decode((path / PID_FILE).read_bytes(), type=Server)
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeError):
        return None


def _read_process(path: Path) -> Process | None:
    """What stands in the lock file, if it is there and whole."""
    try:
        return msgspec.json.decode((path / LOCK_FILE).read_bytes(), type=Process)
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeError):
        return None


def _read_key(path: Path) -> str:
    """Return the key in the file *path*, which is closed to others. One that is missing is made."""
    try:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        key = path.read_text(encoding="ascii").strip()
        if len(bytes.fromhex(key)) >= _KEY_BYTES:
            return key
        raise ValueError
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        key = secrets.token_hex(_KEY_BYTES)
        write_file(path, f"{key}\n".encode(), mode=0o600)
        return key
    except ValueError:
        raise FolderError(
            f"{path} holds no key ({_KEY_BYTES} bytes in hexadecimal): delete it and a new one is made"
        ) from None


def write_file(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write the file *path*, wholly or not at all, and durably."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    part.rename(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make sure that the names in the folder *path* survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
