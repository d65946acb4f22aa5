"""A store of plain dicts and lists: what the others have to behave like, and the tools to compare them."""

from __future__ import annotations

import copy
import random
import time
from base64 import b85encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

import msgspec

from connectordb.block import Block
from connectordb.datapoint import Datapoint
from connectordb.errors import (
    AlreadyExists,
    Conflict,
    InvalidRange,
    NotFound,
    TimestampOrder,
    Unavailable,
    UploadConflict,
)
from connectordb.query import Range
from connectordb.store._canonical import canonical
from connectordb.store.base import Store, Transaction
from connectordb.store.records import (
    Appended,
    Correction,
    CorrectionKind,
    Counts,
    Cursor,
    Device,
    Head,
    Mode,
    Page,
    Stream,
    Substream,
    Upload,
    User,
)

T = TypeVar("T")


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class _Stored(NamedTuple):
    """A datapoint, and the number by which it is found again. One that is deleted and comes back has a new one."""

    id: int
    point: Datapoint


class _Commit(NamedTuple):
    """A state, the numbers of the datapoints that there were, and of those that had come last."""

    state: int
    ids: list[int]
    new: list[int]


class _Sequence:
    """The datapoints of a substream, and all states that it had."""

    def __init__(self) -> None:
        self.points: list[_Stored] = []
        self.commits = [_Commit(0, [], [])]
        self.merges = 0
        self.uploads: dict[str, Upload] = {}
        self.corrections: dict[int, Correction] = {}
        self.removed: dict[int, list[_Stored]] = {}
        self.updated: dict[int, int] = {}  # an update: the number of the datapoint
        self.before: dict[int, int] = {}  # a correction: the state before
        self.again: dict[int, int] = {}  # one that was deleted and came back: its new number
        self.born: dict[int, Datapoint] = {}  # as they were when they came
        self.count = 0

    def copy(self) -> _Sequence:
        made = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, list | dict):
                setattr(made, name, copy.copy(value))
        return made

    @property
    def t(self) -> float:
        return self.points[-1].point.t if self.points else 0.0

    @property
    def state(self) -> int:
        return self.commits[-1].state

    @property
    def datapoints(self) -> list[Datapoint]:
        return [stored.point for stored in self.points]

    def new(self, points: Iterable[Datapoint]) -> list[_Stored]:
        made = []
        for point in points:
            self.count += 1
            made.append(_Stored(self.count, point))
            self.born[self.count] = point
        return made

    def commit(self, new: list[_Stored] | None = None) -> None:
        """Note the present as the next state; *new*: what has come since the last, ``None``: a correction."""
        steps = 1 if new is None else len(new)
        self.commits.append(_Commit(self.state + steps, [p.id for p in self.points], [p.id for p in new or ()]))

    def at(self, state: int) -> list[int]:
        """The numbers of the datapoints that there were."""
        commit = next(commit for commit in self.commits if commit.state >= state)
        not_yet = set(commit.new[len(commit.new) - (commit.state - state) :] if commit.state > state else ())
        return [id_ for id_ in commit.ids if id_ not in not_yet]

    def behind(self, ids: list[int]) -> int:
        """The index right behind what is left of *ids*."""
        left = set(ids)
        return max((i for i, stored in enumerate(self.points, 1) if stored.id in left), default=0)

    def place(self, id_: int) -> int | None:
        """The index of a datapoint."""
        while id_ in self.again:
            id_ = self.again[id_]
        return next((i for i, stored in enumerate(self.points) if stored.id == id_), None)


class _State:
    def __init__(self) -> None:
        self.users: dict[int, User] = {}
        self.devices: dict[int, Device] = {}
        self.streams: dict[int, Stream] = {}
        self.data: dict[tuple[int, int], _Sequence] = {}
        self.ids = 0
        self.correction_ids = 0


