"""What the scenarios work with."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .children import BareServer, run_tasks
from .exchange import encode_request
from .floors import Commits, Syncs
from .load import Load
from .points import Points, digest
from .timing import rate

__all__ = [
    "BUCKET_S",
    "FULL",
    "RANGE_POINTS",
    "SEALED_POINTS",
    "SEED",
    "TINY",
    "WARMUP_REQUESTS",
    "Sample",
    "Sizes",
    "Workbench",
    "WrongResult",
    "check_digest",
    "stream_names",
]

WARMUP_REQUESTS = 20
RANGE_POINTS = 1_000
BUCKET_S = 960
"""About a thousandth of the long stream; and it goes into a day."""
SEALED_POINTS = 500
"""In a batch that gives the sealer work: larger ones are packed as they come."""
SEED = 42


class WrongResult(Exception):
    """What came back is not what was sent."""


@dataclass(frozen=True)
class Sizes:
    """How much to do in one run. Numbers of requests are for each client."""

    singles_1: int
    singles_8: int
    batch_points: int
    batches_1: int
    batches_4: int
    logged_full: int
    logged_normal: int
    stream_points: int
    ranges_1: int
    ranges_8: int
    logins: int
    delivered_1: int
    delivered_200: int
    fanned: int
    pipelined_1: int
    pipelined_8: int
    spread_streams: int
    spread_rounds: int
    repeated: int
    connections: int
    script_points: int
    sealed_singles: int
    sealed_batches: int
    inserts_beside: int
    queries_beside: int
    dataset_points: int
    commits: int
    syncs: int


FULL = Sizes(
    singles_1=4_000,
    singles_8=1_500,
    batch_points=5_000,
    batches_1=100,
    batches_4=50,
    logged_full=4_000,
    logged_normal=30_000,
    stream_points=1_000_000,
    ranges_1=1_000,
    ranges_8=250,
    logins=5_000,
    delivered_1=600,
    delivered_200=300,
    fanned=8_000,
    pipelined_1=20_000,
    pipelined_8=5_000,
    spread_streams=10_000,
    spread_rounds=20,
    repeated=5,
    connections=5_000,
    script_points=1_000_000,
    sealed_singles=4_000,
    sealed_batches=400,
    inserts_beside=2_000,
    queries_beside=6,
    dataset_points=2_000_000,
    commits=4_000,
    syncs=1_000,
)
TINY = Sizes(
    singles_1=30,
    singles_8=5,
    batch_points=500,
    batches_1=3,
    batches_4=2,
    logged_full=30,
    logged_normal=30,
    stream_points=5_000,
    ranges_1=5,
    ranges_8=2,
    logins=20,
    delivered_1=30,
    delivered_200=5,
    fanned=100,
    pipelined_1=100,
    pipelined_8=20,
    spread_streams=40,
    spread_rounds=3,
    repeated=2,
    connections=300,
    script_points=20_000,
    sealed_singles=20,
    sealed_batches=40,
    inserts_beside=20,
    queries_beside=2,
    dataset_points=50_000,
    commits=20,
    syncs=20,
)


@dataclass
class Sample:
    """One run of one figure.

    Attributes:
        value: In the unit of the figure.
        floors: What its floors came to, in the same unit, by key.
        latencies_ms: Of each request.
        digest: Of what was read back, which was as it should be.
    """

    value: float
    floors: dict[str, float]
    latencies_ms: list[float] = field(default_factory=list)
    digest: str = ""


class Workbench:
    """What the scenarios work with: a folder on the disk that is measured, and the data."""

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        self.folder = folder
        self.sizes = sizes
        self.points = Points(
            max(
                sizes.singles_1,
                sizes.singles_8,
                sizes.batch_points * max(sizes.batches_1, sizes.batches_4),
                sizes.logged_full,
                sizes.logged_normal,
                sizes.stream_points,
                sizes.fanned,
                sizes.pipelined_1,
                sizes.pipelined_8,
                sizes.sealed_singles,
                SEALED_POINTS * sizes.sealed_batches,
                sizes.commits,
            )
        )

    @contextmanager
    def fresh(self) -> Iterator[Path]:
        """Give the path of something that does not exist yet, and remove it afterwards."""
        made = Path(tempfile.mkdtemp(dir=self.folder, prefix="run-"))
        try:
            yield made / "it"
        finally:
            shutil.rmtree(made)

    def syncs(self) -> float:
        """Return how many times a second the disk takes a page for good."""
        with self.fresh() as path:
            return rate(run_tasks(Syncs(path, self.sizes.syncs)))

    def commits(self, n: int, synchronous: str) -> float:
        """Return how many rows a second SQLite commits one by one."""
        with self.fresh() as path:
            return rate(run_tasks(Commits(path, self.points.texts[:n], synchronous)))

    def bare(self, requests: Sequence[list[bytes]]) -> float:
        """Return how many requests a second bare uvicorn answers; a client for each list."""
        with BareServer() as server:
            warmup = [encode_request("GET", "/", server.login)] * WARMUP_REQUESTS
            return rate(run_tasks(*(Load(server.host, server.port, some, warmup) for some in requests)))

    def batches(self, n: int) -> list[tuple[int, int]]:
        """Return the bounds of the first *n* batches."""
        size = self.sizes.batch_points
        return [(i * size, (i + 1) * size) for i in range(n)]


def stream_names(n: int) -> list[str]:
    """Return names of *n* streams."""
    return [f"stream{i}" for i in range(n)]


def check_digest(what: str, expected: str, bodies: Sequence[bytes]) -> str:
    """Return the digest of *bodies*. Raises `WrongResult` if it is not the one *expected*."""
    found = digest(bodies)
    if found != expected:
        raise WrongResult(f"{what}: what was read back has the digest {found}, what was sent {expected}")
    return found
