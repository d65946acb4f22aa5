"""Corrections by the client, against a real server."""

from __future__ import annotations

import doctest
import math
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectordb import (
    Change,
    Conflict,
    ConnectorDB,
    Correction,
    InvalidRange,
    InvalidValue,
    NotFound,
    Notice,
    PermissionDenied,
    SchemaMismatch,
    ServerError,
)
from connectordb.client import _calls, _session
from connectordb.client._feed import Corrected

PATIENCE_S = 20.0
PAGE = Path(__file__).parents[2] / "docs" / "corrections.md"


@pytest.fixture
def weight(device: ConnectorDB) -> Any:
    """A stream with t = 10, 20, ..., 50 and d = 1, 2, ..., 5."""
    stream = device["weight"]
    stream.create({"type": "number"})
    stream.insert_array([{"t": 10.0 * d, "d": d} for d in range(1, 6)])
    return stream


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("bounds", "left"),
    [
        ({"t1": 10, "t2": 30}, [1, 4, 5]),
        ({"t1": datetime.fromtimestamp(30, UTC)}, [1, 2, 3]),
        ({"t2": "1970-01-01T00:00:20Z"}, [3, 4, 5]),
        ({"i1": 1, "i2": 3}, [1, 4, 5]),
        ({"i1": -2}, [1, 2, 3]),
        ({"i2": -2}, [4, 5]),
        ({"i1": 0}, []),
        ({"i1": 2, "i2": None, "t1": None}, [1, 2]),
    ],
)
def test_datapoints_are_deleted_by_time_and_by_index(weight: Any, bounds: Any, left: list[int]) -> None:
    done = weight.delete(**bounds, why="wrong")
    assert isinstance(done, Correction)
    assert (done.kind, done.n, done.why, done.kept) == ("deleted", 5 - len(left), "wrong", True)
    assert weight[:].d() == left
    assert weight.history() == [done]
    assert weight.undo(done.id).undoes == done.id
    assert weight[:].d() == [1, 2, 3, 4, 5]


def test_without_bounds_the_stream_itself_is_deleted_as_ever(weight: Any) -> None:
    assert weight.delete() is None
    assert not weight.exists()


@pytest.mark.parametrize(
    "given",
    [
        {"t1": None}, {"t1": None, "t2": None}, {"i1": None, "i2": None}, {"why": "x"}, {"purge": True},
        {"t1": 1, "i1": 2}, {"i1": 2, "i2": 0}, {"t1": 2, "t2": 0}, {"i1": 6},
    ],
)  # fmt: skip
def test_no_mistake_deletes_a_stream(weight: Any, given: Any) -> None:
    with pytest.raises(InvalidRange):
        weight.delete(**given)
    assert weight[:].d() == [1, 2, 3, 4, 5]


def test_bounds_cannot_be_taken_for_each_other(weight: Any) -> None:
    with pytest.raises(TypeError):
        weight.delete(1, 2)


def test_what_is_purged_does_not_come_back(weight: Any) -> None:
    done = weight.delete(i1=0, purge=True)
    assert (done.n, done.kept) == (5, False)
    for action in (weight.undo, weight.corrected):
        with pytest.raises(Conflict):
            action(done)


def test_nothing_to_delete_is_no_error(weight: Any) -> None:
    done = weight.delete(t1=21, t2=29)
    assert (done.id, done.n, weight.history()) == (0, 0, [])


def test_an_update_and_what_was_there_before(weight: Any) -> None:
    done = weight.update(-1, 7.5, "a typing error", t=50)
    assert (done.kind, done.i, done.why) == ("updated", 4, "a typing error")
    assert weight[-1] == {"t": 50.0, "d": 7.5}
    assert weight.corrected(done) == [{"t": 50.0, "d": 5}]
    with pytest.raises(Conflict):
        weight.update(0, 7.5, t=11)
    with pytest.raises(SchemaMismatch):
        weight.update(0, "text")
    with pytest.raises(InvalidValue):
        weight.update(0, float("nan"))
    with pytest.raises(InvalidRange):
        weight.update(5, 1)
    assert weight[:].d() == [1, 2, 3, 4, 7.5]


def test_values_of_numpy_are_taken(device: ConnectorDB) -> None:
    numpy = pytest.importorskip("numpy")
    stream = device["any"]
    stream.create()
    stream.insert(1)
    stream.update(numpy.int64(0), numpy.array([1, 2]))
    assert stream[0]["d"] == [1, 2]


