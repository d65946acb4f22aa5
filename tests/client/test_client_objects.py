"""Users, devices and streams against a real server."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import jsonschema
import pytest

import connectordb
from connectordb import (
    AlreadyExists,
    AuthenticationError,
    Closed,
    ConnectFailed,
    ConnectorDB,
    Device,
    Invalid,
    InvalidValue,
    NotFound,
    PermissionDenied,
    SchemaMismatch,
    ServerError,
    Stream,
    Unauthenticated,
    User,
)


def test_login_by_password_mail_and_key(server: Any, db: ConnectorDB) -> None:
    assert db.path == db.ping() == "test/user"
    for arguments in (("test@localhost", "test"), (db.apikey,), (None, db.apikey)):
        with ConnectorDB(*arguments, url=server.url) as other:
            assert other.path == "test/user"
    with ConnectorDB(url=server.url) as nobody:
        assert nobody.path == "nobody"
        with pytest.raises(Invalid, match="'nobody' is no device"):
            nobody["stream"]
        with pytest.raises(Invalid, match="'nobody' is no device"):
            nobody.streams()


@pytest.mark.parametrize("arguments", [("test", "wrong"), ("nosuch", "test"), ("no key",)])
def test_bad_credentials_are_told_at_once(server: Any, arguments: tuple[str, ...]) -> None:
    with pytest.raises(Unauthenticated) as caught:
        ConnectorDB(*arguments, url=server.url)
    assert caught.value.status == 401
    assert caught.value.ref
    assert isinstance(caught.value, AuthenticationError)


def test_no_server_is_told_soon() -> None:
    with pytest.raises(ConnectFailed) as caught:
        ConnectorDB("key", url="http://127.0.0.1:1", retries=1)
    assert isinstance(caught.value, ConnectionError)


def test_something_else_at_the_address_is_told(answering: Any) -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>"
    with answering(page) as url, pytest.raises(ServerError, match="no ConnectorDB server"):
        ConnectorDB("key", url=url)


def test_closed_connection_refuses_every_use(server: Any) -> None:
    with ConnectorDB("test", "test", url=server.url) as db:
        stream = db["s"]
    for use in (db.ping, stream.exists, db.users, lambda: len(stream)):
        with pytest.raises(Closed):
            use()
    db.close()


@pytest.mark.parametrize(
    ("path", "kind", "shown"),
    [
        ("a", User, "[User:a]"),
        ("a/b", Device, "[Device:a/b]"),
        ("a/b/c", Stream, "[Stream:a/b/c]"),
        ("a/", User, "[User:a]"),
    ],
)
def test_paths_lead_to_objects(db: ConnectorDB, path: str, kind: type, shown: str) -> None:
    assert type(db(path)) is kind
    assert repr(db(path)) == shown


@pytest.mark.parametrize("path", ["", "a b", "a/b/c/d", "../x", "a//b", "é"])
def test_bad_paths_are_refused(db: ConnectorDB, path: str) -> None:
    with pytest.raises(Invalid):
        db(path)


def test_names_lead_down_and_up(db: ConnectorDB) -> None:
    stream = db("test")["user"]["s"]
    assert stream.path == db["s"].path == "test/user/s"
    assert (stream.name, stream.device.path, stream.user.path) == ("s", "test/user", "test")
    assert db.user.path == stream.device.user.path == "test"
    assert repr(db) == "[ConnectorDB:test/user]"
    for bad in ("a/b", "", "é", "x" * 30):
        with pytest.raises(Invalid):
            db[bad]
        with pytest.raises(Invalid):
            db("test")[bad]


def test_user_lives(db: ConnectorDB, server: Any, fresh_name: str) -> None:
    user: User = db(fresh_name)
    assert not user.exists()
    with pytest.raises(NotFound):
        user.data["name"]
    with pytest.raises(NotFound):
        user.delete()
    user.create(f"{fresh_name}@localhost", "pw", nickname="Nick", streams={"s": {"schema": '{"type":"string"}'}})
    with pytest.raises(AlreadyExists):
        user.create(f"{fresh_name}@localhost", "pw")
    assert user.exists()
    assert fresh_name in [u.name for u in db.users()]
    assert (user.name, user.email, user.role, user.public, user.nickname, user.description, user.icon) == (
        fresh_name,
        f"{fresh_name}@localhost",
        "user",
        True,
        "Nick",
        "",
        "",
    )
    user.email, user.role, user.nickname, user.description, user.icon = "e@x.y", "admin", "N", "D", "material:x"
    user.public = False
    again = db(fresh_name)
    again.refresh()
    assert again.data == user.data
    assert (again.email, again.role, again.public, again.icon) == ("e@x.y", "admin", False, "material:x")
    assert sorted(d.name for d in user.devices()) == ["meta", "user"]
    assert [s.path for s in user.streams()] == [f"{fresh_name}/user/s"]
    assert sorted(s.name for s in user.streams(visible=False)) == ["log", "s"]
    assert user.streams(downlink=True) == user.streams(public=True) == []

    with ConnectorDB(fresh_name, "pw", url=server.url) as own:
        own.user.set_password("pw2")
        assert own.ping() == f"{fresh_name}/user"
    with pytest.raises(Unauthenticated):
        ConnectorDB(fresh_name, "pw", url=server.url)
    with ConnectorDB("e@x.y", "pw2", url=server.url) as own:
        own.user.email = "f@x.y"
        assert own.ping() == f"{fresh_name}/user"
        own.user.set({"email": "g@x.y", "password": "pw3"})
        assert own.ping() == f"{fresh_name}/user"
    user.delete()
    assert not user.exists()


def test_device_lives(db: ConnectorDB, server: Any, fresh_name: str) -> None:
    device: Device = db(f"test/{fresh_name}")
    device.create(nickname="x", streams={"s": {}})
    assert [s.name for s in device.streams()] == ["s"]
    assert (device.public, device.role, device.enabled, device.visible) == (False, "none", True, True)
    device.role, device.visible = "reader", False
    assert (device.role, device.visible) == ("reader", False)
    with pytest.raises(InvalidValue, match="private"):
        device.public = True  # the user of `create --test` is private
    device.user.public = True
    try:
        device.public = True
        assert device.public is True
        device.public = False
    finally:
        device.user.public = False
    device.set({"description": "d", "icon": "material:y"})
    assert (device.description, device.icon) == ("d", "material:y")
    with pytest.raises(InvalidValue, match="bogus"):
        device.set({"bogus": 1, "description": "not this"})
    assert device.description == "d"

    with ConnectorDB(device.apikey, url=server.url) as own:
        old = own.apikey
        new = own.reset_apikey()
        assert new != old
        assert own.ping() == device.path
        with pytest.raises(Unauthenticated):
            ConnectorDB(old, url=server.url)
        assert device.reset_apikey() not in (old, new)
        with pytest.raises(Unauthenticated):
            own.ping()
    device.enabled = False
    with pytest.raises(Unauthenticated):
        ConnectorDB(device.apikey, url=server.url)
    device.delete()
    assert not device.exists()


def test_stream_lives(device: ConnectorDB) -> None:
    stream = device["s"]
    stream.create({"type": "number", "minimum": 0}, nickname="n", datatype="rating.stars", downlink=True)
    assert stream.schema == {"type": "number", "minimum": 0}
    assert json.loads(stream.sschema) == stream.schema
    assert (stream.nickname, stream.datatype, stream.downlink, stream.ephemeral) == ("n", "rating.stars", True, False)
    stream.insert(1)
    with pytest.raises(SchemaMismatch):
        stream.insert(-1)
    stream.schema = {"type": "string"}
    stream.datatype, stream.downlink, stream.ephemeral = "x", False, True
    assert (stream.schema, stream.datatype, stream.downlink, stream.ephemeral) == ({"type": "string"}, "x", False, True)
    stream.schema = '{"type": "integer"}'
    assert stream.sschema == '{"type":"integer"}'
    with pytest.raises(AlreadyExists):
        stream.create()
    stream.delete()
    with pytest.raises(NotFound):
        stream.delete()


@pytest.mark.parametrize(
    ("schema", "error"),
    [
        ({"type": "strin"}, jsonschema.SchemaError),
        ('{"type": "strin"}', jsonschema.SchemaError),
        ('{"type": }', json.JSONDecodeError),
        ("[]", jsonschema.SchemaError),
        ([], jsonschema.SchemaError),
        ([["type", "string"]], jsonschema.SchemaError),
        (None, jsonschema.SchemaError),
        ("null", jsonschema.SchemaError),
        ({"minimum": "x"}, jsonschema.SchemaError),
        ({"required": []}, jsonschema.SchemaError),
    ],
)
def test_bad_schema_is_refused_before_anything_is_sent(fake: Any, schema: Any, error: type[Exception]) -> None:
    stream = Stream(fake().session(), "u/d/s")
    with pytest.raises(error):
        stream.create(schema)
    with pytest.raises(error):
        stream.schema = schema


@pytest.mark.parametrize("schema", ["{}", {}, {"type": "string"}, {"type": ["null", "number"]}, ' {"enum": [1]} '])
def test_good_schema_is_sent_as_text(fake: Any, schema: Any) -> None:
    transport = fake((200, b'{"schema":"{}"}'))
    Stream(transport.session(), "u/d/s").create(schema)
    sent = json.loads(transport.sent[0][3])["schema"]
    assert json.loads(sent) == (json.loads(schema) if isinstance(schema, str) else schema)


def test_server_is_described(db: ConnectorDB) -> None:
    info = db.info()
    assert info["version"] == connectordb.__version__
    assert isinstance(info["transforms"], dict)
    assert isinstance(info["interpolators"], dict)
    assert db.url.startswith("http://127.0.0.1:")


def test_things_are_counted(db: ConnectorDB, device: ConnectorDB) -> None:
    before = db.count_users(), db.count_devices(), db.count_streams()
    device["one"].create()
    device["two"].create()
    assert (db.count_users(), db.count_devices(), db.count_streams()) == (before[0], before[1], before[2] + 2)
    with pytest.raises(PermissionDenied):
        device.count_users()


def test_other_devices_may_not_be_seen(db: ConnectorDB, device: ConnectorDB, fresh_name: str) -> None:
    other = db(f"test/{fresh_name}")
    other.create()
    assert not device(other.path).exists()
    with pytest.raises(NotFound) as caught:
        device(f"test/{fresh_name}x").create()
    assert caught.value.status == 403
    with pytest.raises(NotFound):
        device(other.path).set({"nickname": "x"})
    with pytest.raises(NotFound, match="email"):
        _ = User(device._session, "test", {"name": "test"}).email
    other.delete()


def test_streams_are_kept_for_ever_or_for_some_time(device: ConnectorDB) -> None:
    stream = device["kept"]
    stream.create({})
    assert stream.keep == 0.0
    for keep, seconds in ((90, 90.0), (timedelta(days=1, seconds=0.5), 86400.5), (0, 0.0)):
        stream.keep = keep
        assert (stream.keep, device["kept"].keep) == (seconds, seconds)
    stream.set({"keep": timedelta(hours=1), "nickname": "An hour"})
    assert (stream.keep, stream.nickname) == (3600.0, "An hour")
    other = device["other"]
    other.create({}, keep=timedelta(minutes=1))
    assert other.keep == 60.0
    for keep in (30, timedelta(days=-1)):  # 30 days?
        with pytest.raises(InvalidValue, match="for ever"):
            other.keep = keep


@pytest.mark.parametrize("keep", ["30", True, None])
def test_keep_that_is_no_number_is_an_error_of_the_server(fake: Any, keep: Any) -> None:
    with pytest.raises(ServerError, match="keep"):
        _ = Stream(fake().session(), "u/d/s", {"name": "s", "keep": keep}).keep


@pytest.mark.parametrize(("field", "value"), [("nickname", 5), ("public", "yes")])
def test_field_of_the_wrong_type_is_an_error_of_the_server(fake: Any, field: str, value: Any) -> None:
    user = User(fake().session(), "u", {"name": "u", field: value})
    with pytest.raises(ServerError, match=field):
        getattr(user, field)


def test_garbage_and_failures_are_not_absence(fake: Any) -> None:
    for answer in ((200, b"<html>"), (502, b"<html>"), (403, b"{}")):
        user = User(fake(answer).session(retries=0), "u")
        with pytest.raises(connectordb.ConnectorDBError):
            user.exists()


def test_what_cannot_be_sent_is_refused_without_showing_it(fake: Any) -> None:
    stream = Stream(fake().session(), "u/d/s")
    for wrong in ("secret\ud800", object()):
        with pytest.raises(InvalidValue) as caught:
            stream.set({"nickname": wrong})
        assert "secret" not in str(caught.value)
    with pytest.raises(InvalidValue, match="transform"):
        stream(t1=1, transform="\ud800")
