"""Plots of a report as SVG: reliability of probabilities, and costs by threshold."""

from collections.abc import Iterator, Sequence
from typing import Any
from xml.sax.saxutils import escape

SIZE, LEFT, BOTTOM, TOP, RIGHT = 320, 46, 34, 26, 12
WIDE = 480
_LATIN = 0x2E80  # letters from here on are as wide as they are high
COLOURS = {"policy": "#066fd1", "model": "#0ca678", "tree": "#f59f00"}
_FONT = 'font-family="system-ui, sans-serif" font-size="12"'
_DASHES = 'stroke="#d63939" stroke-width="1.5" stroke-dasharray="3 2"'
Point = tuple[float, float]


def reliability(report: dict[str, Any], label: str, words: dict[str, str]) -> str:
    """Returns the share of positives over the mean score of each bin, with intervals.

    `label` is read aloud. `words` has those of the axes, `score` and `rate`.
    """
    frame = _Frame(SIZE, 1.0, 1.0)
    parts = [*frame.axes(words["score"], words["rate"])]
    (x0, y0), (x1, y1) = frame.at(0, 0), frame.at(1, 1)
    parts.append(f'<line x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}" {_DASHES}/>')
    for name, side in sides_of(report):
        parts += _reliability(frame, side["reliability"], COLOURS[name])
    parts += _legend(sides_of(report), words)
    return _svg(frame.width, label, parts)


def costs(report: dict[str, Any], label: str, words: dict[str, str]) -> str:
    """Returns the cost of a row by threshold, with that of approving everything as dashes.

    `words` has those of the axes, `threshold` and `cost`.
    """
    never = report["never"]["cost"]
    sides = sides_of(report)
    worst = max([never, *(min(p["cost"], 2 * never) for _n, s in sides for p in s["curve"])])
    frame = _Frame(WIDE, 1.0, max(worst, 1e-9) * 1.05)
    parts = [*frame.axes(words["threshold"], words["cost"])]
    (x0, y), (x1, _y) = frame.at(0, never), frame.at(1, never)
    parts.append(f'<line x1="{x0}" y1="{y}" x2="{x1}" y2="{y}" {_DASHES}/>')
    for name, side in sides:
        points = [(p["threshold"], p["cost"]) for p in side["curve"] if p["cost"] <= frame.most_y]
        parts.append(_line([frame.at(*point) for point in points], COLOURS[name]))
    for bound in (report["thresholds"]["review"], report["thresholds"]["block"]):
        x, top = frame.at(bound, frame.most_y)
        parts.append(
            f'<line x1="{x}" y1="{top}" x2="{x}" y2="{frame.floor}" stroke="currentColor" '
            'stroke-opacity="0.4"/>'
        )
    parts += _legend(sides, words)
    return _svg(frame.width, label, parts)


def sides_of(report: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Returns the sides in one order, which JSON in PostgreSQL does not keep."""
    return [(name, report["sides"][name]) for name in COLOURS if name in report["sides"]]


class _Frame:
    """A plane from 0 to `most_x` and `most_y`, and where its points are on the picture."""

    def __init__(self, width: int, most_x: float, most_y: float) -> None:
        self.width, self.most_x, self.most_y = width, most_x, most_y
        self.floor = SIZE - BOTTOM

    def at(self, x: float, y: float) -> tuple[float, float]:
        room_x, room_y = self.width - LEFT - RIGHT, self.floor - TOP
        across, up = min(1.0, max(0.0, x / self.most_x)), min(1.0, max(0.0, y / self.most_y))
        return round(LEFT + room_x * across, 1), round(self.floor - room_y * up, 1)

    def axes(self, across: str, up: str) -> Iterator[str]:
        x0, y0 = self.at(0, 0)
        x1, y1 = self.at(self.most_x, self.most_y)
        yield (
            f'<path d="M{x0} {y1}V{y0}H{x1}" fill="none" stroke="currentColor" '
            'stroke-opacity="0.5"/>'
        )
        for part in (0.0, 0.5, 1.0):
            x, y = self.at(self.most_x * part, self.most_y * part)
            across_at, up_at = f"{self.most_x * part:.3g}", f"{self.most_y * part:.3g}"
            yield f'<text x="{x}" y="{y0 + 14}" text-anchor="middle">{across_at}</text>'
            yield f'<text x="{x0 - 5}" y="{y + 4}" text-anchor="end">{up_at}</text>'
        yield (
            f'<text x="{(x0 + x1) / 2}" y="{SIZE - 5}" text-anchor="middle">{escape(across)}</text>'
            f'<text transform="translate(12 {(y0 + y1) / 2}) rotate(-90)" text-anchor="middle">'
            f"{escape(up)}</text>"
        )


def _reliability(frame: _Frame, bins: Sequence[dict[str, Any]], colour: str) -> Iterator[str]:
    points = [frame.at(each["mean_score"], each["rate"]) for each in bins]
    for (x, _y), each in zip(points, bins, strict=True):
        low, high = frame.at(0, each["low"])[1], frame.at(0, each["high"])[1]
        yield f'<line x1="{x}" y1="{low}" x2="{x}" y2="{high}" stroke="{colour}"/>'
    for x, y in points:
        yield f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>'
    yield _line(points, colour)


def _line(points: Sequence[Point], colour: str) -> str:
    path = " ".join(f"{x},{y}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _legend(sides: Sequence[tuple[str, Any]], words: dict[str, str]) -> Iterator[str]:
    """Yields a row above the plane, where no point is."""
    x = LEFT
    for name, _side in sides:
        word = words.get(name, name)
        yield (
            f'<rect x="{x}" y="4" width="10" height="10" fill="{COLOURS[name]}"/>'
            f'<text x="{x + 14}" y="13">{escape(word)}</text>'
        )
        x += 14 + sum(12 if ord(letter) > _LATIN else 7 for letter in word) + 14


def _svg(width: int, label: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {SIZE}" role="img" '
        f'aria-label="{escape(label, {chr(34): "&quot;"})}" {_FONT} fill="currentColor">'
        f"{''.join(parts)}</svg>"
    )
