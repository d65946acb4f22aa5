"""The transforms of the language. Importing this registers them."""

from . import aggregate, dates, flow, grouping, numeric, objects, words

__all__ = ["aggregate", "dates", "flow", "grouping", "numeric", "objects", "words"]
