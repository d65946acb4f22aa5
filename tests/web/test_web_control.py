"""Steering what others own, and how long a command is valid."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from importlib import resources
from typing import Any
from urllib.request import Request, urlopen

import pytest
from person import Person
from playwright.sync_api import Route, expect
from web_server import WebServer

from connectordb import ConnectorDB

pytestmark = pytest.mark.timeout(180)


def lamp_of(server: WebServer, user: str, password: str = "x", *, public: bool = True) -> str:
    """A user with a device that has a light; returns the device's key."""
    with server.connect() as db:
        db(user).create(f"{user}@example.com", password, public=public)
    with server.connect(user, password) as db:
        db(f"{user}/lamp").create(public=public)
        db(f"{user}/lamp/light").create({"type": "boolean"}, downlink=True, nickname=f"Light of {user}")
        key: str = db(f"{user}/lamp").apikey
    return key


def let_users_steer_public_things(server: WebServer) -> None:
    """A matrix of roles for a family: what is public may be steered by all of its users."""
    matrix = json.loads(resources.files("connectordb.core").joinpath("permissions.json").read_bytes())
    level = {**matrix["access_levels"]["userpublic"], "write_access": "steering"}
    matrix["access_levels"]["family"] = level
    matrix["rw_access"]["steering"] = {"can_access_stream": True, "can_access_stream_downlink": True}
    matrix["user_roles"]["user"]["public_access_level"] = "family"
    server.stop()
    (server.folder / "permissions.json").write_text(json.dumps(matrix))
    server.start()


def test_slider_stands_where_the_device_is(own_server: WebServer, page: Any) -> None:
    key = lamp_of(own_server, "bob")
    with own_server.connect("bob", "x") as db:
        db("bob/lamp/dimmer").create({"type": "integer", "minimum": 0, "maximum": 100}, downlink=True)
    bob = Person(page, own_server, "bob", "x")
    with ConnectorDB(key, url=own_server.url) as lamp:
        lamp("bob/lamp/dimmer").insert(60)
        bob.sign_in("/u/bob/lamp/dimmer")
        form = page.get_by_role("form", name="Command to dimmer")
        number = form.get_by_label("dimmer, as a number")
        expect(number).to_have_value("60")
        lamp("bob/lamp/dimmer").insert(70)
        expect(number).to_have_value("70")
        number.fill("")
        expect(number).to_have_value("")
        number.fill("1,000")
        form.get_by_role("button", name="Send to dimmer").click()
        bob.sees("1000 or 1.000? Write it without a comma.")
        number.fill("80")
        form.get_by_role("button", name="Send to dimmer").click()
        bob.sees(re.compile("waits for the device"))
        expect(number).to_have_value("80")


def test_present_state_is_the_newest_one_however_late_others_come(person: Person) -> None:
    path, key = own_light(person)
    now = time.time()
    with ConnectorDB(key, url=person.server.url) as lamp:
        lamp(path).insert_array([{"t": now, "d": True}])
        person.sign_in(f"/u/{path}?view=table&range=all")
        switch = person.page.get_by_role("switch", name="light")
        expect(switch).to_be_checked()
        lamp(path).insert_array([{"t": now - 60, "d": False}], merge=True)
    person.sees("2 values")
    person.sees(re.compile(r"Now: on \("))
    expect(switch).to_be_checked()
    with person.api() as db:
        wrong = db(path).delete(i1=-1)
        person.sees(re.compile(r"Now: off \("))
        expect(switch).not_to_be_checked()
        db(path).undo(wrong)
        person.sees(re.compile(r"Now: on \("))
        db(path).update(-1, False)
        person.sees(re.compile(r"Now: off \("))


def test_what_is_typed_while_a_command_is_sent_stays(person: Person) -> None:
    path = f"{person.name}/user/display"
    with person.api() as db:
        db(path).create({"type": "string"}, downlink=True)
    person.sign_in(f"/u/{path}")
    field = person.page.get_by_role("form", name="Command to display").get_by_label("display", exact=True)
    held: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.method == "POST":
            held.append(route)
        else:
            route.continue_()

    person.page.route(f"**/downlink/{path}*", hold)
    field.fill("hello")
    person.press("Send to display")
    person.until(lambda: held)
    field.fill("goodbye")
    held.pop().continue_()
    expect(person.page.get_by_role("list", name="Commands to display")).to_contain_text("hello: waits")
    expect(field).to_have_value("goodbye")
    person.press("Send to display")
    person.until(lambda: held)
    held.pop().continue_()
    expect(field).to_have_value("")


def test_lamp_of_another_one_in_the_family(own_server: WebServer, page: Any) -> None:
    let_users_steer_public_things(own_server)
    key = lamp_of(own_server, "bob")
    lamp_of(own_server, "carol", public=False)
    with own_server.connect() as db:
        db("alice").create("alice@example.com", "secret")
    alice = Person(page, own_server, "alice", "secret")
    alice.sign_in("/downlinks")
    alice.sees("None of your devices takes commands yet.")
    alice.press("Show what I may steer of other users")
    alice.sees("There is nothing of other users that you may steer.")
    for name in ("carol", "nobody-at-all"):
        alice.fill("Name of another user", name)
        alice.press("Look there too")
        alice.is_told(f"There is no '{name}', or it may not be accessed.")
    alice.fill("Name of another user", "bob")
    alice.press("Look there too")
    switch = page.get_by_role("switch", name="Light of bob")
    expect(switch).not_to_be_checked()
    alice.finds_no_barrier()
    alice.fits()
    switch.click()
    commands = page.get_by_role("list", name="Commands to Light of bob")
    expect(commands).to_contain_text("on: waits for the device")
    with ConnectorDB(key, url=own_server.url) as lamp:
        lamp("bob/lamp/light").subscribe(lambda _path, _data: True, downlink=True)
        expect(commands).to_contain_text("on: done")
    expect(switch).to_be_checked()
    page.reload()
    expect(switch).to_be_checked()


