"""The web app: its pages, and the files that they are made of.

The files are built from ``web/`` into ``webapp/`` beside this module: by the build of the package, or ``make web``.
Those in ``assets/`` have a hash of their content in their names, so a browser asks for each of them once. All pages
are the same file, ``index.html``, which finds out by its address what to show.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from ..errors import NotFound
from .codings import weights
from .reply import Header, Reply
from .request import Request
from .state import State

__all__ = ["FILES", "PAGES", "POLICY", "asset", "page", "root_file"]

PAGES = (
    "/",
    "/devices",
    "/users",
    "/downlinks",
    "/analyse",
    "/upload",
    "/account",
    "/u/{user}",
    "/u/{user}/{device}",
    "/u/{user}/{device}/{stream}",
    "/new/user",
    "/new/device/{user}",
    "/new/stream/{user}/{device}",
    "/edit/user/{user}",
    "/edit/device/{user}/{device}",
    "/edit/stream/{user}/{device}/{stream}",
)
"""Where the web app has pages; each is of `index.html`."""
FILES = ("favicon.svg", "icon-192.png", "icon-512.png", "manifest.webmanifest", "sw.js")
"""Files that have to have the names that they have, at the root of the server."""

FOLDER = Path(__file__).parent / "webapp"
FOR_EVER = b"public, max-age=31536000, immutable"
CHECK_FIRST = b"no-cache"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types connectordb"
)
"""Nothing comes from elsewhere, no text becomes a script, and no other site shows this one in a frame."""

_GUARDS: tuple[Header, ...] = (
    (b"content-security-policy", POLICY.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), payment=(), usb=()"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
_TYPES = {
    "css": b"text/css; charset=utf-8",
    "html": b"text/html; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "png": b"image/png",
    "svg": b"image/svg+xml",
    "webmanifest": b"application/manifest+json",
    "woff2": b"font/woff2",
}
_ENCODINGS = (("br", ".br"), ("gzip", ".gz"))
"""How a file may lie there compressed, the smallest first."""


class _File(NamedTuple):
    """A file with what is known about it.

    Attributes:
        bodies: Its content, by content encoding; empty: as it is.
        tag: Its entity tag.
        changed: When it was written, in ns.
    """

    bodies: dict[str, bytes]
    content_type: bytes
    tag: bytes
    changed: int


_kept: dict[str, _File] = {}


async def page(state: State, request: Request) -> Reply:
    """A page of the web app; if that has not been built, one that says how to."""
    found = _load("index.html")
    if found is None:
        body = files(__package__).joinpath("static", "unbuilt.html").read_bytes()
        return Reply(200, body, _TYPES["html"], _GUARDS, cache=CHECK_FIRST)
    return _reply(request, found, CHECK_FIRST)


async def asset(state: State, request: Request) -> Reply:
    """A part of the web app with a hash in its name."""
    return _file(request, f"assets/{request.args[0]}", request.args[0], FOR_EVER)


async def root_file(state: State, request: Request) -> Reply:
    """A file that has to have the name that it has."""
    name = request.scope["raw_path"].decode("latin-1").strip("/")
    return _file(request, name, name, CHECK_FIRST)


def _file(request: Request, path: str, name: str, cache: bytes) -> Reply:
    plain = name.replace("-", "").replace("_", "").replace(".", "").isalnum() and not name.startswith(".")
    found = _load(path) if plain else None
    if found is None:
        raise NotFound(f"there is no file {name[:60]!a}")
    return _reply(request, found, cache)


def _reply(request: Request, file: _File, cache: bytes) -> Reply:
    headers: tuple[Header, ...] = (*_GUARDS, (b"etag", file.tag), (b"vary", b"Accept-Encoding"))
    known = {tag.strip() for tag in request.headers.get(b"if-none-match", b"").split(b",")}
    if file.tag in known or b"*" in known:
        return Reply(304, b"", b"", headers, cache=cache)
    accepted = {name for name, q in weights(request.headers.get(b"accept-encoding", b"").decode("latin-1")) if q > 0}
    for encoding, _ in _ENCODINGS:
        if encoding in accepted and encoding in file.bodies:
            headers = (*headers, (b"content-encoding", encoding.encode()))
            return Reply(200, file.bodies[encoding], file.content_type, headers, cache=cache)
    return Reply(200, file.bodies[""], file.content_type, headers, cache=cache)


def _load(path: str) -> _File | None:
    """Return the built file at *path*, kept in memory for as long as it is the same; ``None`` if there is none."""
    content_type = _TYPES.get(path.rpartition(".")[2])
    at = FOLDER / path
    try:
        changed = at.stat().st_mtime_ns
    except OSError:
        return None
    if content_type is None:
        return None
    kept = _kept.get(path)
    if kept is not None and kept.changed == changed:
        return kept
    bodies = {"": at.read_bytes()}
    for encoding, extension in _ENCODINGS:
        packed = at.with_name(at.name + extension)
        if packed.is_file():
            bodies[encoding] = packed.read_bytes()
    tag = b'W/"%s"' % hashlib.sha256(bodies[""]).hexdigest()[:24].encode()
    _kept[path] = _File(bodies, content_type, tag, changed)
    return _kept[path]