class MemoryStore:
    """`Store` in memory. A work runs where it is submitted, on a copy that becomes the state if it succeeds."""

    def __init__(self, *, clock: Callable[[], float] = time.time, page_points: int = 3) -> None:
        self._state = _State()
        self._clock = clock
        self._page_points = page_points
        self._closed = False

    def begin(self, work: Callable[[Transaction], T], done: Callable[[T | None, BaseException | None], None]) -> None:
        future = self.submit(work)
        error = future.exception()
        done(None if error else future.result(), error)

    def submit(self, work: Callable[[Transaction], T]) -> Future[T]:
        future: Future[T] = Future()
        if self._closed:
            future.set_exception(Unavailable("closed"))
            return future
        state = copy.copy(self._state)
        state.users, state.devices, state.streams = dict(state.users), dict(state.devices), dict(state.streams)
        state.data = {}
        for key, sequence in self._state.data.items():
            state.data[key] = sequence.copy()
        try:
            result = work(_MemoryTransaction(state, self._clock))
        except BaseException as error:
            future.set_exception(error)
        else:
            self._state = state
            future.set_result(result)
        return future

    def sequence(self, stream_id: int, substream: Substream = Substream.MAIN) -> _Sequence:
        """All that is known of a substream."""
        return _sequence(self._state, stream_id, substream)

    def user(self, name: str) -> User | None:
        return _first(u for u in self._state.users.values() if u.name == name)

    def user_by_id(self, user_id: int) -> User | None:
        return self._state.users.get(user_id)

    def user_by_email(self, email: str) -> User | None:
        same = email.casefold()
        return _first(u for u in self._state.users.values() if email and u.email.casefold() == same)

    def users(self) -> list[User]:
        return list(self._state.users.values())

    def device(self, user_id: int, name: str) -> Device | None:
        return _first(d for d in self.devices(user_id) if d.name == name)

    def device_by_apikey(self, apikey: str) -> Device | None:
        return _first(d for d in self._state.devices.values() if apikey and d.apikey == apikey)

    def devices(self, user_id: int) -> list[Device]:
        return [d for d in self._state.devices.values() if d.user_id == user_id]

    def stream(self, device_id: int, name: str) -> Stream | None:
        return _first(s for s in self.streams(device_id) if s.name == name)

    def streams(self, device_id: int) -> list[Stream]:
        return [s for s in self._state.streams.values() if s.device_id == device_id]

    def counts(self) -> Counts:
        return Counts(len(self._state.users), len(self._state.devices), len(self._state.streams))

    def limited_streams(self) -> list[Stream]:
        return [stream for stream in self._state.streams.values() if stream.keep_s]

    def head(self, stream_id: int, substream: Substream) -> Head:
        return _head(self._state, stream_id, substream)

    def heads(self, device_id: int) -> dict[int, Head]:
        return {stream.id: self.head(stream.id, Substream.MAIN) for stream in self.streams(device_id)}

    def index_at(self, stream_id: int, substream: Substream, t: float) -> int:
        return _index_at(_sequence(self._state, stream_id, substream), t)

    def read(self, stream_id: int, substream: Substream, wanted: Range) -> Iterator[Block]:
        sequence = _sequence(self._state, stream_id, substream)
        i, stop = bounds(sequence.datapoints, wanted)
        limit = wanted.limit
        while i < stop:
            ids = [stored.id for stored in sequence.points]
            page = sequence.datapoints[i : min(stop, i + self._page_points)]
            i += len(page)
            yield Block.of(page)
            sequence = _sequence(self._state, stream_id, substream)
            i, stop = sequence.behind(ids[:i]), sequence.behind(ids[:stop])
            while i < stop and sequence.points[i].point.t < page[-1].t:
                i += 1
            if limit is not None:
                limit -= len(page)
                stop = min(stop, i + limit)

    def cursor_at(
        self, stream_id: int, substream: Substream, *, t: float | None = None, i: int | None = None
    ) -> Cursor:
        sequence = _sequence(self._state, stream_id, substream)
        points = sequence.datapoints
        done = len(points) if t is None and i is None else sum(p.t <= t for p in points) if t is not None else 0
        if i is not None:
            done = len(points) - len(points[i:])
        return Cursor(0, sequence.state, done) if done < len(points) else Cursor.behind(sequence.state)

    def read_after(self, stream_id: int, substream: Substream, cursor: Cursor) -> Iterator[Page]:
        sequence = _sequence(self._state, stream_id, substream)
        now = sequence.state
        if not 0 <= cursor.base <= cursor.state <= now:
            raise InvalidRange("ahead")
        for base, state, done in (cursor, Cursor(cursor.state, now)):
            seen = set(sequence.at(base))
            ranked = list(enumerate(id_ for id_ in sequence.at(state) if id_ not in seen))[done:]
            there = {stored.id: (i, stored.point) for i, stored in enumerate(sequence.points)}
            left = [(rank, *there[id_]) for rank, id_ in ranked if id_ in there]
            while left:
                page, left = left[: self._page_points], left[self._page_points :]
                behind = Cursor(base, state, page[-1][0] + 1) if left else Cursor.behind(state)
                yield Page(Block.of([point for _, _, point in page]), page[0][1], behind)

    def corrections(
        self, stream_id: int, substream: Substream, *, before: int | None = None, limit: int
    ) -> list[Correction]:
        found = _sequence(self._state, stream_id, substream).corrections.values()
        return [c for c in sorted(found, reverse=True) if before is None or c.id < before][:limit]

    def corrected(self, stream_id: int, substream: Substream, correction_id: int) -> Iterator[Block]:
        sequence = _sequence(self._state, stream_id, substream)
        if correction_id not in sequence.corrections:
            raise NotFound("correction")
        points = [stored.point for stored in sequence.removed.get(correction_id, ())]
        for start in range(0, len(points), self._page_points):
            yield Block.of(points[start : start + self._page_points])

    def close(self) -> None:
        self._closed = True


