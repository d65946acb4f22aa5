"""Fewer datapoints that look like all of them."""

from __future__ import annotations

import importlib
import math
from typing import TYPE_CHECKING, Any, Final

from ...columns import numpy
from ..batch import Batch
from ..limits import DEFAULT_LIMITS, Keep
from ..registry import Arg, Example, Filter, Point, transform
from ..values import Failure, integer, number

if TYPE_CHECKING:
    from ...columns import Floats

POINT_BYTES: Final = 24
"""About what a datapoint takes in memory, in arrays, and twice for a moment."""
_PIECE: Final = 4096


def _downsampler() -> Any:
    try:
        return importlib.import_module("tsdownsample").LTTBDownsampler()
    except ImportError:
        raise Failure('it needs tsdownsample: pip install "connectordb[pipescript]"') from None


class Thinning:
    """Keeps all datapoints.

    Attributes:
        t: Time stamps that are in no array yet; *x* are their values.
        kept: The arrays of the others.
    """

    def __init__(self, keep: Keep, n: int) -> None:
        self.keep = keep
        self.wanted = n
        self.n = 0
        self.t: list[float] = []
        self.x: list[float] = []
        self.kept: list[tuple[Floats, Floats]] = []

    def feed(self, t: float, d: Any) -> Point | None:
        x = number(d)
        if not (math.isfinite(x) and math.isfinite(t)):
            raise Failure("only finite numbers can be drawn")
        self.grow(1)
        self.t.append(t)
        self.x.append(x)
        if len(self.t) == _PIECE:
            self.settle()
        return None

    def grow(self, n: int) -> None:
        self.keep.points(self.n + n, "lttb")
        self.keep.add(n * POINT_BYTES)
        self.n += n

    def settle(self) -> None:
        """Make arrays of all."""
        np = numpy()
        if self.t:
            self.kept.append((np.array(self.t, np.float64), np.array(self.x, np.float64)))
            self.t, self.x = [], []

    def end(self) -> Batch | None:
        if not self.n:
            return None
        self.settle()
        np = numpy()
        t, x = (np.concatenate([part[i] for part in self.kept]) for i in (0, 1))
        self.kept = []
        if self.n <= self.wanted:
            return Batch.of(t, x)
        which = _downsampler().downsample(t, x, n_out=self.wanted)
        return Batch.of(t[which], x[which])


@transform(
    "lttb",
    Arg("n", "integer", "how many datapoints are wanted, 3 or more", constant=True),
    kind="filter",
    keeps=True,
    since="0.4",
    doc="Numbers thinned for a plot: the n datapoints among which a line looks most like the one among all of them, "
    "the first and the last included (Largest-Triangle-Three-Buckets). All come at the end. Of at most "
    f"{DEFAULT_LIMITS.script_points_max} datapoints, unless the setting script_points_max says otherwise. "
    "Needs the package 'tsdownsample'.",
    examples=[
        Example("lttb(3)", [1, 2, 9, 2, 1], [1, 9, 1], times=[1, 3, 5]),
        Example("lttb(100)", [3, 1, 2], [3, 1, 2]),
    ],
)
def lttb(keep: Keep, n: Any) -> Filter:
    wanted = integer(n)
    if wanted < 3:
        raise Failure(f"it gives 3 datapoints or more, not {wanted}")
    if wanted > keep.limits.script_points_max:
        raise Failure(f"it gives at most {keep.limits.script_points_max} datapoints (limit script_points_max)")
    _downsampler()
    thinning = Thinning(keep, wanted)
    return Filter(thinning.feed, thinning.end, thinning)
