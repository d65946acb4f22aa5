"""What the background sealer does to inserts."""

from __future__ import annotations

import re

from .children import Server, run_tasks
from .exchange import basic, encode_request
from .load import Load
from .points import digest
from .timing import latencies_ms, percentile
from .workbench import SEALED_POINTS, WARMUP_REQUESTS, Sample, Workbench, WrongResult, check_digest

__all__ = ["measure_sealing"]

SLOW, FAST = "slow", "fast"
PAUSE_S = 0.005
"""Between the batches: so that there are as many of them with the sealer as without."""
_SEALED = re.compile(rb"^connectordb_points_sealed_total (\S+)", re.MULTILINE)


def measure_sealing(bench: Workbench) -> dict[str, Sample]:
    """Insert single datapoints while batches are inserted too, with the sealer and without."""
    sealed, seen = _latencies(bench, seal=True)
    unsealed, other = _latencies(bench, seal=False)
    if seen != other:
        raise WrongResult(f"seal: what is read back has the digest {seen}, without the sealer {other}")
    floors = {"unsealed": percentile(unsealed, 0.99)}
    return {"seal": Sample(percentile(sealed, 0.99), floors, sealed, seen)}


def _latencies(bench: Workbench, *, seal: bool) -> tuple[list[float], str]:
    points = bench.points
    bounds = [(i * SEALED_POINTS, (i + 1) * SEALED_POINTS) for i in range(bench.sizes.sealed_batches)]
    n = bench.sizes.sealed_singles
    with bench.fresh() as path, Server(path, {"CONNECTORDB_STORE__SEAL": str(seal).lower()}) as server:
        login = basic("", server.create_device("device", SLOW, FAST))
        slow, fast = (server.data_target("device", stream) for stream in (SLOW, FAST))
        singles = [encode_request("POST", slow, login, points.json(i, i + 1)) for i in range(n)]
        batches = [encode_request("POST", fast, login, points.json(*some)) for some in bounds]
        warmup = [encode_request("GET", f"{slow}?q=length", login)] * WARMUP_REQUESTS
        measured, beside = run_tasks(
            Load(server.host, server.port, singles, warmup),
            Load(server.host, server.port, batches, warmup, pause_s=PAUSE_S),
        )
        found = _SEALED.search(server.ask("GET", "/metrics", server.login))
        if (found is not None and float(found[1]) > 0) is not seal:
            raise WrongResult(f"seal: with the sealer {'on' if seal else 'off'} it says {found and found[0]!r}")
        stored = [server.read("device", stream) for stream in (SLOW, FAST)]
    seen = check_digest("seal", digest([points.json(0, n), points.json(0, bounds[-1][1])]), stored)
    together = [begun for begun in measured.begun if begun <= beside.ended[-1]]
    return latencies_ms([measured])[: len(together)] or latencies_ms([measured]), seen
