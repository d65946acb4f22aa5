"""Looking at streams of millions of values: few and small requests, no peak lost, nothing wrong shown silently."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import smoothness
from long_streams import fill
from person import Person
from playwright.sync_api import expect
from web_server import WebServer

pytestmark = pytest.mark.timeout(600)  # the first of them makes the streams

START = 1_700_000_000
N = 6_000_000
PEAK = 2_345_678
QUIET = 6


@pytest.fixture(scope="module")
def long_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """A server on streams of the user test: ``numbers``, one a second with one peak, and ``light``, on and off."""
    server = WebServer(tmp_path_factory.mktemp("zoom") / "db")
    server.start()
    with server.connect() as db:
        db("test/user/numbers").create({"type": "number"})
        db("test/user/light").create({"type": "boolean"})
    server.stop()
    fill(server, "numbers", N, _numbers, start=START + 0.25)
    fill(server, "light", N // 10, lambda k: k % 4 == 0, start=START + 0.25)
    server.start()
    yield server
    server.stop()


def _numbers(k: Any) -> Any:
    values = np.round(20 + 5 * np.sin(k / 50_000) + (k * 7919 % 100) / 100, 2)
    values[k == PEAK] = 99.5
    return values


@pytest.fixture
def looker(long_server: WebServer, page: Any) -> Person:
    """Who looks at them."""
    return Person(page, long_server, "test", "test")


class Traffic:
    """What the page asks for from now on: the datapoints of streams, by the address of each request."""

    def __init__(self, page: Any) -> None:
        self._page = page
        self._begun: list[Any] = []
        self._done: list[Any] = []
        page.on("request", lambda request: self._begun.append(request) if "/data?" in request.url else None)
        page.on("requestfailed", lambda request: self._begun.remove(request) if request in self._begun else None)
        page.on("requestfinished", lambda request: self._done.append(request) if "/data?" in request.url else None)

    def asked(self) -> list[dict[str, list[str]]]:
        """The queries of the requests for datapoints since this was last asked; none of them was large."""
        quiet = 0
        while quiet < QUIET:  # the plot asks when it has been still for a moment
            self._page.wait_for_timeout(50)
            quiet = quiet + 1 if all(request in self._done for request in self._begun) else 0
        found = [request for request in self._done if "q=" not in urlsplit(request.url).query]
        self._begun.clear()
        self._done.clear()
        assert all(request.sizes()["responseBodySize"] < 300_000 for request in found)
        return [parse_qs(urlsplit(request.url).query) for request in found]


def complete(person: Person, text: str) -> None:
    person.sees(re.compile(text))
    expect(person.page.get_by_text(re.compile(r"Reading( more)?…"))).to_be_hidden()


def test_zooming_through_millions_asks_for_little_and_loses_no_peak(looker: Person) -> None:
    traffic = Traffic(looker.page)
    looker.sign_in("/u/test/user/numbers?range=all")
    complete(looker, r"^From 15 to 99\.5; .* The line is the mean")
    asked = [query for query in traffic.asked() if "every" in query]
    assert 1 <= len(asked) <= 4

    # Around the peak, closer and closer: windows, at last the values.
    at = START + PEAK + 0.25
    for span in (2_000_000, 500_000, 60_000, 20_000):
        looker.open(f"/u/test/user/numbers?t1={at - span / 2}&t2={at + span / 2}")
        complete(looker, r"^From \S+ to 99\.5; .* The line is the mean")
        asked = traffic.asked()
        assert 1 <= len([query for query in asked if "every" in query]) <= 4
        assert all("every" in query or "i1" in query for query in asked)
    looker.open(f"/u/test/user/numbers?t1={at - 60}&t2={at + 60}")
    complete(looker, r"^From \S+ to 99\.5; at the end")
    expect(looker.page.get_by_text("The line is the mean")).to_be_hidden()
    assert not [query for query in traffic.asked() if "every" in query]


def test_moving_a_little_asks_for_nothing_and_coming_back_neither(looker: Person) -> None:
    middle = START + N / 2
    looker.sign_in(f"/u/test/user/numbers?t1={middle - 200_000}&t2={middle + 200_000}")
    traffic = Traffic(looker.page)
    complete(looker, "The line is the mean")
    traffic.asked()
    plot = looker.page.get_by_role("group", name="Line plot of numbers")
    plot.focus()
    looker.page.keyboard.press("ArrowRight")
    looker.page.wait_for_url(re.compile(r"t2="))
    looker.page.keyboard.press("ArrowLeft")
    complete(looker, "The line is the mean")
    assert len(traffic.asked()) <= 1  # what lies beside the new view
    looker.page.keyboard.press("+")
    complete(looker, "The line is the mean")
    assert 1 <= len(traffic.asked()) <= 3
    looker.page.keyboard.press("-")
    complete(looker, "The line is the mean")
    assert not traffic.asked()


def test_values_that_come_while_one_looks_are_drawn_without_reading_again(long_server: WebServer, page: Any) -> None:
    person = Person(page, long_server, "test", "test")
    path = f"test/user/live{page.viewport_size['width']}"
    with person.api() as db:
        db(path).create({"type": "number"})
        db(path).insert_array([{"t": START + i, "d": i % 10} for i in range(50_000)])
    person.sign_in(f"/u/{path}?t1={START}&t2={START + 60_000}")
    person.sees("Live: what is written is seen at once.")
    traffic = Traffic(page)
    complete(person, r"^From 0 to 9; .* The line is the mean")
    traffic.asked()
    with person.api() as db:
        db(path).insert_array([{"t": START + 50_001, "d": 777}])
        complete(person, r"^From 0 to 777;")
        db(path).insert_array([{"t": START + 1000.5, "d": -55}], merge=True)
        complete(person, r"^From -55 to 777;")
    assert not traffic.asked()


def test_histogram_and_bars_of_millions_are_counted_in_parts(looker: Person) -> None:
    traffic = Traffic(looker.page)
    looker.sign_in("/u/test/user/numbers?range=all&view=histogram")
    expect(looker.page.get_by_role("img", name="Histogram of numbers")).to_be_visible()
    expect(looker.page.get_by_text(re.compile("^Counted so far"))).to_be_hidden()
    looker.sees("6,000,000")
    looker.sees(re.compile(r"^about \d"))
    expect(looker.page.get_by_text("99.5", exact=True)).to_be_visible()
    assert len([query for query in traffic.asked() if "bucket" in query.get("transform", [""])[0]]) == 2
    looker.press("Bars")
    looker.sees("How often each value of numbers came (6,000,000 in all)")
    looker.sees(re.compile("other values, which came less often"))
    looker.page.get_by_text("Download", exact=True).click()
    with looker.page.expect_download() as download:
        looker.press("PNG picture of the plot")
    assert download.value.path().read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    looker.press("Calendar")
    expect(looker.page.get_by_role("img", name=re.compile(r"^\d+ days with values"))).to_be_visible()
    looker.press("Number")
    looker.sees(re.compile("Mean of the time in view"))


def test_timeline_of_too_many_changes_tells_the_share_of_each_value(looker: Person) -> None:
    looker.sign_in("/u/test/user/light?range=all&view=timeline")
    looker.sees(re.compile(r"Of the values, yes: 25\.0 %; no: 75\.0 %\..*Come closer to see all\."))
    looker.finds_no_barrier()
    looker.fits()
    looker.open(f"/u/test/user/light?view=timeline&t1={START + 0.25}&t2={START + 400.25}")
    looker.sees(re.compile(r"^yes: 100 seconds|^yes: 2 minutes|^yes: 1"))
    expect(looker.page.get_by_text("Come closer to see all.")).to_be_hidden()


def test_smoothness_can_be_measured(chromium: Any, tmp_path: Path) -> None:
    server = WebServer(tmp_path / "db")
    found = smoothness.measure(server, chromium, 400_000)
    assert [step["step"] for step in found][:2] == ["all", "all, page opened anew"]
    assert all(0 < step["first_ms"] <= step["whole_ms"] for step in found if "first_ms" in step)
    assert sum(step["requests"] for step in found if "requests" in step) > 10
    dragged = next(step for step in found if step["step"] == "drag in all")
    assert 0 < dragged["frame_ms"] <= dragged["worst_frame_ms"]
