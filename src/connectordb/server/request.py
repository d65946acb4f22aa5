"""A request on its way through the server."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Coroutine, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from ..errors import Invalid, RequestError, TooLarge
from .asgi import Receive, Scope
from .codings import check_not_coded

if TYPE_CHECKING:
    from ..core import Actor

__all__ = ["BOM", "JSON_ERRORS", "LIVE", "ClientGone", "Request", "asked_for", "json_error", "new_ref"]

T = TypeVar("T")

JSON_ERRORS = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""All that decoding of JSON may raise."""
BOM = b"\xef\xbb\xbf"
"""Stands before UTF-8 that some programs write."""
LIVE = "connectordb.live"
"""In the scope of a request whose answer has no end of its own."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
BODY_PAUSE_S = 60.0
"""How long a client may pause in the middle of a body."""
_OWN_NAMES = (b"localhost", b"127.0.0.1", b"[::1]")
_PROXIED = frozenset({b"forwarded", b"via", b"x-real-ip", b"true-client-ip", b"cf-connecting-ip"})
"""What proxies add; and all that begins with ``x-forwarded-``."""
_UNTOLD = "(left out)"
"""Stands in the log for what may hold a secret."""


class ClientGone(Exception):
    """The client has closed the connection before its request was complete."""


class Request:
    """A request with what has been found out about it.

    Attributes:
        scope: As ASGI gives it.
        headers: By lower-case name; of one that occurs twice the last.
        args: The variable parts of the path, in order.
        params: The query parameters.
        actor: Who asks.
        login: By which credentials that is known: ``password``, ``apikey``, ``session``; empty: by none.
        body_bytes_max: Bound on the body, in bytes.
        body_ended: The body has been read to its end.
    """

    def __init__(self, scope: Scope, receive: Receive, actor: Actor, body_bytes_max: int) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.args: tuple[str, ...] = ()
        self.params: Mapping[str, str] = {}
        self.actor = actor
        self.login = ""
        self.body_bytes_max = body_bytes_max
        self.body_ended = False
        self.receive = receive

    @cached_property
    def ref(self) -> str:
        """What names this request in the log and in an error."""
        return new_ref()

    @property
    def peer(self) -> str:
        """Address that the request comes from."""
        client = self.scope.get("client")
        return client[0] if client else "local"

    @property
    def local(self) -> bool:
        """Whether this comes from the same process: in local mode."""
        return self.scope.get("client") is None

    @property
    def same_machine(self) -> bool:
        """Whether a program on this machine asks, and not a proxy or a web page that runs here.

        The name in the address has to be the machine's own: to any other one, a page of a stranger may have given the
        address 127.0.0.1 (DNS rebinding). A proxy that leaves no trace in the headers is not noticed.
        """
        if self.local:
            return True
        if not (self.peer.startswith("127.") or self.peer == "::1") or self.cross_origin:
            return False
        if any(name in _PROXIED or name.startswith(b"x-forwarded-") for name in self.headers):
            return False
        host = self.headers.get(b"host", b"").lower()
        return (host if host.endswith(b"]") else host.rpartition(b":")[0] or host) in _OWN_NAMES

    @property
    def base_url(self) -> str:
        """Scheme and host under which the client knows this server."""
        host = self.headers.get(b"host", b"localhost").decode("latin-1")
        return f"{self.scope.get('scheme', 'http')}://{host}"

    @property
    def cross_origin(self) -> bool:
        """Whether a web page of another origin (or nobody knows of which) has sent this."""
        if self.headers.get(b"sec-fetch-site") in (b"cross-site", b"same-site"):
            return True
        origin = self.headers.get(b"origin")
        if origin is None:
            return False
        scheme, _, host = origin.lower().partition(b"://")
        # Behind a proxy that ends TLS our own scheme is http and the page's is https; never the other way round.
        return host != self.headers.get(b"host", b"").lower() or (
            self.scope.get("scheme") == "https" and scheme != b"https"
        )

    @property
    def cookie_counts(self) -> bool:
        """Whether the cookie may say who asks: only where the browser says that our own page does.

        A request that changes something has to say so in ``Origin`` or ``Sec-Fetch-Site``; other ones only must not
        say the opposite, as browsers are silent about plain navigation.
        """
        if self.cross_origin:
            return False
        return (
            self.method in SAFE_METHODS
            or b"origin" in self.headers
            or self.headers.get(b"sec-fetch-site") in (b"same-origin", b"none")
        )

    async def body(self) -> bytes:
        """Read the body to its end.

        Raises:
            TooLarge: it is, or claims to be, larger than `body_bytes_max`; the rest is not read.
            ClientGone: the connection was closed before the end.
            RequestError: 408, the client paused for too long.
        """
        declared = self.headers.get(b"content-length")
        if declared is not None and int(declared) > self.body_bytes_max:
            raise self._too_large()
        message = await self.receive()
        body: bytes = message.get("body", b"")
        if message["type"] == "http.request" and not message.get("more_body", False):
            if len(body) > self.body_bytes_max:
                raise self._too_large()
            self.body_ended = True
            return body
        parts = [body]
        size = len(body)
        while message["type"] == "http.request":
            if size > self.body_bytes_max:
                raise self._too_large()
            if not message.get("more_body", False):
                self.body_ended = True
                return b"".join(parts)
            try:
                async with asyncio.timeout(BODY_PAUSE_S):
                    message = await self.receive()
            except TimeoutError:
                raise RequestError(f"no more of the body has come for {BODY_PAUSE_S:.0f} s", status=408) from None
            parts.append(message.get("body", b""))
            size += len(parts[-1])
        raise ClientGone

    async def text(self) -> bytes:
        """Read the body, which is JSON, to its end; without the mark that some programs write at the beginning.

        Raises:
            Invalid: it is compressed (415).
        """
        check_not_coded(self.headers.get(b"content-encoding", b""))
        return (await self.body()).removeprefix(BOM)

    async def json(self, decoder: msgspec.json.Decoder[T]) -> T:
        """Read and decode the body.

        Raises:
            Invalid: it is empty, no JSON, or not what *decoder* expects.
        """
        body = await self.text()
        try:
            return decoder.decode(body)
        except JSON_ERRORS as e:
            raise json_error(e, body) from None

    async def disconnected(self) -> None:
        """Return when the client has closed the connection. What else it sends is thrown away."""
        message = await self.receive()
        while message["type"] != "http.disconnect":
            message = await self.receive()

    async def unless_gone(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what *work* returns; the body has to be read by then.

        Raises:
            ClientGone: the client has closed the connection before that; *work* is given up.
        """
        working = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(self.disconnected())
        try:
            await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise ClientGone
            return working.result()
        finally:
            working.cancel()
            gone.cancel()

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"the body is larger than {self.body_bytes_max} bytes, which is the most that this server takes at once: "
            "send it in parts",
            limit=self.body_bytes_max,
        )


