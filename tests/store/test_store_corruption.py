"""Flipped bits: they are found, named, and cost only what they are in."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest
from store_model import block, insert, make_streams, values

from connectordb.errors import ConnectorDBError, StoreDamaged
from connectordb.query import Range
from connectordb.store import _seal
from connectordb.store.base import Transaction
from connectordb.store.check import check
from connectordb.store.compact import compact
from connectordb.store.records import Mode, Substream
from connectordb.store.sqlite import SQLiteStore

MAIN = Substream.MAIN
FLIPS = int(os.environ.get("CONNECTORDB_FLIPS", "300"))
BLOCK = 150
POINTS = 900


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three streams in blocks, of numbers, of texts, and of all kinds of things, corrected; without unused space."""
    monkeypatch.setattr(_seal, "BLOCK_POINTS", BLOCK)
    monkeypatch.setattr(_seal, "_FULL_POINTS", BLOCK - 20)
    path = tmp_path / "s.db"
    rng = random.Random(1)
    kinds: list[Any] = [rng.random, lambda: rng.randbytes(8).hex(), lambda: [rng.random(), {"a": None}]]
    with SQLiteStore(path, seal_after_s=None) as store:
        for stream, kind in zip(make_streams(store, 3), kinds, strict=True):
            for i in range(0, POINTS + 10, BLOCK // 3):
                insert(store, stream, block(*((float(k), kind()) for k in range(i, i + BLOCK // 3))))
            store.seal(stream, MAIN)
            insert(store, stream, block((7.5, kind()), (BLOCK + 7.5, kind())), Mode.MERGE)
            store.submit(lambda tx, id_=stream: tx.delete_points(id_, MAIN, 30, 40, by="a/b")).result()
            store.submit(lambda tx, id_=stream: tx.update_point(id_, MAIN, 3, b"-1", by="a/b")).result()
            store.seal(stream, MAIN)
    assert list(check(path)) == []
    compact(path)
    return path


def run_of(path: Path, stream: int, k: int) -> tuple[int, int, int]:
    """Index of the first datapoint, number and block of the k-th run of a stream."""
    with closing(apsw.Connection(str(path))) as connection:
        rows = connection.execute(
            "SELECT place - ?1, n, block FROM runs WHERE place >= ?1 AND place < ?2 ORDER BY place",
            ((2 * stream) << 38, (2 * stream + 1) << 38),
        ).fetchall()
    found: tuple[int, int, int] = rows[k]
    assert found[2] is not None
    return found


def flip_in_block(path: Path, block_id: int, bit: int) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        data = bytearray(connection.execute("SELECT data FROM blocks WHERE id = ?", (block_id,)).get)
        data[bit // 8 % len(data)] ^= 1 << bit % 8
        connection.execute("UPDATE blocks SET data = ? WHERE id = ?", (bytes(data), block_id))


@pytest.mark.parametrize("stream", [1, 2, 3])
def test_a_flipped_bit_in_a_block_costs_only_that_block(path: Path, stream: int) -> None:
    rng = random.Random(stream)
    with SQLiteStore(path, seal_after_s=None) as store:
        before = values(store, stream)
    n_before = len(before)
    i, n, block_id = run_of(path, stream, 2)
    for _ in range(20):
        bit = rng.randrange(1 << 20)
        flip_in_block(path, block_id, bit)
        [found] = check(path)
        assert (found.where, found.i1, found.i2) == (f"alice/phone/s{stream - 1}", i, i + n)
        with SQLiteStore(path, seal_after_s=None) as store:
            told = rf"the datapoints \[{i}:{i + n}\] of alice/phone/s{stream - 1} cannot be read: "
            for wanted in (Range(), Range(i1=i, i2=i + 1), Range(i1=i - 1, i2=i + n + 1), Range(t1=before[i][0])):
                with pytest.raises(StoreDamaged, match=told) as caught:
                    values(store, stream, wanted)
                assert not caught.value.retryable
                assert str(path) not in caught.value.reason
            assert values(store, stream, Range(i1=0, i2=i)) == before[:i]
            assert values(store, stream, Range(i1=i + n)) == before[i + n :]
            assert values(store, stream, Range(t1=before[i + n][0])) == before[i + n + 1 :]
            assert len(values(store, stream % 3 + 1)) == n_before
            # What comes later is stored, and sealed too.
            assert insert(store, stream, block((1e6, 1))).first_index == len(before)
            before.append((1e6, 1))
        flip_in_block(path, block_id, bit)
    with SQLiteStore(path, seal_after_s=None) as store:
        assert values(store, stream) == before
    assert list(check(path)) == []


def test_damaged_datapoints_can_be_deleted_and_till_then_nothing_is_put_among_them(path: Path) -> None:
    i, n, block_id = run_of(path, 1, 2)
    with SQLiteStore(path, seal_after_s=None) as store:
        before = values(store, 1)
    flip_in_block(path, block_id, 99)
    with SQLiteStore(path, seal_after_s=None) as store:
        state = store.head(1, MAIN)
        works: list[Callable[[Transaction], object]] = [
            lambda tx: tx.append(1, MAIN, block((before[i + 5][0], "late")), Mode.MERGE),
            lambda tx: tx.update_point(1, MAIN, i + 5, b"1", by="a/b"),
            lambda tx: tx.delete_points(1, MAIN, i + 5, i + 6, by="a/b"),
        ]
        for work in works:
            with pytest.raises(StoreDamaged):
                store.submit(work).result()
        assert store.head(1, MAIN) == state
        store.submit(lambda tx: tx.delete_points(1, MAIN, i, i + n, by="a/b", keep=False)).result()
        assert values(store, 1) == before[:i] + before[i + n :]
    assert list(check(path)) == []


def test_a_block_of_other_datapoints_is_not_taken_for_the_right_one(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        of_other = run_of(path, 2, 1)[2]
        connection.execute("UPDATE runs SET block = ? WHERE block = ?", (of_other, run_of(path, 1, 2)[2]))
    with SQLiteStore(path) as store, pytest.raises(StoreDamaged, match="alice/phone/s0 cannot be read: the block is"):
        values(store, 1)


@pytest.mark.parametrize("damage", ["block", "text"])
def test_damage_of_one_stream_does_not_keep_others_from_being_sealed(path: Path, damage: str) -> None:
    if damage == "block":
        flip_in_block(path, run_of(path, 1, -1)[2], 77)
    else:
        with SQLiteStore(path, seal_after_s=None) as store:
            insert(store, 1, block((1e5, 1)))
        with closing(apsw.Connection(str(path))) as connection:
            connection.execute("UPDATE runs SET points = CAST('{\"t\":1' AS BLOB) WHERE block IS NULL")
    with SQLiteStore(path, seal_after_s=0.0) as store:
        for stream in (1, 2):
            insert(store, stream, block(*((1e6 + i, "new") for i in range(1_100))))
        until = time.monotonic() + 30
        while text_of(path, 2) and time.monotonic() < until:
            insert(store, 3, block((2e6, 1)))
        assert not text_of(path, 2)
        assert values(store, 2)[-1][1] == "new"
        assert values(store, 1, Range(t1=5e5))[-1][1] == "new"


def text_of(path: Path, stream: int) -> int:
    """How many runs of the stream are text."""
    with closing(apsw.Connection(str(path))) as connection:
        number: int = connection.execute(
            "SELECT count(*) FROM runs WHERE place >> 39 = ? AND block IS NULL", (stream,)
        ).get
    return number


def test_flipped_bits_anywhere_are_found_if_they_make_a_difference(path: Path, tmp_path: Path) -> None:
    """All that is read is in blocks here: text that is not sealed has no checksum."""
    rng = random.Random(5)
    data = path.read_bytes()
    places = [i for i, byte in enumerate(data) if byte]  # where there is something
    with SQLiteStore(path, seal_after_s=None) as store:
        expected = [values(store, stream) for stream in (1, 2, 3)]
    used = tmp_path / "flipped.db"
    found_by = {"check": 0, "reader": 0}
    for _ in range(FLIPS):
        offset, bit = rng.choice(places), rng.randrange(8)
        flipped = bytearray(data)
        flipped[offset] ^= 1 << bit
        for file in tmp_path.glob("flipped*"):
            file.unlink()
        used.write_bytes(flipped)
        try:
            found = bool(list(check(used)))
        except ConnectorDBError:
            found = True
        found_by["check"] += found
        try:
            with SQLiteStore(used, seal_after_s=None) as store:
                read = [values(store, stream) for stream in (1, 2, 3)]
        except Exception:
            found_by["reader"] += 1
            assert found, (offset, bit)
        else:
            assert found or read == expected, (offset, bit)
    assert found_by["check"] > FLIPS // 2
    assert found_by["reader"] > FLIPS // 4
