"""Transforms and interpolators of an installed package."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

PLUGIN = """
from connectordb.pipescript.registry import Arg, Example, Filter, interpolator, transform

@transform("shout", Arg("mark", "text", "what to add", optional=True, default="!", constant=True),
           doc="The text, loud.", examples=[Example("shout", ["a"], ["A!"])], stateless=True)
def shout(mark):
    return lambda t, d: d.upper() + mark

@transform("but_one", doc="The last but one.", kind="filter", examples=[Example("but_one", [1, 2], [1])])
def but_one():
    kept = []

    def step(t, d):
        kept[:] = [*kept[-1:], (t, d)]

    return Filter(step, lambda: kept[0] if kept else None)

@interpolator("never", doc="Nothing.", example=([], [0], [None]))
def never(batches):
    return lambda at: None
"""

PROGRAM = """
from connectordb.pipescript import compile_script, find_interpolator, meta_transforms, transform
print([p["d"] for p in transform("shout('?') | $ + 'x' | but_one", [{"t": 1, "d": "a"}, {"t": 2, "d": "b"}])])
print(find_interpolator("never").over([])(1.0), meta_transforms()["shout"]["group"])
try:
    compile_script("shuot")
except Exception as e:
    print(e)
"""


def test_an_installed_package_adds_transforms(tmp_path: Path) -> None:
    (tmp_path / "shouting.py").write_text(PLUGIN)
    info = tmp_path / "shouting-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[connectordb.pipescript]\nshouting = shouting\n")
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[:2] == ["['A?x']", "None shouting"]
    assert "did you mean 'shout'?" in lines[2]
