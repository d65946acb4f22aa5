"""Datapoints into files, in every format."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from connectordb import Closed, ConnectorDB, InvalidValue, NotFound, ScriptError
from connectordb.client import Credentials, Session
from connectordb.client._calls import Call
from connectordb.client._download import EXTENSIONS, download, format_of
from connectordb.errors import PermissionDenied
from connectordb.formats import FORMATS, read
from connectordb.query import Dataset, Merge

POINTS = [{"t": 1500000000.0 + i, "d": i / 2} for i in range(30_000)]


def test_names_of_files_mean_what_the_server_means() -> None:
    assert set(EXTENSIONS.values()) == set(FORMATS)
    for suffix, form in EXTENSIONS.items():
        assert suffix in FORMATS[form].extensions
        assert format_of(f"a.b{suffix.upper()}", None) == form
    assert format_of(Path("x.txt"), "csv") == "csv"
    for path in ("x.txt", "x", "x.arrow"):  # the last is for the other kind of Arrow files
        with pytest.raises(InvalidValue, match="csv"):
            format_of(path, None)
    with pytest.raises(InvalidValue, match="xml"):
        format_of("x.csv", "xml")


def points_in(path: Path) -> list[dict[str, Any]]:
    with path.open("rb") as file:
        blocks = read(format_of(path, None), file)
        return [{"t": point.t, "d": point.d} for block in blocks for point in block.points]


@pytest.mark.parametrize("suffix", EXTENSIONS)
def test_a_stream_is_downloaded_in_every_format(device: ConnectorDB, tmp_path: Path, suffix: str) -> None:
    stream = device["long"]
    stream.create({"type": "number"})
    stream.insert_array(POINTS)
    path = tmp_path / f"long{suffix}"
    stream.download(path)
    assert points_in(path) == POINTS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    stream.download(str(path), i1=-2)
    assert points_in(path) == POINTS[-2:]
    stream.download(path, t1=1500000000, limit=1, transform="$ + 1")
    assert points_in(path) == [{"t": 1500000001.0, "d": 1.5}]
    for nothing in ({"i1": 5, "i2": 3}, {"i1": 10**9}, {"t1": 1, "t2": 0}, {"limit": 0}):
        stream.download(path, **nothing)
        assert points_in(path) == []
    assert [child.name for child in tmp_path.iterdir()] == [path.name]


def test_queries_are_downloaded(device: ConnectorDB, tmp_path: Path) -> None:
    for name, d in (("a", 1), ("b", "x")):
        device[name].create()
        device[name].insert_array([{"t": 10, "d": d}])
    path = tmp_path / "x.csv"
    Merge(device).add_stream("a").add_stream("b").download(path)
    assert path.read_bytes() == b"t,d\r\n10.0,1\r\n10.0,x\r\n"
    dataset = Dataset(device, x="a").add_stream("b", colname="b")
    dataset.download(path)
    assert path.read_bytes() == b"t,x,b\r\n10.0,1,x\r\n"
    dataset.download(tmp_path / "x.json")
    assert json.loads((tmp_path / "x.json").read_bytes()) == dataset.run()


def test_a_link_goes_on_being_one(device: ConnectorDB, tmp_path: Path) -> None:
    device["s"].create()
    device["s"].insert_array([{"t": 10, "d": 1}])
    link = tmp_path / "link.csv"
    link.symlink_to(tmp_path / "real.csv")
    device["s"].download(link)
    assert link.is_symlink()
    assert (tmp_path / "real.csv").read_bytes() == b"t,d\r\n10.0,1\r\n"


def test_what_fails_leaves_what_was_there(device: ConnectorDB, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("old")
    stream = device["text"]
    with pytest.raises((NotFound, PermissionDenied)):
        stream.download(path, t1=1)
    stream.create()
    stream.insert_array([*POINTS, {"t": 1600000000, "d": "no number"}])
    with pytest.raises(ScriptError):
        stream.download(path, transform="$ ++ 1")
    with pytest.raises(Closed):  # it fails at the end, when most has been sent
        stream.download(path, transform="$ + 1")
    with pytest.raises(ScriptError):  # such a table is begun when all is there
        stream.download(path, "parquet", transform="$ + 1")
    assert path.read_text() == "old"
    assert [child.name for child in tmp_path.iterdir()] == ["x.csv"]
    with pytest.raises(FileNotFoundError):
        stream.download(tmp_path / "missing" / "x.csv")


def test_a_database_without_a_server_downloads_too(tmp_path: Path) -> None:
    with ConnectorDB.local(tmp_path / "db", user="me") as db:
        db["s"].create()
        db["s"].insert_array([{"t": 1500000000.5, "d": {"a": 1}}])
        for suffix in EXTENSIONS:
            db["s"].download(tmp_path / f"x{suffix}")
            assert points_in(tmp_path / f"x{suffix}") == [{"t": 1500000000.5, "d": {"a": 1}}]


class Cutting:
    """A transport whose first answer breaks off."""

    url = "http://fake"

    def __init__(self) -> None:
        self.sent = 0
        self.status = 200
        self.headers: dict[str, str] = {}

    @contextmanager
    def stream(self, *args: Any, **kw: Any) -> Iterator[Any]:
        self.sent += 1
        yield self

    def iter_bytes(self) -> Iterator[bytes]:
        yield b"beginning"
        if self.sent == 1:
            raise Closed("gone")
        yield b" and end"


def test_what_broke_off_is_begun_anew(tmp_path: Path) -> None:
    transport: Any = Cutting()
    session = Session(transport, Credentials(), sleep=lambda s: None)
    call = Call("GET", "/", lambda body: None)
    download(session, call, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"beginning and end"
    assert transport.sent == 2
