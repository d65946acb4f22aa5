"""The published 0.3 client against our server: subscriptions and downlinks."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from connectordb import ConnectorDB
from live_server import LiveServer

OldScript = Callable[..., Any]
PATIENCE_S = 60


def test_old_client_gets_each_insert_as_it_was_made(old: OldScript) -> None:
    found = old("subscribing")

    assert found["in_time"] is True
    assert found["paths"] == ["lea/probe/words"] * 3
    assert found["batches"] == [["one"], ["two", "three"], ["late", "four"]]
    # As stored: what was older than the newest datapoint has its time.
    assert found["times"] == [4e9, 4e9 + 1, 4e9 + 1, 4e9 + 2]
    assert found["stored"] == found["times"]
    assert found["keys"] == ["d", "t"]
    assert found["others_untouched"] == []
    assert found["beside_a_transform"] is True
    assert found["transformed"] == [["lea/probe/words", [1]]]
    assert found["doubled"] == [["lea/probe/words", [d]] for d in ("fivefive", "not thatnot that")]
    assert found["beside_nothing"] == [True, 1]
    assert found["after_unsubscribe"] == [[], 2]
    assert found["again"] == [True, ["again"]]


def test_old_client_is_a_device(old: OldScript, database: ConnectorDB) -> None:
    found = old("acknowledging")

    assert found["asked_in_time"] is True
    assert found["seen_in_time"] is True
    names = ["all", "some", "no", "none"]
    assert found["asked"] == {
        **{name: [[f"noa/lamp/{name}/downlink", ["on"], "noa/switch"]] for name in names},
        "all": found["asked"]["all"],
    }
    assert found["asked"]["all"][0] == ["noa/lamp/all/downlink", ["on"], "noa/switch"]
    assert found["seen"]["all"][0] == ["noa/lamp/all", ["on"]]
    assert found["seen"]["some"] == [["noa/lamp/some", ["instead of on"]]]
    assert [found["seen"]["no"], found["seen"]["none"]] == [[], []]
    assert {name: looked[0] for name, looked in found["looked_on"].items()} == {
        name: [f"noa/lamp/{name}/downlink", 1] for name in names
    }
    assert found["new"] == {"all": [1, 1], "some": [1, 1], "no": [0, 1], "none": [0, 1]}
    assert found["answers"] == {"all": ["on"], "some": ["instead of on"], "no": [], "none": []}
    assert found["requests"] == dict.fromkeys(names, "noa/switch")
    assert found["several"] == [["a", "b"], ["a", "b"]]
    assert found["late"] == ["now", ["long ago"]]

    # What has become of it is known here too: what the device wrote was the answer if it was the same.
    assert states(database, "noa/lamp/all", "on") == ["acknowledged"]
    assert states(database, "noa/lamp/all", "a") == ["acknowledged"]
    for name in ("some", "no", "none"):
        # It has got it, as the pong behind it told: nobody does it a second time.
        assert states(database, f"noa/lamp/{name}", "on") == ["delivered"]


def states(database: ConnectorDB, path: str, d: Any) -> list[str]:
    """The states of the requests to the stream at *path* that asked for *d*."""
    headers = database._session.headers
    answer = urllib3.request("GET", f"{database.url}/api/v1/downlink/{path}?limit=1000", headers=headers)
    assert answer.status == 200, answer.data
    return [one["state"] for one in answer.json() if one["d"] == d]


def test_old_client_cannot_begin_an_endless_loop(old: OldScript) -> None:
    found = old("looping")

    assert found == {"calls": 1, "requests": 1, "alive": True}


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[LiveServer]:
    """A server that the test may stop and start again."""
    server = LiveServer(tmp_path / "own")
    server.start()
    yield server
    if server.running:
        server.stop()
    assert server.faults() == []


@pytest.mark.parametrize("orderly", [True, False], ids=["stopped", "killed"])
def test_old_client_comes_back_to_a_server_that_has_restarted(
    orderly: bool, old_python: Path, own_server: LiveServer, tmp_path: Path
) -> None:
    script = Path(__file__).parent / "scripts" / "reconnecting.py"
    given = {"url": own_server.url, "dir": str(tmp_path), "patience_s": PATIENCE_S}
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "CONNECTORDB_"))}
    process = subprocess.Popen(
        [old_python, "-E", "-s", script, json.dumps(given)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    try:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if line == "restart\n":
                break
        else:
            pytest.fail("".join(said), pytrace=False)
        (own_server.stop if orderly else own_server.kill)()
        own_server.start()
        output, errors = process.communicate("go\n", timeout=3 * PATIENCE_S)
        assert process.returncode == 0, errors
        assert json.loads(output) == {"got": ["after", "on"], "acknowledged": True, "once": 1}
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()
