"""Queries over HTTP: how long they take, what else is held up by them, how much memory they need."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, islice
from math import fsum, isclose
from statistics import median
from time import perf_counter
from urllib.parse import quote

from .children import Server, run_tasks
from .exchange import Connection, basic, encode_request
from .load import Load
from .points import START_S
from .timing import latencies_ms
from .workbench import BUCKET_S, WARMUP_REQUESTS, Sample, Workbench, WrongResult

__all__ = ["measure_memory", "measure_queries"]

STREAM = "temperature"
PATH = f"bench/device/{STREAM}"
ROWS = 1_000
PASSING = 0.45
QUERIES = 4
"""How many run at the same time beside inserts."""
BATCH_POINTS = 10_000
_POLL_S = 0.02
_LEAST_MB = 0.1


def _dataset(login: str, t1: float, t2: float, rows: int, interpolator: str) -> bytes:
    column = {"stream": PATH, "interpolator": interpolator, "allownil": True}
    query = {"t1": t1, "t2": t2, "dt": (t2 - t1) / rows, "dataset": {"y": column}}
    return encode_request("POST", "/api/v1/query/dataset", login, json.dumps(query).encode())


def measure_queries(bench: Workbench) -> dict[str, Sample]:
    """Insert the long stream, run queries over it, and insert while they run."""
    points = bench.points
    n = bench.sizes.stream_points
    times, values = points.t[:n], points.d[:n]
    with bench.fresh() as path, Server(path) as server:
        login = basic("", server.create_device("device", STREAM, "other"))
        target = server.data_target("device", STREAM)
        bounds = bench.batches(n // bench.sizes.batch_points)
        inserts = [encode_request("POST", target, login, points.json(*some)) for some in bounds]
        warmup = [encode_request("GET", f"{target}?q=length", login)] * WARMUP_REQUESTS
        run_tasks(Load(server.host, server.port, inserts, warmup))

        def ask(request: bytes) -> tuple[float, bytes]:
            """Return the milliseconds that it took as a rule, and the answer; the first time does not count."""
            requests = [request] * bench.sizes.repeated
            [timed] = run_tasks(Load(server.host, server.port, requests, [*warmup, request], keep=True))
            return median(latencies_ms([timed])), timed.bodies[0]

        plain, _ = ask(encode_request("GET", f"{target}?i1=0", login))
        samples: dict[str, Sample] = {}

        mean, body = ask(encode_request("GET", f"{target}?i1=0&transform={quote('mean | if last')}", login))
        total = 0.0
        for d in values:
            total += d
        samples["e"] = _checked("e", mean, plain, body, [(times[-1], total / n)])

        windows, body = ask(encode_request("GET", f"{target}?i1=0&every={BUCKET_S // 60}m", login))
        samples["f"] = _checked_windows(windows, plain, body, times, values)

        over = sorted(values)[int(n * (1 - PASSING))]
        some, body = ask(encode_request("GET", f"{target}?i1=0&transform={quote(f'if $ > {over!r}')}", login))
        passing = [(t, d) for t, d in zip(times, values, strict=True) if d > over]
        samples["qif"] = _checked("qif", some, plain, body, passing)

        t1, t2 = times[0] - 1, times[-1]
        table, body = ask(_dataset(login, t1, t2, ROWS, "mean"))
        found = [(row["t"], row["d"]["y"]) for row in json.loads(body)]
        samples["t"] = _checked("t", table, plain, None, _means(times, values, [t for t, _ in found]), found)
        if not ROWS <= len(found) <= ROWS + 1:
            raise WrongResult(f"t: {len(found)} rows instead of {ROWS}")

        samples["a1q"] = _inserts_beside_queries(bench, server, login, _dataset(login, t1, t2, ROWS, "mean"))
    return samples


def _checked(
    name: str,
    ms: float,
    plain_ms: float,
    body: bytes | None,
    expected: Sequence[tuple[float, float]],
    found: Sequence[tuple[float, float]] = (),
) -> Sample:
    if body is not None:
        found = [(point["t"], point["d"]) for point in json.loads(body)]
    return Sample(ms, {"plain": plain_ms}, digest=_digest_same(name, found, expected))


def _checked_windows(
    ms: float, plain_ms: float, body: bytes, times: Sequence[float], values: Sequence[float]
) -> Sample:
    windows: dict[float, list[float]] = {}
    for t, d in zip(times, values, strict=True):
        windows.setdefault(t // BUCKET_S * BUCKET_S, []).append(d)
    expected = [(t, fsum(d) / len(d), min(d), max(d)) for t, d in windows.items()]
    found = [(one["t"], one["d"]["mean"], one["d"]["min"], one["d"]["max"]) for one in json.loads(body)]
    return Sample(ms, {"plain": plain_ms}, digest=_digest_same("f", found, expected))


def _digest_same(name: str, found: Sequence[tuple[float, ...]], expected: Sequence[tuple[float, ...]]) -> str:
    """Return the digest of *found*. Raises `WrongResult` if it is not *expected*; sums may have been made otherwise."""
    numbers = zip(chain.from_iterable(found), chain.from_iterable(expected), strict=False)
    if len(found) != len(expected) or not all(isclose(one, other, rel_tol=1e-9) for one, other in numbers):
        raise WrongResult(f"{name}: {len(found)} datapoints or windows which are not the {len(expected)} expected")
    return sha256(repr([round(number, 6) for row in found for number in row]).encode()).hexdigest()[:12]


def _means(times: Sequence[float], values: Sequence[float], rows: Sequence[float]) -> list[tuple[float, float]]:
    """Return the mean of the values between one time and the next, up to it."""
    points = zip(times, values, strict=True)
    following = next(points, None)
    means = []
    for row in rows:
        total, n = 0.0, 0
        while following is not None and following[0] <= row:
            total += following[1]
            n += 1
            following = next(points, None)
        means.append((row, total / n if n else 0.0))
    return means


def _inserts_beside_queries(bench: Workbench, server: Server, login: str, query: bytes) -> Sample:
    target = server.data_target("device", "other")
    inserts = [
        encode_request("POST", target, login, bench.points.json(i, i + 1)) for i in range(bench.sizes.inserts_beside)
    ]
    queries = Load(server.host, server.port, [query] * bench.sizes.queries_beside, [])
    inserted, *queried = run_tasks(Load(server.host, server.port, inserts, []), *[queries] * QUERIES)
    until = min(timed.ended[-1] for timed in queried)
    latencies = [
        (e - b) * 1000 for b, e in zip(inserted.begun, inserted.ended, strict=True) if e <= until
    ] or latencies_ms([inserted])
    return Sample(len(latencies) / sum(latencies) * 1000, {}, latencies)


@dataclass
class _Count:
    """Asks one query, and counts the datapoints of the answer, without keeping it."""

    host: str
    port: int
    request: bytes

    def __call__(self, ready: Callable[[], None]) -> tuple[int, float]:
        """Connect, call *ready*, ask. Returns how many there are, and how many seconds it took."""
        connection = Connection(self.host, self.port)
        ready()
        begun = perf_counter()
        found = connection.count(self.request, b'{"t":')
        took = perf_counter() - begun
        connection.close()
        return found, took


@contextmanager
def _peak_mb(server: Server) -> Iterator[list[float]]:
    """Give a list that holds, after the block, the most resident memory there was in it, in 10^6 bytes."""
    peak = [server.memory_mb]
    over = threading.Event()

    def poll() -> None:
        while not over.wait(_POLL_S):
            peak[0] = max(peak[0], server.memory_mb)

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def measure_memory(bench: Workbench) -> dict[str, Sample]:
    """Insert a very long stream, and make tables of it."""
    n = bench.sizes.dataset_points
    samples = {}
    with bench.fresh() as path, Server(path) as server:
        login = basic("", server.create_device("device", STREAM))
        target = server.data_target("device", STREAM)
        texts = (b'{"t":%d.5,"d":%d.25}' % (START_S + i, i % 1000) for i in range(n))
        while some := list(islice(texts, BATCH_POINTS)):
            server.ask("POST", target, login, b"[" + b",".join(some) + b"]")
        before = server.memory_mb
        for name, rows in (("mset", ROWS), ("mrow", n)):
            request = _dataset(login, START_S, START_S + n, rows, "mean")
            with _peak_mb(server) as peak:
                [(found, seconds)] = run_tasks(_Count(server.host, server.port, request))
            if not rows <= found <= rows + 1:
                raise WrongResult(f"{name}: {found} rows instead of {rows}")
            samples[name] = Sample(max(_LEAST_MB, peak[0] - before), {})
            samples[f"{name}s"] = Sample(n / seconds, {})
    return samples
