"""Inserts without end, and prints what has been acknowledged. Is killed in the middle of it.

Stream 0 gets single points in order, 1 batches in order, 2 late points by merge, 3 uploads that are repeated after the
restart. Each datapoint of 0, 1 and 3 has its index as value; each of 2 a number that no other one has.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from store_model import appending

from connectordb.block import Block
from connectordb.datapoint import Datapoint
from connectordb.store.base import Mode, Substream, Upload
from connectordb.store.sqlite import SQLiteStore

MAIN = Substream.MAIN
lock = threading.Lock()


def acknowledge(kind: int, number: int) -> None:
    with lock:
        print(kind, number, flush=True)


def singles(store: SQLiteStore, stream: int) -> None:
    i = store.head(stream, MAIN).n
    while True:
        new = Block.of([Datapoint(float(i), i)])
        store.submit(appending(stream, new)).result()
        acknowledge(0, i)
        i += 1


def batches(store: SQLiteStore, stream: int) -> None:
    i = store.head(stream, MAIN).n
    while True:
        new = Block.of([Datapoint(float(i + j), i + j) for j in range(700)])
        store.submit(appending(stream, new)).result()
        i += 700
        acknowledge(1, i - 1)


def late(store: SQLiteStore, stream: int) -> None:
    i = store.head(stream, MAIN).n
    while True:
        new = Block.of([Datapoint(float((i * 7919) % 10_007), i)])
        store.submit(appending(stream, new, Mode.MERGE)).result()
        acknowledge(2, i)
        i += 1


def uploads(store: SQLiteStore, stream: int, number: int) -> None:
    while True:
        # Numbers begin at 1. The first one may be a repetition of what was written and never acknowledged.
        new = Block.of([Datapoint(float(number), number - 1)])
        upload = Upload("logger", number, number, str(number).encode())
        store.submit(appending(stream, new, Mode.ORDERED, upload)).result()
        acknowledge(3, number - 1)
        number += 1


def main() -> None:
    store = SQLiteStore(Path(sys.argv[1]))
    streams = [int(id_) for id_ in sys.argv[2].split(",")]
    number = int(sys.argv[3])
    works = [
        lambda: singles(store, streams[0]),
        lambda: batches(store, streams[1]),
        lambda: late(store, streams[2]),
        lambda: uploads(store, streams[3], number),
    ]
    for work in works:
        threading.Thread(target=work, daemon=True).start()
    threading.Event().wait()


main()
