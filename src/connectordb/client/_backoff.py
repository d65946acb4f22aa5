"""How long to wait before the next attempt to connect."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Backoff"]

FIRST_S = 0.75
FACTOR = 1.5
MAX_S = 60.0
JITTER = 0.2


class Backoff:
    """Pauses that grow, so that a server which is down is not hammered.

    Each is chosen at random within 20 % around its length, so that many clients do not come back all at once.

    Args:
        rand: Gives a random number in ``[0, 1)``.
    """

    def __init__(self, rand: Callable[[], float]) -> None:
        self._rand = rand
        self._pause_s = FIRST_S

    def next_s(self) -> float:
        """The next pause, in seconds."""
        pause_s = self._pause_s
        self._pause_s = min(MAX_S, pause_s * FACTOR)
        return pause_s * (1 + JITTER * (2 * self._rand() - 1))

    def reset(self) -> None:
        """Begin with short pauses again."""
        self._pause_s = FIRST_S
