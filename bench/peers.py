"""Other databases that may be on this machine: started on a folder of their own, asked for the same work as ours."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import msgspec

from .catalogue import INFLUXDB, VICTORIAMETRICS
from .children import ROOT, WAIT_S, Serving, size_on_disk
from .exchange import encode_request
from .points import Points

__all__ = ["Bucket", "InfluxDB", "Peer", "PeerError", "Read", "TimeSeries", "VictoriaMetrics", "free_port", "said"]

_POLL_S = 0.01
_SETTLED_S = 3.0
_SETTLE_MAX_S = 120.0
_ANY = "Accept: */*"
_MSGPACK = "Accept: application/x-msgpack"

Read = list[tuple[int, float]]
"""Time stamps in milliseconds, and values."""
Bucket = tuple[int, float, float, float]
"""By what time in milliseconds it is called; mean, least and greatest of the values."""


class PeerError(Exception):
    """Another database that is on this machine does not start."""


class Peer(Serving):
    """Another database, until the end of the ``with`` block.

    Attributes:
        key: In `PEERS`.
        program: What has to be on the path.
        durable: Whether an insert is synced to disk before the answer.
    """

    key: ClassVar[str]
    program: ClassVar[str]
    durable: ClassVar[bool]

    def __init__(self, path: Path) -> None:
        path.mkdir(exist_ok=True)
        self.path = path
        self._log = path.with_suffix(".log")
        self._start(self.command(settle=False))

    @classmethod
    def is_installed(cls) -> bool:
        """Whether it is on this machine."""
        return shutil.which(cls.program) is not None

    @classmethod
    def version(cls) -> str:
        """Return its name and version, as far as it tells."""
        raise NotImplementedError

    def command(self, *, settle: bool) -> list[str]:
        """Return how to run it on a free port, which is noted; *settle*: so that it puts its files in order soon."""
        raise NotImplementedError

    def alive(self) -> None:
        """Ask something. Raises `OSError` if it does not answer."""
        raise NotImplementedError

    def settled_bytes(self) -> int:
        """Have the files put in order, and return what they take; it is started anew for that, and afterwards."""
        self.stop()
        self._start(self.command(settle=True))
        self._put_in_order()
        sizes = [size_on_disk(self.path)]
        still_s = 0.0
        deadline = time.monotonic() + _SETTLE_MAX_S
        while still_s < _SETTLED_S and time.monotonic() < deadline:
            time.sleep(0.5)
            sizes.append(size_on_disk(self.path))
            still_s = still_s + 0.5 if sizes[-1] == sizes[-2] else 0.0
        self.stop()
        size = size_on_disk(self.path)
        self._start(self.command(settle=False))
        return size

    def _put_in_order(self) -> None:
        pass

    def user(self) -> str | None:
        """Return as whom it runs; ``None``: as whoever runs the benchmark."""
        return None

    def _start(self, command: list[str]) -> None:
        with self._log.open("ab") as log:
            begun = time.perf_counter()
            self._process = subprocess.Popen(command, cwd=self.path, user=self.user(), stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + WAIT_S
            while True:
                try:
                    self.alive()
                    break
                except OSError:
                    if time.monotonic() > deadline or self._process.poll() is not None:
                        tail = self._log.read_text(errors="replace")[-3000:]
                        raise PeerError(f"{self.program} did not start:\n{tail}") from None
                    time.sleep(_POLL_S)
        except BaseException:
            self.stop()
            raise
        self.start_s = time.perf_counter() - begun


class TimeSeries(Peer):
    """A database of time series, which is talked to over HTTP. Each stream is a series of its own.

    Attributes:
        told_by_end: Whether a window is called by its end, which then belongs to it and its start does not.
    """

    told_by_end: ClassVar[bool] = False

    def insert(self, stream: str, points: Points, start: int, stop: int) -> bytes:
        """Return the request that inserts the datapoints ``[start, stop)``."""
        raise NotImplementedError

    def insert_everywhere(self, streams: Iterable[str], points: Points, i: int) -> bytes:
        """Return the request that inserts datapoint *i* into all of *streams*."""
        raise NotImplementedError

    def whole(self, stream: str) -> bytes:
        """Return the request for all datapoints, in its fastest form of JSON."""
        raise NotImplementedError

    def binary(self, stream: str) -> bytes:
        """Return the request for all datapoints, in the form that is fastest to be made a table of in Python."""
        raise NotImplementedError

    def between(self, stream: str, t1: float, t2: float) -> bytes:
        """Return the request for the datapoints with ``t1 < t <= t2``, in seconds."""
        raise NotImplementedError

    def mean(self, stream: str, points: Points) -> bytes:
        """Return the request for the mean of *points*, all of the stream."""
        raise NotImplementedError

    def buckets(self, stream: str, points: Points, size_s: int) -> bytes:
        """Return the request for mean, min and max of windows of *size_s* seconds of *points*, all of the stream."""
        raise NotImplementedError

    @staticmethod
    def read(body: bytes) -> Read:
        """Return the datapoints in an answer."""
        raise NotImplementedError

    @staticmethod
    def read_mean(body: bytes) -> float:
        """Return the mean in an answer."""
        raise NotImplementedError

    @staticmethod
    def read_buckets(body: bytes) -> list[Bucket]:
        """Return the windows in an answer."""
        raise NotImplementedError

    def flush(self) -> None:
        """Make what was inserted visible to queries."""


class _Series(msgspec.Struct):
    values: list[tuple[int, float]] = []


class _Statement(msgspec.Struct):
    series: list[_Series] = []
    error: str = ""


class _Results(msgspec.Struct):
    results: list[_Statement]


class _Windows(msgspec.Struct):
    values: list[Bucket] = []


class _WindowsStatement(msgspec.Struct):
    series: list[_Windows] = []


class _WindowsResults(msgspec.Struct):
    results: list[_WindowsStatement]


_influxdb_points = msgspec.json.Decoder(_Results)
_influxdb_windows = msgspec.json.Decoder(_WindowsResults)


class InfluxDB(TimeSeries):
    """InfluxDB 1.x: its write-ahead log is synced before each answer, as its defaults are."""

    key = INFLUXDB
    program = "influxd"
    durable = True

    @classmethod
    def version(cls) -> str:
        """Return its name and version, as far as it tells."""
        return said("influxd", "version").partition(" (")[0]

    def command(self, *, settle: bool) -> list[str]:
        """Return how to run it: without logs of requests, which ours has, and without figures about itself."""
        self.port = free_port()
        soon = 'cache-snapshot-write-cold-duration = "1s"\ncompact-full-write-cold-duration = "1s"\n'
        config = self.path.with_suffix(".conf")
        config.write_text(
            f'reporting-disabled = true\nbind-address = "{self.host}:{free_port()}"\n'
            f'[meta]\ndir = "{self.path.resolve()}/meta"\n'
            f'[data]\ndir = "{self.path.resolve()}/data"\nwal-dir = "{self.path.resolve()}/wal"\n'
            f"query-log-enabled = false\nmax-series-per-database = 0\n{soon if settle else ''}"
            "[monitor]\nstore-enabled = false\n"
            f'[http]\nbind-address = "{self.host}:{self.port}"\nlog-enabled = false\nmax-body-size = 0\n'
        )
        return [self.program, "run", "-config", str(config)]

    def alive(self) -> None:
        """Create the database if there is none. Raises `OSError` if it does not answer."""
        self.ask("POST", f"/query?q={quote('CREATE DATABASE bench')}", _ANY, b"")

    def insert(self, stream: str, points: Points, start: int, stop: int) -> bytes:
        """Return the request that inserts the datapoints ``[start, stop)``."""
        return self._write(_lines(stream, points, start, stop))

    def insert_everywhere(self, streams: Iterable[str], points: Points, i: int) -> bytes:
        """Return the request that inserts datapoint *i* into all of *streams*."""
        return self._write("\n".join(_lines(stream, points, i, i + 1) for stream in streams))

    def whole(self, stream: str) -> bytes:
        """Return the request for all datapoints: in chunks, which is faster than without."""
        return self._query(f"SELECT value FROM m WHERE s='{stream}'", "&chunked=true")

    def binary(self, stream: str) -> bytes:
        """Return the request for all datapoints, as msgpack."""
        return self._query(f"SELECT value FROM m WHERE s='{stream}'", header=_MSGPACK)

    def between(self, stream: str, t1: float, t2: float) -> bytes:
        """Return the request for the datapoints with ``t1 < t <= t2``, in seconds."""
        return self._query(f"SELECT value FROM m WHERE s='{stream}' AND time > {_ms(t1)}ms AND time <= {_ms(t2)}ms")

    def mean(self, stream: str, points: Points) -> bytes:
        """Return the request for the mean of *points*, all of the stream."""
        return self._query(f"SELECT mean(value) FROM m WHERE s='{stream}'")

    def buckets(self, stream: str, points: Points, size_s: int) -> bytes:
        """Return the request for mean, min and max of windows of *size_s* seconds of *points*, all of the stream."""
        return self._query(
            f"SELECT mean(value), min(value), max(value) FROM m WHERE s='{stream}' AND time >= {_ms(points.t[0])}ms "
            f"AND time <= {_ms(points.t[-1])}ms GROUP BY time({size_s}s)"
        )

    @staticmethod
    def read(body: bytes) -> Read:
        """Return the datapoints in an answer."""
        found: Read = []
        for results in _influxdb_points.decode_lines(body):
            for statement in results.results:
                if statement.error:
                    raise OSError(f"InfluxDB says {statement.error!r}")
                for series in statement.series:
                    found += series.values
        return found

    @staticmethod
    def read_mean(body: bytes) -> float:
        """Return the mean in an answer."""
        return InfluxDB.read(body)[0][1]

    @staticmethod
    def read_buckets(body: bytes) -> list[Bucket]:
        """Return the windows in an answer."""
        [statement] = _influxdb_windows.decode(body).results
        return statement.series[0].values

    def _write(self, lines: str) -> bytes:
        return encode_request("POST", "/write?db=bench&precision=ms", _ANY, lines.encode())

    def _query(self, query: str, more: str = "", header: str = _ANY) -> bytes:
        return encode_request("GET", f"/query?db=bench&epoch=ms&q={quote(query)}{more}", header)


class _Labels(msgspec.Struct):
    s: str = ""
    rollup: str = ""


class _Exported(msgspec.Struct):
    values: list[float]
    timestamps: list[int]


class _Rolled(msgspec.Struct):
    metric: _Labels
    values: list[tuple[int, str]] = []
    value: tuple[int, str] = (0, "")


class _Data(msgspec.Struct):
    result: list[_Rolled]


class _Answer(msgspec.Struct):
    data: _Data


_exported = msgspec.json.Decoder(_Exported)
_answer = msgspec.json.Decoder(_Answer)


class VictoriaMetrics(TimeSeries):
    """VictoriaMetrics on its own: it answers first, and writes within the next seconds."""

    key = VICTORIAMETRICS
    program = "victoria-metrics"
    durable = False
    told_by_end = True

    @classmethod
    def version(cls) -> str:
        """Return its name and version; Debian's program does not know it, its package does."""
        version = said(cls.program, "-version") or said("dpkg-query", "-W", "-f", "${Version}", cls.program)
        return f"VictoriaMetrics {version or 'of unknown version'}"

    def command(self, *, settle: bool) -> list[str]:
        """Return how to run it: as its defaults are, but that data is kept."""
        self.port = free_port()
        path = self.path.resolve()
        listen = f"-httpListenAddr={self.host}:{self.port}"
        return [self.program, f"-storageDataPath={path}", listen, "-retentionPeriod=100y", "-loggerLevel=ERROR"]

    def alive(self) -> None:
        """Ask whether it is there. Raises `OSError` if it does not answer."""
        self.ask("GET", "/health", _ANY)

    def insert(self, stream: str, points: Points, start: int, stop: int) -> bytes:
        """Return the request that inserts the datapoints ``[start, stop)``, as InfluxDB's lines."""
        return self._write(_lines(stream, points, start, stop))

    def insert_json(self, stream: str, points: Points, start: int, stop: int) -> bytes:
        """Return the same in its own JSON."""
        times = [_ms(t) for t in points.t[start:stop]]
        line = {
            "metric": {"__name__": "m_value", "s": stream},
            "values": list(points.d[start:stop]),
            "timestamps": times,
        }
        return encode_request("POST", "/api/v1/import", _ANY, msgspec.json.encode(line))

    def insert_everywhere(self, streams: Iterable[str], points: Points, i: int) -> bytes:
        """Return the request that inserts datapoint *i* into all of *streams*."""
        return self._write("\n".join(_lines(stream, points, i, i + 1) for stream in streams))

    def whole(self, stream: str) -> bytes:
        """Return the request for all datapoints."""
        return encode_request("GET", f"/api/v1/export?match[]={_series(stream)}", _ANY)

    def binary(self, stream: str) -> bytes:
        """Return the request for all datapoints: in JSON, since nothing in Python reads its own blocks."""
        return self.whole(stream)

    def between(self, stream: str, t1: float, t2: float) -> bytes:
        """Return the request for the datapoints with ``t1 < t <= t2``, in seconds."""
        target = f"/api/v1/export?match[]={_series(stream)}&start={(_ms(t1) + 1) / 1000!r}&end={_ms(t2) / 1000!r}"
        return encode_request("GET", target, _ANY)

    def mean(self, stream: str, points: Points) -> bytes:
        """Return the request for the mean of *points*, all of the stream."""
        length = int(points.t[-1] - points.t[0]) + 10
        query = quote(f"avg_over_time(m_value{{s='{stream}'}}[{length}s])")
        return encode_request("GET", f"/api/v1/query?query={query}&time={int(points.t[-1]) + 1}&nocache=1", _ANY)

    def buckets(self, stream: str, points: Points, size_s: int) -> bytes:
        """Return the request for mean, min and max of windows of *size_s* seconds of *points*, all of the stream."""
        query = quote(f"rollup(m_value{{s='{stream}'}}[{size_s}s])")
        first = int(points.t[0]) // size_s * size_s + size_s
        last = int(points.t[-1]) // size_s * size_s + size_s
        target = f"/api/v1/query_range?query={query}&start={first}&end={last}&step={size_s}s&nocache=1"
        return encode_request("GET", target, _ANY)

    @staticmethod
    def read(body: bytes) -> Read:
        """Return the datapoints in an answer: its lines come in any order."""
        found: Read = []
        for line in _exported.decode_lines(body):
            found += zip(line.timestamps, line.values, strict=True)
        return sorted(found)

    @staticmethod
    def read_mean(body: bytes) -> float:
        """Return the mean in an answer."""
        [one] = _answer.decode(body).data.result
        return float(one.value[1])

    @staticmethod
    def read_buckets(body: bytes) -> list[Bucket]:
        """Return the windows in an answer."""
        several = {one.metric.rollup: one.values for one in _answer.decode(body).data.result}
        together = zip(several["avg"], several["min"], several["max"], strict=True)
        return [(t * 1000, float(mean), float(low), float(high)) for (t, mean), (_, low), (_, high) in together]

    def flush(self) -> None:
        """Make what was inserted visible to queries."""
        self.ask("GET", "/internal/force_flush", _ANY)

    def _put_in_order(self) -> None:
        self.ask("GET", "/internal/force_merge", _ANY)

    def _write(self, lines: str) -> bytes:
        return encode_request("POST", "/write?precision=ms", _ANY, lines.encode())


def free_port() -> int:
    """Return a port on which nobody listens now."""
    with socket.create_server((Serving.host, 0)) as listening:
        return int(listening.getsockname()[1])


def _lines(stream: str, points: Points, start: int, stop: int) -> str:
    some = zip(points.t[start:stop], points.d[start:stop], strict=True)
    return "\n".join([f"m,s={stream} value={d!r} {_ms(t)}" for t, d in some])


def _series(stream: str) -> str:
    return quote(f'm_value{{s="{stream}"}}')


def _ms(t: float) -> int:
    return round(t * 1000)


def said(*command: str) -> str:
    """Return what *command* prints, nothing if it is not there."""
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return ""
