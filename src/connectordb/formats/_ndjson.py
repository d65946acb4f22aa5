"""NDJSON: a datapoint on each line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import msgspec

from ..block import Block
from ..rows import rows_json
from ._chunks import READ_POINTS, chunks_of, decode_block

__all__ = ["encoder", "read"]

_raw = msgspec.json.Decoder(list[msgspec.Raw])
_encode_lines = msgspec.json.Encoder().encode_lines


class _Lines:
    def feed(self, block: Block) -> bytes:
        columns = None if block.has_json else block.columns
        if columns is not None:
            return rows_json(*columns, b"\n") + b"\n"
        text = block.json
        if b"\n" in text:  # white space between the tokens: strings have it escaped
            return _encode_lines(block.points)
        return b"\n".join(_raw.decode(b"[" + text + b"]")) + b"\n"

    def end(self) -> Iterator[bytes]:
        return iter(())

    def close(self) -> None:
        pass


def encoder(columns: Sequence[str] | None, *, writers: bool, spool_bytes_max: int | None) -> _Lines:
    """See `connectordb.formats.encoder`."""
    return _Lines()


def read(file: BinaryIO, *, remote: bool = False) -> Iterator[Block]:
    """See `connectordb.formats.read`. Empty lines count as lines, and as nothing else."""
    number = 1
    for lines in _lines_of(file):
        for start in range(0, len(lines), READ_POINTS):
            first, part = number + start, lines[start : start + READ_POINTS]
            if all(part):
                yield decode_block(part, "line", first)
            else:
                # Numbers stay right if what is between the empty lines is decoded by itself.
                yield from _between_empty(part, first)
        number += len(lines)


def _between_empty(lines: list[bytes], first: int) -> Iterator[Block]:
    run: list[bytes] = []
    for at, line in enumerate(lines, first):
        if line:
            run.append(line)
        elif run:
            yield decode_block(run, "line", at - len(run))
            run = []
    if run:
        yield decode_block(run, "line", first + len(lines) - len(run))


def _lines_of(file: BinaryIO) -> Iterator[list[bytes]]:
    """Yield whole lines without their ends and without blanks around them, some at a time."""
    begun: list[bytes] = []
    for chunk in chunks_of(file):
        head, newline, tail = chunk.rpartition(b"\n")
        if newline:
            whole = b"".join((*begun, head))
            yield [line.strip(b" \t\r") for line in whole.split(b"\n")]
            begun = []
        begun.append(tail)
    last = b"".join(begun).strip(b" \t\r")
    if last:
        yield [last]
