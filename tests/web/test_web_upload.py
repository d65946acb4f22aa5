"""Bringing data from files into streams."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from person import Person
from playwright.sync_api import expect

from connectordb import ConnectorDB

pytestmark = pytest.mark.timeout(180)

START = 1_700_000_000
SCALE = """Datum;Gewicht;Notiz
01.07.2026 08:00;70,5;"gut; sehr"
02.07.2026 08:00;71;<b>fett</b>
kaputt;72;
03.07.2026 08:00;;nichts
"""


def stored(person: Person, path: str) -> list[Any]:
    with person.api() as db:
        return list(db(path)[:])


def test_pasted_csv_makes_a_new_stream(person: Person) -> None:
    person.sign_in()
    person.go("Upload")
    person.is_at("Upload")
    person.finds_no_barrier()
    person.fits()
    person.fill("Or paste it here", SCALE)
    person.sees("4 rows of separated values.")
    expect(person.page.get_by_label("Column with the time")).to_have_value("Datum")
    expect(person.page.get_by_label("Times look like")).to_have_value("dmy")
    person.page.get_by_label("Notiz").uncheck()
    person.sees("2 of 4 rows can be used; 2 cannot, and would be left out.")
    person.sees("is left out: “kaputt” is no time of this kind.")
    person.fill("Name of the new stream", "weight")
    person.press("Try, without storing anything")
    person.sees("2 values would be added")
    person.sees(re.compile(r"which would be created"))
    person.finds_no_barrier()
    person.fits()
    with person.api() as db:
        assert not db(f"{person.name}/user/weight").exists()
    person.press("Upload 2 values")
    person.sees("2 values were stored.")
    assert stored(person, f"{person.name}/user/weight") == [
        {"t": 1782885600.0, "d": 70.5},  # 08:00 in Amsterdam
        {"t": 1782972000.0, "d": 71},
    ]
    person.follow("Look at the stream")
    person.is_at("weight")


def test_file_can_be_uploaded_again_without_doubling(person: Person, tmp_path: Path) -> None:
    with person.api() as db:
        db(f"{person.name}/station").create(streams={"temperature": {"schema": '{"type": "number"}'}})
        key = db(f"{person.name}/station").apikey
    path = f"{person.name}/station/temperature"
    with ConnectorDB(key, url=person.server.url) as station:
        station(path).insert_array([{"t": START + 30_000, "d": 5}])
    points = [{"t": START + i, "d": i / 2} for i in range(12_000)]
    file = tmp_path / "data.json"
    file.write_text(json.dumps(points))
    person.sign_in("/upload")
    for expected, more in ((12_000, 0), (0, 0), (10, 10)):
        file.write_text(json.dumps(points + [{"t": START + 20_000 + i, "d": i} for i in range(more)]))
        person.open("/upload")
        person.page.get_by_label("Drop a file here, or choose one").set_input_files(file)
        person.sees(f"{12_000 + more:,} rows of a JSON list from data.json.")
        person.choose("Stream", "station/temperature")
        person.press("Try, without storing anything")
        person.sees(f"{expected:,} values would be added")
        if expected:
            person.sees(re.compile("older than the newest one there, and would go where they belong"))
            person.press(f"Upload {expected:,} values")
            person.sees(f"{expected:,} values were stored.")
        else:
            person.sees(re.compile("12,000 are there already, and would not be doubled"))
            expect(person.page.get_by_role("button", name="Upload 0 values")).to_be_disabled()
    found = stored(person, path)
    assert len(found) == 12_011
    assert [p["t"] for p in found] == sorted(p["t"] for p in found)


def test_broken_upload_goes_on_without_doubling(person: Person) -> None:
    """The second part arrives, but its answer is lost; trying again neither loses nor doubles anything."""
    with person.api() as db:
        db(f"{person.name}/user/numbers").create({"type": "integer"})
    lines = "\n".join(json.dumps({"t": START + i, "d": i}) for i in range(12_000))
    person.sign_in("/upload")
    seen: list[int] = []

    def lose_the_second(route: Any) -> None:
        if route.request.method == "PATCH":
            seen.append(1)
            if len(seen) == 2:
                route.fetch()
                route.abort("connectionreset")
                return
        route.continue_()

    person.page.route("**/data?*", lose_the_second)
    file: Any = {"name": "numbers.ndjson", "mimeType": "application/x-ndjson", "buffer": lines.encode()}
    person.page.get_by_label("Drop a file here, or choose one").set_input_files(file)
    person.choose("Stream", "user/numbers")
    person.press("Try, without storing anything")
    person.press("Upload 12,000 values")
    person.is_told("The server does not answer.")
    person.press("Try again")
    person.sees("12,000 values were stored.")
    assert [p["d"] for p in stored(person, f"{person.name}/user/numbers")] == list(range(12_000))


def test_rows_that_do_not_fit_the_stream_are_told_line_by_line(person: Person) -> None:
    with person.api() as db:
        db(f"{person.name}/user/mood").create({"type": "integer", "minimum": 1, "maximum": 10})
    person.sign_in("/upload")
    person.fill("Or paste it here", "t,d\n1700000000,5\n1700000001,11\n1700000002,x\n")
    person.choose("Stream", "user/mood")
    person.sees("1 of 3 rows can be used; 2 cannot, and would be left out.")
    table = person.page.get_by_role("table", name="What happens to each line")
    expect(table.get_by_role("row", name=re.compile("3 .* is left out: It has to be at most 10."))).to_be_visible()
    expect(table.get_by_role("row", name=re.compile("4 .* is left out: It has to be a whole number."))).to_be_visible()
    person.fits()
    person.fill("Or paste it here", "[{")
    person.sees(re.compile("This is no JSON"))


def test_file_is_dropped(person: Person) -> None:
    person.sign_in("/upload")
    person.is_at("Upload")
    transfer = person.page.evaluate_handle(
        "() => { const t = new DataTransfer();"
        " t.items.add(new File(['time,v\\n2026-01-01,5\\n'], 'my data.csv')); return t; }"
    )
    person.page.locator(".drop").dispatch_event("drop", {"dataTransfer": transfer})
    person.sees("1 rows of separated values from my data.csv.")
    expect(person.page.get_by_label("Name of the new stream")).to_have_value("my-data")


def test_next_file_of_the_same_kind_needs_no_choosing(person: Person) -> None:
    with person.api() as db:
        for name in ("weight", "fat"):
            db(f"{person.name}/user/{name}").create({"type": "number"})
    head = "Wann;Gewicht;Fett\n"
    person.sign_in("/upload")
    person.fill("Or paste it here", f"{head}03/04/2026 08:00;70,5;20,1\n")
    person.choose("Times look like", "23.11.2026 15:04 (day first)")
    person.choose("Time zone of times that name none", "Asia/Tokyo")
    person.page.get_by_label("Fett").uncheck()
    person.choose("Stream", "user/weight")
    person.press("Try, without storing anything")
    person.press("Upload 1 values")
    person.sees("1 values were stored.")
    person.open("/upload")
    person.fill("Or paste it here", f"{head}04/04/2026 08:00;70,7;20,2\n05/04/2026 08:00;70,9;20,3\n")
    expect(person.page.get_by_label("Stream", exact=True)).to_have_value("user/weight")
    person.sees("As the last time, when a file with these columns went there.")
    person.finds_no_barrier()
    person.fits()
    person.press("Try, without storing anything")
    person.press("Upload 2 values")
    person.sees("2 values were stored.")
    april_3rd = 1_775_170_800  # 08:00 in Tokyo
    assert stored(person, f"{person.name}/user/weight") == [
        {"t": april_3rd + i * 86_400, "d": d} for i, d in enumerate((70.5, 70.7, 70.9))
    ]
    person.open("/upload")
    person.fill("Or paste it here", "Wann;Fett\n04/04/2026 08:00;20\n")
    expect(person.page.get_by_label("Stream", exact=True)).to_have_value("new")
    with person.api() as db:
        db(f"{person.name}/user/weight").delete()
    person.open("/upload")
    person.fill("Or paste it here", f"{head}04/04/2026 08:00;70,7;20,2\n")
    expect(person.page.get_by_label("Name of the new stream")).to_be_visible()
    expect(person.page.get_by_label("Stream", exact=True)).to_have_value("new")
