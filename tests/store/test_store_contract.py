"""What every store has to do. Runs on each kind: see the fixture `store`."""

from __future__ import annotations

import queue
from typing import Any

import msgspec
import pytest
from store_model import (
    Clock,
    appending,
    block,
    create_device,
    create_user,
    insert,
    make_streams,
    select,
    unseen,
    values,
)

from connectordb.block import Block
from connectordb.datapoint import Datapoint
from connectordb.errors import (
    AlreadyExists,
    InvalidRange,
    NotFound,
    TimestampOrder,
    Unavailable,
    UploadConflict,
)
from connectordb.query import Range
from connectordb.store.base import Store, Transaction
from connectordb.store.records import Counts, Cursor, Device, Head, Mode, Stream, Substream, Upload, User

MAIN, DOWNLINK = Substream
ALL = Range()


def test_objects_come_back_as_they_were_stored(store: Store) -> None:
    user = User(
        name="alice",
        nickname="Ålice \U0001f600",
        email="Alice@Example.com",
        description="line\nline \u0000 end",
        icon="material:face",
        role="admin",
        public=True,
        password="$argon2id$x",
    )
    made_user = store.submit(lambda tx: tx.create_user(user)).result()
    assert made_user == msgspec.structs.replace(user, id=made_user.id)
    device = Device(
        user_id=made_user.id,
        name="phone",
        nickname="n",
        description="d",
        icon="i",
        apikey="key",
        enabled=False,
        visible=False,
        user_editable=False,
        public=True,
        role="writer",
    )
    made_device = store.submit(lambda tx: tx.create_device(device)).result()
    stream = Stream(
        device_id=made_device.id,
        name="steps",
        nickname="n",
        description="d",
        icon="i",
        schema='{"type":"number"}',
        datatype="rating.stars",
        ephemeral=True,
        downlink=True,
    )
    made_stream = store.submit(lambda tx: tx.create_stream(stream)).result()
    assert store.user("alice") == store.user_by_id(made_user.id) == made_user
    assert store.users() == [made_user]
    assert store.device(made_user.id, "phone") == store.device_by_apikey("key") == made_device
    assert made_device == msgspec.structs.replace(device, id=made_device.id)
    assert store.devices(made_user.id) == [made_device]
    assert store.stream(made_device.id, "steps") == made_stream
    assert made_stream == msgspec.structs.replace(stream, id=made_stream.id)
    assert store.streams(made_device.id) == [made_stream]
    assert store.counts() == Counts(1, 1, 1)
    assert store.submit(lambda tx: (tx.devices(made_user.id), tx.streams(made_device.id))).result() == (
        [made_device],
        [made_stream],
    )


def test_what_is_not_there_is_none(store: Store) -> None:
    assert store.user("nobody") is None
    assert store.user("half a pair \ud800") is None
    assert store.user_by_id(7) is None
    assert store.user_by_email("nobody@example.com") is None
    assert store.user_by_email("\ud800") is None
    assert store.device(7, "x") is None
    assert store.device_by_apikey("x") is None
    assert store.device_by_apikey("\ud800") is None
    assert store.stream(7, "x") is None
    assert not store.users()
    assert not store.devices(7)
    assert not store.streams(7)
    assert store.counts() == Counts(0, 0, 0)


def test_names_are_unique_per_owner(store: Store) -> None:
    def make(tx: Transaction) -> tuple[User, User, Device, Device]:
        alice = tx.create_user(User(name="alice", email="a@x"))
        bob = tx.create_user(User(name="bob", email="b@x"))
        phone = tx.create_device(Device(user_id=alice.id, name="phone"))
        return alice, bob, phone, tx.create_device(Device(user_id=bob.id, name="phone"))

    alice, _, phone, other_phone = store.submit(make).result()
    store.submit(lambda tx: tx.create_stream(Stream(device_id=phone.id, name="s"))).result()
    store.submit(lambda tx: tx.create_stream(Stream(device_id=other_phone.id, name="s"))).result()
    with pytest.raises(AlreadyExists):
        store.submit(lambda tx: tx.create_user(User(name="alice", email="c@x"))).result()
    with pytest.raises(AlreadyExists):
        store.submit(lambda tx: tx.create_device(Device(user_id=alice.id, name="phone"))).result()
    with pytest.raises(AlreadyExists):
        store.submit(lambda tx: tx.create_stream(Stream(device_id=phone.id, name="s"))).result()
    assert store.counts() == Counts(2, 2, 2)