class _MemoryTransaction:
    def __init__(self, state: _State, clock: Callable[[], float]) -> None:
        self._state = state
        self._clock = clock

    def _id(self) -> int:
        self._state.ids += 1
        return self._state.ids

    def create_user(self, user: User) -> User:
        for other in self._state.users.values():
            if other.name == user.name or (user.email and other.email.casefold() == user.email.casefold()):
                raise AlreadyExists("user")
        created = msgspec.structs.replace(user, id=self._id())
        self._state.users[created.id] = created
        return created

    def create_device(self, device: Device) -> Device:
        if device.user_id not in self._state.users:
            raise NotFound("user")
        for other in self._state.devices.values():
            if (other.user_id, other.name) == (device.user_id, device.name):
                raise AlreadyExists("device")
            if device.apikey and other.apikey == device.apikey:
                raise AlreadyExists("key")
        created = msgspec.structs.replace(device, id=self._id())
        self._state.devices[created.id] = created
        return created

    def create_stream(self, stream: Stream) -> Stream:
        if stream.device_id not in self._state.devices:
            raise NotFound("device")
        if any(s.name == stream.name for s in self.streams(stream.device_id)):
            raise AlreadyExists("stream")
        created = msgspec.structs.replace(stream, id=self._id())
        self._state.streams[created.id] = created
        for substream in Substream:
            self._state.data[created.id, substream] = _Sequence()
        return created

    def update_user(self, user_id: int, changes: Mapping[str, Any]) -> User:
        for other in self._state.users.values():
            email = changes.get("email", "")
            if email and other.id != user_id and other.email.casefold() == email.casefold():
                raise AlreadyExists("email")
        return _update(self._state.users, user_id, changes)

    def update_device(self, device_id: int, changes: Mapping[str, Any]) -> Device:
        for other in self._state.devices.values():
            if changes.get("apikey") and other.id != device_id and other.apikey == changes["apikey"]:
                raise AlreadyExists("apikey")
        return _update(self._state.devices, device_id, changes)

    def update_stream(self, stream_id: int, changes: Mapping[str, Any]) -> Stream:
        return _update(self._state.streams, stream_id, changes)

    def delete_user(self, user_id: int) -> None:
        _delete(self._state.users, user_id)
        for device in self.devices(user_id):
            self.delete_device(device.id)

    def delete_device(self, device_id: int) -> None:
        _delete(self._state.devices, device_id)
        for stream in self.streams(device_id):
            self.delete_stream(stream.id)

    def delete_stream(self, stream_id: int) -> None:
        _delete(self._state.streams, stream_id)
        for substream in Substream:
            del self._state.data[stream_id, substream]

    def devices(self, user_id: int) -> list[Device]:
        return [d for d in self._state.devices.values() if d.user_id == user_id]

    def streams(self, device_id: int) -> list[Stream]:
        return [s for s in self._state.streams.values() if s.device_id == device_id]

    def counts(self) -> Counts:
        return Counts(len(self._state.users), len(self._state.devices), len(self._state.streams))

    def head(self, stream_id: int, substream: Substream) -> Head:
        return _head(self._state, stream_id, substream)

    def find_reply(self, stream_id: int, substream: Substream, upload: Upload) -> bytes | None:
        seen = _sequence(self._state, stream_id, substream).uploads.get(upload.source)
        if seen is None or (seen.expires is not None and seen.expires <= self._clock()):
            return None
        if (seen.last, seen.digest) == (upload.last, upload.digest):
            return seen.reply
        if upload.first <= seen.last:
            raise UploadConflict("overlap")
        return None

    def append(
        self,
        stream_id: int,
        substream: Substream,
        block: Block | None,
        mode: Mode = Mode.ORDERED,
        upload: Upload | None = None,
        *,
        skip_known: bool = False,
    ) -> Appended:
        sequence = _sequence(self._state, stream_id, substream)
        arrivals = sequence.state
        if upload is not None:
            reply = self.find_reply(stream_id, substream, upload)
            if reply is not None:
                return Appended(-1, None, arrivals, True, reply)
        first = -1
        if block is not None:
            points = [copy.copy(point) for point in block.points]
            if skip_known:
                points = [p for p in points if not any(_same(p, other) for other in sequence.datapoints)]
            block = Block.of(points) if points else None
        if block is not None:
            if points[0].t < sequence.t and mode == Mode.ORDERED:
                raise TimestampOrder("order")
            if mode == Mode.RESTAMP:
                points = [msgspec.structs.replace(p, t=max(p.t, sequence.t)) for p in points]
            first = sum(p.t <= points[0].t for p in sequence.datapoints)
            sequence.merges += points[0].t < sequence.t
            self._merge(sequence, sequence.new(points))
            block = Block.of(points)
        if upload is not None:
            sequence.uploads[upload.source] = upload
        return Appended(first, block, arrivals, False, upload.reply if upload else b"")

    def _merge(self, sequence: _Sequence, new: list[_Stored]) -> None:
        sequence.points = sorted(sequence.points + new, key=lambda stored: stored.point.t)
        sequence.commit(new)

    def index_at(self, stream_id: int, substream: Substream, t: float) -> int:
        return _index_at(_sequence(self._state, stream_id, substream), t)

    def is_value(self, stream_id: int, substream: Substream, i: int, d: bytes) -> bool:
        found = _sequence(self._state, stream_id, substream).points[i].point.d
        return canonical(msgspec.json.encode(found)) == canonical(d)

    def _enter(self, sequence: _Sequence, correction: Correction, removed: list[_Stored]) -> Correction:
        self._state.correction_ids += 1
        correction = correction._replace(id=self._state.correction_ids)
        sequence.corrections[correction.id] = correction
        sequence.before[correction.id] = sequence.state
        if correction.kept:
            sequence.removed[correction.id] = removed
        sequence.merges += 1
        return correction

    def delete_points(
        self, stream_id: int, substream: Substream, i1: int, i2: int, *, by: str, why: str = "", keep: bool = True
    ) -> Correction:
        sequence = _sequence(self._state, stream_id, substream)
        if not 0 <= i1 < i2 <= len(sequence.points):
            raise InvalidRange("no such datapoints")
        gone = sequence.points[i1:i2]
        t1, t2 = gone[0].point.t, gone[-1].point.t
        done = Correction(0, CorrectionKind.DELETED, self._clock(), by, why, i1, i2 - i1, t1, t2, keep)
        done = self._enter(sequence, done, gone)
        if not keep:
            for one in list(sequence.corrections.values()):
                if one.kept and one.kind != CorrectionKind.DELETED and t1 <= one.t1 <= t2:
                    sequence.corrections[one.id] = one._replace(kept=False)
                    del sequence.removed[one.id]
        del sequence.points[i1:i2]
        sequence.commit()
        return done

    def update_point(
        self, stream_id: int, substream: Substream, i: int, d: bytes, *, by: str, why: str = ""
    ) -> Correction:
        sequence = _sequence(self._state, stream_id, substream)
        if not 0 <= i < len(sequence.points):
            raise InvalidRange("no such datapoint")
        t = sequence.points[i].point.t
        done = Correction(0, CorrectionKind.UPDATED, self._clock(), by, why, i, 1, t, t, True)
        return self._update_point(sequence, done, msgspec.json.decode(d))

    def _update_point(self, sequence: _Sequence, done: Correction, d: Any) -> Correction:
        old = sequence.points[done.i]
        done = self._enter(sequence, done, [old])
        if done.kind == CorrectionKind.UPDATED:
            sequence.updated[done.id] = old.id
        sequence.points[done.i] = _Stored(old.id, msgspec.structs.replace(old.point, d=d))
        sequence.commit()
        return done

    def forget_corrected(self, stream_id: int, substream: Substream, t: float, limit: int) -> int:
        sequence = _sequence(self._state, stream_id, substream)
        old = [c for c in sequence.corrections.values() if c.kept and c.t2 <= t][:limit]
        for correction in old:
            sequence.corrections[correction.id] = correction._replace(kept=False)
            del sequence.removed[correction.id]
        return len(old)

    def undo(self, stream_id: int, substream: Substream, correction_id: int, *, by: str, why: str = "") -> Correction:
        sequence = _sequence(self._state, stream_id, substream)
        if correction_id not in sequence.corrections:
            raise NotFound("correction")
        undone = sequence.corrections[correction_id]
        if undone.undone is not None:
            raise Conflict("undone already")
        if undone.kind == CorrectionKind.UNDONE:
            raise Conflict("itself an undo")
        if not undone.kept:
            raise Conflict("not kept")
        removed = sequence.removed[correction_id]
        done = undone._replace(kind=CorrectionKind.UNDONE, at=self._clock(), by=by, why=why, undoes=correction_id)
        if undone.kind == CorrectionKind.DELETED:
            done = self._undelete(sequence, done._replace(kept=False), removed)
        else:
            i = sequence.place(removed[0].id)
            if i is None:
                raise Conflict("not there any more")
            for later, id_ in sequence.updated.items():
                in_force = sequence.corrections[later].undone is None
                if later > correction_id and in_force and sequence.place(id_) == i:
                    raise Conflict("updated again since")
            done = self._update_point(sequence, done._replace(i=i), removed[0].point.d)
        sequence.corrections[correction_id] = undone._replace(undone=done.id, kept=False)
        del sequence.removed[correction_id]
        return done

    def _undelete(self, sequence: _Sequence, done: Correction, removed: list[_Stored]) -> Correction:
        assert done.undoes is not None
        before = sequence.at(sequence.before[done.undoes])
        i = sequence.behind(before[: done.i])
        new = sequence.new(stored.point for stored in removed)
        sequence.again.update({old.id: one.id for old, one in zip(removed, new, strict=True)})
        times = [point.t for point in sequence.datapoints]
        if (i == 0 or times[i - 1] <= done.t1) and (i == len(times) or done.t2 <= times[i]):
            done = self._enter(sequence, done._replace(i=i), [])
            sequence.points[i:i] = new
            sequence.commit(new)
        else:
            done = self._enter(sequence, done._replace(i=_index_at(sequence, done.t1)), [])
            self._merge(sequence, new)
        return done


