"""Running a plan over batches of datapoints.

Each stage takes a `Batch` and gives a `Batch`, and keeps between them what it has to remember; at the end it gives
what it still owes. How the datapoints are cut into batches does not change what comes out.

Inside a stage, an expression is a chain of functions called with each datapoint's ``t`` and ``d``; where `kernels`
knows how, the stage works on whole columns instead, with the same state and the same result. What looks ahead cannot
be worked out so: it becomes a column of its own, a small pipeline beside the stage over the same datapoints, and the
stage takes each datapoint only when all its columns have come to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from ..errors import ScriptError
from . import values
from .columns import Batch, Kind, numpy
from .plan import Part, apply
from .registry import Ahead, Copy, Filter, Inner, Point, PointStep
from .syntax import Binary, Object, Pipe, Unary
from .values import Failure

__all__ = [
    "COLUMNS_MIN",
    "COPIES_MAX",
    "Batch",
    "Builder",
    "Ended",
    "Pipeline",
    "Run",
    "RunningInner",
    "Stage",
    "stages_of",
]

COPIES_MAX = 500_000
"""How many parts the copies of inner scripts may have together which a running script keeps (one for each key of a
`map`, for instance)."""

COLUMNS_MIN = 16
"""Fewer datapoints than this are faster done row by row."""

ValueStep = Callable[[float, Any], Any]


class Ended(Exception):
    """A transform has nothing more to give, though its input goes on. No error."""


class Run:
    """What all parts of one running script share.

    Attributes:
        columnwise: Whether stages may work on whole columns; if not, all is done row by row.
        copies: How many parts the kept copies of inner scripts have together.
    """

    __slots__ = ("columnwise", "copies")

    def __init__(self, *, columnwise: bool = True) -> None:
        self.columnwise = columnwise and numpy() is not None
        self.copies = 0


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
        self.last_words: Callable[[], Point | None] = lambda: None
        self.builder = Builder(run)
        self.build(self.builder)
        self.columns = self.builder.columns
        self.programs: dict[tuple[Kind, ...], Callable[[Batch], Batch | None] | None] = {}
        self.waiting = Batch([], [])

    @staticmethod
    def of(part: Part, run: Run) -> Stage:
        """Return *part*, running."""
        if part.transform is None:
            return _ValueStage(part, run)
        if part.transform.name == "if" and str(part.parts[0].tree) == "last":
            return _LastStage(part, run)
        return _BY_KIND[part.transform.kind](part, run)

    def build(self, builder: Builder) -> None:
        """Make the functions of this stage."""
        raise NotImplementedError

    def knows(self, kind: Kind) -> bool:
        """Return whether it can work on whole columns of *kind*."""
        if isinstance(self, _AheadStage | _LastStage):
            return True
        from .kernels import stage_program

        return stage_program(self.part, kind, self.builder) is not None

    def feed(self, batch: Batch) -> Batch:
        """Return what *batch* gives, as far as it can be known yet."""
        if not self.columns:
            return self.work(batch)
        for column in self.columns:
            column.take(column.pipeline.feed(batch))
        self.waiting = self.waiting.then(batch)
        return self.aligned()

    def work(self, batch: Batch) -> Batch:
        """Run over *batch*, over its columns as wholes where that can be done."""
        if batch.n >= COLUMNS_MIN and self.run.columnwise:
            done = self.whole(batch)
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
                column.take(column.pipeline.end())
            out = self.aligned()
        if out.stop is None:
            try:
                point = self.last_words()
            except Failure as e:
                out.stop = self.located(e, None, None)
            else:
                if point is not None:
                    out = out.then(Batch([point[0]], [point[1]]))
        return out

    def aligned(self) -> Batch:
        """Run over the waiting datapoints for which all columns are known."""
        waiting = self.waiting
        n = min(waiting.n, *(column.known.n for column in self.columns))
        self.waiting = waiting.slice(n, waiting.n)
        for column in self.columns:
            column.begin(n)
        out = self.work(waiting.slice(0, n))
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

    def located(self, failure: Failure, index: int | None, t: float | None) -> ScriptError:
        """Return the error for the user: which stage failed on which datapoint."""
        stage = str(self.part.tree)
        shown = stage if len(stage) <= 80 else stage[:77] + "..."
        where = f"datapoint {index}, t = {t}" if index is not None else "the end"
        details: dict[str, Any] = {"column": self.part.tree.column, "stage": stage}
        if index is not None:
            details |= {"index": index, "t": t}
        return ScriptError(f"{failure} (in '{shown}', at {where})", **details)


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
        out = self.ahead.many(held.slice(0, known), held.slice(n, n + known))
        self.held = held.slice(known, held.n)
        return out

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

    def end(self) -> Batch:
        return self.latest


_BY_KIND: Final[dict[str, type[Stage]]] = {
    "value": _ValueStage,
    "point": _PointStage,
    "filter": _FilterStage,
    "ahead": _AheadStage,
}


class Pipeline:
    """Running stages, one behind the other."""

    def __init__(self, part: Part, run: Run) -> None:
        self.stages = [Stage.of(p, run) for p in stages_of(part)]

    def feed(self, batch: Batch) -> Batch:
        """Return what *batch* gives. If it ends with a `Batch.stop`, that was all."""
        return self.through(batch)

    def end(self) -> Batch:
        """Return what is left when no more datapoints come. To be called once, and not after a stop."""
        over = Ended()
        batch = self.through(Batch([], [], over))
        if batch.stop is over:
            batch.stop = None
        return batch

    def through(self, batch: Batch) -> Batch:
        stop = batch.stop
        if stop is not None:
            batch = batch.slice(0, batch.n)
        for stage in self.stages:
            batch = stage.feed(batch)
            if batch.stop is None and isinstance(stop, Ended):
                batch = batch.then(stage.end())
            stop = batch.stop or stop
            batch.stop = None
        batch.stop = stop
        return batch


def stages_of(part: Part) -> Sequence[Part]:
    return part.parts if isinstance(part.tree, Pipe) and part.transform is None and not part.constant else (part,)


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
        made = self.steps[id(part)] = part.transform.make(*given)
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
                return lambda t, d: {key: value(t, d) for key, value in fields}
            case Unary(op, _):
                operand = self.value(part.parts[0])
                function = _UNARY[op]
                return lambda t, d: function(operand(t, d))
            case Binary(op, _, _):
                return self.binary(op, part)
        raise TypeError(tree)

    def binary(self, op: str, part: Part) -> ValueStep:
        function = _BINARY[op]
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
    "+": values.plus,
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

    def new(self) -> Copy:
        self.kept += self.part.size
        self.run.copies += self.part.size
        if self.run.copies > COPIES_MAX:
            raise Failure("the script keeps too many copies of its inner scripts: split by fewer keys")
        return self.renew()

    def __del__(self) -> None:
        self.run.copies -= self.kept  # the transform is gone, and its copies with it

    def renew(self) -> Copy:
        builder = Builder(self.run)
        return Copy(builder.point(self.part), builder.steps)  # no columns: what looks ahead was refused

    def single(self, t: float, d: Any) -> Any:
        if not self.part.peeks:
            return Builder(self.run).value(self.part)(t, d)
        point = self.last([(t, d)])
        if point is None:
            raise Failure("the inner script gives nothing")
        return point[1]

    def last(self, points: Sequence[Point]) -> Point | None:
        pipeline = Pipeline(self.part, self.run)
        batch = pipeline.feed(Batch([t for t, _ in points], [d for _, d in points]))
        last = _last(batch)
        if batch.stop is None:
            batch = pipeline.end()
            last = _last(batch) or last
        if batch.stop is not None and not isinstance(batch.stop, Ended):
            error = batch.stop
            raise Failure(error.msg if isinstance(error, ScriptError) else str(error))
        return last


def _last(batch: Batch) -> Point | None:
    return (batch.t[-1], batch.d[-1]) if batch.t else None
