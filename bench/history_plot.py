"""The history as SVG: requests/s and CPU against LiteLLM, run by run."""

from collections.abc import Mapping, Sequence

from bench.svg_plot import document
from bench.svg_runs import Runs

Figures = Mapping[str, float | None]
CHARTS = (
    (
        "Requests/s as a multiple of LiteLLM's, 64 at once (more is better)",
        {"streams": "streams_64_rps_x", "JSON": "json_64_rps_x"},
    ),
    (
        "LiteLLM's CPU per request as a multiple of ours, 64 at once (more is better)",
        {"streams": "streams_64_cpu_x", "JSON": "json_64_cpu_x"},
    ),
    (
        "CPU ms per request, 64 at once (less is better)",
        {"streams": "streams_64_cpu_ms", "JSON": "json_64_cpu_ms"},
    ),
)
FOOTER = "One full run per commit, the oldest on the left; machines differ (bench/history.csv)"


def picture(commits: Sequence[str], runs: Sequence[Figures]) -> str:
    charts = [
        Runs(title, commits, {name: [run.get(column) for run in runs] for name, column in lines})
        for title, lines in ((title, series.items()) for title, series in CHARTS)
    ]
    return document(charts, FOOTER)
