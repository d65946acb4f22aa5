"""Local mode: the whole server in this process, without a port."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import re
import secrets
import threading
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError as FutureCancelled
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import unquote

from .. import __version__
from ..client._breaker import Breaker
from ..client._calls import error_of
from ..client._transport import Reply, StreamReply
from ..core import ROOT
from ..core.folder import Folder
from ..errors import Closed, FolderError, Invalid, InvalidValue, TimedOut
from .app import create_app
from .asgi import Message, Scope
from .localsocket import LocalSocket, LocalUpgrade
from .websocket import UPGRADE

__all__ = ["LocalTransport", "open_local"]

T = TypeVar("T")

DEFAULT_USER = "owner"
"""Name of the user in a new folder, if the operating system's user name cannot be one here."""
PIECES_WAITING_MAX = 4
"""How many pieces of an answer wait for their reader."""
CLOSE_PATIENCE_S = 60.0


class _LocalServer:
    """A database folder, opened in this process, with its event loop in a thread of its own.

    Whoever opens the same folder again in this process shares it: the folder's lock is the process's. A process that
    ends without closing it loses nothing: what was acknowledged is on disk, and the lock goes with the process.

    A process that this one forks has no thread that runs the loop, and no right to the database: there nothing
    works, and closing leaves the database alone.
    """

    _all: dict[Path, _LocalServer] = {}  # noqa: RUF012 - shared on purpose
    _lock = threading.Lock()

    def __init__(self, path: Path) -> None:
        self.path = path
        self.users = 1
        self.pid = os.getpid()
        self.closed = False
        self.folder = Folder.open(path)
        try:
            self.core = self.folder.core()
        except BaseException:
            self.folder.close()
            raise
        self.app = create_app(self.core, version=__version__)
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="connectordb-local", daemon=True)
        self._thread.start()
        self.core.retention.start()

    @classmethod
    def open(cls, path: Path) -> _LocalServer:
        """Return the server on the folder *path*, to be given back with `release`."""
        path = path.resolve()
        with cls._lock:
            known = cls._all.get(path)
            if known is not None:
                known.users += 1
                return known
            server = cls._all[path] = cls(path)
            return server

    @property
    def forked(self) -> bool:
        """Whether this process is not the one that opened the database."""
        return os.getpid() != self.pid

    @classmethod
    def forget(cls) -> None:
        """In a process that was forked: begin anew. The lock may have been taken by a thread that is not here."""
        cls._all = {}
        cls._lock = threading.Lock()

    def release(self) -> None:
        """Give the server back; the last one closes the database."""
        if self.forked:
            return
        with self._lock:
            self.users -= 1
            if self.users == 0:
                self._close()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run *work* on the event loop."""
        if self.forked:
            work.close()
            raise Closed(
                f"process {self.pid} has opened the database {self.path}, and this is another one, forked from it: "
                "a database can only be used by the process that opened it; to share it, run a server"
            )
        if self.closed:
            work.close()
            raise Closed("this database has been closed")
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def _close(self) -> None:
        self.closed = True
        self._all.pop(self.path, None)
        try:
            asyncio.run_coroutine_threadsafe(self._shut_down(), self.loop).result(CLOSE_PATIENCE_S)
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(CLOSE_PATIENCE_S)
            self.loop.close()
            self.folder.close()

    async def _shut_down(self) -> None:
        self.app.drain()
        mine = asyncio.current_task()
        patience_s = self.folder.settings.server.shutdown_s
        until = monotonic() + patience_s
        # Inserts on websockets are no tasks.
        while self.app.state.sessions and monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        tasks = [task for task in asyncio.all_tasks() if task is not mine]
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=patience_s)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
        self.app.abort()
        await self.core.close()
        await asyncio.get_running_loop().shutdown_default_executor()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_LocalServer.forget)


class LocalTransport:
    """Carries requests to a database folder in this process; see `connectordb.client.Transport`.

    Attributes:
        url: Stands for the folder in messages.
        admin_key: The API key of the local administrator, who may do everything.
    """

    def __init__(self, folder: Path | str) -> None:
        """Open the database in *folder*.

        Raises:
            FolderError: it cannot be opened; the message says why, and by whom it is in use.
        """
        self._server = _LocalServer.open(Path(folder))
        self.url = f"local:{self._server.path}"
        self.admin_key = self._server.folder.admin_key
        self._closed = False

    def request(
        self, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Reply:
        """See `Transport.request`."""
        exchange = _Exchange(method, target, headers, body)
        return _result(self._submit(exchange.run_whole(self._server.app, timeout_s)), None)

    @contextmanager
    def stream(
        self, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Iterator[StreamReply]:
        """See `Transport.stream`."""
        exchange = _Exchange(method, target, headers, body)
        running = self._submit(exchange.run(self._server.app))
        try:
            _result(self._submit(exchange.started()), timeout_s)
            yield _LocalReply(self, exchange, timeout_s, running)
        finally:
            if not self._server.forked:
                running.cancel()
                with contextlib.suppress(BaseException):
                    running.result(CLOSE_PATIENCE_S)

    def websocket(
        self, target: str, *, headers: Mapping[str, str], timeout_s: float, breaker: Breaker | None = None
    ) -> LocalSocket:
        """See `Transport.websocket`. What is open is closed when the last transport to this folder is."""
        exchange = _Exchange("GET", target, headers, None)
        upgrade = LocalUpgrade()
        exchange.scope[UPGRADE] = upgrade
        reply = _result(self._submit(exchange.run_whole(self._server.app, timeout_s, upgrade)), None)
        if upgrade.socket is None:
            raise error_of(reply.status, reply.headers, reply.body)
        return upgrade.socket

    def clone(self, breaker: Breaker | None = None) -> LocalTransport:
        """See `Transport.clone`."""
        return LocalTransport(self._server.path)

    def close(self) -> None:
        """See `Transport.close`. May be called twice."""
        if not self._closed:
            self._closed = True
            self._server.release()

    async def find_apikey(self, user: str | None) -> str:
        """Return the API key with which to act as *user*, or as the only user there is.

        To be run on the server's event loop.
        """
        core = self._server.core
        names = [str(found.name) for found in core.list_users(ROOT)]
        if user is None and len(names) == 1:
            user = names[0]
        if user not in names:
            there = f"the users are {', '.join(names)}" if names else "there are no users"
            wish = f"there is no user {user!r}" if user is not None else "as which user?"
            raise FolderError(f"{self._server.path}: {wish}: {there}")
        assert user is not None  # noqa: S101
        return str(core.read_device(ROOT, user, "user").apikey)

    def apikey(self, user: str | None) -> str:
        """Return the API key with which to act as *user*, or as the only user there is.

        Raises:
            FolderError: there is no such user, or *user* is ``None`` and there is not exactly one.
        """
        return _result(self._submit(self.find_apikey(user)), None)

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        if self._closed:
            work.close()
            raise Closed("this client has been closed")
        return self._server.submit(work)


class _Exchange:
    """One request and its answer, between the thread that asks and the event loop that answers."""

    def __init__(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> None:
        path, _, query = target.partition("?")
        sent = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        sent.append((b"host", b"localhost"))
        self.scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "root_path": "",
            "headers": sent,
            "client": None,
            "server": None,
        }
        self.status = 0
        self.headers: dict[str, str] = {}
        self.complete = False
        self._body: bytes | None = body or b""
        self._begun = asyncio.Event()
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(PIECES_WAITING_MAX)

    async def run(self, app: Any) -> None:
        """Let *app* answer; the pieces of the body wait to be read."""

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._take_head(message)
                self._begun.set()
                return
            if message["body"]:
                await self._pieces.put(message["body"])
            self.complete = not message.get("more_body", False)

        try:
            await app(self.scope, self._receive, send)
        except asyncio.CancelledError:  # the reader has left: it takes no more, so make room for the end
            while not self._pieces.empty():
                self._pieces.get_nowait()
            raise
        finally:
            self._begun.set()
            await self._pieces.put(None)

    async def run_whole(self, app: Any, timeout_s: float, upgrade: LocalUpgrade | None = None) -> Reply:
        """Let *app* answer and return all of it; with *upgrade*, the answer may have become a websocket instead."""
        loop = asyncio.get_running_loop()
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(timeout_s) as timeout:

                async def send(message: Message) -> None:
                    if message["type"] == "http.response.start":
                        self._take_head(message)
                    else:
                        parts.append(message["body"])
                        self.complete = not message.get("more_body", False)
                    timeout.reschedule(loop.time() + timeout_s)

                await app(self.scope, self._receive, send)
        except TimeoutError:
            raise TimedOut(f"no answer within {timeout_s} s") from None
        if not self.complete and (upgrade is None or upgrade.socket is None):
            raise Closed("the answer was cut off")
        return Reply(self.status, self.headers, b"".join(parts))

    async def started(self) -> None:
        """Wait for the status."""
        await self._begun.wait()
        if not self.status:
            raise Closed("no answer came")

    async def next_piece(self) -> bytes | None:
        """The next piece of the body, ``None`` at its end."""
        piece = await self._pieces.get()
        if piece is None and not self.complete:
            raise Closed("the answer was cut off")
        return piece

    async def _receive(self) -> Message:
        body, self._body = self._body, None
        if body is None:
            await asyncio.Event().wait()  # nobody hangs up here: the task is cancelled instead
        return {"type": "http.request", "body": body, "more_body": False}

    def _take_head(self, message: Message) -> None:
        self.status = message["status"]
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}


class _LocalReply:
    """An answer whose body is read piece by piece."""

    def __init__(self, transport: LocalTransport, exchange: _Exchange, timeout_s: float, running: Future[None]) -> None:
        self._transport = transport
        self._running = running
        self._exchange = exchange
        self._timeout_s = timeout_s
        self.status = exchange.status
        self.headers: Mapping[str, str] = exchange.headers

    def iter_bytes(self) -> Iterator[bytes]:
        """Yield the body in pieces."""
        while True:
            piece = _result(self._transport._submit(self._exchange.next_piece()), self._timeout_s)
            if piece is None:
                return
            yield piece

    def abort(self) -> None:
        """See `StreamReply.abort`."""
        self._running.cancel()


def open_local(folder: Path | str, user: str | None = None) -> tuple[LocalTransport, str]:
    """Open the database in *folder*, which is made if it does not exist, and return how to use it.

    Args:
        folder: The folder. A new one gets an administrator called *user*, or like the user of the system.
        user: As whom to act; ``None``: as the only user there is.

    Returns:
        The transport, and the API key of the user's device ``user``.

    Raises:
        FolderError: the folder is in use by another process, or is no database; or there is no such user, or more
            than one and none was named.
    """
    path = Path(folder)
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        _create(path, user)
    transport = LocalTransport(path)
    try:
        return transport, transport.apikey(user)
    except BaseException:
        transport.close()
        raise


def _create(path: Path, user: str | None) -> None:
    password = secrets.token_urlsafe(24)  # nobody needs it: `connectordb user passwd` sets another
    if user is not None:
        Folder.create(path, user=user, password=password)
        return
    try:
        Folder.create(path, user=_system_user(), password=password)
    except (Invalid, InvalidValue):
        Folder.create(path, user=DEFAULT_USER, password=password)


def _system_user() -> str:
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):
        return DEFAULT_USER
    return re.sub(r"[^a-zA-Z0-9_-]", "", name).lstrip("0123456789_-")[:29] or DEFAULT_USER


def _result(future: Future[T], timeout_s: float | None) -> T:
    try:
        return future.result(timeout_s)
    except TimedOut:
        raise
    except FutureTimeout:
        future.cancel()
        raise TimedOut(f"no answer within {timeout_s} s") from None
    except FutureCancelled:
        raise Closed("this client has been closed") from None
