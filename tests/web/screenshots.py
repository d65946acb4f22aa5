"""Takes the pictures of the web app in ``docs/images``: ``make screenshots``."""

from __future__ import annotations

import json
import math
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import browser as browsers
from person import Person
from playwright.sync_api import Page, expect, sync_playwright
from web_server import WebServer

from connectordb import ConnectorDB

IMAGES = Path(__file__).parents[2] / "docs" / "images"
WIDE, NARROW = (1280, 860), (360, 740)

# How the mood of a month goes with the temperature of its moment.
ANALYSIS = {
    "kind": "dataset",
    "last": 2592000,
    "x": "alice/user/mood",
    "columns": [
        {"stream": "alice/station/temperature", "interpolator": "closest"},
    ],
}

# In this order: what is pinned in one picture is in later ones.
PICTURES = {
    "stream": ("/u/alice/station/temperature?range=30d", WIDE, "light"),
    "timeline": ("/u/alice/phone/activity?range=1d", WIDE, "dark"),
    "home": ("/", (1280, 1240), "light"),
    "home-phone": ("/", NARROW, "dark"),
    "control-phone": ("/downlinks", NARROW, "light"),
    "scatter": ("/u/alice/user/mood?view=scatter&other=alice/station/temperature", WIDE, "light"),
    "analyse": ("/analyse?" + urlencode({"q": json.dumps(ANALYSIS)}), (1280, 1000), "light"),
    "table": ("/u/alice/user/weight?view=table", WIDE, "light"),
}


def pin(page: Page) -> None:
    """Put it onto the home page."""
    page.get_by_role("button", name="Pin to the home page").click()
    expect(page.get_by_role("button", name="On the home page")).to_be_visible()
    page.get_by_role("button", name="Dismiss").click()


def show_analysis(page: Page) -> None:
    """Ask for what has been put together."""
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_role("heading", name="Result")).to_be_visible()


def edit_value(page: Page) -> None:
    """Change a value in the table, up to saving it."""
    page.get_by_role("button", name=re.compile(r"^Edit .*\b74\.9\b")).first.click()
    page.get_by_label("Why (may be left out)").fill("read off wrongly")


#: What a person does before the picture is taken.
ACTIONS: dict[str, Callable[[Page], None]] = {
    "stream": pin,
    "timeline": pin,
    "analyse": show_analysis,
    "table": edit_value,
}


def fill(server: WebServer) -> None:
    """Make a household with some weeks of data."""
    rng = random.Random(1)
    now = time.time()
    with server.connect() as root:
        root("alice").create("alice@example.com", "secret", nickname="Alice")
    with server.connect("alice", "secret") as db:

        def device(name: str, nickname: str, icon: str) -> ConnectorDB:
            db(f"alice/{name}").create(nickname=nickname, icon=f"material:{icon}")
            return ConnectorDB(db(f"alice/{name}").apikey, url=server.url)

        def put(who: ConnectorDB, path: str, schema: Any, points: list[dict[str, Any]], **fields: Any) -> None:
            db(path).create(schema, **fields)
            who(path).insert_array(points)

        with device("station", "Weather station", "cloud") as station:
            points = []
            for i in range(45 * 24 * 12):
                t = now - 45 * 86400 + i * 300
                day = 8 * math.sin(2 * math.pi * (t / 86400 - 0.4)) + 4 * math.sin(2 * math.pi * t / 86400 / 17)
                if not 6000 < i < 6700:
                    points.append({"t": t, "d": round(14 + day + rng.gauss(0, 0.4), 2)})
            path = "alice/station/temperature"
            put(station, path, {"type": "number"}, points, nickname="Temperature", icon="material:thermostat")
        with device("phone", "My phone", "smartphone") as phone:
            activities = ["still", "still", "walking", "cycling", "train"]
            points = [{"t": now - i * 1500, "d": rng.choice(activities)} for i in range(400, 0, -1)]
            path = "alice/phone/activity"
            put(phone, path, {"type": "string"}, points, nickname="Activity", icon="material:directions_walk")
            points = [{"t": now - i * 900, "d": rng.randrange(0, 1400)} for i in range(300, 0, -1)]
            path = "alice/phone/steps"
            put(phone, path, {"type": "integer"}, points, nickname="Steps", icon="material:directions_run")
        with device("lamp", "Desk lamp", "lightbulb") as lamp:
            points = [{"t": now - i * 9000, "d": i % 2 == 0} for i in range(50, 0, -1)]
            light = {"nickname": "Light", "icon": "material:lightbulb", "downlink": True}
            put(lamp, "alice/lamp/on", {"type": "boolean"}, points, **light)
            bounds = {"type": "integer", "minimum": 0, "maximum": 100}
            put(
                lamp, "alice/lamp/brightness", bounds, [{"t": now - 900, "d": 60}], nickname="Brightness", downlink=True
            )
            db("alice/lamp/on").downlink(False)
        stars = {"type": "integer", "minimum": 1, "maximum": 10}
        points = [{"t": now - i * 25000, "d": rng.randrange(3, 11)} for i in range(120, 0, -1)]
        fields = {"nickname": "Mood", "datatype": "rating.stars", "icon": "material:mood"}
        put(db, "alice/user/mood", stars, points, **fields)
        db("alice/user/diary").create({"type": "string"}, nickname="Diary", datatype="log.diary", icon="material:book")
        scale = {"type": "number", "minimum": 40, "maximum": 120}
        points = [{"t": now - i * 86400, "d": round(74 + math.sin(i / 6), 1)} for i in range(60, 0, -1)]
        put(db, "alice/user/weight", scale, points, nickname="Weight", icon="material:scale")


def main() -> None:
    """Take them all."""
    path = browsers.provide()
    assert path is not None, "there is no Chromium"
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = WebServer(Path(folder) / "db")
        server.start()
        try:
            fill(server)
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            for name, (target, (width, height), scheme) in PICTURES.items():
                context = browser.new_context(
                    viewport={"width": width, "height": height},
                    color_scheme=scheme,  # type: ignore[arg-type]
                    locale="en-GB",
                    timezone_id="Europe/Amsterdam",
                )
                page = context.new_page()
                Person(page, server, "alice", "secret").sign_in(target)
                if name in ACTIONS:
                    ACTIONS[name](page)
                expect(page.get_by_text(re.compile("^(Reading|Loading)"))).to_have_count(0)
                page.wait_for_timeout(1500)  # what has been asked for is drawn
                page.screenshot(path=IMAGES / f"{name}.png")
                context.close()
            browser.close()
        finally:
            server.stop()


if __name__ == "__main__":
    main()
