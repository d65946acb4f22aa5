"""Uploading: one run brings what waits in the spool to the server.

The rule for every request: a batch counts as stored only when a well-formed report says so. As long as there is none,
whatever happened, the batch stays frozen and is sent again as it is (see `_outbox`).

Dividing a batch
----------------
A batch may be too large for the server, a proxy or the line, or hold something that makes the whole request invalid.
It has to be divided then, but a part is another upload than the whole: if an earlier attempt with the whole batch has
arrived after all, or is still on its way, the parts would store its datapoints a second time. That the latest answer
was a refusal says nothing about earlier attempts, of this process or another.

So before dividing, the numbers of the batch are used up with an *empty* upload of the same source, first and last. If
the server accepts it, it had not stored the batch, and will refuse the batch from now on, because it is neither a
repetition of the newest upload of this source nor above it. The parts go out under a new source. If the server
refuses the empty upload as a conflict, it has the batch (or a copy of this spool has used the numbers): then nothing
is divided, the batch stays as it is, and is acknowledged when its repetition gets through. This also tells a request
that is refused because of what is in it from a server that refuses every request.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import cast

import msgspec

from ..client import _calls
from ..client._session import Session
from ..errors import (
    AlreadyExists,
    ConnectFailed,
    Invalid,
    NotFound,
    RequestError,
    SchemaInvalid,
    ServerError,
    StorageFull,
    TooLarge,
    TooManyRequests,
    TransportError,
    Unauthenticated,
    UploadConflict,
)
from ..schema import compile_schema
from ..wire import InsertReport, Refusal
from ._outbox import Account, Batch, Contents, Outbox, note_device, read_account
from ._spool import SpoolStream

__all__ = ["Uploader", "own_path"]

log = logging.getLogger("connectordb.logger")

CONFLICTS_MAX = 3
"""Conflicts of one batch in one run. A new source cannot conflict, so more would be a fault of the server."""
FAILURES_BEFORE_DIVIDING = 3
"""After so many attempts without an answer a smaller batch is tried: the line may be too slow for a large one."""


def own_path(session: Session) -> str:
    """Return the path of the device that the session's API key belongs to.

    Raises:
        Unauthenticated: it belongs to none.
    """
    path = session.run(_calls.this())
    if path.count("/") != 1:
        raise Unauthenticated(f"the server knows this Logger as '{path}', not as a device: set the device's apikey")
    return path


class Uploader:
    """One run of uploads.

    Args:
        outbox: What to upload.
        session: To whom; it should repeat nothing by itself.
        account: To whom, too. The run ends when the spool has got another one.
        stopping: Asked between requests; the run ends when it returns ``True``.
        on_streams: Called after the spool has learned something about streams from the server.
        clock: Gives seconds since the Unix epoch.
    """

    def __init__(
        self,
        outbox: Outbox,
        session: Session,
        account: Account,
        *,
        stopping: Callable[[], bool] = lambda: False,
        on_streams: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._outbox = outbox
        self._spool = outbox.spool
        self._session = session
        self._account = account
        self._told_to_stop = stopping
        self._on_streams = on_streams
        self._clock = clock
        self._device = ""

    def run(self) -> None:
        """Upload what waits now. What is inserted meanwhile may wait for the next run.

        A stream that the server refuses does not hold up the others; the first such error is raised at the end.

        Raises:
            RequestError: the server refused something; its datapoints stay.
            ServerError: the server failed, or is no ConnectorDB server. Nothing more was tried.
            TransportError: no answer came. Nothing more was tried.
            SpoolError: the spool cannot be written.
        """
        self._device = own_path(self._session)
        note_device(self._spool, self._account, self._device)
        horizon = self._outbox.horizon()
        self._outbox.settle()
        errors: list[RequestError] = []
        for stream in self._spool.streams().values():
            if not stream.known and not self._stopping():
                self._guarded(stream, self._introduce, errors)
        self._on_streams()
        streams = {stream.id: stream for stream in self._spool.streams().values()}
        for stream_id in self._outbox.order():
            if stream_id in streams and streams[stream_id].known and not self._stopping():
                self._guarded(streams[stream_id], lambda stream: self._drain(stream, horizon), errors)
        if errors:
            raise errors[0]

    def _guarded(self, stream: SpoolStream, work: Callable[[SpoolStream], None], errors: list[RequestError]) -> None:
        try:
            work(stream)
        except RequestError as e:
            log.warning("%s: the datapoints of stream '%s' stay in the spool: %s", self._spool.path, stream.name, e)
            e.add_note(f"stream '{stream.name}'")
            if isinstance(e, Unauthenticated | TooManyRequests):
                raise  # the next stream would fare no better
            errors.append(e)

    def _introduce(self, stream: SpoolStream) -> None:
        """Create the stream on the server if it is not there, and note the schema it has there."""
        path = self._path(stream)
        try:
            fields = self._session.run(_calls.read(path))
        except NotFound:
            try:
                fields = self._session.run(_calls.create(path, msgspec.json.decode(stream.creation)))
            except AlreadyExists:  # somebody else has just made it, or it may not be read
                try:
                    fields = self._session.run(_calls.read(path))
                except NotFound:
                    fields = {}
        schema = _usable_schema(fields.get("schema"))
        now = self._spool.streams().get(stream.name, stream)
        if (now.known and schema in (None, now.schema)) or self._stopping():
            return  # nothing new; or it would be said of the device of another account
        self._spool.set_known(stream.id, schema)

    def _stopping(self) -> bool:
        return self._told_to_stop() or read_account(self._spool) != self._account

    def _drain(self, stream: SpoolStream, horizon: int) -> None:
        conflicts = 0
        made_again = False
        while not self._stopping():
            stream = self._spool.streams().get(stream.name, stream)  # a batch may have become smaller
            batch = self._outbox.freeze(stream, horizon)
            if batch is None or self._stopping():  # a batch frozen since the account changed is the new one's
                return
            try:
                self._send(stream, batch)
            except NotFound:
                if made_again:
                    raise
                made_again = True
                log.info("%s: the server has no stream '%s' any more", self._spool.path, stream.name)
                self._introduce(stream)
                self._on_streams()
            except UploadConflict:
                conflicts += 1
                if conflicts > CONFLICTS_MAX:
                    raise
                log.info("%s: another spool has used numbers of stream '%s'", self._spool.path, stream.name)
                self._outbox.renumber(batch)

    def _send(self, stream: SpoolStream, batch: Batch) -> None:
        contents = self._outbox.contents(batch)
        many = len(contents.ids) > 1
        if many and batch.failures >= FAILURES_BEFORE_DIVIDING and self._use_up(stream, batch):
            self._outbox.divide(batch, contents)
            return
        try:
            report = self._upload(stream, batch, contents)
        except (ConnectFailed, StorageFull):
            raise  # nothing was sent, or there is no room for anything: it is not the batch
        except (TransportError, ServerError):
            self._outbox.failed(batch)
            raise
        except (TooLarge, Invalid) as e:
            if not self._use_up(stream, batch):
                raise
            if many:
                self._outbox.divide(batch, contents)
            else:
                self._reject(stream, batch, contents, [Refusal(position=0, msg=e.msg)])
        else:
            self._reject(stream, batch, contents, report.refused)

    def _reject(self, stream: SpoolStream, batch: Batch, contents: Contents, refusals: list[Refusal]) -> None:
        self._outbox.acknowledge(batch, contents, refusals, self._clock())
        if refusals:
            log.warning(
                "%s: the server refused %d datapoints of stream '%s', first because: %s",
                self._spool.path,
                len(refusals),
                stream.name,
                refusals[0].msg,
            )
            self._introduce(stream)  # the schema may have changed
            self._on_streams()

    def _upload(self, stream: SpoolStream, batch: Batch, contents: Contents) -> InsertReport:
        report = self._call(stream, batch, contents.body)
        positions = [refusal.position for refusal in report.refused]
        if (
            report.stored + len(positions) != len(contents.ids)
            or positions != sorted(set(positions))
            or (positions and not 0 <= positions[0] <= positions[-1] < len(contents.ids))
        ):
            raise ServerError(f"the server reports {report} for {len(contents.ids)} datapoints: that is no receipt")
        return report

    def _use_up(self, stream: SpoolStream, batch: Batch) -> bool:
        """Make sure that the server has not stored *batch* and never will; ``False`` if it has. See the module."""
        try:
            self._call(stream, batch, b"[]")
        except UploadConflict:
            return False
        return True

    def _call(self, stream: SpoolStream, batch: Batch, body: bytes) -> InsertReport:
        upload = _calls.Upload(batch.source, batch.first, batch.last)
        call = _calls.insert(self._path(stream), body, _calls.MERGE, verdicts=True, upload=upload)
        return cast("InsertReport", self._session.run(call))  # with verdicts there is always one

    def _path(self, stream: SpoolStream) -> str:
        return f"{self._device}/{stream.name}"


def _usable_schema(text: object) -> str | None:
    """The schema as it is checked on insert; one that cannot be checked here is left to the server."""
    if not isinstance(text, str):
        return None
    try:
        return compile_schema(text).text
    except SchemaInvalid:
        return "{}"
