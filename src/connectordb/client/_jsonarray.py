"""A JSON array in a file, read and written piece by piece, so that it may be longer than memory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from ..errors import InvalidValue

__all__ = ["create_private", "read_array", "write_array"]

CHUNK_CHARS = 256 * 1024
ELEMENT_CHARS_MAX = 64 * 1024 * 1024
_BLANK = " \t\n\r"


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse)


def read_array(path: Path) -> Iterator[Any]:
    """Yield the elements of the JSON array in the file *path*, in UTF-8. They are objects or arrays.

    Raises:
        InvalidValue: the file holds something else, or ends too early. All before has been yielded.
        OSError: it cannot be read.
    """
    with path.open(encoding="utf-8-sig") as file:
        try:
            yield from _Reader(file).elements()
        except (ValueError, RecursionError) as e:
            raise InvalidValue(f"{path} is no JSON array of datapoints: {e}") from None


class _Reader:
    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._at = 0

    def elements(self) -> Iterator[Any]:
        self._expect("[")
        if self._peek() == "]":
            self._at += 1
        else:
            while True:
                yield self._element()
                if self._expect(",]") == "]":
                    break
        if self._peek():
            raise ValueError("there is more after the end of the array")

    def _element(self) -> Any:
        if self._peek() not in ("{", "["):
            raise ValueError(f"{self._text[self._at : self._at + 20]!r} stands where a datapoint should")
        while True:
            try:
                element, self._at = _decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                # Either it is wrong, or it goes on in the next piece. Pieces double, so that this stays linear.
                if len(self._text) - self._at > ELEMENT_CHARS_MAX or not self._more():
                    raise
            else:
                return element

    def _expect(self, one_of: str) -> str:
        found = self._peek()
        if not found:
            raise ValueError("it ends too early")
        if found not in one_of:
            raise ValueError(f"{found!r} stands where {' or '.join(map(repr, one_of))} should")
        self._at += 1
        return found

    def _peek(self) -> str:
        """The next character that is not blank; empty at the end of the file."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _BLANK:
                    return self._text[self._at]
                self._at += 1
            if not self._more():
                return ""

    def _more(self) -> bool:
        rest = self._text[self._at :]
        piece = self._file.read(max(CHUNK_CHARS, len(rest)))
        self._text, self._at = rest + piece, 0
        return bool(piece)


def create_private(path: Path) -> BinaryIO:
    """Create the file *path*, which only the user may read who runs this.

    Raises:
        FileExistsError: there is such a file already.
        OSError: it cannot be created.
    """
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def write_array(path: Path, pages: Iterable[list[Any]]) -> None:
    """Write a JSON array to the new file *path*: one element a line, so that other programs can read it in pieces too.

    Only the user who runs this may read it.

    Args:
        pages: The elements, each as the bytes of its JSON text, in lists of some.

    Raises:
        OSError: it cannot be written.
    """
    with create_private(path) as file:
        file.write(b"[")
        between = b""
        for page in pages:
            if page:
                file.write(between + b",\n".join(page))
                between = b",\n"
        file.write(b"]")
