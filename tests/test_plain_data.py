"""The modules that all layers share: errors, paths, schemas, ranges, blocks, and what goes over the wire."""

from __future__ import annotations

import doctest
import importlib
import json
import math
import time
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectordb import errors, wire
from connectordb import schema as schema_module
from connectordb.block import Block
from connectordb.datapoint import TIME_MAX_S, Datapoint, check_time
from connectordb.errors import Invalid, InvalidRange, SchemaInvalid, SchemaMismatch, from_wire
from connectordb.paths import check_name, is_name, parse_path, parse_stream_path
from connectordb.query import Range
from connectordb.schema import Schema, compile_schema, minify

# ---- errors


def every_error(base: type[errors.ConnectorDBError] = errors.ConnectorDBError) -> list[type[errors.ConnectorDBError]]:
    return [base, *(e for sub in base.__subclasses__() for e in every_error(sub))]


def on_the_wire() -> list[Any]:
    return [e for e in every_error() if issubclass(e, errors.RequestError | errors.ServerError)]


@pytest.mark.parametrize("cls", on_the_wire(), ids=lambda c: c.__name__)
def test_an_error_survives_the_wire(cls: Any) -> None:
    sent = cls("what is wrong", ref="some-ref", position=3)
    reply = wire.ErrorReply(code=sent.status, msg=sent.msg, ref="some-ref", error=sent.type, details=sent.details)
    got = from_wire(sent.status, msgspec.to_builtins(reply))
    assert (type(got), got.status, got.msg, got.ref, got.details) == (
        cls,
        sent.status,
        sent.msg,
        "some-ref",
        {"position": 3},
    )


def test_each_error_has_a_type_of_its_own_and_stands_in_the_tree() -> None:
    assert errors.__doc__
    classes = [e for e in every_error() if e.__module__ == errors.__name__ and not e.__name__.startswith("_")]
    assert len({e.type for e in classes}) == len(classes)
    for cls in classes:
        assert cls.__name__ in errors.__doc__, f"{cls.__name__} is not in the tree drawn at the top of errors.py"
        assert cls.__name__ in errors.__all__


@pytest.mark.parametrize(
    ("status", "body", "cls"),
    [
        (404, {"code": 404, "msg": "x", "ref": "r"}, errors.NotFound),
        (403, {"msg": "x", "error": "no_such_type"}, errors.PermissionDenied),
        (418, None, errors.RequestError),
        (502, "<html>", errors.ServerError),
        (500, {"msg": 3, "details": "x", "ref": []}, errors.ServerError),
        (401, [1], errors.Unauthenticated),
    ],
)
def test_an_answer_of_unknown_form_is_an_error_all_the_same(status: int, body: Any, cls: Any) -> None:
    assert type(from_wire(status, body)) is cls


def test_old_names_catch_what_they_caught() -> None:
    for cls in on_the_wire():
        old = errors.AuthenticationError if issubclass(cls, errors.RequestError) else errors.ServerError
        with pytest.raises(old):
            raise cls("x")
    with pytest.raises(OSError, match="gone"):
        raise errors.ConnectFailed("gone")


# ---- paths


@pytest.mark.parametrize("name", ["a", "Living-room_2", "a" * 29])
def test_a_name_is_a_letter_and_then_letters_digits_dashes(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "a" * 30, "1a", "_a", "-a", "a b", "a.b", "é", "aé", "a\n", "..", "a/b", "a\0"])
def test_anything_else_is_no_name(name: str) -> None:
    assert not is_name(name)
    with pytest.raises(Invalid, match="begin with a letter"):
        check_name(name)


def test_paths_are_taken_apart() -> None:
    assert parse_path("a/b/c") == ("a", "b", "c")
    assert parse_stream_path("a/b/c") == ("a", "b", "c", False)
    assert parse_stream_path("a/b/c/downlink") == ("a", "b", "c", True)
    assert parse_stream_path("a/b/downlink") == ("a", "b", "downlink", False)
    for bad in ("", "a//b", "a/b/c/d", "a/b/c/downlink/x"):
        with pytest.raises(Invalid):
            parse_path(bad)
    for bad in ("a", "a/b", "a/b/c/down"):
        with pytest.raises(Invalid):
            parse_stream_path(bad)


