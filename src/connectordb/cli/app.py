"""The command line as a whole: its groups, its help, and how errors are shown."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from .. import __version__
from ..errors import ConnectorDBError
from . import corrections, database, process, transfer, transform, upkeep, user
from ._console import say_error

__all__ = ["app", "run"]

app = typer.Typer(
    name="connectordb",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

database.register(app)
process.register(app)
transfer.register(app)
transform.register(app)
upkeep.register(app)
corrections.register(app)
app.add_typer(user.app, name="user", rich_help_panel="Users")


@app.callback(
    epilog="**To begin:** connectordb create mydb, then connectordb start mydb. "
    "Every command explains itself with --help.",
)
def connectordb(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=lambda on: _show_version(on))
    ] = False,
) -> None:
    """A repository for all of your data, and the control centre of your devices.

    A database lives in a folder. Make one, serve it, and log into it from anywhere.
    """


def _show_version(on: bool) -> None:
    if on:
        print(f"ConnectorDB {__version__}")
        raise typer.Exit


def run() -> None:
    """Run the command that the arguments of this process give, and exit.

    Exit codes: 0 done; 1 refused or failed; 2 typed wrongly; 3 (`status`) not running; 130 interrupted.
    """
    try:
        app(prog_name="connectordb")
    except ConnectorDBError as e:
        _end(e, getattr(e, "msg", "") or str(e))
    except OSError as e:
        _end(e, f"{e.filename}: {e.strerror}" if e.filename and e.strerror else str(e))


def _end(error: Exception, text: str) -> NoReturn:
    parts = [part.strip() for part in (text, *getattr(error, "__notes__", []))]
    ended = [part if part.endswith((".", "!", "?")) else f"{part}." for part in parts[:-1]]
    say_error(" ".join([*ended, parts[-1]]))
    sys.exit(1)
