"""``python -m connectordb`` is the command ``connectordb``."""

from __future__ import annotations

from .cli import main

if __name__ == "__main__":
    main()
