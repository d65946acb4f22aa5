"""What the subscriptions of a connection say to the server, and what they make of what it says. Without a socket."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connectordb import InvalidRange, InvalidValue, NotFound, PermissionDenied, ServerError, Unavailable
from connectordb.client._feed import Arrival, Confirmed, Feed, Notice, Refused, Start, Told, Wish, WishState


def sent(messages: list[str]) -> list[dict[str, Any]]:
    return [json.loads(message) for message in messages]


def said(feed: Feed, **fields: Any) -> list[Any]:
    return list(feed.received(json.dumps(fields) + "\n"))


def live(*args: Any, answer: dict[str, Any] | None = None, **kwargs: Any) -> tuple[Feed, Wish]:
    """A feed with one wish that the server has confirmed."""
    feed, wish = Feed(), Wish(*args, **kwargs)
    feed.add(wish)
    (command,) = sent(feed.connected())
    assert said(feed, id=command["id"], ok=True, **(answer or {"cursor": "7.0"})) == [Confirmed(wish)]
    return feed, wish


STARTS: list[tuple[Any, dict[str, Any]]] = [
    (Wish("u/d/s"), {}),
    (Wish("u/d/s", start=Start(since=5.0)), {"since": 5.0}),
    (Wish("u/d/s", start=Start(i1=-3)), {"i1": -3}),
    (Wish("u/d/s", start=Start(cursor="7.1")), {"cursor": "7.1"}),
    (Wish("u/d/*", start=Start(cursor={"u/d/s": "7.1", "*": "9"})), {"cursors": {"u/d/s": "7.1", "*": "9"}}),
    (Wish("u/d/s/downlink", requests=True), {"requests": True}),
]


@pytest.mark.parametrize(("wish", "fields"), STARTS)
def test_subscribing_says_where_to_begin(wish: Wish, fields: dict[str, Any]) -> None:
    feed = Feed()
    feed.connected()
    (command,) = sent(feed.add(wish))
    assert command == {"cmd": "subscribe", "arg": wish.arg, "transform": "", "id": command["id"], **fields}


def test_one_start_at_most() -> None:
    assert Start.of("2024-02-29T12:00:00Z", None, None) == Start(since=1709208000.0)
    assert Start.of(None, None, None) == Start()
    with pytest.raises(InvalidRange):
        Start.of(1.0, 2, None)
    with pytest.raises(InvalidValue):
        Start.of("yesterday", None, None)


def test_nothing_is_sent_without_a_connection() -> None:
    feed, wish, other = Feed(), Wish("u/d/s"), Wish("u/d/t", "count")
    assert feed.add(wish) == feed.add(other) == []
    commands = sent(feed.connected())
    assert [(c["arg"], c["transform"]) for c in commands] == [("u/d/s", ""), ("u/d/t", "count")]
    assert len({c["id"] for c in commands}) == 2


def test_datapoints_come_with_their_cursor_and_count() -> None:
    feed, wish = live("u/d/s")
    ((found, arrival),) = said(feed, stream="u/d/s", i=3, cursor="7.2", data=[{"t": 1, "d": 2}, {"d": 3}])
    assert found is wish
    assert (arrival.path, arrival.n, arrival.cursor) == ("u/d/s", 2, "7.2")
    assert json.loads(bytes(arrival.body)) == [{"t": 1, "d": 2}, {"d": 3}]


def test_each_request_comes_by_itself() -> None:
    feed, wish = live("u/d/s/downlink", requests=True, answer={"x": 1})
    events = said(feed, stream="u/d/s/downlink", requests=[{"id": 1, "d": True}, {"id": 2, "d": False}])
    assert [(w is wish, a.n, a.cursor, json.loads(bytes(a.body))["id"]) for w, a in events] == [
        (True, 1, None, 1),
        (True, 1, None, 2),
    ]


def test_after_a_new_connection_it_goes_on_after_what_was_taken() -> None:
    feed, wish = live("u/d/s", start=Start(since=5.0))
    ((_, arrival),) = said(feed, stream="u/d/s", cursor="7.5", data=[{"d": 1}])
    wish.take(arrival)
    said(feed, stream="u/d/s", cursor="7.6", data=[{"d": 2}])  # of which nobody has taken anything
    feed.disconnected()
    (command,) = sent(feed.connected())
    assert command["cursor"] == "7.5"
    assert "since" not in command


def test_before_anything_came_it_goes_on_where_the_server_said() -> None:
    feed, wish = live("u/d/s", start=Start(i1=0), answer={"cursor": "7.0-0-0"})
    feed.disconnected()
    (command,) = sent(feed.connected())
    assert command["cursor"] == "7.0-0-0"
    assert wish.state is WishState.ASKED


def test_without_an_answer_it_asks_for_the_same_again() -> None:
    feed, wish = Feed(), Wish("u/d/s", start=Start(since=5.0))
    feed.connected()
    (first,) = sent(feed.add(wish))
    feed.disconnected()
    (second,) = sent(feed.connected())
    assert second == {**first, "id": second["id"]}
    assert said(feed, id=first["id"], ok=True) == []  # that was another connection


def test_cursors_of_a_pattern() -> None:
    feed, wish = live("u/d/*", answer={"cursors": {"u/d/s": "7.0", "*": "9"}})
    ((_, arrival),) = said(feed, stream="u/d/new", arg="u/d/*", cursor="8.1", data=[{"d": 1}])
    wish.take(arrival)
    feed.disconnected()
    (command,) = sent(feed.connected())
    assert command["cursors"] == {"u/d/s": "7.0", "u/d/new": "8.1", "*": "9"}
    said(feed, id=command["id"], ok=True, cursors=command["cursors"])
    error = {"code": 404, "msg": "gone", "error": "not_found"}
    (told,) = said(feed, stream="u/d/s", arg="u/d/*", notice="ended", **error)
    assert (told.notice.kind, told.notice.path, told.last) == ("ended", "u/d/s", False)
    assert isinstance(told.notice.error, NotFound)
    feed.disconnected()
    (command,) = sent(feed.connected())
    assert command["cursors"] == {"u/d/new": "8.1", "*": "9"}


NOTICES = [
    ({"notice": "lag", "n": 5}, Notice("lag", "u/d/s", 5)),
    ({"notice": "missed", "n": 3}, Notice("missed", "u/d/s", 3)),
    ({"notice": "missed", "n": None}, Notice("missed", "u/d/s")),
    ({"notice": "reset"}, Notice("reset", "u/d/s")),
]


@pytest.mark.parametrize(("fields", "notice"), NOTICES)
def test_notices(fields: dict[str, Any], notice: Notice) -> None:
    feed, wish = live("u/d/s")
    assert said(feed, stream="u/d/s", **fields) == [Told(wish, notice, False)]
    assert wish in feed


def test_notices_may_come_before_the_answer() -> None:
    feed, wish = Feed(), Wish("u/d/s", start=Start(cursor="6.1"))
    feed.connected()
    feed.add(wish)
    assert said(feed, stream="u/d/s", notice="reset") == [Told(wish, Notice("reset", "u/d/s"), False)]


def test_an_end_forgets_the_wish() -> None:
    feed, wish = live("u/d/s")
    (told,) = said(feed, stream="u/d/s", notice="ended", code=403, msg="no more", error="forbidden")
    assert told.last
    assert isinstance(told.notice.error, PermissionDenied)
    assert wish not in feed
    feed.disconnected()
    assert feed.connected() == []


REFUSALS = [
    ({"code": 404, "msg": "no", "error": "not_found"}, NotFound, False),
    ({"code": 403, "msg": "no", "error": "forbidden"}, PermissionDenied, False),
    ({"code": 501, "msg": "no", "error": "unsupported"}, ServerError, False),
    ({"code": 503, "msg": "later", "error": "unavailable"}, Unavailable, True),
    ({"code": 500, "msg": "oh", "error": "server_error"}, ServerError, True),
]


@pytest.mark.parametrize(("fields", "kind", "held"), REFUSALS)
def test_refusals(fields: dict[str, Any], kind: type[Exception], held: bool) -> None:
    feed, wish = Feed(), Wish("u/d/s", start=Start(cursor="7.1"))
    feed.connected()
    (command,) = sent(feed.add(wish))
    (refused,) = said(feed, id=command["id"], ref="r", **fields)
    assert isinstance(refused, Refused)
    assert refused.wish is wish
    assert isinstance(refused.error, kind)
    assert refused.error.ref == "r"
    assert (wish in feed) is held
    if held:
        (again,) = sent(feed.resume(wish))
        assert again["cursor"] == "7.1"


def test_a_held_wish_gets_nothing_and_goes_on_after_what_it_has() -> None:
    feed, wish = live("u/d/s")
    ((_, arrival),) = said(feed, stream="u/d/s", cursor="7.5", data=[{"d": 1}])
    wish.take(arrival)
    (command,) = sent(feed.hold(wish))
    assert (command["cmd"], command["arg"]) == ("unsubscribe", "u/d/s")
    assert feed.hold(wish) == []
    assert said(feed, stream="u/d/s", cursor="7.6", data=[{"d": 2}]) == []  # on its way when it was held
    feed.disconnected()
    assert feed.connected() == []
    (command,) = sent(feed.resume(wish))
    assert command["cursor"] == "7.5"
    assert said(feed, stream="u/d/s", cursor="7.6", data=[{"d": 2}]) == []  # the server has not answered yet
    said(feed, id=command["id"], ok=True, cursor="7.5")
    assert len(said(feed, stream="u/d/s", cursor="7.6", data=[{"d": 2}])) == 1
    assert feed.resume(wish) == []


def test_a_wish_takes_the_place_of_another() -> None:
    feed, wish = live("u/d/s")
    new = Wish("u/d/s")
    (command,) = sent(feed.add(new))
    assert wish not in feed
    assert feed.remove(wish) == []
    assert said(feed, stream="u/d/s", cursor="7.1", data=[{"d": 1}]) == []  # it was for the other one
    said(feed, id=command["id"], ok=True, cursor="7.1")
    ((found, _),) = said(feed, stream="u/d/s", cursor="7.2", data=[{"d": 2}])
    assert found is new


def test_transforms_are_told_apart() -> None:
    feed, plain = live("u/d/s")
    counting = Wish("u/d/s", "count")
    (command,) = sent(feed.add(counting))
    said(feed, id=command["id"], ok=True, cursor="7.0")
    ((found, _),) = said(feed, stream="u/d/s", transform="count", cursor="7.1", data=[{"d": 1}])
    assert found is counting
    ((found, _),) = said(feed, stream="u/d/s", cursor="7.1", data=[{"d": 1}])
    assert found is plain


def test_removing() -> None:
    feed, wish = live("u/d/s")
    (command,) = sent(feed.remove(wish))
    assert command["cmd"] == "unsubscribe"
    assert feed.remove(wish) == []
    assert said(feed, stream="u/d/s", cursor="7.1", data=[{"d": 1}]) == []
    assert said(feed, id=command["id"], ok=True) == []


@pytest.mark.parametrize("text", ["", "[1]", "no", '{"stream":1}', '{"stream":"u/d/s","data":5}', "[" * 100_000])
def test_what_no_server_sends_is_an_error(text: str) -> None:
    feed, _ = live("u/d/s")
    with pytest.raises(ServerError):
        feed.received(text)


@pytest.mark.parametrize("fields", [{}, {"stream": "u/d/s"}, {"stream": "x", "data": []}, {"news": 1}, {"notice": "?"}])
def test_what_a_later_server_may_send_is_passed_over(fields: dict[str, Any]) -> None:
    feed, _ = live("u/d/s")
    assert said(feed, **{"stream": "u/d/s", **fields}) == []


def test_size_of_an_arrival() -> None:
    feed, _ = live("u/d/s")
    ((_, arrival),) = said(feed, stream="u/d/s", cursor="7.1", data=[{"d": "x" * 10_000}])
    assert isinstance(arrival, Arrival)
    assert 10_000 < arrival.size_bytes < 12_000
