"""Many websockets that are read at the same time, by one thread that does nothing else."""

from __future__ import annotations

import select
from array import array
from time import perf_counter

import msgspec

from .timing import Timed
from .websocket import Dial, decode_frames

__all__ = ["Readers", "join_points"]

_RECV_BYTES = 1 << 16
_WAIT_S = 30.0
_DELIVERY_END = b"]}\n"


class _Frame(msgspec.Struct):
    """What is delivered, or a notice to a reader that did not get all of it as it came."""

    data: list[msgspec.Raw] = []
    i: int | None = None
    notice: str = ""


_decode_frame = msgspec.json.Decoder(_Frame).decode


class Readers:
    """Websockets that have subscribed to the same thing.

    What comes is kept as it came, and looked at afterwards.

    Attributes:
        heard: How many deliveries have come to the one that subscribed last: as a rule it gets each one last.
    """

    def __init__(self, dial: Dial, n: int, tail: bytes) -> None:
        """Open *n* websockets; *tail* is the end of the last datapoint to come."""
        self._websockets = [dial.open() for _ in range(n)]
        self._tail = tail + _DELIVERY_END
        self._epoll = select.epoll()
        self._receive = {}
        self._chunks: dict[int, list[bytes]] = {}
        self._times: dict[int, array[float]] = {}
        for websocket in self._websockets:
            fd = websocket.socket.fileno()
            self._epoll.register(fd, select.EPOLLIN)
            self._receive[fd] = websocket.socket.recv
            self._chunks[fd] = []
            self._times[fd] = array("d")
        self._last = self._websockets[-1].socket.fileno()
        self._open = n
        self._behind = b""
        self.heard = 0

    def poll(self) -> bool:
        """Wait until something comes, and take it. Returns ``False`` when all have got the last datapoint."""
        ready = self._epoll.poll(_WAIT_S)
        if not ready:
            raise TimeoutError(f"nothing has come for {_WAIT_S} s, and {self._open} readers still wait")
        for fd, _ in ready:
            chunk = self._receive[fd](_RECV_BYTES)
            chunks = self._chunks[fd]
            chunks.append(chunk)
            self._times[fd].append(perf_counter())
            if fd == self._last:
                self._behind += chunk
                self.heard += self._behind.count(_DELIVERY_END)
                self._behind = self._behind[1 - len(_DELIVERY_END) :]
            if chunk.endswith(self._tail) or (
                len(chunk) < len(self._tail) and b"".join(chunks[-2:]).endswith(self._tail)
            ):
                self._epoll.unregister(fd)
                self._open -= 1
            elif not chunk:
                raise OSError("the server closed the connection of a reader")
        return self._open > 0

    def close(self) -> None:
        """Close all connections."""
        self._epoll.close()
        for websocket in self._websockets:
            websocket.close()

    def timed(self) -> Timed:
        """Return when each delivery came, one reader behind the other, and `bodies`."""
        ended = array("d")
        for fd, chunks in self._chunks.items():
            rest = b""
            for chunk, time in zip(chunks, self._times[fd], strict=True):
                messages, rest = decode_frames(rest + chunk)
                ended.extend([time] * len(messages))
        return Timed(ended, ended, self.bodies())

    def spans(self) -> Timed:
        """Return when the first bytes and the last came to each reader, and `bodies`."""
        first, last = zip(*((times[0], times[-1]) for times in self._times.values()), strict=True)
        return Timed(array("d", first), array("d", last), self.bodies())

    def bodies(self) -> list[bytes]:
        """Return what came to each reader, as a JSON array.

        Raises:
            OSError: a reader did not get one datapoint after the other, each as it came.
        """
        known: dict[bytes, bytes] = {}
        found = []
        for chunks in self._chunks.values():
            raw = b"".join(chunks)
            if raw not in known:
                known[raw] = join_points(decode_frames(raw)[0])
            found.append(known[raw])
        return found


def join_points(messages: list[bytes]) -> bytes:
    """Return the datapoints that were delivered as a JSON array.

    Raises:
        OSError: a delivery is not the next one, or has not just one datapoint, or tells that some are left out.
    """
    parts: list[bytes] = []
    for message in messages:
        frame = _decode_frame(message)
        if frame.notice or len(frame.data) != 1 or frame.i not in (None, len(parts)):
            raise OSError(f"delivery {len(parts)} is not the next datapoint but {message[:300]!r}")
        parts.append(bytes(frame.data[0]))
    return b"[" + b",".join(parts) + b"]"
