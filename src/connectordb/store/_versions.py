"""What the tables of earlier versions are like, for those who look at a database without bringing it up to date."""

from __future__ import annotations

__all__ = ["has_blocks", "has_changes", "runs_of"]


def runs_of(version: int) -> str:
    """Return the name of the table of runs."""
    return "runs" if has_blocks(version) else "tail"


def has_changes(version: int) -> bool:
    """Whether it notes where late datapoints went, and has downlinks."""
    return version >= 2


def has_blocks(version: int) -> bool:
    """Whether it has blocks and corrections."""
    return version >= 3
