"""A script, ready to run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import prod
from typing import TYPE_CHECKING, Any, Final

from ..columns import numpy
from ..datapoint import Datapoint
from ..errors import ScriptError
from .batch import Batch
from .engine import Ended, Pipeline, Run
from .fold import folds, is_last, stages_of
from .limits import Limits
from .parser import parse
from .plan import Part, Settings, plan
from .syntax import Binary, Object, Pipe, Tree
from .values import is_writable

if TYPE_CHECKING:
    from ..store.records import Summary

__all__ = ["Running", "Script", "batches_of", "compile_script"]

_BATCH_MAX: Final = 4096
_GROWING: Final = frozenset({"append", "imap"})
"""Transforms whose every result may be as large as all of the input: run over one datapoint at a time."""
_GROWTH_MAX: Final = 64
"""A script whose results may be more times as large as its data runs over one datapoint at a time, too."""
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
    settings = settings or Settings()
    part = plan(tree, settings)
    most = settings.limits.script_parts_max
    if part.size > most:
        raise ScriptError(f"the script has more than {most} parts (limit script_parts_max)")
    return Script(script, tree, part, settings.limits)


class Script:
    """A script, checked. It keeps no state: it can run many times, in many threads at once.

    Attributes:
        text: As it was written.
        tree: Its syntax tree.
        part: Its plan.
        limits: What it may keep when it runs.
        folds: It is enough to give it what is known of runs of numbers: `Running.feed_runs`.
        only_last: What it gives depends on the last datapoint alone.
    """

    def __init__(self, text: str, tree: Tree, part: Part, limits: Limits) -> None:
        self.text = text
        self.tree = tree
        self.part = part
        self.limits = limits
        self.folds = numpy() is not None and folds(part)
        self.only_last = is_last(stages_of(part)[0])
        self._gives_all = _has(part, _GROWING)
        one_by_one = self._gives_all or _growth(part) > _GROWTH_MAX
        self._piece = 1 if one_by_one else max(1, _PIECE_MAX // part.size)

    @property
    def one_to_one(self) -> bool:
        """Whether it gives one datapoint for each it gets."""
        return self.part.one_to_one

    def work(self, n: int) -> int:
        """Return about how many steps it takes over an input of *n* datapoints."""
        return n * self.part.size * (n if self._gives_all else 1)

    def start(self, *, columnwise: bool = True, check: Callable[[], None] | None = None) -> Running:
        """Return the script, running: to be fed batches. Each input takes one of its own.

        Args:
            columnwise: Whether stages may work on whole columns. Row by row the result is the same, and slower.
            check: Called before each piece of `Running.pieces` and `Running.rest`, and now and then inside a datapoint
                that takes long. What it raises ends the script: to stop in time, for instance.
        """
        return Running(self.part, Run(columnwise=columnwise, limits=self.limits, check=check), self._piece)

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

    def run_batches(
        self, batches: Iterable[Batch], *, columnwise: bool = True, check: Callable[[], None] | None = None
    ) -> Iterator[Batch]:
        """Run over one whole input, given in batches; yield batches, none of them empty.

        Args:
            columnwise: As for `start`.
            check: As for `start`.

        Raises:
            ScriptError: a stage fails on a datapoint. What came before it has been yielded.
        """
        running = self.start(columnwise=columnwise, check=check)
        for batch in batches:
            for out in running.pieces(batch):
                yield from _delivered(out)
                if out.stop is not None:
                    return
        for out in running.rest():
            yield from _delivered(out)

    def __str__(self) -> str:
        return str(self.tree)

    def __repr__(self) -> str:
        return f"Script({self.text!r})"


class Running:
    """A script at work on one input."""

    def __init__(self, part: Part, run: Run, piece: int) -> None:
        self._pipeline = Pipeline(part, run)
        self._piece = piece
        self._check = run.check or (lambda: None)

    def feed(self, batch: Batch) -> Batch:
        """Return what *batch* gives, as far as it can be known yet.

        If the answer has a `Batch.stop`, it was the last: an error, or `Ended`.
        """
        return _written(self._pipeline.feed(batch))

    def feed_runs(self, runs: Sequence[Summary]) -> Batch:
        """As `feed`, for numbers of which only this is known: one run at least, of a script that `Script.folds`."""
        return _written(self._pipeline.feed_runs(runs))

    def pieces(self, batch: Batch) -> Iterator[Batch]:
        """Yield what *batch* gives, in pieces: each takes little time, and little memory, whatever the script.

        As `feed`; some may be empty.
        """
        for start in range(0, batch.n, self._piece):
            self._check()
            whole = start == 0 and batch.n <= self._piece
            yield self.feed(batch if whole else batch.slice(start, min(start + self._piece, batch.n)))

    def rest(self) -> Iterator[Batch]:
        """Yield what is left when no more datapoints come, in pieces as `pieces`. To be called once.

        A `Batch.stop` in one of them is an error, and it is the last.
        """
        self._check()
        for out in self._pipeline.rest(self._piece):
            self._check()
            written = _written(out)
            yield written
            if written.stop is not None:
                return


def batches_of(points: Iterable[Any]) -> Iterator[Batch]:
    """Yield *points*, which are objects with ``t`` and ``d``, or dictionaries, in batches that grow.

    Numbers of numpy become those of Python.
    """
    iterator = iter(points)
    n = 1
    while some := list(islice(iterator, n)):
        if isinstance(some[0], Mapping):
            yield Batch([float(p.get("t", 0.0)) for p in some], _plain([p.get("d") for p in some]))
        else:
            yield Batch([p.t for p in some], _plain([p.d for p in some]))
        n = min(2 * n, _BATCH_MAX)


def _plain(values: list[Any]) -> list[Any]:
    if all(kind.__module__ != "numpy" for kind in set(map(type, values))):
        return values
    return [value.item() if isinstance(value, numpy().generic) else value for value in values]


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


def _growth(part: Part) -> int:
    """Return how many times as large as its data a result of *part* may be, because they stand in it several times."""
    if part.constant:
        return 0
    if part.transform is not None:
        if part.transform.name == "set":
            return 1 + sum(map(_growth, part.parts))
        return max(1, *map(_growth, part.scripts)) if part.scripts else 1
    if isinstance(part.tree, Pipe):
        return prod(max(1, _growth(stage)) for stage in part.parts)
    if isinstance(part.tree, Object) or (isinstance(part.tree, Binary) and part.tree.op == "+"):
        return max(1, sum(map(_growth, part.parts)))
    return 1


def _has(part: Part, names: frozenset[str]) -> bool:
    if part.transform is not None and part.transform.name in names:
        return True
    return any(_has(p, names) for p in (*part.parts, *part.scripts))
