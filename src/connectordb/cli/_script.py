"""What is shown of scripts: what they can be written with, what they will do, and what is wrong with them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from ._console import fail, out, say, say_error

if TYPE_CHECKING:
    from ..errors import ScriptError
    from ..pipescript import Script
    from ..pipescript.registry import Interpolator, Transform

__all__ = ["explain_script", "list_names", "show_error"]

_SHOWN_MAX: Final = 100
"""Characters of a script that are shown around an error."""
_KINDS: Final = {"float": "numbers", "int": "numbers", "mixed": "numbers", "bool": "true and false", "text": "text"}


def show_error(error: ScriptError, script: str) -> None:
    """Print on standard error what is wrong with *script*, and where."""
    say_error(". ".join([error.msg, *getattr(error, "__notes__", [])]))
    if error.column is None:
        return
    begin = script.rfind("\n", 0, error.column) + 1
    line = script[begin:].partition("\n")[0].replace("\t", " ")
    at = error.column - begin
    cut = max(0, at - _SHOWN_MAX // 2) if len(line) > _SHOWN_MAX else 0
    before = "..." if cut else ""
    after = "..." if len(line) > cut + _SHOWN_MAX else ""
    print(f"    {before}{line[cut : cut + _SHOWN_MAX]}{after}", file=sys.stderr)
    print("    " + " " * cell_len(before + line[cut:at]) + "^", file=sys.stderr)


def list_names(name: str | None) -> None:
    """Print the transforms and interpolators, a line for each; or all about those of that name."""
    from ..pipescript.reference import signature
    from ..pipescript.registry import INTERPOLATORS, TRANSFORMS, load_plugins, nearest

    load_plugins()
    if name is not None:
        if name not in TRANSFORMS and name not in INTERPOLATORS:
            meant = nearest(name, [*TRANSFORMS, *INTERPOLATORS])
            fail(f"there is no transform or interpolator {name!r}" + (f"; did you mean '{meant}'?" if meant else ""))
        _describe(TRANSFORMS.get(name), INTERPOLATORS.get(name))
        return
    _table("Transforms", [(signature(TRANSFORMS[key]), TRANSFORMS[key].doc) for key in sorted(TRANSFORMS)])
    say("")
    _table("Interpolators", [(key, INTERPOLATORS[key].doc) for key in sorted(INTERPOLATORS)])
    say("\nAll about one, with examples: connectordb transform --list NAME")


def _table(title: str, rows: Iterable[tuple[str, str]]) -> None:
    shown = [(name, doc.split(". ")[0].rstrip(".")) for name, doc in rows]
    if out.is_terminal:
        table = Table(
            title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=False
        )
        table.add_column(no_wrap=True, style="cyan")
        table.add_column()
        for name, doc in shown:
            table.add_row(Text(name), Text(doc))
        out.print(table, soft_wrap=False)
        return
    width = max(len(name) for name, _ in shown)
    say(f"{title}:")
    for name, doc in shown:
        say(f"{name:{width}}  {doc}")


def _describe(transform: Transform | None, interpolator: Interpolator | None) -> None:
    from ..pipescript.reference import argument, example, nature, signature, stream

    if transform is not None:
        say(signature(transform))
        say(f"    {' '.join(part for part in (transform.doc, nature(transform)) if part)}")
        for arg in transform.args:
            say(f"    {arg.name} ({argument(arg)}): {arg.doc}")
        for shown in transform.examples:
            say("")
            for line in example(shown):
                say(f"    {line}")
    if interpolator is not None:
        say(
            f"{interpolator.name}, an interpolator" if transform is None else f"\n{interpolator.name}, the interpolator"
        )
        say(f"    {interpolator.doc}\n")
        for line in stream(interpolator):
            say(f"    {line}")


def explain_script(script: Script) -> None:
    """Print how *script* is read, and how it would be run."""
    from ..pipescript import explain

    explanation = explain(script)
    say(f"Read as: {explanation.text}")
    for number, stage in enumerate(explanation.stages, 1):
        say(f"\n{number}. {stage.text}")
        say("   gives " + ("a datapoint for each" if stage.one_to_one else "fewer datapoints than it gets"))
        if stage.stateless and stage.one_to_one:
            say("   needs no other datapoint than the one at hand")
        if stage.looks_ahead and not stage.notes:
            say("   has to wait for later datapoints")
        kinds = list(dict.fromkeys(_KINDS[kind] for kind in stage.columns if kind in _KINDS))
        say(f"   works on whole columns of: {', '.join(kinds)}" if kinds else "   works row by row")
        for note in stage.notes:
            say(f"   {note}")
