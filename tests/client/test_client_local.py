"""Local mode: the same client on a database folder, without a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectordb import Closed, ConnectorDB, FolderError
from connectordb.core.folder import Folder


def test_a_new_folder_is_made_and_kept(tmp_path: Path) -> None:
    with ConnectorDB.local(tmp_path / "mine", user="me") as db:
        assert db.path == "me/user"
        db["mood"].create({"type": "integer"})
        db["mood"].insert(7)
    with ConnectorDB.local(str(tmp_path / "mine")) as db:
        assert db["mood"][-1]["d"] == 7
    with pytest.raises(Closed):
        len(db["mood"])


def test_the_same_folder_twice_and_as_somebody_else(tmp_path: Path) -> None:
    Folder.create(tmp_path / "db", test=True)
    with (
        ConnectorDB.local(tmp_path / "db") as one,
        ConnectorDB.local(tmp_path / "db", user="test") as two,
        ConnectorDB.local(tmp_path / "db", user="root") as root,
    ):
        assert (one.path, two.path, root.path) == ("test/user", "test/user", "root")
        one["s"].create()
        two["s"].insert_array([{"t": float(i + 1), "d": i} for i in range(12_000)])
        assert len(root("test/user/s")) == len(list(one["s"])) == 12_000
        one.close()
        assert two["s"][-1]["d"] == 11_999


def test_export_and_import_without_a_server(tmp_path: Path) -> None:
    with ConnectorDB.local(tmp_path / "a", user="me") as db:
        db["s"].create()
        db["s"].insert_array([{"t": float(i + 1), "d": i} for i in range(12_000)])
        db.user.export(tmp_path / "out")
        points = db["s"][:]
    Folder.create(tmp_path / "b")
    with ConnectorDB.local(tmp_path / "b", user="root") as root:
        root.import_users(tmp_path / "out")
        assert root("me/user/s")[:] == points


def test_what_cannot_be_opened_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path, tmp_path / "file"):
        with pytest.raises(FolderError):
            ConnectorDB.local(folder)
    Folder.create(tmp_path / "db", test=True)
    with pytest.raises(FolderError, match="nosuch"):
        ConnectorDB.local(tmp_path / "db", user="nosuch")
    with Folder.open(tmp_path / "db"):  # which the failed attempt did not keep locked
        pass
