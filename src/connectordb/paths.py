"""Names and paths: ``user``, ``user/device``, ``user/device/stream``."""

from __future__ import annotations

import re

from .errors import Invalid

__all__ = ["NAME_LENGTH_MAX", "check_name", "is_name", "parse_path", "parse_stream_path"]

NAME_LENGTH_MAX = 29
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]*")


def is_name(name: str) -> bool:
    """Whether *name* may name a user, a device or a stream."""
    return len(name) <= NAME_LENGTH_MAX and _NAME.fullmatch(name) is not None


def check_name(name: str, what: str = "name") -> str:
    """Return *name* if it may name a user, a device or a stream.

    Args:
        name: 1 to 29 characters: a letter of ASCII, then letters, digits, ``_`` and ``-``.
        what: What it names, for the message.

    Raises:
        Invalid: with the rule in the message.

    >>> check_name("living-room")
    'living-room'
    """
    if is_name(name):
        return name
    raise Invalid(
        f"{_shown(name)} is no valid {what}: it has to begin with a letter (a-z, A-Z), go on with letters, "
        f"digits, '_' or '-', and have at most {NAME_LENGTH_MAX} characters"
    )


def parse_path(path: str) -> tuple[str, ...]:
    """Return the one, two or three names in *path*.

    Raises:
        Invalid: *path* has no or more than three parts, or one that is no name.

    >>> parse_path("alice/phone/steps")
    ('alice', 'phone', 'steps')
    """
    parts = tuple(path.strip("/").split("/"))
    if len(parts) > 3:
        raise Invalid(f"{_shown(path)} is no path of a user, a device (user/device) or a stream (user/device/stream)")
    for part, what in zip(parts, ("user name", "device name", "stream name"), strict=False):
        check_name(part, what)
    return parts


def parse_stream_path(path: str) -> tuple[str, str, str, bool]:
    """Return user, device and stream of *path*, and whether it means the stream's downlink.

    Raises:
        Invalid: *path* is not ``user/device/stream`` nor ``user/device/stream/downlink``.

    >>> parse_stream_path("alice/lamp/on/downlink")
    ('alice', 'lamp', 'on', True)
    """
    downlink = path.count("/") == 3 and path.endswith("/downlink")
    parts = parse_path(path.removesuffix("/downlink") if downlink else path)
    if len(parts) != 3:
        raise Invalid(f"{_shown(path)} is no path of a stream (user/device/stream)")
    return (*parts, downlink)


def _shown(text: str) -> str:
    shown = ascii(text)
    return shown if len(shown) <= 60 else shown[:57] + "...'"
