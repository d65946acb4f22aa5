"""Entering data, and steering devices."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import pytest
from person import Person
from playwright.sync_api import expect

from connectordb import ConnectorDB

pytestmark = pytest.mark.timeout(180)


def stream(person: Person, name: str, schema: Any, device: str = "user", **fields: Any) -> str:
    path = f"{person.name}/{device}/{name}"
    with person.api() as db:
        if not db(f"{person.name}/{device}").exists():
            db(f"{person.name}/{device}").create()
        db(path).create(schema, **fields)
    return path


def stored(person: Person, path: str) -> list[Any]:
    with person.api() as db:
        return [point["d"] for point in db(path)[:]]


def form(person: Person, name: str) -> Any:
    return person.page.get_by_role("form", name=f"Enter {name}")


def test_new_person_is_told_where_to_begin(person: Person) -> None:
    person.sign_in()
    person.sees("Where to begin")
    person.finds_no_barrier()
    person.fits()
    person.follow("Something to enter by hand")
    person.is_at("New stream")


def test_stars(person: Person) -> None:
    path = stream(person, "mood", {"type": "integer", "minimum": 1, "maximum": 10}, datatype="rating.stars")
    person.sign_in()
    mood = form(person, "mood")
    mood.get_by_role("button", name="Enter mood").click()
    person.sees("Please enter something.")
    mood.get_by_role("radio", name="7 stars").check(force=True)
    person.page.keyboard.press("ArrowRight")
    expect(mood.get_by_role("radio", name="8 stars")).to_be_checked()
    person.finds_no_barrier()
    person.fits()
    mood.get_by_role("button", name="Enter mood").click()
    person.is_notified("mood: entered.")
    assert stored(person, path) == [8]
    expect(mood.get_by_role("radio", name="8 stars")).not_to_be_checked()


def test_yes_no_slider_text_choice_and_diary(person: Person) -> None:
    paths = {
        "pills": stream(person, "pills", {"type": "boolean"}),
        "pain": stream(person, "pain", {"type": "number", "minimum": 0, "maximum": 10}),
        "food": stream(person, "food", {"type": "string"}),
        "sky": stream(person, "sky", {"type": "string", "enum": ["clear", "cloudy"]}),
        "diary": stream(person, "diary", {"type": "string"}, datatype="log.diary"),
        "weight": stream(person, "weight", {"type": "number"}),
    }
    person.sign_in()
    form(person, "pills").get_by_text("No", exact=True).click()
    slider = form(person, "pain").get_by_role("slider", name="pain")
    slider.focus()
    person.page.keyboard.press("Home")
    person.page.keyboard.press("ArrowRight")
    person.page.get_by_label("pain, as a number").fill("2,5")
    person.page.get_by_label("food", exact=True).fill("<b>soup</b>")
    form(person, "sky").get_by_text("cloudy").click()
    person.page.get_by_label("diary", exact=True).fill("A day.\nA line.")
    person.page.get_by_label("weight", exact=True).fill("about 70")
    person.press("Enter weight")
    person.sees("It has to be a number.")
    person.page.get_by_label("weight", exact=True).fill("70.5")
    person.finds_no_barrier()
    person.fits()
    wanted = {
        "pills": False,
        "pain": 2.5,
        "food": "<b>soup</b>",
        "sky": "cloudy",
        "diary": "A day.\nA line.",
        "weight": 70.5,
    }
    for name in wanted:
        person.press(f"Enter {name}")
        person.is_notified(f"{name}: entered.")
    assert {name: stored(person, path) for name, path in paths.items()} == {k: [v] for k, v in wanted.items()}


def test_comma_that_may_stand_between_thousands_is_not_guessed(person: Person) -> None:
    path = stream(person, "steps", {"type": "integer"})
    part = stream(person, "walk", {"type": "object", "properties": {"steps": {"type": "number", "title": "Far"}}})
    person.sign_in()
    steps = person.page.get_by_label("steps", exact=True)
    steps.fill("12,000")
    person.press("Enter steps")
    person.sees("12000 or 12.000? Write it without a comma.")
    steps.fill("12000")
    person.press("Enter steps")
    person.is_notified("steps: entered.")
    far = person.page.get_by_label("Far (may be left out)", exact=True)
    far.fill("1,234.5")
    person.press("Enter walk")
    person.sees("Write it without commas: 1234.5.")
    person.fits()
    far.fill("1234,5")
    person.press("Enter walk")
    person.is_notified("walk: entered.")
    assert (stored(person, path), stored(person, part)) == ([12000], [{"steps": 1234.5}])


def test_decimal_comma_stays_while_one_types(person: Person) -> None:
    path = stream(person, "pain", {"type": "number", "minimum": 0, "maximum": 5000})
    person.sign_in()
    number = person.page.get_by_label("pain, as a number")
    number.press_sequentially("1,05")
    expect(number).to_have_value("1,05")
    number.press_sequentially("0")
    person.press("Enter pain")
    person.sees("1050 or 1.050? Write it without a comma.")
    number.fill("1,05")
    person.press("Enter pain")
    person.is_notified("pain: entered.")
    assert stored(person, path) == [1.05]


def test_object_by_a_form_made_of_its_schema(person: Person) -> None:
    schema = {
        "type": "object",
        "properties": {
            "weight": {"type": "number", "title": "Weight in kg", "minimum": 20, "exclusiveMinimum": True},
            "clothes": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "note": {"type": "string"},
        },
        "required": ["weight"],
    }
    path = stream(person, "body", schema)
    person.sign_in(f"/u/{path}")
    person.press("Enter body")
    person.sees("Please enter something.")
    person.fill("Weight in kg", "10")
    person.press("Enter body")
    person.sees("It has to be above 20.")
    person.fill("Weight in kg", "72")
    form(person, "body").get_by_text("Yes", exact=True).click()
    person.press("Add an entry")
    person.fill("Entry 1", "morning")
    person.finds_no_barrier()
    person.fits()
    person.press("Enter body")
    person.is_notified("body: entered.")
    assert stored(person, path) == [{"weight": 72, "clothes": True, "tags": ["morning"]}]
    person.sees("morning")


def test_another_time_goes_where_it_belongs(person: Person) -> None:
    path = stream(person, "weight", {"type": "number"})
    with person.api() as db:
        db(path).insert(80)
    person.sign_in()
    person.page.get_by_label("weight", exact=True).fill("79")
    person.press("At another time for weight")
    person.fill("When", "1970-01-01T01:00:00")  # in Amsterdam: the server would take 0 for now
    person.press("Enter weight")
    person.sees("It has to be after the beginning of 1970.")
    person.fill("When", "2024-07-01T12:00:00")
    person.press("Enter weight")
    person.is_notified("weight: entered.")
    with person.api() as db:
        first, _ = db(path)[:]
    assert (first["t"], first["d"]) == (1_719_828_000, 79)  # 12:00 in Amsterdam


def test_time_that_the_clock_shows_twice_or_never(person: Person) -> None:
    path = stream(person, "weight", {"type": "number"})
    person.page.clock.set_fixed_time("2025-10-26T01:30:00Z")  # the second 02:30 in Amsterdam
    person.sign_in()
    person.page.get_by_label("weight", exact=True).fill("1")
    person.press("At another time for weight")
    second = person.page.get_by_label("The second time")
    expect(second).to_be_checked()
    person.finds_no_barrier()
    person.fits()
    person.press("Enter weight")
    person.is_notified("weight: entered.")
    person.page.get_by_label("weight", exact=True).fill("2")
    person.press("At another time for weight")
    second.uncheck()
    person.press("Enter weight")
    expect(second).to_be_hidden()
    person.page.get_by_label("weight", exact=True).fill("3")
    person.press("At another time for weight")
    person.fill("When", "2025-03-30T02:30:00")
    expect(second).to_be_hidden()
    person.sees(re.compile("The clock was put forward over this time: it is entered for 2025-03-30 03:30:00."))
    person.fits()
    person.press("Enter weight")
    expect(person.page.get_by_label("When")).to_be_hidden()
    with person.api() as db:
        points = [(point["t"], point["d"]) for point in db(path)[:]]
    assert points == [(1_743_298_200, 3), (1_761_438_600, 2), (1_761_442_200, 1)]


def test_value_for_another_device_is_written_as_that_device(person: Person) -> None:
    path = stream(person, "temperature", {"type": "number"}, device="station")
    person.sign_in(f"/u/{path}")
    person.page.get_by_text("Add a value by hand").click()
    person.page.get_by_label("temperature", exact=True).fill("-3.5")
    person.press("Enter temperature")
    person.is_notified("temperature: entered.")
    with person.api() as db:
        (point,) = db(path)[:]
    assert point["d"] == -3.5
    assert "o" not in point


def test_entry_without_a_server_is_kept_and_sent_once(own_server: Any, page: Any) -> None:
    person = Person(page, own_server, "test", "test")
    path = stream(person, "weight", {"type": "number"})
    person.sign_in()
    person.page.get_by_label("weight", exact=True).fill("70")
    own_server.stop()
    person.press("Enter weight")
    person.is_notified(re.compile("weight: kept on this device."))
    person.sees("Not sent yet")
    own_server.start()
    person.press("Send now")
    expect(person.page.get_by_text("Not sent yet")).to_be_hidden()
    assert stored(person, path) == [70]


def test_lost_answer_does_not_double_an_entry(person: Person) -> None:
    """The insert arrives, its answer does not: when it is sent again, the server knows it."""
    path = stream(person, "weight", {"type": "number"})
    person.sign_in()
    lost: list[int] = []

    def lose_the_first(route: Any) -> None:
        if route.request.method == "PATCH" and not lost:
            lost.append(route.fetch().status)
            route.abort("connectionreset")
        else:
            route.continue_()

    person.page.route("**/data?*", lose_the_first)
    person.page.get_by_label("weight", exact=True).fill("70")
    person.press("Enter weight")
    person.is_notified(re.compile("kept on this device"))
    assert lost == [200]
    person.page.reload()
    person.is_notified("An entry was sent that had been kept on this device.")
    expect(person.page.get_by_text("Not sent yet")).to_be_hidden()
    assert stored(person, path) == [70]


def test_what_the_server_refuses_is_told(person: Person) -> None:
    path = stream(person, "weight", {"type": "number"})
    person.sign_in()
    expect(form(person, "weight")).to_be_visible()
    with person.api() as db:
        db(path).schema = {"type": "string"}
    person.page.get_by_label("weight", exact=True).fill("70")
    person.press("Enter weight")
    person.is_told(re.compile("string"))
    expect(person.page.get_by_text("Not sent yet")).to_be_hidden()
    assert stored(person, path) == []


def test_newest_values_come_while_one_looks(person: Person) -> None:
    path = stream(person, "temperature", {"type": "number"}, device="station")
    with person.api() as db:
        key = db(f"{person.name}/station").apikey
    with ConnectorDB(key, url=person.server.url) as station:
        station(path).insert(20.5)
        person.sign_in()
        values = person.page.get_by_role("region", name="Newest values")
        expect(values).to_contain_text("20.5")
        station(path).insert(21.75)
        expect(values).to_contain_text("21.75")
    person.finds_no_barrier()
    person.fits()


def test_device_that_has_gone_silent_is_told(person: Person) -> None:
    for device, ago in (("alive", 0), ("dead", 5 * 3600)):
        path = stream(person, "temperature", {"type": "number"}, device=device)
        with person.api() as db:
            key = db(f"{person.name}/{device}").apikey
        with ConnectorDB(key, url=person.server.url) as db:
            now = time.time() - ago
            db(path).insert_array([{"t": now - i * 60, "d": i} for i in range(30, 0, -1)])
    person.sign_in()
    silent = person.page.get_by_role("region", name="Gone silent")
    expect(silent.get_by_role("link")).to_have_count(1)
    expect(
        silent.get_by_role("link", name=re.compile("dead Nothing for 5 hours; usually something comes every 1 minute."))
    ).to_be_visible()
    person.finds_no_barrier()
    person.fits()


def test_silent_device_is_told_among_many_others(person: Person) -> None:
    """However many streams there are of which something newer is known."""
    with person.api() as db:
        now = time.time()
        for device, ago, n in (("busy", 0, 30), ("dead", 5 * 3600, 1)):
            streams = {f"s{i}": {"schema": '{"type": "number"}'} for i in range(n)}
            db(f"{person.name}/{device}").create(streams=streams)
            with ConnectorDB(db(f"{person.name}/{device}").apikey, url=person.server.url) as own:
                for name in streams:
                    points = [{"t": now - ago - i * 60, "d": i} for i in range(10, 0, -1)]
                    own(f"{person.name}/{device}/{name}").insert_array(points)
    person.sign_in()
    silent = person.page.get_by_role("region", name="Gone silent")
    expect(silent.get_by_role("link", name=re.compile("dead Nothing for 5 hours"))).to_be_visible()
    newest = person.page.get_by_role("region", name="Newest values")
    expect(newest.get_by_role("listitem")).to_have_count(24)


def test_pinned_plot_is_on_the_home_page(person: Person) -> None:
    path = stream(person, "temperature", {"type": "number"}, device="station")
    with person.api() as db:
        key = db(f"{person.name}/station").apikey
    with ConnectorDB(key, url=person.server.url) as db:
        db(path).insert_array([{"t": 1_700_000_000 + i * 60, "d": i} for i in range(50)])
    person.sign_in(f"/u/{path}?view=histogram")
    person.press("Pin to the home page")
    person.is_notified(re.compile("Pinned"))
    person.go("Home")
    pinned = person.page.get_by_role("region", name="Pinned")
    expect(pinned.get_by_role("img", name="Histogram of temperature")).to_be_visible()
    person.finds_no_barrier()
    person.fits()
    person.press("Unpin temperature")
    expect(pinned).to_be_hidden()


def test_switch_and_what_becomes_of_it(person: Person) -> None:
    path = stream(person, "light", {"type": "boolean"}, device="lamp", downlink=True)
    with person.api() as db:
        key = db(f"{person.name}/lamp").apikey
    done = threading.Event()
    person.sign_in()
    person.go("Control")
    person.is_at("Control")
    switch = person.page.get_by_role("switch", name="light")
    expect(switch).not_to_be_checked()
    switch.click()
    commands = person.page.get_by_role("list", name="Commands to light")
    expect(commands).to_contain_text("on: waits for the device")
    person.finds_no_barrier()
    person.fits()
    with ConnectorDB(key, url=person.server.url) as lamp:

        def obey(_path: str, _data: Any) -> bool:
            done.set()
            return True

        lamp(path).subscribe(obey, downlink=True)
        assert done.wait(20)
        expect(commands).to_contain_text("on: done")
        person.sees(re.compile(r"Now: on \("))
        expect(switch).to_be_checked()
        switch.click()
        person.sees(re.compile(r"Now: off \("))
        expect(switch).not_to_be_checked()
    assert stored(person, path) == [True, False]


def test_later_command_replaces_the_one_that_waits(person: Person) -> None:
    path = stream(person, "brightness", {"type": "integer", "minimum": 0, "maximum": 100}, device="lamp", downlink=True)
    person.sign_in(f"/u/{path}")
    command = person.page.get_by_role("form", name="Command to brightness")
    number = command.get_by_label("brightness, as a number")
    for value in ("30", "80"):
        number.fill(value)
        person.press("Send to brightness")
        expect(person.page.get_by_role("list", name="Commands to brightness")).to_contain_text(
            f"{value}: waits for the device"
        )
    expect(person.page.get_by_role("list", name="Commands to brightness")).to_contain_text(
        "30: replaced by a later one"
    )
    number.fill("300")
    person.press("Send to brightness")
    person.sees("It has to be at most 100.")
    person.finds_no_barrier()
    person.fits()


def test_wrong_clock_of_the_browser_does_not_matter(person: Person) -> None:
    path = stream(person, "weight", {"type": "number"})
    person.page.clock.install(time=time.time() - 86_400)
    person.sign_in()
    person.page.get_by_label("weight", exact=True).fill("70")
    person.press("Enter weight")
    person.is_notified("weight: entered.")
    with person.api() as db:
        (point,) = db(path)[:]
    assert abs(point["t"] - time.time()) < 30
