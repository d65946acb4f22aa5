"""From the request to a table of pandas: what somebody waits for who wants to go on in Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from time import perf_counter
from typing import Any, NamedTuple

import msgspec

from .catalogue import INFLUXDB, VICTORIAMETRICS
from .exchange import Connection
from .points import Points

__all__ = ["ClientFrame", "Frame", "Framed", "digest_as_table"]


class Framed(NamedTuple):
    """How long it took, and a digest of the table."""

    seconds: float
    digest: str


@dataclass
class ClientFrame:
    """Asks our client for the table of a whole stream."""

    url: str
    apikey: str
    stream: str

    def __call__(self, ready: Callable[[], None]) -> Framed:
        """Ask once, call *ready*, then ask again."""
        import connectordb

        with connectordb.ConnectorDB(self.apikey, url=self.url) as db:
            stream = db[self.stream]
            stream.to_df()
            ready()
            begun = perf_counter()
            frame = stream.to_df()
            return _framed(begun, frame)


@dataclass
class Frame:
    """Asks another database for a whole stream and makes a table of it.

    Attributes:
        form: The key of the database whose form it is.
    """

    host: str
    port: int
    request: bytes
    form: str

    def __call__(self, ready: Callable[[], None]) -> Framed:
        """Load the libraries, ask once, call *ready*, then ask again."""
        read = {INFLUXDB: _influxdb, VICTORIAMETRICS: _victoriametrics}[self.form]
        connection = Connection(self.host, self.port)
        read(connection.exchange(self.request).body())
        ready()
        begun = perf_counter()
        frame = read(connection.exchange(self.request).body())
        framed = _framed(begun, frame)
        connection.close()
        return framed


def _framed(begun: float, frame: Any) -> Framed:
    seconds = perf_counter() - begun
    times = frame["t"].dt.tz_localize(None).dt.as_unit("ns").astype("int64").to_numpy()
    return Framed(seconds, _digest((times / 1e6).round(), frame["d"].to_numpy()))


def digest_as_table(points: Points) -> str:
    """Return the digest that the table of *points* has."""
    import numpy as np

    return _digest((np.array(points.t) * 1000).round(), np.array(points.d))


def _digest(t_ms: Any, d: Any) -> str:
    """Return a digest of two arrays of numpy: milliseconds, and values of which six decimals count."""
    seen = sha256(t_ms.astype("int64").tobytes())
    seen.update(d.round(6).astype("float64").tobytes())
    return seen.hexdigest()[:12]


class _Series(msgspec.Struct):
    values: list[tuple[int, float]]


class _Statement(msgspec.Struct):
    series: list[_Series]


class _Results(msgspec.Struct):
    results: list[_Statement]


_msgpack = msgspec.msgpack.Decoder(_Results)


def _influxdb(body: bytes) -> Any:
    import numpy as np

    values = np.array(_msgpack.decode(body).results[0].series[0].values)
    return _frame(values[:, 0].astype("int64"), values[:, 1])


class _Exported(msgspec.Struct):
    values: list[float]
    timestamps: list[int]


_exported = msgspec.json.Decoder(_Exported)


def _victoriametrics(body: bytes) -> Any:
    import numpy as np

    lines = _exported.decode_lines(body)
    t = np.concatenate([np.array(line.timestamps) for line in lines])
    d = np.concatenate([np.array(line.values) for line in lines])
    order = np.argsort(t, kind="stable")
    return _frame(t[order], d[order])


def _frame(t_ms: Any, d: Any) -> Any:
    import pandas as pd

    return pd.DataFrame({"t": t_ms.astype("datetime64[ms]"), "d": d})
