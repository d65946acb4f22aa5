"""Streams that are not kept for ever, over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

STREAM = "/crud/test/user/camera"
TIMEOUT_S = 30


def test_keep_is_a_field_like_others(client: Any) -> None:
    assert "keep" not in client("POST", STREAM, {}).json()
    assert client("PUT", STREAM, {"keep": 86400}).json()["keep"] == 86400
    assert client("GET", STREAM).json()["keep"] == 86400
    assert [s.get("keep") for s in client("GET", "/crud/test?q=streams").json() if s["name"] == "camera"] == [86400]
    for bad in (-1, 5, "1d", True, 1e300):
        answer = client("PUT", STREAM, {"keep": bad})
        assert (answer.status, answer.json()["error"]) == (403, "invalid_value")
    assert "keep" not in client("PUT", STREAM, {"keep": 0}).json()
    client("DELETE", STREAM)
    for bad in (-5, 5, 1e300):
        told = client("POST", STREAM, {"keep": bad})
        assert (told.status, told.json()["error"]) == (403, "invalid_value")
        assert told.json()["msg"].startswith("keep is in seconds: 0, which is for ever, or 60 to 1e+11; it is ")
    told = client("POST", STREAM, {"keep": 3600, "ephemeral": True})
    assert (told.status, "is ephemeral, so it keeps no datapoints" in told.json()["msg"]) == (403, True)
    assert client("POST", STREAM, {"keep": 60.5}).json()["keep"] == 60.5
    client("DELETE", STREAM)
    device = client("POST", "/crud/test/cameras", {"streams": {"door": {"keep": 3600}}})
    assert device.status == 200
    assert client("GET", "/crud/test/cameras/door").json()["keep"] == 3600


def test_a_server_deletes_what_is_too_old(make_live: Callable[..., Any]) -> None:
    """A subscriber goes on as if nothing had happened."""
    live = make_live(**{"store.retention_every_s": 1})
    client = live.client()
    client("POST", STREAM, {})
    client("POST", f"{STREAM}/data", [{"t": 1e9 + i, "d": i} for i in range(1000)])
    follower = live.client()
    follower._connection.request(
        "GET", "/api/v1/live/test/user/camera", headers={"Authorization": "Basic dGVzdDp0ZXN0"}
    )
    events = follower._connection.getresponse()
    assert events.readline()
    client("PUT", STREAM, {"keep": 3600})
    give_up = time.monotonic() + TIMEOUT_S
    while client("GET", f"{STREAM}/data?q=length").text != "0":
        assert time.monotonic() < give_up
        time.sleep(0.05)
    client("POST", f"{STREAM}/data", [{"d": "new"}])
    while b"new" not in (line := events.readline()):
        assert line
        assert b"corrected" not in line
    assert [p["d"] for p in client("GET", f"{STREAM}/data?i1=0").json()] == ["new"]
