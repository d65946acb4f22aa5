"""One publishes, many are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from socket import MSG_DONTWAIT

from .readers import Readers
from .timing import Timed
from .websocket import Dial, Websocket, decode_frames

__all__ = ["FanOut", "Listeners"]

_RECV_BYTES = 1 << 16


@dataclass
class Listeners:
    """Subscribers, whoever publishes.

    Attributes:
        tail: End of the last datapoint that will come.
    """

    subscriber: Dial
    n: int
    tail: bytes

    def __call__(self, ready: Callable[[], None]) -> Timed:
        """Subscribe, call *ready*, and listen. Returns when each delivery came, one reader behind the other."""
        readers = Readers(self.subscriber, self.n, self.tail)
        ready()
        while readers.poll():
            pass
        timed = readers.timed()
        readers.close()
        return timed


@dataclass
class FanOut:
    """Subscribers, and a publisher that always has some publications on their way to them.

    More under way would only make them catch up from the database, many datapoints at a time.

    Attributes:
        frames: What the publisher sends, as it goes over the wire.
        under_way: How many of them the last subscriber has not got yet, at most.
        answered: Whether each of them is answered.
    """

    subscriber: Dial
    publisher: Dial
    n: int
    frames: list[bytes]
    tail: bytes
    under_way: int
    answered: bool

    def __call__(self, ready: Callable[[], None]) -> Timed:
        """Subscribe, call *ready*, publish and listen. Returns when each subscriber got its first and its last."""
        readers = Readers(self.subscriber, self.n, self.tail)
        publisher = self.publisher.open()
        publisher.socket.settimeout(None)  # with a timeout, Python itself would wait for data
        answers = b""
        sent = 0
        ready()
        while True:
            until = min(readers.heard + self.under_way, len(self.frames))
            if until > sent:
                publisher.socket.sendall(b"".join(self.frames[sent:until]))
                sent = until
                answers += _waiting(publisher)
            if not readers.poll():
                break
        timed = readers.spans()
        readers.close()
        if self.answered:
            while (n := len(messages := decode_frames(answers)[0])) < len(self.frames):
                answers += publisher.receive()
            if n != sum(b'"ok":true' in message for message in messages):
                raise OSError(f"not all of {n} inserts were stored: {messages[-1]!r}")
        publisher.close()
        return timed


def _waiting(websocket: Websocket) -> bytes:
    try:
        return websocket.socket.recv(_RECV_BYTES, MSG_DONTWAIT)
    except BlockingIOError:
        return b""
