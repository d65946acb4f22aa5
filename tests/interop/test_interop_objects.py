"""The published 0.3 client against our server: connecting, users, devices and streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from connectordb import __version__

OldScript = Callable[..., Any]

REFUSED = "AuthenticationError 403"
MISSING = "AuthenticationError 404"


def test_old_client_connects_by_password_and_by_api_key(old: OldScript) -> None:
    found = old("connecting")

    assert found["versions"] == ["0.3.5", "0.48.0"]
    assert found["default_url"] == "http://localhost:3124"
    assert found["password"] == ["dora/user", "dora/user", "user"]
    assert found["apikey"] == ["dora/user", "dora/user"]
    assert found["device"] == ["dora/phone", "dora/phone", "phone", "dora"]
    assert found["slash"] == "test/user"
    assert found["nobody"] == "nobody"
    info = found["info"]
    assert info["version"] == __version__
    assert info["transforms"].keys() >= {"if", "sum"} and info["interpolators"].keys() >= {"closest", "mean"}
    for attempt in ("wrong_password", "wrong_user", "wrong_apikey"):
        name, text = found[attempt]
        assert (name, text[:5]) == ("AuthenticationError", "401: ")


def test_old_client_handles_users(old: OldScript) -> None:
    found = old("users")

    assert found["before"] is False
    assert found["missing"] == MISSING
    created = {
        "name": "anna",
        "nickname": "Änne ☃",
        "email": "anna@example.org",
        "description": "says <hello> & 'bye'",
        "icon": "material:face",
        "role": "user",
        "public": False,
    }
    assert found["created"] == created
    order = ("name", "nickname", "description", "icon", "email", "public", "role")
    assert found["properties"] == ["anna", *(created[key] for key in order)]
    assert found["exists"] is True
    assert found["again"] == found["same_email"] == REFUSED
    assert found["devices"] == ["anna/meta", "anna/user"]
    assert found["listed"] == ["anna"]
    assert found["counted"] == [1, 2, 1]

    changed = {
        "name": "anna",
        "nickname": "A.",
        "email": "anna@example.com",
        "description": "all\nat once",
        "icon": "fa:user",
        "role": "admin",
        "public": True,
    }
    assert found["kept"] == found["changed"] == found["unchanged"] == changed
    assert set(found["refused"].values()) == {REFUSED}
    assert found["deleted"] == [False, "AuthenticationError 401"]


def test_old_client_creates_users_with_devices_and_streams_at_once(old: OldScript) -> None:
    found = old("nesting")

    log = found["nested"].pop("carl/meta")
    assert [stream[0] for stream in log] == ["carl/meta/log"]
    assert found["nested"] == {
        "carl/user": [["carl/user/mood", '{"type":"number"}', "rating.stars", False]],
        "carl/phone": [
            ["carl/phone/place", "{}", "", False],
            ["carl/phone/steps", '{"type":"integer"}', "", False],
        ],
        "carl/lamp": [["carl/lamp/on", "{}", "", True]],
    }
    assert found["fields"] == ["Carl's", "none", True, "reader"]
    assert found["bad_part"] == REFUSED
    assert found["bad_part_there"] is False
    assert sorted(found["log"]) == [
        ["CreateDevice", "carl/lamp"],
        ["CreateDevice", "carl/phone"],
        ["CreateStream", "carl/lamp/on"],
        ["CreateStream", "carl/phone/place"],
        ["CreateStream", "carl/phone/steps"],
        ["CreateStream", "carl/user/mood"],
        ["CreateUser", "carl"],
    ]
    assert found["counted"] == [1, 4, 5]
    assert found["deleted"] == [False, False, False]
    assert found["delete_again"] == REFUSED
    assert found["counted_after"] == [0, 0, 0]


def test_old_client_handles_devices(old: OldScript) -> None:
    found = old("devices")

    assert found["path"] == "dave/phone"
    assert found["before"] is False
    assert found["apikey"] == [36, True]
    created = {
        "name": "phone",
        "nickname": "Phone",
        "description": "in the pocket",
        "icon": "fa:phone",
        "enabled": False,
        "visible": False,
        "user_editable": True,
        "public": True,
        "role": "writer",
    }
    assert found["created"] == created
    order = ("name", "nickname", "description", "icon", "public", "role", "enabled")
    assert found["properties"] == [*(created[key] for key in order), "dave"]
    assert found["exists"] is True
    assert found["again"] == REFUSED
    assert found["reserved"] == [REFUSED, REFUSED]
    assert found["defaults"] == _device("plain")
    assert found["own_apikey"] == ["an-api-key-of-my-own", "dave/mine"]
    assert found["devices"] == ["dave/meta", "dave/mine", "dave/phone", "dave/plain", "dave/user"]
    assert found["streams"] == ["dave/phone/calls", "dave/phone/steps"]
    assert found["no_streams"] == []
    assert found["changed"] == _device(
        "phone", nickname="Handy", description="on the desk", icon="material:phone", role="none"
    )
    assert set(found["refused"].values()) == {REFUSED}
    assert found["own_device"] == {"path": "dave/user", "streams": [], "stream": "dave/user/diary"}
    assert found["deleted"] == [False, False, REFUSED]
    assert found["log"] == [
        ["CreateUser", "dave", "test/user"],
        ["CreateDevice", "dave/phone", "dave/user"],
        ["CreateStream", "dave/phone/steps", "dave/user"],
        ["CreateStream", "dave/phone/calls", "dave/user"],
        ["CreateDevice", "dave/plain", "dave/user"],
        ["CreateDevice", "dave/mine", "dave/user"],
        *[["UpdateDevice", "dave/phone", "dave/user"]] * 7,
        ["DeleteDevice", "dave/phone", "dave/user"],
    ]


def test_old_client_handles_streams(old: OldScript) -> None:
    found = old("streams")

    assert found["before"] is False
    assert found["created"] == _stream("any")
    number = _stream(
        "number",
        nickname="Number",
        description="a number",
        icon="material:star",
        schema='{"type":"number","minimum":0}',
        datatype="rating.stars",
        downlink=True,
    )
    assert found["number"] == number
    assert found["properties"] == [
        "emil/user/number",
        *(number[key] for key in ("name", "nickname", "description", "icon")),
        {"type": "number", "minimum": 0},
        *(number[key] for key in ("schema", "datatype", "ephemeral", "downlink")),
        "emil",
        "emil/user",
    ]
    assert found["schema_text"] == ['{"type":"string"}', {"type": "string"}]
    assert found["exists"] is True
    assert found["again"] == REFUSED
    assert found["bad_schema"] == ["SchemaError", False]
    changed = {"nickname": "N", "description": "none", "datatype": "number.plain"}
    assert found["changed"] == _stream("number", schema='{"type":"integer"}', ephemeral=True, **changed)
    assert found["set"] == _stream("number", schema='{"type":"boolean"}', **changed)
    assert set(found["refused"].values()) == {REFUSED}
    assert found["after_schema"] == [REFUSED, None, ["a text", 5]]
    assert found["ephemeral"] == [0, []]
    assert found["listed"] == [f"emil/user/{name}" for name in ("any", "ephemeral", "number", "text")]
    assert found["deleted"] == [False, REFUSED, REFUSED]
    assert found["recreated"] == ["{}", 0]


def test_old_client_chooses_among_the_streams_of_a_user(old: OldScript) -> None:
    found = old("stream_lists")

    # The names say d<public><visible>; the keys <public><downlink><visible>, as they were asked for.
    both, down = ("down", "plain"), ("down",)
    assert found["default"] == _listed(["d01", "d11"], both)
    assert found["chosen"] == {
        "000": [*_listed(["d00", "d01", "d10", "d11"], both), "meta/log"],
        "001": _listed(["d01", "d11"], both),
        "010": _listed(["d00", "d01", "d10", "d11"], down),
        "011": _listed(["d01", "d11"], down),
        "100": _listed(["d10", "d11"], both),
        "101": _listed(["d11"], both),
        "110": _listed(["d10", "d11"], down),
        "111": _listed(["d11"], down),
    }


def _listed(devices: list[str], streams: tuple[str, ...]) -> list[str]:
    return [f"{device}/{stream}" for device in devices for stream in streams]


def _device(name: str, **fields: Any) -> dict[str, Any]:
    """A device with its defaults, without its api key."""
    defaults = {
        "nickname": "",
        "description": "",
        "icon": "",
        "enabled": True,
        "visible": True,
        "user_editable": True,
        "public": False,
        "role": "none",
    }
    return {"name": name, **defaults, **fields}


def _stream(name: str, **fields: Any) -> dict[str, Any]:
    """A stream with its defaults."""
    defaults = {
        "nickname": "",
        "description": "",
        "icon": "",
        "schema": "{}",
        "datatype": "",
        "ephemeral": False,
        "downlink": False,
    }
    return {"name": name, **defaults, **fields}
