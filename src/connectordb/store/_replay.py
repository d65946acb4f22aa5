"""The changes of a stream one by one, as they were made: for who has an earlier state, and wants what there is now.

What came is read where it is now, or where it was put when it was deleted again. To find that, all that has come is
followed through what happened since: two halves at a time, so that it takes little more time than there are events.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import apsw

from ..block import Block
from ..errors import InvalidRange
from ._changes import (
    Event,
    Moves,
    Pieces,
    composed,
    events_between,
    lost,
    moved,
    moves_of,
    points_before,
)
from ._connection import Readers, query
from ._corrections import removed_between
from ._data import PAGE_POINTS, View, read_head
from ._since import take
from .records import Change, ChangeKind, Head

__all__ = ["Plans", "changes_after"]

PLAN_STEPS: Final = 50_000
"""So many steps are planned at once. To plan takes time for all that happened since, and memory for each step."""
PLANS_MAX: Final = 3

_UNDONE = "SELECT id, undone FROM corrections WHERE id = ?"


class _Fate(NamedTuple):
    """What has become of datapoints that came, from number *rank* on.

    Attributes:
        rank, n: Which datapoints, numbered in the order in which they came, and how many.
        i: Index of the first: now, or right before it was deleted.
        event: With which they were deleted; ``None``: they are there.
    """

    rank: int
    n: int
    i: int
    event: Event | None


class _Step(NamedTuple):
    """Some datapoints that stand side by side and came, went, or got other values together.

    Attributes:
        kind, i, n, correction: As in `Change`.
        state: The state before.
        rank: Number of the first, as `_Fate` counts, unless they went.
    """

    kind: ChangeKind
    i: int
    n: int
    correction: int | None
    state: int
    rank: int

    @property
    def after(self) -> int:
        """The state after it."""
        return self.state + (self.n if self.kind == ChangeKind.INSERTED else 1)


class _Node(NamedTuple):
    """Some events that follow each other: *event*, or two halves, of which one at least takes something out."""

    moves: Moves
    event: Event | None = None
    halves: tuple[_Node, _Node] | None = None

    @property
    def takes_out(self) -> bool:
        return self.halves is not None or (self.event is not None and self.event.kind == ChangeKind.DELETED)


class Plans:
    """The plans made last, for who asks for the next page of changes where the one before ended."""

    def __init__(self) -> None:
        self._made: list[_Plan] = []
        self._changing = threading.Lock()

    def find(self, key: int, state: int, merges: int) -> _Plan | None:
        """Return one that goes on from *state*."""
        with self._changing:
            for plan in self._made:
                if plan.key == key and plan.merges == merges and plan.state <= state < plan.upto:
                    return plan
        return None

    def add(self, plan: _Plan) -> None:
        with self._changing:
            # One that is out of date leads nowhere any more.
            kept = [one for one in self._made if one.key != plan.key or one.merges == plan.merges]
            self._made = [plan, *kept[: PLANS_MAX - 1]]


def changes_after(
    readers: Readers,
    plans: Plans,
    key: int,
    state: int,
    *,
    removed: bool = True,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Change]:
    """Yield the steps that lead from *state* to what there is now; see `Store.changes_after`."""
    with readers.snapshot() as connection:
        upto = read_head(connection, key).arrivals
    if not 0 <= state <= upto:
        raise InvalidRange("the state is not of this stream: it is ahead of what has arrived")
    plan: _Plan | None = None
    while state < upto:
        with readers.snapshot() as connection:
            view = View(connection, key, cache=readers.cache)
            if plan is None or plan.merges != view.head.merges or plan.upto <= state:
                plan = plans.find(key, state, view.head.merges)
                if plan is None:
                    plan = _Plan(connection, key, state, view.head, check)
                    plans.add(plan)
            change = plan.change(connection, view, state, upto, removed=removed)
        state = change.state
        yield change


class _Plan:
    """The steps that lead on from *state*, as many as `PLAN_STEPS`, and what has become of their datapoints until
    *head*. It holds until something is corrected or comes late.

    Attributes:
        key, state, merges: Of which substream, from where on, and how long.
        upto: The state to which it leads.
    """

    def __init__(
        self, connection: apsw.Connection, key: int, state: int, head: Head, check: Callable[[], None]
    ) -> None:
        self.key = key
        self.state = state
        self.merges = head.merges
        events = events_between(connection, key, state, head.arrivals)
        check()
        n = points_before(head.n, head.arrivals - state, events)
        self._steps, leaves, self._came_with = _steps(events, state, head.arrivals, n, check)
        self._states = [step.state for step in self._steps]
        self.upto = self._steps[-1].after
        gone: list[_Fate] = []
        _, there = _follow(leaves, gone, check)
        self._fates = sorted([*gone, *(_Fate(rank, number, i, None) for i, number, rank in there)])
        self._ranks = [fate.rank for fate in self._fates]

    def change(self, connection: apsw.Connection, view: View, state: int, upto: int, *, removed: bool) -> Change:
        """Return the change that follows *state*, or a part of it; not beyond *upto*."""
        step = self._steps[bisect_right(self._states, state) - 1]
        if step.kind == ChangeKind.DELETED:
            return Change(step.kind, step.i, step.n, None, step.after, step.correction)
        done = state - step.state  # only what came can be a part
        left = min(step.n, upto - step.state) - done
        n, block = self._read(connection, view, step.rank + done, left, removed=removed)
        after = state + n if step.kind == ChangeKind.INSERTED else step.after
        return Change(step.kind, step.i + done, n, block, after, step.correction)

    def _read(
        self, connection: apsw.Connection, view: View, rank: int, n: int, *, removed: bool
    ) -> tuple[int, Block | None]:
        """Return the *n* datapoints from number *rank* on, or some of them, and how many that are."""
        k = bisect_right(self._ranks, rank) - 1
        fate = self._fates[k]
        if fate.event is None:
            pieces: Pieces = []
            found = 0
            while found < min(n, PAGE_POINTS) and k < len(self._fates) and self._fates[k].event is None:
                begin, number, i, _ = self._fates[k]
                skip = max(0, rank - begin)
                pieces.append((i + skip, min(number - skip, n - found), begin + skip))
                found += pieces[-1][1]
                k += 1
            block, behind, _ = take(view, pieces, 0, rank)
            return behind - rank, block
        n = min(n, fate.rank + fate.n - rank)
        i = fate.i + rank - fate.rank
        [(id_, undone)] = query(connection, _UNDONE, (fate.event.correction,))
        if undone in self._came_with:
            return self._read(connection, view, self._came_with[undone] + i - fate.event.runs[0][0], n, removed=removed)
        kept = removed_between(connection, view.key, id_, i, i + n) if removed else None
        if kept is None:
            return n, None
        first, block = kept
        return (first - i, None) if first > i else (block.n, block)


def _steps(
    events: list[Event], state: int, now: int, n: int, check: Callable[[], None]
) -> tuple[list[_Step], list[tuple[_Node, Pieces]], dict[int, int]]:
    """Return the first steps from *state* on; for each event up to *now* what came with it, and behind the newest
    datapoint until the next; and by corrections with which datapoints came, the number of the first of them.

    Of what belongs to no step, only what an undo has brought back is followed: it may have come with one.

    Args:
        n: How many datapoints there are at the beginning.
    """
    steps: list[_Step] = []
    leaves: list[tuple[_Node, Pieces]] = [(_Node(moves_of([])), [])]
    came_with: dict[int, int] = {}
    rank = 0

    # What came is scattered by what came later: about so many datapoints become as many pieces as there are steps.
    points_max = PLAN_STEPS * max(1, now // (1 + sum(len(event.runs) for event in events)))

    def is_full() -> bool:
        return len(steps) >= PLAN_STEPS or rank >= points_max

    def came(kind: ChangeKind, i: int, number: int, at: int, correction: int | None = None) -> None:
        nonlocal rank
        undo = kind == ChangeKind.INSERTED and correction is not None
        part = min(number, points_max - rank)
        if not is_full():
            steps.append(_Step(kind, i, part, correction, at, rank))
        elif not undo:
            return
        if undo and correction is not None:
            came_with.setdefault(correction, rank)
            part = number
        leaves[-1][1].append((i, part, rank))
        rank += part

    for event in events:
        check()
        if event.state > state:
            came(ChangeKind.INSERTED, n, event.state - state, state)
            n += event.state - state
            state = event.state
        leaves.append((_Node(moves_of([event]), event), []))
        if is_full() and (event.kind != ChangeKind.INSERTED or event.correction is None):
            n += event.grown
        elif event.kind == ChangeKind.DELETED:
            [(i, number)] = event.runs  # a correction has one, as each of its steps needs a state of its own
            steps.append(_Step(event.kind, i, number, event.correction, state, -1))
            n -= number
        else:
            for i, number in event.runs:
                came(event.kind, i, number, state, event.correction)
                if event.kind == ChangeKind.INSERTED:
                    n += number
                    state += number
        state = event.after
    if now > state:
        came(ChangeKind.INSERTED, n, now - state, state)
    return steps, leaves, came_with


def _follow(
    leaves: Sequence[tuple[_Node, Pieces]], gone: list[_Fate], check: Callable[[], None]
) -> tuple[_Node, Pieces]:
    """Return all events as one, and where those are then that came with them. The others are added to *gone*."""
    check()
    if len(leaves) == 1:
        return leaves[0]
    middle = len(leaves) // 2
    before, came_before = _follow(leaves[:middle], gone, check)
    after, came_after = _follow(leaves[middle:], gone, check)
    takes_out = before.takes_out or after.takes_out
    if came_before:
        if after.takes_out:
            _find_out(after, lost(came_before, after.moves), gone)
        came_before = moved(came_before, after.moves)
    node = _Node(composed(before.moves, after.moves), halves=(before, after) if takes_out else None)
    return node, [*came_before, *came_after]


def _find_out(node: _Node, pieces: Pieces, gone: list[_Fate]) -> None:
    """Add to *gone* with which event *pieces* went, all of which did."""
    if not pieces:
        return
    if node.event is not None:
        gone += [_Fate(rank, n, i, node.event) for i, n, rank in pieces]
    elif node.halves is not None:
        before, after = node.halves
        _find_out(before, lost(pieces, before.moves), gone)
        _find_out(after, moved(pieces, before.moves), gone)
