"""The published 0.3 client against our server: inserting datapoints and reading them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

OldScript = Callable[..., Any]

REFUSED = "AuthenticationError 403"


def test_old_client_inserts(old: OldScript) -> None:
    found = old("inserting")

    assert found["limit"] == 5000
    assert found["values"] is True
    assert found["null"] is False
    assert found["stamped"] == [True, True]
    assert found["senders"] == []
    assert found["len"] == 15
    assert found["many"] == [12_001, True]
    assert found["exactly_5000"] == 17_001
    assert found["empty"] == 7
    assert found["no_t"] == [8, 9, True, True]
    assert found["after_future"] == [{"t": 4e9, "d": 10}, {"t": 4e9, "d": 11}]
    assert found["mismatch"] == [REFUSED, REFUSED, 11]
    # What does not fit lies in the second request of 5000: the first is stored, the second not at all.
    assert found["half"] == [REFUSED, 5000]
    assert found["missing"] == REFUSED


def test_old_client_has_late_time_stamps_refused_or_raised(old: OldScript) -> None:
    found = old("restamping")

    stored = [{"t": 10, "d": 1}, {"t": 20, "d": 2}, {"t": 20, "d": 3}]
    assert found["equal"] == stored
    assert found["older"] == REFUSED
    assert found["unordered"] == REFUSED
    assert found["unordered_restamp"] == REFUSED
    assert found["refused_len"] == 3
    raised = [{"t": 20, "d": 4}, {"t": 20, "d": 5}, {"t": 25, "d": 6}]
    assert found["restamped"] == stored + raised
    assert found["in_order"] == {"t": 50, "d": 7}


def test_old_client_reads_every_kind_of_range(old: OldScript) -> None:
    found = old("ranges")

    beyond = ["IndexError", "AuthenticationError 403", "IndexError"]
    assert found["empty"] == [0, [], [], [], "IndexError", "IndexError"]
    points = [{"t": t, "d": d} for d, t in enumerate([1, 2, 3, 3, 3, 6, 7, 8, 9, 10])]
    assert found["index"] == {str(i): points[i] for i in (0, 3, 9, -1, -10)}
    assert found["beyond"] == beyond
    d = list(range(10))
    assert found["slices"] == {
        "(None, None)": d,
        "(0, 3)": [0, 1, 2],
        "(2, None)": d[2:],
        "(None, 2)": [0, 1],
        "(-3, None)": [7, 8, 9],
        "(-3, -1)": [7, 8],
        "(None, -8)": [0, 1],
        "(5, -3)": [5, 6],
        "(0, 1000)": d,
        "(-1000, 2)": [0, 1],
        "(4, 4)": [],
    }
    # The first bound is exclusive, the last inclusive.
    assert found["times"] == {
        "{'t1': 2}": d[2:],
        "{'t1': 2, 't2': 7}": [2, 3, 4, 5, 6],
        "{'t2': 3}": [0, 1, 2, 3, 4],
        "{'t1': 3, 't2': 6}": [5],
        "{'t1': 2.999, 't2': 3}": [2, 3, 4],
        "{'t1': 0, 'limit': 2}": [0, 1],
        "{'t1': 2, 'limit': 4}": [2, 3, 4, 5],
        "{'t1': 2, 't2': 8, 'limit': 2}": [2, 3],
        "{'t1': 10}": [],
        "{'t1': 8, 't2': 2}": [],
        "{'t1': -5, 't2': 2}": [0, 1],
        "{'t1': 100000000000.0}": [],
    }
    assert found["indices"] == {
        "{'i1': 0, 'i2': 3}": [0, 1, 2],
        "{'i1': 8}": [8, 9],
        "{'i2': 2}": [0, 1],
        "{'i1': -2}": [8, 9],
        "{'i1': -4, 'i2': -2}": [6, 7],
        "{'i1': 0, 'i2': 0}": d,
        "{'i1': 3, 'i2': 3}": [],
        "{'i1': 7, 'i2': 99}": [7, 8, 9],
        "{'i1': -99, 'i2': 1}": [0],
    }
    assert found["points"] == points[3:6]
    assert found["all"] == d
    assert found["type"] == "DatapointArray"
    assert found["columns"] == [[1, 2], [0, 1], [0, 1], 2]
    assert found["numbers"] == [1 + 2 + 3 + 4, 2.5]
    assert found["refused"] == {
        "beyond": REFUSED,
        "turned": REFUSED,
        "both": "AssertionError",
        "missing": REFUSED,
        "missing_len": REFUSED,
    }


def test_old_client_writes_and_reads_downlinks(old: OldScript) -> None:
    found = old("downlinks")

    requests = [
        {"t": 1, "d": True, "o": "ida/user"},
        {"t": 2, "d": False, "o": "ida/user"},
        {"t": 3, "d": True, "o": "ida/switch"},
    ]
    assert found["refused"] == [REFUSED, REFUSED]
    assert found["requests"] == requests
    assert found["lengths"] == [0, 0, 3]
    assert found["stream"] == []
    assert found["owner"] == [{"t": 1.5, "d": True}, {"t": 4, "d": False}]
    assert found["owner_reads"] == [requests[1:], requests[1:2], requests[2:]]
    assert found["lengths_after"] == [2, 3]
    assert found["old_request"] == REFUSED
    assert found["plain"] == [REFUSED, None, 1]
