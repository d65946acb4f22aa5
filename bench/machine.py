"""On what it was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import apsw
import psutil

from connectordb import __version__
from connectordb.core.settings import ENVIRONMENT_PREFIX, load

__all__ = ["describe", "shown"]

_CPUINFO = Path("/proc/cpuinfo")


def describe(folder: Path) -> dict[str, Any]:
    """Return hardware and versions; *folder* tells the file system."""
    settings = load()
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load": round(os.getloadavg()[0], 2),
        "filesystem": _filesystem(folder),
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "apsw": apsw.apsw_version(),
        "connectordb": __version__,
        "commit": _commit(),
        "synchronous": settings.store.synchronous,
        "environment": sorted(f"{k}={v}" for k, v in os.environ.items() if k.startswith(ENVIRONMENT_PREFIX)),
    }


def shown(machine: dict[str, Any]) -> str:
    """Return *machine* as a line for a terminal."""
    parts = []
    for key, value in machine.items():
        if isinstance(value, list):
            value = ", ".join(value)
        if value != "":
            parts.append(
                f"{key.replace('_', ' ')} {value:,.0f}"
                if key == "fdatasync_per_s"
                else f"{key.replace('_', ' ')} {value}"
            )
    return ", ".join(parts)


def _cpu() -> str:
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _filesystem(folder: Path) -> str:
    """Return the type of the file system that holds *folder*."""
    path = str(folder.resolve())
    holding = [part for part in psutil.disk_partitions(all=True) if _is_below(path, part.mountpoint)]
    return max(holding, key=lambda part: len(part.mountpoint)).fstype if holding else "unknown"


def _is_below(path: str, mountpoint: str) -> bool:
    return path == mountpoint or path.startswith(mountpoint.rstrip("/") + "/")


def _commit() -> str:
    """Return the short id of the commit, with a ``+`` if files differ from it."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "--short", "HEAD")
    if commit is None:
        return "none"
    return commit + ("+" if git("status", "--porcelain") else "")
