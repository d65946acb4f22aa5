"""What writes datapoints in some format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from ..block import Block
from ..errors import InvalidValue

__all__ = ["Encoder", "check_columns"]


class Encoder(Protocol):
    """Writes datapoints. Used by one thread at a time."""

    def feed(self, block: Block) -> bytes:
        """Take *block* and return the next piece of what is to be written; it may be empty.

        Raises:
            TooLarge: the bound on the temporary file is reached.
        """

    def end(self) -> Iterator[bytes]:
        """Yield what is left to be written, once all blocks have been taken."""

    def close(self) -> None:
        """Let go of what is held, at any time. May be called again."""


def check_columns(columns: Sequence[str] | None) -> list[str] | None:
    """Return *columns*, which go beside the column ``t``.

    Raises:
        InvalidValue: one of them is called ``t``.
    """
    if columns is None:
        return None
    if "t" in columns:
        raise InvalidValue("the table would have two columns 't': give the column of the dataset another name")
    return list(columns)
