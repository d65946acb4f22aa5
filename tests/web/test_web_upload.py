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


def test_hour_that_the_clock_shows_twice_is_told_by_the_order_of_the_rows(person: Person) -> None:
    person.sign_in("/upload")
    hours = ["01:00", "02:00", "02:00", "03:00"]
    times = [f"2026-10-25 {hour}" for hour in hours] + ["2027-03-28 02:15"]
    person.fill("Or paste it here", "time,kWh\n" + "\n".join(f"{time},{i % 3}" for i, time in enumerate(times)))
    person.sees(re.compile("5 of 5 rows can be used. Of 3 the clock showed the time twice or never"))
    lines = person.page.get_by_role("region", name="Line by line").get_by_role("row")
    expect(lines.nth(2)).to_contain_text("the first is taken")
    expect(lines.nth(3)).to_contain_text("the second is taken")
    expect(lines.nth(5)).to_contain_text("put forward")
    person.page.get_by_label(re.compile("Only those with something wrong or not certain")).check()
    expect(lines).to_have_count(4)
    person.finds_no_barrier()
    person.fits()
    person.fill("Name of the new stream", "energy")
    for added in (5, 0):  # the same again is nothing new
        person.press("Try, without storing anything")
        person.sees(f"{added} values would be added")
        if added:
            person.press("Upload 5 values")
            person.sees("5 values were stored.")
    night = 1_792_879_200  # 2026-10-24T22:00Z, midnight in Amsterdam
    found = stored(person, f"{person.name}/user/energy")
    assert [p["t"] - night for p in found[:4]] == [3600, 7200, 10800, 14400]
    assert found[4]["t"] == 1_806_196_500  # 01:15Z, 03:15 in Amsterdam


@pytest.mark.parametrize("form", ["csv", "json", "ndjson"])
def test_what_was_downloaded_is_nothing_new(person: Person, tmp_path: Path, form: str) -> None:
    path = f"{person.name}/user/mixed"
    values = [
        "12 apples",
        "42",
        "true",
        " x",
        "=1",
        "a\nb",
        'say "hi"',
        "NaN",
        [48.1, 11.5],
        {"a": "1"},
        5,
        -2.5,
        False,
    ]
    with person.api() as db:
        db(path).create()
        db(path).insert_array([{"t": START + i / 8, "d": d} for i, d in enumerate(values)])
        db(path).download(tmp_path / f"mixed.{form}")
    person.sign_in("/upload")
    person.page.get_by_label("Drop a file here, or choose one").set_input_files(tmp_path / f"mixed.{form}")
    person.choose("Stream", "user/mixed")
    person.sees(f"{len(values)} of {len(values)} rows can be used.")
    person.press("Try, without storing anything")
    person.sees("0 values would be added")


def test_first_line_and_numbers_are_read_as_the_person_says(person: Person) -> None:
    person.sign_in("/upload")
    person.fill("Or paste it here", 'date,steps\n2026-11-20,"1,234"\n2026-11-21,987\n')
    person.sees("1 of 2 rows can be used; 1 cannot, and would be left out.")
    person.sees("is left out: “1,234” may be a number: say above what numbers look like.")
    person.choose("Numbers look like", "1,234.5")
    person.sees("2 of 2 rows can be used.")
    person.page.get_by_label("The first line has the names of the columns").uncheck()
    person.sees("3 rows of separated values.")
    expect(person.page.get_by_label("Column with the time")).to_have_value("column 1")
    person.page.get_by_label("The first line has the names of the columns").check()
    person.sees("2 rows of separated values.")
    person.finds_no_barrier()
    person.fits()


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


def choose_file(person: Person, name: str, content: str) -> None:
    file: Any = {"name": name, "mimeType": "text/plain", "buffer": content.encode()}
    person.page.get_by_label("Drop a file here, or choose one").set_input_files(file)


def lose_replies(person: Person, address: str, method: str, which: int = 1) -> None:
    """Requests arrive, but the answer to one of them does not."""
    seen: list[int] = []

    def handle(route: Any) -> None:
        if route.request.method == method:
            seen.append(1)
            if len(seen) == which:
                route.fetch()
                route.abort("connectionreset")
                return
        route.continue_()

    person.page.route(address, handle)


