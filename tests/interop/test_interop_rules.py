"""The published 0.3 client against our server: permissions, credentials, and how refusals look."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

OldScript = Callable[..., Any]

REFUSED = "AuthenticationError 403"
MISSING = "AuthenticationError 404"
UNAUTHENTICATED = "AuthenticationError 401"

ALL_OF_JANE = ["jane", "jane/target", "jane/target/data", "jane/shown", "jane/shown/data"]
NOTHING_ELSE: dict[str, Any] = {
    "insert": REFUSED,
    "downlink": REFUSED,
    "set": REFUSED,
    "set_stream": REFUSED,
    "create_stream": REFUSED,
    "create_device": REFUSED,
    "create_user": REFUSED,
    "delete_user": REFUSED,
    "users": MISSING,
    "count": REFUSED,
}
READS: dict[str, Any] = {"sees": ALL_OF_JANE, "devices": None, "streams": None, "read": None, "read_public": None}

EXPECTED: dict[str, dict[str, Any]] = {
    "none": {
        "ping": "jane/dnone",
        "sees": [],
        "devices": MISSING,
        "streams": MISSING,
        "apikey": MISSING,
        "read": REFUSED,
        "read_public": REFUSED,
        **NOTHING_ELSE,
    },
    "reader": {"ping": "jane/dreader", **READS, "apikey": "KeyError", **NOTHING_ELSE},
    "writer": {
        "ping": "jane/dwriter",
        **READS,
        "apikey": "KeyError",
        **NOTHING_ELSE,
        "downlink": None,
        "set": None,
        "set_stream": None,
    },
    "stranger": {
        "ping": "kurt/user",
        "sees": ["jane", "jane/shown", "jane/shown/data"],
        "devices": None,
        "streams": MISSING,
        "apikey": MISSING,
        "read": REFUSED,
        "read_public": None,
        **NOTHING_ELSE,
    },
}
"""What a device of this role, or somebody else, may do with the things of the user jane."""
for _owner, _path in (("user", "jane/duser"), ("owner", "jane/user")):
    EXPECTED[_owner] = {
        "ping": _path,
        **READS,
        "apikey": None,
        **NOTHING_ELSE,
        "downlink": None,
        "set": None,
        "set_stream": None,
        "create_stream": None,
        "create_device": None,
    }


def test_old_client_meets_the_permissions_of_its_role(old: OldScript) -> None:
    found = old("permissions")

    for role, expected in EXPECTED.items():
        assert found[role] == expected, role
    assert found["own"] == [1, "F", ["fresh", "own"]]
    assert found["own_role"] == ["me", REFUSED]
    assert found["demoted"] == REFUSED
    hidden, missing = found["forbidden"]
    assert hidden.replace("hidden", "nosuch") == missing


def test_old_client_changes_credentials(old: OldScript) -> None:
    found = old("credentials")

    assert found["reset_own"] == [True, "jack/device", UNAUTHENTICATED, "jack/device"]
    assert found["reset_by_owner"] == [UNAUTHENTICATED, "jack/device"]
    assert found["reset_connected"] == [UNAUTHENTICATED, "jack/user", "jack/user"]
    assert found["password"] == [UNAUTHENTICATED, "jack/user"]
    assert found["password_by_admin"] == [UNAUTHENTICATED, "jack/user"]


def test_old_client_tells_status_message_and_ref_of_a_refusal(old: OldScript) -> None:
    found = old("failures")

    for status in ("400", "401", "403", "404", "413"):
        for case, (name, text) in found[status].items():
            assert name == "AuthenticationError", (status, case)
            assert _is_told(status, text), (status, case, text)
    name, text = found["script"]
    assert name == "AuthenticationError"
    assert _is_told("400", text)
    assert found["length"] == 1


def _is_told(status: str, text: str) -> bool:
    ref = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    return re.fullmatch(rf"{status}: .{{10,}} \({ref}\)", text, re.DOTALL) is not None
