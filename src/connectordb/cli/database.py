"""``create`` and ``config``: the database folder itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ..core.folder import SETTINGS_FILE, TEST_PASSWORD, TEST_USER, Folder
from ..core.settings import DEFAULT_ORIGIN, ENVIRONMENT_PREFIX
from ._arguments import DirArgument
from ._console import ask_password, fail, is_interactive, out, say, split_login

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    app.command(rich_help_panel="Databases")(create)
    app.command(rich_help_panel="Databases")(config)


def create(
    path: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make. It must not exist, or be empty.")],
    test: Annotated[
        bool,
        typer.Option("--test", help="Make it for tests: user test, password test, an administrator; nothing is slow."),
    ] = False,
    user: Annotated[
        str | None,
        typer.Option(
            "--user", metavar="NAME:PASSWORD", help="The first user, an administrator. Asked for if not given."
        ),
    ] = None,
    no_user: Annotated[
        bool,
        typer.Option("--no-user", help="Make no user now: the web app asks for the first one."),
    ] = False,
    email: Annotated[
        str | None,
        typer.Option("--email", metavar="ADDRESS", help="E-mail of the first user. Default: NAME@localhost."),
    ] = None,
) -> None:
    """Make a new database in the folder DIR.

    The folder then holds the settings (connectordb.toml, with a comment on each), the data and the keys. Move it or
    delete it as a whole, while it is stopped; `connectordb backup` copies it at any time.

    **Examples**

        connectordb create mydb                        asks for the first user
        connectordb create mydb --user alice:secret
        connectordb create mydb --no-user              the first user is made in the browser
        connectordb create testdb --test               for trying things out
    """
    name: str | None = None
    password: str | None = None
    if no_user and (test or user is not None or email is not None):
        raise typer.BadParameter("it goes with none of --user, --email and --test", param_hint="'--no-user'")
    if user is not None:
        name, password = split_login(user)
    elif not test and not no_user:
        if not is_interactive():
            fail("there is no terminal to ask for the first user on: give --user NAME:PASSWORD, --no-user, or --test")
        Folder.check_new(path)
        question = "Name of the first user, an administrator (none: the web app will ask for it)"
        name = str(typer.prompt(question, default="", show_default=False, err=True)) or None
        if name is not None:
            password = ask_password(None, name, "--user NAME:PASSWORD")
    Folder.create(path, test=test, user=name, password=password, email=email)
    if name is None and not test:
        say(f"Created a database in {path}, without a user yet.")
        say(f"Next: connectordb start {path}, and open its address in a browser to make the first user")
        return
    login = f"user {name}" if name else f"user {TEST_USER}, password {TEST_PASSWORD}"
    say(f"Created a database in {path} ({login}).")
    say(f"Next: connectordb start {path}")


def config(
    path: DirArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show every setting of the database in DIR: its value in force and where that comes from.

    To change one, edit connectordb.toml in DIR, or set a variable such as CONNECTORDB_SERVER__PORT (which goes
    before the file), and start again. `start` and `run` have options that go before both.

    **Examples**

        connectordb config mydb
        CONNECTORDB_SERVER__PORT=8000 connectordb config mydb
    """
    settings = Folder.read_settings(path)
    if as_json:
        print(
            json.dumps(
                {
                    s.name: {"value": s.value, "default": s.default, "origin": s.origin, "about": s.description}
                    for s in settings
                },
                indent=2,
            )
        )
        return
    for s in settings:
        origin = Path(s.origin).name if Path(s.origin).is_absolute() else s.origin
        style = "dim" if s.origin == DEFAULT_ORIGIN else "bold"
        out.print(f"[{style}]{escape(f'{s.name} = {json.dumps(s.value)}')}[/]  ({escape(origin)})")
        out.print(f"    [dim]{escape(s.description)}[/]")
    say(f"\nTo change one: {path / SETTINGS_FILE}, or a variable {ENVIRONMENT_PREFIX}SECTION__KEY.")
