"""A script, ready to run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from ..datapoint import Datapoint
from ..errors import ScriptError
from .columns import Batch
from .engine import Ended, Pipeline, Run
from .parser import parse
from .plan import Part, Settings, plan
from .syntax import Tree
from .values import is_writable

__all__ = ["Running", "Script", "batches_of", "compile_script"]

_BATCH_MAX: Final = 4096
_GROWING: Final = frozenset({"append", "imap"})
"""Transforms whose every result may be as large as all of the input: run over one datapoint at a time."""
_PIECE_MAX: Final = 1_000_000
"""Datapoints, times the parts of the script, that are worked on at once."""


def compile_script(script: str, settings: Settings | None = None) -> Script:
    """Return *script*, read, checked and ready to run.

    Raises:
        ScriptError: it cannot be read; `.column` says where.

    >>> [p.d for p in compile_script("if $ > 5 | count").run([{"t": 1, "d": 7}, {"t": 2, "d": 3}, {"t": 3, "d": 6}])]
    [1, 2]
    """
    tree = parse(script)
    return Script(script, tree, plan(tree, settings or Settings()))


class Script:
    """A script, checked. It keeps no state: it can run many times, in many threads at once.

    Attributes:
        text: As it was written.
        tree: Its syntax tree.
        part: Its plan.
    """

    def __init__(self, text: str, tree: Tree, part: Part) -> None:
        self.text = text
        self.tree = tree
        self.part = part
        self._piece = 1 if _has(part, _GROWING) else max(1, _PIECE_MAX // part.size)

    @property
    def one_to_one(self) -> bool:
        """Whether it gives one datapoint for each it gets."""
        return self.part.one_to_one

    def start(self, *, columnwise: bool = True) -> Running:
        """Return the script, running: to be fed batches. Each input takes one of its own.

        Args:
            columnwise: Whether stages may work on whole columns. Row by row the result is the same, and slower.
        """
        return Running(self.part, columnwise=columnwise, piece=self._piece)

    def run(self, points: Iterable[Any]) -> Iterator[Datapoint]:
        """Run over one whole input, and yield what comes out.

        Args:
            points: Datapoints in order of time: objects with ``t`` and ``d``, or dictionaries. They are taken in
                batches, at first of one datapoint and then of more.

        Raises:
            ScriptError: a stage fails on a datapoint. What came before it has been yielded.
        """
        for batch in self.run_batches(batches_of(points)):
            for t, d in zip(batch.t, batch.d, strict=True):
                yield Datapoint(t, d)

    def run_batches(self, batches: Iterable[Batch], *, columnwise: bool = True) -> Iterator[Batch]:
        """Run over one whole input, given in batches; yield batches, none of them empty.

        Raises:
            ScriptError: a stage fails on a datapoint. What came before it has been yielded.
        """
        running = self.start(columnwise=columnwise)
        for batch in batches:
            for out in running.pieces(batch):
                yield from _delivered(out)
                if out.stop is not None:
                    return
        yield from _delivered(running.end())

    def __str__(self) -> str:
        return str(self.tree)

    def __repr__(self) -> str:
        return f"Script({self.text!r})"


class Running:
    """A script at work on one input."""

    def __init__(self, part: Part, *, columnwise: bool = True, piece: int = _PIECE_MAX) -> None:
        self._pipeline = Pipeline(part, Run(columnwise=columnwise))
        self._piece = piece

    def feed(self, batch: Batch) -> Batch:
        """Return what *batch* gives, as far as it can be known yet.

        If the answer has a `Batch.stop`, it was the last: an error, or `Ended`.
        """
        return _written(self._pipeline.feed(batch))

    def pieces(self, batch: Batch) -> Iterator[Batch]:
        """Yield what *batch* gives, in pieces: each takes little time, and little memory, whatever the script.

        As `feed`; some may be empty.
        """
        for start in range(0, batch.n, self._piece):
            whole = start == 0 and batch.n <= self._piece
            yield self.feed(batch if whole else batch.slice(start, min(start + self._piece, batch.n)))

    def end(self) -> Batch:
        """Return what is left when no more datapoints come."""
        return _written(self._pipeline.end())


def batches_of(points: Iterable[Any]) -> Iterator[Batch]:
    """Yield *points*, which are objects with ``t`` and ``d``, or dictionaries, in batches that grow."""
    iterator = iter(points)
    n = 1
    while some := list(islice(iterator, n)):
        if isinstance(some[0], Mapping):
            yield Batch([float(p.get("t", 0.0)) for p in some], [p.get("d") for p in some])
        else:
            yield Batch([p.t for p in some], [p.d for p in some])
        n = min(2 * n, _BATCH_MAX)


def _delivered(batch: Batch) -> Iterator[Batch]:
    if len(batch):
        yield batch
    if batch.stop is not None and not isinstance(batch.stop, Ended):
        raise batch.stop


def _written(batch: Batch) -> Batch:
    """Return *batch* up to the first datapoint that JSON cannot hold."""
    if batch.all_finite():
        return batch
    for at, (t, d) in enumerate(zip(batch.t, batch.d, strict=True)):
        if not (is_writable(d) and is_writable(t)):
            error = ScriptError(f"the result for t = {t} is infinite or not a number, which JSON cannot hold", t=t)
            return Batch(batch.t[:at], batch.d[:at], error)
    return batch


def _has(part: Part, names: frozenset[str]) -> bool:
    if part.transform is not None and part.transform.name in names:
        return True
    return any(_has(p, names) for p in (*part.parts, *part.scripts))
