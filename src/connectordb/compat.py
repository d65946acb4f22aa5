"""Names of ConnectorDB 0.3 that are written otherwise now. They stay, so that old scripts run unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["OldDatapointArray"]


class _Array(Protocol):
    def load_json(self, filename: str | PathLike[str]) -> Any: ...
    def write_json(self, filename: str | PathLike[str]) -> None: ...
    def load_export(self, folder: str | PathLike[str]) -> Any: ...


A = TypeVar("A", bound=_Array)


class OldDatapointArray:
    """The camelCase names of `DatapointArray`."""

    def loadJSON(self: A, filename: str | PathLike[str]) -> A:  # noqa: N802
        """The old name of `DatapointArray.load_json`."""
        self.load_json(filename)
        return self

    def writeJSON(self: _Array, filename: str | PathLike[str]) -> None:  # noqa: N802
        """The old name of `DatapointArray.write_json`."""
        self.write_json(filename)

    def loadExport(self: A, folder: str | PathLike[str]) -> A:  # noqa: N802
        """The old name of `DatapointArray.load_export`."""
        self.load_export(folder)
        return self
