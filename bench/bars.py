"""Bars as SVG. A plotting library would be a hundred times larger than they are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from bench.figures import cell

WIDTH, LABELS, BAR = 760, 190, 16
BLUE = "#2563c9"


@dataclass(frozen=True, slots=True)
class Bar:
    """One of a group. `name` stands behind its figure."""

    group: str
    name: str
    value: float
    colour: str = BLUE


@dataclass(frozen=True, slots=True)
class Chart:
    title: str
    bars: Sequence[Bar]


def drawn(charts: Sequence[Chart], footer: str) -> str:
    """Returns the charts below one another, as one file."""
    height, body = 10, list[str]()
    for chart in charts:
        body += _drawn(chart, height)
        height += 58 + len(chart.bars) * BAR + len({bar.group for bar in chart.bars}) * 12
    body.append(_text(10, height + 6, footer, size=11))
    height += 20
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="system-ui, sans-serif">'
        f"{_rectangle(0, 0, WIDTH, height, '#ffffff')}{''.join(body)}</svg>\n"
    )


def _drawn(chart: Chart, top: int) -> Iterator[str]:
    longest = max((bar.value for bar in chart.bars), default=1.0)
    yield _text(10, top + 22, chart.title, size=15, weight="bold")
    y = top + 40
    for group in dict.fromkeys(bar.group for bar in chart.bars):
        yield _text(10, y + 12, group)
        for bar in (bar for bar in chart.bars if bar.group == group):
            length = bar.value / (longest or 1) * (WIDTH - LABELS - 170)
            yield _rectangle(LABELS, y, length, BAR - 3, bar.colour)
            yield _text(LABELS + length + 6, y + 11, f"{cell(bar.value)}  {bar.name}")
            y += BAR
        y += 12


def _text(x: float, y: float, words: str, size: int = 12, weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" '
        f'fill="#1f2933">{escape(words)}</text>'
    )


def _rectangle(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" fill="{colour}"/>'
