"""Cutting the JSON text of blocks without changing any of it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

__all__ = ["join", "split", "time_of", "times"]


class _Time(msgspec.Struct, gc=False):
    """Of a datapoint only its time stamp; the rest is passed over."""

    t: float = 0.0


_decode_texts = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_time = msgspec.json.Decoder(_Time).decode
_decode_times = msgspec.json.Decoder(list[_Time]).decode
_encode = msgspec.json.Encoder().encode


def split(json: bytes) -> list[msgspec.Raw]:
    """Return each datapoint of `Block.json` as text."""
    return _decode_texts(b"[" + json + b"]")


def join(texts: Sequence[msgspec.Raw]) -> bytes:
    """Return `Block.json` of what `split` gave."""
    return _encode(texts)[1:-1]


def time_of(text: msgspec.Raw) -> float:
    """Return the time stamp of one datapoint, in seconds."""
    return _decode_time(text).t


def times(json: bytes) -> list[float]:
    """Return the time stamps of `Block.json`, in seconds."""
    return [point.t for point in _decode_times(b"[" + json + b"]")]
