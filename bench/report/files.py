"""Writes bench/results/<date>.json, .md and .svg, and the run's line in the history."""

import json
from pathlib import Path

from bench.report import history, page, picture, superseded
from bench.report.results import Results
from bench.servers.child import REPOSITORY

FOLDER = REPOSITORY / "bench" / "results"


def write(
    results: Results, name: str, folder: Path = FOLDER, line_in: Path = history.FILE
) -> list[Path]:
    """The files written; `name` is theirs, without an ending. Removes those of older runs."""
    paths = write_files(results, name, folder)
    if not results.quick:
        superseded.remove(folder, by=folder / f"{name}.json")
    return paths + history.record(results, line_in)


def write_files(results: Results, name: str, folder: Path) -> list[Path]:
    folder.mkdir(exist_ok=True)
    contents = {
        ".json": json.dumps(results.as_json(), indent=1) + "\n",
        ".md": page.page(results),
        ".svg": drawn(results),
    }
    paths = []
    for ending, content in contents.items():
        if not content:
            continue
        path = folder / (name + ending)
        path.write_text(content)
        paths.append(path)
    return paths


def drawn(results: Results) -> str:
    charts: list[picture.Chart] = []
    if results.comparison:
        charts += comparison_charts(results)
    if results.engine:
        groups: dict[str, dict[str, float]] = {}
        for row in results.engine:
            label = f"{row.streams} stream" + "s" * (row.streams > 1)
            groups.setdefault(label, {})[row.target] = row["tokens_per_s"] or 0.0
        charts.append(picture.Bars("Real model: tokens/s", list(groups.items())))
    if not charts:
        return ""
    machine = results.machine
    footer = f"{machine['date']}, {machine['cores']} cores of {machine['cpu']}"
    return picture.document(charts, footer)


def comparison_charts(results: Results) -> list[picture.Bars]:
    speed: dict[str, dict[str, float]] = {}
    cpu: dict[str, dict[str, float]] = {}
    first: dict[str, dict[str, float]] = {}
    for row in results.comparison:
        # 100,000 JSON requests/s of the engine and 10,000 of a bare router would hide the rest.
        bare = row.target in ("direct", "vllm-router")
        if row.load.endswith("c=64") and (not bare or row.load.startswith("sse")):
            speed.setdefault(row.load, {})[row.target] = row["rps"] or 0.0
        if row.load.endswith("c=64") and row.cpu_ms is not None:
            cpu.setdefault(row.load, {})[row.target] = row.cpu_ms
        if row.load.startswith("sse 20 ms c=32"):
            first.setdefault(row.load, {})[row.target] = row["ttft_p50_ms"] or 0.0
    return [
        picture.Bars("Requests per second, 64 at once (more is better)", list(speed.items())),
        picture.Bars("CPU ms per request, 64 at once (less is better)", list(cpu.items())),
        picture.Bars("Time to first token, p50 ms (less is better)", list(first.items())),
    ]