@pytest.mark.parametrize(("first", "second"), [("a@x.de", "A@X.de"), ("jörg@x.de", "JÖRG@x.de"), ("ß@x", "SS@x")])
def test_mail_addresses_are_unique_without_case(store: Store, first: str, second: str) -> None:
    made = store.submit(lambda tx: tx.create_user(User(name="alice", email=first))).result()
    with pytest.raises(AlreadyExists):
        store.submit(lambda tx: tx.create_user(User(name="bob", email=second))).result()
    bob = store.submit(lambda tx: tx.create_user(User(name="bob", email="bob@x"))).result()
    with pytest.raises(AlreadyExists):
        store.submit(lambda tx: tx.update_user(bob.id, {"email": second})).result()
    assert store.submit(lambda tx: tx.update_user(made.id, {"email": second})).result().email == second
    assert store.user_by_email(first) == store.user_by_email(second) == store.user("alice")


def test_an_empty_mail_address_is_none(store: Store) -> None:
    for name in ("alice", "bob"):
        create_user(store, name, "")
    assert store.user_by_email("") is None


def test_an_api_key_opens_one_device_and_an_empty_one_none(store: Store) -> None:
    user = store.submit(lambda tx: tx.create_user(User(name="alice", email="a@x"))).result()
    for name, key in (("a", "k1"), ("b", ""), ("c", "")):
        create_device(store, user.id, name, key)
    a, b, _ = store.devices(user.id)
    assert store.device_by_apikey("") is None
    with pytest.raises(AlreadyExists):
        store.submit(lambda tx: tx.create_device(Device(user_id=user.id, name="d", apikey="k1"))).result()
    with pytest.raises(AlreadyExists):
        store.submit(lambda tx: tx.update_device(b.id, {"apikey": "k1"})).result()
    store.submit(lambda tx: tx.update_device(a.id, {"apikey": "k2", "enabled": False})).result()
    assert store.device_by_apikey("k1") is None
    found = store.device_by_apikey("k2")
    assert found is not None
    assert (found.id, found.enabled) == (a.id, False)
    store.submit(lambda tx: tx.update_device(b.id, {"apikey": "k1"})).result()
    store.submit(lambda tx: tx.update_device(a.id, {"apikey": ""})).result()
    assert store.device_by_apikey("k2") is None


def test_updates_set_the_fields_given_and_no_others(store: Store, stream: int) -> None:
    changed = store.submit(lambda tx: tx.update_stream(stream, {"schema": '{"type":"string"}', "downlink": True}))
    assert (changed.result().schema, changed.result().downlink) == ('{"type":"string"}', True)
    assert store.stream(changed.result().device_id, "s0") == changed.result()
    assert store.submit(lambda tx: tx.update_stream(stream, {})).result() == changed.result()


@pytest.mark.parametrize("changes", [{"id": 5}, {"name": "x"}, {"device_id": 5}, {"color": "red"}])
def test_fields_that_are_fixed_or_unknown_cannot_be_set(store: Store, stream: int, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="can change"):
        store.submit(lambda tx: tx.update_stream(stream, changes)).result()


def test_owners_and_objects_that_do_not_exist_are_not_found(store: Store) -> None:
    works: list[Any] = [
        lambda tx: tx.create_device(Device(user_id=99, name="d")),
        lambda tx: tx.create_stream(Stream(device_id=99, name="s")),
        lambda tx: tx.update_user(99, {"role": "x"}),
        lambda tx: tx.update_device(99, {"role": "x"}),
        lambda tx: tx.update_stream(99, {"datatype": "x"}),
        lambda tx: tx.delete_user(99),
        lambda tx: tx.delete_device(99),
        lambda tx: tx.delete_stream(99),
        lambda tx: tx.head(99, MAIN),
        lambda tx: tx.append(99, MAIN, block((1.0, 1))),
        lambda tx: tx.append(99, MAIN, None),
    ]
    for work in works:
        with pytest.raises(NotFound):
            store.submit(work).result()
    with pytest.raises(NotFound):
        store.head(99, MAIN)
    with pytest.raises(NotFound):
        store.index_at(99, MAIN, 0.0)
    with pytest.raises(NotFound):
        list(store.read(99, MAIN, ALL))


