"""The picture of the comparison in docs/benchmarks.md: bars as SVG.

A plotting library would be a hundred times larger than these bars.
"""

from collections.abc import Callable, Iterator, Sequence
from html import escape

from bench.compare.comparison import Row
from bench.figures import cell

WIDTH, LABELS, BAR = 760, 190, 16
COLOURS = {
    "direct": "#9aa5b1",
    "LiteLLM": "#e07a3f",
    "vllm-router": "#12a07a",
    "Forebay": "#2563c9",
}
# 100,000 JSON requests/s of the engine and 10,000 of a bare router would hide the rest.
HIDES_THE_REST = ("direct", "vllm-router")
Figure = Callable[[Row], float | None]


def drawn(rows: Sequence[Row], footer: str) -> str:
    """Requests/s, CPU and the first token of the loads that docs/benchmarks.md speaks of."""
    at_once = [row for row in rows if row.load.endswith("c=64")]
    speed = [r for r in at_once if r.target not in HIDES_THE_REST or r.load.startswith("sse")]
    cpu = [row for row in at_once if row.cpu_ms is not None]
    slow = [row for row in rows if row.load.startswith("sse 20 ms c=32")]
    charts: list[tuple[str, list[Row], Figure]] = [
        ("Requests per second, 64 at once (more is better)", speed, lambda row: row["rps"]),
        ("CPU ms per request, 64 at once (less is better)", cpu, lambda row: row.cpu_ms),
        ("Time to first token, p50 ms (less is better)", slow, lambda row: row["ttft_p50_ms"]),
    ]
    height, body = 10, list[str]()
    for title, bars, figure in charts:
        body += _bars(title, bars, figure, height)
        height += 58 + len(bars) * BAR + len({row.load for row in bars}) * 12
    body.append(_text(10, height + 6, footer, size=11))
    height += 20
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="system-ui, sans-serif">'
        f"{_rectangle(0, 0, WIDTH, height, '#ffffff')}{''.join(body)}</svg>\n"
    )


def _bars(title: str, rows: Sequence[Row], figure: Figure, top: int) -> Iterator[str]:
    """Groups of bars, one group per load."""
    longest = max((figure(row) or 0.0 for row in rows), default=1.0)
    yield _text(10, top + 22, title, size=15, weight="bold")
    y = top + 40
    for load in dict.fromkeys(row.load for row in rows):
        yield _text(10, y + 12, load)
        for row in (row for row in rows if row.load == load):
            value = figure(row) or 0.0
            length = value / (longest or 1) * (WIDTH - LABELS - 170)
            yield _rectangle(LABELS, y, length, BAR - 3, COLOURS[row.target])
            yield _text(LABELS + length + 6, y + 11, f"{cell(value)}  {row.target}")
            y += BAR
        y += 12


def _text(x: float, y: float, words: str, size: int = 12, weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" '
        f'fill="#1f2933">{escape(words)}</text>'
    )


def _rectangle(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" fill="{colour}"/>'
