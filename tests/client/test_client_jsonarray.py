"""JSON arrays that may be longer than memory."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectordb.client import _jsonarray
from connectordb.client._jsonarray import read_array, write_array
from connectordb.errors import InvalidValue

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(), v, max_size=3),
)
elements = st.lists(st.dictionaries(st.sampled_from("tdo"), values), max_size=6)


@given(elements, st.sampled_from([None, 1]), st.booleans(), st.integers(1, 9))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_array_is_read_whatever_the_pieces(
    tmp_path: Path, array: list[Any], indent: int | None, ascii_only: bool, chunk: int
) -> None:
    file = tmp_path / "a.json"
    text = json.dumps(array, indent=indent, ensure_ascii=ascii_only)
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    old, _jsonarray.CHUNK_CHARS = _jsonarray.CHUNK_CHARS, chunk
    try:
        if "surrogates not allowed" in _why_not_utf8(text):
            with pytest.raises(InvalidValue):
                list(read_array(file))
        else:
            assert repr(list(read_array(file))) == repr(array)
    finally:
        _jsonarray.CHUNK_CHARS = old


def _why_not_utf8(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as e:
        return str(e)
    return ""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"  ",
        b"{}",
        b"5",
        b"[",
        b'[{"t":1}',
        b'[{"t":1},',
        b'[{"t":1},]',
        b'[{"t":1} {"t":2}]',
        b'[{"t":1}] x',
        b'[{"t":1',
        b'[{"t":NaN}]',
        b'[{"t":-Infinity}]',
        b"[1, 2]",
        b"[null]",
        b'[{"t":\xff}]',
        b"[" + b'{"a":' * 100_000,
    ],
)
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(data)
    with pytest.raises(InvalidValue, match=r"a\.json is no JSON array"):
        list(read_array(file))


def test_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf[{"t":1}]')
    assert list(read_array(tmp_path / "a.json")) == [{"t": 1}]


@given(st.lists(st.lists(st.integers(), max_size=3), max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_pages_become_one_array(tmp_path: Path, pages: list[list[int]]) -> None:
    file = tmp_path / "a.json"
    file.unlink(missing_ok=True)
    write_array(file, ([msgspec.Raw(b'{"d":%d}' % n) for n in page] for page in pages))
    expected = [{"d": n} for page in pages for n in page]
    assert json.loads(file.read_text()) == expected == list(read_array(file))


def test_only_its_owner_may_read_the_file(tmp_path: Path) -> None:
    write_array(tmp_path / "a.json", [])
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o600


def test_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("mine")
    with pytest.raises(FileExistsError):
        write_array(tmp_path / "a.json", [])


def test_a_long_file_does_not_get_into_memory(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    page = [msgspec.Raw(b'{"t":1700000000.123456,"d":{"some":"text"}}')] * 10_000
    write_array(file, (page for _ in range(20)))
    assert file.stat().st_size > 8_000_000
    tracemalloc.start()
    n = sum(1 for _ in read_array(file))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert n == 200_000
    assert peak < 3_000_000
