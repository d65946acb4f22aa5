"""What all rules need: the store, the matrix, the clock; and how to write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ..errors import NotFound
from ..store.base import Store, Transaction
from ..store.records import Device, User
from .actor import Actor
from .completions import Completions
from .directory import Directory, Target
from .hub import Hub
from .permissions import Access, Permissions
from .settings import Settings
from .working import Workshop

__all__ = ["Context"]

T = TypeVar("T")


class Context:
    """Holds what the rules work on."""

    def __init__(self, store: Store, settings: Settings, permissions: Permissions, clock: Callable[[], float]) -> None:
        self.store = store
        self.settings = settings
        self.permissions = permissions
        self.clock = clock
        self.directory = Directory(store)
        self.completions = Completions(store)
        self.reading = ThreadPoolExecutor(settings.store.read_threads, thread_name_prefix="connectordb-read")
        self.workshop = Workshop(self.reading, settings.store.read_threads)
        self.hub = Hub(store, self.directory, self.reading)

    async def commit(self, work: Callable[[Transaction], T]) -> T:
        """Run *work* on the store's writer and return its result after the commit.

        Cancelling the caller does not undo it: what has been submitted is carried out.
        """
        return await self._result(work)

    async def commit_objects(self, work: Callable[[Transaction], T], committed: Callable[[], None]) -> T:
        """The same for a *work* that changes users, devices or streams; *committed* is called after the commit."""
        return await self._result(work, committed, self._changed)

    def _changed(self) -> None:
        """Take note that objects have changed. Runs before anybody learns of the commit."""
        self.directory.changed()
        self.hub.changed()

    async def _result(
        self,
        work: Callable[[Transaction], T],
        committed: Callable[[], None] | None = None,
        first: Callable[[], None] | None = None,
    ) -> T:
        waiter: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def wake(result: T, error: BaseException | None) -> None:
            # Also if nobody waits any more: it has been committed all the same.
            if committed is not None and error is None:
                committed()
            if waiter.done():
                return
            if error is None:
                waiter.set_result(result)
            else:
                waiter.set_exception(error)

        self.completions.run(work, wake, first)
        return await waiter

    def find_user(self, actor: Actor, name: str, status: int = 404) -> tuple[User, Access]:
        """Return the user, and what *actor* may do with it.

        Raises:
            NotFound: with *status*, if there is none or *actor* may not see it.
        """
        user = self.directory.user(name)
        if user is not None:
            access = actor.access_to(self.permissions, user)
            if "can_access_user" in access.read:
                return user, access
        raise _hidden(name, status)

    def find_device(self, actor: Actor, user: str, name: str, status: int = 404) -> tuple[User, Device, Access]:
        """Return the device with its user, and what *actor* may do with it. Raises as `find_user`."""
        found = self.directory.device(user, name)
        if found is not None:
            access = actor.access_to(self.permissions, *found)
            if "can_access_device" in access.read:
                return *found, access
        raise _hidden(f"{user}/{name}", status)

    def find_stream(self, actor: Actor, path: tuple[str, str, str], status: int = 404) -> tuple[Target, Access]:
        """Return the stream with its device and user, and what *actor* may do with it. Raises as `find_user`."""
        target = self.directory.target(path)
        if target is not None:
            access = actor.access_to(self.permissions, target.user, target.device)
            if "can_access_stream" in access.read:
                return target, access
        raise _hidden("/".join(path), status)


def _hidden(path: str, status: int) -> NotFound:
    return NotFound(f"there is no '{path}', or it may not be accessed", status=status)
