"""Whether a port can be listened on, and who has it."""

from __future__ import annotations

import contextlib
import errno
import os
import socket

import psutil

from ..errors import FolderError

__all__ = ["check_port", "explain"]


def check_port(host: str, port: int) -> None:
    """Raise if nobody could listen on *host* and *port* now.

    Raises:
        FolderError: see `explain`.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            with contextlib.closing(socket.socket(family, kind, protocol)) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                trial.bind(address)
                trial.listen(1)
    except OSError as e:
        raise explain(e, host, port) from e


def explain(error: OSError, host: str, port: int) -> Exception:
    """Return what is to be raised if listening on *host* and *port* has failed with *error*.

    That is a `FolderError` if the address is the cause: the port is taken (says by whom) or needs more rights, the
    host is unknown or none of this machine's. Else *error* itself.
    """
    hint = "set another with --host or in connectordb.toml"
    if error.filename is not None:
        return error
    if isinstance(error, socket.gaierror):
        return FolderError(f"the host {host!r} cannot be looked up ({error.strerror}): {hint}")
    if error.errno == errno.EADDRINUSE:
        return FolderError(
            f"port {port} of {host} is taken{_holder_shown(port)}: "
            "stop that, or choose another port with --port or in connectordb.toml"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return FolderError(f"{host} is no address of this machine: {hint}")
    if error.errno in (errno.EACCES, errno.EPERM):
        return FolderError(f"only root may listen on port {port}: choose one above 1023 with --port")
    return error


def _holder_shown(port: int) -> str:
    """Return `` by process ...`` if it can be found out who listens on *port*, else nothing."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            address = connection.laddr
            if connection.status == psutil.CONN_LISTEN and address and address.port == port and connection.pid:
                return f" by {_process_shown(connection.pid)}"
    except psutil.Error:
        pass
    return ""


def _process_shown(pid: int) -> str:
    """Return ``process PID (COMMAND)``, the command as far as it may be read."""
    try:
        process = psutil.Process(pid)
        command = " ".join(process.cmdline()) or process.name()
    except psutil.Error:
        command = ""
    who = "this process" if pid == os.getpid() else f"process {pid}"
    return f"{who} ({command[:150]})" if command else who
