"""The server as an ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import AsyncIterator
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ..core import NOBODY
from ..errors import RequestError, ServerError, StoreError, TooLarge, Unavailable
from .asgi import Receive, Scope, Send
from .auth import authenticate
from .log import LibraryLog
from .params import parse_query
from .reply import Header, Reply, error_reply
from .request import SAFE_METHODS, ClientGone, Request, asked_for
from .routes import ROUTES
from .routing import Found, Route, Router
from .state import State
from .uploads import told_of_key

if TYPE_CHECKING:
    from ..core import Core

__all__ = ["App", "create_app"]

_SNIFF: Header = (b"x-content-type-options", b"nosniff")
_CLOSE: Header = (b"connection", b"close")
_METHODS = b"GET, POST, PUT, PATCH, DELETE"
_CORS: tuple[Header, ...] = (
    (b"access-control-allow-credentials", b"true"),
    (b"access-control-allow-methods", _METHODS),
    (b"vary", b"Origin"),
)
_PREFLIGHT: tuple[Header, ...] = (
    (b"access-control-allow-headers", b"Content-Type, Authorization, Idempotency-Key, Last-Event-ID"),
    (b"access-control-max-age", b"600"),
)
_WORKS_WHILE_DRAINING = frozenset({"/healthz", "/readyz"})

LINGER_S = 2.0
"""How long a body that was refused is read and thrown away, so that its sender gets to see the answer."""
LINGER_BYTES = 64 * 1024 * 1024

CLIENT_GONE = 499
"""Stands in the log for a request without an answer, as its client went away."""


def create_app(core: Core, *, version: str, log: Any = None) -> App:
    """Return the ASGI application in front of *core*, which whoever made it closes afterwards.

    Args:
        core: The rules, on an open store.
        version: Of the server.
        log: A structlog logger; ``None``: failures go to the logger ``connectordb.server`` of `logging`, and nothing
            else goes anywhere.
    """
    return App(core, version, LibraryLog() if log is None else log)


class App:
    """The outermost function of the server: all that concerns every request happens here.

    Attributes:
        state: What the handlers share.
    """

    def __init__(self, core: Core, version: str, log: Any) -> None:
        self.state = State(core, version, log)
        self._router = Router(ROUTES)
        self._body_bytes_max = core.settings.server.body_bytes_max
        core.hub.observe = self.state.metrics.deliveries.add

    def drain(self) -> None:
        """Refuse new requests from now on with 503; those that have been accepted are finished.

        Websockets and event streams, which have no end of their own, are told to come back later. To be called on
        the event loop.
        """
        self.state.draining = True
        self.state.close_live()

    def abort(self) -> None:
        """End at once what is left of websockets."""
        self.state.abort_live()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises nothing but cancellation."""
        if scope["type"] != "http":
            return
        started = perf_counter()
        state = self.state
        metrics = state.metrics
        request = Request(scope, receive, NOBODY, self._body_bytes_max)
        route: Route | None = None
        sent = 0
        reply: Reply | None = None
        metrics.in_flight += 1
        try:
            try:
                found = self._router.find(scope["raw_path"])
                if request.method == "OPTIONS":
                    reply = _options(found)
                else:
                    route = found.route(request.method)
                    request.args = found.args
                    if scope["query_string"] and not route.page:
                        request.params = parse_query(scope["query_string"], route.query_names)
                    if state.draining and route.path not in _WORKS_WHILE_DRAINING:
                        raise Unavailable("the server is shutting down")
                    if not route.public:
                        request.actor = await authenticate(state, request)
                    reply = await route.handler(state, request)
            except (RequestError, ServerError) as e:
                keyed = b"idempotency-key" in request.headers and "source" not in request.params
                reply = error_reply(told_of_key(e) if keyed else e, request.ref)
                if isinstance(e, TooLarge) and not request.body_ended:
                    sent = await self._send_and_linger(request, reply, send)
            except StoreError as e:
                state.log.error("store_error", ref=request.ref, error=str(e))
                failed = state.store_failed(
                    e,
                    writing=request.method not in SAFE_METHODS,
                    openly=request.actor.is_root or request.local,
                )
                reply = error_reply(failed, request.ref)
            except ClientGone:
                pass
            except Exception as e:
                state.log.error("failed", ref=request.ref, traceback=traceback.format_exc())
                told = "the server failed; its log tells more under this ref"
                if request.local:
                    told = f"this failed, and should not have: {e!r}"
                reply = error_reply(ServerError(told), request.ref)
            if reply is not None and not sent:
                sent = await self._send(request, reply, send)
        finally:
            metrics.in_flight -= 1
            took_s = perf_counter() - started
            status = CLIENT_GONE if reply is None or sent < 0 else reply.status
            metrics.observe(route.path if route else "(none)", request.method, status, took_s)
            if state.log_requests:
                state.log.info(
                    "request",
                    ref=request.ref,
                    method=request.method,
                    **asked_for(request),
                    actor=request.actor.path,
                    status=status,
                    ms=round(took_s * 1000, 2),
                    bytes=max(0, sent),
                )

    async def _send(self, request: Request, reply: Reply, send: Send) -> int:
        """Send *reply* and return the length of its body; -1 if it was cut off."""
        if reply.upgrade is not None:
            return 0 if reply.upgrade() else -1
        headers = self._headers(request, reply)
        if reply.chunks is None:
            headers.append((b"content-length", b"%d" % len(reply.body)))
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            body = b"" if request.method == "HEAD" else reply.body
            await send({"type": "http.response.body", "body": body, "more_body": False})
            return len(body)
        try:
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            if request.method == "HEAD":
                await anext(reply.chunks)  # only what has begun can be closed
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return 0
            return await self._send_chunks(request, reply, send)
        finally:
            await reply.chunks.aclose()

    async def _send_chunks(self, request: Request, reply: Reply, send: Send) -> int:
        """Send the chunks as they come, unless the client goes away: then no more are waited for."""
        assert reply.chunks is not None  # noqa: S101
        size = 0
        try:
            async with _until_gone(request) as gone:
                async for chunk in reply.chunks:
                    if gone.done():  # where nothing is waited for, nothing can be interrupted
                        raise ClientGone
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                    size += len(chunk)
        except ClientGone:
            return -1
        except Exception as e:
            # The status is out. A body without its end is the only way left to tell that it is not complete: the web
            # server closes the connection when a response is left unfinished.
            level = self.state.log.warning if isinstance(e, RequestError | ServerError) else self.state.log.error
            level("answer_cut_off", ref=request.ref, traceback=traceback.format_exc())
            return -1
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return size

    async def _send_and_linger(self, request: Request, reply: Reply, send: Send) -> int:
        """Send *reply* to a request whose body was not read to its end, and close the connection a little later.

        Closing at once would make the client's system throw the answer away if it is still sending.
        """
        headers = self._headers(request, reply)
        headers += [(b"content-length", b"%d" % len(reply.body)), _CLOSE]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body, "more_body": True})
        left = LINGER_BYTES
        try:
            async with asyncio.timeout(LINGER_S):
                while left > 0:
                    message = await request.receive()
                    left -= len(message.get("body", b""))
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return len(reply.body)

    def _headers(self, request: Request, reply: Reply) -> list[Header]:
        headers: list[Header] = [(b"cache-control", reply.cache), _SNIFF, *reply.headers]
        if reply.content_type:
            headers.append((b"content-type", reply.content_type))
        origin = request.headers.get(b"origin")
        if origin is not None:
            headers.append((b"access-control-allow-origin", origin))
            headers += _CORS
        if self.state.draining:
            headers.append(_CLOSE)
        return headers


def _options(found: Found) -> Reply:
    allow = ", ".join(found.methods).encode()
    return Reply(200, b"", b"", ((b"allow", allow), *_PREFLIGHT))


@contextlib.asynccontextmanager
async def _until_gone(request: Request) -> AsyncIterator[asyncio.Future[None]]:
    """Leave the block with `ClientGone` when the client goes away, whatever is being waited for in there.

    Gives what is done when the client has gone.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101
    inside = True
    left = False

    def leave(_: asyncio.Future[None]) -> None:
        nonlocal left
        if inside:
            left = True
            task.cancel()

    gone = asyncio.ensure_future(request.disconnected())
    gone.add_done_callback(leave)
    try:
        yield gone
    except asyncio.CancelledError:
        if left and task.uncancel() == 0:
            raise ClientGone from None
        raise
    finally:
        inside = False
        gone.cancel()
