"""Writes the description of the server's interface to ``web/openapi.json``, from which the types are made."""

from __future__ import annotations

import json
from pathlib import Path

from connectordb.server.openapi import describe
from connectordb.server.routes import ROUTES

OUT = Path(__file__).with_name("openapi.json")


def document() -> str:
    """Return it, without the version, which changes nothing."""
    return json.dumps(json.loads(describe(ROUTES, "0")), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    OUT.write_text(document())
