"""Export and import: what comes back is what was there, and a failure leaves nothing half done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectordb import AlreadyExists, ConnectorDB, DatapointArray, InvalidValue, NotFound, ServerError, User
from connectordb.client import folders
from connectordb.errors import Closed


@pytest.fixture
def alice(db: ConnectorDB, fresh_name: str) -> Iterator[User]:
    """A user with all kinds of things."""
    user: User = db(fresh_name)
    user.create(f"{fresh_name}@localhost", "pw", nickname="Alice", description="é", icon="material:face")
    phone = user["phone"]
    phone.create(public=True, nickname="P", description="D", icon="material:x", role="reader", visible=False)
    with ConnectorDB(phone.apikey, url=db.url) as own:
        own["steps"].create({"type": "integer"}, datatype="number.steps", nickname="S")
        own["steps"].insert_array({"t": range(1, 25_001), "d": range(25_000)})
        own["any"].create()
        own["any"].insert_array([{"t": 1.5, "d": None}, {"t": 1.5, "d": {"é": [2**70, "\0"]}}, {"t": 2, "d": -0.0}])
        own["lamp"].create({"type": "boolean"}, downlink=True)
        own["lamp"].insert_array([{"t": 5, "d": False}])
        own["changed"].create()
        own["changed"].insert("no number")
        own["changed"].schema = {"type": "number"}
        own["passing"].create(ephemeral=True)
    with ConnectorDB(user.name, "pw", url=db.url) as own:
        own(f"{user.name}/phone/lamp").insert(True)
        own["diary"].create({"type": "string"}, datatype="log.diary")
        own["diary"].insert("Dear diary")
    user["off"].create(enabled=False, streams={"s": {}})
    yield user
    if user.exists():
        user.delete()


def everything(root: ConnectorDB, user: User) -> Any:
    """All that there is of a user, but its log."""
    of = root(user.name)
    of.refresh()
    return of.data, {
        device.name: (
            device.data,
            {
                stream.name: (stream.data, stream[:], stream(downlink=True))
                for stream in sorted(device.streams(), key=lambda s: s.name)
                if stream.name != "log"
            },
        )
        for device in sorted(of.devices(), key=lambda d: d.name)
    }


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_user_comes_back_as_it_was(root: ConnectorDB, alice: User, tmp_path: Path) -> None:
    before = everything(root, alice)
    root(alice.name).export(tmp_path)
    assert files(tmp_path)[:4] == [
        "connectordb.json",
        f"{alice.name}/meta/device.json",
        f"{alice.name}/meta/log/data.json",
        f"{alice.name}/meta/log/stream.json",
    ]
    log = root(f"{alice.name}/meta/log")[:]
    alice.delete()
    root.import_users(tmp_path)
    assert everything(root, alice) == before
    assert root(f"{alice.name}/meta/log")[: len(log)] == log, "the local administrator restores the log too"
    with ConnectorDB(alice.name, alice.name, url=root.url) as own:
        assert own.ping() == f"{alice.name}/user"


def test_administrator_restores_all_but_the_senders(
    root: ConnectorDB, db: ConnectorDB, alice: User, tmp_path: Path
) -> None:
    before = everything(root, alice)
    alice.export(tmp_path)
    alice.delete()
    db.import_users(tmp_path)
    after = everything(root, alice)
    assert after[1]["phone"][1]["lamp"][2][0].pop("o") == "test/user"
    assert before[1]["phone"][1]["lamp"][2][0].pop("o") == f"{alice.name}/user"
    assert after == before


def test_form_is_that_of_0_3(alice: User, tmp_path: Path) -> None:
    alice.export(tmp_path)
    folder = tmp_path / alice.name
    assert json.loads((tmp_path / "connectordb.json").read_text()) == {"Version": 1, "ConnectorDB": "0.4.0"}
    assert json.loads((folder / "user.json").read_text())["email"] == alice.email
    assert json.loads((folder / "phone" / "device.json").read_text())["apikey"]
    assert json.loads((folder / "phone" / "lamp" / "stream.json").read_text())["schema"] == '{"type":"boolean"}'
    assert json.loads((folder / "phone" / "lamp" / "data.json").read_text()) == [{"t": 5.0, "d": False}]
    (request,) = json.loads((folder / "phone" / "lamp" / "downlink.json").read_text())
    assert request["o"] == f"{alice.name}/user"
    assert not (folder / "phone" / "steps" / "downlink.json").exists()
    assert len(DatapointArray().load_export(folder / "phone" / "steps")) == 25_000


def test_device_goes_to_another_user(db: ConnectorDB, alice: User, tmp_path: Path, fresh_name: str) -> None:
    alice["phone"].export(tmp_path / "device")
    alice["phone"].delete()
    bob = db(f"{alice.name}b")
    bob.create(f"{bob.name}@localhost", "pw")
    bob.import_device(tmp_path / "device")
    assert bob["phone"]["steps"][-1] == {"t": 25_000.0, "d": 24_999}
    assert bob["phone"].role == "reader"
    with pytest.raises(AlreadyExists):
        bob.import_device(tmp_path / "device")
    assert len(bob["phone"]["steps"]) == 25_000, "what was there before stays"
    bob.delete()


def test_stream_goes_to_another_device(alice: User, device: ConnectorDB, tmp_path: Path) -> None:
    steps = alice["phone"]["steps"]
    steps.export(tmp_path / "stream")
    device.import_stream(tmp_path / "stream")
    assert device["steps"][:] == steps[:]
    assert device["steps"].schema == {"type": "integer"}
    assert device["steps"].nickname == "S"
    with pytest.raises(AlreadyExists):
        device.import_stream(tmp_path / "stream")
    assert len(device["steps"]) == 25_000


def test_device_user_gets_the_streams_of_the_exported_one(
    db: ConnectorDB, alice: User, tmp_path: Path, fresh_name: str
) -> None:
    alice["user"].export(tmp_path / "device")
    alice.delete()
    bob = db(f"{alice.name}b")
    bob.create(f"{bob.name}@localhost", "pw")
    bob.import_device(tmp_path / "device")
    assert bob["user"]["diary"][0]["d"] == "Dear diary"
    bob.delete()


def test_existing_folder_is_left_alone(alice: User, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("precious")
    for export in (alice["phone"].export, alice["phone"]["steps"].export):
        with pytest.raises(FileExistsError):
            export(tmp_path / "mine")
    alice.export(tmp_path / "all")
    with pytest.raises(FileExistsError):
        alice.export(tmp_path / "all")
    assert files(tmp_path / "mine") == ["file"]


def test_several_users_share_a_folder(db: ConnectorDB, alice: User, tmp_path: Path) -> None:
    bob = db(f"{alice.name}b")
    bob.create(f"{bob.name}@localhost", "pw")
    for user in (alice, bob):
        user.export(str(tmp_path / "x" / "y"))
        user.delete()
    db.import_users(str(tmp_path / "x" / "y"))
    assert alice.exists()
    assert bob.exists()
    bob.delete()


def test_failed_export_leaves_no_folder(alice: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, pages = folders._calls.raw_points, []

    def cut(*arguments: Any, **more: Any) -> Any:
        pages.append(arguments)
        if len(pages) == 3:
            raise Closed("cut")
        return real(*arguments, **more)

    monkeypatch.setattr(folders._calls, "raw_points", cut)
    with pytest.raises(Closed):
        alice["phone"].export(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def spoil_last_point(folder: Path) -> None:
    text = (folder / "data.json").read_text()
    (folder / "data.json").write_text(text[:-1] + ', {"t": 1, "d": 5}]')


def test_failed_import_of_a_user_leaves_nothing(db: ConnectorDB, alice: User, tmp_path: Path) -> None:
    bob = db(f"{alice.name}b")
    alice.export(tmp_path)
    alice.delete()
    (tmp_path / alice.name).rename(tmp_path / "b")
    db(bob.name).create(f"{bob.name}@localhost", "pw")
    bob.export(tmp_path)
    bob.delete()
    (tmp_path / bob.name).rename(tmp_path / "a")
    spoil_last_point(tmp_path / "b" / "phone" / "steps")
    with pytest.raises(Exception, match="older than") as caught:
        db.import_users(tmp_path)
    assert not alice.exists()
    assert bob.exists()
    assert f"Imported completely: {bob.name}." in caught.value.__notes__
    bob.delete()


def test_failed_import_of_a_device_leaves_nothing(alice: User, tmp_path: Path) -> None:
    alice["phone"].export(tmp_path / "device")
    alice["phone"].delete()
    spoil_last_point(tmp_path / "device" / "steps")
    with pytest.raises(Exception, match="older than"):
        alice.import_device(tmp_path / "device")
    assert not alice["phone"].exists()


def test_failed_import_into_the_device_user_removes_only_what_it_made(alice: User, tmp_path: Path) -> None:
    alice["user"].export(tmp_path / "device")
    alice["user"]["diary"].delete()
    alice["user"]["mine"].create()
    (tmp_path / "device" / "zzz").mkdir()
    (tmp_path / "device" / "zzz" / "stream.json").write_text('{"name": "zzz", "schema": "{}"}')
    (tmp_path / "device" / "zzz" / "data.json").write_text('[{"t": 1, "d": 1}, {"t": 0.5}]')
    with pytest.raises(Exception, match="older than"):
        alice.import_device(tmp_path / "device")
    assert [s.name for s in alice["user"].streams()] == ["mine"]


def test_what_could_not_be_removed_is_said(alice: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alice["phone"]["steps"].export(tmp_path / "stream")
    spoil_last_point(tmp_path / "stream")

    def fail(self: Any) -> None:
        raise ServerError("on fire")

    with monkeypatch.context() as patch:
        patch.setattr(folders.Stream, "delete", fail)
        with pytest.raises(Exception, match="older than") as caught:
            alice["user"].import_stream(tmp_path / "stream")
    assert f"'{alice.name}/user/steps' was imported in part and could not be deleted again" in str(
        caught.value.__notes__
    )


def test_lost_reply_to_the_creation_is_said(fake: Any, tmp_path: Path) -> None:
    (tmp_path / "stream.json").write_text('{"name": "s"}')
    (tmp_path / "data.json").write_text("[]")
    device = folders.Device(fake(Closed("cut")).session(), "u/d")
    with pytest.raises(Closed) as caught:
        device.import_stream(tmp_path)
    assert "'u/d/s' may have been created nevertheless" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ({}, FileNotFoundError),
        ({"stream.json": '{"name": "s"}'}, FileNotFoundError),
        ({"stream.json": "nope", "data.json": "[]"}, InvalidValue),
        ({"stream.json": "[]", "data.json": "[]"}, InvalidValue),
        ({"stream.json": "{}", "data.json": "[]"}, InvalidValue),
        ({"stream.json": '{"name": "../x"}', "data.json": "[]"}, Exception),
    ],
)
def test_folder_of_another_kind_is_refused_before_anything_is_sent(
    fake: Any, tmp_path: Path, files: dict[str, str], error: type[Exception]
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(error):
        folders.Device(fake().session(), "u/d").import_stream(tmp_path)


@pytest.mark.parametrize(
    "data", ['[{"t": 1, "d": 1}', "{}", '[{"d": 1}]', "[1]", '[{"t": 1, "d": NaN}]', '[{"t": "x", "d": 1}]']
)
def test_bad_data_is_refused_and_the_stream_is_gone(device: ConnectorDB, tmp_path: Path, data: str) -> None:
    (tmp_path / "stream.json").write_text('{"name": "s", "schema": "{}"}')
    (tmp_path / "data.json").write_text(data)
    with pytest.raises(InvalidValue):
        device.import_stream(tmp_path)
    assert not device["s"].exists()


@pytest.mark.parametrize("text", ["", "{}", '{"Version": 2}', "[]"])
def test_other_version_of_the_folder_is_refused(db: ConnectorDB, alice: User, tmp_path: Path, text: str) -> None:
    (tmp_path / "connectordb.json").write_text(text)
    with pytest.raises(InvalidValue):
        db.import_users(tmp_path)
    with pytest.raises(InvalidValue):
        alice.export(tmp_path)
    assert files(tmp_path) == ["connectordb.json"]


def test_missing_things_are_told(db: ConnectorDB, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        db.import_users(tmp_path / "nowhere")
    with pytest.raises(NotFound):
        db("nosuchuser").export(tmp_path / "out")
    with pytest.raises(NotFound):
        db("test/nosuch").export(tmp_path / "out2")
    assert not (tmp_path / "out2").exists()


def test_only_its_owner_may_read_what_is_exported(alice: User, tmp_path: Path) -> None:
    alice.export(tmp_path / "all")
    alice["phone"].export(tmp_path / "device")
    alice["phone"]["lamp"].export(tmp_path / "stream")
    for folder in ("all", "device", "stream"):
        for path in (tmp_path / folder, *(tmp_path / folder).rglob("*")):
            assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_two_of_one_name_are_refused_before_anything_comes_in(
    db: ConnectorDB, root: ConnectorDB, alice: User, tmp_path: Path
) -> None:
    alice.export(tmp_path / "all")
    alice.delete()
    (tmp_path / "all" / alice.name / "phone" / "zzz").mkdir()
    for file in ("stream.json", "data.json"):
        text = (tmp_path / "all" / alice.name / "phone" / "any" / file).read_bytes()
        (tmp_path / "all" / alice.name / "phone" / "zzz" / file).write_bytes(text)
    with pytest.raises(InvalidValue, match="both have the name 'any'"):
        db.import_users(tmp_path / "all")
    assert not alice.exists()


def test_existing_user_is_refused_by_the_client_though_it_is_untouched(
    root: ConnectorDB, alice: User, tmp_path: Path
) -> None:
    root(alice.name).export(tmp_path)
    alice.delete()
    root(alice.name).create("new@localhost", "new")
    with pytest.raises(AlreadyExists):
        root.import_users(tmp_path)
    assert root(alice.name).email == "new@localhost"
