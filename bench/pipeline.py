"""Inserts over a websocket, many of which are under way."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from .timing import Timed
from .websocket import Dial, decode_frames, encode_frame

__all__ = ["Pipeline", "answer_times"]

_MESSAGE_END = b"\n"


@dataclass
class Pipeline:
    """Sends messages without waiting for the answer to each.

    Attributes:
        messages: Each with the number of its place as ``id``.
        under_way: How many are not answered, at most.
    """

    dial: Dial
    messages: list[bytes]
    under_way: int

    def __call__(self, ready: Callable[[], None]) -> Timed:
        """Connect, call *ready*, send, and check every answer."""
        websocket = self.dial.open()
        frames = [encode_frame(message) for message in self.messages]
        n = len(frames)
        sent = answered = 0
        chunks: list[bytes] = []
        times = array("d")
        timed = Timed()
        ready()
        while answered < n:
            until = min(answered + self.under_way, n)
            if until > sent:
                now = perf_counter()
                timed.begun.extend([now] * (until - sent))
                websocket.socket.sendall(b"".join(frames[sent:until]))
                sent = until
            chunk = websocket.receive()
            chunks.append(chunk)
            times.append(perf_counter())
            answered += chunk.count(_MESSAGE_END)
        websocket.close()
        timed.ended = answer_times(chunks, times, n)
        return timed


def answer_times(chunks: list[bytes], times: array[float], n: int) -> array[float]:
    """Return when each message was answered. Raises `OSError` if one was not, or with an error."""
    places = {b'{"id":%d,"ok":true}\n' % i: i for i in range(n)}
    ended = array("d", [0.0] * n)
    rest = b""
    for chunk, time in zip(chunks, times, strict=True):
        answers, rest = decode_frames(rest + chunk)
        for answer in answers:
            if answer not in places:
                raise OSError(f"an insert was answered {answer[:300]!r}")
            ended[places.pop(answer)] = time
    if places or rest:
        raise OSError(f"{len(places)} inserts were not answered, {rest[:100]!r} is left")
    return ended
