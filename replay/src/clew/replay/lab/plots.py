"""Plots as SVG, to stand in a page: no script, no font and no picture from elsewhere. Pure.

Colours are the page's own (`currentColor` and CSS variables), so that they hold in the dark too.
"""

from collections.abc import Sequence
from html import escape
from typing import Final

from clew.replay.lab.intervals import Estimate

SIDE: Final = 260  # of the square that points are in, in pixels
LEFT: Final = 62  # for the labels of the vertical axis
FOOT: Final = 44
WIDTH: Final = 560
ROW: Final = 34


def scatter(points: Sequence[tuple[float, float]], title: str, unit: str) -> str:
    """Each run as a point, recorded across and now upwards; below the line is less than before."""
    top = max([value for point in points for value in point], default=0.0) or 1.0

    def x(value: float) -> float:
        return round(LEFT + value / top * SIDE, 1)

    def y(value: float) -> float:
        return round(10 + SIDE - value / top * SIDE, 1)

    dots = "".join(
        f'<circle cx="{x(was)}" cy="{y(now)}" r="4" class="dot"><title>{_number(was)} → {_number(now)}</title></circle>'
        for was, now in points
    )
    axes = f'<path d="M{LEFT} 10V{10 + SIDE}H{LEFT + SIDE}" class="axis"/>'
    line = f'<path d="M{x(0)} {y(0)}L{x(top)} {y(top)}" class="even"/>'
    words = [
        _text(LEFT - 6, 18, _number(top), "end"),
        _text(LEFT - 6, 10 + SIDE, "0", "end"),
        _text(LEFT + SIDE, 26 + SIDE, _number(top), "end"),
        _text(LEFT + SIDE / 2, 40 + SIDE, f"recorded, {unit}", "middle"),
        f'<text transform="translate(14 {10 + SIDE / 2}) rotate(-90)" text-anchor="middle">now, {escape(unit)}</text>',
    ]
    return _svg(LEFT + SIDE + 12, SIDE + FOOT + 10, title, axes + line + dots + "".join(words))


def shares(rows: Sequence[tuple[str, Estimate]], title: str) -> str:
    """Proportions as bars, each with its interval."""
    label, width = 190, WIDTH - 190 - 60
    parts: list[str] = []
    for number, (name, share) in enumerate(rows):
        middle = number * ROW + ROW / 2 + 4
        low, high = label + share.low * width, label + share.high * width
        ends = f"M{low:.1f} {middle}H{high:.1f}M{low:.1f} {middle - 5}v10M{high:.1f} {middle - 5}v10"
        parts += [
            _text(label - 8, middle + 4, name, "end"),
            f'<rect x="{label}" y="{middle - 9}" width="{width}" height="18" class="empty"/>',
            f'<rect x="{label}" y="{middle - 9}" width="{share.value * width:.1f}" height="18" class="bar"/>',
            f'<path d="{ends}" class="range"/>',
            _text(label + width + 8, middle + 4, f"{share.value:.0%}", "start"),
        ]
    return _svg(WIDTH, len(rows) * ROW + 8, title, "".join(parts))


def _svg(width: float, height: float, title: str, inside: str) -> str:
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    return f'<svg role="img" {size} xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>{inside}</svg>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
