"""How things are printed, and asked for."""

from __future__ import annotations

import re
import sys
from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

__all__ = [
    "ask_password",
    "bytes_shown",
    "duration_shown",
    "fail",
    "out",
    "printable",
    "say",
    "say_error",
    "split_login",
]

out = Console(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, soft_wrap=True)

_UNSEEN = re.compile(
    # Control characters, among them what terminals take for commands; and those that turn or break lines, or stand for
    # nothing. All but \n and \t, which what is said here has of its own.
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str, length_max: int | None = None) -> str:
    """Return *text*, which somebody else may have written, with all control characters made visible.

    Args:
        length_max: One line of at most so many characters is made of it.
    """
    if length_max is not None:
        if len(text) > length_max:
            text = text[: length_max - 1] + "…"
        text = text.replace("\n", "\\n").replace("\t", "\\t")
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)


def say(text: str) -> None:
    """Print one line, as it is; control characters are made visible."""
    out.print(escape(printable(text)))


def say_error(text: str) -> None:
    """Print on standard error what went wrong."""
    _err.print(f"[bold red]Error:[/] {escape(printable(text))}")


def fail(text: str, code: int = 1) -> NoReturn:
    """Print on standard error what went wrong, and end with exit code *code*."""
    say_error(text)
    raise typer.Exit(code)


def is_interactive() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask_password(given: str | None, whose: str, otherwise: str) -> str:
    """Return the password *given*, or ask for it, twice and hidden.

    Args:
        given: From the command line.
        whose: For the question.
        otherwise: What to type where nobody can be asked.
    """
    if given is None:
        if not is_interactive():
            fail(f"there is no terminal to ask for a password on: give it with {otherwise}")
        given = str(typer.prompt(f"Password of {whose}", hide_input=True, confirmation_prompt=True, err=True))
    if not given:
        fail("the password is empty: give at least one character")
    return given


def split_login(text: str) -> tuple[str, str]:
    """Return name and password of ``NAME:PASSWORD``; the password may have colons."""
    name, colon, password = text.partition(":")
    if not (name and colon and password):
        raise typer.BadParameter("expected NAME:PASSWORD", param_hint="'--user'")
    return name, password


def bytes_shown(count: int) -> str:
    """Return a size in bytes as a person reads it.

    >>> bytes_shown(10_485_760)
    '10.0 MiB'
    """
    size = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{count} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def duration_shown(seconds: float) -> str:
    """Return a duration with its two largest units.

    >>> duration_shown(93_784.2)
    '1 d 2 h'
    """
    left = max(0, int(seconds))
    parts = []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count or unit == "s":
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])
