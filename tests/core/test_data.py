"""What an insert means."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from connectordb import errors
from connectordb.core import ROOT, UploadRequest
from connectordb.core.settings import LimitSettings
from connectordb.datapoint import TIME_MAX_S, Datapoint
from connectordb.query import Range
from connectordb.store.records import Mode

PATH = ("alice", "phone", "s")


@pytest.fixture
def phone(world: Any) -> Any:
    world.user("alice")
    actor = world.device("alice/phone")
    world.stream("/".join(PATH), schema='{"type":"number"}')
    return actor


def insert(world: Any, actor: Any, points: list[tuple[float, Any]], mode: Mode = Mode.ORDERED, **kw: Any) -> Any:
    return world.run(world.core.insert(actor, kw.pop("path", PATH), [Datapoint(t, d) for t, d in points], mode, **kw))


def stored(world: Any, path: tuple[str, str, str] = PATH, **kw: Any) -> list[tuple[float, Any]]:
    return [(p.t, p.d) for p in world.read(ROOT, "/".join(path), Range(), **kw)]


def refused(world: Any, *args: Any, **kw: Any) -> errors.RequestError:
    before = stored(world)
    with pytest.raises(errors.RequestError) as caught:
        insert(world, *args, **kw)
    assert stored(world) == before
    return caught.value


def test_a_missing_time_stamp_is_now(world: Any, phone: Any) -> None:
    insert(world, phone, [(0, 1), (0, 2)])
    assert stored(world) == [(world.now, 1), (world.now, 2)]


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("t", [TIME_MAX_S, 1.7e12, float("inf"), float("nan")])
def test_absurd_time_stamps_are_refused(world: Any, phone: Any, mode: Mode, t: float) -> None:
    error = refused(world, phone, [(t, 1)], mode)
    assert (error.status, error.type) == (403, "invalid_value")


def test_a_time_stamp_before_1970_is_refused_but_lifted_by_a_restamp(world: Any, phone: Any) -> None:
    assert refused(world, phone, [(-5, 1)]).status == 403
    assert refused(world, phone, [(-5, 1)], Mode.MERGE).status == 403
    insert(world, phone, [(-5, 1)], Mode.RESTAMP)
    insert(world, phone, [(7, 2)])
    insert(world, phone, [(-5, 3), (6, 4), (8, 5)], Mode.RESTAMP)
    assert stored(world) == [(0.00001, 1), (7, 2), (7, 3), (7, 4), (8, 5)]


@pytest.mark.parametrize("mode", [Mode.ORDERED, Mode.RESTAMP])
def test_time_stamps_of_one_insert_must_not_decrease(world: Any, phone: Any, mode: Mode) -> None:
    error = refused(world, phone, [(3, 1), (2, 2)], mode)
    assert (error.type, error.details) == ("timestamp_order", {"position": 1})
    insert(world, phone, [(3, 1), (3, 2)], mode)


def test_an_ordered_insert_must_not_be_older_than_the_newest(world: Any, phone: Any) -> None:
    insert(world, phone, [(3, 1)])
    assert refused(world, phone, [(2, 1), (4, 1)]).type == "timestamp_order"
    insert(world, phone, [(3, 2)])


def test_a_merge_puts_late_datapoints_where_they_belong(world: Any, phone: Any) -> None:
    insert(world, phone, [(10, 1), (20, 2), (30, 3)])
    insert(world, phone, [(25, 5), (5, 4), (20, 6), (40, 7)], Mode.MERGE)
    assert stored(world) == [(5, 4), (10, 1), (20, 2), (20, 6), (25, 5), (30, 3), (40, 7)]


def test_one_value_off_the_schema_refuses_the_whole_insert(world: Any, phone: Any) -> None:
    error = refused(world, phone, [(1, 1), (2, "x")])
    assert (error.status, error.type, error.details) == (403, "schema_mismatch", {"position": 1})
    assert "number" in error.msg


@pytest.mark.parametrize("value", [True, "1", None, [], {}])
def test_a_number_is_a_number(world: Any, phone: Any, value: Any) -> None:
    assert refused(world, phone, [(1, value)]).type == "schema_mismatch"


@pytest.mark.parametrize(("value", "fits"), [(1, True), (1.0, True), (1e3, True), (1.5, False), (True, False)])
def test_a_whole_float_is_an_integer_as_it_was_in_0_3(world: Any, phone: Any, value: Any, fits: bool) -> None:
    world.stream("alice/phone/i", schema='{"type":"integer"}')
    world.stream("alice/phone/o", schema='{"type":"object","properties":{"a":{"type":"integer"}}}')
    for name, d in (("i", value), ("o", {"a": value})):
        path = ("alice", "phone", name)
        if fits:
            insert(world, phone, [(1, d)], path=path)
            assert [type(v) for _, v in stored(world, path)] == [type(d)]
        else:
            with pytest.raises(errors.SchemaMismatch):
                insert(world, phone, [(1, d)], path=path)


def test_verdicts_store_what_can_be_stored(world: Any, phone: Any) -> None:
    insert(world, phone, [(10, 0)])
    report = insert(world, phone, [(11, 1), (12, "x"), (1.7e12, 3), (13, 4)], Mode.MERGE, verdicts=True)
    assert (report.stored, [r.position for r in report.refused]) == (2, [1, 2])
    assert "string" in report.refused[0].msg or "x" in report.refused[0].msg
    assert "milliseconds" in report.refused[1].msg
    assert stored(world) == [(10, 0), (11, 1), (13, 4)]


def test_verdicts_of_an_ordered_insert_tell_what_is_too_old(world: Any, phone: Any) -> None:
    insert(world, phone, [(10, 0)])
    report = insert(world, phone, [(8, "x"), (9, 1), (10, 2), (11, 3)], verdicts=True)
    assert (report.stored, [r.position for r in report.refused]) == (2, [0, 1])
    assert stored(world) == [(10, 0), (10, 2), (11, 3)]


def test_a_value_with_two_faults_is_reported_once(world: Any, phone: Any) -> None:
    report = insert(world, phone, [(-1, "x"), (1, 1)], Mode.MERGE, verdicts=True)
    assert [r.position for r in report.refused] == [0]


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("verdicts", [False, True])
def test_a_repeated_upload_writes_nothing_and_reports_the_same(
    world: Any, phone: Any, mode: Mode, verdicts: bool
) -> None:
    upload = UploadRequest("spool", 1, 3, b"digest")
    points = [(1.0, 1), (2.0, "x" if verdicts else 2), (3.0, 3)]
    first = insert(world, phone, points, mode, verdicts=verdicts, upload=upload)
    after = stored(world)
    again = insert(world, phone, points, mode, verdicts=verdicts, upload=upload)
    assert (again.repeated, first.repeated) == (True, False)
    assert (again.stored, again.refused) == (first.stored, first.refused)
    assert stored(world) == after


def test_an_overlapping_upload_is_a_conflict(world: Any, phone: Any) -> None:
    insert(world, phone, [(1, 1)], upload=UploadRequest("spool", 1, 3, b"digest"))
    for upload in (
        UploadRequest("spool", 1, 3, b"other"),
        UploadRequest("spool", 3, 5, b"digest"),
        UploadRequest("spool", 1, 2, b"digest"),
    ):
        assert refused(world, phone, [(2, 2)], upload=upload).status == 409
    insert(world, phone, [(2, 2)], upload=UploadRequest("spool", 4, 4, b"digest"))
    insert(world, phone, [(2, 2)], upload=UploadRequest("other", 1, 3, b"digest"))
    assert len(stored(world)) == 3


def test_a_refused_upload_can_be_sent_again(world: Any, phone: Any) -> None:
    upload = UploadRequest("spool", 1, 1, b"digest")
    assert refused(world, phone, [(1, "x")], upload=upload).type == "schema_mismatch"
    world.run(world.core.update_stream(ROOT, *PATH, {"schema": "{}"}))
    assert insert(world, phone, [(1, "x")], upload=upload).stored == 1


def test_a_repetition_is_recognised_also_if_it_would_be_refused_by_now(world: Any, phone: Any) -> None:
    upload = UploadRequest("spool", 1, 2, b"digest")
    insert(world, phone, [(1, 1), (2, 2)], upload=upload)
    world.run(world.core.update_stream(ROOT, *PATH, {"schema": '{"type":"string"}'}))
    again = insert(world, phone, [(1, 1), (2, 2)], upload=upload)
    assert (again.repeated, again.stored) == (True, 2)
    assert refused(world, phone, [(1, 1)], upload=UploadRequest("spool", 3, 3, b"new")).type == "schema_mismatch"
    assert refused(world, phone, [(1, 1)], upload=UploadRequest("spool", 2, 3, b"new")).type == "schema_mismatch"
    world.core.settings = msgspec.structs.replace(world.core.settings, limits=LimitSettings(insert_points_max=1))
    assert insert(world, phone, [(1, 1), (2, 2)], upload=upload).repeated
    assert refused(world, phone, [(1, 1), (2, 2)]).status == 413


def test_nobodys_upload_is_taken_for_that_of_another(world: Any, phone: Any) -> None:
    path = ("alice", "phone", "light")
    world.stream("/".join(path), downlink=True)
    world.user("bob", "admin")
    upload = UploadRequest("key", 1, 1, b"digest")
    for sender in (phone, world.actor("alice/user"), world.actor("bob/user"), ROOT):
        assert not insert(world, sender, [(1, True)], path=path, upload=upload, downlink=sender is ROOT).repeated
        assert insert(world, sender, [(1, True)], path=path, upload=upload, downlink=sender is ROOT).repeated
    assert world.core.length(ROOT, path, downlink=True) == 3
    assert world.core.length(ROOT, path) == 1


@pytest.mark.parametrize(("first", "last"), [(0, 1), (2, 1), (-1, 5), (1, 2**63)])
def test_bad_upload_numbers_are_refused(world: Any, phone: Any, first: int, last: int) -> None:
    assert refused(world, phone, [(1, 1)], upload=UploadRequest("spool", first, last, b"")).status == 400


def test_a_key_is_forgotten_after_its_time(world: Any, phone: Any) -> None:
    upload = UploadRequest("key", 1, 1, b"digest", lifetime_s=60)
    insert(world, phone, [(1, 1)], upload=upload)
    assert insert(world, phone, [(1, 1)], upload=upload).repeated
    world.now += 61
    assert not insert(world, phone, [(1, 1)], upload=upload).repeated
    assert len(stored(world)) == 2


def test_who_does_not_own_the_stream_writes_to_its_downlink(world: Any, phone: Any) -> None:
    path = ("alice", "phone", "light")
    world.stream("/".join(path), downlink=True)
    own = world.actor("alice/user")
    insert(world, own, [(1, True)], path=path)
    insert(world, phone, [(2, False)], path=path)
    assert stored(world, path) == [(2, False)]
    sent = world.read(ROOT, "/".join(path), Range(), downlink=True)
    assert [(p.t, p.d, p.o) for p in sent] == [(1, True, "alice/user")]
    assert world.core.length(phone, path, downlink=True) == 1


def test_the_sender_cannot_be_forged(world: Any, phone: Any) -> None:
    world.run(world.core.insert(phone, PATH, [Datapoint(1, 1, "somebody/else")]))
    assert world.read(ROOT, "/".join(PATH), Range())[0].o is None


def test_an_ephemeral_stream_stores_nothing(world: Any, phone: Any) -> None:
    path = ("alice", "phone", "e")
    world.stream("/".join(path), ephemeral=True)
    assert insert(world, phone, [(1, 1)], path=path).stored == 1
    assert world.core.length(phone, path) == 0
    with pytest.raises(errors.TimestampOrder):
        insert(world, phone, [(2, 1), (1, 1)], path=path)


def test_too_many_datapoints_at_once_are_refused(world: Any, phone: Any) -> None:
    n = world.core.settings.limits.insert_points_max + 1
    assert refused(world, phone, [(1, 1)] * n).status == 413


def test_an_empty_insert_is_fine(world: Any, phone: Any) -> None:
    for mode in Mode:
        assert insert(world, phone, [], mode).stored == 0


def test_an_insert_into_a_stream_deleted_meanwhile_is_refused(world: Any, phone: Any) -> None:
    target = world.core.directory.target(PATH)
    world.run(world.core.delete_stream(ROOT, *PATH))
    world.stream("/".join(PATH))
    world.core.directory._targets[PATH] = (world.core.directory._generation, target)
    with pytest.raises(errors.NotFound):
        insert(world, phone, [(1, 1)])


@pytest.mark.parametrize("d", [2**63, -(2**70), 2**53 + 1, -0.0, 0.1, 1e-300, 1.7976931348623157e308, 5e-324])
def test_numbers_come_back_exactly(world: Any, phone: Any, d: Any) -> None:
    insert(world, phone, [(1.1, d)])
    ((t, back),) = stored(world)
    assert (t, repr(back)) == (1.1, repr(d))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Range(i1=0), [0, 1, 2, 3, 4]),
        (Range(i1=-2), [3, 4]),
        (Range(i1=1, i2=3), [1, 2]),
        (Range(i1=-4, i2=-1), [1, 2, 3]),
        (Range(i1=5), []),
        (Range(i1=-50, i2=2), [0, 1]),
        (Range(t1=1), [2, 3, 4]),
        (Range(t1=1, t2=3), [2, 3]),
        (Range(t2=1), [0, 1]),
        (Range(t1=0, limit=2), [1, 2]),
        (Range(t1=4), []),
    ],
)
def test_ranges_are_those_of_the_protocol(world: Any, phone: Any, wanted: Range, expected: list[int]) -> None:
    insert(world, phone, [(0.001, 0), (1, 1), (2, 2), (3, 3), (4, 4)])
    if wanted == Range(t1=0, limit=2):
        expected = [0, 1]
    assert [p.d for p in world.read(phone, "/".join(PATH), wanted)] == expected


@pytest.mark.parametrize("wanted", [Range(i1=6), Range(i1=3, i2=1)])
def test_a_range_that_does_not_lie_in_the_stream_is_refused(world: Any, phone: Any, wanted: Range) -> None:
    insert(world, phone, [(1, 0), (1, 1), (2, 2), (3, 3), (4, 4)])
    with pytest.raises(errors.InvalidRange) as caught:
        world.read(phone, "/".join(PATH), wanted)
    assert caught.value.status == 403
