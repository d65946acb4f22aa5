"""Starting a server in the background, and ending it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import urllib3

from ..core.folder import LOCK_FILE, LOG_FILE, Folder, Server
from ..errors import FolderError

__all__ = ["is_ready", "launch", "terminate"]

_POLL_S = 0.05
_PROBE_TIMEOUT_S = 2.0
_KILLED_WAIT_S = 10.0
_REASON_LINES_MAX = 20


def is_ready(server: Server) -> bool:
    """Whether *server* answers that it takes requests."""
    try:
        answer = urllib3.request("GET", f"{server.url}/readyz", timeout=_PROBE_TIMEOUT_S, retries=False)
    except urllib3.exceptions.HTTPError:
        return False
    return answer.status == 200


def launch(path: Path, arguments: Sequence[str], timeout_s: float) -> Server:
    """Run ``connectordb run`` on the folder *path* in the background, and return when it takes requests.

    Args:
        path: The folder, absolute.
        arguments: Further ones of ``run``.
        timeout_s: For how many seconds to wait.

    Raises:
        FolderError: it ended (the message has what it said), or was not ready in time and has been ended.
    """
    log_path = path / LOG_FILE
    descriptor = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        seen = os.fstat(descriptor).st_size
        child = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-P", "-m", "connectordb", "run", str(path), "--background", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    try:
        return _wait_until_ready(path, child, seen, timeout_s)
    except BaseException:
        child.terminate()
        try:
            child.wait(timeout=_KILLED_WAIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        raise


def _wait_until_ready(path: Path, child: subprocess.Popen[bytes], seen: int, timeout_s: float) -> Server:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise FolderError(_reason(path / LOG_FILE, seen, child.returncode))
        server = Folder.state(path).server
        if server is not None and server.pid == child.pid and is_ready(server):
            return server
        time.sleep(_POLL_S)
    raise FolderError(
        f"the server on {path} was not ready within {timeout_s:g} s and has been stopped: "
        f"see {path / LOG_FILE}, or give it longer with --timeout"
    )


def _reason(log_path: Path, seen: int, code: int) -> str:
    """What a server that ended has written to its log beyond the first *seen* bytes."""
    with log_path.open("rb") as log:
        log.seek(seen)
        lines = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    if not lines:
        return f"the server ended at once with exit code {code}, and said nothing"
    if lines[-1].startswith("Error: "):
        return lines[-1].removeprefix("Error: ")
    shown = "\n  ".join(lines[-_REASON_LINES_MAX:])
    return f"the server ended at once with exit code {code}. The end of {log_path}:\n  {shown}"


def terminate(path: Path, server: Server, timeout_s: float, *, kill: bool) -> bool:
    """End *server* on the folder *path*: it finishes what it has accepted. Returns when the folder is free.

    Args:
        path: The folder, absolute.
        server: What `Folder.state` says.
        timeout_s: For how many seconds to wait.
        kill: Whether to kill it if it has not ended by then. What was acknowledged is on disk in any case.

    Returns:
        Whether it ended by itself.

    Raises:
        FolderError: it did not end in time, or cannot be reached from here.
    """
    _check_holds_lock(path, server)
    _signal(server, signal.SIGTERM)
    if _wait_until_free(path, server, timeout_s):
        return True
    if not kill:
        raise FolderError(
            f"the server on {path} (process {server.pid}) has not ended within {timeout_s:g} s: "
            "wait longer with --timeout, or use --kill"
        )
    _signal(server, signal.SIGKILL)
    if not _wait_until_free(path, server, _KILLED_WAIT_S):
        raise FolderError(f"process {server.pid} does not end although it was killed")
    return False


def _check_holds_lock(path: Path, server: Server) -> None:
    """Raise if the process of that id is another one: the server may run in another container, on the same disk."""
    lock = path / LOCK_FILE
    try:
        opened = {file.path for file in psutil.Process(server.pid).open_files()}
    except psutil.AccessDenied:
        return
    except psutil.NoSuchProcess:
        opened = set()
    if str(lock.resolve()) not in opened:
        raise FolderError(
            f"{path} is in use, but not by process {server.pid} of this machine: "
            "it runs in another container or on another machine, stop it there"
        )


def _signal(server: Server, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        try:
            os.kill(server.pid, number)
        except PermissionError as e:
            raise FolderError(f"process {server.pid} belongs to another user: stop it as that user, or as root") from e


def _wait_until_free(path: Path, server: Server, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while True:
        state = Folder.state(path)
        if not state.in_use or (state.process is not None and state.process.pid != server.pid):
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
