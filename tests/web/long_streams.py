"""Streams of millions of values, written as blocks into the database of a server that is stopped."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np
from web_server import WebServer

from connectordb.block import Block
from connectordb.store.base import Substream
from connectordb.store.sqlite import SQLiteStore

BATCH = 10_240 * 20


def fill(server: WebServer, name: str, n: int, values: Callable[[Any], Any], *, start: float) -> None:
    """Append *n* values to the stream ``test/user/name``, one a second from *start* on.

    Args:
        values: Makes those of an array of indices.
    """
    with closing(SQLiteStore(server.folder / "connectordb.db")) as store:
        user = store.user("test")
        assert user is not None
        device = store.device(user.id, "user")
        assert device is not None
        stream = store.stream(device.id, name)
        assert stream is not None
        for first in range(0, n, BATCH):
            k = np.arange(first, min(n, first + BATCH))
            block = Block.of_columns((start + k).astype(np.float64), values(k))
            store.submit(lambda tx, block=block: tx.append(stream.id, Substream.MAIN, block)).result()  # type: ignore[misc]
