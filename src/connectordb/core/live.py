"""The rules for following streams."""

from __future__ import annotations

from ..errors import NotFound
from ..store.records import Substream
from .actor import Actor
from .data import DataRules
from .directory import Target
from .hub import Outlet
from .identity import Identity
from .subscription import Subscriber

__all__ = ["LiveRules"]


class LiveRules(DataRules):
    """Following streams as they grow."""

    identity: Identity

    def connect(self, actor: Actor, login: str, outlet: Outlet) -> Subscriber:
        """Return what a connection subscribes with. Whoever opens it closes it.

        Args:
            login: How *actor* logged in: ``"apikey"``, ``"password"``, ``"session"``, or ``""``. The connection ends
                when that would not do any more.
        """
        return Subscriber(self, actor, login, outlet)

    def find_followed(self, actor: Actor, path: tuple[str, str, str], *, downlink: bool) -> tuple[Target, Substream]:
        """Return the stream that *actor* wants to follow. Raises `NotFound` (status 403), `PermissionDenied`."""
        self._readable(actor, path, downlink)
        target = self.directory.target(path)
        if target is None:  # deleted just now
            raise NotFound(f"there is no '{'/'.join(path)}', or it may not be accessed", status=403)
        return target, Substream.DOWNLINK if downlink else Substream.MAIN
