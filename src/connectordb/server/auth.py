"""Who asks: credentials of a request, in the order that PROTOCOL lays down; and the session cookie."""

from __future__ import annotations

import base64
import binascii
import logging
from typing import TYPE_CHECKING

from ..core import NOBODY
from ..errors import PermissionDenied
from .params import flag
from .reply import Reply, text_reply
from .request import Request
from .state import State

if TYPE_CHECKING:
    from ..core import Actor

__all__ = ["authenticate", "login", "logout"]

log = logging.getLogger(__name__)

COOKIE = "connectordb-session"
_COOKIE_PREFIX = COOKIE.encode() + b"="


async def authenticate(state: State, request: Request) -> Actor:
    """Return who asks: by basic auth, else by ``?apikey=``, else by cookie, else nobody; note by which on *request*.

    A header that is no basic auth counts as none, as it did for ConnectorDB 0.3.

    Raises:
        Unauthenticated: wrong credentials, after a delay.
        TooManyRequests: too many failed logins.
    """
    identity = state.core.identity
    header = request.headers.get(b"authorization")
    if header is not None:
        credentials = _parse_basic(header)
        if credentials is not None:
            user, secret = credentials
            request.login = "password" if user else "apikey"
            if user:
                return await identity.login(user, secret, request.peer)
            return await identity.by_apikey(secret, request.peer)
    apikey = request.params.get("apikey")
    if apikey is not None:
        request.login = "apikey"
        return await identity.by_apikey(apikey, request.peer)
    cookie = request.headers.get(b"cookie")
    if cookie is not None and request.cookie_counts:
        value = _session_in(cookie)
        if value is not None:
            actor = identity.by_session(value)
            if actor is not None:
                request.login = "session"
                return actor
    return NOBODY


async def login(state: State, request: Request) -> Reply:
    """Give the browser a cookie with which it is who it is now.

    Not for a key in the address: with a link of a stranger to it, somebody would go on as that stranger unawares.
    """
    remember = flag(request.params, "remember", True)
    if request.cross_origin:
        raise PermissionDenied("only a page of this server itself can log its user in")
    reply = text_reply("ok")
    if request.actor is not NOBODY and (request.login != "apikey" or b"authorization" in request.headers):
        value = state.core.identity.session(request.actor)
        age = f"; Max-Age={state.core.identity.session_s}" if remember else ""
        reply.headers = (_set_cookie(request, value, age),)
    return reply


async def logout(state: State, request: Request) -> Reply:
    """Take the cookie away, and end its session: a copy of the cookie is of no use any more."""
    if request.cross_origin:
        raise PermissionDenied("only a page of this server itself can sign its user out")
    cookie = request.headers.get(b"cookie")
    value = _session_in(cookie) if cookie is not None and request.cookie_counts else None
    if value is not None:
        try:
            await state.core.sign_out(value)
        except OSError as e:
            log.warning("a session that was ended will be valid again after a restart: %s", e)
    reply = text_reply("ok")
    reply.headers = (_set_cookie(request, "", "; Max-Age=0"),)
    return reply


def _set_cookie(request: Request, value: str, age: str) -> tuple[bytes, bytes]:
    https = b"https" in (
        request.scope.get("scheme", "").encode(),
        request.headers.get(b"x-forwarded-proto", b"").lower(),
    )
    secure = "; Secure" if https else ""
    return b"set-cookie", f"{COOKIE}={value}; Path=/; HttpOnly; SameSite=Lax{age}{secure}".encode()


def _parse_basic(header: bytes) -> tuple[str, str] | None:
    scheme, _, encoded = header.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    try:
        text = decoded.decode()
    except UnicodeDecodeError:  # old programs, curl on some systems
        text = decoded.decode("latin-1")
    user, colon, secret = text.partition(":")
    return (user, secret) if colon else None


def _session_in(cookie: bytes) -> str | None:
    for part in cookie.split(b";"):
        part = part.strip()
        if part.startswith(_COOKIE_PREFIX):
            return part[len(_COOKIE_PREFIX) :].decode("latin-1")
    return None
