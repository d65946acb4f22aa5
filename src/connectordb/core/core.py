"""`Core`: all the rules, in front of a store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from ..store.base import Store
from .corrections import CorrectionRules
from .downlinkrules import DownlinkRules
from .firstuser import FirstUserRules
from .identity import Identity
from .live import LiveRules
from .permissions import Permissions
from .queries import QueryRules
from .retention import Retention
from .settings import Settings

__all__ = ["Core"]


class Core(FirstUserRules, LiveRules, DownlinkRules, CorrectionRules, QueryRules):
    """What ConnectorDB does, for whoever asks; knows nothing of HTTP.

    For one event loop: its coroutines and its plain methods are to be called from the loop's thread.

    Attributes:
        identity: Tells from credentials who asks.
        retention: Deletes what is too old, when it has been started.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        permissions: Permissions,
        *,
        secret: bytes,
        admin_key: str,
        clock: Callable[[], float] = time.time,
        ended_sessions: Path | None = None,
    ) -> None:
        """Set up the rules.

        Args:
            store: Where everything is; closed by `close`.
            secret: Signs session cookies.
            admin_key: The API key of the local administrator.
            clock: Tells the present time in seconds since the Unix epoch.
            ended_sessions: The file of the sessions that have been ended by signing out; ``None``: they are valid
                again after a restart.
        """
        super().__init__(store, settings, permissions, clock)
        self.identity = Identity(
            self.directory,
            settings.auth,
            secret=secret,
            admin_key=admin_key,
            clock=clock,
            ended_sessions=ended_sessions,
        )
        self.retention = Retention(store, clock, settings.store.retention_every_s)

    async def sign_out(self, session: str) -> None:
        """End the session of that cookie, and what is followed by it. See `Identity.end_session`."""
        if self.identity.by_session(session) is None:  # nobody has everything looked at by a forged one
            return
        try:
            await self.identity.end_session(session)
        finally:
            self._changed()

    async def close(self) -> None:
        """Finish what was accepted, and close the store."""
        await self.hub.close()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._close)

    def _close(self) -> None:
        self.retention.close()
        self.identity.close()
        self.reading.shutdown()
        self.store.close()
