"""``transform``: a script over a file of datapoints, or standard input. No database is needed."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from itertools import pairwise
from operator import gt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final

import typer

from ..errors import InvalidValue, ScriptError
from ._console import fail
from ._script import explain_script, list_names, show_error
from ._writer import Writer

if TYPE_CHECKING:
    from ..block import Block
    from ..pipescript import Batch, Script

__all__ = ["by_extension", "register"]

_FORMATS: Final = "json, ndjson, csv, arrow or parquet"
_BINARY: Final = ("arrow", "parquet")
_STDIN: Final = "-"
_BEGINNINGS: Final = (
    (b"[", "json"),
    (b"{", "ndjson"),
    (b"t,", "csv"),
    (b"PAR1", "parquet"),
    (b"ARROW1", "arrow"),
    (b"\xff\xff\xff\xff", "arrow"),
)
"""How to recognise a format, from the first byte that is no white space."""
_BLANK: Final = b" \t\r\n"
_BOM: Final = b"\xef\xbb\xbf"


def register(app: typer.Typer) -> None:
    """Add the command of this module to *app*."""
    app.command(rich_help_panel="Scripts")(transform)


def transform(
    script: Annotated[
        str | None,
        typer.Argument(
            metavar="SCRIPT", help="What to run, in single quotes. With --list: a name to tell of.", show_default=False
        ),
    ] = None,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="Datapoints, in order of time. Default: standard input.", show_default=False
        ),
    ] = _STDIN,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FORMAT",
            help=f"What FILE is: {_FORMATS}. Default: by its extension, or recognised.",
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="What to write. Default: by the extension of --output, or ndjson.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write this file instead of standard output. It changes only when all has gone well.",
            show_default=False,
            dir_okay=False,
        ),
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option(
            "--zone",
            metavar="ZONE",
            help="Time zone of transforms such as `weekday`, as in Europe/Berlin. Default: that of this machine.",
            show_default=False,
        ),
    ] = None,
    as_list: Annotated[
        bool, typer.Option("--list", help="Show what there is to write scripts with; with a name, all about it.")
    ] = False,
    as_explanation: Annotated[
        bool, typer.Option("--explain", help="Show how SCRIPT is read and would be run, and run nothing.")
    ] = False,
) -> None:
    """Run a PipeScript over datapoints in a file, or from standard input. No database is needed.

    A datapoint is a time in seconds and any data: `{"t": 1709208000, "d": 21.5}`. JSON is an array of them, NDJSON has
    one on each line, CSV has the columns t and d, or t and the fields of objects. A file may be larger than the memory.

    **Examples**

        connectordb transform 'if $ > 20 | mean | if last' temperature.json
        connectordb transform 'map(weekday, count)' steps.csv --zone Europe/Berlin
        connectordb transform "$['steps']" phone.ndjson -o steps.csv
        curl ... | connectordb transform 'if changed' | head
        connectordb transform -- '-$' temperature.json            a script that begins with a minus
        connectordb transform --list
        connectordb transform --list map
        connectordb transform --explain 'if $ > 20 | mean | if last'
    """
    with _until_nobody_reads():
        if as_list:
            list_names(script)
            return
        if script is None:
            raise typer.BadParameter("give a script, or --list to see what there is", param_hint="'SCRIPT'")
        compiled = _compiled(script, file, zone)
        if as_explanation:
            explain_script(compiled)
            return
        _run(compiled, file, source, target, output)


@contextlib.contextmanager
def _until_nobody_reads() -> Iterator[None]:
    """End without a word when standard output is closed, as ``head`` does when it has seen enough."""
    try:
        yield
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # the latter is what rich makes of the former
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None


def _compiled(script: str, file: str, zone: str | None) -> Script:
    from ..pipescript import Settings, compile_script
    from ..pipescript.builtins.dates import zone as find_zone
    from ..pipescript.values import Failure

    if zone is not None:
        try:
            find_zone(zone)
        except Failure as e:
            raise typer.BadParameter(str(e), param_hint="'--zone'") from None
    try:
        return compile_script(script, Settings(zone=zone))
    except ScriptError as e:
        if file == _STDIN and _is_file(script):
            e.add_note(f"{script} is a file: the script goes before it")
        show_error(e, script)
        raise typer.Exit(2) from None


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # it is too long for a name, or holds what none can
        return False


def _run(script: Script, file: str, source: str | None, target: str | None, output: Path | None) -> None:
    from ..formats import FORMATS, read
    from ..pipescript.blocks import block_of

    for name, option in ((source, "--from"), (target, "--to")):
        if name is not None and name not in FORMATS:
            raise typer.BadParameter(f"there is no format {name!r}: there is {_FORMATS}", param_hint=f"'{option}'")
    wanted = target or (by_extension(output.name) if output else None)
    if wanted is None and output is not None and output.suffix:
        fail(f"{output} may be of any format: say which, with --to ({_FORMATS})", code=2)
    wanted = wanted or "ndjson"
    if output is None and wanted in _BINARY and sys.stdout.isatty():
        fail(f"{wanted} is nothing to be shown on a terminal: name a file with --output")
    try:
        with _opened(file) as incoming, _written(output) as outgoing, contextlib.closing(Writer(wanted)) as writer:
            given = source or by_extension(file) or _recognised(incoming, file)
            if given == "parquet" and not incoming.seekable():
                fail("Parquet cannot be read from a pipe: its index is at the end. Name the file")
            with contextlib.closing(read(given, incoming)) as blocks:  # before the file is
                for batch in script.run_batches(_batches(blocks, _named(file))):
                    block = block_of(batch)
                    if block is not None:
                        outgoing.write(writer.feed(block))
                        outgoing.flush()
            for piece in writer.end():
                outgoing.write(piece)
            outgoing.flush()
    except ScriptError as e:
        show_error(e, script.text)
        raise typer.Exit(1) from None
    except ImportError as e:
        if isinstance(e, ModuleNotFoundError):
            raise
        fail(str(e))  # it says what to install


def by_extension(name: str) -> str | None:
    """Return the format that the name of a file tells."""
    from ..formats import FORMATS

    lower = name.lower()
    return next((form.name for form in FORMATS.values() if lower.endswith(form.extensions)), None)


def _recognised(incoming: BinaryIO, file: str) -> str:
    """Return the format of what is to be read, without taking anything of it but white space."""
    peek: Any = incoming.peek  # type: ignore[attr-defined]
    while (begin := peek()) and not begin.removeprefix(_BOM).strip(_BLANK):
        incoming.read(len(begin))
    begin = begin.removeprefix(_BOM).lstrip(_BLANK)
    for beginning, name in _BEGINNINGS:
        if begin.startswith(beginning):
            return name
    if begin:
        fail(f"{_named(file)} is neither JSON nor NDJSON: say what it is, as in --from csv ({_FORMATS})")
    return "ndjson"  # nothing at all: no datapoints


def _named(file: str) -> str:
    return "standard input" if file == _STDIN else file


@contextlib.contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file != _STDIN:
        with Path(file).open("rb") as opened:
            yield opened
        return
    if sys.stdin is None:  # closed, by a supervisor for example
        fail("standard input is closed: name a file")
    if sys.stdin.isatty():
        print("Reading datapoints from this terminal, up to Ctrl-D.", file=sys.stderr)
    yield sys.stdin.buffer


@contextlib.contextmanager
def _written(output: Path | None) -> Iterator[BinaryIO]:
    """Give a file to write that takes the place of *output* when all has gone well."""
    if output is None:
        if sys.stdout is None:
            fail("standard output is closed: name a file with -o")
        yield sys.stdout.buffer
        return
    if output.exists() and not output.is_file():  # a pipe, a device
        with output.open("wb") as opened:
            yield opened
        return
    path = output.resolve()  # where a link leads to
    if not path.parent.is_dir():
        fail(f"{output} cannot be written: there is no folder {path.parent}")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.default_int_handler)  # as Ctrl-C: by way of the `finally` below
    try:
        with part.open("xb") as opened:
            if path.exists():
                shutil.copymode(path, part)
            yield opened
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _batches(blocks: Iterator[Block], name: str) -> Iterator[Batch]:
    """Yield the datapoints of *blocks*, as long as they are in order of time.

    Args:
        name: Where they come from.

    Raises:
        InvalidValue: one is not, or is none at all.
    """
    from ..pipescript.blocks import batch_of

    n = 0
    latest = -math.inf
    while True:
        try:
            block = next(blocks, None)
        except InvalidValue as e:
            raise InvalidValue(f"{name}: {e.msg}") from None
        if block is None:
            return
        batch = batch_of(block)
        times = [latest, *batch.t]
        if any(map(gt, times, batch.t)):
            at = next(at for at, (before, t) in enumerate(pairwise(times)) if t < before)
            raise InvalidValue(
                f"{name}: datapoint {n + at + 1} (t = {times[at + 1]}) is older than the one before it "
                f"(t = {times[at]}): a script needs them in order of time"
            )
        n += batch.n
        latest = times[-1]
        yield batch
