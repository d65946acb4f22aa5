"""Lines on logarithmic axes, several panels of them in one SVG picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from xml.sax.saxutils import escape

__all__ = ["Panel", "draw"]

_WIDTH, _HEIGHT = 380, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 18, 54, 40
_INSET = 22
_MARGIN = 16
_HEAD = 52
_COLORS = ("#1f6fb4", "#d1622b", "#3d8b46", "#8757a5")
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


@dataclass(frozen=True)
class Panel:
    """One picture in the picture.

    Attributes:
        across: What the numbers across are.
        lines: Points of each line, by its name; all above 0.
    """

    title: str
    across: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


def draw(title: str, caption: str, panels: Sequence[Panel], columns: int = 3) -> str:
    """Return *panels* as SVG, *columns* of them side by side."""
    rows = ceil(len(panels) / columns)
    width, height = columns * _WIDTH + 2 * _MARGIN, rows * _HEIGHT + _HEAD + 2 * _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="11" fill="#333">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="{_MARGIN}" y="{_MARGIN + 16}" font-size="17" font-weight="bold">{escape(title)}</text>',
        f'<text x="{_MARGIN}" y="{_MARGIN + 35}" fill="#666">{escape(caption)}</text>',
    ]
    for i, panel in enumerate(panels):
        x, y = _MARGIN + i % columns * _WIDTH, _MARGIN + _HEAD + i // columns * _HEIGHT
        parts += [f'<g transform="translate({x} {y})">', *_panel(panel), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel) -> Iterator[str]:
    yield f'<text x="{_LEFT}" y="18" font-size="13" font-weight="bold">{escape(panel.title)}</text>'
    points = [point for line in panel.lines.values() for point in line]
    if not points:
        yield f'<text x="{_LEFT}" y="{_TOP + 20}" fill="#666">not measured</text>'
        return
    x_low, x_high = _decades([x for x, _ in points])
    y_low, y_high = _decades([y for _, y in points])
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        across = (log10(x) - x_low) / (x_high - x_low)
        up = (log10(y) - y_low) / (y_high - y_low)
        return round(_LEFT + _INSET + across * (right - _LEFT - 2 * _INSET), 1), round(bottom - up * (bottom - _TOP), 1)

    for power in range(x_low, x_high + 1):
        x, _ = at(10.0**power, 10.0**y_low)
        yield f'<path d="M{x} {_TOP}V{bottom}" stroke="#e4e4e4"/>'
        yield f'<text x="{x}" y="{bottom + 15}" text-anchor="middle">{_ten(power)}</text>'
    for power in range(y_low, y_high + 1):
        _, y = at(10.0**x_low, 10.0**power)
        yield f'<path d="M{_LEFT} {y}H{right}" stroke="#e4e4e4"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{_plain(power)}</text>'
    middle = (_LEFT + right) / 2
    yield f'<text x="{middle}" y="{bottom + 31}" text-anchor="middle" fill="#666">{escape(panel.across)}</text>'
    key_x = float(_LEFT)
    for color, (name, line) in zip(_COLORS, panel.lines.items(), strict=False):
        places = [at(x, y) for x, y in sorted(line)]
        path = "L".join(f"{x} {y}" for x, y in places)
        yield f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="2"/>'
        for (x, y), (across, value) in zip(places, sorted(line), strict=True):
            yield f'<circle cx="{x}" cy="{y}" r="3" fill="{color}"/>'
            is_lower = any(value < other for one, other in points if one == across)
            label_y = y + (16 if is_lower and y + 16 < bottom else -7)
            yield f'<text x="{x}" y="{label_y}" text-anchor="middle" fill="{color}">{_number(value)}</text>'
        yield f'<rect x="{key_x}" y="27" width="10" height="10" fill="{color}"/>'
        yield f'<text x="{key_x + 14}" y="36">{escape(name)}</text>'
        key_x += 30 + 6.2 * len(name)


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """Return the powers of ten between which *values* lie, at least two of them."""
    low, high = floor(log10(min(values))), ceil(log10(max(values)))
    return low, max(high, low + 1)


def _ten(power: int) -> str:
    return "10" + str(power).translate(_SUPERSCRIPTS)


def _plain(power: int) -> str:
    return f"{10**power:,}" if 0 <= power <= 4 else f"{10.0**power:g}" if -3 <= power < 0 else _ten(power)


def _number(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
