"""What the tests of crashes, power cuts and full disks put on a store."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import msgspec
from store_model import appending, block, values

from connectordb.datapoint import Datapoint
from connectordb.errors import Conflict, InvalidValue, NotFound
from connectordb.store import _connection, _corrections, _merge, _seal
from connectordb.store.base import Store, Transaction
from connectordb.store.records import Change, ChangeKind, Mode, Stream, Substream
from connectordb.store.sqlite import SQLiteStore

MAIN = Substream.MAIN
REFUSED = -1
"""The value of what is never to be stored."""

Points = list[tuple[float, Any]]

_KINDS = ["insert", "insert", "insert", "merge", "seal", "seal", "delete", "update", "undo", "forget", "refuse"]

_TIGHT = {
    (_connection, "_WAL_PAGES_MAX"): 60,
    (_corrections, "BLOCK_POINTS"): 60,
    (_merge, "BLOCK_POINTS"): 60,
    (_merge, "_OWN_POINTS"): 20,
    (_merge, "_TEXT_POINTS"): 20,
    (_seal, "BLOCK_POINTS"): 60,
    (_seal, "_FULL_POINTS"): 40,
}


def tighten(set_: Callable[[Any, str, Any], None] = setattr) -> None:
    """Make blocks so small, and the log so short, that a few datapoints fill several."""
    for (module, name), value in _TIGHT.items():
        assert hasattr(module, name)
        set_(module, name, value)


def mirrored(store: Store, stream: int, points: Points, state: int) -> tuple[Points, int]:
    """Carry out on *points*, which are those of *state*, what has changed since; return what becomes of them."""
    made = list(points)
    for change in store.changes_after(stream, MAIN, state):
        new = _points_of(change)
        if change.kind == ChangeKind.INSERTED:
            made[change.i : change.i] = new
        elif change.kind == ChangeKind.DELETED:
            del made[change.i : change.i + change.n]
        else:
            made[change.i : change.i + change.n] = new
        state = change.state
    return made, state


def _points_of(change: Change) -> Points:
    if change.block is None:
        return [(0.0, None)] * change.n
    points = msgspec.json.decode(b"[" + change.block.json + b"]", type=list[Datapoint])
    assert len(points) == change.n
    return [(point.t, point.d) for point in points]


class Load:
    """Random works on some streams, one after the other.

    Attributes:
        states: What all streams had after each work, as the store itself tells: nobody else checks here whether that is
            right. By id; streams that are no more are not in it.
    """

    def __init__(self, store: SQLiteStore, streams: list[int], rng: random.Random) -> None:
        self._store = store
        self._rng = rng
        self._number = 0
        self._corrections: list[tuple[int, int]] = []
        self.states: list[dict[int, Points]] = [{stream: values(store, stream) for stream in streams}]

    def work(self) -> None:
        """Do something. Raises what the store raises, but for what is meant to fail."""
        state = self.states[-1]
        stream = self._rng.choice(list(state))
        with suppress(Conflict, InvalidValue):
            if self._rng.random() < 0.02:
                state = self._replace(stream)
            else:
                self._carry_out(stream, len(state[stream]))
        self.states.append({**state, **{one: values(self._store, one) for one in state if one == stream}})

    def _replace(self, stream: int) -> dict[int, Points]:
        """Delete the stream and make another one, together."""
        device = self._store.devices(self._store.users()[0].id)[0]
        name = f"again{self._next()}"

        def work(tx: Transaction) -> int:
            tx.delete_stream(stream)
            return tx.create_stream(Stream(device_id=device.id, name=name)).id

        made = self._store.submit(work).result()
        self._corrections = [one for one in self._corrections if one[0] != stream]
        return {one: points for one, points in self.states[-1].items() if one != stream} | {made: []}

    def _carry_out(self, stream: int, n: int) -> None:
        rng, submit = self._rng, self._store.submit
        what = rng.choice(_KINDS if n else ["insert"])
        if what == "insert":
            submit(appending(stream, self._new(1e6 + self._number, 1e6 + self._number + 1), Mode.ORDERED)).result()
        elif what == "merge":
            submit(appending(stream, self._new(9e5, 1e6 + self._number), Mode.MERGE)).result()
        elif what == "seal":
            self._store.seal(stream, MAIN, least=rng.choice([1, 30]))
        elif what == "delete":
            i1 = rng.randrange(n)
            i2 = min(n, i1 + rng.choice([1, 20, 150]))
            keep = rng.random() < 0.6
            done = submit(lambda tx: tx.delete_points(stream, MAIN, i1, i2, by="a/b", keep=keep)).result()
            self._corrections.append((stream, done.id))
        elif what == "update":
            i, d = rng.randrange(n), str(self._next()).encode()
            done = submit(lambda tx: tx.update_point(stream, MAIN, i, d, by="a/b")).result()
            self._corrections.append((stream, done.id))
        elif what == "undo" and self._corrections:
            of, correction = self._corrections.pop(rng.randrange(len(self._corrections)))
            if of == stream:
                submit(lambda tx: tx.undo(stream, MAIN, correction, by="a/b")).result()
        elif what == "forget":
            submit(lambda tx: tx.forget_corrected(stream, MAIN, 1e6 + rng.randint(0, self._number), 3)).result()
        elif what == "refuse":
            submit(lambda tx: refuse(tx, stream)).result()

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _new(self, t1: float, t2: float) -> Any:
        times = sorted(self._rng.uniform(t1, t2) for _ in range(self._rng.choice([1, 5, 30, 150])))
        kind = self._rng.choice([int, float, str])
        return block(*((t, kind(self._next())) for t in times))


def refuse(tx: Transaction, stream: int) -> None:
    """Do all kinds of things to *stream*, which has datapoints, and then fail."""
    tx.append(stream, MAIN, block((2e9, REFUSED)))
    tx.append(stream, MAIN, block((0.5, REFUSED)), Mode.MERGE)
    tx.update_point(stream, MAIN, 0, str(REFUSED).encode(), by="a/b")
    tx.delete_points(stream, MAIN, 1, 2, by="a/b")
    raise InvalidValue("meant")


def read_all(store: Store, streams: dict[int, Points]) -> dict[int, Points]:
    """What there is of *streams*; those that are no more are left out."""
    return dict(_read_all(store, streams))


def _read_all(store: Store, streams: dict[int, Points]) -> Iterator[tuple[int, Points]]:
    for stream in streams:
        with suppress(NotFound):
            yield stream, values(store, stream)