def _first(found: Iterator[T]) -> T | None:
    return next(found, None)


def _sequence(state: _State, stream_id: int, substream: Substream) -> _Sequence:
    try:
        return state.data[stream_id, substream]
    except KeyError:
        raise NotFound("stream") from None


def _head(state: _State, stream_id: int, substream: Substream) -> Head:
    sequence = _sequence(state, stream_id, substream)
    return Head(len(sequence.points), sequence.t, sequence.state, sequence.merges)


def _index_at(sequence: _Sequence, t: float) -> int:
    return sum(point.t <= t for point in sequence.datapoints)


def _update(objects: dict[int, T], id_: int, changes: Mapping[str, Any]) -> T:
    if id_ not in objects:
        raise NotFound("object")
    fields = set(objects[id_].__struct_fields__) - {"id", "name", "user_id", "device_id"}  # type: ignore[attr-defined]
    if changes.keys() - fields:
        raise ValueError("no field that can change")
    objects[id_] = msgspec.structs.replace(objects[id_], **changes)  # type: ignore[type-var]
    return objects[id_]


def _delete(objects: dict[int, T], id_: int) -> None:
    if id_ not in objects:
        raise NotFound("object")
    del objects[id_]


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal as JSON."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def _same(a: Datapoint, b: Datapoint) -> bool:
    return a.t == b.t and _typed(a.d) == _typed(b.d)


