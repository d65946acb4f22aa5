"""The web app is in the wheel; without Node.js there is a wheel all the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = "connectordb/server/webapp/index.html"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """The sources as they are in the repository: with nothing built."""
    copy = tmp_path / "sources"
    left_out = shutil.ignore_patterns("node_modules", "webapp", "__pycache__", ".git", ".venv", ".*_cache", "images")
    shutil.copytree(ROOT, copy, ignore=left_out)
    return copy


def wheel(sources: Path, out: Path, **environment: str) -> tuple[int, set[str]]:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(sources)]
    env = {**os.environ, **environment}
    done = subprocess.run(command, cwd=out.parent, env=env, capture_output=True, text=True, timeout=300, check=False)
    found = list(out.glob("*.whl"))
    return done.returncode, set(zipfile.ZipFile(found[0]).namelist()) if found else set()


def test_wheel_has_the_web_app(built: None, tmp_path: Path) -> None:
    status, files = wheel(ROOT, tmp_path / "out")
    assert status == 0
    assert PAGE in files
    assert any(name.endswith(".js.br") for name in files)
    assert not any("node_modules" in name for name in files)


def test_without_node_there_is_a_wheel_all_the_same(sources: Path, tmp_path: Path) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    (empty / "python").symlink_to(sys.executable)
    status, files = wheel(sources, tmp_path / "out", PATH=str(empty))
    assert status == 0
    assert "connectordb/server/static/unbuilt.html" in files
    assert PAGE not in files
    status, files = wheel(sources, tmp_path / "strict", PATH=str(empty), CONNECTORDB_REQUIRE_WEB="1")
    assert status != 0
    assert not files
