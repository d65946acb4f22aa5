"""Users, devices and streams to and from a folder of JSON files.

::

    DIRECTORY/connectordb.json                 {"Version": 1, "ConnectorDB": version of the server}
    DIRECTORY/USER/user.json                   the fields of the user
    DIRECTORY/USER/DEVICE/device.json          the fields of the device, its API key included
    DIRECTORY/USER/DEVICE/STREAM/stream.json   the fields of the stream
    DIRECTORY/USER/DEVICE/STREAM/data.json     array of datapoints
    DIRECTORY/USER/DEVICE/STREAM/downlink.json the same, of a downlink

It is the form of ConnectorDB 0.3, whose client reads what this one writes, and the other way round. Data goes through
in pages, whatever its length. What is exported appears under its name when it is complete; what is imported is deleted
again if the import fails midway. As API keys are among it, only the user who exports may read the folders and files.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from os import PathLike, urandom
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ..errors import ConnectFailed, ConnectorDBError, InvalidValue, TransportError
from ..paths import check_name
from ..query import Range
from . import _calls
from ._calls import Fields, Point
from ._device import Device
from ._jsonarray import create_private, read_array, write_array
from ._object import ConnectorObject
from ._progress import progress
from ._session import ROOT, Credentials, Session
from ._stream import PAGE_POINTS, Stream
from ._user import User

__all__ = [
    "FORMAT_VERSION",
    "Plan",
    "create_user",
    "empty_user",
    "export_device",
    "export_stream",
    "export_user",
    "import_device",
    "import_stream",
    "import_users",
    "is_untouched",
    "plan_users",
    "refill_user",
]

FORMAT_VERSION = 1
_PRIVATE = 0o700
"""Mode of the folders: what is in them opens the devices that it came from."""
_USER, _META, _LOG = "user", "meta", "log"
"""The devices that each user has, and the stream of the second in which the server keeps its log."""


# -- export ----------------------------------------------------------------------------------------------------------


def export_user(user: User, directory: str | PathLike[str]) -> None:
    """See `User.export`."""
    base = Path(directory)
    version_file = base / "connectordb.json"
    if version_file.exists():
        _check_version(version_file)
    else:
        version = user._session.run(_calls.version())
        base.mkdir(_PRIVATE, parents=True, exist_ok=True)
        _write_json(version_file, {"Version": FORMAT_VERSION, "ConnectorDB": version})
    with _new_folder(base / check_name(user.name)) as folder:
        _write_fields(folder / "user.json", user)
        for device in user.devices():
            _write_device(device, folder / check_name(device.name))


def export_device(device: Device, directory: str | PathLike[str]) -> None:
    """See `Device.export`."""
    with _new_folder(Path(directory)) as folder:
        _write_device(device, folder)


def export_stream(stream: Stream, directory: str | PathLike[str]) -> None:
    """See `Stream.export`."""
    with _new_folder(Path(directory)) as folder:
        _write_stream(stream, folder)


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to write to, which gets the name *folder* when all is written, and is deleted on failure."""
    folder = folder.absolute()
    if folder.exists():
        raise FileExistsError(f"{folder} exists already")
    partial = folder.with_name(f".{folder.name}.{urandom(4).hex()}.partial")
    partial.mkdir(_PRIVATE, parents=True)
    try:
        yield partial
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _write_device(device: Device, folder: Path) -> None:
    folder.mkdir(_PRIVATE, exist_ok=True)
    _write_fields(folder / "device.json", device)
    for stream in device.streams():
        _write_stream(stream, folder / check_name(stream.name))


def _write_stream(stream: Stream, folder: Path) -> None:
    folder.mkdir(_PRIVATE, exist_ok=True)
    _write_fields(folder / "stream.json", stream)
    write_array(folder / "data.json", _pages(stream, downlink=False))
    if stream.downlink:
        write_array(folder / "downlink.json", _pages(stream, downlink=True))


def _pages(stream: Stream, *, downlink: bool) -> Iterator[list[msgspec.Raw]]:
    """All datapoints of *stream* as it is now, as the server wrote them."""
    session, n = stream._session, stream.length(downlink)
    with progress(f"export {stream.path}", n) as advance:
        i1 = 0
        while i1 < n:
            page = session.run(
                _calls.raw_points(stream.path, Range(i1=i1, i2=min(i1 + PAGE_POINTS, n)), downlink=downlink)
            )
            if not page:
                raise ConnectorDBError(f"'{stream.path}' became shorter while it was exported")
            yield page
            i1 += len(page)
            advance(len(page))


def _write_fields(path: Path, thing: ConnectorObject) -> None:
    _write_json(path, {**thing.data, "name": thing.name})


