"""Everybody can use it: each page, in the light and in the dark, on a wide and on a narrow screen."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from person import Person
from playwright.sync_api import expect
from web_server import WebServer

pytestmark = pytest.mark.timeout(600)

START = 1_700_000_000


@pytest.fixture
def household(
    server: WebServer, make_page: Callable[..., Any], request: pytest.FixtureRequest
) -> Callable[[str], Person]:
    """A person with something of everything."""

    def make(scheme: str) -> Person:
        name = f"house{abs(hash(request.node.name)) % 10**8}"
        with server.connect() as db:
            db(name).create(f"{name}@example.com", "secret", role="admin", public=False)
        person = Person(make_page(color_scheme=scheme, reduced_motion="reduce"), server, name, "secret")
        with person.api() as db:
            user = f"{name}/user"
            db(f"{user}/mood").create({"type": "integer", "minimum": 1, "maximum": 10}, datatype="rating.stars")
            db(f"{user}/pills").create({"type": "boolean"})
            db(f"{user}/temperature").create({"type": "number"}, description="Outside")
            db(f"{user}/temperature").insert_array([{"t": START + i * 60, "d": i % 50} for i in range(5000)])
            db(f"{user}/state").create({"type": "string"})
            db(f"{user}/state").insert_array([{"t": START + i * 60, "d": "abc"[i % 3]} for i in range(50)])
            db(f"{user}/place").create({"type": "object"})
            places = [{"t": START + i, "d": {"latitude": 52 + i / 99, "longitude": 4.5}} for i in range(9)]
            db(f"{user}/place").insert_array(places)
            db(f"{name}/lamp").create(streams={"on": {"schema": '{"type": "boolean"}', "downlink": True}})
            db(f"{name}/lamp/on").downlink(True)
        return person

    return make


PAGES = {
    "/": "Home",
    "/devices": "My devices",
    "/users": "Users",
    "/downlinks": "Control",
    "/analyse": "Analyse",
    "/upload": "Upload",
    "/account": "Account and settings",
    "/u/{name}/lamp": "lamp",
    "/u/{name}/lamp/on": "on",
    "/u/{name}/user/temperature": "temperature",
    "/u/{name}/user/temperature?view=histogram": "temperature",
    "/u/{name}/user/temperature?view=calendar": "temperature",
    "/u/{name}/user/temperature?view=table": "temperature",
    "/u/{name}/user/temperature?view=number": "temperature",
    "/u/{name}/user/temperature?view=json": "temperature",
    "/u/{name}/user/temperature?view=scatter": "temperature",
    "/u/{name}/user/state": "state",
    "/u/{name}/user/state?view=bars": "state",
    "/u/{name}/user/place": "place",
    "/new/user": "New user",
    "/new/device/{name}": "New device",
    "/new/stream/{name}/user": "New stream",
    "/edit/user/{name}": "My profile",
    "/edit/device/{name}/lamp": "Edit lamp",
    "/edit/stream/{name}/lamp/on": "Edit on",
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_barrier(household: Callable[[str], Person], scheme: str) -> None:
    person = household(scheme)
    person.sign_in()
    for path, title in PAGES.items():
        person.open(path.format(name=person.name))
        person.is_at(title)
        expect(person.page.get_by_text(re.compile("^(Reading|Loading|Counting)"))).to_have_count(0)
        try:
            person.finds_no_barrier()
            person.fits()
        except AssertionError as e:
            raise AssertionError(f"{path}: {e}") from None


def test_focus_goes_to_the_heading_of_the_page_that_one_goes_to(household: Callable[[str], Person]) -> None:
    person = household("light")
    person.sign_in()
    person.go("Devices")
    expect(person.page.get_by_role("heading", level=1, name="My devices")).to_be_focused()
    expect(person.page).to_have_title("My devices · ConnectorDB")
    person.page.go_back()
    expect(person.page.get_by_role("heading", level=1, name="Home")).to_be_focused()


def test_a_value_is_entered_and_a_switch_is_thrown_by_keyboard(household: Callable[[str], Person]) -> None:
    person = household("light")
    person.sign_in()
    keyboard = person.page.keyboard
    person.page.get_by_role("radio", name="1 star").focus()
    keyboard.press("Space")
    keyboard.press("ArrowRight")
    keyboard.press("ArrowRight")
    keyboard.press("Enter")
    person.is_notified("mood: entered.")
    with person.api() as db:
        assert db(f"{person.name}/user/mood")[-1]["d"] == 3
    person.go("Control")
    person.page.get_by_role("switch", name="on").focus()
    keyboard.press("Space")
    expect(person.page.get_by_role("list", name="Commands to on")).to_contain_text("off: waits for the device")


def test_looks_can_be_chosen(person: Person) -> None:
    person.sign_in("/account")
    person.choose("Colours", "Dark")
    dark = "getComputedStyle(document.body).backgroundColor"
    assert person.page.evaluate(dark) == "rgb(19, 24, 25)"
    person.page.reload()
    person.is_at("Account and settings")
    assert person.page.evaluate(dark) == "rgb(19, 24, 25)"
    person.choose("Time zone", "Asia/Tokyo")
    person.sees(re.compile("All times are shown in it."))
    path = f"{person.name}/user/t"
    with person.api() as db:
        db(path).create({"type": "number"})
        db(path).insert_array([{"t": START, "d": 1}])
    person.open(f"/u/{path}?view=table")
    person.sees("2023-11-15 07:13:20")
