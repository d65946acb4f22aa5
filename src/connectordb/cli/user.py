"""``user``: for the administrator who lost access, or likes a terminal better than the web."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ..client import User
from ._admin import administrator
from ._arguments import DirArgument
from ._console import ask_password, fail, out, printable, say

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Add users, give them passwords and roles. Needs no login: whoever can read the folder may do it, "
    "while the server runs and while it does not.",
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The user.", show_default=False)]
PasswordOption = Annotated[
    str | None,
    typer.Option(
        "--password",
        metavar="PASSWORD",
        help="Asked for if not given. Other users of this machine can see what is given here.",
        show_default=False,
    ),
]


@app.command()
def add(
    path: DirArgument,
    name: NameArgument,
    email: Annotated[
        str | None, typer.Option("--email", metavar="ADDRESS", help="Default: NAME@localhost.", show_default=False)
    ] = None,
    password: PasswordOption = None,
    role: Annotated[str, typer.Option("--role", metavar="ROLE", help="user or admin.")] = "user",
    private: Annotated[bool, typer.Option("--private", help="Do not let other users see this one.")] = False,
) -> None:
    """Add the user NAME.

    **Examples**

        connectordb user add mydb bob
        connectordb user add mydb carol --email carol@example.org --role admin
    """
    with administrator(path) as db:
        user = db(name)
        if user.exists():
            fail(f"there is a user {name} already: `connectordb user passwd {path} {name}` gives it a new password")
        password = ask_password(password, name, "--password PASSWORD")
        user.create(email or f"{name}@localhost", password, role=role, public=not private)
    say(f"Added user {name} ({role}).")


@app.command()
def passwd(path: DirArgument, name: NameArgument, password: PasswordOption = None) -> None:
    """Give the user NAME a new password. The old one stops working at once.

    If the device that passwords log in to (NAME/user) was disabled, or has lost its role, that is repaired too.

    **Example**

        connectordb user passwd mydb alice
    """
    with administrator(path) as db:
        user = db(name)
        user.refresh()
        user.set_password(ask_password(password, name, "--password PASSWORD"))
        say(f"User {name} has a new password.")
        _open_login(user)


@app.command("list")
def list_users(
    path: DirArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show all users with their role, e-mail address, and number of devices and streams.

    **Example**

        connectordb user list mydb
    """
    with administrator(path) as db:
        rows = [
            {
                "name": user.name,
                "role": user.role,
                "email": user.email,
                "public": user.public,
                "devices": len(user.devices()),
                "streams": len(user.streams()),
            }
            for user in db.users()
        ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("name", "role", "email", "public", "devices", "streams"):
        table.add_column(heading, justify="right" if heading in ("devices", "streams") else "left")
    for row in rows:
        shown = row | {"public": "yes" if row["public"] else "no"}
        table.add_row(*(escape(printable(str(value))) for value in shown.values()))
    out.print(table)


@app.command()
def role(
    path: DirArgument,
    name: NameArgument,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="user, admin, or another that permissions.json has.")],
) -> None:
    """Give the user NAME another role, and repair the device that its password logs in to, as `passwd` does.

    **Examples**

        connectordb user role mydb alice admin
        connectordb user role mydb bob user
    """
    with administrator(path) as db:
        user = db(name)
        user.refresh()
        user.set({"role": role})
        say(f"User {name} is now {role}.")
        _open_login(user)


def _open_login(user: User) -> None:
    """Let the device that passwords log in to do what its user may, in case that somebody has locked himself out."""
    device = user["user"]
    wanted = {"enabled": True, "role": "user"}
    changes = {field: value for field, value in wanted.items() if device.data[field] != value}
    if changes:
        device.set(changes)
        say(f"Its device {user.name}/user, which passwords log in to, is enabled again and has the role user.")