def test_broken_upload_goes_on_without_doubling(person: Person) -> None:
    """The second part arrives, but its answer is lost; trying again neither loses nor doubles anything.

    The file is not in order of time, and has values twice, which stay so.
    """
    values = [d for d in range(12_000, 0, -1) for _ in range(1 + (d in (5_000, 12_000)))]
    lines = "\n".join(json.dumps({"t": START + d, "d": d}) for d in values)
    person.sign_in("/upload")
    lose_replies(person, "**/data?*", "PATCH", which=2)
    choose_file(person, "numbers.ndjson", lines)
    for attempt in ("broken", "page opened again"):
        person.press("Try, without storing anything")
        if attempt == "broken":
            person.press("Upload 12,002 values")
            person.is_told("The server does not answer.")
            person.press("Try again")
            person.sees(re.compile("2,001 values were stored. 10,001 were there already, and have not been doubled."))
        else:
            person.sees(re.compile("12,002 are there already, and would not be doubled"))
        person.open("/upload")
        choose_file(person, "numbers.ndjson", lines)
        person.choose("Stream", "user/numbers")
    assert [p["d"] for p in stored(person, f"{person.name}/user/numbers")] == values[::-1]


def test_deleted_data_can_be_uploaded_again(person: Person) -> None:
    path = f"{person.name}/user/steps"
    with person.api() as db:
        db(path).create({"type": "number"})
    person.sign_in("/upload")
    for _ in range(2):
        person.open("/upload")
        person.fill("Or paste it here", "t,d\n1700000000,1\n1700000001,2\n1700000002,3\n")
        person.choose("Stream", "user/steps")
        person.press("Try, without storing anything")
        person.press("Upload 3 values")
        person.sees("3 values were stored.")
        assert [p["d"] for p in stored(person, path)] == [1, 2, 3]
        with person.api() as db:
            db(path).delete(i1=0)
            assert db(path).length() == 0


def test_creation_of_the_stream_may_be_repeated(person: Person) -> None:
    person.sign_in("/upload")
    lose_replies(person, "**/crud/*/user/*", "POST")
    person.fill("Or paste it here", "t,d\n1700000000,1\n1700000001,2\n")
    person.fill("Name of the new stream", "steps")
    person.press("Try, without storing anything")
    person.press("Upload 2 values")
    person.is_told("The server does not answer.")
    with person.api() as db:  # meanwhile
        db(f"{person.name}/user/steps").insert_array([{"t": START, "d": 1}])
    person.press("Try again")
    person.sees("1 values would be added")
    person.sees(re.compile("which is there by now; 1 are there already"))
    person.press("Upload 1 values")
    person.sees("1 values were stored.")
    assert [p["d"] for p in stored(person, f"{person.name}/user/steps")] == [1, 2]


def test_what_is_changed_in_the_text_has_to_be_tried_again(person: Person) -> None:
    """Also if it is far down and as long as before."""
    rows = "t,d\n" + "".join(f"{START + i},{i}\n" for i in range(1000, 1600))
    person.sign_in("/upload")
    person.fill("Or paste it here", rows)
    person.fill("Name of the new stream", "numbers")
    person.press("Try, without storing anything")
    person.sees("600 values would be added")
    person.fill("Or paste it here", rows.replace(",1599", ",7777"))
    expect(person.page.get_by_text("600 values would be added")).to_be_hidden()
    person.fill("Name of the new stream", "numbers")
    person.press("Try, without storing anything")
    person.press("Upload 600 values")
    person.sees("600 values were stored.")
    assert stored(person, f"{person.name}/user/numbers")[-1]["d"] == 7777


def test_numbers_are_stored_as_they_stand_in_the_file(person: Person) -> None:
    person.sign_in("/upload")
    for name, text in {
        "csv": "t,d\n1700000000,12345678901234567891\n1700000001,5",
        "json": '[{"t": 1.7e9, "d": 12345678901234567891}, {"t": 1700000001, "d": 5}, {"t": 1700000002, "d": 1e400}]',
    }.items():
        person.open("/upload")
        person.fill("Or paste it here", text)
        person.choose("Stream", "A new stream")
        person.fill("Name of the new stream", name)
        if name == "json":
            person.sees("is left out: A number in it is too large.")
        person.press("Try, without storing anything")
        person.press("Upload 2 values")
        person.sees("2 values were stored.")
        assert [p["d"] for p in stored(person, f"{person.name}/user/{name}")] == [12345678901234567891, 5]
        person.press("Try, without storing anything")
        person.sees("0 values would be added")


def test_the_beginning_of_1970_is_no_time(person: Person) -> None:
    """The server would take it for now."""
    person.sign_in("/upload")
    person.fill("Or paste it here", "t,d\n0,5\n1700000000,6\n")
    person.sees("1 of 2 rows can be used; 1 cannot, and would be left out.")
    person.sees("is left out: “0” is no time of this kind.")


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
