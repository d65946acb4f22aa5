"""Pinned plots: the same in all browsers of a person."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from person import Person
from playwright.sync_api import Route, expect
from web_server import WebServer

from connectordb import ConnectorDB

pytestmark = pytest.mark.timeout(180)

PINNED = re.compile("Pinned")


def two_measured(person: Person) -> str:
    """Streams with something in them; returns where."""
    device = f"{person.name}/station"
    with person.api() as db:
        db(device).create()
        for name in ("rain", "wind"):
            db(f"{device}/{name}").create({"type": "number"})
        key = db(device).apikey
    with ConnectorDB(key, url=person.server.url) as db:
        for name in ("rain", "wind"):
            db(f"{device}/{name}").insert_array([{"t": 1_700_000_000 + i * 60, "d": i} for i in range(50)])
    return device


def pin(person: Person, path: str) -> None:
    person.open(f"/u/{path}")
    person.press("Pin to the home page")
    person.is_notified(PINNED)


def pinned(person: Person) -> Any:
    return person.page.get_by_role("region", name="Pinned")


def elsewhere(person: Person, make_page: Callable[..., Any]) -> Person:
    """The same person, at another browser."""
    return Person(make_page(), person.server, person.name, person.password)


def newest(person: Person) -> list[str]:
    with person.api() as db:
        stream = db(f"{person.name}/user/pins")
        return [one["path"][2] for one in stream[-1]["d"]] if stream.exists() and len(stream) else []


def test_phone_and_desk_show_the_same(person: Person, make_page: Callable[..., Any]) -> None:
    device = two_measured(person)
    phone = elsewhere(person, make_page)
    phone.sign_in()
    phone.is_at("Home")
    expect(phone.page.get_by_role("region", name="Newest values")).to_contain_text("wind")
    person.sign_in()
    pin(person, f"{device}/rain")
    expect(pinned(phone)).to_contain_text("rain")
    person.go("Home")
    expect(pinned(person)).to_contain_text("rain")
    pin(person, f"{device}/wind")
    phone.press("Unpin rain")
    expect(pinned(phone)).to_contain_text("wind")
    person.go("Home")
    expect(person.page.get_by_role("button", name="Unpin rain")).to_be_hidden()
    expect(pinned(person)).to_contain_text("wind")
    person.press("Unpin wind")
    expect(pinned(person)).to_be_hidden()
    expect(pinned(phone)).to_be_hidden()
    phone.finds_no_barrier()
    assert newest(person) == []
    with person.api() as db:
        stream = db(f"{person.name}/user/pins")
        assert (stream.datatype, stream.description[:22]) == ("connectordb.pins", "Plots on the home page")


def test_what_one_unpins_while_the_other_pins_stays_away(person: Person, make_page: Callable[..., Any]) -> None:
    device = two_measured(person)
    phone = elsewhere(person, make_page)
    person.sign_in()
    pin(person, f"{device}/rain")
    person.until(lambda: newest(person) == ["rain"])
    phone.sign_in()
    expect(pinned(phone)).to_contain_text("rain")
    writes: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.method == "PUT" and not writes:
            writes.append(route)
        else:
            route.continue_()

    person.open(f"/u/{device}/wind")
    person.page.route("**/user/pins/data*", hold)
    person.press("Pin to the home page")
    person.until(lambda: writes)
    phone.press("Unpin rain")
    phone.until(lambda: newest(person) == [])
    writes[0].continue_()
    person.until(lambda: newest(person) == ["wind"])
    for one in (person, phone):
        one.go("Home")
        expect(pinned(one)).to_contain_text("wind")
        expect(pinned(one)).not_to_contain_text("rain")


def test_they_are_nothing_to_be_filled_by_hand(person: Person) -> None:
    device = two_measured(person)
    with person.api() as db:
        db(f"{person.name}/user/mood").create({"type": "integer"})
    person.sign_in()
    pin(person, f"{device}/rain")
    person.go("Home")
    expect(pinned(person)).to_be_visible()
    person.page.reload()
    expect(person.page.get_by_role("form", name="Enter mood")).to_be_visible()
    expect(person.page.get_by_role("region", name="Newest values")).to_contain_text("rain")
    expect(person.page.get_by_role("form", name=re.compile("pins|Pinned"))).to_have_count(0)
    expect(person.page.get_by_text("Pinned plots")).to_have_count(0)


def test_what_both_browsers_pin_stays(person: Person, make_page: Callable[..., Any]) -> None:
    device = two_measured(person)
    phone = elsewhere(person, make_page)
    for one, name in ((person, "rain"), (phone, "wind")):
        one.sign_in(f"/u/{device}/{name}")
        expect(one.page.get_by_role("button", name="Pin to the home page")).to_be_visible()
    for one in (person, phone):
        one.press("Pin to the home page")
        one.is_notified(PINNED)
    for one in (person, phone):
        one.go("Home")
        expect(pinned(one)).to_contain_text("rain")
        expect(pinned(one)).to_contain_text("wind")


def test_without_a_server_they_are_there_and_what_is_changed_is_sent_later(own_server: WebServer, page: Any) -> None:
    person = Person(page, own_server, "test", "test")
    device = two_measured(person)
    person.sign_in()
    pin(person, f"{device}/rain")
    pin(person, f"{device}/wind")
    person.go("Home")
    expect(person.page.get_by_role("button", name="Unpin wind")).to_be_visible()
    own_server.stop()
    person.press("Unpin rain")
    expect(person.page.get_by_role("button", name="Unpin rain")).to_be_hidden()
    expect(person.page.get_by_role("button", name="Unpin wind")).to_be_visible()
    own_server.start()
    person.page.evaluate("window.dispatchEvent(new Event('online'))")
    person.until(lambda: newest(person) == ["wind"])
    person.page.reload()
    expect(person.page.get_by_role("button", name="Unpin wind")).to_be_visible()
    expect(person.page.get_by_role("button", name="Unpin rain")).to_be_hidden()


def test_what_is_changed_without_a_network_is_told_when_the_app_is_opened_anew(
    person: Person, make_page: Callable[..., Any]
) -> None:
    device = two_measured(person)
    with person.api() as db:
        db(f"{person.name}/user/mood").create({"type": "integer"})
        db(f"{person.name}/user/mood").insert(7)
    person.sign_in()
    pin(person, f"{person.name}/user/mood")
    pin(person, f"{device}/rain")
    person.until(lambda: newest(person) == ["mood", "rain"])
    person.go("Home")
    expect(person.page.get_by_role("button", name="Unpin rain")).to_be_visible()
    context = person.page.context
    context.set_offline(True)
    person.press("Unpin rain")
    expect(person.page.get_by_role("button", name="Unpin rain")).to_be_hidden()
    person.page.close()
    desk = elsewhere(person, make_page)
    desk.sign_in()
    pin(desk, f"{device}/wind")
    desk.go("Home")
    desk.until(lambda: newest(desk) == ["mood", "rain", "wind"])
    context.set_offline(False)
    phone = Person(context.new_page(), person.server, person.name, person.password)
    phone.open()
    for one in (phone, desk):
        expect(one.page.get_by_role("button", name="Unpin rain")).to_be_hidden()
        expect(one.page.get_by_role("button", name="Unpin mood")).to_be_visible()
        expect(one.page.get_by_role("button", name="Unpin wind")).to_be_visible()
    desk.until(lambda: newest(desk) == ["mood", "wind"])


def test_they_stay_where_they_are_over_an_interruption(own_server: WebServer, page: Any) -> None:
    person = Person(page, own_server, "test", "test")
    device = two_measured(person)
    person.sign_in()
    pin(person, f"{device}/rain")
    person.until(lambda: newest(person) == ["rain"])
    person.open()
    tile = person.page.get_by_role("region", name="Newest values").get_by_role("link", name=re.compile("wind"))
    expect(tile).to_contain_text("49")
    expect(pinned(person)).to_contain_text("rain")
    own_server.stop()
    own_server.start()
    with person.api() as db, ConnectorDB(db(device).apikey, url=own_server.url) as station:
        station(f"{device}/wind").insert(77)
    expect(tile).to_contain_text("77")
    expect(pinned(person)).to_contain_text("rain")
    with person.api() as db:
        db(f"{person.name}/user/pins").insert([])
    expect(pinned(person)).to_be_hidden()


def test_what_comes_while_they_are_read_stays(person: Person) -> None:
    device = two_measured(person)
    person.sign_in()
    pin(person, f"{device}/rain")
    person.until(lambda: newest(person) == ["rain"])
    person.go("Home")
    expect(pinned(person)).to_contain_text("rain")
    person.sees(re.compile("Newest values"))
    person.go("Devices")
    held: list[tuple[Route, Any]] = []
    person.page.route("**/user/pins/data?*", lambda route: held.append((route, route.fetch())), times=1)
    person.go("Home")
    person.until(lambda: held)
    expect(pinned(person)).to_contain_text("rain")
    with person.api() as db:
        db(f"{person.name}/user/pins").insert([])
    expect(pinned(person)).to_be_hidden()
    read: list[str] = []
    person.page.on(
        "response", lambda response: read.append(response.url) if "/user/pins/data" in response.url else None
    )
    ((route, response),) = held
    route.fulfill(response=response)
    person.until(lambda: len(read) > 1)
    expect(pinned(person)).to_be_hidden()


def test_nothing_in_that_stream_breaks_the_home_page(person: Person) -> None:
    device = two_measured(person)
    with person.api() as db:
        stream = db(f"{person.name}/user/pins")
        stream.create({}, datatype="connectordb.pins")
        path = f"{device}/rain".split("/")
        stream.insert(
            [
                None,
                5,
                {"title": "<img src=x onerror=alert(1)>", "path": path, "query": "view=nonsense&t1=-1e308&t2=1e308"},
                {"title": {"a": 1}, "path": path, "query": ""},
                {"title": "gone", "path": [person.name, "station", "gone"], "query": ""},
                {"title": "away", "path": ["..", "..", "javascript:alert(1)"], "query": ""},
                {"title": "script", "path": path, "query": "transform=%7C%7C%20nonsense&view=map"},
                {"title": "fine", "path": path, "query": "view=histogram"},
            ]
        )
    person.sign_in()
    expect(pinned(person)).to_contain_text("<img src=x onerror=alert(1)>")
    expect(pinned(person).get_by_role("img", name="Histogram of rain")).to_be_visible()
    expect(pinned(person).get_by_role("button", name=re.compile("^Unpin"))).to_have_count(4)
    person.fits()
    for value in ("nonsense", {"a": 1}, None, [[[]]], ["x" * 100_000]):
        with person.api() as db:
            db(f"{person.name}/user/pins").insert(value)
        expect(pinned(person)).to_be_hidden()
    expect(person.page.get_by_role("region", name="Newest values")).to_be_visible()
    pin(person, f"{device}/wind")
    person.go("Home")
    expect(pinned(person)).to_contain_text("wind")


def test_stream_of_that_name_for_something_else_is_left_alone(person: Person) -> None:
    device = two_measured(person)
    with person.api() as db:
        db(f"{person.name}/user/pins").create({"type": "integer"}, description="bowling")
    person.sign_in()
    pin(person, f"{device}/rain")
    person.go("Home")
    expect(pinned(person)).to_contain_text("rain")
    expect(person.page.get_by_role("form", name="Enter pins")).to_be_visible()
    person.page.reload()
    expect(pinned(person)).to_contain_text("rain")
    with person.api() as db:
        assert len(db(f"{person.name}/user/pins")) == 0
