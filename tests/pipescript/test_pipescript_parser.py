"""The parser: what is a script, what its tree is, and what is said of everything else."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectordb.errors import Invalid, ScriptError
from connectordb.pipescript import compile_script
from connectordb.pipescript.parser import LENGTH_MAX, NESTING_MAX, parse
from connectordb.pipescript.syntax import BINDING, Binary, Call, Literal, Object, Pipe, Tree, Unary

TEXTS = st.text(max_size=4).filter(lambda text: not any(pair in text for pair in ("\\n", "\\r", "\\t")))
LITERALS = st.one_of(
    st.integers(0, 10**20),
    st.floats(0, 1e22).filter(lambda x: str(x) != "-0.0"),
    TEXTS,
    st.booleans(),
).map(Literal)
NAMES = st.sampled_from(["$", "d", "count", "if", "map", "nothing", "order", "notx", "a_1", "$x"])


def pipe(parts: list[Tree]) -> Tree:
    flat: list[Tree] = []
    for part in parts:
        flat.extend(part.stages if isinstance(part, Pipe) else [part])
    return Pipe(tuple(flat))


def larger(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    return st.one_of(
        st.builds(Call, NAMES, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Unary, st.sampled_from(["not", "-"]), inner),
        st.builds(Binary, st.sampled_from(sorted(BINDING)), inner, inner),
        st.lists(inner, min_size=2, max_size=3).map(pipe),
        st.dictionaries(TEXTS, inner, min_size=1, max_size=3).map(lambda items: Object(tuple(items.items()))),
    )


trees = st.recursive(st.one_of(LITERALS, NAMES.map(Call)), larger, max_leaves=12)


@given(trees)
def test_a_printed_tree_parses_to_the_same_tree(tree):
    assert parse(str(tree)) == tree


@pytest.mark.parametrize(
    ("script", "printed"),
    [
        ("1+2*3^4", "1 + 2 * 3 ^ 4"),
        ("2^3^2", "2 ^ 3 ^ 2"),
        ("2^(3^2)", "2 ^ (3 ^ 2)"),
        ("-2^2", "-2 ^ 2"),
        ("-(2^2)", "-(2 ^ 2)"),
        ("2*3%2", "2 * 3 % 2"),
        ("not a > b", "not a > b"),
        ("(not a) > b", "(not a) > b"),
        ("not a and b or c", "not a and b or c"),
        ("a - b - c", "a - b - c"),
        ("2 * $ - 1", "2 * $ - 1"),
        ("$ - 2 * 3", "$ - 2 * 3"),
        ("a > b:c", "a > (b | c)"),
        ("-$:x", "-($ | x)"),
        ("a:b:c | d", "a | b | c | d"),
        ("(a | b) + 1", "(a | b) + 1"),
        ("if $ > 5", "if($ > 5)"),
        ("if [$ > 5]", "if($ > 5)"),
        ("if($ > 5)", "if($ > 5)"),
        ("map $ > 5 count", "map($ > 5, count)"),
        ("ifelse $>5 $*2 -$", "ifelse($ > 5, $ * 2 - $)"),
        ("a | map $ 5 | b", "a | map($, 5) | b"),
        ("map($>5, (next 2))", "map($ > 5, next(2))"),
        ("$['a']:$['b']", '$["a"] | $["b"]'),
        ("d[0]", "d(0)"),
        ("count()", "count"),
        ("007", "7"),
        ("""{'a': 1, "b": not $}""", '{"a": 1, "b": not $}'),
        ("order", "order"),
        ("not$", "not $"),
    ],
)
def test_precedence_and_forms_of_calls(script, printed):
    assert str(parse(script)) == printed
    assert parse(printed) == parse(script)


@pytest.mark.parametrize(
    ("script", "column", "expected"),
    [
        ("", 0, "a number, a text, a transform or a bracket"),
        ("$ >", 3, "a number, a text, a transform or a bracket"),
        ("$ > 5 & 3", 6, "an operator or the end"),
        ("$ = 5", 2, "an operator or the end"),
        ("if $ > 5 )", 9, "an operator, '|' or the end"),
        ("map($>5, count | $)", 15, "an operator or ')'"),
        ("{5: 1}", 1, "a key in quotes"),
        ("{'a' 1}", 5, "':'"),
        ("'abc", 0, "a closing '"),
        ("([$)]", 3, "an operator or ']'"),
    ],
)
def test_a_syntax_error_has_its_column_and_what_was_expected(script, column, expected):
    with pytest.raises(ScriptError) as error:
        parse(script)
    assert (error.value.column, error.value.expected) == (column, expected)
    assert error.value.details["column"] == column


@pytest.mark.parametrize(
    ("script", "hint"),
    [
        ("$ = 5", "write '==' to compare"),
        ("$ && true", "write 'and'"),
        ("$ || true", "write 'or'"),
        ("$ <> 3", "write '!='"),
        ("!$", "write 'not'"),
        ("$.a", "write $['name'] for a part of the data"),
        ("map($>5, count | $)", "inside arguments write ':', or put the pipe into brackets"),
        ("map ($>5, count)", "write f(a, b), where the bracket touches the name; or f a b, without a comma"),
        ("1 + count ()", "the bracket of a call touches the name: f(a, b)"),
    ],
)
def test_common_mistakes_get_a_hint(script, hint):
    with pytest.raises(ScriptError, match="column") as error:
        parse(script)
    assert error.value.details["hint"] == hint


@pytest.mark.parametrize(
    ("script", "meant"),
    [("cont", "count"), ("if $ > 5 | Mean", "mean"), ("whlie($, sum)", "while"), ("zzzzzz", None)],
)
def test_an_unknown_name_gets_the_nearest_one(script, meant):
    with pytest.raises(ScriptError) as error:
        compile_script(script)
    assert error.value.details["hint"] == meant
    assert (f"did you mean '{meant}'?" in str(error.value)) == (meant is not None)


@pytest.mark.parametrize(
    ("script", "column", "part"),
    [
        ("count(5)", 6, "takes no arguments"),
        ("$ | bucket(1, 2, 3)", 17, "at most 2 arguments"),
        ("map($)", 0, "needs the argument 'script'"),
        ("$ + (if $ > 5)", 5, "an operand of '+'"),
        ("bucket(count)", 7, "has to be a constant"),
        ("map($, last)", 7, "cannot look ahead"),
        ("map($, next + 1)", 12, "cannot look ahead"),
        ("{'a': next}", 6, "cannot look ahead"),
        ("map($, while($, sum))", 7, "this filters"),
        ("next(0)", 0, "1 to 100"),
        ("regex('(')", 0, "no regular expression"),
        ("day('Nowhere/City')", 0, "no time zone"),
        ("$ | 5 + 'a'", 6, "cannot add"),
        ("{'a': 1, 'a': 2}", 9, "occurs twice"),
    ],
)
def test_what_does_not_fit_is_refused_before_it_runs(script, column, part):
    with pytest.raises(ScriptError, match="column") as error:
        compile_script(script)
    assert error.value.column == column
    assert part in str(error.value)


def test_a_script_error_is_an_invalid_request_with_details():
    with pytest.raises(ScriptError) as error:
        parse("$ >")
    assert isinstance(error.value, Invalid)
    assert (error.value.status, error.value.type) == (400, "script_error")
    assert error.value.details == {"column": 3, "expected": "a number, a text, a transform or a bracket"}


_PIECES = st.sampled_from(
    [
        "",
        "$",
        "if",
        "not",
        "-",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "|",
        "'a'",
        '"',
        "\\",
        "5",
        "5.",
        "map",
        "and",
        "é",
        "count",
        "==",
        "=",
        "$['a']",
        "{'a':",
        "",
        "\n",
        "\xa0",
        " ",
        "if ",
        "not ",
        "and ",
        "- ",
    ]
)


@given(st.one_of(st.text(max_size=60), st.lists(_PIECES, max_size=30).map("".join)))
@example('"a\\"')
@example("\ud800")
@example("9" * 400)
@example("9" * 5000)
@example("9" * 310 + ".5")
def test_any_text_gives_a_tree_or_a_script_error(text):
    try:
        tree = parse(text)
    except ScriptError as e:
        assert e.column is not None
        assert 0 <= e.column <= len(text)
        return
    assert parse(str(tree)) == tree
    try:
        compile_script(text)
    except ScriptError:
        pass


@pytest.mark.parametrize(
    "unit",
    [
        "(",
        "[",
        "-",
        "not ",
        "$ + ",
        "$ | ",
        "$:",
        "if ",
        "{'a':",
        "f(",
        "'\\\\",
        '"\\"',
        "1 ",
        "$ - ",
        "2^",
        "9",
        "$[",
        "\\",
    ],
)
@pytest.mark.parametrize("end", ["", "$", "$ )", "'"])
def test_long_and_deep_scripts_end_soon(unit, end):
    text = (unit * LENGTH_MAX)[: LENGTH_MAX - len(end)] + end
    began = time.perf_counter()
    try:
        str(compile_script(text))
    except ScriptError:
        pass
    assert time.perf_counter() - began < 3.0  # a second, on a machine of one's own


def test_bounds():
    with pytest.raises(ScriptError, match=f"at most {LENGTH_MAX}"):
        parse(" " * LENGTH_MAX + "$")
    with pytest.raises(ScriptError, match="nests deeper"):
        parse("(" * (NESTING_MAX + 1) + "$" + ")" * (NESTING_MAX + 1))
    with pytest.raises(ScriptError, match="nests deeper"):
        parse("$" + " + 1" * (NESTING_MAX + 1))
    deep = "not " * (NESTING_MAX - 2) + "$"
    assert [p.d for p in compile_script(deep).run([{"t": 1, "d": True}])] == [True]
    assert len(list(compile_script("$ | " * 1900 + "$").run([{"t": 1, "d": 1}]))) == 1
