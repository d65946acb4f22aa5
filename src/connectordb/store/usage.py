"""How much is stored, and where."""

from __future__ import annotations

from pathlib import Path

import apsw
import msgspec

from . import _objects
from ._connection import query
from ._key import key_of, place_of
from ._migrate import check_version, load_migrations
from ._reading import reading
from .base import Substream

__all__ = ["Usage", "usage"]

_USAGE = (
    "SELECT coalesce(sum(n), 0), coalesce(sum(length(points)), 0), min(t1), max(t2) FROM tail "
    "WHERE place >= ? AND place < ?"
)


class Usage(msgspec.Struct):
    """What is stored of a user, a device, a stream or a stream's downlink.

    Attributes:
        path: Of one name, two, three or four.
        points: Number of datapoints.
        bytes: Length of their text.
        first, last: Time stamps of the first and the last, in seconds since the Unix epoch; ``None``: there is none.
    """

    path: str
    points: int = 0
    bytes: int = 0
    first: float | None = None
    last: float | None = None

    @property
    def bytes_per_point(self) -> float | None:
        """``None`` if there is none."""
        return self.bytes / self.points if self.points else None

    def add(self, other: Usage) -> None:
        """Count *other* in."""
        self.points += other.points
        self.bytes += other.bytes
        self.first = min((t for t in (self.first, other.first) if t is not None), default=None)
        self.last = max((t for t in (self.last, other.last) if t is not None), default=None)


def usage(path: Path, names: tuple[str, ...] = ()) -> list[Usage]:
    """Return what each user, device and stream has, each before what is in it; a downlink only if it has datapoints.

    A server may have the database open; each stream is looked at by itself.

    Args:
        path: The database.
        names: Only this user, device or stream, and what is in it: up to three names.

    Raises:
        FolderError: the database is of a newer version.
        StoreError: it cannot be read.
    """
    user_name, device_name, stream_name = (*names, None, None, None)[:3]
    found: list[Usage] = []
    with reading(path) as connection:
        check_version(connection, path, load_migrations()[-1].version)
        for user in _objects.users(connection):
            if user_name not in (None, user.name):
                continue
            of_user = Usage(user.name)
            found.append(of_user)
            for device in _objects.devices(connection, user.id):
                if device_name not in (None, device.name):
                    continue
                of_device = Usage(f"{user.name}/{device.name}")
                found.append(of_device)
                for stream in _objects.streams(connection, device.id):
                    if stream_name in (None, stream.name):
                        found += _of_stream(connection, stream.id, f"{of_device.path}/{stream.name}", of_device)
                of_user.add(of_device)
    return [one for one in found if one.path.count("/") >= len(names) - 1]


def _of_stream(connection: apsw.Connection, stream_id: int, path: str, of_device: Usage) -> list[Usage]:
    found = []
    for substream in Substream:
        key = key_of(stream_id, substream)
        row = query(connection, _USAGE, (place_of(key), place_of(key + 1)))[0]
        one = Usage(f"{path}/downlink" if substream else path, *row)
        of_device.add(one)
        if one.points or not substream:
            found.append(one)
    return found
