"""Inserts, merges, corrects, seals and deletes without end, and tells what has been acknowledged. Is killed in the
midst of it.

Stream 0 gets single points in order, 1 batches in order, 2 late points by merge, 3 uploads that are repeated after the
restart. Each datapoint of 0, 1 and 3 has its index as value; each of 2 a number that no other one has. Stream 4 gets
all kinds of corrections. All of them are sealed at the same time, and others come and go.

What is told is a line each: ``KIND NUMBER`` when that number is stored; of stream 4 what is to be done before, and
``done`` or ``refused`` after.
"""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Callable
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from store_load import refuse, tighten
from store_model import appending, block, values

from connectordb.errors import Conflict, InvalidValue, NotFound
from connectordb.query import Range
from connectordb.store.base import Transaction
from connectordb.store.records import Mode, Stream, Substream, Upload
from connectordb.store.sqlite import SQLiteStore

MAIN = Substream.MAIN
BATCH = 150


class Task(NamedTuple):
    """What a child is to do.

    Attributes:
        path: The database.
        streams: Ids of the five streams.
        upload: Number of the next upload.
        number: From which on numbers have not been used yet.
        tell: File descriptor to write to.
    """

    path: Path
    streams: list[int]
    upload: int
    number: int
    tell: int

    def say(self, *words: object) -> None:
        """Tell; a line is written at once."""
        os.write(self.tell, (" ".join(map(str, words)) + "\n").encode())


def singles(store: SQLiteStore, task: Task) -> None:
    for i in count(store.head(task.streams[0], MAIN).n):
        store.submit(appending(task.streams[0], block((float(i), i)))).result()
        task.say(0, i)


def batches(store: SQLiteStore, task: Task) -> None:
    for i in count(store.head(task.streams[1], MAIN).n, BATCH):
        store.submit(appending(task.streams[1], block(*((float(i + k), i + k) for k in range(BATCH))))).result()
        task.say(1, i + BATCH - 1)


def late(store: SQLiteStore, task: Task) -> None:
    for i in count(store.head(task.streams[2], MAIN).n):
        new = block((float((i * 7919) % 10_007), i))
        store.submit(appending(task.streams[2], new, Mode.MERGE)).result()
        task.say(2, i)


def uploads(store: SQLiteStore, task: Task) -> None:
    for number in count(task.upload):
        # Numbers begin at 1. The first one may be a repetition of what was written and never acknowledged.
        new = block((float(number), number - 1))
        upload = Upload("logger", number, number, str(number).encode())
        store.submit(appending(task.streams[3], new, Mode.ORDERED, upload)).result()
        task.say(3, number - 1)


def corrections(store: SQLiteStore, task: Task) -> None:
    stream = task.streams[4]
    rng = random.Random(task.number)
    points = values(store, stream)
    undoable: list[tuple[int, dict[str, Any]]] = []  # with what the undo does
    numbers = count(task.number)

    def carry_out(work: Callable[[Transaction], Any], **change: Any) -> Any:
        """Have *work* done, of which the change of values is told before."""
        task.say(4, json.dumps(change))
        try:
            done = store.submit(work).result()
        except (Conflict, NotFound):
            task.say(4, "refused")
            return None
        task.say(4, "done")
        return done

    while True:
        what = rng.choice(["insert", "insert", "merge", "delete", "update", "undo", "refuse"])
        if what in ("insert", "merge") or len(points) < 300:
            times = sorted(rng.uniform(0, 1e5) for _ in range(rng.choice([1, 20, 100])))
            new = block(*((t, next(numbers)) for t in times))
            carry_out(appending(stream, new, Mode.MERGE), add=[point.d for point in new.points])
        elif what == "delete":
            i1 = rng.randrange(len(points))
            i2 = min(len(points), i1 + rng.choice([1, 50, 400]))
            gone, keep = [d for _, d in points[i1:i2]], rng.random() < 0.7
            done = carry_out(
                lambda tx, i1=i1, i2=i2, keep=keep: tx.delete_points(stream, MAIN, i1, i2, by="a/b", keep=keep),
                take=gone,
            )
            if keep:
                undoable.append((done.id, {"add": gone}))
        elif what == "update":
            i, new_value = rng.randrange(len(points)), next(numbers)
            change = {"take": [points[i][1]], "add": [new_value]}
            d = str(new_value).encode()
            done = carry_out(lambda tx, i=i, d=d: tx.update_point(stream, MAIN, i, d, by="a/b"), **change)
            undoable.append((done.id, {"take": change["add"], "add": change["take"]}))
        elif what == "undo" and undoable:
            correction, change = undoable.pop(rng.randrange(len(undoable)))
            present = {d for _, d in points}
            if set(change.get("take", ())) <= present:
                carry_out(lambda tx, correction=correction: tx.undo(stream, MAIN, correction, by="a/b"), **change)
        elif what == "refuse":
            try:
                store.submit(lambda tx: refuse(tx, stream)).result()
            except InvalidValue:
                pass
        points = values(store, stream)


def others(store: SQLiteStore, task: Task) -> None:
    """Streams that come, are sealed, and go."""
    device = store.devices(store.users()[0].id)[0]
    for stream in store.streams(device.id):
        if stream.id not in task.streams:
            store.submit(lambda tx, id_=stream.id: tx.delete_stream(id_)).result()
    for i in count(task.number):
        made = store.submit(lambda tx, i=i: tx.create_stream(Stream(device_id=device.id, name=f"other{i}"))).result()
        store.submit(appending(made.id, block(*((float(k), k) for k in range(200))))).result()
        store.seal(made.id, MAIN)
        store.submit(lambda tx, id_=made.id: tx.delete_points(id_, MAIN, 50, 120, by="a/b")).result()
        assert len(values(store, made.id, Range(i1=0))) == 130
        store.submit(lambda tx, id_=made.id: tx.delete_stream(id_)).result()


def sealing(store: SQLiteStore, task: Task) -> None:
    while True:
        for stream in task.streams:
            store.seal(stream, MAIN, least=100)


def main(task: Task, tell: Connection) -> None:
    """Do it all at the same time."""
    tighten()
    task = task._replace(tell=tell.fileno())

    def fail(args: threading.ExceptHookArgs) -> None:
        task.say("failed", repr(args.exc_value))
        os._exit(1)

    threading.excepthook = fail
    store = SQLiteStore(task.path, seal_after_s=0.0)
    for work in (singles, batches, late, uploads, corrections, others, sealing):
        threading.Thread(target=work, args=(store, task), daemon=True).start()
    threading.Event().wait()
