"""Draws docs/images/house.svg from the imports in the code: `python docs/draw_house.py`.

One band for each app, its folders in rows: a folder imports only what stands in rows below it.
Levels are the longest way down through imports, so that a picture which lies does not pass
tests/test_house.py.
"""

from collections.abc import Iterable
from functools import cache
from html import escape
from pathlib import Path

import grimp

PROJECT = Path(__file__).resolve().parents[1]
PICTURE = PROJECT / "docs" / "images" / "house.svg"
APPS = (
    "config",
    "console",
    "inference",
    "tenants",
    "audit",
    "infrastructure",
    "trainer",
)  # the upper ones import the lower; the trainer stands apart
WIDTH, ROW, GAP, LEFT, HEAD = 980, 34, 8, 118, 14
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1d2733 }
.app { font-weight: 600; font-size: 15px }
.band { fill: #f3f6f9 }
.room { fill: #fff; stroke: #9db2c7 }
.top { fill: #e6eef6; stroke: #9db2c7 }
.names { fill: #66788a; font-size: 11px }
"""


def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*APPS, cache_dir=None)


def room(module: str) -> str:
    """The folder of an app that a module stands in; "" for what stands at its top."""
    app, *rest = module.split(".")
    inside = rest[0] if rest else ""
    # a folder of old bytecode, left behind by a module that became a file, is not a room
    return inside if any((_folder(app) / inside).glob("*.py")) else ""


def levels(house: grimp.ImportGraph, app: str) -> list[list[str]]:
    """Rooms from the top row to the lowest. Two that import each other share a row."""
    below: dict[str, set[str]] = {}
    for module in _modules(house, app):
        names = house.find_modules_directly_imported_by(module)
        rooms = {room(name) for name in names if name.startswith(f"{app}.")}
        below.setdefault(room(module), set()).update(rooms - {room(module), ""})
    below.pop("", None)

    def depth(name: str, above: tuple[str, ...] = ()) -> int:
        lower = below.get(name, set()) - {name, *above}
        return 1 + max((depth(each, (*above, name)) for each in lower), default=-1)

    depths = {name: depth(name) for name in below}
    rows = range(max(depths.values(), default=-1), -1, -1)
    return [sorted(name for name in depths if depths[name] == row) for row in rows]


def drawn() -> str:
    house = graph()
    parts, y = list[str](), HEAD
    for app in APPS:
        rows = levels(house, app)
        height = (len(rows) + 1) * (ROW + GAP) + GAP
        parts.append(_box("band", 0, y, WIDTH, height, rx=10))
        parts.append(_text("app", 16, y + 26, app))
        for row, rooms in enumerate(rows):
            parts += _row(rooms, y + GAP + row * (ROW + GAP))
        parts += _top(house, app, y + GAP + len(rows) * (ROW + GAP))
        y += height + GAP
    size = f'viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    title = "<title>The packages of Forebay: each imports only what stands below</title>"
    return "\n".join([head, title, f"<style>{_STYLE}</style>", *parts, "</svg>", ""])


def _row(rooms: list[str], y: int) -> Iterable[str]:
    width = (WIDTH - LEFT - GAP) // max(1, len(rooms)) - GAP
    for i, name in enumerate(rooms):
        x = LEFT + i * (width + GAP)
        yield _box("room", x, y, width, ROW, rx=6)
        yield _text("", x + 10, y + 22, name)


def _top(house: grimp.ImportGraph, app: str, y: int) -> Iterable[str]:
    """What everybody in the app shares."""
    names = {m.split(".")[1] for m in _modules(house, app) if not room(m) and "." in m}
    yield _box("top", LEFT, y, WIDTH - LEFT - 2 * GAP, ROW, rx=6)
    yield _text("names", LEFT + 10, y + 21, " · ".join(sorted(names)))


def _modules(house: grimp.ImportGraph, app: str) -> list[str]:
    left_out = {"migrations", "management"}
    return sorted(
        module
        for module in house.modules
        if module.startswith(f"{app}.") and not left_out & set(module.split("."))
    )


@cache
def _folder(app: str) -> Path:
    beside = PROJECT / app
    return beside if beside.is_dir() else PROJECT / "platform" / app


def _box(kind: str, x: int, y: int, width: int, height: int, *, rx: int) -> str:
    place = f'x="{x}" y="{y}" width="{width}" height="{height}" rx="{rx}"'
    return f'<rect class="{kind}" {place}/>'


def _text(kind: str, x: int, y: int, text: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(text)}</text>'


if __name__ == "__main__":
    PICTURE.write_text(drawn())
