"""Exports of the published 0.3 client and of ours, each read by the other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connectordb import ConnectorDB, DatapointArray

OldScript = Callable[..., Any]

STEPS = [{"t": i / 4 + 1, "d": i} for i in range(4000)]
MOOD = [{"t": 1500000000.25, "d": 7.5}, {"t": 1500000001, "d": -1}]
TEXT = [{"t": 1, "d": ""}, {"t": 2, "d": 'Grüße ☃ 😀 "q" \n'}]
LAMP = [{"t": 5.5, "d": True}]
REQUESTS = [{"t": 5, "d": True}, {"t": 6, "d": False}]
LONG = [{"t": i + 0.5, "d": i} for i in range(12_001)]


def _snapshot(database: ConnectorDB, name: str, sender: str) -> dict[str, Any]:
    """All that the user *name* has, but for the log; who sent the requests to the lamp is checked and left out."""
    user = database(name)
    found: dict[str, Any] = {name: dict(user.data)}
    for device in user.devices():
        found[device.path] = dict(device.data)
        for stream in device.streams():
            if stream.path != f"{name}/meta/log":
                requests = [dict(point) for point in stream(i1=0, downlink=True)]
                assert {point.pop("o") for point in requests} <= {sender}
                found[stream.path] = [dict(stream.data), list(stream[:]), requests]
    return found


def _import_by_old_client(folder: Path, server: Any, old: OldScript) -> str:
    assert old("importing", user=str(folder)) == {"user_again": "ValueError"}
    return "test/user"


def _import_by_our_client(folder: Path, server: Any, old: OldScript) -> str:
    with ConnectorDB("test", "test", url=server.url) as db:
        db.import_users(folder)
    return "test/user"


def _import_by_command(folder: Path, server: Any, old: OldScript) -> str:
    server.command("import", server.folder, folder)
    return ""


@pytest.mark.parametrize(
    ("name", "importer"),
    [("mona", _import_by_old_client), ("maja", _import_by_our_client), ("mats", _import_by_command)],
)
def test_user_exported_by_the_old_client_is_imported(
    name: str, importer: Callable[..., str], old: OldScript, server: Any, database: ConnectorDB, tmp_path: Path
) -> None:
    found = old("exporting", user=name)

    assert found == {"again": "FileExistsError", "loaded": len(LONG), "files": sorted(_files(name))}
    before = _snapshot(database, name, f"{name}/user")
    assert before[f"{name}/phone/steps"][1] == STEPS
    assert before[f"{name}/phone/lamp"][1:] == [LAMP, REQUESTS]
    database(name).delete()
    sender = importer(tmp_path / "user", server, old)

    assert _snapshot(database, name, sender or f"{name}/user") == before
    # Nobody knows the password, so it is the name.
    with ConnectorDB(name, name, url=server.url) as restored:
        assert restored.path == f"{name}/user"


def _export_by_our_client(name: str, folder: Path, server: Any) -> None:
    with ConnectorDB(name, "pw", url=server.url) as db:
        db.user.export(folder)


def _export_by_command(name: str, folder: Path, server: Any) -> None:
    everybody = folder.with_name("everybody")
    server.command("export", server.folder, everybody)
    folder.mkdir()
    shutil.copy(everybody / "connectordb.json", folder)
    (everybody / name).rename(folder / name)


@pytest.mark.parametrize(("name", "exporter"), [("mira", _export_by_our_client), ("milo", _export_by_command)])
def test_user_exported_by_us_is_imported_by_the_old_client(
    name: str, exporter: Callable[..., None], old: OldScript, server: Any, database: ConnectorDB, tmp_path: Path
) -> None:
    old("exporting", user=name)
    before = _snapshot(database, name, f"{name}/user")
    exporter(name, tmp_path / "ours", server)

    assert json.loads((tmp_path / "ours" / "connectordb.json").read_text())["Version"] == 1
    assert _all_files(tmp_path / "ours") == _all_files(tmp_path / "user")
    database(name).delete()
    _import_by_old_client(tmp_path / "ours", server, old)

    assert _snapshot(database, name, "test/user") == before


def test_device_and_stream_exported_by_the_old_client_are_imported_by_us(
    old: OldScript, server: Any, database: ConnectorDB, tmp_path: Path
) -> None:
    old("exporting", user="moritz")
    database("moritz").delete()
    database("heir").create("heir@example.org", "pw")
    with ConnectorDB("heir", "pw", url=server.url) as db:
        db.user.import_device(tmp_path / "device")
        db.import_stream(tmp_path / "stream")

        assert db("heir/phone").nickname == "Phone"
        assert db("heir/phone/steps")[:] == STEPS
        assert db("heir/phone/text")[:] == TEXT
        assert db("heir/phone/lamp")[:] == LAMP
        assert db("heir/phone/lamp")(i1=0, downlink=True) == [point | {"o": "heir/user"} for point in REQUESTS]
        assert db("heir/user/long")[:] == LONG
        assert db("heir/user/long").schema == {"type": "integer"}
    assert DatapointArray().loadExport(tmp_path / "device" / "text") == TEXT


@pytest.mark.parametrize(("name", "heir", "ours"), [("mathilda", "heiress", True), ("max", "heinz", False)])
def test_device_and_stream_are_imported_by_the_old_client(
    name: str, heir: str, ours: bool, old: OldScript, server: Any, database: ConnectorDB, tmp_path: Path
) -> None:
    old("exporting", user=name)
    device, stream = tmp_path / "device", tmp_path / "mood"
    if ours:
        device, stream = tmp_path / "our-device", tmp_path / "our-mood"
        with ConnectorDB(name, "pw", url=server.url) as db:
            db(f"{name}/phone").export(device)
            db["mood"].export(stream)
    database(name).delete()
    database(heir).create(f"{heir}@example.org", "pw")
    found = old(
        "importing",
        login=[heir, "pw"],
        device=str(device),
        stream=str(stream),
        load=str(device / "steps"),
    )

    assert found == {"device_again": "ValueError", "stream_again": "ValueError", "loaded": STEPS}
    assert database(f"{heir}/phone").role == "reader"
    assert database(f"{heir}/phone/steps")[:] == STEPS
    assert database(f"{heir}/phone/steps").description == "counted"
    assert database(f"{heir}/phone/text")[:] == TEXT
    assert database(f"{heir}/phone/lamp")[:] == LAMP
    sent = database(f"{heir}/phone/lamp")(i1=0, downlink=True)
    assert sent == [point | {"o": f"{heir}/user"} for point in REQUESTS]
    assert database(f"{heir}/user/mood")[:] == MOOD
    assert database(f"{heir}/user/mood").datatype == "rating.stars"


def _files(name: str) -> list[str]:
    """What the old client's exports are made of."""
    phone = ["device.json", *_stream_files("empty", "lamp", "steps", "text"), "lamp/downlink.json"]
    return [
        "user/connectordb.json",
        f"user/{name}/user.json",
        *(f"user/{name}/user/{file}" for file in ("device.json", *_stream_files("mood"))),
        *(f"user/{name}/meta/{file}" for file in ("device.json", *_stream_files("log"))),
        *(f"user/{name}/phone/{file}" for file in phone),
        *(f"device/{file}" for file in phone),
        *(f"{folder}/{file}" for folder in ("mood", "stream") for file in ("stream.json", "data.json")),
    ]


def _stream_files(*streams: str) -> list[str]:
    return [f"{stream}/{file}" for stream in streams for file in ("stream.json", "data.json")]


def _all_files(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
