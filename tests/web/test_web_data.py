"""Looking at data: what is shown of which stream, moving and zooming, live data, downloads, links."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from person import Person
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(180)

START = 1_700_000_000
HOSTILE = '<img src=x onerror="window.hacked=1">'


def fill(person: Person, name: str, points: list[dict[str, Any]], schema: Any = None, **fields: Any) -> str:
    """Make a stream of the device ``user`` with *points*; return its path."""
    path = f"{person.name}/user/{name}"
    with person.api() as db:
        db(path).create(schema or {}, **fields)
        for i in range(0, len(points), 50_000):
            db(path).insert_array(points[i : i + 50_000])
    return path


def wave(n: int, step: float = 60) -> list[dict[str, Any]]:
    return [{"t": START + i * step, "d": round(20 + 5 * math.sin(i / 100), 3)} for i in range(n)]


def look(person: Person, path: str, query: str = "") -> None:
    person.sign_in(f"/u/{path}{query}")


def in_view(person: Person) -> tuple[float, float]:
    """The times that the address says are in view."""
    query = parse_qs(urlsplit(person.page.url).query)
    return float(query["t1"][0]), float(query["t2"][0])


def arrived(person: Person, there: Callable[[float, float], bool]) -> None:
    """Wait until the times in view are those."""

    def is_there(url: str) -> bool:
        query = parse_qs(urlsplit(url).query)
        return "t1" in query and there(float(query["t1"][0]), float(query["t2"][0]))

    person.page.wait_for_url(is_there)


def pressed(person: Person, name: str) -> None:
    expect(person.page.get_by_role("button", name=name, exact=True)).to_have_attribute("aria-pressed", "true")


def test_line_of_numbers(person: Person) -> None:
    points = wave(300)
    points[150]["d"] = 99.5
    look(person, fill(person, "temperature", points, {"type": "number"}))
    person.is_at("temperature")
    pressed(person, "Line")
    person.sees(re.compile(r"From 20 to 99\.5; at the end "))
    person.sees("300 values")
    person.finds_no_barrier()
    person.fits()


def test_peak_among_many_is_not_lost(person: Person) -> None:
    points = wave(40_000)
    points[20_123]["d"] = 1000
    points[30_123]["d"] = -1000
    look(person, fill(person, "temperature", points, {"type": "number"}), "?range=all")
    person.sees(re.compile(r"From -1,000 to 1,000; .* The line is the mean, the band goes from"))


def test_zoom_and_pan_by_keys_buttons_and_wheel(person: Person) -> None:
    look(person, fill(person, "temperature", wave(40_000), {"type": "number"}), "?range=all")
    plot = person.page.get_by_role("group", name="Line plot of temperature")
    person.sees(re.compile("The line is the mean"))
    plot.focus()
    for _ in range(3):
        person.page.keyboard.press("+")
    expect(person.page).to_have_url(re.compile("t1="))
    arrived(person, lambda t1, t2: t2 - t1 < 320_000)
    t1, t2 = in_view(person)
    person.page.keyboard.press("ArrowRight")
    arrived(person, lambda new, _: new > t1 + 1)
    moved1, moved2 = in_view(person)
    assert moved2 - moved1 == pytest.approx(t2 - t1, rel=0.01)
    person.press("Further away")
    arrived(person, lambda new, _: new < moved1 - 1)
    out1, out2 = in_view(person)
    assert out2 - out1 == pytest.approx(2 * (t2 - t1), rel=0.01)
    box = plot.bounding_box()
    assert box is not None
    person.page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 100)
    person.page.mouse.wheel(0, -300)
    arrived(person, lambda new, _: new > out1 + 1)
    wheel1, wheel2 = in_view(person)
    assert wheel2 - wheel1 < out2 - out1
    person.page.mouse.down()
    person.page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 100, steps=4)
    person.page.mouse.up()
    arrived(person, lambda new, _: new > wheel1 + 1)
    expect(person.page.get_by_text(re.compile(r"From 1\S+ to 2\S+;"))).to_be_visible()
    person.press("Newest")
    expect(person.page).not_to_have_url(re.compile("t1="))


def test_exact_times_in_the_persons_zone(person: Person) -> None:
    look(person, fill(person, "temperature", wave(300), {"type": "number"}))
    person.press("From… to…")
    person.fill("From", "2023-11-14T23:20:00")  # in Amsterdam
    person.fill("To", "2023-11-14T23:19:00")
    person.press("Show")
    person.sees("The end has to be after the beginning.")
    person.fill("To", "2023-11-14T23:30:00")
    person.press("Show")
    expect(person.page).to_have_url(re.compile("t1=1700000400&t2=1700001000"))
    person.sees("Times are those in Europe/Amsterdam.")


def test_gap_is_a_gap_and_live_data_flow_in(person: Person) -> None:
    points = wave(200)
    for point in points[100:]:
        point["t"] += 100_000
    path = fill(person, "temperature", points, {"type": "number"})
    look(person, path)
    person.sees("Live: what is written is seen at once.")
    person.sees("200 values")
    with person.api() as db:
        db(path).insert_array([{"t": START + 130_000, "d": 77.25}])
    person.sees(re.compile(r"to 77\.25; at the end 77\.25"))
    person.press("Table")
    person.sees("77.25")
    with person.api() as db:
        db(path).insert_array([{"t": START + 130_001, "d": 78.5}])
    person.sees("78.5")


def test_live_goes_on_after_a_restart_of_the_server(own_server: Any, page: Any) -> None:
    person = Person(page, own_server, "test", "test")
    path = fill(person, "temperature", wave(20), {"type": "number"})
    look(person, path)
    person.sees("Live: what is written is seen at once.")
    own_server.stop()
    person.sees(re.compile("Not live"))
    own_server.start()
    with person.api() as db:
        db(path).insert_array([{"t": START + 5000, "d": 66.5}])
    person.sees(re.compile(r"at the end 66\.5"))
    person.sees("Live: what is written is seen at once.")


def test_yes_and_no_as_a_timeline(person: Person) -> None:
    points = [{"t": START + i * 600, "d": i % 3 == 0} for i in range(60)]
    look(person, fill(person, "light", points, {"type": "boolean"}), f"?t1={START}&t2={START + 36_000}")
    pressed(person, "Timeline")
    expect(person.page.get_by_role("group", name="Timeline of light")).to_be_visible()
    person.sees("yes: 3 hours; no: 6 hours.")
    person.finds_no_barrier()
    person.fits()


def test_states_as_a_timeline_and_as_bars(person: Person) -> None:
    points = [{"t": START + i * 600, "d": ["still", "walking", HOSTILE][i % 3]} for i in range(60)]
    look(person, fill(person, "activity", points, {"type": "string"}), f"?t1={START - 1}&t2={START + 36_000}")
    pressed(person, "Timeline")
    person.press("Bars")
    table = person.page.get_by_role("table")
    expect(table.get_by_role("row", name=re.compile("still 20 "))).to_be_visible()
    expect(table.get_by_role("row")).to_have_count(4)
    assert person.page.evaluate("window.hacked") is None
    person.finds_no_barrier()
    person.fits()


def test_histogram_calendar_number_and_json(person: Person) -> None:
    look(person, fill(person, "temperature", wave(10_000), {"type": "number"}), "?range=all")
    person.press("Histogram")
    expect(person.page.get_by_role("img", name="Histogram of temperature")).to_be_visible()
    person.sees("Median")
    person.fits()
    person.press("Calendar")
    expect(person.page.get_by_role("img", name=re.compile("8 days with values, from 1"))).to_be_visible()
    person.choose("Of each day", "How many")
    expect(person.page.get_by_role("img", name=re.compile("8 days with values, from 47 to 1,440"))).to_be_visible()
    person.fits()
    person.press("Number")
    person.sees(re.compile("Mean of the time in view"))
    person.finds_no_barrier()
    person.press("JSON")
    person.sees("The newest 100, oldest first.")
    person.fits()


def test_map_of_places(person: Person) -> None:
    points = [{"t": START + i, "d": {"latitude": 52 + i / 1000, "longitude": 4 + math.sin(i)}} for i in range(100)]
    look(person, fill(person, "location", points))
    pressed(person, "Map")
    expect(person.page.get_by_role("img", name=re.compile("Map of location: 100 places"))).to_be_visible()
    person.press("Closer on the map")
    person.finds_no_barrier()
    person.fits()
    person.choose("Of the objects", "latitude")
    pressed(person, "Line")
    person.sees(re.compile("From 52 to 52.099"))


def test_scatter_of_two_streams_with_n_and_p(person: Person) -> None:
    a = [{"t": START + i * 60, "d": i} for i in range(200)]
    b = [{"t": START + i * 60 + 5, "d": 300 - 2 * i + (i % 7)} for i in range(200)]
    fill(person, "other", b, {"type": "number"}, nickname="The other")
    look(person, fill(person, "one", a, {"type": "number"}))
    person.press("Scatter")
    person.choose("Against", "The other (user)")
    person.sees("A strong negative linear relation.")
    person.sees(re.compile(r"n = 200, p < 0.001"))
    expect(person.page.get_by_role("img", name=re.compile("Scatter plot of one and The other"))).to_be_visible()
    person.finds_no_barrier()
    person.fits()


def test_table_has_pages_and_can_be_sorted(person: Person) -> None:
    points = [{"t": START + i, "d": {"n": (i * 37) % 120, "note": f"<b>{i}"}} for i in range(120)]
    look(person, fill(person, "things", points), "?range=all")
    pressed(person, "Table")
    table = person.page.get_by_role("table", name="Values of things")
    first = table.get_by_role("row").nth(1)
    expect(first).to_contain_text("<b>119")
    person.press("Next")
    expect(first).to_contain_text("<b>69")
    person.sees("Page 2 of 3 (120 values)")
    person.press("n")
    expect(first.get_by_role("cell").first).to_have_text("0")
    person.press("n")
    expect(first.get_by_role("cell").first).to_have_text("119")
    person.finds_no_barrier()
    person.fits()


def test_long_stream_is_paged_by_the_server(person: Person) -> None:
    look(person, fill(person, "temperature", wave(20_000), {"type": "number"}), "?view=table&range=all")
    person.sees("Page 1 of 400 (20,000 values)")
    person.press("Next")
    person.sees("Page 2 of 400 (20,000 values)")
    person.press("Time")
    expect(person.page.get_by_role("table").get_by_role("row").nth(1)).to_contain_text("2023-11-14 23:13:20")


def test_transform_and_its_errors(person: Person) -> None:
    path = fill(person, "temperature", wave(300), {"type": "number"})
    look(person, path)
    person.press("More…")
    person.fill("Transform (PipeScript)", "if $ > 24 | $ * 1000")
    person.press("Apply")
    person.sees(re.compile(r"From 24,\S+ to 25,000;"))
    with person.api() as db:  # what comes meanwhile goes through it as well
        db(path).insert_array([{"t": START + 18_060, "d": 30}, {"t": START + 18_120, "d": 1}])
    person.sees(re.compile(r"From 24,\S+ to 30,000; at the end 30,000"))
    person.fill("Transform (PipeScript)", "if $ > 24 | cuont")
    person.press("Apply")
    person.is_told(re.compile("did you mean 'count'"))


def test_downloads(person: Person) -> None:
    path = fill(person, "temperature", wave(300), {"type": "number"})
    look(person, path, f"?t1={START - 1}&t2={START + 600}")
    person.sees(re.compile("at the end"))
    person.page.get_by_text("Download", exact=True).click()

    def saved(role: Any, name: str) -> tuple[str, bytes]:
        with person.page.expect_download() as download:
            person.page.get_by_role(role, name=name).click()
        return download.value.suggested_filename, download.value.path().read_bytes()

    name, content = saved("link", "CSV of what is in view")
    assert name.endswith(".csv")
    assert len(list(csv.DictReader(io.StringIO(content.decode())))) == 11
    name, content = saved("link", "JSON of all")
    assert len(json.loads(content)) == 300
    name, content = saved("link", "Parquet of all")
    assert (name, content[:4]) == (f"{path.replace('/', '-')}.parquet", b"PAR1")
    name, content = saved("button", "PNG picture of the plot")
    assert (name, content[:8]) == (f"{path.replace('/', '-')}.png", b"\x89PNG\r\n\x1a\n")


def test_link_leads_to_exactly_this_view(person: Person) -> None:
    person.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    look(person, fill(person, "temperature", wave(10_000), {"type": "number"}), "?range=all&view=histogram")
    expect(person.page.get_by_role("img", name="Histogram of temperature")).to_be_visible()
    person.press("Copy a link to this view")
    person.is_notified("Copied: a link to exactly this view.")
    link = person.page.evaluate("navigator.clipboard.readText()")
    person.page.goto(link)
    pressed(person, "Histogram")
    assert "t1=1699" in link


def test_empty_stream_and_stream_that_is_gone(person: Person) -> None:
    path = fill(person, "nothing", [])
    look(person, path)
    person.sees(re.compile("There is nothing in this stream yet."))
    person.fits()
    person.open(f"/u/{person.name}/user/nosuch")
    person.is_told(f"There is no '{person.name}/user/nosuch', or it may not be accessed.")


def test_hostile_values_stay_text(person: Person) -> None:
    huge = "<script>window.hacked=1</script>" + "x" * 3_000_000
    points: list[dict[str, Any]] = [
        {"t": START, "d": HOSTILE},
        {"t": START + 1, "d": huge},
        {"t": START + 2, "d": "NaN"},
        {"t": START + 3, "d": {"<b>": [HOSTILE, None]}},
        {"t": START + 4, "d": -1.7976931348623157e308},
    ]
    path = fill(person, "hostile", points, nickname=HOSTILE, description=HOSTILE)
    look(person, path)
    person.is_at(HOSTILE)
    person.sees("NaN")
    for view in ("JSON", "Bars", "Calendar", "Line", "Table"):
        person.press(view)
        pressed(person, view)
    person.fits()
    person.open()
    person.go("Devices")
    person.sees(HOSTILE)
    assert person.page.evaluate("window.hacked") is None


def test_many_millions_stay_smooth(person: Person) -> None:
    """What is asked for while one zooms through two million values are windows, never the values."""
    with person.api() as db:
        path = f"{person.name}/user/many"
        db(path).create({"type": "integer"})
        for k in range(20):
            db(path).insert_array([{"t": START + (k * 100_000 + i), "d": i % 1000} for i in range(100_000)])
    sizes: list[int] = []
    person.page.on("response", lambda r: sizes.append(len(r.body())) if "/data?" in r.url else None)
    look(person, path, "?range=all")
    person.sees(re.compile("The line is the mean"))
    expect(person.page.get_by_text("Reading more…")).to_be_hidden()
    plot = person.page.get_by_role("group", name="Line plot of many")
    plot.focus()
    started = time.monotonic()
    for _ in range(6):
        person.page.keyboard.press("+")
        person.page.keyboard.press("ArrowLeft")
    took = time.monotonic() - started
    expect(person.page.get_by_text("Reading more…")).to_be_hidden()
    person.sees(re.compile("From 0 to 999"))
    assert took < 10, "the page hangs while one zooms"
    assert max(sizes) < 500_000


def test_scatter_of_a_million_values_stays_usable(person: Person) -> None:
    with person.api() as db:
        for name in ("one", "two"):
            db(f"{person.name}/user/{name}").create({"type": "integer"})
        for k in range(10):
            db(f"{person.name}/user/one").insert_array([{"t": START + k * 100_000 + i, "d": i} for i in range(100_000)])
        db(f"{person.name}/user/two").insert_array([{"t": START + i * 1000, "d": i % 100} for i in range(1000)])
    look(person, f"{person.name}/user/one", f"?view=scatter&range=all&other={person.name}/user/two")
    person.sees("One of 50 values is drawn and counted.")
    person.sees(re.compile("n = 20,000"))
    person.press("Number")
    person.sees(re.compile("Mean of the time in view"))
    person.fits()
