"""``start``, ``stop``, ``run`` and ``status``: the server on a database folder."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer

from .. import __version__
from ..core.folder import DATABASE_FILE, LOG_FILE, Folder, Server
from ..errors import ConnectorDBError
from . import _daemon
from ._admin import administrator
from ._arguments import DirArgument, HostOption, PortOption
from ._console import bytes_shown, duration_shown, fail, say
from ._logfile import keep_small
from ._port import check_port, explain

__all__ = ["register"]

NOT_RUNNING_EXIT_CODE = 3
"""What init scripts expect of `status`."""


def register(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    for command in (start, stop, run, status):
        app.command(rich_help_panel="The server")(command)


def start(
    path: DirArgument,
    host: HostOption = None,
    port: PortOption = None,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="How long to wait until it serves.", min=0.1)
    ] = 30.0,
) -> None:
    """Serve the database in DIR in the background.

    Returns when the server takes requests, and prints where. What it has to tell goes to connectordb.log in DIR.

    **Examples**

        connectordb start mydb
        connectordb start mydb --host 0.0.0.0 -p 8000
    """
    path = Folder.check(path)
    settings = Folder.read_settings(path, options=_options(host, port))
    state = Folder.state(path)
    if state.server is not None:
        fail(f"{path} is already running: process {state.server.pid} serves it at {state.server.url}")
    _tell_stale(path, None if state.in_use else state.stale)
    if not state.in_use:
        check_port(settings.server.host, settings.server.port)
    arguments = [
        *(["--host", host] if host is not None else []),
        *(["--port", str(port)] if port is not None else []),
    ]
    server = _daemon.launch(path, arguments, timeout)
    say(f"ConnectorDB {__version__} serves {path} at {server.url} (process {server.pid}).")


def stop(
    path: DirArgument,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="How long to wait until it has ended.", min=0)
    ] = 30.0,
    kill: Annotated[
        bool,
        typer.Option("--kill", help="Kill it if it has not ended by then. What it acknowledged is on disk."),
    ] = False,
) -> None:
    """End the server on the database in DIR. It finishes the requests that it has accepted.

    **Examples**

        connectordb stop mydb
        connectordb stop mydb --timeout 5 --kill
    """
    path = Folder.check(path)
    state = Folder.state(path)
    if state.server is None:
        if state.in_use:
            who = f"process {state.process.pid} ({state.process.command})" if state.process else "another process"
            fail(f"{path} is in use by {who}, which is no server or is not ready: end that process")
        say(f"{path} is not running.")
        return
    if _daemon.terminate(path, state.server, timeout, kill=kill):
        say(f"Stopped the server on {path} (process {state.server.pid}).")
    else:
        say(f"Killed the server on {path} (process {state.server.pid}): it did not end within {timeout:g} s.")


def run(
    path: DirArgument,
    host: HostOption = None,
    port: PortOption = None,
    background: Annotated[bool, typer.Option("--background", hidden=True)] = False,
) -> None:
    """Serve the database in DIR in the foreground, until Ctrl-C or SIGTERM.

    This is what a service manager or a container runs.

    **Examples**

        connectordb run mydb
        connectordb run mydb --port 8000
    """
    from ..server.run import serve

    with Folder.open(path, options=_options(host, port)) as folder:
        settings = folder.settings
        _tell_stale(folder.path, folder.stale)
        if background:
            # A server must not keep the folder that it happened to be started from.
            os.chdir(folder.path)
            keep_small(folder.path / LOG_FILE, settings.log.bytes_max, settings.log.files)

        def announce(host: str, port: int) -> None:
            folder.announce(host, port)
            url = Server(os.getpid(), host, port, time.time()).url
            how = "" if background else " (Ctrl-C ends it)"
            say(f"ConnectorDB {__version__} serves {folder.path} at {url}{how}.")
            sys.stdout.flush()

        try:
            serve(folder, settings, announce)
        except OSError as e:
            raise explain(e, settings.server.host, settings.server.port) from e


def status(
    path: DirArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Say whether the database in DIR is being served, where, since when, and how large it is.

    The exit code is 0 if it runs and 3 if it does not.

    **Examples**

        connectordb status mydb
        connectordb status mydb --json
    """
    path = Folder.check(path)
    state = Folder.state(path)
    facts: dict[str, Any] = {"folder": str(path), "running": state.server is not None}
    if state.server is not None:
        facts |= _server_facts(path, state.server)
    elif state.in_use and state.process is not None:
        facts["in_use_by"] = f"process {state.process.pid} ({state.process.command})"
    elif state.stale is not None:
        facts["died"] = f"the server that ran as process {state.stale.pid} died; start recovers"
    facts["database_bytes"] = sum(file.stat().st_size for file in path.glob(f"{DATABASE_FILE}*"))
    facts["log_bytes"] = sum(file.stat().st_size for file in path.glob(f"{LOG_FILE}*"))
    if as_json:
        print(json.dumps(facts, indent=2))
    else:
        _show(facts)
    if state.server is None:
        raise typer.Exit(NOT_RUNNING_EXIT_CODE)


def _server_facts(path: Path, server: Server) -> dict[str, Any]:
    """What can be found out about a running server, from outside and by asking it."""
    facts: dict[str, Any] = {
        "pid": server.pid,
        "url": server.url,
        "uptime_s": round(time.time() - server.started, 1),
        "ready": _daemon.is_ready(server),
    }
    try:
        facts["memory_bytes"] = psutil.Process(server.pid).memory_info().rss
    except psutil.Error:
        pass
    if facts["ready"]:
        try:
            with administrator(path, timeout=5.0, retries=0) as db:
                facts |= {
                    "users": db.count_users(),
                    "devices": db.count_devices(),
                    "streams": db.count_streams(),
                }
        except ConnectorDBError as e:
            facts["not_counted"] = str(e)
    return facts


def _show(facts: dict[str, Any]) -> None:
    words = "running" if facts["running"] else "not running"
    if facts.get("ready") is False:
        words = "running, but does not answer"
    say(f"{facts['folder']}: {words}")
    for key, value in facts.items():
        if key in ("folder", "running", "ready"):
            continue
        name, _, unit = key.rpartition("_")
        if unit == "bytes":
            say(f"  {name:10} {bytes_shown(value)}")
        elif key == "uptime_s":
            say(f"  {name:10} {duration_shown(value)}")
        else:
            say(f"  {key.replace('_', ' '):10} {value}")


def _options(host: str | None, port: int | None) -> dict[str, Any]:
    return {"server.host": host, "server.port": port}


def _tell_stale(path: Path, stale: Server | None) -> None:
    if stale is not None:
        say(f"The last server on {path} (process {stale.pid}) died without ending properly: recovering.")
