"""A browser, and servers for it to look at. Each test with a ``page`` runs on a wide and on a narrow screen."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from playwright import sync_api as playwright_api

# The helpers stand beside the tests; pytest's importlib mode does not look there by itself.
sys.path.insert(0, str(Path(__file__).parent))

import browser as browsers
from person import PATIENCE_S, Person
from web_server import WebServer

ROOT = Path(__file__).parents[2]
WIDE, NARROW = (1280, 900), (360, 740)
PATIENCE_MS = 1000 * PATIENCE_S

_numbers = count(1)
playwright_api.expect.set_options(timeout=PATIENCE_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A failing page must not make all others wait for it as well: these tests come in their own order."""
    here = str(Path(__file__).parent)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.web)


@pytest.fixture(scope="session")
def built() -> None:
    """The web app is built from the sources as they are."""
    import subprocess

    done = subprocess.run([sys.executable, str(ROOT / "web" / "build.py")], capture_output=True, text=True, check=False)
    if done.returncode:
        _missing(f"the web app cannot be built: {done.stderr[-2000:]}")


@pytest.fixture(scope="module")
def chromium(built: None) -> Iterator[Any]:
    """A browser.

    As long as Playwright has one, its event loop runs in this thread, which tests of other folders need for theirs.
    """
    path = browsers.provide()
    if path is None:
        _missing("there is no Chromium")
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


def _missing(what: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """A server that all tests share."""
    yield from _serving(WebServer(tmp_path_factory.mktemp("web") / "db"))


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[WebServer]:
    """A server of this test's own."""
    yield from _serving(WebServer(tmp_path / "db"))


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[WebServer]:
    """A server on a database without any user."""
    yield from _serving(WebServer(tmp_path / "db", empty=True))


def _serving(server: WebServer) -> Iterator[WebServer]:
    server.start()
    try:
        yield server
    finally:
        server.stop()
    assert server.faults() == []


@pytest.fixture(params=[WIDE, NARROW], ids=["wide", "narrow"])
def screen(request: pytest.FixtureRequest) -> tuple[int, int]:
    """Width and height of the screen."""
    size: tuple[int, int] = request.param
    return size


@pytest.fixture
def make_page(chromium: Any, screen: tuple[int, int]) -> Iterator[Callable[..., Any]]:
    """Opens pages, each in a browser profile of its own; fails the test if one of them has an error in its console."""
    contexts: list[Any] = []
    faults: list[str] = []

    def make(**options: Any) -> Any:
        width, height = screen
        # Tests cannot interfere with requests that pass through a service worker, which begins its work at some time.
        options = {"locale": "en-GB", "timezone_id": "Europe/Amsterdam", "service_workers": "block", **options}
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(f"uncaught: {error.stack or error}"))
        page.on("console", lambda message: _note(message, faults))
        return page

    yield make
    for context in contexts:
        context.close()
    assert not faults


def _note(message: Any, faults: list[str]) -> None:
    # That an answer was an error is something that pages deal with; all else is a fault of theirs.
    told = ("Failed to load resource", "WebSocket connection to")
    if message.type == "error" and not any(text in message.text for text in told):
        faults.append(message.text)


@pytest.fixture
def page(make_page: Callable[..., Any]) -> Any:
    """A page on which nothing has been opened yet."""
    return make_page()


@pytest.fixture
def person(server: WebServer, page: Any) -> Person:
    """A user of one's own, with one's own page, not signed in yet."""
    name = f"person{next(_numbers)}"
    with server.connect() as db:
        db(name).create(f"{name}@example.com", "secret", public=False)
    return Person(page, server, name, "secret")
