"""What a schema costs: combinations and references multiply, and few lines of schema can be work for hours."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote

__all__ = ["EXPANSION_MAX", "Cost", "is_deeper", "measure"]

EXPANSION_MAX = 20_000
"""A schema that has more parts than this, with each reference written out, is refused."""
EXPLAINED_EXPANSION_MAX = 500
"""In a larger schema it is not looked for which part does not fit: engines collect the failures of all of them."""
WORK_MAX = 1_000_000
"""About how many parts of a schema a value may be held against."""


class Cost(NamedTuple):
    """How much work a schema can be.

    Attributes:
        expansion: How many parts it has with each reference written out, but for those back to where they stand in.
        depth_max: How deep a value may be nested, so that it can be checked in time; ``None``: no matter.
    """

    expansion: int
    depth_max: int | None

    @property
    def explainable(self) -> bool:
        """Whether an engine may be asked what exactly does not fit."""
        return self.expansion <= EXPLAINED_EXPANSION_MAX and self.depth_max is None


def measure(schema: dict[str, Any]) -> Cost:
    """Return what *schema* costs.

    A reference back to a part that it stands in (a tree, say) is work for each level of a value. If several of them
    are alternatives to each other, the work is multiplied with each level, so the levels are bounded.

    Raises:
        ValueError: too much, or a reference that is not to a part of the schema itself (``#/...``).
    """
    expansion = returns = 0
    # Node, the references that were followed to get there, and whether it is one of several for the same value.
    todo: list[tuple[Any, frozenset[str], bool]] = [(schema, frozenset({"#"}), False)]
    while todo:
        node, followed, combined = todo.pop()
        if not isinstance(node, dict):
            continue
        expansion += 1
        if expansion > EXPANSION_MAX:
            raise ValueError(f"with its references written out it has more than {EXPANSION_MAX} parts")
        reference = node.get("$ref")
        if isinstance(reference, str):
            if reference in followed:
                returns += combined
            else:
                todo.append((_resolve(schema, reference), followed | {reference}, combined))
            continue
        todo += [(part, followed, combined) for part in _children(node)]
        todo += [(part, followed, True) for part in _alternatives(node)]
    if returns < 2:
        return Cost(expansion, None)
    return Cost(expansion, max(1, int(math.log(WORK_MAX / expansion) / math.log(returns))))


def _children(node: dict[str, Any]) -> Iterator[Any]:
    """The schemas for what is inside of a value."""
    for key in ("properties", "patternProperties"):
        parts = node.get(key)
        if isinstance(parts, dict):
            yield from parts.values()
    for key in ("additionalProperties", "additionalItems"):
        yield node.get(key)
    items = node.get("items")
    yield from items if isinstance(items, list) else (items,)


def _alternatives(node: dict[str, Any]) -> Iterator[Any]:
    """The schemas for the value itself."""
    for key in ("allOf", "anyOf", "oneOf"):
        parts = node.get(key)
        if isinstance(parts, list):
            yield from parts
    yield node.get("not")
    dependencies = node.get("dependencies")
    if isinstance(dependencies, dict):
        yield from dependencies.values()


def _resolve(schema: dict[str, Any], reference: str) -> Any:
    pointer, found = reference, schema
    if pointer != "#" and not pointer.startswith("#/"):
        raise ValueError(f"references outside of the schema are not followed: {reference}")
    for step in pointer.split("/")[1:]:
        key = unquote(step).replace("~1", "/").replace("~0", "~")
        inside: Any = found
        if isinstance(inside, list) and key.isdecimal() and int(key) < len(inside):
            found = inside[int(key)]
        elif isinstance(inside, dict) and key in inside:
            found = inside[key]
        else:
            raise ValueError(f"nothing is at the reference {reference}")
    return found


def is_deeper(value: Any, depth_max: int) -> bool:
    """Whether lists and objects are nested more than *depth_max* deep in *value*."""
    level = [value]
    for _ in range(depth_max + 1):
        level = [
            part
            for outer in level
            if isinstance(outer, dict | list)
            for part in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True
