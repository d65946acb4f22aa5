"""Ranges of a real store for which the datapoints need not be looked at: the same answers as from all of them."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

import pytest

from connectordb.block import Block
from connectordb.core import ROOT
from connectordb.core.ranges import StoredRange
from connectordb.core.reductions import Thin, Windowed, reduced
from connectordb.datapoint import Datapoint
from connectordb.errors import InvalidRange
from connectordb.pipescript import Batch, compile_script
from connectordb.pipescript.blocks import batch_of
from connectordb.query import Range
from connectordb.store import _layer, _merge, _seal
from connectordb.store.records import Mode, Substream

PATH = "alice/phone/s"
BEGIN = 1_700_000_000.0
SCRIPTS = [
    "if last",
    "if first",
    "if last | $ * 2",
    "count | if last",
    "mean | if last",
    "sum | if last | {'s': $}",
    "min | if last",
    "{'a': mean, 'n': count, 'high': max, 'now': $} | if last",
    "mean",
    "if $ > 3 | count | if last",
]
RANGES = [
    Range(),
    Range(i1=100, i2=2_345),
    Range(i1=-400),
    Range(i1=50, i2=50),
    Range(i1=7, i2=8),
    Range(t1=BEGIN + 1_000.25),
    Range(t1=BEGIN + 350, t2=BEGIN + 2_000),
    Range(t2=BEGIN + 1_500),
    Range(t1=BEGIN - 10, t2=BEGIN - 5),
    Range(t1=BEGIN + 9e9),
    Range(t1=BEGIN + 20, limit=1),
    Range(limit=0),
]


@pytest.fixture
def phone(world: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    for module in (_layer, _merge, _seal):
        monkeypatch.setattr(module, "BLOCK_POINTS", 100)
    monkeypatch.setattr(_seal, "_FULL_POINTS", 75)
    world.user("alice")
    actor = world.device("alice/phone")
    world.stream(PATH)
    return actor


def insert(world: Any, actor: Any, points: list[tuple[float, Any]], mode: Mode = Mode.ORDERED) -> None:
    world.run(world.core.insert(actor, tuple(PATH.split("/")), [Datapoint(t, d) for t, d in points], mode))


def place(world: Any) -> tuple[int, Substream]:
    target, _ = world.core.find_stream(ROOT, tuple(PATH.split("/")))
    return target.stream.id, Substream.MAIN


def seal(world: Any) -> None:
    assert world.core.store.seal(*place(world)) >= 0


def known(world: Any, wanted: Range, fits: Any = None) -> int:
    """Of how many datapoints of a range a summary will do."""
    found = world.core.store.read_summaries(*place(world), wanted, fits)
    return sum(run.n for item in found if not isinstance(item, Block) for run in item)


def told(blocks: Iterator[Any]) -> list[tuple[float, Any]]:
    return [(p.t, p.d) for block in blocks for p in block]


def near(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return list(a) == list(b) and all(near(value, b[key]) for key, value in a.items())
    return type(a) is type(b) and (math.isclose(a, b, rel_tol=1e-12) if type(a) is float else bool(a == b))


def check(world: Any) -> None:
    """Compare what is told of all ranges with what all their datapoints tell."""
    for wanted in RANGES:
        unlimited = Range(t1=wanted.t1, t2=wanted.t2) if wanted.limit is not None else wanted
        raw = [(p.t, p.d) for p in world.read(ROOT, PATH, unlimited)]
        for text in SCRIPTS:
            expected = [(p.t, p.d) for p in compile_script(text).run([Datapoint(t, d) for t, d in raw])][: wanted.limit]
            found = [(p.t, p.d) for p in world.read(ROOT, PATH, wanted, transform=text)]
            assert [t for t, _ in found] == [t for t, _ in expected], (wanted, text)
            assert all(near(a, b) for (_, a), (_, b) in zip(found, expected, strict=True)), (wanted, text)
        limited = raw[: wanted.limit]
        for every in ("1m", "1h"):
            stats = ("mean", "min", "max", "sum", "count", "first", "last")
            found = [(p.t, p.d) for p in world.read(ROOT, PATH, wanted, reduction=Windowed(every, stats))]
            one = Batch([t for t, _ in limited], [d for _, d in limited])
            windows = reduced([one], Windowed(every, stats).start())
            expected = [point for out in windows if out for point in zip(out.t, out.d, strict=True)]
            assert [t for t, _ in found] == [t for t, _ in expected]
            for (_, a), (_, b) in zip(found, expected, strict=True):
                assert a == pytest.approx(b, rel=1e-12, abs=1e-9)


@pytest.mark.parametrize("kind", ["int", "float", "mixed", "gaps"])
def test_sealed_blocks_of_numbers_need_not_be_read(world: Any, phone: Any, kind: str) -> None:
    rng = random.Random(kind)
    make = {
        "int": lambda: rng.randrange(-5, 50),
        "float": lambda: round(rng.uniform(0, 30), 2),
        "mixed": lambda: rng.choice([rng.randrange(9), rng.random()]),
        "gaps": lambda: None if rng.random() < 0.002 else rng.random(),
    }[kind]
    points = [(BEGIN + i, make()) for i in range(3_000)]
    insert(world, phone, points[:2_900])
    check(world)
    seal(world)
    insert(world, phone, points[2_900:])
    assert known(world, Range()) == 2_900 if kind != "gaps" else 0 < known(world, Range()) < 2_900
    check(world)


def test_late_datapoints_and_corrections_count(world: Any, phone: Any) -> None:
    rng = random.Random(1)
    insert(world, phone, [(BEGIN + i, rng.randrange(100)) for i in range(3_000)])
    seal(world)
    insert(world, phone, [(BEGIN + rng.randrange(3_000), 1000 + i) for i in range(20)], Mode.MERGE)
    check(world)
    insert(world, phone, [(BEGIN + rng.randrange(3_000), -i) for i in range(500)], Mode.MERGE)
    check(world)
    seal(world)
    assert known(world, Range()) > 3_000
    check(world)
    stream_id, substream = place(world)
    store = world.core.store
    for i1, i2 in [(0, 1), (250, 777), (-1, None), (1_000, 1_200)]:
        n = store.head(stream_id, substream).n
        first, stop = Range(i1=i1, i2=i2).resolve(n)
        store.submit(lambda tx, a=first, b=stop: tx.delete_points(stream_id, substream, a, b, by="alice")).result()
        check(world)
    store.submit(lambda tx: tx.update_point(stream_id, substream, 500, b"123456", by="alice")).result()
    assert world.read(ROOT, PATH, Range(), transform="max | if last")[0].d == 123456
    check(world)


def test_the_last_datapoint_is_found_without_others(world: Any, phone: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    insert(world, phone, [(BEGIN + i, "text") for i in range(1_000)])
    read = 0
    store = world.core.store
    plain = store.read

    def counted(*args: Any) -> Iterator[Block]:
        nonlocal read
        for block in plain(*args):
            read += block.n
            yield block

    monkeypatch.setattr(store, "read", counted)
    for wanted in (Range(), Range(t1=BEGIN, t2=BEGIN + 700.5), Range(i1=3, i2=-1)):
        read = 0
        assert len(world.read(ROOT, PATH, wanted, transform="if last | {'d': $}")) == 1
        assert read == 1


def test_the_last_datapoint_while_others_change_what_is_stored(
    world: Any, phone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(world, phone, [(BEGIN + i, i) for i in range(10)])
    store = world.core.store
    stream_id, substream = place(world)
    script = compile_script("if last")
    ways = [
        lambda tx: tx.append(stream_id, substream, Block.of([Datapoint(BEGIN - 1, -1)]), Mode.MERGE),
        lambda tx: tx.delete_points(stream_id, substream, 0, 8, by="alice"),
    ]
    for change in ways:
        plain = store.read

        def changing(*args: Any, plain: Any = plain, change: Any = change) -> Iterator[Block]:
            monkeypatch.setattr(store, "read", plain)
            store.submit(change).result()
            return plain(*args)  # type: ignore[no-any-return]

        monkeypatch.setattr(store, "read", changing)
        stored = StoredRange(store, stream_id, substream, Range())
        assert told(map(rows, stored.worked_out(script, None, lambda: None))) == [(BEGIN + 9, 9)]


def rows(batch: Any) -> list[Datapoint]:
    return [] if batch is None else [Datapoint(t, d) for t, d in zip(batch.t, batch.d, strict=True)]


def test_a_range_beyond_the_stream_is_refused_all_the_same(world: Any, phone: Any) -> None:
    insert(world, phone, [(BEGIN, 1)])
    for more in ({"transform": "if last"}, {"reduction": Thin(10)}, {"transform": "mean | if last"}):
        with pytest.raises(InvalidRange):
            world.read(ROOT, PATH, Range(i1=5), **more)


def test_a_thinned_range_of_many_runs(world: Any, phone: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectordb.core.thinning.RUN_POINTS", 100)
    rng = random.Random(3)
    points = [(BEGIN + i, rng.randrange(100) if i % 9 else rng.random()) for i in range(4_000)]
    points[1_234] = BEGIN + 1_234, 5_000
    insert(world, phone, points)
    seal(world)
    points += [(BEGIN + 4_000 + i, 1.5 + i) for i in range(50)]
    insert(world, phone, points[4_000:])
    read = world.core.store.read_summaries(*place(world), Range())
    assert sum(not isinstance(item, Block) for item in read) >= 1
    for wanted, expected in ((Range(), points), (Range(i1=13, i2=3_777), points[13:3_777])):
        found = [(p.t, p.d) for p in world.read(ROOT, PATH, wanted, reduction=Thin(30))]
        assert 25 <= len(found) <= 30
        assert found[0] == expected[0]
        assert found[-1] == expected[-1]
        assert {(t, d, type(d)) for t, d in found} <= {(t, d, type(d)) for t, d in expected}
        assert (BEGIN + 1_234, 5_000) in found
        assert min(d for _, d in expected) in {d for _, d in found}
        assert found == sorted(found, key=lambda point: point[0])
    few = world.read(ROOT, PATH, Range(i1=0, i2=400), reduction=Thin(30))
    batches = [batch_of(Block.of([Datapoint(t, d) for t, d in points[:400]]))]
    exact = [point for out in reduced(batches, Thin(30).start()) if out for point in zip(out.t, out.d, strict=True)]
    assert [(p.t, p.d) for p in few] == exact
