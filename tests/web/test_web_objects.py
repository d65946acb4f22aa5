"""Users, devices and streams: looking at them, making, changing and deleting them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from person import Person
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(180)

HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'


def test_new_device_ends_with_code_that_works(person: Person, tmp_path: Path) -> None:
    person.sign_in()
    person.go("Devices")
    person.is_at("My devices")
    person.follow("New device")
    person.is_at("New device")
    person.finds_no_barrier()
    person.fits()
    person.fill("Shown name", "Wetter-Station Süd")
    expect(person.page.get_by_label("Name", exact=True)).to_have_value("wetter-station-sud")
    person.press("Create the device")
    person.is_at("Wetter-Station Süd is ready")
    person.fits()
    code = person.page.get_by_role("region", name="Code: Python").inner_text()
    run(sys.executable, "-c", code, cwd=tmp_path)
    person.press("curl")
    code = person.page.get_by_role("region", name="Code: curl").inner_text()
    person.press("Show as a QR code")
    expect(person.page.get_by_role("img", name="QR code of the code for curl")).to_be_visible()
    person.finds_no_barrier()
    run("bash", "-ec", code.replace("temperature", "humidity"), cwd=tmp_path)
    with person.api() as db:
        station = f"{person.name}/wetter-station-sud"
        assert [p["d"] for p in db(f"{station}/temperature")[:]] == [21.5]
        assert [p["d"] for p in db(f"{station}/humidity")[:]] == [21.5]
    person.follow("Go to the device")
    person.is_at("Wetter-Station Süd")
    person.sees("humidity")
    person.finds_no_barrier()


def run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_api_key_is_shown_to_those_who_ask_copied_and_made_anew(person: Person) -> None:
    with person.api() as db:
        db(f"{person.name}/lamp").create()
        key = db(f"{person.name}/lamp").apikey
    person.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    person.sign_in(f"/u/{person.name}/lamp")
    person.is_at("lamp")
    assert key not in person.page.content()
    person.press("Show the API key")
    person.sees(key)
    person.press("Copy API key")
    person.is_notified("Copied: API key.")
    assert person.page.evaluate("navigator.clipboard.readText()") == key
    person.press("Make a new API key")
    expect(person.page.get_by_role("dialog", name="Make a new API key?")).to_be_visible()
    person.page.keyboard.press("Escape")
    person.sees(key)
    person.press("Make a new API key")
    person.press("Make a new key")
    person.is_notified("The device has a new API key.")
    with person.api() as db:
        fresh = db(f"{person.name}/lamp").apikey
    assert fresh != key
    person.sees(fresh)


def test_all_fields_of_a_device(person: Person) -> None:
    with person.api() as db:
        db(f"{person.name}/lamp").create()
    person.sign_in(f"/u/{person.name}/lamp")
    person.follow("Edit")
    person.is_at("Edit lamp")
    person.finds_no_barrier()
    person.fits()
    person.fill("Shown name", "Lamp")
    person.fill("Description", HOSTILE)
    person.press("Choose an icon")
    expect(person.page.get_by_role("dialog", name="Choose an icon")).to_be_visible()
    person.finds_no_barrier()
    person.press("lightbulb")
    person.choose("Role", "reader: may also read all that its user has")
    for box in ("Switched on", "Visible"):
        person.page.get_by_label(box, exact=True).uncheck()
    person.press("Save")
    person.is_notified("Saved.")
    person.is_at("Lamp")
    person.sees(HOSTILE)
    assert person.page.evaluate("window.hacked") is None
    with person.api() as db:
        data = db(f"{person.name}/lamp").data
    wanted = {"nickname": "Lamp", "description": HOSTILE, "icon": "material:lightbulb", "role": "reader"}
    assert {**data, **wanted, "enabled": False, "visible": False} == data
    person.go("Devices")
    person.is_at("My devices")
    expect(person.page.get_by_role("link", name="Lamp")).to_be_hidden()
    person.page.get_by_label("Show hidden devices, too").check()
    expect(person.page.get_by_role("link", name="Lamp")).to_be_visible()


def test_delete_takes_the_name_typed_in(person: Person) -> None:
    with person.api() as db:
        db(f"{person.name}/old").create(streams={"s": {}})
    person.sign_in(f"/edit/device/{person.name}/old")
    person.press("Delete this device…")
    dialog = person.page.get_by_role("dialog", name="Delete the device old?")
    expect(dialog).to_contain_text("All of its streams, with all of their data, are deleted as well.")
    person.press("Delete this device")
    person.sees("This is not the name of the device, which is “old”.")
    person.finds_no_barrier()
    person.fits()
    person.fill("Type old to delete it", "old")
    person.press("Delete this device")
    person.is_notified("The device old was deleted.")
    person.is_at("My devices")
    with person.api() as db:
        assert not db(f"{person.name}/old").exists()


def test_new_stream_with_a_schema_that_is_checked_while_one_types(person: Person) -> None:
    with person.api() as db:
        db(f"{person.name}/phone").create(streams={"steps": {}})
    person.sign_in(f"/u/{person.name}/phone")
    person.follow("New stream")
    person.is_at("New stream")
    person.finds_no_barrier()
    person.fits()
    person.fill("Name", "steps")
    person.sees("There is a “steps” already.")
    person.fill("Name", "mood")
    person.choose("Kind of values", "A rating in stars, from 1 to 10")
    person.sees("a whole number from 1 to 10")
    expect(person.page.get_by_label("Datatype")).to_have_value("rating.stars")
    person.fill("Try a value", "11")
    person.sees("It has to be at most 10.")
    person.fill("Try a value", "10")
    person.sees("It fits.")
    person.fill("JSON Schema", '{"type": "integr"}')
    person.sees(re.compile('“type” cannot be "integr": there are array, boolean'))
    person.press("Create the stream")
    person.is_at("New stream")
    person.fill("JSON Schema", '{"type": "integer",\n "minimum": 1,\n "maximum: 5}')
    person.sees(re.compile("This is no JSON"))
    person.fill("JSON Schema", '{"type": "integer", "minimum": 1, "maximum": 5}')
    person.page.get_by_label("Takes commands (downlink)").check()
    person.press("Create the stream")
    person.is_notified("The stream mood was created.")
    with person.api() as db:
        mood = db(f"{person.name}/phone/mood")
        assert mood.schema == {"type": "integer", "minimum": 1, "maximum": 5}
        assert (mood.datatype, mood.downlink, mood.ephemeral) == ("rating.stars", True, False)


def test_all_fields_of_a_stream_and_deleting_it(person: Person) -> None:
    with person.api() as db:
        db(f"{person.name}/phone").create(streams={"steps": {"schema": '{"type": "number"}'}})
    person.sign_in(f"/edit/stream/{person.name}/phone/steps")
    person.is_at("Edit steps")
    person.fill("Shown name", "Steps")
    person.fill("Description", "per minute")
    person.fill("JSON Schema", '{"type": "integer"}')
    person.fill("Datatype", "number.steps")
    person.page.get_by_label("Keeps nothing (ephemeral)").check()
    person.press("Save")
    person.is_notified("Saved.")
    with person.api() as db:
        data = db(f"{person.name}/phone/steps").data
    wanted = {"nickname": "Steps", "description": "per minute", "datatype": "number.steps", "ephemeral": True}
    assert {**data, **wanted, "schema": '{"type":"integer"}'} == data
    person.open(f"/edit/stream/{person.name}/phone/steps")
    person.press("Delete this stream…")
    person.fill("Type steps to delete it", "steps")
    person.press("Delete this stream")
    person.is_notified("The stream steps was deleted.")
    with person.api() as db:
        assert not db(f"{person.name}/phone/steps").exists()


def test_how_long_values_are_kept_is_chosen_and_confirmed(person: Person) -> None:
    with person.api() as db:
        db(f"{person.name}/user/noise").create()
    person.sign_in(f"/edit/stream/{person.name}/user/noise")
    person.page.get_by_label("Keep values").select_option("for 7 days")
    person.press("Save")
    person.sees("Nothing has been saved: this has to be confirmed.")
    with person.api() as db:
        assert db(f"{person.name}/user/noise").keep == 0
    person.page.get_by_label("Delete what is older than 7 days, now and from now on").check()
    person.press("Save")
    person.is_notified("Saved.")
    with person.api() as db:
        assert db(f"{person.name}/user/noise").keep == 7 * 86_400
    person.open(f"/edit/stream/{person.name}/user/noise")
    person.page.get_by_label("Keep values").select_option("for ever")
    person.press("Save")
    person.is_notified("Saved.")
    with person.api() as db:
        assert db(f"{person.name}/user/noise").keep == 0


def test_administrator_looks_after_users(person: Person) -> None:
    with person.server.connect() as db:
        db(person.name).set({"role": "admin"})
    person.sign_in()
    person.go("Users")
    person.is_at("Users")
    person.finds_no_barrier()
    person.fits()
    person.follow("New user")
    person.finds_no_barrier()
    other = f"{person.name}-child"
    person.fill("User name", other)
    person.fill("E-mail address", f"{other}@example.com")
    person.fill("Password", "x")
    person.press("Create the user")
    person.is_notified(f"The user {other} was created.")
    person.is_at(f"Devices of {other}")
    person.follow("Edit this user")
    person.fill("Shown name", "The Child")
    person.choose("Role", "admin: may do everything")
    person.fill("New password", "y")
    person.press("Save")
    person.is_at("Devices of The Child")
    with person.server.connect(other, "y") as db:
        assert db(other).role == "admin"
    person.follow("Edit this user")
    person.press("Delete this user…")
    person.fill(f"Type {other} to delete it", other)
    person.press("Delete this user")
    person.is_notified(f"The user {other} was deleted.")
    with person.server.connect() as db:
        assert not db(other).exists()


def test_things_of_others_are_not_shown(person: Person) -> None:
    person.sign_in("/u/test/user")
    person.is_told("There is no 'test/user', or it may not be accessed.")
    person.open("/users")
    person.is_told("No permission to list users.")
    person.open("/no/such/page")
    assert '"code":404' in person.page.content()


def test_leaving_with_changes_asks_first(person: Person) -> None:
    person.sign_in(f"/edit/device/{person.name}/user")
    person.fill("Shown name", "changed")
    person.page.once("dialog", lambda dialog: dialog.dismiss())
    person.go("Home")
    person.is_at("Edit user")
    expect(person.page.get_by_label("Shown name")).to_have_value("changed")
    person.page.once("dialog", lambda dialog: dialog.accept())
    person.page.get_by_role("link", name="ConnectorDB").click()
    person.is_at("Home")


def test_list_of_50000_streams_stays_usable(person: Person) -> None:
    streams: dict[str, Any] = {f"s{i}": {} for i in range(50_000)}
    with person.server.connect() as db:
        db(f"{person.name}/many").create(streams=streams)
    person.sign_in(f"/u/{person.name}/many")
    person.fill("Find among 50,000 streams", "s4999")
    expect(person.page.get_by_role("main").get_by_role("link", name="s49999")).to_be_visible()
    person.fits()
