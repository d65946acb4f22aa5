"""The upload rule under everything that can go wrong at once, found out by hypothesis.

Real Loggers on real spools talk to a model of the server over a line that loses requests and replies, and delivers
requests late. Processes die between any two transactions, and spools are copied.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import apsw
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from upload_server import Model

from connectordb.client._transport import Reply
from connectordb.errors import Closed, ConnectFailed
from connectordb.logger import Logger
from connectordb.logger._spool import Spool

LINE = (
    *("ok",) * 8,
    "lose request",
    *("lose reply",) * 3,
    "delay",
    "die before",
    "die after",
    "too large",
    "invalid",
    "busy",
    *("another syncs before",) * 3,
    "another syncs after",
)

TRANSACTION = Spool.transaction


class Died(BaseException):
    """The process is killed here."""


class Sent(NamedTuple):
    method: str
    target: str
    body: bytes


class Line:
    """A `Transport` to the model; what happens to each request is decided beforehand."""

    url = "http://model"

    def __init__(self, world: World) -> None:
        self._world = world

    def request(
        self, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Reply:
        world = self._world
        fates = world.fates if method == "PATCH" else world.other_fates
        fate = fates.pop(0) if fates else "ok"
        sent = Sent(method, target, body or b"")
        if fate == "another syncs before":
            world.sync_another()
        if fate == "die before":
            raise Died
        if fate == "lose request":
            raise ConnectFailed("lost") if len(fates) % 2 else Closed("lost")
        if fate == "delay":
            world.delayed.append(sent)
            raise Closed("late")
        if fate == "busy":
            return Reply(503, {}, b"")
        if method == "PATCH" and sent.body != b"[]" and fate in ("too large", "invalid"):
            status, error = (413, "too_large") if fate == "too large" else (400, "invalid")
            return Reply(status, {}, b'{"code":%d,"msg":"no","ref":"","error":"%s"}' % (status, error.encode()))
        status, answer = world.server.answer(*sent)
        if fate == "another syncs after":
            world.sync_another()
        if fate == "die after":
            raise Died
        if fate == "lose reply":
            raise Closed("lost")
        return Reply(status, {}, answer)

    def close(self) -> None:
        pass


class World(RuleBasedStateMachine):
    """Two streams, up to four spools, one server."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="logger-model-"))
        self.server = Model()
        self.server.refuse = lambda value: "a multiple of 13" if value % 13 == 0 else None
        self.fates: list[str] = []  # of the next uploads
        self.other_fates: list[str] = []  # of the next other requests
        self.delayed: list[Sent] = []
        self.syncing: list[int] = []
        self.inserted: set[int] = set()
        self.copied: set[int] = set()  # were waiting when a spool was copied: both copies upload them
        self.loggers = [self._open(self.folder / "0.db") for _ in range(2)]  # two processes on one spool
        self._number = 0

    def _open(self, path: Path) -> Logger:
        def on_create(logger: Logger) -> None:
            logger.apikey = "key"
            logger.add_stream("x", {"type": "integer"})
            logger.add_stream("y", {"type": "integer"})

        line: Any = Line(self)
        return Logger(path, on_create, synchronous="normal", batch_points_max=3, transport=lambda url: line)

    def _reopen(self, k: int) -> None:
        path = Path(self.loggers[k]._path)
        self.loggers[k].close()
        with patch.object(Spool, "transaction", TRANSACTION):  # the one that dies is not this process
            self.loggers[k] = self._open(path)

    def _logger(self, k: int) -> tuple[int, Logger]:
        k %= len(self.loggers)
        return k, self.loggers[k]

    @rule(k=st.integers(0, 3), stream=st.sampled_from("xy"), n=st.integers(1, 12), t=st.integers(1, 9))
    def insert(self, k: int, stream: str, n: int, t: int) -> None:
        _, logger = self._logger(k)
        values = range(self._number, self._number + n)
        logger.insert_many({stream: [{"t": t, "d": value} for value in values]})
        self.inserted.update(values)
        self._number += n

    @rule(
        k=st.integers(0, 3),
        fates=st.lists(st.sampled_from(LINE), max_size=8),
        other_fates=st.one_of(st.just([]), st.lists(st.sampled_from(LINE), max_size=8)),
        dies_in=st.sampled_from([None] * 13 + list(range(13))),
    )
    def sync(self, k: int, fates: list[str], other_fates: list[str], dies_in: int | None) -> None:
        k, _ = self._logger(k)
        self.fates, self.other_fates = fates, other_fates
        try:
            with dying(dies_in):
                self._sync(k)
        except Died:
            self._reopen(k)
        self.fates, self.other_fates = [], []

    def _sync(self, k: int) -> None:
        self.syncing.append(k)
        try:
            self.loggers[k].sync()
        finally:
            self.syncing.pop()

    def sync_another(self) -> None:
        """Another process synchronises while the first one waits for its answer."""
        idle = [k for k in range(len(self.loggers)) if k not in self.syncing]
        if idle:
            try:
                self._sync(idle[-1])
            except Died:
                self._reopen(idle[-1])

    @rule(k=st.integers(0, 3))
    def restart(self, k: int) -> None:
        self._reopen(self._logger(k)[0])

    @rule(k=st.integers(0, 3))
    def retry_rejected(self, k: int) -> None:
        self._logger(k)[1].retry_rejected()

    @precondition(lambda self: self.delayed)
    @rule(i=st.integers(0, 10), again=st.booleans())
    def deliver(self, i: int, again: bool) -> None:
        """A request arrives that was given up long ago; perhaps not for the last time."""
        i %= len(self.delayed)
        self.server.answer(*(self.delayed[i] if again else self.delayed.pop(i)))

    @precondition(lambda self: len(self.loggers) < 4)
    @rule(k=st.integers(0, 3), second_process=st.booleans())
    def another(self, k: int, second_process: bool) -> None:
        """A second process on the same spool, or a copy of it."""
        _, logger = self._logger(k)
        path = Path(logger._path)
        if not second_process:
            waiting = logger._spool.query("SELECT d FROM rows UNION ALL SELECT d FROM rejected")
            self.copied.update(int(d) for (d,) in waiting)
            copy = path.with_name(f"{self._number}-{len(self.loggers)}.db")
            source = apsw.Connection(str(path))
            source.execute("VACUUM INTO ?", (str(copy),))
            source.close()
            path = copy
        self.loggers.append(self._open(path))

    def _stored(self) -> Counter[int]:
        return Counter(value for stream in self.server.streams.values() for value in stream.values)

    @invariant()
    def nothing_is_doubled(self) -> None:
        if hasattr(self, "server"):
            doubled = {value for value, n in self._stored().items() if n > 1}
            assert doubled <= self.copied, "doubled"

    def teardown(self) -> None:
        if not hasattr(self, "server"):
            return
        try:
            for _ in range(3):
                for logger in self.loggers:
                    logger.sync()
            assert [len(logger) for logger in self.loggers] == [0] * len(self.loggers)
            while self.delayed:
                self.server.answer(*self.delayed.pop())
            self.nothing_is_doubled()
            rejected = {r.d for logger in self.loggers for r in logger.rejected()}
            lost = self.inserted - self._stored().keys() - rejected
            assert not lost, "lost"
        finally:
            for logger in self.loggers:
                logger.close()
            shutil.rmtree(self.folder)


@contextmanager
def dying(after: int | None) -> Iterator[None]:
    """Die before or after the commit of one of the next transactions of uploads."""
    left = [after]

    @contextmanager
    def counted(spool: Spool) -> Iterator[apsw.Connection]:
        if left[0] is None:
            with TRANSACTION(spool) as connection:
                yield connection
            return
        left[0] -= 1
        with TRANSACTION(spool) as connection:
            yield connection
            if left[0] == -1:
                raise Died
        left[0] -= 1
        if left[0] == -1:
            left[0] = None
            raise Died

    with patch.object(Spool, "transaction", counted):
        yield


TestUploadRule = World.TestCase
TestUploadRule.settings = settings(
    max_examples=500 if os.environ.get("CI") else 50,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
