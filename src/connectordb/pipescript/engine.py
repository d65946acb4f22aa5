"""Running a plan over batches of datapoints.

Each stage takes a `Batch` and gives a `Batch`, and keeps between them what it has to remember; at the end it gives
what it still owes. How the datapoints are cut into batches does not change what comes out.

Inside a stage, an expression is a chain of functions called with each datapoint's ``t`` and ``d``; where `kernels`
knows how, the stage works on whole columns instead, with the same state and the same result. What looks ahead cannot
be worked out so: it becomes a column of its own, a small pipeline beside the stage over the same datapoints, and the
stage takes each datapoint only when all its columns have come to it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..columns import Kind, numpy
from ..errors import ScriptError
from . import values
from .batch import Batch
from .fold import is_extreme, is_first, is_last, stages_of
from .limits import DEFAULT_LIMITS, HEAVY, Keep, Limits, Room, weight
from .plan import Part, apply
from .registry import Ahead, Copy, Filter, Inner, Point, PointStep, Skipping
from .syntax import Binary, Object, Pipe, Unary
from .values import Failure

if TYPE_CHECKING:
    from ..store.records import Summary

__all__ = [
    "COLUMNS_MIN",
    "Batch",
    "Builder",
    "Ended",
    "Pipeline",
    "Run",
    "RunningInner",
    "Stage",
]

COLUMNS_MIN = 16
"""Fewer datapoints than this are faster done row by row."""
CHECK_STEPS: Final = 10_000
"""After about so many steps inside one datapoint it is asked whether to go on."""
SHORT: Final = 1_000
"""Texts up to this length are small: what they stand in is not weighed."""
WAITING_MAX: Final = 65_536
"""So many datapoints wait at most until they are taken into a total."""

ValueStep = Callable[[float, Any], Any]


class Ended(Exception):
    """A transform has nothing more to give, though its input goes on. No error."""


class Run:
    """What all parts of one running script share.

    Attributes:
        columnwise: Whether stages may work on whole columns; if not, all is done row by row.
        room: What it keeps, and may keep.
        check: Called from time to time in what takes long; what it raises ends the script.
    """

    __slots__ = ("_steps", "check", "columnwise", "room")

    def __init__(
        self, *, columnwise: bool = True, limits: Limits = DEFAULT_LIMITS, check: Callable[[], None] | None = None
    ) -> None:
        self.columnwise = columnwise and numpy() is not None
        self.room = Room(limits)
        self.check = check
        self._steps = 0

    def worked(self, steps: int) -> None:
        """Count so many *steps* inside one datapoint, and `check` when there were many."""
        self._steps += steps
        if self._steps >= CHECK_STEPS:
            self._steps = 0
            if self.check is not None:
                self.check()


class Stage:
    """One running stage.

    Attributes:
        seen: How many datapoints it has taken.
        step: What one datapoint gives.
        last_words: What comes after the last datapoint.
    """

    def __init__(self, part: Part, run: Run) -> None:
        self.part = part
        self.run = run
        self.seen = 0
        self.step: Callable[[float, Any], Point | None]
        self.last_words: Callable[[], Point | Batch | None] = lambda: None
        self.builder = Builder(run)
        self.build(self.builder)
        self.columns = self.builder.columns
        self.programs: dict[tuple[Kind, ...], Callable[[Batch], Batch | None] | None] = {}
        self.waiting = Batch([], [])
        self.keep = Keep(run.room)

    @staticmethod
    def of(part: Part, run: Run) -> Stage:
        """Return *part*, running."""
        if part.transform is None:
            return _ValueStage(part, run)
        if is_last(part):
            return _LastStage(part, run)
        return _BY_KIND[part.transform.kind](part, run)

    def build(self, builder: Builder) -> None:
        """Make the functions of this stage."""
        raise NotImplementedError

    def knows(self, kind: Kind) -> bool:
        """Return whether it can work on whole columns of *kind*."""
        if isinstance(self, _AheadStage | _LastStage | _FirstStage):
            return True
        from .kernels import stage_program

        return stage_program(self.part, kind, self.builder) is not None

    def feed(self, batch: Batch) -> Batch:
        """Return what *batch* gives, as far as it can be known yet."""
        if not self.columns:
            return self.work(batch)
        for column in self.columns:
            column.feed(batch)
        self.waiting = self.waiting.then(batch)
        return self.keeping(_weight(batch), self.aligned())

    def feed_runs(self, runs: Sequence[Summary]) -> Batch:
        """The same for numbers of which only this is known; for the first stage of what `fold.folds`."""
        raise NotImplementedError

    def keeping(self, more: int, out: Batch) -> Batch:
        """Count *more* bytes as kept. Return *out*, with the error if there is one."""
        try:
            self.keep.add(more)
        except Failure as e:
            if out.stop is None:
                out = out.slice(0, out.n)
                out.stop = self.located(e, None, None, "looking ahead")
        return out

    def work(self, batch: Batch) -> Batch:
        """Run over *batch*, over its columns as wholes where that can be done."""
        if batch.n >= COLUMNS_MIN and self.run.columnwise:
            try:
                done = self.whole(batch)
            except Failure as e:  # what it would keep is too much
                return Batch([], [], self.located(e, self.seen + batch.n - 1, batch.t[-1]))
            if done is not None:
                self.seen += batch.n
                return done
        return self.rows(batch)

    def whole(self, batch: Batch) -> Batch | None:
        """Return what *batch* gives, worked out over whole columns; ``None`` if that cannot be done."""
        key = (batch.kind, *(column.now.kind for column in self.columns))
        if key not in self.programs:
            from .kernels import stage_program

            self.programs[key] = None if key[0] == "other" else stage_program(self.part, key[0], self.builder)
        program = self.programs[key]
        return program(batch) if program is not None else None

    def end(self) -> Batch:
        """Return what is left when no more datapoints come."""
        out = Batch([], [])
        if self.columns:
            for column in self.columns:
                column.end()
            out = self.aligned()
        if out.stop is None:
            try:
                point = self.last_words()
            except Failure as e:
                out.stop = self.located(e, None, None)
            else:
                if point is not None:
                    out = out.then(point if isinstance(point, Batch) else Batch([point[0]], [point[1]]))
        return out

    def settled(self) -> Batch:
        """Return what comes of datapoints that could have been worked on, and were not yet: an error, for instance."""
        return Batch([], [])

    def aligned(self) -> Batch:
        """Run over the waiting datapoints for which all columns are known."""
        waiting = self.waiting
        n = min(waiting.n, *(column.known.n for column in self.columns))
        self.waiting = waiting.slice(n, waiting.n)
        for column in self.columns:
            column.begin(n)
        known = waiting.slice(0, n)
        self.keep.add(-_weight(known))
        out = self.work(known)
        if out.stop is None:
            for column in self.columns:
                if column.stop is not None and not column.known.n:
                    out.stop = column.stop
        return out

    def rows(self, batch: Batch) -> Batch:
        out_t: list[float] = []
        out_d: list[Any] = []
        step = self.step
        for at, (t, d) in enumerate(zip(batch.t, batch.d, strict=True)):
            try:
                point = step(t, d)
            except Failure as e:
                return Batch(out_t, out_d, self.located(e, self.seen + at, t))
            except RecursionError:
                return Batch(out_t, out_d, self.located(Failure("the data nests too deeply"), self.seen + at, t))
            except Ended as e:
                return Batch(out_t, out_d, e)
            if point is not None:
                out_t.append(point[0])
                out_d.append(point[1])
        self.seen += len(batch.t)
        return Batch(out_t, out_d)

    def located(
        self, failure: Failure, index: int | None, t: float | None, otherwise: str = "at the end"
    ) -> ScriptError:
        """Return the error for the user: which stage failed on which datapoint, or *otherwise* where."""
        stage = str(self.part.tree)
        shown = stage if len(stage) <= 80 else stage[:77] + "..."
        where = f"at datapoint {index}, t = {t}" if index is not None else otherwise
        details: dict[str, Any] = {"column": self.part.tree.column, "stage": stage}
        if index is not None:
            details |= {"index": index, "t": t}
        return ScriptError(f"{failure} (in '{shown}', {where})", **details)


class _ValueStage(Stage):
    """One datapoint for each, with the same time stamp."""

    def build(self, builder: Builder) -> None:
        self.value = builder.value(self.part)

    def rows(self, batch: Batch) -> Batch:
        d: list[Any] = []
        stop: Exception | None = None
        try:
            d.extend(map(self.value, batch.t, batch.d))  # what was appended before an error stays
        except Failure as e:
            stop = self.located(e, self.seen + len(d), batch.t[len(d)])
        except RecursionError:
            stop = self.located(Failure("the data nests too deeply"), self.seen + len(d), batch.t[len(d)])
        except Ended as e:
            stop = e
        self.seen += len(d)
        return Batch(batch.t[: len(d)], d, stop)


class _PointStage(Stage):
    """One datapoint for each, with a time stamp of its own."""

    def build(self, builder: Builder) -> None:
        self.step = builder.point(self.part)


class _FilterStage(Stage):
    """Fewer datapoints than come in."""

    def build(self, builder: Builder) -> None:
        running = builder.made(self.part)
        assert isinstance(running, Filter)  # noqa: S101
        self.step = builder.with_args(running.step, self.part)
        self.last_words = running.end


class _AheadStage(Stage):
    """Looks some datapoints ahead."""

    def build(self, builder: Builder) -> None:
        running = builder.made(self.part)
        assert isinstance(running, Ahead)  # noqa: S101
        self.ahead = running
        self.held = Batch([], [])

    def feed(self, batch: Batch) -> Batch:
        n = self.ahead.n
        held = self.held.then(batch)
        known = max(0, held.n - n)
        gone = held.slice(0, known)
        out = self.ahead.many(gone, held.slice(n, n + known))
        self.held = held.slice(known, held.n)
        return self.keeping(_weight(batch) - _weight(gone), out)

    def end(self) -> Batch:
        out = [self.ahead.step(point, None) for point in zip(self.held.t, self.held.d, strict=True)]
        return Batch([t for t, _ in out], [d for _, d in out])


class _LastStage(Stage):
    """``if last``: the end of the sequence, without looking at the rest."""

    def build(self, builder: Builder) -> None:
        self.latest = Batch([], [])

    def feed(self, batch: Batch) -> Batch:
        if batch.n:
            self.latest = batch.slice(batch.n - 1, batch.n)
        return Batch([], [])

    def feed_runs(self, runs: Sequence[Summary]) -> Batch:
        self.latest = Batch([runs[-1].t2], [runs[-1].last])
        return Batch([], [])

    def end(self) -> Batch:
        return self.latest


class _FirstStage(Stage):
    """``if first`` at the beginning of a script: nothing comes after the first datapoint, so no more is read."""

    def build(self, builder: Builder) -> None:
        pass

    def feed(self, batch: Batch) -> Batch:
        out = batch.slice(0, min(1, batch.n))
        out.stop = Ended() if batch.n else None
        return out


class _TotalStage(Stage):
    """A part in front of ``if last``: what it gives for the last datapoint, without working out what it gives before.

    Numbers wait until there are many of them, as each time all that was kept may have to be looked at; `min` and `max`
    keep but one.
    """

    def build(self, builder: Builder) -> None:
        self.copy = RunningInner(self.part, self.run).renew()
        self.latest: Point | None = None
        self.heap: list[Batch] = []
        self.n = 0

    @staticmethod
    def fits(part: Part) -> bool:
        """Return whether *part* can be run so."""
        if part.retimes:
            return is_extreme(part)
        return part.one_to_one and not (part.stateless or part.peeks or part.constant)

    def feed(self, batch: Batch) -> Batch:
        if not self.run.columnwise or batch.kind not in _LIGHT or self.part.retimes:
            out = self.flushed()
            return out if out.stop is not None else self.taken(batch)
        out = self.flushed() if self.heap and self.heap[0].kind != batch.kind else Batch([], [])
        if batch.n and out.stop is None:
            self.heap.append(batch)
            self.n += batch.n
            while len(self.heap) > 1 and self.heap[-2].n <= 2 * self.heap[-1].n:
                self.heap[-2:] = [self.heap[-2].then(self.heap[-1])]
            if self.n >= WAITING_MAX:
                out = self.flushed()
        return out

    def feed_runs(self, runs: Sequence[Summary]) -> Batch:
        out = self.flushed()
        if out.stop is not None:
            return out
        for step in self.copy.steps.values():
            if isinstance(step, Skipping):
                step.skip(runs)
        self.seen += sum(run.n for run in runs) - 1
        return self.rows(Batch([runs[-1].t2], [runs[-1].last]))

    def flushed(self) -> Batch:
        """Take in the datapoints that wait."""
        batch = Batch([], [])
        for more in reversed(self.heap):
            batch = more.then(batch)
        self.heap, self.n = [], 0
        return self.taken(batch)

    def settled(self) -> Batch:
        return self.flushed()

    def taken(self, batch: Batch) -> Batch:
        """Take in datapoints, over columns where that can be done."""
        if batch.n < COLUMNS_MIN or not self.run.columnwise or batch.kind == "other":
            return self.rows(batch)
        if (batch.kind,) not in self.programs:
            from .kernels import total_program

            self.programs[batch.kind,] = total_program(self.part, batch.kind, self.copy)
        program = self.programs[batch.kind,]
        try:
            last = program(batch) if program is not None else None
        except Failure as e:  # what it would keep is too much
            return Batch([], [], self.located(e, self.seen + batch.n - 1, batch.t[-1]))
        if last is None:
            return self.rows(batch)
        self.latest = self.copy.steps[id(self.part)].held if self.part.retimes else last.point(0)
        self.seen += batch.n
        return Batch([], [])

    def rows(self, batch: Batch) -> Batch:
        feed = self.copy.feed
        for at, (t, d) in enumerate(zip(batch.t, batch.d, strict=True)):
            try:
                self.latest = feed(t, d)
            except Failure as e:
                return Batch([], [], self.located(e, self.seen + at, t))
            except RecursionError:
                return Batch([], [], self.located(Failure("the data nests too deeply"), self.seen + at, t))
            except Ended as e:
                out = self.end()
                out.stop = e
                return out
        self.seen += batch.n
        return Batch([], [])

    def end(self) -> Batch:
        out = self.flushed()
        if out.stop is None and self.latest is not None:
            out = Batch([self.latest[0]], [self.latest[1]])
        return out


_BY_KIND: Final[dict[str, type[Stage]]] = {
    "value": _ValueStage,
    "point": _PointStage,
    "filter": _FilterStage,
    "ahead": _AheadStage,
}


class Pipeline:
    """Running stages, one behind the other."""

    def __init__(self, part: Part, run: Run) -> None:
        self.stages: list[Stage] = []
        parts = stages_of(part)
        for at, stage in enumerate(parts):
            if at == 0 and is_first(stage):
                self.stages.append(_FirstStage(stage, run))
            elif at + 1 < len(parts) and is_last(parts[at + 1]) and _TotalStage.fits(stage):
                self.stages.append(_TotalStage(stage, run))
            elif not (self.stages and is_last(stage) and isinstance(self.stages[-1], _TotalStage)):
                self.stages.append(Stage.of(stage, run))

    def feed(self, batch: Batch) -> Batch:
        """Return what *batch* gives. If it ends with a `Batch.stop`, that was all."""
        return self.through(batch)

    def feed_runs(self, runs: Sequence[Summary]) -> Batch:
        """The same for numbers of which only this is known; of a script that `fold.folds`."""
        return self.through(self.stages[0].feed_runs(runs), 1)

    def end(self) -> Batch:
        """Return what is left when no more datapoints come. To be called once, and not after a stop."""
        out = Batch([], [])
        for batch in self.rest(sys.maxsize):
            out = out.then(batch)
        return out

    def rest(self, piece: int) -> Iterator[Batch]:
        """Yield what is left when no more datapoints come, made of at most *piece* datapoints of a stage at once.

        To be called once, and not after a stop. Some may be empty.
        """
        for at, stage in enumerate(self.stages, 1):
            left = stage.end()
            stop, left.stop = left.stop, None
            for start in range(0, left.n, piece):
                whole = left.n <= piece
                out = self.through(left if whole else left.slice(start, min(start + piece, left.n)), at)
                yield out
                if out.stop is not None:
                    return
            if stop is not None:
                yield self.through(Batch([], [], stop), at)
                return

    def through(self, batch: Batch, first: int = 0) -> Batch:
        """Return what the stages from *first* on give for *batch*."""
        stop = batch.stop
        if stop is not None:
            batch = batch.slice(0, batch.n)
        for stage in self.stages[first:]:
            batch = stage.feed(batch)
            if batch.stop is None and stop is not None:
                batch = batch.then(stage.end() if isinstance(stop, Ended) else stage.settled())
            stop = batch.stop or stop
            batch.stop = None
        batch.stop = stop
        return batch


_LIGHT: Final[frozenset[Kind]] = frozenset({"float", "int", "mixed", "bool"})


def _weight(batch: Batch) -> int:
    """Return about how many bytes the texts, objects and lists among the values take."""
    if (batch.is_columns and batch.kind in _LIGHT) or HEAVY.isdisjoint(map(type, batch.d)):
        return 0
    return sum(map(weight, batch.d))


class Column:
    """What one part of an expression that looks ahead gives, for each datapoint of the stage around it.

    Attributes:
        known: What is known, and not used yet.
        now: For the datapoints that are being worked on.
        stop: What came after the last of all.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.known = Batch([], [])
        self.now = Batch([], [])
        self.stop: Exception | None = None
        self.at = -1

    def feed(self, batch: Batch) -> None:
        if self.stop is None:
            self.take(self.pipeline.feed(batch))

    def end(self) -> None:
        if self.stop is None:
            self.take(self.pipeline.end())

    def take(self, batch: Batch) -> None:
        self.stop, batch.stop = batch.stop, None
        self.known = self.known.then(batch)

    def begin(self, n: int) -> None:
        """Make the first *n* known values the next ones."""
        self.now = self.known.slice(0, n)
        self.known = self.known.slice(n, self.known.n)
        self.at = -1

    def point(self, t: float, d: Any) -> Point:
        self.at += 1
        return self.now.t[self.at], self.now.d[self.at]

    def value(self, t: float, d: Any) -> Any:
        self.at += 1
        return self.now.d[self.at]


