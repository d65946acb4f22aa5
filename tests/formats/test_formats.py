"""What is written in any format is read again, whatever it is; files of others are read, or refused with a place."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectordb import formats
from connectordb.block import Block
from connectordb.datapoint import TIME_MAX_S, Datapoint
from connectordb.errors import InvalidValue, TooLarge
from connectordb.formats import _table

TEXTS = ("json", "ndjson", "csv")
TABLES = ("arrow", "parquet")

numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
# fmt: off
HOSTILE = [
    "", "5", "-0", "1e5", "true", "null", " 5 ", "[", "{}", '"', '"a"', "a,b", "it's", '"},{"t":1', "nan", "Infinity",
    "1_000", "\u0663", "=1+1", "+1", "-a", "@a", "\t=1", "x\ny", "\r", "\r\n", "\x00", "\ufeff", " ", "\u00a0",
    "a\u2028b",
]
# fmt: on
hostile = st.sampled_from(HOSTILE)
scalars = st.none() | st.booleans() | numbers | text | hostile
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(text, v, max_size=3), max_leaves=8)
columns_of_one_type = st.sampled_from([st.booleans(), st.integers(-(2**63), 2**63 - 1), numbers, text, scalars])
rows = st.lists(values, max_size=12) | columns_of_one_type.flatmap(lambda kind: st.lists(kind | st.none(), max_size=12))
cuts = st.integers(1, 5)


class Dribble(io.RawIOBase):
    """A file that cannot seek, and of which little is there at a time: a pipe."""

    def __init__(self, data: bytes, most: int) -> None:
        self._file = io.BytesIO(data)
        self._most = most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(min(self._most, len(buffer)))
        buffer[: len(data)] = data
        return len(data)


def write(name: str, points: list[Datapoint], columns: list[str] | None = None, cut: int = 3, **kw: Any) -> bytes:
    encoder = formats.encoder(name, columns, **kw)
    try:
        parts = [encoder.feed(Block.of(points[i : i + cut])) for i in range(0, len(points), cut)]
        return b"".join([*parts, *encoder.end()])
    finally:
        encoder.close()


def read(name: str, data: bytes | io.RawIOBase) -> list[Datapoint]:
    file: Any = io.BytesIO(data) if isinstance(data, bytes) else data
    points = [point for block in formats.read(name, file) for point in block.points]
    assert not file.closed
    return points


def at(times: Iterator[float] | list[float], row: list[Any]) -> list[Datapoint]:
    return [Datapoint(t, d) for t, d in zip(times, row, strict=False)]


def same(a: Any, b: Any) -> bool:
    """Equal as JSON: 1 and 1.0 are, true and 1 are not, nor are 0.0 and -0.0."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a == b and (a != 0 or math.copysign(1, a) == math.copysign(1, b))
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and a == b


# ---- what is written is read


@pytest.mark.parametrize("name", TEXTS)
@settings(deadline=None)
@given(row=rows, times=st.lists(st.floats(0, TIME_MAX_S, exclude_max=True), min_size=12, max_size=12), cut=cuts)
@example(row=["5", 5, "-5", -0.0, "a\r\nb", None, ""], times=[0.0, 0.1, 1.7e9, 1.5, 2.5, 3.5, 4.5], cut=2)
def test_text_gives_back_what_was_written(name: str, row: list[Any], times: list[float], cut: int) -> None:
    points = at(times, row)
    data = write(name, points, cut=cut)
    for source in (data, Dribble(data, 7), Dribble(data, 50)):
        assert msgspec.json.encode(read(name, source)) == msgspec.json.encode(points)


@pytest.mark.parametrize("name", TABLES)
@settings(deadline=None)
@given(row=rows, times=st.lists(st.floats(2**23, 9e9), min_size=12, max_size=12), cut=cuts)
@example(row=[2**53 + 1, 0.5], times=[1.7e9, 1.7e9], cut=1)
@example(row=[1, 0.5, None, "x"], times=[1.7e9] * 4, cut=1)
@example(row=[[[[[]]]], {"a": None}], times=[1.7e9] * 2, cut=1)
def test_tables_give_back_what_was_written(name: str, row: list[Any], times: list[float], cut: int) -> None:
    points = at(times, row)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_table, "BATCH_ROWS", 3)
        data = write(name, points, cut=cut)
    got = read(name, data)
    assert [p.t for p in got] == [p.t for p in points]
    assert same([p.d for p in got], [p.d for p in points])