def _write_json(path: Path, value: Any) -> None:
    with create_private(path) as file:
        file.write(json.dumps(value).encode())


# -- import ----------------------------------------------------------------------------------------------------------


class Plan(NamedTuple):
    """What a folder says is to be created: a user, a device or a stream, with the *children* in it."""

    folder: Path
    name: str
    fields: Fields
    children: list[Plan]


def import_users(session: Session, directory: str | PathLike[str]) -> None:
    """See `ConnectorDB.import_users`."""
    complete: list[str] = []
    for plan in plan_users(directory):
        try:
            create_user(User(session, plan.name), plan)
        except BaseException as e:
            if complete:
                e.add_note(f"Imported completely: {', '.join(complete)}.")
            raise
        complete.append(plan.name)


def import_device(user: User, directory: str | PathLike[str]) -> None:
    """See `User.import_device`."""
    plan = _plan(Path(directory), "device.json", "stream.json")
    _import_device(user[plan.name], plan)


def import_stream(device: Device, directory: str | PathLike[str]) -> None:
    """See `Device.import_stream`."""
    plan = _plan(Path(directory), "stream.json")
    _import_stream(device[plan.name], plan)


def plan_users(directory: str | PathLike[str]) -> list[Plan]:
    """Read what users *directory* holds, without the data.

    Raises:
        FileNotFoundError: this is no folder of exported users.
        InvalidValue: a file in it cannot be understood, was written by a later version, or two are of the same name.
    """
    base = Path(directory)
    _check_version(base / "connectordb.json")
    return _plans(base, "user.json", "device.json", "stream.json")


def create_user(user: User, plan: Plan, begun: Callable[[], object] = lambda: None) -> None:
    """Create *user* as *plan* says, with all data. If that fails, it is deleted again.

    Args:
        user: It must not exist. Its password is its name, unless the plan gives one.
        plan: One of `plan_users`.
        begun: Called when the user is there, and has nothing yet.
    """
    with _created(user):
        user._create({"password": user.name, **plan.fields})
    with _deleted_on_failure([user]):
        begun()
        for device in plan.children:
            _import_device(user[device.name], device)


def is_untouched(user: User) -> bool:
    """Whether *user* has no more than each user has from the beginning: no other devices, and no streams."""
    return {device.name for device in user.devices()} == {_USER, _META} and not _streams_beyond(user)


def empty_user(user: User) -> None:
    """Delete all devices and streams of *user* but those that each user has. It is then `is_untouched`."""
    for device in user.devices():
        if device.name not in (_USER, _META):
            device.delete()
    for stream in _streams_beyond(user):
        stream.delete()


def refill_user(user: User, plan: Plan, *, keep_role: bool) -> None:
    """Bring *user*, who is untouched, to what *plan* says, with all data. Its password stays.

    If that fails, it is emptied again and gets back the fields it had.

    Args:
        user: One that `is_untouched`.
        plan: One of `plan_users`.
        keep_role: Leave its role as it is.
    """
    of_user = plan._replace(
        fields={k: v for k, v in plan.fields.items() if k != "password" and not (keep_role and k == "role")}
    )
    things: list[ConnectorObject] = [user, user[_USER]]
    before = [dict(thing.data) for thing in things]
    try:
        _set_what_differs(user, of_user)
        # The log comes last: it is the only thing of which nothing can be taken back.
        for device in sorted(plan.children, key=lambda device: device.name == _META):
            _import_device(user[device.name], device)
    except BaseException as e:
        try:
            empty_user(user)
            for thing, fields in reversed(list(zip(things, before, strict=True))):
                thing.refresh()
                _set_what_differs(thing, of_user._replace(fields=fields))
        except ConnectorDBError as why:
            e.add_note(f"'{user.path}' was filled in part and could not be emptied again: {why}")
        raise


def _streams_beyond(user: User) -> list[Stream]:
    """The streams of the devices that each user has, but for the server's log."""
    found = [stream for name in (_USER, _META) for stream in user[name].streams()]
    return [stream for stream in found if stream.path != f"{user.path}/{_META}/{_LOG}"]


def _import_device(device: Device, plan: Plan) -> None:
    if device.name == _META:
        _import_log(device, plan)
    elif device.name == _USER:
        _import_streams_and_fields(device, plan)
    else:
        with _created(device):
            device._create({**plan.fields, "enabled": True})  # it has to log in to write its data
        with _deleted_on_failure([device]):
            _import_streams_and_fields(device, plan)


def _import_streams_and_fields(device: Device, plan: Plan) -> None:
    complete: list[ConnectorObject] = []
    with _deleted_on_failure(complete):
        for child in plan.children:
            stream = device[child.name]
            _import_stream(stream, child)
            complete.insert(0, stream)
        _set_what_differs(device, plan)


