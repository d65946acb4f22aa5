"""``meta/log``: the stream in which each user finds what was done to its things."""

from __future__ import annotations

from typing import NamedTuple

from ..block import Block
from ..datapoint import Datapoint
from ..store.base import Transaction
from ..store.records import Appended, Device, Mode, Stream, Substream, User
from .actor import Actor
from .directory import Target

__all__ = ["LOG_NAME", "META_NAME", "USER_NAME", "Logged", "create_default_devices", "log"]

USER_NAME = "user"
META_NAME = "meta"
LOG_NAME = "log"

_LOG_SCHEMA = (
    '{"type":"object","properties":{"cmd":{"type":"string"},"arg":{"type":"string"}},"required":["cmd","arg"]}'
)


class Logged(NamedTuple):
    """What was written to a log."""

    target: Target
    appended: Appended


def create_default_devices(tx: Transaction, user: User, apikey: str) -> Device:
    """Give a new user the devices that each one has, and return the one called ``user``."""
    device = tx.create_device(
        Device(
            user_id=user.id,
            name=USER_NAME,
            description="Holds manually inserted data for the user",
            icon="material:person",
            apikey=apikey,
            role="user",
        )
    )
    meta = tx.create_device(
        Device(
            user_id=user.id,
            name=META_NAME,
            description="The meta device holds automatically generated streams",
            icon="material:bug_report",
            visible=False,
            user_editable=False,
        )
    )
    tx.create_stream(
        Stream(
            device_id=meta.id,
            name=LOG_NAME,
            description="A log of all create update and delete operations done on this user",
            icon="material:assignment",
            schema=_LOG_SCHEMA,
        )
    )
    return device


def log(tx: Transaction, actor: Actor, owner: User | None, events: list[tuple[str, str]], t: float) -> list[Logged]:
    """Note *events* in the log of *owner*, and in that of the acting device's user if that is another.

    Args:
        owner: Whose things were changed; ``None`` if that user is gone with them.
        events: Pairs of command and path, such as ``("CreateStream", "alice/phone/steps")``.
        t: When, in seconds since the Unix epoch.

    Returns:
        What is to be published after the commit.
    """
    points = [Datapoint(t, {"cmd": cmd, "arg": arg}, actor.signature) for cmd, arg in events]
    logged = []
    for user in {user.id: user for user in (owner, actor.user) if user is not None}.values():
        meta = next((d for d in tx.devices(user.id) if d.name == META_NAME), None)
        stream = next((s for s in tx.streams(meta.id) if s.name == LOG_NAME), None) if meta else None
        if meta is not None and stream is not None:
            appended = tx.append(stream.id, Substream.MAIN, Block.of(points), Mode.RESTAMP)
            logged.append(Logged(Target(user, meta, stream), appended))
    return logged
