"""What a reader of an earlier state has not seen, and where it is now, worked out from notes of indices alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import hypothesis.strategies as st
from hypothesis import given
from store_model import block, insert, make_streams, unseen

from connectordb.store import _changes
from connectordb.store._changes import (
    Moves,
    Pieces,
    Runs,
    behind,
    composed,
    events_between,
    from_rank,
    moved,
    moves_of,
    note_change,
    points_before,
    skipped,
)
from connectordb.store._changes import unseen as unseen_pieces
from connectordb.store.records import ChangeKind, Cursor, Mode, Substream
from connectordb.store.sqlite import SQLiteStore

RUNS = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4)), max_size=6).map(
    lambda gaps: _with_gaps(gaps)  # gap before, number
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["append", "insert", "delete", "update"]),
        st.integers(0, 40),
        st.lists(st.integers(0, 40), min_size=1, max_size=5),
    ),
    max_size=12,
)
KEY = 6


def _with_gaps(gaps: list[tuple[int, int]]) -> Runs:
    runs, place = [], 0
    for gap, number in gaps:
        first = place + gap + bool(runs)
        runs.append((first, number))
        place = first + number
    return runs


class _History:
    """A stream of which every state is remembered. Each datapoint is its own number."""

    def __init__(self, steps: list[tuple[str, int, list[int]]]) -> None:
        self.connection = apsw.Connection(":memory:")
        self.connection.execute(
            "CREATE TABLE changes (place INTEGER PRIMARY KEY, runs BLOB, kind INTEGER, correction INTEGER)"
        )
        note_change(self.connection, KEY - 1, 3, [(0, 9)])
        note_change(self.connection, KEY + 1, 0, [(0, 9)])
        self.states: list[list[int]] = [[]]
        self.count = 0
        for kind, i, places in steps:
            getattr(self, f"_{kind}")(i, places)

    def _new(self) -> int:
        self.count += 1
        return self.count

    def _append(self, i: int, places: list[int]) -> None:
        for _ in places:
            self.states.append([*self.states[-1], self._new()])

    def _insert(self, i: int, places: list[int]) -> None:
        """As a late insert does: its datapoints arrive one by one, in order, some of them behind the end."""
        state, now = len(self.states) - 1, list(self.states[-1])
        new = set()
        for place in sorted(min(place, len(now)) for place in places):
            now.insert(place + len(new), self._new())
            new.add(now[place + len(new)])
            self.states.append(list(now))
        indices = [k for k, point in enumerate(now) if point in new]
        runs: Runs = []
        for k in indices:
            if runs and sum(runs[-1]) == k:
                runs[-1] = (runs[-1][0], runs[-1][1] + 1)
            else:
                runs.append((k, 1))
        note_change(self.connection, KEY, state, runs)

    def _delete(self, i: int, places: list[int]) -> None:
        now = list(self.states[-1])
        if i < len(now):
            n = min(len(places), len(now) - i)
            note_change(self.connection, KEY, len(self.states) - 1, [(i, n)], ChangeKind.DELETED, 1)
            del now[i : i + n]
            self.states.append(now)

    def _update(self, i: int, places: list[int]) -> None:
        if i < len(self.states[-1]):
            note_change(self.connection, KEY, len(self.states) - 1, [(i, 1)], ChangeKind.UPDATED, 1)
            self.states.append(self.states[-1])

    def moves(self, base: int, state: int) -> Moves:
        return moves_of(events_between(self.connection, KEY, base, state))


def indices(pieces: Pieces) -> list[int]:
    return [i for first, number, _ in pieces for i in range(first, first + number)]


def ranks(pieces: Pieces) -> list[int]:
    return [i for _, number, rank in pieces for i in range(rank, rank + number)]


@st.composite
def histories(draw: st.DrawFn) -> tuple[_History, int, int]:
    """A stream, and two of its states in order."""
    history = _History(draw(STEPS))
    state = draw(st.integers(0, len(history.states) - 1))
    return history, draw(st.integers(0, state)), state


@given(histories())
def test_the_number_of_datapoints_of_any_state_follows(case: tuple[_History, int, int]) -> None:
    history, base, state = case
    events = events_between(history.connection, KEY, base, state)
    assert points_before(len(history.states[state]), state - base, events) == len(history.states[base])


@given(histories())
def test_unseen_is_what_was_not_there(case: tuple[_History, int, int]) -> None:
    history, base, state = case
    before, now = history.states[base], history.states[state]
    found = unseen_pieces(history.moves(base, state), len(before), len(now))
    assert indices(found) == [i for i, point in enumerate(now) if point not in before]
    assert ranks(found) == list(range(len(indices(found))))


@given(histories(), RUNS)
def test_what_is_left_is_found_again(case: tuple[_History, int, int], runs: Runs) -> None:
    history, base, state = case
    before, now = history.states[base], history.states[state]
    wanted = [(i, rank) for rank, (first, n) in enumerate(runs) for i in range(first, first + n) if i < len(before)]
    pieces = [(i, 1, rank) for i, rank in wanted]
    found = moved(pieces, history.moves(base, state))
    left = [(now.index(before[i]), rank) for i, rank in wanted if before[i] in now]
    assert list(zip(indices(found), ranks(found), strict=True)) == left


@given(histories(), st.integers(0, 30))
def test_a_boundary_stays_behind_what_was_in_front_of_it(case: tuple[_History, int, int], i: int) -> None:
    history, base, state = case
    before, now = history.states[base], history.states[state]
    i = min(i, len(before))
    found = behind(history.moves(base, state), i)
    left = [now.index(point) for point in before[:i] if point in now]
    assert found == max(left, default=-1) + 1


@given(histories(), st.integers(0, 30))
def test_moves_of_two_stretches_are_those_of_both_together(case: tuple[_History, int, int], middle: int) -> None:
    history, base, state = case
    middle = max(base, min(middle, state))
    assert composed(history.moves(base, middle), history.moves(middle, state)) == history.moves(base, state)


@given(RUNS, st.integers(0, 30))
def test_skipping_leaves_the_rest(runs: Runs, number: int) -> None:
    every = [i for first, n in runs for i in range(first, first + n)]
    assert [i for first, n in skipped(runs, number) for i in range(first, first + n)] == every[number:]
    pieces, rank = [], 0
    for first, n in runs:
        pieces.append((first, n, rank))
        rank += n
    assert indices(from_rank(pieces, number)) == every[number:]
    assert ranks(from_rank(pieces, number)) == list(range(number, len(every)))


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


def test_pieces_are_looked_up_and_not_gone_through_from_the_first_each_time() -> None:
    """Else many pieces and many late datapoints take the time of their product."""

    class Spans(list[tuple[int, int, int]]):
        begun = 0

        def __iter__(self) -> Iterator[tuple[int, int, int]]:
            self.begun += 1
            return super().__iter__()

    spans = Spans((3 * k, 3 * k + 1, k) for k in range(100))
    found = _changes._within([(3 * k, 1, k) for k in range(100)], spans)
    assert found == [(4 * k, 1, k) for k in range(100)]
    assert spans.begun <= 1
