"""Server-sent events, out of the bytes of an answer. No input or output happens here."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Event", "EventParser"]

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n?|\n")


class Event(NamedTuple):
    """One event.

    Attributes:
        kind: ``message`` if the server named no other.
        data: Text; lines are separated by ``\\n``.
        id: The last one that the server gave, with this event or before it; ``None``: none so far.
    """

    kind: str
    data: str
    id: str | None


class EventParser:
    """Takes the bytes of an event stream as they come, in pieces of any length.

    >>> parser = EventParser()
    >>> parser.feed(b"id: 7\\ndata: [1")
    []
    >>> parser.feed(b"]\\n\\n")
    [Event(kind='message', data='[1]', id='7')]
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._after_cr = False
        self._begun = False
        self._kind = ""
        self._data: list[str] = []
        self._id: str | None = None

    def feed(self, piece: bytes) -> list[Event]:
        """Take the next bytes, and return the events that are complete with them."""
        if self._after_cr and piece:
            piece = piece.removeprefix(b"\n")  # the second half of a line end
            self._after_cr = False
        start = len(self._rest)  # what is there holds no line end
        self._rest += piece
        if not self._begun:
            if len(self._rest) < len(_BOM) and _BOM.startswith(self._rest):
                return []
            self._begun, start = True, 0
            if self._rest.startswith(_BOM):
                del self._rest[: len(_BOM)]
        return self._lines(start)

    def _lines(self, start: int) -> list[Event]:
        events: list[Event] = []
        done = 0
        for line_end in _LINE_END.finditer(self._rest, start):
            event = self._line(bytes(self._rest[done : line_end.start()]).decode("utf-8", "replace"))
            if event is not None:
                events.append(event)
            done = line_end.end()
        self._after_cr = 0 < done == len(self._rest) and self._rest.endswith(b"\r")
        del self._rest[:done]
        return events

    def _line(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")  # a comment has an empty name
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._kind = value
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def _dispatch(self) -> Event | None:
        kind, data = self._kind, self._data
        self._kind, self._data = "", []
        return Event(kind or "message", "\n".join(data), self._id) if data else None
