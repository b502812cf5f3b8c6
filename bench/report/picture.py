"""Small bar and line charts as SVG, without a plotting library."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Protocol

WIDTH = 760
LABELS = 190
BAR = 16
COLOURS = {
    "direct": "#9aa5b1",
    "LiteLLM": "#e07a3f",
    "vllm-router": "#12a07a",
    "Forebay": "#2563c9",
}
OTHER = ("#2563c9", "#12a07a", "#9aa5b1")


class Chart(Protocol):
    def height(self) -> int: ...

    def draw(self, top: int) -> str: ...


@dataclass(slots=True)
class Bars:
    """Groups of bars, for example per load: (label, {series: value})."""

    title: str
    groups: list[tuple[str, dict[str, float]]]

    def height(self) -> int:
        return 44 + sum(len(values) * BAR + 12 for _, values in self.groups)

    def draw(self, top: int) -> str:
        longest = max((v for _, values in self.groups for v in values.values()), default=1) or 1
        parts = [text(10, top + 22, self.title, size=15, weight="bold")]
        y = top + 40
        for label, values in self.groups:
            parts.append(text(10, y + 12, label))
            for name, value in values.items():
                length = value / longest * (WIDTH - LABELS - 170)
                colour = COLOURS.get(name, OTHER[0])
                parts.append(rectangle(LABELS, y, length, BAR - 3, colour))
                parts.append(text(LABELS + length + 6, y + 11, f"{short(value)}  {name}"))
                y += BAR
            y += 12
        return "".join(parts)


@dataclass(slots=True)
class Lines:
    """Values over a common x, one line per series."""

    title: str
    xs: Sequence[float]
    series: dict[str, Sequence[float]]
    unit: str = "requests"  # of x

    def height(self) -> int:
        return 230

    def draw(self, top: int) -> str:
        parts = [text(10, top + 22, self.title, size=15, weight="bold")]
        highest = max((max(ys) for ys in self.series.values()), default=1) * 1.1 or 1
        left, right, bottom, rise = 60, WIDTH - 130, top + 200, 160
        end = self.xs[-1] or 1
        ends: list[tuple[float, str]] = []
        for share in (0, 0.5, 1):
            y = bottom - share * rise
            parts.append(f'<path d="M{left} {y:.1f}H{right}" stroke="#d5dbe1"/>')
            parts.append(text(14, y + 4, short(highest * share)))
        for colour, (name, ys) in zip(OTHER, self.series.items(), strict=False):
            points = [
                (left + x / end * (right - left), bottom - y / highest * rise)
                for x, y in zip(self.xs, ys, strict=True)
            ]
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            parts.append(
                f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>'
            )
            ends.append((points[-1][1] + 4, f"{name} {short(ys[-1])}"))
        lowest = 0.0
        for y, words in sorted(ends):
            lowest = max(y, lowest + 14)
            parts.append(text(right + 8, lowest, words))
        parts.append(text(left, bottom + 18, "0"))
        parts.append(text(right - 50, bottom + 18, f"{end:,.0f} {self.unit}"))
        return "".join(parts)


def document(charts: Sequence[Chart], footer: str) -> str:
    height, body = 10, []
    for chart in charts:
        body.append(chart.draw(height))
        height += chart.height() + 14
    body.append(text(10, height + 6, footer, size=11))
    height += 20
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="system-ui, sans-serif">'
        f"{rectangle(0, 0, WIDTH, height, '#ffffff')}{''.join(body)}</svg>\n"
    )


def text(x: float, y: float, words: str, size: int = 12, weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" '
        f'fill="#1f2933">{escape(words)}</text>'
    )


def rectangle(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" fill="{colour}"/>'


def short(value: float) -> str:
    """Three significant figures, thousands with a comma."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