def _typed(d: Any) -> Any:
    """*d* so that ``1`` equals ``1.0`` and not ``true``."""
    if isinstance(d, dict):
        return {key: _typed(value) for key, value in d.items()}
    if isinstance(d, list):
        return [_typed(value) for value in d]
    return (isinstance(d, bool), d)


def select(points: list[Datapoint], wanted: Range) -> list[Datapoint]:
    """What the range means."""
    i, stop = bounds(points, wanted)
    return points[i:stop]


def bounds(points: list[Datapoint], wanted: Range) -> tuple[int, int]:
    """Which half-open range of indices the range means."""
    if not wanted.by_time:
        return wanted.resolve(len(points))
    chosen = [
        i
        for i, p in enumerate(points)
        if (wanted.t1 is None or p.t > wanted.t1) and (wanted.t2 is None or p.t <= wanted.t2)
    ]
    if wanted.limit is not None:
        chosen = chosen[: wanted.limit]
    return (chosen[0], chosen[-1] + 1) if chosen else (0, 0)


def make_streams(store: Store, count: int) -> list[int]:
    """Make a user with a device with so many streams; return their ids."""

    def work(tx: Transaction) -> list[int]:
        user = tx.create_user(User(name="alice", email="alice@example.com"))
        device = tx.create_device(Device(user_id=user.id, name="phone"))
        return [tx.create_stream(Stream(device_id=device.id, name=f"s{i}")).id for i in range(count)]

    return store.submit(work).result()