def _import_stream(stream: Stream, plan: Plan) -> None:
    with _created(stream):
        stream.create()  # data that was stored under an earlier schema may not fit the present one
    with _deleted_on_failure([stream]):
        writer = Stream(_writer(stream), stream.path)
        writer.insert_array(_datapoints(plan.folder / "data.json"))
        downlink = plan.folder / "downlink.json"
        if downlink.exists():
            # They were for the device in its time: what is restored is to move nothing.
            stream._insert_many(_datapoints(downlink), _calls.INSERT, downlink=True, history=True)
        _set_what_differs(stream, plan)


def _set_what_differs(thing: ConnectorObject, plan: Plan) -> None:
    known = thing.data
    changes = {key: value for key, value in plan.fields.items() if known.get(key) != value}
    if changes:
        thing.set(changes)


def _import_log(meta: Device, plan: Plan) -> None:
    """The server keeps the log of what happens to a user; only its administrator adds what happened elsewhere."""
    if meta._session.who != ROOT:
        return
    for child in plan.children:
        if child.name == _LOG:
            # What an attempt before has brought in is there already.
            there = {_event(point) for point in meta[_LOG].iter()}
            points = _datapoints(child.folder / "data.json")
            meta[_LOG].insert_array((point for point in points if _event(point) not in there), merge=True)


def _event(point: Point) -> tuple[float, str]:
    return point["t"], json.dumps(point.get("d"), sort_keys=True)


def _writer(stream: Stream) -> Session:
    """Who may insert into *stream* itself: its device, whose API key is used, or the local administrator."""
    session, device = stream._session, stream.device
    if session.who in (ROOT, device.path):
        return session
    apikey = device.data.get("apikey")
    return session.sibling(Credentials(password=apikey)) if isinstance(apikey, str) and apikey else session


@contextmanager
def _created(thing: ConnectorObject) -> Iterator[None]:
    """Around the creation of *thing*: if the answer is lost, nobody knows whether it is there."""
    try:
        yield
    except TransportError as e:
        if not isinstance(e, ConnectFailed):
            e.add_note(
                f"'{thing.path}' may have been created nevertheless: look, and delete it before the next attempt."
            )
        raise


@contextmanager
def _deleted_on_failure(things: Iterable[ConnectorObject]) -> Iterator[None]:
    """Delete *things* again when it fails; what cannot be deleted is noted on the error."""
    try:
        yield
    except BaseException as e:
        for thing in things:
            try:
                thing.delete()
            except ConnectorDBError as why:
                e.add_note(f"'{thing.path}' was imported in part and could not be deleted again: {why}")
        raise


def _plans(folder: Path, file: str, *below: str) -> list[Plan]:
    """Read what each folder in *folder* holds. No two of them are of the same name."""
    plans: dict[str, Plan] = {}
    for child in _folders(folder):
        plan = _plan(child, file, *below)
        twin = plans.setdefault(plan.name, plan)
        if twin is not plan:
            raise InvalidValue(
                f"{twin.folder / file} and {child / file} both have the name '{plan.name}': remove one of them"
            )
    return list(plans.values())


def _plan(folder: Path, file: str, *below: str) -> Plan:
    """Read what *folder* holds, without the data. Nothing has been sent if that fails."""
    path = folder / file
    fields = _read_json(path)
    name = fields.pop("name", None)
    if not isinstance(name, str):
        raise InvalidValue(f"{path} has no name")
    check_name(name, f"name in {path}")
    if not below and not (folder / "data.json").is_file():
        raise FileNotFoundError(f"{folder / 'data.json'} is missing")
    children = _plans(folder, *below) if below else []
    return Plan(folder, name, fields, children)


def _folders(folder: Path) -> list[Path]:
    """The folders in *folder*, by name; those with a dot are not complete, or somebody else's."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _check_version(path: Path) -> None:
    version = _read_json(path).get("Version")
    if version != FORMAT_VERSION:
        raise InvalidValue(f"{path} says version {version!r} of the export folder; version {FORMAT_VERSION} is known")


def _read_json(path: Path) -> Fields:
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing: this is no folder of that kind") from None
    except (ValueError, RecursionError) as e:
        raise InvalidValue(f"{path} is not JSON: {e}") from None
    if not isinstance(found, dict):
        raise InvalidValue(f"{path} holds no JSON object")
    return found


def _datapoints(path: Path) -> Iterator[Point]:
    for i, point in enumerate(read_array(path)):
        if not isinstance(point, dict) or not isinstance(point.get("t"), int | float):
            raise InvalidValue(f"{path}: datapoint {i} has no time stamp")
        yield point
