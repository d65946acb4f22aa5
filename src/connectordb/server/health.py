"""What those ask who look after the server: is it alive, is it ready, how is it doing, what can it do."""

from __future__ import annotations

import asyncio
import time
from importlib.resources import files

from ..errors import ConnectorDBError, NotFound, PermissionDenied, Unavailable
from .openapi import describe
from .reply import JSON, Reply, json_reply, text_reply
from .request import Request
from .state import State

__all__ = [
    "alive",
    "interpolators",
    "metrics",
    "openapi",
    "ready",
    "static",
    "transforms",
    "version",
]

STORE_PATIENCE_S = 2.0
WRITE_FAILURE_S = 30.0
"""How long a failed write counts, if no other one comes: where nobody sends any, none can show that it is over."""

_STATIC = {
    "docs.html": b"text/html; charset=utf-8",
    "docs.css": b"text/css; charset=utf-8",
    "docs.js": b"text/javascript; charset=utf-8",
}
_POLICY = (
    b"content-security-policy",
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
)


async def alive(state: State, request: Request) -> Reply:
    """The process answers."""
    return text_reply("ok")


async def ready(state: State, request: Request) -> Reply:
    """The server takes requests, its store answers, and the last write was not refused by the disk."""
    if state.draining:
        raise Unavailable("the server is shutting down")
    if state.write_failure is not None and time.monotonic() < state.write_failed + WRITE_FAILURE_S:
        raise Unavailable(f"the database cannot be written: {state.write_failure}")
    try:
        async with asyncio.timeout(STORE_PATIENCE_S):
            await asyncio.to_thread(state.core.store.counts)
    except TimeoutError:
        raise Unavailable(f"the database has not answered within {STORE_PATIENCE_S:.0f} s") from None
    except ConnectorDBError as e:
        state.log.error("store_not_ready", ref=request.ref, error=str(e))
        raise Unavailable("the database cannot be read") from None
    return text_reply("ok")


async def metrics(state: State, request: Request) -> Reply:
    """Counters for Prometheus; for this machine itself, and for those who may count users."""
    if not request.same_machine:
        try:
            state.core.count(request.actor, "users")
        except PermissionDenied:
            raise PermissionDenied("metrics are for administrators, and for programs on the server's machine") from None
    text, content_type = state.metrics.render(state)
    return Reply(200, text, content_type.encode())


async def version(state: State, request: Request) -> Reply:
    """The version of the server."""
    return text_reply(state.version)


async def transforms(state: State, request: Request) -> Reply:
    """The transforms of PipeScript, by name."""
    from ..pipescript import meta_transforms  # not needed by most

    return json_reply(meta_transforms())


async def interpolators(state: State, request: Request) -> Reply:
    """The interpolators of datasets, by name."""
    from ..pipescript import meta_interpolators

    return json_reply(meta_interpolators())


async def openapi(state: State, request: Request) -> Reply:
    """The description of this interface."""
    from .routes import ROUTES

    return Reply(200, describe(ROUTES, state.version), JSON)


async def static(state: State, request: Request) -> Reply:
    """The page to browse the interface, and what belongs to it."""
    name = request.args[0] if request.args else "docs.html"
    content_type = _STATIC.get(name)
    if content_type is None:
        raise NotFound(f"there is no page {name[:40]!a}")
    return Reply(200, files(__package__).joinpath("static", name).read_bytes(), content_type, (_POLICY,))
