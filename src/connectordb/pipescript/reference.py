"""The reference of the language, made from what is registered: for ``docs/pipescript.md`` and the command line.

    python -m connectordb.pipescript.reference docs/pipescript.md

writes it into that page, between its two marks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from inspect import cleandoc
from pathlib import Path
from typing import Any, Final

from . import builtins
from .registry import INTERPOLATORS, TRANSFORMS, Arg, Example, Interpolator, Transform

__all__ = ["BEGIN", "END", "argument", "example", "nature", "reference", "renewed", "sequence", "signature", "stream"]

BEGIN: Final = "<!-- From here on made by `make docs`: change the code, not this text. -->"
END: Final = "<!-- Up to here. -->"
"""The marks between which the page holds the reference."""


def signature(transform: Transform) -> str:
    """Return how a transform is called.

    >>> signature(TRANSFORMS["bucket"])
    'bucket(size = 10, start = 0)'
    """
    if not transform.args:
        return transform.name
    args = ", ".join(f"{arg.name} = {_default(arg)}" if _default(arg) else arg.name for arg in transform.args)
    opening, closing = "[]" if transform.name in ("$", "d") else "()"
    return f"{transform.name}{opening}{args}{closing}"


def argument(arg: Arg) -> str:
    """Return what an argument has to be.

    >>> argument(TRANSFORMS["bucket"].args[0])
    'number, constant, 10 if left out'
    """
    kind = "any value" if arg.type == "any" else "time zone" if arg.type == "zone" else arg.type
    parts: list[str] = ["script"] if arg.script else [kind, "constant"] if arg.constant else [kind]
    if arg.optional:
        default = _default(arg)
        parts.append(f"{default} if left out" if default else "may be left out")
    return ", ".join(parts)


def _default(arg: Arg) -> str:
    if not arg.optional or arg.default is None:
        return ""
    return repr(arg.default) if isinstance(arg.default, str) and arg.constant else str(arg.default)


def nature(transform: Transform) -> str:
    """Return how many datapoints a transform gives, and when; and since when there is it."""
    parts = []
    if transform.peek:
        parts.append("Looks ahead.")
    elif not transform.one_to_one:
        parts.append("Gives fewer datapoints than it gets.")
    if transform.since:
        parts.append(f"New in {transform.since}.")
    return " ".join(parts)


def sequence(points: Iterable[tuple[float | None, Any]]) -> str:
    """Return datapoints as text: the data, and the time stamps that are given.

    >>> sequence([(None, 5), (60.0, "a")])
    '5, "a" @60'
    """
    return ", ".join(json.dumps(d, ensure_ascii=False) + ("" if t is None else f" @{_plain(t)}") for t, d in points)


def _plain(t: float) -> str:
    return str(int(t)) if float(t).is_integer() else repr(t)


def example(shown: Example) -> list[str]:
    """Return the lines of an example.

    >>> example(Example("tshift 60", [5], [5], at=[1000], times=[1060]))
    ['tshift 60', '  in   5 @1000', '  out  5 @1060']
    """
    times = [t if shown.at else None for t, _ in shown.points()]
    given = sequence(zip(times, shown.data, strict=True))
    after: Sequence[float | None] = shown.times or [None] * len(shown.result)
    results = sequence(zip(after, shown.result, strict=True))
    return [shown.script, f"  in   {given}", f"  out  {results}".rstrip()]


def stream(interpolator: Interpolator) -> list[str]:
    """Return the lines of the example of an interpolator."""
    points, times, values = interpolator.example
    return [
        interpolator.name,
        f"  stream  {sequence(points)}",
        f"  at      {', '.join(map(_plain, times))}",
        f"  gives   {sequence((None, value) for value in values)}",
    ]


def reference() -> str:
    """Return the reference of all transforms and interpolators of this package, in Markdown."""
    lines = ["## Transforms", ""]
    groups = [getattr(builtins, name) for name in builtins.__all__]
    own = {group.__name__: [t for t in TRANSFORMS.values() if t.make.__module__ == group.__name__] for group in groups}
    for group in groups:
        if own[group.__name__]:
            lines += _group(group.__doc__, own[group.__name__])
    lines += ["## Interpolators", ""]
    lines += ["What they give for the datapoints of a stream, asked at a series of times:", ""]
    for interpolator in INTERPOLATORS.values():
        if interpolator.make.__module__.startswith(f"{__package__}."):
            lines += [f"### The interpolator `{interpolator.name}`", "", interpolator.doc, ""]
            lines += ["```pipescript-at", *stream(interpolator), "```", ""]
    return "\n".join(lines)


def _group(doc: str, transforms: Iterable[Transform]) -> Iterator[str]:
    first, _, more = cleandoc(doc).replace("``", "`").partition("\n\n")
    first, *rest = (*first.replace("\n", " ").split(". ", 1), more)
    intro = " ".join(part for part in rest if part)
    yield from (f"### {first.partition(':')[0].rstrip('.')}", "")
    if intro:
        yield from (intro.replace("\n", " "), "")
    for transform in transforms:
        yield from (f"#### {transform.name}", "")
        if transform.args:
            yield from (f"`{signature(transform)}`", "")
        yield from (" ".join(part for part in (transform.doc, nature(transform)) if part), "")
        for arg in transform.args:
            yield f"- `{arg.name}` ({argument(arg)}): {arg.doc}"
        if transform.args:
            yield ""
        yield "```pipescript"
        for n, shown in enumerate(transform.examples):
            yield from ("",) if n else ()
            yield from example(shown)
        yield from ("```", "")


def renewed(page: str) -> str:
    """Return a page with the reference between its marks.

    Raises:
        ValueError: it has no marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError("the page has no marks to put the reference between")
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(renewed(path.read_text("utf-8")), "utf-8")
