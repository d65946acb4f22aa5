"""The README and the examples do what they say."""

from __future__ import annotations

import os
import re
import select
import shutil
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
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=180, check=False
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


def test_corrections_of_the_readme(server: Server, tmp_path: Path) -> None:
    """On the stream of the basics."""
    basics = readme_block('ConnectorDB("apikey")')
    code = basics.replace('ConnectorDB("apikey")', f'ConnectorDB("{server.apikey}", url="{server.url}")')
    told = run(tmp_path, "-c", code + readme_block("stream.undo(")).splitlines()
    assert [re.findall(r"kind='(\w+)'", line) for line in told[2:]] == [["deleted"], ["updated"]]
    with ConnectorDB(server.apikey, url=server.url) as db:
        assert db["mystream"][:].d() == ["Hello World!", "Hello!"]


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
    deadline = time.monotonic() + 90
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
        deadline = time.monotonic() + 90
        while len(logged_temperatures(server)) < 20:
            assert time.monotonic() < deadline, "nothing arrived"
            assert station.poll() is None, "the station ended"
            time.sleep(0.1)
    finally:
        station.kill()
        station.wait()
    temperatures = logged_temperatures(server)
    assert temperatures == list(range(len(temperatures)))


class Running:
    """A program that goes on, whose output is read line by line."""

    def __init__(self, cwd: Path, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-u", *arguments], cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:  # which closes what is open
            self._process.kill()

    def write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def read(self) -> str:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], 30)
        assert ready, "it says nothing"
        return self._process.stdout.readline().rstrip("\n")

    def end(self) -> int:
        """Let it see the end of its input, and wait."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._process.wait(30)


def test_subscriptions(server: Server, tmp_path: Path) -> None:
    with Running(tmp_path, str(EXAMPLES / "subscriptions.py"), server.apikey, server.url) as program:
        for text in ("Hello", "World!"):
            program.write(text)
            assert program.read() == f"test/mydevice/strings ['{text}']"
        assert program.end() == 0


def test_subscriptions_of_the_readme(server: Server, tmp_path: Path) -> None:
    block = readme_block("def stringcallback")
    code = block.replace('input("apikey: ")', f'"{server.apikey}", url="{server.url}"')
    code = code.replace('input("Say something: ")', "input()")
    with Running(tmp_path, "-c", code) as program:
        program.write("Hello")
        assert re.fullmatch(r"test/mydevice/strings \[\{'t': [0-9.]+, 'd': 'Hello'\}\]", program.read())
    block = readme_block("stream.live(").replace("2024-02-29", "1970-01-01").replace('dp["d"])', 'dp["d"]); break')
    prelude = f"from connectordb import ConnectorDB\ndb = ConnectorDB({server.apikey!r}, url={server.url!r})\n"
    assert run(tmp_path, "-c", prelude + "stream = db['strings']\n" + block).endswith(" Hello\n")


def test_queries_of_the_readme(server: Server, tmp_path: Path) -> None:
    with ConnectorDB("test", "test", url=server.url) as db:
        for path, points in {
            "test/user/heating": [(1709300000, True), (1709400000, False)],
            "test/user/mood": [(1709300500, 7), (1709400500, 3)],
            "test/station/temperature": [(1709300300, 17.5), (1709350000, 21.5), (1709400300, 16.5)],
            "test/phone/steps": [(1709300100, 100), (1709300400, 20), (1709400400, 3)],
        }.items():
            device, _, name = path.rpartition("/")
            if not db(device).exists():
                db(device).create()
            db(device).reset_apikey()
            with ConnectorDB(db(device).apikey, url=server.url) as owner:
                owner[name].create()
                owner[name].insert_array([{"t": t, "d": d} for t, d in points])
    prelude = f"from connectordb import ConnectorDB\ndb = ConnectorDB('test', 'test', url={server.url!r})\n"
    merge = readme_block("Merge(db)").replace("alice/", "test/")
    lines = run(tmp_path, "-c", prelude + merge).splitlines()
    assert [line.split()[1] for line in lines] == ["True", "17.5", "False", "16.5"]
    dataset = readme_block("Dataset(db").replace("alice/", "test/")
    header, *rows = run(tmp_path, "-c", prelude + dataset).splitlines()
    assert header.split() == ["t", "x", "temperature", "steps"]
    assert [row.split()[-3:] for row in rows] == [["7", "17.5", "120.0"], ["3", "16.5", "3.0"]]


def light_is_switched(server: Server, program: Running, tmp_path: Path) -> None:
    """Ask for light as the README says."""
    block = readme_block("light.downlink(True)").replace("alice/lamp", "test/mydevice")
    prelude = (
        "import time\n"
        "from connectordb import ConnectorDB\n"
        f"db = ConnectorDB('test', 'test', url={server.url!r})\n"
        "while not db('test/mydevice/light').exists():\n"
        "    time.sleep(0.1)\n"
    )
    assert run(tmp_path, "-c", prelude + block) == "acknowledged\n"
    assert program.read() == "The light is on"
    with ConnectorDB("test", "test", url=server.url) as db:
        light = db("test/mydevice/light")
        assert light[-1]["d"] is True
        assert light.downlink(False).wait(timeout=30) == "acknowledged"
        assert program.read() == "The light is off"
        assert light[:].d() == [True, False]


def test_downlink(server: Server, tmp_path: Path) -> None:
    with Running(tmp_path, str(EXAMPLES / "downlink.py"), server.apikey, server.url) as program:
        light_is_switched(server, program, tmp_path)


def test_downlink_of_the_readme(server: Server, tmp_path: Path) -> None:
    code = readme_block("def lightcallback").replace('input("apikey: ")', f'"{server.apikey}", url="{server.url}"')
    prelude = "def set_light(on):\n    print('The light is', 'on' if on else 'off')\n"
    with Running(tmp_path, "-c", prelude + code) as program:
        light_is_switched(server, program, tmp_path)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_of_the_readme_follows_a_stream(server: Server, tmp_path: Path) -> None:
    (command,) = re.findall(r"^    (curl .*/live/.*)$", README, re.M)
    with ConnectorDB("test", "test", url=server.url) as db:
        db("test/user/steps").create({"type": "number"})
        db("test/user/steps").insert(42)
    curl = command.replace("http://localhost:3124", server.url)
    with subprocess.Popen(["/bin/sh", "-c", f"exec {curl} 2>/dev/null"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith("data: [") and '"d":42' in line:
                    break
            else:
                raise AssertionError("curl ended")
        finally:
            process.kill()


def test_the_demo_proves_that_nothing_is_lost(tmp_path: Path) -> None:
    output = run(tmp_path, str(EXAMPLES / "demo.py"), "--seconds", "4", "--folder", "demo", "--port", "0")
    assert re.search(r"All \d+ datapoints of \d+ streams are there exactly once\.", output)
    assert "connectordb stop" in output
    assert "connectordb --help" in output