def noise(number: int, length: int) -> str:
    """Return a text that takes nearly as much space packed: always the same one for a number."""
    return b85encode(random.Random(number).randbytes(length * 4 // 5)).decode()


def block(*points: tuple[float, Any]) -> Block:
    """A block of datapoints (t, d)."""
    return Block.of([Datapoint(t, d) for t, d in points])


def values(
    store: Store, stream_id: int, wanted: Range | None = None, substream: Substream = Substream.MAIN
) -> list[tuple[float, Any]]:
    """All datapoints (t, d) of a range, after checking that each block describes itself rightly."""
    found = []
    for one in store.read(stream_id, substream, wanted or Range()):
        points = msgspec.json.decode(b"[" + one.json + b"]", type=list[Datapoint])
        assert (one.n, one.t1, one.t2) == (len(points), points[0].t, points[-1].t)
        found += [(p.t, p.d) for p in points]
    return found


def unseen(
    store: Store, stream_id: int, cursor: Cursor, substream: Substream = Substream.MAIN
) -> tuple[list[tuple[float, Any]], Cursor]:
    """All datapoints (t, d) that a reader at *cursor* has not seen, and where it is then."""
    found = []
    for page in store.read_after(stream_id, substream, cursor):
        points = msgspec.json.decode(b"[" + page.block.json + b"]", type=list[Datapoint])
        assert (page.block.n, page.block.t1, page.block.t2) == (len(points), points[0].t, points[-1].t)
        found += [(p.t, p.d) for p in points]
        cursor = page.cursor
    return found, cursor


def appending(
    stream_id: int,
    new: Block | None,
    mode: Mode = Mode.ORDERED,
    upload: Upload | None = None,
    substream: Substream = Substream.MAIN,
) -> Callable[[Transaction], Appended]:
    """The work of an append."""
    return lambda tx: tx.append(stream_id, substream, new, mode, upload)


def insert(
    store: Store,
    stream_id: int,
    new: Block | None,
    mode: Mode = Mode.ORDERED,
    upload: Upload | None = None,
    substream: Substream = Substream.MAIN,
) -> Appended:
    """Append, and wait for it."""
    return store.submit(appending(stream_id, new, mode, upload, substream)).result()


def create_user(store: Store, name: str, email: str) -> User:
    """Create a user, and wait for it."""
    return store.submit(lambda tx: tx.create_user(User(name=name, email=email))).result()


def create_device(store: Store, user_id: int, name: str, apikey: str = "") -> Device:
    """Create a device, and wait for it."""
    return store.submit(lambda tx: tx.create_device(Device(user_id=user_id, name=name, apikey=apikey))).result()
