"""What a person does on a page."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect
from web_server import WebServer

from connectordb import ConnectorDB

PATIENCE_S = 30
AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"


class Person:
    """Somebody with a browser and an account.

    Attributes:
        page: The page of the browser.
        name: User name.
        password: Password.
    """

    def __init__(self, page: Page, server: WebServer, name: str, password: str) -> None:
        self.page = page
        self.server = server
        self.name = name
        self.password = password

    def open(self, path: str = "/") -> None:
        """Go to a page by its address."""
        self.page.goto(self.server.url + path)

    def sign_in(self, path: str = "/") -> None:
        """Go to a page by its address, and sign in there."""
        self.open(path)
        self.fill("User name or e-mail address", self.name)
        self.fill("Password", self.password)
        self.press("Sign in")
        expect(self.page.get_by_role("heading", level=1, name="Sign in")).to_be_hidden()

    def fill(self, label: str, text: str) -> None:
        """Type into a field."""
        self.page.get_by_label(label, exact=True).fill(text)

    def press(self, name: str) -> None:
        """Press a button."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def follow(self, name: str) -> None:
        """Follow a link of the page."""
        self.page.get_by_role("main").get_by_role("link", name=name, exact=True).first.click()

    def go(self, name: str) -> None:
        """Go somewhere by the main navigation, which is behind a button on a narrow screen."""
        expect(self.page.get_by_role("heading", level=1)).to_be_visible()
        menu = self.page.get_by_role("button", name="Menu")
        if menu.is_visible() and menu.get_attribute("aria-expanded") == "false":
            menu.click()
        self.page.get_by_role("navigation", name="Main").get_by_role("link", name=name).click()

    def choose(self, label: str, option: str) -> None:
        """Choose in a list."""
        self.page.get_by_label(label, exact=True).select_option(label=option)

    def sees(self, text: str | re.Pattern[str]) -> Locator:
        """Expect a text, and return where it is."""
        found = self.page.get_by_text(text).first
        expect(found).to_be_visible()
        return found

    def is_at(self, title: str | re.Pattern[str]) -> None:
        """Expect a page, by its heading."""
        expect(self.page.get_by_role("heading", level=1, name=title)).to_be_visible()

    def is_told(self, text: str | re.Pattern[str]) -> None:
        """Expect to be told of a fault."""
        expect(self.page.get_by_role("alert").filter(has_text=text).first).to_be_visible()

    def is_notified(self, text: str | re.Pattern[str]) -> None:
        """Expect a short message."""
        expect(self.page.get_by_role("status").filter(has_text=text).first).to_be_visible()

    def until(self, true: Callable[[], Any]) -> None:
        """Wait for what is not seen on the page, while the page goes on."""
        end = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < end, "it has not come true"
            self.page.wait_for_timeout(20)

    def fits(self) -> None:
        """Expect that nothing sticks out of the screen."""
        wide = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"the page is {wide} pixels wider than the screen"

    def finds_no_barrier(self) -> None:
        """Expect that axe finds no serious fault of accessibility."""
        self.page.evaluate(AXE.read_text() + "; undefined")
        found: Any = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        serious = [
            f"{v['id']} ({v['impact']}): {[n['html'][:150] + ' // ' + n['failureSummary'][:300] for n in v['nodes']]}"
            for v in found["violations"]
            if v["impact"] in ("serious", "critical")
        ]
        assert not serious, "\n".join(serious)

    def api(self) -> ConnectorDB:
        """A client of the API, as this user."""
        return self.server.connect(self.name, self.password)
