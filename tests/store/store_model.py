"""A store of plain dicts and lists: what the others have to behave like, and the tools to compare them."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import msgspec

from connectordb.block import Block
from connectordb.datapoint import Datapoint
from connectordb.errors import (
    AlreadyExists,
    InvalidRange,
    NotFound,
    TimestampOrder,
    Unavailable,
    UploadConflict,
)
from connectordb.query import Range
from connectordb.store.base import (
    Appended,
    Counts,
    Cursor,
    Device,
    Head,
    Mode,
    Page,
    Store,
    Stream,
    Substream,
    Transaction,
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


class _Sequence:
    """The datapoints of a substream. Each is its own object, by which it is found again."""

    def __init__(self) -> None:
        self.points: list[Datapoint] = []
        self.arrived: list[Datapoint] = []
        self.t = 0.0
        self.merges = 0
        self.uploads: dict[str, Upload] = {}


class _State:
    def __init__(self) -> None:
        self.users: dict[int, User] = {}
        self.devices: dict[int, Device] = {}
        self.streams: dict[int, Stream] = {}
        self.data: dict[tuple[int, int], _Sequence] = {}
        self.ids = 0


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
            state.data[key] = copy.copy(sequence)
            state.data[key].points = list(sequence.points)
            state.data[key].arrived = list(sequence.arrived)
            state.data[key].uploads = dict(sequence.uploads)
        try:
            result = work(_MemoryTransaction(state, self._clock))
        except BaseException as error:
            future.set_exception(error)
        else:
            self._state = state
            future.set_result(result)
        return future

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

    def head(self, stream_id: int, substream: Substream) -> Head:
        return _head(self._state, stream_id, substream)

    def index_at(self, stream_id: int, substream: Substream, t: float) -> int:
        return sum(point.t <= t for point in _sequence(self._state, stream_id, substream).points)

    def read(self, stream_id: int, substream: Substream, wanted: Range) -> Iterator[Block]:
        points = select(_sequence(self._state, stream_id, substream).points, wanted)
        if not points:
            return
        end, limit = points[-1], wanted.limit
        while points:
            page = points[: self._page_points]
            yield Block.of(page)
            now = _sequence(self._state, stream_id, substream).points
            points = now[_position(now, page[-1]) + 1 : _position(now, end) + 1]
            if limit is not None:
                limit -= len(page)
                points = points[:limit]

    def cursor_at(
        self, stream_id: int, substream: Substream, *, t: float | None = None, i: int | None = None
    ) -> Cursor:
        points = _sequence(self._state, stream_id, substream).points
        done = len(points) if t is None and i is None else sum(p.t <= t for p in points) if t is not None else 0
        if i is not None:
            done = len(points) - len(points[i:])
        return Cursor(0, len(points), done) if done < len(points) else Cursor.behind(len(points))

    def read_after(self, stream_id: int, substream: Substream, cursor: Cursor) -> Iterator[Page]:
        sequence = _sequence(self._state, stream_id, substream)
        now = len(sequence.arrived)
        if not 0 <= cursor.base <= cursor.state <= now:
            raise InvalidRange("ahead")
        for base, state, done in (cursor, Cursor(cursor.state, now)):
            new = {id(p) for p in sequence.arrived[base:state]}
            left = [p for p in sequence.points if id(p) in new][done:]
            while left:
                page, left = left[: self._page_points], left[self._page_points :]
                done += len(page)
                behind = Cursor(base, state, done) if left else Cursor.behind(state)
                yield Page(Block.of(page), _position(sequence.points, page[0]), behind)

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
    ) -> Appended:
        sequence = _sequence(self._state, stream_id, substream)
        if upload is not None:
            reply = self.find_reply(stream_id, substream, upload)
            if reply is not None:
                return Appended(-1, None, len(sequence.arrived), True, reply)
        first = -1
        arrivals = len(sequence.arrived)
        if block is not None:
            points = [copy.copy(point) for point in block.points]
            if points[0].t < sequence.t and mode == Mode.ORDERED:
                raise TimestampOrder("order")
            if mode == Mode.RESTAMP:
                points = [msgspec.structs.replace(p, t=max(p.t, sequence.t)) for p in points]
            first = sum(p.t <= points[0].t for p in sequence.points)
            sequence.merges += points[0].t < sequence.t
            sequence.points = sorted(sequence.points + points, key=lambda p: p.t)
            sequence.arrived += points
            sequence.t = sequence.points[-1].t
            block = Block.of(points)
        if upload is not None:
            sequence.uploads[upload.source] = upload
        return Appended(first, block, arrivals, False, upload.reply if upload else b"")


def _first(found: Iterator[T]) -> T | None:
    return next(found, None)


def _sequence(state: _State, stream_id: int, substream: Substream) -> _Sequence:
    try:
        return state.data[stream_id, substream]
    except KeyError:
        raise NotFound("stream") from None


def _head(state: _State, stream_id: int, substream: Substream) -> Head:
    sequence = _sequence(state, stream_id, substream)
    return Head(len(sequence.points), sequence.t, len(sequence.points), sequence.merges)


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


def _position(points: Sequence[Datapoint], wanted: Datapoint) -> int:
    return next(i for i, point in enumerate(points) if point is wanted)


def select(points: list[Datapoint], wanted: Range) -> list[Datapoint]:
    """What the range means, as a list comprehension."""
    if not wanted.by_time:
        i1, i2 = wanted.resolve(len(points))
        return points[i1:i2]
    chosen = [p for p in points if (wanted.t1 is None or p.t > wanted.t1) and (wanted.t2 is None or p.t <= wanted.t2)]
    return chosen if wanted.limit is None else chosen[: wanted.limit]


def make_streams(store: Store, count: int) -> list[int]:
    """Make a user with a device with so many streams; return their ids."""

    def work(tx: Transaction) -> list[int]:
        user = tx.create_user(User(name="alice", email="alice@example.com"))
        device = tx.create_device(Device(user_id=user.id, name="phone"))
        return [tx.create_stream(Stream(device_id=device.id, name=f"s{i}")).id for i in range(count)]

    return store.submit(work).result()


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
