"""Pauses between attempts to connect."""

from __future__ import annotations

import pytest

from connectordb.client._backoff import Backoff


def test_pauses_grow_up_to_a_bound() -> None:
    backoff = Backoff(lambda: 0.5)
    pauses = [backoff.next_s() for _ in range(14)]
    assert pauses[:4] == pytest.approx([0.75, 1.125, 1.6875, 2.53125])
    assert pauses[-3:] == [60.0] * 3
    backoff.reset()
    assert backoff.next_s() == 0.75


@pytest.mark.parametrize(("draw", "pause_s"), [(0.0, 0.6), (0.5, 0.75), (1.0, 0.9)])
def test_pauses_are_random_around_that(draw: float, pause_s: float) -> None:
    assert Backoff(lambda: draw).next_s() == pytest.approx(pause_s)
