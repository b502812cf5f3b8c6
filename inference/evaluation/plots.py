"""Plots of a report as SVG: values as bars, intervals as whiskers, baselines as dashes."""

from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape

WIDTH, BAR, GAP, LEFT, RIGHT = 640, 16, 34, 190, 70
COLOURS = {"candidate": "#066fd1", "against": "#667382"}
_FONT = 'font-family="system-ui, sans-serif" font-size="12"'
_MIDDLE = 12  # from the top of a bar to the base of its text


def bars(report: dict[str, Any], label: str) -> str:
    """Returns the plot of all figures, each on its own scale. `label` is read aloud."""
    rows = [row for row in report["figures"] if row["candidate"]]
    parts, top = list[str](), 4
    for row in rows:
        height = _height(row)
        parts += _row(row, top)
        top += height + GAP - BAR
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {max(top, 1)}" '
        f'role="img" aria-label="{escape(label, {chr(34): "&quot;"})}" {_FONT} '
        f'fill="currentColor">{"".join(parts)}</svg>'
    )


def _height(row: dict[str, Any]) -> int:
    return BAR * (2 if row["against"] else 1)


def _row(row: dict[str, Any], top: int) -> Iterator[str]:
    most = _most(row)
    yield f'<text x="0" y="{top + _MIDDLE}">{escape(row["name"].replace("_", " "))}</text>'
    sides = [side for side in COLOURS if row[side]]
    for number, side in enumerate(sides):
        yield from _bar(row[side], top + number * BAR, most, COLOURS[side])
    bottom = top + BAR * len(sides)
    for value in row["baselines"].values():
        x = _x(value, most)
        yield (
            f'<line x1="{x}" x2="{x}" y1="{top - 2}" y2="{bottom + 1}" stroke="#d63939" '
            'stroke-width="2" stroke-dasharray="3 2"/>'
        )


def _bar(side: dict[str, Any], y: int, most: float, colour: str) -> Iterator[str]:
    end, low, high = (_x(side[name], most) for name in ("value", "low", "high"))
    middle = y + BAR // 2 - 1
    yield (
        f'<rect x="{LEFT}" y="{y}" width="{max(1, end - LEFT)}" height="{BAR - 3}" '
        f'fill="{colour}" fill-opacity="0.75"/>'
        f'<line x1="{low}" x2="{high}" y1="{middle}" y2="{middle}" stroke="currentColor"/>'
        f'<text x="{WIDTH}" y="{y + _MIDDLE}" text-anchor="end">{side["value"]:.4g}</text>'
    )


def _most(row: dict[str, Any]) -> float:
    """Returns the value at the end of the row's scale, which far baselines do not stretch."""
    shown: list[float] = [row[side]["high"] for side in COLOURS if row[side]]
    near: list[float] = [value for value in row["baselines"].values() if value <= 3 * max(shown)]
    return max([*shown, *near, 1e-9])


def _x(value: float, most: float) -> int:
    room = WIDTH - LEFT - RIGHT
    return LEFT + round(room * min(1.0, value / most))
