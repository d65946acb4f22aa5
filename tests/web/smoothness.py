"""How smooth it is to look at a long stream: ``python tests/web/smoothness.py --points 100000000``."""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import browser as browsers
import numpy as np
from long_streams import fill
from person import Person
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright
from web_server import WebServer

STREAM = "/u/test/user/temperature"
PATIENCE_S = 120
QUIET_S = 0.4
GIVEN_UP_S = 5
IN_VIEW = 100
"""So many values at least are in view when one is as close as one comes."""
SHOWN = re.compile(r"^From .* at the end")
VIEWS = {"histogram": "Histogram of", "calendar": "days with values"}

# Tasks that the page was busy with for more than 50 ms, and the time between the frames that were drawn.
OBSERVE = """
window.tasks = [];
new PerformanceObserver((list) => { for (const entry of list.getEntries()) window.tasks.push(entry.duration); })
  .observe({type: "longtask", buffered: true});
window.drawn = [];
window.draw = (on) => {
  window.drawing = on;
  if (!on) return;
  window.drawn = [];
  let last = performance.now();
  const frame = (t) => { window.drawn.push(t - last); last = t; if (window.drawing) requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
};
"""


class Watch:
    """Times what a person sees of a page, and counts what the page asks for."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._begun: set[Request] = set()
        self._done: list[tuple[Request, float]] = []
        page.on("request", lambda request: self._begun.add(request) if "/data?" in request.url else None)
        page.on("requestfailed", lambda request: self._begun.discard(request))
        page.on("requestfinished", lambda request: self._finish(request))

    def _finish(self, request: Request) -> None:
        if request in self._begun:
            self._begun.discard(request)
            self._done.append((request, time.monotonic()))

    def step(self, name: str, act: Callable[[], Any], seen: Callable[[], bool]) -> dict[str, Any]:
        """Do something; return how long it took until *seen*, and until nothing more was asked for."""
        self._done.clear()
        begun = time.monotonic()
        act()
        first, quiet = 0.0, time.monotonic()
        while not first or time.monotonic() - quiet < QUIET_S:
            assert time.monotonic() - begun < PATIENCE_S, f"{name}: it was not seen in time"
            self._page.wait_for_timeout(8)
            if self._begun:
                quiet = time.monotonic()
            if not first and seen():
                first = time.monotonic() - begun
            elif not first and time.monotonic() - quiet > GIVEN_UP_S:
                first = quiet - begun  # what is told of the new view is by chance what was told of the old one
        whole = max([first, *(at - begun for _, at in self._done)])
        sizes = [request.sizes()["responseBodySize"] for request, _ in self._done]
        tasks = self._page.evaluate("window.tasks.splice(0)")
        return {
            "step": name,
            "first_ms": round(1000 * first),
            "whole_ms": round(1000 * whole),
            "requests": len(sizes),
            "kb": round(sum(sizes) / 1000),
            "longest_task_ms": round(max(tasks, default=0)),
        }

    def drag(self, name: str) -> dict[str, Any]:
        """Drag the plot for a second and a half; return how long its frames took."""
        box = self._page.get_by_role("group", name="Line plot").bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self._page.mouse.move(x, y)
        self._page.mouse.down()
        self._page.evaluate("window.draw(true)")
        for i in range(90):
            self._page.mouse.move(x + 4 * i, y)
            self._page.wait_for_timeout(12)
        self._page.evaluate("window.draw(false)")
        self._page.mouse.up()
        frames = sorted(self._page.evaluate("window.drawn"))
        median = frames[len(frames) // 2]
        return {"step": name, "frame_ms": round(median, 1), "worst_frame_ms": round(frames[-1], 1)}


def measure(server: WebServer, browser: Browser, points: int) -> list[dict[str, Any]]:
    """Fill a fresh database with *points* values, one a second, and look at them in all ways; return the steps."""
    server.start()
    with server.connect() as db:
        db("test/user/temperature").create({"type": "number"})
    server.stop()
    fill(server, "temperature", points, _temperature, start=int(time.time()) - points)
    server.start()
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB", timezone_id="UTC")
    try:
        context.add_init_script(OBSERVE)
        return list(_steps(server, context.new_page(), points))
    finally:
        context.close()
        server.stop()


def _temperature(k: Any) -> Any:
    day, year = 2 * np.pi * k / 86_400, 2 * np.pi * k / 31_557_600
    return np.round(
        15 + 10 * np.sin(year) + 4 * np.sin(day) + np.random.default_rng(int(k[0])).normal(0, 0.3, len(k)), 2
    )


def _steps(server: WebServer, page: Page, points: int) -> Iterator[dict[str, Any]]:
    watch = Watch(page)
    Person(page, server, "test", "test").sign_in()
    expect(page.get_by_role("heading", level=1, name="Home")).to_be_visible()
    told = page.locator("figcaption").get_by_text(SHOWN)
    plot = page.get_by_role("group", name="Line plot")

    def line() -> bool:
        return told.count() > 0

    def address(query: str) -> Callable[[], Any]:
        return lambda: page.goto(f"{server.url}{STREAM}?{query}")

    yield watch.step("all", address("range=all"), line)
    yield watch.step("all, page opened anew", address("range=all"), line)
    for name in ("Year", "Month", "Week", "Day", "Hour"):
        before = told.inner_text()
        press = page.get_by_role("button", name=name, exact=True).first
        yield watch.step(name.lower(), press.click, lambda before=before: line() and told.inner_text() != before)  # type: ignore[misc]
    watch.step("", address("range=all"), line)
    for i in range(1, int(math.log(points / IN_VIEW, 4)) + 1):
        before = told.inner_text()
        yield watch.step(
            f"closer, 4 times ({i})",
            lambda: (plot.press("+"), plot.press("+")),
            lambda before=before: line() and told.inner_text() != before,  # type: ignore[misc]
        )
    for name in ("all", "365d", "1d"):
        watch.step("", address(f"range={name}"), line)
        yield watch.drag(f"drag in {name}")
    for view, text in VIEWS.items():
        picture = page.get_by_role("img", name=re.compile(text))
        yield watch.step(
            f"{view} of all", address(f"view={view}&range=all"), lambda picture=picture: picture.count() > 0
        )  # type: ignore[misc]
    yield watch.step("table of all", address("view=table&range=all"), lambda: page.get_by_role("cell").count() > 0)


def main() -> None:
    """Measure, and print a line for each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=1_000_000, help="values in the stream")
    parser.add_argument("--json", type=Path, help="write the steps to this file, too")
    args = parser.parse_args()
    path = browsers.provide()
    assert path is not None, "there is no Chromium"
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        steps = measure(WebServer(Path(folder) / "db"), chromium, args.points)
        chromium.close()
    print(f"{args.points:,} values; load {os.getloadavg()[0]:.1f}")
    for step in steps:
        print(f"{step.pop('step'):24}" + "".join(f"  {name} {value:>6}" for name, value in step.items()))
    if args.json:
        args.json.write_text(json.dumps(steps, indent=1) + "\n")


if __name__ == "__main__":
    main()
