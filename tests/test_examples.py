"""The README and the examples do what they say."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from connectordb import ConnectorDB
from connectordb.logger import Logger

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
README = (ROOT / "README.md").read_text()


class Server(NamedTuple):
    url: str
    apikey: str


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "connectordb", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server made and started with the commands of the README."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = str(s.getsockname()[1])
    assert "connectordb create testdb --test" in README
    assert "connectordb start testdb" in README
    command("create", "testdb", "--test", cwd=tmp_path)
    command("start", "testdb", "--port", port, cwd=tmp_path)
    url = f"http://localhost:{port}"
    try:
        with ConnectorDB("test", "test", url=url) as db:
            device = db("test/mydevice")
            device.create()
            yield Server(url, device.apikey)
    finally:
        command("stop", "testdb", cwd=tmp_path)


def run(cwd: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def readme_block(beginning: str) -> str:
    """The block of Python in the README which has that text."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    (block,) = (b for b in blocks if beginning in b)
    return str(block)


def test_the_basics(server: Server, tmp_path: Path) -> None:
    assert run(tmp_path, str(EXAMPLES / "basics.py"), server.apikey, server.url) == "1\nHello World!\n"


def test_a_device_of_the_readme_gets_its_key(server: Server, tmp_path: Path) -> None:
    block = readme_block('ConnectorDB("alice", "secret")')
    code = block.replace('"alice", "secret"', f'"test", "test", url="{server.url}"').replace("alice/", "test/")
    apikey = run(tmp_path, "-c", code).strip()
    with ConnectorDB(apikey, url=server.url) as db:
        assert db.path == "test/station"


def test_the_basics_of_the_readme(server: Server, tmp_path: Path) -> None:
    block = readme_block('ConnectorDB("apikey")')
    code = block.replace('ConnectorDB("apikey")', f'ConnectorDB("{server.apikey}", url="{server.url}")')
    assert run(tmp_path, "-c", code) == "1\nHello World!\n"


def test_testing(server: Server, tmp_path: Path) -> None:
    assert run(tmp_path, str(EXAMPLES / "testing.py"), server.url) == "test/user\n21.5\n"
    block = readme_block('ConnectorDB("test", "test")').replace('"test")', f'"test", url="{server.url}")')
    assert run(tmp_path, "-c", block + "\nprint(db.path)") == "test/user\n"


def test_local_mode_of_the_readme(tmp_path: Path) -> None:
    run(tmp_path, "-c", readme_block("ConnectorDB.local"))
    with ConnectorDB.local(tmp_path / "mydata") as db:
        assert [dp["d"] for dp in db["mood"][:]] == [7]


def logged_temperatures(server: Server) -> list[float]:
    with ConnectorDB(server.apikey, url=server.url) as db:
        stream = db["temperature"]
        return [dp["d"] for dp in stream[:]] if stream.exists() else []


def test_the_weather_station_logs_and_goes_on_after_a_kill(server: Server, tmp_path: Path) -> None:
    """It uploads when it starts, and then once an hour: what the first run leaves, the second one brings."""
    command = [sys.executable, str(EXAMPLES / "weather_station.py"), server.apikey, server.url]
    deadline = time.monotonic() + 30
    station = subprocess.Popen(command, cwd=tmp_path)
    try:
        while spooled_and_stored(server, tmp_path) < 1:
            assert time.monotonic() < deadline, "nothing was logged"
            time.sleep(0.1)
    finally:
        station.kill()
        station.wait()
    station = subprocess.Popen(command, cwd=tmp_path)
    try:
        while not logged_temperatures(server):
            assert time.monotonic() < deadline, "nothing arrived"
            time.sleep(0.1)
    finally:
        station.kill()
        station.wait()


def spooled_and_stored(server: Server, folder: Path) -> int:
    if not (folder / "log.db").exists():
        return 0
    with Logger(str(folder / "log.db")) as logger:
        return len(logger) + len(logged_temperatures(server))


def test_the_weather_station_of_the_readme_logs(server: Server, tmp_path: Path) -> None:
    block = readme_block("def on_create(l)")
    assert '{"type": "number"}' in block
    code = block.replace(
        "    # The stream is created", f'    l.serverurl = "{server.url}"\n    # The stream is created'
    )
    code = code.replace("l.syncperiod = 60 * 60", "l.syncperiod = 0.1").replace("time.sleep(60)", "time.sleep(0.02)")
    prelude = textwrap.dedent(f"""
        import itertools
        input = lambda prompt: {server.apikey!r}
        get_temperature = itertools.count().__next__
    """)
    station = subprocess.Popen([sys.executable, "-c", prelude + code], cwd=tmp_path, env=os.environ)
    try:
        deadline = time.monotonic() + 30
        while len(logged_temperatures(server)) < 20:
            assert time.monotonic() < deadline, "nothing arrived"
            assert station.poll() is None, "the station ended"
            time.sleep(0.1)
    finally:
        station.kill()
        station.wait()
    temperatures = logged_temperatures(server)
    assert temperatures == list(range(len(temperatures)))


def test_the_demo_proves_that_nothing_is_lost(tmp_path: Path) -> None:
    output = run(tmp_path, str(EXAMPLES / "demo.py"), "--seconds", "4", "--folder", "demo", "--port", "0")
    assert re.search(r"All \d+ datapoints of \d+ streams are there exactly once\.", output)
    assert "connectordb stop" in output
    assert "connectordb --help" in output
