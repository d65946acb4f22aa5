"""The Logger: gathers datapoints on disk and brings them to the server, whatever happens in between."""

from __future__ import annotations

from ._compat import Logger
from ._logger import Status
from ._spool import Rejected

__all__ = ["Logger", "Rejected", "Status"]