# ---- ranges


@given(
    st.integers(0, 30),
    st.one_of(st.none(), st.integers(-40, 40)),
    st.one_of(st.none(), st.integers(-40, 40)),
)
def test_an_index_range_is_a_slice(n: int, i1: int | None, i2: int | None) -> None:
    expected = list(range(n))[i1:i2]
    try:
        start, stop = Range(i1=i1, i2=i2).resolve(n)
    except InvalidRange as e:
        assert e.status == 403
        assert expected == []
    else:
        assert list(range(n))[start:stop] == expected
        assert 0 <= start <= stop <= n


@pytest.mark.parametrize(
    "bad",
    [{"i1": 0, "t1": 1.0}, {"i2": 0, "limit": 1}, {"t1": math.nan}, {"t2": math.inf}, {"t1": 0.0, "limit": -1}],
)
def test_a_range_is_of_one_kind_and_finite(bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidRange):
        Range(**bad)


# ---- time stamps


@pytest.mark.parametrize(
    ("t", "fine"), [(0.0, True), (1.7e9, True), (-0.001, False), (TIME_MAX_S, False), (math.nan, False)]
)
def test_time_stamps_lie_between_1970_and_the_year_9999(t: float, fine: bool) -> None:
    assert (check_time(t) is None) == fine


# ---- schemas

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)

SCHEMAS: list[dict[str, Any]] = [
    {},
    {"type": "number"},
    {"type": "integer"},
    {"type": "string"},
    {"type": "boolean"},
    {"type": "null"},
    {"type": "number", "minimum": 0},
    {"type": "array", "items": {"type": "integer"}},
    {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"], "additionalProperties": False},
    {"enum": [1, "a", None]},
    {"anyOf": [{"type": "integer"}, {"type": "string"}]},
]


@given(st.sampled_from(SCHEMAS), json_values)
def test_the_engines_of_client_and_server_agree(schema: dict[str, Any], value: Any) -> None:
    rust, python = schema_module._compile_rust(schema), schema_module._compile_python(schema)
    assert rust.is_valid(value) == python.is_valid(value)
    assert Schema(json.dumps(schema)).is_valid(value) == rust.is_valid(value), (
        "the short cut for simple schemas differs"
    )
    if not rust.is_valid(value):
        assert rust.explain(value)
        assert python.explain(value)


@given(json_values.filter(lambda v: isinstance(v, dict)))
def test_minifying_changes_white_space_only(value: Any) -> None:
    text = json.dumps(value, indent=3)
    assert json.loads(minify(text)) == value
    assert len(minify(text)) <= len(text)


@pytest.mark.parametrize(
    "bad",
    ["{bad", '"string"', "[]", "true", "null", "1", '{"type":"bogus"}', '{"type":"number",}', '{"pattern":"("}',
     '{"$ref":"#/definitions/nope"}', '{"$ref":"http://example.com/s"}', '{"$ref":"file:///etc/passwd"}', "[" * 9999,
     '{"a":' * 9999, '{"required":"a"}', '{"description":"' + "x" * 300_000 + '"}'],
)  # fmt: skip
def test_what_is_no_schema_is_refused(bad: str) -> None:
    with pytest.raises(SchemaInvalid):
        Schema(bad)


def test_an_empty_schema_takes_all() -> None:
    assert minify("") == minify("  ") == minify("{ }") == "{}"
    assert compile_schema("").is_valid(object())


def test_a_mismatch_tells_where_and_why() -> None:
    schema = Schema('{"type":"object","properties":{"a":{"type":"array","items":{"type":"number"}}}}')
    with pytest.raises(SchemaMismatch, match=r"a/1.*number"):
        schema.check({"a": [1, "x"]})


@pytest.mark.parametrize("engine", [schema_module._compile_rust, schema_module._compile_python])
def test_a_huge_value_with_many_faults_is_explained_briefly(engine: Any) -> None:
    compiled = engine({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "number"}}}})
    value = {"a": ["x" * 10] * 100_000}
    tracemalloc.start()
    try:
        assert len(compiled.explain(value)) < 500
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("engine", [schema_module._compile_rust, schema_module._compile_python])
@pytest.mark.parametrize("schema", [{"type": "number"}, {"type": "object", "minProperties": 1}])
def test_what_is_no_json_does_not_fit(engine: Any, schema: dict[str, Any]) -> None:
    compiled = engine(schema)
    for value in (object(), {1, 2}, b"bytes", [object()]):
        assert not compiled.is_valid(value)
        assert compiled.explain(value)


