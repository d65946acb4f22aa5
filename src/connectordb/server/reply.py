"""What a handler answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

import msgspec

from ..errors import RequestError, ServerError
from ..wire import ErrorReply

__all__ = ["JSON", "TEXT", "Header", "Reply", "error_reply", "json_reply", "text_reply"]

Header = tuple[bytes, bytes]

JSON = b"application/json; charset=utf-8"
TEXT = b"text/plain; charset=utf-8"
NO_CACHE = b"no-store, must-revalidate"

encode_json = msgspec.json.Encoder().encode


class Reply:
    """An answer, with its whole body or with the chunks of it as they become ready.

    Attributes:
        status: HTTP status.
        body: The body; ignored if there are `chunks`.
        content_type: Value of that header; empty: none is sent.
        headers: Further headers.
        cache: Value of the header ``Cache-Control``.
        chunks: The body in parts. Whoever sends the reply closes the generator. If it raises, the body is cut
            off so that the client sees it.
        upgrade: Called instead of sending anything: goes over to another protocol, which says so to the client
            itself. Returns ``False`` if the client has gone.
    """

    __slots__ = ("body", "cache", "chunks", "content_type", "headers", "status", "upgrade")

    def __init__(
        self,
        status: int,
        body: bytes,
        content_type: bytes,
        headers: tuple[Header, ...] = (),
        chunks: AsyncGenerator[bytes, None] | None = None,
        upgrade: Callable[[], bool] | None = None,
        *,
        cache: bytes = NO_CACHE,
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers
        self.chunks = chunks
        self.upgrade = upgrade
        self.cache = cache


def text_reply(text: str) -> Reply:
    """Return a plain result, as ``ok`` or a number."""
    return Reply(200, text.encode(), TEXT)


def json_reply(value: Any) -> Reply:
    """Return *value* as JSON."""
    return Reply(200, encode_json(value), JSON)


def error_reply(error: RequestError | ServerError, ref: str) -> Reply:
    """Return the wire form of *error*; *ref* finds it in the log."""
    body = ErrorReply(code=error.status, msg=error.msg, ref=ref, error=error.type, details=error.details)
    headers: tuple[Header, ...] = ()
    if "allow" in error.details:
        headers = ((b"allow", ", ".join(error.details["allow"]).encode()),)
    elif "retry_after_s" in error.details:
        headers = ((b"retry-after", str(error.details["retry_after_s"]).encode()),)
    elif error.status == 503:
        headers = ((b"retry-after", b"1"),)
    return Reply(error.status, encode_json(body), JSON, headers)