def test_lists_are_in_order_of_creation(store: Store) -> None:
    for name in ("zoe", "alice", "mia"):
        create_user(store, name, f"{name}@x")
    assert [user.name for user in store.users()] == ["zoe", "alice", "mia"]


def test_deleting_takes_all_below_along_and_nothing_else(store: Store) -> None:
    def make(tx: Transaction) -> list[tuple[int, int, list[int]]]:
        made = []
        for name in ("alice", "bob"):
            user = tx.create_user(User(name=name, email=f"{name}@x"))
            device = tx.create_device(Device(user_id=user.id, name="d", apikey=name))
            ids = [tx.create_stream(Stream(device_id=device.id, name=f"s{i}")).id for i in range(2)]
            for id_ in ids:
                for substream in Substream:
                    tx.append(id_, substream, block((1.0, name)), upload=Upload("u", 1, 1, b"d"))
            made.append((user.id, device.id, ids))
        return made

    (alice, _, alices), (_, bobs_device, bobs) = store.submit(make).result()
    store.submit(lambda tx: tx.delete_user(alice)).result()
    assert store.user("alice") is None
    assert store.device_by_apikey("alice") is None
    for id_ in alices:
        with pytest.raises(NotFound):
            store.head(id_, MAIN)
    assert store.counts() == Counts(1, 1, 2)
    store.submit(lambda tx: tx.delete_stream(bobs[0])).result()
    with pytest.raises(NotFound):
        insert(store, bobs[0], block((2.0, 1)))
    assert values(store, bobs[1]) == values(store, bobs[1], substream=DOWNLINK) == [(1.0, "bob")]
    store.submit(lambda tx: tx.delete_device(bobs_device)).result()
    assert store.counts() == Counts(1, 0, 0)


def test_ids_are_never_used_again(store: Store) -> None:
    [first] = make_streams(store, 1)
    insert(store, first, block((1.0, "old")), upload=Upload("u", 1, 5, b"x"))
    store.submit(lambda tx: tx.delete_user(store.users()[0].id)).result()
    [second] = make_streams(store, 1)
    assert second > first
    assert store.head(second, MAIN) == Head(0, 0.0, 0, 0)
    assert insert(store, second, block((0.5, "new")), upload=Upload("u", 1, 1, b"y")).first_index == 0
    assert values(store, second) == [(0.5, "new")]


def test_a_work_that_raises_leaves_nothing_behind(store: Store, streams: list[int]) -> None:
    insert(store, streams[0], block((1.0, 1), (5.0, 2)))
    insert(store, streams[1], block((1.0, "kept")), upload=Upload("u", 1, 1, b"a"))
    before = store.counts()
    for with_objects in (False, True):

        def work(tx: Transaction, with_objects: bool = with_objects) -> None:
            tx.append(streams[0], MAIN, block((6.0, 3)), upload=Upload("u", 1, 1, b"b"))
            if with_objects:
                user = tx.create_user(User(name="eve", email="eve@x"))
                device = tx.create_device(Device(user_id=user.id, name="d"))
                new = tx.create_stream(Stream(device_id=device.id, name="s"))
                tx.append(new.id, MAIN, block((1.0, 1)))
                tx.append(streams[0], MAIN, block((2.0, 4)), Mode.MERGE)
                tx.delete_stream(streams[1])
                with pytest.raises(NotFound):
                    tx.append(streams[1], MAIN, block((9.0, 1)))
            tx.append(streams[0], MAIN, block((7.0, 5)))
            raise ZeroDivisionError("meant")

        with pytest.raises(ZeroDivisionError, match="meant"):
            store.submit(work).result()
        assert store.counts() == before
        assert store.head(streams[0], MAIN) == Head(2, 5.0, 2, 0)
        assert values(store, streams[0]) == [(1.0, 1), (5.0, 2)]
        assert values(store, streams[1]) == [(1.0, "kept")]
    assert insert(store, streams[0], block((6.0, 3)), upload=Upload("u", 1, 1, b"c")).first_index == 2
    assert insert(store, streams[1], block((1.0, "kept")), upload=Upload("u", 1, 1, b"a")).repeated


