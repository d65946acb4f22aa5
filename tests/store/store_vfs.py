"""A SQLite VFS which can fill the disk, fail, and tell what a power cut would have left."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

_numbers = itertools.count()
_SECTOR = 512
_NAMELESS = "temporary"  # files which nobody looks for after a cut


class FaultyVFS(apsw.VFS):
    """Passes on to the default VFS, unless told to do otherwise.

    Attributes:
        name: To open connections with.
        full: Whether every write finds the disk full. Those to the database itself do not: where SQLite passes over a
            failure, when it copies the log back, an error in Python would still be raised.
        room: After so many bytes more that are written, the disk is full; ``None``: never.
        broken: Whether every sync fails.
        syncs: Number of syncs so far, by file name.
        steps: Number of writes, truncations and syncs so far.
        on_step: Called before each of these.
    """

    def __init__(self) -> None:
        self.name = f"faulty{next(_numbers)}"
        self.full = False
        self.room: int | None = None
        self.broken = False
        self.syncs: dict[str, int] = {}
        self.steps = 0
        self.on_step: Callable[[], None] | None = None
        self._lock = threading.RLock()
        self._files: dict[Path, _Contents] = {}
        super().__init__(self.name, base="")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _File(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self._files.pop(Path(filename), None)
        super().xDelete(filename, syncdir)

    def contents(self, path: Path) -> _Contents:
        if path not in self._files:
            self._files[path] = _Contents(path)
        return self._files[path]

    def step(self) -> None:
        with self._lock:
            self.steps += 1
            if self.on_step is not None:
                self.on_step()

    def take(self, size: int) -> None:
        """Raise if the disk has no room for so many bytes more."""
        if self.room is not None:
            self.room -= size
        if self.full or (self.room is not None and self.room < 0):
            raise apsw.FullError("meant")

    def cut_power(self, into: Path, rng: random.Random | None = None) -> None:
        """Write the files to the folder *into* as they would be found after a power cut now.

        What was not synced is lost; with *rng*, some of it is there all the same, as disks like to do: any sectors, in
        whatever order they were written, or all up to a moment at which the last one is torn.
        """
        into.mkdir()
        for path, contents in list(self._files.items()):
            if path.name != _NAMELESS and not path.name.endswith("-shm"):
                (into / path.name).write_bytes(contents.after_power_cut(rng))


class _Contents:
    """What of a file is on the disk, and what was written after that."""

    def __init__(self, path: Path) -> None:
        self._synced = bytearray(path.read_bytes() if path.exists() else b"")
        self._unsynced: list[tuple[int, bytes | None]] = []

    def write(self, offset: int, data: bytes) -> None:
        self._unsynced.append((offset, data))

    def truncate(self, size: int) -> None:
        self._unsynced.append((size, None))

    def sync(self) -> None:
        _apply(self._synced, self._unsynced)
        self._unsynced = []

    def after_power_cut(self, rng: random.Random | None) -> bytes:
        made = bytearray(self._synced)
        if rng is not None:
            _apply(made, self._some(rng))
        return bytes(made)

    def _some(self, rng: random.Random) -> list[tuple[int, bytes | None]]:
        """Some of what was not synced."""
        sectors = [sector for change in self._unsynced for sector in _sectors(*change)]
        if rng.random() < 0.5:
            share = rng.choice([0.05, 0.5, 0.95, 1.0])
            return [sector for sector in sectors if rng.random() < share]
        kept = sectors[: rng.randint(0, len(sectors))]
        if kept and kept[-1][1]:
            offset, data = kept.pop()
            kept.append((offset, data[: rng.randrange(len(data))]))
        return kept


def _sectors(offset: int, data: bytes | None) -> list[tuple[int, bytes | None]]:
    """Divide a write at the bounds of sectors."""
    if data is None:
        return [(offset, None)]
    bounds = [0, *range(_SECTOR - offset % _SECTOR, len(data), _SECTOR), len(data)]
    return [(offset + start, data[start:stop]) for start, stop in itertools.pairwise(bounds)]


def _apply(made: bytearray, changes: list[tuple[int, bytes | None]]) -> None:
    for offset, written in changes:
        if written is None:
            del made[offset:]
        else:
            made.extend(bytes(max(0, offset - len(made))))
            made[offset : offset + len(written)] = written


class _File(apsw.VFSFile):
    def __init__(self, vfs: FaultyVFS, name: Any, flags: list[int]) -> None:
        self._vfs = vfs
        self._path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name or _NAMELESS)
        self._contents = vfs.contents(self._path)
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._vfs.step()
        if self._path.suffix != ".db":
            self._vfs.take(len(data))
        super().xWrite(data, offset)
        self._contents.write(offset, bytes(data))

    def xTruncate(self, size: int) -> None:
        self._vfs.step()
        super().xTruncate(size)
        self._contents.truncate(size)

    def xSync(self, flags: int) -> None:
        self._vfs.step()
        if self._vfs.broken:
            raise apsw.IOError("meant")
        super().xSync(flags)
        self._contents.sync()
        self._vfs.syncs[self._path.name] = self._vfs.syncs.get(self._path.name, 0) + 1
