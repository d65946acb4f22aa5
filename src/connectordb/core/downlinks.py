"""What an insert means for downlinks: one into the downlink asks for something, one by the owner may answer that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from .. import wire
from ..block import Block
from ..datapoint import Datapoint
from ..errors import LimitReached, ScriptError
from ..store.base import Transaction
from ..store.records import Downlink, DownlinkState, Substream
from .directory import Target
from .scripts import transformed_whole
from .settings import LimitSettings

if TYPE_CHECKING:
    from ..pipescript import Script

__all__ = ["BY_OLD_DEVICE", "Recorded", "acknowledge_equal", "is_final", "record", "through", "view_downlink"]

BY_OLD_DEVICE = "0.3"
"""Token of a device that knows nothing of tokens."""
EQUAL_MAX = 10_000
"""So many downlinks are acknowledged by one insert at most, the newest ones."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_decode_points = msgspec.json.Decoder(list[Datapoint]).decode


class Recorded(NamedTuple):
    """What an insert into a downlink did.

    Attributes:
        queued: What the owner of the stream is asked to do now, oldest first.
        superseded: What it is not asked any more.
    """

    queued: list[Downlink]
    superseded: list[Downlink]


def record(
    tx: Transaction,
    target: Target,
    block: Block,
    *,
    now: float,
    lifetime_s: float | None,
    limits: LimitSettings,
    supersede: bool = False,
) -> Recorded:
    """Note that the owner of the stream is asked to do what the datapoints of *block* say.

    A datapoint that is so old that nobody waits for it is noted as expired, or, if that would be forgotten at once,
    not at all.

    Args:
        block: Datapoints of the downlink substream, as stored.
        now: In seconds since the Unix epoch.
        lifetime_s: They wait so long from now on; ``None``: for ``limits.downlink_s`` after their time stamp.
        supersede: They take the place of all that are queued.

    Raises:
        NotFound: the stream is gone.
        LimitReached: more than ``limits.downlinks_waiting_max`` would be queued.
    """
    stream_id = target.stream.id
    tx.head(stream_id, Substream.DOWNLINK)  # raises; of an ephemeral stream nobody has looked yet
    owner = f"{target.user.name}/{target.device.name}"
    forget_before = now - limits.downlinks_kept_s
    new: list[Downlink] = []
    coming = 0
    for point in block.points:
        expires = point.t + limits.downlink_s if lifetime_s is None else now + lifetime_s
        if expires < forget_before:
            continue
        queued = expires > now
        coming += queued
        new.append(
            Downlink(
                stream_id=stream_id,
                t=point.t,
                d=_encode(point.d),
                o=point.o or owner,
                state=DownlinkState.QUEUED if queued else DownlinkState.EXPIRED,
                expires=expires,
                changed=now if queued else expires,
            )
        )
    superseded = tx.supersede_downlinks(stream_id) if supersede else []
    if not new:
        return Recorded([], superseded)
    waiting = tx.settle_downlinks(stream_id, forget_before, len(new)) + coming
    if coming and waiting > limits.downlinks_waiting_max:
        raise LimitReached(
            f"{waiting} downlinks would wait for '{owner}/{target.stream.name}', and {limits.downlinks_waiting_max} "
            "may: its device does not take them"
        )
    made = tx.add_downlinks(new)
    return Recorded([one for one in made if one.state is DownlinkState.QUEUED], superseded)


def acknowledge_equal(tx: Transaction, target: Target, block: Block, *, now: float, confirm_s: float) -> list[Downlink]:
    """Take *block*, which the owner inserts into its own stream, for the answer to the downlinks that ask for the same.

    This is how devices of 0.3 acknowledge, so it is for what such a device has been sent, and for nothing else. Time
    stamps do not count: its clock may be wrong.

    Args:
        confirm_s: So long after it was sent it may be answered without having been confirmed: the client of 0.3
            answers the ping behind a message when it has dealt with that.

    Returns:
        The downlinks that are acknowledged by it.
    """
    points = block.points
    found = [
        (one, i)
        for one, i in tx.equal_downlinks(
            target.stream.id, BY_OLD_DEVICE, (_encode(point.d) for point in points), EQUAL_MAX
        )
        if one.state is DownlinkState.DELIVERED or one.changed >= now - confirm_s
    ]
    if not found:
        return []
    results = {i: b"[" + _encode(points[i]) + b"]" for i in {i for _, i in found}}
    changed = [
        msgspec.structs.replace(one, state=DownlinkState.ACKNOWLEDGED, changed=now, result=results[i])
        for one, i in found
    ]
    tx.change_downlinks(changed)
    return changed


def through(downlinks: Sequence[Downlink], script: Script) -> tuple[list[Downlink], list[ScriptError]]:
    """Return what a device is to be asked that wants *script* to look at it first, and where the script has failed.

    Each request is one input. The device gets the value that the script makes of it; if that is nothing, no request.
    """
    made: list[Downlink] = []
    errors: list[ScriptError] = []
    for one in downlinks:
        try:
            block = transformed_whole(Block.of([Datapoint(one.t, _decode(one.d), one.o)]), script)
            if block is not None and block.n > 1:
                raise ScriptError(f"of one request the script makes {block.n} datapoints; it may make one, or none")
        except ScriptError as e:
            errors.append(e)
            continue
        if block is not None:
            made.append(msgspec.structs.replace(one, d=_encode(block.points[0].d)))
    return made, errors


def is_final(downlink: Downlink) -> bool:
    """Whether nothing more becomes of it."""
    return downlink.state > DownlinkState.DELIVERED


def view_downlink(path: str, downlink: Downlink) -> wire.DownlinkView:
    """Return what is told of *downlink* of the stream at *path*."""
    return wire.DownlinkView(
        id=downlink.id,
        stream=path,
        t=downlink.t,
        d=msgspec.Raw(downlink.d),
        o=downlink.o,
        state=wire.DOWNLINK_STATES[downlink.state],
        expires=downlink.expires,
        changed=downlink.changed,
        by=downlink.by,
        msg=downlink.msg,
        result=_decode_points(downlink.result) if downlink.result else None,
    )
