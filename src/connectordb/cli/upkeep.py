"""``backup``, ``restore``, ``check``, ``stats`` and ``compact``: looking after a database."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from ..core import upkeep
from ..core.folder import Folder
from ..core.upkeep import Copied, Usage, Watch
from ..errors import ConnectorDBError, FolderError
from ..paths import parse_path
from ._arguments import DirArgument
from ._console import bytes_shown, duration_shown, fail, out, say

__all__ = ["register"]

_NICE = 10
_WIDTH_MAX = 10_000

DamagedOption = Annotated[
    bool, typer.Option("--even-if-damaged", help="Copy a database in which something is wrong all the same.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    for command in (backup, restore, check, stats, compact):
        app.command(rich_help_panel="Upkeep")(command)


def backup(
    path: DirArgument,
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to make. It must not exist, or be empty.")],
    damaged: DamagedOption = False,
) -> None:
    """Copy the database in DIR to the folder OUT, while its server runs or not, and check the copy.

    OUT is then a database as it was when this began, with all that was acknowledged by then, and its settings and
    keys: `connectordb start OUT` serves it, `connectordb restore OUT DIR` makes another one of it. Nobody but you may
    read it. Unless it is whole, there is no OUT.

    **Examples**

        connectordb backup mydb backups/2026-11-23
        connectordb backup mydb /mnt/disk/mydb-$(date +%F)
    """
    with _watching(path) as watch, _hint(damaged):
        copied = upkeep.back_up(path, target, damaged=damaged, watch=watch)
    _tell(f"Backed {path} up to {target}", copied)


def restore(
    source: Annotated[Path, typer.Argument(metavar="OUT", help="The folder that backup has made.")],
    path: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make. It must not exist, or be empty.")],
    damaged: DamagedOption = False,
) -> None:
    """Make a new database in the folder DIR of the backup in OUT, which stays as it is.

    The backup is checked first, and then what was made of it. There is nothing in DIR unless all is well.

    **Example**

        connectordb restore backups/2026-11-23 mydb
    """
    with _watching(source) as watch, _hint(damaged):
        copied = upkeep.restore(source, path, damaged=damaged, watch=watch)
    _tell(f"Restored {source} to {path}", copied)
    say(f"Next: connectordb start {path}")


def check(path: DirArgument) -> None:
    """Look for damage in the database in DIR, while its server runs or not: the file, and each datapoint.

    Each thing that is wrong is one line: where (user/device/stream, and the indices of the datapoints), and what. The
    exit code is 0 if nothing is wrong, else 1. Nothing is changed.

    **Example**

        connectordb check mydb
    """
    count = 0
    with _watching(path) as watch:
        for finding in upkeep.check(path, watch=watch):
            count += 1
            say(str(finding))
    if count:
        fail(f"{path} is damaged: {count} {'thing is' if count == 1 else 'things are'} wrong with it")
    say(f"{path} is in order.")


def stats(
    path: DirArgument,
    wanted: Annotated[
        str | None,
        typer.Argument(metavar="PATH", help="Only this user, device or stream.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show how much each user, device and stream of the database in DIR holds. The server may run meanwhile.

    Bytes are those of the datapoints themselves, packed where they are sealed into blocks, as they are after a while;
    what the file takes in all is more. What corrections keep so that they can be undone is told by itself. Streams
    whose datapoints are deleted after a while tell after how long.

    **Examples**

        connectordb stats mydb
        connectordb stats mydb alice/phone
        connectordb stats mydb --json
    """
    rows = upkeep.usage(path, parse_path(wanted) if wanted is not None else ())
    if as_json:
        print(json.dumps([_as_json(row) for row in rows], indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    limited = any(row.keep_s for row in rows)
    corrected = any(row.kept for row in rows)
    more = [*(["kept for undo"] * corrected), *(["kept for"] * limited)]
    for heading in ("", "datapoints", "sealed", "bytes", "bytes each", "first", "last", *more):
        number = heading.startswith(("data", "sealed", "bytes")) or heading == "kept for undo"
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        each = row.bytes_per_point
        table.add_row(
            escape(row.path),
            f"{row.points:,}",
            f"{row.sealed:,}",
            bytes_shown(row.bytes),
            "" if each is None else f"{each:.1f}",
            _time_shown(row.first),
            _time_shown(row.last),
            *([bytes_shown(row.kept) if row.kept else ""] * corrected),
            *([duration_shown(row.keep_s) if row.keep_s else ""] * limited),
        )
    # Names and figures are not cut, however narrow the terminal is: a program may read them.
    width = Measurement.get(out, out.options.update(width=_WIDTH_MAX), table).maximum
    Console(highlight=False, width=max(out.width, width)).print(table)


def compact(path: DirArgument) -> None:
    """Give the space back that deleted data has left in the database in DIR, which must be stopped.

    Without this, that space is used by what comes next. The file is written anew beside the old one, so there has to be
    room for that.

    **Example**

        connectordb compact mydb
    """
    server = Folder.state(path).server
    if server is not None:
        fail(f"process {server.pid} serves {path}: stop it first, with `connectordb stop {path}`")
    before, after = upkeep.compact(path)
    say(f"Freed {bytes_shown(max(0, before - after))}: {path} takes {bytes_shown(after)} now.")


def _tell(done: str, copied: Copied) -> None:
    for finding in copied.findings:
        say(str(finding))
    count = len(copied.findings)
    found = f", with {count} thing{'s' * (count > 1)} wrong" if count else f", {copied.points:,} datapoints"
    took = duration_shown(copied.seconds) if copied.seconds >= 10 else f"{copied.seconds:.1f} s"
    say(f"{done}: {bytes_shown(copied.bytes)}{found}, in {took}.{'' if copied.findings else ' It is in order.'}")


@contextmanager
def _hint(damaged: bool) -> Iterator[None]:
    """Add to an error that tells of damage how to go on."""
    try:
        yield
    except ConnectorDBError as e:
        if not damaged and " is damaged: " in str(e):
            e.add_note("`connectordb check` tells all. With --even-if-damaged it is copied nevertheless")
        raise


@contextmanager
def _watching(path: Path) -> Iterator[Watch]:
    """Show how far the work on *path* has come, if somebody looks on; and leave the processor to a server."""
    try:
        if Folder.state(path).in_use:
            os.nice(_NICE)
    except FolderError:
        pass  # what is done with it tells what is wrong
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:

        def watch(what: str) -> upkeep.Progress:
            task = shown.add_task(what, total=None)
            return lambda done, total: shown.update(task, completed=done, total=total)

        yield watch


def _as_json(row: Usage) -> dict[str, object]:
    return {
        "path": row.path,
        "points": row.points,
        "sealed": row.sealed,
        "bytes": row.bytes,
        "bytes_per_point": row.bytes_per_point,
        "first": row.first,
        "last": row.last,
        "kept_for_undo": row.kept,
        "keep": row.keep_s or None,
    }


def _time_shown(t: float | None) -> str:
    """A time stamp as a person reads it, in this machine's time zone."""
    if t is None:
        return ""
    try:
        return datetime.fromtimestamp(t).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return repr(t)
