"""What goes wrong around the app: lost answers, sessions that end, a browser that keeps nothing, or nonsense."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from person import Person
from playwright.sync_api import expect

from connectordb import ConnectorDB

pytestmark = pytest.mark.timeout(180)

ENTRIES = re.compile(r"/weight/data\?")


def weigh(person: Person, value: str) -> None:
    person.fill("Weight", value)
    person.press("Enter Weight")


def weights(person: Person) -> list[Any]:
    with person.api() as db:
        return [point["d"] for point in db(f"{person.name}/user/weight")[:]]


@pytest.fixture
def weigher(person: Person) -> Person:
    """Somebody who enters a weight."""
    with person.api() as db:
        db(f"{person.name}/user/weight").create({"type": "number"}, nickname="Weight")
    person.sign_in()
    expect(person.page.get_by_role("form", name="Enter Weight")).to_be_visible()
    return person


def lose_answers(person: Person, path: re.Pattern[str], times: int = 1, **answer: Any) -> None:
    """The server does what is asked, but something else comes back; nothing at all, if it is not said what."""

    def lose(route: Any) -> None:
        if route.request.method == "GET":
            route.fallback()
            return
        route.fetch()
        if answer:
            route.fulfill(**answer)
        else:
            route.abort()

    person.page.route(path, lose, times=times)


@pytest.mark.parametrize(
    "answer",
    [{}, {"status": 524}, {"status": 404, "body": "no backend"}, {"content_type": "text/html", "body": "<p>Hotel"}],
    ids=["none", "proxy-timeout", "proxy", "portal"],
)
def test_entry_whose_answer_is_lost_is_stored_once(weigher: Person, answer: dict[str, Any]) -> None:
    lose_answers(weigher, ENTRIES, **answer)
    weigh(weigher, "70")
    weigher.is_notified("Weight: kept on this device. It is sent as soon as the server takes it.")
    weigher.sees("Not sent yet")
    weigher.press("Send now")
    expect(weigher.page.get_by_text("Not sent yet")).to_be_hidden()
    assert weights(weigher) == [70]


def test_full_disk_while_entries_are_sent_refuses_none(weigher: Person) -> None:
    full = {"code": 507, "error": "storage_full", "msg": "the disk is full", "ref": "x"}
    for status in (507, 500, 408):
        answer = {"status": status, "json": {**full, "code": status}}
        weigher.page.route(ENTRIES, lambda route, _, answer=answer: route.fulfill(**answer), times=1)
        if status == 507:
            weigh(weigher, "70")
        else:
            with weigher.page.expect_response(ENTRIES):
                weigher.press("Send now")
        weigher.sees("Not sent yet")
    assert weigher.page.get_by_text("refused").count() == 0
    weigher.press("Send now")
    expect(weigher.page.get_by_text("Not sent yet")).to_be_hidden()
    assert weights(weigher) == [70]


def test_refused_entry_is_sent_again_when_asked(weigher: Person) -> None:
    weigher.page.route(ENTRIES, lambda route: route.abort(), times=1)
    weigh(weigher, "70")
    weigher.sees("Not sent yet")
    refusal = {"code": 400, "error": "schema", "msg": "not now", "ref": "x"}
    weigher.page.route(ENTRIES, lambda route: route.fulfill(status=400, json=refusal), times=1)
    weigher.press("Send now")
    weigher.sees("The server refused it: Not now.")
    weigher.press("Send now")
    expect(weigher.page.get_by_text("Not sent yet")).to_be_hidden()
    assert weights(weigher) == [70]


def test_entry_after_the_session_is_over_is_sent_after_the_next_sign_in(weigher: Person) -> None:
    weigher.page.context.clear_cookies()
    weigh(weigher, "70")
    weigher.is_at("Sign in")
    weigher.sees("You were signed out")
    weigher.sign_in("/account")
    weigher.is_notified("An entry was sent that had been kept on this device.")
    assert weights(weigher) == [70]


def test_entry_while_somebody_else_has_signed_in_waits_for_its_own_user(weigher: Person) -> None:
    other = f"{weigher.name}-other"
    with weigher.server.connect() as db:
        db(other).create(f"{other}@example.com", "x", public=False)
    tab = weigher.page.context.new_page()
    weigher.page.context.clear_cookies()
    Person(tab, weigher.server, other, "x").sign_in()
    weigh(weigher, "70")
    weigher.is_notified("Weight: kept on this device")
    expect(weigher.page.get_by_role("form", name="Enter Weight")).to_be_hidden()
    expect(weigher.page.get_by_role("banner")).to_contain_text(other)
    assert weights(weigher) == []
    weigher.page.context.clear_cookies()
    weigher.sign_in()
    weigher.is_notified("An entry was sent that had been kept on this device.")
    assert weights(weigher) == [70]


def test_browser_that_keeps_nothing_can_still_enter(weigher: Person) -> None:
    weigher.page.evaluate(
        "() => { Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError') } }"
    )
    weigh(weigher, "70")
    weigher.is_notified("Weight: entered.")
    weigher.page.route(ENTRIES, lambda route: route.abort(), times=1)
    weigh(weigher, "71")
    weigher.is_told("The server does not answer, and this browser could not keep it either.")
    expect(weigher.page.get_by_label("Weight", exact=True)).to_have_value("71")
    assert weights(weigher) == [70]


def test_next_user_of_the_tab_has_a_connection_of_their_own(weigher: Person) -> None:
    other = f"{weigher.name}-other"
    with weigher.server.connect() as db:
        db(other).create(f"{other}@example.com", "x", public=False)
    with weigher.server.connect(other, "x") as db:
        db(f"{other}/meter").create()
        db(f"{other}/meter/power").create({"type": "number"})
        key = db(f"{other}/meter").apikey
    with ConnectorDB(key, url=weigher.server.url) as meter:
        meter(f"{other}/meter/power").insert(1)
    page = weigher.page
    opened: list[Any] = []
    page.on("websocket", lambda socket: opened.append(socket))
    page.reload()
    expect(page.get_by_role("form", name="Enter Weight")).to_be_visible()
    weigher.go(weigher.name)
    weigher.press("Sign out")
    weigher.fill("User name or e-mail address", other)
    weigher.fill("Password", "x")
    weigher.press("Sign in")
    weigher.is_at("Account and settings")
    weigher.go("Home")
    expect(page.get_by_role("main")).to_contain_text("power")
    with ConnectorDB(key, url=weigher.server.url) as meter:
        meter(f"{other}/meter/power").insert(4711)
    expect(page.get_by_role("main")).to_contain_text(re.compile("4.?711"))
    first, second = opened
    assert (first.is_closed(), second.is_closed()) == (True, False)


def test_command_whose_answer_is_lost_is_given_once(person: Person) -> None:
    path = f"{person.name}/feeder/portion"
    with person.api() as db:
        db(f"{person.name}/feeder").create()
        db(path).create({"type": "number"}, downlink=True)
    person.sign_in("/downlinks")
    lose_answers(person, re.compile(rf"/downlink/{path}$"))
    portion = person.page.get_by_role("textbox", name="portion")
    portion.fill("5")
    person.press("Send to portion")
    person.is_told("The server does not answer.")
    person.press("Send to portion")
    expect(person.page.get_by_role("alert")).to_be_hidden()
    expect(portion).to_have_value("")
    commands = f"{person.server.url}/api/v1/downlink/{path}"
    assert len(person.page.request.get(commands).json()) == 1
    portion.fill("5")
    person.press("Send to portion")
    expect(portion).to_have_value("")
    assert len(person.page.request.get(commands).json()) == 2


@pytest.mark.parametrize(
    "odd",
    [
        {"outbox": "null", "pins": "null", "zone": '"Mars/X"', "last-user": "5", "last-seen": "null"},
        {"outbox": "{}", "pins": "[null]", "zone": "5", "last-user": "{}", "last-seen": '{"inputs":[null]}'},
        {"outbox": "[null]", "outbox.x": "null", "steered-users": '{"NAME":5}', "pins": '{"NAME":null}', "theme": "5"},
    ],
)
def test_nonsense_in_the_browser_blanks_no_page(weigher: Person, odd: dict[str, str]) -> None:
    for key, text in odd.items():
        weigher.page.evaluate(
            "([key, text]) => localStorage.setItem(key, text)",
            [f"connectordb.{key}", text.replace("NAME", weigher.name)],
        )
    weigher.open("/account")
    weigher.is_at("Account and settings")
    weigher.choose("Time zone", "Asia/Tokyo")
    weigher.sees("All times are shown in it.")
    weigher.open("/downlinks")
    weigher.is_at("Control")
    weigher.open("/")
    weigh(weigher, "70")
    weigher.is_notified("Weight: entered.")
    weigher.open('/analyse?q={"columns":[null]}')
    weigher.is_at("Analyse")
    weigher.page.route("**/api/**", lambda route: route.abort())
    weigher.open("/")
    expect(weigher.page.get_by_role("heading", level=1)).to_be_visible()


@pytest.mark.parametrize("most", [200_000, 10_000_000_000])
def test_schema_of_absurd_bounds_blanks_no_page(person: Person, most: int) -> None:
    with person.api() as db:
        db(f"{person.name}/user/stars").create({"type": "integer", "maximum": most}, datatype="rating.stars")
        db(f"{person.name}/writer").create()
        db(f"{person.name}/writer/essay").create({"type": "string", "minLength": 1_000_000_000})
    person.sign_in()
    person.fill("stars", "7")
    person.press("Enter stars")
    person.is_notified("stars: entered.")
    person.open(f"/u/{person.name}/writer")
    person.press("Show code that writes to this device")
    expect(person.page.get_by_role("region", name="Code: Python")).to_contain_text('l.insert("essay", "xxxx')


def test_what_cannot_be_shown_takes_nothing_else_with_it(weigher: Person) -> None:
    page = weigher.page
    with weigher.api() as db:
        for name in ("door", "lamp"):
            db(f"{weigher.name}/{name}").create()
            db(f"{weigher.name}/{name}/{name}").create({"type": "boolean"}, downlink=True)
    broken = {"id": 1, "t": 1e300, "d": True, "state": "acknowledged", "expires": 1}
    page.route("**/downlink/**/door*", lambda route: route.fulfill(json=[broken]))
    weigher.open("/downlinks")
    card = page.get_by_role("region", name="door")
    expect(card.get_by_role("alert")).to_contain_text("This cannot be shown")
    expect(page.get_by_role("switch", name="lamp")).to_be_visible()
    weigher.finds_no_barrier()
    weigher.fits()
    page.route("**/crud/*?q=devices", lambda route: route.fulfill(json=[None]))
    weigher.go("Devices")
    weigher.is_at("This page cannot be shown")
    weigher.finds_no_barrier()
    weigher.go("Analyse")
    weigher.is_at("Analyse")


def test_part_of_the_app_that_is_gone_is_told(weigher: Person) -> None:
    weigher.page.route("**/assets/Analyse-*", lambda route: route.abort(), times=1)
    weigher.go("Analyse")
    weigher.is_told("either there is no connection to the server, or it has a newer app")
    weigher.press("Try again")
    weigher.is_at("Analyse")


def test_cookie_lasts_as_long_as_was_chosen_after_a_change_of_password(person: Person) -> None:
    person.open("/account")
    person.page.get_by_label("Keep me signed in on this device").uncheck()
    person.fill("User name or e-mail address", person.name)
    person.fill("Password", person.password)
    person.press("Sign in")
    person.fill("The password now", person.password)
    person.fill("New password", "better")
    person.fill("New password again", "better")
    person.press("Change the password")
    person.is_notified("The password was changed.")
    (cookie,) = person.page.context.cookies()
    assert cookie["expires"] == -1, "a cookie of this session of the browser"


def test_sign_out_without_a_server_leaves_nothing_in_the_browser(weigher: Person) -> None:
    weigher.go(weigher.name)
    weigher.page.route("**/api/v1/logout", lambda route: route.abort(), times=1)
    weigher.press("Sign out")
    weigher.is_told("You are still signed in. The server does not answer.")
    kept = json.dumps(weigher.page.evaluate("({...localStorage})"))
    assert weigher.name not in kept
    assert "Weight" not in kept
    weigher.press("Sign out")
    weigher.is_at("Sign in")
