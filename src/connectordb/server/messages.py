"""What a websocket says, as JSON with a line feed at its end.

A batch is turned into each of its forms once, however many subscribers get it: the form is kept with the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import RequestError, ServerError
from ..wire import ErrorReply
from .reply import encode_json

if TYPE_CHECKING:
    from ..core.hub import Batch, Corrected, Notice
    from ..store.records import Downlink

__all__ = ["FAILED", "Form", "Pack", "done", "failed", "form_of", "notice_fields"]

FAILED = "the server failed; its log tells more"
"""What is told of errors whose text is not for everybody."""
TEXT_LENGTH_MAX = 1_000
"""Longer texts of errors are shortened in notices, which may come by the thousands."""
KEPT_LENGTH_MAX = 512
"""Longer patterns and scripts are not remembered."""

Pack = Callable[[bytes], bytes]
"""Makes of a message what is sent."""


class Form:
    """How the datapoints of a subscription are told. The same form is one object: see `form_of`.

    Attributes:
        pack: Makes of the message what is sent.
        modern: The subscriber knows more than ConnectorDB 0.3 did: it gets indices, cursors and notices.
        pattern: The ``arg`` of a subscription to several streams; else empty.
        transform: Its script, empty if there is none.
        requests: It gets downlinks as requests.
    """

    __slots__ = ("modern", "pack", "pattern", "requests", "transform")

    def __init__(self, pack: Pack, modern: bool, pattern: str, transform: str, requests: bool) -> None:
        self.pack = pack
        self.modern = modern
        self.pattern = pattern
        self.transform = transform
        self.requests = requests

    def encode(self, batch: Batch) -> bytes:
        """Return what is sent of *batch*; empty if it has nothing for this form."""
        encoded: bytes | None = batch.forms.get(self)
        if encoded is None:
            encoded = batch.forms[self] = self._build(batch)
        return encoded

    def tell(self, notice: Notice) -> bytes:
        """Return what is sent of *notice*."""
        fields = {**self._names(notice.path), "notice": notice.kind, **notice_fields(notice)}
        return self.pack(encode_json(fields) + b"\n")

    def _build(self, batch: Batch) -> bytes:
        if self.requests:
            if not batch.downlinks:
                return b""
            head, data = b'"requests":[', _requests(batch.downlinks)
        elif self.modern:
            index = b'"i":%d,' % batch.index if batch.index >= 0 else b""
            head, data = index + b'"cursor":' + encode_json(batch.cursor) + b',"data":[', batch.block.json
        else:
            head, data = b'"data":[', batch.block.json
        names = encode_json(self._names(batch.path))[:-1]
        return self.pack(b"".join((names, b",", head, data, b"]}\n")))

    def _names(self, path: str) -> dict[str, str]:
        names = {"stream": path}
        if self.pattern and self.modern:
            names["arg"] = self.pattern
        if self.transform:
            names["transform"] = self.transform
        return names


def form_of(pack: Pack, modern: bool, pattern: str, transform: str, requests: bool) -> Form:
    """Return the form; see `Form`. One object for all who have it, as batches are looked up by it for each of them."""
    if len(pattern) + len(transform) > KEPT_LENGTH_MAX:
        return Form(pack, modern, pattern, transform, requests)
    return _form(pack, modern, pattern, transform, requests)


_form = lru_cache(maxsize=1024)(Form)


def notice_fields(notice: Notice) -> dict[str, Any]:
    """Return what *notice* tells besides its kind and its stream."""
    fields: dict[str, Any] = {}
    if notice.kind in ("lag", "missed", "failed"):
        fields["n"] = notice.n
    if notice.cursor is not None:
        fields["cursor"] = notice.cursor
    if notice.correction is not None:
        fields["correction"] = _correction_fields(notice.correction)
    if notice.error is not None:
        error = notice.error if isinstance(notice.error, RequestError | ServerError) else ServerError(FAILED)
        fields |= {"code": error.status, "msg": shortened(error.msg), "error": error.type}
    return fields


def _correction_fields(told: Corrected) -> dict[str, Any]:
    fields: dict[str, Any] = {"t1": told.t1, "t2": told.t2}
    if told.one is not None:
        fields |= {"id": told.one.id, "kind": told.one.kind, "i": told.one.i, "n": told.one.n}
    return fields


def shortened(text: str) -> str:
    """Return *text*, without its middle if it is so long that whoever asked for it could fill our memory."""
    return text if len(text) <= TEXT_LENGTH_MAX else f"{text[: TEXT_LENGTH_MAX // 2]}...{text[-TEXT_LENGTH_MAX // 2 :]}"


def done(id_: int | str, more: dict[str, Any] | None = None) -> bytes:
    """Return the answer to the command *id_* that succeeded."""
    head = b'{"id":%d,"ok":true' % id_ if isinstance(id_, int) else b'{"id":' + encode_json(id_) + b',"ok":true'
    return head + b"," + encode_json(more)[1:] + b"\n" if more else head + b"}\n"


def failed(id_: int | str, error: RequestError | ServerError, ref: str) -> bytes:
    """Return the answer to the command *id_* that failed; *ref* finds it in the log."""
    body = ErrorReply(code=error.status, msg=error.msg, ref=ref, error=error.type, details=error.details)
    return b'{"id":' + encode_json(id_) + b"," + encode_json(body)[1:] + b"\n"


def _requests(downlinks: Sequence[Downlink]) -> bytes:
    return b",".join(
        encode_json(
            {
                "id": downlink.id,
                "t": downlink.t,
                "d": msgspec.Raw(downlink.d),
                "o": downlink.o,
                "state": downlink.state.name.lower(),
                "expires": downlink.expires,
            }
        )
        for downlink in downlinks
    )
