"""Who asks."""

from __future__ import annotations

from typing import NamedTuple

from ..store.records import Device, User
from .permissions import FULL, NOBODY_ROLE, NONE, Access, Permissions, Relation

__all__ = ["NOBODY", "ROOT", "Actor"]

SYSTEM_NAME = "ConnectorDB"
"""What stands for the local administrator where a device path is recorded."""

_EDIT_FLAG = "can_access_non_user_editable_devices"


class Actor(NamedTuple):
    """The device that asks, with its user; or `NOBODY`, or `ROOT`, the local administrator.

    Attributes:
        path: ``user/device``, ``nobody`` or ``root``.
        session: Which one tells that; empty: none does.
    """

    path: str
    user: User | None = None
    device: Device | None = None
    session: str = ""

    @classmethod
    def of(cls, user: User, device: Device, session: str = "") -> Actor:
        """Return the actor that *device* of *user* is."""
        return cls(f"{user.name}/{device.name}", user, device, session)

    @property
    def is_root(self) -> bool:
        """Whether this is the local administrator, who may do everything."""
        return self is ROOT

    @property
    def signature(self) -> str:
        """What is recorded as the sender of what this actor writes."""
        return SYSTEM_NAME if self.is_root else self.path

    def relation(self, user: User, device: Device | None = None) -> Relation:
        """Return what the user, or its device (and so a stream of it), is to this actor."""
        if self.user is not None and self.device is not None and self.user.id == user.id:
            return Relation.SELF if device is not None and device.id == self.device.id else Relation.USER
        public = user.public if device is None else device.public
        return Relation.PUBLIC if public else Relation.PRIVATE

    def access(self, permissions: Permissions, relation: Relation) -> Access:
        """Return what this actor may do with targets that are *relation* to it."""
        if self.is_root:
            return FULL
        if self.user is None or self.device is None:
            return permissions.nobody(relation)
        return permissions.access(self.user.role, self.device.role, relation)

    def may_correct(self, permissions: Permissions) -> bool:
        """Whether the roles of this actor let it change what is stored, where it may write."""
        if self.is_root:
            return True
        if self.user is None or self.device is None:
            return permissions.may_correct(NOBODY_ROLE)
        return permissions.may_correct(self.user.role, self.device.role or "none")

    def access_to(self, permissions: Permissions, user: User, device: Device | None = None) -> Access:
        """Return what this actor may do with a user, or with a device and the streams of it.

        A device that is not for users to edit is closed to all but itself, unless the role says otherwise.
        """
        relation = self.relation(user, device)
        access = self.access(permissions, relation)
        if device is None or device.user_editable or relation is Relation.SELF:
            return access
        readable, writable = _EDIT_FLAG in access.read, _EDIT_FLAG in access.write
        return Access(
            frozenset(f for f in access.can if (readable if f.startswith("can_list") else writable)),
            access.read if readable else NONE.read,
            access.write if writable else NONE.write,
        )


NOBODY = Actor("nobody")
ROOT = Actor("root")
