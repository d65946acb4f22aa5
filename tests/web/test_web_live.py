"""What is written while a page opens, and while it is looked at."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from person import Person
from playwright.sync_api import WebSocketRoute, expect

from connectordb import ConnectorDB
from connectordb.client import Stream

pytestmark = pytest.mark.timeout(180)


class HeldBack:
    """What a page says on its websocket, kept until it is let through."""

    def __init__(self, person: Person) -> None:
        self._held: list[tuple[WebSocketRoute, str | bytes]] | None = []
        person.page.route_web_socket(re.compile("/websocket"), self._connect)

    def _connect(self, route: WebSocketRoute) -> None:
        server = route.connect_to_server()
        route.on_message(lambda message: self._take(server, message))

    def _take(self, server: WebSocketRoute, message: str | bytes) -> None:
        if self._held is None:
            server.send(message)
        else:
            self._held.append((server, message))

    @property
    def waits(self) -> bool:
        """Whether the page has said something."""
        return bool(self._held)

    def let_through(self) -> None:
        """Say all of it to the server, and what comes at once."""
        held, self._held = self._held or [], None
        for server, message in held:
            server.send(message)


@pytest.fixture
def sensor(person: Person) -> Iterator[Stream]:
    """A stream with two values, written by its own device."""
    device = f"{person.name}/sensor"
    with person.api() as db:
        db(device).create()
        db(f"{device}/level").create({"type": "integer", "minimum": 0, "maximum": 100}, downlink=True)
        key = db(device).apikey
    with ConnectorDB(key, url=person.server.url) as db:
        stream = db(f"{device}/level")
        stream.insert_array([{"t": time.time() - 3600 + i, "d": d} for i, d in enumerate([20, 22])])
        yield stream


def test_plot_has_what_is_written_before_the_page_is_told(person: Person, sensor: Stream) -> None:
    held = HeldBack(person)
    person.sign_in(f"/u/{sensor.path}?view=line&range=all")
    person.sees(re.compile("From 20 to 22;"))
    person.until(lambda: held.waits)
    sensor.insert(61)
    held.let_through()
    person.sees(re.compile("From 20 to 61;"))
    sensor.insert(73)
    person.sees(re.compile("From 20 to 73;"))


def test_plot_is_drawn_while_values_come_faster_than_answers(person: Person, sensor: Stream) -> None:
    person.sign_in()
    person.is_at("Home")
    slow = {"offline": False, "latency": 400, "downloadThroughput": -1, "uploadThroughput": -1}
    person.page.context.new_cdp_session(person.page).send("Network.emulateNetworkConditions", slow)
    level, ended = [61], threading.Event()

    def write() -> None:
        while not ended.wait(0.1):
            sensor.insert(level[-1])

    with ThreadPoolExecutor() as pool:
        writing = pool.submit(write)
        try:
            person.open(f"/u/{sensor.path}?view=line&range=all")
            person.sees(re.compile("From 20 to 61;"))
            level.append(73)
            person.sees(re.compile("From 20 to 73;"))
        finally:
            ended.set()
        writing.result()


def test_newest_values_have_what_is_written_before_the_page_is_told(person: Person, sensor: Stream) -> None:
    held = HeldBack(person)
    person.sign_in()
    tile = person.page.get_by_role("link", name=re.compile("level"))
    expect(tile).to_contain_text("22")
    person.until(lambda: held.waits)
    sensor.insert(61)
    held.let_through()
    expect(tile).to_contain_text("61")
    sensor.insert(73)
    expect(tile).to_contain_text("73")


def test_slider_stands_where_it_was_put_before_the_page_is_told(person: Person, sensor: Stream) -> None:
    held = HeldBack(person)
    person.sign_in("/downlinks")
    number = person.page.get_by_label("level, as a number")
    expect(number).to_have_value("22")
    person.until(lambda: held.waits)
    sensor.insert(61)
    held.let_through()
    expect(number).to_have_value("61")
    sensor.insert(73)
    expect(number).to_have_value("73")


def test_all_values_are_in_view_also_those_from_before_the_first(person: Person, sensor: Stream) -> None:
    person.sign_in(f"/u/{sensor.path}?view=table&range=all")
    rows = person.page.get_by_role("table").get_by_role("row")
    expect(rows).to_have_count(3)
    person.sees("Live: what is written is seen at once.")
    sensor.insert_array([{"t": time.time() - 86400, "d": 7}], merge=True)
    expect(rows).to_have_count(4)
    expect(rows.nth(3)).to_contain_text("7")


def test_all_values_of_a_stream_that_was_empty_are_in_view(person: Person, sensor: Stream) -> None:
    sensor.delete(i1=0)
    person.sign_in(f"/u/{sensor.path}?view=table&range=all")
    person.sees("There is nothing in this stream yet.")
    sensor.insert_array([{"t": time.time() - 60 + i, "d": d} for i, d in enumerate([1, 2, 3])])
    expect(person.page.get_by_role("table").get_by_role("row")).to_have_count(4)
