"""``export`` and ``import``: all data of a database, as a folder of JSON files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ._admin import administrator
from ._arguments import DirArgument
from ._console import fail, say

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    app.command("export", rich_help_panel="All data")(export_all)
    app.command("import", rich_help_panel="All data")(import_all)


def export_all(
    path: DirArgument,
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to make. It must not exist, or be empty.")],
) -> None:
    """Write all that the database in DIR holds into the folder OUT.

    OUT then has a folder for each user, in it one for each device and in that one for each stream: JSON files that
    any program can read. Passwords are not written, API keys are. The server may run meanwhile.

    **Example**

        connectordb export mydb mydb-2024
    """
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        fail(f"{target} exists already and is no empty folder: choose another")
    done: list[str] = []
    with administrator(path) as db:
        try:
            for user in db.users():
                user.export(target)
                done.append(user.name)
                say(f"Exported user {user.name}.")
        except BaseException as e:
            if done:
                e.add_note(f"{target} is not complete: it holds only {', '.join(done)}.")
            raise
    if not done:
        fail(f"{path} has no users: there is nothing to export")
    say(f"All is in {target}.")


def import_all(
    path: DirArgument,
    source: Annotated[
        Path,
        typer.Argument(metavar="IN", help="A folder that export has made, also one of ConnectorDB 0.3."),
    ],
) -> None:
    """Read the users, devices, streams and data in the folder IN into the database in DIR.

    Users whose name is there already are refused before anything is written. An export holds no passwords, so
    every user that comes in has its name as password until you give it another.

    **Examples**

        connectordb import mydb mydb-2024
        connectordb user passwd mydb alice
    """
    if not source.is_dir():
        fail(f"{source} is no folder: give one that `connectordb export` has made")
    with administrator(path) as db:
        before = {user.name for user in db.users()}
        there = sorted(before & {folder.name for folder in source.iterdir() if folder.is_dir()})
        if there:
            fail(
                f"{path} has users of the name {', '.join(there)} already: nothing was imported. "
                f"To import the others, move {source / there[0]} elsewhere"
            )
        db.import_users(source)
        names = [user.name for user in db.users() if user.name not in before]
    for name in names:
        say(f"Imported user {name}.")
    if not names:
        say(f"{source} holds no users.")
        return
    say("The password of each is its name until you give it another:")
    for name in names:
        say(f"  connectordb user passwd {path} {name}")