class Builder:
    """Makes the functions of one stage.

    Attributes:
        columns: What the stage has to wait for.
        looking: The same, by the identity of the parts that look ahead.
        steps: The running transforms, by the identity of their parts.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.columns: list[Column] = []
        self.looking: dict[int, Column] = {}
        self.steps: dict[int, Any] = {}

    def column(self, part: Part) -> Column:
        column = Column(Pipeline(part, self.run))
        self.columns.append(column)
        self.looking[id(part)] = column
        return column

    def made(self, part: Part) -> Any:
        """Return what the maker of the transform makes."""
        assert part.transform is not None  # noqa: S101
        given = [RunningInner(g, self.run) if isinstance(g, Part) else g for g in part.given]
        made = self.steps[id(part)] = part.transform.started(self.run.room, given)
        return made

    def with_args(self, step: Callable[..., Any], part: Part) -> Callable[[float, Any], Any]:
        """Return *step* as a function of a datapoint, which works out the arguments."""
        args = [
            self.point(arg) if whole else self.value(arg) for arg, whole in zip(part.parts, part.whole, strict=True)
        ]
        match args:
            case []:
                return step
            case [a]:
                return lambda t, d: step(t, d, a(t, d))
            case [a, b]:
                return lambda t, d: step(t, d, a(t, d), b(t, d))
        return lambda t, d: step(t, d, *[arg(t, d) for arg in args])

    def value(self, part: Part) -> ValueStep:
        """Return the function that gives the value of *part* for a datapoint."""
        if part.constant:
            return _constant(part)
        tree = part.tree
        if part.transform is not None:
            if part.transform.kind == "ahead":
                return self.column(part).value
            step = self.with_args(self.made(part), part)
            return (lambda t, d: step(t, d)[1]) if part.transform.kind == "point" else step
        match tree:
            case Pipe():
                return self.piped(part)
            case Object(items):
                fields = [(key, self.value(value)) for (key, _), value in zip(items, part.parts, strict=True)]
                growing = [key for (key, _), value in zip(items, part.parts, strict=True) if _may_be_large(value)]
                if len(growing) > 1:
                    return self.object(fields, growing)
                return lambda t, d: {key: value(t, d) for key, value in fields}
            case Unary(op, _):
                operand = self.value(part.parts[0])
                function = _UNARY[op]
                return lambda t, d: function(operand(t, d))
            case Binary(op, _, _):
                return self.binary(op, part)
        raise TypeError(tree)

    def object(self, fields: list[tuple[str, ValueStep]], growing: list[str]) -> ValueStep:
        """Return the function that makes an object. It may hold the same data several times, and they again."""
        made = self.run.room.made

        def step(t: float, d: Any) -> dict[str, Any]:
            result = {key: value(t, d) for key, value in fields}
            large = 0
            for key in growing:
                part = result[key]
                if type(part) in HEAVY and (type(part) is not str or len(part) > SHORT):
                    large += 1
            return made(result) if large > 1 else result

        return step

    def plus(self) -> Callable[[Any, Any], Any]:
        """Return the function that adds."""
        made, plus = self.run.room.made, values.plus

        def step(a: Any, b: Any) -> Any:
            result = plus(a, b)
            return result if type(result) is float else made(result)

        return step

    def binary(self, op: str, part: Part) -> ValueStep:
        function = self.plus() if op == "+" else _BINARY[op]
        left, right = self.value(part.parts[0]), self.value(part.parts[1])
        if part.parts[1].constant and part.parts[1].failure is None:
            constant = part.parts[1].value
            return lambda t, d: function(left(t, d), constant)
        return lambda t, d: function(left(t, d), right(t, d))

    def point(self, part: Part) -> PointStep:
        """Return the function that gives the datapoint which *part* makes of one."""
        if part.retimes and not part.constant:
            if part.transform is not None:
                if part.transform.kind == "ahead":
                    return self.column(part).point
                if part.transform.kind == "point":
                    return self.with_args(self.made(part), part)
            elif part.peeks:
                return self.column(part).point
            elif isinstance(part.tree, Pipe):
                steps = [self.point(stage) for stage in part.parts]

                def piped(t: float, d: Any) -> Point:
                    for step in steps:
                        t, d = step(t, d)
                    return t, d

                return piped
        value = self.value(part)
        return lambda t, d: (t, value(t, d))

    def piped(self, part: Part) -> ValueStep:
        if part.peeks:
            return self.column(part).value
        if part.retimes:
            point = self.point(part)
            return lambda t, d: point(t, d)[1]
        steps = [self.value(stage) for stage in part.parts]
        if len(steps) == 2:
            first, second = steps
            return lambda t, d: second(t, first(t, d))

        def value(t: float, d: Any) -> Any:
            for step in steps:
                d = step(t, d)
            return d

        return value


def _may_be_large(part: Part) -> bool:
    """Return whether the value of a part may be as large as the data, or larger."""
    if part.constant or isinstance(part.tree, Unary):
        return False
    return not isinstance(part.tree, Binary) or part.tree.op == "+"


def _constant(part: Part) -> ValueStep:
    value, failure = part.value, part.failure
    if failure is None:
        return lambda t, d: value

    def fail(t: float, d: Any) -> Any:
        raise Failure(*failure.args)

    return fail


def _operation(op: str) -> Callable[..., Any]:
    return lambda *operands: apply(op, *operands)


_UNARY: Final[dict[str, Callable[[Any], Any]]] = {"not": _operation("not"), "-": values.minus}
_number_like = values.compare
_BINARY: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "-": lambda a, b: values.operand(a) - values.operand(b),
    "*": lambda a, b: values.operand(a) * values.operand(b),
    "/": values.quotient,
    "%": values.remainder,
    "^": values.power,
    "==": values.equal,
    "!=": lambda a, b: not values.equal(a, b),
    "<": lambda a, b: _number_like(a) < _number_like(b),
    "<=": lambda a, b: _number_like(a) <= _number_like(b),
    ">": lambda a, b: _number_like(a) > _number_like(b),
    ">=": lambda a, b: _number_like(a) >= _number_like(b),
    "and": _operation("and"),
    "or": _operation("or"),
}


class RunningInner(Inner):
    def __init__(self, part: Part, run: Run) -> None:
        self.part = part
        self.run = run
        self.kept = 0
        self.value: ValueStep | None = None  # of a copy that can be used again

    def new(self) -> Copy:
        self.kept += self.part.size
        room = self.run.room
        room.copies += self.part.size
        if room.copies > room.limits.script_copies_max:
            raise Failure(
                "the script keeps too many copies of its inner scripts (limit script_copies_max): split by fewer keys"
            )
        return self.renew()

    def __del__(self) -> None:
        self.run.room.copies -= self.kept  # the transform is gone, and its copies with it

    def renew(self) -> Copy:
        builder = Builder(self.run)
        return Copy(builder.point(self.part), builder.steps)  # no columns: what looks ahead was refused

    def single(self, t: float, d: Any) -> Any:
        self.run.worked(self.part.size)
        if not self.part.peeks:
            value = self.value or Builder(self.run).value(self.part)
            if self.part.stateless:
                self.value = value
            return value(t, d)
        point = self.last([(t, d)])
        if point is None:
            raise Failure("the inner script gives nothing")
        return point[1]

    def last(self, points: Sequence[Point]) -> Point | None:
        pipeline = Pipeline(self.part, self.run)
        last = None
        piece = max(1, CHECK_STEPS // self.part.size)
        for start in range(0, len(points), piece):
            some = points[start : start + piece]
            batch = pipeline.feed(Batch([t for t, _ in some], [d for _, d in some]))
            last = _last(batch) or last
            if batch.stop is not None:
                break
            self.run.worked(len(some) * self.part.size)
        else:
            batch = pipeline.end()
            last = _last(batch) or last
        if batch.stop is not None and not isinstance(batch.stop, Ended):
            error = batch.stop
            raise Failure(error.msg if isinstance(error, ScriptError) else str(error))
        return last


def _last(batch: Batch) -> Point | None:
    return (batch.t[-1], batch.d[-1]) if batch.t else None
