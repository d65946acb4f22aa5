"""Where datapoints have gone that came late: what a reader of an earlier state of a stream has not seen.

A state of a stream is named by the number of datapoints that had arrived by then. Nothing is ever taken out, so the
state of that number holds as many. Late datapoints go between those that are there and give what is behind them a new
index. Each such change is noted as *runs*: ``(index, number)`` of what is new, in order, as the stream was right after
it. All that is worked out here follows from these runs, so no datapoint is read to find those that are new.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import apsw
import msgspec

from ._connection import query
from ._key import place_of

__all__ = ["Runs", "late_runs", "note_change", "shifted", "skipped", "unseen"]

Runs = list[tuple[int, int]]
"""Indices as ``(first, number)``, in order, without overlap."""

_decode = msgspec.json.Decoder(list[int]).decode
_encode = msgspec.json.Encoder().encode

_NOTE = "INSERT INTO changes (place, runs) VALUES (?, ?)"
_BETWEEN = "SELECT runs FROM changes WHERE place >= ? AND place < ? ORDER BY place"


def note_change(connection: apsw.Connection, key: int, arrivals: int, runs: Runs) -> None:
    """Note that what arrived as number *arrivals* and so on has gone to *runs*."""
    connection.execute(_NOTE, (place_of(key, arrivals), _encode([number for run in runs for number in run])))


def late_runs(connection: apsw.Connection, key: int, base: int, state: int) -> Runs:
    """Return what came late between the states *base* and *state*, with the indices of the latter."""
    rows = query(connection, _BETWEEN, (place_of(key, base), place_of(key, state)))
    found = []
    for (text,) in rows:
        numbers = _decode(text)
        found.append(list(zip(numbers[::2], numbers[1::2], strict=True)))
    while len(found) > 1:  # pair by pair, so that none is gone through more often than the depth of a tree
        pairs = [_composed(found[i], found[i + 1]) for i in range(0, len(found) - 1, 2)]
        found = pairs + found[len(pairs) * 2 :]
    return found[0] if found else []


def unseen(base: int, state: int, late: Runs) -> Runs:
    """Return what *state* has and *base* has not, where *late* came late in between."""
    runs: Runs = []
    place, seen_left = 0, base
    for first, number in late:
        if first - place >= seen_left:
            break
        seen_left -= first - place
        _add(runs, first, number)
        place = first + number
    _add(runs, place + seen_left, state - place - seen_left)
    return runs


def shifted(runs: Iterable[tuple[int, int]], inserted: Sequence[tuple[int, int]]) -> Runs:
    """Return where *runs* are after *inserted* came between."""
    moved: Runs = []
    by = k = 0
    for first, number in runs:
        while number:
            while k < len(inserted) and inserted[k][0] <= first + by:
                by += inserted[k][1]
                k += 1
            together = number if k == len(inserted) else min(number, inserted[k][0] - first - by)
            _add(moved, first + by, together)
            first += together
            number -= together
    return moved


def skipped(runs: Runs, number: int) -> Runs:
    """Return *runs* without the first *number* indices."""
    for k, (first, size) in enumerate(runs):
        if number < size:
            return [(first + number, size - number), *runs[k + 1 :]]
        number -= size
    return []


def _composed(before: Runs, after: Runs) -> Runs:
    """Return both together, *before* being of the state to which *after* came."""
    runs: Runs = []
    for first, number in sorted([*shifted(before, after), *after]):
        _add(runs, first, number)
    return runs


def _add(runs: Runs, first: int, number: int) -> None:
    if number <= 0:
        return
    if runs and runs[-1][0] + runs[-1][1] == first:
        runs[-1] = (runs[-1][0], runs[-1][1] + number)
    else:
        runs.append((first, number))
