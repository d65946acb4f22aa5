"""A file of datapoints into a stream."""

from __future__ import annotations

import csv
from collections.abc import Generator
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ..client import Stream
from ..errors import ConnectorDBError, InvalidValue, RequestError
from ..paths import parse_stream_path
from ._admin import administrator
from ._console import fail, say

__all__ = ["import_points"]

_GO_ON = "Run it again with --duplicates skip, which leaves out what is stored"


def import_points(path: Path, source: Path, stream: str, *, skip: bool, create: bool, schema: str | None) -> None:
    """Insert the datapoints of the file *source*, each where it belongs in time.

    Args:
        path: The database folder.
        stream: As user/device/stream.
        skip: Leave out those that are stored already.
        create: Make the stream if it is missing.
        schema: With which JSON Schema; ``None``: it takes any values.
    """
    from ..formats import FORMATS
    from .transform import by_extension

    user, device, name, downlink = parse_stream_path(stream)
    if downlink:
        fail("datapoints of a file go into a stream, not to its device: leave /downlink out")
    if not source.is_file():
        fail(f"{source} is no file: name one that holds datapoints")
    form = by_extension(source.name)
    if form is None:
        known = ", ".join(extension for form in FORMATS.values() for extension in form.extensions)
        fail(f"the name of {source} does not tell what it is: its extension has to be one of {known}")
    with administrator(path) as db:
        found = db(f"{user}/{device}/{name}")
        _prepare(found, create, schema)
        length = found.length()
        try:
            with closing(_points(source, form)) as points:
                found.insert_array(points, merge=True, duplicates="skip" if skip else "keep")
        except ImportError as e:
            if isinstance(e, ModuleNotFoundError):
                raise
            fail(str(e))  # it says what to install
        except KeyboardInterrupt as e:
            told = getattr(e, "__notes__", ["Interrupted before anything was stored for certain."])
            fail(" ".join([*told, f"{_GO_ON}."]), 130)
        except ConnectorDBError as e:
            _explain(e, source, form)
            raise
        say(f"{stream} had {length:,} datapoints, and has {found.length():,} now.")


def _prepare(stream: Stream, create: bool, schema: str | None) -> None:
    if not stream.exists():
        if not create:
            fail(
                f"there is no '{stream.path}': add --create to make it, and --schema '{{\"type\": \"number\"}}' if it "
                "is to take numbers only"
            )
        try:
            stream.create("{}" if schema is None else schema)
        except (ValueError, _schema_error()) as e:
            fail(f"the --schema is no JSON Schema: {str(e).partition(chr(10))[0]}")
    elif stream.ephemeral:
        fail(f"'{stream.path}' is ephemeral: it keeps no datapoints, so there is nothing to import into")


def _schema_error() -> type[Exception]:
    from jsonschema import SchemaError

    found: type[Exception] = SchemaError
    return found


def _explain(error: ConnectorDBError, source: Path, form: str) -> None:
    """Add to *error* where in the file it is, and how to go on."""
    if isinstance(error, RequestError):
        position = error.details.get("position")
        if isinstance(position, int):
            line = _line(source, form, position)
            error.add_note("The first one is 0" if line is None else f"It is in line {line} of {source}")
    if error.inserted:
        mend = "Mend the file and run" if isinstance(error, RequestError) else "Run"
        error.add_note(f"{mend}{_GO_ON.removeprefix('Run')}")


def _line(source: Path, form: str, position: int) -> int | None:
    """Return in which line the datapoint at *position* ends; ``None``: the file has no lines."""
    if form == "ndjson":
        with source.open("rb") as file:
            lines = (number for number, line in enumerate(file, 1) if line.strip())
            return next(islice(lines, position, None), None)
    if form == "csv":
        with source.open(encoding="utf-8-sig", newline="") as text:
            rows = csv.reader(text, strict=True)
            next(rows, None)
            numbers = (rows.line_num for row in rows if row)
            return next(islice(numbers, position, None), None)
    return None


def _points(source: Path, form: str) -> Generator[dict[str, Any], None, None]:
    from ..formats import read

    with source.open("rb") as file, closing(read(form, file)) as blocks:
        try:
            for n, point in enumerate(chain.from_iterable(block.points for block in blocks), 1):
                if point.t == 0.0:  # which would be now, each time that the file is read
                    raise InvalidValue(f"datapoint {n} has no time")
                yield {"t": point.t, "d": point.d, "o": point.o} if point.o else {"t": point.t, "d": point.d}
        except InvalidValue as e:
            hint = f". It looks like NDJSON: name it {source.stem}.ndjson" if _looks_like_lines(source, form) else ""
            raise InvalidValue(f"{source}: {e.msg}{hint}") from None


def _looks_like_lines(source: Path, form: str) -> bool:
    if form != "json":
        return False
    with source.open("rb") as file:
        return file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")
