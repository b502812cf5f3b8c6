"""Lines and areas over time, as SVG."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from itertools import groupby
from math import floor, log10

from deploy.grafana.panel import BAD, Kind, Panel
from deploy.grafana.prometheus import Series, Span
from deploy.grafana.units import said

_STEPS = (1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10)
COLOURS = ("#2f6fb5", "#d08a2e", "#1a7f4b", "#8a5bb5", "#c0272d", "#5d7287")
LEFT, TOP, BOTTOM, LINE = 52, 28, 46, 13
IN_A_ROW, LETTER = 2, 5.9  # of a legend, and how wide one of its letters is
Named = list[tuple[str, Series]]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    x: float
    y: float
    width: float
    height: float

    def drawn(self, kind: str) -> str:
        size = f'width="{self.width:g}" height="{self.height:g}"'
        return f'<rect x="{self.x:g}" y="{self.y:g}" {size} rx="4" class="{kind}"/>'


@dataclass(frozen=True, slots=True)
class _Scale:
    """From moments and values to places."""

    span: Span
    most: float
    box: Box  # of the lines alone

    def x(self, at: float) -> float:
        share = (at - self.span.start) / (self.span.end - self.span.start)
        return round(self.box.x + share * self.box.width)

    def y(self, value: float) -> float:
        share = min(value / self.most, 1.0)
        return round(self.box.y + self.box.height * (1 - share), 1)


def drawn(panel: Panel, lines: Named, span: Span, box: Box) -> Iterable[str]:
    rows = 1 + (len(lines) - 1) // IN_A_ROW
    inner = Box(
        box.x + LEFT,
        box.y + TOP,
        box.width - LEFT - 10,
        box.height - TOP - BOTTOM - rows * LINE + 20,
    )
    stacked = panel.kind is Kind.AREAS
    layers = list(_layers(lines)) if stacked else [(series, {}) for _name, series in lines]
    scale = _Scale(span, _most(panel, layers), inner)
    yield from _grid(panel, scale)
    for colour, (series, below) in zip(COLOURS, layers, strict=False):
        yield from _area(series, below, scale, colour) if stacked else _line(series, scale, colour)
    yield from _limits(panel, scale)
    yield from _legend(panel, lines, box, inner)


def _layers(lines: Named) -> Iterator[tuple[Series, dict[float, float]]]:
    """Each with what lies under it."""
    below: dict[float, float] = {}
    for _name, series in lines:
        known = [(at, value) for at, value in series.points if value == value]
        raised = [(at, value + below.get(at, 0.0)) for at, value in known]
        yield Series(series.labels, raised), dict(below)
        below.update(raised)


def _most(panel: Panel, layers: list[tuple[Series, dict[float, float]]]) -> float:
    if panel.most:
        return panel.most
    values = [value for series, _ in layers for _at, value in series.points if value == value]
    highest = max(values, default=0.0)
    near = [at for at, _colour in panel.limits if at <= 2 * highest]
    return _round(max([highest, *near]) * 1.05) or 1.0


def _round(value: float) -> float:
    """Up to a figure that reads well, at its half too."""
    size = 10 ** floor(log10(value)) if value else 0.0
    return next((size * step for step in _STEPS if size * step >= value), value)


def _grid(panel: Panel, scale: _Scale) -> Iterable[str]:
    box = scale.box
    for share in (0, 0.5, 1):
        value = share * scale.most
        y = scale.y(value)
        yield f'<path d="M{box.x:g} {y:g}h{box.width:g}" class="grid"/>'
        yield _until(box.x - 5, y + 3, said(value, panel.unit, short=True))
    minutes = (scale.span.end - scale.span.start) / 60
    y = box.y + box.height + 12
    yield words(box.x, y, f"{minutes:.0f} min ago", "small")
    yield _until(box.x + box.width, y, "now")


def _until(x: float, y: float, text: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" class="small" text-anchor="end">{escape(text)}</text>'


def _line(series: Series, scale: _Scale, colour: str) -> Iterable[str]:
    """It breaks where nothing is known."""
    for known, points in groupby(series.points, key=lambda point: point[1] == point[1]):
        if known:
            drawn_as = f'fill="none" stroke="{colour}" stroke-width="1.5"'
            yield f'<polyline points="{_path(points, scale)}" {drawn_as}/>'


def _area(series: Series, below: dict[float, float], scale: _Scale, colour: str) -> Iterable[str]:
    top: list[Point] = series.points
    bottom = [(at, below.get(at, 0.0)) for at, _value in reversed(top)]
    path = f"{_path(top, scale)} {_path(bottom, scale)}"
    yield f'<polygon points="{path}" fill="{colour}" fill-opacity=".35" stroke="none"/>'
    yield from _line(series, scale, colour)


def _path(points: Iterable[Point], scale: _Scale) -> str:
    """Without those in the middle of a level stretch."""
    found = [(scale.x(at), scale.y(value)) for at, value in points]
    kept = [
        (x, y)
        for i, (x, y) in enumerate(found)
        if i in (0, len(found) - 1) or not found[i - 1][1] == y == found[i + 1][1]
    ]
    return " ".join(f"{x},{y:g}" for x, y in kept)


def _limits(panel: Panel, scale: _Scale) -> Iterable[str]:
    for at, colour in panel.limits:
        if at <= scale.most:
            shade = "#c0272d" if colour == BAD else "#d08a2e"
            path = f"M{scale.box.x:g} {scale.y(at):g}h{scale.box.width:g}"
            yield f'<path d="{path}" stroke="{shade}" stroke-dasharray="4 3"/>'


def _legend(panel: Panel, lines: Named, box: Box, inner: Box) -> Iterable[str]:
    width = (box.width - 16) / IN_A_ROW
    for number, (colour, (name, series)) in enumerate(zip(COLOURS, lines, strict=False)):
        x, y = box.x + 8 + number % IN_A_ROW * width, inner.y + inner.height + 28
        y += number // IN_A_ROW * LINE
        last = next((value for _at, value in reversed(series.points) if value == value), 0.0)
        figure = said(last, panel.unit)
        room = int((width - 13) / LETTER) - len(figure) - 1
        text = f"{short(name, room)} {figure}".strip()
        yield f'<rect x="{x:g}" y="{y - 7:g}" width="9" height="3" fill="{colour}"/>'
        yield words(x + 13, y, text, "small")


def short(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def words(x: float, y: float, text: str, kind: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(text)}</text>'
