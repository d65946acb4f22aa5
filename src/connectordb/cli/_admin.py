"""Our own client, as the local administrator of a database folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..client import ConnectorDB
from ..core import ROOT
from ..core.folder import Folder

__all__ = ["administrator"]


@contextmanager
def administrator(path: Path, **options: Any) -> Iterator[ConnectorDB]:
    """Give a client that may do everything, whether the folder's server runs or not.

    Args:
        path: The database folder.
        **options: Of `ConnectorDB`, if the server runs.

    Raises:
        FolderError: no database folder, its key may not be read, or a process that is no server has it open.
    """
    server = Folder.state(path).server
    if server is None:
        db = ConnectorDB.local(Folder.check(path), ROOT.path)
    else:
        db = ConnectorDB(Folder.read_admin_key(path), url=server.url, **options)
    with db:
        yield db
