"""Damage of every kind is found, and told where it is; and nothing is found where nothing is wrong."""

from __future__ import annotations

import re
import threading
from contextlib import closing
from pathlib import Path

import apsw
import msgspec
import pytest
from store_model import appending, block, create_device, create_user, insert

from connectordb.datapoint import Datapoint
from connectordb.errors import FolderError, StoreError
from connectordb.store import _check_points
from connectordb.store.base import Downlink, DownlinkState, Mode, Store, Stream, Substream, Upload
from connectordb.store.check import check
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
        rows = connection.execute("SELECT place - (2 << 38), n FROM tail WHERE place >= 2 << 38 LIMIT 4").fetchall()
        assert rows[0] == (0, 2)
        assert rows[1] == (2, 1)
    assert found(path) == []


STEPS = 2 << 38
DAMAGES = {
    "a gap": (f"DELETE FROM tail WHERE place = {STEPS} + 2", "alice/phone/steps [2:3]: missing"),
    "the end is missing": (
        f"DELETE FROM tail WHERE place = {STEPS} + 7",
        "alice/phone/steps [7:9]: missing",
    ),
    "an overlap": (
        f"UPDATE tail SET n = 3, points = CAST(points || ',{{\"t\":2.5}}' AS BLOB), t2 = 2.5 WHERE place = {STEPS}",
        "alice/phone/steps [2:3]: stored twice",
    ),
    "broken text": (
        f"UPDATE tail SET points = CAST('{{\"t\":3' AS BLOB) WHERE place = {STEPS} + 2",
        "alice/phone/steps [2:3]: the text is damaged",
    ),
    "text that is no UTF-8": (
        f"UPDATE tail SET points = CAST(replace(points, 'two', x'ff') AS BLOB) WHERE place = {STEPS}",
        "alice/phone/steps [0:2]: the text is damaged",
    ),
    "too many in a row": (
        f"UPDATE tail SET points = CAST(points || ',{{\"t\":3}}' AS BLOB) WHERE place = {STEPS} + 2",
        "alice/phone/steps [2:3]: 2 datapoints instead of 1",
    ),
    "a wrong t1": (
        f"UPDATE tail SET t1 = 0.5 WHERE place = {STEPS}",
        "alice/phone/steps [0:2]: t goes from 1.0 to 2.0",
    ),
    "a wrong t2": (f"UPDATE tail SET t2 = 2.5 WHERE place = {STEPS}", "and should go from 1.0 to 2.5"),
    "an empty run": (f"UPDATE tail SET n = 0 WHERE place = {STEPS} + 2", "a run of 0 datapoints"),
    "rows out of order": (
        f"UPDATE tail SET t1 = 1.5, t2 = 1.5, points = CAST('{{\"t\":1.5}}' AS BLOB) WHERE place = {STEPS} + 2",
        "alice/phone/steps [2:3]: begins with t = 1.5, and the one before has t = 2.0",
    ),
    "a row out of order": (
        f'UPDATE tail SET n = 2, points = CAST(\'{{"t":2}},{{"t":1}}\' AS BLOB), t1 = 2, t2 = 1 WHERE place = {STEPS}',
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
        "alice/phone/steps: 11 datapoints have arrived, and 9 are stored",
    ),
    "wrong merges": (
        "UPDATE heads SET merges = 0 WHERE substream = 2",
        "alice/phone/steps: late datapoints came 0 times",
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
        "table tail: has rows of a stream that is not there (id 2, downlink)",
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
    "rows that a merge has left": ("INSERT INTO tail VALUES (-5, 1, 1, 1, x'')", "table tail: has rows of a stream"),
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


def test_damage_in_one_stream_is_told_of_that_one_only(path: Path) -> None:
    run(path, f"UPDATE tail SET points = x'00' WHERE place = {STEPS} + 2")
    [one] = check(path)
    assert (one.where, one.i1, one.i2) == ("alice/phone/steps", 2, 3)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Has rows that reach over many pages, in three streams."""
    path = tmp_path / "large.db"
    with SQLiteStore(path) as store:
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
    assert any(one.where.startswith("table tail") for one in told)
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


def test_nothing_is_found_while_others_insert_merge_and_delete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_check_points, "_STEP_BYTES", 500)  # many steps, between which all moves
    path = tmp_path / "s.db"
    with SQLiteStore(path) as store:
        steps, lamp = fill(store)
        insert(store, steps, block(*((10.0 + i, i) for i in range(3_000))))
        insert(store, lamp, block(*((10.0 + i, i) for i in range(3_000))))
        ended = threading.Event()

        def disturb() -> None:
            i = 0
            while not ended.is_set():
                i += 1
                insert(
                    store, steps, block((10.5 + i * 37 % 2_900, "late"), (11.0 + i * 53 % 2_900, "late")), Mode.MERGE
                )
                insert(store, lamp, block((4_000.0 + i, i)))

        thread = threading.Thread(target=disturb)
        thread.start()
        try:
            rounds = 0
            while rounds < 5:
                merges = store.head(steps, MAIN).merges
                assert list(check(path)) == []
                rounds += store.head(steps, MAIN).merges > merges
            deleting = check(path)
            store.submit(lambda tx: tx.delete_stream(99)).exception()
        finally:
            ended.set()
            thread.join()
        store.submit(lambda tx: tx.delete_stream(lamp)).result()
        assert list(deleting) == []
        assert store.head(steps, MAIN).merges


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