@pytest.mark.parametrize("name", ["csv", *TABLES])
@settings(deadline=None)
@given(
    names=st.lists(text | hostile, min_size=1, max_size=3, unique=True).filter(
        lambda names: "t" not in names and not {"d"} <= set(names) <= {"d", "o"}
    ),
    data=st.data(),
)
def test_datasets_give_back_what_was_written(name: str, names: list[str], data: Any) -> None:
    made = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(names, values)), max_size=5))
    points = at([1.7e9 + i for i in range(5)], made)
    got = read(name, write(name, points, names))
    assert [p.t for p in got] == [p.t for p in points]
    assert same([p.d for p in got], [p.d for p in points])


@pytest.mark.parametrize("name", ["json", "ndjson", "arrow", "parquet"])
def test_who_wrote_it_is_kept(name: str) -> None:
    points = [Datapoint(1.7e9, 1), Datapoint(1.7e9, 2, "alice/phone")]
    assert read(name, write(name, points, cut=1)) == points


def test_csv_has_who_wrote_it_if_asked() -> None:
    points = [Datapoint(1.5, 1), Datapoint(2.5, 2, "alice/phone")]
    assert write("csv", points, writers=True) == b"t,d,o\r\n1.5,1,\r\n2.5,2,alice/phone\r\n"
    assert read("csv", write("csv", points, writers=True)) == points
    assert write("csv", points) == b"t,d\r\n1.5,1\r\n2.5,2\r\n"


@pytest.mark.parametrize("name", formats.FORMATS)
def test_nothing_is_written_as_a_whole_file(name: str) -> None:
    data = write(name, [])
    assert read(name, data) == []
    assert data == {"json": b"[]", "ndjson": b"", "csv": b"t,d\r\n"}.get(name, data)
    columns = write(name, [], ["b", "a"])
    if name == "csv":
        assert columns == b"t,b,a\r\n"
    if name == "parquet":
        assert pq.read_table(io.BytesIO(columns)).column_names == ["t", "b", "a"]


def test_json_is_what_the_server_sends() -> None:
    assert write("json", [Datapoint(1.5, 1), Datapoint(2.0)], cut=1) == b'[{"t":1.5,"d":1},{"t":2.0}]'


def test_a_missing_column_of_a_row_is_null() -> None:
    points = [Datapoint(1.7e9, {"a": 1}), Datapoint(1.7e9, {"b": "x"})]
    for name in ("csv", "arrow", "parquet"):
        assert [p.d for p in read(name, write(name, points, ["a", "b"]))] == [
            {"a": 1, "b": None},
            {"a": None, "b": "x"},
        ]


@pytest.mark.parametrize("name", ["csv", *TABLES])
def test_two_columns_of_times_are_refused(name: str) -> None:
    with pytest.raises(InvalidValue, match="two columns 't'"):
        formats.encoder(name, ["t"])


# ---- CSV and other programs


def test_no_cell_is_a_formula_to_a_spreadsheet() -> None:
    evil = ["=1+1", "+1", "-2+3", "@SUM(1)", "\t=1", "\r=1", " =1", '=HYPERLINK("http://x")', "-x"]
    points = at([1.0] * len(evil), evil)
    for row in csv.reader(io.StringIO(write("csv", points, cut=99).decode(), newline="")):
        assert row[1][0] in 'd"'
    header = next(csv.reader([write("csv", [], ["=1+1", "+x"]).decode()]))
    assert header == ["t", '"=1+1"', '"+x"']
    assert read("csv", write("csv", points)) == points


