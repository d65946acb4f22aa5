"""What transforms may keep is a setting, and holds wherever they run."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from connectordb.core.scripts import script_settings
from connectordb.core.settings import LimitSettings
from connectordb.datapoint import Datapoint
from connectordb.errors import ScriptError
from connectordb.pipescript.limits import DEFAULT_LIMITS, Limits
from connectordb.store.base import Range
from connectordb.store.records import Mode

PATH = "ann/phone/s"


def test_the_defaults_are_the_same_without_a_server():
    assert script_settings(LimitSettings()).limits == DEFAULT_LIMITS


@pytest.mark.parametrize("name", Limits.__slots__)
def test_each_is_a_setting(name):
    settings = script_settings(msgspec.structs.replace(LimitSettings(), **{name: 1234}))
    assert getattr(settings.limits, name) == 1234


async def collect(blocks: Any) -> list[Datapoint]:
    return [point async for block in blocks if block is not None for point in block.points]


def test_a_setting_holds_for_ranges_merges_and_datasets(world: Any) -> None:
    world.user("ann")
    phone = world.device("ann/phone")
    world.stream(PATH)
    points = [Datapoint(i + 1.0, i) for i in range(200)]
    world.run(world.core.insert(phone, ("ann", "phone", "s"), points, Mode.ORDERED))
    script = "quantile(0.5) | if last"

    def results() -> list[Any]:
        part = {"stream": PATH, "transform": script}
        return [
            world.core.read(phone, ("ann", "phone", "s"), Range(), transform=script),
            world.core.query_merge(phone, [part]),
            world.core.query_dataset(phone, {**part, "dataset": {"y": {"stream": PATH}}}),
            world.core.query_dataset(
                phone, {"stream": PATH, "dataset": {"y": {"stream": PATH}}, "posttransform": f"$['x'] | {script}"}
            ),
        ]

    for blocks in results():
        assert len(world.run(collect(blocks))) == 1
    limits = msgspec.structs.replace(world.core.settings.limits, script_points_max=150)
    world.core.settings = msgspec.structs.replace(world.core.settings, limits=limits)
    for blocks in results():
        with pytest.raises(ScriptError, match="at most 150 datapoints"):
            world.run(collect(blocks))
