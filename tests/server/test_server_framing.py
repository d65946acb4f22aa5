"""Frames as bytes, against those of the library that reads them elsewhere."""

from __future__ import annotations

import random

import pytest
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, Protocol

from connectordb.server.framing import COMPRESS_BYTES_MIN, compressed_frame, text_frame


@pytest.mark.parametrize("n", [0, 1, 125, 126, 127, 65535, 65536, 200_000])
def test_plain_frames(n: int) -> None:
    assert text_frame(b"x" * n) == Frame(Opcode.TEXT, b"x" * n).serialize(mask=False)


@pytest.mark.parametrize("n", [0, 1, COMPRESS_BYTES_MIN - 1, COMPRESS_BYTES_MIN, 5000, 2_000_000])
@pytest.mark.parametrize("kind", ["same", "random"])
def test_compressed_frames_can_be_read(n: int, kind: str) -> None:
    message = b"x" * n if kind == "same" else random.Random(n).randbytes(n)
    data = compressed_frame(message)
    assert len(data) <= len(text_frame(message))
    reader = Protocol(CLIENT, max_size=None)
    reader.extensions = [PerMessageDeflate(True, True, 15, 15)]
    reader.receive_data(data * 2)  # each for itself
    assert [bytes(frame.data) for frame in reader.events_received()] == [message] * 2  # type: ignore[union-attr]
    assert (data[0] == 0xC1) is (kind == "same" and n >= COMPRESS_BYTES_MIN)
