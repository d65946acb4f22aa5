"""Which format an answer has."""

from __future__ import annotations

from functools import lru_cache

from ..errors import Invalid, Unsupported
from ..formats import FORMATS, Format
from .codings import weights
from .request import Request

__all__ = ["FORMAT_JSON", "missing_format", "wanted_format"]

FORMAT_JSON = FORMATS["json"]

_ANYTHING = frozenset({b"", b"*/*", b"application/json"})


def wanted_format(request: Request) -> Format:
    """Return the format that *request* asks for: the parameter ``format`` wins over ``Accept``; JSON if neither says.

    Raises:
        Invalid: there is no such format (400), or none that ``Accept`` takes (406).
        Unsupported: a library is missing on this server.
    """
    name = request.params.get("format")
    if name is None:
        accept = request.headers.get(b"accept", b"*/*")
        return FORMAT_JSON if accept in _ANYTHING else _accepted(accept.decode("latin-1"))
    form = FORMATS.get(name)
    if form is None:
        raise Invalid(f"unknown format={name[:40]!a}: there are {', '.join(FORMATS)}", formats=list(FORMATS))
    if not form.installed:
        raise missing_format(form)
    return form


@lru_cache(maxsize=256)
def _accepted(accept: str) -> Format:
    """Return the best format for the header *accept*: the highest q; of equal ones what is named most exactly."""
    ranges = weights(accept)
    best: Format | None = None
    missing: Format | None = None
    best_rank = (0.0, False)
    for form in FORMATS.values():
        kind = form.media_type.partition("/")[0]
        found = {media: q for media, q in ranges if media in (form.media_type, f"{kind}/*", "*/*")}
        if not found:
            continue
        media = max(found, key=lambda media: (media == form.media_type, media != "*/*"))
        rank = (found[media], media == form.media_type)
        if not rank[0]:
            continue
        if not form.installed:
            missing = form
        elif rank > best_rank:
            best, best_rank = form, rank
    if best is not None:
        return best
    if missing is not None:
        raise missing_format(missing)
    known = [form.media_type for form in FORMATS.values()]
    raise Invalid(f"Accept takes none of the formats that there are: {', '.join(known)}", status=406, formats=known)


def missing_format(form: Format) -> Unsupported:
    """Return the error of a format whose library this server lacks."""
    return Unsupported(
        f"{form.name} is not installed on this server: its administrator gets it by "
        'pip install "connectordb[arrow]", and a restart'
    )
