"""How the datapoints of one state of a stream became those of a later one, worked out from notes of indices alone.

A state is a number of steps: an insert takes one for each of its datapoints, a correction takes one. An insert behind
the newest datapoint moves nothing and is not noted. What changes the index or the value of datapoints that are there is
an *event*, and noted as *runs*: ``(index, number)``, in order. For late datapoints they are of the stream as it was
right after the insert, for deleted ones as it was right before. All that is worked out here follows from these runs, so
no datapoint is read to find those that are new.

Of several events together are made *moves*: ``(index, index before)`` for each place from which on datapoints stand
elsewhere than those in front of them, relative to where they were; ``-1`` if they are new. Nothing ends: behind the
last datapoint stand those to come.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import apsw
import msgspec

from ._connection import query
from ._key import place_of
from .records import ChangeKind

__all__ = [
    "Event",
    "Moves",
    "Pieces",
    "Runs",
    "behind",
    "composed",
    "events_between",
    "from_rank",
    "lost",
    "moved",
    "moves_of",
    "note_change",
    "points_before",
    "skipped",
    "unseen",
]

Runs = list[tuple[int, int]]
"""Indices as ``(first, number)``, in order, without overlap."""

Moves = list[tuple[int, int]]
"""See above."""

Pieces = list[tuple[int, int, int]]
"""Indices as ``(first, number, rank)``, in order: they are the datapoints number *rank* and so on of something."""

_NEW: Final = -1
_END: Final = 1 << 62  # behind everything

_decode = msgspec.json.Decoder(list[int]).decode
_encode = msgspec.json.Encoder().encode

_NOTE = "INSERT INTO changes (place, runs, kind, correction) VALUES (?, ?, ?, ?)"
# With the one that begins before the first place: a late insert may reach beyond it.
_BETWEEN = (
    "SELECT place, kind, runs, correction FROM changes WHERE place < ?3 AND place >= "
    "coalesce((SELECT max(place) FROM changes WHERE place >= ?1 AND place < ?2), ?2) ORDER BY place"
)


class Event(NamedTuple):
    """A change of datapoints that were there.

    Attributes:
        state: The state of the stream before.
        kind: What happened.
        runs: The indices concerned: of ``DELETED`` and ``UPDATED`` those before, of ``INSERTED`` those after.
        correction: Id of the correction that did it; ``None``: an insert.
    """

    state: int
    kind: ChangeKind
    runs: Runs
    correction: int | None

    @property
    def n(self) -> int:
        """How many datapoints are concerned."""
        return sum(number for _, number in self.runs)

    @property
    def grown(self) -> int:
        """How many more datapoints there are after it."""
        return {ChangeKind.INSERTED: self.n, ChangeKind.DELETED: -self.n, ChangeKind.UPDATED: 0}[self.kind]

    @property
    def after(self) -> int:
        """The state of the stream after it."""
        return self.state + (self.n if self.kind == ChangeKind.INSERTED else 1)


def note_change(
    connection: apsw.Connection,
    key: int,
    state: int,
    runs: Runs,
    kind: ChangeKind = ChangeKind.INSERTED,
    correction: int | None = None,
) -> None:
    """Note an event; see `Event`."""
    numbers = _encode([number for run in runs for number in run])
    connection.execute(_NOTE, (place_of(key, state), numbers, kind, correction))


def events_between(connection: apsw.Connection, key: int, base: int, state: int) -> list[Event]:
    """Return what happened between the states *base* and *state*; of a late insert in whose midst one of them is,
    only what belongs there."""
    events = []
    places = (place_of(key), place_of(key, base), place_of(key, state))
    for place, kind, text, correction in query(connection, _BETWEEN, places):
        numbers = _decode(text)
        runs = list(zip(numbers[::2], numbers[1::2], strict=True))
        event = Event(place - place_of(key), ChangeKind(kind), runs, correction)
        if event.after <= base or base == state:
            continue
        if event.state < base:
            event = event._replace(state=base, runs=skipped(runs, base - event.state))
        if event.after > state:
            event = event._replace(runs=_first_of(event.runs, state - event.state))
        events.append(event)
    return events


def points_before(n: int, steps: int, events: Sequence[Event]) -> int:
    """Return how many datapoints there were *steps* ago, where *events* happened since and there are *n* now."""
    n -= steps
    for event in events:
        if event.kind != ChangeKind.INSERTED:
            n += 1
        if event.kind == ChangeKind.DELETED:
            n += event.n
    return n


def moves_of(events: Sequence[Event]) -> Moves:
    """Return the moves of all events together."""
    found = [_moves(event) for event in events if event.kind != ChangeKind.UPDATED]
    while len(found) > 1:  # pair by pair, so that none is gone through more often than the depth of a tree
        pairs = [composed(found[i], found[i + 1]) for i in range(0, len(found) - 1, 2)]
        found = pairs + found[len(pairs) * 2 :]
    return found[0] if found else [(0, 0)]


def composed(before: Moves, after: Moves) -> Moves:
    """Return both together, *before* being those of the earlier events."""
    made: Moves = []
    k = 0
    for at, source, end in _spans(after):
        if source == _NEW:
            _add_move(made, at, _NEW)
            continue
        stop = source + end - at
        while k + 1 < len(before) and before[k + 1][0] <= source:
            k += 1
        while True:
            begin, origin = before[k]
            _add_move(made, at, _NEW if origin == _NEW else origin + source - begin)
            if k + 1 == len(before) or before[k + 1][0] >= stop:
                break
            k += 1
            at += before[k][0] - source
            source = before[k][0]
    return made


def moved(pieces: Pieces, moves: Moves) -> Pieces:
    """Return where *pieces* are after *moves*. What was deleted is left out."""
    kept = [(source, source + end - at, at - source) for at, source, end in _spans(moves) if source != _NEW]
    return _within(pieces, kept)


def lost(pieces: Pieces, moves: Moves) -> Pieces:
    """Return what of *pieces* was deleted by *moves*, with the indices from before."""
    kept = [(source, source + end - at) for at, source, end in _spans(moves) if source != _NEW]
    gaps = [(end, source, 0) for (_, end), (source, _) in pairwise([(0, 0), *kept]) if end < source]
    return _within(pieces, gaps) if gaps else []


def behind(moves: Moves, i: int) -> int:
    """Return the index right behind what is left, after *moves*, of the *i* datapoints in front."""
    found = 0
    for at, source, end in _spans(moves):
        if source == _NEW:
            continue
        if source >= i:
            break
        found = min(end, at + i - source)
    return found


def unseen(moves: Moves, n_base: int, n: int) -> Pieces:
    """Return which of *n* datapoints are not among the first *n_base* from before *moves*, ranked in order."""
    pieces: Pieces = []
    rank = 0
    for at, source, end in _spans(moves):
        first = at if source == _NEW else at + max(0, n_base - source)
        number = max(0, min(end, n) - first)
        _add_piece(pieces, first, number, rank)
        rank += number
    return pieces


def from_rank(pieces: Pieces, rank: int) -> Pieces:
    """Return what of *pieces* has *rank* or a higher one, where they are ranked in order."""
    left: Pieces = []
    for first, number, begin in pieces:
        skip = max(0, rank - begin)
        _add_piece(left, first + skip, number - skip, begin + skip)
    return left


def skipped(runs: Runs, number: int) -> Runs:
    """Return *runs* without the first *number* indices."""
    for k, (first, size) in enumerate(runs):
        if number < size:
            return [(first + number, size - number), *runs[k + 1 :]]
        number -= size
    return []


def _first_of(runs: Runs, number: int) -> Runs:
    """Return the first *number* indices of *runs*."""
    made: Runs = []
    for first, size in runs:
        if number <= 0:
            break
        made.append((first, min(size, number)))
        number -= size
    return made


def _moves(event: Event) -> Moves:
    moves: Moves = []
    by = 0
    if event.runs[0][0] > 0:
        moves.append((0, 0))
    for first, number in event.runs:
        if event.kind == ChangeKind.INSERTED:
            by += number
            _add_move(moves, first, _NEW)
            _add_move(moves, first + number, first + number - by)
        else:
            _add_move(moves, first - by, first + number)
            by += number
    return moves


def _within(pieces: Pieces, spans: list[tuple[int, int, int]]) -> Pieces:
    """Return what of *pieces* lies within *spans* ``(index, index behind, how far to move it)``, moved."""
    made: Pieces = []
    ends = [end for _, end, _ in spans]
    for first, number, rank in pieces:
        stop = first + number
        for k in range(bisect_right(ends, first), len(spans)):  # `islice` would go through all in front of it
            begin, end, by = spans[k]
            if begin >= stop:
                break
            i = max(first, begin)
            _add_piece(made, i + by, min(stop, end) - i, rank + i - first)
    return made


def _spans(moves: Moves) -> Iterator[tuple[int, int, int]]:
    """Yield ``(index, index before, index behind)`` of what has moved together."""
    for (at, source), (end, _) in pairwise([*moves, (_END, _NEW)]):
        yield at, source, end


def _add_move(moves: Moves, at: int, source: int) -> None:
    if moves:
        last, origin = moves[-1]
        if source == origin == _NEW or (source != _NEW != origin and source - origin == at - last):
            return
    moves.append((at, source))


def _add_piece(pieces: Pieces, first: int, number: int, rank: int) -> None:
    if number <= 0:
        return
    if pieces:
        begin, size, rank_before = pieces[-1]
        if begin + size == first and rank_before + size == rank:
            pieces[-1] = (begin, size + number, rank_before)
            return
    pieces.append((first, number, rank))
