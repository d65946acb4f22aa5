"""The answers of a real ConnectorDB 0.3 server to 441 requests, in order, against ours."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from connectordb import __version__

PROBE = Path(__file__).parent / "data" / "rest_probe.jsonl"
NOW = 1_700_000_000
"""Time stamps above this one, up to 4e9 exclusive, are of the moment of recording, or of the test."""
ATOM = "{http://www.w3.org/2005/Atom}"

REDIRECT = "PROTOCOL 4: trailing slashes need no redirect; the answer is the one behind it"
PROPER_JSON = "PROTOCOL 4: a metadata PUT without valid JSON is 400"
UNKNOWN_FIELD = "PROTOCOL 4: an unknown field in POST is 400"
METHOD = "PROTOCOL 4: a wrong method is 405 with Allow"
DELETING = "Datapoints can be deleted; without a range that is refused with 400, not with 403"
BAD_NAME = "PROTOCOL 3: 400 for what is named badly"
BOTH_KINDS = "PROTOCOL 5: both kinds of bounds at once: 400"
SCRIPT = "A script that cannot be read, or that fails on a datapoint, is 400, not 403 or 500"
NULL = "PROTOCOL 4: a null in merge or dataset is 400"
CLOSEST = "A column without an interpolator uses closest"
ALLOWNIL = "A row with a null in a column that does not allow it is left out"
TOLD_ANEW = {24: {"if", "sum", "while"}, 25: {"closest", "before", "mean"}}
"""The transforms and interpolators: their descriptions are other ones."""
FAILS_MIDWAY = 339
"""0.3 answered 200 with JSON that was cut off."""
NOT_THERE = 333
"""A stream that is not there is told before a script that cannot be read."""
UPGRADE = "What a websocket is at says so, to those who ask for something else (RFC 9110)"
UNREADABLE = "PROTOCOL 3: 400 for what cannot be parsed"
WITHOUT_LOSS = "Strings are kept exactly or refused, never changed (0.3 put U+FFFD in the place of what is not UTF-8)"

STATUSES: dict[int, tuple[int, str]] = {
    1: (200, REDIRECT),
    2: (400, REDIRECT + "; PROTOCOL 4: an unknown q is 400"),
    3: (400, REDIRECT + "; PROTOCOL 4: an unknown q is 400"),
    18: (200, "HEAD is answered wherever GET is"),
    21: (405, METHOD),
    23: (200, REDIRECT),
    29: (404, "An empty name in the middle of a path is a slip of the client that must not lead to something else"),
    30: (426, UPGRADE),
    33: (400, REDIRECT + "; PROTOCOL 4: an unknown q is 400"),
    35: (200, REDIRECT),
    48: (400, UNKNOWN_FIELD),
    52: (400, BAD_NAME),
    53: (400, BAD_NAME),
    66: (400, PROPER_JSON),
    67: (400, PROPER_JSON),
    90: (403, "PROTOCOL 3: 403 for a bad value; 0.3 checked the roles of users only"),
    93: (200, REDIRECT),
    104: (400, PROPER_JSON),
    138: (400, BAD_NAME),
    147: (200, REDIRECT),
    166: (400, PROPER_JSON),
    187: (400, UNREADABLE + "; null is no datapoint"),
    194: (400, UNKNOWN_FIELD),
    195: (400, UNKNOWN_FIELD + "; `T` is not `t`"),
    211: (200, REDIRECT),
    212: (400, DELETING),
    213: (413, "PROTOCOL 3: 413 for over the size limit"),
    221: (400, WITHOUT_LOSS),
    223: (400, WITHOUT_LOSS),
    256: (400, UNREADABLE + "; bounds are whole numbers in base 10"),
    262: (400, BOTH_KINDS),
    263: (400, BOTH_KINDS),
    281: (400, UNREADABLE + "; NaN is no time"),
    282: (400, UNREADABLE + "; infinity is no time"),
    293: (400, UNREADABLE),
    294: (400, UNREADABLE),
    353: (405, METHOD),
    298: (400, "PROTOCOL 4: an unknown q is 400"),
    345: (400, NULL),
    354: (200, REDIRECT),
    356: (400, SCRIPT),
    357: (200, CLOSEST),
    **dict.fromkeys((364, 365, 366, 367, 368), (400, SCRIPT)),
    **dict.fromkeys((369, 370, 371, 373, 376), (200, CLOSEST)),
    380: (400, NULL),
    396: (400, SCRIPT),
}
"""Where our status is another one, and why. What follows from SCRIPT is found by the path."""

ANSWERS: dict[int, tuple[Any, str]] = {
    19: (None, "PROTOCOL 3: errors are JSON"),
    20: (None, "PROTOCOL 3: errors are JSON"),
    22: (__version__, "Our version"),
    283: ([], "PROTOCOL 4: restamping need not add 0.00001"),
    284: (
        [{"t": 12.0, "d": d} for d in (1e-6, 13.0, 100.0, 101.0)],
        "PROTOCOL 4: restamping need not add 0.00001",
    ),
    292: (24.0, "PROTOCOL 4: time2index past the end is the length, not 0"),
    295: (15.0, "PROTOCOL 4: restamping need not add 0.00001"),
    391: ([], ALLOWNIL),
    402: ([{"t": 1, "d": {"a": 1}}, {"t": 2, "d": {"a": 2.5}}], ALLOWNIL),
}
"""Where our answer is another one, and why."""

INSTEAD: dict[int, bytes] = {
    211: b"[]",  # 0.3 only redirected this
    213: b"[" + b'{"t":1,"d":1},' * 800_000,
    223: b'[{"t":3,"d":"\xff\xfe"}]',
}
"""Bodies that the recording does not have, or that would lead to another state than 0.3's."""

