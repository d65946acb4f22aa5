"""Users, devices and streams by path and by key, remembered between requests."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from ..store.base import Store
from ..store.records import Device, Stream, User

__all__ = ["LOGIN_DEVICE", "Directory", "Target"]

ENTRIES_MAX = 50_000
LOGIN_DEVICE = "user"

K = TypeVar("K")
V = TypeVar("V")


class Target(NamedTuple):
    """A stream with its device and its user."""

    user: User
    device: Device
    stream: Stream


class Directory:
    """Looks up objects in the store, and remembers streams and keys until something changes.

    Safe from any thread. What has been found is valid for the moment: an insert into a stream deleted meanwhile is
    refused by the store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._generation = 0
        self._targets: dict[tuple[str, str, str], tuple[int, Target]] = {}
        self._keys: dict[str, tuple[int, tuple[User, Device]]] = {}
        self._logins: dict[str, tuple[int, tuple[User, Device]]] = {}

    @property
    def generation(self) -> int:
        """Grows with each change: what was found before counts only as long as this is the same."""
        return self._generation

    def changed(self) -> None:
        """Forget everything; to be called after the commit of a change, before it is acknowledged.

        An entry carries the generation at which its lookup began, so one that was read just before the commit and
        is stored just after this call is not believed.
        """
        self._generation += 1
        self._targets = {}
        self._keys = {}
        self._logins = {}

    def user(self, name: str) -> User | None:
        """The user of that name."""
        return self._store.user(name)

    def device(self, user: str, name: str) -> tuple[User, Device] | None:
        """The device at ``user/name`` with its user."""
        owner = self._store.user(user)
        device = self._store.device(owner.id, name) if owner else None
        return (owner, device) if owner and device else None

    def target(self, path: tuple[str, str, str]) -> Target | None:
        """The stream at *path*."""
        generation = self._generation
        known = self._targets.get(path)
        if known is not None and known[0] == generation:
            return known[1]
        found = self.device(path[0], path[1])
        stream = self._store.stream(found[1].id, path[2]) if found else None
        if found is None or stream is None:
            return None
        target = Target(*found, stream)
        _remember(self._targets, path, generation, target)
        return target

    def by_apikey(self, apikey: str) -> tuple[User, Device] | None:
        """The device with that API key, and its user."""
        generation = self._generation
        known = self._keys.get(apikey)
        if known is not None and known[0] == generation:
            return known[1]
        device = self._store.device_by_apikey(apikey) if apikey else None
        user = self._store.user_by_id(device.user_id) if device else None
        if device is None or user is None:
            return None
        _remember(self._keys, apikey, generation, (user, device))
        return user, device

    def by_login(self, name: str) -> tuple[User, Device] | None:
        """The user of that name or e-mail address, and the device that its password logs in to."""
        generation = self._generation
        known = self._logins.get(name)
        if known is not None and known[0] == generation:
            return known[1]
        user = self._store.user_by_email(name) if "@" in name else self._store.user(name)
        device = self._store.device(user.id, LOGIN_DEVICE) if user else None
        if user is None or device is None:
            return None
        _remember(self._logins, name, generation, (user, device))
        return user, device


def _remember(entries: dict[K, tuple[int, V]], key: K, generation: int, value: V) -> None:
    if len(entries) >= ENTRIES_MAX:
        entries.clear()
    entries[key] = (generation, value)
