"""Datapoints into a file, as they come: it may be longer than memory."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import InvalidValue
from . import _calls
from ._jsonarray import create_private

if TYPE_CHECKING:
    from ._session import Session

__all__ = ["EXTENSIONS", "download", "format_of"]

EXTENSIONS: Final = {
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".csv": "csv",
    ".arrows": "arrow",
    ".parquet": "parquet",
}
"""The formats by what names of files end in."""


def format_of(path: str | PathLike[str], form: str | None) -> str:
    """Return the format *form*; of ``None``, the one that the name of the file *path* tells.

    Raises:
        InvalidValue: it tells none, or there is no such format.
    """
    known = sorted(set(EXTENSIONS.values()))
    if form is None:
        suffix = Path(path).suffix
        form = EXTENSIONS.get(suffix.lower(), "")
        if not form:
            raise InvalidValue(f"{suffix or 'no suffix'!r} tells no format: give one of {', '.join(known)} as format")
    elif form not in known:
        raise InvalidValue(f"unknown format {form!r}: there are {', '.join(known)}")
    return form


def download(session: Session, call: _calls.Call[None], path: str | PathLike[str]) -> None:
    """Write the answer to *call* to the file *path*, which is there, or replaced, when all has come.

    Only the user may read it who runs this. The errors are those of `Session.run`, and `OSError`.
    """
    target = Path(path).resolve()  # where a link leads to
    begun = target.with_name(f".{target.name}.{os.urandom(8).hex()}")
    try:
        with create_private(begun) as file:
            session.run(call, into=file)
            file.flush()
            os.fsync(file.fileno())
        begun.replace(target)
    except BaseException:
        begun.unlink(missing_ok=True)
        raise
