"""Users, devices and streams in SQLite: reading them from any connection, writing them from the writer's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import apsw

from ..errors import AlreadyExists, LimitReached, NotFound
from ._connection import query
from ._key import STREAM_ID_MAX, key_of, place_of
from .records import Counts, Device, Stream, Substream, User

__all__ = [
    "apikey_digest",
    "counts",
    "create_device",
    "create_stream",
    "create_user",
    "delete",
    "device",
    "device_by_apikey",
    "devices",
    "email_key",
    "limited_streams",
    "path_of",
    "stream",
    "streams",
    "streams_below",
    "update_device",
    "update_stream",
    "update_user",
    "user",
    "user_by_email",
    "user_by_id",
    "users",
]

T = TypeVar("T")
Row = tuple[Any, ...]


class _Table(NamedTuple):
    """How one kind of object is stored. `fields` are those of its struct, in order, without the id."""

    name: str
    what: str
    fields: tuple[str, ...]
    fixed: frozenset[str]  # not to be changed

    @property
    def columns(self) -> str:
        return ", ".join(("id", *self.fields))


def _table(name: str, struct: type[User] | type[Device] | type[Stream], *fixed: str) -> _Table:
    return _Table(name, name[:-1], struct.__struct_fields__[1:], frozenset(("id", "name", *fixed)))


_USERS = _table("users", User)
_DEVICES = _table("devices", Device, "user_id")
_STREAMS = _table("streams", Stream, "device_id")

_USER = f"SELECT {_USERS.columns} FROM users"
_DEVICE = f"SELECT {_DEVICES.columns} FROM devices"
_STREAM = f"SELECT {_STREAMS.columns} FROM streams"


def _user(row: Row) -> User:
    id_, name, nickname, email, description, icon, role, public, password = row
    return User(
        id=id_,
        name=name,
        nickname=nickname,
        email=email,
        description=description,
        icon=icon,
        role=role,
        public=bool(public),
        password=password,
    )


def _device(row: Row) -> Device:
    id_, user_id, name, nickname, description, icon, apikey, enabled, visible, user_editable, public, role = row
    return Device(
        id=id_,
        user_id=user_id,
        name=name,
        nickname=nickname,
        description=description,
        icon=icon,
        apikey=apikey,
        enabled=bool(enabled),
        visible=bool(visible),
        user_editable=bool(user_editable),
        public=bool(public),
        role=role,
    )


def _stream(row: Row) -> Stream:
    id_, device_id, name, nickname, description, icon, schema, datatype, ephemeral, downlink, keep_s = row
    return Stream(
        id=id_,
        device_id=device_id,
        name=name,
        nickname=nickname,
        description=description,
        icon=icon,
        schema=schema,
        datatype=datatype,
        ephemeral=bool(ephemeral),
        downlink=bool(downlink),
        keep_s=keep_s,
    )


def _one(connection: apsw.Connection, make: Callable[[Row], T], sql: str, bindings: Sequence[Any]) -> T | None:
    try:
        rows = query(connection, sql, bindings)
    except UnicodeEncodeError:  # half a surrogate pair: nothing stored is called so
        return None
    return make(rows[0]) if rows else None


def _all(connection: apsw.Connection, make: Callable[[Row], T], sql: str, bindings: Sequence[Any] = ()) -> list[T]:
    return [make(row) for row in query(connection, sql, bindings)]


def user(connection: apsw.Connection, name: str) -> User | None:
    return _one(connection, _user, f"{_USER} WHERE name = ?", (name,))


def user_by_id(connection: apsw.Connection, user_id: int) -> User | None:
    return _one(connection, _user, f"{_USER} WHERE id = ?", (user_id,))


def user_by_email(connection: apsw.Connection, email: str) -> User | None:
    return _one(connection, _user, f"{_USER} WHERE email_key = ?", (email_key(email),))


def users(connection: apsw.Connection) -> list[User]:
    return _all(connection, _user, f"{_USER} ORDER BY id")


def device(connection: apsw.Connection, user_id: int, name: str) -> Device | None:
    return _one(connection, _device, f"{_DEVICE} WHERE user_id = ? AND name = ?", (user_id, name))


def device_by_apikey(connection: apsw.Connection, apikey: str) -> Device | None:
    return _one(connection, _device, f"{_DEVICE} WHERE apikey_digest = ?", (apikey_digest(apikey),))


def devices(connection: apsw.Connection, user_id: int) -> list[Device]:
    return _all(connection, _device, f"{_DEVICE} WHERE user_id = ? ORDER BY id", (user_id,))


def stream(connection: apsw.Connection, device_id: int, name: str) -> Stream | None:
    return _one(connection, _stream, f"{_STREAM} WHERE device_id = ? AND name = ?", (device_id, name))


def streams(connection: apsw.Connection, device_id: int) -> list[Stream]:
    return _all(connection, _stream, f"{_STREAM} WHERE device_id = ? ORDER BY id", (device_id,))


def limited_streams(connection: apsw.Connection) -> list[Stream]:
    return _all(connection, _stream, f"{_STREAM} WHERE keep_s > 0 ORDER BY id")


def counts(connection: apsw.Connection) -> Counts:
    sql = "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM devices), (SELECT count(*) FROM streams)"
    return Counts(*query(connection, sql)[0])


def create_user(connection: apsw.Connection, new: User) -> User:
    if user(connection, new.name) is not None:
        raise AlreadyExists(f"there is a user {new.name!r} already")
    _check_email(connection, 0, new.email)
    return _user(_insert(connection, _USERS, new, email_key=email_key(new.email)))


def create_device(connection: apsw.Connection, new: Device) -> Device:
    if not query(connection, "SELECT 1 FROM users WHERE id = ?", (new.user_id,)):
        raise NotFound("the device's user does not exist")
    if device(connection, new.user_id, new.name) is not None:
        raise AlreadyExists(f"the user has a device {new.name!r} already")
    _check_apikey(connection, 0, new.apikey)
    return _device(_insert(connection, _DEVICES, new, apikey_digest=apikey_digest(new.apikey)))


def create_stream(connection: apsw.Connection, new: Stream) -> Stream:
    if not query(connection, "SELECT 1 FROM devices WHERE id = ?", (new.device_id,)):
        raise NotFound("the stream's device does not exist")
    if stream(connection, new.device_id, new.name) is not None:
        raise AlreadyExists(f"the device has a stream {new.name!r} already")
    created = _stream(_insert(connection, _STREAMS, new))
    if created.id > STREAM_ID_MAX:
        raise LimitReached(f"a database holds at most {STREAM_ID_MAX} streams, deleted ones included")
    for substream in Substream:
        connection.execute(
            "INSERT INTO heads (substream, n, t, arrivals, merges) VALUES (?, 0, 0.0, 0, 0)",
            (key_of(created.id, substream),),
        )
    return created


def path_of(connection: apsw.Connection, key: int) -> str:
    """Return the path of the substream *key*, for messages; if it cannot be found, its id."""
    sql = (
        "SELECT users.name || '/' || devices.name || '/' || streams.name FROM streams "
        "JOIN devices ON devices.id = device_id JOIN users ON users.id = user_id WHERE streams.id = ?"
    )
    try:
        rows = query(connection, sql, (key // 2,))
    except (apsw.CorruptError, UnicodeDecodeError):
        rows = []
    name = rows[0][0] if rows else f"stream {key // 2}"
    return f"{name}/downlink" if key % 2 else str(name)


def update_user(connection: apsw.Connection, user_id: int, changes: Mapping[str, Any]) -> User:
    more = {}
    if "email" in changes:
        _check_email(connection, user_id, changes["email"])
        more["email_key"] = email_key(changes["email"])
    return _user(_update(connection, _USERS, user_id, changes, more))


def update_device(connection: apsw.Connection, device_id: int, changes: Mapping[str, Any]) -> Device:
    more = {}
    if "apikey" in changes:
        _check_apikey(connection, device_id, changes["apikey"])
        more["apikey_digest"] = apikey_digest(changes["apikey"])
    return _device(_update(connection, _DEVICES, device_id, changes, more))


def update_stream(connection: apsw.Connection, stream_id: int, changes: Mapping[str, Any]) -> Stream:
    return _stream(_update(connection, _STREAMS, stream_id, changes, {}))


def streams_below(connection: apsw.Connection, table: str, object_id: int) -> list[int]:
    """Ids of the streams that go when the row *object_id* of *table* goes."""
    where = {
        "users": "device_id IN (SELECT id FROM devices WHERE user_id = ?)",
        "devices": "device_id = ?",
        "streams": "id = ?",
    }
    sql = f"SELECT id FROM streams WHERE {where[table]} ORDER BY id"
    return [row[0] for row in query(connection, sql, (object_id,))]


def delete(connection: apsw.Connection, table: str, object_id: int, stream_ids: Sequence[int]) -> None:
    """Delete the row *object_id* of *table*, all below it, and the data of *stream_ids* (`streams_below`)."""
    deleted = query(connection, f"DELETE FROM {table} WHERE id = ? RETURNING id", (object_id,))
    if not deleted:
        raise NotFound(f"the {table[:-1]} does not exist")
    for id_ in stream_ids:
        first, behind = key_of(id_, Substream(0)), key_of(id_ + 1, Substream(0))
        _delete_data(connection, first, behind)
        connection.execute("DELETE FROM downlinks WHERE stream = ?", (id_,))


def _delete_data(connection: apsw.Connection, first: int, behind: int) -> None:
    """Delete the data of the substreams ``[first, behind)``."""
    keys, places = (first, behind), (place_of(first), place_of(behind))
    of_ledger = "SELECT id FROM corrections WHERE substream >= ? AND substream < ?"
    connection.execute(
        "DELETE FROM blocks WHERE id IN (SELECT block FROM runs WHERE place >= ? AND place < ? AND block IS NOT NULL)",
        places,
    )
    connection.execute(
        f"DELETE FROM blocks WHERE id IN (SELECT block FROM removed WHERE correction IN ({of_ledger}))", keys
    )
    connection.execute(f"DELETE FROM removed WHERE correction IN ({of_ledger})", keys)
    for table in ("heads", "receipts", "corrections"):
        connection.execute(f"DELETE FROM {table} WHERE substream >= ? AND substream < ?", keys)
    for table in ("runs", "changes"):
        connection.execute(f"DELETE FROM {table} WHERE place >= ? AND place < ?", places)


def _insert(connection: apsw.Connection, table: _Table, new: Any, **more: Any) -> Row:
    values = {field: getattr(new, field) for field in table.fields} | more
    sql = (
        f"INSERT INTO {table.name} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))}) "
        f"RETURNING {table.columns}"
    )
    return query(connection, sql, tuple(values.values()))[0]


def _update(
    connection: apsw.Connection, table: _Table, id_: int, changes: Mapping[str, Any], more: Mapping[str, Any]
) -> Row:
    unknown = changes.keys() - set(table.fields) | changes.keys() & table.fixed
    if unknown:
        raise ValueError(f"no field of a {table.what} that can change: {', '.join(sorted(unknown))}")
    values = {**changes, **more}
    sets = ", ".join(f"{field} = ?" for field in values) or "id = id"
    sql = f"UPDATE {table.name} SET {sets} WHERE id = ? RETURNING {table.columns}"
    rows = query(connection, sql, (*values.values(), id_))
    if not rows:
        raise NotFound(f"the {table.what} does not exist")
    return rows[0]


def _check_email(connection: apsw.Connection, user_id: int, email: str) -> None:
    other = user_by_email(connection, email)
    if other is not None and other.id != user_id:
        raise AlreadyExists(f"another user has the e-mail address {email!r}")


def _check_apikey(connection: apsw.Connection, device_id: int, apikey: str) -> None:
    other = device_by_apikey(connection, apikey)
    if other is not None and other.id != device_id:
        raise AlreadyExists("another device has this API key")


def email_key(email: str) -> str | None:
    """What is compared instead of the address; ``NULL`` equals nothing, so an empty one is found by nobody."""
    return email.casefold() or None


def apikey_digest(apikey: str) -> bytes | None:
    """What is compared instead of the key: how far two digests agree says nothing about the key."""
    return hashlib.sha256(apikey.encode("utf-8", "surrogatepass")).digest() if apikey else None
