"""How things are when much is stored: curves over the length of a stream, and over the number of streams.

python -m bench.growth --help
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import polars as pl

from .chart import Panel, draw
from .children import Server, run_tasks
from .exchange import basic, encode_request
from .load import Load
from .machine import describe, shown
from .points import JITTER_MS, START_S
from .timing import Timed, latencies_ms, percentile, rate
from .workbench import RANGE_POINTS, SEED, WARMUP_REQUESTS, WrongResult

__all__: list[str] = []

FOLDER = Path(".cache/bench")
OUT = Path(__file__).parent / "growth"
LENGTHS = (100_000, 1_000_000, 10_000_000)
LONG_LENGTH = 100_000_000
NUMBERS = (100, 1_000, 10_000, 100_000)
TINY_LENGTHS, TINY_NUMBERS = (2_000, 20_000), (4, 40)

FILL_POINTS = 100_000
"""In one request, when a stream is made longer: as many as `limits.insert_points_max` lets through."""
BATCH_POINTS = 5_000
BATCHES_MAX = 40
SHARE = 4
"""At most one part of so many is added by the batches that are measured."""
SINGLES = 1_000
RANGES = 400
THINNED = 5
THINNED_POINTS = 2_000
STREAM = "temperature"

STREAMS_A_DEVICE = 100
POINTS_A_STREAM = 3
CLIENTS = 4
SPREAD = 8_000
LOOKUPS = 1_000


class _Curve:
    """The stream that becomes longer and longer: the same whatever is measured in between."""

    def __init__(self) -> None:
        self.n = 0
        self._value = 2000.0
        self._rng = np.random.default_rng(SEED)

    def grow(self, n: int) -> bytes:
        """Return the next *n* datapoints as JSON: one a second, of two decimals."""
        t = START_S + np.arange(self.n, self.n + n) + self._rng.integers(0, JITTER_MS, n) / 1000
        steps = self._value + np.cumsum(self._rng.integers(-9, 10, n))
        self._value, self.n = float(steps[-1]), self.n + n
        return pl.DataFrame({"t": t, "d": steps / 100}).write_json().encode()


def grow_stream(path: Path, lengths: Sequence[int], *, tiny: bool) -> Iterator[dict[str, Any]]:
    """Make one stream longer and longer, over HTTP, and measure at each of *lengths*."""
    curve = _Curve()
    rng = random.Random(SEED)
    login, apikey, settled = "", "", 0
    for length in lengths:
        with Server(path) as server:
            if not login:
                apikey = server.create_device("device", STREAM)
                login = basic("", apikey)
            target = server.data_target("device", STREAM)
            begun, before = time.perf_counter(), curve.n
            while curve.n < length:
                server.ask("POST", target, login, curve.grow(min(FILL_POINTS, length - curve.n)))
            filled_s = time.perf_counter() - begun
            fill_rate = (curve.n - before) / filled_s
            length = curve.n
            full_mb = server.memory_mb
            settled = server.settled_bytes()
        with Server(path) as server:
            started = server.start_s
            warmup = [encode_request("GET", f"{target}?q=length", login)] * WARMUP_REQUESTS

            def send(requests: list[bytes], *, keep: bool = False, server: Server = server) -> Timed:
                [timed] = run_tasks(Load(server.host, server.port, requests, [], keep=keep))
                return timed

            send(warmup)
            plot = encode_request("GET", f"{target}?i1=0&points={THINNED_POINTS}", login)
            thinned = latencies_ms([send([plot] * (2 if tiny else THINNED))])
            plot_mb = server.memory_mb
            starts = [rng.randrange(length - RANGE_POINTS) for _ in range(20 if tiny else RANGES)]
            # Each datapoint has a second of its own, so its time stamp tells which one it is.
            bounds = [(START_S + start - 0.5, START_S + start + RANGE_POINTS - 0.5) for start in starts]
            timed = send([encode_request("GET", f"{target}?t1={t1}&t2={t2}", login) for t1, t2 in bounds], keep=True)
            _check_ranges(starts, timed.bodies)
            ranges = latencies_ms([timed])
            n = max(1, min(BATCHES_MAX, length // SHARE // BATCH_POINTS))
            batches = send([encode_request("POST", target, login, curve.grow(BATCH_POINTS)) for _ in range(n)])
            n = 20 if tiny else SINGLES
            singles = send([encode_request("POST", target, login, curve.grow(1)) for _ in range(n)])
            found = int(server.ask("GET", f"{target}?q=length", login))
            if found != curve.n:
                raise WrongResult(f"the stream has {found} datapoints instead of {curve.n}")
            yield {
                "points": length,
                "fill_points_per_s": fill_rate,
                "batch_points_per_s": rate([batches]) * BATCH_POINTS,
                "singles_per_s": rate([singles]),
                "single_p99_ms": percentile(latencies_ms([singles]), 0.99),
                "range_p50_ms": percentile(ranges, 0.5),
                "range_p99_ms": percentile(ranges, 0.99),
                "thinned_first_ms": thinned[0],
                "thinned_ms": median(thinned[1:]),
                "start_s": started,
                "filled_mb": full_mb,
                "thinned_mb": plot_mb,
                "memory_mb": server.memory_mb,
                "bytes_per_point": settled / length,
            }


def _check_ranges(starts: Sequence[int], bodies: Sequence[bytes]) -> None:
    for start, body in zip(starts, bodies, strict=True):
        found = [int(point["t"]) - START_S for point in json.loads(body)]
        if found != list(range(start, start + RANGE_POINTS)):
            raise WrongResult(f"a range from {start} on has {len(found)} datapoints which are not the right ones")


def grow_number(folder: Path, numbers: Sequence[int], *, tiny: bool) -> Iterator[dict[str, Any]]:
    """Make databases of *numbers* of streams with a few datapoints each, and measure in each."""
    rng = random.Random(SEED)
    for number in numbers:
        path = folder / f"streams{number}"
        names = [f"stream{i}" for i in range(min(number, STREAMS_A_DEVICE))]
        with Server(path) as server:
            begun = time.perf_counter()
            keys = {f"device{i}": server.create_device(f"device{i}", *names) for i in range(number // len(names))}
            created = time.perf_counter() - begun
            streams = [
                (server.data_target(device, name), basic("", key)) for device, key in keys.items() for name in names
            ]
            _at_once(server, [_few(target, login, 0, POINTS_A_STREAM) for target, login in streams])
            settled = server.settled_bytes()
        with Server(path) as server:
            started, idle = server.start_s, server.memory_mb
            chosen = [rng.choice(streams) for _ in range(20 if tiny else LOOKUPS)]
            looked_up = [encode_request("GET", f"{target}?i1=0", login) for target, login in chosen]
            [lookups] = run_tasks(Load(server.host, server.port, looked_up, looked_up[:1], keep=True))
            if any(len(json.loads(body)) != POINTS_A_STREAM for body in lookups.bodies):
                raise WrongResult(f"a stream does not have {POINTS_A_STREAM} datapoints")
            chosen = [rng.choice(streams) for _ in range(40 if tiny else SPREAD)]
            spread = _at_once(server, [_few(target, login, POINTS_A_STREAM, 1) for target, login in chosen])
            yield {
                "streams": number,
                "creates_per_s": number / created,
                "inserts_per_s": rate(spread),
                "lookup_p50_ms": percentile(latencies_ms([lookups]), 0.5),
                "lookup_p99_ms": percentile(latencies_ms([lookups]), 0.99),
                "start_s": started,
                "idle_mb": idle,
                "memory_mb": server.memory_mb,
                "bytes_per_stream": settled / number,
            }


def _few(target: str, login: str, i: int, n: int) -> bytes:
    """Return the insert of *n* datapoints from the one at index *i* on."""
    texts = [b'{"t":%d,"d":20.25}' % (START_S + j) for j in range(i, i + n)]
    return encode_request("POST", target, login, b"[" + b",".join(texts) + b"]")


def _at_once(server: Server, requests: Sequence[bytes]) -> list[Timed]:
    """Send *requests* over several connections."""
    several = [list(requests[i::CLIENTS]) for i in range(CLIENTS)]
    return run_tasks(*(Load(server.host, server.port, some, []) for some in several))


def picture(result: dict[str, Any]) -> str:
    """Return the curves of *result* as SVG."""
    stream, streams = result["stream"], result["streams"]

    def panel(title: str, rows: list[dict[str, Any]], x: str, **lines: str) -> Panel:
        across = "datapoints in one stream" if x == "points" else "streams in the database"
        named = {name.replace("_", " "): [(row[x], row[key]) for row in rows] for name, key in lines.items()}
        return Panel(title, across, named)

    panels = [
        panel(
            "Durable inserts, datapoints/s",
            stream,
            "points",
            batches_of_5000="batch_points_per_s",
            one_by_one="singles_per_s",
        ),
        panel("A range of 1,000 by time, ms", stream, "points", p50="range_p50_ms", p99="range_p99_ms"),
        panel("2,000 points of all, ms", stream, "points", first_time="thinned_first_ms", again="thinned_ms"),
        panel("Memory, MB", stream, "points", when_filled="filled_mb", after_reads_and_inserts="memory_mb"),
        panel("Disk, bytes a datapoint, settled", stream, "points", bytes="bytes_per_point"),
        panel("Start to first answer, s", stream, "points", seconds="start_s"),
        panel("Durable inserts, 4 clients, inserts/s", streams, "streams", spread_over_all="inserts_per_s"),
        panel("All of one stream, ms", streams, "streams", p50="lookup_p50_ms", p99="lookup_p99_ms"),
        panel("Memory, MB, and start, s", streams, "streams", MB="memory_mb", s="start_s"),
    ]
    machine = result["machine"]
    caption = (
        f"{result['command']}: ConnectorDB {machine['connectordb']}, commit {machine['commit']}, {machine['cpu']}, "
        f"{machine['cores']} cores, synchronous {machine['synchronous']}, load when it began {machine['load']}"
    )
    return draw("ConnectorDB: growth", caption, panels)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the figures and the picture."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.growth",
        description="Measure how inserts, reads, memory and disk are as a stream grows longer (100,000 to 10,000,000 "
        "datapoints) and streams become more (100 to 100,000). All goes over HTTP; the stream is filled in requests of "
        "100,000 datapoints.",
    )
    parser.add_argument("--tiny", action="store_true", help="with next to no data: shows that it works")
    parser.add_argument("--long", action="store_true", help="up to 100,000,000 datapoints, too; about ten minutes more")
    parser.add_argument("--points", nargs="*", type=int, metavar="N", help="these lengths of a stream instead")
    parser.add_argument("--streams", nargs="*", type=int, metavar="N", help="these numbers of streams instead")
    parser.add_argument(
        "--out", type=Path, metavar="NAME", default=OUT, help="write NAME.json and NAME.svg; default bench/growth"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to work; default %(default)s")
    given = parser.parse_args(arguments)
    lengths = TINY_LENGTHS if given.tiny else (*LENGTHS, LONG_LENGTH) if given.long else LENGTHS
    numbers = TINY_NUMBERS if given.tiny else NUMBERS
    lengths = lengths if given.points is None else tuple(sorted(given.points))
    numbers = numbers if given.streams is None else tuple(sorted(given.streams))
    if any(length <= RANGE_POINTS for length in lengths):
        parser.error(f"--points: more than {RANGE_POINTS}")
    given.folder.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {
        "machine": describe(given.folder),
        "command": " ".join(["python -m bench.growth", *(sys.argv[1:] if arguments is None else arguments)]),
        "begun": time.time(),
        "tiny": given.tiny,
        "stream": [],
        "streams": [],
    }
    print(shown(result["machine"]))
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="growth-") as made:
        folder = Path(made)
        curves = (
            ("stream", grow_stream(folder / "long", lengths, tiny=given.tiny)),
            ("streams", grow_number(folder, numbers, tiny=given.tiny)),
        )
        for name, rows in curves:
            for row in rows:
                print(", ".join(f"{key} {value:,.4g}" for key, value in row.items()), flush=True)
                result[name].append(row)
    given.out.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
    given.out.with_suffix(".svg").write_text(picture(result), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
