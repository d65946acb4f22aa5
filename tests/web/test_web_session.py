"""Signing in and out, passwords, the first user; and whom the server does not let in."""

from __future__ import annotations

from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any

import pytest
from person import Person
from playwright.sync_api import expect
from web_server import WebServer

pytestmark = pytest.mark.timeout(180)


def test_sign_in_and_out(person: Person) -> None:
    person.sign_in()
    person.is_at("Home")
    person.fits()
    person.finds_no_barrier()
    person.go(person.name)
    person.is_at("Account and settings")
    person.press("Sign out")
    person.is_at("Sign in")
    person.finds_no_barrier()
    person.page.reload()
    person.is_at("Sign in")


def test_sign_in_leads_to_the_page_that_was_asked_for(person: Person) -> None:
    person.sign_in("/account")
    person.is_at("Account and settings")
    person.fits()
    person.finds_no_barrier()


def test_what_is_wrong_is_told_plainly(person: Person) -> None:
    person.open()
    person.press("Sign in")
    person.sees("Please give your user name.")
    person.fill("User name or e-mail address", person.name)
    person.fill("Password", "wrong")
    person.press("Sign in")
    person.is_told("The user name or the password is wrong.")
    person.fill("User name or e-mail address", f"{person.name}@example.com")
    person.fill("Password", person.password)
    person.page.get_by_label("Password", exact=True).press("Enter")
    person.is_at("Home")