def test_csv_of_others_is_read() -> None:
    data = "\ufefftemperature,t,note\n21.5,2026-01-31T12:00:00Z,fine\n\n,1500000000,[sic]\n1.,2,007\n".encode()
    assert read("csv", data) == [
        Datapoint(1769860800.0, {"temperature": 21.5, "note": "fine"}),
        Datapoint(1500000000.0, {"temperature": None, "note": "[sic]"}),
        Datapoint(2.0, {"temperature": "1.", "note": "007"}),
    ]
    assert read("csv", b"d,t\r\nok,1\r\n") == [Datapoint(1.0, "ok")]


# ---- what is wrong


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("json", b"", "no JSON array"),
        ("json", b'{"t":1}', "no JSON array"),
        ("json", b'[{"t":1,"d":1}', "the end of the file"),
        ("json", b'[{"t":1,"d":"', "middle of a datapoint"),
        ("json", b'[{"t":1,"d":1},]', "stands where a datapoint should"),
        ("json", b'[{"t":1,"d":1}] x', "after the end"),
        ("json", b'[{"t":1,"d":1},{"t":"x"}]', "datapoint 2 "),
        ("json", b'[{"t":1,"d":1},{"t":1,"e":1}]', "datapoint 2 "),
        ("json", b'[{"t":1,"d":' + b"[" * 100_000 + b"]" * 100_000 + b"}]", "datapoint 1 is nested too deeply"),
        ("ndjson", b'{"t":1}\n\n{"t":}\n', "line 3 "),
        ("ndjson", b'\n{"t":1}\n{"t":2}\n{"t":2', "line 4 "),
        ("csv", b"", "line 1: the header"),
        ("csv", b"time,d\n1,2\n", "line 1: the header"),
        ("csv", b"t,d,d\n", "line 1: the header"),
        ("csv", b"t,d\n1,2\n3\n", "line 3: there are 1 fields"),
        ("csv", b"t,d\nyesterday,2\n", "line 2: 'yesterday' is no time"),
        ("csv", b't,d\n1,"a\nb"\n1,"a\n', "line 4: "),
        ("csv", b"t,d\n1,\xff\n", "not UTF-8"),
        ("arrow", b"", "not Arrow IPC"),
        ("arrow", b"nonsense" * 20, "not Arrow IPC"),
        ("parquet", b"", "not a Parquet file"),
        ("parquet", b"PAR1nonsensePAR1", "not a Parquet file"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(name: str, data: bytes, told: str) -> None:
    with pytest.raises(InvalidValue) as e:
        read(name, data)
    assert told in e.value.msg


@pytest.mark.parametrize("name", ["json", "ndjson", "csv"])
def test_what_comes_before_an_error_is_given(name: str) -> None:
    n = 20_000
    good = write(name, at([float(i) for i in range(n)], list(range(n))), cut=5000)
    bad = {"json": good[:-1] + b',{"t":"x"}]', "ndjson": good + b"{", "csv": good + b"x,1\r\n"}[name]
    got = 0
    with pytest.raises(InvalidValue, match=f"{n + (2 if name == 'csv' else 1)}"):
        for block in formats.read(name, io.BytesIO(bad)):
            got += block.n
    assert got >= n - 8192


def test_unknown_and_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidValue, match="json, ndjson, csv, arrow, parquet"):
        formats.encoder("xml")
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "connectordb\[arrow\]"'):
        formats.encoder("parquet")
    with pytest.raises(ImportError):
        formats.read("arrow", io.BytesIO())
    assert formats.encoder("csv")


def test_reading_holds_little() -> None:
    """A pipe is read as it comes: the first lines are there before the others have been written."""

    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            buffer[:12] = b'{"t":1.25} \n'
            return 12

    block = next(formats.read("ndjson", io.BufferedReader(Endless())))
    assert block.points[0] == Datapoint(1.25)


# ---- tables


def test_types_are_the_narrowest_that_hold_all() -> None:
    def kind(row: list[Any]) -> str:
        data = write("parquet", at([1.7e9] * len(row), row), cut=1)
        return str(pq.read_table(io.BytesIO(data)).schema.field("d").type)

    assert kind([True, None]) == "bool"
    assert kind([1, 2**63 - 1]) == "int64"
    assert kind([1, 2.5]) == "double"
    assert kind(["a", None]) == "string"
    assert kind([None]) == "null"
    for mixed in ([2**63], [2**53 + 1, 0.5], [1, True], ["a", 1], [{"a": 1}]):
        assert kind(mixed) == "extension<arrow.json>"


