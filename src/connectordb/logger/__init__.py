"""The Logger: gathers datapoints on disk and brings them to the server, whatever happens in between."""

from __future__ import annotations

from ._compat import Logger
from ._spool import Rejected
from ._status import Status

__all__ = ["Logger", "Rejected", "Status"]
