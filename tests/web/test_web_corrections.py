"""Correcting what is stored: edit and delete in the table, undo, the list of corrections; and values shown exactly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from person import Person
from playwright.sync_api import Locator, Page, Route, WebSocketRoute, expect
from web_server import WebServer

from connectordb import ConnectorDB

pytestmark = pytest.mark.timeout(180)

START = 1_700_000_000  # 2023-11-14 23:13:20 in Amsterdam


def fill(person: Person, name: str, values: list[Any], schema: Any = None, step: float = 60, **fields: Any) -> str:
    """Make a stream of the device ``user`` with *values*, *step* seconds apart; return its path."""
    path = f"{person.name}/user/{name}"
    with person.api() as db:
        db(path).create(schema or {}, **fields)
        db(path).insert_array([{"t": START + i * step, "d": d} for i, d in enumerate(values)])
    return path


def look(person: Person, path: str, query: str = "?view=table&range=all") -> Locator:
    """Open the table of a stream, and return it."""
    person.sign_in(f"/u/{path}{query}")
    table = person.page.get_by_role("table")
    if "view=table" in query:
        expect(table.get_by_role("row").nth(1)).to_be_visible()
    return table


def values_of(person: Person, path: str) -> list[Any]:
    with person.api() as db:
        return [point["d"] for point in db(path)[:]]


def dialog(person: Person) -> Locator:
    return person.page.get_by_role("dialog")


def silent(person: Person) -> None:
    """Nothing tells the page what others do."""

    def say_nothing(socket: WebSocketRoute) -> None: ...

    person.page.route_web_socket(re.compile("/websocket"), say_nothing)


def test_edit_with_a_reason_and_undo(person: Person) -> None:
    path = fill(person, "weight", [70.5, 705, 70.7], {"type": "number", "maximum": 1000})
    table = look(person, path)
    person.press("Edit 705, 2023-11-14 23:14:20")
    field = dialog(person).get_by_label("weight", exact=True)
    expect(field).to_have_value("705")
    person.finds_no_barrier()
    field.fill("7050")
    person.press("Save")
    expect(dialog(person).get_by_text("It has to be at most 1000.")).to_be_visible()
    field.fill("70.5")
    person.fill("Why (may be left out)", "forgot the point")
    person.press("Save")
    person.is_notified("Changed to 70.5, 2023-11-14 23:14:20.")
    expect(dialog(person)).to_be_hidden()
    expect(person.page.get_by_role("button", name="Edit 70.5, 2023-11-14 23:14:20")).to_be_focused()
    assert values_of(person, path) == [70.5, 70.5, 70.7]
    with person.api() as db:
        assert db(path).history()[0].why == "forgot the point"
    person.press("Undo")
    person.is_notified("Undone.")
    expect(table.get_by_role("row", name="705")).to_be_visible()
    assert values_of(person, path) == [70.5, 705, 70.7]
    person.finds_no_barrier()
    person.fits()


def test_what_comes_meanwhile_does_not_disturb_who_edits(person: Person) -> None:
    path = fill(person, "weight", [70.5, 705], {"type": "number"})
    look(person, path)
    person.press("Edit 705, 2023-11-14 23:14:20")
    field = dialog(person).get_by_label("weight", exact=True)
    field.fill("7")
    with person.api() as db:
        for i in range(3):
            db(path).insert_array([{"t": START + 3600 * (i + 1), "d": i}])
            person.sees(f"{i + 3} values")
        db(path).insert_array([{"t": START + 1, "d": 9}], merge=True)
    person.sees(re.compile("6 values"))
    expect(field).to_have_value("7")
    expect(field).to_be_focused()
    person.press("Save")
    person.is_told("Nothing was changed")  # it stands in another place now
    person.press("Cancel")
    person.press("Edit 705, 2023-11-14 23:14:20")
    field.fill("70.7")
    person.press("Save")
    person.is_notified("Changed to 70.7")
    assert values_of(person, path) == [70.5, 9, 70.7, 0, 1, 2]


def test_delete_by_keyboard_and_undo(person: Person) -> None:
    path = fill(person, "weight", [1, 2, 3], {"type": "number"})
    table = look(person, path)
    person.page.get_by_role("button", name="Delete 2, 2023-11-14 23:14:20").focus()
    person.page.keyboard.press("Enter")
    person.is_notified("Deleted: 2, 2023-11-14 23:14:20.")
    expect(table.get_by_role("row")).to_have_count(3)
    expect(person.page.get_by_role("region", name="Table of weight")).to_be_focused()
    person.sees("2 values")
    assert values_of(person, path) == [1, 3]
    undo = person.page.get_by_role("button", name="Undo", exact=True)
    undo.focus()
    person.page.keyboard.press("Enter")
    expect(table.get_by_role("row")).to_have_count(4)
    assert values_of(person, path) == [1, 2, 3]


def test_the_row_is_the_datapoint_in_every_order(person: Person) -> None:
    path = fill(person, "things", [5, 3, 9, 1, 7, 3], {"type": "number"})
    with person.api() as db:  # several at one time, and equal ones
        db(path).insert_array([{"t": START + 120, "d": d} for d in (8, 2, 8)], merge=True)
    assert values_of(person, path) == [5, 3, 9, 8, 2, 8, 1, 7, 3]
    table = look(person, path)
    person.press("Delete 2, 2023-11-14 23:15:20")  # newest first
    expect(table.get_by_role("row")).to_have_count(9)
    assert values_of(person, path) == [5, 3, 9, 8, 8, 1, 7, 3]
    table.get_by_role("button", name="Value").click()  # by value
    expect(table.get_by_role("row").nth(1)).to_contain_text("23:16:20")
    table.get_by_role("row").nth(3).get_by_role("button", name="Delete 3, 2023-11-14 23:18:20").click()
    expect(table.get_by_role("row")).to_have_count(8)
    assert values_of(person, path) == [5, 3, 9, 8, 8, 1, 7]
    table.get_by_role("button", name="Time").click()
    table.get_by_role("button", name="Time").click()  # oldest first
    expect(table.get_by_role("row").nth(1)).to_contain_text("23:13:20")
    person.press("Delete 9, 2023-11-14 23:15:20")
    expect(table.get_by_role("row")).to_have_count(7)
    assert values_of(person, path) == [5, 3, 8, 8, 1, 7]
    person.open(f"/u/{path}?view=table&t1={START + 100}&t2={START + 200}")  # a part of it
    expect(table.get_by_role("row")).to_have_count(4)
    person.press("Delete 1, 2023-11-14 23:16:20")
    expect(table.get_by_role("row")).to_have_count(3)
    assert values_of(person, path) == [5, 3, 8, 8, 7]


def test_the_row_is_the_datapoint_on_every_page_of_a_long_stream(person: Person) -> None:
    path = fill(person, "long", list(range(20_000)), {"type": "integer"}, step=1)
    table = look(person, path)
    person.press("Next")
    person.sees("Page 2 of 400")
    expect(table.get_by_role("row").nth(1)).to_contain_text("19949")
    person.press("Delete 19940, 2023-11-15 04:45:40")
    person.is_notified("Deleted: 19940")
    table.get_by_role("button", name="Time").click()
    expect(table.get_by_role("row").nth(1)).to_contain_text("2023-11-14 23:13:20")
    person.press("Next")
    person.press("Edit 51, 2023-11-14 23:14:11")
    dialog(person).get_by_label("long", exact=True).fill("-51")
    person.press("Save")
    person.is_notified("Changed to -51")
    found = values_of(person, path)
    assert found == [*range(51), -51, *range(52, 19_940), *range(19_941, 20_000)]


def test_last_page_may_go_with_its_only_value(person: Person) -> None:
    table = look(person, fill(person, "weight", list(range(51)), {"type": "number"}))
    person.press("Next")
    expect(person.page.get_by_text("Page 2 of 2 (51 values)")).to_be_visible()
    table.get_by_role("button", name=re.compile("^Delete 0, ")).click()
    expect(person.page.get_by_text("Page 1 of 1 (50 values)")).to_be_visible()
    expect(table.get_by_role("row")).to_have_count(51)


def test_datapoint_that_has_moved_is_not_taken_for_another(person: Person) -> None:
    path = fill(person, "weight", [1, 2, 3], {"type": "number"}, step=0)  # all at one time
    silent(person)
    table = look(person, path)
    with person.api() as db:
        db(path).delete(i1=0, i2=1)
    person.press("Delete 2, 2023-11-14 23:13:20")
    person.is_told("Nothing was changed: somebody has corrected this value since, or others have come before it.")
    assert values_of(person, path) == [2, 3]
    expect(table.get_by_role("row")).to_have_count(3)  # read anew
    person.press("Edit 3, 2023-11-14 23:13:20")
    with person.api() as db:
        db(path).update(1, 33)
    dialog(person).get_by_label("weight", exact=True).fill("4")
    person.press("Save")
    person.is_told("Nothing was changed")
    assert values_of(person, path) == [2, 33]
    person.press("Cancel")
    with person.api() as db:
        db(path).delete(i1=0)
    person.press("Delete 33, 2023-11-14 23:13:20")
    person.is_told("Nothing was changed")


def test_lost_answer_does_not_delete_twice(person: Person) -> None:
    path = fill(person, "weight", [1, 1, 1], {"type": "number"}, step=0)
    look(person, path)
    lost = []

    def lose(route: Route) -> None:
        if route.request.method != "DELETE" or lost:
            route.continue_()
            return
        lost.append(route.fetch().status)
        route.abort()

    person.page.route("**/data?*", lose)
    person.page.get_by_role("button", name=re.compile("Delete 1, ")).first.click()
    person.is_notified("Deleted: 1")
    assert lost == [200]
    assert values_of(person, path) == [1, 1]


def test_who_may_not_correct_is_told_so(person: Person) -> None:
    owner = f"{person.name}-owner"
    path = f"{owner}/user/open"
    with person.server.connect() as db:
        db(owner).create(f"{owner}@example.com", "secret", public=True)
    with person.server.connect(owner, "secret") as db:
        db(f"{owner}/user").set({"public": True})
        db(path).create({"type": "number"})
        db(path).insert(5)
    look(person, path)
    person.page.get_by_role("button", name=re.compile("^Delete 5, ")).click()
    person.is_told(re.compile("permission"))
    with person.server.connect(owner, "secret") as db:
        assert len(db(path)) == 1


def test_list_of_corrections_and_undo_there(person: Person) -> None:
    path = fill(person, "weight", [1, 2, 3, 4], {"type": "number"})
    with person.api() as db:
        db(path).delete(i1=0, i2=2, why="<b>the cat</b>")
        purged = db(path).delete(i1=0, i2=1, purge=True)
    assert purged.n == 1
    table = look(person, path)
    person.page.get_by_text("Corrections", exact=True).click()
    entries = person.page.get_by_role("list", name="Corrections, newest first").locator("> li")
    expect(entries).to_have_count(2)
    expect(entries.nth(0)).to_contain_text("Deleted the value of 2023-11-14 23:15:20")
    expect(entries.nth(0)).to_contain_text("cannot be undone")
    expect(entries.nth(1)).to_contain_text(
        "Deleted 2 values, 2023-11-14 23:13:20 to 2023-11-14 23:14:20: “<b>the cat</b>”"
    )
    expect(entries.nth(1)).to_contain_text(f"by {person.name}/user")
    person.finds_no_barrier()
    person.fits()
    expect(entries.nth(0).get_by_text("What was there")).to_have_count(0)
    entries.nth(1).get_by_text("What was there").click()
    expect(entries.nth(1)).to_contain_text("2023-11-14 23:13:20: 12023-11-14 23:14:20: 2")
    person.finds_no_barrier()
    person.fits()
    entries.nth(1).get_by_role("button").click()
    expect(entries).to_have_count(3)
    expect(entries.nth(0)).to_contain_text("Took back a correction of 2 values")
    expect(entries.nth(2)).to_contain_text("; undone")
    expect(entries.get_by_role("button")).to_have_count(0)
    expect(table.get_by_role("row")).to_have_count(4)
    assert values_of(person, path) == [1, 2, 4]


def test_many_values_that_were_there_are_listed_in_part_and_downloaded(person: Person) -> None:
    path = fill(person, "weight", list(range(30)), {"type": "number"})
    with person.api() as db:
        db(path).update(0, 100, why="a typing error")
        db(path).delete(i1=5, i2=30)
    look(person, path)
    person.page.get_by_text("Corrections", exact=True).click()
    entries = person.page.get_by_role("list", name="Corrections, newest first").locator("> li")
    expect(entries).to_have_count(2)
    entries.nth(1).get_by_text("What was there").click()
    expect(entries.nth(1).get_by_role("listitem")).to_have_text("2023-11-14 23:13:20: 0")
    entries.nth(0).get_by_text("What was there").click()
    expect(entries.nth(0).get_by_role("listitem")).to_have_count(20)
    person.sees("These are the first 20 of 25 values.")
    with person.page.expect_download() as download:
        person.follow("All 25 values as CSV")
    lines = Path(download.value.path()).read_text().splitlines()
    assert [line.partition(",")[2] for line in lines[1:]] == [str(d) for d in range(5, 30)]


def test_all_that_is_shown_follows_the_corrections_of_others(person: Person) -> None:
    path = fill(person, "temperature", [20, 21, 5000, 22], {"type": "number"})
    look(person, path, "?view=line&range=all")
    person.sees(re.compile(r"From 20 to 5,000;"))
    with person.api() as db:
        wrong = db(path).delete(i1=2, i2=3)
    person.sees(re.compile(r"From 20 to 22;"))
    person.sees("3 values")
    with person.api() as db:
        db(path).undo(wrong)
    person.sees(re.compile(r"From 20 to 5,000;"))
    person.sees("4 values")
    with person.api() as db:
        db(path).update(-1, 23)
    person.sees(re.compile(r"at the end 23"))
    person.press("Number")
    person.sees(re.compile("^23$"))
    with person.api() as db:
        db(path).delete(i1=-1)
    person.sees(re.compile("^5,000$"))
    with person.api() as db:
        db(path).delete(i1=0)
    person.sees("There is nothing in this stream yet.")


def test_corrections_made_while_there_was_no_connection_are_seen(person: Person, own_server: Any) -> None:
    with own_server.connect() as db:
        db("test/user/temperature").create({"type": "number"})
        db("test/user/temperature").insert_array([{"t": START + i * 60, "d": d} for i, d in enumerate([20, 5000, 22])])
    me = Person(person.page, own_server, "test", "test")
    me.sign_in("/u/test/user/temperature?view=line&range=all")
    me.sees(re.compile(r"From 20 to 5,000;"))
    me.sees("Live: what is written is seen at once.")
    own_server.stop()
    me.sees(re.compile("Not live"))
    own_server.start()
    with own_server.connect() as db:
        db("test/user/temperature").delete(i1=1, i2=2)
    me.sees(re.compile(r"From 20 to 22;"))


def test_newest_values_at_home_follow_corrections(person: Person) -> None:
    path = f"{person.name}/sensor/temperature"
    with person.api() as db:
        db(f"{person.name}/sensor").create(streams={"temperature": {"schema": '{"type": "number"}'}})
        key = db(f"{person.name}/sensor").data["apikey"]
    with ConnectorDB(key, url=person.server.url) as db:
        db(path).insert_array([{"t": START, "d": 20}, {"t": START + 60, "d": 5000}])
    person.sign_in("/")
    tile = person.page.get_by_role("link", name=re.compile("temperature"))
    expect(tile).to_contain_text("5,000")
    with person.api() as db:
        db(path).delete(i1=-1)
    expect(tile).to_contain_text("20")


def test_what_a_transform_made_is_not_corrected(person: Person) -> None:
    path = fill(person, "weight", [1, 2, 3], {"type": "number"})
    table = look(person, path, "?view=table&range=all&transform=%24%20*%202")
    expect(table.get_by_role("row", name="6")).to_be_visible()
    expect(person.page.get_by_role("button", name=re.compile("^(Edit|Delete) "))).to_have_count(0)


def test_objects_are_edited_by_the_form_of_their_schema(person: Person) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "hot": {"type": "boolean"}, "n": {"type": "integer"}},
        "required": ["name"],
    }
    path = fill(person, "meals", [{"name": "soup", "hot": True, "extra": [1]}], schema)
    look(person, path)
    person.page.get_by_role("button", name=re.compile("^Edit ")).click()
    expect(dialog(person).get_by_label("name", exact=True)).to_have_value("soup")
    dialog(person).get_by_label("No", exact=True).check(force=True)
    dialog(person).get_by_label("n (may be left out)", exact=True).fill("2")
    person.fits()
    person.press("Save")
    person.is_notified("Changed to ")
    assert values_of(person, path) == [{"name": "soup", "hot": False, "n": 2, "extra": [1]}]


BIG = 2**63 - 1
WIDE = 12_345_678_901_234_567_890


def test_whole_numbers_of_64_bits_keep_their_digits(person: Person) -> None:
    path = fill(person, "ids", [BIG, -(2**60) - 1, {"id": WIDE}, 7])
    table = look(person, path)
    for text in (str(BIG), str(-(2**60) - 1), str(WIDE)):
        expect(table.get_by_role("row", name=text)).to_be_visible()
    person.press(f"Edit {BIG}, 2023-11-14 23:13:20")
    expect(dialog(person).get_by_label("ids", exact=True)).to_have_value(str(BIG))
    dialog(person).get_by_label("ids", exact=True).fill(f"[{BIG - 2}, 1.5]")
    person.press("Save")
    person.is_notified("Changed to ")
    assert values_of(person, path)[0] == [BIG - 2, 1.5]
    person.press("Undo")
    person.is_notified("Undone.")
    person.press("JSON")
    person.sees(re.compile(rf'"d":{BIG}\b'))
    person.press("Table")
    person.press(f"Delete {-(2**60) - 1}, 2023-11-14 23:14:20")
    person.is_notified("Deleted")
    assert values_of(person, path) == [BIG, {"id": WIDE}, 7]


def test_numbers_are_shown_exactly_and_entered_exactly(person: Person) -> None:
    path = fill(person, "counter", [0.1 + 0.2, 2**53 + 1], {"type": "number"})
    table = look(person, path, "?view=table&range=all")
    expect(table.get_by_role("row", name="0.30000000000000004")).to_be_visible()
    person.press("Number")
    person.sees("9,007,199,254,740,993")
    person.fill("counter", str(2**53 + 3))
    person.press("Enter counter")
    person.is_notified("counter: entered.")
    person.sees("9,007,199,254,740,995")
    assert values_of(person, path)[-1] == 2**53 + 3
    person.press("Table")
    person.press("Edit 0.30000000000000004, 2023-11-14 23:13:20")
    expect(dialog(person).get_by_label("counter", exact=True)).to_have_value("0.30000000000000004")
    person.press("Save")
    person.is_notified("Changed to 0.30000000000000004")
    assert values_of(person, path)[0] == 0.1 + 0.2


@pytest.fixture
def roomy_server(tmp_path: Path) -> Iterator[WebServer]:
    """A server that takes long values."""
    server = WebServer(tmp_path / "db", options={"server.body_bytes_max": 40_000_000})
    server.start()
    yield server
    server.stop()


def test_string_of_ten_million_characters_leaves_the_pages_usable(roomy_server: WebServer, page: Page) -> None:
    huge = "<script>window.hacked=1</script>" + "x" * 10_500_000
    me = Person(page, roomy_server, "test", "test")
    with roomy_server.connect() as db:
        db("test/user/diary").create({"type": "string"})
        db("test/user/diary").insert_array([{"t": START, "d": "short"}, {"t": START + 60, "d": huge}])
        db("test/user/things").create({})
        db("test/user/things").insert_array([{"t": START, "d": 5}, {"t": START + 60, "d": {"text": huge}}])
        db("test/user/mood").create({})
        db("test/user/mood").insert_array([{"t": START, "d": huge}])
        states = [{"t": START + 60 * i, "d": "good" if i % 7 else "bad"} for i in range(1, 700)]
        db("test/user/mood").insert_array(states)
        db("test/sensor").create(streams={"text": {"schema": "{}"}})
        key = db("test/sensor").apikey
    with ConnectorDB(key, url=roomy_server.url) as db:
        db("test/sensor/text").insert_array([{"t": START, "d": 1}, {"t": START + 60, "d": huge}])
    me.sign_in("/")
    me.sees("<script>window.hacked=1</script>")
    for stream in ("diary", "things"):
        me.open(f"/u/test/user/{stream}?range=all&view=table")
        table = page.get_by_role("table")
        expect(table.get_by_role("row")).to_have_count(3)
        page.get_by_role("button", name=re.compile("^Edit .*<script>")).click()
        me.is_notified("This value is too long to be edited here.")
        if stream == "diary":
            me.finds_no_barrier()
        table.get_by_text(re.compile("^.*<script>window.hacked=1")).first.click()
        me.fits()
        for view in ("JSON", "Calendar", "Bars"):
            me.press(view)
            expect(page.get_by_role("button", name=view, exact=True)).to_have_attribute("aria-pressed", "true")
            expect(page.get_by_text("Reading…")).to_be_hidden()
            if view == "JSON":
                expect(page.get_by_role("region", name=f"JSON of {stream}")).to_contain_text("window.hacked")
            me.fits()
        me.press("Table")
        page.get_by_role("button", name=re.compile("^Delete .*<script>")).click()
        me.is_notified("Deleted: ")
        expect(table.get_by_role("row")).to_have_count(2)
        me.press("Undo")
        expect(table.get_by_role("row")).to_have_count(3)
    me.open("/u/test/user/mood?range=all&view=timeline")
    expect(page.get_by_role("group", name="Timeline of mood")).to_be_visible()
    me.press("Bars")
    me.fits()
    me.press("Table")
    expect(page.get_by_role("table").get_by_role("row").nth(1)).to_be_visible()
    assert page.evaluate("window.hacked") is None


def test_the_form_begins_with_the_value_whatever_it_is(person: Person) -> None:
    kinds: dict[str, tuple[Any, Any]] = {
        "rating": ({"type": "integer", "minimum": 0, "maximum": 5}, 3),
        "choice": ({"enum": ["a", "b", "c"]}, "b"),
        "switch": ({"type": "boolean"}, True),
        "list": ({"type": "array", "items": {"type": "number"}}, [1, 2]),
        "nothing": ({}, None),
        "empty": ({"type": "string"}, ""),
    }
    person.sign_in()
    for name, (schema, value) in kinds.items():
        path = fill(person, name, [value], schema, datatype="rating.stars" if name == "rating" else "")
        person.open(f"/u/{path}?view=table&range=all")
        person.page.get_by_role("button", name=re.compile("^Edit .*23:13:20")).click()
        person.fits()
        person.press("Save")
        person.is_notified("Changed to")
        assert values_of(person, path) == [value]


def test_line_breaks_stay_as_they_are_in_what_is_edited(person: Person) -> None:
    text = {"type": "string"}
    note = fill(person, "note", ["milk\nbread", "eggs\r\njam\r\nrice"], text)
    look(person, note)
    for edited in ("milk", "eggs"):
        person.page.get_by_role("button", name=re.compile(f"^Edit {edited}")).click()
        person.fits()
        person.press("Save")
        person.is_notified(re.compile(f"Changed to {edited}"))
        expect(dialog(person)).to_be_hidden()
    assert values_of(person, note) == ["milk\nbread", "eggs\r\njam\r\nrice"]
    person.page.get_by_role("button", name=re.compile("^Edit eggs")).click()
    field = dialog(person).get_by_label("note", exact=True)
    expect(field).to_have_value("eggs\njam\nrice")
    field.focus()
    person.page.keyboard.press("ControlOrMeta+End")
    person.page.keyboard.type("!")
    person.page.keyboard.press("Enter")
    person.page.keyboard.type("tea")
    person.finds_no_barrier()
    person.press("Save")
    expect(dialog(person)).to_be_hidden()
    assert values_of(person, note)[1] == "eggs\r\njam\r\nrice!\r\ntea"
    thing = fill(person, "thing", [{"note": "a\nb", "n": 1}], {"type": "object", "properties": {"note": text, "n": {}}})
    person.open(f"/u/{thing}?view=table&range=all")
    person.page.get_by_role("button", name=re.compile("^Edit ")).click()
    field = dialog(person).get_by_label("note (may be left out)", exact=True)
    field.fill("a\nbc")
    field.fill("abc")
    field.press_sequentially("d")
    person.press("Save")
    expect(dialog(person)).to_be_hidden()
    assert values_of(person, thing) == [{"note": "abcd", "n": 1}]
