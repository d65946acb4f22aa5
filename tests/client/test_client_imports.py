"""What `import connectordb` brings, and what it leaves out."""

from __future__ import annotations

import subprocess
import sys

import pytest

import connectordb

OLD_NAMES = [
    "AuthenticationError",
    "CONNECTORDB_URL",
    "ConnectorDB",
    "DATAPOINT_INSERT_LIMIT",
    "DatapointArray",
    "Device",
    "ServerError",
    "Stream",
    "User",
]
LATE = [
    "apsw",
    "argon2",
    "connectordb.core",
    "connectordb.server",
    "connectordb.store",
    "jsonschema",
    "numpy",
    "pandas",
    "polars",
    "rich",
    "ssl",
    "starlette",
    "structlog",
    "typer",
    "urllib3",
    "uvicorn",
    "websockets",
]


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_public_names_are_the_listed_ones() -> None:
    assert set(OLD_NAMES) <= set(connectordb.__all__)
    assert len(set(connectordb.__all__)) == len(connectordb.__all__)
    for name in connectordb.__all__:
        assert getattr(connectordb, name) is not None
    assert connectordb.DATAPOINT_INSERT_LIMIT == 5000
    assert connectordb.CONNECTORDB_URL == "http://localhost:3124"


def test_every_error_is_public() -> None:
    assert set(connectordb.errors.__all__) - {"from_wire"} <= set(connectordb.__all__)


def test_import_loads_nothing_that_may_wait() -> None:
    loaded = run("import sys, connectordb; print(*sys.modules)").split()
    assert not set(LATE) & set(loaded)


@pytest.mark.parametrize("extra", ["pandas", "polars", "starlette", "uvicorn", "argon2", "jsonschema_rs", "numpy"])
def test_client_works_without_extras(extra: str) -> None:
    code = (
        f"import sys; sys.modules[{extra!r}] = None\n"
        "from connectordb import *\n"
        "print(DatapointArray([{'t': 1, 'd': 1}]).sum())"
    )
    assert run(code) == "1"


def test_log_in_and_insert_need_no_schema_engine_and_no_progress_bar(server: object) -> None:
    url = getattr(server, "url", "")
    code = (
        "import sys\n"
        "from connectordb import ConnectorDB\n"
        f"db = ConnectorDB('test', 'test', url={url!r})\n"
        "s = db['light']\n"
        "s.create({'type': 'number'})\n"
        "s.insert(1.5)\n"
        "s.insert_array([{'t': 4e9, 'd': 2}])\n"
        "assert len(s) == 2\n"
        "s.delete()\n"
        "print(*sys.modules)"
    )
    assert not {"jsonschema", "rich", "pandas", "polars", "numpy", "websockets"} & set(run(code).split())
