"""What is repeated when, and what is not. Without a socket, and without waiting."""

from __future__ import annotations

import threading
import time
from email.utils import formatdate
from typing import Any

import pytest

from connectordb import ConnectorDB, errors
from connectordb.client import Reply, _calls

LOST = errors.Closed("cut")
SILENT = errors.TimedOut("silence")
REFUSED = errors.ConnectFailed("nobody there")
OK = (200, b"ok")
BUSY = Reply(503, {"retry-after": "3"}, b"")

READ = _calls.length("u/d/s")
CREATE = _calls.create("u", {})
INSERT = _calls.insert("u/d/s", b"[]", key="k")
KEYLESS = _calls.insert("u/d/s", b"[]")
DELETE = _calls.delete("u/d")

CASES: list[tuple[str, Any, list[Any], Any]] = [
    ("a read is repeated", READ, [LOST, SILENT, REFUSED, (502, b""), (504, b""), BUSY, (200, b"7")], 7),
    ("an insert with a key is repeated", INSERT, [LOST, SILENT, OK], None),
    ("a create is repeated if nothing was sent", CREATE, [REFUSED, (200, b"{}")], {}),
    ("a create is repeated if the server had no time for it", CREATE, [BUSY, (429, b""), (200, b"{}")], {}),
    ("a create is not repeated after a lost answer", CREATE, [LOST], errors.Closed),
    ("a create is not repeated after a timeout", CREATE, [SILENT], errors.TimedOut),
    ("a create is not repeated after a bad gateway", CREATE, [(502, b"")], errors.ServerError),
    ("an insert without a key is not repeated", KEYLESS, [LOST], errors.Closed),
    ("a refusal is not repeated", READ, [(403, b"")], errors.PermissionDenied),
    ("a failed login is not repeated", READ, [(401, b"")], errors.Unauthenticated),
    ("a failure of the server is not repeated", READ, [(500, b"")], errors.ServerError),
    ("garbage is not repeated", READ, [(200, b"<html>")], errors.ServerError),
    ("a delete is repeated", DELETE, [LOST, OK], None),
    ("a delete that was carried out succeeds", DELETE, [LOST, (403, b""), (404, b"")], None),
    ("a delete that was carried out succeeds, also as 404", DELETE, [SILENT, (404, b""), (404, b"")], None),
    ("a delete that is forbidden fails", DELETE, [LOST, (403, b""), (200, b"{}")], errors.PermissionDenied),
    ("a delete that cannot be looked after fails", DELETE, [LOST, (403, b""), LOST], errors.PermissionDenied),
    ("a delete of nothing fails", DELETE, [(404, b"")], errors.NotFound),
    ("a delete of nothing fails, when only connecting failed before", DELETE, [REFUSED, (404, b"")], errors.NotFound),
]


@pytest.mark.parametrize(("what", "call", "script", "result"), CASES, ids=[c[0] for c in CASES])
def test_repeats(fake: Any, what: str, call: Any, script: list[Any], result: Any) -> None:
    transport = fake(*script)
    session = transport.session(retries=9)
    if isinstance(result, type):
        with pytest.raises(result):
            session.run(call)
    else:
        assert session.run(call) == result
    assert not transport.script, "all of the script has been played"


def test_a_repeated_insert_is_the_same_request(fake: Any) -> None:
    transport = fake(LOST, BUSY, OK)
    transport.session().run(_calls.insert("u/d/s", b'[{"d":1}]', key="k"))
    assert transport.sent[0] == transport.sent[1] == transport.sent[2]
    assert transport.sent[0][2]["Idempotency-Key"] == "k"


def test_pauses_double_up_to_a_bound(fake: Any) -> None:
    transport = fake(*[LOST] * 10)
    with pytest.raises(errors.Closed):
        transport.session(retries=9, deadline_s=1e9).run(READ)
    assert transport.slept == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10])


