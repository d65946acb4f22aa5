"""Builds the web app into the package: what ``make web`` and the build of a wheel call. Needs Node.js and npm.

    python web/build.py [--check]

Does nothing if what is there was built from the sources as they are. ``--check`` only says whether that is so.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

WEB = Path(__file__).resolve().parent
OUT = WEB.parent / "src" / "connectordb" / "server" / "webapp"
STAMP = OUT / "built-from.txt"
INSTALLED = WEB / "node_modules" / ".installed-from"
SOURCES = ("src", "public", "scripts", "index.html", "package.json", "package-lock.json", "tsconfig.json")
SOURCES += ("vite.config.ts",)


def fingerprint(*names: str) -> str:
    """Return a digest of the sources *names* in `WEB`."""
    digest = hashlib.sha256()
    for name in names:
        at = WEB / name
        for file in sorted(at.rglob("*")) if at.is_dir() else [at]:
            if file.is_file():
                digest.update(f"{file.relative_to(WEB).as_posix()}\0".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def is_fresh() -> bool:
    """Whether what is there was built from the sources as they are."""
    return STAMP.is_file() and STAMP.read_text().strip() == fingerprint(*SOURCES)


def find_npm() -> str:
    """Return where npm is. Raises `OSError` if it is not there."""
    found = shutil.which("npm")
    if found is None:
        raise OSError("there is no npm")
    return found


def install() -> None:
    """Install the libraries of the lock file, unless they are there."""
    wanted = fingerprint("package-lock.json", ".npmrc")
    if not INSTALLED.is_file() or INSTALLED.read_text() != wanted:
        _run(find_npm(), "ci", "--no-audit", "--no-fund", "--loglevel=error")
        INSTALLED.write_text(wanted)


def build() -> None:
    """Build it, unless that has been done. Raises `OSError` or `subprocess.CalledProcessError`."""
    if is_fresh():
        return
    install()
    _run(find_npm(), "run", "--silent", "build")
    STAMP.write_text(fingerprint(*SOURCES) + "\n")


def _run(*command: str) -> None:
    # What npm says is of interest only where it fails, and to a person.
    subprocess.run(command, cwd=WEB, check=True, env={**os.environ, "CI": "1", "NO_COLOR": "1"}, stdout=sys.stderr)  # noqa: S603


def main(arguments: list[str]) -> int:
    """Build, or check. Returns the exit code."""
    if arguments == ["--check"]:
        return 0 if is_fresh() else 1
    try:
        if arguments == ["--install"]:
            install()
        else:
            build()
    except (OSError, subprocess.CalledProcessError) as e:
        sys.stderr.write(f"The web app was not built ({e}): that needs Node.js 20.19 or newer, and npm.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
