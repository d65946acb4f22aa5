"""Running the server in the foreground, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import math
import signal
import socket
import threading
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import uvicorn

from .. import __version__
from .app import App, create_app
from .log import forward_logging, make_log
from .protocol import HttpProtocol

if TYPE_CHECKING:
    from ..core import Core
    from ..core.folder import Folder
    from ..core.settings import ServerSettings, Settings

__all__ = ["Server", "listen", "serve"]

BACKLOG = 2048
_SIGNALS = (signal.SIGTERM, signal.SIGINT)

OnReady = Callable[[str, int], None]


def serve(folder: Folder, settings: Settings, on_ready: OnReady) -> None:
    """Serve the database in *folder* until SIGTERM or SIGINT, then finish what has been accepted, and return.

    Args:
        folder: Opened; stays open.
        settings: Those in force.
        on_ready: Called once the server listens, with its host and port.

    Raises:
        OSError: the address cannot be listened on.
        FolderError, StoreError: the database cannot be opened.
    """
    # The port before the database: who finds it taken has disturbed nothing.
    sockets = listen(settings.server.host, settings.server.port)
    try:
        server = Server(folder.core, settings, sockets)

        def ready(host: str, port: int) -> None:
            _spare_collections()
            on_ready(host, port)

        server.run(ready)
    finally:
        for s in sockets:
            s.close()


def _spare_collections() -> None:
    """Let the garbage collector look less often, and never again at what is there by now.

    What requests leave behind goes by itself, without it; looking for cycles was a quarter of the work of an insert.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def listen(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on *host* (all its addresses, if it is a name) and *port* (0: any free one).

    Raises:
        OSError: with ``EADDRINUSE`` if somebody listens there already.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, kind, proto, _, address in dict.fromkeys(found):
            s = socket.socket(family, kind, proto)
            sockets.append(s)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # With several addresses and port 0, the others take the port that the first one got.
            s.bind((address[0], port, *address[2:]))
            port = s.getsockname()[1]
            s.listen(BACKLOG)
    except BaseException:
        for s in sockets:
            s.close()
        raise
    return sockets


class Server:
    """The web server around the application.

    Signals are listened to only if it runs in the main thread.
    """

    def __init__(self, open_core: Callable[[], Core], settings: Settings, sockets: list[socket.socket]) -> None:
        """Prepare to serve.

        Args:
            open_core: Gives the core; this server closes it.
            settings: Those in force.
            sockets: That listen already; closed when it stops.
        """
        self._open_core = open_core
        self._settings = settings
        self._sockets = sockets
        self._loop: asyncio.AbstractEventLoop | None = None
        self._uvicorn: _Uvicorn | None = None

    def run(self, on_ready: OnReady) -> None:
        """Serve until `stop` or a signal; return after everything accepted is answered and on disk."""
        log = make_log(self._settings.log.level)
        with forward_logging(log, "connectordb", "asyncio"), asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(self._run(on_ready, log))

    def stop(self) -> None:
        """Begin to shut down. May be called from any thread, and again."""
        loop, running = self._loop, self._uvicorn
        if loop is not None and running is not None:
            with contextlib.suppress(RuntimeError):  # it has stopped meanwhile
                loop.call_soon_threadsafe(running.stop)

    async def _run(self, on_ready: OnReady, log: Any) -> None:
        loop = asyncio.get_running_loop()
        core = self._open_core()
        try:
            core.retention.start()
            app = create_app(core, version=__version__, log=log)
            host = self._settings.server.host
            port = self._sockets[0].getsockname()[1]

            def ready() -> None:
                log.info("serving", host=host, port=port, version=__version__)
                on_ready(host, port)

            running = _Uvicorn(app, self._settings.server, ready)
            self._loop, self._uvicorn = loop, running
            signals = _SIGNALS if threading.current_thread() is threading.main_thread() else ()
            for s in signals:
                loop.add_signal_handler(s, running.stop)
            try:
                await running.serve(self._sockets)
            finally:
                app.abort()
                for s in signals:
                    loop.remove_signal_handler(s)
        finally:
            await core.close()
        log.warning("stopped")  # the last line, and so written at once


class _Uvicorn(uvicorn.Server):
    """uvicorn, with signals and the moment of readiness in our hands."""

    def __init__(self, app: App, settings: ServerSettings, on_ready: Callable[[], None]) -> None:
        # What it would log is told by the application's own lines, with a ref.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        super().__init__(
            uvicorn.Config(
                app,
                http=HttpProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=math.ceil(settings.keep_alive_s),
                timeout_graceful_shutdown=math.ceil(settings.shutdown_s),
                backlog=BACKLOG,
            )
        )
        self._app = app
        self._on_ready = on_ready

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to `Server`: uvicorn would raise them again before the database is closed."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then tell so."""
        await super().startup(sockets)
        self._on_ready()

    def stop(self) -> None:
        """Begin to shut down; the second time do not wait for clients either."""
        self._app.drain()
        self.force_exit = self.should_exit
        self.should_exit = True


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:  # Windows
        return asyncio.new_event_loop
    factory: Any = uvloop.new_event_loop
    return factory  # type: ignore[no-any-return]
