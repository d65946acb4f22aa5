"""The transforms of the language. Importing this registers them."""

from . import aggregate, dates, flow, grouping, numeric, objects, statistics, thinning, windows, words

__all__ = [
    "aggregate",
    "dates",
    "flow",
    "grouping",
    "numeric",
    "objects",
    "statistics",
    "thinning",
    "windows",
    "words",
]