def test_keyboard_alone_suffices(person: Person) -> None:
    person.open()
    field = person.page.get_by_label("User name or e-mail address")
    expect(field).to_be_visible()
    person.page.keyboard.press("Tab")
    expect(person.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    person.page.keyboard.press("Enter")
    person.page.keyboard.press("Tab")
    expect(field).to_be_focused()
    person.page.keyboard.type(person.name)
    person.page.keyboard.press("Tab")
    person.page.keyboard.type(person.password)
    person.page.keyboard.press("Enter")
    person.is_at("Home")


def test_change_the_password(person: Person, make_page: Callable[..., Any]) -> None:
    person.sign_in("/account")
    elsewhere = Person(make_page(), person.server, person.name, person.password)
    elsewhere.sign_in()
    person.fill("The password now", "wrong")
    person.fill("New password", "better")
    person.fill("New password again", "bitter")
    person.press("Change the password")
    person.sees("The two new passwords differ.")
    person.fill("New password again", "better")
    person.press("Change the password")
    person.is_told("That is not the password that you have now. Nothing was changed.")
    person.fill("The password now", person.password)
    person.press("Change the password")
    person.is_notified("The password was changed. All other browsers are signed out.")
    person.page.reload()
    person.is_at("Account and settings")
    elsewhere.page.reload()
    elsewhere.is_at("Sign in")
    elsewhere.password = "better"
    elsewhere.sign_in()


def test_first_user(new_server: WebServer, page: Any) -> None:
    person = Person(page, new_server, "alice", "secret")
    person.open("/devices")
    person.is_at("Welcome to ConnectorDB")
    person.fits()
    person.finds_no_barrier()
    person.fill("User name", "Alice Smith")
    person.fill("Password", "secret")
    person.press("Create my account")
    person.sees("A name has only letters from a to z, digits, - and _.")
    person.sees("The two passwords differ.")
    person.fill("User name", "admin")
    person.fill("The password again", "secret")
    person.press("Create my account")
    person.is_told("No user may be called 'admin': the server uses that name itself.")
    person.fill("User name", "alice")
    person.press("Create my account")
    expect(page.get_by_role("heading", level=1, name="Welcome to ConnectorDB")).to_be_hidden()
    with person.api() as db:
        assert db("alice").role == "admin"
    page.context.clear_cookies()
    person.sign_in("/")
    person.is_at("Home")


def call(server: WebServer, method: str, path: str, body: str = "", **headers: str) -> tuple[int, str]:
    host = server.url.removeprefix("http://")
    connection = HTTPConnection(host, timeout=30)
    connection.putrequest(method, path, skip_host=True)
    for name, value in {"Host": host, "Content-Length": str(len(body)), **headers}.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders(body.encode())
    response = connection.getresponse()
    answer = response.status, response.read().decode()
    connection.close()
    return answer


def test_first_user_is_not_for_strangers(new_server: WebServer) -> None:
    """A page of somebody else, somebody in the network, and whoever comes second."""

    def tried(key: str = "", **headers: str) -> int:
        body = f'{{"name": "eve", "password": "x", "key": "{key}"}}'
        return call(new_server, "POST", "/api/v1/setup", body, **headers)[0]

    assert tried(Origin="http://evil.example") == 403
    assert tried(Sec_Fetch_Site="cross-site") == 403
    assert tried(Host="evil.example:3124", Origin="http://evil.example:3124") == 403, "DNS rebinding"
    assert tried(X_Forwarded_For="192.0.2.1") == 403
    assert tried(key="guessed", X_Forwarded_For="192.0.2.1") == 403
    assert call(new_server, "GET", "/api/v1/setup", X_Forwarded_For="192.0.2.1")[1] == '{"needed":true,"key":true}'
    assert tried(key=new_server.admin_key, X_Forwarded_For="192.0.2.1") == 200
    assert call(new_server, "GET", "/api/v1/setup")[1] == '{"needed":false,"key":false}'
    assert tried() == 403


def test_no_cookie_or_an_old_one_asks_to_sign_in(person: Person) -> None:
    person.open("/account")
    person.is_at("Sign in")
    person.page.context.add_cookies(
        [{"name": "connectordb-session", "value": "old.and.wrong", "url": person.server.url}]
    )
    person.page.reload()
    person.is_at("Sign in")


def test_session_that_ends_while_the_page_is_open_is_told(person: Person) -> None:
    person.sign_in("/account")
    with person.server.connect() as db:
        db(person.name).set({"password": "changed"})
    person.fill("The password now", person.password)
    person.go("Home")
    person.page.reload()
    person.is_at("Sign in")


def test_form_of_another_site_does_nothing(person: Person, make_page: Callable[..., Any]) -> None:
    """The browser sends the cookie along (same-site: only the port differs), and the server does not listen."""
    person.sign_in()
    path = f"/api/v1/crud/{person.name}/stolen"
    other = WebServer.__name__  # a page of another origin, made by the test
    person.page.route(
        "http://evil.localhost/**",
        lambda route: route.fulfill(
            content_type="text/html",
            body=f"<title>{other}</title><form method=post enctype=text/plain action='{person.server.url}{path}'>"
            "<input name='{\"nickname\":\"' value='x\"}'><button>Win a prize</button></form>",
        ),
    )
    person.page.goto("http://evil.localhost/")
    with person.page.expect_response(f"**{path}") as answer:
        person.press("Win a prize")
    assert answer.value.status == 403
    with person.api() as db:
        assert not db(f"{person.name}/stolen").exists()


def test_cookie_of_somebody_else_shows_nothing_of_mine(person: Person, make_page: Callable[..., Any]) -> None:
    with person.api() as db:
        db(f"{person.name}/user/secret").create({"type": "string"}, description="my secret")
    other = f"{person.name}-other"
    with person.server.connect() as db:
        db(other).create(f"{other}@example.com", "x", public=False)
    stranger = Person(make_page(), person.server, other, "x")
    for path in (f"/u/{person.name}", f"/u/{person.name}/user", f"/u/{person.name}/user/secret"):
        stranger.sign_in(path) if path == f"/u/{person.name}" else stranger.open(path)
        stranger.is_told(f"There is no '{path[3:]}', or it may not be accessed.")
        assert "my secret" not in stranger.page.content()


def test_cookie_cannot_be_read_by_scripts(person: Person) -> None:
    person.sign_in()
    assert person.page.evaluate("document.cookie") == ""
    (cookie,) = person.page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")


def test_signing_out_in_one_tab_is_seen_in_the_others(person: Person) -> None:
    path = f"{person.name}/user/secret"
    with person.api() as db:
        db(path).create({"type": "string"})
        db(path).insert("what nobody else is to read")
    person.sign_in(f"/u/{path}?view=table")
    person.sees("Live: what is written is seen at once.")
    other = Person(person.page.context.new_page(), person.server, person.name, "secret")
    other.open("/account")
    other.press("Sign out")
    other.is_at("Sign in")
    person.is_at("Sign in")
    person.sees("You were signed out")


def test_signing_out_ends_a_copy_of_the_cookie_too_and_no_other_browser(
    own_server: WebServer, make_page: Callable[..., Any]
) -> None:
    one, other, thief = (Person(make_page(), own_server, "test", "test") for _ in range(3))
    for person in (one, other):
        person.sign_in("/account")
    stolen = one.page.context.cookies()
    thief.page.context.add_cookies(stolen)
    thief.open("/account")
    thief.is_at("Account and settings")
    one.press("Sign out")
    one.is_at("Sign in")
    for _ in range(2):
        thief.page.reload()
        thief.is_at("Sign in")
        thief.page.context.add_cookies(stolen)
        other.page.reload()
        other.is_at("Account and settings")
        own_server.stop()
        own_server.start()
