"""A stream as an Atom feed."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

from ..datapoint import Datapoint
from ..query import Range
from .reply import Reply, encode_json
from .request import Request
from .state import State

__all__ = ["read_feed"]

ENTRIES_MAX = 500
ATOM = "http://www.w3.org/2005/Atom"
CONTENT_TYPE = b"application/xml; charset=utf-8"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SUFFIX = ".atom"
_NOT_XML = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF, *range(0xD800, 0xE000)))
"""Characters that cannot stand in an XML document, not even escaped."""


async def read_feed(state: State, request: Request) -> Reply:
    """The newest datapoints of a stream, oldest first, one entry each."""
    user, device, name = request.args
    stream = name.removesuffix(_SUFFIX)
    path = (user, device, stream)
    core = state.core
    length = core.length(request.actor, path)
    first = max(0, length - ENTRIES_MAX)
    blocks = core.read(request.actor, path, Range(i1=first, i2=length), transform=request.params.get("transform", ""))
    points = [point async for block in blocks for point in block.points]
    state.metrics.points_read += len(points)
    return Reply(200, _render(request.base_url, path, first, points), CONTENT_TYPE)


def _render(base_url: str, path: tuple[str, str, str], first: int, points: list[Datapoint]) -> bytes:
    user, device, _ = path
    name = "/".join(path)
    feed = ElementTree.Element("feed", xmlns=ATOM)
    own_url = f"{base_url}/api/v1/feed/{name}.atom"
    _text(feed, "title", name)
    _text(feed, "id", own_url)
    ElementTree.SubElement(feed, "link", href=_clean(own_url), rel="self")
    _text(feed, "updated", _rfc3339(points[-1].t if points else time.time()))
    _text(ElementTree.SubElement(feed, "author"), "name", user)
    for i, point in enumerate(points, first):
        entry = ElementTree.SubElement(feed, "entry")
        url = f"{base_url}/api/v1/crud/{name}/data?i1={i}&i2={i + 1}"
        _text(entry, "title", f"Datapoint {i + 1}")
        _text(entry, "id", url)
        ElementTree.SubElement(entry, "link", href=_clean(url))
        _text(entry, "updated", _rfc3339(point.t))
        _text(ElementTree.SubElement(entry, "author"), "name", point.o or f"{user}/{device}")
        _text(entry, "content", encode_json(point.d).decode())
    document: bytes = ElementTree.tostring(feed, encoding="utf-8", xml_declaration=True)
    return document


def _text(parent: ElementTree.Element, tag: str, text: str) -> None:
    ElementTree.SubElement(parent, tag).text = _clean(text)


def _clean(text: str) -> str:
    return text.translate(_NOT_XML)


def _rfc3339(t: float) -> str:
    """The time stamp *t* in seconds, to the millisecond below."""
    when = _EPOCH + timedelta(milliseconds=int(t * 1000))
    return when.isoformat(timespec="milliseconds")
