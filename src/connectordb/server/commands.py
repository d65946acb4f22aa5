"""The commands that come over a websocket.

One that has an ``id`` is answered, and so is taken strictly: a field that it does not have is an error. One that has
none comes from a client of ConnectorDB 0.3, which hears nothing of what goes wrong: what is not understood of it is
left out.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from ..errors import Invalid, RequestError
from .request import JSON_ERRORS

__all__ = [
    "BadCommand",
    "Command",
    "Id",
    "Insert",
    "NotACommand",
    "Ping",
    "Subscribe",
    "Unsubscribe",
    "UnsubscribeAll",
    "decode",
]

Id: TypeAlias = int | str | None

ID_LENGTH_MAX = 256
"""Characters; it comes back with the answer."""
_NOTHING = msgspec.Raw(b"null")


class _Command(msgspec.Struct, forbid_unknown_fields=True, tag_field="cmd", kw_only=True, gc=False):
    id: Id = None

    @property
    def name(self) -> str:
        """What stands in ``cmd``."""
        return str(self.__struct_config__.tag)


class Subscribe(_Command, tag="subscribe", gc=True):
    """Begin to get datapoints. At most one of `cursor`, `since`, `i1` and `cursors` is given."""

    arg: str
    transform: str | None = None
    cursor: str | None = None
    since: float | None = None
    i1: int | None = None
    cursors: dict[str, str] | None = None
    requests: bool = False


class Unsubscribe(_Command, tag="unsubscribe"):
    """Get no more of them."""

    arg: str
    transform: str | None = None


class UnsubscribeAll(_Command, tag="unsubscribe_all"):
    """Get no more of anything."""


class Insert(_Command, tag="insert"):
    """Insert datapoints; `d` is a JSON array of them."""

    arg: str
    d: msgspec.Raw = _NOTHING
    mode: str = "restamp"
    key: str | None = None


class Ping(_Command, tag="ping"):
    """Be there."""


Command: TypeAlias = Subscribe | Unsubscribe | UnsubscribeAll | Insert | Ping

_TYPES: dict[str, type[Command]] = {
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "unsubscribe_all": UnsubscribeAll,
    "insert": Insert,
    "ping": Ping,
}

_strict_decoder: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)
_decode_anything = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class NotACommand(Exception):
    """A message that is no JSON object. There is no way to answer it but to close the connection."""


class BadCommand(Exception):
    """A command that cannot be carried out.

    Attributes:
        id: With which to answer.
        cmd: Its name, if that can be read.
        error: What is wrong.
    """

    def __init__(self, id_: Id, cmd: Any, error: RequestError) -> None:
        super().__init__(str(error))
        self.id = id_
        self.cmd = cmd if isinstance(cmd, str) else ""
        self.error = error


def decode(message: bytes) -> Command:
    """Return the command in *message*.

    Raises:
        NotACommand: it is no JSON object.
        BadCommand: it is none that is known.
    """
    if not message.isascii():
        try:
            message.decode()
        except UnicodeDecodeError as e:
            raise NotACommand(f"the message is not UTF-8: {e.reason} at byte {e.start}") from None
    try:
        command = _strict_decoder.decode(message)
    except msgspec.ValidationError as e:
        return _explain(message, e)
    except JSON_ERRORS as e:
        raise NotACommand(f"the message is not JSON: {e}") from None
    if isinstance(command.id, str) and len(command.id) > ID_LENGTH_MAX:
        raise BadCommand(None, "", Invalid(f"an id has at most {ID_LENGTH_MAX} characters"))
    return command


def _explain(message: bytes, error: msgspec.ValidationError) -> Command:
    """Return the command that *message* is if it is one of 0.3; else raise what is wrong with it."""
    try:
        fields = _decode_anything(message)
    except JSON_ERRORS as e:
        raise NotACommand(f"the message is not JSON: {e}") from None
    if not isinstance(fields, dict):
        raise NotACommand("the message is no JSON object")
    cmd, id_ = fields.get("cmd"), fields.get("id")
    kind = _TYPES.get(cmd) if isinstance(cmd, str) else None
    if kind is None:
        known = ", ".join(_TYPES)
        error_ = Invalid(f"there is no cmd {_shown(cmd)}: there are {known}")
        raise BadCommand(_readable(id_), cmd, error_) from None
    if _readable(id_) is None:
        known_fields = {field.name for field in msgspec.structs.fields(kind)} - {"id"}
        kept = {name: value for name, value in fields.items() if name in known_fields and value is not None}
        try:
            return _strict_decoder.decode(_encode({**kept, "cmd": cmd}))
        except msgspec.ValidationError as e:
            error = e
    raise BadCommand(_readable(id_), cmd, Invalid(f"the command {cmd} does not fit: {error}")) from None


def _readable(id_: Any) -> Id:
    """*id_* if a command can have such a one."""
    if isinstance(id_, bool) or not isinstance(id_, int | str):
        return None
    if isinstance(id_, str) and len(id_) > ID_LENGTH_MAX:
        return None
    return id_


def _shown(cmd: Any) -> str:
    return ascii(cmd[:40]) if isinstance(cmd, str) else "that is no text" if cmd is not None else "at all"
