"""Cursors as text: what a subscriber gives back to go on where it was."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..errors import Invalid
from ..store.records import Cursor

__all__ = ["EphemeralCursor", "format_cursor", "parse_cursor"]

_STORED = re.compile(r"([0-9]{1,18})\.(?:([0-9]{1,18})-)?([0-9]{1,18})(?:-([0-9]{1,18}))?")
_EPHEMERAL = re.compile(r"([0-9]{1,18})\.([0-9a-f]{1,32})\.([0-9]{1,18})")


class EphemeralCursor(NamedTuple):
    """How many datapoints of an ephemeral stream had come by, as one run of the server counts them."""

    run: str
    n: int


def format_cursor(stream_id: int, cursor: Cursor | EphemeralCursor) -> str:
    """Return *cursor* as text.

    >>> format_cursor(12, Cursor(3, 5, 1)), format_cursor(12, Cursor.behind(5))
    ('12.3-5-1', '12.5')
    """
    if isinstance(cursor, EphemeralCursor):
        return f"{stream_id}.{cursor.run}.{cursor.n}"
    if cursor.base == cursor.state:
        return f"{stream_id}.{cursor.state}"
    return f"{stream_id}.{cursor.base}-{cursor.state}-{cursor.done}"


def parse_cursor(text: str) -> tuple[int, Cursor | EphemeralCursor]:
    """Return the id of the stream and the cursor that *text* stands for.

    Raises:
        Invalid: it is none.
    """
    if found := _STORED.fullmatch(text):
        stream_id, base, state, done = found.groups()
        if (base is None) == (done is None):
            cursor = Cursor.behind(int(state)) if base is None else Cursor(int(base), int(state), int(done))
            if cursor.base <= cursor.state:
                return int(stream_id), cursor
    elif found := _EPHEMERAL.fullmatch(text):
        return int(found[1]), EphemeralCursor(found[2], int(found[3]))
    raise Invalid(f"{text[:60]!a} is no cursor: give back one that came with datapoints, as it was")
