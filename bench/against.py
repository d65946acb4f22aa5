"""The work of the other scenarios, done by another database that is on this machine, and checked there too."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from math import isclose
from statistics import median
from typing import Any

from .catalogue import VICTORIAMETRICS_JSON
from .children import run_tasks
from .frames import Frame, digest_as_table
from .load import Load
from .peers import Bucket, InfluxDB, Peer, Read, TimeSeries, VictoriaMetrics
from .points import Points
from .postgres import PostgreSQL, Statements
from .timing import Timed, latencies_ms, rate
from .workbench import (
    BUCKET_S,
    RANGE_POINTS,
    SEED,
    Workbench,
    WrongResult,
    stream_names,
)

__all__ = ["AGAINST", "Beside", "installed"]

Beside = dict[str, dict[str, float]]
"""What a peer came to: by figure, then by the key of the peer."""

STREAM = "temperature"
_DECIMALS = 6
_NEARLY = 1e-9


def _run(peer: TimeSeries, lists: Sequence[Sequence[bytes]], *, keep: bool = False, warm: bool = False) -> list[Timed]:
    """Send *lists* of requests, a client for each; *warm*: the first of them twice."""
    loads = (Load(peer.host, peer.port, list(some), list(some[:1]) if warm else [], keep=keep) for some in lists)
    return run_tasks(*loads)


def _check(name: str, found: Read, points: Points, start: int, stop: int) -> None:
    some = zip(points.t[start:stop], points.d[start:stop], strict=True)
    expected = [(round(t * 1000), round(d, _DECIMALS)) for t, d in some]
    if [(t, round(d, _DECIMALS)) for t, d in found] != expected:
        raise WrongResult(f"{name}: {len(found)} datapoints which are not the {len(expected)} expected")


def _inserted(
    bench: Workbench,
    name: str,
    kind: type[TimeSeries],
    clients: int,
    bounds: list[tuple[int, int]],
    request: Callable[[TimeSeries, str, int, int], bytes],
) -> float:
    """Insert the points between *bounds*, a request each, into a stream for each client; return requests a second."""
    with bench.fresh() as path, kind(path) as peer:
        streams = [f"{STREAM}{i}" for i in range(clients)]
        timed = _run(peer, [[request(peer, stream, *some) for some in bounds] for stream in streams])
        peer.flush()
        for stream in streams:
            body = peer.exchange(peer.whole(stream))
            _check(f"{kind.program}, {name}", peer.read(body), bench.points, 0, bounds[-1][1])
    return rate(timed)


def _plain(bench: Workbench) -> Callable[[TimeSeries, str, int, int], bytes]:
    return lambda peer, stream, start, stop: peer.insert(stream, bench.points, start, stop)


def _singles(bench: Workbench, kind: type[TimeSeries], name: str, clients: int) -> float:
    n = bench.sizes.singles_1 if clients == 1 else bench.sizes.singles_8
    return _inserted(bench, name, kind, clients, [(i, i + 1) for i in range(n)], _plain(bench))


def _single(bench: Workbench, kind: type[TimeSeries]) -> Beside:
    return {"a1": {kind.key: _singles(bench, kind, "a1", 1)}}


def _eight(bench: Workbench, kind: type[TimeSeries]) -> Beside:
    at_once = _singles(bench, kind, "a8", 8)
    return {"a8": {kind.key: at_once}, "aw8": {kind.key: at_once}}


def _batches(name: str, clients: int) -> Callable[[Workbench, type[TimeSeries]], Beside]:
    def measure(bench: Workbench, kind: type[TimeSeries]) -> Beside:
        bounds = bench.batches(bench.sizes.batches_1 if clients == 1 else bench.sizes.batches_4)
        size = bench.sizes.batch_points
        beside = {kind.key: _inserted(bench, name, kind, clients, bounds, _plain(bench)) * size}
        if issubclass(kind, VictoriaMetrics):
            in_json = _inserted(bench, name, kind, clients, bounds, _json(bench))
            beside[VICTORIAMETRICS_JSON] = in_json * size
        return {name: beside}

    return measure


def _json(bench: Workbench) -> Callable[[TimeSeries, str, int, int], bytes]:
    def request(peer: TimeSeries, stream: str, start: int, stop: int) -> bytes:
        assert isinstance(peer, VictoriaMetrics)
        return peer.insert_json(stream, bench.points, start, stop)

    return request


def _rounds(bench: Workbench, kind: type[TimeSeries]) -> Beside:
    """Insert a datapoint into each of many streams, in one request, and again."""
    streams = stream_names(bench.sizes.spread_streams)
    with bench.fresh() as path, kind(path) as peer:
        n = bench.sizes.spread_rounds
        timed = _run(peer, [[peer.insert_everywhere(streams, bench.points, i) for i in range(n)]])
        peer.flush()
        for stream in streams[:: max(1, len(streams) // 20)]:
            _check(f"{kind.program}, h", peer.read(peer.exchange(peer.whole(stream))), bench.points, 0, n)
    return {"h": {kind.key: rate(timed) * len(streams)}}


def _long_stream(bench: Workbench, kind: type[TimeSeries]) -> Beside:
    """Insert the long stream, then read it in every way."""
    n = bench.sizes.stream_points
    points = bench.points.head(n)
    beside: dict[str, float] = {}
    with bench.fresh() as path, kind(path) as peer:
        beside["start"], beside["idle"] = peer.start_s, peer.memory_mb
        bounds = bench.batches(n // bench.sizes.batch_points)
        _run(peer, [[peer.insert(STREAM, points, *some) for some in bounds]])
        peer.flush()
        beside["full"] = peer.memory_mb
        # Only then it is read, as it is as fast as can be when its files are in order.
        beside["g"] = peer.settled_bytes() / n

        [timed] = _run(peer, [[peer.whole(STREAM)]], keep=True, warm=True)
        _check(f"{kind.program}, c", peer.read(timed.bodies[0]), points, 0, n)
        beside["c"] = rate([timed]) * n
        [frame] = run_tasks(Frame(peer.host, peer.port, peer.binary(STREAM), kind.key))
        if frame.digest != digest_as_table(points):
            raise WrongResult(f"{kind.program}, ca: the table is not that of the datapoints sent")
        beside["ca"] = n / frame.seconds

        rng = random.Random(SEED)
        for name, clients, count in (("d1", 1, bench.sizes.ranges_1), ("d8", 8, bench.sizes.ranges_8)):
            starts = [rng.randrange(n - RANGE_POINTS) for _ in range(clients * count)]
            requests = [peer.between(STREAM, *points.bounds(start, start + RANGE_POINTS)) for start in starts]
            several = _run(peer, [requests[i::clients] for i in range(clients)], keep=True, warm=True)
            order = [start for i in range(clients) for start in starts[i::clients]]
            for start, body in zip(order, (body for one in several for body in one.bodies), strict=True):
                _check(f"{kind.program}, {name}", peer.read(body), points, start, start + RANGE_POINTS)
            beside[name] = rate(several)

        repeated = bench.sizes.repeated
        [timed] = _run(peer, [[peer.mean(STREAM, points)] * repeated], keep=True, warm=True)
        if not isclose(peer.read_mean(timed.bodies[0]), sum(points.d) / n, rel_tol=_NEARLY):
            raise WrongResult(f"{kind.program}, e: {peer.read_mean(timed.bodies[0])} is not the mean")
        beside["e"] = median(latencies_ms([timed]))
        [timed] = _run(peer, [[peer.buckets(STREAM, points, BUCKET_S)] * repeated], keep=True, warm=True)
        _check_windows(kind, peer.read_buckets(timed.bodies[0]), points)
        beside["f"] = median(latencies_ms([timed]))
    return {name: {kind.key: value} for name, value in beside.items()}


def _check_windows(kind: type[TimeSeries], found: list[Bucket], points: Points) -> None:
    windows: dict[int, list[float]] = {}
    for t, d in zip(points.t, points.d, strict=True):
        ms, size = round(t * 1000), BUCKET_S * 1000
        window = -(-ms // size) * size if kind.told_by_end else ms // size * size
        windows.setdefault(window, []).append(d)
    expected = [(t, sum(d) / len(d), min(d), max(d)) for t, d in windows.items()]
    right = len(found) == len(expected) and all(
        isclose(a, b, rel_tol=_NEARLY)
        for one, other in zip(found, expected, strict=True)
        for a, b in zip(one, other, strict=True)
    )
    if not right:
        raise WrongResult(f"{kind.program}, f: {len(found)} windows which are not the {len(expected)} expected")


def _rows(name: str, clients: int) -> Callable[[Workbench, type[PostgreSQL]], Beside]:
    def measure(bench: Workbench, kind: type[PostgreSQL]) -> Beside:
        n = bench.sizes.singles_1 if clients == 1 else bench.sizes.singles_8
        points = list(zip(bench.points.t[:n], bench.points.d[:n], strict=True))
        with bench.fresh() as path, kind(path) as peer:
            streams = [f"{STREAM}{i}" for i in range(clients)]
            timed = run_tasks(*(Statements(peer.host, peer.port, stream, points) for stream in streams))
            for stream in streams:
                _check(f"{kind.program}, {name}", peer.stored(stream), bench.points, 0, n)
        return {name: {kind.key: rate(timed)}}

    return measure


_OVER_HTTP = (
    (frozenset({"a1"}), _single),
    (frozenset({"a8", "aw8"}), _eight),
    (frozenset({"b1"}), _batches("b1", 1)),
    (frozenset({"b4"}), _batches("b4", 4)),
    (frozenset({"h"}), _rounds),
    (frozenset({"start", "idle", "full", "c", "ca", "d1", "d8", "e", "f", "g"}), _long_stream),
)
AGAINST: dict[type[Peer], tuple[tuple[frozenset[str], Callable[[Workbench, Any], Beside]], ...]] = {
    InfluxDB: _OVER_HTTP,
    VictoriaMetrics: _OVER_HTTP,
    PostgreSQL: ((frozenset({"a1"}), _rows("a1", 1)), (frozenset({"a8"}), _rows("a8", 8))),
}
"""The databases that the benchmarks know how to run; which figures are compared with each, and how."""


def installed() -> list[type[Peer]]:
    """Return those that are on this machine."""
    return [peer for peer in AGAINST if peer.is_installed()]
