"""The picture of the comparison in docs/benchmarks.md: bars as SVG.

A plotting library would be a hundred times larger than these bars.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from bench.compare.comparison import Row
from bench.figures.tables import short

WIDTH, LABELS, BAR = 760, 190, 16
COLOURS = {
    "direct": "#9aa5b1",
    "LiteLLM": "#e07a3f",
    "vllm-router": "#12a07a",
    "Forebay": "#2563c9",
}
# 100,000 JSON requests/s of the engine and 10,000 of a bare router would hide the rest.
HIDES_THE_REST = ("direct", "vllm-router")


@dataclass(slots=True)
class Bars:
    """Groups of bars, one group per load: values by target."""

    title: str
    groups: dict[str, dict[str, float]]

    def height(self) -> int:
        return 58 + sum(len(values) * BAR + 12 for values in self.groups.values())

    def draw(self, top: int) -> Iterator[str]:
        longest = max((v for values in self.groups.values() for v in values.values()), default=1)
        yield _text(10, top + 22, self.title, size=15, weight="bold")
        y = top + 40
        for label, values in self.groups.items():
            yield _text(10, y + 12, label)
            for name, value in values.items():
                length = value / (longest or 1) * (WIDTH - LABELS - 170)
                yield _rectangle(LABELS, y, length, BAR - 3, COLOURS[name])
                yield _text(LABELS + length + 6, y + 11, f"{short(value)}  {name}")
                y += BAR
            y += 12


def drawn(rows: Sequence[Row], footer: str) -> str:
    """Requests/s, CPU and the first token of the loads that docs/benchmarks.md speaks of."""
    speed: dict[str, dict[str, float]] = {}
    cpu: dict[str, dict[str, float]] = {}
    first: dict[str, dict[str, float]] = {}
    for row in rows:
        at_once = row.load.endswith("c=64")
        if at_once and (row.target not in HIDES_THE_REST or row.load.startswith("sse")):
            speed.setdefault(row.load, {})[row.target] = row["rps"] or 0.0
        if at_once and row.cpu_ms is not None:
            cpu.setdefault(row.load, {})[row.target] = row.cpu_ms
        if row.load.startswith("sse 20 ms c=32"):
            first.setdefault(row.load, {})[row.target] = row["ttft_p50_ms"] or 0.0
    charts = [
        Bars("Requests per second, 64 at once (more is better)", speed),
        Bars("CPU ms per request, 64 at once (less is better)", cpu),
        Bars("Time to first token, p50 ms (less is better)", first),
    ]
    return _document(charts, footer)


def _document(charts: Sequence[Bars], footer: str) -> str:
    height, body = 10, list[str]()
    for chart in charts:
        body += chart.draw(height)
        height += chart.height()
    body.append(_text(10, height + 6, footer, size=11))
    height += 20
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="system-ui, sans-serif">'
        f"{_rectangle(0, 0, WIDTH, height, '#ffffff')}{''.join(body)}</svg>\n"
    )


def _text(x: float, y: float, words: str, size: int = 12, weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" '
        f'fill="#1f2933">{escape(words)}</text>'
    )


def _rectangle(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" fill="{colour}"/>'
