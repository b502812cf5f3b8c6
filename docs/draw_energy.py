"""Draws the picture of docs/operations/energy.md: `python docs/draw_energy.py`.

The figures are those of `python -m bench.energy --out bench/results/DATE-energy.json`.
"""

import json
import runpy
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
FIGURES = DOCS.parent / "bench" / "results" / "2026-11-30-energy.json"
_drawing = runpy.run_path(str(DOCS / "draw_scheduling.py"))
IMAGES, picture, words, box = (_drawing[name] for name in ("IMAGES", "picture", "words", "box"))
OFF, ON, AWAKE = "#8a97a6", "#2f6fb5", "#d08a2e"
LEFT, TOP, WIDTH, HEIGHT = 60, 56, 740, 190
BASE = TOP + HEIGHT
MOST_W = 4000
AWAKE_TOP, AWAKE_ROW = BASE + 40, 12


def day() -> str:
    by_policy = {result["policy"]: result for result in json.loads(FIGURES.read_text())}
    off, on = by_policy["off"], by_policy["on"]
    saved = 1 - on["kwh"] / off["kwh"]
    slower = on["answer_p99_s"] / off["answer_p99_s"] - 1
    parts = [
        words(LEFT, 24, "Power of eight modelled H100 over a day", "strong"),
        words(LEFT, 42, f"{saved:.0%} less energy, p99 of answers {slower:+.1%}", "small"),
        *_grid(),
        _line(off["watts"], OFF),
        _line(on["watts"], ON),
        *_legend(),
        *_awake(on["awake"]),
    ]
    return str(picture(840, AWAKE_TOP + 140, "Power over a day, without and with both", parts))


def _x(place: float, length: int) -> float:
    return LEFT + WIDTH * place / length


def _y(watts: float) -> float:
    return BASE - HEIGHT * watts / MOST_W


def _grid() -> list[str]:
    lines = []
    for watts in range(0, MOST_W + 1, 1000):
        lines.append(f'<path d="M{LEFT} {_y(watts):.0f} H{LEFT + WIDTH}" class="line"/>')
        lines.append(words(LEFT - 8, _y(watts) + 4, f"{watts} W", "small", "end"))
    hours = range(0, 25, 3)
    return lines + [words(_x(h, 24), BASE + 18, f"{h:02}:00", "small", "middle") for h in hours]


def _line(watts: list[float], colour: str) -> str:
    points = " ".join(
        f"{_x(n + 0.5, len(watts)):.1f},{_y(each):.1f}" for n, each in enumerate(watts)
    )
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _legend() -> list[str]:
    entries = ((OFF, "FOREBAY_ENERGY=off"), (ON, "FOREBAY_ENERGY=on"))
    parts = []
    for n, (colour, text) in enumerate(entries):
        parts += [box(500 + n * 160, 14, 12, 12, colour), words(518 + n * 160, 24, text, "small")]
    return parts


def _awake(counts: list[int]) -> list[str]:
    """Draw a row for each engine, where it is awake."""
    parts = [words(LEFT - 8, AWAKE_TOP + 10, "awake", "small", "end")]
    for engine in range(max(counts)):
        y = AWAKE_TOP + engine * (AWAKE_ROW + 3)
        for begin, end in _runs([count > engine for count in counts]):
            x, until = _x(begin, len(counts)), _x(end, len(counts))
            parts.append(box(round(x, 1), y, round(until - x, 1), AWAKE_ROW, AWAKE))
    return parts


def _runs(flags: list[bool]) -> list[tuple[int, int]]:
    runs, begin = list[tuple[int, int]](), None
    for place, flag in enumerate([*flags, False]):
        if flag and begin is None:
            begin = place
        elif not flag and begin is not None:
            runs.append((begin, place))
            begin = None
    return runs


PICTURES: dict[str, Any] = {"energy-day": day}

if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (IMAGES / f"{name}.svg").write_text(draw())
