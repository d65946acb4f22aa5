"""What ``pip install .`` brings: the client and the Logger alone, and a wheel with all that the server needs."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "connectordb"


def run(*command: str | Path, cwd: Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out, ROOT, cwd=out)
    (found,) = out.glob("connectordb-*.whl")
    return found


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    expected = {
        f"connectordb/{file.relative_to(SOURCE)}"
        for file in SOURCE.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert {"connectordb/py.typed", "connectordb/core/permissions.json"} <= expected
    assert expected <= set(zipfile.ZipFile(wheel).namelist())


def test_the_plain_install_is_the_client_and_the_logger(wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", "venv", cwd=tmp_path)
    binaries = tmp_path / "venv" / "bin"
    run(binaries / "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel, cwd=tmp_path)
    logging = (
        "from connectordb import ConnectorDB\n"
        "from connectordb.logger import Logger\n"
        "with Logger('spool.db') as l:\n"
        "    l.addStream('s', {'type': 'number'})\n"
        "    l.insert('s', 1)\n"
        "    print(len(l))\n"
        "try:\n"
        "    ConnectorDB.local('folder')\n"
        "except ImportError as e:\n"
        "    print(e)\n"
    )
    out = run(binaries / "python", "-c", logging, cwd=tmp_path).stdout
    assert out.startswith("1\n")
    assert "connectordb[server]" in out
    for command in ([binaries / "connectordb"], [binaries / "python", "-m", "connectordb", "start", "x"]):
        done = run(*command, cwd=tmp_path, status=1)
        assert 'pip install "connectordb[server]"' in done.stderr
        assert "Traceback" not in done.stderr
