"""Keeping the log of a background server within bounds."""

from __future__ import annotations

import os
import threading
from itertools import pairwise
from pathlib import Path

__all__ = ["keep_small", "rotate"]

CHECK_INTERVAL_S = 5.0
STDOUT, STDERR = 1, 2


def keep_small(path: Path, bytes_max: int, files: int) -> None:
    """Put *path*, where standard output and error go, aside when it is too large, as long as this process runs.

    It is done on the level of the file descriptors, so whatever writes there needs to know nothing of it, and a
    crash of the interpreter lands there too.

    Args:
        path: The log.
        bytes_max: At this size it is put aside; it may grow somewhat beyond before that is seen.
        files: How many of those put aside are kept.
    """

    def watch() -> None:
        never = threading.Event()
        while not never.wait(CHECK_INTERVAL_S):
            rotate(path, bytes_max, files)

    threading.Thread(target=watch, name="connectordb-log", daemon=True).start()


def rotate(path: Path, bytes_max: int, files: int, descriptors: tuple[int, ...] = (STDOUT, STDERR)) -> bool:
    """Put *path* aside if it is too large: it becomes ``.1``, that ``.2``, and so on; the oldest goes.

    *descriptors* then write to a new file.

    Returns:
        Whether it was too large. A log that cannot be put aside is no reason to stop serving: it stays.
    """
    try:
        if path.stat().st_size < bytes_max:
            return False
        names = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, files + 1))]
        for newer, older in reversed(list(pairwise(names))):
            if newer.exists():
                newer.replace(older)
        path.unlink(missing_ok=True)
        fresh = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError:
        return False
    for descriptor in descriptors:
        os.dup2(fresh, descriptor)
    os.close(fresh)
    return True