def test_the_history_comes_newest_first(weight: Any) -> None:
    done = [weight.update(i, i) for i in range(5)]
    assert weight.history() == done[::-1]
    assert weight.history(limit=2) == done[:2:-1]
    assert weight.history(limit=2, before=done[3]) == [done[2], done[1]]


def test_a_reason_may_be_any_text(weight: Any) -> None:
    why = 'Ä&?#% "\\ \n☃'
    assert weight.delete(i1=-1, why=why).why == why
    assert weight.update(0, 1, why).why == why
    assert weight.undo(weight.history()[0], why).why == why
    assert [one.why for one in weight.history()] == [why] * 3
    with pytest.raises(InvalidValue):
        weight.delete(i1=-1, why="\ud800")


def test_others_correct_what_they_may_and_nothing_else(weight: Any, db: ConnectorDB, server: Any) -> None:
    reader = db("test/correctionreader")
    reader.create(role="reader")
    try:
        with ConnectorDB(reader.apikey, url=server.url) as other:
            seen = other(weight.path)
            assert seen[:].d() == [1, 2, 3, 4, 5]
            for action in (
                lambda: seen.delete(i1=0),
                lambda: seen.update(0, 1),
                lambda: seen.undo(1),
                lambda: seen.corrected(1),
            ):
                with pytest.raises(PermissionDenied):
                    action()
            assert seen.history() == []
            assert len(list(seen.changes())) > 0
    finally:
        reader.delete()
    assert db(weight.path).update(0, 9).by == "test/user"
    with pytest.raises(NotFound):
        db("test/user/nosuch").delete(i1=0)


def test_changes_make_a_copy_equal_the_stream(weight: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_calls, "CHANGES_AT_ONCE", 2)
    mirror: list[Any] = []
    cursor = None

    def follow() -> list[Change]:
        nonlocal cursor
        seen = list(weight.changes(cursor))
        for change in seen:
            change.apply(mirror)
        cursor = seen[-1].cursor if seen else cursor
        assert mirror == weight[:]
        return seen

    assert [(change.kind, change.n) for change in follow()] == [("inserted", 5)]
    assert follow() == []
    weight.insert_array([{"t": 15, "d": 9}, {"t": 60, "d": 6}], merge=True)
    deleted = weight.delete(i1=0, i2=2)
    weight.update(0, 7)
    weight.undo(deleted)
    seen = follow()
    assert [change.kind for change in seen][-3:] == ["deleted", "updated", "inserted"]
    assert seen[-3].correction == deleted.id
    for i in range(4):
        weight.update(0, i)
        weight.delete(i1=-1)
    follow()
    mirror.clear()
    cursor = None
    follow()


def test_changes_of_another_stream_are_a_conflict(weight: Any, device: ConnectorDB) -> None:
    cursor = list(weight.changes())[-1].cursor
    weight.delete()
    weight.create()
    with pytest.raises(Conflict):
        list(weight.changes(cursor))


def test_an_answer_that_cannot_be_is_no_change(fake: Any) -> None:
    change = b'{"kind":"inserted","i":0,"n":2,"data":[{"t":1,"d":1}],"cursor":"1.2"}'
    body = b'{"changes":[%b],"cursor":"1.2","more":false}' % change
    with pytest.raises(ServerError):
        fake((200, body)).session().run(_calls.changes("a/b/c", None, downlink=False))


