"""The app without a server: it opens, and what is entered is sent later, once."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from person import Person
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def page(make_page: Callable[..., Any]) -> Any:
    """A page with its service worker."""
    return make_page(service_workers="allow")


def test_app_opens_without_a_server_and_sends_entries_later(own_server: Any, page: Any) -> None:
    person = Person(page, own_server, "test", "test")
    with person.api() as db:
        db("test/user/weight").create({"type": "number"}, nickname="Weight")
    person.sign_in()
    form = page.get_by_role("form", name="Enter Weight")
    expect(form).to_be_visible()
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    own_server.stop()
    page.goto(own_server.url + "/")
    person.sees("The server cannot be reached. What you enter is kept on this device, and sent later.")
    for value in ("70.5", "71"):
        page.get_by_label("Weight", exact=True).fill(value)
        person.press("Enter Weight")
        person.is_notified(re.compile("Weight: kept on this device"))
    page.reload()
    person.sees("Not sent yet")
    person.finds_no_barrier()
    person.fits()
    own_server.start()
    person.press("Send now")
    expect(page.get_by_text("Not sent yet")).to_be_hidden()
    expect(page.get_by_text("The server cannot be reached")).to_be_hidden()
    page.reload()
    expect(form).to_be_visible()
    with person.api() as db:
        points = db("test/user/weight")[:]
    assert [point["d"] for point in points] == [70.5, 71]
    assert points[0]["t"] < points[1]["t"]


def test_it_can_be_installed(person: Person) -> None:
    person.open()
    person.is_at("Sign in")
    link = person.page.locator("link[rel=manifest]").get_attribute("href")
    manifest = person.page.request.get(person.server.url + str(link)).json()
    assert {"name", "start_url", "display", "icons"} <= set(manifest)
    for icon in manifest["icons"]:
        answer = person.page.request.get(person.server.url + icon["src"])
        assert answer.status == 200
        assert answer.headers["content-type"] == icon["type"]


def test_who_signs_out_leaves_nothing_for_the_next(person: Person) -> None:
    with person.api() as db:
        db(f"{person.name}/user/secret").create({"type": "number"})
    person.sign_in()
    expect(person.page.get_by_role("form", name="Enter secret")).to_be_visible()
    person.go(person.name)
    person.press("Sign out")
    person.is_at("Sign in")
    kept = person.page.evaluate("Object.values(localStorage).join()")
    assert person.name not in kept
    assert "secret" not in kept
