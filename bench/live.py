"""The measurements of what goes over websockets: inserts, and what subscribers are told."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Sequence
from statistics import mean

from .bare import ECHO, PUBLISH, SUBSCRIBE
from .callback import Callback
from .children import BareServer, Server, run_tasks
from .crowd import Crowd
from .exchange import basic, encode_request
from .fanout import FanOut, Listeners
from .floors import Rows
from .load import Load
from .logger import STREAM
from .pipeline import Pipeline
from .points import digest
from .timing import Timed, latencies_ms, percentile, rate
from .websocket import Dial, encode_frame
from .workbench import WARMUP_REQUESTS, Sample, Workbench, WrongResult, check_digest, stream_names

__all__ = ["LIVE"]

WEBSOCKET = "/api/v1/websocket"
UNDER_WAY = 64
SPREAD_CLIENTS = 4
SUBSCRIBERS = 200
PAUSE_1_S = 0.005
PAUSE_200_S = 0.01
FLOOR_SHARE = 4
"""So many times less is published through the bare server, which takes longer for it."""
SPARE_FILES = 100
"""What a process has open besides connections."""


def _dial(server: Server, login: str, subscribe_to: str = "") -> Dial:
    question = json.dumps({"cmd": "subscribe", "arg": subscribe_to, "id": "s"}) if subscribe_to else ""
    return Dial(server.host, server.port, WEBSOCKET, login, question.encode())


def _messages(bench: Workbench, path: str, n: int) -> list[bytes]:
    """Return the inserts of *n* datapoints, one in each."""
    head = b'{"cmd":"insert","arg":"%s","d":[' % path.encode()
    return [b'%s%s],"id":%d}' % (head, text, i) for i, text in enumerate(bench.points.texts[:n])]


def _path(device: str) -> str:
    return f"bench/{device}/{STREAM}"


def _pipelined(name: str, clients: int) -> Callable[[Workbench], dict[str, Sample]]:
    def measure(bench: Workbench) -> dict[str, Sample]:
        n = bench.sizes.pipelined_1 if clients == 1 else bench.sizes.pipelined_8
        devices = [f"device{i}" for i in range(clients)]
        messages = [_messages(bench, _path(device), n) for device in devices]
        before = bench.commits(bench.sizes.commits, "full")
        with bench.fresh() as path, Server(path) as server:
            dials = [_dial(server, basic("", server.create_device(device, STREAM))) for device in devices]
            timed = run_tasks(*map(_pipeline, dials, messages))
            stored = [server.read(device, STREAM) for device in devices]
        commits = mean([before, bench.commits(bench.sizes.commits, "full")])
        seen = check_digest(name, digest([bench.points.json(0, n)] * clients), stored)
        with BareServer() as bare:
            dial = Dial(bare.host, bare.port, ECHO, bare.login)
            # What it says comes back: answers, then, of which each is as long as ours.
            answers = [b'{"id":%d,"ok":true}\n' % i for i in range(n)]
            echoed = rate(run_tasks(*(_pipeline(dial, answers) for _ in devices)))
        return {name: Sample(rate(timed), {"commits": commits, "bare": echoed}, latencies_ms(timed), seen)}

    return measure


def _pipeline(dial: Dial, messages: list[bytes]) -> Pipeline:
    return Pipeline(dial, messages, UNDER_WAY)


def _spread(bench: Workbench) -> dict[str, Sample]:
    """Insert a datapoint into each of many streams, and again; there is no request that does it for all at once."""
    names = stream_names(bench.sizes.spread_streams)
    n = bench.sizes.spread_rounds
    texts = bench.points.texts[:n]
    with bench.fresh() as path:
        rows = rate(run_tasks(Rows(path, [[text] * len(names) for text in texts]))) * len(names)
    with bench.fresh() as path, Server(path) as server:
        devices = {f"device{i}": names[i::SPREAD_CLIENTS] for i in range(SPREAD_CLIENTS)}
        pipelines = []
        for device, streams in devices.items():
            login = basic("", server.create_device(device, *streams))
            several = [(f"bench/{device}/{stream}".encode(), text) for text in texts for stream in streams]
            form = b'{"cmd":"insert","arg":"%s","d":[%s],"id":%d}'
            messages = [form % (path, text, i) for i, (path, text) in enumerate(several)]
            pipelines.append(Pipeline(_dial(server, login), messages, UNDER_WAY))
        timed = run_tasks(*pipelines)
        sample = [(device, stream) for device, streams in devices.items() for stream in streams]
        sample = sample[:: max(1, len(sample) // 20)]
        stored = [server.read(*where) for where in sample]
    seen = check_digest("h", digest([bench.points.json(0, n)] * len(stored)), stored)
    return {"h": Sample(rate(timed), {"rows": rows}, latencies_ms(timed), seen)}


def _inserts(bench: Workbench, server: Server, login: str, n: int, pause_s: float) -> Load:
    target = server.data_target("device", STREAM)
    requests = [encode_request("POST", target, login, bench.points.json(i, i + 1)) for i in range(n)]
    warmup = [encode_request("GET", f"{target}?q=length", login)] * WARMUP_REQUESTS
    return Load(server.host, server.port, requests, warmup, pause_s=pause_s)


def _callback(bench: Workbench) -> dict[str, Sample]:
    n = bench.sizes.delivered_1
    with bench.fresh() as path, Server(path) as server:
        apikey = server.create_device("device", STREAM)
        load = _inserts(bench, server, basic("", apikey), n, PAUSE_1_S)
        [result] = run_tasks(Callback(server.url, apikey, STREAM, load))
    if len(result.heard) != n:
        raise WrongResult(f"i1: {n} inserts, but {len(result.heard)} callbacks")
    heard = json.dumps([{"t": t, "d": d} for t, d in result.points]).encode()
    seen = check_digest("i1", digest([bench.points.json(0, n)]), [heard])
    beyond = _delays_ms(result.answered, result.heard)
    whole = _delays_ms(result.sent, result.heard)
    return {
        "i1": Sample(percentile(beyond, 0.5), {}, beyond, seen),
        "i1p99": Sample(percentile(beyond, 0.99), {}, beyond, seen),
        "i1all": Sample(percentile(whole, 0.5), {}, whole, seen),
    }


def _delays_ms(starts: Sequence[float], ends: Sequence[float]) -> list[float]:
    """Return how long it took from each of *starts*; what ended before is 0."""
    return [max(0.0, end - start) * 1000 for start, end in zip(starts, ends, strict=True)]


def _listeners(bench: Workbench) -> dict[str, Sample]:
    n = bench.sizes.delivered_200
    with bench.fresh() as path, Server(path) as server:
        login = basic("", server.create_device("device", STREAM))
        subscriber = _dial(server, login, _path("device"))
        tail = bench.points.texts[n - 1]
        inserts = _inserts(bench, server, login, n, PAUSE_200_S)
        published, listened = run_tasks(inserts, Listeners(subscriber, SUBSCRIBERS, tail))
    seen = check_digest("i200", digest([bench.points.json(0, n)] * SUBSCRIBERS), listened.bodies)
    delays = _delays_ms(published.ended * SUBSCRIBERS, listened.ended)
    return {"i200": Sample(percentile(delays, 0.5), {}, delays, seen)}


def _fan_out(bench: Workbench) -> dict[str, Sample]:
    n, n_floor = bench.sizes.fanned, bench.sizes.fanned // FLOOR_SHARE
    with bench.fresh() as path, Server(path) as server:
        login = basic("", server.create_device("device", STREAM))
        frames = [encode_frame(message) for message in _messages(bench, _path("device"), n)]
        subscriber = _dial(server, login, _path("device"))
        tail = bench.points.texts[n - 1]
        [ours] = run_tasks(FanOut(subscriber, _dial(server, login), SUBSCRIBERS, frames, tail, UNDER_WAY, True))
    seen = check_digest("fan", digest([bench.points.json(0, n)] * SUBSCRIBERS), ours.bodies)
    with BareServer() as bare:
        subscriber, publisher = (Dial(bare.host, bare.port, target, bare.login) for target in (SUBSCRIBE, PUBLISH))
        frames = [encode_frame(_delivery(text, i)) for i, text in enumerate(bench.points.texts[:n_floor])]
        tail = bench.points.texts[n_floor - 1]
        [floor] = run_tasks(FanOut(subscriber, publisher, SUBSCRIBERS, frames, tail, UNDER_WAY, False))
    check_digest("the floor of fan", digest([bench.points.json(0, n_floor)] * SUBSCRIBERS), floor.bodies)
    return {"fan": Sample(_deliveries(ours, n), {"bare": _deliveries(floor, n_floor)}, digest=seen)}


def _delivery(text: bytes, i: int) -> bytes:
    """Return what the server sends of the datapoint *text*; not one byte may be missing in the floor."""
    return b'{"stream":"%s","i":%d,"cursor":"5.%d","data":[%s]}\n' % (_path("device").encode(), i, i + 1, text)


def _deliveries(timed: Timed, n: int) -> float:
    """Return how many a second there were from the first to the last, to all subscribers together."""
    return n * len(timed.ended) / (max(timed.ended) - min(timed.begun))


def _idle(bench: Workbench) -> dict[str, Sample]:
    n = _connections(bench.sizes.connections)
    with bench.fresh() as path, Server(path) as server:
        login = basic("", server.create_device("device", STREAM))
        request = encode_request("POST", server.data_target("device", STREAM), login, bench.points.json(0, 1))
        subscriber = _dial(server, login, _path("device"))
        [weight] = run_tasks(Crowd(subscriber, n, server.pid, request, bench.points.texts[0]))
    seen = check_digest("conn", digest([bench.points.json(0, 1)] * n), weight.bodies)
    return {"conn": Sample((weight.after - weight.before) / n / 1000, {}, digest=seen)}


def _connections(wanted: int) -> int:
    """Let this process and its children have so many files open; returns how many connections that allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + SPARE_FILES
    if hard == resource.RLIM_INFINITY or hard >= needed:
        if soft != resource.RLIM_INFINITY and soft < needed:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        return wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    possible = hard - SPARE_FILES
    print(f"conn: {possible:,} connections instead of {wanted:,}: no more files may be open (ulimit)", file=sys.stderr)
    return possible


LIVE: tuple[tuple[frozenset[str], Callable[[Workbench], dict[str, Sample]]], ...] = (
    (frozenset({"aw1"}), _pipelined("aw1", 1)),
    (frozenset({"aw8"}), _pipelined("aw8", 8)),
    (frozenset({"h"}), _spread),
    (frozenset({"i1", "i1p99", "i1all"}), _callback),
    (frozenset({"i200"}), _listeners),
    (frozenset({"fan"}), _fan_out),
    (frozenset({"conn"}), _idle),
)
"""Which figures each gives, and how."""
