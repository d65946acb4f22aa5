"""How much is stored, and where."""

from __future__ import annotations

from pathlib import Path

import apsw
import msgspec

from ._connection import query
from ._key import key_of, place_of
from ._migrate import check_version, load_migrations
from ._reading import reading
from ._versions import has_blocks, runs_of
from .records import Substream

__all__ = ["Usage", "usage"]

_USERS = "SELECT id, name FROM users ORDER BY id"
_DEVICES = "SELECT id, name FROM devices WHERE user_id = ? ORDER BY id"
_KEPT = (
    "SELECT coalesce(sum(length(points) + coalesce((SELECT length(data) FROM blocks WHERE id = block), 0)), 0) "
    "FROM corrections JOIN removed ON correction = corrections.id WHERE substream = ?"
)
_STREAMS = "SELECT id, name, {} FROM streams WHERE device_id = ? ORDER BY id"


class Usage(msgspec.Struct):
    """What is stored of a user, a device, a stream or a stream's downlink.

    Attributes:
        path: Of one name, two, three or four.
        points: Number of datapoints.
        sealed: How many of them are in blocks.
        bytes: Length of their blocks, and of the text of those that are in none.
        kept: Length of what corrections keep so that they can be undone, in the same way.
        keep_s: How long the datapoints of a stream are kept, in seconds; 0: for ever.
        first, last: Time stamps of the first and the last, in seconds since the Unix epoch; ``None``: there is none.
    """

    path: str
    points: int = 0
    sealed: int = 0
    bytes: int = 0
    kept: int = 0
    keep_s: float = 0.0
    first: float | None = None
    last: float | None = None

    @property
    def bytes_per_point(self) -> float | None:
        """``None`` if there is none."""
        return self.bytes / self.points if self.points else None

    def add(self, other: Usage) -> None:
        """Count *other* in."""
        self.points += other.points
        self.sealed += other.sealed
        self.bytes += other.bytes
        self.kept += other.kept
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
        version = check_version(connection, path, load_migrations()[-1].version)
        streams_of_device = _STREAMS.format("keep_s" if has_blocks(version) else "0.0")
        for user_id, user in query(connection, _USERS):
            if user_name not in (None, user):
                continue
            of_user = Usage(user)
            found.append(of_user)
            for device_id, device in query(connection, _DEVICES, (user_id,)):
                if device_name not in (None, device):
                    continue
                of_device = Usage(f"{user}/{device}")
                found.append(of_device)
                for stream_id, stream, keep_s in query(connection, streams_of_device, (device_id,)):
                    if stream_name in (None, stream):
                        streams = _of_stream(connection, version, stream_id, f"{of_device.path}/{stream}")
                        for one in streams:
                            one.keep_s = keep_s
                            of_device.add(one)
                        found += [one for one in streams if one.points or one.kept or one.path.count("/") < 3]
                of_user.add(of_device)
    return [one for one in found if one.path.count("/") >= len(names) - 1]


def _of_stream(connection: apsw.Connection, version: int, stream_id: int, path: str) -> list[Usage]:
    """Return what the stream has, and what its downlink has."""
    sealed, size = "0", "length(points)"
    if has_blocks(version):
        sealed = "CASE WHEN block IS NOT NULL THEN n ELSE 0 END"
        size += " + coalesce((SELECT length(data) FROM blocks WHERE id = block), 0)"
    sql = (
        f"SELECT coalesce(sum(n), 0), coalesce(sum({sealed}), 0), coalesce(sum({size}), 0), min(t1), max(t2) "
        f"FROM {runs_of(version)} WHERE place >= ? AND place < ?"
    )
    found = []
    for substream in Substream:
        key = key_of(stream_id, substream)
        row = query(connection, sql, (place_of(key), place_of(key + 1)))[0]
        points, in_blocks, n_bytes, first, last = row
        kept = query(connection, _KEPT, (key,))[0][0] if has_blocks(version) else 0
        found.append(
            Usage(
                f"{path}/downlink" if substream else path,
                points=points,
                sealed=in_blocks,
                bytes=n_bytes,
                kept=kept,
                first=first,
                last=last,
            )
        )
    return found
