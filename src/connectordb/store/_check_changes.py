"""Looking for damage in the notes on how a substream came to be what it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from typing import NamedTuple

import apsw
import msgspec

from ._key import place_of
from ._versions import has_blocks
from .records import ChangeKind, Head

__all__ = ["Fault", "check_changes"]

_decode_runs = msgspec.json.Decoder(list[int]).decode


class Fault(NamedTuple):
    """What is wrong with the datapoints ``[i1, i2)``; both ``None``: with the substream as a whole."""

    problem: str
    i1: int | None = None
    i2: int | None = None


def check_changes(connection: apsw.Connection, key: int, head: Head, version: int) -> Iterator[Fault]:
    """Yield what is wrong with the notes on late datapoints and corrections, inside a transaction.

    They are gone through in the order in which the changes were made, so that it is known how many datapoints there
    were before each.
    """
    more = "kind, correction" if has_blocks(version) else "0, NULL"
    sql = f"SELECT place, runs, {more} FROM changes WHERE place >= ? AND place < ? ORDER BY place"
    count = arrived = 0
    newest: int | None = None
    gone = 0  # by how much there are fewer datapoints than the state tells
    with closing(connection.execute(sql, (place_of(key), place_of(key + 1)))) as cursor:
        for place, text, kind, correction in cursor:
            count += correction is None or correction != newest  # what it put back may have come in parts
            newest = correction
            before = place - place_of(key)
            what = _WHAT.get(kind, "a change of an unknown kind")
            try:
                numbers = _decode_runs(text)
                runs = list(zip(numbers[::2], numbers[1::2], strict=True))
            except (msgspec.MsgspecError, ValueError) as error:
                yield Fault(f"the note on {what} at {before} cannot be read: {error}")
                continue
            number = sum(number for _, number in runs)
            late = kind == ChangeKind.INSERTED
            behind = before + (number if late else 1)
            n = before - gone + (number if late else 0)
            if not _fits(runs, n) or kind not in _WHAT or before < arrived or behind > head.arrivals:
                yield Fault(f"the note on {what} at {before} tells of datapoints that are not there: {numbers}")
            if kind == ChangeKind.DELETED:
                gone += number + 1
            elif kind == ChangeKind.UPDATED:
                gone += 1
            arrived = behind
    if count > head.merges:
        yield Fault(f"stored datapoints have changed {head.merges} times, and {count} notes tell of that")
    if has_blocks(version) and head.arrivals - gone != head.n:
        yield Fault(
            f"the state is {head.arrivals}, with {head.n} datapoints; by what is noted there should be "
            f"{head.arrivals - gone}"
        )


_WHAT = {
    ChangeKind.INSERTED: "late datapoints",
    ChangeKind.DELETED: "deleted datapoints",
    ChangeKind.UPDATED: "updated datapoints",
}


def _fits(runs: list[tuple[int, int]], n: int) -> bool:
    """Whether *runs* are some of *n* datapoints, in order."""
    return (
        bool(runs)
        and runs[0][0] >= 0
        and all(number > 0 for _, number in runs)
        and all(first + number < following for (first, number), (following, _) in pairwise(runs))
        and sum(runs[-1]) <= n
    )
