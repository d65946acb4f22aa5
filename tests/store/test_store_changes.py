"""Which datapoints a reader of an earlier state has not seen, worked out from the indices of late ones alone."""

from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
from hypothesis import given
from store_model import block, insert, make_streams, unseen

from connectordb.store._changes import Runs, shifted, skipped
from connectordb.store._changes import unseen as unseen_runs
from connectordb.store.base import Cursor, Mode, Substream
from connectordb.store.sqlite import SQLiteStore

RUNS = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4)), max_size=6).map(
    lambda gaps: _with_gaps(gaps)  # gap before, number
)


def _with_gaps(gaps: list[tuple[int, int]]) -> Runs:
    runs, place = [], 0
    for gap, number in gaps:
        first = place + gap + bool(runs)
        runs.append((first, number))
        place = first + number
    return runs


def indices(runs: Runs) -> list[int]:
    return [i for first, number in runs for i in range(first, first + number)]


@given(RUNS, RUNS)
def test_what_is_there_moves_behind_what_comes_between(runs: Runs, inserted: Runs) -> None:
    size = max(indices(runs), default=0) + 1
    after: list[int | None] = list(range(size))
    for i in indices(inserted):
        after += [None] * (i - len(after))  # it may come far behind the end
        after.insert(i, None)
    assert indices(shifted(runs, inserted)) == [after.index(i) for i in indices(runs)]


@given(RUNS, st.integers(0, 30))
def test_skipping_leaves_the_rest(runs: Runs, number: int) -> None:
    assert indices(skipped(runs, number)) == indices(runs)[number:]


@given(RUNS, st.integers(0, 30))
def test_unseen_is_what_came_late_or_behind(late: Runs, base: int) -> None:
    state = max(base + len(indices(late)), max(indices(late), default=-1) + 1)
    seen = [i for i in range(state) if i not in set(indices(late))][:base]
    assert indices(unseen_runs(base, state, late)) == [i for i in range(state) if i not in set(seen)]


def test_catching_up_over_very_many_late_inserts_takes_little_time(tmp_path: Path) -> None:
    # Each of 600 inserts goes in between in 20 places. Worked out one by one this would take minutes.
    with SQLiteStore(tmp_path / "s.db", synchronous="normal") as store:
        [stream] = make_streams(store, 1)
        insert(store, stream, block(*((float(t), t) for t in range(20))))
        insert(store, stream, block((1e6, "end")))
        for k in range(600):
            insert(store, stream, block(*((t + 0.5, [k, t]) for t in range(20))), Mode.MERGE)
        got, cursor = unseen(store, stream, Cursor.behind(21))
        assert cursor == Cursor.behind(21 + 600 * 20)
        assert sorted(tuple(d) for _, d in got) == [(k, t) for k in range(600) for t in range(20)]
        assert store.head(stream, Substream.MAIN).merges == 600
