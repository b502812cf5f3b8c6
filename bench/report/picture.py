"""The picture of the comparison in docs/benchmarks.md."""

from collections.abc import Callable, Sequence

from bench import bars
from bench.bars import Bar, Chart
from bench.compare.comparison import Row

COLOURS = {
    "direct": "#9aa5b1",
    "LiteLLM": "#e07a3f",
    "vllm-router": "#12a07a",
    "Forebay": bars.BLUE,
}
# 100,000 JSON requests/s of the engine and 10,000 of a bare router would hide the rest.
HIDES_THE_REST = ("direct", "vllm-router")


def drawn(rows: Sequence[Row], footer: str) -> str:
    """Requests/s, CPU and the first token of the loads that docs/benchmarks.md speaks of."""
    at_once = [row for row in rows if row.load.endswith("c=64")]
    speed = [r for r in at_once if r.target not in HIDES_THE_REST or r.load.startswith("sse")]
    cpu = [row for row in at_once if row.cpu_ms is not None]
    slow = [row for row in rows if row.load.startswith("sse 20 ms c=32")]
    charts = [
        _chart("Requests per second, 64 at once (more is better)", speed, lambda row: row["rps"]),
        _chart("CPU ms per request, 64 at once (less is better)", cpu, lambda row: row.cpu_ms),
        _chart("Time to first token, p50 ms (less is better)", slow, lambda r: r["ttft_p50_ms"]),
    ]
    return bars.drawn(charts, footer)


def _chart(title: str, rows: Sequence[Row], figure: Callable[[Row], float | None]) -> Chart:
    return Chart(title, [Bar(r.load, r.target, figure(r) or 0.0, COLOURS[r.target]) for r in rows])
