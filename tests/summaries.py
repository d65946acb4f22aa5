"""Datapoints cut into what `Store.read_summaries` yields: blocks, and what is known of runs of numbers."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from connectordb.block import Block
from connectordb.columns import to_column
from connectordb.datapoint import Datapoint
from connectordb.store.records import Summary

Points = list[tuple[float, Any]]


def summary_of(points: Points) -> Summary:
    """What is known of *points*, which are numbers."""
    t_low, low = min(points, key=lambda point: point[1])
    t_high, high = max(points, key=lambda point: point[1])
    d = [value for _, value in points]
    total = sum(d) if all(type(value) is int for value in d) else math.fsum(d)
    return Summary(len(d), points[0][0], points[-1][0], low, t_low, high, t_high, total, d[0], d[-1])


def block_of(points: Points, *, columns: bool = False) -> Block:
    """A block of *points*: of columns if they can be, or of text."""
    column = to_column([d for _, d in points]) if columns else None
    if column is not None:
        return Block.of_columns(np.array([t for t, _ in points]), column)
    return Block(len(points), points[0][0], points[-1][0], json=Block.of([Datapoint(*p) for p in points]).json)


def is_known(points: Points) -> bool:
    """Whether something may be known of a run of *points*."""
    return all(type(d) is float or (type(d) is int and abs(d) < 2**53) for _, d in points)


def cut(
    points: Points, size: int, seed: int, fits: Callable[[float, float], bool] | None = None
) -> Iterator[Block | Sequence[Summary]]:
    """Yield *points* in runs of at most *size*: what is known of it for about two of three."""
    rng = random.Random(seed)
    known: list[Summary] = []
    start = 0
    while start < len(points):
        stop = start + rng.randint(1, size)
        run = points[start:stop]
        start = stop
        if rng.random() < 0.66 and is_known(run) and (fits is None or fits(run[0][0], run[-1][0])):
            known.append(summary_of(run))
            continue
        if known:
            yield known
            known = []
        yield block_of(run, columns=rng.random() < 0.5)
    if known:
        yield known
