"""What a running script may keep in memory."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from sys import getsizeof
from typing import Any, Final

from .values import Failure

__all__ = ["DEFAULT_LIMITS", "HEAVY", "Keep", "Limits", "Room", "weight"]

_TEXT_BYTES: Final = 60
"""About what a text takes in memory, beside its characters."""
_NUMBER_BYTES: Final = 24

HEAVY: Final = frozenset({str, dict, list})
"""The types of values that may be large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what a script keeps. Where one is reached the script ends with an error that names it.

    Attributes:
        script_parts_max: Parts of the script itself: transforms, operators, values.
        script_keys_max: Keys that a `map` or an `imap` splits by, and different values that a `new` tells apart.
        script_text_bytes_max: Bytes of the text that an `append` makes.
        script_points_max: Datapoints of which a `quantile` or an `lttb` keeps the numbers.
        script_copies_max: Parts of the copies of inner scripts (one copy for each key of a `map`, for instance).
        script_kept_bytes_max: Bytes of all that a script keeps of its data, about.
        script_value_bytes_max: Bytes of a single text or object that a script makes, about.
    """

    script_parts_max: int = 2_000
    script_keys_max: int = 50_000
    script_text_bytes_max: int = 1_000_000
    script_points_max: int = 1_000_000
    script_copies_max: int = 500_000
    script_kept_bytes_max: int = 128 * 1024 * 1024
    script_value_bytes_max: int = 16 * 1024 * 1024


DEFAULT_LIMITS: Final = Limits()


def weight(value: Any, most: float = inf) -> int:
    """Return about how many bytes a text, an object or a list takes in memory; 0 for all else.

    What stands in it twice counts twice. Beyond *most* it is not looked at any further.
    """
    kind = type(value)
    if kind is str:
        return _TEXT_BYTES + len(value)
    if kind is not dict and kind is not list:
        return 0
    total = 0
    inside = [value]
    while inside and total <= most:  # no recursion: data may nest as deep as they like
        value = inside.pop()
        total += getsizeof(value) + _NUMBER_BYTES * len(value)
        for part in value.values() if type(value) is dict else value:
            kind = type(part)
            if kind is str:
                total += _TEXT_BYTES + len(part)
            elif kind is dict or kind is list:
                inside.append(part)
    return total


class Room:
    """What one running script keeps, all of its transforms together.

    Attributes:
        copies: How many parts the kept copies of inner scripts have together.
        kept_bytes: What the transforms say that they keep.
    """

    __slots__ = ("copies", "kept_bytes", "limits")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.copies = 0
        self.kept_bytes = 0

    def made(self, value: Any) -> Any:
        """Return *value*, which the script has made of other values: of the same one twice, perhaps.

        Raises:
            Failure: it is too large.
        """
        most = self.limits.script_value_bytes_max
        if weight(value, most) > most:
            raise Failure(f"the script makes a value of more than {most} bytes (limit script_value_bytes_max)")
        return value


class Keep:
    """What one running transform keeps. When that is gone, so is what it keeps: the room is free again."""

    __slots__ = ("n", "room")

    def __init__(self, room: Room) -> None:
        self.room = room
        self.n = 0

    @property
    def limits(self) -> Limits:
        return self.room.limits

    def add(self, n: int) -> None:
        """Count *n* bytes more as kept.

        Raises:
            Failure: that is too much for one script.
        """
        self.n += n
        self.room.kept_bytes += n
        if n > 0 and self.room.kept_bytes > self.limits.script_kept_bytes_max:
            most = self.limits.script_kept_bytes_max
            raise Failure(f"the script would keep more than {most} bytes in memory (limit script_kept_bytes_max)")

    def hold(self, value: Any) -> None:
        """Count *value* as kept, instead of the one before. Raises as `add`."""
        held = weight(value)
        if held != self.n:
            self.add(held - self.n)

    def points(self, n: int, name: str) -> None:
        """Check that a transform may keep the numbers of *n* datapoints.

        Raises:
            Failure: it may not.
        """
        most = self.limits.script_points_max
        if n > most:
            raise Failure(
                f"{name} takes at most {most} datapoints (limit script_points_max): "
                "make them fewer first, with resample for instance, or ask for a shorter range"
            )

    def keys(self, n: int, what: str) -> None:
        """Check that a transform may tell *n* keys apart.

        Raises:
            Failure: it may not.
        """
        most = self.limits.script_keys_max
        if n > most:
            raise Failure(f"there are more than {most} different {what} (limit script_keys_max)")

    def __del__(self) -> None:
        self.room.kept_bytes -= self.n
