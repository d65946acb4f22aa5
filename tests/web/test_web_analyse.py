"""Analyses: datasets and merges, scripts and their help, and the same query elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from person import Person
from playwright.sync_api import expect

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
        correlations.get_by_role("row", name=re.compile(r"(x and steps|steps and x) 1\.000 100 < 0\.001"))
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
