"""Downlinks as the store keeps them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import apsw
import msgspec
import pytest
from store_model import Clock, block, insert, make_streams, values

from connectordb.errors import NotFound
from connectordb.store._migrate import load_migrations, migrate
from connectordb.store.base import Transaction
from connectordb.store.records import Device, Downlink, DownlinkState, Mode, Stream, Substream, User
from connectordb.store.sqlite import SQLiteStore

T = TypeVar("T")

S = DownlinkState
FINAL = [S.ACKNOWLEDGED, S.REFUSED, S.EXPIRED, S.SUPERSEDED]
FOR_EVER = 1e12


@pytest.fixture
def stream(sqlite_store: SQLiteStore) -> int:
    return make_streams(sqlite_store, 1)[0]


def do(store: SQLiteStore, work: Callable[[Transaction], T]) -> T:
    return store.submit(work).result()


def new(stream: int, d: Any = True, *, expires: float = FOR_EVER, o: str = "bob/user", **given: Any) -> Downlink:
    text = d if isinstance(d, bytes) else json.dumps(d).encode()
    return Downlink(stream_id=stream, t=1.0, d=text, o=o, expires=expires, changed=1.0, **given)


def add(store: SQLiteStore, *made: Downlink) -> list[Downlink]:
    return do(store, lambda tx: tx.add_downlinks(made))


def change(store: SQLiteStore, downlink: Downlink, state: S, **given: Any) -> Downlink:
    changed = msgspec.structs.replace(downlink, state=state, **given)
    do(store, lambda tx: tx.change_downlinks([changed]))
    return changed


def equal(store: SQLiteStore, stream: int, *texts: str, limit: int = 100, by: str = "") -> list[tuple[int, int]]:
    found = do(store, lambda tx: tx.equal_downlinks(stream, by, (text.encode() for text in texts), limit))
    return sorted((one.id, i) for one, i in found)


def ids(found: list[Downlink]) -> list[int]:
    return [one.id for one in found]


def make_stream_of(user: str, store: SQLiteStore) -> int:
    def work(tx: Transaction) -> int:
        made = tx.create_user(User(name=user, email=""))
        device = tx.create_device(Device(user_id=made.id, name="d"))
        return tx.create_stream(Stream(device_id=device.id, name="s")).id

    return do(store, work)


def test_what_is_added_comes_back_as_it_was(sqlite_store: SQLiteStore, stream: int) -> None:
    made = [
        new(stream, {"a": [1, None, "ü"]}),
        new(stream, b"123456789012345678901234567890", o="x/y", state=S.REFUSED, by="me", msg="no", result=b"[]"),
        new(stream, b"1.0"),
        new(stream, None),
    ]
    added = add(sqlite_store, *made)
    assert ids(added) == sorted(set(ids(added)))
    assert [msgspec.structs.replace(one, id=0) for one in added] == made
    assert [sqlite_store.downlink(stream, one.id) for one in added] == added
    assert do(sqlite_store, lambda tx: tx.downlink(stream, added[1].id)) == added[1]
    assert sqlite_store.downlinks(stream, limit=10) == added


def test_a_downlink_is_found_in_its_own_stream_only(sqlite_store: SQLiteStore) -> None:
    one, other = make_streams(sqlite_store, 2)
    [made] = add(sqlite_store, new(one))
    assert sqlite_store.downlink(other, made.id) is None
    assert sqlite_store.downlink(one, made.id + 1) is None
    assert sqlite_store.downlinks(other, limit=10) == []
    assert sqlite_store.open_downlinks(other, limit=10) == []
    assert equal(sqlite_store, other, "true") == []
    assert do(sqlite_store, lambda tx: tx.supersede_downlinks(other)) == []
    assert sqlite_store.downlink(one, made.id) == made


def test_ids_of_many_follow_one_another_and_are_never_used_again(sqlite_store: SQLiteStore, stream: int) -> None:
    added = add(sqlite_store, *(new(stream, i) for i in range(1234)))
    assert ids(added) == list(range(added[0].id, added[0].id + 1234))
    assert sqlite_store.downlinks(stream, limit=2000) == added
    do(sqlite_store, lambda tx: tx.delete_stream(stream))
    [again] = add(sqlite_store, new(make_stream_of("bob", sqlite_store)))
    assert again.id > added[-1].id


def test_a_queued_one_is_expired_from_the_moment_on_at_which_it_is_over(
    sqlite_store: SQLiteStore, stream: int, clock: Clock
) -> None:
    waiting, taken = add(sqlite_store, new(stream, expires=clock.now + 5), new(stream, expires=clock.now + 5))
    taken = change(sqlite_store, taken, S.DELIVERED)
    clock.now += 4.5
    assert sqlite_store.downlink(stream, waiting.id) == waiting
    assert ids(sqlite_store.downlinks(stream, state=S.QUEUED, limit=9)) == [waiting.id]
    assert equal(sqlite_store, stream, "true") == [(waiting.id, 0), (taken.id, 0)]
    assert sqlite_store.open_downlinks(stream, limit=9) == [waiting, taken]
    clock.now += 0.5
    over = msgspec.structs.replace(waiting, state=S.EXPIRED, changed=waiting.expires)
    assert sqlite_store.downlink(stream, waiting.id) == over
    assert do(sqlite_store, lambda tx: tx.downlink(stream, waiting.id)) == over
    assert sqlite_store.downlinks(stream, state=S.QUEUED, limit=9) == []
    assert sqlite_store.downlinks(stream, state=S.EXPIRED, limit=9) == [over]
    assert sqlite_store.downlinks(stream, limit=9) == [over, taken]
    assert sqlite_store.open_downlinks(stream, limit=9) == []
    assert equal(sqlite_store, stream, "true") == [(taken.id, 0)]
    assert do(sqlite_store, lambda tx: tx.settle_downlinks(stream, 0.0)) == 0
    assert sqlite_store.downlinks(stream, limit=9) == [over, taken]


def test_superseding_takes_what_is_queued_and_nothing_else(
    sqlite_store: SQLiteStore, stream: int, clock: Clock
) -> None:
    made = add(sqlite_store, *(new(stream, state=state) for state in S), new(stream), new(stream, expires=clock.now))
    superseded = do(sqlite_store, lambda tx: tx.supersede_downlinks(stream))
    assert ids(superseded) == [made[0].id, made[6].id]
    assert {(one.state, one.changed) for one in superseded} == {(S.SUPERSEDED, clock.now)}
    after = sqlite_store.downlinks(stream, limit=99)
    assert [one.state for one in after] == [S.SUPERSEDED, *list(S)[1:], S.SUPERSEDED, S.EXPIRED]


def test_lists_hold_the_newest_in_order_and_can_be_of_one_sender(sqlite_store: SQLiteStore, stream: int) -> None:
    made = add(sqlite_store, *(new(stream, i, o=f"{'ab'[i % 2]}/x", state=S(i % 3)) for i in range(30)))
    assert sqlite_store.downlinks(stream, limit=7) == made[-7:]
    assert sqlite_store.downlinks(stream, state=S.DELIVERED, limit=3) == [made[i] for i in (22, 25, 28)]
    assert sqlite_store.downlinks(stream, o="a/x", limit=4) == [made[i] for i in (22, 24, 26, 28)]
    assert sqlite_store.downlinks(stream, state=S.QUEUED, o="b/x", limit=2) == [made[i] for i in (21, 27)]
    assert sqlite_store.downlinks(stream, o="c/x", limit=4) == []


def test_what_is_still_to_be_done_is_read_on_from_an_id(sqlite_store: SQLiteStore, stream: int) -> None:
    made = add(sqlite_store, *(new(stream, i, state=S(i % 3)) for i in range(30)))
    still = [one for one in made if one.state <= S.DELIVERED]
    assert sqlite_store.open_downlinks(stream, limit=5) == still[:5]
    assert sqlite_store.open_downlinks(stream, after=still[4].id, limit=50) == still[5:]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1", "1.0", True),
        ("1", "true", False),
        ("0", "false", False),
        ("0", "-0.0", True),
        ("0", "null", False),
        ("1", '"1"', False),
        ("100", "1e2", True),
        ("0.1", "1e-1", True),
        ("9007199254740993", "9007199254740992", False),
        ("9007199254740993", "9007199254740993.0", False),
        ("123456789012345678901234567890", "123456789012345678901234567890", True),
        ("123456789012345678901234567890", "123456789012345678901234567891", False),
        ("18446744073709551616", "1.8446744073709551616e19", True),
        ('{"a": 1, "b": [true]}', '{"b":[true],"a":1.0}', True),
        ('{"a": 1, "b": [true]}', '{"b":[1],"a":1}', False),
        ('{"a": null}', "{}", False),
        ("[1,2]", "[2,1]", False),
        ("[]", "{}", False),
        ('"\\u00fc\\ud83d\\ude00"', '"ü😀"', True),
        ('"é"', '"e\u0301"', False),
        ("null", "null", True),
        ("[" * 900 + "]" * 900, "[" * 900 + "]" * 900, True),
    ],
)
def test_values_are_compared_as_json(sqlite_store: SQLiteStore, stream: int, one: str, other: str, same: bool) -> None:
    for asked, told in ((one, other), (other, one)):
        [made] = add(sqlite_store, new(stream, asked.encode()))
        assert (equal(sqlite_store, stream, told) == [(made.id, 0)]) is same
        change(sqlite_store, made, S.REFUSED)


def test_each_equal_one_is_found_with_the_last_position_of_its_value(sqlite_store: SQLiteStore, stream: int) -> None:
    made = ids(add(sqlite_store, *(new(stream, d) for d in ("a", "b", "a", "c"))))
    assert equal(sqlite_store, stream, '"b"', '"a"', '"x"', '"a"') == [(made[0], 3), (made[1], 0), (made[2], 3)]
    assert equal(sqlite_store, stream, '"a"', limit=1) == [(made[2], 0)]


def test_equal_ones_are_found_among_very_many(sqlite_store: SQLiteStore, stream: int) -> None:
    made = add(sqlite_store, *(new(stream, i) for i in range(3000)))
    texts = [str(i) for i in range(1000, 4000)]
    assert equal(sqlite_store, stream, *texts, limit=9999) == [(one.id, i) for i, one in enumerate(made[1000:])]
    assert len(equal(sqlite_store, stream, *texts, limit=700)) == 700


def test_equal_ones_are_those_of_one_process(sqlite_store: SQLiteStore, stream: int) -> None:
    made = add(sqlite_store, *(new(stream, by=by) for by in ("", "a", "b", "a")))
    assert equal(sqlite_store, stream, "true", by="a") == [(made[1].id, 0), (made[3].id, 0)]
    assert equal(sqlite_store, stream, "true", by="a", limit=1) == [(made[3].id, 0)]
    assert equal(sqlite_store, stream, "true", by="c") == []


def test_values_are_not_looked_at_if_nothing_is_open(sqlite_store: SQLiteStore, stream: int) -> None:
    add(sqlite_store, *(new(stream, state=state) for state in FINAL))

    def never() -> Any:
        raise AssertionError
        yield

    assert do(sqlite_store, lambda tx: tx.equal_downlinks(stream, "", never(), 9)) == []


def test_final_ones_are_forgotten_when_nothing_has_changed_for_long(sqlite_store: SQLiteStore, stream: int) -> None:
    old = add(sqlite_store, *(new(stream, state=state) for state in S))
    young = add(sqlite_store, *(new(stream, state=state) for state in S))
    for one in young:
        change(sqlite_store, one, one.state, changed=50.0)
    assert do(sqlite_store, lambda tx: tx.settle_downlinks(stream, 50.0)) == 2
    assert ids(sqlite_store.downlinks(stream, limit=99)) == ids(old[:2] + young)


def test_delivered_ones_that_are_long_over_are_forgotten(sqlite_store: SQLiteStore, stream: int, clock: Clock) -> None:
    over, still = add(sqlite_store, new(stream, expires=clock.now + 1), new(stream))
    change(sqlite_store, over, S.DELIVERED)
    still = change(sqlite_store, still, S.DELIVERED)
    clock.now += 100
    do(sqlite_store, lambda tx: tx.settle_downlinks(stream, clock.now - 200))
    assert len(sqlite_store.downlinks(stream, limit=9)) == 2
    do(sqlite_store, lambda tx: tx.settle_downlinks(stream, clock.now - 50))
    assert sqlite_store.downlinks(stream, limit=9) == [still]


def test_a_backlog_is_forgotten_bit_by_bit(sqlite_store: SQLiteStore, stream: int) -> None:
    add(sqlite_store, *(new(stream, state=S.EXPIRED) for _ in range(1000)))
    left = []
    for _ in range(12):
        do(sqlite_store, lambda tx: tx.settle_downlinks(stream, 50.0, 1))
        left.append(len(sqlite_store.downlinks(stream, limit=2000)))
    assert left[0] >= 500
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0


@pytest.mark.parametrize("what", ["stream", "device", "user"])
def test_downlinks_go_with_what_they_belong_to(sqlite_store: SQLiteStore, what: str) -> None:
    streams = make_streams(sqlite_store, 2)
    add(sqlite_store, *(new(stream) for stream in streams))
    other = make_stream_of("bob", sqlite_store)
    [kept] = add(sqlite_store, new(other))
    user = sqlite_store.user("alice")
    assert user is not None
    [device] = sqlite_store.devices(user.id)
    delete = {
        "stream": lambda tx: [tx.delete_stream(stream) for stream in streams],
        "device": lambda tx: tx.delete_device(device.id),
        "user": lambda tx: tx.delete_user(user.id),
    }[what]
    do(sqlite_store, delete)
    for stream in streams:
        assert sqlite_store.downlinks(stream, limit=9) == []
    assert sqlite_store.downlinks(other, limit=9) == [kept]


def test_a_failed_work_leaves_no_downlinks_and_no_changes(sqlite_store: SQLiteStore, stream: int) -> None:
    [made] = add(sqlite_store, new(stream))

    def work(tx: Transaction) -> None:
        tx.append(stream, Substream.DOWNLINK, block((1.0, 1)))
        tx.add_downlinks([new(stream)])
        tx.supersede_downlinks(stream)
        raise NotFound("no")

    with pytest.raises(NotFound):
        do(sqlite_store, work)
    assert sqlite_store.downlinks(stream, limit=9) == [made]
    assert values(sqlite_store, stream, substream=Substream.DOWNLINK) == []


def test_downlinks_and_datapoints_of_works_that_share_a_commit(sqlite_store: SQLiteStore, stream: int) -> None:
    def work(i: int) -> Callable[[Transaction], list[Downlink]]:
        def run(tx: Transaction) -> list[Downlink]:
            tx.append(stream, Substream.DOWNLINK, block((float(i), i)))
            if i % 3 == 2:
                raise NotFound("no")
            return tx.add_downlinks([new(stream, i)])

        return run

    futures = [sqlite_store.submit(work(i)) for i in range(60)]
    made = [future.result()[0] for i, future in enumerate(futures) if i % 3 != 2]
    assert sqlite_store.downlinks(stream, limit=99) == made
    kept = [i for i in range(60) if i % 3 != 2]
    assert values(sqlite_store, stream, substream=Substream.DOWNLINK) == [(float(i), i) for i in kept]


def test_a_restart_keeps_everything(tmp_path: Path, clock: Clock) -> None:
    with SQLiteStore(tmp_path / "s.db", clock=clock) as store:
        [stream] = make_streams(store, 1)
        made = add(store, *(new(stream, i, state=S(i % 6), by=str(i), result=b"[{}]") for i in range(12)))
    with SQLiteStore(tmp_path / "s.db", clock=clock) as store:
        assert store.downlinks(stream, limit=99) == made
        assert add(store, new(stream))[0].id == made[-1].id + 1


def test_a_database_of_the_version_before_gets_downlinks(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with closing(apsw.Connection(str(path))) as connection:
        migrate(connection, path, load_migrations()[:1])
    with SQLiteStore(path) as store:
        [stream] = make_streams(store, 1)
        assert add(store, new(stream)) == store.downlinks(stream, limit=9)
        insert(store, stream, block((1.0, 1)), Mode.RESTAMP)


@pytest.mark.parametrize("seed", range(5))
def test_any_sequence_of_calls_does_what_a_list_would(sqlite_store: SQLiteStore, clock: Clock, seed: int) -> None:
    chance = random.Random(seed)
    streams = make_streams(sqlite_store, 2)
    model: dict[int, Downlink] = {}

    def now(one: Downlink) -> Downlink:
        if one.state is S.QUEUED and one.expires <= clock.now:
            return msgspec.structs.replace(one, state=S.EXPIRED, changed=one.expires)
        return one

    def of(stream: int, *states: S) -> list[Downlink]:
        return [now(one) for one in model.values() if one.stream_id == stream and now(one).state in (states or S)]

    for _ in range(150):
        stream = chance.choice(streams)
        match chance.randrange(6):
            case 0 | 1:
                made = [
                    new(stream, chance.choice([1, True, "x"]), expires=clock.now + chance.choice([1, 5, 1e6]))
                    for _ in range(chance.choice([1, 1, 3, 120]))
                ]
                model |= {one.id: one for one in add(sqlite_store, *made)}
            case 2:
                clock.now += chance.choice([0.5, 3.0])
            case 3:
                for one in do(sqlite_store, lambda tx, stream=stream: tx.supersede_downlinks(stream)):
                    assert now(model[one.id]).state is S.QUEUED
                    model[one.id] = one
                assert of(stream, S.QUEUED) == []
            case 4:
                waiting = do(sqlite_store, lambda tx, stream=stream: tx.settle_downlinks(stream, 0.0))
                assert waiting == len(of(stream, S.QUEUED))
            case 5:
                for one in chance.sample(found := of(stream, S.QUEUED, S.DELIVERED), min(len(found), 40)):
                    state = chance.choice([S.DELIVERED, S.REFUSED, S.ACKNOWLEDGED])
                    model[one.id] = change(sqlite_store, one, state, changed=clock.now, by=chance.choice(["me", "you"]))
        assert sqlite_store.downlinks(stream, limit=99999) == of(stream)
        for state in S:
            assert sqlite_store.downlinks(stream, state=state, limit=20) == of(stream, state)[-20:]
        still = [one for one in of(stream, S.QUEUED, S.DELIVERED) if one.expires > clock.now]
        assert sqlite_store.open_downlinks(stream, limit=20) == still[:20]
        same = [one.id for one in of(stream, S.QUEUED, S.DELIVERED) if one.d == b"true" and one.by == "me"]
        assert [id_ for id_, _ in equal(sqlite_store, stream, "true", limit=99999, by="me")] == same
