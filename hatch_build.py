"""Puts the web app into the wheel and into the source distribution."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

REQUIRE = "CONNECTORDB_REQUIRE_WEB"
"""If this is set in the environment, a package without the web app is not built."""


class WebApp(BuildHookInterface):  # type: ignore[type-arg]
    """Builds it with npm, unless it has been built. Without npm the package has a page that tells how to."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before the package is put together."""
        script = Path(self.root, "web", "build.py")
        if version == "editable" or not script.is_file():
            return  # in a source distribution, it has been built
        web = _load(script)
        try:
            if not web.is_fresh():
                web.build()
        except (OSError, subprocess.CalledProcessError) as e:
            message = f"the web app is left out, or old: building it needs Node.js 20.19 or newer, and npm ({e})"
            if os.environ.get(REQUIRE):
                raise RuntimeError(message) from e
            self.app.display_warning(message)


def _load(script: Path) -> Any:
    spec = importlib.util.spec_from_file_location("connectordb_web_build", script)
    assert spec is not None and spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
