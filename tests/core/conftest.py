"""A core on a real SQLite store in a fresh folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from connectordb import wire
from connectordb.core import ROOT, Actor, Core, Permissions
from connectordb.core.settings import AuthSettings, Settings
from connectordb.store.sqlite import SQLiteStore

T = TypeVar("T")


class World:
    """A core, a clock that only moves when told, and short ways to set a scene."""

    def __init__(self, path: Path, permissions: Permissions | None = None, **auth: Any) -> None:
        self.now = 1_700_000_000.0
        settings = msgspec.structs.replace(
            Settings(),
            auth=AuthSettings(**{"password_time_cost": 1, "password_memory_kib": 8, "failure_delay_s": 0.0, **auth}),
        )
        self.core = Core(
            SQLiteStore(path / "core.db", clock=lambda: self.now),
            settings,
            permissions or Permissions.default(),
            secret=b"secret",
            admin_key="admin-key",
            clock=lambda: self.now,
        )
        self._runner = asyncio.Runner()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)

    def user(self, name: str, role: str = "user", *, public: bool = True, **given: Any) -> None:
        create = wire.UserCreate(email=f"{name}@localhost", password=name, role=role, public=public, **given)
        self.run(self.core.create_user(ROOT, name, create))

    def device(self, path: str, **given: Any) -> Actor:
        """Create a device and return it as an actor."""
        user, name = path.split("/")
        self.run(self.core.create_device(ROOT, user, name, wire.DeviceCreate(**given)))
        return self.actor(path)

    def stream(self, path: str, **given: Any) -> None:
        self.run(self.core.create_stream(ROOT, *path.split("/"), wire.StreamCreate(**given)))

    def actor(self, path: str) -> Actor:
        user, name = path.split("/")
        found = self.core.directory.device(user, name)
        assert found is not None
        return Actor.of(*found)

    def read(self, actor: Actor, path: str, wanted: Any, **kw: Any) -> list[Any]:
        async def collect() -> list[Any]:
            key = tuple(path.split("/"))
            return [point async for block in self.core.read(actor, key, wanted, **kw) for point in block.points]

        return self.run(collect())

    def close(self) -> None:
        self.run(self.core.close())
        self._runner.close()


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    worlds: list[World] = []

    def make(**kw: Any) -> World:
        folder = tmp_path / str(len(worlds))
        folder.mkdir()
        worlds.append(World(folder, **kw))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world()
