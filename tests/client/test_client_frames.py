"""Tables into streams; thinned streams and statistics of windows out of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from connectordb import ConnectorDB, InvalidValue
from connectordb.errors import Invalid, InvalidRange, TimestampOrder
from connectordb.frames import FRAME_ROWS, from_frame

HOURS = pd.date_range("2026-03-28", periods=96, freq="h", tz="Europe/Amsterdam")
SECONDS = [t.timestamp() for t in HOURS]


def rows(frame: Any, missing: Any = "skip") -> list[tuple[float, Any]]:
    return [(p["t"], p["d"]) for p in from_frame(frame, missing)]


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"t": HOURS, "d": range(96)}),
        pd.DataFrame({"steps": range(96)}, index=HOURS),
        pd.DataFrame({5: range(96)}, index=HOURS),
        pd.DataFrame({"d": range(96), "note": "x"}, index=HOURS.as_unit("us")),
        pd.Series(range(96), index=HOURS),
        pd.DataFrame({"t": SECONDS, "d": range(96)}),
        pl.DataFrame({"t": HOURS.tz_convert("UTC").tz_localize(None).to_numpy(), "d": range(96)}).with_columns(
            pl.col("t").dt.replace_time_zone("UTC")
        ),
        pl.DataFrame({"steps": range(96), "t": SECONDS, "o": "who/did"}),
    ],
)
def test_tables_become_datapoints(frame: Any) -> None:
    found = rows(frame)
    assert found == list(zip(SECONDS, range(96), strict=True))
    assert {type(d) for _, d in found} == {int}


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"t": [1.0, 2.0, 3.0], "d": [1.5, np.nan, None]}),
        pd.DataFrame({"t": [1.0, 2.0, 3.0], "d": pd.array([1.5, None, pd.NA], dtype="Float64")}),
        pd.DataFrame({"t": [1.0, 2.0, 3.0], "d": pd.Series([1.5, pd.NaT, None], dtype=object)}),
        pl.DataFrame({"t": [1.0, 2.0, 3.0], "d": [1.5, math.nan, None]}),
    ],
)
def test_missing_values(frame: Any) -> None:
    assert rows(frame) == [(1.0, 1.5)]
    assert rows(frame, "null") == [(1.0, 1.5), (2.0, None), (3.0, None)]


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (pd.DataFrame({"t": [1.0], "a": [1], "b": [2]}), "only one beside"),
        (pd.DataFrame({"d": [1]}), "a column 't', or the index"),
        (pl.DataFrame({"t": [1.0]}), "column 'd'"),
        (pd.Series([1]), "index of times"),
        (pd.DataFrame({"t": [1.0, None], "d": [1, 2]}), "a time is missing"),
        (pd.DataFrame({"t": pd.to_datetime(["2026-01-01", None], utc=True), "d": [1, 2]}), "a time is missing"),
        (pl.DataFrame({"t": [1.0, None], "d": [1, 2]}), "a time is missing"),
        (pd.DataFrame([[1, 2, 3]], columns=["t", "d", "d"]), "column 'd'"),
        ([{"t": 1, "d": 2}], "no DataFrame"),
    ],
)
def test_what_is_no_table_of_datapoints(frame: Any, told: str) -> None:
    with pytest.raises(InvalidValue, match=told):
        rows(frame)
    with pytest.raises(ValueError, match="missing"):
        rows(frame, "drop")


def test_tables_of_any_length_go_in_pieces() -> None:
    n = FRAME_ROWS + 5
    for frame in (
        pd.DataFrame({"t": np.arange(1.0, n + 1), "d": 1}),
        pl.DataFrame({"t": np.arange(1.0, n + 1), "d": 1}),
    ):
        found = rows(frame)
        assert [t for t, _ in found] == list(range(1, n + 1))


def test_a_table_is_inserted(device: ConnectorDB) -> None:
    stream = device["table"]
    stream.create({"type": "number"})
    n = 12_000
    frame = pd.DataFrame({"t": np.arange(1.5e9, 1.5e9 + n), "d": np.arange(n) / 2})
    stream.insert_df(frame.iloc[: n // 2])
    with pytest.raises(TimestampOrder):
        stream.insert_df(frame)
    stream.insert_df(frame.iloc[n // 2 :].sample(frac=1, random_state=1), merge=True)
    assert len(stream) == n
    assert stream.to_df("polars")["d"].to_list() == list(frame["d"])
    with pytest.raises(InvalidValue, match="NaN and Infinity") as caught:
        stream.insert_df(pd.DataFrame({"t": [2e9, 2e9], "d": [1.0, math.inf]}))
    assert caught.value.inserted == 0


# ---- out


def test_streams_are_thinned(device: ConnectorDB) -> None:
    stream = device["thinned"]
    stream.create({"type": "number"})
    stream.insert_array([{"t": 1.5e9 + i, "d": math.sin(i / 100)} for i in range(10_000)])
    whole = stream[:]
    spans: list[dict[str, Any]] = [{}, {"t1": 1.5e9, "t2": 1.5e9 + 9000}, {"i1": -4000}, {"limit": 3000}]
    for span in spans:
        found = stream(**span, points=100)
        assert 90 <= len(found) <= 100
        expected = stream(**span)
        assert (found[0], found[-1]) == (expected[0], expected[-1])
    assert len(stream(points=100, transform="if $ > 0 | count")) <= 100
    assert max(stream(points=10).d()) == max(whole.d())
    assert len(stream.to_df(points=100)) <= 100
    assert stream(i1=5, i2=5, points=100) == []


def test_statistics_of_windows(device: ConnectorDB, tmp_path: Path) -> None:
    stream = device["windows"]
    stream.create({"type": "number"})
    stream.insert_df(pd.Series(range(96), index=HOURS))
    days = stream(every="1d", stat=["count", "max"], zone="Europe/Amsterdam")
    assert [p["d"] for p in days] == [
        {"count": 24, "max": 23},
        {"count": 23, "max": 46},
        {"count": 24, "max": 70},
        {"count": 24, "max": 94},
        {"count": 1, "max": 95},
    ]
    assert days[0]["t"] == SECONDS[0]
    frame = stream.to_df(every="1d", t1=SECONDS[0])
    assert list(frame.columns) == ["t", "mean", "min", "max"]
    assert str(frame["t"].dt.tz) == "UTC"
    assert list(stream(t1=SECONDS[-1], every="1d", stat="count").to_df("polars").columns) == ["t", "count"]
    stream.download(tmp_path / "days.csv", every="1d", stat=("sum", "stddev"))
    assert pd.read_csv(tmp_path / "days.csv")["sum"].sum() == sum(range(96))
    stream.download(tmp_path / "few.parquet", points=10)
    assert len(pd.read_parquet(tmp_path / "few.parquet")) <= 10


def test_what_makes_no_sense_is_refused(device: ConnectorDB) -> None:
    stream = device["refused"]
    stream.create({})
    for options in ({"points": 10, "every": "1h"}, {"stat": "mean"}, {"zone": "UTC"}):
        with pytest.raises(InvalidValue):
            stream(**options)  # type: ignore[arg-type]
    for options in ({"points": 4}, {"every": "7h"}, {"every": "1h", "stat": "median"}, {"every": "1h", "zone": "X"}):
        with pytest.raises(Invalid) as caught:
            stream(**options)  # type: ignore[arg-type]
        assert not isinstance(caught.value, InvalidRange)
