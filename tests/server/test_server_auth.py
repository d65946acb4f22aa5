"""Who asks: credentials in their order, cookies, and requests that come from pages of other servers."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

THIS = "/?q=this"


def basic(text: str, encoding: str = "utf-8") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(text.encode(encoding)).decode()}


@pytest.fixture
def bob(client: Any) -> Iterator[str]:
    """The API key of bob/phone."""
    user = {"email": "bob@example.com", "password": "pässword:with colon", "devices": {"phone": {}}}
    assert client("POST", "/crud/bob", user).status == 200
    yield client("GET", "/crud/bob/phone").json()["apikey"]
    assert client("DELETE", "/crud/bob").status == 200


@pytest.fixture
def session(client: Any) -> str:
    """A cookie of test/user."""
    answer = client("GET", "/login")
    assert answer.status == 200
    return str(answer.headers["set-cookie"].split(";")[0])


def who(client: Any, target: str = THIS, **headers: str) -> str:
    answer = client("GET", target, auth=None, headers={name.replace("_", "-"): v for name, v in headers.items()})
    return str(answer.text) if answer.status == 200 else str(answer.status)


def test_each_kind_of_credentials(client: Any, bob: str, session: str, live: Any) -> None:
    assert who(client) == "nobody"
    assert who(client, **basic("test:test")) == "test/user"
    assert who(client, **basic("bob:pässword:with colon")) == "bob/user"
    assert who(client, **basic("bob:pässword:with colon", "latin-1")) == "bob/user"
    assert who(client, **basic("bob@example.com:pässword:with colon")) == "bob/user"
    assert who(client, **basic(f":{bob}")) == "bob/phone"
    assert who(client, f"{THIS}&apikey={bob}") == "bob/phone"
    assert who(client, Cookie=session) == "test/user"
    assert who(client, **basic(f":{live.folder.admin_key}")) == "root"


def test_order_of_credentials(client: Any, bob: str, session: str) -> None:
    assert who(client, f"{THIS}&apikey={bob}", Cookie=session, **basic("test:test")) == "test/user"
    assert who(client, f"{THIS}&apikey={bob}", Cookie=session) == "bob/phone"
    assert who(client, f"{THIS}&apikey={bob}", **basic("test:wrong")) == "401"
    assert who(client, f"{THIS}&apikey=wrong", Cookie=session) == "401"


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic !!!", "Basic dGVzdA==", "Bearer x", "basic", "Digest username=test", "\xff"]
)
def test_malformed_authorization_counts_as_none(client: Any, session: str, header: str) -> None:
    assert who(client, Authorization=header) == "nobody"
    assert who(client, Authorization=header, Cookie=session) == "test/user"


def test_failed_login_waits(make_live: Callable[..., Any]) -> None:
    client = make_live(**{"auth.failure_delay_s": 0.3}).client()
    assert client("GET", THIS).status == 200
    for auth in (("test", "wrong"), ("nosuch", "test"), ("", "nosuchkey")):
        started = time.monotonic()
        assert client("GET", THIS, auth=auth).status == 401
        assert time.monotonic() - started >= 0.29


def test_too_many_failed_logins_have_to_wait(make_live: Callable[..., Any]) -> None:
    client = make_live(**{"auth.failures_max": 3}).client()
    statuses = [client("GET", THIS, auth=("test", "wrong")).status for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    answer = client("GET", THIS, auth=("test", "wrong"))
    assert int(answer.headers["retry-after"]) == answer.json()["details"]["retry_after_s"] > 0


def test_new_apikey_ends_the_old_one_at_once(client: Any, bob: str) -> None:
    fresh = client("PUT", "/crud/bob/phone", {"apikey": ""}).json()["apikey"]
    assert fresh != bob
    assert who(client, **basic(f":{bob}")) == "401"
    assert who(client, **basic(f":{fresh}")) == "bob/phone"
    assert client("PUT", "/crud/bob/phone", {"enabled": False}).status == 200
    assert who(client, **basic(f":{fresh}")) == "401"


def test_new_password_ends_the_old_one_and_its_sessions(client: Any, bob: str) -> None:
    old = ("bob", "pässword:with colon")
    cookie = client("GET", "/login", auth=old).headers["set-cookie"].split(";")[0]
    assert who(client, Cookie=cookie) == "bob/user"
    assert client("PUT", "/crud/bob", {"password": "new"}, auth=old).status == 200
    assert client("GET", THIS, auth=old).status == 401
    assert client("GET", THIS, auth=("bob", "new")).text == "bob/user"
    assert who(client, Cookie=cookie) == "nobody"


# ---- the cookie


def test_attributes_of_the_cookie(client: Any) -> None:
    def attributes(target: str) -> set[str]:
        return set(client("GET", target).headers["set-cookie"].split("; ")[1:])

    always = {"Path=/", "HttpOnly", "SameSite=Lax"}
    assert attributes("/login") == always | {f"Max-Age={120 * 86400}"}
    assert attributes("/login?remember=true") == always | {f"Max-Age={120 * 86400}"}
    assert attributes("/login?remember=false") == always
    assert attributes("/logout") == always | {"Max-Age=0"}
    assert client("GET", "/logout").headers["set-cookie"].startswith("connectordb-session=;")
    assert client("GET", "/login?remember=maybe").status == 400
    behind_tls = client("GET", "/login", headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in behind_tls.headers["set-cookie"].split("; ")


def test_nobody_gets_no_cookie(client: Any) -> None:
    answer = client("GET", "/login", auth=None)
    assert (answer.status, answer.text) == (200, "ok")
    assert "set-cookie" not in answer.headers
    assert "set-cookie" not in client("GET", "/login", auth=("test", "wrong")).headers


def test_forged_cookies_are_nobody(client: Any, session: str) -> None:
    name, _, value = session.partition("=")
    end = "yy" if value[-2] == "x" else "xx"  # the last letter alone need not make a difference
    for forged in ("", "x", value[:-2] + end, value + "x", "x" + value, "\xff", value.split(".")[0], "a.b.c"):
        assert who(client, Cookie=f"{name}={forged}") == "nobody"
    assert who(client, Cookie=f"other=1; {session}; more=2") == "test/user"


def test_signing_out_ends_the_session_and_no_other(client: Any, session: str) -> None:
    other = client("GET", "/login").headers["set-cookie"].split(";")[0]

    def sign_out(**headers: str) -> int:
        status: int = client("GET", "/logout", auth=None, headers={"Cookie": session, **headers}).status
        return status

    assert sign_out(**{"Sec-Fetch-Site": "cross-site"}) == 403
    assert who(client, Cookie=session) == "test/user", "a page of another site signs nobody out"
    assert sign_out() == 200
    assert who(client, Cookie=session) == "nobody"
    assert who(client, Cookie=other) == "test/user"
    assert sign_out() == 200
    assert client("GET", "/logout", auth=None, headers={"Cookie": "connectordb-session=forged"}).status == 200


SAME = "http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("headers", "reads", "writes"),
    [
        ({}, True, False),
        ({"Origin": SAME}, True, True),
        ({"Sec-Fetch-Site": "same-origin"}, True, True),
        ({"Sec-Fetch-Site": "none"}, True, True),
        ({"Origin": SAME, "Sec-Fetch-Site": "same-origin"}, True, True),
        ({"Origin": "https://127.0.0.1:{port}"}, True, True),  # a proxy in front that ends TLS
        ({"Origin": "http://evil.example"}, False, False),
        ({"Origin": "http://127.0.0.1"}, False, False),
        ({"Origin": "http://127.0.0.1:1"}, False, False),
        ({"Origin": "http://127.0.0.1:{port}.evil.example"}, False, False),
        ({"Origin": "null"}, False, False),
        ({"Origin": ""}, False, False),
        ({"Sec-Fetch-Site": "cross-site"}, False, False),
        ({"Sec-Fetch-Site": "same-site"}, False, False),
        ({"Origin": SAME, "Sec-Fetch-Site": "cross-site"}, False, False),
        ({"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}, False, False),
    ],
)
def test_cookie_counts_for_our_own_pages_only(
    client: Any, live: Any, session: str, headers: dict[str, str], reads: bool, writes: bool
) -> None:
    sent = {name: value.replace("{port}", str(live.port)) for name, value in headers.items()}
    sent["Cookie"] = session
    assert client("GET", "/crud/test", auth=None, headers=sent).status == (200 if reads else 404)
    for method, target, body in (
        ("POST", "/crud/test/victim", {}),
        ("PUT", "/crud/test/victim", {"nickname": "x"}),
        ("POST", "/crud/test/user/s/data", []),
        ("DELETE", "/crud/test/victim", None),
    ):
        if target.endswith("data"):
            client("POST", "/crud/test/user/s", {})
        elif method != "POST":
            client("POST", "/crud/test/victim", {})
        answer = client(method, target, body, auth=None, headers=sent)
        assert answer.status == (200 if writes else 403), (method, answer.text)
    client("DELETE", "/crud/test/victim")


def test_other_credentials_work_from_anywhere(client: Any) -> None:
    sent = {"Origin": "http://other.example", "Sec-Fetch-Site": "cross-site"}
    assert client("GET", "/crud/test", headers=sent).status == 200
    assert client("PUT", "/crud/test", {"nickname": "x"}, headers=sent).status == 200


@pytest.mark.parametrize("call", ["/login", "/logout"])
def test_no_other_page_can_log_somebody_in_or_out(client: Any, call: str) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = client("GET", call, headers=headers)
        assert answer.status == 403
        assert "set-cookie" not in answer.headers


def test_a_link_with_a_key_in_it_logs_nobody_in(client: Any) -> None:
    """Browsers that do not say from where it was followed cannot be told apart from a person who typed it."""
    apikey = client("GET", "/crud/test/user").json()["apikey"]
    answer = client("GET", f"/login?apikey={apikey}", auth=None)
    assert answer.status == 200
    assert "set-cookie" not in answer.headers
    assert "set-cookie" in client("GET", "/login", auth=("", apikey)).headers


# ---- CORS


def test_other_origins_may_read_answers(client: Any) -> None:
    for target, status in (("/crud/test", 200), ("/crud/nosuch", 404), ("/nosuch", 404)):
        answer = client("GET", target, headers={"Origin": "http://example.com"})
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == "http://example.com"
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-origin" not in client("GET", "/crud/test").headers


def test_preflight(client: Any) -> None:
    answer = client(
        "OPTIONS",
        "/crud/test/user/s/data",
        auth=None,
        headers={
            "Origin": "http://example.com",
            "Access-Control-Request-Method": "PATCH",
            "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
        },
    )
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["access-control-allow-origin"] == "http://example.com"
    allowed = set(answer.headers["access-control-allow-methods"].split(", "))
    assert allowed == {"GET", "POST", "PUT", "PATCH", "DELETE"}
    headers = answer.headers["access-control-allow-headers"].lower().split(", ")
    assert set(headers) == {"content-type", "authorization", "idempotency-key", "last-event-id"}
    assert set(answer.headers["allow"].split(", ")) == {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}
    assert client("OPTIONS", "/nosuch", auth=None).status == 404


def test_header_injection_is_not_possible(live: Any) -> None:
    answer = live.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\nOrigin: a\rSet-Cookie: b=c\r\nConnection: close\r\n\r\n")
    assert b"\nset-cookie" not in answer.lower()
    assert answer.startswith(b"HTTP/1.1 ") and b" 500 " not in answer.split(b"\r\n")[0]
