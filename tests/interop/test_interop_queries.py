"""The published 0.3 client against our server: merges and datasets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

OldScript = Callable[..., Any]

REFUSED = "AuthenticationError 403"
UNREADABLE = "AuthenticationError 400"


def test_old_client_merges_streams_and_makes_datasets(old: OldScript) -> None:
    found = old("querying")

    merged = [(50, 1), (100, 7), (100, 1), (400, 3), (500, 168), (800, 162), (1100, 5)]
    assert found["merge"] == [{"t": t, "d": d} for t, d in merged]
    assert found["type"] == "list"
    assert found["limited"] == [{"t": t, "d": 1} for t in (50, 100, 150)]
    path = "quentin/user/temperature"
    assert found["x"] == [
        {"t": 100, "d": {"x": 7, path: 73, "steps": 2}},
        {"t": 400, "d": {"x": 3, path: 84, "steps": 6}},
        {"t": 1100, "d": {"x": 5, path: 79, "steps": 14}},
    ]
    assert found["x type"] == "list"
    assert found["range"] == [{"t": 1100, "d": -79}]
    # At 100 there is nothing before, so there is no such row.
    assert found["time"] == [{"t": 300, "d": {"temperature": 73, "next": 84}}]
    assert found["merges"] == [
        {"t": t, "d": {"x": d, "both": d}} for t, d in [(100, 7), (200, 73), (400, 3), (1100, 5)]
    ]
    assert found["empty"] == []
    assert found["refused"] == [UNREADABLE, REFUSED, UNREADABLE, REFUSED, REFUSED]