def json_error(error: Exception, body: bytes) -> Invalid:
    """Return what to tell about *body*, which could not be decoded because of *error*."""
    if not body.strip():
        return Invalid("the body is empty; JSON is expected")
    if isinstance(error, RecursionError):
        return Invalid("the JSON in the body is nested too deeply")
    if isinstance(error, UnicodeDecodeError):
        return Invalid(f"the body is not UTF-8: {error.reason}")
    if isinstance(error, msgspec.ValidationError):
        return Invalid(f"the body does not fit: {error}")
    if isinstance(error, msgspec.DecodeError) and b"\\ud" in body.lower():
        # The decoder takes half of a surrogate pair for the end of its input.
        return Invalid(f"the body is not valid JSON, perhaps because of half a surrogate pair (\\uD8..): {error}")
    return Invalid(f"the body is not valid JSON: {error}")


def new_ref() -> str:
    """Return a random UUID. It has to be different, not secret."""
    return str(uuid.UUID(int=random.getrandbits(128), version=4))


def asked_for(request: Request) -> dict[str, Any]:
    """Return path and query for the log, without an API key that may stand in them.

    A key is most likely to stand under another name than the right one, or in the path, in a request that was not
    understood: of such a request only what cannot be a key is told.
    """
    scope = request.scope
    path: bytes = scope["raw_path"]
    asked: dict[str, Any] = {"path": _UNTOLD if b"apikey=" in _plain(path) else path.decode("latin-1")}
    query: bytes = scope["query_string"]
    if query:
        if b"key" in query.lower() or b"%" in query:
            query = b"&".join(part for part in query.split(b"&") if _plain(part.partition(b"=")[0]) != b"apikey")
        told = bool(request.params) and b"apikey" not in _plain(query)
        asked["query"] = query.decode("latin-1") if told else _UNTOLD
    return asked


def _plain(text: bytes) -> bytes:
    """Return *text* in lower case and without percent-encoding, also where that was applied two or three times."""
    for _ in range(3):
        if b"%" not in text:
            break
        from urllib.parse import unquote_to_bytes

        text = unquote_to_bytes(text)
    return text.lower()
