"""A dashboard as a picture for the docs: what its panels show of a Prometheus, drawn as SVG."""

import re
from collections.abc import Callable, Iterable
from html import escape

from deploy.grafana.chart import COLOURS, Box, drawn, short, words
from deploy.grafana.panel import BAD, GOOD, WARN, Dashboard, Kind, Panel, Query, Row
from deploy.grafana.prometheus import Series, Span
from deploy.grafana.units import said

Ask = Callable[[str], list[Series]]  # a query as a panel has it
COLUMN, GAP, HEAD = 46, 8, 34
_HEIGHTS = {Kind.NUMBER: 78, Kind.LINES: 190, Kind.AREAS: 190, Kind.BARS: 190}
_MARKS = {GOOD: "#1a7f4b", WARN: "#b35900", BAD: "#c0272d"}
_MOST = 6  # series that a panel shows: those that are highest in the end
_STYLE = """
text { font: 11px system-ui, sans-serif; fill: #1d2733 }
.title { font-size: 12px; font-weight: 600 }
.head { font-size: 17px; font-weight: 600 }
.row { font-size: 13px; font-weight: 600; fill: #56687a }
.small { font-size: 10px; fill: #56687a }
.figure { font-size: 24px; font-weight: 600 }
.unit { font-size: 15px }
.card { fill: #fff; stroke: #d6dee6 }
.grid { stroke: #e6ebf0 }
"""


def picture(board: Dashboard, ask: Ask, span: Span, footer: str) -> str:
    """`footer` says of what run it is."""
    width = 24 * COLUMN + 2 * GAP
    parts = [words(GAP * 2, 24, f"Forebay / {board.title}", "head")]
    y = HEAD
    for row in board.rows:
        found, y = _row(row, ask, span, y)
        parts += found
    parts.append(words(GAP * 2, y + 14, footer, "small"))
    y += 24
    size = f'viewBox="0 0 {width} {y}" width="{width}" height="{y}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    title = f"<title>The dashboard {escape(board.title)}</title><style>{_STYLE}</style>"
    paper = f'<rect width="{width}" height="{y}" fill="#f3f6f9"/>'
    return "\n".join([head, title, paper, *parts, "</svg>", ""])


def _row(row: Row, ask: Ask, span: Span, y: int) -> tuple[list[str], int]:
    parts, x, y = [words(GAP * 2, y + 16, row.title, "row")], 0, y + 24
    height = 0
    for panel in row.panels:
        if x + panel.span > 24:
            x, y = 0, y + height + GAP
        height = _HEIGHTS[panel.kind]
        box = Box(GAP + x * COLUMN + 2, y, panel.span * COLUMN - GAP, height)
        parts += _panel(panel, ask, span, box)
        x += panel.span
    return parts, y + height + GAP


def _panel(panel: Panel, ask: Ask, span: Span, box: Box) -> Iterable[str]:
    yield box.drawn("card")
    yield words(box.x + 8, box.y + 17, panel.title, "title")
    found = [(_named(query, one), one) for query in panel.queries for one in ask(query.expr)]
    lines = [(name, series) for name, series in found if _known(series)]
    if not lines:
        why = f": needs {panel.needs}" if panel.needs else ""
        yield words(box.x + 8, box.y + 44, short(f"no data{why}", round(box.width / 5.5)), "small")
    elif panel.kind is Kind.NUMBER:
        yield from _figure(panel, lines[0][1], box)
    else:
        yield from drawn(panel, _highest(lines), span, box)


def _figure(panel: Panel, series: Series, box: Box) -> Iterable[str]:
    value = _known(series)[-1]
    colour = _MARKS[next((c for at, c in reversed(panel.limits) if value >= at), GOOD)]
    fill = f' style="fill:{colour}"' if panel.limits else ""
    figure, blank, unit = said(value, panel.unit).partition(" ")
    text = f'{escape(figure)}<tspan class="unit">{blank}{escape(unit)}</tspan>'
    yield f'<text x="{box.x + 8}" y="{box.y + 54}" class="figure"{fill}>{text}</text>'


def _highest(lines: list[tuple[str, Series]]) -> list[tuple[str, Series]]:
    """Those that were 0 all the time only where all were."""
    moved = [line for line in lines if max(_known(line[1]))] or lines
    ordered = sorted(moved, key=lambda line: -max(_known(line[1])))
    return [line for line in moved if line in ordered[: min(_MOST, len(COLOURS))]]


def _known(series: Series) -> list[float]:
    return [value for _at, value in series.points if value == value]  # not NaN


def _named(query: Query, series: Series) -> str:
    return re.sub(r"{{(\w+)}}", lambda m: series.labels.get(m[1], ""), query.legend).strip()
