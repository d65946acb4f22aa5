"""What is measured, against which floor, and what it should come to.

The targets of PERFORMANCE.md are ratios to other databases, which are not on this machine. They are translated: what
the peer did on the reference machine, times the factor wanted, over what the floor did on that machine.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FIGURES", "GO_POINTS", "Figure", "Floor", "Target"]

COMMITS_REF = 7_000
ROWS_REF = 1_300_000
RANGES_REF = 3_400
TEXTS_REF = 33_000_000
FAN_OUT_REF = 231_000

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
class Target:
    """What a figure must reach, and what would be good.

    Attributes:
        floor: Key of the floor that `must` and `goal` are ratios to; ``None``: they are in the figure's unit.
        note: How they follow from PERFORMANCE.md.
    """

    floor: str | None
    must: float
    goal: float
    note: str


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
_GO = Target(None, 3, 10, "PERFORMANCE, PipeScript: 3 / 10 x the figures of the Go engine")
_LOGGER = "PERFORMANCE l: 0.7 of the same SQLite setting bare"

FIGURES = (
    Figure(
        "a1",
        "durable single inserts, 1 client",
        "inserts/s",
        (_COMMITS, _BARE),
        Target(
            "commits",
            0.7 * 2_240 / COMMITS_REF,
            2_240 / COMMITS_REF,
            "0.7 / 1 x InfluxDB 2,240/s, over 7,000 commits/s on the reference machine",
        ),
    ),
    Figure(
        "a8",
        "durable single inserts, 8 clients",
        "inserts/s",
        (_COMMITS, _BARE),
        Target(
            "commits",
            0.8 * 7_380 / COMMITS_REF,
            8_250 / COMMITS_REF,
            "0.8 x InfluxDB 7,380/s / 1 x PostgreSQL 8,250/s, over 7,000 commits/s",
        ),
    ),
    Figure(
        "b1",
        "durable batches of 5,000, 1 client",
        "points/s",
        (_ROWS, _BARE),
        Target(
            "rows",
            1.5 * 555_000 / ROWS_REF,
            1_350_000 / ROWS_REF,
            "1.5 x InfluxDB 555,000/s / VictoriaMetrics' JSON 1.35 M/s, over 1.3 M rows/s (measured at 1,000 a commit)",
        ),
    ),
    Figure(
        "b4",
        "durable batches of 5,000, 4 clients",
        "points/s",
        (_ROWS, _BARE),
        Target(
            "rows",
            1.5 * 900_000 / ROWS_REF,
            3 * 900_000 / ROWS_REF,
            "1.5 / 3 x InfluxDB 900,000/s, over 1.3 M rows/s (measured at 1,000 a commit)",
        ),
    ),
    Figure(
        "lf",
        "Logger.insert, synchronous=full",
        "inserts/s",
        (_COMMITS,),
        Target("commits", 0.7, 0.7, _LOGGER),
    ),
    Figure(
        "ln",
        "Logger.insert, synchronous=normal (not durable against power loss)",
        "inserts/s",
        (_NORMAL,),
        Target("commits", 0.7, 0.7, _LOGGER),
    ),
    Figure(
        "c",
        "whole stream as JSON, 1 client",
        "points/s",
        (_TEXTS, _BARE),
        Target(
            "texts",
            4_200_000 / TEXTS_REF,
            8_400_000 / TEXTS_REF,
            "1 / 2 x VictoriaMetrics 4.2 M/s, over 33 M/s for text in zstd blocks (no zstd here: stricter)",
        ),
    ),
    Figure(
        "d1",
        "random ranges of 1,000 points, 1 client",
        "requests/s",
        (_RANGES, _BARE),
        Target(
            "ranges",
            2 * 525 / RANGES_REF,
            0.7 * 2_590 / RANGES_REF,
            "2 x InfluxDB 525/s / 0.7 x VictoriaMetrics 2,590/s, over 3,400/s in process as JSON (there from blocks)",
        ),
    ),
    Figure(
        "d8",
        "random ranges of 1,000 points, 8 clients",
        "requests/s",
        (_RANGES, _BARE),
        Target(
            "ranges",
            2 * 780 / RANGES_REF,
            0.5 * 6_480 / RANGES_REF,
            "2 x InfluxDB 780/s / 0.5 x VictoriaMetrics 6,480/s, over 3,400/s in process as JSON (there from blocks)",
        ),
    ),
    Figure("login", "requests with a password, 1 client", "requests/s", (_BARE,)),
    Figure(
        "aw1",
        "durable single inserts, 1 websocket, 64 under way",
        "inserts/s",
        (_COMMITS, _ECHO),
    ),
    Figure(
        "aw8",
        "durable single inserts, 8 websockets, 64 under way on each",
        "inserts/s",
        (_COMMITS, _ECHO),
        Target(
            "commits",
            2 * 0.8 * 7_380 / COMMITS_REF,
            2 * 12_600 / COMMITS_REF,
            "2 x what a8 must / 2 x Redis AOF always 12,600/s, over 7,000 commits/s",
        ),
    ),
    Figure(
        "i1",
        "from the answer to an insert to the callback, 1 subscriber, p50",
        "ms",
        (),
        Target(None, 1.0, 0.5, "PERFORMANCE i1, p50 beyond the commit"),
        lower_is_better=True,
    ),
    Figure(
        "i1p99",
        "the same, p99",
        "ms",
        (),
        Target(None, 3.0, 1.5, "PERFORMANCE i1, p99 beyond the commit"),
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
        Target(
            "bare",
            113_000 / FAN_OUT_REF,
            171_000 / FAN_OUT_REF,
            "PERFORMANCE i200: 1 x mosquitto 113,000/s / 1 x Redis 171,000/s, over 231,000/s",
        ),
    ),
    *(
        Figure(
            f"p{i}",
            f"PipeScript in memory: {script}",
            "points/s",
            (_LOOP,),
            Target(None, go, 10 * go, f"1 / 10 x the Go engine 0.1.1, {go:,}/s on the reference machine"),
        )
        for i, (script, go) in enumerate(GO_POINTS.items(), 1)
    ),
    Figure("pall", "all of these to the Go engine, geometric mean", "x", (), _GO),
    Figure("pcol", "the same from arrays to arrays, as in the server", "x", (), _GO),
    Figure(
        "e",
        "transform 'mean | if last' over the long stream, over HTTP",
        "ms",
        (_PLAIN,),
        Target(None, 16.6, 2, "PERFORMANCE e, 1 x VictoriaMetrics / from statistics"),
        lower_is_better=True,
    ),
    Figure("qif", "transform that lets 45 % pass, over HTTP", "ms", (_PLAIN,), lower_is_better=True),
    Figure(
        "t",
        "dataset by time, 1,000 rows, mean, over the long stream, over HTTP",
        "ms",
        (_PLAIN,),
        Target(None, 100, 25, "PERFORMANCE t"),
        lower_is_better=True,
    ),
    Figure("a1q", "durable single inserts, 1 client, while 4 clients ask for such datasets", "inserts/s", ()),
    Figure("mset", "memory of a dataset by time, 1,000 rows, over a very long stream", "MB", (), lower_is_better=True),
    Figure("msets", "how fast that was", "points/s", ()),
    Figure("mrow", "memory of a dataset by time with a row for each point of it", "MB", (), lower_is_better=True),
    Figure("mrows", "how fast that was", "rows/s", ()),
    Figure(
        "conn",
        "memory for an idle websocket with a subscription",
        "kB",
        (),
        Target(None, 20, 10, "our own wish: PERFORMANCE says nothing"),
        lower_is_better=True,
    ),
    Figure(
        "start",
        "start to first answer",
        "s",
        (Floor("bare", "bare uvicorn"),),
        Target(None, 1.0, 0.5, "PERFORMANCE j"),
        lower_is_better=True,
    ),
    Figure(
        "idle",
        "memory, idle",
        "MB",
        (Floor("bare", "bare uvicorn"),),
        Target(None, 120, 70, "PERFORMANCE j"),
        lower_is_better=True,
    ),
    Figure(
        "full",
        "memory after the long stream was inserted",
        "MB",
        (Floor("bare", "bare uvicorn"),),
        Target(None, 250, 150, "PERFORMANCE j, after 1 M points"),
        lower_is_better=True,
    ),
)
"""In the order in which they are shown."""
