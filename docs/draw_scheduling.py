"""Draws the pictures of docs/scheduling.md: `python docs/draw_scheduling.py`."""

from collections.abc import Iterable
from html import escape
from pathlib import Path

IMAGES = Path(__file__).resolve().parent / "images"
REALTIME, BATCH, OTHER = "#2f6fb5", "#d08a2e", "#8a97a6"
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1d2733 }
.small { font-size: 11px; fill: #56687a }
.strong { font-weight: 600 }
.white { fill: #fff }
.band { fill: #f3f6f9 }
.slot { fill: #fff; stroke: #9db2c7 }
.line { stroke: #9db2c7; fill: none }
.way { stroke: #56687a; fill: none; marker-end: url(#tip) }
.dashed { stroke-dasharray: 4 3 }
"""
_TIP = (
    '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path d="M0 0 8 4 0 8z" fill="#56687a"/></marker>'
)


def picture(width: int, height: int, title: str, parts: Iterable[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
    rest = f"<title>{escape(title)}</title><style>{_STYLE}</style><defs>{_TIP}</defs>"
    paper = f'<rect width="{width}" height="{height}" fill="#fff"/>'
    return "\n".join([head, rest, paper, *parts, "</svg>", ""])


def words(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def box(x: float, y: float, width: float, height: float, fill: str = "", kind: str = "") -> str:
    colour = f' fill="{fill}"' if fill else ""
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="3" class="{kind}"{colour}/>'
    )


def way(path: str, kind: str = "way") -> str:
    return f'<path d="{path}" class="{kind}"/>'


# Whose turn it is --------------------------------------------------------------------------------
CLASSES = (
    ("realtime", REALTIME, (("acme, weight 4", 5), ("globex, weight 1", 3))),
    ("batch", BATCH, (("globex", 6), ("initech", 2))),
    ("finetune", OTHER, ()),
    ("preprocess", OTHER, (("acme", 1),)),
)


def turns() -> str:
    parts, y = [words(20, 26, "1  the highest class with work", "strong")], 40
    parts.append(words(300, 26, "2  the tenant that has had least for its weight", "strong"))
    for name, colour, lines in CLASSES:
        height = max(1, len(lines)) * 34 + 12
        parts += [box(14, y, 640, height, kind="band"), words(26, y + 27, name, "strong")]
        for n, (tenant, length) in enumerate(lines):
            parts += _line(y + 12 + n * 34, tenant, length, colour)
        parts.append(words(300, y + 27, "nobody waits", "small") if not lines else "")
        y += height + 8
    parts.append(words(470, y + 12, "3  its oldest request", "strong"))
    parts += [words(725, 26, "slots of the pool", "strong")]
    for n, colour in enumerate([REALTIME, REALTIME, REALTIME, BATCH, BATCH, ""]):
        parts.append(box(740, 44 + n * 38, 110, 28, colour, "" if colour else "slot dashed"))
    parts.append(words(795, 253, "free", "small", "middle"))
    parts.append(way("M656 64 C 700 64 690 248 734 248"))
    return picture(880, y + 30, "Whose turn it is when a slot is free", filter(None, parts))


def _line(y: float, tenant: str, length: int, colour: str) -> list[str]:
    boxes = [box(636 - n * 26 - 20, y, 20, 22, colour) for n in range(length)]
    return [words(300, y + 16, tenant), *boxes]


# Preemption --------------------------------------------------------------------------------------
BLOCKS = (  # of each slot: where it begins, how long it is
    [(0, 700, BATCH, "batch 1")],
    [(0, 700, BATCH, "batch 2")],
    [(0, 300, BATCH, "batch 3"), (306, 220, REALTIME, "real time"), (532, 168, BATCH, "goes on")],
)


def parking() -> str:
    left, top, row = 90, 46, 40
    parts = [words(left, 24, "Every slot is busy with batch work; a real-time request comes.")]
    for n, blocks in enumerate(BLOCKS):
        y = top + n * row
        parts.append(words(left - 14, y + 20, f"slot {n + 1}", "small", "end"))
        for at, width, colour, text in blocks:
            parts.append(box(left + at, y, width, 30, colour))
            parts.append(words(left + at + 8, y + 20, text, "white"))
    under = top + 3 * row
    parts += [
        way(f"M{left + 300} {under + 34} V {under + 2}"),
        words(left + 290, under + 30, "the newest batch request is parked", "small", "end"),
        box(left + 306, under + 10, 220, 24, kind="slot dashed"),
        words(left + 316, under + 26, "batch 3 waits with its text", "small"),
        way(f"M{left + 526} {under + 22} H {left + 540} V {under + 2}"),
    ]
    return picture(810, under + 50, "A batch request gives its slot and goes on later", parts)


# Over a day --------------------------------------------------------------------------------------
LOAD = (22, 18, 15, 14, 15, 20, 32, 48, 62, 72, 76, 74, 70, 74, 78, 76, 72, 64, 56, 50, 44, 36, 30)
LOAD += (26, 22)  # at 24:00; percent of the slots, an example
MORNING = [(0, 100), (5.5, 100), (6, LOAD[6])]
EVENING = [(22, LOAD[22]), (22.5, 100), (24, 100)]
LEFT, TOP, WIDTH, HEIGHT = 60, 50, 740, 180
BASE = TOP + HEIGHT


def at(hour: float) -> float:
    return LEFT + WIDTH * hour / 24


def up(percent: float) -> float:
    return BASE - HEIGHT * percent / 100


def area(points: list[tuple[float, float]], fill: str) -> str:
    ends = [(points[0][0], 0), *points, (points[-1][0], 0)]
    told = " ".join(f"{at(hour):.0f},{up(percent):.0f}" for hour, percent in ends)
    return f'<polygon points="{told}" fill="{fill}"/>'


def day() -> str:
    hours = [words(at(h), BASE + 18, f"{h:02}:00", "small", "middle") for h in range(0, 25, 3)]
    parts = [
        words(LEFT, 24, "Busy slots with a night window from 22:00 to 06:00, its ramp 30 minutes"),
        area(MORNING, BATCH),
        area(EVENING, BATCH),
        area([(float(hour), percent) for hour, percent in enumerate(LOAD)], REALTIME),
        *hours,
        words(LEFT - 8, up(100) + 4, "100 %", "small", "end"),
        words(LEFT - 8, BASE, "0", "small", "end"),
        way(f"M{LEFT} {up(100)} H {LEFT + WIDTH}", "line dashed"),
        words(at(11), up(30), "real time", "white"),
        words(at(2), up(60), "batch", "white"),
    ]
    return picture(840, BASE + 34, "Real-time and batch work over a day", parts)


PICTURES = {"scheduling-turns": turns, "scheduling-parking": parking, "scheduling-day": day}


if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (IMAGES / f"{name}.svg").write_text(draw())