def test_a_work_sees_what_it_did_before(store: Store, stream: int) -> None:
    def work(tx: Transaction) -> list[Any]:
        seen: list[Any] = [tx.append(stream, MAIN, block((1.0, 1), (4.0, 2))).first_index]
        seen.append(tx.append(stream, MAIN, block((2.0, 3)), Mode.MERGE).first_index)
        seen.append(tx.append(stream, MAIN, block((3.0, 4)), Mode.RESTAMP).first_index)
        seen.append(tx.head(stream, MAIN))
        user = tx.create_user(User(name="bob", email="b@x"))
        seen.append(tx.counts().users)
        seen.append(tx.append(stream, MAIN, block((5.0, 5)), upload=Upload("u", 1, 1, b"d")).repeated)
        seen.append(tx.append(stream, MAIN, block((5.0, 5)), upload=Upload("u", 1, 1, b"d")).repeated)
        seen.append(tx.update_user(user.id, {"role": "user"}).role)
        return seen

    assert store.submit(work).result() == [0, 1, 3, Head(4, 4.0, 4, 1), 2, False, True, "user"]
    assert values(store, stream) == [(1.0, 1), (2.0, 3), (4.0, 2), (4.0, 4), (5.0, 5)]


def test_a_work_that_catches_a_refusal_goes_on(store: Store, stream: int) -> None:
    insert(store, stream, block((5.0, 1)))

    def work(tx: Transaction) -> None:
        with pytest.raises(TimestampOrder):
            tx.append(stream, MAIN, block((4.0, 2)), upload=Upload("u", 1, 1, b"d"))
        tx.append(stream, MAIN, block((6.0, 3)), upload=Upload("u", 1, 1, b"e"))

    store.submit(work).result()
    assert values(store, stream) == [(5.0, 1), (6.0, 3)]


def test_works_are_carried_out_in_the_order_of_submission(store: Store, stream: int) -> None:
    futures = [store.submit(appending(stream, block((float(i), i)))) for i in range(200)]
    assert [future.result().first_index for future in futures] == list(range(200))
    assert [d for _, d in values(store, stream)] == list(range(200))


def test_inserts_of_all_modes_in_order_append(store: Store, stream: int) -> None:
    for i, mode in enumerate(Mode):
        new = block((2.0 * i, i), (2.0 * i + 2.0, i))
        appended = insert(store, stream, new, mode)
        assert (appended.first_index, appended.repeated, appended.reply) == (2 * i, False, b"")
        assert appended.block is not None
        assert appended.block.json == new.json
        assert store.head(stream, MAIN) == Head(2 * i + 2, 2.0 * i + 2, 2 * i + 2, 0)


def test_ordered_refuses_what_is_older_than_the_newest(store: Store, stream: int) -> None:
    insert(store, stream, block((1.0, 1), (2.0, 2)))
    with pytest.raises(TimestampOrder):
        insert(store, stream, block((1.999, 3), (3.0, 4)))
    assert values(store, stream) == [(1.0, 1), (2.0, 2)]
    assert insert(store, stream, block((2.0, 3))).first_index == 2


def test_restamp_lifts_what_is_older_to_the_newest(store: Store, stream: int) -> None:
    insert(store, stream, block((0.25, 0)), Mode.RESTAMP)
    insert(store, stream, block((5.0, 1)))
    late = Block.of([Datapoint(1.0, {"a": 1}, "bob/phone"), Datapoint(5.0, 2), Datapoint(6.0, None)])
    appended = insert(store, stream, late, Mode.RESTAMP)
    assert appended.first_index == 2
    assert appended.block is not None
    assert list(appended.block.points) == [Datapoint(5.0, {"a": 1}, "bob/phone"), Datapoint(5.0, 2), Datapoint(6.0)]
    assert values(store, stream) == [(0.25, 0), (5.0, 1), (5.0, {"a": 1}), (5.0, 2), (6.0, None)]
    assert late.points[0].t == 1.0
    assert store.head(stream, MAIN) == Head(5, 6.0, 5, 0)


