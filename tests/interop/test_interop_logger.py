"""The Logger of the published 0.3 client against our server, and its file taken over by our Logger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from connectordb import ConnectorDB
from connectordb.logger import Logger

OldScript = Callable[..., Any]


def test_old_logger_brings_what_was_logged_when_told_to(old: OldScript) -> None:
    found = old("logging_sync")

    assert found["name"] == "nora/station"
    assert found["ping"] is None
    assert found["contains"] == [True, False]
    assert found["connectordb"] == ["nora/station", "nora/station"]
    assert found["settings"] == [True, True, 60, {"position": "roof"}]
    assert found["stream"] == ['{"type":"number"}', "Temperature", "number.celsius"]
    assert found["mismatch"] == "ValidationError"
    assert found["unknown"] == "Exception"
    assert (found["len"], found["before"]) == (7, [0, 0, 0])
    assert (found["len_after"], found["after"]) == (0, [5, 1, 1])
    assert found["values"] == [[20.5, -3, 0, 1e-9, 21], ["Grüße ☃"], [7]]
    assert found["times"] == [True, True]
    assert found["lastsync"] is True
    assert found["reopened"] == [1, "nora/station", True, True, 60, {"position": "roof"}, 1, True]
    assert found["all"] == [[20.5, -3, 0, 1e-9, 21, 22], 0]
    assert found["synced"] == 5
    assert found["forced"] == [True, False, True]
    assert found["cleared"] == [0, 1]
    assert found["wrong_key"] == "AuthenticationError 401"


def test_old_logger_brings_what_was_logged_in_the_background(old: OldScript) -> None:
    found = old("logging_background")

    assert found["in_time"] is True
    assert found["failed"] == []
    assert found["left"] == 0
    assert found["a"] == list(range(0, 200, 2))
    assert found["b"] == list(range(1, 200, 2))
    assert found["after_stop"] == [0, 1]


def test_our_logger_takes_over_an_old_spool_and_brings_its_datapoints_once(
    old: OldScript, server: Any, database: ConnectorDB
) -> None:
    left = old("logging_offline", user="paul")

    assert left["len"] == 201
    temperature, text = database("paul/station/temperature"), database("paul/station/text")
    assert [point["d"] for point in temperature[:]] == [1]
    with Logger(left["file"], syncraise=True) as logger:
        assert len(logger) == 201
        assert (logger.name, logger.apikey, logger.serverurl) == ("paul/station", left["apikey"], server.url)
        assert (logger.syncperiod, logger.data) == (120, {"position": "cellar"})
        assert sorted(logger.streams) == ["temperature", "text"]
        logger.insert("temperature", -1)
        logger.sync()
        assert len(logger) == 0
    with Logger(left["file"], syncraise=True) as logger:
        logger.sync()

    points = [dict(point) for point in temperature[:]]
    assert [point["d"] for point in points] == [1, *(i / 4 for i in range(200)), -1]
    assert points[1:-1] == left["temperature"]
    assert list(text[:]) == left["text"]
