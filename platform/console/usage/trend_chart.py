"""Charts of the overview's trends, drawn as SVG: a time as an area, the time before as dashes.

A picture is WIDTH by HEIGHT units, which the page stretches to its card.
"""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 300, 80
_TOP = 4  # room above the highest point, for the width of its line


@dataclass(frozen=True, slots=True)
class Column:
    """An hour or a day of a chart. `x` and `width` say where a click means it."""

    label: str
    now: int
    before: int
    url: str
    x: str
    width: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of one figure. Lines are the `points` of an SVG polyline; both have one scale."""

    columns: list[Column]
    line: str
    area: str
    line_before: str
    highest: int

    @classmethod
    def of(
        cls, labels: Sequence[str], now: Sequence[int], before: Sequence[int], urls: Sequence[str]
    ) -> "Chart":
        """Returns the chart of values by hour or day, oldest first.

        `before` counts hours or days from its own beginning. A change of the clocks can make it an
        hour longer or shorter: what is missing is 0.
        """
        filled = [*before[: len(now)], *[0] * (len(now) - len(before))]
        highest = max([*now, *filled, 0])
        line, width = _points(now, highest), WIDTH / max(1, len(now))
        rows = zip(labels, now, filled, urls, strict=True)
        columns = [
            Column(*row, f"{number * width:.1f}", f"{width:.1f}") for number, row in enumerate(rows)
        ]
        first_x, last_x = _x(0, len(now)), _x(len(now) - 1, len(now))
        area = f"{first_x},{HEIGHT} {line} {last_x},{HEIGHT}"
        return cls(columns, line, area, _points(filled, highest), highest)


def _points(values: Sequence[int], highest: int) -> str:
    places = ((_x(number, len(values)), _y(value, highest)) for number, value in enumerate(values))
    return " ".join(f"{x},{y}" for x, y in places)


def _x(number: int, count: int) -> float:
    """Returns the middle of a column."""
    return round((number + 0.5) * WIDTH / max(1, count), 1)


def _y(value: int, highest: int) -> float:
    return round(HEIGHT - value * (HEIGHT - _TOP) / max(1, highest), 1)