def nested_alternatives(n: int) -> dict[str, Any]:
    """A schema of *n* definitions, each of which has two alternatives that lead to the next one: 2**n ways."""
    definitions: dict[str, Any] = {
        f"a{i}": {"anyOf": [{"allOf": [{"$ref": f"#/definitions/a{i + 1}"}, {"minLength": j}]} for j in (1, 2)]}
        for i in range(n)
    }
    return {"definitions": {**definitions, f"a{n}": {"type": "number"}}, "allOf": [{"$ref": "#/definitions/a0"}]}


@pytest.mark.parametrize("engine", [schema_module._compile_rust, schema_module._compile_python])
def test_alternatives_that_multiply_take_no_time(engine: Any) -> None:
    began = time.monotonic()
    fine = engine(nested_alternatives(11))
    assert fine.is_valid(1)
    assert not fine.is_valid("x")
    assert "too big to say where" in fine.explain("x")
    for n in (16, 30, 300):
        with pytest.raises(SchemaInvalid, match="parts"):
            engine(nested_alternatives(n))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("engine", [schema_module._compile_rust, schema_module._compile_python])
def test_a_schema_that_refers_back_bounds_the_depth_only_where_work_multiplies(engine: Any) -> None:
    tree = engine({"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}})
    chain: dict[str, Any] = {}
    for _ in range(100):
        chain = {"left": chain, "right": {}}
    assert tree.is_valid(chain)
    assert not tree.is_valid({"left": {"right": 3}})
    doubled = engine(
        {"type": "object", "anyOf": [{"properties": {"c": {"$ref": "#"}}, "required": [k]} for k in ("x", "y")]}
    )
    began = time.monotonic()
    deep: dict[str, Any] = {"x": 1}
    for level in range(60):
        assert doubled.is_valid(deep) or level > 10
        deep = {"x": 1, "c": deep}
    assert not doubled.is_valid(deep)
    assert "nested more than" in doubled.explain(deep)
    assert time.monotonic() - began < 10


def test_an_exploding_pattern_ends() -> None:
    schema = Schema('{"type":"string","pattern":"(a|a)*(?=b)c$"}')
    assert not schema.is_valid("a" * 5000 + "!")


# ---- blocks


def test_a_block_is_text_and_objects() -> None:
    points = [Datapoint(1.5, {"a": [1, 2**70]}), Datapoint(1.5), Datapoint(2.0, "ü", "a/b")]
    block = Block.of(points)
    assert (block.n, block.t1, block.t2) == (3, 1.5, 2.0)
    assert block.json == '{"t":1.5,"d":{"a":[1,1180591620717411303424]}},{"t":1.5},{"t":2.0,"d":"ü","o":"a/b"}'.encode()
    again = Block(3, 1.5, 2.0, json=block.json)
    assert list(again.points) == points
    assert again.slice(1, 3).json == b'{"t":1.5},' + b'{"t":2.0,"d":"\xc3\xbc","o":"a/b"}'
    assert again.slice(0, 3) is again


# ---- wire


@pytest.mark.parametrize(
    "body", [b"", b"{", b"{}", b"[1]", b'[{"t":"1"}]', b'[{"x":1}]', b"[{}] x", b'[{"t":NaN}]', b'["\xff"]']
)
def test_what_is_no_array_of_datapoints_is_refused(body: bytes) -> None:
    with pytest.raises((msgspec.MsgspecError, UnicodeError)):
        wire.decode_points(body)


def test_null_is_an_empty_array() -> None:
    assert wire.decode_points(b"null") == wire.decode_points(b"[]") == []


# ---- documentation


@pytest.mark.parametrize("name", ["errors", "paths", "datapoint", "schema", "query", "block", "wire", "core.settings"])
def test_the_examples_of_the_docstrings_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"connectordb.{name}")).failed == 0