def test_merge_puts_late_points_behind_all_that_are_not_newer(store: Store, stream: int) -> None:
    insert(store, stream, block(*((float(i // 2), f"a{i}") for i in range(20))))
    appended = insert(store, stream, block((3.0, "b0"), (3.5, "b1"), (9.0, "b2"), (30.0, "b3")), Mode.MERGE)
    assert appended.first_index == 8
    expected = sorted(
        [(float(i // 2), f"a{i}") for i in range(20)] + [(3.0, "b0"), (3.5, "b1"), (9.0, "b2"), (30.0, "b3")],
        key=lambda p: p[0],
    )
    assert values(store, stream) == expected
    assert store.head(stream, MAIN) == Head(24, 30.0, 24, 1)
    assert insert(store, stream, block((0.0, "c")), Mode.MERGE).first_index == 2
    assert values(store, stream)[2] == (0.0, "c")
    assert insert(store, stream, block((31.0, "d")), Mode.MERGE).first_index == 25
    assert store.head(stream, MAIN) == Head(26, 31.0, 26, 2)


def test_substreams_are_apart(store: Store, stream: int) -> None:
    insert(store, stream, block((5.0, "main")))
    insert(store, stream, block((1.0, "down")), substream=DOWNLINK, upload=Upload("u", 1, 1, b"d"))
    assert not insert(store, stream, block((6.0, "main")), upload=Upload("u", 1, 1, b"d")).repeated
    assert values(store, stream) == [(5.0, "main"), (6.0, "main")]
    assert values(store, stream, substream=DOWNLINK) == [(1.0, "down")]


def test_an_insert_of_nothing_changes_nothing(store: Store, stream: int) -> None:
    appended = insert(store, stream, None)
    assert (appended.first_index, appended.block) == (-1, None)
    assert store.head(stream, MAIN) == Head(0, 0.0, 0, 0)
    assert insert(store, stream, None, upload=Upload("u", 1, 3, b"d", b"r")).reply == b"r"
    assert insert(store, stream, None, upload=Upload("u", 1, 3, b"d", b"other")) == (-1, None, 0, True, b"r")


def test_a_repeated_upload_gets_the_first_answer_and_writes_nothing(store: Store, stream: int) -> None:
    upload = Upload("u", 1, 3, b"digest", b"reply")
    first = insert(store, stream, block((1.0, 1)), upload=upload)
    assert (first.first_index, first.repeated, first.reply) == (0, False, b"reply")
    again = insert(store, stream, block((1.0, 1)), upload=upload._replace(reply=b"another"))
    assert again == (-1, None, 1, True, b"reply")
    insert(store, stream, block((2.0, 2)), upload=Upload("u", 4, 4, b"x"))
    assert values(store, stream) == [(1.0, 1), (2.0, 2)]


@pytest.mark.parametrize(
    ("first", "last", "digest"),
    [(1, 9, b"other"), (1, 8, b"digest"), (1, 12, b"digest"), (9, 9, b"other"), (9, 20, b"x"), (2, 3, b"digest")],
)
def test_an_overlapping_upload_conflicts(store: Store, stream: int, first: int, last: int, digest: bytes) -> None:
    insert(store, stream, block((1.0, 1)), upload=Upload("u", 5, 9, b"digest"))
    with pytest.raises(UploadConflict):
        insert(store, stream, block((2.0, 2)), upload=Upload("u", first, last, digest))
    assert values(store, stream) == [(1.0, 1)]
    assert insert(store, stream, block((2.0, 2)), upload=Upload("other", first, last, digest)).first_index == 1
    assert insert(store, stream, block((3.0, 3)), upload=Upload("u", 10, 10, digest)).first_index == 2


def test_only_the_newest_upload_of_a_source_is_remembered(store: Store, stream: int) -> None:
    insert(store, stream, block((1.0, 1)), upload=Upload("u", 1, 1, b"a"))
    insert(store, stream, block((2.0, 2)), upload=Upload("u", 2, 2, b"b"))
    with pytest.raises(UploadConflict):
        insert(store, stream, block((3.0, 1)), upload=Upload("u", 1, 1, b"a"))


def test_a_refused_insert_does_not_use_up_its_upload(store: Store, stream: int) -> None:
    insert(store, stream, block((5.0, 1)))
    with pytest.raises(TimestampOrder):
        insert(store, stream, block((1.0, 2)), upload=Upload("u", 1, 1, b"d"))
    assert not insert(store, stream, block((6.0, 2)), upload=Upload("u", 1, 1, b"d")).repeated


def test_an_upload_is_forgotten_when_it_expires(store: Store, stream: int, clock: Clock) -> None:
    upload = Upload("u", 1, 1, b"d", expires=clock.now + 10.0)
    insert(store, stream, block((1.0, 1)), upload=upload)
    clock.now += 9.9
    assert insert(store, stream, block((1.0, 1)), upload=upload).repeated
    clock.now += 0.1
    assert not insert(store, stream, block((2.0, 2)), upload=upload._replace(expires=None)).repeated
    clock.now += 1e9
    assert insert(store, stream, block((2.0, 2)), upload=upload).repeated


def test_the_greatest_upload_numbers_work(store: Store, stream: int) -> None:
    upload = Upload("\U0001f600" * 64, 2**63 - 1, 2**63 - 1, b"\x00" * 16)
    insert(store, stream, block((1.0, 1)), upload=upload)
    assert insert(store, stream, block((1.0, 1)), upload=upload).repeated


STAMPS = (1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 3.5, 4.0, 4.0, 7.25, 9.0, 9.0)


@pytest.mark.parametrize("by_one", [True, False])
def test_ranges_are_what_a_list_comprehension_gives(store: Store, stream: int, by_one: bool) -> None:
    points = [Datapoint(t, i) for i, t in enumerate(STAMPS)]
    for new in [[p] for p in points] if by_one else [points]:
        insert(store, stream, Block.of(new))
    bounds = (None, -1.0, 0.0, 1.0, 1.5, 2.0, 3.5, 8.0, 9.0, 10.0)
    wanted = [Range(t1=a, t2=b, limit=c) for a in bounds for b in bounds for c in (None, 0, 1, 5, 99)]
    n = len(points)
    wanted += [Range(i1=a, i2=b) for a in (None, *range(-n - 2, n + 1)) for b in (None, *range(-n, n + 3))]
    for one in wanted:
        try:
            expected = [(p.t, p.d) for p in select(points, one)]
        except InvalidRange:
            with pytest.raises(InvalidRange):
                values(store, stream, one)
        else:
            assert values(store, stream, one) == expected, one
    for t in (-1.0, *STAMPS, 0.5, 3.6, 100.0):
        assert store.index_at(stream, MAIN, t) == sum(p.t <= t for p in points)


def test_a_range_of_an_empty_stream_is_empty(store: Store, stream: int) -> None:
    for wanted in (ALL, Range(i1=0, i2=5), Range(i1=-3), Range(t1=0.0), Range(limit=3)):
        assert values(store, stream, wanted) == []
    assert store.index_at(stream, MAIN, 5.0) == 0
    with pytest.raises(InvalidRange):
        values(store, stream, Range(i1=1))


EXACT: list[Any] = [
    None,
    True,
    0,
    -0.0,
    0.1 + 0.2,
    5e-324,
    1.7976931348623157e308,
    2**53 + 1,
    -(2**63),
    2**64 + 1,
    10**40,
    "",
    'null \u0000, quote " backslash \\ \u2028 \U0001f600 é',
    '},{"t":1}',
    [{"t": 1, "d": [2]}, {"t": 5}],
    {"": {"t": None}, "ä": [[], {}]},
]


@pytest.mark.parametrize("by_one", [True, False])
def test_values_come_back_exactly(store: Store, stream: int, by_one: bool) -> None:
    points = [Datapoint(1.7e9 + i / 3, d, "bob/phone" if i % 2 else None) for i, d in enumerate(EXACT)]
    for new in [[p] for p in points] if by_one else [points]:
        insert(store, stream, Block.of(new))
    for i1 in range(len(points)):
        found = b",".join(one.json for one in store.read(stream, MAIN, Range(i1=i1)))
        assert b"[" + found + b"]" == msgspec.json.encode(points[i1:])
    late = Datapoint(1.7e9 - 1, EXACT)
    insert(store, stream, Block.of([late]), Mode.MERGE)
    found = b",".join(one.json for one in store.read(stream, MAIN, ALL))
    assert b"[" + found + b"]" == msgspec.json.encode([late, *points])


def test_what_is_appended_during_a_read_does_not_appear(store: Store, stream: int) -> None:
    count = 5_500
    for start in range(0, count, 500):
        insert(store, stream, block(*((float(i), i) for i in range(start, start + 500))))
    for wanted in (ALL, Range(t1=-1.0), Range(t2=1e9)):
        reading = store.read(stream, MAIN, wanted)
        got = [p.d for p in next(reading).points]
        n = store.head(stream, MAIN).n
        insert(store, stream, block((float(n), n)))
        got += [p.d for one in reading for p in one.points]
        assert got == list(range(n))


def test_what_is_merged_in_front_of_a_read_shifts_nothing(store: Store, stream: int) -> None:
    for i in range(0, 6_000, 1_500):
        insert(store, stream, block(*((float(j // 7), j) for j in range(i, i + 1_500))))
    for wanted in (ALL, Range(i1=3), Range(i1=0, i2=5_990), Range(t1=2.0, t2=800.0), Range(t1=1.0, limit=3_003)):
        expected = [d for _, d in values(store, stream, wanted)]
        reading = store.read(stream, MAIN, wanted)
        got = []
        merges = 0
        for page in reading:
            got += [p.d for p in page.points]
            if merges < 20 and page.t2 > 1.0:
                merges += 1
                # One far in front, one right before the points with the time stamp of the last one returned.
                insert(store, stream, block((0.0, "x"), (page.t2 - 1.0, "x")), Mode.MERGE)
        assert got == expected


def test_points_merged_behind_the_place_of_a_read_push_nothing_out(store: Store, stream: int) -> None:
    insert(store, stream, block(*((float(i), i) for i in range(6_000))))
    reading = store.read(stream, MAIN, Range(i1=0, i2=5_900))
    got = [(p.t, p.d) for p in next(reading).points]
    insert(store, stream, block((5_800.5, "late"), (5_899.0, "as late as the last")), Mode.MERGE)
    got += [(p.t, p.d) for one in reading for p in one.points]
    assert got in (
        [(float(i), i) for i in range(5_900)],
        sorted([(5_800.5, "late"), *((float(i), i) for i in range(5_900))], key=lambda p: p[0]),
    )


def test_a_limit_holds_when_points_are_merged_in_between(store: Store, stream: int) -> None:
    insert(store, stream, block(*((float(i), i) for i in range(6_000))))
    reading = store.read(stream, MAIN, Range(t1=-1.0, limit=5_500))
    n = next(reading).n
    insert(store, stream, block((5_400.5, "late")), Mode.MERGE)
    assert n + sum(one.n for one in reading) == 5_500


def test_a_stream_deleted_during_a_read_is_not_found(store: Store, stream: int) -> None:
    for i in range(3):
        insert(store, stream, block(*((float(i), j) for j in range(1_500))))
    reading = store.read(stream, MAIN, ALL)
    next(reading)
    store.submit(lambda tx: tx.delete_stream(stream)).result()
    with pytest.raises(NotFound):
        list(reading)


def test_a_read_may_be_left_at_any_time(store: Store, stream: int) -> None:
    for i in range(3):
        insert(store, stream, block(*((float(i), j) for j in range(1_500))))
    readings = [store.read(stream, MAIN, ALL) for _ in range(50)]
    for reading in readings:
        next(reading)
    del reading, readings
    insert(store, stream, block((9.0, 1)))
    assert len(values(store, stream)) == 4_501


def test_a_reader_with_a_cursor_gets_late_points_too_and_nothing_twice(store: Store, stream: int) -> None:
    insert(store, stream, block((10, "a"), (20, "b"), (30, "c")))
    cursor = store.cursor_at(stream, MAIN)
    insert(store, stream, block((5, "d"), (20, "e"), (40, "f")), Mode.MERGE)
    insert(store, stream, block((50, "g")))
    insert(store, stream, block((20, "h"), (45, "i")), Mode.MERGE)
    new = [(5, "d"), (20, "e"), (20, "h"), (40, "f"), (45, "i"), (50, "g")]
    assert unseen(store, stream, cursor) == (new, Cursor.behind(9))
    assert unseen(store, stream, Cursor.behind(9)) == ([], Cursor.behind(9))


def test_a_reader_interrupted_midway_goes_on_where_it_was(store: Store, stream: int) -> None:
    insert(store, stream, block(*((t, t) for t in range(10))))
    page = next(store.read_after(stream, MAIN, store.cursor_at(stream, MAIN, t=1)))
    seen = [p.d for p in page.block.points]
    insert(store, stream, block((0.5, "late"), (2.5, "late"), (20, "new")), Mode.MERGE)
    rest, cursor = unseen(store, stream, page.cursor)
    assert seen + [d for _, d in rest] == [*range(2, 10), "late", "late", "new"]
    assert cursor == Cursor.behind(13)


@pytest.mark.parametrize(
    "where, expected",
    [
        ({}, Cursor.behind(3)),
        ({"t": 20}, Cursor(0, 3, 2)),
        ({"t": 0}, Cursor(0, 3, 0)),
        ({"t": 30}, Cursor.behind(3)),
        ({"i": -1}, Cursor(0, 3, 2)),
        ({"i": -9}, Cursor(0, 3, 0)),
        ({"i": 1}, Cursor(0, 3, 1)),
        ({"i": 9}, Cursor.behind(3)),
    ],
)
def test_cursors_can_be_had_for_a_time_and_an_index(
    store: Store, stream: int, where: dict[str, Any], expected: Cursor
) -> None:
    insert(store, stream, block((10, 0), (20, 0), (30, 0)))
    assert store.cursor_at(stream, MAIN, **where) == expected


@pytest.mark.parametrize("cursor", [Cursor.behind(2), Cursor(0, 2, 1), Cursor(1, 0, 0), Cursor(-1, 1, 0)])
def test_a_cursor_ahead_of_the_stream_is_refused(store: Store, stream: int, cursor: Cursor) -> None:
    insert(store, stream, block((10, 0)))
    with pytest.raises(InvalidRange):
        unseen(store, stream, cursor)


def test_a_work_can_be_begun_without_a_future(store: Store, stream: int) -> None:
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def begin(work: Any) -> Any:
        store.begin(work, lambda result, error: told.put((result, type(error))))
        return told.get(timeout=10)

    assert begin(lambda tx: tx.head(stream, MAIN).n) == (0, type(None))
    assert begin(appending(stream + 1000, block((1.0, 1)))) == (None, NotFound)
    store.close()
    assert begin(lambda tx: 1) == (None, Unavailable)


def test_closing_carries_out_what_was_submitted_and_then_refuses(store: Store, stream: int) -> None:
    futures = [store.submit(appending(stream, block((float(i), i)))) for i in range(100)]
    store.close()
    assert [future.result(0).first_index for future in futures] == list(range(100))
    with pytest.raises(Unavailable):
        store.submit(lambda tx: None).result()
    store.close()


def test_the_heads_of_a_device_are_those_of_its_streams(store: Store) -> None:
    """Not of their downlinks, and not of another device."""
    first, second, empty = make_streams(store, 3)
    insert(store, first, block((1.0, "a"), (2.0, "b")))
    insert(store, second, block((5.0, "late")))
    insert(store, second, block((3.0, "early")), mode=Mode.MERGE)
    insert(store, empty, block((9.0, "asked")), substream=DOWNLINK)
    user = store.user("alice")
    assert user is not None
    [device] = store.devices(user.id)
    heads = store.heads(device.id)
    assert heads == {stream: store.head(stream, MAIN) for stream in (first, second, empty)}
    assert [(heads[stream].n, heads[stream].t) for stream in (first, second, empty)] == [(2, 2.0), (2, 5.0), (0, 0.0)]
    other = store.submit(lambda tx: tx.create_device(Device(user_id=user.id, name="tablet"))).result()
    assert store.heads(other.id) == {}
