"""A chart of figures over runs, each run as far from the next as any other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.svg_plot import OTHER, WIDTH, short, text

LEFT, RIGHT, RISE = 60, WIDTH - 130, 150
LABEL = 62  # what a commit's name takes
RADIUS = 3.5


@dataclass(slots=True)
class Runs:
    """One line per series; None where a run did not measure it, which leaves a gap."""

    title: str
    labels: Sequence[str]
    series: dict[str, Sequence[float | None]]

    def height(self) -> int:
        return 224

    def draw(self, top: int) -> str:
        highest = _even(max((y for ys in self.series.values() for y in ys if y), default=1.0))
        bottom = top + 192
        parts = [text(10, top + 22, self.title, size=15, weight="bold")]
        parts += [_grid(bottom, share, highest) for share in (0, 0.5, 1)]
        ends: list[tuple[float, str]] = []
        for colour, (name, ys) in zip(OTHER, self.series.items(), strict=False):
            points = self._points(ys, bottom, highest)
            parts += [_line(points, colour), *(_dot(point, colour) for point in points if point)]
            if known := [(p, y) for p, y in zip(points, ys, strict=True) if p and y is not None]:
                (_, height), value = known[-1]
                ends.append((height + 4, f"{short(value)} {name}"))
        parts += [text(RIGHT + 10, y, words) for y, words in _apart(ends)]
        return "".join([*parts, *self._ticks(bottom)])

    def _points(
        self, ys: Sequence[float | None], bottom: int, highest: float
    ) -> list[tuple[float, float] | None]:
        return [
            None if y is None else (self._x(place), bottom - y / highest * RISE)
            for place, y in enumerate(ys)
        ]

    def _x(self, place: int) -> float:
        return LEFT + 30 + place * (RIGHT - LEFT - 30) / max(len(self.labels) - 1, 1)

    def _ticks(self, bottom: int) -> list[str]:
        """As many labels as there is room for, the last one always."""
        last = len(self.labels) - 1
        step = max(1, -(-LABEL * last // (RIGHT - LEFT - 30)))
        return [
            text(self._x(place) - 24, bottom + 18, label)
            for place, label in enumerate(self.labels)
            if (last - place) % step == 0
        ]


def _even(highest: float) -> float:
    """The next figure above whose half is a round one too."""
    power: float = 10 ** math.floor(math.log10(highest))
    return next(power * n for n in (2, 3, 4, 5, 6, 8, 10, 20) if power * n >= highest * 1.02)


def _grid(bottom: int, share: float, highest: float) -> str:
    y = bottom - share * RISE
    line = f'<path d="M{LEFT} {y:.1f}H{RIGHT}" stroke="#d5dbe1"/>'
    return line + text(14, y + 4, short(highest * share))


def _line(points: Sequence[tuple[float, float] | None], colour: str) -> str:
    """A path that begins anew after each gap."""
    path, command = "", "M"
    for point in points:
        if point is None:
            command = "M"
            continue
        path += f"{command}{point[0]:.1f} {point[1]:.1f}"
        command = "L"
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _dot(point: tuple[float, float], colour: str) -> str:
    return f'<circle cx="{point[0]:.1f}" cy="{point[1]:.1f}" r="{RADIUS}" fill="{colour}"/>'


def _apart(ends: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """Words at the lines' ends, none over another."""
    lowest, placed = 0.0, []
    for y, words in sorted(ends):
        lowest = max(y, lowest + 14)
        placed.append((lowest, words))
    return placed
