"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["DirArgument", "HostOption", "PortOption"]

DirArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="The database folder.", show_default=False, file_okay=False)
]
HostOption = Annotated[
    str | None,
    typer.Option(
        "--host",
        metavar="ADDRESS",
        help="Listen on this address instead of the one in connectordb.toml. 0.0.0.0: the whole network.",
        show_default=False,
    ),
]
PortOption = Annotated[
    int | None,
    typer.Option(
        "--port",
        "-p",
        metavar="PORT",
        help="Listen on this port instead of the one in connectordb.toml. 0: any free one.",
        min=0,
        max=65535,
        show_default=False,
    ),
]
