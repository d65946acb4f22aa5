"""The Logger."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

from ..client._session import Credentials, Session
from ..client._transport import HttpTransport, Transport
from ..datapoints import Time
from ..errors import (
    ConnectorDBError,
    NotFound,
    RequestError,
    SpoolError,
    SpoolFull,
)
from ..paths import check_name
from ._background import Background
from ._checks import CheckedStream, creation_text, schema_text
from ._outbox import Account, Outbox, change_account, note_device, read_account
from ._reserve import Reserve
from ._spool import Rejected, Spool, Synchronous
from ._status import Status
from ._uploader import Uploader, own_path
from ._values import check_now, check_t, encode_value, read_point

if TYPE_CHECKING:
    from ..client import ConnectorDB

__all__ = ["BaseLogger"]

log = logging.getLogger("connectordb.logger")

SYNC_PERIOD_S = 600.0
TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
BATCH_POINTS_MAX = 5_000
BATCH_BYTES_MAX = 500_000
"""Below what web servers in front of ours take by default (1 MB)."""


class BaseLogger:
    """Gathers datapoints on disk and brings them to the server: none is lost, none is doubled.

    `insert` returns when the datapoint is on disk; it never waits for the network. Uploading is a matter of its own: in
    the background between `start` and `stop`, or whenever `sync` is called. Threads may share a Logger, and several
    processes may have one each on the same file, with any of them uploading.

    The file keeps everything: datapoints, streams, API key, server, period, and `data`. While a Logger is open, and
    after a crash, the newest datapoints are in ``FILE-wal`` beside it, which belongs to it: close the Logger before
    moving or copying the file, or take both. Copying it while datapoints wait makes both copies upload them, and an old
    copy that is restored may double datapoints, but loses none that are in it.

    On a full disk `insert` raises `SpoolFull`, and what was taken before is still uploaded: for that, ``FILE-reserve``
    keeps 512 KiB of the disk, which are given up when they are needed and taken again after a synchronisation that went
    well. It holds nothing and need not be moved or copied. If there was never space for it, or other programs have
    taken what it gave up, uploading may have to wait for space too; `status` tells.

    The datapoints go to the streams of one device, that of the API key. A stream that is not there is created; one that
    was deleted on the server is created again as soon as datapoints for it wait.

    After `os.fork` the child's Logger works on the same file; uploading in the background goes on in the parent only.

    A weather station::

        def on_create(logger):
            logger.apikey = "the key of this device"
            logger.add_stream("temperature", {"type": "number"})
            logger.sync_period_s = 60

        with Logger("cache.db", on_create=on_create) as logger:
            logger.start()
            while True:
                logger.insert("temperature", read_sensor())
                time.sleep(1)
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        on_create: Callable[[Self], object] | None = None,
        apikey: str | None = None,
        onsync: Callable[[], object] | None = None,
        onsyncfail: Callable[[Exception], object] | None = None,
        syncraise: bool = False,
        *,
        synchronous: Synchronous = "full",
        spool_bytes_max: int | None = None,
        timeout_s: float = TIMEOUT_S,
        batch_points_max: int = BATCH_POINTS_MAX,
        batch_bytes_max: int = BATCH_BYTES_MAX,
        transport: Callable[[str], Transport] = HttpTransport,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the spool *file*. No network is needed.

        A spool of ConnectorDB 0.3 is taken over, with the datapoints in it. Those with the time stamp 0 get the present
        time; what is no datapoint goes to `rejected`; settings that cannot be used get their defaults.

        Args:
            file: Path of the spool; made if it is not there.
            on_create: Called with the Logger if the spool is new, to set it up. If it raises, so does this, and it is
                called again at the next opening.
            apikey: API key of the device to log as; it is kept in the spool.
            onsync: Called without arguments after each synchronisation that went well; in the background, in its
                thread.
            onsyncfail: Called with the exception after each one that did not.
            syncraise: Whether `sync` raises what went wrong. Not if there is an *onsyncfail*.
            synchronous: ``"full"``: a datapoint is on disk when `insert` returns, whatever happens. ``"normal"``: many
                times as many inserts a second, but a power failure may take the newest ones, up to some seconds. If
                only the process is killed, nothing is lost; and in neither case is anything doubled.
            spool_bytes_max: Beyond this size of the file, in bytes, `insert` raises `SpoolFull`; SQLite's log beside it
                takes some MB more. ``None``: until the disk is full.
            timeout_s: How long to wait for each answer of the server, in seconds.
            batch_points_max: The most datapoints in one upload.
            batch_bytes_max: The most bytes in one upload, unless one datapoint has more.
            transport: Makes the way to the server of its URL.
            clock: Gives the time stamps, in seconds since the Unix epoch.

        Raises:
            SpoolCorrupt: the file is damaged, or no spool. It is left as it is.
            SpoolFull: no space to make it.
            SpoolError: it cannot be opened.
        """
        if synchronous not in ("full", "normal"):
            raise ValueError(f"synchronous is 'full' or 'normal', not {synchronous!r}")
        if timeout_s <= 0 or batch_points_max < 1 or batch_bytes_max < 1:
            raise ValueError("timeout_s, batch_points_max and batch_bytes_max have to be positive")
        self._path = str(Path(file).absolute())
        self._timeout_s = timeout_s
        self._points_max = batch_points_max
        self._batch_bytes_max = batch_bytes_max
        self._transport = transport
        self._clock = clock
        self.on_sync = onsync
        self.on_sync_fail = onsyncfail
        self.sync_raise = syncraise
        self._sync_lock = threading.Lock()
        self._state_lock = threading.Lock()
        self._background: Background | None = None
        self._connectordb: ConnectorDB | None = None
        self._closed = False
        self._streams: dict[str, CheckedStream] = {}
        self._unnoted: dict[str, Any] = {}
        self._reserve = Reserve(self._path)
        self._spool = Spool(self._path, synchronous=synchronous, bytes_max=spool_bytes_max)
        _living.add(self)
        try:
            self._spool.recognise()
            self._load_streams()
            if apikey is not None:
                self.apikey = apikey
            if not self._spool.get("created", False):
                if on_create is not None:
                    on_create(self)
                self._spool.set(created=True)
            self._reserve.make()
        except BaseException:
            self.close()
            raise

    # Streams

    def add_stream(self, name: str, schema: Mapping[str, Any] | str | None = None, **fields: Any) -> None:
        """Log to the stream *name* of the device. No network is needed.

        If the server has no such stream at the next synchronisation, it is created. If it has one, its schema takes
        the place of the one given here.

        Args:
            name: Name of the stream, without user and device.
            schema: JSON Schema of its values. ``None``: any value, until the server's schema is known.
            fields: Other fields to create it with: `nickname`, `description`, `icon`, `datatype`, `ephemeral`,
                `downlink`, `keep` (in seconds, or a `timedelta`).

        Raises:
            Invalid: the name or a field is none.
            SchemaInvalid: *schema* is no JSON Schema of draft 4; also a `jsonschema.SchemaError`.
        """
        check_name(name, "stream name")
        text = None if schema is None else schema_text(schema)
        creation = creation_text(fields if text is None else {**fields, "schema": text})
        self._spool.add_stream(name, text, creation)
        self._load_streams()

    @property
    def streams(self) -> dict[str, Any]:
        """The schemas that values are checked against, by name of the stream; ``None`` where nothing is checked yet."""
        self._load_streams()
        return {
            name: None if stream.schema is None else msgspec.json.decode(stream.schema)
            for name, stream in self._streams.items()
        }

    def __contains__(self, name: object) -> bool:
        """Whether the stream *name* has been added."""
        if name not in self._streams:
            self._load_streams()
        return name in self._streams

    # Datapoints

    def insert(self, name: str, value: Any, t: Time | None = None) -> None:
        """Append a datapoint to the stream *name*, and return when it is on disk.

        Args:
            name: A stream that was added.
            value: What fits its schema.
            t: Time stamp: seconds since the Unix epoch, a ``datetime``, or text in ISO 8601; ``None`` or
                0: now. Need not be in order.

        Raises:
            NotFound: no such stream was added.
            SchemaMismatch: the value does not fit; also a `jsonschema.ValidationError`.
            InvalidValue: JSON cannot hold the value, or the time stamp is impossible; also that of the clock.
            SpoolFull: no space; the datapoint was not taken. Try again when there is.
            SpoolError: the spool cannot be written.
        """
        try:
            stream = self._streams[name]
        except KeyError:
            stream = self._find_stream(name)
        # The server would take 0 for the time of the upload.
        t = (0.0 if t is None else check_t(t)) or check_now(self._clock())
        self._spool.append(stream.id, t, stream.encode(value))

    def insert_many(self, datapoints: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
        """Append many datapoints, to one stream or several: all of them or, if one is wrong, none.

        Args:
            datapoints: By name of the stream, lists of ``{"t": time, "d": value}``, or a `DatapointArray`. A time stamp
                that is missing, or 0, becomes now.

        Raises:
            As `insert`.
        """
        now = self._clock()
        rows = []
        for name, points in datapoints.items():
            stream = self._streams.get(name) or self._find_stream(name)
            for point in points:
                t, value = read_point(point)
                rows.append((stream.id, check_now(now) if t is None else t, stream.encode(value)))
        self._spool.append_many(rows)

    def __len__(self) -> int:
        """How many datapoints the server has not acknowledged yet."""
        return self._spool.count()

    def __bool__(self) -> bool:
        """True, also if nothing waits."""
        return True

    def clear_data(self) -> None:
        """Delete all datapoints that wait. Those on their way may arrive all the same."""
        self._spool.clear()

    def rejected(self) -> list[Rejected]:
        """Return the datapoints that the server refused, with its reasons; oldest refusal first."""
        return self._spool.rejected()

    def retry_rejected(self) -> int:
        """Have the refused datapoints uploaded again, after what made the server refuse them was changed.

        Those that a spool of ConnectorDB 0.3 held without being datapoints stay. Returns how many wait again.
        """
        return self._spool.retry_rejected()

    def clear_rejected(self) -> int:
        """Delete the refused datapoints. Returns how many there were."""
        return self._spool.clear_rejected()

    # Settings

    @property
    def apikey(self) -> str:
        """The API key of the device to log as. Empty if none was set.

        With another one, what waits goes to the device that it belongs to, and the streams that it does not have are
        created there. If that is another device, datapoints on their way at the change, or whose acknowledgement was
        lost before, may then be on both.
        """
        return read_account(self._spool).apikey

    @apikey.setter
    def apikey(self, apikey: str) -> None:
        account = read_account(self._spool)
        if apikey != account.apikey:
            change_account(self._spool, account._replace(apikey=str(apikey)))
            self._forget_connectordb()

    @property
    def server_url(self) -> str:
        """Where the server is.

        With another one, what waits goes there, and the streams that it does not have are created there. Datapoints on
        their way at the change, or whose acknowledgement was lost before, may then be on both servers; and twice on
        one that has only changed its address.
        """
        return read_account(self._spool).server_url

    @server_url.setter
    def server_url(self, url: str) -> None:
        account = read_account(self._spool)
        if url != account.server_url:
            self._transport(url).close()  # raises for what is no address
            change_account(self._spool, account._replace(server_url=str(url)))
            self._forget_connectordb()

    @property
    def sync_period_s(self) -> float:
        """The pause between two synchronisations in the background, in seconds. A change takes effect at once."""
        return float(self._spool.get("sync_period_s", SYNC_PERIOD_S))

    @sync_period_s.setter
    def sync_period_s(self, period_s: float) -> None:
        if not 0 < period_s < threading.TIMEOUT_MAX:
            raise ValueError(f"the period has to be a positive number of seconds, not {period_s!r}")
        self._spool.set(sync_period_s=float(period_s))
        background = self._background
        if background is not None:
            background.period_changed()

    @property
    def last_sync_t(self) -> float:
        """When everything that waited was last acknowledged, in seconds since the Unix epoch; 0.0: never."""
        return float(self._unnoted.get("last_sync_t") or self._spool.get("last_sync_t", 0.0))

    @property
    def data(self) -> Any:
        """Any JSON value of your own, kept in the spool. Assign to it to change it; ``None`` becomes ``{}``."""
        return self._spool.get("data", {})

    @data.setter
    def data(self, data: Any) -> None:
        self._spool.set(data=msgspec.Raw(encode_value({} if data is None else data).encode()))

    @property
    def name(self) -> str:
        """The path of the device, ``user/device``. Asks the server unless it has told before.

        Raises:
            RequestError, ServerError, TransportError: the server did not tell.
        """
        return str(self._spool.get("device") or self._ask_device())

    @property
    def connectordb(self) -> ConnectorDB:
        """The client of the same device, on the same server."""
        from ..client import ConnectorDB  # the Logger itself needs only what is below it

        with self._state_lock:
            if self._connectordb is None:
                account = read_account(self._spool)
                self._connectordb = ConnectorDB(account.apikey, url=account.server_url)
            return self._connectordb

    def _forget_connectordb(self) -> None:
        with self._state_lock:
            self._connectordb = None  # not closed: whoever asked for it may be using it

    # Synchronising

    def ping(self) -> None:
        """Ask the server who this device is.

        Raises:
            Unauthenticated: the API key is no device's.
            RequestError, ServerError, TransportError: the server refused, failed, or did not answer.
        """
        self._ask_device()

    def sync(self) -> None:
        """Upload what waits, and return when that is done or has failed. Waits for a synchronisation under way.

        Afterwards `onsync` or `onsyncfail` is called. What went wrong is raised only if `syncraise` is set and there
        is no `onsyncfail`; it is always in the log and in `status`. Whatever it is, nothing is lost, and the next
        synchronisation goes on where this one ended.

        Raises:
            RequestError, ServerError, TransportError, SpoolError: as said.
        """
        error = self._sync_once(lambda: False)
        if error is None:
            if self.on_sync is not None:
                self.on_sync()
        elif self.on_sync_fail is not None:
            self.on_sync_fail(error)
        elif self.sync_raise:
            raise error

    def start(self) -> None:
        """Synchronise in the background: now, and then after each `sync_period_s`. Returns at once.

        After a failure it is tried again sooner, at random within a bound that doubles. What a callback raises, also
        `SystemExit`, is logged and ends nothing. Does nothing if it is running.

        Raises:
            SpoolError: the Logger is closed.
        """
        with self._state_lock:
            if self._closed:
                raise SpoolError("the Logger is closed")
            if self._background is None or not self._background.running:
                self._background = Background(self._sync_in_background, self._period_s)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End synchronising in the background.

        Waits for the upload under way, but at most *timeout_s* seconds; one that is not answered by then is left to
        itself. Its batch is sent again next time, and stored once.
        """
        with self._state_lock:
            background, self._background = self._background, None
        if background is not None:
            background.stop(timeout_s)

    def close(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End synchronising, as `stop`, and close the spool. What waits, waits on disk. May be called again."""
        self.stop(timeout_s)
        with self._state_lock:
            self._closed = True
            client, self._connectordb = self._connectordb, None
        if client is not None:
            client.close()
        self._spool.close()
        _living.discard(self)

    def status(self) -> Status:
        """Return how the Logger stands. No network is needed."""
        background = self._background
        next_in_s = background.next_in_s if background is not None else None
        unnoted = self._unnoted
        error = (unnoted["last_error"] if "last_error" in unnoted else self._spool.get("last_error")) or {}
        return Status(
            waiting=self._spool.waiting(),
            rejected=self._spool.count_rejected(),
            last_sync_t=self.last_sync_t,
            last_error=error.get("text"),
            last_error_t=error.get("t"),
            next_sync_t=None if next_in_s is None else self._clock() + next_in_s,
            running=background is not None and background.running,
            spool_bytes=self._spool.size_bytes,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _session(self, account: Account) -> Session:
        # Nothing is repeated below the rule of the uploader.
        return Session(
            self._transport(account.server_url), Credentials("", account.apikey), timeout_s=self._timeout_s, retries=0
        )

    def _ask_device(self) -> str:
        account = read_account(self._spool)
        session = self._session(account)
        try:
            path = own_path(session)
        finally:
            session.close()
        note_device(self._spool, account, path)
        return path

    def _sync_once(self, stopping: Callable[[], bool]) -> Exception | None:
        """Synchronise and return what went wrong."""
        with self._sync_lock:
            try:
                self._upload_with_reserve(stopping)
            except (ConnectorDBError, ValueError) as e:
                if not hasattr(e, "__notes__"):  # of a stream, the uploader has told
                    log.warning("%s: synchronising failed: %s", self._path, e)
                self._note(last_error={"text": _shown(e), "t": self._clock()})
                return e
            if not stopping():
                self._note(last_sync_t=self._clock(), last_error=None)
                self._reserve.make()
            return None

    def _upload_with_reserve(self, stopping: Callable[[], bool]) -> None:
        try:
            self._upload(stopping)
        except SpoolFull:
            if not self._reserve.release():
                raise
            log.warning("%s: the disk is full, uploading with the space that was reserved for it", self._path)
            self._upload(stopping)
            # Else SQLite's log would hold on to the space, and the next inserts would need more.
            self._spool.query("PRAGMA wal_checkpoint(PASSIVE)")

    def _upload(self, stopping: Callable[[], bool]) -> None:
        # A connection of its own: inserts do not wait for it, and it may outlive this Logger's closing. If the file
        # has been deleted under the Logger, that is an error, and not the beginning of a new one.
        self._spool.check_in_place()
        spool = Spool(self._path, synchronous="full", create=False)
        try:
            outbox = Outbox(spool, points_max=self._points_max, bytes_max=self._batch_bytes_max)
            account = None
            while account != (account := read_account(spool)):  # again if it was changed meanwhile
                session = self._session(account)
                try:
                    Uploader(
                        outbox, session, account, stopping=stopping, on_streams=self._load_streams, clock=self._clock
                    ).run()
                finally:
                    session.close()
                if stopping():
                    break
        finally:
            spool.close()

    def _note(self, **settings: Any) -> None:
        try:
            self._spool.set(**settings)
            self._unnoted = {}
        except SpoolError as e:  # full, or closed meanwhile: it is only for show
            self._unnoted = {**self._unnoted, **settings}
            log.warning("%s", e)

    def _sync_in_background(self, stopping: Callable[[], bool]) -> float | None:
        wish_s: float | None = None
        try:
            error = self._sync_once(stopping)
            if error is not None:
                details = error.details if isinstance(error, RequestError) else {}
                wish_s = max(0.0, float(details.get("retry_after_s", 0.0)))
                if self.on_sync_fail is not None:
                    self.on_sync_fail(error)
            elif self.on_sync is not None and not stopping():
                self.on_sync()
        except BaseException:
            # An error in a callback (`sys.exit` too ends no more than that), or one of ours: neither may end the
            # uploading.
            log.exception("%s: synchronising in the background", self._path)
            wish_s = wish_s or 0.0
        return wish_s

    def _period_s(self) -> float:
        try:
            return self.sync_period_s
        except (SpoolError, ValueError, TypeError):
            return SYNC_PERIOD_S  # closing, or somebody has been at the file

    def _find_stream(self, name: str) -> CheckedStream:
        self._load_streams()  # another process may have added it
        try:
            return self._streams[name]
        except KeyError:
            raise NotFound(f"the stream '{name}' was not added: call add_stream('{name}', schema) first") from None

    def _load_streams(self) -> None:
        if self._closed:
            return
        self._streams = {name: CheckedStream.of(stream) for name, stream in self._spool.streams().items()}

    def _after_fork(self) -> None:
        """In a child process: locks that nobody holds, and no thread. The spool sees to itself."""
        self._sync_lock = threading.Lock()
        self._state_lock = threading.Lock()
        self._background = None


_living: weakref.WeakSet[BaseLogger] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for logger in list(_living):
        logger._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _shown(e: BaseException) -> str:
    notes = "; ".join(getattr(e, "__notes__", ()))
    return f"{notes}: {e}" if notes else str(e)