AFTERWARDS: dict[int, tuple[str, str, str, Any]] = {
    48: ("test", "POST", "/crud/u5", {"email": "u5@localhost", "password": "x", "role": "user"}),
    90: ("test", "POST", "/crud/test/d5", {}),
    194: ("d1", "POST", "/crud/test/d1/num/data", [{"t": 24, "d": 24}]),
    195: ("d1", "POST", "/crud/test/d1/num/data", [{"t": 25, "d": 25}]),
    221: (
        "d1",
        "POST",
        "/crud/test/d1/str/data",
        [{"t": 1, "d": ""}, {"t": 2, "d": '<a>&"\u2028 é 😀 \u0001 \ufffd'}],
    ),
    223: ("d1", "POST", "/crud/test/d1/str/data", [{"t": 3, "d": "\ufffd\ufffd"}]),
}
"""What brings our database to the state of 0.3's after we have refused something."""


def test_answers_are_those_of_version_0_3(make_live: Callable[..., Any]) -> None:
    client = make_live().client()
    auths: dict[str, Any] = {
        "test": ("test", "test"),
        "none": None,
        "badpass": ("test", "wrong"),
        "baduser": ("nosuch", "test"),
        "badkey": ("", "nosuchkey"),
        "emptykey": ("", ""),
        "u1": ("u1", "pw"),
    }
    wrong: list[str] = []
    for line in PROBE.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        n = entry["n"]
        path = entry["path"] if n != 108 else f"/api/v1/?q=this&apikey={auths['d1'][1]}"
        headers = dict(entry.get("headers", {}))
        if entry["auth"] not in auths:
            headers["Authorization"] = entry["auth"]
        body = INSTEAD.get(n, entry.get("body"))
        answer = client(entry["method"], "/" + path, body, auth=auths.get(entry["auth"]), headers=headers)
        wrong += [f"{n} {entry['label']}: {problem}" for problem in _problems(entry, answer)]
        if n == 77:
            auths["u1"] = ("u1", "pw2")
        elif n == 83:
            auths["d1"] = ("", answer.json()["apikey"])
        if n in AFTERWARDS:
            who, method, target, wanted = AFTERWARDS[n]
            assert client(method, target, wanted, auth=auths[who]).status == 200
    assert not wrong, "\n".join(wrong)


