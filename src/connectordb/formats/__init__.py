"""Datapoints in the formats of files and of answers: JSON, NDJSON, CSV, Arrow and Parquet.

Each has an encoder, which takes blocks and gives bytes, and a reader, which takes a file and gives blocks. Neither
holds more than a part of it in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, BinaryIO, Final, NamedTuple

from ..block import Block
from ..errors import InvalidValue
from ._encoder import Encoder

__all__ = ["FORMATS", "Encoder", "Format", "encoder", "read"]


class Format(NamedTuple):
    """A format of datapoints.

    Attributes:
        name: As in ``?format=``.
        media_type: In ``Accept`` and ``Content-Type``.
        extensions: What names of files end in; the first is the usual one.
        described: What it is, in a few words.
        needs: Libraries that it needs and that may be missing.
    """

    name: str
    media_type: str
    extensions: tuple[str, ...]
    described: str
    needs: tuple[str, ...] = ()

    @property
    def installed(self) -> bool:
        """Whether the libraries that it needs are there."""
        return all(find_spec(library) for library in self.needs)


_TABLES: Final = ("numpy", "pyarrow")

FORMATS: Final[dict[str, Format]] = {
    form.name: form
    for form in (
        Format("json", "application/json", (".json",), "a JSON array of datapoints"),
        Format("ndjson", "application/x-ndjson", (".ndjson", ".jsonl"), "a datapoint in JSON on each line"),
        Format("csv", "text/csv", (".csv",), "a table as text, with a header"),
        Format("arrow", "application/vnd.apache.arrow.stream", (".arrows", ".arrow"), "an Arrow IPC stream", _TABLES),
        Format("parquet", "application/vnd.apache.parquet", (".parquet",), "a Parquet file", _TABLES),
    )
}
"""All formats by name; the first is what those get who ask for none."""


def encoder(
    name: str, columns: Sequence[str] | None = None, *, writers: bool = False, spool_bytes_max: int | None = None
) -> Encoder:
    """Return a new encoder.

    Args:
        name: A key of `FORMATS`.
        columns: The names of the columns, if each value is an object that has them: then a table gets a column for
            each. ``None``: it has one column, ``d``.
        writers: Whether CSV, whose header has to be written first, gets the column ``o``. The other formats tell who
            wrote a datapoint wherever it is known.
        spool_bytes_max: Bound on the temporary file of formats that can only be written when all is known (Arrow,
            Parquet). ``None``: no bound.

    Raises:
        InvalidValue: one of the *columns* is called ``t``, and *name* is a table; or there is no such format.
        ImportError: a library is missing; the text says what to install.
    """
    make = _module(name).encoder
    made: Encoder = make(columns, writers=writers, spool_bytes_max=spool_bytes_max)
    return made


def read(name: str, file: BinaryIO, *, remote: bool = False) -> Generator[Block, None, None]:
    """Yield the datapoints of *file*, in its order, which need not be that of time; a part of the file at a time.

    Args:
        name: A key of `FORMATS`.
        file: Open for reading. It stays open. Parquet needs one that can seek.
        remote: It comes from somebody else, who may mean harm, and whose clock is another. Times have to be in seconds,
            or to tell their zone. What may stand for much more than it takes to send it is refused: Parquet; and in
            Arrow, compressed streams, dictionaries and nested columns.

    Raises:
        InvalidValue: it holds something else; the text tells which line or which datapoint. All before that has been
            yielded. Or there is no such format.
        ImportError: a library is missing; the text says what to install.
    """
    reader: Callable[..., Generator[Block, None, None]] = _module(name).read
    return reader(file, remote=remote)


def _module(name: str) -> Any:
    form = FORMATS.get(name)
    if form is None:
        raise InvalidValue(f"unknown format {name[:40]!r}: there are {', '.join(FORMATS)}")
    if not form.installed:
        raise ImportError(
            f"{form.described} needs {' and '.join(form.needs)}, not all of which are installed: "
            'pip install "connectordb[arrow]"'
        )
    return import_module(f"{__name__}._{name}")
