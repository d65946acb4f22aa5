"""What goes wrong with commands, in the log: at most a line for each connection and second."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from .request import new_ref

if TYPE_CHECKING:
    from ..errors import RequestError, ServerError

__all__ = ["Complaints"]

PERIOD_S = 1.0


class Complaints:
    """Those of one connection.

    The first one of a second gets a line. Those that follow share its ref, and are counted in a second line.
    """

    __slots__ = ("_actor", "_connection", "_log", "_log_answered", "_more", "_ref", "_timer", "_write")

    def __init__(self, log: Any, connection: str, actor: str, log_answered: bool) -> None:
        """Begin.

        Args:
            connection: The ref of the request that opened it.
            actor: Path of the device.
            log_answered: Whether those are wanted too that the client gets to know of.
        """
        self._log = log
        self._write = log.warning
        self._connection = connection
        self._actor = actor
        self._log_answered = log_answered
        self._ref = ""
        self._more = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, cmd: str, error: RequestError | ServerError, *, answered: bool) -> str:
        """Log that a command failed, and return a ref that finds it in the log."""
        if answered and not self._log_answered:
            return new_ref()
        if self._timer is not None:
            self._more += 1
            return self._ref
        self._ref = new_ref()
        self._timer = asyncio.get_running_loop().call_later(PERIOD_S, self.close)
        self._write = self._log.info if answered else self._log.warning
        self._write(
            "command_failed",
            ref=self._ref,
            websocket=self._connection,
            actor=self._actor,
            cmd=cmd[:40],
            status=error.status,
            error=error.type,
            msg=error.msg,
        )
        return self._ref

    def close(self) -> None:
        """Log how many more there were."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        more, self._more = self._more, 0
        if more:
            self._write("commands_failed", ref=self._ref, websocket=self._connection, actor=self._actor, more=more)
