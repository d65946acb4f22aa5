"""Writes ``COMMIT.sql``: the database that the code of an earlier commit makes, as SQL.

git worktree add /tmp/old COMMIT
PYTHONPATH=/tmp/old/src python tests/store/data/make.py COMMIT
git worktree remove /tmp/old
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

import apsw
import apsw.shell

from connectordb.client import ConnectorDB
from connectordb.core.folder import Folder


def main(commit: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "db"
        Folder.create(folder, test=True)
        with ConnectorDB.local(folder, "root") as db:
            device = db("test/sensor")
            device.create()
            temperature = device["temperature"]
            temperature.create({"type": "number"})
            temperature.insert_array([{"t": 1e9 + i, "d": 20 + i / 8} for i in range(700)])
            temperature.insert_array([{"t": 1e9 + 100.5 + i, "d": -1} for i in range(3)], merge=True)
            temperature.insert_array([{"t": 1e9, "d": 5}], restamp=True)
            notes = device["notes"]
            notes.create({})
            notes.insert_array([{"t": 1e9, "d": {"text": "h\u00e9llo\x00", "n": 2**70}}, {"t": 1e9 + 1, "d": None}])
            gone = device["gone"]
            gone.create({"type": "boolean"})
            gone.insert(True)
            gone.delete()
            lamp = db("test/lamp")
            lamp.create()
            on = lamp["on"]
            on.create({"type": "boolean"}, downlink=True)
            on.insert(True)
        connection = apsw.Connection(str(folder / "connectordb.db"))
        text = io.StringIO()
        shell = apsw.shell.Shell(stdout=text, db=connection)
        shell.process_command(".dump")
        lines = [line for line in text.getvalue().splitlines() if not line.startswith("-- ")]
        for name in ("application_id", "user_version"):
            lines.append(f"PRAGMA {name} = {connection.pragma(name)};")
    (Path(__file__).parent / f"{commit}.sql").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
