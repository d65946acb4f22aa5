"""Damage of every kind is found, and told where it is; and nothing is found where nothing is wrong."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import msgspec
import pytest
from store_load import Load, tighten
from store_model import appending, block, create_device, create_user, insert, make_streams

from connectordb.datapoint import Datapoint
from connectordb.errors import FolderError, StoreError
from connectordb.store import _check_ledger, _check_points
from connectordb.store._key import place_of
from connectordb.store._runs import put_sealed, sealed_of
from connectordb.store.base import Store, Transaction
from connectordb.store.check import check
from connectordb.store.records import Correction, Downlink, DownlinkState, Mode, Stream, Substream, Upload
from connectordb.store.sqlite import SQLiteStore
from connectordb.store.usage import Usage, usage

MAIN = Substream.MAIN


def fill(store: Store) -> tuple[int, int]:
    """Make ``alice/phone/steps`` with three rows and a merge, and ``alice/phone/lamp`` with a downlink."""
    user = create_user(store, "alice", "Alice@example.com")
    device = create_device(store, user.id, "phone", apikey="key")
    made = [
        store.submit(lambda tx, name=name: tx.create_stream(Stream(device_id=device.id, name=name))).result()
        for name in ("steps", "lamp")
    ]
    steps, lamp = made[0].id, made[1].id
    insert(store, steps, block((1.0, 1), (2.0, "two")))
    insert(store, steps, block((3.0, 3.5)), upload=Upload("u", 1, 1, b"d"))
    insert(store, steps, block((4.0, [4]), (5.0, None), (6.0, 2**70)))
    insert(store, steps, block((4.5, 0)), Mode.MERGE)
    insert(store, steps, block((7.0, 7), (8.0, 8)))
    wanted = Downlink(
        id=0,
        stream_id=lamp,
        t=1.0,
        d=b"true",
        o="alice/user",
        state=DownlinkState.QUEUED,
        expires=9.0,
        changed=1.0,
        by="",
        msg="",
        result=b"",
    )
    store.submit(lambda tx: tx.add_downlinks([wanted])).result()
    store.submit(appending(lamp, block((1.0, True)), substream=Substream.DOWNLINK)).result()
    return steps, lamp


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with SQLiteStore(tmp_path / "s.db") as store:
        assert fill(store) == (1, 2)
    return tmp_path / "s.db"


def run(path: Path, sql: str) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(sql)


def found(path: Path) -> list[str]:
    return [str(finding) for finding in check(path)]


def test_nothing_is_found_where_nothing_is_wrong(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as connection:  # as the cases below rely on it
        rows = connection.execute("SELECT place - (2 << 38), n FROM runs WHERE place >= 2 << 38 LIMIT 4").fetchall()
        assert rows[0] == (0, 2)
        assert rows[1] == (2, 1)
    assert found(path) == []


STEPS = 2 << 38
DAMAGES = {
    "a gap": (f"DELETE FROM runs WHERE place = {STEPS} + 2", "alice/phone/steps [2:3]: missing"),
    "the end is missing": (
        f"DELETE FROM runs WHERE place = {STEPS} + 7",
        "alice/phone/steps [7:9]: missing",
    ),
    "an overlap": (
        f"UPDATE runs SET n = 3, points = CAST(points || ',{{\"t\":2.5}}' AS BLOB), t2 = 2.5 WHERE place = {STEPS}",
        "alice/phone/steps [2:3]: stored twice",
    ),
    "broken text": (
        f"UPDATE runs SET points = CAST('{{\"t\":3' AS BLOB) WHERE place = {STEPS} + 2",
        "alice/phone/steps [2:3]: the text is damaged",
    ),
    "text that is no UTF-8": (
        f"UPDATE runs SET points = CAST(replace(points, 'two', x'ff') AS BLOB) WHERE place = {STEPS}",
        "alice/phone/steps [0:2]: the text is damaged",
    ),
    "too many in a row": (
        f"UPDATE runs SET points = CAST(points || ',{{\"t\":3}}' AS BLOB) WHERE place = {STEPS} + 2",
        "alice/phone/steps [2:3]: 2 datapoints instead of 1",
    ),
    "a wrong t1": (
        f"UPDATE runs SET t1 = 0.5 WHERE place = {STEPS}",
        "alice/phone/steps [0:2]: t goes from 1.0 to 2.0",
    ),
    "a wrong t2": (f"UPDATE runs SET t2 = 2.5 WHERE place = {STEPS}", "and should go from 1.0 to 2.5"),
    "an empty run": (f"UPDATE runs SET n = 0 WHERE place = {STEPS} + 2", "a run of 0 datapoints"),
    "rows out of order": (
        f"UPDATE runs SET t1 = 1.5, t2 = 1.5, points = CAST('{{\"t\":1.5}}' AS BLOB) WHERE place = {STEPS} + 2",
        "alice/phone/steps [2:3]: begins with t = 1.5, and the one before has t = 2.0",
    ),
    "a row out of order": (
        f'UPDATE runs SET n = 2, points = CAST(\'{{"t":2}},{{"t":1}}\' AS BLOB), t1 = 2, t2 = 1 WHERE place = {STEPS}',
        "t = 1.0 comes after t = 2.0",
    ),
    "a head with too many": (
        "UPDATE heads SET n = 10, arrivals = 10 WHERE substream = 2",
        "alice/phone/steps [9:10]: missing",
    ),
    "a head with too few": (
        "UPDATE heads SET n = 8, arrivals = 8 WHERE substream = 2",
        "alice/phone/steps [8:9]: more than the 8",
    ),
    "a head with a wrong time": (
        "UPDATE heads SET t = 99 WHERE substream = 2",
        "alice/phone/steps [8:9]: the newest has t = 8.0, and should have t = 99.0",
    ),
    "wrong arrivals": (
        "UPDATE heads SET arrivals = 11 WHERE substream = 2",
        "alice/phone/steps: the state is 11, with 9 datapoints; by what is noted there should be 11",
    ),
    "wrong merges": (
        "UPDATE heads SET merges = 0 WHERE substream = 2",
        "alice/phone/steps: stored datapoints have changed 0 times, and 1 notes tell of that",
    ),
    "a change that refers to nothing": (
        "UPDATE changes SET runs = CAST('[90,1]' AS BLOB)",
        "alice/phone/steps: the note on late datapoints at 6 tells of datapoints that are not there: [90, 1]",
    ),
    "a change that cannot be read": (
        "UPDATE changes SET runs = x'00'",
        "alice/phone/steps: the note on late datapoints at 6 cannot be read",
    ),
    "no head": ("DELETE FROM heads WHERE substream = 3", "alice/phone/steps/downlink: has no head"),
    "a downlink's data": (
        "UPDATE heads SET n = 2, arrivals = 2 WHERE substream = 5",
        "alice/phone/lamp/downlink [1:2]: missing",
    ),
    "rows of a deleted stream": (
        "DELETE FROM heads WHERE substream IN (4, 5); DELETE FROM streams WHERE id = 2",
        "table runs: has rows of a stream that is not there (id 2, downlink)",
    ),
    "a downlink of a deleted stream": (
        "UPDATE downlinks SET stream = 77",
        "table downlinks: has rows of a stream that is not there (id 77, downlink)",
    ),
    "a receipt of a deleted stream": (
        "UPDATE receipts SET substream = 30",
        "table receipts: has rows of a stream that is not there (id 15)",
    ),
    "a head of a deleted stream": ("DELETE FROM streams WHERE id = 2", "table heads: has a row of a stream"),
    "changes of a deleted stream": ("UPDATE changes SET place = 99 << 38", "table changes: has rows of a stream"),
    "rows that a merge has left": (
        "INSERT INTO runs (place, n, t1, t2, points) VALUES (-5, 1, 1, 1, x'')",
        "table runs: has rows of a stream",
    ),
    "a receipt without a number": ("UPDATE receipts SET last = 0", "alice/phone/steps: the receipt of source 'u'"),
    "a downlink in no state": ("UPDATE downlinks SET state = 44", "alice/phone/lamp/downlink: the request with id 1"),
    "a downlink that is not found": ("UPDATE downlinks SET digest = 1", "it is not found by its value"),
    "a downlink that cannot be read": ("UPDATE downlinks SET d = x'7b'", "the text is damaged"),
    "a downlink with a wrong result": ("UPDATE downlinks SET result = CAST('{}' AS BLOB)", "its result is no array"),
    "a device without a user": (
        "DELETE FROM users",
        "table devices: row 1 belongs to a row of users that is not there",
    ),
    "a wrong digest": ("UPDATE devices SET apikey = 'other'", "alice/phone: is not found by its API key"),
    "a wrong e-mail key": ("UPDATE users SET email_key = 'x'", "alice: is not found by its e-mail address"),
    "a user's name": ("UPDATE users SET name = 'a/b'", "table users: 'a/b' is no valid name"),
    "a device's name": ("UPDATE devices SET name = ''", "alice: has a device ''"),
    "a stream's name": ("UPDATE streams SET name = '1' WHERE id = 2", "alice/phone: has a stream '1'"),
    "a broken schema": ("UPDATE streams SET schema = '{' WHERE id = 1", "alice/phone/steps: the schema is damaged"),
    "a missing index": ("DROP INDEX downlinks_value", "the database: index downlinks_value is missing"),
    "somebody else's table": ("CREATE TABLE x (y)", "the database: table x is none of ConnectorDB's"),
    "another table": ("ALTER TABLE users ADD COLUMN x TEXT", "the database: table users is not made as it should be"),
    "a forged migration": ("DELETE FROM migrations WHERE version = 1", "table migrations: tells of"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_and_named(path: Path, damage: str) -> None:
    sql, expected = DAMAGES[damage]
    run(path, sql)
    told = found(path)
    assert any(expected in one for one in told), told


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """`fill`, with ``alice/phone/steps`` in two blocks, ``[0, 9)`` and numbers at ``[9, 59)``, and text behind them."""
    path = tmp_path / "sealed.db"
    with SQLiteStore(path, seal_after_s=None) as store:
        steps, _ = fill(store)
        assert store.seal(steps, MAIN) == 9
    with closing(apsw.Connection(str(path))) as connection:  # so that they are not joined
        put_sealed(connection, place_of(2, 9), sealed_of(block(*((10.0 + i, i % 7) for i in range(50)))))
        connection.execute("UPDATE heads SET n = 59, arrivals = 59, t = 59, sealed = 59 WHERE substream = 2")
    with SQLiteStore(path, seal_after_s=None) as store:
        insert(store, steps, block((60.0, 60)))
    return path


def test_nothing_is_found_where_nothing_is_wrong_with_blocks(sealed: Path) -> None:
    assert found(sealed) == []
    [steps] = usage(sealed, ("alice", "phone", "steps"))
    assert (steps.points, steps.sealed) == (60, 59)


NUMBERS = f"place = {STEPS} + 9"
NUMBERS_BLOCK = f"(SELECT block FROM runs WHERE {NUMBERS})"
WRONG_STATS = "json_set(CAST(stats AS TEXT), '$[{}]', 2.5)"
SEALED_DAMAGES = {
    "a lost block": (f"DELETE FROM blocks WHERE id = {NUMBERS_BLOCK}", "steps [9:59]: its block is missing"),
    "a block of nobody": (
        "INSERT INTO blocks (id, data) VALUES (77, x'00')",
        "table blocks: block 77 belongs to no run",
    ),
    "a block of two runs": (
        f"UPDATE runs SET block = {NUMBERS_BLOCK} WHERE block IS NOT NULL",
        "belongs to 2 runs",
    ),
    "a block of another run": (
        f"UPDATE runs SET block = {NUMBERS_BLOCK} WHERE place = {STEPS}",
        "steps [0:9]: a block of 50 datapoints instead of 9",
    ),
    "a block that is cut off": (
        f"UPDATE blocks SET data = substr(data, 1, length(data) - 1) WHERE id = {NUMBERS_BLOCK}",
        "steps [9:59]: a block is damaged",
    ),
    "an empty block": (f"UPDATE blocks SET data = x'' WHERE id = {NUMBERS_BLOCK}", "steps [9:59]: a block is damaged"),
    "a block of a version that is not known": (
        f"UPDATE blocks SET data = CAST(x'ff' || substr(data, 2) AS BLOB) WHERE id = {NUMBERS_BLOCK}",
        "steps [9:59]: a block has version 255",
    ),
    "text and a block": (
        f"UPDATE runs SET points = x'00' WHERE {NUMBERS}",
        "steps [9:59]: it has both text and a block",
    ),
    "neither text nor a block": (f"UPDATE runs SET block = NULL WHERE {NUMBERS}", "and is described as a block"),
    "a wrong number": (f"UPDATE runs SET n = 49 WHERE {NUMBERS}", "a block of 50 datapoints instead of 49"),
    "a wrong first time": (f"UPDATE runs SET t1 = 9.5 WHERE {NUMBERS}", "t goes from 10.0 to 59.0, and should go from"),
    "a wrong last time": (f"UPDATE runs SET t2 = 59.5 WHERE {NUMBERS}", "and should go from 10.0 to 59.5"),
    "no size": (f"UPDATE runs SET size = NULL WHERE {NUMBERS}", "its text is said to be None bytes long"),
    "a size too small": (f"UPDATE runs SET size = 9 WHERE {NUMBERS}", "its text is said to be 9 bytes long"),
    "a size too large": (f"UPDATE runs SET size = 1e6 WHERE {NUMBERS}", "its text is said to be 1000000 bytes long"),
    "statistics that cannot be read": (
        f"UPDATE runs SET stats = x'00' WHERE {NUMBERS}",
        "steps [9:59]: its statistics cannot be read",
    ),
    "statistics of other than numbers": (
        f"UPDATE runs SET stats = (SELECT stats FROM runs WHERE {NUMBERS}) WHERE place = {STEPS}",
        "steps [0:9]: it has statistics, and not all of its values are numbers",
    ),
    **{
        f"wrong {name}": (
            f"UPDATE runs SET stats = CAST({WRONG_STATS.format(position)} AS BLOB) WHERE {NUMBERS}",
            "steps [9:59]: its statistics are wrong: ",
        )
        for position, name in enumerate(("low", "t_low", "high", "t_high", "total", "first", "last"))
    },
    "more sealed than there are": (
        "UPDATE heads SET sealed = 61 WHERE substream = 2",
        "steps: 61 datapoints should be in blocks, and there are 60",
    ),
    "text that should be sealed": (
        "UPDATE heads SET sealed = 60 WHERE substream = 2",
        "steps [59:60]: the first 60 datapoints should be in blocks, and these are not",
    ),
    "sealed to the midst of a block": (
        "UPDATE heads SET sealed = 20 WHERE substream = 2",
        "steps [9:59]: the first 20 datapoints should be in blocks, and these are not",
    ),
    "a negative number sealed": (
        "UPDATE heads SET sealed = -1 WHERE substream = 2",
        "steps: -1 datapoints should be in blocks",
    ),
}


@pytest.mark.parametrize("damage", SEALED_DAMAGES)
def test_damage_of_blocks_is_found_and_named(sealed: Path, damage: str) -> None:
    sql, expected = SEALED_DAMAGES[damage]
    run(sealed, sql)
    told = found(sealed)
    assert any(expected in one for one in told), told


@pytest.fixture
def corrected(tmp_path: Path) -> Path:
    """`fill`, where of ``alice/phone/steps`` two were deleted (1), one updated (2), one deleted for good (3), and the
    update undone (4); the rest is one block."""
    path = tmp_path / "corrected.db"
    with SQLiteStore(path, seal_after_s=None, clock=lambda: 5.0) as store:
        steps, _ = fill(store)
        works: list[Callable[[Transaction], Correction]] = [
            lambda tx: tx.delete_points(steps, MAIN, 1, 3, by="alice/user", why="a test"),
            lambda tx: tx.update_point(steps, MAIN, 1, b"44", by="alice/user"),
            lambda tx: tx.delete_points(steps, MAIN, 6, 7, by="alice/user", keep=False),
            lambda tx: tx.undo(steps, MAIN, 2, by="alice/user"),
        ]
        assert [store.submit(work).result().id for work in works] == [1, 2, 3, 4]
        store.seal(steps, MAIN)
    return path


def test_nothing_is_found_where_nothing_is_wrong_with_corrections(corrected: Path) -> None:
    assert found(corrected) == []


LEDGER_DAMAGES = {
    "an unknown kind": ("UPDATE corrections SET kind = 9 WHERE id = 1", "correction with id 1: there is no kind 9"),
    "no datapoints": ("UPDATE corrections SET n = 0 WHERE id = 3", "correction with id 3: it is of 0 datapoints at 6"),
    "a wrong time": ("UPDATE corrections SET t2 = 0 WHERE id = 3", "id 3: it is of 1 datapoints at 6, from t = 8.0 to"),
    "an undo of nothing": ("UPDATE corrections SET undoes = NULL WHERE id = 4", "id 4: it takes back another one and"),
    "an undo of another one": ("UPDATE corrections SET undoes = 1 WHERE id = 4", "id 4: it takes back that with id 1,"),
    "an undo of what is not there": (
        "UPDATE corrections SET undoes = 99 WHERE id = 4",
        "id 4: it takes back that with",
    ),
    "an undo that is not known": ("UPDATE corrections SET undone = 1 WHERE id = 3", "id 3: it is taken back by that"),
    "a kept one that is lost": (
        "DELETE FROM removed WHERE correction = 1",
        "id 1: of the 2 datapoints that were there",
    ),
    "a part of a kept one that is lost": (
        "DELETE FROM removed WHERE correction = 1 AND i = 1",
        "id 1: of the 2 datapoints that were there before, 1 are kept",
    ),
    "a kept one that should not be": (
        "UPDATE corrections SET kept = 0 WHERE id = 1",
        "id 1: what was there before should not be kept, and is",
    ),
    "a kept one of nothing": (
        "UPDATE removed SET correction = 77 WHERE i = 2",
        "table removed: what was there before the correction with id 77, at 2: there is no such correction",
    ),
    "a kept one that cannot be read": (
        "UPDATE removed SET points = x'00' WHERE correction = 1",
        "alice/phone/steps: what was there before the correction with id 1, at 1: the text is damaged",
    ),
    "a note that is lost": (
        "DELETE FROM changes WHERE correction = 3",
        "alice/phone/steps: the correction with id 3: what it did is not noted at 11",
    ),
    "a note of another kind": ("UPDATE changes SET kind = 2 WHERE correction = 3", "id 3: what it did is not noted"),
    "a note of no kind": (
        "UPDATE changes SET kind = 7 WHERE correction = 3",
        "the note on a change of an unknown kind",
    ),
    "a note of nothing": ("UPDATE changes SET correction = 99 WHERE correction = 3", "id 3: what it did is not noted"),
    "a note with too much": (
        "UPDATE changes SET runs = CAST('[6,9]' AS BLOB) WHERE correction = 3",
        "the note on deleted datapoints at 11 tells of datapoints that are not there: [6, 9]",
    ),
    "a state that is too large": (
        "UPDATE heads SET arrivals = arrivals + 1 WHERE substream = 2",
        "alice/phone/steps: the state is 14, with 6 datapoints; by what is noted there should be 7",
    ),
    "corrections of a deleted stream": (
        "UPDATE corrections SET substream = 99 << 1",
        "table corrections: has rows of a stream that is not there (id 99)",
    ),
}


@pytest.mark.parametrize("damage", LEDGER_DAMAGES)
def test_damage_of_the_ledger_is_found_and_named(corrected: Path, damage: str) -> None:
    sql, expected = LEDGER_DAMAGES[damage]
    run(corrected, sql)
    told = found(corrected)
    assert any(expected in one for one in told), told


def test_damage_in_one_stream_is_told_of_that_one_only(path: Path) -> None:
    run(path, f"UPDATE runs SET points = x'00' WHERE place = {STEPS} + 2")
    [one] = check(path)
    assert (one.where, one.i1, one.i2) == ("alice/phone/steps", 2, 3)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Has rows that reach over many pages, in three streams."""
    path = tmp_path / "large.db"
    with SQLiteStore(path, seal_after_s=None) as store:
        steps, lamp = fill(store)
        for i in range(200):
            insert(store, lamp if i % 2 else steps, block(*((10.0 + i, f"{i} {'x' * 100}") for _ in range(100))))
    return path


