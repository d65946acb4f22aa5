"""Writing what comes out of a script, in any format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from ..errors import InvalidValue

if TYPE_CHECKING:
    from ..block import Block
    from ..datapoint import Datapoint
    from ..formats import Encoder

__all__ = ["Writer"]

LOOK_AT: Final = 1000
"""By so many results it is decided which columns a table has."""
_TABLES: Final = ("csv", "arrow", "parquet")


class Writer:
    """Writes what comes out. In a table, objects get a column for each field if the first `LOOK_AT` have the same."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._columns: Sequence[str] | None = None
        self._held: list[Datapoint] = []
        self._encoder: Encoder | None = None
        self._n = 0

    def feed(self, block: Block) -> bytes:
        """As `Encoder.feed`.

        Raises:
            InvalidValue: a datapoint does not fit into the columns.
        """
        if self._encoder is None:
            if self._name in _TABLES and type(block.points[0].d) is dict and len(self._held) + block.n < LOOK_AT:
                self._held += block.points
                return b""
            return self._begun(block)
        return self._fed(self._encoder, block)

    def end(self) -> Iterator[bytes]:
        """As `Encoder.end`."""
        if self._encoder is None:
            yield self._begun(None)
        assert self._encoder is not None  # noqa: S101
        yield from self._encoder.end()
        if self._name == "json":
            yield b"\n"  # as all text ends

    def close(self) -> None:
        """As `Encoder.close`."""
        if self._encoder is not None:
            self._encoder.close()

    def _begun(self, block: Block | None) -> bytes:
        """Begin with what was held back, and *block*."""
        from ..block import Block
        from ..formats import encoder

        points = [*self._held, *(block.points if block and self._name in _TABLES else ())]
        self._columns = _columns(points[:LOOK_AT])
        encode = self._encoder = encoder(self._name, self._columns)
        held, self._held = self._held, []
        return b"".join(self._fed(encode, part) for part in (Block.of(held) if held else None, block) if part)

    def _fed(self, encode: Encoder, block: Block) -> bytes:
        if self._columns is not None:
            known = set(self._columns)
            for number, point in enumerate(block.points, self._n + 1):
                if type(point.d) is not dict or not known.issuperset(point.d):
                    raise InvalidValue(
                        f"datapoint {number} of the result does not fit into a table with the columns "
                        f"{', '.join(self._columns)[:80]}: write it with --to ndjson"
                    )
        self._n += block.n
        return encode.feed(block)


def _columns(points: Sequence[Datapoint]) -> Sequence[str] | None:
    """Return the fields of the data, if they are objects which all have the same ones; none of them ``t``."""
    fields = points[0].d.keys() if points and type(points[0].d) is dict else ()
    if not fields or "t" in fields:
        return None
    return tuple(fields) if all(type(p.d) is dict and p.d.keys() == fields for p in points) else None
