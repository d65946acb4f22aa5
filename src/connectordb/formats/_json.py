"""A JSON array of datapoints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from ..block import Block
from ..errors import InvalidValue
from ._chunks import JSON_ERRORS, chunks_of, decode_block, decode_points

__all__ = ["encoder", "read"]

RUN_POINTS = 100
_BLANK = b" \t\r\n"
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}\[\]]|"', re.DOTALL)
"""What counts for where an element ends: whole strings, brackets, and a string that does not end here."""


class _Array:
    def __init__(self) -> None:
        self._before = b"["

    def feed(self, block: Block) -> bytes:
        before, self._before = self._before, b","
        return before + block.json

    def end(self) -> Iterator[bytes]:
        yield b"[]" if self._before == b"[" else b"]"

    def close(self) -> None:
        pass


def encoder(columns: Sequence[str] | None, *, writers: bool, spool_bytes_max: int | None) -> _Array:
    """See `connectordb.formats.encoder`."""
    return _Array()


def read(file: BinaryIO, *, remote: bool = False) -> Iterator[Block]:
    """See `connectordb.formats.read`."""
    yield from _Elements(file).blocks()


class _Elements:
    """The elements of an array, some of which are in memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._chunks = chunks_of(file)
        self._text = b""
        self._at = 0

    def blocks(self) -> Iterator[Block]:
        """Yield all elements."""
        self._expect(b"[", "it is no JSON array")
        more = self._peek() != b"]"
        if not more:
            self._at += 1
        number = 1
        while more:
            block = self._at_once()
            if block is None:
                elements, more = self._one_by_one()
                block = decode_block(elements, "datapoint", number)
            number += block.n
            yield block
        if self._peek():
            raise InvalidValue("there is more after the end of the JSON array")

    def _at_once(self) -> Block | None:
        """Take all whole elements that are in memory; ``None``: that did not work.

        What ends within an element does not decode, so what decodes has ended between two.
        """
        end = self._text.rfind(b"},", self._at) + 1
        if not end:
            return None
        try:
            points = decode_points(b"[" + self._text[self._at : end] + b"]")
        except JSON_ERRORS:
            return None
        self._at = end + 1
        return Block.of(points)

    def _one_by_one(self) -> tuple[list[bytes], bool]:
        """Take some elements, at least one, without a look into them. Return also whether there are more."""
        run: list[bytes] = []
        while len(run) < RUN_POINTS:
            run.append(self._element())
            if self._expect(b",]", "after a datapoint") == b"]":
                return run, False
        return run, True

    def _element(self) -> bytes:
        if self._peek() != b"{":
            raise InvalidValue(f"{self._shown()} stands where a datapoint should, which begins with {{")
        depth, scanned = 0, self._at
        while True:
            for token in _TOKEN.finditer(self._text, scanned):
                what = token.group()
                if what in (b"{", b"["):
                    depth += 1
                elif what in (b"}", b"]"):
                    depth -= 1
                    if not depth:
                        start, self._at = self._at, token.end()
                        return self._text[start : self._at]
                elif what == b'"':
                    scanned = token.start()
                    break
            else:
                scanned = len(self._text)
            scanned -= self._more(least=len(self._text) - self._at)

    def _expect(self, one_of: bytes, where: str) -> bytes:
        found = self._peek()
        if not found or found not in one_of:
            wanted = " or ".join(chr(c) for c in one_of)
            raise InvalidValue(f"{where}: {self._shown() if found else 'the end of the file'} in the place of {wanted}")
        self._at += 1
        return found

    def _peek(self) -> bytes:
        """The next byte that is not blank; empty at the end of the file."""
        while True:
            while self._at < len(self._text):
                byte = self._text[self._at : self._at + 1]
                if byte not in _BLANK:
                    return byte
                self._at += 1
            chunk = next(self._chunks, b"")
            if not chunk:
                return b""
            self._text, self._at = chunk, 0

    def _more(self, least: int) -> int:
        """Read on, at least about so many bytes: so an element that is long is not gone through again and again.

        Returns how far the text has moved to the front.
        """
        parts = [self._text[self._at :]]
        got = 0
        while got <= least and (chunk := next(self._chunks, b"")):
            parts.append(chunk)
            got += len(chunk)
        if not got:
            raise InvalidValue("the file ends in the middle of a datapoint")
        moved, self._text, self._at = self._at, b"".join(parts), 0
        return moved

    def _shown(self) -> str:
        return repr(self._text[self._at : self._at + 20].decode("utf-8", "replace"))
