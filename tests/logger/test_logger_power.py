"""Power failures: what SQLite had not yet made the disk keep is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from upload_server import UploadServer

from connectordb.logger import Logger
from connectordb.logger._spool import Spool

MakeLogger = Callable[..., Logger]


class Disk(apsw.VFS):
    """Remembers, for each file, how to undo what was written since its last sync."""

    name = "disk-with-a-cache"
    unsynced: dict[str, list[tuple[int, bytes, int]]]

    def __init__(self) -> None:
        super().__init__(self.name, "")
        Disk.unsynced = {}

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return CachedFile(name, flags)

    @staticmethod
    def after_power_failure(path: Path, copy: Path) -> None:
        """Make *copy* what is left of the spool at *path* if the power fails now."""
        for suffix in ("", "-wal"):
            source = Path(str(path) + suffix)
            content = bytearray(source.read_bytes()) if source.exists() else bytearray()
            for offset, before, size in reversed(Disk.unsynced.get(str(source), [])):
                content[offset : offset + len(before)] = before
                del content[size:]
            Path(str(copy) + suffix).write_bytes(content)
        spool = Spool(str(copy))
        # It is not a copy but the same file.
        spool.write("UPDATE identity SET inode=?", (copy.stat().st_ino,))
        assert spool.query("PRAGMA integrity_check") == [("ok",)]
        spool.close()


class CachedFile(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int]) -> None:
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        super().__init__("", name, flags)

    def _remember(self, offset: int, length: int) -> None:
        size = self.xFileSize()
        before = self.xRead(min(length, size - offset), offset) if offset < size else b""
        Disk.unsynced.setdefault(self._name, []).append((offset, before, size))

    def xWrite(self, data: bytes, offset: int) -> None:
        self._remember(offset, len(data))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:
        self._remember(size, max(0, self.xFileSize() - size))
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        Disk.unsynced[self._name] = []


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Disk]]:
    """Spools opened now lie on a disk whose power can fail."""
    vfs = Disk()
    connect = apsw.Connection
    monkeypatch.setattr(apsw, "Connection", lambda *a, **k: connect(*a, vfs=vfs.name, **k))
    yield Disk


def values(path: Path) -> list[int]:
    spool = Spool(str(path))
    found = [int(d) for (d,) in spool.query("SELECT d FROM rows ORDER BY id")]
    spool.close()
    return found


def test_full_keeps_every_insert(make_logger: MakeLogger, disk: type[Disk], tmp_path: Path) -> None:
    logger = make_logger(synchronous="full")
    for i in range(40):
        logger.insert("x", i)
        if i % 3 == 0:
            disk.after_power_failure(tmp_path / "spool.db", tmp_path / f"{i}.db")
            assert values(tmp_path / f"{i}.db") == list(range(i + 1))


def test_normal_may_lose_the_newest_inserts_but_nothing_before_an_upload(
    make_logger: MakeLogger, server: UploadServer, disk: type[Disk], tmp_path: Path
) -> None:
    logger = make_logger(synchronous="normal")
    logger.insert_many({"x": [{"d": i} for i in range(10)]})
    server.override = lambda request: (500, b"") if request.method == "PATCH" else None
    logger.sync()
    for i in range(10, 20):
        logger.insert("x", i)
    disk.after_power_failure(tmp_path / "spool.db", tmp_path / "after.db")
    kept = values(tmp_path / "after.db")
    assert kept == list(range(len(kept)))
    assert 10 <= len(kept) < 20, "the test should see inserts that are not on disk yet"


@pytest.mark.parametrize("synchronous", ["full", "normal"])
@pytest.mark.parametrize("stored", [False, True])
def test_power_failure_at_any_upload_doubles_nothing(
    make_logger: MakeLogger,
    server: UploadServer,
    disk: type[Disk],
    tmp_path: Path,
    synchronous: str,
    stored: bool,
) -> None:
    """The power fails while an upload is under way: the spool must not have gone back behind what was sent."""
    path = tmp_path / "spool.db"
    inserted = 0
    for k in range(6):
        logger = make_logger(path.name, synchronous=synchronous)
        for _ in range(5):
            logger.insert("x", inserted)
            inserted += 1
        after = tmp_path / f"after-{k}.db"

        def fail(request: Any, path: Path = path, after: Path = after) -> Any:
            if after.exists():
                return 500, b""  # the old machine sends nothing more
            if request.method == "PATCH":
                disk.after_power_failure(path, after)
                return None if stored else (500, b"")
            return None

        server.override = fail
        logger.sync()
        logger.insert("x", -1)  # goes down with the old machine
        assert after.exists()
        path = after
    server.override = lambda request: None
    logger = make_logger(path.name, synchronous=synchronous, syncraise=True)
    logger.sync()
    found = [value for value in server["x"].values if value >= 0]
    assert found == sorted(set(found)), "doubled"
    assert found == list(range(inserted)), "what was under way had to be on disk"