def test_times_are_times_with_a_zone() -> None:
    for name, load in (("parquet", pl.read_parquet), ("arrow", pl.read_ipc_stream)):
        now = load(io.BytesIO(write(name, [Datapoint(1500000000.123456, 1)])))
        assert now.schema["t"] == pl.Datetime("ns", "UTC")
        assert str(now["t"][0]) == "2017-07-14 02:40:00.123456+00:00"
        later = load(io.BytesIO(write(name, [Datapoint(9.9e9 + 0.5, 1)])))
        assert later.schema["t"] == pl.Datetime("us", "UTC")
        assert str(later["t"][0]) == "2283-09-20 08:00:00.500000+00:00"


def test_tables_of_others_are_read() -> None:
    table = pa.table(
        {
            "t": pa.array([1_500_000_000_500, 1_500_000_001_000], pa.timestamp("ms")),
            "x": pa.array([float("nan"), 1.5]),
            "when": pa.array([0, 1], pa.date32()),
            "tags": pa.array([["a"], None]),
        }
    )
    wanted = [
        Datapoint(1500000000.5, {"x": None, "when": "1970-01-01", "tags": ["a"]}),
        Datapoint(1500000001.0, {"x": 1.5, "when": "1970-01-02", "tags": None}),
    ]
    file = io.BytesIO()
    pq.write_table(table, file)
    assert read("parquet", file.getvalue()) == wanted
    for make in (pa.ipc.new_stream, pa.ipc.new_file):
        sink = pa.BufferOutputStream()
        with make(sink, table.schema) as writer:
            writer.write_table(table)
        assert read("arrow", sink.getvalue().to_pybytes()) == wanted
    seconds = pa.table({"t": [1.5, 2.5], "d": [1, None]})
    file = io.BytesIO()
    pq.write_table(seconds, file)
    assert read("parquet", file.getvalue()) == [Datapoint(1.5, 1), Datapoint(2.5, None)]


def test_a_table_without_times_is_refused() -> None:
    for table in (pa.table({"d": [1]}), pa.table({"t": ["x"], "d": [1]}), pa.table({"t": [None, 1.0], "d": [1, 2]})):
        file = io.BytesIO()
        pq.write_table(table, file)
        with pytest.raises(InvalidValue):
            read("parquet", file.getvalue())


def test_the_temporary_file_is_bounded_and_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_table, "BATCH_ROWS", 100)
    encoder = formats.encoder("parquet", spool_bytes_max=10_000)
    block = Block.of(at([1.7e9 + i / 7 for i in range(100)], [i / 7 for i in range(100)]))
    with pytest.raises(TooLarge, match="10000 bytes"):
        for _ in range(100):
            assert encoder.feed(block) == b""
    encoder.close()
    encoder.close()


# ---- what is told of them


def test_every_format_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    for form in formats.FORMATS.values():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{form.name}` |"))
        assert f"`{form.media_type}`" in row
        assert f"`{form.extensions[0]}`" in row
        assert form.described in row


def test_csv_of_others_writes_words_in_its_own_way() -> None:
    data = b"t,d\r\n" + b"".join(b"%d,%b\r\n" % (i, d) for i, d in enumerate((b"TRUE", b"False", b"NaN", b"nan"), 1))
    assert [point.d for point in read("csv", data)] == [True, False, None, None]
    assert [point.d for point in read("csv", b"t,d\n1,Nan\n2,true story\n")] == ["Nan", "true story"]
    for infinite in (b"Infinity", b"-Infinity", b"inf", b"-INF"):
        with pytest.raises(InvalidValue, match=r"line 3: .* a number is finite"):
            read("csv", b"t,d\n1,1\n2,%b\n" % infinite)
    points = [Datapoint(1.0, d) for d in ("TRUE", "False", "NaN", "nan", "inf", "-Infinity")]
    assert read("csv", write("csv", points)) == points