def middle_of(path: Path, text: bytes) -> int:
    """Where *text* stands in the midst of a row that repeats it: not where pages that were split have left some."""
    places = [match.start() for match in re.finditer(text, path.read_bytes())]
    return places[len(places) // 2]


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def test_flipped_bytes_in_the_text_cost_one_row_only(large: Path) -> None:
    overwrite(large, middle_of(large, b'"150 xxx') + 2, b"\x00\xff")
    [one] = check(large)
    assert one.where == "alice/phone/steps"
    assert (one.i1, one.i2) == (9 + 75 * 100, 9 + 76 * 100)
    assert "the text is damaged" in one.problem


def test_a_lost_overflow_page_costs_one_row_only(large: Path) -> None:
    overwrite(large, middle_of(large, b'"151 xxx') // 4096 * 4096, b"\xff\xff\xff\xff")  # where the row goes on
    told = list(check(large))
    assert any(one.where.startswith("table runs") for one in told)
    [of_stream] = [one for one in told if one.where == "alice/phone/lamp"]
    assert (of_stream.i1, of_stream.i2) == (75 * 100, 76 * 100)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_pages_that_are_zeroed_are_found(large: Path, share: float) -> None:
    pages = large.stat().st_size // 4096
    overwrite(large, int(pages * share) * 4096, bytes(4096 * 20))
    assert list(check(large))


def test_a_file_that_is_cut_off_is_found(large: Path) -> None:
    with large.open("r+b") as file:
        file.truncate(large.stat().st_size // 2)
    assert list(check(large))


def test_a_destroyed_header_is_found(large: Path) -> None:
    overwrite(large, 0, b"\xff" * 100)
    [one] = check(large)
    assert "is no SQLite database" in one.problem


def test_an_empty_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "s.db").touch()
    [one] = check(tmp_path / "s.db")
    assert "it is empty" in one.problem


def test_databases_of_others_and_of_newer_versions_are_refused(path: Path, tmp_path: Path) -> None:
    run(path, "PRAGMA user_version = 99")
    with pytest.raises(FolderError, match="install the newer"):
        list(check(path))
    run(tmp_path / "other.db", "CREATE TABLE recipes (name)")
    with pytest.raises(StoreError, match="not one of ConnectorDB"):
        list(check(tmp_path / "other.db"))


def test_nothing_is_found_while_others_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inserts, merges, corrections, sealing, and streams that come and go."""
    tighten(monkeypatch.setattr)
    monkeypatch.setattr(_check_points, "_STEP_BYTES", 500)  # many steps, between which all moves
    monkeypatch.setattr(_check_ledger, "_STEP_BYTES", 500)
    monkeypatch.setattr(_check_ledger, "_CORRECTIONS", 2)
    path = tmp_path / "s.db"
    with SQLiteStore(path, seal_after_s=None) as store:
        load = Load(store, make_streams(store, 3), random.Random(1))
        for _ in range(30):
            load.work()
        ended = threading.Event()

        def disturb() -> None:
            while not ended.is_set():
                load.work()

        thread = threading.Thread(target=disturb)
        thread.start()
        try:
            rounds = 0
            while rounds < 20:
                works = len(load.states)
                assert list(check(path)) == []
                rounds += len(load.states) > works + 2
        finally:
            ended.set()
            thread.join()


def test_a_long_run_of_equal_time_stamps_is_not_looked_at_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two steps others insert before them, each time."""
    monkeypatch.setattr(_check_points, "_STEP_BYTES", 500)
    path = tmp_path / "s.db"
    with SQLiteStore(path, seal_after_s=None) as store:
        [stream] = make_streams(store, 1)
        for _ in range(20):
            insert(store, stream, block(*((100.0, i) for i in range(50))))
        insert(store, stream, block(*((100.0 + i, i) for i in range(50))))

        def disturb(done: int, total: int) -> None:
            insert(store, stream, block((1.0, "late")), Mode.MERGE)

        assert list(check(path, progress=disturb)) == []
    assert list(check(path)) == []


def test_progress_reaches_the_end(large: Path) -> None:
    told: list[tuple[int, int]] = []
    assert list(check(large, progress=lambda done, total: told.append((done, total)))) == []
    assert told[-1] == (20_010, 20_010)
    assert told == sorted(told)


# -- usage -----------------------------------------------------------------------------------------------------------


def test_usage_adds_up(path: Path) -> None:
    rows = {row.path: row for row in usage(path)}
    assert list(rows) == ["alice", "alice/phone", "alice/phone/steps", "alice/phone/lamp", "alice/phone/lamp/downlink"]
    steps = rows["alice/phone/steps"]
    assert (steps.points, steps.first, steps.last) == (9, 1.0, 8.0)
    assert rows["alice/phone/lamp"] == Usage("alice/phone/lamp")
    assert rows["alice/phone/lamp"].bytes_per_point is None
    assert rows["alice"].points == rows["alice/phone"].points == 10
    assert rows["alice"].bytes == steps.bytes + rows["alice/phone/lamp/downlink"].bytes
    assert (rows["alice"].first, rows["alice"].last) == (1.0, 8.0)
    text = b"[" + b",".join(msgspec.json.encode(Datapoint(1.0, d)) for d in (True,)) + b"]"
    assert rows["alice/phone/lamp/downlink"].bytes == len(text) - 2


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("alice", "phone"), ["alice/phone", "alice/phone/steps", "alice/phone/lamp", "alice/phone/lamp/downlink"]),
        (("alice", "phone", "steps"), ["alice/phone/steps"]),
        (("alice", "pho"), []),
        (("bob",), []),
    ],
)
def test_usage_of_a_part(path: Path, names: tuple[str, ...], expected: list[str]) -> None:
    assert [row.path for row in usage(path, names)] == expected
