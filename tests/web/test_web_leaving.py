"""Leaving a page with something unsaved, and coming back to one."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from person import Person
from playwright.sync_api import Dialog, Route, expect
from web_server import WebServer

pytestmark = pytest.mark.timeout(180)

TEXT = "Dear diary, today the bees came back to the garden."


class Answers:
    """What the person answers when the page asks whether to leave; and how often it has asked."""

    def __init__(self, page: Any) -> None:
        self.leave = False
        self.asked = 0
        page.on("dialog", lambda dialog: self._answer(dialog))

    def _answer(self, dialog: Dialog) -> None:
        self.asked += 1
        if self.leave:
            dialog.accept()
        else:
            dialog.dismiss()


def diary_of(person: Person) -> str:
    path = f"{person.name}/user/diary"
    with person.api() as db:
        db(path).create({"type": "string"}, datatype="log.diary")
    return path


def test_long_entry_is_not_lost_by_leaving(person: Person) -> None:
    diary_of(person)
    person.sign_in()
    answers = Answers(person.page)
    field = person.page.get_by_role("form", name="Enter diary").get_by_role("textbox")
    field.fill(TEXT)
    person.follow("diary")
    expect(field).to_have_value(TEXT)
    assert answers.asked == 1
    answers.leave = True
    person.follow("diary")
    person.is_at("diary")
    person.go("Home")
    expect(field).to_have_value("")
    field.fill(TEXT)
    person.press("Enter diary")
    person.is_notified("diary: entered.")
    person.follow("diary")
    person.is_at("diary")
    assert answers.asked == 2
    person.go("Home")
    field.fill("short")
    person.follow("diary")
    person.is_at("diary")
    assert answers.asked == 2


def end_session(person: Person) -> None:
    """The password is changed elsewhere."""
    person.password = f"{person.password}-changed"
    with person.server.connect() as db:
        db(person.name).set({"password": person.password})


def sign_in_again(person: Person, name: str = "", password: str = "") -> None:
    person.is_at("Sign in")
    person.fill("User name or e-mail address", name or person.name)
    person.fill("Password", password or person.password)
    person.press("Sign in")
    person.is_at("Home")


def test_long_entry_is_not_lost_by_the_end_of_the_session(person: Person) -> None:
    path = diary_of(person)
    person.sign_in()
    field = person.page.get_by_role("form", name="Enter diary").get_by_role("textbox")
    field.fill(TEXT)
    end_session(person)
    person.is_at("Sign in")
    person.sees(re.compile("What you were about to enter is there again when you sign in."))
    person.page.reload()
    sign_in_again(person)
    expect(field).to_have_value(TEXT)
    person.press("Enter diary")
    person.is_notified("diary: entered.")
    person.page.reload()
    expect(field).to_have_value("")
    with person.api() as db:
        assert [point["d"] for point in db(path)[:]] == [TEXT]


def test_long_entry_is_for_nobody_else_who_signs_in(person: Person) -> None:
    diary_of(person)
    person.sign_in()
    field = person.page.get_by_role("form", name="Enter diary").get_by_role("textbox")
    field.fill(TEXT)
    end_session(person)
    sign_in_again(person, "test", "test")
    assert "bees" not in person.page.evaluate("JSON.stringify({...sessionStorage, ...localStorage})")
    person.go("test")
    person.press("Sign out")
    person.is_at("Sign in")
    person.open()
    sign_in_again(person)
    expect(field).to_have_value("")


def test_long_entry_that_meets_the_end_of_the_session_is_sent_once(person: Person) -> None:
    path = diary_of(person)
    person.page.route_web_socket(re.compile("/websocket"), lambda _socket: None)  # which would tell of it
    person.sign_in()
    field = person.page.get_by_role("form", name="Enter diary").get_by_role("textbox")
    field.fill(TEXT)
    end_session(person)
    person.press("Enter diary")
    sign_in_again(person)
    person.is_notified("An entry was sent that had been kept on this device.")
    expect(field).to_have_value("")
    with person.api() as db:
        assert [point["d"] for point in db(path)[:]] == [TEXT]


def test_what_is_typed_while_an_entry_is_sent_stays(person: Person) -> None:
    path = diary_of(person)
    person.sign_in()
    field = person.page.get_by_role("form", name="Enter diary").get_by_role("textbox")
    held: list[Route] = []
    person.page.route("**/data?*", lambda route: held.append(route))
    field.fill("The first.")
    person.press("Enter diary")
    person.until(lambda: held)
    field.fill(TEXT)
    held.pop().continue_()
    person.is_notified("diary: entered.")
    expect(field).to_have_value(TEXT)
    person.press("Enter diary")
    person.until(lambda: held)
    held.pop().continue_()
    expect(field).to_have_value("")
    with person.api() as db:
        assert [point["d"] for point in db(path)[:]] == ["The first.", TEXT]


def test_pasted_data_is_not_lost_by_leaving(person: Person) -> None:
    person.sign_in("/upload")
    answers = Answers(person.page)
    person.fill("Or paste it here", "t,d\n1700000000,5")
    person.go("Home")
    expect(person.page.get_by_label("Or paste it here")).to_have_value("t,d\n1700000000,5")
    assert answers.asked == 1
    person.fill("Name of the new stream", "pasted")
    person.press("Try, without storing anything")
    person.press("Upload 1 values")
    person.sees("1 values were stored.")
    person.follow("Look at the stream")
    person.is_at("pasted")
    assert answers.asked == 1


def test_way_back_asks_too(person: Person) -> None:
    person.sign_in("/devices")
    person.is_at("Devices")
    person.go("Home")
    person.open(f"/u/{person.name}/user")
    person.follow("Edit")
    person.is_at("Edit user")
    answers = Answers(person.page)
    person.fill("Description", "by hand")
    person.page.go_back()
    person.until(lambda: answers.asked == 1)
    person.is_at("Edit user")
    expect(person.page.get_by_label("Description", exact=True)).to_have_value("by hand")
    person.page.wait_for_url("**/edit**")
    answers.leave = True
    person.page.go_back()
    person.is_at("user")
    person.page.go_forward()
    person.is_at("Edit user")
    assert answers.asked == 2


def test_way_back_over_links_within_a_page_asks_too(person: Person) -> None:
    person.sign_in(f"/u/{person.name}/user")
    person.is_at("user")
    person.page.get_by_role("link", name="Skip to the content").focus()
    person.page.keyboard.press("Enter")
    person.page.wait_for_url("**/user#*")
    person.follow("Edit")
    person.is_at("Edit user")
    place = person.page.url
    answers = Answers(person.page)
    person.fill("Description", "by hand")
    for steps in (-1, -2):
        before = answers.asked
        person.page.evaluate(f"history.go({steps})")
        person.until(lambda before=before: answers.asked == before + 1)
        person.page.wait_for_url(place)
        person.is_at("Edit user")
        expect(person.page.get_by_label("Description", exact=True)).to_have_value("by hand")
    answers.leave = True
    person.page.evaluate("history.go(-2)")
    person.is_at("user")
    assert answers.asked == 3


def test_correction_is_not_lost_by_escape(person: Person) -> None:
    path = diary_of(person)
    with person.api() as db:
        db(path).insert("short")
    person.sign_in(f"/u/{path}?view=table&range=all")
    answers = Answers(person.page)
    person.page.get_by_role("button", name=re.compile("^Edit short")).click()
    dialog = person.page.get_by_role("dialog")
    dialog.get_by_label("diary", exact=True).fill(TEXT)
    person.page.keyboard.press("Escape")
    person.until(lambda: answers.asked == 1)
    expect(dialog.get_by_label("diary", exact=True)).to_have_value(TEXT)
    answers.leave = True
    person.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_long_text_is_read_to_its_end(person: Person) -> None:
    path = diary_of(person)
    with person.api() as db:
        db(path).insert("\n".join(f"Line {i} of a long day." for i in range(500)))
    person.sign_in(f"/u/{path}?view=table&range=all")
    row = person.page.get_by_role("row").nth(1)
    row.get_by_text(re.compile("^Line 0 of a long day")).click()
    text = row.get_by_text(re.compile("Line 499 of a long day.$"))
    assert text.inner_text().splitlines() == [f"Line {i} of a long day." for i in range(500)]
    person.finds_no_barrier()
    person.fits()
    row.get_by_text("Less").click()
    expect(text).to_be_hidden()


def test_page_opened_while_the_server_was_away_comes_when_it_is_back(own_server: WebServer, page: Any) -> None:
    person = Person(page, own_server, "test", "test")
    person.sign_in("/devices")
    person.is_at("Devices")
    person.go("Home")
    person.is_at("Home")
    own_server.stop()
    person.go("Devices")
    person.is_told("The server does not answer")
    own_server.start()
    expect(page.get_by_role("link", name=re.compile("^user "))).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_home_comes_when_a_server_that_comes_and_goes_stays(own_server: WebServer, page: Any) -> None:
    with own_server.connect() as db:
        db("test/user/mood").create({"type": "integer"}, nickname="How it is")
        db("test/user/mood").insert(5)
    person = Person(page, own_server, "test", "test")
    person.sign_in("/")
    person.go("Devices")
    person.is_at("Devices")
    own_server.stop()
    person.go("Home")
    person.is_at("Home")
    refused: list[str] = []

    def go(route: Any) -> None:
        refused.append(route.request.url)
        route.abort("connectionrefused")

    page.route("**/api/v1/crud/**", go)
    own_server.start()
    person.until(lambda: len(refused) > 1)
    page.unroute("**/api/v1/crud/**")
    expect(page.get_by_role("link", name=re.compile("How it is")).first).to_be_visible()


def test_link_to_an_analysis_leads_to_its_result(person: Person) -> None:
    path = f"{person.name}/user/mood"
    with person.api() as db:
        db(path).create({"type": "integer"})
        db(path).insert_array([{"t": time.time() - i, "d": i} for i in range(7, 0, -1)])
    person.sign_in("/analyse")
    person.choose("Put together", "one after the other (merge)")
    person.choose("Time", "all")
    person.choose("Stream", "user/mood")
    person.press("Show")
    person.sees("7 rows")
    person.page.reload()
    person.sees("7 rows")
    person.go("Home")
    person.is_at("Home")
    person.page.go_back()
    person.sees("7 rows")
