"""The names that the Logger of ConnectorDB 0.3 gave to things. Old scripts use them; new ones need not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ._logger import BaseLogger

__all__ = ["Logger"]


class Logger(BaseLogger):
    __doc__ = BaseLogger.__doc__

    def addStream(self, name: str, schema: Mapping[str, Any] | str | None = None, **kwargs: Any) -> None:  # noqa: N802
        """The old name of `add_stream`."""
        self.add_stream(name, schema, **kwargs)

    def addStream_force(self, name: str, schema: Mapping[str, Any] | str | None = None) -> None:  # noqa: N802
        """The old name of `add_stream` for when the server is away, which makes no difference any more."""
        self.add_stream(name, schema)

    def cleardata(self) -> None:
        """The old name of `clear_data`."""
        self.clear_data()

    @property
    def serverurl(self) -> str:
        """The old name of `server_url`."""
        return self.server_url

    @serverurl.setter
    def serverurl(self, url: str) -> None:
        self.server_url = url

    @property
    def syncperiod(self) -> float:
        """The old name of `sync_period_s`."""
        return self.sync_period_s

    @syncperiod.setter
    def syncperiod(self, period_s: float) -> None:
        self.sync_period_s = period_s

    @property
    def lastsynctime(self) -> float:
        """The old name of `last_sync_t`."""
        return self.last_sync_t

    @property
    def onsync(self) -> Callable[[], object] | None:
        """The old name of `on_sync`."""
        return self.on_sync

    @onsync.setter
    def onsync(self, callback: Callable[[], object] | None) -> None:
        self.on_sync = callback

    @property
    def onsyncfail(self) -> Callable[[Exception], object] | None:
        """The old name of `on_sync_fail`."""
        return self.on_sync_fail

    @onsyncfail.setter
    def onsyncfail(self, callback: Callable[[Exception], object] | None) -> None:
        self.on_sync_fail = callback

    @property
    def syncraise(self) -> bool:
        """The old name of `sync_raise`."""
        return self.sync_raise

    @syncraise.setter
    def syncraise(self, value: bool) -> None:
        self.sync_raise = value
