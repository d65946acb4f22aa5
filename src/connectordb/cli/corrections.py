"""``history`` and ``undo``: what has been corrected in a stream, and taking it back."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated

import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from ..client import ConnectorDB, Correction, Stream
from ..paths import parse_path
from ._admin import administrator
from ._arguments import DirArgument
from ._console import fail, out, printable, say

__all__ = ["register"]

_WHY_SHOWN_MAX = 80
"""So much of a reason is in the table, in characters; all of it is in the JSON."""

StreamArgument = Annotated[str, typer.Argument(metavar="STREAM", help="USER/DEVICE/STREAM.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    for command in (history, undo):
        app.command(rich_help_panel="Corrections")(command)


def history(
    path: DirArgument,
    stream: StreamArgument,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", help="At most so many.", min=1, max=1000)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show what has been deleted and changed in STREAM, of the database in DIR: by whom, when and why, newest first.

    **Example**

        connectordb history mydb alice/phone/weight
    """
    with administrator(path) as db:
        found = _stream(db, stream).history(limit)
    if as_json:
        print(json.dumps(msgspec.to_builtins(found), indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("id", "when", "by", "what", "why"):
        table.add_column(heading, justify="right" if heading == "id" else "left", overflow="fold")
    for one in found:
        when = datetime.fromtimestamp(one.at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        cells = (str(one.id), when, printable(one.by), _what(one), printable(one.why, _WHY_SHOWN_MAX))
        table.add_row(*map(escape, cells))
    out.print(table)


def undo(
    path: DirArgument,
    stream: StreamArgument,
    correction: Annotated[int, typer.Argument(metavar="ID", help="As `connectordb history` shows it.", min=1)],
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for the history.")] = "",
) -> None:
    """Take a correction of STREAM back: what it deleted returns, what it changed gets its old value.

    **Example**

        connectordb undo mydb alice/phone/weight 7 --why "it was right"
    """
    with administrator(path) as db:
        done = _stream(db, stream).undo(correction, why)
    say(f"Correction {correction} of {stream} is undone: {_datapoints(done.n)}.")


def _stream(db: ConnectorDB, path: str) -> Stream:
    if len(parse_path(path)) != 3:
        fail(f"{path} is no stream: give USER/DEVICE/STREAM")
    stream: Stream = db(path)
    return stream


def _what(one: Correction) -> str:
    text = f"{one.kind} {_datapoints(one.n)} from index {one.i} on"
    if one.undoes is not None:
        text = f"undid {one.undoes}: {_datapoints(one.n)}"
    if one.undone is not None:
        return f"{text} (undone by {one.undone})"
    return text if one.kept or one.undoes is not None else f"{text} (nothing kept)"


def _datapoints(n: int) -> str:
    return f"{n:,} datapoint{'s' * (n != 1)}"