def test_pauses_are_random_below_that(fake: Any) -> None:
    draws = iter((0.0, 0.5))
    transport = fake(LOST, LOST, (200, b"1"))
    transport.session(rand=lambda: next(draws)).run(READ)
    assert transport.slept == pytest.approx([0.0, 0.2])


@pytest.mark.parametrize(
    ("header", "at_least", "below"),
    [
        ("7", 7.0, 8.0),
        (30.0, 20.0, 31.0),
        (-1e9, 0.0, 1.0),
        ("soon", 0.0, 1.0),
        ("-5", 0.0, 1.0),
        ("nan", 0.0, 1.0),
    ],
)
def test_retry_after_is_honoured(fake: Any, header: str | float, at_least: float, below: float) -> None:
    if isinstance(header, float):
        header = formatdate(time.time() + header, usegmt=True)
    transport = fake(Reply(429, {"retry-after": header}, b""), (200, b"1"))
    transport.session().run(READ)
    assert at_least <= transport.slept[0] < below


def test_no_attempt_after_the_deadline(fake: Any) -> None:
    transport = fake(Reply(503, {"retry-after": "61"}, b""))
    with pytest.raises(errors.Unavailable):
        transport.session(deadline_s=60.0).run(READ)
    assert transport.slept == []


def test_retries_0_means_one_attempt(fake: Any) -> None:
    transport = fake(REFUSED)
    with pytest.raises(errors.ConnectFailed):
        transport.session(retries=0).run(READ)


def test_credentials_are_sent_with_each_request_and_can_change(fake: Any) -> None:
    transport = fake((200, b"1"), (200, b"1"), (200, b"1"))
    session = transport.session()
    session.run(READ)
    session.credentials = session.credentials._replace(user="", password="key")
    session.run(READ)
    session.sibling(session.credentials._replace(password="")).run(READ)
    sent = [headers.get("Authorization") for _, _, headers, _ in transport.sent]
    assert sent == ["Basic dTpw", "Basic OmtleQ==", None]


def test_garbage_is_quoted_in_part(fake: Any) -> None:
    transport = fake((200, b"<html>" + b"x" * 1000))
    with pytest.raises(errors.ServerError, match="no ConnectorDB server answers") as caught:
        transport.session().run(READ)
    assert len(str(caught.value)) < 400
    assert caught.value.status == 200


def test_closed_session_sends_nothing(fake: Any) -> None:
    transport = fake()
    session = transport.session()
    sibling = session.sibling(session.credentials)
    session.close()
    session.close()
    for one in (session, sibling):
        with pytest.raises(errors.Closed):
            one.run(READ)
    assert transport.closed
    assert not transport.sent


def test_closing_ends_a_wait(fake: Any) -> None:
    from connectordb.client import Credentials, Session

    transport = fake(Reply(503, {"retry-after": "30"}, b""))
    session = Session(transport, Credentials())
    caught: list[BaseException] = []

    def run() -> None:
        try:
            session.run(READ)
        except errors.Closed as e:
            caught.append(e)

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 10
    while not transport.sent and time.monotonic() < deadline:
        time.sleep(0.01)
    session.close()
    thread.join(10)
    assert len(caught) == 1


@pytest.mark.parametrize("settings", [{"timeout_s": 0}, {"retries": -1}, {"deadline_s": -1}])
def test_settings_without_sense_are_refused(fake: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="has to be more than 0"):
        fake().session(**settings)


@pytest.mark.parametrize("login", [("test", "secret\ud800"), ("secret\ud800", "x"), ("secret\ud800",)])
def test_login_that_is_no_unicode_is_refused_without_showing_it(login: tuple[str, ...]) -> None:
    with pytest.raises(errors.InvalidValue, match="not valid Unicode") as caught:
        ConnectorDB(*login, url="http://127.0.0.1:1")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("login", [(b"key",), (5,), ("test", 5)])
def test_login_that_is_no_text_is_refused(login: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match=r"has to be a text, not (bytes|int)"):
        ConnectorDB(*login, url="http://127.0.0.1:1")
