"""Who may do what: the matrix of roles, as data.

A user has a user role, a device a device role. For a target each role names an access level, and what is allowed is
what both levels allow. The default matrix is ``permissions.json`` beside this file; a database folder may have its own.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ..errors import FolderError
from .fields import FIELDS

__all__ = ["FULL", "NOBODY_ROLE", "NONE", "Access", "Permissions", "Relation"]

NOBODY_ROLE = "nobody"
"""The user role of who has not logged in."""


class Relation(Enum):
    """What the target is to the asker."""

    SELF = "self"
    """The asking device itself, or a stream of it."""
    USER = "user"
    """Belongs to the same user, or is that user."""
    PUBLIC = "public"
    PRIVATE = "private"


class Access(NamedTuple):
    """What may be done with a target: ``can_create_stream`` in `can`, ``stream_schema`` in `read`, and so on."""

    can: frozenset[str]
    read: frozenset[str]
    write: frozenset[str]

    @property
    def may_correct(self) -> bool:
        """Whether it is right to let somebody correct what is stored, unless the role appends only.

        Who may delete the stream, with all data, may do less than that too: by the matrix of 0.3, a user writes to the
        streams of its devices by asking the device only.
        """
        writes = {"can_access_stream", "can_access_stream_data"} <= self.write
        return writes or "can_delete_stream" in self.can

    def __and__(self, other: Access) -> Access:
        return Access(self.can & other.can, self.read & other.read, self.write & other.write)


class DeviceDefaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a device is if its creator does not say."""

    enabled: bool = True
    role: str = "none"
    public: bool = False
    visible: bool = True
    user_editable: bool = True


class UserDefaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a user is if its creator does not say."""

    role: str = "user"
    public: bool = True


class _Role(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What both kinds of roles have. With `append_only`, datapoints are inserted, but not deleted or changed."""

    private_access_level: str
    public_access_level: str
    user_access_level: str
    self_access_level: str
    can_count_users: bool = False
    can_count_devices: bool = False
    can_count_streams: bool = False
    append_only: bool = False

    def level(self, relation: Relation) -> str:
        name: str = getattr(self, f"{relation.value}_access_level")
        return name


class DeviceRole(_Role, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A role that devices may have."""


class UserRole(_Role, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A role that users may have. A limit of 0 is none; sizes are numbers of datapoints."""

    join: bool = False
    join_role: str = "user"
    user_can_be_private: bool = False
    create_device_defaults: DeviceDefaults = DeviceDefaults()
    create_user_defaults: UserDefaults = UserDefaults()
    max_devices: int = 0
    max_private_devices: int = 0
    max_streams: int = 0
    max_device_size: int = 0
    max_stream_size: int = 0


_LEVEL_FLAGS = frozenset(
    f"can_{verb}_{noun}"
    for verb, nouns in {
        "create": ("user", "device", "stream"),
        "delete": ("user", "device", "stream"),
        "list": ("users", "devices", "streams"),
    }.items()
    for noun in nouns
)
_FIELD_FLAGS = frozenset(
    [
        *(f"can_access_{noun}" for noun in ("user", "device", "stream", "stream_data", "stream_downlink")),
        "can_access_non_user_editable_devices",
        *(f"{kind}_{field}" for kind, fields in FIELDS.items() for field in ("name", *fields)),
    ]
)

NONE = Access(frozenset(), frozenset(), frozenset())
FULL = Access(_LEVEL_FLAGS, _FIELD_FLAGS, _FIELD_FLAGS)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    version: int
    watch: bool = False
    disallowed_names: list[str] = []
    max_users: int = -1
    user_roles: dict[str, UserRole]
    device_roles: dict[str, DeviceRole]
    access_levels: dict[str, dict[str, bool | str]]
    rw_access: dict[str, dict[str, bool]]


class Permissions:
    """The matrix, with every combination resolved.

    Attributes:
        user_roles, device_roles: The roles by name.
        disallowed_names: Names that no user may have.
        max_users: How many users there may be; -1: any number.
    """

    def __init__(self, text: bytes, origin: str = "permissions") -> None:
        """Read the matrix from JSON.

        Raises:
            FolderError: it is not valid; the message names *origin* and what is wrong.
        """
        try:
            file = msgspec.json.decode(text, type=_File)
        except (msgspec.MsgspecError, UnicodeError) as e:
            raise FolderError(f"{origin} is no valid permission matrix: {e}") from None
        self.user_roles = file.user_roles
        self.device_roles = file.device_roles
        self.disallowed_names = frozenset(name.lower() for name in file.disallowed_names)
        self.max_users = file.max_users
        try:
            levels = _resolve_levels(file)
            self._access = {
                (user_name, device_name, relation): levels[user.level(relation)] & levels[device.level(relation)]
                for user_name, user in file.user_roles.items()
                for device_name, device in file.device_roles.items()
                for relation in Relation
            }
            self._nobody = {
                relation: levels[file.user_roles[NOBODY_ROLE].level(relation)]
                if NOBODY_ROLE in file.user_roles
                else NONE
                for relation in Relation
            }
        except KeyError as e:
            raise FolderError(f"{origin} names the access level {e}, which it does not define") from None

    @classmethod
    @lru_cache(maxsize=1)
    def default(cls) -> Permissions:
        """Return the matrix of ConnectorDB 0.3."""
        return cls(resources.files(__package__).joinpath("permissions.json").read_bytes(), "the default")

    @classmethod
    def load(cls, path: Path) -> Permissions:
        """Return the matrix in the file *path*, or the default one if there is no such file."""
        return cls(path.read_bytes(), str(path)) if path.exists() else cls.default()

    def access(self, user_role: str, device_role: str, relation: Relation) -> Access:
        """Return what is allowed; nothing for a role that the matrix does not know."""
        return self._access.get((user_role, device_role or "none", relation), NONE)

    def nobody(self, relation: Relation) -> Access:
        """Return what is allowed without a login: what the user role ``nobody`` allows, as there is no device."""
        return self._nobody[relation]

    def may_count(self, user_role: str, device_role: str, what: str) -> bool:
        """Whether the total number of *what* (``users``, ``devices``, ``streams``) may be told."""
        flag = f"can_count_{what}"
        user, device = self.user_roles.get(user_role), self.device_roles.get(device_role or "none")
        return bool(user and device and getattr(user, flag) and getattr(device, flag))

    def may_correct(self, user_role: str, device_role: str | None = None) -> bool:
        """Whether these roles allow to delete and change datapoints, where they allow to insert them.

        Args:
            device_role: ``None``: there is no device.
        """
        roles: list[_Role | None] = [self.user_roles.get(user_role)]
        if device_role is not None:
            roles.append(self.device_roles.get(device_role))
        return all(role is not None and not role.append_only for role in roles)


def _with_later(flags: dict[str, bool]) -> dict[str, bool]:
    """Return *flags* with those that are newer than 0.3, as like ones are where they are not said."""
    return {"stream_keep": flags.get("stream_ephemeral", False), **flags}


def _resolve_levels(file: _File) -> dict[str, Access]:
    fields = {
        name: frozenset(f for f, on in _with_later(flags).items() if on) for name, flags in file.rw_access.items()
    }
    fields |= {"none": NONE.read, "full": FULL.read}
    levels = {"none": NONE, "full": FULL}
    for name, level in file.access_levels.items():
        flags: dict[str, Any] = dict(level)
        read, write = fields[flags.pop("read_access")], fields[flags.pop("write_access")]
        levels[name] = Access(frozenset(f for f, on in flags.items() if on), read, write)
    return levels
