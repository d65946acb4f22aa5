"""The description of the interface: valid, complete, and true."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from connectordb.server.routes import ROUTES
from connectordb.server.routing import Router

EXAMPLES = os.environ.get("CONNECTORDB_TEST_SCHEMATHESIS_EXAMPLES", "")
"""Test cases for each call, which are others each time; more find more. By default they are few, and the same."""


@pytest.fixture
def described(client: Any) -> dict[str, Any]:
    answer = client("GET", "/openapi.json", auth=None)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    document: dict[str, Any] = answer.json()
    return document


def test_every_call_is_described_or_unsupported(described: dict[str, Any], client: Any) -> None:
    for route in ROUTES:
        if route.described:
            operation = described["paths"][route.path][route.method.lower()]
            assert operation["summary"]
            assert set(operation["tags"]) < {tag["name"] for tag in described["tags"]}
            assert {"400", "503"} <= set(operation["responses"])
            assert ("507" in operation["responses"]) == (route.method != "GET" and route.tag != "Queries")
        elif not route.page:
            assert client(route.method, "/" + route.path).status == (426 if "websocket" in route.path else 501)


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    def check(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                found: Any = described
                for key in node["$ref"].removeprefix("#/").split("/"):
                    found = found[key]
            for value in node.values():
                check(value)
        elif isinstance(node, list):
            for value in node:
                check(value)

    check(described)


def test_schemas_are_json_schema_2020(described: dict[str, Any]) -> None:
    for name, schema in described["components"]["schemas"].items():
        assert jsonschema_rs.meta.is_valid({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}), name


def test_examples_of_bodies_fit_their_schemas(described: dict[str, Any]) -> None:
    for path in described["paths"].values():
        for operation in path.values():
            if "requestBody" in operation:
                content = operation["requestBody"]["content"]["application/json"]
                schema = {**content["schema"], "components": described["components"]}
                jsonschema_rs.validate(schema, content["example"])


def test_what_corrections_are_like_is_told(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]
    keep = schemas["StreamCreate"]["properties"]["keep"]
    assert keep["anyOf"] == [{"const": 0}, {"minimum": 60, "maximum": 1e11}]
    paths = {path.rpartition("}/")[2]: operations for path, operations in described["paths"].items()}
    deleting = {p["name"]: p["description"] for p in paths["data"]["delete"]["parameters"]}
    assert all(deleting[name].endswith("Left out: to the end; 0: a 400.") for name in ("i2", "t2"))
    examples = {
        parameter["name"]: parameter["schema"].get("examples")
        for what, method in (("datapoint", "put"), ("undo", "post"), ("changes", "get"))
        for parameter in paths[what][method]["parameters"]
    }
    assert all(examples[name] for name in ("i", "correction", "since"))


def test_operations_have_names_of_their_own(described: dict[str, Any]) -> None:
    names = [operation["operationId"] for path in described["paths"].values() for operation in path.values()]
    assert len(set(names)) == len(names)


def test_no_two_routes_take_the_same_path() -> None:
    router = Router(ROUTES)
    for route in ROUTES:
        filled = re.sub(r"{\w+}", "x", route.path)
        assert router.find(filled.encode()).route(route.method) is route


def test_page_needs_nothing_from_the_internet(client: Any) -> None:
    page = client("GET", "/docs", auth=None)
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for name in ("docs.html", "docs.css", "docs.js"):
        file = client("GET", f"/docs/{name}", auth=None)
        assert file.status == 200
        assert "http://" not in file.text.replace("http://localhost", "")
        assert "https://" not in file.text
    assert client("GET", "/docs/..%2fapp.py", auth=None).status == 404


@pytest.mark.slow
def test_schemathesis_finds_nothing(make_live: Callable[..., Any], tmp_path: Path) -> None:
    live = make_live()
    client = live.client()
    alice = {"email": "a@x", "password": "x", "devices": {"phone": {"streams": {"steps": {}}}}}
    assert client("POST", "/crud/alice", alice).status == 200
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run"),
        f"http://127.0.0.1:{live.port}/api/v1/openapi.json",
        *("--phases", "examples,coverage,fuzzing"),
        *(("--max-examples", EXAMPLES) if EXAMPLES else ("--max-examples", "20", "--seed", "1")),
        *("--exclude-path-regex", "/live/"),  # an answer without an end
        *("--auth", "test:test"),
        # That parameters exclude each other cannot be said in OpenAPI, so what fits the description may be a 400.
        *("--exclude-checks", "positive_data_acceptance"),
        *("--request-timeout", "60"),
        *("--suppress-health-check", "too_slow"),
        "--continue-on-failure",
        "--no-color",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert live.client()("GET", "//healthz").status == 200
