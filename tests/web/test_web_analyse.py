"""Analyses: datasets and merges, scripts and their help, and the same query elsewhere."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from person import Person
from playwright.sync_api import expect

from connectordb import ConnectorDB
from connectordb.query import Dataset

pytestmark = pytest.mark.timeout(180)

START = 1_700_000_000


def two_streams(person: Person) -> None:
    with person.api() as db:
        for name, factor in (("mood", 1), ("steps", 100)):
            db(f"{person.name}/user/{name}").create({"type": "integer"}, nickname=name.title())
            points = [{"t": START + i * 3600 + factor, "d": (i * 7 % 10) * factor} for i in range(100)]
            db(f"{person.name}/user/{name}").insert_array(points)


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_dataset_with_plot_correlation_and_the_same_in_python_and_curl(person: Person, tmp_path: Path) -> None:
    two_streams(person)
    person.sign_in()
    person.go("Analyse")
    person.is_at("Analyse")
    person.finds_no_barrier()
    person.fits()
    person.press("Show")
    person.is_told("Choose at least one stream.")
    person.choose("Time", "all")
    person.choose("Rows", "each value of Mood (user)")
    person.choose("Stream", "Steps (user)")
    person.sees("The datapoint nearest in time; of two equally near the earlier one.")
    person.press("Show")
    person.sees("100 rows")
    correlations = person.page.get_by_role("table", name="Correlations")
    expect(
        correlations.get_by_role(
            "row", name=re.compile(r"(mood \(x\) and steps|steps and mood \(x\)) 1\.000 100 < 0\.001")
        )
    ).to_be_visible()
    expect(person.page.get_by_role("img", name=re.compile("Scatter plot of"))).to_be_visible()
    expect(person.page.get_by_role("table", name="Rows of the result").get_by_role("row")).to_have_count(51)
    person.finds_no_barrier()
    person.fits()
    code = person.page.get_by_role("region", name="Code: Python").inner_text()
    assert len(run(sys.executable, "-c", code.replace("PASSWORD", "secret"), cwd=tmp_path).splitlines()) == 100
    code = person.page.get_by_role("region", name="Code: curl").inner_text()
    assert run("bash", "-ec", code.replace("PASSWORD", "secret"), cwd=tmp_path).count('"t"') == 100
    person.page.reload()
    expect(person.page.get_by_label("Stream", exact=True)).to_have_value(f"{person.name}/user/steps")


def test_equal_steps_and_from_to(person: Person, tmp_path: Path) -> None:
    two_streams(person)
    person.sign_in("/analyse")
    person.choose("Time", "from … to …")
    person.fill("From", "2023-11-15T00:00:00")
    person.fill("To", "2023-11-16T00:00:00")
    person.choose("Stream", "Mood (user)")
    person.choose("Value at a time", "mean")
    person.press("Show")
    person.sees("24 rows")
    code = person.page.get_by_role("region", name="Code: Python").inner_text()
    assert len(run(sys.executable, "-c", code.replace("PASSWORD", "secret"), cwd=tmp_path).splitlines()) == 24


def test_merge(person: Person, tmp_path: Path) -> None:
    two_streams(person)
    person.sign_in("/analyse")
    person.choose("Put together", "one after the other (merge)")
    person.choose("Time", "all")
    person.choose("Stream", "Mood (user)")
    person.press("Add a stream")
    person.page.get_by_label("Stream", exact=True).nth(1).select_option(label="Steps (user)")
    person.fill("Transform of stream 2", "if $ >= 900")
    person.press("Show")
    person.sees("110 rows")
    person.fits()
    for name, command in (("Python", (sys.executable, "-c")), ("curl", ("bash", "-ec"))):
        code = person.page.get_by_role("region", name=f"Code: {name}").inner_text()
        assert run(*command, code.replace("PASSWORD", "secret"), cwd=tmp_path)


def test_scripts_are_completed_explained_and_their_faults_shown_where_they_are(person: Person) -> None:
    two_streams(person)
    person.sign_in("/analyse")
    person.choose("Stream", "Mood (user)")
    field = person.page.get_by_role("combobox", name="Transform of column 1")
    field.press_sequentially("if $ > 5 | cou")
    expect(person.page.get_by_role("option", name=re.compile("^count "))).to_be_visible()
    person.finds_no_barrier()
    person.page.keyboard.press("ArrowDown")
    expect(field).to_have_attribute("aria-activedescendant", re.compile("-0$"))
    person.page.keyboard.press("Enter")
    expect(field).to_have_value("if $ > 5 | count")
    person.sees(re.compile("Example:"))
    field.fill("if $ > 5 | cuont")
    person.is_told(re.compile(r"There is no transform 'cuont'; did you mean 'count'\? \(column 11\)\."))
    expect(person.page.locator("pre.pointer")).to_have_text(re.compile(r"^if \$ > 5 \| cuont\n {11}\^$"))
    person.fits()


def downloaded(person: Person, kind: str, to: Path) -> str:
    group = person.page.get_by_role("group", name="Download the result")
    with person.page.expect_download() as download:
        group.get_by_role("button", name=kind).click()
    download.value.save_as(to / download.value.suggested_filename)
    return (to / f"analysis.{kind.lower()}").read_text()


def same_elsewhere(person: Person, folder: Path, rows: int) -> None:
    code = person.page.get_by_role("region", name="Code: Python").inner_text()
    assert len(run(sys.executable, "-c", code.replace("PASSWORD", "secret"), cwd=folder).splitlines()) == rows
    code = person.page.get_by_role("region", name="Code: curl").inner_text()
    assert run("bash", "-ec", code.replace("PASSWORD", "secret"), cwd=folder).count('"t"') == rows


def test_result_is_downloaded_as_it_is_shown(person: Person, tmp_path: Path) -> None:
    two_streams(person)
    with person.api() as db:
        db(f"{person.name}/user/note").create({"type": "string"})
        db(f"{person.name}/user/note").insert_array(
            [{"t": START + 7200 * i, "d": d} for i, d in enumerate(("=1+1", 'say "hi", then', "12", "plain"))]
        )
    person.sign_in("/analyse")
    person.choose("Time", "all")
    person.choose("Rows", "each value of Mood (user)")
    person.choose("Stream", "user/note")
    person.press("Show")
    person.sees("100 rows")
    rows = json.loads(downloaded(person, "JSON", tmp_path))
    with person.api() as db:
        dataset = Dataset(db, x=f"{person.name}/user/mood", i1=0)
        dataset.add_stream(f"{person.name}/user/note", colname="note")
        assert rows == dataset.run()
        server = tmp_path / "server.csv"
        dataset.download(server)
    mine, servers = (
        list(csv.reader(io.StringIO(text))) for text in (downloaded(person, "CSV", tmp_path), server.read_text())
    )
    assert mine[0] == servers[0] == ["t", "x", "note"]
    assert [[float(t), *rest] for t, *rest in mine[1:]] == [[float(t), *rest] for t, *rest in servers[1:]]
    person.finds_no_barrier()
    person.fits()


def test_streams_of_another_user(person: Person, tmp_path: Path) -> None:
    two_streams(person)
    friend = f"{person.name}-friend"
    with person.server.connect() as db:
        db(friend).create(f"{friend}@example.com", "x", public=True)
    with person.server.connect(friend, "x") as db:
        db(f"{friend}/scale").create(public=True)
        db(f"{friend}/scale/weight").create({"type": "number"})
        key = db(f"{friend}/scale").apikey
    with ConnectorDB(key, url=person.server.url) as scale:
        scale(f"{friend}/scale/weight").insert_array([{"t": START + i * 3600, "d": 70 + i} for i in range(10)])
    person.sign_in("/analyse")
    person.choose("Time", "all")
    person.choose("Rows", "each value of Mood (user)")
    person.choose("Stream", "one of another user…")
    person.fill("Stream: its path", f"{friend}/")
    person.press("Show")
    person.is_told(f"“{friend}/” is no path of a stream")
    offered = person.page.locator("datalist option")
    expect(offered).to_have_count(1)
    assert offered.get_attribute("value") == f"{friend}/scale/weight"
    person.fill("Stream: its path", f"{friend}/scale/secret")
    person.press("Show")
    person.is_told(re.compile("secret"))
    person.fill("Stream: its path", f"{friend}/scale/weight")
    person.finds_no_barrier()
    person.fits()
    person.press("Show")
    person.sees("100 rows")
    same_elsewhere(person, tmp_path, 100)
    person.page.reload()
    expect(person.page.get_by_label("Stream: its path")).to_have_value(f"{friend}/scale/weight")


def test_merged_column_rows_with_gaps_and_values_by_number(person: Person, tmp_path: Path) -> None:
    two_streams(person)
    with person.api() as db:
        db(f"{person.name}/user/late").create({"type": "number"})
        db(f"{person.name}/user/late").insert_array([{"t": START + 95 * 3600, "d": 1}])
    person.sign_in("/analyse")
    person.choose("Rows", "each value of Mood (user)")
    person.choose("Time", "values by their number")
    person.fill("From number", "-1x")
    person.sees("It has to be a whole number.")
    person.fill("From number", "-10")
    person.choose("Stream", "user/late")
    person.choose("Value at a time", "before")
    person.press("Show")
    person.sees("5 rows")
    person.page.get_by_label("Rows without a value in column 1, too").check()
    person.press("Merge another stream into column 1")
    person.choose("Merged with: stream 2 of column 1", "Steps (user)")
    person.fill("Transform of stream 2 of column 1", "if $ > 1000")
    person.press("Show")
    person.sees("10 rows")
    person.finds_no_barrier()
    person.fits()
    same_elsewhere(person, tmp_path, 10)
    person.choose("Time", "all")
    person.fill("At most, of the rows’ stream", "7")
    person.press("Show")
    person.sees("7 rows")
    same_elsewhere(person, tmp_path, 7)
    person.page.reload()
    expect(person.page.get_by_label("Transform of stream 2 of column 1")).to_have_value("if $ > 1000")


def test_link_of_anybody_to_an_analysis_does_no_harm(person: Person) -> None:
    two_streams(person)
    for query in ("5", '{"columns":[null,{"stream":{"a":1},"more":[3]}],"last":"x"}', '{"columns":[{"stream":"<b>"}]}'):
        person.sign_in(f"/analyse?q={quote(query)}") if query == "5" else person.open(f"/analyse?q={quote(query)}")
        person.is_at("Analyse")
        expect(person.page.get_by_role("button", name="Show", exact=True)).to_be_visible()
