"""What is measured, against which floors and peers, and what it should come to.

The targets are those of PERFORMANCE.md: so many times what another database does in the same round. If that is not on
this machine, what it did on the reference machine stands for it, scaled by what a floor does here and did there if
there is a floor that tells.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "FIGURES",
    "GO_POINTS",
    "INFLUXDB",
    "PEERS",
    "POSTGRESQL",
    "VICTORIAMETRICS",
    "VICTORIAMETRICS_JSON",
    "Bound",
    "Figure",
    "Floor",
    "Target",
]

INFLUXDB = "influxdb"
VICTORIAMETRICS = "victoriametrics"
VICTORIAMETRICS_JSON = "victoriametrics_json"
POSTGRESQL = "postgresql"
REDIS = "redis"
MOSQUITTO = "mosquitto"
GO = "go"

PEERS = {
    INFLUXDB: "InfluxDB",
    VICTORIAMETRICS: "VictoriaMetrics",
    VICTORIAMETRICS_JSON: "VictoriaMetrics' JSON",
    POSTGRESQL: "PostgreSQL",
    REDIS: "Redis",
    MOSQUITTO: "mosquitto",
    GO: "the Go engine",
}
"""Other databases, brokers and engines, by key."""

GO_POINTS = {
    "$": 8_600_000,
    "if $ > 5": 1_900_000,
    "$ * 2 + 1": 1_300_000,
    "mean | if last": 2_200_000,
    "map($>5, count)": 1_500_000,
    "sum": 6_400_000,
    "changed | i": 3_000_000,
    "count": 5_900_000,
    "if last": 2_600_000,
    "if changed | count": 2_100_000,
    "{'a': $, 'b': sum}": 1_400_000,
    "while($>5, sum)": 1_100_000,
    "bucket(2) | map($, count)": 1_400_000,
    "map(weekday('UTC'), mean)": 2_300_000,
    "next - $": 2_400_000,
    "if $ > 5 and $ < 9 | $ * 2": 1_000_000,
}
"""Scripts, and how many points a second the Go engine 0.1.1 ran through them, on the reference machine when it was
quiet, from points in memory to points in memory. It is not run here: these are the figures of PERFORMANCE.md."""


@dataclass(frozen=True)
class Floor:
    """What a figure is compared with."""

    key: str
    title: str


@dataclass(frozen=True)
class Bound:
    """What a figure should come to.

    Attributes:
        factor: So many times what `of` does; without `of`, in the figure's unit.
        of: Key of a peer or a floor.
        reference: What the peer did on the reference machine, in the figure's unit.
    """

    factor: float
    of: str = ""
    reference: float = 0.0


@dataclass(frozen=True)
class Target:
    """What a figure must reach, and what would be good.

    Attributes:
        row: Of the table of PERFORMANCE.md.
        floor: Key of the floor that tells how this machine compares with the reference machine.
        floor_reference: What that did there.
    """

    row: str
    must: Bound
    goal: Bound
    floor: str = ""
    floor_reference: float = 0.0


@dataclass(frozen=True)
class Figure:
    """One thing that is measured.

    Attributes:
        name: For the command line.
        lower_is_better: It is a cost.
    """

    name: str
    title: str
    unit: str
    floors: tuple[Floor, ...]
    target: Target | None = None
    lower_is_better: bool = False


_COMMITS = Floor("commits", "apsw, one row a commit, WAL FULL")
_NORMAL = Floor("commits", "apsw, one row a commit, WAL NORMAL")
_ROWS = Floor("rows", "apsw, a row a point, a commit a batch, FULL")
_BARE = Floor("bare", "bare uvicorn, the same requests")
_RANGES = Floor("ranges", "apsw in process, a row a point")
_TEXTS = Floor("texts", "apsw in process, a row a batch")
_ECHO = Floor("bare", "bare uvicorn and websockets, the same messages")
_FAN_OUT = Floor("bare", "bare uvicorn and websockets, the same bytes")
_LOOP = Floor("loop", "a loop of Python that adds up")
_PLAIN = Floor("plain", "the range without a transform")
_ROUNDS = Floor("rows", "apsw, a row a point, a commit a round, FULL")
_UNSEALED = Floor("unsealed", "without the sealer")
_GO = Target("PipeScript", Bound(3), Bound(10))

COMMITS_REFERENCE = 7_000
ROWS_REFERENCE = 1_300_000
RANGES_REFERENCE = 3_400
TEXTS_REFERENCE = 33_000_000
FAN_OUT_REFERENCE = 231_000
"""What the floors did on the reference machine: rows at 1,000 a commit, ranges and texts from blocks (stricter)."""


def _commits(row: str, must: Bound, goal: Bound) -> Target:
    return Target(row, must, goal, "commits", COMMITS_REFERENCE)


def _rows(row: str, must: Bound, goal: Bound) -> Target:
    return Target(row, must, goal, "rows", ROWS_REFERENCE)


def _ranges(row: str, must: Bound, goal: Bound) -> Target:
    return Target(row, must, goal, "ranges", RANGES_REFERENCE)


_LOGGER = Target("l", Bound(0.7, "commits"), Bound(0.7, "commits"))

FIGURES = (
    Figure(
        "a1",
        "durable single inserts, 1 client",
        "inserts/s",
        (_COMMITS, _BARE),
        _commits("a1", Bound(0.7, INFLUXDB, 2_240), Bound(1, INFLUXDB, 2_240)),
    ),
    Figure(
        "a8",
        "durable single inserts, 8 clients",
        "inserts/s",
        (_COMMITS, _BARE),
        _commits("a8", Bound(0.8, INFLUXDB, 7_380), Bound(1, POSTGRESQL, 8_250)),
    ),
    Figure("aw1", "durable single inserts, 1 websocket, 64 under way", "inserts/s", (_COMMITS, _ECHO)),
    Figure(
        "aw8",
        "durable single inserts, 8 websockets, 64 under way on each",
        "inserts/s",
        (_COMMITS, _ECHO),
        # 2 x what a8 must.
        _commits("aw", Bound(1.6, INFLUXDB, 7_380), Bound(2, REDIS, 12_600)),
    ),
    Figure(
        "b1",
        "durable batches of 5,000, 1 client",
        "points/s",
        (_ROWS, _BARE),
        _rows("b1", Bound(1.5, INFLUXDB, 555_000), Bound(1, VICTORIAMETRICS_JSON, 1_350_000)),
    ),
    Figure(
        "b4",
        "durable batches of 5,000, 4 clients",
        "points/s",
        (_ROWS, _BARE),
        _rows("b4", Bound(1.5, INFLUXDB, 900_000), Bound(3, INFLUXDB, 900_000)),
    ),
    Figure(
        "h",
        "many streams, a datapoint for each in each round, durable, over 4 websockets",
        "points/s",
        (_ROUNDS,),
        Target("h", Bound(0.5, INFLUXDB, 350_000), Bound(1, INFLUXDB, 350_000), "rows", ROWS_REFERENCE),
    ),
    Figure(
        "lf",
        "Logger.insert, synchronous=full",
        "inserts/s",
        (_COMMITS,),
        _LOGGER,
    ),
    Figure(
        "ln",
        "Logger.insert, synchronous=normal (not durable against power loss)",
        "inserts/s",
        (_NORMAL,),
        _LOGGER,
    ),
    Figure(
        "c",
        "whole stream as JSON, 1 client",
        "points/s",
        (_TEXTS, _BARE),
        Target(
            "c",
            Bound(1, VICTORIAMETRICS, 4_200_000),
            Bound(2, VICTORIAMETRICS, 4_200_000),
            "texts",
            TEXTS_REFERENCE,
        ),
    ),
    Figure(
        "ca",
        "whole stream as a DataFrame of pandas, 1 client",
        "points/s",
        (),
        Target("ca", Bound(20_000_000), Bound(60_000_000)),
    ),
    Figure(
        "d1",
        "random ranges of 1,000 points, 1 client",
        "requests/s",
        (_RANGES, _BARE),
        _ranges("d1", Bound(2, INFLUXDB, 525), Bound(0.7, VICTORIAMETRICS, 2_590)),
    ),
    Figure(
        "d8",
        "random ranges of 1,000 points, 8 clients",
        "requests/s",
        (_RANGES, _BARE),
        _ranges("d8", Bound(2, INFLUXDB, 780), Bound(0.5, VICTORIAMETRICS, 6_480)),
    ),
    Figure(
        "e",
        "transform 'mean | if last' over the long stream, over HTTP",
        "ms",
        (_PLAIN,),
        Target("e", Bound(1, VICTORIAMETRICS, 16.6), Bound(2)),
        lower_is_better=True,
    ),
    Figure(
        "f",
        "mean, min, max of windows of 16 minutes (1,042 of them) of the long stream, over HTTP",
        "ms",
        (_PLAIN,),
        Target("f", Bound(1, VICTORIAMETRICS, 29.5), Bound(10)),
        lower_is_better=True,
    ),
    Figure(
        "t",
        "dataset by time, 1,000 rows, mean, over the long stream, over HTTP",
        "ms",
        (_PLAIN,),
        Target("t", Bound(100), Bound(25)),
        lower_is_better=True,
    ),
    Figure("qif", "transform that lets 45 % pass, over HTTP", "ms", (_PLAIN,), lower_is_better=True),
    Figure("a1q", "durable single inserts, 1 client, while 4 clients ask for such datasets", "inserts/s", ()),
    Figure(
        "g",
        "disk for a datapoint of the long stream, settled, with all that is in the folder",
        "bytes",
        (),
        Target("g", Bound(2.2), Bound(1.6)),
        lower_is_better=True,
    ),
    Figure(
        "i1",
        "from the answer to an insert to the callback, 1 subscriber, p50",
        "ms",
        (),
        Target("i1, p50 beyond the commit", Bound(1.0), Bound(0.5)),
        lower_is_better=True,
    ),
    Figure(
        "i1p99",
        "the same, p99",
        "ms",
        (),
        Target("i1, p99 beyond the commit", Bound(3.0), Bound(1.5)),
        lower_is_better=True,
    ),
    Figure("i1all", "from sending an insert to the callback, 1 subscriber, p50", "ms", (), lower_is_better=True),
    Figure(
        "i200",
        "from the answer to an insert to a bare reader, 200 subscribers, p50",
        "ms",
        (),
        lower_is_better=True,
    ),
    Figure(
        "fan",
        "deliveries to 200 subscribers, of durable single inserts",
        "deliveries/s",
        (_FAN_OUT,),
        Target("i200", Bound(1, MOSQUITTO, 113_000), Bound(1, REDIS, 171_000), "bare", FAN_OUT_REFERENCE),
    ),
    Figure(
        "start",
        "start to first answer",
        "s",
        (Floor("bare", "bare uvicorn"),),
        Target("j", Bound(1.0), Bound(0.5)),
        lower_is_better=True,
    ),
    Figure(
        "idle",
        "memory, idle",
        "MB",
        (Floor("bare", "bare uvicorn"),),
        Target("j", Bound(120), Bound(70)),
        lower_is_better=True,
    ),
    Figure(
        "full",
        "memory after the long stream was inserted",
        "MB",
        (Floor("bare", "bare uvicorn"),),
        Target("j, after 1 M points", Bound(250), Bound(150)),
        lower_is_better=True,
    ),
    Figure(
        "conn",
        "memory for an idle websocket with a subscription",
        "kB",
        (),
        Target("(none: our own wish)", Bound(20), Bound(10)),
        lower_is_better=True,
    ),
    Figure(
        "seal",
        "durable single inserts, 1 client, p99, while the sealer is at work",
        "ms",
        (_UNSEALED,),
        lower_is_better=True,
    ),
    Figure("login", "requests with a password, 1 client", "requests/s", (_BARE,)),
    Figure("mset", "memory of a dataset by time, 1,000 rows, over a very long stream", "MB", (), lower_is_better=True),
    Figure("msets", "how fast that was", "points/s", ()),
    Figure("mrow", "memory of a dataset by time with a row for each point of it", "MB", (), lower_is_better=True),
    Figure("mrows", "how fast that was", "rows/s", ()),
    *(
        Figure(
            f"p{i}",
            f"PipeScript in memory: {script}",
            "points/s",
            (_LOOP,),
            Target("PipeScript: the Go engine 0.1.1", Bound(1, GO, go), Bound(10, GO, go)),
        )
        for i, (script, go) in enumerate(GO_POINTS.items(), 1)
    ),
    Figure("pall", "all of these to the Go engine, geometric mean", "x", (), _GO),
    Figure("pcol", "the same from arrays to arrays, as in the server", "x", (), _GO),
)
"""In the order in which they are shown."""