@pytest.fixture
def shaky(proxy: Any, device: ConnectorDB, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The device's connection through the proxy."""
    monkeypatch.setattr(_session, "BACKOFF_FIRST_S", 0.02)
    with ConnectorDB(device.apikey, url=proxy.url, retries=6) as shaky:
        yield shaky


@pytest.mark.parametrize("cut", ["request", 0, 1, 40, 200])
def test_a_lost_answer_does_not_correct_twice(weight: Any, shaky: ConnectorDB, proxy: Any, cut: Any) -> None:
    def broken() -> None:
        proxy.faults[:] = [cut, cut]
        transport: Any = shaky._session.transport
        pool, transport._made = transport._made, None
        if pool is not None:
            pool.close()

    stream = shaky["weight"]
    broken()
    deleted = stream.delete(i1=0, i2=1)
    broken()
    updated = stream.update(-1, 9)
    broken()
    stream.undo(updated)
    broken()
    stream.delete(i1=-1)
    assert weight[:].d() == [2, 3, 4]
    assert len(weight.history()) == 4
    assert deleted.n == 1


def test_who_follows_is_told_what_to_draw_again(weight: Any) -> None:
    notices: list[Notice] = []
    got: list[Any] = []
    subscription = weight.subscribe(lambda path, data: got.extend(data.d()), on_notice=notices.append)
    try:
        done = weight.delete(i1=1, i2=3)
        until(lambda: notices)
        weight.insert(6)
        until(lambda: got)
        assert notices == [
            Notice(
                "corrected",
                weight.path,
                correction=Corrected(20.0, 30.0, id=done.id, kind="deleted", i=1, n=2),
            )
        ]
        assert got == [6]
    finally:
        subscription.close()


def test_who_iterates_is_told_too(weight: Any) -> None:
    notices: list[Notice] = []
    with weight.live(on_notice=notices.append) as live:
        weight.update(0, 7)
        weight.insert(6)
        assert next(live)["d"] == 6
    assert [(notice.kind, notice.correction.kind) for notice in notices if notice.correction] == [
        ("corrected", "updated")
    ]


def test_several_corrections_that_wait_become_one_notice(weight: Any) -> None:
    notices: list[Notice] = []
    begun, go_on = threading.Event(), threading.Event()

    def slow(path: str, data: Any) -> None:
        begun.set()
        assert go_on.wait(PATIENCE_S)

    subscription = weight.subscribe(slow, on_notice=notices.append)
    weight.insert(6)
    assert begun.wait(PATIENCE_S)
    weight.update(3, 7)
    weight.update(1, 8)
    until(lambda: any(isinstance(item, Notice) and item.correction.id is None for item in subscription._waiting))
    go_on.set()
    until(lambda: notices)
    subscription.close()
    assert notices == [Notice("corrected", weight.path, correction=Corrected(20.0, 40.0))]


def test_local_mode_corrects_as_a_server_does(tmp_path: Path) -> None:
    with ConnectorDB.local(tmp_path / "mine", user="me") as db:
        stream = db["s"]
        stream.create()
        stream.insert_array([{"t": 1.0 + i, "d": i} for i in range(10)])
        done = stream.delete(i1=2, i2=5)
        stream.update(0, "x")
        assert stream[:].d() == ["x", 1, 5, 6, 7, 8, 9]
    with ConnectorDB.local(tmp_path / "mine") as db:
        stream = db["s"]
        stream.undo(done)
        assert stream[:].d() == ["x", 1, 2, 3, 4, 5, 6, 7, 8, 9]
        assert [one.kind for one in stream.history()] == ["undone", "updated", "deleted"]


def test_the_examples_of_the_page_give_what_they_show(
    db: ConnectorDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    examples = doctest.DocTestParser().get_doctest(PAGE.read_text(), {"db": db}, PAGE.name, str(PAGE), 0)
    assert len(examples.examples) > 10
    shown: list[str] = []
    runner = doctest.DocTestRunner()
    runner.run(examples, out=shown.append, clear_globs=False)
    assert not runner.failures, "".join(shown)


def test_what_did_nothing_is_false_and_cannot_be_undone(weight: Any) -> None:
    nothing, something = weight.delete(t1=21, t2=29), weight.delete(i1=0, i2=1)
    assert not nothing
    assert (bool(something), something.i) == (True, 0)
    for ask in (weight.undo, weight.corrected):
        with pytest.raises(InvalidValue, match=r"^nothing was deleted, so there is nothing to undo"):
            ask(nothing)


def test_what_is_no_text_is_refused_at_once(weight: Any) -> None:
    for ask in (
        lambda: weight.delete(i1=0, why=5),
        lambda: weight.update(0, 1, why=5),
        lambda: weight.undo(1, why=5),
    ):
        with pytest.raises(TypeError, match="why is a text; it is 5"):
            ask()
    with pytest.raises(TypeError, match="since is the cursor of a change"):
        weight.changes(since=5)
    assert weight[:].d() == [1, 2, 3, 4, 5]


def test_only_what_a_server_said_has_a_number(weight: Any) -> None:
    with pytest.raises(InvalidRange) as ours:
        weight.delete(i1=None)
    assert str(ours.value).startswith("all bounds are None")
    with pytest.raises(SchemaMismatch) as told:
        weight.insert("x")
    assert str(told.value).startswith("403: ")


def test_the_datapoints_of_one_time_stamp_are_deleted_as_the_page_says(weight: Any) -> None:
    weight.insert_array([{"t": 30, "d": 0}], merge=True)
    assert "stream.delete(t1=math.nextafter(t, 0), t2=t)" in PAGE.read_text()
    assert weight.delete(t1=math.nextafter(30, 0), t2=30).n == 2
    assert weight[:].d() == [1, 2, 4, 5]
