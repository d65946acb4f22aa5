"""Where the browser of the tests is, and how it gets onto a machine."""

from __future__ import annotations

import os
import shutil
import subprocess

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def find() -> str | None:
    """Return where a Chromium is; ``None`` if there is none."""
    given = os.environ.get("CONNECTORDB_CHROMIUM")
    return given or next((found for name in NAMES if (found := shutil.which(name))), None)


def install() -> None:
    """Install Debian's, as root."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)


def provide() -> str | None:
    """Return where it is, and install it before that if it is not there and this may be done."""
    if find() is None and shutil.which("apt-get") and os.geteuid() == 0:
        install()
    return find()


if __name__ == "__main__":
    print(provide() or "There is no Chromium: install one, or name one in CONNECTORDB_CHROMIUM.")
