"""A SQLite VFS which can fill the disk, fail, and tell what a power cut would have left."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import apsw

_numbers = itertools.count()


class FaultyVFS(apsw.VFS):
    """Passes on to the default VFS, unless told to do otherwise.

    Attributes:
        name: To open connections with.
        full: Whether every write finds the disk full.
        broken: Whether every sync fails.
        syncs: Number of syncs so far, by file name.
    """

    def __init__(self) -> None:
        self.name = f"faulty{next(_numbers)}"
        self.full = False
        self.broken = False
        self.syncs: dict[str, int] = {}
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

    def cut_power(self, into: Path, rng: random.Random | None = None) -> None:
        """Write the files to the folder *into* as they would be found after a power cut now.

        What was not synced is lost; with *rng*, some of it is there all the same, as disks like to do.
        """
        into.mkdir()
        for path, contents in self._files.items():
            if not path.name.endswith("-shm"):
                (into / path.name).write_bytes(contents.after_power_cut(rng))


class _Contents:
    """What of a file is on the disk, and what was written after that."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._synced = path.read_bytes() if path.exists() else b""
        self._unsynced: list[tuple[int, bytes | None]] = []

    def write(self, offset: int, data: bytes) -> None:
        self._unsynced.append((offset, data))

    def truncate(self, size: int) -> None:
        self._unsynced.append((size, None))

    def sync(self) -> None:
        self._synced = _apply(self._synced, self._unsynced)
        self._unsynced = []

    def after_power_cut(self, rng: random.Random | None) -> bytes:
        kept = [one for one in self._unsynced if rng is not None and rng.random() < 0.5]
        return _apply(self._synced, kept)


def _apply(data: bytes, changes: list[tuple[int, bytes | None]]) -> bytes:
    made = bytearray(data)
    for offset, written in changes:
        if written is None:
            del made[offset:]
        else:
            made.extend(bytes(max(0, offset - len(made))))
            made[offset : offset + len(written)] = written
    return bytes(made)


class _File(apsw.VFSFile):
    def __init__(self, vfs: FaultyVFS, name: Any, flags: list[int]) -> None:
        self._vfs = vfs
        self._path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name or "")
        self._contents = vfs.contents(self._path)
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        if self._vfs.full:
            raise apsw.FullError("meant")
        super().xWrite(data, offset)
        self._contents.write(offset, bytes(data))

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        self._contents.truncate(size)

    def xSync(self, flags: int) -> None:
        if self._vfs.broken:
            raise apsw.IOError("meant")
        super().xSync(flags)
        self._contents.sync()
        self._vfs.syncs[self._path.name] = self._vfs.syncs.get(self._path.name, 0) + 1
