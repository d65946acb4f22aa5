"""The command ``connectordb``.

Its libraries come with the extra ``[server]``, so nothing is imported before `main` runs.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process, and exit."""
    try:
        from .app import run

        run()
    except ModuleNotFoundError as e:
        missing = (e.name or "").partition(".")[0]
        if missing in ("", __package__.partition(".")[0]):
            raise
        print(
            f"connectordb: the command line and the server need more than the client ({missing} is missing):\n"
            '    pip install "connectordb[server]"',
            file=sys.stderr,
        )
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
