"""The measurements. Each gives one sample of one or several figures, and has checked that nothing is wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from statistics import mean
from typing import Literal

from .catalogue import GO_POINTS
from .children import BareServer, Server, run_tasks
from .exchange import basic, encode_request
from .floors import Ranges, Rows, Texts
from .frames import ClientFrame, digest_as_table
from .live import LIVE
from .load import Load
from .logger import STREAM, LoggerInserts
from .points import digest
from .queries import measure_memory, measure_queries
from .scripts import measure_scripts
from .sealing import measure_sealing
from .timing import latencies_ms, rate
from .workbench import RANGE_POINTS, SEED, WARMUP_REQUESTS, Sample, Workbench, WrongResult, check_digest

__all__ = ["SCENARIOS"]


def _insert(bench: Workbench, name: str, clients: int, bounds: list[tuple[int, int]]) -> tuple[float, Sample]:
    """Insert the points between *bounds*, a request each, into a stream for each client.

    Returns:
        Requests a second of bare uvicorn, and the sample, in requests a second.
    """
    bodies = [bench.points.json(*some) for some in bounds]
    with bench.fresh() as path, Server(path) as server:
        devices = [f"device{i}" for i in range(clients)]
        loads = []
        for device in devices:
            login = basic("", server.create_device(device, STREAM))
            target = server.data_target(device, STREAM)
            requests = [encode_request("POST", target, login, body) for body in bodies]
            warmup = [encode_request("GET", f"{target}?q=length", login)] * WARMUP_REQUESTS
            loads.append(Load(server.host, server.port, requests, warmup))
        timed = run_tasks(*loads)
        stored = [server.read(device, STREAM) for device in devices]
    expected = digest([bench.points.json(0, bounds[-1][1])] * clients)
    sample = Sample(rate(timed), {}, latencies_ms(timed), check_digest(name, expected, stored))
    return bench.bare([load.requests for load in loads]), sample


def _singles(name: str, clients: int) -> Callable[[Workbench], dict[str, Sample]]:
    def measure(bench: Workbench) -> dict[str, Sample]:
        n = bench.sizes.singles_1 if clients == 1 else bench.sizes.singles_8
        before = bench.commits(bench.sizes.commits, "full")
        bare, sample = _insert(bench, name, clients, [(i, i + 1) for i in range(n)])
        # The disk is not the same from one second to the next.
        commits = mean([before, bench.commits(bench.sizes.commits, "full")])
        sample.floors = {"commits": commits, "bare": bare}
        return {name: sample}

    return measure


def _batches(name: str, clients: int) -> Callable[[Workbench], dict[str, Sample]]:
    def measure(bench: Workbench) -> dict[str, Sample]:
        bounds = bench.batches(bench.sizes.batches_1 if clients == 1 else bench.sizes.batches_4)
        size = bench.sizes.batch_points
        with bench.fresh() as path:
            rows = rate(run_tasks(Rows(path, [bench.points.texts[start:stop] for start, stop in bounds])))
        bare, sample = _insert(bench, name, clients, bounds)
        sample.value *= size
        sample.floors = {"rows": rows * size, "bare": bare * size}
        return {name: sample}

    return measure


def _logged(name: str, synchronous: Literal["full", "normal"]) -> Callable[[Workbench], dict[str, Sample]]:
    def measure(bench: Workbench) -> dict[str, Sample]:
        n = bench.sizes.logged_full if synchronous == "full" else bench.sizes.logged_normal
        before = bench.commits(n, synchronous)
        with bench.fresh() as path, bench.fresh() as spool, Server(path) as server:
            apikey = server.create_device("device", STREAM)
            points = list(zip(bench.points.t[:n], bench.points.d[:n], strict=True))
            timed = run_tasks(LoggerInserts(spool, points, synchronous, server.url, apikey))
            stored = server.read("device", STREAM)
        commits = mean([before, bench.commits(n, synchronous)])
        seen = check_digest(name, digest([bench.points.json(0, n)]), [stored])
        return {name: Sample(rate(timed), {"commits": commits}, latencies_ms(timed), seen)}

    return measure


def _login(bench: Workbench) -> dict[str, Sample]:
    requests = [encode_request("GET", "/api/v1/?q=this", Server.login)] * bench.sizes.logins
    bare = bench.bare([requests])
    with bench.fresh() as path, Server(path) as server:
        timed = run_tasks(Load(server.host, server.port, requests, requests[:WARMUP_REQUESTS], keep=True))
    if any(body != Server.whoami.encode() for body in timed[0].bodies):
        raise WrongResult(f"login: an answer is not {Server.whoami!r}")
    return {"login": Sample(rate(timed), {"bare": bare}, latencies_ms(timed))}


def _long_stream(bench: Workbench) -> dict[str, Sample]:
    """Insert the long stream, then read it as a whole and in random ranges."""
    points = bench.points
    n = bench.sizes.stream_points
    bounds = bench.batches(n // bench.sizes.batch_points)
    samples: dict[str, Sample] = {}
    with BareServer() as bare:
        whole = [encode_request("GET", f"/points/{n}", bare.login)]
        bare_whole = rate(run_tasks(Load(bare.host, bare.port, whole, whole))) * n
        bare_start, bare_memory = bare.start_s, bare.memory_mb
    with bench.fresh() as path, Server(path) as server:
        samples["start"] = Sample(server.start_s, {"bare": bare_start})
        samples["idle"] = Sample(server.memory_mb, {"bare": bare_memory})
        apikey = server.create_device("device", STREAM)
        login = basic("", apikey)
        target = server.data_target("device", STREAM)
        requests = [encode_request("POST", target, login, points.json(*some)) for some in bounds]
        run_tasks(Load(server.host, server.port, requests, []))
        samples["full"] = Sample(server.memory_mb, {"bare": bare_memory})
        warmup = [encode_request("GET", f"{target}?q=length", login)] * WARMUP_REQUESTS

        whole = [encode_request("GET", f"{target}?i1=0", login)]
        timed = run_tasks(Load(server.host, server.port, whole, warmup, keep=True))
        expected = digest([points.json(0, n)])
        samples["c"] = Sample(
            rate(timed) * n, {"bare": bare_whole}, digest=check_digest("c", expected, timed[0].bodies)
        )

        [frame] = run_tasks(ClientFrame(server.url, apikey, STREAM))
        if frame.digest != digest_as_table(points.head(n)):
            raise WrongResult("ca: the table is not that of the datapoints sent")
        samples["ca"] = Sample(n / frame.seconds, {}, digest=frame.digest)

        rng = random.Random(SEED)
        for name, clients, count in (("d1", 1, bench.sizes.ranges_1), ("d8", 8, bench.sizes.ranges_8)):
            starts = [rng.randrange(n - RANGE_POINTS) for _ in range(clients * count)]
            ranges = [points.bounds(start, start + RANGE_POINTS) for start in starts]
            requests = [encode_request("GET", f"{target}?t1={t1!r}&t2={t2!r}", login) for t1, t2 in ranges]
            lists = [requests[i::clients] for i in range(clients)]
            timed = run_tasks(*(Load(server.host, server.port, some, warmup, keep=True) for some in lists))
            order = [start for i in range(clients) for start in starts[i::clients]]
            expected = digest([points.json(start, start + RANGE_POINTS) for start in order])
            seen = check_digest(name, expected, [body for one in timed for body in one.bodies])
            floors = {"bare": bench.bare(lists), "ranges": _ranges_floor(bench, ranges, starts)}
            samples[name] = Sample(rate(timed), floors, latencies_ms(timed), seen)

        samples["g"] = Sample(server.settled_bytes() / n, {})
    samples["c"].floors["texts"] = _texts_floor(bench, bounds)
    return samples


def _ranges_floor(bench: Workbench, ranges: list[tuple[float, float]], starts: list[int]) -> float:
    points = bench.points
    n = bench.sizes.stream_points
    rows = [(t, text.decode()) for t, text in zip(points.t[:n], points.texts[:n], strict=True)]
    with bench.fresh() as path:
        timed = run_tasks(Ranges(path, rows, ranges))
    check_digest("ranges", digest([points.json(start, start + RANGE_POINTS) for start in starts]), timed[0].bodies)
    return rate(timed)


def _texts_floor(bench: Workbench, bounds: list[tuple[int, int]]) -> float:
    texts = [bench.points.json(*some)[1:-1] for some in bounds]
    with bench.fresh() as path:
        timed = run_tasks(Texts(path, texts))
    n = bench.sizes.stream_points
    check_digest("texts", digest([bench.points.json(0, n)]), timed[0].bodies)
    return rate(timed) * n


SCENARIOS: tuple[tuple[frozenset[str], Callable[[Workbench], dict[str, Sample]]], ...] = (
    (frozenset({"a1"}), _singles("a1", 1)),
    (frozenset({"a8"}), _singles("a8", 8)),
    *LIVE,
    (frozenset({"b1"}), _batches("b1", 1)),
    (frozenset({"b4"}), _batches("b4", 4)),
    (frozenset({"lf"}), _logged("lf", "full")),
    (frozenset({"ln"}), _logged("ln", "normal")),
    (frozenset({"login"}), _login),
    (frozenset({*(f"p{i}" for i in range(1, len(GO_POINTS) + 1)), "pall", "pcol"}), measure_scripts),
    (frozenset({"seal"}), measure_sealing),
    (frozenset({"mset", "msets", "mrow", "mrows"}), measure_memory),
    (frozenset({"e", "f", "qif", "t", "a1q"}), measure_queries),
    (frozenset({"start", "idle", "full", "c", "ca", "d1", "d8", "g"}), _long_stream),
)
"""Which figures each gives, and how."""
