"""What the helper processes share. Each gets JSON as its argument, and then one command per line of input."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import connectordb.client._backoff as backoff
from connectordb import ConnectorDB

given: dict[str, Any] = json.loads(sys.argv[1])

# A server that is killed every two seconds is not what the pauses of the client are made for.
backoff.MAX_S = given.get("backoff_max_s", backoff.MAX_S)


def connect() -> ConnectorDB:
    """Connect as the test wants it."""
    return ConnectorDB(*given["login"], url=given["url"], deadline=600, retries=10_000)


def say(value: Any) -> None:
    """Tell *value* to the test."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def commands() -> Iterator[tuple[str, dict[str, Any]]]:
    """Say that all is ready; then give the commands."""
    say("ready")
    for line in sys.stdin:
        arguments = json.loads(line)
        yield arguments.pop("cmd"), arguments
