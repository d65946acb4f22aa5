"""Thinning and statistics of windows over HTTP: milliseconds, and memory while it runs.

python -m bench.reductions [DATAPOINTS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from .children import Server
from .exchange import basic
from .points import START_S
from .queries import BATCH_POINTS, STREAM, _peak_mb

__all__: list[str] = []

RUNS = 3
ASKED = (
    "points=2000",
    "every=1h",
    "every=1h&stat=mean,min,max,stddev&zone=Europe/Amsterdam",
    "transform=count&points=2000",
)


def main(n: int) -> None:
    """Insert *n* datapoints, and print a line for each of `ASKED`."""
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder) / "db") as server:
        login = basic("", server.create_device("device", STREAM))
        target = server.data_target("device", STREAM)
        for start in range(0, n, BATCH_POINTS):
            some = range(start, min(n, start + BATCH_POINTS))
            texts = (b'{"t":%d.5,"d":%d.25}' % (START_S + i, i * 7919 % 1000) for i in some)
            server.ask("POST", target, login, b"[" + b",".join(texts) + b"]")
        before = server.memory_mb
        print(f"{n} datapoints; the server has {before:.0f} MB")
        for asked in ASKED:
            took = []
            with _peak_mb(server) as peak:
                for _ in range(RUNS):
                    begun = time.perf_counter()
                    answer = server.ask("GET", f"{target}?i1=0&{asked}", login)
                    took.append((time.perf_counter() - begun) * 1000)
            counted = answer.count(b'"t":')
            print(f"{asked}: {counted} datapoints in {sorted(took)[RUNS // 2]:.0f} ms, at most {peak[0]:.0f} MB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