def _problems(entry: dict[str, Any], answer: Any) -> list[str]:
    n = entry["n"]
    status = entry["status"]
    if n in STATUSES:
        if STATUSES[n][0] == status:
            return ["is listed as a deviation, and is none"]
        status = STATUSES[n][0]
    elif "transform=" in entry["path"] and (status >= 400 or n == FAILS_MIDWAY) and n != NOT_THERE:
        status = 400  # SCRIPT
    if answer.status != status:
        return [f"status {answer.status} instead of {status}: {answer.text[:200]}"]
    if status >= 400:
        return _error_problems(entry, answer)
    found = _decoded(answer.headers.get("content-type", ""), answer.text)
    if n in ANSWERS:
        wanted = _masked(ANSWERS[n][0])
    elif n in TOLD_ANEW:
        return [] if found.keys() > TOLD_ANEW[n] else [f"{n} tells only of {list(found)}"]
    elif status != entry["status"]:
        return []
    elif answer.headers.get("content-type", "") != entry["type"]:
        return [f"content type {answer.headers.get('content-type')} instead of {entry['type']}"]
    else:
        wanted = _decoded(entry["type"], entry["answer"])
    if entry["label"] == "list devices of it":
        found, wanted = _without_nested_defaults(found), _without_nested_defaults(wanted)
    return [] if found == wanted else [f"{found!r} instead of {wanted!r}"]


def _error_problems(entry: dict[str, Any], answer: Any) -> list[str]:
    if entry["method"] == "HEAD":
        return []
    error = answer.json()
    uuid.UUID(error["ref"])
    if error["code"] != answer.status or not error["msg"] or not error["error"]:
        return [f"no proper error: {error}"]
    if answer.headers["content-type"] != "application/json; charset=utf-8":
        return [f"an error of type {answer.headers['content-type']}"]
    return []


def _decoded(content_type: str, text: str) -> Any:
    if content_type.startswith("application/json") and text:
        return _masked(json.loads(text))
    if content_type.startswith("application/xml"):
        return _feed(text)
    return text


def _masked(value: Any) -> Any:
    """*value* without what differs from run to run, with numbers as float64, which is how 0.3 kept them."""
    if isinstance(value, dict):
        masked = {key: _masked(v) for key, v in value.items()}
        if masked.get("apikey") not in (None, "", "myownapikey"):
            masked["apikey"] = "(a key)"
        if isinstance(value.get("t"), int | float):
            # To 0.1 ms: 0.3 adds 0.00001 s where it restamps.
            masked["t"] = "(now)" if NOW < value["t"] < 4e9 else round(float(value["t"]), 4)
            # PROTOCOL 1: `o` in the log is the device that did it; 0.3 wrote its own name.
            masked["o"] = "test/user" if value.get("o") == "ConnectorDB" else value.get("o")
        return masked
    if isinstance(value, list):
        return [_masked(v) for v in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) + 0.0
    return value


def _without_nested_defaults(devices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """0.3 forgot the defaults for devices that are created with their user; PROTOCOL 4: devices get role none."""
    defaulted = ("enabled", "visible", "user_editable", "role")
    return [{k: v for k, v in device.items() if device["name"] != "d" or k not in defaulted} for device in devices]


def _feed(text: str) -> list[Any]:
    """What has to be the same in a feed: author, and of the entries title, instant, author, value and address."""
    feed = ElementTree.fromstring(text)
    assert datetime.fromisoformat(feed.findtext(ATOM + "updated") or "").tzinfo is not None
    entries = [
        (
            entry.findtext(ATOM + "title"),
            datetime.fromisoformat(entry.findtext(ATOM + "updated") or ""),
            entry.findtext(f"{ATOM}author/{ATOM}name"),
            _masked(json.loads(entry.findtext(ATOM + "content") or "")),
            (entry.findtext(ATOM + "id") or "").split("/api/")[1],
            [link.get("href", "").split("/api/")[-1] for link in entry.findall(ATOM + "link")],
        )
        for entry in feed.findall(ATOM + "entry")
    ]
    return [feed.findtext(ATOM + "title"), feed.findtext(f"{ATOM}author/{ATOM}name"), *entries]
