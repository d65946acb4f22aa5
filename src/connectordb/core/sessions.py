"""Sessions that have been ended before their time, by signing out."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

__all__ = ["ENDED_MAX", "EndedSessions"]

ENDED_MAX = 100_000
"""So many are remembered; then the one that ended longest ago is forgotten."""


class EndedSessions:
    """Remembers sessions that are not valid any more, for as long as they would have been, also in a file.

    A session is in its cookie, so that nothing has to be stored for those that go on; these are the exceptions.

    Args:
        path: A line for each: until when, in seconds since the Unix epoch, and which. Made when there is the first.
            ``None``: they are remembered as long as this process lasts.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._until: OrderedDict[str, float] = OrderedDict()
        if path is not None and path.exists():
            text = path.read_text("ascii", "replace")
            for line in text.splitlines():
                until, _, session = line.partition(" ")
                if session and until.isdecimal():
                    self._until[session] = float(until)
            self._forget()
            if self._text() != text:
                unfinished = path.with_suffix(".new")
                with open(unfinished, "w", encoding="ascii", opener=_private) as file:
                    file.write(self._text())
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.replace(path)

    def __contains__(self, session: str) -> bool:
        return session in self._until

    def add(self, session: str, until: float) -> None:
        """End *session*, which would last until then. It counts at once."""
        self._until[session] = until
        self._forget()

    def write(self, session: str, until: float) -> None:
        """Have it count after this process, too; to be called from any thread, as it waits for the disk.

        Raises:
            OSError: the disk refuses.
        """
        if self._path is not None:
            with open(self._path, "a", encoding="ascii", opener=_private) as file:
                file.write(_line(session, until))
                file.flush()
                os.fsync(file.fileno())

    def _forget(self) -> None:
        """Forget those that would be over by themselves now, and the first ones if there are too many.

        The file forgets when it is next read.
        """
        now = self._clock()
        while self._until:
            session = next(iter(self._until))
            if self._until[session] >= now and len(self._until) <= ENDED_MAX:
                break
            del self._until[session]

    def _text(self) -> str:
        return "".join(_line(session, until) for session, until in self._until.items())


def _line(session: str, until: float) -> str:
    return f"{until:.0f} {session}\n"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
