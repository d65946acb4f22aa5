"""Progress bars, for somebody who looks at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

__all__ = ["SHOWN_FROM_POINTS", "progress"]

SHOWN_FROM_POINTS = 20_000
"""What has fewer datapoints is done before one could read a bar."""

Advance = Callable[[int], None]


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Advance]:
    """Give a function that is told of each further number of datapoints done.

    Args:
        what: Stands before the bar.
        total: How many datapoints it will be; ``None``: not known.

    Shows a bar on standard error if that is a terminal and there are many datapoints, and else nothing.
    """
    if not sys.stderr.isatty() or (total is not None and total < SHOWN_FROM_POINTS):
        yield _nothing
        return
    with ExitStack() as stack:
        done = 0
        shown: Advance | None = None

        def advance(n: int) -> None:
            nonlocal done, shown
            done += n
            if shown is not None:
                shown(n)
            elif total is not None or done >= SHOWN_FROM_POINTS:
                shown = stack.enter_context(_bar(what, total))
                shown(done)

        yield advance


@contextmanager
def _bar(what: str, total: int | None) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda n: bar.advance(task, n)


def _nothing(n: int) -> None:
    pass
