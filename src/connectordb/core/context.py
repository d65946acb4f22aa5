"""What all rules need: the store, the matrix, the clock; and how to write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from ..errors import NotFound
from ..store.base import Device, Store, Transaction, User
from .actor import Actor
from .directory import Directory, Target
from .permissions import Access, Permissions
from .settings import Settings

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

    async def commit(self, work: Callable[[Transaction], T]) -> T:
        """Run *work* on the store's writer and return its result after the commit.

        Cancelling the caller does not undo it: what has been submitted is carried out.
        """
        return await _result(self.store.submit(work))

    async def commit_objects(self, work: Callable[[Transaction], T]) -> T:
        """The same for a *work* that changes users, devices or streams."""
        future = self.store.submit(work)
        future.add_done_callback(lambda _: self.directory.changed())
        return await _result(future)

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


async def _result(future: Future[T]) -> T:
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not waiter.done():
            waiter.set_result(None)

    def done(_: Future[T]) -> None:
        try:
            loop.call_soon_threadsafe(wake)
        except RuntimeError:  # the loop is closed: nobody waits any more
            pass

    future.add_done_callback(done)
    await waiter
    return future.result()