def test_lamp_of_which_nothing_is_known_can_be_turned_off(own_server: WebServer, page: Any) -> None:
    lamp_of(own_server, "bob")
    bob = Person(page, own_server, "bob", "x")
    bob.sign_in("/u/bob/lamp/light")
    bob.sees("The device has not said yet how it is.")
    bob.finds_no_barrier()
    bob.press("Turn off Light of bob")
    expect(page.get_by_role("list", name="Commands to Light of bob")).to_contain_text("off: waits for the device")
    expect(page.get_by_role("button", name="Turn off Light of bob")).to_be_hidden()


def test_administrator_sees_the_lamps_of_all(own_server: WebServer, page: Any) -> None:
    lamp_of(own_server, "bob")
    lamp_of(own_server, "carol", public=False)
    admin = Person(page, own_server, "test", "test")
    admin.sign_in("/downlinks")
    admin.press("Show what I may steer of other users")
    expect(page.get_by_role("switch", name="Light of bob")).to_be_visible()
    expect(page.get_by_role("switch", name="Light of carol")).to_be_visible()
    admin.finds_no_barrier()
    admin.fits()


def test_what_the_roles_do_not_permit_is_told(person: Person) -> None:
    other = f"{person.name}-friend"
    lamp_of(person.server, other)
    person.sign_in("/downlinks")
    person.press("Show what I may steer of other users")
    person.fill("Name of another user", other)
    person.press("Look there too")
    person.sees("There is nothing of other users that you may steer.")
    person.page.get_by_text("Seen, but not yours to steer (1)").click()
    person.sees(f"{other}/lamp/light")
    person.finds_no_barrier()
    person.fits()
    person.page.get_by_role("link", name=f"{other}/lamp/light").click()
    person.page.get_by_role("switch", name=f"Light of {other}").click()
    person.is_told(f"No permission to write the downlink of the stream '{other}/lamp/light'.")


def own_light(person: Person) -> tuple[str, str]:
    path = f"{person.name}/lamp/light"
    with person.api() as db:
        db(f"{person.name}/lamp").create()
        db(path).create({"type": "boolean"}, downlink=True)
        return path, db(f"{person.name}/lamp").apikey


def commands_to(person: Person, path: str) -> list[Any]:
    found: list[Any] = person.page.request.get(f"{person.server.url}/api/v1/downlink/{path}").json()
    return found


def answer(person: Person, downlink: str, body: Any) -> None:
    """Say as the device what has become of a command."""
    request = Request(f"{person.server.url}/api/v1/downlink/{downlink}", json.dumps(body).encode(), method="PUT")
    with urlopen(request, timeout=30) as reply:
        assert reply.status == 200


def test_command_that_is_valid_for_a_minute_only(person: Person) -> None:
    path, _ = own_light(person)
    person.sign_in("/downlinks")
    person.choose("Valid for the command to light", "for 1 minute")
    person.page.get_by_role("switch", name="light").click()
    commands = person.page.get_by_role("list", name="Commands to light")
    expect(commands).to_contain_text("on: waits for the device")
    (sent,) = commands_to(person, path)
    assert sent["expires"] - sent["t"] == pytest.approx(60, abs=1)
    person.finds_no_barrier()
    person.fits()


def test_each_state_is_told_as_it_comes(person: Person) -> None:
    """Also those of commands that somebody else gives meanwhile."""
    path, key = own_light(person)
    person.sign_in("/downlinks")
    commands = person.page.get_by_role("list", name="Commands to light")
    expect(person.page.get_by_role("switch", name="light")).to_be_visible()

    def command(value: bool, **options: Any) -> Any:
        with person.api() as db:
            return db(path).downlink(value, **options)

    command(True, expires=8)
    expect(commands).to_contain_text("on: waits for the device")
    expect(commands).to_contain_text("on: too late: the device did not take it in time")
    command(False)
    expect(commands).to_contain_text("off: waits for the device")
    command(True, supersede=True)
    expect(commands).to_contain_text("off: replaced by a later one")
    waiting = commands_to(person, path)[-1]["id"]
    answer(person, f"{path}/{waiting}?apikey={key}", {"state": "delivered", "by": "test"})
    expect(commands).to_contain_text("on: the device has it")
    answer(person, f"{path}/{waiting}?apikey={key}", {"state": "refused", "by": "test", "msg": "the bulb is broken"})
    expect(commands).to_contain_text("on: the device refused it (the bulb is broken)")


def test_nothing_is_asked_while_the_page_is_hidden(person: Person, make_page: Callable[..., Any]) -> None:
    own_light(person)
    person.sign_in("/downlinks")
    with person.page.expect_request(re.compile(r"/downlink/.*wait=1")):
        person.page.get_by_role("switch", name="light").click()
    person.page.evaluate(
        "Object.defineProperty(document, 'visibilityState', {get: () => window.seen ?? 'hidden', configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    asked: list[str] = []
    person.page.on("request", lambda request: asked.append(request.url))
    person.page.wait_for_timeout(2500)
    assert not [url for url in asked if "wait=" in url]
    with person.page.expect_request(re.compile(r"/downlink/.*wait=1")):
        person.page.evaluate("window.seen = 'visible'; document.dispatchEvent(new Event('visibilitychange'))")
